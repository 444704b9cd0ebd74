/* Reading a results file: one pass over the rows of the schema, in their order, into a new table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/h5.h"
#include "results/columns.h"
#include "results/digest.h"
#include "results/results_file.h"
#include "results/schema.h"
#include "core/seal.h"

enum { PATH_TEXT = 256, MAX_LENGTH = 1 << 24, MAX_PARAMETERS = 1 << 28 };

typedef struct reader {
    gyre_table *table;
    gyre_provenance *provenance; /* may be NULL */
    hid_t file;
    char *version;
    gyre_fit_columns fits;
    size_t document, head, layer, calibration, validation; /* lengths of the scales that the table does not count itself */
} reader;

static void free_texts(char **texts, size_t n)
{
    for (size_t i = 0; texts != NULL && i < n; i++)
        free(texts[i]);
    free(texts);
}

/* ---- scales ---- */

static gyre_status scale_length(const reader *r, const char *name, size_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t n = 0;
    GYRE_TRY(gyre_h5_shape(r->file, name, 1, &n, err));
    if (n > (strcmp(name, "parameter") == 0 ? MAX_PARAMETERS : MAX_LENGTH))
        GYRE_FAIL(GYRE_E_INPUT, "the scale %s has %llu entries", name, (unsigned long long)n);
    *out = (size_t)n;
done:
    return st;
}

/* Scales that older files lack stay at 0. */
static gyre_status newer_scales(reader *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t fits = 0, parameters = 0, points = 0;
    gyre_table *t = r->table;
    const struct {
        const char *path;
        size_t *length;
    } scales[] = { { "/validation", &r->validation }, { "/fit", &fits }, { "/parameter", &parameters }, { "/point", &points }, { "/pass", &t->n_perplexity },
                 { "/canary", &t->n_canaries }, { "/exact_value", &t->n_exact } };
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (gyre_schema_has(gyre_schema_find(scales[i].path), r->version))
            GYRE_TRY(scale_length(r, scales[i].path + 1, scales[i].length, err));
    GYRE_TRY(gyre_fit_columns_new(fits, parameters, points, &r->fits, err));
    GYRE_TRY(gyre_table_keep(t, t->n_perplexity, sizeof *t->perplexity, &t->perplexity, err));
    GYRE_TRY(gyre_table_keep(t, t->n_canaries, sizeof *t->canaries, &t->canaries, err));
    GYRE_TRY(gyre_table_keep(t, t->n_exact, sizeof *t->exact, &t->exact, err));
done:
    return st;
}

static gyre_status read_scales(reader *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = r->table;
    char **names = NULL;
    GYRE_TRY(scale_length(r, "cell", &t->n_cells, err));
    GYRE_TRY(scale_length(r, "source", &t->n_sources, err));
    GYRE_TRY(scale_length(r, "comparison", &t->n_comparisons, err));
    GYRE_TRY(scale_length(r, "document", &r->document, err));
    GYRE_TRY(scale_length(r, "head", &r->head, err));
    GYRE_TRY(scale_length(r, "layer", &r->layer, err));
    GYRE_TRY(scale_length(r, "calibration", &r->calibration, err));
    GYRE_TRY(newer_scales(r, err));
    GYRE_TRY(gyre_table_keep(t, t->n_cells, sizeof *t->cells, &t->cells, err));
    GYRE_TRY(gyre_table_keep(t, t->n_sources, sizeof *t->sources, &t->sources, err));
    GYRE_TRY(gyre_table_keep(t, t->n_comparisons, sizeof *t->comparisons, &t->comparisons, err));
    for (size_t i = 0; i < t->n_comparisons; i++)
        gyre_comparison_defaults(&t->comparisons[i]); /* what older files do not say */
    GYRE_TRY(gyre_h5_read_texts(r->file, "source", t->n_sources, &names, err));
    for (size_t i = 0; i < t->n_sources; i++) {
        t->sources[i].texts = t->sources[i].texts_sha256 = t->sources[i].engine = ""; /* older files have none */
        GYRE_TRY(gyre_table_text(t, names[i], &t->sources[i].name, err));
    }
done:
    free_texts(names, t->n_sources);
    return st;
}

