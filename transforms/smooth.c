/* smooth: y_i = lambda_i x_i, lambda_i = (max_t |x_ti|)^-alpha over the calibration rows as they reach this element (1 where the maximum is 0).
 *
 * SmoothAttention of QServe (arXiv 2405.04532, section 4.2), there on keys with alpha = 0.5 and the inverse folded into the query's projection; here decoding
 * divides by lambda. `pairs: true` gives the coordinates i and i + d/2 the larger of their two maxima, as the paper does: lambda then commutes with a RoPE of
 * those pairs. alpha 0 changes nothing, alpha 1 is scale by max. Fitted per layer and stream (heads pooled) or per head; d float32 values are stored once (d/2
 * with pairs). Any dimension, pairs: even ones and a RoPE of the whole head in half-split pairs. d multiplications. Not orthogonal: queries would take 1/lambda.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "transforms/channels.h"

typedef struct options {
    double alpha;
    bool pairs;
    int per;
} options;

static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"alpha", GYRE_OPTION_REAL, offsetof(options, alpha), "0.5", 0, 1, NULL, "", "how much of the channel's size is taken out"},
    {"pairs", GYRE_OPTION_BOOL, offsetof(options, pairs), "false", 0, 0, NULL, "", "one lambda for the coordinates i and i + d/2 of a RoPE pair"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one lambda"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    traits->pooled = ((const options *)values)->per == 0;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    const options *o = values;
    const gyre_rope *rope = site->stream == GYRE_K && o->pairs ? site->rope : NULL;
    if (o->pairs && site->dim % 2 != 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is odd: it has no pairs i, i + d/2", site->dim);
    else if (rope != NULL && rope->kind == GYRE_ROPE_NORMAL)
        (void)snprintf(why, GYRE_WHY, "RoPE pairs 2i with 2i + 1 in this order of coordinates, not i with i + d/2: take order: half_split, or pairs: false");
    else if (rope != NULL && rope->kind == GYRE_ROPE_NEOX && rope->n_rot != site->dim)
        (void)snprintf(why, GYRE_WHY, "partial rotary embedding: %u of %zu coordinates, so the pairs are not i, i + d/2", (unsigned)rope->n_rot, site->dim);
    else
        return true;
    return false;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    const options *o = values;
    gyre_channels *c = NULL;
    GYRE_TRY(gyre_channels_new(site->dim, &c, err));
    c->alpha = o->alpha;
    c->pairs = o->pairs;
    *state = c;
done:
    return st;
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_channels *c = state;
    size_t half = c->dim / 2;
    GYRE_TRY(gyre_channels_most(c, "smooth", rows, err));
    for (size_t i = 0; c->pairs && i < half; i++)
        c->lambda[i] = c->lambda[i + half] = fmaxf(c->lambda[i], c->lambda[i + half]);
    for (size_t i = 0; i < c->dim; i++) {
        float lambda = (float)pow((double)c->lambda[i], -c->alpha);
        c->lambda[i] = c->lambda[i] > 0.0f && isfinite(lambda) ? lambda : 1.0f;
    }
done:
    return st;
}

static size_t stored(const void *state)
{
    const gyre_channels *c = state;
    return c->pairs ? c->dim / 2 : c->dim;
}

const gyre_transform_type gyre_transform_smooth = {
    .name = "smooth",
    .summary = "per-channel smoothing: the size of a channel to the power -alpha",
    .source = "arXiv 2405.04532, section 4.2 (QServe, SmoothAttention)",
    .dims = "any; pairs: even",
    .traits = {.flags = GYRE_LINEAR | GYRE_DIAGONAL,
               .needs = GYRE_NEEDS_CALIBRATION,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = gyre_channels_forward,
    .inverse = gyre_channels_inverse,
    .forward_ref = gyre_channels_forward_ref,
    .inverse_ref = gyre_channels_inverse_ref,
    .free = free,
    .options = table,
    .refine = refine,
    .applicable = applicable,
    .stored = stored,
    .fit = fit,
};
