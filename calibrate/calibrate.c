#define _POSIX_C_SOURCE 200809L
#include "calibrate/calibrate.h"

#include <stdlib.h>
#include <string.h>

/* Elements [0, last]: what calibration has to walk through. */
static size_t last_fitted(gyre_codec *codec)
{
    gyre_transform *chain = gyre_codec_chain(codec);
    size_t last = 0;
    for (size_t i = 0; i < gyre_chain_count(chain); i++)
        if (gyre_chain_element(chain, i)->traits.needs & GYRE_NEEDS_CALIBRATION)
            last = i + 1;
    return last;
}

gyre_status gyre_calibrate(gyre_codec *const *codecs, size_t n_heads, size_t dim, const float *const *rows, size_t n, const int32_t *pos, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *work = NULL;
    void *scratch = NULL;
    size_t last = n_heads == 0 ? 0 : last_fitted(codecs[0]);
    if (last == 0)
        goto done;
    GYRE_NEW(&work, n_heads * n * dim);
    if (posix_memalign(&scratch, 64, gyre_codec_scratch(codecs[0], 1)) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to calibrate");
    for (size_t h = 0; h < n_heads; h++) {
        memcpy(work + h * n * dim, rows[h], n * dim * sizeof *work);
        gyre_codec_order(codecs[h], work + h * n * dim, n, scratch);
    }
    for (size_t i = 0; i < last; i++)
        for (size_t h = 0; h < n_heads; h++) {
            gyre_transform *t = gyre_chain_element(gyre_codec_chain(codecs[h]), i);
            if (t->traits.needs & GYRE_NEEDS_CALIBRATION)
                GYRE_TRY(t->traits.pooled ? t->type->fit(t->state, work, n_heads * n, dim, err) : t->type->fit(t->state, work + h * n * dim, n, dim, err));
            /* a pooled fit must see every head's rows before this element changes them */
            if (!t->traits.pooled)
                gyre_transform_forward(t, work + h * n * dim, n, dim, pos, scratch);
            else if (h + 1 == n_heads)
                for (size_t g = 0; g < n_heads; g++)
                    gyre_transform_forward(gyre_chain_element(gyre_codec_chain(codecs[g]), i), work + g * n * dim, n, dim, pos, scratch);
        }
done:
    free(scratch);
    free(work);
    return st;
}
