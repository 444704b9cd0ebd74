/* Comparing: rows joined by sorting, then column after column of the schema; the worst differences are kept in a short sorted list. Printing is diff_print.c. */
#include "results/diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/h5.h"
#include "results/diff_parts.h"
#include "results/digest.h"
#include "results/results_file.h"

/* ---- files ---- */

/* MINOR of the schema of a file that has been read, hence checked. */
static gyre_status minor_of(const char *path, unsigned *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t file = H5I_INVALID_HID;
    char *version = NULL;
    GYRE_TRY(gyre_h5_open(path, &file, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "schema_version", &version, err));
    *out = (unsigned)strtoul(strchr(version, '.') + 1, NULL, 10);
done:
    free(version);
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    return st;
}

static gyre_status open_side(const char *path, gyre_diff_side *s, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    s->path = path;
    GYRE_TRY(gyre_results_read(path, &s->table, &s->provenance, log, err));
    GYRE_TRY(gyre_results_digest(path, s->digest, err));
    GYRE_TRY(minor_of(path, &s->minor, err));
    GYRE_TRY(gyre_fit_columns_of_table(s->table, &s->fits, err));
done:
    return st;
}

/* ---- what a row is ---- */

static const char *const cell_names[] = {"/cells/source", "/cells/layer", "/cells/arm", "/cells/point", "/cells/seed", NULL};
static const char *const comparison_names[] = {"/stats/source", "/stats/arm", "/stats/against", "/stats/metric", "/stats/point", NULL};
static const char *const canary_names[] = {"/canaries/name", NULL};
static const char *const exact_names[] = {"/exact/source", "/exact/arm", "/exact/point", "/exact/quantity", NULL};
static const char *const pass_names[] = {"/perplexity/source", "/perplexity/arm", "/perplexity/point", "/perplexity/seed", NULL};
static const char *const fit_names[] = {"/fits/stream", "/fits/head", NULL}; /* behind those of its cell */

static const char *const *names_of(gyre_schema_owner owner)
{
    switch (owner) {
    case GYRE_SCHEMA_CELLS:
        return cell_names;
    case GYRE_SCHEMA_COMPARISONS:
        return comparison_names;
    case GYRE_SCHEMA_PERPLEXITY:
        return pass_names;
    case GYRE_SCHEMA_CANARIES:
        return canary_names;
    case GYRE_SCHEMA_EXACT:
        return exact_names;
    default:
        return fit_names;
    }
}

static int compare_names(const gyre_diff_row *a, const gyre_diff_row *b, gyre_schema_owner owner)
{
    int order = 0;
    gyre_items of_a = gyre_items_of(a->side->table, NULL, &a->side->fits, owner), of_b = gyre_items_of(b->side->table, NULL, &b->side->fits, owner);
    if (owner == GYRE_SCHEMA_FITS) {
        const gyre_diff_row cell_a = {a->side, GYRE_SCHEMA_CELLS, a->side->fits.rows[a->place].cell}, cell_b = {b->side, GYRE_SCHEMA_CELLS, b->side->fits.rows[b->place].cell};
        order = compare_names(&cell_a, &cell_b, GYRE_SCHEMA_CELLS);
    }
    for (const char *const *name = names_of(owner); *name != NULL && order == 0; name++) {
        const gyre_schema_row *row = gyre_schema_find(*name);
        if (gyre_schema_is_text(row->type)) {
            order = strcmp(gyre_column_text(row, a->side->table, &of_a, a->place), gyre_column_text(row, b->side->table, &of_b, b->place));
        } else {
            double x = gyre_column_number(row, &of_a, a->place), y = gyre_column_number(row, &of_b, b->place);
            order = (x > y) - (x < y);
        }
    }
    return order;
}