/* ---- attributes, scalars, columns ---- */

static gyre_status read_attribute(const reader *r, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_items items = gyre_items_of(r->table, r->provenance, &r->fits, row->owner);
    char *text = NULL, path[GYRE_SCHEMA_GROUP_TEXT];
    hid_t group = H5I_INVALID_HID;
    if (items.base == NULL) /* of the file itself, or of a provenance that nobody wants */
        goto done;
    gyre_schema_group(row, path);
    group = H5Gopen2(r->file, path, H5P_DEFAULT);
    if (group < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the group is missing");
    const char *name = gyre_schema_name(row);
    if (gyre_schema_is_text(row->type)) {
        GYRE_TRY(gyre_h5_get_attr_text(group, name, &text, err));
        GYRE_TRY(gyre_column_put_text(row, r->table, &items, 0, text, err));
        goto done;
    }
    uint64_t wide = 0;
    GYRE_TRY(gyre_h5_get_attr_uint(group, name, &wide, err));
    uint32_t narrow = (uint32_t)wide;
    uint8_t bit = wide != 0;
    gyre_column_put(row, &items, 0, row->type == GYRE_SCHEMA_U32 ? (void *)&narrow : row->type == GYRE_SCHEMA_BOOL ? (void *)&bit : (void *)&wide);
done:
    if (group >= 0)
        (void)H5Gclose(group);
    free(text);
    return st;
}

static gyre_status read_scalar(const reader *r, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_items items = gyre_items_of(r->table, r->provenance, &r->fits, row->owner);
    char *text = NULL;
    GYRE_TRY(gyre_h5_read_text(r->file, row->path, &text, err));
    GYRE_TRY(gyre_column_put_text(row, r->table, &items, 0, text, err));
done:
    free(text);
    return st;
}

static gyre_status read_column(const reader *r, const gyre_schema_row *row, gyre_error *err)
{
    gyre_items items = gyre_items_of(r->table, r->provenance, &r->fits, row->owner);
    return gyre_column_read(r->file, row, r->table, &items, err);
}

/* ---- lists of a source ---- */

/* The room that a scale gives a list. */
static size_t list_room(const reader *r, const char *scale)
{
    const struct {
        const char *scale;
        size_t room;
    } lists[] = { { "document", r->document }, { "calibration", r->calibration }, { "validation", r->validation }, { "layer", r->layer } };
    size_t i = 0;
    while (i + 1 < sizeof lists / sizeof *lists && strcmp(lists[i].scale, scale) != 0)
        i++;
    return lists[i].room;
}

static gyre_status put_list(const reader *r, const gyre_schema_row *row, size_t s, char *const *texts, const uint32_t *numbers, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t room = list_room(r, row->dims[1]), n = gyre_list_length(row, &r->table->sources[s]);
    void *at = (char *)&r->table->sources[s] + row->offset;
    if (n > room)
        GYRE_FAIL(GYRE_E_INPUT, "source %s counts %zu, the scale %s has %zu", r->table->sources[s].name, n, row->dims[1], room);
    if (texts != NULL) {
        const char **list = NULL;
        GYRE_TRY(gyre_table_keep(r->table, n, sizeof *list, &list, err));
        for (size_t i = 0; i < n; i++)
            GYRE_TRY(gyre_table_text(r->table, texts[s * room + i], &list[i], err));
        memcpy(at, &list, sizeof list);
    } else {
        uint32_t *list = NULL;
        GYRE_TRY(gyre_table_keep(r->table, n, sizeof *list, &list, err));
        memcpy(list, numbers + s * room, n * sizeof *list);
        if (row->offset == offsetof(gyre_source, text_of) && n == 0)
            list = NULL;
        memcpy(at, &list, sizeof list);
    }
done:
    return st;
}

static gyre_status read_list(const reader *r, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char **texts = NULL;
    uint32_t *numbers = NULL;
    size_t room = list_room(r, row->dims[1]);
    hsize_t dims[2] = { r->table->n_sources, room };
    size_t count = r->table->n_sources * room;
    if (row->type == GYRE_SCHEMA_TEXT) {
        GYRE_TRY(gyre_h5_shape(r->file, row->path, 2, dims, err));
        GYRE_TRY(gyre_h5_read_texts(r->file, row->path, count, &texts, err));
    } else {
        GYRE_NEW(&numbers, count);
        GYRE_TRY(gyre_h5_read(r->file, row->path, H5T_NATIVE_UINT32, 2, dims, numbers, err));
    }
    for (size_t s = 0; s < r->table->n_sources; s++)
        GYRE_TRY(put_list(r, row, s, texts, numbers, err));
done:
    free_texts(texts, count);
    free(numbers);
    return st;
}

/* ---- metrics ---- */

/* Names in creation order, units from their attribute. */
static gyre_status metric_names(const reader *r, hid_t group, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    H5G_info_t info;
    const char **names = NULL, **units = NULL;
    char name[PATH_TEXT], *unit = NULL;
    hid_t set = H5I_INVALID_HID;
    if (H5Gget_info(group, &info) < 0 || info.nlinks > MAX_LENGTH)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the group cannot be listed");
    GYRE_TRY(gyre_table_keep(r->table, info.nlinks, sizeof *names, &names, err));
    GYRE_TRY(gyre_table_keep(r->table, info.nlinks, sizeof *units, &units, err));
    for (hsize_t i = 0; i < info.nlinks; i++) {
        if (H5Lget_name_by_idx(group, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT) < 0
            || (set = H5Dopen2(group, name, H5P_DEFAULT)) < 0)
            GYRE_H5_FAIL(GYRE_E_INPUT, "metric %llu cannot be opened", (unsigned long long)i);
        GYRE_TRY(gyre_table_text(r->table, name, &names[i], err));
        GYRE_TRY(gyre_h5_get_attr_text(set, "units", &unit, err));
        GYRE_TRY(gyre_table_text(r->table, strcmp(unit, "1") == 0 ? "" : unit, &units[i], err));
        free(unit);
        unit = NULL;
        (void)H5Dclose(set);
        set = H5I_INVALID_HID;
    }
    r->table->metrics = names;
    r->table->metric_units = units;
    r->table->n_metrics = (size_t)info.nlinks;
done:
    if (set >= 0)
        (void)H5Dclose(set);
    free(unit);
    return st;
}

static gyre_status keep_values(const reader *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t c = 0; c < r->table->n_cells; c++) {
        gyre_cell *cell = &r->table->cells[c];
        if (cell->n_documents > r->document || cell->first_document > r->document - cell->n_documents || cell->n_heads > r->head)
            GYRE_FAIL(GYRE_E_INPUT, "cell %zu counts %zu documents from %zu and %zu heads, the scales have %zu and %zu", c, cell->n_documents, cell->first_document, cell->n_heads,
                      r->document, r->head);
        const gyre_source *source = &r->table->sources[cell->source];
        if (cell->first_document > 0 && (source->kind != GYRE_SOURCE_MODEL || cell->first_document + cell->n_documents > source->n_documents))
            GYRE_FAIL(GYRE_E_INPUT, "cell %zu has documents %zu to %zu of source %s, which has %zu", c, cell->first_document, cell->first_document + cell->n_documents, source->name,
                      source->n_documents);
        if (cell->status == GYRE_CELL_OK)
            GYRE_TRY(gyre_table_keep(r->table, r->table->n_metrics * cell->n_documents * cell->n_heads, sizeof *cell->values, &cell->values, err));
    }
done:
    return st;
}

