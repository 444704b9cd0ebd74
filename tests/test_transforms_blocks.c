/* Dense, block, reflector and permutation transforms: what each of them promises beyond the battery of test_transforms.c. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <unistd.h>

#include "core/h5.h"
#include "transforms/chain.h"

enum { MOST = 128, ORDINAL = 4, SETTINGS = 4 };

typedef const char *const settings[SETTINGS]; /* "key=value", ended by NULL */

static gyre_site site_of(size_t dim, uint32_t seed)
{
    return (gyre_site){.dim = dim, .stream = GYRE_K, .layer = 3, .head = 1, .n_heads = 2, .campaign_seed = 9, .seed_index = seed};
}

static gyre_status try_build(const char *name, const gyre_site *site, const char *const *texts, gyre_transform **out, gyre_error *error)
{
    const gyre_transform_type *type = gyre_transform_find(name);
    gyre_option_values values = {0};
    assert_non_null(type);
    (void)gyre_options_defaults(type->options, &values);
    for (; texts != NULL && *texts != NULL; texts++) {
        char key[32] = "", why[GYRE_OPTION_TEXT];
        const char *equals = strchr(*texts, '=');
        assert_true(equals != NULL && (size_t)(equals - *texts) < sizeof key);
        memcpy(key, *texts, (size_t)(equals - *texts));
        if (!gyre_option_parse(gyre_option_find(type->options, key), &values, equals + 1, why))
            fail_msg("%s: %s", *texts, why);
    }
    return gyre_transform_new(type, site, ORDINAL, &values, out, error);
}

static gyre_transform *build(const char *name, const gyre_site *site, const char *const *texts)
{
    gyre_transform *t;
    gyre_error error;
    CHECK_OK(try_build(name, site, texts, &t, &error), &error);
    return t;
}

static void refused(const char *name, const gyre_site *site, const char *const *texts, gyre_status status, const char *says)
{
    gyre_transform *t;
    gyre_error error;
    assert_int_equal(try_build(name, site, texts, &t, &error), status);
    assert_null(t);
    if (strstr(error.message, says) == NULL)
        fail_msg("%s said '%s', not '%s'", name, error.message, says);
}

/* The matrix by unit vectors, m[i * n + j]. */
static double *matrix_of(const gyre_transform *t)
{
    size_t n = t->dim;
    double *m = calloc(n * n, sizeof *m), *column = calloc(n, sizeof *column);
    assert_true(m != NULL && column != NULL);
    for (size_t j = 0; j < n; j++) {
        memset(column, 0, n * sizeof *column);
        column[j] = 1.0;
        t->type->forward_ref(t->state, column, 0);
        for (size_t i = 0; i < n; i++)
            m[i * n + j] = column[i];
    }
    free(column);
    return m;
}

static void drawn(double *out, size_t n, const gyre_site *site, bool per_head)
{
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ORDINAL, per_head);
    gyre_random_normals(&stream, out, n);
}

/* Gaussian elimination with full pivoting; destroys m. Gives the rank (pivots above 1e-9) and the determinant. */
static size_t eliminate(double *m, size_t n, double *determinant)
{
    *determinant = 1;
    for (size_t k = 0; k < n; k++) {
        size_t p = k, q = k;
        for (size_t i = k; i < n; i++)
            for (size_t j = k; j < n; j++)
                if (fabs(m[i * n + j]) > fabs(m[p * n + q]))
                    p = i, q = j;
        *determinant *= m[p * n + q] * ((p != k) == (q != k) ? 1.0 : -1.0);
        if (fabs(m[p * n + q]) <= 1e-9)
            return k;
        for (size_t j = 0; j < n; j++) {
            double swap = m[k * n + j];
            m[k * n + j] = m[p * n + j];
            m[p * n + j] = swap;
        }
        for (size_t i = 0; i < n; i++) {
            double swap = m[i * n + k];
            m[i * n + k] = m[i * n + q];
            m[i * n + q] = swap;
        }
        for (size_t i = k + 1; i < n; i++) {
            double factor = m[i * n + k] / m[k * n + k];
            for (size_t j = k; j < n; j++)
                m[i * n + j] -= factor * m[k * n + j];
        }
    }
    return n;
}

/* Columns made orthonormal one after another (twice, for the last bits): the Q of the QR whose R has a positive diagonal, by another way than LAPACK's. */
static void gram_schmidt(double *a, size_t n)
{
    for (size_t j = 0; j < n; j++)
        for (int pass = 0; pass < 2; pass++) {
            double energy = 0;
            for (size_t k = 0; k < j; k++) {
                double dot = 0;
                for (size_t i = 0; i < n; i++)
                    dot += a[i * n + k] * a[i * n + j];
                for (size_t i = 0; i < n; i++)
                    a[i * n + j] -= dot * a[i * n + k];
            }
            for (size_t i = 0; i < n; i++)
                energy += a[i * n + j] * a[i * n + j];
            for (size_t i = 0; i < n; i++)
                a[i * n + j] /= sqrt(energy);
        }
}

