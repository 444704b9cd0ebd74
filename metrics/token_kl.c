/* token_kl: mean over the scored tokens of a chunk of KL(p || q), p the next-token distribution of the exact run, q the arm's, over the whole vocabulary.
 *
 * Needs no text to be right about: any change of the distribution counts, and none cancels. softmax_kl is of attention weights, this of the model's output.
 */
#include "metrics/metric.h"

static double measure(const gyre_token *tokens, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += tokens[i].kl;
    return sum / (double)n;
}

const gyre_metric_type gyre_metric_token_kl = {"token_kl", "Kullback-Leibler divergence of the next-token distribution", "nat", GYRE_METRIC_TOKENS, 0, NULL, measure};
