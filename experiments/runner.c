#define _DEFAULT_SOURCE
#include "experiments/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/commit.h"
#include "core/h5.h"
#include "experiments/cell.h"
#include "experiments/pass.h"
#include "experiments/registration.h"
#include "results/cells.h"
#include "results/registration.h"

enum { PATH_BYTES = 4096, JOBS_MOST = 1024, SETS_MOST = 1024 };

/* ---- the folder ---- */

struct gyre_run_lock {
    int whole, shard; /* file descriptors, -1 where not taken */
};

static gyre_status lock_file(const char *folder, const char *name, int how, int *fd, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write in %s: %s: choose another folder with --out", folder, strerror(errno));
    if (flock(*fd, how | LOCK_NB) != 0) {
        int reason = errno;
        (void)close(*fd);
        *fd = -1;
        if (reason == EWOULDBLOCK)
            GYRE_FAIL(GYRE_E_LOCKED, "another gyre run works in %s: wait for it, or choose another folder with --out", folder);
        GYRE_FAIL(GYRE_E_IO, "cannot lock %s: %s", path, strerror(reason));
    }
done:
    return st;
}

/* A sibling shard holds the folder alone only while it writes the configuration; a whole run holds it to its end. */
static gyre_status lock_shared(const char *folder, int *fd, gyre_error *err)
{
    enum { TRIES = 100 };
    const struct timespec pause = {0, 50000000};
    gyre_status st = GYRE_OK;
    for (int i = 0; i < TRIES; i++) {
        st = lock_file(folder, ".lock", LOCK_SH, fd, err);
        if (st != GYRE_E_LOCKED)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return st;
}

void gyre_run_unlock(gyre_run_lock *lock)
{
    if (lock == NULL)
        return;
    if (lock->shard >= 0)
        (void)close(lock->shard);
    if (lock->whole >= 0)
        (void)close(lock->whole);
    free(lock);
}

/* True when `path` holds exactly these bytes. */
static bool same_file(const char *path, const char *text)
{
    size_t n = strlen(text);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    char *own = malloc(n + 1);
    bool same = own != NULL && fread(own, 1, n + 1, f) == n && memcmp(own, text, n) == 0;
    free(own);
    (void)fclose(f);
    return same;
}

/* config.yaml and run.txt. A shard may find them there from its siblings; then they must be the same. */
static gyre_status save_config(const gyre_config *c, const gyre_search *search, const char *config_path, const gyre_run_options *o, bool alone, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES], *text = NULL;
    size_t size = strlen(c->overrides) * 2 + 8 * PATH_BYTES + strlen(config_path), used;
    GYRE_NEW(&text, size);
    used = (size_t)snprintf(text, size, "config %s\n", config_path);
    for (size_t i = 0; i < GYRE_PLAN_DIRS; i++)
        used += (size_t)snprintf(text + used, size - used, "search %s\n", search->dirs[i] != NULL ? search->dirs[i] : ".");
    for (const char *p = c->overrides; *p != '\0';) {
        size_t n = strcspn(p, "\n");
        used += (size_t)snprintf(text + used, size - used, "set %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
    const char *contents[2] = {gyre_yaml_source(c->yaml), text};
    static const char *const names[2] = {"config.yaml", "run.txt"};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", o->folder, names[i]);
        if (same_file(path, contents[i]))
            continue;
        if (!alone && access(path, F_OK) == 0)
            GYRE_FAIL(GYRE_E_LOCKED, "%s holds another configuration, and other shards may be at work on it: choose another folder with --out", o->folder);
        GYRE_TRY(gyre_commit_bytes(path, contents[i], strlen(contents[i]), err));
    }
done:
    free(text);
    return st;
}

gyre_status gyre_run_lock_take(const gyre_config *c, const gyre_search *search, const char *config_path, const gyre_run_options *o, gyre_log *log, gyre_run_lock **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_run_lock *lock = NULL;
    gyre_error ignored;
    char name[64];
    *out = NULL;
    GYRE_TRY(gyre_make_folder(o->folder, err));
    GYRE_TRY(gyre_cells_prepare(o->folder, err));
    GYRE_NEW(&lock, 1);
    lock->whole = lock->shard = -1;
    bool alone = true;
    if (o->n_shards == 1) {
        GYRE_TRY(lock_file(o->folder, ".lock", LOCK_EX, &lock->whole, err));
    } else {
        /* alone for a moment, if nobody else is here: then the configuration may be replaced */
        alone = lock_file(o->folder, ".lock", LOCK_EX, &lock->whole, &ignored) == GYRE_OK;
        if (!alone)
            GYRE_TRY(lock_shared(o->folder, &lock->whole, err));
        (void)snprintf(name, sizeof name, ".lock.%u-of-%u", o->shard, o->n_shards);
        GYRE_TRY(lock_file(o->folder, name, LOCK_EX, &lock->shard, err));
    }
    GYRE_TRY(gyre_register_old(o->folder, log, err));
    GYRE_TRY(save_config(c, search, config_path, o, alone, err));
    if (o->n_shards > 1 && alone && flock(lock->whole, LOCK_SH) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot share the lock of %s: %s", o->folder, strerror(errno));
    *out = lock;
    lock = NULL;
done:
    gyre_run_unlock(lock);
    return st;
}

bool gyre_run_active(const char *folder)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/.lock", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool active = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0)
        (void)close(fd);
    return active;
}

/* Shards of one configuration write the same bytes. */
static gyre_status save_plan(const gyre_plan *plan, const char *folder, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = plan->table;
    char path[PATH_BYTES], *text = NULL;
    size_t size = 1, used = 0;
    for (size_t i = 0; i < t->n_cells; i++)
        size += GYRE_SHA256_HEX + 64 + strlen(t->sources[t->cells[i].source].name) + strlen(t->cells[i].arm) + strlen(t->cells[i].point);
    GYRE_NEW(&text, size);
    for (size_t i = 0; i < t->n_cells; i++) {
        const gyre_cell *c = &t->cells[i];
        used += (size_t)snprintf(text + used, size - used, "%s\t%s\t%u\t%s\t%s\t%u\t%s\n", c->key, t->sources[c->source].name, c->layer, c->arm, c->point, c->seed,
                                 c->status == GYRE_CELL_SKIPPED ? "SKIPPED" : "");
    }
    (void)snprintf(path, sizeof path, "%s/plan.tsv", folder);
    if (!same_file(path, text))
        GYRE_TRY(gyre_commit_bytes(path, text, used, err));
done:
    free(text);
    return st;
}

void gyre_run_saved_free(gyre_run_saved *s)
{
    free(s->config_path);
    for (size_t i = 0; i < s->n_sets; i++)
        free(s->sets[i]);
    free(s->sets);
    for (size_t i = 0; i < GYRE_PLAN_DIRS; i++)
        free(s->dirs[i]);
    *s = (gyre_run_saved){0};
}

gyre_status gyre_run_saved_read(const char *folder, gyre_run_saved *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[PATH_BYTES], *line = NULL;
    size_t room = 0, n_dirs = 0;
    *out = (gyre_run_saved){0};
    (void)snprintf(path, sizeof path, "%s/run.txt", folder);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "%s is not a run folder: it has no run.txt", folder);
    (void)snprintf(path, sizeof path, "%s/config.yaml", folder);
    out->config_path = strdup(path);
    GYRE_NEW(&out->sets, SETS_MOST);
    while (getline(&line, &room, f) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "search ", 7) == 0 && n_dirs < GYRE_PLAN_DIRS)
            out->dirs[n_dirs++] = strdup(line + 7);
        else if (strncmp(line, "set ", 4) == 0 && out->n_sets < SETS_MOST)
            out->sets[out->n_sets++] = strdup(line + 4);
    }
