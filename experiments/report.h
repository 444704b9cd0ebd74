/* The report: what a results file says, in tables (results/sheet.h). Reads the results file alone. */
#ifndef GYRE_EXPERIMENTS_REPORT_H
#define GYRE_EXPERIMENTS_REPORT_H

#include <stdio.h>

#include "core/log.h"
#include "core/status.h"
#include "results/sheet.h"

/* Arms with intervals, verdicts by family, and where metrics order arms differently. */
gyre_status gyre_report_file(const char *path, FILE *out, gyre_log *log, gyre_error *err);

/* The same in any format; only: the name of one table, or NULL for all. GYRE_E_USAGE for a name that no table has. */
gyre_status gyre_report_print(const char *path, gyre_sheet_format format, const char *only, FILE *out, gyre_log *log, gyre_error *err);

#endif
