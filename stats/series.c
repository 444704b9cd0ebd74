/* Dependent numbers; formulas, references and what they are not in series.h. Cost: O(n lags), O(resamples n). */
#include "stats/series.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_statistics_double.h>

#include "stats/resample.h"
#include "stats/stats.h"

static gyre_status check(const double *x, size_t n, size_t lags, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (n < 2 || lags >= n)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%zu lag(s) of a series of %zu numbers: at least 2 numbers, and more numbers than lags", lags, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            GYRE_FAIL(GYRE_E_NAN, "number %zu of the series is %g", i, x[i]);
    if (gyre_is_constant(x, n))
        GYRE_FAIL(GYRE_E_APPLICABLE, "all %zu numbers of the series are %g", n, x[0]);
done:
    return st;
}

static double covariance(const double *x, size_t n, double mean, size_t lag)
{
    double sum = 0.0;
    for (size_t t = 0; t + lag < n; t++)
        sum += (x[t] - mean) * (x[t + lag] - mean);
    return sum / (double)n;
}

gyre_status gyre_series_acf(const double *x, size_t n, size_t lags, double *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check(x, n, lags, err));
    double mean = gsl_stats_mean(x, 1, n), variance = covariance(x, n, mean, 0);
    r[0] = 1.0;
    for (size_t l = 1; l <= lags; l++)
        r[l] = covariance(x, n, mean, l) / variance;
done:
    return st;
}

gyre_status gyre_series_newey_west(const double *x, size_t n, size_t lags, double *se, double *n_eff, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check(x, n, lags, err));
    double mean = gsl_stats_mean(x, 1, n), variance = covariance(x, n, mean, 0), sum = variance; /* Bartlett's weights keep the sum above 0 */
    for (size_t l = 1; l <= lags; l++)
        sum += 2.0 * (1.0 - (double)l / ((double)lags + 1.0)) * covariance(x, n, mean, l);
    *se = sqrt(sum / (double)n);
    *n_eff = (double)n * variance / sum;
done:
    return st;
}

gyre_status gyre_series_blocks(const double *x, size_t n, size_t block, double alpha, size_t resamples, uint64_t seed, double *se, double *lo, double *hi, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_bca percentile = { 0.0, 0.0 };
    double *means = NULL;
    GYRE_TRY(check(x, n, 0, err));
    if (block == 0 || n % block != 0 || resamples < 2)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%zu resamples of %zu numbers in blocks of %zu: whole blocks and at least 2 resamples", resamples, n, block);
    GYRE_TRY(gyre_check_alpha(alpha, err));
    GYRE_NEW(&means, resamples);
    for (size_t b = 0; b < resamples; b++) {
        for (size_t k = 0; k < n / block; k++)
            for (size_t i = 0, start = gyre_resample_index(&seed, n); i < block; i++)
                means[b] += x[(start + i) % n];
        means[b] /= (double)n;
    }
    *se = gsl_stats_sd(means, 1, resamples);
    gyre_resample_sort(means, resamples);
    gyre_resample_interval(means, resamples, &percentile, 0.5 * alpha, lo, hi);
done:
    free(means);
    return st;
}
