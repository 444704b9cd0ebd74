/* Figure `layers`: where an arm gains, layer by layer and head by head; a page or more for each capture.
 *
 * A panel is a pair of arms at one grid point: layers to the right, KV heads down, colour and number log2(arm / reference) of the compared metric (gains.h): blue, below 0, is less error;
 * white is none; red is more. All panels of a source share one scale, which ends at the largest gain or at +-3 (a factor 8). A dot: the interval (1 - alpha of the comparison) over documents
 * and seeds holds 0. A ring: there is no interval. Pairs are those compared; where nothing is, each arm against `identity`, or against the first arm of its streams.
 *
 * Colours: the diverging scheme RdBu of Brewer and Harrower, Cartographic Perspectives 44 (2003) 63-64 (ColorBrewer), which stays readable with deficient colour vision.
 * What it is not: a test. Layers and heads are fixed, intervals are of one cell each, and some of many exclude 0 by chance.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"
#include "results/figure.h"
#include "results/gains.h"

#define TITLE 0.56     /* of the page, with the colour bar */
#define HEAD 0.34      /* above a panel: the pair, the metric and the point */
#define FOOT 0.22      /* below: layers */
#define LISTED 0.13    /* a pair that cannot be drawn */
#define LEFT 0.38      /* of a panel: heads */
#define CELL_WIDTH 0.44
#define CELL_HEIGHT 0.17
#define CELLS_HEIGHT 1.5 /* of a panel at most */
#define NUMBERED 0.27  /* cells at least as wide have their number */
#define PAGE_HEIGHT 10.0
#define SCALE_END 3.0

enum { MOST_LISTED = 12 };

typedef struct heat {
    const char *arm, *against, *point;
    size_t metric, row, column, page;
    double alpha;
    bool shown; /* on a page; the rest is beyond the last, or has no gains */
    bool exploratory; /* every comparison of the pair is */
    gyre_gains gains;
} heat;

typedef struct heat_map {
    gyre_figure_book *book;
    bool compared; /* the pairs are those of comparisons */
    size_t source, columns, rows_a_page, pages, most_heads, beyond, left_out, undrawn; /* undrawn: pairs without gains */
    double cell_w, cell_h, panel_w, row_h, end; /* end: of the scale */
    heat *heats;
    size_t n;
} heat_map;

/* ---- which pairs ---- */

static void add_heat(heat_map *m, heat h)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->heats[i].metric == h.metric && strcmp(m->heats[i].arm, h.arm) == 0 && strcmp(m->heats[i].against, h.against) == 0 && strcmp(m->heats[i].point, h.point) == 0) {
            m->heats[i].exploratory = m->heats[i].exploratory && h.exploratory;
            return;
        }
    m->heats[m->n++] = h;
}

/* `identity`, or the first arm of the field. */
static const char *reference_of(const gyre_field *f)
{
    for (size_t i = 0; i < f->n_arms; i++)
        if (strcmp(f->arms[i]->arm, "identity") == 0)
            return f->arms[i]->arm;
    return f->n_arms > 0 ? f->arms[0]->arm : NULL;
}

static gyre_status list_heats(heat_map *m, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = m->book->table;
    gyre_field *fields = NULL;
    size_t n_fields = 0, room = t->n_comparisons;
    GYRE_TRY(gyre_fields_get(m->book, m->source, &fields, &n_fields, err));
    for (size_t i = 0; i < n_fields; i++)
        room += fields[i].n_arms;
    GYRE_NEW(&m->heats, room);
    m->compared = n_fields > 0 && fields[0].compared;
    for (size_t i = 0; i < t->n_comparisons; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        if (c->source == m->source && gyre_metric_place(t, c->metric) < t->n_metrics)
            add_heat(m, (heat){ .arm = c->arm, .against = c->against, .point = c->point, .metric = gyre_metric_place(t, c->metric), .alpha = c->alpha, .exploratory = c->exploratory });
    }
    for (size_t i = 0; i < n_fields; i++)
        for (size_t k = 0; k < fields[i].n_arms && !fields[i].compared; k++)
            if (fields[i].arms[k]->arm != reference_of(&fields[i]))
                add_heat(m, (heat){ .arm = fields[i].arms[k]->arm, .against = reference_of(&fields[i]), .point = fields[i].point, .metric = fields[i].metric, .alpha = GYRE_FIGURE_ALPHA });
done:
    return st;
}

