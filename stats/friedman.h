/* Friedman's test of k methods on n blocks by ranks within blocks, and what is read from it.
 *
 *   chi2 = [12 n/(k(k+1)) sum R_j^2 - 3 n (k+1)] / (1 - sum (t^3 - t)/(n k (k^2 - 1)))     R_j: mean rank of method j, 1 the lowest value; t: sizes of ties
 *   Iman-Davenport   F = (n-1) chi2/(n(k-1) - chi2) with k-1, (k-1)(n-1) degrees of freedom
 *   Nemenyi          two methods differ at alpha where |R_i - R_j| >= CD = q(alpha, k)/sqrt(2) sqrt(k(k+1)/(6n));   p of a pair = P(range > |R_i - R_j| sqrt(12 n/(k(k+1))))
 *   range of k independent standard normals:   P(range > q) = k int phi(z) [Phi(z)^(k-1) - (Phi(z) - Phi(z-q))^(k-1)] dz,   q(alpha, k) its upper alpha point
 *
 * Where all blocks rank alike, chi2 = n(k-1) and F is infinite with p = 0: reported as such.
 * References: Friedman, J. American Statistical Association 32 (1937) 675-701; Iman, Davenport, Communications in Statistics A9 (1980) 571-595; Nemenyi (1963); Demsar, JMLR 7 (2006) 1-30.
 * What it is not: for layers or heads as blocks, which depend on each other: n is then too large and CD descriptive. Adjusted paired tests are to be preferred.
 */
#ifndef GYRE_STATS_FRIEDMAN_H
#define GYRE_STATS_FRIEDMAN_H

#include <stddef.h>

#include "core/status.h"

typedef struct gyre_friedman_result {
    double chi2, p;
    double f, p_f;
} gyre_friedman_result;

/* x[n][k], row-major, one value of each method a block; mean_rank: room for k. GYRE_E_APPLICABLE with fewer than 2 blocks or methods or where every block is one tie, GYRE_E_NAN. */
gyre_status gyre_friedman(const double *x, size_t n, size_t k, double *mean_rank, gyre_friedman_result *out, gyre_error *err);

/* P(range > q) and its inverse, k normals; GYRE_E_RANGE unless k >= 2, q >= 0 or 0 < alpha < 1. */
gyre_status gyre_range_tail(double q, size_t k, double *p, gyre_error *err);
gyre_status gyre_range_quantile(double alpha, size_t k, double *q, gyre_error *err);

/* Critical difference of mean ranks at alpha, and the p value of a difference. */
gyre_status gyre_nemenyi_difference(size_t n, size_t k, double alpha, double *cd, gyre_error *err);
gyre_status gyre_nemenyi_p(double difference, size_t n, size_t k, double *p, gyre_error *err);

#endif
