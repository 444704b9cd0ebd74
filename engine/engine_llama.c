/* The engine on libllama (llama.cpp b6327 or later: cache written by SET_ROWS, flash_attn_type an enum).
 *
 * Where it looks (names as llama.cpp gives them, matched whole):
 *   K, V      SET_ROWS nodes whose target is cache_k_l<N> / cache_v_l<N>: src[0] are the new rows, src[1] the cells
 *   RoPE      the ROPE node behind those rows: op_params and src[2] (there is no public getter, metadata may be silent or per layer)
 *   bias      the ADD right before RoPE
 *   Q         src[1] of the MUL_MAT kq-<N>: after norm, RoPE and the model's own scaling; as RoPE leaves them, the ROPE node Qcur-<N>
 *   scale     op_params of SOFT_MAX kq_soft_max-<N>; the sliding window is read from its mask
 * The callback is asked about every node of the graph ("ask"), and shown those it wants once they are computed. It must never answer false to the
 * second: that silently drops the rest of the graph. Errors are kept and returned after the batch. What the hook writes into a shown node, or into the
 * cache behind it, is what the rest of the graph reads: everything up to that node is computed, and nothing after it.
 *
 * A chunk in batches of B tokens is one llama_decode after another without clearing the cache between them. Token i of the chunk must be cached in cell i
 * (checked for every write). With flash attention off the V cache is transposed: value c of cell i stands at c * cells + i.
 *
 * Refused, because attention would not be softmax(scale q.k + causal mask): soft-capped scores, ALiBi, attention sinks, other masks, MLA, recurrent
 * or shared caches. Not here: model quality (perplexity), GPU.
 */
#define _POSIX_C_SOURCE 200809L
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>

#include "core/sha256.h"

enum { TEXT = 256, FLAGS_TEXT = 1024, MAX_WALK = 16, MAX_TEXT_BYTES = 1 << 30, TILE_VALUES = 16, TILE_TOKENS = 64 };

/* What a layer's graph says about it; read once. */
typedef struct layer_facts {
    bool known;
    gyre_rope rope;
    float *factors, *bias;
    size_t n_kv_heads;
    unsigned n_k, n_v; /* cache writes met in this batch */
    bool has_query;    /* a ROPE node Qcur met in this batch */
} layer_facts;

/* What the cache of one stream of a layer looks like: cells from->data, heads of dim floats each. */
typedef struct cache_block {
    const struct ggml_tensor *write; /* its SET_ROWS node */
    uint32_t layer;
    size_t n_heads, dim, n_cells;
    bool transposed;
} cache_block;

struct gyre_engine {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocabulary;
    struct llama_batch batch;
    gyre_engine_info info;
    char flags[FLAGS_TEXT], architecture[TEXT], name[TEXT], licence[TEXT], file_type[TEXT];
    char reason[TEXT]; /* first line of libllama's log at level error */
    size_t max_tokens;

    unsigned events;
    const bool *wanted;
    gyre_engine_hook hook;
    void *user;

    layer_facts *layers;
    size_t first, n_now; /* tokens of the batch under way: first..first+n_now-1 of the chunk */
    cache_block blocks[2]; /* by gyre_stream: what was written last */
    unsigned inside;       /* the event whose hook is running, 0 outside */
    const struct ggml_tensor *shown; /* its node */
    uint32_t shown_layer;
    float *rows, *scores;
    size_t rows_capacity, scores_capacity;
    gyre_engine_rows queries; /* from kq, completed at the softmax */
    gyre_status fault_status;
    gyre_error fault;
};

typedef enum node_kind { NODE_OTHER, NODE_K, NODE_V, NODE_KQ, NODE_SOFTMAX, NODE_BEFORE_ROPE, NODE_Q_ROPE } node_kind;

/* ---- reading nodes ---- */

/* name == prefix + decimal number */
static bool numbered(const char *name, const char *prefix, uint32_t *number)
{
    size_t n = strlen(prefix);
    char *end;
    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9')
        return false;
    unsigned long value = strtoul(name + n, &end, 10);
    *number = (uint32_t)value;
    return *end == '\0' && value < UINT32_MAX;
}

static node_kind classify(const gyre_engine *e, const struct ggml_tensor *t, uint32_t *layer)
{
    node_kind kind = NODE_OTHER;
    if (t->op == GGML_OP_SET_ROWS && t->view_src != NULL) {
        if (numbered(t->view_src->name, "cache_k_l", layer))
            kind = NODE_K;
        else if (numbered(t->view_src->name, "cache_v_l", layer))
            kind = NODE_V;
    } else if (t->op == GGML_OP_MUL_MAT && numbered(t->name, "kq-", layer)) {
        kind = NODE_KQ;
    } else if (t->op == GGML_OP_SOFT_MAX && numbered(t->name, "kq_soft_max-", layer)) {
        kind = NODE_SOFTMAX;
    } else if (t->op == GGML_OP_RESHAPE && numbered(t->name, "Kcur-", layer) && (size_t)t->ne[2] == e->n_now) {
        kind = NODE_BEFORE_ROPE;
    } else if (t->op == GGML_OP_ROPE && numbered(t->name, "Qcur-", layer)) {
        kind = NODE_Q_ROPE;
    }
    return kind != NODE_OTHER && *layer < e->info.n_layers ? kind : NODE_OTHER;
}

