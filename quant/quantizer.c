#include "quant/quantizer.h"

#include <stdio.h>
#include <stdlib.h>

const char *gyre_span_name(gyre_span span)
{
    static const char *const names[] = {"row", "tokens of a head", "heads of a layer", "K and V"};
    return names[span];
}

unsigned gyre_quantizer_flags(const gyre_quantizer_type *type, const void *options)
{
    unsigned flags = type->flags;
    if (type->refine != NULL)
        type->refine(options, &flags);
    return flags;
}

bool gyre_quantizer_applies(const gyre_quantizer_type *type, const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    if (site->dim == 0 || site->dim > GYRE_QUANTIZER_DIM) {
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "the head dimension %zu is not in 1..%d", site->dim, (int)GYRE_QUANTIZER_DIM);
        return false;
    }
    return type->applicable == NULL || type->applicable(site, options, why);
}

gyre_status gyre_quantizer_new(const gyre_quantizer_type *type, const gyre_site *site, const void *options, gyre_quantizer **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_quantizer *q = NULL;
    char why[GYRE_QUANTIZER_WHY] = "";
    *out = NULL;
    if (!gyre_quantizer_applies(type, site, options, why))
        GYRE_FAIL(GYRE_E_APPLICABLE, "%s does not apply: %s", type->name, why);
    GYRE_NEW(&q, 1);
    q->type = type;
    q->dim = site->dim;
    q->heads = site->n_heads > 0 ? site->n_heads : 1;
    q->streams = type->span == GYRE_SPAN_STREAMS ? 2 : 1;
    GYRE_TRY(type->init(site, options, &q->state, err));
    *out = q;
    q = NULL;
done:
    free(q);
    return st;
}

void gyre_quantizer_free(gyre_quantizer *q)
{
    if (q == NULL)
        return;
    q->type->free(q->state);
    free(q);
}

gyre_status gyre_quantizer_fit(gyre_quantizer *q, const float *x, size_t documents, size_t tokens, gyre_error *err)
{
    return q->type->fit == NULL ? GYRE_OK : q->type->fit(q->state, x, documents, tokens, err);
}

size_t gyre_quantizer_stored_bits(const gyre_quantizer *q)
{
    return q->type->stored_bits == NULL ? 0 : q->type->stored_bits(q->state);
}

size_t gyre_quantizer_most_bytes(const gyre_quantizer *q, size_t tokens)
{
    return q->type->span == GYRE_SPAN_ROW ? q->heads * tokens * q->type->row_bytes(q->state) : q->type->most_bytes(q->state, tokens);
}

gyre_status gyre_quantizer_encode(const gyre_quantizer *q, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *size = 0;
    if (q->type->span != GYRE_SPAN_ROW)
        return q->type->encode_block(q->state, x, tokens, bytes, size, err);
    size_t each = tokens * q->type->row_bytes(q->state);
    for (size_t h = 0; h < q->heads; h++)
        GYRE_TRY(q->type->encode(q->state, h, x + h * tokens * q->dim, tokens, q->dim, bytes + h * each, err));
    *size = q->heads * each;
done:
    return st;
}

gyre_status gyre_quantizer_decode(const gyre_quantizer *q, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err)
{
    if (q->type->span != GYRE_SPAN_ROW)
        return q->type->decode_block(q->state, bytes, size, tokens, x, err);
    size_t each = tokens * q->type->row_bytes(q->state);
    if (size != q->heads * each)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "%s: %zu bytes for %zu tokens of %zu heads, which take %zu", q->type->name, size, tokens, q->heads,
                              q->heads * each);
    for (size_t h = 0; h < q->heads; h++)
        q->type->decode(q->state, h, bytes + h * each, tokens, x + h * tokens * q->dim, q->dim);
    return GYRE_OK;
}
