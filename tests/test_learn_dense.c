/* Learned rotations with a dense matrix: the exponential against closed forms and an independent computation, its derivative against the block matrix of both; steps on the orthogonal
 * group against their limit. What every learnable transform promises is in test_learnables.c. */
#define _POSIX_C_SOURCE 200809L
#include "tests/places.h"

#include "transforms/matrix_exp.h"

/* ---- tools ---- */

static double *room(size_t count)
{
    double *x = calloc(count, sizeof *x);
    assert_non_null(x);
    return x;
}

static void random_matrix(double *m, size_t count, uint32_t id)
{
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    normals(x, count, id);
    for (size_t i = 0; i < count; i++)
        m[i] = (double)x[i];
    free(x);
}

static double frobenius(const double *m, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n * n; i++)
        sum += m[i] * m[i];
    return sqrt(sum);
}

/* The largest sum of magnitudes of a row. */
static double norm(const double *m, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += fabs(m[i * n + j]);
        most = fmax(most, sum);
    }
    return most;
}

/* Skew normals of a given norm. */
static void random_skew(double *a, size_t n, double size, uint32_t id)
{
    double *x = room(n * n);
    random_matrix(x, n * n, id);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            a[i * n + j] = x[i * n + j] - x[j * n + i];
    double factor = size / norm(a, n);
    for (size_t i = 0; i < n * n; i++)
        a[i] *= factor;
    free(x);
}

static void product(size_t n, const long double *a, const long double *b, long double *c)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            c[i * n + j] = 0;
            for (size_t k = 0; k < n; k++)
                c[i * n + j] += a[i * n + k] * b[k * n + j];
        }
}

/* exp of any matrix by the series of m / 2^8, squared 8 times, in long double. */
static void series(size_t n, const double *m, double *out)
{
    enum { HALVINGS = 8, TERMS = 20 };
    size_t square = n * n;
    long double *x = calloc(4 * square, sizeof *x), *sum = x + square, *term = sum + square, *next = term + square;
    assert_non_null(x);
    for (size_t i = 0; i < square; i++) {
        x[i] = ldexpl((long double)m[i], -HALVINGS);
        sum[i] = term[i] = i % (n + 1) == 0 ? 1 : 0;
    }
    for (int k = 1; k <= TERMS; k++) {
        product(n, term, x, next);
        for (size_t i = 0; i < square; i++)
            sum[i] += term[i] = next[i] / k;
    }
    for (int k = 0; k < HALVINGS; k++) {
        product(n, sum, sum, next);
        memcpy(sum, next, square * sizeof *sum);
    }
    for (size_t i = 0; i < square; i++)
        out[i] = (double)sum[i];
    free(x);
}

static gyre_matrix_exp *exponential(size_t n, const double *a, double *r)
{
    gyre_matrix_exp *e = NULL;
    gyre_error error = {0};
    CHECK_OK(gyre_matrix_exp_new(n, &e, &error), &error);
    CHECK_OK(gyre_matrix_exp_update(e, a, r, &error), &error);
    return e;
}

static double off_orthogonal(const double *r, size_t n)
{
    double most = 0;
    for (size_t a = 0; a < n; a++)
        for (size_t b = a; b < n; b++) {
            double sum = a == b ? -1.0 : 0.0;
            for (size_t i = 0; i < n; i++)
                sum += r[i * n + a] * r[i * n + b];
            most = fmax(most, fabs(sum));
        }
    return most;
}

/* ---- the exponential ---- */

/* Two dimensions: a turn by the angle. Three: Rodrigues, I + sin t K + (1 - cos t) K^2, |axis| = 1. Every degree and up to ten squarings are passed through. */
static void closed_forms(void **state)
{
    (void)state;
    const double angles[] = {0, 1e-9, 0.01, 0.1, 0.7, 1.9, 4, 11, 100, 3000}, axis[3] = {2.0 / 7, -3.0 / 7, 6.0 / 7};
    for (size_t t = 0; t < sizeof angles / sizeof *angles; t++) {
        double c = cos(angles[t]), s = sin(angles[t]), most = 4e-16 * (4 + angles[t]), r[9];
        gyre_matrix_exp_free(exponential(2, (const double[4]){0, -angles[t], angles[t], 0}, r));
        const double turn[4] = {c, -s, s, c};
        for (size_t i = 0; i < 4; i++)
            CHECK_CLOSE(r[i], turn[i], 0, most);
        const double k[9] = {0, -axis[2], axis[1], axis[2], 0, -axis[0], -axis[1], axis[0], 0};
        double a[9];
        for (size_t i = 0; i < 9; i++)
            a[i] = angles[t] * k[i];
        gyre_matrix_exp_free(exponential(3, a, r));
        for (size_t i = 0; i < 9; i++) {
            double diagonal = i % 4 == 0 ? 1.0 : 0.0;
            CHECK_CLOSE(r[i], c * diagonal + s * k[i] + (1 - c) * axis[i / 3] * axis[i % 3], 0, most);
        }
    }
}

