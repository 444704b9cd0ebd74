/* Export: columns of the schema by owner, one loop for all of them; values and arms, which are no columns, by hand. */
#include "results/export.h"

#include <math.h>
#include <string.h>

#include "core/options.h"
#include "results/columns.h"
#include "results/digest.h"
#include "results/results_file.h"
#include "results/summary.h"

#define ARMS_ALPHA 0.05

typedef struct job {
    gyre_table *table;
    const gyre_fit_columns *fits;
    gyre_book *book;
} job;

/* ---- columns of the schema ---- */

static bool exported(const gyre_schema_row *row, gyre_schema_owner owner)
{
    return row->kind == GYRE_SCHEMA_COLUMN && row->owner == owner;
}

static const char *unit_of(const gyre_schema_row *row)
{
    return row->unit == NULL || strcmp(row->unit, "1") == 0 ? NULL : row->unit;
}

static gyre_sheet_kind kind_of(const gyre_schema_row *row)
{
    return gyre_schema_is_text(row->type) ? GYRE_SHEET_WORD : row->type == GYRE_SCHEMA_REAL || row->type == GYRE_SCHEMA_F32 ? GYRE_SHEET_REAL : GYRE_SHEET_COUNT;
}

static const char *name_of(const gyre_schema_row *row)
{
    const char *name = gyre_schema_name(row);
    return strncmp(name, "point_", 6) == 0 ? name + 6 : name; /* of a table of points each is */
}

static void put(const gyre_schema_row *row, const gyre_table *table, const gyre_items *items, size_t i, gyre_sheet *s)
{
    if (gyre_schema_is_text(row->type))
        gyre_sheet_word(s, gyre_column_text(row, table, items, i));
    else
        gyre_sheet_number(s, gyre_column_number(row, items, i));
}

/* ---- what stands before them ---- */

static const gyre_sheet_column of_source[] = {{.name = "name"}};
static const gyre_sheet_column of_fit[] = {{.name = "fit", .kind = GYRE_SHEET_COUNT}, {.name = "source"}, {.name = "layer", .kind = GYRE_SHEET_COUNT}, {.name = "arm"}, {.name = "arm_point"}, {.name = "seed", .kind = GYRE_SHEET_COUNT}};
static const gyre_sheet_column of_part[] = {{.name = "fit", .kind = GYRE_SHEET_COUNT}, {.name = "place", .kind = GYRE_SHEET_COUNT}};

static void fit_cell(const job *j, size_t fit, gyre_sheet *s)
{
    const gyre_cell *c = &j->table->cells[j->fits->rows[fit].cell];
    gyre_sheet_number(s, (double)fit);
    gyre_sheet_word(s, j->table->sources[c->source].name);
    gyre_sheet_number(s, c->layer);
    gyre_sheet_word(s, c->arm);
    gyre_sheet_word(s, c->point);
    gyre_sheet_number(s, c->seed);
}

/* The fit that owns point or parameter i; fits lie behind each other. */
static size_t owner_of(const job *j, gyre_schema_owner owner, size_t i, size_t fit)
{
    const gyre_fit_row *r = j->fits->rows;
    while (fit + 1 < j->fits->n_fits && i >= (owner == GYRE_SCHEMA_POINTS ? r[fit].points_offset + r[fit].n_points : r[fit].parameters_offset + r[fit].n_parameters))
        fit++;
    return fit;
}

static size_t first_columns(gyre_schema_owner owner, const gyre_sheet_column **columns)
{
    *columns = owner == GYRE_SCHEMA_SOURCES ? of_source : owner == GYRE_SCHEMA_FITS ? of_fit : of_part;
    return owner == GYRE_SCHEMA_SOURCES ? 1 : owner == GYRE_SCHEMA_FITS ? sizeof of_fit / sizeof *of_fit : owner == GYRE_SCHEMA_POINTS || owner == GYRE_SCHEMA_PARAMETERS ? 2 : 0;
}

