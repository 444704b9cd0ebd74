/* The Hadamard and Fourier families: what the papers and the algebra say of them, and known answers that NumPy and SciPy gave. */
#include "tests/check.h"

#include "tests/golden/transforms.h"
#include "transforms/chain.h"

enum { DIM_MOST = 576 };

static const size_t heads[] = {64, 80, 96, 112, 128, 192, 256, 320, 576}; /* head dimensions of models, and of two heads together */
enum { N_HEADS = sizeof heads / sizeof *heads };

static gyre_site place(size_t dim)
{
    return (gyre_site){.dim = dim, .stream = GYRE_V, .layer = 5, .head = 2, .n_heads = 4, .campaign_seed = 77, .seed_index = 3};
}

/* A variant with its defaults and at most one option set; *status where the caller wants the refusal. */
static gyre_transform *make(const char *name, const char *option, const char *value, size_t dim, gyre_status *status, gyre_error *error)
{
    const gyre_transform_type *type = gyre_transform_find(name);
    gyre_option_values values = {0};
    gyre_transform *t = NULL;
    assert_non_null(type);
    assert_true(gyre_options_defaults(type->options, &values));
    if (option[0])
        assert_true(gyre_option_parse(gyre_option_find(type->options, option), &values, value, NULL));
    gyre_site site = place(dim);
    *status = gyre_transform_new(type, &site, 1, &values, &t, error);
    return t;
}

static gyre_transform *made(const char *name, const char *option, const char *value, size_t dim)
{
    gyre_error error = {0};
    gyre_status status;
    gyre_transform *t = make(name, option, value, dim, &status, &error);
    CHECK_OK(status, &error);
    return t;
}

/* The matrix, column by column in memory: q[j * dim + i] is entry (i, j). */
static double *matrix(const gyre_transform *t, bool inverse)
{
    double *q = calloc(t->dim * t->dim, sizeof *q);
    assert_non_null(q);
    for (size_t j = 0; j < t->dim; j++) {
        q[j * t->dim + j] = 1.0;
        (inverse ? t->type->inverse_ref : t->type->forward_ref)(t->state, q + j * t->dim, 0);
    }
    return q;
}

static double largest(const double *q, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(q[i]));
    return most;
}

static double coherence_of(const char *name, const char *option, const char *value, size_t dim)
{
    gyre_transform *t = made(name, option, value, dim);
    double *q = matrix(t, false), most = largest(q, dim * dim) * sqrt((double)dim);
    free(q);
    gyre_transform_free(t);
    return most;
}

/* One row through the float path. */
static void run(const gyre_transform *t, float *x, bool inverse)
{
    void *scratch = aligned_alloc(64, (gyre_transform_scratch(t) + 127) / 64 * 64);
    assert_non_null(scratch);
    (inverse ? gyre_transform_inverse : gyre_transform_forward)(t, x, 1, t->dim, NULL, scratch);
    free(scratch);
}

static void known_answers(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof goldens / sizeof *goldens; g++) {
        const golden *want = &goldens[g];
        gyre_transform *t = made(want->name, want->option, want->value, want->dim);
        double x[GOLDEN_DIM_MOST];
        float y[GOLDEN_DIM_MOST];
        for (size_t i = 0; i < want->dim; i++)
            y[i] = (float)(x[i] = sin((double)(1 + i * i)));
        t->type->forward_ref(t->state, x, 0);
        run(t, y, false);
        for (size_t i = 0; i < want->dim; i++) {
            if (!(fabs(x[i] - want->y[i]) <= 1e-13))
                fail_msg("%s %s d=%zu: y_%zu is %.17g, not %.17g", want->name, want->value, want->dim, i, x[i], want->y[i]);
            CHECK_CLOSE((double)y[i], want->y[i], 0, 2e-6);
        }
        gyre_transform_free(t);
    }
}

