/* Variance components; formulas, references and what they are not in components.h. Along each factor in turn the values are centred (a factor of the set) or averaged (one outside it). */
#include "stats/components.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Along one factor: of `levels` values `stride` apart, the mean in place of each, or each less the mean. */
static void sweep(double *x, size_t n, size_t levels, size_t stride, bool centre)
{
    for (size_t block = 0; block < n; block += levels * stride)
        for (size_t i = block; i < block + stride; i++) {
            double mean = 0.0;
            for (size_t l = 0; l < levels; l++)
                mean += x[i + l * stride];
            mean /= (double)levels;
            for (size_t l = 0; l < levels; l++)
                x[i + l * stride] = centre ? x[i + l * stride] - mean : mean;
        }
}

static gyre_status check(const double *x, const gyre_factor *factors, size_t n_factors, size_t *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *n = 1;
    if (n_factors == 0 || n_factors > GYRE_FACTORS)
        GYRE_FAIL(GYRE_E_APPLICABLE, "variance components of %zu factors: between 1 and %d", n_factors, GYRE_FACTORS);
    for (size_t f = 0; f < n_factors; f++) {
        if (factors[f].levels < 2)
            GYRE_FAIL(GYRE_E_APPLICABLE, "factor %s has %zu level(s) and no spread: leave it out", factors[f].name, factors[f].levels);
        *n *= factors[f].levels;
    }
    for (size_t i = 0; i < *n; i++)
        if (!isfinite(x[i]))
            GYRE_FAIL(GYRE_E_NAN, "value %zu of the layout is %g", i, x[i]);
done:
    return st;
}

static void solve(const gyre_factor *factors, size_t n_factors, gyre_component *out)
{
    unsigned all = (1u << n_factors) - 1, random = 0;
    for (size_t f = 0; f < n_factors; f++)
        random |= factors[f].random ? 1u << f : 0u;
    for (unsigned a = 1; a <= all; a++) {
        double sum = 0.0, outside = 1.0; /* N / N_A */
        for (unsigned b = a; b <= all; b++) {
            if ((b & a) != a || ((b & ~a) & ~random) != 0)
                continue;
            unsigned more = 0;
            for (unsigned rest = b & ~a; rest != 0; rest &= rest - 1)
                more++;
            sum += more % 2 == 0 ? out[b - 1].ms : -out[b - 1].ms;
        }
        for (size_t f = 0; f < n_factors; f++)
            outside *= (a >> f & 1u) != 0 ? 1.0 : (double)factors[f].levels;
        out[a - 1].negative = sum < 0.0;
        out[a - 1].variance = fmax(0.0, sum / outside);
    }
}

gyre_status gyre_components(const double *x, const gyre_factor *factors, size_t n_factors, gyre_component *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *work = NULL;
    size_t n;
    GYRE_TRY(check(x, factors, n_factors, &n, err));
    GYRE_NEW(&work, n);
    for (unsigned a = 1; a < 1u << n_factors; a++) {
        gyre_component *c = &out[a - 1];
        *c = (gyre_component){ .factors = a, .df = 1.0 };
        memcpy(work, x, n * sizeof *work);
        for (size_t f = n_factors, stride = 1; f-- > 0; stride *= factors[f].levels) {
            bool in = (a >> f & 1u) != 0;
            sweep(work, n, factors[f].levels, stride, in);
            c->df *= in ? (double)(factors[f].levels - 1) : 1.0;
        }
        for (size_t i = 0; i < n; i++)
            c->ss += work[i] * work[i];
        c->ms = c->ss / c->df;
    }
    solve(factors, n_factors, out);
done:
    free(work);
    return st;
}
