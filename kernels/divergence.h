/* One row of attention: what a change of the scores does to its weights.
 *
 *     d_j = scale * change_j - sum_i p_i (scale * change_i),   x = sum_j p_j (expm1(d_j) - d_j),   KL(p || p^) = log1p(x),   p^_j = p_j exp(d_j) / (1 + x)
 *
 * p is a softmax (sums to 1), so sum_j p_j exp(d_j) = 1 + x: a sum of terms that are never negative, exact for small changes where log-sum-exp cancels.
 *
 * The reference takes expm1 from libm, one value after another. The fast path has a polynomial of its own and GYRE_LANES running sums, so that compilers vectorise it; it is
 * compiled twice, for the base instruction set and for AVX2, chosen at run time. Without contraction both give the same bits. tests/test_kernels.c holds it
 * against the reference.
 */
#ifndef GYRE_KERNELS_DIVERGENCE_H
#define GYRE_KERNELS_DIVERGENCE_H

#include <stddef.h>

/* Largest d for which the sums stay in range; beyond it both return NaN with d filled, and the caller takes the log-sum-exp form. */
#define GYRE_DIVERGENCE_MOST 500.0

double gyre_divergence_ref(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat);
double gyre_divergence(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat);

#endif
