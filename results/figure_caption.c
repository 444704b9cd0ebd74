/* What says what a figure shows (figure.h): the styles of arms, legends and captions.
 *
 * Palette: Okabe and Ito, "Color Universal Design" (2008). Markers are gnuplot's point types 6, 4, 8, 12, 10, 14 (open circle, square, triangles, diamond,
 * pentagon) and 2 (cross), so that markers that lie on each other stay visible.
 *
 * What it is not: a place for results. The caption says where the numbers come from, and what to be careful about.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"

/* ---- arms ---- */

gyre_status gyre_styles_prepare(gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&book->arms, book->n_summaries);
    for (size_t i = 0; i < book->n_summaries; i++) {
        size_t k = 0;
        while (k < book->n_arms && strcmp(book->arms[k], book->summaries[i].arm) != 0)
            k++;
        if (k == book->n_arms)
            book->arms[book->n_arms++] = book->summaries[i].arm;
    }
done:
    return st;
}

gyre_arm_style gyre_style_of(const gyre_figure_book *book, const char *arm)
{
    static const char *const colours[] = { "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#808080" };
    static const int markers[] = { 6, 4, 8, 12, 10, 14, 2 };
    size_t place = 0;
    while (place < book->n_arms && strcmp(book->arms[place], arm) != 0)
        place++;
    return (gyre_arm_style){ colours[place % 8], markers[place % 7] };
}

void gyre_point_label(const char *point, char *out)
{
    static const char *const named[] = { "quantizer=", "chain=" };
    size_t n = 0;
    for (const char *p = point; *p != '\0';) {
        for (size_t k = 0; k < sizeof named / sizeof *named; k++)
            if (strncmp(p, named[k], strlen(named[k])) == 0)
                p += strlen(named[k]);
        for (bool more = true; more && *p != '\0'; p++) {
            more = *p != ',';
            if (n < GYRE_LINE_TEXT - 1)
                out[n++] = *p;
        }
    }
    out[n] = '\0';
}

void gyre_draw_sample(gyre_page *page, double x, double y, gyre_arm_style style, double size, bool line)
{
    double left = (x - 0.5 * GYRE_SAMPLE_WIDTH) / GYRE_FIGURE_WIDTH, right = (x + 0.5 * GYRE_SAMPLE_WIDTH) / GYRE_FIGURE_WIDTH, v = 1.0 - y / page->height;
    if (line)
        (void)fprintf(page->plot, "set arrow from screen %.6f,%.6f to screen %.6f,%.6f nohead lw 1.2 lc rgb '%s'\n", left, v, right, v, style.colour);
    (void)fprintf(page->plot, "set label '' at screen %.6f,%.6f point pt %d ps PS*%.3g lw 1.3 lc rgb '%s'\n", x / GYRE_FIGURE_WIDTH, v, style.marker, size, style.colour);
}

size_t gyre_draw_legend(gyre_page *page, const gyre_figure_book *book, double x, double y, double width, const char *const *arms, size_t n)
{
    enum { SIZE = 7 };
    const double sample = 0.3, gap = 0.16;
    double at = x;
    size_t lines = 1;
    for (size_t i = 0; i < n; i++) {
        char name[GYRE_LINE_TEXT];
        gyre_text_fit(arms[i], SIZE, width - sample, name);
        double w = sample + gyre_text_width(name, SIZE);
        if (at > x && at + w > x + width) {
            at = x;
            lines++;
        }
        double middle = y + (double)(lines - 1) * GYRE_LEGEND_LINE;
        if (page != NULL) {
            gyre_draw_sample(page, at + 0.5 * GYRE_SAMPLE_WIDTH, middle, gyre_style_of(book, arms[i]), 0.7, true);
            gyre_draw_text(page, at + sample, middle, GYRE_LEFT, SIZE, GYRE_INK, name);
        }
        at += w + gap;
    }
    return lines;
}

void gyre_metric_label(const gyre_table *table, size_t metric, char *out, size_t size)
{
    const char *unit = table->metric_units[metric];
    bool has = unit[0] != '\0' && strcmp(unit, "1") != 0;
    (void)snprintf(out, size, "%s%s%s%s", table->metrics[metric], has ? " (" : "", has ? unit : "", has ? ")" : "");
}

