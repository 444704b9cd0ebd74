/* Tests of a difference between two arms: the contract and the registry.
 *
 * A sample is a balanced matrix d[S][D], row-major: d[s * D + j] is the difference (arm minus reference) of sign seed s on document j, already
 * averaged over layers and heads. S = 1 when neither arm is seeded. Documents and seeds are the only units; tokens, layers and heads never count.
 *
 * A test turns a sample into an estimate: mean, standard error and degrees of freedom such that (mean - truth) / se follows Student's t with df.
 * Everything after that (p values, intervals, equivalence, verdict) is the same for all tests: stats/verdict.h. Many comparisons: stats/holm.h.
 *
 * To add a test: one file with a const gyre_test_type named gyre_test_NAME, and one line in GYRE_TEST_LIST.
 *
 * What it is not: no unbalanced samples, no missing cells, no ranks, no bootstrap. GSL's error handler must be off (main does it).
 */
#ifndef GYRE_STATS_STATS_H
#define GYRE_STATS_STATS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

#define GYRE_TEST_LIST(X)                                                                                                      \
    X(paired_t)                                                                                                                \
    X(crossed)

typedef struct gyre_estimate {
    double mean;        /* of all S * D differences */
    double se;          /* standard error of the mean; 0 where degenerate */
    double df;          /* degrees of freedom of se; NaN where degenerate */
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

/* For implementations, the first thing estimate() does: refuses shapes and values as said above, then fills out with the mean and `degenerate`;
 * the rest is NaN, but se = 0 where degenerate. */
gyre_status gyre_estimate_begin(const gyre_test_type *type, const double *d, size_t seeds, size_t documents, gyre_estimate *out, gyre_error *err);

/* For implementations, the last thing where not degenerate: out->se = sqrt(variance) and out->df = df, refused unless positive and finite. */
gyre_status gyre_estimate_end(double variance, double df, gyre_estimate *out, gyre_error *err);

#endif
