/* packkv: lossy steps a token, lossless packs a channel, tokens rearranged so that packs are narrow (B. Jiang et al., PackKV, 2025, arXiv 2512.24449); the rules below
 * are those of its public code.
 *
 *     step     per token and stream, over all n = heads * d values of the layer:
 *              scale = rel * (max - min), zero = round(min / scale), q = round(x / scale) - zero, x^ = (q + zero) scale
 *     block    `block` tokens, K and V: each token is the vector of its 2n codes (K of all heads, then V); one order of the block's tokens serves all of them
 *     none     the order of the tokens
 *     median   by the median of a token's n codes of V (the lower of two), largest first; equal ones: the earlier token
 *     greedy   packs one after the other: the first token has the largest cosine to the rounded mean of those left; each next one is that which adds the fewest
 *              bits, where a channel of a pack needs w = ceil(log2(max - min + 1)) bits a code; equal ones: the earlier token
 *     pack     `pack` tokens in that order: for each channel min, w, and the codes less min in w bits
 *
 * Rounding is half to even; the scale is rounded to its stored format and then used. Where it is 0 (a constant token) the codes are 0, scale = |min|, zero = its sign.
 * Tokens after the last whole block are binary16. Dimensions: any; pack divides block. Payload: depends on the data; the order, the scales and the fields count. Cost:
 * greedy 2 n block^2 / 2 a block.
 *
 * What it is not: attention does not see an order that K and V share, so the paper stores none; this cache gives rows back at their places, so `block` indices are
 * stored (and counted) where tokens are rearranged: ceil(log2 block)/(2n) bits per value. The paper's recent tokens (128 to 192 exact) are the codec's window.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/plain.h"

enum { BLOCK_MOST = 256, WIDTH_MOST = 16, WIDTH_FIELD = 5 };

typedef enum repack_rule { REPACK_NONE, REPACK_GREEDY, REPACK_MEDIAN } repack_rule;

typedef struct packkv_options {
    double rel[2];
    int64_t block, pack;
    int repack, scale;
} packkv_options;

static const char *const rules[] = {"none", "greedy", "median", NULL};
static const gyre_option table[] = {
    {"rel_k", GYRE_OPTION_REAL, offsetof(packkv_options, rel), "0.1", 0.001, 1, NULL, "of the range", "step of a token of keys"},
    {"rel_v", GYRE_OPTION_REAL, offsetof(packkv_options, rel) + sizeof(double), "0.1", 0.001, 1, NULL, "of the range", "step of a token of values"},
    {"repack", GYRE_OPTION_CHOICE, offsetof(packkv_options, repack), "median", 0, 0, rules, "", "how the tokens of a block are rearranged"},
    {"block", GYRE_OPTION_INT, offsetof(packkv_options, block), "64", 2, BLOCK_MOST, NULL, "tokens", "tokens rearranged together"},
    {"pack", GYRE_OPTION_INT, offsetof(packkv_options, pack), "16", 1, BLOCK_MOST, NULL, "tokens", "codes of a channel that share a minimum and a width"},
    {"scale", GYRE_OPTION_CHOICE, offsetof(packkv_options, scale), "f16", 0, 0, gyre_scale_formats, "", "format of the stored scale"},
    {0},
};

typedef struct packkv {
    size_t heads, dim, n, block, pack;
    double rel[2];
    repack_rule repack;
    gyre_scale_format format;
    void *rest; /* binary16 rows */
} packkv;

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    (void)site;
    const packkv_options *o = options;
    if (o->block % o->pack == 0)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "packs of %lld tokens do not divide blocks of %lld", (long long)o->pack, (long long)o->block);
    return false;
}

static void release(void *state)
{
    packkv *s = state;
    if (s == NULL)
        return;
    free(s->rest);
    free(s);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const packkv_options *o = options;
    packkv *s = NULL;
    GYRE_NEW(&s, 1);
    s->heads = site->n_heads > 0 ? site->n_heads : 1;
    s->dim = site->dim;
    s->n = s->heads * s->dim;
    s->block = (size_t)o->block;
    s->pack = (size_t)o->pack;
    s->rel[0] = o->rel[0];
    s->rel[1] = o->rel[1];
    s->repack = (repack_rule)o->repack;
    s->format = (gyre_scale_format)o->scale;
    GYRE_TRY(gyre_plain_init(s->dim, GYRE_SCALE_F16, &s->rest, err));
    *state = s;
    s = NULL;
done:
    release(s);
    return st;
}

