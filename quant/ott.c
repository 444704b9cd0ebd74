/* ott: KIVI's grid without the tokens whose keys are outliers (Y. Su et al., Accurate KV Cache Quantization with Outlier Tokens Tracing, ACL 2025, arXiv 2505.10938), as
 * published accounts of the paper give it; its text and code were not at hand.
 *
 * Keys of a channel lie together but for a few tokens whose keys are small in every channel; those stretch the range. So, for every whole group of G tokens, in order:
 *
 *     s_t = sum_i |k_ti|                        the pool: the `outliers` tokens of smallest s so far; equal sums: the earlier token
 *     candidates = pool and the group's G tokens; the `outliers` smallest become the pool
 *     tokens that leave the pool go to a reserve of at most `pool` tokens; a group that would overfill it changes nothing, and ends the tracing
 *     k_t, v_t of the group's tokens that entered the pool <- mean over the group's G tokens, then K and V of the group are coded as kivi codes them
 *     decoding: tokens of the pool and of the reserve are K and V rows in binary16, the others come from the grid
 *
 * K per channel over the G tokens, V per token in groups of `group_v` channels (the paper's G = 128 is the whole row at d = 128), K and V alike compressed a group at a
 * time, the T mod G tokens after the last group as binary16. Choosing the tokens of V needs K: both streams are coded together. Dimensions: group_v divides d. Cost:
 * kivi and d adds a key. Payload: b + 16/G + 16/group_v in whole groups (mean of K and V, binary16 parameters), the slot of an exact token included; 16 beyond them; 4
 * d bytes and an index per exact token.
 *
 * What it is not: the last R (32) tokens stay exact in the paper; that window is the codec's. Its `outliers: 0` for the first two layers is a matter of configuration:
 * give these layers another arm. Those accounts do not say whether s_t is taken per KV head or over the heads of a layer: `per` offers both.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/kivi_grid.h"

enum { OUTLIERS_MOST = 64 };

typedef struct ott_options {
    int64_t bits, group, group_v, outliers, pool;
    int scale, per;
} ott_options;

static const char *const pers[] = {"head", "layer", NULL};
static const gyre_option table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(ott_options, bits), "2", 2, 8, NULL, "bit", "width of a code"},
    {"group", GYRE_OPTION_INT, offsetof(ott_options, group), "128", 1, GYRE_QUANTIZER_DIM, NULL, "tokens", "keys of a channel that share one scale and minimum"},
    {"group_v", GYRE_OPTION_INT, offsetof(ott_options, group_v), "row", 1, GYRE_QUANTIZER_DIM, gyre_group_words, "coordinates",
     "values that share one: the row or a divisor"},
    {"outliers", GYRE_OPTION_INT, offsetof(ott_options, outliers), "3", 0, OUTLIERS_MOST, NULL, "tokens", "smallest keys that are traced"},
    {"pool", GYRE_OPTION_INT, offsetof(ott_options, pool), "32", 0, 1024, NULL, "tokens", "room for tokens that were traced once"},
    {"scale", GYRE_OPTION_CHOICE, offsetof(ott_options, scale), "f16", 0, 0, gyre_scale_formats, "", "format of the stored scale and minimum"},
    {"per", GYRE_OPTION_CHOICE, offsetof(ott_options, per), "head", 0, 0, pers, "", "whose keys are summed, and who shares the tokens"},
    {0},
};

typedef struct ott {
    gyre_kivi_grid grid;
    size_t heads, lanes; /* lanes: sets of traced tokens, one a head or one for all */
    size_t outliers, pool;
} ott;

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const ott_options *o = options;
    if (o->group_v == 0 || site->dim % (size_t)o->group_v == 0)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "the group %lld of values does not divide the head dimension %zu", (long long)o->group_v, site->dim);
    return false;
}

