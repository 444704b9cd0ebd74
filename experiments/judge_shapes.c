/* Tables that are not pairs of measurements: two or more groups, yes-or-no outcomes, one dependent series, two lists to be ranked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/judge.h"
#include "stats/anova.h"
#include "stats/mcnemar.h"
#include "stats/rank.h"
#include "stats/rank_interval.h"
#include "stats/series.h"
#include "stats/welch.h"

enum { MOST_GROUPS = 64, NOTE = 128 };

/* ---- groups ---- */

/* Values sorted by group, groups in order of appearance. */
typedef struct groups {
    size_t count, sizes[MOST_GROUPS];
    const char *names[MOST_GROUPS];
    double *values;
} groups;

static size_t group_of(groups *g, const char *name)
{
    size_t i = 0;
    while (i < g->count && strcmp(g->names[i], name) != 0)
        i++;
    if (i == g->count && i < MOST_GROUPS)
        g->names[g->count++] = name;
    return i;
}

static gyre_status read_groups(const gyre_desk *desk, groups *g, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_csv *csv = &desk->csv;
    double *rows = NULL;
    size_t column = 0, used = 0;
    GYRE_TRY(gyre_desk_numbers(desk, "value", &rows, err));
    GYRE_TRY(gyre_desk_column(desk, "group", &column, err));
    GYRE_NEW(&g->values, csv->n_rows);
    for (size_t i = 0; i < csv->n_rows; i++) {
        size_t k = group_of(g, csv->fields[i * csv->n_columns + column]);
        if (k == MOST_GROUPS)
            GYRE_TRY(gyre_csv_fault(csv, i, column, err, "it is the name of group %d: a group is an arm, its rows are documents", MOST_GROUPS + 1));
        if (g->names[k][0] == '\0')
            GYRE_TRY(gyre_csv_fault(csv, i, column, err, "it is empty"));
        g->sizes[k]++;
    }
    for (size_t k = 0; k < g->count; k++)
        for (size_t i = 0; i < csv->n_rows; i++)
            if (strcmp(csv->fields[i * csv->n_columns + column], g->names[k]) == 0)
                g->values[used++] = rows[i];
    if (g->count < 2)
        GYRE_FAIL(GYRE_E_INPUT, "%s has one group: there is nothing to compare", csv->path);
done:
    free(rows);
    return st;
}

static gyre_status welch(gyre_desk *desk, const groups *g, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_estimate e;
    gyre_judgement j;
    char name[NOTE];
    GYRE_TRY(gyre_welch(g->values, g->sizes[0], g->values + g->sizes[0], g->sizes[1], &e, err));
    GYRE_TRY(gyre_judge(&e, &desk->margin, desk->alpha, &j, err));
    (void)snprintf(name, sizeof name, "%.40s against %.40s", g->names[0], g->names[1]);
    gyre_desk_judgement(desk, "Welch", name, &e, &j);
done:
    return st;
}

static gyre_status one_way(gyre_desk *desk, const groups *g, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_anova a;
    char note[NOTE];
    if (desk->margin.declared)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %zu groups: a margin is about two", desk->csv.path, g->count);
    GYRE_TRY(gyre_anova_one_way(g->values, g->sizes, g->count, &a, err));
    (void)snprintf(note, sizeof note, "%g and %g degrees of freedom", a.df_between, a.df_residual);
    gyre_found_word(&desk->found, "test", "one-way analysis of variance", "");
    gyre_found_number(&desk->found, "F", a.f, note);
    gyre_found_number(&desk->found, "p", a.p, "against all groups having one mean");
    gyre_found_number(&desk->found, "sum of squares between", a.ss_between, "");
    gyre_found_number(&desk->found, "sum of squares within", a.ss_residual, "");
done:
    return st;
}

gyre_status gyre_judge_unpaired(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    groups g = { .count = 0 };
    GYRE_TRY(read_groups(desk, &g, err));
    desk->found.section = "sample";
    for (size_t k = 0; k < g.count; k++) {
        char name[NOTE];
        (void)snprintf(name, sizeof name, "n of %.40s", g.names[k]);
        gyre_found_number(&desk->found, name, (double)g.sizes[k], "");
    }
    desk->found.section = "comparison";
    if (g.count == 2)
        GYRE_TRY(welch(desk, &g, err));
    else
        GYRE_TRY(one_way(desk, &g, err));
done:
    free(g.values);
    return st;
}

