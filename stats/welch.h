/* Welch's t for two independent samples whose variances may differ.
 *
 *   mean = mean(a) - mean(b)      se^2 = u + v,  u = var(a)/n_a,  v = var(b)/n_b      df = (u + v)^2 / (u^2/(n_a - 1) + v^2/(n_b - 1))
 *
 * The estimate goes through gyre_judge as that of any t test: p values, interval, TOST, non-inferiority.
 * References: Welch, Biometrika 34 (1947) 28-35; Satterthwaite, Biometrics Bulletin 2 (1946) 110-114.
 * What it is not: for arms that share documents or seeds: pairing is then thrown away, and with it most of the precision.
 */
#ifndef GYRE_STATS_WELCH_H
#define GYRE_STATS_WELCH_H

#include <stddef.h>

#include "core/status.h"
#include "stats/stats.h"

/* Components are NaN. Degenerate where both samples are constant (up to rounding). GYRE_E_APPLICABLE with fewer than 2 numbers on a side, GYRE_E_NAN, GYRE_E_RANGE. */
gyre_status gyre_welch(const double *a, size_t n_a, const double *b, size_t n_b, gyre_estimate *out, gyre_error *err);

#endif
