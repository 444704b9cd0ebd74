/* Pages of the joined order; what they show is in order_figure.h. Colours and markers are those of the capture's own figures. */
#define _POSIX_C_SOURCE 200809L
#include "results/order_figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"
#include "results/gnuplot.h"

#define PANEL_HEIGHT 1.6
#define TITLE 0.5 /* metric and point, rho, tau, pairs */
#define FOOT 0.42
#define LEFT 0.56
#define TOP 0.08

enum { MAX_COLUMNS = 3 };

/* The rows of one page: one model, one choice of streams. */
typedef struct order_page {
    const gyre_orders *order;
    gyre_figure_book *book;
    size_t first, count;
    size_t *line, *column; /* of the panel of each row */
    size_t lines, columns;
    const char **arms;
    size_t n_arms;
} order_page;

static const gyre_order_row *row_of(const order_page *p, size_t i)
{
    return &p->order->rows[p->first + i];
}

static bool same_page(const gyre_order_row *a, const gyre_order_row *b)
{
    return a->capture == b->capture && a->model == b->model && strcmp(a->streams, b->streams) == 0;
}

static bool same_group(const gyre_order_row *a, const gyre_order_row *b)
{
    return (a->point == NULL) == (b->point == NULL) && (a->point == NULL || strcmp(a->point, b->point) == 0);
}

/* A grid point begins a line of panels; its metrics follow each other, MAX_COLUMNS a line. */
static gyre_status place_panels(order_page *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t line = 0, column = 0;
    GYRE_NEW(&p->line, p->count);
    GYRE_NEW(&p->column, p->count);
    for (size_t i = 0; i < p->count; i++) {
        if (i > 0 && (column == MAX_COLUMNS || !same_group(row_of(p, i - 1), row_of(p, i)))) {
            line++;
            column = 0;
        }
        p->line[i] = line;
        p->column[i] = column++;
        p->columns = column > p->columns ? column : p->columns;
    }
    p->lines = line + 1;
done:
    return st;
}

static gyre_status list_arms(order_page *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t most = 0;
    for (size_t i = 0; i < p->count; i++)
        most += row_of(p, i)->n_arms;
    GYRE_NEW(&p->arms, most);
    for (size_t i = 0; i < p->count; i++)
        for (size_t a = 0; a < row_of(p, i)->n_arms; a++) {
            const char *arm = row_of(p, i)->arms[a].arm;
            size_t k = 0;
            while (k < p->n_arms && strcmp(p->arms[k], arm) != 0)
                k++;
            if (k == p->n_arms)
                p->arms[p->n_arms++] = arm;
        }
done:
    return st;
}

/* ---- a panel ---- */

static const gyre_interval *side_of(const gyre_order_arm *a, bool model)
{
    return model ? &a->model : &a->metric;
}

/* Logarithmic where all means are positive. */
static gyre_axis axis_of(const order_page *p, const gyre_order_row *row, bool model)
{
    bool positive = true;
    for (size_t a = 0; a < row->n_arms; a++)
        positive = positive && side_of(&row->arms[a], model)->mean > 0.0;
    gyre_axis axis = gyre_axis_new(positive, model ? 5 : p->columns > 2 ? 4 : 6);
    double least = 0.0;
    for (size_t a = 0; a < row->n_arms; a++) {
        const gyre_interval *s = side_of(&row->arms[a], model);
        gyre_axis_hold(&axis, s->mean);
        gyre_axis_hold(&axis, isfinite(s->lo) && positive ? fmax(s->lo, s->mean / 3.0) : s->lo);
        gyre_axis_hold(&axis, s->hi);
        least = fmax(least, fabs(s->mean));
    }
    gyre_axis_pad(&axis, 0.09, positive ? 1.6 : fmax(0.1 * least, 1e-12));
    return axis;
}

