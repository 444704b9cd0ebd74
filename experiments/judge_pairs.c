/* Pairs: one difference for each sign seed and document. What a comparison of a run prints, and effect sizes; and variance components of larger layouts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/judge.h"
#include "results/foresee.h"
#include "stats/caution.h"
#include "stats/components.h"
#include "stats/effect.h"
#include "stats/power.h"
#include "stats/signed_rank.h"

static gyre_status no_answer(gyre_status status)
{
    return status == GYRE_E_RANGE || status == GYRE_E_APPLICABLE ? GYRE_OK : status;
}

/* ---- what the sample could have seen ---- */

static gyre_status add_power(gyre_desk *desk, const double *d, size_t seeds, size_t documents, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_findings *f = &desk->found;
    gyre_estimate e;
    double se = NAN, df = NAN, mde = NAN, power = NAN, more_seeds = NAN, more_documents = NAN;
    GYRE_TRY(gyre_test_default(seeds, documents)->estimate(d, seeds, documents, &e, err));
    const gyre_design design = { seeds, documents, e.sd_seed, e.sd_document, e.sd_residual };
    f->section = "spread";
    gyre_found_number(f, "sd over seeds", e.sd_seed, seeds > 1 ? "" : "no seeds");
    gyre_found_number(f, "sd over documents", e.sd_document, seeds > 1 ? "" : "documents and residual together");
    gyre_found_number(f, "sd residual", e.sd_residual, "");
    gyre_status known = gyre_design_error(&design, &se, &df, err);
    GYRE_TRY(no_answer(known));
    if (known != GYRE_OK)
        goto done;
    double least = desk->test != NULL ? gyre_test_least_p(desk->test, documents) : 0.0; /* as in results/foresee.c */
    f->section = "power";
    if (least < desk->alpha)
        GYRE_TRY(no_answer(gyre_mde(se, df, desk->alpha, GYRE_POWER_WANTED, &mde, err)));
    gyre_found_number(f, "smallest difference seen", mde, "true difference that the two-sided test finds with power 0.8");
    if (desk->ratio)
        gyre_found_number(f, "smallest ratio seen", exp(mde), "");
    if (!desk->margin.declared || 0.5 * least >= desk->alpha)
        goto done;
    GYRE_TRY(no_answer(gyre_power_crossed(&design, 0.0, &desk->margin, desk->goal, desk->alpha, &power, err)));
    if (seeds > 1)
        GYRE_TRY(no_answer(gyre_seeds_needed(&design, 0.0, &desk->margin, desk->goal, desk->alpha, GYRE_POWER_WANTED, &more_seeds, err)));
    GYRE_TRY(no_answer(gyre_documents_needed(&design, 0.0, &desk->margin, desk->goal, desk->alpha, GYRE_POWER_WANTED, &more_documents, err)));
    gyre_found_number(f, "power for the margin", power, "where there is no true difference");
    if (seeds > 1)
        gyre_found_number(f, "seeds needed", more_seeds, isnan(more_seeds) ? "no number of seeds alone is enough" : "for power 0.8, with these documents");
    gyre_found_number(f, "documents needed", more_documents, isnan(more_documents) ? "no number of documents alone is enough" : seeds > 1 ? "for power 0.8, with these seeds" : "for power 0.8");
done:
    return st;
}

static gyre_status add_effects(gyre_desk *desk, const double *arm, const double *against, const double *d, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_findings *f = &desk->found;
    gyre_effect e;
    gyre_signed_ranks drop, pratt;
    GYRE_TRY(gyre_effect_sizes(arm != NULL ? arm : d, against, n, desk->alpha, &e, err));
    GYRE_TRY(gyre_signed_rank(d, n, 0.0, GYRE_ZEROS_DROP, &drop, err));
    GYRE_TRY(gyre_signed_rank(d, n, 0.0, GYRE_ZEROS_PRATT, &pratt, err));
    f->section = "effect";
    gyre_found_interval(f, "dz", e.dz, e.dz_lo, e.dz_hi, "in standard deviations of the difference");
    gyre_found_interval(f, "Hedges g", e.g, e.g_lo, e.g_hi, "the same without its bias");
    gyre_found_number(f, "d_av", e.d_av, arm != NULL ? "in standard deviations of documents under one arm" : "needs columns 'arm' and 'against'");
    gyre_found_interval(f, "Hodges-Lehmann", e.hodges_lehmann, e.hl_lo, e.hl_hi, "pseudo-median");
    gyre_found_number(f, "rank biserial", e.rank_biserial, "");
    f->section = "signed ranks";
    gyre_found_number(f, "W plus", drop.w_plus, "");
    gyre_found_number(f, "W minus", drop.w_minus, "");
    gyre_found_number(f, "p Wilcoxon", drop.p, drop.exact ? "exact, zeros left out" : "normal, zeros left out");
    gyre_found_number(f, "p Pratt", pratt.p, pratt.exact ? "exact, zeros ranked" : "normal, zeros ranked");
done:
    return st;
}

