/* nvfp4: NVIDIA's FP4 (arXiv 2509.25149): blocks of 16 values of E2M1 under an E4M3 scale, all under one binary32 scale.
 *
 *     s = e4m3(min((max |y| / 6) / t, 448)),  y^ = e2m1(y / (s t)) * (s t),  s t in binary32
 *     tensor calibrated: t = max |y| / (448 * 6) over the calibration rows of the head (1 where that is 0), stored once, 32 bits a head
 *     tensor none:       t = 1
 *
 * E2M1 is +-{0, 0.5, 1, 1.5, 2, 3, 4, 6}, rounded half to even and saturating. The tensor scale is of the calibration rows, since a cache cannot know the tokens to
 * come: blocks beyond their range saturate at s = 448 (without one, beyond 2688). s t = 0 gives zeros. Payload 4.5 bits per value; 16 divides the head dimension. A
 * block whose 6 s t overflows binary32 is refused. Bytes of a block: s, then 8 bytes of codes, the even coordinate in the low half.
 */
#include <math.h>
#include <stdlib.h>

#include "core/minifloat.h"
#include "quant/blocks.h"
#include "quant/grouped.h"

enum { BLOCK = 16 };
enum { CALIBRATED, NONE };

typedef struct nvfp4_options {
    int tensor;
} nvfp4_options;

typedef struct nvfp4 {
    gyre_blocks blocks;
    size_t heads;
    bool calibrated;
    float *tensor; /* per head; 0 before the fit */
} nvfp4;

static bool code(const void *state, size_t head, const float *y, uint8_t *bytes)
{
    const nvfp4 *q = state;
    float relative = gyre_group_largest(y, BLOCK) / GYRE_E2M1_MAX / q->tensor[head];
    bytes[0] = gyre_e4m3_from_float(relative > GYRE_E4M3_MAX ? GYRE_E4M3_MAX : relative);
    float scale = gyre_e4m3_to_float(bytes[0]) * q->tensor[head];
    gyre_e2m1_pack(y, BLOCK, scale, bytes + 1);
    return isfinite(scale * GYRE_E2M1_MAX);
}

static void values(const void *state, size_t head, const uint8_t *bytes, float *y)
{
    const nvfp4 *q = state;
    gyre_e2m1_unpack(bytes + 1, BLOCK, gyre_e4m3_to_float(bytes[0]) * q->tensor[head], y);
}

static const gyre_blocks_way way = {.name = "nvfp4", .refusal = "largest code exceeds binary32", .block = BLOCK, .bytes = 1 + BLOCK / 2, .code = code, .values = values};

static void release(void *state)
{
    nvfp4 *q = state;
    if (q != NULL)
        free(q->tensor);
    free(q);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const nvfp4_options *o = options;
    nvfp4 *q = NULL;
    GYRE_NEW(&q, 1);
    q->blocks = (gyre_blocks){&way, site->dim};
    q->heads = site->n_heads > 0 ? site->n_heads : 1;
    q->calibrated = o->tensor == CALIBRATED;
    GYRE_NEW(&q->tensor, q->heads);
    for (size_t h = 0; h < q->heads && !q->calibrated; h++)
        q->tensor[h] = 1.0f;
    *state = q;
    q = NULL;
done:
    release(q);
    return st;
}

static gyre_status fit(void *state, const float *x, size_t documents, size_t tokens, gyre_error *err)
{
    nvfp4 *q = state;
    size_t each = documents * tokens * q->blocks.dim;
    if (!q->calibrated)
        return GYRE_OK;
    if (each == 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "nvfp4 has no calibration rows: name calibration documents, or use tensor: none");
    for (size_t h = 0; h < q->heads; h++) {
        float scale = gyre_group_largest(x + h * each, each) / (GYRE_E4M3_MAX * GYRE_E2M1_MAX);
        q->tensor[h] = scale > 0.0f ? scale : 1.0f;
    }
    return GYRE_OK;
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    const nvfp4 *q = state;
    if (!(q->tensor[head] > 0.0f))
        return gyre_error_set(err, GYRE_E_INTERNAL, __FILE__, __LINE__, "nvfp4 codes before it is calibrated");
    return gyre_blocks_encode(state, head, x, n, stride, bytes, err);
}

static size_t stored_bits(const void *state)
{
    const nvfp4 *q = state;
    return q->calibrated ? 32 * q->heads : 0;
}

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    (void)options;
    return gyre_blocks_applicable(site, BLOCK, why);
}

static void refine(const void *options, unsigned *flags)
{
    const nvfp4_options *o = options;
    if (o->tensor == CALIBRATED)
        *flags |= GYRE_QUANTIZER_FITTED;
}

static const char *const tensors[] = {"calibrated", "none", NULL};
static const gyre_option options_table[] = {
    {"tensor", GYRE_OPTION_CHOICE, offsetof(nvfp4_options, tensor), "calibrated", 0, 0, tensors, "",
     "the binary32 scale above the blocks: one a head from calibration rows, or 1"},
    {0},
};

const gyre_quantizer_type gyre_quantizer_nvfp4 = {
    .name = "nvfp4",
    .summary = "E2M1 in blocks of 16 under an E4M3 scale",
    .source = "arXiv 2509.25149",
    .bits_formula = "4 + 8 / 16",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = gyre_blocks_row_bytes,
    .encode = encode,
    .decode = gyre_blocks_decode,
    .free = release,
    .options = options_table,
    .refine = refine,
    .applicable = applicable,
    .stored_bits = stored_bits,
    .fit = fit,
};
