/* metrics/next_token: closed forms, a plain program in long double, numbers of mpmath, threads, what is refused; and the metrics of a chunk of text. */
#include "tests/check.h"

#include "metrics/metric.h"

/* One exact token and one of an arm. */
static gyre_token one(const float *a, const float *b, size_t n, int32_t next)
{
    gyre_error error;
    gyre_exact_tokens *exact;
    gyre_token own, arm;
    CHECK_OK(gyre_exact_tokens_new(1, n, 1, &exact, &error), &error);
    CHECK_OK(gyre_exact_tokens_add(exact, a, &next, 1, &own, &error), &error);
    CHECK_OK(gyre_exact_tokens_compare(exact, 0, b, 1, &arm, &error), &error);
    assert_true(own.nll_change == 0.0 && own.kl == 0.0 && own.p_change == 0.0 && own.flip == 0.0);
    CHECK_CLOSE(arm.nll - arm.nll_change, own.nll, 1e-15, 1e-15 * arm.nll);
    gyre_exact_tokens_free(exact);
    return arm;
}

/* Two symbols: with p and q the chances of the first, everything has a closed form. */
static void two_symbols(void **state)
{
    (void)state;
    static const float odds[] = {-30.0f, -4.0f, -0.5f, 0.0f, 0.25f, 3.0f, 20.0f};
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 7; j++) {
            const float a[2] = {odds[i], 0.0f}, b[2] = {odds[j] + 8.0f, 8.0f};
            double x = (double)odds[i], y = (double)odds[j], p = 1.0 / (1.0 + exp(-x)), other = 1.0 / (1.0 + exp(x));
            gyre_token first = one(a, b, 2, 0), second = one(a, b, 2, 1);
            CHECK_CLOSE(first.nll, log1p(exp(-y)), 1e-13, 4e-16);
            CHECK_CLOSE(second.nll, log1p(exp(y)), 1e-13, 4e-16);
            CHECK_CLOSE(first.kl, p * (log1p(exp(-y)) - log1p(exp(-x))) + other * (log1p(exp(y)) - log1p(exp(x))), 1e-13, 1e-15);
            CHECK_CLOSE(first.p_change, 1.0 / (1.0 + exp(-y)) - p, 1e-12, 4e-16);
            CHECK_CLOSE(second.p_change, -first.p_change, 1e-12, 4e-16);
            assert_true(first.kl == second.kl && first.flip == ((x >= 0.0) != (y >= 0.0) ? 1.0 : 0.0));
        }
}

/* Uniform logits against one symbol raised by t: KL = log((V - 1 + e^t) / V) - t / V. */
static void uniform(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 7, 8, 9, 31, 1000, 2048, 2049, 32001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        double v = (double)n, t = 2.5;
        float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
        assert_true(a != NULL && b != NULL);
        for (size_t j = 0; j < n; j++)
            a[j] = b[j] = -3.0f;
        CHECK_CLOSE(one(a, a, n, (int32_t)n - 1).nll, log(v), 1e-15, 0);
        b[n - 1] += (float)t;
        gyre_token token = one(a, b, n, (int32_t)n - 1);
        CHECK_CLOSE(token.kl, log1p(expm1(t) / v) - t / v, 1e-12, 4e-15);
        CHECK_CLOSE(token.nll, log(v - 1.0 + exp(t)) - t, 1e-14, 0);
        CHECK_CLOSE(token.p_change, exp(t) / (v - 1.0 + exp(t)) - 1.0 / v, 1e-13, 0);
        assert_true(token.flip == 1.0);
        free(b);
        free(a);
    }
}

/* Where one symbol has it all the other distribution's logarithm is what is left, however large; nothing overflows. */
static void one_hot(void **state)
{
    (void)state;
    static const float sizes[] = {1e3f, 1e4f, 1e20f, 3e38f};
    float a[11] = {0}, b[11] = {0};
    for (size_t s = 0; s < 4; s++) {
        for (size_t j = 0; j < 11; j++)
            a[j] = b[j] = -sizes[s] / 2;
        a[3] = b[7] = sizes[s] / 2;
        gyre_token token = one(a, b, 11, 3);
        assert_true(token.nll == (double)sizes[s] && token.nll_change == (double)sizes[s] && token.kl == (double)sizes[s] && token.p_change == -1.0 && token.flip == 1.0);
        token = one(a, b, 11, 7);
        assert_true(token.nll == 0.0 && token.nll_change == -(double)sizes[s] && token.p_change == 1.0);
    }
}

