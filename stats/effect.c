/* Effect sizes; formulas, references and what they are not in effect.h. Cost: O(n^2 log n) and some dozen integrals. */
#include "stats/effect.h"

#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_sf_gamma.h>
#include <gsl/gsl_statistics_double.h>

#include "stats/power.h"
#include "stats/signed_rank.h"
#include "stats/stats.h"

/* The noncentrality at which the upper (or lower) tail beyond t is `tail`: P(T >= t) rises with it. */
static gyre_status noncentrality(double t, double df, double tail, bool upper, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double reach = 10.0 + 4.0 * fabs(t) / sqrt(df), lo = t - reach - fabs(t), hi = t + reach + fabs(t);
    while (hi - lo > 1e-13 * fmax(1.0, fmax(fabs(lo), fabs(hi)))) {
        double middle = 0.5 * (lo + hi), below, above;
        GYRE_TRY(gyre_noncentral_t(t, df, middle, &below, &above, err));
        if (upper ? above < tail : below > tail)
            lo = middle;
        else
            hi = middle;
    }
    *out = 0.5 * (lo + hi);
done:
    return st;
}

static gyre_status standardized(const double *d, size_t n, double alpha, gyre_effect *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double root = sqrt((double)n), df = (double)(n - 1);
    out->dz = gsl_stats_mean(d, 1, n) / gsl_stats_sd(d, 1, n);
    GYRE_TRY(noncentrality(out->dz * root, df, 0.5 * alpha, true, &out->dz_lo, err));
    GYRE_TRY(noncentrality(out->dz * root, df, 0.5 * alpha, false, &out->dz_hi, err));
    out->dz_lo /= root;
    out->dz_hi /= root;
    out->j = n > 2 ? exp(gsl_sf_lngamma(0.5 * df) - gsl_sf_lngamma(0.5 * (df - 1.0))) / sqrt(0.5 * df) : NAN;
    out->g = out->j * out->dz;
    out->g_lo = out->j * out->dz_lo;
    out->g_hi = out->j * out->dz_hi;
done:
    return st;
}

gyre_status gyre_effect_sizes(const double *a, const double *b, size_t n, double alpha, gyre_effect *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_margin no_margin = { false, 0.0, 0.0 };
    gyre_estimate e;
    gyre_judgement j;
    gyre_signed_ranks ranks;
    double *d = NULL;
    GYRE_NEW(&d, n);
    for (size_t i = 0; i < n; i++)
        d[i] = b == NULL ? a[i] : a[i] - b[i];
    const gyre_test_type *test = n > GYRE_WALSH_MOST ? &gyre_test_paired_t : &gyre_test_wilcoxon;
    GYRE_TRY(gyre_test_judge(test, d, 1, n, &no_margin, alpha, 0, &e, &j, err));
    if (e.degenerate)
        GYRE_FAIL(GYRE_E_APPLICABLE, "all %zu differences are %g: no spread to measure an effect in", n, e.mean);
    GYRE_TRY(standardized(d, n, alpha, out, err));
    out->d_av = b == NULL ? NAN : gsl_stats_mean(d, 1, n) / sqrt(0.5 * (gsl_stats_variance(a, 1, n) + gsl_stats_variance(b, 1, n)));
    GYRE_TRY(gyre_signed_rank(d, n, 0.0, GYRE_ZEROS_DROP, &ranks, err));
    out->rank_biserial = ranks.n == 0 ? NAN : (ranks.w_plus - ranks.w_minus) / (ranks.w_plus + ranks.w_minus);
    bool ranked = test == &gyre_test_wilcoxon;
    out->hodges_lehmann = ranked ? e.mean : NAN;
    out->hl_lo = ranked ? j.lo : NAN;
    out->hl_hi = ranked ? j.hi : NAN;
done:
    free(d);
    return st;
}
