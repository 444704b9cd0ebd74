#include "results/foresee.h"

#include <math.h>
#include <stdio.h>

#include "results/compare.h"
#include "stats/caution.h"
#include "stats/power.h"

/* A question that this design cannot answer has no answer; anything else is an error. */
static gyre_status no_answer(gyre_status status)
{
    return status == GYRE_E_RANGE || status == GYRE_E_APPLICABLE ? GYRE_OK : status;
}

gyre_status gyre_foresee(const gyre_design *design, gyre_comparison *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_margin margin;
    gyre_goal goal;
    double se = 0.0, df = 0.0;
    c->mde = c->power = c->seeds_needed = c->documents_needed = (double)NAN;
    const gyre_test_type *asked = gyre_test_find(c->test_asked); /* NULL: auto */
    double least = asked != NULL ? gyre_test_least_p(asked, design->documents) : 0.0;
    bool blind = least >= c->alpha; /* it sees no difference, whatever a t test would; one-sided tests have half that p */
    if (isnan(design->sd_seed) && isnan(design->sd_document) && isnan(design->sd_residual))
        goto done;
    gyre_status known = gyre_design_error(design, &se, &df, err);
    GYRE_TRY(no_answer(known));
    if (known != GYRE_OK)
        goto done;
    if (!blind)
        GYRE_TRY(no_answer(gyre_mde(se, df, c->alpha, GYRE_POWER_WANTED, &c->mde, err)));
    if (!c->has_margin || 0.5 * least >= c->alpha)
        goto done;
    GYRE_TRY(gyre_comparison_margin(c, &margin, err));
    GYRE_TRY(gyre_comparison_goal(c, &goal, err));
    GYRE_TRY(no_answer(gyre_power_crossed(design, 0.0, &margin, goal, c->alpha, &c->power, err)));
    if (design->seeds > 1)
        GYRE_TRY(no_answer(gyre_seeds_needed(design, 0.0, &margin, goal, c->alpha, GYRE_POWER_WANTED, &c->seeds_needed, err)));
    GYRE_TRY(no_answer(gyre_documents_needed(design, 0.0, &margin, goal, c->alpha, GYRE_POWER_WANTED, &c->documents_needed, err)));
done:
    return st;
}

void gyre_foreseen_text(const gyre_comparison *c, const char *verb, const char *unit, char text[GYRE_FORESEEN_TEXT])
{
    int n = 0;
    text[0] = '\0';
    if (isnan(c->mde))
        return;
    n = snprintf(text, GYRE_FORESEEN_TEXT, "%s %s%.3g with power %g", verb, c->ratio ? "x" : "", c->ratio ? exp(c->mde) : c->mde, GYRE_POWER_WANTED);
    if (!c->has_margin || n < 0 || n >= GYRE_FORESEEN_TEXT)
        return;
    bool seeds = !isnan(c->seeds_needed), documents = !isnan(c->documents_needed);
    char *at = text + n;
    size_t room = GYRE_FORESEEN_TEXT - (size_t)n;
    if (seeds && documents)
        (void)snprintf(at, room, "; for the margin: %.0f seeds or %.0f %ss", c->seeds_needed, c->documents_needed, unit);
    else if (seeds)
        (void)snprintf(at, room, "; for the margin: %.0f seeds", c->seeds_needed);
    else if (documents)
        (void)snprintf(at, room, "; for the margin: %.0f %ss", c->documents_needed, unit);
    else
        (void)snprintf(at, room, "; for the margin: no number of either alone is enough");
}
