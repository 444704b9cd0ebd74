/* What the learned forms of householder, butterfly, givens, kronecker and scale promise: derivatives, degrees of freedom, starts, gauges, and what is refused. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <float.h>
#include <lapacke.h>

#include "tests/places.h"

enum { ORDINAL = 2, SMALL = 18 };

/* ---- subjects ---- */

typedef struct subject {
    place place;
    gyre_transform *t;
    const gyre_learnable *l;
    size_t dim, count;
    double *theta;
} subject;

typedef const char *const settings[6]; /* "key=value", NULL-terminated */

static gyre_option_values values_of(const gyre_transform_type *type, settings set)
{
    gyre_option_values values = {0};
    char key[32], why[GYRE_OPTION_TEXT];
    (void)gyre_options_defaults(type->options, &values);
    for (size_t i = 0; set[i] != NULL; i++) {
        const char *equals = strchr(set[i], '=');
        (void)snprintf(key, sizeof key, "%.*s", (int)(equals - set[i]), set[i]);
        const gyre_option *option = gyre_option_find(type->options, key);
        assert_non_null(option);
        if (!gyre_option_parse(option, &values, equals + 1, why))
            fail_msg("%s: %s", set[i], why);
    }
    return values;
}

static gyre_status try_make(subject *s, const char *name, size_t dim, settings set, uint32_t restart, gyre_error *error)
{
    const gyre_transform_type *type = gyre_transform_find(name);
    gyre_option_values values = values_of(type, set);
    *s = (subject){.dim = dim};
    make_place(&s->place, dim, 0);
    s->place.site.restart = restart;
    gyre_status st = gyre_transform_new(type, &s->place.site, ORDINAL, &values, &s->t, error);
    if (st == GYRE_OK && (s->t->traits.flags & GYRE_LEARNABLE)) {
        s->l = type->learnable;
        s->theta = s->l->parameters(s->t->state, &s->count);
    }
    return st;
}

static void make(subject *s, const char *name, size_t dim, settings set)
{
    gyre_error error = {0};
    CHECK_OK(try_make(s, name, dim, set, 0, &error), &error);
    if (s->l == NULL)
        fail_msg("%s is not learnable", name);
}

static void update(subject *s)
{
    gyre_error error = {0};
    CHECK_OK(s->l->update(s->t->state, &error), &error);
}

/* The start moved by normals times `size`. */
static void move(subject *s, double size, uint32_t id)
{
    float *noise = malloc(s->count * sizeof *noise);
    assert_non_null(noise);
    normals(noise, s->count, id);
    for (size_t i = 0; i < s->count; i++)
        s->theta[i] += size * (double)noise[i];
    free(noise);
    update(s);
}

static double *square(size_t n)
{
    double *m = calloc(n * n + 1, sizeof *m);
    assert_non_null(m);
    return m;
}

static double *matrix_of(const subject *s)
{
    double *m = square(s->dim);
    s->l->matrix(s->t->state, m);
    return m;
}

static double *inverse_of(const subject *s)
{
    double *m = square(s->dim), *back = square(s->dim);
    s->l->matrix(s->t->state, m);
    for (size_t i = 0; i < s->dim; i++)
        for (size_t j = 0; j < s->dim; j++)
            back[j * s->dim + i] = m[i * s->dim + j];
    if (s->l->inverse != NULL)
        s->l->inverse(s->t->state, back);
    free(m);
    return back;
}

/* Singular values, descending, of rows x columns. */
static double *singular_values(const double *m, size_t rows, size_t columns)
{
    double *copy = malloc(rows * columns * sizeof *copy), *values = calloc(columns + rows, sizeof *values), *super = calloc(columns + rows, sizeof *super);
    assert_true(copy != NULL && values != NULL && super != NULL);
    memcpy(copy, m, rows * columns * sizeof *copy);
    assert_int_equal(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'N', 'N', (lapack_int)rows, (lapack_int)columns, copy, (lapack_int)columns, values, NULL, 1, NULL, 1, super), 0);
    free(copy);
    free(super);
    return values;
}

