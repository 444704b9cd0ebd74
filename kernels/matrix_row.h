/* A row times a matrix, by one fixed order of additions:
 *
 *     y = sum_j columns_j x_j, four columns at a time: y_i <- y_i + ((a_i x_j + b_i x_j+1) + (c_i x_j+2 + d_i x_j+3)), then the columns that are left one by one
 *
 * The columns are `count` rows of `length` floats, one after another; x has `count`, y `length`; y is apart from both. The reference runs over y once for every four columns;
 * the fast path keeps a part of y in registers and runs over the columns, so every element sees the same operations in the same order. It is compiled for the base
 * instruction set and for AVX2, chosen at run time; all three give the same bits (tests/test_kernels.c). 2 count length operations. Not BLAS, whose blocks, and with
 * them the last bits, depend on the machine.
 */
#ifndef GYRE_KERNELS_MATRIX_ROW_H
#define GYRE_KERNELS_MATRIX_ROW_H

#include <stddef.h>

void gyre_matrix_row_ref(const float *columns, size_t count, size_t length, const float *restrict x, float *restrict y);
void gyre_matrix_row(const float *columns, size_t count, size_t length, const float *restrict x, float *restrict y);

#endif
