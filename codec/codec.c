#include "codec/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const orders[] = {"half_split", "native", NULL};
const gyre_option gyre_codec_table[] = {
    {"order", GYRE_OPTION_CHOICE, offsetof(gyre_codec_options, order), "half_split", 0, 0, orders, "", "coordinates of K: RoPE pairs i, i + n_rot/2, or the model's own"},
    {"window", GYRE_OPTION_INT, offsetof(gyre_codec_options, window), "0", 0, 1 << 20, NULL, "token", "newest rows that stay exact, at 16 bits a value"},
    {"sink", GYRE_OPTION_INT, offsetof(gyre_codec_options, sink), "0", 0, 1 << 20, NULL, "token", "first rows that stay exact, at 16 bits a value"},
    {0},
};

/* One head of one stream. */
typedef struct head {
    gyre_site site;        /* as the chain sees it: bias and RoPE pairs in the codec's order */
    gyre_rope rope;
    float *bias;           /* reordered copy, or NULL */
    size_t split;          /* coordinates that are reordered: the first n_rot of keys with interleaved pairs, else 0 */
    gyre_transform *chain;
} head;

struct gyre_codec {
    size_t n_streams, n_heads, dim;
    head *heads;           /* [stream][head] */
    gyre_quantizer *quantizer;
    size_t window, sink;
    bool token_local;
};

/* A window or a sink of 0 is left out: the codec is then the one that has neither. */
void gyre_codec_canonical(const gyre_codec_spec *spec, char *text, size_t size)
{
    char own[GYRE_OPTION_TEXT] = "", chain[GYRE_CHAIN_TEXT], options[GYRE_CANONICAL_TEXT];
    size_t used = 0;
    for (const gyre_option *o = gyre_codec_table; o->key != NULL; o++) {
        char value[GYRE_OPTION_TEXT / 4];
        gyre_option_print(o, &spec->own, value, sizeof value);
        if (o->type == GYRE_OPTION_INT && strcmp(value, o->fallback) == 0)
            continue;
        int n = snprintf(own + used, sizeof own - used, "%s%s=%s", used == 0 ? "" : ";", o->key, value);
        used = n > 0 && used + (size_t)n < sizeof own ? used + (size_t)n : used;
    }
    gyre_chain_canonical(&spec->chain, chain, sizeof chain);
    gyre_options_canonical(spec->quantizer->options, &spec->options, options, sizeof options);
    (void)snprintf(text, size, "%s;chain=%s;quantizer=%s%s%s%s", own, chain, spec->quantizer->name, options[0] ? "(" : "", options, options[0] ? ")" : "");
}

/* Even coordinates first, then odd ones; undo puts them back. `row` has room for `split` floats. */
static void split_row(float *x, size_t split, float *row)
{
    for (size_t i = 0; i < split / 2; i++) {
        row[i] = x[2 * i];
        row[split / 2 + i] = x[2 * i + 1];
    }
    memcpy(x, row, split * sizeof *x);
}

static void join_row(float *x, size_t split, float *row)
{
    for (size_t i = 0; i < split / 2; i++) {
        row[2 * i] = x[i];
        row[2 * i + 1] = x[split / 2 + i];
    }
    memcpy(x, row, split * sizeof *x);
}

/* Gives the site the RoPE pairs of the codec's order, in *rope; how many of the first coordinates that reorders. */
static size_t reorder_pairs(const gyre_codec_spec *spec, gyre_site *site, gyre_rope *rope)
{
    if (spec->own.order != GYRE_ORDER_HALF_SPLIT || site->stream != GYRE_K || site->rope == NULL || site->rope->kind != GYRE_ROPE_NORMAL)
        return 0;
    *rope = *site->rope;
    rope->kind = GYRE_ROPE_NEOX;
    site->rope = rope;
    return rope->n_rot / 2 * 2;
}

/* The site as seen in the codec's order. */
static gyre_status reorder_site(head *c, const gyre_codec_spec *spec, const gyre_site *site, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *row = NULL;
    c->site = *site;
    c->split = reorder_pairs(spec, &c->site, &c->rope);
    if (site->bias != NULL) {
        GYRE_NEW(&c->bias, site->dim);
        GYRE_NEW(&row, site->dim);
        memcpy(c->bias, site->bias, site->dim * sizeof *c->bias);
        split_row(c->bias, c->split, row);
        c->site.bias = c->bias;
    }
done:
    free(row);
    return st;
}