static bool wants(const gyre_engine *e, node_kind kind, uint32_t layer)
{
    static const unsigned events_of[] = {
        [NODE_OTHER] = 0,
        [NODE_K] = GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES | GYRE_ENGINE_QUERIES, /* the others need its facts, and may write it */
        [NODE_V] = GYRE_ENGINE_VALUES,
        [NODE_KQ] = GYRE_ENGINE_QUERIES,
        [NODE_SOFTMAX] = GYRE_ENGINE_QUERIES,
        [NODE_BEFORE_ROPE] = GYRE_ENGINE_KEYS_BEFORE_ROPE,
        [NODE_Q_ROPE] = GYRE_ENGINE_QUERIES_AT_ROPE,
    };
    return (e->events & events_of[kind]) != 0 && (e->wanted == NULL || e->wanted[layer]);
}

static bool is_view(const struct ggml_tensor *t)
{
    return t->op == GGML_OP_RESHAPE || t->op == GGML_OP_VIEW || t->op == GGML_OP_PERMUTE || t->op == GGML_OP_TRANSPOSE || t->op == GGML_OP_CONT;
}

/* The first node at or behind t that computes something. */
static const struct ggml_tensor *behind_views(const struct ggml_tensor *t)
{
    for (int i = 0; i < MAX_WALK && t != NULL && is_view(t) && t->src[0] != NULL; i++)
        t = t->src[0];
    return t;
}

/* The node at or behind t that shows its rows as [dim, heads, tokens]. Of one token any shape would fit: the one with most heads is meant, but never
 * heads of one value, as the flat rows of a transposed cache look. */
static const struct ggml_tensor *split_in_heads(const struct ggml_tensor *t, size_t n_tokens)
{
    int64_t total = ggml_nelements(t), n = (int64_t)n_tokens;
    const struct ggml_tensor *best = NULL;
    for (int i = 0; i < MAX_WALK && t != NULL; i++) {
        if (t->ne[0] > 1 && t->ne[2] == n && t->ne[3] == 1 && t->ne[0] * t->ne[1] * n == total && (best == NULL || t->ne[1] > best->ne[1]))
            best = t;
        if (!is_view(t))
            break;
        t = t->src[0];
    }
    return best;
}

/* Floats in main memory, whose bytes we may read. */
static bool readable(const struct ggml_tensor *t, enum ggml_type type)
{
    const struct ggml_tensor *root = t->view_src != NULL ? t->view_src : t;
    return t->type == type && t->data != NULL && root->buffer != NULL && ggml_backend_buffer_is_host(root->buffer);
}

static float float_at(const struct ggml_tensor *t, size_t i0, size_t i1, size_t i2)
{
    float value;
    memcpy(&value, (const char *)t->data + i0 * t->nb[0] + i1 * t->nb[1] + i2 * t->nb[2], sizeof value);
    return value;
}

static float op_float(const struct ggml_tensor *t, size_t index)
{
    float value;
    memcpy(&value, &t->op_params[index], sizeof value);
    return value;
}

static gyre_status grow(float **buffer, size_t *capacity, size_t count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (count > *capacity) {
        free(*buffer);
        *buffer = NULL;
        *capacity = 0;
        GYRE_NEW(buffer, count);
        *capacity = count;
    }
done:
    return st;
}

/* Calls the hook, which may write to what `shown` stands for while it runs. */
static gyre_status deliver(gyre_engine *e, const gyre_engine_rows *rows, const struct ggml_tensor *shown, gyre_error *err)
{
    if ((e->events & (unsigned)rows->event) == 0)
        return GYRE_OK;
    e->inside = (unsigned)rows->event;
    e->shown = shown;
    e->shown_layer = rows->layer;
    gyre_status st = e->hook(e->user, rows, err);
    e->inside = 0;
    return st;
}

/* ---- facts of a layer ---- */

static gyre_status read_rope(layer_facts *facts, const struct ggml_tensor *rope, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int32_t mode = rope->op_params[2], n_rot = rope->op_params[1];
    const struct ggml_tensor *factors = rope->src[2];
    bool plain = rope->op_params[15] == 0 && n_rot > 0 && n_rot <= rope->ne[0];
    facts->rope = (gyre_rope){
        .kind = plain && mode == GGML_ROPE_TYPE_NORMAL ? GYRE_ROPE_NORMAL : plain && mode == GGML_ROPE_TYPE_NEOX ? GYRE_ROPE_NEOX : GYRE_ROPE_OTHER,
        .n_rot = (uint32_t)(n_rot > 0 ? n_rot : 0),
        .n_ctx_orig = (uint32_t)rope->op_params[4],
        .base = op_float(rope, 5),
        .freq_scale = op_float(rope, 6),
        .ext_factor = op_float(rope, 7),
        .attn_factor = op_float(rope, 8),
        .beta_fast = op_float(rope, 9),
        .beta_slow = op_float(rope, 10),
    };
    if (factors != NULL) {
        size_t n = facts->rope.n_rot / 2;
        if (!readable(factors, GGML_TYPE_F32) || (size_t)factors->ne[0] < n)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "the RoPE factors cannot be read");
        GYRE_NEW(&facts->factors, n + 1);
        memcpy(facts->factors, factors->data, n * sizeof(float));
        facts->rope.factors = facts->factors;
    }
done:
    return st;
}

