/* results/: cell files, merge, the results file, verify, comparisons.
 *
 * A synthetic table stands for an experiment; expected numbers of comparisons were computed with SciPy. The functions that change a file are replaced
 * below by ones that can fail or kill the process at the nth call, so that every step of a commit is interrupted in turn.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gsl/gsl_errno.h>

#include "core/commit.h"
#include "core/h5.h"
#include "results/cells.h"
#include "results/compare.h"
#include "results/digest.h"
#include "results/merge.h"
#include "results/results_file.h"
#include "results/schema.h"
#include "results/verify.h"

#ifndef GYRE_SOURCE_DIR
#define GYRE_SOURCE_DIR "."
#endif
#ifndef GYRE_PYTHON
#define GYRE_PYTHON "/usr/bin/python3"
#endif

enum { PATH_TEXT = 512 };

static gyre_error error; /* of the test that runs */

#define OK(call)                                                                                                               \
    do {                                                                                                                       \
        if ((call) != GYRE_OK)                                                                                                 \
            fail_msg("%s: %s", #call, error.message);                                                                          \
    } while (0)

/* ---- system calls that fail or kill at the nth call ---- */

static struct {
    long left;   /* calls until it happens; 0: never */
    bool kill;   /* SIGKILL, else the call fails as on a full disk, and so do all that write after it */
    bool full;
} trap;

static bool sprung(void)
{
    if (trap.left > 0 && --trap.left == 0) {
        if (trap.kill)
            (void)syscall(SYS_kill, getpid(), SIGKILL);
        trap.full = true;
    }
    if (trap.full)
        errno = ENOSPC;
    return trap.full;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (fd > 2 && (trap.left == 1 || trap.full))
        (void)syscall(SYS_write, fd, bytes, size / 2); /* torn */
    return fd > 2 && sprung() ? -1 : syscall(SYS_write, fd, bytes, size);
}

int fsync(int fd)
{
    return sprung() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    return sprung() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- a synthetic experiment ---- */

static const char *const metrics[] = { "nmse", "softmax_kl", "flip" }, *const units[] = { "", "nat", "" };
static const char *const texts_a[] = { "moby", "emma", "debian-handbook", "straße", "" };
static const char *const texts_b[] = { "moby", "emma", "dracula", "ulysses" };
static const char *const calibration[] = { "walden" };
static const uint32_t layers_a[] = { 0, 15, 29 }, heads_a[] = { 2, 2, 2 }, layers_b[] = { 0, 23 }, heads_b[] = { 3, 3 };
static const char *const points[] = { "bits=4", "bits=8" };
static const struct {
    const char *name, *codec;
    bool seeded;
} arms[] = { { "identity", "sym(bits=%s)", false }, { "srht", "signs|hadamard|sym(bits=%s)", true }, { "srft", "signs|rfft|sym(bits=%s)", true },
             { "centred", "unrope|centre|sym(bits=%s)", false } };

enum { N_SEEDS = 3, N_METRICS = 3 };

/* A number in (0, 1) that depends on its arguments alone. */
static double noise(size_t a, size_t b, size_t c, size_t d)
{
    uint64_t x = 0x9e3779b97f4a7c15u + a * 0x100000001b3u + b * 0x1000193u + c * 8191u + d;
    for (int i = 0; i < 4; i++) {
        x ^= x >> 31;
        x *= 0xbf58476d1ce4e5b9u;
    }
    return ((double)(x >> 12) + 0.5) / 4503599627370496.0;
}

static void fill_cell(gyre_table *t, gyre_cell *c, size_t arm, bool computed)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%zu/%u/%s/%s/%u", c->source, c->layer, c->arm, c->point, c->seed);
    OK(gyre_sha256_bytes(text, strlen(text), c->key, &error));
    c->reason = c->flags = "";
    c->payload_bits = c->side_bits = c->total_bits = c->read_bits = NAN;
    if (!computed)
        return;
    if (arm == 3 && c->source == 0) { /* a model without a key bias */
        c->status = GYRE_CELL_SKIPPED;
        c->reason = "the model has no key bias";
        return;
    }
    c->status = GYRE_CELL_OK;
    c->flags = c->layer == 0 ? "storage_floor" : "";
    c->payload_bits = c->point[5] == '4' ? 4.0 : 8.0;
    c->side_bits = 0.25 + 0.125 * (double)arm;
    c->total_bits = c->payload_bits + c->side_bits;
    c->read_bits = 0.75 * c->payload_bits;
    c->wall_s = 0.001 * (double)(c->layer + 1);
    OK(gyre_table_keep(t, N_METRICS * c->n_documents * c->n_heads, sizeof *c->values, &c->values, &error));
    for (size_t m = 0; m < N_METRICS; m++)
        for (size_t d = 0; d < c->n_documents; d++)
            for (size_t h = 0; h < c->n_heads; h++)
                c->values[(m * c->n_documents + d) * c->n_heads + h] =
                    m == 2 && arm == 0 ? NAN : exp(-(double)(arm + m)) * (1.0 + 0.2 * noise(c->seed * 31 + arm, c->layer, d * 7 + m,
                                                                                            h + c->source * 11));
}

static void add_cells(gyre_table *t, size_t source, bool computed)
{
    const gyre_source *s = &t->sources[source];
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t a = 0; a < sizeof arms / sizeof *arms; a++)
            for (size_t p = 0; p < 2; p++)
                for (uint32_t seed = 0; seed < (arms[a].seeded ? N_SEEDS : 1); seed++) {
                    gyre_cell *c = &t->cells[t->n_cells++];
                    *c = (gyre_cell){ .source = source, .layer = s->layers[l], .arm = arms[a].name, .point = points[p], .streams = "k",
                                      .codec_k = arms[a].codec, .codec_v = "exact", .seeded = arms[a].seeded, .seed = seed,
                                      .n_documents = s->n_documents, .n_heads = s->n_heads[l] };
                    fill_cell(t, c, a, computed);
                }
}

