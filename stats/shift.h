/* Judgements of tests of location: the sample is shifted by what it is tested against.
 *
 *   greater(theta), less(theta)   one-sided p values against "location <= theta" and "location >= theta"; in theta the first rises, the second falls
 *   p = min(1, 2 min(greater(0), less(0)))        TOST: greater(lo), less(hi)
 *   interval at confidence 1 - 2 tail: every theta with greater(theta) >= tail and less(theta) >= tail, its ends found by bisection to 1e-13 of the sample's size
 *
 * so TOST p < alpha exactly where the 1 - 2 alpha interval lies inside the margin, but for that 1e-13 and for tails that are not monotone: those of signed ranks at a theta that is itself a
 * difference or the mean of two, where zeros are dropped and ranks shared (Pratt, J. American Statistical Association 54 (1959) 655-667). Where even an end beyond all data is not rejected (too few documents for this
 * tail) there is no interval: NaN.
 * Reference: Hodges, Lehmann, Annals of Mathematical Statistics 34 (1963) 598-611.
 */
#ifndef GYRE_STATS_SHIFT_H
#define GYRE_STATS_SHIFT_H

#include <stddef.h>

#include "core/status.h"
#include "stats/verdict.h"

typedef gyre_status (*gyre_shift_tails)(void *sample, double theta, double *greater, double *less, gyre_error *err);

/* All of the judgement but p_error (0 here), less what gyre_judge_begin has done. d: the differences, for their extremes. */
gyre_status gyre_judge_by_shift(gyre_shift_tails tails, void *sample, const double *d, size_t n, const gyre_margin *margin, double alpha, gyre_judgement *out, gyre_error *err);

#endif
