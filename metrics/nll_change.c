/* nll_change: mean over the scored tokens of a chunk of nll, arm less exact run: the logarithm of the ratio of perplexities.
 *
 * Signed: a codec that happens to help is below 0, so margins are absolute (abs), not ratios. Gains and losses of tokens cancel: see token_kl.
 */
#include "metrics/metric.h"

static double measure(const gyre_token *tokens, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += tokens[i].nll_change;
    return sum / (double)n;
}

const gyre_metric_type gyre_metric_nll_change = {"nll_change", "mean change of the negative log-likelihood against the exact cache", "nat", GYRE_METRIC_TOKENS, 0, NULL, measure};
