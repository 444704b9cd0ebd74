/* Capture files. The layout is the table in docs/capture-schema.md; this file and that page change together, with the version.
 *
 * Precision: V and Q are stored as binary16 (binary32 when a value exceeds 65504). K is stored as binary16 unless rounding to it would disturb what
 * is to be measured. Per KV head, over all rows x with mean m:
 *     e16 = sum |x - half(x)|^2,   e8 = sum |c - q8(c)|^2 with c = x - m and q8 symmetric 8-bit with one scale max|c| / 127 a row,
 *     binary32 if e16 > 0.01 e8 in any head;   floor = max over heads of e16 / sum |c|^2.
 * Not here: how the numbers were made (engine/capture.c) and what is done with them.
 */
#include "tensors/capture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/commit.h"
#include "core/h5.h"
#include "core/half.h"
#include "core/seal.h"

struct gyre_capture {
    hid_t file;
    char *path;
    gyre_capture_data info;
    gyre_capture_document *documents;
    int32_t *pos, *token_id, *query_pos;
};

/* ---- the schema as tables ---- */

enum { DOCUMENT_TEXTS = 4 };
#define STORAGE_SHARE 0.01 /* of the centred 8-bit error that storage may cost */

typedef struct text_attribute {
    const char *name;
    size_t offset;      /* of a const char * in gyre_capture_data */
    bool scientific;    /* part of the digest */
} text_attribute;

static const text_attribute root_texts[] = {
    {"model_name", offsetof(gyre_capture_data, model_name), true},
    {"architecture", offsetof(gyre_capture_data, architecture), true},
    {"model_sha256", offsetof(gyre_capture_data, model_sha256), true},
    {"model_file_type", offsetof(gyre_capture_data, model_file_type), true},
    {"model_licence", offsetof(gyre_capture_data, model_licence), true},
    {"tokenizer_note", offsetof(gyre_capture_data, tokenizer_note), true},
    {"engine_version", offsetof(gyre_capture_data, engine_version), false},
    {"engine_flags", offsetof(gyre_capture_data, engine_flags), false},
    {"command_line", offsetof(gyre_capture_data, command_line), false},
};

static const struct {
    const char *name;
    size_t offset; /* of a const char * in gyre_capture_document */
} document_texts[DOCUMENT_TEXTS] = {
    {"document", offsetof(gyre_capture_document, name)},
    {"document_sha256", offsetof(gyre_capture_document, sha256)},
    {"document_licence", offsetof(gyre_capture_document, licence)},
    {"document_source", offsetof(gyre_capture_document, source)},
};

typedef struct number_attribute {
    const char *name;
    size_t offset; /* in gyre_capture_layer */
} number_attribute;

static const number_attribute layer_uints[] = { /* uint32_t */
    {"layer", offsetof(gyre_capture_layer, layer)},
    {"rope_n_rot", offsetof(gyre_capture_layer, rope.n_rot)},
    {"rope_n_ctx_orig", offsetof(gyre_capture_layer, rope.n_ctx_orig)},
    {"sliding_window", offsetof(gyre_capture_layer, sliding_window)},
};

static const number_attribute layer_reals[] = { /* float */
    {"rope_base", offsetof(gyre_capture_layer, rope.base)},
    {"rope_freq_scale", offsetof(gyre_capture_layer, rope.freq_scale)},
    {"rope_ext_factor", offsetof(gyre_capture_layer, rope.ext_factor)},
    {"rope_attn_factor", offsetof(gyre_capture_layer, rope.attn_factor)},
    {"rope_beta_fast", offsetof(gyre_capture_layer, rope.beta_fast)},
    {"rope_beta_slow", offsetof(gyre_capture_layer, rope.beta_slow)},
    {"score_scale", offsetof(gyre_capture_layer, score_scale)},
};

static const char *const rope_kinds[] = {[GYRE_ROPE_NONE] = "none", [GYRE_ROPE_NORMAL] = "normal", [GYRE_ROPE_NEOX] = "neox", [GYRE_ROPE_OTHER] = "other"};

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define FIELD(type, object, offset) ((type *)(void *)((char *)(object) + (offset)))
#define CONST_FIELD(type, object, offset) ((const type *)(const void *)((const char *)(object) + (offset)))

/* The three streams of a layer, as the loops below walk them. */
typedef struct stream_view {
    const char *name, *token_scale, *head_scale;
    float **rows;
    hsize_t dims[4];
} stream_view;

static void stream_views(const gyre_capture_data *data, gyre_capture_layer *l, stream_view views[3])
{
    views[0] = (stream_view){"k", "/token", "kv_head", &l->k, {data->n_documents, data->n_tokens, l->n_kv_heads, l->dim}};
    views[1] = (stream_view){"v", "/token", "kv_head", &l->v, {data->n_documents, data->n_tokens, l->n_kv_heads, l->dim}};
    views[2] = (stream_view){"q", "/query", "q_head", &l->q, {data->n_documents, data->n_queries, l->n_q_heads, l->dim}};
}

