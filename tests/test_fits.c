/* results/: what calibration found, in cell files and results files, and found again by other runs.
 *
 * Fits are made of small numbers that say where they belong (parameter i of fit f is 1000 f + i + 1), so that what comes back can be read off.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/h5.h"
#include "core/seal.h"
#include "results/canary.h"
#include "results/cells.h"
#include "results/digest.h"
#include "results/fitted.h"
#include "results/merge.h"
#include "results/results_file.h"
#include "results/schema.h"
#include "results/verify.h"

enum { PATH_TEXT = 512 };

static gyre_error error;
static char folder[64];

#define OK(call)                                                                                                               \
    do {                                                                                                                       \
        if ((call) != GYRE_OK)                                                                                                 \
            fail_msg("line %d: %s: %s", __LINE__, #call, error.message);                                                       \
    } while (0)

static void says(gyre_status st, const char *text, int line)
{
    if (st != GYRE_E_INPUT)
        fail_msg("line %d: status %d, expected an input error that says '%s'", line, (int)st, text);
    if (strstr(error.message, text) == NULL)
        fail_msg("line %d: '%s' does not say '%s'", line, error.message, text);
}
#define REFUSED(call, text) says((call), (text), __LINE__)

static const char *at(const char *name)
{
    static char paths[4][PATH_TEXT];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, PATH_TEXT, "%s/%s", folder, name);
    return path;
}

/* ---- a table with fits ---- */

static const char *const metrics[] = { "nmse" }, *const units[] = { "" }, *const documents[] = { "moby", "emma" }, *const calibration[] = { "dracula" };
static const char *const validation[] = { "walden", "middlemarch" };
static const uint32_t layers[] = { 0, 7 }, heads[] = { 2, 2 };

#define CHAIN "order=half_split;chain=[rotate(learn=true)];quantizer=sym(bits=4)"

/* Cells by layer: a (K and V), b (K, the codec of a at layer 0), c (K, of draws), d (no fits). */
static gyre_table *make_table(void)
{
    static const char *const arms[] = { "a", "b", "c", "d" };
    gyre_table *t = NULL;
    OK(gyre_table_new(&t, &error));
    t->experiment = "fits";
    memset(t->config_sha256, 'a', 64);
    memset(t->analysis_sha256, 'b', 64);
    memset(t->value_code, 'c', 64);
    t->n_seeds = 1;
    t->n_metrics = 1;
    t->metrics = metrics;
    t->metric_units = units;
    t->n_sources = 1;
    OK(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &error));
    t->sources[0] = (gyre_source){ .name = "smollm2", .path = "a.h5", .digest = "d", .model_sha256 = "m0", .architecture = "llama", .n_documents = 2, .documents = documents, .n_calibration = 1,
                                   .calibration = calibration, .n_validation = 2, .validation = validation, .n_layers = 2, .layers = layers, .n_heads = heads, .dim = 64 };
    OK(gyre_table_keep(t, 8, sizeof *t->cells, &t->cells, &error));
    for (size_t i = 0; i < 8; i++) {
        gyre_cell *c = &t->cells[t->n_cells++];
        *c = (gyre_cell){ .layer = layers[i / 4], .arm = arms[i % 4], .point = "bits=4", .streams = i % 4 == 0 ? "kv" : "k", .codec_k = CHAIN, .codec_v = i % 4 == 0 ? CHAIN : "exact",
                          .status = GYRE_CELL_OK, .reason = "", .flags = "", .payload_bits = 4.0, .side_bits = 0.5, .total_bits = 4.5, .read_bits = 4.0, .n_documents = 2, .n_heads = 2 };
        OK(gyre_table_keep(t, 4, sizeof *c->values, &c->values, &error));
        for (size_t k = 0; k < 4; k++)
            c->values[k] = 0.25 * (double)(k + 1);
        (void)snprintf(c->key, sizeof c->key, "%064zx", i == 1 ? (size_t)0 : i); /* b has the key of a in layer 0 */
    }
    return t;
}

