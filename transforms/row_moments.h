/* Second moments of calibration rows, in double: what pca and wush are made of. */
#ifndef GYRE_TRANSFORMS_ROW_MOMENTS_H
#define GYRE_TRANSFORMS_ROW_MOMENTS_H

#include "transforms/transform.h"

/* m = mean of x x' (dim x dim, row-major, both triangles) over the rows, or of (x - mean)(x - mean)' where centred. GYRE_E_INPUT for fewer rows than `least`, GYRE_E_NAN for rows that
 * are not finite; both name `who`. */
gyre_status gyre_row_moments(const gyre_fit_rows *rows, size_t dim, const char *who, size_t least, bool centred, double *m, gyre_error *err);

#endif
