/* hqq: half-quadratic quantization of a group's offset (Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023, github mobiusml/hqq).
 *
 *     n = 2^b - 1,  scale = (max - min)/n,  z_0 = -min/scale;  up to 20 times, with beta_0 = 10 and p = 0.7:
 *         q = clamp(round(y / scale + z), 0, n),  r = (q - z) * scale,  e = sign(y - r) max(|y - r| - |y - r|^(p-1) / beta, 0)
 *         z <- mean of q - (y - e) / scale,  beta <- 1.01 beta;  stop when mean |y - r| is not less than the least before
 *     low = -z * scale,  q = clamp(round((y - low) / scale), 0, n),  y^ = q * scale + low
 *
 * The scale is asym's, rounded to its stored format and kept; the iteration looks for the offset with a small |y - y^|^p, so that many values are coded well and a few
 * badly. It runs in double, rounds half to even, and ends, as the authors' code does, with the z of the round that did not improve. beta stands against the size of the
 * values, so that hqq, unlike the other uniform variants, is not equivariant to scaling. Differences: a row is coded when it is cached, not a weight matrix offline; no
 * upper bound on 1/scale; and the offset is stored as its value low rather than as z in codes, so that groups far from 0 or constant do not overflow a half. Layout,
 * bits and refusals are asym's with zero: minimum. Cost: up to 20 encodings and powers.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "quant/grouped.h"

static double offset(const gyre_grouped *g, const float *y, double scale, double z, double top)
{
    enum { ROUNDS = 20 };
    const double p = 0.7, kappa = 1.01;
    double beta = 10.0, least = INFINITY;
    for (int round = 0; round < ROUNDS; round++, beta *= kappa) {
        double sum = 0, error = 0, still = pow(beta, -1.0 / (2.0 - p)); /* up to here |x| <= |x|^(p-1) / beta: e is 0 */
        for (size_t i = 0; i < g->group; i++) {
            double q = fmin(fmax(nearbyint((double)y[i] / scale + z), 0.0), top), off = (double)y[i] - (q - z) * scale, size = fabs(off);
            double e = size > still ? copysign(fmax(size - pow(size, p - 1.0) / beta, 0.0), off) : 0.0;
            sum += q - ((double)y[i] - e) / scale;
            error += size;
        }
        z = sum / (double)g->group;
        if (error >= least)
            break;
        least = error;
    }
    return z;
}

static bool code(const gyre_grouped *g, const float *y, float ratio, gyre_group *p, uint8_t *codes)
{
    (void)ratio;
    float lo, hi, top = (float)((1 << g->bits) - 1);
    gyre_group_range(y, g->group, &lo, &hi);
    if (!isfinite(hi - lo) || !gyre_scale_round(g->format, (hi - lo) / top, &p->scale))
        return false;
    double low = p->scale > 0.0f ? -offset(g, y, (double)p->scale, -(double)lo / (double)p->scale, (double)top) * (double)p->scale : (double)lo;
    if (!(fabs(low) <= (double)FLT_MAX) || !gyre_scale_round(g->format, (float)low, &p->low) || !isfinite(top * p->scale) || !isfinite(top * p->scale + p->low))
        return false;
    gyre_group_offset_codes(g, y, p, codes);
    return true;
}

static const gyre_grouped_way way = {.name = "hqq", .parameters = 2, .code = code, .values = gyre_group_offset_values};

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    return gyre_grouped_init(site->dim, options, &way, state, err);
}

static const gyre_option options_table[] = {
    GYRE_BITS_ROW(gyre_grouped_options),
    GYRE_GROUP_ROW,
    GYRE_SCALE_ROW,
    {0},
};

const gyre_quantizer_type gyre_quantizer_hqq = {
    .name = "hqq",
    .summary = "asymmetric uniform, offset by half-quadratic search",
    .source = "Badri and Shaji 2023 (github mobiusml/hqq)",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + 2 * (32, 16 or 8 by scale) / group",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_grouped_row_bytes,
    .encode = gyre_grouped_encode,
    .decode = gyre_grouped_decode,
    .free = free,
    .options = options_table,
    .applicable = gyre_grouped_signed_applicable,
};
