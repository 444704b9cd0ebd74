/* output_error: sum over queries |o^ - o|^2 / sum |o|^2 of the attention output, per query head; mean over query heads.
 *
 * Rows of scores are ordered [query head][query], so a head's rows are contiguous.
 */
#include "metrics/energy.h"
#include "metrics/metric.h"

static double measure(const gyre_unit *u)
{
    const gyre_attention *a = u->exact;
    double sum = 0.0;
    for (size_t h = 0; h < u->group; h++) {
        size_t at = h * u->queries * u->dim;
        double error = gyre_energy_about(u->output_error + at, NULL, u->queries, u->dim), energy = gyre_energy_about(a->output + at, NULL, u->queries, u->dim);
        sum += error == 0.0 ? 0.0 : error / energy;
    }
    return sum / (double)u->group;
}

const gyre_metric_type gyre_metric_output_error = {
    "output_error", "squared error of the attention output", "", GYRE_METRIC_LOGITS | GYRE_METRIC_OUTPUT, GYRE_METRIC_OF_K | GYRE_METRIC_OF_V, measure, NULL};
