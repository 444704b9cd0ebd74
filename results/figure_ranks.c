/* Figure `ranks`: mean ranks of arms with the critical difference, in the manner of Demsar; a page or more for each source.
 *
 *   r[arm] = mean over units of the arm's rank among the k arms of its field (figure.h); 1 the least error, ties share the mean of their ranks
 *   CD     = q(alpha, k)/sqrt(2) sqrt(k(k+1)/(6n)), Nemenyi; n units: documents x seeds (chunks or texts, in a model), an arm without seeds the same in each
 *
 * Arms code the same streams at the same grid point. A bar joins arms whose mean ranks differ by less than CD.
 * Reference: Demsar, JMLR 7 (2006) 1-30, figure 1; stats/friedman.h.
 *
 * What it is not: a test, and so no p value is given: units that share a document or a seed depend on each other, n is too large and CD too small. Nor does a rank say by how much.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"
#include "results/figure.h"
#include "stats/friedman.h"

#define TITLE 0.28
#define HEAD 0.62    /* above the axis: what the panel is, the critical difference, numbers of the ranks */
#define BAR 0.065    /* between bars of arms that stand together */
#define LABEL 0.155  /* between names */
#define GAP 0.16     /* below a panel */
#define AXIS_LEFT 2.0
#define AXIS_WIDTH 3.2
#define PAGE_HEIGHT 10.5

enum { FEWEST_ARMS = 3 };

typedef struct rank_panel {
    const gyre_field *field;
    const char *reason;   /* why there are no ranks; NULL */
    double *rank;         /* of each arm of the field; kept by the table */
    size_t *order;        /* places of the arms by rank; kept by the table */
    size_t *bar_end, *bar_level, n_levels; /* [arm in order]: last arm of the bar that begins there, its own place where none does; kept by the table */
    size_t n_seeds, n_units, page;
    double cd;
    bool shown;
} rank_panel;

typedef struct rank_figure {
    gyre_figure_book *book;
    size_t source, n, pages, left_out;
    rank_panel *panels;
} rank_figure;

/* ---- numbers ---- */

/* x[unit][arm], units seed by seed: means over layers and heads, of logarithms where every mean of the field is geometric. */
static gyre_status fill_values(gyre_table *table, const rank_panel *p, bool geometric, double *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_field *f = p->field;
    for (size_t a = 0; a < f->n_arms; a++) {
        gyre_arm_units u;
        GYRE_TRY(gyre_arm_units_get(table, f->source, f->arms[a]->arm, f->arms[a]->point, f->metric, geometric, &u, err));
        for (size_t i = 0; i < p->n_units; i++) {
            size_t seed = u.seeded ? i / u.n_documents : 0, document = i % u.n_documents;
            double sum = 0.0;
            for (size_t l = 0; l < u.n_layers; l++)
                sum += u.values[(l * u.n_seeds + seed) * u.n_documents + document];
            x[i * f->n_arms + a] = sum / (double)u.n_layers;
        }
    }
done:
    return st;
}

static void sort_arms(rank_panel *p)
{
    for (size_t i = 0; i < p->field->n_arms; i++) {
        size_t k = i;
        for (; k > 0 && p->rank[p->order[k - 1]] > p->rank[i]; k--)
            p->order[k] = p->order[k - 1];
        p->order[k] = i;
    }
}

/* The largest groups of neighbours whose ranks differ by less than CD, each on the lowest level where it touches no other. */
static void find_bars(rank_panel *p)
{
    size_t k = p->field->n_arms, reached = 0;
    for (size_t i = 0; i < k; i++) {
        size_t end = i;
        while (end + 1 < k && p->rank[p->order[end + 1]] - p->rank[p->order[i]] < p->cd)
            end++;
        p->bar_end[i] = end > i && (i == 0 || end > reached) ? end : i;
        reached = end > reached ? end : reached;
        if (p->bar_end[i] == i)
            continue;
        size_t level = 0;
        for (bool taken = true; taken; level += taken) {
            taken = false;
            for (size_t b = 0; b < i; b++)
                taken = taken || (p->bar_end[b] > b && p->bar_end[b] >= i && p->bar_level[b] == level);
        }
        p->bar_level[i] = level;
        p->n_levels = level + 1 > p->n_levels ? level + 1 : p->n_levels;
    }
}