done:
    free(line);
    if (f != NULL)
        (void)fclose(f);
    if (st != GYRE_OK)
        gyre_run_saved_free(out);
    return st;
}

/* ---- the work ---- */

/* Cells of one layer, done by several threads. */
typedef struct group {
    const gyre_config *config;
    gyre_plan *plan;
    const gyre_run_options *options;
    gyre_log *log;
    gyre_layer *layer;
    const size_t *cells; /* indices of the cells to compute */
    size_t n_cells, n_units;
    atomic_size_t next_unit, next_cell;
    atomic_size_t *done; /* of the whole run, for progress */
    size_t total;
    pthread_mutex_t lock; /* guards what follows and the table's memory */
    gyre_status status;   /* first failure that must stop the run */
    gyre_error error;
    gyre_run_outcome *outcome;
} group;

static bool stopping(const group *g)
{
    return *g->options->stop != 0;
}

static void fail(group *g, gyre_status status, const gyre_error *error)
{
    (void)pthread_mutex_lock(&g->lock);
    if (g->status == GYRE_OK) {
        g->status = status;
        g->error = *error;
    }
    (void)pthread_mutex_unlock(&g->lock);
    atomic_store(&g->next_cell, g->n_cells);
    atomic_store(&g->next_unit, g->n_units);
}

