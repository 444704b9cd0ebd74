/* kernels/: the fast path against the reference, and both against closed forms. */
#include "tests/check.h"

#include "kernels/divergence.h"
#include "kernels/matrix_row.h"
#include "kernels/selected.h"

enum { MOST = 700, LARGEST = 576 };

static void weights(double *p, size_t n, uint32_t id)
{
    float z[MOST];
    double sum = 0;
    normals(z, n, id);
    for (size_t i = 0; i < n; i++)
        sum += p[i] = exp(2.0 * (double)z[i]);
    for (size_t i = 0; i < n; i++)
        p[i] /= sum;
}

static void fast_is_reference(void **state)
{
    (void)state;
    static const double sizes[] = {1e-6, 1e-3, 0.1, 1.0, 10.0, 100.0};
    double p[MOST], d[2][MOST], q[2][MOST];
    float change[MOST];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t n = 1; n <= MOST; n = n < 20 ? n + 1 : 3 * n) {
            weights(p, n, (uint32_t)n);
            normals(change, n, 1000 + (uint32_t)n);
            double fast = gyre_divergence(p, change, sizes[s], n, d[0], q[0]), slow = gyre_divergence_ref(p, change, sizes[s], n, d[1], q[1]);
            CHECK_CLOSE(fast, slow, 1e-11, 1e-15 * sizes[s]);
            for (size_t i = 0; i < n; i++) {
                CHECK_CLOSE(d[0][i], d[1][i], 1e-13, 1e-14 * sizes[s]);
                CHECK_CLOSE(q[0][i], q[1][i], 1e-11 + 1e-12 * sizes[s], 1e-300); /* a change of d by its own rounding */
            }
        }
}

/* Two keys of weight 1/2 whose scores move by +-a: KL = log cosh a. Small a: a^2/2, which log-sum-exp would lose. */
static void two_keys(void **state)
{
    (void)state;
    static const float sizes[] = {1e-7f, 1e-4f, 0.01f, 0.5f, 3.0f, 30.0f};
    const double p[2] = {0.5, 0.5};
    double d[2], q[2];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float change[2] = {sizes[s], -sizes[s]};
        double a = (double)sizes[s], expected = a < 1e-3 ? a * a / 2 : log(cosh(a));
        CHECK_CLOSE(gyre_divergence(p, change, 1.0, 2, d, q), expected, 1e-8, 0);
        CHECK_CLOSE(gyre_divergence_ref(p, change, 1.0, 2, d, q), expected, 1e-8, 0);
        CHECK_CLOSE(q[0], 1.0 / (1.0 + exp(-2.0 * a)), 1e-14, 0);
    }
}

static void extremes(void **state)
{
    (void)state;
    const double p[2] = {1.0 - 1e-9, 1e-9};
    double d[2], q[2];
    const float up[2] = {0.0f, 2000.0f}, down[2] = {0.0f, -2000.0f};
    assert_true(isnan(gyre_divergence(p, up, 1.0, 2, d, q)));
    assert_true(isnan(gyre_divergence_ref(p, up, 1.0, 2, d, q)));
    CHECK_CLOSE(d[1], 2000.0, 1e-8, 0);
    CHECK_CLOSE(gyre_divergence(p, down, 1.0, 2, d, q), gyre_divergence_ref(p, down, 1.0, 2, d, q), 1e-9, 0);
    const float none[2] = {0.0f, 0.0f};
    assert_true(gyre_divergence(p, none, 1.0, 2, d, q) == 0.0);
}

/* One product, fast and reference: the same bits, and nothing behind y. The columns fill their allocation, so that a sanitizer sees a read beyond them. */
static void same_row(const float *values, size_t count, size_t length)
{
    float *columns = malloc(count * length * sizeof *columns), *x = malloc(count * sizeof *x), fast[LARGEST + 8], slow[LARGEST + 8];
    assert_true(columns != NULL && x != NULL);
    memcpy(columns, values, count * length * sizeof *columns);
    memcpy(x, values + LARGEST, count * sizeof *x);
    for (size_t i = 0; i < LARGEST + 8; i++)
        fast[i] = slow[i] = -7.0f;
    gyre_matrix_row(columns, count, length, x, fast);
    gyre_matrix_row_ref(columns, count, length, x, slow);
    if (memcmp(fast, slow, sizeof fast) != 0)
        fail_msg("%zu columns of %zu: the fast row is not the reference", count, length);
    double sum = 0, size = 0;
    for (size_t j = 0; j < count; j++) {
        sum += (double)columns[j * length + length - 1] * (double)x[j];
        size += fabs((double)columns[j * length + length - 1] * (double)x[j]);
    }
    CHECK_CLOSE(fast[length - 1], sum, 0, 1e-6 * size + 1e-44);
    free(x);
    free(columns);
}

/* Every size, square, and shapes with every remainder; then sizes where sums are denormal or cancel. */
static void rows_are_the_reference_bit_for_bit(void **state)
{
    (void)state;
    float *values = malloc(LARGEST * LARGEST * sizeof *values);
    assert_non_null(values);
    normals(values, LARGEST * LARGEST, 7);
    for (size_t n = 1; n <= LARGEST; n++)
        same_row(values, n, n);
    for (size_t count = 1; count <= 13; count++)
        for (size_t length = 1; length <= 100; length++)
            same_row(values, count, length);
    for (size_t i = 0; i < LARGEST * LARGEST; i++)
        values[i] = ldexpf(values[i], i % 3 == 0 ? -75 : i % 3 == 1 ? -60 : 3);
    for (size_t n = 1; n <= 130; n++)
        same_row(values, n, n);
    for (size_t i = 0; i < LARGEST * LARGEST; i++)
        values[i] = i % 2 == 0 ? 1.0f : -0.0f;
    for (size_t n = 1; n <= 40; n++)
        same_row(values, n, n);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fast_is_reference), cmocka_unit_test(two_keys), cmocka_unit_test(extremes),
                                       cmocka_unit_test(rows_are_the_reference_bit_for_bit)};
    (void)printf("kernels selected: %s\n", gyre_kernels_selected());
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
