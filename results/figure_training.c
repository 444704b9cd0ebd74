/* Figure `training`: how the objective of calibration fell.
 *
 * One panel for each source and stream; x the step, y the objective on a logarithmic axis, each fit relative to its own step 0:
 *
 *     y(t) = median over seeds, layers and heads of f(t) / f(0)      f: objective on validation rows (solid) and on calibration rows (dashed)
 *
 * A line for each arm and grid point; a fit that stopped early keeps its last value; a marker stands at the median of the steps kept. The best of several draws has panels of its own: x the
 * draws tried, y that of the best so far by calibration rows. Single fits are thin lines in the background where a panel has few.
 *
 * What it is not: a comparison of objectives, or of arms; what counts is the error on evaluation documents, which no fit has seen.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"

#define PANEL_HEIGHT 1.75
#define ALONE_HEIGHT 2.6 /* of the only panel, which has the whole width */
#define TITLE 0.2
#define FOOT 0.42
#define LEFT 0.52
#define HEADER 0.42 /* title and key */
#define LABEL_SIZE 5.5
#define LABEL_LINE 0.085
#define LABEL_MOST 0.9

enum { MAX_COLUMNS = 2, GRID = 200, FEW = 48, CALIBRATION = 0, VALIDATION = 1 };

/* The fits of an arm at a point of one source and stream, and their medians at the steps of a grid. */
typedef struct curve {
    size_t source;
    gyre_stream stream;
    bool draws;
    const char *arm, *point;
    const gyre_fit **fits;
    size_t n_fits, n_grid;
    uint32_t *grid, kept; /* kept: median of the steps or draws chosen */
    double *middle[2], *least[2], *most[2];
} curve;

typedef struct training_figure {
    gyre_figure_book *book;
    curve *curves;
    size_t n_curves, n_odd; /* n_odd: fits whose objective does not start above 0 */
    size_t *panels, n_panels; /* the first curve of each */
    const char **arms;
    size_t n_arms;
} training_figure;

static bool same_panel(const curve *a, const curve *b)
{
    return a->source == b->source && a->stream == b->stream && a->draws == b->draws;
}

/* ---- which fits make a curve ---- */

static curve *curve_of(training_figure *f, const gyre_cell *c, const gyre_fit *fit)
{
    const curve wanted = { .source = c->source, .stream = fit->stream, .draws = fit->n_parameters == 0, .arm = c->arm, .point = c->point };
    size_t i = 0;
    while (i < f->n_curves && !(same_panel(&f->curves[i], &wanted) && strcmp(f->curves[i].arm, c->arm) == 0 && strcmp(f->curves[i].point, c->point) == 0))
        i++;
    if (i == f->n_curves)
        f->curves[f->n_curves++] = wanted;
    return &f->curves[i];
}

/* Counts the fits of each curve, or puts them in their place. */
static void sort_fits(training_figure *f, bool put)
{
    const gyre_table *t = f->book->table;
    for (size_t i = 0; i < t->n_cells; i++)
        for (size_t k = 0; k < t->cells[i].n_fits; k++) {
            const gyre_fit *fit = &t->cells[i].fits[k];
            if (fit->n_points == 0)
                continue;
            if (!(isfinite(fit->point[CALIBRATION][0]) && fit->point[CALIBRATION][0] > 0.0)) {
                f->n_odd += !put;
                continue;
            }
            curve *c = curve_of(f, &t->cells[i], fit);
            if (put)
                c->fits[c->n_fits] = fit;
            c->n_fits++;
        }
}

static gyre_status find_curves(training_figure *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = f->book->table;
    size_t most = 0;
    for (size_t i = 0; i < t->n_cells; i++)
        most += t->cells[i].n_fits;
    GYRE_NEW(&f->curves, most);
    GYRE_NEW(&f->panels, most);
    GYRE_NEW(&f->arms, most);
    sort_fits(f, false);
    for (size_t i = 0; i < f->n_curves; i++) {
        size_t k = 0;
        GYRE_NEW(&f->curves[i].fits, f->curves[i].n_fits);
        f->curves[i].n_fits = 0;
        while (k < f->n_arms && strcmp(f->arms[k], f->curves[i].arm) != 0)
            k++;
        if (k == f->n_arms)
            f->arms[f->n_arms++] = f->curves[i].arm;
    }
    sort_fits(f, true);
done:
    return st;
}

