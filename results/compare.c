#include "results/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/foresee.h"
#include "results/registration.h"
#include "stats/multiplicity.h"
#include "stats/stats.h"

static const char OK[] = "OK", DEGENERATE[] = "DEGENERATE", INCOMPLETE[] = "INCOMPLETE";

/* ---- one comparison ---- */

/* d[seed][document] of one layer (place < n_layers) or of the mean over layers (place == n_layers). */
static void differences(const gyre_arm_units *arm, const gyre_arm_units *against, size_t seeds, size_t place, double *d)
{
    size_t documents = arm->n_documents;
    size_t first = place == arm->n_layers ? 0 : place, last = place == arm->n_layers ? arm->n_layers : place + 1;
    for (size_t s = 0; s < seeds; s++)
        for (size_t j = 0; j < documents; j++) {
            double a = 0.0, b = 0.0;
            for (size_t l = first; l < last; l++) {
                a += arm->values[(l * arm->n_seeds + (arm->seeded ? s : 0)) * documents + j];
                b += against->values[(l * against->n_seeds + (against->seeded ? s : 0)) * documents + j];
            }
            d[s * documents + j] = (a - b) / (double)(last - first);
        }
}

static double mean_of(const double *d, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += d[i];
    return sum / (double)n;
}

/* A layer whose spread under- or overflows has a mean and no interval. */
static gyre_status worst_layer(const gyre_table *table, gyre_comparison *c, const gyre_arm_units *arm, const gyre_arm_units *against,
                               const gyre_test_type *test, double *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_margin no_margin = { false, 0.0, 0.0 };
    for (size_t l = 0; l < arm->n_layers; l++) {
        gyre_estimate e;
        gyre_judgement j = { .lo = (double)NAN, .hi = (double)NAN };
        differences(arm, against, c->n_seeds, l, d);
        gyre_status judged = gyre_test_judge(test, d, c->n_seeds, c->n_documents, &no_margin, c->alpha, table->campaign_seed, &e, &j, err);
        if (judged == GYRE_E_RANGE)
            e.mean = mean_of(d, c->n_seeds * c->n_documents);
        else
            GYRE_TRY(judged);
        if (l > 0 && fabs(e.mean) <= fabs(c->worst_estimate))
            continue;
        c->worst_layer = table->sources[c->source].layers[l];
        c->worst_estimate = e.mean;
        c->worst_low = judged == GYRE_OK ? j.lo : (double)NAN;
        c->worst_high = judged == GYRE_OK ? j.hi : (double)NAN;
    }
done:
    return st;
}

gyre_status gyre_comparison_margin(const gyre_comparison *c, gyre_margin *out, gyre_error *err)
{
    *out = (gyre_margin){ false, 0.0, 0.0 };
    return !c->has_margin ? GYRE_OK : c->ratio ? gyre_margin_ratio(c->margin, out, err) : gyre_margin_abs(c->margin, out, err);
}

gyre_status gyre_comparison_goal(const gyre_comparison *c, gyre_goal *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const char *const names[] = {
#define GOAL_NAME(name, text) [GYRE_GOAL_##name] = text,
        GYRE_GOAL_LIST(GOAL_NAME)
#undef GOAL_NAME
    };
    *out = GYRE_GOAL_EQUIVALENT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(c->goal, names[i]) == 0) {
            *out = (gyre_goal)i;
            goto done;
        }
    GYRE_FAIL(GYRE_E_CONFIG, "'%s' is no goal of a comparison", c->goal);
done:
    return st;
}

/* What a margin is at least, of this goal. Not worse: where the one-sided interval ends, and 0, any margin, where that is below 0. */
static double margin_needed(const gyre_judgement *j, gyre_goal goal)
{
    return goal != GYRE_GOAL_NOT_WORSE ? j->smallest_margin : j->inner_hi < 0.0 ? 0.0 : j->inner_hi;
}

