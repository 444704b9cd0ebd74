/* Sums of squares over the rows of a unit, shared by the row metrics. */
#ifndef GYRE_METRICS_ENERGY_H
#define GYRE_METRICS_ENERGY_H

#include "metrics/metric.h"

enum { GYRE_LANES = 8 };

/* sum of (a - b)^2 over n values / of (row - mean)^2 over n x dim, mean NULL for zero. Each sums in GYRE_LANES running sums, value i into lane i % GYRE_LANES, added up in lane
 * order: one fixed order that a compiler can vectorise. */
double gyre_energy_between(const float *a, const float *b, size_t n);
double gyre_energy_about(const float *a, const double *mean, size_t n, size_t dim);

#endif
