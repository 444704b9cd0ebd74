/* The tables of gyre diff: questions, counts, what only one file has, the worst differences, verdicts, provenance. */
#include <math.h>
#include <string.h>

#include "results/diff_parts.h"

enum { NAME_TEXT = 1024 };

static const char *const table_names[GYRE_DIFF_TABLES] = {"cells", "values", "comparisons", "perplexity", "fits", "exact", "canaries"};

/* What, and what each file says. */
static const gyre_sheet_column pair_columns[] = {{.name = "what"}, {.name = "a"}, {.name = "b"}};

static void pair(gyre_sheet *s, const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return;
    gyre_sheet_word(s, what);
    gyre_sheet_word(s, a);
    gyre_sheet_word(s, b);
}

/* ---- questions ---- */

static size_t find_source(const gyre_table *t, const char *name)
{
    size_t i = 0;
    while (i < t->n_sources && strcmp(t->sources[i].name, name) != 0)
        i++;
    return i;
}

/* Names of metrics and sources that one file has and the other has not; data of another digest. */
static size_t lists(const gyre_diffs *d, size_t one, gyre_sheet *s)
{
    const gyre_table *t = d->sides[one].table, *other = d->sides[1 - one].table;
    size_t n = 0;
    for (size_t m = 0; m < t->n_metrics; m++)
        if (gyre_metric_place(other, t->metrics[m]) == other->n_metrics) {
            pair(s, "metric", one == 0 ? t->metrics[m] : "", one == 0 ? "" : t->metrics[m]);
            n++;
        }
    for (size_t i = 0; i < t->n_sources; i++) {
        size_t k = find_source(other, t->sources[i].name);
        if (k == other->n_sources) {
            pair(s, "source", one == 0 ? t->sources[i].name : "", one == 0 ? "" : t->sources[i].name);
            n++;
        } else if (one == 0 && strcmp(t->sources[i].digest, other->sources[k].digest) != 0) {
            char what[NAME_TEXT];
            (void)snprintf(what, sizeof what, "data digest of %s", t->sources[i].name);
            pair(s, what, t->sources[i].digest, other->sources[k].digest);
            n++;
        }
    }
    return n;
}

