/* scale: y_i = lambda_i x_i, lambda fitted on calibration rows.
 *
 *   by: max   lambda_i = 1 / max_t |x_ti| over the calibration rows as they reach this element (1 where the maximum is 0): the static lambda of
 *             arXiv 2605.05699 section 4 ("scaled"). The paper also guards lambda from below by 1e-6, which acts only beyond |x| = 1e6; not done here.
 *   by: one   lambda_i = 1; with `learn` alone
 *
 * `learn: true`: lambda_i = exp(l_i), so it is positive whatever happens; l_i are the parameters, d numbers, stored, and start at the logarithms of the lambda
 * above. The gauge takes the mean of l away, from the start on: d - 1 true degrees of freedom. dL/dl_i = lambda_i (dL/dM)_ii.
 *
 * Fitted per layer and stream as the paper does (heads pooled), or per head. d float32 values are stored once. Any dimension, d multiplications. Not
 * orthogonal: queries would take 1/lambda. A common factor of lambda changes nothing for quantizers with a scale of their own.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transforms/channels.h"

enum { MAX, ONE };

typedef struct options {
    int by, per;
    bool learn;
} options;

typedef struct scale {
    gyre_channels *channels;
    int by;
    double *log, *exact; /* l and exp(l); NULL unless learned */
} scale;

static const char *const rules[] = {"max", "one", NULL};
static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"by", GYRE_OPTION_CHOICE, offsetof(options, by), "max", 0, 0, rules, "", "how lambda is fitted; learn: where it starts"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one lambda"},
    {"learn", GYRE_OPTION_BOOL, offsetof(options, learn), "false", 0, 0, NULL, "", "the logarithms of lambda are learned"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    const options *o = values;
    traits->pooled = o->per == 0;
    if (o->learn)
        traits->flags |= GYRE_LEARNABLE;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)site;
    const options *o = values;
    bool ok = o->by == MAX || o->learn;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "by: one changes nothing unless it is learned: set learn: true");
    return ok;
}

static void release(void *state)
{
    scale *s = state;
    if (s == NULL)
        return;
    free(s->exact);
    free(s->log);
    free(s->channels);
    free(s);
}

/* ---- learning ---- */

static double *parameters(void *state, size_t *count)
{
    scale *s = state;
    *count = s->channels->dim;
    return s->log;
}

static gyre_status update(void *state, gyre_error *err)
{
    scale *s = state;
    for (size_t i = 0; i < s->channels->dim; i++) {
        s->exact[i] = exp(s->log[i]);
        if (!(s->exact[i] >= (double)FLT_MIN && s->exact[i] <= 1.0 / (double)FLT_MIN))
            return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "scale: lambda of coordinate %zu has become %g, beyond binary32", i, s->exact[i]);
        s->channels->lambda[i] = (float)s->exact[i];
    }
    return GYRE_OK;
}

static void diagonal(const scale *s, bool inverse, double *m)
{
    size_t n = s->channels->dim;
    memset(m, 0, n * n * sizeof *m);
    for (size_t i = 0; i < n; i++)
        m[i * n + i] = inverse ? 1.0 / s->exact[i] : s->exact[i];
}

static void matrix(const void *state, double *m)
{
    diagonal(state, false, m);
}

static void inverse_matrix(const void *state, double *m)
{
    diagonal(state, true, m);
}

static void backward(void *state, const double *g, double *gradient)
{
    const scale *s = state;
    for (size_t i = 0; i < s->channels->dim; i++)
        gradient[i] += s->exact[i] * g[i * s->channels->dim + i];
}

static size_t freedom(const void *state)
{
    return ((const scale *)state)->channels->dim - 1;
}

static void gauge(void *state)
{
    scale *s = state;
    size_t n = s->channels->dim;
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += s->log[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        s->log[i] -= mean;
}

static const gyre_learnable learnable = {
    .parameters = parameters, .update = update, .matrix = matrix, .backward = backward, .freedom = freedom, .inverse = inverse_matrix, .gauge = gauge};

/* ---- building, closed form ---- */

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    const options *o = values;
    scale *s = NULL;
    GYRE_NEW(&s, 1);
    s->by = o->by;
    GYRE_TRY(gyre_channels_new(site->dim, &s->channels, err));
    if (o->learn) {
        GYRE_NEW(&s->log, site->dim);
        GYRE_NEW(&s->exact, site->dim);
        GYRE_TRY(update(s, err));
    }
    *state = s;
    s = NULL;
done:
    release(s);
    return st;
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    scale *s = state;
    gyre_channels *c = s->channels;
    GYRE_TRY(gyre_channels_most(c, s->by == MAX ? "scale by max" : "scale", rows, err));
    for (size_t i = 0; i < c->dim; i++) {
        float lambda = 1.0f / c->lambda[i];
        c->lambda[i] = s->by == MAX && c->lambda[i] > 0.0f && isfinite(lambda) ? lambda : 1.0f;
    }
    if (s->log == NULL)
        goto done;
    for (size_t i = 0; i < c->dim; i++)
        s->log[i] = log((double)c->lambda[i]);
    gauge(s);
    GYRE_TRY(update(s, err));
done:
    return st;
}

/* ---- rows ---- */

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    gyre_channels_forward(((const scale *)state)->channels, x, n, stride, pos, scratch);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    gyre_channels_inverse(((const scale *)state)->channels, x, n, stride, pos, scratch);
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    const scale *s = state;
    if (s->exact == NULL)
        gyre_channels_forward_ref(s->channels, x, pos);
    for (size_t i = 0; s->exact != NULL && i < s->channels->dim; i++)
        x[i] *= s->exact[i];
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    const scale *s = state;
    if (s->exact == NULL)
        gyre_channels_inverse_ref(s->channels, x, pos);
    for (size_t i = 0; s->exact != NULL && i < s->channels->dim; i++)
        x[i] /= s->exact[i];
}

static size_t stored(const void *state)
{
    return gyre_channels_stored(((const scale *)state)->channels);
}

const gyre_transform_type gyre_transform_scale = {
    .name = "scale",
    .summary = "per-channel scale lambda, fitted on calibration rows or learned",
    .source = "arXiv 2605.05699, section 4 (static lambda)",
    .dims = "any",
    .traits = {.flags = GYRE_LINEAR | GYRE_DIAGONAL,
               .needs = GYRE_NEEDS_CALIBRATION,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = release,
    .options = table,
    .refine = refine,
    .applicable = applicable,
    .stored = stored,
    .fit = fit,
    .learnable = &learnable,
};
