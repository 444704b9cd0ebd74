/* Reference values of stats/: fixed dyadic data sets against tests/golden/statistics.h (each value with its source; tests/golden/make_statistics.py makes them), to a relative 1e-12 and exact p values
 * to the last bit, and NIST's Statistical Reference Datasets to the digits that are certified. */
#include <gsl/gsl_errno.h>
#include <gsl/gsl_statistics_double.h>

#include "check.h"
#include "golden/statistics.h"
#include "stats/anova.h"
#include "stats/effect.h"
#include "stats/friedman.h"
#include "stats/multiplicity.h"
#include "stats/power.h"
#include "stats/resample.h"
#include "stats/series.h"
#include "stats/signed_rank.h"
#include "stats/stats.h"
#include "stats/verdict.h"

enum { MOST = 64, N_VALUES = sizeof golden_values / sizeof *golden_values };

typedef struct used {
    bool value[N_VALUES];
} used;

/* The value of this name; every name must be asked for by the end. */
static double golden(used *u, const char *set, const char *name)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s.%s", set, name);
    for (size_t i = 0; i < N_VALUES; i++)
        if (strcmp(golden_values[i].name, full) == 0) {
            u->value[i] = true;
            return golden_values[i].value;
        }
    fail_msg("no golden value %s", full);
    return (double)NAN;
}

#define CLOSE(set, name, computed) CHECK_CLOSE((computed), golden(u, (set), (name)), 1e-12, 0.0)
#define EXACT(set, name, computed)                                                                                             \
    do {                                                                                                                       \
        double x_ = (computed), y_ = golden(u, (set), (name));                                                                 \
        if (memcmp(&x_, &y_, sizeof x_) != 0)                                                                                  \
            fail_msg("%s:%d: %s.%s = %.17g, expected exactly %.17g", __FILE__, __LINE__, (set), (name), x_, y_);               \
    } while (0)

/* ---- data ---- */

static void congruential(uint64_t x, size_t n, double *high)
{
    for (size_t i = 0; i < n; i++) {
        x = (UINT64_C(1103515245) * x + 12345) % (UINT64_C(1) << 31);
        high[i] = (double)(x >> 16);
    }
}

typedef struct pairs {
    const char *name;
    size_t n;
    double a[MOST], b[MOST], d[MOST], margin;
} pairs;

static pairs sample(size_t which)
{
    static const int s1[2][8] = { { 412, 398, 455, 430, 501, 377, 489, 463 }, { 405, 402, 440, 431, 478, 371, 470, 452 } };
    static const int s2[2][12] = { { 20, 31, 17, 25, 40, 22, 19, 28, 33, 26, 30, 24 }, { 18, 29, 17, 27, 35, 20, 21, 25, 33, 22, 27, 25 } };
    pairs p = which == 0 ? (pairs){ .name = "S1", .n = 8, .margin = 0.25 } : which == 1 ? (pairs){ .name = "S2", .n = 12, .margin = 0.0625 } : (pairs){ .name = "S3", .n = 25, .margin = 0.125 };
    double high[50];
    congruential(12345, 50, high);
    for (size_t i = 0; i < p.n; i++) {
        p.a[i] = which == 0 ? s1[0][i] / 64.0 : which == 1 ? s2[0][i] / 64.0 : high[i] / 4096.0;
        p.b[i] = which == 0 ? s1[1][i] / 64.0 : which == 1 ? s2[1][i] / 64.0 : p.a[i] - (high[25 + i] - 15000.0) / 65536.0;
        p.d[i] = p.a[i] - p.b[i];
    }
    return p;
}

static void s4(double *x)
{
    static const int rows[6][4] = { { 40, 44, 39, 52 }, { 37, 41, 38, 47 }, { 55, 55, 50, 61 }, { 33, 36, 34, 40 }, { 61, 66, 59, 70 }, { 48, 47, 45, 58 } };
    for (size_t i = 0; i < 24; i++)
        x[i] = rows[i / 4][i % 4] / 64.0;
}

