/* How often the whole program is wrong: campaigns whose truth is known (null_campaign.h) through gyre_compare as `gyre run` calls it, some through cell files, merge and results file.
 *
 *   null_campaigns [--short] [--seed N] [--jobs N] [--campaigns N] [--only TEST]       --only: rows of one test, with the numbers that they have among all
 *
 * Prints the tables of docs/statistics.md (make check-stats) and exits 1 when a rate leaves its bounds. A rate is judged by its binomial standard error, four of them either way, around
 *   exact         the nominal 0.05; of rank, sign and flip tests the level that whole numbers of outcomes allow, counted here by other means; of families 1 - (1 - 0.05/m)^m; of BH (k/m) 0.05,
 *                 of BY that over 1 + 1/2 + ... + 1/m, where k of m independent differences are null
 *   approximate   the nominal rate, or the formula of stats/power.h, 0.01 or 0.02 allowed besides
 *   at most       0.05 from above alone: conservative by a rule that docs/statistics.md gives
 *   too liberal   a bound that is measured and printed: the test claims too much in such a sample, and the program says so where it is asked for
 * The last table is the judge's own test: a test that is known to be wrong must be found out.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gsl/gsl_errno.h>

#include "core/h5.h"
#include "results/compare.h"
#include "stats/power.h"
#include "stats/stats.h"
#include "stats/verdict.h"
#include "tests/null_campaign.h"
#include "tests/null_files.h"
#include "tests/null_levels.h"

enum { MOST_QUESTIONS = 8, COUNTS = 6, MOST_JOBS = 64, SHARES = 840 /* what 1..8 divide */ };
static const double alpha = 0.05, unit = 0.02; /* unit: one of a design's standard deviations, as a difference of logarithms */

typedef struct tally {
    uint64_t count[COUNTS], shares, squares; /* whole numbers, so that no order of threads matters */
} tally;

typedef struct experiment {
    null_design design;
    null_question questions[MOST_QUESTIONS];
    size_t n;
    bool shared;
    uint32_t row;
    size_t campaigns;
    uint64_t seed;
    gyre_status (*observe)(const struct experiment *e, gyre_table *table, tally *out, gyre_error *err);
} experiment;

/* ---- campaigns ---- */

typedef struct crew {
    const experiment *e;
    atomic_size_t next;
    atomic_bool failed;
} crew;

typedef struct worker {
    pthread_t thread;
    crew *crew;
    tally tally;
    gyre_error error;
} worker;

static const char *asked_test(const char *test, const null_design *d)
{
    return strcmp(test, "auto") != 0 ? test : d->seeds > 1 ? "crossed" : "paired_t";
}

/* Every comparison was made as asked, on the sample that was planned. */
static gyre_status check_asked(const experiment *e, const gyre_table *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < e->n; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        const char *asked = asked_test(e->questions[i].test, &e->design);
        if (strcmp(c->status, "OK") != 0 || strcmp(c->test, asked) != 0 || c->n_seeds != e->design.seeds || c->n_documents != e->design.documents || c->exploratory)
            GYRE_FAIL(GYRE_E_INTERNAL, "comparison %zu is %s (%s) by %s with %zu seeds and %zu documents, asked was %s with %zu and %zu", i, c->status, c->reason, c->test, c->n_seeds, c->n_documents,
                      asked, e->design.seeds, e->design.documents);
    }
done:
    return st;
}

static gyre_status one_campaign(const experiment *e, uint32_t number, tally *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *table = NULL;
    GYRE_TRY(null_campaign(&e->design, e->questions, e->n, e->shared, e->seed, e->row, number, true, &table, err));
    GYRE_TRY(gyre_compare(table, err));
    GYRE_TRY(check_asked(e, table, err));
    GYRE_TRY(e->observe(e, table, out, err));
done:
    gyre_table_free(table);
    return st;
}

