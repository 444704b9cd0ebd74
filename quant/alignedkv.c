/* alignedkv: every value is stored as binary16 and read with 8, 12 or 16 of its bits, by the query (AlignedKV, arXiv 2409.16546; its public code, commit 9a2a1e9).
 *
 * The bits of a binary16 h stand in three planes: h >> 8 (sign, exponent, two bits of the mantissa), h >> 4 & 15, h & 15. A reader that leaves out the last plane puts 8 in its
 * place, one that leaves out two puts 0x80: the middle of what was left out. E(h) = h >> 10 & 31 is the exponent field. Tokens of the last incomplete block of 64 are read whole.
 *
 *   keys     e_i = E(q_i) + max_t E(k_ti) over the visible tokens; coordinate i of every key is read with 16 bits where max e - e_i < 4, 12 where < 8, else 8
 *   values   32 probes: of the tokens t with t mod 32 = c, the one with the largest weight; o_i = sum over probes of weight |v_i as 8 bits|;
 *            a = min_i (E(o_i) - 1 + 15 - max_t E(v_ti)); token t is read with 16 bits where 1024 a - (weight_t as binary16) < 4 * 1024, 12 where < 8 * 1024, else 8
 *
 * Oddities of the code, as options: `maximum: signed` takes E of the largest value instead of the largest E
 * (the code does so for the tokens of the prompt, and later ones enter by magnitude; here for all visible tokens); `exponent: masked` clears the lowest bit of E(o_i) instead of taking
 * away 1 (`& 0x1F - 1`); `steps: code` reads values with 1 and 2 exponent steps instead of 4 and 8 (its comment has these); `accumulate: f16` rounds each sum to binary16, as its
 * fused multiply-add does. The code's unsigned byte arithmetic, which wraps where a is negative, is not followed: such rows are read whole.
 *
 * Payload 16 bits per value; what a query reads is counted apart, the probes' 8 bits with it. Even head dimensions. It saves traffic, not memory; it is no quantizer in the usual
 * sense, so nmse says nothing of it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "quant/quantizer.h"

enum { BLOCK = 64, PROBES = 32 };

typedef struct options {
    int maximum, exponent, steps, accumulate;
} options;

static const char *const maxima[] = {"absolute", "signed", NULL};
static const char *const exponents[] = {"minus_one", "masked", NULL};
static const char *const step_names[] = {"paper", "code", NULL};
static const char *const sums[] = {"f32", "f16", NULL};
static const gyre_option table[] = {
    {"maximum", GYRE_OPTION_CHOICE, offsetof(options, maximum), "absolute", 0, 0, maxima, "", "exponent of a column: the largest, or that of the largest value"},
    {"exponent", GYRE_OPTION_CHOICE, offsetof(options, exponent), "minus_one", 0, 0, exponents, "", "values: exponent of the estimated output less one, or its lowest bit cleared"},
    {"steps", GYRE_OPTION_CHOICE, offsetof(options, steps), "paper", 0, 0, step_names, "", "values: 12 and 8 bits from 4 and 8 exponent steps below, or from 1 and 2"},
    {"accumulate", GYRE_OPTION_CHOICE, offsetof(options, accumulate), "f32", 0, 0, sums, "", "format of running sums"},
    {0},
};

typedef struct alignedkv {
    size_t dim, heads;
    options o;
    float value[65536]; /* of every binary16 */
} alignedkv;

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_QUANTIZER_WHY])
{
    (void)values;
    if (site->dim % 2 == 0)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "the head dimension %zu is odd, and its planes hold two coordinates a byte", site->dim);
    return false;
}

static gyre_status init(const gyre_site *site, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    alignedkv *a = NULL;
    GYRE_NEW(&a, 1);
    a->dim = site->dim;
    a->heads = site->n_heads > 0 ? site->n_heads : 1;
    a->o = *(const options *)values;
    for (uint32_t h = 0; h < 65536; h++)
        a->value[h] = gyre_half_to_float((uint16_t)h);
    *state = a;
done:
    return st;
}

static size_t row_bytes(const void *state)
{
    return 2 * ((const alignedkv *)state)->dim;
}

