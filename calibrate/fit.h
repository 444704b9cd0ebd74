/* Fits: how the parameters of a codec are found, from which rows, and what came of it.
 *
 * A codec's `fit:` block says it (docs/configuration.md): an objective, an optimiser and the options below. Two things can be found:
 *
 *   learned elements   chain elements with the flag LEARNABLE and a learned clip ratio, by gradient descent over batches of calibration rows (descent.h)
 *   draws              the best of N draws of everything that the chain draws at random, by the objective on the calibration rows; learns nothing else
 *
 * Closed forms (centre, scale by max, pca, ...) and fitted quantizers are not named here: they fit themselves on the same rows (transforms/transform.h, quant/quantizer.h).
 *
 * Three sets of documents, disjoint by construction unless the configuration says `leak: deliberate`: calibration rows move parameters, validation rows choose among them (early
 * stopping, restarts), evaluation rows judge and never come here. Rows are float32, row-major, in the model's coordinate order.
 */
#ifndef GYRE_CALIBRATE_FIT_H
#define GYRE_CALIBRATE_FIT_H

#include "calibrate/objective.h"
#include "calibrate/optimiser.h"
#include "codec/codec.h"

/* Options of a fit itself. */
typedef struct gyre_fit_options {
    int64_t steps, batch, tokens, restarts, draws, every, patience;
    int rule, schedule, keep;
    bool leak;
} gyre_fit_options;
extern const gyre_option gyre_fit_table[];
enum { GYRE_RULE_SCALE, GYRE_RULE_PLAIN }; /* straight-through: the scale is differentiable, or the whole error is held constant */
enum { GYRE_SCHEDULE_COSINE, GYRE_SCHEDULE_CONSTANT };
enum { GYRE_FIT_TRACKED = 4096, GYRE_FIT_TEXT = 1536 };
enum { GYRE_KEEP_BEST, GYRE_KEEP_LAST };   /* of the states seen: the best on validation rows (the start among them), or the last */

typedef struct gyre_fit_spec {
    gyre_fit_options own;
    const gyre_objective_type *objective;
    gyre_objective_values objective_options;
    const gyre_optimiser_type *optimiser;
    gyre_optimiser_values optimiser_options;
} gyre_fit_spec;

/* Defaults: mse, adam. */
void gyre_fit_defaults(gyre_fit_spec *spec);

/* "objective=mse(),optimiser=adam(rate=0.01,...),steps=300,..." */
void gyre_fit_canonical(const gyre_fit_spec *spec, char *text, size_t size);

/* Does a codec have something that a fit block acts on: closed forms and fitted quantizers (tokens), learned elements, draws? */
typedef enum gyre_fit_use { GYRE_FIT_NOTHING = 0, GYRE_FIT_ROWS = 1, GYRE_FIT_LEARNS = 2, GYRE_FIT_DRAWS = 4 } gyre_fit_use;
unsigned gyre_fit_uses(const gyre_codec_spec *codec, const gyre_fit_spec *spec);

/* False with the reason where codec and fit do not go together: a closed form behind a learned element, learned elements of different scope, an objective that needs a
 * straight-through rule of a quantizer that has none, a clip ratio learned under the plain rule, logit errors of values, draws of a chain that draws nothing. */
bool gyre_fit_check(const gyre_codec_spec *codec, const gyre_fit_spec *spec, gyre_stream stream, char why[GYRE_WHY]);

/* Documents of one layer; pointers are borrowed. */
typedef struct gyre_rows {
    size_t documents, tokens, queries; /* queries per document; 0: none */
    const float *const *x[2];          /* [stream][head]: documents x tokens x dim */
    const int32_t *pos;                /* documents x tokens */
    const float *q;                    /* [document][head][group][query][dim] */
    const int32_t *query_pos;          /* documents x queries */
} gyre_rows;

typedef struct gyre_calibration {
    size_t n_heads, dim, group; /* group: query heads per kv head */
    double score_scale;
    uint32_t window;            /* sliding window, 0: none */
    gyre_rows rows, validation; /* validation.documents may be 0: then the last state is kept, patience is endless and restarts are judged on the calibration rows */
} gyre_calibration;

/* What came of one fit: one per layer and stream (pooled), or one per head. */
typedef struct gyre_fit {
    gyre_stream stream;
    bool pooled;
    uint32_t head;          /* the first where pooled */
    uint32_t draw, restart, step; /* which were chosen; step 0: the start */
    size_t n_parameters, freedom;
    float *parameters;      /* of the learned elements in chain order, then the clip ratio */
    double start[2], end[2]; /* objective on calibration and validation rows (NaN without) */
    size_t n_points;        /* of the curve of the chosen restart */
    uint32_t *point_step;
    double *point[2];       /* objective on calibration rows and on validation rows, of each at most GYRE_FIT_TRACKED a head, evenly spread */
} gyre_fit;

typedef struct gyre_fits {
    size_t count;
    gyre_fit *items;
} gyre_fits;
void gyre_fits_free(gyre_fits *fits);

#endif
