/* householder: y = H_k ... H_2 H_1 x, H_j = I - 2 v_j v_j' / |v_j|^2, v_j Gaussian.
 *
 * Reflector j (from 1) has normals (j-1) d .. j d - 1 of docs/random.md, purpose 4; H_1 acts first, the inverse applies H_k first. A. S. Householder,
 * "Unitary triangularization of a nonsymmetric matrix", J. ACM 5 (1958); products of few reflectors as a parametrisation: arXiv 1612.00188. Any d up to 4096
 * and 1 <= k <= d (`half`: d/2, rounded down); nothing stored unless learned. 4 k d operations, one reflector after another; from k > d/4 on the product is multiplied out
 * when it is built (2 d^2 operations, and fewer roundings). Determinant (-1)^k. A subspace of at least d - k dimensions stays as it is; not uniform on O(d).
 *
 * `learn: true`: the vectors v_j are the parameters, k d numbers, stored; k (2d - k - 1)/2 of them are true degrees of freedom (a k-dimensional subspace and an
 * orthogonal matrix on it), among the rest the lengths, which the gauge sets to sqrt(d). Start:
 *
 *   start: identity    v_2p-1 and v_2p are the same normals (p-1) d .. p d - 1 plus `noise` times normals of purpose 8 each, so that every pair nearly undoes
 *                      itself: with an angle phi_p between its two vectors |M - I| <= sum_p 2 sin phi_p in the 2-norm, about sqrt(2) noise k. Even k only: an odd
 *                      product has determinant -1 and is 2 away from I
 *   start: random      v_j as drawn, plus `noise` times normals of purpose 8
 *
 * The product is M = I - W' A^-1 W, W the k x d matrix of rows w_j = sqrt2 v_j / |v_j|, A the lower triangle of W W' with halved diagonal, which is 1 (the compact
 * WY form: R. Schreiber, C. Van Loan, SIAM J. Sci. Stat. Comput. 10, 1989; with the triangle inverted: T. Joffrain et al., ACM TOMS 32, 2006). With X = A^-1 W, Y = A^-T W and G = dL/dM
 *
 *     dL/dW = S W - X G' - Y G,   S symmetric with the lower triangle of Y G X'
 *
 * about 4 k d^2 + 4 k^2 d operations by BLAS. Lengths do not matter, so dL/dv_j = sqrt2 / |v_j| dL/dw_j.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/blas.h"
#include "core/random.h"
#include "transforms/matrix.h"

enum { LANES = 8 };

enum { IDENTITY, RANDOM };

typedef struct options {
    int64_t k;
    int per, start;
    double noise;
    bool learn;
} options;

typedef struct householder {
    size_t dim, k;
    double *exact; /* k x d: v sqrt2 / |v|, so that H x = x - w (w'x) */
    float *w;
    void *product; /* the whole as a gyre_matrix, or NULL for few reflectors */
    /* of learned ones alone */
    double *v;     /* k x d, the parameters */
    double *factor; /* [k] sqrt2 / |v| */
    double *a, *x, *y, *work, *s; /* A (k x k), X, Y, k x d, S (k x k) */
} householder;

