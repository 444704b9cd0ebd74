/* Estimators and two-sample tests of stats/: Welch, McNemar, effect sizes, intervals of rank correlations, variance components, power, adjustments, series.
 *
 * Expected numbers: SciPy 1.10.1 where named, closed forms, hand-made layouts whose sums of squares are known, and simulation. Reference values are in tests/test_stats_reference.c.
 */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_statistics_double.h>

#include "check.h"
#include "stats/anova.h"
#include "stats/binomial.h"
#include "stats/components.h"
#include "stats/effect.h"
#include "stats/friedman.h"
#include "stats/mcnemar.h"
#include "stats/multiplicity.h"
#include "stats/power.h"
#include "stats/rank.h"
#include "stats/rank_interval.h"
#include "stats/series.h"
#include "stats/signed_rank.h"
#include "stats/stats.h"
#include "stats/verdict.h"
#include "stats/welch.h"

static const gyre_margin none = { false, 0.0, 0.0 };
static gyre_error err;
#define OK(call) CHECK_OK((call), &err)
#define REFUSED(call, status, text)                                                                                            \
    do {                                                                                                                       \
        assert_int_equal((call), (status));                                                                                    \
        if (strstr(err.message, (text)) == NULL)                                                                               \
            fail_msg("%s:%d: '%s' does not say '%s'", __FILE__, __LINE__, err.message, (text));                                \
    } while (0)

/* scipy.stats.ttest_ind(equal_var=False) of the A of S1 and the B of S2, in sixty-fourths. */
static void welch(void **state)
{
    (void)state;
    double a[] = { 412, 398, 455, 430, 501, 377, 489, 463 }, b[] = { 18, 29, 17, 27, 35, 20, 21, 25, 33, 22, 27, 25 };
    gyre_estimate e, f;
    gyre_judgement j, g;
    for (size_t i = 0; i < 12; i++) {
        if (i < 8)
            a[i] /= 64.0;
        b[i] /= 64.0;
    }
    const gyre_margin margin = { true, -6.0, 7.0 }, mirrored = { true, -7.0, 6.0 };
    OK(gyre_welch(a, 8, b, 12, &e, &err));
    OK(gyre_judge(&e, &margin, 0.05, &j, &err));
    CHECK_CLOSE(e.mean, 6.495442708333333, 1e-14, 0.0);
    CHECK_CLOSE(e.df, 7.1548014764347, 1e-13, 0.0);
    CHECK_CLOSE(j.t, 26.6376237131467, 1e-14, 0.0);
    CHECK_CLOSE(j.p, 2.012469310199036e-08, 1e-9, 0.0);
    assert_int_equal(j.tost_p < 0.05, j.inner_lo > -6.0 && j.inner_hi < 7.0);
    OK(gyre_welch(b, 12, a, 8, &f, &err));
    OK(gyre_judge(&f, &mirrored, 0.05, &g, &err));
    CHECK_CLOSE(g.p, j.p, 1e-13, 0.0);
    CHECK_CLOSE(g.tost_p_lower, j.tost_p_upper, 1e-10, 0.0);
    const double flat[] = { 0.1, 0.1, 0.3 - 0.2 };
    OK(gyre_welch(flat, 3, b, 12, &e, &err)); /* one side's spread is enough: the t of the other */
    CHECK_CLOSE(e.df, 11.0, 1e-9, 0.0);
    OK(gyre_welch(flat, 3, flat, 2, &e, &err));
    assert_true(e.degenerate && e.se <= 0.0 && isnan(e.df));
    REFUSED(gyre_welch(a, 1, b, 12, &e, &err), GYRE_E_APPLICABLE, "sample a has 1");
    b[3] = (double)INFINITY;
    REFUSED(gyre_welch(a, 8, b, 12, &e, &err), GYRE_E_NAN, "number 3 of sample b");
}

