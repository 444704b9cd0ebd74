/* The report of comparisons: how many there are of each verdict, and a table for each source, a row for each comparison.
 *
 * A column is one line of verdict_columns and one line of verdict_row, in the same order. Ratios are shown as such, not as logarithms.
 */
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/compare.h"

enum { NOTE_TEXT = 2048 };

static double shown(const gyre_comparison *c, double x)
{
    return c->ratio ? exp(x) : x;
}

static const gyre_sheet_column verdict_columns[] = {
    {.name = "source", .where = GYRE_SHEET_DATA},
    {.name = "arm"},
    {.name = "against"},
    {.name = "point"},
    {.name = "metric"},
    {.name = "family", .where = GYRE_SHEET_DATA},
    {.name = "scale", .where = GYRE_SHEET_DATA},
    {.name = "status", .where = GYRE_SHEET_DATA},
    {.name = "reason", .where = GYRE_SHEET_DATA},
    {.name = "estimate", .kind = GYRE_SHEET_INTERVAL},
    {.name = "verdict"},
    {.name = "mark", .where = GYRE_SHEET_PRINTED},
    {.name = "p", .kind = GYRE_SHEET_P, .where = GYRE_SHEET_PRINTED}, /* adjusted, but for a source that is descriptive */
    {.name = "TOST p", .kind = GYRE_SHEET_P, .where = GYRE_SHEET_PRINTED},
    {.name = "p", .kind = GYRE_SHEET_P, .where = GYRE_SHEET_DATA},
    {.name = "p adjusted", .kind = GYRE_SHEET_P, .where = GYRE_SHEET_DATA},
    {.name = "p tost", .kind = GYRE_SHEET_P, .where = GYRE_SHEET_DATA},
    {.name = "p tost adjusted", .kind = GYRE_SHEET_P, .where = GYRE_SHEET_DATA},
    {.name = "margin", .kind = GYRE_SHEET_REAL},
    {.name = "would need", .kind = GYRE_SHEET_REAL},
    {.name = "alpha", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "layer", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_PRINTED}, /* of an arm that is better it is the best one */
    {.name = "worst layer", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "its estimate", .kind = GYRE_SHEET_INTERVAL},
    {.name = "bits", .kind = GYRE_SHEET_REAL, .decimals = 3},
    {.name = "bits against", .kind = GYRE_SHEET_REAL, .decimals = 3},
    {.name = "mde", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA}, /* printed in the note of what is INCONCLUSIVE */
    {.name = "power", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "seeds needed", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "documents needed", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "n", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_PRINTED},
    {.name = "seeds", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_PRINTED},
    {.name = "n documents", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "unit", .where = GYRE_SHEET_DATA},
    {.name = "n seeds", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "test"},
    {.name = "goal", .where = GYRE_SHEET_DATA},
    {.name = "goal", .where = GYRE_SHEET_PRINTED}, /* where it is not equivalence: its p stands in the place of TOST's */
    {.name = "correction", .where = GYRE_SHEET_DATA},
    {.name = "published", .where = GYRE_SHEET_DATA},
    {.name = "predicts", .where = GYRE_SHEET_DATA},
    {.name = "exploratory", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "note", .where = GYRE_SHEET_BELOW},
};

/* A number on the scale of the estimate: a factor, or a difference. */
static void scaled(const gyre_comparison *c, double x, gyre_sheet *s)
{
    if (c->ratio)
        gyre_sheet_times(s, x);
    else
        gyre_sheet_number(s, x);
}

static void scaled_interval(const gyre_comparison *c, double x, double lo, double hi, gyre_sheet *s)
{
    if (c->ratio)
        gyre_sheet_interval_times(s, exp(x), exp(lo), exp(hi));
    else
        gyre_sheet_interval(s, x, lo, hi);
}

static bool leaks(const gyre_table *t, const gyre_comparison *c)
{
    return gyre_arm_leaks(t, c->source, c->arm, NULL) || gyre_arm_leaks(t, c->source, c->against, NULL);
}

/* In the row itself, whatever becomes of the note. */
static void verdict_mark(const gyre_table *t, const gyre_comparison *c, gyre_sheet *s)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%s%s%s", c->exploratory ? "EXPLORATORY" : "", c->exploratory && leaks(t, c) ? ", " : "", leaks(t, c) ? "LEAK" : "");
    gyre_sheet_word(s, text);
}

static void verdict_note(const gyre_table *t, const gyre_comparison *c, gyre_sheet *s)
{
    bool descriptive = strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0;
    char judging[NOTE_TEXT], text[NOTE_TEXT + 128];
    gyre_report_judging(t, c, judging, sizeof judging);
    (void)snprintf(text, sizeof text, "%s%s%s", descriptive ? "; p not adjusted" : "", judging, leaks(t, c) ? "; LEAK: fitted to evaluation documents" : "");
    gyre_sheet_word(s, text[0] == ';' ? text + 2 : text);
}

