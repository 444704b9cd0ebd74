/* Figure `seeds`: how much a sign seed matters; a page or more for each source.
 *
 * A panel is a field (figure.h): one metric at one grid point. A row is an arm; every seed is a dot at the mean over documents (chunks, in a model) and layers of that seed alone, geometric
 * where the table's means are. Dots that would cover each other are set apart vertically, in the order of their values: no chance is in it. The thin line is the range, the dark stroke the
 * mean. An arm without seeds is one thick stroke. At the right: standard deviations over seeds and over documents of the paired difference, from the first comparison of that arm in the
 * panel (docs/statistics.md), natural logarithms where it is a ratio. A spread of dots says how far one drawn seed may mislead; the difference of arms shares its documents and is steadier.
 *
 * What it is not: a test, or an error bar of the mean.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"
#include "results/figure.h"

#define ROW 0.22
#define HEAD 0.3
#define FOOT 0.42
#define TITLE 0.26
#define AXIS_LEFT 1.5
#define AXIS_WIDTH 3.3
#define WIDE (GYRE_FIGURE_WIDTH - AXIS_LEFT - 0.2) /* where nothing is compared */
#define AGAINST 4.92   /* left edge of the columns at the right */
#define SD_SEED 6.4    /* their right edges */
#define SD_DOCUMENT (GYRE_FIGURE_WIDTH - GYRE_FIGURE_MARGIN)
#define DOT 0.046      /* inches: diameter */
#define LEVELS 4       /* dots above each other in a row */

enum { MAX_ROWS = 60 };

/* An arm of a field with the mean of each seed. */
typedef struct seed_row {
    const gyre_summary *of;
    double *seeds; /* n_seeds of the summary; kept by the table */
    double least, most;
    const gyre_comparison *c; /* the first of this arm in the field; NULL */
} seed_row;

typedef struct seed_panel {
    const gyre_field *field;
    seed_row *rows;
    size_t n, page;
} seed_panel;

typedef struct seed_figure {
    gyre_figure_book *book;
    bool compared; /* there are columns at the right */
    double width;  /* of the plotting area */
    size_t source, n, pages, left_out;
    seed_panel *panels;
} seed_figure;

/* ---- numbers ---- */

static gyre_status fill_row(gyre_table *table, const gyre_field *f, const gyre_summary *s, seed_row *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm_units u;
    *out = (seed_row){ .of = s, .least = (double)INFINITY, .most = -(double)INFINITY };
    GYRE_TRY(gyre_arm_units_get(table, s->source, s->arm, s->point, s->metric, s->geometric, &u, err));
    GYRE_TRY(gyre_table_keep(table, u.n_seeds, sizeof *out->seeds, &out->seeds, err));
    for (size_t seed = 0; seed < u.n_seeds; seed++) {
        double sum = 0.0;
        for (size_t l = 0; l < u.n_layers; l++)
            for (size_t j = 0; j < u.n_documents; j++)
                sum += u.values[(l * u.n_seeds + seed) * u.n_documents + j];
        double mean = sum / (double)(u.n_layers * u.n_documents);
        out->seeds[seed] = s->geometric ? exp(mean) : mean;
        out->least = fmin(out->least, out->seeds[seed]);
        out->most = fmax(out->most, out->seeds[seed]);
    }
    for (size_t i = table->n_comparisons; i-- > 0;) {
        const gyre_comparison *c = &table->comparisons[i];
        if (c->source == s->source && strcmp(c->arm, s->arm) == 0 && strcmp(c->metric, table->metrics[s->metric]) == 0 && strcmp(c->point, f->point) == 0 && strcmp(c->status, "OK") == 0)
            out->c = c;
    }
done:
    return st;
}