/* max |T_ij| sqrt(d): 1 for Hadamard over the whole row, sqrt(d / block) in blocks, sqrt2 for the packed Fourier transform, closed values for the rest. */
static void coherence(void **state)
{
    (void)state;
    const double pi = acos(-1.0);
    for (size_t h = 0; h < N_HEADS; h++) {
        size_t d = heads[h], largest_block = d & (~d + 1);
        bool power = largest_block == d;
        if (power)
            CHECK_CLOSE(coherence_of("hadamard", "form", "sylvester", d), 1.0, 1e-14, 0);
        if (power || d == 80 || d == 96 || d == 192 || d == 320)
            CHECK_CLOSE(coherence_of("hadamard", "form", "kronecker", d), 1.0, 1e-14, 0);
        CHECK_CLOSE(coherence_of("hadamard", "form", "blocks", d), sqrt((double)(d / largest_block)), 1e-14, 0);
        CHECK_CLOSE(coherence_of("bdr", "block", "16", d), sqrt((double)d / 16.0), 1e-14, 0);
        if (d > 192)
            continue; /* d^3 sines below */
        CHECK_CLOSE(coherence_of("rfft", "", "", d), sqrt(2.0), 1e-14, 0);
        assert_true(coherence_of("rffthash", "", "", d) <= sqrt(2.0) * (1 + 1e-14));
    }
    /* how near a multiple of 2 pi / d comes to pi / 4 modulo pi */
    for (size_t d = 8; d <= 80; d++) {
        double away = d % 2 != 0 ? pi / (4.0 * (double)d) : d % 8 == 0 ? 0.0 : d % 4 == 0 ? pi / (double)d : pi / (2.0 * (double)d);
        CHECK_CLOSE(coherence_of("dht", "", "", d), sqrt(2.0) * cos(away), 1e-13, 0);
        CHECK_CLOSE(coherence_of("dct", "", "", d), sqrt(2.0) * ((d & (d - 1)) == 0 ? cos(pi / (2.0 * (double)d)) : 1.0), 1e-13, 0);
        if (d % 2 == 0)
            CHECK_CLOSE(coherence_of("rfft", "", "", d), sqrt(2.0), 1e-13, 0);
    }
}

/* Outputs that a spike at `at` reaches. */
static size_t reach(const char *name, const char *option, const char *value, size_t dim, size_t at)
{
    gyre_transform *t = made(name, option, value, dim);
    double x[DIM_MOST] = {0};
    size_t reached = 0;
    x[at] = 1.0;
    t->type->forward_ref(t->state, x, 0);
    for (size_t i = 0; i < dim; i++)
        reached += fabs(x[i]) > 1e-12;
    gyre_transform_free(t);
    return reached;
}

/* A spike at 0, d/4 or d/2 misses nearly half of rfft's outputs; signs cannot repair it. */
static void spikes(void **state)
{
    (void)state;
    for (size_t h = 0; h < N_HEADS; h++) {
        size_t d = heads[h];
        for (size_t at = 0; at <= d / 2; at += d / 4) {
            assert_int_equal(reach("rfft", "", "", d, at), d / 2 + 1);
            assert_int_equal(reach("hadamard", "form", "blocks", d, at), d & (~d + 1));
            assert_int_equal(reach("bdr", "block", "16", d, at), 16);
        }
        assert_int_equal(reach("rfft", "", "", d, 1), d - 1); /* all but cos(pi/2) */
    }
}

/* Whole-row Hadamard matrices: entries +-1 and H H' = d I, in integers. */
static void hadamard_in_integers(void **state)
{
    (void)state;
    static const size_t orders[] = {1, 2, 12, 20, 24, 40, 80, 96, 128};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        size_t d = orders[o];
        gyre_transform *t = made("hadamard", "form", "kronecker", d);
        double *q = matrix(t, false);
        int h[128][128];
        for (size_t j = 0; j < d; j++)
            for (size_t i = 0; i < d; i++) {
                h[i][j] = q[j * d + i] > 0 ? 1 : -1;
                CHECK_CLOSE(q[j * d + i] * sqrt((double)d), (double)h[i][j], 1e-14, 0);
            }
        for (size_t a = 0; a < d; a++)
            for (size_t b = 0; b < d; b++) {
                int dot = 0;
                for (size_t j = 0; j < d; j++)
                    dot += h[a][j] * h[b][j];
                assert_int_equal(dot, a == b ? (int)d : 0);
            }
        free(q);
        gyre_transform_free(t);
    }
}

