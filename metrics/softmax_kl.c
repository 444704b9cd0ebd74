/* softmax_kl: KL(p || p^) of the attention weights over visible keys, in nats; mean over queries and query heads.
 *
 * What the change of the scores does to attention. Not defined for arms that leave K exact.
 */
#include "metrics/metric.h"

static double measure(const gyre_unit *u)
{
    double sum = 0.0;
    for (size_t r = 0; r < u->exact->n; r++)
        sum += u->kl[r];
    return sum / (double)u->exact->n;
}

const gyre_metric_type gyre_metric_softmax_kl = {"softmax_kl", "Kullback-Leibler divergence of the attention weights", "nat", GYRE_METRIC_LOGITS, GYRE_METRIC_OF_K, measure, NULL};
