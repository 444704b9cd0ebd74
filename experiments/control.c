#define _DEFAULT_SOURCE /* flock */
#include "experiments/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/commit.h"
#include "core/random.h"
#include "experiments/cell.h"
#include "experiments/plan.h"
#include "results/canary.h"
#include "results/compare.h"

enum { DOCUMENTS = 24, TOKENS = 64, HEADS = 2, DIM = 64, CONTROLS = 2, SPIKE = 17, PATH_BYTES = 4096, DETAIL = 300 };

/* Layer 0 of the stream and its model name, per control. */
static const struct {
    const char *name, *file, *verdict;
    float spike; /* size of channel SPIKE */
    double most; /* the ratio may not be above */
} controls[CONTROLS] = {
    { "positive control", "outlier.h5", "BETTER", 30.0f, 0.5 },
    { "negative control", "isotropic.h5", "EQUIVALENT", 1.0f, 1.05 },
};

static const char configuration[] = "experiment: control\n"
                                    "source: {capture: [outlier.h5, isotropic.h5]}\n"
                                    "arms:\n"
                                    "  plain: {k: {chain: [identity], quantizer: {sym: {bits: 4}}}}\n"
                                    "  rotated: {k: {chain: [srht], quantizer: {sym: {bits: 4}}}}\n"
                                    "seeds: 8\n"
                                    "metrics: [nmse]\n"
                                    "compare: [{arm: rotated, against: plain, metric: nmse, margin: {ratio: 1.05}}]\n";

/* ---- captures ---- */

static gyre_status fill_rows(size_t control, float *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const size_t n = (size_t)DOCUMENTS * TOKENS * HEADS * DIM;
    double *normals = NULL;
    GYRE_NEW(&normals, n);
    gyre_site site = { .layer = (uint32_t)control };
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    gyre_random_normals(&stream, normals, n);
    for (size_t i = 0; i < n; i++)
        rows[i] = (float)normals[i] * (i % DIM == SPIKE ? controls[control].spike : 1.0f);
done:
    free(normals);
    return st;
}

static gyre_status write_capture(const char *folder, size_t control, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES], names[DOCUMENTS][16];
    gyre_capture_document documents[DOCUMENTS];
    int32_t numbers[DOCUMENTS * TOKENS];
    uint32_t kv_head_of[HEADS] = { 0, 1 };
    float *rows = NULL;
    GYRE_NEW(&rows, (size_t)DOCUMENTS * TOKENS * HEADS * DIM);
    GYRE_TRY(fill_rows(control, rows, err));
    for (size_t i = 0; i < DOCUMENTS; i++) {
        (void)snprintf(names[i], sizeof names[i], "draw-%zu", i);
        documents[i] = (gyre_capture_document){ names[i], "", "CC0-1.0", "" };
        for (size_t j = 0; j < TOKENS; j++)
            numbers[i * TOKENS + j] = (int32_t)j;
    }
    gyre_capture_layer layer = { .n_kv_heads = HEADS, .n_q_heads = HEADS, .dim = DIM, .score_scale = 1.0f, .k = rows, .v = rows, .kv_head_of = kv_head_of };
    gyre_capture_data data = { .model_name = controls[control].name, .architecture = "synthetic", .model_sha256 = "", .model_file_type = "", .model_licence = "", .engine_version = "",
                               .engine_flags = "", .command_line = "", .tokenizer_note = "", .n_documents = DOCUMENTS, .n_tokens = TOKENS, .documents = documents, .pos = numbers,
                               .token_id = numbers, .n_layers = 1, .layers = &layer };
    (void)snprintf(path, sizeof path, "%s/%s", folder, controls[control].file);
    GYRE_TRY(gyre_capture_write(path, &data, true, err));
done:
    free(rows);
    return st;
}

/* ---- cells ---- */

static gyre_status compute_cell(const gyre_config *c, gyre_plan *plan, size_t index, const gyre_layer *layer, gyre_cell_work *work, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_cell *cell = &plan->table->cells[index];
    gyre_fits fits = {0};
    const gyre_arm *arm = &c->points[plan->cell_point[index]].arm;
    const gyre_cell_ask ask = { .arm = arm, .whole = arm, .metrics = c->metrics, .n_metrics = c->n_metrics, .campaign_seed = c->campaign_seed };
    GYRE_TRY(gyre_table_keep(plan->table, c->n_metrics * cell->n_documents * cell->n_heads, sizeof *cell->values, &cell->values, err));
    GYRE_TRY(gyre_cell_compute(layer, &ask, cell, &fits, work, err));
    cell->status = GYRE_CELL_OK;
done:
    gyre_fits_free(&fits);
    return st;
}

