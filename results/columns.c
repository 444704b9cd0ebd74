#include "results/columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/h5.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

gyre_items gyre_items_of(gyre_table *table, gyre_provenance *provenance, const gyre_fit_columns *fits, gyre_schema_owner owner)
{
    if (table == NULL && owner != GYRE_SCHEMA_FITS && owner != GYRE_SCHEMA_PARAMETERS && owner != GYRE_SCHEMA_POINTS)
        return (gyre_items){ NULL, 0, 0 };
    switch (owner) {
    case GYRE_SCHEMA_TABLE:
        return (gyre_items){ (char *)table, sizeof *table, 1 };
    case GYRE_SCHEMA_SOURCES:
        return (gyre_items){ (char *)table->sources, sizeof *table->sources, table->n_sources };
    case GYRE_SCHEMA_CELLS:
        return (gyre_items){ (char *)table->cells, sizeof *table->cells, table->n_cells };
    case GYRE_SCHEMA_COMPARISONS:
        return (gyre_items){ (char *)table->comparisons, sizeof *table->comparisons, table->n_comparisons };
    case GYRE_SCHEMA_PERPLEXITY:
        return (gyre_items){ (char *)table->perplexity, sizeof *table->perplexity, table->n_perplexity };
    case GYRE_SCHEMA_CANARIES:
        return (gyre_items){ (char *)table->canaries, sizeof *table->canaries, table->n_canaries };
    case GYRE_SCHEMA_EXACT:
        return (gyre_items){ (char *)table->exact, sizeof *table->exact, table->n_exact };
    case GYRE_SCHEMA_PROVENANCE:
        return (gyre_items){ (char *)provenance, sizeof *provenance, 1 };
    case GYRE_SCHEMA_FITS:
        return (gyre_items){ (char *)fits->rows, sizeof *fits->rows, fits->n_fits };
    case GYRE_SCHEMA_PARAMETERS:
        return (gyre_items){ (char *)fits->parameters, sizeof *fits->parameters, fits->n_parameters };
    case GYRE_SCHEMA_POINTS:
        return (gyre_items){ (char *)fits->points, sizeof *fits->points, fits->n_points };
    case GYRE_SCHEMA_FILE:
        break;
    }
    return (gyre_items){ NULL, 0, 0 };
}

size_t gyre_scale_length(const gyre_table *table, const gyre_fit_columns *fits, const char *scale)
{
    size_t documents = 0, calibration = 0, validation = 0, layers = 0, heads = 0;
    for (size_t i = 0; i < table->n_sources; i++) {
        documents = larger(documents, table->sources[i].n_documents);
        calibration = larger(calibration, table->sources[i].n_calibration);
        validation = larger(validation, table->sources[i].n_validation);
        layers = larger(layers, table->sources[i].n_layers);
        for (size_t l = 0; l < table->sources[i].n_layers; l++)
            heads = larger(heads, table->sources[i].n_heads[l]);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        documents = larger(documents, table->cells[i].n_documents);
        heads = larger(heads, table->cells[i].n_heads);
    }
    const struct {
        const char *name;
        size_t length;
    } scales[] = { { "cell", table->n_cells },     { "source", table->n_sources }, { "comparison", table->n_comparisons }, { "document", documents },
                   { "calibration", calibration }, { "validation", validation },   { "layer", layers },                   { "head", heads },
                   { "fit", fits->n_fits },        { "parameter", fits->n_parameters }, { "point", fits->n_points },
                   { "pass", table->n_perplexity }, { "canary", table->n_canaries },   { "exact_value", table->n_exact } };
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (strcmp(scales[i].name, scale) == 0)
            return scales[i].length;
    return 0;
}

size_t gyre_list_length(const gyre_schema_row *row, const gyre_source *source)
{
    const char *scale = row->dims[1];
    if (row->offset == offsetof(gyre_source, text_of) && source->kind != GYRE_SOURCE_MODEL)
        return 0;
    return strcmp(scale, "document") == 0      ? source->n_documents
           : strcmp(scale, "calibration") == 0 ? source->n_calibration
           : strcmp(scale, "validation") == 0  ? source->n_validation
                                               : source->n_layers;
}

/* ---- numbers ---- */

hid_t gyre_column_file_type(gyre_schema_type type)
{
    switch (type) {
    case GYRE_SCHEMA_REAL:
        return H5T_IEEE_F64LE;
    case GYRE_SCHEMA_F32:
        return H5T_IEEE_F32LE;
    case GYRE_SCHEMA_U32:
        return H5T_STD_U32LE;
    case GYRE_SCHEMA_BOOL:
        return H5T_STD_U8LE;
    default:
        return H5T_STD_U64LE;
    }
}

