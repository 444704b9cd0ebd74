/* Tails of the binomial with probability 1/2: P(X <= k) and P(X >= k) for n tosses; a fair coin is what the sign test and McNemar's come down to.
 *
 * Up to 1000 tosses from the coefficients, which are whole numbers below 2^53 up to n = 56 and good to about n 1e-16 beyond; above that from GSL's incomplete beta function.
 */
#ifndef GYRE_STATS_BINOMIAL_H
#define GYRE_STATS_BINOMIAL_H

#include <stddef.h>

double gyre_coin_at_most(size_t k, size_t n);
double gyre_coin_at_least(size_t k, size_t n);

#endif
