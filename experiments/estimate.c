#define _POSIX_C_SOURCE 200809L
#include "experiments/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "experiments/cell.h"
#include "experiments/pass.h"

enum { TIMED = 3 }; /* steps, points of the curve, draws */

/* What a fit of all heads of a layer costs, in seconds: the rest, a step or draw, a point of the curve. */
typedef struct cost {
    char key[GYRE_SHA256_HEX]; /* of what was timed; "" before */
    double once, step, point;
} cost;

typedef struct timing {
    const gyre_config *config;
    const gyre_plan *plan;
    const volatile sig_atomic_t *stop;
    cost *costs; /* [point][stream] */
    gyre_layer *layer;
    size_t source, layer_index; /* where it is from */
} timing;

/* The stream alone, with so many steps or draws. */
static gyre_arm shortened(const gyre_arm *arm, gyre_stream s, int64_t steps, int64_t every)
{
    gyre_arm one = *arm;
    gyre_fit_options *own = &one.fit[s].own;
    bool draws = gyre_arm_uses(arm, s) & GYRE_FIT_DRAWS;
    one.codes[1 - s] = false;
    own->restarts = 1;
    own->patience = 0;
    own->steps = draws ? own->steps : steps;
    own->draws = draws ? steps + 1 : own->draws; /* one draw is no choice */
    own->every = every;
    return one;
}

static gyre_status seconds_of(const timing *t, const gyre_arm *arm, gyre_stream s, int64_t steps, int64_t every, double *seconds, gyre_error *err)
{
    struct timespec t0, t1;
    gyre_arm one = shortened(arm, s, steps, every);
    gyre_cell_ask ask = {.arm = &one, .campaign_seed = t->config->campaign_seed, .stop = t->stop};
    (void)clock_gettime(CLOCK_MONOTONIC, &t0);
    gyre_status st = gyre_cell_fit(t->layer, &ask, 0, err);
    (void)clock_gettime(CLOCK_MONOTONIC, &t1);
    *seconds = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    return st;
}

/* One step with a point behind it; TIMED steps more without points between; the same with them. What the first pays for being the first is in `once`. */
static gyre_status measure(const timing *t, const gyre_arm *arm, gyre_stream s, cost *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double one, more, points;
    GYRE_TRY(seconds_of(t, arm, s, 1, 1, &one, err));
    GYRE_TRY(seconds_of(t, arm, s, 1 + TIMED, 1 + TIMED, &more, err));
    GYRE_TRY(seconds_of(t, arm, s, 1 + TIMED, 1, &points, err));
    c->step = fmax(0.0, more - one) / TIMED;
    c->point = fmax(0.0, points - more) / TIMED;
    c->once = fmax(0.0, one - c->step);
done:
    return st;
}

/* Fits that differ in the number of steps alone are timed once. */
static gyre_status cost_of(timing *t, size_t cell, gyre_stream s, const cost **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell *x = &t->plan->table->cells[cell];
    size_t point = t->plan->cell_point[cell], n = 2 * t->config->n_points;
    cost *own = &t->costs[2 * point + s];
    *out = own;
    if (own->key[0] != '\0')
        return GYRE_OK;
    char text[GYRE_ARM_TEXT];
    gyre_arm one = shortened(&t->config->points[point].arm, s, 1, 1);
    gyre_arm_canonical(&one, s, text, sizeof text);
    GYRE_TRY(gyre_sha256_bytes(text, strlen(text), own->key, err));
    for (size_t i = 0; i < n; i++)
        if (&t->costs[i] != own && i % 2 == (size_t)s && strcmp(t->costs[i].key, own->key) == 0) {
            *own = t->costs[i];
            return GYRE_OK;
        }
    if (t->layer == NULL || t->source != x->source || t->layer_index != t->plan->cell_layer[cell]) {
        const gyre_plan_source *source = &t->plan->sources[x->source];
        gyre_layer_free(t->layer);
        t->layer = NULL;
        t->source = x->source;
        t->layer_index = t->plan->cell_layer[cell];
        GYRE_TRY(gyre_layer_load(source->capture, source->layer_index[t->layer_index], &source->split, &t->layer, err));
    }
    GYRE_TRY(measure(t, &t->config->points[point].arm, s, own, err));
done:
    return st;
}

static double total(const cost *c, const gyre_fit_options *own, bool draws)
{
    double points = fmax(0.0, (double)(own->steps / own->every) - 1.0);
    return draws ? c->once + (double)(own->draws - 1) * c->step : (double)own->restarts * (c->once + (double)own->steps * c->step + points * c->point);
}

