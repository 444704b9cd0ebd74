#include "experiments/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "experiments/report_parts.h"
#include "results/digest.h"
#include "results/results_file.h"

enum { DISCORDS_SHOWN = 24 }; /* lines of a list that a reader still reads */

const char *gyre_report_streams(const char *streams)
{
    return strcmp(streams, "kv") == 0 ? "K and V" : strcmp(streams, "k") == 0 ? "K" : strcmp(streams, "v") == 0 ? "V" : "nothing";
}

const char *gyre_report_leak(const gyre_table *t, size_t source)
{
    return t->sources[source].leak || gyre_arm_leaks(t, source, NULL, NULL) ? " (LEAK: calibration overlaps evaluation, deliberately)" : "";
}

const char *gyre_report_leak_of_arm(const gyre_table *t, size_t source, const char *arm, const char *point)
{
    return gyre_arm_leaks(t, source, arm, point) ? "LEAK: fitted to evaluation documents" : "";
}

/* ---- head ---- */

/* Cells by what became of them, and by their marks. */
typedef struct tally {
    size_t ok, skipped, other, floors, leaks;
} tally;

static tally count_cells(const gyre_table *t)
{
    tally n = {0, 0, 0, 0, 0};
    for (size_t i = 0; i < t->n_cells; i++) {
        n.ok += t->cells[i].status == GYRE_CELL_OK;
        n.skipped += t->cells[i].status == GYRE_CELL_SKIPPED;
        n.other += t->cells[i].status != GYRE_CELL_OK && t->cells[i].status != GYRE_CELL_SKIPPED;
        n.floors += gyre_cell_flagged(&t->cells[i], "storage_floor");
        n.leaks += gyre_cell_flagged(&t->cells[i], "leak");
    }
    return n;
}

