/* rfft: the unitary discrete Fourier transform of a real row, packed into d real numbers (arXiv 2605.05699 section 3).
 *
 *     Y_k = 1/sqrt(d) sum_j x_j exp(-2 pi i j k / d)
 *     even d: out[0] = Re Y_0, out[k] = sqrt2 Re Y_k, out[d/2] = Re Y_{d/2}, out[d/2+k] = sqrt2 Im Y_k   (1 <= k < d/2)
 *     odd d:  out[0] = Re Y_0, out[k] = sqrt2 Re Y_k, out[h+k] = sqrt2 Im Y_k                            (1 <= k <= h = (d-1)/2)
 *
 * An orthogonal real map for every d >= 2, d log d operations, by FFTW (r2c and c2r, planned with FFTW_ESTIMATE, so the plan does not depend on timing).
 * Its largest entry is sqrt(2/d), against 1/sqrt(d) for fwht. It is not QuIP#'s RFFT (pairs of coordinates as complex numbers), nor a Hartley transform.
 */
#include <fftw3.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "transforms/transform.h"

enum { ALIGN_FLOATS = 16, REF_MOST = 4096 };

/* FFTW's planner is one shared object; only it needs the lock, executing does not. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

typedef struct rfft {
    size_t dim, half;   /* half: index of the first imaginary part minus one */
    size_t complex_at;  /* floats from the start of scratch to the spectrum */
    size_t size;        /* floats of scratch */
    fftwf_plan forward, inverse;
    float end, middle;  /* 1/sqrt(d) and sqrt(2/d) */
} rfft;

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    bool ok = site->dim >= 2 && site->dim <= REF_MOST;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not in 2..%d", site->dim, (int)REF_MOST);
    return ok;
}

static void release(void *state)
{
    rfft *f = state;
    if (f == NULL)
        return;
    (void)pthread_mutex_lock(&planner);
    if (f->forward != NULL)
        fftwf_destroy_plan(f->forward);
    if (f->inverse != NULL)
        fftwf_destroy_plan(f->inverse);
    (void)pthread_mutex_unlock(&planner);
    free(f);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    gyre_status st = GYRE_OK;
    rfft *f = NULL;
    float *work = NULL;
    GYRE_NEW(&f, 1);
    f->dim = site->dim;
    f->half = site->dim % 2 == 0 ? site->dim / 2 : (site->dim - 1) / 2;
    f->complex_at = (site->dim + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    f->size = f->complex_at + 2 * (site->dim / 2 + 1);
    f->end = (float)(1.0 / sqrt((double)site->dim));
    f->middle = (float)sqrt(2.0 / (double)site->dim);
    work = fftwf_alloc_real(f->size);
    if (work == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to plan an FFT of length %zu", f->dim);
    (void)pthread_mutex_lock(&planner);
    f->forward = fftwf_plan_dft_r2c_1d((int)f->dim, work, (fftwf_complex *)(work + f->complex_at), FFTW_ESTIMATE);
    f->inverse = fftwf_plan_dft_c2r_1d((int)f->dim, (fftwf_complex *)(work + f->complex_at), work, FFTW_ESTIMATE);
    (void)pthread_mutex_unlock(&planner);
    if (f->forward == NULL || f->inverse == NULL)
        GYRE_FAIL(GYRE_E_INTERNAL, "FFTW makes no plan for length %zu", f->dim);
    *state = f;
    f = NULL;
done:
    fftwf_free(work);
    release(f);
    return st;
}

static size_t scratch_bytes(const void *state)
{
    return ((const rfft *)state)->size * sizeof(float);
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const rfft *f = state;
    float *real = scratch, *y = real + f->complex_at;
    size_t pairs = (f->dim - 1) / 2;
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t i = 0; i < f->dim; i++)
            real[i] = x[i];
        fftwf_execute_dft_r2c(f->forward, real, (fftwf_complex *)y);
        x[0] = y[0] * f->end;
        for (size_t k = 1; k <= pairs; k++) {
            x[k] = y[2 * k] * f->middle;
            x[f->half + k] = y[2 * k + 1] * f->middle;
        }
        if (f->dim % 2 == 0)
            x[f->half] = y[f->dim] * f->end;
    }
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const rfft *f = state;
    float *real = scratch, *y = real + f->complex_at;
    size_t pairs = (f->dim - 1) / 2;
    /* FFTW's c2r counts every pair twice: x = sum of Re Y_0, Re Y_{d/2} and 2 Re(Y_k w^jk); so the pairs carry half of sqrt(2/d) */
    float pair = 0.5f * f->middle;
    for (size_t r = 0; r < n; r++, x += stride) {
        y[0] = x[0] * f->end;
        y[1] = 0.0f;
        for (size_t k = 1; k <= pairs; k++) {
            y[2 * k] = x[k] * pair;
            y[2 * k + 1] = x[f->half + k] * pair;
        }
        if (f->dim % 2 == 0) {
            y[f->dim] = x[f->half] * f->end;
            y[f->dim + 1] = 0.0f;
        }
        fftwf_execute_dft_c2r(f->inverse, (fftwf_complex *)y, real);
        for (size_t i = 0; i < f->dim; i++)
            x[i] = real[i];
    }
}

/* Entry (i, j) of the matrix, from the definition. */
static double entry(const rfft *f, size_t i, size_t j)
{
    const double two_pi = 6.283185307179586476925286766559;
    bool cosine = i <= (f->dim - 1) / 2 || (f->dim % 2 == 0 && i == f->half);
    bool single = i == 0 || (f->dim % 2 == 0 && i == f->half);
    size_t k = cosine ? i : i - f->half;
    double angle = two_pi * (double)(j * k % f->dim) / (double)f->dim;
    return sqrt((single ? 1.0 : 2.0) / (double)f->dim) * (cosine ? cos(angle) : -sin(angle));
}

static void apply_ref(const rfft *f, double *x, bool transpose)
{
    double y[REF_MOST];
    for (size_t i = 0; i < f->dim; i++) {
        y[i] = 0;
        for (size_t j = 0; j < f->dim; j++)
            y[i] += (transpose ? entry(f, j, i) : entry(f, i, j)) * x[j];
    }
    for (size_t i = 0; i < f->dim; i++)
        x[i] = y[i];
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    apply_ref(state, x, false);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    apply_ref(state, x, true);
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
    .free = release,
    .applicable = applicable,
    .scratch = scratch_bytes,
};
