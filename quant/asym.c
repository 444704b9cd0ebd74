/* asym: asymmetric uniform quantization, a scale and an offset a group (arXiv 2402.02750, KIVI, section 3.1; arXiv 2404.00456, QuaRot, for the integer zero-point).
 *
 *     zero minimum: n = 2^b - 1,  lo = min + (1-c)/2 (max - min),  hi = max - (1-c)/2 (max - min),  scale = (hi - lo)/n,
 *                   q = clamp(round((y - lo) / scale), 0, n),  y^ = q * scale + lo
 *     zero integer: lo = c min(min, 0),  hi = c max(max, 0),  scale = (hi - lo)/n,  z = clamp(round(-lo / scale), 0, n),
 *                   q = clamp(round(y / scale) + z, 0, n),  y^ = (q - z) * scale
 *
 * True division in float; lo and then the scale (hi less the rounded lo) are rounded to their stored format first and then used; c is `clip`, or per group what `search`
 * finds, or what is learned (quant/grouped.h, which has the gradients too). Clipping moves both ends of a stored minimum towards the middle of the range; an integer zero-point follows QuaRot, which scales both ends of
 * a range that holds 0 (towards 0; the same for ranges about 0, but senseless for a minimum far from 0). z is a field of b bits behind the codes: QuaRot's simulation
 * leaves it in a float and its kernel stores a half. A group whose hi does not exceed its rounded lo has scale 0 and codes 0. Codes are unsigned fields of b bits. Any
 * head dimension that the group divides. Payload, F the bits of the scale's format: b + 2 F/group, or b + (b + F)/group, padded to whole bytes. Not idempotent in
 * floating point. Groups whose span or largest decoded value overflows binary32 are refused; e8m0, which has no sign, goes with integer zero-points alone. One division
 * a value; search costs 29 encodings. Not SAW-INT4's arithmetic to the last bit: its zero is -min/scale in float, unrounded (arXiv 2604.19157; its rounding is half_up).
 */
#include <stdlib.h>

#include "quant/asym.h"

enum { MINIMUM, INTEGER };

static float top_of(const gyre_grouped *g)
{
    return (float)((1 << g->bits) - 1);
}

/* ---- zero: minimum ---- */

static bool grid_minimum(const gyre_grouped *g, const float *y, float ratio, gyre_group *p)
{
    float lo, hi, top = top_of(g);
    gyre_group_range(y, g->group, &lo, &hi);
    float cut = (1.0f - ratio) * 0.5f * (hi - lo);
    if (!isfinite(cut) || !gyre_scale_round(g->format, lo + cut, &p->low))
        return false;
    float span = hi - cut > p->low ? hi - cut - p->low : 0.0f;
    return isfinite(span) && gyre_scale_round(g->format, span / top, &p->scale) && isfinite(top * p->scale) && isfinite(top * p->scale + p->low);
}

static bool code_minimum(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, uint8_t *codes)
{
    if (!grid_minimum(g, y, ratio, p))
        return false;
    gyre_group_offset_codes(g, y, p, codes);
    return true;
}

static bool error_minimum(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, float *e)
{
    float top = top_of(g);
    gyre_rounding how = g->rounding;
    if (!grid_minimum(g, y, ratio, p))
        return false;
    float stored = p->scale, scale = stored > 0.0f ? stored : INFINITY, lo = p->low;
    for (size_t i = 0; i < g->group; i++) {
        float t = (y[i] - lo) / scale;
        t = t > top ? top : t < 0.0f ? 0.0f : t;
        e[i] = ((float)(int)gyre_round(how, t) * stored + lo) - y[i];
    }
    return true;
}

/* h = (1-c)/2: lo = (1-h) min + h max, scale = c (max - min)/n. */
static void pull_minimum(const gyre_grouped *g, const gyre_group_pull *v)
{
    float lo, hi;
    double scale, low, n = (double)top_of(g), c = (double)v->ratio, h = 0.5 * (1.0 - c);
    gyre_group_range(v->y, g->group, &lo, &hi);
    gyre_group_pull_back(g, v, 0, n, lo, hi, &scale, &low);
    v->g_y[gyre_group_place(v->y, g->group, lo)] += (float)((1.0 - h) * low - c / n * scale);
    v->g_y[gyre_group_place(v->y, g->group, hi)] += (float)(h * low + c / n * scale);
    *v->g_clip += ((double)hi - (double)lo) * (scale / n - 0.5 * low);
}

/* ---- zero: integer ---- */

