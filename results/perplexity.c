/* Perplexity from tokens; formulas in perplexity.h. Cost: a sort of the tokens of a pass, O(N log N), and one copy of them. */
#include "results/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one pass ---- */

typedef struct moments {
    double mean, se;
} moments;

/* Of x[i * stride], i < n. */
static moments moments_of(const double *x, size_t stride, size_t n)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i * stride];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i * stride] - mean) * (x[i * stride] - mean);
    return (moments){ mean, n > 1 ? sqrt(squares / (double)n / (double)(n - 1)) : (double)NAN };
}

static int order_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double place = q * (double)(n - 1);
    size_t i = (size_t)place;
    double f = place - (double)i;
    return i + 1 < n ? (1.0 - f) * sorted[i] + f * sorted[i + 1] : sorted[n - 1];
}

gyre_status gyre_perplexity_of(const gyre_token *tokens, size_t n, gyre_perplexity *out, gyre_error *err)
{
    enum { STRIDE = sizeof(gyre_token) / sizeof(double) };
    gyre_status st = GYRE_OK;
    double *kl = NULL, flips = 0.0, squares = 0.0;
    GYRE_NEW(&kl, n);
    for (size_t i = 0; i < n; i++) {
        kl[i] = tokens[i].kl;
        flips += tokens[i].flip;
        squares += tokens[i].p_change * tokens[i].p_change;
    }
    qsort(kl, n, sizeof *kl, order_numbers);
    moments nll = moments_of(&tokens->nll, STRIDE, n), change = moments_of(&tokens->nll_change, STRIDE, n), divergence = moments_of(&tokens->kl, STRIDE, n);
    out->n_tokens = n;
    out->nll = nll.mean;
    out->nll_se = nll.se;
    out->ppl = exp(nll.mean);
    out->ppl_error = out->ppl * nll.se;
    out->nll_change = change.mean;
    out->nll_change_se = change.se;
    out->kl = divergence.mean;
    out->kl_se = divergence.se;
    out->kl_median = quantile(kl, n, 0.5);
    out->kl_90 = quantile(kl, n, 0.9);
    out->kl_99 = quantile(kl, n, 0.99);
    out->kl_999 = quantile(kl, n, 0.999);
    out->kl_max = kl[n - 1];
    out->same_top = 1.0 - flips / (double)n;
    out->p_rms = sqrt(squares / (double)n);
done:
    free(kl);
    return st;
}

/* ---- all passes ---- */

static bool same_pass(const gyre_cell *a, const gyre_cell *b)
{
    return a->source == b->source && a->seed == b->seed && strcmp(a->arm, b->arm) == 0 && strcmp(a->point, b->point) == 0;
}

static bool usable(const gyre_table *t, const gyre_cell *c)
{
    return t->sources[c->source].kind == GYRE_SOURCE_MODEL && c->status == GYRE_CELL_OK;
}

/* The tokens of the pass that cell `first` opens, each chunk at its place in the source; *n is 0 where a chunk is missing. tokens: room for those of the source. */
static gyre_status gather(const gyre_table *t, size_t first, gyre_token *tokens, size_t *n, double *bits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &t->sources[t->cells[first].source];
    size_t chunks = 0, cells = 0;
    *bits = 0.0;
    *n = 0;
    for (size_t i = 0; i < s->n_documents * s->n_scored; i++)
        tokens[i].nll = (double)NAN;
    for (size_t i = 0; i < t->n_cells; i++) {
        const gyre_cell *c = &t->cells[i];
        if (!same_pass(c, &t->cells[first]) || !usable(t, c))
            continue;
        if (c->n_tokens != c->n_documents * s->n_scored || c->n_documents > s->n_documents || c->first_document > s->n_documents - c->n_documents)
            GYRE_FAIL(GYRE_E_INTERNAL, "cell of %s, block %u, has %zu tokens of chunks %zu to %zu; its source has %zu chunks of %zu", c->arm, c->layer, c->n_tokens, c->first_document,
                      c->first_document + c->n_documents, s->n_documents, s->n_scored);
        memcpy(tokens + c->first_document * s->n_scored, c->tokens, c->n_tokens * sizeof *tokens);
        chunks += c->n_documents;
        *bits += (c->total_bits - *bits) * (double)c->n_documents / (double)chunks; /* the last block may have fewer */
        cells++;
    }
    bool complete = cells == s->n_layers;
    for (size_t i = 0; complete && i < s->n_documents * s->n_scored; i++)
        complete = !isnan(tokens[i].nll);
    if (cells > s->n_layers || (cells == s->n_layers && (!complete || chunks != s->n_documents)))
        GYRE_FAIL(GYRE_E_INTERNAL, "the %zu blocks of %s do not tile the %zu chunks of their source once", cells, t->cells[first].arm, s->n_documents);
    if (complete)
        *n = chunks * s->n_scored;
done:
    return st;
}

static gyre_status add_pass(gyre_table *t, size_t first, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell *c = &t->cells[first];
    const gyre_source *s = &t->sources[c->source];
    gyre_token *tokens = NULL;
    size_t n = 0;
    double bits = 0.0;
    GYRE_NEW(&tokens, s->n_documents * s->n_scored);
    GYRE_TRY(gather(t, first, tokens, &n, &bits, err));
    if (n == 0)
        goto done;
    gyre_perplexity *row = &t->perplexity[t->n_perplexity];
    *row = (gyre_perplexity){ .source = c->source, .arm = c->arm, .point = c->point, .seed = c->seed, .n_chunks = s->n_documents, .total_bits = bits };
    GYRE_TRY(gyre_perplexity_of(tokens, n, row, err));
    t->n_perplexity++;
done:
    free(tokens);
    return st;
}

gyre_status gyre_perplexity_make(gyre_table *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t room = 0;
    for (size_t i = 0; i < t->n_cells; i++)
        room += usable(t, &t->cells[i]);
    t->n_perplexity = 0;
    t->perplexity = NULL;
    GYRE_TRY(gyre_table_keep(t, room, sizeof *t->perplexity, &t->perplexity, err));
    for (size_t i = 0; i < t->n_cells; i++) {
        const gyre_cell *c = &t->cells[i];
        if (usable(t, c) && c->layer == t->sources[c->source].layers[0]) /* the first block stands for its pass */
            GYRE_TRY(add_pass(t, i, err));
    }
done:
    return st;
}
