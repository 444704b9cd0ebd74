/* channel: static uniform quantization by channel: one scale a coordinate and head, fitted once and shared by all tokens (arXiv 2605.05699, section 3, "per-channel").
 *
 *     symmetric:  m = 2^(b-1) - 1,  scale_j = max_t |y_tj| / m,                       q = clamp(round(y_j / scale_j), -m, m),              y^ = q * scale_j
 *     asym:       n = 2^b - 1,      lo_j = min_t y_tj,  scale_j = (max_t - lo_j)/n,   q = clamp(round((y_j - lo_j) / scale_j), 0, n),      y^ = q * scale_j + lo_j
 *
 * over the calibration rows t of the head; binary32, true division. Rows carry codes alone; a value beyond what calibration saw saturates. A coordinate whose scale is 0
 * decodes to 0, or to lo_j. Any head dimension. Payload ceil(b d / 8) bytes; stored once: 32 d (asym: 64 d) bits a head. Not KIVI's per-channel groups of tokens, which
 * are dynamic. A fit whose largest decoded value overflows binary32 is refused; rows never are. Idempotent, for the grid
 * does not move with the row: a level, rounded to binary32, is nearest to itself.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/grouped.h"

typedef struct channel_options {
    int64_t bits;
    int rounding;
    bool asym;
} channel_options;

typedef struct channel {
    size_t dim, heads, bits;
    gyre_rounding rounding;
    bool asym, fitted;
    float *scale, *low; /* [head][dim]; low stays 0 where symmetric */
} channel;

static void release(void *state)
{
    channel *c = state;
    if (c != NULL) {
        free(c->scale);
        free(c->low);
    }
    free(c);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const channel_options *o = options;
    channel *c = NULL;
    GYRE_NEW(&c, 1);
    c->dim = site->dim;
    c->heads = site->n_heads > 0 ? site->n_heads : 1;
    c->bits = (size_t)o->bits;
    c->rounding = (gyre_rounding)o->rounding;
    c->asym = o->asym;
    GYRE_NEW(&c->scale, c->heads * c->dim);
    GYRE_NEW(&c->low, c->heads * c->dim);
    *state = c;
    c = NULL;
done:
    release(c);
    return st;
}

static float top_of(const channel *c)
{
    return (float)((1 << (c->asym ? c->bits : c->bits - 1)) - 1);
}

static gyre_status fit(void *state, const float *x, size_t documents, size_t tokens, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    channel *c = state;
    size_t rows = documents * tokens;
    float top = top_of(c);
    if (rows == 0)
        GYRE_FAIL(GYRE_E_INPUT, "channel has no calibration rows: name calibration documents");
    for (size_t h = 0; h < c->heads; h++)
        for (size_t j = 0; j < c->dim; j++) {
            const float *y = x + h * rows * c->dim + j;
            float lo = y[0], hi = y[0];
            for (size_t t = 1; t < rows; t++) {
                lo = fminf(lo, y[t * c->dim]);
                hi = fmaxf(hi, y[t * c->dim]);
            }
            float *scale = &c->scale[h * c->dim + j], *low = &c->low[h * c->dim + j];
            *low = c->asym ? lo : 0.0f;
            *scale = (c->asym ? hi - lo : fmaxf(hi, -lo)) / top;
            if (!isfinite(top * *scale) || !isfinite(top * *scale + *low))
                GYRE_FAIL(GYRE_E_RANGE, "channel: coordinate %zu of head %zu has values from %g to %g, whose decoded range exceeds binary32", j, h, (double)lo,
                          (double)hi);
        }
    c->fitted = true;
done:
    return st;
}

static size_t row_bytes(const void *state)
{
    const channel *c = state;
    return (c->dim * c->bits + 7) / 8;
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    const channel *c = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    const float *scale = c->scale + head * c->dim, *low = c->low + head * c->dim;
    float top = top_of(c), bottom = c->asym ? 0.0f : -top;
    if (!c->fitted)
        return gyre_error_set(err, GYRE_E_INTERNAL, __FILE__, __LINE__, "channel codes before it is calibrated");
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(c)) {
        for (size_t j = 0; j < c->dim; j++) {
            float t = scale[j] > 0.0f ? (x[j] - low[j]) / scale[j] : 0.0f;
            t = t > top ? top : t < bottom ? bottom : t;
            codes[j] = (uint8_t)((int)gyre_round(c->rounding, t) & 0xFF);
        }
        gyre_pack(codes, c->dim, c->bits, bytes);
    }
    return GYRE_OK;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    const channel *c = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    const float *scale = c->scale + head * c->dim, *low = c->low + head * c->dim;
    unsigned sign = c->asym ? 0 : 1u << (c->bits - 1);
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(c)) {
        gyre_unpack(bytes, c->dim, c->bits, codes);
        for (size_t j = 0; j < c->dim; j++)
            x[j] = (float)((int)(codes[j] ^ sign) - (int)sign) * scale[j] + low[j];
    }
}

static size_t stored_bits(const void *state)
{
    const channel *c = state;
    return c->heads * c->dim * (c->asym ? 64 : 32);
}

static const gyre_option options_table[] = {
    GYRE_BITS_ROW(channel_options),
    GYRE_ROUNDING_ROW(channel_options),
    {"asym", GYRE_OPTION_BOOL, offsetof(channel_options, asym), "false", 0, 0, NULL, "", "a minimum beside every scale"},
    {0},
};

const gyre_quantizer_type gyre_quantizer_channel = {
    .name = "channel",
    .summary = "uniform by channel, scales fitted once",
    .source = "arXiv 2605.05699, section 3",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE | GYRE_QUANTIZER_FITTED,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = release,
    .options = options_table,
    .stored_bits = stored_bits,
    .fit = fit,
};
