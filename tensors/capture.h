/* Capture files: real K, V and Q of a language model (HDF5; docs/capture-schema.md).
 *
 *   /layer_NN/k, v   [document, token, kv_head, dim]   K after RoPE as the cache holds it, in the model's own coordinate order
 *   /layer_NN/q      [document, query, q_head, dim]    final queries (after norm, RoPE, model's own scale), at the last positions
 *   /layer_NN/k_bias [kv_head, dim]                    where the model has one, in the model's own order (before RoPE)
 *   /pos, /token_id  [document, token];  /query_pos [document, query];  /document [document] (names; a dimension scale)
 *
 * Every document has the same number of tokens. Numbers are row-major; K/V/Q are stored as binary16 or binary32 (per dataset) and read as float.
 * Errors: GYRE_E_IO, GYRE_E_INPUT (foreign, truncated, missing object, wrong shape), GYRE_E_NAN. Threading: one gyre_capture per thread, or a lock.
 */
#ifndef GYRE_TENSORS_CAPTURE_H
#define GYRE_TENSORS_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/sha256.h"
#include "core/site.h"
#include "core/status.h"

#define GYRE_CAPTURE_SCHEMA "gyre-capture"
#define GYRE_CAPTURE_VERSION "1.0.0"

/* One document's provenance. */
typedef struct gyre_capture_document {
    const char *name;    /* short, unique in the file */
    const char *sha256;  /* of the text's bytes */
    const char *licence; /* SPDX expression, or "unknown" */
    const char *source;  /* where the text comes from; may be "" */
} gyre_capture_document;

/* One layer: shapes as above; all pointers owned by whoever made the struct. */
typedef struct gyre_capture_layer {
    uint32_t layer;
    size_t n_kv_heads, n_q_heads, dim;
    gyre_rope rope;          /* factors: n_rot/2 floats or NULL */
    float score_scale;       /* logits = score_scale * q.k */
    uint32_t sliding_window; /* keys a query sees, itself included; 0: all */
    float *k, *v, *q;        /* q may be NULL (capture without queries) */
    float *k_bias;           /* NULL where the model has none */
    uint32_t *kv_head_of;    /* [n_q_heads] */
    bool k_f32;              /* K stored as binary32 */
    double floor_nmse_centred; /* storage error of K: nmse about the mean over all rows of a head, worst head; 0 when nothing was lost */
} gyre_capture_layer;

/* A whole capture in memory: what the engine hands over to be written. */
typedef struct gyre_capture_data {
    const char *model_name, *architecture, *model_sha256, *model_file_type, *model_licence;
    const char *engine_version, *engine_flags, *command_line;
    const char *tokenizer_note; /* how BOS was treated */
    size_t n_documents, n_tokens, n_queries;
    const gyre_capture_document *documents;
    const int32_t *pos;       /* [document, token] */
    const int32_t *token_id;  /* [document, token] */
    const int32_t *query_pos; /* [document, query] */
    size_t n_layers;
    gyre_capture_layer *layers;
} gyre_capture_data;

/* Writes `path` through a commit. Decides k_f32 and the storage floor of each layer by the rule of the schema page (K becomes binary32 where
 * binary16 would cost more than 1 % of the centred 8-bit error); force_f32 stores everything as binary32 (tests). Refuses NaN and Inf. */
gyre_status gyre_capture_write(const char *path, gyre_capture_data *data, bool force_f32, gyre_error *err);

typedef struct gyre_capture gyre_capture;

/* Opens and checks schema, attributes and shapes (not yet the numbers). */
gyre_status gyre_capture_open(const char *path, gyre_capture **out, gyre_error *err);
void gyre_capture_close(gyre_capture *capture);

/* Everything but k, v, q (NULL there); owned by the capture. */
const gyre_capture_data *gyre_capture_info(const gyre_capture *capture);

/* Reads layer `index` (position in info->layers, not the model's number), refusing NaN/Inf with the document, token and head. Caller frees with
 * gyre_capture_layer_free; k_bias, factors and kv_head_of in it are borrowed from the capture. */
gyre_status gyre_capture_read_layer(gyre_capture *capture, size_t index, gyre_capture_layer *out, gyre_error *err);
void gyre_capture_layer_free(gyre_capture_layer *layer);

/* Digest of the scientific content: every dataset's shape and values as stored, and every attribute except command_line, engine_version and
 * engine_flags. Equal for equal numbers, wherever the file was made. */
gyre_status gyre_capture_digest(gyre_capture *capture, char hex[GYRE_SHA256_HEX], gyre_error *err);

#endif
