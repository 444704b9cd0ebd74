#define _DEFAULT_SOURCE
#include "experiments/pass.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/child.h"
#include "engine/engine.h"
#include "engine/model_file.h"
#include "experiments/coded_cache.h"
#include "results/cells.h"

enum { SELF_TEST_TOKENS = 64, WHAT_TEXT = 512 };

/* One arm at a point and seed: its codecs at all layers. */
typedef struct coded_arm {
    size_t point;
    uint32_t seed;
    gyre_coded_layer *layers;
    gyre_coded_cache *cache;
    gyre_status status; /* why it could not be built: its cells are FAILED */
    gyre_error error;
} coded_arm;

/* A cell under way. */
typedef struct running {
    size_t cell, arm;
    gyre_token *tokens;     /* [chunks of the block][scored] */
    double payload, side, wall_s; /* payload: mean over chunks */
    gyre_status status;
    gyre_error error;
} running;

typedef struct pass {
    const gyre_config *config;
    gyre_plan *plan;
    size_t source;
    const size_t *cells;
    size_t n_cells;
    const gyre_run_options *options;
    gyre_log *log;

    const gyre_plan_model *model;
    size_t n_scored;
    gyre_engine *engine;
    int32_t **tokens;        /* [text] */
    gyre_layer **layers;     /* [n_layers], without rows */
    gyre_exact_tokens *exact;
    gyre_token *exact_out;   /* [n_scored] */
    double exact_s;          /* that the exact run of the chunk took: the time of an exact arm */
    const int32_t *chunk;    /* the tokens under way */
    int32_t *chunk_tokens;
    gyre_token *out;         /* where the arm's scored tokens go */
    size_t n_arms;
    coded_arm *arms;
    size_t done, total;      /* chunks of arms and of the exact run, for progress */
} pass;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Signals that end the pass wait while a file is written. They must not reach another thread then: threads start while they wait, too (run_all). */
static void hold_signals(bool hold)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* ---- texts ---- */

static gyre_status read_texts(pass *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char sha256[GYRE_SHA256_HEX];
    GYRE_NEW(&p->tokens, p->model->n_texts);
    for (size_t i = 0; i < p->model->n_texts; i++) {
        size_t n = 0;
        GYRE_TRY(gyre_text_tokens(p->engine, p->model->texts[i], &p->tokens[i], &n, sha256, err));
        if (strcmp(sha256, p->model->text_sha256[i]) != 0)
            GYRE_FAIL(GYRE_E_INPUT, "the text %s has changed since the plan was made: run again", p->model->texts[i]);
    }
done:
    return st;
}

/* The tokens of chunk `document`, BOS first where the model adds one. */
static void take_chunk(pass *p, size_t document)
{
    const gyre_plan_model *m = p->model;
    const gyre_engine_info *info = gyre_engine_describe(p->engine);
    memcpy(p->chunk_tokens, p->tokens[m->chunk_text[document]] + m->chunk_number[document] * m->context, m->context * sizeof *p->chunk_tokens);
    if (info->adds_bos)
        p->chunk_tokens[0] = info->bos;
    p->chunk = p->chunk_tokens;
}

/* ---- runs of a chunk ---- */

static gyre_status take_exact(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    pass *p = user;
    return gyre_exact_tokens_add(p->exact, logits, p->chunk + first + 1, count, p->exact_out + (first - p->model->context / 2), err);
}

static gyre_status take_coded(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    pass *p = user;
    size_t at = first - p->model->context / 2;
    return gyre_exact_tokens_compare(p->exact, at, logits, count, p->out + at, err);
}

static gyre_status decode(pass *p, size_t batch, gyre_engine_take_logits take, gyre_error *err)
{
    const gyre_engine_chunk chunk = {.tokens = p->chunk,
                                     .n_tokens = p->model->context,
                                     .batch = batch,
                                     .first_logit = p->model->context / 2,
                                     .end_logit = p->model->context - 1,
                                     .take = take,
                                     .user = p};
    return gyre_engine_decode(p->engine, &chunk, err);
}

