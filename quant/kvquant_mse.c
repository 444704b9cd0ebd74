/* kvquant_mse: non-uniform levels, static channels for keys, dynamic tokens for values, sparse outliers (C. Hooper et al., KVQuant, NeurIPS 2024, arXiv 2401.18079,
 * sections 3.1 to 3.5; the reading of the public code where the paper is brief). The name's ending: the paper weighs the k-means of its levels with the Fisher
 * information of the model's loss, which needs gradients; here every value weighs the same, that is plain squared error.
 *
 *     K   l_c, u_c = the p and 1 - p quantiles (p = outliers/2) of channel c over the calibration rows; o_c = (l_c + u_c)/2, r_c = (u_c - l_c)/2
 *         a value below l_c or above u_c is an outlier
 *     V   a token's vector, all n = heads * d values of the layer: its floor((n - 1) p) + 1 smallest and as many largest values are outliers (none for p = 0);
 *         l, u = least and largest of the others; o = (l + u)/2, r = (u - l)/2 are stored with the token
 *     code = the nearest of 2^b levels to (x - o)/r (the lower of two), x^ = level * r + o; outliers are binary16 values
 *     levels, one set a layer and stream: 1-D k-means (Lloyd) on the (x - o)/r of the calibration values that are no outliers
 *     the first `first` tokens of a document are binary16, and take no part in the fit
 *
 * l_c, u_c, o and r are rounded to binary16 before they are used. Quantiles interpolate linearly between order statistics. Dimensions: heads * d below 65536. Payload:
 * b bits, 32 per outlier (value and place), and per token 32 (K: where its outliers end; V: o and r) over n values. Stored once: levels (binary32), thresholds of keys
 * (binary16). Cost: b comparisons a value; V sorts a token.
 *
 * What it is not: no Fisher weights (above), no Q-Norm (the paper's 2-bit correction). The public code fits the levels of V to tokens scaled by their p and
 * 1 - p quantiles; here they are scaled as when they are coded. The paper codes keys before RoPE: give it the chain [unrope].
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/grouped.h"

enum { LEVELS_MOST = 256, ROUNDS_MOST = 10000 };

typedef struct kvquant_options {
    int64_t bits, first;
    double outliers;
} kvquant_options;

static const gyre_option table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(kvquant_options, bits), "4", 2, 8, NULL, "bit", "width of a code"},
    {"outliers", GYRE_OPTION_REAL, offsetof(kvquant_options, outliers), "0.01", 0, 0.5, NULL, "share", "values beyond the thresholds, both sides together"},
    {"first", GYRE_OPTION_INT, offsetof(kvquant_options, first), "1", 0, 1024, NULL, "tokens", "first tokens of a document, kept in binary16"},
    {0},
};

typedef struct kvquant {
    size_t heads, dim, n; /* n: values of a token */
    size_t bits, first, side; /* side: outliers of a value token at each end */
    double share;
    bool keys, fitted;
    float *offset, *range, *low, *high; /* of the n channels of keys */
    float levels[LEVELS_MOST], middles[LEVELS_MOST];
} kvquant;

typedef struct ranked {
    float value;
    uint32_t place;
} ranked;

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    (void)options;
    size_t n = site->dim * (site->n_heads > 0 ? site->n_heads : 1);
    if (n <= UINT16_MAX)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "a token has %zu values, whose places exceed 16 bits", n);
    return false;
}

static void release(void *state)
{
    kvquant *s = state;
    if (s == NULL)
        return;
    free(s->offset);
    free(s);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kvquant_options *o = options;
    kvquant *s = NULL;
    GYRE_NEW(&s, 1);
    s->heads = site->n_heads > 0 ? site->n_heads : 1;
    s->dim = site->dim;
    s->n = s->heads * s->dim;
    s->bits = (size_t)o->bits;
    s->first = (size_t)o->first;
    s->share = o->outliers;
    s->keys = site->stream == GYRE_K;
    s->side = o->outliers > 0 ? (size_t)((double)(s->n - 1) * o->outliers / 2) + 1 : 0;
    GYRE_NEW(&s->offset, 4 * s->n);
    s->range = s->offset + s->n;
    s->low = s->range + s->n;
    s->high = s->low + s->n;
    *state = s;
    s = NULL;
done:
    release(s);
    return st;
}

