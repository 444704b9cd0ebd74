/* What a configuration says of how it is judged: test, goal, correction and prediction of a comparison; the published claim that is decided; the pilot. */
#include "experiments/config_parts.h"

#include <stdio.h>
#include <string.h>

#include "results/exact.h"
#include "stats/multiplicity.h"
#include "stats/stats.h"
#include "stats/verdict.h"

#define GOAL_TEXT(name, text) text,
static const char *const goals[] = {GYRE_GOAL_LIST(GOAL_TEXT) NULL};
#undef GOAL_TEXT
static const char *const verdicts[] = {"EQUIVALENT", "BETTER", "WORSE", "NOT_WORSE", "INCONCLUSIVE", NULL};
static const char *const quantities[] = {"total_bits", "payload_bits", "compression", NULL};
static const char *const claim_keys[] = {"id", "says", "source", "rule", "open", "exact", NULL}, *const exact_keys[] = {"arm", "point", "quantity", "published", "digits", NULL};

/* One of `names`, else a fault and `fallback`; `fallback` too where the key is not there. */
static const char *choice(gyre_config *c, const gyre_yaml_node *node, const char *path, const char *kind, const char *const *names, const char *fallback)
{
    const char *text;
    if (node == NULL || !gyre_yaml_text(c->yaml, node, path, &text))
        return fallback;
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], text) == 0)
            return names[i];
    gyre_config_unknown(c->yaml, node, path, kind, text, names);
    return fallback;
}

/* ---- a comparison ---- */

static const char *read_test(gyre_config *c, const gyre_yaml_node *node, const char *path)
{
    const char *names[GYRE_CONFIG_NAMES + 1] = {"auto"};
    for (size_t n = 0; gyre_tests[n] != NULL && n + 1 < GYRE_CONFIG_NAMES; n++)
        names[n + 1] = gyre_tests[n]->name;
    return choice(c, node, path, "test", names, names[0]);
}

static const char *read_correction(gyre_config *c, const gyre_yaml_node *node, const char *path)
{
    const char *names[GYRE_CONFIG_NAMES + 1] = {0};
    for (size_t n = 0; gyre_corrections[n].name != NULL && n < GYRE_CONFIG_NAMES; n++)
        names[n] = gyre_corrections[n].name;
    return choice(c, node, path, "correction", names, names[0]);
}

/* A verdict that the comparison can never reach was not meant. */
static void check_verdict(gyre_config *c, const gyre_yaml_node *node, const char *path, const gyre_compare_spec *s, const char *word)
{
    bool one_sided = strcmp(s->goal, "not_worse") == 0;
    if (strcmp(word, "EQUIVALENT") == 0 && (one_sided || !s->has_margin))
        gyre_yaml_fault(c->yaml, node, path, "EQUIVALENT cannot come out: %s", one_sided ? "the goal is not_worse" : "there is no margin");
    if (strcmp(word, "NOT_WORSE") == 0 && !one_sided)
        gyre_yaml_fault(c->yaml, node, path, "NOT_WORSE cannot come out: say goal: not_worse");
}

static void read_predicts(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_compare_spec *s)
{
    size_t used = 0;
    bool seen[sizeof verdicts / sizeof *verdicts] = {false};
    if (node == NULL || !gyre_config_fits(c->yaml, node, path, gyre_config_items(node), sizeof verdicts / sizeof *verdicts - 1))
        return;
    for (size_t i = 0; i < gyre_config_items(node); i++) {
        const gyre_yaml_node *item = gyre_config_item(node, i);
        const char *word = choice(c, item, path, "verdict", verdicts, NULL);
        size_t which = 0;
        while (word != NULL && verdicts[which] != word)
            which++;
        if (word == NULL)
            continue;
        if (seen[which])
            gyre_yaml_fault(c->yaml, item, path, "'%s' stands twice", word);
        else
            used += (size_t)snprintf(s->predicts + used, sizeof s->predicts - used, "%s%s", used > 0 ? "," : "", word);
        seen[which] = true;
        check_verdict(c, item, path, s, word);
    }
    if (gyre_config_items(node) == 0)
        gyre_yaml_fault(c->yaml, node, path, "the list is empty");
}

void gyre_config_read_judging(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_compare_spec *s)
{
    const gyre_yaml_node *published = gyre_yaml_get(node, "published");
    s->test = read_test(c, gyre_yaml_get(node, "test"), path);
    s->goal = choice(c, gyre_yaml_get(node, "goal"), path, "goal", goals, goals[0]);
    s->correction = read_correction(c, gyre_yaml_get(node, "correction"), path);
    s->published = "";
    if (published != NULL)
        (void)gyre_yaml_text(c->yaml, published, path, &s->published);
    if (strcmp(s->goal, "not_worse") == 0 && !s->has_margin && gyre_yaml_get(node, "margin") == NULL)
        gyre_yaml_fault(c->yaml, gyre_yaml_get(node, "goal"), path, "not_worse needs a margin: by how much would be worse?");
    read_predicts(c, gyre_yaml_get(node, "predicts"), path, s);
}

/* ---- the claim ---- */

