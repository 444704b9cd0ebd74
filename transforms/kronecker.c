/* kronecker: y = (A (x) B) x, A (a x a) and B (b x b) orthogonal, Haar-distributed, d = a b: y_{i b + k} = sum_{j,l} A_ij B_kl x_{j b + l}.
 *
 * The shape of QuIP's incoherence step (arXiv 2307.13304, section 4) and of FlatQuant's transforms (arXiv 2410.09426, section 3). Normals of purpose 4: A takes
 * the first a^2, row by row, B the b^2 after them; each becomes orthogonal as in haar.c. Option a: `balanced` is the largest divisor of d up to sqrt(d), or a number.
 * Any d that is no prime; 2 d (a + b) operations, against 2 d^2 of haar; nothing stored unless learned.
 *
 * `learn: true`, from the factors drawn, A_0 and B_0 (e: normals of purpose 8, first A's, then B's, times `noise` / sqrt(n) for a factor n x n):
 *
 *   form: orthogonal   A = C A_0, C = (I - S/2)^-1 (I + S/2) (Cayley), S skew; its entries above the diagonal, row by row, are the parameters and start at e; B
 *                      alike. With N = (I - S/2)^-1 C = 2 N - I, and dL/ds_ij = Z_ij - Z_ji, Z = N' (dL/dA A_0') N'. a (a-1)/2 + b (b-1)/2 parameters, all of
 *                      them true degrees of freedom. det C = 1, and no rotation by pi: the drawn factors decide the determinant
 *   form: invertible   A and B themselves, as FlatQuant has them, from A_0 + e and B_0 + e; the inverse by LU, refused (range) where a reciprocal condition number
 *                      is below 1e-6. a^2 + b^2 parameters, one less in freedom: A/c and c B are the same; the gauge gives the rows of both one mean square
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lapacke.h>

#include "core/blas.h"
#include "core/random.h"
#include "kernels/matrix_row.h"
#include "transforms/matrix.h"

enum { ORTHOGONAL, INVERTIBLE };
static const double least_reciprocal_condition = 1e-6; /* rows and the tables of factors are binary32 */

typedef struct options {
    int64_t a;
    int per, form;
    double noise;
    bool learn;
} options;

/* One factor, n x n. Rows of A and columns of B are what gyre_matrix_row takes. */
typedef struct factor {
    size_t n;
    bool columns;
    double *m, *inverse;  /* inverse NULL: the transpose */
    float *there, *back;  /* of m and of its inverse */
    /* of learned ones alone */
    double *base, *resolvent, *gradient, *work; /* drawn factor, N, dL/dm: n x n; work: n x n and 4 n more */
    lapack_int *pivots, *integers;
} factor;

typedef struct kronecker {
    factor f[2];   /* A, B */
    bool free;     /* form: invertible */
    size_t count;  /* parameters; 0 unless learned */
    double *theta;
} kronecker;

