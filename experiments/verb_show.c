/* gyre list, describe, report, figures, verify, capture: what only reads, and capture. */
#include <stdio.h>
#include <string.h>

#include "engine/capture_command.h"
#include "experiments/report.h"
#include "experiments/verb.h"
#include "results/figures.h"
#include "results/verify.h"

/* ---- what list and describe know of any variant ---- */

typedef struct flag_name {
    unsigned flag;
    const char *name;
} flag_name;

static const flag_name transform_flags[] = {{GYRE_LINEAR, "linear"}, {GYRE_ORTHOGONAL, "orthogonal"}, {GYRE_SEEDED, "seeded"}, {GYRE_LEARNABLE, "learnable"}, {0, NULL}};
static const flag_name transform_needs[] = {
    {GYRE_NEEDS_POSITION, "position"}, {GYRE_NEEDS_BIAS, "key bias"}, {GYRE_NEEDS_CALIBRATION, "calibration rows"}, {0, NULL}};
static const flag_name quantizer_flags[] = {{GYRE_IDEMPOTENT, "idempotent"},       {GYRE_TOKEN_LOCAL, "token_local"}, {GYRE_FIXED_SIZE, "fixed_size"},
                                            {GYRE_RANDOM_ACCESS, "random_access"}, {GYRE_ONLINE, "online"},
                                            {GYRE_QUANTIZER_FITTED, "fitted"}, {GYRE_QUANTIZER_SEEDED, "seeded"},   {0, NULL}};

static void words_of(unsigned bits, const flag_name *names, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (; names->name != NULL; names++)
        if (bits & names->flag) {
            int n = snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ", names->name);
            used = n > 0 && used + (size_t)n < size ? used + (size_t)n : used;
        }
}

static void json_text(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            (void)printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            (void)printf("\\u%04x", (unsigned)*text);
        else
            (void)putchar(*text);
    (void)putchar('"');
}

static void json_pair(const char *key, const char *text, bool last)
{
    json_text(key);
    (void)printf(": ");
    json_text(text);
    (void)printf("%s", last ? "" : ", ");
}

/* One variant of any family, as describe shows it. */
typedef struct page {
    const char *kind, *name, *summary, *source;
    const char *labels[6], *values[6];
    size_t n;
    const gyre_option *options;
    char text[4][256];
} page;

static void put(page *p, const char *label, const char *value)
{
    if (value[0] == '\0' || p->n == 6)
        return;
    p->labels[p->n] = label;
    p->values[p->n++] = value;
}

/* "by=bias: needs key bias, accepts pre_rope; by=mean: ...": what the first choice of a variant changes in its traits; "" where nothing does. */
static void refined(const gyre_transform_type *t, char *text, size_t size)
{
    const gyre_option *o = t->options;
    size_t used = 0;
    text[0] = '\0';
    if (t->refine == NULL || o == NULL || o->type != GYRE_OPTION_CHOICE)
        return;
    for (size_t i = 0; o->choices[i] != NULL; i++) {
        gyre_option_values values = {0};
        char needs[64], frames[64] = "any frame";
        (void)gyre_options_defaults(t->options, &values);
        (void)gyre_option_parse(o, &values, o->choices[i], NULL);
        gyre_traits traits = gyre_transform_traits(t, &values);
        words_of(traits.needs, transform_needs, needs, sizeof needs);
        if (traits.accepts != GYRE_FRAME_ANY)
            (void)snprintf(frames, sizeof frames, "%s", gyre_frame_name((gyre_frame)traits.accepts));
        int n = snprintf(text + used, size - used, "%s%s=%s needs %s, takes rows in %s%s", used == 0 ? "" : "; ", o->key, o->choices[i], needs[0] ? needs : "nothing", frames,
                         traits.pooled ? ", pools heads" : "");
        used = n > 0 && used + (size_t)n < size ? used + (size_t)n : used;
    }
}

static void transform_page(const gyre_transform_type *t, page *p)
{
    *p = (page){.kind = "transform", .name = t->name, .summary = t->summary, .source = t->source, .options = t->options};
    words_of(t->traits.flags, transform_flags, p->text[0], sizeof p->text[0]);
    words_of(t->traits.needs, transform_needs, p->text[1], sizeof p->text[1]);
    (void)snprintf(p->text[2], sizeof p->text[2], "%s", t->traits.becomes != GYRE_FRAME_SAME ? gyre_frame_name((gyre_frame)t->traits.becomes) : "as it was");
    put(p, "dimensions", t->dims);
    put(p, "flags", p->text[0]);
    put(p, "needs", p->text[1]);
    put(p, "frame afterwards", p->text[2]);
    put(p, "folds into the query", gyre_fold_name(t->traits.fold_into_query));
    refined(t, p->text[3], sizeof p->text[3]);
    put(p, "by option", p->text[3]);
}

