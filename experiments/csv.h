/* A table of another program: CSV with a line of column names, then rows.
 *
 *   field    anything without commas and quotes, blanks around it left out; or "text" with "" for a quote inside (RFC 4180), on one line
 *   number   decimal and finite
 *
 * Lines end in LF or CRLF; empty lines at the end and a UTF-8 byte order mark are left out. Refused, with line and column: a row with more or fewer fields than there are names, an empty line
 * between others, a name that is there twice or empty, a quote that does not end, a zero byte. What it is not: for other separators or decimal commas.
 */
#ifndef GYRE_EXPERIMENTS_CSV_H
#define GYRE_EXPERIMENTS_CSV_H

#include <stddef.h>

#include "core/status.h"

typedef struct gyre_csv {
    const char *path;
    size_t n_columns, n_rows;
    const char **names;
    const char **fields; /* [row][column] */
    size_t *lines;       /* of each row, from 1 */
    char *text;          /* what names and fields point into */
} gyre_csv;

/* path outlives the table. *out is zeroed first and freed by gyre_csv_free in every case. GYRE_E_INPUT, GYRE_E_IO. */
gyre_status gyre_csv_read(const char *path, gyre_csv *out, gyre_error *err);
void gyre_csv_free(gyre_csv *csv);

/* Index of a column, or n_columns. */
size_t gyre_csv_find(const gyre_csv *csv, const char *name);

/* The numbers of a column, a row each; freed by the caller. GYRE_E_INPUT with line and column for anything else. */
gyre_status gyre_csv_numbers(const gyre_csv *csv, size_t column, double **out, gyre_error *err);

/* GYRE_E_INPUT at the field: "file.csv, line 3, column 2 (against): " and what is wrong with it. */
gyre_status gyre_csv_fault(const gyre_csv *csv, size_t row, size_t column, gyre_error *err, const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
