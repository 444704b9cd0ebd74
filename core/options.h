/* Option tables: a variant's parameters, declared once.
 *
 * One table drives YAML parsing, range checks, `gyre describe`, the canonical form that is hashed, and result columns. Values live in a plain
 * struct of the variant's own; `offset` says where. A table ends with a row whose key is NULL.
 *
 *   GYRE_OPTION_INT     int64_t; `choices` (optional) are words that stand for 0, -1, -2, ... (group: row)
 *   GYRE_OPTION_REAL    double, finite
 *   GYRE_OPTION_BOOL    bool
 *   GYRE_OPTION_CHOICE  int, index into `choices`
 *   GYRE_OPTION_FILE    gyre_option_file: a path, and the digest of the contents when it was parsed; canonical text holds the digest alone
 */
#ifndef GYRE_CORE_OPTIONS_H
#define GYRE_CORE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/sha256.h"
#include "core/status.h"

typedef enum gyre_option_type { GYRE_OPTION_INT, GYRE_OPTION_REAL, GYRE_OPTION_BOOL, GYRE_OPTION_CHOICE, GYRE_OPTION_FILE } gyre_option_type;

enum { GYRE_OPTION_PATH = 447 }; /* with its terminating zero */

typedef struct gyre_option_file {
    char sha256[GYRE_SHA256_HEX];
    char path[GYRE_OPTION_PATH];
} gyre_option_file;

typedef struct gyre_option {
    const char *key;
    gyre_option_type type;
    size_t offset;
    const char *fallback;       /* default, as written in YAML; NULL: required */
    double lo, hi;              /* inclusive bounds of numbers */
    const char *const *choices; /* NULL-terminated */
    const char *unit;           /* "" where none */
    const char *help;           /* one line */
} gyre_option;

enum { GYRE_OPTION_TEXT = 160, GYRE_CANONICAL_TEXT = 512 };

const gyre_option *gyre_option_find(const gyre_option *table, const char *key);

/* Parses `text` into values; why (GYRE_OPTION_TEXT bytes) gets the reason on false: "'4.5' is not an integer in [2, 8]". A file is read for its digest. */
bool gyre_option_parse(const gyre_option *option, void *values, const char *text, char *why);

/* All defaults; false when a required option has none (it is left zero). */
bool gyre_options_defaults(const gyre_option *table, void *values);

/* One value as canonical text. Reals print with 17 significant digits, files as sha256:HEX of their contents, so that keys follow the contents. */
void gyre_option_print(const gyre_option *option, const void *values, char *text, size_t size);

/* "key=value,key=value" in table order, every option present; "" for an empty table. */
void gyre_options_canonical(const gyre_option *table, const void *values, char *text, size_t size);

/* GYRE_E_INPUT when the contents are no longer those that were parsed. Whoever opens the file asks first. */
gyre_status gyre_option_file_check(const gyre_option_file *file, gyre_error *err);

/* The bounds as text: "integer in [2, 8]", "one of {f32, f16}", "a file", ... */
void gyre_option_domain(const gyre_option *option, char *text, size_t size);

/* The nearest name within Damerau-Levenshtein distance 2 (and less than the word's length), or NULL. names ends with NULL. */
const char *gyre_nearest(const char *word, const char *const *names);

/* Strict numbers in the C locale: the whole text, finite, no hexadecimal, no leading zeros on integers. */
bool gyre_parse_int(const char *text, int64_t *out);
bool gyre_parse_real(const char *text, double *out);

#endif
