#define _POSIX_C_SOURCE 200809L
#include "results/cells.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/commit.h"
#include "core/h5.h"
#include "core/seal.h"
#include "core/sha256.h"
#include "results/columns.h"

enum { MAX_DIMENSION = 65536, MAX_FLAT = 1 << 26 }; /* of values, and of parameters or points of all fits: more is no cell but a hostile file */

static const char *const bit_names[GYRE_CELL_BITS] = { "payload_bits", "side_bits", "total_bits", "read_bits" };

/* The columns of /tokens, in the order of gyre_token. */
static const struct {
    const char *name;
    size_t offset;
} token_columns[] = { { "nll", offsetof(gyre_token, nll) }, { "nll_change", offsetof(gyre_token, nll_change) }, { "kl", offsetof(gyre_token, kl) }, { "p_change", offsetof(gyre_token, p_change) },
                      { "flip", offsetof(gyre_token, flip) } };
enum { TOKEN_COLUMNS = sizeof token_columns / sizeof *token_columns, TOKEN_PATH = 32 };

/* ---- names ---- */

static gyre_status cell_path(const char *folder, const char *key, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = strlen(folder) + strlen("/cells/") + strlen(key) + strlen(".h5") + 1;
    GYRE_NEW(out, size);
    (void)snprintf(*out, size, "%s/cells/%s.h5", folder, key);
done:
    return st;
}

gyre_status gyre_cells_prepare(const char *folder, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *path = NULL;
    size_t size = strlen(folder) + strlen("/cells") + 1;
    GYRE_NEW(&path, size);
    (void)snprintf(path, size, "%s/cells", folder);
    GYRE_TRY(gyre_make_folder(path, err));
done:
    free(path);
    return st;
}

bool gyre_cell_exists(const char *folder, const char *key)
{
    char *path = NULL;
    bool there = cell_path(folder, key, &path, NULL) == GYRE_OK && access(path, R_OK) == 0;
    free(path);
    return there;
}

/* "nmse,softmax_kl": the metrics of a table in order. */
static gyre_status metric_list(const gyre_table *table, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = 1;
    for (size_t m = 0; m < table->n_metrics; m++)
        size += strlen(table->metrics[m]) + 1;
    GYRE_NEW(out, size);
    for (size_t m = 0, used = 0; m < table->n_metrics; m++)
        used += (size_t)snprintf(*out + used, size - used, "%s%s", m > 0 ? "," : "", table->metrics[m]);
done:
    return st;
}

/* ---- content ---- */

void gyre_cell_file_free(gyre_cell_file *file)
{
    free(file->key);
    free(file->status);
    free(file->reason);
    free(file->flags);
    free(file->metrics);
    free(file->values);
    free(file->tokens);
    gyre_fit_columns_free(&file->fits);
    *file = (gyre_cell_file){0};
}

static size_t value_count(const gyre_cell_file *file)
{
    return file->n_metrics * file->n_documents * file->n_heads;
}

/* That an OK cell has. */
static size_t tokens_of(const gyre_source *source, const gyre_cell *cell)
{
    return source->kind == GYRE_SOURCE_MODEL ? cell->n_documents * source->n_scored : 0;
}

static double *token_field(gyre_token *token, size_t column)
{
    return (double *)((char *)token + token_columns[column].offset);
}

static void add_tokens(gyre_sha256 *h, const gyre_cell_file *file)
{
    gyre_sha256_add_text(h, "tokens");
    gyre_sha256_add_uint(h, file->n_tokens);
    for (size_t k = 0; k < TOKEN_COLUMNS; k++)
        for (size_t i = 0; i < file->n_tokens; i++)
            gyre_sha256_add(h, token_field(&file->tokens[i], k), sizeof(double));
}

