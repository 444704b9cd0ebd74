#include "experiments/report_claims.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"

void gyre_claim_title(const char *id, char text[GYRE_CLAIM_TEXT])
{
    bool number = (id[0] == 'c' || id[0] == 'C') && id[1] != '\0' && strspn(id + 1, "0123456789") == strlen(id + 1);
    const char *digits = id + 1;
    while (number && digits[0] == '0' && digits[1] != '\0')
        digits++;
    (void)snprintf(text, GYRE_CLAIM_TEXT, "%s%s", number ? "C" : "", number ? digits : id);
}

static const char *unit_of(const gyre_table *t, const char *metric)
{
    size_t m = gyre_metric_place(t, metric);
    return m < t->n_metrics ? t->metric_units[m] : "";
}

void gyre_claim_margin(const gyre_table *t, const gyre_comparison *c, char text[GYRE_CLAIM_TEXT])
{
    const char *unit = unit_of(t, c->metric);
    text[0] = '\0';
    if (c->has_margin)
        (void)snprintf(text, GYRE_CLAIM_TEXT, "%s%.4g%s%s", c->ratio ? "x" : "", c->margin, c->ratio || unit[0] == '\0' ? "" : " ", c->ratio ? "" : unit);
}

void gyre_claim_measured(const gyre_comparison *c, char text[GYRE_CLAIM_TEXT])
{
    char number[GYRE_SHEET_NUMBER];
    if (c->ratio)
        gyre_sheet_interval_text(exp(c->estimate), exp(c->ci_low), exp(c->ci_high), number);
    else
        gyre_sheet_interval_text(c->estimate, c->ci_low, c->ci_high, number);
    (void)snprintf(text, GYRE_CLAIM_TEXT, "%s%s", c->ratio ? "x" : "", number);
}

/* ---- parts ---- */

enum { PART_COLUMNS = 23 };

static const gyre_sheet_column part_columns[PART_COLUMNS] = {
    {.name = "claim", .kind = GYRE_SHEET_WORD},
    {.name = "arm", .kind = GYRE_SHEET_WORD},
    {.name = "against", .kind = GYRE_SHEET_WORD},
    {.name = "metric", .kind = GYRE_SHEET_WORD},
    {.name = "point", .kind = GYRE_SHEET_WORD},
    {.name = "measured on", .kind = GYRE_SHEET_WORD},
    {.name = "published", .kind = GYRE_SHEET_WORD},
    {.name = "measured", .kind = GYRE_SHEET_INTERVAL},
    {.name = "p", .kind = GYRE_SHEET_P},
    {.name = "TOST p", .kind = GYRE_SHEET_P},
    {.name = "margin", .kind = GYRE_SHEET_WORD},
    {.name = "verdict", .kind = GYRE_SHEET_WORD},
    {.name = "predicted", .kind = GYRE_SHEET_WORD},
    {.name = "so", .kind = GYRE_SHEET_WORD},
    {.name = "seeds", .kind = GYRE_SHEET_COUNT},
    {.name = "units", .kind = GYRE_SHEET_WORD},
    {.name = "layers", .kind = GYRE_SHEET_COUNT},
    {.name = "bits", .kind = GYRE_SHEET_WORD},
    {.name = "mark", .kind = GYRE_SHEET_WORD},
    {.name = "why", .kind = GYRE_SHEET_WORD},
    {.name = "correction", .kind = GYRE_SHEET_WORD, .where = GYRE_SHEET_DATA},
    {.name = "family", .kind = GYRE_SHEET_WORD, .where = GYRE_SHEET_DATA},
    {.name = "file", .kind = GYRE_SHEET_WORD},
};

/* "qwen2.5-coder-0.5b, rows" or ", model". */
static void source_text(const gyre_source *s, char text[GYRE_CLAIM_TEXT])
{
    (void)snprintf(text, GYRE_CLAIM_TEXT, "%s, %s", s->name, s->kind == GYRE_SOURCE_MODEL ? "model" : "rows");
}

static void mark_text(const gyre_table *t, const gyre_comparison *c, char text[GYRE_CLAIM_TEXT])
{
    bool leak = t->sources[c->source].leak || gyre_arm_leaks(t, c->source, c->arm, NULL) || gyre_arm_leaks(t, c->source, c->against, NULL);
    (void)snprintf(text, GYRE_CLAIM_TEXT, "%s%s%s", c->exploratory ? "EXPLORATORY" : "", c->exploratory && leak ? ", " : "", leak ? "LEAK" : "");
}

static void bits_text(double a, double b, char text[GYRE_CLAIM_TEXT])
{
    (void)snprintf(text, GYRE_CLAIM_TEXT, "%.3f / %.3f", a, b);
}

