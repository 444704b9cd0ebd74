/* Fitting a codec's parameters to calibration rows: closed forms, element by element, then the quantizer.
 *
 * Each element that needs calibration is fitted on the rows as the fitted elements before it leave them; pooled ones on the rows of all heads of the layer
 * together, the others on their own head's. The quantizer is fitted on the rows as the whole chain leaves them.
 */
#ifndef GYRE_CALIBRATE_CALIBRATE_H
#define GYRE_CALIBRATE_CALIBRATE_H

#include "codec/codec.h"

/* rows[stream * n_heads + head]: documents x tokens x dim calibration rows in the model's order (read only); pos[documents * tokens]. A codec that needs nothing returns at once;
 * documents = 0 is then allowed. */
gyre_status gyre_calibrate(gyre_codec *codec, size_t n_streams, size_t n_heads, size_t dim, const float *const *rows, size_t documents, size_t tokens, const int32_t *pos,
                           gyre_error *err);

#endif
