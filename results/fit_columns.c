#include "results/fit_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

gyre_status gyre_fit_columns_new(size_t n_fits, size_t n_parameters, size_t n_points, gyre_fit_columns *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = (gyre_fit_columns){ .n_fits = n_fits, .n_parameters = n_parameters, .n_points = n_points };
    GYRE_NEW(&out->rows, n_fits);
    GYRE_NEW(&out->parameters, n_parameters);
    GYRE_NEW(&out->points, n_points);
done:
    return st;
}

void gyre_fit_columns_free(gyre_fit_columns *c)
{
    free(c->rows);
    free(c->parameters);
    free(c->points);
    *c = (gyre_fit_columns){0};
}

/* ---- which cells share a key ---- */

typedef struct keyed {
    const char *key;
    size_t place;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

static int key_only(const void *a, const void *b)
{
    return strcmp(((const keyed *)a)->key, ((const keyed *)b)->key);
}

static gyre_status sort_keys(const gyre_table *table, keyed **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, table->n_cells);
    for (size_t i = 0; i < table->n_cells; i++)
        (*out)[i] = (keyed){ table->cells[i].key, i };
    if (table->n_cells > 0)
        qsort(*out, table->n_cells, sizeof **out, by_key);
done:
    return st;
}

/* ---- from fits to columns ---- */

static void count(const gyre_cell *cell, gyre_fit_columns *sizes)
{
    sizes->n_fits += cell->n_fits;
    for (size_t i = 0; i < cell->n_fits; i++) {
        sizes->n_parameters += cell->fits[i].n_parameters;
        sizes->n_points += cell->fits[i].n_points;
    }
}

static double plain_nan(double x)
{
    return isnan(x) ? (double)NAN : x; /* one NaN, not whichever sign the processor made */
}

/* Appends the fits of a cell; *at counts what is there. */
static void append(const gyre_cell *cell, size_t place, gyre_fit_columns *at, gyre_fit_columns *out)
{
    for (size_t i = 0; i < cell->n_fits; i++) {
        const gyre_fit *f = &cell->fits[i];
        out->rows[at->n_fits++] = (gyre_fit_row){ place, f->stream, f->pooled, f->head, f->draw, f->restart, f->step, f->n_parameters, f->freedom, f->n_points, at->n_parameters, at->n_points,
                                                  { plain_nan(f->start[0]), plain_nan(f->start[1]) }, { plain_nan(f->end[0]), plain_nan(f->end[1]) } };
        if (f->n_parameters > 0)
            memcpy(out->parameters + at->n_parameters, f->parameters, f->n_parameters * sizeof *f->parameters);
        at->n_parameters += f->n_parameters;
        for (size_t p = 0; p < f->n_points; p++)
            out->points[at->n_points++] = (gyre_fit_point){ { plain_nan(f->point[0][p]), plain_nan(f->point[1][p]) }, f->point_step[p] };
    }
}

gyre_status gyre_fit_columns_of_cell(const gyre_cell *cell, gyre_fit_columns *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fit_columns sizes = {0}, at = {0};
    count(cell, &sizes);
    GYRE_TRY(gyre_fit_columns_new(sizes.n_fits, sizes.n_parameters, sizes.n_points, out, err));
    append(cell, 0, &at, out);
done:
    return st;
}

gyre_status gyre_fit_columns_of_table(const gyre_table *table, gyre_fit_columns *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fit_columns sizes = {0}, at = {0};
    keyed *keys = NULL;
    bool *first = NULL; /* of the cells of its key that have fits */
    *out = (gyre_fit_columns){0};
    GYRE_TRY(sort_keys(table, &keys, err));
    GYRE_NEW(&first, table->n_cells);
    for (size_t i = 0, had = 0; i < table->n_cells; i++) {
        had = i > 0 && key_only(&keys[i], &keys[i - 1]) == 0 ? had : 0;
        first[keys[i].place] = had == 0 && table->cells[keys[i].place].n_fits > 0;
        had += first[keys[i].place];
    }
    for (size_t i = 0; i < table->n_cells; i++)
        if (first[i])
            count(&table->cells[i], &sizes);
    GYRE_TRY(gyre_fit_columns_new(sizes.n_fits, sizes.n_parameters, sizes.n_points, out, err));
    for (size_t i = 0; i < table->n_cells; i++)
        if (first[i])
            append(&table->cells[i], i, &at, out);
done:
    free(keys);
    free(first);
    return st;
}

