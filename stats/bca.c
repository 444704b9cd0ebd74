/* bca: n documents, one difference each; the bias-corrected and accelerated bootstrap interval of the mean.
 *
 *   z0 = Phi^-1((#(m_b < mean) + #(m_b <= mean)) / 2B)        a = sum u^3 / (6 (sum u^2)^(3/2)),  u_i = mean - mean without document i
 *   interval: Q(Phi(z0 + (z0 + z)/(1 - a (z0 + z)))) at z = Phi^-1(alpha/2), Phi^-1(1 - alpha/2)
 *
 * Ties with the mean count half, which matters where differences are few or whole numbers. p values and TOST by the inverse of the same levels (stats/resample.h).
 * Reference: Efron, J. American Statistical Association 82 (1987) 171-185. Shapes: S = 1, D >= 2. Cost: O(B D). B = GYRE_RESAMPLES.
 * What it is not: as bootstrap.c; the correction is for skewness and not for few documents.
 */
#include "stats/resample.h"
#include "stats/stats.h"

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    return gyre_one_seed_estimate(&gyre_test_bca, d, seeds, documents, out, err);
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = estimate(d, seeds, documents, e, err);
    return st == GYRE_OK ? gyre_judge_bootstrap(d, documents, true, margin, alpha, seed, e, out, err) : st;
}

const gyre_test_type gyre_test_bca = {
    .name = "bca",
    .summary = "bias-corrected and accelerated bootstrap of the mean over documents, for arms without seeds",
    .source = "Efron, J. American Statistical Association 82 (1987) 171-185",
    .applicable = gyre_one_seed_applicable,
    .estimate = estimate,
    .judge = judge,
};
