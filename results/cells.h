/* Cell files: one small HDF5 file per cell, `cells/<key>.h5` in a run folder; whole or absent, immutable once written.
 *
 *   /            attributes schema "gyre-cell", schema_version, key, status, reason, flags, metrics (names, comma list), content_sha256
 *   /values      float64 [metric, document, head], attributes payload_bits, side_bits, total_bits, read_bits; only where status is OK
 *   /fits        the columns of /fits of a results file (schema.c) but the place of the cell: what was learned or drawn (calibrate/fit.h); only where
 *                something was
 *   /tokens      float64 [token] nll, nll_change, kl, p_change, flip of the scored tokens, chunk after chunk (metrics/next_token.h); only of a model source
 *   /timing      attribute wall_s: the only thing in which the files of two equal computations differ
 *
 * The key names what determines the values and nothing else, so neither arm names nor grid points are in the file: two arms that resolve to the
 * same codecs share it. content_sha256 covers everything but /timing. The file ends in a seal (core/seal.h) and is held against it before HDF5
 * sees it.
 *
 * Reading believes nothing: a file that is damaged, foreign, of another schema, named by another key or shaped for another plan counts as not there,
 * and the runner computes the cell again. What it is not: a cache shared between configurations, or a place to look for results (merge makes that).
 */
#ifndef GYRE_RESULTS_CELLS_H
#define GYRE_RESULTS_CELLS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "results/fit_columns.h"
#include "results/table.h"

#define GYRE_CELL_SCHEMA "gyre-cell"
#define GYRE_CELL_VERSION "1.3.0"
enum { GYRE_CELL_BITS = 4 };

enum { GYRE_CELL_WHY = 512 };

/* mkdir -p of folder/cells. */
gyre_status gyre_cells_prepare(const char *folder, gyre_error *err);

/* True when a file of that name is there; says nothing about its content. */
bool gyre_cell_exists(const char *folder, const char *key);

/* Writes a cell whose status is OK, SKIPPED or FAILED through a commit, reading it back before it gets its name. table gives the metrics' names.
 * Threading: any number of threads, each its own cell. */
gyre_status gyre_cell_write(const char *folder, const gyre_table *table, const gyre_cell *cell, gyre_error *err);

/* Fills status, reason, flags, bits, values, fits, tokens and wall_s of a planned cell (key, n_documents and n_heads are set) from its file. *found is false where
 * there is no usable file; then the cell is untouched and why (GYRE_CELL_WHY bytes) says what is wrong with the file, "" where there is none.
 * Errors are for the lack of memory alone. Texts and values are kept by the table. Threading: as above. */
gyre_status gyre_cell_read(const char *folder, gyre_table *table, gyre_cell *cell, bool *found, char *why, gyre_error *err);

/* What a cell file says of itself, without a plan; for verify. The file is checked as above (shape against its own dataset). */
typedef struct gyre_cell_file {
    char *key, *status, *reason, *flags, *metrics;
    size_t n_metrics, n_documents, n_heads; /* 0 unless OK */
    double bits[GYRE_CELL_BITS];            /* payload, side, total, read; NaN unless OK */
    double *values;
    gyre_fit_columns fits;                  /* n_fits is 0 where there are none */
    size_t n_tokens;                        /* as many for each document; 0 where there are none */
    gyre_token *tokens;
    double wall_s;
    char digest[GYRE_SHA256_HEX];           /* of all but wall_s */
} gyre_cell_file;

/* GYRE_E_INPUT with the reason where the file cannot be used. *out is zeroed first and freed by gyre_cell_file_free in every case. */
gyre_status gyre_cell_file_read(const char *path, gyre_cell_file *out, gyre_error *err);
void gyre_cell_file_free(gyre_cell_file *file);

#endif