static void release(void *state)
{
    ott *s = state;
    if (s == NULL)
        return;
    gyre_kivi_grid_free(&s->grid);
    free(s);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const ott_options *o = options;
    ott *s = NULL;
    GYRE_NEW(&s, 1);
    s->heads = site->n_heads > 0 ? site->n_heads : 1;
    s->lanes = o->per == 0 ? s->heads : 1;
    s->outliers = (size_t)o->outliers;
    s->pool = (size_t)o->pool;
    GYRE_TRY(gyre_kivi_grid_init(&s->grid, site->dim, (size_t)o->group, (size_t)o->group_v, o->bits, o->scale, err));
    *state = s;
    s = NULL;
done:
    release(s);
    return st;
}

/* The grid's part of a head. */
static size_t head_bytes(const ott *s, size_t tokens)
{
    size_t whole = gyre_kivi_whole(&s->grid, tokens);
    return whole / s->grid.group * gyre_kivi_keys_bytes(&s->grid) + whole * gyre_kivi_values_bytes(&s->grid) + 2 * (tokens - whole) * gyre_kivi_rest_bytes(&s->grid);
}

/* An exact token: its number, then K and V of the lane's heads. */
static size_t exact_bytes(const ott *s)
{
    return 4 + s->heads / s->lanes * 2 * gyre_kivi_rest_bytes(&s->grid);
}

static size_t most_bytes(const void *state, size_t tokens)
{
    const ott *s = state;
    size_t whole = gyre_kivi_whole(&s->grid, tokens), exact = s->outliers + s->pool;
    return s->heads * head_bytes(s, tokens) + s->lanes * (2 + (exact < whole ? exact : whole) * exact_bytes(s));
}

/* The `n` smallest of `held` and of tokens first..first+group-1, the earlier of equals. */
static size_t smallest(const double *sums, const size_t *held, size_t n_held, size_t first, size_t group, size_t n, size_t *chosen)
{
    size_t count = 0;
    for (; count < n && count < n_held + group; count++) {
        size_t best = SIZE_MAX;
        for (size_t c = 0; c < n_held + group; c++) {
            size_t t = c < n_held ? held[c] : first + c - n_held;
            bool taken = false;
            for (size_t i = 0; i < count; i++)
                taken |= chosen[i] == t;
            if (!taken && (best == SIZE_MAX || sums[t] < sums[best] || (sums[t] == sums[best] && t < best)))
                best = t;
        }
        chosen[count] = best;
    }
    return count;
}

/* Marks the tokens that ever enter the pool. */
static void trace(const ott *s, const double *sums, size_t whole, bool *exact)
{
    size_t held[OUTLIERS_MOST], chosen[OUTLIERS_MOST], n_held = 0, reserve = 0;
    for (size_t first = 0; first < whole && s->outliers > 0; first += s->grid.group) {
        size_t n = smallest(sums, held, n_held, first, s->grid.group, s->outliers, chosen), kept = 0;
        for (size_t i = 0; i < n; i++)
            kept += chosen[i] < first;
        if (reserve + (n_held - kept) > s->pool)
            return;
        reserve += n_held - kept;
        for (size_t i = 0; i < n; i++)
            exact[chosen[i]] = true;
        memcpy(held, chosen, n * sizeof *held);
        n_held = n;
    }
}

static void trace_lanes(const ott *s, const float *k, size_t tokens, double *sums, bool *exact)
{
    size_t d = s->grid.dim, per = s->heads / s->lanes;
    for (size_t lane = 0; lane < s->lanes; lane++) {
        for (size_t t = 0; t < tokens; t++) {
            sums[t] = 0.0;
            for (size_t h = lane * per; h < (lane + 1) * per; h++)
                for (size_t i = 0; i < d; i++)
                    sums[t] += fabs((double)k[(h * tokens + t) * d + i]);
        }
        trace(s, sums, gyre_kivi_whole(&s->grid, tokens), exact + lane * tokens);
    }
}