static gyre_status rank_arms(gyre_figure_book *book, rank_panel *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_field *f = p->field;
    double *x = NULL;
    bool geometric = true;
    gyre_friedman_result unused;
    p->reason = f->n_arms < FEWEST_ARMS ? "there are fewer than 3 arms" : NULL;
    if (p->reason != NULL)
        goto done;
    p->n_seeds = 1;
    for (size_t a = 0; a < f->n_arms; a++) {
        geometric = geometric && f->arms[a]->geometric;
        p->n_seeds = f->arms[a]->seeded && f->arms[a]->n_seeds > p->n_seeds ? f->arms[a]->n_seeds : p->n_seeds;
    }
    p->n_units = p->n_seeds * f->arms[0]->n_documents;
    GYRE_NEW(&x, p->n_units * f->n_arms);
    GYRE_TRY(gyre_table_keep(book->table, f->n_arms, sizeof *p->rank, &p->rank, err));
    GYRE_TRY(gyre_table_keep(book->table, f->n_arms, sizeof *p->order, &p->order, err));
    GYRE_TRY(gyre_table_keep(book->table, f->n_arms, sizeof *p->bar_end, &p->bar_end, err));
    GYRE_TRY(gyre_table_keep(book->table, f->n_arms, sizeof *p->bar_level, &p->bar_level, err));
    GYRE_TRY(fill_values(book->table, p, geometric, x, err));
    gyre_status ranked = gyre_friedman(x, p->n_units, f->n_arms, p->rank, &unused, err);
    if (ranked == GYRE_E_APPLICABLE) {
        p->reason = p->n_units < 2 ? "there is one unit" : "all arms are equal in every unit";
        goto done;
    }
    GYRE_TRY(ranked);
    GYRE_TRY(gyre_nemenyi_difference(p->n_units, f->n_arms, GYRE_FIGURE_ALPHA, &p->cd, err));
    sort_arms(p);
    find_bars(p);
done:
    free(x);
    return st;
}

/* Names on one side: those of the better half, then the others. */
static size_t left_names(const rank_panel *p)
{
    return (p->field->n_arms + 1) / 2;
}

static double panel_height(const rank_panel *p)
{
    return HEAD + 0.1 + BAR * (double)p->n_levels + LABEL * (double)left_names(p) + GAP;
}

static gyre_status list_panels(rank_figure *g, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_field *fields = NULL;
    double height = 0.0;
    size_t page = 0;
    GYRE_TRY(gyre_fields_get(g->book, g->source, &fields, &g->n, err));
    GYRE_NEW(&g->panels, g->n);
    for (size_t i = 0; i < g->n; i++) {
        rank_panel *p = &g->panels[i];
        p->field = &fields[i];
        GYRE_TRY(rank_arms(g->book, p, err));
        if (p->reason != NULL)
            continue;
        if (height > 0.0 && height + panel_height(p) > PAGE_HEIGHT) {
            height = 0.0;
            page++;
        }
        height += panel_height(p);
        p->page = page;
        p->shown = page < (fields[0].compared ? GYRE_PAGES_COMPARED : GYRE_PAGES_CHOSEN);
        g->left_out += !p->shown;
        if (p->shown)
            g->pages = page + 1;
    }
done:
    return st;
}

/* ---- one panel ---- */

static double at_rank(const rank_panel *p, double rank)
{
    return AXIS_LEFT + AXIS_WIDTH * (rank - 1.0) / (double)(p->field->n_arms - 1);
}