bool gyre_codec_seeded(const gyre_codec_spec *spec)
{
    return (gyre_chain_traits(&spec->chain).flags & GYRE_SEEDED) || (gyre_quantizer_flags(spec->quantizer, &spec->options) & GYRE_QUANTIZER_SEEDED);
}

bool gyre_codec_joint(const gyre_codec_spec *spec)
{
    return spec->quantizer->span == GYRE_SPAN_STREAMS;
}

static bool same_quantizer(const gyre_codec_spec *a, const gyre_codec_spec *b)
{
    char text[2][GYRE_CANONICAL_TEXT];
    gyre_options_canonical(a->quantizer->options, &a->options, text[0], sizeof text[0]);
    gyre_options_canonical(b->quantizer->options, &b->options, text[1], sizeof text[1]);
    return a->quantizer == b->quantizer && strcmp(text[0], text[1]) == 0;
}

/* Are rows of this stream fetched by the query instead of decoded? */
static bool read_by_query(const gyre_quantizer_type *type, gyre_stream stream)
{
    return stream == GYRE_K ? type->read_scores != NULL : type->read_output != NULL;
}

bool gyre_codec_keeps_rows(const gyre_codec_spec *spec)
{
    return spec->own.window > 0 || spec->own.sink > 0;
}

bool gyre_codec_windows_agree(const gyre_codec_spec *k, const gyre_codec_spec *v, char why[GYRE_WHY])
{
    if ((!gyre_codec_joint(k) && !gyre_codec_joint(v)) || (k->own.window == v->own.window && k->own.sink == v->own.sink))
        return true;
    (void)snprintf(why, GYRE_WHY, "%.60s codes K and V together, and here window and sink are %lld and %lld for K, %lld and %lld for V: give both streams the same",
                   (gyre_codec_joint(k) ? k : v)->quantizer->name, (long long)k->own.window, (long long)k->own.sink, (long long)v->own.window, (long long)v->own.sink);
    return false;
}

bool gyre_codec_applies(const gyre_codec_stream *streams, size_t n_streams, char why[GYRE_WHY])
{
    const gyre_codec_spec *spec = streams[0].spec;
    if (gyre_codec_joint(spec) != (n_streams == 2) || (n_streams == 2 && !same_quantizer(spec, streams[1].spec))) {
        const gyre_codec_spec *joint = gyre_codec_joint(spec) ? spec : streams[n_streams - 1].spec;
        (void)snprintf(why, GYRE_WHY, "%.60s codes K and V together: give both streams the same quantizer and options", joint->quantizer->name);
        return false;
    }
    if (n_streams == 2 && !gyre_codec_windows_agree(spec, streams[1].spec, why))
        return false;
    if (gyre_codec_keeps_rows(spec) && read_by_query(spec->quantizer, streams[0].sites[0].stream)) {
        (void)snprintf(why, GYRE_WHY, "%.60s is read by the query; window and sink need decoded rows", spec->quantizer->name);
        return false;
    }
    for (size_t s = 0; s < n_streams; s++) {
        gyre_site site = streams[s].sites[0];
        gyre_rope rope;
        (void)reorder_pairs(streams[s].spec, &site, &rope);
        if (!gyre_chain_applies(&streams[s].spec->chain, &site, why))
            return false;
    }
    gyre_traits traits = gyre_chain_traits(&spec->chain);
    if ((spec->quantizer->read_scores != NULL || spec->quantizer->read_output != NULL) && (~traits.flags & (GYRE_LINEAR | GYRE_ORTHOGONAL) || (traits.needs & GYRE_NEEDS_POSITION))) {
        (void)snprintf(why, GYRE_WHY, "%.60s reads by the query: its chain must be orthogonal and the same at every position", spec->quantizer->name);
        return false;
    }
    char reason[GYRE_QUANTIZER_WHY] = "";
    if (gyre_quantizer_applies(spec->quantizer, &streams[0].sites[0], &spec->options, reason))
        return true;
    (void)snprintf(why, GYRE_WHY, "%.40s does not apply: %.190s", spec->quantizer->name, reason);
    return false;
}

