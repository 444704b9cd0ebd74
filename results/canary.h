/* Canaries: checks of the wiring that every merge makes of its own cells, stored in /canaries.
 *
 *   zero drift          a lossy cell (fewer than 16 bits a value) has an error: no error metric is 0 throughout, and nmse is 0 in no document and head. Exact cells are exactly 0 throughout; what
 *                       stores 16 bits may be (binary16 of a binary16 capture) and is counted. Where K and V are coded, a metric of K alone is not held to it: the bits are the mean of both
 *   duplicates          two lossy cells of one layer with different keys and codecs have different values
 *   seed sensitivity    two seeds of a seeded arm have different values; an arm without seeds has one cell, of seed 0
 *
 * Equal values of different codecs are a fault where the quantizers or their bits differ, or where one chain acts otherwise than the other. They are noted, and no fault, where they follow from
 * what the codecs are: signs and permutations alone (a quantizer with a scale a row does not see them), a Hadamard block that is the row, quantizers between a minimum and a maximum that meet by
 * their groups (asym, hqq, kivi, ott), an option that does not act there, rows or layers that stay exact, a stream that no metric sees, or a fit that kept its start. Of seeds likewise: signs
 * behind what rotates, or before scales and means alone, tell nothing. A false alarm takes every verdict of a run away, so what is not known for certain is noted.
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
