/* nmse: sum |x^ - x|^2 / sum |x|^2 over the rows of the unit, of every stream that the arm codes. 0 over 0 is 0 (rows of zeros, kept).
 *
 * What most papers report. It says little where rows share a large constant part: see nmse_centred.
 */
#include "metrics/metric.h"

static double measure(const gyre_unit *u)
{
    return gyre_unit_relative_error(u, u->energy);
}

const gyre_metric_type gyre_metric_nmse = {"nmse", "squared error over squared norm of the rows", "", GYRE_METRIC_ROWS, GYRE_METRIC_OF_K | GYRE_METRIC_OF_V, measure, NULL};
