/* logit_error: rms over visible keys of the change of the score, its mean over keys removed (softmax ignores it), in nats; mean over queries and query heads.
 *
 * Linear in the key error and blind to where attention looks: see softmax_kl. Not defined for arms that leave K exact.
 */
#include <math.h>

#include "metrics/metric.h"

static double measure(const gyre_unit *u)
{
    const gyre_attention *a = u->exact;
    double sum = 0.0;
    for (size_t r = 0; r < a->n; r++) {
        const double *d = u->delta + r * a->tokens;
        double keys = (double)(a->last[r] - a->first[r]), mean = 0.0, square = 0.0;
        for (size_t j = a->first[r]; j < a->last[r]; j++)
            mean += d[j];
        mean /= keys;
        for (size_t j = a->first[r]; j < a->last[r]; j++)
            square += (d[j] - mean) * (d[j] - mean);
        sum += sqrt(square / keys);
    }
    return sum / (double)a->n;
}

const gyre_metric_type gyre_metric_logit_error = {"logit_error", "rms change of the attention scores, mean removed", "nat", GYRE_METRIC_LOGITS, GYRE_METRIC_OF_K, measure};