static void a_vocabulary_of_one(void **state)
{
    (void)state;
    const float a = 5.0f, b = -1e30f;
    gyre_token token = one(&a, &b, 1, 0);
    assert_true(token.nll == 0.0 && token.nll_change == 0.0 && token.kl == 0.0 && token.p_change == 0.0 && token.flip == 0.0);
}

/* Logits that keep a constant added to them exactly: nothing changes, not a bit. Otherwise only what the sum rounds off. */
static void constants_change_nothing(void **state)
{
    (void)state;
    enum { V = 1237 };
    float a[V], b[V], c[V], d[V];
    normals(a, V, 1);
    normals(b, V, 2);
    for (size_t j = 0; j < V; j++) {
        a[j] = rintf(a[j] * 320.0f) / 64.0f;
        b[j] = a[j] + rintf(b[j] * 16.0f) / 64.0f;
        c[j] = a[j] + 1000.0f;
        d[j] = b[j] - 4096.0f;
    }
    gyre_token plain = one(a, b, V, 17), moved = one(c, d, V, 17), itself = one(a, c, V, 17);
    assert_memory_equal(&plain, &moved, sizeof plain);
    assert_true(plain.kl > 0.0 && itself.kl == 0.0 && itself.nll_change == 0.0 && itself.p_change == 0.0 && itself.flip == 0.0);
    for (size_t j = 0; j < V; j++)
        c[j] = a[j] + 0.1f;
    itself = one(a, c, V, 17);
    CHECK_CLOSE(itself.kl, 0.0, 0, 1e-12); /* half a unit of binary32 at 16, squared */
    CHECK_CLOSE(itself.nll_change, 0.0, 0, 2e-6);
}

/* Of equal ones the first is the top. */
static void first_of_equals(void **state)
{
    (void)state;
    float a[19] = {0}, b[19] = {0};
    b[5] = b[12] = 1.0f;
    a[5] = 1.0f;
    assert_true(one(a, b, 19, 0).flip == 0.0);
    a[12] = 2.0f;
    assert_true(one(a, b, 19, 0).flip == 1.0);
    a[12] = 1.0f;
    assert_true(one(a, b, 19, 0).flip == 0.0);
}

/* Five symbols, by mpmath with 40 digits. */
static void five_symbols(void **state)
{
    (void)state;
    static const float a[5] = {1.5f, -2.25f, 0.125f, 3.0f, -7.5f}, b[5] = {2.0f, -2.0f, -1.75f, 2.5f, 0.5f};
    static const double nll[5] = {1.0694185398068380, 5.0694185398068380, 4.8194185398068380, 0.56941853980683801, 2.5694185398068380},
                        change[5] = {-0.68120114514081592, -0.43120114514081592, 1.6937988548591841, 0.31879885485918408, -8.1812011451408159};
    static const double p_change[5] = {0.16954172950171744, 0.0022018344680295261, -0.035838235982705015, -0.21246395660163002, 0.076558628614588070};
    for (int32_t n = 0; n < 5; n++) {
        gyre_token token = one(a, b, 5, n);
        CHECK_CLOSE(token.nll, nll[n], 1e-15, 0);
        CHECK_CLOSE(token.nll_change, change[n], 1e-14, 0);
        CHECK_CLOSE(token.p_change, p_change[n], 1e-14, 0);
        CHECK_CLOSE(token.kl, 0.20226306844413284, 1e-14, 0);
        assert_true(token.flip == 0.0);
    }
}

/* The definitions in long double. */
static gyre_token plain(const float *a, const float *b, size_t n, int32_t next)
{
    long double sum_a = 0, sum_b = 0, kl = 0;
    size_t top_a = 0, top_b = 0;
    for (size_t j = 0; j < n; j++) {
        top_a = a[j] > a[top_a] ? j : top_a;
        top_b = b[j] > b[top_b] ? j : top_b;
    }
    for (size_t j = 0; j < n; j++) {
        sum_a += expl((long double)a[j] - (long double)a[top_a]);
        sum_b += expl((long double)b[j] - (long double)b[top_b]);
    }
    long double log_a = (long double)a[top_a] + logl(sum_a), log_b = (long double)b[top_b] + logl(sum_b);
    for (size_t j = 0; j < n; j++)
        kl += expl((long double)a[j] - log_a) * (((long double)a[j] - log_a) - ((long double)b[j] - log_b));
    long double own = log_a - (long double)a[next], arm = log_b - (long double)b[next];
    return (gyre_token){(double)arm, (double)(arm - own), (double)kl, (double)(expl(-arm) - expl(-own)), top_a != top_b ? 1.0 : 0.0};
}

