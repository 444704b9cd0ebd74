/* pnorm: absmax with the p-norm in place of the maximum, so that every coordinate has a gradient (objective_absmax.c).
 *
 *     L = scale sum_rows w sum_g a_g^2 kappa_g,   a_g = (sum |y_j|^p)^(1/p) and kappa_g = sum K_jj over group g         dL/dK_jj = scale sum_rows w a_g^2
 *     dL/dy_j = 2 scale w a_g kappa_g sign(y_j) (|y_j| / a_g)^(p-1)
 *
 * max |y_j| <= a_g <= n^(1/p) max |y_j| for n coordinates; p -> infinity is absmax. For an orthogonal chain and one group the least value is d^(2/p), at flat rows. Powers are taken of
 * |y_j| / max |y_j|, by repeated squaring in double, so that nothing overflows.
 */
#include <math.h>
#include <stdint.h>

#include "calibrate/fit.h"
#include "calibrate/quadratic.h"

typedef struct pnorm {
    int64_t p;
} pnorm;

static const gyre_option table[] = {
    {"p", GYRE_OPTION_INT, offsetof(pnorm, p), "8", 4, 64, NULL, "", "exponent of the norm"},
    {0},
};

static gyre_status prepare(const void *options, gyre_objective_setup *s, gyre_error *err)
{
    (void)options, (void)err;
    gyre_quadratic_divide(s, s->unit);
    return GYRE_OK;
}

/* (|y_j| / most)^(p-1) of a group. */
static size_t work(size_t n, size_t dim, const void *prepared)
{
    (void)n, (void)prepared;
    return dim;
}

/* out_i = (|y_i| / most)^(p-1); returns sum (|y_i| / most)^p. */
static double powers(const float *y, size_t n, double most, unsigned p, float *out)
{
    enum { BLOCK = 32 };
    double sum = 0;
    for (size_t at = 0; at < n; at += BLOCK) {
        double base[BLOCK], power[BLOCK];
        size_t count = n - at < BLOCK ? n - at : BLOCK;
        for (size_t i = 0; i < BLOCK; i++) {
            base[i] = i < count ? fabs((double)y[at + i]) / most : 0.0;
            power[i] = 1.0;
        }
        for (unsigned e = p - 1; e > 0; e >>= 1) {
            for (size_t i = 0; i < BLOCK && (e & 1u); i++)
                power[i] *= base[i];
            for (size_t i = 0; i < BLOCK && e > 1; i++)
                base[i] *= base[i];
        }
        for (size_t i = 0; i < count; i++) {
            out[at + i] = (float)power[i];
            sum += power[i] * (fabs((double)y[at + i]) / most);
        }
    }
    return sum;
}

/* a^2 of a group of a row; adds `twice` a dL/dy (2 scale w kappa) where g_y is wanted. */
static double group_of_row(const float *y, size_t n, unsigned p, double twice, float *power, float *g_y)
{
    float most = 0.0f;
    for (size_t i = 0; i < n; i++)
        most = fabsf(y[i]) > most ? fabsf(y[i]) : most;
    if (most == 0.0f)
        return 0;
    double root = pow(powers(y, n, (double)most, p, power), 1.0 / (double)p), a = root * (double)most;
    double slope = twice * a * pow(root, 1.0 - (double)p);
    for (size_t i = 0; g_y != NULL && i < n; i++)
        g_y[i] += (float)(y[i] < 0.0f ? -slope * (double)power[i] : slope * (double)power[i]);
    return a * a;
}

static double measure(const void *options, gyre_objective_part *p)
{
    const pnorm *o = options;
    double total = 0;
    for (size_t at = 0; at < p->dim; at += p->group) {
        double kappa = 0, sum = 0;
        for (size_t i = at; i < at + p->group; i++)
            kappa += p->k[i * p->dim + i];
        for (size_t r = 0; r < p->n; r++) {
            double w = p->weight != NULL ? (double)p->weight[r] : 1.0;
            float *g_y = p->g_y != NULL ? p->g_y + r * p->dim + at : NULL;
            sum += w * group_of_row(p->y + r * p->dim + at, p->group, (unsigned)o->p, 2.0 * p->scale * w * kappa, p->work, g_y);
        }
        for (size_t i = at; p->g_k != NULL && i < at + p->group; i++)
            p->g_k[i * p->dim + i] += p->scale * sum;
        total += p->scale * kappa * sum;
    }
    return total;
}

const gyre_objective_type gyre_objective_pnorm = {
    .name = "pnorm",
    .summary = "squared p-norm of a group, a smooth absmax",
    .source = "norms of Hardy, Littlewood and Polya 1934, section 2.10",
    .unit = "1",
    .flags = GYRE_OBJECTIVE_OF_K | GYRE_OBJECTIVE_OF_V,
    .options = table,
    .prepare = prepare,
    .work = work,
    .measure = measure,
};
