#include "stats/caution.h"

enum { ENOUGH = 30 };

const char *gyre_test_caution(const gyre_test_type *test, size_t seeds, size_t documents)
{
    if ((test == &gyre_test_bootstrap || test == &gyre_test_bca) && documents < ENOUGH)
        return "too liberal below 30 documents";
    if (test == &gyre_test_crossed_bootstrap && (seeds < ENOUGH || documents < ENOUGH))
        return "too liberal below 30 seeds or 30 documents";
    return "";
}
