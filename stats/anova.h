/* Analysis of variance of one value a cell.
 *
 *   one-way   F = [sum n_g (x_g. - x..)^2 / (k-1)] / [sum (x - x_g.)^2 / (N-k)],   k groups of n_g independent values
 *   two-way   x[i][j] of block i and method j:  F = MS_method/MS_residual with k-1, (k-1)(n-1) degrees of freedom; methods fixed, blocks whatever (the balanced mixed model gives the same F)
 *   Greenhouse-Geisser   eps = tr(C)^2/((k-1) tr(C C)),  C: the methods' covariance over blocks, its row and column means taken out; p from F with both degrees of freedom times eps
 *
 * References: Fisher, "Statistical Methods for Research Workers" (1925); Greenhouse, Geisser, Psychometrika 24 (1959) 95-112. Cost: O(N), O(n k^2).
 * What it is not: for unbalanced layouts or missing cells (refused by their shape), nor a statement about which methods differ.
 */
#ifndef GYRE_STATS_ANOVA_H
#define GYRE_STATS_ANOVA_H

#include <stddef.h>

#include "core/status.h"

typedef struct gyre_anova {
    double ss_between, ss_block, ss_residual; /* between groups or methods; ss_block is NaN in the one-way layout */
    double df_between, df_residual;
    double f, p;           /* infinite and 0 where the residual is exactly 0 */
    double epsilon, p_epsilon; /* Greenhouse-Geisser; NaN in the one-way layout */
} gyre_anova;

/* x: the groups one after the other, sizes[k] of each. GYRE_E_APPLICABLE with fewer than 2 groups, an empty group or no replication; GYRE_E_NAN. */
gyre_status gyre_anova_one_way(const double *x, const size_t *sizes, size_t k, gyre_anova *out, gyre_error *err);

/* x[n blocks][k methods], row-major. GYRE_E_APPLICABLE with fewer than 2 of either; GYRE_E_NAN. */
gyre_status gyre_anova_two_way(const double *x, size_t n, size_t k, gyre_anova *out, gyre_error *err);

#endif
