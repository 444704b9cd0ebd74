/* Dense matrices of a head: what haar, dense, kronecker, pca, wush and the learned ones share.
 *
 * Building is done in double by LAPACK (OpenBLAS's, one thread); rows are multiplied in float by one fixed order of additions (kernels/matrix_row.h), so
 * that their bits depend neither on the batch nor on strides nor on threads. All matrices are n x n, row-major.
 */
#ifndef GYRE_TRANSFORMS_MATRIX_H
#define GYRE_TRANSFORMS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

#include <lapacke.h>

#include "transforms/transform.h"

enum { GYRE_MATRIX_MOST = 4096 };

/* In place: a matrix of normals becomes the Q of its QR, columns times sign(diag R): Haar-distributed on O(n) (Mezzadri, Notices AMS 54, 2007, section 5). */
gyre_status gyre_matrix_haar(double *a, size_t n, gyre_error *err);

/* inverse = m^-1 by LU; GYRE_E_INPUT where m is singular or its reciprocal condition number (1-norm) is below least. */
gyre_status gyre_matrix_invert(const double *m, size_t n, double least, double *inverse, gyre_error *err);

/* The transpose (or m itself) as floats: columns for gyre_matrix_row; kronecker takes the rows of its square as columns. */
void gyre_matrix_columns(const double *m, size_t n, bool transpose, float *columns);

/* c = alpha a b + beta c, a and b transposed where said. */
void gyre_matrix_product(size_t n, bool transpose_a, const double *a, bool transpose_b, const double *b, double alpha, double beta, double *c);

/* q becomes its inverse, by LU: several times faster than solving for n right-hand sides, and as exact where q is well conditioned. False where q is singular. work: n x n. Allocates
 * nothing. */
bool gyre_matrix_invert_here(size_t n, double *q, lapack_int *pivots, double *work);

/* The state of a transform that is one matrix, y = m x, and what such a variant's descriptor names. */
typedef struct gyre_matrix {
    size_t dim, stored;
    double *m, *inverse; /* inverse NULL: the transpose */
    float *columns, *inverse_columns;
} gyre_matrix;

/* Takes m, and inverse unless it is NULL, also on failure. */
gyre_status gyre_matrix_new(size_t dim, double *m, double *inverse, size_t stored, void **state, gyre_error *err);

/* A learned orthogonal matrix is the first member of its state: room for it, the float tables anew from m (allocates nothing), and the end of its contents. */
gyre_status gyre_matrix_room(gyre_matrix *own, size_t dim, size_t stored, gyre_error *err);
void gyre_matrix_refresh(gyre_matrix *own);
void gyre_matrix_clear(gyre_matrix *own);

bool gyre_matrix_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY]); /* d up to GYRE_MATRIX_MOST */
void gyre_matrix_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_matrix_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_matrix_forward_ref(const void *state, double *x, int32_t pos);
void gyre_matrix_inverse_ref(const void *state, double *x, int32_t pos);
void gyre_matrix_free(void *state);
size_t gyre_matrix_scratch(const void *state);
size_t gyre_matrix_stored(const void *state);

#endif
