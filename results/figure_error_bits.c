/* Figure `error_bits`: error against true total bits per value, with intervals.
 *
 * One panel for each source and metric, in one block per stream (arms that code K, V, or both) and kind of source (captures, models); x the total bits (payload and side), y the mean of the metric
 * on a logarithmic axis, bars its interval at 95 % over documents and seeds (summary.h). Grid points of an arm that differ in one numeric axis alone (`bits`,
 * else the first that is numeric) are joined in the order of their bits; points that name whole quantizers or chains are not joined. Metrics of a block:
 * those named below that the file has; all that it has where it has none of them. A metric with negative values
 * (nll_change of a model source), or a mean of 0, has a linear panel.
 *
 * What it is not: a comparison. Intervals of single arms overlap more than paired differences do; the forest plot judges.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"

#define PANEL_HEIGHT 1.5
#define TITLE 0.2   /* above a panel */
#define FOOT 0.25   /* below a panel: tick labels */
#define NAME 0.2    /* below the last row of a block: name of the x axis */
#define LEFT 0.48   /* left of a panel: tick labels */
#define HEADER 0.22 /* name of a block */

enum { MAX_COLUMNS = 3 };

/* A point of an arm, and the first of those that it is joined with. */
typedef struct arm_point {
    const gyre_summary *s;
    size_t group, place;
} arm_point;

typedef struct stream_block {
    gyre_source_kind kind;
    const char *streams, *title;
    const char *preferred[4];
    size_t *metrics, n_metrics; /* of the table */
    size_t *sources, n_sources; /* with at least one point */
    const char **arms;
    arm_point *points; /* room for those of an arm */
    bool *drawn;       /* arms of the panel being drawn */
    size_t n_arms, columns, rows, legend_lines;
    double panel_width, height;
    gyre_axis bits;
} stream_block;

static const stream_block blocks[] = {
    { .streams = "k", .title = "Arms that code K", .preferred = { "nmse", "softmax_kl" } },
    { .streams = "v", .title = "Arms that code V", .preferred = { "nmse", "output_error" } },
    { .streams = "kv", .title = "Arms that code K and V", .preferred = { "nmse", "softmax_kl", "output_error" } },
    { .kind = GYRE_SOURCE_MODEL, .streams = "k", .title = "Inside the model: arms that code K", .preferred = { "token_kl", "nll_change" } },
    { .kind = GYRE_SOURCE_MODEL, .streams = "v", .title = "Inside the model: arms that code V", .preferred = { "token_kl", "nll_change" } },
    { .kind = GYRE_SOURCE_MODEL, .streams = "kv", .title = "Inside the model: arms that code K and V", .preferred = { "token_kl", "nll_change" } },
};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

static bool drawable(const stream_block *b, const gyre_summary *s)
{
    return strcmp(s->status, "OK") == 0 && isfinite(s->mean) && (b->kind == GYRE_SOURCE_MODEL || s->mean > 0.0) && isfinite(s->total_bits);
}

static bool in_block(const gyre_figure_book *book, const stream_block *b, const gyre_summary *s)
{
    return book->table->sources[s->source].kind == b->kind && strcmp(s->streams, b->streams) == 0;
}

static bool has_metric(const stream_block *b, size_t metric)
{
    for (size_t i = 0; i < b->n_metrics; i++)
        if (b->metrics[i] == metric)
            return true;
    return false;
}

/* ---- what is in a block ---- */

static void choose_metrics(const gyre_figure_book *book, stream_block *b)
{
    for (size_t any = 0; any < 2 && b->n_metrics == 0; any++)
        for (size_t m = 0; m < book->table->n_metrics; m++) {
            bool wanted = any == 1, defined = false;
            for (size_t i = 0; i < 4 && b->preferred[i] != NULL; i++)
                wanted = wanted || strcmp(b->preferred[i], book->table->metrics[m]) == 0;
            for (size_t i = 0; i < book->n_summaries && !defined; i++)
                defined = book->summaries[i].metric == m && in_block(book, b, &book->summaries[i]) && drawable(b, &book->summaries[i]);
            if (wanted && defined)
                b->metrics[b->n_metrics++] = m;
        }
}

static void choose_sources_and_arms(const gyre_figure_book *book, stream_block *b)
{
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *s = &book->summaries[i];
        size_t k = 0;
        if (!in_block(book, b, s) || !has_metric(b, s->metric) || !drawable(b, s))
            continue;
        gyre_axis_hold(&b->bits, s->total_bits);
        if (b->n_sources == 0 || b->sources[b->n_sources - 1] != s->source)
            b->sources[b->n_sources++] = s->source;
        while (k < b->n_arms && strcmp(b->arms[k], s->arm) != 0)
            k++;
        if (k == b->n_arms)
            b->arms[b->n_arms++] = s->arm;
    }
    gyre_axis_pad(&b->bits, 0.06, 1.0);
}

