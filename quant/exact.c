/* exact: every value as binary32, little-endian. 32 bits per value; no error at all.
 *
 * For checking the path around a quantizer: what a chain alone costs in float. It is not the arm `exact`, which leaves a stream untouched.
 */
#include <stdlib.h>

#include "quant/plain.h"

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    (void)options;
    return gyre_plain_init(site->dim, GYRE_SCALE_F32, state, err);
}

const gyre_quantizer_type gyre_quantizer_exact = {
    .name = "exact",
    .summary = "binary32, no error",
    .source = "IEEE 754",
    .bits_formula = "32",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_plain_row_bytes,
    .encode = gyre_plain_encode,
    .decode = gyre_plain_decode,
    .free = free,
};
