/* Figure `pareto`: every pair of arm and grid point against total bits, and the front that none of them beats.
 *
 * One page for each stream (arms that code K, V, or both), a column for each source, a row for nmse and one for the metric of the stream
 * (gyre_pareto_metric); x the total bits, in octaves where they span more than a factor 3, y the metric on a logarithmic axis. The front is a line of steps;
 * its members are numbered, and keyed below their panel. Sources without 8 pairs at 2 totals are left out, and the log says so.
 *
 * What it is not: confirmatory. Dominators are chosen by the data that judge the pair (pareto.h), and nothing is adjusted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"
#include "results/pareto.h"

#define PANEL_HEIGHT 2.1
#define TITLE 0.32
#define FOOT 0.4
#define LEFT 0.48
#define RIGHT 0.08
#define HEADER 0.42 /* title and samples */
#define KEY_LINE 0.115
#define KEY_SIZE 6.0

enum { COLUMNS = 2, METRICS = 2, KEYS = 24 };

#define STEPS "#9CC9E8" /* light, below the pairs: many lie on the line */

/* How the pairs of a verdict look, by verdict; the front is drawn last. */
typedef struct look {
    gyre_arm_style style;
    double size;
    const char *legend;
} look;

static const look looks[] = {
    [GYRE_PARETO_FRONT] = { { "#0072B2", 7 }, 0.75, "on the front" },
    [GYRE_PARETO_NOISE] = { { "#E69F00", 6 }, 0.45, "within noise of the front" },
    [GYRE_PARETO_DOMINATED] = { { "#B8B8B8", 7 }, 0.4, "dominated" },
    [GYRE_PARETO_NO_INTERVAL] = { { "#808080", 2 }, 0.4, "no interval" },
};
enum { LOOKS = sizeof looks / sizeof *looks };

typedef struct pareto_figure {
    gyre_figure_book *book;
    const char *streams, *title;
    size_t metrics[METRICS], n_metrics; /* of the table, by rows */
    gyre_pareto (*fronts)[METRICS];     /* of the sources shown */
    size_t n_sources;
    gyre_axis bits;
    double panel_width;
} pareto_figure;

/* ---- what is shown ---- */

static void say_why(const pareto_figure *f, const gyre_pareto *p)
{
    if (p->n_pairs + p->n_left_out > 0)
        gyre_log_info(f->book->log, "figure pareto: %s, streams %s: %zu pairs with %s at %zu different totals; a front needs %d at %d",
                      f->book->table->sources[p->source].name, f->streams, p->n_pairs, f->book->table->metrics[p->metric], p->n_bits,
                      GYRE_PARETO_PAIRS, GYRE_PARETO_BITS);
}

/* The fronts of every source that has enough, by the last metric. */
static gyre_status find_fronts(pareto_figure *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_figure_book *b = f->book;
    GYRE_NEW(&f->fronts, b->table->n_sources);
    for (size_t s = 0; s < b->table->n_sources; s++) {
        gyre_pareto *row = f->fronts[f->n_sources];
        for (size_t m = f->n_metrics; m-- > 0;) {
            GYRE_TRY(gyre_pareto_get(b->table, b->summaries, b->n_summaries, s, f->streams, f->metrics[m], GYRE_FIGURE_ALPHA, &row[m], err));
            if (m + 1 == f->n_metrics && !gyre_pareto_enough(&row[m]))
                break;
        }
        if (!gyre_pareto_enough(&row[f->n_metrics - 1])) {
            say_why(f, &row[f->n_metrics - 1]);
            continue;
        }
        f->n_sources++;
    }
done:
    return st;
}

static void choose_axis(pareto_figure *f)
{
    f->bits = gyre_axis_new(false, 7);
    for (size_t s = 0; s < f->n_sources; s++)
        for (size_t m = 0; m < f->n_metrics; m++) {
            gyre_axis_hold(&f->bits, f->fronts[s][m].least_bits);
            gyre_axis_hold(&f->bits, f->fronts[s][m].most_bits);
        }
    f->bits.logarithmic = f->bits.binary = f->bits.lo > 0.0 && f->bits.hi > 3.0 * f->bits.lo;
    gyre_axis_pad(&f->bits, 0.06, f->bits.logarithmic ? 2.0 : 0.1);
}