static void s6(double *x)
{
    double e[64], z = 0.0;
    congruential(2024, 64, e);
    for (size_t i = 0; i < 64; i++) {
        z = floor(3.0 * z / 4.0) + e[i] - 16384.0;
        x[i] = z / 65536.0;
    }
}

/* ---- paired samples ---- */

static gyre_judgement judged(const char *test, const pairs *s, gyre_estimate *e)
{
    gyre_error err;
    const gyre_margin margin = { true, -s->margin, s->margin };
    gyre_judgement j;
    CHECK_OK(gyre_test_judge(gyre_test_find(test), s->d, 1, s->n, &margin, 0.05, 42, e, &j, &err), &err);
    return j;
}

static void paired_values(void **state)
{
    used *u = *state;
    for (size_t k = 0; k < 3; k++) {
        pairs s = sample(k);
        gyre_estimate e;
        gyre_judgement j = judged("paired_t", &s, &e);
        CLOSE(s.name, "mean", e.mean);
        CLOSE(s.name, "sd", e.sd_document);
        CLOSE(s.name, "t", j.t);
        CLOSE(s.name, "p", j.p);
        CLOSE(s.name, "lo", j.lo);
        CLOSE(s.name, "hi", j.hi);
        CLOSE(s.name, "inner_lo", j.inner_lo);
        CLOSE(s.name, "inner_hi", j.inner_hi);
        CLOSE(s.name, "tost_p_lower", j.tost_p_lower);
        CLOSE(s.name, "tost_p_upper", j.tost_p_upper);
        CLOSE(s.name, "tost_p_upper", j.p_not_worse);
        CLOSE(s.name, "p_in_margin", 1.0 - j.tost_p_lower - j.tost_p_upper); /* posterior probability of the margin under a flat prior */
        assert_true(j.p_error <= 0.0);
    }
}

static void effect_values(void **state)
{
    used *u = *state;
    for (size_t k = 0; k < 3; k++) {
        pairs s = sample(k);
        gyre_error err;
        gyre_effect e, of_d;
        CHECK_OK(gyre_effect_sizes(s.a, s.b, s.n, 0.05, &e, &err), &err);
        CLOSE(s.name, "dz", e.dz);
        CLOSE(s.name, "j", e.j);
        CLOSE(s.name, "g", e.g);
        CLOSE(s.name, "d_av", e.d_av);
        CLOSE(s.name, "rank_biserial", e.rank_biserial);
        EXACT(s.name, "hodges_lehmann", e.hodges_lehmann);
        CHECK_OK(gyre_effect_sizes(s.d, NULL, s.n, 0.05, &of_d, &err), &err);
        CLOSE(s.name, "g", of_d.g);
        assert_true(isnan(of_d.d_av));
    }
}

static void rank_values(void **state)
{
    used *u = *state;
    for (size_t k = 0; k < 3; k++) {
        pairs s = sample(k);
        gyre_error err;
        gyre_estimate e;
        gyre_signed_ranks dropped, pratt;
        CHECK_OK(gyre_signed_rank(s.d, s.n, 0.0, GYRE_ZEROS_DROP, &dropped, &err), &err);
        CHECK_OK(gyre_signed_rank(s.d, s.n, 0.0, GYRE_ZEROS_PRATT, &pratt, &err), &err);
        EXACT(s.name, "w_plus", dropped.w_plus);
        EXACT(s.name, "w_minus", dropped.w_minus);
        EXACT(s.name, "wilcoxon", dropped.p);
        EXACT(s.name, "wilcoxon_pratt", pratt.p);
        CLOSE(s.name, "wilcoxon_normal", dropped.p_normal);
        CLOSE(s.name, "wilcoxon_continuous", dropped.p_continuous);
        CLOSE(s.name, "pratt_normal", pratt.p_normal);
        gyre_judgement j = judged("wilcoxon", &s, &e);
        EXACT(s.name, "wilcoxon", j.p);
        EXACT(s.name, "wilcoxon_tost", j.tost_p);
        EXACT(s.name, "hodges_lehmann", e.mean);
        j = judged("sign", &s, &e);
        EXACT(s.name, "sign", j.p);
        EXACT(s.name, "sign_tost", j.tost_p);
        j = judged("sign_flip", &s, &e);
        EXACT(s.name, "sign_flip", j.p);
        EXACT(s.name, "sign_flip_tost", j.tost_p);
    }
}