/* Panels by source; K before V, what is learned before draws. */
static void find_panels(training_figure *f)
{
    for (size_t source = 0; source < f->book->table->n_sources; source++)
        for (int kind = 0; kind < 4; kind++) {
            const curve wanted = { .source = source, .stream = kind % 2 == 0 ? GYRE_K : GYRE_V, .draws = kind >= 2 };
            size_t i = 0;
            while (i < f->n_curves && !same_panel(&f->curves[i], &wanted))
                i++;
            if (i < f->n_curves)
                f->panels[f->n_panels++] = i;
        }
}

/* ---- medians ---- */

static int by_step(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps at which any fit has a point, at most about GRID of them: evenly spread, of draws evenly on a logarithmic axis; the first and the last always. */
static gyre_status make_grid(curve *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = 0, all = 0, kept = 0;
    for (size_t i = 0; i < c->n_fits; i++)
        all += c->fits[i]->n_points;
    GYRE_NEW(&c->grid, all);
    for (size_t i = 0; i < c->n_fits; i++) {
        memcpy(c->grid + n, c->fits[i]->point_step, c->fits[i]->n_points * sizeof *c->grid);
        n += c->fits[i]->n_points;
    }
    qsort(c->grid, all, sizeof *c->grid, by_step);
    for (size_t i = n = 0; i < all; i++)
        if (i == 0 || c->grid[i] != c->grid[i - 1])
            c->grid[n++] = c->grid[i];
    for (size_t i = 0, next = 0; i < n; i++) {
        if (i != next && i + 1 < n)
            continue;
        c->grid[kept++] = c->grid[i];
        next = i + (c->draws ? 1 + i / (GRID / 8) : 1 + n / GRID);
    }
    c->n_grid = kept;
done:
    return st;
}

/* Where a fit is on its way: the last point seen, of draws the best of those seen. */
typedef struct walker {
    size_t next;
    double value[2];
} walker;

static void walk(const gyre_fit *fit, bool draws, uint32_t step, walker *w)
{
    for (; w->next < fit->n_points && fit->point_step[w->next] <= step; w->next++)
        if (!draws || w->next == 0 || fit->point[CALIBRATION][w->next] < w->value[CALIBRATION])
            for (int k = 0; k < 2; k++)
                w->value[k] = fit->point[k][w->next];
}

/* Relative to the start; NaN where there is no such thing. */
static double relative(const gyre_fit *fit, const walker *w, int k)
{
    double start = fit->point[k][0], ratio = w->next > 0 && start > 0.0 ? w->value[k] / start : (double)NAN;
    return isfinite(ratio) && ratio > 0.0 ? ratio : (double)NAN;
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n == 0 ? (double)NAN : n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

static gyre_status find_medians(curve *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    walker *walkers = NULL;
    double *x = NULL;
    GYRE_TRY(make_grid(c, err));
    for (int k = 0; k < 2; k++) {
        GYRE_NEW(&c->middle[k], c->n_grid);
        GYRE_NEW(&c->least[k], c->n_grid);
        GYRE_NEW(&c->most[k], c->n_grid);
    }
    GYRE_NEW(&walkers, c->n_fits);
    GYRE_NEW(&x, c->n_fits);
    for (size_t g = 0; g < c->n_grid; g++) {
        for (size_t i = 0; i < c->n_fits; i++)
            walk(c->fits[i], c->draws, c->grid[g], &walkers[i]);
        for (int k = 0; k < 2; k++) {
            size_t n = 0;
            for (size_t i = 0; i < c->n_fits; i++)
                if (!isnan(x[n] = relative(c->fits[i], &walkers[i], k)))
                    n++;
            c->middle[k][g] = median(x, n);
            c->least[k][g] = n > 0 ? x[0] : (double)NAN;
            c->most[k][g] = n > 0 ? x[n - 1] : (double)NAN;
        }
    }
    for (size_t i = 0; i < c->n_fits; i++)
        x[i] = c->draws ? c->fits[i]->draw : c->fits[i]->step;
    c->kept = (uint32_t)median(x, c->n_fits);
done:
    free(walkers);
    free(x);
    return st;
}

/* ---- one panel ---- */

/* Lines of the panel's curves judge by validation rows, where there are any. */
static int judge(const curve *c)
{
    return isnan(c->middle[VALIDATION][0]) ? CALIBRATION : VALIDATION;
}

/* Draws are counted from 1, since the axis is logarithmic. */
static double at_step(const curve *c, uint32_t step)
{
    return (double)step + (c->draws ? 1.0 : 0.0);
}

static size_t fits_in(const training_figure *f, const curve *panel)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_curves; i++)
        n += same_panel(&f->curves[i], panel) ? f->curves[i].n_fits : 0;
    return n;
}

