/* Figure `power`: what each comparison could have seen, and what it would take; a page or more for each source.
 *
 * A row is a comparison with a margin. Left: power against the number of documents (solid; chunks or texts, in a model) at the seeds there are, and of seeds (broken) at the documents there
 * are. Right: power against the true difference for the present design. Blue: of the margin's test (TOST, or not worse), on the left where there is no true difference. Vermilion: of the
 * two-sided test, on the left where the true difference is the margin. Dots: the present design; thin line: power 0.8; on the right a vertical line at the margin and a ring at the smallest
 * difference that the two-sided test sees with power 0.8. Formulas: stats/power.h, from the components of variance measured on these units, each comparison alone at its alpha.
 *
 * What it is not: a reason to believe a verdict, or power at the estimate. Components of few seeds or documents are themselves uncertain, and correction for a family takes power away.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"
#include "results/figure.h"
#include "stats/power.h"

#define TITLE 0.46
#define HEAD 0.46    /* above a panel: the pair; the numbers */
#define PLOT 0.82
#define FOOT 0.34
#define LEFT 0.42    /* of each panel */
#define RIGHT_PANEL 3.85
#define PANEL_WIDTH 2.75
#define GOAL_POWER 0.8
#define MARGIN_COLOUR "#0072B2"
#define TWO_SIDED_COLOUR "#D55E00"

enum { ROWS = 7, MOST_COUNTS = 64, EFFECTS = 41 };

/* What is drawn of a comparison. mde: on the scale of the estimate. */
typedef struct power_row {
    const gyre_comparison *c;
    const char *reason; /* why there is nothing to draw; NULL */
    gyre_design design;
    gyre_margin margin;
    gyre_goal goal;
    double mde, documents_needed, seeds_needed;
} power_row;

typedef struct power_figure {
    gyre_figure_book *book;
    size_t source, n, n_shown, left_out;
    power_row *rows; /* those with curves first */
} power_figure;

/* ---- numbers ---- */

/* Power of one kind; NaN where the design has none (numbers outside the range of double). */
static gyre_status power_at(const power_row *r, size_t seeds, size_t documents, double effect, bool of_margin, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_margin none = { false, 0.0, 0.0 };
    gyre_design d = r->design;
    d.seeds = seeds;
    d.documents = documents;
    gyre_status got = gyre_power_crossed(&d, effect, of_margin ? &r->margin : &none, r->goal, r->c->alpha, out, err);
    if (got != GYRE_OK && got != GYRE_E_RANGE)
        GYRE_TRY(got);
    if (got == GYRE_E_RANGE)
        *out = (double)NAN;
done:
    return st;
}

/* A question that the design cannot answer has no answer (foresee.c); one comparison without a curve does not keep the others from theirs. */
static gyre_status no_answer(gyre_status status)
{
    return status == GYRE_E_RANGE || status == GYRE_E_APPLICABLE ? GYRE_OK : status;
}

static gyre_status fill_needs(power_row *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double se = 0.0, df = 0.0;
    r->mde = r->documents_needed = r->seeds_needed = (double)NAN;
    gyre_status known = gyre_design_error(&r->design, &se, &df, err);
    GYRE_TRY(no_answer(known));
    if (known == GYRE_OK)
        GYRE_TRY(no_answer(gyre_mde(se, df, r->c->alpha, GOAL_POWER, &r->mde, err)));
    if (isnan(r->mde)) {
        r->reason = "no difference is seen with power 0.8 at its alpha";
        goto done;
    }
    GYRE_TRY(no_answer(gyre_documents_needed(&r->design, 0.0, &r->margin, r->goal, r->c->alpha, GOAL_POWER, &r->documents_needed, err)));
    if (r->design.seeds > 1)
        GYRE_TRY(no_answer(gyre_seeds_needed(&r->design, 0.0, &r->margin, r->goal, r->c->alpha, GOAL_POWER, &r->seeds_needed, err)));
done:
    return st;
}

static gyre_status fill_row(gyre_table *table, const gyre_comparison *c, power_row *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *r = (power_row){ .c = c };
    r->reason = strcmp(c->status, "OK") != 0 ? c->reason : !c->has_margin ? "no margin is declared" : NULL;
    if (r->reason != NULL)
        goto done;
    GYRE_TRY(gyre_comparison_margin(c, &r->margin, err));
    GYRE_TRY(gyre_comparison_goal(c, &r->goal, err));
    GYRE_TRY(gyre_compare_design(table, c, &r->design, err));
    if (isfinite(r->design.sd_document))
        GYRE_TRY(fill_needs(r, err));
    else
        r->reason = "there are no components of variance";
done:
    return st;
}

