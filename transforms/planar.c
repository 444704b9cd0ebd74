#include "transforms/planar.h"

#include <math.h>
#include <stdlib.h>

typedef struct planar {
    size_t dim, stages;
    double *angle;     /* [stage, pair] */
    float *cos, *sin;
} planar;

void gyre_planar_free(void *state)
{
    planar *p = state;
    if (p == NULL)
        return;
    free(p->sin);
    free(p->cos);
    free(p->angle);
    free(p);
}

gyre_status gyre_planar_new(size_t dim, size_t stages, const gyre_random *stream, void **state, gyre_error *err)
{
    const double pi = 3.14159265358979323846264338327950;
    gyre_status st = GYRE_OK;
    size_t count = stages * (dim / 2);
    planar *p = NULL;
    GYRE_NEW(&p, 1);
    p->dim = dim;
    p->stages = stages;
    GYRE_NEW(&p->angle, count);
    GYRE_NEW(&p->cos, count);
    GYRE_NEW(&p->sin, count);
    for (size_t i = 0; i < count; i++) {
        p->angle[i] = stream != NULL ? 2.0 * pi * gyre_random_uniform(stream, (uint32_t)i) : pi / 4.0;
        p->cos[i] = (float)cos(p->angle[i]);
        p->sin[i] = (float)sin(p->angle[i]);
    }
    *state = p;
    p = NULL;
done:
    gyre_planar_free(p);
    return st;
}

static void stage(const float *c, const float *s, size_t dim, size_t h, float direction, float *x)
{
    for (size_t base = 0; base < dim; base += 2 * h, c += h, s += h) {
        float *restrict low = x + base, *restrict high = low + h;
        for (size_t i = 0; i < h; i++) {
            float a = low[i], b = high[i], t = direction * s[i];
            low[i] = a * c[i] - b * t;
            high[i] = a * t + b * c[i];
        }
    }
}

void gyre_planar_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const planar *p = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t s = 0; s < p->stages; s++)
            stage(p->cos + s * (p->dim / 2), p->sin + s * (p->dim / 2), p->dim, (size_t)1 << s, 1.0f, x);
}

void gyre_planar_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const planar *p = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t s = p->stages; s-- > 0;)
            stage(p->cos + s * (p->dim / 2), p->sin + s * (p->dim / 2), p->dim, (size_t)1 << s, -1.0f, x);
}

static void stage_ref(const double *angle, size_t dim, size_t h, double direction, double *x)
{
    size_t pair = 0;
    for (size_t i = 0; i + h < dim; i++) {
        if (i % (2 * h) >= h)
            continue;
        double a = x[i], b = x[i + h], t = direction * angle[pair++];
        x[i] = a * cos(t) - b * sin(t);
        x[i + h] = a * sin(t) + b * cos(t);
    }
}

void gyre_planar_forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const planar *p = state;
    for (size_t s = 0; s < p->stages; s++)
        stage_ref(p->angle + s * (p->dim / 2), p->dim, (size_t)1 << s, 1.0, x);
}

void gyre_planar_inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const planar *p = state;
    for (size_t s = p->stages; s-- > 0;)
        stage_ref(p->angle + s * (p->dim / 2), p->dim, (size_t)1 << s, -1.0, x);
}