/* ---- from columns to fits ---- */

static gyre_status check_points(const gyre_fit_columns *c, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_fit_row *r = &c->rows[i];
    for (size_t p = 1; p < r->n_points; p++)
        if (c->points[r->points_offset + p].step <= c->points[r->points_offset + p - 1].step)
            GYRE_FAIL(GYRE_E_INPUT, "the curve of fit %zu goes back at point %zu", i, p);
done:
    return st;
}

gyre_status gyre_fit_columns_check(const gyre_fit_columns *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t parameters = 0, points = 0;
    for (size_t i = 0; i < c->n_fits; i++) {
        const gyre_fit_row *r = &c->rows[i];
        if (i > 0 && r->cell < c->rows[i - 1].cell)
            GYRE_FAIL(GYRE_E_INPUT, "the fits are not in the order of their cells");
        if (r->parameters_offset != parameters || r->n_parameters > c->n_parameters - parameters)
            GYRE_FAIL(GYRE_E_INPUT, "fit %zu has %zu parameters at %zu, and there are %zu, of which %zu are taken", i, r->n_parameters, r->parameters_offset, c->n_parameters, parameters);
        if (r->points_offset != points || r->n_points > c->n_points - points)
            GYRE_FAIL(GYRE_E_INPUT, "fit %zu has %zu points at %zu, and there are %zu, of which %zu are taken", i, r->n_points, r->points_offset, c->n_points, points);
        GYRE_TRY(check_points(c, i, err));
        parameters += r->n_parameters;
        points += r->n_points;
    }
    if (parameters != c->n_parameters || points != c->n_points)
        GYRE_FAIL(GYRE_E_INPUT, "%zu parameters and %zu points belong to no fit", c->n_parameters - parameters, c->n_points - points);
    for (size_t i = 0; i < c->n_parameters; i++)
        if (!isfinite(c->parameters[i]))
            GYRE_FAIL(GYRE_E_INPUT, "parameter %zu is not a finite number", i);
done:
    return st;
}

static gyre_status keep_one(const gyre_fit_columns *c, const gyre_fit_row *r, gyre_table *table, gyre_fit *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = (gyre_fit){ .stream = r->stream, .pooled = r->pooled, .head = r->head, .draw = r->draw, .restart = r->restart, .step = r->step, .n_parameters = r->n_parameters,
                       .freedom = r->freedom, .n_points = r->n_points, .start = { r->start[0], r->start[1] }, .end = { r->end[0], r->end[1] } };
    GYRE_TRY(gyre_table_keep(table, r->n_parameters, sizeof *out->parameters, &out->parameters, err));
    GYRE_TRY(gyre_table_keep(table, r->n_points, sizeof *out->point_step, &out->point_step, err));
    GYRE_TRY(gyre_table_keep(table, r->n_points, sizeof *out->point[0], &out->point[0], err));
    GYRE_TRY(gyre_table_keep(table, r->n_points, sizeof *out->point[1], &out->point[1], err));
    if (r->n_parameters > 0)
        memcpy(out->parameters, c->parameters + r->parameters_offset, r->n_parameters * sizeof *out->parameters);
    for (size_t p = 0; p < r->n_points; p++) {
        const gyre_fit_point *from = &c->points[r->points_offset + p];
        out->point_step[p] = from->step;
        out->point[0][p] = from->value[0];
        out->point[1][p] = from->value[1];
    }
done:
    return st;
}

