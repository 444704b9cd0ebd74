/* What ggml's block formats share: 32 coordinates, a binary16 scale, and the signed scale of q4_0 and q5_0. */
#ifndef GYRE_QUANT_GGML_H
#define GYRE_QUANT_GGML_H

#include "quant/blocks.h"

enum { GYRE_GGML_BLOCK = 32 };

#define GYRE_GGML_REFUSAL "scale exceeds binary16"

bool gyre_ggml_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY]);

/* 1/d, and 0 where that is not finite. */
float gyre_ggml_inverse(float d);

/* Codes in 0..2 * half - 1 and the unrounded d = m / -half, m the value of largest magnitude. */
float gyre_ggml_signed_codes(const float *y, int half, uint8_t *codes);

#endif