static gyre_status read_metric(const reader *r, hid_t group, size_t metric, double *buffer, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[3] = { r->table->n_cells, r->document, r->head };
    GYRE_TRY(gyre_h5_read(group, r->table->metrics[metric], H5T_NATIVE_DOUBLE, 3, dims, buffer, err));
    for (size_t c = 0; c < r->table->n_cells; c++) {
        gyre_cell *cell = &r->table->cells[c];
        for (size_t d = 0; cell->values != NULL && d < cell->n_documents; d++)
            memcpy(cell->values + (metric * cell->n_documents + d) * cell->n_heads, buffer + (c * r->document + cell->first_document + d) * r->head,
                   cell->n_heads * sizeof *buffer);
    }
done:
    return st;
}

static gyre_status read_metrics(const reader *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *buffer = NULL;
    hid_t group = H5Gopen2(r->file, "/metrics", H5P_DEFAULT);
    if (group < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the group is missing");
    if (r->document > MAX_LENGTH / 64 || r->head > 65536)
        GYRE_FAIL(GYRE_E_INPUT, "%zu documents x %zu heads are no results", r->document, r->head);
    GYRE_TRY(metric_names(r, group, err));
    GYRE_TRY(keep_values(r, err));
    GYRE_NEW(&buffer, r->table->n_cells * r->document * r->head);
    for (size_t m = 0; m < r->table->n_metrics; m++)
        GYRE_TRY(read_metric(r, group, m, buffer, err));
done:
    free(buffer);
    if (group >= 0)
        (void)H5Gclose(group);
    return st;
}

/* ---- the file ---- */

static gyre_status read_row(const reader *r, const gyre_schema_row *row, gyre_error *err)
{
    switch (row->kind) {
    case GYRE_SCHEMA_ATTRIBUTE:
        return read_attribute(r, row, err);
    case GYRE_SCHEMA_SCALAR:
        return read_scalar(r, row, err);
    case GYRE_SCHEMA_COLUMN:
        return read_column(r, row, err);
    case GYRE_SCHEMA_LIST:
        return read_list(r, row, err);
    case GYRE_SCHEMA_METRIC:
        return read_metrics(r, err);
    case GYRE_SCHEMA_SCALE: /* read before */
    case GYRE_SCHEMA_GROUP:
    case GYRE_SCHEMA_COMPOUND: /* says the same once more */
        break;
    }
    return GYRE_OK;
}

static gyre_status check_file(reader *r, const char *path, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *name = NULL;
    GYRE_TRY(gyre_h5_get_attr_text(r->file, "schema", &name, err));
    GYRE_TRY(gyre_h5_get_attr_text(r->file, "schema_version", &r->version, err));
    GYRE_TRY(gyre_schema_check(path, name, r->version, log, err));
    if ((st = gyre_results_digest_check(r->file, err)) != GYRE_OK)
        (void)gyre_error_context(err, "%s", path);
done:
    free(name);
    return st;
}

/* Every chunk of a model source is of one of its texts. */
static gyre_status check_texts(const gyre_table *t, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t s = 0; s < t->n_sources; s++)
        for (size_t i = 0; t->sources[s].kind == GYRE_SOURCE_MODEL && i < t->sources[s].n_documents; i++)
            if (t->sources[s].text_of[i] >= t->sources[s].n_texts)
                GYRE_FAIL(GYRE_E_INPUT, "%s: /sources/text_of: chunk %zu of %s is of text %u, and there are %zu", path, i, t->sources[s].name, t->sources[s].text_of[i], t->sources[s].n_texts);
done:
    return st;
}