/* Far beyond any capture; products of four such numbers and a few sizes stay in range because the whole is bounded too. */
enum { MOST_ALONG = 1 << 24 };
#define MOST_VALUES ((hsize_t)1 << 40)

static bool sane(const hsize_t dims[4])
{
    hsize_t product = 1;
    for (int i = 0; i < 4; i++) {
        if (dims[i] > MOST_ALONG || (dims[i] > 0 && product > MOST_VALUES / dims[i]))
            return false;
        product *= dims[i];
    }
    return true;
}

static size_t volume(const hsize_t dims[4])
{
    return (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
}

static void group_name(char name[24], uint32_t layer)
{
    (void)snprintf(name, 24, "layer_%02lu", (unsigned long)layer);
}

/* Refuses NaN and Inf, naming the place. */
static gyre_status check_finite(const gyre_capture_data *data, uint32_t layer, const stream_view *view, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const float *x = *view->rows;
    size_t n = volume(view->dims), d = (size_t)view->dims[3], heads = (size_t)view->dims[2], rows = (size_t)view->dims[1];
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            GYRE_FAIL(GYRE_E_NAN, "layer %lu, %s: document '%s', %s %zu, head %zu, coordinate %zu is %s", (unsigned long)layer, view->name,
                      data->documents[i / (d * heads * rows)].name, view->token_scale + 1, i / (d * heads) % rows, i / d % heads, i % d,
                      isnan(x[i]) ? "NaN" : "infinite");
done:
    return st;
}

/* ---- precision ---- */

/* Sums of one KV head: what binary16 loses, what 8 bits lose, energy about the mean. mean is scratch of dim doubles. */
static void head_errors(const gyre_capture_layer *l, size_t n_rows, size_t head, double *mean, double *e16, double *e8, double *energy)
{
    size_t d = l->dim, stride = l->n_kv_heads * d;
    const float *first = l->k + head * d;
    memset(mean, 0, d * sizeof *mean);
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < d; i++)
            mean[i] += first[r * stride + i] / (double)n_rows;
    *e16 = *e8 = *energy = 0;
    for (size_t r = 0; r < n_rows; r++) {
        const float *x = first + r * stride;
        double top = 0;
        for (size_t i = 0; i < d; i++)
            top = fmax(top, fabs(x[i] - mean[i]));
        double step = top / 127.0;
        for (size_t i = 0; i < d; i++) {
            double c = x[i] - mean[i];
            double lost16 = x[i] - (double)gyre_half_to_float(gyre_half_from_float(x[i]));
            double lost8 = step > 0 ? c - step * rint(c / step) : 0;
            *e16 += lost16 * lost16;
            *e8 += lost8 * lost8;
            *energy += c * c;
        }
    }
}

static gyre_status choose_precision(const gyre_capture_data *data, gyre_capture_layer *l, bool force_f32, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *mean = NULL;
    l->k_f32 = force_f32;
    l->floor_nmse_centred = 0;
    GYRE_NEW(&mean, l->dim);
    double floor = 0;
    for (size_t h = 0; h < l->n_kv_heads && !l->k_f32; h++) {
        double e16, e8, energy;
        head_errors(l, data->n_documents * data->n_tokens, h, mean, &e16, &e8, &energy);
        l->k_f32 = e16 > STORAGE_SHARE * e8; /* also where binary16 overflows: e16 is infinite then */
        if (e16 > 0 && !l->k_f32)
            floor = fmax(floor, e16 / energy);
    }
    if (!l->k_f32)
        l->floor_nmse_centred = floor;
done:
    free(mean);
    return st;
}

static bool fits_half(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > GYRE_HALF_MAX)
            return false;
    return true;
}

/* ---- writing ---- */

static gyre_status write_stream(hid_t group, hid_t file, const stream_view *view, bool f32, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint16_t *halves = NULL;
    hid_t half = gyre_h5_half_type();
    const float *x = *view->rows;
    size_t n = volume(view->dims);
    if (f32) {
        GYRE_TRY(gyre_h5_write(group, view->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 4, view->dims, NULL, x, err));
    } else {
        GYRE_NEW(&halves, n);
        for (size_t i = 0; i < n; i++)
            halves[i] = gyre_half_from_float(x[i]);
        GYRE_TRY(gyre_h5_write(group, view->name, half, half, 4, view->dims, NULL, halves, err));
    }
    GYRE_TRY(gyre_h5_attach_scale(group, view->name, 0, file, "/document", err));
    GYRE_TRY(gyre_h5_attach_scale(group, view->name, 1, file, view->token_scale, err));
    GYRE_TRY(gyre_h5_attach_scale(group, view->name, 2, group, view->head_scale, err));
    GYRE_TRY(gyre_h5_attach_scale(group, view->name, 3, group, "dim", err));
done:
    free(halves);
    (void)H5Tclose(half);
    return st;
}

