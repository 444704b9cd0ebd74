/* McNemar's test; formulas, references and what it is not in mcnemar.h. */
#include "stats/mcnemar.h"

#include <math.h>

#include <gsl/gsl_cdf.h>

#include "stats/binomial.h"

gyre_status gyre_mcnemar(size_t b, size_t c, gyre_mcnemar_result *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (b + c == 0)
        GYRE_FAIL(GYRE_E_APPLICABLE, "the arms agree on every item: there is nothing to test");
    double n = (double)(b + c), off = fabs((double)b - (double)c), corrected = fmax(off - 1.0, 0.0);
    out->p = fmin(1.0, 2.0 * gyre_coin_at_most(b < c ? b : c, b + c));
    out->chi2 = off * off / n;
    out->chi2_corrected = corrected * corrected / n;
    out->p_chi2 = gsl_cdf_chisq_Q(out->chi2, 1.0);
    out->p_chi2_corrected = gsl_cdf_chisq_Q(out->chi2_corrected, 1.0);
done:
    return st;
}
