/* Resampling; formulas, references and what it is not in resample.h. Cost: O(B n) for the means, O(B log B) to sort. */
#include "stats/resample.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>

uint64_t gyre_resample_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* The high half of a 64 x 64 bit product, from halves of 32 bits: C11 has no wider type. */
size_t gyre_resample_index(uint64_t *state, size_t n)
{
    uint64_t u = gyre_resample_next(state), low = (u & UINT32_MAX) * ((uint64_t)n & UINT32_MAX), mid = (u >> 32) * ((uint64_t)n & UINT32_MAX);
    uint64_t other = (u & UINT32_MAX) * ((uint64_t)n >> 32), carry = ((low >> 32) + (mid & UINT32_MAX) + (other & UINT32_MAX)) >> 32;
    return (size_t)((u >> 32) * ((uint64_t)n >> 32) + (mid >> 32) + (other >> 32) + carry);
}

void gyre_bootstrap_means(const double *x, size_t n, size_t resamples, uint64_t seed, double *out)
{
    uint64_t state = seed;
    for (size_t b = 0; b < resamples; b++) {
        double sum = 0.0;
        for (size_t i = 0; i < n; i++)
            sum += x[gyre_resample_index(&state, n)];
        out[b] = sum / (double)n;
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void gyre_resample_sort(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_size);
}

gyre_status gyre_bca_of(const double *x, size_t n, const double *means, size_t resamples, gyre_bca *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double sum = 0.0, size = 0.0, below = 0.0, cubes = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        size = fmax(size, fabs(x[i]));
    }
    double mean = sum / (double)n, slack = 1e-13 * size; /* sums of the same numbers in another order are equal means */
    for (size_t b = 0; b < resamples; b++)
        below += means[b] < mean - slack ? 1.0 : means[b] <= mean + slack ? 0.5 : 0.0;
    for (size_t i = 0; i < n; i++) { /* mean of the jackknife means, which is the mean, less the mean without x[i] */
        double u = (x[i] - mean) / (double)(n - 1);
        squares += u * u;
        cubes += u * u * u;
    }
    if (!(below > 0.0 && below < (double)resamples) || !(squares > 0.0))
        GYRE_FAIL(GYRE_E_RANGE, "BCa of %zu documents: all %zu resamples lie on one side of the estimate", n, resamples);
    out->z0 = gsl_cdf_ugaussian_Pinv(below / (double)resamples);
    out->a = cubes / (6.0 * squares * sqrt(squares));
done:
    return st;
}

static bool is_percentile(const gyre_bca *bca)
{
    return !(bca->z0 > 0.0) && !(bca->z0 < 0.0) && !(bca->a > 0.0) && !(bca->a < 0.0);
}

/* The quantile's level for the end of an interval whose nominal lower tail is `tail`. */
static double level(const gyre_bca *bca, double tail)
{
    if (is_percentile(bca))
        return tail;
    double u = bca->z0 + gsl_cdf_ugaussian_Pinv(tail);
    double v = 1.0 - bca->a * u;
    return v > 0.0 ? gsl_cdf_ugaussian_P(bca->z0 + u / v) : u > 0.0 ? 1.0 : 0.0;
}

/* Its inverse, as both tails. */
static void tails_of_level(const gyre_bca *bca, double q, double *lower, double *upper)
{
    *lower = q;
    *upper = 1.0 - q;
    if (is_percentile(bca) || q <= 0.0 || q >= 1.0)
        return;
    double w = gsl_cdf_ugaussian_Pinv(q) - bca->z0, v = 1.0 + bca->a * w;
    double z = v > 0.0 ? w / v - bca->z0 : w > 0.0 ? INFINITY : -INFINITY;
    *lower = gsl_cdf_ugaussian_P(z);
    *upper = gsl_cdf_ugaussian_Q(z);
}

void gyre_resample_interval(const double *sorted, size_t n, const gyre_bca *bca, double tail, double *lo, double *hi)
{
    *lo = gsl_stats_quantile_from_sorted_data(sorted, 1, n, level(bca, tail));
    *hi = gsl_stats_quantile_from_sorted_data(sorted, 1, n, level(bca, 1.0 - tail));
}

size_t gyre_resample_count(const double *sorted, size_t n, double x, bool or_equal)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (sorted[middle] < x || (or_equal && sorted[middle] <= x))
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* sup {q: Q(q) <= x} (upper) or inf {q: Q(q) >= x}: they differ where x is one of the values. */
static double level_at(const double *sorted, size_t n, double x, bool upper)
{
    size_t k = gyre_resample_count(sorted, n, x, upper);
    if (k == 0)
        return 0.0;
    if (k == n)
        return 1.0;
    double below = sorted[k - 1], above = sorted[k];
    return ((double)(k - 1) + (x - below) / (above - below)) / (double)(n - 1);
}

/* One-sided p values against "truth <= x" and "truth >= x". */
static double p_above(const double *sorted, size_t n, const gyre_bca *bca, double x)
{
    double lower, upper;
    tails_of_level(bca, level_at(sorted, n, x, true), &lower, &upper);
    return fmax(lower, 1.0 / ((double)n + 1.0));
}

static double p_below(const double *sorted, size_t n, const gyre_bca *bca, double x)
{
    double lower, upper;
    tails_of_level(bca, level_at(sorted, n, x, false), &lower, &upper);
    return fmax(upper, 1.0 / ((double)n + 1.0));
}

void gyre_judge_resampled(const double *sorted, size_t n, const gyre_bca *bca, const gyre_margin *margin, double alpha, gyre_judgement *out)
{
    double one_sided = fmin(p_above(sorted, n, bca, 0.0), p_below(sorted, n, bca, 0.0));
    out->p = fmin(1.0, 2.0 * one_sided);
    out->p_error = 2.0 * sqrt(one_sided * (1.0 - one_sided) / (double)n);
    gyre_resample_interval(sorted, n, bca, 0.5 * alpha, &out->lo, &out->hi);
    gyre_resample_interval(sorted, n, bca, alpha, &out->inner_lo, &out->inner_hi);
    out->smallest_margin = fmax(fabs(out->inner_lo), fabs(out->inner_hi));
    if (!margin->declared)
        return;
    out->tost_p_lower = p_above(sorted, n, bca, margin->lo);
    out->tost_p_upper = out->p_not_worse = p_below(sorted, n, bca, margin->hi);
    out->tost_p = fmax(out->tost_p_lower, out->tost_p_upper);
}

gyre_status gyre_judge_bootstrap(const double *d, size_t documents, bool corrected, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                                 gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_bca bca = { 0.0, 0.0 };
    double *means = NULL;
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    if (e->degenerate)
        goto done;
    GYRE_NEW(&means, GYRE_RESAMPLES);
    gyre_bootstrap_means(d, documents, GYRE_RESAMPLES, seed, means);
    e->se = gsl_stats_sd(means, 1, GYRE_RESAMPLES);
    if (corrected)
        GYRE_TRY(gyre_bca_of(d, documents, means, GYRE_RESAMPLES, &bca, err));
    gyre_resample_sort(means, GYRE_RESAMPLES);
    gyre_judge_resampled(means, GYRE_RESAMPLES, &bca, margin, alpha, out);
done:
    free(means);
    return st;
}
