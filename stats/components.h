/* Variance components of a balanced layout: up to four crossed factors (seed, document, layer, head, say), one value a cell, each factor random (its levels stand for others) or fixed (they are
 * all there are).
 *
 *   A: a set of factors; N_A: the product of their levels; N: of all.        MS_A: mean square of the interaction of A, with prod over A of (levels - 1) degrees of freedom
 *   E MS_A = sum over B = A + some random factors outside A, of (N/N_B) v_B   (the restricted model: effects of a fixed factor add up to zero)
 *   v_A = (N_A/N) sum over the same B of (-1)^|B - A| MS_B
 *
 * The interaction of all factors holds the measurement error too. v of a set with a fixed factor is that of its effects (sum of squares over degrees of freedom), not a variance of anything drawn.
 * v below zero means no more than too little data to tell it from zero: it is reported as 0 and flagged.
 * References: Searle, Casella, McCulloch, "Variance Components" (1992), chapter 4; Cornfield, Tukey, Annals of Mathematical Statistics 27 (1956) 907-949. Cost: O(2^f f N).
 * What it is not: for missing cells or nested factors.
 */
#ifndef GYRE_STATS_COMPONENTS_H
#define GYRE_STATS_COMPONENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

enum { GYRE_FACTORS = 4 };

typedef struct gyre_factor {
    const char *name;
    size_t levels; /* at least 2 */
    bool random;
} gyre_factor;

typedef struct gyre_component {
    unsigned factors; /* bit i: factor i is in the set */
    double df, ss, ms;
    double variance; /* v, or 0 where negative */
    bool negative;
} gyre_component;

/* x: row-major, the last factor fastest. out: room for 2^n - 1; component c - 1 is that of the set c. GYRE_E_APPLICABLE for no or too many factors or a factor of one level, GYRE_E_NAN. */
gyre_status gyre_components(const double *x, const gyre_factor *factors, size_t n_factors, gyre_component *out, gyre_error *err);

#endif