/* Bits that hold 0..most: ceil(log2(most + 1)). */
static unsigned width_of(uint32_t most)
{
    unsigned width = 0;
    for (; most > 0; most >>= 1)
        width++;
    return width;
}

/* Fields of bits, lowest first. */
typedef struct bit_writer {
    uint8_t *at;
    uint32_t window;
    unsigned filled;
} bit_writer;

static void put_bits(bit_writer *w, uint32_t value, unsigned bits)
{
    w->window |= value << w->filled; /* at most 7 + 16 bits */
    for (w->filled += bits; w->filled >= 8; w->filled -= 8, w->window >>= 8)
        *w->at++ = (uint8_t)(w->window & 0xFFu);
}

static uint8_t *end_bits(bit_writer *w)
{
    if (w->filled > 0)
        *w->at++ = (uint8_t)(w->window & 0xFFu);
    return w->at;
}

typedef struct bit_reader {
    const uint8_t *at, *end;
    uint32_t window;
    unsigned filled;
} bit_reader;

static bool get_bits(bit_reader *r, unsigned bits, uint32_t *value)
{
    for (; r->filled < bits; r->filled += 8) {
        if (r->at == r->end)
            return false;
        r->window |= (uint32_t)*r->at++ << r->filled;
    }
    *value = r->window & ((1u << bits) - 1u);
    r->window >>= bits;
    r->filled -= bits;
    return true;
}

static size_t order_bytes(const packkv *s)
{
    return s->repack == REPACK_NONE ? 0 : (s->block * width_of((uint32_t)s->block - 1) + 7) / 8;
}

static size_t most_bytes(const void *state, size_t tokens)
{
    const packkv *s = state;
    size_t blocks = tokens / s->block, rest = tokens % s->block, fields = s->block / s->pack * s->n * (WIDTH_MOST + WIDTH_FIELD), codes = s->block * s->n * WIDTH_MOST;
    return blocks * (order_bytes(s) + 2 * s->block * (gyre_scale_bytes(s->format) + 2) + 2 * (1 + (fields + codes + 7) / 8)) +
           2 * s->heads * rest * gyre_plain_row_bytes(s->rest);
}

/* One block on its way: codes[token][K n, V n]. */
typedef struct work {
    uint16_t *codes, *sorted;
    double *mean;
    uint16_t *low, *high;
    float scale[2][BLOCK_MOST];
    int zero[2][BLOCK_MOST];
    size_t order[BLOCK_MOST]; /* token at each place */
} work;

static gyre_status work_new(const packkv *s, work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&w->codes, s->block * 2 * s->n);
    GYRE_NEW(&w->sorted, s->n);
    GYRE_NEW(&w->mean, 2 * s->n);
    GYRE_NEW(&w->low, 2 * s->n);
    GYRE_NEW(&w->high, 2 * s->n);
done:
    return st;
}

static void work_free(work *w)
{
    free(w->codes);
    free(w->sorted);
    free(w->mean);
    free(w->low);
    free(w->high);
}

/* Codes of one token of one stream; false where its numbers do not fit. rows is the stream's [head][token][dim], `tokens` rows a head. */
static bool quantise(const packkv *s, size_t stream, const float *rows, size_t tokens, size_t t, float *scale, int *zero, uint16_t *codes)
{
    float lo = rows[t * s->dim], hi = lo;
    for (size_t i = 0; i < s->n; i++) {
        float x = rows[(i / s->dim * tokens + t) * s->dim + i % s->dim];
        lo = x < lo ? x : lo;
        hi = x > hi ? x : hi;
    }
    if (!isfinite(hi - lo) || !gyre_scale_round(s->format, (float)((double)(hi - lo) * s->rel[stream]), scale))
        return false;
    memset(codes, 0, s->n * sizeof *codes);
    if (!(*scale > 0.0f)) {
        *zero = lo < 0 ? -1 : lo > 0;
        return gyre_scale_round(s->format, fabsf(lo), scale);
    }
    float first = rintf(lo / *scale), last = rintf(hi / *scale);
    if (first < INT16_MIN || first > INT16_MAX || last - first > UINT16_MAX || !isfinite(last * *scale) || !isfinite(first * *scale))
        return false;
    *zero = (int)first;
    for (size_t i = 0; i < s->n; i++)
        codes[i] = (uint16_t)(rintf(rows[(i / s->dim * tokens + t) * s->dim + i % s->dim] / *scale) - first);
    return true;
}

