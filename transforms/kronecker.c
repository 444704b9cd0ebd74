/* kronecker: y = (A (x) B) x, A (a x a) and B (b x b) orthogonal, Haar-distributed, d = a b: y_{i b + k} = sum_{j,l} A_ij B_kl x_{j b + l}.
 *
 * The shape of QuIP's incoherence step (arXiv 2307.13304, section 4) and of FlatQuant's transforms (arXiv 2410.09426, section 3), with factors drawn, not
 * learned. Normals of purpose 4: A takes the first a^2, row by row, B the b^2 after them; each becomes orthogonal as in haar.c. Option a: `balanced` is the
 * largest divisor of d up to sqrt(d), or a number. Any d that is no prime; 2 d (a + b) operations, against 2 d^2 of haar; nothing stored.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "kernels/matrix_row.h"
#include "transforms/matrix.h"

typedef struct options {
    int64_t a;
    int per;
} options;

typedef struct kronecker {
    size_t a, b;
    double *ma, *mb;
    float *rows_a, *columns_a, *rows_b, *columns_b;
} kronecker;

static const char *const words[] = {"balanced", NULL}, *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"a", GYRE_OPTION_INT, offsetof(options, a), "balanced", 2, 2048, words, "", "size of the first factor; balanced: the largest divisor of d up to sqrt(d)"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

/* The first factor's size; 1 where d has no such divisor. */
static size_t factor(const options *o, size_t dim)
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
    size_t a = factor(o, site->dim);
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

static void release(void *state)
{
    kronecker *k = state;
    if (k == NULL)
        return;
    free(k->columns_b);
    free(k->rows_b);
    free(k->columns_a);
    free(k->rows_a);
    free(k->mb);
    free(k->ma);
    free(k);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    double *normals = NULL;
    kronecker *k = NULL;
    GYRE_NEW(&k, 1);
    k->a = factor(o, site->dim);
    k->b = site->dim / k->a;
    size_t na = k->a * k->a, nb = k->b * k->b;
    GYRE_NEW(&normals, na + nb);
    GYRE_NEW(&k->ma, na);
    GYRE_NEW(&k->mb, nb);
    GYRE_NEW(&k->rows_a, na);
    GYRE_NEW(&k->columns_a, na);
    GYRE_NEW(&k->rows_b, nb);
    GYRE_NEW(&k->columns_b, nb);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, normals, na + nb);
    for (size_t i = 0; i < na; i++)
        k->ma[i] = normals[i];
    for (size_t i = 0; i < nb; i++)
        k->mb[i] = normals[na + i];
    GYRE_TRY(gyre_matrix_haar(k->ma, k->a, err));
    GYRE_TRY(gyre_matrix_haar(k->mb, k->b, err));
    gyre_matrix_columns(k->ma, k->a, false, k->rows_a);
    gyre_matrix_columns(k->ma, k->a, true, k->columns_a);
    gyre_matrix_columns(k->mb, k->b, false, k->rows_b);
    gyre_matrix_columns(k->mb, k->b, true, k->columns_b);
    *state = k;
    k = NULL;
done:
    free(normals);
    release(k);
    return st;
}

static size_t scratch_bytes(const void *state)
{
    const kronecker *k = state;
    return k->a * k->b * sizeof(float);
}

/* The row as an a x b matrix X becomes A X B': B on each of its rows, then rows of A as the weights of those. */
static void apply(const kronecker *k, const float *rows_a, const float *columns_b, float *x, size_t n, size_t stride, float *work)
{
    for (size_t r = 0; r < n; r++, x += stride) {
        for (size_t j = 0; j < k->a; j++)
            gyre_matrix_row(columns_b, k->b, k->b, x + j * k->b, work + j * k->b);
        for (size_t i = 0; i < k->a; i++)
            gyre_matrix_row(work, k->a, k->b, rows_a + i * k->a, x + i * k->b);
    }
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const kronecker *k = state;
    apply(k, k->rows_a, k->columns_b, x, n, stride, scratch);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const kronecker *k = state;
    apply(k, k->columns_a, k->rows_b, x, n, stride, scratch);
}

static void apply_ref(const kronecker *k, double *x, bool transpose)
{
    double y[GYRE_MATRIX_MOST];
    for (size_t i = 0; i < k->a; i++)
        for (size_t p = 0; p < k->b; p++) {
            double sum = 0;
            for (size_t j = 0; j < k->a; j++)
                for (size_t l = 0; l < k->b; l++)
                    sum += (transpose ? k->ma[j * k->a + i] * k->mb[l * k->b + p] : k->ma[i * k->a + j] * k->mb[p * k->b + l]) * x[j * k->b + l];
            y[i * k->b + p] = sum;
        }
    for (size_t i = 0; i < k->a * k->b; i++)
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

const gyre_transform_type gyre_transform_kronecker = {
    .name = "kronecker",
    .summary = "Kronecker product of two random orthogonal matrices",
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
    .applicable = applicable,
    .scratch = scratch_bytes,
};
