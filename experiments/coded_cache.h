/* The cache of a model, coded by an arm: what the engine's hook does with every row that is written.
 *
 * Without a window a row passes encode and decode of the packed codec when it is written, and attention reads what came back, the row's own token included. With `window: W` the graph gets
 * batches of B <= W tokens; before a batch that starts at position f is attended to, rows up to f - W are coded, so that the query at f + j sees W + j exact rows, 0 <= j < B. Rows below `sink`
 * are never coded. Quantizers that code rows one by one code each row once; the others code all rows from the sink on anew whenever some more leave the window.
 * Queries, where they are rounded: through the chain of the KV head that they read (linear, orthogonal, the same at every position), Q8_0 in the codec's order, and back.
 *
 * Threading: the engine's thread. Codecs are shared and not changed.
 */
#ifndef GYRE_EXPERIMENTS_CODED_CACHE_H
#define GYRE_EXPERIMENTS_CODED_CACHE_H

#include "engine/engine.h"
#include "experiments/cell.h"

/* The codecs of one layer; n = 0: the layer stays exact. */
typedef struct gyre_coded_layer {
    gyre_cell_codecs codecs;
    gyre_codec *queries; /* of the KV heads; NULL: they are not rounded */
    size_t query_group;  /* query heads that read a KV head */
} gyre_coded_layer;

typedef struct gyre_coded_cache gyre_coded_cache;

/* For chunks of up to `context` tokens. layers[n_layers] is borrowed. */
gyre_status gyre_coded_cache_new(gyre_engine *engine, const gyre_coded_layer *layers, size_t n_layers, size_t context, gyre_coded_cache **out, gyre_error *err);
void gyre_coded_cache_free(gyre_coded_cache *cache);

/* Tokens that the graph may be given at a time: the smallest window, or 0 for all. */
size_t gyre_coded_cache_batch(const gyre_coded_cache *cache);

/* Before a chunk: forgets the last one and hooks itself into the engine. */
void gyre_coded_cache_begin(gyre_coded_cache *cache);

/* After a chunk and its bits: lets go of the rows (of all layers, as the model wrote them), so that of many caches one alone holds some. */
void gyre_coded_cache_end(gyre_coded_cache *cache);

/* Bits per value of the chunk that went through, as the cache stands after its last token: packed, and stored once; means over layers and coded streams. Rows that stay exact, and exact layers of
 * an arm that codes others, count 16. */
typedef struct gyre_coded_bits {
    double payload, side;
} gyre_coded_bits;
gyre_coded_bits gyre_coded_cache_bits(const gyre_coded_cache *cache);

#endif
