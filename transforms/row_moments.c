#include "transforms/row_moments.h"

#include <math.h>
#include <stdlib.h>

#include "core/blas.h"

enum { ROWS = 64 }; /* that are widened at once */

static void mean_of(const gyre_fit_rows *rows, size_t dim, double *mean)
{
    for (size_t r = 0; r < rows->n; r++)
        for (size_t i = 0; i < dim; i++)
            mean[i] += (double)rows->x[r * rows->stride + i];
    for (size_t i = 0; i < dim; i++)
        mean[i] /= (double)rows->n;
}

gyre_status gyre_row_moments(const gyre_fit_rows *rows, size_t dim, const char *who, size_t least, bool centred, double *m, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *mean = NULL, *block = NULL;
    if (rows->n < least)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %zu calibration rows and needs %zu: name calibration documents, or more tokens", who, rows->n, least);
    gyre_blas_one_thread();
    GYRE_NEW(&mean, dim);
    GYRE_NEW(&block, ROWS * dim);
    if (centred)
        mean_of(rows, dim, mean);
    for (size_t r = 0, n; r < rows->n; r += n) {
        n = rows->n - r < ROWS ? rows->n - r : ROWS;
        for (size_t i = 0; i < n * dim; i++)
            block[i] = (double)rows->x[(r + i / dim) * rows->stride + i % dim] - mean[i % dim];
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)dim, (int)n, 1.0 / (double)rows->n, block, (int)dim, r > 0 ? 1.0 : 0.0, m, (int)dim);
    }
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(m[i * dim + i]))
            GYRE_FAIL(GYRE_E_NAN, "%s: coordinate %zu of a calibration row is not finite", who, i);
    for (size_t i = 0; i < dim; i++)
        for (size_t j = i + 1; j < dim; j++)
            m[j * dim + i] = m[i * dim + j];
done:
    free(block);
    free(mean);
    return st;
}