static gyre_status block_new(const gyre_figure_book *book, stream_block *b, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&b->metrics, book->table->n_metrics);
    GYRE_NEW(&b->sources, book->table->n_sources);
    GYRE_NEW(&b->arms, book->n_summaries);
    GYRE_NEW(&b->points, book->n_summaries);
    GYRE_NEW(&b->drawn, book->n_summaries);
    b->bits = gyre_axis_new(false, 7);
    choose_metrics(book, b);
    choose_sources_and_arms(book, b);
    if (b->n_arms == 0)
        goto done;
    size_t across = b->n_sources > 1 ? b->n_sources : b->n_metrics, down = b->n_sources > 1 ? b->n_metrics : 1;
    b->columns = across < MAX_COLUMNS ? across : MAX_COLUMNS;
    b->rows = down * ((across + b->columns - 1) / b->columns);
    b->panel_width = (GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN) / fmax((double)b->columns, 2.0) - LEFT - 0.08;
    b->legend_lines = gyre_draw_legend(NULL, book, 0.0, 0.0, GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, b->arms, b->n_arms);
    b->height = HEADER + (double)b->legend_lines * GYRE_LEGEND_LINE + 0.06 + (double)b->rows * (TITLE + PANEL_HEIGHT + FOOT) + NAME;
done:
    return st;
}

static void block_free(stream_block *b)
{
    free(b->metrics);
    free(b->sources);
    free(b->arms);
    free(b->points);
    free(b->drawn);
}

/* ---- drawing ---- */

static bool belongs(const gyre_figure_book *book, const gyre_summary *s, const stream_block *b, size_t source, size_t metric, const char *arm)
{
    return s->source == source && s->metric == metric && in_block(book, b, s) && drawable(b, s) && (arm == NULL || strcmp(s->arm, arm) == 0);
}

/* ---- which points are joined ---- */

/* Is p, up to a comma or the end, "axis=number"? */
static bool numeric_item(const char *p)
{
    const char *value = strchr(p, '=');
    char *end = NULL;
    if (value == NULL || value > p + strcspn(p, ","))
        return false;
    (void)strtod(value + 1, &end);
    return end != value + 1 && (*end == ',' || *end == '\0');
}

/* The item of a point along which its arm is joined: `bits`, else the first numeric one; NULL where none is. */
static const char *joining_item(const char *point)
{
    const char *first = NULL;
    for (const char *p = point; *p != '\0';) {
        if (numeric_item(p) && strncmp(p, "bits=", 5) == 0)
            return p;
        if (numeric_item(p) && first == NULL)
            first = p;
        p += strcspn(p, ",");
        p += *p == ',';
    }
    return first;
}

/* Do two points differ in the value of the joining item alone? */
static bool joined(const char *a, const char *b)
{
    const char *x = joining_item(a), *y = joining_item(b);
    if (x == NULL || y == NULL || x - a != y - b || strncmp(a, b, (size_t)(x - a) + strcspn(x, "=") + 1) != 0)
        return false;
    return strcmp(x + strcspn(x, ","), y + strcspn(y, ",")) == 0;
}

static int order_points(const void *a, const void *b)
{
    const arm_point *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->s->total_bits < y->s->total_bits || x->s->total_bits > y->s->total_bits)
        return x->s->total_bits < y->s->total_bits ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* The points of an arm as a data block $armN, lines by growing bits, an empty line between two lines: x, y, lo, hi. Returns how many. */
static size_t write_points(gyre_page *page, const gyre_figure_book *book, const stream_block *b, size_t source, size_t metric, size_t arm, double floor_)
{
    size_t n = 0;
    arm_point *points = b->points;
    for (size_t i = 0; i < book->n_summaries; i++)
        if (belongs(book, &book->summaries[i], b, source, metric, b->arms[arm])) {
            size_t group = 0;
            while (group < n && !joined(points[group].s->point, book->summaries[i].point))
                group++;
            points[n] = (arm_point){ &book->summaries[i], group < n ? points[group].group : n, n };
            n++;
        }
    qsort(points, n, sizeof *points, order_points);
    if (n > 0)
        (void)fprintf(page->plot, "$arm%zu << EOD\n", arm);
    for (size_t i = 0; i < n; i++) {
        const gyre_summary *s = points[i].s;
        double lo = isfinite(s->lo) ? fmax(s->lo, floor_) : s->mean, hi = isfinite(s->hi) ? s->hi : s->mean;
        (void)fprintf(page->plot, "%s%.12g %.12g %.12g %.12g\n", i > 0 && points[i].group != points[i - 1].group ? "\n" : "", s->total_bits, s->mean, lo, hi);
    }
    if (n > 0)
        (void)fputs("EOD\n", page->plot);
    return n;
}