static size_t stored_bits(const void *state)
{
    const kvquant *s = state;
    return ((size_t)32 << s->bits) + (s->keys ? 2 * 16 * s->n : 0);
}

/* Outliers of a token of values: fewer than 2 * side only where there are not as many values. */
static size_t value_outliers(const kvquant *s)
{
    return 2 * s->side < s->n ? 2 * s->side : s->n;
}

/* The part of a token that has a fixed place: codes; V: also o, r and the outliers. */
static size_t dense_bytes(const kvquant *s)
{
    return (s->n * s->bits + 7) / 8 + (s->keys ? 0 : 4 + 4 * value_outliers(s));
}

static size_t most_bytes(const void *state, size_t tokens)
{
    const kvquant *s = state;
    size_t first = tokens < s->first ? tokens : s->first, sparse = s->keys && s->share > 0 ? 4 + 4 * s->n : 0;
    return first * 2 * s->n + (tokens - first) * (dense_bytes(s) + sparse);
}

/* The values of token t, head after head. `tokens` rows a head stand in x. */
static void gather(const kvquant *s, const float *x, size_t tokens, size_t t, float *out)
{
    for (size_t h = 0; h < s->heads; h++)
        memcpy(out + h * s->dim, x + (h * tokens + t) * s->dim, s->dim * sizeof *out);
}

static void scatter(const kvquant *s, const float *in, size_t tokens, size_t t, float *x)
{
    for (size_t h = 0; h < s->heads; h++)
        memcpy(x + (h * tokens + t) * s->dim, in + h * s->dim, s->dim * sizeof *in);
}