static gyre_status questions(gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    const gyre_table *a = d->sides[0].table, *b = d->sides[1].table;
    char seeds[2][32];
    GYRE_TRY(gyre_sheet_open(book, "questions", pair_columns, 3, &s, err));
    gyre_sheet_title(s, "These files answer different questions");
    size_t n = lists(d, 0, s) + lists(d, 1, s);
    for (size_t k = 0; k < 2; k++)
        (void)snprintf(seeds[k], sizeof seeds[k], "%llu", (unsigned long long)d->sides[k].table->campaign_seed);
    pair(s, "campaign seed", seeds[0], seeds[1]);
    pair(s, "analysis plan", a->analysis_sha256, b->analysis_sha256);
    d->same = d->same && n == 0 && strcmp(seeds[0], seeds[1]) == 0 && strcmp(a->analysis_sha256, b->analysis_sha256) == 0;
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- counts and lists ---- */

static gyre_status counts(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {
        {.name = "what"}, {.name = "in a", .kind = GYRE_SHEET_COUNT}, {.name = "in b", .kind = GYRE_SHEET_COUNT}, {.name = "only in a", .kind = GYRE_SHEET_COUNT}, {.name = "only in b", .kind = GYRE_SHEET_COUNT},
        {.name = "in both", .kind = GYRE_SHEET_COUNT}, {.name = "compared", .kind = GYRE_SHEET_COUNT}, {.name = "different", .kind = GYRE_SHEET_COUNT}, {.name = "largest relative", .kind = GYRE_SHEET_REAL},
    };
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "counts", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "Rows, and their texts and numbers");
    for (size_t k = 0; k < GYRE_DIFF_TABLES; k++) {
        const gyre_diff_tally *t = &d->tallies[k];
        const double rows[] = {(double)t->rows[0], (double)t->rows[1], (double)t->only[0], (double)t->only[1], (double)t->joined};
        if (t->compared == 0 && t->rows[0] + t->rows[1] == 0)
            continue;
        gyre_sheet_word(s, table_names[k]);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            gyre_sheet_number(s, k == GYRE_DIFF_VALUES ? (double)NAN : rows[i]);
        gyre_sheet_number(s, (double)t->compared);
        gyre_sheet_number(s, (double)t->beyond);
        gyre_sheet_number(s, t->worst);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

static const char *table_of(gyre_schema_owner owner)
{
    switch (owner) {
    case GYRE_SCHEMA_CELLS:
        return table_names[GYRE_DIFF_CELLS];
    case GYRE_SCHEMA_COMPARISONS:
        return table_names[GYRE_DIFF_COMPARISONS];
    case GYRE_SCHEMA_PERPLEXITY:
        return table_names[GYRE_DIFF_PERPLEXITY];
    case GYRE_SCHEMA_EXACT:
        return table_names[GYRE_DIFF_NUMBERS];
    case GYRE_SCHEMA_CANARIES:
        return table_names[GYRE_DIFF_CANARIES];
    default:
        return table_names[GYRE_DIFF_FITS];
    }
}

static gyre_status only(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {{.name = "only in"}, {.name = "what"}, {.name = "name"}};
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    size_t all = 0;
    char name[NAME_TEXT];
    GYRE_TRY(gyre_sheet_open(book, "only", columns, 3, &s, err));
    gyre_sheet_title(s, "In one file only");
    for (size_t i = 0; i < d->n_only; i++) {
        gyre_diff_name(&d->only[i], name, sizeof name);
        gyre_sheet_word(s, d->only[i].side == &d->sides[0] ? "a" : "b");
        gyre_sheet_word(s, table_of(d->only[i].owner));
        gyre_sheet_word(s, name);
    }
    for (size_t k = 0; k < GYRE_DIFF_TABLES; k++)
        all += d->tallies[k].only[0] + d->tallies[k].only[1];
    if (all > d->n_only)
        gyre_sheet_note(s, "and %zu more", all - d->n_only);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* A text, or a number in full: few digits would hide a small difference. */
static void told(gyre_sheet *s, const char *text, double x)
{
    char number[GYRE_SHEET_NUMBER];
    gyre_sheet_exact_text(x, number);
    gyre_sheet_word(s, text != NULL ? text : number);
}

static gyre_status exact(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {{.name = "what"}, {.name = "column"}, {.name = "rows", .kind = GYRE_SHEET_COUNT}, {.name = "first"}, {.name = "a"}, {.name = "b"}};
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    char name[NAME_TEXT];
    GYRE_TRY(gyre_sheet_open(book, "texts", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "Texts and counts that differ, of each column the first row");
    for (size_t i = 0; i < d->n_exact; i++) {
        const gyre_difference *x = &d->exact[i];
        gyre_diff_name(&x->a, name, sizeof name);
        gyre_sheet_word(s, table_of(x->a.owner));
        gyre_sheet_word(s, x->column);
        gyre_sheet_number(s, (double)x->rows);
        gyre_sheet_word(s, name);
        told(s, x->text_a, x->x);
        told(s, x->text_b, x->y);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

static gyre_status worst(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {
        {.name = "what"}, {.name = "name"}, {.name = "column"}, {.name = "place"}, {.name = "a"}, {.name = "b"}, {.name = "relative", .kind = GYRE_SHEET_REAL},
    };
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    char name[NAME_TEXT];
    GYRE_TRY(gyre_sheet_open(book, "differences", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "Numbers that differ, worst first, of every cell and metric the worst place (at most %d)", (int)GYRE_DIFF_SHOWN);
    for (size_t i = 0; i < d->n_worst; i++) {
        const gyre_difference *x = &d->worst[i];
        gyre_diff_name(&x->a, name, sizeof name);
        gyre_sheet_word(s, table_of(x->a.owner));
        gyre_sheet_word(s, name);
        gyre_sheet_word(s, x->column);
        gyre_sheet_word(s, x->place);
        told(s, NULL, x->x);
        told(s, NULL, x->y);
        gyre_sheet_number(s, isfinite(x->relative) ? x->relative : (double)NAN);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

static gyre_status verdicts(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {{.name = "comparison"}, {.name = "a"}, {.name = "b"}};
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    char name[NAME_TEXT];
    GYRE_TRY(gyre_sheet_open(book, "verdicts", columns, 3, &s, err));
    gyre_sheet_title(s, "Verdicts that changed");
    for (size_t i = 0; i < d->n_verdicts && i < GYRE_DIFF_SHOWN; i++) {
        gyre_diff_name(&d->verdicts[i].a, name, sizeof name);
        gyre_sheet_word(s, name);
        gyre_sheet_word(s, d->verdicts[i].text_a[0] != '\0' ? d->verdicts[i].text_a : "none");
        gyre_sheet_word(s, d->verdicts[i].text_b[0] != '\0' ? d->verdicts[i].text_b : "none");
    }
    if (d->n_verdicts > GYRE_DIFF_SHOWN)
        gyre_sheet_note(s, "and %zu more", d->n_verdicts - GYRE_DIFF_SHOWN);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- provenance ---- */

static gyre_status provenance(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    const gyre_diff_side *a = &d->sides[0], *b = &d->sides[1];
    char minors[2][32];
    GYRE_TRY(gyre_sheet_open(book, "provenance", pair_columns, 3, &s, err));
    gyre_sheet_title(s, "By what and where they were made (no difference of results)");
    pair(s, "experiment", a->table->experiment, b->table->experiment);
    pair(s, "configuration", a->table->config_sha256, b->table->config_sha256);
    pair(s, "value_code of the cells", a->table->value_code, b->table->value_code);
    for (size_t k = 0; k < 2; k++)
        (void)snprintf(minors[k], sizeof minors[k], "1.%u", d->sides[k].minor);
    pair(s, "schema version", minors[0], minors[1]);
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++) {
        char number[2][GYRE_SHEET_NUMBER];
        if (row->owner != GYRE_SCHEMA_PROVENANCE)
            continue;
        for (size_t k = 0; k < 2; k++) {
            gyre_items items = {(char *)&d->sides[k].provenance, sizeof d->sides[k].provenance, 1};
            gyre_sheet_exact_text(gyre_column_number(row, &items, 0), number[k]);
        }
        if (gyre_schema_is_text(row->type))
            pair(s, gyre_schema_name(row), (const char *)&a->provenance + row->offset, (const char *)&b->provenance + row->offset);
        else
            pair(s, gyre_schema_name(row), number[0], number[1]);
    }
    for (size_t k = 0; k < 2; k++)
        if (d->codecs[k].rows > 0) {
            char name[NAME_TEXT];
            gyre_diff_name(&d->codecs[k].a, name, sizeof name);
            pair(s, d->codecs[k].column, d->codecs[k].text_a, d->codecs[k].text_b);
            gyre_sheet_note(s, "%s is in other words in %zu cells whose numbers are the same, the first: %s", d->codecs[k].column, d->codecs[k].rows, name);
        }
    if (d->other_keys > 0)
        gyre_sheet_note(s, "%zu cells of the same name have another key: other code, other data or another codec", d->other_keys);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- all ---- */

static gyre_status result(const gyre_diffs *d, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {
        {.name = "same", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA}, {.name = "rtol", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA}, {.name = "atol", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
        {.name = "path_a", .where = GYRE_SHEET_DATA}, {.name = "digest_a", .where = GYRE_SHEET_DATA}, {.name = "path_b", .where = GYRE_SHEET_DATA}, {.name = "digest_b", .where = GYRE_SHEET_DATA},
        {.name = "verdicts_changed", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    };
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    const gyre_diff_side *a = &d->sides[0], *b = &d->sides[1];
    GYRE_TRY(gyre_sheet_open(book, "result", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_number(s, d->same);
    gyre_sheet_number(s, d->rtol);
    gyre_sheet_number(s, d->atol);
    gyre_sheet_word(s, a->path);
    gyre_sheet_word(s, a->digest);
    gyre_sheet_word(s, b->path);
    gyre_sheet_word(s, b->digest);
    gyre_sheet_number(s, (double)d->n_verdicts);
    GYRE_TRY(gyre_sheet_close(s, err));
    gyre_book_words(book, "%s%s", d->same ? "the same" : "different", strcmp(a->digest, b->digest) == 0 ? ", digest and all" : d->same ? " within the tolerance" : "");
done:
    return st;
}

gyre_status gyre_diff_print(gyre_diffs *d, gyre_sheet_format format, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_book *book = NULL;
    const gyre_diff_side *a = &d->sides[0], *b = &d->sides[1];
    GYRE_TRY(gyre_book_open(out, format, NULL, NULL, &book, err));
    gyre_book_words(book, "a: %s (results file %.12s%s)", a->path, a->digest, a->provenance.git_dirty ? ", DIRTY BUILD" : "");
    gyre_book_line(book, "b: %s (results file %.12s%s)", b->path, b->digest, b->provenance.git_dirty ? ", DIRTY BUILD" : "");
    gyre_book_line(book, "two numbers are the same where |a - b| <= %g + %g max(|a|, |b|)%s", d->atol, d->rtol, a->minor != b->minor ? "; what only the newer schema has is not compared" : "");
    GYRE_TRY(questions(d, book, err));
    GYRE_TRY(counts(d, book, err));
    GYRE_TRY(only(d, book, err));
    GYRE_TRY(exact(d, book, err));
    GYRE_TRY(worst(d, book, err));
    GYRE_TRY(verdicts(d, book, err));
    GYRE_TRY(provenance(d, book, err));
    GYRE_TRY(result(d, book, err));
    GYRE_TRY(gyre_book_finish(book, err));
done:
    gyre_book_free(book);
    return st;
}