/* Of goal not_worse the p value of the margin is the one-sided one. */
static gyre_status store(gyre_table *table, gyre_comparison *c, const gyre_estimate *e, const gyre_judgement *j, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_goal goal;
    GYRE_TRY(gyre_comparison_goal(c, &goal, err));
    c->estimate = e->mean;
    c->df = e->df;
    c->sd_seed = e->sd_seed;
    c->sd_document = e->sd_document;
    c->ci_low = j->lo;
    c->ci_high = j->hi;
    c->p = j->p;
    c->p_tost = goal == GYRE_GOAL_NOT_WORSE ? j->p_not_worse : j->tost_p;
    c->margin_needed = margin_needed(j, goal);
    c->status = e->degenerate ? DEGENERATE : OK;
    if (e->degenerate)
        GYRE_TRY(gyre_table_printf(table, &c->reason, err, "all differences between %s and %s are %g: no spread, so nothing was tested", c->arm,
                                   c->against, e->mean));
done:
    return st;
}

/* The components of variance are those of the t tests, whatever test was asked for; NaN where they cannot be had. */
static gyre_status components(const double *d, size_t seeds, size_t documents, gyre_design *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_estimate e;
    *out = (gyre_design){ seeds, documents, (double)NAN, (double)NAN, (double)NAN };
    const gyre_test_type *test = gyre_test_default(seeds, documents);
    gyre_status made = test->applicable(seeds, documents, (char[GYRE_TEST_WHY]){ 0 }, GYRE_TEST_WHY) ? test->estimate(d, seeds, documents, &e, err) : GYRE_E_RANGE;
    if (made != GYRE_OK && made != GYRE_E_RANGE)
        GYRE_TRY(made);
    if (made == GYRE_OK && !e.degenerate)
        *out = (gyre_design){ seeds, documents, e.sd_seed, e.sd_document, e.sd_residual };
done:
    return st;
}

/* The test that was asked for, or the one that fits the shape; NULL with the reason where it says nothing about such a sample. */
static gyre_status choose_test(gyre_table *table, gyre_comparison *c, bool seeded, const gyre_test_type **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char why[GYRE_TEST_WHY];
    const char *shape = seeded ? "crossed" : "paired_t";
    const gyre_test_type *test = gyre_test_find(strcmp(c->test_asked, "auto") == 0 ? shape : c->test_asked);
    *out = NULL;
    if (test == NULL)
        GYRE_FAIL(GYRE_E_CONFIG, "'%s' is no test", c->test_asked);
    if (seeded && c->n_seeds == 1) /* a test over documents would take one drawn seed for all there are */
        test = gyre_test_find(shape);
    if (test->applicable(c->n_seeds, c->n_documents, why, sizeof why)) {
        *out = test;
        goto done;
    }
    c->status = DEGENERATE;
    GYRE_TRY(gyre_table_printf(table, &c->reason, err, "test %s: %s", test->name, why));
done:
    return st;
}

static gyre_status judge_units(gyre_table *table, gyre_comparison *c, const gyre_arm_units *arm, const gyre_arm_units *against, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_estimate e;
    gyre_judgement j;
    gyre_margin margin;
    gyre_design design;
    const gyre_test_type *test;
    double *d = NULL;
    bool seeded = arm->seeded || against->seeded;
    c->n_documents = arm->n_documents;
    c->n_seeds = seeded ? table->n_seeds : 1;
    GYRE_TRY(choose_test(table, c, seeded, &test, err));
    if (test == NULL)
        goto done;
    c->test = test->name;
    GYRE_NEW(&d, c->n_seeds * c->n_documents);
    differences(arm, against, c->n_seeds, arm->n_layers, d);
    GYRE_TRY(gyre_comparison_margin(c, &margin, err));
    gyre_status judged = gyre_test_judge(test, d, c->n_seeds, c->n_documents, &margin, c->alpha, table->campaign_seed, &e, &j, err);
    if (judged == GYRE_E_RANGE) { /* the spread leaves the range of double, or so few degrees of freedom have no interval at this alpha: no test */
        gyre_error failed = *err;
        c->status = DEGENERATE;
        GYRE_TRY(gyre_table_printf(table, &c->reason, err, "test %s: %s", test->name, failed.message));
        goto done;
    }
    GYRE_TRY(judged);
    GYRE_TRY(store(table, c, &e, &j, err));
    GYRE_TRY(components(d, c->n_seeds, c->n_documents, &design, err));
    GYRE_TRY(gyre_foresee(&design, c, err));
    if (table->sources[c->source].kind != GYRE_SOURCE_MODEL)
        GYRE_TRY(worst_layer(table, c, arm, against, test, d, err));
done:
    free(d);
    return st;
}

