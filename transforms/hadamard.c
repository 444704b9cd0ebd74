/* hadamard: y = H x / sqrt(n), H a matrix of n rows with entries +-1 and H H' = n I, in three named forms. None pads, none stands in for another.
 *
 *   sylvester: n = d = 2^k; H_ij = (-1)^popcount(i & j). The Walsh-Hadamard transform in natural order, d log2 d additions, self-inverse.
 *   kronecker: n = d = p 2^k, p in {1, 12, 20}; H = H_p (x) H_{2^k}: entry (a 2^k + b, c 2^k + e) is (H_p)_ac (-1)^popcount(b & e), so the first factor
 *              has the slow index. At p = 1 it is sylvester. d (p + log2(d/p)) additions. H_p is not symmetric: the inverse is the transpose.
 *   blocks:    H = I (x) H_n, n the largest power of two that divides d, on blocks of n consecutive coordinates; refused where n = 1. Self-inverse.
 *
 * H_12 and H_20 are Paley's first construction (Paley, 1933) at q = p - 1 = 11 and 19, which are 3 modulo 4: H = I + S, S skew; rows and columns from 0:
 *
 *     H_0j = 1;  H_i0 = -1 for i >= 1;  H_ii = 1;  H_ij = chi(i - j) for i, j >= 1, i != j
 *
 * with chi(a) = 1 where a is a non-zero square modulo q, else -1. H + H' = 2 I.
 *
 * Fino and Algazi 1976; QuaRot (arXiv 2404.00456) uses sylvester on K after RoPE; the Kronecker form is that of QuIP# (arXiv 2402.04396) and QuaRot, which
 * tabulate matrices of their own. Without `signs` in front it is llama.cpp's and SAW-INT4's rotation; with them it is SRHT. It is not bdr, whose block is
 * chosen.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "transforms/transform.h"
#include "transforms/walsh.h"

enum { SYLVESTER, KRONECKER, BLOCKS };
enum { PALEY_MOST = 20 };

typedef struct options {
    int form;
} options;

typedef struct hadamard {
    size_t dim;
    size_t paley; /* p; 1 without the first factor */
    size_t block; /* 2^k of the butterflies */
    float scale;  /* 1/sqrt(n) */
    double root;  /* sqrt(n) */
    float columns[2][PALEY_MOST][PALEY_MOST]; /* of H_p and of its transpose: [0][c][a] is (H_p)_ac; zeros beyond p */
} hadamard;

static const char *const forms[] = {"sylvester", "kronecker", "blocks", NULL};
static const gyre_option table[] = {
    {"form", GYRE_OPTION_CHOICE, offsetof(options, form), "sylvester", 0, 0, forms, "", "whole row at powers of two, Paley factor 12 or 20, or the largest blocks"},
    {0},
};

/* p of d = p 2^k, or 0. */
static size_t paley_factor(size_t dim)
{
    for (size_t p = 12; p <= PALEY_MOST; p += 8)
        if (dim % p == 0 && gyre_walsh_size(dim / p))
            return p;
    return gyre_walsh_size(dim) ? 1 : 0;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    const options *o = values;
    size_t dim = site->dim;
    if (o->form == SYLVESTER && !gyre_walsh_size(dim))
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not a power of two", dim);
    else if (o->form == KRONECKER && paley_factor(dim) == 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not a power of two, nor 12 or 20 times one", dim);
    else if (o->form == BLOCKS && dim % 2 != 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is odd: its largest block would be 1", dim);
    else
        return true;
    return false;
}

/* Entry (i, j) of Paley's matrix of order p. */
static float paley(size_t p, size_t i, size_t j)
{
    if (i == 0 || i == j)
        return 1.0f;
    if (j == 0)
        return -1.0f;
    size_t q = p - 1, a = (i + q - j) % q;
    for (size_t s = 1; s <= q / 2; s++)
        if (s * s % q == a)
            return 1.0f;
    return -1.0f;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    const options *o = values;
    hadamard *f = NULL;
    GYRE_NEW(&f, 1);
    f->dim = site->dim;
    f->paley = o->form == KRONECKER ? paley_factor(site->dim) : 1;
    f->block = o->form == BLOCKS ? site->dim & (~site->dim + 1) : site->dim / f->paley;
    f->root = sqrt((double)(f->paley * f->block));
    f->scale = (float)(1.0 / f->root);
    for (size_t i = 0; i < f->paley; i++)
        for (size_t j = 0; j < f->paley; j++)
            f->columns[0][j][i] = f->columns[1][i][j] = paley(f->paley, i, j);
    *state = f;
done:
    return st;
}

/* The first factor, on the p coordinates that are `block` apart; the inner loop has one length, so that the sums stay in registers. */
static void factor(const hadamard *f, float *x, bool transpose)
{
    for (size_t j = 0; j < f->block; j++) {
        float sum[PALEY_MOST] = {0};
        for (size_t c = 0; c < f->paley; c++) {
            const float *column = f->columns[transpose][c];
            float v = x[c * f->block + j];
            for (size_t a = 0; a < PALEY_MOST; a++)
                sum[a] += column[a] * v;
        }
        for (size_t a = 0; a < f->paley; a++)
            x[a * f->block + j] = sum[a];
    }
}

static void transform(const hadamard *f, float *x, size_t n, size_t stride, bool transpose)
{
    for (size_t r = 0; r < n; r++, x += stride) {
        gyre_walsh(x, f->dim, f->block);
        if (f->paley > 1)
            factor(f, x, transpose);
        for (size_t i = 0; i < f->dim; i++)
            x[i] *= f->scale;
    }
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    transform(state, x, n, stride, false);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    transform(state, x, n, stride, true);
}

static void transform_ref(const hadamard *f, double *x, bool transpose)
{
    double in[PALEY_MOST];
    gyre_walsh_ref(x, f->dim, f->block);
    for (size_t j = 0; j < f->block && f->paley > 1; j++) {
        for (size_t c = 0; c < f->paley; c++)
            in[c] = x[c * f->block + j];
        for (size_t a = 0; a < f->paley; a++) {
            double sum = 0;
            for (size_t c = 0; c < f->paley; c++)
                sum += (double)(transpose ? paley(f->paley, c, a) : paley(f->paley, a, c)) * in[c];
            x[a * f->block + j] = sum;
        }
    }
    for (size_t i = 0; i < f->dim; i++)
        x[i] /= f->root;
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    transform_ref(state, x, false);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    transform_ref(state, x, true);
}

const gyre_transform_type gyre_transform_hadamard = {
    .name = "hadamard",
    .summary = "Hadamard transform, orthonormal, without signs",
    .source = "arXiv 2404.00456 (QuaRot), section 3; Fino and Algazi, 1976; Paley, 1933",
    .dims = "sylvester: 2^k; kronecker: 2^k, 12 2^k, 20 2^k; blocks: even",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_MIXED, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = free,
    .options = table,
    .applicable = applicable,
};
