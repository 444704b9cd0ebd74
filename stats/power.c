/* Power of t tests by one integral over the estimated standard deviation; formulas, references and what it is not in power.h. Cost: some hundred integrand values each. */
#include "stats/power.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_integration.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_roots.h>
#include <gsl/gsl_sf_gamma.h>

enum { INTERVALS = 200, MOST_STEPS = 200 };
static const double most_units = 1e7;

/* S = sqrt(chi2_df / df) and what is integrated over its density: Phi(a - t s) - Phi(b + t s). */
typedef struct tails {
    double df, log_constant, a, b, t;
} tails;

static double integrand(double s, void *parameters)
{
    const tails *k = parameters;
    if (s <= 0.0)
        return 0.0;
    double x = s - 1.0, f = exp(k->log_constant + (k->df - 1.0) * log1p(x) - 0.5 * k->df * x * (2.0 + x));
    return (gsl_cdf_ugaussian_P(k->a - k->t * s) - gsl_cdf_ugaussian_P(k->b + k->t * s)) * f;
}

static gyre_status integrate(tails *k, double lo, double hi, gsl_integration_workspace *work, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gsl_function f = { integrand, k };
    double error = 0.0;
    *out = 0.0;
    if (hi <= lo)
        goto done;
    /* With fewer than one degree of freedom the density has a pole at 0, which qags extrapolates. */
    int rc = lo <= 0.0 && k->df < 1.0 ? gsl_integration_qags(&f, lo, hi, 1e-15, 1e-13, INTERVALS, work, out, &error)
                                      : gsl_integration_qag(&f, lo, hi, 1e-15, 1e-13, INTERVALS, GSL_INTEG_GAUSS61, work, out, &error);
    if ((rc != GSL_SUCCESS && !(error < 1e-9)) || !isfinite(*out)) /* it may well report that 1e-13 is beyond rounding */
        GYRE_FAIL(GYRE_E_RANGE, "power with %g degrees of freedom: the integral does not converge (%s)", k->df, gsl_strerror(rc));
done:
    return st;
}

/* Of Phi(a - t s) - Phi(b + t s) over the density of S, from 0 to `upper`. */
static gyre_status expectation(double a, double b, double t, double df, double upper, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gsl_integration_workspace *work = gsl_integration_workspace_alloc(INTERVALS);
    if (work == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for an integral");
    /* f(s) = 2 (df/2)^(df/2) / Gamma(df/2) s^(df-1) exp(-df s^2 / 2), in terms of gammastar(x) = Gamma(x) / (sqrt(2 pi) x^(x - 1/2) exp(-x)), so that nothing large cancels */
    double width = 12.0 / sqrt(df), left = 0.0, right = 0.0;
    tails k = { df, 0.5 * log(df / M_PI) - log(gsl_sf_gammastar(0.5 * df)), a, b, t };
    double lo = fmax(0.0, 1.0 - width), hi = fmin(1.0 + width, upper);
    GYRE_TRY(integrate(&k, lo, fmin(1.0, hi), work, &left, err));
    GYRE_TRY(integrate(&k, 1.0, hi, work, &right, err));
    *out = fmin(1.0, fmax(0.0, left + right));
done:
    if (work != NULL)
        gsl_integration_workspace_free(work);
    return st;
}

static gyre_status check(double effect, double se, double df, double alpha, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_check_alpha(alpha, err));
    if (!(isfinite(effect) && isfinite(se) && se > 0.0 && isfinite(df) && df > 0.0))
        GYRE_FAIL(GYRE_E_RANGE, "power of a difference of %g with standard error %g and %g degrees of freedom", effect, se, df);
done:
    return st;
}

gyre_status gyre_noncentral_t(double x, double df, double noncentrality, double *below, double *above, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check(noncentrality, 1.0, df, 0.25, err));
    if (!isfinite(x))
        GYRE_FAIL(GYRE_E_RANGE, "noncentral t at %g", x);
    GYRE_TRY(expectation(-noncentrality, -INFINITY, -x, df, INFINITY, below, err));
    GYRE_TRY(expectation(noncentrality, -INFINITY, x, df, INFINITY, above, err));
