/* From an estimate to p values, intervals and a verdict.
 *
 *   t       = mean / se                                        p       = 2 Q(|t|)
 *   p_lower = Q((mean - lo) / se)   against mean <= lo         p_upper = P((mean - hi) / se)   against mean >= hi
 *   TOST p  = max(p_lower, p_upper): below alpha exactly where the 1 - 2 alpha interval lies inside the margin (lo, hi)
 *   p_not_worse = p_upper: non-inferiority, where only the upper end of the margin is asked about
 *   smallest margin = |mean| + t(alpha) se: a symmetric margin passes TOST at alpha where it is wider than this
 *
 * P and Q are the lower and upper tail of Student's t with df degrees of freedom, t(alpha) its upper alpha point. Q is never computed as 1 - P.
 * References: Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680; Westlake, Biometrics 32 (1976) 741-744.
 *
 * Lower is better: a negative difference (arm minus reference) speaks for the arm.
 * What it is not: p > alpha is never "the same". Without a margin declared beforehand there is no EQUIVALENT.
 */
#ifndef GYRE_STATS_VERDICT_H
#define GYRE_STATS_VERDICT_H

#include <stdbool.h>

#include "core/status.h"
#include "stats/stats.h"

/* Differences strictly between lo and hi do not matter; lo < 0 < hi, finite. Where not declared, lo and hi are not read. */
struct gyre_margin {
    bool declared;
    double lo, hi;
};

/* {ratio: r}, on differences of logarithms: (-log r, +log r). GYRE_E_CONFIG unless 1 < r < infinity. */
gyre_status gyre_margin_ratio(double ratio, gyre_margin *out, gyre_error *err);

/* {abs: a}, in the metric's unit: (-a, +a). GYRE_E_CONFIG unless 0 < a < infinity. */
gyre_status gyre_margin_abs(double size, gyre_margin *out, gyre_error *err);

/* Everything is NaN for a degenerate estimate; tost_* and p_not_worse are NaN where no margin is declared. An interval that the sample is too small for at this alpha
 * (a rank test of four documents) is NaN. Nothing here is adjusted for a family. */
struct gyre_judgement {
    double t, p;                               /* two-sided, against a difference of 0; t is NaN where the test has none */
    double lo, hi;                             /* interval at confidence 1 - alpha */
    double tost_p_lower, tost_p_upper, tost_p; /* against "at or below lo", "at or above hi", and their maximum */
    double inner_lo, inner_hi;                 /* interval at confidence 1 - 2 alpha, the one that TOST compares with the margin */
    double smallest_margin;                    /* edge of the symmetric margins that pass TOST at alpha */
    double p_not_worse;                        /* one-sided, against "at or above hi": non-inferiority; lo plays no part */
    double p_error;                            /* standard error of p for having drawn resamples; 0 where p is computed without drawing */
};

/* GYRE_E_CONFIG unless 0 < alpha < 1/2 and the margin is as said above. */
gyre_status gyre_judge(const gyre_estimate *estimate, const gyre_margin *margin, double alpha, gyre_judgement *out, gyre_error *err);

/* GYRE_E_CONFIG unless 0 < alpha < 1/2. */
gyre_status gyre_check_alpha(double alpha, gyre_error *err);

/* For implementations of gyre_test_type.judge: GYRE_E_CONFIG unless alpha and margin are as said above; fills out with NaN. */
gyre_status gyre_judge_begin(const gyre_margin *margin, double alpha, gyre_judgement *out, gyre_error *err);

/* What a comparison is asked. */
#define GYRE_GOAL_LIST(X)                                                                                                      \
    X(EQUIVALENT, "equivalent") /* is the difference inside the margin? */                                                     \
    X(NOT_WORSE, "not_worse")   /* is it below the margin's upper end? (non-inferiority) */

typedef enum gyre_goal {
#define GYRE_GOAL_ENUM(name, text) GYRE_GOAL_##name,
    GYRE_GOAL_LIST(GYRE_GOAL_ENUM)
#undef GYRE_GOAL_ENUM
} gyre_goal;

/* Goal "equivalent", in this order: EQUIVALENT, BETTER, WORSE, INCONCLUSIVE. Goal "not_worse": BETTER, NOT_WORSE, WORSE, INCONCLUSIVE. */
#define GYRE_VERDICT_LIST(X)                                                                                                   \
    X(EQUIVALENT)   /* adjusted TOST p < alpha, even where 0 is outside the interval */                                        \
    X(BETTER)       /* adjusted p < alpha and mean < 0 */                                                                      \
    X(NOT_WORSE)    /* adjusted p_not_worse < alpha, even where 0 is outside the interval */                                   \
    X(WORSE)        /* adjusted p < alpha and mean > 0 */                                                                      \
    X(INCONCLUSIVE) /* else: the data do not decide */                                                                         \
    X(DEGENERATE)   /* no spread, all differences equal (zeros included): nothing was tested, so nothing is claimed */

typedef enum gyre_verdict {
#define GYRE_VERDICT_ENUM(name) GYRE_VERDICT_##name,
    GYRE_VERDICT_LIST(GYRE_VERDICT_ENUM)
#undef GYRE_VERDICT_ENUM
} gyre_verdict;

/* p_adjusted and margin_p_adjusted: p, and tost_p or (goal "not_worse") p_not_worse, after adjustment, each over its own family. NaN (not tested) never leads to a
 * claim, nor does a p value whose estimate is exactly 0 (a median can be): it has no direction. */
gyre_verdict gyre_verdict_of(const gyre_estimate *estimate, gyre_goal goal, double p_adjusted, double margin_p_adjusted, double alpha);

/* "EQUIVALENT", ... */
const char *gyre_verdict_name(gyre_verdict verdict);

#endif