/* `sum` is the ADD that made the rows that `rows` views: its src[1] holds the bias, for fused projections at the offset of the view. */
static gyre_status read_bias(layer_facts *facts, const struct ggml_tensor *rows, const struct ggml_tensor *sum, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *all = NULL;
    const struct ggml_tensor *bias = sum->src[1];
    size_t n = (size_t)(rows->ne[0] * rows->ne[1]), width = (size_t)bias->ne[0], first = rows->view_src == sum ? rows->view_offs / sizeof(float) : 0;
    const struct ggml_type_traits *traits = ggml_get_type_traits(bias->type);
    if (ggml_nrows(bias) != 1 || first + n > width)
        goto done; /* another kind of sum: no bias of ours */
    if (!readable(bias, bias->type) || (bias->type != GGML_TYPE_F32 && traits->to_float == NULL))
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "the key bias '%s' cannot be read", bias->name);
    GYRE_NEW(&all, width);
    GYRE_NEW(&facts->bias, n);
    if (bias->type == GGML_TYPE_F32)
        memcpy(all, bias->data, width * sizeof(float));
    else
        traits->to_float(bias->data, all, (int64_t)width);
    memcpy(facts->bias, all + first, n * sizeof(float));
done:
    free(all);
    return st;
}

/* Follows the key rows back: [views] ROPE [views] ADD bias, or no RoPE at all, or something this code does not know (kind OTHER). */
static gyre_status read_facts(layer_facts *facts, const struct ggml_tensor *keys, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const struct ggml_tensor *t = behind_views(keys), *before = keys;
    if (t->op == GGML_OP_ROPE) {
        GYRE_TRY(read_rope(facts, t, err));
        before = t->src[0];
    } else {
        const struct ggml_tensor *up = t;
        for (int i = 0; i < MAX_WALK && up != NULL && up->op != GGML_OP_ROPE && up->op != GGML_OP_MUL_MAT; i++)
            up = up->src[0];
        bool projection = up != NULL && up->op == GGML_OP_MUL_MAT;
        facts->rope.kind = projection ? GYRE_ROPE_NONE : GYRE_ROPE_OTHER;
    }
    t = behind_views(before);
    if (t != NULL && t->op == GGML_OP_ADD && t->src[1] != NULL)
        GYRE_TRY(read_bias(facts, before, t, err));
    facts->n_kv_heads = (size_t)keys->ne[1];
    facts->known = true;
done:
    return st;
}

/* ---- events ---- */

/* Token i of the batch must go to cell first + i; in a transposed cache every value has its own index. */
static gyre_status check_cells(const gyre_engine *e, const cache_block *to, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const struct ggml_tensor *cells = to->write->src[1];
    size_t width = to->n_heads * to->dim, per_token = to->transposed ? width : 1;
    const char *next = cells->data;
    for (size_t token = 0; token < e->n_now; token++)
        for (size_t i = 0; i < per_token; i++, next += cells->nb[0]) {
            int64_t found;
            memcpy(&found, next, sizeof found);
            size_t wanted = e->first + token + (to->transposed ? i * to->n_cells : 0);
            if (found < 0 || (size_t)found != wanted)
                GYRE_FAIL(GYRE_E_UNSUPPORTED, "token %zu is cached at %lld of '%s' instead of %zu", e->first + token, (long long)found,
                          to->write->view_src->name, wanted);
        }
done:
    return st;
}

/* Learns how a SET_ROWS node lays out the cache, and checks that this program can read and write it. */
static gyre_status read_block(const gyre_engine *e, uint32_t layer, const struct ggml_tensor *write, const struct ggml_tensor *heads, cache_block *block,
                              gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const struct ggml_tensor *source = write->src[0], *cells = write->src[1];
    size_t n0 = (size_t)source->ne[0], n1 = (size_t)source->ne[1], width = (size_t)(heads->ne[0] * heads->ne[1]);
    *block = (cache_block){.write = write, .layer = layer, .n_heads = (size_t)heads->ne[1], .dim = (size_t)heads->ne[0],
                           .n_cells = (size_t)ggml_nelements(write) / width, .transposed = n0 == 1};
    if (!readable(source, GGML_TYPE_F32) || !readable(cells, GGML_TYPE_I64) || !readable(write, GGML_TYPE_F32) || n0 * n1 != width * e->n_now
        || (n0 != width && n0 != 1) || (size_t)cells->ne[0] != n1 || write->ne[0] != source->ne[0] || !ggml_is_contiguous(write)
        || (size_t)ggml_nelements(write) != block->n_cells * width || block->n_cells < e->first + e->n_now)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "the rows written to '%s' have a layout this program does not know", write->view_src->name);
    GYRE_TRY(check_cells(e, block, err));
done:
    return st;
}

/* The rows that a SET_ROWS node writes, as [token][head][dim]: both layouts read them token after token. In place where there are no gaps. */
static gyre_status gather_write(gyre_engine *e, const struct ggml_tensor *source, const float **rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n0 = (size_t)source->ne[0], n1 = (size_t)source->ne[1];
    *rows = source->data;
    if (!ggml_is_contiguous(source)) {
        GYRE_TRY(grow(&e->rows, &e->rows_capacity, n0 * n1, err));
        for (size_t i1 = 0; i1 < n1; i1++)
            for (size_t i0 = 0; i0 < n0; i0++)
                e->rows[i1 * n0 + i0] = float_at(source, i0, i1, 0);
        *rows = e->rows;
    }
done:
    return st;
}