static double norm2_off_identity(const double *m, size_t n, double *frobenius)
{
    double *off = square(n), sum = 0;
    for (size_t i = 0; i < n * n; i++) {
        off[i] = m[i] - (i % n == i / n ? 1.0 : 0.0);
        sum += off[i] * off[i];
    }
    double *values = singular_values(off, n, n), most = values[0];
    *frobenius = sqrt(sum);
    free(values);
    free(off);
    return most;
}

static const struct variant {
    const char *name;
    settings set;
    size_t dims[4];
    bool orthogonal;
} variants[] = {
    {"householder", {"learn=true"}, {4, 8, 16, 64}, true},
    {"householder", {"learn=true", "k=3", "start=random"}, {4, 5, 12, 64}, true},
    {"householder", {"learn=true", "k=8", "per=head"}, {8, 11, 16, 64}, true},
    {"butterfly", {"learn=true"}, {2, 4, 8, 64}, true},
    {"butterfly", {"learn=true", "angles=hadamard"}, {2, 8, 16, 64}, true},
    {"butterfly", {"learn=true", "angles=zero", "per=head"}, {4, 8, 16, 64}, true},
    {"givens", {"learn=true"}, {2, 6, 16, 64}, true},
    {"givens", {"learn=true", "angles=zero"}, {2, 8, 12, 64}, true},
    {"kronecker", {"learn=true"}, {4, 8, 12, 80}, true},
    {"kronecker", {"learn=true", "a=4", "noise=0.3"}, {8, 12, 16, 80}, true},
    {"kronecker", {"learn=true", "form=invertible"}, {4, 8, 12, 80}, false},
    {"kronecker", {"learn=true", "form=invertible", "a=6", "per=head"}, {12, 18, 12, 96}, false},
    {"scale", {"learn=true"}, {1, 4, 16, 64}, false},
    {"scale", {"learn=true", "by=one", "per=head"}, {1, 4, 16, 64}, false},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* ---- derivatives ---- */

static double product_with(subject *s, const double *g, double *m)
{
    double sum = 0;
    update(s);
    s->l->matrix(s->t->state, m);
    for (size_t i = 0; i < s->dim * s->dim; i++)
        sum += g[i] * m[i];
    return sum;
}

/* backward adds the derivative of <G, M(theta)>: central differences in double. */
static void backward_is_the_derivative(void **state)
{
    (void)state;
    const double step = 1e-5;
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t d = 0; d < 3; d++) {
            subject s;
            float noise[SMALL * SMALL];
            double g[SMALL * SMALL], most = 0;
            make(&s, variants[v].name, variants[v].dims[d], variants[v].set);
            if (s.dim * s.dim > sizeof g / sizeof *g)
                fail_msg("d = %zu is too large here", s.dim);
            move(&s, 0.3, 50);
            normals(noise, s.dim * s.dim, 51);
            for (size_t i = 0; i < s.dim * s.dim; i++)
                g[i] = (double)noise[i];
            double *gradient = malloc((s.count + 1) * sizeof *gradient), *m = square(s.dim);
            assert_non_null(gradient);
            for (size_t i = 0; i <= s.count; i++)
                gradient[i] = 10.0;
            s.l->backward(s.t->state, g, gradient);
            for (size_t i = 0; i < s.count; i++)
                most = fmax(most, fabs(gradient[i] - 10.0));
            for (size_t i = 0; i < s.count; i++) {
                double at = s.theta[i];
                s.theta[i] = at + step;
                double above = product_with(&s, g, m);
                s.theta[i] = at - step;
                double below = product_with(&s, g, m), want = (above - below) / (2 * step);
                s.theta[i] = at;
                if (!(fabs(gradient[i] - 10.0 - want) <= 1e-7 * (1 + most)))
                    fail_msg("%s (row %zu) d=%zu: derivative %zu of %zu is %.12g, differences say %.12g", variants[v].name, v, s.dim, i, s.count, gradient[i] - 10.0, want);
            }
            assert_true(most > 0 && gradient[s.count] == 10.0);
            free(gradient);
            free(m);
            gyre_transform_free(s.t);
        }
}

/* ---- degrees of freedom ---- */

