#define _POSIX_C_SOURCE 200809L
#include "calibrate/moments.h"

#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "core/blas.h"

/* Keys that a query at position `at` sees: first..last-1 of a document, whose positions rise. */
static void visible(const int32_t *pos, size_t tokens, int64_t at, uint32_t window, size_t *first, size_t *last)
{
    int64_t oldest = window > 0 ? at - (int64_t)window : INT64_MIN;
    *first = 0;
    *last = tokens;
    while (*first < tokens && pos[*first] <= oldest)
        ++*first;
    while (*last > *first && pos[*last - 1] > at)
        --*last;
}

typedef struct room {
    float *u, *own; /* tokens x dim, dim */
    double *wide;   /* tokens x dim */
    void *scratch;
} room;

/* m += the sum of u u' over `n` keys, from place `pos` on. Where u does not depend on the key, it is n u u'. */
static void add_query(const gyre_base *base, size_t d, const float *q, const int32_t *pos, size_t n, const room *r, double *m)
{
    gyre_base_query_order(base, q, r->own, r->scratch);
    size_t distinct = gyre_base_turns(base) ? n : 1;
    gyre_base_query(base, r->own, pos, distinct, r->u, r->scratch);
    for (size_t i = 0; i < distinct * d; i++)
        r->wide[i] = (double)r->u[i];
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)d, (int)distinct, (double)(n / distinct), r->wide, (int)d, 1.0, m, (int)d);
}

/* All queries of a document that belong to a KV head; returns the number of pairs. */
static size_t add_document(const gyre_base *base, const gyre_calibration *data, const gyre_rows *rows, size_t document, size_t head, const room *r, double *m)
{
    size_t d = data->dim, each = data->group * rows->queries, pairs = 0;
    const int32_t *pos = rows->pos + document * rows->tokens;
    const float *q = rows->q + (document * data->n_heads + head) * each * d;
    for (size_t i = 0; i < each; i++) {
        size_t first, last;
        visible(pos, rows->tokens, rows->query_pos[document * rows->queries + i % rows->queries], data->window, &first, &last);
        if (first < last)
            add_query(base, d, q + i * d, pos + first, last - first, r, m);
        pairs += last - first;
    }
    return pairs;
}

gyre_status gyre_query_moments(const gyre_base *base, const gyre_calibration *data, const gyre_rows *rows, size_t head, double *m, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    room r = {0};
    size_t d = data->dim, pairs = 0;
    if (rows->q == NULL || rows->queries == 0 || rows->documents == 0)
        GYRE_FAIL(GYRE_E_INPUT, "the calibration documents have no queries: capture them with --queries, or choose an objective or transform that needs none");
    gyre_blas_one_thread();
    memset(m, 0, d * d * sizeof *m);
    GYRE_NEW(&r.u, rows->tokens * d);
    GYRE_NEW(&r.own, d);
    GYRE_NEW(&r.wide, rows->tokens * d);
    if (posix_memalign(&r.scratch, 64, gyre_base_scratch(base)) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the moments of queries");
    for (size_t doc = 0; doc < rows->documents; doc++)
        pairs += add_document(base, data, rows, doc, head, &r, m);
    if (pairs == 0)
        GYRE_FAIL(GYRE_E_INPUT, "no query of the calibration documents sees a key");
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++)
            m[j * d + i] = m[i * d + j] /= (double)pairs;
done:
    free(r.scratch);
    free(r.wide);
    free(r.own);
    free(r.u);
    return st;
}