/* The group's rows, those of exact tokens replaced by the mean row of the group. */
static void without_outliers(const ott *s, const float *x, const bool *exact, float *rows)
{
    size_t d = s->grid.dim, group = s->grid.group;
    memcpy(rows, x, group * d * sizeof *rows);
    for (size_t i = 0; i < d; i++) {
        double sum = 0.0;
        for (size_t t = 0; t < group; t++)
            sum += (double)x[t * d + i];
        for (size_t t = 0; t < group; t++)
            if (exact[t])
                rows[t * d + i] = (float)(sum / (double)group);
    }
}

static gyre_status encode_head(const ott *s, const float *k, const float *v, size_t tokens, const bool *exact, float *rows, uint8_t *at, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t d = s->grid.dim, group = s->grid.group, t = 0;
    for (; t + group <= tokens && st == GYRE_OK; t += group) {
        without_outliers(s, k + t * d, exact + t, rows);
        st = gyre_kivi_keys_encode(&s->grid, rows, at, err);
        at += gyre_kivi_keys_bytes(&s->grid);
        if (st == GYRE_OK) {
            without_outliers(s, v + t * d, exact + t, rows);
            st = gyre_kivi_values_encode(&s->grid, rows, group, at, err);
            at += group * gyre_kivi_values_bytes(&s->grid);
        }
        if (st != GYRE_OK)
            (void)gyre_error_context(err, "counted from token %zu", t);
    }
    for (int stream = 0; stream < 2 && st == GYRE_OK; stream++) {
        st = gyre_kivi_rest_encode(&s->grid, (stream == 0 ? k : v) + t * d, tokens - t, at, err);
        at += (tokens - t) * gyre_kivi_rest_bytes(&s->grid);
        if (st != GYRE_OK)
            (void)gyre_error_context(err, "counted from token %zu, in the last incomplete group", t);
    }
    return st;
}

static gyre_status encode_exact(const ott *s, const float *x, size_t tokens, size_t lane, const bool *exact, uint8_t **bytes, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t d = s->grid.dim, per = s->heads / s->lanes;
    uint32_t count = 0;
    for (size_t t = 0; t < tokens; t++)
        count += exact[t];
    *bytes = gyre_put_u16(count, *bytes);
    for (size_t t = 0; t < tokens; t++) {
        if (!exact[t])
            continue;
        *bytes = gyre_put_u32((uint32_t)t, *bytes);
        for (size_t r = 0; r < 2 * per; r++) { /* K of the heads, then V */
            size_t h = r / per * s->heads + lane * per + r % per;
            st = gyre_kivi_rest_encode(&s->grid, x + (h * tokens + t) * d, 1, *bytes, err);
            if (st != GYRE_OK) {
                (void)gyre_error_context(err, "ott: exact token %zu", t);
                goto done;
            }
            *bytes += gyre_kivi_rest_bytes(&s->grid);
        }
    }
done:
    return st;
}

static gyre_status encode_block(const void *state, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const ott *s = state;
    size_t d = s->grid.dim, per = s->heads / s->lanes;
    bool *exact = NULL;
    double *sums = NULL;
    float *rows = NULL;
    uint8_t *at = bytes;
    GYRE_NEW(&exact, s->lanes * tokens);
    GYRE_NEW(&sums, tokens);
    GYRE_NEW(&rows, s->grid.group * d);
    trace_lanes(s, x, tokens, sums, exact);
    for (size_t h = 0; h < s->heads; h++, at += head_bytes(s, tokens)) {
        st = encode_head(s, x + h * tokens * d, x + (s->heads + h) * tokens * d, tokens, exact + h / per * tokens, rows, at, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "ott: kv head %zu", h);
            goto done;
        }
    }
    for (size_t lane = 0; lane < s->lanes; lane++)
        GYRE_TRY(encode_exact(s, x, tokens, lane, exact + lane * tokens, &at, err));
    *size = (size_t)(at - bytes);
done:
    free(rows);
    free(sums);
    free(exact);
    return st;
}