static void against_series(void **state)
{
    (void)state;
    const double sizes[] = {0.005, 0.1, 0.6, 1.5, 4, 9, 30};
    enum { N = 10 };
    double a[N * N], r[N * N], want[N * N];
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        random_skew(a, N, sizes[i], 10 + i);
        gyre_matrix_exp_free(exponential(N, a, r));
        series(N, a, want);
        for (size_t j = 0; j < N * N; j++)
            CHECK_CLOSE(r[j], want[j], 0, 2e-15 * (2 + sizes[i]));
    }
}

/* Orthogonal to 1e-13 over five orders of magnitude, and with determinant 1: exp(A) exp(-A) = I follows from R' = exp(-A). */
static void orthogonality(void **state)
{
    (void)state;
    const size_t dims[] = {2, 5, 64, 128};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        size_t n = dims[d];
        double *a = room(n * n), *r = room(n * n), *back = room(n * n);
        for (double size = 0.01; size < 101; size *= 10) {
            random_skew(a, n, size, 30);
            gyre_matrix_exp_free(exponential(n, a, r));
            double off = off_orthogonal(r, n);
            if (!(off < 1e-13))
                fail_msg("n = %zu, |A| = %g: R'R - I is %.3g", n, size, off);
            for (size_t i = 0; i < n * n; i++)
                a[i] = -a[i];
            gyre_matrix_exp_free(exponential(n, a, back));
            for (size_t i = 0; i < n * n; i++)
                CHECK_CLOSE(back[i], r[i % n * n + i / n], 0, 1e-13);
        }
        free(a);
        free(r);
        free(back);
    }
}

/* L(A, E), the derivative of exp at A along E, is the corner of exp([A E; 0 A]) (Higham, Functions of Matrices, (3.16)): <backward(G), E> = <G, L(A, E)> for skew E; and, as the adjoint
 * of L(A, .) is L(A', .), what of backward(G) is skew is that of L(A', G). */
static void derivative(void **state)
{
    (void)state;
    const double sizes[] = {0.01, 0.2, 0.8, 2, 5, 12, 60};
    enum { N = 7, TWO = 2 * N };
    double a[N * N], e[N * N], g[N * N], r[N * N], got[N * N], block[TWO * TWO], all[TWO * TWO];
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        random_skew(a, N, sizes[i], 40 + i);
        random_skew(e, N, 1, 50 + i);
        random_matrix(g, N * N, 60 + i);
        gyre_matrix_exp *x = exponential(N, a, r);
        gyre_matrix_exp_backward(x, g, got);
        gyre_matrix_exp_free(x);
        for (int adjoint = 0; adjoint < 2; adjoint++) {
            memset(block, 0, sizeof block);
            for (size_t j = 0; j < N * N; j++) {
                double own = adjoint ? -a[j] : a[j];
                block[j / N * TWO + j % N] = block[(N + j / N) * TWO + N + j % N] = own;
                block[j / N * TWO + N + j % N] = adjoint ? g[j] : e[j];
            }
            series(TWO, block, all);
            double there = 0, here = 0;
            for (size_t j = 0; j < N * N; j++) {
                double l = all[j / N * TWO + N + j % N], skew = got[j] - got[j % N * N + j / N];
                there += g[j] * l;
                here += got[j] * e[j];
                if (adjoint)
                    CHECK_CLOSE(skew, l - all[j % N * TWO + N + j / N], 0, 1e-14 * (3 + sizes[i]) * frobenius(g, N));
            }
            if (!adjoint)
                CHECK_CLOSE(here, there, 0, 1e-14 * (3 + sizes[i]) * frobenius(g, N));
        }
    }
}

static void refused(void **state)
{
    (void)state;
    const double bad[] = {(double)NAN, (double)INFINITY, 1e200, 1e4};
    gyre_matrix_exp *e = NULL;
    double r[4];
    gyre_error error = {0};
    CHECK_OK(gyre_matrix_exp_new(2, &e, &error), &error);
    for (size_t i = 0; i < 4; i++) {
        error.message[0] = '\0';
        assert_int_equal(gyre_matrix_exp_update(e, (const double[4]){0, -bad[i], bad[i], 0}, r, &error), GYRE_E_RANGE);
        assert_non_null(strstr(error.message, "skew"));
    }
    CHECK_OK(gyre_matrix_exp_update(e, (const double[4]){0, -1, 1, 0}, r, &error), &error);
    CHECK_CLOSE(r[0], cos(1.0), 1e-15, 0);
    gyre_matrix_exp_free(e);
}