/* 80 cells over two sources of different shapes; `computed` gives them values. */
static gyre_table *make_table(bool computed)
{
    gyre_table *t = NULL;
    OK(gyre_table_new(&t, &error));
    t->experiment = "synthetic";
    t->config_source = "experiment: synthetic\n# ünïcode\n";
    t->config_canonical = "experiment=synthetic";
    memset(t->config_sha256, 'a', 64);
    memset(t->analysis_sha256, 'b', 64);
    memset(t->value_code, 'c', 64);
    t->campaign_seed = 0xfedcba9876543210u;
    t->n_seeds = N_SEEDS;
    t->n_metrics = N_METRICS;
    t->metrics = metrics;
    t->metric_units = units;
    t->n_sources = 2;
    OK(gyre_table_keep(t, 2, sizeof *t->sources, &t->sources, &error));
    t->sources[0] = (gyre_source){ .name = "smollm2", .path = "data/a.h5", .digest = "d0", .model_sha256 = "m0", .architecture = "llama", .n_documents = 5, .documents = texts_a,
                                   .n_calibration = 1, .calibration = calibration, .n_layers = 3, .layers = layers_a, .n_heads = heads_a, .dim = 64 };
    t->sources[1] = (gyre_source){ .name = "qwen2.5", .path = "data/b.h5", .digest = "d1", .model_sha256 = "m1", .architecture = "qwen2", .n_documents = 4, .documents = texts_b,
                                   .leak = true, .n_layers = 2, .layers = layers_b, .n_heads = heads_b, .dim = 128, .has_bias = true };
    OK(gyre_table_keep(t, 200, sizeof *t->cells, &t->cells, &error));
    add_cells(t, 0, computed);
    add_cells(t, 1, computed);
    OK(gyre_table_keep(t, 8, sizeof *t->comparisons, &t->comparisons, &error));
    for (size_t p = 0; p < 2; p++)
        for (size_t s = 0; s < 2; s++) {
            t->comparisons[t->n_comparisons++] = (gyre_comparison){ .arm = "srft", .against = "srht", .metric = "softmax_kl", .family = "main",
                                                                    .point = points[p], .source = s,
                                                                    .ratio = true, .has_margin = true, .margin = 3.0, .alpha = 0.05 };
            t->comparisons[t->n_comparisons++] = (gyre_comparison){ .arm = "centred", .against = "identity", .metric = "nmse",
                                                                    .family = "centring", .point = points[p], .source = s,
                                                                    .ratio = true, .alpha = 0.05 };
        }
    return t;
}

static gyre_provenance make_provenance(const char *host)
{
    gyre_provenance p = { .git_dirty = true, .threads = 2, .cpu_threads = 4 };
    (void)snprintf(p.host, sizeof p.host, "%s", host);
    (void)snprintf(p.build_id, sizeof p.build_id, "0.1.0 (0123456, dirty)");
    return p;
}

/* ---- files ---- */

