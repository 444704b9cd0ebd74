/* Comparisons: from the values of cells to a verdict, as the analysis plan says.
 *
 * Per document and seed, with fixed strata (layers and heads) averaged away and tokens never counted:
 *
 *   u[s][j] = mean over layers of (mean over heads of f(metric))      f = log where the comparison is a ratio, else the metric itself
 *   d[s][j] = u_arm[s][j] - u_against[s][j]                            an arm without seeds is the same for every s
 *
 * The test is the one that the comparison asks for. "auto", neither arm seeded: paired t over documents. Else: seeds and documents crossed, both random
 * (stats/crossed.c); with a single seed that says nothing about other seeds, and the comparison is DEGENERATE. p values are adjusted in each family over its OK
 * comparisons, by Holm unless it asks for another correction, two-sided and TOST (of goal not_worse: its one-sided p) each for themselves; comparisons that were registered and are
 * not made count with p = 1 (registration.h). The worst layer is the one whose own mean difference is largest either way; its interval is not adjusted.
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
#include "results/units.h"
#include "stats/power.h"
#include "stats/verdict.h"

/* The verdict of an OK comparison of a source that the configuration calls descriptive. */
#define GYRE_DESCRIPTIVE "DESCRIPTIVE"

/* Fills the second half of every comparison of the table. Errors: memory, and GYRE_E_CONFIG for a margin or alpha that means nothing. */
gyre_status gyre_compare(gyre_table *table, gyre_error *err);

/* The margin and the goal as stats/ takes them. */
gyre_status gyre_comparison_margin(const gyre_comparison *comparison, gyre_margin *out, gyre_error *err);
gyre_status gyre_comparison_goal(const gyre_comparison *comparison, gyre_goal *out, gyre_error *err);

/* Shape and components of variance of the differences that a comparison of these arms, metric, point and source has in this table, whether it is one of the table's or not. The components are NaN
 * where there are none: cells that are not OK, one seed, one document, no spread. */
gyre_status gyre_compare_design(gyre_table *table, const gyre_comparison *comparison, gyre_design *out, gyre_error *err);

#endif
