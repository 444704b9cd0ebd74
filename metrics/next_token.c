/* kl is summed from logits less their largest, which are exact in double for logits of any usual size, so that a constant added to all logits changes nothing:
 *
 *     kl = sum exp(a - m_a) ((a - m_a) - (b - m_b)) / S_a + log S_b - log S_a,   S = sum exp(logits - m)
 *
 * Its own rounding is about 1e-15 of log S, far below what rounding of the logits to binary32 makes of it (1e-12). Equal rows have equal sums, bit for bit, and no
 * difference: 0 exactly. A token belongs to one thread, whole. Cost: 2 exponentials a logit of an arm, 1 of the exact run; both rows are read once from memory, the
 * arm's a second time from the cache. Threads are made per call (some 10 us each, against 250 us or more for a token).
 */
#define _POSIX_C_SOURCE 200809L
#include "metrics/next_token.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/softmax.h"

enum { THREADS_MOST = 64, LEAST_LOGITS = 65536 }; /* fewer logits a thread than LEAST_LOGITS: starting it costs more than it saves */

/* What arms need of an exact token besides its logits. */
typedef struct known {
    double sum, log_sum, nll, p;
    size_t top;
    int32_t next;
} known;

struct gyre_exact_tokens {
    size_t most, count, vocabulary;
    unsigned threads;
    float *logits; /* [most][vocabulary] */
    known *known;  /* [most] */
};

/* Tokens first..last-1 of a call, counted from the call's first; `bad` is the first of them that holds a logit that is not finite, or `last`. */
typedef struct share {
    const gyre_exact_tokens *exact;
    bool adds;
    size_t place; /* of the call's first token in the chunk */
    const float *logits;
    const int32_t *next;
    gyre_token *out;
    size_t first, last, bad;
} share;

size_t gyre_exact_tokens_bytes(size_t most_tokens, size_t n_vocabulary)
{
    size_t most = SIZE_MAX - sizeof(gyre_exact_tokens);
    if (n_vocabulary > (most - sizeof(known)) / sizeof(float))
        return SIZE_MAX;
    size_t each = n_vocabulary * sizeof(float) + sizeof(known);
    return most_tokens > most / each ? SIZE_MAX : sizeof(gyre_exact_tokens) + most_tokens * each;
}

gyre_status gyre_exact_tokens_new(size_t most_tokens, size_t n_vocabulary, unsigned threads, gyre_exact_tokens **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_exact_tokens *exact = NULL;
    *out = NULL;
    if (most_tokens == 0 || n_vocabulary == 0 || n_vocabulary > INT32_MAX)
        GYRE_FAIL(GYRE_E_INPUT, "%zu scored tokens of a vocabulary of %zu: at least one of each is wanted, and at most 2^31 - 1 entries", most_tokens, n_vocabulary);
    if (gyre_exact_tokens_bytes(most_tokens, n_vocabulary) == SIZE_MAX)
        GYRE_FAIL(GYRE_E_MEMORY, "%zu scored tokens of a vocabulary of %zu overflow the address space: use a smaller context", most_tokens, n_vocabulary);
    GYRE_NEW(&exact, 1);
    exact->most = most_tokens;
    exact->vocabulary = n_vocabulary;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    exact->threads = threads != 0 ? threads : processors > 0 ? (unsigned)processors : 1;
    GYRE_NEW(&exact->known, most_tokens);
    GYRE_NEW(&exact->logits, most_tokens * n_vocabulary);
    *out = exact;
    exact = NULL;
done:
    gyre_exact_tokens_free(exact);
    return st;
}

void gyre_exact_tokens_free(gyre_exact_tokens *exact)
{
    if (exact == NULL)
        return;
    free(exact->logits);
    free(exact->known);
    free(exact);
}

void gyre_exact_tokens_clear(gyre_exact_tokens *exact)
{
    exact->count = 0;
}

/* Never below 0: neither term is, for the sum has the largest logit's 1. */
static double nll_of(const float *row, float max, double log_sum, int32_t next)
{
    return log_sum + ((double)max - (double)row[next]);
}

/* One token of the exact run; false where a logit is not finite. */
static bool add_token(const share *s, size_t i)
{
    const gyre_exact_tokens *e = s->exact;
    size_t n = e->vocabulary;
    float *row = e->logits + (s->place + i) * n;
    known *k = e->known + s->place + i;
    memcpy(row, s->logits + i * n, n * sizeof *row);
    k->next = s->next[i];
    k->top = gyre_softmax_top(row, n);
    if (k->top == n)
        return false;
    k->sum = gyre_softmax_sum(row, row[k->top], n);
    k->log_sum = log(k->sum);
    k->nll = nll_of(row, row[k->top], k->log_sum, k->next);
    k->p = exp(-k->nll);
    s->out[i] = (gyre_token){.nll = k->nll};
    return true;
}

