/* nll: mean over the scored tokens of a chunk of the negative log-likelihood of the token that follows, by the model with the arm's cache. exp of it is the chunk's perplexity.
 *
 * It says how hard the text is far more than what the codec does: compare nll_change, which takes the exact run away.
 */
#include "metrics/metric.h"

static double measure(const gyre_token *tokens, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += tokens[i].nll;
    return sum / (double)n;
}

const gyre_metric_type gyre_metric_nll = {"nll", "mean negative log-likelihood of the token that follows", "nat", GYRE_METRIC_TOKENS, 0, NULL, measure};
