/* Rank correlations of two lists of n numbers.
 *
 *   Spearman   rho   = sum (r - r.)(s - s.) / sqrt(sum (r - r.)^2 sum (s - s.)^2)      r, s: ranks of x and y, equal numbers share the mean of their ranks
 *   Kendall    tau-b = (C - D) / sqrt((P - T_x)(P - T_y))                              P = n(n-1)/2 pairs; C ordered alike, D oppositely; T tied in x, in y
 *
 * References: Spearman, American Journal of Psychology 15 (1904) 72-101; Kendall, Biometrika 33 (1945) 239-251. Cost: O(n log n) and O(n^2).
 * Numerators and sums of squares are whole numbers, so equal orders give 1 and reversed ones -1 exactly (n up to 10^5).
 *
 * A correlation that does not exist is a status: GYRE_E_APPLICABLE for fewer than 3 numbers (2 only ever give 1 or -1) and where all of x or all of y are equal, GYRE_E_NAN for a number
 * that is not finite. What it is not: a test. The n arms of an experiment are chosen, not drawn, so no p value of independent draws applies to them.
 */
#ifndef GYRE_STATS_RANK_H
#define GYRE_STATS_RANK_H

#include <stddef.h>

#include "core/status.h"

gyre_status gyre_rank_spearman(const double *x, const double *y, size_t n, double *rho, gyre_error *err);
gyre_status gyre_rank_kendall(const double *x, const double *y, size_t n, double *tau, gyre_error *err);

#endif