/* scipy.stats.binomtest(3, 13) and chi2.sf; tails of coins against their sum. */
static void mcnemar(void **state)
{
    (void)state;
    gyre_mcnemar_result r, turned;
    OK(gyre_mcnemar(10, 3, &r, &err));
    OK(gyre_mcnemar(3, 10, &turned, &err));
    CHECK_CLOSE(r.p, 0.09228515625, 0.0, 0.0);
    CHECK_CLOSE(turned.p, r.p, 0.0, 0.0);
    CHECK_CLOSE(r.chi2, 49.0 / 13.0, 1e-15, 0.0);
    CHECK_CLOSE(r.p_chi2, 0.0522036353413146, 1e-12, 0.0);
    CHECK_CLOSE(r.chi2_corrected, 36.0 / 13.0, 1e-15, 0.0);
    CHECK_CLOSE(r.p_chi2_corrected, 0.0960923294556734, 1e-12, 0.0);
    OK(gyre_mcnemar(4, 4, &r, &err));
    assert_true(r.p >= 1.0 && r.p <= 1.0 && r.p_chi2 >= 1.0);
    REFUSED(gyre_mcnemar(0, 0, &r, &err), GYRE_E_APPLICABLE, "agree on every item");
    for (size_t n = 1; n <= 1200; n += 109)
        for (size_t k = 0; k < n; k += 1 + n / 7) { /* 1200: by the beta function */
            CHECK_CLOSE(gyre_coin_at_most(k, n) + gyre_coin_at_least(k + 1, n), 1.0, 1e-11, 0.0);
            CHECK_CLOSE(gyre_coin_at_most(k, n), gsl_cdf_binomial_P((unsigned)k, 0.5, (unsigned)n), 1e-9, 1e-300);
        }
}

/* The interval of dz: scipy.stats.nct and brentq; of the pseudo-median: Walsh averages ranked by Wilcoxon's table (n = 8: T = 3, so the 4th and the 33rd of 36). */
static void effects(void **state)
{
    (void)state;
    const double d[] = { 7 / 64.0, -4 / 64.0, 15 / 64.0, -1 / 64.0, 23 / 64.0, 6 / 64.0, 19 / 64.0, 11 / 64.0 };
    double walsh[36];
    gyre_effect e;
    OK(gyre_effect_sizes(d, NULL, 8, 0.05, &e, &err));
    CHECK_CLOSE(e.dz_lo, 0.12421056333404841, 1e-9, 0.0);
    CHECK_CLOSE(e.dz_hi, 1.8569156669875215, 1e-9, 0.0);
    CHECK_CLOSE(e.g_lo / e.dz_lo, e.j, 1e-14, 0.0);
    CHECK_CLOSE(e.g_hi / e.dz_hi, e.j, 1e-14, 0.0);
    for (size_t i = 0, m = 0; i < 8; i++)
        for (size_t j = i; j < 8; j++)
            walsh[m++] = 0.5 * (d[i] + d[j]);
    for (size_t i = 0; i < 36; i++) /* sorted by hand */
        for (size_t j = i + 1; j < 36; j++)
            if (walsh[j] < walsh[i]) {
                double t = walsh[i];
                walsh[i] = walsh[j];
                walsh[j] = t;
            }
    CHECK_CLOSE(e.hl_lo, walsh[3], 1e-12, 1e-12);
    CHECK_CLOSE(e.hl_hi, walsh[32], 1e-12, 0.0);
    CHECK_CLOSE(e.hodges_lehmann, 0.5 * (walsh[17] + walsh[18]), 1e-15, 0.0);
    static double many[4001];
    for (size_t i = 0; i < 4001; i++)
        many[i] = (double)(i % 7);
    OK(gyre_effect_sizes(many, NULL, 4001, 0.05, &e, &err)); /* too many pairs for the pseudo-median; the rest stands */
    assert_true(isnan(e.hodges_lehmann) && isnan(e.hl_lo) && e.dz > 1.4 && e.dz_lo < e.dz && e.rank_biserial >= 1.0);
    const double flat[] = { 2, 2, 2 };
    REFUSED(gyre_effect_sizes(flat, NULL, 3, 0.05, &e, &err), GYRE_E_APPLICABLE, "no spread");
    REFUSED(gyre_effect_sizes(d, NULL, 8, 0.7, &e, &err), GYRE_E_CONFIG, "alpha");
}

