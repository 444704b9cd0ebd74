/* gyre judge: a CSV, a shape, and what the tests say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "experiments/judge.h"
#include "experiments/verb.h"
#include "stats/resample.h"

/* The words as they were given. */
typedef struct words {
    const char *path, *test, *margin, *goal, *alpha, *seed, *correction, *lags, *block, *resamples;
    bool unpaired, binary, many, series, rank, components, json;
} words;

bool gyre_desk_has(const gyre_desk *desk, const char *role)
{
    size_t column;
    return gyre_desk_column(desk, role, &column, NULL) == GYRE_OK;
}

gyre_status gyre_desk_column(const gyre_desk *desk, const char *role, size_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *name = role;
    size_t n = strlen(role);
    for (size_t i = 0; i < desk->n_columns; i++)
        if (strncmp(desk->columns[i], role, n) == 0 && desk->columns[i][n] == '=')
            name = desk->columns[i] + n + 1;
    *out = gyre_csv_find(&desk->csv, name);
    if (*out < desk->csv.n_columns)
        goto done;
    const char **names = NULL;
    GYRE_NEW(&names, desk->csv.n_columns + 1);
    memcpy(names, desk->csv.names, desk->csv.n_columns * sizeof *names);
    const char *near = gyre_nearest(name, names);
    st = gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "%s, line 1: there is no column '%s'%s%s%s: name it, or say --column %s=ITS_NAME", desk->csv.path, name,
                        near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "", role);
    free(names);
done:
    return st;
}

gyre_status gyre_desk_numbers(const gyre_desk *desk, const char *role, double **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t column = 0;
    GYRE_TRY(gyre_desk_column(desk, role, &column, err));
    GYRE_TRY(gyre_csv_numbers(&desk->csv, column, out, err));
    for (size_t i = 0; i < desk->csv.n_rows && desk->ratio; i++) {
        if (!((*out)[i] > 0.0))
            GYRE_TRY(gyre_csv_fault(&desk->csv, i, column, err, "%g has no logarithm, and a ratio needs positive numbers: say --margin abs:...", (*out)[i]));
        (*out)[i] = log((*out)[i]);
    }
done:
    return st;
}

/* ---- one comparison ---- */

/* e to the x where differences are of logarithms: a factor. */
static void add_difference(gyre_desk *d, const char *name, double x, double lo, double hi, const char *note)
{
    gyre_found_interval(&d->found, name, x, lo, hi, note);
    if (d->ratio) {
        char ratio[64];
        (void)snprintf(ratio, sizeof ratio, "%s as a ratio", name);
        gyre_found_interval(&d->found, ratio, exp(x), exp(lo), exp(hi), "");
    }
}

void gyre_desk_judgement(gyre_desk *d, const char *test, const char *remark, const gyre_estimate *e, const gyre_judgement *j)
{
    char note[128];
    gyre_findings *f = &d->found;
    double margin_p = d->goal == GYRE_GOAL_NOT_WORSE ? j->p_not_worse : j->tost_p;
    gyre_found_word(f, "test", test, remark);
    (void)snprintf(note, sizeof note, "%sinterval at confidence %g; below 0 speaks for the arm", d->ratio ? "of natural logarithms; " : "", 1.0 - d->alpha);
    add_difference(d, "difference", e->mean, j->lo, j->hi, note);
    gyre_found_number(f, "standard error", e->se, "");
    gyre_found_number(f, "degrees of freedom", e->df, "");
    gyre_found_number(f, "t", j->t, "");
    gyre_found_number(f, "p", j->p, "two-sided, against no difference");
    if (j->p_error > 0.0)
        gyre_found_number(f, "p error", j->p_error, "standard error of p for having drawn resamples");
    if (d->margin.declared) {
        add_difference(d, "margin", 0.0, d->margin.lo, d->margin.hi, "");
        gyre_found_number(f, "p TOST", j->tost_p, "against a difference outside the margin");
        gyre_found_number(f, "p not worse", j->p_not_worse, "against worse by the margin or more");
    }
    double smallest = d->goal != GYRE_GOAL_NOT_WORSE ? j->smallest_margin : j->inner_hi < 0.0 ? 0.0 : j->inner_hi;
    (void)snprintf(note, sizeof note, "%s at %g; chosen after the fact it proves nothing",
                   d->goal != GYRE_GOAL_NOT_WORSE ? "the edge of symmetric margins that pass TOST" : smallest > 0.0 ? "the edge of margins that are passed as not worse" : "any margin is passed as not worse", d->alpha);
    gyre_found_number(f, "smallest margin", smallest, note);
    if (d->ratio)
        gyre_found_number(f, "smallest margin as a ratio", exp(smallest), "");
    gyre_found_word(f, "verdict", gyre_verdict_name(gyre_verdict_of(e, d->goal, j->p, margin_p, d->alpha)), e->degenerate ? "all differences are one number: nothing was tested" : "");
}