/* H_12 and H_20 as the page has them: skew but for the diagonal, and their second rows by the squares modulo 11 (1 3 4 5 9) and 19 (1 4 5 6 7 9 11 16 17). */
static void paley_matrices(void **state)
{
    (void)state;
    static const char *const second[] = {"-+-+---+++-+", "-+-++----+-+-++++--+"};
    for (size_t m = 0; m < 2; m++) {
        size_t p = m == 0 ? 12 : 20;
        gyre_transform *t = made("hadamard", "form", "kronecker", p);
        double *q = matrix(t, false), *back = matrix(t, true), root = sqrt((double)p);
        for (size_t j = 0; j < p; j++) {
            CHECK_CLOSE(q[j * p], 1 / root, 1e-15, 0);
            CHECK_CLOSE(q[j * p + 1], (second[m][j] == '+' ? 1 : -1) / root, 1e-15, 0);
            for (size_t i = 0; i < p; i++) {
                CHECK_CLOSE(q[j * p + i] + q[i * p + j], i == j ? 2 / root : 0.0, 1e-15, 1e-15);
                CHECK_CLOSE(back[j * p + i], q[i * p + j], 1e-15, 0);
            }
        }
        free(q);
        free(back);
        gyre_transform_free(t);
    }
}

/* Order of the factors: entry (a 2^k + b, c 2^k + e) is (H_p)_ac (H_{2^k})_be. */
static void kronecker_order(void **state)
{
    (void)state;
    gyre_transform *whole = made("hadamard", "form", "kronecker", 80), *slow = made("hadamard", "form", "kronecker", 20), *fast = made("hadamard", "", "", 4);
    double *w = matrix(whole, false), *s = matrix(slow, false), *f = matrix(fast, false);
    for (size_t j = 0; j < 80; j++)
        for (size_t i = 0; i < 80; i++)
            CHECK_CLOSE(w[j * 80 + i], s[j / 4 * 20 + i / 4] * f[j % 4 * 4 + i % 4], 1e-14, 0);
    free(w);
    free(s);
    free(f);
    gyre_transform_free(whole);
    gyre_transform_free(slow);
    gyre_transform_free(fast);
}

/* Forms that name the same matrix give the same bits. */
static void equal_forms(void **state)
{
    (void)state;
    static const struct {
        size_t dim;
        const char *a[3], *b[3];
    } pairs[] = {
        {128, {"hadamard", "", ""}, {"hadamard", "form", "kronecker"}}, {64, {"hadamard", "", ""}, {"hadamard", "form", "blocks"}},
        {64, {"hadamard", "", ""}, {"bdr", "block", "64"}},             {80, {"hadamard", "form", "blocks"}, {"bdr", "", ""}},
        {96, {"hadamard", "form", "blocks"}, {"bdr", "block", "32"}},   {6, {"hadamard", "form", "blocks"}, {"bdr", "block", "2"}},
    };
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        float x[128], y[128];
        size_t d = pairs[p].dim;
        gyre_transform *a = made(pairs[p].a[0], pairs[p].a[1], pairs[p].a[2], d), *b = made(pairs[p].b[0], pairs[p].b[1], pairs[p].b[2], d);
        normals(x, d, 31);
        memcpy(y, x, d * sizeof *x);
        run(a, x, false);
        run(b, y, false);
        assert_memory_equal(x, y, d * sizeof *x);
        run(a, x, true);
        run(b, y, true);
        assert_memory_equal(x, y, d * sizeof *x);
        gyre_transform_free(a);
        gyre_transform_free(b);
    }
}

