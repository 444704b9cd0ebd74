#include "quant/grouped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/minifloat.h"

enum { RATIOS = 29, LANES = 8 }; /* RATIOS of a search: clip * (40 - k) / 40 */

const char *const gyre_scale_names[] = {"f32", "f16", "bf16", "e8m0", "e4m3", NULL};
const char *const gyre_scale_formats[] = {"f32", "f16", NULL};
const char *const gyre_rounding_names[] = {"half_even", "half_up", "half_away", NULL};
const char *const gyre_group_words[] = {"row", NULL};

bool gyre_grouped_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const gyre_grouped_options *o = options;
    if (o->group > 0 && site->dim % (size_t)o->group != 0)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "the group %lld does not divide the head dimension %zu", (long long)o->group, site->dim);
    else if (o->search && o->learn)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "search finds a clip ratio for every group and learn one for every head: choose one of them");
    else
        return true;
    return false;
}

bool gyre_grouped_signed_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const gyre_grouped_options *o = options;
    if (o->scale == GYRE_SCALE_E8M0)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "e8m0 has no sign, and the group's minimum is stored in the scale's format: use another");
    else
        return gyre_grouped_applicable(site, options, why);
    return false;
}

/* learning: heads that learn their ratio. */
static gyre_status init(size_t dim, size_t learning, const gyre_grouped_options *o, const gyre_grouped_way *way, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_grouped *g = NULL;
    GYRE_TRY(gyre_calloc((void **)&g, 1, sizeof *g + learning * sizeof *g->learned, err));
    g->way = way;
    g->dim = dim;
    g->bits = (size_t)o->bits;
    g->group = o->group > 0 ? (size_t)o->group : dim;
    g->groups = dim / g->group;
    g->format = (gyre_scale_format)o->scale;
    g->rounding = (gyre_rounding)o->rounding;
    g->form = o->form;
    g->clip = o->clip;
    g->search = o->search;
    g->learning = learning;
    for (size_t h = 0; h < learning; h++)
        g->learned[h] = o->clip;
    *state = g;
done:
    return st;
}

gyre_status gyre_grouped_init(size_t dim, const void *options, const gyre_grouped_way *way, void **state, gyre_error *err)
{
    return init(dim, 0, options, way, state, err);
}

gyre_status gyre_grouped_init_layer(const gyre_site *site, const void *options, const gyre_grouped_way *way, void **state, gyre_error *err)
{
    const gyre_grouped_options *o = options;
    return init(site->dim, !o->learn ? 0 : site->n_heads > 0 ? site->n_heads : 1, o, way, state, err);
}

void gyre_grouped_refine(const void *options, unsigned *flags)
{
    const gyre_grouped_options *o = options;
    *flags |= o->learn ? GYRE_QUANTIZER_LEARNS : 0u;
}

/* A binary32 ratio a head. */
size_t gyre_grouped_stored_bits(const void *state)
{
    const gyre_grouped *g = state;
    return 32 * g->learning;
}

static float ratio_of(const gyre_grouped *g, size_t head)
{
    return (float)(g->learning > 0 ? g->learned[head] : g->clip);
}

/* Fields of `bits` bits in a row. */
static size_t fields(const gyre_grouped *g)
{
    return g->dim + (g->way->zeros ? g->groups : 0);
}

size_t gyre_grouped_row_bytes(const void *state)
{
    const gyre_grouped *g = state;
    return (fields(g) * g->bits + 7) / 8 + g->groups * g->way->parameters * gyre_scale_bytes(g->format);
}

/* The ratio of the grid that leaves the least squared error; its code is in p and codes. */
static bool search(const gyre_grouped *g, const float *y, float *ratio, gyre_group *p, uint8_t *codes)
{
    uint8_t tried[GYRE_QUANTIZER_DIM];
    float z[GYRE_QUANTIZER_DIM];
    double least = INFINITY;
    for (int k = 0; k < RATIOS; k++) {
        gyre_group q = {0};
        double sum = 0;
        float tried_ratio = (float)(g->clip * (40 - k) / 40);
        if (!g->way->code(g, y, tried_ratio, &q, tried))
            continue;
        g->way->values(g, &q, tried, z);
        for (size_t i = 0; i < g->group; i++)
            sum += ((double)z[i] - (double)y[i]) * ((double)z[i] - (double)y[i]);
        if (sum < least) {
            least = sum;
            *ratio = tried_ratio;
            *p = q;
            memcpy(codes, tried, g->group);
        }
    }
    return least < INFINITY;
}