/* Above 100 documents signed ranks are normal: against the exact distribution at 100, both near T's mean and in the tail. */
static void many_ranks(void **state)
{
    (void)state;
    float noise[101];
    double d[101];
    gyre_signed_ranks exact, normal;
    normals(noise, 101, 31);
    for (size_t i = 0; i < 101; i++)
        d[i] = (double)noise[i] + 0.2;
    OK(gyre_signed_rank(d, 100, 0.0, GYRE_ZEROS_DROP, &exact, &err));
    OK(gyre_signed_rank(d, 101, 0.0, GYRE_ZEROS_DROP, &normal, &err));
    assert_true(exact.exact && !normal.exact);
    CHECK_CLOSE(exact.p_continuous, exact.p, 0.03, 0.0);
    CHECK_CLOSE(normal.p, normal.p_continuous, 1e-12, 0.0);
    CHECK_CLOSE(exact.w_plus + exact.w_minus, 5050.0, 0.0, 0.0);
    const double zeros[3] = { 0.0 };
    OK(gyre_signed_rank(zeros, 3, 0.0, GYRE_ZEROS_PRATT, &exact, &err));
    assert_true(exact.n == 0 && exact.p >= 1.0 && isnan(exact.p_normal));
}

/* ---- rank correlations ---- */

static void rank_intervals(void **state)
{
    (void)state;
    double lo, hi;
    OK(gyre_spearman_interval(0.6, 20, 0.05, &lo, &hi, &err)); /* numpy, from the formula */
    CHECK_CLOSE(lo, 0.17495429, 1e-7, 0.0);
    CHECK_CLOSE(hi, 0.8365359, 1e-7, 0.0);
    OK(gyre_kendall_interval(0.4, 20, 0.05, &lo, &hi, &err));
    CHECK_CLOSE(lo, 0.09940622, 1e-7, 0.0);
    CHECK_CLOSE(hi, 0.63369238, 1e-7, 0.0);
    OK(gyre_spearman_interval(1.0, 9, 0.05, &lo, &hi, &err));
    assert_true(lo >= 1.0 && hi <= 1.0);
    REFUSED(gyre_kendall_interval(0.4, 4, 0.05, &lo, &hi, &err), GYRE_E_APPLICABLE, "4 pairs");
    REFUSED(gyre_spearman_interval(1.5, 9, 0.05, &lo, &hi, &err), GYRE_E_RANGE, "1.5");

    /* All 4^4 resamples of four pairs: the drawn interval is that of their distribution. */
    const double x[] = { 1, 2, 3, 4 }, y[] = { 2, 1, 4, 3 };
    double all[256], u[4], v[4];
    size_t kept = 0, left_out;
    for (size_t r = 0; r < 256; r++) {
        for (size_t i = 0; i < 4; i++) {
            u[i] = x[r >> (2 * i) & 3];
            v[i] = y[r >> (2 * i) & 3];
        }
        kept += gyre_rank_spearman(u, v, 4, &all[kept], &err) == GYRE_OK;
    }
    assert_int_equal(kept, 252); /* four resamples are one pair four times */
    double least = 1.0, most = -1.0;
    for (size_t i = 0; i < kept; i++) {
        least = fmin(least, all[i]);
        most = fmax(most, all[i]);
    }
    OK(gyre_rank_bootstrap(gyre_rank_spearman, x, y, 4, 0.05, 4000, 9, &lo, &hi, &left_out, &err));
    CHECK_CLOSE((double)left_out, 4000.0 * 4.0 / 256.0, 0.0, 4.0 * sqrt(4000.0 / 64.0));
    CHECK_CLOSE(lo, least, 1e-12, 0.0);
    CHECK_CLOSE(hi, most, 1e-12, 0.0);
    const double steps[] = { 1, 2, 3, 4 };
    OK(gyre_rank_bootstrap(gyre_rank_kendall, x, steps, 4, 0.05, 500, 9, &lo, &hi, &left_out, &err)); /* no resample changes the order */
    assert_true(lo >= 1.0 && hi <= 1.0);
}

/* ---- variance components ---- */