/* The cosine transform's first row is constant; Hartley's matrix is symmetric and its own inverse, in both paths. */
static void cosine_and_hartley(void **state)
{
    (void)state;
    for (size_t h = 0; h < N_HEADS + 2; h++) {
        size_t d = h < N_HEADS ? heads[h] : h == N_HEADS ? 2 : 63;
        gyre_transform *cosine = made("dct", "", "", d), *hartley = made("dht", "", "", d);
        double x[DIM_MOST] = {0}, twice[DIM_MOST];
        float f[DIM_MOST], g[DIM_MOST];
        for (size_t j = 0; j < d; j++)
            x[j] = 1.0;
        cosine->type->forward_ref(cosine->state, x, 0);
        for (size_t k = 0; k < d; k++)
            CHECK_CLOSE(x[k], k == 0 ? sqrt((double)d) : 0.0, 1e-13, 1e-13);
        memset(x, 0, sizeof x);
        x[0] = 1.0; /* back from y_0 alone: the first row */
        cosine->type->inverse_ref(cosine->state, x, 0);
        for (size_t j = 0; j < d; j++)
            CHECK_CLOSE(x[j], 1.0 / sqrt((double)d), 1e-14, 0);
        normals(f, d, 37);
        for (size_t i = 0; i < d; i++) {
            g[i] = f[i];
            twice[i] = (double)f[i];
        }
        for (int round = 0; round < 2; round++) {
            hartley->type->forward_ref(hartley->state, twice, 0);
            run(hartley, g, false);
        }
        for (size_t i = 0; i < d; i++) {
            CHECK_CLOSE(twice[i], (double)f[i], 0, 1e-12);
            CHECK_CLOSE((double)g[i], (double)f[i], 0, 4e-6);
        }
        gyre_transform_free(cosine);
        gyre_transform_free(hartley);
    }
}

/* rffthash from its page: phases by the random stream, DFT of the pairs; the energies of all pairs add up to what they were, and every 2 x 2 block is a rotation
 * of 1/sqrt(h). At d = 2 it is one rotation. */
static void complex_pairs(void **state)
{
    (void)state;
    const double pi = acos(-1.0);
    static const size_t dims[] = {2, 6, 64, 80, 112};
    for (size_t n = 0; n < sizeof dims / sizeof *dims; n++) {
        size_t d = dims[n], h = d / 2;
        gyre_site site = place(d);
        for (int per_head = 0; per_head < 2; per_head++) {
            gyre_transform *t = made("rffthash", "per", per_head ? "head" : "layer", d);
            gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_ANGLES, 1, per_head);
            double *q = matrix(t, false), x[DIM_MOST], before = 0, after = 0;
            float row[DIM_MOST];
            for (size_t j = 0; j < h; j++)
                for (size_t k = 0; k < h; k++) {
                    double angle = 2 * pi * (gyre_random_uniform(&stream, (uint32_t)j) - (double)(j * k % h) / (double)h), c = cos(angle) / sqrt((double)h),
                           s = sin(angle) / sqrt((double)h);
                    CHECK_CLOSE(q[2 * j * d + 2 * k], c, 0, 1e-14);
                    CHECK_CLOSE(q[2 * j * d + 2 * k + 1], s, 0, 1e-14);
                    CHECK_CLOSE(q[(2 * j + 1) * d + 2 * k], -s, 0, 1e-14);
                    CHECK_CLOSE(q[(2 * j + 1) * d + 2 * k + 1], c, 0, 1e-14);
                }
            normals(row, d, 41);
            for (size_t i = 0; i < d; i++) {
                x[i] = (double)row[i];
                before += x[i] * x[i];
            }
            t->type->forward_ref(t->state, x, 0);
            for (size_t k = 0; k < h; k++)
                after += x[2 * k] * x[2 * k] + x[2 * k + 1] * x[2 * k + 1];
            CHECK_CLOSE(after, before, 1e-13, 0);
            free(q);
            gyre_transform_free(t);
        }
    }
}

