/* kernels/: the fast path against the reference, and both against closed forms. */
#include "tests/check.h"

#include "kernels/divergence.h"
#include "kernels/matrix_row.h"
#include "kernels/selected.h"
#include "kernels/softmax.h"

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

/* The exponential of the softmax by sums of one element, against libm in long double. Three fifths of the arguments are above -40, where weights matter. */
static void exponential_is_libm(void **state)
{
    (void)state;
    static const float maxima[] = {0.0f, 17.3f};
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i <= 300000; i++) {
            float x = maxima[m] - (float)(i % 5 == 0 ? 0.7e-5 : i % 5 < 3 ? 13e-5 : 236e-5) * (float)i;
            double below = (double)x - (double)maxima[m], got = gyre_softmax_sum(&x, maxima[m], 1);
            long double wanted = expl((long double)below);
            if (below < -708.0)
                continue;
            double ulp = ldexp(1.0, ilogb((double)wanted) - 52);
            if (!(fabsl((long double)got - wanted) <= 1.1L * (long double)ulp))
                fail_msg("exp(%.17g) = %.17g, expected %.17Lg", below, got, wanted);
        }
    static const float under[] = {-708.0f, -708.5f, -720.0f, -745.0f, -746.0f, -1e4f, -1e10f, -3.4e38f};
    for (size_t i = 0; i < sizeof under / sizeof *under; i++) {
        double got = gyre_softmax_sum(&under[i], 0.0f, 1);
        assert_true(got >= 0.0 && got < 3.4e-308);
    }
    assert_true(gyre_softmax_sum(&maxima[1], maxima[1], 1) == 1.0);
}

/* One pair of rows, fast and reference: the same bits. The rows fill their allocations, so that a sanitizer sees a read beyond them. */
static void same_softmax(const float *values, size_t n)
{
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    assert_true(a != NULL && b != NULL);
    memcpy(a, values, n * sizeof *a);
    memcpy(b, values + 1, n * sizeof *b);
    size_t top = gyre_softmax_top(a, n), top_b = gyre_softmax_top(b, n), first = 0;
    for (size_t j = 0; j < n; j++)
        first = a[j] > a[first] ? j : first;
    assert_true(top == first && top == gyre_softmax_top_ref(a, n) && top_b == gyre_softmax_top_ref(b, n));
    double sum = gyre_softmax_sum(a, a[top], n), sum_ref = gyre_softmax_sum_ref(a, a[top], n), sum_b, sum_b_ref;
    double change = gyre_softmax_against(a, a[top], b, b[top_b], n, &sum_b), change_ref = gyre_softmax_against_ref(a, a[top], b, b[top_b], n, &sum_b_ref);
    double alone = gyre_softmax_sum(b, b[top_b], n);
    if (memcmp(&sum, &sum_ref, sizeof sum) != 0 || memcmp(&change, &change_ref, sizeof change) != 0 || memcmp(&sum_b, &sum_b_ref, sizeof sum_b) != 0 || memcmp(&sum_b, &alone, sizeof alone) != 0)
        fail_msg("%zu logits: sums %.17g %.17g, change %.17g %.17g, other sums %.17g %.17g %.17g", n, sum, sum_ref, change, change_ref, sum_b, sum_b_ref, alone);
    assert_true(gyre_softmax_against(a, a[top], a, a[top], n, &sum_b) == 0.0 && sum_b == sum);
    long double plain = 0.0L, plain_change = 0.0L, size = 0.0L;
    for (size_t j = 0; j < n; j++) {
        long double x = (long double)a[j] - (long double)a[top], y = (long double)b[j] - (long double)b[top_b];
        plain += expl(x);
        plain_change += expl(x) * (x - y);
        size += expl(x) * fabsl(x - y);
    }
    CHECK_CLOSE(sum, (double)plain, 2e-15, 0);
    CHECK_CLOSE(change, (double)plain_change, 0, 4e-15 * (double)size + 1e-300);
    free(b);
    free(a);
}

static void softmax_is_the_reference_bit_for_bit(void **state)
{
    (void)state;
    enum { LONGEST = 50021 };
    static const float sizes[] = {1e-3f, 1.0f, 6.0f, 300.0f, 1e4f};
    float *values = malloc((LONGEST + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        normals(values, LONGEST + 1, 30 + (uint32_t)s);
        for (size_t i = 0; i <= LONGEST; i++)
            values[i] *= sizes[s];
        for (size_t n = 1; n <= 67; n++)
            same_softmax(values, n);
        for (size_t n = 2040; n <= 2060; n++)
            same_softmax(values, n);
        same_softmax(values, LONGEST);
    }
    for (size_t i = 0; i <= LONGEST; i++) /* equal largest ones everywhere, zeros of both signs, the largest of floats */
        values[i] = i % 3 == 0 ? 0.0f : i % 3 == 1 ? -0.0f : -3.4e38f;
    for (size_t n = 1; n <= 67; n++)
        same_softmax(values, n);
    free(values);
}

/* At every place of rows of every remainder. */
static void softmax_refuses_what_is_not_finite(void **state)
{
    (void)state;
    float bad[] = {NAN, -NAN, INFINITY, -INFINITY}, row[67];
    for (size_t n = 1; n <= 67; n++)
        for (size_t at = 0; at < n; at++)
            for (size_t k = 0; k < 4; k++) {
                normals(row, n, 3);
                row[at] = bad[k];
                assert_true(gyre_softmax_top(row, n) == n && gyre_softmax_top_ref(row, n) == n);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fast_is_reference), cmocka_unit_test(two_keys), cmocka_unit_test(extremes),
                                       cmocka_unit_test(rows_are_the_reference_bit_for_bit), cmocka_unit_test(exponential_is_libm),
                                       cmocka_unit_test(softmax_is_the_reference_bit_for_bit), cmocka_unit_test(softmax_refuses_what_is_not_finite)};
    (void)printf("kernels selected: %s\n", gyre_kernels_selected());
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