static const char *const words[] = {"half", NULL}, *const scopes[] = {"layer", "head", NULL}, *const starts[] = {"identity", "random", NULL};
static const gyre_option table[] = {
    {"k", GYRE_OPTION_INT, offsetof(options, k), "half", 1, GYRE_MATRIX_MOST, words, "", "number of reflectors; half: d/2"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw, and what is learned"},
    {"start", GYRE_OPTION_CHOICE, offsetof(options, start), "identity", 0, 0, starts, "", "learn: equal pairs of vectors, near the identity, or independent ones"},
    {"noise", GYRE_OPTION_REAL, offsetof(options, noise), "0.01", 1e-4, 10, NULL, "", "learn: what is added to the vectors at the start, as a part of their length"},
    {"learn", GYRE_OPTION_BOOL, offsetof(options, learn), "false", 0, 0, NULL, "", "the vectors are learned"},
    {0},
};

static size_t count_of(const options *o, size_t dim)
{
    return o->k > 0 ? (size_t)o->k : dim / 2;
}

static void refine(const void *values, gyre_traits *traits)
{
    const options *o = values;
    if (!o->learn)
        return;
    traits->flags |= GYRE_LEARNABLE;
    traits->needs |= GYRE_NEEDS_CALIBRATION;
    traits->pooled = o->per == 0;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    const options *o = values;
    size_t k = count_of(o, site->dim);
    if (site->dim > GYRE_MATRIX_MOST)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is above %d", site->dim, (int)GYRE_MATRIX_MOST);
    else if (k == 0)
        (void)snprintf(why, GYRE_WHY, "half of the head dimension %zu is no reflector", site->dim);
    else if (k > site->dim)
        (void)snprintf(why, GYRE_WHY, "k = %zu reflectors are more than the head dimension %zu: any orthogonal matrix is a product of d", k, site->dim);
    else if (o->learn && o->start == IDENTITY && k % 2 != 0)
        (void)snprintf(why, GYRE_WHY, "start: identity pairs the reflectors, and k = %zu is odd: determinant -1 is far from the identity; an even k, or start: random", k);
    else
        return true;
    return false;
}

static void release(void *state)
{
    householder *h = state;
    if (h == NULL)
        return;
    gyre_matrix_free(h->product);
    free(h->s);
    free(h->work);
    free(h->y);
    free(h->x);
    free(h->a);
    free(h->factor);
    free(h->v);
    free(h->w);
    free(h->exact);
    free(h);
}

static void reflect_ref(const double *w, double *x, size_t n)
{
    double dot = 0;
    for (size_t i = 0; i < n; i++)
        dot += w[i] * x[i];
    for (size_t i = 0; i < n; i++)
        x[i] -= w[i] * dot;
}

/* Row i of the product is what its transpose, H_1 ... H_k, makes of unit vector i. */
static gyre_status multiply_out(householder *h, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = h->dim;
    double *m = NULL, *taken;
    GYRE_NEW(&m, n * n);
    for (size_t i = 0; i < n; i++) {
        m[i * n + i] = 1.0;
        for (size_t j = h->k; j-- > 0;)
            reflect_ref(h->exact + j * n, m + i * n, n);
    }
    taken = m;
    m = NULL;
    GYRE_TRY(gyre_matrix_new(n, taken, NULL, 0, &h->product, err));
done:
    free(m);
    return st;
}

static double energy_of(const double *v, size_t n)
{
    double energy = 0;
    for (size_t i = 0; i < n; i++)
        energy += v[i] * v[i];
    return energy;
}

/* ---- learning ---- */

static double *parameters(void *state, size_t *count)
{
    householder *h = state;
    *count = h->k * h->dim;
    return h->v;
}

static gyre_status update(void *state, gyre_error *err)
{
    householder *h = state;
    gyre_matrix *product = h->product;
    int k = (int)h->k, d = (int)h->dim;
    for (size_t j = 0; j < h->k; j++) {
        const double *v = h->v + j * h->dim;
        double energy = energy_of(v, h->dim);
        h->factor[j] = sqrt(2.0 / energy);
        if (!isfinite(energy) || !isfinite(h->factor[j]))
            return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "reflector %zu of %zu has a vector of squared length %g, which gives no direction", j + 1, h->k, energy);
        for (size_t i = 0; i < h->dim; i++)
            h->exact[j * h->dim + i] = v[i] * h->factor[j];
    }
    gyre_blas_one_thread();
    memcpy(h->x, h->exact, h->k * h->dim * sizeof *h->x);
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, k, d, 1.0, h->exact, d, 0.0, h->a, k);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasUnit, k, d, 1.0, h->a, k, h->x, d);
    memset(product->m, 0, h->dim * h->dim * sizeof *product->m);
    for (size_t i = 0; i < h->dim; i++)
        product->m[i * h->dim + i] = 1.0;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, d, d, k, -1.0, h->exact, d, h->x, d, 1.0, product->m, d);
    gyre_matrix_refresh(product);
    return GYRE_OK;
}

static void matrix(const void *state, double *m)
{
    const householder *h = state;
    memcpy(m, ((const gyre_matrix *)h->product)->m, h->dim * h->dim * sizeof *m);
}

static void backward(void *state, const double *g, double *gradient)
{
    householder *h = state;
    int k = (int)h->k, d = (int)h->dim;
    gyre_blas_one_thread();
    memcpy(h->y, h->exact, h->k * h->dim * sizeof *h->y);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasUnit, k, d, 1.0, h->a, k, h->y, d);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, d, d, 1.0, h->y, d, g, d, 0.0, h->work, d);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, k, k, d, 1.0, h->work, d, h->x, d, 0.0, h->s, k);
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasLower, k, d, 1.0, h->s, k, h->exact, d, -1.0, h->work, d);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, k, d, d, -1.0, h->x, d, g, d, 1.0, h->work, d);
    for (size_t j = 0; j < h->k; j++)
        for (size_t i = 0; i < h->dim; i++)
            gradient[j * h->dim + i] += h->factor[j] * h->work[j * h->dim + i];
}

static size_t freedom(const void *state)
{
    const householder *h = state;
    return h->k * (2 * h->dim - h->k - 1) / 2;
}

/* Every vector to length sqrt(d); what has no direction is left for update to refuse. */
static void gauge(void *state)
{
    householder *h = state;
    for (size_t j = 0; j < h->k; j++) {
        double *v = h->v + j * h->dim, factor = sqrt((double)h->dim / energy_of(v, h->dim));
        for (size_t i = 0; i < h->dim && isfinite(factor); i++)
            v[i] *= factor;
    }
}

