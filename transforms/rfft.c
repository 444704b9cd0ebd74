/* rfft: the unitary discrete Fourier transform of a real row, packed into d real numbers (arXiv 2605.05699 section 3).
 *
 *     Y_k = 1/sqrt(d) sum_j x_j exp(-2 pi i j k / d)
 *     even d: out[0] = Re Y_0, out[k] = sqrt2 Re Y_k, out[d/2] = Re Y_{d/2}, out[d/2+k] = sqrt2 Im Y_k   (1 <= k < d/2)
 *     odd d:  out[0] = Re Y_0, out[k] = sqrt2 Re Y_k, out[h+k] = sqrt2 Im Y_k                            (1 <= k <= h = (d-1)/2)
 *
 * An orthogonal real map for every d >= 2, d log d operations, by FFTW (r2c and c2r, planned with FFTW_ESTIMATE, so the plan does not depend on timing).
 * Its largest entry is sqrt(2/d), against 1/sqrt(d) for hadamard. It is not QuIP#'s RFFT (pairs of coordinates as complex numbers: rffthash), nor a Hartley
 * transform (dht).
 */
#include <math.h>

#include "transforms/fftw_plan.h"

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    return gyre_fftw_new(GYRE_FFTW_REAL, site->dim, (gyre_fftw_plan **)state, err);
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_fftw_plan *f = state;
    float *real = scratch, *y = real + f->spectrum_at;
    size_t half = f->dim / 2, pairs = (f->dim - 1) / 2; /* half: index of the first imaginary part minus one */
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t i = 0; i < f->dim; i++)
            real[i] = x[i];
        fftwf_execute_dft_r2c(f->forward, real, (fftwf_complex *)y);
        x[0] = y[0] * f->end;
        for (size_t k = 1; k <= pairs; k++) {
            x[k] = y[2 * k] * f->middle;
            x[half + k] = y[2 * k + 1] * f->middle;
        }
        if (f->dim % 2 == 0)
            x[half] = y[f->dim] * f->end;
    }
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_fftw_plan *f = state;
    float *real = scratch, *y = real + f->spectrum_at;
    size_t half = f->dim / 2, pairs = (f->dim - 1) / 2;
    /* FFTW's c2r counts every pair twice: x = sum of Re Y_0, Re Y_{d/2} and 2 Re(Y_k w^jk); so the pairs carry half of sqrt(2/d) */
    float pair = 0.5f * f->middle;
    for (size_t r = 0; r < n; r++, x += stride) {
        y[0] = x[0] * f->end;
        y[1] = 0.0f;
        for (size_t k = 1; k <= pairs; k++) {
            y[2 * k] = x[k] * pair;
            y[2 * k + 1] = x[half + k] * pair;
        }
        if (f->dim % 2 == 0) {
            y[f->dim] = x[half] * f->end;
            y[f->dim + 1] = 0.0f;
        }
        fftwf_execute_dft_c2r(f->inverse, (fftwf_complex *)y, real);
        for (size_t i = 0; i < f->dim; i++)
            x[i] = real[i];
    }
}

/* Entry (i, j) of the matrix, from the definition. */
static double entry(size_t d, size_t i, size_t j)
{
    const double two_pi = 6.283185307179586476925286766559;
    size_t half = d / 2;
    bool cosine = i <= (d - 1) / 2 || (d % 2 == 0 && i == half);
    bool single = i == 0 || (d % 2 == 0 && i == half);
    size_t k = cosine ? i : i - half;
    double angle = two_pi * (double)(j * k % d) / (double)d;
    return sqrt((single ? 1.0 : 2.0) / (double)d) * (cosine ? cos(angle) : -sin(angle));
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

const gyre_transform_type gyre_transform_rfft = {
    .name = "rfft",
    .summary = "real Fourier transform, orthonormal, packed",
    .source = "arXiv 2605.05699, section 3",
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
