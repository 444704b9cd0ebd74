/* Attention of one unit, exact and with decoded rows.
 *
 * Scores come from single-precision products q.k (BLAS); what decoding changes is computed from differences (q.(k^ - k), (p^ - p) v^ + p (v^ - v)), so that small errors
 * are not lost in large scores. KL and new weights: kernels/divergence.h; where exp would overflow, the log-sum-exp form is used.
 */
#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/divergence.h"
#include "metrics/metric.h"

struct gyre_attention_work {
    double *delta, *p_hat, *kl;
    float *scores, *difference, *weights, *output;
};

/* c[n x m] = a[n x d] b[m x d]' */
static void scores_of(const float *a, size_t n, const float *b, size_t m, size_t d, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)m, (int)d, 1.0f, a, (int)d, b, (int)d, 0.0f, c, (int)m);
}

/* c[n x d] = beta c + a[n x m] b[m x d] */
static void weighted_rows(const float *a, size_t n, const float *b, size_t m, size_t d, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)d, (int)m, 1.0f, a, (int)m, b, (int)d, beta, c, (int)d);
}

void gyre_attention_free(gyre_attention *a)
{
    if (a == NULL)
        return;
    free(a->first);
    free(a->last);
    free(a->log_p);
    free(a->p);
    free(a->p_float);
    free(a->output);
    free(a->top);
    free(a);
}

/* Visible keys of every query: positions rise within a document. */
static gyre_status visible(gyre_attention *a, const gyre_unit *u, gyre_error *err)
{
    for (size_t r = 0; r < a->n; r++) {
        int64_t at = u->query_pos[r % u->queries], oldest = u->window > 0 ? at - (int64_t)u->window : INT64_MIN;
        size_t first = 0, last = u->tokens;
        while (first < u->tokens && u->pos[first] <= oldest)
            first++;
        while (last > 0 && u->pos[last - 1] > at)
            last--;
        if (first >= last)
            return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "the query at position %lld sees no key of its document", (long long)at);
        a->first[r] = first;
        a->last[r] = last;
    }
    return GYRE_OK;
}

/* log softmax of one row of scores. */
static void softmax_row(gyre_attention *a, size_t r, const float *scores, double scale)
{
    double *log_p = a->log_p + r * a->tokens, *p = a->p + r * a->tokens, most = -DBL_MAX, sum = 0.0;
    for (size_t j = a->first[r]; j < a->last[r]; j++) {
        log_p[j] = scale * (double)scores[j];
        if (log_p[j] > most) {
            most = log_p[j];
            a->top[r] = j;
        }
    }
    for (size_t j = a->first[r]; j < a->last[r]; j++)
        sum += exp(log_p[j] - most);
    double log_sum = most + log(sum);
    for (size_t j = a->first[r]; j < a->last[r]; j++) {
        log_p[j] -= log_sum;
        p[j] = exp(log_p[j]);
        a->p_float[r * a->tokens + j] = (float)p[j];
    }
}

gyre_status gyre_attention_new(const gyre_unit *u, gyre_attention **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_attention *a = NULL;
    float *scores = NULL;
    size_t n = u->queries * u->group;
    *out = NULL;
    GYRE_NEW(&a, 1);
    a->n = n;
    a->tokens = u->tokens;
    a->dim = u->dim;
    GYRE_NEW(&a->first, n);
    GYRE_NEW(&a->last, n);
    GYRE_NEW(&a->top, n);
    GYRE_NEW(&a->log_p, n * u->tokens);
    GYRE_NEW(&a->p, n * u->tokens);
    GYRE_NEW(&a->p_float, n * u->tokens);
    GYRE_NEW(&a->output, n * u->dim);
    GYRE_NEW(&scores, n * u->tokens);
    GYRE_TRY(visible(a, u, err));
    scores_of(u->q, n, u->k, u->tokens, u->dim, scores);
    for (size_t r = 0; r < n; r++)
        softmax_row(a, r, scores + r * u->tokens, u->score_scale);
    weighted_rows(a->p_float, n, u->v, u->tokens, u->dim, 0.0f, a->output);
    *out = a;
    a = NULL;
done:
    free(scores);
    gyre_attention_free(a);
    return st;
}

void gyre_attention_work_free(gyre_attention_work *w)
{
    if (w == NULL)
        return;
    free(w->delta);
    free(w->p_hat);
    free(w->kl);
    free(w->scores);
    free(w->difference);
    free(w->weights);
    free(w->output);
    free(w);
}