static void add_fit(gyre_table *t, gyre_cell *c, size_t number, gyre_fit fit)
{
    gyre_fit *fits = NULL, *f;
    OK(gyre_table_keep(t, c->n_fits + 1, sizeof *fits, &fits, &error));
    if (c->n_fits > 0)
        memcpy(fits, c->fits, c->n_fits * sizeof *fits);
    f = &fits[c->n_fits++];
    *f = fit;
    OK(gyre_table_keep(t, f->n_parameters, sizeof *f->parameters, &f->parameters, &error));
    OK(gyre_table_keep(t, f->n_points, sizeof *f->point_step, &f->point_step, &error));
    OK(gyre_table_keep(t, f->n_points, sizeof *f->point[0], &f->point[0], &error));
    OK(gyre_table_keep(t, f->n_points, sizeof *f->point[1], &f->point[1], &error));
    for (size_t i = 0; i < f->n_parameters; i++)
        f->parameters[i] = (float)(1000 * number + i + 1);
    for (size_t i = 0; i < f->n_points; i++) {
        f->point_step[i] = (uint32_t)i * (f->n_parameters > 0 ? 10 : 1);
        f->point[0][i] = 1.0 / (double)(number + i + 1);
        f->point[1][i] = f->n_parameters > 0 ? 2.0 / (double)(number + i + 1) : (double)NAN;
    }
    c->fits = fits;
}

/* Cell 0: two heads of K, V pooled; cell 2: the best of four draws. Cell 1 has the key of cell 0, hence its fits. */
static gyre_table *fitted_table(void)
{
    gyre_table *t = make_table();
    for (size_t i = 0; i < 8; i += 4) {
        add_fit(t, &t->cells[i], 0, (gyre_fit){ .stream = GYRE_K, .restart = 2, .step = 10, .n_parameters = 4, .freedom = 3, .start = { 1.0, 2.0 }, .end = { 0.5, 0.75 }, .n_points = 3 });
        add_fit(t, &t->cells[i], 1, (gyre_fit){ .stream = GYRE_K, .head = 1, .n_parameters = 3, .freedom = 3, .start = { 1.5, NAN }, .end = { 0.5, NAN }, .n_points = 0 });
        add_fit(t, &t->cells[i], 2, (gyre_fit){ .stream = GYRE_V, .pooled = true, .n_parameters = 1, .freedom = 1, .start = { 3.0, 4.0 }, .end = { 2.0, 3.0 }, .n_points = 2 });
    }
    add_fit(t, &t->cells[2], 3, (gyre_fit){ .stream = GYRE_K, .pooled = true, .draw = 3, .start = { 0.25, NAN }, .end = { 0.125, NAN }, .n_points = 4 });
    t->cells[1].n_fits = t->cells[0].n_fits;
    t->cells[1].fits = t->cells[0].fits;
    for (size_t i = 4; i < 8; i++)
        t->cells[i].n_fits = 0; /* layer 7 has none, unless a test gives it some */
    return t;
}

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void assert_same_fits(const gyre_cell *a, const gyre_cell *b)
{
    assert_int_equal(a->n_fits, b->n_fits);
    for (size_t i = 0; i < a->n_fits; i++) {
        const gyre_fit *x = &a->fits[i], *y = &b->fits[i];
        assert_true(x->stream == y->stream && x->pooled == y->pooled && x->head == y->head && x->draw == y->draw && x->restart == y->restart && x->step == y->step);
        assert_true(x->n_parameters == y->n_parameters && x->freedom == y->freedom && x->n_points == y->n_points);
        for (int k = 0; k < 2; k++)
            assert_true(same_number(x->start[k], y->start[k]) && same_number(x->end[k], y->end[k]));
        assert_memory_equal(x->parameters, y->parameters, x->n_parameters * sizeof *x->parameters);
        for (size_t p = 0; p < x->n_points; p++)
            assert_true(x->point_step[p] == y->point_step[p] && same_number(x->point[0][p], y->point[0][p]) && same_number(x->point[1][p], y->point[1][p]));
    }
}

