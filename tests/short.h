/* `--short` of a test: the same code with fewer repetitions, for builds that are slow (sanitizers). Release runs it whole. */
#ifndef GYRE_TESTS_SHORT_H
#define GYRE_TESTS_SHORT_H

#include <stdbool.h>
#include <string.h>

static inline bool asked_short(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--short") == 0)
            return true;
    return false;
}

#endif