static int by_value(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int by_float(const void *left, const void *right)
{
    const float *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* Marks the outliers of a token. For values sets *offset and *range too; false where binary16 cannot hold them. */
static bool split_token(const kvquant *s, const float *x, ranked *order, bool *outlier, float *offset, float *range)
{
    for (size_t i = 0; i < s->n && s->keys; i++)
        outlier[i] = s->share > 0 && (x[i] < s->low[i] || x[i] > s->high[i]);
    if (s->keys)
        return true;
    for (size_t i = 0; i < s->n; i++)
        order[i] = (ranked){x[i], (uint32_t)i};
    qsort(order, s->n, sizeof *order, by_value);
    size_t most = value_outliers(s), below = s->side < most ? s->side : most;
    for (size_t i = 0; i < s->n; i++)
        outlier[order[i].place] = i < below || i + (most - below) >= s->n;
    float lo = most < s->n ? order[below].value / 2 : 0.0f, hi = most < s->n ? order[s->n - (most - below) - 1].value / 2 : 0.0f;
    return gyre_scale_round(GYRE_SCALE_F16, lo + hi, offset) && gyre_scale_round(GYRE_SCALE_F16, hi - lo, range);
}

static float normalised(float x, float offset, float range)
{
    return range > 0.0f ? (x - offset) / range : 0.0f;
}

static uint8_t nearest(const kvquant *s, float t)
{
    size_t low = 0, high = ((size_t)1 << s->bits) - 1; /* the code is the number of middles below t */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t > s->middles[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

/* Quantile p of sorted values, interpolated. */
static double quantile(const float *sorted, size_t n, double p)
{
    double place = (double)(n - 1) * p;
    size_t i = (size_t)place;
    double next = i + 1 < n ? (double)sorted[i + 1] : (double)sorted[i];
    return (double)sorted[i] + (place - (double)i) * (next - (double)sorted[i]);
}

static gyre_status fit_thresholds(kvquant *s, const float *x, size_t documents, size_t tokens, float *work, gyre_error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t count = 0;
        for (size_t n = 0; n < documents; n++)
            for (size_t t = s->first; t < tokens; t++)
                work[count++] = x[((i / s->dim * documents + n) * tokens + t) * s->dim + i % s->dim];
        qsort(work, count, sizeof *work, by_float);
        double low = quantile(work, count, s->share / 2), high = quantile(work, count, 1.0 - s->share / 2);
        if (!gyre_scale_round(GYRE_SCALE_F16, (float)low, &s->low[i]) || !gyre_scale_round(GYRE_SCALE_F16, (float)high, &s->high[i]))
            return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "kvquant_mse: calibration rows of kv head %zu, channel %zu range from %g to %g, beyond binary16",
                                  i / s->dim, i % s->dim, low, high);
        s->offset[i] = (s->low[i] + s->high[i]) / 2;
        s->range[i] = (s->high[i] - s->low[i]) / 2;
    }
    return GYRE_OK;
}

/* First of sorted values above `bound`. */
static size_t first_above(const float *sorted, size_t n, double bound)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((double)sorted[middle] > bound)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Lloyd from the quantiles (i + 1/2)/2^b until no level moves; sums[i] is the sum of the i smallest. A level without values stays. */
static void lloyd(kvquant *s, const float *sorted, const double *sums, size_t n)
{
    size_t count = (size_t)1 << s->bits;
    double levels[LEVELS_MOST];
    for (size_t i = 0; i < count; i++)
        levels[i] = n > 0 ? (double)sorted[(size_t)(((double)i + 0.5) / (double)count * (double)n)] : ((double)i + 0.5) / (double)count * 2 - 1;
    bool moved = n > 0;
    for (size_t round = 0; round < ROUNDS_MOST && moved; round++) {
        size_t from = 0;
        double next[LEVELS_MOST];
        moved = false;
        for (size_t i = 0; i < count; i++) {
            size_t to = i + 1 < count ? first_above(sorted, n, (levels[i] + levels[i + 1]) / 2) : n;
            next[i] = to > from ? (sums[to] - sums[from]) / (double)(to - from) : levels[i];
            moved |= next[i] != levels[i];
            from = to > from ? to : from;
        }
        memcpy(levels, next, count * sizeof *levels);
    }
    for (size_t i = 0; i < count; i++)
        s->levels[i] = (float)levels[i];
    for (size_t i = 0; i + 1 < count; i++)
        s->middles[i] = s->levels[i] / 2 + s->levels[i + 1] / 2;
}

static gyre_status fit(void *state, const float *x, size_t documents, size_t tokens, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    kvquant *s = state;
    float *values = NULL, *token = NULL;
    double *sums = NULL;
    ranked *order = NULL;
    bool *outlier = NULL;
    size_t count = 0;
    if (documents == 0)
        GYRE_FAIL(GYRE_E_INPUT, "kvquant_mse has no calibration rows: name calibration documents");
    if (tokens <= s->first)
        GYRE_FAIL(GYRE_E_INPUT, "kvquant_mse has no calibration rows: documents have %zu tokens, of which the first %zu stay exact", tokens, s->first);
    GYRE_NEW(&values, s->n * documents * tokens);
    GYRE_NEW(&sums, s->n * documents * tokens + 1);
    GYRE_NEW(&token, s->n);
    GYRE_NEW(&order, s->n);
    GYRE_NEW(&outlier, s->n);
    if (s->keys)
        GYRE_TRY(fit_thresholds(s, x, documents, tokens, values, err));
    for (size_t n = 0; n < documents; n++)
        for (size_t t = s->first; t < tokens; t++) {
            float offset = 0.0f, range = 0.0f;
            gather(s, x, documents * tokens, n * tokens + t, token);
            if (!split_token(s, token, order, outlier, &offset, &range))
                GYRE_FAIL(GYRE_E_RANGE, "kvquant_mse: calibration token %zu of document %zu has values beyond binary16", t, n);
            for (size_t i = 0; i < s->n; i++)
                if (!outlier[i])
                    values[count++] = s->keys ? normalised(token[i], s->offset[i], s->range[i]) : normalised(token[i], offset, range);
        }
    qsort(values, count, sizeof *values, by_float);
    for (size_t i = 0; i < count; i++)
        sums[i + 1] = sums[i] + (double)values[i];
    lloyd(s, values, sums, count);
    s->fitted = true;
done:
    free(outlier);
    free(order);
    free(token);
    free(sums);
    free(values);
    return st;
}

static gyre_status beyond(size_t token, gyre_error *err)
{
    return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "kvquant_mse: token %zu has a value beyond binary16", token);
}

static bool put_half(float value, uint8_t **at)
{
    float rounded;
    if (!gyre_scale_round(GYRE_SCALE_F16, value, &rounded))
        return false;
    *at = gyre_scale_put(GYRE_SCALE_F16, rounded, *at);
    return true;
}

/* Outliers of a token in order of place. */
static bool put_outliers(const kvquant *s, const float *x, const bool *outlier, uint8_t **at)
{
    for (size_t i = 0; i < s->n; i++)
        if (outlier[i]) {
            *at = gyre_put_u16((uint32_t)i, *at);
            if (!put_half(x[i], at))
                return false;
        }
    return true;
}

/* The dense part of a token. */
static bool put_token(const kvquant *s, const float *x, const bool *outlier, float offset, float range, uint8_t *codes, uint8_t *at)
{
    for (size_t i = 0; i < s->n; i++)
        codes[i] = outlier[i] ? 0 : nearest(s, s->keys ? normalised(x[i], s->offset[i], s->range[i]) : normalised(x[i], offset, range));
    gyre_pack(codes, s->n, s->bits, at);
    at += (s->n * s->bits + 7) / 8;
    if (s->keys)
        return true;
    at = gyre_scale_put(GYRE_SCALE_F16, offset, at);
    at = gyre_scale_put(GYRE_SCALE_F16, range, at);
    return put_outliers(s, x, outlier, &at);
}

static gyre_status encode_block(const void *state, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kvquant *s = state;
    size_t first = tokens < s->first ? tokens : s->first, coded = tokens - first;
    bool sparse = s->keys && s->share > 0, *outlier = NULL, good = true;
    float *token = NULL;
    ranked *order = NULL;
    uint8_t *codes = NULL, *at = bytes, *dense = bytes + first * 2 * s->n, *ends = dense + coded * dense_bytes(s);
    uint8_t *entries = ends + (sparse ? 4 * coded : 0), *entry = entries;
    if (!s->fitted)
        GYRE_FAIL(GYRE_E_INTERNAL, "kvquant_mse is used before it is fitted");
    GYRE_NEW(&token, s->n);
    GYRE_NEW(&order, s->n);
    GYRE_NEW(&outlier, s->n);
    GYRE_NEW(&codes, s->n);
    for (size_t t = 0; t < tokens; t++) {
        float offset = 0.0f, range = 0.0f;
        gather(s, x, tokens, t, token);
        for (size_t i = 0; i < s->n && t < first; i++)
            good = good && put_half(token[i], &at);
        if (t >= first) {
            good = split_token(s, token, order, outlier, &offset, &range) && put_token(s, token, outlier, offset, range, codes, dense + (t - first) * dense_bytes(s));
            good = good && (!sparse || put_outliers(s, token, outlier, &entry));
        }
        if (!good)
            GYRE_TRY(beyond(t, err));
        if (sparse && t >= first)
            (void)gyre_put_u32((uint32_t)((entry - entries) / 4), ends + 4 * (t - first));
    }
    *size = (size_t)(entry - bytes);
done:
    free(codes);
    free(outlier);
    free(order);
    free(token);
    return st;
}

/* `count` outliers over a token's values; places increase. */
static gyre_status get_outliers(const kvquant *s, const uint8_t *at, size_t count, float *x, gyre_error *err)
{
    size_t next = 0;
    for (size_t k = 0; k < count; k++, at += 4) {
        size_t place = gyre_get_u16(at);
        if (place < next || place >= s->n)
            return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "kvquant_mse: an outlier at place %zu of %zu, after %zu", place, s->n, next);
        next = place + 1;
        (void)gyre_scale_get(GYRE_SCALE_F16, at + 2, &x[place]);
    }
    return GYRE_OK;
}

