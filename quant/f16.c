/* f16: every value as IEEE 754 binary16, rounded half to even, little-endian. 16 bits per value.
 *
 * The reference a served cache usually is. A value of magnitude 65520 or more is refused, not turned into infinity.
 */
#include <stdlib.h>

#include "quant/plain.h"

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_plain_init(site->dim, GYRE_SCALE_F16, state, err);
}

const gyre_quantizer_type gyre_quantizer_f16 = {
    .name = "f16",
    .summary = "binary16",
    .source = "IEEE 754",
    .bits_formula = "16",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_plain_row_bytes,
    .encode = gyre_plain_encode,
    .decode = gyre_plain_decode,
    .free = free,
};
