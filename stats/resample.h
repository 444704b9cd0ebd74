/* Resampling: the stream of indices, bootstrap means, and p values and intervals from a sorted bootstrap distribution.
 *
 *   stream       state += 0x9E3779B97F4A7C15;  u = mix(state);  index of n = high 64 bits of u n          (SplitMix64, started at the seed)
 *   quantile     Q(q): linear between order statistics at place q (B - 1) (type 7 of Hyndman and Fan)
 *   level        alpha -> Phi(z0 + (z0 + z)/(1 - a (z0 + z))),  z = Phi^-1(alpha);   z0 = a = 0: alpha itself, the percentile interval
 *   p values     against "truth <= x": the level at which the lower end of the interval is x, that is the level's inverse at sup {q: Q(q) <= x};
 *                against "truth >= x" likewise from above; never below 1/(B + 1), since B resamples can say no more;   two-sided: twice the smaller one
 *
 * so that p < alpha holds exactly where the one-sided 1 - alpha interval excludes x (alpha > 1/(B + 1)).
 * References: Steele, Lea, Flood, OOPSLA 2014, 453-472; Efron, Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 and 14; Hyndman, Fan, American Statistician 50 (1996) 361-365.
 * What it is not: a cure for few documents. A resample of n documents has their spread with n, not n - 1, under the fraction line; docs/statistics.md has measured error rates.
 */
#ifndef GYRE_STATS_RESAMPLE_H
#define GYRE_STATS_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "stats/verdict.h"

/* Of the tests in the registry: 1/(B + 1) is a round number. Sign flips are drawn above GYRE_FLIPS_EXACT documents. */
enum { GYRE_RESAMPLES = 9999, GYRE_FLIPS_EXACT = 25 };

/* The next number of the stream, and the next index below n. */
uint64_t gyre_resample_next(uint64_t *state);
size_t gyre_resample_index(uint64_t *state, size_t n);

/* Means of `resamples` resamples of n numbers, in the order drawn; resample b takes indices b n .. b n + n - 1 of the stream. */
void gyre_bootstrap_means(const double *x, size_t n, size_t resamples, uint64_t seed, double *out);

/* Sorts in place, upwards. */
void gyre_resample_sort(double *x, size_t n);

/* How many of sorted numbers are below x, or at most x. */
size_t gyre_resample_count(const double *sorted, size_t n, double x, bool or_equal);

/* Bias correction z0 (half of the means equal to the estimate counted as below it) and acceleration a (from leaving out one document each) of BCa.
 * GYRE_E_RANGE where all means lie on one side. */
typedef struct gyre_bca {
    double z0, a;
} gyre_bca;
gyre_status gyre_bca_of(const double *x, size_t n, const double *means, size_t resamples, gyre_bca *out, gyre_error *err);

/* Ends of the interval at confidence 1 - 2 tail from a sorted distribution. */
void gyre_resample_interval(const double *sorted, size_t n, const gyre_bca *bca, double tail, double *lo, double *hi);

/* The whole judgement from a sorted distribution, less what gyre_judge_begin has done. */
void gyre_judge_resampled(const double *sorted, size_t n, const gyre_bca *bca, const gyre_margin *margin, double alpha, gyre_judgement *out);

/* judge() of a test by resampled means, of one difference per document, after its estimate e: percentile interval, or corrected (BCa). Sets e->se. */
gyre_status gyre_judge_bootstrap(const double *d, size_t documents, bool corrected, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                                 gyre_error *err);

#endif
