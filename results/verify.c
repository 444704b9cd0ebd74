#include "results/verify.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hdf5_hl.h>

#include "core/h5.h"
#include "core/seal.h"
#include "results/cells.h"
#include "results/compare.h"
#include "results/digest.h"
#include "results/exact.h"
#include "results/results_file.h"
#include "results/schema.h"
#include "tensors/capture.h"

enum { FAULT_TEXT = 1024, PATH_TEXT = 512 };

/* ---- lists of sentences ---- */

static gyre_status add_text(char ***list, size_t *n, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char **longer = NULL;
    GYRE_NEW(&longer, *n + 1);
    if (*n > 0)
        memcpy(longer, *list, *n * sizeof **list);
    free(*list);
    *list = longer;
    GYRE_NEW(&longer[*n], strlen(text) + 1);
    memcpy(longer[*n], text, strlen(text) + 1);
    (*n)++;
done:
    return st;
}

__attribute__((format(printf, 3, 4))) static gyre_status fault(gyre_verification *v, gyre_error *err, const char *format, ...)
{
    char text[FAULT_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return add_text(&v->faults, &v->n_faults, text, err);
}

void gyre_verification_free(gyre_verification *v)
{
    for (size_t i = 0; i < v->n_faults; i++)
        free(v->faults[i]);
    for (size_t i = 0; i < v->n_warnings; i++)
        free(v->warnings[i]);
    free(v->faults);
    free(v->warnings);
    *v = (gyre_verification){0};
}

/* ---- one object against its row ---- */

static bool type_fits(hid_t type, gyre_schema_type wanted)
{
    H5T_class_t class = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    switch (wanted) {
    case GYRE_SCHEMA_TEXT:
    case GYRE_SCHEMA_CHARS:
    case GYRE_SCHEMA_STATUS:
    case GYRE_SCHEMA_STREAM:
    case GYRE_SCHEMA_KIND:
    case GYRE_SCHEMA_SOURCE:
        return H5Tis_variable_str(type) > 0 && H5Tget_cset(type) == H5T_CSET_UTF8;
    case GYRE_SCHEMA_REAL:
        return class == H5T_FLOAT && size == 8;
    case GYRE_SCHEMA_F32:
        return class == H5T_FLOAT && size == 4;
    case GYRE_SCHEMA_U32:
        return class == H5T_INTEGER && size == 4 && H5Tget_sign(type) == H5T_SGN_NONE;
    case GYRE_SCHEMA_SIZE:
    case GYRE_SCHEMA_U64:
        return class == H5T_INTEGER && size == 8 && H5Tget_sign(type) == H5T_SGN_NONE;
    case GYRE_SCHEMA_BOOL:
        return class == H5T_INTEGER && size == 1;
    case GYRE_SCHEMA_ROW:
        break;
    }
    return class == H5T_COMPOUND;
}

static gyre_status check_attribute_text(gyre_verification *v, hid_t set, const char *path, const char *name, const char *wanted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL;
    if (gyre_h5_get_attr_text(set, name, &text, NULL) != GYRE_OK)
        GYRE_TRY(fault(v, err, "%s has no attribute %s", path, name));
    else if (wanted != NULL && strcmp(text, wanted) != 0)
        GYRE_TRY(fault(v, err, "%s has %s '%s', not '%s'", path, name, text, wanted));
done:
    free(text);
    return st;
}

/* Is the scale of that name attached to dimension i, and as long as it? */
static gyre_status check_scale(gyre_verification *v, hid_t file, hid_t set, const char *path, const char *scale, unsigned i, hsize_t length,
                               gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t own = 0;
    hid_t with = H5I_INVALID_HID;
    if (gyre_h5_shape(file, scale, 1, &own, NULL) != GYRE_OK) {
        GYRE_TRY(fault(v, err, "%s: its scale /%s is missing", path, scale));
        goto done;
    }
    with = H5Dopen2(file, scale, H5P_DEFAULT);
    if (with < 0 || H5DSis_attached(set, with, i) <= 0)
        GYRE_TRY(fault(v, err, "%s: the scale /%s is not attached to dimension %u", path, scale, i));
    if (own != length)
        GYRE_TRY(fault(v, err, "%s: dimension %u is %llu long, its scale /%s %llu", path, i, (unsigned long long)length, scale,
                       (unsigned long long)own));
done:
    if (with >= 0)
        (void)H5Dclose(with);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

static gyre_status check_shape(gyre_verification *v, hid_t file, hid_t set, const char *path, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(set);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    if (rank != (int)gyre_schema_rank(row)) {
        GYRE_TRY(fault(v, err, "%s has %d dimensions, not %zu", path, rank, gyre_schema_rank(row)));
        goto done;
    }
    if (row->kind == GYRE_SCHEMA_SCALE && H5DSis_scale(set) <= 0)
        GYRE_TRY(fault(v, err, "%s is not a dimension scale", path));
    for (unsigned i = 0; row->kind != GYRE_SCHEMA_SCALE && row->dims[i] != NULL; i++)
        GYRE_TRY(check_scale(v, file, set, path, row->dims[i], i, dims[i], err));
done:
    if (space >= 0)
        (void)H5Sclose(space);
    return st;
}

static gyre_status check_dataset(gyre_verification *v, hid_t file, const char *path, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t set = H5I_INVALID_HID, type = H5I_INVALID_HID;
    if (!gyre_h5_exists(file, path)) {
        GYRE_TRY(fault(v, err, "%s is missing", path));
        goto done;
    }
    set = H5Dopen2(file, path, H5P_DEFAULT);
    type = set < 0 ? set : H5Dget_type(set);
    if (type < 0) {
        GYRE_TRY(fault(v, err, "%s is not a readable dataset", path));
        goto done;
    }
    if (!type_fits(type, row->type))
        GYRE_TRY(fault(v, err, "%s is not of type %s", path, gyre_schema_type_name(row->type)));
    GYRE_TRY(check_shape(v, file, set, path, row, err));
    bool metric = row->kind == GYRE_SCHEMA_METRIC;
    if (row->kind != GYRE_SCHEMA_SCALAR)
        GYRE_TRY(check_attribute_text(v, set, path, "long_name", metric ? NULL : row->long_name, err));
    if (row->unit != NULL)
        GYRE_TRY(check_attribute_text(v, set, path, "units", metric ? NULL : row->unit, err));
    if (metric)
        GYRE_TRY(check_attribute_text(v, set, path, "direction", "lower_better", err));
done:
    if (type >= 0)
        (void)H5Tclose(type);
    if (set >= 0)
        (void)H5Dclose(set);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

static gyre_status check_attribute(gyre_verification *v, hid_t file, const gyre_schema_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *name = gyre_schema_name(row);
    char group[GYRE_SCHEMA_GROUP_TEXT];
    gyre_schema_group(row, group);
    hid_t object = gyre_h5_exists(file, group) ? H5Gopen2(file, group, H5P_DEFAULT) : H5I_INVALID_HID;
    char *text = NULL;
    uint64_t number = 0;
    bool text_wanted = gyre_schema_is_text(row->type), there = false;
    if (object >= 0 && text_wanted)
        there = gyre_h5_get_attr_text(object, name, &text, NULL) == GYRE_OK;
    else if (object >= 0)
        there = gyre_h5_get_attr_uint(object, name, &number, NULL) == GYRE_OK;
    if (!there)
        GYRE_TRY(fault(v, err, "%s: no attribute %s of type %s", group, name, text_wanted ? "text" : "integer"));
done:
    free(text);
    if (object >= 0)
        (void)H5Gclose(object);
    return st;
}

/* ---- names that the schema does not know: strangers in a file of this version, expected in one of a newer MINOR ---- */

static gyre_status check_members(gyre_verification *v, hid_t file, const char *path, const gyre_schema_row *metric, bool own, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char name[PATH_TEXT / 2], child[PATH_TEXT];
    H5G_info_t info = {0};
    hid_t group = H5Gopen2(file, path, H5P_DEFAULT);
    if (group < 0 || H5Gget_info(group, &info) < 0)
        GYRE_TRY(fault(v, err, "%s is not a readable group", path));
    for (hsize_t i = 0; i < info.nlinks; i++) {
        if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT) < 0)
            continue;
        (void)snprintf(child, sizeof child, "%s%s%s", path, path[1] != '\0' ? "/" : "", name);
        if (metric != NULL)
            GYRE_TRY(check_dataset(v, file, child, metric, err));
        else if (gyre_schema_find(child) == NULL && own)
            GYRE_TRY(fault(v, err, "%s is not part of the schema", child));
        else if (gyre_schema_find(child) == NULL)
            GYRE_TRY(add_text(&v->warnings, &v->n_warnings, child, err));
    }
done:
    if (group >= 0)
        (void)H5Gclose(group);
    (void)H5Eclear2(H5E_DEFAULT);
    return st;
}

static gyre_status check_row(gyre_verification *v, hid_t file, const gyre_schema_row *row, bool own, gyre_error *err)
{
    if (row->kind == GYRE_SCHEMA_ATTRIBUTE)
        return check_attribute(v, file, row, err);
    if (row->kind == GYRE_SCHEMA_METRIC)
        return GYRE_OK; /* with its group */
    if (row->kind != GYRE_SCHEMA_GROUP)
        return check_dataset(v, file, row->path, row, err);
    if (!gyre_h5_exists(file, row->path))
        return fault(v, err, "%s is missing", row->path);
    return check_members(v, file, row->path, strcmp(row->path, "/metrics") == 0 ? gyre_schema_find("/metrics/*") : NULL, own, err);
}

/* ---- sense ---- */

static gyre_status check_cell(gyre_verification *v, const gyre_table *table, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell *c = &table->cells[i];
    bool ok = c->status == GYRE_CELL_OK;
    if (strspn(c->key, "0123456789abcdef") != GYRE_SHA256_HEX - 1)
        GYRE_TRY(fault(v, err, "/cells/key: row %zu is not a SHA-256", i));
    if (ok && !(isfinite(c->payload_bits) && isfinite(c->side_bits) && isfinite(c->total_bits) && isfinite(c->read_bits)))
        GYRE_TRY(fault(v, err, "/cells: row %zu is OK and has no bits", i));
    if (!ok && c->status != GYRE_CELL_MISSING && c->reason[0] == '\0')
        GYRE_TRY(fault(v, err, "/cells/reason: row %zu is %s without a reason", i, gyre_cell_status_name(c->status)));
done:
    return st;
}

static gyre_status check_comparison(gyre_verification *v, const gyre_table *table, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const char *const statuses[] = { "OK", "SKIPPED", "INCOMPLETE", "DEGENERATE" };
    static const char *const verdicts[] = { "EQUIVALENT", "BETTER", "NOT_WORSE", "WORSE", "INCONCLUSIVE", GYRE_DESCRIPTIVE };
    const gyre_comparison *c = &table->comparisons[i];
    bool status = false, verdict = false, metric = false;
    for (size_t k = 0; k < sizeof statuses / sizeof *statuses; k++)
        status = status || strcmp(c->status, statuses[k]) == 0;
    for (size_t k = 0; k < sizeof verdicts / sizeof *verdicts; k++)
        verdict = verdict || strcmp(c->verdict, verdicts[k]) == 0;
    for (size_t m = 0; m < table->n_metrics; m++)
        metric = metric || strcmp(c->metric, table->metrics[m]) == 0;
    if (!status)
        GYRE_TRY(fault(v, err, "/stats/status: row %zu is '%s'", i, c->status));
    if (verdict != (strcmp(c->status, "OK") == 0))
        GYRE_TRY(fault(v, err, "/stats/verdict: row %zu is '%s' where the status is %s", i, c->verdict, c->status));
    if (verdict && (strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0) != table->sources[c->source].descriptive)
        GYRE_TRY(fault(v, err, "/stats/verdict: row %zu is '%s', and its source is%s descriptive", i, c->verdict, table->sources[c->source].descriptive ? "" : " not"));
    if (c->exploratory != (c->exploratory_why[0] != '\0'))
        GYRE_TRY(fault(v, err, "/stats/exploratory: row %zu says %d and gives %s reason", i, c->exploratory, c->exploratory_why[0] != '\0' ? "a" : "no"));
    if (!metric)
        GYRE_TRY(fault(v, err, "/stats/metric: row %zu names %s, which is not in /metrics", i, c->metric));
done:
    return st;
}

/* What follows from other numbers of the row, and what cannot be. */
static gyre_status check_pass(gyre_verification *v, const gyre_table *table, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_perplexity *p = &table->perplexity[i];
    const gyre_source *s = &table->sources[p->source];
    if (s->kind != GYRE_SOURCE_MODEL || p->n_chunks != s->n_documents || p->n_tokens != s->n_documents * s->n_scored)
        GYRE_TRY(fault(v, err, "/perplexity: row %zu counts %zu chunks and %zu tokens, which source %s has not", i, p->n_chunks, p->n_tokens, s->name));
    if (!(fabs(p->ppl - exp(p->nll)) <= 1e-9 * p->ppl))
        GYRE_TRY(fault(v, err, "/perplexity/ppl: row %zu is %g, not exp(nll) = %g", i, p->ppl, exp(p->nll)));
    if (!(p->kl_median >= 0.0 && p->kl_90 >= p->kl_median && p->kl_99 >= p->kl_90 && p->kl_999 >= p->kl_99 && p->kl_max >= p->kl_999 && p->kl >= 0.0 && p->kl <= p->kl_max * (1.0 + 1e-9)))
        GYRE_TRY(fault(v, err, "/perplexity/kl: row %zu has quantiles out of order, or a mean outside them", i));
    if (!(p->same_top >= 0.0 && p->same_top <= 1.0 && p->p_rms >= 0.0 && p->p_rms <= 1.0))
        GYRE_TRY(fault(v, err, "/perplexity: row %zu has same_top %g and p_rms %g, which are no shares", i, p->same_top, p->p_rms));
done:
    return st;
}

static gyre_status check_canary(gyre_verification *v, const gyre_canary *c, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (strcmp(c->status, "PASS") != 0 && strcmp(c->status, "FAIL") != 0 && strcmp(c->status, "NOT RUN") != 0)
        GYRE_TRY(fault(v, err, "/canaries/status: row %zu is '%s'", i, c->status));
done:
    return st;
}

static gyre_status check_exact(gyre_verification *v, const gyre_exact *e, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *verdict = gyre_exact_verdict(e->published, e->measured, e->digits);
    if (strcmp(e->verdict, verdict) != 0)
        GYRE_TRY(fault(v, err, "/exact/verdict: row %zu is '%s', and %.*f against %.10g is %s", i, e->verdict, (int)e->digits, e->published, e->measured, verdict));
done:
    return st;
}

/* Reads the file as reports do, and looks at the words in it. */
static gyre_status check_sense(gyre_verification *v, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *table = NULL;
    gyre_error *why = NULL;
    GYRE_NEW(&why, 1);
    gyre_status read = gyre_results_read(path, &table, NULL, NULL, why);
    if (read == GYRE_E_MEMORY)
        GYRE_FAIL(GYRE_E_MEMORY, "%s", why->message);
    if (read != GYRE_OK) {
        GYRE_TRY(fault(v, err, "%s", why->message));
        goto done;
    }
    for (size_t i = 0; i < table->n_cells; i++)
        GYRE_TRY(check_cell(v, table, i, err));
    for (size_t i = 0; i < table->n_comparisons; i++)
        GYRE_TRY(check_comparison(v, table, i, err));
    for (size_t i = 0; i < table->n_perplexity; i++)
        GYRE_TRY(check_pass(v, table, i, err));
    for (size_t i = 0; i < table->n_canaries; i++)
        GYRE_TRY(check_canary(v, &table->canaries[i], i, err));
    for (size_t i = 0; i < table->n_exact; i++)
        GYRE_TRY(check_exact(v, &table->exact[i], i, err));
done:
    gyre_table_free(table);
    free(why);
    return st;
}

/* ---- the three kinds ---- */

static gyre_status verify_results(const char *path, gyre_verification *v, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t file = H5I_INVALID_HID;
    char *version = NULL;
    GYRE_TRY(gyre_h5_open(path, &file, err));
    bool own = gyre_h5_get_attr_text(file, "schema_version", &version, NULL) == GYRE_OK && strcmp(version, GYRE_RESULTS_VERSION) == 0;
    GYRE_TRY(check_members(v, file, "/", NULL, own, err));
    for (const gyre_schema_row *row = gyre_schema; row->path != NULL; row++)
        if (version == NULL || gyre_schema_has(row, version))
            GYRE_TRY(check_row(v, file, row, own, err));
    if (gyre_results_digest_of(file, v->digest, NULL) != GYRE_OK)
        v->digest[0] = '\0';
    GYRE_TRY(gyre_h5_close(&file, path, err));
    GYRE_TRY(check_sense(v, path, err));
done:
    free(version);
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    return st;
}

static gyre_status verify_cell(const char *path, gyre_verification *v, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_cell_file file = {0};
    gyre_error *why = NULL;
    GYRE_NEW(&why, 1);
    if (gyre_cell_file_read(path, &file, why) != GYRE_OK) {
        GYRE_TRY(fault(v, err, "%s", why->message));
        goto done;
    }
    memcpy(v->digest, file.digest, sizeof v->digest);
    v->n_tokens = file.n_tokens;
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    if (strncmp(name, file.key, strlen(file.key)) != 0 || strcmp(name + strlen(file.key), ".h5") != 0)
        GYRE_TRY(fault(v, err, "the file holds cell %s and has another name", file.key));
done:
    gyre_cell_file_free(&file);
    free(why);
    return st;
}

static gyre_status capture_digest(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_capture *capture = NULL;
    gyre_capture_layer layer;
    GYRE_TRY(gyre_capture_open(path, &capture, err));
    for (size_t i = 0; i < gyre_capture_info(capture)->n_layers; i++) { /* refuses NaN and Inf */
        GYRE_TRY(gyre_capture_read_layer(capture, i, &layer, err));
        gyre_capture_layer_free(&layer);
    }
    GYRE_TRY(gyre_capture_digest(capture, hex, err));
done:
    gyre_capture_close(capture);
    return st;
}

static gyre_status verify_capture(const char *path, gyre_verification *v, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_error *why = NULL;
    GYRE_NEW(&why, 1);
    if (capture_digest(path, v->digest, why) != GYRE_OK) {
        v->digest[0] = '\0';
        GYRE_TRY(fault(v, err, "%s", why->message));
    }
done:
    free(why);
    return st;
}

typedef struct kind {
    const char *schema, *name;
    gyre_status (*verify)(const char *path, gyre_verification *v, gyre_error *err);
} kind;

static gyre_status recognise(const char *path, const kind **out, gyre_error *err)
{
    static const kind kinds[] = { { GYRE_RESULTS_SCHEMA, "results", verify_results },
                                  { GYRE_CELL_SCHEMA, "cell", verify_cell },
                                  { GYRE_CAPTURE_SCHEMA, "capture", verify_capture } };
    gyre_status st = GYRE_OK;
    hid_t file = H5I_INVALID_HID;
    char *schema = NULL;
    *out = NULL;
    GYRE_TRY(gyre_seal_check(path, err));
    GYRE_TRY(gyre_h5_open(path, &file, err));
    if (gyre_h5_get_attr_text(file, "schema", &schema, NULL) != GYRE_OK)
        GYRE_FAIL(GYRE_E_INPUT, "%s is an HDF5 file, but none of Gyre's: it has no attribute schema", path);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(schema, kinds[i].schema) == 0)
            *out = &kinds[i];
    if (*out == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "%s has schema '%s', which this program does not know", path, schema);
done:
    free(schema);
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    return st;
}

gyre_status gyre_verify(const char *path, gyre_verification *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kind *k = NULL;
    *out = (gyre_verification){0};
    GYRE_TRY(recognise(path, &k, err));
    out->kind = k->name;
    GYRE_TRY(k->verify(path, out, err));
done:
    return st;
}

gyre_status gyre_verify_digest(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kind *k = NULL;
    gyre_cell_file cell = {0};
    GYRE_TRY(recognise(path, &k, err));
    if (strcmp(k->name, "results") == 0)
        GYRE_TRY(gyre_results_digest(path, hex, err));
    else if (strcmp(k->name, "capture") == 0)
        GYRE_TRY(capture_digest(path, hex, err));
    else {
        GYRE_TRY(gyre_cell_file_read(path, &cell, err));
        memcpy(hex, cell.digest, sizeof cell.digest);
    }
done:
    gyre_cell_file_free(&cell);
    return st;
}
