#include "metrics/energy.h"

static double lanes_sum(const double lane[GYRE_LANES])
{
    double sum = 0.0;
    for (size_t l = 0; l < GYRE_LANES; l++)
        sum += lane[l];
    return sum;
}

double gyre_energy_between(const float *a, const float *b, size_t n)
{
    double lane[GYRE_LANES] = {0};
    size_t i = 0;
    for (; i + GYRE_LANES <= n; i += GYRE_LANES)
        for (size_t l = 0; l < GYRE_LANES; l++) {
            double e = (double)a[i + l] - (double)b[i + l];
            lane[l] += e * e;
        }
    for (size_t l = 0; i < n; i++, l++) {
        double e = (double)a[i] - (double)b[i];
        lane[l] += e * e;
    }
    return lanes_sum(lane);
}

/* One row into the lanes. */
static void add_row(const float *a, const double *mean, size_t dim, double lane[GYRE_LANES])
{
    size_t i = 0;
    for (; i + GYRE_LANES <= dim; i += GYRE_LANES)
        for (size_t l = 0; l < GYRE_LANES; l++) {
            double e = (double)a[i + l] - (mean != NULL ? mean[i + l] : 0.0);
            lane[l] += e * e;
        }
    for (size_t l = 0; i < dim; i++, l++) {
        double e = (double)a[i] - (mean != NULL ? mean[i] : 0.0);
        lane[l] += e * e;
    }
}

double gyre_energy_about(const float *a, const double *mean, size_t n, size_t dim)
{
    double lane[GYRE_LANES] = {0};
    for (size_t r = 0; r < n; r++)
        add_row(a + r * dim, mean, dim, lane);
    return lanes_sum(lane);
}
