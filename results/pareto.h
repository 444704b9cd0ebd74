/* The Pareto front of a metric against total bits: which (arm, point) pairs no other pair beats at its bits or fewer.
 *
 * A pair is an arm at one grid point of one source, with its geometric mean (summary.h) and its total bits per value; both are better when lower. It is on
 * the front where no other pair has at most its bits and a lesser mean, or fewer bits and at most its mean. Bits are equal within 1e-9; pairs that tie in
 * both are on the front together. Every other pair has a dominator: the pair of the front with the least mean among those of at most its bits; of several,
 * the one of fewest bits, then the first in plan order. With it goes the ratio of the metric, pair over dominator, and its paired interval over documents and
 * seeds (gyre_paired_interval). The pair is dominated where the interval excludes 1, else within noise of the front.
 *
 * What it is not: confirmatory. The dominator is chosen by the same data that judge the pair, and nothing is adjusted for the number of pairs.
 */
#ifndef GYRE_RESULTS_PARETO_H
#define GYRE_RESULTS_PARETO_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "results/summary.h"
#include "results/table.h"

/* NO_INTERVAL: a difference without spread, or too few documents or seeds. */
typedef enum gyre_pareto_verdict { GYRE_PARETO_FRONT = 0, GYRE_PARETO_NOISE, GYRE_PARETO_DOMINATED, GYRE_PARETO_NO_INTERVAL } gyre_pareto_verdict;
const char *gyre_pareto_verdict_name(gyre_pareto_verdict verdict); /* "front", "within noise", "dominated", "no interval" */

typedef struct gyre_pareto_pair {
    const gyre_summary *of;
    gyre_pareto_verdict verdict;
    size_t dominator;     /* place among the pairs; its own on the front */
    gyre_interval ratio;  /* of the metric, over the dominator's; 1 without an interval on the front */
    size_t rank;          /* 1 + the pairs with a lesser mean, whatever their bits */
} gyre_pareto_pair;

typedef struct gyre_pareto {
    size_t source, metric;
    const char *streams;
    gyre_pareto_pair *pairs; /* in plan order; kept by the table */
    size_t n_pairs, n_left_out; /* left out: not OK, or without a geometric mean */
    size_t *front, n_front;  /* places of the front by bits; kept by the table */
    size_t n_bits;           /* different totals, rounded to 0.01 bits */
    double least_bits, most_bits;
} gyre_pareto;

/* all, count: what gyre_summarise gave for the table. streams: "k", "v" or "kv". */
gyre_status gyre_pareto_get(gyre_table *table, const gyre_summary *all, size_t count, size_t source, const char *streams, size_t metric, double alpha,
                            gyre_pareto *out, gyre_error *err);

/* The metric that a front is about, beside nmse: softmax_kl where K alone is coded, else output_error, which sees V. */
const char *gyre_pareto_metric(const char *streams);

/* A front is worth showing from 8 pairs at 2 different totals on. */
#define GYRE_PARETO_PAIRS 8
#define GYRE_PARETO_BITS 2
bool gyre_pareto_enough(const gyre_pareto *pareto);

/* The pair of the same arm and point in another front of the same source and streams; NULL where it was left out there. */
const gyre_pareto_pair *gyre_pareto_find(const gyre_pareto *pareto, const gyre_summary *of);

/* Pairs that cost the same: equal payload (to 0.01 bits), totals within 0.02 bits of the least of them. */
#define GYRE_PARETO_LEVEL_WIDTH 0.02
typedef struct gyre_pareto_level {
    double payload_bits, least_bits, most_bits; /* payload rounded; range of the totals */
    const gyre_pareto_pair **pairs;             /* by growing mean; kept by the table */
    size_t n_pairs;
} gyre_pareto_level;

/* The levels of at least `least` pairs, by bits; kept by the table. */
gyre_status gyre_pareto_levels(gyre_table *table, const gyre_pareto *pareto, size_t least, const gyre_pareto_level **out, size_t *count, gyre_error *err);

#endif
