/* Rank correlations of stats/rank.h.
 *
 * Expected numbers: SciPy 1.10.1, scipy.stats.spearmanr(x, y)[0] and scipy.stats.kendalltau(x, y)[0] (tau-b) on the lists below, and closed forms: equal orders, reversed orders,
 * 1 - 6 sum d^2 / (n (n^2 - 1)) without ties. "S1" and "S2" are the data sets of test_stats.c.
 */
#include "check.h"
#include "stats/rank.h"

enum { MOST = 12 };

typedef struct reference {
    const char *name;
    size_t n;
    double x[MOST], y[MOST], rho, tau;
} reference;

static const reference references[] = {
    { "no ties", 7, { 1.5, 0.25, 3, 2, 8, 5, 6.5 }, { 2, 1, 3.5, 0.5, 7, 9, 4 }, 0.7857142857142859, 0.6190476190476191 },
    { "ties in both", 8, { 1, 2, 2, 3, 3, 3, 5, 8 }, { 4, 4, 1, 7, 2, 7, 9, 9 }, 0.7563090889558273, 0.6531972647421809 },
    { "all but one tied", 5, { 1, 1, 1, 1, 2 }, { 5, 3, 4, 2, 1 }, -0.7071067811865475, -0.6324555320336759 },
    { "three", 3, { 1, 2, 3 }, { 2, 1, 3 }, 0.5, 1.0 / 3.0 },
    { "S1", 8, { 412, 398, 455, 430, 501, 377, 489, 463 }, { 405, 402, 440, 431, 478, 371, 470, 452 }, 1.0, 1.0 },
    { "S2", 12, { 20, 31, 17, 25, 40, 22, 19, 28, 33, 26, 30, 24 }, { 18, 29, 17, 27, 35, 20, 21, 25, 33, 22, 27, 25 }, 0.9263214916857051, 0.8308675641104959 },
};

static void both(const double *x, const double *y, size_t n, double *rho, double *tau)
{
    gyre_error err = { .status = GYRE_OK };
    CHECK_OK(gyre_rank_spearman(x, y, n, rho, &err), &err);
    CHECK_OK(gyre_rank_kendall(x, y, n, tau, &err), &err);
}

static void reference_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
        const reference *r = &references[i];
        double rho, tau, turned_rho, turned_tau, negative[MOST];
        both(r->x, r->y, r->n, &rho, &tau);
        CHECK_CLOSE(rho, r->rho, 1e-12, 0.0);
        CHECK_CLOSE(tau, r->tau, 1e-12, 0.0);
        both(r->y, r->x, r->n, &turned_rho, &turned_tau);
        CHECK_CLOSE(turned_rho, rho, 1e-15, 0.0);
        CHECK_CLOSE(turned_tau, tau, 1e-15, 0.0);
        for (size_t k = 0; k < r->n; k++) /* any decreasing function turns the sign, and nothing else */
            negative[k] = -exp(r->y[k] / 100.0);
        both(r->x, negative, r->n, &turned_rho, &turned_tau);
        CHECK_CLOSE(turned_rho, -rho, 1e-15, 0.0);
        CHECK_CLOSE(turned_tau, -tau, 1e-15, 0.0);
    }
}

/* Exactly 1 and -1, whatever n, with ties as well; and Spearman's own formula where there are none. */
static void closed_forms(void **state)
{
    (void)state;
    enum { N = 200 };
    double x[N], same[N], turned[N], rho, tau;
    for (size_t n = 3; n <= N; n++)
        for (size_t ties = 0; ties < 2; ties++) {
            for (size_t i = 0; i < n; i++) {
                x[i] = (double)(ties != 0 ? i / 2 : (i * 7) % 211);
                same[i] = exp(x[i] / 50.0);
                turned[i] = -x[i];
            }
            both(x, same, n, &rho, &tau);
            assert_true(rho >= 1.0 && rho <= 1.0 && tau >= 1.0 && tau <= 1.0);
            both(x, turned, n, &rho, &tau);
            assert_true(rho >= -1.0 && rho <= -1.0 && tau >= -1.0 && tau <= -1.0);
        }
    float noise[N];
    double y[N], squares = 0.0;
    normals(noise, N, 1);
    for (size_t i = 0; i < N; i++) {
        x[i] = (double)i;
        y[i] = (double)noise[i];
    }
    for (size_t i = 0; i < N; i++) {
        size_t rank = 0;
        for (size_t k = 0; k < N; k++)
            rank += y[k] < y[i];
        squares += ((double)i - (double)rank) * ((double)i - (double)rank);
    }
    both(x, y, N, &rho, &tau);
    CHECK_CLOSE(rho, 1.0 - 6.0 * squares / ((double)N * ((double)N * N - 1.0)), 1e-13, 1e-15);
}

static void refusals(void **state)
{
    (void)state;
    const double x[] = { 1, 2, 3, 4 }, flat[] = { 2, 2, 2, 2 }, bad[] = { 1, (double)NAN, 3, 4 }, wide[] = { 1, (double)INFINITY, 3, 4 };
    gyre_status (*const all[])(const double *, const double *, size_t, double *, gyre_error *) = { gyre_rank_spearman, gyre_rank_kendall };
    for (size_t k = 0; k < 2; k++) {
        gyre_error err = { .status = GYRE_OK };
        double r = 7.0;
        assert_int_equal(all[k](x, x, 2, &r, &err), GYRE_E_APPLICABLE);
        assert_non_null(strstr(err.message, "at least 3"));
        assert_int_equal(all[k](x, flat, 4, &r, &err), GYRE_E_APPLICABLE);
        assert_non_null(strstr(err.message, "all 4 numbers of list 2 are 2"));
        assert_int_equal(all[k](flat, x, 4, &r, &err), GYRE_E_APPLICABLE);
        assert_non_null(strstr(err.message, "list 1"));
        assert_int_equal(all[k](x, bad, 4, &r, &err), GYRE_E_NAN);
        assert_int_equal(all[k](wide, x, 4, &r, &err), GYRE_E_NAN);
        assert_true(r >= 7.0 && r <= 7.0); /* nothing is written where nothing exists */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(reference_values), cmocka_unit_test(closed_forms), cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