static void first_cells(const job *j, gyre_schema_owner owner, size_t i, size_t *fit, gyre_sheet *s)
{
    if (owner == GYRE_SCHEMA_SOURCES)
        gyre_sheet_word(s, j->table->sources[i].name);
    if (owner == GYRE_SCHEMA_FITS)
        fit_cell(j, i, s);
    if (owner != GYRE_SCHEMA_POINTS && owner != GYRE_SCHEMA_PARAMETERS)
        return;
    *fit = owner_of(j, owner, i, *fit);
    gyre_sheet_number(s, (double)*fit);
    gyre_sheet_number(s, (double)(i - (owner == GYRE_SCHEMA_POINTS ? j->fits->rows[*fit].points_offset : j->fits->rows[*fit].parameters_offset)));
}

static gyre_status columns_of(const job *j, const char *what, gyre_schema_owner owner, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    gyre_sheet_column columns[GYRE_SHEET_COLUMNS];
    const gyre_sheet_column *first = NULL;
    gyre_items items = gyre_items_of(j->table, NULL, j->fits, owner);
    size_t n = first_columns(owner, &first), fit = 0;
    memcpy(columns, first, n * sizeof *first);
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
        if (exported(row, owner) && n < GYRE_SHEET_COLUMNS)
            columns[n++] = (gyre_sheet_column){.name = name_of(row), .unit = unit_of(row), .kind = kind_of(row)};
    GYRE_TRY(gyre_sheet_open(j->book, what, columns, n, &s, err));
    gyre_sheet_title(s, "%s", what);
    for (size_t i = 0; i < items.count; i++) {
        first_cells(j, owner, i, &fit, s);
        for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
            if (exported(row, owner))
                put(row, j->table, &items, i, s);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- values ---- */

static const gyre_sheet_column value_columns[] = {
    {.name = "source"}, {.name = "layer", .kind = GYRE_SHEET_COUNT}, {.name = "document", .kind = GYRE_SHEET_COUNT}, {.name = "document_name"}, {.name = "head", .kind = GYRE_SHEET_COUNT}, {.name = "arm"},
    {.name = "point"}, {.name = "streams"}, {.name = "seed", .kind = GYRE_SHEET_COUNT}, {.name = "metric"}, {.name = "value", .kind = GYRE_SHEET_REAL},
};

static void values_of_cell(const gyre_table *t, const gyre_cell *c, gyre_sheet *s)
{
    const gyre_source *source = &t->sources[c->source];
    for (size_t m = 0; m < t->n_metrics; m++)
        for (size_t d = 0; d < c->n_documents; d++)
            for (size_t h = 0; h < c->n_heads; h++) {
                double value = gyre_cell_value(c, m, d, h);
                size_t document = c->first_document + d;
                if (isnan(value))
                    continue;
                gyre_sheet_word(s, source->name);
                gyre_sheet_number(s, c->layer);
                gyre_sheet_number(s, (double)document);
                gyre_sheet_word(s, document < source->n_documents ? source->documents[document] : "");
                gyre_sheet_number(s, (double)h);
                gyre_sheet_word(s, c->arm);
                gyre_sheet_word(s, c->point);
                gyre_sheet_word(s, c->streams);
                gyre_sheet_number(s, c->seed);
                gyre_sheet_word(s, t->metrics[m]);
                gyre_sheet_number(s, value);
            }
}

static gyre_status values(const job *j, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(j->book, "values", value_columns, sizeof value_columns / sizeof *value_columns, &s, err));
    gyre_sheet_title(s, "values");
    for (size_t i = 0; i < j->table->n_cells; i++)
        if (j->table->cells[i].status == GYRE_CELL_OK)
            values_of_cell(j->table, &j->table->cells[i], s);
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- arms ---- */

static const gyre_sheet_column arm_columns[] = {
    {.name = "source"}, {.name = "arm"}, {.name = "point"}, {.name = "streams"}, {.name = "metric"}, {.name = "unit"}, {.name = "status"}, {.name = "reason"}, {.name = "geometric", .kind = GYRE_SHEET_COUNT},
    {.name = "seeded", .kind = GYRE_SHEET_COUNT}, {.name = "n_seeds", .kind = GYRE_SHEET_COUNT}, {.name = "n_documents", .kind = GYRE_SHEET_COUNT}, {.name = "mean", .kind = GYRE_SHEET_INTERVAL},
    {.name = "payload_bits", .unit = "bit", .kind = GYRE_SHEET_REAL}, {.name = "total_bits", .unit = "bit", .kind = GYRE_SHEET_REAL}, {.name = "read_bits", .unit = "bit", .kind = GYRE_SHEET_REAL},
};

static gyre_status arms(const job *j, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    const gyre_summary *all = NULL;
    size_t n = 0;
    GYRE_TRY(gyre_summarise(j->table, ARMS_ALPHA, &all, &n, err));
    GYRE_TRY(gyre_sheet_open(j->book, "arms", arm_columns, sizeof arm_columns / sizeof *arm_columns, &s, err));
    gyre_sheet_title(s, "arms");
    for (size_t i = 0; i < n; i++) {
        const gyre_summary *a = &all[i];
        const char *const words[] = {j->table->sources[a->source].name, a->arm, a->point, a->streams, j->table->metrics[a->metric], j->table->metric_units[a->metric], a->status, a->reason};
        const double counts[] = {a->geometric, a->seeded, (double)a->n_seeds, (double)a->n_documents}, bits[] = {a->payload_bits, a->total_bits, a->read_bits};
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            gyre_sheet_word(s, words[k]);
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            gyre_sheet_number(s, counts[k]);
        gyre_sheet_interval(s, a->mean, a->lo, a->hi);
        for (size_t k = 0; k < sizeof bits / sizeof *bits; k++)
            gyre_sheet_number(s, bits[k]);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

/* ---- the words ---- */

static const char *const words[] = {"cells", "values", "arms", "comparisons", "perplexity", "fits", "points", "parameters", "sources", "exact", "canaries", NULL};

static gyre_status check_what(const char *what, gyre_error *err)
{
    for (size_t i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], what) == 0)
            return GYRE_OK;
    const char *near = gyre_nearest(what, words);
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "--what %s%s%s%s: cells, values, arms, comparisons, perplexity, fits, points, parameters, sources, exact or canaries is wanted", what,
                          near != NULL ? " (did you mean " : "", near != NULL ? near : "", near != NULL ? "?)" : "");
}

static gyre_status export_what(const job *j, const char *what, gyre_error *err)
{
    static const struct {
        const char *what;
        gyre_schema_owner owner;
    } owners[] = {{"cells", GYRE_SCHEMA_CELLS}, {"comparisons", GYRE_SCHEMA_COMPARISONS}, {"perplexity", GYRE_SCHEMA_PERPLEXITY}, {"fits", GYRE_SCHEMA_FITS}, {"points", GYRE_SCHEMA_POINTS},
                  {"parameters", GYRE_SCHEMA_PARAMETERS}, {"sources", GYRE_SCHEMA_SOURCES}, {"exact", GYRE_SCHEMA_EXACT}, {"canaries", GYRE_SCHEMA_CANARIES}};
    if (strcmp(what, "values") == 0)
        return values(j, err);
    if (strcmp(what, "arms") == 0)
        return arms(j, err);
    size_t i = 0;
    while (strcmp(owners[i].what, what) != 0)
        i++;
    return columns_of(j, what, owners[i].owner, err);
}

gyre_status gyre_export(const char *path, const char *what, gyre_sheet_format format, FILE *out, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_provenance provenance;
    gyre_fit_columns fits = {0};
    job j = {NULL, &fits, NULL};
    char digest[GYRE_SHA256_HEX];
    GYRE_TRY(check_what(what, err));
    GYRE_TRY(gyre_results_read(path, &j.table, &provenance, log, err));
    GYRE_TRY(gyre_results_digest(path, digest, err));
    GYRE_TRY(gyre_fit_columns_of_table(j.table, &fits, err));
    const gyre_sheet_facts facts = {digest, provenance.build_id, provenance.git_dirty};
    GYRE_TRY(gyre_book_open(out, format, NULL, &facts, &j.book, err));
    GYRE_TRY(export_what(&j, what, err));
    GYRE_TRY(gyre_book_finish(j.book, err));
done:
    gyre_book_free(j.book);
    gyre_fit_columns_free(&fits);
    gyre_table_free(j.table);
    return st;
}