/* Rank of dM / dtheta by central differences; where `level`, on the directions whose mean is 0. */
static size_t rank_of(subject *s, bool level)
{
    const double step = 1e-5;
    size_t n = s->dim * s->dim, rank = 0;
    double *jacobian = calloc(s->count * n, sizeof *jacobian), *above = square(s->dim), *below = square(s->dim);
    assert_non_null(jacobian);
    for (size_t p = 0; p < s->count; p++) {
        double at = s->theta[p];
        s->theta[p] = at + step;
        update(s);
        s->l->matrix(s->t->state, above);
        s->theta[p] = at - step;
        update(s);
        s->l->matrix(s->t->state, below);
        s->theta[p] = at;
        for (size_t i = 0; i < n; i++)
            jacobian[p * n + i] = (above[i] - below[i]) / (2 * step);
    }
    for (size_t i = 0; level && i < n; i++) {
        double mean = 0;
        for (size_t p = 0; p < s->count; p++)
            mean += jacobian[p * n + i] / (double)s->count;
        for (size_t p = 0; p < s->count; p++)
            jacobian[p * n + i] -= mean;
    }
    double *values = singular_values(jacobian, s->count, n);
    for (size_t i = 0; i < s->count && i < n; i++) {
        if (values[i] > 1e-8 * values[0] && values[i] < 1e-4 * values[0])
            fail_msg("singular value %zu is %.3g of the largest: no gap", i, values[i] / values[0]);
        rank += values[i] >= 1e-4 * values[0];
    }
    free(values);
    free(above);
    free(below);
    free(jacobian);
    return rank;
}

static void check_freedom(const char *name, size_t dim, settings set, size_t want)
{
    subject s;
    make(&s, name, dim, set);
    move(&s, 0.3, 52);
    size_t rank = rank_of(&s, strcmp(name, "scale") == 0);
    if (rank != want || s.l->freedom(s.t->state) != want)
        fail_msg("%s d=%zu: rank %zu, freedom %zu, expected %zu", name, dim, rank, s.l->freedom(s.t->state), want);
    gyre_transform_free(s.t);
}

static void freedom_is_the_rank(void **state)
{
    (void)state;
    for (size_t k = 1; k <= 6; k++) { /* all orthogonal 6 x 6 matrices of one determinant: 15 */
        static const size_t want[] = {5, 9, 12, 14, 15, 15};
        char count[8];
        (void)snprintf(count, sizeof count, "k=%zu", k);
        check_freedom("householder", 6, (settings){"learn=true", "start=random", count}, want[k - 1]);
    }
    check_freedom("householder", 8, (settings){"learn=true", "noise=0.5"}, 22);
    check_freedom("butterfly", 4, (settings){"learn=true"}, 4);
    check_freedom("butterfly", 8, (settings){"learn=true"}, 12);
    check_freedom("butterfly", 8, (settings){"learn=true", "angles=zero"}, 12);
    check_freedom("butterfly", 16, (settings){"learn=true", "angles=hadamard"}, 32);
    check_freedom("givens", 8, (settings){"learn=true"}, 4);
    check_freedom("kronecker", 12, (settings){"learn=true"}, 3 + 6);
    check_freedom("kronecker", 12, (settings){"learn=true", "a=2"}, 1 + 15);
    check_freedom("kronecker", 12, (settings){"learn=true", "form=invertible"}, 9 + 16 - 1);
    check_freedom("scale", 8, (settings){"learn=true"}, 7);
}

/* ---- matrices ---- */

