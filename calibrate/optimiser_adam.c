/* adam: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015 (arXiv 1412.6980), algorithm 1.
 *
 *     m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  theta <- theta - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
 *
 * rate is that option times the schedule's factor. No weight decay.
 */
#include <math.h>

#include "calibrate/optimiser.h"

typedef struct options {
    double rate, beta1, beta2, epsilon;
} options;

static const gyre_option table[] = {
    {"rate", GYRE_OPTION_REAL, offsetof(options, rate), "0.01", 1e-9, 100, NULL, "", "step size"},
    {"beta1", GYRE_OPTION_REAL, offsetof(options, beta1), "0.9", 0, 0.99999, NULL, "", "decay of the first moment"},
    {"beta2", GYRE_OPTION_REAL, offsetof(options, beta2), "0.999", 0, 0.9999999, NULL, "", "decay of the second moment"},
    {"epsilon", GYRE_OPTION_REAL, offsetof(options, epsilon), "1e-8", 1e-30, 1, NULL, "", "added to the root of the second moment"},
    {0},
};

static void step(const void *values, size_t t, double factor, const double *g, double *memory, double *theta, size_t n)
{
    const options *o = values;
    double *m = memory, *v = memory + n, first = 1.0 - pow(o->beta1, (double)t), second = 1.0 - pow(o->beta2, (double)t);
    for (size_t i = 0; i < n; i++) {
        m[i] = o->beta1 * m[i] + (1.0 - o->beta1) * g[i];
        v[i] = o->beta2 * v[i] + (1.0 - o->beta2) * g[i] * g[i];
        theta[i] -= o->rate * factor * (m[i] / first) / (sqrt(v[i] / second) + o->epsilon);
    }
}

const gyre_optimiser_type gyre_optimiser_adam = {
    .name = "adam",
    .summary = "adaptive moments",
    .source = "arXiv 1412.6980, algorithm 1",
    .options = table,
    .memories = 2,
    .step = step,
};
