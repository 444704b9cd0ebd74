/* Comparisons: from the values of cells to a verdict, as the analysis plan says.
 *
 * Per document and seed, with fixed strata (layers and heads) averaged away and tokens never counted:
 *
 *   u[s][j] = mean over layers of (mean over heads of f(metric))      f = log where the comparison is a ratio, else the metric itself
 *   d[s][j] = u_arm[s][j] - u_against[s][j]                            an arm without seeds is the same for every s
 *
 * Neither arm seeded: paired t over documents. Else: seeds and documents crossed, both random (stats/crossed.c); with a single seed that says nothing
 * about other seeds, and the comparison is DEGENERATE. p values are Holm-adjusted in each family over its OK comparisons, two-sided and TOST each for
 * themselves. The worst layer is the one whose own mean difference is largest either way; its interval is not adjusted.
 *
 * Of a model source the cells are blocks of chunks: u[s][j] is f(metric) of chunk j, or where there are several texts its mean over the chunks of text j; every chunk has as many tokens. There is
 * no layer to be worst. Where the source is descriptive all numbers are filled, the verdict is DESCRIPTIVE and the comparison is of no family.
 *
 * Status of a comparison: SKIPPED where a cell of an arm is, INCOMPLETE where one is missing or failed, DEGENERATE where there is nothing to test:
 * values that have no logarithm, no number at all, no spread, or too few documents or seeds. The reason is a text; log 0 is never taken.
 *
 * An arm's cells at a comparison's point are those whose own grid values all are among the point's: a grid that does not act on an arm does not
 * hide it.
 */
#ifndef GYRE_RESULTS_COMPARE_H
#define GYRE_RESULTS_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "results/table.h"

/* The verdict of an OK comparison of a source that the configuration calls descriptive. */
#define GYRE_DESCRIPTIVE "DESCRIPTIVE"

/* Fills the second half of every comparison of the table. Errors: memory, and GYRE_E_CONFIG for a margin or alpha that means nothing. */
gyre_status gyre_compare(gyre_table *table, gyre_error *err);

/* Are all grid values of `own` among those of `point`? */
bool gyre_point_within(const char *own, const char *point);

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
