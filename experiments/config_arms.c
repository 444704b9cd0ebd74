/* Arms of a configuration: chains, quantizers, codecs. */
#include "experiments/config_parts.h"

#include <stdio.h>
#include <string.h>

static const char *const arm_keys[] = {"k", "v", "both", "layers", NULL};
static const char *const codec_keys[] = {"chain", "quantizer", "order", "window", "sink", "fit", "fitted", NULL};

/* One item, or every item of a list. */
size_t gyre_config_items(const gyre_yaml_node *node)
{
    return node == NULL ? 0 : node->kind == GYRE_YAML_LIST ? node->count : 1;
}

const gyre_yaml_node *gyre_config_item(const gyre_yaml_node *node, size_t i)
{
    return node->kind == GYRE_YAML_LIST ? node->items[i] : node;
}

bool gyre_config_fits(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, size_t count, size_t most)
{
    if (count <= most)
        return true;
    gyre_yaml_fault(yaml, node, path, "%zu items; at most %zu are allowed", count, most);
    return false;
}

bool gyre_config_name(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *what)
{
    const char *name = node->text;
    bool ok = name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(name) && strlen(name) <= 60;
    if (!ok)
        gyre_yaml_fault(yaml, node, path, "%s has letters, digits, - and _ only, at most 60", what);
    return ok;
}

bool gyre_config_named(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char **name, const gyre_yaml_node **name_node, const gyre_yaml_node **options)
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

void gyre_config_unknown(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *kind, const char *name, const char *const *names)
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

static void read_element(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_chain_spec *chain)
{
    const char *name;
    const gyre_yaml_node *options, *name_node;
    gyre_error error;
    if (!gyre_config_named(c->yaml, node, path, &name, &name_node, &options))
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
        const char *names[GYRE_CONFIG_NAMES + 1] = {0};
        size_t n = 0;
        for (const gyre_transform_type *const *t = gyre_transform_types; *t != NULL && n < GYRE_CONFIG_NAMES; t++)
            names[n++] = (*t)->name;
        for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL && n < GYRE_CONFIG_NAMES; a++)
            names[n++] = a->name;
        gyre_config_unknown(c->yaml, name_node, path, "transform", name, names);
        return;
    }
    gyre_option_values values = {0};
    char at[GYRE_CONFIG_PATH];
    (void)snprintf(at, sizeof at, "%.180s.%.60s", path, name);
    if (gyre_yaml_options(c->yaml, options, node, at, type->options, &values) && gyre_chain_add(chain, type, &values, &error) != GYRE_OK)
        gyre_yaml_fault(c->yaml, node, path, "%s", error.message);
}

void gyre_config_read_chain(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_chain_spec *chain)
{
    if (gyre_yaml_want(c->yaml, node, path, GYRE_YAML_LIST))
        for (size_t i = 0; i < node->count; i++)
            read_element(c, node->items[i], path, chain);
}

void gyre_config_read_quantizer(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_codec_spec *codec)
{
    const char *name;
    const gyre_yaml_node *options, *name_node;
    if (!gyre_config_named(c->yaml, node, path, &name, &name_node, &options))
        return;
    codec->quantizer = gyre_quantizer_find(name);
    if (codec->quantizer == NULL) {
        const char *names[GYRE_CONFIG_NAMES + 1] = {0};
        size_t n = 0;
        for (const gyre_quantizer_type *const *t = gyre_quantizer_types; *t != NULL && n < GYRE_CONFIG_NAMES; t++)
            names[n++] = (*t)->name;
        gyre_config_unknown(c->yaml, name_node, path, "quantizer", name, names);
        return;
    }
    char at[GYRE_CONFIG_PATH];
    (void)snprintf(at, sizeof at, "%.180s.%.60s", path, name);
    (void)gyre_yaml_options(c->yaml, options, node, at, codec->quantizer->options, &codec->options);
}

/* An option of the codec itself. */
static void read_own(gyre_config *c, const gyre_yaml_node *node, const char *path, const gyre_option *option, gyre_codec_spec *codec)
{
    char why[GYRE_WHY];
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_SCALAR))
        return;
    if (node->quoted && option->type != GYRE_OPTION_CHOICE)
        gyre_yaml_fault(c->yaml, node, path, "\"%.40s\" is quoted text: write the value without quotes", node->text);
    else if (!gyre_option_parse(option, &codec->own, node->text, why))
        gyre_yaml_fault(c->yaml, node, path, "%s", why);
}

