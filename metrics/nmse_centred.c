/* nmse_centred: sum |x^ - x|^2 / sum |x - m|^2, m the mean row of the layer, head and stream over all evaluation documents.
 *
 * The part of a key that all tokens share does not change attention; this measure takes it out of the energy (K of Qwen2's layer 0 is nearly all bias).
 */
#include "metrics/metric.h"

static double measure(const gyre_unit *u)
{
    return gyre_unit_relative_error(u, u->energy_centred);
}

const gyre_metric_type gyre_metric_nmse_centred = {"nmse_centred", "squared error over energy about the mean row", "", GYRE_METRIC_ROWS, GYRE_METRIC_OF_K | GYRE_METRIC_OF_V, measure, NULL};