static gyre_provenance *make_provenance(void)
{
    static gyre_provenance p;
    (void)snprintf(p.build_id, sizeof p.build_id, "0.1.0 (0123456)");
    return &p;
}

static const char *write_table(const char *name, gyre_table *t)
{
    OK(gyre_results_write(at(name), t, make_provenance(), &error));
    gyre_table_free(t);
    return at(name);
}

static size_t file_size(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return (size_t)s.st_size;
}

/* ---- changing files as someone would who knows the format ---- */

static void unseal(const char *path)
{
    assert_int_equal(truncate(path, (off_t)file_size(path) - 72), 0);
}

/* Writes `value` as entry `i` of a dataset; gives the file the digest of what it then holds, and a seal. */
static void change(const char *path, const char *name, hid_t memory_type, hsize_t i, const void *value)
{
    char hex[GYRE_SHA256_HEX], *version = NULL;
    unseal(path);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(set);
    hsize_t one = 1;
    hid_t small = H5Screate_simple(1, &one, NULL);
    assert_true(H5Sselect_hyperslab(space, H5S_SELECT_SET, &i, NULL, &one, NULL) >= 0 && H5Dwrite(set, memory_type, small, space, H5P_DEFAULT, value) >= 0);
    (void)H5Sclose(small);
    (void)H5Sclose(space);
    (void)H5Dclose(set);
    OK(gyre_h5_get_attr_text(file, "schema", &version, &error));
    if (strcmp(version, GYRE_RESULTS_SCHEMA) == 0) {
        OK(gyre_results_digest_of(file, hex, &error));
        assert_true(H5Adelete(file, "content_sha256") >= 0);
        OK(gyre_h5_attr_text(file, "content_sha256", hex, &error));
    }
    free(version);
    assert_true(H5Fclose(file) >= 0);
    OK(gyre_seal_write(path, &error));
}

/* ---- cell files ---- */

static void cell_path(char path[PATH_TEXT], const gyre_cell *c)
{
    (void)snprintf(path, PATH_TEXT, "%s/cells/%s.h5", folder, c->key);
}

static void cells_keep_fits(void **state)
{
    (void)state;
    char why[GYRE_CELL_WHY], path[PATH_TEXT];
    gyre_table *t = fitted_table(), *plan = make_table();
    OK(gyre_cells_prepare(folder, &error));
    for (size_t i = 0; i < 4; i++) {
        bool found = false;
        gyre_verification v;
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
        OK(gyre_cell_read(folder, plan, &plan->cells[i], &found, why, &error));
        assert_true(found);
        assert_same_fits(&t->cells[i], &plan->cells[i]);
        cell_path(path, &t->cells[i]);
        OK(gyre_verify(path, &v, &error));
        assert_int_equal(v.n_faults, 0);
        gyre_verification_free(&v);
        hid_t file = H5I_INVALID_HID;
        OK(gyre_h5_open(path, &file, &error));
        assert_int_equal(gyre_h5_exists(file, "fits"), t->cells[i].n_fits > 0); /* no fits, no group */
        OK(gyre_h5_close(&file, path, &error));
    }
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* One bit of one parameter is another content; what says so in the file is content_sha256. */
static void cells_cover_fits(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t number;
        double real;
    } changes[] = { { "/fits/head", 0, 0.0 },    { "/fits/draw", 1, 0.0 },        { "/fits/restart", 1, 0.0 },      { "/fits/step", 20, 0.0 },         { "/fits/freedom", 2, 0.0 },
                    { "/fits/pooled", 1, 0.0 },  { "/fits/point_step", 11, 0.0 }, { "/fits/parameters", 0, 5.5 },   { "/fits/point_validation", 0, 9.0 }, { "/fits/point_calibration", 0, 9.0 },
                    { "/fits/start_calibration", 0, 7.0 }, { "/fits/start_validation", 0, 7.0 }, { "/fits/end_calibration", 0, 7.0 }, { "/fits/end_validation", 0, 7.0 } };
    gyre_table *t = fitted_table();
    gyre_cell_file file;
    char path[PATH_TEXT];
    OK(gyre_cells_prepare(folder, &error));
    cell_path(path, &t->cells[0]);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        bool real = changes[i].real > 0.0;
        OK(gyre_cell_write(folder, t, &t->cells[0], &error));
        change(path, changes[i].name, real ? H5T_NATIVE_DOUBLE : H5T_NATIVE_UINT64, 1, real ? (const void *)&changes[i].real : (const void *)&changes[i].number);
        gyre_status st = gyre_cell_file_read(path, &file, &error);
        if (st != GYRE_E_INPUT || strstr(error.message, "content_sha256") == NULL)
            fail_msg("%s may be changed: %s", changes[i].name, st == GYRE_OK ? "it is read" : error.message);
        gyre_cell_file_free(&file);
    }
    gyre_table_free(t);
}

