/* Plan: a configuration and its captures -> the table of cells and comparisons.
 *
 * Deterministic: the same configuration and captures give the same cells in the same order with the same keys, whatever the machine or the shard. A cell whose arm does not apply
 * is SKIPPED here, with the reason, before anything is computed.
 */
#ifndef GYRE_EXPERIMENTS_PLAN_H
#define GYRE_EXPERIMENTS_PLAN_H

#include "experiments/config.h"
#include "experiments/layer.h"
#include "results/fitted.h"

enum { GYRE_PLAN_DIRS = 3 };

/* Where relative capture paths are looked up, in this order. */
typedef struct gyre_search {
    char *dirs[GYRE_PLAN_DIRS]; /* absolute; NULL where there are fewer */
} gyre_search;

typedef struct gyre_plan_source {
    gyre_capture *capture;
    size_t n_layers;
    size_t *layer_index; /* places in the capture, per planned layer */
    size_t *documents[GYRE_USES]; /* document places, by use */
    gyre_split split;             /* the same, with their numbers */
} gyre_plan_source;

typedef struct gyre_plan {
    gyre_table *table;
    size_t n_sources;
    gyre_plan_source *sources;
    size_t *cell_point; /* per cell: index into config->points */
    size_t *cell_layer; /* per cell: index into the source's planned layers */
    gyre_fitted **fitted; /* [point][stream]: results files whose parameters are taken over, or NULL; the first that names a file owns it */
    size_t n_points;
    bool *cell_leaks; /* per cell: parameters that it takes over were found on documents that it evaluates */
} gyre_plan;

/* Opens the captures and makes the plan. The configuration must outlive it. */
gyre_status gyre_plan_make(const gyre_config *config, const gyre_search *search, gyre_plan **out, gyre_error *err);
void gyre_plan_free(gyre_plan *plan);

/* What a cell's stream takes over from another run; borrowed from the plan. */
gyre_status gyre_plan_fitted(const gyre_config *config, const gyre_plan *plan, size_t cell, gyre_stream stream, gyre_fits *out, gyre_error *err);

/* Fits of a cell (heads that learn together are one) and their steps at most, or draws; 0 where nothing is learned or drawn. */
typedef struct gyre_plan_fits {
    size_t fits, steps;
} gyre_plan_fits;
gyre_plan_fits gyre_plan_count_fits(const gyre_arm *arm, size_t n_heads);

#endif