static void comparison_row(gyre_sheet *s, const char *title, const gyre_claim_part *part)
{
    const gyre_table *t = part->file->table;
    const gyre_comparison *c = part->comparison;
    const gyre_source *source = &t->sources[c->source];
    char on[GYRE_CLAIM_TEXT], margin[GYRE_CLAIM_TEXT], mark[GYRE_CLAIM_TEXT], bits[GYRE_CLAIM_TEXT], units[GYRE_CLAIM_TEXT];
    bool ok = strcmp(c->status, "OK") == 0, descriptive = ok && strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0;
    source_text(source, on);
    gyre_claim_margin(t, c, margin);
    mark_text(t, c, mark);
    bits_text(c->total_bits_arm, c->total_bits_against, bits);
    (void)snprintf(units, sizeof units, "%zu %ss", c->n_documents, gyre_unit_word(source));
    gyre_sheet_word(s, title);
    gyre_sheet_word(s, c->arm);
    gyre_sheet_word(s, c->against);
    gyre_sheet_word(s, c->metric);
    gyre_sheet_word(s, c->point);
    gyre_sheet_word(s, on);
    gyre_sheet_word(s, c->published);
    if (c->ratio)
        gyre_sheet_interval_times(s, exp(c->estimate), exp(c->ci_low), exp(c->ci_high));
    else
        gyre_sheet_interval(s, c->estimate, c->ci_low, c->ci_high);
    gyre_sheet_number(s, descriptive ? c->p : c->p_adjusted);
    gyre_sheet_number(s, descriptive ? c->p_tost : c->p_tost_adjusted);
    gyre_sheet_word(s, margin);
    gyre_sheet_word(s, ok ? c->verdict : c->status);
    gyre_sheet_word(s, c->predicts);
    gyre_sheet_word(s, gyre_part_state_name(part->state));
    gyre_sheet_number(s, ok ? (double)c->n_seeds : NAN);
    gyre_sheet_word(s, ok ? units : "");
    gyre_sheet_number(s, source->kind == GYRE_SOURCE_MODEL ? NAN : (double)source->n_layers);
    gyre_sheet_word(s, ok ? bits : "");
    gyre_sheet_word(s, mark);
    gyre_sheet_word(s, part->why);
    gyre_sheet_word(s, c->correction);
    gyre_sheet_word(s, c->family);
    gyre_sheet_word(s, part->file->name);
}

static void exact_row(gyre_sheet *s, const char *title, const gyre_claim_part *part)
{
    const gyre_table *t = part->file->table;
    const gyre_exact *e = part->exact;
    char on[GYRE_CLAIM_TEXT], published[GYRE_CLAIM_TEXT], margin[GYRE_CLAIM_TEXT];
    source_text(&t->sources[e->source], on);
    (void)snprintf(published, sizeof published, "%.*f", (int)e->digits, e->published);
    (void)snprintf(margin, sizeof margin, "%u decimal%s", e->digits, e->digits == 1 ? "" : "s");
    const char *const words[] = {title, e->arm, "", e->quantity, e->point, on, published};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        gyre_sheet_word(s, words[i]);
    gyre_sheet_interval(s, e->measured, NAN, NAN);
    gyre_sheet_number(s, NAN);
    gyre_sheet_number(s, NAN);
    gyre_sheet_word(s, margin);
    gyre_sheet_word(s, e->verdict);
    gyre_sheet_word(s, "EXACT");
    gyre_sheet_word(s, gyre_part_state_name(part->state));
    gyre_sheet_number(s, NAN);
    gyre_sheet_word(s, "");
    gyre_sheet_number(s, (double)t->sources[e->source].n_layers);
    for (size_t i = 0; i < 5; i++) /* bits, mark, why, correction, family */
        gyre_sheet_word(s, "");
    gyre_sheet_word(s, part->file->name);
}

