/* Intervals of rank correlations; formulas, references and what they are not in rank_interval.h. */
#include "stats/rank_interval.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>

#include "stats/resample.h"

static gyre_status fisher(double r, size_t n, double variance, double alpha, double *lo, double *hi, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (n < 5)
        GYRE_FAIL(GYRE_E_APPLICABLE, "an interval of a rank correlation of %zu pairs: at least 5", n);
    if (!(fabs(r) <= 1.0))
        GYRE_FAIL(GYRE_E_RANGE, "a correlation of %g", r);
    GYRE_TRY(gyre_check_alpha(alpha, err));
    double z = atanh(r), off = gsl_cdf_ugaussian_Qinv(0.5 * alpha) * sqrt(variance); /* atanh 1 is infinite, and tanh of it 1 */
    *lo = tanh(z - off);
    *hi = tanh(z + off);
done:
    return st;
}

gyre_status gyre_spearman_interval(double rho, size_t n, double alpha, double *lo, double *hi, gyre_error *err)
{
    return fisher(rho, n, (1.0 + 0.5 * rho * rho) / ((double)n - 3.0), alpha, lo, hi, err);
}

gyre_status gyre_kendall_interval(double tau, size_t n, double alpha, double *lo, double *hi, gyre_error *err)
{
    return fisher(tau, n, 0.437 / ((double)n - 4.0), alpha, lo, hi, err);
}

gyre_status gyre_rank_bootstrap(gyre_status (*correlate)(const double *, const double *, size_t, double *, gyre_error *), const double *x, const double *y, size_t n, double alpha,
                                size_t resamples, uint64_t seed, double *lo, double *hi, size_t *left_out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_bca percentile = { 0.0, 0.0 };
    double *u = NULL, *v = NULL, *r = NULL, whole;
    size_t kept = 0;
    GYRE_TRY(gyre_check_alpha(alpha, err));
    GYRE_TRY(correlate(x, y, n, &whole, err)); /* what is wrong with the lists is wrong with their resamples */
    GYRE_NEW(&u, n);
    GYRE_NEW(&v, n);
    GYRE_NEW(&r, resamples);
    for (size_t b = 0; b < resamples; b++) {
        for (size_t i = 0; i < n; i++) {
            size_t k = gyre_resample_index(&seed, n);
            u[i] = x[k];
            v[i] = y[k];
        }
        gyre_status made = correlate(u, v, n, &r[kept], err);
        if (made == GYRE_E_APPLICABLE)
            continue;
        GYRE_TRY(made);
        kept++;
    }
    *left_out = resamples - kept;
    if (2 * kept < resamples || kept == 0)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%zu of %zu resamples of %zu pairs have no rank correlation: too few distinct numbers", *left_out, resamples, n);
    gyre_resample_sort(r, kept);
    gyre_resample_interval(r, kept, &percentile, 0.5 * alpha, lo, hi);
done:
    free(u);
    free(v);
    free(r);
    return st;
}
