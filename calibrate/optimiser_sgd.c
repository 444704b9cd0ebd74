/* sgd: gradient descent with heavy-ball momentum (B. T. Polyak, USSR Comput. Math. Math. Phys. 4, 1964).
 *
 *     m <- momentum m + g,  theta <- theta - rate m
 */
#include "calibrate/optimiser.h"

typedef struct options {
    double rate, momentum;
} options;

static const gyre_option table[] = {
    {"rate", GYRE_OPTION_REAL, offsetof(options, rate), "0.1", 1e-9, 1e6, NULL, "", "step size"},
    {"momentum", GYRE_OPTION_REAL, offsetof(options, momentum), "0", 0, 0.99999, NULL, "", "share of the last step that is kept; 0: plain"},
    {0},
};

static void step(const void *values, size_t t, double factor, const double *g, double *memory, double *theta, size_t n)
{
    (void)t;
    const options *o = values;
    for (size_t i = 0; i < n; i++) {
        memory[i] = o->momentum * memory[i] + g[i];
        theta[i] -= o->rate * factor * memory[i];
    }
}

const gyre_optimiser_type gyre_optimiser_sgd = {
    .name = "sgd",
    .summary = "gradient descent with momentum",
    .source = "Polyak, USSR Comput. Math. Math. Phys. 4 (1964)",
    .options = table,
    .memories = 1,
    .step = step,
};
