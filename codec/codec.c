#include "codec/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const orders[] = {"half_split", "native", NULL};
const gyre_option gyre_codec_table[] = {
    {"order", GYRE_OPTION_CHOICE, offsetof(gyre_codec_options, order), "half_split", 0, 0, orders, "", "coordinates of K: RoPE pairs i, i + n_rot/2, or the model's own"},
    {0},
};

struct gyre_codec {
    gyre_site site;        /* as the chain sees it: bias and RoPE pairs in the codec's order */
    gyre_rope rope;
    float *bias;           /* reordered copy, or NULL */
    size_t split;          /* coordinates that are reordered: the first n_rot of keys with interleaved pairs, else 0 */
    gyre_transform *chain;
    gyre_quantizer *quantizer;
};

void gyre_codec_canonical(const gyre_codec_spec *spec, char *text, size_t size)
{
    char own[GYRE_CANONICAL_TEXT], chain[GYRE_CHAIN_TEXT], options[GYRE_CANONICAL_TEXT];
    gyre_options_canonical(gyre_codec_table, &spec->own, own, sizeof own);
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

/* The site as seen in the codec's order. */
static gyre_status reorder_site(gyre_codec *c, const gyre_codec_spec *spec, const gyre_site *site, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    float *row = NULL;
    c->site = *site;
    if (spec->own.order == GYRE_ORDER_HALF_SPLIT && site->stream == GYRE_K && site->rope != NULL && site->rope->kind == GYRE_ROPE_NORMAL) {
        c->rope = *site->rope;
        c->rope.kind = GYRE_ROPE_NEOX;
        c->site.rope = &c->rope;
        c->split = site->rope->n_rot / 2 * 2;
    }
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

gyre_status gyre_codec_new(const gyre_codec_spec *spec, const gyre_site *site, gyre_codec **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_codec *c = NULL;
    *out = NULL;
    GYRE_NEW(&c, 1);
    GYRE_TRY(reorder_site(c, spec, site, err));
    GYRE_TRY(gyre_chain_new(&spec->chain, &c->site, &c->chain, err));
    GYRE_TRY(gyre_quantizer_new(spec->quantizer, site->dim, &spec->options, &c->quantizer, err));
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
    gyre_quantizer_free(c->quantizer);
    gyre_transform_free(c->chain);
    free(c->bias);
    free(c);
}

/* Work memory: a copy of the rows, then what a reordered row and the chain need. */
static size_t rows_bytes(const gyre_codec *c, size_t n)
{
    return (n * c->site.dim * sizeof(float) + 63) / 64 * 64;
}

size_t gyre_codec_scratch(const gyre_codec *c, size_t n)
{
    size_t chain = gyre_transform_scratch(c->chain), row = c->site.dim * sizeof(float);
    return (rows_bytes(c, n) + (chain > row ? chain : row) + 63) / 64 * 64;
}

size_t gyre_codec_bytes(const gyre_codec *c, size_t n)
{
    return gyre_quantizer_bytes(c->quantizer, n);
}

void gyre_codec_order(const gyre_codec *c, float *x, size_t n, void *scratch)
{
    for (size_t r = 0; r < n && c->split > 0; r++)
        split_row(x + r * c->site.dim, c->split, scratch);
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

gyre_status gyre_codec_encode(const gyre_codec *c, const float *x, size_t n, const int32_t *pos, uint8_t *bytes, void *scratch, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t dim = c->site.dim;
    float *rows = scratch;
    void *work = (unsigned char *)scratch + rows_bytes(c, n);
    GYRE_TRY(all_finite(x, n, dim, "before encoding", err));
    memcpy(rows, x, n * dim * sizeof *rows);
    gyre_codec_order(c, rows, n, work);
    gyre_transform_forward(c->chain, rows, n, dim, pos, work);
    GYRE_TRY(all_finite(rows, n, dim, "after the chain: its values overflow", err));
    GYRE_TRY(gyre_quantizer_encode(c->quantizer, rows, n, dim, bytes, err));
done:
    return st;
}

void gyre_codec_decode(const gyre_codec *c, const uint8_t *bytes, size_t n, const int32_t *pos, float *x, void *scratch)
{
    size_t dim = c->site.dim;
    void *work = (unsigned char *)scratch + rows_bytes(c, n);
    gyre_quantizer_decode(c->quantizer, bytes, n, x, dim);
    gyre_transform_inverse(c->chain, x, n, dim, pos, work);
    for (size_t r = 0; r < n && c->split > 0; r++)
        join_row(x + r * dim, c->split, work);
}

double gyre_codec_payload_bits(const gyre_codec *c, size_t n, size_t bytes)
{
    return n == 0 ? 0.0 : 8.0 * (double)bytes / ((double)n * (double)c->site.dim);
}

double gyre_codec_side_bits(const gyre_codec *c)
{
    double bits = 0.0;
    for (size_t i = 0; i < gyre_chain_count(c->chain); i++) {
        const gyre_transform *t = gyre_chain_element(c->chain, i);
        double share = t->traits.pooled && c->site.n_heads > 0 ? (double)c->site.n_heads : 1.0;
        bits += 32.0 * (double)gyre_transform_stored(t) / ((double)GYRE_SIDE_TOKENS * (double)c->site.dim * share);
    }
    return bits;
}

gyre_transform *gyre_codec_chain(gyre_codec *c)
{
    return c->chain;
}
