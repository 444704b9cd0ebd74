/* pca: y = V' x, the columns of V the principal axes of the calibration rows as they reach this element, by falling variance.
 *
 *     E (x - mean)(x - mean)' = V diag(lambda) V',  lambda_1 >= ... >= lambda_d      in each column of V the entry of largest magnitude (the first of equal ones) is positive
 *
 * The Karhunen-Loeve transform (Pearson 1901; Hotelling 1933; Karhunen 1947). KVTC (arXiv 2511.01815) codes keys before RoPE and values along such axes, there of all layers and heads
 * concatenated, cut to a rank, with bits per axis by dynamic programming; here per layer (heads pooled) or per head, whole and square. The mean is not subtracted: `centre` does that.
 *
 * Alone it is bad for one scale per row: it puts the energy into few coordinates, which then set the scale of all. It wants bits or scales per channel behind it (channel, grouped), or a
 * mixture: [pca, hadamard]. LAPACK's dsyevd in double, rows in float. Orthogonal; any d up to 4096, at least two rows; 2 d^2 operations, d^2 float32 values stored. Where eigenvalues are
 * equal their axes are LAPACK's choice. The identity until it is fitted.
 */
#include <math.h>
#include <stdlib.h>

#include <lapacke.h>

#include "core/blas.h"
#include "transforms/matrix.h"
#include "transforms/row_moments.h"

typedef struct options {
    int per;
} options;

static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one set of axes"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    traits->pooled = ((const options *)values)->per == 0;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    gyre_status st = GYRE_OK;
    double *identity = NULL;
    GYRE_NEW(&identity, site->dim * site->dim);
    for (size_t i = 0; i < site->dim; i++)
        identity[i * site->dim + i] = 1.0;
    GYRE_TRY(gyre_matrix_new(site->dim, identity, NULL, site->dim * site->dim, state, err));
done:
    return st;
}

/* Rows of m, by rising eigenvalue, to rows of axes, by falling; signs. */
static void order_axes(const double *rising, size_t n, double *axes)
{
    for (size_t i = 0; i < n; i++) {
        const double *from = rising + (n - 1 - i) * n;
        size_t largest = 0;
        for (size_t j = 1; j < n; j++)
            if (fabs(from[j]) > fabs(from[largest]))
                largest = j;
        for (size_t j = 0; j < n; j++)
            axes[i * n + j] = from[largest] < 0.0 ? -from[j] : from[j];
    }
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_matrix *own = state;
    lapack_int n = (lapack_int)own->dim;
    double *m = NULL, *lambda = NULL;
    GYRE_NEW(&m, own->dim * own->dim);
    GYRE_NEW(&lambda, own->dim);
    GYRE_TRY(gyre_row_moments(rows, own->dim, "pca", 2, true, m, err));
    lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', n, m, n, lambda); /* column by column: an eigenvector is a row of m */
    if (info != 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "LAPACK finds no eigenvectors of a %zu x %zu matrix: code %ld", own->dim, own->dim, (long)info);
    order_axes(m, own->dim, own->m);
    gyre_matrix_refresh(own);
done:
    free(lambda);
    free(m);
    return st;
}

static size_t stored(const void *state)
{
    return ((const gyre_matrix *)state)->stored;
}

const gyre_transform_type gyre_transform_pca = {
    .name = "pca",
    .summary = "principal axes of the calibration rows, by falling variance",
    .source = "arXiv 2511.01815 (KVTC), on all layers and heads together; Pearson, Philosophical Magazine 2, 1901",
    .dims = "any, to 4096",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL,
               .needs = GYRE_NEEDS_CALIBRATION,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = gyre_matrix_forward,
    .inverse = gyre_matrix_inverse,
    .forward_ref = gyre_matrix_forward_ref,
    .inverse_ref = gyre_matrix_inverse_ref,
    .free = gyre_matrix_free,
    .options = table,
    .refine = refine,
    .applicable = gyre_matrix_applicable,
    .scratch = gyre_matrix_scratch,
    .stored = stored,
    .fit = fit,
};
