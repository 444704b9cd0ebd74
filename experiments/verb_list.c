/* gyre list, describe: the catalogue as text, JSON or Markdown. */
#include <stdlib.h>
#include <string.h>

#include "experiments/catalogue.h"
#include "experiments/json.h"
#include "experiments/verb.h"

/* ---- JSON ---- */

static void json_option(const gyre_option *o)
{
    static const char *const types[] = {[GYRE_OPTION_INT] = "integer", [GYRE_OPTION_REAL] = "real", [GYRE_OPTION_BOOL] = "boolean", [GYRE_OPTION_CHOICE] = "word"};
    char domain[2 * GYRE_OPTION_TEXT];
    gyre_option_domain(o, domain, sizeof domain);
    (void)printf("{\"key\": ");
    gyre_json_text(o->key);
    gyre_json_pair("type", (size_t)o->type < sizeof types / sizeof *types ? types[o->type] : "text");
    gyre_json_pair("domain", domain);
    if (o->type == GYRE_OPTION_INT || o->type == GYRE_OPTION_REAL) {
        gyre_json_number("least", o->lo);
        gyre_json_number("most", o->hi);
    }
    if (o->choices != NULL) {
        (void)printf(", \"words\": [");
        for (size_t i = 0; o->choices[i] != NULL; i++) {
            (void)printf("%s", i == 0 ? "" : ", ");
            gyre_json_text(o->choices[i]);
        }
        (void)putchar(']');
    }
    if (o->fallback != NULL)
        gyre_json_pair("default", o->fallback);
    (void)printf(", \"required\": %s", o->fallback == NULL ? "true" : "false");
    gyre_json_pair("unit", o->unit);
    gyre_json_pair("help", o->help);
    (void)putchar('}');
}

static void json_setting(const gyre_setting *s, bool first)
{
    (void)printf("%s{\"with\": ", first ? "" : ", ");
    gyre_json_text(s->text);
    (void)printf(", \"at\": [");
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++) {
        (void)printf("%s{\"dim\": %zu, \"applies\": %s", i == 0 ? "" : ", ", s->at[i].dim, s->at[i].applies ? "true" : "false");
        gyre_json_pair("why", s->at[i].why);
        (void)putchar('}');
    }
    (void)printf("]}");
}

static void json_entry(const gyre_entry *e)
{
    (void)printf("{\"kind\": ");
    gyre_json_text(e->kind);
    gyre_json_pair("name", e->name);
    gyre_json_pair("summary", e->summary);
    gyre_json_pair("source", e->source);
    for (size_t i = 0; i < e->n_facts; i++)
        (e->facts[i].list ? gyre_json_list : gyre_json_pair)(e->facts[i].label, e->facts[i].text);
    gyre_json_list("assumed", e->assumed);
    gyre_json_list("wants", e->wants);
    (void)printf(", \"applies\": [");
    for (size_t i = 0; i < e->n_settings; i++)
        json_setting(&e->settings[i], i == 0);
    (void)printf("], \"payload_bits_at\": [");
    for (size_t i = 0; i < e->n_rates; i++)
        (void)printf("%s{\"dim\": %zu, \"bits\": %.17g}", i == 0 ? "" : ", ", e->rates[i].dim, e->rates[i].bits);
    (void)printf("], \"options\": [");
    for (const gyre_option *o = e->options; o != NULL && o->key != NULL; o++) {
        (void)printf("%s", o == e->options ? "" : ", ");
        json_option(o);
    }
    (void)printf("]}");
}

/* ---- text ---- */

static void text_line(const gyre_entry *e)
{
    const char *flags = "";
    for (size_t i = 0; i < e->n_facts; i++)
        flags = strcmp(e->facts[i].label, "flags") == 0 ? e->facts[i].text : flags;
    (void)printf("%-10s %-14s %s%s%s%s\n", e->kind, e->name, e->summary, flags[0] ? " [" : "", flags, flags[0] ? "]" : "");
}

/* "applies at: 64 128", then a line for each reason: "not at 80 96: the head dimension d is not a power of two". */
static void text_places(const gyre_setting *s)
{
    bool told[GYRE_ENTRY_DIMS] = {false};
    (void)printf("  applies%s%s at:", s->text[0] ? " with " : "", s->text);
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++)
        if (s->at[i].applies)
            (void)printf(" %zu", s->at[i].dim);
    (void)printf("\n");
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++) {
        if (s->at[i].applies || told[i])
            continue;
        (void)printf("  not at");
        for (size_t k = i; k < GYRE_ENTRY_DIMS; k++)
            if (!s->at[k].applies && strcmp(s->at[k].why, s->at[i].why) == 0) {
                told[k] = true;
                (void)printf(" %zu", s->at[k].dim);
            }
        (void)printf(": %s\n", s->at[i].why);
    }
}

