#include "results/gains.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"

/* Heads of all layers before this one. */
static size_t heads_before(const gyre_source *s, size_t layer)
{
    size_t n = 0;
    for (size_t l = 0; l < layer; l++)
        n += s->n_heads[l];
    return n;
}

/* log(metric) as [layer and head][seed][document], of an arm whose units are OK: every cell is there and every value positive. */
static gyre_status head_logarithms(const gyre_table *table, size_t source, const char *arm, const char *point, size_t metric, const gyre_arm_units *units, double **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &table->sources[source];
    size_t seeds = units->n_seeds, documents = units->n_documents;
    GYRE_NEW(out, heads_before(s, s->n_layers) * seeds * documents);
    for (size_t i = 0; i < table->n_cells; i++) {
        const gyre_cell *c = &table->cells[i];
        size_t l = 0;
        if (c->source != source || strcmp(c->arm, arm) != 0 || !gyre_point_within(c->point, point))
            continue;
        while (l < s->n_layers && s->layers[l] != c->layer)
            l++;
        if (l == s->n_layers || c->n_heads != s->n_heads[l] || c->n_documents != documents || c->seed >= seeds)
            GYRE_FAIL(GYRE_E_INTERNAL, "cell of %s at layer %u, seed %u has another shape than its source", arm, c->layer, c->seed);
        for (size_t h = 0; h < c->n_heads; h++)
            for (size_t j = 0; j < documents; j++)
                (*out)[((heads_before(s, l) + h) * seeds + c->seed) * documents + j] = log(gyre_cell_value(c, metric, j, h));
    }
done:
    return st;
}

/* The units of one layer and head alone. */
static gyre_arm_units units_of_head(const gyre_arm_units *units, double *values, size_t head)
{
    gyre_arm_units one = *units;
    one.n_layers = 1;
    one.values = values + head * units->n_seeds * units->n_documents;
    return one;
}

static gyre_status fill(gyre_table *table, const gyre_source *s, const gyre_arm_units *arm, double *arm_values, const gyre_arm_units *against, double *against_values, double alpha,
                        gyre_gains *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const double two = log(2.0);
    GYRE_TRY(gyre_table_keep(table, heads_before(s, s->n_layers), sizeof *out->gains, &out->gains, err));
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t h = 0; h < s->n_heads[l]; h++) {
            const gyre_arm_units one = units_of_head(arm, arm_values, out->count), other = units_of_head(against, against_values, out->count);
            gyre_gain *g = &out->gains[out->count++];
            gyre_interval i;
            GYRE_TRY(gyre_paired_interval(&one, &other, alpha, &i, err));
            *g = (gyre_gain){ s->layers[l], l, h, { i.mean / two, i.lo / two, i.hi / two } };
        }
done:
    return st;
}

gyre_status gyre_gains_get(gyre_table *table, size_t source, const char *arm, const char *against, const char *point, size_t metric, double alpha, gyre_gains *out,
                           gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_arm_units one, other;
    double *one_values = NULL, *other_values = NULL;
    *out = (gyre_gains){ 0 };
    GYRE_TRY(gyre_arm_units_get(table, source, arm, point, metric, true, &one, err));
    GYRE_TRY(gyre_arm_units_get(table, source, against, point, metric, true, &other, err));
    const gyre_arm_units *bad = one.values == NULL ? &one : &other; /* the first that has no values, or one that has */
    out->status = bad->status;
    out->reason = bad->reason;
    out->n_seeds = one.n_seeds > other.n_seeds ? one.n_seeds : other.n_seeds;
    out->n_documents = one.n_documents;
    if (bad->values == NULL)
        goto done;
    GYRE_TRY(head_logarithms(table, source, arm, point, metric, &one, &one_values, err));
    GYRE_TRY(head_logarithms(table, source, against, point, metric, &other, &other_values, err));
    GYRE_TRY(fill(table, &table->sources[source], &one, one_values, &other, other_values, alpha, out, err));
done:
    free(one_values);
    free(other_values);
    return st;
}
