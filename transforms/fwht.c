/* fwht: y = H x / sqrt(d), H_ij = (-1)^popcount(i & j) (Sylvester's Hadamard matrix).
 *
 * Fino and Algazi 1976; QuaRot (arXiv 2404.00456) uses it on K after RoPE. d a power of two, d log2 d additions, self-inverse. Without `signs` in
 * front it is llama.cpp's and SAW-INT4's rotation; with them it is SRHT. Other dimensions are refused, never padded.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transforms/transform.h"

typedef struct fwht {
    size_t dim;
    float scale;
} fwht;

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    bool ok = site->dim != 0 && (site->dim & (site->dim - 1)) == 0;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not a power of two", site->dim);
    return ok;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    gyre_status st = GYRE_OK;
    fwht *f = NULL;
    GYRE_NEW(&f, 1);
    f->dim = site->dim;
    f->scale = (float)(1.0 / sqrt((double)site->dim));
    *state = f;
done:
    return st;
}

/* One butterfly level at distance h; the inner loop is contiguous so that the compiler vectorises it. */
static void level(float *x, size_t dim, size_t h)
{
    for (size_t i = 0; i < dim; i += 2 * h) {
        float *a = x + i, *b = x + i + h;
        for (size_t j = 0; j < h; j++) {
            float u = a[j], v = b[j];
            a[j] = u + v;
            b[j] = u - v;
        }
    }
}

/* Levels 1 and 2 together, in registers: their butterflies are too short to vectorise. */
static void first_levels(float *x, size_t dim)
{
    for (size_t i = 0; i < dim; i += 4) {
        float a = x[i] + x[i + 1], b = x[i] - x[i + 1], c = x[i + 2] + x[i + 3], d = x[i + 2] - x[i + 3];
        x[i] = a + c;
        x[i + 1] = b + d;
        x[i + 2] = a - c;
        x[i + 3] = b - d;
    }
}

static void transform(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const fwht *f = state;
    for (size_t r = 0; r < n; r++, x += stride) {
        size_t h = f->dim >= 4 ? 4 : 1;
        if (h == 4)
            first_levels(x, f->dim);
        for (; h < f->dim; h *= 2)
            level(x, f->dim, h);
        for (size_t i = 0; i < f->dim; i++)
            x[i] *= f->scale;
    }
}

static void transform_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const fwht *f = state;
    for (size_t h = 1; h < f->dim; h *= 2)
        for (size_t i = 0; i < f->dim; i++)
            if ((i & h) == 0) {
                double u = x[i], v = x[i + h];
                x[i] = u + v;
                x[i + h] = u - v;
            }
    for (size_t i = 0; i < f->dim; i++)
        x[i] /= sqrt((double)f->dim);
}

const gyre_transform_type gyre_transform_fwht = {
    .name = "fwht",
    .summary = "Walsh-Hadamard transform, orthonormal",
    .source = "arXiv 2404.00456 (QuaRot), section 3; Fino and Algazi, 1976",
    .dims = "powers of two",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_MIXED, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = transform,
    .inverse = transform,
    .forward_ref = transform_ref,
    .inverse_ref = transform_ref,
    .free = free,
    .applicable = applicable,
};