gyre_status gyre_codec_new(const gyre_codec_stream *streams, size_t n_streams, size_t n_heads, gyre_codec **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_codec *c = NULL;
    char why[GYRE_WHY];
    *out = NULL;
    if (!gyre_codec_applies(streams, n_streams, why))
        GYRE_FAIL(GYRE_E_APPLICABLE, "%s", why);
    GYRE_NEW(&c, 1);
    c->n_streams = n_streams;
    c->n_heads = n_heads;
    c->dim = streams[0].sites[0].dim;
    c->window = (size_t)streams[0].spec->own.window;
    c->sink = (size_t)streams[0].spec->own.sink;
    c->token_local = gyre_quantizer_flags(streams[0].spec->quantizer, &streams[0].spec->options) & GYRE_TOKEN_LOCAL;
    GYRE_NEW(&c->heads, n_streams * n_heads);
    for (size_t i = 0; i < n_streams * n_heads; i++) {
        const gyre_codec_stream *from = &streams[i / n_heads];
        GYRE_TRY(reorder_site(&c->heads[i], from->spec, &from->sites[i % n_heads], err));
        GYRE_TRY(gyre_chain_new(&from->spec->chain, &c->heads[i].site, &c->heads[i].chain, err));
    }
    GYRE_TRY(gyre_quantizer_new(streams[0].spec->quantizer, &c->heads[0].site, &streams[0].spec->options, &c->quantizer, err));
    *out = c;
    c = NULL;
done:
    gyre_codec_free(c);
    return st;
}

void gyre_codec_free(gyre_codec *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; c->heads != NULL && i < c->n_streams * c->n_heads; i++) {
        gyre_transform_free(c->heads[i].chain);
        free(c->heads[i].bias);
    }
    free(c->heads);
    gyre_quantizer_free(c->quantizer);
    free(c);
}

/* Work memory: a copy of the rows of all heads, then what a reordered row and the chains need. */
static size_t rows_bytes(const gyre_codec *c, size_t tokens)
{
    return (c->n_streams * c->n_heads * tokens * c->dim * sizeof(float) + 63) / 64 * 64;
}

size_t gyre_codec_scratch(const gyre_codec *c, size_t tokens)
{
    size_t most = c->dim * sizeof(float);
    for (size_t i = 0; i < c->n_streams * c->n_heads; i++) {
        size_t chain = gyre_transform_scratch(c->heads[i].chain);
        most = chain > most ? chain : most;
    }
    return (rows_bytes(c, tokens) + most + 63) / 64 * 64;
}

size_t gyre_codec_most_bytes(const gyre_codec *c, size_t tokens)
{
    return gyre_quantizer_most_bytes(c->quantizer, tokens);
}

void gyre_codec_order(const gyre_codec *c, size_t stream, size_t index, float *x, size_t n, void *scratch)
{
    const head *h = &c->heads[stream * c->n_heads + index];
    for (size_t r = 0; r < n && h->split > 0; r++)
        split_row(x + r * c->dim, h->split, scratch);
}

/* One pass without a branch, which vectorises; the place is looked for only when there is something to report. */
static gyre_status all_finite(const float *x, size_t n, size_t dim, const char *where, gyre_error *err)
{
    const uint32_t exponent = 0x7F800000u;
    uint32_t bad = 0;
    for (size_t i = 0; i < n * dim; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    for (size_t i = 0; i < n * dim && bad; i++)
        if (!isfinite(x[i]))
            return gyre_error_set(err, GYRE_E_NAN, __FILE__, __LINE__, "row %zu, coordinate %zu is %g %s", i / dim, i % dim, (double)x[i], where);
    return GYRE_OK;
}

gyre_status gyre_codec_encode(const gyre_codec *c, const float *const *x, size_t tokens, const int32_t *pos, uint8_t *bytes, size_t *size, void *scratch, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *rows = scratch;
    void *work = (unsigned char *)scratch + rows_bytes(c, tokens);
    *size = 0;
    for (size_t i = 0; i < c->n_streams * c->n_heads; i++) {
        float *own = rows + i * tokens * c->dim;
        st = all_finite(x[i], tokens, c->dim, "before encoding", err);
        if (st == GYRE_OK) {
            memcpy(own, x[i], tokens * c->dim * sizeof *own);
            gyre_codec_order(c, i / c->n_heads, i % c->n_heads, own, tokens, work);
            gyre_transform_forward(c->heads[i].chain, own, tokens, c->dim, pos, work);
            st = all_finite(own, tokens, c->dim, "after the chain: its values overflow", err);
        }
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "%s of kv head %zu", c->heads[i].site.stream == GYRE_K ? "K" : "V", i % c->n_heads);
            goto done;
        }
    }
    GYRE_TRY(gyre_quantizer_encode(c->quantizer, rows, tokens, bytes, size, err));
