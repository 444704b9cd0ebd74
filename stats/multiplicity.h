/* Adjustments for a family of m tests, by name; p_(1) <= ... <= p_(m).
 *
 *   holm   adjusted p_(i) = min(1, max over k <= i of (m - k + 1) p_(k))        the probability of any false claim (adjusted p < alpha) is at most alpha, whatever the dependence
 *   bh     adjusted p_(i) = min(1, min over k >= i of m p_(k) / k)              the expected share of false claims among all claims (false discovery rate) is at most alpha
 *   by     adjusted p_(i) = min(1, min over k >= i of m c p_(k) / k),   c = 1 + 1/2 + ... + 1/m
 *
 * References: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70; Benjamini, Hochberg, J. Royal Statistical Society B 57 (1995) 289-300; Benjamini, Yekutieli, Annals of Statistics 29
 * (2001) 1165-1188. Holm's is the one for confirming; bh holds its rate for independent tests and some positive dependence, by for any dependence, and both are for screening.
 *
 * A NaN says that a test was not made (a degenerate sample, no margin declared): it stays NaN and does not count in m. Such a comparison can claim nothing, so leaving it out weakens no
 * guarantee. What bh and by are not: a guard against a single false claim.
 */
#ifndef GYRE_STATS_MULTIPLICITY_H
#define GYRE_STATS_MULTIPLICITY_H

#include <stddef.h>

#include "core/status.h"

/* Order kept; adjusted may be p itself. GYRE_E_RANGE for a number outside [0, 1]. */
gyre_status gyre_holm(const double *p, size_t n, double *adjusted, gyre_error *err);
gyre_status gyre_benjamini_hochberg(const double *p, size_t n, double *adjusted, gyre_error *err);
gyre_status gyre_benjamini_yekutieli(const double *p, size_t n, double *adjusted, gyre_error *err);

typedef struct gyre_correction_type {
    const char *name; /* holm, bh, by */
    const char *summary;
    gyre_status (*adjust)(const double *p, size_t n, double *adjusted, gyre_error *err);
} gyre_correction_type;

/* All of them, holm first, then one whose name is NULL. */
extern const gyre_correction_type gyre_corrections[];

/* By name, or NULL. */
const gyre_correction_type *gyre_correction_find(const char *name);

#endif
