/* sym: symmetric uniform quantization, one scale a group (arXiv 2605.05699, section 3; Jacob et al., CVPR 2018).
 *
 *     levels symmetric: m = 2^(b-1) - 1,  scale = c max |y| / m,          q = clamp(round(y / scale), -m, m),      y^ = q * scale
 *     levels full:                        scale = c max |y| / (m + 1/2),  q = clamp(round(y / scale), -m - 1, m)
 *
 * True division in float; the scale is rounded to its stored format first and then used; c is `clip`, or per group what `search` finds, or what is learned
 * (quant/grouped.h, which has the gradients too: ds/d|y_j*| = c/m at the first coordinate of largest magnitude, ds/dc = |y_j*|/m). A group whose
 * scale is 0 has codes 0. Codes are two's complement fields of b bits; -2^(b-1) occurs with full levels alone, whose step is smaller by m / (m + 1/2) and whose ends err
 * by half a step. Any head dimension that the group divides. Payload: b + (bits of the scale's format)/group bits per value (b*dim padded to whole bytes). A group whose
 * largest level overflows binary32 is refused. One division a value; search costs 29 encodings.
 *
 * Encoding decoded rows gives the same bytes wherever the scale is a normal number of its format, levels are symmetric and nothing is clipped; with a subnormal scale,
 * whose rounding is coarse, it may not, so the variant is not flagged idempotent.
 */
#include <stdlib.h>

#include "quant/grouped.h"

enum { SYMMETRIC, FULL };

static float top_of(const gyre_grouped *g)
{
    return (float)((1 << (g->bits - 1)) - 1);
}

static float bottom_of(const gyre_grouped *g)
{
    return g->form == FULL ? -top_of(g) - 1.0f : -top_of(g);
}

/* absmax over steps is the scale */
static float steps_of(const gyre_grouped *g)
{
    return g->form == FULL ? top_of(g) + 0.5f : top_of(g);
}

static bool grid(const gyre_grouped *g, const float *y, float ratio, gyre_group *p)
{
    return gyre_scale_round(g->format, ratio * gyre_group_largest(y, g->group) / steps_of(g), &p->scale) && isfinite(bottom_of(g) * p->scale);
}

static bool code(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, uint8_t *codes)
{
    float m = top_of(g), bottom = bottom_of(g);
    gyre_rounding how = g->rounding;
    if (!grid(g, y, ratio, p))
        return false;
    float scale = p->scale > 0.0f ? p->scale : INFINITY;
    for (size_t i = 0; i < g->group; i++) {
        float t = y[i] / scale;
        t = t > m ? m : t < bottom ? bottom : t;
        codes[i] = (uint8_t)((int)gyre_round(how, t) & 0xFF);
    }
    return true;
}

static void values(const gyre_grouped *g, const gyre_group *p, const uint8_t *codes, float *y)
{
    unsigned sign = 1u << (g->bits - 1), mask = 2 * sign - 1;
    for (size_t i = 0; i < g->group; i++)
        y[i] = (float)((int)((codes[i] & mask) ^ sign) - (int)sign) * p->scale;
}

static bool error(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, float *e)
{
    float m = top_of(g), bottom = bottom_of(g);
    gyre_rounding how = g->rounding;
    if (!grid(g, y, ratio, p))
        return false;
    float stored = p->scale, scale = stored > 0.0f ? stored : INFINITY;
    for (size_t i = 0; i < g->group; i++) {
        float t = y[i] / scale;
        t = t > m ? m : t < bottom ? bottom : t;
        e[i] = (float)(int)gyre_round(how, t) * stored - y[i];
    }
    return true;
}

/* scale = ratio max |y| / steps: one coordinate moves it. */
static void pull(const gyre_grouped *g, const gyre_group_pull *v)
{
    float most = gyre_group_largest(v->y, g->group);
    double scale, low, steps = (double)steps_of(g);
    gyre_group_pull_back(g, v, (double)bottom_of(g), (double)top_of(g), -most, most, &scale, &low);
    size_t j = 0;
    while (fabsf(v->y[j]) != most)
        j++;
    double sign = v->y[j] > 0.0f ? 1.0 : v->y[j] < 0.0f ? -1.0 : 0.0;
    v->g_y[j] += (float)(scale * sign * (double)v->ratio / steps);
    *v->g_clip += scale * (double)most / steps;
}

static const gyre_grouped_way way = {.name = "sym", .parameters = 1, .code = code, .values = values, .error = error, .pull = pull};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    return gyre_grouped_init_layer(site, options, &way, state, err);
}

static const char *const levels[] = {"symmetric", "full", NULL};
static const gyre_option options_table[] = {
    GYRE_BITS_ROW(gyre_grouped_options),
    GYRE_GROUP_ROW,
    GYRE_SCALE_ROW,
    GYRE_ROUNDING_ROW(gyre_grouped_options),
    {"levels", GYRE_OPTION_CHOICE, offsetof(gyre_grouped_options, form), "symmetric", 0, 0, levels, "", "-m..m, or -m-1..m with the scale for m + 1/2"},
    GYRE_CLIP_ROWS,
    {0},
};

const gyre_quantizer_type gyre_quantizer_sym = {
    .name = "sym",
    .summary = "symmetric uniform, absmax scale",
    .source = "arXiv 2605.05699, section 3",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + (32, 16 or 8 by scale) / group",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_grouped_row_bytes,
    .encode = gyre_grouped_encode,
    .decode = gyre_grouped_decode,
    .free = free,
    .options = options_table,
    .refine = gyre_grouped_refine,
    .applicable = gyre_grouped_applicable,
    .stored_bits = gyre_grouped_stored_bits,
    .straight = &gyre_grouped_straight,
};