/* ---- words ---- */

static gyre_status read_margin(const char *text, gyre_desk *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double size = 0.0;
    bool absolute = strncmp(text, "abs:", 4) == 0;
    d->ratio = strncmp(text, "ratio:", 6) == 0;
    if ((!absolute && !d->ratio) || !gyre_parse_real(strchr(text, ':') + 1, &size))
        GYRE_FAIL(GYRE_E_USAGE, "--margin %s: abs:NUMBER in the unit of the table, or ratio:NUMBER above 1, is wanted", text);
    if (d->ratio)
        GYRE_TRY(gyre_margin_ratio(size, &d->margin, err));
    else
        GYRE_TRY(gyre_margin_abs(size, &d->margin, err));
done:
    return st;
}

static gyre_status read_count(const char *option, const char *text, size_t *out, gyre_error *err)
{
    long value = 0;
    gyre_status st = text == NULL ? GYRE_OK : gyre_argument_int(option, text, 1, 1000000, &value, err);
    if (text != NULL)
        *out = (size_t)value;
    return st;
}

static gyre_status unknown_word(const char *option, const char *word, const char *const *known, gyre_error *err)
{
    const char *near = gyre_nearest(word, known);
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "%s %s is not known%s%s%s: gyre judge --help lists what is", option, word, near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                          near != NULL ? "?)" : "");
}

/* ROLE=NAME of a role that some shape has. */
static gyre_status check_role(const char *text, gyre_error *err)
{
    static const char *const roles[] = { "arm", "against", "difference", "document", "seed", "layer", "head", "value", "group", "x", "y", NULL };
    size_t n = strcspn(text, "=");
    for (size_t i = 0; roles[i] != NULL && text[n] == '='; i++)
        if (strlen(roles[i]) == n && strncmp(roles[i], text, n) == 0)
            return GYRE_OK;
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "--column %s: ROLE=NAME is wanted, as in --column arm=rotated; roles are arm, against, difference, document, seed, layer, head, value, group, x, y", text);
}

static gyre_status read_names(const words *w, gyre_desk *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *known[GYRE_ROLES_MOST] = { "auto" }, *const goals[] = { "equivalent", "not_worse", NULL };
    for (size_t i = 0; gyre_tests[i] != NULL && i + 2 < GYRE_ROLES_MOST; i++)
        known[i + 1] = gyre_tests[i]->name;
    d->test = gyre_test_find(w->test);
    if (d->test == NULL && strcmp(w->test, "auto") != 0)
        GYRE_TRY(unknown_word("--test", w->test, known, err));
    d->correction = gyre_correction_find(w->correction);
    if (d->correction == NULL)
        GYRE_TRY(unknown_word("--correction", w->correction, (const char *const[]){ "holm", "bh", "by", NULL }, err));
    if (strcmp(w->goal, goals[0]) != 0 && strcmp(w->goal, goals[1]) != 0)
        GYRE_TRY(unknown_word("--goal", w->goal, goals, err));
    d->goal = strcmp(w->goal, goals[1]) == 0 ? GYRE_GOAL_NOT_WORSE : GYRE_GOAL_EQUIVALENT;
    if (d->goal == GYRE_GOAL_NOT_WORSE && w->margin == NULL)
        GYRE_FAIL(GYRE_E_USAGE, "--goal not_worse needs a --margin: how much worse does not matter?");
done:
    return st;
}

static gyre_status read_words(const words *w, gyre_desk *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int64_t seed = 0;
    *d = (gyre_desk){ .alpha = 0.05, .resamples = GYRE_RESAMPLES };
    GYRE_TRY(read_names(w, d, err));
    if (w->margin != NULL)
        GYRE_TRY(read_margin(w->margin, d, err));
    if (w->alpha != NULL && (!gyre_parse_real(w->alpha, &d->alpha) || !(d->alpha > 0.0 && d->alpha < 0.5)))
        GYRE_FAIL(GYRE_E_USAGE, "--alpha %s: a number between 0 and 0.5 is wanted", w->alpha);
    if (w->seed != NULL && (!gyre_parse_int(w->seed, &seed) || seed < 0))
        GYRE_FAIL(GYRE_E_USAGE, "--seed %s: a whole number from 0 is wanted", w->seed);
    d->seed = (uint64_t)seed;
    GYRE_TRY(read_count("--lags", w->lags, &d->lags, err));
    GYRE_TRY(read_count("--block", w->block, &d->block, err));
    GYRE_TRY(read_count("--resamples", w->resamples, &d->resamples, err));
    if (d->resamples < 100)
        GYRE_FAIL(GYRE_E_USAGE, "--resamples %zu: at least 100 are wanted", d->resamples);
done:
    return st;
}

