/* Where a row lives: stream, layer, head, and what the model knows of it without the row.
 *
 * Row: one token's head vector, float[dim]; blocks are row-major, n x dim. K rows are stored after RoPE, as a cache holds them.
 */
#ifndef GYRE_CORE_SITE_H
#define GYRE_CORE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gyre_stream { GYRE_K = 0, GYRE_V = 1 } gyre_stream;

/* RoPE pairs coordinate i with i+1 (GGUF "normal") or with i + n_rot/2 ("neox", half-split). */
typedef enum gyre_rope_kind { GYRE_ROPE_NONE = 0, GYRE_ROPE_NORMAL = 1, GYRE_ROPE_NEOX = 2, GYRE_ROPE_OTHER = 3 } gyre_rope_kind;

/* Rotary embedding of one layer, as read from the graph's ROPE node (not from metadata keys). */
typedef struct gyre_rope {
    gyre_rope_kind kind;
    uint32_t n_rot;        /* coordinates rotated: the first n_rot */
    float base;            /* freq_base */
    float freq_scale;      /* 1 without context extension */
    float ext_factor;      /* YaRN: 0 without */
    float attn_factor;     /* magnitude: 1 without YaRN */
    float beta_fast, beta_slow;
    uint32_t n_ctx_orig;
    const float *factors;  /* n_rot/2 frequency divisors (src[2] of the node), or NULL */
} gyre_rope;

/* One place in the cache. Pointers are borrowed and outlive what is built from the site. */
typedef struct gyre_site {
    size_t dim;             /* head_dim d */
    gyre_stream stream;
    uint32_t layer;
    uint32_t head;          /* kv head */
    uint32_t n_heads;       /* kv heads of the layer: what `per: layer` parameters are shared by */
    uint64_t campaign_seed;
    uint32_t seed_index;
    uint32_t draw;          /* which of several draws of the seed, from 0: calibration that chooses among draws builds them all */
    uint32_t restart;       /* which of several starts of what is learned, from 0 */
    size_t n_positions;     /* a hint: most rows have positions below it (tables are made that long); 0 is allowed */
    const gyre_rope *rope;  /* NULL for V and for models without RoPE */
    const float *bias;      /* key bias of this head in pre-RoPE order, dim floats; NULL where the model has none */
} gyre_site;

#endif
