/* Two results files against each other: what only one has, which numbers differ, which verdicts changed.
 *
 *   a and b are the same   <=>   both NaN, or |a - b| <= atol + rtol max(|a|, |b|)
 *
 * Rows are joined by what they are, not by their place: a cell by source, layer, arm, point and seed, a comparison by source, arms, metric and point, a pass by source, arm, point and seed, a fit
 * by its cell, stream and head. Of joined rows every column of the schema that both versions have is compared, of cells every number of every metric, of fits every parameter and point: real
 * numbers within the tolerance, all else exactly. Listed apart, and no difference: build, machine, times, keys of cells, and the canonical text of a codec where all numbers of its cell are the
 * same (a newer program may spell out more). Files answer different questions where metrics, data digests, the campaign
 * seed or the analysis plan differ; that is said, and is a difference.
 *
 * What it is not: a test. That two runs differ by less than a tolerance says nothing about arms (docs/statistics.md does).
 */
#ifndef GYRE_RESULTS_DIFF_H
#define GYRE_RESULTS_DIFF_H

#include <stdbool.h>
#include <stdio.h>

#include "core/log.h"
#include "core/status.h"
#include "results/sheet.h"

enum { GYRE_DIFF_SHOWN = 20 }; /* lines of each list; counts are of all */

/* Prints the tables. The log may be NULL. GYRE_E_INPUT for what is no results file of this MAJOR version. */
gyre_status gyre_diff(const char *path_a, const char *path_b, double rtol, double atol, gyre_sheet_format format, FILE *out, gyre_log *log, bool *same, gyre_error *err);

#endif