/* A layout built from effects that add up to zero along every factor has known sums of squares: for +-1 patterns of three factors of two levels each, N times the square of the size. */
static void components_by_hand(void **state)
{
    (void)state;
    const double size[8] = { 0, 3, 5, 0.5, 7, 0.25, 0.75, 0.125 }; /* by set: a, b, ab, c, ac, bc, abc */
    double x[8];
    for (size_t i = 0; i < 8; i++) {
        double sign[3] = { (i >> 2 & 1) != 0 ? 1 : -1, (i >> 1 & 1) != 0 ? 1 : -1, (i & 1) != 0 ? 1 : -1 };
        x[i] = 100.0;
        for (unsigned set = 1; set < 8; set++)
            x[i] += size[set] * ((set & 1) != 0 ? sign[0] : 1.0) * ((set & 2) != 0 ? sign[1] : 1.0) * ((set & 4) != 0 ? sign[2] : 1.0);
    }
    gyre_factor f[] = { { "a", 2, true }, { "b", 2, true }, { "c", 2, true } };
    gyre_component c[7];
    OK(gyre_components(x, f, 3, c, &err));
    for (unsigned set = 1; set < 8; set++) {
        assert_int_equal(c[set - 1].factors, set);
        CHECK_CLOSE(c[set - 1].ss, 8.0 * size[set] * size[set], 1e-12, 0.0);
        CHECK_CLOSE(c[set - 1].ms, c[set - 1].ss, 1e-15, 0.0); /* one degree of freedom each */
    }
    CHECK_CLOSE(c[0].variance, (8.0 / 4.0) * (9.0 - 0.25 - 0.0625 + 0.015625), 1e-12, 0.0); /* (MS_a - MS_ab - MS_ac + MS_abc) / 4 */
    f[2].random = false; /* c fixed: its interactions average out of what has no c */
    OK(gyre_components(x, f, 3, c, &err));
    CHECK_CLOSE(c[0].variance, (8.0 / 4.0) * (9.0 - 0.25), 1e-12, 0.0);
    CHECK_CLOSE(c[3].variance, (8.0 / 4.0) * (49.0 - 0.0625 - 0.5625 + 0.015625), 1e-12, 0.0);
    assert_false(c[0].negative);
    REFUSED(gyre_components(x, f, 0, c, &err), GYRE_E_APPLICABLE, "0 factors");
    f[1].levels = 1;
    REFUSED(gyre_components(x, f, 3, c, &err), GYRE_E_APPLICABLE, "factor b has 1 level");
}

/* Two random factors are the crossed test; components below zero are 0 and flagged where that test puts 0; sums of squares add up to the whole. */
static void components_and_crossed(void **state)
{
    (void)state;
    size_t negative = 0;
    for (uint32_t run = 0; run < 40; run++) {
        float noise[96 + 14];
        double d[96], ss = 0.0;
        normals(noise, 110, 700 + run);
        for (size_t i = 0; i < 96; i++)
            d[i] = (double)noise[i] + (run % 2 == 0 ? 0.0 : (double)noise[96 + i / 12] + 0.5 * (double)noise[98 + i % 12]);
        const gyre_factor f[] = { { "seed", 8, true }, { "document", 12, true } };
        gyre_component c[3];
        gyre_estimate e;
        OK(gyre_components(d, f, 2, c, &err));
        OK(gyre_test_crossed.estimate(d, 8, 12, &e, &err));
        CHECK_CLOSE(sqrt(c[0].variance), e.sd_seed, 1e-10, 1e-14);
        CHECK_CLOSE(sqrt(c[1].variance), e.sd_document, 1e-10, 1e-14);
        CHECK_CLOSE(sqrt(c[2].variance), e.sd_residual, 1e-12, 0.0);
        for (size_t i = 0; i < 3; i++) {
            ss += c[i].ss;
            negative += c[i].negative;
            assert_true(!c[i].negative || c[i].variance <= 0.0);
        }
        CHECK_CLOSE(ss, gsl_stats_tss(d, 1, 96), 1e-12, 0.0);
    }
    assert_true(negative > 5);
}

/* ---- power ---- */

