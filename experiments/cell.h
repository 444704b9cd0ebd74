/* Computing one cell: codecs of all heads, calibration, encode, decode, metrics. */
#ifndef GYRE_EXPERIMENTS_CELL_H
#define GYRE_EXPERIMENTS_CELL_H

#include <signal.h>

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

/* What is asked of a cell. */
typedef struct gyre_cell_ask {
    const gyre_arm *arm;
    const gyre_arm *whole;             /* the arm that leaves this layer to `arm` (its `layers`); NULL: itself. A stream that it codes elsewhere has error 0 and costs 16 bits here */
    const gyre_metric_type *const *metrics;
    size_t n_metrics;
    uint64_t campaign_seed;
    const gyre_fits *fitted[2];        /* by stream: parameters that another run found, or NULL */
    const volatile sig_atomic_t *stop; /* ends a fit; may be NULL */
} gyre_cell_ask;

/* Fills values, bits, flags and n_documents, n_heads of `cell`; values (owned by the caller, [metric][document][head]) must be there. What was learned or drawn arrives in *fits, K before V,
 * freed by the caller. A failure of the arm itself (a value out of a format's range, a fit that diverges) is returned as an error: the runner marks the cell FAILED with the message;
 * GYRE_E_INTERRUPTED: nothing is known of the cell. */
gyre_status gyre_cell_compute(const gyre_layer *layer, const gyre_cell_ask *ask, gyre_cell *cell, gyre_fits *fits, gyre_cell_work *work, gyre_error *err);

/* The codecs of an arm at one layer and seed, fitted to the layer's calibration rows. The layer outlives them; its rows need not. */
typedef struct gyre_cell_codecs {
    size_t n;
    gyre_codec_group group[2];
    gyre_codec *codec[2];
} gyre_cell_codecs;
gyre_status gyre_cell_codecs_new(const gyre_layer *layer, const gyre_cell_ask *ask, uint32_t seed, gyre_cell_codecs *out, gyre_error *err);
void gyre_cell_codecs_free(gyre_cell_codecs *codecs);

/* Builds and fits the codecs of an arm, as a cell of this seed does, and forgets them: for who wants to know how long that takes. */
gyre_status gyre_cell_fit(const gyre_layer *layer, const gyre_cell_ask *ask, uint32_t seed, gyre_error *err);

#endif