static size_t keys_of(const gyre_pareto *p)
{
    return p->n_front < KEYS ? p->n_front : KEYS;
}

/* Lines of keys below the panels of one row: metric m of the sources first, first + 1, ... */
static size_t key_lines(const pareto_figure *f, size_t first, size_t m)
{
    size_t most = 0;
    for (size_t s = first; s < f->n_sources && s < first + COLUMNS; s++) {
        size_t n = keys_of(&f->fronts[s][m]);
        n += f->fronts[s][m].n_front > n;
        most = n > most ? n : most;
    }
    return most;
}

static double row_height(const pareto_figure *f, size_t first, size_t m)
{
    return TITLE + PANEL_HEIGHT + FOOT + KEY_LINE * (double)key_lines(f, first, m) + 0.1;
}

/* ---- numbers beside the front ---- */

typedef struct spot {
    double x, y; /* inches, middle */
} spot;

static bool apart(spot a, spot b, double dx, double dy)
{
    return fabs(a.x - b.x) >= dx || fabs(a.y - b.y) >= dy;
}

/* Where the number of a point can stand: below and left of it no pair can be. The first place off the labels there are and the front's points. */
static spot label_place(const gyre_panel *p, const spot *points, size_t n, size_t at, const spot *labels, double width)
{
    static const double angles[] = { 0.625, 0.5, 0.75, 0.56, 0.69 }; /* of a turn, against the clock from the right: left to below */
    spot best = { points[at].x - 0.5 * width - 0.05, points[at].y + 0.08 };
    for (size_t step = 0; step < 6; step++)
        for (size_t k = 0; k < sizeof angles / sizeof *angles; k++) {
            double far = 0.1 + 0.09 * (double)step, turn = 6.283185307179586 * angles[k];
            spot s = { points[at].x + (far + 0.3 * width) * cos(turn), points[at].y - far * sin(turn) };
            bool free_ = s.x - 0.5 * width > p->x && s.y + 0.05 < p->y + p->h && s.x + 0.5 * width < p->x + p->w;
            for (size_t i = 0; i < n && free_; i++)
                free_ = apart(s, points[i], 0.5 * width + 0.045, 0.085) && (i >= at || apart(s, labels[i], width + 0.02, 0.09));
            if (free_)
                return s;
        }
    return best;
}

/* A thin line from a number that had to stand off to its point. */
static void draw_leader(gyre_page *page, spot label, spot point)
{
    double dx = point.x - label.x, dy = point.y - label.y, length = hypot(dx, dy);
    if (length < 0.19)
        return;
    label.x += dx * 0.08 / length;
    label.y += dy * 0.08 / length;
    (void)fprintf(page->plot, "set arrow from screen %.6f,%.6f to screen %.6f,%.6f nohead lw 0.5 lc rgb '" GYRE_GREY "'\n", label.x / GYRE_FIGURE_WIDTH,
                  1.0 - label.y / page->height, point.x / GYRE_FIGURE_WIDTH, 1.0 - point.y / page->height);
}

static void draw_numbers(gyre_page *page, const gyre_panel *p, const gyre_pareto *front, const gyre_axis *x, const gyre_axis *y)
{
    spot points[KEYS], labels[KEYS];
    size_t n = keys_of(front);
    for (size_t i = 0; i < n; i++) {
        const gyre_summary *s = front->pairs[front->front[i]].of;
        points[i] = (spot){ p->x + p->w * gyre_axis_place(x, s->total_bits), p->y + p->h * (1.0 - gyre_axis_place(y, s->mean)) };
    }
    for (size_t i = 0; i < n; i++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", i + 1);
        labels[i] = label_place(p, points, n, i, labels, gyre_text_width(number, KEY_SIZE));
        gyre_draw_text(page, labels[i].x, labels[i].y, GYRE_CENTRE, KEY_SIZE, GYRE_INK, number);
        draw_leader(page, labels[i], points[i]);
    }
}