static size_t stored(const void *state)
{
    const householder *h = state;
    return h->v != NULL ? h->k * h->dim : 0;
}

static const gyre_learnable learnable = {.parameters = parameters, .update = update, .matrix = matrix, .backward = backward, .freedom = freedom, .gauge = gauge};

/* ---- building ---- */

/* The vectors at the start of learning. */
static gyre_status start(householder *h, const gyre_site *site, unsigned ordinal, const options *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *noise = NULL;
    GYRE_NEW(&h->v, h->k * h->dim);
    GYRE_NEW(&noise, h->k * h->dim);
    gyre_random base = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1), extra = gyre_random_stream(site, GYRE_PURPOSE_START, ordinal, o->per == 1);
    gyre_random_normals(&base, h->v, h->k * h->dim);
    gyre_random_normals(&extra, noise, h->k * h->dim);
    for (size_t j = h->k; o->start == IDENTITY && j-- > 1;)
        memcpy(h->v + j * h->dim, h->v + j / 2 * h->dim, h->dim * sizeof *h->v);
    for (size_t i = 0; i < h->k * h->dim; i++)
        h->v[i] += o->noise * noise[i];
done:
    free(noise);
    return st;
}

static gyre_status prepare(householder *h, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *m = NULL, *taken;
    GYRE_NEW(&h->factor, h->k);
    GYRE_NEW(&h->a, h->k * h->k);
    GYRE_NEW(&h->x, h->k * h->dim);
    GYRE_NEW(&h->y, h->k * h->dim);
    GYRE_NEW(&h->work, h->k * h->dim);
    GYRE_NEW(&h->s, h->k * h->k);
    GYRE_NEW(&m, h->dim * h->dim);
    taken = m;
    m = NULL;
    GYRE_TRY(gyre_matrix_new(h->dim, taken, NULL, h->k * h->dim, &h->product, err));
    GYRE_TRY(update(h, err));
done:
    free(m);
    return st;
}

static gyre_status draw(householder *h, const gyre_site *site, unsigned ordinal, const options *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&h->w, h->k * h->dim);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, h->exact, h->k * h->dim);
    for (size_t j = 0; j < h->k; j++) {
        double *v = h->exact + j * h->dim, energy = energy_of(v, h->dim);
        for (size_t i = 0; i < h->dim; i++) {
            v[i] *= sqrt(2.0 / energy);
            h->w[j * h->dim + i] = (float)v[i];
        }
    }
    if (4 * h->k > h->dim)
        GYRE_TRY(multiply_out(h, err));
done:
    return st;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    householder *h = NULL;
    GYRE_NEW(&h, 1);
    h->dim = site->dim;
    h->k = count_of(o, site->dim);
    GYRE_NEW(&h->exact, h->k * h->dim);
    if (o->learn) {
        GYRE_TRY(start(h, site, ordinal, o, err));
        GYRE_TRY(prepare(h, err));
    } else {
        GYRE_TRY(draw(h, site, ordinal, o, err));
    }
    *state = h;
    h = NULL;
done:
    release(h);
    return st;
}

/* Eight partial sums, so that compilers may use vectors and every row has the same additions. */
static void reflect(const float *w, float *x, size_t n)
{
    float part[LANES] = {0}, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            part[l] += w[i + l] * x[i + l];
    for (; i < n; i++)
        rest += w[i] * x[i];
    float dot = (((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]))) + rest;
    for (i = 0; i < n; i++)
        x[i] -= w[i] * dot;
}

static size_t scratch_bytes(const void *state)
{
    const householder *h = state;
    return h->product != NULL ? gyre_matrix_scratch(h->product) : 0;
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    const householder *h = state;
    if (h->product != NULL) {
        gyre_matrix_forward(h->product, x, n, stride, pos, scratch);
        return;
    }
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t j = 0; j < h->k; j++)
            reflect(h->w + j * h->dim, x, h->dim);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    const householder *h = state;
    if (h->product != NULL) {
        gyre_matrix_inverse(h->product, x, n, stride, pos, scratch);
        return;
    }
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t j = h->k; j-- > 0;)
            reflect(h->w + j * h->dim, x, h->dim);
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const householder *h = state;
    for (size_t j = 0; j < h->k; j++)
        reflect_ref(h->exact + j * h->dim, x, h->dim);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const householder *h = state;
    for (size_t j = h->k; j-- > 0;)
        reflect_ref(h->exact + j * h->dim, x, h->dim);
}

const gyre_transform_type gyre_transform_householder = {
    .name = "householder",
    .summary = "product of k reflections",
    .source = "Householder, J. ACM 5 (1958); arXiv 1612.00188",
    .dims = "1 to 4096 (k up to d; half: from 2)",
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
    .refine = refine,
    .applicable = applicable,
    .scratch = scratch_bytes,
    .stored = stored,
    .learnable = &learnable,
};
