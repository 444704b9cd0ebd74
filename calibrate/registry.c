/* The families of objectives and optimisers. To add one: write its file, add its extern and its line. */
#include <string.h>

#include "calibrate/objective.h"
#include "calibrate/optimiser.h"

extern const gyre_objective_type gyre_objective_mse, gyre_objective_absmax, gyre_objective_pnorm, gyre_objective_kurtosis, gyre_objective_logit, gyre_objective_attention,
    gyre_objective_softmax_kl;
extern const gyre_optimiser_type gyre_optimiser_adam, gyre_optimiser_sgd;

const gyre_objective_type *const gyre_objective_types[] = {
    &gyre_objective_mse,
    &gyre_objective_absmax,
    &gyre_objective_pnorm,
    &gyre_objective_kurtosis,
    &gyre_objective_logit,
    &gyre_objective_attention,
    &gyre_objective_softmax_kl,
    NULL,
};

const gyre_optimiser_type *const gyre_optimiser_types[] = {
    &gyre_optimiser_adam,
    &gyre_optimiser_sgd,
    NULL,
};

const gyre_objective_type *gyre_objective_find(const char *name)
{
    for (const gyre_objective_type *const *o = gyre_objective_types; *o != NULL; o++)
        if (strcmp((*o)->name, name) == 0)
            return *o;
    return NULL;
}

const gyre_optimiser_type *gyre_optimiser_find(const char *name)
{
    for (const gyre_optimiser_type *const *o = gyre_optimiser_types; *o != NULL; o++)
        if (strcmp((*o)->name, name) == 0)
            return *o;
    return NULL;
}
