#include "quant/kivi_grid.h"

#include <stdlib.h>

#include "quant/plain.h"

gyre_status gyre_kivi_grid_init(gyre_kivi_grid *grid, size_t dim, size_t group, size_t group_v, int64_t bits, int scale, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    grid->dim = dim;
    grid->group = group;
    GYRE_TRY(gyre_grouped_init(group, &(gyre_grouped_options){.bits = bits, .scale = scale, .clip = 1.0}, &gyre_asym_minimum, &grid->keys, err));
    GYRE_TRY(gyre_grouped_init(dim, &(gyre_grouped_options){.bits = bits, .group = (int64_t)group_v, .scale = scale, .clip = 1.0}, &gyre_asym_minimum, &grid->values, err));
    GYRE_TRY(gyre_plain_init(dim, GYRE_SCALE_F16, &grid->rest, err));
done:
    return st;
}

void gyre_kivi_grid_free(gyre_kivi_grid *grid)
{
    free(grid->keys);
    free(grid->values);
    free(grid->rest);
}

size_t gyre_kivi_whole(const gyre_kivi_grid *grid, size_t tokens)
{
    return tokens / grid->group * grid->group;
}

size_t gyre_kivi_keys_bytes(const gyre_kivi_grid *grid)
{
    return grid->dim * gyre_grouped_row_bytes(grid->keys);
}

gyre_status gyre_kivi_keys_encode(const gyre_kivi_grid *grid, const float *x, uint8_t *bytes, gyre_error *err)
{
    float channel[GYRE_QUANTIZER_DIM];
    for (size_t i = 0; i < grid->dim; i++, bytes += gyre_grouped_row_bytes(grid->keys)) {
        for (size_t t = 0; t < grid->group; t++)
            channel[t] = x[t * grid->dim + i];
        gyre_status st = gyre_grouped_encode(grid->keys, 0, channel, 1, grid->group, bytes, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "channel %zu", i);
            return st;
        }
    }
    return GYRE_OK;
}

void gyre_kivi_keys_decode(const gyre_kivi_grid *grid, const uint8_t *bytes, float *x)
{
    float channel[GYRE_QUANTIZER_DIM];
    for (size_t i = 0; i < grid->dim; i++, bytes += gyre_grouped_row_bytes(grid->keys)) {
        gyre_grouped_decode(grid->keys, 0, bytes, 1, channel, grid->group);
        for (size_t t = 0; t < grid->group; t++)
            x[t * grid->dim + i] = channel[t];
    }
}

size_t gyre_kivi_values_bytes(const gyre_kivi_grid *grid)
{
    return gyre_grouped_row_bytes(grid->values);
}

gyre_status gyre_kivi_values_encode(const gyre_kivi_grid *grid, const float *x, size_t n, uint8_t *bytes, gyre_error *err)
{
    return gyre_grouped_encode(grid->values, 0, x, n, grid->dim, bytes, err);
}

void gyre_kivi_values_decode(const gyre_kivi_grid *grid, const uint8_t *bytes, size_t n, float *x)
{
    gyre_grouped_decode(grid->values, 0, bytes, n, x, grid->dim);
}

size_t gyre_kivi_rest_bytes(const gyre_kivi_grid *grid)
{
    return gyre_plain_row_bytes(grid->rest);
}

gyre_status gyre_kivi_rest_encode(const gyre_kivi_grid *grid, const float *x, size_t n, uint8_t *bytes, gyre_error *err)
{
    return gyre_plain_encode(grid->rest, 0, x, n, grid->dim, bytes, err);
}

void gyre_kivi_rest_decode(const gyre_kivi_grid *grid, const uint8_t *bytes, size_t n, float *x)
{
    gyre_plain_decode(grid->rest, 0, bytes, n, x, grid->dim);
}