static int by_name(const void *a, const void *b)
{
    const gyre_diff_row *x = a, *y = b;
    int order = compare_names(x, y, x->owner);
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

void gyre_diff_name(const gyre_diff_row *r, char *text, size_t size)
{
    gyre_items items = gyre_items_of(r->side->table, NULL, &r->side->fits, r->owner);
    size_t at = 0;
    text[0] = '\0';
    if (r->owner == GYRE_SCHEMA_FITS) {
        const gyre_diff_row cell = {r->side, GYRE_SCHEMA_CELLS, r->side->fits.rows[r->place].cell};
        gyre_diff_name(&cell, text, size);
        at = strlen(text);
    }
    for (const char *const *name = names_of(r->owner); *name != NULL; name++) {
        const gyre_schema_row *row = gyre_schema_find(*name);
        const char *word = gyre_schema_is_text(row->type) ? gyre_column_text(row, r->side->table, &items, r->place) : NULL, *key = gyre_schema_name(row);
        if ((word != NULL && word[0] == '\0') || at >= size)
            continue;
        const char *comma = at > 0 ? ", " : "", *label = strcmp(key, "source") == 0 || strcmp(key, "name") == 0 ? "" : key, *blank = label[0] != '\0' ? " " : "";
        if (word != NULL)
            at += (size_t)snprintf(text + at, size - at, "%s%s%s%s", comma, label, blank, word);
        else
            at += (size_t)snprintf(text + at, size - at, "%s%s%s%.0f", comma, label, blank, gyre_column_number(row, &items, r->place));
    }
}

/* ---- numbers ---- */

/* 0 where the two are the same within the tolerance, else |a - b| / max(|a|, |b|), which is more than 0. */
static double beyond(const gyre_diffs *d, double a, double b)
{
    double most = fmax(fabs(a), fabs(b)), off = fabs(a - b);
    if ((isnan(a) && isnan(b)) || off <= 0.0 || (isinf(a) && isinf(b) && (a > 0.0) == (b > 0.0)))
        return 0.0;
    if (!isfinite(a) || !isfinite(b))
        return INFINITY;
    return off <= d->atol + d->rtol * most ? 0.0 : off / most;
}

static void remember(gyre_diffs *d, const gyre_difference *x)
{
    size_t at = d->n_worst < GYRE_DIFF_SHOWN ? d->n_worst++ : GYRE_DIFF_SHOWN;
    while (at > 0 && x->relative > d->worst[at - 1].relative) {
        if (at < GYRE_DIFF_SHOWN)
            d->worst[at] = d->worst[at - 1];
        at--;
    }
    if (at < GYRE_DIFF_SHOWN)
        d->worst[at] = *x;
}

/* Texts and counts differ or not: one line a column, with the first row in which they do. */
static void remember_exact(gyre_diffs *d, const gyre_difference *x)
{
    size_t i = 0;
    while (i < d->n_exact && !(d->exact[i].a.owner == x->a.owner && strcmp(d->exact[i].column, x->column) == 0))
        i++;
    if (i == d->n_exact && i < GYRE_DIFF_EXACT)
        d->exact[d->n_exact++] = *x;
    if (i < GYRE_DIFF_EXACT)
        d->exact[i].rows++;
}

static void count(gyre_diffs *d, gyre_diff_tally *t, double relative)
{
    t->compared++;
    t->beyond += relative > 0.0;
    t->worst = isfinite(relative) && relative > t->worst ? relative : t->worst; /* of numbers: texts differ or not */
    d->same = d->same && !(relative > 0.0);
}

/* ---- columns ---- */

/* What a row is named by, where it lies, and what may differ between equal runs. */
static bool left_out(const gyre_schema_row *row, unsigned minor)
{
    static const char *const not_compared[] = {"/cells/key", "/cells/codec_k", "/cells/codec_v", /* compare_codecs */ "/timing/wall_s", "/fits/cell", "/fits/parameters_offset", "/fits/points_offset", "/stats/verdict", NULL};
    for (size_t i = 0; not_compared[i] != NULL; i++)
        if (strcmp(row->path, not_compared[i]) == 0)
            return true;
    return row->kind != GYRE_SCHEMA_COLUMN || row->since > minor;
}

static void compare_columns(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b, gyre_diff_tally *tally)
{
    gyre_items of_a = gyre_items_of(a->side->table, NULL, &a->side->fits, a->owner), of_b = gyre_items_of(b->side->table, NULL, &b->side->fits, b->owner);
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++) {
        if (row->owner != a->owner || left_out(row, d->minor))
            continue;
        gyre_difference x = {.a = *a, .b = *b, .column = gyre_schema_name(row), .x = NAN, .y = NAN};
        if (gyre_schema_is_text(row->type)) {
            x.text_a = gyre_column_text(row, a->side->table, &of_a, a->place);
            x.text_b = gyre_column_text(row, b->side->table, &of_b, b->place);
            x.relative = strcmp(x.text_a, x.text_b) == 0 ? 0.0 : INFINITY;
        } else {
            x.x = gyre_column_number(row, &of_a, a->place);
            x.y = gyre_column_number(row, &of_b, b->place);
            x.relative = row->type == GYRE_SCHEMA_REAL ? beyond(d, x.x, x.y) : fabs(x.x - x.y) > 0.0 ? INFINITY : 0.0;
        }
        count(d, tally, x.relative);
        if (x.relative > 0.0 && row->type == GYRE_SCHEMA_REAL)
            remember(d, &x);
        else if (x.relative > 0.0)
            remember_exact(d, &x);
    }
}

