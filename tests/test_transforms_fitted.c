/* Closed forms, pca and wush: what their definitions promise, beyond the battery of test_transforms.c. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include "transforms/chain.h"

enum { MOST = 96, ROWS = 300, SETTINGS = 4 };

typedef const char *const settings[SETTINGS]; /* key, value, ended by NULL */

static gyre_status try_build(const char *name, size_t dim, gyre_stream stream, const char *const *texts, gyre_transform **out, gyre_error *error)
{
    const gyre_transform_type *type = gyre_transform_find(name);
    gyre_site site = {.dim = dim, .stream = stream, .layer = 3, .head = 1, .n_heads = 2};
    gyre_option_values values = {0};
    assert_non_null(type);
    (void)gyre_options_defaults(type->options, &values);
    for (; texts != NULL && texts[0] != NULL; texts += 2)
        assert_true(gyre_option_parse(gyre_option_find(type->options, texts[0]), &values, texts[1], NULL));
    return gyre_transform_new(type, &site, 0, &values, out, error);
}

static gyre_transform *build(const char *name, size_t dim, gyre_stream stream, const char *const *texts)
{
    gyre_transform *t;
    gyre_error error;
    CHECK_OK(try_build(name, dim, stream, texts, &t, &error), &error);
    return t;
}

/* T (or T^-1) by unit vectors, m[i * d + j]. */
static void matrix_of(const gyre_transform *t, bool inverse, double *m)
{
    double x[MOST];
    for (size_t j = 0; j < t->dim; j++) {
        memset(x, 0, sizeof x);
        x[j] = 1.0;
        (inverse ? t->type->inverse_ref : t->type->forward_ref)(t->state, x, 0);
        for (size_t i = 0; i < t->dim; i++)
            m[i * t->dim + j] = x[i];
    }
}

/* c = a s a' (or a' s a). */
static void congruence(const double *a, bool transpose, const double *s, size_t d, double *c)
{
    static double half[MOST * MOST];
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            half[i * d + j] = 0;
            for (size_t k = 0; k < d; k++)
                half[i * d + j] += (transpose ? a[k * d + i] : a[i * d + k]) * s[k * d + j];
        }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            c[i * d + j] = 0;
            for (size_t k = 0; k < d; k++)
                c[i * d + j] += half[i * d + k] * (transpose ? a[k * d + j] : a[j * d + k]);
        }
}

static double trace(const double *m, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += m[i * d + i];
    return sum;
}

/* Mean of x x' over rows, about their mean where centred. */
static void moments(const float *x, size_t n, size_t d, bool centred, double *m)
{
    double mean[MOST] = {0};
    for (size_t r = 0; centred && r < n; r++)
        for (size_t i = 0; i < d; i++)
            mean[i] += (double)x[r * d + i] / (double)n;
    memset(m, 0, d * d * sizeof *m);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                m[i * d + j] += ((double)x[r * d + i] - mean[i]) * ((double)x[r * d + j] - mean[j]) / (double)n;
}

/* Rows whose coordinates hang together and differ in size, and whose mean is not 0. */
static void correlated(float *x, size_t n, size_t d, uint32_t id)
{
    normals(x, n * d, id);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++)
            x[r * d + i] = (i > 0 ? 0.7f * x[r * d + i - 1] : 0.3f) + x[r * d + i] * (float)(1 + i % 5) + (i == 3 ? 4.0f : 0.0f);
}

/* ---- pca ---- */

/* Rows mean +- a_i v_i along known orthonormal axes v_i have the axes v_i, by falling a_i. */
static void pca_finds_known_axes(void **state)
{
    (void)state;
    static const size_t dims[] = {1, 2, 7, 12, 64};
    static float x[2 * MOST * MOST];
    static double got[MOST * MOST];
    gyre_error error;
    for (size_t k = 0; k < sizeof dims / sizeof *dims; k++) {
        size_t d = dims[k];
        float w[MOST];
        double axes[MOST][MOST], square = 0;
        gyre_transform *t = build("pca", d, GYRE_V, NULL);
        normals(w, d, 1);
        for (size_t i = 0; i < d; i++)
            square += (double)w[i] * (double)w[i];
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                axes[i][j] = (i == j ? 1.0 : 0.0) - 2.0 * (double)w[i] * (double)w[j] / square;
        for (size_t i = 0; i < 2 * d; i++)
            for (size_t j = 0; j < d; j++)
                x[i * d + j] = (float)(3.0 + (i % 2 ? -1.0 : 1.0) * (double)(1 + i / 2 * 5 % d) * axes[i / 2][j]);
        matrix_of(t, false, got);
        for (size_t i = 0; i < d * d; i++)
            CHECK_CLOSE(got[i], i / d == i % d ? 1.0 : 0.0, 0, 0); /* not fitted yet */
        CHECK_OK(t->type->fit(t->state, &(gyre_fit_rows){.x = x, .n = 2 * d, .stride = d}, &error), &error);
        matrix_of(t, false, got);
        for (size_t i = 0; i < d; i++) {
            size_t rank = d - 1 - i * 5 % d, largest = 0; /* size 1 + i * 5 % d */
            for (size_t j = 1; j < d; j++)
                largest = fabs(axes[i][j]) > fabs(axes[i][largest]) ? j : largest;
            for (size_t j = 0; j < d; j++)
                CHECK_CLOSE(got[rank * d + j], axes[i][largest] < 0 ? -axes[i][j] : axes[i][j], 0, 3e-6);
        }
        assert_int_equal(gyre_transform_stored(t), d * d);
        gyre_transform_free(t);
    }
}