static void scratch(char path[PATH_TEXT], const char *name)
{
    static char folder[64];
    if (folder[0] == '\0') {
        (void)snprintf(folder, sizeof folder, "/tmp/gyre-test-results-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    (void)snprintf(path, PATH_TEXT, "%s/%s", folder, name);
}

/* A new run folder under the scratch folder. */
static void run_folder(char path[PATH_TEXT], const char *name)
{
    scratch(path, name);
    OK(gyre_cells_prepare(path, &error));
}

static void cell_file(char path[PATH_TEXT + 80], const char *folder, const gyre_cell *c)
{
    (void)snprintf(path, PATH_TEXT + 80, "%s/cells/%s.h5", folder, c->key);
}

static unsigned char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    (void)fclose(f);
    return bytes;
}

static void spill(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* ---- equality ---- */

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* What a cell file holds of it. */
static bool same_content(const gyre_cell *a, const gyre_cell *b)
{
    bool same = a->status == b->status && strcmp(a->reason, b->reason) == 0 && strcmp(a->flags, b->flags) == 0
        && same_number(a->payload_bits, b->payload_bits)
                && same_number(a->side_bits, b->side_bits) && same_number(a->total_bits, b->total_bits) && same_number(a->read_bits, b->read_bits) && (a->values == NULL) == (b->values == NULL);
    for (size_t i = 0; same && a->values != NULL && i < N_METRICS * a->n_documents * a->n_heads; i++)
        same = same_number(a->values[i], b->values[i]);
    return same;
}

static void assert_same_cell(const gyre_cell *a, const gyre_cell *b)
{
    assert_true(same_content(a, b));
    assert_string_equal(a->key, b->key);
    assert_int_equal(a->source, b->source);
    assert_int_equal(a->layer, b->layer);
    assert_string_equal(a->arm, b->arm);
    assert_string_equal(a->point, b->point);
    assert_string_equal(a->streams, b->streams);
    assert_string_equal(a->codec_k, b->codec_k);
    assert_string_equal(a->codec_v, b->codec_v);
    assert_int_equal(a->seeded, b->seeded);
    assert_int_equal(a->seed, b->seed);
    assert_int_equal(a->n_documents, b->n_documents);
    assert_int_equal(a->n_heads, b->n_heads);
    assert_true(same_number(a->wall_s, b->wall_s));
}

static void assert_same_comparison(const gyre_comparison *a, const gyre_comparison *b)
{
    const char *const ta[] = { a->arm, a->against, a->metric, a->family, a->point, a->status, a->reason, a->test, a->verdict };
    const char *const tb[] = { b->arm, b->against, b->metric, b->family, b->point, b->status, b->reason, b->test, b->verdict };
    for (size_t i = 0; i < sizeof ta / sizeof *ta; i++)
        assert_string_equal(ta[i], tb[i]);
    const double na[] = { a->margin, a->alpha, a->estimate, a->ci_low, a->ci_high, a->df, a->sd_seed, a->sd_document, a->p, a->p_adjusted,
                          a->p_tost, a->p_tost_adjusted,
                          a->margin_needed, a->worst_estimate, a->worst_low, a->worst_high, a->total_bits_arm, a->total_bits_against };
    const double nb[] = { b->margin, b->alpha, b->estimate, b->ci_low, b->ci_high, b->df, b->sd_seed, b->sd_document, b->p, b->p_adjusted,
                          b->p_tost, b->p_tost_adjusted,
                          b->margin_needed, b->worst_estimate, b->worst_low, b->worst_high, b->total_bits_arm, b->total_bits_against };
    for (size_t i = 0; i < sizeof na / sizeof *na; i++)
        assert_true(same_number(na[i], nb[i]));
    assert_true(a->source == b->source && a->ratio == b->ratio && a->has_margin == b->has_margin && a->n_seeds == b->n_seeds
                && a->n_documents == b->n_documents);
    assert_int_equal(a->worst_layer, b->worst_layer);
}

static void assert_same_source(const gyre_source *a, const gyre_source *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->path, b->path);
    assert_string_equal(a->digest, b->digest);
    assert_string_equal(a->model_sha256, b->model_sha256);
    assert_string_equal(a->architecture, b->architecture);
    assert_true(a->n_documents == b->n_documents && a->n_calibration == b->n_calibration && a->n_validation == b->n_validation && a->n_layers == b->n_layers);
    assert_true(a->leak == b->leak && a->dim == b->dim && a->has_bias == b->has_bias);
    for (size_t i = 0; i < a->n_documents; i++)
        assert_string_equal(a->documents[i], b->documents[i]);
    for (size_t i = 0; i < a->n_calibration; i++)
        assert_string_equal(a->calibration[i], b->calibration[i]);
    assert_memory_equal(a->layers, b->layers, a->n_layers * sizeof *a->layers);
    assert_memory_equal(a->n_heads, b->n_heads, a->n_layers * sizeof *a->n_heads);
}

static void assert_same_table(const gyre_table *a, const gyre_table *b)
{
    assert_string_equal(a->experiment, b->experiment);
    assert_string_equal(a->config_source, b->config_source);
    assert_string_equal(a->config_overrides, b->config_overrides);
    assert_string_equal(a->config_canonical, b->config_canonical);
    assert_string_equal(a->config_sha256, b->config_sha256);
    assert_string_equal(a->analysis_sha256, b->analysis_sha256);
    assert_string_equal(a->value_code, b->value_code);
    assert_true(a->campaign_seed == b->campaign_seed && a->n_seeds == b->n_seeds);
    assert_true(a->n_sources == b->n_sources && a->n_metrics == b->n_metrics && a->n_cells == b->n_cells && a->n_comparisons == b->n_comparisons);
    for (size_t i = 0; i < a->n_sources; i++)
        assert_same_source(&a->sources[i], &b->sources[i]);
    for (size_t i = 0; i < a->n_metrics; i++) {
        assert_string_equal(a->metrics[i], b->metrics[i]);
        assert_string_equal(a->metric_units[i], b->metric_units[i]);
    }
    for (size_t i = 0; i < a->n_cells; i++)
        assert_same_cell(&a->cells[i], &b->cells[i]);
    for (size_t i = 0; i < a->n_comparisons; i++)
        assert_same_comparison(&a->comparisons[i], &b->comparisons[i]);
}

/* ---- schema ---- */

static void schema_page_is_current(void **state)
{
    (void)state;
    char path[PATH_TEXT];
    size_t size[2];
    scratch(path, "schema.md");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    gyre_schema_print(f);
    assert_int_equal(fclose(f), 0);
    unsigned char *printed = slurp(path, &size[0]), *page = slurp(GYRE_SOURCE_DIR "/docs/results-schema.md", &size[1]);
    if (size[0] != size[1] || memcmp(printed, page, size[0]) != 0)
        fail_msg("docs/results-schema.md is not what gyre_schema_print prints: print it again (%s)", path);
    free(printed);
    free(page);
}

static void schema_versions(void **state)
{
    (void)state;
    OK(gyre_schema_check("f", "gyre-results", "1.0.0", NULL, &error));
    OK(gyre_schema_check("f", "gyre-results", "1.7.2", NULL, &error));
    assert_int_equal(gyre_schema_check("f", "gyre-results", "2.0.0", NULL, &error), GYRE_E_INPUT);
    assert_int_equal(gyre_schema_check("f", "gyre-results", "1.0", NULL, &error), GYRE_E_INPUT);
    assert_int_equal(gyre_schema_check("f", "gyre-results", "1.0.0x", NULL, &error), GYRE_E_INPUT);
    assert_int_equal(gyre_schema_check("f", "gyre-cell", "1.0.0", NULL, &error), GYRE_E_INPUT);
}

/* ---- cells ---- */

static void cells_round_trip(void **state)
{
    (void)state;
    char folder[PATH_TEXT], why[GYRE_CELL_WHY];
    run_folder(folder, "round");
    gyre_table *t = make_table(true), *back = make_table(false);
    t->cells[1].status = GYRE_CELL_FAILED;
    t->cells[1].reason = "NaN in the rows of document emma";
    t->cells[1].values = NULL;
    t->cells[1].payload_bits = t->cells[1].side_bits = t->cells[1].total_bits = t->cells[1].read_bits = NAN;
    t->cells[1].flags = "";
    bool found = true;
    OK(gyre_cell_read(folder, back, &back->cells[0], &found, why, &error));
    assert_false(found);
    assert_string_equal(why, "");
    for (size_t i = 0; i < t->n_cells; i++)
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
    for (size_t i = 0; i < t->n_cells; i++) {
        assert_true(gyre_cell_exists(folder, t->cells[i].key));
        OK(gyre_cell_read(folder, back, &back->cells[i], &found, why, &error));
        assert_true(found);
        assert_same_cell(&t->cells[i], &back->cells[i]);
    }
    assert_int_equal(gyre_cell_write(folder, t, &(gyre_cell){ .key = "00" }, &error), GYRE_E_INTERNAL);
    gyre_table_free(t);
    gyre_table_free(back);
}

/* Equal cells give equal bytes; another wall time changes its eight bytes, their checksum and the file's seal. */
static void cells_are_deterministic(void **state)
{
    (void)state;
    char folder[3][PATH_TEXT], path[PATH_TEXT + 80];
    unsigned char *bytes[3];
    size_t size[3];
    gyre_table *t = make_table(true);
    for (int i = 0; i < 3; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "same-%d", i);
        run_folder(folder[i], name);
        t->cells[5].wall_s = i == 2 ? 123.456 : 1.0;
        OK(gyre_cell_write(folder[i], t, &t->cells[5], &error));
        cell_file(path, folder[i], &t->cells[5]);
        bytes[i] = slurp(path, &size[i]);
    }
    assert_true(size[0] == size[1] && size[0] == size[2]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    size_t differ = 0;
    for (size_t i = 0; i < size[0]; i++)
        differ += bytes[0][i] != bytes[2][i];
    assert_in_range(differ, 1, 8 + 4 + 64);
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
    gyre_table_free(t);
}

/* Reads the cell; what is found must be what was written. Returns whether it was found. */
static bool found_true(const char *folder, gyre_table *plan, size_t i, const gyre_cell *written)
{
    char why[GYRE_CELL_WHY];
    bool found = false;
    gyre_cell *c = &plan->cells[i];
    OK(gyre_cell_read(folder, plan, c, &found, why, &error));
    if (found) {
        assert_true(same_content(c, written));
        c->status = GYRE_CELL_MISSING;
        c->values = NULL;
    } else {
        assert_true(why[0] != '\0' && c->status == GYRE_CELL_MISSING && c->values == NULL);
    }
    return found;
}

static void damaged_cells_are_not_there(void **state)
{
    (void)state;
    char folder[PATH_TEXT], path[PATH_TEXT + 80];
    run_folder(folder, "damage");
    gyre_table *t = make_table(true), *plan = make_table(false);
    size_t size, unnoticed = 0;
    OK(gyre_cell_write(folder, t, &t->cells[2], &error));
    cell_file(path, folder, &t->cells[2]);
    unsigned char *bytes = slurp(path, &size);
    for (size_t k = 0; k < 600; k++) {
        size_t at = (size_t)(noise(k, 1, 2, 3) * (double)size);
        unsigned char flip = (unsigned char)(1u << (k % 8));
        bytes[at] ^= flip;
        spill(path, bytes, size);
        unnoticed += found_true(folder, plan, 2, &t->cells[2]);
        bytes[at] ^= flip;
    }
    print_message("600 bit flips in a cell file of %zu bytes: %zu refused, %zu in bytes without meaning, 0 wrong\n", size, 600 - unnoticed,
                  unnoticed);
    for (size_t n = 0; n < size; n += 61) {
        spill(path, bytes, n);
        bool found = found_true(folder, plan, 2, &t->cells[2]);
        assert_true(!found || n + 72 >= size); /* without its seal the content is still whole */
    }
    spill(path, bytes, size);
    assert_true(found_true(folder, plan, 2, &t->cells[2]));
    free(bytes);
    gyre_table_free(t);
    gyre_table_free(plan);
}

static void foreign_cells_are_not_there(void **state)
{
    (void)state;
    char folder[PATH_TEXT], path[2][PATH_TEXT + 80];
    run_folder(folder, "foreign");
    gyre_table *t = make_table(true), *plan = make_table(false);
    size_t size;
    OK(gyre_cell_write(folder, t, &t->cells[2], &error));
    cell_file(path[0], folder, &t->cells[2]);
    cell_file(path[1], folder, &t->cells[3]);
    unsigned char *bytes = slurp(path[0], &size);
    spill(path[1], bytes, size); /* another cell's content under this name */
    assert_false(found_true(folder, plan, 3, &t->cells[3]));
    plan->cells[2].n_heads++; /* planned with another shape */
    assert_false(found_true(folder, plan, 2, &t->cells[2]));
    plan->cells[2].n_heads--;
    plan->n_metrics--;
    assert_false(found_true(folder, plan, 2, &t->cells[2]));
    plan->n_metrics++;
    spill(path[0], (const unsigned char *)"hello", 5);
    assert_false(found_true(folder, plan, 2, &t->cells[2]));
    gyre_provenance p = make_provenance("h");
    OK(gyre_results_write(path[0], t, &p, &error)); /* HDF5, and no cell */
    assert_false(found_true(folder, plan, 2, &t->cells[2]));
    free(bytes);
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* ---- interrupted writes ---- */

typedef gyre_status writing(const char *folder, gyre_table *t);

static gyre_status write_cell(const char *folder, gyre_table *t)
{
    return gyre_cell_write(folder, t, &t->cells[2], &error);
}

static gyre_status write_merge(const char *folder, gyre_table *t)
{
    gyre_provenance p = make_provenance("h");
    return gyre_merge(folder, t, false, &p, NULL, &error);
}

/* Runs `what` in a child whose nth changing call kills it or fails; gives the child's end: 0 done, 1 one clear error, 2 no clear error, 9 killed. */
static int interrupted(writing *what, const char *folder, gyre_table *t, long nth, bool killed)
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test here */
        (void)signal(SIGABRT, SIG_DFL);
        trap.left = nth;
        trap.kill = killed;
        error.message[0] = '\0';
        gyre_status st = what(folder, t);
        _exit(st == GYRE_OK ? 0 : st == GYRE_E_IO && error.message[0] != '\0' ? 1 : 2);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    return WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how);
}