static const char *const words[] = {"balanced", NULL}, *const scopes[] = {"layer", "head", NULL}, *const forms[] = {"orthogonal", "invertible", NULL};
static const gyre_option table[] = {
    {"a", GYRE_OPTION_INT, offsetof(options, a), "balanced", 2, 2048, words, "", "size of the first factor; balanced: the largest divisor of d up to sqrt(d)"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw, and what is learned"},
    {"form", GYRE_OPTION_CHOICE, offsetof(options, form), "orthogonal", 0, 0, forms, "", "learn: what the factors may become"},
    {"noise", GYRE_OPTION_REAL, offsetof(options, noise), "0.01", 0, 10, NULL, "", "learn: what is added to a factor at the start, as a part of its size"},
    {"learn", GYRE_OPTION_BOOL, offsetof(options, learn), "false", 0, 0, NULL, "", "the factors are learned"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    const options *o = values;
    if (!o->learn)
        return;
    traits->flags |= GYRE_LEARNABLE;
    traits->needs |= GYRE_NEEDS_CALIBRATION;
    traits->pooled = o->per == 0;
    if (o->form == INVERTIBLE)
        traits->flags &= ~(unsigned)GYRE_ORTHOGONAL;
}

/* The first factor's size; 1 where d has no such divisor. */
static size_t first_size(const options *o, size_t dim)
{
    if (o->a > 0)
        return dim % (size_t)o->a == 0 ? (size_t)o->a : 1;
    size_t a = (size_t)sqrt((double)dim);
    while (a > 1 && dim % a != 0)
        a--;
    return a;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    const options *o = values;
    size_t a = first_size(o, site->dim);
    if (!gyre_matrix_applicable(site, values, why))
        return false;
    if (a > 1 && a < site->dim)
        return true;
    if (o->a == 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is no product of two factors above 1", site->dim);
    else
        (void)snprintf(why, GYRE_WHY, "a = %lld is no proper divisor of the head dimension %zu", (long long)o->a, site->dim);
    return false;
}

static void release_factor(factor *f)
{
    free(f->integers);
    free(f->pivots);
    free(f->work);
    free(f->gradient);
    free(f->resolvent);
    free(f->base);
    free(f->back);
    free(f->there);
    free(f->inverse);
    free(f->m);
}

static void release(void *state)
{
    kronecker *k = state;
    if (k == NULL)
        return;
    free(k->theta);
    release_factor(&k->f[1]);
    release_factor(&k->f[0]);
    free(k);
}

static void floats(factor *f)
{
    gyre_matrix_columns(f->m, f->n, f->columns, f->there);
    gyre_matrix_columns(f->inverse != NULL ? f->inverse : f->m, f->n, f->columns == (f->inverse != NULL), f->back);
}

/* ---- learning ---- */

/* Parameters of a learned factor. */
static size_t count_of(const kronecker *k, const factor *f)
{
    return k->free ? f->n * f->n : f->n * (f->n - 1) / 2;
}

static double *parameters(void *state, size_t *count)
{
    kronecker *k = state;
    *count = k->count;
    return k->theta;
}

/* out = m^-1 without allocating. Of a row-major matrix LAPACK sees the transpose, whose inverse is the transpose of the inverse. */
static gyre_status invert(factor *f, const double *m, double *out, gyre_error *err)
{
    lapack_int n = (lapack_int)f->n;
    double reciprocal = 0;
    memcpy(out, m, f->n * f->n * sizeof *out);
    double norm = LAPACKE_dlange_work(LAPACK_COL_MAJOR, '1', n, n, out, n, f->work);
    lapack_int info = LAPACKE_dgetrf_work(LAPACK_COL_MAJOR, n, n, out, n, f->pivots);
    if (info == 0)
        info = LAPACKE_dgecon_work(LAPACK_COL_MAJOR, '1', n, out, n, norm, &reciprocal, f->work, f->integers);
    if (info > 0 || (info == 0 && !(reciprocal >= least_reciprocal_condition)))
        return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "factor %s (%zu x %zu) of the Kronecker product has become singular: reciprocal condition number %.3g, least %.3g",
                              f->columns ? "B" : "A", f->n, f->n, reciprocal, least_reciprocal_condition);
    if (info == 0)
        info = LAPACKE_dgetri_work(LAPACK_COL_MAJOR, n, out, n, f->pivots, f->work, n * n + 4 * n);
    return info == 0 ? GYRE_OK : gyre_error_set(err, GYRE_E_INTERNAL, __FILE__, __LINE__, "LAPACK does not invert a %zu x %zu matrix: code %ld", f->n, f->n, (long)info);
}

static void multiply(size_t n, CBLAS_TRANSPOSE ta, const double *a, CBLAS_TRANSPOSE tb, const double *b, double *c)
{
    int d = (int)n;
    cblas_dgemm(CblasRowMajor, ta, tb, d, d, d, 1.0, a, d, b, d, 0.0, c, d);
}

/* m = (2 N - I) m_0, N = (I - S/2)^-1. */
static gyre_status cayley(factor *f, const double *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = f->n;
    for (size_t i = 0; i < n; i++) {
        f->m[i * n + i] = 1.0;
        for (size_t j = i + 1; j < n; j++, s++) {
            f->m[i * n + j] = -*s / 2.0;
            f->m[j * n + i] = *s / 2.0;
        }
    }
    GYRE_TRY(invert(f, f->m, f->resolvent, err));
    for (size_t i = 0; i < n * n; i++)
        f->work[i] = 2.0 * f->resolvent[i] - (i % n == i / n ? 1.0 : 0.0);
    multiply(n, CblasNoTrans, f->work, CblasNoTrans, f->base, f->m);
done:
    return st;
}

static gyre_status update(void *state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    kronecker *k = state;
    const double *theta = k->theta;
    for (size_t i = 0; i < k->count; i++)
        if (!isfinite(theta[i]))
            GYRE_FAIL(GYRE_E_RANGE, "parameter %zu of the Kronecker product's %zu is not finite", i, k->count);
    gyre_blas_one_thread();
    for (size_t i = 0; i < 2; i++) {
        factor *f = &k->f[i];
        if (k->free) {
            memcpy(f->m, theta, f->n * f->n * sizeof *theta);
            GYRE_TRY(invert(f, f->m, f->inverse, err));
        } else {
            GYRE_TRY(cayley(f, theta, err));
        }
        floats(f);
        theta += count_of(k, f);
    }
done:
    return st;
}

/* (P (x) Q), or (P' (x) Q'). */
static void product(const kronecker *k, const double *p, const double *q, bool transpose, double *m)
{
    size_t a = k->f[0].n, b = k->f[1].n;
    for (size_t i = 0; i < a; i++)
        for (size_t r = 0; r < b; r++)
            for (size_t j = 0; j < a; j++)
                for (size_t l = 0; l < b; l++, m++)
                    *m = transpose ? p[j * a + i] * q[l * b + r] : p[i * a + j] * q[r * b + l];
}

static void matrix(const void *state, double *m)
{
    const kronecker *k = state;
    product(k, k->f[0].m, k->f[1].m, false, m);
}

static void inverse_matrix(const void *state, double *m)
{
    const kronecker *k = state;
    if (k->free)
        product(k, k->f[0].inverse, k->f[1].inverse, false, m);
    else
        product(k, k->f[0].m, k->f[1].m, true, m);
}

/* From dL/dm of a factor to its parameters. */
static void back_factor(const kronecker *k, factor *f, double *gradient)
{
    size_t n = f->n;
    if (k->free) {
        for (size_t i = 0; i < n * n; i++)
            gradient[i] += f->gradient[i];
        return;
    }
    multiply(n, CblasNoTrans, f->gradient, CblasTrans, f->base, f->work);
    multiply(n, CblasTrans, f->resolvent, CblasNoTrans, f->work, f->gradient);
    multiply(n, CblasNoTrans, f->gradient, CblasTrans, f->resolvent, f->work);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            *gradient++ += f->work[i * n + j] - f->work[j * n + i];
}

/* Row i b + r of G as an a x b matrix R: dL/dA_i += R B_r, dL/dB_r += R' A_i (A_i, B_r: rows). */
static void backward(void *state, const double *g, double *gradient)
{
    kronecker *k = state;
    factor *fa = &k->f[0], *fb = &k->f[1];
    int a = (int)fa->n, b = (int)fb->n;
    gyre_blas_one_thread();
    memset(fa->gradient, 0, fa->n * fa->n * sizeof *g);
    memset(fb->gradient, 0, fb->n * fb->n * sizeof *g);
    for (size_t i = 0; i < fa->n; i++)
        for (size_t r = 0; r < fb->n; r++, g += fa->n * fb->n) {
            cblas_dgemv(CblasRowMajor, CblasNoTrans, a, b, 1.0, g, b, fb->m + r * fb->n, 1, 1.0, fa->gradient + i * fa->n, 1);
            cblas_dgemv(CblasRowMajor, CblasTrans, a, b, 1.0, g, b, fa->m + i * fa->n, 1, 1.0, fb->gradient + r * fb->n, 1);
        }
    back_factor(k, fa, gradient);
    back_factor(k, fb, gradient + count_of(k, fa));
}

static size_t freedom(const void *state)
{
    const kronecker *k = state;
    return k->count - (k->free ? 1 : 0);
}

static double mean_square(const double *m, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n * n; i++)
        sum += m[i] * m[i];
    return sum / (double)n;
}

/* invertible: A c and B / c with rows of one mean square. */
static void gauge(void *state)
{
    kronecker *k = state;
    size_t na = k->f[0].n, nb = k->f[1].n;
    if (!k->free)
        return;
    double c = sqrt(sqrt(mean_square(k->theta + na * na, nb) / mean_square(k->theta, na)));
    for (size_t i = 0; i < k->count && isfinite(c) && c > 0.0; i++)
        k->theta[i] *= i < na * na ? c : 1.0 / c;
}

static size_t stored(const void *state)
{
    return ((const kronecker *)state)->count;
}

static const gyre_learnable learnable = {
    .parameters = parameters, .update = update, .matrix = matrix, .backward = backward, .freedom = freedom, .inverse = inverse_matrix, .gauge = gauge};

/* ---- building ---- */

static gyre_status draw_factor(factor *f, size_t n, const double *normals, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    f->n = n;
    GYRE_NEW(&f->m, n * n);
    GYRE_NEW(&f->there, n * n);
    GYRE_NEW(&f->back, n * n);
    memcpy(f->m, normals, n * n * sizeof *normals);
    GYRE_TRY(gyre_matrix_haar(f->m, n, err));
    floats(f);
done:
    return st;
}

static gyre_status work_memory(factor *f, bool with_inverse, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t square = f->n * f->n;
    GYRE_NEW(&f->base, square);
    GYRE_NEW(&f->resolvent, square);
    GYRE_NEW(&f->gradient, square);
    GYRE_NEW(&f->work, square + 4 * f->n);
    GYRE_NEW(&f->pivots, f->n);
    GYRE_NEW(&f->integers, f->n);
    if (with_inverse)
        GYRE_NEW(&f->inverse, square);
    memcpy(f->base, f->m, square * sizeof *f->base);
done:
    return st;
}

/* Parameters at their start, and the first update. */
static gyre_status prepare(kronecker *k, const gyre_site *site, unsigned ordinal, const options *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    k->free = o->form == INVERTIBLE;
    size_t counts[2] = {count_of(k, &k->f[0]), count_of(k, &k->f[1])};
    k->count = counts[0] + counts[1];
    GYRE_NEW(&k->theta, k->count);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_START, ordinal, o->per == 1);
    gyre_random_normals(&stream, k->theta, k->count);
    double *theta = k->theta;
    for (size_t i = 0; i < 2; i++) {
        factor *f = &k->f[i];
        GYRE_TRY(work_memory(f, k->free, err));
        for (size_t j = 0; j < counts[i]; j++)
            theta[j] = theta[j] * o->noise / sqrt((double)f->n) + (k->free ? f->m[j] : 0.0);
        theta += counts[i];
    }
    GYRE_TRY(update(k, err));
done:
    return st;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    double *normals = NULL;
    kronecker *k = NULL;
    GYRE_NEW(&k, 1);
    size_t a = first_size(o, site->dim), b = site->dim / a;
    GYRE_NEW(&normals, a * a + b * b);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, normals, a * a + b * b);
    k->f[1].columns = true;
    GYRE_TRY(draw_factor(&k->f[0], a, normals, err));
    GYRE_TRY(draw_factor(&k->f[1], b, normals + a * a, err));
    if (o->learn)
        GYRE_TRY(prepare(k, site, ordinal, o, err));
    *state = k;
    k = NULL;
