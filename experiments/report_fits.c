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

enum { CALIBRATION = 0, VALIDATION = 1, OBJECTIVE_TEXT = 64, CHANGE_TEXT = 64 };

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

static void change_text(const line *l, int k, char text[CHANGE_TEXT])
{
    double n = (double)l->n[k];
    if (l->n[k] == 0)
        (void)snprintf(text, CHANGE_TEXT, "-");
    else if (l->start[k] > 0.0)
        (void)snprintf(text, CHANGE_TEXT, "%.3g -> %.3g (x%.3g)", l->start[k] / n, l->end[k] / n, l->end[k] / l->start[k]);
    else
        (void)snprintf(text, CHANGE_TEXT, "%.3g -> %.3g", l->start[k] / n, l->end[k] / n);
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

/* ---- printing ---- */

static void print_head(const section *s, int arm, int point, int objective, FILE *out)
{
    (void)fprintf(out, "%s%s, fits of %s\n", s->table->sources[s->source].name, gyre_report_leak(s->table, s->source), s->stream == GYRE_K ? "K" : "V");
    (void)fprintf(out, "  %-*s %-*s %-*s %5s %7s %7s  %-29s %-29s %s\n", arm, "arm", point, "point", objective, "objective", "fits", "params", "freedom", "calibration rows", "validation rows",
                  "kept");
}

static void print_line(const section *s, const line *l, int arm, int point, int objective, FILE *out)
{
    char name[OBJECTIVE_TEXT], calibration[CHANGE_TEXT], validation[CHANGE_TEXT], numbers[24] = "-", freedom[24] = "-";
    unsigned long asked = asked_for(l->codec, l->draws);
    objective_of(l->codec, name);
    change_text(l, CALIBRATION, calibration);
    change_text(l, VALIDATION, validation);
    if (!l->draws) {
        (void)snprintf(numbers, sizeof numbers, "%zu", l->n_parameters);
        (void)snprintf(freedom, sizeof freedom, "%zu", l->freedom);
    }
    (void)fprintf(out, "  %-*s %-*s %-*s %5zu %7s %7s  %-29s %-29s %s%g", arm, l->arm, point, l->point, objective, name, l->n_fits, numbers, freedom, calibration, validation,
                  l->draws ? "draw " : "step ", median(l->kept, l->n_fits));
    if (asked > 0)
        (void)fprintf(out, " of %lu", asked);
    if (l->at_start > 0)
        (void)fprintf(out, " (%zu kept the start)", l->at_start);
    (void)fprintf(out, "%s\n", gyre_arm_leaks(s->table, s->source, l->arm, l->point) ? " LEAK: both are evaluation rows" : "");
}

static int longer(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static void print_section(const section *s, FILE *out)
{
    int arm = 3, point = 5, objective = 9;
    for (size_t i = 0; i < s->n_lines; i++) {
        char name[OBJECTIVE_TEXT];
        objective_of(s->lines[i].codec, name);
        arm = longer(arm, s->lines[i].arm);
        point = longer(point, s->lines[i].point);
        objective = longer(objective, name);
    }
    if (s->n_lines > 0)
        print_head(s, arm, point, objective, out);
    for (size_t i = 0; i < s->n_lines; i++)
        print_line(s, &s->lines[i], arm, point, objective, out);
}

gyre_status gyre_report_fits(const gyre_table *t, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool any = false;
    for (size_t i = 0; i < t->n_cells; i++)
        any = any || t->cells[i].n_fits > 0;
    if (any)
        (void)fprintf(out, "\nFits: objective at the start -> of what was kept, means over layers, heads and seeds; params: found by each fit; kept: the median step\n"
                           "calibration rows move the parameters, validation rows choose the step (keep: best); of draws, calibration rows choose\n");
    for (size_t i = 0; i < 2 * t->n_sources && st == GYRE_OK; i++) {
        section s = {.table = t, .source = i / 2, .stream = i % 2 == 0 ? GYRE_K : GYRE_V};
        st = find_lines(&s, err);
        if (st == GYRE_OK)
            print_section(&s, out);
        for (size_t k = 0; k < s.n_lines; k++)
            free(s.lines[k].kept);
        free(s.lines);
    }
    return st;
}