static gyre_status refuse(const gyre_grouped *g, size_t row, const float *y, gyre_error *err)
{
    float lo, hi;
    gyre_group_range(y, g->group, &lo, &hi);
    return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__,
                          "%s: row %zu has a group of values from %g to %g, whose parameters or decoded values exceed scale: %s%s", g->way->name, row, (double)lo,
                          (double)hi, gyre_scale_names[g->format], g->format == GYRE_SCALE_F32 ? "" : ": use scale: f32");
}

gyre_status gyre_grouped_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    const gyre_grouped *g = state;
    uint8_t codes[2 * GYRE_QUANTIZER_DIM];
    float ratio = ratio_of(g, head);
    for (size_t r = 0; r < n; r++, x += stride, bytes += gyre_grouped_row_bytes(g)) {
        uint8_t *at = bytes + (fields(g) * g->bits + 7) / 8;
        for (size_t k = 0; k < g->groups; k++) {
            const float *y = x + k * g->group;
            gyre_group p = {0};
            if (!(g->search ? search(g, y, &ratio, &p, codes + k * g->group) : g->way->code(g, y, ratio, &p, codes + k * g->group)))
                return refuse(g, r, y, err);
            codes[g->dim + k] = p.zero;
            at = gyre_scale_put(g->format, p.scale, at);
            if (g->way->parameters == 2)
                at = gyre_scale_put(g->format, p.low, at);
        }
        gyre_pack(codes, fields(g), g->bits, bytes);
    }
    return GYRE_OK;
}

void gyre_grouped_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const gyre_grouped *g = state;
    uint8_t codes[2 * GYRE_QUANTIZER_DIM];
    for (size_t r = 0; r < n; r++, x += stride, bytes += gyre_grouped_row_bytes(g)) {
        const uint8_t *at = bytes + (fields(g) * g->bits + 7) / 8;
        gyre_unpack(bytes, fields(g), g->bits, codes);
        for (size_t k = 0; k < g->groups; k++) {
            gyre_group p = {.zero = g->way->zeros ? codes[g->dim + k] : 0};
            at = gyre_scale_get(g->format, at, &p.scale);
            if (g->way->parameters == 2)
                at = gyre_scale_get(g->format, at, &p.low);
            g->way->values(g, &p, codes + k * g->group, x + k * g->group);
        }
    }
}

/* ---- gradients ---- */

enum { KEPT = 4 }; /* floats of a group in `work`: scale, low, zero, ratio */

static size_t straight_group(const void *state)
{
    const gyre_grouped *g = state;
    return g->group;
}

static size_t straight_work(const void *state)
{
    const gyre_grouped *g = state;
    return KEPT * g->groups;
}

static bool searched_error(const gyre_grouped *g, const float *y, float *ratio, gyre_group *p, float *e)
{
    uint8_t codes[GYRE_QUANTIZER_DIM];
    if (!search(g, y, ratio, p, codes))
        return false;
    g->way->values(g, p, codes, e);
    for (size_t i = 0; i < g->group; i++)
        e[i] -= y[i];
    return true;
}

static gyre_status straight_forward(const void *state, size_t head, const float *y, size_t n, float *e, float *work, gyre_error *err)
{
    const gyre_grouped *g = state;
    float ratio = ratio_of(g, head);
    for (size_t r = 0; r < n; r++)
        for (size_t k = 0; k < g->groups; k++, y += g->group, e += g->group, work += KEPT) {
            gyre_group p = {0};
            if (!(g->search ? searched_error(g, y, &ratio, &p, e) : g->way->error(g, y, ratio, &p, e)))
                return refuse(g, r, y, err);
            work[0] = p.scale;
            work[1] = p.low;
            work[2] = (float)p.zero;
            work[3] = ratio;
        }
    return GYRE_OK;
}

static void straight_backward(const void *state, size_t head, const float *y, const float *e, const float *work, size_t n, const float *g_e, float *g_y, double *g_clip)
{
    (void)head;
    const gyre_grouped *g = state;
    for (size_t k = 0; k < n * g->groups; k++, work += KEPT) {
        size_t at = k * g->group;
        double unused = 0;
        gyre_group_pull v = {.y = y + at, .e = e + at, .g_e = g_e + at, .g_y = g_y + at, .g_clip = g->search ? &unused : g_clip, .ratio = work[3]};
        v.p = (gyre_group){.scale = work[0], .low = work[1], .zero = (uint8_t)(int)work[2]};
        if (v.p.scale > 0.0f)
            g->way->pull(g, &v);
    }
}

static double *straight_clip(void *state, size_t head)
{
    gyre_grouped *g = state;
    return g->learning > 0 ? &g->learned[head] : NULL;
}

const gyre_straight gyre_grouped_straight = {
    .group = straight_group,
    .work = straight_work,
    .forward = straight_forward,
    .backward = straight_backward,
    .clip = straight_clip,
};

