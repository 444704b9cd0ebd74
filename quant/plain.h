/* What the quantizers without a scale share: every value as a float of one format, little-endian. */
#ifndef GYRE_QUANT_PLAIN_H
#define GYRE_QUANT_PLAIN_H

#include "quant/grouped.h"

gyre_status gyre_plain_init(size_t dim, gyre_scale_format format, void **state, gyre_error *err);
size_t gyre_plain_row_bytes(const void *state);
gyre_status gyre_plain_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
void gyre_plain_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride);

#endif
