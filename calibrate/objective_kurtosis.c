/* kurtosis: the fourth moment of a row's coordinates over the square of its second, about 0.
 *
 *     L = scale sum_rows w d sum_j y_j^4 / (sum_j y_j^2)^2         dL/dy_j = 4 scale w d (y_j^3 / S2^2 - y_j S4 / S2^3),  S2 = sum y_j^2, S4 = sum y_j^4
 *
 * 1 where the row is flat (the least there is), 3 d/(d + 2) on average over rows of normal coordinates, d where one coordinate has all. About 0 and not about the row's mean: absmax scales
 * stand about 0. It does not change when a row is scaled, so rows count alike whatever their size, and it knows neither groups nor what an error costs: for rotations. A row of zeros
 * counts as flat.
 */
#include <stddef.h>

#include "calibrate/objective.h"

static double row(const float *y, size_t d, double factor, float *g_y)
{
    double s2 = 0, s4 = 0;
    for (size_t i = 0; i < d; i++) {
        double square = (double)y[i] * (double)y[i];
        s2 += square;
        s4 += square * square;
    }
    if (s2 == 0)
        return 1;
    for (size_t i = 0; g_y != NULL && i < d; i++) {
        double v = (double)y[i];
        g_y[i] += (float)(4.0 * factor * (double)d / s2 * (v * (v * v / s2) - v * (s4 / s2 / s2)));
    }
    return (double)d * (s4 / s2 / s2);
}

static double measure(const void *options, gyre_objective_part *p)
{
    (void)options;
    double sum = 0;
    for (size_t r = 0; r < p->n; r++) {
        double w = p->weight != NULL ? (double)p->weight[r] : 1.0;
        sum += w * row(p->y + r * p->dim, p->dim, p->scale * w, p->g_y != NULL ? p->g_y + r * p->dim : NULL);
    }
    return p->scale * sum;
}

const gyre_objective_type gyre_objective_kurtosis = {
    .name = "kurtosis",
    .summary = "fourth moment of a row's coordinates over their squared second moment",
    .source = "Pearson 1905, Biometrika 4, about 0 instead of the mean",
    .unit = "1",
    .flags = GYRE_OBJECTIVE_OF_K | GYRE_OBJECTIVE_OF_V,
    .measure = measure,
};
