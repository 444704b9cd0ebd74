/* Tests of stats/: reference values, closed forms, invariances, error rates, bad input.
 *
 * S1..S4 are fixed data sets in dyadic numbers, so their differences are exact. The reference values come from SciPy and mpmath (30 digits) and were
 * cross-checked in R; anyone can recompute them (R: t.test(A, B, paired = TRUE), p.adjust(p, "holm"), aov(y ~ layer + method)).
 * The error rates come from simulated samples with a fixed counter-based generator and are compared with binomial bounds of four standard deviations.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gsl/gsl_errno.h>

#include "stats/multiplicity.h"
#include "stats/stats.h"
#include "stats/verdict.h"

/* cmocka's assert_float_equal compares in float. */
static void check_close(double value, double expected, double relative, const char *what, int line)
{
    if (fabs(value - expected) <= relative * fabs(expected))
        return;
    fail_msg("line %d: %s is %.17g, expected %.17g (relative %.2g)", line, what, value, expected, fabs(value - expected) / fabs(expected));
}
#define CHECK_CLOSE(value, expected) check_close((value), (expected), 1e-12, #value, __LINE__)

#define CHECK_OK(call)                                                                                                         \
    do {                                                                                                                       \
        gyre_error err = { .status = GYRE_OK };                                                                                \
        if ((call) != GYRE_OK)                                                                                                 \
            fail_msg("line %d: %s", __LINE__, err.message);                                                                    \
    } while (0)

#define CHECK_FAILS(call, code, text)                                                                                          \
    do {                                                                                                                       \
        gyre_error err = { .status = GYRE_OK };                                                                                \
        assert_int_equal((call), (code));                                                                                      \
        assert_int_equal(err.status, (code));                                                                                  \
        if (strstr(err.message, (text)) == NULL)                                                                               \
            fail_msg("line %d: '%s' does not say '%s'", __LINE__, err.message, (text));                                        \
    } while (0)

static gyre_estimate estimate_of(const double *d, size_t seeds, size_t documents)
{
    gyre_estimate e;
    CHECK_OK(gyre_test_default(seeds, documents)->estimate(d, seeds, documents, &e, &err));
    return e;
}

static gyre_judgement judgement_of(const gyre_estimate *e, double lo, double hi, double alpha)
{
    gyre_margin margin = { true, lo, hi };
    gyre_judgement j;
    CHECK_OK(gyre_judge(e, &margin, alpha, &j, &err));
    return j;
}

/* ---- simulated samples ---- */

