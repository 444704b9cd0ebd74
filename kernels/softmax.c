#include "kernels/softmax.h"

#include <stdint.h>
#include <string.h>

#include "kernels/selected.h"

enum { LANES = 8, BLOCK = 2048, FINITE = 0x7f800000 }; /* FINITE: bits of infinity, above those of every finite magnitude */

static const double least = -708.0, magic = 6755399441055744.0, log2e = 1.4426950408889634, ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
/* (expm1(r) - r) / r^2 on |r| <= ln2/2, interpolated at Chebyshev's points; times r^2 it is within 1.6e-17. From the highest power. */
#define TERMS 10
static const double series[TERMS] = {2.5100375832561234e-08, 2.7620075879983367e-07, 2.7557268480310024e-06, 2.4801521322368692e-05, 1.9841269863040545e-04,
                                     1.3888888917196719e-03, 8.3333333333300650e-03, 4.1666666666624164e-02, 1.6666666666666669e-01, 5.0000000000000011e-01};

/* exp(x), x <= 0, as 2^k (1 + r + r^2 series(r)), k the nearest integer to x / ln 2. */
__attribute__((always_inline)) static inline double exponential(double x)
{
    x = x > least ? x : least;
    double shifted = x * log2e + magic, k = shifted - magic;
    double r = (x - k * ln2_hi) - k * ln2_lo, s = series[0], power;
    for (size_t i = 1; i < TERMS; i++)
        s = s * r + series[i];
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* the low bits of shifted are k */
    memcpy(&power, &bits, sizeof power);
    return power + power * (r + s * (r * r));
}

__attribute__((always_inline)) static inline void add_lanes(double total[LANES], const double lane[LANES])
{
    for (size_t l = 0; l < LANES; l++)
        total[l] += lane[l];
}

__attribute__((always_inline)) static inline double sum_of(const double lane[LANES])
{
    double sum = 0.0;
    for (size_t l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* Element j of a block: what both paths do with the rest of a row that fills no vector. */
__attribute__((always_inline)) static inline void add_one(const float *a, double max_a, const float *b, double max_b, size_t j, double change[LANES], double sum[LANES])
{
    double x = (double)a[j] - max_a, y = (double)b[j] - max_b;
    change[j % LANES] += exponential(x) * (x - y);
    sum[j % LANES] += exponential(y);
}

size_t gyre_softmax_top_ref(const float *row, size_t n)
{
    size_t top = 0;
    for (size_t j = 0; j < n; j++) {
        uint32_t bits;
        memcpy(&bits, row + j, sizeof bits);
        if ((bits & INT32_MAX) >= FINITE)
            return n;
        top = row[j] > row[top] ? j : top;
    }
    return top;
}

double gyre_softmax_sum_ref(const float *row, float max, size_t n)
{
    double total[LANES] = {0};
    for (size_t at = 0; at < n; at += BLOCK) {
        double lane[LANES] = {0};
        for (size_t j = 0; j < BLOCK && at + j < n; j++)
            lane[j % LANES] += exponential((double)row[at + j] - (double)max);
        add_lanes(total, lane);
    }
    return sum_of(total);
}

double gyre_softmax_against_ref(const float *a, float max_a, const float *b, float max_b, size_t n, double *sum_b)
{
    double change[LANES] = {0}, sum[LANES] = {0};
    for (size_t at = 0; at < n; at += BLOCK) {
        double change_lane[LANES] = {0}, sum_lane[LANES] = {0};
        for (size_t j = 0; j < BLOCK && at + j < n; j++)
            add_one(a + at, (double)max_a, b + at, (double)max_b, j, change_lane, sum_lane);
        add_lanes(change, change_lane);
        add_lanes(sum, sum_lane);
    }
    *sum_b = sum_of(sum);
    return sum_of(change);
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
enum { HALF = LANES / 2 };

AVX2 __attribute__((always_inline)) static inline __m256d exponential4(__m256d x)
{
    x = _mm256_max_pd(x, _mm256_set1_pd(least));
    __m256d shifted = _mm256_add_pd(_mm256_mul_pd(x, _mm256_set1_pd(log2e)), _mm256_set1_pd(magic)), k = _mm256_sub_pd(shifted, _mm256_set1_pd(magic));
    __m256d r = _mm256_sub_pd(_mm256_sub_pd(x, _mm256_mul_pd(k, _mm256_set1_pd(ln2_hi))), _mm256_mul_pd(k, _mm256_set1_pd(ln2_lo)));
    __m256d s = _mm256_set1_pd(series[0]);
    for (size_t i = 1; i < TERMS; i++)
        s = _mm256_add_pd(_mm256_mul_pd(s, r), _mm256_set1_pd(series[i]));
    __m256d power = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(_mm256_castpd_si256(shifted), _mm256_set1_epi64x(1023)), 52));
    return _mm256_add_pd(power, _mm256_mul_pd(power, _mm256_add_pd(r, _mm256_mul_pd(s, _mm256_mul_pd(r, r)))));
}

/* Four logits less the largest. */
AVX2 __attribute__((always_inline)) static inline __m256d below(const float *row, __m256d max)
{
    return _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(row)), max);
}

