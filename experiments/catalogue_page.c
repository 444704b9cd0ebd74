/* docs/variants.md: the catalogue as a page. Per family what applies where, then a section a variant. Formulas are on docs/definitions.md, written by hand. */
#include <stdlib.h>
#include <string.h>

#include "calibrate/fit.h"
#include "experiments/catalogue.h"

enum { REASONS_MOST = 256 };

/* Reasons of one table, each once. */
typedef struct reasons {
    size_t n;
    char text[REASONS_MOST][GYRE_ENTRY_WHY];
} reasons;

static void markdown(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("|*<", *text) != NULL)
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
}

/* Place of a reason from 1. A table with more reasons than there is room for shows the last one: none has a tenth of them. */
static size_t place_of(reasons *r, const char *why)
{
    size_t i = 0;
    while (i < r->n && strcmp(r->text[i], why) != 0)
        i++;
    if (i == r->n && r->n < REASONS_MOST)
        (void)snprintf(r->text[r->n++], GYRE_ENTRY_WHY, "%s", why);
    return i < REASONS_MOST ? i + 1 : REASONS_MOST;
}

/* One row: a setting of a variant, or a variant that wants an option (s NULL). */
static void row(FILE *out, reasons *r, const gyre_entry *e, const gyre_setting *s)
{
    char wants[GYRE_ENTRY_WHY];
    const char *with = s != NULL && s->text[0] ? s->text : e->assumed;
    (void)snprintf(wants, sizeof wants, "needs: %s", e->wants);
    (void)fprintf(out, "\n| [%s](#%s)%s%s |", e->name, e->name, with[0] ? ", " : "", with);
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++)
        if (s != NULL && s->at[i].applies)
            (void)fprintf(out, " yes |");
        else
            (void)fprintf(out, " (%zu) |", place_of(r, s != NULL ? s->at[i].why : wants));
}

static void applicability(FILE *out, reasons *r, const gyre_entry *entries, size_t n)
{
    r->n = 0;
    (void)fprintf(out, "\n| %s |", entries[0].kind);
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++)
        (void)fprintf(out, " %zu |", gyre_entry_dims[i]);
    (void)fprintf(out, "\n|---|");
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++)
        (void)fprintf(out, "---|");
    for (size_t k = 0; k < n; k++) {
        if (entries[k].n_settings == 0)
            row(out, r, &entries[k], NULL);
        for (size_t i = 0; i < entries[k].n_settings; i++)
            row(out, r, &entries[k], &entries[k].settings[i]);
    }
    (void)fprintf(out, "\n%s", r->n > 0 ? "\n" : "");
    for (size_t i = 0; i < r->n; i++) {
        (void)fprintf(out, "%zu. ", i + 1);
        markdown(out, r->text[i]);
        (void)fputc('\n', out);
    }
}

static void options(FILE *out, const gyre_option *table)
{
    if (table == NULL || table->key == NULL)
        return;
    (void)fprintf(out, "\n| option | values | default | unit | meaning |\n|---|---|---|---|---|\n");
    for (const gyre_option *o = table; o->key != NULL; o++) {
        char domain[2 * GYRE_OPTION_TEXT];
        gyre_option_domain(o, domain, sizeof domain);
        (void)fprintf(out, "| `%s` | ", o->key);
        markdown(out, domain);
        (void)fprintf(out, " | %s | %s | ", o->fallback != NULL ? o->fallback : "required", o->unit);
        markdown(out, o->help);
        (void)fprintf(out, " |\n");
    }
}

static void item(FILE *out, const char *label, const char *text)
{
    if (text[0] == '\0')
        return;
    (void)fprintf(out, "- %s: ", label);
    markdown(out, text);
    (void)fputc('\n', out);
}

/* Families whose entries apply everywhere. */
static bool of_fits(const gyre_entry *e)
{
    return strcmp(e->kind, "objective") == 0 || strcmp(e->kind, "optimiser") == 0 || strcmp(e->kind, "fit") == 0;
}