/* Panels with at least one arm that has several seeds; whole panels in pages of MAX_ROWS rows. */
static gyre_status list_panels(seed_figure *g, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = g->book->table;
    gyre_field *fields = NULL;
    size_t n = 0, rows = 0, page = 0;
    GYRE_TRY(gyre_fields_get(g->book, g->source, &fields, &n, err));
    GYRE_NEW(&g->panels, n);
    for (size_t i = 0; i < n; i++) {
        bool several = false;
        for (size_t k = 0; k < fields[i].n_arms; k++)
            several = several || (fields[i].arms[k]->seeded && fields[i].arms[k]->n_seeds > 1);
        if (!several)
            continue;
        if (rows > 0 && rows + fields[i].n_arms > MAX_ROWS) {
            rows = 0;
            page++;
        }
        rows += fields[i].n_arms;
        g->panels[g->n++] = (seed_panel){ .field = &fields[i], .n = fields[i].n_arms, .page = page };
    }
    g->compared = n > 0 && fields[0].compared;
    g->width = g->compared ? AXIS_WIDTH : WIDE;
    const size_t most = g->compared ? GYRE_PAGES_COMPARED : GYRE_PAGES_CHOSEN;
    for (size_t i = 0; i < g->n; i++) {
        seed_panel *p = &g->panels[i];
        g->left_out += p->page >= most;
        if (p->page >= most)
            continue;
        g->pages = p->page + 1;
        GYRE_TRY(gyre_table_keep(t, p->n, sizeof *p->rows, &p->rows, err));
        for (size_t k = 0; k < p->n; k++)
            GYRE_TRY(fill_row(t, p->field, p->field->arms[k], &p->rows[k], err));
    }
done:
    return st;
}

/* ---- one panel ---- */

static gyre_axis axis_of(const seed_panel *p)
{
    double least = (double)INFINITY;
    for (size_t i = 0; i < p->n; i++)
        least = fmin(least, p->rows[i].least);
    gyre_axis x = gyre_axis_new(least > 0.0, 6);
    for (size_t i = 0; i < p->n; i++) {
        gyre_axis_hold(&x, p->rows[i].least);
        gyre_axis_hold(&x, p->rows[i].most);
    }
    gyre_axis_pad(&x, 0.04, x.logarithmic ? 1.1 : 1e-300);
    return x;
}

