/* Next-token distributions of a model with a coded cache against the same model with an exact one.
 *
 * Conventions of llama-perplexity: a token at position i is predicted from the logits of position i - 1; the caller says which positions are scored. Everything runs in double from the raw
 * binary32 logits: with a the exact and b the arm's logits of one position, p = softmax(a), q = softmax(b), n the token that follows,
 *
 *     nll = log sum exp(b) - b[n]        kl = sum p (a - b) - log sum exp(a) + log sum exp(b)        p_change = q[n] - p[n]        flip = argmax a != argmax b (first of equals)
 *
 * kl is 0 exactly where a and b are equal bit for bit, and never below 0.
 * Threading: one caller; `threads` threads of its own per call. Results do not depend on their number. Errors: GYRE_E_NAN for logits that are not finite, with the position's number.
 */
#ifndef GYRE_METRICS_NEXT_TOKEN_H
#define GYRE_METRICS_NEXT_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* One scored token. */
typedef struct gyre_token {
    double nll;        /* of the arm, nats */
    double nll_change; /* minus the exact run's */
    double kl;         /* KL(exact || arm) over the whole vocabulary, nats */
    double p_change;   /* probability of the token that follows, arm minus exact */
    double flip;       /* 1 where the most likely token is another one, else 0 */
} gyre_token;

/* The exact run of one chunk: its logits, and what all arms share of them. */
typedef struct gyre_exact_tokens gyre_exact_tokens;

/* Bytes that gyre_exact_tokens_new takes. */
size_t gyre_exact_tokens_bytes(size_t most_tokens, size_t n_vocabulary);

/* For chunks with up to most_tokens scored tokens. threads 0: all processors. */
gyre_status gyre_exact_tokens_new(size_t most_tokens, size_t n_vocabulary, unsigned threads, gyre_exact_tokens **out, gyre_error *err);
void gyre_exact_tokens_free(gyre_exact_tokens *exact);

/* Forgets the chunk. */
void gyre_exact_tokens_clear(gyre_exact_tokens *exact);

/* The next `count` scored tokens of the exact run: logits[count][n_vocabulary] and the tokens that follow. Fills out[count] (nll; the rest 0). */
gyre_status gyre_exact_tokens_add(gyre_exact_tokens *exact, const float *logits, const int32_t *next, size_t count, gyre_token *out, gyre_error *err);

/* Scored tokens first..first+count-1 of an arm, against those of the exact run, which must have been added. */
gyre_status gyre_exact_tokens_compare(const gyre_exact_tokens *exact, size_t first, const float *logits, size_t count, gyre_token *out, gyre_error *err);

#endif
