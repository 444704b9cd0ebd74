/* Which build of the fast paths this machine runs: each is compiled for the base instruction set and for AVX2, and without contraction both give the same bits. */
#ifndef GYRE_KERNELS_SELECTED_H
#define GYRE_KERNELS_SELECTED_H

#include <stdbool.h>

static inline bool gyre_kernels_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

/* "avx2" or "base"; recorded with results. */
static inline const char *gyre_kernels_selected(void)
{
    return gyre_kernels_avx2() ? "avx2" : "base";
}

#endif
