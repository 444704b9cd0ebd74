/* Wilcoxon's signed ranks of n differences less a shift.
 *
 *   r_i: rank of |d_i - shift|, equal ones share the mean of their ranks        W+ = sum of r_i where d_i > shift, W- where d_i < shift
 *   exact    P(W <= w) over all 2^m choices of signs of the ranks that are there, ties and all: dynamic programming over doubled ranks, which are whole numbers
 *   normal   z = (W+ - M)/sqrt(V), M = sum r / 2, V = sum r^2 / 4 (without zeros or ties n(n+1)(2n+1)/24); with continuity correction (|W+ - M| - 1/2)/sqrt(V)
 *
 * Zeros: DROP leaves them out before ranking (Wilcoxon), PRATT ranks them with the others and then leaves them out. |d| within 8 epsilon of the largest number tie: they are one number but for
 * the rounding of the subtraction that made them (0.3 - 0.2 and 0.1).
 * Exact up to GYRE_RANKS_EXACT nonzero differences; counts are whole numbers up to m = 53 and good to 1e-15 beyond; above it the normal with continuity correction.
 * References: Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; Pratt, J. American Statistical Association 54 (1959) 655-667. Cost: O(m^3).
 */
#ifndef GYRE_STATS_SIGNED_RANK_H
#define GYRE_STATS_SIGNED_RANK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

enum { GYRE_RANKS_EXACT = 100, GYRE_WALSH_MOST = 4000 };

typedef enum gyre_zeros { GYRE_ZEROS_DROP, GYRE_ZEROS_PRATT } gyre_zeros;

typedef struct gyre_signed_ranks {
    double w_plus, w_minus;
    size_t n;                    /* nonzero differences */
    bool exact;                  /* whether p, greater and less are */
    double p, greater, less;     /* two-sided, and one-sided against "location <= shift" and "location >= shift" */
    double p_normal, p_continuous; /* two-sided, without and with continuity correction; NaN without nonzero differences */
} gyre_signed_ranks;

/* All p values are 1 where every difference is zero. GYRE_E_NAN for a number that is not finite. */
gyre_status gyre_signed_rank(const double *d, size_t n, double shift, gyre_zeros zeros, gyre_signed_ranks *out, gyre_error *err);

/* The Hodges-Lehmann pseudo-median: median of (d_i + d_j)/2 over i <= j, zeros included. O(n^2 log n); GYRE_E_APPLICABLE for no numbers or more than GYRE_WALSH_MOST. */
gyre_status gyre_hodges_lehmann(const double *d, size_t n, double *out, gyre_error *err);

#endif
