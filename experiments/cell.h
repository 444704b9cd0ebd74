/* Computing one cell: codecs of all heads, calibration, encode, decode, metrics. */
#ifndef GYRE_EXPERIMENTS_CELL_H
#define GYRE_EXPERIMENTS_CELL_H

#include "experiments/config.h"
#include "experiments/layer.h"
#include "results/table.h"

/* Buffers of one worker, grown on demand and reused. */
typedef struct gyre_cell_work gyre_cell_work;
gyre_status gyre_cell_work_new(gyre_cell_work **out, gyre_error *err);
void gyre_cell_work_free(gyre_cell_work *work);

/* What a chain is built for at one head of a layer. */
gyre_site gyre_cell_site(const gyre_layer *layer, gyre_stream stream, size_t head, uint64_t campaign_seed, uint32_t seed);

/* Streams of an arm that one codec serves: both where its quantizer spans them, else one. */
typedef struct gyre_codec_group {
    size_t n;
    gyre_stream stream[2];
} gyre_codec_group;
size_t gyre_arm_groups(const gyre_arm *arm, gyre_codec_group groups[2]);

/* What the metrics of a configuration read together. */
unsigned gyre_metrics_read(const gyre_metric_type *const *metrics, size_t n);

/* Fills values, bits, flags and n_documents, n_heads of `cell`; values (owned by the caller, [metric][document][head]) must be there. A failure of the arm itself (a value
 * out of a format's range) is returned as an error: the runner marks the cell FAILED with the message. */
gyre_status gyre_cell_compute(const gyre_layer *layer, const gyre_arm *arm, const gyre_metric_type *const *metrics, size_t n_metrics, uint64_t campaign_seed,
                              gyre_cell *cell, gyre_cell_work *work, gyre_error *err);

#endif