done:
    return st;
}

gyre_status gyre_power_t(double effect, double se, double df, double alpha, double *power, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check(effect, se, df, alpha, err));
    double t = gsl_cdf_tdist_Qinv(0.5 * alpha, df), above = 0.0, below = 0.0;
    GYRE_TRY(expectation(effect / se, -INFINITY, t, df, INFINITY, &above, err));
    GYRE_TRY(expectation(-effect / se, -INFINITY, t, df, INFINITY, &below, err));
    *power = fmin(1.0, above + below);
done:
    return st;
}

gyre_status gyre_power_tost(double effect, const gyre_margin *margin, gyre_goal goal, double se, double df, double alpha, double *power, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_judgement unused;
    GYRE_TRY(check(effect, se, df, alpha, err));
    GYRE_TRY(gyre_judge_begin(margin, alpha, &unused, err));
    if (!margin->declared)
        GYRE_FAIL(GYRE_E_CONFIG, "power of an equivalence test without a margin: declare one");
    double t = gsl_cdf_tdist_Qinv(alpha, df), lo = goal == GYRE_GOAL_NOT_WORSE ? -INFINITY : margin->lo;
    GYRE_TRY(expectation((margin->hi - effect) / se, (lo - effect) / se, t, df, (margin->hi - lo) / (2.0 * se * t), power, err));
done:
    return st;
}

/* ---- the smallest difference seen ---- */

typedef struct search {
    double df, alpha, power;
    gyre_status st;
    gyre_error *err;
} search;

static double short_of(double effect, void *parameters)
{
    search *s = parameters;
    double power = NAN;
    gyre_status st = gyre_power_t(effect, 1.0, s->df, s->alpha, &power, s->err);
    if (st != GYRE_OK)
        s->st = st;
    return power - s->power;
}