static void section(FILE *out, const gyre_entry *e)
{
    (void)fprintf(out, "\n### %s\n\n", e->name);
    markdown(out, e->summary);
    if (e->options == gyre_fit_table)
        (void)fprintf(out, " ([configuration](configuration.md#fits)).\n\n");
    else
        (void)fprintf(out, " ([formula](definitions.md#%s)).\n\n", of_fits(e) ? "calibration" : e->family);
    item(out, "source", e->source);
    item(out, "shown with", e->assumed);
    for (size_t i = 0; i < e->n_facts; i++)
        item(out, e->facts[i].label, e->facts[i].text);
    if (e->n_rates > 0)
        (void)fprintf(out, "- payload bits per value at");
    for (size_t i = 0; i < e->n_rates; i++)
        (void)fprintf(out, "%s d = %zu: %.5g", i == 0 ? "" : ",", e->rates[i].dim, e->rates[i].bits);
    if (e->n_rates > 0)
        (void)fputc('\n', out);
    options(out, e->options);
}

static void metrics(FILE *out, const gyre_entry *entries, size_t n)
{
    (void)fprintf(out, "\n| metric |");
    for (size_t i = 0; i < entries[0].n_facts; i++)
        (void)fprintf(out, " %s |", entries[0].facts[i].label);
    (void)fprintf(out, " meaning |\n|---|---|");
    for (size_t i = 0; i < entries[0].n_facts; i++)
        (void)fprintf(out, "---|");
    for (size_t k = 0; k < n; k++) {
        (void)fprintf(out, "\n| [%s](definitions.md#metrics) |", entries[k].name);
        for (size_t i = 0; i < entries[k].n_facts; i++)
            (void)fprintf(out, " %s |", entries[k].facts[i].text[0] ? entries[k].facts[i].text : "-");
        (void)fputc(' ', out);
        markdown(out, entries[k].summary);
        (void)fprintf(out, " |");
    }
    (void)fputc('\n', out);
}

static const char head[] =
    "# Variants\n\n"
    "<!-- Printed from the registries by `build/gyre list --markdown > docs/variants.md`; a test compares the two. -->\n\n"
    "Everything that a configuration can name, as the program itself knows it; `gyre describe NAME` prints one of them. What each computes, exactly, is on\n"
    "[definitions.md](definitions.md), how to name it in a configuration on [configuration.md](configuration.md), how to add one on\n"
    "[add-a-rotation.md](add-a-rotation.md).\n\n"
    "The tables show the head dimensions d at which a variant applies, with default options (required ones as named), in a layer of %d KV heads with full RoPE\n"
    "and a key bias; where another word of an option applies elsewhere, it has a row. A cell to which a variant does not apply is SKIPPED with the reason; so it is\n"
    "where a model lacks what the variant needs. Flags and the other traits hold with the same options; `by option` tells what another value changes in them: of a\n"
    "range, its ends. Payload bits are those of a block of %d tokens, where its size is fixed.\n"
    "`learnable` and `learns` stand where gradient calibration finds parameters (a `fit:` block says how), under the option that `by option` names. An objective with the flag\n"
    "`quantizes` goes through the quantizer, which then needs a straight-through rule; with `documents` a step takes whole documents, with `queries` the capture must hold queries.\n"
    "The flags `token_local`, `fixed_size`, `random_access` and `online` together make a quantizer fit for a served cache (arXiv 2604.19157).\n";

gyre_status gyre_catalogue_page(gyre_entry *entries, size_t n, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    reasons *r = NULL;
    GYRE_NEW(&r, 1);
    (void)fprintf(out, head, (int)GYRE_ENTRY_HEADS, (int)GYRE_ENTRY_TOKENS);
    for (size_t i = 0, end = 0; i < n; i = end) {
        while (end < n && entries[end].family == entries[i].family)
            end++;
        (void)fprintf(out, "\n## %c%s\n", entries[i].family[0] - 'a' + 'A', entries[i].family + 1);
        if (strcmp(entries[i].kind, "metric") == 0) {
            metrics(out, entries + i, end - i);
            continue;
        }
        if (!of_fits(&entries[i]))
            applicability(out, r, entries + i, end - i);
        for (size_t k = i; k < end; k++) {
            GYRE_TRY(gyre_entry_rates(&entries[k], err));
            section(out, &entries[k]);
        }
    }
done:
    free(r);
    return st;
}