/* "3  unrope_mean_srht · sym_f16", and its bits and mean at the right. */
static void draw_keys(gyre_page *page, const gyre_panel *p, const gyre_pareto *front)
{
    size_t n = keys_of(front);
    double y = p->y + p->h + FOOT + 0.5 * KEY_LINE;
    char text[3 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT], label[GYRE_LINE_TEXT];
    for (size_t i = 0; i < n; i++, y += KEY_LINE) {
        const gyre_summary *s = front->pairs[front->front[i]].of;
        (void)snprintf(text, sizeof text, "%zu", i + 1);
        gyre_draw_text(page, p->x + 0.12, y, GYRE_RIGHT, KEY_SIZE, GYRE_INK, text);
        gyre_point_label(s->point, label);
        (void)snprintf(text, sizeof text, "%.500s%s%.500s", s->arm, label[0] != '\0' ? " \xC2\xB7 " : "", label);
        gyre_text_fit(text, KEY_SIZE, p->w - 1.1, fitted);
        gyre_draw_text(page, p->x + 0.18, y, GYRE_LEFT, KEY_SIZE, GYRE_INK, fitted);
        (void)snprintf(text, sizeof text, "%.3f", s->total_bits);
        gyre_draw_text(page, p->x + p->w - 0.5, y, GYRE_RIGHT, KEY_SIZE, GYRE_GREY, text);
        (void)snprintf(text, sizeof text, "%.3g", s->mean);
        gyre_draw_text(page, p->x + p->w, y, GYRE_RIGHT, KEY_SIZE, GYRE_GREY, text);
    }
    if (front->n_front > n) {
        (void)snprintf(text, sizeof text, "and %zu more: see the CSV", front->n_front - n);
        gyre_draw_text(page, p->x + 0.18, y, GYRE_LEFT, KEY_SIZE, GYRE_GREY, text);
    }
}

/* ---- one panel ---- */

static gyre_axis error_axis(const gyre_pareto *front)
{
    gyre_axis y = gyre_axis_new(true, 6);
    for (size_t i = 0; i < front->n_pairs; i++)
        gyre_axis_hold(&y, front->pairs[i].of->mean);
    gyre_axis_pad(&y, 0.09, 2.0);
    return y;
}

/* The pairs of each verdict as $pairs0, $pairs1, ...; counts them. */
static void write_pairs(FILE *f, const gyre_pareto *front, size_t counts[LOOKS])
{
    for (size_t v = 0; v < LOOKS; v++) {
        counts[v] = 0;
        (void)fprintf(f, "$pairs%zu << EOD\n", v);
        for (size_t i = 0; i < front->n_pairs; i++)
            if (front->pairs[i].verdict == (gyre_pareto_verdict)v) {
                (void)fprintf(f, "%.12g %.12g\n", front->pairs[i].of->total_bits, front->pairs[i].of->mean);
                counts[v]++;
            }
        (void)fputs("EOD\n", f);
    }
}

/* From the upper edge at the first member to the right edge at the last. */
static void write_steps(FILE *f, const gyre_pareto *front, const gyre_axis *x, const gyre_axis *y)
{
    const gyre_summary *first = front->pairs[front->front[0]].of, *last = front->pairs[front->front[front->n_front - 1]].of;
    (void)fprintf(f, "$steps << EOD\n%.12g %.12g\n", first->total_bits, y->hi);
    for (size_t i = 0; i < front->n_front; i++)
        (void)fprintf(f, "%.12g %.12g\n", front->pairs[front->front[i]].of->total_bits, front->pairs[front->front[i]].of->mean);
    (void)fprintf(f, "%.12g %.12g\nEOD\n", x->hi, last->mean);
}

