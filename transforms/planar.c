#include "transforms/planar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"

enum { LANES = 8 };

typedef struct planar {
    size_t dim, stages;
    double *angle;       /* [stage, pair] */
    float *cos, *sin;
    /* of learned ones alone */
    bool learned;
    double *exact;       /* cos and sin of each angle, one after the other */
    double *products;    /* M_s of every stage: the blocks on its diagonal, d x 2h, one after another */
    double *blocks[2];   /* those of G, d x d each */
} planar;

static const char *const starts[] = {"random", "hadamard", "zero", NULL}, *const scopes[] = {"layer", "head", NULL};
const gyre_option gyre_planar_table[] = {
    {"angles", GYRE_OPTION_CHOICE, offsetof(gyre_planar_options, angles), "random", 0, 0, starts, "", "drawn, all pi/4, or (learn) 0: where learning starts"},
    {"per", GYRE_OPTION_CHOICE, offsetof(gyre_planar_options, per), "layer", 0, 0, scopes, "", "what shares one draw, and what is learned"},
    {"noise", GYRE_OPTION_REAL, offsetof(gyre_planar_options, noise), "0.01", 0, 10, NULL, "rad", "learn: standard deviation of what is added to every angle at the start"},
    {"learn", GYRE_OPTION_BOOL, offsetof(gyre_planar_options, learn), "false", 0, 0, NULL, "", "the angles are learned"},
    {0},
};

void gyre_planar_refine(const void *values, gyre_traits *traits)
{
    const gyre_planar_options *o = values;
    if (o->angles != GYRE_PLANAR_RANDOM && !(o->learn && o->noise > 0.0))
        traits->flags &= ~(unsigned)GYRE_SEEDED;
    if (!o->learn)
        return;
    traits->flags |= GYRE_LEARNABLE;
    traits->needs |= GYRE_NEEDS_CALIBRATION;
    traits->pooled = o->per == 0;
}

bool gyre_planar_applicable(const void *values, char why[GYRE_WHY])
{
    const gyre_planar_options *o = values;
    bool ok = o->learn || o->angles != GYRE_PLANAR_ZERO;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "angles: zero changes nothing unless they are learned: set learn: true");
    return ok;
}

void gyre_planar_free(void *state)
{
    planar *p = state;
    if (p == NULL)
        return;
    free(p->blocks[1]);
    free(p->blocks[0]);
    free(p->products);
    free(p->exact);
    free(p->sin);
    free(p->cos);
    free(p->angle);
    free(p);
}

/* Work memory, noise, and the first update. */
static gyre_status prepare(planar *p, const gyre_site *site, unsigned ordinal, const gyre_planar_options *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t count = p->stages * (p->dim / 2);
    double *noise = NULL;
    p->learned = true;
    GYRE_NEW(&p->exact, 2 * count);
    GYRE_NEW(&p->products, 2 * p->dim * (((size_t)1 << p->stages) - 1));
    for (size_t i = 0; i < 2; i++)
        GYRE_NEW(&p->blocks[i], p->dim << p->stages);
    GYRE_NEW(&noise, count);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_START, ordinal, o->per == 1);
    gyre_random_normals(&stream, noise, count);
    for (size_t i = 0; i < count; i++)
        p->angle[i] += o->noise * noise[i];
    GYRE_TRY(gyre_planar_learnable.update(p, err));
done:
    free(noise);
    return st;
}

gyre_status gyre_planar_new(const gyre_site *site, unsigned ordinal, const gyre_planar_options *o, size_t stages, void **state, gyre_error *err)
{
    const double pi = 3.14159265358979323846264338327950;
    gyre_status st = GYRE_OK;
    size_t count = stages * (site->dim / 2);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_ANGLES, ordinal, o->per == 1);
    planar *p = NULL;
    GYRE_NEW(&p, 1);
    p->dim = site->dim;
    p->stages = stages;
    GYRE_NEW(&p->angle, count);
    GYRE_NEW(&p->cos, count);
    GYRE_NEW(&p->sin, count);
    for (size_t i = 0; i < count; i++) {
        p->angle[i] = o->angles == GYRE_PLANAR_RANDOM ? 2.0 * pi * gyre_random_uniform(&stream, (uint32_t)i) : o->angles == GYRE_PLANAR_HADAMARD ? pi / 4.0 : 0.0;
        p->cos[i] = (float)cos(p->angle[i]);
        p->sin[i] = (float)sin(p->angle[i]);
    }
    if (o->learn)
        GYRE_TRY(prepare(p, site, ordinal, o, err));
    *state = p;
    p = NULL;
done:
    gyre_planar_free(p);
    return st;
}

