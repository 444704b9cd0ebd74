#include "quant/plain.h"

typedef struct plain {
    size_t dim;
    gyre_scale_format format;
} plain;

gyre_status gyre_plain_init(size_t dim, gyre_scale_format format, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    plain *p = NULL;
    GYRE_NEW(&p, 1);
    p->dim = dim;
    p->format = format;
    *state = p;
done:
    return st;
}

size_t gyre_plain_row_bytes(const void *state)
{
    const plain *p = state;
    return p->dim * gyre_scale_bytes(p->format);
}

gyre_status gyre_plain_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    const plain *p = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < p->dim; i++) {
            float rounded;
            if (!gyre_scale_round(p->format, x[i], &rounded))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "row %zu, coordinate %zu is %g, beyond %s", r, i, (double)x[i], gyre_scale_names[p->format]);
            bytes = gyre_scale_put(p->format, x[i], bytes);
        }
    return GYRE_OK;
}

void gyre_plain_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const plain *p = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < p->dim; i++)
            bytes = gyre_scale_get(p->format, bytes, &x[i]);
}
