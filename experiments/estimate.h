/* How long a plan will take: steps of each distinct fit are timed on the rows that it will see, and chunks of each kind in the models. */
#ifndef GYRE_EXPERIMENTS_ESTIMATE_H
#define GYRE_EXPERIMENTS_ESTIMATE_H

#include <signal.h>

#include "experiments/runner.h"

typedef struct gyre_estimate {
    size_t fits, steps;     /* of all cells that are not skipped; a draw counts as a step */
    double seconds;         /* of one thread; NaN where a fit could not be timed */
    char why[GYRE_WHY];     /* then: the reason; "" otherwise */
} gyre_estimate;

/* Chunks that models will decode, the exact runs among them; each kind (graphs that get all tokens at a time, or the smallest window of an arm) is timed once. What the codecs of an arm cost is not
 * among it. */
typedef struct gyre_estimate_models {
    size_t chunks;
    double seconds; /* with the jobs of the options */
} gyre_estimate_models;
gyre_status gyre_plan_estimate_models(const gyre_config *config, gyre_plan *plan, const gyre_run_options *options, gyre_estimate_models *out, gyre_error *err);

/* Reads a layer of each source where there is something to time, and nothing where there is not. */
gyre_status gyre_plan_estimate(const gyre_config *config, const gyre_plan *plan, const volatile sig_atomic_t *stop, gyre_estimate *out, gyre_error *err);

#endif
