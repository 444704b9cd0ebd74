/* Several arms on the same documents: a column an arm, a row a document. Friedman and what follows from it, analysis of variance, and what is to be preferred: adjusted paired tests. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/judge.h"
#include "stats/anova.h"
#include "stats/friedman.h"

enum { MOST_ARMS = 64, NOTE = 160 };

typedef struct arms {
    size_t n, k;
    const char *names[MOST_ARMS];
    double *x; /* [document][arm] */
} arms;

/* All columns but that of documents. */
static gyre_status read_arms(const gyre_desk *desk, arms *a, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_csv *csv = &desk->csv;
    double *column = NULL;
    size_t skip = csv->n_columns, places[MOST_ARMS];
    if (gyre_desk_has(desk, "document"))
        GYRE_TRY(gyre_desk_column(desk, "document", &skip, err));
    if (gyre_desk_has(desk, "seed"))
        GYRE_FAIL(GYRE_E_INPUT, "%s, line 1: --many takes one value for each arm and document, and there is a column of seeds: compare the arms two by two, with columns arm, against, document, seed", csv->path);
    for (size_t c = 0; c < csv->n_columns; c++) {
        if (c == skip)
            continue;
        if (a->k == MOST_ARMS)
            GYRE_FAIL(GYRE_E_INPUT, "%s has more than %d columns of arms", csv->path, MOST_ARMS);
        places[a->k] = c;
        a->names[a->k++] = csv->names[c];
    }
    if (a->k < 2)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %zu column of numbers: at least 2 arms are compared", csv->path, a->k);
    a->n = csv->n_rows;
    GYRE_NEW(&a->x, a->n * a->k);
    for (size_t j = 0; j < a->k; j++) {
        GYRE_TRY(gyre_csv_numbers(csv, places[j], &column, err));
        for (size_t i = 0; i < a->n; i++) {
            if (desk->ratio && !(column[i] > 0.0))
                GYRE_TRY(gyre_csv_fault(csv, i, places[j], err, "%g has no logarithm, and a ratio needs positive numbers: say --margin abs:...", column[i]));
            a->x[i * a->k + j] = desk->ratio ? log(column[i]) : column[i];
        }
        free(column);
        column = NULL;
    }
done:
    free(column);
    return st;
}

static gyre_status add_friedman(gyre_desk *desk, const arms *a, double *mean_rank, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_friedman_result r;
    gyre_findings *f = &desk->found;
    char note[NOTE], name[NOTE];
    double cd = NAN;
    GYRE_TRY(gyre_friedman(a->x, a->n, a->k, mean_rank, &r, err));
    GYRE_TRY(gyre_nemenyi_difference(a->n, a->k, desk->alpha, &cd, err));
    f->section = "mean ranks";
    for (size_t j = 0; j < a->k; j++)
        gyre_found_number(f, a->names[j], mean_rank[j], j == 0 ? "1 is the lowest value of a document" : "");
    f->section = "Friedman";
    (void)snprintf(note, sizeof note, "%zu degrees of freedom", a->k - 1);
    gyre_found_number(f, "chi2", r.chi2, note);
    gyre_found_number(f, "p", r.p, "");
    (void)snprintf(note, sizeof note, "Iman-Davenport, %zu and %zu degrees of freedom", a->k - 1, (a->k - 1) * (a->n - 1));
    gyre_found_number(f, "F", r.f, note);
    gyre_found_number(f, "p F", r.p_f, "");
    f->section = "Nemenyi";
    gyre_found_number(f, "critical difference", cd, "of mean ranks; for documents that are independent");
    for (size_t i = 0; i < a->k; i++)
        for (size_t j = i + 1; j < a->k; j++) {
            double p = NAN;
            GYRE_TRY(gyre_nemenyi_p(fabs(mean_rank[i] - mean_rank[j]), a->n, a->k, &p, err));
            (void)snprintf(name, sizeof name, "%.64s - %.64s", a->names[i], a->names[j]);
            gyre_found_number(f, name, p, "p");
        }
done:
    return st;
}