static void clear(gyre_comparison *c, const gyre_source *source)
{
    gyre_comparison_defaults(c);
    c->status = DEGENERATE;
    c->reason = c->test = c->verdict = "";
    c->n_seeds = c->n_documents = 0;
    c->worst_layer = source->kind == GYRE_SOURCE_MODEL ? UINT32_MAX : 0;
    double *const numbers[] = { &c->estimate,  &c->ci_low,     &c->ci_high,         &c->df,            &c->sd_seed,        &c->sd_document,
                                &c->p,         &c->p_adjusted, &c->p_tost,          &c->p_tost_adjusted, &c->margin_needed, &c->worst_estimate,
                                &c->worst_low, &c->worst_high, &c->total_bits_arm, &c->total_bits_against };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = (double)NAN;
    if (!c->has_margin)
        c->margin = (double)NAN;
}

/* SKIPPED before INCOMPLETE before DEGENERATE. */
static const gyre_arm_units *hindrance(const gyre_arm_units *arm, const gyre_arm_units *against)
{
    static const char *const order[] = { "SKIPPED", "INCOMPLETE", "DEGENERATE" };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (strcmp(arm->status, order[i]) == 0)
            return arm;
        if (strcmp(against->status, order[i]) == 0)
            return against;
    }
    return NULL;
}

static gyre_status compare_one(gyre_table *table, gyre_comparison *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm_units arm, against;
    size_t metric = 0;
    gyre_margin margin;
    clear(c, &table->sources[c->source]);
    while (metric < table->n_metrics && strcmp(table->metrics[metric], c->metric) != 0)
        metric++;
    if (metric == table->n_metrics)
        GYRE_FAIL(GYRE_E_CONFIG, "metric %s is compared and not measured: add it to metrics", c->metric);
    GYRE_TRY(gyre_comparison_margin(c, &margin, err));
    GYRE_TRY(gyre_arm_units_get(table, c->source, c->arm, c->point, metric, c->ratio, &arm, err));
    GYRE_TRY(gyre_arm_units_get(table, c->source, c->against, c->point, metric, c->ratio, &against, err));
    c->total_bits_arm = arm.total_bits;
    c->total_bits_against = against.total_bits;
    const gyre_arm_units *bad = hindrance(&arm, &against);
    if (bad != NULL) {
        c->status = bad->status;
        c->reason = bad->reason;
        goto done;
    }
    GYRE_TRY(judge_units(table, c, &arm, &against, err));
done:
    return st;
}

gyre_status gyre_compare_design(gyre_table *table, const gyre_comparison *c, gyre_design *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm_units arm, against;
    double *d = NULL;
    size_t metric = gyre_metric_place(table, c->metric);
    *out = (gyre_design){ 0, 0, (double)NAN, (double)NAN, (double)NAN };
    if (metric == table->n_metrics)
        goto done;
    GYRE_TRY(gyre_arm_units_get(table, c->source, c->arm, c->point, metric, c->ratio, &arm, err));
    GYRE_TRY(gyre_arm_units_get(table, c->source, c->against, c->point, metric, c->ratio, &against, err));
    if (hindrance(&arm, &against) != NULL)
        goto done;
    size_t seeds = arm.seeded || against.seeded ? table->n_seeds : 1;
    GYRE_NEW(&d, seeds * arm.n_documents);
    differences(&arm, &against, seeds, arm.n_layers, d);
    if (seeds > 1 || !(arm.seeded || against.seeded)) /* one draw of a seeded arm tells nothing of other draws */
        GYRE_TRY(components(d, seeds, arm.n_documents, out, err));
done:
    free(d);
    return st;
}

