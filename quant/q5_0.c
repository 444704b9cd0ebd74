/* q5_0: ggml's 5-bit blocks of 32 (github ggml-org/ggml, quantize_row_q5_0_ref), byte for byte.
 *
 *     d = m / -16 with m the value of largest magnitude (the first of equal ones, its sign kept),  q = min(31, trunc(y * (1/d) + 16.5)),  y^ = (q - 16) * d
 *
 * 1/d is of the unrounded d, in binary32; d is stored as binary16 (half to even). 5.5 bits per value; 32 divides the head dimension. Bytes of a block: d, little-endian,
 * then the fifth bits of the 32 codes as one little-endian word, then 16 bytes of the low four, coordinate i in the low half and i + 16 in the high half. A d that
 * binary16 cannot hold is refused (ggml stores infinity). Where 1/d overflows binary32 (|m| below 16 * 2^-128, whose stored d is 0 in any case) all codes are 16; ggml's
 * conversion is undefined there.
 */
#include <stdlib.h>
#include <string.h>

#include "quant/ggml.h"
#include "quant/grouped.h"

static bool code(const void *state, size_t head, const float *y, uint8_t *bytes)
{
    (void)state;
    (void)head;
    uint8_t codes[GYRE_GGML_BLOCK];
    float d = gyre_ggml_signed_codes(y, 16, codes), stored;
    (void)gyre_scale_put(GYRE_SCALE_F16, d, bytes);
    memset(bytes + 2, 0, 4);
    for (size_t i = 0; i < GYRE_GGML_BLOCK; i++)
        bytes[2 + i / 8] |= (uint8_t)(codes[i] >> 4 << i % 8);
    for (size_t i = 0; i < GYRE_GGML_BLOCK / 2; i++)
        bytes[6 + i] = (uint8_t)((codes[i] & 15) | (codes[i + GYRE_GGML_BLOCK / 2] & 15) << 4);
    return gyre_scale_round(GYRE_SCALE_F16, d, &stored);
}

static void values(const void *state, size_t head, const uint8_t *bytes, float *y)
{
    (void)state;
    (void)head;
    float d;
    (void)gyre_scale_get(GYRE_SCALE_F16, bytes, &d);
    for (size_t i = 0; i < GYRE_GGML_BLOCK; i++) {
        size_t half = GYRE_GGML_BLOCK / 2;
        int low = i < half ? bytes[6 + i] & 15 : bytes[6 + i - half] >> 4;
        y[i] = (float)((low | (bytes[2 + i / 8] >> i % 8 & 1) << 4) - 16) * d;
    }
}

static const gyre_blocks_way way = {
    .name = "q5_0",
    .refusal = GYRE_GGML_REFUSAL,
    .block = GYRE_GGML_BLOCK,
    .bytes = 6 + GYRE_GGML_BLOCK / 2,
    .code = code,
    .values = values,
};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_blocks_init(site, &way, state, err);
}

const gyre_quantizer_type gyre_quantizer_q5_0 = {
    .name = "q5_0",
    .summary = "ggml's 5-bit blocks of 32",
    .source = "github ggml-org/ggml, ggml-quants.c",
    .bits_formula = "5 + 16 / 32",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_blocks_row_bytes,
    .encode = gyre_blocks_encode,
    .decode = gyre_blocks_decode,
    .free = free,
    .applicable = gyre_ggml_applicable,
};
