/* Results and cell files of wrong content, read. Results get the digest of what they then hold; a cell's digest is checked last of all. */
#include "fuzz/mutate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/h5.h"
#include "results/cells.h"
#include "results/digest.h"
#include "results/results_file.h"

enum { CELLS = 4, METRICS = 2, DOCUMENTS = 2, HEADS = 2 };

static const char key[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Two fits: one learned, with a curve, one of draws. */
static void make_fits(gyre_table *t, gyre_cell *c)
{
    gyre_error error = {0};
    gyre_fit *fits = NULL;
    FUZZ_MUST(gyre_table_keep(t, 2, sizeof *fits, &fits, &error) == GYRE_OK);
    for (size_t i = 0; i < 2; i++) {
        gyre_fit *f = &fits[i];
        *f = (gyre_fit){.stream = i == 0 ? GYRE_K : GYRE_V, .pooled = true, .draw = (uint32_t)i, .n_parameters = i == 0 ? 5 : 0, .freedom = 3, .start = {2, 3}, .end = {1, 2}, .n_points = 3};
        FUZZ_MUST(gyre_table_keep(t, f->n_parameters, sizeof *f->parameters, &f->parameters, &error) == GYRE_OK && gyre_table_keep(t, 3, sizeof *f->point_step, &f->point_step, &error) == GYRE_OK
                  && gyre_table_keep(t, 3, sizeof(double), &f->point[0], &error) == GYRE_OK && gyre_table_keep(t, 3, sizeof(double), &f->point[1], &error) == GYRE_OK);
        for (uint32_t p = 0; p < 3; p++)
            f->point_step[p] = p;
    }
    c->n_fits = 2;
    c->fits = fits;
}

static void make_table(gyre_table **out)
{
    static const char *const metrics[] = {"nmse", "softmax_kl"}, *const units[] = {"", "nat"}, *const documents[] = {"one", "two"}, *const calibration[] = {"three"};
    static const uint32_t layers[] = {0, 3}, heads[] = {HEADS, HEADS};
    gyre_error error = {0};
    gyre_table *t;
    FUZZ_MUST(gyre_table_new(out, &error) == GYRE_OK);
    t = *out;
    t->experiment = "fuzz";
    t->config_source = t->config_overrides = t->config_canonical = "text";
    memcpy(t->config_sha256, key, sizeof key);
    memcpy(t->analysis_sha256, key, sizeof key);
    memcpy(t->value_code, key, sizeof key);
    t->n_seeds = 1;
    t->n_sources = 1;
    t->n_cells = CELLS;
    t->n_comparisons = 1;
    t->n_metrics = METRICS;
    t->metrics = metrics;
    t->metric_units = units;
    FUZZ_MUST(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &error) == GYRE_OK && gyre_table_keep(t, CELLS, sizeof *t->cells, &t->cells, &error) == GYRE_OK
              && gyre_table_keep(t, 1, sizeof *t->comparisons, &t->comparisons, &error) == GYRE_OK);
    t->sources[0] = (gyre_source){.name = "m", .path = "m.h5", .digest = key, .model_sha256 = key, .architecture = "llama", .n_documents = DOCUMENTS, .documents = documents,
                                  .n_calibration = 1, .calibration = calibration, .n_validation = 1, .validation = calibration, .n_layers = 2, .layers = layers, .n_heads = heads, .dim = 4};
    for (size_t i = 0; i < CELLS; i++) {
        gyre_cell *c = &t->cells[i];
        *c = (gyre_cell){.layer = layers[i % 2], .arm = i < 2 ? "a" : "b", .point = "bits=4", .streams = "kv", .codec_k = "k", .codec_v = "v", .status = GYRE_CELL_OK, .reason = "",
                         .flags = "", .payload_bits = 4, .side_bits = 0, .total_bits = 4, .read_bits = 4, .n_documents = DOCUMENTS, .n_heads = HEADS, .wall_s = 1};
        memcpy(c->key, key, sizeof key);
        c->key[0] = (char)('0' + i);
        FUZZ_MUST(gyre_table_keep(t, METRICS * DOCUMENTS * HEADS, sizeof *c->values, &c->values, &error) == GYRE_OK);
        for (size_t v = 0; v < METRICS * DOCUMENTS * HEADS; v++)
            c->values[v] = 0.5 + (double)(i + v);
        if (i < 2)
            make_fits(t, c);
    }
    t->comparisons[0] = (gyre_comparison){.arm = "a", .against = "b", .metric = "nmse", .family = "all", .point = "bits=4", .ratio = true, .has_margin = true, .margin = 1.05, .alpha = 0.05,
                                          .status = "OK", .reason = "", .test = "paired_t", .n_seeds = 1, .n_documents = DOCUMENTS, .verdict = "INCONCLUSIVE"};
}

