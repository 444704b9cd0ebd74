/* centre: y = x - c for a vector c known without the row.
 *
 *   by: bias   c is the model's own key bias of this head; only before RoPE, where the model added it. Costs no side bits: the model file holds it.
 *   by: mean   c is the mean of the calibration rows as they reach this element (per head, or pooled over the layer); stored once, d values.
 *
 * Since softmax ignores what is constant over keys, centring keys is exact on read. After RoPE a constant bias turns with the position, so a mean taken there
 * removes only its slow pairs. Any dimension, d subtractions. It is not linear: only its shift is not.
 */
#include <stdlib.h>

#include "transforms/transform.h"

typedef struct options {
    int by, per;
} options;

typedef struct centre {
    size_t dim;
    bool fitted; /* by mean: counted as stored */
    float shift[];
} centre;

static const char *const sources[] = {"bias", "mean", NULL};
static const char *const scopes[] = {"head", "layer", NULL};
static const gyre_option table[] = {
    {"by", GYRE_OPTION_CHOICE, offsetof(options, by), NULL, 0, 0, sources, "", "what is subtracted"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "head", 0, 0, scopes, "", "by mean: what shares one mean"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    const options *o = values;
    if (o->by == 0) {
        traits->needs = GYRE_NEEDS_BIAS;
        traits->accepts = GYRE_FRAME_PRE_ROPE;
    } else {
        traits->needs = GYRE_NEEDS_CALIBRATION;
        traits->pooled = o->per == 1;
    }
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    const options *o = values;
    centre *c = NULL;
    GYRE_TRY(gyre_calloc((void **)&c, 1, sizeof *c + site->dim * sizeof *c->shift, err));
    c->dim = site->dim;
    c->fitted = o->by == 1;
    for (size_t i = 0; o->by == 0 && i < c->dim; i++)
        c->shift[i] = site->bias[i];
    *state = c;
done:
    return st;
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    centre *c = state;
    if (!c->fitted)
        return GYRE_OK;
    if (rows->n == 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "centre by mean has no calibration rows: name calibration documents");
    for (size_t i = 0; i < c->dim; i++) {
        double sum = 0;
        for (size_t r = 0; r < rows->n; r++)
            sum += (double)rows->x[r * rows->stride + i];
        c->shift[i] = (float)(sum / (double)rows->n);
    }
    return GYRE_OK;
}

static size_t stored(const void *state)
{
    const centre *c = state;
    return c->fitted ? c->dim : 0;
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const centre *c = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < c->dim; i++)
            x[i] -= c->shift[i];
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const centre *c = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < c->dim; i++)
            x[i] += c->shift[i];
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const centre *c = state;
    for (size_t i = 0; i < c->dim; i++)
        x[i] -= (double)c->shift[i];
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const centre *c = state;
    for (size_t i = 0; i < c->dim; i++)
        x[i] += (double)c->shift[i];
}

const gyre_transform_type gyre_transform_centre = {
    .name = "centre",
    .summary = "subtract the model's key bias, or a calibration mean",
    .source = "llama.cpp issue 21385 (key bias of Qwen2); arXiv 2402.02750 (KIVI), section 3, on keys with fixed outlier channels",
    .dims = "any",
    .traits = {.flags = GYRE_ORTHOGONAL | GYRE_DIAGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_SAME, .fold_into_query = GYRE_FOLD_NO},
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
