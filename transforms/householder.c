/* householder: y = H_k ... H_2 H_1 x, H_j = I - 2 v_j v_j' / |v_j|^2, v_j Gaussian.
 *
 * Reflector j (from 1) has normals (j-1) d .. j d - 1 of docs/random.md, purpose 4; H_1 acts first, the inverse applies H_k first. A. S. Householder,
 * "Unitary triangularization of a nonsymmetric matrix", J. ACM 5 (1958); products of few reflectors as a parametrisation: arXiv 1612.00188. Any d up to 4096
 * and 1 <= k <= d (`half`: d/2, rounded down); nothing stored. 4 k d operations, one reflector after another; from k > d/4 on the product is multiplied out
 * when it is built (2 d^2 operations, and fewer roundings). Determinant (-1)^k. A subspace of at least d - k dimensions stays as it is; not uniform on O(d).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "transforms/matrix.h"

enum { LANES = 8 };

typedef struct options {
    int64_t k;
    int per;
} options;

typedef struct householder {
    size_t dim, k;
    double *exact; /* k x d: v sqrt2 / |v|, so that H x = x - w (w'x) */
    float *w;
    void *product; /* the whole as a gyre_matrix, or NULL for few reflectors */
} householder;

static const char *const words[] = {"half", NULL}, *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"k", GYRE_OPTION_INT, offsetof(options, k), "half", 1, GYRE_MATRIX_MOST, words, "", "number of reflectors; half: d/2"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

static size_t count_of(const options *o, size_t dim)
{
    return o->k > 0 ? (size_t)o->k : dim / 2;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    size_t k = count_of(values, site->dim);
    if (site->dim > GYRE_MATRIX_MOST)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is above %d", site->dim, (int)GYRE_MATRIX_MOST);
    else if (k == 0)
        (void)snprintf(why, GYRE_WHY, "half of the head dimension %zu is no reflector", site->dim);
    else if (k > site->dim)
        (void)snprintf(why, GYRE_WHY, "k = %zu reflectors are more than the head dimension %zu: any orthogonal matrix is a product of d", k, site->dim);
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

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    householder *h = NULL;
    GYRE_NEW(&h, 1);
    h->dim = site->dim;
    h->k = count_of(o, site->dim);
    GYRE_NEW(&h->exact, h->k * h->dim);
    GYRE_NEW(&h->w, h->k * h->dim);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, h->exact, h->k * h->dim);
    for (size_t j = 0; j < h->k; j++) {
        double *v = h->exact + j * h->dim, energy = 0;
        for (size_t i = 0; i < h->dim; i++)
            energy += v[i] * v[i];
        for (size_t i = 0; i < h->dim; i++) {
            v[i] *= sqrt(2.0 / energy);
            h->w[j * h->dim + i] = (float)v[i];
        }
    }
    if (4 * h->k > h->dim)
        GYRE_TRY(multiply_out(h, err));
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
    .summary = "product of k random reflections",
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
    .applicable = applicable,
    .scratch = scratch_bytes,
};
