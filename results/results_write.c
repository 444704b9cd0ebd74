/* Writing a results file: one pass over the rows of the schema, in their order. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/commit.h"
#include "core/h5.h"
#include "results/columns.h"
#include "results/digest.h"
#include "results/results_file.h"
#include "results/schema.h"
#include "core/seal.h"

enum { PATH_TEXT = 256, PAD_NUMBER = 0xff };

typedef struct writer {
    gyre_table *table;
    gyre_provenance *provenance;
    gyre_fit_columns fits;
    hid_t file;
    hid_t group; /* of the rows being written */
} writer;

/* ---- attributes of datasets, scales ---- */

static gyre_status describe(const writer *w, const char *path, const char *long_name, const char *unit, const char *direction, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t set = H5Dopen2(w->file, path, H5P_DEFAULT);
    if (set < 0)
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "%s was written and cannot be opened", path);
    GYRE_TRY(gyre_h5_attr_text(set, "long_name", long_name, err));
    if (unit != NULL)
        GYRE_TRY(gyre_h5_attr_text(set, "units", unit[0] != '\0' ? unit : "1", err));
    if (direction != NULL)
        GYRE_TRY(gyre_h5_attr_text(set, "direction", direction, err));
done:
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

static gyre_status attach(const writer *w, const gyre_schema_row *row, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (unsigned i = 0; row->dims[i] != NULL; i++)
        GYRE_TRY(gyre_h5_attach_scale(w->file, path, i, w->file, row->dims[i], err));
done:
    return st;
}

static gyre_status write_scale(const writer *w, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *name = gyre_schema_name(row);
    uint64_t *numbers = NULL;
    const char **names = NULL;
    hsize_t n = gyre_scale_length(w->table, &w->fits, name);
    if (gyre_schema_is_text(row->type)) {
        GYRE_NEW(&names, n);
        for (size_t i = 0; i < n; i++)
            names[i] = w->table->sources[i].name;
        GYRE_TRY(gyre_h5_write_texts(w->file, name, 1, &n, names, err));
    } else {
        GYRE_NEW(&numbers, n);
        for (size_t i = 0; i < n; i++)
            numbers[i] = i;
        GYRE_TRY(gyre_h5_write(w->file, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, 1, &n, NULL, numbers, err));
    }
    GYRE_TRY(gyre_h5_make_scale(w->file, name, err));
    GYRE_TRY(describe(w, row->path, row->long_name, gyre_schema_is_text(row->type) ? NULL : "1", NULL, err));
done:
    free(names);
    free(numbers);
    return st;
}

/* ---- attributes of groups ---- */

static const char *file_text(const gyre_schema_row *row)
{
    static const char *const texts[][2] = { { "schema", GYRE_RESULTS_SCHEMA }, { "schema_version", GYRE_RESULTS_VERSION }, { "creator", "gyre" },
                                            { "default", "metrics" } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i][0], gyre_schema_name(row)) == 0)
            return texts[i][1];
    return NULL; /* content_sha256, which comes last */
}

static size_t missing_cells(const gyre_table *table)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_cells; i++)
        n += table->cells[i].status == GYRE_CELL_MISSING;
    return n;
}

static size_t all_fits(const gyre_table *table)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_cells; i++)
        n += table->cells[i].n_fits;
    return n;
}

static gyre_status write_attribute(const writer *w, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t object = row->path[1] == '@' ? w->file : w->group;
    const char *name = gyre_schema_name(row);
    gyre_items items = gyre_items_of(w->table, w->provenance, &w->fits, row->owner);
    uint64_t number = 0;
    if (gyre_schema_is_text(row->type)) {
        const char *text = row->owner == GYRE_SCHEMA_FILE ? file_text(row) : gyre_column_text(row, w->table, &items, 0);
        if (text != NULL)
            GYRE_TRY(gyre_h5_attr_text(object, name, text, err));
        goto done;
    }
    if (row->owner == GYRE_SCHEMA_FILE) {
        number = missing_cells(w->table);
    } else if (row->type == GYRE_SCHEMA_U32) {
        uint32_t narrow = 0;
        gyre_column_get(row, &items, 0, &narrow);
        number = narrow;
    } else if (row->type == GYRE_SCHEMA_BOOL) {
        uint8_t narrow = 0;
        gyre_column_get(row, &items, 0, &narrow);
        number = narrow;
    } else {
        gyre_column_get(row, &items, 0, &number);
    }
    GYRE_TRY(gyre_h5_attr_uint(object, name, number, err));
done:
    return st;
}

/* ---- columns ---- */