static void bootstrap_values(void **state)
{
    used *u = *state;
    const gyre_bca percentile = { 0.0, 0.0 };
    for (size_t k = 0; k < 3; k++) {
        pairs s = sample(k);
        gyre_error err;
        gyre_bca bca;
        double means[2000], lo, hi;
        gyre_bootstrap_means(s.d, s.n, 2000, 42, means);
        CHECK_OK(gyre_bca_of(s.d, s.n, means, 2000, &bca, &err), &err);
        CLOSE(s.name, "bca_z0", bca.z0);
        CLOSE(s.name, "bca_a", bca.a);
        gyre_resample_sort(means, 2000);
        gyre_resample_interval(means, 2000, &bca, 0.025, &lo, &hi);
        CLOSE(s.name, "bca_lo", lo);
        CLOSE(s.name, "bca_hi", hi);
        gyre_resample_interval(means, 2000, &percentile, 0.025, &lo, &hi);
        CLOSE(s.name, "percentile_lo", lo);
        CLOSE(s.name, "percentile_hi", hi);
    }
}

/* ---- methods on blocks ---- */

static void block_values(void **state)
{
    used *u = *state;
    gyre_error err;
    gyre_friedman_result f;
    gyre_anova a;
    double x[24], rank[4], cd, p;
    s4(x);
    CHECK_OK(gyre_friedman(x, 6, 4, rank, &f, &err), &err);
    CLOSE("S4", "mean_rank_1", rank[0]);
    CLOSE("S4", "mean_rank_2", rank[1]);
    CLOSE("S4", "mean_rank_3", rank[2]);
    CLOSE("S4", "mean_rank_4", rank[3]);
    CLOSE("S4", "friedman", f.chi2);
    CLOSE("S4", "friedman_p", f.p);
    CLOSE("S4", "iman_davenport", f.f);
    CLOSE("S4", "iman_davenport_p", f.p_f);
    CHECK_OK(gyre_nemenyi_difference(6, 4, 0.05, &cd, &err), &err);
    CLOSE("S4", "nemenyi_cd", cd);
    CHECK_OK(gyre_nemenyi_p(rank[3] - rank[2], 6, 4, &p, &err), &err);
    CLOSE("S4", "nemenyi_p", p);
    CHECK_OK(gyre_anova_two_way(x, 6, 4, &a, &err), &err);
    CLOSE("S4", "ss_method", a.ss_between);
    CLOSE("S4", "ss_layer", a.ss_block);
    CLOSE("S4", "ss_residual", a.ss_residual);
    CLOSE("S4", "anova_f", a.f);
    CLOSE("S4", "anova_p", a.p);
    CLOSE("S4", "gg_epsilon", a.epsilon);
    CLOSE("S4", "gg_p", a.p_epsilon);
}

static void range_values(void **state)
{
    used *u = *state;
    const char *const names[] = { "3", "4", "5", "6", "8", "10" };
    for (size_t i = 0; i < 6; i++) {
        gyre_error err;
        double q, p;
        size_t k = (size_t)atoi(names[i]);
        CHECK_OK(gyre_range_quantile(0.05, k, &q, &err), &err);
        CLOSE("range", names[i], q);
        CHECK_OK(gyre_range_tail(golden(u, "range", names[i]), k, &p, &err), &err);
        CHECK_CLOSE(p, 0.05, 1e-12, 0.0);
    }
}

