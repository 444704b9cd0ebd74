/* The scientific digest of a results file: SHA-256 over a canonical walk, groups and attributes in the order of their names.
 *
 * In: every group, dataset and attribute, with name, type, shape and values. Out: /provenance and /timing (they differ between runs that computed the
 * same), the root attribute content_sha256 (the digest itself) and DIMENSION_LIST and REFERENCE_LIST (addresses). So it does not depend on the
 * library's version, on filters or on where things lie in the file. What it is not: a hash of the file's bytes.
 */
#ifndef GYRE_RESULTS_DIGEST_H
#define GYRE_RESULTS_DIGEST_H

#include <hdf5.h>

#include "core/sha256.h"
#include "core/status.h"

/* Of an open file / of the file at path. GYRE_E_INPUT where an object cannot be read or is of a kind that the format does not have. */
gyre_status gyre_results_digest_of(hid_t file, char hex[GYRE_SHA256_HEX], gyre_error *err);
gyre_status gyre_results_digest(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err);

/* Recomputes the digest of an open file and holds it against the one stored in it. */
gyre_status gyre_results_digest_check(hid_t file, gyre_error *err);

#endif
