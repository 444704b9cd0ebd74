/* The family of metrics. To add one: write its file, add its extern and its line. */
#include <string.h>

#include "metrics/metric.h"

extern const gyre_metric_type gyre_metric_nmse, gyre_metric_nmse_centred, gyre_metric_logit_error, gyre_metric_softmax_kl, gyre_metric_flip,
    gyre_metric_output_error, gyre_metric_nll, gyre_metric_nll_change, gyre_metric_token_kl, gyre_metric_top_flip, gyre_metric_p_rms;

const gyre_metric_type *const gyre_metric_types[] = {
    &gyre_metric_nmse,
    &gyre_metric_nmse_centred,
    &gyre_metric_logit_error,
    &gyre_metric_softmax_kl,
    &gyre_metric_flip,
    &gyre_metric_output_error,
    &gyre_metric_nll,
    &gyre_metric_nll_change,
    &gyre_metric_token_kl,
    &gyre_metric_top_flip,
    &gyre_metric_p_rms,
    NULL,
};

bool gyre_metric_applies(const gyre_metric_type *m, bool codes_k, bool codes_v)
{
    return (m->reads & GYRE_METRIC_TOKENS) || (codes_k && (m->streams & GYRE_METRIC_OF_K)) || (codes_v && (m->streams & GYRE_METRIC_OF_V));
}

const gyre_metric_type *gyre_metric_find(const char *name)
{
    for (const gyre_metric_type *const *m = gyre_metric_types; *m != NULL; m++)
        if (strcmp((*m)->name, name) == 0)
            return *m;
    return NULL;
}