static void power_identities(void **state)
{
    (void)state;
    double p, q, mde, below, above;
    const gyre_margin margin = { true, -0.5, 0.5 };
    for (double df = 1.0; df < 3000.0; df *= 3.3) {
        OK(gyre_power_t(0.0, 1.0, df, 0.05, &p, &err)); /* no difference: the level */
        CHECK_CLOSE(p, 0.05, 1e-11, 0.0);
        OK(gyre_power_t(-1.7, 0.6, df, 0.05, &p, &err));
        OK(gyre_power_t(1.7, 0.6, df, 0.05, &q, &err));
        CHECK_CLOSE(p, q, 1e-14, 0.0);
        OK(gyre_power_tost(0.5, &margin, GYRE_GOAL_NOT_WORSE, 0.1, df, 0.05, &p, &err)); /* the truth is the margin */
        CHECK_CLOSE(p, 0.05, 1e-11, 0.0);
        OK(gyre_power_tost(0.5, &margin, GYRE_GOAL_EQUIVALENT, 0.1, df, 0.05, &q, &err));
        assert_true(q <= p);
        OK(gyre_noncentral_t(1.3, df, 0.0, &below, &above, &err));
        CHECK_CLOSE(above, gsl_cdf_tdist_Q(1.3, df), 1e-11, 0.0);
        CHECK_CLOSE(below + above, 1.0, 1e-12, 0.0);
        OK(gyre_mde(0.3, df, 0.05, 0.8, &mde, &err));
        OK(gyre_power_t(mde, 0.3, df, 0.05, &p, &err));
        CHECK_CLOSE(p, 0.8, 1e-11, 0.0);
    }
    OK(gyre_noncentral_t(gsl_cdf_tdist_Qinv(0.05, 19.0), 19.0, 1.7, &below, &above, &err)); /* scipy.stats.nct.sf */
    CHECK_CLOSE(above, 0.4977020178892495, 1e-9, 0.0);
    OK(gyre_mde(2.0, 1e6, 0.05, 0.8, &mde, &err)); /* many degrees of freedom: 1.96 + 0.84 standard errors */
    CHECK_CLOSE(mde, 2.0 * (1.959963984540054 + 0.8416212335729143), 1e-5, 0.0);
    REFUSED(gyre_power_t(1.0, 0.0, 5.0, 0.05, &p, &err), GYRE_E_RANGE, "standard error 0");
    REFUSED(gyre_power_t(1.0, 1.0, 5.0, 0.6, &p, &err), GYRE_E_CONFIG, "alpha");
    REFUSED(gyre_power_tost(0.0, &none, GYRE_GOAL_EQUIVALENT, 1.0, 5.0, 0.05, &p, &err), GYRE_E_CONFIG, "without a margin");
    REFUSED(gyre_mde(1.0, 5.0, 0.05, 0.01, &p, &err), GYRE_E_CONFIG, "power 0.01");
}

/* Power of the crossed test, predicted from the components, against the share of simulated samples in which it decides: 1500 samples a row. */
static void power_of_crossed(void **state)
{
    (void)state;
    static const struct {
        gyre_design design;
        double effect, margin;
    } rows[] = {
        { { 8, 12, 1.0, 0.1, 0.3 }, 1.0, 1.6 }, { { 16, 12, 0.5, 0.5, 0.5 }, 0.5, 0.7 }, { { 8, 24, 0.3, 1.0, 0.5 }, 0.7, 1.0 }, { { 12, 12, 0.7, 0.9, 0.2 }, 1.0, 1.4 },
        { { 1, 12, 0.0, 1.0, 0.0 }, 0.9, 1.1 },
    };
    enum { RUNS = 1500 };
    print_message("  S  D  sd seed  sd doc  sd res | two-sided at the effect: formula, simulated | TOST at 0: formula, simulated\n");
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const gyre_design *g = &rows[k].design;
        const gyre_margin margin = { true, -rows[k].margin, rows[k].margin };
        double two_sided, tost, seen = 0.0, equivalent = 0.0;
        OK(gyre_power_crossed(g, rows[k].effect, &none, GYRE_GOAL_EQUIVALENT, 0.05, &two_sided, &err));
        OK(gyre_power_crossed(g, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, &tost, &err));
        for (uint32_t run = 0; run < RUNS; run++) {
            float noise[400];
            double d[300];
            size_t n = g->seeds * g->documents;
            gyre_estimate e;
            gyre_judgement j;
            normals(noise, n + g->seeds + g->documents, 30000 + 2000 * (uint32_t)k + run);
            for (size_t i = 0; i < n; i++)
                d[i] = g->sd_residual * (double)noise[i] + g->sd_seed * (double)noise[n + i / g->documents] + g->sd_document * (double)noise[n + g->seeds + i % g->documents];
            OK(gyre_test_judge(gyre_test_default(g->seeds, g->documents), d, g->seeds, g->documents, &margin, 0.05, 0, &e, &j, &err));
            equivalent += (j.tost_p < 0.05) / (double)RUNS;
            e.mean += rows[k].effect; /* the same sample with a true difference */
            OK(gyre_judge(&e, &margin, 0.05, &j, &err));
            seen += (j.p < 0.05) / (double)RUNS;
        }
        print_message(" %2zu %2zu  %7.2f %7.2f %7.2f |                         %.4f, %.4f      |            %.4f, %.4f\n", g->seeds, g->documents, g->sd_seed, g->sd_document, g->sd_residual,
                      two_sided, seen, tost, equivalent);
        double slack = 4.0 * 0.5 / sqrt((double)RUNS) + (g->seeds == 1 ? 0.0 : 0.02); /* binomial, and that df is estimated */
        CHECK_CLOSE(seen, two_sided, 0.0, slack);
        CHECK_CLOSE(equivalent, tost, 0.0, slack);
    }
}

