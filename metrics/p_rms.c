/* p_rms: root mean square over the scored tokens of a chunk of the change of the probability of the token that follows, arm less exact run.
 *
 * "RMS delta p" of llama-perplexity. Its mean over chunks is not the root mean square over all tokens.
 */
#include <math.h>

#include "metrics/metric.h"

static double measure(const gyre_token *tokens, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += tokens[i].p_change * tokens[i].p_change;
    return sqrt(sum / (double)n);
}

const gyre_metric_type gyre_metric_p_rms = {"p_rms", "rms change of the probability of the token that follows", "share", GYRE_METRIC_TOKENS, 0, NULL, measure};
