/* Codec: chains and a quantizer for one layer of the cache; the one thing experiments vary.
 *
 *     encode: rows -> order -> chain -> quantizer -> packed bytes          decode: bytes -> quantizer -> inverse chain -> order undone -> rows
 *
 * A codec serves all heads of one layer: one stream, or K and V together where the quantizer spans both. It codes one document at a time: a block of `tokens` rows of every head,
 * as a cache holds them. decode sees the bytes and the positions, which a cache knows from the slot; nothing else of the rows. Rows of a head are row-major, tokens x dim,
 * contiguous, in the model's own coordinate order; x[stream * heads + head] points to them. A codec is built for its sites, fitted by calibrate/ where it needs it, and then
 * immutable and shared between threads. Work memory belongs to the caller (gyre_codec_scratch bytes, aligned to 64). Errors: GYRE_E_NAN at the boundary, GYRE_E_RANGE from the
 * quantizer, GYRE_E_APPLICABLE when built, GYRE_E_INPUT for bytes that no encoder wrote.
 *
 * `window: W` and `sink: S` keep the newest W and the first S rows exact: a query at position t sees row s coded where S <= s and t - s >= W. The codec itself codes what it is given; who runs
 * it (a cell, a model's cache) leaves these rows out, as a cache does that codes rows when they leave the window. They count 16 bits a value.
 */
#ifndef GYRE_CODEC_CODEC_H
#define GYRE_CODEC_CODEC_H

#include "quant/quantizer.h"
#include "transforms/chain.h"

/* Tokens over which what is stored once is spread in `side` bits. */
enum { GYRE_SIDE_TOKENS = 4096, GYRE_CODEC_TEXT = 6144 };

typedef enum gyre_order { GYRE_ORDER_HALF_SPLIT = 0, GYRE_ORDER_NATIVE = 1 } gyre_order;

/* Options of the codec itself. */
typedef struct gyre_codec_options {
    int order; /* gyre_order */
    int64_t window, sink;
} gyre_codec_options;
extern const gyre_option gyre_codec_table[];

typedef struct gyre_codec_spec {
    gyre_codec_options own;
    gyre_chain_spec chain;
    const gyre_quantizer_type *quantizer;
    gyre_quantizer_values options;
} gyre_codec_spec;

/* "order=half_split;chain=[signs(per=layer),hadamard(form=sylvester)];quantizer=sym(bits=4,group=row,scale=f32)"; a window or sink above 0 behind the order: ";window=16;sink=4". */
void gyre_codec_canonical(const gyre_codec_spec *spec, char *text, size_t size);

/* Does the chain or the quantizer draw random numbers? */
bool gyre_codec_seeded(const gyre_codec_spec *spec);

/* One stream of a layer: what is wanted, and where its heads are. */
typedef struct gyre_codec_stream {
    const gyre_codec_spec *spec;
    const gyre_site *sites; /* one per head */
} gyre_codec_stream;

/* Must K and V of this arm be coded by one codec? */
bool gyre_codec_joint(const gyre_codec_spec *spec);

/* Has it a window or a sink? And where K and V are coded by one codec, are they the same for both? False with the reason. */
bool gyre_codec_keeps_rows(const gyre_codec_spec *spec);
bool gyre_codec_windows_agree(const gyre_codec_spec *k, const gyre_codec_spec *v, char why[GYRE_WHY]);

/* False with the reason where the codec does not apply; builds nothing. */
bool gyre_codec_applies(const gyre_codec_stream *streams, size_t n_streams, char why[GYRE_WHY]);

typedef struct gyre_codec gyre_codec;

/* n_streams is 2 for joint quantizers (K, V), else 1. */
gyre_status gyre_codec_new(const gyre_codec_stream *streams, size_t n_streams, size_t n_heads, gyre_codec **out, gyre_error *err);
void gyre_codec_free(gyre_codec *codec);

size_t gyre_codec_scratch(const gyre_codec *codec, size_t tokens);    /* bytes of work memory for a block */
size_t gyre_codec_most_bytes(const gyre_codec *codec, size_t tokens); /* room for a packed block */

gyre_status gyre_codec_encode(const gyre_codec *codec, const float *const *x, size_t tokens, const int32_t *pos, uint8_t *bytes, size_t *size, void *scratch,
                              gyre_error *err);
gyre_status gyre_codec_decode(const gyre_codec *codec, const uint8_t *bytes, size_t size, size_t tokens, const int32_t *pos, float *const *x, void *scratch,
                              gyre_error *err);

/* What a cache must know to keep window and sink, which are those of every stream of the codec. Of a document's `tokens` rows the newest query sees rows first..last-1 coded, the others
 * exact. Where a row does not decode by itself (not token local) that block is another one for every number of tokens; groups over tokens begin at row `first`. */
size_t gyre_codec_window(const gyre_codec *codec);
size_t gyre_codec_sink(const gyre_codec *codec);
void gyre_codec_coded(const gyre_codec *codec, size_t tokens, size_t *first, size_t *last);
bool gyre_codec_token_local(const gyre_codec *codec);

/* Reads of one query through a quantizer that fetches by the query (read as in quant/quantizer.h; its chain is orthogonal and the same at every position, so the query goes through it
 * instead). Scores of visible keys; sum of weighted visible values. Bits fetched are added to *bits. */
bool gyre_codec_reads(const gyre_codec *codec, gyre_stream stream);
gyre_status gyre_codec_read_scores(const gyre_codec *codec, const gyre_read *read, const float *query, float *scores, double *bits, void *scratch, gyre_error *err);
gyre_status gyre_codec_read_output(const gyre_codec *codec, const gyre_read *read, const float *weights, float *output, double *bits, void *scratch, gyre_error *err);

/* Bits per value of what is stored once. */
double gyre_codec_side_bits(const gyre_codec *codec);

/* For calibration: the chain of a head, the quantizer, and rows brought into the codec's coordinate order (in place). */
gyre_transform *gyre_codec_chain(gyre_codec *codec, size_t stream, size_t head);
gyre_quantizer *gyre_codec_quantizer(gyre_codec *codec);
void gyre_codec_order(const gyre_codec *codec, size_t stream, size_t head, float *x, size_t n, void *scratch);

#endif
