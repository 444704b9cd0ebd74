#include "experiments/config_parts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const top_keys[] = {"experiment", "source", "fit", "arms", "grid", "seeds", "campaign_seed", "metrics", "compare", "claim", "pilot", "sizes", NULL};
static const char *const compare_keys[] = {"arm", "against", "metric", "margin", "alpha", "family", "test", "goal", "correction", "published", "predicts", NULL};

/* ---- the rest ---- */

static void read_metrics(gyre_config *c, const gyre_yaml_node *root)
{
    const gyre_yaml_node *list = gyre_yaml_get(root, "metrics");
    if (list == NULL || gyre_config_items(list) == 0) {
        gyre_yaml_fault(c->yaml, list != NULL ? list : root, "metrics", "a list of metrics is wanted, as in metrics: [nmse, softmax_kl]");
        return;
    }
    const char *names[GYRE_CONFIG_NAMES + 1] = {0};
    for (size_t n = 0; gyre_metric_types[n] != NULL && n < GYRE_CONFIG_NAMES; n++)
        names[n] = gyre_metric_types[n]->name;
    for (size_t i = 0; gyre_config_fits(c->yaml, list, "metrics", gyre_config_items(list), GYRE_CONFIG_METRICS) && i < gyre_config_items(list); i++) {
        const char *name;
        if (!gyre_yaml_text(c->yaml, gyre_config_item(list, i), "metrics", &name))
            continue;
        const gyre_metric_type *m = gyre_metric_find(name);
        if (m == NULL)
            gyre_config_unknown(c->yaml, gyre_config_item(list, i), "metrics", "metric", name, names);
        for (size_t j = 0; m != NULL && j < c->n_metrics; j++)
            if (c->metrics[j] == m)
                gyre_yaml_fault(c->yaml, gyre_config_item(list, i), "metrics", "'%s' stands twice", name);
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
    } else if (gyre_yaml_text(c->yaml, item, path, &name) && gyre_config_arm(c, name) == NULL) {
        const char *names[GYRE_CONFIG_ARMS + 1] = {0};
        for (size_t i = 0; i < c->n_arms; i++)
            names[i] = c->arms[i].name;
        gyre_config_unknown(c->yaml, item, path, "arm", name, names);
        name = NULL;
    }
    return name;
}

static void read_comparison(gyre_config *c, const gyre_yaml_node *node, size_t index)
{
    gyre_compare_spec *s = &c->compare[c->n_compare];
    char path[GYRE_CONFIG_PATH];
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
        const gyre_arm *arm = name_of != NULL ? gyre_config_arm(c, name_of) : NULL;
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
    gyre_config_read_judging(c, node, path, s);
    c->n_compare++;
}

/* A family is adjusted as one: one alpha, one correction. */
static void check_family(gyre_config *c, const gyre_yaml_node *node, size_t i)
{
    const gyre_compare_spec *s = c->compare;
    for (size_t j = 0; j < i; j++) {
        if (strcmp(s[i].family, s[j].family) != 0)
            continue;
        if (s[i].alpha != s[j].alpha) {
            gyre_yaml_fault(c->yaml, node, "compare", "family '%.40s' has two values of alpha", s[i].family);
            break;
        }
        if (strcmp(s[i].correction, s[j].correction) != 0) {
            gyre_yaml_fault(c->yaml, node, "compare", "family '%.40s' has two corrections, %s and %s: a family has one", s[i].family, s[j].correction, s[i].correction);
            break;
        }
    }
}

