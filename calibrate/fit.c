#include "calibrate/fit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const rules[] = {"scale", "plain", NULL}, *const schedules[] = {"cosine", "constant", NULL}, *const keeps[] = {"best", "last", NULL};
static const char *const all_words[] = {"all", NULL}, *const off_words[] = {"off", NULL};
const gyre_option gyre_fit_table[] = {
    {"steps", GYRE_OPTION_INT, offsetof(gyre_fit_options, steps), "300", 1, 1000000, NULL, "", "steps of gradient descent"},
    {"batch", GYRE_OPTION_INT, offsetof(gyre_fit_options, batch), "1024", 1, 1 << 24, all_words, "rows", "rows of a step, in equal shares of the heads that learn together; all: every calibration row"},
    {"tokens", GYRE_OPTION_INT, offsetof(gyre_fit_options, tokens), "all", 1, 1 << 30, all_words, "tokens",
     "calibration tokens used, evenly spread over the documents; each gives one row per head"},
    {"restarts", GYRE_OPTION_INT, offsetof(gyre_fit_options, restarts), "1", 1, 1000, NULL, "", "starts of what is learned; the best end is kept"},
    {"draws", GYRE_OPTION_INT, offsetof(gyre_fit_options, draws), "1", 1, 32000, NULL, "", "draws of what the chain draws at random; the best on the calibration rows is kept, nothing is learned"},
    {"every", GYRE_OPTION_INT, offsetof(gyre_fit_options, every), "10", 1, 1000000, NULL, "steps", "between points of the training curve"},
    {"patience", GYRE_OPTION_INT, offsetof(gyre_fit_options, patience), "off", 1, 1000000, off_words, "points", "points of the curve without a better validation value after which a fit stops"},
    {"rule", GYRE_OPTION_CHOICE, offsetof(gyre_fit_options, rule), "scale", 0, 0, rules, "", "straight-through rule: the scale is differentiable, or the whole error is held constant"},
    {"schedule", GYRE_OPTION_CHOICE, offsetof(gyre_fit_options, schedule), "cosine", 0, 0, schedules, "", "of the rate: from 1 to 0 over the steps, or 1"},
    {"keep", GYRE_OPTION_CHOICE, offsetof(gyre_fit_options, keep), "best", 0, 0, keeps, "", "the state with the least validation value (the start among them), or the last"},
    {"leak", GYRE_OPTION_BOOL, offsetof(gyre_fit_options, leak), "false", 0, 0, NULL, "", "true: calibrates on the evaluation documents; wants source.leak: deliberate"},
    {0},
};

void gyre_fit_defaults(gyre_fit_spec *s)
{
    *s = (gyre_fit_spec){.objective = gyre_objective_find("mse"), .optimiser = gyre_optimiser_find("adam")};
    (void)gyre_options_defaults(gyre_fit_table, &s->own);
    (void)gyre_options_defaults(s->objective->options, &s->objective_options);
    (void)gyre_options_defaults(s->optimiser->options, &s->optimiser_options);
}

void gyre_fit_canonical(const gyre_fit_spec *s, char *text, size_t size)
{
    char objective[GYRE_CANONICAL_TEXT] = "", optimiser[GYRE_CANONICAL_TEXT] = "", own[GYRE_CANONICAL_TEXT];
    gyre_options_canonical(s->objective->options, &s->objective_options, objective, sizeof objective);
    gyre_options_canonical(s->optimiser->options, &s->optimiser_options, optimiser, sizeof optimiser);
    gyre_options_canonical(gyre_fit_table, &s->own, own, sizeof own);
    (void)snprintf(text, size, "objective=%s(%s),optimiser=%s(%s),%s", s->objective->name, objective, s->optimiser->name, optimiser, own);
}

unsigned gyre_fit_uses(const gyre_codec_spec *codec, const gyre_fit_spec *s)
{
    gyre_traits traits = gyre_chain_traits(&codec->chain);
    unsigned flags = gyre_quantizer_flags(codec->quantizer, &codec->options), uses = 0;
    if ((traits.needs & GYRE_NEEDS_CALIBRATION) || (flags & GYRE_QUANTIZER_FITTED))
        uses |= GYRE_FIT_ROWS;
    if ((traits.flags & GYRE_LEARNABLE) || (flags & GYRE_QUANTIZER_LEARNS))
        uses |= GYRE_FIT_LEARNS;
    if (s->own.draws > 1)
        uses |= GYRE_FIT_DRAWS;
    return uses;
}

/* The first learned element; count where there is none. */
static size_t first_learned(const gyre_chain_spec *chain)
{
    size_t i = 0;
    while (i < chain->count && !(gyre_transform_traits(chain->elements[i].type, &chain->elements[i].options).flags & GYRE_LEARNABLE))
        i++;
    return i;
}

