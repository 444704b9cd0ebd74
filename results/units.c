#include "results/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char OK[] = "OK", SKIPPED[] = "SKIPPED", INCOMPLETE[] = "INCOMPLETE", DEGENERATE[] = "DEGENERATE";

/* ---- the cells of an arm ---- */

bool gyre_point_part_within(const char *own, size_t n, const char *point)
{
    for (const char *p = own; p < own + n;) {
        size_t length = strcspn(p, ","), at = 0;
        bool found = false;
        length = length < (size_t)(own + n - p) ? length : (size_t)(own + n - p);
        while (!found && point[at] != '\0') {
            size_t m = strcspn(point + at, ",");
            found = m == length && memcmp(point + at, p, m) == 0;
            at += m + (point[at + m] == ',');
        }
        if (!found)
            return false;
        p += length + (p + length < own + n);
    }
    return true;
}

bool gyre_point_within(const char *own, const char *point)
{
    return gyre_point_part_within(own, strlen(own), point);
}

static bool belongs(const gyre_cell *cell, size_t source, const char *arm, const char *point)
{
    return cell->source == source && strcmp(cell->arm, arm) == 0 && gyre_point_within(cell->point, point);
}

static size_t layer_place(const gyre_source *source, uint32_t layer)
{
    size_t place = 0;
    while (place < source->n_layers && source->layers[place] != layer)
        place++;
    return place;
}

/* The arm's cells as a grid [layer or block][seed]; absent ones are NULL. */
static gyre_status collect(const gyre_table *table, size_t source, const char *arm, const char *point, gyre_arm_units *out, const gyre_cell ***grid,
                           gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &table->sources[source];
    out->n_layers = s->kind == GYRE_SOURCE_MODEL ? 1 : s->n_layers;
    out->n_documents = gyre_n_units(s);
    out->n_seeds = 1;
    for (size_t i = 0; i < table->n_cells; i++)
        if (belongs(&table->cells[i], source, arm, point) && table->cells[i].seeded)
            out->seeded = true;
    if (out->seeded)
        out->n_seeds = table->n_seeds;
    GYRE_NEW(grid, s->n_layers * out->n_seeds);
    for (size_t i = 0; i < table->n_cells; i++) {
        const gyre_cell *c = &table->cells[i];
        if (!belongs(c, source, arm, point))
            continue;
        size_t layer = layer_place(s, c->layer);
        if (layer == s->n_layers || c->seed >= out->n_seeds || (*grid)[layer * out->n_seeds + c->seed] != NULL)
            GYRE_FAIL(GYRE_E_INTERNAL, "cell of %s at %s %u, seed %u is outside the plan or there twice", arm, gyre_layer_word(s), c->layer, c->seed);
        (*grid)[layer * out->n_seeds + c->seed] = c;
    }
done:
    return st;
}

/* What keeps the arm from being compared: a skipped cell before a missing one, since the former stays. */
static gyre_status check_grid(gyre_table *table, const gyre_source *source, const char *arm, const char *point, const gyre_cell *const *grid, gyre_arm_units *out,
                              gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell *skipped = NULL, *failed = NULL;
    size_t n = source->n_layers * out->n_seeds, missing = 0;
    for (size_t i = n; i-- > 0;) {
        if (grid[i] == NULL || grid[i]->status == GYRE_CELL_MISSING)
            missing++;
        else if (grid[i]->status == GYRE_CELL_SKIPPED)
            skipped = grid[i];
        else if (grid[i]->status == GYRE_CELL_FAILED)
            failed = grid[i];
    }
    out->status = skipped != NULL ? SKIPPED : failed != NULL || missing > 0 || n == 0 ? INCOMPLETE : OK;
    const gyre_cell *cause = skipped != NULL ? skipped : failed;
    const char *at = point[0] != '\0' ? " at " : "";
    if (cause != NULL)
        GYRE_TRY(gyre_table_printf(table, &out->reason, err, "%s%s%s, %s %u: %s", arm, at, point, gyre_layer_word(source), cause->layer, cause->reason));
    else if (out->status == INCOMPLETE)
        GYRE_TRY(gyre_table_printf(table, &out->reason, err, "%zu of %zu cells of %s%s%s are missing", missing, n, arm, at, point));
done:
    return st;
}

/* ---- units ---- */

/* Mean over heads of f(metric) of a document of the cell; a value without a logarithm, or none at all, makes the arm DEGENERATE. */
static gyre_status unit_mean(gyre_table *table, const gyre_cell *cell, size_t metric, size_t document, bool logarithm, gyre_arm_units *out,
                             double *mean, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double sum = 0.0;
    for (size_t h = 0; h < cell->n_heads; h++) {
        double x = gyre_cell_value(cell, metric, document, h);
        if (isfinite(x) && (!logarithm || x > 0.0)) {
            sum += logarithm ? log(x) : x;
            continue;
        }
        const char *why = !isfinite(x) ? "it does not apply to this arm or overflowed" : "a ratio needs positive values: compare with {abs: ...}";
        const gyre_source *s = &table->sources[cell->source];
        const char *name = s->documents[cell->first_document + document];
        out->status = DEGENERATE;
        if (s->kind == GYRE_SOURCE_MODEL)
            GYRE_TRY(gyre_table_printf(table, &out->reason, err, "%s of %s is %g in chunk %s, seed %u: %s", table->metrics[metric], cell->arm, x, name, cell->seed, why));
        else
            GYRE_TRY(gyre_table_printf(table, &out->reason, err, "%s of %s is %g at layer %u, document %s, head %zu, seed %u: %s", table->metrics[metric], cell->arm, x, cell->layer, name, h,
                                 cell->seed, why));
        goto done;
    }
    *mean = sum / (double)cell->n_heads;
done:
    return st;
}