static void hostile_cells_are_refused(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    const uint64_t far = 1000, back = 0;
    static const struct {
        const char *name, *text;
    } cases[] = { { "/fits/parameters", "not a finite number" }, { "/fits/parameters_offset", "parameters at 1000" }, { "/fits/n_parameters", "1000 parameters" },
                  { "/fits/points_offset", "points at 1000" },   { "/fits/n_points", "1000 points" },               { "/fits/head", "of head 1000" },
                  { "/fits/point_step", "goes back" } };
    gyre_table *t = fitted_table();
    gyre_cell_file file;
    char path[PATH_TEXT];
    OK(gyre_cells_prepare(folder, &error));
    cell_path(path, &t->cells[0]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(gyre_cell_write(folder, t, &t->cells[0], &error));
        if (i == 0)
            change(path, cases[i].name, H5T_NATIVE_DOUBLE, 1, &nan);
        else
            change(path, cases[i].name, H5T_NATIVE_UINT64, 1, i == 6 ? &back : &far);
        REFUSED(gyre_cell_file_read(path, &file, &error), cases[i].text);
        gyre_cell_file_free(&file);
    }
    t->cells[0].fits[0].parameters[2] = INFINITY; /* a fit that diverged is not written either */
    REFUSED(gyre_cell_write(folder, t, &t->cells[0], &error), "not a finite number");
    gyre_table_free(t);
}

/* ---- results files ---- */

static void results_keep_fits(void **state)
{
    (void)state;
    gyre_table *t = fitted_table(), *back = NULL;
    gyre_verification v;
    hsize_t n = 0;
    hid_t file = H5I_INVALID_HID;
    OK(gyre_results_write(at("round.h5"), t, make_provenance(), &error));
    OK(gyre_results_read(at("round.h5"), &back, NULL, NULL, &error));
    for (size_t i = 0; i < t->n_cells; i++)
        assert_same_fits(&t->cells[i], &back->cells[i]);
    assert_int_equal(back->sources[0].n_validation, 2);
    assert_string_equal(back->sources[0].validation[1], "middlemarch");
    assert_ptr_equal(back->cells[0].fits, back->cells[1].fits); /* one key, one copy */
    OK(gyre_h5_open(at("round.h5"), &file, &error));
    OK(gyre_h5_shape(file, "/fits/stream", 1, &n, &error));
    assert_int_equal(n, 4); /* 3 of cells 0 and 1, 1 of cell 2 */
    OK(gyre_h5_shape(file, "/fits/parameters", 1, &n, &error));
    assert_int_equal(n, 4 + 3 + 1);
    OK(gyre_h5_shape(file, "/fits/point_step", 1, &n, &error));
    assert_int_equal(n, 3 + 0 + 2 + 4);
    OK(gyre_h5_close(&file, at("round.h5"), &error));
    OK(gyre_verify(at("round.h5"), &v, &error));
    for (size_t i = 0; i < v.n_faults; i++)
        print_error("%s\n", v.faults[i]);
    assert_int_equal(v.n_faults + v.n_warnings, 0);
    gyre_verification_free(&v);
    gyre_table_free(back);
    gyre_table_free(t);
}

