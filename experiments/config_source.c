/* `source` of a configuration: captures, or models and texts; and the layers of arms. */
#include "experiments/config_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const source_keys[] = {"capture", "layers", "calibration", "validation", "evaluation", "leak", "model", "text", "context", "chunks", "first", "block", "queries", "descriptive", NULL};
static const char *const model_keys[] = {"text", "context", "chunks", "first", "block", "queries", "descriptive", NULL};
enum { CONTEXT = 512, CONTEXT_LEAST = 16, CONTEXT_MOST = 1 << 20, CHUNKS_MOST = 1 << 24, BLOCK = 4 };

/* ---- models ---- */

/* A text or a list of them. */
static void read_texts(gyre_config *c, const gyre_yaml_node *node, const char *path, const char **out, size_t most, size_t *count)
{
    for (size_t i = 0; node != NULL && gyre_config_fits(c->yaml, node, path, gyre_config_items(node), most) && i < gyre_config_items(node); i++)
        if (gyre_yaml_text(c->yaml, gyre_config_item(node, i), path, &out[*count]))
            (*count)++;
}

static void read_count(gyre_config *c, const gyre_yaml_node *source, const char *key, int64_t least, int64_t most, size_t *out)
{
    char path[GYRE_CONFIG_PATH];
    int64_t value;
    const gyre_yaml_node *node = gyre_yaml_get(source, key);
    (void)snprintf(path, sizeof path, "source.%s", key);
    if (node != NULL && gyre_yaml_int(c->yaml, node, path, least, most, &value))
        *out = (size_t)value;
}

/* One of two words. */
static bool read_choice(gyre_config *c, const gyre_yaml_node *source, const char *key, const char *no, const char *yes)
{
    char path[GYRE_CONFIG_PATH];
    const char *word;
    const gyre_yaml_node *node = gyre_yaml_get(source, key);
    (void)snprintf(path, sizeof path, "source.%s", key);
    if (node == NULL || !gyre_yaml_text(c->yaml, node, path, &word))
        return false;
    if (strcmp(word, no) != 0 && strcmp(word, yes) != 0)
        gyre_yaml_fault(c->yaml, node, path, "'%.40s': one of %s, %s", word, no, yes);
    return strcmp(word, yes) == 0;
}

static void read_model(gyre_config *c, const gyre_yaml_node *source)
{
    gyre_config_model *m = &c->model;
    const gyre_yaml_node *model = gyre_yaml_get(source, "model"), *chunks = gyre_yaml_get(source, "chunks");
    m->context = CONTEXT;
    m->block = BLOCK;
    read_texts(c, model, "source.model", m->models, GYRE_CONFIG_CAPTURES, &m->n_models);
    for (size_t i = 0; i < sizeof model_keys / sizeof *model_keys - 1 && m->n_models == 0; i++)
        if (gyre_yaml_get(source, model_keys[i]) != NULL)
            gyre_yaml_fault(c->yaml, gyre_yaml_get(source, model_keys[i]), "source", "'%s' goes with 'model', which is not there", model_keys[i]);
    if (m->n_models == 0)
        return;
    read_texts(c, gyre_yaml_get(source, "text"), "source.text", m->texts, GYRE_CONFIG_TEXTS, &m->n_texts);
    if (m->n_texts == 0)
        gyre_yaml_fault(c->yaml, model, "source", "'text' is missing: the file, or files, that the model reads");
    for (size_t i = 0; i < m->n_texts; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(m->texts[i], m->texts[j]) == 0)
                gyre_yaml_fault(c->yaml, gyre_yaml_get(source, "text"), "source.text", "'%.100s' stands twice: it would count twice", m->texts[i]);
    read_count(c, source, "context", CONTEXT_LEAST, CONTEXT_MOST, &m->context);
    if (m->context % 2 != 0)
        gyre_yaml_fault(c->yaml, gyre_yaml_get(source, "context"), "source.context", "an even number is wanted: the second half of a chunk is scored");
    if (chunks != NULL && !(chunks->kind == GYRE_YAML_SCALAR && strcmp(chunks->text, "all") == 0))
        read_count(c, source, "chunks", 1, CHUNKS_MOST, &m->chunks);
    read_count(c, source, "first", 0, CHUNKS_MOST, &m->first);
    read_count(c, source, "block", 1, 4096, &m->block);
    m->round_queries = read_choice(c, source, "queries", "exact", "q8_0");
    m->descriptive = read_choice(c, source, "descriptive", "false", "true");
}

