/* Merging: the cell files of a run folder become one results file.
 *
 * Reads every cell of the plan, takes the perplexities of model sources (perplexity.h), holds the comparisons against the registered plan (registration.h), judges them, writes folder/results.h5. Cells are taken in plan order whoever computed them, so shards,
 * jobs, order and interruptions leave no trace outside /timing and /provenance. Stale temporary files of dead processes are removed.
 *
 * What it is not: a computation. A missing cell is refused (GYRE_E_INCOMPLETE, with the first of them by name) unless `partial` is given; then it
 * stays MISSING in the file, and comparisons that need it are INCOMPLETE.
 */
#ifndef GYRE_RESULTS_MERGE_H
#define GYRE_RESULTS_MERGE_H

#include <stdbool.h>

#include "core/log.h"
#include "core/status.h"
#include "results/provenance.h"
#include "results/table.h"

/* table: a plan; cells that already hold a status (from the runner, or an earlier read) are not read again. log may be NULL. */
gyre_status gyre_merge(const char *folder, gyre_table *table, bool partial, const gyre_provenance *provenance, gyre_log *log, gyre_error *err);

#endif
