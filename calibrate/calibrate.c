#define _POSIX_C_SOURCE 200809L
#include "calibrate/calibrate.h"

#include <stdlib.h>
#include <string.h>

/* One stream on its way through the chains of its heads. */
typedef struct walk {
    gyre_codec *codec;
    size_t stream, n_heads, dim, n;
    float *rows; /* [head][row][dim] */
    const int32_t *pos;
    void *scratch;
} walk;

/* Elements [0, last]: what calibration has to walk through. */
static size_t last_fitted(gyre_codec *codec, size_t stream)
{
    gyre_transform *chain = gyre_codec_chain(codec, stream, 0);
    size_t last = 0;
    for (size_t i = 0; i < gyre_chain_count(chain); i++)
        if (gyre_chain_element(chain, i)->traits.needs & GYRE_NEEDS_CALIBRATION)
            last = i + 1;
    return last;
}

/* Fits element i of every head, then applies it: a pooled fit must see every head's rows before the element changes them. */
static gyre_status fit_element(const walk *w, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t h = 0; h < w->n_heads; h++) {
        gyre_transform *t = gyre_chain_element(gyre_codec_chain(w->codec, w->stream, h), i);
        if (t->traits.needs & GYRE_NEEDS_CALIBRATION)
            GYRE_TRY(t->traits.pooled ? t->type->fit(t->state, w->rows, w->n_heads * w->n, w->dim, err)
                                      : t->type->fit(t->state, w->rows + h * w->n * w->dim, w->n, w->dim, err));
    }
    for (size_t h = 0; h < w->n_heads; h++)
        gyre_transform_forward(gyre_chain_element(gyre_codec_chain(w->codec, w->stream, h), i), w->rows + h * w->n * w->dim, w->n, w->dim, w->pos, w->scratch);
done:
    return st;
}

gyre_status gyre_calibrate(gyre_codec *codec, size_t n_streams, size_t n_heads, size_t dim, const float *const *rows, size_t documents, size_t tokens, const int32_t *pos,
                           gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *work = NULL;
    void *scratch = NULL;
    gyre_quantizer *quantizer = gyre_codec_quantizer(codec);
    size_t n = documents * tokens, last[2] = {0};
    for (size_t s = 0; s < n_streams; s++)
        last[s] = quantizer->type->fit != NULL ? gyre_chain_count(gyre_codec_chain(codec, s, 0)) : last_fitted(codec, s);
    if (quantizer->type->fit == NULL && last[0] == 0 && last[1] == 0)
        goto done;
    GYRE_NEW(&work, n_streams * n_heads * n * dim + 1);
    if (posix_memalign(&scratch, 64, gyre_codec_scratch(codec, 1)) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to calibrate");
    for (size_t s = 0; s < n_streams; s++) {
        walk w = {.codec = codec, .stream = s, .n_heads = n_heads, .dim = dim, .n = n, .rows = work + s * n_heads * n * dim, .pos = pos, .scratch = scratch};
        for (size_t h = 0; h < n_heads; h++) {
            memcpy(w.rows + h * n * dim, rows[s * n_heads + h], n * dim * sizeof *work);
            gyre_codec_order(codec, s, h, w.rows + h * n * dim, n, scratch);
        }
        for (size_t i = 0; i < last[s]; i++)
            GYRE_TRY(fit_element(&w, i, err));
    }
    GYRE_TRY(gyre_quantizer_fit(quantizer, work, documents, tokens, err));
done:
    free(scratch);
    free(work);
    return st;
}
