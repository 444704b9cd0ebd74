/* The merged results file: everything that reports and figures need, and nothing they do not. Layout: schema.c, docs/results-schema.md.
 *
 * Texts and numbers go out and come back unchanged, NaN included. Two tables with equal content give files that are equal outside /timing and
 * /provenance, and equal byte for byte where those are equal too. Opening checks the file's seal, the schema's version and the stored digest, so that
 * a flipped bit in a text, which HDF5 does not checksum, is not read for a result.
 *
 * What it is not: a place to append to. A results file is written once, whole, from a table.
 */
#ifndef GYRE_RESULTS_RESULTS_FILE_H
#define GYRE_RESULTS_RESULTS_FILE_H

#include "core/log.h"
#include "core/status.h"
#include "results/provenance.h"
#include "results/table.h"

/* Writes `path` through a commit; before the file gets its name it is read back and counted. The table is not changed. */
gyre_status gyre_results_write(const char *path, const gyre_table *table, const gyre_provenance *provenance, gyre_error *err);

/* Reads a results file into a new table (freed with gyre_table_free); provenance may be NULL. Warnings go to the log, which may be NULL.
 * GYRE_E_INPUT for a file that is foreign, damaged, incomplete or of another MAJOR version. */
gyre_status gyre_results_read(const char *path, gyre_table **out, gyre_provenance *provenance, gyre_log *log, gyre_error *err);

#endif
