/* softmax_kl: KL(p || p^) of the attention weights over visible keys, mean over queries, in nats: what metrics/softmax_kl.c measures, and its gradient.
 *
 *     KL = sum_s p_s log(p_s / p^_s),   p^_s ~ p_s exp(D_s),   D_s = score_scale q'x_s,   x_s = R_s C^-1 M^-1 e_s the error of key s in the model's frame (base.h)
 *     dKL/dD = p^ - p;   with g_x = score_scale sum_q (p^ - p)_qs q and g = C^-T R_s' g_x:   dL/de = M^-T g,   dL/dM^-1 = g e'
 *
 * A part is one document of one head; its value is the mean KL of its queries times its share of the batch's rows (n scale), so that a batch of any number of documents and heads gives
 * the mean over all of them. Causal, and within the sliding window.
 * Memory: queries in the codec's order and one number per query (the log-sum-exp of its exact scores); scores of one document at a time, which are computed anew in every pass:
 * 4 (2 queries group + 3) tokens bytes and 3 errors. Cost of a pass: four products of queries, tokens and d, one exp and one divergence per pair.
 */
#define _POSIX_C_SOURCE 200809L
#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate/base.h"
#include "calibrate/fit.h"
#include "core/blas.h"
#include "kernels/divergence.h"

typedef struct prepared {
    const gyre_calibration *data;
    const gyre_rows *rows;
    const gyre_base *const *bases;
    size_t first_head, n_heads, n; /* n: queries of a document, of all query heads of a KV head */
    size_t *first, *last;          /* [document][query]: keys first..last-1 are visible */
    float *q;                      /* [document][head][n][dim], codec order, times score_scale */
    double *log_sum;               /* [document][head][n] */
} prepared;

static void release(void *memory)
{
    prepared *p = memory;
    free(p->first);
    free(p->last);
    free(p->q);
    free(p->log_sum);
    free(p);
}

/* Keys that each query of a document sees; positions rise within a document. */
static gyre_status visible(prepared *p, size_t document, gyre_error *err)
{
    const gyre_rows *rows = p->rows;
    const int32_t *pos = rows->pos + document * rows->tokens;
    for (size_t i = 0; i < rows->queries; i++) {
        int64_t at = rows->query_pos[document * rows->queries + i], oldest = p->data->window > 0 ? at - (int64_t)p->data->window : INT64_MIN;
        size_t first = 0, last = rows->tokens, place = document * rows->queries + i;
        while (first < rows->tokens && pos[first] <= oldest)
            first++;
        while (last > 0 && pos[last - 1] > at)
            last--;
        if (first >= last)
            return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "the query at position %lld sees no key of its document", (long long)at);
        p->first[place] = first;
        p->last[place] = last;
    }
    return GYRE_OK;
}

static size_t place_of(const prepared *p, size_t document, size_t head)
{
    return (document * p->n_heads + head - p->first_head) * p->n;
}

/* Exact scores in nats: n x tokens, from rows and queries as they are. */
static void exact_scores(const prepared *p, size_t document, size_t head, float *scores)
{
    const gyre_rows *rows = p->rows;
    int d = (int)p->data->dim, tokens = (int)rows->tokens;
    const float *q = rows->q + (document * p->data->n_heads + head) * p->n * p->data->dim, *k = rows->x[GYRE_K][head] + document * rows->tokens * p->data->dim;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->n, tokens, d, 1.0f, q, d, k, d, 0.0f, scores, tokens);
}