static int by_code(const void *left, const void *right)
{
    const uint16_t *a = left, *b = right;
    return (int)*a - (int)*b;
}

static void repack_median(const packkv *s, work *w)
{
    uint16_t medians[BLOCK_MOST];
    for (size_t t = 0; t < s->block; t++) {
        memcpy(w->sorted, w->codes + t * 2 * s->n + s->n, s->n * sizeof *w->sorted);
        qsort(w->sorted, s->n, sizeof *w->sorted, by_code);
        medians[t] = w->sorted[(s->n - 1) / 2];
    }
    for (size_t i = 1; i < s->block; i++) { /* insertion keeps equals in order */
        size_t t = w->order[i], at = i;
        for (; at > 0 && medians[w->order[at - 1]] < medians[t]; at--)
            w->order[at] = w->order[at - 1];
        w->order[at] = t;
    }
}

/* Place in order[from..block) of the token nearest in direction to the rounded mean of those. */
static size_t seed_of(const packkv *s, work *w, size_t from)
{
    size_t best = from;
    double most = -INFINITY, norm = 0.0;
    for (size_t i = 0; i < 2 * s->n; i++) {
        uint64_t sum = 0;
        for (size_t p = from; p < s->block; p++)
            sum += w->codes[w->order[p] * 2 * s->n + i];
        w->mean[i] = rint((double)sum / (double)(s->block - from));
        norm += w->mean[i] * w->mean[i];
    }
    for (size_t p = from; p < s->block; p++) {
        const uint16_t *codes = w->codes + w->order[p] * 2 * s->n;
        double dot = 0.0, own = 0.0;
        for (size_t i = 0; i < 2 * s->n; i++) {
            dot += codes[i] * w->mean[i];
            own += (double)codes[i] * codes[i];
        }
        double length = sqrt(norm) * sqrt(own), cosine = length > 0 ? dot / length : 0.0;
        if (cosine > most) {
            most = cosine;
            best = p;
        }
    }
    return best;
}

/* Bits a code that the token adds to the channels of the pack. */
static uint64_t growth(const packkv *s, const work *w, size_t token)
{
    const uint16_t *codes = w->codes + token * 2 * s->n;
    uint64_t bits = 0;
    for (size_t i = 0; i < 2 * s->n; i++) {
        uint16_t low = codes[i] < w->low[i] ? codes[i] : w->low[i], high = codes[i] > w->high[i] ? codes[i] : w->high[i];
        if (low != w->low[i] || high != w->high[i])
            bits += width_of((uint32_t)(high - low)) - width_of((uint32_t)(w->high[i] - w->low[i]));
    }
    return bits;
}

/* Moves the token at place p to place `to`; those between keep their order. */
static void bring(work *w, size_t p, size_t to)
{
    size_t token = w->order[p];
    memmove(&w->order[to + 1], &w->order[to], (p - to) * sizeof *w->order);
    w->order[to] = token;
}

static void repack_greedy(const packkv *s, work *w)
{
    for (size_t place = 0; place < s->block; place++) {
        size_t best = place;
        if (place % s->pack == 0)
            best = seed_of(s, w, place);
        else {
            uint64_t least = UINT64_MAX;
            for (size_t p = place; p < s->block; p++) {
                uint64_t bits = growth(s, w, w->order[p]);
                if (bits < least) {
                    least = bits;
                    best = p;
                }
            }
        }
        bring(w, best, place);
        const uint16_t *codes = w->codes + w->order[place] * 2 * s->n;
        for (size_t i = 0; i < 2 * s->n; i++) {
            w->low[i] = place % s->pack == 0 || codes[i] < w->low[i] ? codes[i] : w->low[i];
            w->high[i] = place % s->pack == 0 || codes[i] > w->high[i] ? codes[i] : w->high[i];
        }
    }
}

