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

/* Scores as read, less the exact ones; the sum in double, for the difference is small. */
static gyre_status read_scores(const gyre_unit *u, gyre_attention_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_attention *a = u->exact;
    for (size_t r = 0; r < a->n; r++) {
        float *scores = w->scores + r * a->tokens;
        const float *q = u->q + r * u->dim;
        GYRE_TRY(u->reader->scores(u->reader->context, r, scores + a->first[r], err));
        for (size_t j = a->first[r]; j < a->last[r]; j++) {
            double exact = 0.0;
            for (size_t i = 0; i < u->dim; i++)
                exact += (double)q[i] * (double)u->k[j * u->dim + i];
            scores[j] = (float)((double)scores[j] - exact);
        }
    }
done:
    return st;
}

/* Outputs as read with the new weights, less the exact ones. */
static gyre_status read_outputs(const gyre_unit *u, gyre_attention_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_attention *a = u->exact;
    for (size_t r = 0; r < a->n; r++) {
        float *weights = w->weights + r * a->tokens, *output = w->output + r * a->dim;
        for (size_t j = a->first[r]; j < a->last[r]; j++)
            weights[j] = u->p_hat != NULL ? (float)u->p_hat[r * a->tokens + j] : a->p_float[r * a->tokens + j];
        GYRE_TRY(u->reader->output(u->reader->context, r, weights + a->first[r], output, err));
        for (size_t i = 0; i < a->dim; i++)
            output[i] -= a->output[r * a->dim + i];
    }
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
            GYRE_TRY(read_scores(u, w, err));
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
    if (u->reader != NULL && u->reader->output != NULL)
        return read_outputs(u, w, err);
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