/* ---- arrays of a row ---- */

/* All numbers of one metric of a cell; its worst is remembered. */
static void compare_metric(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b, size_t ma, size_t mb)
{
    const gyre_cell *x = &a->side->table->cells[a->place], *y = &b->side->table->cells[b->place];
    gyre_difference worst = {.a = *a, .b = *b, .column = a->side->table->metrics[ma], .relative = 0.0};
    for (size_t j = 0; j < x->n_documents && j < y->n_documents; j++)
        for (size_t h = 0; h < x->n_heads && h < y->n_heads; h++) {
            double u = gyre_cell_value(x, ma, j, h), v = gyre_cell_value(y, mb, j, h), relative = beyond(d, u, v);
            count(d, &d->tallies[GYRE_DIFF_VALUES], relative);
            if (relative > worst.relative) {
                worst.relative = relative;
                worst.x = u;
                worst.y = v;
                (void)snprintf(worst.place, sizeof worst.place, "document %zu, head %zu", x->first_document + j, h);
            }
        }
    if (worst.relative > 0.0)
        remember(d, &worst);
}

/* Of the same numbers another canonical text is the same codec in other words: told, and no difference. Else it may be why they differ. */
static void compare_codecs(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b, bool same_numbers, gyre_diff_tally *tally)
{
    const gyre_cell *x = &a->side->table->cells[a->place], *y = &b->side->table->cells[b->place];
    const char *const texts[2][2] = {{x->codec_k, y->codec_k}, {x->codec_v, y->codec_v}}, *const columns[2] = {"codec_k", "codec_v"};
    for (size_t k = 0; k < 2; k++) {
        bool same = strcmp(texts[k][0], texts[k][1]) == 0;
        const gyre_difference found = {.a = *a, .b = *b, .column = columns[k], .x = NAN, .y = NAN, .relative = INFINITY, .text_a = texts[k][0], .text_b = texts[k][1]};
        count(d, tally, same || same_numbers ? 0.0 : INFINITY);
        if (!same && !same_numbers)
            remember_exact(d, &found);
        else if (!same && d->codecs[k].rows++ == 0) {
            d->codecs[k] = found;
            d->codecs[k].rows = 1;
        }
    }
}

static void compare_values(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b)
{
    const gyre_table *t = a->side->table;
    d->other_keys += strcmp(t->cells[a->place].key, b->side->table->cells[b->place].key) != 0;
    if (t->cells[a->place].values == NULL || b->side->table->cells[b->place].values == NULL)
        return;
    for (size_t m = 0; m < t->n_metrics; m++) {
        size_t other = gyre_metric_place(b->side->table, t->metrics[m]);
        if (other < b->side->table->n_metrics)
            compare_metric(d, a, b, m, other);
    }
}

/* Parameters and points of two fits that have as many of them; that they have is a column. */
static void compare_fit(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b)
{
    const gyre_fit_columns *p = &a->side->fits, *q = &b->side->fits;
    const gyre_fit_row *x = &p->rows[a->place], *y = &q->rows[b->place];
    gyre_difference worst = {.a = *a, .b = *b, .column = "parameters", .relative = 0.0};
    for (size_t i = 0; i < x->n_parameters && x->n_parameters == y->n_parameters; i++) {
        double u = (double)p->parameters[x->parameters_offset + i], v = (double)q->parameters[y->parameters_offset + i], relative = beyond(d, u, v);
        count(d, &d->tallies[GYRE_DIFF_FITS], relative);
        if (relative > worst.relative) {
            worst.relative = relative;
            worst.x = u;
            worst.y = v;
            (void)snprintf(worst.place, sizeof worst.place, "parameter %zu", i);
        }
    }
    if (worst.relative > 0.0)
        remember(d, &worst);
    worst = (gyre_difference){.a = *a, .b = *b, .column = "points", .relative = 0.0};
    for (size_t i = 0; i < 2 * x->n_points && x->n_points == y->n_points; i++) {
        double u = p->points[x->points_offset + i / 2].value[i % 2], v = q->points[y->points_offset + i / 2].value[i % 2], relative = beyond(d, u, v);
        count(d, &d->tallies[GYRE_DIFF_FITS], relative);
        if (relative > worst.relative) {
            worst.relative = relative;
            worst.x = u;
            worst.y = v;
            (void)snprintf(worst.place, sizeof worst.place, "point %zu, %s rows", i / 2, i % 2 == 0 ? "calibration" : "validation");
        }
    }
    if (worst.relative > 0.0)
        remember(d, &worst);
}

