/* What is known to go wrong with a test in a sample of a shape that it does take.
 *
 * Percentile and BCa bootstraps of few units are too sure: with D normal differences the percentile interval is about one of +-1.96 with D, not D - 1, under the fraction line, and rejects
 * 11 % of true nulls at 0.05 for D = 8, 9 % for 12, 6 to 7 % for 30 (docs/statistics.md has measured rates of all tests: make check-stats).
 * Ranks, signs and flips of fewer than 6 documents have no two-sided p below 0.05 at all.
 * What it is not: a reason to refuse; that is applicable().
 */
#ifndef GYRE_STATS_CAUTION_H
#define GYRE_STATS_CAUTION_H

#include <stddef.h>

#include "stats/stats.h"

/* The least two-sided p value that a sample of this size can have: 2/2^D of ranks, signs and flips (2/(B + 1) of drawn ones), 2/(B + 1) of a bootstrap, 0 of the t tests. A test whose least p is not
 * below alpha, divided by the number of tests of the family where that is adjusted by Holm, cannot find a difference; TOST and not_worse are one-sided, with half of it as their least. */
double gyre_test_least_p(const gyre_test_type *test, size_t documents);

/* A remark for whoever reads the verdict; "" where nothing is known against it. */
const char *gyre_test_caution(const gyre_test_type *test, size_t seeds, size_t documents);

#endif
