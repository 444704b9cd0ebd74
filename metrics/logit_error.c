/* logit_error: rms over visible keys of the change of the score, its mean over keys removed (softmax ignores it), in nats; mean over queries and query heads.
 *
 * Linear in the key error and blind to where attention looks: see softmax_kl. Not defined for arms that leave K exact.
 */
#include <math.h>

#include "metrics/metric.h"

/* Mean square about the mean of n values, in LANES running sums (value j into lane j % LANES) so that it vectorises. */
enum { LANES = 8 };

static double variance(const double *d, size_t n)
{
    double lane[LANES] = {0}, mean = 0.0, square = 0.0;
    size_t whole = n - n % LANES;
    for (size_t j = 0; j < whole; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += d[j + l];
    for (size_t j = whole; j < n; j++)
        lane[j - whole] += d[j];
    for (size_t l = 0; l < LANES; l++) {
        mean += lane[l];
        lane[l] = 0.0;
    }
    mean /= (double)n;
    for (size_t j = 0; j < whole; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (d[j + l] - mean) * (d[j + l] - mean);
    for (size_t j = whole; j < n; j++)
        lane[j - whole] += (d[j] - mean) * (d[j] - mean);
    for (size_t l = 0; l < LANES; l++)
        square += lane[l];
    return square / (double)n;
}

static double measure(const gyre_unit *u)
{
    const gyre_attention *a = u->exact;
    double sum = 0.0;
    for (size_t r = 0; r < a->n; r++)
        sum += sqrt(variance(u->delta + r * a->tokens + a->first[r], a->last[r] - a->first[r]));
    return sum / (double)a->n;
}

const gyre_metric_type gyre_metric_logit_error = {"logit_error", "rms change of the attention scores, mean removed", "nat", GYRE_METRIC_LOGITS, GYRE_METRIC_OF_K, measure, NULL};