/* Number `index` of stream `key`: SplitMix64's mixing function (Steele, Lea, Flood 2014) of a counter. */
static uint64_t mixed(uint64_t key, uint64_t index)
{
    uint64_t z = key * UINT64_C(0xd1342543de82ef95) + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

typedef struct simulator {
    uint64_t key, used;
} simulator;

static double uniform(simulator *s)
{
    return ((double)(mixed(s->key, s->used++) >> 11) + 0.5) * 0x1p-53;
}

static double normal(simulator *s)
{
    double u = uniform(s), v = uniform(s);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

enum { MOST_SEEDS = 32, MOST_DOCUMENTS = 32 };

typedef struct spread {
    size_t seeds, documents;
    double seed, document, residual; /* standard deviations */
} spread;

static double true_se(const spread *sp)
{
    double s = (double)sp->seeds, d = (double)sp->documents;
    return sqrt(sp->seed * sp->seed / s + sp->document * sp->document / d + sp->residual * sp->residual / (s * d));
}

static void simulate(simulator *sim, const spread *sp, double mean, double *d)
{
    double document[MOST_DOCUMENTS];
    for (size_t j = 0; j < sp->documents; j++)
        document[j] = sp->document * normal(sim);
    for (size_t s = 0; s < sp->seeds; s++) {
        double seed = mean + sp->seed * normal(sim);
        for (size_t j = 0; j < sp->documents; j++)
            d[s * sp->documents + j] = seed + document[j] + sp->residual * normal(sim);
    }
}

/* ---- reference values ---- */

typedef struct reference {
    const char *name;
    size_t n;
    double margin;
    double mean, sd, t, p, lo, hi, tost_lower, tost_upper, inner_lo, inner_hi;
} reference;

static const reference references[] = {
    { "S1", 8, 0.25, 0.1484375, 0.14657549249448218, 2.8643577734887544, 0.024186357872283362, 0.025897321676434132, 0.2709776783235659,
      5.8675262604686806e-05, 0.045421642181798838, 0.050256150485648882, 0.24661884951435112 },
    { "S2", 12, 0.0625, 0.020833333333333332, 0.036084391824351615, 2.0, 0.070803955068034524, -0.0020935954176212503, 0.043760262084287918,
      3.2661085776923512e-06, 0.0010430967834874744, 0.0021261998051661998, 0.039540466861500465 },
    { "S3", 25, 0.125, 0.028220214843750001, 0.13584567774963449, 1.038686519557886, 0.30930250024967337, -0.027854124938420988, 0.084294554625920989,
      4.1598410511909046e-06, 0.00078974687212650017, -0.018262972295250125, 0.074703401982750134 },
};

static void reference_differences(size_t which, double *d)
{
    static const int s1[2][8] = { { 412, 398, 455, 430, 501, 377, 489, 463 }, { 405, 402, 440, 431, 478, 371, 470, 452 } };
    static const int s2[2][12] = { { 20, 31, 17, 25, 40, 22, 19, 28, 33, 26, 30, 24 }, { 18, 29, 17, 27, 35, 20, 21, 25, 33, 22, 27, 25 } };
    if (which == 0)
        for (size_t i = 0; i < 8; i++)
            d[i] = (s1[0][i] - s1[1][i]) / 64.0;
    else if (which == 1)
        for (size_t i = 0; i < 12; i++)
            d[i] = (s2[0][i] - s2[1][i]) / 64.0;
    else {
        uint64_t x = 12345; /* a linear congruential generator; A = L_i / 4096, B = A - (L_(25 + i) - 15000) / 65536 */
        double high[50];
        for (size_t i = 0; i < 50; i++) {
            x = (UINT64_C(1103515245) * x + 12345) % (UINT64_C(1) << 31);
            high[i] = (double)(x >> 16);
        }
        for (size_t i = 0; i < 25; i++)
            d[i] = high[i] / 4096.0 - (high[i] / 4096.0 - (high[25 + i] - 15000.0) / 65536.0);
    }
}

static void test_paired_t_references(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof references / sizeof *references; k++) {
        const reference *r = &references[k];
        double d[32];
        reference_differences(k, d);
        gyre_estimate e = estimate_of(d, 1, r->n);
        gyre_judgement j = judgement_of(&e, -r->margin, r->margin, 0.05);
        print_message("%s: mean %.17g t %.17g p %.17g TOST p %.17g\n", r->name, e.mean, j.t, j.p, j.tost_p);
        CHECK_CLOSE(e.mean, r->mean);
        CHECK_CLOSE(e.se, r->sd / sqrt((double)r->n));
        CHECK_CLOSE(e.sd_document, r->sd);
        CHECK_CLOSE(e.df, (double)(r->n - 1));
        CHECK_CLOSE(j.t, r->t);
        CHECK_CLOSE(j.p, r->p);
        CHECK_CLOSE(j.lo, r->lo);
        CHECK_CLOSE(j.hi, r->hi);
        CHECK_CLOSE(j.tost_p_lower, r->tost_lower);
        CHECK_CLOSE(j.tost_p_upper, r->tost_upper);
        CHECK_CLOSE(j.tost_p, r->tost_upper);
        CHECK_CLOSE(j.inner_lo, r->inner_lo);
        CHECK_CLOSE(j.inner_hi, r->inner_hi);
        CHECK_CLOSE(j.smallest_margin, r->inner_hi);
        assert_true(isnan(e.sd_seed) && isnan(e.sd_residual) && !e.degenerate);
    }
}

static void test_holm_reference(void **state)
{
    (void)state;
    static const double p[] = { .001, .008, .039, .041, .042, .060, .074, .205 };
    static const double expected[] = { .008, .056, .234, .234, .234, .234, .234, .234 };
    static const size_t shuffle[] = { 5, 0, 7, 2, 4, 1, 6, 3 };
    double in[8], out[8];
    for (size_t i = 0; i < 8; i++)
        in[i] = p[shuffle[i]];
    CHECK_OK(gyre_holm(in, 8, out, &err));
    for (size_t i = 0; i < 8; i++)
        CHECK_CLOSE(out[i], expected[shuffle[i]]);
    CHECK_OK(gyre_holm(in, 8, in, &err)); /* in place */
    assert_memory_equal(in, out, sizeof in);
}

static void test_holm_properties(void **state)
{
    (void)state;
    const double p[] = { .04, NAN, .03, NAN, .03, .9 };
    double out[6];
    CHECK_OK(gyre_holm(p, 6, out, &err)); /* m = 4: the NaNs are not in the family */
    CHECK_CLOSE(out[0], .12);
    CHECK_CLOSE(out[2], .12);
    CHECK_CLOSE(out[4], .12);
    CHECK_CLOSE(out[5], .9);
    assert_true(isnan(out[1]) && isnan(out[3]));

    const double one[] = { .7, 0.0, 1.0 };
    CHECK_OK(gyre_holm(one, 1, out, &err));
    assert_true(out[0] == .7);
    CHECK_OK(gyre_holm(one, 3, out, &err));
    assert_true(out[0] == 1.0 && out[1] == 0.0 && out[2] == 1.0);
    CHECK_OK(gyre_holm(p, 0, out, &err));

    const double bad[] = { .5, 1.0000001 }, negative[] = { -1e-9 };
    CHECK_FAILS(gyre_holm(bad, 2, out, &err), GYRE_E_RANGE, "p value 1 of a family is 1");
    CHECK_FAILS(gyre_holm(negative, 1, out, &err), GYRE_E_RANGE, "not in [0, 1]");
}

/* ---- the crossed test ---- */

static const double s4[6][4] = {
    { 40, 44, 39, 52 }, { 37, 41, 38, 47 }, { 55, 55, 50, 61 }, { 33, 36, 34, 40 }, { 61, 66, 59, 70 }, { 48, 47, 45, 58 },
};

/* Layers of S4 as seeds, methods as documents: the two-way table of an analysis of variance has these sums of squares (residual F(3, 15) = 45). */
static void test_crossed_two_way_table(void **state)
{
    (void)state;
    double d[24];
    for (size_t i = 0; i < 24; i++)
        d[i] = s4[i / 4][i % 4] / 64.0;
    double seed = 0.51888020833333337 / 5, document = 0.094482421875 / 3, residual = 0.010498046875 / 15;
    double v = seed + document - residual;
    gyre_estimate e = estimate_of(d, 6, 4);
    CHECK_CLOSE(e.mean, 1156.0 / 24.0 / 64.0);
    CHECK_CLOSE(e.se, sqrt(v / 24.0));
    CHECK_CLOSE(e.df, v * v / (seed * seed / 5 + document * document / 3 + residual * residual / 15));
    CHECK_CLOSE(e.sd_seed, sqrt((seed - residual) / 4));
    CHECK_CLOSE(e.sd_document, sqrt((document - residual) / 6));
    CHECK_CLOSE(e.sd_residual, sqrt(residual));
    CHECK_CLOSE((6 * e.sd_document * e.sd_document + e.sd_residual * e.sd_residual) / (e.sd_residual * e.sd_residual), 45.0);
}

/* By hand: row means 3, 5; column means 1.5, 4, 6.5; MS_seed = 6, MS_doc = 12.5, MS_res = 1.5; V = 17. Two seeds: df = min(289 / 115.25, 1). */
static void test_crossed_by_hand(void **state)
{
    (void)state;
    const double d[] = { 1, 2, 6, 2, 6, 7 }, transposed[] = { 1, 2, 2, 6, 6, 7 };
    gyre_estimate e = estimate_of(d, 2, 3), f = estimate_of(transposed, 3, 2);
    CHECK_CLOSE(e.mean, 4.0);
    CHECK_CLOSE(e.se, sqrt(17.0 / 6.0));
    CHECK_CLOSE(e.df, 1.0);
    CHECK_CLOSE(e.sd_seed, sqrt(1.5));
    CHECK_CLOSE(e.sd_document, sqrt(5.5));
    CHECK_CLOSE(e.sd_residual, sqrt(1.5));
    CHECK_CLOSE(f.se, e.se);
    CHECK_CLOSE(f.df, 1.0);
    CHECK_CLOSE(f.sd_seed, e.sd_document);
    CHECK_CLOSE(f.sd_document, e.sd_seed);

    gyre_judgement j = judgement_of(&e, -1.0, 1.0, 0.05); /* one degree of freedom is Cauchy's distribution: p = 1 - 2/pi atan t */
    CHECK_CLOSE(j.p, 1.0 - 2.0 / 3.141592653589793 * atan(4.0 / sqrt(17.0 / 6.0)));
}

/* A Latin square of 1, 0, -1 has no row and column effects: MS_res = 1.5 and the plain formula gives V = -1.5. */
static void test_crossed_negative_components(void **state)
{
    (void)state;
    const double latin[] = { 1, 0, -1, 0, -1, 1, -1, 1, 0 };
    double d[9];
    gyre_estimate e = estimate_of(latin, 3, 3);
    CHECK_CLOSE(e.se, sqrt(1.5 / 9.0));
    CHECK_CLOSE(e.df, 4.0);
    assert_true(e.sd_seed == 0.0 && e.sd_document == 0.0 && fabs(e.mean) < 1e-15 && !e.degenerate);

    for (size_t i = 0; i < 9; i++)
        d[i] = latin[i] + 3.0 * ((double)(i / 3) - 1.0); /* row effects -3, 0, 3: MS_seed = 27, MS_doc = 0 < MS_res; plain V = 25.5 */
    e = estimate_of(d, 3, 3);
    CHECK_CLOSE(e.se, sqrt(27.0 / 9.0));
    CHECK_CLOSE(e.df, 27.0 * 27.0 / (27.0 * 27.0 / 2.0 + 1.5 * 1.5 / 4.0));
    CHECK_CLOSE(e.sd_seed, sqrt((27.0 - 1.5) / 3.0));
    assert_true(e.sd_document == 0.0);
}

/* Where seeds change nothing, the crossed test is the paired t over documents; where documents change nothing, the t over seeds. */
static void test_crossed_limits(void **state)
{
    (void)state;
    double a[8], d[64], transposed[64];
    reference_differences(0, a);
    for (size_t i = 0; i < 64; i++) {
        d[i] = a[i % 8];
        transposed[i] = a[i / 8];
    }
    gyre_estimate t = estimate_of(a, 1, 8), e = estimate_of(d, 8, 8), f = estimate_of(transposed, 8, 8);
    gyre_judgement j = judgement_of(&e, -0.25, 0.25, 0.05);
    CHECK_CLOSE(e.mean, t.mean);
    CHECK_CLOSE(e.se, t.se);
    CHECK_CLOSE(e.df, 7.0);
    CHECK_CLOSE(e.sd_document, t.sd_document);
    CHECK_CLOSE(j.p, references[0].p);
    CHECK_CLOSE(j.tost_p, references[0].tost_upper);
    CHECK_CLOSE(f.se, t.se);
    CHECK_CLOSE(f.df, 7.0);
    CHECK_CLOSE(f.sd_seed, t.sd_document);
    assert_true(e.sd_seed < 1e-14 && e.sd_residual < 1e-14 && f.sd_document < 1e-14); /* 0 but for rounding */
}

/* ---- invariances and identities on random samples ---- */

static void test_order_and_sign(void **state)
{
    (void)state;
    simulator sim = { 11, 0 };
    const spread shapes[] = { { 1, 12, 0, 0, 1 }, { 5, 12, 1, 1, 1 }, { 8, 3, 2, 0, 1 }, { 2, 7, 0, 1, 1 } };
    for (size_t k = 0; k < 4; k++)
        for (size_t run = 0; run < 50; run++) {
            size_t seeds = shapes[k].seeds, documents = shapes[k].documents;
            double d[96], turned[96];
            simulate(&sim, &shapes[k], 0.5, d);
            for (size_t i = 0; i < seeds * documents; i++) /* seeds rotated by 1, documents reversed, arms swapped */
                turned[(i / documents + 1) % seeds * documents + documents - 1 - i % documents] = -d[i];
            gyre_estimate e = estimate_of(d, seeds, documents), f = estimate_of(turned, seeds, documents);
            gyre_judgement j = judgement_of(&e, -0.7, 1.1, 0.05), g = judgement_of(&f, -1.1, 0.7, 0.05);
            check_close(f.mean, -e.mean, 1e-12 * (1.0 + 1.0 / fabs(e.mean)), "mean", __LINE__);
            CHECK_CLOSE(f.se, e.se);
            CHECK_CLOSE(f.df, e.df);
            CHECK_CLOSE(g.p, j.p);
            check_close(g.tost_p_upper, j.tost_p_lower, 1e-10, "tost_p_upper", __LINE__);
            check_close(g.tost_p_lower, j.tost_p_upper, 1e-10, "tost_p_lower", __LINE__);
            check_close(-g.hi, j.lo, 1e-10, "interval", __LINE__);
        }
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

static void test_tost_is_inner_interval_in_margin(void **state)
{
    (void)state;
    simulator sim = { 12, 0 };
    const spread sp = { 6, 9, 0.3, 0.2, 0.5 };
    size_t inside = 0, outside = 0, significant = 0;
    for (size_t run = 0; run < 2000; run++) {
        double d[54], lo = -uniform(&sim), hi = uniform(&sim), alpha = 0.005 + 0.2 * uniform(&sim);
        simulate(&sim, &sp, 0.3 * normal(&sim), d);
        gyre_estimate e = estimate_of(d, 6, 9);
        gyre_judgement j = judgement_of(&e, lo, hi, alpha);
        if (near(j.inner_lo, lo) || near(j.inner_hi, hi) || near(j.lo, 0.0) || near(j.hi, 0.0))
            continue;
        bool contained = j.inner_lo > lo && j.inner_hi < hi;
        assert_int_equal(j.tost_p < alpha, contained);
        assert_int_equal(j.p < alpha, j.lo > 0.0 || j.hi < 0.0);
        assert_true(j.p >= 0.0 && j.p <= 1.0 && j.tost_p >= 0.0 && j.tost_p <= 1.0);
        assert_true(j.lo < j.inner_lo && j.inner_hi < j.hi);
        inside += contained;
        outside += !contained;
        significant += j.p < alpha;
    }
    assert_true(inside > 200 && outside > 200 && significant > 200); /* all branches were seen */
}

static void test_smallest_margin_is_the_edge(void **state)
{
    (void)state;
    simulator sim = { 13, 0 };
    const spread sp = { 1, 10, 0, 0, 1 };
    for (size_t run = 0; run < 200; run++) {
        double d[10], alpha = 0.01 + 0.1 * uniform(&sim);
        simulate(&sim, &sp, normal(&sim), d);
        gyre_estimate e = estimate_of(d, 1, 10);
        double m = judgement_of(&e, -1.0, 1.0, alpha).smallest_margin;
        check_close(judgement_of(&e, -m, m, alpha).tost_p, alpha, 1e-10, "TOST p at the edge", __LINE__);
        assert_true(judgement_of(&e, -m * (1 + 1e-9), m * (1 + 1e-9), alpha).tost_p < alpha);
        assert_false(judgement_of(&e, -m * (1 - 1e-9), m * (1 - 1e-9), alpha).tost_p < alpha);
    }
}

/* Far tails keep their digits (1 - P would leave none): with one degree of freedom Q(t) = atan(1 / t) / pi. */
static void test_far_tails(void **state)
{
    (void)state;
    const double pi = 3.141592653589793;
    gyre_estimate far = { .mean = -1e12, .se = 1.0, .df = 1.0 }, middle = { .mean = 0.0, .se = 1.0, .df = 1.0 };
    CHECK_CLOSE(judgement_of(&far, -1.0, 1.0, 0.05).p, 2.0 * atan(1e-12) / pi);
    gyre_judgement j = judgement_of(&middle, -1e12, 1e13, 0.05);
    CHECK_CLOSE(j.tost_p_lower, atan(1e-12) / pi);
    CHECK_CLOSE(j.tost_p_upper, atan(1e-13) / pi);
    CHECK_CLOSE(j.p, 1.0);
}

/* ---- verdicts ---- */

static void test_verdict_words(void **state)
{
    (void)state;
    gyre_estimate worse = { .mean = 0.5, .se = 1, .df = 5 }, better = { .mean = -0.5, .se = 1, .df = 5 };
    const struct {
        const gyre_estimate *e;
        double p, tost_p;
        const char *word;
    } rows[] = {
        { &worse, 0.2, 0.01, "EQUIVALENT" },    { &worse, 0.001, 0.01, "EQUIVALENT" }, /* different, and the difference does not matter */
        { &worse, 0.01, 0.05, "WORSE" },        { &better, 0.01, 0.05, "BETTER" },
        { &better, 0.05, 0.05, "INCONCLUSIVE" }, { &worse, 0.9, 0.9, "INCONCLUSIVE" }, /* p > alpha is not "the same" */
        { &worse, 0.9, NAN, "INCONCLUSIVE" },   { &worse, 0.01, NAN, "WORSE" },        /* no margin declared */
        { &worse, NAN, NAN, "INCONCLUSIVE" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(gyre_verdict_name(gyre_verdict_of(rows[i].e, GYRE_GOAL_EQUIVALENT, rows[i].p, rows[i].tost_p, 0.05)), rows[i].word);
}

static void test_margins(void **state)
{
    (void)state;
    gyre_margin m;
    CHECK_OK(gyre_margin_ratio(1.05, &m, &err));
    assert_true(m.declared);
    CHECK_CLOSE(m.hi, 0.048790164169432003); /* log 1.05 */
    CHECK_CLOSE(m.lo, -0.048790164169432003);
    CHECK_OK(gyre_margin_abs(0.005, &m, &err));
    assert_true(m.declared && m.lo == -0.005 && m.hi == 0.005);

    /* S1 equals nothing within (-0.25, 0.2), though it does within (-0.25, 0.25): the nearer bound decides. */
    double d[8];
    reference_differences(0, d);
    gyre_estimate e = estimate_of(d, 1, 8);
    gyre_judgement wide = judgement_of(&e, -0.25, 0.25, 0.05), cut = judgement_of(&e, -0.25, 0.2, 0.05);
    assert_true(wide.tost_p < 0.05 && cut.tost_p > 0.05 && cut.tost_p_lower == wide.tost_p_lower);
    assert_int_equal(gyre_verdict_of(&e, GYRE_GOAL_EQUIVALENT, wide.p, wide.tost_p, 0.05), GYRE_VERDICT_EQUIVALENT);
    assert_int_equal(gyre_verdict_of(&e, GYRE_GOAL_EQUIVALENT, cut.p, cut.tost_p, 0.05), GYRE_VERDICT_WORSE);

    gyre_judgement j;
    m.declared = false;
    CHECK_OK(gyre_judge(&e, &m, 0.05, &j, &err));
    assert_true(isnan(j.tost_p) && isnan(j.tost_p_lower) && isnan(j.tost_p_upper));
    CHECK_CLOSE(j.p, references[0].p);
    CHECK_CLOSE(j.smallest_margin, references[0].inner_hi);
}

static void test_degenerate(void **state)
{
    (void)state;
    const double zeros[12] = { 0 };
    double tenth[12], rounded[3] = { 0.3 - 0.2, 0.2 - 0.1, 0.1 };
    for (size_t i = 0; i < 12; i++)
        tenth[i] = -0.1;
    const struct {
        const double *d;
        size_t seeds, documents;
        double mean;
    } rows[] = { { zeros, 1, 12, 0.0 }, { zeros, 3, 4, 0.0 }, { tenth, 1, 12, -0.1 }, { tenth, 4, 3, -0.1 }, { rounded, 1, 3, 0.1 } };
    assert_true(rounded[0] != rounded[1]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gyre_estimate e = estimate_of(rows[i].d, rows[i].seeds, rows[i].documents);
        gyre_judgement j = judgement_of(&e, -1.0, 1.0, 0.05);
        check_close(e.mean, rows[i].mean, 1e-15, "mean", __LINE__);
        assert_true(e.degenerate && e.se == 0.0 && isnan(e.df) && e.sd_document == 0.0);
        assert_true(isnan(j.t) && isnan(j.p) && isnan(j.lo) && isnan(j.hi) && isnan(j.tost_p_lower) && isnan(j.tost_p_upper));
        assert_true(isnan(j.tost_p) && isnan(j.inner_lo) && isnan(j.inner_hi) && isnan(j.smallest_margin));
        assert_string_equal(gyre_verdict_name(gyre_verdict_of(&e, GYRE_GOAL_EQUIVALENT, j.p, j.tost_p, 0.05)), "DEGENERATE");
    }
    const double nearly[3] = { 0.1, 0.1, 0.1 + 1e-13 }; /* small for whatever reason, but not rounding */
    assert_false(estimate_of(nearly, 1, 3).degenerate);
}

/* ---- registry and bad input ---- */

static void test_registry(void **state)
{
    (void)state;
    char why[GYRE_TEST_WHY];
    for (size_t i = 0; gyre_tests[i] != NULL; i++) {
        const gyre_test_type *t = gyre_tests[i];
        assert_ptr_equal(gyre_test_find(t->name), t);
        assert_true(strlen(t->summary) > 0 && strlen(t->source) > 0);
        for (size_t s = 0; s < 4; s++)
            for (size_t d = 0; d < 4; d++) {
                gyre_estimate e;
                const double sample[9] = { 1, 2, 4, 3, 9, 5, 8, 6, 7 };
                why[0] = '\0';
                if (t->applicable(s, d, why, sizeof why))
                    CHECK_OK(t->estimate(sample, s, d, &e, &err));
                else
                    CHECK_FAILS(t->estimate(sample, s, d, &e, &err), GYRE_E_APPLICABLE, why);
                bool takes_seeds = strncmp(t->name, "crossed", 7) == 0;
                assert_int_equal(t->applicable(s, d, why, sizeof why), d >= 2 && (takes_seeds ? s >= 2 : s == 1));
            }
    }
    assert_string_equal(gyre_tests[0]->name, "paired_t");
    assert_null(gyre_test_find("paired"));
    assert_string_equal(gyre_test_default(1, 12)->name, "paired_t");
    assert_string_equal(gyre_test_default(32, 12)->name, "crossed");
}

static void test_bad_input(void **state)
{
    (void)state;
    gyre_estimate e;
    gyre_judgement j;
    gyre_margin m;
    double d[6] = { 1, 2, 3, 4, NAN, 6 };
    const gyre_test_type *crossed = gyre_test_find("crossed"), *paired = gyre_test_find("paired_t");
    CHECK_FAILS(crossed->estimate(d, 2, 3, &e, &err), GYRE_E_NAN, "seed 1, document 1");
    d[4] = INFINITY;
    CHECK_FAILS(paired->estimate(d, 1, 6, &e, &err), GYRE_E_NAN, "seed 0, document 4");
    assert_int_equal(paired->estimate(d, 1, 6, &e, NULL), GYRE_E_NAN);
    d[4] = 1e200;
    CHECK_FAILS(paired->estimate(d, 1, 6, &e, &err), GYRE_E_RANGE, "rescale");
    CHECK_FAILS(crossed->estimate(d, 2, 3, &e, &err), GYRE_E_RANGE, "rescale");
    for (size_t i = 0; i < 6; i++)
        d[i] = 1e-200 * (double)(i * i);
    CHECK_FAILS(paired->estimate(d, 1, 6, &e, &err), GYRE_E_RANGE, "rescale");
    CHECK_FAILS(crossed->estimate(d, 2, 3, &e, &err), GYRE_E_RANGE, "rescale");

    e = (gyre_estimate){ .mean = 0.1, .se = 1.0, .df = 7.0 };
    CHECK_OK(gyre_margin_abs(1.0, &m, &err));
    const double alphas[] = { 0.0, -0.1, 0.5, 1.0, NAN };
    for (size_t i = 0; i < 5; i++)
        CHECK_FAILS(gyre_judge(&e, &m, alphas[i], &j, &err), GYRE_E_CONFIG, "alpha");
    const double ratios[] = { 1.0, 0.95, 0.0, -1.05, INFINITY, NAN };
    for (size_t i = 0; i < 6; i++)
        CHECK_FAILS(gyre_margin_ratio(ratios[i], &m, &err), GYRE_E_CONFIG, "margin ratio");
    const double sizes[] = { 0.0, -0.005, INFINITY, NAN };
    for (size_t i = 0; i < 4; i++)
        CHECK_FAILS(gyre_margin_abs(sizes[i], &m, &err), GYRE_E_CONFIG, "margin abs");
    const gyre_margin outside[] = { { true, 0.1, 0.2 }, { true, 0.0, 0.2 }, { true, 0.2, -0.2 }, { true, -INFINITY, 0.2 }, { true, -0.2, NAN } };
    for (size_t i = 0; i < 5; i++)
        CHECK_FAILS(gyre_judge(&e, &outside[i], 0.05, &j, &err), GYRE_E_CONFIG, "does not hold 0");
    e.se = 0.0; /* zero, yet not said to be degenerate */
    CHECK_FAILS(gyre_judge(&e, &m, 0.05, &j, &err), GYRE_E_INTERNAL, "standard error");
}

/* ---- error rates ---- */

enum { RUNS = 4000 };

typedef struct rates {
    double crossed, documents_only; /* rejections of a true "no difference" at 0.05 */
    double at_margin, at_zero;      /* equivalence claimed where the truth is the margin (3.5 true standard errors), and where it is 0 */
} rates;

static rates measure(uint64_t key, const spread *sp)
{
    simulator sim = { key, 0 };
    double margin = 3.5 * true_se(sp);
    size_t n = sp->seeds * sp->documents, count[4] = { 0, 0, 0, 0 };
    for (size_t run = 0; run < RUNS; run++) {
        double d[MOST_SEEDS * MOST_DOCUMENTS], by_document[MOST_DOCUMENTS] = { 0.0 };
        simulate(&sim, sp, 0.0, d);
        for (size_t i = 0; i < n; i++)
            by_document[i % sp->documents] += d[i] / (double)sp->seeds;
        gyre_estimate e = estimate_of(d, sp->seeds, sp->documents), naive = estimate_of(by_document, 1, sp->documents);
        gyre_judgement j = judgement_of(&e, -margin, margin, 0.05);
        count[0] += j.p < 0.05;
        count[3] += j.tost_p < 0.05;
        count[1] += judgement_of(&naive, -margin, margin, 0.05).p < 0.05;
        e.mean += margin; /* the same sample, shifted by the margin */
        count[2] += judgement_of(&e, -margin, margin, 0.05).tost_p < 0.05;
    }
    return (rates){ (double)count[0] / RUNS, (double)count[1] / RUNS, (double)count[2] / RUNS, (double)count[3] / RUNS };
}

static const double binomial_slack = 4.0 * 0.0034460; /* four standard deviations: sqrt(0.05 * 0.95 / 4000) each */

static void test_error_rates(void **state)
{
    (void)state;
    /* exact: one mean square rules V, or both are well above the residual, so that the nominal rate must be met from both sides. */
    static const struct {
        spread sp;
        bool exact;
    } rows[] = {
        { { 8, 12, 1.0, 0.02, 0.1 }, true },   { { 32, 12, 1.0, 0.02, 0.1 }, true }, /* seeds rule: SRFT against SRHT */
        { { 8, 12, 0.0, 1.0, 0.1 }, true },    { { 32, 12, 0.0, 1.0, 0.1 }, true },  /* documents only */
        { { 8, 12, 0.7, 0.9, 0.2 }, true },    { { 16, 12, 0.5, 0.5, 1.0 }, true },  { { 32, 12, 0.8, 0.5, 0.1 }, true },
        { { 32, 12, 0.0, 0.0, 1.0 }, false },  { { 8, 12, 0.05, 0.05, 1.0 }, false }, /* residual rules: conservative */
        { { 3, 12, 1.0, 0.02, 0.5 }, false },  { { 32, 3, 0.3, 0.4, 1.0 }, false },   /* three levels */
        { { 2, 12, 1.0, 0.02, 0.5 }, false },  { { 32, 2, 0.3, 0.4, 1.0 }, false },   /* two levels: df <= 1 */
    };
    print_message("  S  D  sd seed  sd doc  sd res | false positive: crossed, documents only | EQUIVALENT: at the margin, at 0\n");
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const spread *sp = &rows[k].sp;
        rates r = measure(100 + k, sp);
        print_message(" %2zu %2zu  %7.2f %7.2f %7.2f |                 %.4f, %.4f         |             %.4f, %.4f\n", sp->seeds, sp->documents,
                      sp->seed, sp->document, sp->residual, r.crossed, r.documents_only, r.at_margin, r.at_zero);
        assert_true(r.crossed < 0.05 + binomial_slack);
        assert_true(r.at_margin < 0.05 + binomial_slack);
        if (rows[k].exact) {
            assert_true(r.crossed > 0.05 - binomial_slack);
            assert_true(r.at_zero > 0.5); /* the rates above are not those of a test that never claims anything */
        }
        if (sp->seed == 1.0)
            assert_true(r.documents_only > 0.5); /* what the crossed test is for */
    }
}

int main(void)
{
    gsl_set_error_handler_off();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paired_t_references),
        cmocka_unit_test(test_holm_reference),
        cmocka_unit_test(test_holm_properties),
        cmocka_unit_test(test_crossed_two_way_table),
        cmocka_unit_test(test_crossed_by_hand),
        cmocka_unit_test(test_crossed_negative_components),
        cmocka_unit_test(test_crossed_limits),
        cmocka_unit_test(test_order_and_sign),
        cmocka_unit_test(test_tost_is_inner_interval_in_margin),
        cmocka_unit_test(test_smallest_margin_is_the_edge),
        cmocka_unit_test(test_far_tails),
        cmocka_unit_test(test_verdict_words),
        cmocka_unit_test(test_margins),
        cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_error_rates),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