static bool grid_integer(const gyre_grouped *g, const float *y, float ratio, gyre_group *p)
{
    float lo, hi, top = top_of(g);
    gyre_group_range(y, g->group, &lo, &hi);
    lo = lo < 0.0f ? ratio * lo : 0.0f;
    hi = hi > 0.0f ? ratio * hi : 0.0f;
    if (!isfinite(hi - lo) || !gyre_scale_round(g->format, (hi - lo) / top, &p->scale) || !isfinite(top * p->scale))
        return false;
    float scale = p->scale > 0.0f ? p->scale : INFINITY, zero = -lo / scale;
    p->zero = (uint8_t)(int)gyre_round(g->rounding, zero > top ? top : zero);
    return true;
}

static bool code_integer(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, uint8_t *codes)
{
    gyre_rounding how = g->rounding;
    if (!grid_integer(g, y, ratio, p))
        return false;
    float scale = p->scale > 0.0f ? p->scale : INFINITY, zero = (float)p->zero, top = top_of(g);
    for (size_t i = 0; i < g->group; i++) {
        float t = y[i] / scale;
        t = t > top - zero ? top - zero : t < -zero ? -zero : t;
        codes[i] = (uint8_t)(int)(gyre_round(how, t) + zero);
    }
    return true;
}

static void values_integer(const gyre_grouped *g, const gyre_group *p, const uint8_t *codes, float *y)
{
    for (size_t i = 0; i < g->group; i++)
        y[i] = (float)((int)codes[i] - (int)p->zero) * p->scale;
}

static bool error_integer(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, float *e)
{
    gyre_rounding how = g->rounding;
    if (!grid_integer(g, y, ratio, p))
        return false;
    float stored = p->scale, scale = stored > 0.0f ? stored : INFINITY, bottom = -(float)p->zero, top = top_of(g) + bottom;
    for (size_t i = 0; i < g->group; i++) {
        float t = y[i] / scale;
        t = t > top ? top : t < bottom ? bottom : t;
        e[i] = (float)(int)gyre_round(how, t) * stored - y[i];
    }
    return true;
}

/* The zero-point is held as the codes are: scale = c (max(max, 0) - min(min, 0))/n. */
static void pull_integer(const gyre_grouped *g, const gyre_group_pull *v)
{
    float lo, hi;
    double scale, low, n = (double)top_of(g), zero = (double)v->p.zero, c = (double)v->ratio;
    gyre_group_range(v->y, g->group, &lo, &hi);
    gyre_group_pull_back(g, v, -zero, n - zero, lo, hi, &scale, &low);
    if (lo < 0.0f)
        v->g_y[gyre_group_place(v->y, g->group, lo)] -= (float)(c / n * scale);
    if (hi > 0.0f)
        v->g_y[gyre_group_place(v->y, g->group, hi)] += (float)(c / n * scale);
    *v->g_clip += (fmax((double)hi, 0) - fmin((double)lo, 0)) * scale / n;
}

const gyre_grouped_way gyre_asym_minimum = {.name = "asym", .parameters = 2, .code = code_minimum, .values = gyre_group_offset_values, .error = error_minimum, .pull = pull_minimum};
static const gyre_grouped_way integer = {.name = "asym", .parameters = 1, .zeros = true, .code = code_integer, .values = values_integer, .error = error_integer, .pull = pull_integer};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    const gyre_grouped_options *o = options;
    return gyre_grouped_init_layer(site, options, o->form == MINIMUM ? &gyre_asym_minimum : &integer, state, err);
}

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const gyre_grouped_options *o = options;
    return o->form == MINIMUM ? gyre_grouped_signed_applicable(site, options, why) : gyre_grouped_applicable(site, options, why);
}

static const char *const zeros[] = {"minimum", "integer", NULL};
static const gyre_option options_table[] = {
    GYRE_BITS_ROW(gyre_grouped_options),
    GYRE_GROUP_ROW,
    GYRE_SCALE_ROW,
    GYRE_ROUNDING_ROW(gyre_grouped_options),
    {"zero", GYRE_OPTION_CHOICE, offsetof(gyre_grouped_options, form), "minimum", 0, 0, zeros, "", "the offset: the minimum in the scale's format, or the code of 0"},
    GYRE_CLIP_ROWS,
    {0},
};

const gyre_quantizer_type gyre_quantizer_asym = {
    .name = "asym",
    .summary = "asymmetric uniform, scale and minimum",
    .source = "arXiv 2402.02750 (KIVI), section 3.1",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + 2 * (32, 16 or 8 by scale) / group; integer zero: bits * (1 + 1 / group) padded + (32, 16 or 8) / group",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_grouped_row_bytes,
    .encode = gyre_grouped_encode,
    .decode = gyre_grouped_decode,
    .free = free,
    .options = options_table,
    .refine = gyre_grouped_refine,
    .applicable = applicable,
    .stored_bits = gyre_grouped_stored_bits,
    .straight = &gyre_grouped_straight,
};
