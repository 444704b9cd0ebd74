/* Building a codec and finding its parameters: closed forms element by element, then what is learned or drawn, then the quantizer.
 *
 * Closed forms are fitted in chain order on the rows as the fitted elements before them leave them; pooled ones on the rows of all heads of the layer together, the others on their own
 * head's. Learned elements start as their options say and are learned together (fit.h, descent.h). A fitted quantizer is fitted last, on the rows as the whole chain leaves them.
 */
#ifndef GYRE_CALIBRATE_CALIBRATE_H
#define GYRE_CALIBRATE_CALIBRATE_H

#include <signal.h>

#include "calibrate/fit.h"

/* n_streams as in gyre_codec_new; fit: one spec per stream. `fitted`, unless NULL, holds parameters found before: they are set, nothing is learned or drawn, and closed forms are fitted as
 * ever (their rows are the same by the cell's key). *out gets a codec ready to code; fits, unless NULL, what was found (freed by gyre_fits_free). A codec that needs no rows ignores
 * data->rows. Errors: GYRE_E_INPUT for too few rows or parameters of another shape, GYRE_E_RANGE for a fit that diverges, naming the step; GYRE_E_INTERRUPTED when *stop becomes nonzero
 * (stop may be NULL). */
gyre_status gyre_calibrate(const gyre_codec_stream *streams, size_t n_streams, const gyre_fit_spec *fit, const gyre_calibration *data, const gyre_fits *fitted,
                           const volatile sig_atomic_t *stop, gyre_codec **out, gyre_fits *fits, gyre_error *err);

#endif