static gyre_status keep_numbers(gyre_table *t, const void *from, size_t n, size_t size, void *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    void *copy = NULL;
    GYRE_TRY(gyre_table_keep(t, n, size, &copy, err));
    if (n > 0)
        memcpy(copy, from, n * size);
    memcpy(out, &copy, sizeof copy);
done:
    return st;
}

/* What was learned, in the table's memory. */
static gyre_status keep_fits(gyre_table *t, const gyre_fits *fits, gyre_cell *cell, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fit *all;
    GYRE_TRY(keep_numbers(t, fits->items, fits->count, sizeof *all, &all, err));
    for (size_t i = 0; i < fits->count; i++) {
        const gyre_fit *from = &fits->items[i];
        GYRE_TRY(keep_numbers(t, from->parameters, from->n_parameters, sizeof *from->parameters, &all[i].parameters, err));
        GYRE_TRY(keep_numbers(t, from->point_step, from->n_points, sizeof *from->point_step, &all[i].point_step, err));
        for (int k = 0; k < 2; k++)
            GYRE_TRY(keep_numbers(t, from->point[k], from->n_points, sizeof *from->point[k], &all[i].point[k], err));
    }
    cell->n_fits = fits->count;
    cell->fits = all;
done:
    return st;
}

/* A table's memory is one list: allocation is serialised. */
static gyre_status finish_cell(group *g, gyre_cell *cell, gyre_status status, const gyre_fits *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)pthread_mutex_lock(&g->lock);
    cell->status = status == GYRE_OK ? GYRE_CELL_OK : GYRE_CELL_FAILED;
    st = gyre_table_text(g->plan->table, status == GYRE_OK ? "" : err->message, &cell->reason, err);
    if (st == GYRE_OK && status == GYRE_OK)
        st = keep_fits(g->plan->table, fits, cell, err);
    if (status == GYRE_OK)
        g->outcome->computed++;
    else
        g->outcome->failed++;
    (void)pthread_mutex_unlock(&g->lock);
    return st;
}

/* The cell takes over parameters that were found on what it evaluates. */
static void mark_leak(gyre_cell *cell)
{
    if (!gyre_cell_flagged(cell, "leak"))
        cell->flags = cell->flags[0] == '\0' ? "leak" : "storage_floor,leak";
}

/* Cell `index` of the table. A fit that was stopped leaves the cell MISSING. */
static gyre_status one_cell(group *g, size_t index, gyre_cell_work *work, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_cell *cell = &g->plan->table->cells[index];
    size_t count = g->config->n_metrics * g->layer->n_evaluation * g->layer->n_heads;
    gyre_fits fits = {0}, fitted[2] = {{0}, {0}};
    gyre_cell_ask ask = {.arm = gyre_arm_at(g->config, &g->config->points[g->plan->cell_point[index]].arm, cell->layer), .whole = &g->config->points[g->plan->cell_point[index]].arm, .metrics = g->config->metrics, .n_metrics = g->config->n_metrics,
                         .campaign_seed = g->config->campaign_seed, .stop = g->options->stop};
    for (int s = 0; s < 2; s++) {
        GYRE_TRY(gyre_plan_fitted(g->config, g->plan, index, gyre_plan_layer(g->plan, index), (gyre_stream)s, &fitted[s], err));
        ask.fitted[s] = fitted[s].count > 0 ? &fitted[s] : NULL;
    }
    (void)pthread_mutex_lock(&g->lock);
    st = gyre_table_keep(g->plan->table, count, sizeof *cell->values, &cell->values, err);
    (void)pthread_mutex_unlock(&g->lock);
    GYRE_TRY(st);
    struct timespec t0, t1;
    (void)clock_gettime(CLOCK_MONOTONIC, &t0);
    gyre_status status = gyre_cell_compute(g->layer, &ask, cell, &fits, work, err);
    (void)clock_gettime(CLOCK_MONOTONIC, &t1);
    cell->wall_s = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    if (status != GYRE_OK)
        cell->values = NULL;
    if (status == GYRE_E_INTERRUPTED)
        goto done;
    if (status == GYRE_E_MEMORY || status == GYRE_E_INTERNAL)
        GYRE_TRY(status);
    if (status == GYRE_OK && g->plan->cell_leaks[index])
        mark_leak(cell);
    if (status != GYRE_OK)
        gyre_log_warning(g->log, "cell FAILED: %s, layer %u, arm %s%s%s, seed %u: %s", g->plan->table->sources[cell->source].name, cell->layer, cell->arm,
                         cell->point[0] != '\0' ? " " : "", cell->point, cell->seed, err->message);
    GYRE_TRY(finish_cell(g, cell, status, &fits, err));
    GYRE_TRY(gyre_cell_write(g->options->folder, g->plan->table, cell, err));
done:
    gyre_fits_free(&fits);
    return st;
}