/* Mean and ends of the interval, which stay on the axis. */
static void write_side(FILE *f, const gyre_interval *s, const gyre_axis *axis, double *lo, double *hi)
{
    bool has = isfinite(s->lo) && isfinite(s->hi);
    *lo = has ? fmax(s->lo, axis->lo) : s->mean;
    *hi = has ? s->hi : s->mean;
    (void)fprintf(f, "%.12g ", s->mean);
}

static void write_arm(FILE *f, const gyre_order_arm *a, size_t number, const gyre_axis *x, const gyre_axis *y)
{
    double x_lo, x_hi, y_lo, y_hi;
    (void)fprintf(f, "$arm%zu << EOD\n", number);
    write_side(f, &a->metric, x, &x_lo, &x_hi);
    write_side(f, &a->model, y, &y_lo, &y_hi);
    (void)fprintf(f, "%.12g %.12g %.12g %.12g\nEOD\n", x_lo, x_hi, y_lo, y_hi);
}

static const gyre_order_arm *find_arm(const gyre_order_row *row, const char *arm, const char *point)
{
    size_t a = 0;
    while (strcmp(row->arms[a].arm, arm) != 0 || strcmp(row->arms[a].point, point) != 0) /* a discord is of two arms of its row */
        a++;
    return &row->arms[a];
}

static void write_discords(FILE *f, const gyre_order_row *row)
{
    (void)fputs("$discords << EOD\n", f);
    for (size_t i = 0; i < row->n_discords; i++) {
        const gyre_order_discord *d = &row->discords[i];
        const gyre_order_arm *a = find_arm(row, d->better_by_metric, d->point), *b = find_arm(row, d->better_by_model, d->point);
        (void)fprintf(f, "%.12g %.12g\n%.12g %.12g\n\n", a->metric.mean, a->model.mean, b->metric.mean, b->model.mean);
    }
    (void)fputs("EOD\n", f);
}

static void correlation_text(const char *name, const gyre_correlation *c, char *out, size_t size)
{
    if (isnan(c->value))
        (void)snprintf(out, size, "%s: none", name);
    else if (isnan(c->lo))
        (void)snprintf(out, size, "%s %.2f, no interval", name, c->value);
    else
        (void)snprintf(out, size, "%s %.2f [%.2f, %.2f]", name, c->value, c->lo, c->hi);
}