static double at_x(const seed_figure *g, const gyre_axis *x, double value)
{
    return AXIS_LEFT + g->width * gyre_axis_place(x, value);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Dots in the order of their values, each on the lowest free level of 0, 1, -1, 2, -2, ... times `step`; on the one that was left longest ago where all are taken. */
static void draw_dots(const seed_figure *g, gyre_page *page, const gyre_axis *x, const seed_row *row, double *sorted, double y, const char *colour)
{
    const double step = 0.5 * (ROW - DOT) / (LEVELS / 2) - 0.002;
    double last[LEVELS + 1];
    for (size_t k = 0; k <= LEVELS; k++)
        last[k] = -(double)INFINITY;
    memcpy(sorted, row->seeds, row->of->n_seeds * sizeof *sorted);
    qsort(sorted, row->of->n_seeds, sizeof *sorted, by_value);
    for (size_t i = 0; i < row->of->n_seeds; i++) {
        double at = at_x(g, x, sorted[i]);
        size_t level = 0;
        for (size_t k = LEVELS + 1; k-- > 0;)
            if (at - last[k] >= DOT || (last[k] < last[level] && at - last[level] < DOT))
                level = k;
        last[level] = at;
        double up = (double)((level + 1) / 2) * (level % 2 == 1 ? step : -step);
        gyre_draw_mark(page, at, y - up, 7, 0.3, colour);
    }
}

static void sd_text(double value, char *out, size_t size)
{
    if (isfinite(value))
        (void)snprintf(out, size, "%.3g", value);
    else
        (void)snprintf(out, size, "\xE2\x80\x93");
}

static void draw_columns(gyre_page *page, const seed_row *row, double y)
{
    char text[GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    if (row->c == NULL)
        return;
    gyre_text_fit(row->c->against, 6.0, SD_SEED - AGAINST - 0.45, fitted);
    gyre_draw_text(page, AGAINST, row->c->exploratory ? y - 0.05 : y, GYRE_LEFT, 6.0, GYRE_INK, fitted);
    if (row->c->exploratory)
        gyre_draw_text(page, AGAINST, y + 0.05, GYRE_LEFT, 5.0, GYRE_GREY, "exploratory");
    sd_text(row->c->sd_seed, text, sizeof text);
    gyre_draw_text(page, SD_SEED, y, GYRE_RIGHT, 6.0, GYRE_INK, text);
    sd_text(row->c->sd_document, text, sizeof text);
    gyre_draw_text(page, SD_DOCUMENT, y, GYRE_RIGHT, 6.0, GYRE_INK, text);
}

static void draw_row(const seed_figure *g, gyre_page *page, const gyre_axis *x, const seed_row *row, double *room, double y)
{
    char fitted[GYRE_LINE_TEXT];
    const char *colour = gyre_style_of(g->book, row->of->arm).colour;
    double mean = at_x(g, x, row->of->mean);
    gyre_text_fit(row->of->arm, 6.0, AXIS_LEFT - GYRE_FIGURE_MARGIN - 0.12, fitted);
    gyre_draw_text(page, AXIS_LEFT - 0.08, y, GYRE_RIGHT, 6.0, GYRE_INK, fitted);
    draw_columns(page, row, y);
    if (!row->of->seeded) {
        gyre_draw_line(page, mean, y - 0.42 * ROW, mean, y + 0.42 * ROW, 2.4, colour);
        return;
    }
    gyre_draw_line(page, at_x(g, x, row->least), y, at_x(g, x, row->most), y, 0.6, colour);
    draw_dots(g, page, x, row, room, y, colour);
    gyre_draw_line(page, mean, y - 0.42 * ROW, mean, y + 0.42 * ROW, 1.2, "#000000");
}

static gyre_status draw_panel(const seed_figure *g, gyre_page *page, const seed_panel *p, double top, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = g->book->table;
    const gyre_axis x = axis_of(p), rows = { .lo = 0.0, .hi = 1.0, .most = 5 };
    const gyre_panel place = { AXIS_LEFT, top + HEAD, g->width, ROW * (double)p->n };
    char metric[256], point[GYRE_LINE_TEXT], text[2 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    double *room = NULL;
    GYRE_NEW(&room, t->n_seeds);
    gyre_metric_label(t, p->field->metric, metric, sizeof metric);
    gyre_point_label(p->field->point, point);
    (void)snprintf(text, sizeof text, "%s%s%s \xC2\xB7 arms of %s", metric, point[0] != '\0' ? " \xC2\xB7 " : "", point, p->field->streams);
    gyre_text_fit(text, 6.5, AGAINST - GYRE_FIGURE_MARGIN - 0.15, fitted);
    gyre_draw_text(page, GYRE_FIGURE_MARGIN, top + HEAD - 0.13, GYRE_LEFT, 6.5, GYRE_INK, fitted);
    if (p->field->compared) {
        gyre_draw_text(page, AGAINST, top + HEAD - 0.13, GYRE_LEFT, 6.0, GYRE_GREY, "difference to");
        gyre_draw_text(page, SD_SEED, top + HEAD - 0.13, GYRE_RIGHT, 6.0, GYRE_GREY, "sd: seeds");
        (void)snprintf(text, sizeof text, "%ss", gyre_unit_word(&t->sources[g->source]));
        gyre_draw_text(page, SD_DOCUMENT, top + HEAD - 0.13, GYRE_RIGHT, 6.0, GYRE_GREY, text);
    }
    for (size_t i = 0; i < p->n; i++)
        draw_row(g, page, &x, &p->rows[i], room, place.y + ((double)i + 0.5) * ROW);
    gyre_draw_text(page, AXIS_LEFT + 0.5 * g->width, place.y + place.h + 0.26, GYRE_CENTRE, 6.5, GYRE_INK, metric);
    gyre_panel_place(page, &place);
    gyre_panel_axis(page, 'x', &x);
    gyre_panel_axis(page, 'y', &rows);
    (void)fputs("set border 1\nunset ytics\nset grid xtics lw 0.6 lc rgb '#DADADA'\nplot NaN notitle\n", page->plot);
    gyre_panel_done(page);
done:
    free(room);
    return st;
}

/* ---- pages ---- */

static void csv_head(const seed_figure *g, FILE *f, const char *kind, const gyre_field *field, const char *arm, const char *against, const char *scale)
{
    const gyre_table *t = g->book->table;
    const char *const texts[] = { kind, t->sources[g->source].name, gyre_csv_leak(t, g->source, arm, NULL), t->metrics[field->metric], t->metric_units[field->metric], field->point,
                                  field->streams, arm, against, scale };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        gyre_csv_text(f, texts[i], ',');
}

static void csv_row(const seed_figure *g, FILE *f, const seed_panel *p, const seed_row *row)
{
    const gyre_summary *s = row->of;
    const double none = (double)NAN;
    for (size_t k = 0; s->seeded && k < s->n_seeds; k++) {
        csv_head(g, f, "seed", p->field, s->arm, "", s->geometric ? "geometric" : "arithmetic");
        (void)fprintf(f, "%zu,", k);
        gyre_csv_real(f, row->seeds[k], ',');
        (void)fprintf(f, ",,1,%zu,,,\n", s->n_documents);
    }
    csv_head(g, f, "mean", p->field, s->arm, "", s->geometric ? "geometric" : "arithmetic");
    const double numbers[] = { none, s->mean, row->least, row->most };
    for (size_t k = 0; k < 4; k++)
        gyre_csv_real(f, numbers[k], ',');
    (void)fprintf(f, "%zu,%zu,,,\n", s->seeded ? s->n_seeds : 0, s->n_documents);
}

/* Comparisons of the field, all of them: what the columns at the right show one of. */
static void csv_differences(const seed_figure *g, FILE *f, const seed_panel *p)
{
    const gyre_table *t = g->book->table;
    for (size_t i = 0; i < t->n_comparisons; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        bool here = false;
        for (size_t k = 0; k < p->n; k++)
            here = here || (p->rows[k].c != NULL && strcmp(p->rows[k].of->arm, c->arm) == 0);
        if (!here || c->source != g->source || strcmp(c->metric, t->metrics[p->field->metric]) != 0 || strcmp(c->point, p->field->point) != 0 || strcmp(c->status, "OK") != 0)
            continue;
        csv_head(g, f, "difference", p->field, c->arm, c->against, c->ratio ? "ratio" : "abs");
        (void)fputc(',', f);
        gyre_csv_real(f, c->ratio ? exp(c->estimate) : c->estimate, ',');
        (void)fprintf(f, ",,%zu,%zu,", c->n_seeds, c->n_documents);
        gyre_csv_real(f, c->sd_seed, ',');
        gyre_csv_real(f, c->sd_document, ',');
        (void)fprintf(f, "%d\n", c->exploratory);
    }
}

static void write_csv(const seed_figure *g, FILE *f, size_t number)
{
    (void)fputs("kind,source,leak,metric,unit,point,streams,arm,against,scale,seed,value,least,most,n_seeds,n_documents,sd_seed,sd_document,exploratory\n", f);
    for (size_t i = 0; i < g->n; i++) {
        const seed_panel *p = &g->panels[i];
        if (p->page == number) {
            for (size_t k = 0; k < p->n; k++)
                csv_row(g, f, p, &p->rows[k]);
            csv_differences(g, f, p);
        } else if (p->rows == NULL && number + 1 == g->pages) {
            csv_head(g, f, "left out: beyond the last page", p->field, "", "", "");
            (void)fputs(",,,,,,,,\n", f);
        }
    }
}

static gyre_status draw_page(const seed_figure *g, size_t number, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    const gyre_source *s = &g->book->table->sources[g->source];
    char what[1024];
    double height = TITLE, y = TITLE;
    for (size_t i = 0; i < g->n; i++)
        if (g->panels[i].page == number)
            height += HEAD + FOOT + ROW * (double)g->panels[i].n;
    int n = snprintf(what, sizeof what, "Every sign seed is a dot: its mean over %ss%s. Line: range; dark stroke: mean; thick stroke: an arm without seeds. Dots are set apart vertically only so that all "
                                        "are seen.", gyre_unit_word(s), s->kind == GYRE_SOURCE_MODEL ? "" : ", layers and heads");
    if (n > 0 && (size_t)n < sizeof what && g->compared)
        n += snprintf(what + n, sizeof what - (size_t)n, " sd: of one paired difference, over seeds and over %ss (the declared comparison; natural logarithms where it is a ratio).", gyre_unit_word(s));
    if (n > 0 && (size_t)n < sizeof what && g->left_out > 0)
        (void)snprintf(what + n, sizeof what - (size_t)n, " %zu of %zu panels are left out, named in the CSV file.", g->left_out, g->n);
    GYRE_TRY(gyre_source_page_new(g->book, &gyre_figure_seeds, g->source, height, 0.0, what, &page, err));
    for (size_t i = 0; i < g->n; i++)
        if (g->panels[i].page == number) {
            GYRE_TRY(draw_panel(g, page, &g->panels[i], y, err));
            y += HEAD + FOOT + ROW * (double)g->panels[i].n;
        }
    write_csv(g, page->csv, number);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

static gyre_status draw_source(gyre_figure_book *book, size_t source, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    seed_figure g = { .book = book, .source = source };
    GYRE_TRY(list_panels(&g, err));
    for (size_t page = 0; page < g.pages; page++)
        GYRE_TRY(draw_page(&g, page, err));
done:
    free(g.panels);
    return st;
}

const gyre_figure_type gyre_figure_seeds = {
    .name = "seeds",
    .summary = "every sign seed of every arm, with means and ranges",
    .draw_source = draw_source,
    .title = "Sign seeds",
    .nothing = "no arm has two sign seeds",
};
