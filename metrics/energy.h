/* Sums of squares over the rows of a unit, shared by the row metrics. */
#ifndef GYRE_METRICS_ENERGY_H
#define GYRE_METRICS_ENERGY_H

#include "metrics/metric.h"

/* sum of (a - b)^2 over n x dim / sum of (a - mean)^2, mean one row of dim or NULL for zero. */
double gyre_energy_between(const float *a, const float *b, size_t n, size_t dim);
double gyre_energy_about(const float *a, const double *mean, size_t n, size_t dim);

/* Squared error over energy about the given means, added over the streams that the arm codes; 0 when nothing was lost. */
double gyre_energy_ratio(const gyre_unit *u, const double *k_mean, const double *v_mean);

#endif
