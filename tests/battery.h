/* The command line of a conformance battery: [--short | --least] [NAME ...]. Without names it is the whole registry, and only that leaves a table behind. */
#ifndef GYRE_TESTS_BATTERY_H
#define GYRE_TESTS_BATTERY_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { BATTERY_NAMES_MOST = 64 };

typedef struct {
    bool shortened, least; /* least: fewer still, and shortened too */
    size_t n;
    struct {
        const char *name;
        bool known;
    } asked[BATTERY_NAMES_MOST];
} battery_line;

static inline battery_line battery_asked(int argc, char **argv)
{
    battery_line line = {0};
    for (int i = 1; i < argc && line.n < BATTERY_NAMES_MOST; i++)
        if (strcmp(argv[i], "--short") == 0)
            line.shortened = true;
        else if (strcmp(argv[i], "--least") == 0)
            line.shortened = line.least = true;
        else
            line.asked[line.n++].name = argv[i];
    return line;
}

/* Is this subject to be tested? */
static inline bool battery_wants(battery_line *line, const char *name)
{
    bool wanted = line->n == 0;
    for (size_t i = 0; i < line->n; i++)
        if (strcmp(line->asked[i].name, name) == 0)
            wanted = line->asked[i].known = true;
    return wanted;
}

/* A name that no subject has is a mistake, not an empty battery. */
static inline bool battery_knows_all(const battery_line *line, const char *family)
{
    bool all = true;
    for (size_t i = 0; i < line->n; i++)
        if (!line->asked[i].known) {
            (void)fprintf(stderr, "%s: no such %s: see gyre list %ss\n", line->asked[i].name, family, family);
            all = false;
        }
    return all;
}

#endif
