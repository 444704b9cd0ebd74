#include "experiments/config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_TEXT = 256 };

static const char *const top_keys[] = {"experiment", "source", "arms", "grid", "seeds", "campaign_seed", "metrics", "compare", NULL};
static const char *const source_keys[] = {"capture", "layers", "calibration", "evaluation", "leak", NULL};
static const char *const arm_keys[] = {"k", "v", "both", NULL};
static const char *const codec_keys[] = {"chain", "quantizer", "order", NULL};
static const char *const compare_keys[] = {"arm", "against", "metric", "margin", "alpha", "family", NULL};

/* One item, or every item of a list. */
static size_t items_of(const gyre_yaml_node *node)
{
    return node == NULL ? 0 : node->kind == GYRE_YAML_LIST ? node->count : 1;
}

static const gyre_yaml_node *item_of(const gyre_yaml_node *node, size_t i)
{
    return node->kind == GYRE_YAML_LIST ? node->items[i] : node;
}

static bool fits(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, size_t count, size_t most)
{
    if (count <= most)
        return true;
    gyre_yaml_fault(yaml, node, path, "%zu items; at most %zu are allowed", count, most);
    return false;
}

/* ---- source ---- */

static gyre_status names_of(gyre_config *c, const gyre_yaml_node *node, const char *path, const char ***out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = items_of(node);
    *count = 0;
    if (node == NULL || !fits(c->yaml, node, path, n, GYRE_CONFIG_DOCUMENTS))
        return GYRE_OK;
    GYRE_NEW(out, n);
    for (size_t i = 0; i < n; i++)
        if (gyre_yaml_text(c->yaml, item_of(node, i), path, &(*out)[*count])) {
            for (size_t j = 0; j < *count; j++)
                if (strcmp((*out)[j], (*out)[*count]) == 0)
                    gyre_yaml_fault(c->yaml, item_of(node, i), path, "document '%.60s' stands twice: it would count twice", (*out)[j]);
            (*count)++;
        }
done:
    return st;
}

static void check_overlap(gyre_config *c, const gyre_yaml_node *source)
{
    const gyre_yaml_node *leak = gyre_yaml_get(source, "leak");
    const char *word;
    if (leak != NULL && gyre_yaml_text(c->yaml, leak, "source.leak", &word)) {
        c->leak = strcmp(word, "deliberate") == 0;
        if (!c->leak)
            gyre_yaml_fault(c->yaml, leak, "source.leak", "'%.40s': the only value is deliberate", word);
    }
    for (size_t i = 0; i < c->n_calibration; i++)
        for (size_t j = 0; j < c->n_evaluation && !c->leak; j++)
            if (strcmp(c->calibration[i], c->evaluation[j]) == 0)
                gyre_yaml_fault(c->yaml, gyre_yaml_get(source, "calibration"), "source",
                                "document '%.60s' both calibrates and is evaluated: separate them, or say leak: deliberate", c->calibration[i]);
}