/* Far from the start: M^-1 M = I to rounding, M'M = I where flagged; the double and the float path, one row at a time, are that matrix. */
static void rows_and_matrices_agree(void **state)
{
    (void)state;
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t d = 0; d < 4; d++) {
            subject s;
            float x[DIM_MOST], y[2][DIM_MOST];
            double want[DIM_MOST], got[DIM_MOST];
            make(&s, variants[v].name, variants[v].dims[d], variants[v].set);
            assert_int_equal((s.t->traits.flags & GYRE_ORTHOGONAL) != 0, variants[v].orthogonal);
            move(&s, variants[v].orthogonal ? 1.0 : 0.05, 53);
            double *m = matrix_of(&s), *back = inverse_of(&s), off = 0;
            for (size_t i = 0; i < s.dim; i++)
                for (size_t j = 0; j < s.dim; j++) {
                    double sum = 0;
                    for (size_t k = 0; k < s.dim; k++)
                        sum += back[i * s.dim + k] * m[k * s.dim + j];
                    off = fmax(off, fabs(sum - (i == j ? 1.0 : 0.0)));
                }
            if (!(off <= 1e-13))
                fail_msg("%s d=%zu: M^-1 M - I is %.3g", variants[v].name, s.dim, off);
            normals(x, s.dim, 54);
            void *scratch = scratch_for(s.t);
            for (int inverse = 0; inverse < 2; inverse++) {
                double size = 0, off_ref = 0, off_fast = 0;
                memcpy(y[inverse], x, s.dim * sizeof *x);
                (inverse ? gyre_transform_inverse : gyre_transform_forward)(s.t, y[inverse], 1, s.dim, NULL, scratch);
                for (size_t i = 0; i < s.dim; i++)
                    got[i] = (double)x[i];
                (inverse ? s.t->type->inverse_ref : s.t->type->forward_ref)(s.t->state, got, 0);
                for (size_t i = 0; i < s.dim; i++) {
                    want[i] = 0;
                    for (size_t j = 0; j < s.dim; j++)
                        want[i] += (inverse ? back : m)[i * s.dim + j] * (double)x[j];
                    size += want[i] * want[i];
                    off_ref += (got[i] - want[i]) * (got[i] - want[i]);
                    off_fast += ((double)y[inverse][i] - want[i]) * ((double)y[inverse][i] - want[i]);
                }
                CHECK_CLOSE(sqrt(off_ref / size), 0, 0, 1e-13);
                CHECK_CLOSE(sqrt(off_fast / size), 0, 0, (4 + sqrt((double)s.dim)) * (double)FLT_EPSILON);
            }
            free(scratch);
            free(m);
            free(back);
            gyre_transform_free(s.t);
        }
}

/* What update makes depends on theta alone, not on what was there before. */
static void updates_have_no_memory(void **state)
{
    (void)state;
    for (size_t v = 0; v < VARIANTS; v++) {
        subject s;
        float x[DIM_MOST], y[3][DIM_MOST];
        make(&s, variants[v].name, variants[v].dims[3], variants[v].set);
        double *start = malloc(s.count * sizeof *start);
        assert_non_null(start);
        memcpy(start, s.theta, s.count * sizeof *start);
        normals(x, s.dim, 55);
        void *scratch = scratch_for(s.t);
        for (size_t i = 0; i < 3; i++) {
            if (i == 1)
                move(&s, 0.05, 56);
            if (i == 2)
                memcpy(s.theta, start, s.count * sizeof *start);
            update(&s);
            memcpy(y[i], x, s.dim * sizeof *x);
            gyre_transform_forward(s.t, y[i], 1, s.dim, NULL, scratch);
        }
        assert_memory_not_equal(y[0], y[1], s.dim * sizeof *x);
        assert_memory_equal(y[0], y[2], s.dim * sizeof *x);
        free(scratch);
        free(start);
        gyre_transform_free(s.t);
    }
}

/* ---- starts ---- */

