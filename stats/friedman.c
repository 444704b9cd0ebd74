/* Friedman, Iman-Davenport, Nemenyi; formulas, references and what they are not in friedman.h. Cost: O(n k^2), and an integral a step of the root finder. */
#include "stats/friedman.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_integration.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_roots.h>

enum { INTERVALS = 200, MOST_STEPS = 100 };

/* Adds the ranks of one block to sum, times two; returns the sum of t^3 - t over its ties. */
static double add_ranks(const double *block, size_t k, double *sum)
{
    double ties = 0.0;
    for (size_t j = 0; j < k; j++) {
        double below = 0.0, equal = 0.0;
        for (size_t i = 0; i < k; i++) {
            below += block[i] < block[j];
            equal += !(block[i] < block[j]) && !(block[i] > block[j]);
        }
        sum[j] += 2.0 * below + equal + 1.0;
        ties += equal * equal - 1.0; /* t^3 - t a group, t^2 - 1 a member */
    }
    return ties;
}

gyre_status gyre_friedman(const double *x, size_t n, size_t k, double *mean_rank, gyre_friedman_result *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double blocks = (double)n, methods = (double)k, ties = 0.0, squares = 0.0;
    if (n < 2 || k < 2)
        GYRE_FAIL(GYRE_E_APPLICABLE, "%zu block(s) of %zu method(s): at least 2 of each", n, k);
    for (size_t i = 0; i < n * k; i++)
        if (!isfinite(x[i]))
            GYRE_FAIL(GYRE_E_NAN, "value of block %zu, method %zu is %g", i / k, i % k, x[i]);
    for (size_t j = 0; j < k; j++)
        mean_rank[j] = 0.0;
    for (size_t i = 0; i < n; i++)
        ties += add_ranks(x + i * k, k, mean_rank);
    double spread = 1.0 - ties / (blocks * methods * (methods * methods - 1.0));
    if (spread <= 0.0)
        GYRE_FAIL(GYRE_E_APPLICABLE, "all %zu methods tie in every block: they have no order", k);
    for (size_t j = 0; j < k; j++) { /* whole numbers until here: doubled rank sums less their expectation */
        double off = mean_rank[j] - blocks * (methods + 1.0);
        squares += 0.25 * off * off;
        mean_rank[j] *= 0.5 / blocks;
    }
    out->chi2 = 12.0 * squares / (blocks * methods * (methods + 1.0)) / spread;
    out->p = gsl_cdf_chisq_Q(out->chi2, methods - 1.0);
    double rest = blocks * (methods - 1.0) - out->chi2;
    out->f = rest > 1e-12 * blocks * methods ? (blocks - 1.0) * out->chi2 / rest : INFINITY;
    out->p_f = isinf(out->f) ? 0.0 : gsl_cdf_fdist_Q(out->f, methods - 1.0, (methods - 1.0) * (blocks - 1.0));
done:
    return st;
}

/* ---- the range of normals ---- */

typedef struct spread_of {
    double q, k;
} spread_of;

/* u^m - v^m = (u - v) (u^(m-1) + u^(m-2) v + ... + v^(m-1)): nothing cancels, and the tail keeps its digits. */
static double integrand(double z, void *parameters)
{
    const spread_of *s = parameters;
    double u = gsl_cdf_ugaussian_P(z), w = gsl_cdf_ugaussian_P(z - s->q), v = u - w, sum = 0.0, power = 1.0;
    for (double i = 0.0; i < s->k - 1.0; i += 1.0) { /* Horner: sum = sum u + v^i */
        sum = sum * u + power;
        power *= v;
    }
    return s->k * gsl_ran_ugaussian_pdf(z) * w * sum;
}

static gyre_status integrate(gsl_function *f, double lo, double hi, gsl_integration_workspace *work, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double error = 0.0;
    int rc = gsl_integration_qag(f, lo, hi, 0.0, 1e-13, INTERVALS, GSL_INTEG_GAUSS61, work, out, &error);
    if (!isfinite(*out) || (rc != GSL_SUCCESS && !(error <= 1e-9 * *out))) /* it may well report that 1e-13 is beyond rounding */
        GYRE_FAIL(GYRE_E_RANGE, "range of normals: the integral does not converge (%s)", gsl_strerror(rc));
done:
    return st;
}

gyre_status gyre_range_tail(double q, size_t k, double *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    spread_of s = { q, (double)k };
    gsl_function f = { integrand, &s };
    gsl_integration_workspace *work = NULL;
    double low = 0.0, high = 0.0;
    if (k < 2 || !(q >= 0.0) || isinf(q))
        GYRE_FAIL(GYRE_E_RANGE, "range of %zu normals at %g", k, q);
    work = gsl_integration_workspace_alloc(INTERVALS);
    if (work == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for an integral");
    /* Nothing of a double is left beyond 38. */
    double middle = fmin(0.5 * q, 30.0);
    GYRE_TRY(integrate(&f, -38.0, middle, work, &low, err));
    GYRE_TRY(integrate(&f, middle, 38.0, work, &high, err));
    *p = fmin(1.0, low + high);
done:
    if (work != NULL)
        gsl_integration_workspace_free(work);
    return st;
}

typedef struct search {
    double alpha;
    size_t k;
    gyre_status st;
    gyre_error *err;
} search;

static double excess(double q, void *parameters)
{
    search *s = parameters;
    double p = NAN;
    gyre_status st = gyre_range_tail(q, s->k, &p, s->err);
    if (st != GYRE_OK)
        s->st = st;
    return p - s->alpha;
}

gyre_status gyre_range_quantile(double alpha, size_t k, double *q, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    search s = { alpha, k, GYRE_OK, err };
    gsl_function f = { excess, &s };
    gsl_root_fsolver *solver = NULL;
    double lo = 0.0, hi = 40.0;
    if (k < 2 || !(alpha > 0.0 && alpha < 1.0))
        GYRE_FAIL(GYRE_E_RANGE, "upper %g point of the range of %zu normals", alpha, k);
    solver = gsl_root_fsolver_alloc(gsl_root_fsolver_brent);
    if (solver == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a root finder");
    if (gsl_root_fsolver_set(solver, &f, lo, hi) != GSL_SUCCESS)
        GYRE_FAIL(GYRE_E_RANGE, "no upper %g point of the range of %zu normals", alpha, k);
    for (int i = 0; i < MOST_STEPS && hi - lo > 1e-15 * hi; i++) {
        (void)gsl_root_fsolver_iterate(solver);
        lo = gsl_root_fsolver_x_lower(solver);
        hi = gsl_root_fsolver_x_upper(solver);
    }
    *q = gsl_root_fsolver_root(solver);
    st = s.st;
done:
    if (solver != NULL)
        gsl_root_fsolver_free(solver);
    return st;
}

gyre_status gyre_nemenyi_difference(size_t n, size_t k, double alpha, double *cd, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double q, methods = (double)k;
    if (n < 2)
        GYRE_FAIL(GYRE_E_APPLICABLE, "critical difference from %zu block(s): at least 2", n);
    GYRE_TRY(gyre_range_quantile(alpha, k, &q, err));
    *cd = q * sqrt(methods * (methods + 1.0) / (12.0 * (double)n));
done:
    return st;
}

gyre_status gyre_nemenyi_p(double difference, size_t n, size_t k, double *p, gyre_error *err)
{
    double methods = (double)k;
    return gyre_range_tail(fabs(difference) * sqrt(12.0 * (double)n / (methods * (methods + 1.0))), k, p, err);
}
