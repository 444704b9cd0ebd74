/* Error measures between what went in and what came out, and the contract of their variants.
 *
 * One metric = one file with one const descriptor, listed by one line in registry.c. A metric gives one number for a unit: one document of one layer and kv head.
 * Definitions: docs/definitions.md. Every metric is lower-is-better. Sums run in double, in a fixed order.
 */
#ifndef GYRE_METRICS_METRIC_H
#define GYRE_METRICS_METRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "metrics/next_token.h"

/* What a metric reads of a unit: decoded rows themselves (not defined where a stream is read by the query), scores, outputs. TOKENS, alone: the metric is of a chunk of text that a model
 * scored (next_token.h), not of rows. */
enum { GYRE_METRIC_LOGITS = 1, GYRE_METRIC_OUTPUT = 2, GYRE_METRIC_ROWS = 4, GYRE_METRIC_TOKENS = 8, GYRE_METRIC_QUERIES = GYRE_METRIC_LOGITS | GYRE_METRIC_OUTPUT };
/* Streams for which it is defined: an arm must code at least one of them. */
enum { GYRE_METRIC_OF_K = 1, GYRE_METRIC_OF_V = 2 };

/* Attention of the exact rows of one unit: made once per capture, shared by all cells. n = queries * group rows of scores. */
typedef struct gyre_attention {
    size_t n, tokens, dim;
    size_t *first, *last; /* [n]: keys first..last-1 are visible */
    double *log_p;        /* [n][tokens] log softmax; only visible entries are set */
    double *p;            /* [n][tokens]; 0 outside */
    float *p_float;       /* [n][tokens], p rounded */
    float *output;        /* [n][dim] */
    size_t *top;          /* [n] first key with the largest score */
} gyre_attention;

/* Rows that are read by the query instead of decoded once (quantizers that fetch fewer bits than they store). r is a row of scores, as in gyre_attention. */
typedef struct gyre_reader {
    void *context;
    gyre_status (*scores)(void *context, size_t r, float *scores, gyre_error *err); /* q.k^, unscaled, of visible keys first[r]..last[r]-1; NULL: k_hat holds */
    gyre_status (*output)(void *context, size_t r, const float *weights, float *output, gyre_error *err); /* sum of visible weights times v^; NULL: v_hat holds */
} gyre_reader;

/* The rows of one document and kv head, exact and decoded. */
typedef struct gyre_unit {
    size_t tokens, dim, queries, group; /* group: query heads of this kv head */
    const float *k, *v;         /* tokens x dim */
    const float *k_hat, *v_hat; /* decoded; NULL where the arm leaves the stream exact */
    /* sums over the rows, by gyre_stream: |x|^2, |x - m|^2 with m the mean of all evaluation rows of this head, and |x^ - x|^2 (0 where the stream is exact) */
    double energy[2], energy_centred[2], error[2];
    const float *q;             /* [group][queries][dim]; NULL in a capture without queries */
    const int32_t *pos, *query_pos;
    const gyre_reader *reader;  /* NULL unless a stream is read by the query */
    double score_scale;
    uint32_t window;            /* 0: none */
    const gyre_attention *exact; /* NULL unless a metric asked for LOGITS or OUTPUT */
    /* of the decoded rows, by gyre_attention_decoded */
    const double *delta;        /* [n][tokens] change of the score in nats, its p-weighted mean over visible keys removed; NULL when K is exact */
    const double *p_hat;        /* [n][tokens]; NULL when K is exact */
    const double *kl;           /* [n] KL(p || p_hat); NULL when K is exact */
    const float *output_error;  /* [n][dim] o^ - o; NULL unless asked for */
} gyre_unit;

typedef struct gyre_metric_type {
    const char *name, *summary, *unit; /* unit: "" for a ratio, "share", "nat" */
    unsigned reads;
    unsigned streams;
    double (*measure)(const gyre_unit *u);                         /* NULL where it reads TOKENS */
    double (*measure_tokens)(const gyre_token *tokens, size_t n);  /* scored tokens of one chunk; NULL elsewhere */
} gyre_metric_type;

extern const gyre_metric_type *const gyre_metric_types[]; /* ends with NULL */
const gyre_metric_type *gyre_metric_find(const char *name);

/* Is it defined for an arm that codes these streams? One of TOKENS is for every arm, the exact one too. */
bool gyre_metric_applies(const gyre_metric_type *metric, bool codes_k, bool codes_v);

/* Exact attention of a unit (u->exact ignored). GYRE_E_INPUT when a query sees no key. Caller frees. */
gyre_status gyre_attention_new(const gyre_unit *u, gyre_attention **out, gyre_error *err);
void gyre_attention_free(gyre_attention *a);

/* Buffers for the decoded side; reused for units up to the size they were made for. One per thread. */
typedef struct gyre_attention_work gyre_attention_work;
gyre_status gyre_attention_work_new(size_t n, size_t tokens, size_t dim, gyre_attention_work **out, gyre_error *err);
void gyre_attention_work_free(gyre_attention_work *w);

/* Fills error from k_hat and v_hat. */
void gyre_unit_errors(gyre_unit *u);

/* Sum of error over the coded streams, over the sum of `energy` (one of the two above) of the same; 0 when nothing was lost. */
double gyre_unit_relative_error(const gyre_unit *u, const double energy[2]);

/* Fills delta, p_hat, kl and, when reads has GYRE_METRIC_OUTPUT, output_error of u from k_hat, v_hat (or the reader) and u->exact. Fails only where the reader does. */
gyre_status gyre_attention_decoded(gyre_unit *u, unsigned reads, gyre_attention_work *w, gyre_error *err);

/* What one place of a document sees of its cache: rows first..last-1 of a stream are coded, as `hat` has them at their places (tokens x dim); the others are exact. */
typedef struct gyre_seen {
    const float *hat[2]; /* by gyre_stream; NULL for a stream that is exact or read by the query */
    size_t first[2], last[2];
} gyre_seen;

/* The same where every query has a cache of its own: for the queries whose newest visible key is row `newest`. Called once for each such row, it fills what gyre_attention_decoded does. */
gyre_status gyre_attention_seen(gyre_unit *u, unsigned reads, size_t newest, const gyre_seen *seen, gyre_attention_work *w, gyre_error *err);

#endif
