/* Welch's t; formulas, references and what it is not in welch.h. */
#include "stats/welch.h"

#include <math.h>

#include <gsl/gsl_statistics_double.h>

static gyre_status check(const double *x, size_t n, char side, bool *constant, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (n < 2)
        GYRE_FAIL(GYRE_E_APPLICABLE, "sample %c has %zu number(s) and no spread: at least 2", side, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            GYRE_FAIL(GYRE_E_NAN, "number %zu of sample %c is %g", i, side, x[i]);
    *constant = gyre_is_constant(x, n);
done:
    return st;
}

gyre_status gyre_welch(const double *a, size_t n_a, const double *b, size_t n_b, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool flat_a = false, flat_b = false;
    *out = (gyre_estimate){ NAN, NAN, NAN, NAN, NAN, NAN, false };
    GYRE_TRY(check(a, n_a, 'a', &flat_a, err));
    GYRE_TRY(check(b, n_b, 'b', &flat_b, err));
    out->mean = gsl_stats_mean(a, 1, n_a) - gsl_stats_mean(b, 1, n_b);
    if (!isfinite(out->mean))
        GYRE_FAIL(GYRE_E_RANGE, "the difference of two means overflows: rescale the metric");
    out->degenerate = flat_a && flat_b;
    if (out->degenerate) {
        out->se = 0.0;
        goto done;
    }
    double u = gsl_stats_variance(a, 1, n_a) / (double)n_a, v = gsl_stats_variance(b, 1, n_b) / (double)n_b, share = u / (u + v);
    double df = 1.0 / (share * share / (double)(n_a - 1) + (1.0 - share) * (1.0 - share) / (double)(n_b - 1));
    GYRE_TRY(gyre_estimate_end(u + v, df, out, err));
done:
    return st;
}
