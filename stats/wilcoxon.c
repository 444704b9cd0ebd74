/* wilcoxon: n documents, one difference each; signed ranks. Formulas: stats/signed_rank.h; zeros are dropped.
 *
 * The estimate is the Hodges-Lehmann pseudo-median of the Walsh averages (d_i + d_j)/2; the interval is the set of shifts that the test does not reject, so its ends are Walsh averages;
 * TOST tests the differences less each end of the margin (stats/shift.h).
 * Reference: Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; Hodges, Lehmann, Annals of Mathematical Statistics 34 (1963) 598-611. Shapes: S = 1, 2 <= D <= 4000; an interval at 95 % needs 6
 * documents. Exact up to 100 documents, normal with continuity correction above.
 * What it is not: a test of the mean unless differences are symmetric about their centre, nor one for seeded arms.
 */
#include <math.h>
#include <stdio.h>

#include "stats/shift.h"
#include "stats/signed_rank.h"
#include "stats/stats.h"

typedef struct sample {
    const double *d;
    size_t n;
} sample;

static gyre_status tails(void *data, double theta, double *greater, double *less, gyre_error *err)
{
    const sample *s = data;
    gyre_signed_ranks ranks;
    gyre_status st = gyre_signed_rank(s->d, s->n, theta, GYRE_ZEROS_DROP, &ranks, err);
    *greater = ranks.greater;
    *less = ranks.less;
    return st;
}

static bool applicable(size_t seeds, size_t documents, char *why, size_t why_size)
{
    if (!gyre_one_seed_applicable(seeds, documents, why, why_size))
        return false;
    if (documents > GYRE_WALSH_MOST) {
        (void)snprintf(why, why_size, "%zu documents have too many pairs for a pseudo-median, at most %d: use sign_flip or paired_t", documents, GYRE_WALSH_MOST);
        return false;
    }
    return true;
}

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_one_seed_estimate(&gyre_test_wilcoxon, d, seeds, documents, out, err));
    GYRE_TRY(gyre_hodges_lehmann(d, documents, &out->mean, err));
done:
    return st;
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = GYRE_OK;
    sample s = { d, documents };
    (void)seed;
    GYRE_TRY(estimate(d, seeds, documents, e, err));
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    if (!e->degenerate)
        GYRE_TRY(gyre_judge_by_shift(tails, &s, d, documents, margin, alpha, out, err));
done:
    return st;
}

const gyre_test_type gyre_test_wilcoxon = {
    .name = "wilcoxon",
    .summary = "Wilcoxon signed ranks over documents, exact with ties, for arms without seeds",
    .source = "Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; Hodges, Lehmann, Annals of Mathematical Statistics 34 (1963) 598-611",
    .applicable = applicable,
    .estimate = estimate,
    .judge = judge,
};
