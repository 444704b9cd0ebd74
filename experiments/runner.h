/* Runner: computes what is missing of a plan into a run folder.
 *
 *   DIR/config.yaml, DIR/run.txt   the configuration as written, its overrides and where captures were looked up: what `gyre merge` reads
 *   DIR/analysis.plan              what is compared, and on which sample, before the first cell (results/registration.h); written once
 *   DIR/plan.tsv                   key, source, layer or block, arm, point, seed of every cell, and SKIPPED where it is: what `gyre status` reads
 *   DIR/cells/<key>.h5             one file per finished cell
 *   DIR/results.h5                 the merged results
 *
 * One process may work in a folder, or one per shard of the same configuration (advisory locks on DIR/.lock*; released by the system when a process dies). Threads share a layer's
 * rows; cells are independent, so jobs, shards, order and interruptions do not change a byte of what is computed.
 */
#ifndef GYRE_EXPERIMENTS_RUNNER_H
#define GYRE_EXPERIMENTS_RUNNER_H

#include <signal.h>

#include "core/log.h"
#include "experiments/plan.h"

typedef struct gyre_run_options {
    const char *folder;
    unsigned jobs;
    unsigned shard, n_shards;          /* 0 of 1: everything */
    const volatile sig_atomic_t *stop; /* set by a signal: finish the cells in work (fits stop at once), then GYRE_E_INTERRUPTED */
} gyre_run_options;

typedef struct gyre_run_outcome {
    size_t computed, found, skipped, failed; /* of this shard's cells */
} gyre_run_outcome;

/* Takes the folder for this run; *out is given back to gyre_run_unlock. GYRE_E_LOCKED when another run works there. */
typedef struct gyre_run_lock gyre_run_lock;
gyre_status gyre_run_lock_take(const gyre_config *config, const gyre_search *search, const char *config_path, const gyre_run_options *options, gyre_log *log,
                               gyre_run_lock **out, gyre_error *err);
void gyre_run_unlock(gyre_run_lock *lock);

/* Computes the missing cells of the shard. A cell that fails is written as FAILED with its reason and does not stop the others; it is tried again by the next run. */
gyre_status gyre_run_cells(const gyre_config *config, gyre_plan *plan, const gyre_run_options *options, gyre_log *log, gyre_run_outcome *outcome, gyre_error *err);

/* Is a run at work in the folder? */
bool gyre_run_active(const char *folder);

/* Reads back what a run folder says of its configuration: sets (n) and search dirs, each freed by the caller through gyre_run_saved_free. */
typedef struct gyre_run_saved {
    char *config_path;
    char **sets;
    size_t n_sets;
    char *dirs[GYRE_PLAN_DIRS];
} gyre_run_saved;
gyre_status gyre_run_saved_read(const char *folder, gyre_run_saved *out, gyre_error *err);
void gyre_run_saved_free(gyre_run_saved *saved);

#endif
