#include "quant/blocks.h"

#include <math.h>
#include <stdio.h>

#include "core/minifloat.h"
#include "quant/grouped.h"

bool gyre_blocks_applicable(const gyre_site *site, size_t block, char why[GYRE_QUANTIZER_WHY])
{
    if (site->dim % block == 0)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "the block of %zu does not divide the head dimension %zu", block, site->dim);
    return false;
}

gyre_status gyre_blocks_init(const gyre_site *site, const gyre_blocks_way *way, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_blocks *b = NULL;
    GYRE_NEW(&b, 1);
    b->way = way;
    b->dim = site->dim;
    *state = b;
done:
    return st;
}

size_t gyre_blocks_row_bytes(const void *state)
{
    const gyre_blocks *b = state;
    return b->dim / b->way->block * b->way->bytes;
}

gyre_status gyre_blocks_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    const gyre_blocks *b = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < b->dim; i += b->way->block, bytes += b->way->bytes)
            if (!b->way->code(state, head, x + i, bytes))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "%s: row %zu has a block of values up to %g, whose %s", b->way->name, r,
                                      (double)gyre_group_largest(x + i, b->way->block), b->way->refusal);
    return GYRE_OK;
}

void gyre_blocks_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    const gyre_blocks *b = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < b->dim; i += b->way->block, bytes += b->way->bytes)
            b->way->values(state, head, bytes, x + i);
}

void gyre_e2m1_pack(const float *y, size_t n, float scale, uint8_t *bytes)
{
    float by = scale > 0.0f ? scale : INFINITY;
    for (size_t i = 0; i < n / 2; i++)
        bytes[i] = (uint8_t)(gyre_e2m1_from_float(y[2 * i] / by) | (unsigned)gyre_e2m1_from_float(y[2 * i + 1] / by) << 4);
}

void gyre_e2m1_unpack(const uint8_t *bytes, size_t n, float scale, float *y)
{
    for (size_t i = 0; i < n / 2; i++) {
        y[2 * i] = gyre_e2m1_to_float(bytes[i] & 15u) * scale;
        y[2 * i + 1] = gyre_e2m1_to_float(bytes[i] >> 4) * scale;
    }
}