/* Temporary files of the last child that are still there. */
static int leftovers(const char *folder)
{
    char command[PATH_TEXT + 64];
    (void)snprintf(command, sizeof command, "test -z \"$(find '%s' -name '.*.tmp')\"", folder);
    return system(command);
}

/* nth call of a cell's commit killed or failed: the final name holds nothing or the whole cell. */
static void interrupted_cells(void **state)
{
    (void)state;
    char folder[PATH_TEXT], path[PATH_TEXT + 80], cells[PATH_TEXT + 8];
    run_folder(folder, "interrupted");
    (void)snprintf(cells, sizeof cells, "%s/cells", folder);
    gyre_table *t = make_table(true), *plan = make_table(false);
    cell_file(path, folder, &t->cells[2]);
    for (int killed = 0; killed < 2; killed++) {
        long n = 1;
        int end = -1, there = 0;
        for (; end != 0; n++) {
            (void)unlink(path);
            end = interrupted(write_cell, folder, t, n, killed == 1);
            assert_true(end == 0 || end == (killed ? SIGKILL : 1));
            if (gyre_cell_exists(folder, t->cells[2].key)) {
                assert_true(found_true(folder, plan, 2, &t->cells[2]));
                there++;
            }
            gyre_commit_sweep(cells);
            assert_int_equal(leftovers(folder), 0);
        }
        assert_true(there >= 1 && n > 5);
        print_message("cell %s at each of %ld calls: whole or absent\n", killed ? "killed" : "refused", n - 2);
    }
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* The same for the results file, over an older one: what is there is the old file or the new one. */
static void interrupted_merges(void **state)
{
    (void)state;
    char folder[2][PATH_TEXT], path[2][3 * PATH_TEXT], before[GYRE_SHA256_HEX], after[GYRE_SHA256_HEX], now[GYRE_SHA256_HEX];
    gyre_table *t = make_table(true);
    for (int i = 0; i < 2; i++) {
        run_folder(folder[i], i == 0 ? "merging" : "merged");
        (void)snprintf(path[i], sizeof path[i], "%s/results.h5", folder[i]);
        t->experiment = i == 0 ? "old" : "new";
        OK(write_merge(folder[i], t));
        OK(gyre_results_digest(path[i], i == 0 ? before : after, &error));
    }
    size_t size;
    unsigned char *old = slurp(path[0], &size);
    for (int killed = 0; killed < 2; killed++) {
        int end = -1;
        for (long n = 1; end != 0; n++) {
            spill(path[0], old, size);
            end = interrupted(write_merge, folder[0], t, n, killed == 1);
            assert_true(end == 0 || end == (killed ? SIGKILL : 1));
            OK(gyre_results_digest(path[0], now, &error));
            assert_true(strcmp(now, after) == 0 || (end != 0 && strcmp(now, before) == 0));
            gyre_commit_sweep(folder[0]);
            assert_int_equal(leftovers(folder[0]), 0);
        }
    }
    free(old);
    gyre_table_free(t);
}

/* A file size limit stands for a full disk: one clear error, nothing under the final name, and the process can go on. */
static void full_disk(void **state)
{
    (void)state;
    char folder[PATH_TEXT], path[PATH_TEXT + 16];
    run_folder(folder, "full");
    (void)snprintf(path, sizeof path, "%s/results.h5", folder);
    gyre_table *t = make_table(true);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = { 2000, 2000 };
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test here */
        (void)signal(SIGABRT, SIG_DFL);
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        bool clear = write_cell(folder, t) == GYRE_E_IO && strstr(error.message, "cannot") != NULL;
        clear = clear && write_merge(folder, t) == GYRE_E_IO && strstr(error.message, "cannot") != NULL;
        exit(clear ? 0 : 1); /* through HDF5's own clean-up, which must end */
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    assert_false(gyre_cell_exists(folder, t->cells[2].key));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(leftovers(folder), 0);
    gyre_table_free(t);
}

/* ---- the results file ---- */

static void results_round_trip(void **state)
{
    (void)state;
    char path[PATH_TEXT];
    scratch(path, "round.h5");
    gyre_table *t = make_table(true), *back = NULL;
    gyre_provenance p = make_provenance("host-1"), q;
    OK(gyre_compare(t, &error));
    OK(gyre_results_write(path, t, &p, &error));
    OK(gyre_results_read(path, &back, &q, NULL, &error));
    assert_same_table(t, back);
    assert_string_equal(q.host, "host-1");
    assert_string_equal(q.build_id, p.build_id);
    assert_true(q.git_dirty && q.threads == 2 && q.cpu_threads == 4);
    gyre_table_free(back);
    t->n_comparisons = 0; /* nothing compared, and one cell missing */
    t->cells[0].status = GYRE_CELL_MISSING;
    t->cells[0].values = NULL;
    t->cells[0].flags = "";
    t->cells[0].payload_bits = t->cells[0].side_bits = t->cells[0].total_bits = t->cells[0].read_bits = t->cells[0].wall_s = NAN;
    OK(gyre_results_write(path, t, &p, &error));
    OK(gyre_results_read(path, &back, NULL, NULL, &error));
    assert_same_table(t, back);
    gyre_table_free(back);
    gyre_table_free(t);
}

static void results_are_deterministic(void **state)
{
    (void)state;
    char path[PATH_TEXT], digest[4][GYRE_SHA256_HEX];
    unsigned char *bytes[3];
    size_t size[3], differ = 0;
    gyre_provenance p = make_provenance("host-1"), other = make_provenance("another-host-with-a-longer-name");
    for (int i = 0; i < 4; i++) {
        gyre_table *t = make_table(true);
        OK(gyre_compare(t, &error));
        for (size_t c = 0; i == 2 && c < t->n_cells; c++)
            t->cells[c].wall_s = noise(c, 0, 0, 9);
        scratch(path, "deterministic.h5");
        OK(gyre_results_write(path, t, i == 3 ? &other : &p, &error));
        OK(gyre_results_digest(path, digest[i], &error));
        if (i < 3)
            bytes[i] = slurp(path, &size[i]);
        gyre_table_free(t);
    }
    assert_true(size[0] == size[1] && size[0] == size[2]);
    assert_memory_equal(bytes[0], bytes[1], size[0]); /* same table, same provenance: the same file */
    for (size_t i = 0; i < size[0]; i++)
        differ += bytes[0][i] != bytes[2][i];
    assert_in_range(differ, 1, 80 * sizeof(double) + 64); /* other times: their bytes, and the file's seal */
    for (int i = 1; i < 4; i++)
        assert_string_equal(digest[0], digest[i]);
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
    gyre_table *t = make_table(true);
    t->cells[7].values[0] = nextafter(t->cells[7].values[0], 1.0);
    OK(gyre_compare(t, &error));
    OK(gyre_results_write(path, t, &p, &error));
    OK(gyre_results_digest(path, digest[1], &error));
    assert_string_not_equal(digest[0], digest[1]);
    gyre_table_free(t);
}

static void damaged_results_are_refused(void **state)
{
    (void)state;
    char path[PATH_TEXT];
    size_t size, unnoticed = 0, n = 250;
    gyre_table *t = make_table(true), *back = NULL;
    gyre_provenance p = make_provenance("host-1");
    scratch(path, "damaged.h5");
    OK(gyre_compare(t, &error));
    OK(gyre_results_write(path, t, &p, &error));
    unsigned char *bytes = slurp(path, &size);
    for (size_t k = 0; k < n; k++) {
        size_t at = (size_t)(noise(k, 5, 6, 7) * (double)size);
        unsigned char flip = (unsigned char)(1u << (k % 8));
        bytes[at] ^= flip;
        spill(path, bytes, size);
        bytes[at] ^= flip;
        gyre_status st = gyre_results_read(path, &back, NULL, NULL, &error);
        if (st != GYRE_OK) {
            assert_int_equal(st, GYRE_E_INPUT);
            continue;
        }
        unnoticed++;
        for (size_t c = 0; c < t->n_cells; c++) /* /timing is outside the digest */
            back->cells[c].wall_s = t->cells[c].wall_s;
        assert_same_table(t, back);
        gyre_table_free(back);
    }
    print_message("%zu bit flips in a results file of %zu bytes: %zu refused, %zu without meaning, 0 wrong\n", n, size, n - unnoticed, unnoticed);
    for (size_t k = 0; k < 40; k++) {
        spill(path, bytes, size * k / 40);
        assert_int_equal(gyre_results_read(path, &back, NULL, NULL, &error), GYRE_E_INPUT);
    }
    free(bytes);
    gyre_table_free(t);
}

/* ---- merge ---- */

static void merge_refuses_what_is_missing(void **state)
{
    (void)state;
    char folder[PATH_TEXT], path[PATH_TEXT + 16], digest[3][GYRE_SHA256_HEX];
    gyre_provenance p = make_provenance("host-1");
    run_folder(folder, "merge");
    (void)snprintf(path, sizeof path, "%s/results.h5", folder);
    gyre_table *t = make_table(true), *plan = make_table(false), *back = NULL;
    for (size_t i = t->n_cells; i-- > 8;) /* in another order than planned */
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
    assert_int_equal(gyre_merge(folder, plan, false, &p, NULL, &error), GYRE_E_INCOMPLETE);
    assert_non_null(strstr(error.message, "8 of 80 cells are missing: smollm2 layer 0, identity at bits=4, seed 0; "));
    assert_int_equal(access(path, F_OK), -1);
    OK(gyre_merge(folder, plan, true, &p, NULL, &error));
    OK(gyre_results_digest(path, digest[0], &error));
    OK(gyre_results_read(path, &back, NULL, NULL, &error));
    assert_int_equal(back->cells[0].status, GYRE_CELL_MISSING);
    assert_string_equal(back->comparisons[0].status, "INCOMPLETE");
    assert_string_equal(back->comparisons[2].status, "OK");
    gyre_table_free(back);
    for (size_t i = 0; i < 8; i++)
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
    gyre_table_free(plan);
    plan = make_table(false);
    OK(gyre_merge(folder, plan, false, &p, NULL, &error));
    OK(gyre_results_digest(path, digest[1], &error));
    OK(gyre_merge(folder, t, false, &p, NULL, &error)); /* from memory, as an unsharded run does */
    OK(gyre_results_digest(path, digest[2], &error));
    assert_string_not_equal(digest[0], digest[1]);
    assert_string_equal(digest[1], digest[2]);
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* ---- verify ---- */

static void make_results(char path[PATH_TEXT], const char *name)
{
    gyre_table *t = make_table(true);
    gyre_provenance p = make_provenance("host-1");
    scratch(path, name);
    OK(gyre_compare(t, &error));
    OK(gyre_results_write(path, t, &p, &error));
    gyre_table_free(t);
}

static bool has_fault(const gyre_verification *v, const char *text)
{
    for (size_t i = 0; i < v->n_faults; i++)
        if (strstr(v->faults[i], text) != NULL)
            return true;
    return false;
}

static void verify_lists_faults(void **state)
{
    (void)state;
    char path[PATH_TEXT], digest[GYRE_SHA256_HEX];
    gyre_verification v;
    make_results(path, "faults.h5");
    OK(gyre_verify(path, &v, &error));
    for (size_t i = 0; i < v.n_faults; i++)
        print_error("%s\n", v.faults[i]);
    assert_int_equal(v.n_faults + v.n_warnings, 0);
    assert_string_equal(v.kind, "results");
    OK(gyre_verify_digest(path, digest, &error));
    assert_string_equal(v.digest, digest);
    gyre_verification_free(&v);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    assert_true(H5Ldelete(file, "/cells/arm", H5P_DEFAULT) >= 0);
    assert_true(H5Adelete_by_name(file, "/metrics/nmse", "units", H5P_DEFAULT) >= 0);
    assert_true(H5Adelete(file, "config_sha256") >= 0);
    OK(gyre_h5_write_text(file, "extra", "stranger", &error));
    OK(gyre_h5_close(&file, path, &error));
    OK(gyre_verify(path, &v, &error));
    const char *const expected[] = { "/cells/arm is missing", "/metrics/nmse has no attribute units", "no attribute config_sha256",
                                     "/extra is not part of the schema", "was changed" };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!has_fault(&v, expected[i]))
            fail_msg("verify does not say: %s", expected[i]);
    gyre_verification_free(&v);
}

static void verify_knows_kinds(void **state)
{
    (void)state;
    char folder[PATH_TEXT], path[PATH_TEXT + 80], moved[PATH_TEXT + 16];
    gyre_verification v;
    gyre_table *t = make_table(true);
    run_folder(folder, "kinds");
    OK(gyre_cell_write(folder, t, &t->cells[2], &error));
    cell_file(path, folder, &t->cells[2]);
    OK(gyre_verify(path, &v, &error));
    assert_string_equal(v.kind, "cell");
    assert_int_equal(v.n_faults, 0);
    assert_int_equal(strlen(v.digest), 64);
    gyre_verification_free(&v);
    (void)snprintf(moved, sizeof moved, "%s/other.h5", folder);
    assert_int_equal(rename(path, moved), 0);
    OK(gyre_verify(moved, &v, &error));
    assert_true(has_fault(&v, "has another name"));
    gyre_verification_free(&v);
    spill(moved, (const unsigned char *)"no HDF5", 7);
    assert_int_equal(gyre_verify(moved, &v, &error), GYRE_E_INPUT);
    hid_t file;
    OK(gyre_h5_create(moved, &file, &error));
    OK(gyre_h5_close(&file, moved, &error));
    assert_int_equal(gyre_verify(moved, &v, &error), GYRE_E_INPUT);
    gyre_table_free(t);
}

/* ncdump, h5py, xarray and netCDF4 see every column. */
static void other_readers(void **state)
{
    (void)state;
    char path[PATH_TEXT], command[2 * PATH_TEXT];
    make_results(path, "readers.h5");
    (void)snprintf(command, sizeof command, GYRE_PYTHON " " GYRE_SOURCE_DIR "/tests/test_results_readers.py '%s'", path);
    assert_int_equal(system(command), 0);
}

static void provenance_says_where(void **state)
{
    (void)state;
    gyre_provenance p;
    OK(gyre_provenance_gather("reference", 2, &p, &error));
    const char *const texts[] = { p.build_id, p.version, p.git_commit, p.compiler, p.value_code, p.host, p.os, p.cpu, p.hdf5, p.fftw, p.openblas,
                                  p.gsl, p.libyaml, p.openssl };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(texts[i][0] != '\0');
    assert_string_equal(p.kernels, "reference");
    assert_true(p.threads == 2 && p.cpu_threads >= 1);
    assert_int_equal(strstr(p.build_id, "dirty") != NULL, p.git_dirty);
    assert_non_null(strstr(p.hdf5, "(header "));
}

/* ---- comparisons ---- */

/* One source, one layer per entry of n_layers, one head; u[arm][seed][document] are the logarithms of the metric. */
static gyre_table *small_table(size_t n_layers, size_t n_documents, uint32_t n_seeds, const double *arm, bool arm_seeded, const double *against)
{
    gyre_table *t = NULL;
    OK(gyre_table_new(&t, &error));
    t->n_seeds = n_seeds;
    t->n_metrics = 1;
    t->metrics = metrics;
    t->metric_units = units;
    t->n_sources = 1;
    OK(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &error));
    t->sources[0] = (gyre_source){ .name = "a", .path = "", .digest = "", .model_sha256 = "", .architecture = "", .n_documents = n_documents, .documents = texts_a,
                                   .n_layers = n_layers, .layers = layers_a, .n_heads = heads_a, .dim = 64 };
    OK(gyre_table_keep(t, 2 * n_layers * n_seeds, sizeof *t->cells, &t->cells, &error));
    for (size_t a = 0; a < 2; a++)
        for (size_t l = 0; l < n_layers; l++)
            for (uint32_t s = 0; s < (a == 0 && arm_seeded ? n_seeds : 1); s++) {
                gyre_cell *c = &t->cells[t->n_cells++];
                *c = (gyre_cell){ .layer = layers_a[l], .arm = a == 0 ? "x" : "y", .point = a == 0 ? "bits=4" : "", .seeded = a == 0 && arm_seeded,
                                  .seed = s, .status = GYRE_CELL_OK, .reason = "", .flags = "", .n_documents = n_documents, .n_heads = 1,
                                  .total_bits = a == 0 ? 4.5 : 8.0 };
                OK(gyre_table_keep(t, n_documents, sizeof *c->values, &c->values, &error));
                for (size_t d = 0; d < n_documents; d++)
                    c->values[d] = exp(a == 0 ? arm[(l * (arm_seeded ? n_seeds : 1) + s) * n_documents + d] : against[d]);
            }
    OK(gyre_table_keep(t, 2, sizeof *t->comparisons, &t->comparisons, &error));
    t->n_comparisons = 2;
    for (size_t i = 0; i < 2; i++)
        t->comparisons[i] = (gyre_comparison){ .arm = "x", .against = "y", .metric = "nmse", .family = "f", .point = "bits=4", .ratio = true,
                                               .has_margin = i == 0, .margin = 1.5, .alpha = 0.05 };
    return t;
}

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12 * fmax(1.0, fabs(expected)) + 1e-12))
        fail_msg("%.17g is not %.17g", value, expected);
}