/* ---- caption ---- */

#define CAPTION_SIZE 6.0
#define CAPTION_LINE 0.115
#define CAPTION_GAP 0.12

/* Bytes of the longest beginning of text that fits and ends before a space or at the end; of whole characters where a word is wider than the page. */
static size_t line_length(const char *text)
{
    const double width = GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN;
    char line[GYRE_LINE_TEXT];
    size_t at_space = 0, fits = 0;
    for (size_t n = 1; n < sizeof line; n++) {
        if (((unsigned char)text[n] & 0xC0u) == 0x80u)
            continue;
        memcpy(line, text, n);
        line[n] = '\0';
        if (gyre_text_width(line, CAPTION_SIZE) > width)
            break;
        fits = n;
        if (text[n] == ' ' || text[n] == '\0')
            at_space = n;
        if (text[n] == '\0')
            break;
    }
    return at_space > 0 ? at_space : fits > 0 ? fits : 1;
}

/* Breaks text into lines; draws them where page is not NULL. Returns their number. */
static size_t paragraph(gyre_page *page, double y, const char *colour, const char *text)
{
    size_t lines = 0;
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        char line[GYRE_LINE_TEXT];
        size_t n = line_length(text);
        memcpy(line, text, n);
        line[n] = '\0';
        if (page != NULL)
            gyre_draw_text(page, GYRE_FIGURE_MARGIN, y + (double)lines * CAPTION_LINE, GYRE_LEFT, CAPTION_SIZE, colour, line);
        lines++;
        text += n;
    }
    return lines;
}

/* "16 documents", "40 chunks", or each source with its own number. */
static void print_documents(FILE *f, const gyre_table *t)
{
    bool alike = true;
    for (size_t i = 1; i < t->n_sources; i++)
        alike = alike && gyre_n_units(&t->sources[i]) == gyre_n_units(&t->sources[0]) && strcmp(gyre_unit_word(&t->sources[i]), gyre_unit_word(&t->sources[0])) == 0;
    if (alike && t->n_sources > 0)
        (void)fprintf(f, "n = %zu %s%s%s", gyre_n_units(&t->sources[0]), gyre_unit_word(&t->sources[0]), gyre_n_units(&t->sources[0]) == 1 ? "" : "s", t->n_sources > 1 ? " per source" : "");
    for (size_t i = 0; i < t->n_sources && !alike; i++)
        (void)fprintf(f, "%s%zu %ss of %s", i == 0 ? "n = " : ", ", gyre_n_units(&t->sources[i]), gyre_unit_word(&t->sources[i]), t->sources[i].name);
}

static void print_facts(FILE *f, const gyre_figure_book *book)
{
    const gyre_table *t = book->table;
    (void)fprintf(f, "%s \xC2\xB7 results %.12s \xC2\xB7 ", t->experiment, book->digest);
    print_documents(f, t);
    (void)fprintf(f, ", %u sign seed%s where seeded \xC2\xB7 gyre %s", t->n_seeds, t->n_seeds == 1 ? "" : "s", book->provenance->build_id);
}

/* Names the arms of a source that were fitted to evaluation documents. */
static void print_leaking_arms(FILE *f, const gyre_figure_book *book, size_t source)
{
    enum { NAMED = 8 };
    size_t n = 0;
    for (size_t i = 0; i < book->n_arms; i++) {
        if (!gyre_arm_leaks(book->table, source, book->arms[i], NULL))
            continue;
        if (n == 0)
            (void)fprintf(f, "LEAK: fitted to evaluation documents of %s, deliberately: ", book->table->sources[source].name);
        if (n++ < NAMED)
            (void)fprintf(f, "%s%s", n > 1 ? ", " : "", book->arms[i]);
    }
    if (n > NAMED)
        (void)fprintf(f, " and %zu more", n - NAMED);
    if (n > 0)
        (void)fputs(". ", f);
}

