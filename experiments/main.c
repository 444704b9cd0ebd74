/* The program: libraries made safe, signals, verbs. The only place that knows exit codes. */
#define _POSIX_C_SOURCE 200809L
#include <cblas.h>
#include <fcntl.h>
#include <gsl/gsl_errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "core/h5.h"
#include "experiments/verb.h"

/* The one object a signal handler may touch. */
static volatile sig_atomic_t stop_requested;

static void on_signal(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static const gyre_verb verbs[] = {
    {"run", "compute the cells of a configuration, merge, report",
     "gyre run CONFIG.yaml [--out DIR] [--size NAME] [--set path.to.key=value]... [--jobs N] [--shard i/n] [--dry-run] [--quiet]\n"
     "  --out DIR     run folder (default out/<experiment>, with --size out/<experiment>-<NAME>); a second run there computes what is missing\n"
     "  --size NAME   applies the assignments under NAME in the configuration's `sizes`\n"
     "  --set a.b=c   overrides the configuration; may be given again\n"
     "  --jobs N      threads (default: one a processor)\n"
     "  --shard i/n   computes every n-th cell from i (i from 0; default: the Slurm array variables), does not merge: gyre merge DIR afterwards\n"
     "  --dry-run     prints the plan and stops\n"
     "example: gyre run configs/demo.yaml --out out/demo --set seeds=4\n",
     gyre_verb_run_experiment},
    {"plan", "show cells, skips and their reasons, and what fits cost",
     "gyre plan CONFIG.yaml [--size NAME] [--set path.to.key=value]... [--pilot RESULTS.h5] [--jobs N] [--json]\n"
     "  --pilot FILE  results whose spreads tell what the comparisons can see (also `pilot:` in the configuration)\n"
     "  --jobs N      threads of the run that is planned (default: one a processor)\n"
     "  --json        the same for programs\n"
     "A few steps of every distinct fit are timed on the first layer of each source.\n"
     "example: gyre plan configs/demo.yaml\n",
     gyre_verb_plan},
    {"validate", "check a configuration without opening captures",
     "gyre validate CONFIG.yaml [--size NAME] [--set path.to.key=value]...\nexample: gyre validate configs/demo.yaml\n", gyre_verb_validate},
    {"list", "all transforms, quantizers, metrics, objectives, optimisers",
     "gyre list [transforms|quantizers|metrics|objectives|optimisers|fits] [--json | --markdown]\n"
     "  --json        everything that describe tells, of each\n"
     "  --markdown    the page docs/variants.md\n"
     "example: gyre list quantizers\n",
     gyre_verb_list},
    {"describe", "one variant: options, bounds, flags, source, where it applies",
     "gyre describe NAME [--json]\n  --json        the same for programs\n"
     "Where two families have the name: FAMILY.NAME, as in objectives.softmax_kl. gyre describe fit: the options of every fit.\n"
     "example: gyre describe rfft\n",
     gyre_verb_describe},
    {"capture", "record K, V and Q of a language model", NULL, gyre_verb_capture},
    {"status", "how far a run folder is",
     "gyre status DIR\n  counts the cells of a run folder: done, skipped, failed with their reasons, to go; the run may be at work\nexample: gyre status out/demo\n", gyre_verb_status},
    {"merge", "make results.h5 of a run folder's cells",
     "gyre merge DIR [--partial]\n  --partial     merges although cells are missing; comparisons that need them are INCOMPLETE\nexample: gyre merge out/demo\n", gyre_verb_merge},
    {"report", "print arms and verdicts of a results file",
     "gyre report RESULTS.h5 [--format text|markdown|latex|csv|json] [--only TABLE] [--json]\n"
     "gyre report --claims RESULTS.h5|DIR... [--format F] [--only claims|claim_parts]\n"
     "gyre report --findings RESULTS.h5|DIR...\n"
     "  --format F    text (default), markdown, latex (a fragment for \\usepackage{booktabs}), csv (table after table, an empty line between), json\n"
     "  --only TABLE  one table: experiment, perplexity, arms, fits, verdicts, discords, front, dominated, contradicted, best, exact or canaries\n"
     "  --json        the same as --format json\n"
     "  --claims      what the files (of a folder: all *.h5) say of published claims, part by part and by the rules (docs/statistics.md)\n"
     "  --findings    the same as a page of Markdown: docs/findings.md is that of data/published\n"
     "example: gyre report out/demo/results.h5 --format markdown --only verdicts\n",
     gyre_verb_report},
    {"export", "a results file as tables for other programs",
     "gyre export RESULTS.h5 [--what cells|values|arms|comparisons|perplexity|fits|points|parameters|sources|exact|canaries] [--format text|markdown|latex|csv|json] [--json] [-o FILE]\n"
     "  --what W      one row a cell (default), a number, an arm, a comparison, a pass, a fit, a point or parameter of one, a source, an exact number, a canary; columns as on docs/results-schema.md\n"
     "  --format F    csv (default), json, text, markdown or latex\n"
     "  --json        the same as --format json\n"
     "  -o FILE       writes there, whole or not at all (default: standard output)\n"
     "example: gyre export out/demo/results.h5 --what values\n",
     gyre_verb_export},
    {"diff", "compare two results files",
     "gyre diff A.h5 B.h5 [--rtol R] [--atol A] [--format text|markdown|latex|csv|json] [--json]\n"
     "  --rtol R      numbers are the same where |a - b| <= A + R max(|a|, |b|) (default 0)\n"
     "  --atol A      (default 0)\n"
     "  --json        the same as --format json\n"
     "Rows are joined by what they are; build, machine and times are listed apart. Exit codes: 0 the same within the tolerance, 1 different, 2 usage.\n"
     "example: gyre diff out/demo/results.h5 out/demo/results.h5 --rtol 1e-9\n",
     gyre_verb_diff},
    {"figures", "draw a results file",
     "gyre figures RESULTS.h5 [--out DIR] [--only NAME]\n  --out DIR     where PNG, SVG, PDF and CSV go (default: figures beside the file)\n"
     "example: gyre figures out/demo/results.h5\n",
     gyre_verb_figures},
    {"order", "do errors of the cache order arms as the model does?",
     "gyre order CAPTURE_RESULTS.h5 MODEL_RESULTS.h5 [--against nll_change|token_kl] [--out DIR]\n"
     "  --against M   metric of the model that judges (default: nll_change)\n"
     "  --out DIR     where PNG, SVG, PDF and CSV go (default: figures beside the model's results)\n"
     "Arms that both files have, of the same model file, are joined by name, grid point and codec; docs/statistics.md says what the intervals mean.\n"
     "example: gyre order out/demo/results.h5 out/perplexity/results.h5\n",
     gyre_verb_order},
    {"judge", "the statistics, on a table of your own",
     "gyre judge TABLE.csv [--test NAME] [--margin abs:SIZE|ratio:FACTOR] [--goal equivalent|not_worse] [--alpha A] [--seed N] [--column ROLE=NAME]... [--json]\n"
     "gyre judge TABLE.csv --unpaired | --binary | --many | --series | --rank | --components\n"
     "  columns       arm and against (or difference); document and seed where there are several rows of either: every combination once\n"
     "  --test NAME   auto (default: by the shape), paired_t, crossed, wilcoxon, sign, sign_flip, bootstrap, bca, crossed_bootstrap\n"
     "  --margin M    differences that do not matter: abs:0.01 in the table's unit, or ratio:1.05 (logarithms are compared then)\n"
     "  --goal G      what the margin is for: equivalent (default), or not_worse\n"
     "  --alpha A     level (default 0.05)\n"
     "  --seed N      of resampling (default 0); --resamples N how many, where the shape lets one choose\n"
     "  --column R=N  the column of role R is called N\n"
     "  --unpaired    columns value and group: Welch's t, or one-way analysis of variance for more than two\n"
     "  --binary      columns arm and against of 0 and 1: McNemar\n"
     "  --many        a column an arm, a row a document: Friedman, Nemenyi, analysis of variance, paired tests adjusted by --correction holm, bh or by\n"
     "  --series      column value, in order: autocorrelation, Newey-West with --lags N, blocks of --block N\n"
     "  --rank        columns x and y: Spearman and Kendall\n"
     "  --components  columns value (or arm and against) and any of seed, document, layer, head: variance components\n"
     "  --json        the same for programs\n"
     "example: gyre judge data/judge.csv --margin ratio:1.05\n",
     gyre_verb_judge},
    {"verify", "check a results, cell or capture file",
     "gyre verify FILE.h5 [--digest]\n  --digest      prints the scientific digest alone on a line\nexample: gyre verify --digest data/smollm2-135m.h5\n", gyre_verb_verify},
};

static void usage(FILE *out)
{
    (void)fprintf(out, "gyre %s: rotation and transform ablations on quantized KV caches\n\n", GYRE_VERSION);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        (void)fprintf(out, "  gyre %-9s %s\n", verbs[i].name, verbs[i].summary);
    (void)fprintf(out, "\ngyre VERB --help tells more. Exit codes: 0 done, 1 a cell or check failed, 2 usage or configuration, 75 interrupted (run again to go on).\n");
}

static void catch_signals(void)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    act.sa_handler = SIG_IGN; /* a file that grows too long, or a reader that went away, is an error code, not a death */
    (void)sigaction(SIGXFSZ, &act, NULL);
    (void)sigaction(SIGPIPE, &act, NULL);
}