/* Elements from the first learned one on: linear, nothing fitted in closed form, one scope. */
static bool check_chain(const gyre_chain_spec *chain, char why[GYRE_WHY])
{
    size_t first = first_learned(chain);
    if (first == chain->count)
        return true;
    gyre_traits learned = gyre_transform_traits(chain->elements[first].type, &chain->elements[first].options);
    for (size_t i = first; i < chain->count; i++) {
        const gyre_transform_type *type = chain->elements[i].type;
        gyre_traits t = gyre_transform_traits(type, &chain->elements[i].options);
        if ((t.flags & GYRE_LEARNABLE) && t.pooled != learned.pooled) {
            (void)snprintf(why, GYRE_WHY, "%.60s and %.60s are learned together: give both the same `per`", chain->elements[first].type->name, type->name);
            return false;
        }
        if (!(t.flags & GYRE_LEARNABLE) && (t.needs & GYRE_NEEDS_CALIBRATION)) {
            (void)snprintf(why, GYRE_WHY, "%.60s is fitted in closed form and stands behind %.60s, which is learned: put it before", type->name, chain->elements[first].type->name);
            return false;
        }
        if (!(t.flags & GYRE_LINEAR)) {
            (void)snprintf(why, GYRE_WHY, "%.60s is not linear and stands behind %.60s, which is learned: put it before", type->name, chain->elements[first].type->name);
            return false;
        }
    }
    return true;
}

static bool check_draws(const gyre_codec_spec *codec, const gyre_fit_spec *s, char why[GYRE_WHY])
{
    if (!(gyre_chain_traits(&codec->chain).flags & GYRE_SEEDED)) {
        (void)snprintf(why, GYRE_WHY, "draws: the chain draws nothing at random");
        return false;
    }
    if ((s->objective->flags & GYRE_OBJECTIVE_QUANTIZES) && codec->quantizer->straight == NULL && (codec->quantizer->span != GYRE_SPAN_ROW || codec->quantizer->fit != NULL)) {
        (void)snprintf(why, GYRE_WHY, "draws: the objective %.40s needs a quantizer that codes row by row without a fit, and %.40s does not", s->objective->name, codec->quantizer->name);
        return false;
    }
    return true;
}

static bool check_learning(const gyre_codec_spec *codec, const gyre_fit_spec *s, char why[GYRE_WHY])
{
    bool clip = gyre_quantizer_flags(codec->quantizer, &codec->options) & GYRE_QUANTIZER_LEARNS, quantizes = s->objective->flags & GYRE_OBJECTIVE_QUANTIZES;
    if (quantizes && codec->quantizer->straight == NULL)
        (void)snprintf(why, GYRE_WHY, "the objective %.40s needs a straight-through rule, and %.40s has none (sym and asym have): choose absmax, pnorm or kurtosis", s->objective->name,
                       codec->quantizer->name);
    else if (clip && !quantizes)
        (void)snprintf(why, GYRE_WHY, "the objective %.40s does not see the clip ratio that %.40s learns: choose one that goes through the quantizer, as mse", s->objective->name, codec->quantizer->name);
    else if (clip && s->own.rule == GYRE_RULE_PLAIN)
        (void)snprintf(why, GYRE_WHY, "rule: plain holds the whole error constant, so the clip ratio that %.40s learns would never move: take rule: scale", codec->quantizer->name);
    else
        return check_chain(&codec->chain, why);
    return false;
}

bool gyre_fit_check(const gyre_codec_spec *codec, const gyre_fit_spec *s, gyre_stream stream, char why[GYRE_WHY])
{
    unsigned uses = gyre_fit_uses(codec, s), of = stream == GYRE_K ? GYRE_OBJECTIVE_OF_K : GYRE_OBJECTIVE_OF_V;
    if (!(uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)))
        return true;
    if (gyre_codec_joint(codec))
        (void)snprintf(why, GYRE_WHY, "%.60s codes K and V together: nothing is learned or chosen through it", codec->quantizer->name);
    else if ((uses & GYRE_FIT_LEARNS) && (uses & GYRE_FIT_DRAWS))
        (void)snprintf(why, GYRE_WHY, "draws choose among random elements and learn nothing: leave out what learns, or use restarts");
    else if (!(s->objective->flags & of))
        (void)snprintf(why, GYRE_WHY, "the objective %.60s is not defined for %s", s->objective->name, stream == GYRE_K ? "keys" : "values");
    else if (s->objective->applicable == NULL || s->objective->applicable(&s->objective_options, codec, why))
        return uses & GYRE_FIT_DRAWS ? check_draws(codec, s, why) : check_learning(codec, s, why);
    return false;
}

void gyre_fits_free(gyre_fits *fits)
{
    for (size_t i = 0; fits->items != NULL && i < fits->count; i++) {
        free(fits->items[i].parameters);
        free(fits->items[i].point_step);
        free(fits->items[i].point[0]);
        free(fits->items[i].point[1]);
    }
    free(fits->items);
    *fits = (gyre_fits){0};
}
