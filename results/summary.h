/* Summaries of arms for tables and figures: one number with an interval for each arm, grid point, source and metric.
 *
 * The same unit of analysis as comparisons (compare.h): per document and seed the mean over layers and heads, here of one arm alone; the interval (1 - alpha) comes from
 * the same tests. Means are geometric (logarithms are averaged), as in comparisons; arithmetic for shares, and where a value is not positive. Of a model source all
 * means are arithmetic, over chunks or texts: a chunk's value is a mean over tokens, and so is that of all chunks. Intervals of single arms overlap more than paired
 * differences do: they describe, they do not compare.
 */
#ifndef GYRE_RESULTS_SUMMARY_H
#define GYRE_RESULTS_SUMMARY_H

#include "core/status.h"
#include "results/compare.h"
#include "results/table.h"

typedef struct gyre_interval {
    double mean, lo, hi; /* lo and hi NaN where there is none */
} gyre_interval;

/* Mean of u_one - u_other of one source over documents and seeds, and its interval (1 - alpha) by the rules of compare.h: of log(one/other) where both units are
 * logarithms. Both need values; an arm without seeds is the same for every seed. */
gyre_status gyre_paired_interval(const gyre_arm_units *one, const gyre_arm_units *other, double alpha, gyre_interval *out, gyre_error *err);

typedef struct gyre_summary {
    size_t source, metric;
    const char *arm, *point, *streams;
    const char *status, *reason;       /* "OK", "SKIPPED", "INCOMPLETE", "UNDEFINED" (metric not defined for the arm) */
    bool geometric, seeded;
    size_t n_seeds, n_documents;
    double mean, lo, hi;               /* in the metric's unit; lo and hi NaN where there is no interval */
    double payload_bits, total_bits, read_bits; /* mean over layers and seeds */
    double *layer_mean;                /* per layer of the source, same kind of mean; of a model source the mean alone; kept by the table */
} gyre_summary;

/* All of them, in plan order (source, arm, point), metrics innermost; kept by the table. */
gyre_status gyre_summarise(gyre_table *table, double alpha, const gyre_summary **out, size_t *count, gyre_error *err);

/* Two arms of the same source, point and streams that two metrics order oppositely, both paired intervals (1 - alpha, not adjusted: exploratory) excluding no difference. */
typedef struct gyre_discord {
    size_t source;
    const char *point, *streams, *better_by_a, *better_by_b; /* arms */
    double ratio_a, ratio_a_lo, ratio_a_hi; /* metric a of better_by_a over better_by_b: below 1 */
    double ratio_b, ratio_b_lo, ratio_b_hi; /* metric b of the same: above 1 */
} gyre_discord;

/* Pairs of arms examined and those in discord, for metrics a and b (indices in the table). */
gyre_status gyre_discords(gyre_table *table, size_t metric_a, size_t metric_b, double alpha, const gyre_discord **out, size_t *count, size_t *examined, gyre_error *err);

#endif
