/* Optimisers: first-order steps on a vector of parameters, and the contract of their variants.
 *
 * One optimiser = one file with one const descriptor, listed by one line in registry.c. Elements that live on a manifold make their own steps (gyre_learnable.descend).
 */
#ifndef GYRE_CALIBRATE_OPTIMISER_H
#define GYRE_CALIBRATE_OPTIMISER_H

#include <stddef.h>

#include "core/options.h"

enum { GYRE_OPTIMISER_OPTIONS_BYTES = 64 };

typedef struct gyre_optimiser_values {
    _Alignas(8) unsigned char bytes[GYRE_OPTIMISER_OPTIONS_BYTES];
} gyre_optimiser_values;

typedef struct gyre_optimiser_type {
    const char *name, *summary, *source;
    const gyre_option *options;
    size_t memories; /* doubles of memory per parameter, zero before the first step */
    /* Step t (from 1) of n parameters; factor: the schedule's, 1 to 0. memory: [memories][n]. */
    void (*step)(const void *options, size_t t, double factor, const double *gradient, double *memory, double *theta, size_t n);
} gyre_optimiser_type;

extern const gyre_optimiser_type *const gyre_optimiser_types[]; /* ends with NULL */
const gyre_optimiser_type *gyre_optimiser_find(const char *name);

#endif