static void *worker(void *argument)
{
    group *g = argument;
    gyre_cell_work *work = NULL;
    gyre_error error = {0};
    gyre_status st = gyre_cell_work_new(&work, &error);
    size_t i;
    while (st == GYRE_OK && !stopping(g) && (i = atomic_fetch_add(&g->next_cell, 1)) < g->n_cells) {
        st = one_cell(g, g->cells[i], work, &error);
        if (!stopping(g)) /* a fit that was stopped is not done */
            gyre_log_progress(g->log, "cells", atomic_fetch_add(g->done, 1) + 1, g->total);
    }
    if (st != GYRE_OK)
        fail(g, st, &error);
    gyre_cell_work_free(work);
    return NULL;
}

static void *attend(void *argument)
{
    group *g = argument;
    gyre_error error = {0};
    size_t i;
    while (!stopping(g) && (i = atomic_fetch_add(&g->next_unit, 1)) < g->n_units) {
        gyre_status st = gyre_layer_attend(g->layer, i / g->layer->n_heads, i % g->layer->n_heads, &error);
        if (st != GYRE_OK)
            fail(g, st, &error);
    }
    return NULL;
}

/* Runs `work` on `jobs` threads, this one among them. */
static void together(group *g, void *(*work)(void *), unsigned jobs)
{
    pthread_t threads[JOBS_MOST];
    unsigned n = 0;
    for (; n + 1 < jobs && n < JOBS_MOST; n++)
        if (pthread_create(&threads[n], NULL, work, g) != 0)
            break; /* fewer threads do the same work */
    (void)work(g);
    while (n-- > 0)
        (void)pthread_join(threads[n], NULL);
}

static gyre_status run_group(group *g, size_t source, size_t layer, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_plan_source *s = &g->plan->sources[source];
    GYRE_TRY(gyre_layer_load(s->capture, s->layer_index[layer], &s->split, &g->layer, err));
    g->n_units = (gyre_metrics_read(g->config->metrics, g->config->n_metrics) & GYRE_METRIC_QUERIES) ? g->layer->n_evaluation * g->layer->n_heads : 0;
    atomic_store(&g->next_unit, 0);
    atomic_store(&g->next_cell, 0);
    together(g, attend, g->options->jobs);
    if (g->status == GYRE_OK)
        together(g, worker, g->options->jobs);
    if (g->status != GYRE_OK) {
        *err = g->error;
        st = g->status;
    }
done:
    gyre_layer_free(g->layer);
    g->layer = NULL;
    return st;
}