static gyre_status on_write(gyre_engine *e, node_kind kind, uint32_t layer, const struct ggml_tensor *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    layer_facts *facts = &e->layers[layer];
    gyre_stream stream = kind == NODE_K ? GYRE_K : GYRE_V;
    const struct ggml_tensor *heads = split_in_heads(t->src[0], e->n_now);
    if (heads == NULL)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "the rows written to '%s' do not come as heads", t->view_src->name);
    if (kind == NODE_K && !facts->known)
        GYRE_TRY(read_facts(facts, heads, err));
    GYRE_TRY(read_block(e, layer, t, heads, &e->blocks[stream], err));
    gyre_engine_rows rows = {
        .event = kind == NODE_K ? GYRE_ENGINE_KEYS : GYRE_ENGINE_VALUES,
        .layer = layer,
        .first = e->first,
        .n_tokens = e->n_now,
        .n_heads = (size_t)heads->ne[1],
        .dim = (size_t)heads->ne[0],
        .rope = kind == NODE_K ? &facts->rope : NULL,
        .bias = kind == NODE_K ? facts->bias : NULL,
        .n_kv_heads = (size_t)heads->ne[1],
    };
    GYRE_TRY(gather_write(e, t->src[0], &rows.rows, err));
    GYRE_TRY(deliver(e, &rows, t, err));
done:
    return st;
}

/* A tensor that steps through dim, then tokens and heads in nb[token_axis], nb[head_axis], as [token][head][dim]; in place where it is that already. */
static gyre_status gather_heads(gyre_engine *e, const struct ggml_tensor *t, bool heads_inside, gyre_engine_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t dim = (size_t)t->ne[0], heads = (size_t)t->ne[heads_inside ? 1 : 2], tokens = (size_t)t->ne[heads_inside ? 2 : 1];
    size_t head_step = t->nb[heads_inside ? 1 : 2], token_step = t->nb[heads_inside ? 2 : 1];
    if (!readable(t, GGML_TYPE_F32) || t->ne[3] != 1 || tokens != e->n_now || t->nb[0] != sizeof(float))
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "'%s' has a layout this program does not know", t->name);
    rows->first = e->first;
    rows->n_tokens = tokens;
    rows->n_heads = heads;
    rows->dim = dim;
    rows->rows = t->data;
    if (!heads_inside || !ggml_is_contiguous(t)) {
        GYRE_TRY(grow(&e->rows, &e->rows_capacity, dim * heads * tokens, err));
        for (size_t token = 0; token < tokens; token++)
            for (size_t head = 0; head < heads; head++)
                memcpy(e->rows + (token * heads + head) * dim, (const char *)t->data + token * token_step + head * head_step, dim * sizeof(float));
        rows->rows = e->rows;
    }
done:
    return st;
}

/* kq = K^T q: keeps the queries, and the scores if asked, until the softmax tells scale and mask. */
static gyre_status on_kq(gyre_engine *e, uint32_t layer, const struct ggml_tensor *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_engine_rows *rows = &e->queries;
    *rows = (gyre_engine_rows){.event = GYRE_ENGINE_QUERIES, .layer = layer, .n_kv_heads = (size_t)t->src[0]->ne[2]};
    GYRE_TRY(gather_heads(e, t->src[1], false, rows, err));
    if (rows->n_kv_heads == 0 || rows->n_heads % rows->n_kv_heads != 0 || rows->n_kv_heads != e->layers[layer].n_kv_heads)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "%zu query heads over %zu key heads, where %zu were cached", rows->n_heads, rows->n_kv_heads,
                  e->layers[layer].n_kv_heads);
    rows->n_cells = (size_t)t->ne[0];
    if ((e->events & GYRE_ENGINE_SCORES) != 0) {
        if (!readable(t, GGML_TYPE_F32) || !ggml_is_contiguous(t) || rows->n_cells < e->first + e->n_now)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "'%s' has a layout this program does not know", t->name);
        size_t count = (size_t)ggml_nelements(t);
        GYRE_TRY(grow(&e->scores, &e->scores_capacity, count, err));
        memcpy(e->scores, t->data, count * sizeof(float));
        rows->scores = e->scores;
    }
done:
    return st;
}

static float mask_at(const struct ggml_tensor *mask, size_t cell, size_t token)
{
    if (mask->type == GGML_TYPE_F32)
        return float_at(mask, cell, token, 0);
    ggml_fp16_t half;
    memcpy(&half, (const char *)mask->data + cell * mask->nb[0] + token * mask->nb[1], sizeof half);
    return ggml_fp16_to_fp32(half);
}

/* The mask must let the token at position p see exactly the cells max(0, p - w + 1) .. p, for one w; *window = w, or 0 when nothing before p is ever
 * hidden. */
static gyre_status read_window(const gyre_engine *e, const struct ggml_tensor *mask, uint32_t *window, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t end = e->first + e->n_now;
    if (mask == NULL || !readable(mask, mask->type) || (mask->type != GGML_TYPE_F32 && mask->type != GGML_TYPE_F16) || (size_t)mask->ne[1] < e->n_now
        || (size_t)mask->ne[0] < end)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "attention without a mask that this program can read");
    size_t n_cells = (size_t)mask->ne[0], seen = 0;
    for (size_t cell = 0; cell < n_cells; cell++)
        seen += mask_at(mask, cell, e->n_now - 1) == 0.0f;
    for (size_t token = 0; token < e->n_now; token++)
        for (size_t cell = 0; cell < n_cells; cell++) {
            size_t position = e->first + token;
            bool expected = cell <= position && cell + seen > position;
            float value = mask_at(mask, cell, token);
            if (expected ? value != 0.0f : !(isinf(value) && value < 0))
                GYRE_FAIL(GYRE_E_UNSUPPORTED, "the attention mask is neither causal nor a sliding window (token %zu, cell %zu: %g)", position, cell,
                          (double)value);
        }
    *window = seen < end ? (uint32_t)seen : 0;
done:
    return st;
}