done:
    free(normals);
    release(k);
    return st;
}

/* ---- rows ---- */

static size_t scratch_bytes(const void *state)
{
    const kronecker *k = state;
    return k->f[0].n * k->f[1].n * sizeof(float);
}

/* The row as an a x b matrix X becomes A X B': B on each of its rows, then rows of A as the weights of those. */
static void apply(size_t a, size_t b, const float *rows_a, const float *columns_b, float *x, size_t n, size_t stride, float *work)
{
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t j = 0; j < a; j++)
            gyre_matrix_row(columns_b, b, b, x + j * b, work + j * b);
        for (size_t i = 0; i < a; i++)
            gyre_matrix_row(work, a, b, rows_a + i * a, x + i * b);
    }
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const kronecker *k = state;
    apply(k->f[0].n, k->f[1].n, k->f[0].there, k->f[1].there, x, n, stride, scratch);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const kronecker *k = state;
    apply(k->f[0].n, k->f[1].n, k->f[0].back, k->f[1].back, x, n, stride, scratch);
}

static void apply_ref(const kronecker *k, const double *p, const double *q, bool transpose, double *x)
{
    double y[GYRE_MATRIX_MOST];
    size_t a = k->f[0].n, b = k->f[1].n;
    for (size_t i = 0; i < a; i++)
        for (size_t r = 0; r < b; r++) {
            double sum = 0;
            for (size_t j = 0; j < a; j++)
                for (size_t l = 0; l < b; l++)
                    sum += (transpose ? p[j * a + i] * q[l * b + r] : p[i * a + j] * q[r * b + l]) * x[j * b + l];
            y[i * b + r] = sum;
        }
    memcpy(x, y, a * b * sizeof *x);
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const kronecker *k = state;
    apply_ref(k, k->f[0].m, k->f[1].m, false, x);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const kronecker *k = state;
    if (k->free)
        apply_ref(k, k->f[0].inverse, k->f[1].inverse, false, x);
    else
        apply_ref(k, k->f[0].m, k->f[1].m, true, x);
}

const gyre_transform_type gyre_transform_kronecker = {
    .name = "kronecker",
    .summary = "Kronecker product of two matrices, orthogonal or learned",
    .source = "arXiv 2307.13304, section 4 (QuIP); arXiv 2410.09426, section 3 (FlatQuant)",
    .dims = "products of two factors above 1, to 4096",
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
