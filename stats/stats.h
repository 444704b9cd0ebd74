/* Tests of a difference between two arms: the contract and the registry.
 *
 * A sample is a balanced matrix d[S][D], row-major: d[s * D + j] is the difference (arm minus reference) of sign seed s on document j, already
 * averaged over layers and heads. S = 1 when neither arm is seeded. Documents and seeds are the only units; tokens, layers and heads never count.
 *
 * A test turns a sample into an estimate and a judgement (stats/verdict.h). The t tests give a mean, a standard error and degrees of freedom such that
 * (mean - truth) / se follows Student's t with df, and all else follows from these; the others (ranks, signs, resampling) judge the sample themselves.
 * Many comparisons: stats/multiplicity.h.
 *
 * To add a test: one file with a const gyre_test_type named gyre_test_NAME, and one line in GYRE_TEST_LIST.
 *
 * What it is not: no unbalanced samples, no missing cells. GSL's error handler must be off (main does it).
 */
#ifndef GYRE_STATS_STATS_H
#define GYRE_STATS_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#define GYRE_TEST_LIST(X)                                                                                                      \
    X(paired_t)                                                                                                                \
    X(crossed)                                                                                                                 \
    X(wilcoxon)                                                                                                                \
    X(sign)                                                                                                                    \
    X(sign_flip)                                                                                                               \
    X(bootstrap)                                                                                                               \
    X(bca)                                                                                                                     \
    X(crossed_bootstrap)

/* Both in stats/verdict.h. */
typedef struct gyre_margin gyre_margin;
typedef struct gyre_judgement gyre_judgement;

typedef struct gyre_estimate {
    double mean;        /* of all S * D differences; wilcoxon: the Hodges-Lehmann pseudo-median; sign: the median */
    double se;          /* standard error of the mean; 0 where degenerate; NaN where the test has none */
    double df;          /* degrees of freedom of se; NaN where degenerate or where the test has none */
    double sd_seed;     /* components of the spread of one difference; NaN where the test has no such component */
    double sd_document;
    double sd_residual;
    bool degenerate;    /* all differences are the same number: no spread, hence no t, no p value and no interval */
} gyre_estimate;

typedef struct gyre_test_type {
    const char *name;
    const char *summary; /* one line */
    const char *source;  /* where the formula comes from */
    /* False where the test says nothing about a sample of this shape; why (GYRE_TEST_WHY bytes are enough) gets the reason. */
    bool (*applicable)(size_t seeds, size_t documents, char *why, size_t why_size);
    /* GYRE_E_APPLICABLE for a shape that applicable() refuses, GYRE_E_NAN for a difference that is not finite, GYRE_E_RANGE where a square
     * over- or underflows. */
    gyre_status (*estimate)(const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err);
    /* NULL: estimate() and Student's t. Else as gyre_test_judge; what it finds wrong with a sample is what estimate() does. */
    gyre_status (*judge)(const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed, gyre_estimate *estimate,
                         gyre_judgement *out, gyre_error *err);
} gyre_test_type;

enum { GYRE_TEST_WHY = 256 };

#define GYRE_TEST_DECLARE(name) extern const gyre_test_type gyre_test_##name;
GYRE_TEST_LIST(GYRE_TEST_DECLARE)
#undef GYRE_TEST_DECLARE

/* All tests, in the order of the list, then NULL. */
extern const gyre_test_type *const gyre_tests[];

/* By name, or NULL. */
const gyre_test_type *gyre_test_find(const char *name);

/* The test for a sample of this shape: paired_t where S = 1, else crossed. It may still be not applicable (one document). */
const gyre_test_type *gyre_test_default(size_t seeds, size_t documents);

/* Estimate and judgement of a sample, the whole of a test. seed: key of the resampling stream (stats/resample.h); the same seed gives the same bits, and tests that
 * do not resample ignore it. A degenerate sample is GYRE_OK with a judgement of NaNs. Errors: those of estimate() and of gyre_judge. */
gyre_status gyre_test_judge(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, const gyre_margin *margin, double alpha, uint64_t seed,
                            gyre_estimate *estimate, gyre_judgement *out, gyre_error *err);

/* For implementations, the first thing estimate() does: refuses shapes and values as said above, then fills out with the mean and `degenerate`;
 * the rest is NaN, but se = 0 where degenerate. */
gyre_status gyre_estimate_begin(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err);

/* For implementations: applicable() of the tests that take one difference a document, S = 1 and D >= 2. Averaging over seeds first would take the drawn seeds for all there are. */
bool gyre_one_seed_applicable(size_t seeds, size_t documents, char *why, size_t why_size);

/* For implementations: gyre_estimate_begin of a test that takes one difference a document, and sd_document; refused where its square leaves the range of double. */
gyre_status gyre_one_seed_estimate(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err);

/* Whether n numbers (at least 1) are one number but for the rounding of the subtraction that made them. */
bool gyre_is_constant(const double *x, size_t n);

/* For implementations, the last thing where not degenerate: out->se = sqrt(variance) and out->df = df, refused unless positive and finite. */
gyre_status gyre_estimate_end(double variance, double df, gyre_estimate *out, gyre_error *err);

#endif
