#include "transforms/transform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *gyre_frame_name(gyre_frame frame)
{
    switch (frame) {
    case GYRE_FRAME_POST_ROPE:
        return "post_rope";
    case GYRE_FRAME_PRE_ROPE:
        return "pre_rope";
    case GYRE_FRAME_VALUE:
        return "value";
    case GYRE_FRAME_MIXED:
        return "mixed";
    }
    return "?";
}

const char *gyre_fold_name(gyre_fold fold)
{
    static const char *const names[] = {"no", "constant", "per key position"};
    return names[fold];
}

gyre_traits gyre_transform_traits(const gyre_transform_type *type, const void *options)
{
    gyre_traits traits = type->traits;
    if (type->refine != NULL)
        type->refine(options, &traits);
    return traits;
}

bool gyre_transform_applies(const gyre_transform_type *type, const gyre_site *site, const void *options, char why[GYRE_WHY])
{
    char reason[GYRE_WHY] = "";
    if ((gyre_transform_traits(type, options).needs & GYRE_NEEDS_BIAS) && site->bias == NULL) {
        (void)snprintf(why, GYRE_WHY, "%s needs a key bias and the model has none", type->name);
        return false;
    }
    if (type->applicable == NULL || type->applicable(site, options, reason))
        return true;
    (void)snprintf(why, GYRE_WHY, "%.40s does not apply: %.190s", type->name, reason);
    return false;
}

gyre_status gyre_transform_new(const gyre_transform_type *type, const gyre_site *site, unsigned ordinal, const void *options, gyre_transform **out,
                               gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_transform *t = NULL;
    char why[GYRE_WHY] = "";
    *out = NULL;
    gyre_traits traits = gyre_transform_traits(type, options);
    if (!gyre_transform_applies(type, site, options, why))
        GYRE_FAIL(GYRE_E_APPLICABLE, "%s", why);
    GYRE_NEW(&t, 1);
    t->type = type;
    t->traits = traits;
    t->dim = site->dim;
    GYRE_TRY(type->init(site, ordinal, options, &t->state, err));
    *out = t;
    t = NULL;
done:
    free(t);
    return st;
}

void gyre_transform_free(gyre_transform *t)
{
    if (t == NULL)
        return;
    t->type->free(t->state);
    free(t);
}

void gyre_transform_forward(const gyre_transform *t, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    t->type->forward(t->state, x, n, stride, pos, scratch);
}

void gyre_transform_inverse(const gyre_transform *t, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    t->type->inverse(t->state, x, n, stride, pos, scratch);
}

size_t gyre_transform_scratch(const gyre_transform *t)
{
    return t->type->scratch != NULL ? t->type->scratch(t->state) : 0;
}

size_t gyre_transform_stored(const gyre_transform *t)
{
    return t->type->stored != NULL ? t->type->stored(t->state) : 0;
}