static gyre_status read_compare(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *list = gyre_yaml_get(root, "compare");
    if (list == NULL || !gyre_yaml_want(c->yaml, list, "compare", GYRE_YAML_LIST) || !gyre_config_fits(c->yaml, list, "compare", list->count, GYRE_CONFIG_COMPARE))
        return GYRE_OK;
    GYRE_NEW(&c->compare, list->count);
    for (size_t i = 0; i < list->count; i++)
        read_comparison(c, list->items[i], i);
    for (size_t i = 0; i < c->n_compare; i++)
        check_family(c, list->items[i], i);
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

/* A model's text has metrics of its own, and a capture others: what is not of the source's level is left out, so that one configuration serves both. */
static bool of_level(const gyre_config *c, const gyre_metric_type *metric)
{
    return ((metric->reads & GYRE_METRIC_TOKENS) != 0) == (c->model.n_models > 0);
}

static void keep_level(gyre_config *c, const gyre_yaml_node *root)
{
    size_t metrics = 0, compare = 0;
    for (size_t i = 0; i < c->n_metrics; i++)
        if (of_level(c, c->metrics[i]))
            c->metrics[metrics++] = c->metrics[i];
    if (metrics == 0 && c->n_metrics > 0)
        gyre_yaml_fault(c->yaml, gyre_yaml_get(root, "metrics"), "metrics", c->model.n_models > 0 ? "none of these is of a model's text: add nll_change or token_kl (gyre list metrics)"
                                                                                                  : "all of these are of a model's text: name source.model, or metrics of rows (gyre list metrics)");
    c->n_metrics = metrics;
    for (size_t i = 0; i < c->n_compare; i++)
        if (c->compare[i].metric == NULL || of_level(c, gyre_metric_find(c->compare[i].metric)))
            c->compare[compare++] = c->compare[i];
    c->n_compare = compare;
}

/* ---- canonical text ---- */

typedef struct text {
    char *bytes;
    size_t used, size;
    bool failed;
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    char line[2 * GYRE_ARM_TEXT + 512];
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
        add(t, " alpha=%.17g family=%s", s->alpha, s->family);
        if (strcmp(s->test, "auto") != 0)
            add(t, " test=%s", s->test);
        if (strcmp(s->goal, "equivalent") != 0)
            add(t, " goal=%s", s->goal);
        if (strcmp(s->correction, "holm") != 0)
            add(t, " correction=%s", s->correction);
        if (s->predicts[0] != '\0')
            add(t, " predicts=%s", s->predicts);
        add(t, "\n");
    }
}

static gyre_status resolve(gyre_config *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    text all = {0}, analysis = {0};
    add(&all, "experiment %s\ncampaign_seed %llu\nseeds %u\n", c->experiment, (unsigned long long)c->campaign_seed, c->seeds);
    for (size_t i = 0; i < c->model.n_models; i++)
        add(&all, "model %s\n", c->model.models[i]);
    for (size_t i = 0; i < c->model.n_texts; i++)
        add(&all, "text %s\n", c->model.texts[i]);
    if (c->model.n_models > 0)
        add(&all, "context %zu chunks %zu first %zu block %zu queries %s%s\n", c->model.context, c->model.chunks, c->model.first, c->model.block, c->model.round_queries ? "q8_0" : "exact",
            c->model.descriptive ? " descriptive" : "");
    for (size_t i = 0; i < c->n_captures; i++)
        add(&all, "capture %s\n", c->captures[i]);
    add(&all, "layers%s", c->all_layers ? " all" : "");
    for (size_t i = 0; i < c->n_layers; i++)
        add(&all, " %u", c->layers[i]);
    add(&all, "\n");
    for (size_t i = 0; i < c->n_calibration; i++)
        add(&all, "calibration %s\n", c->calibration[i]);
    for (size_t i = 0; i < c->n_validation; i++)
        add(&all, "validation %s\n", c->validation[i]);
    for (size_t i = 0; i < c->n_evaluation; i++)
        add(&all, "evaluation %s\n", c->evaluation[i]);
    add(&all, "leak %s\n", c->leak ? "deliberate" : "none");
    for (size_t i = 0; i < c->n_metrics; i++)
        add(&all, "metric %s\n", c->metrics[i]->name);
    for (size_t i = 0; i < c->n_points; i++) {
        const gyre_arm_point *p = &c->points[i];
        char k[GYRE_ARM_TEXT], v[GYRE_ARM_TEXT], layers[GYRE_ARM_TEXT];
        gyre_arm_canonical(&p->arm, GYRE_K, k, sizeof k);
        gyre_arm_canonical(&p->arm, GYRE_V, v, sizeof v);
        gyre_arm_layers_text(&p->arm, layers, sizeof layers);
        add(&all, "arm %s point=%s k=%s v=%s%s%s\n", p->arm.name, p->point, k, v, layers[0] ? " layers=" : "", layers);
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
    for (size_t i = 0; i < c->n_axes; i++) {
        free(c->axes[i].words);
        free(c->axes[i].parts);
        free(c->axes[i].objectives);
    }
    free(c->calibration);
    free(c->validation);
    free(c->evaluation);
    free(c->arms);
    free(c->compare);
    free(c->points);
    free(c->canonical);
    free(c->overrides);
    gyre_yaml_free(c->yaml);
    free(c);
}

/* Assignments of a size: the list under its name in `sizes`; NULL without a size. */
static gyre_status find_size(const gyre_config *c, const char *size, const gyre_yaml_node **list, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *root = gyre_yaml_root(c->yaml), *sizes = root->kind == GYRE_YAML_MAP ? gyre_yaml_get(root, "sizes") : NULL;
    char names[240] = "";
    size_t used = 0;
    *list = NULL;
    for (size_t i = 0; size != NULL && sizes != NULL && sizes->kind == GYRE_YAML_MAP && i < sizes->count; i++) {
        if (strcmp(sizes->keys[i]->text, size) == 0)
            *list = sizes->items[i];
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "", sizes->keys[i]->text);
    }
    if (size != NULL && *list == NULL)
        GYRE_FAIL(GYRE_E_CONFIG, "there is no size '%s': `sizes` names %s", size, names[0] != '\0' ? names : "none");
done:
    return st;
}