static void make(fuzz_file *results, fuzz_file *cell)
{
    gyre_error error = {0};
    gyre_table *t = NULL;
    gyre_provenance p = {0};
    char folder[300], cells[340], path[440];
    make_table(&t);
    FUZZ_MUST(gyre_results_write(fuzz_path(), t, &p, &error) == GYRE_OK);
    fuzz_take(results);
    (void)snprintf(folder, sizeof folder, "%s.cells", fuzz_path());
    (void)snprintf(cells, sizeof cells, "%s/cells", folder);
    (void)snprintf(path, sizeof path, "%s/%s.h5", cells, t->cells[0].key);
    FUZZ_MUST(gyre_cells_prepare(folder, &error) == GYRE_OK && gyre_cell_write(folder, t, &t->cells[0], &error) == GYRE_OK && rename(path, fuzz_path()) == 0);
    (void)rmdir(cells);
    (void)rmdir(folder);
    fuzz_take(cell);
    gyre_table_free(t);
}

/* Puts the content's own digest into the file. */
static void restore_digest(hid_t file)
{
    char hex[GYRE_SHA256_HEX];
    if (gyre_results_digest_of(file, hex, NULL) != GYRE_OK)
        return;
    (void)H5Adelete(file, "content_sha256");
    (void)gyre_h5_attr_text(file, "content_sha256", hex, NULL);
}

static volatile double sink; /* so that what is read is really read */

/* Everything that a fit points to. */
static double sum_of(const gyre_fit *f)
{
    double sum = f->start[0] + f->end[1] + (f->stream == GYRE_V);
    for (size_t i = 0; i < f->n_parameters; i++)
        sum += (double)f->parameters[i];
    for (size_t i = 0; i < f->n_points; i++)
        sum += f->point_step[i] + f->point[0][i] + f->point[1][i];
    return sum;
}

static void read_results(void)
{
    static gyre_provenance p;
    gyre_error error = {0};
    gyre_table *t = NULL;
    gyre_status st = gyre_results_read(fuzz_path(), &t, &p, NULL, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST((st == GYRE_OK) == (t != NULL));
    double sum = 0;
    for (size_t c = 0; t != NULL && c < t->n_cells; c++) { /* what the table points to is there */
        const gyre_cell *cell = &t->cells[c];
        FUZZ_MUST(cell->source < t->n_sources && cell->arm != NULL && cell->reason != NULL);
        for (size_t i = 0; i < cell->n_fits; i++) {
            FUZZ_MUST(cell->fits[i].head < cell->n_heads);
            sum += sum_of(&cell->fits[i]);
        }
        for (size_t m = 0; m < t->n_metrics; m++)
            for (size_t d = 0; d < cell->n_documents; d++)
                for (size_t h = 0; h < cell->n_heads; h++)
                    sum += gyre_cell_value(cell, m, d, h) + (double)strlen(t->metrics[m]);
    }
    for (size_t s = 0; t != NULL && s < t->n_sources; s++) {
        for (size_t d = 0; d < t->sources[s].n_documents; d++)
            sum += (double)strlen(t->sources[s].documents[d]);
        for (size_t d = 0; d < t->sources[s].n_validation; d++)
            sum += (double)strlen(t->sources[s].validation[d]);
        for (size_t l = 0; l < t->sources[s].n_layers; l++)
            sum += t->sources[s].layers[l] + t->sources[s].n_heads[l];
    }
    for (size_t c = 0; t != NULL && c < t->n_comparisons; c++)
        FUZZ_MUST(t->comparisons[c].source < t->n_sources && t->comparisons[c].verdict != NULL);
    sink = sum;
    gyre_table_free(t);
}

static void read_cell(bool changed)
{
    gyre_error error = {0};
    gyre_cell_file file;
    gyre_status st = gyre_cell_file_read(fuzz_path(), &file, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST(changed || st == GYRE_OK);
    gyre_cell_file_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_file results, cell;
    fuzz_input in = {data, size};
    gyre_h5_quiet();
    if (results.bytes == NULL)
        make(&results, &cell);
    bool of_cell = fuzz_below(&in, 4) == 3;
    bool changed = in.left > 0;
    if (!fuzz_change(of_cell ? &cell : &results, &in, of_cell ? NULL : restore_digest))
        return 0;
    if (of_cell)
        read_cell(changed);
    else
        read_results();
    return 0;
}
