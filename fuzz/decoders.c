/* Every quantizer of the registry: hostile bytes to decode and read, hostile rows to encode.
 *
 *   variant, dimension, heads and stream, tokens, a byte for each option, manner; the rest:
 *   manner 0  packed bytes, as they are       1  the same, cut or padded to the size that an encoder would use
 *          2  changes to a block of ordinary rows (pairs: place, bits)                3  rows: finite ones must be coded to finite ones, or refused
 */
#include "fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/quantizer.h"

enum { TOKENS_MOST = 70, CACHE = 64, DOCUMENTS = 2, FIT_TOKENS = 34 };

static const size_t dims[] = {1, 2, 3, 5, 8, 16, 31, 32, 48, 64, 80, 96, 128};

/* Quantizers last built: a fit costs more than a decode. */
static struct {
    const gyre_quantizer_type *type;
    gyre_quantizer_values values;
    size_t dim, heads;
    gyre_stream stream;
    gyre_quantizer *q;
} cache[CACHE];

static void option(fuzz_input *in, const gyre_option *o, gyre_quantizer_values *values)
{
    static const double numbers[] = {2, 3, 4, 5, 8, 16, 32, 64};
    char text[64];
    unsigned word = fuzz_byte(in), words = 0;
    while (o->choices != NULL && o->choices[words] != NULL)
        words++;
    if (word == 0 && o->fallback != NULL)
        return;
    if (o->type == GYRE_OPTION_BOOL)
        (void)snprintf(text, sizeof text, "%s", word % 2 ? "true" : "false");
    else if (words > 0 && (o->type == GYRE_OPTION_CHOICE || word >= 200))
        (void)snprintf(text, sizeof text, "%s", o->choices[word % words]);
    else
        (void)snprintf(text, sizeof text, "%.17g", o->type == GYRE_OPTION_REAL ? o->lo + (o->hi - o->lo) * word / 255.0
                                                   : fmin(fmax(word < 160 ? numbers[word % 8] : floor(o->lo + (o->hi - o->lo) * (word - 160) / 95.0), o->lo), o->hi));
    (void)gyre_option_parse(o, values, text, NULL);
}

/* Options whose large values take seconds to build under sanitizers (a codebook of 256 words of 8 coordinates: half a minute), in which nothing is decoded. */
static void keep_cheap(const gyre_quantizer_type *type, gyre_quantizer_values *values)
{
    static const struct {
        const char *variant, *key;
        int64_t most;
    } costly[] = {{"fibquant", "index_bits", 3}, {"fibquant", "samples", 30}, {"kmeans_residual", "clusters", 8}};
    for (size_t i = 0; i < sizeof costly / sizeof *costly; i++) {
        const gyre_option *o = strcmp(costly[i].variant, type->name) == 0 ? gyre_option_find(type->options, costly[i].key) : NULL;
        int64_t value = 0;
        if (o == NULL)
            continue;
        memcpy(&value, values->bytes + o->offset, sizeof value);
        value = value > costly[i].most ? costly[i].most : value;
        memcpy(values->bytes + o->offset, &value, sizeof value);
    }
}

/* Ordinary rows: a fixed sequence, about uniform in (-1, 1). */
static void ordinary(float *x, size_t n)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
}

static gyre_quantizer *build(const gyre_quantizer_type *type, const gyre_quantizer_values *values, const gyre_site *site)
{
    char why[GYRE_QUANTIZER_WHY] = "", text[GYRE_CANONICAL_TEXT];
    gyre_error error = {0};
    gyre_quantizer *q = NULL;
    gyre_options_canonical(type->options, values, text, sizeof text);
    size_t slot = site->dim * 31 + site->n_heads * 7 + (size_t)site->stream;
    for (const char *c = text; *c != '\0'; c++)
        slot = slot * 33 + (unsigned char)*c;
    slot = (slot + (size_t)(type->name[0] * 5 + type->name[1])) % CACHE;
    if (cache[slot].type == type && cache[slot].dim == site->dim && cache[slot].heads == site->n_heads && cache[slot].stream == site->stream
        && memcmp(&cache[slot].values, values, sizeof *values) == 0)
        return cache[slot].q;
    if (!gyre_quantizer_applies(type, site, values, why))
        return NULL;
    FUZZ_MUST(gyre_quantizer_new(type, site, values, &q, &error) == GYRE_OK);
    size_t n = DOCUMENTS * FIT_TOKENS * q->streams * q->heads * q->dim;
    float *rows = fuzz_room(n * sizeof *rows);
    ordinary(rows, n);
    gyre_status st = gyre_quantizer_fit(q, rows, DOCUMENTS, FIT_TOKENS, &error);
    free(rows);
    fuzz_reasoned(st, &error);
    if (st != GYRE_OK) {
        gyre_quantizer_free(q);
        return NULL;
    }
    gyre_quantizer_free(cache[slot].q);
    cache[slot].type = type;
    cache[slot].values = *values;
    cache[slot].dim = site->dim;
    cache[slot].heads = site->n_heads;
    cache[slot].stream = site->stream;
    return cache[slot].q = q;
}

static void input_or_ok(gyre_status st, const gyre_error *error)
{
    fuzz_reasoned(st, error);
    FUZZ_MUST(st == GYRE_OK || st == GYRE_E_INPUT);
}