/* Queries of a document and head in the codec's order, and the log-sum-exp of their scores. */
static void prepare_document(prepared *p, size_t document, size_t head, float *scores, void *scratch)
{
    const gyre_rows *rows = p->rows;
    size_t d = p->data->dim, place = place_of(p, document, head);
    const float *from = rows->q + (document * p->data->n_heads + head) * p->n * d;
    double scale = p->data->score_scale;
    exact_scores(p, document, head, scores);
    for (size_t r = 0; r < p->n; r++) {
        float *q = p->q + (place + r) * d;
        const float *own = scores + r * rows->tokens;
        size_t first = p->first[document * rows->queries + r % rows->queries], last = p->last[document * rows->queries + r % rows->queries];
        double most = -DBL_MAX, sum = 0;
        gyre_base_query_order(p->bases[head], from + r * d, q, scratch);
        for (size_t i = 0; i < d; i++)
            q[i] = (float)(scale * (double)q[i]);
        for (size_t j = first; j < last; j++)
            most = scale * (double)own[j] > most ? scale * (double)own[j] : most;
        for (size_t j = first; j < last; j++)
            sum += exp(scale * (double)own[j] - most);
        p->log_sum[place + r] = most + log(sum);
    }
}

static gyre_status prepare(const void *options, gyre_objective_setup *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_rows *rows = s->rows;
    prepared *p = NULL;
    float *scores = NULL;
    void *scratch = NULL;
    size_t pairs = rows->documents * (s->last - s->first);
    (void)options;
    if (rows->q == NULL || rows->queries == 0)
        GYRE_FAIL(GYRE_E_INPUT, "the calibration documents have no queries: capture them with --queries, or choose an objective that needs none");
    gyre_blas_one_thread();
    GYRE_NEW(&p, 1);
    *p = (prepared){.data = s->data, .rows = rows, .bases = s->bases, .first_head = s->first, .n_heads = s->last - s->first, .n = s->data->group * rows->queries};
    GYRE_NEW(&p->first, rows->documents * rows->queries);
    GYRE_NEW(&p->last, rows->documents * rows->queries);
    GYRE_NEW(&p->q, pairs * p->n * s->data->dim);
    GYRE_NEW(&p->log_sum, pairs * p->n);
    GYRE_NEW(&scores, p->n * rows->tokens);
    if (posix_memalign(&scratch, 64, gyre_base_scratch(s->bases[s->first])) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to calibrate");
    for (size_t doc = 0; doc < rows->documents; doc++) {
        GYRE_TRY(visible(p, doc, err));
        for (size_t h = s->first; h < s->last; h++)
            prepare_document(p, doc, h, scores, scratch);
    }
    s->prepared = p;
    p = NULL;
done:
    free(scratch);
    free(scores);
    if (p != NULL)
        release(p);
    return st;
}

/* Floats to the next multiple of 64 bytes. */
static size_t aligned(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Scores and changes of all queries, three blocks of errors, a product d x d, p, d and p^ of one query in double, what the base wants; and room to align it all. */
static size_t work(size_t n, size_t dim, const void *memory)
{
    const prepared *p = memory;
    if (p == NULL)
        return 0;
    return 2 * aligned(p->n * n) + 3 * aligned(n * dim) + aligned(dim * dim) + aligned(3 * 2 * n) + aligned(gyre_base_scratch(p->bases[p->first_head]) / sizeof(float) + 1) + 16;
}

typedef struct room {
    float *scores, *change, *delta, *x, *g, *product;
    double *p, *d, *p_hat;
    void *scratch;
} room;

static room room_of(const prepared *p, const gyre_objective_part *part)
{
    room r;
    size_t off = (uintptr_t)part->work % 64 / sizeof(float), pairs = aligned(p->n * part->n), rows = aligned(part->n * part->dim);
    r.scores = part->work + (off > 0 ? 16 - off : 0);
    r.change = r.scores + pairs;
    r.delta = r.change + pairs;
    r.x = r.delta + rows;
    r.g = r.x + rows;
    r.product = r.g + rows;
    r.p = (double *)(void *)(r.product + aligned(part->dim * part->dim));
    r.d = r.p + part->n;
    r.p_hat = r.d + part->n;
    r.scratch = (float *)(void *)r.p + aligned(3 * 2 * part->n);
    return r;
}

/* The same where exp of a change would overflow: D is what it was up to a constant, log p is known. Leaves p^. */
static double large(const float *scores, const float *change, double scale, double log_sum, size_t n, room *r)
{
    double most = -DBL_MAX, sum = 0, mean = 0;
    for (size_t j = 0; j < n; j++) {
        r->d[j] = scale * (double)scores[j] - log_sum + (double)change[j];
        most = r->d[j] > most ? r->d[j] : most;
        mean += r->p[j] * (double)change[j];
    }
    for (size_t j = 0; j < n; j++)
        sum += r->p_hat[j] = exp(r->d[j] - most);
    for (size_t j = 0; j < n; j++)
        r->p_hat[j] /= sum;
    return most + log(sum) - mean;
}

/* KL of one query; its row of `change` becomes factor (p^ - p). */
static double query(const prepared *p, const gyre_objective_part *part, size_t row, double factor, room *r)
{
    size_t i = part->document * p->rows->queries + row % p->rows->queries, first = p->first[i], last = p->last[i], n = last - first;
    const float *scores = r->scores + row * part->n + first;
    float *change = r->change + row * part->n;
    double scale = p->data->score_scale, log_sum = p->log_sum[place_of(p, part->document, part->head) + row];
    for (size_t j = 0; j < n; j++)
        r->p[j] = exp(scale * (double)scores[j] - log_sum);
    double kl = gyre_divergence(r->p, change + first, 1.0, n, r->d, r->p_hat);
    if (isnan(kl))
        kl = large(scores, change + first, scale, log_sum, n, r);
    memset(change, 0, first * sizeof *change);
    memset(change + last, 0, (part->n - last) * sizeof *change);
    for (size_t j = 0; j < n; j++)
        change[first + j] = (float)(factor * (r->p_hat[j] - r->p[j]));
    return kl > 0.0 ? kl : isnan(kl) ? kl : 0.0;
}

static double measure(const void *options, gyre_objective_part *part)
{
    (void)options;
    const prepared *p = part->prepared;
    const gyre_base *base = p->bases[part->head];
    const int32_t *pos = p->rows->pos + part->document * p->rows->tokens;
    const float *q = p->q + place_of(p, part->document, part->head) * part->dim;
    const int n = (int)part->n, d = (int)part->dim, queries = (int)p->n;
    double sum = 0, factor = part->scale * (double)part->n / (double)p->n;
    room r = room_of(p, part);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, d, d, 1.0f, part->e, d, part->decode, d, 0.0f, r.delta, d);
    gyre_base_errors(base, r.delta, pos, part->n, r.x, r.scratch);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, queries, n, d, 1.0f, q, d, r.x, d, 0.0f, r.change, n);
    exact_scores(p, part->document, part->head, r.scores);
    for (size_t row = 0; row < p->n; row++)
        sum += query(p, part, row, factor, &r);
    if (part->g_e == NULL)
        return factor * sum;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, d, queries, 1.0f, r.change, n, q, d, 0.0f, r.x, d);
    gyre_base_errors_back(base, r.x, pos, part->n, r.g, r.scratch);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, d, 1.0f, r.g, d, part->decode, d, 1.0f, part->g_e, d);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, d, d, n, 1.0f, r.g, d, part->e, d, 0.0f, r.product, d);
    for (size_t i = 0; i < part->dim * part->dim; i++)
        part->g_decode[i] += (double)r.product[i];
    return factor * sum;
}

const gyre_objective_type gyre_objective_softmax_kl = {
    .name = "softmax_kl",
    .summary = "Kullback-Leibler divergence of the attention weights",
    .source = "metric softmax_kl",
    .unit = "nat",
    .flags = GYRE_OBJECTIVE_QUANTIZES | GYRE_OBJECTIVE_DOCUMENTS | GYRE_OBJECTIVE_QUERIES | GYRE_OBJECTIVE_OF_K,
    .prepare = prepare,
    .release = release,
    .work = work,
    .measure = measure,
};
