/* One thread for OpenBLAS: the program sets it; whoever links a room alone gets the same, or the blocks that a product is cut into would decide its last bits. */
#ifndef GYRE_CORE_BLAS_H
#define GYRE_CORE_BLAS_H

#include <cblas.h>

static inline void gyre_blas_one_thread(void)
{
    if (openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
}

#endif