static const double level[] = { -3.0, -2.0, -4.0, -1.0 };

static void compare_paired(void **state)
{
    (void)state;
    const double x[] = { -3.2, -2.1, -4.3, -1.2 }; /* differences -0.2, -0.1, -0.3, -0.2 */
    gyre_table *t = small_table(1, 4, 3, x, false, level);
    OK(gyre_compare(t, &error));
    const gyre_comparison *c = &t->comparisons[0];
    assert_string_equal(c->status, "OK");
    assert_string_equal(c->test, "paired_t");
    assert_true(c->n_seeds == 1 && c->n_documents == 4);
    assert_near(c->estimate, -0.2);
    assert_near(c->df, 3.0);
    assert_near(c->ci_low, -0.3299228263625338);
    assert_near(c->ci_high, -0.07007717363746624);
    assert_near(c->p, 0.01627660345942855);
    assert_near(c->p_adjusted, 2.0 * 0.01627660345942855); /* two comparisons in the family */
    assert_near(c->p_tost, 0.007559237422780342);
    assert_near(c->p_tost_adjusted, 0.007559237422780342); /* one of them has a margin */
    assert_near(c->margin_needed, 0.29607565990980106);
    assert_string_equal(c->verdict, "EQUIVALENT"); /* although 0 is outside the interval */
    assert_near(c->total_bits_arm, 4.5);
    assert_near(c->total_bits_against, 8.0);
    assert_int_equal(c->worst_layer, 0);
    assert_near(c->worst_low, c->ci_low);
    assert_string_equal(t->comparisons[1].verdict, "BETTER");
    assert_true(isnan(t->comparisons[1].p_tost) && isnan(t->comparisons[1].p_tost_adjusted));
    gyre_table_free(t);
}

