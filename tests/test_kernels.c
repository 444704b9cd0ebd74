/* kernels/: the fast path against the reference, and both against closed forms. */
#include "tests/check.h"

#include "kernels/divergence.h"

enum { MOST = 700 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fast_is_reference), cmocka_unit_test(two_keys), cmocka_unit_test(extremes)};
    (void)printf("kernels selected: %s\n", gyre_kernels_selected());
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
