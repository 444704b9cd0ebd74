/* Quantizers: blocks of rows to packed bytes and back, and the contract of their variants.
 *
 * A block is what one document leaves in the cache of one layer: float[stream][head][token][dim], contiguous, tokens in order. Most variants code one stream; those that span
 * streams code K and V together (stream 0 is then K, 1 is V). decode sees the bytes alone, and the number of tokens.
 *
 * One variant = one file with static functions and one const descriptor, listed by one line in registry.c. A quantizer is built for one layer (site.dim, site.n_heads;
 * site.head says nothing), is immutable but for `fit` and a clip ratio that is learned, and may be shared between threads. Inputs must be finite (the codec checks); GYRE_E_RANGE is returned when a value or a
 * scale does not fit its format, GYRE_E_INPUT by decode for bytes that no encoder wrote.
 */
#ifndef GYRE_QUANT_QUANTIZER_H
#define GYRE_QUANT_QUANTIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/options.h"
#include "core/site.h"
#include "core/status.h"

/* IDEMPOTENT: encode(decode(b)) = b. TOKEN_LOCAL: what a row decodes to depends on that row alone. FIXED_SIZE: the bytes of a block depend on the number of tokens alone.
 * RANDOM_ACCESS: any row can be decoded without the others. ONLINE: a row can be appended without touching older ones. The last four together are what a served cache needs
 * (arXiv 2604.19157). FITTED: needs calibration rows. SEEDED: draws random numbers of the seed index. LEARNS, set by `refine`: gradient calibration finds its clip ratio. */
enum {
    GYRE_IDEMPOTENT = 1,
    GYRE_TOKEN_LOCAL = 2,
    GYRE_FIXED_SIZE = 4,
    GYRE_RANDOM_ACCESS = 8,
    GYRE_ONLINE = 16,
    GYRE_QUANTIZER_FITTED = 32,
    GYRE_QUANTIZER_SEEDED = 64,
    GYRE_QUANTIZER_LEARNS = 128
};

/* The largest set of values that are coded together: a row, the tokens of a head, the heads of a layer, or K and V. */
typedef enum gyre_span { GYRE_SPAN_ROW, GYRE_SPAN_TOKENS, GYRE_SPAN_HEADS, GYRE_SPAN_STREAMS } gyre_span;
const char *gyre_span_name(gyre_span span);

enum { GYRE_QUANTIZER_DIM = 4096 }; /* largest head dimension of the family */
enum { GYRE_QUANTIZER_WHY = 256, GYRE_QUANTIZER_OPTIONS_BYTES = 96 };

typedef struct gyre_quantizer_values {
    _Alignas(8) unsigned char bytes[GYRE_QUANTIZER_OPTIONS_BYTES];
} gyre_quantizer_values;

/* What one query sees of a block. */
typedef struct gyre_read {
    const uint8_t *bytes; /* the block, as encoded */
    size_t size, tokens;
    size_t head;
    size_t first, last;   /* visible tokens: first..last-1 */
} gyre_read;

/* What gradient calibration needs: rows through the quantizer without packing, and the straight-through rule with a differentiable scale (docs/definitions.md).
 *
 *     e = decode(encode(y)) - y     within the range: e = s(y) r, the rounding residual r held constant; saturated: e = s(y) q + low(y) - y, the code q held constant
 *
 * low is the value of code 0 where it is stored. Saturated is what lies beyond the outermost levels. Whoever wants the plain rule, e held constant, does not call backward. Rows are
 * contiguous, n x dim, of one head. */
typedef struct gyre_straight {
    size_t (*group)(const void *state); /* coordinates that share a scale */
    size_t (*work)(const void *state);  /* floats per row that forward leaves for backward */
    gyre_status (*forward)(const void *state, size_t head, const float *y, size_t n, float *e, float *work, gyre_error *err); /* the values of packing, bit for bit */
    /* Adds dL/dy to g_y and dL/d(clip ratio) to *g_clip, where g_e = dL/de. */
    void (*backward)(const void *state, size_t head, const float *y, const float *e, const float *work, size_t n, const float *g_e, float *g_y, double *g_clip);
    double *(*clip)(void *state, size_t head); /* the clip ratio where the options ask for learning it, else NULL */
} gyre_straight;

