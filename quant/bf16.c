/* bf16: every value as bfloat16, rounded half to even, little-endian. 16 bits per value; any head dimension.
 *
 * Eight bits of significand to binary16's eleven, but binary32's range: nothing short of 3.39e38 is refused.
 */
#include <stdlib.h>

#include "quant/plain.h"

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_plain_init(site->dim, GYRE_SCALE_BF16, state, err);
}

const gyre_quantizer_type gyre_quantizer_bf16 = {
    .name = "bf16",
    .summary = "bfloat16",
    .source = "Intel, BFLOAT16 hardware numerics definition, 2018",
    .bits_formula = "16",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_plain_row_bytes,
    .encode = gyre_plain_encode,
    .decode = gyre_plain_decode,
    .free = free,
};
