/* absmax: the squared error that a uniform quantizer is expected to leave, from the largest magnitudes alone.
 *
 *     L = scale sum_rows w sum_g a_g^2 kappa_g,   a_g = max |y_j| and kappa_g = sum K_jj over group g         dL/dK_jj = scale sum_rows w a_g^2
 *     dL/dy_j* = 2 scale w a_g kappa_g sign(y_j*) at the first of the largest of each group, 0 elsewhere
 *
 * A step of a_g / m leaves errors of mean square a_g^2 / (12 m^2), so L / (12 m^2) is the expected error in the unit of mse, m = 2^(b-1) - 1 for sym without clipping. That factor is
 * left out: the objective knows no levels. An orthogonal chain has L = 1 where every row is flat, |y_j| all the same, and no less; y -> c y with K -> K/c^2 changes nothing. It asks the
 * quantizer for nothing but its groups (the row where it has none), so it goes with every quantizer; it is blind to how values spread below the largest.
 */
#include <math.h>

#include "calibrate/fit.h"
#include "calibrate/quadratic.h"

static gyre_status prepare(const void *options, gyre_objective_setup *s, gyre_error *err)
{
    (void)options, (void)err;
    gyre_quadratic_divide(s, s->unit);
    return GYRE_OK;
}

/* The first of the largest magnitudes. */
static size_t largest(const float *y, size_t n)
{
    float most = 0.0f;
    size_t j = 0;
    for (size_t i = 0; i < n; i++)
        most = fabsf(y[i]) > most ? fabsf(y[i]) : most;
    while (j + 1 < n && fabsf(y[j]) != most) /* a row that is not a number has no largest */
        j++;
    return j;
}

/* One group of all rows, from coordinate `at` on. */
static double group(gyre_objective_part *p, size_t at, size_t n)
{
    double kappa = 0, sum = 0;
    for (size_t i = at; i < at + n; i++)
        kappa += p->k[i * p->dim + i];
    for (size_t r = 0; r < p->n; r++) {
        const float *y = p->y + r * p->dim + at;
        size_t j = largest(y, n);
        double w = p->weight != NULL ? (double)p->weight[r] : 1.0, a = (double)y[j];
        sum += w * a * a;
        if (p->g_y != NULL)
            p->g_y[r * p->dim + at + j] += (float)(2.0 * p->scale * w * kappa * a);
    }
    for (size_t i = at; p->g_k != NULL && i < at + n; i++)
        p->g_k[i * p->dim + i] += p->scale * sum;
    return p->scale * kappa * sum;
}

static double measure(const void *options, gyre_objective_part *p)
{
    (void)options;
    double sum = 0;
    for (size_t at = 0; at < p->dim; at += p->group)
        sum += group(p, at, p->group);
    return sum;
}

const gyre_objective_type gyre_objective_absmax = {
    .name = "absmax",
    .summary = "squared largest magnitude of a group, weighted by what its errors cost",
    .source = "step of an absmax scale; arXiv 2605.05699, section 5, minimises the error itself",
    .unit = "1",
    .flags = GYRE_OBJECTIVE_OF_K | GYRE_OBJECTIVE_OF_V,
    .prepare = prepare,
    .measure = measure,
};
