/* fp8: every value as an 8-bit float, E4M3 or E5M2 (OCP OFP8 1.0; arXiv 2209.05433), bare or against one scale a row.
 *
 *     scale none: y^ = fp8(y)                                             8 bits per value
 *     scale row:  s = max |y| / largest,  y^ = fp8(y / s) * s             8 + 32/d, s in binary32; largest is 448 (e4m3) or 57344 (e5m2)
 *
 * Rounded half to even. Bare, a value that the format cannot hold (above 464 in e4m3, from 61440 on in e5m2) is refused; with a scale the quotient saturates, which only
 * rounding of s can call for. A row whose s is 0 decodes to zeros. Any head dimension. Bytes: the codes, then s.
 */
#include <math.h>
#include <stdlib.h>

#include "core/minifloat.h"
#include "quant/grouped.h"

enum { E4M3, E5M2 };
enum { NONE, ROW };

typedef struct fp8_options {
    int format, scale;
} fp8_options;

typedef struct fp8 {
    size_t dim;
    bool e5m2, scaled;
} fp8;

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const fp8_options *o = options;
    fp8 *f = NULL;
    GYRE_NEW(&f, 1);
    f->dim = site->dim;
    f->e5m2 = o->format == E5M2;
    f->scaled = o->scale == ROW;
    *state = f;
done:
    return st;
}

static size_t row_bytes(const void *state)
{
    const fp8 *f = state;
    return f->dim + (f->scaled ? 4 : 0);
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    const fp8 *f = state;
    float largest = f->e5m2 ? GYRE_E5M2_MAX : GYRE_E4M3_MAX, beyond = f->e5m2 ? 61440.0f : nextafterf(464.0f, INFINITY);
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(f)) {
        float most = gyre_group_largest(x, f->dim), scale = f->scaled ? most / largest : 1.0f, by = scale > 0.0f ? scale : INFINITY;
        if (f->scaled ? !isfinite(scale * largest) : most >= beyond)
            return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "fp8: row %zu has a value of magnitude %g, beyond %s%s", r, (double)most,
                                  f->scaled ? "binary32 once decoded" : f->e5m2 ? "e5m2" : "e4m3", f->scaled ? "" : ": use scale: row");
        for (size_t i = 0; i < f->dim; i++) {
            float t = x[i] / by;
            t = t > largest ? largest : t < -largest ? -largest : t;
            bytes[i] = f->e5m2 ? gyre_e5m2_from_float(t) : gyre_e4m3_from_float(t);
        }
        if (f->scaled)
            (void)gyre_scale_put(GYRE_SCALE_F32, scale, bytes + f->dim);
    }
    return GYRE_OK;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const fp8 *f = state;
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(f)) {
        float scale = 1.0f;
        if (f->scaled)
            (void)gyre_scale_get(GYRE_SCALE_F32, bytes + f->dim, &scale);
        for (size_t i = 0; i < f->dim; i++)
            x[i] = (f->e5m2 ? gyre_e5m2_to_float(bytes[i]) : gyre_e4m3_to_float(bytes[i])) * scale;
    }
}

/* Bare codes come back as they are; a scale of decoded rows may not. */
static void refine(const void *options, unsigned *flags)
{
    const fp8_options *o = options;
    if (o->scale == NONE)
        *flags |= GYRE_IDEMPOTENT;
}

static const char *const formats[] = {"e4m3", "e5m2", NULL}, *const scales[] = {"none", "row", NULL};
static const gyre_option options_table[] = {
    {"format", GYRE_OPTION_CHOICE, offsetof(fp8_options, format), "e4m3", 0, 0, formats, "", "bits of exponent and mantissa"},
    {"scale", GYRE_OPTION_CHOICE, offsetof(fp8_options, scale), "row", 0, 0, scales, "",
     "what a value is divided by: nothing, or its row's largest magnitude over the format's"},
    {0},
};

const gyre_quantizer_type gyre_quantizer_fp8 = {
    .name = "fp8",
    .summary = "8-bit float, bare or scaled by row",
    .source = "OCP OFP8 1.0; arXiv 2209.05433",
    .bits_formula = "8, or 8 + 32 / dim",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = free,
    .options = options_table,
    .refine = refine,
};
