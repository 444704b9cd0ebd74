#include "experiments/findings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/json.h"

enum { NAME = 160, WORD = 160, NOTE = 256 };

struct gyre_finding {
    const char *section;
    char name[NAME], word[WORD], note[NOTE];
    enum { NUMBER, INTERVAL, TEXT } kind;
    double value, low, high;
};

/* NULL where there is no memory. */
static gyre_finding *add(gyre_findings *f, const char *name, const char *note)
{
    if (f->count == f->room) {
        size_t room = 2 * f->room + 16;
        gyre_finding *list = f->st == GYRE_OK ? realloc(f->list, room * sizeof *list) : NULL;
        if (list == NULL) {
            f->st = GYRE_E_MEMORY;
            return NULL;
        }
        f->list = list;
        f->room = room;
    }
    gyre_finding *one = &f->list[f->count++];
    *one = (gyre_finding){ .section = f->section };
    (void)snprintf(one->name, sizeof one->name, "%s", name);
    (void)snprintf(one->note, sizeof one->note, "%s", note);
    return one;
}

void gyre_found_number(gyre_findings *f, const char *name, double value, const char *note)
{
    gyre_finding *one = add(f, name, note);
    if (one == NULL)
        return;
    one->kind = NUMBER;
    one->value = value;
}

void gyre_found_interval(gyre_findings *f, const char *name, double estimate, double low, double high, const char *note)
{
    gyre_finding *one = add(f, name, note);
    if (one == NULL)
        return;
    one->kind = INTERVAL;
    one->value = estimate;
    one->low = low;
    one->high = high;
}

void gyre_found_word(gyre_findings *f, const char *name, const char *word, const char *note)
{
    gyre_finding *one = add(f, name, note);
    if (one == NULL)
        return;
    one->kind = TEXT;
    (void)snprintf(one->word, sizeof one->word, "%s", word);
}

static void number_text(double x, char *text, size_t size)
{
    (void)snprintf(text, size, isnan(x) ? "-" : "%.6g", x);
}

static void print_text(const gyre_finding *one)
{
    char value[NAME], low[NAME], high[NAME];
    number_text(one->value, value, sizeof value);
    number_text(one->low, low, sizeof low);
    number_text(one->high, high, sizeof high);
    (void)printf("  %-34s ", one->name);
    if (one->kind == TEXT)
        (void)printf("%s", one->word);
    else if (one->kind == NUMBER)
        (void)printf("%s", value);
    else
        (void)printf("%s [%s, %s]", value, low, high);
    (void)printf("%s%s\n", one->note[0] != '\0' ? "   " : "", one->note);
}

/* `"name": `, blanks as underscores; `, ` in front of all but the first. A name may be a column's, hence any text. */
static void print_key(const char *name, bool first)
{
    char key[NAME];
    (void)snprintf(key, sizeof key, "%s", name);
    for (char *p = key; *p != '\0'; p++)
        *p = *p == ' ' ? '_' : *p;
    (void)printf("%s", first ? "" : ", ");
    gyre_json_text(key);
    (void)printf(": ");
}

static void print_json(const gyre_finding *one, bool first)
{
    print_key(one->name, first);
    if (one->kind == TEXT)
        gyre_json_text(one->word);
    else if (one->kind == NUMBER)
        (void)printf(isfinite(one->value) ? "%.17g" : "null", one->value);
    else {
        (void)printf("{\"estimate\": ");
        (void)printf(isfinite(one->value) ? "%.17g" : "null", one->value);
        gyre_json_number("low", one->low);
        gyre_json_number("high", one->high);
        (void)putchar('}');
    }
}

gyre_status gyre_findings_print(const gyre_findings *f, bool json, gyre_error *err)
{
    if (f->st != GYRE_OK)
        return gyre_error_set(err, f->st, __FILE__, __LINE__, "no memory for what was found");
    if (json)
        (void)putchar('{');
    for (size_t i = 0; i < f->count; i++) {
        const gyre_finding *one = &f->list[i];
        bool opens = i == 0 || strcmp(one->section, f->list[i - 1].section) != 0;
        if (json) {
            if (opens && i > 0)
                (void)putchar('}');
            if (opens) {
                print_key(one->section, i == 0);
                (void)putchar('{');
            }
            print_json(one, opens);
        } else {
            if (opens)
                (void)printf("%s%s\n", i > 0 ? "\n" : "", one->section);
            print_text(one);
        }
    }
    if (json)
        (void)printf("%s}\n", f->count > 0 ? "}" : "");
    return GYRE_OK;
}

void gyre_findings_free(gyre_findings *f)
{
    free(f->list);
    *f = (gyre_findings){0};
}
