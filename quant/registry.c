/* The family of quantizers. To add one: write its file, add its extern and its line. */
#include <string.h>

#include "quant/quantizer.h"

extern const gyre_quantizer_type gyre_quantizer_exact, gyre_quantizer_f16, gyre_quantizer_sym, gyre_quantizer_asym;
extern const gyre_quantizer_type gyre_quantizer_kivi, gyre_quantizer_kvquant_mse, gyre_quantizer_packkv, gyre_quantizer_ott;

const gyre_quantizer_type *const gyre_quantizer_types[] = {
    &gyre_quantizer_exact,
    &gyre_quantizer_f16,
    &gyre_quantizer_sym,
    &gyre_quantizer_asym,
    &gyre_quantizer_kivi,
    &gyre_quantizer_kvquant_mse,
    &gyre_quantizer_packkv,
    &gyre_quantizer_ott,
    NULL,
};

const gyre_quantizer_type *gyre_quantizer_find(const char *name)
{
    for (const gyre_quantizer_type *const *t = gyre_quantizer_types; *t != NULL; t++)
        if (strcmp((*t)->name, name) == 0)
            return *t;
    return NULL;
}
