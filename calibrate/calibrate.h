/* Fitting a chain's parameters to calibration rows: closed forms, element by element.
 *
 * Each element that needs calibration is fitted on the rows as the fitted elements before it leave them; pooled ones on the rows of all heads of the layer
 * together, the others on their own head's. Codecs of the heads of one layer and stream are fitted in one call, before they are shared.
 */
#ifndef GYRE_CALIBRATE_CALIBRATE_H
#define GYRE_CALIBRATE_CALIBRATE_H

#include "codec/codec.h"

/* rows[h]: n x dim calibration rows of head h in the model's order (read only); pos[n]. A chain that needs nothing returns at once; n = 0 is then allowed. */
gyre_status gyre_calibrate(gyre_codec *const *codecs, size_t n_heads, size_t dim, const float *const *rows, size_t n, const int32_t *pos, gyre_error *err);

#endif
