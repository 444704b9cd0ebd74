/* sym: symmetric uniform quantization, one scale a group (arXiv 2605.05699, section 3; Jacob et al., CVPR 2018).
 *
 *     m = 2^(b-1) - 1,  scale = max |y| / m,  q = clamp(round_half_even(y / scale), -m, m),  y^ = q * scale
 *
 * True division in float; the scale is rounded to its stored format first and then used. A group of zeros has scale 0 and codes 0. Codes are two's complement
 * fields of b bits; -2^(b-1) never occurs. Payload: b + (32 or 16)/group bits per value (b*dim padded to whole bytes).
 *
 * Encoding decoded rows gives the same bytes wherever the scale is a normal number of its format; with a subnormal scale, whose rounding is coarse, it may not, so the
 * variant is not flagged idempotent.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/grouped.h"

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    return gyre_grouped_init(site->dim, options, 1, state, err);
}

static float largest(const float *x, size_t n)
{
    float most = 0.0f;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        most = a > most ? a : most;
    }
    return most;
}

static void codes_of(const float *x, size_t n, float scale, float m, uint8_t *codes)
{
    for (size_t i = 0; i < n; i++) {
        float t = x[i] / scale;
        t = t > m ? m : t < -m ? -m : t;
        codes[i] = (uint8_t)((int)gyre_round_even(t) & 0xFF);
    }
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    const gyre_grouped *g = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    float m = (float)((1 << (g->bits - 1)) - 1);
    for (size_t r = 0; r < n; r++, x += stride, bytes += gyre_grouped_row_bytes(g)) {
        uint8_t *at = bytes + (g->dim * g->bits + 7) / 8;
        for (size_t k = 0; k < g->groups; k++) {
            const float *y = x + k * g->group;
            float scale, most = largest(y, g->group);
            if (!gyre_scale_round(g->format, most / m, &scale))
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "sym: row %zu has a value of magnitude %g, whose scale exceeds binary16: use scale: f32",
                                      r, (double)most);
            if (!isfinite(m * scale)) /* the quotient was rounded up */
                return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "sym: row %zu has a value of magnitude %g, which would decode to infinity", r, (double)most);
            if (scale > 0.0f)
                codes_of(y, g->group, scale, m, codes + k * g->group);
            else
                for (size_t i = 0; i < g->group; i++)
                    codes[k * g->group + i] = 0;
            at = gyre_scale_put(g->format, scale, at);
        }
        gyre_pack(codes, g->dim, g->bits, bytes);
    }
    return GYRE_OK;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const gyre_grouped *g = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    unsigned sign = 1u << (g->bits - 1);
    for (size_t r = 0; r < n; r++, x += stride, bytes += gyre_grouped_row_bytes(g)) {
        const uint8_t *at = bytes + (g->dim * g->bits + 7) / 8;
        gyre_unpack(bytes, g->dim, g->bits, codes);
        for (size_t k = 0; k < g->groups; k++) {
            float scale;
            at = gyre_scale_get(g->format, at, &scale);
            for (size_t i = k * g->group; i < (k + 1) * g->group; i++)
                x[i] = (float)((int)(codes[i] ^ sign) - (int)sign) * scale;
        }
    }
}

const gyre_quantizer_type gyre_quantizer_sym = {
    .name = "sym",
    .summary = "symmetric uniform, absmax scale",
    .source = "arXiv 2605.05699, section 3",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + (32 or 16) / group",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_grouped_row_bytes,
    .encode = encode,
    .decode = decode,
    .free = free,
    .options = gyre_grouped_table,
    .applicable = gyre_grouped_applicable,
};