static gyre_status give_fits(const reader *r, const char *path, gyre_error *err)
{
    gyre_status st = gyre_fit_columns_check(&r->fits, err);
    if (st == GYRE_OK)
        st = gyre_fit_columns_give(&r->fits, r->table, err);
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "%s: /fits", path);
    return st;
}

gyre_status gyre_results_read(const char *path, gyre_table **out, gyre_provenance *provenance, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    reader r = { .provenance = provenance, .file = H5I_INVALID_HID };
    *out = NULL;
    GYRE_TRY(gyre_table_new(&r.table, err));
    GYRE_TRY(gyre_seal_check(path, err));
    GYRE_TRY(gyre_h5_open(path, &r.file, err));
    GYRE_TRY(check_file(&r, path, log, err));
    GYRE_TRY(read_scales(&r, err));
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
        if (gyre_schema_has(row, r.version) && (st = read_row(&r, row, err)) != GYRE_OK) {
            (void)gyre_error_context(err, "%s: %s", path, row->path);
            goto done;
        }
    GYRE_TRY(check_texts(r.table, path, err));
    GYRE_TRY(give_fits(&r, path, err));
    *out = r.table;
    r.table = NULL;
done:
    if (r.file >= 0)
        (void)gyre_h5_close(&r.file, path, NULL);
    free(r.version);
    gyre_fit_columns_free(&r.fits);
    gyre_table_free(r.table);
    return st;
}