/* Is the metric negative anywhere in the source? */
static bool below_zero(const gyre_table *t, size_t source, size_t metric)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        const gyre_cell *c = &t->cells[i];
        for (size_t k = 0; c->source == source && c->values != NULL && k < c->n_documents * c->n_heads; k++)
            if (c->values[metric * c->n_documents * c->n_heads + k] < 0.0)
                return true;
    }
    return false;
}

static gyre_axis error_axis(const gyre_figure_book *book, const stream_block *b, size_t source, size_t metric)
{
    bool positive = !below_zero(book->table, source, metric);
    for (size_t i = 0; i < book->n_summaries; i++)
        positive = positive && !(belongs(book, &book->summaries[i], b, source, metric, NULL) && book->summaries[i].mean <= 0.0);
    gyre_axis y = gyre_axis_new(positive, 5);
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *s = &book->summaries[i];
        if (!belongs(book, s, b, source, metric, NULL))
            continue;
        gyre_axis_hold(&y, s->mean);
        gyre_axis_hold(&y, s->hi);
        gyre_axis_hold(&y, !isfinite(s->lo) ? s->mean : positive ? fmax(s->lo, s->mean / 3.0) : s->lo); /* an arithmetic interval may reach 0: it is cut at the axis */
    }
    gyre_axis_pad(&y, 0.07, positive ? 2.0 : 1e-300);
    return y;
}

static void draw_panel(gyre_page *page, const gyre_figure_book *book, const stream_block *b, const gyre_panel *p, size_t source, size_t metric)
{
    gyre_axis y = error_axis(book, b, source, metric);
    char label[GYRE_LINE_TEXT], title[2 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    bool first = true;
    gyre_metric_label(book->table, metric, label, sizeof label);
    (void)snprintf(title, sizeof title, "%s \xC2\xB7 %s", label, book->table->sources[source].name);
    gyre_text_fit(title, 7.0, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - 0.09, GYRE_LEFT, 7.0, GYRE_INK, fitted);
    gyre_panel_place(page, p);
    gyre_panel_axis(page, 'x', &b->bits);
    gyre_panel_axis(page, 'y', &y);
    (void)fputs("set grid ytics lw 0.6 lc rgb '#DADADA'\n", page->plot);
    for (size_t a = 0; a < b->n_arms; a++)
        b->drawn[a] = write_points(page, book, b, source, metric, a, y.lo) > 0;
    for (size_t a = 0; a < b->n_arms; a++) {
        gyre_arm_style s = gyre_style_of(book, b->arms[a]);
        if (!b->drawn[a])
            continue;
        (void)fprintf(page->plot, "%s $arm%zu using 1:2 with lines lw 1 lc rgb '%s', $arm%zu using 1:3:(0):($4-$3) with vectors nohead lw 1.6 lc rgb '%s', ",
                      first ? "plot" : ",", a, s.colour, a, s.colour);
        (void)fprintf(page->plot, "$arm%zu using 1:2 with points lw 1.3 lc rgb '%s' pt %d ps PS*0.7", a, s.colour, s.marker);
        first = false;
    }
    (void)fputc('\n', page->plot);
    gyre_panel_done(page);
}

static void draw_block(gyre_page *page, const gyre_figure_book *book, const stream_block *b, double top)
{
    double x = GYRE_FIGURE_MARGIN, y = top + 0.5 * HEADER, first = top + HEADER + (double)b->legend_lines * GYRE_LEGEND_LINE + 0.06;
    size_t across = b->n_sources > 1 ? b->n_sources : b->n_metrics, n = b->n_sources * b->n_metrics, rows_each = (across + b->columns - 1) / b->columns;
    gyre_draw_text(page, x, y, GYRE_LEFT, 8.0, GYRE_INK, b->title);
    (void)gyre_draw_legend(page, book, x, top + HEADER + 0.5 * GYRE_LEGEND_LINE, GYRE_FIGURE_WIDTH - 2.0 * x, b->arms, b->n_arms);
    for (size_t i = 0; i < n; i++) {
        size_t place = i % across, row = (i / across) * rows_each + place / b->columns, column = place % b->columns;
        gyre_panel p = { x + (double)column * (b->panel_width + LEFT + 0.08) + LEFT, first + (double)row * (TITLE + PANEL_HEIGHT + FOOT) + TITLE,
                         b->panel_width, PANEL_HEIGHT };
        size_t source = b->sources[b->n_sources > 1 ? place : 0], metric = b->metrics[b->n_sources > 1 ? i / across : place];
        if (i + b->columns >= n || row + 1 == b->rows)
            gyre_draw_text(page, p.x + 0.5 * p.w, p.y + p.h + 0.27, GYRE_CENTRE, 6.5, GYRE_INK, "total bits per value");
        draw_panel(page, book, b, &p, source, metric);
    }
}

/* ---- what is said ---- */

static void write_csv(gyre_page *page, const gyre_figure_book *book, const stream_block *all)
{
    FILE *f = page->csv;
    (void)fputs("source,leak,metric,unit,arm,point,streams,status,reason,mean_kind,n_documents,n_seeds,payload_bits,total_bits,mean,lo,hi\n", f);
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *s = &book->summaries[i];
        bool here = false;
        for (size_t k = 0; k < BLOCKS; k++)
            here = here || (in_block(book, &all[k], s) && has_metric(&all[k], s->metric));
        if (!here)
            continue;
        const char *const texts[] = { book->table->sources[s->source].name, gyre_csv_leak(book->table, s->source, s->arm, s->point),
                                      book->table->metrics[s->metric], book->table->metric_units[s->metric], s->arm, s->point,
                                      s->streams, s->status, s->reason, s->geometric ? "geometric" : "arithmetic" };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            gyre_csv_text(f, texts[k], ',');
        (void)fprintf(f, "%zu,%zu,", s->n_documents, s->n_seeds);
        gyre_csv_real(f, s->payload_bits, ',');
        gyre_csv_real(f, s->total_bits, ',');
        gyre_csv_real(f, s->mean, ',');
        gyre_csv_real(f, s->lo, ',');
        gyre_csv_real(f, s->hi, '\n');
    }
}

