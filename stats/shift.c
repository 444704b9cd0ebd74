/* Judgements by shifting; formulas in shift.h. Cost: about 200 evaluations of the tails. */
#include "stats/shift.h"

#include <math.h>

#include <gsl/gsl_statistics_double.h>

typedef struct span {
    double lo, hi, exactness; /* beyond all data on both sides */
} span;

/* One end of the interval: the theta at which greater (lower end) or less (upper end) crosses `tail`. */
static gyre_status find_end(gyre_shift_tails tails, void *sample, const span *s, bool lower, double tail, double *end, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double rejected = lower ? s->lo : s->hi, kept = lower ? s->hi : s->lo, p[2];
    GYRE_TRY(tails(sample, rejected, &p[0], &p[1], err));
    if (p[lower ? 0 : 1] >= tail) {
        *end = NAN;
        goto done;
    }
    while (fabs(kept - rejected) > s->exactness) {
        double middle = 0.5 * (kept + rejected);
        GYRE_TRY(tails(sample, middle, &p[0], &p[1], err));
        if (p[lower ? 0 : 1] >= tail)
            kept = middle;
        else
            rejected = middle;
    }
    *end = 0.5 * (kept + rejected);
done:
    return st;
}

gyre_status gyre_judge_by_shift(gyre_shift_tails tails, void *sample, const double *d, size_t n, const gyre_margin *margin, double alpha, gyre_judgement *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double greater, less, lo, hi;
    gsl_stats_minmax(&lo, &hi, d, 1, n);
    double size = fmax(fabs(lo), fabs(hi)), room = 0.01 * (hi - lo) + 1e-10 * size;
    const span s = { lo - room, hi + room, 1e-13 * size };
    GYRE_TRY(tails(sample, 0.0, &greater, &less, err));
    out->p = fmin(1.0, 2.0 * fmin(greater, less));
    out->p_error = 0.0;
    GYRE_TRY(find_end(tails, sample, &s, true, 0.5 * alpha, &out->lo, err));
    GYRE_TRY(find_end(tails, sample, &s, false, 0.5 * alpha, &out->hi, err));
    GYRE_TRY(find_end(tails, sample, &s, true, alpha, &out->inner_lo, err));
    GYRE_TRY(find_end(tails, sample, &s, false, alpha, &out->inner_hi, err));
    if (!isnan(out->inner_lo) && !isnan(out->inner_hi))
        out->smallest_margin = fmax(fabs(out->inner_lo), fabs(out->inner_hi));
    if (!margin->declared)
        goto done;
    GYRE_TRY(tails(sample, margin->lo, &out->tost_p_lower, &less, err));
    GYRE_TRY(tails(sample, margin->hi, &greater, &out->tost_p_upper, err));
    out->p_not_worse = out->tost_p_upper;
    out->tost_p = fmax(out->tost_p_lower, out->tost_p_upper);
done:
    return st;
}
