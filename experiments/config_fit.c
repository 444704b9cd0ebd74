/* Fits of a configuration: the `fit:` blocks, `fitted:`, and whether each codec has what they ask for. */
#include "experiments/config_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

static void read_option(gyre_config *c, const gyre_yaml_node *node, const char *path, const gyre_option *option, void *values)
{
    char why[GYRE_OPTION_TEXT];
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_SCALAR))
        return;
    if (node->quoted && option->type != GYRE_OPTION_CHOICE)
        gyre_yaml_fault(c->yaml, node, path, "\"%.40s\" is quoted text: write the value without quotes", node->text);
    else if (!gyre_option_parse(option, values, node->text, why))
        gyre_yaml_fault(c->yaml, node, path, "%s", why);
}

void gyre_config_read_objective(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fit_spec *fit)
{
    const char *name, *names[GYRE_CONFIG_NAMES + 1] = {0};
    const gyre_yaml_node *options, *name_node;
    if (!gyre_config_named(c->yaml, node, path, &name, &name_node, &options))
        return;
    const gyre_objective_type *type = gyre_objective_find(name);
    for (size_t i = 0; gyre_objective_types[i] != NULL && i < GYRE_CONFIG_NAMES; i++)
        names[i] = gyre_objective_types[i]->name;
    if (type == NULL) {
        gyre_config_unknown(c->yaml, name_node, path, "objective", name, names);
        return;
    }
    char at[GYRE_CONFIG_PATH];
    (void)snprintf(at, sizeof at, "%.180s.%.60s", path, name);
    fit->objective = type;
    fit->objective_options = (gyre_objective_values){{0}};
    (void)gyre_yaml_options(c->yaml, options, node, at, type->options, &fit->objective_options);
}

static void read_optimiser(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fit_spec *fit)
{
    const char *name, *names[GYRE_CONFIG_NAMES + 1] = {0};
    const gyre_yaml_node *options, *name_node;
    if (!gyre_config_named(c->yaml, node, path, &name, &name_node, &options))
        return;
    const gyre_optimiser_type *type = gyre_optimiser_find(name);
    for (size_t i = 0; gyre_optimiser_types[i] != NULL && i < GYRE_CONFIG_NAMES; i++)
        names[i] = gyre_optimiser_types[i]->name;
    if (type == NULL) {
        gyre_config_unknown(c->yaml, name_node, path, "optimiser", name, names);
        return;
    }
    char at[GYRE_CONFIG_PATH];
    (void)snprintf(at, sizeof at, "%.180s.%.60s", path, name);
    fit->optimiser = type;
    fit->optimiser_options = (gyre_optimiser_values){{0}};
    (void)gyre_yaml_options(c->yaml, options, node, at, type->options, &fit->optimiser_options);
}

void gyre_config_read_fit(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fit_spec *fit)
{
    const char *allowed[GYRE_CONFIG_NAMES + 1] = {"objective", "optimiser"};
    size_t n = 2;
    for (const gyre_option *o = gyre_fit_table; o->key != NULL && n < GYRE_CONFIG_NAMES; o++)
        allowed[n++] = o->key;
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    gyre_yaml_keys(c->yaml, node, path, allowed);
    for (size_t i = 0; i < node->count; i++) {
        const char *key = node->keys[i]->text;
        const gyre_option *option = gyre_option_find(gyre_fit_table, key);
        char at[GYRE_CONFIG_PATH];
        (void)snprintf(at, sizeof at, "%.180s.%.60s", path, key);
        if (option != NULL)
            read_option(c, node->items[i], at, option, &fit->own);
        else if (strcmp(key, "objective") == 0)
            gyre_config_read_objective(c, node->items[i], at, fit);
        else if (strcmp(key, "optimiser") == 0)
            read_optimiser(c, node->items[i], at, fit);
    }
}