/* ---- haar ---- */

/* Q of its own normals with diag R > 0, by another algorithm; shared by the heads, or one per head. */
static void haar_is_the_signed_q(void **state)
{
    (void)state;
    static const size_t dims[] = {1, 2, 7, 64, 80};
    for (size_t k = 0; k < sizeof dims / sizeof *dims; k++)
        for (int per_head = 0; per_head < 2; per_head++) {
            size_t n = dims[k];
            gyre_site site = site_of(n, 0);
            gyre_transform *t = build("haar", &site, (settings){per_head ? "per=head" : "per=layer"});
            double *q = matrix_of(t), *g = malloc(n * n * sizeof *g);
            assert_non_null(g);
            drawn(g, n * n, &site, per_head != 0);
            gram_schmidt(g, n);
            for (size_t i = 0; i < n * n; i++)
                CHECK_CLOSE(q[i], g[i], 0, 1e-10);
            gyre_site other = site;
            other.head = 0;
            gyre_transform *u = build("haar", &other, (settings){per_head ? "per=head" : "per=layer"});
            double *r = matrix_of(u);
            if (n > 2)
                assert_int_equal(memcmp(q, r, n * n * sizeof *q) != 0, per_head);
            free(r);
            free(g);
            free(q);
            gyre_transform_free(u);
            gyre_transform_free(t);
        }
}

static void haar_is_orthogonal(void **state)
{
    (void)state;
    static const size_t dims[] = {64, 80, 96, 112, 128, 192, 256};
    for (size_t k = 0; k < sizeof dims / sizeof *dims; k++) {
        size_t n = dims[k];
        gyre_site site = site_of(n, 0);
        gyre_transform *t = build("haar", &site, NULL);
        double *q = matrix_of(t);
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b <= a; b++) {
                double dot = 0;
                for (size_t i = 0; i < n; i++)
                    dot += q[i * n + a] * q[i * n + b];
                CHECK_CLOSE(dot, a == b ? 1.0 : 0.0, 0, 1e-13);
            }
        assert_int_equal(gyre_transform_stored(t), 0);
        free(q);
        gyre_transform_free(t);
    }
    gyre_site large = site_of(5000, 0);
    refused("haar", &large, NULL, GYRE_E_APPLICABLE, "the head dimension 5000 is above 4096");
}

/* Moments of the uniform distribution on O(8) over 2000 seeds, within 4 standard errors. E Q_11^2 = 1/d with variance 2(d-1)/(d^2(d+2)); E tr Q = 0 with
 * variance 1; E (tr Q)^2 = 1 with variance 2. Without the signs of diag R, tr Q has a mean far from 0. */
static void haar_moments(void **state)
{
    (void)state;
    enum { N = 8, SEEDS = 2000 };
    double corner = 0, trace = 0, square = 0;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        gyre_site site = site_of(N, seed);
        gyre_transform *t = build("haar", &site, NULL);
        double *q = matrix_of(t), own = 0;
        for (size_t i = 0; i < N; i++)
            own += q[i * N + i];
        corner += q[0] * q[0] / SEEDS;
        trace += own / SEEDS;
        square += own * own / SEEDS;
        free(q);
        gyre_transform_free(t);
    }
    CHECK_CLOSE(corner, 1.0 / N, 0, 4.0 * sqrt(2.0 * (N - 1) / (N * N * (N + 2.0)) / SEEDS));
    CHECK_CLOSE(trace, 0.0, 0, 4.0 / sqrt(SEEDS));
    CHECK_CLOSE(square, 1.0, 0, 4.0 * sqrt(2.0 / SEEDS));
}

/* ---- kronecker ---- */

static void kronecker_is_the_product(void **state)
{
    (void)state;
    static const struct {
        size_t dim, a;
        const char *option;
    } rows[] = {{64, 8, "a=balanced"}, {80, 8, "a=balanced"}, {6, 2, "a=balanced"}, {80, 20, "a=20"}, {96, 3, "a=3"}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        size_t n = rows[k].dim, a = rows[k].a, b = n / a;
        gyre_site site = site_of(n, 2);
        gyre_transform *t = build("kronecker", &site, (settings){rows[k].option});
        double *m = matrix_of(t), *ma = malloc((a * a + b * b) * sizeof *ma), *mb = ma + a * a;
        assert_non_null(ma);
        drawn(ma, a * a + b * b, &site, false);
        gram_schmidt(ma, a);
        gram_schmidt(mb, b);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                CHECK_CLOSE(m[i * n + j], ma[i / b * a + j / b] * mb[i % b * b + j % b], 0, 1e-11);
        free(ma);
        free(m);
        gyre_transform_free(t);
    }
    gyre_site seven = site_of(7, 0), eighty = site_of(80, 0);
    refused("kronecker", &seven, NULL, GYRE_E_APPLICABLE, "the head dimension 7 is no product of two factors above 1");
    refused("kronecker", &eighty, (settings){"a=3"}, GYRE_E_APPLICABLE, "a = 3 is no proper divisor of the head dimension 80");
    refused("kronecker", &eighty, (settings){"a=80"}, GYRE_E_APPLICABLE, "a = 80 is no proper divisor of the head dimension 80");
}

