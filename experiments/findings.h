/* What a desk has found, gathered before any of it is printed: names with numbers, intervals or words, in sections; as text for people or as one JSON object.
 *
 *   {"section": {"name": 1.5, "other": {"estimate": 1, "low": 0, "high": 2}, "word": "EQUIVALENT"}, ...}       a number that is not there is null
 */
#ifndef GYRE_EXPERIMENTS_FINDINGS_H
#define GYRE_EXPERIMENTS_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

typedef struct gyre_finding gyre_finding;

typedef struct gyre_findings {
    gyre_finding *list;
    size_t count, room;
    const char *section; /* of what is added next; outlives the findings */
    gyre_status st;      /* of the additions; memory alone */
} gyre_findings;

/* name: "p value"; note: a remark for people, "" for none. Both are copied. */
void gyre_found_number(gyre_findings *f, const char *name, double value, const char *note);
void gyre_found_interval(gyre_findings *f, const char *name, double estimate, double low, double high, const char *note);
void gyre_found_word(gyre_findings *f, const char *name, const char *word, const char *note);

/* To standard output; GYRE_E_MEMORY where something could not be added. */
gyre_status gyre_findings_print(const gyre_findings *f, bool json, gyre_error *err);
void gyre_findings_free(gyre_findings *f);

#endif
