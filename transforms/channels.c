#include "transforms/channels.h"

#include <math.h>

gyre_status gyre_channels_new(size_t dim, gyre_channels **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_channels *c = NULL;
    GYRE_TRY(gyre_calloc((void **)&c, 1, sizeof *c + dim * sizeof *c->lambda, err));
    c->dim = dim;
    for (size_t i = 0; i < dim; i++)
        c->lambda[i] = 1.0f;
    *out = c;
done:
    return st;
}

gyre_status gyre_channels_most(gyre_channels *c, const char *who, const gyre_fit_rows *rows, gyre_error *err)
{
    if (rows->n == 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "%s has no calibration rows: name calibration documents", who);
    for (size_t i = 0; i < c->dim; i++)
        c->lambda[i] = 0.0f;
    for (size_t r = 0; r < rows->n; r++)
        for (size_t i = 0; i < c->dim; i++) {
            float a = fabsf(rows->x[r * rows->stride + i]);
            c->lambda[i] = a > c->lambda[i] ? a : c->lambda[i];
        }
    return GYRE_OK;
}

size_t gyre_channels_stored(const void *state)
{
    return ((const gyre_channels *)state)->dim;
}

void gyre_channels_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const gyre_channels *c = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < c->dim; i++)
            x[i] *= c->lambda[i];
}

void gyre_channels_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const gyre_channels *c = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < c->dim; i++)
            x[i] /= c->lambda[i];
}

void gyre_channels_forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const gyre_channels *c = state;
    for (size_t i = 0; i < c->dim; i++)
        x[i] *= (double)c->lambda[i];
}

void gyre_channels_inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const gyre_channels *c = state;
    for (size_t i = 0; i < c->dim; i++)
        x[i] /= (double)c->lambda[i];
}