/* Names each arm of a source that is missing from every panel, once. */
static void write_missing(FILE *f, const gyre_figure_book *book)
{
    bool first = true;
    for (size_t i = 0; i < book->n_summaries; i++) {
        const gyre_summary *s = &book->summaries[i];
        bool said = strcmp(s->streams, "none") == 0 || strcmp(s->status, "OK") == 0 || strcmp(s->status, "UNDEFINED") == 0;
        for (size_t k = 0; k < i && !said; k++)
            said = book->summaries[k].source == s->source && strcmp(book->summaries[k].arm, s->arm) == 0 && strcmp(book->summaries[k].status, s->status) == 0;
        if (said)
            continue;
        (void)fprintf(f, "%s%s of %s (%s)", first ? " Not drawn: " : ", ", s->arm, book->table->sources[s->source].name, s->status);
        first = false;
    }
    if (!first)
        (void)fputc('.', f);
}

static gyre_status make_caption(const gyre_figure_book *book, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = 0, models = 0;
    *out = NULL;
    FILE *f = open_memstream(out, &size);
    if (f == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
    for (size_t i = 0; i < book->table->n_sources; i++)
        models += book->table->sources[i].kind == GYRE_SOURCE_MODEL;
    bool only = models == book->table->n_sources;
    (void)fprintf(f, "Mean error over %s against the bits really stored per value, side "
                     "information included. Bars: %.3g %% intervals over %s and seeds of each arm alone, "
                     "where longer than the marker.", only ? "chunks (texts, where there are several) and seeds" : "documents, seeds, layers and heads (geometric where every value is positive)",
                  100.0 * (1.0 - GYRE_FIGURE_ALPHA), only ? "chunks" : "documents");
    if (models > 0 && !only)
        (void)fputs(" Inside a model: arithmetic means over chunks and seeds.", f);
    write_missing(f, book);
    if (fclose(f) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
done:
    return st;
}

static gyre_status draw(gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    stream_block all[BLOCKS];
    gyre_page *page = NULL;
    char *what = NULL;
    double height = 0.0, top = 0.05;
    memcpy(all, blocks, sizeof all);
    GYRE_TRY(make_caption(book, &what, err));
    for (size_t i = 0; i < BLOCKS; i++) {
        GYRE_TRY(block_new(book, &all[i], err));
        height += all[i].height;
    }
    if (height <= 0.0) {
        gyre_log_info(book->log, "figure error_bits: no arm has an error to draw");
        goto done;
    }
    GYRE_TRY(gyre_page_new(book, "error_bits", top + height + gyre_caption_height(book, what), &page, err));
    gyre_draw_caption(page, book, what);
    for (size_t i = 0; i < BLOCKS; top += all[i].height, i++)
        if (all[i].n_arms > 0)
            draw_block(page, book, &all[i], top);
    write_csv(page, book, all);
    GYRE_TRY(gyre_page_close(page, err));
done:
    for (size_t i = 0; i < BLOCKS; i++)
        block_free(&all[i]);
    free(what);
    return st;
}

const gyre_figure_type gyre_figure_error_bits = {
    .name = "error_bits",
    .summary = "error against true total bits per value, with intervals",
    .draw = draw,
};