static void seeds_and_documents_needed(void **state)
{
    (void)state;
    const gyre_margin margin = { true, -0.05, 0.05 };
    gyre_design design = { 8, 12, 0.05, 0.02, 0.01 };
    double n, power;
    OK(gyre_seeds_needed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, 0.8, &n, &err));
    design.seeds = (size_t)n;
    OK(gyre_power_crossed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, &power, &err));
    assert_true(power >= 0.8);
    design.seeds--;
    OK(gyre_power_crossed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, &power, &err));
    assert_true(power < 0.8);
    design = (gyre_design){ 4, 12, 0.05, 0.02, 0.01 }; /* four seeds of such a spread never suffice, whatever the documents */
    OK(gyre_documents_needed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, 0.8, &n, &err));
    assert_true(isnan(n));
    OK(gyre_seeds_needed(&design, 0.06, &margin, GYRE_GOAL_EQUIVALENT, 0.05, 0.8, &n, &err)); /* the truth is outside the margin */
    assert_true(isnan(n));
    design = (gyre_design){ 1, 40, (double)NAN, 0.05, (double)NAN };
    OK(gyre_seeds_needed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, 0.8, &n, &err));
    CHECK_CLOSE(n, 1.0, 0.0, 0.0);
    double se, df;
    design = (gyre_design){ 1, 40, 0.1, 0.05, 0.0 };
    REFUSED(gyre_design_error(&design, &se, &df, &err), GYRE_E_APPLICABLE, "one seed");
    design = (gyre_design){ 3, 40, 0.0, 0.0, (double)NAN };
    REFUSED(gyre_design_error(&design, &se, &df, &err), GYRE_E_RANGE, "no spread");
    design = (gyre_design){ 6, 4, sqrt((0.51888020833333337 / 5 - 0.010498046875 / 15) / 4), sqrt((0.094482421875 / 3 - 0.010498046875 / 15) / 6), sqrt(0.010498046875 / 15) };
    OK(gyre_design_error(&design, &se, &df, &err)); /* the components of a sample give its own standard error: S4, as in test_stats.c */
    double v = 0.51888020833333337 / 5 + 0.094482421875 / 3 - 0.010498046875 / 15;
    CHECK_CLOSE(se, sqrt(v / 24.0), 1e-12, 0.0);
}

/* Against trying all of 2 to 120: power that rises and falls again (as documents grow three seeds come to rule df) does not hide the least count. */
static void the_least_count(void **state)
{
    (void)state;
    static const double sd[] = { 0.01, 0.3, 1.0 };
    size_t falls = 0, found = 0;
    for (size_t k = 0; k < 27 * 4 * 8; k++) {
        const double hi = 0.1 * pow(1.5, 1.0 + 2.0 * (double)(k % 8)) / 1.333;
        const gyre_margin margin = { true, -hi, hi };
        gyre_design design = { 2 + k / 8 % 4, 2, sd[k / 32 % 3], sd[k / 96 % 3], sd[k / 288] };
        double power, before = 0.0, n;
        size_t least = 0;
        OK(gyre_documents_needed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, 0.8, &n, &err));
        for (design.documents = 2; design.documents <= 120; design.documents++) {
            OK(gyre_power_crossed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, &power, &err));
            falls += power < before - 1e-6;
            before = power;
            least = least == 0 && power >= 0.8 ? design.documents : least;
        }
        found += least > 0;
        if (least > 0)
            CHECK_CLOSE(n, (double)least, 0.0, 0.0);
        else
            assert_true(isnan(n) || n > 120.0);
    }
    assert_true(falls > 100 && found > 100);
    const gyre_margin margin = { true, -2.56289, 2.56289 }; /* three seeds, three documents; four documents are not enough */
    gyre_design three = { 3, 8, 1.0, 0.3, 0.01 };
    double n, power;
    OK(gyre_documents_needed(&three, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, 0.8, &n, &err));
    CHECK_CLOSE(n, 3.0, 0.0, 0.0);
    OK(gyre_power_crossed(&three, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, &power, &err));
    assert_true(power < 0.8);
}