/* Names the comparisons that no registered plan has. */
static void print_exploratory(FILE *f, const gyre_table *t)
{
    enum { NAMED = 4 };
    size_t n = 0, all = 0;
    for (size_t i = 0; i < t->n_comparisons; i++)
        all += t->comparisons[i].exploratory;
    if (all > 0)
        (void)fprintf(f, "EXPLORATORY: %zu of %zu comparisons %s not in the plan that was registered before data were read: ", all, t->n_comparisons, all == 1 ? "is" : "are");
    for (size_t i = 0; i < t->n_comparisons && n < NAMED; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        if (c->exploratory)
            (void)fprintf(f, "%s%s against %s (%s%s%s)", n++ > 0 ? ", " : "", c->arm, c->against, c->metric, c->point[0] != '\0' ? ", " : "", c->point);
    }
    if (all > 0)
        (void)fprintf(f, "%s", all > n ? ", ... " : ". ");
}

static void print_marks(FILE *f, const gyre_figure_book *book)
{
    for (size_t i = 0; i < book->table->n_canaries; i++)
        if (strcmp(book->table->canaries[i].status, "FAIL") == 0)
            (void)fprintf(f, "CANARY FAILED: %s. ", book->table->canaries[i].name);
    if (book->provenance->git_dirty)
        (void)fputs("DIRTY BUILD: made by a program built from a changed source tree. ", f);
    for (size_t i = 0; i < book->table->n_sources; i++)
        if (book->table->sources[i].descriptive)
            (void)fprintf(f, "DESCRIPTIVE: %s has too few chunks for verdicts. ", book->table->sources[i].name);
    for (size_t i = 0; i < book->table->n_sources; i++)
        if (book->table->sources[i].leak)
            (void)fprintf(f, "LEAK: calibration saw evaluation documents of %s, deliberately. ", book->table->sources[i].name);
    for (size_t i = 0; i < book->table->n_sources; i++)
        print_leaking_arms(f, book, i);
    print_exploratory(f, book->table);
}

static gyre_status to_text(void (*print)(FILE *, const gyre_figure_book *), const gyre_figure_book *book, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = 0;
    FILE *f = open_memstream(out, &size);
    if (f == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
    print(f, book);
    if (fclose(f) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a caption");
done:
    return st;
}

gyre_status gyre_caption_prepare(gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(to_text(print_facts, book, &book->facts, err));
    GYRE_TRY(to_text(print_marks, book, &book->marks, err));
done:
    return st;
}

static size_t caption(gyre_page *page, const gyre_figure_book *book, const char *what, double top)
{
    size_t lines = paragraph(page, top, GYRE_INK, what);
    lines += paragraph(page, top + (double)lines * CAPTION_LINE, GYRE_GREY, book->facts);
    lines += paragraph(page, top + (double)lines * CAPTION_LINE, GYRE_ALARM, book->marks);
    return lines;
}

double gyre_caption_height(const gyre_figure_book *book, const char *what)
{
    return (double)caption(NULL, book, what, 0.0) * CAPTION_LINE + CAPTION_GAP + GYRE_FIGURE_MARGIN;
}

void gyre_draw_caption(gyre_page *page, const gyre_figure_book *book, const char *what)
{
    (void)caption(page, book, what, page->height - gyre_caption_height(book, what) + CAPTION_GAP + 0.5 * CAPTION_LINE);
}

gyre_status gyre_source_page_new(gyre_figure_book *book, const gyre_figure_type *type, size_t source, double body, double room, const char *what, gyre_page **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *of = book->table->sources[source].name;
    char name[256], title[GYRE_LINE_TEXT], fitted[GYRE_LINE_TEXT];
    (void)snprintf(name, sizeof name, "%s_%.200s", type->name, of);
    GYRE_TRY(gyre_page_new(book, name, body + gyre_caption_height(book, what), out, err));
    gyre_draw_caption(*out, book, what);
    (void)snprintf(title, sizeof title, "%s \xC2\xB7 %.400s", type->title, of);
    gyre_text_fit(title, 8.0, room > 0.0 ? room : GYRE_FIGURE_WIDTH - 2.0 * GYRE_FIGURE_MARGIN, fitted);
    gyre_draw_text(*out, GYRE_FIGURE_MARGIN, 0.16, GYRE_LEFT, 8.0, GYRE_INK, fitted);
done:
    return st;
}
