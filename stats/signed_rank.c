/* Signed ranks; formulas, references and cost in signed_rank.h. */
#include "stats/signed_rank.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>

#include "stats/resample.h"

typedef struct placed {
    double size; /* |d - shift|, 0 where it is rounding */
    int sign;
} placed;

static int by_size(const void *a, const void *b)
{
    double x = ((const placed *)a)->size, y = ((const placed *)b)->size;
    return (x > y) - (x < y);
}

/* Doubled ranks of the nonzero differences, sign attached, into out; how many. */
static size_t rank_all(placed *order, size_t n, gyre_zeros zeros, double slack, long *out)
{
    size_t zero = 0, kept = 0;
    qsort(order, n, sizeof *order, by_size);
    while (zero < n && order[zero].sign == 0)
        zero++;
    size_t offset = zeros == GYRE_ZEROS_PRATT ? zero : 0;
    for (size_t first = zero, next; first < n; first = next) {
        for (next = first + 1; next < n && order[next].size - order[first].size <= slack;)
            next++;
        for (size_t i = first; i < next; i++) /* ranks offset + first - zero + 1 .. offset + next - zero */
            out[kept++] = order[i].sign * (long)(2 * (offset - zero) + first + 1 + next);
    }
    return kept;
}

/* P(W <= w) and P(W >= w), W the sum of each rank with probability 1/2; doubled ranks and w. */
static gyre_status exact_tails(const long *rank, size_t m, long w, double *at_most, double *at_least, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *share = NULL; /* of the choices so far with this sum */
    long total = 0;
    for (size_t i = 0; i < m; i++)
        total += labs(rank[i]);
    GYRE_NEW(&share, (size_t)total + 1);
    share[0] = 1.0;
    long reach = 0;
    for (size_t i = 0; i < m; i++) {
        long r = labs(rank[i]);
        reach += r;
        for (long s = reach; s >= r; s--)
            share[s] = 0.5 * (share[s] + share[s - r]);
        for (long s = 0; s < r; s++)
            share[s] *= 0.5;
    }
    *at_most = *at_least = 0.0;
    for (long s = 0; s <= w; s++)
        *at_most += share[s];
    for (long s = total; s >= w; s--)
        *at_least += share[s];
done:
    free(share);
    return st;
}

static void normal_tails(const long *rank, size_t m, gyre_signed_ranks *out)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < m; i++) {
        double r = 0.5 * (double)labs(rank[i]);
        sum += r;
        squares += r * r;
    }
    double off = out->w_plus - 0.5 * sum, sd = 0.5 * sqrt(squares);
    out->p_normal = 2.0 * gsl_cdf_ugaussian_Q(fabs(off) / sd);
    out->p_continuous = fmin(1.0, 2.0 * gsl_cdf_ugaussian_Q((fabs(off) - 0.5) / sd));
    out->greater = gsl_cdf_ugaussian_Q((off - 0.5) / sd);
    out->less = gsl_cdf_ugaussian_P((off + 0.5) / sd);
}

gyre_status gyre_signed_rank(const double *d, size_t n, double shift, gyre_zeros zeros, gyre_signed_ranks *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    placed *order = NULL;
    long *rank = NULL, w = 0, minus = 0;
    double largest = fabs(shift);
    *out = (gyre_signed_ranks){ 0.0, 0.0, 0, true, 1.0, 1.0, 1.0, NAN, NAN };
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(d[i]))
            GYRE_FAIL(GYRE_E_NAN, "difference %zu of %zu is %g", i, n, d[i]);
        largest = fmax(largest, fabs(d[i]));
    }
    GYRE_NEW(&order, n);
    GYRE_NEW(&rank, n);
    double slack = 8.0 * DBL_EPSILON * largest;
    for (size_t i = 0; i < n; i++) {
        double x = d[i] - shift;
        order[i] = fabs(x) <= slack ? (placed){ 0.0, 0 } : (placed){ fabs(x), x > 0.0 ? 1 : -1 };
    }
    out->n = rank_all(order, n, zeros, slack, rank);
    for (size_t i = 0; i < out->n; i++) {
        w += rank[i] > 0 ? rank[i] : 0;
        minus -= rank[i] < 0 ? rank[i] : 0;
    }
    out->w_plus = 0.5 * (double)w;
    out->w_minus = 0.5 * (double)minus;
    if (out->n == 0)
        goto done;
    normal_tails(rank, out->n, out);
    out->exact = out->n <= GYRE_RANKS_EXACT;
    if (out->exact)
        GYRE_TRY(exact_tails(rank, out->n, w, &out->less, &out->greater, err));
    out->p = fmin(1.0, 2.0 * fmin(out->less, out->greater));
done:
    free(order);
    free(rank);
    return st;
}

gyre_status gyre_hodges_lehmann(const double *d, size_t n, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *walsh = NULL;
    size_t m = 0;
    if (n == 0 || n > GYRE_WALSH_MOST)
        GYRE_FAIL(GYRE_E_APPLICABLE, "the pseudo-median of %zu differences: between 1 and %d", n, GYRE_WALSH_MOST);
    GYRE_NEW(&walsh, n * (n + 1) / 2);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            walsh[m++] = 0.5 * (d[i] + d[j]);
    gyre_resample_sort(walsh, m);
    *out = gsl_stats_median_from_sorted_data(walsh, 1, m);
done:
    free(walsh);
    return st;
}
