/* Power: how likely a test is to see what is there, before the data are.
 *
 * An estimate has a standard error se with df degrees of freedom and the truth is a difference `effect`; S = sqrt(chi2_df / df) has density f.
 *
 *   two-sided t    power = P(|T| > t(alpha/2)),  T = noncentral t(df, effect/se);   P(T <= x) = int_0^inf Phi(x s - effect/se) f(s) ds
 *   TOST           power = int_0^u [Phi((hi - effect)/se - t(alpha) s) - Phi((lo - effect)/se + t(alpha) s)] f(s) ds,   u = (hi - lo)/(2 se t(alpha))
 *   not worse      the same with lo = -infinity
 *   crossed        se^2 = a/S + b/D + e/(SD) and Satterthwaite's df from the expected mean squares (stats/crossed.c) of S seeds x D documents with variances a, b, e;
 *                  S = 1 is the paired t over documents, se^2 = (b + e)/D, df = D - 1, where neither arm is seeded
 *
 * References: Johnson, Kotz, Balakrishnan, "Continuous Univariate Distributions" 2 (1995), chapter 31; Phillips, J. Pharmacokinetics and Biopharmaceutics 18 (1990) 137-144.
 * Integrals by GSL's adaptive Gauss-Kronrod rule. In the crossed design df is itself estimated from the sample, so its power is an approximation (docs/statistics.md measures it).
 *
 * What it is not: power computed at the estimate of the same data, which only says again what p says. Spread may come from a pilot; the effect is a question asked beforehand.
 */
#ifndef GYRE_STATS_POWER_H
#define GYRE_STATS_POWER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "stats/verdict.h"

/* Both tails of the noncentral t at x. GYRE_E_RANGE for numbers that are not finite or df that are not above 0. */
gyre_status gyre_noncentral_t(double x, double df, double noncentrality, double *below, double *above, gyre_error *err);

/* Of the two-sided t at alpha. GYRE_E_CONFIG for an alpha outside (0, 1/2), GYRE_E_RANGE for se or df that are not above 0 or an effect that is not finite. */
gyre_status gyre_power_t(double effect, double se, double df, double alpha, double *power, gyre_error *err);

/* Of TOST (goal "equivalent") or of the one-sided test against margin->hi (goal "not_worse"). The margin must be declared. */
gyre_status gyre_power_tost(double effect, const gyre_margin *margin, gyre_goal goal, double se, double df, double alpha, double *power, gyre_error *err);

/* The smallest true |difference| that the two-sided t sees with this power (0 < power < 1, above alpha). */
gyre_status gyre_mde(double se, double df, double alpha, double power, double *out, gyre_error *err);

/* Seeds x documents, and the standard deviations of one difference over each, as in gyre_estimate: NaN counts as 0 (paired_t puts all of it in sd_document). */
typedef struct gyre_design {
    size_t seeds, documents; /* seeds 1: neither arm is seeded, or sd_seed cannot be told */
    double sd_seed, sd_document, sd_residual;
} gyre_design;

/* What the sample may be expected to give: se and df. GYRE_E_APPLICABLE with fewer than 2 documents, GYRE_E_RANGE without any spread. */
gyre_status gyre_design_error(const gyre_design *design, double *se, double *df, gyre_error *err);

/* Power of the design's test. Without a declared margin: two-sided against 0 at `effect`; with one: as gyre_power_tost. */
gyre_status gyre_power_crossed(const gyre_design *design, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double *power, gyre_error *err);

/* The least number of documents, or of seeds, that gives this power, all else as in the design; NaN where none does (the other factor's share of the error stays; above 10^7 counts as none; it is sought among 2 to 16 and then in
 * steps of an eighth, since power may fall a little as the other factor comes to rule df).
 * Documents are at least 2, seeds at least 2 where the design has more than one, and an unseeded design needs 1. */
gyre_status gyre_documents_needed(const gyre_design *design, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double power, double *out, gyre_error *err);
gyre_status gyre_seeds_needed(const gyre_design *design, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double power, double *out, gyre_error *err);

#endif
