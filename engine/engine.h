/* A language model whose KV cache can be watched and rewritten.
 *
 * open, describe, tokenize, self-test, decode a chunk, hook, write (and close). One implementation on libllama (engine_llama.c), one that says that there is
 * none (engine_none.c). Fixed settings, because anything else changes numbers: processor only, no repacked weights, flash attention off, keys and
 * values cached as binary32, cache emptied before each chunk.
 *
 * Errors: GYRE_E_INPUT (not a GGUF, damaged, text or context too short), GYRE_E_UNSUPPORTED (no libllama, or a graph this code does not know),
 * GYRE_E_NAN is the caller's to find. libllama may call abort() on a hostile file: gyre_capture_run therefore works in a child process.
 * Threading: one engine belongs to one thread; libllama's log is process-wide, so only the engine opened last reports reasons.
 */
#ifndef GYRE_ENGINE_ENGINE_H
#define GYRE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/site.h"
#include "core/status.h"

typedef struct gyre_engine gyre_engine;

/* What open found out; owned by the engine. Texts are "" where the model does not say. */
typedef struct gyre_engine_info {
    const char *version;      /* of the library */
    const char *flags;        /* its build flags and our settings */
    const char *architecture; /* general.architecture */
    const char *name;         /* general.name */
    const char *licence;      /* general.license */
    const char *file_type;    /* architecture, size and weight type as the library describes them */
    uint32_t n_layers;
    uint32_t n_context;       /* tokens the model was made for */
    uint32_t n_vocabulary;
    bool has_tokenizer;
    bool adds_bos;
    int32_t bos;
} gyre_engine_info;

/* Things to be told about, or-ed together. */
typedef enum gyre_engine_event {
    GYRE_ENGINE_KEYS = 1,             /* rows written to the K cache (after RoPE) */
    GYRE_ENGINE_VALUES = 2,           /* rows written to the V cache */
    GYRE_ENGINE_QUERIES = 4,          /* final queries, with score scale and window */
    GYRE_ENGINE_SCORES = 8,           /* with QUERIES: also the graph's own q.k */
    GYRE_ENGINE_KEYS_BEFORE_ROPE = 16, /* what RoPE gets, where the graph names it (llama, qwen2) */
    GYRE_ENGINE_QUERIES_AT_ROPE = 32   /* queries as RoPE leaves them, before the graph's own scaling; gyre_engine_write_queries may replace them */
} gyre_engine_event;

/* One event: rows[token][head][dim] of one layer, valid during the call. Token i of it stands at position first + i of the chunk. */
typedef struct gyre_engine_rows {
    gyre_engine_event event;
    uint32_t layer;
    size_t first;
    size_t n_tokens, n_heads, dim;
    const float *rows;
    /* KEYS */
    const gyre_rope *rope;
    const float *bias;     /* key bias [n_heads * dim], added right before RoPE; NULL where there is none */
    /* QUERIES */
    size_t n_kv_heads;       /* query head h reads KV head h / (n_heads / n_kv_heads) */
    float score_scale;       /* logit = score_scale * q.k */
    uint32_t sliding_window; /* keys a query of this chunk sees, itself included; 0: all before it */
    const float *scores;     /* [head][token][cell], q.k before scale and mask; cell = token; NULL unless SCORES was asked */
    size_t n_cells;
} gyre_engine_rows;

/* Anything but GYRE_OK ends the chunk: no hook is called again, and gyre_engine_decode returns that error after the batch under way. */
typedef gyre_status (*gyre_engine_hook)(void *user, const gyre_engine_rows *rows, gyre_error *err);

/* Loads a GGUF for chunks of up to max_tokens tokens. threads 0: all processors. */
gyre_status gyre_engine_open(const char *path, size_t max_tokens, unsigned threads, gyre_engine **out, gyre_error *err);
void gyre_engine_close(gyre_engine *engine);

const gyre_engine_info *gyre_engine_describe(const gyre_engine *engine);

/* Tokens of a text, with BOS in front where the model adds one (special tokens in the text are read as text). Caller frees *tokens. */
gyre_status gyre_engine_tokenize(gyre_engine *engine, const char *text, size_t size, int32_t **tokens, size_t *n_tokens, gyre_error *err);

/* Calls fn for these events (or-ed gyre_engine_event) in the layers marked in `layers` (NULL: all). events 0 takes the hook away. */
void gyre_engine_set_hook(gyre_engine *engine, unsigned events, const bool *layers, gyre_engine_hook fn, void *user);

/* Inside a hook for KEYS or VALUES alone: replaces what the layer's cache holds at positions first..first+n-1 (at most the last token of the event),
 * rows[token][head][dim], before attention reads it. Tokens of earlier batches may be replaced too: later queries see it. Keys may still be replaced at the VALUES of
 * the same layer and batch, which come after them. The rows are not looked at: NaN is the caller's to refuse. GYRE_E_INTERNAL elsewhere. */
gyre_status gyre_engine_write(gyre_engine *engine, gyre_stream stream, uint32_t layer, size_t first, size_t n, const float *rows, gyre_error *err);

/* Inside a hook for QUERIES_AT_ROPE alone: replaces the queries of the event, rows[token][head][dim]. gyre_engine_decode says GYRE_E_UNSUPPORTED where a wanted layer
 * has no RoPE node of that name. */
gyre_status gyre_engine_write_queries(gyre_engine *engine, const float *rows, gyre_error *err);

/* logits[count][n_vocabulary] of tokens first..first+count-1, valid during the call. */
typedef gyre_status (*gyre_engine_take_logits)(void *user, size_t first, size_t count, const float *logits, gyre_error *err);

typedef struct gyre_engine_chunk {
    const int32_t *tokens;
    size_t n_tokens;
    size_t batch;                /* tokens given to the graph at a time; 0: all at once */
    size_t first_logit;          /* logits of tokens first_logit..end_logit-1 are wanted */
    size_t end_logit;            /* at most n_tokens; not above first_logit: none */
    gyre_engine_take_logits take; /* called batch after batch, in order; what it returns ends the chunk */
    void *user;
} gyre_engine_chunk;

/* Runs one chunk from an empty cache. Fails where the graph does not write one K and one V block per layer and batch. */
gyre_status gyre_engine_decode(gyre_engine *engine, const gyre_engine_chunk *chunk, gyre_error *err);

/* Is this a model whose cache the hook sees whole? Runs these tokens without a hook and with one that writes every row back as it is: the cache must hold the rows it was
 * given, all logits be equal bit for bit, one K and one V block of the same shape be seen per layer, and every layer's facts be readable. GYRE_E_UNSUPPORTED with what
 * was found otherwise (latent, hybrid or shared caches). Takes the hook away. */
gyre_status gyre_engine_self_test(gyre_engine *engine, const int32_t *tokens, size_t n_tokens, gyre_error *err);

/* What libllama is to call with its last words before it aborts (process-wide; for child processes). */
void gyre_engine_on_abort(void (*last_words)(const char *message));

#endif
