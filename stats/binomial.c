/* Tails of n fair coins; see binomial.h. */
#include "stats/binomial.h"

#include <math.h>

#include <gsl/gsl_cdf.h>

enum { MOST_EXACT = 1000 }; /* the largest coefficient stays below 1e300 */

double gyre_coin_at_most(size_t k, size_t n)
{
    if (k >= n)
        return 1.0;
    if (n > MOST_EXACT)
        return gsl_cdf_binomial_P((unsigned)k, 0.5, (unsigned)n);
    double coefficient = 1.0, sum = 1.0;
    for (size_t i = 0; i < k; i++) {
        coefficient = coefficient * (double)(n - i) / (double)(i + 1);
        sum += coefficient;
    }
    return ldexp(sum, -(int)n);
}

double gyre_coin_at_least(size_t k, size_t n)
{
    return k > n ? 0.0 : gyre_coin_at_most(n - k, n); /* by symmetry, so that no tail is computed as 1 - the other */
}