static gyre_status on_softmax(gyre_engine *e, uint32_t layer, const struct ggml_tensor *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t behind;
    const struct ggml_tensor *scores = behind_views(t->src[0]);
    if (classify(e, scores, &behind) != NODE_KQ || behind != layer || e->queries.layer != layer)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "scores pass through %s before the softmax (soft-capping?)", ggml_op_name(scores->op));
    if (t->src[2] != NULL)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "the softmax has attention sinks");
    if (op_float(t, 1) != 0.0f)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "the softmax adds ALiBi slopes");
    e->queries.score_scale = op_float(t, 0);
    GYRE_TRY(read_window(e, t->src[1], &e->queries.sliding_window, err));
    GYRE_TRY(deliver(e, &e->queries, t, err));
done:
    return st;
}

/* Keys before RoPE, or queries after it: nodes that show heads. */
static gyre_status on_heads(gyre_engine *e, gyre_engine_event event, uint32_t layer, const struct ggml_tensor *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_engine_rows rows = {.event = event, .layer = layer};
    GYRE_TRY(gather_heads(e, t, true, &rows, err));
    if (event == GYRE_ENGINE_KEYS_BEFORE_ROPE)
        rows.n_kv_heads = rows.n_heads;
    GYRE_TRY(deliver(e, &rows, t, err));
done:
    return st;
}

static gyre_status on_data(gyre_engine *e, node_kind kind, uint32_t layer, const struct ggml_tensor *t, gyre_error *err)
{
    switch (kind) {
    case NODE_K:
    case NODE_V:
        return on_write(e, kind, layer, t, err);
    case NODE_KQ:
        return on_kq(e, layer, t, err);
    case NODE_SOFTMAX:
        return on_softmax(e, layer, t, err);
    case NODE_BEFORE_ROPE:
        return on_heads(e, GYRE_ENGINE_KEYS_BEFORE_ROPE, layer, t, err);
    case NODE_Q_ROPE:
        return on_heads(e, GYRE_ENGINE_QUERIES_AT_ROPE, layer, t, err);
    case NODE_OTHER:
        break;
    }
    return GYRE_OK;
}

static void count_node(gyre_engine *e, node_kind kind, uint32_t layer)
{
    e->layers[layer].n_k += kind == NODE_K;
    e->layers[layer].n_v += kind == NODE_V;
    e->layers[layer].has_query |= kind == NODE_Q_ROPE;
}

static bool on_node(struct ggml_tensor *t, bool ask, void *user)
{
    gyre_engine *e = user;
    uint32_t layer = 0;
    node_kind kind = classify(e, t, &layer);
    if (kind == NODE_OTHER)
        return !ask;
    if (ask) {
        count_node(e, kind, layer);
        return e->fault_status == GYRE_OK && wants(e, kind, layer);
    }
    if (e->fault_status == GYRE_OK) {
        e->fault_status = on_data(e, kind, layer, t, &e->fault);
        if (e->fault_status == GYRE_E_UNSUPPORTED)
            (void)gyre_error_context(&e->fault, "layer %lu", (unsigned long)layer);
    }
    return true;
}

/* ---- opening ---- */

/* Keeps the first line of level error: the reason of a failed load. */
static void on_log(enum ggml_log_level level, const char *text, void *user)
{
    gyre_engine *e = user;
    if (e == NULL || level != GGML_LOG_LEVEL_ERROR || e->reason[0] != '\0')
        return;
    size_t n = strcspn(text, "\n");
    (void)snprintf(e->reason, sizeof e->reason, "%.*s", (int)(n < TEXT ? n : TEXT - 1), text);
}

static gyre_status check_magic(const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    unsigned char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot open the model %s: no such file, or not readable (scripts/fetch-model prints where it keeps models)", path);
    size_t n = fread(magic, 1, sizeof magic, f);
    if (n != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s is not a GGUF model: its first bytes are not 'GGUF'; convert the model with llama.cpp first", path);
done:
    if (f != NULL)
        (void)fclose(f);
    return st;
}

static void meta_text(const struct llama_model *model, const char *key, char text[TEXT])
{
    if (llama_model_meta_val_str(model, key, text, TEXT) < 0)
        text[0] = '\0';
}

static void describe(gyre_engine *e)
{
    meta_text(e->model, "general.architecture", e->architecture);
    meta_text(e->model, "general.name", e->name);
    meta_text(e->model, "general.license", e->licence);
    if (llama_model_desc(e->model, e->file_type, sizeof e->file_type) < 0)
        e->file_type[0] = '\0';
    (void)snprintf(e->flags, sizeof e->flags, "%s; F32 cache, flash attention off, no repacked weights", llama_print_system_info());
    e->info = (gyre_engine_info){
#ifdef GYRE_LLAMA_VERSION
        .version = llama_version(),
#else
        .version = "llama.cpp of unknown version",
#endif
        .flags = e->flags,
        .architecture = e->architecture,
        .name = e->name,
        .licence = e->licence,
        .file_type = e->file_type,
        .n_layers = (uint32_t)llama_model_n_layer(e->model),
        .n_context = (uint32_t)llama_model_n_ctx_train(e->model),
        .n_vocabulary = (uint32_t)llama_vocab_n_tokens(e->vocabulary),
        .has_tokenizer = llama_vocab_type(e->vocabulary) != LLAMA_VOCAB_TYPE_NONE,
        .adds_bos = llama_vocab_get_add_bos(e->vocabulary),
        .bos = llama_vocab_bos(e->vocabulary),
    };
}

static gyre_status load_model(gyre_engine *e, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    params.use_extra_bufts = false;
    e->model = llama_model_load_from_file(path, params);
    if (e->model == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "libllama cannot load %s: %s", path, e->reason[0] != '\0' ? e->reason : "it gave no reason");
    e->vocabulary = llama_model_get_vocab(e->model);
    describe(e);
    if (llama_model_has_encoder(e->model) || !llama_model_has_decoder(e->model) || llama_model_is_recurrent(e->model))
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "%s (%s) is not a decoder with a KV cache", path, e->architecture);
    if (e->max_tokens > e->info.n_context)
        GYRE_FAIL(GYRE_E_INPUT, "%zu tokens asked, but %s was made for at most %lu: ask for a smaller context", e->max_tokens, path, (unsigned long)e->info.n_context);
done:
    return st;
}