gyre_status gyre_attention_work_new(size_t n, size_t tokens, size_t dim, gyre_attention_work **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_attention_work *w = NULL;
    *out = NULL;
    GYRE_NEW(&w, 1);
    GYRE_NEW(&w->delta, n * tokens);
    GYRE_NEW(&w->p_hat, n * tokens);
    GYRE_NEW(&w->kl, n);
    GYRE_NEW(&w->scores, n * tokens);
    GYRE_NEW(&w->difference, tokens * dim);
    GYRE_NEW(&w->weights, n * tokens);
    GYRE_NEW(&w->output, n * dim);
    *out = w;
    w = NULL;
done:
    gyre_attention_work_free(w);
    return st;
}

static void difference(const float *a, const float *b, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] - b[i];
}

/* The same where exp would overflow, d already filled. */
static double kl_large(const double *log_p, const double *d, size_t first, size_t last, double *p_hat)
{
    double most = -DBL_MAX, sum = 0.0;
    for (size_t j = first; j < last; j++)
        most = log_p[j] + d[j] > most ? log_p[j] + d[j] : most;
    for (size_t j = first; j < last; j++)
        sum += p_hat[j] = exp(log_p[j] + d[j] - most);
    for (size_t j = first; j < last; j++)
        p_hat[j] /= sum;
    return most + log(sum);
}

static void row_decoded(const gyre_attention *a, size_t r, double scale, gyre_attention_work *w)
{
    size_t first = a->first[r], last = a->last[r], at = r * a->tokens;
    const double *p = a->p + at;
    double *p_hat = w->p_hat + at;
    double kl = gyre_divergence(p + first, w->scores + at + first, scale, last - first, w->delta + at + first, p_hat + first);
    if (isnan(kl))
        kl = kl_large(a->log_p + at, w->delta + at, first, last, p_hat);
    w->kl[r] = kl > 0.0 ? kl : 0.0;
    memset(w->weights + at, 0, a->tokens * sizeof *w->weights);
    for (size_t j = first; j < last; j++)
        w->weights[at + j] = (float)(p_hat[j] - p[j]);
}

/* Scores of row r as read, less the exact ones; the sum in double, for the difference is small. */
static gyre_status read_scores(const gyre_unit *u, size_t r, gyre_attention_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_attention *a = u->exact;
    float *scores = w->scores + r * a->tokens;
    const float *q = u->q + r * u->dim;
    GYRE_TRY(u->reader->scores(u->reader->context, r, scores + a->first[r], err));
    for (size_t j = a->first[r]; j < a->last[r]; j++) {
        double exact = 0.0;
        for (size_t i = 0; i < u->dim; i++)
            exact += (double)q[i] * (double)u->k[j * u->dim + i];
        scores[j] = (float)((double)scores[j] - exact);
    }
done:
    return st;
}

/* The new weights of row r, of keys first..last-1. */
static void new_weights(const gyre_unit *u, size_t r, size_t first, size_t last, float *weights)
{
    const gyre_attention *a = u->exact;
    for (size_t j = first; j < last; j++)
        weights[j] = u->p_hat != NULL ? (float)u->p_hat[r * a->tokens + j] : a->p_float[r * a->tokens + j];
}

/* Output of row r as read with the new weights, less the exact one. */
static gyre_status read_output(const gyre_unit *u, size_t r, gyre_attention_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_attention *a = u->exact;
    float *weights = w->weights + r * a->tokens, *output = w->output + r * a->dim;
    new_weights(u, r, a->first[r], a->last[r], weights);
    GYRE_TRY(u->reader->output(u->reader->context, r, weights + a->first[r], output, err));
    for (size_t i = 0; i < a->dim; i++)
        output[i] -= a->output[r * a->dim + i];
done:
    return st;
}