static void draw_axis(gyre_page *page, const rank_panel *p, double y)
{
    char text[96];
    size_t k = p->field->n_arms, stride = (size_t)fmax(1.0, ceil(0.18 * (double)(k - 1) / AXIS_WIDTH));
    gyre_draw_line(page, AXIS_LEFT, y, AXIS_LEFT + AXIS_WIDTH, y, 1.0, GYRE_INK);
    for (size_t i = 0; i < k; i++) {
        double x = at_rank(p, (double)(i + 1));
        gyre_draw_line(page, x, y - (i % stride == 0 ? 0.05 : 0.03), x, y, 0.8, GYRE_INK);
        (void)snprintf(text, sizeof text, "%zu", i + 1);
        if (i % stride == 0)
            gyre_draw_text(page, x, y - 0.11, GYRE_CENTRE, 6.0, GYRE_INK, text);
    }
    (void)snprintf(text, sizeof text, "CD = %.3g", p->cd);
    bool longer = 1.0 + p->cd > (double)k; /* than the axis: the bar has no end */
    double end = longer ? AXIS_LEFT + AXIS_WIDTH : at_rank(p, 1.0 + p->cd);
    gyre_draw_line(page, AXIS_LEFT, y - 0.24, end, y - 0.24, 1.6, GYRE_GREY);
    gyre_draw_line(page, AXIS_LEFT, y - 0.27, AXIS_LEFT, y - 0.21, 0.8, GYRE_GREY);
    if (!longer)
        gyre_draw_line(page, end, y - 0.27, end, y - 0.21, 0.8, GYRE_GREY);
    gyre_draw_text(page, AXIS_LEFT - 0.06, y - 0.24, GYRE_RIGHT, 6.0, GYRE_GREY, text);
}

static void draw_names(gyre_page *page, const gyre_figure_book *book, const rank_panel *p, double y, double top)
{
    size_t k = p->field->n_arms, left = left_names(p);
    for (size_t i = 0; i < k; i++) {
        bool on_left = i < left;
        size_t arm = p->order[i], level = on_left ? i : k - 1 - i;
        double x = at_rank(p, p->rank[arm]), at = top + ((double)level + 0.5) * LABEL, end = on_left ? AXIS_LEFT - 0.1 : AXIS_LEFT + AXIS_WIDTH + 0.1;
        char text[2 * GYRE_LINE_TEXT], number[32], fitted[GYRE_LINE_TEXT];
        const char *name = p->field->arms[arm]->arm, *colour = gyre_style_of(book, name).colour;
        (void)snprintf(number, sizeof number, "%.2f", p->rank[arm]);
        double room = (on_left ? end - GYRE_FIGURE_MARGIN : GYRE_FIGURE_WIDTH - GYRE_FIGURE_MARGIN - end) - 0.1 - gyre_text_width(number, 6.0);
        gyre_text_fit(name, 6.0, room - 0.1, fitted);
        (void)snprintf(text, sizeof text, "%s  %s", on_left ? fitted : number, on_left ? number : fitted);
        gyre_draw_line(page, x, y, x, at, 0.8, colour);
        gyre_draw_line(page, x, at, end, at, 0.8, colour);
        gyre_draw_text(page, on_left ? end - 0.04 : end + 0.04, at, on_left ? GYRE_RIGHT : GYRE_LEFT, 6.0, GYRE_INK, text);
    }
}