/* ---- yes or no ---- */

static gyre_status check_binary(const gyre_desk *desk, const char *role, const double *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t column = 0;
    GYRE_TRY(gyre_desk_column(desk, role, &column, err));
    for (size_t i = 0; i < desk->csv.n_rows; i++)
        if (fabs(x[i] * (x[i] - 1.0)) > 0.0)
            GYRE_TRY(gyre_csv_fault(&desk->csv, i, column, err, "%g is neither 0 nor 1", x[i]));
done:
    return st;
}

gyre_status gyre_judge_binary(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *arm = NULL, *against = NULL;
    size_t count[4] = { 0 }; /* 2 arm + against */
    gyre_mcnemar_result r;
    gyre_findings *f = &desk->found;
    GYRE_TRY(gyre_desk_numbers(desk, "arm", &arm, err));
    GYRE_TRY(gyre_desk_numbers(desk, "against", &against, err));
    GYRE_TRY(check_binary(desk, "arm", arm, err));
    GYRE_TRY(check_binary(desk, "against", against, err));
    for (size_t i = 0; i < desk->csv.n_rows; i++)
        count[2 * (arm[i] > 0.5) + (against[i] > 0.5)]++;
    GYRE_TRY(gyre_mcnemar(count[2], count[1], &r, err));
    double n = (double)desk->csv.n_rows;
    f->section = "sample";
    gyre_found_number(f, "items", n, "");
    gyre_found_number(f, "both 1", (double)count[3], "");
    gyre_found_number(f, "arm alone 1", (double)count[2], "");
    gyre_found_number(f, "against alone 1", (double)count[1], "");
    gyre_found_number(f, "both 0", (double)count[0], "");
    f->section = "comparison";
    gyre_found_word(f, "test", "McNemar", "items must be independent: not tokens of one text");
    gyre_found_number(f, "share difference", ((double)count[2] - (double)count[1]) / n, "of 1 under the arm less under the other");
    gyre_found_number(f, "p", r.p, "exact, two-sided");
    gyre_found_number(f, "chi2", r.chi2, "");
    gyre_found_number(f, "p chi2", r.p_chi2, "");
    gyre_found_number(f, "chi2 corrected", r.chi2_corrected, "");
    gyre_found_number(f, "p chi2 corrected", r.p_chi2_corrected, "");
done:
    free(arm);
    free(against);
    return st;
}

/* ---- a series ---- */

static gyre_status add_t(gyre_desk *desk, const char *section, const char *what, const double *x, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_estimate e;
    gyre_judgement j;
    desk->found.section = section;
    GYRE_TRY(gyre_test_judge(gyre_test_find("paired_t"), x, 1, n, &desk->margin, desk->alpha, 0, &e, &j, err));
    gyre_desk_judgement(desk, "paired_t", what, &e, &j);
done:
    return st;
}

/* The divisor of n that is nearest to its square root, from 2 to n/2; 0 where there is none. */
static size_t default_block(size_t n)
{
    size_t best = 0;
    for (size_t b = 2; 2 * b <= n; b++)
        if (n % b == 0 && (best == 0 || fabs((double)b - sqrt((double)n)) < fabs((double)best - sqrt((double)n))))
            best = b;
    return best;
}

static gyre_status add_blocks(gyre_desk *desk, const double *x, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_findings *f = &desk->found;
    double *means = NULL, se = NAN, lo = NAN, hi = NAN, mean = 0.0;
    size_t block = desk->block != 0 ? desk->block : default_block(n);
    char note[NOTE];
    if (block == 0 || n % block != 0 || block == n)
        GYRE_FAIL(GYRE_E_INPUT, "%s: %zu numbers are no whole number of blocks%s%s: say --block LENGTH that divides it, or leave rows out", desk->csv.path, n,
                  block == 0 ? "" : " of the length that --block gives", block == 0 ? " of any length" : "");
    GYRE_TRY(gyre_series_blocks(x, n, block, desk->alpha, desk->resamples, desk->seed, &se, &lo, &hi, err));
    GYRE_NEW(&means, n / block);
    for (size_t i = 0; i < n; i++) {
        means[i / block] += x[i] / (double)block;
        mean += x[i] / (double)n;
    }
    (void)snprintf(note, sizeof note, "%zu resamples of blocks of %zu", desk->resamples, block);
    f->section = "block bootstrap";
    gyre_found_interval(f, "mean", mean, lo, hi, note);
    gyre_found_number(f, "standard error", se, "");
    GYRE_TRY(add_t(desk, "blocks as documents", "means of blocks: independent only where blocks are longer than what is remembered", means, n / block, err));
done:
    free(means);
    return st;
}

