/* One long series of dependent numbers (chunks of one text).
 *
 *   acf          g_l = sum_{t} (x_t - m)(x_{t+l} - m)/n,   r_l = g_l/g_0
 *   Newey-West   lrv = g_0 + 2 sum_{l=1..L} (1 - l/(L+1)) g_l,   se(mean) = sqrt(lrv/n),   n_eff = n g_0/lrv
 *   blocks       circular block bootstrap: n/b blocks of b numbers from random starts, wrapping round; mean of each resample
 *
 * References: Newey, West, Econometrica 55 (1987) 703-708; Politis, Romano, "A circular block-resampling procedure" (1992).
 * What it is not: a test to rely on: both are too sure of themselves (docs/statistics.md). Independent texts are what a claim needs; these describe how far one text falls short.
 */
#ifndef GYRE_STATS_SERIES_H
#define GYRE_STATS_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* r[0..lags], r[0] = 1. All three: GYRE_E_APPLICABLE for fewer than 2 numbers, as many lags as numbers, or a constant series (up to rounding); GYRE_E_NAN. */
gyre_status gyre_series_acf(const double *x, size_t n, size_t lags, double *r, gyre_error *err);

gyre_status gyre_series_newey_west(const double *x, size_t n, size_t lags, double *se, double *n_eff, gyre_error *err);

/* Standard deviation of the means of the resamples and their percentile interval. n must be a whole number of blocks of at least 1. */
gyre_status gyre_series_blocks(const double *x, size_t n, size_t block, double alpha, size_t resamples, uint64_t seed, double *se, double *lo, double *hi, gyre_error *err);

#endif
