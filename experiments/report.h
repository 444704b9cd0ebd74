/* The report: what a results file says, as text. Reads the results file alone. */
#ifndef GYRE_EXPERIMENTS_REPORT_H
#define GYRE_EXPERIMENTS_REPORT_H

#include <stdio.h>

#include "core/log.h"
#include "core/status.h"

/* Arms with intervals, verdicts by family, and where metrics order arms differently. */
gyre_status gyre_report_file(const char *path, FILE *out, gyre_log *log, gyre_error *err);

#endif
