/* One layer of a capture, made ready for many cells: rows by head, exact attention, means.
 *
 * Rows are [head][document][token][dim], calibration documents and evaluation documents apart. Immutable once ready; shared between threads.
 */
#ifndef GYRE_EXPERIMENTS_LAYER_H
#define GYRE_EXPERIMENTS_LAYER_H

#include "core/site.h"
#include "metrics/metric.h"
#include "tensors/capture.h"

typedef struct gyre_documents {
    size_t count;
    const size_t *index; /* places in the capture */
} gyre_documents;

typedef struct gyre_layer {
    gyre_capture_layer raw; /* k, v, q freed after the repacking */
    size_t n_heads, group, dim, tokens, queries, n_evaluation, n_calibration;
    float *rows[2], *calibration[2];           /* by gyre_stream: [head][document][token][dim] */
    int32_t *pos, *calibration_pos, *query_pos; /* [document][token], [document][query] */
    float *q;                                  /* [document][head][group][query][dim]; NULL without queries */
    double *energy[2], *energy_centred[2];     /* [document][head], as gyre_unit has them */
    gyre_attention **exact;                    /* [document][head]; NULL entries until gyre_layer_attend */
} gyre_layer;

gyre_status gyre_layer_load(gyre_capture *capture, size_t index, gyre_documents evaluation, gyre_documents calibration, gyre_layer **out, gyre_error *err);
void gyre_layer_free(gyre_layer *layer);

/* Exact rows of one unit; k_hat and v_hat stay NULL. */
gyre_unit gyre_layer_unit(const gyre_layer *layer, size_t document, size_t head);

/* Makes the exact attention of one unit; units are independent, so threads may share the work. */
gyre_status gyre_layer_attend(gyre_layer *layer, size_t document, size_t head, gyre_error *err);

/* Rows of a head. */
const float *gyre_layer_rows(const gyre_layer *layer, gyre_stream stream, size_t head);
const float *gyre_layer_calibration(const gyre_layer *layer, gyre_stream stream, size_t head);

#endif