/* Sizes about the kernels' vectors and blocks and of real models, logits from flat to hopeless, changes from none to all. */
static void as_defined(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 255, 2047, 2049, 4099, 49152, 65537};
    static const float spreads[] = {0.1f, 4.0f, 1e4f}, changes[] = {1e-4f, 0.1f, 5.0f};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t k = 0; k < 9; k++) {
            size_t n = sizes[s];
            float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
            assert_true(a != NULL && b != NULL);
            normals(a, n, 40 + (uint32_t)s);
            normals(b, n, 80 + (uint32_t)k);
            for (size_t j = 0; j < n; j++) {
                a[j] *= spreads[k / 3];
                b[j] = a[j] + changes[k % 3] * b[j];
            }
            int32_t next = (int32_t)(n * 5 / 7);
            gyre_token got = one(a, b, n, next), want = plain(a, b, n, next);
            CHECK_CLOSE(got.nll, want.nll, 1e-13, 1e-15);
            CHECK_CLOSE(got.nll_change, want.nll_change, 1e-13, 4e-15 + 1e-15 * want.nll);
            CHECK_CLOSE(got.kl, want.kl, 1e-13, 1e-14);
            CHECK_CLOSE(got.p_change, want.p_change, 1e-12, 1e-15);
            assert_true(got.flip == want.flip && got.kl >= 0.0);
            free(b);
            free(a);
        }
}

/* Changes so small that rounding could take kl below 0. */
static void never_below_zero(void **state)
{
    (void)state;
    enum { V = 501 };
    float a[V], b[V], *changed;
    for (uint32_t i = 0; i < 300; i++) {
        normals(a, V, i);
        memcpy(b, a, sizeof a);
        assert_true(one(a, b, V, 0).kl == 0.0);
        changed = &b[i % V];
        *changed = nextafterf(*changed, 9.0f);
        double kl = one(a, b, V, 0).kl;
        assert_true(kl >= 0.0 && kl < 1e-14);
    }
}

enum { CHUNK = 13, WIDE = 32771 };

typedef struct chunk {
    float *a, *b;
    int32_t next[CHUNK];
} chunk;

static chunk make_chunk(void)
{
    chunk c = {.a = malloc(CHUNK * WIDE * sizeof(float)), .b = malloc(CHUNK * WIDE * sizeof(float))};
    assert_true(c.a != NULL && c.b != NULL);
    normals(c.a, CHUNK * WIDE, 5);
    normals(c.b, CHUNK * WIDE, 6);
    for (size_t j = 0; j < CHUNK * WIDE; j++) {
        c.a[j] *= 3.0f;
        c.b[j] = c.a[j] + 0.2f * c.b[j];
    }
    for (int32_t i = 0; i < CHUNK; i++)
        c.next[i] = 2000 * i;
    return c;
}

static void free_chunk(chunk *c)
{
    free(c->a);
    free(c->b);
}

