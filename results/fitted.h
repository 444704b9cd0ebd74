/* Parameters that another run found: `fitted: RESULTS.h5#SELECTOR` of a codec.
 *
 * SELECTOR is a cell's key, or an arm's name, or NAME/POINT for one of its grid points; the cell of the same layer and seed index is then taken (seed 0 where the other run's arm had no seeds). What is taken must have been found
 * for the same model, layer, stream, head dimension, order and chain, and, where something was drawn at random, for the same campaign seed; the quantizer may differ unless a clip ratio was learned. Everything else is GYRE_E_INPUT,
 * saying what differs.
 */
#ifndef GYRE_RESULTS_FITTED_H
#define GYRE_RESULTS_FITTED_H

#include "calibrate/fit.h"
#include "results/table.h"

typedef struct gyre_fitted gyre_fitted;

/* Reads a results file; kept in memory, shared between threads. */
gyre_status gyre_fitted_open(const char *path, gyre_fitted **out, gyre_error *err);
void gyre_fitted_free(gyre_fitted *fitted);

typedef struct gyre_fitted_want {
    const char *selector, *model_sha256;
    uint32_t layer, seed;
    uint64_t campaign_seed;
    gyre_stream stream;
    const gyre_codec_spec *codec;
    size_t dim, n_heads;
} gyre_fitted_want;

/* *out borrows from `fitted`: do not free its items. */
gyre_status gyre_fitted_find(const gyre_fitted *fitted, const gyre_fitted_want *want, gyre_fits *out, gyre_error *err);

/* The first of the named documents that the parameters were found or chosen on, or NULL. Documents of one model with one name count as one, whichever capture holds them; borrowed. */
gyre_status gyre_fitted_saw(const gyre_fitted *fitted, const gyre_fitted_want *want, const char *const *documents, size_t n, const char **out, gyre_error *err);

#endif
