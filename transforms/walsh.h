/* Walsh-Hadamard butterflies, shared by the variants made of them.
 *
 * Every block of `block` consecutive coordinates (a power of two that divides dim; block = dim: the whole row) is multiplied by Sylvester's matrix
 * H_ij = (-1)^popcount(i & j), without a factor. dim log2(block) additions, in place.
 */
#ifndef GYRE_TRANSFORMS_WALSH_H
#define GYRE_TRANSFORMS_WALSH_H

#include <stdbool.h>
#include <stddef.h>

bool gyre_walsh_size(size_t n); /* n is a power of two, 1 included */
void gyre_walsh(float *x, size_t dim, size_t block);
void gyre_walsh_ref(double *x, size_t dim, size_t block);

#endif