static void draw_titles(const order_page *o, gyre_page *page, const gyre_panel *p, const gyre_order_row *row, bool leftmost)
{
    char label[GYRE_LINE_TEXT], text[3 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    if (row->point == NULL)
        (void)snprintf(label, sizeof label, "all grid points");
    else
        gyre_point_label(row->point, label);
    (void)snprintf(text, sizeof text, "%s%s%s", o->order->capture->metrics[row->metric], label[0] != '\0' ? ", " : "", label);
    gyre_text_fit(text, 7.0, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - 0.4, GYRE_LEFT, 7.0, GYRE_INK, fitted);
    correlation_text("\xCF\x81", &row->rho, text, sizeof text);
    gyre_draw_text(page, p->x, p->y - 0.29, GYRE_LEFT, 6.5, GYRE_INK, text);
    correlation_text("\xCF\x84", &row->tau, text, sizeof text);
    gyre_draw_text(page, p->x, p->y - 0.185, GYRE_LEFT, 6.0, GYRE_GREY, text);
    (void)snprintf(text, sizeof text, "%zu arms; %zu of %zu pairs ordered oppositely", row->n_arms, row->n_discords, row->n_pairs);
    gyre_draw_text(page, p->x, p->y - 0.085, GYRE_LEFT, 6.0, row->n_discords > 0 ? GYRE_ALARM : GYRE_GREY, text);
    gyre_metric_label(o->order->capture, row->metric, label, sizeof label);
    gyre_draw_text(page, p->x + 0.5 * p->w, p->y + p->h + 0.27, GYRE_CENTRE, 6.5, GYRE_INK, label);
    gyre_metric_label(o->order->model, o->order->place, label, sizeof label);
    if (leftmost)
        gyre_draw_text(page, p->x - LEFT + 0.06, p->y + 0.5 * p->h, GYRE_UPWARD, 6.5, GYRE_INK, label);
}

static void draw_panel(const order_page *o, gyre_page *page, const gyre_panel *p, const gyre_order_row *row, bool leftmost)
{
    FILE *f = page->plot;
    gyre_axis x = axis_of(o, row, false), y = axis_of(o, row, true);
    write_discords(f, row);
    for (size_t a = 0; a < row->n_arms; a++)
        write_arm(f, &row->arms[a], a, &x, &y);
    draw_titles(o, page, p, row, leftmost);
    gyre_panel_place(page, p);
    gyre_panel_axis(page, 'x', &x);
    gyre_panel_axis(page, 'y', &y);
    (void)fputs("set grid xtics ytics lw 0.6 lc rgb '#DADADA'\nplot ", f);
    if (row->n_discords > 0)
        (void)fputs("$discords using 1:2 with lines lw 1 lc rgb '#333333', ", f);
    for (size_t a = 0; a < row->n_arms; a++) {
        gyre_arm_style s = gyre_style_of(o->book, row->arms[a].arm);
        (void)fprintf(f, "%s$arm%zu using 3:2:($4-$3):(0) with vectors nohead lw 1.4 lc rgb '%s', ", a > 0 ? ", " : "", a, s.colour);
        (void)fprintf(f, "$arm%zu using 1:5:(0):($6-$5) with vectors nohead lw 1.4 lc rgb '%s', ", a, s.colour);
        (void)fprintf(f, "$arm%zu using 1:2 with points lw 1.3 lc rgb '%s' pt %d ps PS*0.8", a, s.colour, s.marker);
    }
    (void)fputc('\n', f);
    gyre_panel_done(page);
}

/* ---- the numbers ---- */

static void csv_texts(const order_page *o, FILE *f, const char *kind, const gyre_order_row *row, const char *point, const char *arm, const char *other)
{
    const gyre_table *t = o->order->capture, *m = o->order->model;
    bool leak = t->sources[row->capture].leak || m->sources[row->model].leak;
    const char *const arms[] = { arm, other };
    for (size_t i = 0; i < 2; i++)
        leak = leak || gyre_arm_leaks(t, row->capture, arms[i], point) || gyre_arm_leaks(m, row->model, arms[i], point);
    const char *const texts[] = { kind, t->sources[row->capture].name, leak ? "deliberate" : "none", row->streams, point != NULL ? point : "all", t->metrics[row->metric],
                                  o->order->against, arm != NULL ? arm : "", other != NULL ? other : "" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        gyre_csv_text(f, texts[i], ',');
}

static void csv_numbers(FILE *f, const gyre_interval *x, const gyre_interval *y)
{
    const double numbers[] = { x->mean, x->lo, x->hi, y->mean, y->lo, y->hi };
    for (size_t i = 0; i < 6; i++)
        gyre_csv_real(f, numbers[i], i < 5 ? ',' : '\n');
}

/* Kinds of lines: order (rho and tau), arm (means), discord (arm better by the metric, other better by the model: ratio of geometric means where logarithms are averaged, else difference). */
static void write_csv(const order_page *o, FILE *f)
{
    (void)fputs("kind,source,leak,streams,point,metric,against,arm,other,metric_mean_or_rho,metric_lo,metric_hi,against_mean_or_tau,against_lo,against_hi\n", f);
    for (size_t i = 0; i < o->count; i++) {
        const gyre_order_row *row = row_of(o, i);
        const gyre_interval rho = { row->rho.value, row->rho.lo, row->rho.hi }, tau = { row->tau.value, row->tau.lo, row->tau.hi };
        csv_texts(o, f, "order", row, row->point, NULL, NULL);
        csv_numbers(f, &rho, &tau);
        if (row->point != NULL && row_of(o, 0)->point == NULL) /* its arms and pairs are among those of all points */
            continue;
        for (size_t a = 0; a < row->n_arms; a++) {
            csv_texts(o, f, "arm", row, row->arms[a].point, row->arms[a].arm, NULL);
            csv_numbers(f, &row->arms[a].metric, &row->arms[a].model);
        }
        for (size_t d = 0; d < row->n_discords; d++) {
            const gyre_order_discord *pair = &row->discords[d];
            csv_texts(o, f, "discord", row, pair->point, pair->better_by_metric, pair->better_by_model);
            csv_numbers(f, &pair->metric, &pair->model);
        }
    }
}

/* ---- a page ---- */

static void print_facts(FILE *f, const order_page *o, const gyre_order_file *capture, const gyre_order_file *model)
{
    const gyre_table *t = o->order->capture, *m = o->order->model;
    const gyre_order_row *row = row_of(o, 0);
    const gyre_source *source = &m->sources[row->model];
    size_t seeds = 0, arms = 0;
    for (size_t i = 0; i < o->count; i++) {
        seeds = row_of(o, i)->n_seeds > seeds ? row_of(o, i)->n_seeds : seeds;
        arms = row_of(o, i)->n_arms > arms ? row_of(o, i)->n_arms : arms;
    }
    (void)fprintf(f, "n = %zu arms (each grid point counts), %zu documents, %zu %s of the model, %zu sign seed%s where seeded \xC2\xB7 capture: %s, results %.12s, gyre %s \xC2\xB7 model: %s, results %.12s, gyre %s",
                  arms, row->n_documents, row->n_chunks, source->n_texts > 1 ? "texts" : "chunks", seeds, seeds == 1 ? "" : "s", t->experiment, capture->digest,
                  capture->provenance->build_id, m->experiment, model->digest, model->provenance->build_id);
    if (source->context > 0)
        (void)fprintf(f, " \xC2\xB7 chunks of %zu tokens", source->context);
    if (source->descriptive)
        (void)fputs(" \xC2\xB7 DESCRIPTIVE: too few chunks, says the configuration", f);
}

static const char what[] = "Every arm on both sides: its error on the capture's rows (x) against what the model pays (y), means with 95 % intervals of single arms. "
                           "\xCF\x81: Spearman's, \xCF\x84: Kendall's rank correlation (tau-b) of these arms, with 95 % percentile bootstrap intervals that draw seeds (jointly for both "
                           "levels), documents and chunks again and leave the arms as they are: nothing is said about other arms. A dark line joins two arms of one grid point that the two order "
                           "oppositely, each paired 95 % interval excluding no difference (not adjusted: exploratory).";

static void draw_panels(const order_page *o, gyre_page *page, double top, double w)
{
    for (size_t i = 0; i < o->count; i++) {
        gyre_panel p = { GYRE_FIGURE_MARGIN + (double)o->column[i] * (w + LEFT + 0.08) + LEFT, top + (double)o->line[i] * (TITLE + PANEL_HEIGHT + FOOT) + TITLE, w, PANEL_HEIGHT };
        draw_panel(o, page, &p, row_of(o, i), o->column[i] == 0);
    }
}

static gyre_status draw_page(order_page *o, const gyre_order_file *capture, const gyre_order_file *model, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char name[GYRE_LINE_TEXT], text[GYRE_LINE_TEXT];
    size_t size = 0;
    const gyre_order_row *row = row_of(o, 0);
    const char *source = o->order->capture->sources[row->capture].name;
    const double width = GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, x = GYRE_FIGURE_MARGIN;
    FILE *f = open_memstream(&o->book->facts, &size);
    if (f == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
    print_facts(f, o, capture, model);
    if (fclose(f) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
    double top = TOP + 0.22 + GYRE_LEGEND_LINE * (double)gyre_draw_legend(NULL, o->book, 0.0, 0.0, width, o->arms, o->n_arms);
    (void)snprintf(name, sizeof name, "model_order_%s_%s", source, row->streams);
    GYRE_TRY(gyre_page_new(o->book, name, top + (double)o->lines * (TITLE + PANEL_HEIGHT + FOOT) + gyre_caption_height(o->book, what), &page, err));
    gyre_draw_caption(page, o->book, what);
    (void)snprintf(name, sizeof name, "%s: do errors of the cache order the arms that code %s as %s of the model does?", source,
                   strcmp(row->streams, "k") == 0 ? "K" : strcmp(row->streams, "v") == 0 ? "V" : "K and V", o->order->against);
    gyre_text_fit(name, 8.0, width, text);
    gyre_draw_text(page, x, TOP + 0.08, GYRE_LEFT, 8.0, GYRE_INK, text);
    (void)gyre_draw_legend(page, o->book, x, TOP + 0.22 + 0.5 * GYRE_LEGEND_LINE, width, o->arms, o->n_arms);
    draw_panels(o, page, top, width / fmax((double)o->columns, 2.0) - LEFT - 0.08);
    write_csv(o, page->csv);
    GYRE_TRY(gyre_page_close(page, err));
done:
    free(o->book->facts);
    o->book->facts = NULL;
    return st;
}

static gyre_status add_page(const gyre_orders *order, gyre_figure_book *book, size_t first, size_t count, const gyre_order_file *capture, const gyre_order_file *model, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    order_page o = { .order = order, .book = book, .first = first, .count = count };
    GYRE_TRY(place_panels(&o, err));
    GYRE_TRY(list_arms(&o, err));
    GYRE_TRY(draw_page(&o, capture, model, err));
done:
    free(o.line);
    free(o.column);
    free(o.arms);
    return st;
}

/* ---- all ---- */

/* Arms of a table in plan order: their places are their colours. Freed by the caller. */
static gyre_status book_arms(const gyre_table *t, gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&book->arms, t->n_cells);
    for (size_t s = 0; s < t->n_sources; s++) /* as summaries have them */
        for (size_t i = 0; i < t->n_cells; i++) {
            size_t k = 0;
            if (t->cells[i].source != s)
                continue;
            while (k < book->n_arms && strcmp(book->arms[k], t->cells[i].arm) != 0)
                k++;
            if (k == book->n_arms)
                book->arms[book->n_arms++] = t->cells[i].arm;
        }
done:
    return st;
}

/* The marks of both files, one after the other. */
static gyre_status join_marks(const gyre_figure_book *sides, gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t room = strlen(sides[0].marks) + strlen(sides[1].marks) + 1;
    GYRE_NEW(&book->marks, room);
    bool same = strcmp(sides[0].marks, sides[1].marks) == 0;
    (void)snprintf(book->marks, room, "%s%s", sides[0].marks, same ? "" : sides[1].marks);
done:
    return st;
}

gyre_status gyre_order_draw(const gyre_orders *order, const gyre_order_file *capture, const gyre_order_file *model, const char *folder, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_figure_book book = { .table = order->capture, .provenance = capture->provenance, .digest = capture->digest, .log = log, .last = &book.pages };
    gyre_figure_book sides[] = { { .table = order->capture, .provenance = capture->provenance, .digest = capture->digest },
                                 { .table = order->model, .provenance = model->provenance, .digest = model->digest } };
    GYRE_TRY(gyre_gnuplot_check(err));
    for (size_t i = 0; i < 2; i++) {
        GYRE_TRY(book_arms(sides[i].table, &sides[i], err));
        GYRE_TRY(gyre_caption_prepare(&sides[i], err));
    }
    GYRE_TRY(join_marks(sides, &book, err));
    book.arms = sides[0].arms;
    book.n_arms = sides[0].n_arms;
    for (size_t first = 0, next; first < order->n_rows; first = next) {
        for (next = first + 1; next < order->n_rows && same_page(&order->rows[first], &order->rows[next]);)
            next++;
        GYRE_TRY(add_page(order, &book, first, next - first, capture, model, err));
    }
    GYRE_TRY(gyre_book_write(&book, folder, err));
done:
    gyre_pages_free(book.pages);
    for (size_t i = 0; i < 2; i++) {
        free(sides[i].arms);
        free(sides[i].facts);
        free(sides[i].marks);
    }
    free(book.marks);
    return st;
}