/* Bytes of the cache of max_tokens tokens, where all layers are like the first. */
static double cache_bytes(const gyre_engine *e)
{
    char key[2 * TEXT], text[TEXT];
    double dim = (double)llama_model_n_embd(e->model) / llama_model_n_head(e->model);
    (void)snprintf(key, sizeof key, "%s.attention.key_length", e->architecture);
    meta_text(e->model, key, text);
    if (text[0] != '\0')
        dim = strtod(text, NULL);
    return 2.0 * sizeof(float) * dim * llama_model_n_head_kv(e->model) * e->info.n_layers * (double)e->max_tokens;
}

static gyre_status make_context(gyre_engine *e, const char *path, unsigned threads, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)e->max_tokens;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = (int32_t)threads;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.swa_full = true;
    params.offload_kqv = false;
    params.op_offload = false;
    params.no_perf = true;
    params.cb_eval = on_node;
    params.cb_eval_user_data = e;
    e->context = llama_init_from_model(e->model, params);
    if (e->context == NULL)
        GYRE_FAIL(strstr(e->reason, "alloc") != NULL ? GYRE_E_MEMORY : GYRE_E_UNSUPPORTED,
                  "libllama cannot make a context of %zu tokens for %s: %s; its cache takes about %.0f MiB: if memory is short, ask for a smaller context",
                  e->max_tokens, path, e->reason[0] != '\0' ? e->reason : "it gave no reason", ceil(cache_bytes(e) / 1048576));
    e->batch = llama_batch_init((int32_t)e->max_tokens, 0, 1);
    GYRE_NEW(&e->layers, e->info.n_layers);
done:
    return st;
}

/* Structures go by value, so the library that is loaded must be the one whose headers were compiled. */
static gyre_status check_library(gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)err;
#ifdef GYRE_LLAMA_VERSION
    if (strcmp(llama_version(), GYRE_LLAMA_VERSION) != 0)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "libllama %s is loaded, and this program was built for %s, whose structures may differ: configure and build again", llama_version(), GYRE_LLAMA_VERSION);
done:
#endif
    return st;
}

gyre_status gyre_engine_open(const char *path, size_t max_tokens, unsigned threads, gyre_engine **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_engine *e = NULL;
    *out = NULL;
    if (max_tokens < 2 || max_tokens > INT32_MAX)
        GYRE_FAIL(GYRE_E_USAGE, "a chunk needs 2 tokens at least, %zu were asked", max_tokens);
    GYRE_TRY(check_library(err));
    GYRE_TRY(check_magic(path, err));
    GYRE_NEW(&e, 1);
    e->max_tokens = max_tokens;
    if (threads == 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        threads = n > 0 ? (unsigned)n : 1;
    }
    ggml_backend_load_all();
    llama_backend_init();
    llama_log_set(on_log, e);
    GYRE_TRY(load_model(e, path, err));
    GYRE_TRY(make_context(e, path, threads, err));
    *out = e;
done:
    if (st != GYRE_OK)
        gyre_engine_close(e);
    return st;
}

void gyre_engine_close(gyre_engine *e)
{
    if (e == NULL)
        return;
    llama_log_set(on_log, NULL);
    for (size_t i = 0; e->layers != NULL && i < e->info.n_layers; i++) {
        free(e->layers[i].factors);
        free(e->layers[i].bias);
    }
    free(e->layers);
    free(e->rows);
    free(e->scores);
    if (e->batch.token != NULL)
        llama_batch_free(e->batch);
    if (e->context != NULL)
        llama_free(e->context);
    if (e->model != NULL)
        llama_model_free(e->model);
    free(e);
}

const gyre_engine_info *gyre_engine_describe(const gyre_engine *e)
{
    return &e->info;
}

void gyre_engine_set_hook(gyre_engine *e, unsigned events, const bool *layers, gyre_engine_hook fn, void *user)
{
    e->events = events;
    e->wanted = layers;
    e->hook = fn;
    e->user = user;
}

/* ---- text and chunks ---- */

gyre_status gyre_engine_tokenize(gyre_engine *e, const char *text, size_t size, int32_t **tokens, size_t *n_tokens, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *tokens = NULL;
    *n_tokens = 0;
    if (!e->info.has_tokenizer)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "this GGUF carries no tokenizer, so text cannot be given to it");
    if (size > MAX_TEXT_BYTES)
        GYRE_FAIL(GYRE_E_INPUT, "a text of %zu bytes is too long to be tokenized at once", size);
    int32_t needed = -llama_tokenize(e->vocabulary, text, (int32_t)size, NULL, 0, true, false);
    if (needed <= 0)
        goto done;
    GYRE_NEW(tokens, (size_t)needed);
    int32_t n = llama_tokenize(e->vocabulary, text, (int32_t)size, *tokens, needed, true, false);
    if (n < 0)
        GYRE_FAIL(GYRE_E_INPUT, "libllama could not tokenize the text");
    *n_tokens = (size_t)n;
