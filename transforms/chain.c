#include "transforms/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- specs ---- */

gyre_status gyre_chain_add(gyre_chain_spec *spec, const gyre_transform_type *type, const void *options, gyre_error *err)
{
    if (type == gyre_transform_find("identity"))
        return GYRE_OK;
    if (spec->count == GYRE_CHAIN_MOST)
        return gyre_error_set(err, GYRE_E_CONFIG, __FILE__, __LINE__, "a chain has at most %d elements", (int)GYRE_CHAIN_MOST);
    spec->elements[spec->count].type = type;
    if (options != NULL)
        memcpy(&spec->elements[spec->count].options, options, sizeof(gyre_option_values));
    else
        (void)gyre_options_defaults(type->options, &spec->elements[spec->count].options);
    spec->count++;
    return GYRE_OK;
}

gyre_status gyre_chain_add_alias(gyre_chain_spec *spec, const gyre_chain_alias *alias, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (const char *const *name = alias->elements; *name != NULL; name++)
        GYRE_TRY(gyre_chain_add(spec, gyre_transform_find(*name), NULL, err));
done:
    return st;
}

/* "x or y" of a set of frames. */
static void frames_text(unsigned frames, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned f = 1; f <= GYRE_FRAME_MIXED; f *= 2)
        if (frames & f) {
            int n = snprintf(text + used, size - used, "%s%s", used == 0 ? "" : " or ", gyre_frame_name((gyre_frame)f));
            used += n > 0 ? (size_t)n : 0;
        }
}

bool gyre_chain_check(const gyre_chain_spec *spec, gyre_stream stream, char why[GYRE_WHY])
{
    unsigned frame = stream == GYRE_K ? GYRE_FRAME_POST_ROPE : GYRE_FRAME_VALUE;
    for (size_t i = 0; i < spec->count; i++) {
        const gyre_transform_type *type = spec->elements[i].type;
        gyre_traits traits = gyre_transform_traits(type, &spec->elements[i].options);
        if (!(traits.accepts & frame)) {
            char wanted[64], options[GYRE_CANONICAL_TEXT];
            frames_text(traits.accepts, wanted, sizeof wanted);
            gyre_options_canonical(type->options, &spec->elements[i].options, options, sizeof options);
            (void)snprintf(why, GYRE_WHY, "%s%s%.60s%s needs rows in frame %s, but here they are in frame %s%s%s", type->name, options[0] ? "(" : "", options,
                           options[0] ? ")" : "", wanted, gyre_frame_name((gyre_frame)frame), i > 0 ? " after " : (stream == GYRE_K ? " (keys)" : " (values)"),
                           i > 0 ? spec->elements[i - 1].type->name : "");
            return false;
        }
        if (traits.becomes != GYRE_FRAME_SAME)
            frame = traits.becomes;
    }
    return true;
}

bool gyre_chain_applies(const gyre_chain_spec *spec, const gyre_site *site, char why[GYRE_WHY])
{
    for (size_t i = 0; i < spec->count; i++)
        if (!gyre_transform_applies(spec->elements[i].type, site, &spec->elements[i].options, why))
            return false;
    return true;
}

gyre_traits gyre_chain_traits(const gyre_chain_spec *spec)
{
    const unsigned all = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_DIAGONAL; /* hold when every element has them; the other flags when one has */
    gyre_traits whole = {.flags = all, .accepts = GYRE_FRAME_ANY, .fold_into_query = GYRE_FOLD_CONSTANT};
    for (size_t i = 0; i < spec->count; i++) {
        gyre_traits t = gyre_transform_traits(spec->elements[i].type, &spec->elements[i].options);
        whole.flags = (whole.flags & (t.flags | ~all)) | (t.flags & ~all);
        whole.needs |= t.needs;
        whole.accepts = i == 0 ? t.accepts : whole.accepts;
        whole.becomes = t.becomes != GYRE_FRAME_SAME ? t.becomes : whole.becomes;
        if (whole.fold_into_query != GYRE_FOLD_NO && t.fold_into_query != GYRE_FOLD_CONSTANT)
            whole.fold_into_query = t.fold_into_query;
    }
    return whole;
}