hid_t gyre_column_memory_type(gyre_schema_type type)
{
    switch (type) {
    case GYRE_SCHEMA_REAL:
        return H5T_NATIVE_DOUBLE;
    case GYRE_SCHEMA_F32:
        return H5T_NATIVE_FLOAT;
    case GYRE_SCHEMA_U32:
        return H5T_NATIVE_UINT32;
    case GYRE_SCHEMA_BOOL:
        return H5T_NATIVE_UINT8;
    default:
        return H5T_NATIVE_UINT64;
    }
}

size_t gyre_column_size(gyre_schema_type type)
{
    return type == GYRE_SCHEMA_U32 ? sizeof(uint32_t) : type == GYRE_SCHEMA_F32 ? sizeof(float) : type == GYRE_SCHEMA_BOOL ? sizeof(uint8_t) : sizeof(uint64_t);
}

static char *place(const gyre_schema_row *row, const gyre_items *items, size_t i)
{
    return items->base + i * items->stride + row->offset;
}

void gyre_column_get(const gyre_schema_row *row, const gyre_items *items, size_t i, void *out)
{
    const void *at = place(row, items, i);
    if (row->type == GYRE_SCHEMA_BOOL) {
        *(uint8_t *)out = *(const bool *)at ? 1 : 0;
    } else if (row->type == GYRE_SCHEMA_SIZE) {
        uint64_t wide = *(const size_t *)at;
        memcpy(out, &wide, sizeof wide);
    } else if (row->type == GYRE_SCHEMA_REAL) {
        double x = isnan(*(const double *)at) ? (double)NAN : *(const double *)at;
        memcpy(out, &x, sizeof x);
    } else {
        memcpy(out, at, gyre_column_size(row->type));
    }
}

void gyre_column_put(const gyre_schema_row *row, const gyre_items *items, size_t i, const void *in)
{
    void *at = place(row, items, i);
    if (row->type == GYRE_SCHEMA_BOOL) {
        *(bool *)at = *(const uint8_t *)in != 0;
    } else if (row->type == GYRE_SCHEMA_SIZE) {
        uint64_t wide;
        memcpy(&wide, in, sizeof wide);
        *(size_t *)at = (size_t)wide;
    } else {
        memcpy(at, in, gyre_column_size(row->type));
    }
}

double gyre_column_number(const gyre_schema_row *row, const gyre_items *items, size_t i)
{
    union {
        uint64_t u64;
        uint32_t u32;
        uint8_t u8;
        double f64;
        float f32;
    } number = { 0 };
    if (gyre_schema_is_text(row->type))
        return NAN;
    gyre_column_get(row, items, i, &number);
    switch (row->type) {
    case GYRE_SCHEMA_REAL:
        return number.f64;
    case GYRE_SCHEMA_F32:
        return (double)number.f32;
    case GYRE_SCHEMA_U32:
        return number.u32;
    case GYRE_SCHEMA_BOOL:
        return number.u8;
    default:
        return (double)number.u64;
    }
}

/* ---- texts ---- */

static const char *const stream_names[] = { "k", "v" }, *const kind_names[] = { "capture", "model" };

const char *gyre_column_text(const gyre_schema_row *row, const gyre_table *table, const gyre_items *items, size_t i)
{
    const void *at = place(row, items, i);
    if (row->type == GYRE_SCHEMA_CHARS)
        return at;
    if (row->type == GYRE_SCHEMA_STATUS)
        return gyre_cell_status_name(*(const gyre_cell_status *)at);
    if (row->type == GYRE_SCHEMA_STREAM)
        return stream_names[*(const gyre_stream *)at];
    if (row->type == GYRE_SCHEMA_KIND)
        return kind_names[*(const gyre_source_kind *)at];
    if (row->type == GYRE_SCHEMA_SOURCE)
        return table->sources[*(const size_t *)at].name;
    const char *text = *(const char *const *)at;
    return text != NULL ? text : "";
}

static gyre_status put_status(gyre_cell_status *out, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (*out = GYRE_CELL_MISSING; strcmp(gyre_cell_status_name(*out), text) != 0; ++*out)
        if (*out == GYRE_CELL_FAILED)
            GYRE_FAIL(GYRE_E_INPUT, "'%s' is not a status of a cell", text);
done:
    return st;
}

static gyre_status put_stream(gyre_stream *out, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (strcmp(text, stream_names[GYRE_K]) != 0 && strcmp(text, stream_names[GYRE_V]) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "'%.60s' is not a stream", text);
    *out = strcmp(text, stream_names[GYRE_K]) == 0 ? GYRE_K : GYRE_V;
done:
    return st;
}