done:
    return st;
}

gyre_status gyre_codec_decode(const gyre_codec *c, const uint8_t *bytes, size_t size, size_t tokens, const int32_t *pos, float *const *x, void *scratch, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *rows = scratch;
    void *work = (unsigned char *)scratch + rows_bytes(c, tokens);
    GYRE_TRY(gyre_quantizer_decode(c->quantizer, bytes, size, tokens, rows, err));
    for (size_t i = 0; i < c->n_streams * c->n_heads; i++) {
        memcpy(x[i], rows + i * tokens * c->dim, tokens * c->dim * sizeof *rows);
        gyre_transform_inverse(c->heads[i].chain, x[i], tokens, c->dim, pos, work);
        for (size_t r = 0; r < tokens && c->heads[i].split > 0; r++)
            join_row(x[i] + r * c->dim, c->heads[i].split, work);
    }
done:
    return st;
}

size_t gyre_codec_window(const gyre_codec *c)
{
    return c->window;
}

size_t gyre_codec_sink(const gyre_codec *c)
{
    return c->sink;
}

bool gyre_codec_token_local(const gyre_codec *c)
{
    return c->token_local;
}

void gyre_codec_coded(const gyre_codec *c, size_t tokens, size_t *first, size_t *last)
{
    size_t end = tokens > c->window ? tokens - c->window : 0;
    *first = c->sink < end ? c->sink : end;
    *last = end;
}

bool gyre_codec_reads(const gyre_codec *c, gyre_stream stream)
{
    return read_by_query(c->quantizer->type, stream);
}

gyre_status gyre_codec_read_scores(const gyre_codec *c, const gyre_read *read, const float *query, float *scores, double *bits, void *scratch, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *row = scratch;
    void *work = (unsigned char *)scratch + rows_bytes(c, 1);
    memcpy(row, query, c->dim * sizeof *row);
    gyre_codec_order(c, 0, read->head, row, 1, work);
    gyre_transform_forward(c->heads[read->head].chain, row, 1, c->dim, NULL, work);
    GYRE_TRY(c->quantizer->type->read_scores(c->quantizer->state, read, row, scores, bits, err));
done:
    return st;
}

gyre_status gyre_codec_read_output(const gyre_codec *c, const gyre_read *read, const float *weights, float *output, double *bits, void *scratch, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(c->quantizer->type->read_output(c->quantizer->state, read, weights, output, bits, err));
    gyre_transform_inverse(c->heads[read->head].chain, output, 1, c->dim, NULL, scratch);
done:
    return st;
}

double gyre_codec_side_bits(const gyre_codec *c)
{
    double bits = (double)gyre_quantizer_stored_bits(c->quantizer), values = (double)(c->n_streams * c->n_heads * c->dim) * GYRE_SIDE_TOKENS;
    for (size_t i = 0; i < c->n_streams * c->n_heads; i++)
        for (size_t e = 0; e < gyre_chain_count(c->heads[i].chain); e++) {
            const gyre_transform *t = gyre_chain_element(c->heads[i].chain, e);
            if (!t->traits.pooled || i % c->n_heads == 0) /* what is pooled is stored once for the heads of a stream */
                bits += 32.0 * (double)gyre_transform_stored(t);
        }
    return bits / values;
}

gyre_transform *gyre_codec_chain(gyre_codec *c, size_t stream, size_t index)
{
    return c->heads[stream * c->n_heads + index].chain;
}

gyre_quantizer *gyre_codec_quantizer(gyre_codec *c)
{
    return c->quantizer;
}