/* householder: theta is what docs/random.md says; pairs are near I, by the angles between their vectors; an odd k has determinant -1 and no such start. */
static void reflectors_start(void **state)
{
    (void)state;
    static const size_t dims[] = {8, 64, 128};
    for (size_t r = 0; r < 3; r++) {
        subject s;
        size_t d = dims[r], k = d / 2;
        make(&s, "householder", d, (settings){"learn=true"});
        assert_int_equal(s.count, k * d);
        double *base = malloc(k * d * sizeof *base), *noise = malloc(k * d * sizeof *noise), bound = 0, frobenius;
        assert_true(base != NULL && noise != NULL);
        gyre_random of_base = gyre_random_stream(&s.place.site, GYRE_PURPOSE_NORMALS, ORDINAL, false);
        gyre_random of_noise = gyre_random_stream(&s.place.site, GYRE_PURPOSE_START, ORDINAL, false);
        gyre_random_normals(&of_base, base, k * d);
        gyre_random_normals(&of_noise, noise, k * d);
        for (size_t j = 0; j < k; j++)
            for (size_t i = 0; i < d; i++)
                CHECK_CLOSE(s.theta[j * d + i], base[j / 2 * d + i] + 0.01 * noise[j * d + i], 1e-15, 1e-15);
        for (size_t j = 0; j < k; j += 2) { /* a pair turns its plane by twice the angle between the vectors */
            double aa = 0, bb = 0, ab = 0;
            for (size_t i = 0; i < d; i++) {
                aa += s.theta[j * d + i] * s.theta[j * d + i];
                bb += s.theta[j * d + d + i] * s.theta[j * d + d + i];
                ab += s.theta[j * d + i] * s.theta[j * d + d + i];
            }
            bound += 2.0 * sqrt(1.0 - ab * ab / (aa * bb));
        }
        double *m = matrix_of(&s), norm = norm2_off_identity(m, d, &frobenius);
        if (!(norm <= bound * (1 + 1e-12)))
            fail_msg("d=%zu: |M - I| is %.3g, and the angles of the pairs allow %.3g", d, norm, bound);
        if (d >= 64) { /* k/2 planes, nearly independent, each turned by about 2 sqrt(2) 0.01 */
            CHECK_CLOSE(bound, sqrt(2.0) * 0.01 * (double)k, 0.1, 0);
            CHECK_CLOSE(frobenius, 0.02 * sqrt(2.0 * (double)k), 0.1, 0);
        }
        free(m);
        free(noise);
        free(base);
        gyre_transform_free(s.t);
    }
    subject odd;
    gyre_error error = {0};
    assert_int_equal(try_make(&odd, "householder", 12, (settings){"learn=true", "k=3"}, 0, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "k = 3 is odd"));
    assert_int_equal(try_make(&odd, "householder", 12, (settings){"learn=true", "k=14"}, 0, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "more than the head dimension 12"));
}

static void determinants(void **state)
{
    (void)state;
    for (size_t k = 1; k <= 6; k++) {
        char count[8];
        lapack_int pivots[6];
        double det = 1;
        subject s;
        (void)snprintf(count, sizeof count, "k=%zu", k);
        make(&s, "householder", 6, (settings){"learn=true", "start=random", count});
        double *m = matrix_of(&s);
        assert_int_equal(LAPACKE_dgetrf(LAPACK_ROW_MAJOR, 6, 6, m, 6, pivots), 0);
        for (lapack_int i = 0; i < 6; i++)
            det *= m[i * 7] * (pivots[i] == i + 1 ? 1.0 : -1.0);
        CHECK_CLOSE(det, k % 2 == 0 ? 1.0 : -1.0, 1e-14, 0);
        free(m);
        gyre_transform_free(s.t);
    }
}

/* Without noise a learned variant starts as the one that is not learned; noise moves it by about its size. */
static void starts_without_noise(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        settings quiet, plain, noisy;
        size_t dim;
    } rows[] = {
        {"butterfly", {"learn=true", "noise=0"}, {NULL}, {"learn=true"}, 64},
        {"butterfly", {"learn=true", "noise=0", "angles=hadamard"}, {"angles=hadamard"}, {"learn=true", "angles=hadamard"}, 64},
        {"givens", {"learn=true", "noise=0"}, {NULL}, {"learn=true"}, 80},
        {"kronecker", {"learn=true", "noise=0"}, {NULL}, {"learn=true"}, 80},
        {"kronecker", {"learn=true", "noise=0", "form=invertible"}, {NULL}, {"learn=true", "form=invertible"}, 80},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        subject quiet, plain, noisy;
        gyre_error error = {0};
        double x[DIM_MOST], off = 0;
        make(&quiet, rows[r].name, rows[r].dim, rows[r].quiet);
        make(&noisy, rows[r].name, rows[r].dim, rows[r].noisy);
        CHECK_OK(try_make(&plain, rows[r].name, rows[r].dim, rows[r].plain, 0, &error), &error);
        double *m = matrix_of(&quiet), *other = matrix_of(&noisy);
        for (size_t j = 0; j < quiet.dim; j++) {
            memset(x, 0, sizeof x);
            x[j] = 1.0;
            plain.t->type->forward_ref(plain.t->state, x, 0);
            for (size_t i = 0; i < quiet.dim; i++) {
                CHECK_CLOSE(m[i * quiet.dim + j], x[i], 0, 1e-14);
                off += (other[i * quiet.dim + j] - x[i]) * (other[i * quiet.dim + j] - x[i]) / (double)quiet.dim;
            }
        }
        assert_true(sqrt(off) > 0.005 && sqrt(off) < 0.05);
        free(m);
        free(other);
        gyre_transform_free(quiet.t);
        gyre_transform_free(noisy.t);
        gyre_transform_free(plain.t);
    }
    subject zero;
    double frobenius;
    make(&zero, "butterfly", 64, (settings){"learn=true", "angles=zero", "noise=0"});
    double *m = matrix_of(&zero);
    assert_true(norm2_off_identity(m, 64, &frobenius) == 0.0);
    assert_false(zero.t->traits.flags & GYRE_SEEDED);
    free(m);
    gyre_transform_free(zero.t);
}

