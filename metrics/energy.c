#include "metrics/energy.h"

double gyre_energy_between(const float *a, const float *b, size_t n, size_t dim)
{
    double sum = 0.0;
    for (size_t i = 0; i < n * dim; i++) {
        double e = (double)a[i] - (double)b[i];
        sum += e * e;
    }
    return sum;
}

double gyre_energy_about(const float *a, const double *mean, size_t n, size_t dim)
{
    double sum = 0.0;
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < dim; i++) {
            double e = (double)a[r * dim + i] - (mean != NULL ? mean[i] : 0.0);
            sum += e * e;
        }
    return sum;
}

double gyre_energy_ratio(const gyre_unit *u, const double *k_mean, const double *v_mean)
{
    double error = 0.0, energy = 0.0;
    if (u->k_hat != NULL) {
        error += gyre_energy_between(u->k_hat, u->k, u->tokens, u->dim);
        energy += gyre_energy_about(u->k, k_mean, u->tokens, u->dim);
    }
    if (u->v_hat != NULL) {
        error += gyre_energy_between(u->v_hat, u->v, u->tokens, u->dim);
        energy += gyre_energy_about(u->v, v_mean, u->tokens, u->dim);
    }
    return error == 0.0 ? 0.0 : error / energy;
}
