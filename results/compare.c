#include "results/compare.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats/holm.h"
#include "stats/stats.h"
#include "stats/verdict.h"

static const char OK[] = "OK", SKIPPED[] = "SKIPPED", INCOMPLETE[] = "INCOMPLETE", DEGENERATE[] = "DEGENERATE";

enum { REASON_TEXT = 640 };

/* A text that the table keeps. */
__attribute__((format(printf, 4, 5))) static gyre_status keep_reason(gyre_table *table, const char **out, gyre_error *err, const char *format, ...)
{
    char text[REASON_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return gyre_table_text(table, text, out, err);
}

/* ---- the cells of an arm ---- */

/* Is the item of length n one of the comma list? */
static bool listed(const char *list, const char *item, size_t n)
{
    for (const char *p = list; *p != '\0';) {
        size_t length = strcspn(p, ",");
        if (length == n && strncmp(p, item, n) == 0)
            return true;
        p += length + (p[length] == ',');
    }
    return false;
}

/* Are all grid values of `own` among those of `point`? */
static bool within(const char *own, const char *point)
{
    for (const char *p = own; *p != '\0';) {
        size_t length = strcspn(p, ",");
        if (!listed(point, p, length))
            return false;
        p += length + (p[length] == ',');
    }
    return true;
}

static bool belongs(const gyre_cell *cell, size_t source, const char *arm, const char *point)
{
    return cell->source == source && strcmp(cell->arm, arm) == 0 && within(cell->point, point);
}

static size_t layer_place(const gyre_source *source, uint32_t layer)
{
    size_t place = 0;
    while (place < source->n_layers && source->layers[place] != layer)
        place++;
    return place;
}

/* The arm's cells as a grid [layer or block][seed]; absent ones are NULL. */
static gyre_status collect(const gyre_table *table, size_t source, const char *arm, const char *point, gyre_arm_units *out, const gyre_cell ***grid,
                           gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &table->sources[source];
    out->n_layers = s->kind == GYRE_SOURCE_MODEL ? 1 : s->n_layers;
    out->n_documents = gyre_n_units(s);
    out->n_seeds = 1;
    for (size_t i = 0; i < table->n_cells; i++)
        if (belongs(&table->cells[i], source, arm, point) && table->cells[i].seeded)
            out->seeded = true;
    if (out->seeded)
        out->n_seeds = table->n_seeds;
    GYRE_NEW(grid, s->n_layers * out->n_seeds);
    for (size_t i = 0; i < table->n_cells; i++) {
        const gyre_cell *c = &table->cells[i];
        if (!belongs(c, source, arm, point))
            continue;
        size_t layer = layer_place(s, c->layer);
        if (layer == s->n_layers || c->seed >= out->n_seeds || (*grid)[layer * out->n_seeds + c->seed] != NULL)
            GYRE_FAIL(GYRE_E_INTERNAL, "cell of %s at %s %u, seed %u is outside the plan or there twice", arm, gyre_layer_word(s), c->layer, c->seed);
        (*grid)[layer * out->n_seeds + c->seed] = c;
    }
done:
    return st;
}

/* What keeps the arm from being compared: a skipped cell before a missing one, since the former stays. */
static gyre_status check_grid(gyre_table *table, const gyre_source *source, const char *arm, const char *point, const gyre_cell *const *grid, gyre_arm_units *out,
                              gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell *skipped = NULL, *failed = NULL;
    size_t n = source->n_layers * out->n_seeds, missing = 0;
    for (size_t i = n; i-- > 0;) {
        if (grid[i] == NULL || grid[i]->status == GYRE_CELL_MISSING)
            missing++;
        else if (grid[i]->status == GYRE_CELL_SKIPPED)
            skipped = grid[i];
        else if (grid[i]->status == GYRE_CELL_FAILED)
            failed = grid[i];
    }
    out->status = skipped != NULL ? SKIPPED : failed != NULL || missing > 0 || n == 0 ? INCOMPLETE : OK;
    const gyre_cell *cause = skipped != NULL ? skipped : failed;
    const char *at = point[0] != '\0' ? " at " : "";
    if (cause != NULL)
        GYRE_TRY(keep_reason(table, &out->reason, err, "%s%s%s, %s %u: %s", arm, at, point, gyre_layer_word(source), cause->layer, cause->reason));
    else if (out->status == INCOMPLETE)
        GYRE_TRY(keep_reason(table, &out->reason, err, "%zu of %zu cells of %s%s%s are missing", missing, n, arm, at, point));
done:
    return st;
}

/* ---- units ---- */

/* Mean over heads of f(metric) of a document of the cell; a value without a logarithm, or none at all, makes the arm DEGENERATE. */
static gyre_status unit_mean(gyre_table *table, const gyre_cell *cell, size_t metric, size_t document, bool logarithm, gyre_arm_units *out,
                             double *mean, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double sum = 0.0;
    for (size_t h = 0; h < cell->n_heads; h++) {
        double x = gyre_cell_value(cell, metric, document, h);
        if (isfinite(x) && (!logarithm || x > 0.0)) {
            sum += logarithm ? log(x) : x;
            continue;
        }
        const char *why = !isfinite(x) ? "it does not apply to this arm or overflowed" : "a ratio needs positive values: compare with {abs: ...}";
        const gyre_source *s = &table->sources[cell->source];
        const char *name = s->documents[cell->first_document + document];
        out->status = DEGENERATE;
        if (s->kind == GYRE_SOURCE_MODEL)
            GYRE_TRY(keep_reason(table, &out->reason, err, "%s of %s is %g in chunk %s, seed %u: %s", table->metrics[metric], cell->arm, x, name, cell->seed, why));
        else
            GYRE_TRY(keep_reason(table, &out->reason, err, "%s of %s is %g at layer %u, document %s, head %zu, seed %u: %s", table->metrics[metric], cell->arm, x, cell->layer, name, h,
                                 cell->seed, why));
        goto done;
    }
    *mean = sum / (double)cell->n_heads;
done:
    return st;
}

/* Of a model source: values of one seed, from the cells of all blocks, grid[block * n_seeds]. count[unit]: room, the chunks of each unit. */
static gyre_status fill_seed(gyre_table *table, const gyre_source *s, size_t metric, bool logarithm, const gyre_cell *const *grid, double *values, size_t *count, gyre_arm_units *out,
                             gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t chunks = 0;
    memset(count, 0, out->n_documents * sizeof *count);
    for (size_t b = 0; b < s->n_layers; b++) {
        const gyre_cell *c = grid[b * out->n_seeds];
        if (c->first_document != chunks || c->n_documents > s->n_documents - chunks)
            GYRE_FAIL(GYRE_E_INTERNAL, "block %u of %s has chunks %zu to %zu, the block before ends at %zu", c->layer, c->arm, c->first_document, c->first_document + c->n_documents, chunks);
        for (size_t j = 0; j < c->n_documents && out->status == OK; j++) {
            size_t unit = s->n_texts > 1 ? s->text_of[chunks + j] : chunks + j;
            double x = 0.0;
            GYRE_TRY(unit_mean(table, c, metric, j, logarithm, out, &x, err));
            values[unit] += x;
            count[unit]++;
        }
        chunks += c->n_documents;
    }
    for (size_t u = 0; u < out->n_documents && out->status == OK; u++) {
        if (count[u] == 0)
            GYRE_FAIL(GYRE_E_INTERNAL, "%s %zu of %s has no chunk", gyre_unit_word(s), u, s->name);
        values[u] /= (double)count[u];
    }
done:
    return st;
}

static gyre_status fill_blocks(gyre_table *table, const gyre_source *s, size_t metric, bool logarithm, const gyre_cell *const *grid, gyre_arm_units *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t *count = NULL, n = s->n_layers * out->n_seeds;
    double bits = 0.0, chunks = 0.0;
    GYRE_NEW(&count, out->n_documents);
    GYRE_TRY(gyre_table_keep(table, out->n_seeds * out->n_documents, sizeof *out->values, &out->values, err));
    for (size_t seed = 0; seed < out->n_seeds && out->status == OK; seed++)
        GYRE_TRY(fill_seed(table, s, metric, logarithm, grid + seed, out->values + seed * out->n_documents, count, out, err));
    for (size_t i = 0; i < n; i++) {
        chunks += (double)grid[i]->n_documents; /* the last block may have fewer */
        bits += (grid[i]->total_bits - bits) * (double)grid[i]->n_documents / chunks;
    }
    out->total_bits = bits;
    if (out->status != OK)
        out->values = NULL;
done:
    free(count);
    return st;
}

static gyre_status fill_units(gyre_table *table, size_t metric, bool logarithm, const gyre_cell *const *grid, gyre_arm_units *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = out->n_layers * out->n_seeds;
    double bits = 0.0;
    GYRE_TRY(gyre_table_keep(table, n * out->n_documents, sizeof *out->values, &out->values, err));
    for (size_t i = 0; i < n; i++) {
        if (grid[i]->n_documents != out->n_documents)
            GYRE_FAIL(GYRE_E_INTERNAL, "cell of %s at layer %u has %zu documents, its source %zu", grid[i]->arm, grid[i]->layer, grid[i]->n_documents,
                      out->n_documents);
        for (size_t j = 0; j < out->n_documents && out->status == OK; j++)
            GYRE_TRY(unit_mean(table, grid[i], metric, j, logarithm, out, &out->values[i * out->n_documents + j], err));
        bits += grid[i]->total_bits;
    }
    out->total_bits = bits / (double)n;
    if (out->status != OK)
        out->values = NULL;
done:
    return st;
}

gyre_status gyre_arm_units_get(gyre_table *table, size_t source, const char *arm, const char *point, size_t metric, bool logarithm,
                               gyre_arm_units *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &table->sources[source];
    const gyre_cell **grid = NULL;
    *out = (gyre_arm_units){ .status = OK, .reason = "", .total_bits = (double)NAN };
    GYRE_TRY(collect(table, source, arm, point, out, &grid, err));
    GYRE_TRY(check_grid(table, s, arm, point, grid, out, err));
    if (out->status == OK && s->kind == GYRE_SOURCE_MODEL)
        GYRE_TRY(fill_blocks(table, s, metric, logarithm, grid, out, err));
    else if (out->status == OK)
        GYRE_TRY(fill_units(table, metric, logarithm, grid, out, err));
done:
    free(grid);
    return st;
}

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

static gyre_status worst_layer(const gyre_table *table, gyre_comparison *c, const gyre_arm_units *arm, const gyre_arm_units *against,
                               const gyre_test_type *test, double *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_margin no_margin = { false, 0.0, 0.0 };
    for (size_t l = 0; l < arm->n_layers; l++) {
        gyre_estimate e;
        gyre_judgement j = { .lo = (double)NAN, .hi = (double)NAN };
        differences(arm, against, c->n_seeds, l, d);
        gyre_status tested = test->estimate(d, c->n_seeds, c->n_documents, &e, err);
        if (tested != GYRE_OK && tested != GYRE_E_RANGE) /* a layer whose spread under- or overflows has a mean and no interval */
            GYRE_TRY(tested);
        if (l > 0 && fabs(e.mean) <= fabs(c->worst_estimate))
            continue;
        if (tested == GYRE_OK)
            GYRE_TRY(gyre_judge(&e, &no_margin, c->alpha, &j, err));
        c->worst_layer = table->sources[c->source].layers[l];
        c->worst_estimate = e.mean;
        c->worst_low = j.lo;
        c->worst_high = j.hi;
    }
done:
    return st;
}

static gyre_status margin_of(const gyre_comparison *c, gyre_margin *out, gyre_error *err)
{
    *out = (gyre_margin){ false, 0.0, 0.0 };
    return !c->has_margin ? GYRE_OK : c->ratio ? gyre_margin_ratio(c->margin, out, err) : gyre_margin_abs(c->margin, out, err);
}

static gyre_status store(gyre_table *table, gyre_comparison *c, const gyre_estimate *e, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_margin margin;
    gyre_judgement j;
    GYRE_TRY(margin_of(c, &margin, err));
    GYRE_TRY(gyre_judge(e, &margin, c->alpha, &j, err));
    c->estimate = e->mean;
    c->df = e->df;
    c->sd_seed = e->sd_seed;
    c->sd_document = e->sd_document;
    c->ci_low = j.lo;
    c->ci_high = j.hi;
    c->p = j.p;
    c->p_tost = j.tost_p;
    c->margin_needed = j.smallest_margin;
    c->status = e->degenerate ? DEGENERATE : OK;
    if (e->degenerate)
        GYRE_TRY(keep_reason(table, &c->reason, err, "all differences between %s and %s are %g: no spread, so nothing was tested", c->arm,
                             c->against, e->mean));
done:
    return st;
}

static gyre_status judge_units(gyre_table *table, gyre_comparison *c, const gyre_arm_units *arm, const gyre_arm_units *against, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_estimate e;
    char why[GYRE_TEST_WHY];
    double *d = NULL;
    bool seeded = arm->seeded || against->seeded;
    c->n_documents = arm->n_documents;
    c->n_seeds = seeded ? table->n_seeds : 1;
    const gyre_test_type *test = seeded ? gyre_test_find("crossed") : gyre_test_default(1, c->n_documents);
    if (!test->applicable(c->n_seeds, c->n_documents, why, sizeof why)) {
        c->status = DEGENERATE;
        GYRE_TRY(keep_reason(table, &c->reason, err, "test %s: %s", test->name, why));
        goto done;
    }
    c->test = test->name;
    GYRE_NEW(&d, c->n_seeds * c->n_documents);
    differences(arm, against, c->n_seeds, arm->n_layers, d);
    gyre_status tested = test->estimate(d, c->n_seeds, c->n_documents, &e, err);
    if (tested == GYRE_E_RANGE) { /* the spread leaves the range of double: no test */
        c->status = DEGENERATE;
        GYRE_TRY(keep_reason(table, &c->reason, err, "the spread of the differences leaves the range of double: rescale the metric"));
        goto done;
    }
    GYRE_TRY(tested);
    GYRE_TRY(store(table, c, &e, err));
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
    const char *const order[] = { SKIPPED, INCOMPLETE, DEGENERATE };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (arm->status == order[i])
            return arm;
        if (against->status == order[i])
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
    GYRE_TRY(margin_of(c, &margin, err));
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

/* ---- families ---- */

static bool in_family(const gyre_table *table, const gyre_comparison *c, const char *family)
{
    return c->status == OK && strcmp(c->family, family) == 0 && !table->sources[c->source].descriptive;
}

/* Adjusts over the OK comparisons of the family that comparison `first` opens. */
static gyre_status adjust_family(gyre_table *table, size_t first, double *p, double *tost, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *family = table->comparisons[first].family;
    for (size_t i = 0; i < table->n_comparisons; i++) {
        const gyre_comparison *c = &table->comparisons[i];
        bool member = in_family(table, c, family);
        p[i] = member ? c->p : (double)NAN; /* NaN does not count */
        tost[i] = member ? c->p_tost : (double)NAN;
    }
    GYRE_TRY(gyre_holm(p, table->n_comparisons, p, err));
    GYRE_TRY(gyre_holm(tost, table->n_comparisons, tost, err));
    for (size_t i = 0; i < table->n_comparisons; i++) {
        gyre_comparison *c = &table->comparisons[i];
        if (!in_family(table, c, family))
            continue;
        const gyre_estimate e = { .mean = c->estimate };
        c->p_adjusted = p[i];
        c->p_tost_adjusted = tost[i];
        c->verdict = gyre_verdict_name(gyre_verdict_of(&e, GYRE_GOAL_EQUIVALENT, p[i], tost[i], c->alpha));
    }
done:
    return st;
}

gyre_status gyre_compare(gyre_table *table, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *p = NULL, *tost = NULL;
    GYRE_NEW(&p, table->n_comparisons);
    GYRE_NEW(&tost, table->n_comparisons);
    for (size_t i = 0; i < table->n_comparisons; i++)
        if ((st = compare_one(table, &table->comparisons[i], err)) != GYRE_OK) {
            (void)gyre_error_context(err, "comparison %zu, %s against %s", i, table->comparisons[i].arm, table->comparisons[i].against);
            goto done;
        }
    for (size_t i = 0; i < table->n_comparisons; i++)
        if (table->comparisons[i].status == OK && table->sources[table->comparisons[i].source].descriptive)
            table->comparisons[i].verdict = GYRE_DESCRIPTIVE;
    for (size_t i = 0; i < table->n_comparisons; i++)
        if (table->comparisons[i].status == OK && table->comparisons[i].verdict[0] == '\0')
            GYRE_TRY(adjust_family(table, i, p, tost, err));
done:
    free(p);
    free(tost);
    return st;
}