static void draw_panel(const rank_figure *g, gyre_page *page, const rank_panel *p, double top)
{
    const gyre_table *t = g->book->table;
    const char *unit = gyre_unit_word(&t->sources[g->source]);
    char metric[256], point[GYRE_LINE_TEXT], text[3 * GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    double y = top + HEAD;
    gyre_metric_label(t, p->field->metric, metric, sizeof metric);
    gyre_point_label(p->field->point, point);
    (void)snprintf(text, sizeof text, "%s%s%s \xC2\xB7 %zu arms of %s \xC2\xB7 n = %zu units (%zu seed%s \xC3\x97 %zu %ss)", metric, point[0] != '\0' ? " \xC2\xB7 " : "", point, p->field->n_arms,
                   p->field->streams, p->n_units, p->n_seeds, p->n_seeds == 1 ? "" : "s", p->field->arms[0]->n_documents, unit);
    gyre_text_fit(text, 6.5, GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, fitted);
    gyre_draw_text(page, GYRE_FIGURE_MARGIN, top + 0.14, GYRE_LEFT, 6.5, GYRE_INK, fitted);
    draw_axis(page, p, y);
    draw_names(page, g->book, p, y, y + 0.1 + BAR * (double)p->n_levels);
    for (size_t i = 0; i < p->field->n_arms; i++)
        if (p->bar_end[i] > i) {
            double at = y + 0.06 + BAR * (double)p->bar_level[i];
            gyre_draw_line(page, at_rank(p, p->rank[p->order[i]]) - 0.03, at, at_rank(p, p->rank[p->order[p->bar_end[i]]]) + 0.03, at, 3.0, "#333333");
        }
}

/* ---- pages ---- */

static void write_csv(const rank_figure *g, FILE *f, size_t number)
{
    const gyre_table *t = g->book->table;
    (void)fputs("source,leak,metric,point,streams,arm,mean_rank,n_arms,n_units,n_seeds,n_documents,alpha,critical_difference,reason\n", f);
    for (size_t i = 0; i < g->n; i++) {
        const rank_panel *p = &g->panels[i];
        bool here = p->shown && p->page == number, last = !p->shown && number + 1 == g->pages;
        for (size_t a = 0; (here && a < p->field->n_arms) || (last && a < 1); a++) {
            const char *arm = here ? p->field->arms[a]->arm : "";
            const char *const texts[] = { t->sources[g->source].name, gyre_csv_leak(t, g->source, arm, NULL), t->metrics[p->field->metric], p->field->point, p->field->streams, arm };
            for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
                gyre_csv_text(f, texts[k], ',');
            gyre_csv_real(f, here ? p->rank[a] : (double)NAN, ',');
            (void)fprintf(f, "%zu,%zu,%zu,%zu,", p->field->n_arms, p->n_units, p->n_seeds, p->field->n_arms > 0 ? p->field->arms[0]->n_documents : 0);
            gyre_csv_real(f, GYRE_FIGURE_ALPHA, ',');
            gyre_csv_real(f, p->reason == NULL ? p->cd : (double)NAN, ',');
            gyre_csv_text(f, here ? "" : p->reason != NULL ? p->reason : "left out of the picture: beyond the last page", '\n');
        }
    }
}

static gyre_status draw_page(const rank_figure *g, size_t number, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    char what[1024];
    double height = TITLE, y = TITLE;
    for (size_t i = 0; i < g->n; i++)
        if (g->panels[i].shown && g->panels[i].page == number)
            height += panel_height(&g->panels[i]);
    int n = snprintf(what, sizeof what, "Mean rank of each arm among those that code the same streams at the same point; 1: least error. A bar joins arms whose ranks differ by less than CD, the critical "
                                        "difference of Nemenyi at %.2g (Dem\xC5\xA1" "ar 2006). DESCRIPTIVE: units that share a %s or a seed depend on each other, so CD is too small; ranks do not say by how much.",
                     GYRE_FIGURE_ALPHA, gyre_unit_word(&g->book->table->sources[g->source]));
    if (n > 0 && (size_t)n < sizeof what && g->left_out > 0)
        (void)snprintf(what + n, sizeof what - (size_t)n, " %zu of %zu panels are left out for want of room: see the CSV file.", g->left_out, g->n);
    GYRE_TRY(gyre_source_page_new(g->book, &gyre_figure_ranks, g->source, height, 0.0, what, &page, err));
    for (size_t i = 0; i < g->n; i++)
        if (g->panels[i].shown && g->panels[i].page == number) {
            draw_panel(g, page, &g->panels[i], y);
            y += panel_height(&g->panels[i]);
        }
    gyre_draw_now(page);
    write_csv(g, page->csv, number);
    GYRE_TRY(gyre_page_close(page, err));
done:
    return st;
}

static gyre_status draw_source(gyre_figure_book *book, size_t source, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    rank_figure g = { .book = book, .source = source };
    GYRE_TRY(list_panels(&g, err));
    for (size_t page = 0; page < g.pages; page++)
        GYRE_TRY(draw_page(&g, page, err));
done:
    free(g.panels);
    return st;
}

const gyre_figure_type gyre_figure_ranks = {
    .name = "ranks",
    .summary = "mean ranks of the arms, with the critical difference",
    .draw_source = draw_source,
    .title = "Mean ranks",
    .nothing = "no grid point has 3 arms of the same streams and 2 units that tell them apart",
};
