/* q8_0: ggml's 8-bit blocks of 32 (github ggml-org/ggml, quantize_row_q8_0_ref), byte for byte.
 *
 *     d = max |y| / 127,  q = roundf(y * (1/d)) (half away from 0),  y^ = q * d
 *
 * 1/d is of the unrounded d, in binary32; d is stored as binary16 (half to even). 8.5 bits per value; 32 divides the head dimension. Bytes of a block: d, little-endian,
 * then 32 signed bytes. A d that binary16 cannot hold is refused (ggml stores infinity). Where 1/d overflows binary32 (its stored d is 0 in any case) all codes are 0;
 * ggml's conversion is undefined there. This is ggml's reference; the vector code of its CPU backend, which fills llama.cpp's own q8_0 cache, multiplies by 127 / max
 * |y| and rounds half to even, so a code may differ by one where y / d is beside the middle between two.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/ggml.h"
#include "quant/grouped.h"

static bool code(const void *state, size_t head, const float *y, uint8_t *bytes)
{
    (void)state;
    (void)head;
    float d = gyre_group_largest(y, GYRE_GGML_BLOCK) / 127.0f, inverse = gyre_ggml_inverse(d), stored;
    (void)gyre_scale_put(GYRE_SCALE_F16, d, bytes);
    for (size_t i = 0; i < GYRE_GGML_BLOCK; i++)
        bytes[2 + i] = (uint8_t)((int)gyre_round(GYRE_HALF_AWAY, y[i] * inverse) & 0xFF);
    return gyre_scale_round(GYRE_SCALE_F16, d, &stored);
}

static void values(const void *state, size_t head, const uint8_t *bytes, float *y)
{
    (void)state;
    (void)head;
    float d;
    (void)gyre_scale_get(GYRE_SCALE_F16, bytes, &d);
    for (size_t i = 0; i < GYRE_GGML_BLOCK; i++)
        y[i] = (float)((int)(bytes[2 + i] ^ 0x80u) - 0x80) * d;
}

static const gyre_blocks_way way = {.name = "q8_0", .refusal = GYRE_GGML_REFUSAL, .block = GYRE_GGML_BLOCK, .bytes = 2 + GYRE_GGML_BLOCK, .code = code, .values = values};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_blocks_init(site, &way, state, err);
}

const gyre_quantizer_type gyre_quantizer_q8_0 = {
    .name = "q8_0",
    .summary = "ggml's 8-bit blocks of 32",
    .source = "github ggml-org/ggml, ggml-quants.c",
    .bits_formula = "8 + 16 / 32",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_blocks_row_bytes,
    .encode = gyre_blocks_encode,
    .decode = gyre_blocks_decode,
    .free = free,
    .applicable = gyre_ggml_applicable,
};