/* ---- families, blocks, series ---- */

static void adjustments(void **state)
{
    (void)state;
    for (uint32_t run = 0; run < 100; run++) {
        float noise[20];
        double p[20], holm[20], bh[20], by[20];
        normals(noise, 20, 1200 + run);
        for (size_t i = 0; i < 20; i++)
            p[i] = i % 7 == 3 ? (double)NAN : 2.0 * gsl_cdf_ugaussian_Q(fabs(2.0 * (double)noise[i]));
        OK(gyre_correction_find("holm")->adjust(p, 20, holm, &err));
        OK(gyre_benjamini_hochberg(p, 20, bh, &err));
        OK(gyre_benjamini_yekutieli(p, 20, by, &err));
        for (size_t i = 0; i < 20; i++) {
            if (i % 7 == 3) {
                assert_true(isnan(bh[i]) && isnan(by[i]));
                continue;
            }
            assert_true(p[i] <= bh[i] && bh[i] <= holm[i] * (1.0 + 1e-12) && bh[i] <= by[i] && by[i] <= 1.0);
            for (size_t k = 0; k < 20; k++)
                assert_true(k % 7 == 3 || p[i] > p[k] || bh[i] <= bh[k]);
        }
        for (size_t i = 0; i < 20; i++) { /* by definition: the least m p / rank among the p values that are no smaller */
            double least = 1.0;
            for (size_t k = 0; k < 20 && i % 7 != 3; k++) {
                double rank = 0.0;
                for (size_t l = 0; l < 20; l++)
                    rank += p[l] <= p[k];
                least = p[k] >= p[i] ? fmin(least, 17.0 * p[k] / rank) : least;
            }
            if (i % 7 != 3)
                CHECK_CLOSE(bh[i], least, 1e-12, 0.0);
        }
    }
    const double bad[] = { .5, 1.5 };
    double out[2];
    REFUSED(gyre_benjamini_hochberg(bad, 2, out, &err), GYRE_E_RANGE, "p value 1 of a family is 1.5");
    assert_null(gyre_correction_find("bonferroni"));
    assert_string_equal(gyre_corrections[0].name, "holm");
    for (const gyre_correction_type *c = gyre_corrections; c->name != NULL; c++)
        assert_true(gyre_correction_find(c->name) == c && strlen(c->summary) > 0);
}

/* Two methods: the range of two normals is a normal's |difference|, and Friedman's is the sign test's chi-square. */
static void blocks(void **state)
{
    (void)state;
    double p, q, rank[2], x[] = { 1, 2, 5, 3, 2, 8, 4, 7, 1, 6, 3, 9 };
    gyre_friedman_result f;
    gyre_anova a;
    OK(gyre_range_tail(3.0, 2, &p, &err));
    CHECK_CLOSE(p, 2.0 * gsl_cdf_ugaussian_Q(3.0 / sqrt(2.0)), 1e-13, 0.0);
    OK(gyre_range_tail(25.0, 2, &p, &err)); /* far tails keep their digits */
    CHECK_CLOSE(p, 2.0 * gsl_cdf_ugaussian_Q(25.0 / sqrt(2.0)), 1e-11, 0.0);
    OK(gyre_range_tail(0.0, 7, &p, &err));
    CHECK_CLOSE(p, 1.0, 1e-12, 0.0);
    OK(gyre_range_quantile(0.01, 2, &q, &err));
    CHECK_CLOSE(q, sqrt(2.0) * gsl_cdf_ugaussian_Qinv(0.005), 1e-12, 0.0);
    OK(gyre_friedman(x, 6, 2, rank, &f, &err)); /* five of six blocks prefer the first: chi2 = (5 - 1)^2 / 6 */
    CHECK_CLOSE(f.chi2, 16.0 / 6.0, 1e-14, 0.0);
    CHECK_CLOSE(rank[0], 7.0 / 6.0, 1e-14, 0.0);
    OK(gyre_anova_two_way(x, 6, 2, &a, &err)); /* F of two methods is the square of the paired t */
    double d[6];
    gyre_estimate e;
    for (size_t i = 0; i < 6; i++)
        d[i] = x[2 * i] - x[2 * i + 1];
    OK(gyre_test_paired_t.estimate(d, 1, 6, &e, &err));
    CHECK_CLOSE(a.f, e.mean * e.mean / (e.se * e.se), 1e-13, 0.0);
    CHECK_CLOSE(a.epsilon, 1.0, 1e-14, 0.0);
    x[4] = 2;
    x[5] = 8;
    x[2] = 3;
    x[3] = 5;
    OK(gyre_friedman(x, 6, 2, rank, &f, &err)); /* all blocks agree */
    assert_true(isinf(f.f) && f.p_f <= 0.0);
    const double tied[] = { 1, 1, 2, 2 };
    REFUSED(gyre_friedman(tied, 2, 2, rank, &f, &err), GYRE_E_APPLICABLE, "tie in every block");
    REFUSED(gyre_friedman(x, 1, 2, rank, &f, &err), GYRE_E_APPLICABLE, "1 block");
    REFUSED(gyre_anova_two_way(x, 6, 1, &a, &err), GYRE_E_APPLICABLE, "1 method");
    const size_t sizes[] = { 2, 2 }, empty[] = { 0, 2 };
    OK(gyre_anova_one_way(tied, sizes, 2, &a, &err)); /* nothing within groups */
    assert_true(isinf(a.f) && a.p <= 0.0);
    REFUSED(gyre_anova_one_way(tied, empty, 2, &a, &err), GYRE_E_APPLICABLE, "group 0");
}

