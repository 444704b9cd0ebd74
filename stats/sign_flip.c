/* sign_flip: n documents, one difference each; were the signs of the differences tossed?
 *
 *   greater(theta) = #{A: sum over A of (d_i - theta) <= 0} / 2^n over all subsets A of the documents, the empty one included: flipping the signs in A gives a sum at least as large
 *   p = 2 min(greater(0), less(0)) = #{signs s: |sum s_i d_i| >= |sum d_i|} / 2^n        (1 where the sum is 0)
 *
 * Exact up to GYRE_FLIPS_EXACT documents: the sums over subsets are pairs of sums over subsets of two halves, both sorted and counted by two pointers, so 2^25 flips cost 2^13 sums. Above that
 * B random subsets: p = (1 + count)/(1 + B), with its standard error. Sums equal but for rounding (1e-13 of the sum of |d_i - theta|) count as equal; without that the sum itself gets lost
 * among its equals. Interval and TOST by shifting (stats/shift.h); the ends are means of subsets (Hartigan's typical values).
 * References: Fisher, "The Design of Experiments" (1935), section 21; Hartigan, J. American Statistical Association 64 (1969) 1303-1317; Phipson, Smyth, Statistical Applications in Genetics and
 * Molecular Biology 9 (2010) 39. Shapes: S = 1, D >= 2; p is at least 2/2^D, an interval at 95 % needs 6 documents.
 * What it is not: free of assumptions: differences are symmetric about the truth. Nor a test for seeded arms.
 */
#include <math.h>
#include <stdlib.h>

#include "stats/resample.h"
#include "stats/shift.h"
#include "stats/stats.h"

typedef struct sample {
    const double *d;
    size_t n;
    double *left, *right; /* exact: sums over subsets of the two halves */
    double *mean;         /* drawn: mean of d over each subset that is not empty, sorted */
    size_t n_means;
} sample;

static size_t fill_subsets(const double *d, size_t n, double theta, double *out)
{
    size_t m = 1;
    out[0] = 0.0;
    for (size_t i = 0; i < n; i++, m *= 2)
        for (size_t k = 0; k < m; k++)
            out[m + k] = out[k] + (d[i] - theta);
    gyre_resample_sort(out, m);
    return m;
}

/* Pairs with left + right <= limit. */
static double pairs_at_most(const double *left, size_t n_left, const double *right, size_t n_right, double limit)
{
    double count = 0.0; /* below 2^53: exact */
    size_t k = n_right;
    for (size_t i = 0; i < n_left; i++) {
        while (k > 0 && left[i] + right[k - 1] > limit)
            k--;
        count += (double)k;
    }
    return count;
}

static gyre_status tails(void *data, double theta, double *greater, double *less, gyre_error *err)
{
    const sample *s = data;
    double slack = 0.0, all, few = 0.0, many = 0.0;
    (void)err;
    for (size_t i = 0; i < s->n; i++)
        slack += 1e-13 * fabs(s->d[i] - theta);
    if (s->left != NULL) {
        size_t half = s->n / 2, n_left = fill_subsets(s->d, half, theta, s->left), n_right = fill_subsets(s->d + half, s->n - half, theta, s->right);
        all = ldexp(1.0, (int)s->n);
        few = pairs_at_most(s->left, n_left, s->right, n_right, slack);
        many = all - pairs_at_most(s->left, n_left, s->right, n_right, -slack * (1.0 + 1e-9));
    } else {
        all = GYRE_RESAMPLES + 1.0;
        few = many = 1.0 + (double)(GYRE_RESAMPLES - s->n_means); /* the sample itself, and empty subsets */
        few += (double)gyre_resample_count(s->mean, s->n_means, theta + slack / (double)s->n, true);
        many += (double)(s->n_means - gyre_resample_count(s->mean, s->n_means, theta - slack / (double)s->n, true));
    }
    *greater = few / all;
    *less = many / all;
    return GYRE_OK;
}

static gyre_status prepare(sample *s, uint64_t seed, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (s->n <= GYRE_FLIPS_EXACT) {
        GYRE_NEW(&s->left, (size_t)1 << (s->n / 2));
        GYRE_NEW(&s->right, (size_t)1 << (s->n - s->n / 2));
        goto done;
    }
    GYRE_NEW(&s->mean, GYRE_RESAMPLES);
    for (size_t b = 0; b < GYRE_RESAMPLES; b++) {
        uint64_t bits = 0;
        double sum = 0.0, size = 0.0;
        for (size_t i = 0; i < s->n; i++, bits >>= 1) {
            if (i % 64 == 0)
                bits = gyre_resample_next(&seed);
            sum += (bits & 1) != 0 ? s->d[i] : 0.0;
            size += (bits & 1) != 0 ? 1.0 : 0.0;
        }
        if (size > 0.0)
            s->mean[s->n_means++] = sum / size;
    }
    gyre_resample_sort(s->mean, s->n_means);
done:
    return st;
}

static gyre_status estimate(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    return gyre_one_seed_estimate(&gyre_test_sign_flip, d, seeds, documents, out, err);
}

static gyre_status judge(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *e, gyre_judgement *out,
                         gyre_error *err)
{
    gyre_status st = GYRE_OK;
    sample s = { .d = d, .n = documents };
    GYRE_TRY(estimate(d, seeds, documents, e, err));
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    if (e->degenerate)
        goto done;
    GYRE_TRY(prepare(&s, seed, err));
    GYRE_TRY(gyre_judge_by_shift(tails, &s, d, documents, margin, alpha, out, err));
    if (s.mean != NULL)
        out->p_error = 2.0 * sqrt(0.5 * out->p * (1.0 - 0.5 * out->p) / GYRE_RESAMPLES);
done:
    free(s.left);
    free(s.right);
    free(s.mean);
    return st;
}

const gyre_test_type gyre_test_sign_flip = {
    .name = "sign_flip",
    .summary = "sign-flip permutation test of the mean over documents, exact to 25 documents, for arms without seeds",
    .source = "Fisher, The Design of Experiments (1935); Hartigan, J. American Statistical Association 64 (1969) 1303-1317",
    .applicable = gyre_one_seed_applicable,
    .estimate = estimate,
    .judge = judge,
};
