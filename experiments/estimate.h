/* How long the fits of a plan will take: steps of each distinct fit are timed on the rows that it will see. */
#ifndef GYRE_EXPERIMENTS_ESTIMATE_H
#define GYRE_EXPERIMENTS_ESTIMATE_H

#include <signal.h>

#include "experiments/plan.h"

typedef struct gyre_estimate {
    size_t fits, steps;     /* of all cells that are not skipped; a draw counts as a step */
    double seconds;         /* of one thread; NaN where a fit could not be timed */
    char why[GYRE_WHY];     /* then: the reason; "" otherwise */
} gyre_estimate;

/* Reads a layer of each source where there is something to time, and nothing where there is not. */
gyre_status gyre_plan_estimate(const gyre_config *config, const gyre_plan *plan, const volatile sig_atomic_t *stop, gyre_estimate *out, gyre_error *err);

#endif