/* ---- the comparison ---- */

static gyre_status compare(gyre_desk *desk, const double *arm, const double *against, const double *d, size_t seeds, size_t documents, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_findings *f = &desk->found;
    const gyre_test_type *test = desk->test != NULL ? desk->test : gyre_test_default(seeds, documents);
    gyre_estimate e;
    gyre_judgement j;
    f->section = "sample";
    gyre_found_number(f, "documents", (double)documents, "");
    gyre_found_number(f, "seeds", (double)seeds, seeds > 1 ? "crossed with documents, both random" : "neither arm has seeds, or there is one");
    f->section = "comparison";
    GYRE_TRY(gyre_test_judge(test, d, seeds, documents, &desk->margin, desk->alpha, desk->seed, &e, &j, err));
    gyre_desk_judgement(desk, test->name, gyre_test_caution(test, seeds, documents), &e, &j);
    if (e.degenerate)
        goto done;
    GYRE_TRY(add_power(desk, d, seeds, documents, err));
    if (seeds == 1)
        GYRE_TRY(add_effects(desk, arm, against, d, documents, err));
done:
    return st;
}

gyre_status gyre_judge_pairs(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_layout layout = {0};
    double *arm = NULL, *against = NULL, *d = NULL;
    const char *const both[] = { "seed", "document" };
    bool documents = gyre_desk_has(desk, "document"), seeds = gyre_desk_has(desk, "seed");
    if (seeds && !documents)
        GYRE_FAIL(GYRE_E_INPUT, "%s, line 1: there is a column of seeds and none of documents: seeds cannot stand in for documents", desk->csv.path);
    GYRE_TRY(gyre_desk_layout(desk, seeds ? both : both + 1, (size_t)seeds + (size_t)documents, &layout, err));
    GYRE_TRY(gyre_desk_differences(desk, &layout, &arm, &against, &d, err));
    GYRE_TRY(compare(desk, arm, against, d, seeds ? layout.levels[0] : 1, seeds ? layout.levels[1] : layout.cells, err));
done:
    gyre_layout_free(&layout);
    free(arm);
    free(against);
    free(d);
    return st;
}

/* ---- components ---- */

/* "seed x layer" */
static void name_set(unsigned set, const gyre_factor *factors, size_t n, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if ((set >> i & 1u) != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? " x " : "", factors[i].name);
}

static void add_components(gyre_desk *desk, const gyre_component *c, const gyre_factor *factors, size_t n)
{
    const unsigned all = (1u << n) - 1u;
    desk->found.section = "standard deviations";
    for (unsigned set = 1; set <= all; set++) {
        char name[64], note[128];
        name_set(set, factors, n, name, sizeof name);
        (void)snprintf(note, sizeof note, "%.0f degrees of freedom, mean square %.6g%s%s", c[set - 1].df, c[set - 1].ms, c[set - 1].negative ? "; below what noise alone gives: counts as 0" : "",
                       set == all ? "; holds the measurement error too" : "");
        gyre_found_number(&desk->found, name, sqrt(c[set - 1].variance), note);
    }
}

gyre_status gyre_judge_components(gyre_desk *desk, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    static const gyre_factor known[] = { { "seed", 0, true }, { "document", 0, true }, { "layer", 0, false }, { "head", 0, false } };
    gyre_factor factors[GYRE_FACTORS];
    gyre_component components[(1 << GYRE_FACTORS) - 1];
    const char *roles[GYRE_FACTORS];
    gyre_layout layout = {0};
    double *arm = NULL, *against = NULL, *d = NULL, *rows = NULL;
    size_t n = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (gyre_desk_has(desk, known[i].name)) {
            factors[n] = known[i];
            roles[n++] = known[i].name;
        }
    if (n == 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s, line 1: none of the columns seed, document, layer, head is there: variance of what?", desk->csv.path);
    GYRE_TRY(gyre_desk_layout(desk, roles, n, &layout, err));
    for (size_t i = 0; i < n; i++)
        factors[i].levels = layout.levels[i];
    if (gyre_desk_has(desk, "value")) {
        GYRE_TRY(gyre_desk_numbers(desk, "value", &rows, err));
        GYRE_NEW(&d, layout.cells);
        for (size_t i = 0; i < layout.cells; i++)
            d[layout.place[i]] = rows[i];
    } else
        GYRE_TRY(gyre_desk_differences(desk, &layout, &arm, &against, &d, err));
    GYRE_TRY(gyre_components(d, factors, n, components, err));
    desk->found.section = "layout";
    for (size_t i = 0; i < n; i++)
        gyre_found_number(&desk->found, factors[i].name, (double)factors[i].levels, factors[i].random ? "levels, random: they stand for others" : "levels, fixed: they are all there are");
    add_components(desk, components, factors, n);
done:
    gyre_layout_free(&layout);
    free(arm);
    free(against);
    free(d);
    free(rows);
    return st;
}
