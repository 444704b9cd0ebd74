/* Softmax of one row of logits, in double from binary32, in the passes that its users need:
 *
 *     top: m = max_j a_j and its first place      sum: S = sum_j exp(a_j - m)      against: S of b, and sum_j exp(a_j - m_a) ((a_j - m_a) - (b_j - m_b))
 *
 * The exponential is of their own, one polynomial of degree 11 after reduction by ln 2: within 1.1 ulp of exp for arguments in [-708, 0]; below, it is
 * exp(-708) = 3.3e-308, which is nothing beside the largest term, 1. Sums have 8 lanes (element j goes to lane j mod 8), closed every 2048 elements. The references are
 * plain C; the fast paths do the same operations in the same order with AVX2, chosen at run time, and give the same bits (tests/test_kernels.c). No FMA: it would halve
 * the time, but give other bits where it is missing. The cost is that of the exponentials: `sum` has one an element, `against` two, and it reads each row once.
 */
#ifndef GYRE_KERNELS_SOFTMAX_H
#define GYRE_KERNELS_SOFTMAX_H

#include <stddef.h>

/* First place of the largest of n > 0 logits; n where one is not finite. */
size_t gyre_softmax_top_ref(const float *row, size_t n);
size_t gyre_softmax_top(const float *row, size_t n);

/* sum exp(row - max). max: the largest of the row. */
double gyre_softmax_sum_ref(const float *row, float max, size_t n);
double gyre_softmax_sum(const float *row, float max, size_t n);

/* Returns sum exp(a - max_a) ((a - max_a) - (b - max_b)); *sum_b is what gyre_softmax_sum gives for b, bit for bit. */
double gyre_softmax_against_ref(const float *a, float max_a, const float *b, float max_b, size_t n, double *sum_b);
double gyre_softmax_against(const float *a, float max_a, const float *b, float max_b, size_t n, double *sum_b);

#endif
