/* Objectives that are a weighted sum of squared errors, e' K e per row: what mse, logit and attention share. They differ by the weights that `prepare` makes. */
#ifndef GYRE_CALIBRATE_QUADRATIC_H
#define GYRE_CALIBRATE_QUADRATIC_H

#include "calibrate/objective.h"

/* W of every head divided by x; nothing for validation rows, which keep the calibration rows' weights. */
void gyre_quadratic_divide(gyre_objective_setup *setup, double x);

size_t gyre_quadratic_work(size_t n, size_t dim, const void *prepared);
double gyre_quadratic_measure(const void *options, gyre_objective_part *part);

#endif