static gyre_status read_source(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *source = gyre_yaml_get(root, "source");
    if (source == NULL) {
        gyre_yaml_fault(c->yaml, root, "", "'source' is missing: where rows come from, as in source: {capture: data/smollm2-135m.h5}");
        return GYRE_OK;
    }
    if (!gyre_yaml_want(c->yaml, source, "source", GYRE_YAML_MAP))
        return GYRE_OK;
    gyre_yaml_keys(c->yaml, source, "source", source_keys);
    const gyre_yaml_node *capture = gyre_yaml_get(source, "capture"), *layers = gyre_yaml_get(source, "layers");
    if (capture == NULL || items_of(capture) == 0)
        gyre_yaml_fault(c->yaml, capture != NULL ? capture : source, "source", "'capture' is missing: a capture file, or a list of them");
    for (size_t i = 0; capture != NULL && fits(c->yaml, capture, "source.capture", items_of(capture), GYRE_CONFIG_CAPTURES) && i < items_of(capture); i++)
        if (gyre_yaml_text(c->yaml, item_of(capture, i), "source.capture", &c->captures[c->n_captures]))
            c->n_captures++;
    c->all_layers = layers == NULL || (layers->kind == GYRE_YAML_SCALAR && strcmp(layers->text, "all") == 0);
    for (size_t i = 0; !c->all_layers && fits(c->yaml, layers, "source.layers", items_of(layers), GYRE_CONFIG_LAYERS) && i < items_of(layers); i++) {
        int64_t layer;
        if (gyre_yaml_int(c->yaml, item_of(layers, i), "source.layers", 0, 65534, &layer))
            c->layers[c->n_layers++] = (uint32_t)layer;
    }
    GYRE_TRY(names_of(c, gyre_yaml_get(source, "calibration"), "source.calibration", &c->calibration, &c->n_calibration, err));
    GYRE_TRY(names_of(c, gyre_yaml_get(source, "evaluation"), "source.evaluation", &c->evaluation, &c->n_evaluation, err));
    check_overlap(c, source);
done:
    return st;
}

/* ---- codecs ---- */

/* "name" or {name: {options}}; false with a fault otherwise. */
static bool named(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char **name, const gyre_yaml_node **name_node,
                  const gyre_yaml_node **options)
{
    *options = NULL;
    *name_node = node;
    if (node->kind == GYRE_YAML_SCALAR)
        return gyre_yaml_text(yaml, node, path, name);
    if (node->kind == GYRE_YAML_MAP && node->count == 1) {
        *name = node->keys[0]->text;
        *name_node = node->keys[0];
        *options = node->items[0];
        return true;
    }
    gyre_yaml_fault(yaml, node, path, "a name, or {name: {options}}, is wanted here");
    return false;
}

static void unknown_variant(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *kind, const char *name, const char *const *names)
{
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        int n = snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", names[i]);
        used = n > 0 && used + (size_t)n < sizeof list ? used + (size_t)n : used;
    }
    const char *near = gyre_nearest(name, names);
    gyre_yaml_fault(yaml, node, path, "unknown %s '%.60s'%s%s%s: one of {%s}", kind, name, near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?)" : "", list);
}

enum { NAMES_MOST = 128 };

static void read_element(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_chain_spec *chain)
{
    const char *name;
    const gyre_yaml_node *options, *name_node;
    gyre_error error;
    if (!named(c->yaml, node, path, &name, &name_node, &options))
        return;
    for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL; a++)
        if (strcmp(a->name, name) == 0) {
            if (options != NULL)
                gyre_yaml_fault(c->yaml, options, path, "'%s' is an alias and takes no options: write its elements out", name);
            else if (gyre_chain_add_alias(chain, a, &error) != GYRE_OK)
                gyre_yaml_fault(c->yaml, node, path, "%s", error.message);
            return;
        }
    const gyre_transform_type *type = gyre_transform_find(name);
    if (type == NULL) {
        const char *names[NAMES_MOST + 1] = {0};
        size_t n = 0;
        for (const gyre_transform_type *const *t = gyre_transform_types; *t != NULL && n < NAMES_MOST; t++)
            names[n++] = (*t)->name;
        for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL && n < NAMES_MOST; a++)
            names[n++] = a->name;
        unknown_variant(c->yaml, name_node, path, "transform", name, names);
        return;
    }
    gyre_option_values values = {0};
    char at[PATH_TEXT];
    (void)snprintf(at, sizeof at, "%.180s.%.60s", path, name);
    if (gyre_yaml_options(c->yaml, options, node, at, type->options, &values) && gyre_chain_add(chain, type, &values, &error) != GYRE_OK)
        gyre_yaml_fault(c->yaml, node, path, "%s", error.message);
}

