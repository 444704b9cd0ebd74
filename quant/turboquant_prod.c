/* turboquant_prod: a Lloyd-Max code of b - 1 bits and a one-bit sketch of what it leaves (TurboQuant-prod, arXiv 2504.19874, section 3.2; the sketch is QJL, arXiv
 * 2406.03482).
 *
 *     y1 = decoded lloyd_max of b - 1 bits,  r = y - y1,  z = sign(S r),  y^ = y1 + sqrt(pi/2)/d |r|~ S' z
 *
 * S is d x d with independent N(0, 1) entries, row-major from the normals of purpose 6 (sketch), one matrix for a layer and stream (docs/random.md), rounded to
 * binary32; sign(0) is +1. Since E[S_j sign(S_j.r)] = sqrt(2/pi) r/|r|, E[q.y^] = q.y over S for every q, but for the rounding of |r|. r is taken from the decoded y1,
 * so that the rounding of |y| to its stored format is in r. Any d. Payload: b + 2 (16 or 32)/d bits per value (codes and signs padded to whole bytes). Cost: 2 d^2
 * multiply-adds a row, memory 4 d^2 bytes.
 *
 * The paper rotates first (Haar): put `haar` in front. It sketches the residual before the rotation; here S meets the rotated residual, which has the same
 * law, as a Gaussian matrix times a rotation is again one. Unbiased is the inner product, not the row: its squared error is larger than that of lloyd_max at b bits.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/random.h"
#include "quant/codebook.h"

static const double root_half_pi = 1.25331413731550025121;

typedef struct turboquant_options {
    int64_t bits;
    int norm; /* gyre_scale_format */
} turboquant_options;

typedef struct turboquant {
    size_t dim;
    gyre_scale_format norm;
    gyre_codebook book;
    float *sketch;  /* S */
    double reach;   /* largest |S' z| of a coordinate, over all z */
} turboquant;

static const gyre_option table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(turboquant_options, bits), NULL, 1, GYRE_CODEBOOK_BITS, NULL, "bit", "code and sketch bit together; 1: the sketch alone"},
    {"norm", GYRE_OPTION_CHOICE, offsetof(turboquant_options, norm), "f16", 0, 0, gyre_scale_formats, "", "format of the two stored norms"},
    {0},
};

static void release(void *state)
{
    turboquant *t = state;
    if (t != NULL)
        free(t->sketch);
    free(t);
}

static gyre_status draw_sketch(turboquant *t, const gyre_site *site, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_SKETCH, 0, false);
    double *normals = NULL;
    size_t d = t->dim;
    GYRE_NEW(&t->sketch, d * d);
    GYRE_NEW(&normals, d * d);
    gyre_random_normals(&stream, normals, d * d);
    for (size_t i = 0; i < d * d; i++)
        t->sketch[i] = (float)normals[i];
    for (size_t i = 0; i < d; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++)
            sum += fabs((double)t->sketch[j * d + i]);
        t->reach = fmax(t->reach, sum);
    }
done:
    free(normals);
    return st;
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const turboquant_options *o = options;
    turboquant *t = NULL;
    GYRE_NEW(&t, 1);
    t->dim = site->dim;
    t->norm = (gyre_scale_format)o->norm;
    if (o->bits > 1)
        GYRE_TRY(gyre_codebook_gaussian(&t->book, (size_t)o->bits - 1, err)); /* else the sketch alone: no bits, the one centroid 0 */
    GYRE_TRY(draw_sketch(t, site, err));
    *state = t;
    t = NULL;
done:
    release(t);
    return st;
}

static size_t code_bytes(const turboquant *t)
{
    return (t->dim * t->book.bits + 7) / 8;
}

static size_t sign_bytes(const turboquant *t)
{
    return (t->dim + 7) / 8;
}

static size_t row_bytes(const void *state)
{
    const turboquant *t = state;
    return code_bytes(t) + sign_bytes(t) + 2 * gyre_scale_bytes(t->norm);
}

