/* Verbs of the program: one verb = one function + one line in main.c.
 *
 * A verb parses its own arguments through gyre_arguments, writes results to stdout and messages to the log (stderr).
 */
#ifndef GYRE_EXPERIMENTS_VERB_H
#define GYRE_EXPERIMENTS_VERB_H

#include <signal.h>
#include <stdbool.h>

#include "core/log.h"
#include "core/status.h"
#include "experiments/plan.h"
#include "results/sheet.h"

typedef struct gyre_context {
    gyre_log *log;
    const volatile sig_atomic_t *stop;
} gyre_context;

typedef gyre_status (*gyre_verb_run)(int argc, char **argv, const gyre_context *context, gyre_error *err);

typedef struct gyre_verb {
    const char *name, *summary;
    const char *usage; /* the page of --help: synopsis, options, a working example */
    gyre_verb_run run;
} gyre_verb;


/* One option: a flag, a value, or a value that may be given again. Ends with a row whose name is NULL. */
typedef struct gyre_argument {
    const char *name;    /* "--out" */
    bool *flag;          /* set when given */
    const char **value;  /* the last value */
    const char **list;   /* all values, at most list_most */
    size_t *list_count, list_most;
} gyre_argument;

/* Fills options and positional words (at most most; *count of them). GYRE_E_USAGE with the nearest option for an unknown one. */
gyre_status gyre_arguments(int argc, char **argv, const gyre_argument *options, const char **words, size_t most, size_t *count, gyre_error *err);

/* An integer in [lo, hi], or GYRE_E_USAGE. */
gyre_status gyre_argument_int(const char *option, const char *text, long lo, long hi, long *out, gyre_error *err);

/* The format that --format NAME or --json asks for; *format stays where neither is given. GYRE_E_USAGE for a word that is none, or for both. */
gyre_status gyre_verb_format(const char *name, bool json, gyre_sheet_format *format, gyre_error *err);

enum { GYRE_SETS_MOST = 256 };

/* Reads a configuration for a verb; the whole list of faults goes to stderr. *search looks from the working folder, then the configuration's folder and that one's
 * parent; its texts are freed with gyre_search_free. */
gyre_status gyre_verb_config(const char *path, const char *size, const char *const *sets, size_t n_sets, gyre_config **config, gyre_error *err);
gyre_status gyre_search_from(const char *config_path, gyre_search *search, gyre_error *err);
void gyre_search_free(gyre_search *search);

/* What a run of these jobs would do, and what its fits cost: as text, or as one JSON object. */
gyre_status gyre_verb_show_plan(const gyre_config *config, gyre_plan *plan, const char *pilot, unsigned jobs, bool json, const gyre_context *context, gyre_error *err);

gyre_status gyre_verb_plan(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_run_experiment(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_status(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_merge(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_list(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_describe(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_validate(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_capture(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_report(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_export(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_diff(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_figures(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_order(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_judge(int argc, char **argv, const gyre_context *context, gyre_error *err);
gyre_status gyre_verb_verify(int argc, char **argv, const gyre_context *context, gyre_error *err);

#endif