static gyre_status run_exact(pass *p, gyre_error *err)
{
    double t0 = now();
    gyre_exact_tokens_clear(p->exact);
    gyre_engine_set_hook(p->engine, 0, NULL, NULL, NULL);
    gyre_status st = decode(p, 0, take_exact, err);
    p->exact_s = now() - t0;
    return st;
}

static bool is_exact(const gyre_arm *arm)
{
    return !arm->codes[GYRE_K] && !arm->codes[GYRE_V];
}

/* Chunk `j` of its block for one cell. Trouble of the arm ends the cell; trouble of the machine the pass. */
static gyre_status run_cell(pass *p, running *r, size_t j, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double t0 = now();
    coded_arm *arm = &p->arms[r->arm];
    p->out = r->tokens + j * p->n_scored;
    if (is_exact(&p->config->points[arm->point].arm)) {
        memcpy(p->out, p->exact_out, p->n_scored * sizeof *p->out);
        r->payload = 32.0;
        r->wall_s += p->exact_s;
        return GYRE_OK;
    }
    gyre_coded_cache_begin(arm->cache);
    st = decode(p, gyre_coded_cache_batch(arm->cache), take_coded, err);
    gyre_engine_set_hook(p->engine, 0, NULL, NULL, NULL);
    gyre_coded_bits bits = gyre_coded_cache_bits(arm->cache);
    gyre_coded_cache_end(arm->cache);
    r->wall_s += now() - t0;
    if (st == GYRE_E_MEMORY || st == GYRE_E_INTERNAL || st == GYRE_E_UNSUPPORTED)
        return st;
    if (st != GYRE_OK) {
        (void)gyre_error_context(err, "chunk %s", p->plan->table->sources[p->source].documents[p->plan->table->cells[r->cell].first_document + j]);
        r->status = st;
        r->error = *err;
        return GYRE_OK;
    }
    r->payload += (bits.payload - r->payload) / (double)(j + 1);
    r->side = bits.side;
    return GYRE_OK;
}

/* ---- blocks ---- */

static void measure(const pass *p, const running *r, gyre_cell *cell)
{
    for (size_t m = 0; m < p->config->n_metrics; m++)
        for (size_t j = 0; j < cell->n_documents; j++)
            cell->values[m * cell->n_documents + j] = p->config->metrics[m]->measure_tokens(r->tokens + j * p->n_scored, p->n_scored);
}

static gyre_status finish(pass *p, running *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *t = p->plan->table;
    gyre_cell *cell = &t->cells[r->cell];
    cell->wall_s = r->wall_s;
    cell->status = r->status == GYRE_OK ? GYRE_CELL_OK : GYRE_CELL_FAILED;
    GYRE_TRY(gyre_table_text(t, r->status == GYRE_OK ? "" : r->error.message, &cell->reason, err));
    if (r->status == GYRE_OK) {
        GYRE_TRY(gyre_table_keep(t, p->config->n_metrics * cell->n_documents, sizeof *cell->values, &cell->values, err));
        measure(p, r, cell);
        cell->payload_bits = cell->read_bits = r->payload;
        cell->side_bits = r->side;
        cell->total_bits = cell->payload_bits + r->side;
        cell->tokens = r->tokens;
        cell->n_tokens = cell->n_documents * p->n_scored;
        if (p->plan->cell_leaks[r->cell])
            cell->flags = "leak";
    } else {
        gyre_log_warning(p->log, "cell FAILED: %s, block %u, arm %s%s%s, seed %u: %s", t->sources[p->source].name, cell->layer, cell->arm, cell->point[0] != '\0' ? " " : "", cell->point,
                         cell->seed, cell->reason);
    }
    hold_signals(true);
    st = gyre_cell_write(p->options->folder, t, cell, err);
    hold_signals(false);
done:
    cell->tokens = NULL;
    cell->n_tokens = 0;
    return st;
}

