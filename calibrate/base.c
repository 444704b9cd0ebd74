#include "calibrate/base.h"

#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "core/blas.h"

struct gyre_base {
    gyre_codec *codec;
    gyre_transform *chain;
    const gyre_transform *turn; /* the element that depends on positions, or NULL */
    size_t stream, head, count, dim;
    double *inverse;            /* C^-1 */
    float *inverse_f;
};

void gyre_base_free(gyre_base *f)
{
    if (f == NULL)
        return;
    free(f->inverse_f);
    free(f->inverse);
    free(f);
}

/* Column j of C^-1: what the inverse of the fixed elements makes of unit vector j, less what it makes of 0. */
static void column(const gyre_base *f, size_t j, double *x, double *zero)
{
    memset(x, 0, f->dim * sizeof *x);
    memset(zero, 0, f->dim * sizeof *zero);
    x[j] = 1.0;
    for (size_t i = f->count; i-- > 0;) {
        const gyre_transform *t = gyre_chain_element(f->chain, i);
        if (t == f->turn)
            continue;
        t->type->inverse_ref(t->state, x, 0);
        t->type->inverse_ref(t->state, zero, 0);
    }
    for (size_t i = 0; i < f->dim; i++)
        f->inverse[i * f->dim + j] = x[i] - zero[i];
}

/* Finds the element that depends on positions; what stands before it must be a shift. */
static gyre_status find_turn(gyre_base *f, gyre_error *err)
{
    for (size_t i = 0; i < f->count; i++) {
        const gyre_transform *t = gyre_chain_element(f->chain, i);
        if (!(t->traits.needs & GYRE_NEEDS_POSITION))
            continue;
        for (size_t j = 0; j < i; j++)
            if (f->turn != NULL || gyre_chain_element(f->chain, j)->traits.becomes != GYRE_FRAME_SAME)
                return gyre_error_set(err, GYRE_E_INTERNAL, __FILE__, __LINE__, "%s depends on positions and stands behind %s", t->type->name, gyre_chain_element(f->chain, j)->type->name);
        f->turn = t;
    }
    return GYRE_OK;
}

gyre_status gyre_base_new(gyre_codec *codec, size_t stream, size_t head, size_t count, gyre_base **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_base *f = NULL;
    double *x = NULL;
    *out = NULL;
    GYRE_NEW(&f, 1);
    f->codec = codec;
    f->chain = gyre_codec_chain(codec, stream, head);
    f->stream = stream;
    f->head = head;
    f->count = count;
    f->dim = f->chain->dim;
    GYRE_TRY(find_turn(f, err));
    GYRE_NEW(&f->inverse, f->dim * f->dim);
    GYRE_NEW(&f->inverse_f, f->dim * f->dim);
    GYRE_NEW(&x, 2 * f->dim);
    for (size_t j = 0; j < f->dim; j++)
        column(f, j, x, x + f->dim);
    for (size_t i = 0; i < f->dim * f->dim; i++)
        f->inverse_f[i] = (float)f->inverse[i];
    gyre_blas_one_thread();
    *out = f;
    f = NULL;
done:
    free(x);
    gyre_base_free(f);
    return st;
}

size_t gyre_base_scratch(const gyre_base *f)
{
    return gyre_codec_scratch(f->codec, 1) + f->dim * sizeof(float);
}

void gyre_base_rows(const gyre_base *f, const float *x, const int32_t *pos, size_t n, float *z, void *scratch)
{
    memcpy(z, x, n * f->dim * sizeof *z);
    gyre_codec_order(f->codec, f->stream, f->head, z, n, scratch);
    for (size_t i = 0; i < f->count; i++)
        gyre_transform_forward(gyre_chain_element(f->chain, i), z, n, f->dim, pos, scratch);
}

bool gyre_base_turns(const gyre_base *f)
{
    return f->turn != NULL;
}

void gyre_base_query_order(const gyre_base *f, const float *q, float *out, void *scratch)
{
    memcpy(out, q, f->dim * sizeof *out);
    gyre_codec_order(f->codec, f->stream, f->head, out, 1, scratch);
}

void gyre_base_query(const gyre_base *f, const float *q, const int32_t *pos, size_t n, float *u, void *scratch)
{
    size_t d = f->dim;
    float *row = (float *)((char *)scratch + gyre_codec_scratch(f->codec, 1));
    for (size_t r = 0; r < n; r++)
        memcpy(u + r * d, q, d * sizeof *u);
    if (f->turn != NULL)
        gyre_transform_forward(f->turn, u, n, d, pos, scratch);
    for (size_t r = 0; r < n; r++) {
        memcpy(row, u + r * d, d * sizeof *row);
        cblas_sgemv(CblasRowMajor, CblasTrans, (int)d, (int)d, 1.0f, f->inverse_f, (int)d, row, 1, 0.0f, u + r * d, 1);
    }
}

void gyre_base_errors(const gyre_base *f, const float *delta, const int32_t *pos, size_t n, float *out, void *scratch)
{
    int d = (int)f->dim;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, d, d, 1.0f, delta, d, f->inverse_f, d, 0.0f, out, d);
    if (f->turn != NULL)
        gyre_transform_inverse(f->turn, out, n, f->dim, pos, scratch);
}

void gyre_base_errors_back(const gyre_base *f, float *x, const int32_t *pos, size_t n, float *out, void *scratch)
{
    int d = (int)f->dim;
    if (f->turn != NULL)
        gyre_transform_forward(f->turn, x, n, f->dim, pos, scratch);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, d, d, 1.0f, x, d, f->inverse_f, d, 0.0f, out, d);
}

void gyre_base_weight(const gyre_base *f, double *w)
{
    int d = (int)f->dim;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, d, d, d, 1.0, f->inverse, d, f->inverse, d, 0.0, w, d);
}

const double *gyre_base_inverse(const gyre_base *f)
{
    return f->inverse;
}