gyre_status gyre_attention_decoded(gyre_unit *u, unsigned reads, gyre_attention_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_attention *a = u->exact;
    bool by_query = u->reader != NULL && u->reader->scores != NULL;
    u->delta = u->p_hat = u->kl = NULL;
    u->output_error = NULL;
    if (u->k_hat != NULL) {
        if (by_query) {
            for (size_t r = 0; r < a->n; r++)
                GYRE_TRY(read_scores(u, r, w, err));
        } else {
            difference(u->k_hat, u->k, u->tokens * u->dim, w->difference);
            scores_of(u->q, a->n, w->difference, u->tokens, u->dim, w->scores);
        }
        for (size_t r = 0; r < a->n; r++)
            row_decoded(a, r, u->score_scale, w);
        u->delta = w->delta;
        u->p_hat = w->p_hat;
        u->kl = w->kl;
    }
    if (!(reads & GYRE_METRIC_OUTPUT))
        return GYRE_OK;
    u->output_error = w->output;
    if (u->reader != NULL && u->reader->output != NULL) {
        for (size_t r = 0; r < a->n; r++)
            GYRE_TRY(read_output(u, r, w, err));
        return GYRE_OK;
    }
    memset(w->output, 0, a->n * a->dim * sizeof *w->output);
    if (u->k_hat != NULL)
        weighted_rows(w->weights, a->n, u->v_hat != NULL ? u->v_hat : u->v, u->tokens, u->dim, 0.0f, w->output);
    if (u->v_hat != NULL) {
        difference(u->v_hat, u->v, u->tokens * u->dim, w->difference);
        weighted_rows(a->p_float, a->n, w->difference, u->tokens, u->dim, 1.0f, w->output);
    }
done:
    return st;
}

/* ---- a cache for every place ---- */

/* Scores of row r of the coded keys, whose differences are in w->difference; nothing changes elsewhere. */
static void seen_scores(const gyre_unit *u, size_t r, const gyre_seen *seen, gyre_attention_work *w)
{
    size_t first = seen->first[0], last = seen->last[0];
    float *scores = w->scores + r * u->tokens;
    memset(scores, 0, u->tokens * sizeof *scores);
    if (first < last)
        scores_of(u->q + r * u->dim, 1, w->difference, last - first, u->dim, scores + first);
}

/* Output of row r: (p^ - p) v + p^ (v^ - v), the second sum over the coded values, whose differences are in w->difference. */
static void seen_output(const gyre_unit *u, size_t r, const gyre_seen *seen, gyre_attention_work *w)
{
    const gyre_attention *a = u->exact;
    size_t first = seen->first[1] > a->first[r] ? seen->first[1] : a->first[r], last = seen->last[1] < a->last[r] ? seen->last[1] : a->last[r];
    float *weights = w->weights + r * a->tokens, *output = w->output + r * a->dim;
    memset(output, 0, a->dim * sizeof *output);
    if (u->k_hat != NULL)
        weighted_rows(weights, 1, u->v, u->tokens, u->dim, 0.0f, output);
    if (seen->hat[1] == NULL || first >= last)
        return;
    new_weights(u, r, first, last, weights);
    weighted_rows(weights + first, 1, w->difference + (first - seen->first[1]) * u->dim, last - first, u->dim, 1.0f, output);
}

/* Differences of the coded rows of a stream. */
static void seen_difference(const gyre_seen *seen, int stream, const float *exact, size_t dim, gyre_attention_work *w)
{
    size_t at = seen->first[stream] * dim, n = seen->last[stream] - seen->first[stream];
    if (seen->hat[stream] != NULL && n > 0)
        difference(seen->hat[stream] + at, exact + at, n * dim, w->difference);
}

gyre_status gyre_attention_seen(gyre_unit *u, unsigned reads, size_t newest, const gyre_seen *seen, gyre_attention_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_attention *a = u->exact;
    bool scores_read = u->reader != NULL && u->reader->scores != NULL, outputs_read = u->reader != NULL && u->reader->output != NULL;
    u->delta = u->k_hat != NULL ? w->delta : NULL;
    u->p_hat = u->k_hat != NULL ? w->p_hat : NULL;
    u->kl = u->k_hat != NULL ? w->kl : NULL;
    u->output_error = reads & GYRE_METRIC_OUTPUT ? w->output : NULL;
    seen_difference(seen, 0, u->k, u->dim, w);
    for (size_t r = 0; r < a->n && u->k_hat != NULL; r++) {
        if (a->last[r] != newest + 1)
            continue;
        if (scores_read)
            GYRE_TRY(read_scores(u, r, w, err));
        else
            seen_scores(u, r, seen, w);
        row_decoded(a, r, u->score_scale, w);
    }
    seen_difference(seen, 1, u->v, u->dim, w);
    for (size_t r = 0; r < a->n && u->output_error != NULL; r++) {
        if (a->last[r] != newest + 1)
            continue;
        if (outputs_read)
            GYRE_TRY(read_output(u, r, w, err));
        else
            seen_output(u, r, seen, w);
    }
done:
    return st;
}
