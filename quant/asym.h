/* Rows in the bytes of asym, for the variants that code blocks with its grid: state is a gyre_grouped with two parameters a group. */
#ifndef GYRE_QUANT_ASYM_H
#define GYRE_QUANT_ASYM_H

#include "quant/grouped.h"

gyre_status gyre_asym_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
void gyre_asym_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride);

#endif