/* sum of a b: in double, LANES sums, which vectorises. */
static double dot(const float *a, const float *b, size_t n)
{
    double sums[LANES] = {0}, sum = 0;
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            sums[l] += (double)a[i + l] * (double)b[i + l];
    for (size_t i = whole; i < n; i++)
        sums[i - whole] += (double)a[i] * (double)b[i];
    for (size_t l = 0; l < LANES; l++)
        sum += sums[l];
    return sum;
}

void gyre_group_pull_back(const gyre_grouped *g, const gyre_group_pull *v, double bottom, double top, float least, float most, double *scale, double *low)
{
    /* With a ratio of 1 the extremes are the outermost levels up to rounding: the slack keeps them within. */
    const double slack = 0x1p-20 * (top - bottom), s = (double)v->p.scale, above = (double)v->p.low + (top + slack) * s, below = (double)v->p.low + (bottom - slack) * s;
    double inside = 0, over = 0, under = 0;
    if ((double)most <= above && (double)least >= below) {
        inside = dot(v->g_e, v->e, g->group);
    } else {
        for (size_t i = 0; i < g->group; i++) {
            double y = (double)v->y[i], at = (double)v->g_e[i];
            bool is_over = y > above, is_under = y < below;
            inside += is_over || is_under ? 0 : at * (double)v->e[i];
            over += is_over ? at : 0;
            under += is_under ? at : 0;
            v->g_y[i] -= is_over || is_under ? v->g_e[i] : 0.0f;
        }
    }
    *scale = inside / s + top * over + bottom * under;
    *low = over + under;
}

size_t gyre_group_place(const float *y, size_t n, float value)
{
    size_t at = 0;
    while (at < n && y[at] != value)
        at++;
    return at;
}

/* Extremes do not depend on the order, but for the sign of zero: LANES of them at a time, which vectorises. lo and hi are never -0. */
void gyre_group_range(const float *y, size_t n, float *lo, float *hi)
{
    float least[LANES], most[LANES];
    size_t whole = n - n % LANES;
    for (size_t l = 0; l < LANES; l++)
        least[l] = most[l] = y[0];
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            least[l] = y[i + l] < least[l] ? y[i + l] : least[l];
            most[l] = y[i + l] > most[l] ? y[i + l] : most[l];
        }
    for (size_t i = whole; i < n; i++) {
        least[i - whole] = y[i] < least[i - whole] ? y[i] : least[i - whole];
        most[i - whole] = y[i] > most[i - whole] ? y[i] : most[i - whole];
    }
    for (size_t l = 1; l < LANES; l++) {
        least[0] = least[l] < least[0] ? least[l] : least[0];
        most[0] = most[l] > most[0] ? most[l] : most[0];
    }
    *lo = least[0] + 0.0f;
    *hi = most[0] + 0.0f;
}

float gyre_group_largest(const float *y, size_t n)
{
    float top[LANES] = {0}, most = 0.0f;
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            top[l] = fabsf(y[i + l]) > top[l] ? fabsf(y[i + l]) : top[l];
    for (size_t i = whole; i < n; i++)
        top[i - whole] = fabsf(y[i]) > top[i - whole] ? fabsf(y[i]) : top[i - whole];
    for (size_t l = 0; l < LANES; l++)
        most = top[l] > most ? top[l] : most;
    return most;
}

void gyre_group_offset_codes(const gyre_grouped *g, const float *y, const gyre_group *p, uint8_t *codes)
{
    float top = (float)((1 << g->bits) - 1), scale = p->scale > 0.0f ? p->scale : INFINITY, lo = p->low;
    gyre_rounding how = g->rounding;
    for (size_t i = 0; i < g->group; i++) {
        float t = (y[i] - lo) / scale;
        t = t > top ? top : t < 0.0f ? 0.0f : t;
        codes[i] = (uint8_t)(int)gyre_round(how, t);
    }
}

void gyre_group_offset_values(const gyre_grouped *g, const gyre_group *p, const uint8_t *codes, float *y)
{
    for (size_t i = 0; i < g->group; i++)
        y[i] = (float)codes[i] * p->scale + p->low;
}

bool gyre_scale_round(gyre_scale_format format, float value, float *rounded)
{
    switch (format) {
    case GYRE_SCALE_F32: *rounded = value; break;
    case GYRE_SCALE_F16: *rounded = gyre_half_to_float(gyre_half_from_float(value)); break;
    case GYRE_SCALE_BF16: *rounded = gyre_bf16_to_float(gyre_bf16_from_float(value)); break;
    case GYRE_SCALE_E8M0: *rounded = gyre_e8m0_to_float(value == 0.0f ? 0 : gyre_e8m0_from_float(value)); break;
    case GYRE_SCALE_E4M3: *rounded = gyre_e4m3_to_float(gyre_e4m3_from_float(value)); break;
    }
    return isfinite(*rounded);
}

