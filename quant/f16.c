/* f16: every value as IEEE 754 binary16, rounded half to even, little-endian. 16 bits per value.
 *
 * The reference a served cache usually is. A value of magnitude 65520 or more is refused, not turned into infinity.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/grouped.h"

typedef struct f16 {
    size_t dim;
} f16;

static gyre_status init(size_t dim, const void *options, void **state, gyre_error *err)
{
    (void)options;
    gyre_status st = GYRE_OK;
    f16 *f = NULL;
    GYRE_NEW(&f, 1);
    f->dim = dim;
    *state = f;
done:
    return st;
}

static size_t row_bytes(const void *state)
{
    return 2 * ((const f16 *)state)->dim;
}

static gyre_status encode(const void *state, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    const f16 *f = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < f->dim; i++) {
            float rounded;
            if (!gyre_scale_round(GYRE_SCALE_F16, x[i], &rounded))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "f16: row %zu, coordinate %zu is %g, beyond binary16", r, i, (double)x[i]);
            bytes = gyre_scale_put(GYRE_SCALE_F16, x[i], bytes);
        }
    return GYRE_OK;
}

static void decode(const void *state, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    const f16 *f = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < f->dim; i++)
            bytes = gyre_scale_get(GYRE_SCALE_F16, bytes, &x[i]);
}

const gyre_quantizer_type gyre_quantizer_f16 = {
    .name = "f16",
    .summary = "binary16",
    .source = "IEEE 754",
    .bits_formula = "16",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = free,
};