/* ---- transforms ---- */

static gyre_transform *make(const char *name, size_t dim, const char *const (*options)[2], size_t n_options)
{
    static place p;
    gyre_option_values values = {0};
    gyre_error error = {0};
    gyre_transform *t = NULL;
    char why[GYRE_OPTION_TEXT];
    const gyre_transform_type *type = gyre_transform_find(name);
    assert_non_null(type);
    (void)gyre_options_defaults(type->options, &values);
    for (size_t i = 0; i < n_options; i++)
        assert_true(gyre_option_parse(gyre_option_find(type->options, options[i][0]), &values, options[i][1], why));
    make_place(&p, dim, 0);
    CHECK_OK(gyre_transform_new(type, &p.site, 3, &values, &t, &error), &error);
    return t;
}

/* The start is noise times the normals of docs/random.md, below the diagonal row by row; without noise it is the identity. exp(A) = I + A + A^2/2 + ..., Cayley(A) = I + 2 A + 2 A^2 + ... */
static void starts(void **state)
{
    (void)state;
    enum { N = 6 };
    const char *const quiet[][2] = {{"noise", "0"}}, *const small[][2] = {{"noise", "0.0001"}};
    const char *const names[] = {"expm", "cayley"};
    place p;
    double a[N * N] = {0}, m[N * N], noise[N * (N - 1) / 2];
    make_place(&p, N, 0);
    gyre_random stream = gyre_random_stream(&p.site, GYRE_PURPOSE_START, 3, false);
    gyre_random_normals(&stream, noise, N * (N - 1) / 2);
    for (size_t i = 0, k = 0; i < N; i++)
        for (size_t j = 0; j < i; j++, k++)
            a[j * N + i] = -(a[i * N + j] = 1e-4 * noise[k]);
    for (size_t which = 0; which < 2; which++) {
        gyre_transform *t = make(names[which], N, quiet, 1);
        t->type->learnable->matrix(t->state, m);
        for (size_t i = 0; i < N * N; i++)
            CHECK_CLOSE(m[i], i % (N + 1) == 0 ? 1.0 : 0.0, 0, 1e-16);
        assert_false(t->traits.flags & GYRE_SEEDED);
        assert_int_equal(gyre_transform_stored(t), N * (N - 1) / 2);
        gyre_transform_free(t);
        t = make(names[which], N, small, 1);
        t->type->learnable->matrix(t->state, m);
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++) {
                double second = 0, times = which == 0 ? 1 : 2;
                for (size_t k = 0; k < N; k++)
                    second += a[i * N + k] * a[k * N + j];
                CHECK_CLOSE(m[i * N + j], (i == j ? 1.0 : 0.0) + times * a[i * N + j] + times * times / 2 * second, 0, 2e-10);
            }
        assert_true(t->traits.flags & GYRE_SEEDED);
        gyre_transform_free(t);
    }
}

/* Cayley in two dimensions: A = tan(t/2) J gives a turn by t. */
static void cayley_turns(void **state)
{
    (void)state;
    const double angles[] = {0.001, 0.5, 2, -3.1};
    gyre_transform *t = make("cayley", 2, NULL, 0);
    gyre_error error = {0};
    size_t count;
    double *theta = t->type->learnable->parameters(t->state, &count), m[4], gradient = 0;
    assert_int_equal(count, 1);
    for (size_t i = 0; i < 4; i++) {
        *theta = tan(angles[i] / 2);
        CHECK_OK(t->type->learnable->update(t->state, &error), &error);
        t->type->learnable->matrix(t->state, m);
        CHECK_CLOSE(m[0], cos(angles[i]), 0, 1e-15);
        CHECK_CLOSE(m[1], -sin(angles[i]), 0, 1e-15);
        CHECK_CLOSE(m[2], sin(angles[i]), 0, 1e-15);
        CHECK_CLOSE(m[3], cos(angles[i]), 0, 1e-15);
        gradient = 0; /* of the sine: cos t dt, dt = 2 dtheta / (1 + theta^2) */
        t->type->learnable->backward(t->state, (const double[4]){0, 0, 1, 0}, &gradient);
        CHECK_CLOSE(gradient, 2 * cos(angles[i]) / (1 + *theta * *theta), 1e-13, 1e-15);
    }
    gyre_transform_free(t);
}

/* ---- steps on the group ---- */

/* One step is the Cayley transform that its iterations tend to, R (I - a W/2) (I + a W/2)^-1: in two dimensions W = (0 w; -w 0) turns by 2 atan(a w/2). From R = I, G = (0 0; -1 0) has
 * w = 1/2. */