static gyre_status add_cell(timing *t, size_t cell, gyre_estimate *e, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_arm *arm = &t->config->points[t->plan->cell_point[cell]].arm;
    gyre_plan_fits fits = gyre_plan_count_fits(arm, t->plan->table->cells[cell].n_heads);
    e->fits += fits.fits;
    e->steps += fits.steps;
    for (int s = 0; s < 2 && fits.fits > 0 && e->why[0] == '\0'; s++) {
        const cost *c;
        unsigned uses = gyre_arm_uses(arm, (gyre_stream)s);
        if (!(uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)) || arm->fitted[s].selector != NULL)
            continue;
        st = cost_of(t, cell, (gyre_stream)s, &c, err);
        if (st == GYRE_E_RANGE || st == GYRE_E_INPUT || st == GYRE_E_APPLICABLE) { /* the cell will say so too; the plan goes on */
            (void)snprintf(e->why, sizeof e->why, "%.250s", err->message);
            e->seconds = (double)NAN;
            return GYRE_OK;
        }
        GYRE_TRY(st);
        e->seconds += total(c, &arm->fit[s].own, uses & GYRE_FIT_DRAWS);
    }
done:
    return st;
}

gyre_status gyre_plan_estimate(const gyre_config *config, const gyre_plan *plan, const volatile sig_atomic_t *stop, gyre_estimate *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    timing t = {.config = config, .plan = plan, .stop = stop};
    *out = (gyre_estimate){0};
    GYRE_NEW(&t.costs, 2 * config->n_points);
    for (size_t i = 0; i < plan->table->n_cells; i++) {
        const gyre_cell *cell = &plan->table->cells[i];
        if (i > 0 && cell->source != plan->table->cells[i - 1].source) /* another source, other shapes */
            memset(t.costs, 0, 2 * config->n_points * sizeof *t.costs);
        if (cell->status != GYRE_CELL_SKIPPED && plan->sources[cell->source].model == NULL) /* in a model nothing is learned */
            GYRE_TRY(add_cell(&t, i, out, err));
    }
done:
    gyre_layer_free(t.layer);
    free(t.costs);
    return st;
}

/* ---- models ---- */

enum { BATCHES = 64 };

/* Tokens at a time that the graph gets for this arm, whose layers may be other arms'; 0: all. */
static size_t batch_of(const gyre_config *c, const gyre_arm *whole, size_t n_layers)
{
    size_t batch = 0;
    for (size_t l = 0; l < n_layers; l++) {
        const gyre_arm *arm = gyre_arm_at(c, whole, (uint32_t)l);
        for (int s = 0; s < 2; s++) {
            size_t window = arm->codes[s] ? (size_t)arm->codec[s].own.window : 0;
            if (window > 0 && (batch == 0 || window < batch))
                batch = window;
        }
    }
    return batch;
}

/* Chunks of one source by kind: [0] the exact runs, [1 + i] of batches[i]. */
static size_t count_chunks(const gyre_config *c, const gyre_plan *plan, size_t source, size_t batches[BATCHES], size_t counts[BATCHES + 1])
{
    const gyre_table *t = plan->table;
    size_t n = 0, block = SIZE_MAX;
    memset(counts, 0, (BATCHES + 1) * sizeof *counts);
    for (size_t i = 0; i < t->n_cells; i++) {
        const gyre_arm *arm = &c->points[plan->cell_point[i]].arm;
        if (t->cells[i].source != source || t->cells[i].status == GYRE_CELL_SKIPPED)
            continue;
        if (plan->cell_layer[i] != block)
            counts[0] += t->cells[i].n_documents;
        block = plan->cell_layer[i];
        if (!arm->codes[GYRE_K] && !arm->codes[GYRE_V])
            continue;
        size_t at = 0, batch = batch_of(c, arm, plan->sources[source].model->n_layers);
        while (at < n && batches[at] != batch)
            at++;
        if (at == n && n < BATCHES)
            batches[n++] = batch;
        counts[at < n ? at + 1 : n] += t->cells[i].n_documents;
    }
    return n;
}

gyre_status gyre_plan_estimate_models(const gyre_config *c, gyre_plan *plan, const gyre_run_options *o, gyre_estimate_models *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = (gyre_estimate_models){0};
    for (size_t s = 0; s < plan->n_sources; s++) {
        size_t batches[BATCHES], counts[BATCHES + 1];
        double seconds[BATCHES + 1];
        if (plan->sources[s].model == NULL)
            continue;
        size_t n = count_chunks(c, plan, s, batches, counts);
        GYRE_TRY(gyre_pass_time(c, plan, s, batches, n, o, seconds, err));
        for (size_t i = 0; i <= n; i++) {
            out->chunks += counts[i];
            out->seconds += (double)counts[i] * seconds[i];
        }
    }
done:
    return st;
}