/* A dimension scale that counts 0 .. n-1. */
static gyre_status write_counter(hid_t parent, const char *name, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t *count = NULL;
    hsize_t dims[1] = {n};
    GYRE_NEW(&count, n);
    for (size_t i = 0; i < n; i++)
        count[i] = (uint32_t)i;
    GYRE_TRY(gyre_h5_write(parent, name, H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, dims, NULL, count, err));
    GYRE_TRY(gyre_h5_make_scale(parent, name, err));
done:
    free(count);
    return st;
}

static gyre_status write_layer_facts(hid_t group, const gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < COUNT(layer_uints); i++)
        GYRE_TRY(gyre_h5_attr_uint(group, layer_uints[i].name, *CONST_FIELD(uint32_t, l, layer_uints[i].offset), err));
    GYRE_TRY(gyre_h5_attr_text(group, "rope_kind", rope_kinds[l->rope.kind], err));
    for (size_t i = 0; i < COUNT(layer_reals); i++)
        GYRE_TRY(gyre_h5_attr_real(group, layer_reals[i].name, (double)*CONST_FIELD(float, l, layer_reals[i].offset), err));
    GYRE_TRY(gyre_h5_attr_real(group, "floor_nmse_centred", l->floor_nmse_centred, err));
done:
    return st;
}

/* Scales first, then what stands on them. */
static gyre_status write_layer_maps(hid_t group, const gyre_capture_data *data, const gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(write_counter(group, "kv_head", l->n_kv_heads, err));
    GYRE_TRY(write_counter(group, "dim", l->dim, err));
    if (data->n_queries > 0) {
        GYRE_TRY(write_counter(group, "q_head", l->n_q_heads, err));
        GYRE_TRY(gyre_h5_write(group, "kv_head_of", H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, (const hsize_t[]){l->n_q_heads}, NULL, l->kv_head_of, err));
        GYRE_TRY(gyre_h5_attach_scale(group, "kv_head_of", 0, group, "q_head", err));
    }
    if (l->k_bias != NULL) {
        GYRE_TRY(gyre_h5_write(group, "k_bias", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, (const hsize_t[]){l->n_kv_heads, l->dim}, NULL, l->k_bias, err));
        GYRE_TRY(gyre_h5_attach_scale(group, "k_bias", 0, group, "kv_head", err));
        GYRE_TRY(gyre_h5_attach_scale(group, "k_bias", 1, group, "dim", err));
    }
    if (l->rope.factors != NULL)
        GYRE_TRY(gyre_h5_write(group, "rope_factors", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, (const hsize_t[]){l->rope.n_rot / 2}, NULL, l->rope.factors,
                 err));
done:
    return st;
}

static gyre_status write_layer(hid_t file, const gyre_capture_data *data, gyre_capture_layer *l, bool force_f32, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t group = H5I_INVALID_HID;
    char name[24];
    stream_view views[3];
    stream_views(data, l, views);
    size_t n_streams = data->n_queries > 0 ? 3 : 2;
    for (size_t i = 0; i < n_streams; i++)
        GYRE_TRY(check_finite(data, l->layer, &views[i], err));
    GYRE_TRY(choose_precision(data, l, force_f32, err));
    group_name(name, l->layer);
    GYRE_TRY(gyre_h5_group(file, name, &group, err));
    GYRE_TRY(write_layer_facts(group, l, err));
    GYRE_TRY(write_layer_maps(group, data, l, err));
    for (size_t i = 0; i < n_streams; i++) {
        bool f32 = i == 0 ? l->k_f32 : force_f32 || !fits_half(*views[i].rows, volume(views[i].dims));
        GYRE_TRY(write_stream(group, file, &views[i], f32, err));
    }
done:
    if (group >= 0)
        (void)H5Gclose(group);
    return st;
}

static gyre_status write_document_texts(hid_t file, const gyre_capture_data *data, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **texts = NULL;
    hsize_t dims[1] = {data->n_documents};
    GYRE_NEW(&texts, data->n_documents);
    for (size_t t = 0; t < DOCUMENT_TEXTS; t++) {
        for (size_t i = 0; i < data->n_documents; i++) {
            const char *text = *CONST_FIELD(char *, &data->documents[i], document_texts[t].offset);
            texts[i] = text != NULL ? text : "";
        }
        GYRE_TRY(gyre_h5_write_texts(file, document_texts[t].name, 1, dims, texts, err));
        if (t == 0)
            GYRE_TRY(gyre_h5_make_scale(file, "document", err));
        else
            GYRE_TRY(gyre_h5_attach_scale(file, document_texts[t].name, 0, file, "/document", err));
    }
done:
    free(texts);
    return st;
}

static gyre_status write_grid(hid_t file, const char *name, const char *column_scale, size_t rows, size_t columns, const int32_t *values, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_h5_write(file, name, H5T_STD_I32LE, H5T_NATIVE_INT32, 2, (const hsize_t[]){rows, columns}, NULL, values, err));
    GYRE_TRY(gyre_h5_attach_scale(file, name, 0, file, "/document", err));
    GYRE_TRY(gyre_h5_attach_scale(file, name, 1, file, column_scale, err));
