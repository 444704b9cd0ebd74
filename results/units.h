/* The units of comparisons: what one arm gives per document and seed.
 *
 *   u[s][j] = mean over layers of (mean over heads of f(metric))      f = log where the comparison is a ratio, else the metric itself
 *
 * Of a model source the cells are blocks of chunks: u[s][j] is f(metric) of chunk j, or where there are several texts its mean over the chunks of text j. What it is not: a judgement (compare.h).
 */
#ifndef GYRE_RESULTS_UNITS_H
#define GYRE_RESULTS_UNITS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "results/table.h"

/* Are all grid values of `own` among those of `point`? */
bool gyre_point_within(const char *own, const char *point);

/* The same for the first n bytes of own. */
bool gyre_point_part_within(const char *own, size_t n, const char *point);

/* What one arm at one point of one source gives to a comparison. */
typedef struct gyre_arm_units {
    const char *status;       /* "OK", or the status that a comparison with this arm has */
    const char *reason;       /* why not OK; kept by the table */
    bool seeded;
    size_t n_seeds, n_documents, n_layers; /* documents: units; of a model source chunks or texts, and n_layers is 1 */
    double *values;           /* [layer][seed][document]: means over heads, layers in the source's order; kept by the table; NULL unless OK */
    double total_bits;        /* mean over layers (chunks) and seeds */
} gyre_arm_units;

/* metric: index in the table; logarithm: f = log. */
gyre_status gyre_arm_units_get(gyre_table *table, size_t source, const char *arm, const char *point, size_t metric, bool logarithm,
                               gyre_arm_units *out, gyre_error *err);

#endif