gyre_status gyre_judge_series(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_findings *f = &desk->found;
    double *x = NULL, *r = NULL, se = NAN, n_eff = NAN;
    size_t n = desk->csv.n_rows;
    if (desk->ratio)
        GYRE_FAIL(GYRE_E_INPUT, "%s: a series of differences has no ratio: say --margin abs:...", desk->csv.path);
    GYRE_TRY(gyre_desk_numbers(desk, "value", &x, err));
    size_t lags = desk->lags != 0 ? desk->lags : (size_t)floor(4.0 * pow((double)n / 100.0, 2.0 / 9.0));
    GYRE_NEW(&r, lags + 1);
    GYRE_TRY(gyre_series_acf(x, n, lags, r, err));
    GYRE_TRY(gyre_series_newey_west(x, n, lags, &se, &n_eff, err));
    f->section = "dependence";
    for (size_t l = 1; l <= lags && l <= 12; l++) {
        char name[NOTE];
        (void)snprintf(name, sizeof name, "autocorrelation %zu", l);
        gyre_found_number(f, name, r[l], "");
    }
    gyre_found_number(f, "lags", (double)lags, desk->lags != 0 ? "" : "4 (n/100)^(2/9)");
    gyre_found_number(f, "Newey-West standard error", se, "of the mean; too small by how much is in docs/statistics.md");
    gyre_found_number(f, "numbers", (double)n, "");
    gyre_found_number(f, "effective numbers", n_eff, "independent ones that would say as much");
    GYRE_TRY(add_t(desk, "as if independent", "what a test says that takes every number for a document: too sure", x, n, err));
    GYRE_TRY(add_blocks(desk, x, n, err));
done:
    free(x);
    free(r);
    return st;
}

/* ---- two lists ---- */

typedef struct correlation {
    const char *name;
    gyre_status (*of)(const double *, const double *, size_t, double *, gyre_error *);
    gyre_status (*interval)(double, size_t, double, double *, double *, gyre_error *);
} correlation;

static gyre_status add_correlation(gyre_desk *desk, const correlation *c, const double *x, const double *y, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = desk->csv.n_rows, left_out = 0;
    double r = NAN, lo = NAN, hi = NAN, boot_lo = NAN, boot_hi = NAN;
    char note[NOTE];
    GYRE_TRY(c->of(x, y, n, &r, err));
    gyre_status st_interval = c->interval(r, n, desk->alpha, &lo, &hi, err);
    if (st_interval != GYRE_OK && st_interval != GYRE_E_APPLICABLE)
        GYRE_TRY(st_interval);
    gyre_found_interval(&desk->found, c->name, r, lo, hi, st_interval == GYRE_OK ? "interval by Fisher's z, for independent pairs" : "too few pairs for an interval by Fisher's z");
    st_interval = gyre_rank_bootstrap(c->of, x, y, n, desk->alpha, desk->resamples, desk->seed, &boot_lo, &boot_hi, &left_out, err);
    if (st_interval == GYRE_E_APPLICABLE)
        goto done;
    GYRE_TRY(st_interval);
    (void)snprintf(note, sizeof note, "interval by %zu resamples of pairs, %zu of them without a correlation", desk->resamples, left_out);
    gyre_found_interval(&desk->found, strcmp(c->name, "Spearman") == 0 ? "Spearman resampled" : "Kendall resampled", r, boot_lo, boot_hi, note);
done:
    return st;
}

gyre_status gyre_judge_rank(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const correlation kinds[] = { { "Spearman", gyre_rank_spearman, gyre_spearman_interval }, { "Kendall", gyre_rank_kendall, gyre_kendall_interval } };
    double *x = NULL, *y = NULL;
    GYRE_TRY(gyre_desk_numbers(desk, "x", &x, err));
    GYRE_TRY(gyre_desk_numbers(desk, "y", &y, err));
    desk->found.section = "correlation";
    gyre_found_number(&desk->found, "pairs", (double)desk->csv.n_rows, "arms that were chosen are no sample of arms: then only the correlation counts, not its interval");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        GYRE_TRY(add_correlation(desk, &kinds[i], x, y, err));
done:
    free(x);
    free(y);
    return st;
}