done:
    return st;
}

static gyre_status write_root(hid_t file, const gyre_capture_data *data, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t *layers = NULL;
    GYRE_TRY(gyre_h5_attr_text(file, "schema", GYRE_CAPTURE_SCHEMA, err));
    GYRE_TRY(gyre_h5_attr_text(file, "schema_version", GYRE_CAPTURE_VERSION, err));
    GYRE_TRY(gyre_h5_attr_text(file, "order", "native", err));
    for (size_t i = 0; i < COUNT(root_texts); i++) {
        const char *text = *CONST_FIELD(char *, data, root_texts[i].offset);
        GYRE_TRY(gyre_h5_attr_text(file, root_texts[i].name, text != NULL ? text : "", err));
    }
    GYRE_TRY(write_document_texts(file, data, err));
    GYRE_TRY(write_counter(file, "token", data->n_tokens, err));
    GYRE_TRY(write_grid(file, "pos", "/token", data->n_documents, data->n_tokens, data->pos, err));
    GYRE_TRY(write_grid(file, "token_id", "/token", data->n_documents, data->n_tokens, data->token_id, err));
    if (data->n_queries > 0) {
        GYRE_TRY(write_counter(file, "query", data->n_queries, err));
        GYRE_TRY(write_grid(file, "query_pos", "/query", data->n_documents, data->n_queries, data->query_pos, err));
    }
    GYRE_NEW(&layers, data->n_layers);
    for (size_t i = 0; i < data->n_layers; i++)
        layers[i] = data->layers[i].layer;
    GYRE_TRY(gyre_h5_write(file, "layer", H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, (const hsize_t[]){data->n_layers}, NULL, layers, err));
    GYRE_TRY(gyre_h5_make_scale(file, "layer", err));
done:
    free(layers);
    return st;
}

gyre_status gyre_capture_write(const char *path, gyre_capture_data *data, bool force_f32, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_commit commit = {0};
    hid_t file = H5I_INVALID_HID;
    if (data->n_documents == 0 || data->n_tokens == 0 || data->n_layers == 0)
        GYRE_FAIL(GYRE_E_INPUT, "a capture needs at least one document, one token and one layer; %s was not written", path);
    for (size_t i = 0; i < data->n_layers; i++)
        if (data->layers[i].k == NULL || data->layers[i].v == NULL || (data->n_queries > 0 && (data->layers[i].q == NULL
            || data->layers[i].kv_head_of == NULL)))
            GYRE_FAIL(GYRE_E_INPUT, "layer %lu of the capture lacks keys, values or queries; %s was not written", (unsigned long)data->layers[i].layer,
                      path);
    GYRE_TRY(gyre_commit_begin(&commit, path, err));
    GYRE_TRY(gyre_h5_create(commit.temp, &file, err));
    GYRE_TRY(write_root(file, data, err));
    for (size_t i = 0; i < data->n_layers; i++)
        GYRE_TRY(write_layer(file, data, &data->layers[i], force_f32, err));
    GYRE_TRY(gyre_h5_close(&file, path, err));
    GYRE_TRY(gyre_seal_write(commit.temp, err));
    GYRE_TRY(gyre_commit_finish(&commit, err));
done:
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    gyre_commit_abort(&commit);
    return st;
}

/* ---- opening ---- */

static gyre_status open_root_texts(gyre_capture *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *schema = NULL, *version = NULL, *order = NULL;
    GYRE_TRY(gyre_h5_get_attr_text(c->file, "schema", &schema, err));
    GYRE_TRY(gyre_h5_get_attr_text(c->file, "schema_version", &version, err));
    if (strcmp(schema, GYRE_CAPTURE_SCHEMA) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "the file holds '%s', not '%s'", schema, GYRE_CAPTURE_SCHEMA);
    if (strncmp(version, GYRE_CAPTURE_VERSION, 2) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "the file has version %s of the capture schema, this program reads %s", version, GYRE_CAPTURE_VERSION);
    GYRE_TRY(gyre_h5_get_attr_text(c->file, "order", &order, err));
    if (strcmp(order, "native") != 0)
        GYRE_FAIL(GYRE_E_INPUT, "the coordinate order '%s' is unknown, expected 'native'", order);
    for (size_t i = 0; i < COUNT(root_texts); i++) {
        char *text = NULL;
        GYRE_TRY(gyre_h5_get_attr_text(c->file, root_texts[i].name, &text, err));
        *FIELD(char *, &c->info, root_texts[i].offset) = text;
    }
done:
    free(schema);
    free(version);
    free(order);
    return st;
}