/* A stream of the block: width of its largest code, then per pack and channel min and width, then per pack and channel the codes. */
static uint8_t *put_stream(const packkv *s, work *w, size_t stream, uint8_t *at)
{
    uint32_t most = 0;
    for (size_t t = 0; t < s->block; t++)
        for (size_t i = 0; i < s->n; i++)
            most = w->codes[(t * 2 + stream) * s->n + i] > most ? w->codes[(t * 2 + stream) * s->n + i] : most;
    unsigned width = width_of(most), field = width_of(width);
    *at++ = (uint8_t)width;
    bit_writer fields = {.at = at};
    for (int pass = 0; pass < 2; pass++) /* fields, then codes: the second pass finds the same minima */
        for (size_t p = 0; p < s->block; p += s->pack)
            for (size_t i = 0; i < s->n; i++) {
                uint32_t low = UINT32_MAX, high = 0;
                for (size_t k = p; k < p + s->pack; k++) {
                    uint32_t code = w->codes[(w->order[k] * 2 + stream) * s->n + i];
                    low = code < low ? code : low;
                    high = code > high ? code : high;
                }
                if (pass == 0) {
                    put_bits(&fields, low, width);
                    put_bits(&fields, width_of(high - low), field);
                } else
                    for (size_t k = p; k < p + s->pack; k++)
                        put_bits(&fields, w->codes[(w->order[k] * 2 + stream) * s->n + i] - low, width_of(high - low));
            }
    return end_bits(&fields);
}

static gyre_status encode_one(const packkv *s, work *w, const float *x, size_t tokens, size_t first, uint8_t **bytes, gyre_error *err)
{
    uint8_t *at = *bytes;
    for (size_t t = 0; t < s->block; t++) {
        w->order[t] = t;
        for (size_t stream = 0; stream < 2; stream++)
            if (!quantise(s, stream, x + stream * s->n * tokens, tokens, first + t, &w->scale[stream][t], &w->zero[stream][t], w->codes + (t * 2 + stream) * s->n))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "packkv: %s of token %zu: its step exceeds %s, or its least value is beyond 32767 steps",
                                      stream == 0 ? "K" : "V", first + t, s->format == GYRE_SCALE_F16 ? "binary16 (use scale: f32)" : "binary32");
    }
    if (s->repack == REPACK_GREEDY)
        repack_greedy(s, w);
    else if (s->repack == REPACK_MEDIAN)
        repack_median(s, w);
    if (s->repack != REPACK_NONE) {
        bit_writer order = {.at = at};
        for (size_t p = 0; p < s->block; p++)
            put_bits(&order, (uint32_t)w->order[p], width_of((uint32_t)s->block - 1));
        at = end_bits(&order);
    }
    for (size_t t = 0; t < s->block; t++)
        for (size_t stream = 0; stream < 2; stream++) {
            at = gyre_scale_put(s->format, w->scale[stream][t], at);
            at = gyre_put_u16((uint32_t)(uint16_t)(int16_t)w->zero[stream][t], at);
        }
    for (size_t stream = 0; stream < 2; stream++)
        at = put_stream(s, w, stream, at);
    *bytes = at;
    return GYRE_OK;
}

static gyre_status encode_block(const void *state, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const packkv *s = state;
    size_t first = 0, row = gyre_plain_row_bytes(s->rest);
    uint8_t *at = bytes;
    work *w = NULL;
    GYRE_NEW(&w, 1);
    GYRE_TRY(work_new(s, w, err));
    for (; first + s->block <= tokens; first += s->block)
        GYRE_TRY(encode_one(s, w, x, tokens, first, &at, err));
    for (size_t h = 0; h < 2 * s->heads; h++, at += (tokens - first) * row) {
        st = gyre_plain_encode(s->rest, 0, x + (h * tokens + first) * s->dim, tokens - first, s->dim, at, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "packkv: %s of kv head %zu, counted from token %zu", h < s->heads ? "K" : "V", h % s->heads, first);
            goto done;
        }
    }
    *size = (size_t)(at - bytes);
done:
    if (w != NULL)
        work_free(w);
    free(w);
    return st;
}

static bool get_order(const packkv *s, work *w, const uint8_t **bytes)
{
    bool seen[BLOCK_MOST] = {false};
    bit_reader r = {.at = *bytes, .end = *bytes + order_bytes(s)};
    for (size_t p = 0; p < s->block; p++) {
        uint32_t token = (uint32_t)p;
        if (s->repack != REPACK_NONE && !get_bits(&r, width_of((uint32_t)s->block - 1), &token))
            return false;
        if (token >= s->block || seen[token])
            return false;
        seen[token] = true;
        w->order[p] = token;
    }
    *bytes += order_bytes(s);
    return true;
}