/* Finite, within their ranges, and as many for each document? `what` begins the message. */
static gyre_status check_tokens(const gyre_cell_file *file, gyre_status fault, const char *what, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (file->n_documents == 0 || file->n_tokens % file->n_documents != 0)
        GYRE_FAIL(fault, "%s: %zu tokens of %zu documents", what, file->n_tokens, file->n_documents);
    for (size_t i = 0; i < file->n_tokens; i++) {
        const gyre_token *t = &file->tokens[i];
        bool finite = isfinite(t->nll) && isfinite(t->nll_change) && isfinite(t->kl), flip = (t->flip <= 0.0 && t->flip >= 0.0) || (t->flip <= 1.0 && t->flip >= 1.0);
        if (!finite || !flip || t->kl < 0.0 || !(fabs(t->p_change) <= 1.0 + 1e-9))
            GYRE_FAIL(fault, "%s: token %zu is no token: nll %g, nll_change %g, kl %g, p_change %g, flip %g", what, i, t->nll, t->nll_change, t->kl, t->p_change, t->flip);
    }
done:
    return st;
}

static gyre_status content_digest(gyre_cell_file *file, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    GYRE_TRY(gyre_sha256_new(&h, err));
    const char *const texts[] = { GYRE_CELL_SCHEMA, file->key, file->status, file->reason, file->flags, file->metrics };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        gyre_sha256_add_text(h, texts[i]);
    gyre_sha256_add_uint(h, file->n_metrics);
    gyre_sha256_add_uint(h, file->n_documents);
    gyre_sha256_add_uint(h, file->n_heads);
    if (file->values != NULL) {
        gyre_sha256_add(h, file->bits, sizeof file->bits);
        gyre_sha256_add(h, file->values, value_count(file) * sizeof *file->values);
    }
    if (file->fits.n_fits > 0)
        gyre_fit_columns_digest(&file->fits, h);
    if (file->n_tokens > 0)
        add_tokens(h, file);
    st = gyre_sha256_hex(h, file->digest, err);
done:
    return st;
}

static double plain_nan(double x)
{
    return isnan(x) ? (double)NAN : x; /* one NaN, not whichever sign the processor made */
}

static gyre_status copy_text(const char *text, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = strlen(text) + 1;
    GYRE_NEW(out, size);
    memcpy(*out, text, size);
done:
    return st;
}

static gyre_status copy_tokens(const gyre_table *table, const gyre_cell *cell, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t wanted = tokens_of(&table->sources[cell->source], cell);
    if (cell->n_tokens != wanted)
        GYRE_FAIL(GYRE_E_INTERNAL, "cell %s has %zu tokens, not %zu", cell->key, cell->n_tokens, wanted);
    if (wanted == 0)
        goto done;
    out->n_tokens = wanted;
    GYRE_NEW(&out->tokens, cell->n_tokens);
    memcpy(out->tokens, cell->tokens, cell->n_tokens * sizeof *out->tokens);
    GYRE_TRY(check_tokens(out, GYRE_E_NAN, cell->key, err));
done:
    return st;
}

static gyre_status copy_values(const gyre_table *table, const gyre_cell *cell, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    out->n_metrics = table->n_metrics;
    out->n_documents = cell->n_documents;
    out->n_heads = cell->n_heads;
    out->bits[0] = plain_nan(cell->payload_bits);
    out->bits[1] = plain_nan(cell->side_bits);
    out->bits[2] = plain_nan(cell->total_bits);
    out->bits[3] = plain_nan(cell->read_bits);
    GYRE_NEW(&out->values, value_count(out));
    for (size_t i = 0; i < value_count(out); i++)
        out->values[i] = plain_nan(cell->values[i]);
done:
    return st;
}

