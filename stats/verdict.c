/* p values, intervals, equivalence and the verdict; formulas, references and what it is not are in verdict.h. Cost: a few tails of Student's t.
 *
 * A p value may underflow to 0 (t = 1e10 with 100 degrees of freedom): it is then below 1e-300, and not the mark of a degenerate sample.
 */
#include "stats/verdict.h"

#include <math.h>

#include <gsl/gsl_cdf.h>

gyre_status gyre_margin_ratio(double ratio, gyre_margin *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (!isfinite(ratio) || ratio <= 1.0)
        GYRE_FAIL(GYRE_E_CONFIG, "margin ratio %g is not above 1: 1.05 means a factor between 1/1.05 and 1.05", ratio);
    *out = (gyre_margin){ true, -log(ratio), log(ratio) };
done:
    return st;
}

gyre_status gyre_margin_abs(double size, gyre_margin *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (!isfinite(size) || size <= 0.0)
        GYRE_FAIL(GYRE_E_CONFIG, "margin abs %g is not above 0: give it in the metric's unit", size);
    *out = (gyre_margin){ true, -size, size };
done:
    return st;
}

gyre_status gyre_check_alpha(double alpha, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (!(alpha > 0.0 && alpha < 0.5))
        GYRE_FAIL(GYRE_E_CONFIG, "alpha %g is outside (0, 0.5)", alpha);
done:
    return st;
}

gyre_status gyre_judge_begin(const gyre_margin *margin, double alpha, gyre_judgement *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = (gyre_judgement){ NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
    GYRE_TRY(gyre_check_alpha(alpha, err));
    if (margin->declared && !(isfinite(margin->lo) && isfinite(margin->hi) && margin->lo < 0.0 && margin->hi > 0.0))
        GYRE_FAIL(GYRE_E_CONFIG, "margin (%g, %g) does not hold 0 inside finite bounds", margin->lo, margin->hi);
done:
    return st;
}

static gyre_status check(const gyre_estimate *e, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (!e->degenerate && !(isfinite(e->mean) && isfinite(e->se) && e->se > 0.0 && isfinite(e->df) && e->df > 0.0))
        GYRE_FAIL(GYRE_E_INTERNAL, "estimate with mean %g, standard error %g, %g degrees of freedom", e->mean, e->se, e->df);
done:
    return st;
}

static void tost(const gyre_estimate *e, const gyre_margin *margin, gyre_judgement *out)
{
    out->tost_p_lower = gsl_cdf_tdist_Q((e->mean - margin->lo) / e->se, e->df);
    out->tost_p_upper = gsl_cdf_tdist_P((e->mean - margin->hi) / e->se, e->df);
    out->tost_p = fmax(out->tost_p_lower, out->tost_p_upper);
    out->p_not_worse = out->tost_p_upper;
}

gyre_status gyre_judge(const gyre_estimate *estimate, const gyre_margin *margin, double alpha, gyre_judgement *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_estimate *e = estimate;
    GYRE_TRY(gyre_judge_begin(margin, alpha, out, err));
    GYRE_TRY(check(e, err));
    if (e->degenerate)
        goto done;
    double wide = e->se * gsl_cdf_tdist_Qinv(0.5 * alpha, e->df), narrow = e->se * gsl_cdf_tdist_Qinv(alpha, e->df);
    if (!isfinite(wide) || !isfinite(narrow))
        GYRE_FAIL(GYRE_E_RANGE, "no interval at alpha %g with %g degrees of freedom: take a larger alpha or more documents and seeds", alpha, e->df);
    out->t = e->mean / e->se;
    out->p = fmin(1.0, 2.0 * gsl_cdf_tdist_Q(fabs(out->t), e->df));
    out->lo = e->mean - wide;
    out->hi = e->mean + wide;
    out->inner_lo = e->mean - narrow;
    out->inner_hi = e->mean + narrow;
    out->smallest_margin = fabs(e->mean) + narrow;
    out->p_error = 0.0;
    if (margin->declared)
        tost(e, margin, out);
    if (isnan(out->p) || (margin->declared && (isnan(out->tost_p_lower) || isnan(out->tost_p_upper))))
        GYRE_FAIL(GYRE_E_RANGE, "no tail of Student's t at t = %g with %g degrees of freedom", out->t, e->df);
done:
    return st;
}

gyre_verdict gyre_verdict_of(const gyre_estimate *estimate, gyre_goal goal, double p_adjusted, double margin_p_adjusted, double alpha)
{
    bool differs = p_adjusted < alpha, within = margin_p_adjusted < alpha; /* false for NaN */
    bool better = differs && estimate->mean < 0.0, worse = differs && estimate->mean > 0.0;
    if (estimate->degenerate)
        return GYRE_VERDICT_DEGENERATE;
    if (goal == GYRE_GOAL_EQUIVALENT && within)
        return GYRE_VERDICT_EQUIVALENT;
    if (better)
        return GYRE_VERDICT_BETTER;
    if (within)
        return GYRE_VERDICT_NOT_WORSE;
    return worse ? GYRE_VERDICT_WORSE : GYRE_VERDICT_INCONCLUSIVE;
}

const char *gyre_verdict_name(gyre_verdict verdict)
{
    static const char *const names[] = {
#define GYRE_VERDICT_NAME(name) #name,
        GYRE_VERDICT_LIST(GYRE_VERDICT_NAME)
#undef GYRE_VERDICT_NAME
    };
    return names[verdict];
}
