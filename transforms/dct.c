/* dct: the discrete cosine transform of type II, orthonormal; its inverse is type III.
 *
 *     y_0 = sqrt(1/d) sum_j x_j
 *     y_k = sqrt(2/d) sum_j x_j cos(pi (2j + 1) k / (2d))   (1 <= k < d)
 *
 * Ahmed, Natarajan and Rao 1974. Any d >= 2, d log d operations, by FFTW (r2r, REDFT10 and REDFT01). Its largest entry is sqrt(2/d), but where d is a power
 * of two, sqrt(2/d) cos(pi/(2d)). Neighbouring coordinates of a head are not samples of a smooth signal: it is here as one more orthogonal mixture, not as a
 * compressor. There are no signs inside: `sdct` has them in front.
 */
#include <math.h>

#include "transforms/fftw_plan.h"

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    return gyre_fftw_new(GYRE_FFTW_COSINE, site->dim, (gyre_fftw_plan **)state, err);
}

/* FFTW's REDFT10 is twice the sum and its REDFT01 counts every k >= 1 twice: both ways half of sqrt(2/d); only y_0 differs. */
static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_fftw_plan *f = state;
    float *y = scratch, half = 0.5f * f->middle;
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t i = 0; i < f->dim; i++)
            y[i] = x[i];
        fftwf_execute_r2r(f->forward, y, y);
        x[0] = y[0] * (0.5f * f->end);
        for (size_t k = 1; k < f->dim; k++)
            x[k] = y[k] * half;
    }
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_fftw_plan *f = state;
    float *y = scratch, half = 0.5f * f->middle;
    for (size_t r = 0; r < n; r++, x += stride) {
        y[0] = x[0] * f->end;
        for (size_t k = 1; k < f->dim; k++)
            y[k] = x[k] * half;
        fftwf_execute_r2r(f->inverse, y, y);
        for (size_t i = 0; i < f->dim; i++)
            x[i] = y[i];
    }
}

/* Entry (k, j) of the matrix, from the definition. */
static double entry(size_t d, size_t k, size_t j)
{
    const double half_pi = 1.5707963267948966192313216916398;
    return sqrt((k == 0 ? 1.0 : 2.0) / (double)d) * cos(half_pi * (double)((2 * j + 1) * k % (4 * d)) / (double)d);
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    gyre_fftw_dense_ref(entry, ((const gyre_fftw_plan *)state)->dim, false, x);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    gyre_fftw_dense_ref(entry, ((const gyre_fftw_plan *)state)->dim, true, x);
}

const gyre_transform_type gyre_transform_dct = {
    .name = "dct",
    .summary = "discrete cosine transform (type II), orthonormal",
    .source = "Ahmed, Natarajan and Rao, IEEE Trans. Computers C-23, 1974",
    .dims = "2 to 4096",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_MIXED, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = gyre_fftw_free,
    .applicable = gyre_fftw_applicable,
    .scratch = gyre_fftw_scratch,
};