/* ---- captures ---- */

static gyre_status names_of(gyre_config *c, const gyre_yaml_node *node, const char *path, const char ***out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = gyre_config_items(node);
    *count = 0;
    if (node == NULL || !gyre_config_fits(c->yaml, node, path, n, GYRE_CONFIG_DOCUMENTS))
        return GYRE_OK;
    GYRE_NEW(out, n);
    for (size_t i = 0; i < n; i++)
        if (gyre_yaml_text(c->yaml, gyre_config_item(node, i), path, &(*out)[*count])) {
            for (size_t j = 0; j < *count; j++)
                if (strcmp((*out)[j], (*out)[*count]) == 0)
                    gyre_yaml_fault(c->yaml, gyre_config_item(node, i), path, "document '%.60s' stands twice: it would count twice", (*out)[j]);
            (*count)++;
        }
done:
    return st;
}

static void overlap(gyre_config *c, const gyre_yaml_node *source, const char *key, const char *const *a, size_t n, const char *does, const char *const *b, size_t m, const char *also)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m && !c->leak; j++)
            if (strcmp(a[i], b[j]) == 0)
                gyre_yaml_fault(c->yaml, gyre_yaml_get(source, key), "source", "document '%.60s' both %s and %s: separate them, or say leak: deliberate", a[i], does, also);
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
    overlap(c, source, "calibration", c->calibration, c->n_calibration, "calibrates", c->evaluation, c->n_evaluation, "is evaluated");
    overlap(c, source, "validation", c->validation, c->n_validation, "validates", c->evaluation, c->n_evaluation, "is evaluated");
    overlap(c, source, "validation", c->validation, c->n_validation, "validates", c->calibration, c->n_calibration, "calibrates");
}

/* Where a model is run, documents are those of the capture that arms are fitted to. */
static void check_documents(gyre_config *c, const gyre_yaml_node *source)
{
    static const char *const keys[] = {"calibration", "validation"};
    char path[GYRE_CONFIG_PATH];
    if (c->model.n_models == 0)
        return;
    if (gyre_yaml_get(source, "evaluation") != NULL)
        gyre_yaml_fault(c->yaml, gyre_yaml_get(source, "evaluation"), "source.evaluation", "a model is evaluated on its text: leave this out, and choose chunks by `first` and `chunks`");
    for (size_t i = 0; i < 2 && c->n_captures == 0; i++) {
        (void)snprintf(path, sizeof path, "source.%s", keys[i]);
        if (gyre_yaml_get(source, keys[i]) != NULL)
            gyre_yaml_fault(c->yaml, gyre_yaml_get(source, keys[i]), path, "these are documents of a capture of the model, and source.capture names none");
    }
}

gyre_status gyre_config_read_source(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
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
    read_model(c, source);
    if (c->model.n_models == 0 && (capture == NULL || gyre_config_items(capture) == 0))
        gyre_yaml_fault(c->yaml, capture != NULL ? capture : source, "source", "'capture' is missing: a capture file, or a list of them (or model and text: a model that is run)");
    read_texts(c, capture, "source.capture", c->captures, GYRE_CONFIG_CAPTURES, &c->n_captures);
    if (layers != NULL && c->model.n_models > 0)
        gyre_yaml_fault(c->yaml, layers, "source.layers", "a model is run whole: leave layers exact by an arm's own `layers`");
    c->all_layers = layers == NULL || (layers->kind == GYRE_YAML_SCALAR && strcmp(layers->text, "all") == 0);
    for (size_t i = 0; !c->all_layers && gyre_config_fits(c->yaml, layers, "source.layers", gyre_config_items(layers), GYRE_CONFIG_LAYERS) && i < gyre_config_items(layers); i++) {
        int64_t layer;
        if (gyre_yaml_int(c->yaml, gyre_config_item(layers, i), "source.layers", 0, 65534, &layer))
            c->layers[c->n_layers++] = (uint32_t)layer;
    }
    check_documents(c, source);
    GYRE_TRY(names_of(c, gyre_yaml_get(source, "calibration"), "source.calibration", &c->calibration, &c->n_calibration, err));
    GYRE_TRY(names_of(c, gyre_yaml_get(source, "validation"), "source.validation", &c->validation, &c->n_validation, err));
    GYRE_TRY(names_of(c, gyre_yaml_get(source, "evaluation"), "source.evaluation", &c->evaluation, &c->n_evaluation, err));
    check_overlap(c, source);
done:
    return st;
}