/* From memory or from cell files, the same results; and a parameter is part of their digest. */
static void merges_agree(void **state)
{
    (void)state;
    char digest[3][GYRE_SHA256_HEX];
    gyre_table *t = fitted_table(), *plan = make_table();
    OK(gyre_cells_prepare(folder, &error));
    for (size_t i = 0; i < t->n_cells; i++) {
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
        plan->cells[i].status = GYRE_CELL_MISSING;
    }
    OK(gyre_merge(folder, plan, false, make_provenance(), NULL, &error));
    OK(gyre_results_digest(at("results.h5"), digest[0], &error));
    OK(gyre_canaries_make(t, &error)); /* as the merge does */
    OK(gyre_results_write(at("memory.h5"), t, make_provenance(), &error));
    OK(gyre_results_digest(at("memory.h5"), digest[1], &error));
    assert_string_equal(digest[0], digest[1]);
    t->cells[0].fits[2].parameters[0] = nextafterf(t->cells[0].fits[2].parameters[0], 0.0F);
    OK(gyre_results_write(at("memory.h5"), t, make_provenance(), &error));
    OK(gyre_results_digest(at("memory.h5"), digest[2], &error));
    assert_string_not_equal(digest[1], digest[2]);
    gyre_table_free(t);
    gyre_table_free(plan);
}