void gyre_config_read_fitted(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_fitted_from *fitted)
{
    static const gyre_option option = {.key = "fitted", .type = GYRE_OPTION_FILE, .help = ""};
    const char *text, *mark;
    char name[GYRE_OPTION_PATH], why[GYRE_OPTION_TEXT];
    if (!gyre_yaml_text(c->yaml, node, path, &text))
        return;
    mark = strrchr(text, '#');
    if (mark == NULL || mark == text || mark[1] == '\0') {
        gyre_yaml_fault(c->yaml, node, path, "'%.80s': a results file and what of it are wanted, as in out/learned/results.h5#ARM (or #ARM/POINT, or #KEY of a cell)", text);
        return;
    }
    if ((size_t)(mark - text) >= sizeof name) {
        gyre_yaml_fault(c->yaml, node, path, "the path is too long");
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(mark - text), text);
    if (gyre_option_parse(&option, &fitted->file, name, why))
        fitted->selector = mark + 1;
    else
        gyre_yaml_fault(c->yaml, node, path, "%s", why);
}

/* ---- what an arm fits ---- */

unsigned gyre_arm_uses(const gyre_arm *arm, gyre_stream s)
{
    return arm->codes[s] ? gyre_fit_uses(&arm->codec[s], &arm->fit[s]) : (unsigned)GYRE_FIT_NOTHING;
}

bool gyre_arm_learns(const gyre_arm *arm)
{
    return ((gyre_arm_uses(arm, GYRE_K) | gyre_arm_uses(arm, GYRE_V)) & GYRE_FIT_LEARNS) != 0;
}

/* "tokens=512,leak=true": what acts on closed forms, where it is not the default; "" otherwise. */
static void rows_canonical(const gyre_fit_spec *fit, char *text, size_t size)
{
    static const char *const keys[] = {"tokens", "leak"};
    gyre_fit_spec defaults;
    size_t used = 0;
    gyre_fit_defaults(&defaults);
    text[0] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char value[GYRE_OPTION_TEXT], usual[GYRE_OPTION_TEXT];
        const gyre_option *option = gyre_option_find(gyre_fit_table, keys[i]);
        gyre_option_print(option, &fit->own, value, sizeof value);
        gyre_option_print(option, &defaults.own, usual, sizeof usual);
        if (strcmp(value, usual) != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s=%s", used == 0 ? "" : ",", keys[i], value);
    }
}

/* What acts on a choice among draws: the rest is at its defaults, so that it changes no key. */
static gyre_fit_spec of_draws(const gyre_fit_spec *fit)
{
    gyre_fit_spec own;
    gyre_fit_defaults(&own);
    own.objective = fit->objective;
    own.objective_options = fit->objective_options;
    own.own.tokens = fit->own.tokens;
    own.own.draws = fit->own.draws;
    own.own.leak = fit->own.leak;
    return own;
}

void gyre_arm_canonical(const gyre_arm *arm, gyre_stream s, char *text, size_t size)
{
    char codec[GYRE_CODEC_TEXT], fit[GYRE_FIT_TEXT] = "";
    const gyre_fitted_from *from = &arm->fitted[s];
    const gyre_fit_spec drawn = of_draws(&arm->fit[s]);
    unsigned uses = gyre_arm_uses(arm, s);
    if (!arm->codes[s]) {
        (void)snprintf(text, size, "exact");
        return;
    }
    gyre_codec_canonical(&arm->codec[s], codec, sizeof codec);
    if ((uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)) && from->selector == NULL)
        gyre_fit_canonical(uses & GYRE_FIT_LEARNS ? &arm->fit[s] : &drawn, fit, sizeof fit);
    else if (uses != GYRE_FIT_NOTHING)
        rows_canonical(&arm->fit[s], fit, sizeof fit);
    int n = snprintf(text, size, "%s%s%s", codec, fit[0] ? ";fit=" : "", fit);
    if (from->selector != NULL && n > 0 && (size_t)n < size)
        (void)snprintf(text + n, size - (size_t)n, ";fitted=sha256:%s#%s", from->file.sha256, from->selector);
}

/* ---- does it go together? ---- */