static void family_values(void **state)
{
    used *u = *state;
    static const double p[] = { .001, .008, .039, .041, .042, .060, .074, .205 };
    const char *const names[] = { "holm", "bh", "by" };
    for (size_t c = 0; c < 3; c++) {
        gyre_error err;
        double adjusted[8];
        CHECK_OK(gyre_correction_find(names[c])->adjust(p, 8, adjusted, &err), &err);
        for (size_t i = 0; i < 8; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "%s_%zu", names[c], i + 1);
            CLOSE("S5", name, adjusted[i]);
        }
    }
}

/* ---- a series ---- */

static void series_values(void **state)
{
    used *u = *state;
    gyre_error err;
    gyre_estimate e;
    gyre_judgement j;
    const gyre_margin none = { false, 0.0, 0.0 };
    double x[64], r[4], se, n_eff, lo, hi, cluster[8];
    s6(x);
    CHECK_OK(gyre_test_judge(&gyre_test_paired_t, x, 1, 64, &none, 0.05, 0, &e, &j, &err), &err);
    CLOSE("S6", "mean", e.mean);
    CLOSE("S6", "sd", e.sd_document);
    CLOSE("S6", "naive_se", e.se);
    CLOSE("S6", "naive_p", j.p);
    CHECK_OK(gyre_series_acf(x, 64, 3, r, &err), &err);
    CLOSE("S6", "acf_1", r[1]);
    CLOSE("S6", "acf_2", r[2]);
    CLOSE("S6", "acf_3", r[3]);
    CHECK_OK(gyre_series_newey_west(x, 64, 4, &se, &n_eff, &err), &err);
    CLOSE("S6", "newey_west_se", se);
    CLOSE("S6", "n_eff", n_eff);
    CHECK_OK(gyre_series_blocks(x, 64, 8, 0.05, 2000, 7, &se, &lo, &hi, &err), &err);
    CLOSE("S6", "block_se", se);
    CLOSE("S6", "block_lo", lo);
    CLOSE("S6", "block_hi", hi);
    for (size_t c = 0; c < 8; c++)
        cluster[c] = gsl_stats_mean(x + 8 * c, 1, 8);
    CHECK_OK(gyre_test_judge(&gyre_test_paired_t, cluster, 1, 8, &none, 0.05, 0, &e, &j, &err), &err);
    CLOSE("S6", "cluster_t", j.t);
    CLOSE("S6", "cluster_p", j.p);
}

/* ---- power ---- */

static void power_values(void **state)
{
    used *u = *state;
    static const double t[4][2] = { { .5, 20 }, { .5, 34 }, { .2, 100 }, { .8, 10 } }, tost[4][3] = { { 0, .5, 20 }, { 0, .5, 36 }, { 0, .25, 140 }, { .1, .5, 50 } };
    for (size_t i = 0; i < 4; i++) {
        gyre_error err;
        const gyre_margin margin = { true, -tost[i][1], tost[i][1] };
        char name[8];
        double power;
        (void)snprintf(name, sizeof name, "%zu", i + 1);
        CHECK_OK(gyre_power_t(t[i][0], 1.0 / sqrt(t[i][1]), t[i][1] - 1.0, 0.05, &power, &err), &err);
        CLOSE("power_t", name, power);
        CHECK_OK(gyre_power_tost(tost[i][0], &margin, GYRE_GOAL_EQUIVALENT, 1.0 / sqrt(tost[i][2]), tost[i][2] - 1.0, 0.05, &power, &err), &err);
        CLOSE("power_tost", name, power);
    }
}

