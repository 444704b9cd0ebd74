/* Gains by layer and head: log2 of a metric, arm over reference, where compare.h averages layers and heads away.
 *
 *   g[layer][head] = mean over documents and seeds of log2(arm / reference), with the interval (1 - alpha) of the test for that shape
 *
 * An arm without seeds is the same for every seed. Below 0 the arm has less error; -1 is half of it. Intervals are those of gyre_paired_interval, of each cell for itself and not adjusted
 * for the number of cells.
 *
 * What it is not: a test of layers or heads, which are fixed strata; nor for model sources, which have none.
 */
#ifndef GYRE_RESULTS_GAINS_H
#define GYRE_RESULTS_GAINS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "results/summary.h"
#include "results/table.h"

typedef struct gyre_gain {
    uint32_t layer;     /* the model's number */
    size_t place, head; /* place of the layer in its source */
    gyre_interval log2; /* lo and hi NaN where there is no interval */
} gyre_gain;

typedef struct gyre_gains {
    const char *status, *reason; /* "OK", or the status that a comparison of ratios would have, and why */
    size_t n_seeds, n_documents;
    gyre_gain *gains;            /* layer by layer; kept by the table; NULL unless OK */
    size_t count;
} gyre_gains;

/* metric: index in the table. The source is a capture. */
gyre_status gyre_gains_get(gyre_table *table, size_t source, const char *arm, const char *against, const char *point, size_t metric, double alpha, gyre_gains *out,
                           gyre_error *err);

#endif