done:
    if (st != GYRE_OK) {
        free(*tokens);
        *tokens = NULL;
    }
    return st;
}

static gyre_status check_chunk(const gyre_engine *e, const gyre_engine_chunk *chunk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (chunk->n_tokens < 2 || chunk->n_tokens > e->max_tokens)
        GYRE_FAIL(GYRE_E_INTERNAL, "a chunk of %zu tokens in an engine opened for 2 to %zu", chunk->n_tokens, e->max_tokens);
    if (chunk->end_logit > chunk->n_tokens || (chunk->end_logit > chunk->first_logit && chunk->take == NULL))
        GYRE_FAIL(GYRE_E_INTERNAL, "logits %zu to %zu of a chunk of %zu tokens, or nobody to take them", chunk->first_logit, chunk->end_logit,
                  chunk->n_tokens);
    for (size_t i = 0; i < chunk->n_tokens; i++)
        if (chunk->tokens[i] < 0 || (uint32_t)chunk->tokens[i] >= e->info.n_vocabulary)
            GYRE_FAIL(GYRE_E_INPUT, "token %zu is %ld, outside the vocabulary of %lu", i, (long)chunk->tokens[i], (unsigned long)e->info.n_vocabulary);
done:
    return st;
}

/* Tokens first..first+n-1; returns how many logits they give. */
static size_t fill_batch(gyre_engine *e, const gyre_engine_chunk *chunk, size_t first, size_t n)
{
    size_t n_logits = 0;
    for (size_t i = 0; i < n; i++) {
        bool wanted = first + i >= chunk->first_logit && first + i < chunk->end_logit;
        e->batch.token[i] = chunk->tokens[first + i];
        e->batch.pos[i] = (llama_pos)(first + i);
        e->batch.n_seq_id[i] = 1;
        e->batch.seq_id[i][0] = 0;
        e->batch.logits[i] = wanted;
        n_logits += wanted;
    }
    e->batch.n_tokens = (int32_t)n;
    e->first = first;
    e->n_now = n;
    return n_logits;
}

/* One K and one V write in every layer, and the queries that were asked for. */
static gyre_status check_graph(const gyre_engine *e, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n_writes = 0;
    bool all = true;
    for (uint32_t i = 0; i < e->info.n_layers; i++) {
        n_writes += e->layers[i].n_k + e->layers[i].n_v;
        all = all && e->layers[i].n_k == 1 && e->layers[i].n_v == 1;
    }
    if (!all)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "architecture %s: its graph writes %zu cache blocks for %lu layers instead of one K and one V each (%s)",
                  e->architecture, n_writes, (unsigned long)e->info.n_layers, "latent, shared or recurrent caches are not supported");
    for (uint32_t i = 0; i < e->info.n_layers; i++)
        if (wants(e, NODE_Q_ROPE, i) && !e->layers[i].has_query)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "architecture %s: layer %lu has no queries that leave a RoPE node named Qcur, so they cannot be rewritten there",
                      e->architecture, (unsigned long)i);
done:
    return st;
}

static gyre_status run_batch(gyre_engine *e, const gyre_engine_chunk *chunk, size_t first, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n_logits = fill_batch(e, chunk, first, n);
    for (uint32_t i = 0; i < e->info.n_layers; i++) {
        e->layers[i].n_k = e->layers[i].n_v = 0;
        e->layers[i].has_query = false;
    }
    e->fault_status = GYRE_OK;
    e->reason[0] = '\0';
    int32_t code = llama_decode(e->context, e->batch);
    if (e->fault_status != GYRE_OK) {
        if (err != NULL)
            *err = e->fault;
        GYRE_TRY(e->fault_status);
    }
    if (code != 0)
        GYRE_FAIL(GYRE_E_INTERNAL, "libllama failed on tokens %zu to %zu of a chunk (code %ld): %s", first, first + n - 1, (long)code,
                  e->reason[0] != '\0' ? e->reason : "it gave no reason");
    GYRE_TRY(check_graph(e, err));
    if (n_logits > 0) {
        const float *logits = llama_get_logits(e->context);
        if (logits == NULL)
            GYRE_FAIL(GYRE_E_INTERNAL, "libllama has no logits of tokens %zu to %zu", first, first + n - 1);
        GYRE_TRY(chunk->take(chunk->user, first > chunk->first_logit ? first : chunk->first_logit, n_logits, logits, err));
    }
done:
    return st;
}

gyre_status gyre_engine_decode(gyre_engine *e, const gyre_engine_chunk *chunk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t batch = chunk->batch == 0 ? chunk->n_tokens : chunk->batch;
    GYRE_TRY(check_chunk(e, chunk, err));
    llama_memory_clear(llama_get_memory(e->context), true);
    for (size_t first = 0; first < chunk->n_tokens; first += batch) {
        size_t left = chunk->n_tokens - first;
        GYRE_TRY(run_batch(e, chunk, first, left < batch ? left : batch, err));
    }
done:
    return st;
}

/* ---- writing ---- */

/* dst[value][cell] = rows[token][value] in tiles: a line of the rows is read once, and neighbouring cells are written together. */
static void write_transposed(float *dst, size_t n_cells, const float *rows, size_t n, size_t width)
{
    for (size_t v0 = 0; v0 < width; v0 += TILE_VALUES)
        for (size_t t0 = 0; t0 < n; t0 += TILE_TOKENS) {
            size_t v1 = v0 + TILE_VALUES < width ? v0 + TILE_VALUES : width, t1 = t0 + TILE_TOKENS < n ? t0 + TILE_TOKENS : n;
            for (size_t v = v0; v < v1; v++)
                for (size_t t = t0; t < t1; t++)
                    dst[v * n_cells + t] = rows[t * width + v];
        }
}

