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

/* A model that is run: where it and its texts are, and the chunks. Its `capture` holds the facts of all layers and no rows that count. */
typedef struct gyre_plan_model {
    char *path, *texts[GYRE_CONFIG_TEXTS];
    const char *text_names[GYRE_CONFIG_TEXTS], *text_sha256[GYRE_CONFIG_TEXTS]; /* kept by the table */
    size_t n_texts, n_vocabulary, context, block;
    const char *fit_digest;   /* of `fit`; "" */
    size_t *chunk_text, *chunk_number; /* [n_documents]: which text, and which chunk of it */
    size_t n_layers;          /* of the model */
    gyre_capture *fit;        /* rows that arms are fitted to, of the same model; NULL where there are none */
    bool fit_leaks;           /* documents of `fit` that arms are fitted to are texts of the model, deliberately */
    size_t *fit_layer;        /* [n_layers]: place in `fit`; SIZE_MAX where it has not the layer */
} gyre_plan_model;

typedef struct gyre_plan_source {
    gyre_plan_model *model;   /* NULL: the capture is evaluated */
    gyre_capture *capture;
    size_t n_layers;
    size_t *layer_index; /* places in the capture, per planned layer; NULL for a model, whose cells are blocks */
    size_t *documents[GYRE_USES]; /* document places, by use */
    gyre_split split;             /* the same, with their numbers */
} gyre_plan_source;

typedef struct gyre_plan {
    gyre_table *table;
    size_t n_sources;
    gyre_plan_source *sources;
    size_t *cell_point; /* per cell: index into config->points */
    size_t *cell_layer; /* per cell: index into the source's planned layers, or the block */
    gyre_fitted **fitted; /* [point][stream]: results files whose parameters are taken over, or NULL; the first that names a file owns it */
    size_t n_points;
    bool *cell_leaks; /* per cell: parameters that it takes over, or in a model any, were found on documents that it evaluates */
} gyre_plan;

/* Opens the captures and makes the plan. The configuration must outlive it. */
gyre_status gyre_plan_make(const gyre_config *config, const gyre_search *search, gyre_plan **out, gyre_error *err);
void gyre_plan_free(gyre_plan *plan);

/* What a cell's stream takes over from another run at a layer (its place in the source's capture); borrowed from the plan. */
gyre_status gyre_plan_fitted(const gyre_config *config, const gyre_plan *plan, size_t cell, size_t layer, gyre_stream stream, gyre_fits *out, gyre_error *err);

/* Place in the source's capture of a cell's layer, where the source is a capture. */
size_t gyre_plan_layer(const gyre_plan *plan, size_t cell);

/* Turns a codec of keys into the one that rounds queries (`queries: q8_0`). */
void gyre_plan_round_queries(gyre_codec_spec *keys);

/* Finds a file from the search folders: the first place where it can be read. `what` names it in the message ("capture", "text"). */
gyre_status gyre_search_find(const gyre_search *search, const char *name, const char *what, char *path, size_t size, gyre_error *err);

/* Fits of a cell (heads that learn together are one) and their steps at most, or draws; 0 where nothing is learned or drawn. */
typedef struct gyre_plan_fits {
    size_t fits, steps;
} gyre_plan_fits;
gyre_plan_fits gyre_plan_count_fits(const gyre_arm *arm, size_t n_heads);

#endif