static gyre_status get_token(const kvquant *s, const uint8_t *at, uint8_t *codes, float *x, gyre_error *err)
{
    float offset = 0.0f, range = 0.0f;
    gyre_unpack(at, s->n, s->bits, codes);
    at += (s->n * s->bits + 7) / 8;
    if (!s->keys)
        at = gyre_scale_get(GYRE_SCALE_F16, gyre_scale_get(GYRE_SCALE_F16, at, &offset), &range);
    for (size_t i = 0; i < s->n; i++)
        x[i] = s->levels[codes[i]] * (s->keys ? s->range[i] : range) + (s->keys ? s->offset[i] : offset);
    return s->keys ? GYRE_OK : get_outliers(s, at, value_outliers(s), x, err);
}

static gyre_status decode_block(const void *state, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kvquant *s = state;
    size_t first = tokens < s->first ? tokens : s->first, coded = tokens - first, end = 0;
    bool sparse = s->keys && s->share > 0;
    size_t fixed = first * 2 * s->n + coded * (dense_bytes(s) + (sparse ? 4 : 0));
    const uint8_t *dense = bytes + first * 2 * s->n;
    float *token = NULL;
    uint8_t *codes = NULL;
    if (size < fixed || (size - fixed) % 4 != 0 || (!sparse && size != fixed))
        GYRE_FAIL(GYRE_E_INPUT, "kvquant_mse: %zu bytes for %zu tokens, which take %zu and 4 for an outlier of keys", size, tokens, fixed);
    GYRE_NEW(&token, s->n);
    GYRE_NEW(&codes, s->n);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < s->n && t < first; i++)
            (void)gyre_scale_get(GYRE_SCALE_F16, bytes + 2 * (t * s->n + i), &token[i]);
        if (t >= first)
            GYRE_TRY(get_token(s, dense + (t - first) * dense_bytes(s), codes, token, err));
        if (sparse && t >= first) {
            size_t from = end;
            end = gyre_get_u32(dense + coded * dense_bytes(s) + 4 * (t - first));
            if (end < from || end > (size - fixed) / 4)
                GYRE_FAIL(GYRE_E_INPUT, "kvquant_mse: the outliers of token %zu end at %zu of %zu", t, end, (size - fixed) / 4);
            GYRE_TRY(get_outliers(s, bytes + fixed + 4 * from, end - from, token, err));
        }
        scatter(s, token, tokens, t, x);
    }
    if (end != (size - fixed) / 4)
        GYRE_FAIL(GYRE_E_INPUT, "kvquant_mse: %zu outliers, of which tokens take %zu", (size - fixed) / 4, end);
