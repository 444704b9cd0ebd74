/* Controls: two experiments whose outcome is known, run by the program that made the results.
 *
 *   positive control   Gaussian rows with one channel 30 times as large, 4 bits with a scale a row: a randomised Hadamard rotation is BETTER by nmse, and by a lot
 *   negative control   isotropic Gaussian rows, on which a rotation changes nothing in distribution: EQUIVALENT within a ratio of 1.05
 *
 * Rows come from the stream of purpose SYNTHETIC (docs/random.md) into two small captures in a scratch folder; from there on everything is what a run does with any capture: configuration, plan, cells,
 * comparison. The same rows, signs and verdicts every time, in a fraction of a second. A rotation or a quantizer that is switched off, swapped arms and comparisons that cannot see are what they find.
 *
 * What they are not: a measurement of anything about the captures of the run.
 */
#ifndef GYRE_EXPERIMENTS_CONTROL_H
#define GYRE_EXPERIMENTS_CONTROL_H

#include "core/status.h"
#include "results/table.h"

/* Runs both, with scratch files in `folder`/.control (emptied before, should a killed run have left some, and removed at the end; two runs take turns), and sets the two canaries of the table.
 * A control that comes out otherwise is a FAIL there, not an error. */
gyre_status gyre_controls_run(const char *folder, gyre_table *table, gyre_error *err);

#endif
