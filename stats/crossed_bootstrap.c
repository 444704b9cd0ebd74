/* crossed_bootstrap: S seeds x D documents; seeds and documents are resampled independently of each other, and the matrix of what was drawn is averaged.
 *
 *   m_b = sum over s, j of c_s k_j d[s][j] / (S D),   c: how often each of S seeds was drawn in S draws, k likewise of D documents        interval: percentiles of m
 *
 * The variance of m is about (S-1)/S a/S + (D-1)/D b/D + 3 e/(S D) where that of the mean is a/S + b/D + e/(S D): too wide where the residual rules, too short with few
 * levels. p values and TOST by the same levels (stats/resample.h).
 * References: McCullagh, Bernoulli 6 (2000) 285-301; Owen, Annals of Applied Statistics 1 (2007) 386-411. Shapes: S >= 2, D >= 2. Cost: O(B S D). B = GYRE_RESAMPLES.
 * What it is not: exact (no bootstrap of crossed factors is), nor trustworthy below about 30 levels of the factor that rules (stats/caution.h); crossed.c is the default.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_statistics_double.h>

#include "stats/resample.h"
#include "stats/stats.h"

static bool applicable(size_t seeds, size_t documents, char *why, size_t why_size)
{
    return gyre_test_crossed.applicable(seeds, documents, why, why_size);
}

/* The components are those of the crossed test; standard error and degrees of freedom are not. */
static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_estimate_begin(&gyre_test_crossed_bootstrap, d, seeds, documents, out, err));
    GYRE_TRY(gyre_test_crossed.estimate(d, seeds, documents, out, err));
    if (!out->degenerate)
        out->se = out->df = NAN;
done:
    return st;
}

static void resample(const double *d, size_t seeds, size_t documents, uint64_t *state, size_t *times, double *mean)
{
    double sum = 0.0;
    memset(times, 0, (seeds + documents) * sizeof *times);
    for (size_t s = 0; s < seeds; s++)
        times[gyre_resample_index(state, seeds)]++;
    for (size_t j = 0; j < documents; j++)
        times[seeds + gyre_resample_index(state, documents)]++;
    for (size_t s = 0; s < seeds; s++) {
        double row = 0.0;
        for (size_t j = 0; times[s] > 0 && j < documents; j++)
            row += (double)times[seeds + j] * d[s * documents + j];
        sum += (double)times[s] * row;
    }
    *mean = sum / ((double)seeds * (double)documents);
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_bca percentile = { 0.0, 0.0 };
    double *means = NULL;
    size_t *times = NULL;
    GYRE_TRY(estimate(d, seeds, documents, e, err));
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    if (e->degenerate)
        goto done;
    GYRE_NEW(&means, GYRE_RESAMPLES);
    GYRE_NEW(&times, seeds + documents);
    for (size_t b = 0; b < GYRE_RESAMPLES; b++)
        resample(d, seeds, documents, &seed, times, &means[b]);
    e->se = gsl_stats_sd(means, 1, GYRE_RESAMPLES);
    gyre_resample_sort(means, GYRE_RESAMPLES);
    gyre_judge_resampled(means, GYRE_RESAMPLES, &percentile, margin, alpha, out);
done:
    free(means);
    free(times);
    return st;
}

const gyre_test_type gyre_test_crossed_bootstrap = {
    .name = "crossed_bootstrap",
    .summary = "percentile bootstrap that resamples seeds and documents independently",
    .source = "McCullagh, Bernoulli 6 (2000) 285-301; Owen, Annals of Applied Statistics 1 (2007) 386-411",
    .applicable = applicable,
    .estimate = estimate,
    .judge = judge,
};
