/* sym: symmetric uniform quantization, one scale a group (arXiv 2605.05699, section 3; Jacob et al., CVPR 2018).
 *
 *     levels symmetric: m = 2^(b-1) - 1,  scale = c max |y| / m,          q = clamp(round(y / scale), -m, m),      y^ = q * scale
 *     levels full:                        scale = c max |y| / (m + 1/2),  q = clamp(round(y / scale), -m - 1, m)
 *
 * True division in float; the scale is rounded to its stored format first and then used; c is `clip`, or per group what `search` finds (quant/grouped.h). A group whose
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

static bool code(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, uint8_t *codes)
{
    float m = (float)((1 << (g->bits - 1)) - 1), bottom = g->form == FULL ? -m - 1.0f : -m, steps = g->form == FULL ? m + 0.5f : m;
    gyre_rounding how = g->rounding;
    if (!gyre_scale_round(g->format, ratio * gyre_group_largest(y, g->group) / steps, &p->scale) || !isfinite(bottom * p->scale))
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

static const gyre_grouped_way way = {.name = "sym", .parameters = 1, .code = code, .values = values};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    return gyre_grouped_init(site->dim, options, &way, state, err);
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
    .applicable = gyre_grouped_applicable,
};
