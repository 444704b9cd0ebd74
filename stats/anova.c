/* Analysis of variance; formulas, references and what it is not in anova.h. Sums of squares are of deviations from means, never differences of large sums. */
#include "stats/anova.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>

static gyre_status check(const double *x, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            GYRE_FAIL(GYRE_E_NAN, "value %zu of an analysis of variance is %g", i, x[i]);
done:
    return st;
}

static void set_f(gyre_anova *a)
{
    a->f = a->ss_residual > 0.0 ? (a->ss_between / a->df_between) / (a->ss_residual / a->df_residual) : a->ss_between > 0.0 ? INFINITY : NAN;
    a->p = isinf(a->f) ? 0.0 : isnan(a->f) ? NAN : gsl_cdf_fdist_Q(a->f, a->df_between, a->df_residual);
}

gyre_status gyre_anova_one_way(const double *x, const size_t *sizes, size_t k, gyre_anova *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = 0, first = 0;
    *out = (gyre_anova){ 0.0, NAN, 0.0, NAN, NAN, NAN, NAN, NAN, NAN };
    for (size_t g = 0; g < k; g++) {
        if (sizes[g] == 0)
            GYRE_FAIL(GYRE_E_APPLICABLE, "group %zu of an analysis of variance is empty", g);
        n += sizes[g];
    }
    if (k < 2 || n <= k)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%zu value(s) in %zu group(s): at least 2 groups, and more values than groups", n, k);
    GYRE_TRY(check(x, n, err));
    double mean = gsl_stats_mean(x, 1, n);
    for (size_t g = 0; g < k; first += sizes[g++]) {
        double group = gsl_stats_mean(x + first, 1, sizes[g]);
        out->ss_between += (double)sizes[g] * (group - mean) * (group - mean);
        out->ss_residual += gsl_stats_tss_m(x + first, 1, sizes[g], group);
    }
    out->df_between = (double)(k - 1);
    out->df_residual = (double)(n - k);
    set_f(out);
done:
    return st;
}

/* Greenhouse and Geisser's epsilon of residuals r[n][k], whose rows and columns have mean 0: then r' r is C but for a factor. */
static double epsilon_of(const double *r, size_t n, size_t k)
{
    double trace = 0.0, squares = 0.0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) {
            double c = 0.0;
            for (size_t b = 0; b < n; b++)
                c += r[b * k + i] * r[b * k + j];
            trace += i == j ? c : 0.0;
            squares += c * c;
        }
    return trace * trace / ((double)(k - 1) * squares);
}

gyre_status gyre_anova_two_way(const double *x, size_t n, size_t k, gyre_anova *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *r = NULL, *method = NULL;
    *out = (gyre_anova){ 0.0, 0.0, 0.0, NAN, NAN, NAN, NAN, NAN, NAN };
    if (n < 2 || k < 2)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%zu block(s) of %zu method(s): at least 2 of each", n, k);
    GYRE_TRY(check(x, n * k, err));
    GYRE_NEW(&r, n * k);
    GYRE_NEW(&method, k);
    double mean = gsl_stats_mean(x, 1, n * k);
    for (size_t j = 0; j < k; j++) {
        method[j] = gsl_stats_mean(x + j, k, n);
        out->ss_between += (double)n * (method[j] - mean) * (method[j] - mean);
    }
    for (size_t i = 0; i < n; i++) {
        double block = gsl_stats_mean(x + i * k, 1, k);
        out->ss_block += (double)k * (block - mean) * (block - mean);
        for (size_t j = 0; j < k; j++) {
            r[i * k + j] = (x[i * k + j] - block) - (method[j] - mean);
            out->ss_residual += r[i * k + j] * r[i * k + j];
        }
    }
    out->df_between = (double)(k - 1);
    out->df_residual = (double)(k - 1) * (double)(n - 1);
    set_f(out);
    out->epsilon = out->ss_residual > 0.0 ? epsilon_of(r, n, k) : NAN;
    if (isfinite(out->f))
        out->p_epsilon = gsl_cdf_fdist_Q(out->f, out->epsilon * out->df_between, out->epsilon * out->df_residual);
done:
    free(r);
    free(method);
    return st;
}