void gyre_chain_canonical(const gyre_chain_spec *spec, char *text, size_t size)
{
    size_t used = 0;
    int n = snprintf(text, size, "[");
    for (size_t i = 0; i < spec->count && n >= 0 && used + (size_t)n < size; i++) {
        used += (size_t)n;
        char options[GYRE_CANONICAL_TEXT];
        gyre_options_canonical(spec->elements[i].type->options, &spec->elements[i].options, options, sizeof options);
        n = snprintf(text + used, size - used, "%s%s%s%s%s", i == 0 ? "" : ",", spec->elements[i].type->name, options[0] ? "(" : "", options,
                     options[0] ? ")" : "");
    }
    if (n >= 0 && used + (size_t)n < size)
        (void)snprintf(text + used + (size_t)n, size - used - (size_t)n, "]");
}

/* ---- the built chain ---- */

typedef struct chain {
    size_t count;
    gyre_transform *elements[GYRE_CHAIN_MOST];
} chain;

static gyre_status chain_init(const gyre_site *site, unsigned ordinal, const void *options, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    const gyre_chain_spec *spec = options;
    chain *c = NULL;
    GYRE_NEW(&c, 1);
    *state = c;
    for (; c->count < spec->count; c->count++)
        GYRE_TRY(gyre_transform_new(spec->elements[c->count].type, site, (unsigned)c->count, &spec->elements[c->count].options, &c->elements[c->count], err));
done:
    return st;
}

static void chain_free(void *state)
{
    chain *c = state;
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++)
        gyre_transform_free(c->elements[i]);
    free(c);
}

static void chain_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    const chain *c = state;
    for (size_t i = 0; i < c->count; i++)
        gyre_transform_forward(c->elements[i], x, n, stride, pos, scratch);
}

static void chain_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    const chain *c = state;
    for (size_t i = c->count; i-- > 0;)
        gyre_transform_inverse(c->elements[i], x, n, stride, pos, scratch);
}

static void chain_forward_ref(const void *state, double *x, int32_t pos)
{
    const chain *c = state;
    for (size_t i = 0; i < c->count; i++)
        c->elements[i]->type->forward_ref(c->elements[i]->state, x, pos);
}

static void chain_inverse_ref(const void *state, double *x, int32_t pos)
{
    const chain *c = state;
    for (size_t i = c->count; i-- > 0;)
        c->elements[i]->type->inverse_ref(c->elements[i]->state, x, pos);
}

static size_t chain_scratch(const void *state)
{
    const chain *c = state;
    size_t most = 0;
    for (size_t i = 0; i < c->count; i++) {
        size_t own = gyre_transform_scratch(c->elements[i]);
        most = own > most ? own : most;
    }
    return most;
}

static size_t chain_stored(const void *state)
{
    const chain *c = state;
    size_t sum = 0;
    for (size_t i = 0; i < c->count; i++)
        sum += gyre_transform_stored(c->elements[i]);
    return sum;
}

static const gyre_transform_type chain_type = {
    .name = "chain",
    .summary = "transforms one after another",
    .source = "-",
    .dims = "those of its elements",
    .init = chain_init,
    .forward = chain_forward,
    .inverse = chain_inverse,
    .forward_ref = chain_forward_ref,
    .inverse_ref = chain_inverse_ref,
    .free = chain_free,
    .scratch = chain_scratch,
    .stored = chain_stored,
};

gyre_status gyre_chain_new(const gyre_chain_spec *spec, const gyre_site *site, gyre_transform **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_transform *t = NULL;
    *out = NULL;
    GYRE_NEW(&t, 1);
    t->type = &chain_type;
    t->traits = gyre_chain_traits(spec);
    t->dim = site->dim;
    GYRE_TRY(chain_init(site, 0, spec, &t->state, err));
    *out = t;
    t = NULL;
done:
    gyre_transform_free(t);
    return st;
}

size_t gyre_chain_count(const gyre_transform *t)
{
    return ((const chain *)t->state)->count;
}

gyre_transform *gyre_chain_element(gyre_transform *t, size_t index)
{
    return ((chain *)t->state)->elements[index];
}