static void find_axes(const training_figure *f, const curve *panel, gyre_axis *x, gyre_axis *y)
{
    bool few = fits_in(f, panel) <= FEW;
    *x = gyre_axis_new(panel->draws, 6);
    *y = gyre_axis_new(true, 5);
    gyre_axis_hold(y, 1.0);
    for (size_t i = 0; i < f->n_curves; i++) {
        const curve *c = &f->curves[i];
        if (!same_panel(c, panel))
            continue;
        gyre_axis_hold(x, at_step(c, c->grid[0]));
        gyre_axis_hold(x, at_step(c, c->grid[c->n_grid - 1]));
        for (size_t g = 0; g < c->n_grid; g++) {
            gyre_axis_hold(y, c->middle[CALIBRATION][g]);
            gyre_axis_hold(y, c->middle[VALIDATION][g]);
            gyre_axis_hold(y, few ? c->least[judge(c)][g] : (double)NAN);
            gyre_axis_hold(y, few ? c->most[judge(c)][g] : (double)NAN);
        }
    }
    gyre_axis_pad(x, 0.02, panel->draws ? 2.0 : 1.0);
    gyre_axis_pad(y, 0.06, 1.3);
}

/* The single fits of a curve, an empty line between two. */
static void write_fits(FILE *f, size_t index, const curve *c)
{
    (void)fprintf(f, "$fits%zu << EOD\n", index);
    for (size_t i = 0; i < c->n_fits; i++) {
        walker w = {0};
        for (size_t g = 0; g < c->n_grid; g++) {
            walk(c->fits[i], c->draws, c->grid[g], &w);
            double y = relative(c->fits[i], &w, judge(c));
            if (!isnan(y))
                (void)fprintf(f, "%.12g %.12g\n", at_step(c, c->grid[g]), y);
        }
        (void)fputc('\n', f);
    }
    (void)fputs("EOD\n", f);
}

/* Medians as data blocks, and the step kept; an empty block would be an error, so there is always one point. */
static void write_curve(FILE *f, size_t index, const curve *c)
{
    size_t kept = 0;
    for (int k = 0; k < 2; k++) {
        (void)fprintf(f, "$median%zu_%d << EOD\n", index, k);
        for (size_t g = 0; g < c->n_grid; g++)
            if (!isnan(c->middle[k][g]))
                (void)fprintf(f, "%.12g %.12g\n", at_step(c, c->grid[g]), c->middle[k][g]);
        (void)fputs("EOD\n", f);
    }
    while (kept + 1 < c->n_grid && c->grid[kept + 1] <= c->kept)
        kept++;
    (void)fprintf(f, "$kept%zu << EOD\n%.12g %.12g\nEOD\n", index, at_step(c, c->grid[kept]), c->middle[judge(c)][kept]);
}

/* Has the arm of the curve other points in the panel? */
static bool needs_label(const training_figure *f, const curve *c)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_curves; i++)
        n += same_panel(&f->curves[i], c) && strcmp(f->curves[i].arm, c->arm) == 0;
    return n > 1;
}

static double label_width(const training_figure *f)
{
    double width = 0.0;
    for (size_t i = 0; i < f->n_curves; i++) {
        char text[GYRE_LINE_TEXT];
        gyre_point_label(f->curves[i].point, text);
        if (needs_label(f, &f->curves[i]))
            width = fmax(width, gyre_text_width(text, LABEL_SIZE) + 0.06);
    }
    return fmin(width, LABEL_MOST);
}