/* ---- householder ---- */

static void householder_reflects(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        size_t k;
    } rows[] = {{"k=1", 1}, {"k=2", 2}, {"k=5", 5}, {"k=half", 12}, {"k=24", 24}};
    enum { N = 24 };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gyre_site site = site_of(N, 1);
        gyre_transform *t = build("householder", &site, (settings){rows[r].option});
        double *m = matrix_of(t), *rest = calloc(N * N, sizeof *rest), v[N * N], determinant, x[N], y[N];
        assert_non_null(rest);
        for (size_t i = 0; i < N * N; i++)
            rest[i] = (i % (N + 1) == 0 ? 1.0 : 0.0) - m[i];
        assert_int_equal(eliminate(rest, N, &determinant), rows[r].k); /* I - H reaches the span of the k vectors */
        assert_int_equal(eliminate(m, N, &determinant), N);
        CHECK_CLOSE(determinant, rows[r].k % 2 == 0 ? 1.0 : -1.0, 0, 1e-12);
        /* H_k ... H_1 x from the definition, H_1 first */
        drawn(v, rows[r].k * N, &site, false);
        for (size_t i = 0; i < N; i++)
            x[i] = y[i] = (double)i - 3.5;
        for (size_t j = 0; j < rows[r].k; j++) {
            double dot = 0, energy = 0;
            for (size_t i = 0; i < N; i++) {
                dot += v[j * N + i] * x[i];
                energy += v[j * N + i] * v[j * N + i];
            }
            for (size_t i = 0; i < N; i++)
                x[i] -= 2.0 * dot / energy * v[j * N + i];
        }
        t->type->forward_ref(t->state, y, 0);
        for (size_t i = 0; i < N; i++)
            CHECK_CLOSE(y[i], x[i], 0, 1e-12);
        /* the float path: reflectors up to k = d/4, the product beyond */
        float z[N], scratch[N];
        for (size_t i = 0; i < N; i++)
            z[i] = (float)i - 3.5f;
        gyre_transform_forward(t, z, 1, N, NULL, scratch);
        for (size_t i = 0; i < N; i++)
            CHECK_CLOSE((double)z[i], x[i], 0, 2e-5);
        gyre_transform_inverse(t, z, 1, N, NULL, scratch);
        for (size_t i = 0; i < N; i++)
            CHECK_CLOSE((double)z[i], (double)i - 3.5, 0, 2e-5);
        free(rest);
        free(m);
        gyre_transform_free(t);
    }
    gyre_site one = site_of(1, 0), eight = site_of(8, 0);
    refused("householder", &one, NULL, GYRE_E_APPLICABLE, "half of the head dimension 1 is no reflector");
    refused("householder", &eight, (settings){"k=9"}, GYRE_E_APPLICABLE, "k = 9 reflectors are more than the head dimension 8");
}

/* ---- butterfly, givens ---- */

static void butterfly_at_45_degrees(void **state)
{
    (void)state;
    for (size_t n = 2; n <= 256; n *= 2) {
        gyre_site site = site_of(n, 0);
        gyre_transform *t = build("butterfly", &site, (settings){"angles=hadamard"});
        double *m = matrix_of(t);
        for (size_t i = 0; i < n * n; i++)
            CHECK_CLOSE(fabs(m[i]), 1.0 / sqrt((double)n), 1e-14, 0);
        assert_false(t->traits.flags & GYRE_SEEDED);
        free(m);
        gyre_transform_free(t);
    }
}

/* Four coordinates by hand: stage 0 turns (0,1) and (2,3), stage 1 (0,2) and (1,3); givens is stage 0 alone. */
static void planar_stages(void **state)
{
    (void)state;
    gyre_site site = site_of(4, 5);
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_ANGLES, ORDINAL, false);
    static const size_t low[2][2] = {{0, 2}, {0, 1}}, high[2][2] = {{1, 3}, {2, 3}};
    const double start[4] = {1, -2, 3, 5};
    double want[4];
    memcpy(want, start, sizeof want);
    for (size_t s = 0; s < 2; s++) {
        for (size_t p = 0; p < 2; p++) {
            double angle = 2.0 * acos(-1.0) * gyre_random_uniform(&stream, (uint32_t)(2 * s + p)), a = want[low[s][p]], b = want[high[s][p]];
            want[low[s][p]] = cos(angle) * a - sin(angle) * b;
            want[high[s][p]] = sin(angle) * a + cos(angle) * b;
        }
        gyre_transform *t = build(s == 0 ? "givens" : "butterfly", &site, NULL);
        double x[4];
        float y[4] = {1, -2, 3, 5};
        memcpy(x, start, sizeof x);
        t->type->forward_ref(t->state, x, 0);
        gyre_transform_forward(t, y, 1, 4, NULL, NULL);
        for (size_t i = 0; i < 4; i++) {
            CHECK_CLOSE(x[i], want[i], 0, 1e-14);
            CHECK_CLOSE((double)y[i], want[i], 0, 2e-6);
        }
        gyre_transform_free(t);
    }
    gyre_site odd = site_of(63, 0), ninety_six = site_of(96, 0);
    refused("givens", &odd, NULL, GYRE_E_APPLICABLE, "the head dimension 63 is odd");
    refused("butterfly", &ninety_six, NULL, GYRE_E_APPLICABLE, "the head dimension 96 is not a power of two");
}

