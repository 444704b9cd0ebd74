/* The family of quantizers. To add one: write its file, add its extern and its line. */
#include <string.h>

#include "quant/quantizer.h"

extern const gyre_quantizer_type gyre_quantizer_exact, gyre_quantizer_f16, gyre_quantizer_sym, gyre_quantizer_asym;
extern const gyre_quantizer_type gyre_quantizer_bf16, gyre_quantizer_fp8, gyre_quantizer_mxfp4, gyre_quantizer_nvfp4;
extern const gyre_quantizer_type gyre_quantizer_channel, gyre_quantizer_hqq;
extern const gyre_quantizer_type gyre_quantizer_q4_0, gyre_quantizer_q5_0, gyre_quantizer_q8_0;
extern const gyre_quantizer_type gyre_quantizer_lloyd_max, gyre_quantizer_turboquant_prod, gyre_quantizer_polarquant, gyre_quantizer_fibquant;
extern const gyre_quantizer_type gyre_quantizer_kmeans_residual, gyre_quantizer_alignedkv;
extern const gyre_quantizer_type gyre_quantizer_kivi, gyre_quantizer_kvquant_mse, gyre_quantizer_packkv, gyre_quantizer_ott;

const gyre_quantizer_type *const gyre_quantizer_types[] = {
    &gyre_quantizer_exact,
    &gyre_quantizer_f16,
    &gyre_quantizer_bf16,
    &gyre_quantizer_fp8,
    &gyre_quantizer_sym,
    &gyre_quantizer_asym,
    &gyre_quantizer_hqq,
    &gyre_quantizer_channel,
    &gyre_quantizer_mxfp4,
    &gyre_quantizer_nvfp4,
    &gyre_quantizer_q4_0,
    &gyre_quantizer_q5_0,
    &gyre_quantizer_q8_0,
    &gyre_quantizer_lloyd_max,
    &gyre_quantizer_turboquant_prod,
    &gyre_quantizer_polarquant,
    &gyre_quantizer_fibquant,
    &gyre_quantizer_kmeans_residual,
    &gyre_quantizer_kivi,
    &gyre_quantizer_kvquant_mse,
    &gyre_quantizer_ott,
    &gyre_quantizer_packkv,
    &gyre_quantizer_alignedkv,
    NULL,
};

const gyre_quantizer_type *gyre_quantizer_find(const char *name)
{
    for (const gyre_quantizer_type *const *t = gyre_quantizer_types; *t != NULL; t++)
        if (strcmp((*t)->name, name) == 0)
            return *t;
    return NULL;
}
