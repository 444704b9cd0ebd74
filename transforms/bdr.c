/* bdr: block-diagonal Hadamard rotation, y = (I (x) H_B / sqrt(B)) x on blocks of B consecutive coordinates, H_ij = (-1)^popcount(i & j).
 *
 * SAW-INT4 (arXiv 2604.19157) on K after RoPE, without signs. B = `block`, a power of two that divides d; 16 is the default of SAW's own environment
 * variable, 128 what its authors recommend. d log2 B additions, self-inverse. At B = d it is hadamard. It mixes nothing between blocks, so its largest
 * entry is 1/sqrt(B).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "transforms/transform.h"
#include "transforms/walsh.h"

typedef struct options {
    int64_t block;
} options;

typedef struct bdr {
    size_t dim, block;
    float scale;
} bdr;

static const gyre_option table[] = {
    {"block", GYRE_OPTION_INT, offsetof(options, block), "16", 2, 4096, NULL, "coordinates", "size of a block: a power of two that divides the head dimension"},
    {0},
};

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    size_t block = (size_t)((const options *)values)->block;
    if (!gyre_walsh_size(block))
        (void)snprintf(why, GYRE_WHY, "a block of %zu is not a power of two", block);
    else if (site->dim % block != 0)
        (void)snprintf(why, GYRE_WHY, "a block of %zu does not divide the head dimension %zu", block, site->dim);
    else
        return true;
    return false;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    bdr *b = NULL;
    GYRE_NEW(&b, 1);
    b->dim = site->dim;
    b->block = (size_t)((const options *)values)->block;
    b->scale = (float)(1.0 / sqrt((double)b->block));
    *state = b;
done:
    return st;
}

static void transform(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const bdr *b = state;
    for (size_t r = 0; r < n; r++, x += stride) {
        gyre_walsh(x, b->dim, b->block);
        for (size_t i = 0; i < b->dim; i++)
            x[i] *= b->scale;
    }
}

static void transform_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const bdr *b = state;
    gyre_walsh_ref(x, b->dim, b->block);
    for (size_t i = 0; i < b->dim; i++)
        x[i] /= sqrt((double)b->block);
}

const gyre_transform_type gyre_transform_bdr = {
    .name = "bdr",
    .summary = "block-diagonal Hadamard rotation of SAW-INT4",
    .source = "arXiv 2604.19157 (SAW-INT4)",
    .dims = "multiples of the block",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_MIXED, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = transform,
    .inverse = transform,
    .forward_ref = transform_ref,
    .inverse_ref = transform_ref,
    .free = free,
    .options = table,
    .applicable = applicable,
};