/* Cells first..last-1 of p->cells, which are of one block. */
static gyre_status run_block(pass *p, size_t first, size_t last, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = last - first;
    running *r = NULL;
    const gyre_cell *block = &p->plan->table->cells[p->cells[first]];
    GYRE_NEW(&r, n);
    for (size_t i = 0; i < n; i++) {
        r[i].cell = p->cells[first + i];
        for (size_t a = 0; a < p->n_arms; a++)
            if (p->arms[a].point == p->plan->cell_point[r[i].cell] && p->arms[a].seed == p->plan->table->cells[r[i].cell].seed)
                r[i].arm = a;
        r[i].status = p->arms[r[i].arm].status;
        r[i].error = p->arms[r[i].arm].error;
        GYRE_NEW(&r[i].tokens, block->n_documents * p->n_scored);
    }
    for (size_t j = 0; j < block->n_documents; j++) {
        take_chunk(p, block->first_document + j);
        GYRE_TRY(run_exact(p, err));
        gyre_log_progress(p->log, "chunks", ++p->done, p->total);
        for (size_t i = 0; i < n; i++) {
            if (r[i].status == GYRE_OK)
                GYRE_TRY(run_cell(p, &r[i], j, err));
            gyre_log_progress(p->log, "chunks", ++p->done, p->total);
        }
    }
    for (size_t i = 0; i < n; i++)
        GYRE_TRY(finish(p, &r[i], err));
done:
    for (size_t i = 0; r != NULL && i < n; i++)
        free(r[i].tokens);
    free(r);
    return st;
}

/* ---- arms ---- */

static gyre_status list_arms(pass *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&p->arms, p->n_cells);
    for (size_t i = 0; i < p->n_cells; i++) {
        const gyre_cell *cell = &p->plan->table->cells[p->cells[i]];
        size_t point = p->plan->cell_point[p->cells[i]];
        bool there = false;
        for (size_t a = 0; a < p->n_arms; a++)
            there = there || (p->arms[a].point == point && p->arms[a].seed == cell->seed);
        if (there)
            continue;
        coded_arm *arm = &p->arms[p->n_arms++];
        arm->point = point;
        arm->seed = cell->seed;
        GYRE_NEW(&arm->layers, p->model->n_layers);
    }
done:
    return st;
}

/* Queries are rounded behind the chain of the keys: the codec of the keys, fitted as theirs is, with another quantizer. */
static gyre_status query_codec(const gyre_layer *layer, const gyre_cell_ask *keys, uint32_t seed, gyre_codec **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm *arm = NULL;
    gyre_cell_codecs own = {0};
    gyre_cell_ask ask = *keys;
    GYRE_NEW(&arm, 1);
    *arm = *keys->arm;
    gyre_plan_round_queries(&arm->codec[GYRE_K]);
    arm->codes[GYRE_V] = false;
    ask.arm = arm;
    GYRE_TRY(gyre_cell_codecs_new(layer, &ask, seed, &own, err));
    *out = own.codec[0];
done:
    free(arm);
    return st;
}

static gyre_status build_layer(const pass *p, coded_arm *a, const gyre_layer *layer, size_t place, size_t cell, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_arm *arm = gyre_arm_at(p->config, &p->config->points[a->point].arm, layer->raw.layer);
    gyre_fits fitted[2] = {{0}, {0}};
    gyre_cell_ask ask = {.arm = arm, .campaign_seed = p->config->campaign_seed};
    for (int s = 0; s < 2; s++) {
        GYRE_TRY(gyre_plan_fitted(p->config, p->plan, cell, place, (gyre_stream)s, &fitted[s], err));
        ask.fitted[s] = fitted[s].count > 0 ? &fitted[s] : NULL;
    }
    GYRE_TRY(gyre_cell_codecs_new(layer, &ask, a->seed, &a->layers[place].codecs, err));
    if (p->config->model.round_queries && arm->codes[GYRE_K])
        GYRE_TRY(query_codec(layer, &ask, a->seed, &a->layers[place].queries, err));
    a->layers[place].query_group = gyre_capture_info(p->plan->sources[p->source].capture)->layers[place].n_q_heads / layer->n_heads; /* a capture to fit to may hold no queries */
done:
    return st;
}

