/* Perplexity of the arms of model sources: what llama-perplexity prints, from the scored tokens of all blocks.
 *
 * With x one number a token (nll, nll_change, kl), N tokens, x_(0) <= ... <= x_(N-1):
 *
 *   mean = sum x / N        standard error = sqrt((mean(x^2) - mean^2)/(N - 1))        ppl = exp(mean nll)        ppl_error = ppl * standard error of nll
 *   quantile q = (1 - f) x_(i) + f x_(i+1),  i + f = q (N - 1)                          same_top = 1 - mean flip   p_rms = sqrt(mean p_change^2)
 *
 * These are the formulas of tools/perplexity/perplexity.cpp of llama.cpp (perplexity, kl_divergence), in double, squares summed about the mean; quantiles are those of numpy's default. The
 * median is the quantile 0.5. A standard error is NaN for one token, where that program says 0 below 11.
 *
 * What it is not: a comparison. Tokens of one text depend on each other, so these errors are too small to judge by; compare.h takes chunks or texts.
 */
#ifndef GYRE_RESULTS_PERPLEXITY_H
#define GYRE_RESULTS_PERPLEXITY_H

#include <stddef.h>

#include "core/status.h"
#include "metrics/next_token.h"
#include "results/table.h"

/* Fills the numbers (n_tokens, nll and after, but total_bits) from n > 0 tokens. */
gyre_status gyre_perplexity_of(const gyre_token *tokens, size_t n, gyre_perplexity *out, gyre_error *err);

/* Fills table->perplexity: one row per (model source, arm, point, seed), in plan order, whose cells of all blocks are OK. GYRE_E_INTERNAL where such a cell has not its tokens. */
gyre_status gyre_perplexity_make(gyre_table *table, gyre_error *err);

#endif