static gyre_status list_rows(power_figure *g, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = g->book->table;
    GYRE_NEW(&g->rows, t->n_comparisons);
    for (size_t drawable = 2; drawable-- > 0;) {
        for (size_t i = 0; i < t->n_comparisons; i++) {
            power_row r;
            if (t->comparisons[i].source != g->source)
                continue;
            GYRE_TRY(fill_row(t, &t->comparisons[i], &r, err));
            if ((r.reason == NULL) == (drawable == 1))
                g->rows[g->n++] = r;
        }
        if (drawable == 1)
            g->n_shown = g->n;
    }
    if (g->n_shown > (size_t)ROWS * GYRE_PAGES_COMPARED) {
        g->left_out = g->n_shown - (size_t)ROWS * GYRE_PAGES_COMPARED;
        g->n_shown -= g->left_out;
    }
done:
    return st;
}

/* 2, 3, 4, 5, 6, 8, ... to four times the present number and at least 32; the present number is among them. */
static size_t counts_of(size_t present, size_t *out)
{
    size_t n = 0, most = 4 * present > 32 ? 4 * present : 32;
    for (size_t k = 2; n < MOST_COUNTS - 1;) {
        size_t next = k + (k < 6 ? 1 : k / 4);
        out[n++] = k;
        if (k >= most)
            break;
        if (k < present && present < next)
            next = present;
        k = next < most ? next : most;
    }
    return n;
}

/* ---- drawing ---- */

static double shown(const gyre_comparison *c, double value)
{
    return c->ratio ? exp(value) : value;
}

/* A curve as data and as lines of the CSV file. vary: 'd' documents, 's' seeds, 'e' the true difference. */
typedef struct curve {
    const power_figure *g;
    const power_row *row;
    gyre_page *page;
} curve;