/* Descriptors 0, 1, 2 that the caller closed would be given to the next file opened, and words for people would go into it. */
static void fill_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            (void)open("/dev/null", fd == 1 ? O_RDONLY : O_RDWR); /* the lowest free number: fd; results that nobody can read are an error */
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

static const gyre_verb *find_verb(const char *name, gyre_error *err)
{
    const char *names[sizeof verbs / sizeof *verbs + 1] = {0};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
        names[i] = verbs[i].name;
    }
    const char *near = gyre_nearest(name, names);
    (void)gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "there is no verb '%s'%s%s%s: gyre --help lists them", name, near != NULL ? " (did you mean '" : "",
                         near != NULL ? near : "", near != NULL ? "'?)" : "");
    return NULL;
}

int main(int argc, char **argv)
{
    gyre_error error = {0};
    gyre_log *log = NULL;
    fill_descriptors();
    gyre_status st = gyre_log_new(&log, stderr, false, &error);
    if (st != GYRE_OK)
        return gyre_status_exit(st);
    (void)gsl_set_error_handler_off();
    gyre_h5_quiet();
    openblas_set_num_threads(1); /* threads are ours; one-thread products do not depend on their number */
    catch_signals();
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        st = argc < 2 ? GYRE_E_USAGE : GYRE_OK;
        (void)gyre_error_set(&error, st, __FILE__, __LINE__, "name a verb");
    } else if (strcmp(argv[1], "--version") == 0) {
        (void)printf("gyre %s (%s%s), %s, values %.12s\n", GYRE_VERSION, GYRE_BUILD_COMMIT, GYRE_BUILD_DIRTY ? ", dirty" : "", GYRE_BUILD_COMPILER, GYRE_VALUE_CODE);
    } else {
        const gyre_verb *verb = find_verb(argv[1], &error);
        st = error.status;
        if (verb != NULL && verb->usage != NULL && wants_help(argc, argv))
            (void)fputs(verb->usage, stdout);
        else if (verb != NULL)
            st = verb->run(argc - 1, argv + 1, &(gyre_context){log, &stop_requested}, &error);
    }
    if (fflush(stdout) != 0 && st == GYRE_OK)
        st = gyre_error_set(&error, GYRE_E_IO, __FILE__, __LINE__, "cannot write to standard output: is the disk full?");
    if (st != GYRE_OK)
        gyre_log_error(log, &error);
    gyre_log_free(log);
    return gyre_status_exit(st);
}