/* Behind it coordinates are uncorrelated, of falling variance, which is all there; entries of largest magnitude are positive. */
static void pca_decorrelates(void **state)
{
    (void)state;
    static float x[ROWS * MOST];
    static double m[MOST * MOST], v[MOST * MOST], after[MOST * MOST];
    gyre_error error;
    enum { D = 64 };
    gyre_transform *t = build("pca", D, GYRE_K, (settings){"per", "head"});
    assert_false(t->traits.pooled);
    correlated(x, ROWS, D, 2);
    CHECK_OK(t->type->fit(t->state, &(gyre_fit_rows){.x = x, .n = ROWS, .stride = D}, &error), &error);
    moments(x, ROWS, D, true, m);
    matrix_of(t, false, v);
    congruence(v, false, m, D, after);
    CHECK_CLOSE(trace(after, D), trace(m, D), 1e-12, 0);
    for (size_t i = 0; i < D; i++) {
        double least = 0, most = 0;
        for (size_t j = 0; j < D; j++) {
            if (i != j)
                CHECK_CLOSE(after[i * D + j], 0.0, 0, 1e-12 * trace(m, D));
            least = fmin(least, v[i * D + j]);
            most = fmax(most, v[i * D + j]);
        }
        assert_true(most >= -least && (i == 0 || after[i * D + i] <= after[(i - 1) * D + i - 1]));
    }
    gyre_transform_free(t);
}

static void rows_are_refused(void **state)
{
    (void)state;
    static float x[ROWS * 8];
    double eye[64] = {0};
    gyre_error error;
    for (size_t i = 0; i < 8; i++)
        eye[9 * i] = 1.0;
    gyre_transform *pca = build("pca", 8, GYRE_K, NULL), *wush = build("wush", 8, GYRE_K, NULL);
    correlated(x, ROWS, 8, 3);
    gyre_fit_rows rows = {.x = x, .n = 1, .stride = 8, .queries = eye};
    assert_int_equal(pca->type->fit(pca->state, &rows, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "pca has 1 calibration rows and needs 2"));
    rows.n = ROWS;
    x[8 * 70 + 5] = INFINITY;
    assert_int_equal(pca->type->fit(pca->state, &rows, &error), GYRE_E_NAN);
    assert_non_null(strstr(error.message, "pca: coordinate"));
    assert_int_equal(wush->type->fit(wush->state, &rows, &error), GYRE_E_NAN);
    assert_non_null(strstr(error.message, "wush: coordinate 5"));
    x[8 * 70 + 5] = 0;
    eye[9] = NAN;
    assert_int_equal(wush->type->fit(wush->state, &rows, &error), GYRE_E_NAN);
    eye[9] = -1;
    assert_int_equal(wush->type->fit(wush->state, &rows, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "second moments of the queries are not positive definite (pivot 2 of 8)"));
    rows.queries = NULL;
    assert_int_equal(wush->type->fit(wush->state, &rows, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "--queries"));
    gyre_transform_free(wush);
    gyre_transform_free(pca);
}

/* ---- wush ---- */

static void damp(double *m, size_t d, double part)
{
    double mean = trace(m, d) / (double)d;
    for (size_t i = 0; i < d; i++)
        m[i * d + i] += part * mean;
}

/* A fitted wush, and the damped moments that it was made of. Query moments of values are I. */
static gyre_transform *fitted(size_t d, gyre_stream stream, const char *const *texts, double damping, double *keys, double *queries)
{
    static float x[ROWS * MOST];
    static double raw[MOST * MOST];
    gyre_error error;
    gyre_transform *t = build("wush", d, stream, texts);
    correlated(x, ROWS, d, 4);
    moments(x, ROWS, d, false, keys);
    correlated(x, ROWS, d, 5);
    for (size_t i = 0; i < ROWS * d; i++)
        x[i] *= i % d < d / 2 ? 6.0f : 0.2f;
    moments(x, ROWS, d, false, raw);
    correlated(x, ROWS, d, 4);
    CHECK_OK(t->type->fit(t->state, &(gyre_fit_rows){.x = x, .n = ROWS, .stride = d, .queries = stream == GYRE_K ? raw : NULL}, &error), &error);
    damp(keys, d, damping);
    memcpy(queries, raw, d * d * sizeof *raw);
    damp(queries, d, damping);
    for (size_t i = 0; stream == GYRE_V && i < d * d; i++)
        queries[i] = i / d == i % d ? 1.0 : 0.0;
    return t;
}