static void read_codec(gyre_config *c, const gyre_yaml_node *node, const char *path, const bool streams[2], gyre_arm *arm, int stream)
{
    char at[GYRE_CONFIG_PATH], why[GYRE_WHY];
    gyre_codec_spec *codec = &arm->codec[stream];
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    size_t before = gyre_yaml_faults(c->yaml);
    gyre_yaml_keys(c->yaml, node, path, codec_keys);
    (void)gyre_options_defaults(gyre_codec_table, &codec->own);
    const gyre_yaml_node *chain = gyre_yaml_get(node, "chain"), *quantizer = gyre_yaml_get(node, "quantizer");
    (void)snprintf(at, sizeof at, "%.200s.chain", path);
    if (chain != NULL)
        gyre_config_read_chain(c, chain, at, &codec->chain);
    (void)snprintf(at, sizeof at, "%.200s.quantizer", path);
    if (quantizer == NULL)
        gyre_yaml_fault(c->yaml, node, path, "'quantizer' is missing, as in quantizer: {sym: {bits: 4}}");
    else
        gyre_config_read_quantizer(c, quantizer, at, codec);
    for (const gyre_option *o = gyre_codec_table; o->key != NULL; o++) {
        const gyre_yaml_node *own = gyre_yaml_get(node, o->key);
        (void)snprintf(at, sizeof at, "%.200s.%.20s", path, o->key);
        if (own != NULL)
            read_own(c, own, at, o, codec);
    }
    (void)snprintf(at, sizeof at, "%.200s.fit", path);
    if (gyre_yaml_get(node, "fit") != NULL)
        gyre_config_read_fit(c, gyre_yaml_get(node, "fit"), at, &arm->fit[stream]);
    (void)snprintf(at, sizeof at, "%.200s.fitted", path);
    if (gyre_yaml_get(node, "fitted") != NULL)
        gyre_config_read_fitted(c, gyre_yaml_get(node, "fitted"), at, &arm->fitted[stream]);
    for (int s = 0; s < 2 && gyre_yaml_faults(c->yaml) == before; s++)
        if (streams[s] && !gyre_chain_check(&codec->chain, (gyre_stream)s, why))
            gyre_yaml_fault(c->yaml, chain != NULL ? chain : node, path, "the chain is ill-typed: %s", why);
}

static void read_arm(gyre_config *c, const gyre_yaml_node *node, gyre_arm *arm)
{
    char path[GYRE_CONFIG_PATH];
    (void)snprintf(path, sizeof path, "arms.%.100s", arm->name);
    arm->fit[0] = arm->fit[1] = c->fit;
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
        return;
    gyre_yaml_keys(c->yaml, node, path, arm_keys);
    const gyre_yaml_node *both = gyre_yaml_get(node, "both");
    if (both != NULL && (gyre_yaml_get(node, "k") != NULL || gyre_yaml_get(node, "v") != NULL))
        gyre_yaml_fault(c->yaml, node, path, "'both' stands alone: write either both, or k and v");
    for (int s = 0; s < 2; s++) {
        const gyre_yaml_node *own = both != NULL ? both : gyre_yaml_get(node, s == 0 ? "k" : "v");
        if (own == NULL)
            continue;
        arm->codes[s] = true;
        if (both != NULL && s == 1) { /* read once; checked for both streams */
            arm->codec[1] = arm->codec[0];
            arm->fit[1] = arm->fit[0];
            arm->fitted[1] = arm->fitted[0];
            continue;
        }
        bool streams[2] = {s == 0, s == 1 || both != NULL};
        char at[GYRE_CONFIG_PATH];
        (void)snprintf(at, sizeof at, "%.200s.%s", path, both != NULL ? "both" : s == 0 ? "k" : "v");
        read_codec(c, own, at, streams, arm, s);
    }
}

gyre_status gyre_config_read_arms(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *arms = gyre_yaml_get(root, "arms");
    if (arms == NULL || arms->kind != GYRE_YAML_MAP || arms->count == 0) {
        gyre_yaml_fault(c->yaml, arms != NULL ? arms : root, "arms", "a map of arms is wanted, as in arms: {srht: {k: {chain: [srht], quantizer: {sym: {bits: 4}}}}}");
        return GYRE_OK;
    }
    if (!gyre_config_fits(c->yaml, arms, "arms", arms->count, GYRE_CONFIG_ARMS))
        return GYRE_OK;
    GYRE_NEW(&c->arms, arms->count);
    for (size_t i = 0; i < arms->count; i++) {
        const char *name = arms->keys[i]->text;
        (void)gyre_config_name(c->yaml, arms->keys[i], "arms", "an arm's name");
        c->arms[i].name = name;
        c->n_arms++;
        read_arm(c, arms->items[i], &c->arms[i]);
    }
done:
    return st;
}

void gyre_config_check_windows(gyre_config *c, const gyre_yaml_node *root)
{
    char path[GYRE_CONFIG_PATH], why[GYRE_WHY];
    const char *said = NULL;
    for (size_t i = 0; i < c->n_points; i++) {
        const gyre_arm_point *p = &c->points[i];
        if (p->arm.name == said || !p->arm.codes[0] || !p->arm.codes[1] || gyre_codec_windows_agree(&p->arm.codec[0], &p->arm.codec[1], why))
            continue;
        said = p->arm.name; /* one fault an arm */
        (void)snprintf(path, sizeof path, "arms.%.100s", said);
        gyre_yaml_fault(c->yaml, gyre_yaml_get(gyre_yaml_get(root, "arms"), said), path, "%s%s%s", why, p->point[0] ? ", at " : "", p->point);
    }
}

const gyre_arm *gyre_config_arm(const gyre_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_arms; i++)
        if (strcmp(c->arms[i].name, name) == 0)
            return &c->arms[i];
    return NULL;
}
