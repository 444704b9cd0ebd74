/* Grid of a configuration: axes, and the points that they make of an arm. */
#include "experiments/config_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a path may be behind the arm and the stream. */
static const struct {
    size_t n;
    const char *words[3]; /* NULL: any word, that of an option or an element */
    gyre_axis_place place;
    bool whole;
} forms[] = {
    {1, {"order"}, GYRE_AXIS_OWN, false},
    {1, {"window"}, GYRE_AXIS_OWN, false},
    {1, {"sink"}, GYRE_AXIS_OWN, false},
    {1, {"chain"}, GYRE_AXIS_CHAIN, true},
    {1, {"quantizer"}, GYRE_AXIS_QUANTIZER, true},
    {2, {"fit", "objective"}, GYRE_AXIS_OBJECTIVE, true},
    {3, {"chain", NULL, NULL}, GYRE_AXIS_CHAIN, false},
    {2, {"quantizer", NULL}, GYRE_AXIS_QUANTIZER, false},
    {3, {"fit", "objective", NULL}, GYRE_AXIS_OBJECTIVE, false},
    {3, {"fit", "optimiser", NULL}, GYRE_AXIS_OPTIMISER, false},
    {2, {"fit", NULL}, GYRE_AXIS_FIT, false},
};

/* Splits "arm.k.chain.scale.per" at dots into the axis; false when the path has no meaning. */
static bool parse_axis(gyre_config *c, gyre_axis *axis)
{
    char *part[8] = {0};
    size_t n = 0, i = 0;
    for (char *p = axis->words; p != NULL && n < 8;) {
        part[n++] = p;
        p = strchr(p, '.');
        if (p != NULL)
            *p++ = '\0';
    }
    axis->on[0] = axis->on[1] = true;
    if (i < n && gyre_config_arm(c, part[i]) != NULL)
        axis->arm = part[i++];
    if (i < n && (strcmp(part[i], "k") == 0 || strcmp(part[i], "v") == 0)) {
        axis->on[part[i][0] == 'k' ? 1 : 0] = false;
        i++;
    }
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        bool same = n - i == forms[f].n;
        for (size_t w = 0; same && w < forms[f].n; w++)
            same = forms[f].words[w] == NULL || strcmp(forms[f].words[w], part[i + w]) == 0;
        if (!same)
            continue;
        axis->place = forms[f].place;
        axis->whole = forms[f].whole;
        axis->element = axis->place == GYRE_AXIS_CHAIN && !axis->whole ? part[i + 1] : NULL;
        axis->option = part[n - 1];
        return true;
    }
    return false;
}

static int parse_in(const gyre_option *table, const char *key, void *values, const char *text, char *why)
{
    const gyre_option *o = gyre_option_find(table, key);
    return o == NULL ? 0 : gyre_option_parse(o, values, text, why) ? 1 : -1;
}

static int set_in_chain(const gyre_axis *axis, gyre_chain_spec *chain, const char *text, char *why)
{
    int result = 0;
    for (size_t i = 0; i < chain->count && result >= 0; i++)
        if (strcmp(chain->elements[i].type->name, axis->element) == 0) {
            int r = parse_in(chain->elements[i].type->options, axis->option, &chain->elements[i].options, text, why);
            result = r < 0 ? r : result | r;
        }
    return result;
}

/* Sets the axis' value in one codec; 1: set, 0: the codec has no such option, -1: the value is refused (why). */
static int set_in_codec(const gyre_axis *axis, gyre_codec_spec *codec, gyre_fit_spec *fit, size_t value, char *why)
{
    const char *text = axis->values[value];
    switch (axis->place) {
    case GYRE_AXIS_OWN:
        return parse_in(gyre_codec_table, axis->option, &codec->own, text, why);
    case GYRE_AXIS_CHAIN:
        if (!axis->whole)
            return set_in_chain(axis, &codec->chain, text, why);
        codec->chain = axis->parts[value].chain;
        return 1;
    case GYRE_AXIS_QUANTIZER:
        if (!axis->whole)
            return codec->quantizer == NULL ? 0 : parse_in(codec->quantizer->options, axis->option, &codec->options, text, why);
        codec->quantizer = axis->parts[value].quantizer;
        codec->options = axis->parts[value].options;
        return 1;
    case GYRE_AXIS_OBJECTIVE:
        if (!axis->whole)
            return parse_in(fit->objective->options, axis->option, &fit->objective_options, text, why);
        fit->objective = axis->objectives[value].objective;
        fit->objective_options = axis->objectives[value].objective_options;
        return 1;
    case GYRE_AXIS_OPTIMISER:
        return parse_in(fit->optimiser->options, axis->option, &fit->optimiser_options, text, why);
    case GYRE_AXIS_FIT:
        return parse_in(gyre_fit_table, axis->option, &fit->own, text, why);
    }
    return 0;
}