/* Any cell of the arm: what it takes over is the same for all blocks. */
static size_t cell_of(const pass *p, const coded_arm *a)
{
    size_t i = 0;
    while (p->plan->cell_point[p->cells[i]] != a->point || p->plan->table->cells[p->cells[i]].seed != a->seed)
        i++;
    return p->cells[i];
}

/* Layer after layer, so that the calibration rows of one layer alone are in memory. */
static gyre_status build_arms(pass *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_plan_source *s = &p->plan->sources[p->source];
    const gyre_split none = {0};
    GYRE_NEW(&p->layers, p->model->n_layers);
    for (size_t l = 0; l < p->model->n_layers; l++) {
        bool has_rows = p->model->fit_layer[l] != SIZE_MAX;
        GYRE_TRY(gyre_layer_load(has_rows ? p->model->fit : s->capture, has_rows ? p->model->fit_layer[l] : l, has_rows ? &s->split : &none, &p->layers[l], err));
        p->layers[l]->n_positions = p->model->context > p->layers[l]->tokens ? p->model->context : p->layers[l]->tokens;
        for (size_t a = 0; a < p->n_arms; a++) {
            if (p->arms[a].status != GYRE_OK)
                continue;
            st = build_layer(p, &p->arms[a], p->layers[l], l, cell_of(p, &p->arms[a]), err);
            if (st == GYRE_E_MEMORY || st == GYRE_E_INTERNAL)
                goto done;
            if (st != GYRE_OK) {
                p->arms[a].status = st;
                p->arms[a].error = *err;
                st = GYRE_OK;
            }
        }
        gyre_layer_forget(p->layers[l]);
        gyre_log_progress(p->log, "layers made ready", l + 1, p->model->n_layers);
    }
    for (size_t a = 0; a < p->n_arms; a++)
        GYRE_TRY(gyre_coded_cache_new(p->engine, p->arms[a].layers, p->model->n_layers, p->model->context, &p->arms[a].cache, err));
done:
    return st;
}

/* ---- the pass ---- */

static gyre_status open_model(pass *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = p->model->context < SELF_TEST_TOKENS ? p->model->context : SELF_TEST_TOKENS;
    p->n_scored = p->plan->table->sources[p->source].n_scored;
    gyre_engine_on_abort(gyre_child_last_words);
    GYRE_TRY(gyre_engine_open(p->model->path, p->model->context, p->options->jobs, &p->engine, err));
    GYRE_TRY(read_texts(p, err));
    GYRE_NEW(&p->chunk_tokens, p->model->context);
    GYRE_NEW(&p->exact_out, p->n_scored);
    GYRE_TRY(gyre_exact_tokens_new(p->n_scored, p->model->n_vocabulary, p->options->jobs, &p->exact, err));
    take_chunk(p, 0);
    GYRE_TRY(gyre_engine_self_test(p->engine, p->chunk, n, err));
done:
    return st;
}

static void clean(pass *p)
{
    for (size_t a = 0; p->arms != NULL && a < p->n_arms; a++) {
        gyre_coded_cache_free(p->arms[a].cache);
        for (size_t l = 0; p->arms[a].layers != NULL && l < p->model->n_layers; l++) {
            gyre_cell_codecs_free(&p->arms[a].layers[l].codecs);
            gyre_codec_free(p->arms[a].layers[l].queries);
        }
        free(p->arms[a].layers);
    }
    free(p->arms);
    for (size_t l = 0; p->layers != NULL && l < p->model->n_layers; l++)
        gyre_layer_free(p->layers[l]);
    free(p->layers);
    for (size_t i = 0; p->tokens != NULL && i < p->model->n_texts; i++)
        free(p->tokens[i]);
    free(p->tokens);
    free(p->chunk_tokens);
    free(p->exact_out);
    gyre_exact_tokens_free(p->exact);
    gyre_engine_close(p->engine);
}

