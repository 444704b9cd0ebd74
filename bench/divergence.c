/* Fast path against reference of kernels/divergence.h, interleaved in one process: the ratio of the best and of the median times, and how steady the reference was.
 *
 *     cmake --preset release -DGYRE_BENCH=ON && cmake --build --preset release && build/bench/bench_divergence
 *
 * Rows of 380 keys, changes of the scores of about 0.1 nat. Only ratios mean anything; a reference whose median is far above its best says that the machine was busy.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/random.h"
#include "kernels/divergence.h"

enum { KEYS = 380, ROWS = 40, ROUNDS = 301 };

typedef double (*kernel)(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat);

static double seconds(kernel run, const double *p, const float *change, double *sink)
{
    static double d[KEYS], q[KEYS];
    struct timespec a, b;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROWS; i++)
        *sink += run(p, change, 0.1, KEYS, d, q);
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static double p[KEYS], normals[KEYS], time[2][ROUNDS];
    static float change[KEYS];
    double sink = 0.0;
    gyre_site site = {.seed_index = 1};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    gyre_random_normals(&stream, normals, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        p[i] = 1.0 / KEYS;
        change[i] = (float)normals[i];
    }
    for (int r = 0; r < ROUNDS; r++) {
        time[0][r] = seconds(gyre_divergence, p, change, &sink);
        time[1][r] = seconds(gyre_divergence_ref, p, change, &sink);
    }
    for (int k = 0; k < 2; k++)
        qsort(time[k], ROUNDS, sizeof **time, ascending);
    (void)printf("divergence (%s): reference/fast best %.2f, median %.2f; reference median/best %.2f (check sum %.6f)\n", gyre_kernels_selected(), time[1][0] / time[0][0],
                 time[1][ROUNDS / 2] / time[0][ROUNDS / 2], time[1][ROUNDS / 2] / time[1][0], sink);
    return 0;
}