size_t gyre_planar_stored(const void *state)
{
    const planar *p = state;
    return p->learned ? p->stages * (p->dim / 2) : 0;
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

/* ---- learning ---- */

/* M_s is 2h wide and stands behind those before it, of d x (2 + 4 + ... + h). */
static double *product_of(const planar *p, size_t s)
{
    return p->products + 2 * p->dim * (((size_t)1 << s) - 1);
}

/* M_s out of M_s-1, whose two h x h blocks stand under each other: row i becomes (c a, -s b), row i + h becomes (s a, c b). NULL: the identity, h = 1. */
static void next_product(const double *exact, size_t dim, size_t h, const double *before, double *after)
{
    const double one = 1.0;
    for (size_t base = 0; base < dim; base += 2 * h)
        for (size_t i = base; i < base + h; i++, exact += 2) {
            const double *a = before != NULL ? before + i * h : &one, *b = before != NULL ? before + (i + h) * h : &one;
            double *restrict low = after + i * 2 * h, *restrict high = after + (i + h) * 2 * h;
            for (size_t j = 0; j < h; j++) {
                low[j] = exact[0] * a[j];
                low[j + h] = -exact[1] * b[j];
                high[j] = exact[1] * a[j];
                high[j + h] = exact[0] * b[j];
            }
        }
}

static double *angles(void *state, size_t *count)
{
    planar *p = state;
    *count = p->stages * (p->dim / 2);
    return p->angle;
}

static gyre_status update(void *state, gyre_error *err)
{
    planar *p = state;
    for (size_t i = 0; i < p->stages * (p->dim / 2); i++) {
        if (!isfinite(p->angle[i]))
            return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "angle %zu of stage %zu is not finite", i % (p->dim / 2), i / (p->dim / 2));
        p->exact[2 * i] = cos(p->angle[i]);
        p->exact[2 * i + 1] = sin(p->angle[i]);
        p->cos[i] = (float)p->exact[2 * i];
        p->sin[i] = (float)p->exact[2 * i + 1];
    }
    for (size_t s = 0; s < p->stages; s++)
        next_product(p->exact + s * p->dim, p->dim, (size_t)1 << s, s > 0 ? product_of(p, s - 1) : NULL, product_of(p, s));
    return GYRE_OK;
}

static void matrix(const void *state, double *m)
{
    const planar *p = state;
    size_t width = (size_t)1 << p->stages;
    const double *product = product_of(p, p->stages - 1);
    memset(m, 0, p->dim * p->dim * sizeof *m);
    for (size_t i = 0; i < p->dim; i++)
        memcpy(m + i * p->dim + i / width * width, product + i * width, width * sizeof *m);
}

/* <a, b> - <c, d>, in partial sums, so that compilers may use vectors. */
static double difference(const double *a, const double *b, const double *c, const double *d, size_t n)
{
    double part[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            part[l] += a[i + l] * b[i + l] - c[i + l] * d[i + l];
    for (; i < n; i++)
        sum += a[i] * b[i] - c[i] * d[i];
    for (size_t l = 0; l < LANES; l++)
        sum += part[l];
    return sum;
}

/* One stage back: g holds the blocks of G_s (d x 2h), `before` gets those of G_s-1 (d x h), g_angle the derivatives. */
static void back_one(const double *exact, const double *product, size_t dim, size_t h, const double *g, double *before, double *g_angle)
{
    for (size_t base = 0; base < dim; base += 2 * h)
        for (size_t i = base; i < base + h; i++, exact += 2, g_angle++) {
            const double *low = g + i * 2 * h, *high = g + (i + h) * 2 * h;
            double *restrict a = before + i * h, *restrict b = before + (i + h) * h;
            *g_angle += difference(high, product + i * 2 * h, low, product + (i + h) * 2 * h, 2 * h);
            for (size_t j = 0; j < h; j++) {
                a[j] = exact[0] * low[j] + exact[1] * high[j];
                b[j] = exact[0] * high[j + h] - exact[1] * low[j + h];
            }
        }
}

static void backward(void *state, const double *g, double *gradient)
{
    planar *p = state;
    size_t width = (size_t)1 << p->stages;
    const double *blocks = g;
    if (width != p->dim) {
        for (size_t i = 0; i < p->dim; i++)
            memcpy(p->blocks[0] + i * width, g + i * p->dim + i / width * width, width * sizeof *g);
        blocks = p->blocks[0];
    }
    for (size_t s = p->stages; s-- > 0;) {
        double *before = blocks == p->blocks[1] ? p->blocks[0] : p->blocks[1];
        back_one(p->exact + s * p->dim, product_of(p, s), p->dim, (size_t)1 << s, blocks, before, gradient + s * (p->dim / 2));
        blocks = before;
    }
}

static size_t freedom(const void *state)
{
    const planar *p = state;
    return p->stages * (p->dim / 2);
}

const gyre_learnable gyre_planar_learnable = {.parameters = angles, .update = update, .matrix = matrix, .backward = backward, .freedom = freedom};