static void hostile_results_are_refused(void **state)
{
    (void)state;
    const double nan = (double)NAN;
    static const struct {
        const char *name, *text;
        uint64_t value;
        hsize_t at;
    } cases[] = { { "/fits/parameters", "not a finite number", 0, 3 },
                  { "/fits/parameters_offset", "fit 1 has 3 parameters at 1000", 1000, 1 },
                  { "/fits/parameters_offset", "fit 1 has 3 parameters at 2", 2, 1 }, /* over the first one's */
                  { "/fits/n_parameters", "parameters at 0", UINT64_MAX, 0 },
                  { "/fits/n_parameters", "0 parameters and 0 points belong to no fit", 0, 0 },
                  { "/fits/n_points", "points at 0", 1u << 30, 0 },
                  { "/fits/cell", "order of their cells", 5, 0 },
                  { "/fits/cell", "is of cell 8", 8, 3 },
                  { "/fits/cell", "is of cell 1", 1, 2 }, /* which has the fits of its key already */
                  { "/fits/head", "of head 2", 2, 1 },
                  { "/fits/point_step", "goes back", 0, 2 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gyre_table *back = NULL;
        const char *path = write_table("hostile.h5", fitted_table());
        change(path, cases[i].name, i == 0 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_UINT64, cases[i].at, i == 0 ? (const void *)&nan : (const void *)&cases[i].value);
        gyre_status st = gyre_results_read(path, &back, NULL, NULL, &error);
        if (i == 4)
            REFUSED(st, "fit 1 has 3 parameters at 4"); /* what follows does not begin where the first one now ends */
        else
            REFUSED(st, cases[i].text);
    }
}

/* h5py, xarray with both engines and ncdump see the columns, in a file with fits and (test_results.c) in one without. */
static void other_readers(void **state)
{
    (void)state;
    char command[2 * PATH_TEXT];
    (void)snprintf(command, sizeof command, GYRE_PYTHON " " GYRE_SOURCE_DIR "/tests/test_results_readers.py '%s' fits", write_table("readers.h5", fitted_table()));
    assert_int_equal(system(command), 0);
}

/* A file that the release before wrote: it has no fits and no validation documents, and no fault. */
static void older_files(void **state)
{
    (void)state;
    static const char path[] = GYRE_SOURCE_DIR "/tests/golden/results-1.1.h5";
    gyre_table *t = NULL;
    gyre_verification v;
    OK(gyre_results_read(path, &t, NULL, NULL, &error));
    assert_int_equal(t->n_cells, 1);
    assert_int_equal(t->cells[0].n_fits, 0);
    assert_int_equal(t->sources[0].n_validation, 0);
    assert_true(fabs(gyre_cell_value(&t->cells[0], 0, 1, 0) - 0.75) <= 0.0);
    OK(gyre_verify(path, &v, &error));
    assert_int_equal(v.n_faults + v.n_warnings, 0);
    assert_string_equal(v.digest, "647d2b610d7e2d80b0c40998a90c8bd3d0c5bc89c3d7bb036fc69dd4af62d225"); /* as it was told when it was written */
    gyre_verification_free(&v);
    gyre_table_free(t);
}

/* 200 cells of a rotation with 2016 angles, each under two arms: the file holds each once. */
static void sharing_keeps_files_small(void **state)
{
    (void)state;
    enum { CELLS = 200, ANGLES = 2016 };
    size_t size[2];
    for (size_t shared = 0; shared < 2; shared++) {
        gyre_table *t = make_table(), *back = NULL;
        OK(gyre_table_keep(t, CELLS, sizeof *t->cells, &t->cells, &error));
        gyre_table *pattern = make_table();
        t->n_cells = CELLS;
        for (size_t i = 0; i < CELLS; i++) {
            t->cells[i] = pattern->cells[0];
            (void)snprintf(t->cells[i].key, sizeof t->cells[i].key, "%064zx", shared ? i / 2 : i);
            add_fit(t, &t->cells[i], 0, (gyre_fit){ .stream = GYRE_K, .pooled = true, .n_parameters = ANGLES, .freedom = ANGLES });
            for (size_t k = 0; k < ANGLES; k++)
                t->cells[i].fits[0].parameters[k] = (float)sin((double)((shared ? i / 2 : i) * 7919 + k * k));
        }
        OK(gyre_results_write(at("big.h5"), t, make_provenance(), &error));
        OK(gyre_results_read(at("big.h5"), &back, NULL, NULL, &error));
        for (size_t i = 0; i < CELLS; i++)
            assert_same_fits(&t->cells[i], &back->cells[i]);
        size[shared] = file_size(at("big.h5"));
        gyre_table_free(t);
        gyre_table_free(back);
        gyre_table_free(pattern);
    }
    print_message("%d fits of %d parameters (%d bytes): results file of %zu bytes; %zu where two cells share each\n", CELLS, ANGLES, CELLS * ANGLES * 4, size[0], size[1]);
    assert_true(size[0] < CELLS * ANGLES * 4 * 11 / 10);
    assert_true(size[1] < size[0] * 6 / 10);
}

/* ---- parameters of another run ---- */

static gyre_codec_spec spec; /* [], sym at 4 bits */
static char canonical[GYRE_CODEC_TEXT];

/* Seeds of arm s: 0 and 1; a as above. Codecs are those of `spec`, as a run writes them. */
static gyre_table *found_table(void)
{
    static char fitted[GYRE_CODEC_TEXT + 64];
    gyre_codec_canonical(&spec, canonical, sizeof canonical);
    (void)snprintf(fitted, sizeof fitted, "%s;fit=objective=mse(),steps=300", canonical);
    gyre_table *t = fitted_table();
    gyre_cell *cells = NULL;
    OK(gyre_table_keep(t, 16, sizeof *cells, &cells, &error));
    memcpy(cells, t->cells, 8 * sizeof *cells);
    t->cells = cells;
    for (size_t i = 0; i < 8; i++) {
        cells[i].codec_k = fitted;
        cells[i].codec_v = i % 4 == 0 ? fitted : "exact";
    }
    for (size_t i = 8; i < 14; i++) { /* s at seeds 0 and 1; g at two points; e skipped; u with a quantizer that this program does not know */
        gyre_cell *c = &t->cells[t->n_cells++];
        *c = cells[3];
        c->arm = i < 10 ? "s" : i < 12 ? "g" : i == 12 ? "e" : "u";
        c->seeded = i < 10;
        c->seed = i == 9;
        c->point = i == 11 ? "bits=3" : "bits=4";
        c->n_fits = 0;
        (void)snprintf(c->key, sizeof c->key, "%064zx", 0xabc0 + i);
        if (i != 12)
            add_fit(t, c, i, (gyre_fit){ .stream = GYRE_K, .pooled = true, .n_parameters = 2, .freedom = 2 });
        if (i == 12) {
            c->status = GYRE_CELL_SKIPPED;
            c->reason = "no key bias";
            c->values = NULL;
        }
        if (i == 13)
            c->codec_k = "order=half_split;chain=[];quantizer=newer(bits=4);fit=objective=mse()";
    }
    return t;
}

static const gyre_fitted_want want_a = { .selector = "a", .model_sha256 = "m0", .layer = 0, .seed = 0, .stream = GYRE_K, .codec = &spec, .dim = 64, .n_heads = 2 };

static void take_quantizer(const char *name)
{
    char why[GYRE_OPTION_TEXT];
    spec.quantizer = gyre_quantizer_find(name);
    assert_non_null(spec.quantizer);
    (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "bits"), &spec.options, "4", why));
}