static gyre_status open_documents(gyre_capture *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[1];
    GYRE_TRY(gyre_h5_shape(c->file, "document", 1, dims, err));
    if (dims[0] == 0)
        GYRE_FAIL(GYRE_E_INPUT, "the capture has no documents");
    c->info.n_documents = (size_t)dims[0];
    GYRE_NEW(&c->documents, c->info.n_documents);
    c->info.documents = c->documents;
    for (size_t t = 0; t < DOCUMENT_TEXTS; t++) {
        char **texts = NULL;
        GYRE_TRY(gyre_h5_read_texts(c->file, document_texts[t].name, c->info.n_documents, &texts, err));
        for (size_t i = 0; i < c->info.n_documents; i++)
            *FIELD(char *, &c->documents[i], document_texts[t].offset) = texts[i];
        free(texts);
    }
done:
    return st;
}

/* Reads a [document, column] table of int32; *columns is found, *values is the caller's. */
static gyre_status open_grid(gyre_capture *c, const char *name, size_t *columns, int32_t **values, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[2];
    GYRE_TRY(gyre_h5_shape(c->file, name, 2, dims, err));
    if (dims[0] != c->info.n_documents || dims[1] == 0 || (*columns != 0 && dims[1] != *columns))
        GYRE_FAIL(GYRE_E_INPUT, "/%s has shape %llu x %llu, which does not fit %zu documents", name, (unsigned long long)dims[0],
                  (unsigned long long)dims[1],
                  c->info.n_documents);
    *columns = (size_t)dims[1];
    GYRE_NEW(values, (size_t)(dims[0] * dims[1]));
    GYRE_TRY(gyre_h5_read(c->file, name, H5T_NATIVE_INT32, 2, dims, *values, err));
done:
    return st;
}

/* Positions rise from at least 0; queries stand at positions that the document has. */
static gyre_status check_positions(const gyre_capture *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = c->info.n_tokens;
    for (size_t doc = 0; doc < c->info.n_documents; doc++) {
        const int32_t *pos = c->pos + doc * n;
        for (size_t i = 0; i < n; i++)
            if (pos[i] < 0 || (i > 0 && pos[i] <= pos[i - 1]))
                GYRE_FAIL(GYRE_E_INPUT, "/pos: document '%s': position %ld at token %zu does not rise", c->documents[doc].name, (long)pos[i], i);
        for (size_t i = 0; i < c->info.n_queries; i++) {
            int32_t at = c->query_pos[doc * c->info.n_queries + i];
            if (at < pos[0] || at > pos[n - 1])
                GYRE_FAIL(GYRE_E_INPUT, "/query_pos: document '%s': query %zu stands at %ld, outside the document", c->documents[doc].name, i, (long)at);
        }
    }
done:
    return st;
}

static gyre_status open_layer_facts(hid_t group, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *kind = NULL;
    for (size_t i = 0; i < COUNT(layer_uints); i++) {
        uint64_t value;
        GYRE_TRY(gyre_h5_get_attr_uint(group, layer_uints[i].name, &value, err));
        if (value > UINT32_MAX)
            GYRE_FAIL(GYRE_E_INPUT, "the attribute %s is out of range", layer_uints[i].name);
        *FIELD(uint32_t, l, layer_uints[i].offset) = (uint32_t)value;
    }
    for (size_t i = 0; i < COUNT(layer_reals); i++) {
        double value;
        GYRE_TRY(gyre_h5_get_attr_real(group, layer_reals[i].name, &value, err));
        if (!isfinite(value))
            GYRE_FAIL(GYRE_E_NAN, "the attribute %s is not finite", layer_reals[i].name);
        *FIELD(float, l, layer_reals[i].offset) = (float)value;
    }
    GYRE_TRY(gyre_h5_get_attr_real(group, "floor_nmse_centred", &l->floor_nmse_centred, err));
    GYRE_TRY(gyre_h5_get_attr_text(group, "rope_kind", &kind, err));
    for (size_t i = 0; i < COUNT(rope_kinds); i++)
        if (strcmp(kind, rope_kinds[i]) == 0) {
            l->rope.kind = (gyre_rope_kind)i;
            goto done;
        }
    GYRE_FAIL(GYRE_E_INPUT, "the RoPE kind '%s' is unknown", kind);
done:
    free(kind);
    return st;
}