/* Another restart is another noise on the same draw. */
static void restarts(void **state)
{
    (void)state;
    for (size_t v = 0; v < VARIANTS; v++) {
        subject first, second;
        gyre_error error = {0};
        double off = 0, noise = strcmp(variants[v].name, "kronecker") == 0 && variants[v].set[2] != NULL ? 0.3 : 0.01;
        make(&first, variants[v].name, variants[v].dims[3], variants[v].set);
        CHECK_OK(try_make(&second, variants[v].name, variants[v].dims[3], variants[v].set, 1, &error), &error);
        assert_int_equal(first.count, second.count);
        for (size_t i = 0; i < first.count; i++)
            off = fmax(off, fabs(first.theta[i] - second.theta[i]));
        assert_true(strcmp(variants[v].name, "scale") == 0 ? off == 0.0 : off > 0.0 && off < 10 * noise);
        gyre_transform_free(first.t);
        gyre_transform_free(second.t);
    }
}

/* scale: 1 / maximum with geometric mean 1, by one the identity. */
static void scales_start(void **state)
{
    (void)state;
    const float rows[3][4] = {{1, -8, 0.5f, 2}, {-2, 1, 0.25f, 0}, {0.5f, 4, -0.125f, -2}}; /* maxima 2, 8, 1/2, 2: geometric mean 2 */
    const double want[4] = {1, 0.25, 4, 1};
    for (int one = 0; one < 2; one++) {
        subject s;
        gyre_error error = {0};
        make(&s, "scale", 4, (settings){"learn=true", one ? "by=one" : "by=max"});
        CHECK_OK(s.t->type->fit(s.t->state, &(gyre_fit_rows){.x = rows[0], .n = 3, .stride = 4}, &error), &error);
        double *m = matrix_of(&s);
        for (size_t i = 0; i < 16; i++)
            CHECK_CLOSE(m[i], i % 5 != 0 ? 0.0 : one ? 1.0 : want[i / 5], 1e-15, 0);
        assert_int_equal(gyre_transform_stored(s.t), 4);
        free(m);
        gyre_transform_free(s.t);
    }
    subject s;
    gyre_error error = {0};
    assert_int_equal(try_make(&s, "scale", 4, (settings){"by=one"}, 0, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "learn: true"));
    assert_int_equal(try_make(&s, "butterfly", 4, (settings){"angles=zero"}, 0, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "learn: true"));
}

/* ---- gauges ---- */