static void *work(void *data)
{
    worker *w = data;
    for (size_t i; !atomic_load(&w->crew->failed) && (i = atomic_fetch_add(&w->crew->next, 1)) < w->crew->e->campaigns;)
        if (one_campaign(w->crew->e, (uint32_t)i, &w->tally, &w->error) != GYRE_OK)
            atomic_store(&w->crew->failed, true);
    return NULL;
}

static gyre_status run(const experiment *e, size_t jobs, tally *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    crew c = { .e = e };
    worker *workers = NULL;
    size_t started = 0;
    *out = (tally){ .shares = 0 };
    GYRE_NEW(&workers, jobs);
    for (; started < jobs; started++) {
        workers[started].crew = &c;
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0)
            break;
    }
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        for (size_t k = 0; k < COUNTS; k++)
            out->count[k] += workers[i].tally.count[k];
        out->shares += workers[i].tally.shares;
        out->squares += workers[i].tally.squares;
    }
    for (size_t i = 0; i < started; i++)
        if (workers[i].error.status != GYRE_OK)
            GYRE_FAIL(workers[i].error.status, "%s", workers[i].error.message);
    if (started == 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "no thread could be started");
done:
    free(workers);
    return st;
}

typedef struct session {
    uint64_t seed;
    size_t jobs, cheap, dear; /* campaigns of a row whose test is cheap, and of one that resamples or counts */
    uint32_t row;
    size_t campaigns, out_of_bounds;
    bool brief;
    const char *only; /* NULL: all */
} session;

static size_t campaigns_of(const session *s, const char *test)
{
    return strcmp(test, "paired_t") == 0 || strcmp(test, "crossed") == 0 || strcmp(test, "auto") == 0 ? s->cheap : s->dear;
}

static bool left_out(const session *s, const char *test)
{
    return s->only != NULL && strcmp(s->only, test) != 0;
}

