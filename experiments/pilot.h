/* Pilot: what a plan will be able to see, from the spreads of an earlier run.
 *
 * A comparison of the plan takes its components of variance from the same arms, metric, point and source (by name) in the pilot's results, its seeds and documents from the plan (results/foresee.h).
 * What it is not: a look at the effect. The pilot's differences are not shown, and its documents should not be those of the plan.
 */
#ifndef GYRE_EXPERIMENTS_PILOT_H
#define GYRE_EXPERIMENTS_PILOT_H

#include "core/log.h"
#include "core/status.h"
#include "results/table.h"

/* Fills mde, power, seeds_needed and documents_needed of the planned comparisons; they stay NaN where the pilot has no such arms, or only one seed or document of them. */
gyre_status gyre_pilot_foresee(const char *path, gyre_table *planned, gyre_log *log, gyre_error *err);

#endif
