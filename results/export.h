/* A results file as long-form tables for other programs: one row for each thing, one column for each of its properties.
 *
 *   cells        one row a cell, the columns of /cells and its time
 *   values       one row a number: source, layer, document, head, arm, point, seed, metric, value; numbers that do not exist (a metric that an arm has not, a cell that was skipped) have no row
 *   arms         one row an arm, grid point and metric of a source: mean and 95 % interval over documents and seeds (summary.h)
 *   comparisons  one row a comparison, the columns of /stats
 *   perplexity   one row a pass, the columns of /perplexity
 *   fits         one row a fit, the columns of /fits behind what its cell is; points and parameters: one row each, with the place of the fit
 *   sources      one row a source; exact: one row an exact number; canaries: one row a canary; their columns
 *
 * Columns come from the table in schema.c, so that what is stored is exported. What they mean is on docs/results-schema.md. What it is not: a copy; names of documents and texts of the configuration
 * stay in the file.
 */
#ifndef GYRE_RESULTS_EXPORT_H
#define GYRE_RESULTS_EXPORT_H

#include <stdio.h>

#include "core/log.h"
#include "core/status.h"
#include "results/sheet.h"

/* what: one of the words above; GYRE_E_USAGE for another. The log may be NULL. */
gyre_status gyre_export(const char *path, const char *what, gyre_sheet_format format, FILE *out, gyre_log *log, gyre_error *err);

#endif
