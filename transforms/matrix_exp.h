/* R = exp(A) of a skew-symmetric matrix and the derivative: A' = -A, so R is orthogonal, with determinant 1.
 *
 * N. J. Higham, "The scaling and squaring method for the matrix exponential revisited", SIAM J. Matrix Anal. Appl. 26(4), 2005: the diagonal Pade approximant of degree 3, 5, 7, 9 or
 * 13 of A / 2^s, squared s times, with the degrees' bounds theta of its table 2.3. A is normal, so that |A|_2 <= |A^2|_1^(1/2): the smaller of this and |A|_1 is held against theta (the
 * algorithm takes |A|_1, which for a dense skew matrix is larger by far).
 *
 * The derivative is the same computation in reverse (Giles 2008: X = P Q gives dP += dX Q', dQ += P' dX, and the inverse of the denominator that is kept). Even powers of A are symmetric and odd
 * ones skew, whatever A becomes: only that part of a gradient acts, which saves one of the two products of a square. 3 to 7 products, an inverse and s squarings forward; 5 to 12 products
 * and 2 s back, where the derivative by a 2n x 2n matrix would be a second exponential of eight times the cost.
 *
 * All in double, n x n, row-major, by BLAS and LAPACK on one thread; update and backward allocate nothing. Not for matrices that are not skew.
 */
#ifndef GYRE_TRANSFORMS_MATRIX_EXP_H
#define GYRE_TRANSFORMS_MATRIX_EXP_H

#include <stddef.h>

#include "core/status.h"

typedef struct gyre_matrix_exp gyre_matrix_exp;

gyre_status gyre_matrix_exp_new(size_t n, gyre_matrix_exp **out, gyre_error *err);
void gyre_matrix_exp_free(gyre_matrix_exp *e);

/* GYRE_E_RANGE where A is not finite or beyond 2^10 theta, about 5500. */
gyre_status gyre_matrix_exp_update(gyre_matrix_exp *e, const double *a, double *r, gyre_error *err);

/* g_a = dL/dA where g = dL/dR, at the A of the last update: what of it is symmetric means nothing. */
void gyre_matrix_exp_backward(gyre_matrix_exp *e, const double *g, double *g_a);

#endif