/* A seeded arm against one without seeds, over two layers that mirror each other about the sample of the reference computation. */
static void compare_crossed(void **state)
{
    (void)state;
    const double sample[] = { 0.01, 0.03, 0.02, -0.02, 0.02, 0.00, 0.04, 0.05, 0.09 };
    double x[18];
    for (size_t i = 0; i < 9; i++) {
        x[i] = level[i % 3] + sample[i] + 0.5;
        x[9 + i] = level[i % 3] + sample[i] - 0.5;
    }
    gyre_table *t = small_table(2, 3, 3, x, true, level);
    t->comparisons[0].margin = exp(0.2);
    OK(gyre_compare(t, &error));
    const gyre_comparison *c = &t->comparisons[0];
    assert_string_equal(c->status, "OK");
    assert_string_equal(c->test, "crossed");
    assert_true(c->n_seeds == 3 && c->n_documents == 3);
    assert_near(c->estimate, 0.026666666666666665);
    assert_near(c->df, 2.3963773584905663);
    assert_near(c->sd_seed, 0.028963578661637946);
    assert_near(c->sd_document, 0.010801234497346433);
    assert_near(c->p, 0.27039613947386426);
    assert_near(c->p_tost, 0.003116830763989519);
    assert_string_equal(c->verdict, "EQUIVALENT");
    assert_string_equal(t->comparisons[1].verdict, "INCONCLUSIVE");
    assert_int_equal(c->worst_layer, layers_a[0]);
    assert_near(c->worst_estimate, 0.5266666666666666);
    gyre_table_free(t);
}