/* The points of an arm at the ends of its lines, from above, moved down where they would meet. */
static void draw_labels(const training_figure *f, gyre_page *page, const gyre_panel *p, const gyre_axis *y, const curve *panel, double width)
{
    double last = -(double)INFINITY, done = -(double)INFINITY;
    for (;;) {
        const curve *next = NULL;
        double height = (double)INFINITY;
        for (size_t i = 0; i < f->n_curves; i++) {
            const curve *c = &f->curves[i];
            double h = (1.0 - gyre_axis_place(y, c->middle[judge(c)][c->n_grid - 1])) * p->h + 1e-9 * (double)i;
            if (same_panel(c, panel) && needs_label(f, c) && h > done && h < height) {
                next = c;
                height = h;
            }
        }
        if (next == NULL)
            return;
        char text[GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
        done = height;
        last = fmax(height, last + LABEL_LINE);
        gyre_point_label(next->point, text);
        gyre_text_fit(text, LABEL_SIZE, width, fitted);
        gyre_draw_text(page, p->x + p->w + 0.05, p->y + last, GYRE_LEFT, LABEL_SIZE, gyre_style_of(f->book, next->arm).colour, fitted);
    }
}

static void draw_titles(const training_figure *f, gyre_page *page, const gyre_panel *p, const curve *panel, bool left)
{
    char text[2 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    size_t n = fits_in(f, panel);
    (void)snprintf(text, sizeof text, "%s \xC2\xB7 %s%s \xC2\xB7 %zu fit%s", f->book->table->sources[panel->source].name, panel->stream == GYRE_K ? "K" : "V",
                   panel->draws ? ", best of draws" : "", n, n == 1 ? "" : "s");
    gyre_text_fit(text, 7.0, p->w, fitted);
    gyre_draw_text(page, p->x, p->y - 0.09, GYRE_LEFT, 7.0, GYRE_INK, fitted);
    gyre_draw_text(page, p->x + 0.5 * p->w, p->y + p->h + 0.27, GYRE_CENTRE, 6.5, GYRE_INK, panel->draws ? "draws tried" : "step");
    if (left)
        gyre_draw_text(page, p->x - LEFT + 0.08, p->y + 0.5 * p->h, GYRE_UPWARD, 6.5, GYRE_INK, "objective / its start");
}

static void plot_curves(const training_figure *f, FILE *plot, const curve *panel, bool few)
{
    const char *style = panel->draws ? "steps" : "lines"; /* the best so far stays until a better draw comes */
    (void)fputs("plot 1 with lines lw 0.8 lc rgb '#9A9A9A'", plot);
    for (size_t i = 0; i < f->n_curves && few; i++)
        if (same_panel(&f->curves[i], panel) && f->curves[i].n_fits > 1)
            (void)fprintf(plot, ", $fits%zu using 1:2 with %s lw 0.5 lc rgb '#B0%s'", i, style, gyre_style_of(f->book, f->curves[i].arm).colour + 1);
    for (size_t i = 0; i < f->n_curves; i++) {
        const curve *c = &f->curves[i];
        gyre_arm_style s = gyre_style_of(f->book, c->arm);
        if (!same_panel(c, panel))
            continue;
        (void)fprintf(plot, ", $median%zu_%d using 1:2 with %s lw 1.1 dt (6,4) lc rgb '%s'", i, CALIBRATION, style, s.colour);
        if (judge(c) == VALIDATION)
            (void)fprintf(plot, ", $median%zu_%d using 1:2 with %s lw 1.4 lc rgb '%s'", i, VALIDATION, style, s.colour);
        (void)fprintf(plot, ", $kept%zu using 1:2 with points lw 1.4 lc rgb '%s' pt %d ps PS*0.85", i, s.colour, s.marker);
    }
    (void)fputc('\n', plot);
}

static void draw_panel(const training_figure *f, gyre_page *page, const gyre_panel *p, const curve *panel, double width, bool left)
{
    gyre_axis x, y;
    bool few = fits_in(f, panel) <= FEW;
    find_axes(f, panel, &x, &y);
    for (size_t i = 0; i < f->n_curves; i++) {
        if (!same_panel(&f->curves[i], panel))
            continue;
        write_curve(page->plot, i, &f->curves[i]);
        if (few)
            write_fits(page->plot, i, &f->curves[i]);
    }
    draw_titles(f, page, p, panel, left);
    draw_labels(f, page, p, &y, panel, width);
    gyre_panel_place(page, p);
    gyre_panel_axis(page, 'x', &x);
    gyre_panel_axis(page, 'y', &y);
    (void)fputs("set grid ytics lw 0.6 lc rgb '#DADADA'\n", page->plot);
    plot_curves(f, page->plot, panel, few);
    gyre_panel_done(page);
}

/* ---- the page ---- */

static void write_csv(const training_figure *f, FILE *csv)
{
    const gyre_table *t = f->book->table;
    (void)fputs("source,leak,stream,kind,arm,point,step,n_fits,calibration,calibration_least,calibration_most,validation,validation_least,validation_most\n", csv);
    for (size_t i = 0; i < f->n_curves; i++) {
        const curve *c = &f->curves[i];
        const char *const texts[] = { t->sources[c->source].name, gyre_csv_leak(t, c->source, c->arm, c->point), c->stream == GYRE_K ? "k" : "v", c->draws ? "draws" : "steps", c->arm, c->point };
        for (size_t g = 0; g < c->n_grid; g++) {
            for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
                gyre_csv_text(csv, texts[k], ',');
            (void)fprintf(csv, "%u,%zu,", c->grid[g], c->n_fits);
            for (int k = 0; k < 2; k++) {
                gyre_csv_real(csv, c->middle[k][g], ',');
                gyre_csv_real(csv, c->least[k][g], ',');
                gyre_csv_real(csv, c->most[k][g], k == 0 ? ',' : '\n');
            }
        }
    }
}

static gyre_status make_caption(const training_figure *f, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = 0;
    bool draws = false;
    *out = NULL;
    FILE *text = open_memstream(out, &size);
    if (text == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
    for (size_t i = 0; i < f->n_curves; i++)
        draws = draws || f->curves[i].draws;
    (void)fprintf(text, "Objective of each fit over its own start, median over seeds, layers and heads, on at most %d rows of each head. Solid: validation rows, which choose the step; dashed: "
                        "calibration rows, which move the parameters. Markers: median of the steps kept. A fit that stopped keeps its last value. Thin: single fits, where a panel has at most %d.",
                  GYRE_FIT_TRACKED, FEW);
    if (draws)
        (void)fputs(" Best of draws: the best so far by calibration rows, against the first; the marker is the median of the draws chosen.", text);
    if (f->n_odd > 0)
        (void)fprintf(text, " Not drawn: %zu fits whose objective does not start above 0.", f->n_odd);
    (void)fputs(" Objectives of different kinds do not compare; the error on evaluation documents does.", text);
    if (fclose(text) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
done:
    return st;
}

static gyre_status draw_page(const training_figure *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char *what = NULL;
    const double width = GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, x = GYRE_FIGURE_MARGIN;
    GYRE_TRY(make_caption(f, &what, err));
    double top = HEADER + GYRE_LEGEND_LINE * (double)gyre_draw_legend(NULL, f->book, 0.0, 0.0, width, f->arms, f->n_arms), labels = label_width(f);
    size_t columns = f->n_panels < MAX_COLUMNS ? f->n_panels : MAX_COLUMNS, rows = (f->n_panels + columns - 1) / columns;
    double w = width / (double)columns - LEFT - labels - 0.1, h = columns == 1 ? ALONE_HEIGHT : PANEL_HEIGHT;
    GYRE_TRY(gyre_page_new(f->book, "training", top + (double)rows * (TITLE + h + FOOT) + gyre_caption_height(f->book, what), &page, err));
    gyre_draw_caption(page, f->book, what);
    gyre_draw_text(page, x, 0.16, GYRE_LEFT, 8.0, GYRE_INK, "How calibration lowered its objective");
    gyre_draw_text(page, x + width, 0.16, GYRE_RIGHT, 6.5, GYRE_GREY, "solid: validation rows \xC2\xB7 dashed: calibration rows");
    (void)gyre_draw_legend(page, f->book, x, 0.28 + 0.5 * GYRE_LEGEND_LINE, width, f->arms, f->n_arms);
    for (size_t i = 0; i < f->n_panels; i++) {
        size_t column = i % columns;
        gyre_panel p = { x + (double)column * (w + LEFT + labels + 0.1) + LEFT, top + (double)(i / columns) * (TITLE + h + FOOT) + TITLE, w, h };
        draw_panel(f, page, &p, &f->curves[f->panels[i]], labels, column == 0);
    }
    write_csv(f, page->csv);
    GYRE_TRY(gyre_page_close(page, err));
done:
    free(what);
    return st;
}

static gyre_status draw(gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    training_figure f = { .book = book };
    GYRE_TRY(find_curves(&f, err));
    for (size_t i = 0; i < f.n_curves; i++)
        GYRE_TRY(find_medians(&f.curves[i], err));
    find_panels(&f);
    if (f.n_panels > 0)
        GYRE_TRY(draw_page(&f, err));
    else
        gyre_log_info(book->log, "figure training: no fit has a curve to draw");
done:
    for (size_t i = 0; i < f.n_curves; i++) {
        free(f.curves[i].fits);
        free(f.curves[i].grid);
        for (int k = 0; k < 2; k++) {
            free(f.curves[i].middle[k]);
            free(f.curves[i].least[k]);
            free(f.curves[i].most[k]);
        }
    }
    free(f.curves);
    free(f.panels);
    free(f.arms);
    return st;
}

const gyre_figure_type gyre_figure_training = {
    .name = "training",
    .summary = "training curves: the objective of calibration over its start",
    .draw = draw,
};