/* 1, 2, 3 threads and all processors; all tokens at once and in pieces; a second time over: the same bits. Enough logits that the threads are really started. */
static void threads_and_pieces_give_the_same_bits(void **state)
{
    (void)state;
    static const unsigned threads[] = {1, 2, 3, 100, 0};
    static const size_t pieces[] = {CHUNK, 5, 1};
    chunk c = make_chunk();
    gyre_token wanted[2][CHUNK], got[2][CHUNK];
    for (size_t t = 0; t < 5; t++)
        for (size_t k = 0; k < 3; k++) {
            size_t piece = pieces[k];
            gyre_error error;
            gyre_exact_tokens *exact;
            CHECK_OK(gyre_exact_tokens_new(CHUNK, WIDE, threads[t], &exact, &error), &error);
            for (int round = 0; round < 2; round++) {
                gyre_exact_tokens_clear(exact);
                memset(got, 0, sizeof got);
                for (size_t i = 0; i < CHUNK; i += piece) {
                    size_t count = CHUNK - i < piece ? CHUNK - i : piece;
                    CHECK_OK(gyre_exact_tokens_add(exact, c.a + i * WIDE, c.next + i, count, got[0] + i, &error), &error);
                    CHECK_OK(gyre_exact_tokens_compare(exact, i, c.b + i * WIDE, count, got[1] + i, &error), &error);
                }
                if (t == 0 && k == 0 && round == 0)
                    memcpy(wanted, got, sizeof got);
                assert_memory_equal(wanted, got, sizeof got);
            }
            gyre_exact_tokens_free(exact);
        }
    for (size_t i = 0; i < CHUNK; i++) {
        gyre_token by_hand = plain(c.a + i * WIDE, c.b + i * WIDE, WIDE, c.next[i]);
        CHECK_CLOSE(wanted[1][i].kl, by_hand.kl, 1e-13, 1e-14);
        CHECK_CLOSE(wanted[1][i].nll, by_hand.nll, 1e-13, 0);
        CHECK_CLOSE(wanted[0][i].nll, by_hand.nll - by_hand.nll_change, 1e-13, 0);
    }
    free_chunk(&c);
}

/* The first bad token is named, whatever the threads; nothing of the call is kept, and what was there before still is. */
static void not_finite_is_refused(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    chunk c = make_chunk();
    gyre_token out[CHUNK], good[CHUNK];
    for (unsigned threads = 1; threads < 4; threads++)
        for (size_t k = 0; k < 3; k++) {
            gyre_error error;
            gyre_exact_tokens *exact;
            CHECK_OK(gyre_exact_tokens_new(CHUNK, WIDE, threads, &exact, &error), &error);
            CHECK_OK(gyre_exact_tokens_add(exact, c.a, c.next, 3, out, &error), &error);
            float *early = c.a + 7 * WIDE + 32770, *late = c.a + 12 * WIDE + 1, kept[2] = {*early, *late};
            *early = bad[k];
            *late = NAN;
            assert_int_equal(gyre_exact_tokens_add(exact, c.a + 3 * WIDE, c.next + 3, CHUNK - 3, out, &error), GYRE_E_NAN);
            assert_non_null(strstr(error.message, "exact run at scored token 7 (counted from 0 in the chunk): entry 32770 of 32771"));
            assert_non_null(strstr(error.message, k == 0 ? "NaN" : "infinite"));
            *early = kept[0];
            *late = kept[1];
            assert_int_equal(gyre_exact_tokens_compare(exact, 3, c.b, 1, out, &error), GYRE_E_INTERNAL);
            CHECK_OK(gyre_exact_tokens_add(exact, c.a + 3 * WIDE, c.next + 3, CHUNK - 3, out, &error), &error);
            CHECK_OK(gyre_exact_tokens_compare(exact, 0, c.b, CHUNK, good, &error), &error);
            float *wrong = c.b + 9 * WIDE, before = *wrong;
            *wrong = bad[k];
            assert_int_equal(gyre_exact_tokens_compare(exact, 2, c.b + 2 * WIDE, CHUNK - 2, out, &error), GYRE_E_NAN);
            assert_non_null(strstr(error.message, "arm at scored token 9 (counted from 0 in the chunk): entry 0 of 32771"));
            *wrong = before;
            CHECK_OK(gyre_exact_tokens_compare(exact, 0, c.b, CHUNK, out, &error), &error);
            assert_memory_equal(good, out, sizeof out);
            gyre_exact_tokens_free(exact);
        }
    free_chunk(&c);
}