/* ---- rotor3, isoclinic4 ---- */

/* Axis and angle of the quaternion by Rodrigues' formula; determinant 1; the coordinates that are left over stay. */
static void rotors_rotate(void **state)
{
    (void)state;
    enum { N = 8 };
    gyre_site site = site_of(N, 0);
    gyre_transform *t = build("rotor3", &site, NULL);
    double *m = matrix_of(t), q[N], determinant;
    float x[N] = {1, 2, 3, 4, 5, 6, 7, 8};
    drawn(q, 8, &site, false);
    for (size_t b = 0; b < 2; b++) {
        double *w = q + 4 * b, axis[3], length = sqrt(w[1] * w[1] + w[2] * w[2] + w[3] * w[3]), angle = 2.0 * atan2(length, w[0]);
        for (size_t i = 0; i < 3; i++)
            axis[i] = w[i + 1] / length;
        for (size_t j = 0; j < 3; j++) {
            double e[3] = {0}, cross[3];
            e[j] = 1.0;
            cross[0] = axis[1] * e[2] - axis[2] * e[1];
            cross[1] = axis[2] * e[0] - axis[0] * e[2];
            cross[2] = axis[0] * e[1] - axis[1] * e[0];
            for (size_t i = 0; i < 3; i++)
                CHECK_CLOSE(m[(3 * b + i) * N + 3 * b + j], e[i] * cos(angle) + cross[i] * sin(angle) + axis[i] * axis[j] * (1.0 - cos(angle)), 0, 1e-14);
        }
    }
    gyre_transform_forward(t, x, 1, N, NULL, NULL);
    assert_true(x[6] == 7.0f && x[7] == 8.0f && x[0] != 1.0f);
    assert_int_equal(eliminate(m, N, &determinant), N);
    CHECK_CLOSE(determinant, 1.0, 0, 1e-13);
    free(m);
    gyre_transform_free(t);
    gyre_site two = site_of(2, 0);
    refused("rotor3", &two, NULL, GYRE_E_APPLICABLE, "the head dimension 2 is below 3");
}

static void hamilton(const double a[4], const double b[4], double p[4])
{
    static const int unit[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}}, sign[4][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}, {1, -1, -1, 1}, {1, 1, -1, -1}};
    memset(p, 0, 4 * sizeof *p);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            p[unit[i][j]] += sign[i][j] * a[i] * b[j];
}

/* Left products commute with right products; full is fast and then conj(q_R) on the right, with the same q_L; both have determinant 1. */
static void isoclinic_blocks(void **state)
{
    (void)state;
    enum { N = 8 };
    gyre_site site = site_of(N, 0);
    gyre_transform *fast = build("isoclinic4", &site, (settings){"form=fast"}), *full = build("isoclinic4", &site, (settings){"form=full"});
    const double v[4] = {0.3, -1.2, 2.0, 0.7}, r[4] = {-0.5, 0.1, 0.9, -2.0};
    double q[2 * N], x[N] = {0}, y[N] = {0}, z[4], determinant;
    drawn(q, 2 * N, &site, false);
    for (size_t b = 0; b < 2; b++) {
        double product[4], right[4], length[2] = {0};
        for (size_t i = 0; i < 4; i++) {
            length[0] += q[4 * b + i] * q[4 * b + i];
            length[1] += q[N + 4 * b + i] * q[N + 4 * b + i];
        }
        for (size_t i = 0; i < 4; i++)
            right[i] = (i == 0 ? 1.0 : -1.0) * q[N + 4 * b + i] / sqrt(length[1]);
        hamilton(v, r, product);
        memcpy(x + 4 * b, product, sizeof product);
        memcpy(y + 4 * b, v, sizeof v);
        fast->type->forward_ref(fast->state, x, 0);
        fast->type->forward_ref(fast->state, y, 0);
        hamilton(y + 4 * b, r, z);
        for (size_t i = 0; i < 4; i++)
            CHECK_CLOSE(x[4 * b + i], z[i], 0, 1e-14);
        hamilton(q + 4 * b, v, z);
        for (size_t i = 0; i < 4; i++)
            CHECK_CLOSE(y[4 * b + i], z[i] / sqrt(length[0]), 0, 1e-14);
        hamilton(y + 4 * b, right, z);
        memcpy(y + 4 * b, v, sizeof v);
        full->type->forward_ref(full->state, y, 0);
        for (size_t i = 0; i < 4; i++)
            CHECK_CLOSE(y[4 * b + i], z[i], 0, 1e-14);
        memset(x, 0, sizeof x);
        memset(y, 0, sizeof y);
    }
    for (size_t i = 0; i < 2; i++) {
        double *m = matrix_of(i == 0 ? fast : full);
        assert_int_equal(eliminate(m, N, &determinant), N);
        CHECK_CLOSE(determinant, 1.0, 0, 1e-13);
        free(m);
    }
    gyre_transform_free(fast);
    gyre_transform_free(full);
    gyre_site seven = site_of(7, 0);
    refused("isoclinic4", &seven, NULL, GYRE_E_APPLICABLE, "the head dimension 7 is no multiple of 4");
}