static void read_quantizer(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_codec_spec *codec)
{
    const char *name;
    const gyre_yaml_node *options, *name_node;
    if (!named(c->yaml, node, path, &name, &name_node, &options))
        return;
    codec->quantizer = gyre_quantizer_find(name);
    if (codec->quantizer == NULL) {
        const char *names[NAMES_MOST + 1] = {0};
        size_t n = 0;
        for (const gyre_quantizer_type *const *t = gyre_quantizer_types; *t != NULL && n < NAMES_MOST; t++)
            names[n++] = (*t)->name;
        unknown_variant(c->yaml, name_node, path, "quantizer", name, names);
        return;
    }
    char at[PATH_TEXT];
    (void)snprintf(at, sizeof at, "%.180s.%.60s", path, name);
    (void)gyre_yaml_options(c->yaml, options, node, at, codec->quantizer->options, &codec->options);
}

static void read_codec(gyre_config *c, const gyre_yaml_node *node, const char *path, const bool streams[2], gyre_codec_spec *codec)
{
    char at[PATH_TEXT], why[GYRE_WHY];
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    size_t before = gyre_yaml_faults(c->yaml);
    gyre_yaml_keys(c->yaml, node, path, codec_keys);
    (void)gyre_options_defaults(gyre_codec_table, &codec->own);
    const gyre_yaml_node *chain = gyre_yaml_get(node, "chain"), *quantizer = gyre_yaml_get(node, "quantizer"), *order = gyre_yaml_get(node, "order");
    (void)snprintf(at, sizeof at, "%.200s.chain", path);
    if (chain != NULL && gyre_yaml_want(c->yaml, chain, at, GYRE_YAML_LIST))
        for (size_t i = 0; i < chain->count; i++)
            read_element(c, chain->items[i], at, &codec->chain);
    (void)snprintf(at, sizeof at, "%.200s.quantizer", path);
    if (quantizer == NULL)
        gyre_yaml_fault(c->yaml, node, path, "'quantizer' is missing, as in quantizer: {sym: {bits: 4}}");
    else
        read_quantizer(c, quantizer, at, codec);
    (void)snprintf(at, sizeof at, "%.200s.order", path);
    if (order != NULL && gyre_yaml_want(c->yaml, order, at, GYRE_YAML_SCALAR) && !gyre_option_parse(gyre_codec_table, &codec->own, order->text, why))
        gyre_yaml_fault(c->yaml, order, at, "%s", why);
    for (int s = 0; s < 2 && gyre_yaml_faults(c->yaml) == before; s++)
        if (streams[s] && !gyre_chain_check(&codec->chain, (gyre_stream)s, why))
            gyre_yaml_fault(c->yaml, chain != NULL ? chain : node, path, "the chain is ill-typed: %s", why);
}

static void read_arm(gyre_config *c, const gyre_yaml_node *node, gyre_arm *arm)
{
    char path[PATH_TEXT];
    (void)snprintf(path, sizeof path, "arms.%.100s", arm->name);
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    gyre_yaml_keys(c->yaml, node, path, arm_keys);
    const gyre_yaml_node *both = gyre_yaml_get(node, "both");
    if (both != NULL && node->count > 1)
        gyre_yaml_fault(c->yaml, node, path, "'both' stands alone: write either both, or k and v");
    for (int s = 0; s < 2; s++) {
        const gyre_yaml_node *own = both != NULL ? both : gyre_yaml_get(node, s == 0 ? "k" : "v");
        if (own == NULL)
            continue;
        arm->codes[s] = true;
        if (both != NULL && s == 1) { /* read once; checked for both streams */
            arm->codec[1] = arm->codec[0];
            continue;
        }
        bool streams[2] = {s == 0, s == 1 || both != NULL};
        char at[PATH_TEXT];
        (void)snprintf(at, sizeof at, "%.200s.%s", path, both != NULL ? "both" : s == 0 ? "k" : "v");
        read_codec(c, own, at, streams, &arm->codec[s]);
    }
}