typedef struct gyre_quantizer_type {
    /* required */
    const char *name, *summary, *source;
    const char *bits_formula; /* payload per value, in words */
    unsigned flags;
    gyre_span span;
    gyre_status (*init)(const gyre_site *site, const void *options, void **state, gyre_error *err);
    void (*free)(void *state);
    /* required where span is ROW: rows are n x dim of one head, `stride` floats apart; every row takes row_bytes */
    size_t (*row_bytes)(const void *state);
    gyre_status (*encode)(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
    void (*decode)(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride);
    /* required elsewhere: whole blocks. most_bytes bounds *size; any number of tokens, 0 too */
    size_t (*most_bytes)(const void *state, size_t tokens);
    gyre_status (*encode_block)(const void *state, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err);
    gyre_status (*decode_block)(const void *state, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err);
    /* optional, with a default */
    const gyre_option *options;                                                                          /* none */
    void (*refine)(const void *options, unsigned *flags);                                                /* flags as declared */
    bool (*applicable)(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY]);        /* always */
    size_t (*stored_bits)(const void *state);                                                            /* 0: what a layer must store once, all heads and streams */
    /* optional: fits to calibration rows, float[stream][head][document][token][dim], as the chain leaves them */
    gyre_status (*fit)(void *state, const float *x, size_t documents, size_t tokens, gyre_error *err);
    /* optional: reads that depend on the query. scores[i] is query.key of visible token first + i as read; output is the sum of weights[i] times value first + i as read;
     * the bits read of the visible rows are added to *bits. decode then gives what is stored. */
    gyre_status (*read_scores)(const void *state, const gyre_read *read, const float *query, float *scores, double *bits, gyre_error *err);
    gyre_status (*read_output)(const void *state, const gyre_read *read, const float *weights, float *output, double *bits, gyre_error *err);
    /* optional: gradients */
    const gyre_straight *straight;
} gyre_quantizer_type;

extern const gyre_quantizer_type *const gyre_quantizer_types[]; /* ends with NULL */
const gyre_quantizer_type *gyre_quantizer_find(const char *name);

/* Flags under these options. */
unsigned gyre_quantizer_flags(const gyre_quantizer_type *type, const void *options);

/* False with the reason where the variant does not apply to the layer. */
bool gyre_quantizer_applies(const gyre_quantizer_type *type, const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY]);

typedef struct gyre_quantizer {
    const gyre_quantizer_type *type;
    size_t dim, heads, streams;
    void *state;
} gyre_quantizer;

/* Built for a layer; GYRE_E_APPLICABLE with the reason. */
gyre_status gyre_quantizer_new(const gyre_quantizer_type *type, const gyre_site *site, const void *options, gyre_quantizer **out, gyre_error *err);
void gyre_quantizer_free(gyre_quantizer *q);

/* Fits a FITTED variant: it comes before the first encode; until then encode uses the parameters of init, or says GYRE_E_INTERNAL. No documents: GYRE_E_INPUT. Fitted
 * again it is as fitted once. Nothing for variants without a fit. */
gyre_status gyre_quantizer_fit(gyre_quantizer *q, const float *x, size_t documents, size_t tokens, gyre_error *err);

/* Bits that the layer stores once. */
size_t gyre_quantizer_stored_bits(const gyre_quantizer *q);

/* Blocks: room for gyre_quantizer_most_bytes, of which *size are used. Rows of a ROW variant stand head after head, token after token. */
size_t gyre_quantizer_most_bytes(const gyre_quantizer *q, size_t tokens);
gyre_status gyre_quantizer_encode(const gyre_quantizer *q, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err);
gyre_status gyre_quantizer_decode(const gyre_quantizer *q, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err);

#endif
