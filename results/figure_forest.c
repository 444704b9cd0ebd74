/* Figure `forest`: the verdicts, one page per source (more where it has many comparisons).
 *
 * A row is a comparison at one grid point: estimate and interval coloured by the verdict, a band for the declared margin, a line at no difference, a hollow
 * marker below for the layer that differs most. Ratios have two panels with logarithmic axes, the first for comparisons that stay within a factor NEAR, so
 * that a margin of a few percent can be seen beside a factor of a thousand; absolute differences have a panel for each metric.
 * Rows of one comparison (arms, metric, family) stand together under its name, in the order of the plan. What was not tested is grey, with its reason;
 * comparisons without any tested row are listed at the end.
 * The p shown is the adjusted one that carries the verdict: TOST for EQUIVALENT, one-sided for NOT_WORSE, two-sided for the rest; that of a DESCRIPTIVE row is not adjusted and says so.
 * A row that is not in the registered plan says `exploratory` under its verdict.
 * A model source has no layers and hence no hollow marker.
 *
 * What it is not: a test. Everything here was judged by compare.h and stored.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"
#include "results/figure.h"

#define ROW 0.2       /* inches, height of a comparison */
#define LISTED 0.14   /* of one that is only listed */
#define GROUP 0.19    /* of a name above its rows */
#define HEAD 0.34     /* above a panel */
#define FOOT 0.46     /* below a panel: tick labels, name of the axis */
#define TITLE 0.26    /* of the page */
#define AXIS_LEFT 1.5 /* of the plotting area */
#define AXIS_WIDTH 2.95
#define ESTIMATE 4.55 /* left edge of the columns at its right */
#define VERDICT 5.85
#define P_RIGHT (GYRE_FIGURE_WIDTH - GYRE_FIGURE_MARGIN)

#define NEAR 1.5
#define UNTESTED "#8A8A8A"

enum { MAX_ROWS = 72 };

typedef struct forest_row {
    const gyre_comparison *c;
    size_t panel, group, place; /* sort keys; group is the place of its first */
} forest_row;

static bool tested(const gyre_comparison *c)
{
    return strcmp(c->status, "OK") == 0;
}

static bool same_margin(const gyre_comparison *a, const gyre_comparison *b)
{
    return a->has_margin == b->has_margin && (!a->has_margin || !(fabs(a->margin - b->margin) > 0.0));
}

static bool same_group(const gyre_comparison *a, const gyre_comparison *b)
{
    return a->ratio == b->ratio && strcmp(a->arm, b->arm) == 0 && strcmp(a->against, b->against) == 0 && strcmp(a->metric, b->metric) == 0 &&
           strcmp(a->family, b->family) == 0 && same_margin(a, b) && a->exploratory == b->exploratory;
}

