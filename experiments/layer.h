/* One layer of a capture, made ready for many cells: rows by head, exact attention, means.
 *
 * Rows are [head][document][token][dim], documents of each use apart. Immutable once ready; shared between threads.
 */
#ifndef GYRE_EXPERIMENTS_LAYER_H
#define GYRE_EXPERIMENTS_LAYER_H

#include "calibrate/fit.h"
#include "metrics/metric.h"
#include "tensors/capture.h"

typedef struct gyre_documents {
    size_t count;
    const size_t *index; /* places in the capture */
} gyre_documents;

/* What documents are for. */
typedef enum gyre_use { GYRE_USE_EVALUATE, GYRE_USE_CALIBRATE, GYRE_USE_VALIDATE, GYRE_USES } gyre_use;

typedef struct gyre_split {
    gyre_documents use[GYRE_USES];
} gyre_split;

typedef struct gyre_layer_part {
    size_t count;             /* documents */
    float *rows[2];           /* by gyre_stream: [head][document][token][dim] */
    int32_t *pos, *query_pos; /* [document][token], [document][query] */
    float *q;                 /* [document][head][group][query][dim]; NULL without queries */
} gyre_layer_part;

typedef struct gyre_layer {
    gyre_capture_layer raw; /* k, v, q freed after the repacking */
    size_t n_heads, group, dim, tokens, queries, n_evaluation;
    size_t n_positions;      /* positions that codecs will meet: the documents' tokens, unless who loaded it knows better */
    gyre_layer_part part[GYRE_USES];
    double *energy[2], *energy_centred[2];     /* [document][head] of evaluation, as gyre_unit has them */
    gyre_attention **exact;                    /* [document][head] of evaluation; NULL entries until gyre_layer_attend */
} gyre_layer;

/* Lets go of all rows: what is left is what codecs of the layer are built from. */
void gyre_layer_forget(gyre_layer *layer);

gyre_status gyre_layer_load(gyre_capture *capture, size_t index, const gyre_split *split, gyre_layer **out, gyre_error *err);
void gyre_layer_free(gyre_layer *layer);

/* Exact rows of one unit; k_hat and v_hat stay NULL. */
gyre_unit gyre_layer_unit(const gyre_layer *layer, size_t document, size_t head);

/* Makes the exact attention of one unit; units are independent, so threads may share the work. */
gyre_status gyre_layer_attend(gyre_layer *layer, size_t document, size_t head, gyre_error *err);

/* Evaluation rows of a head. */
const float *gyre_layer_rows(const gyre_layer *layer, gyre_stream stream, size_t head);

/* Documents of a use as calibration sees them; `heads` has room for 2 n_heads pointers, which *out borrows. */
void gyre_layer_fit_rows(const gyre_layer *layer, gyre_use use, const float **heads, gyre_rows *out);

#endif