static void compare_verdict(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b)
{
    const gyre_comparison *x = &a->side->table->comparisons[a->place], *y = &b->side->table->comparisons[b->place];
    if (strcmp(x->verdict, y->verdict) == 0)
        return;
    d->same = false;
    if (d->n_verdicts++ < GYRE_DIFF_SHOWN)
        d->verdicts[d->n_verdicts - 1] = (gyre_difference){.a = *a, .b = *b, .text_a = x->verdict, .text_b = y->verdict};
}

/* ---- rows ---- */

static gyre_status sorted(const gyre_diff_side *side, gyre_schema_owner owner, gyre_diff_row **out, size_t *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *n = gyre_items_of(side->table, NULL, &side->fits, owner).count;
    GYRE_NEW(out, *n);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = (gyre_diff_row){side, owner, i};
    qsort(*out, *n, sizeof **out, by_name);
done:
    return st;
}

static void only_one(gyre_diffs *d, const gyre_diff_row *row, size_t which, gyre_diff_tally *tally)
{
    d->same = false;
    tally->only[which]++;
    if (tally->only[which] <= GYRE_DIFF_SHOWN)
        d->only[d->n_only++] = *row;
}

static void both(gyre_diffs *d, const gyre_diff_row *a, const gyre_diff_row *b, gyre_diff_tally *tally)
{
    size_t before = tally->beyond + d->tallies[GYRE_DIFF_VALUES].beyond;
    tally->joined++;
    compare_columns(d, a, b, tally);
    if (a->owner == GYRE_SCHEMA_CELLS) {
        compare_values(d, a, b);
        compare_codecs(d, a, b, tally->beyond + d->tallies[GYRE_DIFF_VALUES].beyond == before, tally);
    }
    if (a->owner == GYRE_SCHEMA_FITS)
        compare_fit(d, a, b);
    if (a->owner == GYRE_SCHEMA_COMPARISONS)
        compare_verdict(d, a, b);
}

static gyre_status join(gyre_diffs *d, gyre_schema_owner owner, gyre_diff_tally *tally, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_diff_row *rows[2] = {NULL, NULL};
    for (size_t k = 0; k < 2; k++)
        GYRE_TRY(sorted(&d->sides[k], owner, &rows[k], &tally->rows[k], err));
    for (size_t i = 0, j = 0; i < tally->rows[0] || j < tally->rows[1];) {
        int order = i == tally->rows[0] ? 1 : j == tally->rows[1] ? -1 : compare_names(&rows[0][i], &rows[1][j], owner);
        if (order == 0)
            both(d, &rows[0][i++], &rows[1][j++], tally);
        else if (order < 0)
            only_one(d, &rows[0][i++], 0, tally);
        else
            only_one(d, &rows[1][j++], 1, tally);
    }
done:
    free(rows[0]);
    free(rows[1]);
    return st;
}

gyre_status gyre_diff(const char *path_a, const char *path_b, double rtol, double atol, gyre_sheet_format format, FILE *out, gyre_log *log, bool *same, gyre_error *err)
{
    static const gyre_schema_owner owners[GYRE_DIFF_TABLES] = {GYRE_SCHEMA_CELLS, GYRE_SCHEMA_FILE, GYRE_SCHEMA_COMPARISONS, GYRE_SCHEMA_PERPLEXITY, GYRE_SCHEMA_FITS, GYRE_SCHEMA_EXACT, GYRE_SCHEMA_CANARIES};
    gyre_status st = GYRE_OK;
    gyre_diffs *d = NULL;
    GYRE_NEW(&d, 1);
    d->rtol = rtol;
    d->atol = atol;
    d->same = true;
    GYRE_TRY(open_side(path_a, &d->sides[0], log, err));
    GYRE_TRY(open_side(path_b, &d->sides[1], log, err));
    d->minor = d->sides[0].minor < d->sides[1].minor ? d->sides[0].minor : d->sides[1].minor;
    for (size_t k = 0; k < GYRE_DIFF_TABLES; k++)
        if (owners[k] != GYRE_SCHEMA_FILE && gyre_schema_find(names_of(owners[k])[0])->since <= d->minor) /* values go with their cells; rows of a group that the older file could not have are no difference */
            GYRE_TRY(join(d, owners[k], &d->tallies[k], err));
    GYRE_TRY(gyre_diff_print(d, format, out, err));
    *same = d->same;
done:
    for (size_t k = 0; k < 2 && d != NULL; k++) {
        gyre_fit_columns_free(&d->sides[k].fits);
        gyre_table_free(d->sides[k].table);
    }
    free(d);
    return st;
}