typedef gyre_status (*shape)(gyre_desk *desk, gyre_error *err);

static gyre_status choose_shape(const words *w, shape *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const struct {
        bool asked, one_test;
        shape shape;
    } shapes[] = { { w->unpaired, false, gyre_judge_unpaired }, { w->binary, false, gyre_judge_binary }, { w->many, false, gyre_judge_many },
                   { w->series, false, gyre_judge_series },     { w->rank, false, gyre_judge_rank },     { w->components, false, gyre_judge_components } };
    size_t asked = 0;
    *out = gyre_judge_pairs;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].asked) {
            *out = shapes[i].shape;
            asked++;
        }
    if (asked > 1)
        GYRE_FAIL(GYRE_E_USAGE, "--unpaired, --binary, --many, --series, --rank and --components are different tables: name one");
    if (asked == 1 && strcmp(w->test, "auto") != 0)
        GYRE_FAIL(GYRE_E_USAGE, "--test is for pairs: the other shapes have their own");
    bool margin = *out == gyre_judge_pairs || *out == gyre_judge_unpaired || *out == gyre_judge_series || *out == gyre_judge_components || *out == gyre_judge_many;
    if (w->margin != NULL && (!margin || (*out == gyre_judge_components && strncmp(w->margin, "ratio:", 6) != 0)))
        GYRE_FAIL(GYRE_E_USAGE, "--margin says nothing about this table%s", *out == gyre_judge_components ? " but that logarithms are meant: ratio:FACTOR" : "");
    if ((w->lags != NULL || w->block != NULL) && *out != gyre_judge_series)
        GYRE_FAIL(GYRE_E_USAGE, "--lags and --block are for --series");
    if (strcmp(w->correction, "holm") != 0 && *out != gyre_judge_many)
        GYRE_FAIL(GYRE_E_USAGE, "--correction is for --many");
done:
    return st;
}

gyre_status gyre_verb_judge(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    words w = { .test = "auto", .goal = "equivalent", .correction = "holm" };
    gyre_desk desk = {0};
    const char *columns[GYRE_ROLES_MOST];
    size_t count = 0, n_columns = 0;
    shape judge = NULL;
    const gyre_argument options[] = { { .name = "--test", .value = &w.test },
                                      { .name = "--margin", .value = &w.margin },
                                      { .name = "--goal", .value = &w.goal },
                                      { .name = "--alpha", .value = &w.alpha },
                                      { .name = "--seed", .value = &w.seed },
                                      { .name = "--correction", .value = &w.correction },
                                      { .name = "--lags", .value = &w.lags },
                                      { .name = "--block", .value = &w.block },
                                      { .name = "--resamples", .value = &w.resamples },
                                      { .name = "--column", .list = columns, .list_count = &n_columns, .list_most = GYRE_ROLES_MOST },
                                      { .name = "--unpaired", .flag = &w.unpaired },
                                      { .name = "--binary", .flag = &w.binary },
                                      { .name = "--many", .flag = &w.many },
                                      { .name = "--series", .flag = &w.series },
                                      { .name = "--rank", .flag = &w.rank },
                                      { .name = "--components", .flag = &w.components },
                                      { .name = "--json", .flag = &w.json },
                                      { 0 } };
    (void)context;
    GYRE_TRY(gyre_arguments(argc, argv, options, &w.path, 1, &count, err));
    if (count == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a table, as in gyre judge data/judge.csv");
    GYRE_TRY(read_words(&w, &desk, err));
    GYRE_TRY(choose_shape(&w, &judge, err));
    for (desk.n_columns = 0; desk.n_columns < n_columns; desk.n_columns++) {
        GYRE_TRY(check_role(columns[desk.n_columns], err));
        desk.columns[desk.n_columns] = columns[desk.n_columns];
    }
    GYRE_TRY(gyre_csv_read(w.path, &desk.csv, err));
    GYRE_TRY(judge(&desk, err));
    GYRE_TRY(gyre_findings_print(&desk.found, w.json, err));
done:
    gyre_csv_free(&desk.csv);
    gyre_findings_free(&desk.found);
    return st;
}