static void text_entry(const gyre_entry *e)
{
    (void)printf("%s %s: %s\n", e->kind, e->name, e->summary);
    if (e->source[0] != '\0')
        (void)printf("  source: %s\n", e->source);
    if (e->assumed[0] != '\0')
        (void)printf("  shown with: %s\n", e->assumed);
    for (size_t i = 0; i < e->n_facts; i++)
        if (e->facts[i].text[0] != '\0')
            (void)printf("  %s: %s\n", e->facts[i].label, e->facts[i].text);
    for (size_t i = 0; i < e->n_rates; i++)
        (void)printf("  payload bits at %zu: %.10g\n", e->rates[i].dim, e->rates[i].bits);
    if (e->wants[0] != '\0')
        (void)printf("  needs: %s\n", e->wants);
    for (size_t i = 0; i < e->n_settings; i++)
        text_places(&e->settings[i]);
    for (const gyre_option *o = e->options; o != NULL && o->key != NULL; o++) {
        char domain[2 * GYRE_OPTION_TEXT];
        gyre_option_domain(o, domain, sizeof domain);
        (void)printf("  option %s: %s%s%s; %s%s; %s\n", o->key, domain, o->unit[0] ? " " : "", o->unit, o->fallback != NULL ? "default " : "required",
                     o->fallback != NULL ? o->fallback : "", o->help);
    }
}

/* ---- the verbs ---- */

static gyre_status check_family(const char *family, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char all[256] = "";
    size_t used = 0;
    for (size_t i = 0; family != NULL && gyre_families[i] != NULL; i++) {
        if (strcmp(family, gyre_families[i]) == 0)
            goto done;
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ", gyre_families[i]);
    }
    if (family != NULL) {
        const char *near = gyre_nearest(family, gyre_families);
        GYRE_FAIL(GYRE_E_USAGE, "there is no family '%s'%s%s%s: %s; gyre describe NAME shows one variant", family, near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                  near != NULL ? "'?)" : "", all);
    }
done:
    return st;
}

gyre_status gyre_verb_list(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    (void)context;
    gyre_status st = GYRE_OK;
    gyre_entry *entries = NULL;
    const char *family = NULL;
    size_t words = 0, n = 0;
    bool json = false, markdown = false;
    const gyre_argument options[] = {{.name = "--json", .flag = &json}, {.name = "--markdown", .flag = &markdown}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &family, 1, &words, err));
    if (json && markdown)
        GYRE_FAIL(GYRE_E_USAGE, "--json and --markdown exclude each other");
    if (markdown && family != NULL)
        GYRE_FAIL(GYRE_E_USAGE, "--markdown prints the page of all families: leave out '%s'", family);
    GYRE_TRY(check_family(family, err));
    GYRE_TRY(gyre_catalogue(family, &entries, &n, err));
    if (markdown)
        GYRE_TRY(gyre_catalogue_page(entries, n, stdout, err));
    for (size_t i = 0; json && i < n; i++)
        GYRE_TRY(gyre_entry_rates(&entries[i], err));
    for (size_t i = 0; json && i < n; i++) {
        (void)printf(i == 0 ? "[\n  " : ",\n  ");
        json_entry(&entries[i]);
    }
    if (json)
        (void)printf("\n]\n");
    for (size_t i = 0; !json && !markdown && i < n; i++)
        text_line(&entries[i]);
done:
    free(entries);
    return st;
}

static gyre_status no_such(const char *name, const gyre_entry *entries, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **names = NULL;
    GYRE_NEW(&names, n + 1);
    for (size_t i = 0; i < n; i++)
        names[i] = entries[i].name;
    const char *near = gyre_nearest(name, names);
    GYRE_FAIL(GYRE_E_USAGE, "there is no variant '%s'%s%s%s: gyre list shows them", name, near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
              near != NULL ? "'?)" : "");
done:
    free(names);
    return st;
}

/* "softmax_kl", or "objectives.softmax_kl" where two families have the name. */
static bool is_named(const gyre_entry *e, const char *name)
{
    size_t n = strlen(e->family);
    return strcmp(e->name, name) == 0 || (strncmp(name, e->family, n) == 0 && name[n] == '.' && strcmp(e->name, name + n + 1) == 0);
}

static gyre_status describe(gyre_entry *entries, size_t n, const char *name, bool json, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t first = n, count = 0;
    for (size_t i = n; i-- > 0;)
        if (is_named(&entries[i], name)) {
            first = i;
            count++;
        }
    if (count == 0)
        GYRE_TRY(no_such(name, entries, n, err));
    if (json && count > 1)
        GYRE_FAIL(GYRE_E_USAGE, "'%s' is in more than one family: write FAMILY.%s, as in %s.%s", name, name, entries[first].family, name);
    for (size_t i = first; i < n; i++) {
        if (!is_named(&entries[i], name))
            continue;
        GYRE_TRY(gyre_entry_rates(&entries[i], err));
        if (json)
            json_entry(&entries[i]);
        else
            text_entry(&entries[i]);
        if (json)
            (void)putchar('\n');
    }
done:
    return st;
}

gyre_status gyre_verb_describe(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    (void)context;
    gyre_status st = GYRE_OK;
    gyre_entry *entries = NULL;
    const char *name = NULL;
    size_t words = 0, n = 0;
    bool json = false;
    const gyre_argument options[] = {{.name = "--json", .flag = &json}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &name, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a variant, as in gyre describe rfft; gyre list shows them");
    GYRE_TRY(gyre_catalogue(NULL, &entries, &n, err));
    GYRE_TRY(describe(entries, n, name, json, err));
done:
    free(entries);
    return st;
}
