/* Objectives that read y alone: absmax, pnorm, kurtosis. Values and gradients against their definitions in double, closed forms, invariances. */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include "tests/check.h"

#include "calibrate/fit.h"
#include "core/options.h"

enum { D = 24, N = 7 };

typedef struct subject {
    const char *name;
    int p; /* of pnorm */
    size_t group;
    bool weighted, diagonal;
} subject;

/* The definitions. */
static double reference(const subject *s, const double *y, const float *weight, const double *k, double scale)
{
    double sum = 0;
    for (size_t r = 0; r < N; r++) {
        double w = weight != NULL ? (double)weight[r] : 1, s2 = 0, s4 = 0;
        const double *row = y + r * D;
        for (size_t i = 0; i < D; i++) {
            s2 += pow(row[i], 2);
            s4 += pow(row[i], 4);
        }
        if (strcmp(s->name, "kurtosis") == 0)
            sum += w * D * s4 / (s2 * s2);
        for (size_t at = 0; strcmp(s->name, "kurtosis") != 0 && at < D; at += s->group) {
            double kappa = 0, most = 0, powers = 0;
            for (size_t i = at; i < at + s->group; i++) {
                kappa += k[i * D + i];
                most = fmax(most, fabs(row[i]));
                powers += pow(fabs(row[i]), s->p);
            }
            sum += w * kappa * (s->p > 0 ? pow(powers, 2.0 / s->p) : most * most);
        }
    }
    return scale * sum;
}

/* What the objective makes of a part. */
static double measure(const subject *s, size_t n, size_t d, const float *y, const float *weight, const double *k, double scale, float *g_y, double *g_k)
{
    const gyre_objective_type *type = gyre_objective_find(s->name);
    gyre_objective_values options = {0};
    char why[GYRE_OPTION_TEXT], text[16];
    assert_non_null(type);
    assert_int_equal(type->flags, GYRE_OBJECTIVE_OF_K | GYRE_OBJECTIVE_OF_V);
    assert_true(gyre_options_defaults(type->options, &options));
    (void)snprintf(text, sizeof text, "%d", s->p);
    if (s->p > 0)
        assert_true(gyre_option_parse(gyre_option_find(type->options, "p"), &options, text, why));
    float *work = malloc((type->work != NULL ? type->work(n, d, NULL) : 1) * sizeof *work);
    assert_non_null(work);
    gyre_objective_part part = {.n = n, .dim = d, .group = s->group, .scale = scale, .y = y, .weight = weight, .k = k, .diagonal = s->diagonal, .work = work, .g_y = g_y, .g_k = g_k};
    double value = type->measure(&options, &part);
    free(work);
    return value;
}

static const subject subjects[] = {
    {"absmax", 0, D, false, true}, {"absmax", 0, 8, true, false}, {"pnorm", 8, D, false, true},    {"pnorm", 4, 6, true, false},
    {"pnorm", 11, 1, true, true},  {"pnorm", 64, D, true, false}, {"kurtosis", 0, D, false, true}, {"kurtosis", 0, 8, true, false},
};

static void finite_differences(void **state)
{
    (void)state;
    float y[N * D], square[D * D], weight[N];
    double x[N * D], k[D * D];
    for (size_t c = 0; c < sizeof subjects / sizeof *subjects; c++) {
        const subject *s = &subjects[c];
        float g_y[N * D] = {0};
        double g_k[D * D] = {0}, h = 1e-6;
        normals(y, N * D, (uint32_t)c);
        normals(square, D * D, 20);
        for (size_t r = 0; r < N; r++)
            weight[r] = 0.3f + (float)r;
        for (size_t i = 0; i < N * D; i++)
            x[i] = (double)y[i];
        for (size_t i = 0; i < D * D; i++) { /* symmetric, with a positive diagonal */
            size_t t = i % D * D + i / D;
            k[i] = s->diagonal ? 0 : 0.1 * ((double)square[i] + (double)square[t]);
            k[i] = i % (D + 1) == 0 ? 1 + fabs((double)square[i]) : k[i];
        }
        const float *w = s->weighted ? weight : NULL;
        double value = measure(s, N, D, y, w, k, 0.25, g_y, g_k);
        CHECK_CLOSE(value, reference(s, x, w, k, 0.25), 1e-6, 0);
        assert_true(measure(s, N, D, y, w, k, 0.25, NULL, NULL) == value); /* without gradients the same */
        double size = 0;
        for (size_t i = 0; i < N * D; i++)
            size = fmax(size, fabs((double)g_y[i]));
        for (size_t i = 0; i < N * D; i++) {
            double up, kept = x[i];
            x[i] = kept + h;
            up = reference(s, x, w, k, 0.25);
            x[i] = kept - h;
            double want = (up - reference(s, x, w, k, 0.25)) / (2 * h);
            x[i] = kept;
            CHECK_CLOSE((double)g_y[i], want, 1e-4, 1e-6 * size);
        }
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j <= i; j++) { /* both of a symmetric pair move */
                double up, a = k[i * D + j];
                k[i * D + j] = k[j * D + i] = a + h;
                up = reference(s, x, w, k, 0.25);
                k[i * D + j] = k[j * D + i] = a - h;
                double want = (up - reference(s, x, w, k, 0.25)) / (2 * h);
                k[i * D + j] = k[j * D + i] = a;
                CHECK_CLOSE(i == j ? g_k[i * D + i] : g_k[i * D + j] + g_k[j * D + i], want, 1e-4, 1e-8);
            }
        float once[N * D];
        double diagonal = g_k[0];
        memcpy(once, g_y, sizeof once);
        (void)measure(s, N, D, y, w, k, 0.25, g_y, g_k); /* gradients are added to */
        for (size_t i = 0; i < N * D; i++)
            assert_true(g_y[i] == 2.0f * once[i]);
        assert_true(g_k[0] == 2 * diagonal);
    }
}