/* ---- permutation ---- */

static void permutations_of_channels(void **state)
{
    (void)state;
    enum { N = 8 };
    gyre_site site = site_of(N, 0);
    gyre_error error;
    gyre_transform *zigzag = build("permutation", &site, (settings){"kind=zigzag", "block=4"});
    /* largest magnitudes 3 8 1 8 5 2 7 0: ranks 1 3 6 4 0 5 2 7, dealt to two blocks as 1|3, 4|6, 0|5, 7|2 */
    const float rows[2 * N] = {-3, 8, 0, -1, 5, 2, 6, 0, 1, 0, -1, -8, 2, 0, -7, 0}, want[N] = {1, 4, 0, 7, 3, 6, 5, 2};
    CHECK_OK(zigzag->type->fit(zigzag->state, &(gyre_fit_rows){.x = rows, .n = 2, .stride = N}, &error), &error);
    float x[N] = {0, 1, 2, 3, 4, 5, 6, 7}, scratch[MOST];
    gyre_transform_forward(zigzag, x, 1, N, NULL, scratch);
    assert_memory_equal(x, want, sizeof x);
    gyre_transform_inverse(zigzag, x, 1, N, NULL, scratch);
    for (size_t i = 0; i < N; i++)
        assert_true(x[i] == (float)i);
    assert_int_equal(gyre_transform_stored(zigzag), 1); /* 8 indices of 3 bits */
    assert_true(zigzag->traits.pooled && zigzag->traits.needs == GYRE_NEEDS_CALIBRATION && !(zigzag->traits.flags & GYRE_SEEDED));
    assert_int_equal(zigzag->type->fit(zigzag->state, &(gyre_fit_rows){.x = rows, .n = 0, .stride = N}, &error), GYRE_E_INPUT);
    gyre_transform_free(zigzag);
    gyre_site large = site_of(128, 0);
    gyre_transform *more = build("permutation", &large, (settings){"kind=zigzag", "per=head"}), *random = build("permutation", &large, NULL);
    assert_int_equal(gyre_transform_stored(more), 28); /* 128 indices of 7 bits */
    assert_true(!more->traits.pooled && !random->traits.pooled && random->traits.needs == 0 && (random->traits.flags & GYRE_SEEDED));
    assert_int_equal(gyre_transform_stored(random), 0);
    uint32_t from[128];
    float y[128];
    gyre_random stream = gyre_random_stream(&large, GYRE_PURPOSE_PERMUTATION, ORDINAL, false);
    gyre_random_permutation(&stream, from, 128);
    for (size_t i = 0; i < 128; i++)
        y[i] = (float)i;
    gyre_transform_forward(random, y, 1, 128, NULL, scratch);
    for (size_t i = 0; i < 128; i++)
        assert_true(y[i] == (float)from[i]);
    gyre_transform_free(more);
    gyre_transform_free(random);
    refused("permutation", &site, (settings){"kind=zigzag", "block=3"}, GYRE_E_APPLICABLE, "the head dimension 8 is no multiple of block = 3");
}

/* ---- smooth ---- */