/* T S_k T' = T^-T S_q T^-1, flat on the diagonal with a Hadamard matrix, diagonal without; the sum of D^2 is tr(S_k S_q). */
static void wush_balances(void **state)
{
    (void)state;
    static const struct {
        size_t d;
        gyre_stream stream;
        settings texts;
        double damping;
    } cases[] = {
        {1, GYRE_K, {NULL}, 0.01},
        {8, GYRE_K, {NULL}, 0.01},
        {12, GYRE_K, {NULL}, 0.01},
        {80, GYRE_K, {"damping", "0.0001"}, 0.0001},
        {64, GYRE_K, {NULL}, 0.01},
        {64, GYRE_V, {"damping", "0.5"}, 0.5},
        {64, GYRE_K, {"mix", "none"}, 0.01},
        {7, GYRE_V, {"mix", "none"}, 0.01},
    };
    static double keys[MOST * MOST], queries[MOST * MOST], t[MOST * MOST], inverse[MOST * MOST], a[MOST * MOST], b[MOST * MOST];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t d = cases[c].d;
        bool mixed = cases[c].texts[0] == NULL || strcmp(cases[c].texts[0], "mix") != 0;
        gyre_transform *w = fitted(d, cases[c].stream, cases[c].texts, cases[c].damping, keys, queries);
        matrix_of(w, false, t);
        matrix_of(w, true, inverse);
        congruence(t, false, keys, d, a);
        congruence(inverse, true, queries, d, b);
        double flat = trace(a, d) / (double)d, squares = 0, product = 0;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) {
                CHECK_CLOSE(a[i * d + j], b[i * d + j], 0, 1e-10 * flat);
                if (i == j && mixed)
                    CHECK_CLOSE(a[i * d + j], flat, 1e-10, 0);
                if (i != j && !mixed)
                    CHECK_CLOSE(a[i * d + j], 0.0, 0, 1e-10 * flat);
                squares += a[i * d + j] * a[i * d + j];
                product += keys[i * d + j] * queries[i * d + j];
            }
        CHECK_CLOSE(squares, product, 1e-10, 0);
        assert_int_equal(gyre_transform_stored(w), d * d);
        gyre_transform_free(w);
    }
}

/* No matrix has a smaller product of the energy that is coded, tr(T S_k T'), and what a unit of noise does to the scores, tr(T^-T S_q T^-1): other T do worse, none better. */
static void wush_is_the_floor(void **state)
{
    (void)state;
    enum { D = 16 };
    static double keys[D * D], queries[D * D], t[D * D], inverse[D * D], a[MOST * MOST], b[MOST * MOST];
    gyre_transform *w = fitted(D, GYRE_K, NULL, 0.01, keys, queries);
    matrix_of(w, false, t);
    matrix_of(w, true, inverse);
    congruence(t, false, keys, D, a);
    congruence(inverse, true, queries, D, b);
    double least = trace(a, D) * trace(b, D);
    assert_true(trace(keys, D) * trace(queries, D) > 1.05 * least); /* no transform; every orthogonal one is like it */
    for (uint32_t trial = 0; trial < 50; trial++) {
        /* T (I + z y'), undone by (I - z y' / (1 + y'z)) T^-1 */
        float z[D], y[D];
        double other[D * D], back[D * D], yz = 1.0;
        normals(z, D, 100 + trial);
        normals(y, D, 200 + trial);
        for (size_t i = 0; i < D; i++)
            yz += 0.01 * (double)y[i] * (double)z[i];
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j < D; j++) {
                double tz = 0, ty = 0;
                for (size_t k = 0; k < D; k++) {
                    tz += t[i * D + k] * (double)z[k];
                    ty += (double)y[k] * inverse[k * D + j];
                }
                other[i * D + j] = t[i * D + j] + 0.01 * tz * (double)y[j];
                back[i * D + j] = inverse[i * D + j] - 0.01 * (double)z[i] * ty / yz;
            }
        congruence(other, false, keys, D, a);
        congruence(back, true, queries, D, b);
        assert_true(trace(a, D) * trace(b, D) > least * (1 + 1e-9));
    }
    gyre_transform_free(w);
}

static void wush_says_where(void **state)
{
    (void)state;
    static const size_t without[] = {7, 112, 576};
    gyre_error error;
    gyre_transform *t;
    for (size_t k = 0; k < 3; k++) {
        assert_int_equal(try_build("wush", without[k], GYRE_K, NULL, &t, &error), GYRE_E_APPLICABLE);
        assert_non_null(strstr(error.message, "take mix: none"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pca_finds_known_axes), cmocka_unit_test(pca_decorrelates),  cmocka_unit_test(rows_are_refused),
        cmocka_unit_test(wush_balances),        cmocka_unit_test(wush_is_the_floor), cmocka_unit_test(wush_says_where),
    };
    return cmocka_run_group_tests_name("fitted transforms", tests, NULL, NULL);
}
