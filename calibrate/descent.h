/* Gradient descent on the learned elements of one fit: a layer's heads together, or one head.
 *
 * The elements from the first learned one on are one matrix M per step, and its inverse, in double (d x d); rows are multiplied in float by BLAS. With y = M z, e the quantizer's error and
 * K = M^-T W M^-1 (objective.h):
 *
 *     dL/dM = (dL/dy)' z - 2 K (dL/dK) M^-T - M^-T (dL/dM^-1) M^-T
 *
 * (dL/dy holds what reaches y through e too, by the straight-through rule), which each learned element pulls back to its parameters (gyre_learnable.backward). A step allocates nothing. Batches: row i of step t is floor(u n) with u uniform number (t - 1) batch + i
 * of the stream BATCH (docs/random.md), drawn head by head in equal shares; a batch as large as the calibration set takes every row once. DOCUMENTS objectives draw whole documents likewise.
 */
#ifndef GYRE_CALIBRATE_DESCENT_H
#define GYRE_CALIBRATE_DESCENT_H

#include <signal.h>

#include "calibrate/fit.h"
#include "calibrate/base.h"

typedef struct gyre_descent gyre_descent;

/* For heads first..last-1 of one stream of a codec whose closed forms are fitted (pooled: all heads share their learned parameters, which are those of head `first`). The codec must be that
 * of one thread while it is learned. */
gyre_status gyre_descent_new(gyre_codec *codec, const gyre_codec_stream *stream, size_t place, size_t first, size_t last, const gyre_fit_spec *spec, const gyre_calibration *data,
                             gyre_descent **out, gyre_error *err);
void gyre_descent_free(gyre_descent *d);

/* Objective at the present parameters: on all calibration rows, on all validation rows (NaN where there are none). */
gyre_status gyre_descent_measure(gyre_descent *d, double value[2], gyre_error *err);

/* Value and gradient of the objective on all calibration rows at the present parameters; for tests. count: all learned parameters, the clip ratio last. */
size_t gyre_descent_count(const gyre_descent *d);
gyre_status gyre_descent_gradient(gyre_descent *d, double *value, double *gradient, gyre_error *err);
void gyre_descent_get(const gyre_descent *d, double *theta);
gyre_status gyre_descent_set(gyre_descent *d, const double *theta, gyre_error *err);

/* Learns; leaves the chosen parameters, rounded to float32, in the codec and describes them in *fit (freed by its owner). */
gyre_status gyre_descent_run(gyre_descent *d, const volatile sig_atomic_t *stop, gyre_fit *fit, gyre_error *err);

#endif