static gyre_status measure(session *s, experiment *e, tally *out, gyre_error *err)
{
    struct timespec from, to;
    e->seed = s->seed;
    e->row = s->row++;
    s->campaigns += e->campaigns;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    gyre_status st = run(e, s->jobs, out, err);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    (void)fprintf(stderr, "row %u, %s: %zu campaigns, %.1f s\n", e->row, e->questions[0].test, e->campaigns, (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
    return st;
}

/* ---- judging ---- */

typedef struct rate {
    double value, error; /* its standard error */
} rate;

static rate rate_of(uint64_t count, double n)
{
    double p = (double)count / n;
    return (rate){ p, sqrt(p * (1.0 - p) / n) };
}

/* Within [lo, hi], four standard errors of a rate there allowed. */
static bool within(session *s, double value, double n, double lo, double hi)
{
    bool ok = value >= lo - 4.0 * sqrt(lo * (1.0 - lo) / n) && value <= hi + 4.0 * sqrt(hi * (1.0 - hi) / n);
    s->out_of_bounds += !ok;
    return ok;
}

static const char *const law_names[] = { "normal", "heavy", "skewed" }, *const source_names[] = { "capture", "chunks", "texts" };

static null_design scaled(null_design d)
{
    d.seed *= unit;
    d.document *= unit;
    d.residual *= unit;
    return d;
}

/* ---- levels of the tests ---- */

enum { REJECTED, HELD, EQUIVALENT_AT_MARGIN, EQUIVALENT_AT_ZERO, DOCUMENTS_ONLY };

/* The test that takes the drawn seeds for all there are: documents alone, differences averaged over seeds. */
static gyre_status documents_only(gyre_table *t, bool *rejects, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_comparison *c = &t->comparisons[0];
    gyre_arm_units a, b;
    gyre_estimate e;
    gyre_judgement j;
    const gyre_margin none = { false, 0.0, 0.0 };
    double *d = NULL;
    GYRE_TRY(gyre_arm_units_get(t, 0, c->arm, "", 0, c->ratio, &a, err));
    GYRE_TRY(gyre_arm_units_get(t, 0, c->against, "", 0, c->ratio, &b, err));
    GYRE_NEW(&d, a.n_documents);
    for (size_t l = 0; l < a.n_layers; l++)
        for (size_t j_ = 0; j_ < a.n_documents; j_++) {
            for (size_t k = 0; k < a.n_seeds; k++)
                d[j_] += a.values[(l * a.n_seeds + k) * a.n_documents + j_] / (double)(a.n_seeds * a.n_layers);
            for (size_t k = 0; k < b.n_seeds; k++)
                d[j_] -= b.values[(l * b.n_seeds + k) * b.n_documents + j_] / (double)(b.n_seeds * b.n_layers);
        }
    GYRE_TRY(gyre_test_judge(gyre_test_find("paired_t"), d, 1, a.n_documents, &none, alpha, 0, &e, &j, err));
    *rejects = j.p < alpha;
done:
    free(d);
    return st;
}

/* Question 0: no difference. Question 1: a difference that is exactly the margin. */
static gyre_status observe_level(const experiment *e, gyre_table *t, tally *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_comparison *zero = &t->comparisons[0], *edge = &t->comparisons[1];
    bool naive = false;
    out->count[REJECTED] += zero->p < alpha;
    out->count[HELD] += (size_t)(zero->ci_low <= 0.0 && zero->ci_high >= 0.0) + (size_t)(edge->ci_low <= e->questions[1].truth && edge->ci_high >= e->questions[1].truth);
    out->count[EQUIVALENT_AT_MARGIN] += edge->p_tost < alpha;
    out->count[EQUIVALENT_AT_ZERO] += zero->p_tost < alpha;
    if (e->design.seeds > 1 && e->design.source == NULL_CAPTURE)
        GYRE_TRY(documents_only(t, &naive, err));
    out->count[DOCUMENTS_ONLY] += naive;
done:
    return st;
}

static gyre_status measure_level(session *s, const null_level *l, experiment *e, tally *out, gyre_error *err)
{
    *e = (experiment){ .design = scaled(l->design), .n = 2, .campaigns = campaigns_of(s, l->test) / (l->kind == NULL_AT_MOST ? 2 : 1), .observe = observe_level };
    e->design.centre = null_centre(l->test, l->design.law);
    double margin = 3.5 * null_error(&e->design);
    const char *asked = strcmp(l->test, "crossed") == 0 || strcmp(l->test, "paired_t") == 0 ? "auto" : l->test;
    e->questions[0] = (null_question){ asked, "equivalent", "holm", "main", 0.0, margin };
    e->questions[1] = (null_question){ asked, "equivalent", "holm", "main", margin, margin };
    return measure(s, e, out, err);
}

static gyre_status level_row(session *s, const null_level *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const char *const kinds[] = { "exact", "approximate", "at most", "too liberal" };
    experiment e;
    tally t;
    null_bounds b = null_level_bounds(l);
    GYRE_TRY(measure_level(s, l, &e, &t, err));
    double n = (double)e.campaigns;
    rate rejects = rate_of(t.count[REJECTED], n), holds = rate_of(t.count[HELD], 2.0 * n), edge = rate_of(t.count[EQUIVALENT_AT_MARGIN], n), zero = rate_of(t.count[EQUIVALENT_AT_ZERO], n);
    bool ok = within(s, rejects.value, n, b.two_lo, b.two_hi);
    ok = within(s, holds.value, 2.0 * n, 1.0 - b.two_hi, 1.0 - b.two_lo) && ok;
    ok = within(s, edge.value, n, b.one_lo, b.one_hi) && ok;
    const null_design *d = &l->design;
    (void)printf("| `%s` | %s | %s | %zu x %zu | %g, %g, %g | %.0f | %.4f ± %.4f | %.4f ± %.4f | %.4f ± %.4f | %.3f | ", l->test, source_names[d->source], law_names[d->law], d->seeds, d->documents, d->seed,
                 d->document, d->residual, n, rejects.value, rejects.error, holds.value, holds.error, edge.value, edge.error, zero.value);
    if (d->seeds > 1 && d->source == NULL_CAPTURE)
        (void)printf("%.4f | ", rate_of(t.count[DOCUMENTS_ONLY], n).value);
    else
        (void)printf("| ");
    (void)printf("%s %.4f, %.4f%s |\n", kinds[l->kind], b.two_hi, b.one_hi, ok ? "" : " **OUT**");
done:
    return st;
}

static gyre_status levels(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)printf("| test | source | law | seeds x documents | sd over seeds, documents, residual | campaigns | rejects at 0.05 | 95 %% interval holds the truth | EQUIVALENT at the margin | "
                 "EQUIVALENT at 0 | documents only rejects | must be |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (const null_level *l = null_levels; l->test != NULL; l++)
        if (left_out(s, l->test))
            s->row++;
        else
            GYRE_TRY(level_row(s, l, err));
done:
    return st;
}

/* ---- families ---- */

enum { ANY_DIFFERS, ANY_WITHIN, ANY_CLAIM };

/* Of family "main" alone: is anything said that is not so? Nulls come first. */
static gyre_status observe_family(const experiment *e, gyre_table *t, tally *out, gyre_error *err)
{
    size_t false_claims = 0, claims = 0, within_claims = 0;
    (void)err;
    for (size_t i = 0; i < e->n; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        if (strcmp(c->family, "main") != 0)
            continue;
        bool differs = strcmp(c->verdict, "BETTER") == 0 || strcmp(c->verdict, "WORSE") == 0, null = !(fabs(e->questions[i].truth) > 0.0);
        claims += differs;
        false_claims += differs && null;
        within_claims += strcmp(c->verdict, "EQUIVALENT") == 0 || strcmp(c->verdict, "NOT_WORSE") == 0 || (strcmp(c->goal, "not_worse") == 0 && strcmp(c->verdict, "BETTER") == 0);
    }
    uint64_t share = claims > 0 ? SHARES * false_claims / claims : 0;
    out->count[ANY_DIFFERS] += false_claims > 0;
    out->count[ANY_WITHIN] += within_claims > 0;
    out->count[ANY_CLAIM] += claims > 0;
    out->shares += share;
    out->squares += share * share;
    return GYRE_OK;
}

static void ask_family(const null_family *f, experiment *e)
{
    double se = null_error(&e->design);
    e->n = MOST_QUESTIONS;
    e->shared = f->shared;
    for (size_t i = 0; i < e->n; i++) {
        bool other = f->other_family && i >= e->n / 2, effect = other || i >= e->n - f->effects;
        bool margin = f->what == NULL_FALSE_WITHIN;
        e->questions[i] = (null_question){ f->test, f->goal, f->correction, other ? "other" : "main", margin ? 3.5 * se : other ? 8.0 * se : effect ? 3.5 * se : 0.0, margin ? 3.5 * se : 0.0 };
    }
}

static gyre_status family_row(session *s, const null_family *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const char *const what[] = { "any false BETTER or WORSE", "any claim of the margin", "false share of claims" };
    experiment e = { .design = scaled(f->design), .campaigns = campaigns_of(s, f->test) / 2, .observe = observe_family };
    tally t;
    ask_family(f, &e);
    GYRE_TRY(measure(s, &e, &t, err));
    double n = (double)e.campaigns, mean = (double)t.shares / (SHARES * n), expected = null_family_rate(f, f->other_family ? MOST_QUESTIONS / 2 : MOST_QUESTIONS);
    rate r = f->what == NULL_FALSE_SHARE ? (rate){ mean, sqrt(fmax(0.0, (double)t.squares / (SHARES * (double)SHARES * n) - mean * mean) / n) } : rate_of(t.count[f->what == NULL_FALSE_WITHIN ? ANY_WITHIN : ANY_DIFFERS], n);
    double slack = f->what == NULL_FALSE_SHARE ? 4.0 * r.error + 1.0 / n : 4.0 * sqrt(expected * (1.0 - expected) / n);
    bool ok = r.value <= expected + slack && (!f->exact || r.value >= expected - slack);
    s->out_of_bounds += !ok;
    const null_design *d = &f->design;
    (void)printf("| `%s` | %zu x %zu | %s | %s | %d%s | %zu | %s | %s | %.0f | %.4f ± %.4f | %s %.4f%s |\n", asked_test(f->test, d), d->seeds, d->documents, f->correction, f->goal, f->other_family ? MOST_QUESTIONS / 2 : MOST_QUESTIONS,
                 f->other_family ? " of 2 families" : "", f->effects, f->shared ? "one reference" : "independent", what[f->what], n, r.value, r.error, f->exact ? "exact" : "at most", expected, ok ? "" : " **OUT**");
done:
    return st;
}

static gyre_status families(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)printf("\n| test | seeds x documents | correction | goal | comparisons | of them true effects | differences | rate of | campaigns | measured | must be |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (const null_family *f = null_families; f->test != NULL; f++)
        GYRE_TRY(family_row(s, f, err));
done:
    return st;
}

/* ---- power ---- */

enum { FOUND };

static gyre_status observe_power(const experiment *e, gyre_table *t, tally *out, gyre_error *err)
{
    (void)err;
    for (size_t i = 0; i < e->n; i++)
        out->count[FOUND] += (e->questions[i].margin > 0.0 ? t->comparisons[i].p_tost : t->comparisons[i].p) < alpha;
    return GYRE_OK;
}

static gyre_status power_row(session *s, const null_power *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    experiment e = { .design = scaled(p->design), .n = 2, .campaigns = s->cheap, .observe = observe_power };
    tally t;
    double se = null_error(&e.design), formula = 0.0;
    const gyre_margin margin = { p->margin > 0.0, -p->margin * se, p->margin * se };
    const gyre_design design = { e.design.seeds, e.design.documents, e.design.seeds > 1 ? e.design.seed : (double)NAN, e.design.document, e.design.residual };
    bool not_worse = strcmp(p->goal, "not_worse") == 0;
    for (size_t i = 0; i < e.n; i++)
        e.questions[i] = (null_question){ "auto", p->goal, "holm", "main", p->effect * se, p->margin * se };
    GYRE_TRY(gyre_power_crossed(&design, p->effect * se, &margin, not_worse ? GYRE_GOAL_NOT_WORSE : GYRE_GOAL_EQUIVALENT, alpha, &formula, err));
    GYRE_TRY(measure(s, &e, &t, err));
    double n = 2.0 * (double)e.campaigns, slack = e.design.seeds > 1 ? 0.02 : 0.0;
    rate r = rate_of(t.count[FOUND], n);
    bool ok = within(s, r.value, n, fmax(0.0, formula - slack), fmin(1.0, formula + slack));
    char question[64] = "differs";
    if (p->margin > 0.0)
        (void)snprintf(question, sizeof question, "%s, margin %g", p->goal, p->margin);
    (void)printf("| %s | %zu x %zu | %g, %g, %g | %s | %g | %.0f | %.4f ± %.4f | %.4f%s |\n", e.design.seeds > 1 ? "`crossed`" : "`paired_t`", p->design.seeds, p->design.documents, p->design.seed, p->design.document,
                 p->design.residual, question, p->effect, n, r.value, r.error, formula, ok ? "" : " **OUT**");
done:
    return st;
}

static gyre_status powers(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)printf("\n| test | seeds x documents | sd over seeds, documents, residual | question (margin in standard errors) | true difference, in standard errors | comparisons | power measured | formula |\n|---|---|---|---|---|---|---|---|\n");
    for (const null_power *p = null_powers; p->goal != NULL; p++)
        GYRE_TRY(power_row(s, p, err));
done:
    return st;
}

/* ---- the files, and the judge's own test ---- */

static gyre_status files(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t done_campaigns = 0;
    for (const null_level *l = null_levels; l->test != NULL; l++) {
        if (!l->files)
            continue;
        experiment e = { .design = scaled(l->design) };
        e.questions[0] = e.questions[1] = (null_question){ l->test, "equivalent", "holm", "main", 0.0, 3.5 * null_error(&e.design) };
        e.questions[1].correction = "holm";
        for (uint32_t i = 0; i < (s->brief ? 1u : 4u); i++, done_campaigns++)
            GYRE_TRY(null_through_files(&e.design, e.questions, 2, s->seed, s->row, i, err));
        s->row++;
    }
    (void)printf("\n%zu campaigns went through cell files, merge, results file and reader as well: every number and word of their comparisons came back the same.\n", done_campaigns);
done:
    return st;
}

/* Seeds rule and documents alone are tested: such a test must not pass for one that holds its level. */
static gyre_status known_to_be_wrong(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const null_level wrong = { .test = "crossed", .design = { NULL_CAPTURE, NULL_NORMAL, 8, 12, 1.0, 0.02, 0.1, 0.0 }, .kind = NULL_AT_MOST };
    experiment e;
    tally t;
    session own = *s;
    GYRE_TRY(measure_level(s, &wrong, &e, &t, err));
    double rejects = (double)t.count[DOCUMENTS_ONLY] / (double)e.campaigns;
    if (within(&own, rejects, (double)e.campaigns, 0.0, alpha))
        GYRE_FAIL(GYRE_E_INTERNAL, "a test that rejects %g of true nulls was not found out", rejects);
    (void)printf("\nThe judge found out the test of documents only where seeds rule: it rejects %.4f of true nulls.\n", rejects);
done:
    return st;
}

static gyre_status everything(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(levels(s, err));
    if (s->only != NULL)
        goto done;
    GYRE_TRY(families(s, err));
    GYRE_TRY(powers(s, err));
    GYRE_TRY(files(s, err));
    GYRE_TRY(known_to_be_wrong(s, err));
    (void)printf("\n%zu campaigns, seed %llu; out of bounds: %zu\n", s->campaigns, (unsigned long long)s->seed, s->out_of_bounds);
done:
    return st;
}

static bool number(const char *text, size_t most, size_t *out)
{
    char *end = NULL;
    unsigned long long x = strtoull(text, &end, 10);
    *out = (size_t)x;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && x <= most;
}

int main(int argc, char **argv)
{
    gyre_error error = { .status = GYRE_OK };
    session s = { .seed = 1, .jobs = 1, .cheap = 6000, .dear = 1500 };
    size_t value = 0;
    for (int i = 1; i < argc; i++) {
        bool has = i + 1 < argc;
        if (strcmp(argv[i], "--short") == 0) {
            s.brief = true;
            s.cheap = 100;
            s.dear = 10;
        } else if (strcmp(argv[i], "--only") == 0 && has && gyre_test_find(argv[i + 1]) != NULL)
            s.only = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && has && number(argv[i + 1], SIZE_MAX, &value) && ++i > 0)
            s.seed = value;
        else if (strcmp(argv[i], "--jobs") == 0 && has && number(argv[i + 1], MOST_JOBS, &value) && value > 0 && ++i > 0)
            s.jobs = value;
        else if (strcmp(argv[i], "--campaigns") == 0 && has && number(argv[i + 1], 100000, &value) && value >= 5 && ++i > 0) {
            s.cheap = value;
            s.dear = value / 5;
        } else {
            (void)fprintf(stderr, "usage: null_campaigns [--short] [--seed N] [--jobs N] [--campaigns N] [--only TEST]\n");
            return 2;
        }
    }
    (void)gsl_set_error_handler_off();
    gyre_h5_quiet();
    if (everything(&s, &error) != GYRE_OK) {
        (void)fprintf(stderr, "null_campaigns: %s\n", error.message);
        return 1;
    }
    return s.out_of_bounds > 0;
}
