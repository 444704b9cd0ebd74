/* The registry of tests and the checks that all of them share.
 *
 * Degenerate: max d - min d <= 8 epsilon max |d|, that is, all differences are one number but for the rounding of the subtraction that made them.
 * (They need not be bit-equal: 0.3 - 0.2 and 0.2 - 0.1 are not.) It is a statement about the numbers handed in; a spread that is small for a
 * scientific reason is not degenerate.
 */
#include "stats/stats.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <gsl/gsl_statistics_double.h>

#include "stats/verdict.h"

const gyre_test_type *const gyre_tests[] = {
#define GYRE_TEST_ROW(name) &gyre_test_##name,
    GYRE_TEST_LIST(GYRE_TEST_ROW)
#undef GYRE_TEST_ROW
    NULL,
};

const gyre_test_type *gyre_test_find(const char *name)
{
    for (size_t i = 0; gyre_tests[i] != NULL; i++)
        if (strcmp(gyre_tests[i]->name, name) == 0)
            return gyre_tests[i];
    return NULL;
}

const gyre_test_type *gyre_test_default(size_t seeds, size_t documents)
{
    (void)documents; /* the number of documents decides whether a test applies, not which */
    return seeds == 1 ? &gyre_test_paired_t : &gyre_test_crossed;
}

bool gyre_is_constant(const double *x, size_t n)
{
    double lo, hi;
    gsl_stats_minmax(&lo, &hi, x, 1, n);
    return hi - lo <= 8.0 * DBL_EPSILON * fmax(fabs(lo), fabs(hi));
}

gyre_status gyre_estimate_begin(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char why[GYRE_TEST_WHY];
    *out = (gyre_estimate){ NAN, NAN, NAN, NAN, NAN, NAN, false };
    if (!type->applicable(seeds, documents, why, sizeof why))
        GYRE_FAIL(GYRE_E_APPLICABLE, "test %s: %s", type->name, why);
    size_t n = seeds * documents;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(d[i]))
            GYRE_FAIL(GYRE_E_NAN, "difference of seed %zu, document %zu is %g: look at the metric of that cell", i / documents, i % documents, d[i]);
    out->mean = gsl_stats_mean(d, 1, n);
    if (!isfinite(out->mean))
        GYRE_FAIL(GYRE_E_RANGE, "mean of %zu differences overflows: rescale the metric", n);
    out->degenerate = gyre_is_constant(d, n);
    if (out->degenerate)
        out->se = 0.0;
done:
    return st;
}

bool gyre_one_seed_applicable(size_t seeds, size_t documents, char *why, size_t why_size)
{
    if (seeds != 1) {
        (void)snprintf(why, why_size, "it takes one difference a document, here are %zu seeds: use crossed or crossed_bootstrap", seeds);
        return false;
    }
    if (documents < 2) {
        (void)snprintf(why, why_size, "%zu document(s) have no spread: evaluate at least 2", documents);
        return false;
    }
    return true;
}

static gyre_status check_variance(double variance, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (!isfinite(variance) || variance < DBL_MIN)
        GYRE_FAIL(GYRE_E_RANGE, "a squared standard deviation or error of %g leaves the range of double: rescale the metric", variance);
done:
    return st;
}

gyre_status gyre_one_seed_estimate(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_estimate_begin(type, d, seeds, documents, out, err));
    double variance = out->degenerate ? 0.0 : gsl_stats_variance_m(d, 1, documents, out->mean);
    if (!out->degenerate)
        GYRE_TRY(check_variance(variance, err));
    out->sd_document = sqrt(variance);
done:
    return st;
}

gyre_status gyre_estimate_end(double variance, double df, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check_variance(variance, err));
    if (!isfinite(df) || df <= 0.0)
        GYRE_FAIL(GYRE_E_RANGE, "%g degrees of freedom: rescale the metric", df);
    out->se = sqrt(variance);
    out->df = df;
done:
    return st;
}

gyre_status gyre_test_judge(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed,
                            gyre_estimate *estimate, gyre_judgement *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (type->judge != NULL) {
        GYRE_TRY(type->judge(d, seeds, documents, margin, alpha, seed, estimate, out, err));
        goto done;
    }
    GYRE_TRY(type->estimate(d, seeds, documents, estimate, err));
    GYRE_TRY(gyre_judge(estimate, margin, alpha, out, err));
done:
    return st;
}
