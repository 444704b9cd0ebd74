#include "kernels/divergence.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/selected.h"

enum { LANES = 8, BLOCK = 64, LEAST = -700 };

double gyre_divergence_ref(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat)
{
    double mean = 0.0, most = 0.0, x = 0.0;
    for (size_t j = 0; j < n; j++) {
        d[j] = scale * (double)change[j];
        mean += p[j] * d[j];
    }
    for (size_t j = 0; j < n; j++) {
        d[j] -= mean;
        most = d[j] > most ? d[j] : most;
    }
    if (!(most < GYRE_DIVERGENCE_MOST))
        return (double)NAN;
    for (size_t j = 0; j < n; j++) {
        x += p[j] * (expm1(d[j]) - d[j]);
        p_hat[j] = p[j] * exp(d[j]);
    }
    for (size_t j = 0; j < n; j++)
        p_hat[j] /= 1.0 + x;
    return log1p(x);
}

/* expm1(r) - r for |r| <= ln2/2, by Taylor's series to r^14 / 14! (the next term is below 2e-18 of r^2/2). */
__attribute__((always_inline)) static inline double series(double r)
{
    double s = 1.0 / 87178291200.0;
    s = s * r + 1.0 / 6227020800.0;
    s = s * r + 1.0 / 479001600.0;
    s = s * r + 1.0 / 39916800.0;
    s = s * r + 1.0 / 3628800.0;
    s = s * r + 1.0 / 362880.0;
    s = s * r + 1.0 / 40320.0;
    s = s * r + 1.0 / 5040.0;
    s = s * r + 1.0 / 720.0;
    s = s * r + 1.0 / 120.0;
    s = s * r + 1.0 / 24.0;
    s = s * r + 1.0 / 6.0;
    s = s * r + 0.5;
    return s * r * r;
}

/* exp(d), d in [-700, 500], as 2^k (1 + r + series(r)), k the nearest integer to d / ln 2; *less is exp(d) - 1 - d without cancellation where k is 0. */
__attribute__((always_inline)) static inline double exponential(double d, double *less)
{
    const double magic = 6755399441055744.0, log2e = 1.4426950408889634, ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
    double shifted = d * log2e + magic, k = shifted - magic;
    double r = (d - k * ln2_hi) - k * ln2_lo, s = series(r);
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* the low bits of shifted are k */
    double power;
    memcpy(&power, &bits, sizeof power);
    *less = power * s + (power * r - d) + (power - 1.0);
    return power + power * (r + s);
}

__attribute__((always_inline)) static inline double sum_of(const double lane[LANES])
{
    double sum = 0.0;
    for (size_t l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

__attribute__((always_inline)) static inline double body(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat)
{
    double lane[LANES] = {0}, top[LANES] = {0};
    size_t whole = n - n % LANES;
    for (size_t j = 0; j < whole; j += LANES)
        for (size_t l = 0; l < LANES; l++) {
            d[j + l] = scale * (double)change[j + l];
            lane[l] += p[j + l] * d[j + l];
        }
    for (size_t j = whole; j < n; j++) {
        d[j] = scale * (double)change[j];
        lane[j - whole] += p[j] * d[j];
    }
    double mean = sum_of(lane), most = 0.0;
    for (size_t j = 0; j < whole; j += LANES)
        for (size_t l = 0; l < LANES; l++) {
            d[j + l] -= mean;
            top[l] = d[j + l] > top[l] ? d[j + l] : top[l];
        }
    for (size_t j = whole; j < n; j++) {
        d[j] -= mean;
        top[j - whole] = d[j] > top[j - whole] ? d[j] : top[j - whole];
    }
    for (size_t l = 0; l < LANES; l++)
        most = top[l] > most ? top[l] : most;
    if (!(most < GYRE_DIVERGENCE_MOST))
        return (double)NAN;
    memset(lane, 0, sizeof lane);
    for (size_t at = 0; at < n; at += BLOCK) {
        double e[BLOCK], less[BLOCK];
        size_t count = n - at < BLOCK ? n - at : BLOCK;
        for (size_t j = 0; j < BLOCK; j++)
            e[j] = j >= count ? 0.0 : d[at + j] > LEAST ? d[at + j] : LEAST;
        for (size_t j = 0; j < BLOCK; j++)
            e[j] = exponential(e[j], &less[j]);
        for (size_t j = 0; j < count; j++) {
            p_hat[at + j] = p[at + j] * e[j];
            double below = d[at + j] > LEAST ? 0.0 : LEAST - d[at + j]; /* what the clamp took from -d */
            less[j] = p[at + j] * (less[j] + below);                   /* beyond count: exp(0) - 1 - 0 = 0 */
        }
        for (size_t j = 0; j < BLOCK; j += LANES)
            for (size_t l = 0; l < LANES; l++)
                lane[l] += less[j + l];
    }
    double x = sum_of(lane), inverse = 1.0 / (1.0 + x);
    for (size_t j = 0; j < n; j++)
        p_hat[j] *= inverse;
    return log1p(x);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static double body_avx2(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat)
{
    return body(p, change, scale, n, d, p_hat);
}

double gyre_divergence(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat)
{
    return gyre_kernels_avx2() ? body_avx2(p, change, scale, n, d, p_hat) : body(p, change, scale, n, d, p_hat);
}
#else
double gyre_divergence(const double *p, const float *change, double scale, size_t n, double *d, double *p_hat)
{
    return body(p, change, scale, n, d, p_hat);
}
#endif