static void smooth_by_hand(void **state)
{
    (void)state;
    gyre_site site = site_of(4, 0);
    gyre_error error;
    const float rows[8] = {4, 0, -9, 1, -2, 0, 3, 16};
    static const struct {
        const char *options[SETTINGS];
        double lambda[4];
        size_t stored;
    } cases[] = {{{NULL}, {0.5, 1, 1.0 / 3, 0.25}, 4},
                 {{"pairs=true"}, {1.0 / 3, 0.25, 1.0 / 3, 0.25}, 2},
                 {{"alpha=0"}, {1, 1, 1, 1}, 4},
                 {{"alpha=1", "per=head"}, {0.25, 1, 1.0 / 9, 1.0 / 16}, 4}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        gyre_transform *t = build("smooth", &site, cases[c].options);
        float x[4] = {1, 1, 1, 1};
        CHECK_OK(t->type->fit(t->state, &(gyre_fit_rows){.x = rows, .n = 2, .stride = 4}, &error), &error);
        gyre_transform_forward(t, x, 1, 4, NULL, NULL);
        for (size_t i = 0; i < 4; i++)
            assert_true(x[i] == (float)cases[c].lambda[i]);
        gyre_transform_inverse(t, x, 1, 4, NULL, NULL);
        for (size_t i = 0; i < 4; i++)
            assert_true(x[i] == 1.0f);
        assert_int_equal(gyre_transform_stored(t), cases[c].stored);
        assert_int_equal(t->traits.pooled, c != 3);
        assert_int_equal(t->type->fit(t->state, &(gyre_fit_rows){.x = rows, .n = 0, .stride = 4}, &error), GYRE_E_INPUT);
        assert_non_null(strstr(error.message, "smooth has no calibration rows"));
        gyre_transform_free(t);
    }
}

/* One lambda for a RoPE pair: smoothing before the rotation is undone or after it is the same, which it is not without pairs. */
static void smooth_pairs_commute_with_rope(void **state)
{
    (void)state;
    enum { N = 64 };
    gyre_rope rope = {.kind = GYRE_ROPE_NEOX, .n_rot = N, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f};
    gyre_site site = site_of(N, 0);
    gyre_error error;
    float rows[8 * N], scratch[N];
    const int32_t pos[1] = {77};
    site.rope = &rope;
    normals(rows, 8 * N, 3);
    for (int pairs = 0; pairs < 2; pairs++) {
        gyre_transform *smooth = build("smooth", &site, (settings){pairs ? "pairs=true" : "pairs=false"}), *unrope = build("unrope", &site, NULL);
        CHECK_OK(smooth->type->fit(smooth->state, &(gyre_fit_rows){.x = rows, .n = 8, .stride = N}, &error), &error);
        float x[N], y[N];
        double off = 0;
        memcpy(x, rows, sizeof x);
        memcpy(y, rows, sizeof y);
        gyre_transform_forward(smooth, x, 1, N, pos, scratch);
        gyre_transform_forward(unrope, x, 1, N, pos, scratch);
        gyre_transform_forward(unrope, y, 1, N, pos, scratch);
        gyre_transform_forward(smooth, y, 1, N, pos, scratch);
        for (size_t i = 0; i < N; i++)
            off = fmax(off, fabs((double)(x[i] - y[i])));
        assert_true(pairs ? off < 1e-6 : off > 1e-3);
        gyre_transform_free(smooth);
        gyre_transform_free(unrope);
    }
    rope.n_rot = 32;
    refused("smooth", &site, (settings){"pairs=true"}, GYRE_E_APPLICABLE, "partial rotary embedding: 32 of 64");
    rope.kind = GYRE_ROPE_NORMAL;
    refused("smooth", &site, (settings){"pairs=true"}, GYRE_E_APPLICABLE, "take order: half_split");
    gyre_site odd = site_of(63, 0);
    refused("smooth", &odd, (settings){"pairs=true"}, GYRE_E_APPLICABLE, "the head dimension 63 is odd");
}

/* ---- dense ---- */

typedef struct matrices {
    char folder[32], path[64], option[72];
    gyre_site site;
} matrices;

static void start_files(matrices *f, size_t dim)
{
    *f = (matrices){.folder = "/tmp/gyre-dense-XXXXXX", .site = site_of(dim, 0)};
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof f->path, "%s/m.h5", f->folder);
    (void)snprintf(f->option, sizeof f->option, "file=%s", f->path);
}

static void end_files(const matrices *f)
{
    assert_int_equal(remove(f->path), 0);
    assert_int_equal(remove(f->folder), 0);
}

static void put(const matrices *f, const char *name, int rank, const hsize_t *dims, const double *values, size_t n_layers, const uint32_t *layers)
{
    gyre_error error;
    hid_t file;
    CHECK_OK(gyre_h5_create(f->path, &file, &error), &error);
    CHECK_OK(gyre_h5_write(file, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, rank, dims, NULL, values, &error), &error);
    if (n_layers > 0)
        CHECK_OK(gyre_h5_write(file, "layer", H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, (const hsize_t[1]){n_layers}, NULL, layers, &error), &error);
    CHECK_OK(gyre_h5_close(&file, f->path, &error), &error);
}

static void put_square(const matrices *f, const double *values)
{
    put(f, "matrix", 2, (const hsize_t[2]){f->site.dim, f->site.dim}, values, 0, NULL);
}

/* A matrix of normals, or the Q of one. */
static double *some_matrix(size_t n, bool orthogonal, uint32_t seed)
{
    gyre_site site = site_of(n, seed);
    double *m = malloc(n * n * sizeof *m);
    assert_non_null(m);
    drawn(m, n * n, &site, false);
    if (orthogonal)
        gram_schmidt(m, n);
    return m;
}

