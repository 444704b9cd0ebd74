/* top_flip: share of the scored tokens of a chunk at which the most likely next token (the first of equal ones) is another one than in the exact run.
 *
 * One less the "same top" of llama-perplexity. Often 0 in a short chunk of a good codec, so compare it with an absolute margin.
 */
#include "metrics/metric.h"

static double measure(const gyre_token *tokens, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += tokens[i].flip;
    return sum / (double)n;
}

const gyre_metric_type gyre_metric_top_flip = {"top_flip", "share of tokens whose most likely successor changes", "share", GYRE_METRIC_TOKENS, 0, NULL, measure};