/* ---- families ---- */

static bool in_family(const gyre_table *table, const gyre_comparison *c, const char *family)
{
    return strcmp(c->status, OK) == 0 && strcmp(c->family, family) == 0 && !table->sources[c->source].descriptive;
}

/* Its cells are not all there: it counts with p = 1, so that the rest does not come out the better for it. */
static bool is_awaited(const gyre_table *table, const gyre_comparison *c, const char *family)
{
    return strcmp(c->status, INCOMPLETE) == 0 && strcmp(c->family, family) == 0 && !table->sources[c->source].descriptive;
}

/* Adjusts over the OK comparisons of the family that comparison `first` opens. p, tost: room for all comparisons and those that were registered and are not made: they count with p = 1, as what is
 * incomplete does. */
static gyre_status adjust_family(gyre_table *table, size_t first, double *p, double *tost, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *family = table->comparisons[first].family;
    const gyre_correction_type *correction = gyre_correction_find(table->comparisons[first].correction);
    size_t n = table->n_comparisons, dropped = 0;
    if (correction == NULL)
        GYRE_FAIL(GYRE_E_CONFIG, "'%s' is no correction of a family", table->comparisons[first].correction);
    GYRE_TRY(gyre_plan_dropped(table, family, &dropped, err));
    for (size_t i = 0; i < n + dropped; i++) {
        bool member = i < n && in_family(table, &table->comparisons[i], family), counts = i >= n || is_awaited(table, &table->comparisons[i], family);
        p[i] = counts ? 1.0 : member ? table->comparisons[i].p : (double)NAN; /* NaN does not count */
        tost[i] = counts ? 1.0 : member ? table->comparisons[i].p_tost : (double)NAN;
    }
    GYRE_TRY(correction->adjust(p, n + dropped, p, err));
    GYRE_TRY(correction->adjust(tost, n + dropped, tost, err));
    for (size_t i = 0; i < n; i++) {
        gyre_comparison *c = &table->comparisons[i];
        gyre_goal goal;
        if (!in_family(table, c, family))
            continue;
        const gyre_estimate e = { .mean = c->estimate };
        GYRE_TRY(gyre_comparison_goal(c, &goal, err));
        c->p_adjusted = p[i];
        c->p_tost_adjusted = tost[i];
        c->verdict = gyre_verdict_name(gyre_verdict_of(&e, goal, p[i], tost[i], c->alpha));
    }
done:
    return st;
}

gyre_status gyre_compare(gyre_table *table, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *p = NULL, *tost = NULL;
    size_t dropped = 0;
    for (size_t i = 0; i < table->n_comparisons; i++)
        if ((st = compare_one(table, &table->comparisons[i], err)) != GYRE_OK) {
            (void)gyre_error_context(err, "comparison %zu, %s against %s", i, table->comparisons[i].arm, table->comparisons[i].against);
            goto done;
        }
    GYRE_TRY(gyre_plan_dropped(table, NULL, &dropped, err));
    GYRE_NEW(&p, table->n_comparisons + dropped);
    GYRE_NEW(&tost, table->n_comparisons + dropped);
    for (size_t i = 0; i < table->n_comparisons; i++)
        if (strcmp(table->comparisons[i].status, OK) == 0 && table->sources[table->comparisons[i].source].descriptive)
            table->comparisons[i].verdict = GYRE_DESCRIPTIVE;
    for (size_t i = 0; i < table->n_comparisons; i++)
        if (strcmp(table->comparisons[i].status, OK) == 0 && table->comparisons[i].verdict[0] == '\0')
            GYRE_TRY(adjust_family(table, i, p, tost, err));
done:
    free(p);
    free(tost);
    return st;
}
