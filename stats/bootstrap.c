/* bootstrap: n documents, one difference each; the percentile interval of the mean over resampled documents.
 *
 *   m_b = mean of n differences drawn with replacement, b = 1..B        interval: (Q(alpha/2), Q(1 - alpha/2)) of m        se = sd of m
 *
 * p values and TOST by the same levels (stats/resample.h): TOST p < alpha exactly where the 1 - 2 alpha percentile interval lies inside the margin.
 * Reference: Efron, Annals of Statistics 7 (1979) 1-26. Shapes: S = 1, D >= 2. Cost: O(B D). B = GYRE_RESAMPLES.
 * What it is not: honest with few documents (fewer than about 30): its interval is then too short, and its p values too small (docs/statistics.md). Nor a test for seeded arms:
 * crossed_bootstrap.
 */
#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_statistics_double.h>

#include "stats/resample.h"
#include "stats/stats.h"

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    return gyre_one_seed_estimate(&gyre_test_bootstrap, d, seeds, documents, out, err);
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_bca percentile = { 0.0, 0.0 };
    double *means = NULL;
    GYRE_TRY(estimate(d, seeds, documents, e, err));
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    if (e->degenerate)
        goto done;
    GYRE_NEW(&means, GYRE_RESAMPLES);
    gyre_bootstrap_means(d, documents, GYRE_RESAMPLES, seed, means);
    e->se = gsl_stats_sd(means, 1, GYRE_RESAMPLES);
    gyre_resample_sort(means, GYRE_RESAMPLES);
    gyre_judge_resampled(means, GYRE_RESAMPLES, &percentile, margin, alpha, out);
done:
    free(means);
    return st;
}

const gyre_test_type gyre_test_bootstrap = {
    .name = "bootstrap",
    .summary = "percentile bootstrap of the mean over documents, for arms without seeds",
    .source = "Efron, Annals of Statistics 7 (1979) 1-26",
    .applicable = gyre_one_seed_applicable,
    .estimate = estimate,
    .judge = judge,
};