static gyre_status add_anova(gyre_desk *desk, const arms *a, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_anova v;
    gyre_findings *f = &desk->found;
    char note[NOTE];
    GYRE_TRY(gyre_anova_two_way(a->x, a->n, a->k, &v, err));
    f->section = "analysis of variance";
    (void)snprintf(note, sizeof note, "arms, %g and %g degrees of freedom", v.df_between, v.df_residual);
    gyre_found_number(f, "F", v.f, note);
    gyre_found_number(f, "p", v.p, "");
    gyre_found_number(f, "epsilon", v.epsilon, "Greenhouse-Geisser");
    gyre_found_number(f, "p epsilon", v.p_epsilon, "");
    gyre_found_number(f, "sum of squares arms", v.ss_between, "");
    gyre_found_number(f, "sum of squares documents", v.ss_block, "");
    gyre_found_number(f, "sum of squares residual", v.ss_residual, "");
done:
    return st;
}

/* A pair of arms, judged. */
typedef struct pair {
    size_t one, other;
    gyre_estimate e;
    gyre_judgement j;
} pair;

static gyre_status judge_pairs(gyre_desk *desk, const arms *a, pair *pairs, double *p, double *margin_p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *d = NULL;
    size_t m = 0;
    GYRE_NEW(&d, a->n);
    for (size_t i = 0; i < a->k; i++)
        for (size_t j = i + 1; j < a->k; j++, m++) {
            pairs[m] = (pair){ .one = i, .other = j };
            for (size_t r = 0; r < a->n; r++)
                d[r] = a->x[r * a->k + i] - a->x[r * a->k + j];
            GYRE_TRY(gyre_test_judge(gyre_test_find("paired_t"), d, 1, a->n, &desk->margin, desk->alpha, desk->seed, &pairs[m].e, &pairs[m].j, err));
            p[m] = pairs[m].j.p;
            margin_p[m] = desk->goal == GYRE_GOAL_NOT_WORSE ? pairs[m].j.p_not_worse : pairs[m].j.tost_p;
        }
    GYRE_TRY(desk->correction->adjust(p, m, p, err));
    GYRE_TRY(desk->correction->adjust(margin_p, m, margin_p, err));
done:
    free(d);
    return st;
}

static gyre_status add_pairs(gyre_desk *desk, const arms *a, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t m = a->k * (a->k - 1) / 2;
    pair *pairs = NULL;
    double *p = NULL, *margin_p = NULL;
    char name[NOTE], note[NOTE];
    GYRE_NEW(&pairs, m);
    GYRE_NEW(&p, m);
    GYRE_NEW(&margin_p, m);
    GYRE_TRY(judge_pairs(desk, a, pairs, p, margin_p, err));
    desk->found.section = "paired t tests";
    (void)snprintf(note, sizeof note, "over %zu pairs%s", m, desk->ratio ? "; differences are of natural logarithms" : "");
    gyre_found_word(&desk->found, "correction", desk->correction->name, note);
    for (size_t i = 0; i < m; i++) {
        const pair *q = &pairs[i];
        (void)snprintf(name, sizeof name, "%.64s - %.64s", a->names[q->one], a->names[q->other]);
        gyre_found_interval(&desk->found, name, q->e.mean, q->j.lo, q->j.hi, gyre_verdict_name(gyre_verdict_of(&q->e, desk->goal, p[i], margin_p[i], desk->alpha)));
        (void)snprintf(name, sizeof name, "p %.64s - %.64s", a->names[q->one], a->names[q->other]);
        gyre_found_number(&desk->found, name, p[i], "adjusted");
        if (desk->margin.declared) {
            (void)snprintf(name, sizeof name, "margin p %.64s - %.64s", a->names[q->one], a->names[q->other]);
            gyre_found_number(&desk->found, name, margin_p[i], "adjusted");
        }
    }
done:
    free(pairs);
    free(p);
    free(margin_p);
    return st;
}

gyre_status gyre_judge_many(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    arms a = { .n = 0 };
    double *mean_rank = NULL;
    GYRE_TRY(read_arms(desk, &a, err));
    GYRE_NEW(&mean_rank, a.k);
    desk->found.section = "sample";
    gyre_found_number(&desk->found, "documents", (double)a.n, "");
    gyre_found_number(&desk->found, "arms", (double)a.k, "");
    GYRE_TRY(add_friedman(desk, &a, mean_rank, err));
    GYRE_TRY(add_anova(desk, &a, err));
    GYRE_TRY(add_pairs(desk, &a, err));
done:
    free(a.x);
    free(mean_rank);
    return st;
}