static void read_text(gyre_config *c, const gyre_yaml_node *claim, const char *key, const char **out)
{
    char path[GYRE_CONFIG_PATH];
    const gyre_yaml_node *node = gyre_yaml_get(claim, key);
    (void)snprintf(path, sizeof path, "claim.%s", key);
    *out = "";
    if (node == NULL)
        gyre_yaml_fault(c->yaml, claim, "claim", "'%s' is missing", key);
    else
        (void)gyre_yaml_text(c->yaml, node, path, out);
}

static void read_open(gyre_config *c, const gyre_yaml_node *node, gyre_claim_spec *claim)
{
    if (node == NULL || !gyre_config_fits(c->yaml, node, "claim.open", gyre_config_items(node), GYRE_CONFIG_OPEN))
        return;
    for (size_t i = 0; i < gyre_config_items(node); i++)
        if (gyre_yaml_text(c->yaml, gyre_config_item(node, i), "claim.open", &claim->open[claim->n_open]))
            claim->n_open++;
}

static void read_exact_arm(gyre_config *c, const gyre_yaml_node *node, const char *path, gyre_exact_spec *e)
{
    const gyre_yaml_node *arm = gyre_yaml_get(node, "arm"), *point = gyre_yaml_get(node, "point");
    const char *names[GYRE_CONFIG_ARMS + 1] = {0};
    bool found = point == NULL;
    for (size_t i = 0; i < c->n_arms; i++)
        names[i] = c->arms[i].name;
    if (arm == NULL)
        gyre_yaml_fault(c->yaml, node, path, "'arm' is missing");
    e->arm = choice(c, arm, path, "arm", names, NULL);
    if (e->arm == NULL || point == NULL || !gyre_yaml_text(c->yaml, point, path, &e->point))
        return;
    for (size_t i = 0; i < c->n_points; i++)
        found = found || (strcmp(c->points[i].arm.name, e->arm) == 0 && strcmp(c->points[i].point, e->point) == 0);
    if (!found)
        gyre_yaml_fault(c->yaml, point, path, "arm '%.60s' has no point '%.80s': `gyre plan` lists them", e->arm, e->point);
}

static void read_exact(gyre_config *c, const gyre_yaml_node *list, gyre_claim_spec *claim)
{
    if (list == NULL || !gyre_yaml_want(c->yaml, list, "claim.exact", GYRE_YAML_LIST) || !gyre_config_fits(c->yaml, list, "claim.exact", list->count, GYRE_CONFIG_EXACT))
        return;
    for (size_t i = 0; i < list->count; i++) {
        const gyre_yaml_node *node = list->items[i];
        gyre_exact_spec *e = &claim->exact[claim->n_exact];
        char path[GYRE_CONFIG_PATH];
        int64_t digits = 0;
        (void)snprintf(path, sizeof path, "claim.exact[%zu]", i);
        if (!gyre_yaml_want(c->yaml, node, path, GYRE_YAML_MAP))
            continue;
        gyre_yaml_keys(c->yaml, node, path, exact_keys);
        read_exact_arm(c, node, path, e);
        const gyre_yaml_node *quantity = gyre_yaml_get(node, "quantity"), *published = gyre_yaml_get(node, "published"), *places = gyre_yaml_get(node, "digits");
        e->quantity = choice(c, quantity, path, "quantity", quantities, quantities[0]);
        if (quantity == NULL || published == NULL || places == NULL)
            gyre_yaml_fault(c->yaml, node, path, "'%s' is missing", quantity == NULL ? "quantity" : published == NULL ? "published" : "digits");
        if (published != NULL)
            (void)gyre_yaml_real(c->yaml, published, path, 0.0, 1e6, &e->published);
        if (places != NULL && gyre_yaml_int(c->yaml, places, path, 0, GYRE_EXACT_DIGITS, &digits))
            e->digits = (uint32_t)digits;
        claim->n_exact++;
    }
}

void gyre_config_read_claim(gyre_config *c, const gyre_yaml_node *root)
{
    const gyre_yaml_node *claim = gyre_yaml_get(root, "claim"), *pilot = gyre_yaml_get(root, "pilot");
    if (pilot != NULL)
        (void)gyre_yaml_text(c->yaml, pilot, "pilot", &c->pilot);
    if (claim == NULL || !gyre_yaml_want(c->yaml, claim, "claim", GYRE_YAML_MAP))
        return;
    gyre_yaml_keys(c->yaml, claim, "claim", claim_keys);
    if (gyre_yaml_get(claim, "id") == NULL)
        gyre_yaml_fault(c->yaml, claim, "claim", "'id' is missing: a short name, as in c01");
    else if (gyre_config_name(c->yaml, gyre_yaml_get(claim, "id"), "claim.id", "the name of a claim"))
        c->claim.id = gyre_yaml_get(claim, "id")->text;
    read_text(c, claim, "says", &c->claim.says);
    read_text(c, claim, "source", &c->claim.source);
    read_text(c, claim, "rule", &c->claim.rule);
    read_open(c, gyre_yaml_get(claim, "open"), &c->claim);
    read_exact(c, gyre_yaml_get(claim, "exact"), &c->claim);
}