static bool same_pair(const heat *a, const heat *b)
{
    return a->metric == b->metric && strcmp(a->arm, b->arm) == 0 && strcmp(a->against, b->against) == 0;
}

static void measure(heat_map *m)
{
    const gyre_source *s = &m->book->table->sources[m->source];
    const double width = GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN;
    m->most_heads = 1;
    for (size_t l = 0; l < s->n_layers; l++)
        m->most_heads = s->n_heads[l] > m->most_heads ? s->n_heads[l] : m->most_heads;
    m->columns = s->n_layers <= 12 ? 3 : s->n_layers <= 40 ? 2 : 1;
    m->panel_w = width / (double)m->columns;
    m->cell_w = fmin(CELL_WIDTH, (m->panel_w - LEFT - 0.1) / (double)s->n_layers);
    m->cell_h = fmin(CELL_HEIGHT, CELLS_HEIGHT / (double)m->most_heads);
    m->row_h = HEAD + m->cell_h * (double)m->most_heads + FOOT;
    m->rows_a_page = (size_t)fmax(1.0, floor(PAGE_HEIGHT / m->row_h));
}

/* Panels in rows and rows in pages. A pair at several points begins a row, so that points stand below each other. */
static void place_heats(heat_map *m)
{
    size_t row = 0, column = 0;
    const heat *last = NULL;
    for (size_t i = 0; i < m->n; i++) {
        heat *h = &m->heats[i];
        bool several = (i + 1 < m->n && same_pair(h, &m->heats[i + 1])) || (last != NULL && last->column > 0 && same_pair(last, last - 1));
        if (h->gains.gains == NULL)
            continue;
        if (column == m->columns || (column > 0 && several && !same_pair(h, last))) {
            row++;
            column = 0;
        }
        h->page = row / m->rows_a_page;
        h->row = row % m->rows_a_page;
        h->column = column++;
        h->shown = h->page < (m->compared ? GYRE_PAGES_COMPARED : GYRE_PAGES_CHOSEN);
        m->left_out += !h->shown;
        if (h->shown)
            m->pages = h->page + 1;
        last = h;
    }
}

static gyre_status fill_heats(heat_map *m, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < m->n; i++) {
        heat *h = &m->heats[i];
        GYRE_TRY(gyre_gains_get(m->book->table, m->source, h->arm, h->against, h->point, h->metric, h->alpha, &h->gains, err));
        m->undrawn += h->gains.gains == NULL;
    }
done:
    return st;
}

/* The scale ends at the least round number that holds all gains on the pages. */
static void choose_end(heat_map *m)
{
    static const double ends[] = { 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, SCALE_END };
    double most = 0.0;
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->heats[i].gains.count && m->heats[i].shown; k++)
            most = fmax(most, fabs(m->heats[i].gains.gains[k].log2.mean));
    m->end = SCALE_END;
    for (size_t i = sizeof ends / sizeof *ends; i-- > 0;)
        if (ends[i] >= most)
            m->end = ends[i];
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->heats[i].gains.count && m->heats[i].shown; k++)
            m->beyond += fabs(m->heats[i].gains.gains[k].log2.mean) > m->end;
}

/* ---- colours ---- */

/* share from -1 (blue) to 1 (red); "#RRGGBB". */
static void colour_of(double share, char out[8])
{
    static const unsigned char stops[][3] = { { 0x21, 0x66, 0xAC }, { 0x43, 0x93, 0xC3 }, { 0x92, 0xC5, 0xDE }, { 0xD1, 0xE5, 0xF0 }, { 0xF7, 0xF7, 0xF7 },
                                              { 0xFD, 0xDB, 0xC7 }, { 0xF4, 0xA5, 0x82 }, { 0xD6, 0x60, 0x4D }, { 0xB2, 0x18, 0x2B } };
    enum { LAST = sizeof stops / sizeof *stops - 1 };
    double at = (fmin(fmax(share, -1.0), 1.0) + 1.0) * 0.5 * LAST;
    size_t i = at >= LAST ? LAST - 1 : (size_t)at;
    unsigned rgb[3];
    for (size_t k = 0; k < 3; k++)
        rgb[k] = (unsigned)lround((double)stops[i][k] + (at - (double)i) * ((double)stops[i + 1][k] - (double)stops[i][k]));
    (void)snprintf(out, 8, "#%02X%02X%02X", rgb[0] & 255u, rgb[1] & 255u, rgb[2] & 255u);
}