static int set_in_arm(const gyre_axis *axis, gyre_arm *arm, size_t value, char *why)
{
    int result = 0;
    if (axis->arm != NULL && strcmp(axis->arm, arm->name) != 0)
        return 0;
    for (int s = 0; s < 2; s++) {
        int r = arm->codes[s] && axis->on[s] ? set_in_codec(axis, &arm->codec[s], &arm->fit[s], value, why) : 0;
        if (r < 0)
            return r;
        result |= r;
    }
    return result;
}

static bool of_fit(const gyre_axis *axis)
{
    return axis->place == GYRE_AXIS_FIT || axis->place == GYRE_AXIS_OBJECTIVE || axis->place == GYRE_AXIS_OPTIMISER;
}

/* Does an option of a fit change anything at this point? `tokens` and `leak` do wherever rows are fitted, `draws` where the chain draws and nothing is learned, the objective where
 * something is learned or drawn, the rest where something is learned; where another run's parameters are taken, `tokens` and `leak` alone. */
static bool fit_acts(const gyre_axis *axis, const gyre_arm *arm)
{
    bool acts = false;
    for (int s = 0; s < 2; s++) {
        unsigned uses = axis->on[s] ? gyre_arm_uses(arm, (gyre_stream)s) : (unsigned)GYRE_FIT_NOTHING, wanted = GYRE_FIT_LEARNS;
        bool of_rows = axis->place == GYRE_AXIS_FIT && (strcmp(axis->option, "tokens") == 0 || strcmp(axis->option, "leak") == 0);
        if (arm->fitted[s].selector != NULL && !of_rows)
            continue;
        if (axis->place == GYRE_AXIS_OBJECTIVE)
            wanted = GYRE_FIT_LEARNS | GYRE_FIT_DRAWS;
        else if (of_rows)
            wanted = GYRE_FIT_ROWS | GYRE_FIT_LEARNS | GYRE_FIT_DRAWS;
        if (strcmp(axis->option, "draws") == 0)
            acts = acts || (arm->codes[s] && axis->on[s] && !(uses & GYRE_FIT_LEARNS) && (gyre_chain_traits(&arm->codec[s].chain).flags & GYRE_SEEDED));
        else
            acts = acts || (uses & wanted);
    }
    return acts;
}

/* Tries the last value of the axis in every arm; false with a fault when one refuses it, or gets a chain whose frames do not fit. *acts when one takes it. */
static bool try_value(gyre_config *c, const gyre_axis *axis, const gyre_yaml_node *node, const char *path, bool *acts)
{
    const bool in_chain = axis->place == GYRE_AXIS_CHAIN;
    char why[GYRE_WHY];
    for (size_t a = 0; a < c->n_arms; a++) {
        gyre_arm copy = c->arms[a];
        int r = set_in_arm(axis, &copy, axis->n_values - 1, why);
        bool ill_typed = false;
        *acts = *acts || r != 0;
        for (int s = 0; s < 2 && r > 0 && in_chain && !ill_typed; s++)
            ill_typed = copy.codes[s] && axis->on[s] && !gyre_chain_check(&copy.codec[s].chain, (gyre_stream)s, why);
        if (r < 0 || ill_typed) {
            gyre_yaml_fault(c->yaml, node, path, "%s%s%.60s", why, ill_typed ? ", in arm " : "", ill_typed ? copy.name : "");
            return false;
        }
    }
    return true;
}

/* A list of option values. */
static bool read_values(gyre_config *c, const gyre_yaml_node *values, const char *path, gyre_axis *axis)
{
    bool acts = false;
    if (!gyre_yaml_want(c->yaml, values, path, GYRE_YAML_LIST) || !gyre_config_fits(c->yaml, values, path, values->count, GYRE_CONFIG_VALUES))
        return true;
    for (size_t i = 0; i < values->count; i++) {
        const char *text;
        if (!gyre_yaml_text(c->yaml, values->items[i], path, &text))
            continue;
        for (size_t j = 0; j < axis->n_values; j++)
            if (strcmp(axis->values[j], text) == 0)
                gyre_yaml_fault(c->yaml, values->items[i], path, "the value %.40s stands twice", text);
        axis->values[axis->n_values++] = text;
        (void)try_value(c, axis, values->items[i], path, &acts);
    }
    return acts;
}