static void csv_point(const curve *v, const char *vary, size_t seeds, size_t documents, double effect, bool of_margin, double power)
{
    const gyre_table *t = v->g->book->table;
    const gyre_comparison *c = v->row->c;
    const char *const texts[] = { t->sources[v->g->source].name, gyre_csv_leak(t, v->g->source, gyre_arm_leaks(t, v->g->source, c->against, NULL) ? c->against : c->arm, NULL), c->arm,
                                  c->against, c->metric, c->point, c->family, c->ratio ? "ratio" : "abs", vary,
                                  !of_margin ? "two_sided" : v->row->goal == GYRE_GOAL_NOT_WORSE ? "not_worse" : "equivalent" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        gyre_csv_text(v->page->csv, texts[i], ',');
    (void)fprintf(v->page->csv, "%zu,%zu,", seeds, documents);
    gyre_csv_real(v->page->csv, shown(c, effect), ',');
    gyre_csv_real(v->page->csv, power, ',');
    const double numbers[] = { c->margin, c->alpha, v->row->design.sd_seed, v->row->design.sd_document, v->row->design.sd_residual, shown(c, v->row->mde), v->row->documents_needed,
                               v->row->seeds_needed };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gyre_csv_real(v->page->csv, numbers[i], ',');
    (void)fprintf(v->page->csv, "%d,\n", c->exploratory);
}

/* The data block `name`: power over counts of documents or seeds. */
static gyre_status write_counts(const curve *v, const char *name, bool of_documents, bool of_margin, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_design *d = &v->row->design;
    size_t counts[MOST_COUNTS], n = counts_of(of_documents ? d->documents : d->seeds, counts);
    double effect = of_margin ? 0.0 : v->row->margin.hi;
    (void)fprintf(v->page->plot, "$%s << EOD\n", name);
    for (size_t i = 0; i < n; i++) {
        double power = (double)NAN;
        size_t seeds = of_documents ? d->seeds : counts[i], documents = of_documents ? counts[i] : d->documents;
        GYRE_TRY(power_at(v->row, seeds, documents, effect, of_margin, &power, err));
        csv_point(v, of_documents ? "documents" : "seeds", seeds, documents, effect, of_margin, power);
        if (isfinite(power))
            (void)fprintf(v->page->plot, "%zu %.8g\n", counts[i], power);
    }
    (void)fputs("EOD\n", v->page->plot);
done:
    return st;
}

/* Largest true difference on the axis. */
static double reach(const power_row *r)
{
    return 1.5 * fmax(r->margin.hi, fmin(r->mde, 6.0 * r->margin.hi));
}

static gyre_status write_effects(const curve *v, const char *name, bool of_margin, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_design *d = &v->row->design;
    (void)fprintf(v->page->plot, "$%s << EOD\n", name);
    for (int i = 0; i < EFFECTS; i++) {
        double power = (double)NAN, effect = reach(v->row) * i / (EFFECTS - 1);
        GYRE_TRY(power_at(v->row, d->seeds, d->documents, effect, of_margin, &power, err));
        csv_point(v, "difference", d->seeds, d->documents, effect, of_margin, power);
        if (isfinite(power))
            (void)fprintf(v->page->plot, "%.8g %.8g\n", shown(v->row->c, effect), power);
    }
    (void)fputs("EOD\n", v->page->plot);
done:
    return st;
}

static void needed_text(double n, const char *unit, char *out, size_t size)
{
    if (isfinite(n))
        (void)snprintf(out, size, "%.0f %s%s", n, unit, n > 1.0 ? "s" : "");
    else
        (void)snprintf(out, size, "\xE2\x88\x9E %ss", unit); /* no number is enough: the other factor's share of the error stays */
}

static void draw_heads(const curve *v, double top)
{
    const power_row *r = v->row;
    const gyre_comparison *c = r->c;
    const gyre_table *t = v->g->book->table;
    const char *unit = gyre_unit_word(&t->sources[v->g->source]);
    char metric[256], point[GYRE_LINE_TEXT], text[4 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT], documents[64], seeds[64];
    const double x = GYRE_FIGURE_MARGIN, width = GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN;
    bool one_sided = r->goal == GYRE_GOAL_NOT_WORSE;
    gyre_draw_box(v->page, x, x + width, top + 0.03, top + 0.2, "#ECECEC");
    gyre_metric_label(t, gyre_metric_place(t, c->metric), metric, sizeof metric);
    gyre_point_label(c->point, point);
    (void)snprintf(text, sizeof text, "%s%s against %s \xC2\xB7 %s%s%s \xC2\xB7 %smargin %s%.4g, \xCE\xB1 %.3g", c->exploratory ? "EXPLORATORY \xC2\xB7 " : "", c->arm, c->against, metric,
                   point[0] != '\0' ? " \xC2\xB7 " : "", point, one_sided ? "not worse by the " : "", c->ratio ? one_sided ? "\xC3\x97 " : "\xC3\xB7\xC3\x97 " : one_sided ? "+ " : "\xC2\xB1 ", c->margin, c->alpha);
    gyre_text_fit(text, 6.5, width - 0.08, fitted);
    gyre_draw_text(v->page, x + 0.04, top + 0.115, GYRE_LEFT, 6.5, GYRE_INK, fitted);
    needed_text(r->documents_needed, unit, documents, sizeof documents);
    needed_text(r->seeds_needed, "seed", seeds, sizeof seeds);
    if (r->design.seeds > 1)
        (void)snprintf(text, sizeof text, "%zu seeds \xC3\x97 %zu %ss; power %.1f takes %s or %s", r->design.seeds, r->design.documents, unit, GOAL_POWER, documents, seeds);
    else
        (void)snprintf(text, sizeof text, "%zu %ss, no seeds; power %.1f takes %s", r->design.documents, unit, GOAL_POWER, documents);
    gyre_text_fit(text, 6.0, RIGHT_PANEL - x - 0.1, fitted);
    gyre_draw_text(v->page, x + 0.04, top + 0.29, GYRE_LEFT, 6.0, GYRE_GREY, fitted);
    (void)snprintf(text, sizeof text, "smallest difference seen with power %.1f: %s%.4g", GOAL_POWER, c->ratio ? "\xC3\x97 " : "", shown(c, r->mde));
    gyre_draw_text(v->page, RIGHT_PANEL + LEFT, top + 0.29, GYRE_LEFT, 6.0, TWO_SIDED_COLOUR, text);
}

static void begin_panel(gyre_page *page, const gyre_panel *place, const gyre_axis *x, const char *label)
{
    const gyre_axis y = { .lo = 0.0, .hi = 1.0, .most = 3 };
    gyre_draw_text(page, place->x + 0.5 * place->w, place->y + place->h + 0.25, GYRE_CENTRE, 6.0, GYRE_INK, label);
    gyre_draw_text(page, place->x - LEFT + 0.1, place->y + 0.5 * place->h, GYRE_UPWARD, 6.0, GYRE_INK, "power");
    gyre_panel_place(page, place);
    gyre_panel_axis(page, 'x', x);
    gyre_panel_axis(page, 'y', &y);
    (void)fprintf(page->plot, "set border 3\nset grid xtics lw 0.6 lc rgb '#DADADA'\nset arrow from graph 0,first %.3g to graph 1,first %.3g nohead lw 0.7 lc rgb '#8A8A8A' back\n", GOAL_POWER,
                  GOAL_POWER);
}

/* Dot of the present design. */
static gyre_status draw_present(const curve *v, const gyre_panel *place, const gyre_axis *x, size_t count, bool of_margin, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double power = (double)NAN;
    GYRE_TRY(power_at(v->row, v->row->design.seeds, v->row->design.documents, of_margin ? 0.0 : v->row->margin.hi, of_margin, &power, err));
    if (isfinite(power))
        gyre_draw_mark(v->page, place->x + place->w * gyre_axis_place(x, (double)count), place->y + place->h * (1.0 - power), 7, 0.5, of_margin ? MARGIN_COLOUR : TWO_SIDED_COLOUR);
done:
    return st;
}

static gyre_status draw_counts(const curve *v, double top, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_design *d = &v->row->design;
    const gyre_panel place = { GYRE_FIGURE_MARGIN + LEFT, top + HEAD, PANEL_WIDTH, PLOT };
    bool seeded = d->seeds > 1;
    char label[128];
    gyre_axis x = gyre_axis_new(true, 8);
    size_t counts[MOST_COUNTS], n = counts_of(d->documents > d->seeds ? d->documents : d->seeds, counts);
    x.binary = true;
    gyre_axis_hold(&x, 2.0);
    gyre_axis_hold(&x, (double)counts[n - 1]);
    gyre_axis_pad(&x, 0.02, 1.1);
    for (int of_margin = 0; of_margin < 2; of_margin++) {
        GYRE_TRY(write_counts(v, of_margin ? "margin_d" : "two_d", true, of_margin, err));
        GYRE_TRY(draw_present(v, &place, &x, d->documents, of_margin, err));
        if (!seeded)
            continue;
        GYRE_TRY(write_counts(v, of_margin ? "margin_s" : "two_s", false, of_margin, err));
        GYRE_TRY(draw_present(v, &place, &x, d->seeds, of_margin, err));
    }
    (void)snprintf(label, sizeof label, "%ss (solid)%s", gyre_unit_word(&v->g->book->table->sources[v->g->source]), seeded ? ", seeds (broken)" : "");
    begin_panel(v->page, &place, &x, label);
    (void)fputs("plot $two_d using 1:2 with lines lw 1.4 lc rgb '" TWO_SIDED_COLOUR "', $margin_d using 1:2 with lines lw 1.4 lc rgb '" MARGIN_COLOUR "'", v->page->plot);
    if (seeded)
        (void)fputs(", $two_s using 1:2 with lines lw 1.4 dt (6,4) lc rgb '" TWO_SIDED_COLOUR "', $margin_s using 1:2 with lines lw 1.4 dt (6,4) lc rgb '" MARGIN_COLOUR "'", v->page->plot);
    (void)fputc('\n', v->page->plot);
    gyre_panel_done(v->page);
done:
    return st;
}

static gyre_status draw_effects(const curve *v, double top, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const power_row *r = v->row;
    const gyre_panel place = { RIGHT_PANEL + LEFT, top + HEAD, PANEL_WIDTH, PLOT };
    char label[512], metric[256];
    gyre_axis x = { .lo = shown(r->c, 0.0), .hi = shown(r->c, reach(r)), .logarithmic = r->c->ratio, .most = 7 };
    GYRE_TRY(write_effects(v, "two_e", false, err));
    GYRE_TRY(write_effects(v, "margin_e", true, err));
    double at = place.x + place.w * gyre_axis_place(&x, shown(r->c, r->margin.hi)), mde = gyre_axis_place(&x, shown(r->c, r->mde));
    gyre_draw_line(v->page, at, place.y, at, place.y + place.h, 0.9, GYRE_GREY);
    gyre_draw_text(v->page, at, place.y - 0.06, GYRE_CENTRE, 5.5, GYRE_GREY, "margin");
    if (mde <= 1.0)
        gyre_draw_mark(v->page, place.x + place.w * mde, place.y + place.h * (1.0 - GOAL_POWER), 6, 0.6, TWO_SIDED_COLOUR);
    gyre_metric_label(v->g->book->table, gyre_metric_place(v->g->book->table, r->c->metric), metric, sizeof metric);
    (void)snprintf(label, sizeof label, "true difference, %s%.200s", r->c->ratio ? "arm / against" : "arm \xE2\x88\x92 against, ", r->c->ratio ? "" : metric);
    begin_panel(v->page, &place, &x, label);
    (void)fputs("plot $two_e using 1:2 with lines lw 1.4 lc rgb '" TWO_SIDED_COLOUR "', $margin_e using 1:2 with lines lw 1.4 lc rgb '" MARGIN_COLOUR "'\n", v->page->plot);
    gyre_panel_done(v->page);
done:
    return st;
}

/* ---- pages ---- */

static void csv_undrawn(const power_figure *g, gyre_page *page)
{
    const gyre_table *t = g->book->table;
    for (size_t i = g->n_shown; i < g->n; i++) {
        const gyre_comparison *c = g->rows[i].c;
        const char *const texts[] = { t->sources[g->source].name, "", c->arm, c->against, c->metric, c->point, c->family, c->ratio ? "ratio" : "abs" };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            gyre_csv_text(page->csv, texts[k], ',');
        (void)fprintf(page->csv, ",,,,,,,,,,,,,,%d,", c->exploratory);
        gyre_csv_text(page->csv, g->rows[i].reason != NULL ? g->rows[i].reason : "left out of the picture: beyond the last page", '\n');
    }
}

static void draw_key(gyre_page *page)
{
    const struct {
        const char *colour, *text;
    } keys[] = { { MARGIN_COLOUR, "the margin's test (left: no true difference)" }, { TWO_SIDED_COLOUR, "two-sided test (left: the true difference is the margin)" } };
    double x = GYRE_FIGURE_MARGIN;
    for (size_t i = 0; i < 2; i++) {
        gyre_draw_line(page, x, 0.34, x + 0.25, 0.34, 1.6, keys[i].colour);
        gyre_draw_text(page, x + 0.3, 0.34, GYRE_LEFT, 6.5, GYRE_INK, keys[i].text);
        x += 0.55 + gyre_text_width(keys[i].text, 6.5);
    }
}

static gyre_status draw_page(const power_figure *g, size_t first, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char what[1024];
    size_t undrawn = g->n - g->n_shown - g->left_out;
    bool last = first + n == g->n_shown;
    int used = snprintf(what, sizeof what, "Power of each declared comparison, alone at its \xCE\xB1 (correction for its family takes some away), from the components of variance over seeds and %ss that these "
                                           "units show. Dots: the present design; thin line: power %.1f; ring: the smallest difference seen with it. Power says what a design can see, not what is so.",
                        gyre_unit_word(&g->book->table->sources[g->source]), GOAL_POWER);
    if (used > 0 && (size_t)used < sizeof what && undrawn + g->left_out > 0)
        (void)snprintf(what + used, sizeof what - (size_t)used, " Of %zu comparisons %zu have no curve and %zu are left out for want of room: see the CSV file.", g->n, undrawn, g->left_out);
    GYRE_TRY(gyre_source_page_new(g->book, &gyre_figure_power, g->source, TITLE + (double)n * (HEAD + PLOT + FOOT), 0.0, what, &page, err));
    draw_key(page);
    (void)fputs("source,leak,arm,against,metric,point,family,scale,varied,test,seeds,documents,difference,power,margin,alpha,sd_seed,sd_document,sd_residual,mde,documents_needed,seeds_needed,"
                "exploratory,reason\n", page->csv);
    for (size_t i = 0; i < n; i++) {
        const curve v = { g, &g->rows[first + i], page };
        double top = TITLE + (double)i * (HEAD + PLOT + FOOT);
        draw_heads(&v, top);
        GYRE_TRY(draw_counts(&v, top, err));
        GYRE_TRY(draw_effects(&v, top, err));
    }
    if (last)
        csv_undrawn(g, page);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

static gyre_status draw_source(gyre_figure_book *book, size_t source, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    power_figure g = { .book = book, .source = source };
    GYRE_TRY(list_rows(&g, err));
    for (size_t first = 0; first < g.n_shown; first += ROWS)
        GYRE_TRY(draw_page(&g, first, g.n_shown - first < ROWS ? g.n_shown - first : ROWS, err));
done:
    free(g.rows);
    return st;
}

const gyre_figure_type gyre_figure_power = {
    .name = "power",
    .summary = "what each comparison could have seen, and what it would take",
    .draw_source = draw_source,
    .title = "Power",
    .nothing = "no comparison has a margin and components of variance",
};
