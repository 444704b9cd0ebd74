/* Numbers that arithmetic fixes: bits of an arm against the published ones.
 *
 *   measured = mean over the cells of the arm at the point (layers, seeds) of total_bits or payload_bits, or 16 over that of total_bits (compression)
 *   EXACT where |measured - published| <= 10^-digits / 2: measured, rounded to the published decimals, is the published number; NOT MEASURED where a cell of the arm is missing or skipped; else DIFFERENT
 *
 * A tie counts for both neighbours. What it is not: a test. Bits are counted from packed bytes and have no spread to judge by.
 */
#ifndef GYRE_RESULTS_EXACT_H
#define GYRE_RESULTS_EXACT_H

#include <stdint.h>

#include "core/status.h"
#include "results/table.h"

enum { GYRE_EXACT_DIGITS = 12 };

/* "EXACT" or "DIFFERENT"; "NOT MEASURED" for NaN. */
const char *gyre_exact_verdict(double published, double measured, uint32_t digits);

/* Fills measured and verdict of every row of table->exact from the cells. GYRE_E_CONFIG for an unknown quantity. */
gyre_status gyre_exact_measure(gyre_table *table, gyre_error *err);

#endif