/* A map from names to whole chains, quantizers or objectives. */
static gyre_status read_parts(gyre_config *c, const gyre_yaml_node *values, const char *path, gyre_axis *axis, bool *acts, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *acts = true;
    if (!gyre_yaml_want(c->yaml, values, path, GYRE_YAML_MAP) || !gyre_config_fits(c->yaml, values, path, values->count, GYRE_CONFIG_VALUES))
        return GYRE_OK;
    *acts = false;
    GYRE_NEW(&axis->parts, values->count);
    GYRE_NEW(&axis->objectives, values->count);
    for (size_t i = 0; i < values->count; i++) {
        char at[GYRE_CONFIG_PATH];
        size_t before = gyre_yaml_faults(c->yaml);
        (void)snprintf(at, sizeof at, "%.150s.%.60s", path, values->keys[i]->text);
        (void)gyre_config_name(c->yaml, values->keys[i], path, "the name of a grid value");
        if (axis->place == GYRE_AXIS_CHAIN)
            gyre_config_read_chain(c, values->items[i], at, &axis->parts[i].chain);
        else if (axis->place == GYRE_AXIS_OBJECTIVE)
            gyre_config_read_objective(c, values->items[i], at, &axis->objectives[i]);
        else
            gyre_config_read_quantizer(c, values->items[i], at, &axis->parts[i]);
        axis->values[axis->n_values++] = values->keys[i]->text;
        if (gyre_yaml_faults(c->yaml) > before)
            *acts = true; /* said already */
        else
            (void)try_value(c, axis, values->items[i], at, acts);
    }
done:
    return st;
}

static gyre_status read_axis(gyre_config *c, const gyre_yaml_node *key, const gyre_yaml_node *values, gyre_axis *axis, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[GYRE_CONFIG_PATH];
    bool acts = false;
    (void)snprintf(path, sizeof path, "grid.%.200s", axis->path);
    if (axis->place == GYRE_AXIS_FIT && gyre_option_find(gyre_fit_table, axis->option) == NULL) {
        const char *names[GYRE_CONFIG_NAMES + 1] = {0};
        for (size_t i = 0; gyre_fit_table[i].key != NULL && i < GYRE_CONFIG_NAMES; i++)
            names[i] = gyre_fit_table[i].key;
        gyre_config_unknown(c->yaml, key, path, "option of a fit", axis->option, names);
        return GYRE_OK;
    }
    if (!axis->whole)
        acts = read_values(c, values, path, axis);
    else
        GYRE_TRY(read_parts(c, values, path, axis, &acts, err));
    if (values->kind != GYRE_YAML_SCALAR && values->count == 0)
        gyre_yaml_fault(c->yaml, values, path, "the %s is empty", values->kind == GYRE_YAML_LIST ? "list" : "map");
    else if (!acts)
        gyre_yaml_fault(c->yaml, key, path, axis->whole ? "no arm codes that stream" : "no arm has such an option");
done:
    return st;
}

/* Two axes that set the same place of one arm would undo each other: a whole part, and an option inside it. */
static void check_parts(gyre_config *c, const gyre_yaml_node *grid)
{
    for (size_t i = 0; i < c->n_axes; i++)
        for (size_t j = 0; j < c->n_axes; j++) {
            static const char *const names[] = {"quantizer", "chain", "own", "fit", "objective", "optimiser"};
            const gyre_axis *a = &c->axes[i], *b = &c->axes[j];
            bool meet = (a->on[0] && b->on[0]) || (a->on[1] && b->on[1]);
            bool arms = a->arm == NULL || b->arm == NULL || strcmp(a->arm, b->arm) == 0;
            if (i != j && a->whole && a->place == b->place && meet && arms)
                gyre_yaml_fault(c->yaml, grid->keys[j], "grid", "'%.60s' replaces the whole %s: '%.60s' beside it would be lost; put the options there", a->path, names[a->place], b->path);
        }
}

/* Does `path` end in `words`, at a dot? */
static bool ends_in(const char *path, const char *words)
{
    size_t n = strlen(path), m = strlen(words);
    return n >= m && strcmp(path + n - m, words) == 0 && (n == m || path[n - m - 1] == '.');
}

/* Labels name points: the shortest end of each path that no other axis' path shares. */
static void make_labels(gyre_config *c)
{
    for (size_t i = 0; i < c->n_axes; i++) {
        const char *path = c->axes[i].path, *label = path + strlen(path);
        bool shared = true;
        while (shared && label > path) {
            label -= label > path + 1 ? 2 : 1; /* over the dot */
            while (label > path && label[-1] != '.')
                label--;
            shared = false;
            for (size_t j = 0; j < c->n_axes; j++)
                shared = shared || (j != i && ends_in(c->axes[j].path, label));
        }
        c->axes[i].label = label;
    }
}