static void decode_head(const ott *s, const uint8_t *at, size_t tokens, float *k, float *v)
{
    size_t d = s->grid.dim, group = s->grid.group, t = 0;
    for (; t + group <= tokens; t += group) {
        gyre_kivi_keys_decode(&s->grid, at, k + t * d);
        at += gyre_kivi_keys_bytes(&s->grid);
        gyre_kivi_values_decode(&s->grid, at, group, v + t * d);
        at += group * gyre_kivi_values_bytes(&s->grid);
    }
    gyre_kivi_rest_decode(&s->grid, at, tokens - t, k + t * d);
    gyre_kivi_rest_decode(&s->grid, at + (tokens - t) * gyre_kivi_rest_bytes(&s->grid), tokens - t, v + t * d);
}

/* Tokens increase and belong to whole groups. */
static gyre_status decode_exact(const ott *s, const uint8_t **bytes, const uint8_t *end, size_t tokens, size_t lane, float *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t d = s->grid.dim, per = s->heads / s->lanes, whole = gyre_kivi_whole(&s->grid, tokens), next = 0;
    if (end - *bytes < 2)
        GYRE_FAIL(GYRE_E_INPUT, "ott: the block ends before its exact tokens");
    size_t count = gyre_get_u16(*bytes);
    *bytes += 2;
    if (count > (size_t)(end - *bytes) / exact_bytes(s))
        GYRE_FAIL(GYRE_E_INPUT, "ott: %zu exact tokens do not fit the block", count);
    for (size_t n = 0; n < count; n++) {
        size_t t = gyre_get_u32(*bytes);
        if (t < next || t >= whole)
            GYRE_FAIL(GYRE_E_INPUT, "ott: exact token %zu of %zu, after %zu", t, whole, next);
        next = t + 1;
        *bytes += 4;
        for (size_t r = 0; r < 2 * per; r++, *bytes += gyre_kivi_rest_bytes(&s->grid))
            gyre_kivi_rest_decode(&s->grid, *bytes, 1, x + ((r / per * s->heads + lane * per + r % per) * tokens + t) * d);
    }
done:
    return st;
}

static gyre_status decode_block(const void *state, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const ott *s = state;
    size_t each = head_bytes(s, tokens);
    const uint8_t *end = bytes + size;
    if (size < s->heads * each)
        GYRE_FAIL(GYRE_E_INPUT, "ott: %zu bytes for %zu tokens, which take %zu at least", size, tokens, s->heads * each);
    for (size_t h = 0; h < s->heads; h++, bytes += each)
        decode_head(s, bytes, tokens, x + h * tokens * s->grid.dim, x + (s->heads + h) * tokens * s->grid.dim);
    for (size_t lane = 0; lane < s->lanes; lane++)
        GYRE_TRY(decode_exact(s, &bytes, end, tokens, lane, x, err));
    if (bytes != end)
        GYRE_FAIL(GYRE_E_INPUT, "ott: %zu bytes too many", (size_t)(end - bytes));
done:
    return st;
}

/* RANDOM_ACCESS: the grid has fixed places, and the list of exact tokens has at most outliers + pool entries. Not FIXED_SIZE: how many there are depends on the keys.
 * Not ONLINE: as kivi. */
const gyre_quantizer_type gyre_quantizer_ott = {
    .name = "ott",
    .summary = "Outlier Tokens Tracing: KIVI's grid, tokens with the smallest keys exact (no residual window)",
    .source = "arXiv 2505.10938 (OTT), by accounts of it",
    .bits_formula = "whole groups: bits + (32 or 16) * (1 / group + 1 / group_v), and 16 + 16 / dim per value of an exact token; beyond them: 16",
    .flags = GYRE_RANDOM_ACCESS,
    .span = GYRE_SPAN_STREAMS,
    .init = init,
    .free = release,
    .most_bytes = most_bytes,
    .encode_block = encode_block,
    .decode_block = decode_block,
    .options = table,
    .applicable = applicable,
};