static void read_by_query(const gyre_quantizer *q, gyre_stream stream, const uint8_t *bytes, size_t size, size_t tokens, fuzz_input *in)
{
    if (tokens == 0 || (stream == GYRE_K ? q->type->read_scores == NULL : q->type->read_output == NULL))
        return;
    gyre_read read = {.bytes = bytes, .size = size, .tokens = tokens, .head = fuzz_below(in, (unsigned)q->heads), .first = fuzz_below(in, (unsigned)tokens)};
    read.last = read.first + 1 + fuzz_below(in, (unsigned)(tokens - read.first));
    gyre_error error = {0};
    double bits = 0;
    float *with = fuzz_room((stream == GYRE_K ? q->dim : read.last - read.first) * sizeof *with), *out = fuzz_room((stream == GYRE_K ? read.last - read.first : q->dim) * sizeof *out);
    ordinary(with, stream == GYRE_K ? q->dim : read.last - read.first);
    gyre_status st = stream == GYRE_K ? q->type->read_scores(q->state, &read, with, out, &bits, &error) : q->type->read_output(q->state, &read, with, out, &bits, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST(st == GYRE_OK || st == GYRE_E_INPUT || st == GYRE_E_RANGE); /* out of range: finite values whose binary16 sum is not */
    free(with);
    free(out);
}

static void decode(const gyre_quantizer *q, gyre_stream stream, const uint8_t *bytes, size_t size, size_t tokens, fuzz_input *in)
{
    gyre_error error = {0};
    uint8_t *exact = fuzz_room(size);
    float *y = fuzz_room(tokens * q->streams * q->heads * q->dim * sizeof *y);
    if (size > 0)
        memcpy(exact, bytes, size);
    input_or_ok(gyre_quantizer_decode(q, exact, size, tokens, y, &error), &error);
    read_by_query(q, stream, exact, size, tokens, in);
    free(exact);
    free(y);
}

/* Codes x; what comes back is finite. Returns the size, SIZE_MAX where it was refused. */
static size_t encode(const gyre_quantizer *q, const float *x, size_t tokens, uint8_t *bytes)
{
    gyre_error error = {0};
    size_t size = 0, n = tokens * q->streams * q->heads * q->dim;
    gyre_status st = gyre_quantizer_encode(q, x, tokens, bytes, &size, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST(st == GYRE_OK || st == GYRE_E_RANGE);
    if (st != GYRE_OK)
        return SIZE_MAX;
    FUZZ_MUST(size <= gyre_quantizer_most_bytes(q, tokens));
    float *y = fuzz_room(n * sizeof *y);
    FUZZ_MUST(gyre_quantizer_decode(q, bytes, size, tokens, y, &error) == GYRE_OK);
    for (size_t i = 0; i < n; i++)
        FUZZ_MUST(isfinite(y[i]));
    free(y);
    return size;
}

static void hostile_rows(fuzz_input *in, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (in->left < 4) { /* the rest repeats */
            x[i] = i >= 3 ? x[i - 3] : 0.0f;
            continue;
        }
        memcpy(&x[i], in->at, 4);
        in->at += 4;
        in->left -= 4;
        x[i] = isfinite(x[i]) ? x[i] : 3e38f;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    size_t variants = 0;
    while (gyre_quantizer_types[variants] != NULL)
        variants++;
    const gyre_quantizer_type *type = gyre_quantizer_types[fuzz_below(&in, (unsigned)variants)];
    gyre_site site = {.dim = dims[fuzz_below(&in, sizeof dims / sizeof *dims)], .layer = 3, .campaign_seed = 5};
    unsigned where = fuzz_byte(&in);
    site.n_heads = 1 + where / 2 % 3;
    site.stream = (gyre_stream)(where % 2);
    size_t tokens = fuzz_below(&in, TOKENS_MOST);
    gyre_quantizer_values values = {0};
    (void)gyre_options_defaults(type->options, &values);
    for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++)
        option(&in, o, &values);
    keep_cheap(type, &values);
    unsigned manner = fuzz_below(&in, 4);
    gyre_quantizer *q = build(type, &values, &site);
    if (q == NULL)
        return 0;
    size_t most = gyre_quantizer_most_bytes(q, tokens), n = tokens * q->streams * q->heads * q->dim;
    uint8_t *bytes = fuzz_room(most);
    float *x = fuzz_room(n * sizeof *x);
    if (manner == 0) {
        decode(q, site.stream, in.at, in.left, tokens, &in);
    } else if (manner == 3) {
        hostile_rows(&in, x, n);
        (void)encode(q, x, tokens, bytes);
    } else {
        ordinary(x, n);
        size_t used = encode(q, x, tokens, bytes);
        if (used == SIZE_MAX)
            used = 0;
        if (manner == 1 && in.left > 0)
            memcpy(bytes, in.at, in.left < used ? in.left : used);
        while (manner == 2 && in.left > 0 && used > 0) {
            size_t at = (size_t)fuzz_byte(&in) << 8;
            at = (at | fuzz_byte(&in)) % used;
            bytes[at] ^= (uint8_t)fuzz_byte(&in);
        }
        decode(q, site.stream, bytes, used, tokens, &in);
    }
    free(bytes);
    free(x);
    return 0;
}
