/* bootstrap: n documents, one difference each; the percentile interval of the mean over resampled documents.
 *
 *   m_b = mean of n differences drawn with replacement, b = 1..B        interval: (Q(alpha/2), Q(1 - alpha/2)) of m        se = sd of m
 *
 * p values and TOST by the same levels (stats/resample.h): TOST p < alpha exactly where the 1 - 2 alpha percentile interval lies inside the margin.
 * Reference: Efron, Annals of Statistics 7 (1979) 1-26. Shapes: S = 1, D >= 2. Cost: O(B D). B = GYRE_RESAMPLES.
 * What it is not: honest with few documents (fewer than about 30): its interval is then too short, and its p values too small (docs/statistics.md). Nor a test for seeded arms:
 * crossed_bootstrap.
 */
#include "stats/resample.h"
#include "stats/stats.h"

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    return gyre_one_seed_estimate(&gyre_test_bootstrap, d, seeds, documents, out, err);
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = estimate(d, seeds, documents, e, err);
    return st == GYRE_OK ? gyre_judge_bootstrap(d, documents, false, margin, alpha, seed, e, out, err) : st;
}

const gyre_test_type gyre_test_bootstrap = {
    .name = "bootstrap",
    .summary = "percentile bootstrap of the mean over documents, for arms without seeds",
    .source = "Efron, Annals of Statistics 7 (1979) 1-26",
    .applicable = gyre_one_seed_applicable,
    .estimate = estimate,
    .judge = judge,
};
