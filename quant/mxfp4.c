/* mxfp4: OCP Microscaling FP4 (Microscaling Formats 1.0; arXiv 2310.10537): blocks of 32 values of E2M1 under one power of two.
 *
 *     e = max(floor(log2 max |y|) - 2, -127),  y^ = e2m1(y / 2^e) * 2^e
 *
 * E2M1 is +-{0, 0.5, 1, 1.5, 2, 3, 4, 6}, rounded half to even and saturating: the largest of a block is in [4, 8) 2^e, and what is above 6 2^e is cut, as the standard's
 * conversion does. The division is exact. Payload 4.25 bits per value; 32 divides the head dimension. Nothing is refused. A block of zeros has e = -127.
 * Bytes of a block: e + 127 (E8M0), then 16 bytes of codes, the even coordinate in the low half (ggml's block_mxfp4 holds coordinates i and i + 16 in a byte instead).
 */
#include <math.h>
#include <stdlib.h>

#include "core/minifloat.h"
#include "quant/blocks.h"
#include "quant/grouped.h"

enum { BLOCK = 32 };

static bool code(const void *state, size_t head, const float *y, uint8_t *bytes)
{
    (void)state;
    (void)head;
    float most = gyre_group_largest(y, BLOCK);
    int exponent = most > 0.0f ? ilogbf(most) - 2 : -127;
    bytes[0] = (uint8_t)((exponent < -127 ? -127 : exponent) + 127);
    gyre_e2m1_pack(y, BLOCK, gyre_e8m0_to_float(bytes[0]), bytes + 1);
    return true;
}

static void values(const void *state, size_t head, const uint8_t *bytes, float *y)
{
    (void)state;
    (void)head;
    gyre_e2m1_unpack(bytes + 1, BLOCK, gyre_e8m0_to_float(bytes[0]), y);
}

static const gyre_blocks_way way = {.name = "mxfp4", .block = BLOCK, .bytes = 1 + BLOCK / 2, .code = code, .values = values};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_blocks_init(site, &way, state, err);
}

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    (void)options;
    return gyre_blocks_applicable(site, BLOCK, why);
}

const gyre_quantizer_type gyre_quantizer_mxfp4 = {
    .name = "mxfp4",
    .summary = "E2M1 in blocks of 32 under a power of two",
    .source = "OCP Microscaling Formats 1.0; arXiv 2310.10537",
    .bits_formula = "4 + 8 / 32",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_blocks_row_bytes,
    .encode = gyre_blocks_encode,
    .decode = gyre_blocks_decode,
    .free = free,
    .applicable = applicable,
};