static int by_place(const void *a, const void *b)
{
    const forest_row *x = a, *y = b;
    if (x->panel != y->panel)
        return x->panel < y->panel ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Largest distance from no difference that a row shows: its numbers and its margin, logarithms where it is a ratio. */
static double reach(const gyre_comparison *c)
{
    const double values[] = { c->estimate, c->ci_low, c->ci_high, c->worst_estimate, c->worst_low, c->worst_high };
    double most = !c->has_margin ? 0.0 : c->ratio ? log(c->margin) : c->margin;
    for (size_t i = 0; tested(c) && i < sizeof values / sizeof *values; i++)
        most = fmax(most, fabs(values[i])); /* NaN does not count */
    return most;
}

/* Panels: 0 near ratios, 1 the others, then one per metric, then the list of what was not tested. */
static size_t panel_of(const gyre_table *table, const forest_row *rows, size_t n, const forest_row *row)
{
    double most = 0.0;
    bool any = false;
    for (size_t i = 0; i < n; i++)
        if (rows[i].group == row->group) {
            most = fmax(most, reach(rows[i].c));
            any = any || tested(rows[i].c);
        }
    size_t metric = gyre_metric_place(table, row->c->metric);
    return !any ? 3 + table->n_metrics : !row->c->ratio ? 2 + metric : most <= log(NEAR) ? 0 : 1;
}

/* The comparisons of a source, panel by panel and group by group. */
static gyre_status list_rows(const gyre_table *table, size_t source, forest_row **out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    forest_row *rows = NULL;
    size_t n = 0;
    GYRE_NEW(&rows, table->n_comparisons);
    for (size_t i = 0; i < table->n_comparisons; i++) {
        const gyre_comparison *c = &table->comparisons[i];
        if (c->source != source)
            continue;
        forest_row r = { c, 0, n, n };
        for (size_t k = n; k-- > 0;)
            if (same_group(rows[k].c, c))
                r.group = rows[k].group;
        rows[n++] = r;
    }
    for (size_t i = 0; i < n; i++)
        rows[i].panel = panel_of(table, rows, n, &rows[i]);
    qsort(rows, n, sizeof *rows, by_place);
    *count = n;
done:
    *out = rows;
    return st;
}

static bool is_not_worse(const gyre_comparison *c)
{
    return c->goal != NULL && strcmp(c->goal, "not_worse") == 0;
}

/* ---- numbers as text ---- */

static void number_text(double value, char *out, size_t size)
{
    double a = fabs(value);
    (void)snprintf(out, size, a >= 0.1 && a < 10.0 ? "%.3f" : "%.3g", value);
}

/* Stored estimates are logarithms where the comparison is a ratio. */
static double shown(const gyre_comparison *c, double value)
{
    return c->ratio ? exp(value) : value;
}

static void estimate_text(const gyre_comparison *c, char *out, size_t size)
{
    char e[32], lo[32], hi[32];
    number_text(shown(c, c->estimate), e, sizeof e);
    number_text(shown(c, c->ci_low), lo, sizeof lo);
    number_text(shown(c, c->ci_high), hi, sizeof hi);
    (void)snprintf(out, size, "%s [%s, %s]", e, lo, hi);
}

static void p_text(const gyre_comparison *c, char *out, size_t size)
{
    bool tost = strcmp(c->verdict, "EQUIVALENT") == 0, one_sided = strcmp(c->verdict, "NOT_WORSE") == 0, raw = strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0;
    const char *kind = tost ? "TOST " : one_sided ? "1-sided " : raw ? "raw " : "";
    double p = tost || one_sided ? c->p_tost_adjusted : raw ? c->p : c->p_adjusted;
    if (p < 0.001)
        (void)snprintf(out, size, "%s< 0.001", kind);
    else
        (void)snprintf(out, size, "%s%.3f", kind, p);
}

static const char *verdict_colour(const gyre_comparison *c)
{
    static const struct {
        const char *verdict, *colour;
    } colours[] = { { "BETTER", "#007A5A" }, { "WORSE", "#D55E00" }, { "EQUIVALENT", "#0072B2" }, { "NOT_WORSE", "#0072B2" }, { "INCONCLUSIVE", "#4D4D4D" } };
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (strcmp(colours[i].verdict, c->verdict) == 0)
            return colours[i].colour;
    return GYRE_GREY;
}

static void group_text(const gyre_table *table, const gyre_comparison *c, char *out, size_t size)
{
    char metric[256], margin[64] = "no margin";
    gyre_metric_label(table, gyre_metric_place(table, c->metric), metric, sizeof metric);
    bool one_sided = is_not_worse(c);
    if (c->has_margin)
        (void)snprintf(margin, sizeof margin, "%smargin %s%.4g", one_sided ? "not worse by the " : "", c->ratio ? one_sided ? "\xC3\x97 " : "\xC3\xB7\xC3\x97 " : one_sided ? "+ " : "\xC2\xB1 ", c->margin);
    bool holm = c->correction == NULL || strcmp(c->correction, "holm") == 0;
    (void)snprintf(out, size, "%s against %s \xC2\xB7 %s \xC2\xB7 %s, \xCE\xB1 %.3g, family %s%s%s", c->arm, c->against, metric, margin, c->alpha, c->family, holm ? "" : ", correction ", holm ? "" : c->correction);
}

/* ---- one panel ---- */

typedef struct forest_panel {
    const gyre_table *table;
    gyre_page *page;
    const forest_row *rows;
    size_t n;
    gyre_panel place;
    gyre_axis x;
} forest_panel;

static gyre_axis axis_of(const forest_row *rows, size_t n)
{
    bool ratio = rows[0].c->ratio;
    gyre_axis x = gyre_axis_new(ratio, 6);
    double least = 1e-300;
    gyre_axis_hold(&x, ratio ? 1.0 : 0.0);
    for (size_t i = 0; i < n; i++) {
        const gyre_comparison *c = rows[i].c;
        const double margin = c->has_margin ? c->margin : ratio ? 1.0 : 0.0;
        const double values[] = { c->estimate, c->ci_low, c->ci_high, c->worst_estimate, c->worst_low, c->worst_high };
        gyre_axis_hold(&x, margin);
        gyre_axis_hold(&x, ratio ? 1.0 / margin : -margin);
        for (size_t k = 0; tested(c) && k < sizeof values / sizeof *values; k++)
            gyre_axis_hold(&x, shown(c, values[k]));
        least = fmax(least, reach(c));
    }
    gyre_axis_pad(&x, 0.04, ratio ? 1.1 : least);
    return x;
}

static bool listed(const gyre_table *table, const forest_row *row)
{
    return row->panel == 3 + table->n_metrics;
}

/* Height of the rows and the names above them. */
static double rows_height(const gyre_table *table, const forest_row *rows, size_t n)
{
    double h = 0.0;
    for (size_t i = 0; i < n; i++)
        h += listed(table, &rows[i]) ? LISTED : ROW + (i == 0 || rows[i].group != rows[i - 1].group ? GROUP : 0.0);
    return h;
}

static double panel_height(const gyre_table *table, const forest_row *rows, size_t n)
{
    return HEAD + rows_height(table, rows, n) + (listed(table, &rows[0]) ? 0.0 : FOOT);
}

static double at_x(const forest_panel *p, double value)
{
    double share = gyre_axis_place(&p->x, value);
    return p->place.x + fmin(fmax(share, 0.0), 1.0) * p->place.w;
}

static double sx(double x)
{
    return x / GYRE_FIGURE_WIDTH;
}

static double sy(const gyre_page *page, double y)
{
    return 1.0 - y / page->height;
}

/* The layer that differs most: hollow, its name on the side away from no difference where there is room. */
static void draw_worst(const forest_panel *p, const gyre_comparison *c, double y)
{
    char name[32];
    if (!isfinite(c->worst_estimate)) /* a model source has no layers */
        return;
    double x = at_x(p, shown(c, c->worst_estimate)), right = x, left = x;
    if (isfinite(c->worst_low) && isfinite(c->worst_high)) {
        left = at_x(p, shown(c, c->worst_low));
        right = at_x(p, shown(c, c->worst_high));
        gyre_draw_line(p->page, left, y, right, y, 0.7, "#8A8A8A");
    }
    gyre_draw_mark(p->page, x, y, 6, 0.42, "#6E6E6E");
    (void)snprintf(name, sizeof name, "layer %u", c->worst_layer);
    double after = fmax(right, x + 0.04) + 0.04, before = fmin(left, x - 0.04) - 0.04, w = gyre_text_width(name, 5.0);
    bool to_right = c->worst_estimate >= 0.0 ? after + w < p->place.x + p->place.w : before - w < p->place.x;
    gyre_draw_text(p->page, to_right ? after : before, y, to_right ? GYRE_LEFT : GYRE_RIGHT, 5.0, GYRE_GREY, name);
}

static void draw_tested(const forest_panel *p, const gyre_comparison *c, double y)
{
    char text[128];
    const char *colour = verdict_colour(c);
    double above = y - 0.2 * ROW, below = y + 0.24 * ROW;
    if (c->has_margin)
        gyre_draw_box(p->page, is_not_worse(c) ? p->place.x : at_x(p, c->ratio ? 1.0 / c->margin : -c->margin), at_x(p, c->margin), y - 0.5 * ROW, y + 0.5 * ROW, "#DCE6EE");
    gyre_draw_line(p->page, at_x(p, shown(c, c->ci_low)), above, at_x(p, shown(c, c->ci_high)), above, 1.6, colour);
    gyre_draw_mark(p->page, at_x(p, shown(c, c->estimate)), above, 7, 0.62, colour);
    draw_worst(p, c, below);
    estimate_text(c, text, sizeof text);
    double size = fmin(6.0, 6.0 * (VERDICT - ESTIMATE - 0.08) / gyre_text_width(text, 6.0)); /* long numbers shrink: a cut one would be another number */
    gyre_draw_text(p->page, ESTIMATE, y, GYRE_LEFT, size, GYRE_INK, text);
    gyre_draw_text(p->page, VERDICT, c->exploratory ? above : y, GYRE_LEFT, 6.0, colour, c->verdict);
    if (c->exploratory)
        gyre_draw_text(p->page, VERDICT, below, GYRE_LEFT, 5.0, GYRE_GREY, "exploratory");
    p_text(c, text, sizeof text);
    gyre_draw_text(p->page, P_RIGHT, y, GYRE_RIGHT, 6.0, GYRE_INK, text);
}

static void draw_untested(const forest_panel *p, const gyre_comparison *c, double y)
{
    char text[2 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    (void)snprintf(text, sizeof text, "%s: %s", c->status, c->reason);
    gyre_text_fit(text, 6.0, P_RIGHT - AXIS_LEFT - 0.1, fitted);
    gyre_draw_box(p->page, AXIS_LEFT, P_RIGHT, y - 0.5 * ROW, y + 0.5 * ROW, "#F7F7F7");
    gyre_draw_text(p->page, AXIS_LEFT + 0.06, y, GYRE_LEFT, 6.0, UNTESTED, fitted);
}

static void draw_row(const forest_panel *p, const gyre_comparison *c, double y)
{
    char bits[64] = "", point[GYRE_LINE_TEXT];
    const char *colour = tested(c) ? GYRE_INK : UNTESTED;
    if (isfinite(c->total_bits_arm) && isfinite(c->total_bits_against))
        (void)snprintf(bits, sizeof bits, "%.2f | %.2f", c->total_bits_arm, c->total_bits_against);
    double room = AXIS_LEFT - GYRE_FIGURE_MARGIN - 0.2 - gyre_text_width(bits, 6.0);
    gyre_text_fit(c->point, 6.0, room, point);
    gyre_draw_text(p->page, GYRE_FIGURE_MARGIN + 0.08, y, GYRE_LEFT, 6.0, colour, point);
    gyre_draw_text(p->page, AXIS_LEFT - 0.1, y, GYRE_RIGHT, 6.0, colour, bits);
    if (tested(c))
        draw_tested(p, c, y);
    else
        draw_untested(p, c, y);
}

static void draw_group(const forest_panel *p, const gyre_comparison *c, double y)
{
    char text[4 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    group_text(p->table, c, text, sizeof text);
    gyre_text_fit(text, 6.5, P_RIGHT - GYRE_FIGURE_MARGIN - 0.08, fitted);
    gyre_draw_box(p->page, GYRE_FIGURE_MARGIN, P_RIGHT, y - 0.5 * GROUP, y + 0.5 * GROUP, "#ECECEC");
    gyre_draw_text(p->page, GYRE_FIGURE_MARGIN + 0.04, y, GYRE_LEFT, 6.5, GYRE_INK, fitted);
}

static void draw_heads(const forest_panel *p)
{
    double y = p->place.y - 0.12;
    bool ratio = p->rows[0].c->ratio;
    char label[GYRE_LINE_TEXT], metric[256];
    gyre_metric_label(p->table, gyre_metric_place(p->table, p->rows[0].c->metric), metric, sizeof metric);
    gyre_draw_text(p->page, AXIS_LEFT - 0.1, y, GYRE_RIGHT, 6.0, GYRE_GREY, "bits: arm | against");
    bool model = p->table->sources[p->rows[0].c->source].kind == GYRE_SOURCE_MODEL;
    gyre_draw_text(p->page, AXIS_LEFT, y, GYRE_LEFT, 6.0, GYRE_GREY, model ? "\xE2\x97\x8F all chunks" : "\xE2\x97\x8F all layers   \xE2\x97\x8B the layer that differs most");
    gyre_draw_text(p->page, ESTIMATE, y, GYRE_LEFT, 6.0, GYRE_GREY, "estimate [interval]");
    gyre_draw_text(p->page, VERDICT, y, GYRE_LEFT, 6.0, GYRE_GREY, "verdict");
    gyre_draw_text(p->page, P_RIGHT, y, GYRE_RIGHT, 6.0, GYRE_GREY, "adjusted p");
    const char *meaning = ratio ? "arm / against (left of 1: less error than the reference)" : "arm \xE2\x88\x92 against, ";
    (void)snprintf(label, sizeof label, "%s%.200s%s", meaning, ratio ? "" : metric, ratio ? "" : " (left of 0: less error)");
    gyre_draw_text(p->page, p->place.x + 0.5 * p->place.w, p->place.y + p->place.h + 0.28, GYRE_CENTRE, 6.5, GYRE_INK, label);
}

static void draw_panel(const forest_panel *p)
{
    FILE *f = p->page->plot;
    double y = p->place.y;
    gyre_axis rows = { .lo = 0.0, .hi = 1.0, .most = 5 };
    draw_heads(p);
    double none = at_x(p, p->x.logarithmic ? 1.0 : 0.0);
    for (size_t i = 0; i < p->n; i++) {
        if (i == 0 || p->rows[i].group != p->rows[i - 1].group) {
            draw_group(p, p->rows[i].c, y + 0.5 * GROUP);
            y += GROUP;
        }
        draw_row(p, p->rows[i].c, y + 0.5 * ROW);
        if (tested(p->rows[i].c))
            (void)fprintf(f, "set arrow from screen %.6f,%.6f to screen %.6f,%.6f nohead lw 0.8 lc rgb '#333333' back\n", sx(none), sy(p->page, y), sx(none),
                          sy(p->page, y + ROW));
        y += ROW;
    }
    gyre_panel_place(p->page, &p->place);
    gyre_panel_axis(p->page, 'x', &p->x);
    gyre_panel_axis(p->page, 'y', &rows);
    (void)fputs("set border 1\nunset ytics\nset grid xtics lw 0.6 lc rgb '#DADADA'\nplot NaN notitle\n", f);
    gyre_panel_done(p->page);
}

/* What has no tested row: a line each, below y. */
static void draw_list(gyre_page *page, const forest_row *rows, size_t n, double y)
{
    const double reason = 3.3;
    gyre_draw_text(page, GYRE_FIGURE_MARGIN, y + HEAD - 0.12, GYRE_LEFT, 6.5, GYRE_GREY, "Not tested");
    for (size_t i = 0; i < n; i++) {
        const gyre_comparison *c = rows[i].c;
        char text[4 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
        double middle = y + HEAD + ((double)i + 0.5) * LISTED;
        (void)snprintf(text, sizeof text, "%s against %s \xC2\xB7 %s%s%s", c->arm, c->against, c->metric, c->point[0] != '\0' ? " \xC2\xB7 " : "", c->point);
        gyre_text_fit(text, 6.0, reason - GYRE_FIGURE_MARGIN - 0.18, fitted);
        gyre_draw_text(page, GYRE_FIGURE_MARGIN + 0.08, middle, GYRE_LEFT, 6.0, UNTESTED, fitted);
        (void)snprintf(text, sizeof text, "%s: %s", c->status, c->reason);
        gyre_text_fit(text, 6.0, P_RIGHT - reason, fitted);
        gyre_draw_text(page, reason, middle, GYRE_LEFT, 6.0, UNTESTED, fitted);
    }
    gyre_draw_now(page);
}

/* ---- pages ---- */

static void write_csv(gyre_page *page, const gyre_table *table, const forest_row *rows, size_t n)
{
    FILE *f = page->csv;
    (void)fputs("source,leak,arm,against,metric,point,family,scale,margin,alpha,status,reason,test,n_documents,n_seeds,total_bits_arm,total_bits_against,estimate,ci_low,"
                "ci_high,p_adjusted,p_tost_adjusted,margin_needed,verdict,worst_layer,worst_estimate,worst_low,worst_high,exploratory\n", f);
    for (size_t i = 0; i < n; i++) {
        const gyre_comparison *c = rows[i].c;
        const char *const texts[] = { table->sources[c->source].name, gyre_csv_leak(table, c->source, gyre_arm_leaks(table, c->source, c->against, NULL) ? c->against : c->arm, NULL), c->arm, c->against, c->metric, c->point, c->family, c->ratio ? "ratio" : "abs" };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            gyre_csv_text(f, texts[k], ',');
        gyre_csv_real(f, c->has_margin ? c->margin : (double)NAN, ',');
        gyre_csv_real(f, c->alpha, ',');
        gyre_csv_text(f, c->status, ',');
        gyre_csv_text(f, c->reason, ',');
        gyre_csv_text(f, c->test, ',');
        (void)fprintf(f, "%zu,%zu,", c->n_documents, c->n_seeds);
        const double numbers[] = { c->total_bits_arm, c->total_bits_against, shown(c, c->estimate), shown(c, c->ci_low), shown(c, c->ci_high), c->p_adjusted,
                                   c->p_tost_adjusted, shown(c, c->margin_needed) };
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            gyre_csv_real(f, numbers[k], ',');
        gyre_csv_text(f, c->verdict, ',');
        if (tested(c) && table->sources[c->source].kind != GYRE_SOURCE_MODEL)
            (void)fprintf(f, "%u", c->worst_layer);
        (void)fputc(',', f);
        gyre_csv_real(f, shown(c, c->worst_estimate), ',');
        gyre_csv_real(f, shown(c, c->worst_low), ',');
        gyre_csv_real(f, shown(c, c->worst_high), ',');
        (void)fprintf(f, "%d\n", c->exploratory);
    }
}

/* Rows [0, n) that share a panel. */
static size_t panel_rows(const forest_row *rows, size_t n)
{
    size_t k = 1;
    while (k < n && rows[k].panel == rows[0].panel)
        k++;
    return k;
}

static gyre_status draw_page(gyre_figure_book *book, size_t source, const forest_row *rows, size_t n, gyre_error *err)
{
    static const char of_capture[] = "Paired differences over documents and seeds, layers and heads averaged; bars: intervals at 1 \xE2\x88\x92 \xCE\xB1; band: the "
                                     "declared margin inside which arms count as equivalent; hollow: the layer that differs most (its interval not adjusted). p is adjusted "
                                     "within its family, by Holm unless the row names another correction.";
    static const char of_model[] = "Paired differences inside the model, over seeds and chunks of text (texts, where there are several); bars: intervals at 1 \xE2\x88\x92 \xCE\xB1; band: the "
                                   "declared margin inside which arms count as equivalent. p is adjusted within its family, by Holm unless the row names another correction; that of rows marked DESCRIPTIVE is raw.";
    const char *what = book->table->sources[source].kind == GYRE_SOURCE_MODEL ? of_model : of_capture;
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    double height = TITLE, y = TITLE;
    for (size_t i = 0, k; i < n; i += k) {
        k = panel_rows(rows + i, n - i);
        height += panel_height(book->table, rows + i, k);
    }
    GYRE_TRY(gyre_source_page_new(book, &gyre_figure_forest, source, height, 0.0, what, &page, err));
    for (size_t i = 0, k; i < n; i += k) {
        k = panel_rows(rows + i, n - i);
        forest_panel p = { book->table, page, rows + i, k, { AXIS_LEFT, y + HEAD, AXIS_WIDTH, rows_height(book->table, rows + i, k) }, axis_of(rows + i, k) };
        if (listed(book->table, &rows[i]))
            draw_list(page, rows + i, k, y);
        else
            draw_panel(&p);
        y += panel_height(book->table, rows + i, k);
    }
    write_csv(page, book->table, rows, n);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

/* Pages of at most MAX_ROWS rows, about equally long. */
static gyre_status draw_source(gyre_figure_book *book, size_t source, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    forest_row *rows = NULL;
    size_t n = 0;
    GYRE_TRY(list_rows(book->table, source, &rows, &n, err));
    size_t pages = (n + MAX_ROWS - 1) / MAX_ROWS;
    for (size_t i = 0; i < pages; i++)
        GYRE_TRY(draw_page(book, source, rows + i * n / pages, (i + 1) * n / pages - i * n / pages, err));
done:
    free(rows);
    return st;
}

const gyre_figure_type gyre_figure_forest = {
    .name = "forest",
    .summary = "the verdicts: estimates, intervals, margins, the worst layer",
    .draw_source = draw_source,
    .title = "Verdicts",
    .nothing = "the configuration compares nothing",
};
