#include "metrics/energy.h"

void gyre_unit_errors(gyre_unit *u)
{
    u->error[0] = u->k_hat != NULL ? gyre_energy_between(u->k_hat, u->k, u->tokens * u->dim) : 0.0;
    u->error[1] = u->v_hat != NULL ? gyre_energy_between(u->v_hat, u->v, u->tokens * u->dim) : 0.0;
}

double gyre_unit_relative_error(const gyre_unit *u, const double energy[2])
{
    double error = u->error[0] + u->error[1];
    double sum = (u->k_hat != NULL ? energy[0] : 0.0) + (u->v_hat != NULL ? energy[1] : 0.0);
    return error == 0.0 ? 0.0 : error / sum;
}
