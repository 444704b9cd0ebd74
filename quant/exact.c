/* exact: every value as binary32, little-endian. 32 bits per value; no error at all.
 *
 * For checking the path around a quantizer: what a chain alone costs in float. It is not the arm `exact`, which leaves a stream untouched.
 */
#include <stdlib.h>

#include "quant/grouped.h"

typedef struct exact {
    size_t dim;
} exact;

static gyre_status init(size_t dim, const void *options, void **state, gyre_error *err)
{
    (void)options;
    gyre_status st = GYRE_OK;
    exact *e = NULL;
    GYRE_NEW(&e, 1);
    e->dim = dim;
    *state = e;
done:
    return st;
}

static size_t row_bytes(const void *state)
{
    return 4 * ((const exact *)state)->dim;
}

static gyre_status encode(const void *state, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)err;
    const exact *e = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < e->dim; i++)
            bytes = gyre_scale_put(GYRE_SCALE_F32, x[i], bytes);
    return GYRE_OK;
}

static void decode(const void *state, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    const exact *e = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < e->dim; i++)
            bytes = gyre_scale_get(GYRE_SCALE_F32, bytes, &x[i]);
}

const gyre_quantizer_type gyre_quantizer_exact = {
    .name = "exact",
    .summary = "binary32, no error",
    .source = "IEEE 754",
    .bits_formula = "32",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = free,
};
