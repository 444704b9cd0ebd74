/* Canaries: checks of the wiring that every merge makes of its own cells, stored in /canaries.
 *
 *   zero drift          a lossy cell (fewer than 16 bits a value) has an error: no error metric is 0 throughout, and nmse is 0 in no document and head. Exact cells are exactly 0 throughout; what
 *                       stores 16 bits may be (binary16 of a binary16 capture) and is counted
 *   duplicates          two lossy cells of one layer with different keys and codecs have different values
 *   seed sensitivity    two seeds of a seeded arm have different values; an arm without seeds has one cell, of seed 0
 *
 * Equal values of different codecs are a fault where the quantizers or their bits differ, or where one chain mixes channels and the other does not. They are noted, and no fault, where they follow
 * from what the codecs are: signs and permutations alone (a quantizer with a scale a row does not see them), an option that does not act there, or a fit that kept its start.
 *
 * What it is not: a test of values. A wrong number that differs from its neighbours passes; tests/oracle computes cells again.
 */
#ifndef GYRE_RESULTS_CANARY_H
#define GYRE_RESULTS_CANARY_H

#include "core/status.h"
#include "results/table.h"

/* Appends to table->canaries, or replaces the one of that name. */
gyre_status gyre_canary_set(gyre_table *table, const char *name, const char *status, const char *detail, gyre_error *err);

/* The three canaries above. */
gyre_status gyre_canaries_make(gyre_table *table, gyre_error *err);

#endif
