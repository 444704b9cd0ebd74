/* What the parts of the planner share: plan.c (captures, keys, fits, cells, comparisons), plan_model.c (models), plan_claim.c (claims). */
#ifndef GYRE_EXPERIMENTS_PLAN_PARTS_H
#define GYRE_EXPERIMENTS_PLAN_PARTS_H

#include "core/sha256.h"
#include "experiments/plan.h"

/* The claim, and one row for every number that arithmetic fixes, source and point. */
gyre_status gyre_plan_claim(const gyre_config *c, gyre_table *table, gyre_error *err);

/* Documents of the capture by their use, as the configuration names them or by default. */
gyre_status gyre_plan_split(const gyre_config *c, const gyre_capture_data *info, const char *path, gyre_plan_source *s, gyre_error *err);

/* Names of documents, kept by the table. */
gyre_status gyre_plan_keep_names(gyre_table *t, const gyre_capture_data *info, gyre_documents which, const char *const **out, gyre_error *err);

/* A unique name of source `index`. */
gyre_status gyre_plan_name_source(gyre_table *t, size_t index, const char *model, gyre_error *err);

/* Why the arm does not apply to this layer; "" when it does. */
void gyre_plan_applies(const gyre_arm *arm, const gyre_capture_layer *raw, const gyre_capture_data *info, char why[GYRE_WHY]);

/* What a fit asks of the documents, known before anything is computed. */
gyre_status gyre_plan_check_fit(const gyre_arm *arm, const gyre_plan_source *s, const gyre_capture_data *info, const gyre_capture_layer *raw, gyre_error *err);

/* Looks at model `index` of the configuration and its texts, and at the capture of the same model, if one is named. */
gyre_status gyre_plan_open_model(const gyre_config *c, const gyre_search *search, size_t index, gyre_plan *plan, gyre_error *err);
void gyre_plan_model_free(gyre_plan_model *model);

/* Why the arm does not apply to the model; "" when it does. */
gyre_status gyre_plan_model_applies(const gyre_config *c, const gyre_plan_source *s, const gyre_arm_point *p, char why[GYRE_WHY], gyre_error *err);

/* What a block's values depend on beside the arm: model, engine, chunks, and where something is fitted to it the capture. */
void gyre_plan_model_key(const gyre_config *c, const gyre_source *source, const gyre_plan_model *model, const gyre_cell *cell, bool fitted, gyre_sha256 *h);

#endif