/* A row: dim bytes of the first plane, dim / 2 of the second, dim / 2 of the third; the even coordinate of a pair in the low half. */
static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    const alignedkv *a = state;
    for (size_t r = 0; r < n; r++, x += stride, bytes += 2 * a->dim) {
        uint8_t *middle = bytes + a->dim, *last = middle + a->dim / 2;
        memset(middle, 0, a->dim);
        for (size_t i = 0; i < a->dim; i++) {
            if (!(fabsf(x[i]) < 65520.0f))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "alignedkv: row %zu, coordinate %zu is %g, beyond binary16", r, i, (double)x[i]);
            uint16_t h = gyre_half_from_float(x[i]);
            unsigned shift = i % 2 == 0 ? 0 : 4;
            bytes[i] = (uint8_t)(h >> 8);
            middle[i / 2] = (uint8_t)(middle[i / 2] | (h >> 4 & 15u) << shift);
            last[i / 2] = (uint8_t)(last[i / 2] | (h & 15u) << shift);
        }
    }
    return GYRE_OK;
}

/* Coordinate i of a row as a reader of `bits` bits sees it. */
static uint16_t fetch(const alignedkv *a, const uint8_t *row, size_t i, unsigned bits)
{
    unsigned shift = i % 2 == 0 ? 0 : 4;
    unsigned middle = bits >= 12 ? (unsigned)row[a->dim + i / 2] >> shift & 15u : 8u;
    unsigned last = bits == 16 ? (unsigned)row[a->dim + a->dim / 2 + i / 2] >> shift & 15u : bits == 12 ? 8u : 0u;
    return (uint16_t)((unsigned)row[i] << 8 | middle << 4 | last);
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const alignedkv *a = state;
    for (size_t r = 0; r < n; r++, x += stride, bytes += 2 * a->dim)
        for (size_t i = 0; i < a->dim; i++)
            x[i] = a->value[fetch(a, bytes, i, 16)];
}

static int exponent_of(uint16_t half)
{
    return half >> 10 & 31;
}

/* Exponent of every column over the visible tokens. The first plane decides it: its bytes, sign put right, are in the order of the values. Exponent 31 is infinity or NaN, which no
 * encoder writes. */
static gyre_status column_exponents(const alignedkv *a, const gyre_read *read, const uint8_t *rows, int *columns, gyre_error *err)
{
    int top[GYRE_QUANTIZER_DIM];
    for (size_t i = 0; i < a->dim; i++) {
        columns[i] = 0;
        top[i] = -128;
    }
    for (size_t t = read->first; t < read->last; t++) {
        const uint8_t *row = rows + t * 2 * a->dim;
        for (size_t i = 0; i < a->dim; i++) {
            int e = row[i] >> 2 & 31;
            if (e == 31)
                return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "alignedkv: damaged bytes: coordinate %zu of token %zu is not a finite binary16", i, t);
            int value = (row[i] & 0x80) != 0 ? -1 - (int)(row[i] & 0x7Fu) : (int)row[i];
            columns[i] = e > columns[i] ? e : columns[i];
            top[i] = value > top[i] ? value : top[i];
        }
    }
    for (size_t i = 0; i < a->dim && a->o.maximum == 1; i++)
        columns[i] = (top[i] >= 0 ? top[i] : -top[i] - 1) >> 2 & 31;
    return GYRE_OK;
}

/* sum + x * y in the chosen format. */
static float fused(const alignedkv *a, float x, float y, float sum)
{
    float next = (float)((double)x * (double)y + (double)sum);
    return a->o.accumulate == 0 ? next : gyre_half_to_float(gyre_half_from_float(next));
}

static gyre_status check(const alignedkv *a, const gyre_read *read, gyre_error *err)
{
    if (read->last > read->tokens || read->first > read->last || read->head >= a->heads || read->size != a->heads * read->tokens * 2 * a->dim)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "alignedkv: tokens %zu..%zu of head %zu are not in a block of %zu bytes", read->first, read->last, read->head, read->size);
    return GYRE_OK;
}

