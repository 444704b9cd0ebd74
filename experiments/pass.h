/* A pass: the cells of one model source, computed inside the model.
 *
 * One load of the model. For each chunk the exact run's logits are made once and kept; then every arm that lacks the block decodes the same chunk with its codecs in the cache, and its next-token
 * distributions are held against them (metrics/next_token.h). The cells of a block are written when its last chunk is done: an interruption loses the block under way and nothing else.
 * Conventions of llama-perplexity: chunks of `context` tokens, token 0 replaced by BOS where the model adds one, cache emptied before each, tokens context/2 + 1 .. context - 1 scored.
 *
 * Memory: gyre_pass_bytes, the cache and one arm's rows (each 2 x layers x context x KV width x 4 bytes), and the codecs of all arms, beside the model. Everything happens in a child process, since libllama may abort.
 */
#ifndef GYRE_EXPERIMENTS_PASS_H
#define GYRE_EXPERIMENTS_PASS_H

#include "experiments/runner.h"

/* Computes these cells of the plan (indices, all of one model source, by block) and writes their files. A cell that fails is written as FAILED and does not stop the others.
 * GYRE_E_UNSUPPORTED where the self-test finds that the hook does not see the whole cache. */
gyre_status gyre_pass_run(const gyre_config *config, gyre_plan *plan, size_t source, const size_t *cells, size_t n_cells, const gyre_run_options *options, gyre_log *log, gyre_error *err);

/* Bytes of logits that a pass holds: the exact run's, and those of the run under way, in the engine's graph and once more as it hands them out. */
double gyre_pass_bytes(const gyre_plan_model *model);

/* Seconds that a chunk takes: [0] the exact run, and [1..n] arms whose graph gets batches[i] tokens at a time (0: all). One chunk each is run. */
gyre_status gyre_pass_time(const gyre_config *config, gyre_plan *plan, size_t source, const size_t *batches, size_t n, const gyre_run_options *options, double *seconds, gyre_error *err);

#endif