static gyre_status apply_sets(gyre_config *c, const char *size, const char *const *sets, size_t n_sets, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_yaml_node *list;
    size_t room = 1, used = 0, n_size;
    GYRE_TRY(find_size(c, size, &list, err));
    n_size = list != NULL && list->kind == GYRE_YAML_LIST ? list->count : 0;
    for (size_t i = 0; i < n_size; i++)
        room += list->items[i]->kind == GYRE_YAML_SCALAR ? strlen(list->items[i]->text) + 1 : 0;
    for (size_t i = 0; i < n_sets; i++)
        room += strlen(sets[i]) + 1;
    GYRE_NEW(&c->overrides, room);
    for (size_t i = 0; i < n_size + n_sets; i++) {
        const char *set = i >= n_size ? sets[i - n_size] : list->items[i]->kind == GYRE_YAML_SCALAR ? list->items[i]->text : NULL;
        if (set == NULL)
            continue; /* read_sizes says so */
        GYRE_TRY(gyre_yaml_set(c->yaml, set, err));
        used += (size_t)snprintf(c->overrides + used, room - used, "%s\n", set);
    }
done:
    return st;
}

static void read_sizes(gyre_config *c, const gyre_yaml_node *root)
{
    const gyre_yaml_node *sizes = gyre_yaml_get(root, "sizes");
    const char *set;
    if (sizes == NULL || !gyre_yaml_want(c->yaml, sizes, "sizes", GYRE_YAML_MAP))
        return;
    for (size_t i = 0; i < sizes->count; i++)
        if (gyre_config_name(c->yaml, sizes->keys[i], "sizes", "the name of a size") && gyre_yaml_want(c->yaml, sizes->items[i], "sizes", GYRE_YAML_LIST))
            for (size_t j = 0; j < sizes->items[i]->count; j++)
                if (gyre_yaml_text(c->yaml, sizes->items[i]->items[j], "sizes", &set) && strchr(set, '=') == NULL)
                    gyre_yaml_fault(c->yaml, sizes->items[i]->items[j], "sizes", "an assignment is wanted, as in seeds=1");
}

/* Fits, arms and grid, and the points that they make. */
static gyre_status read_points(gyre_config *c, const gyre_yaml_node *root, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t before = gyre_yaml_faults(c->yaml);
    gyre_fit_defaults(&c->fit);
    if (gyre_yaml_get(root, "fit") != NULL)
        gyre_config_read_fit(c, gyre_yaml_get(root, "fit"), "fit", &c->fit);
    GYRE_TRY(gyre_config_read_arms(c, root, err));
    gyre_config_read_layers(c, root);
    GYRE_TRY(gyre_config_read_grid(c, root, err));
    if (gyre_yaml_faults(c->yaml) > before)
        goto done; /* parts of arms are missing */
    GYRE_TRY(gyre_config_expand(c, root, err));
    gyre_config_check_fits(c, root);
    gyre_config_check_windows(c, root);
done:
    return st;
}

gyre_status gyre_config_read(const char *path, const char *size, const char *const *sets, size_t n_sets, gyre_config **out, char **report, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_config *c = NULL;
    *out = NULL;
    if (report != NULL)
        *report = NULL;
    GYRE_NEW(&c, 1);
    GYRE_TRY(gyre_yaml_read(path, &c->yaml, err));
    GYRE_TRY(apply_sets(c, size, sets, n_sets, err));
    const gyre_yaml_node *root = gyre_yaml_root(c->yaml);
    if (gyre_yaml_want(c->yaml, root, "", GYRE_YAML_MAP)) {
        gyre_yaml_keys(c->yaml, root, "", top_keys);
        read_sizes(c, root);
        read_numbers(c, root);
        GYRE_TRY(gyre_config_read_source(c, root, err));
        GYRE_TRY(read_points(c, root, err));
        read_metrics(c, root);
        GYRE_TRY(read_compare(c, root, err));
        gyre_config_read_claim(c, root);
        keep_level(c, root);
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
