/* Figure `order`: do two metrics order the arms alike?
 *
 * One panel for each source and grid point; every arm that codes K is a point, x its nmse and y its softmax_kl, both logarithmic, with intervals both ways.
 * Where the metrics agree, points rise to the right. A dark line joins two arms that they order oppositely, both paired intervals excluding no difference
 * (gyre_discords): it falls to the right.
 *
 * What it is not: confirmatory. Pairs are not adjusted for their number.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"

#define PANEL_HEIGHT 1.75
#define TITLE 0.44 /* source, point, pairs */
#define FOOT 0.4
#define LEFT 0.56
#define TOP 0.08

enum { MAX_COLUMNS = 3 };

static const char X_METRIC[] = "nmse", Y_METRIC[] = "softmax_kl", STREAMS[] = "k";

/* An arm at one point of one source, seen by both metrics. */
typedef struct arm_spot {
    const gyre_summary *x, *y;
} arm_spot;

typedef struct order_figure {
    gyre_figure_book *book;
    size_t metric_x, metric_y;
    arm_spot *spots;
    size_t n_spots;
    const char **arms;
    size_t n_arms;
    const gyre_discord *discords;
    size_t n_discords;
    size_t *row_of, *column_of; /* of the panel of each spot */
    size_t rows, columns;
} order_figure;

static bool drawable(const gyre_summary *s)
{
    return strcmp(s->status, "OK") == 0 && isfinite(s->mean) && s->mean > 0.0;
}

static bool same_panel(const arm_spot *a, const arm_spot *b)
{
    return a->x->source == b->x->source && strcmp(a->x->point, b->x->point) == 0;
}

/* Summaries are in plan order with metrics innermost: those of one arm and point are n_metrics in a row. */
static gyre_status find_spots(order_figure *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t m = o->book->table->n_metrics;
    GYRE_NEW(&o->spots, o->book->n_summaries);
    GYRE_NEW(&o->arms, o->book->n_summaries);
    for (size_t i = 0; i + m <= o->book->n_summaries; i += m) {
        arm_spot s = { &o->book->summaries[i + o->metric_x], &o->book->summaries[i + o->metric_y] };
        size_t k = 0;
        if (strcmp(s.x->streams, STREAMS) != 0 || !drawable(s.x) || !drawable(s.y))
            continue;
        o->spots[o->n_spots++] = s;
        while (k < o->n_arms && strcmp(o->arms[k], s.x->arm) != 0)
            k++;
        if (k == o->n_arms)
            o->arms[o->n_arms++] = s.x->arm;
    }
done:
    return st;
}

/* A source begins a row; its points follow each other, MAX_COLUMNS a row. Spots of one panel may lie apart. */
static gyre_status place_panels(order_figure *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t row = 0, column = 0;
    GYRE_NEW(&o->row_of, o->n_spots);
    GYRE_NEW(&o->column_of, o->n_spots);
    for (size_t i = 0; i < o->n_spots; i++) {
        size_t k = 0;
        while (k < i && !same_panel(&o->spots[k], &o->spots[i]))
            k++;
        if (k < i) {
            o->row_of[i] = o->row_of[k];
            o->column_of[i] = o->column_of[k];
            continue;
        }
        if (i > 0 && (column == MAX_COLUMNS || o->spots[i].x->source != o->spots[i - 1].x->source)) {
            row++;
            column = 0;
        }
        o->row_of[i] = row;
        o->column_of[i] = column++;
        o->columns = column > o->columns ? column : o->columns;
    }
    o->rows = o->n_spots > 0 ? row + 1 : 0;
done:
    return st;
}

/* ---- one panel: that of spot `first`, the first of its panel ---- */

static void write_spot(FILE *f, const arm_spot *s)
{
    const gyre_summary *const axes[] = { s->x, s->y };
    (void)fprintf(f, "%.12g %.12g", s->x->mean, s->y->mean);
    for (size_t i = 0; i < 2; i++) {
        bool has = isfinite(axes[i]->lo) && isfinite(axes[i]->hi);
        (void)fprintf(f, " %.12g %.12g", has ? fmax(axes[i]->lo, 1e-3 * axes[i]->mean) : axes[i]->mean, has ? axes[i]->hi : axes[i]->mean);
    }
    (void)fputc('\n', f);
}

static gyre_axis axis_of(const order_figure *o, size_t first, bool vertical)
{
    gyre_axis a = gyre_axis_new(true, vertical ? 5 : o->columns > 2 ? 4 : 6);
    for (size_t i = first; i < o->n_spots; i++) {
        const gyre_summary *s = vertical ? o->spots[i].y : o->spots[i].x;
        if (!same_panel(&o->spots[first], &o->spots[i]))
            continue;
        gyre_axis_hold(&a, s->mean);
        gyre_axis_hold(&a, isfinite(s->lo) ? fmax(s->lo, s->mean / 3.0) : s->mean);
        gyre_axis_hold(&a, s->hi);
    }
    gyre_axis_pad(&a, 0.09, 1.6);
    return a;
}

