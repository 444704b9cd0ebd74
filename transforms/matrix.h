/* Dense matrices of a head: what haar, dense and kronecker share.
 *
 * Building is done in double by LAPACK (OpenBLAS's, one thread); rows are multiplied in float by one fixed order of additions, so that their bits depend
 * neither on the batch nor on strides nor on threads. All matrices are n x n, row-major.
 */
#ifndef GYRE_TRANSFORMS_MATRIX_H
#define GYRE_TRANSFORMS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

#include "transforms/transform.h"

enum { GYRE_MATRIX_MOST = 4096 };

/* In place: a matrix of normals becomes the Q of its QR, columns times sign(diag R): Haar-distributed on O(n) (Mezzadri, Notices AMS 54, 2007, section 5). */
gyre_status gyre_matrix_haar(double *a, size_t n, gyre_error *err);

/* inverse = m^-1 by LU; GYRE_E_INPUT where m is singular or its reciprocal condition number (1-norm) is below least. */
gyre_status gyre_matrix_invert(const double *m, size_t n, double least, double *inverse, gyre_error *err);

/* The transpose (or m itself) as floats: columns for gyre_matrix_row. */
void gyre_matrix_columns(const double *m, size_t n, bool transpose, float *columns);

/* y = sum_j columns_j x_j, four columns at a time: ((c_j x_j + c_j+1 x_j+1) + (c_j+2 x_j+2 + c_j+3 x_j+3)) added to y. x and y are apart. The columns are
 * `count` rows of `length` floats: n x n for a whole matrix; kronecker takes the rows of its square as columns. */
static inline void gyre_matrix_row(const float *columns, size_t count, size_t length, const float *restrict x, float *restrict y)
{
    for (size_t i = 0; i < length; i++)
        y[i] = 0.0f;
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
        const float *restrict a = columns + j * length, *restrict b = a + length, *restrict c = b + length, *restrict d = c + length;
        const float p = x[j], q = x[j + 1], r = x[j + 2], s = x[j + 3];
        for (size_t i = 0; i < length; i++)
            y[i] += (a[i] * p + b[i] * q) + (c[i] * r + d[i] * s);
    }
    for (; j < count; j++)
        for (size_t i = 0; i < length; i++)
            y[i] += columns[j * length + i] * x[j];
}

/* The state of a transform that is one matrix, y = m x, and what such a variant's descriptor names. */
typedef struct gyre_matrix {
    size_t dim, stored;
    double *m, *inverse; /* inverse NULL: the transpose */
    float *columns, *inverse_columns;
} gyre_matrix;

/* Takes m, and inverse unless it is NULL, also on failure. */
gyre_status gyre_matrix_new(size_t dim, double *m, double *inverse, size_t stored, void **state, gyre_error *err);
bool gyre_matrix_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY]); /* d up to GYRE_MATRIX_MOST */
void gyre_matrix_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_matrix_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_matrix_forward_ref(const void *state, double *x, int32_t pos);
void gyre_matrix_inverse_ref(const void *state, double *x, int32_t pos);
void gyre_matrix_free(void *state);
size_t gyre_matrix_scratch(const void *state);

#endif
