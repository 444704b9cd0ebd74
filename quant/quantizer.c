#include "quant/quantizer.h"

#include <stdlib.h>

gyre_status gyre_quantizer_new(const gyre_quantizer_type *type, size_t dim, const void *options, gyre_quantizer **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_quantizer *q = NULL;
    char why[GYRE_QUANTIZER_WHY] = "";
    *out = NULL;
    if (dim == 0 || dim > GYRE_QUANTIZER_DIM)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%s does not apply: the head dimension %zu is not in 1..%d", type->name, dim, (int)GYRE_QUANTIZER_DIM);
    if (type->applicable != NULL && !type->applicable(dim, options, why))
        GYRE_FAIL(GYRE_E_APPLICABLE, "%s does not apply: %s", type->name, why);
    GYRE_NEW(&q, 1);
    q->type = type;
    q->dim = dim;
    GYRE_TRY(type->init(dim, options, &q->state, err));
    *out = q;
    q = NULL;
done:
    free(q);
    return st;
}

void gyre_quantizer_free(gyre_quantizer *q)
{
    if (q == NULL)
        return;
    q->type->free(q->state);
    free(q);
}

size_t gyre_quantizer_bytes(const gyre_quantizer *q, size_t n)
{
    return n * q->type->row_bytes(q->state);
}

gyre_status gyre_quantizer_encode(const gyre_quantizer *q, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    return q->type->encode(q->state, x, n, stride, bytes, err);
}

void gyre_quantizer_decode(const gyre_quantizer *q, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    q->type->decode(q->state, bytes, n, x, stride);
}