static gyre_status head(const gyre_table *t, const gyre_provenance *p, const char *digest, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {
        {.name = "experiment", .where = GYRE_SHEET_DATA}, {.name = "cells_ok", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA}, {.name = "cells_skipped", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
        {.name = "cells_missing_or_failed", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA}, {.name = "cells_storage_floor", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
        {.name = "cells_leak", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA}, {.name = "build", .where = GYRE_SHEET_DATA}, {.name = "config_sha256", .where = GYRE_SHEET_DATA},
        {.name = "analysis_sha256", .where = GYRE_SHEET_DATA},
    };
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    tally n = count_cells(t);
    gyre_book_words(book, "%s: %zu cells OK, %zu skipped, %zu missing or failed; build %s%s; configuration %.12s, analysis plan %.12s; results file %.12s", t->experiment, n.ok, n.skipped, n.other,
                    p->build_id, p->git_dirty ? " (DIRTY: not the code of any commit)" : "", t->config_sha256, t->analysis_sha256, digest);
    if (n.floors > 0)
        gyre_book_line(book, "%zu cells lie within 10x of their capture's storage error (flag storage_floor)", n.floors);
    if (n.leaks > 0)
        gyre_book_line(book, "LEAK: %zu cells are fitted to evaluation documents, deliberately (flag leak)", n.leaks);
    GYRE_TRY(gyre_sheet_open(book, "experiment", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_word(s, t->experiment);
    const size_t counts[] = {n.ok, n.skipped, n.other, n.floors, n.leaks};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        gyre_sheet_number(s, (double)counts[i]);
    gyre_sheet_word(s, p->build_id);
    gyre_sheet_word(s, t->config_sha256);
    gyre_sheet_word(s, t->analysis_sha256);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- arms ---- */

/* Is anything read by the query? */
static bool reads_apart(const gyre_summary *all, size_t count)
{
    bool apart = false;
    for (size_t i = 0; i < count; i++)
        apart = apart || fabs(all[i].read_bits - all[i].payload_bits) > 0.0;
    return apart;
}

static bool unusable(const gyre_summary *s)
{
    return strcmp(s->status, "SKIPPED") == 0 || strcmp(s->status, "INCOMPLETE") == 0;
}

static const gyre_sheet_column arm_columns[] = {
    {.name = "source", .where = GYRE_SHEET_DATA}, {.name = "streams", .where = GYRE_SHEET_DATA}, {.name = "arm"}, {.name = "point"}, {.name = "status", .where = GYRE_SHEET_DATA},
    {.name = "reason", .where = GYRE_SHEET_DATA}, {.name = "payload", .kind = GYRE_SHEET_REAL, .decimals = 3}, {.name = "total", .kind = GYRE_SHEET_REAL, .decimals = 3},
    {.name = "read", .kind = GYRE_SHEET_REAL, .decimals = 3}, {.name = "n", .kind = GYRE_SHEET_COUNT}, {.name = "seeds", .kind = GYRE_SHEET_COUNT},
};
enum { ARM_COLUMNS = sizeof arm_columns / sizeof *arm_columns, ARM_READ = 8 };

/* Behind the fixed columns one for each metric, then the mark. */
static size_t columns_of_arms(const gyre_table *t, bool apart, gyre_sheet_column *columns)
{
    size_t n = ARM_COLUMNS;
    memcpy(columns, arm_columns, sizeof arm_columns);
    columns[ARM_READ].where = apart ? GYRE_SHEET_EVERYWHERE : GYRE_SHEET_DATA;
    for (size_t m = 0; m < t->n_metrics && n + 1 < GYRE_SHEET_COLUMNS; m++)
        columns[n++] = (gyre_sheet_column){.name = t->metrics[m], .unit = t->metric_units[m], .kind = GYRE_SHEET_INTERVAL};
    columns[n++] = (gyre_sheet_column){.name = "mark"};
    return n;
}

/* s: the arm's summaries, one for each metric. */
static void arm_row(const gyre_table *t, const gyre_summary *s, gyre_sheet *sheet)
{
    size_t n = 0, seeds = 0;
    gyre_sheet_word(sheet, t->sources[s->source].name);
    gyre_sheet_word(sheet, s->streams);
    gyre_sheet_word(sheet, s->arm);
    gyre_sheet_word(sheet, s->point);
    gyre_sheet_word(sheet, s->status);
    gyre_sheet_word(sheet, s->reason);
    if (unusable(s)) {
        gyre_sheet_rest(sheet, "%s: %s", s->status, s->reason);
        return;
    }
    for (size_t m = 0; m < t->n_metrics; m++) {
        n = s[m].n_documents > n ? s[m].n_documents : n;
        seeds = s[m].n_seeds > seeds ? s[m].n_seeds : seeds;
    }
    const double numbers[] = {s->payload_bits, s->total_bits, s->read_bits, (double)n, (double)seeds};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gyre_sheet_number(sheet, numbers[i]);
    for (size_t m = 0; m < t->n_metrics; m++)
        gyre_sheet_interval(sheet, s[m].mean, s[m].lo, s[m].hi);
    gyre_sheet_word(sheet, gyre_report_leak_of_arm(t, s->source, s->arm, s->point));
}

/* One line an arm point: bits, then every metric with its interval. */
static gyre_status arms_of(const gyre_table *t, size_t source, const char *streams, const gyre_summary *all, size_t count, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    gyre_sheet_column columns[GYRE_SHEET_COLUMNS];
    bool model = t->sources[source].kind == GYRE_SOURCE_MODEL;
    size_t n = columns_of_arms(t, reads_apart(all, count), columns), i = 0;
    while (i < count && !(all[i].source == source && strcmp(all[i].streams, streams) == 0))
        i += t->n_metrics;
    if (i >= count)
        return GYRE_OK;
    GYRE_TRY(gyre_sheet_open(book, "arms", columns, n, &s, err));
    gyre_sheet_title(s, "%s%s, arms that code %s (%s over n %ss and seeds%s, 95 %% interval; lower is better)", t->sources[source].name, gyre_report_leak(t, source), gyre_report_streams(streams),
                     model ? "mean" : "geometric mean", gyre_unit_word(&t->sources[source]), model ? "" : ", arithmetic for shares");
    for (; i < count; i += t->n_metrics)
        if (all[i].source == source && strcmp(all[i].streams, streams) == 0)
            arm_row(t, &all[i], s);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- order ---- */

static const gyre_sheet_column discord_columns[] = {
    {.name = "metric a", .where = GYRE_SHEET_DATA}, {.name = "metric b", .where = GYRE_SHEET_DATA}, {.name = "source"}, {.name = "point"}, {.name = "better by a", .where = GYRE_SHEET_DATA},
    {.name = "better by b", .where = GYRE_SHEET_DATA}, {.name = "arms", .where = GYRE_SHEET_PRINTED}, {.name = "ratio of a", .kind = GYRE_SHEET_INTERVAL}, {.name = "ratio of b", .kind = GYRE_SHEET_INTERVAL},
};

static void discord_row(const gyre_table *t, const gyre_discord *d, const char *a, const char *b, gyre_sheet *s)
{
    char arms[512];
    (void)snprintf(arms, sizeof arms, "%s beats %s", d->better_by_a, d->better_by_b);
    gyre_sheet_word(s, a);
    gyre_sheet_word(s, b);
    gyre_sheet_word(s, t->sources[d->source].name);
    gyre_sheet_word(s, d->point);
    gyre_sheet_word(s, d->better_by_a);
    gyre_sheet_word(s, d->better_by_b);
    gyre_sheet_word(s, arms);
    gyre_sheet_interval_times(s, d->ratio_a, d->ratio_a_lo, d->ratio_a_hi);
    gyre_sheet_interval_times(s, d->ratio_b, d->ratio_b_lo, d->ratio_b_hi);
}

static gyre_status order(gyre_table *t, const char *a, const char *b, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_discord *pairs = NULL;
    gyre_sheet *s = NULL;
    char title[512], by_a[128], by_b[128];
    size_t ma = gyre_metric_place(t, a), mb = gyre_metric_place(t, b), n = 0, examined = 0;
    gyre_sheet_column columns[sizeof discord_columns / sizeof *discord_columns];
    if (ma == t->n_metrics || mb == t->n_metrics)
        return GYRE_OK;
    GYRE_TRY(gyre_discords(t, ma, mb, GYRE_REPORT_ALPHA, &pairs, &n, &examined, err));
    (void)snprintf(title, sizeof title, "%s against %s: of %zu pairs of arms at equal grid points, %zu are ordered oppositely (exploratory: both paired 95 %% intervals exclude no difference)", a, b,
                   examined, n);
    if (n == 0)
        gyre_book_words(book, "%s", title);
    memcpy(columns, discord_columns, sizeof columns);
    if (!gyre_book_is_data(book)) { /* people read the metric's name there */
        (void)snprintf(by_a, sizeof by_a, "by %s", a);
        (void)snprintf(by_b, sizeof by_b, "but loses by %s", b);
        columns[7].name = by_a;
        columns[8].name = by_b;
    }
    GYRE_TRY(gyre_sheet_open(book, "discords", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "%s", title);
    for (size_t i = 0; i < n && (i < DISCORDS_SHOWN || gyre_book_is_data(book)); i++)
        discord_row(t, &pairs[i], a, b, s);
    if (n > DISCORDS_SHOWN)
        gyre_sheet_note(s, "and %zu more: gyre report --format csv --only discords has all", n - DISCORDS_SHOWN);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- the report ---- */

static gyre_status check_only(const char *only, gyre_error *err)
{
    static const char *const tables[] = {"experiment", "perplexity", "arms", "fits", "verdicts", "discords", "front", "dominated", "contradicted", "best", "exact", "canaries", NULL};
    for (size_t i = 0; only == NULL || tables[i] != NULL; i++)
        if (only == NULL || strcmp(only, tables[i]) == 0)
            return GYRE_OK;
    const char *near = gyre_nearest(only, tables);
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "--only %s%s%s%s: experiment, perplexity, arms, fits, verdicts, discords, front, dominated, contradicted, best, exact or canaries is wanted", only,
                          near != NULL ? " (did you mean " : "", near != NULL ? near : "", near != NULL ? "?)" : "");
}

static gyre_status tables_of(gyre_table *t, const gyre_provenance *provenance, const char *digest, gyre_book *book, gyre_error *err)
{
    static const char *const streams[] = {"k", "v", "kv", "none"};
    gyre_status st = GYRE_OK;
    const gyre_summary *all = NULL;
    size_t count = 0;
    GYRE_TRY(gyre_summarise(t, GYRE_REPORT_ALPHA, &all, &count, err));
    GYRE_TRY(head(t, provenance, digest, book, err));
    GYRE_TRY(gyre_report_registration(t, book, err));
    gyre_report_canary_counts(t, book);
    gyre_report_verdict_counts(t, book);
    GYRE_TRY(gyre_report_perplexity(t, book, err));
    for (size_t s = 0; s < t->n_sources; s++)
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            GYRE_TRY(arms_of(t, s, streams[i], all, count, book, err));
    GYRE_TRY(gyre_report_fits(t, book, err));
    GYRE_TRY(gyre_report_verdicts(t, book, err));
    GYRE_TRY(order(t, "nmse", "softmax_kl", book, err));
    GYRE_TRY(order(t, "nmse_centred", "softmax_kl", book, err));
    GYRE_TRY(gyre_report_pareto(t, all, count, book, err));
    GYRE_TRY(gyre_report_exact(t, book, err));
    GYRE_TRY(gyre_report_canaries(t, book, err));
done:
    return st;
}

gyre_status gyre_report_print(const char *path, gyre_sheet_format format, const char *only, FILE *out, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = NULL;
    gyre_book *book = NULL;
    gyre_provenance provenance;
    char digest[GYRE_SHA256_HEX];
    GYRE_TRY(check_only(only, err));
    GYRE_TRY(gyre_results_read(path, &t, &provenance, log, err));
    GYRE_TRY(gyre_results_digest(path, digest, err));
    const gyre_sheet_facts facts = {digest, provenance.build_id, provenance.git_dirty};
    GYRE_TRY(gyre_book_open(out, format, only, &facts, &book, err));
    GYRE_TRY(tables_of(t, &provenance, digest, book, err));
    GYRE_TRY(gyre_book_finish(book, err));
    GYRE_TRY(gyre_report_wiring(t, path, err));
done:
    gyre_book_free(book);
    gyre_table_free(t);
    return st;
}

gyre_status gyre_report_file(const char *path, FILE *out, gyre_log *log, gyre_error *err)
{
    return gyre_report_print(path, GYRE_SHEET_TEXT, NULL, out, log, err);
}