/* Finds n_kv_heads, n_q_heads and dim from the datasets and checks that k, v and q agree. */
static gyre_status open_layer_shapes(gyre_capture *c, hid_t group, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t k[4], dims[4];
    stream_view views[3];
    GYRE_TRY(gyre_h5_shape(group, "k", 4, k, err));
    l->n_kv_heads = (size_t)k[2];
    l->dim = (size_t)k[3];
    if (c->info.n_queries > 0) {
        GYRE_TRY(gyre_h5_shape(group, "q", 4, dims, err));
        l->n_q_heads = (size_t)dims[2];
    }
    stream_views(&c->info, l, views);
    for (size_t i = 0; i < (c->info.n_queries > 0 ? 3u : 2u); i++) {
        GYRE_TRY(gyre_h5_shape(group, views[i].name, 4, dims, err));
        if (!sane(dims))
            GYRE_FAIL(GYRE_E_INPUT, "%s is %llu x %llu x %llu x %llu: no capture is that large", views[i].name, (unsigned long long)dims[0], (unsigned long long)dims[1],
                      (unsigned long long)dims[2], (unsigned long long)dims[3]);
        for (int j = 0; j < 4; j++)
            if (dims[j] != views[i].dims[j] || dims[j] == 0)
                GYRE_FAIL(GYRE_E_INPUT, "dimension %d of %s is %llu, expected %llu", j, views[i].name, (unsigned long long)dims[j],
                          (unsigned long long)views[i].dims[j]);
    }
    if (l->rope.n_rot > l->dim)
        GYRE_FAIL(GYRE_E_INPUT, "RoPE turns %lu of %zu coordinates", (unsigned long)l->rope.n_rot, l->dim);
    if ((l->rope.kind == GYRE_ROPE_NORMAL || l->rope.kind == GYRE_ROPE_NEOX) && (l->rope.n_rot == 0 || l->rope.n_rot % 2 != 0))
        GYRE_FAIL(GYRE_E_INPUT, "RoPE turns %lu coordinates, which is no number of pairs", (unsigned long)l->rope.n_rot);
    hid_t set = H5Dopen2(group, "k", H5P_DEFAULT), type = H5Dget_type(set);
    l->k_f32 = H5Tget_size(type) > 2;
    (void)H5Tclose(type);
    (void)H5Dclose(set);
done:
    return st;
}

static gyre_status open_layer_maps(gyre_capture *c, hid_t group, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *factors = NULL;
    if (c->info.n_queries > 0) {
        GYRE_NEW(&l->kv_head_of, l->n_q_heads);
        GYRE_TRY(gyre_h5_read(group, "kv_head_of", H5T_NATIVE_UINT32, 1, (const hsize_t[]){l->n_q_heads}, l->kv_head_of, err));
        for (size_t i = 0; i < l->n_q_heads; i++)
            if (l->kv_head_of[i] >= l->n_kv_heads)
                GYRE_FAIL(GYRE_E_INPUT, "kv_head_of: query head %zu points at KV head %lu of %zu", i, (unsigned long)l->kv_head_of[i], l->n_kv_heads);
    }
    if (gyre_h5_exists(group, "k_bias")) {
        GYRE_NEW(&l->k_bias, l->n_kv_heads * l->dim);
        GYRE_TRY(gyre_h5_read(group, "k_bias", H5T_NATIVE_FLOAT, 2, (const hsize_t[]){l->n_kv_heads, l->dim}, l->k_bias, err));
        for (size_t i = 0; i < l->n_kv_heads * l->dim; i++)
            if (!isfinite(l->k_bias[i]))
                GYRE_FAIL(GYRE_E_NAN, "k_bias: coordinate %zu of head %zu is not finite", i % l->dim, i / l->dim);
    }
    if (gyre_h5_exists(group, "rope_factors")) {
        GYRE_NEW(&factors, l->rope.n_rot / 2 + 1);
        l->rope.factors = factors;
        GYRE_TRY(gyre_h5_read(group, "rope_factors", H5T_NATIVE_FLOAT, 1, (const hsize_t[]){l->rope.n_rot / 2}, factors, err));
    }
done:
    return st;
}

static gyre_status open_layer(gyre_capture *c, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char name[24];
    uint32_t number = l->layer;
    group_name(name, number);
    hid_t group = gyre_h5_exists(c->file, name) ? H5Gopen2(c->file, name, H5P_DEFAULT) : H5I_INVALID_HID;
    if (group < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the group /%s, which /layer lists, is missing", name);
    GYRE_TRY(open_layer_facts(group, l, err));
    if (l->layer != number)
        GYRE_FAIL(GYRE_E_INPUT, "its attribute layer says %lu", (unsigned long)l->layer);
    GYRE_TRY(open_layer_shapes(c, group, l, err));
    GYRE_TRY(open_layer_maps(c, group, l, err));
done:
    if (group >= 0)
        (void)H5Gclose(group);
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "/%s", name);
    return st;
}

static gyre_status open_layers(gyre_capture *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t *numbers = NULL;
    hsize_t dims[1];
    GYRE_TRY(gyre_h5_shape(c->file, "layer", 1, dims, err));
    if (dims[0] == 0)
        GYRE_FAIL(GYRE_E_INPUT, "the capture has no layers");
    GYRE_NEW(&numbers, (size_t)dims[0]);
    GYRE_TRY(gyre_h5_read(c->file, "layer", H5T_NATIVE_UINT32, 1, dims, numbers, err));
    GYRE_NEW(&c->info.layers, (size_t)dims[0]);
    c->info.n_layers = (size_t)dims[0];
    for (size_t i = 0; i < c->info.n_layers; i++) {
        if (i > 0 && numbers[i] <= numbers[i - 1])
            GYRE_FAIL(GYRE_E_INPUT, "/layer is not rising");
        c->info.layers[i].layer = numbers[i];
        GYRE_TRY(open_layer(c, &c->info.layers[i], err));
    }
done:
    free(numbers);
    return st;
}

