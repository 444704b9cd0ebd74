#include "transforms/matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lapacke.h>

#include "core/blas.h"
#include "kernels/matrix_row.h"

gyre_status gyre_matrix_haar(double *a, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *tau = NULL, *sign = NULL;
    lapack_int m = (lapack_int)n;
    GYRE_NEW(&tau, n);
    GYRE_NEW(&sign, n);
    gyre_blas_one_thread();
    if (LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, m, m, a, m, tau) != 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "LAPACK's QR of a %zu x %zu matrix failed", n, n);
    for (size_t j = 0; j < n; j++)
        sign[j] = a[j * n + j] < 0.0 ? -1.0 : 1.0;
    if (LAPACKE_dorgqr(LAPACK_ROW_MAJOR, m, m, m, a, m, tau) != 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "LAPACK makes no Q of a %zu x %zu matrix", n, n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            a[i * n + j] *= sign[j];
done:
    free(sign);
    free(tau);
    return st;
}

gyre_status gyre_matrix_invert(const double *m, size_t n, double least, double *inverse, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    lapack_int *pivots = NULL, size = (lapack_int)n;
    double reciprocal = 0;
    GYRE_NEW(&pivots, n);
    gyre_blas_one_thread();
    memcpy(inverse, m, n * n * sizeof *inverse);
    double norm = LAPACKE_dlange(LAPACK_ROW_MAJOR, '1', size, size, inverse, size);
    lapack_int info = LAPACKE_dgetrf(LAPACK_ROW_MAJOR, size, size, inverse, size, pivots);
    if (info == 0)
        info = LAPACKE_dgecon(LAPACK_ROW_MAJOR, '1', size, inverse, size, norm, &reciprocal);
    if (info > 0)
        GYRE_FAIL(GYRE_E_INPUT, "the matrix is singular: pivot %ld of its LU is zero", (long)info);
    if (info == 0 && !(reciprocal >= least))
        GYRE_FAIL(GYRE_E_INPUT, "the matrix is too near a singular one: its reciprocal condition number is %.3g, at least %.3g is wanted", reciprocal, least);
    if (info == 0)
        info = LAPACKE_dgetri(LAPACK_ROW_MAJOR, size, inverse, size, pivots);
    if (info != 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "LAPACK does not invert a %zu x %zu matrix: code %ld", n, n, (long)info);
done:
    free(pivots);
    return st;
}

void gyre_matrix_columns(const double *m, size_t n, bool transpose, float *columns)
{
    enum { TILE = 16 }; /* a column of a whole matrix would leave the cache */
    for (size_t row = 0; row < n; row += TILE)
        for (size_t j = 0; j < n; j++)
            for (size_t i = row; i < n && i < row + TILE; i++)
                columns[i * n + j] = (float)(transpose ? m[j * n + i] : m[i * n + j]);
}

void gyre_matrix_product(size_t n, bool transpose_a, const double *a, bool transpose_b, const double *b, double alpha, double beta, double *c)
{
    int d = (int)n;
    cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, d, d, d, alpha, a, d, b, d, beta, c, d);
}

/* LAPACK reads by columns: it inverts the transpose into the transpose. */
bool gyre_matrix_invert_here(size_t n, double *q, lapack_int *pivots, double *work)
{
    lapack_int size = (lapack_int)n;
    return LAPACKE_dgetrf_work(LAPACK_COL_MAJOR, size, size, q, size, pivots) == 0 && LAPACKE_dgetri_work(LAPACK_COL_MAJOR, size, q, size, pivots, work, size * size) == 0;
}

/* ---- transforms that are one matrix ---- */

void gyre_matrix_refresh(gyre_matrix *own)
{
    gyre_matrix_columns(own->m, own->dim, true, own->columns);
    gyre_matrix_columns(own->inverse != NULL ? own->inverse : own->m, own->dim, own->inverse != NULL, own->inverse_columns);
}

gyre_status gyre_matrix_room(gyre_matrix *own, size_t dim, size_t stored, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *own = (gyre_matrix){.dim = dim, .stored = stored};
    GYRE_NEW(&own->m, dim * dim);
    GYRE_NEW(&own->columns, dim * dim);
    GYRE_NEW(&own->inverse_columns, dim * dim);
    gyre_blas_one_thread();
done:
    return st;
}

void gyre_matrix_clear(gyre_matrix *own)
{
    free(own->inverse_columns);
    free(own->columns);
    free(own->inverse);
    free(own->m);
}

gyre_status gyre_matrix_new(size_t dim, double *m, double *inverse, size_t stored, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_matrix *own = calloc(1, sizeof *own);
    if (own == NULL) {
        free(m);
        free(inverse);
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a %zu x %zu matrix", dim, dim);
    }
    *own = (gyre_matrix){.dim = dim, .stored = stored, .m = m, .inverse = inverse};
    GYRE_NEW(&own->columns, dim * dim);
    GYRE_NEW(&own->inverse_columns, dim * dim);
    gyre_matrix_refresh(own);
    *state = own;
    own = NULL;
done:
    gyre_matrix_free(own);
    return st;
}

bool gyre_matrix_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY])
{
    (void)options;
    bool ok = site->dim <= GYRE_MATRIX_MOST;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is above %d", site->dim, (int)GYRE_MATRIX_MOST);
    return ok;
}

static void apply(const float *columns, size_t dim, float *x, size_t n, size_t stride, float *row)
{
    for (size_t r = 0; r < n; r++, x += stride) {
        memcpy(row, x, dim * sizeof *row);
        gyre_matrix_row(columns, dim, dim, row, x);
    }
}

void gyre_matrix_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_matrix *m = state;
    apply(m->columns, m->dim, x, n, stride, scratch);
}

void gyre_matrix_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const gyre_matrix *m = state;
    apply(m->inverse_columns, m->dim, x, n, stride, scratch);
}

static void apply_ref(const double *m, size_t n, bool transpose, double *x)
{
    double y[GYRE_MATRIX_MOST];
    for (size_t i = 0; i < n; i++) {
        y[i] = 0;
        for (size_t j = 0; j < n; j++)
            y[i] += (transpose ? m[j * n + i] : m[i * n + j]) * x[j];
    }
    memcpy(x, y, n * sizeof *x);
}

void gyre_matrix_forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const gyre_matrix *m = state;
    apply_ref(m->m, m->dim, false, x);
}

void gyre_matrix_inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const gyre_matrix *m = state;
    apply_ref(m->inverse != NULL ? m->inverse : m->m, m->dim, m->inverse == NULL, x);
}

void gyre_matrix_free(void *state)
{
    gyre_matrix *m = state;
    if (m == NULL)
        return;
    gyre_matrix_clear(m);
    free(m);
}

size_t gyre_matrix_scratch(const void *state)
{
    return ((const gyre_matrix *)state)->dim * sizeof(float);
}

size_t gyre_matrix_stored(const void *state)
{
    return ((const gyre_matrix *)state)->stored;
}
