/* Fits as columns: how cell files and the results file hold what calibration found (calibrate/fit.h).
 *
 * One row per fit. Parameters lie behind each other, fit after fit, in one array without padding, and so do the points of the curves; a row says where its own begin. The rows of a cell
 * are neighbours. In a results file, cells that share a key share their fits: they are there once, with the first of those cells. schema.c names the columns (/fits).
 *
 * Reading believes nothing: what gyre_fit_columns_check has passed tiles its arrays exactly, has finite parameters, and steps that grow along a curve.
 */
#ifndef GYRE_RESULTS_FIT_COLUMNS_H
#define GYRE_RESULTS_FIT_COLUMNS_H

#include "core/sha256.h"
#include "results/table.h"

typedef struct gyre_fit_row {
    size_t cell; /* place in the table; 0 in a cell file */
    gyre_stream stream;
    bool pooled;
    uint32_t head, draw, restart, step;
    size_t n_parameters, freedom, n_points;
    size_t parameters_offset, points_offset;
    double start[2], end[2];
} gyre_fit_row;

typedef struct gyre_fit_point {
    double value[2]; /* on calibration and on validation rows */
    uint32_t step;
} gyre_fit_point;

typedef struct gyre_fit_columns {
    size_t n_fits, n_parameters, n_points;
    gyre_fit_row *rows;
    float *parameters;
    gyre_fit_point *points;
} gyre_fit_columns;

/* Zeroed room, freed by gyre_fit_columns_free. */
gyre_status gyre_fit_columns_new(size_t n_fits, size_t n_parameters, size_t n_points, gyre_fit_columns *out, gyre_error *err);
void gyre_fit_columns_free(gyre_fit_columns *columns);

/* The fits of one cell / of all cells of a table, each key once. */
gyre_status gyre_fit_columns_of_cell(const gyre_cell *cell, gyre_fit_columns *out, gyre_error *err);
gyre_status gyre_fit_columns_of_table(const gyre_table *table, gyre_fit_columns *out, gyre_error *err);

/* GYRE_E_INPUT with the row that is wrong. */
gyre_status gyre_fit_columns_check(const gyre_fit_columns *columns, gyre_error *err);

/* Gives a cell `count` rows from `first` on, as fits kept by the table / gives every row to all cells of its key. The columns have been checked; GYRE_E_INPUT where a row does not fit its cell. */
gyre_status gyre_fit_columns_keep(const gyre_fit_columns *columns, size_t first, size_t count, gyre_table *table, gyre_cell *cell, gyre_error *err);
gyre_status gyre_fit_columns_give(const gyre_fit_columns *columns, gyre_table *table, gyre_error *err);

/* Adds everything but the place of the cell. */
void gyre_fit_columns_digest(const gyre_fit_columns *columns, gyre_sha256 *h);

#endif