static gyre_status put_kind(gyre_source_kind *out, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (strcmp(text, kind_names[GYRE_SOURCE_CAPTURE]) != 0 && strcmp(text, kind_names[GYRE_SOURCE_MODEL]) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "'%.60s' is not a kind of source", text);
    *out = strcmp(text, kind_names[GYRE_SOURCE_MODEL]) == 0 ? GYRE_SOURCE_MODEL : GYRE_SOURCE_CAPTURE;
done:
    return st;
}

static gyre_status put_source(const gyre_table *table, size_t *out, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (*out = 0; *out < table->n_sources; ++*out)
        if (strcmp(table->sources[*out].name, text) == 0)
            goto done;
    GYRE_FAIL(GYRE_E_INPUT, "'%s' is not the name of a source", text);
done:
    return st;
}

/* CHARS of a table are digests; those of the provenance are free texts, cut to their room. */
static gyre_status put_chars(const gyre_schema_row *row, char *out, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t room = row->owner == GYRE_SCHEMA_PROVENANCE ? sizeof(gyre_provenance_text) : GYRE_SHA256_HEX, size = strlen(text);
    if (size >= room && row->owner != GYRE_SCHEMA_PROVENANCE)
        GYRE_FAIL(GYRE_E_INPUT, "'%.100s' is not a SHA-256", text);
    size = size < room ? size : room - 1;
    memcpy(out, text, size);
    out[size] = '\0';
done:
    return st;
}

gyre_status gyre_column_put_text(const gyre_schema_row *row, gyre_table *table, const gyre_items *items, size_t i, const char *text, gyre_error *err)
{
    void *at = place(row, items, i);
    if (row->type == GYRE_SCHEMA_CHARS)
        return put_chars(row, at, text, err);
    if (row->type == GYRE_SCHEMA_STATUS)
        return put_status(at, text, err);
    if (row->type == GYRE_SCHEMA_STREAM)
        return put_stream(at, text, err);
    if (row->type == GYRE_SCHEMA_KIND)
        return put_kind(at, text, err);
    if (row->type == GYRE_SCHEMA_SOURCE)
        return put_source(table, at, text, err);
    return gyre_table_text(table, text, at, err);
}

/* ---- whole columns ---- */

bool gyre_column_of_fits(const gyre_schema_row *row)
{
    return row->owner == GYRE_SCHEMA_PARAMETERS || row->owner == GYRE_SCHEMA_POINTS || (row->owner == GYRE_SCHEMA_FITS && strcmp(gyre_schema_name(row), "cell") != 0);
}

gyre_status gyre_column_write(hid_t file, const gyre_schema_row *row, const gyre_table *table, const gyre_items *items, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **texts = NULL;
    char *numbers = NULL;
    hsize_t n = items->count;
    if (gyre_schema_is_text(row->type)) {
        GYRE_NEW(&texts, n);
        for (size_t i = 0; i < n; i++)
            texts[i] = gyre_column_text(row, table, items, i);
        GYRE_TRY(gyre_h5_write_texts(file, row->path, 1, &n, texts, err));
    } else {
        size_t size = gyre_column_size(row->type);
        GYRE_TRY(gyre_calloc((void **)&numbers, n, size, err));
        for (size_t i = 0; i < n; i++)
            gyre_column_get(row, items, i, numbers + i * size);
        GYRE_TRY(gyre_h5_write(file, row->path, gyre_column_file_type(row->type), gyre_column_memory_type(row->type), 1, &n, NULL, numbers, err));
    }
done:
    free(texts);
    free(numbers);
    return st;
}

gyre_status gyre_column_read(hid_t file, const gyre_schema_row *row, gyre_table *table, const gyre_items *items, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char **texts = NULL, *numbers = NULL;
    hsize_t n = items->count;
    if (gyre_schema_is_text(row->type)) {
        GYRE_TRY(gyre_h5_shape(file, row->path, 1, &n, err));
        GYRE_TRY(gyre_h5_read_texts(file, row->path, items->count, &texts, err));
        for (size_t i = 0; i < items->count; i++)
            GYRE_TRY(gyre_column_put_text(row, table, items, i, texts[i], err));
    } else {
        size_t size = gyre_column_size(row->type);
        GYRE_TRY(gyre_calloc((void **)&numbers, items->count, size, err));
        GYRE_TRY(gyre_h5_read(file, row->path, gyre_column_memory_type(row->type), 1, &n, numbers, err));
        for (size_t i = 0; i < items->count; i++)
            gyre_column_put(row, items, i, numbers + i * size);
    }
done:
    for (size_t i = 0; texts != NULL && i < items->count; i++)
        free(texts[i]);
    free(texts);
    free(numbers);
    return st;
}
