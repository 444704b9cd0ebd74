/* gyre run, merge, validate. */
#define _POSIX_C_SOURCE 200809L
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "experiments/control.h"
#include "experiments/registration.h"
#include "experiments/report.h"
#include "experiments/runner.h"
#include "experiments/verb.h"
#include "kernels/selected.h"
#include "results/merge.h"
#include "results/provenance.h"
#include "results/results_file.h"

enum { PATH_BYTES = 4096 };

typedef struct run_arguments {
    const char *config, *size, *out, *jobs, *shard, *sets[GYRE_SETS_MOST];
    size_t n_sets;
    bool dry, quiet;
} run_arguments;

/* "2/8" -> 2 of 8; without --shard the Slurm array variables, if there are any. */
static gyre_status parse_shard(const char *text, gyre_run_options *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *id = getenv("SLURM_ARRAY_TASK_ID"), *first = getenv("SLURM_ARRAY_TASK_MIN"), *count = getenv("SLURM_ARRAY_TASK_COUNT");
    char left[32];
    long i = 0, n = 1, least = 0;
    if (text != NULL) {
        const char *slash = strchr(text, '/');
        if (slash == NULL || (size_t)(slash - text) >= sizeof left)
            GYRE_FAIL(GYRE_E_USAGE, "--shard %s: write i/n, i from 0", text);
        (void)snprintf(left, sizeof left, "%.*s", (int)(slash - text), text);
        GYRE_TRY(gyre_argument_int("--shard n:", slash + 1, 1, 1000000, &n, err));
        GYRE_TRY(gyre_argument_int("--shard i:", left, 0, n - 1, &i, err));
    } else if (id != NULL && count != NULL) {
        GYRE_TRY(gyre_argument_int("SLURM_ARRAY_TASK_COUNT", count, 1, 1000000, &n, err));
        if (first != NULL)
            GYRE_TRY(gyre_argument_int("SLURM_ARRAY_TASK_MIN", first, 0, 1000000000, &least, err));
        GYRE_TRY(gyre_argument_int("SLURM_ARRAY_TASK_ID", id, least, least + n - 1, &i, err));
        i -= least;
    }
    o->shard = (unsigned)i;
    o->n_shards = (unsigned)n;
done:
    return st;
}