static void verdict_row(const gyre_table *t, const gyre_comparison *c, gyre_sheet *s)
{
    const gyre_source *source = &t->sources[c->source];
    bool descriptive = strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0;
    double layer = source->kind == GYRE_SOURCE_MODEL ? (double)NAN : c->worst_layer; /* a model source has no layers to name */
    gyre_sheet_word(s, source->name);
    gyre_sheet_word(s, c->arm);
    gyre_sheet_word(s, c->against);
    gyre_sheet_word(s, c->point);
    gyre_sheet_word(s, c->metric);
    gyre_sheet_word(s, c->family);
    gyre_sheet_word(s, c->ratio ? "ratio" : "difference");
    gyre_sheet_word(s, c->status);
    gyre_sheet_word(s, c->reason);
    if (strcmp(c->status, "OK") != 0) {
        gyre_sheet_rest(s, "%s: %s", c->status, c->reason);
        return;
    }
    scaled_interval(c, c->estimate, c->ci_low, c->ci_high, s);
    gyre_sheet_word(s, c->verdict);
    verdict_mark(t, c, s);
    const double p[] = {descriptive ? c->p : c->p_adjusted, descriptive ? c->p_tost : c->p_tost_adjusted, c->p, c->p_adjusted, c->p_tost, c->p_tost_adjusted};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++)
        gyre_sheet_number(s, p[i]);
    scaled(c, c->has_margin ? c->margin : (double)NAN, s);
    scaled(c, shown(c, c->margin_needed), s);
    gyre_sheet_number(s, c->alpha);
    gyre_sheet_number(s, layer);
    gyre_sheet_number(s, layer);
    scaled_interval(c, c->worst_estimate, c->worst_low, c->worst_high, s);
    gyre_sheet_number(s, c->total_bits_arm);
    gyre_sheet_number(s, c->total_bits_against);
    scaled(c, shown(c, c->mde), s);
    gyre_sheet_number(s, c->power);
    gyre_sheet_number(s, c->seeds_needed);
    gyre_sheet_number(s, c->documents_needed);
    for (int i = 0; i < 3; i++) /* n and seeds as printed, n documents */
        gyre_sheet_number(s, (double)(i == 1 ? c->n_seeds : c->n_documents));
    gyre_sheet_word(s, gyre_unit_word(source));
    gyre_sheet_number(s, (double)c->n_seeds);
    gyre_sheet_word(s, c->test);
    gyre_sheet_word(s, c->goal);
    gyre_sheet_word(s, strcmp(c->goal, "not_worse") == 0 ? "not worse, one-sided p" : "");
    gyre_sheet_word(s, c->correction);
    gyre_sheet_word(s, c->published);
    gyre_sheet_word(s, c->predicts);
    gyre_sheet_number(s, c->exploratory);
    verdict_note(t, c, s);
}

void gyre_report_verdict_counts(const gyre_table *t, gyre_book *book)
{
    static const char *const words[] = {"EQUIVALENT", "BETTER", "NOT_WORSE", "WORSE", "INCONCLUSIVE", GYRE_DESCRIPTIVE};
    size_t n[sizeof words / sizeof *words] = {0}, other = 0;
    char descriptive[64] = "";
    if (t->n_comparisons == 0)
        return;
    for (size_t i = 0; i < t->n_comparisons; i++) {
        const gyre_comparison *c = &t->comparisons[i];
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            n[w] += strcmp(c->status, "OK") == 0 && strcmp(c->verdict, words[w]) == 0;
        other += strcmp(c->status, "OK") != 0;
    }
    if (n[5] > 0)
        (void)snprintf(descriptive, sizeof descriptive, " %zu %s,", n[5], words[5]);
    gyre_book_line(book, "verdicts: %zu EQUIVALENT, %zu BETTER, %zu NOT_WORSE, %zu WORSE, %zu INCONCLUSIVE,%s %zu not judged", n[0], n[1], n[2], n[3], n[4], descriptive, other);
}

static gyre_status verdicts_of(const gyre_table *t, size_t source, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "verdicts", verdict_columns, sizeof verdict_columns / sizeof *verdict_columns, &s, err));
    gyre_sheet_title(s, "%s%s, verdicts (n: %ss)%s", t->sources[source].name, gyre_report_leak(t, source), gyre_unit_word(&t->sources[source]),
                     t->sources[source].descriptive ? ", " GYRE_DESCRIPTIVE ": too few chunks for verdicts" : "");
    for (size_t i = 0; i < t->n_comparisons; i++)
        if (t->comparisons[i].source == source)
            verdict_row(t, &t->comparisons[i], s);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

gyre_status gyre_report_verdicts(const gyre_table *t, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (t->n_comparisons == 0)
        return GYRE_OK;
    gyre_book_words(book, "Verdicts: estimates are the arm over the other (a ratio, with x in front, below 1, or a difference below 0, is better) with 95 %% interval unless alpha says otherwise;");
    gyre_book_line(book, "p and TOST p are adjusted in their family (Holm, unless the plan says otherwise); would need: the least margin that would do (x1 or 0: any);");
    gyre_book_line(book, "layer: the one that differs most, for better or worse, with its own estimate");
    for (size_t s = 0; s < t->n_sources; s++)
        GYRE_TRY(verdicts_of(t, s, book, err));
done:
    return st;
}