/* K and V that one quantizer codes are fitted together. */
static bool check_joint(const gyre_arm *arm, char why[GYRE_WHY])
{
    char own[2][GYRE_FIT_TEXT];
    bool joint = arm->codes[0] && arm->codes[1] && (gyre_codec_joint(&arm->codec[0]) || gyre_codec_joint(&arm->codec[1]));
    rows_canonical(&arm->fit[0], own[0], sizeof own[0]);
    rows_canonical(&arm->fit[1], own[1], sizeof own[1]);
    if (!joint || strcmp(own[0], own[1]) == 0)
        return true;
    (void)snprintf(why, GYRE_WHY, "K and V are coded together, and fitted on the same rows: give both the same tokens and leak");
    return false;
}

/* Where another run's parameters are taken, nothing is asked of the objective and the rule: some that go with the quantizer stand in. */
static gyre_fit_spec asked_of(const gyre_arm *arm, gyre_stream s)
{
    gyre_fit_spec fit = arm->fit[s];
    if (arm->fitted[s].selector == NULL)
        return fit;
    fit.objective = gyre_objective_find(arm->codec[s].quantizer->straight != NULL ? "mse" : "kurtosis");
    (void)gyre_options_defaults(fit.objective->options, &fit.objective_options);
    fit.own.rule = GYRE_RULE_SCALE;
    return fit;
}

static bool check_point(const gyre_config *c, const gyre_arm *arm, gyre_stream s, char why[GYRE_WHY])
{
    unsigned uses = gyre_arm_uses(arm, s);
    const gyre_fit_spec asked = asked_of(arm, s);
    if (arm->fit[s].own.leak && !c->leak)
        (void)snprintf(why, GYRE_WHY, "leak: true calibrates on the documents that are evaluated: say source.leak: deliberate too");
    else if (arm->fitted[s].selector != NULL && !(uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)))
        (void)snprintf(why, GYRE_WHY, "fitted: nothing of this codec is learned or drawn, so there are no parameters to set (where a draw was chosen: fit: {draws: N}, as there)");
    else
        return check_joint(arm, why) && gyre_fit_check(&arm->codec[s], &asked, s, why);
    return false;
}

/* A stream of an arm, at all of its points; false with a fault at its block, or at the codec where it has none. */
static bool check_stream(gyre_config *c, const gyre_yaml_node *root, const gyre_arm *arm, gyre_stream s)
{
    const gyre_yaml_node *streams = gyre_yaml_get(gyre_yaml_get(root, "arms"), arm->name);
    const char *name = gyre_yaml_get(streams, "both") != NULL ? "both" : s == GYRE_K ? "k" : "v";
    const gyre_yaml_node *codec = gyre_yaml_get(streams, name), *block = gyre_yaml_get(codec, "fit"), *node = block != NULL ? block : codec;
    char path[GYRE_CONFIG_PATH], why[GYRE_WHY];
    unsigned uses = GYRE_FIT_NOTHING;
    (void)snprintf(path, sizeof path, "arms.%.60s.%s%s", arm->name, name, block != NULL ? ".fit" : "");
    for (size_t i = 0; i < c->n_points; i++) {
        const gyre_arm_point *p = &c->points[i];
        if (strcmp(p->arm.name, arm->name) != 0)
            continue;
        uses |= gyre_arm_uses(&p->arm, s);
        if (!check_point(c, &p->arm, s, why)) {
            gyre_yaml_fault(c->yaml, node, path, "%s%s%s", why, p->point[0] ? ", at " : "", p->point);
            return false;
        }
    }
    if (block != NULL && uses == GYRE_FIT_NOTHING) {
        gyre_yaml_fault(c->yaml, block, path, "nothing to fit: no element of the chain is fitted or learned, and the quantizer is neither");
        return false;
    }
    return true;
}

void gyre_config_check_fits(gyre_config *c, const gyre_yaml_node *root)
{
    for (size_t a = 0; a < c->n_arms; a++)
        for (int s = 0; s < 2; s++)
            if (c->arms[a].codes[s] && !check_stream(c, root, &c->arms[a], (gyre_stream)s))
                break;
}