static void quantizer_page(const gyre_quantizer_type *t, page *p)
{
    *p = (page){.kind = "quantizer", .name = t->name, .summary = t->summary, .source = t->source, .options = t->options};
    words_of(t->flags, quantizer_flags, p->text[0], sizeof p->text[0]);
    put(p, "flags", p->text[0]);
    put(p, "codes together", gyre_span_name(t->span));
    put(p, "payload bits per value", t->bits_formula);
}

static void metric_page(const gyre_metric_type *t, page *p)
{
    *p = (page){.kind = "metric", .name = t->name, .summary = t->summary, .source = "docs/definitions.md"};
    put(p, "unit", t->unit[0] ? t->unit : "-");
    put(p, "defined for arms that code", t->streams == GYRE_METRIC_OF_K ? "K" : "K or V");
    put(p, "reads queries", (t->reads & GYRE_METRIC_QUERIES) ? "yes" : "no");
}

static void alias_page(const gyre_chain_alias *a, page *p)
{
    *p = (page){.kind = "alias", .name = a->name, .summary = a->summary, .source = "-"};
    size_t used = 0;
    for (const char *const *e = a->elements; *e != NULL; e++)
        used += (size_t)snprintf(p->text[0] + used, sizeof p->text[0] - used, "%s%s", used == 0 ? "[" : ", ", *e);
    (void)snprintf(p->text[0] + used, sizeof p->text[0] - used, "]");
    put(p, "chain", p->text[0]);
}

static void line_of(const page *p, bool json, bool *first)
{
    if (!json) {
        const char *flags = "";
        for (size_t i = 0; i < p->n; i++)
            flags = strcmp(p->labels[i], "flags") == 0 ? p->values[i] : flags;
        (void)printf("%-10s %-14s %s%s%s%s\n", p->kind, p->name, p->summary, flags[0] ? " [" : "", flags, flags[0] ? "]" : "");
        return;
    }
    (void)printf("%s  {", *first ? "" : ",\n");
    *first = false;
    json_pair("kind", p->kind, false);
    json_pair("name", p->name, false);
    for (size_t i = 0; i < p->n; i++)
        json_pair(p->labels[i], p->values[i], false);
    json_pair("summary", p->summary, true);
    (void)printf("}");
}

/* Calls `each` for every variant, families in order. */
static void every_page(void (*each)(const page *, void *), void *data)
{
    page p;
    for (const gyre_transform_type *const *t = gyre_transform_types; *t != NULL; t++) {
        transform_page(*t, &p);
        each(&p, data);
    }
    for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL; a++) {
        alias_page(a, &p);
        each(&p, data);
    }
    for (const gyre_quantizer_type *const *t = gyre_quantizer_types; *t != NULL; t++) {
        quantizer_page(*t, &p);
        each(&p, data);
    }
    for (const gyre_metric_type *const *t = gyre_metric_types; *t != NULL; t++) {
        metric_page(*t, &p);
        each(&p, data);
    }
}

typedef struct listing {
    bool json, first;
} listing;

static void list_one(const page *p, void *data)
{
    listing *l = data;
    line_of(p, l->json, &l->first);
}

gyre_status gyre_verb_list(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    (void)context;
    gyre_status st = GYRE_OK;
    size_t words = 0;
    listing l = {.json = false, .first = true};
    const gyre_argument options[] = {{.name = "--json", .flag = &l.json}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, NULL, 0, &words, err));
    if (l.json)
        (void)printf("[\n");
    every_page(list_one, &l);
    if (l.json)
        (void)printf("\n]\n");
done:
    return st;
}

static void describe_text(const page *p)
{
    (void)printf("%s %s: %s\n", p->kind, p->name, p->summary);
    (void)printf("  source: %s\n", p->source);
    for (size_t i = 0; i < p->n; i++)
        (void)printf("  %s: %s\n", p->labels[i], p->values[i]);
    for (const gyre_option *o = p->options; o != NULL && o->key != NULL; o++) {
        char domain[GYRE_OPTION_TEXT];
        gyre_option_domain(o, domain, sizeof domain);
        (void)printf("  option %s: %s%s%s; %s%s; %s\n", o->key, domain, o->unit[0] ? " " : "", o->unit, o->fallback != NULL ? "default " : "required",
                     o->fallback != NULL ? o->fallback : "", o->help);
    }
}

