/* McNemar's test of two arms' yes-or-no outcomes on the same items: b items only the first has right, c only the second.
 *
 *   exact   p = min(1, 2 P(X <= min(b, c))),  X binomial(b + c, 1/2)
 *   chi2    (b - c)^2 / (b + c), one degree of freedom;   corrected: (|b - c| - 1)^2 / (b + c)
 *
 * Items on which the arms agree say nothing and do not enter.
 * References: McNemar, Psychometrika 12 (1947) 153-157; Edwards, Psychometrika 13 (1948) 185-187.
 * What it is not: for outcomes that hang together (tokens of a text, questions of a passage): items must be independent.
 */
#ifndef GYRE_STATS_MCNEMAR_H
#define GYRE_STATS_MCNEMAR_H

#include <stddef.h>

#include "core/status.h"

typedef struct gyre_mcnemar_result {
    double p;                               /* exact */
    double chi2, p_chi2;                    /* without correction */
    double chi2_corrected, p_chi2_corrected;
} gyre_mcnemar_result;

/* GYRE_E_APPLICABLE where the arms never differ. */
gyre_status gyre_mcnemar(size_t b, size_t c, gyre_mcnemar_result *out, gyre_error *err);

#endif
