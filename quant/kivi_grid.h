/* The grid of KIVI (arXiv 2402.02750), which kivi and ott share: keys per channel over groups of tokens, values per token over groups of channels, both as asym codes
 * them; tokens beyond the last whole group as binary16.
 */
#ifndef GYRE_QUANT_KIVI_GRID_H
#define GYRE_QUANT_KIVI_GRID_H

#include "quant/asym.h"

typedef struct gyre_kivi_grid {
    size_t dim, group;
    void *keys;   /* asym rows of `group` tokens, one a channel */
    void *values; /* asym rows of dim channels */
    void *rest;   /* binary16 rows of dim channels */
} gyre_kivi_grid;

/* group_v: channels, 0 for the row. */
gyre_status gyre_kivi_grid_init(gyre_kivi_grid *grid, size_t dim, size_t group, size_t group_v, int64_t bits, int scale, gyre_error *err);
void gyre_kivi_grid_free(gyre_kivi_grid *grid);

/* Tokens in whole groups. */
size_t gyre_kivi_whole(const gyre_kivi_grid *grid, size_t tokens);

/* A group of keys: dim asym rows, each one channel of the group's tokens. x is group x dim. */
size_t gyre_kivi_keys_bytes(const gyre_kivi_grid *grid);
gyre_status gyre_kivi_keys_encode(const gyre_kivi_grid *grid, const float *x, uint8_t *bytes, gyre_error *err);
void gyre_kivi_keys_decode(const gyre_kivi_grid *grid, const uint8_t *bytes, float *x);

/* n rows of values, and n rows in binary16; rows are contiguous. */
size_t gyre_kivi_values_bytes(const gyre_kivi_grid *grid);
gyre_status gyre_kivi_values_encode(const gyre_kivi_grid *grid, const float *x, size_t n, uint8_t *bytes, gyre_error *err);
void gyre_kivi_values_decode(const gyre_kivi_grid *grid, const uint8_t *bytes, size_t n, float *x);
size_t gyre_kivi_rest_bytes(const gyre_kivi_grid *grid);
gyre_status gyre_kivi_rest_encode(const gyre_kivi_grid *grid, const float *x, size_t n, uint8_t *bytes, gyre_error *err);
void gyre_kivi_rest_decode(const gyre_kivi_grid *grid, const uint8_t *bytes, size_t n, float *x);

#endif