static void describe_json(const page *p)
{
    (void)printf("{");
    json_pair("kind", p->kind, false);
    json_pair("name", p->name, false);
    json_pair("summary", p->summary, false);
    json_pair("source", p->source, false);
    for (size_t i = 0; i < p->n; i++)
        json_pair(p->labels[i], p->values[i], false);
    (void)printf("\"options\": [");
    for (const gyre_option *o = p->options; o != NULL && o->key != NULL; o++) {
        char domain[GYRE_OPTION_TEXT];
        gyre_option_domain(o, domain, sizeof domain);
        (void)printf("%s{", o == p->options ? "" : ", ");
        json_pair("key", o->key, false);
        json_pair("domain", domain, false);
        json_pair("unit", o->unit, false);
        if (o->fallback != NULL)
            json_pair("default", o->fallback, false);
        json_pair("help", o->help, true);
        (void)printf("}");
    }
    (void)printf("]}\n");
}

typedef struct wanted {
    const char *name;
    bool json, found;
    const char *names[256];
    size_t n;
} wanted;

static void describe_one(const page *p, void *data)
{
    wanted *w = data;
    if (w->n < 255)
        w->names[w->n++] = p->name;
    if (strcmp(p->name, w->name) != 0)
        return;
    w->found = true;
    if (w->json)
        describe_json(p);
    else
        describe_text(p);
}

gyre_status gyre_verb_describe(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    (void)context;
    gyre_status st = GYRE_OK;
    size_t words = 0;
    wanted w = {0};
    const gyre_argument options[] = {{.name = "--json", .flag = &w.json}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &w.name, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a variant, as in gyre describe rfft; gyre list shows them");
    every_page(describe_one, &w);
    if (!w.found) {
        const char *near = gyre_nearest(w.name, w.names);
        GYRE_FAIL(GYRE_E_USAGE, "there is no variant '%s'%s%s%s: gyre list shows them", w.name, near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                  near != NULL ? "'?)" : "");
    }
done:
    return st;
}

/* ---- results files ---- */

gyre_status gyre_verb_report(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL;
    size_t words = 0;
    const gyre_argument options[] = {{0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file, as in gyre report out/demo/results.h5");
    GYRE_TRY(gyre_report_file(path, stdout, context->log, err));
done:
    return st;
}

gyre_status gyre_verb_figures(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL, *out = NULL, *only = NULL;
    char folder[4096];
    size_t words = 0;
    const gyre_argument options[] = {{.name = "--out", .value = &out}, {.name = "--only", .value = &only}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file, as in gyre figures out/demo/results.h5");
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof folder, "%.*sfigures", slash == NULL ? 0 : (int)(slash - path) + 1, path);
    GYRE_TRY(gyre_figures(path, out != NULL ? out : folder, only, context->log, err));
done:
    return st;
}

gyre_status gyre_verb_verify(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL;
    size_t words = 0;
    bool digest = false;
    char hex[GYRE_SHA256_HEX];
    gyre_verification v = {0};
    const gyre_argument options[] = {{.name = "--digest", .flag = &digest}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a file, as in gyre verify out/demo/results.h5");
    if (digest) {
        GYRE_TRY(gyre_verify_digest(path, hex, err));
        (void)printf("%s\n", hex);
        goto done;
    }
    GYRE_TRY(gyre_verify(path, &v, err));
    for (size_t i = 0; i < v.n_warnings; i++)
        gyre_log_warning(context->log, "%s is unknown to this version", v.warnings[i]);
    for (size_t i = 0; i < v.n_faults; i++)
        (void)printf("%s: fault: %s\n", path, v.faults[i]);
    if (v.n_faults > 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s: %zu fault%s in this %s file", path, v.n_faults, v.n_faults == 1 ? "" : "s", v.kind);
    (void)printf("%s: a sound %s file, digest %s\n", path, v.kind, v.digest);
done:
    gyre_verification_free(&v);
    return st;
}

gyre_status gyre_verb_capture(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    return gyre_capture_command(argc, argv, context->log, err);
}
