/* Effect sizes of n paired differences d = a - b, with intervals.
 *
 *   dz   = mean/s                                        units: standard deviations of the difference; interval from the noncentral t of mean sqrt(n)/s, inverted
 *   g    = J dz,  J = exp(lnG(df/2) - lnG((df-1)/2))/sqrt(df/2),  df = n - 1        dz without its bias; interval J times that of dz
 *   d_av = mean / sqrt((s_a^2 + s_b^2)/2)                units: standard deviations of a document under one arm
 *   rank-biserial = (W+ - W-)/(W+ + W-)                  share of rank sums in favour of a > b less the rest, zeros dropped
 *   Hodges-Lehmann = median of (d_i + d_j)/2, i <= j      units: the metric's; interval by the signed ranks
 *
 * References: Hedges, J. Educational Statistics 6 (1981) 107-128; Cohen, "Statistical Power Analysis" (1988); Kerby, Comprehensive Psychology 3 (2014) 1; Cumming, Finch, Educational and
 * Psychological Measurement 61 (2001) 532-574.
 * What it is not: comparable between designs: dz grows with how alike the arms are on a document. The mean in the metric's own unit is what a comparison reports; these stand beside it.
 */
#ifndef GYRE_STATS_EFFECT_H
#define GYRE_STATS_EFFECT_H

#include <stddef.h>

#include "core/status.h"

typedef struct gyre_effect {
    double dz, dz_lo, dz_hi;
    double j; /* NaN, and g with it, for n = 2 */
    double g, g_lo, g_hi;
    double d_av; /* NaN without b */
    double rank_biserial; /* NaN where all differences are zero */
    double hodges_lehmann, hl_lo, hl_hi; /* interval NaN where n is too small for alpha, all three above GYRE_WALSH_MOST pairs */
} gyre_effect;

/* a: one arm, b: the other; b NULL: a holds the differences. Intervals at confidence 1 - alpha. GYRE_E_APPLICABLE with fewer than 2 pairs or without spread, GYRE_E_NAN, GYRE_E_CONFIG. */
gyre_status gyre_effect_sizes(const double *a, const double *b, size_t n, double alpha, gyre_effect *out, gyre_error *err);

#endif
