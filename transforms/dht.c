/* dht: the discrete Hartley transform, orthonormal.
 *
 *     y_i = 1/sqrt(d) sum_j (cos t + sin t) x_j,  t = 2 pi i j / d
 *
 * Bracewell 1983. Any d >= 2, d log d operations, symmetric and its own inverse, by FFTW (r2r, FFTW_DHT). It is rfft without the packing: y_k and y_{d-k} are
 * sum and difference of the real and imaginary part of one frequency. Its largest entry is at most sqrt(2/d), reached where 8 divides d. There are no signs
 * inside: `sdht` has them in front.
 */
#include <math.h>

#include "transforms/fftw_plan.h"

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    return gyre_fftw_new(GYRE_FFTW_HARTLEY, site->dim, (gyre_fftw_plan **)state, err);
}

static void transform(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_fftw_plan *f = state;
    float *y = scratch;
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t i = 0; i < f->dim; i++)
            y[i] = x[i];
        fftwf_execute_r2r(f->forward, y, y);
        for (size_t i = 0; i < f->dim; i++)
            x[i] = y[i] * f->end;
    }
}

/* Entry (i, j) of the matrix, from the definition. */
static double entry(size_t d, size_t i, size_t j)
{
    const double two_pi = 6.283185307179586476925286766559;
    double angle = two_pi * (double)(i * j % d) / (double)d;
    return (cos(angle) + sin(angle)) / sqrt((double)d);
}

static void transform_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    gyre_fftw_dense_ref(entry, ((const gyre_fftw_plan *)state)->dim, false, x);
}

const gyre_transform_type gyre_transform_dht = {
    .name = "dht",
    .summary = "discrete Hartley transform, orthonormal",
    .source = "Bracewell, J. Opt. Soc. Am. 73, 1983",
    .dims = "2 to 4096",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_MIXED, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = transform,
    .inverse = transform,
    .forward_ref = transform_ref,
    .inverse_ref = transform_ref,
    .free = gyre_fftw_free,
    .applicable = gyre_fftw_applicable,
    .scratch = gyre_fftw_scratch,
};
