/* Verify: is this file what it claims to be? Every fault is listed, not only the first.
 *
 * The kind is recognised by the root attribute `schema`: a results file is held against the schema table (objects, types, shapes, scales, attributes,
 * checksums, words, stored digest, nothing unknown), a cell file against its own digest and name, a capture is opened, read in full and digested.
 *
 * What it is not: a judgement of the science in it. A file may be sound and its experiment a bad one.
 */
#ifndef GYRE_RESULTS_VERIFY_H
#define GYRE_RESULTS_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/sha256.h"
#include "core/status.h"

typedef struct gyre_verification {
    const char *kind;    /* "results", "cell", "capture" */
    size_t n_faults, n_warnings;
    char **faults;       /* one sentence each */
    char **warnings;     /* paths of objects that only a newer MINOR version knows */
    size_t n_tokens;     /* scored tokens of a cell file; 0 elsewhere */
    char digest[GYRE_SHA256_HEX]; /* "" where the content cannot be walked */
} gyre_verification;

/* GYRE_OK also where faults were found; errors are for files that cannot be opened, or are no file of Gyre's. Freed in every case. */
gyre_status gyre_verify(const char *path, gyre_verification *out, gyre_error *err);
void gyre_verification_free(gyre_verification *v);

/* The scientific digest alone, of any of the three kinds. */
gyre_status gyre_verify_digest(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err);

#endif