static void step_of_two(void **state)
{
    (void)state;
    const char *const rate[][2] = {{"rate", "0.02"}};
    const double factors[] = {1, 0.5};
    for (size_t i = 0; i < 2; i++) {
        gyre_transform *t = make("stiefel", 2, rate, 1);
        const gyre_learnable *l = t->type->learnable;
        gyre_error error = {0};
        double gradient[4] = {0}, m[4], angle = 2 * atan(0.02 * factors[i] * 0.5 / 2);
        l->backward(t->state, (const double[4]){0, 0, -1, 0}, gradient);
        CHECK_CLOSE(gradient[1], 0.5, 1e-15, 0);
        CHECK_CLOSE(gradient[2], -0.5, 1e-15, 0);
        l->descend(t->state, gradient, factors[i]);
        l->gauge(t->state);
        CHECK_OK(l->update(t->state, &error), &error);
        l->matrix(t->state, m);
        CHECK_CLOSE(m[0], cos(angle), 0, 1e-13); /* five iterations from the tangent leave (a w/2)^7 */
        CHECK_CLOSE(m[2], sin(angle), 0, 1e-13);
        gyre_transform_free(t);
    }
}

/* R stays orthogonal however steep the gradient, and a linear objective <G, R> goes to its least value: for G = -T, T a rotation, that is -n, at R = T. */
static void to_a_rotation(void **state)
{
    (void)state;
    enum { N = 8 };
    const char *const kept[][2] = {{"momentum", "0.5"}, {"rate", "0.3"}};
    double a[N * N], target[N * N], g[N * N], m[N * N], gradient[N * N];
    random_skew(a, N, 2, 80);
    gyre_matrix_exp_free(exponential(N, a, target));
    for (int momentum = 0; momentum < 2; momentum++)
        for (double steep = 1; steep < 2e6; steep *= 1e6) {
            gyre_transform *t = make("stiefel", N, momentum ? kept : NULL, momentum ? 2 : 0);
            const gyre_learnable *l = t->type->learnable;
            gyre_error error = {0};
            double reached = 0;
            int steps = 400;
            for (int k = 0; k < steps; k++) {
                for (size_t i = 0; i < N * N; i++)
                    g[i] = -steep * target[i];
                memset(gradient, 0, sizeof gradient);
                l->backward(t->state, g, gradient);
                l->descend(t->state, gradient, 0.5 + 0.5 * cos(acos(-1.0) * k / steps));
                l->gauge(t->state);
                CHECK_OK(l->update(t->state, &error), &error);
                l->matrix(t->state, m);
                assert_true(off_orthogonal(m, N) < 1e-14);
            }
            for (size_t i = 0; i < N * N; i++)
                reached += m[i] * target[i];
            CHECK_CLOSE(reached, N, steep > 1 ? 0.01 : 1e-9, 0);
            gyre_transform_free(t);
        }
}

/* Float32 parameters are off by their rounding; the matrix is orthogonal all the same, and as near. */
static void rounded(void **state)
{
    (void)state;
    enum { N = 64 };
    const char *const haar[][2] = {{"start", "haar"}};
    gyre_transform *t = make("stiefel", N, haar, 1);
    gyre_error error = {0};
    size_t count;
    double *theta = t->type->learnable->parameters(t->state, &count), *m = room(N * N);
    assert_int_equal(count, N * N);
    assert_int_equal(gyre_transform_stored(t), N * N);
    assert_int_equal(t->type->learnable->freedom(t->state), N * (N - 1) / 2);
    for (size_t i = 0; i < count; i++)
        theta[i] = (double)(float)theta[i];
    double before = off_orthogonal(theta, N);
    CHECK_OK(t->type->learnable->update(t->state, &error), &error);
    t->type->learnable->matrix(t->state, m);
    assert_true(before > 1e-9 && off_orthogonal(m, N) < 5e-15);
    for (size_t i = 0; i < count; i++)
        CHECK_CLOSE(m[i], theta[i], 0, 1e-7);
    for (size_t i = 0; i < N; i++)
        theta[i] = 0; /* no matrix is nearest to a singular one */
    assert_int_equal(t->type->learnable->update(t->state, &error), GYRE_E_RANGE);
    gyre_transform_free(t);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms), cmocka_unit_test(against_series), cmocka_unit_test(orthogonality), cmocka_unit_test(derivative), cmocka_unit_test(refused),
        cmocka_unit_test(starts),       cmocka_unit_test(cayley_turns),   cmocka_unit_test(step_of_two),   cmocka_unit_test(to_a_rotation), cmocka_unit_test(rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