/* What the gauge takes away does not show in M; of scale it is a common factor. */
static void gauges(void **state)
{
    (void)state;
    for (size_t v = 0; v < VARIANTS; v++) {
        subject s;
        make(&s, variants[v].name, variants[v].dims[2], variants[v].set);
        if (s.l->gauge == NULL) {
            gyre_transform_free(s.t);
            continue;
        }
        move(&s, 0.1, 57);
        double *m = matrix_of(&s), factor = 1;
        if (strcmp(s.t->type->name, "householder") == 0)
            for (size_t i = 0; i < s.count; i++) /* another length of each vector, some turned around */
                s.theta[i] *= (i / s.dim % 2 == 0 ? 3.0 : -0.01) * (double)(1 + i / s.dim);
        if (strcmp(s.t->type->name, "scale") == 0) {
            for (size_t i = 0; i < s.dim; i++)
                factor *= pow(m[i * s.dim + i], -1.0 / (double)s.dim);
            for (size_t i = 0; i < s.count; i++)
                s.theta[i] += 5.0;
        }
        s.l->gauge(s.t->state);
        update(&s);
        double *after = matrix_of(&s);
        for (size_t i = 0; i < s.dim * s.dim; i++)
            CHECK_CLOSE(after[i], factor * m[i], 1e-14, 1e-13);
        for (size_t j = 0; strcmp(s.t->type->name, "householder") == 0 && j < s.count / s.dim; j++) {
            double energy = 0;
            for (size_t i = 0; i < s.dim; i++)
                energy += s.theta[j * s.dim + i] * s.theta[j * s.dim + i];
            CHECK_CLOSE(energy, (double)s.dim, 1e-14, 0);
        }
        free(after);
        free(m);
        gyre_transform_free(s.t);
    }
    subject s; /* invertible: A 7 and B / 7 come back to rows of one size */
    make(&s, "kronecker", 12, (settings){"learn=true", "form=invertible", "noise=0"});
    for (size_t i = 0; i < s.count; i++)
        s.theta[i] *= i < 9 ? 7.0 : 1.0 / 7.0;
    s.l->gauge(s.t->state);
    update(&s);
    double energy[2] = {0, 0};
    for (size_t i = 0; i < s.count; i++)
        energy[i >= 9] += s.theta[i] * s.theta[i];
    CHECK_CLOSE(energy[0], 3.0, 1e-13, 0);
    CHECK_CLOSE(energy[1], 4.0, 1e-13, 0);
    gyre_transform_free(s.t);
}

/* ---- refusals ---- */

static void spoil(const char *name, size_t dim, settings set, size_t from, size_t to, double value, const char *reason)
{
    subject s;
    gyre_error error = {0};
    make(&s, name, dim, set);
    for (size_t i = from; i < to; i++)
        s.theta[i] = value;
    if (s.l->gauge != NULL)
        s.l->gauge(s.t->state);
    if (s.l->update(s.t->state, &error) != GYRE_E_RANGE || strstr(error.message, reason) == NULL)
        fail_msg("%s with parameters %zu..%zu at %g says '%s'", name, from, to, value, error.message);
    gyre_transform_free(s.t);
}

static void refusals(void **state)
{
    (void)state;
    spoil("householder", 8, (settings){"learn=true"}, 8, 16, 0.0, "reflector 2 of 4");
    spoil("householder", 8, (settings){"learn=true"}, 3, 4, (double)NAN, "reflector 1 of 4");
    spoil("householder", 8, (settings){"learn=true"}, 31, 32, 1e300, "reflector 4 of 4");
    spoil("butterfly", 8, (settings){"learn=true"}, 5, 6, (double)INFINITY, "angle 1 of stage 1");
    spoil("givens", 8, (settings){"learn=true"}, 2, 3, (double)NAN, "angle 2 of stage 0");
    spoil("kronecker", 12, (settings){"learn=true"}, 0, 1, (double)NAN, "not finite");
    spoil("kronecker", 12, (settings){"learn=true", "form=invertible"}, 3, 6, 0.0, "factor A (3 x 3) of the Kronecker product has become singular");
    spoil("kronecker", 12, (settings){"learn=true", "form=invertible"}, 9, 25, 0.5, "factor B (4 x 4) of the Kronecker product has become singular");
    spoil("scale", 4, (settings){"learn=true"}, 0, 1, 400.0, "beyond binary32");
    spoil("scale", 4, (settings){"learn=true"}, 2, 3, (double)NAN, "beyond binary32");
}

/* ---- traits ---- */

