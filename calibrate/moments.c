#define _POSIX_C_SOURCE 200809L
#include "calibrate/moments.h"

#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "core/blas.h"

/* Keys that a query at position `at` sees: first..last-1 of a document. */
static void visible(const int32_t *pos, size_t tokens, int32_t at, uint32_t window, size_t *first, size_t *last)
{
    for (*last = 0; *last < tokens && pos[*last] <= at; ++*last)
        ;
    for (*first = 0; window > 0 && *first < *last && at - pos[*first] >= (int32_t)window; ++*first)
        ;
}

/* m += u' u of the keys that one query sees; u and wide have room for tokens x dim. Returns how many they are. */
static size_t add_query(const gyre_base *base, const gyre_calibration *data, const gyre_rows *rows, size_t document, const float *q, int32_t at, float *u, float *own, double *wide,
                        void *scratch, double *m)
{
    size_t d = data->dim, first, last;
    const int32_t *pos = rows->pos + document * rows->tokens;
    visible(pos, rows->tokens, at, data->window, &first, &last);
    gyre_base_query_order(base, q, own, scratch);
    gyre_base_query(base, own, pos + first, last - first, u, scratch);
    for (size_t i = 0; i < (last - first) * d; i++)
        wide[i] = (double)u[i];
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)d, (int)(last - first), 1.0, wide, (int)d, 1.0, m, (int)d);
    return last - first;
}

gyre_status gyre_query_moments(const gyre_base *base, const gyre_calibration *data, const gyre_rows *rows, size_t head, double *m, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *u = NULL, *own = NULL;
    double *wide = NULL;
    void *scratch = NULL;
    size_t d = data->dim, pairs = 0, each = data->group * rows->queries;
    if (rows->q == NULL || rows->queries == 0 || rows->documents == 0)
        GYRE_FAIL(GYRE_E_INPUT, "the calibration documents have no queries: capture them with --queries, or choose an objective or transform that needs none");
    gyre_blas_one_thread();
    memset(m, 0, d * d * sizeof *m);
    GYRE_NEW(&u, rows->tokens * d);
    GYRE_NEW(&own, d);
    GYRE_NEW(&wide, rows->tokens * d);
    if (posix_memalign(&scratch, 64, gyre_base_scratch(base) + 64) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the moments of queries");
    for (size_t doc = 0; doc < rows->documents; doc++)
        for (size_t i = 0; i < each; i++)
            pairs += add_query(base, data, rows, doc, rows->q + ((doc * data->n_heads + head) * each + i) * d, rows->query_pos[doc * rows->queries + i % rows->queries], u, own, wide, scratch, m);
    if (pairs == 0)
        GYRE_FAIL(GYRE_E_INPUT, "no query of the calibration documents sees a key");
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++)
            m[j * d + i] = m[i * d + j] /= (double)pairs;
done:
    free(scratch);
    free(wide);
    free(own);
    free(u);
    return st;
}