/* Two readers run beside each other: fields, and the codes that follow them. */
static bool get_stream(const packkv *s, const work *w, size_t stream, const uint8_t **bytes, const uint8_t *end, size_t tokens, size_t first, float *x)
{
    if (*bytes == end)
        return false;
    unsigned width = *(*bytes)++, field = width_of(width);
    size_t bits = s->block / s->pack * s->n * (width + field);
    if (width > WIDTH_MOST || bits / 8 > (size_t)(end - *bytes))
        return false;
    bit_reader fields = {.at = *bytes, .end = end}, codes = {.at = *bytes + bits / 8, .end = end};
    uint32_t low, own, code;
    if (!get_bits(&codes, bits % 8, &code)) /* codes follow the fields within a byte */
        return false;
    for (size_t p = 0; p < s->block; p += s->pack)
        for (size_t i = 0; i < s->n; i++) {
            if (!get_bits(&fields, width, &low) || !get_bits(&fields, field, &own) || own > width)
                return false;
            for (size_t k = p; k < p + s->pack; k++) {
                size_t t = w->order[k];
                if (!get_bits(&codes, own, &code))
                    return false;
                x[(i / s->dim * tokens + first + t) * s->dim + i % s->dim] = (float)((int)(low + code) + w->zero[stream][t]) * w->scale[stream][t];
            }
        }
    *bytes = codes.at;
    return true;
}

static bool decode_one(const packkv *s, work *w, const uint8_t **bytes, const uint8_t *end, size_t tokens, size_t first, float *x)
{
    if ((size_t)(end - *bytes) < order_bytes(s) + 2 * s->block * (gyre_scale_bytes(s->format) + 2) || !get_order(s, w, bytes))
        return false;
    for (size_t t = 0; t < s->block; t++)
        for (size_t stream = 0; stream < 2; stream++) {
            *bytes = gyre_scale_get(s->format, *bytes, &w->scale[stream][t]);
            w->zero[stream][t] = (int16_t)gyre_get_u16(*bytes);
            *bytes += 2;
        }
    for (size_t stream = 0; stream < 2; stream++)
        if (!get_stream(s, w, stream, bytes, end, tokens, first, x + stream * s->n * tokens))
            return false;
    return true;
}

static gyre_status decode_block(const void *state, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const packkv *s = state;
    const uint8_t *at = bytes, *end = bytes + size;
    size_t first = 0, row = gyre_plain_row_bytes(s->rest);
    work *w = NULL;
    GYRE_NEW(&w, 1);
    for (; first + s->block <= tokens; first += s->block)
        if (!decode_one(s, w, &at, end, tokens, first, x))
            GYRE_FAIL(GYRE_E_INPUT, "packkv: the block of tokens from %zu is cut short or damaged", first);
    if ((size_t)(end - at) != 2 * s->heads * (tokens - first) * row)
        GYRE_FAIL(GYRE_E_INPUT, "packkv: %zu bytes for the last %zu tokens, which take %zu", (size_t)(end - at), tokens - first, 2 * s->heads * (tokens - first) * row);
    for (size_t h = 0; h < 2 * s->heads; h++, at += (tokens - first) * row)
        gyre_plain_decode(s->rest, 0, at, tokens - first, x + (h * tokens + first) * s->dim, s->dim);
done:
    free(w);
    return st;
}

/* No flag holds: a step comes from all heads of a token, sizes from the data, a row stands in the packs of its block, and the last token of a block turns the others
 * into codes. */
const gyre_quantizer_type gyre_quantizer_packkv = {
    .name = "packkv",
    .summary = "PackKV: a step a token, tokens rearranged, packs of a channel without loss (order stored, no recent window)",
    .source = "arXiv 2512.24449 (PackKV) and its public code",
    .bits_formula = "by the data: packs, their minima and widths, scales, zeros, order; tokens after the last whole block: 16",
    .flags = 0,
    .span = GYRE_SPAN_STREAMS,
    .init = init,
    .free = release,
    .most_bytes = most_bytes,
    .encode_block = encode_block,
    .decode_block = decode_block,
    .options = table,
    .applicable = applicable,
};