static void draw_titles(const pareto_figure *f, gyre_page *page, const gyre_panel *p, const gyre_pareto *front, const size_t counts[LOOKS])
{
    char label[GYRE_LINE_TEXT], text[2 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    gyre_metric_label(f->book->table, front->metric, label, sizeof label);
    (void)snprintf(text, sizeof text, "%.500s \xC2\xB7 %.500s", label, f->book->table->sources[front->source].name);
    gyre_text_fit(text, 7.0, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - 0.2, GYRE_LEFT, 7.0, GYRE_INK, fitted);
    (void)snprintf(text, sizeof text, "%zu pairs: %zu on the front, %zu within noise of it, %zu dominated", front->n_pairs, counts[GYRE_PARETO_FRONT],
                   counts[GYRE_PARETO_NOISE], counts[GYRE_PARETO_DOMINATED]);
    gyre_text_fit(text, 6.0, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - 0.08, GYRE_LEFT, 6.0, GYRE_GREY, fitted);
    gyre_draw_text(page, p->x + 0.5 * p->w, p->y + p->h + 0.27, GYRE_CENTRE, 6.5, GYRE_INK, "total bits per value");
}

static void draw_panel(const pareto_figure *f, gyre_page *page, const gyre_panel *p, const gyre_pareto *front)
{
    gyre_axis y = error_axis(front);
    size_t counts[LOOKS];
    write_pairs(page->plot, front, counts);
    write_steps(page->plot, front, &f->bits, &y);
    draw_titles(f, page, p, front, counts);
    draw_numbers(page, p, front, &f->bits, &y);
    draw_keys(page, p, front);
    gyre_panel_place(page, p);
    gyre_panel_axis(page, 'x', &f->bits);
    gyre_panel_axis(page, 'y', &y);
    (void)fputs("set grid ytics lw 0.6 lc rgb '#DADADA'\nplot ", page->plot);
    (void)fprintf(page->plot, "$steps using 1:2 with steps lw 1.4 lc rgb '%s'", STEPS);
    for (size_t v = LOOKS; v-- > 0;)
        if (counts[v] > 0)
            (void)fprintf(page->plot, ", $pairs%zu using 1:2 with points lw 1 lc rgb '%s' pt %d ps PS*%.3g", v, looks[v].style.colour,
                          looks[v].style.marker, looks[v].size);
    (void)fputc('\n', page->plot);
    gyre_panel_done(page);
}

/* ---- the page ---- */

static void write_csv(const pareto_figure *f, FILE *csv)
{
    const gyre_figure_book *b = f->book;
    const gyre_table *t = b->table;
    (void)fputs("source,leak,streams,metric,unit,arm,point,status,reason,payload_bits,total_bits,mean,mean_lo,mean_hi,rank,on_front,dominated_by_arm,dominated_by_point,"
                "ratio,ratio_lo,ratio_hi,verdict\n", csv);
    for (size_t k = 0; k < f->n_sources * f->n_metrics; k++) {
        const gyre_pareto *front = &f->fronts[k / f->n_metrics][k % f->n_metrics];
        for (size_t i = 0; i < b->n_summaries; i++) {
            const gyre_summary *s = &b->summaries[i];
            if (s->source != front->source || s->metric != front->metric || strcmp(s->streams, f->streams) != 0)
                continue;
            const gyre_pareto_pair *p = gyre_pareto_find(front, s);
            bool on = p != NULL && p->verdict == GYRE_PARETO_FRONT;
            const gyre_summary *by = p != NULL && !on ? front->pairs[p->dominator].of : NULL;
            const char *const texts[] = { t->sources[s->source].name, gyre_csv_leak(t, s->source, s->arm, s->point), s->streams, t->metrics[s->metric],
                                          t->metric_units[s->metric], s->arm, s->point, s->status, s->reason };
            const double numbers[] = { s->payload_bits, s->total_bits, s->mean, s->lo, s->hi };
            for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
                gyre_csv_text(csv, texts[n], ',');
            for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
                gyre_csv_real(csv, numbers[n], ',');
            (void)fprintf(csv, p != NULL ? "%zu,%s," : ",,", p != NULL ? p->rank : 0, on ? "yes" : "no");
            gyre_csv_text(csv, by != NULL ? by->arm : "", ',');
            gyre_csv_text(csv, by != NULL ? by->point : "", ',');
            gyre_csv_real(csv, by != NULL ? p->ratio.mean : (double)NAN, ',');
            gyre_csv_real(csv, by != NULL ? p->ratio.lo : (double)NAN, ',');
            gyre_csv_real(csv, by != NULL ? p->ratio.hi : (double)NAN, ',');
            gyre_csv_text(csv, p != NULL ? gyre_pareto_verdict_name(p->verdict) : "", '\n');
        }
    }
}

static void draw_header(const pareto_figure *f, gyre_page *page)
{
    double x = GYRE_FIGURE_MARGIN;
    bool used[LOOKS] = { false };
    for (size_t k = 0; k < f->n_sources * f->n_metrics; k++)
        for (size_t i = 0; i < f->fronts[k / f->n_metrics][k % f->n_metrics].n_pairs; i++)
            used[f->fronts[k / f->n_metrics][k % f->n_metrics].pairs[i].verdict] = true;
    gyre_draw_text(page, x, 0.12, GYRE_LEFT, 8.0, GYRE_INK, f->title);
    for (size_t v = 0; v < LOOKS; v++) {
        if (!used[v])
            continue;
        gyre_draw_sample(page, x + 0.5 * GYRE_SAMPLE_WIDTH, 0.32, looks[v].style, looks[v].size, v == GYRE_PARETO_FRONT);
        gyre_draw_text(page, x + GYRE_SAMPLE_WIDTH + 0.06, 0.32, GYRE_LEFT, 7.0, GYRE_INK, looks[v].legend);
        x += GYRE_SAMPLE_WIDTH + 0.3 + gyre_text_width(looks[v].legend, 7.0);
    }
}

static gyre_status draw_page(const pareto_figure *f, gyre_error *err)
{
    static const char what[] = "Every arm at every grid point: mean error against the bits really stored per value, side information included. The line runs "
                               "through the pairs that no other beats at its bits or fewer; they are keyed below their panel with total bits and mean. "
                               "Dominated: the ratio to the best pair at the same bits or fewer has a paired 95 % interval over documents and seeds that "
                               "excludes 1. Exploratory: not adjusted for the number of pairs, and the front is chosen by the same data.";
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char name[32];
    double top = HEADER, height = HEADER;
    for (size_t first = 0; first < f->n_sources; first += COLUMNS)
        for (size_t m = 0; m < f->n_metrics; m++)
            height += row_height(f, first, m);
    (void)snprintf(name, sizeof name, "pareto_%s", f->streams);
    GYRE_TRY(gyre_page_new(f->book, name, height + gyre_caption_height(f->book, what), &page, err));
    gyre_draw_caption(page, f->book, what);
    draw_header(f, page);
    for (size_t first = 0; first < f->n_sources; first += COLUMNS)
        for (size_t m = 0; m < f->n_metrics; top += row_height(f, first, m), m++)
            for (size_t s = first; s < f->n_sources && s < first + COLUMNS; s++) {
                gyre_panel p = { GYRE_FIGURE_MARGIN + (double)(s - first) * (f->panel_width + LEFT + RIGHT) + LEFT, top + TITLE, f->panel_width, PANEL_HEIGHT };
                if (f->fronts[s][m].n_front > 0)
                    draw_panel(f, page, &p, &f->fronts[s][m]);
            }
    write_csv(f, page->csv);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

static gyre_status draw_streams(gyre_figure_book *book, const char *streams, const char *title, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = book->table;
    pareto_figure f = { .book = book, .streams = streams, .title = title, .panel_width = (GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN) / COLUMNS - LEFT - RIGHT };
    size_t nmse = gyre_metric_place(t, "nmse"), metric = gyre_metric_place(t, gyre_pareto_metric(streams));
    bool any = false;
    for (size_t i = 0; i < book->n_summaries; i++)
        any = any || (strcmp(book->summaries[i].streams, streams) == 0 && t->sources[book->summaries[i].source].kind != GYRE_SOURCE_MODEL);
    if (!any)
        goto done;
    if (metric == t->n_metrics) {
        gyre_log_info(book->log, "figure pareto: arms of the streams %s need the metric %s, and this file does not have it", streams, gyre_pareto_metric(streams));
        goto done;
    }
    if (nmse < t->n_metrics)
        f.metrics[f.n_metrics++] = nmse;
    f.metrics[f.n_metrics++] = metric;
    GYRE_TRY(find_fronts(&f, err));
    if (f.n_sources > 0) {
        choose_axis(&f);
        GYRE_TRY(draw_page(&f, err));
    }
done:
    free(f.fronts);
    return st;
}

static gyre_status draw(gyre_figure_book *book, gyre_error *err)
{
    static const char *const streams[][2] = { { "k", "Pareto front of arms that code K" }, { "v", "Pareto front of arms that code V" },
                                              { "kv", "Pareto front of arms that code K and V" } };
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < book->table->n_sources; i++)
        if (book->table->sources[i].kind == GYRE_SOURCE_MODEL)
            gyre_log_info(book->log, "figure pareto: fronts are of errors of rows and attention; %s is a model source, which has none: see error_bits", book->table->sources[i].name);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        GYRE_TRY(draw_streams(book, streams[i][0], streams[i][1], err));
done:
    return st;
}

const gyre_figure_type gyre_figure_pareto = {
    .name = "pareto",
    .summary = "the pairs of arm and grid point that none beats at its bits or fewer",
    .draw = draw,
};