/* No row of rffthash's matrix is a row of rfft's, whatever the signs in front: magnitudes tell, and signs do not change them. */
static void not_srft(void **state)
{
    (void)state;
    gyre_transform *a = made("rffthash", "", "", 64), *b = made("rfft", "", "", 64);
    double *p = matrix(a, false), *q = matrix(b, false), nearest = 1;
    for (size_t i = 0; i < 64; i++)
        for (size_t k = 0; k < 64; k++) {
            double off = 0;
            for (size_t j = 0; j < 64; j++)
                off = fmax(off, fabs(fabs(p[j * 64 + i]) - fabs(q[j * 64 + k])));
            nearest = fmin(nearest, off);
        }
    assert_true(nearest > 0.05);
    free(p);
    free(q);
    gyre_transform_free(a);
    gyre_transform_free(b);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *option, *value;
        size_t dim;
        const char *says;
    } cases[] = {
        {"hadamard", "form", "sylvester", 96, "the head dimension 96 is not a power of two"},
        {"hadamard", "form", "kronecker", 112, "the head dimension 112 is not a power of two, nor 12 or 20 times one"},
        {"hadamard", "form", "kronecker", 60, "the head dimension 60 is not a power of two, nor 12 or 20 times one"},
        {"hadamard", "form", "blocks", 63, "the head dimension 63 is odd: its largest block would be 1"},
        {"bdr", "block", "12", 96, "a block of 12 is not a power of two"},
        {"bdr", "block", "64", 96, "a block of 64 does not divide the head dimension 96"},
        {"dht", "", "", 1, "the head dimension 1 is not in 2..4096"},
        {"dct", "", "", 4097, "the head dimension 4097 is not in 2..4096"},
        {"rffthash", "", "", 63, "the head dimension 63 is odd"},
        {"rffthash", "", "", 8192, "the head dimension 8192 is not in 2..4096"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        gyre_error error = {0};
        gyre_status status;
        assert_null(make(cases[c].name, cases[c].option, cases[c].value, cases[c].dim, &status, &error));
        assert_int_equal(status, GYRE_E_APPLICABLE);
        if (strstr(error.message, cases[c].says) == NULL)
            fail_msg("%s %s at d=%zu said '%s', not '%s'", cases[c].name, cases[c].value, cases[c].dim, error.message, cases[c].says);
    }
}

/* Aliases are their elements; the two rounds of hdhd have signs of their own. */
static void aliases(void **state)
{
    (void)state;
    static const struct {
        const char *name, *chain;
    } cases[] = {
        {"srht", "[signs(per=layer),hadamard(form=sylvester)]"},
        {"srft", "[signs(per=layer),rfft]"},
        {"hdhd", "[signs(per=layer),hadamard(form=sylvester),signs(per=layer),hadamard(form=sylvester)]"},
        {"sdht", "[signs(per=layer),dht]"},
        {"sdct", "[signs(per=layer),dct]"},
    };
    gyre_error error = {0};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const gyre_chain_alias *alias = gyre_chain_aliases;
        while (alias->name != NULL && strcmp(alias->name, cases[c].name) != 0)
            alias++;
        assert_non_null(alias->name);
        gyre_chain_spec spec = {0};
        char text[GYRE_CHAIN_TEXT];
        CHECK_OK(gyre_chain_add_alias(&spec, alias, &error), &error);
        gyre_chain_canonical(&spec, text, sizeof text);
        assert_string_equal(text, cases[c].chain);
        gyre_site site = place(64);
        gyre_transform *t;
        CHECK_OK(gyre_chain_new(&spec, &site, &t, &error), &error);
        if (gyre_chain_count(t) == 4) {
            float s[2][64];
            for (size_t i = 0; i < 64; i++)
                s[0][i] = s[1][i] = 1.0f;
            run(gyre_chain_element(t, 0), s[0], false);
            run(gyre_chain_element(t, 2), s[1], false);
            assert_memory_not_equal(s[0], s[1], sizeof s[0]);
        }
        gyre_transform_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(coherence),
        cmocka_unit_test(spikes),
        cmocka_unit_test(hadamard_in_integers),
        cmocka_unit_test(paley_matrices),
        cmocka_unit_test(kronecker_order),
        cmocka_unit_test(equal_forms),
        cmocka_unit_test(cosine_and_hartley),
        cmocka_unit_test(complex_pairs),
        cmocka_unit_test(not_srft),
        cmocka_unit_test(refusals),
        cmocka_unit_test(aliases),
    };
    return cmocka_run_group_tests_name("transforms_fourier", tests, NULL, NULL);
}