static gyre_status read_scores(const void *state, const gyre_read *read, const float *query, float *scores, double *bits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const alignedkv *a = state;
    int column[GYRE_QUANTIZER_DIM], most = 0;
    unsigned width[GYRE_QUANTIZER_DIM];
    GYRE_TRY(check(a, read, err));
    const uint8_t *rows = read->bytes + read->head * read->tokens * 2 * a->dim;
    GYRE_TRY(column_exponents(a, read, rows, column, err));
    for (size_t i = 0; i < a->dim; i++) {
        column[i] += exponent_of(gyre_half_from_float(query[i]));
        most = column[i] > most ? column[i] : most;
    }
    size_t whole = read->last / BLOCK * BLOCK; /* tokens from here on are read whole */
    double per_token = 0.0;
    for (size_t i = 0; i < a->dim; i++) {
        width[i] = most - column[i] < 4 ? 16 : most - column[i] < 8 ? 12 : 8;
        per_token += width[i];
    }
    for (size_t t = read->first; t < read->last; t++) {
        float sum = 0.0f;
        for (size_t i = 0; i < a->dim; i++)
            sum = fused(a, a->value[fetch(a, rows + t * 2 * a->dim, i, t < whole ? width[i] : 16)], query[i], sum);
        if (!isfinite(sum))
            GYRE_FAIL(GYRE_E_RANGE, "alignedkv: the score of token %zu exceeds %s: accumulate: f32, or smaller keys", t, a->o.accumulate == 0 ? "binary32" : "binary16");
        scores[t - read->first] = sum;
        *bits += t < whole ? per_token : 16.0 * (double)a->dim;
    }
done:
    return st;
}

/* The least exponent that a weight may have and still be read whole, from the probes. */
static int alignment(const alignedkv *a, const gyre_read *read, const uint8_t *rows, const float *weights, size_t whole, const int *column)
{
    int least = 31;
    size_t probe[PROBES], n = 0;
    for (size_t c = 0; c < PROBES; c++) {
        size_t best = whole;
        for (size_t t = read->first + (c + PROBES - read->first % PROBES) % PROBES; t < whole; t += PROBES)
            if (best == whole || weights[t - read->first] > weights[best - read->first])
                best = t;
        if (best < whole)
            probe[n++] = best;
    }
    for (size_t i = 0; i < a->dim; i++) {
        float sum = 0.0f;
        for (size_t p = 0; p < n; p++)
            sum = fused(a, fabsf(a->value[fetch(a, rows + probe[p] * 2 * a->dim, i, 8)]), weights[probe[p] - read->first], sum);
        int e = exponent_of(gyre_half_from_float(sum));
        e = (a->o.exponent == 0 ? e - 1 : e & 0x1E) + 15 - column[i];
        least = e < least ? e : least;
    }
    return least;
}

static gyre_status read_output(const void *state, const gyre_read *read, const float *weights, float *output, double *bits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const alignedkv *a = state;
    int column[GYRE_QUANTIZER_DIM];
    GYRE_TRY(check(a, read, err));
    const uint8_t *rows = read->bytes + read->head * read->tokens * 2 * a->dim;
    size_t whole = read->last / BLOCK * BLOCK, seen = whole > read->first ? whole - read->first : 0;
    GYRE_TRY(column_exponents(a, read, rows, column, err));
    int least = seen > 0 ? alignment(a, read, rows, weights, whole, column) : 0, step = a->o.steps == 0 ? 4096 : 1024;
    *bits += 8.0 * (double)a->dim * (double)(seen < PROBES ? seen : PROBES);
    for (size_t i = 0; i < a->dim; i++)
        output[i] = 0.0f;
    for (size_t t = read->first; t < read->last; t++) {
        float weight = weights[t - read->first];
        int below = least * 1024 - (int)gyre_half_from_float(weight);
        unsigned width = t >= whole || below < step ? 16 : below < 2 * step ? 12 : 8;
        for (size_t i = 0; i < a->dim; i++)
            output[i] = fused(a, a->value[fetch(a, rows + t * 2 * a->dim, i, width)], weight, output[i]);
        *bits += (double)width * (double)a->dim;
    }
    for (size_t i = 0; i < a->dim; i++)
        if (!isfinite(output[i]))
            GYRE_FAIL(GYRE_E_RANGE, "alignedkv: coordinate %zu of the output exceeds %s: accumulate: f32, or smaller values", i, a->o.accumulate == 0 ? "binary32" : "binary16");
done:
    return st;
}

const gyre_quantizer_type gyre_quantizer_alignedkv = {
    .name = "alignedkv",
    .summary = "binary16 stored, 8, 12 or 16 bits read by the query",
    .source = "arXiv 2409.16546 (AlignedKV) and its public code",
    .bits_formula = "16 stored; 8, 12 or 16 read, counted per query",
    .flags = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .span = GYRE_SPAN_ROW,
    .init = init,
    .free = free,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .options = table,
    .applicable = applicable,
    .read_scores = read_scores,
    .read_output = read_output,
};
