/* Rank correlations of two levels and their bootstrap intervals; definitions in order.h, random numbers in docs/random.md (purpose 10).
 *
 * A resample gives every level of a factor a share (how often it was drawn, over n); a mean is then a sum weighted by the products of shares. Shares of seeds are those of both levels, so that
 * what a lucky seed does to an arm's metric and to its model stays together.
 * Quantiles are those of gsl_stats_quantile_from_sorted_data (type 7 of Hyndman and Fan). Resamples in which all arms tie have no correlation; they are counted and left out.
 */
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "results/order.h"
#include "stats/rank.h"

enum { SEEDS = 0, DOCUMENTS = 1, CHUNKS = 2, FACTORS = 3 }; /* ordinals of purpose 10: part of the format */

/* Share of each of n levels in resample number `resample`; every level once where equal is set. */
static void draw_shares(uint32_t resample, unsigned factor, size_t n, bool equal, double *share)
{
    const gyre_site nowhere = { .draw = resample };
    gyre_random stream = gyre_random_stream(&nowhere, GYRE_PURPOSE_RESAMPLE, factor, false);
    for (size_t i = 0; i < n; i++)
        share[i] = equal ? 1.0 / (double)n : 0.0;
    for (size_t i = 0; i < n && !equal; i++)
        share[((uint64_t)gyre_random_word(&stream, (uint32_t)i) * n) >> 32] += 1.0 / (double)n;
}

static double weighted_mean(const gyre_order_units *a, const double *seeds, const double *units)
{
    double sum = 0.0;
    for (size_t s = 0; s < a->n_seeds; s++) {
        double row = 0.0;
        for (size_t j = 0; j < a->n_units; j++)
            row += units[j] * a->u[s * a->n_units + j];
        sum += (a->seeded ? seeds[s] : 1.0) * row;
    }
    return sum;
}

typedef struct sampler {
    const gyre_order_units *metric, *model;
    size_t n, levels[FACTORS];
    double *share[FACTORS], *x, *y;
} sampler;

static void take_means(sampler *s, uint32_t resample, bool equal)
{
    for (unsigned f = 0; f < FACTORS; f++)
        draw_shares(resample, f, s->levels[f], equal, s->share[f]);
    for (size_t a = 0; a < s->n; a++) {
        s->x[a] = weighted_mean(&s->metric[a], s->share[SEEDS], s->share[DOCUMENTS]);
        s->y[a] = weighted_mean(&s->model[a], s->share[SEEDS], s->share[CHUNKS]);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The quantile of level q, and how far it moves within two standard errors of that level. */
static double quantile(const double *sorted, size_t n, double q, double *error)
{
    double step = 2.0 * sqrt(q * (1.0 - q) / (double)n), value = gsl_stats_quantile_from_sorted_data(sorted, 1, n, q);
    double below = gsl_stats_quantile_from_sorted_data(sorted, 1, n, fmax(q - step, 0.0)), above = gsl_stats_quantile_from_sorted_data(sorted, 1, n, fmin(q + step, 1.0));
    *error = fmax(value - below, above - value);
    return value;
}

static void set_interval(double *values, size_t n, gyre_correlation *c)
{
    qsort(values, n, sizeof *values, by_size);
    c->lo = quantile(values, n, 0.5 * GYRE_ORDER_ALPHA, &c->lo_error);
    c->hi = quantile(values, n, 1.0 - 0.5 * GYRE_ORDER_ALPHA, &c->hi_error);
}

static gyre_status resample_all(sampler *s, gyre_order_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *rho = NULL, *tau = NULL;
    size_t defined = 0;
    GYRE_NEW(&rho, GYRE_ORDER_RESAMPLES);
    GYRE_NEW(&tau, GYRE_ORDER_RESAMPLES);
    for (uint32_t b = 0; b < GYRE_ORDER_RESAMPLES; b++) {
        take_means(s, b, false);
        gyre_status made = gyre_rank_spearman(s->x, s->y, s->n, &rho[defined], err);
        if (made == GYRE_E_APPLICABLE)
            continue;
        GYRE_TRY(made);
        GYRE_TRY(gyre_rank_kendall(s->x, s->y, s->n, &tau[defined], err));
        defined++;
    }
    row->n_undefined = GYRE_ORDER_RESAMPLES - defined;
    if (defined < GYRE_ORDER_RESAMPLES / 2) {
        row->status = "NO_INTERVAL";
        row->reason = "all arms tie in most resamples";
        goto done;
    }
    set_interval(rho, defined, &row->rho);
    set_interval(tau, defined, &row->tau);
done:
    free(rho);
    free(tau);
    return st;
}

/* One level of a factor says nothing about others. */
static const char *without_spread(const gyre_order_row *row)
{
    return row->n_seeds == 1 ? "one seed says nothing about others: compute both sides with more" : row->n_documents < 2 ? "one document says nothing about others"
         : row->n_chunks < 2 ? "one chunk says nothing about others" : NULL;
}

/* The correlations of the arms' means over everything. */
static gyre_status estimate(sampler *s, gyre_order_row *row, bool *exists, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    take_means(s, 0, true);
    gyre_status made = gyre_rank_spearman(s->x, s->y, s->n, &row->rho.value, err);
    *exists = made == GYRE_OK;
    if (made == GYRE_E_APPLICABLE) {
        row->status = "DEGENERATE";
        row->reason = "all arms have the same mean: they have no order";
        goto done;
    }
    GYRE_TRY(made);
    GYRE_TRY(gyre_rank_kendall(s->x, s->y, s->n, &row->tau.value, err));
done:
    return st;
}

gyre_status gyre_order_correlate(const gyre_order_units *metric, const gyre_order_units *model, size_t n, gyre_order_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    sampler s = { .metric = metric, .model = model, .n = n, .levels = { row->n_seeds, row->n_documents, row->n_chunks } };
    const double nan = (double)NAN;
    bool exists = false;
    row->status = "OK";
    row->reason = "";
    row->rho = row->tau = (gyre_correlation){ nan, nan, nan, nan, nan };
    for (size_t f = 0; f < FACTORS; f++)
        GYRE_NEW(&s.share[f], s.levels[f]);
    GYRE_NEW(&s.x, n);
    GYRE_NEW(&s.y, n);
    GYRE_TRY(estimate(&s, row, &exists, err));
    if (!exists)
        goto done;
    if (without_spread(row) != NULL) {
        row->status = "NO_INTERVAL";
        row->reason = without_spread(row);
        goto done;
    }
    GYRE_TRY(resample_all(&s, row, err));
done:
    for (size_t f = 0; f < FACTORS; f++)
        free(s.share[f]);
    free(s.x);
    free(s.y);
    return st;
}