static void make_spec(void)
{
    spec = (gyre_codec_spec){0};
    (void)gyre_options_defaults(gyre_codec_table, &spec.own);
    take_quantizer("sym");
}

static void expect_first(const gyre_fitted *f, gyre_fitted_want want, size_t n, float first)
{
    gyre_fits fits;
    OK(gyre_fitted_find(f, &want, &fits, &error));
    assert_int_equal(fits.count, n);
    assert_true(fabsf(fits.items[0].parameters[0] - first) <= 0.0F);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fits.items[i].stream, want.stream);
}

static gyre_fitted_want selector(const char *text)
{
    gyre_fitted_want want = want_a;
    want.selector = text;
    return want;
}

static void fits_are_found(void **state)
{
    (void)state;
    gyre_fitted *f = NULL;
    gyre_fitted_want want = want_a;
    gyre_fits fits;
    make_spec();
    OK(gyre_fitted_open(write_table("found.h5", found_table()), &f, &error));
    expect_first(f, want, 2, 1.0F);
    want.stream = GYRE_V;
    expect_first(f, want, 1, 2001.0F);
    want.stream = GYRE_K;
    want.seed = 5; /* a draws nothing: its one fit is for every seed */
    want.campaign_seed = 99;
    expect_first(f, want, 2, 1.0F);
    expect_first(f, selector("a/bits=4"), 2, 1.0F);
    expect_first(f, selector("g/bits=3"), 1, 11001.0F);
    expect_first(f, selector("000000000000000000000000000000000000000000000000000000000000abc8"), 1, 8001.0F); /* s, seed 0 */
    want = selector("s");
    want.seed = 1;
    expect_first(f, want, 1, 9001.0F);
    want = selector("c");
    OK(gyre_fitted_find(f, &want, &fits, &error));
    assert_int_equal(fits.items[0].draw, 3);
    take_quantizer("asym"); /* another one, and nothing is learned in either */
    expect_first(f, want_a, 2, 1.0F);
    gyre_fitted_free(f);
}

