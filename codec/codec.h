/* Codec: a chain and a quantizer for one stream; the one thing experiments vary.
 *
 *     encode: rows -> order -> chain -> quantizer -> packed bytes          decode: bytes -> quantizer -> inverse chain -> order undone -> rows
 *
 * decode sees the bytes and the positions, which a cache knows from the slot; nothing else of the row. Rows are row-major, n x dim, contiguous, in the model's own
 * coordinate order. A codec is built for one site (layer, head, stream), fitted by calibrate/ where its chain needs it, and then immutable and shared between threads.
 * Work memory belongs to the caller (gyre_codec_scratch bytes, aligned to 64). Errors: GYRE_E_NAN at the boundary, GYRE_E_RANGE from the quantizer, GYRE_E_APPLICABLE when built.
 *
 * `window` and `sink` (exact recent and first rows) will be options here beside `order`; until then every row is coded.
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
} gyre_codec_options;
extern const gyre_option gyre_codec_table[];

typedef struct gyre_codec_spec {
    gyre_codec_options own;
    gyre_chain_spec chain;
    const gyre_quantizer_type *quantizer;
    gyre_quantizer_values options;
} gyre_codec_spec;

/* "order=half_split;chain=[signs(per=layer),fwht];quantizer=sym(bits=4,group=row,scale=f32)". */
void gyre_codec_canonical(const gyre_codec_spec *spec, char *text, size_t size);

typedef struct gyre_codec gyre_codec;

gyre_status gyre_codec_new(const gyre_codec_spec *spec, const gyre_site *site, gyre_codec **out, gyre_error *err);
void gyre_codec_free(gyre_codec *codec);

size_t gyre_codec_scratch(const gyre_codec *codec, size_t n); /* bytes of work memory for blocks of n rows */
size_t gyre_codec_bytes(const gyre_codec *codec, size_t n);   /* packed bytes of n rows */

gyre_status gyre_codec_encode(const gyre_codec *codec, const float *x, size_t n, const int32_t *pos, uint8_t *bytes, void *scratch, gyre_error *err);
void gyre_codec_decode(const gyre_codec *codec, const uint8_t *bytes, size_t n, const int32_t *pos, float *x, void *scratch);

/* Bits per value: of packed bytes, and of what is stored once. */
double gyre_codec_payload_bits(const gyre_codec *codec, size_t n, size_t bytes);
double gyre_codec_side_bits(const gyre_codec *codec);

/* For calibration: the chain, and rows brought into its coordinate order (in place). */
gyre_transform *gyre_codec_chain(gyre_codec *codec);
void gyre_codec_order(const gyre_codec *codec, float *x, size_t n, void *scratch);

#endif