/* y = M x entry by entry, and back by the float path. */
static void check_dense(const gyre_transform *t, const double *m, double tolerance)
{
    enum { ROWS = 3 };
    size_t n = t->dim;
    float x[ROWS * MOST], y[ROWS * MOST], scratch[MOST];
    normals(x, ROWS * n, 8);
    memcpy(y, x, ROWS * n * sizeof *x);
    gyre_transform_forward(t, y, ROWS, n, NULL, scratch);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += m[i * n + j] * (double)x[r * n + j];
            CHECK_CLOSE((double)y[r * n + i], sum, 1e-5, 1e-5);
        }
    gyre_transform_inverse(t, y, ROWS, n, NULL, scratch);
    for (size_t i = 0; i < ROWS * n; i++)
        CHECK_CLOSE((double)y[i], (double)x[i], 0, tolerance);
}

static void dense_round_trip(void **state)
{
    (void)state;
    enum { N = 80 };
    matrices f;
    start_files(&f, N);
    double *q = some_matrix(N, true, 0), *m = some_matrix(N, false, 1);
    put_square(&f, q);
    gyre_transform *t = build("dense", &f.site, (settings){f.option});
    check_dense(t, q, 1e-5);
    assert_true(t->traits.flags & GYRE_ORTHOGONAL);
    assert_int_equal(gyre_transform_stored(t), N * N / 2); /* shared by two heads */
    gyre_transform_free(t);
    put_square(&f, m);
    t = build("dense", &f.site, (settings){f.option, "orthogonal=false"});
    check_dense(t, m, 1e-2); /* condition numbers of a few hundred */
    assert_false(t->traits.flags & GYRE_ORTHOGONAL);
    double x[N], y[N];
    for (size_t i = 0; i < N; i++)
        x[i] = y[i] = m[i];
    t->type->forward_ref(t->state, x, 0);
    t->type->inverse_ref(t->state, x, 0);
    for (size_t i = 0; i < N; i++)
        CHECK_CLOSE(x[i], y[i], 0, 1e-10);
    gyre_transform_free(t);
    free(q);
    free(m);
    end_files(&f);
}

/* [layer, head, d, d]: each head gets its own; k is not for v. */
static void dense_picks_its_matrix(void **state)
{
    (void)state;
    enum { N = 8, LAYERS = 2, HEADS = 2 };
    static const uint32_t layers[LAYERS] = {5, 3};
    matrices f;
    start_files(&f, N);
    double all[LAYERS * HEADS * N * N];
    for (uint32_t k = 0; k < LAYERS * HEADS; k++) {
        double *q = some_matrix(N, true, k);
        memcpy(all + k * N * N, q, N * N * sizeof *q);
        free(q);
    }
    put(&f, "k", 4, (const hsize_t[4]){LAYERS, HEADS, N, N}, all, LAYERS, layers);
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t h = 0; h < HEADS; h++) {
            f.site.layer = layers[l];
            f.site.head = (uint32_t)h;
            gyre_transform *t = build("dense", &f.site, (settings){f.option});
            double *m = matrix_of(t);
            assert_memory_equal(m, all + (l * HEADS + h) * N * N, N * N * sizeof *m);
            assert_int_equal(gyre_transform_stored(t), N * N);
            free(m);
            gyre_transform_free(t);
        }
    f.site.layer = 4;
    refused("dense", &f.site, (settings){f.option}, GYRE_E_INPUT, "has no matrix for layer 4");
    f.site.n_heads = 3;
    refused("dense", &f.site, (settings){f.option}, GYRE_E_INPUT, "has matrices for 2 heads, the layer has 3");
    f.site.stream = GYRE_V;
    refused("dense", &f.site, (settings){f.option}, GYRE_E_INPUT, "has neither a dataset v nor a dataset matrix");
    end_files(&f);
}