static void other_fits_are_refused(void **state)
{
    (void)state;
    gyre_fitted *f = NULL;
    gyre_fits fits;
    gyre_fitted_want want = want_a;
    make_spec();
    OK(gyre_fitted_open(write_table("found.h5", found_table()), &f, &error));
    want = selector("aa");
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "found.h5 has no arm, ARM/POINT or key of a cell 'aa', did you mean 'a'");
    want = selector("a/bits=3");
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "'a/bits=3'");
    want = want_a;
    want.model_sha256 = "m1";
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "found.h5#a was found for the model smollm2 (m0), not for m1");
    want = want_a;
    want.layer = 3;
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "#a was found for layer 0, 7 of this model, not for layer 3");
    want = selector("s");
    want.seed = 2;
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "#s was found for seed 0, 1 in layer 0, not for seed 2");
    want.seed = 1;
    want.campaign_seed = 7;
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "campaign seed 0, not for 7");
    want = selector("g");
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "more than one cell of layer 0 (g at 'bits=4' of smollm2, g at 'bits=3' of smollm2)");
    want = selector("e");
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "is SKIPPED in layer 0: no key bias");
    want = want_a;
    want.dim = 128;
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "2 heads of dimension 64, not for 2 of dimension 128");
    want = want_a;
    want.n_heads = 4;
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "2 heads of dimension 64, not for 4");
    want = selector("d");
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "#d learned and drew nothing for keys in layer 0");
    want = want_a;
    want.layer = 7;
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "learned and drew nothing for keys in layer 7");
    want = selector("u"); /* whether it learned a clip ratio is not known: refused */
    REFUSED(gyre_fitted_find(f, &want, &fits, &error), "was found for the quantizer newer(bits=4), not for sym(bits=4");
    spec.own.order = GYRE_ORDER_NATIVE;
    REFUSED(gyre_fitted_find(f, &want_a, &fits, &error), "was found for order=half_split, not for order=native");
    make_spec();
    spec.chain.count = 1;
    spec.chain.elements[0].type = gyre_transform_find("hadamard");
    (void)gyre_options_defaults(spec.chain.elements[0].type->options, &spec.chain.elements[0].options);
    REFUSED(gyre_fitted_find(f, &want_a, &fits, &error), "was found for chain=[], not for chain=[hadamard(");
    gyre_fitted_free(f);
    REFUSED(gyre_fitted_open(GYRE_SOURCE_DIR "/README.md", &f, &error), "README.md");
    assert_null(f);
}

/* found_table: dracula calibrates, moby and emma are evaluated, two others validate. */
static void documents_seen_are_named(void **state)
{
    (void)state;
    gyre_fitted *f = NULL;
    const char *const names[] = { "emma", "solaris", "dracula" }, *seen = "";
    make_spec();
    OK(gyre_fitted_open(write_table("found.h5", found_table()), &f, &error));
    OK(gyre_fitted_saw(f, &want_a, names, 3, &seen, &error));
    assert_string_equal(seen, "dracula");
    OK(gyre_fitted_saw(f, &want_a, names, 2, &seen, &error)); /* evaluated there, seen by no fit */
    assert_null(seen);
    OK(gyre_fitted_saw(f, &want_a, validation + 1, 1, &seen, &error));
    assert_string_equal(seen, "middlemarch");
    gyre_fitted_free(f);
    gyre_table *t = found_table();
    for (size_t i = 0; i < t->n_cells; i++)
        t->cells[i].flags = "storage_floor,leak"; /* found on what that run evaluated, and on nothing else */
    OK(gyre_fitted_open(write_table("leaked.h5", t), &f, &error));
    OK(gyre_fitted_saw(f, &want_a, names, 3, &seen, &error));
    assert_string_equal(seen, "emma");
    OK(gyre_fitted_saw(f, &want_a, names + 2, 1, &seen, &error));
    assert_null(seen);
    gyre_fitted_free(f);
}

static int set_up(void **state)
{
    (void)state;
    gyre_h5_quiet();
    (void)snprintf(folder, sizeof folder, "/tmp/gyre-test-fits-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_keep_fits),
        cmocka_unit_test(cells_cover_fits),
        cmocka_unit_test(hostile_cells_are_refused),
        cmocka_unit_test(results_keep_fits),
        cmocka_unit_test(merges_agree),
        cmocka_unit_test(hostile_results_are_refused),
        cmocka_unit_test(other_readers),
        cmocka_unit_test(older_files),
        cmocka_unit_test(sharing_keeps_files_small),
        cmocka_unit_test(fits_are_found),
        cmocka_unit_test(other_fits_are_refused),
        cmocka_unit_test(documents_seen_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