/* The content of a cell as its file will hold it. */
static gyre_status content_of(const gyre_table *table, const gyre_cell *cell, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(copy_text(cell->key, &out->key, err));
    GYRE_TRY(copy_text(gyre_cell_status_name(cell->status), &out->status, err));
    GYRE_TRY(copy_text(cell->reason == NULL ? "" : cell->reason, &out->reason, err));
    GYRE_TRY(copy_text(cell->flags == NULL ? "" : cell->flags, &out->flags, err));
    GYRE_TRY(metric_list(table, &out->metrics, err));
    out->wall_s = plain_nan(cell->wall_s);
    if (cell->status == GYRE_CELL_OK) {
        GYRE_TRY(copy_values(table, cell, out, err));
        GYRE_TRY(gyre_fit_columns_of_cell(cell, &out->fits, err));
        GYRE_TRY(copy_tokens(table, cell, out, err));
    }
    GYRE_TRY(content_digest(out, err));
done:
    return st;
}

/* ---- writing ---- */

static gyre_status write_values(hid_t file, const gyre_cell_file *content, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[3] = { content->n_metrics, content->n_documents, content->n_heads };
    hid_t set = H5I_INVALID_HID;
    GYRE_TRY(gyre_h5_write(file, "values", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 3, dims, NULL, content->values, err));
    set = H5Dopen2(file, "values", H5P_DEFAULT);
    if (set < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot open the dataset just written");
    for (size_t i = 0; i < GYRE_CELL_BITS; i++)
        GYRE_TRY(gyre_h5_attr_real(set, bit_names[i], content->bits[i], err));
done:
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

static gyre_status write_fits(hid_t file, gyre_fit_columns *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t group = H5I_INVALID_HID;
    GYRE_TRY(gyre_h5_group(file, "fits", &group, err));
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++) {
        gyre_items items = gyre_items_of(NULL, NULL, fits, row->owner);
        if (gyre_column_of_fits(row))
            GYRE_TRY(gyre_column_write(file, row, NULL, &items, err));
    }
done:
    if (group >= 0)
        (void)H5Gclose(group);
    return st;
}

static gyre_status write_tokens(hid_t file, const gyre_cell_file *content, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t group = H5I_INVALID_HID;
    double *column = NULL;
    hsize_t n = content->n_tokens;
    GYRE_NEW(&column, content->n_tokens);
    GYRE_TRY(gyre_h5_group(file, "tokens", &group, err));
    for (size_t k = 0; k < TOKEN_COLUMNS; k++) {
        for (size_t i = 0; i < content->n_tokens; i++)
            column[i] = *token_field(&content->tokens[i], k);
        GYRE_TRY(gyre_h5_write(group, token_columns[k].name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, &n, NULL, column, err));
    }
done:
    if (group >= 0)
        (void)H5Gclose(group);
    free(column);
    return st;
}

static gyre_status write_content(hid_t file, gyre_cell_file *content, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t timing = H5I_INVALID_HID;
    const char *const attributes[][2] = { { "schema", GYRE_CELL_SCHEMA }, { "schema_version", GYRE_CELL_VERSION }, { "key", content->key },
                                          { "status", content->status },       { "reason", content->reason },         { "flags", content->flags },
                                          { "metrics", content->metrics },     { "content_sha256", content->digest } };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        GYRE_TRY(gyre_h5_attr_text(file, attributes[i][0], attributes[i][1], err));
    if (content->values != NULL)
        GYRE_TRY(write_values(file, content, err));
    if (content->fits.n_fits > 0)
        GYRE_TRY(write_fits(file, &content->fits, err));
    if (content->n_tokens > 0)
        GYRE_TRY(write_tokens(file, content, err));
    GYRE_TRY(gyre_h5_group(file, "timing", &timing, err));
    GYRE_TRY(gyre_h5_attr_real(timing, "wall_s", content->wall_s, err));
done:
    if (timing >= 0)
        (void)H5Gclose(timing);
    return st;
}

/* Is what the file says what was to be written? */
static gyre_status read_back(const char *path, const gyre_cell_file *wanted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_cell_file got = {0};
    GYRE_TRY(gyre_cell_file_read(path, &got, err));
    if (strcmp(got.digest, wanted->digest) != 0)
        GYRE_FAIL(GYRE_E_IO, "%s reads back differently from what was written: the disk or the memory is failing", path);
done:
    gyre_cell_file_free(&got);
    return st;
}

gyre_status gyre_cell_write(const char *folder, const gyre_table *table, const gyre_cell *cell, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_commit commit = {0};
    gyre_cell_file content = {0};
    char *path = NULL;
    hid_t file = H5I_INVALID_HID;
    if (cell->status == GYRE_CELL_MISSING || (cell->status == GYRE_CELL_OK && cell->values == NULL))
        GYRE_FAIL(GYRE_E_INTERNAL, "cell %s has nothing to write", cell->key);
    GYRE_TRY(content_of(table, cell, &content, err));
    GYRE_TRY(cell_path(folder, cell->key, &path, err));
    GYRE_TRY(gyre_commit_begin(&commit, path, err));
    GYRE_TRY(gyre_h5_create(commit.temp, &file, err));
    GYRE_TRY(write_content(file, &content, err));
    GYRE_TRY(gyre_h5_close(&file, commit.temp, err));
    GYRE_TRY(gyre_seal_write(commit.temp, err));
    GYRE_TRY(read_back(commit.temp, &content, err));
    GYRE_TRY(gyre_commit_finish(&commit, err));
done:
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    gyre_commit_abort(&commit);
    gyre_cell_file_free(&content);
    free(path);
    return st;
}

/* ---- reading ---- */

/* A text attribute whose value is fixed. */
static gyre_status expect_text(hid_t object, const char *name, const char *wanted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL;
    GYRE_TRY(gyre_h5_get_attr_text(object, name, &text, err));
    if (strcmp(text, wanted) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s is '%s', not '%s'", name, text, wanted);
done:
    free(text);
    return st;
}

static gyre_status read_values(hid_t file, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[3] = {0};
    hid_t set = H5I_INVALID_HID;
    GYRE_TRY(gyre_h5_shape(file, "values", 3, dims, err));
    for (int i = 0; i < 3; i++)
        if (dims[i] == 0 || dims[i] > MAX_DIMENSION)
            GYRE_FAIL(GYRE_E_INPUT, "dimension %d of values is %llu", i, (unsigned long long)dims[i]);
    out->n_metrics = (size_t)dims[0];
    out->n_documents = (size_t)dims[1];
    out->n_heads = (size_t)dims[2];
    GYRE_NEW(&out->values, value_count(out));
    GYRE_TRY(gyre_h5_read(file, "values", H5T_NATIVE_DOUBLE, 3, dims, out->values, err));
    set = H5Dopen2(file, "values", H5P_DEFAULT);
    if (set < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "values cannot be opened");
    for (size_t i = 0; i < GYRE_CELL_BITS; i++)
        GYRE_TRY(gyre_h5_get_attr_real(set, bit_names[i], &out->bits[i], err));
done:
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

static gyre_status flat_length(hid_t file, const char *path, size_t most, size_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t n = 0;
    GYRE_TRY(gyre_h5_shape(file, path, 1, &n, err));
    if (n > most)
        GYRE_FAIL(GYRE_E_INPUT, "%s has %llu entries", path, (unsigned long long)n);
    *out = (size_t)n;
done:
    return st;
}

static gyre_status read_fits(hid_t file, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = 0, parameters = 0, points = 0;
    GYRE_TRY(flat_length(file, "/fits/stream", 2 * MAX_DIMENSION, &n, err));
    GYRE_TRY(flat_length(file, "/fits/parameters", MAX_FLAT, &parameters, err));
    GYRE_TRY(flat_length(file, "/fits/point_step", MAX_FLAT, &points, err));
    if (n == 0 || out->values == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "it has %zu fits and %s", n, out->values != NULL ? "values" : "no values");
    GYRE_TRY(gyre_fit_columns_new(n, parameters, points, &out->fits, err));
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++) {
        gyre_items items = gyre_items_of(NULL, NULL, &out->fits, row->owner);
        if (gyre_column_of_fits(row))
            GYRE_TRY(gyre_column_read(file, row, NULL, &items, err));
    }
    GYRE_TRY(gyre_fit_columns_check(&out->fits, err));
    for (size_t i = 0; i < n; i++)
        if (out->fits.rows[i].head >= out->n_heads)
            GYRE_FAIL(GYRE_E_INPUT, "fit %zu is of head %u, and there are %zu", i, out->fits.rows[i].head, out->n_heads);
done:
    return st;
}

static gyre_status read_tokens(hid_t file, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *column = NULL;
    char path[TOKEN_PATH];
    size_t n = 0;
    GYRE_TRY(flat_length(file, "/tokens/nll", MAX_FLAT, &n, err));
    if (n == 0 || out->values == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "it has %zu tokens and %s", n, out->values != NULL ? "values" : "no values");
    hsize_t dims = n;
    out->n_tokens = n;
    GYRE_NEW(&out->tokens, n);
    GYRE_NEW(&column, n);
    for (size_t k = 0; k < TOKEN_COLUMNS; k++) {
        (void)snprintf(path, sizeof path, "/tokens/%s", token_columns[k].name);
        GYRE_TRY(gyre_h5_read(file, path, H5T_NATIVE_DOUBLE, 1, &dims, column, err));
        for (size_t i = 0; i < n; i++)
            *token_field(&out->tokens[i], k) = column[i];
    }
    GYRE_TRY(check_tokens(out, GYRE_E_INPUT, "/tokens", err));
done:
    free(column);
    return st;
}

static gyre_status read_content(hid_t file, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t timing = H5I_INVALID_HID;
    GYRE_TRY(expect_text(file, "schema", GYRE_CELL_SCHEMA, err));
    GYRE_TRY(expect_text(file, "schema_version", GYRE_CELL_VERSION, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "key", &out->key, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "status", &out->status, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "reason", &out->reason, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "flags", &out->flags, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "metrics", &out->metrics, err));
    if (strcmp(out->status, gyre_cell_status_name(GYRE_CELL_OK)) == 0)
        GYRE_TRY(read_values(file, out, err));
    if (gyre_h5_exists(file, "fits"))
        GYRE_TRY(read_fits(file, out, err));
    if (gyre_h5_exists(file, "tokens"))
        GYRE_TRY(read_tokens(file, out, err));
    timing = H5Gopen2(file, "timing", H5P_DEFAULT);
    if (timing < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the group timing is missing");
    GYRE_TRY(gyre_h5_get_attr_real(timing, "wall_s", &out->wall_s, err));
    GYRE_TRY(content_digest(out, err));
    GYRE_TRY(expect_text(file, "content_sha256", out->digest, err));
done:
    if (timing >= 0)
        (void)H5Gclose(timing);
    return st;
}

gyre_status gyre_cell_file_read(const char *path, gyre_cell_file *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t file = H5I_INVALID_HID;
    *out = (gyre_cell_file){ .bits = { (double)NAN, (double)NAN, (double)NAN, (double)NAN } };
    GYRE_TRY(gyre_seal_check(path, err));
    GYRE_TRY(gyre_h5_open(path, &file, err));
    GYRE_TRY(read_content(file, out, err));
done:
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    return st;
}

/* Does the file hold this cell of this table? */
static gyre_status check_plan(const gyre_cell_file *file, const gyre_table *table, const gyre_cell *cell, gyre_cell_status *status, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *metrics = NULL;
    if (strcmp(file->key, cell->key) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "it holds cell %s", file->key);
    for (*status = GYRE_CELL_OK; strcmp(gyre_cell_status_name(*status), file->status) != 0; ++*status)
        if (*status == GYRE_CELL_FAILED)
            GYRE_FAIL(GYRE_E_INPUT, "its status is '%s'", file->status);
    GYRE_TRY(metric_list(table, &metrics, err));
    if (strcmp(file->metrics, metrics) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "its metrics are %s, not %s", file->metrics, metrics);
    if (*status == GYRE_CELL_OK
        && (file->n_metrics != table->n_metrics || file->n_documents != cell->n_documents || file->n_heads != cell->n_heads))
        GYRE_FAIL(GYRE_E_INPUT, "it holds %zu metrics, %zu documents and %zu heads, not %zu, %zu and %zu", file->n_metrics, file->n_documents,
                  file->n_heads, table->n_metrics, cell->n_documents, cell->n_heads);
    size_t tokens = *status == GYRE_CELL_OK ? tokens_of(&table->sources[cell->source], cell) : 0;
    if (file->n_tokens != tokens)
        GYRE_FAIL(GYRE_E_INPUT, "it holds %zu tokens, not %zu", file->n_tokens, tokens);
done:
    free(metrics);
    return st;
}

static gyre_status fill(gyre_table *table, gyre_cell *cell, gyre_cell_status status, const gyre_cell_file *file, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *reason = "", *flags = "";
    double *values = NULL;
    gyre_token *tokens = NULL;
    if (file->reason[0] != '\0')
        GYRE_TRY(gyre_table_text(table, file->reason, &reason, err));
    if (file->flags[0] != '\0')
        GYRE_TRY(gyre_table_text(table, file->flags, &flags, err));
    if (file->values != NULL) {
        GYRE_TRY(gyre_table_keep(table, value_count(file), sizeof *values, &values, err));
        memcpy(values, file->values, value_count(file) * sizeof *values);
    }
    if (file->n_tokens > 0) {
        GYRE_TRY(gyre_table_keep(table, file->n_tokens, sizeof *tokens, &tokens, err));
        memcpy(tokens, file->tokens, file->n_tokens * sizeof *tokens);
    }
    cell->n_fits = 0;
    cell->fits = NULL;
    if (file->fits.n_fits > 0)
        GYRE_TRY(gyre_fit_columns_keep(&file->fits, 0, file->fits.n_fits, table, cell, err));
    cell->status = status;
    cell->reason = reason;
    cell->flags = flags;
    cell->payload_bits = file->bits[0];
    cell->side_bits = file->bits[1];
    cell->total_bits = file->bits[2];
    cell->read_bits = file->bits[3];
    cell->values = values;
    cell->n_tokens = file->n_tokens;
    cell->tokens = tokens;
    cell->wall_s = file->wall_s;
done:
    return st;
}

gyre_status gyre_cell_read(const char *folder, gyre_table *table, gyre_cell *cell, bool *found, char *why, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_cell_file content = {0};
    gyre_cell_status status = GYRE_CELL_MISSING;
    gyre_error *fault = NULL;
    char *path = NULL;
    *found = false;
    why[0] = '\0';
    if (!gyre_cell_exists(folder, cell->key))
        return GYRE_OK;
    GYRE_NEW(&fault, 1);
    GYRE_TRY(cell_path(folder, cell->key, &path, err));
    gyre_status read = gyre_cell_file_read(path, &content, fault);
    if (read == GYRE_OK)
        read = check_plan(&content, table, cell, &status, fault);
    if (read == GYRE_E_MEMORY)
        GYRE_FAIL(GYRE_E_MEMORY, "%s", fault->message);
    if (read != GYRE_OK) {
        (void)snprintf(why, GYRE_CELL_WHY, "%.64s.h5: %.400s", cell->key, fault->message);
        goto done;
    }
    GYRE_TRY(fill(table, cell, status, &content, err));
    *found = true;
done:
    gyre_cell_file_free(&content);
    free(path);
    free(fault);
    return st;
}
