/* Intervals of rank correlations of n independent pairs (stats/rank.h has the correlations).
 *
 *   Fisher     tanh(atanh(r) -+ z(alpha/2) se);   Spearman se^2 = (1 + r^2/2)/(n - 3),   Kendall se^2 = 0.437/(n - 4)
 *   bootstrap  percentiles of the correlation over resampled pairs (stats/resample.h); resamples in which one list is constant have none, are counted and left out
 *
 * References: Bonett, Wright, Psychometrika 65 (2000) 23-28; Fieller, Hartley, Pearson, Biometrika 44 (1957) 470-481; Efron, Tibshirani (1993).
 * What it is not: for arms of an experiment as pairs, which are chosen and not drawn (results/order.h resamples seeds and documents instead).
 */
#ifndef GYRE_STATS_RANK_INTERVAL_H
#define GYRE_STATS_RANK_INTERVAL_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* From the correlation and n alone; at r = 1 and -1 the interval is the point. GYRE_E_APPLICABLE for fewer than 5 pairs, GYRE_E_RANGE for |r| > 1, GYRE_E_CONFIG for alpha. */
gyre_status gyre_spearman_interval(double rho, size_t n, double alpha, double *lo, double *hi, gyre_error *err);
gyre_status gyre_kendall_interval(double tau, size_t n, double alpha, double *lo, double *hi, gyre_error *err);

/* correlate: gyre_rank_spearman or gyre_rank_kendall. left_out: resamples without a correlation; GYRE_E_APPLICABLE where these are more than half. */
gyre_status gyre_rank_bootstrap(gyre_status (*correlate)(const double *, const double *, size_t, double *, gyre_error *), const double *x, const double *y, size_t n, double alpha,
                                size_t resamples, uint64_t seed, double *lo, double *hi, size_t *left_out, gyre_error *err);

#endif