gyre_status gyre_claims_parts_sheet(gyre_book *book, const gyre_claims *claims, const gyre_claim *only, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "claim_parts", part_columns, PART_COLUMNS, &s, err));
    if (only == NULL)
        gyre_sheet_title(s, "Claims, part by part: arm over against (a ratio below 1, or a difference below 0, speaks for the arm) with its interval; "
                            "p and TOST p corrected in their family");
    for (size_t i = 0; i < claims->n_claims; i++) {
        const gyre_claim *claim = &claims->claims[i];
        char title[GYRE_CLAIM_TEXT];
        gyre_claim_title(claim->id, title);
        for (size_t j = 0; j < claim->n_parts && (only == NULL || only == claim); j++)
            (claim->parts[j].comparison != NULL ? comparison_row : exact_row)(s, only == NULL ? title : "", &claim->parts[j]);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- a line for each claim ---- */

const char *gyre_claim_ground(const gyre_claims *claims, const gyre_claim *claim)
{
    bool rows = false, model = false;
    for (size_t i = 0; i < claims->n_files; i++) {
        const gyre_table *t = claims->files[i].table;
        for (size_t s = 0; strcmp(t->claim_id, claim->id) == 0 && s < t->n_sources; s++) {
            rows = rows || t->sources[s].kind == GYRE_SOURCE_CAPTURE;
            model = model || t->sources[s].kind == GYRE_SOURCE_MODEL;
        }
    }
    return rows && model ? "rows and model" : model ? "model" : "rows";
}

static const gyre_sheet_column word_columns[] = {
    {.name = "claim", .kind = GYRE_SHEET_WORD},          {.name = "by its rule", .kind = GYRE_SHEET_WORD},  {.name = "as predicted", .kind = GYRE_SHEET_COUNT},
    {.name = "contradict", .kind = GYRE_SHEET_COUNT},    {.name = "undecided", .kind = GYRE_SHEET_COUNT},   {.name = "controls", .kind = GYRE_SHEET_COUNT},
    {.name = "measured on", .kind = GYRE_SHEET_WORD},
    {.name = "says", .where = GYRE_SHEET_BELOW},         {.name = "what contradicts", .where = GYRE_SHEET_BELOW}, {.name = "not decidable here", .where = GYRE_SHEET_BELOW},
};

enum { NAMED = 3 }; /* of the parts that contradict */

static void contradictions(const gyre_claim *claim, char *text, size_t size)
{
    size_t n = 0, used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < claim->n_parts; i++) {
        const gyre_claim_part *p = &claim->parts[i];
        if (p->state != GYRE_PART_CONTRADICTED || n++ >= NAMED || used >= size)
            continue;
        const gyre_comparison *c = p->comparison;
        const char *and = n > 1 ? "; " : "";
        int wrote = c != NULL ? snprintf(text + used, size - used, "%s%s against %s%s%s, %s: %s", and, c->arm, c->against, c->point[0] != '\0' ? " at " : "", c->point, c->metric, c->verdict)
                              : snprintf(text + used, size - used, "%s%s of %s: %s", and, p->exact->quantity, p->exact->arm, p->exact->verdict);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    if (n > NAMED && used < size)
        (void)snprintf(text + used, size - used, "; and %zu more", n - NAMED);
}

static void opens(const gyre_claim *claim, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s", claim->why);
    for (size_t i = 0; i < claim->n_open && used < size; i++) {
        int wrote = snprintf(text + used, size - used, "%s%s", used > 0 ? "; " : "", claim->open[i]);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    if (claim->n_dropped > 0 && used < size)
        (void)snprintf(text + used, size - used, "%sregistered predictions that are not made, or not as registered: %zu", used > 0 ? "; " : "", claim->n_dropped);
}

gyre_status gyre_claims_words_sheet(gyre_book *book, const gyre_claims *claims, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "claims", word_columns, sizeof word_columns / sizeof *word_columns, &s, err));
    gyre_sheet_title(s, "Claims by their decision rules; the parts are counted; the table of parts has each with n, interval, corrected p and margin");
    for (size_t i = 0; i < claims->n_claims; i++) {
        const gyre_claim *claim = &claims->claims[i];
        char title[GYRE_CLAIM_TEXT], against[4 * GYRE_CLAIM_TEXT], open[8 * GYRE_CLAIM_TEXT];
        gyre_claim_title(claim->id, title);
        contradictions(claim, against, sizeof against);
        opens(claim, open, sizeof open);
        gyre_sheet_word(s, title);
        gyre_sheet_word(s, claim->word);
        for (size_t k = 0; k < GYRE_PART_STATES; k++)
            gyre_sheet_number(s, (double)claim->count[k]);
        gyre_sheet_word(s, gyre_claim_ground(claims, claim));
        gyre_sheet_word(s, claim->says);
        gyre_sheet_word(s, against);
        gyre_sheet_word(s, open);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

gyre_status gyre_report_claims(const char *const *paths, size_t n_paths, gyre_sheet_format format, const char *only, FILE *out, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_claims claims = {0};
    gyre_book *book = NULL;
    if (only != NULL && strcmp(only, "claims") != 0 && strcmp(only, "claim_parts") != 0)
        GYRE_FAIL(GYRE_E_USAGE, "--only %s: of claims there are the tables claims and claim_parts", only);
    GYRE_TRY(gyre_claims_read(paths, n_paths, &claims, log, err));
    if (claims.n_claims == 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s%s: no results of a configuration with a `claim`: see configs/claims", claims.files[0].path, claims.n_files > 1 ? " and the others" : "");
    for (size_t i = 0; i < claims.n_files; i++)
        if (claims.files[i].table->claim_id[0] == '\0')
            gyre_log_warning(log, "%s has no claim: left out", claims.files[i].path);
    GYRE_TRY(gyre_book_open(out, format, only, NULL, &book, err));
    GYRE_TRY(gyre_claims_parts_sheet(book, &claims, NULL, err));
    GYRE_TRY(gyre_claims_words_sheet(book, &claims, err));
    GYRE_TRY(gyre_book_finish(book, err));
done:
    gyre_book_free(book);
    gyre_claims_free(&claims);
    return st;
}