size_t gyre_scale_bytes(gyre_scale_format format)
{
    static const size_t bytes[] = {4, 2, 2, 1, 1};
    return bytes[format];
}

static uint32_t scale_code(gyre_scale_format format, float value)
{
    uint32_t bits = 0;
    switch (format) {
    case GYRE_SCALE_F32: memcpy(&bits, &value, sizeof bits); break;
    case GYRE_SCALE_F16: bits = gyre_half_from_float(value); break;
    case GYRE_SCALE_BF16: bits = gyre_bf16_from_float(value); break;
    case GYRE_SCALE_E8M0: bits = gyre_e8m0_from_float(value); break;
    case GYRE_SCALE_E4M3: bits = gyre_e4m3_from_float(value); break;
    }
    return bits;
}

uint8_t *gyre_scale_put(gyre_scale_format format, float value, uint8_t *at)
{
    uint32_t bits = scale_code(format, value);
    size_t n = gyre_scale_bytes(format);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(bits >> (8 * i) & 0xFFu);
    return at + n;
}

const uint8_t *gyre_scale_get(gyre_scale_format format, const uint8_t *at, float *value)
{
    uint32_t bits = 0;
    size_t n = gyre_scale_bytes(format);
    for (size_t i = 0; i < n; i++)
        bits |= (uint32_t)at[i] << (8 * i);
    switch (format) {
    case GYRE_SCALE_F32: memcpy(value, &bits, sizeof bits); break;
    case GYRE_SCALE_F16: *value = gyre_half_to_float((uint16_t)bits); break;
    case GYRE_SCALE_BF16: *value = gyre_bf16_to_float((uint16_t)bits); break;
    case GYRE_SCALE_E8M0: *value = gyre_e8m0_to_float((uint8_t)bits); break;
    case GYRE_SCALE_E4M3: *value = gyre_e4m3_to_float((uint8_t)bits); break;
    }
    return at + n;
}

void gyre_pack(const uint8_t *codes, size_t n, size_t bits, uint8_t *bytes)
{
    unsigned mask = (1u << bits) - 1u, window = 0, filled = 0;
    size_t pairs = bits == 4 ? n / 2 : 0; /* the common width in a loop that vectorises; what is left goes the general way */
    for (size_t i = 0; i < pairs; i++)
        bytes[i] = (uint8_t)((codes[2 * i] & 15u) | (unsigned)codes[2 * i + 1] << 4);
    bytes += pairs;
    for (size_t i = 2 * pairs; i < n; i++) {
        window |= (codes[i] & mask) << filled;
        filled += (unsigned)bits;
        if (filled >= 8) {
            *bytes++ = (uint8_t)(window & 0xFFu);
            window >>= 8;
            filled -= 8;
        }
    }
    if (filled > 0)
        *bytes = (uint8_t)(window & 0xFFu);
}

void gyre_unpack(const uint8_t *bytes, size_t n, size_t bits, uint8_t *codes)
{
    unsigned mask = (1u << bits) - 1u, window = 0, filled = 0;
    size_t pairs = bits == 4 ? n / 2 : 0;
    for (size_t i = 0; i < pairs; i++) {
        codes[2 * i] = bytes[i] & 15u;
        codes[2 * i + 1] = bytes[i] >> 4;
    }
    bytes += pairs;
    for (size_t i = 2 * pairs; i < n; i++) {
        if (filled < bits) {
            window |= (unsigned)*bytes++ << filled;
            filled += 8;
        }
        codes[i] = (uint8_t)(window & mask);
        window >>= bits;
        filled -= (unsigned)bits;
    }
}

void gyre_pack_wide(const uint16_t *codes, size_t n, size_t bits, uint8_t *bytes)
{
    uint32_t mask = (1u << bits) - 1u, window = 0;
    size_t filled = 0;
    for (size_t i = 0; i < n; i++) {
        window |= (codes[i] & mask) << filled;
        for (filled += bits; filled >= 8; filled -= 8, window >>= 8)
            *bytes++ = (uint8_t)(window & 0xFFu);
    }
    if (filled > 0)
        *bytes = (uint8_t)(window & 0xFFu);
}

void gyre_unpack_wide(const uint8_t *bytes, size_t n, size_t bits, uint16_t *codes)
{
    uint32_t mask = (1u << bits) - 1u, window = 0;
    size_t filled = 0;
    for (size_t i = 0; i < n; i++) {
        for (; filled < bits; filled += 8)
            window |= (uint32_t)*bytes++ << filled;
        codes[i] = (uint16_t)(window & mask);
        window >>= bits;
        filled -= bits;
    }
}
