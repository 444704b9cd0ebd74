/* What the block formats share: rows of whole blocks, each of the same bytes, scale and codes together, one after the other. */
#ifndef GYRE_QUANT_BLOCKS_H
#define GYRE_QUANT_BLOCKS_H

#include "quant/quantizer.h"

typedef struct gyre_blocks_way {
    const char *name, *refusal; /* refusal: what code cannot hold when it returns false */
    size_t block, bytes;        /* coordinates and bytes of a block */
    bool (*code)(const void *state, size_t head, const float *y, uint8_t *bytes);
    void (*values)(const void *state, size_t head, const uint8_t *bytes, float *y);
} gyre_blocks_way;

/* The state, or the first member of it. */
typedef struct gyre_blocks {
    const gyre_blocks_way *way;
    size_t dim;
} gyre_blocks;

bool gyre_blocks_applicable(const gyre_site *site, size_t block, char why[GYRE_QUANTIZER_WHY]);
gyre_status gyre_blocks_init(const gyre_site *site, const gyre_blocks_way *way, void **state, gyre_error *err);
size_t gyre_blocks_row_bytes(const void *state);
gyre_status gyre_blocks_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
void gyre_blocks_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride);

/* E2M1 codes of y / scale (those of 0 where scale is 0), two to a byte, the first in the low half, and back. */
void gyre_e2m1_pack(const float *y, size_t n, float scale, uint8_t *bytes);
void gyre_e2m1_unpack(const uint8_t *bytes, size_t n, float scale, float *y);

#endif
