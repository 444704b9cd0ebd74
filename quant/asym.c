/* asym: asymmetric uniform quantization, a scale and a minimum a group (arXiv 2402.02750, KIVI, section 3.1).
 *
 *     n = 2^b - 1,  scale = (max - min)/n,  q = clamp(round_half_even((y - min) / scale), 0, n),  y^ = q * scale + min
 *
 * True division in float; the minimum and then the scale (max less the rounded minimum) are rounded to their stored format first and then used. A group whose maximum
 * does not exceed its rounded minimum has scale 0 and codes 0. Codes are unsigned fields of b bits. Payload: b + 2 (32 or 16)/group bits per value. Not idempotent in
 * floating point. Groups whose span, or whose largest decoded value, overflows binary32 are refused.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/asym.h"

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    return gyre_grouped_init(site->dim, options, 2, state, err);
}

static void range(const float *x, size_t n, float *lo, float *hi)
{
    *lo = *hi = x[0];
    for (size_t i = 1; i < n; i++) {
        *lo = x[i] < *lo ? x[i] : *lo;
        *hi = x[i] > *hi ? x[i] : *hi;
    }
}

static void codes_of(const float *x, size_t n, float lo, float scale, float top, uint8_t *codes)
{
    for (size_t i = 0; i < n; i++) {
        float t = (x[i] - lo) / scale;
        t = t > top ? top : t < 0.0f ? 0.0f : t;
        codes[i] = (uint8_t)(int)gyre_round_even(t);
    }
}

gyre_status gyre_asym_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    const gyre_grouped *g = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    float top = (float)((1 << g->bits) - 1);
    for (size_t r = 0; r < n; r++, x += stride, bytes += gyre_grouped_row_bytes(g)) {
        uint8_t *at = bytes + (g->dim * g->bits + 7) / 8;
        for (size_t k = 0; k < g->groups; k++) {
            const float *y = x + k * g->group;
            float lo, hi, scale;
            range(y, g->group, &lo, &hi);
            bool fits = gyre_scale_round(g->format, lo, &lo);
            float span = hi > lo ? hi - lo : 0.0f;
            if (!fits || !isfinite(span) || !gyre_scale_round(g->format, span / top, &scale) || !isfinite(top * scale + lo))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "asym: row %zu has values from %g to %g, beyond %s%s", r, (double)lo, (double)hi,
                                      g->format == GYRE_SCALE_F16 ? "binary16" : "binary32", g->format == GYRE_SCALE_F16 ? ": use scale: f32" : "");
            if (scale > 0.0f)
                codes_of(y, g->group, lo, scale, top, codes + k * g->group);
            else
                for (size_t i = 0; i < g->group; i++)
                    codes[k * g->group + i] = 0;
            at = gyre_scale_put(g->format, scale, at);
            at = gyre_scale_put(g->format, lo, at);
        }
        gyre_pack(codes, g->dim, g->bits, bytes);
    }
    return GYRE_OK;
}

void gyre_asym_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const gyre_grouped *g = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    for (size_t r = 0; r < n; r++, x += stride, bytes += gyre_grouped_row_bytes(g)) {
        const uint8_t *at = bytes + (g->dim * g->bits + 7) / 8;
        gyre_unpack(bytes, g->dim, g->bits, codes);
        for (size_t k = 0; k < g->groups; k++) {
            float scale, lo;
            at = gyre_scale_get(g->format, at, &scale);
            at = gyre_scale_get(g->format, at, &lo);
            for (size_t i = k * g->group; i < (k + 1) * g->group; i++)
                x[i] = (float)codes[i] * scale + lo;
        }
    }
}

const gyre_quantizer_type gyre_quantizer_asym = {
    .name = "asym",
    .summary = "asymmetric uniform, scale and minimum",
    .source = "arXiv 2402.02750 (KIVI), section 3.1",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + 2 * (32 or 16) / group",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_grouped_row_bytes,
    .encode = gyre_asym_encode,
    .decode = gyre_asym_decode,
    .free = free,
    .options = gyre_grouped_table,
    .applicable = gyre_grouped_applicable,
};