/* The largest of the row as a value, then its first place: two passes over what lies in the cache cost less than places in lanes. */
AVX2 static size_t top_avx2(const float *row, size_t n)
{
    const __m256i magnitude = _mm256_set1_epi32(INT32_MAX);
    __m256 most[2] = {_mm256_set1_ps(row[0]), _mm256_set1_ps(row[0])};
    __m256i bits[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        for (size_t h = 0; h < 2; h++) {
            __m256 x = _mm256_loadu_ps(row + j + h * LANES);
            most[h] = _mm256_max_ps(most[h], x);
            bits[h] = _mm256_max_epi32(bits[h], _mm256_and_si256(_mm256_castps_si256(x), magnitude));
        }
    __m256i beyond = _mm256_cmpgt_epi32(_mm256_max_epi32(bits[0], bits[1]), _mm256_set1_epi32(FINITE - 1));
    size_t rest = j + gyre_softmax_top_ref(row + j, n - j);
    float lane[LANES], max = j < n ? row[rest < n ? rest : j] : row[0];
    if (_mm256_movemask_epi8(beyond) != 0 || (j < n && rest == n))
        return n;
    _mm256_storeu_ps(lane, _mm256_max_ps(most[0], most[1]));
    for (size_t l = 0; l < LANES; l++)
        max = lane[l] > max ? lane[l] : max;
    const __m256 wanted = _mm256_set1_ps(max);
    size_t at = 0;
    while (at + LANES <= n && _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(row + at), wanted, _CMP_EQ_OQ)) == 0)
        at += LANES;
    while (row[at] < max)
        at++;
    return at;
}

AVX2 static double sum_avx2(const float *row, float max, size_t n)
{
    const __m256d most = _mm256_set1_pd((double)max);
    double total[LANES] = {0};
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t count = n - at < BLOCK ? n - at : BLOCK, j = 0;
        __m256d low = _mm256_setzero_pd(), high = low;
        double lane[LANES];
        for (; j + LANES <= count; j += LANES) {
            low = _mm256_add_pd(low, exponential4(below(row + at + j, most)));
            high = _mm256_add_pd(high, exponential4(below(row + at + j + HALF, most)));
        }
        _mm256_storeu_pd(lane, low);
        _mm256_storeu_pd(lane + HALF, high);
        for (; j < count; j++)
            lane[j % LANES] += exponential((double)row[at + j] - (double)max);
        add_lanes(total, lane);
    }
    return sum_of(total);
}

AVX2 static double against_avx2(const float *a, float max_a, const float *b, float max_b, size_t n, double *sum_b)
{
    const __m256d most_a = _mm256_set1_pd((double)max_a), most_b = _mm256_set1_pd((double)max_b);
    double change[LANES] = {0}, sum[LANES] = {0};
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t count = n - at < BLOCK ? n - at : BLOCK, j = 0;
        __m256d change_low = _mm256_setzero_pd(), change_high = change_low, sum_low = change_low, sum_high = change_low;
        double change_lane[LANES], sum_lane[LANES];
        for (; j + LANES <= count; j += LANES) {
            __m256d x = below(a + at + j, most_a), y = below(b + at + j, most_b);
            change_low = _mm256_add_pd(change_low, _mm256_mul_pd(exponential4(x), _mm256_sub_pd(x, y)));
            sum_low = _mm256_add_pd(sum_low, exponential4(y));
            x = below(a + at + j + HALF, most_a);
            y = below(b + at + j + HALF, most_b);
            change_high = _mm256_add_pd(change_high, _mm256_mul_pd(exponential4(x), _mm256_sub_pd(x, y)));
            sum_high = _mm256_add_pd(sum_high, exponential4(y));
        }
        _mm256_storeu_pd(change_lane, change_low);
        _mm256_storeu_pd(change_lane + HALF, change_high);
        _mm256_storeu_pd(sum_lane, sum_low);
        _mm256_storeu_pd(sum_lane + HALF, sum_high);
        for (; j < count; j++)
            add_one(a + at, (double)max_a, b + at, (double)max_b, j, change_lane, sum_lane);
        add_lanes(change, change_lane);
        add_lanes(sum, sum_lane);
    }
    *sum_b = sum_of(sum);
    return sum_of(change);
}

size_t gyre_softmax_top(const float *row, size_t n)
{
    return gyre_kernels_avx2() ? top_avx2(row, n) : gyre_softmax_top_ref(row, n);
}

double gyre_softmax_sum(const float *row, float max, size_t n)
{
    return gyre_kernels_avx2() ? sum_avx2(row, max, n) : gyre_softmax_sum_ref(row, max, n);
}

double gyre_softmax_against(const float *a, float max_a, const float *b, float max_b, size_t n, double *sum_b)
{
    return gyre_kernels_avx2() ? against_avx2(a, max_a, b, max_b, n, sum_b) : gyre_softmax_against_ref(a, max_a, b, max_b, n, sum_b);
}
#else
size_t gyre_softmax_top(const float *row, size_t n)
{
    return gyre_softmax_top_ref(row, n);
}

double gyre_softmax_sum(const float *row, float max, size_t n)
{
    return gyre_softmax_sum_ref(row, max, n);
}

double gyre_softmax_against(const float *a, float max_a, const float *b, float max_b, size_t n, double *sum_b)
{
    return gyre_softmax_against_ref(a, max_a, b, max_b, n, sum_b);
}
#endif