static const char *ink_on(double share)
{
    return fabs(share) > 0.7 ? "#FFFFFF" : GYRE_INK;
}

/* A minus sign, and as many digits as a cell has room for. */
static void gain_text(double value, char *out, size_t size)
{
    char plain[32];
    double a = fabs(value);
    (void)snprintf(plain, sizeof plain, a >= 9.95 ? "%.0f" : a >= 0.995 ? "%.1f" : "%.2f", a);
    (void)snprintf(out, size, "%s%s", value < 0.0 && strspn(plain, "0.") < strlen(plain) ? "\xE2\x88\x92" : "", plain);
}

/* The scale at the upper right of a page, with the factor that each tick means. */
static void draw_scale(const heat_map *m, gyre_page *page)
{
    enum { STEPS = 64, TICKS = 5 };
    const double w = 3.0, x = GYRE_FIGURE_WIDTH - GYRE_FIGURE_MARGIN - w - 0.25, y = 0.24, h = 0.1;
    char colour[8], text[64], number[32];
    for (int i = 0; i < STEPS; i++) {
        colour_of(2.0 * ((double)i + 0.5) / STEPS - 1.0, colour);
        gyre_draw_box(page, x + w * i / STEPS, x + w * (i + 1) / STEPS, y, y + h, colour);
    }
    for (int i = 0; i < TICKS; i++) {
        double share = 2.0 * i / (TICKS - 1) - 1.0, value = share * m->end, at = x + w * (share + 1.0) / 2.0;
        (void)snprintf(number, sizeof number, "%.3g", fabs(value));
        (void)snprintf(text, sizeof text, "%s%s (\xC3\x97%.3g)", value < 0.0 ? "\xE2\x88\x92" : "", number, exp2(value));
        gyre_draw_line(page, at, y + h, at, y + h + 0.03, 0.7, GYRE_GREY);
        gyre_draw_text(page, at, y + h + 0.09, GYRE_CENTRE, 5.5, GYRE_INK, text);
    }
    gyre_draw_text(page, x + 0.5 * w, y - 0.09, GYRE_CENTRE, 6.0, GYRE_INK, "log2(arm / reference), a pure number (factor): blue, less error; red, more");
}

/* ---- one panel ---- */

static void draw_cell(const heat_map *m, gyre_page *page, const gyre_gain *g, double x, double y)
{
    char colour[8], text[32];
    double share = g->log2.mean / m->end, middle_x = x + 0.5 * m->cell_w, middle_y = y + 0.5 * m->cell_h;
    bool numbered = m->cell_w >= NUMBERED && m->cell_h >= 0.12, has = isfinite(g->log2.lo) && isfinite(g->log2.hi);
    colour_of(share, colour);
    gyre_draw_box(page, x + 0.005, x + m->cell_w - 0.005, y + 0.005, y + m->cell_h - 0.005, colour);
    gain_text(g->log2.mean, text, sizeof text);
    if (numbered)
        gyre_draw_text(page, middle_x - 0.03, middle_y, GYRE_CENTRE, 5.5, ink_on(share), text);
    if (!has || (g->log2.lo <= 0.0 && 0.0 <= g->log2.hi))
        gyre_draw_mark(page, numbered ? x + m->cell_w - 0.055 : middle_x, middle_y, has ? 7 : 6, 0.24, ink_on(share));
}

/* Every so many of n labels of that width fit at a distance of `step` inches. */
static size_t stride_of(double width, double step)
{
    return (size_t)fmax(1.0, ceil((width + 0.05) / step));
}

