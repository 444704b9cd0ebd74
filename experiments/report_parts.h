/* What the parts of the report share: report.c (head, arms, order), report_verdicts.c (comparisons), report_perplexity.c (model sources), report_fits.c (what calibration found), report_pareto.c
 * (fronts), report_honesty.c (plan, canaries), report_order.c (gyre order). */
#ifndef GYRE_EXPERIMENTS_REPORT_PARTS_H
#define GYRE_EXPERIMENTS_REPORT_PARTS_H

#include <stdio.h>

#include "results/order.h"
#include "results/sheet.h"
#include "results/summary.h"
#include "results/table.h"

/* Intervals of single arms, of the pairs in discord, and against a front. */
#define GYRE_REPORT_ALPHA 0.05

const char *gyre_report_streams(const char *streams); /* "K and V" */
const char *gyre_report_leak(const gyre_table *table, size_t source); /* a mark, or "" */
const char *gyre_report_leak_of_arm(const gyre_table *table, size_t source, const char *arm, const char *point); /* of an arm's own row, or "" */

/* Model sources: what was run, and the perplexity of every arm; nothing where there are none. */
gyre_status gyre_report_perplexity(const gyre_table *table, gyre_book *book, gyre_error *err);

/* Lines of the head: how many comparisons there are of each verdict; what became of the canaries, and first of all which one failed. */
void gyre_report_verdict_counts(const gyre_table *table, gyre_book *book);
void gyre_report_canary_counts(const gyre_table *table, gyre_book *book);

/* Comparisons and their verdicts, a table for each source. */
gyre_status gyre_report_verdicts(const gyre_table *table, gyre_book *book, gyre_error *err);

/* What was learned or drawn, by source and stream: objectives at the start and at the end on calibration and on validation rows; nothing where there are no fits. */
gyre_status gyre_report_fits(const gyre_table *table, gyre_book *book, gyre_error *err);

/* The fronts of the metric of each source and stream against total bits, what they dominate, and the best at equal bits; nothing where no front is worth showing. */
gyre_status gyre_report_pareto(gyre_table *table, const gyre_summary *all, size_t count, gyre_book *book, gyre_error *err);

/* What was registered before data were read, and what of it is no longer there. */
gyre_status gyre_report_registration(const gyre_table *table, gyre_book *book, gyre_error *err);

/* A note on a verdict: exploratory and why, what an INCONCLUSIVE one could have seen, what was published and foretold. Each part after "; ". */
void gyre_report_judging(const gyre_table *table, const gyre_comparison *comparison, char *text, size_t size);

/* Numbers that arithmetic fixes against published ones; nothing where there are none. */
gyre_status gyre_report_exact(const gyre_table *table, gyre_book *book, gyre_error *err);

/* The checks of the wiring, a row each. */
gyre_status gyre_report_canaries(const gyre_table *table, gyre_book *book, gyre_error *err);

/* GYRE_E_INCOMPLETE, naming the first, where one failed: for when everything has been printed. */
gyre_status gyre_report_wiring(const gyre_table *table, const char *path, gyre_error *err);

/* The joined order of arms: a line for each row, then pairs in discord, what was left out, and how sure the intervals are. */
void gyre_report_order(const gyre_orders *order, FILE *out);

#endif