static gyre_status compute_all(const gyre_config *c, gyre_plan *plan, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_layer *layer = NULL;
    gyre_cell_work *work = NULL;
    GYRE_TRY(gyre_cell_work_new(&work, err));
    for (size_t s = 0; s < plan->n_sources; s++) {
        GYRE_TRY(gyre_layer_load(plan->sources[s].capture, plan->sources[s].layer_index[0], &plan->sources[s].split, &layer, err));
        for (size_t i = 0; i < plan->table->n_cells; i++)
            if (plan->table->cells[i].source == s)
                GYRE_TRY(compute_cell(c, plan, i, layer, work, err));
        gyre_layer_free(layer);
        layer = NULL;
    }
    GYRE_TRY(gyre_compare(plan->table, err));
done:
    gyre_layer_free(layer);
    gyre_cell_work_free(work);
    return st;
}

/* ---- the two canaries ---- */

static gyre_status tell(gyre_table *table, const gyre_table *run, size_t control, gyre_error *err)
{
    const gyre_comparison *c = &run->comparisons[control];
    bool passed = strcmp(c->verdict, controls[control].verdict) == 0 && exp(c->estimate) <= controls[control].most;
    char detail[DETAIL];
    if (strcmp(c->status, "OK") == 0)
        (void)snprintf(detail, sizeof detail, "a rotation before 4 bits on %s: nmse x%.2f, %s; %s is wanted", controls[control].spike > 1.0f ? "rows with one large channel" : "isotropic Gaussian rows",
                       exp(c->estimate), c->verdict, controls[control].verdict);
    else
        (void)snprintf(detail, sizeof detail, "%s: %.200s; %s is wanted", c->status, c->reason, controls[control].verdict);
    return gyre_canary_set(table, controls[control].name, passed ? "PASS" : "FAIL", detail, err);
}

static gyre_status run(const char *folder, gyre_table *table, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES];
    gyre_config *config = NULL;
    gyre_plan *plan = NULL;
    char search[PATH_BYTES];
    (void)snprintf(search, sizeof search, "%s", folder);
    for (size_t i = 0; i < CONTROLS; i++)
        GYRE_TRY(write_capture(folder, i, err));
    (void)snprintf(path, sizeof path, "%s/control.yaml", folder);
    GYRE_TRY(gyre_commit_bytes(path, configuration, strlen(configuration), err));
    GYRE_TRY(gyre_config_read(path, NULL, NULL, 0, &config, NULL, err));
    GYRE_TRY(gyre_plan_make(config, &(gyre_search){ { search, NULL, NULL } }, &plan, err));
    GYRE_TRY(compute_all(config, plan, err));
    for (size_t i = 0; i < CONTROLS; i++)
        GYRE_TRY(tell(table, plan->table, i, err));
done:
    gyre_plan_free(plan);
    gyre_config_free(config);
    return st;
}

/* ---- the scratch folder ---- */

static void empty(const char *scratch)
{
    DIR *d = opendir(scratch);
    if (d == NULL)
        return;
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d))
        (void)unlinkat(dirfd(d), entry->d_name, 0); /* "." and ".." refuse */
    (void)closedir(d);
}

/* Makes it, or takes the one that a killed run left, and holds it until *lock is closed; another run waits, a fraction of a second. */
static gyre_status enter(const char *scratch, int *lock, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct stat held, there;
    for (bool mine = false; !mine;) {
        if (mkdir(scratch, 0777) != 0 && errno != EEXIST)
            GYRE_FAIL(GYRE_E_IO, "cannot make the folder %s for the controls: %s", scratch, strerror(errno));
        *lock = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*lock < 0 && errno == ENOENT)
            continue;
        if (*lock < 0)
            GYRE_FAIL(GYRE_E_IO, "cannot open %s for the controls: %s", scratch, strerror(errno));
        while (flock(*lock, LOCK_EX) != 0)
            if (errno != EINTR)
                GYRE_FAIL(GYRE_E_IO, "cannot lock %s for the controls: %s", scratch, strerror(errno));
        mine = fstat(*lock, &held) == 0 && stat(scratch, &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev; /* else the run before removed it */
        if (!mine) {
            (void)close(*lock);
            *lock = -1;
        }
    }
    empty(scratch);
done:
    return st;
}

gyre_status gyre_controls_run(const char *folder, gyre_table *table, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int lock = -1;
    char *scratch = NULL;
    size_t size = strlen(folder) + sizeof "/.control";
    GYRE_NEW(&scratch, size);
    (void)snprintf(scratch, size, "%s/.control", folder);
    GYRE_TRY(enter(scratch, &lock, err));
    st = run(scratch, table, err);
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "controls");
    empty(scratch);
    (void)rmdir(scratch);
done:
    if (lock >= 0)
        (void)close(lock);
    free(scratch);
    return st;
}