static void compare_refuses(void **state)
{
    (void)state;
    const double x[] = { -3.2, -2.1, -4.3, -1.2 };
    gyre_table *t = small_table(1, 4, 3, x, false, level);
    t->cells[0].values[2] = 0.0;
    t->comparisons[1].ratio = false;
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "DEGENERATE"); /* no logarithm of zero, ever */
    assert_non_null(strstr(t->comparisons[0].reason,
                           "nmse of x is 0 at layer 0, document debian-handbook, head 0, seed 0: a ratio needs positive values"));
    assert_true(isnan(t->comparisons[0].estimate) && isnan(t->comparisons[0].p) && t->comparisons[0].verdict[0] == '\0');
    assert_string_equal(t->comparisons[1].status, "OK");
    assert_near(t->comparisons[1].p, t->comparisons[1].p_adjusted); /* alone in its family now */
    t->cells[0].values[2] = NAN;
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[1].status, "DEGENERATE");
    t->cells[0].status = GYRE_CELL_FAILED;
    t->cells[0].reason = "out of luck";
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "INCOMPLETE");
    assert_non_null(strstr(t->comparisons[0].reason, "out of luck"));
    t->cells[0].status = GYRE_CELL_MISSING;
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "INCOMPLETE");
    assert_non_null(strstr(t->comparisons[0].reason, "1 of 1 cells of x at bits=4 are missing"));
    t->cells[0].status = GYRE_CELL_SKIPPED;
    t->cells[0].reason = "no bias";
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "SKIPPED");
    assert_string_equal(t->comparisons[0].reason, "x at bits=4, layer 0: no bias");
    t->comparisons[0].metric = "perplexity";
    assert_int_equal(gyre_compare(t, &error), GYRE_E_CONFIG);
    gyre_table_free(t);
}

