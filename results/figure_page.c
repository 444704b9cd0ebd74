/* Pages and texts of figures (figure.h).
 *
 * Widths are the advance widths of DejaVu Sans (Book) in hundredths of the size; Verdana, which SVG falls back to, has the same proportions.
 *
 * What it is not: exact typesetting. No kerning; characters outside ASCII count as 0.64 of the size.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/figure.h"
#include "results/gnuplot.h"

/* ---- pages ---- */

static bool taken(const gyre_page *pages, const char *name)
{
    for (; pages != NULL; pages = pages->next)
        if (strcmp(pages->name, name) == 0)
            return true;
    return false;
}

/* Letters, digits, '.', '-' and '_' stay; a number is added until no page has the name. */
static gyre_status file_name(const gyre_page *pages, const char *name, char **out, gyre_error *err)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    gyre_status st = GYRE_OK;
    size_t n = strlen(name) < 120 ? strlen(name) : 120;
    GYRE_NEW(out, n + 24);
    memcpy(*out, name, n);
    for (size_t i = 0; i < n; i++)
        if (strchr(safe, (*out)[i]) == NULL)
            (*out)[i] = '_';
    for (unsigned i = 2; taken(pages, *out); i++)
        (void)snprintf(*out + n, 24, "_%u", i);
done:
    return st;
}

gyre_status gyre_page_new(gyre_figure_book *book, const char *name, double height, gyre_page **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page *page = NULL;
    *out = NULL;
    GYRE_NEW(&page, 1);
    page->height = height;
    GYRE_TRY(file_name(book->pages, name, &page->name, err));
    page->plot = open_memstream(&page->script, &page->script_size);
    page->csv = open_memstream(&page->table, &page->table_size);
    if (page->plot == NULL || page->csv == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the figure %s", name);
    (void)fputs("set multiplot\nset tics nomirror out scale 0.5,0.25\nset border 3 lw 0.8 lc rgb '#555555'\nunset key\n"
                "set xtics font '" GYRE_GNUPLOT_FONT ",6.5' offset 0,0.4 tc rgb '" GYRE_INK "'\n"
                "set ytics font '" GYRE_GNUPLOT_FONT ",6.5' offset 0.6,0 tc rgb '" GYRE_INK "'\n", page->plot);
    *book->last = page;
    book->last = &page->next;
    *out = page;
    page = NULL;
done:
    gyre_pages_free(page);
    return st;
}

gyre_status gyre_page_close(gyre_page *page, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)fputs("unset multiplot\n", page->plot);
    bool bad = ferror(page->plot) != 0 || ferror(page->csv) != 0;
    bad = fclose(page->plot) != 0 || bad;
    bad = fclose(page->csv) != 0 || bad;
    page->plot = page->csv = NULL;
    if (bad)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the figure %s", page->name);
done:
    return st;
}

void gyre_pages_free(gyre_page *pages)
{
    for (gyre_page *next; pages != NULL; pages = next) {
        next = pages->next;
        if (pages->plot != NULL)
            (void)fclose(pages->plot);
        if (pages->csv != NULL)
            (void)fclose(pages->csv);
        free(pages->script);
        free(pages->table);
        free(pages->name);
        free(pages);
    }
}

/* ---- texts ---- */

/* Hundredths of the size; the first bytes of other UTF-8 characters count, the rest do not. */
static double advance(char c)
{
    static const unsigned char widths[] = { 32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
                                            64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79,
                                            60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63,
                                            63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84 };
    unsigned char u = (unsigned char)c;
    if (u >= 32 && u - 32u < sizeof widths)
        return widths[u - 32u];
    return (u & 0xC0u) == 0x80u ? 0.0 : 64.0;
}

double gyre_text_width(const char *text, double size)
{
    double sum = 0.0;
    for (; *text != '\0'; text++)
        sum += advance(*text);
    return sum / 100.0 * size / 72.0;
}

void gyre_text_fit(const char *text, double size, double width, char *out)
{
    static const char ellipsis[] = "\xE2\x80\xA6";
    double room = width - size / 72.0, used = 0.0;
    size_t n = 0, fits = 0;
    for (; text[n] != '\0' && n < GYRE_LINE_TEXT - sizeof ellipsis; n++) {
        used += advance(text[n]) / 100.0 * size / 72.0;
        if (used <= room && ((unsigned char)text[n + 1] & 0xC0u) != 0x80u)
            fits = n + 1;
    }
    bool whole = text[n] == '\0' && used <= width;
    memcpy(out, text, whole ? n : fits);
    memcpy(out + (whole ? n : fits), whole ? "" : ellipsis, whole ? 1 : sizeof ellipsis);
}

