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

#include "transforms/transform.h"

typedef struct options {
    int by, per;
} options;

typedef struct scale {
    size_t dim;
    float lambda[];
} scale;

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
    gyre_status st = GYRE_OK;
    scale *s = NULL;
    GYRE_TRY(gyre_calloc((void **)&s, 1, sizeof *s + site->dim * sizeof *s->lambda, err));
    s->dim = site->dim;
    for (size_t i = 0; i < s->dim; i++)
        s->lambda[i] = 1.0f;
    *state = s;
done:
    return st;
}

static gyre_status fit(void *state, const float *x, size_t n, size_t stride, gyre_error *err)
{
    scale *s = state;
    if (n == 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "scale by max has no calibration rows: name calibration documents");
    for (size_t i = 0; i < s->dim; i++)
        s->lambda[i] = 0.0f;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < s->dim; i++) {
            float a = fabsf(x[i]);
            s->lambda[i] = a > s->lambda[i] ? a : s->lambda[i];
        }
    for (size_t i = 0; i < s->dim; i++) {
        float lambda = 1.0f / s->lambda[i];
        s->lambda[i] = s->lambda[i] > 0.0f && isfinite(lambda) ? lambda : 1.0f;
    }
    return GYRE_OK;
}

static size_t stored(const void *state)
{
    return ((const scale *)state)->dim;
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const scale *s = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < s->dim; i++)
            x[i] *= s->lambda[i];
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const scale *s = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < s->dim; i++)
            x[i] /= s->lambda[i];
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const scale *s = state;
    for (size_t i = 0; i < s->dim; i++)
        x[i] *= (double)s->lambda[i];
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const scale *s = state;
    for (size_t i = 0; i < s->dim; i++)
        x[i] /= (double)s->lambda[i];
}

const gyre_transform_type gyre_transform_scale = {
    .name = "scale",
    .summary = "per-channel scale lambda, fitted on calibration rows",
    .source = "arXiv 2605.05699, section 4 (static lambda)",
    .dims = "any",
    .traits = {.flags = GYRE_LINEAR,
               .needs = GYRE_NEEDS_CALIBRATION,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = free,
    .options = table,
    .refine = refine,
    .stored = stored,
    .fit = fit,
};