gyre_status gyre_capture_open(const char *path, gyre_capture **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_capture *c = NULL;
    *out = NULL;
    GYRE_NEW(&c, 1);
    c->file = H5I_INVALID_HID;
    GYRE_NEW(&c->path, strlen(path) + 1);
    memcpy(c->path, path, strlen(path) + 1);
    GYRE_TRY(gyre_seal_check(path, err));
    GYRE_TRY(gyre_h5_open(path, &c->file, err));
    GYRE_TRY(open_root_texts(c, err));
    GYRE_TRY(open_documents(c, err));
    GYRE_TRY(open_grid(c, "pos", &c->info.n_tokens, &c->pos, err));
    GYRE_TRY(open_grid(c, "token_id", &c->info.n_tokens, &c->token_id, err));
    if (gyre_h5_exists(c->file, "query_pos"))
        GYRE_TRY(open_grid(c, "query_pos", &c->info.n_queries, &c->query_pos, err));
    c->info.pos = c->pos;
    c->info.token_id = c->token_id;
    c->info.query_pos = c->query_pos;
    GYRE_TRY(check_positions(c, err));
    GYRE_TRY(open_layers(c, err));
    *out = c;
done:
    if (st != GYRE_OK) {
        if (c != NULL && c->file >= 0)
            (void)gyre_error_context(err, "%s", path);
        gyre_capture_close(c);
    }
    return st;
}

/* What gyre_capture_open allocated is freed through plain pointers: the struct shows it to readers as const. */
static void free_const(const void *pointer)
{
    void *own;
    memcpy(&own, &pointer, sizeof own);
    free(own);
}

void gyre_capture_close(gyre_capture *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < COUNT(root_texts); i++)
        free(*FIELD(char *, &c->info, root_texts[i].offset));
    for (size_t i = 0; c->documents != NULL && i < c->info.n_documents; i++)
        for (size_t t = 0; t < DOCUMENT_TEXTS; t++)
            free(*FIELD(char *, &c->documents[i], document_texts[t].offset));
    for (size_t i = 0; i < c->info.n_layers; i++) {
        free(c->info.layers[i].k_bias);
        free(c->info.layers[i].kv_head_of);
        free_const(c->info.layers[i].rope.factors);
    }
    free(c->info.layers);
    free(c->documents);
    free(c->pos);
    free(c->token_id);
    free(c->query_pos);
    if (c->file >= 0)
        (void)H5Fclose(c->file);
    free(c->path);
    free(c);
}

const gyre_capture_data *gyre_capture_info(const gyre_capture *c)
{
    return &c->info;
}

/* ---- reading ---- */

/* Is the dataset binary16 as write_stream writes it? */
static bool is_half(hid_t parent, const char *name)
{
    hid_t half = gyre_h5_half_type(), set = H5Dopen2(parent, name, H5P_DEFAULT), type = set < 0 ? set : H5Dget_type(set);
    bool same = type >= 0 && H5Tequal(type, half) > 0;
    if (type >= 0)
        (void)H5Tclose(type);
    if (set >= 0)
        (void)H5Dclose(set);
    (void)H5Tclose(half);
    return same;
}

/* Binary16 is widened here: HDF5's own conversion goes bit by bit and costs more than the decompression. */
static gyre_status read_stream(hid_t file, const char *name, const stream_view *view, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint16_t *halves = NULL;
    hid_t half = gyre_h5_half_type();
    size_t n = volume(view->dims);
    GYRE_NEW(view->rows, n);
    if (is_half(file, name)) {
        GYRE_NEW(&halves, n);
        GYRE_TRY(gyre_h5_read(file, name, half, 4, view->dims, halves, err));
        gyre_half_to_floats(halves, n, *view->rows);
    } else {
        GYRE_TRY(gyre_h5_read(file, name, H5T_NATIVE_FLOAT, 4, view->dims, *view->rows, err));
    }
done:
    free(halves);
    (void)H5Tclose(half);
    return st;
}

gyre_status gyre_capture_read_layer(gyre_capture *c, size_t index, gyre_capture_layer *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    stream_view views[3];
    char name[48];
    memset(out, 0, sizeof *out);
    if (index >= c->info.n_layers)
        GYRE_FAIL(GYRE_E_INTERNAL, "layer %zu of %zu asked", index, c->info.n_layers);
    *out = c->info.layers[index];
    stream_views(&c->info, out, views);
    for (size_t i = 0; i < (c->info.n_queries > 0 ? 3u : 2u); i++) {
        (void)snprintf(name, sizeof name, "layer_%02lu/%s", (unsigned long)out->layer, views[i].name);
        GYRE_TRY(read_stream(c->file, name, &views[i], err));
        st = check_finite(&c->info, out->layer, &views[i], err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "%s", c->path);
            goto done;
        }
    }
done:
    if (st != GYRE_OK)
        gyre_capture_layer_free(out);
    return st;
}