static void traits_follow_the_options(void **state)
{
    (void)state;
    for (size_t v = 0; v < VARIANTS; v++) {
        subject s, plain;
        gyre_error error = {0};
        bool per_head = false;
        make(&s, variants[v].name, variants[v].dims[3], variants[v].set);
        for (size_t i = 0; variants[v].set[i] != NULL; i++)
            per_head = per_head || strcmp(variants[v].set[i], "per=head") == 0;
        assert_true(s.t->traits.needs & GYRE_NEEDS_CALIBRATION);
        assert_int_equal(s.t->traits.pooled, !per_head);
        assert_int_equal(gyre_transform_stored(s.t), s.count);
        CHECK_OK(try_make(&plain, variants[v].name, variants[v].dims[3], (settings){NULL}, 0, &error), &error);
        assert_null(plain.l);
        if (strcmp(variants[v].name, "scale") != 0)
            assert_true(!(plain.t->traits.needs & GYRE_NEEDS_CALIBRATION) && gyre_transform_stored(plain.t) == 0);
        gyre_transform_free(plain.t);
        gyre_transform_free(s.t);
    }
}

/* The flag diagonal is what the matrix shows at several positions, of every variant that its defaults build. */
static void diagonal_is_diagonal(void **state)
{
    (void)state;
    size_t diagonals = 0;
    for (size_t v = 0; gyre_transform_types[v] != NULL; v++) {
        const gyre_transform_type *type = gyre_transform_types[v];
        gyre_option_values values = {0};
        place p;
        gyre_transform *t;
        gyre_error error = {0};
        double off = 0, x[16], zero[16];
        make_place(&p, 16, 0);
        if (!gyre_options_defaults(type->options, &values) && strcmp(type->name, "centre") != 0)
            continue; /* dense: a file */
        CHECK_OK(gyre_transform_new(type, &p.site, 0, &values, &t, &error), &error);
        for (int32_t pos = 0; pos < 3; pos++)
            for (size_t j = 0; j < 16; j++) {
                memset(x, 0, sizeof x);
                memset(zero, 0, sizeof zero);
                x[j] = 1.0;
                type->forward_ref(t->state, x, pos);
                type->forward_ref(t->state, zero, pos);
                for (size_t i = 0; i < 16; i++)
                    off = i == j ? off : fmax(off, fabs(x[i] - zero[i]));
            }
        bool flagged = t->traits.flags & GYRE_DIAGONAL, starts_as_identity = t->traits.needs & GYRE_NEEDS_CALIBRATION; /* pca, stiefel: nothing is fitted yet */
        if (flagged ? off != 0.0 : off == 0.0 && !starts_as_identity)
            fail_msg("%s is %sflagged diagonal, and off its diagonal there is %.3g", type->name, flagged ? "" : "not ", off);
        diagonals += flagged;
        gyre_transform_free(t);
    }
    assert_int_equal(diagonals, 5); /* identity, signs, centre, scale, smooth */
}

static void diagonal_of_chains(void **state)
{
    (void)state;
    static const struct {
        const char *elements[3];
        bool diagonal;
    } rows[] = {{{"signs", "scale"}, true}, {{"smooth", "signs", "scale"}, true}, {{"signs", "hadamard"}, false}, {{"hadamard", "scale"}, false}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gyre_chain_spec spec = {0};
        gyre_error error = {0};
        for (size_t i = 0; i < 3 && rows[r].elements[i] != NULL; i++)
            CHECK_OK(gyre_chain_add(&spec, gyre_transform_find(rows[r].elements[i]), NULL, &error), &error);
        assert_int_equal((gyre_chain_traits(&spec).flags & GYRE_DIAGONAL) != 0, rows[r].diagonal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_is_the_derivative), cmocka_unit_test(freedom_is_the_rank), cmocka_unit_test(rows_and_matrices_agree), cmocka_unit_test(updates_have_no_memory),
        cmocka_unit_test(reflectors_start),           cmocka_unit_test(determinants),        cmocka_unit_test(starts_without_noise),    cmocka_unit_test(restarts),
        cmocka_unit_test(scales_start),               cmocka_unit_test(gauges),              cmocka_unit_test(refusals),                cmocka_unit_test(traits_follow_the_options),
        cmocka_unit_test(diagonal_is_diagonal),       cmocka_unit_test(diagonal_of_chains),
    };
    return cmocka_run_group_tests_name("learned structured transforms", tests, NULL, NULL);
}
