#include "stats/caution.h"

#include <math.h>

#include "stats/resample.h"

enum { ENOUGH = 30 };

double gyre_test_least_p(const gyre_test_type *test, size_t documents)
{
    const double drawn = 2.0 / (GYRE_RESAMPLES + 1.0), all = documents < 1024 ? ldexp(2.0, -(int)documents) : 0.0;
    if (test == &gyre_test_wilcoxon || test == &gyre_test_sign)
        return all;
    if (test == &gyre_test_sign_flip)
        return documents <= GYRE_FLIPS_EXACT ? all : drawn;
    return test == &gyre_test_bootstrap || test == &gyre_test_bca || test == &gyre_test_crossed_bootstrap ? drawn : 0.0;
}

const char *gyre_test_caution(const gyre_test_type *test, size_t seeds, size_t documents)
{
    if (gyre_test_least_p(test, documents) >= 0.05)
        return "unable to tell arms apart at 0.05 below 6 documents";
    if ((test == &gyre_test_bootstrap || test == &gyre_test_bca) && documents < ENOUGH)
        return "too liberal below 30 documents";
    if (test == &gyre_test_crossed_bootstrap && (seeds < ENOUGH || documents < ENOUGH))
        return "too liberal below 30 seeds or 30 documents";
    return "";
}
