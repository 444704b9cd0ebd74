/* The report's section on fits: what calibration found, in absolute numbers, so that the error of calibration rows stands beside that of validation rows.
 *
 * One line for each arm and grid point that learned or drew, by source and stream. Objectives are means over the fits of the line (layers, heads that learn apart, seeds), on all calibration
 * rows and on all validation rows: at the start, at what was kept, and the ratio of the two means.
 *
 * What it is not: a comparison of arms. Objectives of different kinds do not compare; the error on evaluation documents does, and it is in the table of arms.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/report_parts.h"

enum { CALIBRATION = 0, VALIDATION = 1, OBJECTIVE_TEXT = 64, KEPT_TEXT = 128 };

/* Sums over the fits of an arm at a point, of one source and stream. */
typedef struct line {
    const char *arm, *point, *codec; /* its canonical text: the objective, and how much was asked for */
    bool draws;
    size_t n_fits, n_parameters, freedom, at_start;
    size_t n[2]; /* fits that have a value there */
    double start[2], end[2];
    uint32_t *kept; /* [n_fits]: steps, or draws counted from 1 */
} line;

typedef struct section {
    const gyre_table *table;
    size_t source;
    gyre_stream stream;
    line *lines;
    size_t n_lines;
} section;

static bool belongs(const section *s, const gyre_cell *c, const gyre_fit *fit)
{
    return c->source == s->source && fit->stream == s->stream;
}

static line *line_of(section *s, const gyre_cell *c)
{
    size_t i = 0;
    while (i < s->n_lines && !(strcmp(s->lines[i].arm, c->arm) == 0 && strcmp(s->lines[i].point, c->point) == 0))
        i++;
    if (i == s->n_lines)
        s->lines[s->n_lines++] = (line){.arm = c->arm, .point = c->point, .codec = s->stream == GYRE_K ? c->codec_k : c->codec_v};
    return &s->lines[i];
}

static void add_fit(line *l, const gyre_fit *fit)
{
    l->draws = fit->n_parameters == 0;
    l->n_parameters = fit->n_parameters;
    l->freedom = fit->freedom;
    l->at_start += !l->draws && fit->step == 0;
    for (int k = 0; k < 2; k++) {
        if (!isfinite(fit->start[k]) || !isfinite(fit->end[k]))
            continue;
        l->start[k] += fit->start[k];
        l->end[k] += fit->end[k];
        l->n[k]++;
    }
    l->kept[l->n_fits++] = l->draws ? fit->draw + 1 : fit->step;
}

static gyre_status find_lines(section *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = s->table;
    size_t most = 0;
    for (size_t i = 0; i < t->n_cells; i++)
        most += t->cells[i].n_fits;
    GYRE_NEW(&s->lines, most);
    for (size_t pass = 0; pass < 2; pass++) { /* counts the fits of a line, then adds them */
        for (size_t i = 0; i < t->n_cells; i++)
            for (size_t k = 0; k < t->cells[i].n_fits; k++) {
                const gyre_fit *fit = &t->cells[i].fits[k];
                if (belongs(s, &t->cells[i], fit) && pass == 0)
                    line_of(s, &t->cells[i])->n_fits++;
                else if (belongs(s, &t->cells[i], fit))
                    add_fit(line_of(s, &t->cells[i]), fit);
            }
        for (size_t i = 0; i < s->n_lines && pass == 0; i++) {
            GYRE_NEW(&s->lines[i].kept, s->lines[i].n_fits);
            s->lines[i].n_fits = 0;
        }
    }
done:
    return st;
}

/* ---- texts ---- */