gyre_status gyre_config_read_grid(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *grid = gyre_yaml_get(root, "grid");
    if (grid == NULL || !gyre_yaml_want(c->yaml, grid, "grid", GYRE_YAML_MAP) || !gyre_config_fits(c->yaml, grid, "grid", grid->count, GYRE_CONFIG_AXES))
        return GYRE_OK;
    for (size_t i = 0; i < grid->count; i++) {
        gyre_axis *axis = &c->axes[i];
        axis->path = grid->keys[i]->text;
        GYRE_NEW(&axis->words, strlen(axis->path) + 1);
        memcpy(axis->words, axis->path, strlen(axis->path) + 1);
        c->n_axes++;
        if (parse_axis(c, axis))
            GYRE_TRY(read_axis(c, grid->keys[i], grid->items[i], axis, err));
        else
            gyre_yaml_fault(c->yaml, grid->keys[i], "grid", "'%.80s' names nothing: write [ARM.][k.|v.]quantizer[.OPTION], chain[.ELEMENT.OPTION], order, window, sink, fit.OPTION or fit.objective", axis->path);
    }
    check_parts(c, grid);
    make_labels(c);
done:
    return st;
}

/* ---- points ---- */

/* Random numbers are drawn by the chain or the quantizer, or for the batches of what is learned. */
static bool arm_seeded(const gyre_arm *arm)
{
    bool seeded = false;
    for (int s = 0; s < 2; s++)
        seeded = seeded || (arm->codes[s] && gyre_codec_seeded(&arm->codec[s])) || ((gyre_arm_uses(arm, (gyre_stream)s) & GYRE_FIT_LEARNS) && arm->fit[s].own.batch > 0);
    return seeded;
}

/* Point `place` of an arm's combinations of values; false where it says nothing new: a value behind the first, of an option that does not act there. */
static gyre_status make_point(gyre_config *c, const gyre_arm *arm, const size_t *acting, size_t n_acting, size_t place, size_t count, gyre_arm_point *point, bool *is_new, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t value[GYRE_CONFIG_AXES], used = 0, stride = count;
    char why[GYRE_WHY];
    *point = (gyre_arm_point){.arm = *arm};
    *is_new = true;
    for (size_t i = 0; i < n_acting; i++) {
        stride /= c->axes[acting[i]].n_values;
        value[i] = place / stride % c->axes[acting[i]].n_values;
        (void)set_in_arm(&c->axes[acting[i]], &point->arm, value[i], why);
    }
    for (size_t i = 0; i < n_acting; i++) {
        gyre_axis *axis = &c->axes[acting[i]];
        if (of_fit(axis) && !fit_acts(axis, &point->arm)) {
            *is_new = *is_new && value[i] == 0;
            continue;
        }
        axis->acts = true;
        int n = snprintf(point->point + used, sizeof point->point - used, "%s%s=%s", used == 0 ? "" : ",", axis->label, axis->values[value[i]]);
        if (n < 0 || used + (size_t)n >= sizeof point->point)
            GYRE_FAIL(GYRE_E_CONFIG, "the grid values of arm %s make too long a name", arm->name);
        used += (size_t)n;
    }
    point->seeded = arm_seeded(&point->arm);
    for (size_t i = 0; i < arm->n_ranges; i++)
        point->seeded = point->seeded || (arm->ranges[i].arm != NULL && arm_seeded(gyre_config_arm(c, arm->ranges[i].arm)));
done:
    return st;
}

/* All grid values that act on one arm, first axis slowest. */
static gyre_status expand_arm(gyre_config *c, const gyre_arm *arm, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t acting[GYRE_CONFIG_AXES], n_acting = 0, count = 1;
    char why[GYRE_WHY];
    for (size_t i = 0; i < c->n_axes; i++) {
        gyre_arm copy = *arm;
        if (c->axes[i].n_values > 0 && set_in_arm(&c->axes[i], &copy, 0, why) > 0) {
            acting[n_acting++] = i;
            count *= c->axes[i].n_values;
        }
    }
    gyre_arm_point *more = realloc(c->points, (c->n_points + count) * sizeof *more);
    if (more == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for %zu points of the grid", count);
    c->points = more;
    for (size_t p = 0; p < count; p++) {
        bool is_new;
        GYRE_TRY(make_point(c, arm, acting, n_acting, p, count, &c->points[c->n_points], &is_new, err));
        c->n_points += is_new ? 1 : 0;
    }
done:
    return st;
}

gyre_status gyre_config_expand(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char path[GYRE_CONFIG_PATH];
    const gyre_yaml_node *grid = gyre_yaml_get(root, "grid");
    for (size_t i = 0; i < c->n_arms; i++)
        GYRE_TRY(expand_arm(c, &c->arms[i], err));
    for (size_t i = 0; i < c->n_axes; i++)
        if (!c->axes[i].acts) {
            (void)snprintf(path, sizeof path, "grid.%.200s", c->axes[i].path);
            gyre_yaml_fault(c->yaml, grid->keys[i], path, "it acts on no arm: nothing there is %s", strcmp(c->axes[i].option, "draws") == 0 ? "drawn by the chain" : "fitted by it");
        }
done:
    return st;
}
