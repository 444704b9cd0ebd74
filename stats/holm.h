/* Holm's adjustment for a family of m tests.
 *
 *   adjusted p_(i) = min(1, max over k <= i of (m - k + 1) p_(k)),   p_(1) <= ... <= p_(m)
 *
 * The probability that any true hypothesis of the family has adjusted p < alpha is at most alpha, however the tests depend on each other.
 * Reference: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
 *
 * A NaN says that a test was not made (a degenerate sample, no margin declared): it stays NaN and does not count in m. Such a comparison can claim
 * nothing, so leaving it out weakens no guarantee. What it is not: a false discovery rate.
 */
#ifndef GYRE_STATS_HOLM_H
#define GYRE_STATS_HOLM_H

#include <stddef.h>

#include "core/status.h"

/* Order kept; adjusted may be p itself. GYRE_E_RANGE for a number outside [0, 1]. */
gyre_status gyre_holm(const double *p, size_t n, double *adjusted, gyre_error *err);

#endif
