/* kivi: keys per channel, values per token (Z. Liu et al., KIVI, ICML 2024, arXiv 2402.02750).
 *
 *     K   of each head: tokens in groups of G; in each group every channel is one asym group:  scale = (max - min)/(2^b - 1) over its G tokens
 *         the T mod G tokens of the last, incomplete group as binary16
 *     V   of each head: every token, in asym groups of G channels
 *
 * The stream tells which. Codes, rounding and parameters are asym's (quant/asym.c): a group of keys is the bytes of asym, group row, on the transposed group.
 * Dimensions: any for K; for V, G divides d. Payload: b + 2 * 16 / G bits in whole groups with binary16 parameters (3 at b = 2, G = 32). Cost: that of asym.
 *
 * What it is not: the paper also keeps the last R (128) tokens of K and V as binary16; that window moves with the query and is the codec's. Here every token of a whole
 * group is coded, as if R were 0.
 */
#include <stdio.h>
#include <stdlib.h>

#include "quant/kivi_grid.h"

typedef struct kivi_options {
    int64_t bits, group;
    int scale;
} kivi_options;

static const gyre_option table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(kivi_options, bits), "2", 2, 8, NULL, "bit", "width of a code"},
    {"group", GYRE_OPTION_INT, offsetof(kivi_options, group), "32", 1, GYRE_QUANTIZER_DIM, NULL, "tokens (K), coordinates (V)", "what shares one scale and minimum"},
    {"scale", GYRE_OPTION_CHOICE, offsetof(kivi_options, scale), "f16", 0, 0, gyre_scale_formats, "", "format of the stored scale and minimum"},
    {0},
};

typedef struct kivi {
    gyre_kivi_grid grid;
    size_t heads;
    bool keys;
} kivi;

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const kivi_options *o = options;
    if (site->stream != GYRE_V || site->dim % (size_t)o->group == 0)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "the group %lld of values does not divide the head dimension %zu", (long long)o->group, site->dim);
    return false;
}

static void release(void *state)
{
    kivi *s = state;
    if (s == NULL)
        return;
    gyre_kivi_grid_free(&s->grid);
    free(s);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kivi_options *o = options;
    kivi *s = NULL;
    GYRE_NEW(&s, 1);
    s->heads = site->n_heads > 0 ? site->n_heads : 1;
    s->keys = site->stream == GYRE_K;
    GYRE_TRY(gyre_kivi_grid_init(&s->grid, site->dim, (size_t)o->group, s->keys ? 0 : (size_t)o->group, o->bits, o->scale, err));
    *state = s;
    s = NULL;
done:
    release(s);
    return st;
}

static size_t most_bytes(const void *state, size_t tokens)
{
    const kivi *s = state;
    size_t whole = gyre_kivi_whole(&s->grid, tokens);
    if (!s->keys)
        return s->heads * tokens * gyre_kivi_values_bytes(&s->grid);
    return s->heads * (whole / s->grid.group * gyre_kivi_keys_bytes(&s->grid) + (tokens - whole) * gyre_kivi_rest_bytes(&s->grid));
}

static gyre_status encode_keys(const kivi *s, const float *x, size_t tokens, uint8_t *bytes, gyre_error *err)
{
    size_t t = 0;
    for (; t + s->grid.group <= tokens; t += s->grid.group, bytes += gyre_kivi_keys_bytes(&s->grid)) {
        gyre_status st = gyre_kivi_keys_encode(&s->grid, x + t * s->grid.dim, bytes, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "tokens %zu to %zu", t, t + s->grid.group - 1);
            return st;
        }
    }
    gyre_status st = gyre_kivi_rest_encode(&s->grid, x + t * s->grid.dim, tokens - t, bytes, err);
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "counted from token %zu, in the last incomplete group", t);
    return st;
}

static void decode_keys(const kivi *s, const uint8_t *bytes, size_t tokens, float *x)
{
    size_t t = 0;
    for (; t + s->grid.group <= tokens; t += s->grid.group, bytes += gyre_kivi_keys_bytes(&s->grid))
        gyre_kivi_keys_decode(&s->grid, bytes, x + t * s->grid.dim);
    gyre_kivi_rest_decode(&s->grid, bytes, tokens - t, x + t * s->grid.dim);
}

static gyre_status encode_block(const void *state, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err)
{
    const kivi *s = state;
    size_t each = most_bytes(s, tokens) / s->heads;
    for (size_t h = 0; h < s->heads; h++) {
        const float *own = x + h * tokens * s->grid.dim;
        gyre_status st = s->keys ? encode_keys(s, own, tokens, bytes + h * each, err) : gyre_kivi_values_encode(&s->grid, own, tokens, bytes + h * each, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "kivi: kv head %zu", h);
            return st;
        }
    }
    *size = s->heads * each;
    return GYRE_OK;
}

static gyre_status decode_block(const void *state, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err)
{
    const kivi *s = state;
    size_t each = most_bytes(s, tokens) / s->heads;
    if (size != s->heads * each)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "kivi: %zu bytes for %zu tokens, which take %zu", size, tokens, s->heads * each);
    for (size_t h = 0; h < s->heads; h++) {
        float *own = x + h * tokens * s->grid.dim;
        if (s->keys)
            decode_keys(s, bytes + h * each, tokens, own);
        else
            gyre_kivi_values_decode(&s->grid, bytes + h * each, tokens, own);
    }
    return GYRE_OK;
}

/* Flags hold for both streams. Not TOKEN_LOCAL: a key's step comes from its group. Not ONLINE: the G-th key turns the G - 1 before it from binary16 into codes. */
const gyre_quantizer_type gyre_quantizer_kivi = {
    .name = "kivi",
    .summary = "KIVI: keys per channel over token groups, values per token (no residual window)",
    .source = "arXiv 2402.02750 (KIVI)",
    .bits_formula = "whole groups: bits + 2 * (32 or 16) / group, codes padded to whole bytes; K beyond them: 16",
    .flags = GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS,
    .span = GYRE_SPAN_TOKENS,
    .init = init,
    .free = release,
    .most_bytes = most_bytes,
    .encode_block = encode_block,
    .decode_block = decode_block,
    .options = table,
    .applicable = applicable,
};