static void dense_refuses(void **state)
{
    (void)state;
    enum { N = 8 };
    matrices f;
    start_files(&f, N);
    double *q = some_matrix(N, true, 0), first = q[0];
    settings plain = {f.option}, general = {f.option, "orthogonal=false"};
    put(&f, "matrix", 2, (const hsize_t[2]){N / 2, 2 * N}, q, 0, NULL);
    refused("dense", &f.site, plain, GYRE_E_INPUT, "the matrices of matrix are 4 x 16, but the head dimension is 8");
    put(&f, "matrix", 1, (const hsize_t[1]){N * N}, q, 0, NULL);
    refused("dense", &f.site, plain, GYRE_E_INPUT, "has 1 dimensions; [d, d] or [layer, head, d, d] is wanted");
    put(&f, "k", 4, (const hsize_t[4]){1, 1, N, N}, q, 0, NULL);
    f.site.n_heads = 1;
    f.site.head = 0;
    refused("dense", &f.site, plain, GYRE_E_INPUT, "the dataset layer is missing");
    q[0] = NAN;
    put_square(&f, q);
    refused("dense", &f.site, plain, GYRE_E_NAN, "entry (0, 0) of matrix is not a finite float32");
    q[0] = 1e300;
    put_square(&f, q);
    refused("dense", &f.site, general, GYRE_E_NAN, "is not a finite float32");
    q[0] = first * (1.0 + 1e-3);
    put_square(&f, q);
    refused("dense", &f.site, plain, GYRE_E_INPUT, "the matrix of layer 3, head 0 is not orthogonal: an entry of M'M - I is ");
    q[0] = first + 1e-7;
    put_square(&f, q);
    gyre_transform_free(build("dense", &f.site, plain)); /* as exact as float32 */
    for (size_t i = 0; i < N; i++)
        q[i] = 0;
    put_square(&f, q);
    refused("dense", &f.site, general, GYRE_E_INPUT, "m.h5, layer 3, head 0: the matrix is singular");
    for (size_t i = 0; i < N * N; i++)
        q[i] = i % (N + 1) == 0 ? 1.0 : 0.0;
    q[0] = 1e-12;
    put_square(&f, q);
    refused("dense", &f.site, general, GYRE_E_INPUT, "its reciprocal condition number is 1e-12, at least 1e-10 is wanted");
    FILE *text = fopen(f.path, "wb");
    assert_non_null(text);
    assert_true(fputs("no HDF5", text) >= 0);
    assert_int_equal(fclose(text), 0);
    refused("dense", &f.site, plain, GYRE_E_INPUT, "not a readable HDF5 file");
    free(q);
    end_files(&f);
    gyre_transform *t;
    gyre_error error;
    gyre_option_values values = {0};
    char why[GYRE_OPTION_TEXT];
    const gyre_transform_type *type = gyre_transform_find("dense");
    assert_false(gyre_options_defaults(type->options, &values)); /* file is required */
    assert_int_equal(gyre_transform_new(type, &f.site, 0, &values, &t, &error), GYRE_E_IO);
    assert_false(gyre_option_parse(type->options, &values, f.path, why));
    assert_non_null(strstr(why, "cannot be read: No such file"));
}

/* Between the configuration and the cell the file must stay what it was; a chain's canonical text holds the contents, not the path. */
static void dense_follows_the_contents(void **state)
{
    (void)state;
    enum { N = 8 };
    matrices f;
    start_files(&f, N);
    double *q = some_matrix(N, true, 0);
    gyre_option_values values = {0};
    gyre_chain_spec spec = {0};
    gyre_transform *t;
    gyre_error error;
    char text[GYRE_CHAIN_TEXT], want[GYRE_CHAIN_TEXT], hex[GYRE_SHA256_HEX], why[GYRE_OPTION_TEXT];
    const gyre_transform_type *type = gyre_transform_find("dense");
    put_square(&f, q);
    (void)gyre_options_defaults(type->options, &values);
    assert_true(gyre_option_parse(type->options, &values, f.path, why));
    for (size_t i = 0; i < GYRE_CHAIN_MOST; i++)
        CHECK_OK(gyre_chain_add(&spec, type, &values, &error), &error);
    gyre_chain_canonical(&spec, text, sizeof text);
    CHECK_OK(gyre_sha256_file(f.path, hex, &error), &error);
    size_t used = 0;
    for (size_t i = 0; i < GYRE_CHAIN_MOST; i++)
        used += (size_t)snprintf(want + used, sizeof want - used, "%sdense(file=sha256:%s,orthogonal=true)", i == 0 ? "[" : ",", hex);
    (void)snprintf(want + used, sizeof want - used, "]");
    assert_string_equal(text, want); /* the longest chain has room */
    q[0] += 1e-9;
    put_square(&f, q);
    assert_int_equal(gyre_transform_new(type, &f.site, 0, &values, &t, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "changed since the configuration was read"));
    free(q);
    end_files(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(haar_is_the_signed_q),
        cmocka_unit_test(haar_is_orthogonal),
        cmocka_unit_test(haar_moments),
        cmocka_unit_test(kronecker_is_the_product),
        cmocka_unit_test(householder_reflects),
        cmocka_unit_test(butterfly_at_45_degrees),
        cmocka_unit_test(planar_stages),
        cmocka_unit_test(rotors_rotate),
        cmocka_unit_test(isoclinic_blocks),
        cmocka_unit_test(permutations_of_channels),
        cmocka_unit_test(smooth_by_hand),
        cmocka_unit_test(smooth_pairs_commute_with_rope),
        cmocka_unit_test(dense_round_trip),
        cmocka_unit_test(dense_picks_its_matrix),
        cmocka_unit_test(dense_refuses),
        cmocka_unit_test(dense_follows_the_contents),
    };
    gyre_h5_quiet();
    return cmocka_run_group_tests_name("transforms_blocks", tests, NULL, NULL);
}