/* Cells of one model source, in a child; what it wrote is read back. */
static gyre_status run_model(group *g, size_t source, const size_t *cells, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char why[GYRE_CELL_WHY];
    gyre_error read_error = {0};
    gyre_status ran = gyre_pass_run(g->config, g->plan, source, cells, n, g->options, g->log, err);
    for (size_t i = 0; i < n; i++) {
        gyre_cell *cell = &g->plan->table->cells[cells[i]];
        bool found = false;
        if (gyre_cell_exists(g->options->folder, cell->key))
            GYRE_TRY(gyre_cell_read(g->options->folder, g->plan->table, cell, &found, why, ran == GYRE_OK ? err : &read_error));
        g->outcome->computed += found && cell->status == GYRE_CELL_OK;
        g->outcome->failed += found && cell->status == GYRE_CELL_FAILED;
    }
    if (ran == GYRE_E_INTERRUPTED || (ran != GYRE_OK && stopping(g)))
        return GYRE_OK; /* told when all is counted */
    st = ran;
done:
    return st;
}

/* Reads what is there; lists what is not. FAILED cells are tried again. */
static gyre_status find_missing(gyre_plan *plan, const gyre_run_options *o, gyre_log *log, size_t *missing, size_t *n_missing, gyre_run_outcome *outcome, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char why[GYRE_CELL_WHY];
    for (size_t i = 0; i < plan->table->n_cells; i++) {
        gyre_cell *cell = &plan->table->cells[i];
        bool found = false;
        if (i % o->n_shards != o->shard)
            continue;
        if (cell->status == GYRE_CELL_SKIPPED) {
            outcome->skipped++;
            continue;
        }
        if (gyre_cell_exists(o->folder, cell->key)) {
            GYRE_TRY(gyre_cell_read(o->folder, plan->table, cell, &found, why, err));
            if (!found && why[0])
                gyre_log_warning(log, "%s: computing the cell again", why);
        }
        if (found && cell->status == GYRE_CELL_OK)
            outcome->found++;
        else
            missing[(*n_missing)++] = i;
    }
done:
    return st;
}

gyre_status gyre_run_cells(const gyre_config *c, gyre_plan *plan, const gyre_run_options *o, gyre_log *log, gyre_run_outcome *outcome, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t *missing = NULL, n_missing = 0, at = 0;
    atomic_size_t done = 0;
    group g = {.config = c, .plan = plan, .options = o, .log = log, .outcome = outcome, .done = &done};
    *outcome = (gyre_run_outcome){0};
    gyre_run_options single = *o;
    hbool_t threadsafe = 0;
    if (o->jobs > 1 && (H5is_library_threadsafe(&threadsafe) < 0 || !threadsafe)) {
        gyre_log_warning(log, "this HDF5 library is not thread-safe: one job instead of %u", o->jobs);
        single.jobs = 1;
        g.options = &single;
    }
    (void)pthread_mutex_init(&g.lock, NULL);
    GYRE_TRY(gyre_plan_register(o->folder, plan->table, time(NULL), err));
    GYRE_TRY(save_plan(plan, o->folder, err));
    GYRE_NEW(&missing, plan->table->n_cells);
    GYRE_TRY(find_missing(plan, o, log, missing, &n_missing, outcome, err));
    g.total = n_missing;
    if (outcome->found > 0)
        gyre_log_info(log, "%zu cells found, %zu to compute", outcome->found, n_missing);
    if (n_missing > 0 && plan->sources[plan->table->cells[missing[0]].source].model == NULL)
        gyre_log_progress(log, "cells", 0, n_missing); /* its clock starts here, not when the first cell is done */
    while (at < n_missing && !stopping(&g)) {
        size_t source = plan->table->cells[missing[at]].source, layer = plan->cell_layer[missing[at]], end = at;
        bool model = plan->sources[source].model != NULL;
        while (model && end < n_missing && plan->table->cells[missing[end]].source == source)
            end++;
        if (model) {
            GYRE_TRY(run_model(&g, source, missing + at, end - at, err));
            at = end;
            continue;
        }
        while (end < n_missing && plan->table->cells[missing[end]].source == source && plan->cell_layer[missing[end]] == layer)
            end++;
        g.cells = missing + at;
        g.n_cells = end - at;
        GYRE_TRY(run_group(&g, source, layer, err));
        at = end;
    }
    if (stopping(&g) && outcome->computed + outcome->failed < n_missing)
        GYRE_FAIL(GYRE_E_INTERRUPTED, "stopped with %zu of %zu cells to go; the same command goes on from here", n_missing - outcome->computed - outcome->failed, n_missing);
done:
    (void)pthread_mutex_destroy(&g.lock);
    free(missing);
    return st;
}
