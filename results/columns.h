/* Values of a table by the rows of the schema: what lets one loop write, read or tabulate every column.
 *
 * What it is not: a check. Rows and structs match because both come from schema.c.
 */
#ifndef GYRE_RESULTS_COLUMNS_H
#define GYRE_RESULTS_COLUMNS_H

#include <hdf5.h>
#include <stddef.h>

#include "results/fit_columns.h"
#include "results/provenance.h"
#include "results/schema.h"
#include "results/table.h"

/* The structs that a row's values lie in: one, or one per source, cell, comparison, fit, parameter, point, pass, canary or exact value. */
typedef struct gyre_items {
    char *base;
    size_t stride, count;
} gyre_items;

/* table NULL: of fits alone. */
gyre_items gyre_items_of(gyre_table *table, gyre_provenance *provenance, const gyre_fit_columns *fits, gyre_schema_owner owner);

/* Length of a dimension scale. */
size_t gyre_scale_length(const gyre_table *table, const gyre_fit_columns *fits, const char *scale);

/* Entries of a source in the list of that row: 0 for what its kind does not have. */
size_t gyre_list_length(const gyre_schema_row *row, const gyre_source *source);

/* Type on disk and type of the elements that get and put move; of numbers only. Borrowed from the library. */
hid_t gyre_column_file_type(gyre_schema_type type);
hid_t gyre_column_memory_type(gyre_schema_type type);
size_t gyre_column_size(gyre_schema_type type);

/* Number of item i as one element at `out`, and back. NaN is always the same NaN. */
void gyre_column_get(const gyre_schema_row *row, const gyre_items *items, size_t i, void *out);
void gyre_column_put(const gyre_schema_row *row, const gyre_items *items, size_t i, const void *in);

/* Number of item i as a double, whatever its type; NaN where it is a text. */
double gyre_column_number(const gyre_schema_row *row, const gyre_items *items, size_t i);

/* Text of item i; "" for NULL. */
const char *gyre_column_text(const gyre_schema_row *row, const gyre_table *table, const gyre_items *items, size_t i);

/* Sets the text of item i, kept by the table. GYRE_E_INPUT for an unknown status, kind or source, and for a digest that is no digest. */
gyre_status gyre_column_put_text(const gyre_schema_row *row, gyre_table *table, const gyre_items *items, size_t i, const char *text, gyre_error *err);

/* Is it a column of /fits that cell files have too? */
bool gyre_column_of_fits(const gyre_schema_row *row);

/* Writes / reads a whole column of an open file. The table may be NULL where texts are those of /fits. */
gyre_status gyre_column_write(hid_t file, const gyre_schema_row *row, const gyre_table *table, const gyre_items *items, gyre_error *err);
gyre_status gyre_column_read(hid_t file, const gyre_schema_row *row, gyre_table *table, const gyre_items *items, gyre_error *err);

#endif