static size_t end_of_block(const pass *p, size_t at)
{
    size_t end = at;
    while (end < p->n_cells && p->plan->cell_layer[p->cells[end]] == p->plan->cell_layer[p->cells[at]])
        end++;
    return end;
}

static gyre_status run_all(void *user, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    pass *p = user;
    hold_signals(true); /* the threads of the self-test are those of all chunks */
    st = open_model(p, err);
    hold_signals(false);
    GYRE_TRY(st);
    GYRE_TRY(list_arms(p, err));
    GYRE_TRY(build_arms(p, err));
    for (size_t at = 0, end; at < p->n_cells; at = end) {
        end = end_of_block(p, at);
        p->total += (end - at + 1) * p->plan->table->cells[p->cells[at]].n_documents;
    }
    gyre_log_progress(p->log, "chunks", 0, p->total);
    for (size_t at = 0, end; at < p->n_cells; at = end) {
        end = end_of_block(p, at);
        GYRE_TRY(run_block(p, at, end, err));
    }
done:
    clean(p);
    return st;
}

gyre_status gyre_pass_run(const gyre_config *c, gyre_plan *plan, size_t source, const size_t *cells, size_t n_cells, const gyre_run_options *o, gyre_log *log, gyre_error *err)
{
    pass p = {.config = c, .plan = plan, .source = source, .cells = cells, .n_cells = n_cells, .options = o, .log = log, .model = plan->sources[source].model};
    char what[WHAT_TEXT];
    (void)snprintf(what, sizeof what, "running %.400s", p.model->path);
    return gyre_child_run(run_all, &p, what, o->stop, err);
}

double gyre_pass_bytes(const gyre_plan_model *m)
{
    size_t scored = m->context - 1 - m->context / 2;
    return (double)gyre_exact_tokens_bytes(scored, m->n_vocabulary) + 2.0 * (double)scored * (double)m->n_vocabulary * sizeof(float);
}

/* ---- how long it takes ---- */

typedef struct timed {
    pass pass;
    const size_t *batches;
    size_t n;
    double *seconds; /* shared with the parent */
} timed;

static gyre_status time_all(void *user, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    timed *t = user;
    pass *p = &t->pass;
    GYRE_TRY(open_model(p, err));
    take_chunk(p, 0);
    GYRE_TRY(run_exact(p, err));
    t->seconds[0] = p->exact_s;
    double t0;
    p->out = p->exact_out;
    for (size_t i = 0; i < t->n; i++) {
        t0 = now();
        GYRE_TRY(decode(p, t->batches[i], take_coded, err));
        t->seconds[i + 1] = now() - t0;
    }
done:
    clean(p);
    return st;
}

gyre_status gyre_pass_time(const gyre_config *c, gyre_plan *plan, size_t source, const size_t *batches, size_t n, const gyre_run_options *o, double *seconds, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    timed t = {.pass = {.config = c, .plan = plan, .source = source, .options = o, .model = plan->sources[source].model}, .batches = batches, .n = n};
    char what[WHAT_TEXT];
    size_t bytes = (n + 1) * sizeof *t.seconds;
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        shared = NULL;
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to time %s", t.pass.model->path);
    }
    t.seconds = shared;
    (void)snprintf(what, sizeof what, "timing %.400s", t.pass.model->path);
    GYRE_TRY(gyre_child_run(time_all, &t, what, o->stop, err));
    memcpy(seconds, shared, bytes);
done:
    if (shared != NULL)
        (void)munmap(shared, bytes);
    return st;
}