/* A series without lags is a sample; blocks of one number are the bootstrap's; one block of all is always the mean. */
static void series_limits(void **state)
{
    (void)state;
    float noise[60];
    double x[60], se, n_eff, lo, hi, r[3];
    normals(noise, 60, 1500);
    for (size_t i = 0; i < 60; i++)
        x[i] = (double)noise[i];
    OK(gyre_series_newey_west(x, 60, 0, &se, &n_eff, &err));
    CHECK_CLOSE(se, gsl_stats_sd(x, 1, 60) * sqrt(59.0 / 60.0 / 60.0), 1e-12, 0.0);
    CHECK_CLOSE(n_eff, 60.0, 1e-12, 0.0);
    OK(gyre_series_blocks(x, 60, 60, 0.05, 50, 1, &se, &lo, &hi, &err));
    CHECK_CLOSE(lo, hi, 1e-13, 1e-14);
    OK(gyre_series_blocks(x, 60, 1, 0.05, 4000, 1, &se, &lo, &hi, &err));
    CHECK_CLOSE(se, gsl_stats_sd(x, 1, 60) * sqrt(59.0 / 60.0 / 60.0), 0.05, 0.0);
    for (size_t i = 0; i < 60; i++) /* each number twice: half of the series is news */
        x[i] = (double)noise[i / 2];
    OK(gyre_series_newey_west(x, 60, 1, &se, &n_eff, &err));
    assert_true(n_eff < 48.0);
    OK(gyre_series_acf(x, 60, 2, r, &err));
    assert_true(r[0] >= 1.0 && r[1] > 0.3);
    REFUSED(gyre_series_blocks(x, 60, 7, 0.05, 50, 1, &se, &lo, &hi, &err), GYRE_E_APPLICABLE, "blocks of 7");
    REFUSED(gyre_series_acf(x, 2, 2, r, &err), GYRE_E_APPLICABLE, "2 lag(s) of a series of 2");
    const double flat[] = { 0.1, 0.1, 0.3 - 0.2 };
    REFUSED(gyre_series_newey_west(flat, 3, 1, &se, &n_eff, &err), GYRE_E_APPLICABLE, "all 3 numbers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(welch),          cmocka_unit_test(mcnemar),            cmocka_unit_test(effects),                cmocka_unit_test(many_ranks),
        cmocka_unit_test(rank_intervals), cmocka_unit_test(components_by_hand), cmocka_unit_test(components_and_crossed), cmocka_unit_test(power_identities),
        cmocka_unit_test(power_of_crossed), cmocka_unit_test(seeds_and_documents_needed), cmocka_unit_test(the_least_count), cmocka_unit_test(adjustments), cmocka_unit_test(blocks),
        cmocka_unit_test(series_limits),
    };
    gsl_set_error_handler_off();
    return cmocka_run_group_tests_name("stats_estimators", tests, NULL, NULL);
}
