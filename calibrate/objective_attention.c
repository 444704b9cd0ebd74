/* attention: squared error of the values, each row weighted by the attention that it gets.
 *
 *     L = sum_t w_t |v^_t - v_t|^2 / sum_t w_t |v_t|^2,   w_t = sum of p_rt^2 over the queries r of the row's document and KV head (all its query heads)
 *
 * p is the exact attention (metrics/metric.h). It is the squared error of the outputs if the errors of different tokens are uncorrelated: E |sum_t p_rt e_t|^2 = sum_t p_rt^2 E |e_t|^2. Both
 * sums run over the rows of the fit (all its heads, the tokens used); of validation rows both are their own. A token that no captured query sees weighs nothing. Queries are the captured
 * ones: late positions, so tokens near the end of a document weigh more than in a whole pass. One attention per document and head before the first step.
 */
#include <stdlib.h>

#include "calibrate/fit.h"
#include "calibrate/quadratic.h"
#include "calibrate/select.h"
#include "metrics/metric.h"

/* w_t of one document and head, added to. */
static gyre_status add_document(const gyre_objective_setup *s, size_t head, size_t document, float *weight, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_rows *rows = s->rows;
    const gyre_calibration *data = s->data;
    size_t d = data->dim, tokens = rows->tokens;
    gyre_attention *a = NULL;
    const gyre_unit unit = {.tokens = tokens, .dim = d, .queries = rows->queries, .group = data->group, .k = rows->x[GYRE_K][head] + document * tokens * d,
                            .v = rows->x[GYRE_V][head] + document * tokens * d, .q = rows->q + (document * data->n_heads + head) * data->group * rows->queries * d,
                            .pos = rows->pos + document * tokens, .query_pos = rows->query_pos + document * rows->queries, .score_scale = data->score_scale, .window = data->window};
    GYRE_TRY(gyre_attention_new(&unit, &a, err));
    for (size_t t = 0; t < tokens; t++) {
        double sum = 0;
        for (size_t r = 0; r < a->n; r++)
            sum += a->p[r * tokens + t] * a->p[r * tokens + t];
        weight[t] = (float)sum;
    }
done:
    gyre_attention_free(a);
    return st;
}

/* Sums of w and of w |v|^2 over the rows that are used. */
static void sums(const gyre_objective_setup *s, double *mass, double *energy)
{
    size_t d = s->data->dim, total = s->rows->documents * s->rows->tokens;
    *mass = *energy = 0;
    for (size_t h = s->first; h < s->last; h++)
        for (size_t i = 0; i < s->n; i++) {
            size_t at = gyre_select_place(i, s->n, total);
            const float *v = s->rows->x[GYRE_V][h] + at * d;
            double square = 0;
            for (size_t j = 0; j < d; j++)
                square += (double)v[j] * (double)v[j];
            *mass += (double)s->weight[h][at];
            *energy += (double)s->weight[h][at] * square;
        }
}

static gyre_status prepare(const void *options, gyre_objective_setup *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_rows *rows = s->rows;
    size_t total = rows->documents * rows->tokens;
    double mass, energy;
    (void)options;
    if (rows->q == NULL || rows->queries == 0 || rows->x[GYRE_K] == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "the objective attention needs the keys and queries of the documents: capture them with --queries, or choose mse");
    for (size_t h = s->first; h < s->last; h++) {
        GYRE_NEW(&s->weight[h], total);
        for (size_t doc = 0; doc < rows->documents; doc++)
            GYRE_TRY(add_document(s, h, doc, s->weight[h] + doc * rows->tokens, err));
    }
    sums(s, &mass, &energy);
    if (!(mass > 0))
        GYRE_FAIL(GYRE_E_INPUT, "no query of the calibration documents sees one of the %zu tokens used, so that every weight is 0: take more tokens, or capture more queries", s->n);
    double factor = energy > 0 ? (double)(s->n * (s->last - s->first)) / energy : 1.0; /* `scale` is one over the rows */
    for (size_t h = s->first; h < s->last; h++)
        for (size_t i = 0; i < total; i++)
            s->weight[h][i] = (float)((double)s->weight[h][i] * factor);
done:
    return st;
}

const gyre_objective_type gyre_objective_attention = {
    .name = "attention",
    .summary = "squared error of the values, weighted by the squared attention that they get",
    .source = "output error of attention with uncorrelated errors",
    .unit = "1",
    .flags = GYRE_OBJECTIVE_QUANTIZES | GYRE_OBJECTIVE_QUERIES | GYRE_OBJECTIVE_OF_V,
    .prepare = prepare,
    .work = gyre_quadratic_work,
    .measure = gyre_quadratic_measure,
};