/* Without filters: its size must not depend on how long things took, or everything behind it would move. */
static gyre_status write_plain(const writer *w, const char *path, hsize_t n, const double *values, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t space = H5Screate_simple(1, &n, NULL), create = H5Pcreate(H5P_DATASET_CREATE), set = H5I_INVALID_HID;
    if (space < 0 || create < 0 || H5Pset_obj_track_times(create, false) < 0
        || H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0)
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses the dataset properties");
    set = H5Dcreate2(w->file, path, H5T_IEEE_F64LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
    if (set < 0 || (n > 0 && H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0))
        GYRE_H5_FAIL(GYRE_E_IO, "cannot write the dataset %s: is the disk full?", path);
done:
    if (set >= 0)
        (void)H5Dclose(set);
    if (create >= 0)
        (void)H5Pclose(create);
    if (space >= 0)
        (void)H5Sclose(space);
    return st;
}

static gyre_status write_column(const writer *w, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *seconds = NULL;
    gyre_items items = gyre_items_of(w->table, w->provenance, &w->fits, row->owner);
    if (strncmp(row->path, "/timing/", 8) == 0) {
        GYRE_NEW(&seconds, items.count);
        for (size_t i = 0; i < items.count; i++)
            gyre_column_get(row, &items, i, &seconds[i]);
        GYRE_TRY(write_plain(w, row->path, items.count, seconds, err));
    } else {
        GYRE_TRY(gyre_column_write(w->file, row, w->table, &items, err));
    }
    GYRE_TRY(describe(w, row->path, row->long_name, row->unit, NULL, err));
    GYRE_TRY(attach(w, row, row->path, err));
done:
    free(seconds);
    return st;
}

static gyre_status write_list(const writer *w, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **texts = NULL;
    uint32_t *numbers = NULL;
    hsize_t dims[2] = { w->table->n_sources, gyre_scale_length(w->table, &w->fits, row->dims[1]) };
    size_t count = (size_t)(dims[0] * dims[1]);
    GYRE_NEW(&texts, count);
    GYRE_NEW(&numbers, count);
    for (size_t i = 0; i < count; i++)
        texts[i] = "";
    memset(numbers, PAD_NUMBER, count * sizeof *numbers);
    for (size_t s = 0; s < w->table->n_sources; s++) {
        const gyre_source *source = &w->table->sources[s];
        const void *list = (const char *)source + row->offset;
        for (size_t i = 0; i < gyre_list_length(row, source); i++) {
            size_t at = s * (size_t)dims[1] + i;
            if (row->type == GYRE_SCHEMA_TEXT)
                texts[at] = (*(const char *const *const *)list)[i];
            else
                numbers[at] = (*(const uint32_t *const *)list)[i];
        }
    }
    if (row->type == GYRE_SCHEMA_TEXT)
        GYRE_TRY(gyre_h5_write_texts(w->file, row->path, 2, dims, texts, err));
    else
        GYRE_TRY(gyre_h5_write(w->file, row->path, H5T_STD_U32LE, H5T_NATIVE_UINT32, 2, dims, NULL, numbers, err));
    GYRE_TRY(describe(w, row->path, row->long_name, row->unit, NULL, err));
    GYRE_TRY(attach(w, row, row->path, err));
done:
    free(texts);
    free(numbers);
    return st;
}

/* ---- metrics ---- */

static gyre_status write_metric(const writer *w, const gyre_schema_row *row, size_t metric, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *values = NULL;
    char path[PATH_TEXT], long_name[PATH_TEXT];
    hsize_t dims[3] = { w->table->n_cells, gyre_scale_length(w->table, &w->fits, "document"), gyre_scale_length(w->table, &w->fits, "head") };
    size_t count = (size_t)(dims[0] * dims[1] * dims[2]);
    GYRE_NEW(&values, count);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)NAN;
    for (size_t c = 0; c < w->table->n_cells; c++) {
        const gyre_cell *cell = &w->table->cells[c];
        if (cell->first_document + cell->n_documents > dims[1])
            GYRE_FAIL(GYRE_E_INTERNAL, "cell %zu has documents %zu to %zu of %llu", c, cell->first_document, cell->first_document + cell->n_documents, (unsigned long long)dims[1]);
        for (size_t d = 0; cell->values != NULL && d < cell->n_documents; d++)
            for (size_t h = 0; h < cell->n_heads; h++) {
                double x = gyre_cell_value(cell, metric, d, h);
                values[(c * (size_t)dims[1] + cell->first_document + d) * (size_t)dims[2] + h] = isnan(x) ? (double)NAN : x;
            }
    }
    (void)snprintf(path, sizeof path, "/metrics/%s", w->table->metrics[metric]);
    (void)snprintf(long_name, sizeof long_name, "%s of a document, layer and KV head", w->table->metrics[metric]);
    GYRE_TRY(gyre_h5_write(w->file, path, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 3, dims, NULL, values, err));
    GYRE_TRY(describe(w, path, long_name, w->table->metric_units[metric], "lower_better", err));
    GYRE_TRY(attach(w, row, path, err));
done:
    free(values);
    return st;
}