/* One token of an arm; false where a logit is not finite. */
static bool compare_token(const share *s, size_t i)
{
    const gyre_exact_tokens *e = s->exact;
    size_t n = e->vocabulary;
    const float *a = e->logits + (s->place + i) * n, *b = s->logits + i * n;
    const known *k = e->known + s->place + i;
    size_t top = gyre_softmax_top(b, n);
    if (top == n)
        return false;
    double sum, change = gyre_softmax_against(a, a[k->top], b, b[top], n, &sum), log_sum = log(sum);
    double nll = nll_of(b, b[top], log_sum, k->next), kl = change / k->sum + (log_sum - k->log_sum);
    s->out[i] = (gyre_token){.nll = nll, .nll_change = nll - k->nll, .kl = kl > 0.0 ? kl : 0.0, .p_change = exp(-nll) - k->p, .flip = top != k->top ? 1.0 : 0.0};
    return true;
}

static void *work(void *argument)
{
    share *s = argument;
    s->bad = s->first;
    while (s->bad < s->last && (s->adds ? add_token(s, s->bad) : compare_token(s, s->bad)))
        s->bad++;
    return NULL;
}

/* All `count` tokens, in equal shares, the last of them on this thread; the first with a logit that is not finite, or `count`. */
static size_t work_all(const share *whole, size_t count)
{
    share shares[THREADS_MOST];
    pthread_t thread[THREADS_MOST];
    bool started[THREADS_MOST] = {false};
    size_t most = count * whole->exact->vocabulary / LEAST_LOGITS, n = whole->exact->threads, bad = count;
    n = n < THREADS_MOST ? n : THREADS_MOST;
    n = n < count ? n : count;
    n = n < most ? n : most;
    n = n > 0 ? n : 1;
    for (size_t t = 0; t < n; t++) {
        shares[t] = *whole;
        shares[t].first = count * t / n;
        shares[t].last = count * (t + 1) / n;
        started[t] = t + 1 < n && pthread_create(&thread[t], NULL, work, &shares[t]) == 0;
        if (!started[t])
            (void)work(&shares[t]);
    }
    for (size_t t = n; t-- > 0;) {
        if (started[t])
            (void)pthread_join(thread[t], NULL);
        bad = shares[t].bad < shares[t].last ? shares[t].bad : bad;
    }
    return bad;
}

static size_t first_not_finite(const float *row, size_t n)
{
    size_t j = 0;
    while (j < n && isfinite(row[j]))
        j++;
    return j;
}

static gyre_status score(const share *whole, size_t count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = whole->exact->vocabulary, bad = work_all(whole, count);
    if (bad < count) {
        const float *row = whole->logits + bad * n;
        size_t j = first_not_finite(row, n);
        GYRE_FAIL(GYRE_E_NAN, "logits of %s at scored token %zu (counted from 0 in the chunk): entry %zu of %zu is %s, so the token has no probability; %s",
                  whole->adds ? "the exact run" : "the arm", whole->place + bad, j, n, isnan(row[j]) ? "NaN" : "infinite",
                  whole->adds ? "check the model file" : "leave the arm out or give it more bits");
    }
done:
    return st;
}

gyre_status gyre_exact_tokens_add(gyre_exact_tokens *exact, const float *logits, const int32_t *next, size_t count, gyre_token *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    share whole = {.exact = exact, .adds = true, .place = exact->count, .logits = logits, .next = next, .out = out};
    if (count > exact->most - exact->count)
        GYRE_FAIL(GYRE_E_INTERNAL, "%zu scored tokens after %zu: there is room for %zu", count, exact->count, exact->most);
    for (size_t i = 0; i < count; i++)
        if (next[i] < 0 || (size_t)next[i] >= exact->vocabulary)
            GYRE_FAIL(GYRE_E_INPUT, "scored token %zu (counted from 0 in the chunk) is followed by token %d, but the vocabulary has %zu: the text is not tokenized for this model",
                      exact->count + i, (int)next[i], exact->vocabulary);
    GYRE_TRY(score(&whole, count, err));
    exact->count += count;
done:
    return st;
}

gyre_status gyre_exact_tokens_compare(const gyre_exact_tokens *exact, size_t first, const float *logits, size_t count, gyre_token *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    share whole = {.exact = exact, .adds = false, .place = first, .logits = logits, .out = out};
    if (first > exact->count || count > exact->count - first)
        GYRE_FAIL(GYRE_E_INTERNAL, "scored tokens %zu to %zu of an arm: the exact run has %zu", first, first + count, exact->count);
    GYRE_TRY(score(&whole, count, err));
done:
    return st;
}