/* c I for d coordinates. */
static double *multiple(size_t d, double c)
{
    double *k = calloc(d * d, sizeof *k);
    assert_non_null(k);
    for (size_t i = 0; i < d; i++)
        k[i * d + i] = c;
    return k;
}

/* Flat rows, one spike, zeros; in the unit of their energy. */
static void closed_forms(void **state)
{
    (void)state;
    enum { DIM = 64 };
    float flat[DIM], spike[DIM] = {0}, zeros[DIM] = {0}, g[DIM];
    for (size_t i = 0; i < DIM; i++)
        flat[i] = i % 3 == 0 ? -0.5f : 0.5f; /* |flat|^2 = 16 */
    spike[5] = -4.0f;                        /* |spike|^2 = 16 */
    double *k = multiple(DIM, 1.0 / 16), *own = multiple(DIM, 1);
    for (size_t group = 8; group <= DIM; group *= 2) {
        const subject absmax = {"absmax", 0, group, false, true}, p8 = {"pnorm", 8, group, false, true}, p5 = {"pnorm", 5, group, false, true};
        double n = (double)group;
        CHECK_CLOSE(measure(&absmax, 1, DIM, flat, NULL, k, 1, NULL, NULL), 1, 1e-12, 0);
        CHECK_CLOSE(measure(&absmax, 1, DIM, spike, NULL, k, 1, NULL, NULL), n, 1e-12, 0);
        CHECK_CLOSE(measure(&p8, 1, DIM, flat, NULL, k, 1, NULL, NULL), pow(n, 2.0 / 8), 1e-12, 0);
        CHECK_CLOSE(measure(&p5, 1, DIM, spike, NULL, k, 1, NULL, NULL), n, 1e-12, 0);
        CHECK_CLOSE(measure(&absmax, 1, DIM, flat, NULL, own, 1.0 / DIM, NULL, NULL), 0.25, 1e-12, 0); /* K = I / d: the mean squared absmax */
        const subject all[] = {absmax, p8, p5};
        for (size_t s = 0; s < 3; s++) {
            memset(g, 0, sizeof g);
            assert_true(measure(&all[s], 1, DIM, zeros, NULL, k, 1, g, NULL) == 0);
            assert_memory_equal(g, zeros, sizeof g);
        }
    }
    const subject kurtosis = {"kurtosis", 0, DIM, false, true};
    CHECK_CLOSE(measure(&kurtosis, 1, DIM, flat, NULL, k, 1, NULL, NULL), 1, 1e-12, 0);
    CHECK_CLOSE(measure(&kurtosis, 1, DIM, spike, NULL, k, 1, NULL, NULL), DIM, 1e-12, 0);
    memset(g, 0, sizeof g);
    CHECK_CLOSE(measure(&kurtosis, 1, DIM, zeros, NULL, k, 1, g, NULL), 1, 1e-12, 0);
    assert_memory_equal(g, zeros, sizeof g);
    memset(g, 0, sizeof g);
    (void)measure(&kurtosis, 1, DIM, flat, NULL, k, 1, g, NULL); /* the least there is: no slope */
    for (size_t i = 0; i < DIM; i++)
        CHECK_CLOSE((double)g[i], 0, 0, 1e-12);
    free(k);
    free(own);
}