static void draw_axes(const heat_map *m, gyre_page *page, double x, double y)
{
    const gyre_source *s = &m->book->table->sources[m->source];
    char text[32];
    double bottom = y + m->cell_h * (double)m->most_heads;
    (void)snprintf(text, sizeof text, "%u", s->layers[s->n_layers - 1]);
    for (size_t l = 0, stride = stride_of(gyre_text_width(text, 5.5), m->cell_w); l < s->n_layers; l += stride) {
        (void)snprintf(text, sizeof text, "%u", s->layers[l]);
        gyre_draw_text(page, x + ((double)l + 0.5) * m->cell_w, bottom + 0.07, GYRE_CENTRE, 5.5, GYRE_INK, text);
    }
    for (size_t h = 0, stride = stride_of(0.05, m->cell_h); h < m->most_heads; h += stride) {
        (void)snprintf(text, sizeof text, "%zu", h);
        gyre_draw_text(page, x - 0.04, y + ((double)h + 0.5) * m->cell_h, GYRE_RIGHT, 5.5, GYRE_INK, text);
    }
    gyre_draw_text(page, x - 0.04, bottom + 0.07, GYRE_RIGHT, 5.5, GYRE_GREY, "layer");
    gyre_draw_text(page, x - 0.19, y + 0.5 * m->cell_h * (double)m->most_heads, GYRE_UPWARD, 5.5, GYRE_GREY, m->most_heads > 1 ? "head" : "");
}

/* "arm / reference" in `width` inches at 6.5 points; each gets half where both are too long. */
static void pair_text(const heat *h, double width, char *out, size_t size)
{
    char arm[GYRE_LINE_TEXT], against[GYRE_LINE_TEXT];
    double room = width - gyre_text_width(" / ", 6.5), w = gyre_text_width(h->arm, 6.5), other = gyre_text_width(h->against, 6.5);
    gyre_text_fit(h->arm, 6.5, fmax(0.5 * room, room - other), arm);
    gyre_text_fit(h->against, 6.5, fmax(0.5 * room, room - w), against);
    (void)snprintf(out, size, "%s / %s", arm, against);
}

static void draw_heat(const heat_map *m, gyre_page *page, const heat *h)
{
    double left = GYRE_FIGURE_MARGIN + (double)h->column * m->panel_w, x = left + LEFT, top = TITLE + (double)h->row * m->row_h, y = top + HEAD;
    char text[3 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT], metric[256], point[GYRE_LINE_TEXT];
    gyre_metric_label(m->book->table, h->metric, metric, sizeof metric);
    gyre_point_label(h->point, point);
    pair_text(h, m->panel_w - LEFT - 0.06, text, sizeof text);
    gyre_draw_text(page, x, top + 0.13, GYRE_LEFT, 6.5, GYRE_INK, text);
    (void)snprintf(text, sizeof text, "%s%s%s%s", h->exploratory ? "EXPLORATORY \xC2\xB7 " : "", metric, point[0] != '\0' ? " \xC2\xB7 " : "", point);
    gyre_text_fit(text, 6.0, m->panel_w - LEFT - 0.06, fitted);
    gyre_draw_text(page, x, top + 0.25, GYRE_LEFT, 6.0, GYRE_GREY, fitted);
    for (size_t i = 0; i < h->gains.count; i++) {
        const gyre_gain *g = &h->gains.gains[i];
        draw_cell(m, page, g, x + (double)g->place * m->cell_w, y + (double)g->head * m->cell_h);
    }
    draw_axes(m, page, x, y);
}

/* ---- pages ---- */

/* Pairs without gains, a line each, below y; MOST_LISTED at most. */
static void draw_undrawn(const heat_map *m, gyre_page *page, double y)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n && n < MOST_LISTED; i++) {
        const heat *h = &m->heats[i];
        char text[6 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
        if (h->gains.gains != NULL)
            continue;
        (void)snprintf(text, sizeof text, "%s / %s \xC2\xB7 %s: %s", h->arm, h->against, h->gains.status, h->gains.reason);
        gyre_text_fit(text, 5.5, GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, fitted);
        gyre_draw_text(page, GYRE_FIGURE_MARGIN, y + ((double)n++ + 0.5) * LISTED, GYRE_LEFT, 5.5, GYRE_GREY, fitted);
    }
}

static size_t lines_undrawn(const heat_map *m, size_t page)
{
    return page + 1 != m->pages ? 0 : m->undrawn < MOST_LISTED ? m->undrawn : MOST_LISTED;
}