static void documents_needed(void **state)
{
    used *u = *state;
    const char *const sizes[] = { "1", "0.5", "0.3", "0.2", "0.1" }, *const powers[] = { "0.8", "0.9" };
    const gyre_design design = { 1, 12, (double)NAN, 1.0, (double)NAN };
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 2; k++) {
            gyre_error err;
            double size = strtod(sizes[i], NULL), power = strtod(powers[k], NULL), n;
            const gyre_margin none = { false, 0.0, 0.0 }, margin = { true, -size, size };
            char name[16];
            (void)snprintf(name, sizeof name, "%s.%s", sizes[i], powers[k]);
            CHECK_OK(gyre_documents_needed(&design, size, &none, GYRE_GOAL_EQUIVALENT, 0.05, power, &n, &err), &err);
            EXACT("needed_t", name, n);
            CHECK_OK(gyre_documents_needed(&design, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, power, &n, &err), &err);
            EXACT("needed_tost", name, n);
        }
}

/* ---- NIST ---- */

/* Certified to 15 digits of decimal data. What a double cannot hold of them (1000000000000.4 is off by 2.4e-5, which is 2e-4 of a standard deviation of 0.1) bounds the agreement: n rounding errors of the
 * largest number, in units of the spread. */
static double data_limit(const double *x, size_t n, double sd)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    return 4.0 * largest * 0x1p-53 / sd + 1e-14;
}

static void nist_univariate(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_univariates / sizeof *golden_univariates; i++) {
        const golden_univariate *g = &golden_univariates[i];
        gyre_error err;
        gyre_estimate e;
        double r[2], limit = data_limit(g->x, g->n, g->sd);
        CHECK_OK(gyre_test_paired_t.estimate(g->x, 1, g->n, &e, &err), &err);
        CHECK_OK(gyre_series_acf(g->x, g->n, 1, r, &err), &err);
        print_message("%-9s mean %.15g sd %.15g r1 %.15g (limit %.1e)\n", g->name, e.mean, e.sd_document, r[1], limit);
        CHECK_CLOSE(e.mean, g->mean, 1e-14, 0.0);
        CHECK_CLOSE(e.sd_document, g->sd, limit, 0.0);
        CHECK_CLOSE(r[1], g->r1, limit, 0.0);
    }
}

static void nist_one_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_one_ways / sizeof *golden_one_ways; i++) {
        const golden_one_way *g = &golden_one_ways[i];
        gyre_error err;
        gyre_anova a;
        size_t n = 0;
        for (size_t k = 0; k < g->k; k++)
            n += g->sizes[k];
        CHECK_OK(gyre_anova_one_way(g->x, g->sizes, g->k, &a, &err), &err);
        double limit = 4.0 * data_limit(g->x, n, sqrt(g->ss_within / a.df_residual));
        print_message("%-8s F %.15g, certified %.15g (limit %.1e)\n", g->name, a.f, g->f, limit);
        CHECK_CLOSE(a.ss_between, g->ss_between, limit, 0.0);
        CHECK_CLOSE(a.ss_residual, g->ss_within, limit, 0.0);
        CHECK_CLOSE(a.f, g->f, limit, 0.0);
        assert_true(isnan(a.ss_block) && isnan(a.epsilon));
    }
}

/* No value of the header went unread. */
static void all_used(void **state)
{
    const used *u = *state;
    for (size_t i = 0; i < N_VALUES; i++)
        if (!u->value[i])
            fail_msg("nothing is compared with %s", golden_values[i].name);
    print_message("%d reference values\n", N_VALUES);
}

static int begin(void **state)
{
    *state = calloc(1, sizeof(used));
    gsl_set_error_handler_off();
    return *state == NULL;
}

static int end(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paired_values),   cmocka_unit_test(effect_values), cmocka_unit_test(rank_values),   cmocka_unit_test(bootstrap_values),
        cmocka_unit_test(block_values),    cmocka_unit_test(range_values),  cmocka_unit_test(family_values), cmocka_unit_test(series_values),
        cmocka_unit_test(power_values),    cmocka_unit_test(documents_needed), cmocka_unit_test(nist_univariate), cmocka_unit_test(nist_one_way),
        cmocka_unit_test(all_used),
    };
    return cmocka_run_group_tests_name("stats_reference", tests, begin, end);
}
