/* paired_t: n documents, one difference each.
 *
 *   mean = sum d / n      s^2 = sum (d - mean)^2 / (n - 1)      se = s / sqrt(n)      df = n - 1
 *
 * Reference: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25.
 * Shapes: S = 1, D >= 2. Components: sd_document = s, what documents and measurement do together; the two cannot be told apart from one difference
 * per document, so sd_residual and sd_seed are NaN.
 * What it is not: a test for seeded arms. Averaging over seeds and then testing documents takes the drawn seeds for all there are (see crossed.c).
 */
#include <gsl/gsl_statistics_double.h>

#include "stats/stats.h"

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_one_seed_estimate(&gyre_test_paired_t, d, seeds, documents, out, err));
    if (!out->degenerate)
        GYRE_TRY(gyre_estimate_end(gsl_stats_variance_m(d, 1, documents, out->mean) / (double)documents, (double)(documents - 1), out, err));
done:
    return st;
}

const gyre_test_type gyre_test_paired_t = {
    .name = "paired_t",
    .summary = "paired t over documents, for arms without seeds",
    .source = "Student, Biometrika 6 (1908) 1-25",
    .applicable = gyre_one_seed_applicable,
    .estimate = estimate,
};