/* "mse", "pnorm(p=8)": what a codec's text says behind ";fit=objective=". */
static void objective_of(const char *codec, char text[OBJECTIVE_TEXT])
{
    static const char before[] = ";fit=objective=";
    const char *at = strstr(codec, before);
    text[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(before);
    size_t n = strcspn(at, "("), end = strcspn(at, ")");
    bool options = at[n] == '(' && end > n + 1;
    (void)snprintf(text, OBJECTIVE_TEXT, "%.*s", (int)(options ? end + 1 : n), at);
}

/* How many steps or draws the fit was given; 0 where the text does not say. */
static unsigned long asked_for(const char *codec, bool draws)
{
    const char *fit = strstr(codec, ";fit="), *key = draws ? ",draws=" : ",steps=", *at = fit != NULL ? strstr(fit, key) : NULL;
    return at == NULL ? 0 : strtoul(at + strlen(key), NULL, 10);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double median(uint32_t *x, size_t n)
{
    qsort(x, n, sizeof *x, by_size);
    return n % 2 == 1 ? x[n / 2] : 0.5 * ((double)x[n / 2 - 1] + (double)x[n / 2]);
}

/* ---- the section ---- */

static const gyre_sheet_column columns[] = {
    {.name = "source", .where = GYRE_SHEET_DATA},
    {.name = "stream", .where = GYRE_SHEET_DATA},
    {.name = "arm"},
    {.name = "point"},
    {.name = "objective"},
    {.name = "fits", .kind = GYRE_SHEET_COUNT},
    {.name = "params", .kind = GYRE_SHEET_COUNT},
    {.name = "freedom", .kind = GYRE_SHEET_COUNT},
    {.name = "calibration rows", .kind = GYRE_SHEET_CHANGE},
    {.name = "validation rows", .kind = GYRE_SHEET_CHANGE},
    {.name = "kept", .where = GYRE_SHEET_PRINTED},
    {.name = "draws", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "kept median", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "asked for", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "kept the start", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "mark"},
};

static void add_change(const line *l, int k, gyre_sheet *s)
{
    double n = (double)l->n[k];
    gyre_sheet_pair(s, l->n[k] > 0 ? l->start[k] / n : (double)NAN, l->n[k] > 0 ? l->end[k] / n : (double)NAN);
}

/* "step 12 of 300 (1 kept the start)" */
static void kept_text(const line *l, double middle, unsigned long asked, char *text, size_t size)
{
    char of[32] = "", start[48] = "";
    if (asked > 0)
        (void)snprintf(of, sizeof of, " of %lu", asked);
    if (l->at_start > 0)
        (void)snprintf(start, sizeof start, " (%zu kept the start)", l->at_start);
    (void)snprintf(text, size, "%s %g%s%s", l->draws ? "draw" : "step", middle, of, start);
}

static void add_line(const section *q, const line *l, gyre_sheet *s)
{
    char objective[OBJECTIVE_TEXT], kept[KEPT_TEXT];
    unsigned long asked = asked_for(l->codec, l->draws);
    double middle = median(l->kept, l->n_fits);
    objective_of(l->codec, objective);
    kept_text(l, middle, asked, kept, sizeof kept);
    gyre_sheet_word(s, q->table->sources[q->source].name);
    gyre_sheet_word(s, q->stream == GYRE_K ? "k" : "v");
    gyre_sheet_word(s, l->arm);
    gyre_sheet_word(s, l->point);
    gyre_sheet_word(s, objective);
    gyre_sheet_number(s, (double)l->n_fits);
    gyre_sheet_number(s, l->draws ? (double)NAN : (double)l->n_parameters);
    gyre_sheet_number(s, l->draws ? (double)NAN : (double)l->freedom);
    add_change(l, CALIBRATION, s);
    add_change(l, VALIDATION, s);
    gyre_sheet_word(s, kept);
    gyre_sheet_number(s, l->draws);
    gyre_sheet_number(s, middle);
    gyre_sheet_number(s, asked > 0 ? (double)asked : (double)NAN);
    gyre_sheet_number(s, (double)l->at_start);
    gyre_sheet_word(s, gyre_arm_leaks(q->table, q->source, l->arm, l->point) ? "LEAK: both are evaluation rows" : "");
}

static gyre_status table_of(const section *q, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "fits", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "%s%s, fits of %s", q->table->sources[q->source].name, gyre_report_leak(q->table, q->source), q->stream == GYRE_K ? "K" : "V");
    for (size_t i = 0; i < q->n_lines; i++)
        add_line(q, &q->lines[i], s);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

gyre_status gyre_report_fits(const gyre_table *t, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool any = false;
    for (size_t i = 0; i < t->n_cells; i++)
        any = any || t->cells[i].n_fits > 0;
    if (!any)
        return GYRE_OK;
    gyre_book_words(book, "Fits: objective at the start -> of what was kept, means over layers, heads and seeds; params: found by each fit; kept: the median step");
    gyre_book_line(book, "calibration rows move the parameters, validation rows choose the step (keep: best); of draws, calibration rows choose");
    for (size_t i = 0; i < 2 * t->n_sources && st == GYRE_OK; i++) {
        section s = {.table = t, .source = i / 2, .stream = i % 2 == 0 ? GYRE_K : GYRE_V};
        st = find_lines(&s, err);
        if (st == GYRE_OK)
            st = table_of(&s, book, err);
        for (size_t k = 0; k < s.n_lines; k++)
            free(s.lines[k].kept);
        free(s.lines);
    }
    return st;
}