static gyre_status read_arms(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *arms = gyre_yaml_get(root, "arms");
    if (arms == NULL || arms->kind != GYRE_YAML_MAP || arms->count == 0) {
        gyre_yaml_fault(c->yaml, arms != NULL ? arms : root, "arms", "a map of arms is wanted, as in arms: {srht: {k: {chain: [srht], quantizer: {sym: {bits: 4}}}}}");
        return GYRE_OK;
    }
    if (!fits(c->yaml, arms, "arms", arms->count, GYRE_CONFIG_ARMS))
        return GYRE_OK;
    GYRE_NEW(&c->arms, arms->count);
    for (size_t i = 0; i < arms->count; i++) {
        const char *name = arms->keys[i]->text;
        if (name[0] == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(name) || strlen(name) > 60)
            gyre_yaml_fault(c->yaml, arms->keys[i], "arms", "an arm's name has letters, digits, - and _ only, at most 60");
        c->arms[i].name = name;
        c->n_arms++;
        read_arm(c, arms->items[i], &c->arms[i]);
    }
done:
    return st;
}

static const gyre_arm *arm_named(const gyre_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_arms; i++)
        if (strcmp(c->arms[i].name, name) == 0)
            return &c->arms[i];
    return NULL;
}

/* ---- grid ---- */

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
    if (i < n && arm_named(c, part[i]) != NULL)
        axis->arm = part[i++];
    if (i < n && (strcmp(part[i], "k") == 0 || strcmp(part[i], "v") == 0)) {
        axis->on[part[i][0] == 'k' ? 1 : 0] = false;
        i++;
    }
    if (i + 1 == n && strcmp(part[i], "order") == 0)
        axis->own = true;
    else if (i + 3 == n && strcmp(part[i], "chain") == 0)
        axis->element = part[i + 1];
    else if (i + 2 != n || strcmp(part[i], "quantizer") != 0)
        return false;
    axis->option = part[n - 1];
    return true;
}