/* `run` has all options, `validate` has --set and --size. */
static gyre_status parse(int argc, char **argv, bool run, run_arguments *a, gyre_run_options *o, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t words = 0;
    const gyre_argument all[] = {
        {.name = "--set", .list = a->sets, .list_count = &a->n_sets, .list_most = GYRE_SETS_MOST},
        {.name = "--size", .value = &a->size},
        {.name = "--out", .value = &a->out},   {.name = "--jobs", .value = &a->jobs}, {.name = "--shard", .value = &a->shard},
        {.name = "--dry-run", .flag = &a->dry}, {.name = "--quiet", .flag = &a->quiet},
        {0},
    };
    const gyre_argument few[] = {all[0], all[1], {0}};
    const gyre_argument *options = run ? all : few;
    long jobs = sysconf(_SC_NPROCESSORS_ONLN);
    GYRE_TRY(gyre_arguments(argc, argv, options, &a->config, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a configuration, as in gyre %s configs/demo.yaml", argv[0]);
    if (a->jobs != NULL)
        GYRE_TRY(gyre_argument_int("--jobs", a->jobs, 1, 1024, &jobs, err));
    o->jobs = jobs < 1 ? 1 : (unsigned)jobs;
    o->stop = context->stop;
    if (run)
        GYRE_TRY(parse_shard(a->shard, o, err));
done:
    return st;
}

/* What chose the numbers' last bits on this machine. */
static gyre_status gather(unsigned jobs, gyre_provenance *p, gyre_error *err)
{
    char kernels[256];
    (void)snprintf(kernels, sizeof kernels, "divergence and matrix row %s; openblas %s, one thread; fftw estimate", gyre_kernels_selected(), openblas_get_corename());
    return gyre_provenance_gather(kernels, jobs, p, err);
}

gyre_status gyre_verb_validate(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    run_arguments a = {0};
    gyre_run_options o = {0};
    gyre_config *config = NULL;
    GYRE_TRY(parse(argc, argv, false, &a, &o, context, err));
    GYRE_TRY(gyre_verb_config(a.config, a.size, a.sets, a.n_sets, &config, err));
    (void)printf("%s: valid; %zu arms, %zu points, %zu comparisons\n%s", a.config, config->n_arms, config->n_points, config->n_compare, config->canonical);
done:
    gyre_config_free(config);
    return st;
}

/* Merges, reads the results file back and prints the report from it: what a reader of the file will see. */
static gyre_status merge_and_report(const char *folder, gyre_table *table, bool partial, unsigned jobs, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES];
    gyre_provenance provenance;
    GYRE_TRY(gather(jobs, &provenance, err));
    GYRE_TRY(gyre_controls_run(folder, table, err));
    GYRE_TRY(gyre_merge(folder, table, partial, &provenance, context->log, err));
    (void)snprintf(path, sizeof path, "%s/results.h5", folder);
    GYRE_TRY(gyre_report_file(path, stdout, context->log, err));
done:
    return st;
}

gyre_status gyre_verb_run_experiment(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    run_arguments a = {0};
    gyre_run_options o = {0};
    gyre_run_outcome outcome = {0};
    gyre_config *config = NULL;
    gyre_search search = {{0}};
    gyre_plan *plan = NULL;
    gyre_run_lock *lock = NULL;
    char folder[PATH_BYTES];
    GYRE_TRY(parse(argc, argv, true, &a, &o, context, err));
    GYRE_TRY(gyre_verb_config(a.config, a.size, a.sets, a.n_sets, &config, err));
    GYRE_TRY(gyre_search_from(a.config, &search, err));
    (void)snprintf(folder, sizeof folder, "out/%.200s%s%.200s", config->experiment, a.size != NULL ? "-" : "", a.size != NULL ? a.size : ""); /* another sample: its own plan, its own folder */
    o.folder = a.out != NULL ? a.out : folder;
    GYRE_TRY(gyre_plan_make(config, &search, &plan, err));
    if (a.dry) {
        GYRE_TRY(gyre_verb_show_plan(config, plan, NULL, o.jobs, false, context, err));
        goto done;
    }
    GYRE_TRY(gyre_run_lock_take(config, &search, a.config, &o, context->log, &lock, err));
    GYRE_TRY(gyre_run_cells(config, plan, &o, a.quiet ? NULL : context->log, &outcome, err));
    gyre_log_info(context->log, "%zu cells computed, %zu found, %zu skipped, %zu failed", outcome.computed, outcome.found, outcome.skipped, outcome.failed);
    if (o.n_shards > 1)
        gyre_log_info(context->log, "shard %u of %u is done; when all are: gyre merge %s", o.shard, o.n_shards, o.folder);
    else
        GYRE_TRY(merge_and_report(o.folder, plan->table, false, o.jobs, context, err));
    if (outcome.failed > 0)
        GYRE_FAIL(GYRE_E_INCOMPLETE, "%zu cells failed; the same command tries them again", outcome.failed);
done:
    gyre_plan_free(plan);
    gyre_run_unlock(lock);
    gyre_search_free(&search);
    gyre_config_free(config);
    return st;
}

gyre_status gyre_verb_merge(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *folder = NULL;
    size_t words = 0;
    bool partial = false;
    const gyre_argument options[] = {{.name = "--partial", .flag = &partial}, {0}};
    gyre_run_saved saved = {0};
    gyre_config *config = NULL;
    gyre_plan *plan = NULL;
    GYRE_TRY(gyre_arguments(argc, argv, options, &folder, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a run folder, as in gyre merge out/demo");
    GYRE_TRY(gyre_run_saved_read(folder, &saved, err));
    GYRE_TRY(gyre_verb_config(saved.config_path, NULL, (const char *const *)saved.sets, saved.n_sets, &config, err));
    gyre_search search = {{saved.dirs[0], saved.dirs[1], saved.dirs[2]}};
    GYRE_TRY(gyre_plan_make(config, &search, &plan, err));
    GYRE_TRY(gyre_register_old(folder, context->log, err));
    GYRE_TRY(merge_and_report(folder, plan->table, partial, 1, context, err));
done:
    gyre_plan_free(plan);
    gyre_config_free(config);
    gyre_run_saved_free(&saved);
    return st;
}