static gyre_status write_metrics(const writer *w, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t m = 0; m < w->table->n_metrics; m++)
        GYRE_TRY(write_metric(w, row, m, err));
done:
    return st;
}

/* ---- the compound table ---- */

typedef struct tidy_column {
    const gyre_schema_row *row; /* NULL for the mean of a metric */
    size_t metric, offset, size;
} tidy_column;

static bool in_tidy(const gyre_schema_row *row)
{
    return row->kind == GYRE_SCHEMA_COLUMN && strncmp(row->path, "/cells/", 7) == 0;
}

/* Columns and their places; a text column is as wide as its longest text and a zero. */
static gyre_status tidy_layout(const writer *w, tidy_column **out, size_t *n, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_items items = gyre_items_of(w->table, w->provenance, &w->fits, GYRE_SCHEMA_CELLS);
    size_t count = w->table->n_metrics;
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
        count += in_tidy(row);
    GYRE_NEW(out, count);
    *n = *size = 0;
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++) {
        if (!in_tidy(row))
            continue;
        size_t width = gyre_schema_is_text(row->type) ? 1 : gyre_column_size(row->type);
        for (size_t i = 0; gyre_schema_is_text(row->type) && i < items.count; i++) {
            size_t length = strlen(gyre_column_text(row, w->table, &items, i)) + 1;
            width = length > width ? length : width;
        }
        (*out)[(*n)++] = (tidy_column){ row, 0, *size, width };
        *size += width;
    }
    for (size_t m = 0; m < w->table->n_metrics; m++) {
        (*out)[(*n)++] = (tidy_column){ NULL, m, *size, sizeof(double) };
        *size += sizeof(double);
    }
done:
    return st;
}

/* The type on disk, or with the same places the type in memory. */
static gyre_status tidy_type(const writer *w, const tidy_column *columns, size_t n, size_t size, hid_t (*number)(gyre_schema_type), hid_t *out,
                             gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = H5Tcreate(H5T_COMPOUND, size);
    for (size_t i = 0; i < n; i++) {
        const tidy_column *c = &columns[i];
        bool text = c->row != NULL && gyre_schema_is_text(c->row->type);
        hid_t type = text ? H5Tcopy(H5T_C_S1) : H5Tcopy(number(c->row != NULL ? c->row->type : GYRE_SCHEMA_REAL));
        bool ok = type >= 0 && (!text || (H5Tset_size(type, c->size) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0))
                  && H5Tinsert(*out, c->row != NULL ? gyre_schema_name(c->row) : w->table->metrics[c->metric], c->offset, type) >= 0;
        (void)H5Tclose(type);
        if (!ok)
            GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses column %zu of /compat/table", i);
    }
done:
    return st;
}

/* Mean of what there is; NaN where there is nothing. */
static double mean_of(const gyre_cell *cell, size_t metric)
{
    double sum = 0.0;
    size_t n = 0;
    for (size_t i = 0; cell->values != NULL && i < cell->n_documents * cell->n_heads; i++) {
        double x = cell->values[metric * cell->n_documents * cell->n_heads + i];
        if (!isnan(x)) {
            sum += x;
            n++;
        }
    }
    return n > 0 ? sum / (double)n : (double)NAN;
}

static void tidy_fill(const writer *w, const tidy_column *columns, size_t n, size_t size, char *rows)
{
    gyre_items items = gyre_items_of(w->table, w->provenance, &w->fits, GYRE_SCHEMA_CELLS);
    for (size_t i = 0; i < items.count; i++)
        for (size_t k = 0; k < n; k++) {
            const tidy_column *c = &columns[k];
            char *at = rows + i * size + c->offset;
            if (c->row == NULL) {
                double mean = mean_of(&w->table->cells[i], c->metric);
                memcpy(at, &mean, sizeof mean);
            } else if (gyre_schema_is_text(c->row->type)) {
                const char *text = gyre_column_text(c->row, w->table, &items, i);
                memcpy(at, text, strlen(text));
            } else {
                uint64_t number = 0; /* room for any element, aligned */
                gyre_column_get(c->row, &items, i, &number);
                memcpy(at, &number, c->size);
            }
        }
}

