/* Grid of a configuration: axes, and the points that they make of an arm. */
#include "experiments/config_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (i + 1 == n && strcmp(part[i], "order") == 0)
        axis->own = true;
    else if (i + 1 == n && strcmp(part[i], "chain") == 0)
        axis->part = GYRE_AXIS_CHAIN;
    else if (i + 1 == n && strcmp(part[i], "quantizer") == 0)
        axis->part = GYRE_AXIS_QUANTIZER;
    else if (i + 3 == n && strcmp(part[i], "chain") == 0)
        axis->element = part[i + 1];
    else if (i + 2 != n || strcmp(part[i], "quantizer") != 0)
        return false;
    axis->option = part[n - 1];
    return true;
}

/* Sets the axis' value in one codec; 1: set, 0: the codec has no such option, -1: the value is refused (why). */
static int set_in_codec(const gyre_axis *axis, gyre_codec_spec *codec, size_t value, char *why)
{
    const gyre_option *o;
    const char *text = axis->values[value];
    int result = 0;
    if (axis->part == GYRE_AXIS_CHAIN)
        codec->chain = axis->parts[value].chain;
    if (axis->part == GYRE_AXIS_QUANTIZER) {
        codec->quantizer = axis->parts[value].quantizer;
        codec->options = axis->parts[value].options;
    }
    if (axis->part != GYRE_AXIS_OPTION)
        return 1;
    if (axis->own)
        return gyre_option_parse(gyre_codec_table, &codec->own, text, why) ? 1 : -1;
    if (axis->element == NULL) {
        o = codec->quantizer != NULL ? gyre_option_find(codec->quantizer->options, axis->option) : NULL;
        return o == NULL ? 0 : gyre_option_parse(o, &codec->options, text, why) ? 1 : -1;
    }
    for (size_t i = 0; i < codec->chain.count; i++) {
        const gyre_transform_type *type = codec->chain.elements[i].type;
        o = strcmp(type->name, axis->element) == 0 ? gyre_option_find(type->options, axis->option) : NULL;
        if (o == NULL)
            continue;
        if (!gyre_option_parse(o, &codec->chain.elements[i].options, text, why))
            return -1;
        result = 1;
    }
    return result;
}

static int set_in_arm(const gyre_axis *axis, gyre_arm *arm, size_t value, char *why)
{
    int result = 0;
    if (axis->arm != NULL && strcmp(axis->arm, arm->name) != 0)
        return 0;
    for (int s = 0; s < 2; s++) {
        int r = arm->codes[s] && axis->on[s] ? set_in_codec(axis, &arm->codec[s], value, why) : 0;
        if (r < 0)
            return r;
        result |= r;
    }
    return result;
}

/* Tries the last value of the axis in every arm; false with a fault when one refuses it, or gets a chain whose frames do not fit. *acts when one takes it. */
static bool try_value(gyre_config *c, const gyre_axis *axis, const gyre_yaml_node *node, const char *path, bool *acts)
{
    const bool in_chain = axis->part == GYRE_AXIS_CHAIN || axis->element != NULL;
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

/* A map from names to whole chains or quantizers. */
static gyre_status read_parts(gyre_config *c, const gyre_yaml_node *values, const char *path, gyre_axis *axis, bool *acts, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *acts = true;
    if (!gyre_yaml_want(c->yaml, values, path, GYRE_YAML_MAP) || !gyre_config_fits(c->yaml, values, path, values->count, GYRE_CONFIG_VALUES))
        return GYRE_OK;
    *acts = false;
    GYRE_NEW(&axis->parts, values->count);
    for (size_t i = 0; i < values->count; i++) {
        char at[GYRE_CONFIG_PATH];
        size_t before = gyre_yaml_faults(c->yaml);
        (void)snprintf(at, sizeof at, "%.150s.%.60s", path, values->keys[i]->text);
        (void)gyre_config_name(c->yaml, values->keys[i], path, "the name of a grid value");
        if (axis->part == GYRE_AXIS_CHAIN)
            gyre_config_read_chain(c, values->items[i], at, &axis->parts[i].chain);
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
    if (axis->part == GYRE_AXIS_OPTION)
        acts = read_values(c, values, path, axis);
    else
        GYRE_TRY(read_parts(c, values, path, axis, &acts, err));
    if (values->kind != GYRE_YAML_SCALAR && values->count == 0)
        gyre_yaml_fault(c->yaml, values, path, "the %s is empty", values->kind == GYRE_YAML_LIST ? "list" : "map");
    else if (!acts)
        gyre_yaml_fault(c->yaml, key, path, axis->part == GYRE_AXIS_OPTION ? "no arm has such an option" : "no arm codes that stream");
done:
    return st;
}

/* Two axes that set the same place of one arm would undo each other: a whole part, and an option inside it. */
static void check_parts(gyre_config *c, const gyre_yaml_node *grid)
{
    for (size_t i = 0; i < c->n_axes; i++)
        for (size_t j = 0; j < c->n_axes; j++) {
            const gyre_axis *a = &c->axes[i], *b = &c->axes[j];
            gyre_axis_part inside = b->own ? GYRE_AXIS_OPTION : b->part != GYRE_AXIS_OPTION ? b->part : b->element != NULL ? GYRE_AXIS_CHAIN : GYRE_AXIS_QUANTIZER;
            bool meet = (a->on[0] && b->on[0]) || (a->on[1] && b->on[1]);
            bool arms = a->arm == NULL || b->arm == NULL || strcmp(a->arm, b->arm) == 0;
            if (i != j && a->part != GYRE_AXIS_OPTION && inside == a->part && meet && arms)
                gyre_yaml_fault(c->yaml, grid->keys[j], "grid", "'%.60s' replaces the whole %s: '%.60s' beside it would be lost; put the options there", a->path,
                                a->part == GYRE_AXIS_CHAIN ? "chain" : "quantizer", b->path);
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
            gyre_yaml_fault(c->yaml, grid->keys[i], "grid", "'%.80s' names nothing: write [ARM.][k.|v.]quantizer[.OPTION], chain[.ELEMENT.OPTION] or order", axis->path);
    }
    check_parts(c, grid);
    make_labels(c);
done:
    return st;
}

/* ---- points ---- */

static bool arm_seeded(const gyre_arm *arm)
{
    bool seeded = false;
    for (int s = 0; s < 2; s++)
        seeded = seeded || (arm->codes[s] && gyre_codec_seeded(&arm->codec[s]));
    return seeded;
}

/* All grid values that act on one arm, first axis slowest. */
gyre_status gyre_config_expand(gyre_config *c, const gyre_arm *arm, gyre_error *err)
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
        gyre_arm_point *point = &c->points[c->n_points++];
        size_t rest = p, used = 0, stride = count;
        *point = (gyre_arm_point){.arm = *arm};
        for (size_t i = 0; i < n_acting; i++) {
            const gyre_axis *axis = &c->axes[acting[i]];
            stride /= axis->n_values;
            size_t value = rest / stride;
            rest %= stride;
            (void)set_in_arm(axis, &point->arm, value, why);
            int n = snprintf(point->point + used, sizeof point->point - used, "%s%s=%s", used == 0 ? "" : ",", axis->label, axis->values[value]);
            if (n < 0 || used + (size_t)n >= sizeof point->point)
                GYRE_FAIL(GYRE_E_CONFIG, "the grid values of arm %s make too long a name", arm->name);
            used += (size_t)n;
        }
        point->seeded = arm_seeded(&point->arm);
    }
done:
    return st;
}