gyre_status gyre_engine_write(gyre_engine *e, gyre_stream stream, uint32_t layer, size_t first, size_t n, const float *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const cache_block *to = &e->blocks[stream];
    bool now = e->inside == GYRE_ENGINE_VALUES || (e->inside == GYRE_ENGINE_KEYS && stream == GYRE_K);
    if (!now || layer != e->shown_layer || layer != to->layer)
        GYRE_FAIL(GYRE_E_INTERNAL, "%s of layer %lu may be written in their own event only, keys in that of the values too", stream == GYRE_K ? "keys" : "values",
                  (unsigned long)layer);
    if (first > e->first + e->n_now || n > e->first + e->n_now - first)
        GYRE_FAIL(GYRE_E_INTERNAL, "rows %zu to %zu written where %zu tokens are known", first, first + n, e->first + e->n_now);
    size_t width = to->n_heads * to->dim;
    float *cache = to->write->data;
    if (to->transposed)
        write_transposed(cache + first, to->n_cells, rows, n, width);
    else
        memcpy(cache + first * width, rows, n * width * sizeof *rows);
done:
    return st;
}

gyre_status gyre_engine_write_queries(gyre_engine *e, const float *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const struct ggml_tensor *t = e->shown;
    if (e->inside != GYRE_ENGINE_QUERIES_AT_ROPE)
        GYRE_FAIL(GYRE_E_INTERNAL, "queries may be written in the event QUERIES_AT_ROPE only");
    size_t dim = (size_t)t->ne[0], heads = (size_t)t->ne[1];
    for (size_t token = 0; token < e->n_now; token++)
        for (size_t head = 0; head < heads; head++)
            memmove((char *)t->data + token * t->nb[2] + head * t->nb[1], rows + (token * heads + head) * dim, dim * sizeof *rows);
done:
    return st;
}

/* ---- self-test ---- */

typedef struct trial {
    gyre_engine *engine;
    char (*digests)[GYRE_SHA256_HEX]; /* of every token's logits, without a hook */
    bool compare;
    size_t n_heads, dim; /* of the layer's keys */
} trial;

/* Keeps or compares digests instead of the logits: with a large vocabulary these take as much memory as the model. */
static gyre_status take_digests(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    trial *t = user;
    size_t n = t->engine->info.n_vocabulary;
    for (size_t i = 0; i < count; i++) {
        char digest[GYRE_SHA256_HEX];
        GYRE_TRY(gyre_sha256_bytes(logits + i * n, n * sizeof *logits, t->compare ? digest : t->digests[first + i], err));
        if (t->compare && strcmp(digest, t->digests[first + i]) != 0)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "architecture %s: writing every cached row back as it is changes the logits of token %zu", t->engine->architecture,
                      first + i);
    }
done:
    return st;
}

/* Does the cache hold these rows where gyre_engine_write would put them? */
static bool holds(const gyre_engine *e, gyre_stream stream, const float *rows)
{
    const cache_block *b = &e->blocks[stream];
    size_t width = b->n_heads * b->dim;
    const float *cache = b->write->data;
    for (size_t t = 0; t < e->n_now; t++)
        for (size_t v = 0; v < width; v++) {
            size_t at = b->transposed ? v * b->n_cells + e->first + t : (e->first + t) * width + v;
            if (memcmp(cache + at, rows + t * width + v, sizeof *rows) != 0)
                return false;
        }
    return true;
}

static gyre_status write_back(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    trial *t = user;
    gyre_stream stream = rows->event == GYRE_ENGINE_KEYS ? GYRE_K : GYRE_V;
    if (!holds(t->engine, stream, rows->rows))
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "architecture %s: the %s cache does not hold the rows that were written to it", t->engine->architecture,
                  stream == GYRE_K ? "K" : "V");
    if (stream == GYRE_K) {
        t->n_heads = rows->n_heads;
        t->dim = rows->dim;
    } else if (rows->n_heads != t->n_heads || rows->dim != t->dim) {
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "architecture %s: %zu heads with keys of %zu, %zu with values of %zu coordinates", t->engine->architecture, t->n_heads,
                  t->dim, rows->n_heads, rows->dim);
    }
    GYRE_TRY(gyre_engine_write(t->engine, stream, rows->layer, rows->first, rows->n_tokens, rows->rows, err));
done:
    return st;
}

gyre_status gyre_engine_self_test(gyre_engine *e, const int32_t *tokens, size_t n_tokens, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    trial t = {.engine = e};
    gyre_engine_chunk chunk = {.tokens = tokens, .n_tokens = n_tokens, .end_logit = n_tokens, .take = take_digests, .user = &t};
    GYRE_NEW(&t.digests, n_tokens);
    gyre_engine_set_hook(e, 0, NULL, NULL, NULL);
    GYRE_TRY(gyre_engine_decode(e, &chunk, err));
    t.compare = true;
    gyre_engine_set_hook(e, GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES, NULL, write_back, &t);
    GYRE_TRY(gyre_engine_decode(e, &chunk, err));
    for (uint32_t i = 0; i < e->info.n_layers; i++)
        if (!e->layers[i].known)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "architecture %s: nothing could be read about the keys of layer %lu", e->architecture, (unsigned long)i);
done:
    gyre_engine_set_hook(e, 0, NULL, NULL, NULL);
    free(t.digests);
    return st;
}

void gyre_engine_on_abort(void (*last_words)(const char *message))
{
    (void)ggml_set_abort_callback(last_words);
}