/* Normal rows: the kurtosis about 0 is 3 d / (d + 2) on average, since S4 / S2^2 does not depend on S2. */
static void normal_rows(void **state)
{
    (void)state;
    enum { MANY = 20000, DIM = 16 };
    const subject kurtosis = {"kurtosis", 0, DIM, false, true};
    float *y = malloc(MANY * DIM * sizeof *y);
    double *k = multiple(DIM, 1);
    assert_non_null(y);
    normals(y, MANY * DIM, 3);
    CHECK_CLOSE(measure(&kurtosis, MANY, DIM, y, NULL, k, 1.0 / MANY, NULL, NULL), 3.0 * DIM / (DIM + 2), 0.01, 0);
    free(y);
    free(k);
}

/* Between absmax and what p allows, falling with p; y -> c y with K -> K / c^2 changes nothing; kurtosis does not see sizes nor K. */
static void invariances(void **state)
{
    (void)state;
    float y[N * D], scaled[N * D];
    double *k = multiple(D, 0.7), *less = multiple(D, 0.7 / 1e30), *tiny = multiple(D, 0.7 / 1e-36), last = INFINITY;
    normals(y, N * D, 9);
    double least = measure(&(subject){"absmax", 0, D, false, true}, N, D, y, NULL, k, 1.0 / N, NULL, NULL);
    for (int p = 4; p <= 64; p++) {
        double value = measure(&(subject){"pnorm", p, D, false, true}, N, D, y, NULL, k, 1.0 / N, NULL, NULL);
        assert_true(value < last && value > least && value <= least * pow(D, 2.0 / p));
        last = value;
    }
    for (size_t c = 0; c < sizeof subjects / sizeof *subjects; c++) {
        subject s = subjects[c];
        double want = measure(&s, N, D, y, NULL, k, 1.0 / N, NULL, NULL);
        for (int large = 0; large < 2; large++) {
            float g_y[N * D] = {0};
            for (size_t i = 0; i < N * D; i++)
                scaled[i] = y[i] * (large ? 1e15f : 1e-18f);
            CHECK_CLOSE(measure(&s, N, D, scaled, NULL, large ? less : tiny, 1.0 / N, g_y, NULL), want, 1e-6, 0);
            for (size_t i = 0; i < N * D; i++)
                assert_true(isfinite(g_y[i]));
        }
        for (size_t i = 0; i < N * D; i++)
            scaled[i] = -y[i];
        CHECK_CLOSE(measure(&s, N, D, scaled, NULL, k, 1.0 / N, NULL, NULL), want, 1e-12, 0);
    }
    free(k);
    free(less);
    free(tiny);
}

/* The weights that prepare leaves: |x^ - x|^2 in the unit of the rows' energy; nothing for validation rows. */
static void units(void **state)
{
    (void)state;
    static const char *const names[] = {"absmax", "pnorm"};
    for (size_t i = 0; i < 2; i++) {
        gyre_calibration data = {.dim = D, .n_heads = 2};
        double *w[2] = {NULL, multiple(D, 3)};
        gyre_objective_setup setup = {.data = &data, .first = 1, .last = 2, .unit = 12, .w = w};
        gyre_error error;
        const gyre_objective_type *type = gyre_objective_find(names[i]);
        CHECK_OK(type->prepare(NULL, &setup, &error), &error);
        assert_true(w[1][0] == 0.25 && w[1][1] == 0 && w[1][D * D - 1] == 0.25);
        setup.w = NULL;
        CHECK_OK(type->prepare(NULL, &setup, &error), &error);
        free(w[1]);
    }
    assert_null(gyre_objective_find("kurtosis")->prepare);
}

/* Products are OpenBLAS's: GSL brings a BLAS of the same names, ten times slower, and the first on the link line answers. */
static void blas_is_openblas(void **state)
{
    (void)state;
    static const char *const names[] = {"cblas_sgemm", "cblas_dgemm", "cblas_ssyrk"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Dl_info info = {0};
        void *symbol = dlsym(RTLD_DEFAULT, names[i]);
        assert_non_null(symbol);
        assert_int_not_equal(dladdr(symbol, &info), 0);
        if (strstr(info.dli_fname, "openblas") == NULL)
            fail_msg("%s comes from %s", names[i], info.dli_fname);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blas_is_openblas), cmocka_unit_test(finite_differences), cmocka_unit_test(closed_forms), cmocka_unit_test(normal_rows), cmocka_unit_test(invariances), cmocka_unit_test(units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
