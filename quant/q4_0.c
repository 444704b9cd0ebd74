/* q4_0: ggml's 4-bit blocks of 32 (github ggml-org/ggml, quantize_row_q4_0_ref), byte for byte.
 *
 *     d = m / -8 with m the value of largest magnitude (the first of equal ones, its sign kept),  q = min(15, trunc(y * (1/d) + 8.5)),  y^ = (q - 8) * d
 *
 * 1/d is of the unrounded d, in binary32; d is stored as binary16 (half to even). So m is always code 0 and its opposite is cut to 7/8 of it. 4.5 bits per value; 32
 * divides the head dimension. Bytes of a block: d, little-endian, then 16 bytes, coordinate i in the low half and i + 16 in the high half. A d that binary16 cannot hold
 * is refused (ggml stores infinity). Where 1/d overflows binary32 (|m| below 8 * 2^-128, whose stored d is 0 in any case) all codes are 8; ggml's conversion is
 * undefined there.
 */
#include <stdlib.h>

#include "quant/ggml.h"
#include "quant/grouped.h"

static bool code(const void *state, size_t head, const float *y, uint8_t *bytes)
{
    (void)state;
    (void)head;
    uint8_t codes[GYRE_GGML_BLOCK];
    float d = gyre_ggml_signed_codes(y, 8, codes), stored;
    (void)gyre_scale_put(GYRE_SCALE_F16, d, bytes);
    for (size_t i = 0; i < GYRE_GGML_BLOCK / 2; i++)
        bytes[2 + i] = (uint8_t)(codes[i] | codes[i + GYRE_GGML_BLOCK / 2] << 4);
    return gyre_scale_round(GYRE_SCALE_F16, d, &stored);
}

static void values(const void *state, size_t head, const uint8_t *bytes, float *y)
{
    (void)state;
    (void)head;
    float d;
    (void)gyre_scale_get(GYRE_SCALE_F16, bytes, &d);
    for (size_t i = 0; i < GYRE_GGML_BLOCK / 2; i++) {
        y[i] = (float)((bytes[2 + i] & 15) - 8) * d;
        y[i + GYRE_GGML_BLOCK / 2] = (float)((bytes[2 + i] >> 4) - 8) * d;
    }
}

static const gyre_blocks_way way = {
    .name = "q4_0",
    .refusal = GYRE_GGML_REFUSAL,
    .block = GYRE_GGML_BLOCK,
    .bytes = 2 + GYRE_GGML_BLOCK / 2,
    .code = code,
    .values = values,
};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_blocks_init(site, &way, state, err);
}

const gyre_quantizer_type gyre_quantizer_q4_0 = {
    .name = "q4_0",
    .summary = "ggml's 4-bit blocks of 32",
    .source = "github ggml-org/ggml, ggml-quants.c",
    .bits_formula = "4 + 16 / 32",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_blocks_row_bytes,
    .encode = gyre_blocks_encode,
    .decode = gyre_blocks_decode,
    .free = free,
    .applicable = gyre_ggml_applicable,
};
