/* rffthash: QuIP#'s randomised Fourier transform, on pairs of coordinates as complex numbers (arXiv 2402.04396, appendix A.2).
 *
 *     h = d/2;  z_j = (x_2j + i x_2j+1) e^{i phi_j};  Z_k = 1/sqrt(h) sum_j z_j exp(-2 pi i j k / h);  y_2k = Re Z_k, y_2k+1 = Im Z_k
 *     phi_j = 2 pi u_j, u_j the uniforms of docs/random.md (purpose 3)
 *
 * Even d from 2 to 4096, (d/2) log(d/2) complex operations, by FFTW (c2c). Orthogonal: a unitary matrix, seen as a real one. Every 2 x 2 block is
 * a rotation divided by sqrt(h), so that a spike reaches every pair of outputs with equal energy. One draw per layer or per head.
 * It is not srft: random phases instead of signs, a transform of half the length instead of a packed real one. At d = 2 it turns the one pair by phi_0.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "transforms/fftw_plan.h"

typedef struct options {
    int per;
} options;

typedef struct rffthash {
    gyre_fftw_plan *plan;
    size_t half;
    float scale;      /* 1/sqrt(h) */
    double unit[];    /* cos phi_0, sin phi_0, cos phi_1, ... */
} rffthash;

static const double two_pi = 6.283185307179586476925286766559;
static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    if (!gyre_fftw_applicable(site, values, why))
        return false;
    if (site->dim % 2 != 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is odd", site->dim);
    return site->dim % 2 == 0;
}

static void release(void *state)
{
    rffthash *f = state;
    if (f == NULL)
        return;
    gyre_fftw_free(f->plan);
    free(f);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    rffthash *f = NULL;
    GYRE_TRY(gyre_calloc((void **)&f, 1, sizeof *f + site->dim * sizeof *f->unit, err));
    f->half = site->dim / 2;
    f->scale = (float)(1.0 / sqrt((double)f->half));
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_ANGLES, ordinal, o->per == 1);
    for (size_t j = 0; j < f->half; j++) {
        double phi = two_pi * gyre_random_uniform(&stream, (uint32_t)j);
        f->unit[2 * j] = cos(phi);
        f->unit[2 * j + 1] = sin(phi);
    }
    GYRE_TRY(gyre_fftw_new(GYRE_FFTW_PAIRS, site->dim, &f->plan, err));
    *state = f;
    f = NULL;
done:
    release(f);
    return st;
}

static size_t scratch_bytes(const void *state)
{
    return gyre_fftw_scratch(((const rffthash *)state)->plan);
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const rffthash *f = state;
    float *z = scratch;
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t j = 0; j < f->half; j++) {
            float a = x[2 * j], b = x[2 * j + 1], c = (float)f->unit[2 * j], s = (float)f->unit[2 * j + 1];
            z[2 * j] = a * c - b * s;
            z[2 * j + 1] = a * s + b * c;
        }
        fftwf_execute_dft(f->plan->forward, (fftwf_complex *)z, (fftwf_complex *)z);
        for (size_t i = 0; i < 2 * f->half; i++)
            x[i] = z[i] * f->scale;
    }
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const rffthash *f = state;
    float *z = scratch;
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t i = 0; i < 2 * f->half; i++)
            z[i] = x[i] * f->scale;
        fftwf_execute_dft(f->plan->inverse, (fftwf_complex *)z, (fftwf_complex *)z);
        for (size_t j = 0; j < f->half; j++) {
            float a = z[2 * j], b = z[2 * j + 1], c = (float)f->unit[2 * j], s = (float)f->unit[2 * j + 1];
            x[2 * j] = a * c + b * s;
            x[2 * j + 1] = b * c - a * s;
        }
    }
}

/* Every pair times its unit number, or (back) times the conjugate. */
static void turn_ref(const rffthash *f, double *x, bool back)
{
    for (size_t j = 0; j < f->half; j++) {
        double a = x[2 * j], b = x[2 * j + 1], c = f->unit[2 * j], s = back ? -f->unit[2 * j + 1] : f->unit[2 * j + 1];
        x[2 * j] = a * c - b * s;
        x[2 * j + 1] = a * s + b * c;
    }
}

/* The unitary DFT of the pairs from its definition, or (back) its inverse. */
static void dft_ref(const rffthash *f, double *x, bool back)
{
    double y[GYRE_FFTW_DIM_MOST];
    for (size_t k = 0; k < f->half; k++) {
        double re = 0, im = 0;
        for (size_t j = 0; j < f->half; j++) {
            double angle = two_pi * (double)(j * k % f->half) / (double)f->half, c = cos(angle), s = back ? sin(angle) : -sin(angle);
            re += x[2 * j] * c - x[2 * j + 1] * s;
            im += x[2 * j] * s + x[2 * j + 1] * c;
        }
        y[2 * k] = re / sqrt((double)f->half);
        y[2 * k + 1] = im / sqrt((double)f->half);
    }
    for (size_t i = 0; i < 2 * f->half; i++)
        x[i] = y[i];
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    turn_ref(state, x, false);
    dft_ref(state, x, false);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    dft_ref(state, x, true);
    turn_ref(state, x, true);
}

const gyre_transform_type gyre_transform_rffthash = {
    .name = "rffthash",
    .summary = "QuIP#'s randomised Fourier transform of complex pairs",
    .source = "arXiv 2402.04396 (QuIP#), appendix A.2",
    .dims = "even, 2 to 4096",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = release,
    .options = table,
    .applicable = applicable,
    .scratch = scratch_bytes,
};
