/* scale: y_i = lambda_i x_i, lambda fitted on calibration rows.
 *
 *   by: max   lambda_i = 1 / max_t |x_ti| over the calibration rows as they reach this element (1 where the maximum is 0): the static lambda of
 *             arXiv 2605.05699 section 4 ("scaled"). The paper also guards lambda from below by 1e-6, which acts only beyond |x| = 1e6; not done here.
 *
 * Fitted per layer and stream as the paper does (heads pooled), or per head. d float32 values are stored once. Any dimension, d multiplications. Not
 * orthogonal: queries would take 1/lambda. A common factor of lambda changes nothing for quantizers with a scale of their own.
 */
#include <math.h>
#include <stdlib.h>

#include "transforms/channels.h"

typedef struct options {
    int by, per;
} options;

static const char *const rules[] = {"max", NULL};
static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"by", GYRE_OPTION_CHOICE, offsetof(options, by), "max", 0, 0, rules, "", "how lambda is fitted"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one lambda"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    traits->pooled = ((const options *)values)->per == 0;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    gyre_channels *c = NULL;
    gyre_status st = gyre_channels_new(site->dim, &c, err);
    *state = c;
    return st;
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_channels *c = state;
    GYRE_TRY(gyre_channels_most(c, "scale by max", rows, err));
    for (size_t i = 0; i < c->dim; i++) {
        float lambda = 1.0f / c->lambda[i];
        c->lambda[i] = c->lambda[i] > 0.0f && isfinite(lambda) ? lambda : 1.0f;
    }
done:
    return st;
}

const gyre_transform_type gyre_transform_scale = {
    .name = "scale",
    .summary = "per-channel scale lambda, fitted on calibration rows",
    .source = "arXiv 2605.05699, section 4 (static lambda)",
    .dims = "any",
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
    .stored = gyre_channels_stored,
    .fit = fit,
};