/* A literal of gnuplot: nothing inside single quotes is special but the quote itself and the end of the line. */
static void quote(FILE *f, const char *text)
{
    (void)fputc('\'', f);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            (void)fputc('\'', f);
        (void)fputc((unsigned char)*text < 32 ? ' ' : *text, f);
    }
    (void)fputc('\'', f);
}

void gyre_draw_text(gyre_page *page, double x, double y, gyre_align align, double size, const char *colour, const char *text)
{
    static const char *const names[] = { "left", "center", "right", "center rotate by 90" };
    (void)fputs("set label ", page->plot);
    quote(page->plot, text);
    (void)fprintf(page->plot, " at screen %.6f,%.6f %s font '" GYRE_GNUPLOT_FONT ",%.3g' tc rgb '%s' front\n", x / GYRE_FIGURE_WIDTH,
                  1.0 - y / page->height, names[align], size, colour);
}

static double screen_x(double x)
{
    return x / GYRE_FIGURE_WIDTH;
}

static double screen_y(const gyre_page *page, double y)
{
    return 1.0 - y / page->height;
}

void gyre_draw_box(gyre_page *page, double x0, double x1, double y0, double y1, const char *colour)
{
    (void)fprintf(page->plot, "set object rectangle from screen %.6f,%.6f to screen %.6f,%.6f fc rgb '%s' fs solid noborder behind\n", screen_x(x0),
                  screen_y(page, y1), screen_x(x1), screen_y(page, y0), colour);
}

void gyre_draw_line(gyre_page *page, double x0, double y0, double x1, double y1, double width, const char *colour)
{
    (void)fprintf(page->plot, "set arrow from screen %.6f,%.6f to screen %.6f,%.6f nohead lw %.3g lc rgb '%s' front\n", screen_x(x0), screen_y(page, y0), screen_x(x1),
                  screen_y(page, y1), width, colour);
}

void gyre_draw_mark(gyre_page *page, double x, double y, int type, double size, const char *colour)
{
    (void)fprintf(page->plot, "set label '' at screen %.6f,%.6f point pt %d ps PS*%.3g lw 1 lc rgb '%s' front\n", screen_x(x), screen_y(page, y), type, size, colour);
}

const char *gyre_csv_leak(const gyre_table *table, size_t source, const char *arm, const char *point)
{
    return table->sources[source].leak || gyre_arm_leaks(table, source, arm, point) ? "deliberate" : "none";
}

void gyre_csv_text(FILE *csv, const char *text, char end)
{
    bool plain = strpbrk(text, ",\"\r\n") == NULL;
    if (!plain)
        (void)fputc('"', csv);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            (void)fputc('"', csv);
        (void)fputc(*text, csv);
    }
    if (!plain)
        (void)fputc('"', csv);
    (void)fputc(end, csv);
}

void gyre_csv_real(FILE *csv, double value, char end)
{
    if (isfinite(value))
        (void)fprintf(csv, "%.17g", value);
    (void)fputc(end, csv);
}

/* ---- panels ---- */

void gyre_panel_place(gyre_page *page, const gyre_panel *p)
{
    (void)fprintf(page->plot, "set lmargin at screen %.6f\nset rmargin at screen %.6f\nset tmargin at screen %.6f\nset bmargin at screen %.6f\n",
                  p->x / GYRE_FIGURE_WIDTH, (p->x + p->w) / GYRE_FIGURE_WIDTH, 1.0 - p->y / page->height, 1.0 - (p->y + p->h) / page->height);
}

void gyre_panel_done(gyre_page *page)
{
    (void)fputs("unset label\nunset arrow\nunset object\n", page->plot);
}

void gyre_draw_now(gyre_page *page)
{
    const gyre_panel whole = { 0.0, 0.0, GYRE_FIGURE_WIDTH, page->height };
    gyre_panel_place(page, &whole);
    (void)fputs("set xrange [0:1]\nset yrange [0:1]\nunset logscale\nunset border\nunset tics\nunset grid\nplot NaN notitle\n", page->plot);
    gyre_panel_done(page);
}