static gyre_status write_compound(const writer *w, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    tidy_column *columns = NULL;
    char *rows = NULL;
    size_t n = 0, size = 0;
    hid_t on_disk = H5I_INVALID_HID, in_memory = H5I_INVALID_HID;
    hsize_t count = w->table->n_cells;
    GYRE_TRY(tidy_layout(w, &columns, &n, &size, err));
    GYRE_TRY(tidy_type(w, columns, n, size, gyre_column_file_type, &on_disk, err));
    GYRE_TRY(tidy_type(w, columns, n, size, gyre_column_memory_type, &in_memory, err));
    GYRE_TRY(gyre_calloc((void **)&rows, count, size, err));
    tidy_fill(w, columns, n, size, rows);
    GYRE_TRY(gyre_h5_write(w->file, row->path, on_disk, in_memory, 1, &count, NULL, rows, err));
    GYRE_TRY(describe(w, row->path, row->long_name, NULL, NULL, err));
    GYRE_TRY(attach(w, row, row->path, err));
done:
    if (on_disk >= 0)
        (void)H5Tclose(on_disk);
    if (in_memory >= 0)
        (void)H5Tclose(in_memory);
    free(columns);
    free(rows);
    return st;
}

/* ---- the file ---- */

static gyre_status write_row(writer *w, const gyre_schema_row *row, gyre_error *err)
{
    switch (row->kind) {
    case GYRE_SCHEMA_ATTRIBUTE:
        return write_attribute(w, row, err);
    case GYRE_SCHEMA_SCALE:
        return write_scale(w, row, err);
    case GYRE_SCHEMA_GROUP:
        if (w->group >= 0)
            (void)H5Gclose(w->group);
        return gyre_h5_group(w->file, row->path, &w->group, err);
    case GYRE_SCHEMA_SCALAR: {
        gyre_items items = gyre_items_of(w->table, w->provenance, &w->fits, row->owner);
        return gyre_h5_write_text(w->file, row->path, gyre_column_text(row, w->table, &items, 0), err);
    }
    case GYRE_SCHEMA_COLUMN:
        return write_column(w, row, err);
    case GYRE_SCHEMA_LIST:
        return write_list(w, row, err);
    case GYRE_SCHEMA_METRIC:
        return write_metrics(w, row, err);
    case GYRE_SCHEMA_COMPOUND:
        break;
    }
    return write_compound(w, row, err);
}

static gyre_status write_all(writer *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char digest[GYRE_SHA256_HEX];
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
        if ((st = write_row(w, row, err)) != GYRE_OK) {
            (void)gyre_error_context(err, "%s", row->path);
            goto done;
        }
    GYRE_TRY(gyre_results_digest_of(w->file, digest, err));
    GYRE_TRY(gyre_h5_attr_text(w->file, "content_sha256", digest, err));
done:
    if (w->group >= 0)
        (void)H5Gclose(w->group);
    return st;
}

/* Reads the file anew: its digest must fit its content, and nothing may be missing. */
static gyre_status check_written(const char *path, const gyre_table *table, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *back = NULL;
    GYRE_TRY(gyre_results_read(path, &back, NULL, NULL, err));
    if (back->n_cells != table->n_cells || back->n_comparisons != table->n_comparisons || back->n_sources != table->n_sources
        || back->n_metrics != table->n_metrics || back->n_perplexity != table->n_perplexity || missing_cells(back) != missing_cells(table) || all_fits(back) != all_fits(table))
        GYRE_FAIL(GYRE_E_IO, "%s reads back with other counts than were written: the disk or the memory is failing", path);
done:
    gyre_table_free(back);
    return st;
}

gyre_status gyre_results_write(const char *path, const gyre_table *table, const gyre_provenance *provenance, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_commit commit = {0};
    gyre_table source = *table; /* columns.h serves reading and writing, so it takes tables that may be changed */
    gyre_provenance made = *provenance;
    writer w = { &source, &made, {0}, H5I_INVALID_HID, H5I_INVALID_HID };
    GYRE_TRY(gyre_fit_columns_of_table(table, &w.fits, err));
    GYRE_TRY(gyre_commit_begin(&commit, path, err));
    GYRE_TRY(gyre_h5_create(commit.temp, &w.file, err));
    GYRE_TRY(write_all(&w, err));
    GYRE_TRY(gyre_h5_close(&w.file, commit.temp, err));
    GYRE_TRY(gyre_seal_write(commit.temp, err));
    GYRE_TRY(check_written(commit.temp, table, err));
    GYRE_TRY(gyre_commit_finish(&commit, err));
done:
    if (w.file >= 0)
        (void)gyre_h5_close(&w.file, path, NULL);
    gyre_commit_abort(&commit);
    gyre_fit_columns_free(&w.fits);
    return st;
}
