/* What a sample could have seen, and what would be needed: from the components of variance of a comparison's differences (stats/power.h).
 *
 *   mde              the smallest true difference that the two-sided t finds with power 0.8
 *   power            that the margin is met, where there is no true difference
 *   seeds_needed     for that power to be 0.8, with the documents that there are; documents_needed the other way round
 *
 * All at the comparison's own alpha: in a family of m Holm asks up to m times less, so they are the best case. Another test than the t tests is taken to have the power of these, but
 * for one whose p cannot get below alpha with so few documents: mde is then NaN, and the others where its one-sided p cannot either.
 * What it is not: power at the estimate, which would only say again what p says. The true difference is set to 0.
 */
#ifndef GYRE_RESULTS_FORESEE_H
#define GYRE_RESULTS_FORESEE_H

#include "core/status.h"
#include "results/table.h"

struct gyre_design; /* stats/power.h */

#define GYRE_POWER_WANTED 0.8

/* Fills mde, power, seeds_needed and documents_needed; NaN where the design does not tell. */
gyre_status gyre_foresee(const struct gyre_design *design, gyre_comparison *comparison, gyre_error *err);

enum { GYRE_FORESEEN_TEXT = 192 };

/* "could have seen x1.12 with power 0.8; for the margin: 24 seeds or 60 documents"; `verb`: "could have seen" or "sees"; unit: "document". "" where nothing is known. */
void gyre_foreseen_text(const gyre_comparison *comparison, const char *verb, const char *unit, char text[GYRE_FORESEEN_TEXT]);

#endif