/* ---- layers of arms ---- */

/* "3" or "0-1". */
static bool read_range(const char *text, uint32_t *first, uint32_t *last)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long a = strtoul(text, &end, 10), b = a;
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        b = strtoul(end + 1, &end, 10);
    *first = (uint32_t)a;
    *last = (uint32_t)b;
    return *end == '\0' && a <= b && b < 65535;
}

static void read_ranges(gyre_config *c, const gyre_yaml_node *node, gyre_arm *arm)
{
    char path[GYRE_CONFIG_PATH];
    (void)snprintf(path, sizeof path, "arms.%.100s.layers", arm->name);
    if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP) || !gyre_config_fits(c->yaml, node, path, node->count, GYRE_CONFIG_RANGES))
        return;
    for (size_t i = 0; i < node->count; i++) {
        gyre_arm_range *r = &arm->ranges[arm->n_ranges];
        const char *name;
        if (!read_range(node->keys[i]->text, &r->first, &r->last)) {
            gyre_yaml_fault(c->yaml, node->keys[i], path, "'%.40s' is no layer and no range of layers: write 3, or 0-1", node->keys[i]->text);
            continue;
        }
        if (!gyre_yaml_text(c->yaml, node->items[i], path, &name))
            continue;
        const gyre_arm *other = gyre_config_arm(c, name);
        r->arm = strcmp(name, "exact") == 0 ? NULL : name;
        if (r->arm != NULL && other == NULL)
            gyre_yaml_fault(c->yaml, node->items[i], path, "'%.60s' is no arm: write exact, or the name of an arm", name);
        else if (other == arm || (other != NULL && gyre_yaml_get(gyre_yaml_get(gyre_yaml_get(gyre_yaml_root(c->yaml), "arms"), name), "layers") != NULL))
            gyre_yaml_fault(c->yaml, node->items[i], path, "'%.60s' has layers of its own: name an arm that has none", name);
        else if (other != NULL && (other->fitted[0].selector != NULL || other->fitted[1].selector != NULL))
            gyre_yaml_fault(c->yaml, node->items[i], path, "'%.60s' takes over parameters (fitted): name an arm that does not", name);
        for (int s = 0; s < 2 && other != NULL && other != arm; s++) /* else tables would count it among arms that leave the stream alone */
            if (other->codes[s] && !arm->codes[s])
                gyre_yaml_fault(c->yaml, node->items[i], path, "'%.60s' codes %s, and this arm does not: let the arm itself code them, and leave its other layers exact", name, s == GYRE_K ? "keys" : "values");
        for (size_t j = 0; j < arm->n_ranges; j++)
            if (r->first <= arm->ranges[j].last && arm->ranges[j].first <= r->last)
                gyre_yaml_fault(c->yaml, node->keys[i], path, "layer %u is named twice", r->first > arm->ranges[j].first ? r->first : arm->ranges[j].first);
        arm->n_ranges++;
    }
}

void gyre_config_read_layers(gyre_config *c, const gyre_yaml_node *root)
{
    const gyre_yaml_node *arms = gyre_yaml_get(root, "arms");
    for (size_t i = 0; arms != NULL && arms->kind == GYRE_YAML_MAP && i < c->n_arms; i++) {
        const gyre_yaml_node *layers = arms->items[i]->kind == GYRE_YAML_MAP ? gyre_yaml_get(arms->items[i], "layers") : NULL;
        if (layers != NULL)
            read_ranges(c, layers, &c->arms[i]);
    }
}

const gyre_arm *gyre_arm_at(const gyre_config *c, const gyre_arm *arm, uint32_t layer)
{
    static const gyre_arm exact = {.name = "exact"};
    for (size_t i = 0; i < arm->n_ranges; i++)
        if (layer >= arm->ranges[i].first && layer <= arm->ranges[i].last)
            return arm->ranges[i].arm == NULL ? &exact : gyre_config_arm(c, arm->ranges[i].arm);
    return arm;
}

void gyre_arm_layers_text(const gyre_arm *arm, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < arm->n_ranges && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%u-%u:%s", i > 0 ? "," : "", arm->ranges[i].first, arm->ranges[i].last, arm->ranges[i].arm != NULL ? arm->ranges[i].arm : "exact");
}
