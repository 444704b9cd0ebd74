#include "quant/ggml.h"

#include <math.h>

bool gyre_ggml_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    (void)options;
    return gyre_blocks_applicable(site, GYRE_GGML_BLOCK, why);
}

float gyre_ggml_inverse(float d)
{
    float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    return isfinite(inverse) ? inverse : 0.0f;
}

float gyre_ggml_signed_codes(const float *y, int half, uint8_t *codes)
{
    float most = 0.0f, m = 0.0f;
    for (size_t i = 0; i < GYRE_GGML_BLOCK; i++)
        if (fabsf(y[i]) > most) {
            most = fabsf(y[i]);
            m = y[i];
        }
    float d = m / (float)-half, inverse = gyre_ggml_inverse(d);
    for (size_t i = 0; i < GYRE_GGML_BLOCK; i++) {
        int q = (int)(y[i] * inverse + ((float)half + 0.5f)); /* y / d is in [-half, half] */
        codes[i] = (uint8_t)(q > 2 * half - 1 ? 2 * half - 1 : q);
    }
    return d;
}