static void misuse_is_refused(void **state)
{
    (void)state;
    gyre_error error;
    gyre_exact_tokens *exact;
    const float rows[3 * 4] = {0};
    const int32_t next[3] = {0, 3, 1}, beyond[3] = {0, 4, 1}, negative[3] = {0, 1, -1};
    gyre_token out[3];
    CHECK_OK(gyre_exact_tokens_new(2, 4, 2, &exact, &error), &error);
    assert_int_equal(gyre_exact_tokens_add(exact, rows, next, 3, out, &error), GYRE_E_INTERNAL);
    assert_int_equal(gyre_exact_tokens_add(exact, rows, beyond, 2, out, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "scored token 1 "));
    assert_int_equal(gyre_exact_tokens_add(exact, rows, negative + 1, 2, out, &error), GYRE_E_INPUT);
    CHECK_OK(gyre_exact_tokens_add(exact, rows, next, 2, out, &error), &error);
    CHECK_CLOSE(out[1].nll, log(4.0), 1e-15, 0);
    assert_int_equal(gyre_exact_tokens_add(exact, rows, next, 1, out, &error), GYRE_E_INTERNAL);
    assert_int_equal(gyre_exact_tokens_compare(exact, 1, rows, 2, out, &error), GYRE_E_INTERNAL);
    assert_int_equal(gyre_exact_tokens_compare(exact, 3, rows, SIZE_MAX - 1, out, &error), GYRE_E_INTERNAL);
    CHECK_OK(gyre_exact_tokens_compare(exact, 2, NULL, 0, NULL, &error), &error);
    gyre_exact_tokens_clear(exact);
    assert_int_equal(gyre_exact_tokens_compare(exact, 0, rows, 1, out, &error), GYRE_E_INTERNAL);
    CHECK_OK(gyre_exact_tokens_add(exact, rows, next, 2, out, &error), &error);
    gyre_exact_tokens_free(exact);
    gyre_exact_tokens_free(NULL);
    assert_int_equal(gyre_exact_tokens_new(0, 4, 1, &exact, &error), GYRE_E_INPUT);
    assert_int_equal(gyre_exact_tokens_new(4, 0, 1, &exact, &error), GYRE_E_INPUT);
    assert_int_equal(gyre_exact_tokens_new(SIZE_MAX / 8, 1000, 1, &exact, &error), GYRE_E_MEMORY);
    assert_null(exact);
    size_t bytes = gyre_exact_tokens_bytes(255, 151936);
    assert_true(bytes > (size_t)255 * 151936 * sizeof(float) && bytes < (size_t)255 * 151936 * sizeof(float) + 32768);
}

/* The metrics of a chunk, by hand, and for every arm. */
static void metrics_of_a_chunk(void **state)
{
    (void)state;
    static const gyre_token tokens[4] = {{1.0, 0.5, 0.25, 0.3, 1.0}, {2.0, -0.25, 0.5, -0.1, 0.0}, {4.0, 0.125, 0.0, 0.0, 0.0}, {0.5, 0.0, 1.0, 0.5, 0.0}};
    static const char *const names[] = {"nll", "nll_change", "token_kl", "top_flip", "p_rms"}, *const units[] = {"nat", "nat", "nat", "share", "share"};
    const double wanted[] = {7.5 / 4, 0.375 / 4, 1.75 / 4, 0.25, sqrt((0.09 + 0.01 + 0.25) / 4)};
    for (size_t m = 0; m < 5; m++) {
        const gyre_metric_type *type = gyre_metric_find(names[m]);
        assert_true(type != NULL && type->measure == NULL && type->measure_tokens != NULL && type->reads == GYRE_METRIC_TOKENS);
        assert_string_equal(type->unit, units[m]);
        CHECK_CLOSE(type->measure_tokens(tokens, 4), wanted[m], 1e-15, 0);
        for (int arm = 0; arm < 4; arm++)
            assert_true(gyre_metric_applies(type, arm & 1, arm & 2));
    }
    for (const gyre_metric_type *const *m = gyre_metric_types; *m != NULL; m++)
        assert_true(((*m)->measure == NULL) == (((*m)->reads & GYRE_METRIC_TOKENS) != 0) && ((*m)->measure == NULL) != ((*m)->measure_tokens == NULL));
    assert_false(gyre_metric_applies(gyre_metric_find("nmse"), false, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_symbols), cmocka_unit_test(uniform), cmocka_unit_test(one_hot), cmocka_unit_test(a_vocabulary_of_one),
        cmocka_unit_test(constants_change_nothing), cmocka_unit_test(first_of_equals), cmocka_unit_test(five_symbols), cmocka_unit_test(as_defined),
        cmocka_unit_test(never_below_zero), cmocka_unit_test(threads_and_pieces_give_the_same_bits), cmocka_unit_test(not_finite_is_refused),
        cmocka_unit_test(misuse_is_refused), cmocka_unit_test(metrics_of_a_chunk)};
    return cmocka_run_group_tests_name("next_token", tests, NULL, NULL);
}