void gyre_capture_layer_free(gyre_capture_layer *l)
{
    free(l->k);
    free(l->v);
    free(l->q);
    l->k = l->v = l->q = NULL;
}

/* ---- digest ---- */

/* Rows as stored: binary16 rows are hashed as 2-byte, binary32 rows as 4-byte little-endian numbers. */
static gyre_status digest_stream(gyre_sha256 *h, hid_t group, const stream_view *view, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    unsigned char *bytes = NULL;
    hid_t half = gyre_h5_half_type(), set = H5Dopen2(group, view->name, H5P_DEFAULT), type = H5Dget_type(set);
    size_t width = H5Tget_size(type) > 2 ? 4 : 2, n = volume(view->dims);
    (void)H5Tclose(type);
    (void)H5Dclose(set);
    GYRE_TRY(gyre_calloc((void **)&bytes, n, width, err));
    GYRE_TRY(gyre_h5_read(group, view->name, width == 4 ? H5T_IEEE_F32LE : half, 4, view->dims, bytes, err));
    gyre_sha256_add_text(h, view->name);
    gyre_sha256_add_uint(h, width);
    for (int i = 0; i < 4; i++)
        gyre_sha256_add_uint(h, view->dims[i]);
    gyre_sha256_add(h, bytes, n * width);
done:
    free(bytes);
    (void)H5Tclose(half);
    return st;
}

/* Numbers of 4 bytes, hashed in little-endian order as the file stores them. */
static void digest_words(gyre_sha256 *h, const char *name, const void *words, size_t count)
{
    gyre_sha256_add_text(h, name);
    gyre_sha256_add_uint(h, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
        unsigned char le[4] = {(unsigned char)word, (unsigned char)(word >> 8), (unsigned char)(word >> 16), (unsigned char)(word >> 24)};
        gyre_sha256_add(h, le, sizeof le);
    }
}

static gyre_status digest_layer(gyre_capture *c, gyre_sha256 *h, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char name[24];
    stream_view views[3];
    uint64_t floor_bits;
    group_name(name, l->layer);
    hid_t group = H5Gopen2(c->file, name, H5P_DEFAULT);
    if (group < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the group /%s cannot be opened", name);
    gyre_sha256_add_text(h, name);
    for (size_t i = 0; i < COUNT(layer_uints); i++)
        digest_words(h, layer_uints[i].name, CONST_FIELD(uint32_t, l, layer_uints[i].offset), 1);
    for (size_t i = 0; i < COUNT(layer_reals); i++)
        digest_words(h, layer_reals[i].name, CONST_FIELD(float, l, layer_reals[i].offset), 1);
    memcpy(&floor_bits, &l->floor_nmse_centred, sizeof floor_bits);
    gyre_sha256_add_text(h, "floor_nmse_centred");
    gyre_sha256_add_uint(h, floor_bits);
    gyre_sha256_add_text(h, rope_kinds[l->rope.kind]);
    if (l->rope.factors != NULL)
        digest_words(h, "rope_factors", l->rope.factors, l->rope.n_rot / 2);
    if (l->kv_head_of != NULL)
        digest_words(h, "kv_head_of", l->kv_head_of, l->n_q_heads);
    if (l->k_bias != NULL)
        digest_words(h, "k_bias", l->k_bias, l->n_kv_heads * l->dim);
    stream_views(&c->info, l, views);
    for (size_t i = 0; i < (c->info.n_queries > 0 ? 3u : 2u); i++)
        GYRE_TRY(digest_stream(h, group, &views[i], err));
done:
    if (group >= 0)
        (void)H5Gclose(group);
    return st;
}

gyre_status gyre_capture_digest(gyre_capture *c, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    const gyre_capture_data *info = &c->info;
    GYRE_TRY(gyre_sha256_new(&h, err));
    gyre_sha256_add_text(h, GYRE_CAPTURE_SCHEMA " " GYRE_CAPTURE_VERSION " native");
    for (size_t i = 0; i < COUNT(root_texts); i++)
        if (root_texts[i].scientific)
            gyre_sha256_add_text(h, *CONST_FIELD(char *, info, root_texts[i].offset));
    for (size_t i = 0; i < info->n_documents; i++)
        for (size_t t = 0; t < DOCUMENT_TEXTS; t++)
            gyre_sha256_add_text(h, *CONST_FIELD(char *, &c->documents[i], document_texts[t].offset));
    gyre_sha256_add_uint(h, info->n_documents);
    digest_words(h, "pos", info->pos, info->n_documents * info->n_tokens);
    digest_words(h, "token_id", info->token_id, info->n_documents * info->n_tokens);
    digest_words(h, "query_pos", info->query_pos, info->n_documents * info->n_queries);
    for (size_t i = 0; i < info->n_layers; i++)
        GYRE_TRY(digest_layer(c, h, &info->layers[i], err));
    gyre_sha256 *finished = h;
    h = NULL;
    GYRE_TRY(gyre_sha256_hex(finished, hex, err));
done:
    gyre_sha256_free(h);
    return st;
}