static void compare_without_spread(void **state)
{
    (void)state;
    gyre_table *t = small_table(1, 4, 1, level, false, level);
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "DEGENERATE");
    assert_near(t->comparisons[0].estimate, 0.0);
    gyre_table_free(t);
    t = small_table(1, 4, 1, level, true, level); /* one seed says nothing about seeds */
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "DEGENERATE");
    assert_non_null(strstr(t->comparisons[0].reason, "1 seed(s) have no spread"));
    gyre_table_free(t);
}

/* ---- what it costs ---- */

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void cost(void **state)
{
    (void)state;
    char folder[PATH_TEXT], why[GYRE_CELL_WHY], path[PATH_TEXT + 16];
    gyre_provenance p = make_provenance("h");
    run_folder(folder, "cost");
    (void)snprintf(path, sizeof path, "%s/results.h5", folder);
    gyre_table *t = make_table(true), *plan = make_table(false);
    double t0 = seconds();
    for (size_t i = 0; i < t->n_cells; i++)
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
    double t1 = seconds();
    for (size_t i = 0; i < t->n_cells; i++) {
        bool found = false;
        OK(gyre_cell_read(folder, plan, &plan->cells[i], &found, why, &error));
        assert_true(found);
    }
    double t2 = seconds();
    OK(gyre_results_write(path, t, &p, &error));
    print_message("a cell: %.2f ms written, %.2f ms read; results file of 80 cells: %.1f ms\n", (t1 - t0) * 12.5, (t2 - t1) * 12.5,
                  (seconds() - t2) * 1e3);
    gyre_table_free(t);
    gyre_table_free(plan);
}

static int begin(void **state)
{
    (void)state;
    gyre_h5_quiet();
    (void)gsl_set_error_handler_off();
    return 0;
}

static int end(void **state)
{
    (void)state;
    char folder[PATH_TEXT], command[PATH_TEXT + 16];
    scratch(folder, "");
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_page_is_current),
        cmocka_unit_test(schema_versions),
        cmocka_unit_test(cells_round_trip),
        cmocka_unit_test(cells_are_deterministic),
        cmocka_unit_test(damaged_cells_are_not_there),
        cmocka_unit_test(foreign_cells_are_not_there),
        cmocka_unit_test(interrupted_cells),
        cmocka_unit_test(interrupted_merges),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(results_round_trip),
        cmocka_unit_test(results_are_deterministic),
        cmocka_unit_test(damaged_results_are_refused),
        cmocka_unit_test(merge_refuses_what_is_missing),
        cmocka_unit_test(verify_lists_faults),
        cmocka_unit_test(verify_knows_kinds),
        cmocka_unit_test(other_readers),
        cmocka_unit_test(provenance_says_where),
        cmocka_unit_test(compare_paired),
        cmocka_unit_test(compare_crossed),
        cmocka_unit_test(compare_refuses),
        cmocka_unit_test(compare_without_spread),
        cmocka_unit_test(cost),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