done:
    free(codes);
    free(token);
    return st;
}

/* Without outliers a block of keys has a fixed size; that of values has it always, but flags hold for both streams. */
static void refine(const void *options, unsigned *flags)
{
    const kvquant_options *o = options;
    *flags |= o->outliers > 0 ? 0u : GYRE_FIXED_SIZE;
}

/* Not TOKEN_LOCAL: a row of values decodes by the other heads of its token. RANDOM_ACCESS and ONLINE as the paper's columns: dense part, ends and entries are three
 * arrays. */
const gyre_quantizer_type gyre_quantizer_kvquant_mse = {
    .name = "kvquant_mse",
    .summary = "KVQuant without its Fisher weights: k-means levels, sparse outliers, first token exact",
    .source = "arXiv 2401.18079 (KVQuant), section 3, without Fisher weights",
    .bits_formula = "bits + 32 * (share of outliers) + 32 / (heads * dim); first tokens: 16",
    .flags = GYRE_QUANTIZER_FITTED | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .span = GYRE_SPAN_HEADS,
    .init = init,
    .free = release,
    .most_bytes = most_bytes,
    .encode_block = encode_block,
    .decode_block = decode_block,
    .options = table,
    .refine = refine,
    .applicable = applicable,
    .stored_bits = stored_bits,
    .fit = fit,
};