static const arm_spot *spot_of(const order_figure *o, const gyre_discord *d, const char *arm)
{
    for (size_t i = 0; i < o->n_spots; i++) {
        const gyre_summary *s = o->spots[i].x;
        if (s->source == d->source && strcmp(s->point, d->point) == 0 && strcmp(s->arm, arm) == 0)
            return &o->spots[i];
    }
    return NULL;
}

/* Lines between the arms of each discordant pair of the panel, as data. Returns how many. */
static size_t write_discords(FILE *f, const order_figure *o, size_t first)
{
    size_t n = 0;
    (void)fputs("$discords << EOD\n", f);
    for (size_t i = 0; i < o->n_discords; i++) {
        const gyre_discord *d = &o->discords[i];
        const arm_spot *a = spot_of(o, d, d->better_by_a), *b = spot_of(o, d, d->better_by_b);
        if (strcmp(d->streams, STREAMS) != 0 || a == NULL || b == NULL || !same_panel(&o->spots[first], a))
            continue;
        (void)fprintf(f, "%.12g %.12g\n%.12g %.12g\n\n", a->x->mean, a->y->mean, b->x->mean, b->y->mean);
        n++;
    }
    (void)fputs("EOD\n", f);
    return n;
}

static void draw_titles(const order_figure *o, gyre_page *page, const gyre_panel *p, size_t first, size_t arms, size_t discords)
{
    const gyre_table *t = o->book->table;
    const gyre_summary *s = o->spots[first].x;
    char label[GYRE_LINE_TEXT], text[2 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    gyre_point_label(s->point, label);
    gyre_text_fit(t->sources[s->source].name, 7.0, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - (label[0] != '\0' ? 0.32 : 0.21), GYRE_LEFT, 7.0, GYRE_INK, fitted);
    gyre_text_fit(label, 6.5, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - 0.2, GYRE_LEFT, 6.5, GYRE_INK, fitted);
    (void)snprintf(text, sizeof text, "%zu of %zu pairs ordered oppositely", discords, arms * (arms - 1) / 2);
    gyre_draw_text(page, p->x, p->y - 0.085, GYRE_LEFT, 6.0, discords > 0 ? GYRE_ALARM : GYRE_GREY, text);
    gyre_metric_label(t, o->metric_x, label, sizeof label);
    gyre_draw_text(page, p->x + 0.5 * p->w, p->y + p->h + 0.27, GYRE_CENTRE, 6.5, GYRE_INK, label);
    gyre_metric_label(t, o->metric_y, label, sizeof label);
    if (o->column_of[first] == 0)
        gyre_draw_text(page, p->x - LEFT + 0.06, p->y + 0.5 * p->h, GYRE_UPWARD, 6.5, GYRE_INK, label);
}

static void draw_panel(const order_figure *o, gyre_page *page, const gyre_panel *p, size_t first)
{
    FILE *f = page->plot;
    size_t arms = 0;
    gyre_axis x = axis_of(o, first, false), y = axis_of(o, first, true);
    size_t discords = write_discords(f, o, first);
    for (size_t i = first; i < o->n_spots; i++)
        if (same_panel(&o->spots[first], &o->spots[i])) {
            (void)fprintf(f, "$spot%zu << EOD\n", arms++);
            write_spot(f, &o->spots[i]);
            (void)fputs("EOD\n", f);
        }
    draw_titles(o, page, p, first, arms, discords);
    gyre_panel_place(page, p);
    gyre_panel_axis(page, 'x', &x);
    gyre_panel_axis(page, 'y', &y);
    (void)fputs("set grid xtics ytics lw 0.6 lc rgb '#DADADA'\nplot ", f);
    if (discords > 0)
        (void)fputs("$discords using 1:2 with lines lw 1 lc rgb '#333333'", f);
    for (size_t i = first, k = 0; i < o->n_spots; i++)
        if (same_panel(&o->spots[first], &o->spots[i])) {
            gyre_arm_style s = gyre_style_of(o->book, o->spots[i].x->arm);
            (void)fprintf(f, "%s$spot%zu using 3:2:($4-$3):(0) with vectors nohead lw 1.4 lc rgb '%s', ", k > 0 || discords > 0 ? ", " : "", k, s.colour);
            (void)fprintf(f, "$spot%zu using 1:5:(0):($6-$5) with vectors nohead lw 1.4 lc rgb '%s', ", k, s.colour);
            (void)fprintf(f, "$spot%zu using 1:2 with points lw 1.3 lc rgb '%s' pt %d ps PS*0.8", k, s.colour, s.marker);
            k++;
        }
    (void)fputc('\n', f);
    gyre_panel_done(page);
}

/* ---- the page ---- */

static void write_csv(const order_figure *o, FILE *f)
{
    const gyre_table *t = o->book->table;
    (void)fprintf(f, "kind,source,leak,point,arm,other,%s,%s_lo,%s_hi,%s,%s_lo,%s_hi\n", X_METRIC, X_METRIC, X_METRIC, Y_METRIC, Y_METRIC, Y_METRIC);
    for (size_t i = 0; i < o->n_spots + o->n_discords; i++) {
        bool spot = i < o->n_spots;
        const gyre_summary *x = spot ? o->spots[i].x : NULL, *y = spot ? o->spots[i].y : NULL;
        const gyre_discord *d = spot ? NULL : &o->discords[i - o->n_spots];
        if (!spot && strcmp(d->streams, STREAMS) != 0)
            continue;
        const char *arm = spot ? x->arm : d->better_by_a, *other = spot ? "" : d->better_by_b, *point = spot ? x->point : d->point;
        size_t source = spot ? x->source : d->source;
        const char *const texts[] = { spot ? "arm" : "discord_ratio", t->sources[source].name, gyre_csv_leak(t, source, gyre_arm_leaks(t, source, other, point) ? other : arm, point),
                                      point, arm, other };
        const double numbers[] = { spot ? x->mean : d->ratio_a, spot ? x->lo : d->ratio_a_lo, spot ? x->hi : d->ratio_a_hi,
                                   spot ? y->mean : d->ratio_b, spot ? y->lo : d->ratio_b_lo, spot ? y->hi : d->ratio_b_hi };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            gyre_csv_text(f, texts[k], ',');
        for (size_t k = 0; k < 6; k++)
            gyre_csv_real(f, numbers[k], k < 5 ? ',' : '\n');
    }
}

static gyre_status draw_page(const order_figure *o, gyre_error *err)
{
    static const char what[] = "Every arm that codes K, at the same grid point: vector error against attention error, means with 95 % intervals over documents and "
                               "seeds. A dark line joins two arms that the metrics order oppositely, each paired 95 % interval excluding no difference (not adjusted: "
                               "exploratory). "
                               "Arms may differ in total bits: see error_bits.";
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char text[128];
    const double width = GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, x = GYRE_FIGURE_MARGIN;
    double top = TOP + 0.22 + GYRE_LEGEND_LINE * (double)gyre_draw_legend(NULL, o->book, 0.0, 0.0, width, o->arms, o->n_arms);
    double w = width / fmax((double)o->columns, 2.0) - LEFT - 0.08;
    GYRE_TRY(gyre_page_new(o->book, "order", top + (double)o->rows * (TITLE + PANEL_HEIGHT + FOOT) + gyre_caption_height(o->book, what), &page, err));
    gyre_draw_caption(page, o->book, what);
    (void)snprintf(text, sizeof text, "Do %s and %s order the arms alike?", X_METRIC, Y_METRIC);
    gyre_draw_text(page, x, TOP + 0.08, GYRE_LEFT, 8.0, GYRE_INK, text);
    (void)gyre_draw_legend(page, o->book, x, TOP + 0.22 + 0.5 * GYRE_LEGEND_LINE, width, o->arms, o->n_arms);
    for (size_t i = 0; i < o->n_spots; i++) {
        bool first = true;
        for (size_t k = 0; k < i && first; k++)
            first = !same_panel(&o->spots[k], &o->spots[i]);
        gyre_panel p = { x + (double)o->column_of[i] * (w + LEFT + 0.08) + LEFT, top + (double)o->row_of[i] * (TITLE + PANEL_HEIGHT + FOOT) + TITLE, w,
                         PANEL_HEIGHT };
        if (first)
            draw_panel(o, page, &p, i);
    }
    write_csv(o, page->csv);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

static gyre_status draw(gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    order_figure o = { .book = book, .metric_x = gyre_metric_place(book->table, X_METRIC), .metric_y = gyre_metric_place(book->table, Y_METRIC) };
    size_t examined = 0;
    bool model = false;
    for (size_t i = 0; i < book->table->n_sources; i++)
        model = model || book->table->sources[i].kind == GYRE_SOURCE_MODEL;
    if (o.metric_x == book->table->n_metrics || o.metric_y == book->table->n_metrics) {
        gyre_log_info(book->log, "figure order: it needs the metrics %s and %s, and this file has not both%s", X_METRIC, Y_METRIC, model ? ": they are of rows, and a model source has none" : "");
        goto done;
    }
    GYRE_TRY(find_spots(&o, err));
    GYRE_TRY(place_panels(&o, err));
    GYRE_TRY(gyre_discords(book->table, o.metric_x, o.metric_y, GYRE_FIGURE_ALPHA, &o.discords, &o.n_discords, &examined, err));
    if (o.n_spots > 0)
        GYRE_TRY(draw_page(&o, err));
    else
        gyre_log_info(book->log, "figure order: no arm has both %s and %s", X_METRIC, Y_METRIC);
done:
    free(o.spots);
    free(o.arms);
    free(o.row_of);
    free(o.column_of);
    return st;
}

const gyre_figure_type gyre_figure_order = {
    .name = "order",
    .summary = "do nmse and softmax_kl order the arms alike?",
    .draw = draw,
};
