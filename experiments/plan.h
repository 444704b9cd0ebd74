/* Plan: a configuration and its captures -> the table of cells and comparisons.
 *
 * Deterministic: the same configuration and captures give the same cells in the same order with the same keys, whatever the machine or the shard. A cell whose arm does not apply
 * is SKIPPED here, with the reason, before anything is computed.
 */
#ifndef GYRE_EXPERIMENTS_PLAN_H
#define GYRE_EXPERIMENTS_PLAN_H

#include "experiments/config.h"
#include "experiments/layer.h"
#include "results/table.h"

enum { GYRE_PLAN_DIRS = 3 };

/* Where relative capture paths are looked up, in this order. */
typedef struct gyre_search {
    char *dirs[GYRE_PLAN_DIRS]; /* absolute; NULL where there are fewer */
} gyre_search;

typedef struct gyre_plan_source {
    gyre_capture *capture;
    size_t n_layers;
    size_t *layer_index; /* places in the capture, per planned layer */
    size_t *evaluation, *calibration; /* document places */
    size_t n_evaluation, n_calibration;
} gyre_plan_source;

typedef struct gyre_plan {
    gyre_table *table;
    size_t n_sources;
    gyre_plan_source *sources;
    size_t *cell_point; /* per cell: index into config->points */
    size_t *cell_layer; /* per cell: index into the source's planned layers */
} gyre_plan;

/* Opens the captures and makes the plan. The configuration must outlive it. */
gyre_status gyre_plan_make(const gyre_config *config, const gyre_search *search, gyre_plan **out, gyre_error *err);
void gyre_plan_free(gyre_plan *plan);

gyre_documents gyre_plan_evaluation(const gyre_plan *plan, size_t source);
gyre_documents gyre_plan_calibration(const gyre_plan *plan, size_t source);

#endif