/* The last page also names what is on none. */
static void write_csv(const heat_map *m, FILE *f, size_t page)
{
    const gyre_table *t = m->book->table;
    (void)fputs("source,leak,arm,against,metric,point,status,reason,n_documents,n_seeds,alpha,layer,head,log2_ratio,log2_low,log2_high,exploratory\n", f);
    for (size_t i = 0; i < m->n; i++) {
        const heat *h = &m->heats[i];
        if (h->shown ? h->page != page : page + 1 != m->pages)
            continue;
        for (size_t k = 0; k < (h->gains.count > 0 ? h->gains.count : 1); k++) {
            const char *leaking = gyre_arm_leaks(t, m->source, h->against, NULL) ? h->against : h->arm;
            const char *const texts[] = { t->sources[m->source].name, gyre_csv_leak(t, m->source, leaking, NULL), h->arm, h->against, t->metrics[h->metric], h->point,
                                          h->gains.status, h->gains.gains != NULL && !h->shown ? "left out of the picture: beyond the last page" : h->gains.reason };
            for (size_t c = 0; c < sizeof texts / sizeof *texts; c++)
                gyre_csv_text(f, texts[c], ',');
            (void)fprintf(f, "%zu,%zu,", h->gains.n_documents, h->gains.n_seeds);
            gyre_csv_real(f, h->alpha, ',');
            if (h->gains.count == 0) {
                (void)fprintf(f, ",,,,,%d\n", h->exploratory);
                continue;
            }
            const gyre_gain *g = &h->gains.gains[k];
            (void)fprintf(f, "%u,%zu,", g->layer, g->head);
            gyre_csv_real(f, g->log2.mean, ',');
            gyre_csv_real(f, g->log2.lo, ',');
            gyre_csv_real(f, g->log2.hi, ',');
            (void)fprintf(f, "%d\n", h->exploratory);
        }
    }
}

static void describe(const heat_map *m, char *out, size_t size)
{
    int n = snprintf(out, size, "Gain of each arm over its reference, mean over documents and seeds at each layer and KV head. Dot: the interval at 1 \xE2\x88\x92 \xCE\xB1 over documents and seeds "
                                "holds 0; ring: there is no interval. Intervals are of one cell each, not adjusted for their number.");
    if (n > 0 && (size_t)n < size && m->beyond > 0)
        n += snprintf(out + n, size - (size_t)n, " %zu cell%s beyond the ends of the scale %s the colour of its end.", m->beyond, m->beyond == 1 ? "" : "s", m->beyond == 1 ? "has" : "have");
    if (n > 0 && (size_t)n < size && !m->compared)
        n += snprintf(out + n, size - (size_t)n, " Nothing is compared: each arm is set against identity, or the first arm of its streams.");
    if (n > 0 && (size_t)n < size && m->left_out + m->undrawn > 0)
        (void)snprintf(out + n, size - (size_t)n, " Of %zu pairs %zu have no gain and %zu are left out for want of room: see the CSV file.", m->n, m->undrawn, m->left_out);
}

static gyre_status draw_page(const heat_map *m, size_t number, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char what[1024];
    size_t rows = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->heats[i].shown && m->heats[i].page == number && m->heats[i].row + 1 > rows)
            rows = m->heats[i].row + 1;
    describe(m, what, sizeof what);
    GYRE_TRY(gyre_source_page_new(m->book, &gyre_figure_layers, m->source, TITLE + (double)rows * m->row_h + LISTED * (double)lines_undrawn(m, number), 3.7, what, &page, err));
    draw_scale(m, page);
    for (size_t i = 0; i < m->n; i++)
        if (m->heats[i].shown && m->heats[i].page == number)
            draw_heat(m, page, &m->heats[i]);
    if (lines_undrawn(m, number) > 0)
        draw_undrawn(m, page, TITLE + (double)rows * m->row_h);
    gyre_draw_now(page);
    write_csv(m, page->csv, number);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

static gyre_status draw_source(gyre_figure_book *book, size_t source, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    heat_map m = { .book = book, .source = source };
    if (book->table->sources[source].kind != GYRE_SOURCE_CAPTURE)
        return GYRE_OK;
    GYRE_TRY(list_heats(&m, err));
    GYRE_TRY(fill_heats(&m, err));
    measure(&m);
    place_heats(&m);
    choose_end(&m);
    for (size_t page = 0; page < m.pages; page++)
        GYRE_TRY(draw_page(&m, page, err));
done:
    free(m.heats);
    return st;
}

const gyre_figure_type gyre_figure_layers = {
    .name = "layers",
    .summary = "gain of an arm over its reference, by layer and head",
    .draw_source = draw_source,
    .title = "Gains by layer and head",
    .nothing = "no capture has two arms to set against each other (a model source has no layers)",
};
