/* sign: n documents, one difference each; is the median difference 0?
 *
 *   n+ of m nonzero differences are positive        p = min(1, 2 P(X <= min(n+, m - n+))),  X binomial(m, 1/2)
 *
 * Zeros are dropped; differences within 8 epsilon of the largest count as zero (the rounding of the subtraction that made them). The estimate is the median; its interval and TOST come
 * from shifting (stats/shift.h), so its ends are order statistics.
 * Reference: Dixon, Mood, J. American Statistical Association 41 (1946) 557-566. Shapes: S = 1, D >= 2; an interval at 95 % needs 6 documents. Cost: O(D).
 * What it is not: about the mean, or about size: three large losses and nine tiny wins are a win. It assumes nothing but independent documents.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_statistics_double.h>

#include "stats/binomial.h"
#include "stats/resample.h"
#include "stats/shift.h"
#include "stats/stats.h"

typedef struct sample {
    const double *d;
    size_t n;
    double largest; /* |d| */
} sample;

static gyre_status tails(void *data, double theta, double *greater, double *less, gyre_error *err)
{
    const sample *s = data;
    size_t above = 0, below = 0;
    double slack = 8.0 * DBL_EPSILON * fmax(s->largest, fabs(theta));
    (void)err;
    for (size_t i = 0; i < s->n; i++) {
        above += s->d[i] - theta > slack;
        below += theta - s->d[i] > slack;
    }
    *greater = gyre_coin_at_least(above, above + below);
    *less = gyre_coin_at_least(below, above + below);
    return GYRE_OK;
}

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *sorted = NULL;
    GYRE_TRY(gyre_one_seed_estimate(&gyre_test_sign, d, seeds, documents, out, err));
    GYRE_NEW(&sorted, documents);
    memcpy(sorted, d, documents * sizeof *sorted);
    gyre_resample_sort(sorted, documents);
    out->mean = gsl_stats_median_from_sorted_data(sorted, 1, documents);
done:
    free(sorted);
    return st;
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = GYRE_OK;
    sample s = { d, documents, 0.0 };
    (void)seed;
    GYRE_TRY(estimate(d, seeds, documents, e, err));
    for (size_t i = 0; i < documents; i++)
        s.largest = fmax(s.largest, fabs(d[i]));
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    if (!e->degenerate)
        GYRE_TRY(gyre_judge_by_shift(tails, &s, d, documents, margin, alpha, out, err));
done:
    return st;
}

const gyre_test_type gyre_test_sign = {
    .name = "sign",
    .summary = "sign test of the median over documents, exact, for arms without seeds",
    .source = "Dixon, Mood, J. American Statistical Association 41 (1946) 557-566",
    .applicable = gyre_one_seed_applicable,
    .estimate = estimate,
    .judge = judge,
};