gyre_status gyre_mde(double se, double df, double alpha, double power, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    search s = { df, alpha, power, GYRE_OK, err };
    gsl_function f = { short_of, &s };
    gsl_root_fsolver *solver = NULL;
    GYRE_TRY(check(0.0, se, df, alpha, err));
    if (!(power > alpha && power < 1.0))
        GYRE_FAIL(GYRE_E_CONFIG, "power %g is not between alpha %g and 1", power, alpha);
    double lo = 0.0, hi = 1.0;
    while (s.st == GYRE_OK && short_of(hi, &s) < 0.0 && hi < 1e12)
        hi *= 2.0;
    solver = gsl_root_fsolver_alloc(gsl_root_fsolver_brent);
    if (solver == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a root finder");
    if (s.st != GYRE_OK || gsl_root_fsolver_set(solver, &f, lo, hi) != GSL_SUCCESS)
        GYRE_FAIL(GYRE_E_RANGE, "no difference has power %g at alpha %g with %g degrees of freedom", power, alpha, df);
    for (int i = 0; i < MOST_STEPS && hi - lo > 1e-14 * hi; i++) {
        (void)gsl_root_fsolver_iterate(solver);
        lo = gsl_root_fsolver_x_lower(solver);
        hi = gsl_root_fsolver_x_upper(solver);
    }
    *out = se * gsl_root_fsolver_root(solver);
    st = s.st;
done:
    if (solver != NULL)
        gsl_root_fsolver_free(solver);
    return st;
}

/* ---- designs ---- */

static double square_of(double sd)
{
    return isnan(sd) ? 0.0 : sd * sd;
}

gyre_status gyre_design_error(const gyre_design *design, double *se, double *df, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double seeds = (double)design->seeds, documents = (double)design->documents;
    double a = square_of(design->sd_seed), b = square_of(design->sd_document), e = square_of(design->sd_residual);
    if (design->seeds == 0 || design->documents < 2)
        GYRE_FAIL(GYRE_E_APPLICABLE, "a design of %zu seed(s) and %zu document(s): at least 1 and 2", design->seeds, design->documents);
    if (design->seeds == 1 && a > 0.0)
        GYRE_FAIL(GYRE_E_APPLICABLE, "a design of one seed where seeds differ says nothing about others: at least 2");
    if (!isfinite(a + b + e) || a + b + e <= 0.0)
        GYRE_FAIL(GYRE_E_RANGE, "standard deviations %g over seeds, %g over documents, %g residual: no spread to plan with", design->sd_seed, design->sd_document, design->sd_residual);
    if (design->seeds == 1) {
        *se = sqrt((b + e) / documents);
        *df = documents - 1.0;
        goto done;
    }
    double v = e + documents * a + seeds * b, ds = seeds - 1.0, dj = documents - 1.0; /* expected mean squares: e + D a, e + S b, e */
    double s = (e + documents * a) / v, j = (e + seeds * b) / v, r = e / v;
    *se = sqrt(v / (seeds * documents));
    *df = 1.0 / (s * s / ds + j * j / dj + r * r / (ds * dj));
    if (design->seeds == 2 || design->documents == 2) /* as in crossed.c */
        *df = fmin(*df, 1.0);
done:
    return st;
}

gyre_status gyre_power_crossed(const gyre_design *design, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double *power, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double se = NAN, df = NAN;
    GYRE_TRY(gyre_design_error(design, &se, &df, err));
    if (margin->declared)
        GYRE_TRY(gyre_power_tost(effect, margin, goal, se, df, alpha, power, err));
    else
        GYRE_TRY(gyre_power_t(effect, se, df, alpha, power, err));
done:
    return st;
}

/* The least *count in [least, most_units] for which the design has the power; *count belongs to *design. More units are not always more power: as they grow the other factor's few levels rule, and df
 * falls towards theirs, by up to a few hundredths of power. So all counts up to EACH are tried and then every eighth part more, and only within the last step is power taken to rise. */
static gyre_status least_count(gyre_design *design, size_t *count, size_t least, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double power, double *out,
                               gyre_error *err)
{
    gyre_status st = GYRE_OK;
    enum { EACH = 16 };
    size_t lo = least, hi = least; /* too few at lo - 1, enough at hi */
    double reached = 0.0;
    *out = NAN;
    if (!(power > 0.0 && power < 1.0))
        GYRE_FAIL(GYRE_E_CONFIG, "power %g is not between 0 and 1", power);
    for (;; lo = hi + 1, hi += hi < EACH ? 1 : hi / 8) {
        if ((double)hi > most_units)
            goto done;
        *count = hi;
        GYRE_TRY(gyre_power_crossed(design, effect, margin, goal, alpha, &reached, err));
        if (reached >= power)
            break;
    }
    while (lo < hi) {
        *count = lo + (hi - lo) / 2;
        GYRE_TRY(gyre_power_crossed(design, effect, margin, goal, alpha, &reached, err));
        if (reached >= power)
            hi = *count;
        else
            lo = *count + 1;
    }
    *out = (double)hi;
done:
    return st;
}

gyre_status gyre_documents_needed(const gyre_design *design, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double power, double *out, gyre_error *err)
{
    gyre_design d = *design;
    return least_count(&d, &d.documents, 2, effect, margin, goal, alpha, power, out, err);
}

gyre_status gyre_seeds_needed(const gyre_design *design, double effect, const gyre_margin *margin, gyre_goal goal, double alpha, double power, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_design d = *design;
    double reached = 0.0;
    if (design->seeds > 1)
        return least_count(&d, &d.seeds, 2, effect, margin, goal, alpha, power, out, err);
    GYRE_TRY(gyre_power_crossed(design, effect, margin, goal, alpha, &reached, err));
    *out = reached >= power ? 1.0 : NAN;
done:
    return st;
}