/* Sets the axis' option in one codec to `text`; 1: set, 0: the codec has no such option, -1: the value is refused (why). */
static int set_in_codec(const gyre_axis *axis, gyre_codec_spec *codec, const char *text, char *why)
{
    const gyre_option *o;
    int result = 0;
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

static int set_in_arm(const gyre_axis *axis, gyre_arm *arm, const char *text, char *why)
{
    int result = 0;
    if (axis->arm != NULL && strcmp(axis->arm, arm->name) != 0)
        return 0;
    for (int s = 0; s < 2; s++) {
        int r = arm->codes[s] && axis->on[s] ? set_in_codec(axis, &arm->codec[s], text, why) : 0;
        if (r < 0)
            return r;
        result |= r;
    }
    return result;
}

static void read_axis(gyre_config *c, const gyre_yaml_node *key, const gyre_yaml_node *values, gyre_axis *axis)
{
    char path[PATH_TEXT], why[GYRE_OPTION_TEXT];
    (void)snprintf(path, sizeof path, "grid.%.200s", axis->path);
    bool acts = false;
    if (!gyre_yaml_want(c->yaml, values, path, GYRE_YAML_LIST) || !fits(c->yaml, values, path, values->count, GYRE_CONFIG_VALUES))
        return;
    if (values->count == 0)
        gyre_yaml_fault(c->yaml, values, path, "the list is empty");
    for (size_t i = 0; i < values->count; i++) {
        const char *text;
        if (!gyre_yaml_text(c->yaml, values->items[i], path, &text))
            continue;
        for (size_t j = 0; j < axis->n_values; j++)
            if (strcmp(axis->values[j], text) == 0)
                gyre_yaml_fault(c->yaml, values->items[i], path, "the value %.40s stands twice", text);
        axis->values[axis->n_values++] = text;
        for (size_t a = 0; a < c->n_arms; a++) {
            gyre_arm copy = c->arms[a];
            int r = set_in_arm(axis, &copy, text, why);
            acts = acts || r != 0;
            if (r < 0) {
                gyre_yaml_fault(c->yaml, values->items[i], path, "%s", why);
                break;
            }
        }
    }
    if (!acts)
        gyre_yaml_fault(c->yaml, key, path, "no arm has such an option");
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

static gyre_status read_grid(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *grid = gyre_yaml_get(root, "grid");
    if (grid == NULL || !gyre_yaml_want(c->yaml, grid, "grid", GYRE_YAML_MAP) || !fits(c->yaml, grid, "grid", grid->count, GYRE_CONFIG_AXES))
        return GYRE_OK;
    for (size_t i = 0; i < grid->count; i++) {
        gyre_axis *axis = &c->axes[i];
        axis->path = grid->keys[i]->text;
        GYRE_NEW(&axis->words, strlen(axis->path) + 1);
        memcpy(axis->words, axis->path, strlen(axis->path) + 1);
        c->n_axes++;
        if (parse_axis(c, axis))
            read_axis(c, grid->keys[i], grid->items[i], axis);
        else
            gyre_yaml_fault(c->yaml, grid->keys[i], "grid", "'%.80s' names nothing: write [ARM.][k.|v.]quantizer.OPTION, chain.ELEMENT.OPTION or order", axis->path);
    }
    make_labels(c);
done:
    return st;
}

/* ---- the rest ---- */

static void read_metrics(gyre_config *c, const gyre_yaml_node *root)
{
    const gyre_yaml_node *list = gyre_yaml_get(root, "metrics");
    if (list == NULL || items_of(list) == 0) {
        gyre_yaml_fault(c->yaml, list != NULL ? list : root, "metrics", "a list of metrics is wanted, as in metrics: [nmse, softmax_kl]");
        return;
    }
    const char *names[NAMES_MOST + 1] = {0};
    for (size_t n = 0; gyre_metric_types[n] != NULL && n < NAMES_MOST; n++)
        names[n] = gyre_metric_types[n]->name;
    for (size_t i = 0; fits(c->yaml, list, "metrics", items_of(list), GYRE_CONFIG_METRICS) && i < items_of(list); i++) {
        const char *name;
        if (!gyre_yaml_text(c->yaml, item_of(list, i), "metrics", &name))
            continue;
        const gyre_metric_type *m = gyre_metric_find(name);
        if (m == NULL)
            unknown_variant(c->yaml, item_of(list, i), "metrics", "metric", name, names);
        for (size_t j = 0; m != NULL && j < c->n_metrics; j++)
            if (c->metrics[j] == m)
                gyre_yaml_fault(c->yaml, item_of(list, i), "metrics", "'%s' stands twice", name);
        if (m != NULL)
            c->metrics[c->n_metrics++] = m;
    }
}

static void read_margin(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_compare_spec *s)
{
    static const char *const keys[] = {"ratio", "abs", NULL};
    s->ratio = true;
    if (node == NULL || !gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    gyre_yaml_keys(c->yaml, node, path, keys);
    const gyre_yaml_node *ratio = gyre_yaml_get(node, "ratio"), *absolute = gyre_yaml_get(node, "abs");
    if ((ratio == NULL) == (absolute == NULL)) {
        gyre_yaml_fault(c->yaml, node, path, "either {ratio: r} with r > 1 or {abs: a} with a > 0");
        return;
    }
    s->ratio = ratio != NULL;
    s->has_margin = ratio != NULL ? gyre_yaml_real(c->yaml, ratio, path, 1.0, 1e6, &s->margin) : gyre_yaml_real(c->yaml, absolute, path, 0.0, 1e300, &s->margin);
    if (s->has_margin && (ratio != NULL ? s->margin <= 1.0 : s->margin <= 0.0))
        gyre_yaml_fault(c->yaml, ratio != NULL ? ratio : absolute, path, "a margin of nothing can never be met: %s", ratio != NULL ? "ratio must exceed 1" : "abs must exceed 0");
}

static const char *arm_in(gyre_config *c, const gyre_yaml_node *node, const char *path, const char *key)
{
    const gyre_yaml_node *item = gyre_yaml_get(node, key);
    const char *name = NULL;
    if (item == NULL) {
        gyre_yaml_fault(c->yaml, node, path, "'%s' is missing", key);
    } else if (gyre_yaml_text(c->yaml, item, path, &name) && arm_named(c, name) == NULL) {
        const char *names[GYRE_CONFIG_ARMS + 1] = {0};
        for (size_t i = 0; i < c->n_arms; i++)
            names[i] = c->arms[i].name;
        unknown_variant(c->yaml, item, path, "arm", name, names);
        name = NULL;
    }
    return name;
}

static void read_comparison(gyre_config *c, const gyre_yaml_node *node, size_t index)
{
    gyre_compare_spec *s = &c->compare[c->n_compare];
    char path[PATH_TEXT];
    (void)snprintf(path, sizeof path, "compare[%zu]", index);
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    gyre_yaml_keys(c->yaml, node, path, compare_keys);
    s->arm = arm_in(c, node, path, "arm");
    s->against = arm_in(c, node, path, "against");
    if (s->arm != NULL && s->against != NULL && strcmp(s->arm, s->against) == 0)
        gyre_yaml_fault(c->yaml, node, path, "an arm is compared with itself");
    const gyre_yaml_node *metric = gyre_yaml_get(node, "metric"), *alpha = gyre_yaml_get(node, "alpha"), *family = gyre_yaml_get(node, "family");
    const char *name;
    if (metric == NULL) {
        gyre_yaml_fault(c->yaml, node, path, "'metric' is missing");
    } else if (gyre_yaml_text(c->yaml, metric, path, &name)) {
        for (size_t i = 0; i < c->n_metrics; i++)
            if (strcmp(c->metrics[i]->name, name) == 0)
                s->metric = c->metrics[i]->name;
        if (s->metric == NULL)
            gyre_yaml_fault(c->yaml, metric, path, "'%.60s' is not among this configuration's metrics", name);
    }
    for (int k = 0; k < 2 && s->metric != NULL; k++) {
        const char *name_of = k == 0 ? s->arm : s->against;
        const gyre_arm *arm = name_of != NULL ? arm_named(c, name_of) : NULL;
        if (arm != NULL && !gyre_metric_applies(gyre_metric_find(s->metric), arm->codes[GYRE_K], arm->codes[GYRE_V]))
            gyre_yaml_fault(c->yaml, metric, path, "%s is not defined for arm '%.60s', which codes %s", s->metric, name_of, arm->codes[GYRE_V] ? "V alone" : "nothing");
    }
    read_margin(c, gyre_yaml_get(node, "margin"), path, s);
    s->alpha = 0.05;
    if (alpha != NULL && gyre_yaml_real(c->yaml, alpha, path, 0.0, 0.5, &s->alpha) && s->alpha <= 0.0)
        gyre_yaml_fault(c->yaml, alpha, path, "alpha must exceed 0");
    s->family = "main";
    if (family != NULL)
        (void)gyre_yaml_text(c->yaml, family, path, &s->family);
    c->n_compare++;
}

static gyre_status read_compare(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *list = gyre_yaml_get(root, "compare");
    if (list == NULL || !gyre_yaml_want(c->yaml, list, "compare", GYRE_YAML_LIST) || !fits(c->yaml, list, "compare", list->count, GYRE_CONFIG_COMPARE))
        return GYRE_OK;
    GYRE_NEW(&c->compare, list->count);
    for (size_t i = 0; i < list->count; i++)
        read_comparison(c, list->items[i], i);
    for (size_t i = 0; i < c->n_compare; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->compare[i].family, c->compare[j].family) == 0 && c->compare[i].alpha != c->compare[j].alpha) {
                gyre_yaml_fault(c->yaml, list->items[i], "compare", "family '%.40s' has two values of alpha", c->compare[i].family);
                break;
            }
done:
    return st;
}

static void read_numbers(gyre_config *c, const gyre_yaml_node *root)
{
    const gyre_yaml_node *name = gyre_yaml_get(root, "experiment"), *seeds = gyre_yaml_get(root, "seeds"), *campaign = gyre_yaml_get(root, "campaign_seed");
    int64_t value;
    if (name == NULL)
        gyre_yaml_fault(c->yaml, root, "", "'experiment' is missing: a name for the results");
    else if (gyre_yaml_text(c->yaml, name, "experiment", &c->experiment) && strchr(c->experiment, '/') != NULL)
        gyre_yaml_fault(c->yaml, name, "experiment", "a name has no slash");
    c->seeds = 1;
    if (seeds != NULL && gyre_yaml_int(c->yaml, seeds, "seeds", 1, GYRE_CONFIG_SEEDS, &value))
        c->seeds = (uint32_t)value;
    if (campaign != NULL && gyre_yaml_int(c->yaml, campaign, "campaign_seed", 0, INT64_MAX, &value))
        c->campaign_seed = (uint64_t)value;
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
static gyre_status expand_arm(gyre_config *c, const gyre_arm *arm, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t acting[GYRE_CONFIG_AXES], n_acting = 0, count = 1;
    char why[GYRE_OPTION_TEXT];
    for (size_t i = 0; i < c->n_axes; i++) {
        gyre_arm copy = *arm;
        if (set_in_arm(&c->axes[i], &copy, c->axes[i].values[0], why) > 0) {
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
            const char *value = axis->values[rest / stride];
            rest %= stride;
            (void)set_in_arm(axis, &point->arm, value, why);
            int n = snprintf(point->point + used, sizeof point->point - used, "%s%s=%s", used == 0 ? "" : ",", axis->label, value);
            if (n < 0 || used + (size_t)n >= sizeof point->point)
                GYRE_FAIL(GYRE_E_CONFIG, "the grid values of arm %s make too long a name", arm->name);
            used += (size_t)n;
        }
        point->seeded = arm_seeded(&point->arm);
    }
done:
    return st;
}

/* ---- canonical text ---- */

typedef struct text {
    char *bytes;
    size_t used, size;
    bool failed;
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    char line[2 * GYRE_CODEC_TEXT + 512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line) {
        t->failed = true;
        return;
    }
    if (t->used + (size_t)n + 1 > t->size) {
        size_t size = 2 * (t->used + (size_t)n + 1024);
        char *more = realloc(t->bytes, size);
        if (more == NULL) {
            t->failed = true;
            return;
        }
        t->bytes = more;
        t->size = size;
    }
    memcpy(t->bytes + t->used, line, (size_t)n + 1);
    t->used += (size_t)n;
}

static void add_compare(text *t, const gyre_config *c)
{
    for (size_t i = 0; i < c->n_compare; i++) {
        const gyre_compare_spec *s = &c->compare[i];
        add(t, "compare %s against %s metric=%s scale=%s margin=", s->arm, s->against, s->metric, s->ratio ? "log" : "value");
        if (s->has_margin)
            add(t, "%.17g", s->margin);
        else
            add(t, "none");
        add(t, " alpha=%.17g family=%s\n", s->alpha, s->family);
    }
}

static gyre_status resolve(gyre_config *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    text all = {0}, analysis = {0};
    for (size_t i = 0; i < c->n_arms; i++)
        GYRE_TRY(expand_arm(c, &c->arms[i], err));
    add(&all, "experiment %s\ncampaign_seed %llu\nseeds %u\n", c->experiment, (unsigned long long)c->campaign_seed, c->seeds);
    for (size_t i = 0; i < c->n_captures; i++)
        add(&all, "capture %s\n", c->captures[i]);
    add(&all, "layers%s", c->all_layers ? " all" : "");
    for (size_t i = 0; i < c->n_layers; i++)
        add(&all, " %u", c->layers[i]);
    add(&all, "\n");
    for (size_t i = 0; i < c->n_calibration; i++)
        add(&all, "calibration %s\n", c->calibration[i]);
    for (size_t i = 0; i < c->n_evaluation; i++)
        add(&all, "evaluation %s\n", c->evaluation[i]);
    add(&all, "leak %s\n", c->leak ? "deliberate" : "none");
    for (size_t i = 0; i < c->n_metrics; i++)
        add(&all, "metric %s\n", c->metrics[i]->name);
    for (size_t i = 0; i < c->n_points; i++) {
        const gyre_arm_point *p = &c->points[i];
        char k[GYRE_CODEC_TEXT] = "exact", v[GYRE_CODEC_TEXT] = "exact";
        if (p->arm.codes[0])
            gyre_codec_canonical(&p->arm.codec[0], k, sizeof k);
        if (p->arm.codes[1])
            gyre_codec_canonical(&p->arm.codec[1], v, sizeof v);
        add(&all, "arm %s point=%s k=%s v=%s\n", p->arm.name, p->point, k, v);
    }
    add_compare(&analysis, c);
    add_compare(&all, c);
    if (all.failed || analysis.failed)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for the resolved configuration");
    c->canonical = all.bytes;
    all.bytes = NULL;
    GYRE_TRY(gyre_sha256_bytes(c->canonical, all.used, c->sha256, err));
    GYRE_TRY(gyre_sha256_bytes(analysis.bytes != NULL ? analysis.bytes : "", analysis.used, c->analysis_sha256, err));
done:
    free(all.bytes);
    free(analysis.bytes);
    return st;
}

/* ---- whole ---- */

void gyre_config_free(gyre_config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_axes; i++)
        free(c->axes[i].words);
    free(c->calibration);
    free(c->evaluation);
    free(c->arms);
    free(c->compare);
    free(c->points);
    free(c->canonical);
    free(c->overrides);
    gyre_yaml_free(c->yaml);
    free(c);
}

static gyre_status apply_sets(gyre_config *c, const char *const *sets, size_t n_sets, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = 1, used = 0;
    for (size_t i = 0; i < n_sets; i++)
        size += strlen(sets[i]) + 1;
    GYRE_NEW(&c->overrides, size);
    for (size_t i = 0; i < n_sets; i++) {
        GYRE_TRY(gyre_yaml_set(c->yaml, sets[i], err));
        used += (size_t)snprintf(c->overrides + used, size - used, "%s\n", sets[i]);
    }
done:
    return st;
}

gyre_status gyre_config_read(const char *path, const char *const *sets, size_t n_sets, gyre_config **out, char **report, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_config *c = NULL;
    *out = NULL;
    if (report != NULL)
        *report = NULL;
    GYRE_NEW(&c, 1);
    GYRE_TRY(gyre_yaml_read(path, &c->yaml, err));
    GYRE_TRY(apply_sets(c, sets, n_sets, err));
    const gyre_yaml_node *root = gyre_yaml_root(c->yaml);
    if (gyre_yaml_want(c->yaml, root, "", GYRE_YAML_MAP)) {
        gyre_yaml_keys(c->yaml, root, "", top_keys);
        read_numbers(c, root);
        GYRE_TRY(read_source(c, root, err));
        GYRE_TRY(read_arms(c, root, err));
        GYRE_TRY(read_grid(c, root, err));
        read_metrics(c, root);
        GYRE_TRY(read_compare(c, root, err));
    }
    if (gyre_yaml_faults(c->yaml) > 0 && report != NULL) {
        const char *all = gyre_yaml_report(c->yaml);
        GYRE_NEW(report, strlen(all) + 1);
        memcpy(*report, all, strlen(all) + 1);
    }
    GYRE_TRY(gyre_yaml_check(c->yaml, err));
    GYRE_TRY(resolve(c, err));
    *out = c;
    c = NULL;
done:
    gyre_config_free(c);
    return st;
}
