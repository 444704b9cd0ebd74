/* What null_campaigns measures: rows of its tables, and what each rate must be. */
#ifndef GYRE_TESTS_NULL_LEVELS_H
#define GYRE_TESTS_NULL_LEVELS_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/null_campaign.h"

typedef enum null_kind { NULL_EXACT, NULL_APPROXIMATE, NULL_AT_MOST, NULL_LIBERAL } null_kind;

typedef struct null_level {
    const char *test; /* NULL ends the list */
    null_design design; /* centre is null_centre() */
    null_kind kind;
    double two, one;  /* of NULL_LIBERAL: bounds of rejections and of EQUIVALENT at the margin */
    bool files;       /* some of its campaigns go through files too */
} null_level;

extern const null_level null_levels[];

/* What the test is about, where it is not the mean: the median or pseudo-median of the law. */
double null_centre(const char *test, null_law law);

typedef struct null_bounds {
    double two_lo, two_hi, one_lo, one_hi; /* of rejections, and of EQUIVALENT at the margin */
} null_bounds;

null_bounds null_level_bounds(const null_level *level);

typedef enum null_claim { NULL_FALSE_DIFFERS, NULL_FALSE_WITHIN, NULL_FALSE_SHARE } null_claim;

typedef struct null_family {
    const char *test, *correction, *goal;
    null_design design;
    null_claim what;
    size_t effects;    /* comparisons that do differ, the last ones */
    bool shared, other_family, exact;
} null_family;

extern const null_family null_families[];

/* What the family of m must give: a rate, or a bound where it is not exact. */
double null_family_rate(const null_family *family, size_t m);

typedef struct null_power {
    const char *goal;
    null_design design;
    double effect, margin; /* in standard errors; margin 0: two-sided */
} null_power;

extern const null_power null_powers[];

#endif
