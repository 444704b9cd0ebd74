#include "kernels/matrix_row.h"

#include "kernels/selected.h"

void gyre_matrix_row_ref(const float *columns, size_t count, size_t length, const float *restrict x, float *restrict y)
{
    for (size_t i = 0; i < length; i++)
        y[i] = 0.0f;
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
        const float *restrict a = columns + j * length, *restrict b = a + length, *restrict c = b + length, *restrict d = c + length;
        const float p = x[j], q = x[j + 1], r = x[j + 2], s = x[j + 3];
        for (size_t i = 0; i < length; i++)
            y[i] += (a[i] * p + b[i] * q) + (c[i] * r + d[i] * s);
    }
    for (; j < count; j++)
        for (size_t i = 0; i < length; i++)
            y[i] += columns[j * length + i] * x[j];
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Intrinsics, because gcc keeps neither an array of sums nor a vector type in registers when the body is compiled once for both instruction sets. */
#define AVX2 __attribute__((target("avx2")))
enum { LANES = 8, WIDE = 4 };

/* What four columns, or one, add to LANES elements of y. */
AVX2 __attribute__((always_inline)) static inline __m256 four(const float *column, size_t length, __m256 p, __m256 q, __m256 r, __m256 s)
{
    __m256 ab = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(column), p), _mm256_mul_ps(_mm256_loadu_ps(column + length), q));
    __m256 cd = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(column + 2 * length), r), _mm256_mul_ps(_mm256_loadu_ps(column + 3 * length), s));
    return _mm256_add_ps(ab, cd);
}

AVX2 __attribute__((always_inline)) static inline __m256 one(const float *column, __m256 p)
{
    return _mm256_mul_ps(_mm256_loadu_ps(column), p);
}

/* WIDE * LANES elements of y. */
AVX2 static void wide(const float *columns, size_t count, size_t length, const float *x, float *y)
{
    __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    size_t j = 0;
    for (; j + 4 <= count; j += 4, columns += 4 * length) {
        __m256 p = _mm256_set1_ps(x[j]), q = _mm256_set1_ps(x[j + 1]), r = _mm256_set1_ps(x[j + 2]), s = _mm256_set1_ps(x[j + 3]);
        sum0 = _mm256_add_ps(sum0, four(columns, length, p, q, r, s));
        sum1 = _mm256_add_ps(sum1, four(columns + LANES, length, p, q, r, s));
        sum2 = _mm256_add_ps(sum2, four(columns + 2 * LANES, length, p, q, r, s));
        sum3 = _mm256_add_ps(sum3, four(columns + 3 * LANES, length, p, q, r, s));
    }
    for (; j < count; j++, columns += length) {
        __m256 p = _mm256_set1_ps(x[j]);
        sum0 = _mm256_add_ps(sum0, one(columns, p));
        sum1 = _mm256_add_ps(sum1, one(columns + LANES, p));
        sum2 = _mm256_add_ps(sum2, one(columns + 2 * LANES, p));
        sum3 = _mm256_add_ps(sum3, one(columns + 3 * LANES, p));
    }
    _mm256_storeu_ps(y, sum0);
    _mm256_storeu_ps(y + LANES, sum1);
    _mm256_storeu_ps(y + 2 * LANES, sum2);
    _mm256_storeu_ps(y + 3 * LANES, sum3);
}

/* LANES elements of y. */
AVX2 static void narrow(const float *columns, size_t count, size_t length, const float *x, float *y)
{
    __m256 sum = _mm256_setzero_ps();
    size_t j = 0;
    for (; j + 4 <= count; j += 4, columns += 4 * length)
        sum = _mm256_add_ps(sum, four(columns, length, _mm256_set1_ps(x[j]), _mm256_set1_ps(x[j + 1]), _mm256_set1_ps(x[j + 2]), _mm256_set1_ps(x[j + 3])));
    for (; j < count; j++, columns += length)
        sum = _mm256_add_ps(sum, one(columns, _mm256_set1_ps(x[j])));
    _mm256_storeu_ps(y, sum);
}

/* The last `width` elements of y, fewer than LANES: lanes beyond are neither read nor written. */
AVX2 static void rest(const float *columns, size_t count, size_t length, size_t width, const float *x, float *y)
{
    __m256i in = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)width), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256 sum = _mm256_setzero_ps();
    size_t j = 0;
    for (; j + 4 <= count; j += 4, columns += 4 * length) {
        __m256 a = _mm256_mul_ps(_mm256_maskload_ps(columns, in), _mm256_set1_ps(x[j]));
        __m256 b = _mm256_mul_ps(_mm256_maskload_ps(columns + length, in), _mm256_set1_ps(x[j + 1]));
        __m256 c = _mm256_mul_ps(_mm256_maskload_ps(columns + 2 * length, in), _mm256_set1_ps(x[j + 2]));
        __m256 d = _mm256_mul_ps(_mm256_maskload_ps(columns + 3 * length, in), _mm256_set1_ps(x[j + 3]));
        sum = _mm256_add_ps(sum, _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
    }
    for (; j < count; j++, columns += length)
        sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_maskload_ps(columns, in), _mm256_set1_ps(x[j])));
    _mm256_maskstore_ps(y, in, sum);
}

AVX2 static void row_avx2(const float *columns, size_t count, size_t length, const float *x, float *y)
{
    size_t i = 0;
    for (; i + WIDE * LANES <= length; i += WIDE * LANES)
        wide(columns + i, count, length, x, y + i);
    for (; i + LANES <= length; i += LANES)
        narrow(columns + i, count, length, x, y + i);
    if (i < length)
        rest(columns + i, count, length, length - i, x, y + i);
}

void gyre_matrix_row(const float *columns, size_t count, size_t length, const float *restrict x, float *restrict y)
{
    if (gyre_kernels_avx2())
        row_avx2(columns, count, length, x, y);
    else
        gyre_matrix_row_ref(columns, count, length, x, y);
}
#else
void gyre_matrix_row(const float *columns, size_t count, size_t length, const float *restrict x, float *restrict y)
{
    gyre_matrix_row_ref(columns, count, length, x, y);
}
#endif