static gyre_status check_heads(const gyre_fit_columns *c, size_t first, size_t n, const gyre_cell *cell, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = first; i < first + n; i++)
        if (c->rows[i].head >= cell->n_heads)
            GYRE_FAIL(GYRE_E_INPUT, "fit %zu is of head %u, and its cell has %zu", i, c->rows[i].head, cell->n_heads);
done:
    return st;
}

gyre_status gyre_fit_columns_keep(const gyre_fit_columns *c, size_t first, size_t n, gyre_table *table, gyre_cell *cell, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fit *fits = NULL;
    GYRE_TRY(check_heads(c, first, n, cell, err));
    GYRE_TRY(gyre_table_keep(table, n, sizeof *fits, &fits, err));
    for (size_t i = 0; i < n; i++)
        GYRE_TRY(keep_one(c, &c->rows[first + i], table, &fits[i], err));
    cell->n_fits = n;
    cell->fits = fits;
done:
    return st;
}

/* Gives the fits of one cell to the others of its key. */
static gyre_status share(const gyre_fit_columns *c, size_t first, size_t n, gyre_table *table, const keyed *keys, size_t place, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell *cell = &table->cells[place];
    const keyed wanted = { cell->key, place }, *end = keys + table->n_cells, *at = bsearch(&wanted, keys, table->n_cells, sizeof *keys, by_key);
    while (at > keys && key_only(at - 1, &wanted) == 0)
        at--;
    for (; at < end && key_only(at, &wanted) == 0; at++) {
        gyre_cell *other = &table->cells[at->place];
        if (other == cell || other->status != GYRE_CELL_OK)
            continue;
        GYRE_TRY(check_heads(c, first, n, other, err));
        other->n_fits = cell->n_fits;
        other->fits = cell->fits;
    }
done:
    return st;
}

gyre_status gyre_fit_columns_give(const gyre_fit_columns *c, gyre_table *table, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    keyed *keys = NULL;
    GYRE_TRY(sort_keys(table, &keys, err));
    for (size_t first = 0, last; first < c->n_fits; first = last) {
        size_t place = c->rows[first].cell;
        for (last = first; last < c->n_fits && c->rows[last].cell == place; last++) {}
        if (place >= table->n_cells || table->cells[place].status != GYRE_CELL_OK || table->cells[place].n_fits > 0)
            GYRE_FAIL(GYRE_E_INPUT, "fit %zu is of cell %zu, which is no cell that has values and no fits yet", first, place);
        GYRE_TRY(gyre_fit_columns_keep(c, first, last - first, table, &table->cells[place], err));
        GYRE_TRY(share(c, first, last - first, table, keys, place, err));
    }
done:
    free(keys);
    return st;
}

/* ---- digest ---- */

void gyre_fit_columns_digest(const gyre_fit_columns *c, gyre_sha256 *h)
{
    const size_t counts[] = { c->n_fits, c->n_parameters, c->n_points };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        gyre_sha256_add_uint(h, counts[i]);
    for (size_t i = 0; i < c->n_fits; i++) {
        const gyre_fit_row *r = &c->rows[i];
        const uint64_t numbers[] = { (uint64_t)r->stream, r->pooled, r->head, r->draw, r->restart, r->step, r->n_parameters, r->freedom, r->n_points, r->parameters_offset, r->points_offset };
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            gyre_sha256_add_uint(h, numbers[k]);
        gyre_sha256_add(h, r->start, sizeof r->start);
        gyre_sha256_add(h, r->end, sizeof r->end);
    }
    gyre_sha256_add(h, c->parameters, c->n_parameters * sizeof *c->parameters);
    for (size_t i = 0; i < c->n_points; i++) {
        gyre_sha256_add_uint(h, c->points[i].step);
        gyre_sha256_add(h, c->points[i].value, sizeof c->points[i].value);
    }
}
