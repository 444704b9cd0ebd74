/* Second moments of queries, as keys meet them in a frame. */
#ifndef GYRE_CALIBRATE_MOMENTS_H
#define GYRE_CALIBRATE_MOMENTS_H

#include "calibrate/fit.h"
#include "calibrate/base.h"

/* m = E[u u'] (dim x dim) over the queries of a KV head and the keys that each of them sees: u'd is the change of q'k under an error d in the frame (base.h), so E (u'd)^2 = d' m d; where
 * the chain begins with `unrope` it is E[R_s' q q' R_s]. Every pair of a query and a visible key counts once. GYRE_E_INPUT where there are no queries. */
gyre_status gyre_query_moments(const gyre_base *base, const gyre_calibration *data, const gyre_rows *rows, size_t head, double *m, gyre_error *err);

#endif