/* Of a model source: values of one seed, from the cells of all blocks, grid[block * n_seeds]. count[unit]: room, the chunks of each unit. */
static gyre_status fill_seed(gyre_table *table, const gyre_source *s, size_t metric, bool logarithm, const gyre_cell *const *grid, double *values, size_t *count, gyre_arm_units *out,
                             gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t chunks = 0;
    memset(count, 0, out->n_documents * sizeof *count);
    for (size_t b = 0; b < s->n_layers; b++) {
        const gyre_cell *c = grid[b * out->n_seeds];
        if (c->first_document != chunks || c->n_documents > s->n_documents - chunks)
            GYRE_FAIL(GYRE_E_INTERNAL, "block %u of %s has chunks %zu to %zu, the block before ends at %zu", c->layer, c->arm, c->first_document, c->first_document + c->n_documents, chunks);
        for (size_t j = 0; j < c->n_documents && out->status == OK; j++) {
            size_t unit = s->n_texts > 1 ? s->text_of[chunks + j] : chunks + j;
            double x = 0.0;
            GYRE_TRY(unit_mean(table, c, metric, j, logarithm, out, &x, err));
            values[unit] += x;
            count[unit]++;
        }
        chunks += c->n_documents;
    }
    for (size_t u = 0; u < out->n_documents && out->status == OK; u++) {
        if (count[u] == 0)
            GYRE_FAIL(GYRE_E_INTERNAL, "%s %zu of %s has no chunk", gyre_unit_word(s), u, s->name);
        values[u] /= (double)count[u];
    }
done:
    return st;
}

static gyre_status fill_blocks(gyre_table *table, const gyre_source *s, size_t metric, bool logarithm, const gyre_cell *const *grid, gyre_arm_units *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t *count = NULL, n = s->n_layers * out->n_seeds;
    double bits = 0.0, chunks = 0.0;
    GYRE_NEW(&count, out->n_documents);
    GYRE_TRY(gyre_table_keep(table, out->n_seeds * out->n_documents, sizeof *out->values, &out->values, err));
    for (size_t seed = 0; seed < out->n_seeds && out->status == OK; seed++)
        GYRE_TRY(fill_seed(table, s, metric, logarithm, grid + seed, out->values + seed * out->n_documents, count, out, err));
    for (size_t i = 0; i < n; i++) {
        chunks += (double)grid[i]->n_documents; /* the last block may have fewer */
        bits += (grid[i]->total_bits - bits) * (double)grid[i]->n_documents / chunks;
    }
    out->total_bits = bits;
    if (out->status != OK)
        out->values = NULL;
done:
    free(count);
    return st;
}

static gyre_status fill_units(gyre_table *table, size_t metric, bool logarithm, const gyre_cell *const *grid, gyre_arm_units *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = out->n_layers * out->n_seeds;
    double bits = 0.0;
    GYRE_TRY(gyre_table_keep(table, n * out->n_documents, sizeof *out->values, &out->values, err));
    for (size_t i = 0; i < n; i++) {
        if (grid[i]->n_documents != out->n_documents)
            GYRE_FAIL(GYRE_E_INTERNAL, "cell of %s at layer %u has %zu documents, its source %zu", grid[i]->arm, grid[i]->layer, grid[i]->n_documents,
                      out->n_documents);
        for (size_t j = 0; j < out->n_documents && out->status == OK; j++)
            GYRE_TRY(unit_mean(table, grid[i], metric, j, logarithm, out, &out->values[i * out->n_documents + j], err));
        bits += grid[i]->total_bits;
    }
    out->total_bits = bits / (double)n;
    if (out->status != OK)
        out->values = NULL;
done:
    return st;
}

gyre_status gyre_arm_units_get(gyre_table *table, size_t source, const char *arm, const char *point, size_t metric, bool logarithm,
                               gyre_arm_units *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &table->sources[source];
    const gyre_cell **grid = NULL;
    *out = (gyre_arm_units){ .status = OK, .reason = "", .total_bits = (double)NAN };
    GYRE_TRY(collect(table, source, arm, point, out, &grid, err));
    GYRE_TRY(check_grid(table, s, arm, point, grid, out, err));
    if (out->status == OK && s->kind == GYRE_SOURCE_MODEL)
        GYRE_TRY(fill_blocks(table, s, metric, logarithm, grid, out, err));
    else if (out->status == OK)
        GYRE_TRY(fill_units(table, metric, logarithm, grid, out, err));
done:
    free(grid);
    return st;
}