static float step_of(const turboquant *t, float norm)
{
    return (float)((double)norm / sqrt((double)t->dim));
}

static gyre_status encode_row(const turboquant *t, const float *x, size_t row, uint8_t *bytes, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    float rest[GYRE_QUANTIZER_DIM], norm, left;
    size_t d = t->dim;
    double most = (double)t->book.centroid[((size_t)1 << t->book.bits) - 1] / sqrt((double)d), exact = gyre_norm(x, d);
    GYRE_TRY(gyre_norm_round("turboquant_prod", t->norm, exact, most, row, &norm, err));
    gyre_codebook_encode(&t->book, x, d, exact, codes);
    gyre_pack(codes, d, t->book.bits, bytes);
    for (size_t i = 0; i < d; i++) {
        rest[i] = x[i] - t->book.centroid[codes[i]] * step_of(t, norm);
        if (!isfinite(rest[i]))
            GYRE_FAIL(GYRE_E_RANGE, "turboquant_prod: row %zu has the value %g, whose residual leaves binary32", row, (double)x[i]);
    }
    GYRE_TRY(gyre_norm_round("turboquant_prod", t->norm, gyre_norm(rest, d), root_half_pi / (double)d * t->reach, row, &left, err));
    if (most * (double)norm + root_half_pi / (double)d * t->reach * (double)left > 0.999 * (double)FLT_MAX)
        GYRE_FAIL(GYRE_E_RANGE, "turboquant_prod: row %zu has the norm %g: decoded values could leave binary32", row, exact);
    for (size_t j = 0; j < d; j++)
        codes[j] = gyre_dot(t->sketch + j * d, rest, d) < 0.0;
    bytes += code_bytes(t);
    gyre_pack(codes, d, 1, bytes);
    (void)gyre_scale_put(t->norm, left, gyre_scale_put(t->norm, norm, bytes + sign_bytes(t)));
done:
    return st;
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    gyre_status st = GYRE_OK;
    const turboquant *t = state;
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(t))
        GYRE_TRY(encode_row(t, x, r, bytes, err));
done:
    return st;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const turboquant *t = state;
    uint8_t codes[GYRE_QUANTIZER_DIM], signs[GYRE_QUANTIZER_DIM];
    double sum[GYRE_QUANTIZER_DIM];
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(t)) {
        float norm, left;
        gyre_unpack(bytes, t->dim, t->book.bits, codes);
        gyre_unpack(bytes + code_bytes(t), t->dim, 1, signs);
        (void)gyre_scale_get(t->norm, gyre_scale_get(t->norm, bytes + code_bytes(t) + sign_bytes(t), &norm), &left);
        for (size_t i = 0; i < t->dim; i++)
            sum[i] = 0.0;
        for (size_t j = 0; j < t->dim; j++) {
            const float *row = t->sketch + j * t->dim;
            double sign = signs[j] ? -1.0 : 1.0;
            for (size_t i = 0; i < t->dim; i++)
                sum[i] += sign * (double)row[i];
        }
        float step = step_of(t, norm), sketch = (float)(root_half_pi / (double)t->dim) * left;
        for (size_t i = 0; i < t->dim; i++)
            x[i] = t->book.centroid[codes[i]] * step + sketch * (float)sum[i];
    }
}

const gyre_quantizer_type gyre_quantizer_turboquant_prod = {
    .name = "turboquant_prod",
    .summary = "Lloyd-Max of bits - 1 and a one-bit Gaussian sketch of the residual: unbiased inner products; the paper rotates first (haar)",
    .source = "arXiv 2504.19874 (TurboQuant), section 3.2",
    .bits_formula = "(ceil((bits - 1) * dim / 8) + ceil(dim / 8)) * 8 / dim + 2 * (16 or 32) / dim",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE | GYRE_QUANTIZER_SEEDED,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = release,
    .options = table,
};
