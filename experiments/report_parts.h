/* What the parts of the report share: report.c (arms, verdicts, order), report_perplexity.c (model sources), report_fits.c (what calibration found), report_pareto.c (fronts), report_honesty.c (plan, canaries),
 * report_order.c (gyre order). */
#ifndef GYRE_EXPERIMENTS_REPORT_PARTS_H
#define GYRE_EXPERIMENTS_REPORT_PARTS_H

#include <stdio.h>

#include "results/order.h"
#include "results/summary.h"
#include "results/table.h"

/* Intervals of single arms, of the pairs in discord, and against a front. */
#define GYRE_REPORT_ALPHA 0.05

enum { GYRE_REPORT_NUMBER = 48 };

/* 0.0123 [0.0119, 0.0127] in few digits; "-" where there is nothing. */
void gyre_report_interval(double mean, double lo, double hi, char text[GYRE_REPORT_NUMBER]);

const char *gyre_report_streams(const char *streams); /* "K and V" */
const char *gyre_report_leak(const gyre_table *table, size_t source); /* a mark, or "" */

/* Model sources: what was run, and the perplexity of every arm; nothing where there are none. */
void gyre_report_perplexity(const gyre_table *table, FILE *out);

/* What was learned or drawn, by source and stream: objectives at the start and at the end on calibration and on validation rows; nothing where there are no fits. */
gyre_status gyre_report_fits(const gyre_table *table, FILE *out, gyre_error *err);

/* The fronts of the metric of each source and stream against total bits, what they dominate, and the best at equal bits; nothing where no front is worth showing. */
gyre_status gyre_report_pareto(gyre_table *table, const gyre_summary *all, size_t count, FILE *out, gyre_error *err);

/* What was registered before data were read, and what of it is no longer there. */
gyre_status gyre_report_registration(const gyre_table *table, FILE *out, gyre_error *err);

/* The end of a verdict's line: exploratory and why, what an INCONCLUSIVE one could have seen, what was published and foretold. */
void gyre_report_judging(const gyre_table *table, const gyre_comparison *comparison, FILE *out);

/* Numbers that arithmetic fixes against published ones; nothing where there are none. */
void gyre_report_exact(const gyre_table *table, FILE *out);

/* The checks of the wiring, a line each. GYRE_E_INPUT, naming the first, where one failed. */
gyre_status gyre_report_canaries(const gyre_table *table, const char *path, FILE *out, gyre_error *err);

/* The joined order of arms: a line for each row, then pairs in discord, what was left out, and how sure the intervals are. */
void gyre_report_order(const gyre_orders *order, FILE *out);

#endif
