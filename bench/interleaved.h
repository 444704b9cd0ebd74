/* Two ways of one computation, interleaved in one process: the ratio of the best and of the median processor times, and how steady the reference was. Only ratios mean
 * anything; a reference whose median is far above its best says that the machine was busy.
 */
#ifndef GYRE_BENCH_INTERLEAVED_H
#define GYRE_BENCH_INTERLEAVED_H

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 301 };

static inline double seconds(void (*run)(void *), void *data)
{
    struct timespec a, b;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    run(data);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

static inline int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline void interleaved(const char *what, void (*fast)(void *), void (*reference)(void *), void *data)
{
    static double time[2][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        time[0][r] = seconds(fast, data);
        time[1][r] = seconds(reference, data);
    }
    for (int k = 0; k < 2; k++)
        qsort(time[k], ROUNDS, sizeof **time, ascending);
    (void)printf("%s: reference/fast best %.2f, median %.2f; reference median/best %.2f\n", what, time[1][0] / time[0][0], time[1][ROUNDS / 2] / time[0][ROUNDS / 2],
                 time[1][ROUNDS / 2] / time[1][0]);
}

#endif
