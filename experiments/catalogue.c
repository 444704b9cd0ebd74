#include "experiments/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "calibrate/fit.h"
#include "metrics/metric.h"
#include "transforms/chain.h"

const char *const gyre_families[] = {"transforms", "quantizers", "metrics", "objectives", "optimisers", "fits", NULL};
const size_t gyre_entry_dims[GYRE_ENTRY_DIMS] = {64, 80, 96, 112, 128, 192, 256, 320, 576};
static const size_t rate_dims[GYRE_ENTRY_RATES] = {64, 128};
enum { DIM_MOST = 576 };
_Static_assert((int)GYRE_ENTRY_WHY >= (int)GYRE_WHY && (int)GYRE_ENTRY_WHY >= (int)GYRE_QUANTIZER_WHY, "reasons of every family fit");

/* ---- texts ---- */

typedef struct flag_name {
    unsigned flag;
    const char *name;
} flag_name;

static const flag_name transform_flags[] = {{GYRE_LINEAR, "linear"}, {GYRE_ORTHOGONAL, "orthogonal"}, {GYRE_DIAGONAL, "diagonal"}, {GYRE_SEEDED, "seeded"},
                                            {GYRE_LEARNABLE, "learnable"}, {0, NULL}};
static const flag_name transform_needs[] = {
    {GYRE_NEEDS_POSITION, "position"}, {GYRE_NEEDS_BIAS, "key bias"}, {GYRE_NEEDS_CALIBRATION, "calibration rows"}, {GYRE_NEEDS_QUERIES, "queries (for keys)"}, {0, NULL}};
static const flag_name quantizer_flags[] = {
    {GYRE_IDEMPOTENT, "idempotent"}, {GYRE_TOKEN_LOCAL, "token_local"},  {GYRE_FIXED_SIZE, "fixed_size"},    {GYRE_RANDOM_ACCESS, "random_access"},
    {GYRE_ONLINE, "online"},         {GYRE_QUANTIZER_FITTED, "fitted"}, {GYRE_QUANTIZER_SEEDED, "seeded"}, {GYRE_QUANTIZER_LEARNS, "learns"}, {0, NULL}};

/* Adds "a, b" or "a; b": the separator stands between what is there and what comes. A text that is full stays as it is. */
static void add(char *text, size_t size, const char *separator, const char *more)
{
    size_t used = strlen(text);
    if (used + strlen(separator) + strlen(more) + 1 > size)
        return;
    (void)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : separator, more);
}

static char *fact(gyre_entry *e, const char *label, bool list, const char *text)
{
    gyre_fact *f = &e->facts[e->n_facts++];
    f->label = label;
    f->list = list;
    (void)snprintf(f->text, sizeof f->text, "%s", text);
    return f->text;
}

static void fact_of_flags(gyre_entry *e, const char *label, unsigned bits, const flag_name *names)
{
    char *text = fact(e, label, true, "");
    for (; names->name != NULL; names++)
        if (bits & names->flag)
            add(text, GYRE_ENTRY_TEXT, ", ", names->name);
}

/* ---- what the descriptors say under given options ---- */

static void transform_facts(const void *type, const void *values, gyre_entry *e)
{
    const gyre_transform_type *t = type;
    gyre_traits traits = gyre_transform_traits(t, values);
    fact(e, "dimensions", false, t->dims);
    fact_of_flags(e, "flags", traits.flags, transform_flags);
    fact_of_flags(e, "needs", traits.needs, transform_needs);
    char *frames = fact(e, "takes rows in", true, traits.accepts == GYRE_FRAME_ANY ? "any frame" : "");
    for (unsigned f = GYRE_FRAME_POST_ROPE; traits.accepts != GYRE_FRAME_ANY && f <= GYRE_FRAME_MIXED; f *= 2)
        if (traits.accepts & f)
            add(frames, GYRE_ENTRY_TEXT, ", ", gyre_frame_name((gyre_frame)f));
    fact(e, "frame afterwards", false, traits.becomes != GYRE_FRAME_SAME ? gyre_frame_name((gyre_frame)traits.becomes) : "as it was");
    fact(e, "folds into the query", false, gyre_fold_name(traits.fold_into_query));
    if (traits.needs & GYRE_NEEDS_CALIBRATION)
        fact(e, "one fit for", false, traits.pooled ? "the heads of a layer" : "each head");
}

static void quantizer_facts(const void *type, const void *values, gyre_entry *e)
{
    const gyre_quantizer_type *t = type;
    fact_of_flags(e, "flags", gyre_quantizer_flags(t, values), quantizer_flags);
    fact(e, "codes together", false, gyre_span_name(t->span));
    if (t->read_scores != NULL || t->read_output != NULL)
        fact(e, "reads", false, "by the query");
    fact(e, "payload bits per value", false, t->bits_formula);
}

/* Option values of any family. */
typedef union any_values {
    gyre_option_values of_transform;
    gyre_quantizer_values of_quantizer;
} any_values;

typedef void (*fill)(const void *type, const void *values, gyre_entry *e);

static size_t words_of(const gyre_option *o)
{
    size_t words = o->type == GYRE_OPTION_BOOL ? 2 : 0;
    while (o->type != GYRE_OPTION_BOOL && o->choices != NULL && o->choices[words] != NULL)
        words++;
    return words;
}

/* The text of the n-th value worth trying: every word, both truths, the ends of a range; false behind the last. */
static bool candidate(const gyre_option *o, size_t n, char *text, size_t size)
{
    static const char *const truths[] = {"false", "true"};
    size_t words = words_of(o);
    if (n < words)
        return snprintf(text, size, "%s", (o->type == GYRE_OPTION_BOOL ? truths : o->choices)[n]) > 0;
    n -= words;
    if (o->type != GYRE_OPTION_INT && o->type != GYRE_OPTION_REAL)
        return false;
    return n < 2 && snprintf(text, size, o->type == GYRE_OPTION_INT ? "%.0f" : "%.17g", n == 0 ? o->lo : o->hi) > 0;
}

static const char *text_of(const gyre_entry *e, const char *label)
{
    for (size_t i = 0; i < e->n_facts; i++)
        if (strcmp(e->facts[i].label, label) == 0)
            return e->facts[i].text;
    return "";
}

/* "by=mean: needs calibration rows, takes rows in any frame": what one value changes, added to text. */
static void add_change(const gyre_entry *base, const gyre_entry *other, const char *key, const char *value, char *text)
{
    char change[GYRE_ENTRY_TEXT] = "", part[GYRE_ENTRY_TEXT + 64];
    for (size_t i = 0; i < other->n_facts; i++) {
        const gyre_fact *f = &other->facts[i];
        if (strcmp(f->text, text_of(base, f->label)) == 0)
            continue;
        (void)snprintf(part, sizeof part, "%s %s", f->label, f->text[0] ? f->text : "nothing");
        add(change, sizeof change, "; ", part);
    }
    if (change[0] == '\0')
        return;
    (void)snprintf(part, sizeof part, "%.60s=%.60s: %.900s", key, value, change);
    add(text, GYRE_ENTRY_TEXT, ". ", part);
}

/* What options change in the facts, one option at a time. */
static void changes(gyre_entry *e, fill facts, const void *type, const void *values, size_t size)
{
    char text[GYRE_ENTRY_TEXT] = "", value[GYRE_OPTION_TEXT];
    for (const gyre_option *o = e->options; o != NULL && o->key != NULL; o++)
        for (size_t n = 0; candidate(o, n, value, sizeof value); n++) {
            gyre_entry other = {0};
            any_values changed;
            memcpy(&changed, values, size);
            if (!gyre_option_parse(o, &changed, value, NULL))
                continue;
            facts(type, &changed, &other);
            add_change(e, &other, o->key, value, text);
        }
    fact(e, "by option", false, text);
}

static bool suggest(const gyre_option *o, void *values, char *text, size_t size)
{
    (void)snprintf(text, size, "4");
    return (o->type == GYRE_OPTION_INT && gyre_option_parse(o, values, text, NULL)) || (candidate(o, 0, text, size) && gyre_option_parse(o, values, text, NULL));
}

/* Defaults; required numbers are 4 (the usual width) or the least allowed, required words the first. False when a required option allows no such choice. */
static bool assume(gyre_entry *e, void *values)
{
    if (gyre_options_defaults(e->options, values))
        return true;
    for (const gyre_option *o = e->options; o->key != NULL; o++) {
        char value[GYRE_OPTION_TEXT], pair[2 * GYRE_OPTION_TEXT];
        if (o->fallback != NULL)
            continue;
        if (!suggest(o, values, value, sizeof value)) {
            add(e->wants, sizeof e->wants, ", ", o->key);
            continue;
        }
        (void)snprintf(pair, sizeof pair, "%s=%s", o->key, value);
        add(e->assumed, sizeof e->assumed, ", ", pair);
    }
    return e->wants[0] == '\0';
}

/* ---- where they apply ---- */

typedef struct place {
    gyre_rope rope;
    gyre_site site;
} place;

static void make_place(place *p, size_t dim)
{
    static const float bias[DIM_MOST];
    *p = (place){.rope = {.kind = GYRE_ROPE_NEOX, .n_rot = (uint32_t)dim, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f}};
    p->site = (gyre_site){.dim = dim, .stream = GYRE_K, .n_heads = GYRE_ENTRY_HEADS, .rope = &p->rope, .bias = bias};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `why` with the number `dim` replaced by d. */
static void general(const char *why, size_t dim, char *text, size_t size)
{
    char number[32];
    size_t used = 0, length = (size_t)snprintf(number, sizeof number, "%zu", dim);
    for (const char *at = why; *at != '\0' && used + 1 < size;) {
        bool whole = strncmp(at, number, length) == 0 && (at == why || !is_digit(at[-1])) && !is_digit(at[length]);
        text[used++] = whole ? 'd' : *at;
        at += whole ? length : 1;
    }
    text[used] = '\0';
}

typedef bool (*question)(const void *what, const gyre_site *site, const void *values, char why[GYRE_ENTRY_WHY]);

static bool transform_applies(const void *type, const gyre_site *site, const void *values, char why[GYRE_ENTRY_WHY])
{
    return gyre_transform_applies(type, site, values, why);
}

static bool chain_applies(const void *spec, const gyre_site *site, const void *values, char why[GYRE_ENTRY_WHY])
{
    (void)values;
    return gyre_chain_applies(spec, site, why);
}

static bool quantizer_applies(const void *type, const gyre_site *site, const void *values, char why[GYRE_ENTRY_WHY])
{
    return gyre_quantizer_applies(type, site, values, why);
}

/* Reasons lose the variant's own name in front. */
static void ask(const char *name, question applies, const void *what, const void *values, gyre_setting *s)
{
    static const char verb[] = " does not apply: ";
    size_t length = strlen(name);
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++) {
        place p;
        char text[GYRE_ENTRY_WHY] = "";
        const char *why = text;
        make_place(&p, gyre_entry_dims[i]);
        s->at[i].dim = gyre_entry_dims[i];
        s->at[i].applies = applies(what, &p.site, values, text);
        if (strncmp(why, name, length) == 0 && strncmp(why + length, verb, sizeof verb - 1) == 0)
            why += length + sizeof verb - 1;
        general(s->at[i].applies ? "" : why, gyre_entry_dims[i], s->at[i].why, GYRE_ENTRY_WHY);
    }
}

static bool same_places(const gyre_setting *a, const gyre_setting *b)
{
    bool same = true;
    for (size_t i = 0; i < GYRE_ENTRY_DIMS; i++)
        same = same && a->at[i].applies == b->at[i].applies;
    return same;
}

/* The default, then each word of an option, one at a time, with which it applies elsewhere. */
static void settings(gyre_entry *e, question applies, const void *type, const void *values, size_t size)
{
    char value[GYRE_OPTION_TEXT];
    ask(e->name, applies, type, values, &e->settings[e->n_settings++]);
    for (const gyre_option *o = e->options; o != NULL && o->key != NULL; o++)
        for (size_t n = 0; n < words_of(o) && candidate(o, n, value, sizeof value) && e->n_settings < GYRE_ENTRY_SETTINGS; n++) {
            any_values changed;
            gyre_setting *s = &e->settings[e->n_settings];
            memcpy(&changed, values, size);
            if (!gyre_option_parse(o, &changed, value, NULL))
                continue;
            ask(e->name, applies, type, &changed, s);
            bool also = e->assumed[0] != '\0' && o->fallback != NULL;
            (void)snprintf(s->text, sizeof s->text, "%.60s%s%.40s=%.40s", also ? e->assumed : "", also ? ", " : "", o->key, value);
            e->n_settings += same_places(s, &e->settings[0]) ? 0 : 1;
        }
}

static void transform_entry(const gyre_transform_type *t, gyre_entry *e)
{
    gyre_option_values values = {0};
    *e = (gyre_entry){.kind = "transform", .name = t->name, .summary = t->summary, .source = t->source, .options = t->options};
    bool buildable = assume(e, &values);
    transform_facts(t, &values, e);
    changes(e, transform_facts, t, &values, sizeof values);
    if (buildable)
        settings(e, transform_applies, t, &values, sizeof values);
}

static gyre_status alias_entry(const gyre_chain_alias *a, gyre_entry *e, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_chain_spec spec = {0};
    *e = (gyre_entry){.kind = "alias", .name = a->name, .summary = a->summary, .source = ""};
    char *text = fact(e, "chain", true, "");
    for (const char *const *element = a->elements; *element != NULL; element++)
        add(text, GYRE_ENTRY_TEXT, ", ", *element);
    GYRE_TRY(gyre_chain_add_alias(&spec, a, err));
    settings(e, chain_applies, &spec, NULL, 0);
done:
    return st;
}

static void quantizer_entry(const gyre_quantizer_type *t, gyre_entry *e)
{
    *e = (gyre_entry){.kind = "quantizer", .name = t->name, .summary = t->summary, .source = t->source, .options = t->options, .quantizer = t};
    bool buildable = assume(e, &e->values);
    quantizer_facts(t, &e->values, e);
    changes(e, quantizer_facts, t, &e->values, sizeof e->values);
    if (buildable)
        settings(e, quantizer_applies, t, &e->values, sizeof e->values);
}

static void metric_entry(const gyre_metric_type *m, gyre_entry *e)
{
    *e = (gyre_entry){.kind = "metric", .name = m->name, .summary = m->summary, .source = "docs/definitions.md"};
    fact(e, "unit", false, m->unit);
    bool tokens = m->reads & GYRE_METRIC_TOKENS;
    fact(e, "of", false, tokens ? "a chunk of text, needs source.model" : "rows of a capture");
    fact(e, "defined for arms that code", false, tokens ? "anything or nothing" : m->streams == GYRE_METRIC_OF_K ? "K" : "K or V");
    fact(e, "reads queries", false, (m->reads & GYRE_METRIC_QUERIES) ? "yes" : "no");
}

static const flag_name objective_flags[] = {
    {GYRE_OBJECTIVE_QUANTIZES, "quantizes"}, {GYRE_OBJECTIVE_DOCUMENTS, "documents"}, {GYRE_OBJECTIVE_QUERIES, "queries"}, {0, NULL}};

static void objective_entry(const gyre_objective_type *o, gyre_entry *e)
{
    unsigned of = o->flags & (GYRE_OBJECTIVE_OF_K | GYRE_OBJECTIVE_OF_V);
    *e = (gyre_entry){.kind = "objective", .name = o->name, .summary = o->summary, .source = o->source, .options = o->options};
    fact(e, "unit", false, o->unit);
    fact(e, "defined for", false, of == GYRE_OBJECTIVE_OF_K ? "K" : of == GYRE_OBJECTIVE_OF_V ? "V" : "K or V");
    fact_of_flags(e, "flags", o->flags, objective_flags);
}

static void optimiser_entry(const gyre_optimiser_type *o, gyre_entry *e)
{
    *e = (gyre_entry){.kind = "optimiser", .name = o->name, .summary = o->summary, .source = o->source, .options = o->options};
}

/* The options that every fit has. */
static void fit_entry(gyre_entry *e)
{
    *e = (gyre_entry){.kind = "fit", .name = "fit", .summary = "how the parameters of a codec are found: options of every fit", .source = "docs/configuration.md", .options = gyre_fit_table};
}

gyre_status gyre_entry_rates(gyre_entry *e, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_quantizer *q = NULL;
    e->n_rates = 0;
    if (e->quantizer == NULL || e->wants[0] != '\0' || !(gyre_quantizer_flags(e->quantizer, &e->values) & GYRE_FIXED_SIZE))
        goto done;
    for (size_t i = 0; i < GYRE_ENTRY_RATES; i++) {
        place p;
        char why[GYRE_QUANTIZER_WHY];
        make_place(&p, rate_dims[i]);
        if (!gyre_quantizer_applies(e->quantizer, &p.site, &e->values, why))
            continue;
        GYRE_TRY(gyre_quantizer_new(e->quantizer, &p.site, &e->values, &q, err));
        double coded = (double)q->streams * (double)q->heads * GYRE_ENTRY_TOKENS * (double)q->dim;
        e->rates[e->n_rates].dim = rate_dims[i];
        e->rates[e->n_rates++].bits = 8.0 * (double)gyre_quantizer_most_bytes(q, GYRE_ENTRY_TOKENS) / coded;
        gyre_quantizer_free(q);
        q = NULL;
    }
done:
    gyre_quantizer_free(q);
    return st;
}

/* ---- all of them ---- */

static size_t count(void)
{
    size_t n = 0;
    for (const gyre_transform_type *const *t = gyre_transform_types; *t != NULL; t++)
        n++;
    for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL; a++)
        n++;
    for (const gyre_quantizer_type *const *t = gyre_quantizer_types; *t != NULL; t++)
        n++;
    for (const gyre_metric_type *const *m = gyre_metric_types; *m != NULL; m++)
        n++;
    for (const gyre_objective_type *const *o = gyre_objective_types; *o != NULL; o++)
        n++;
    for (const gyre_optimiser_type *const *o = gyre_optimiser_types; *o != NULL; o++)
        n++;
    return n + 1; /* the options of a fit */
}

static bool wanted(const char *family, size_t which)
{
    return family == NULL || strcmp(family, gyre_families[which]) == 0;
}

gyre_status gyre_catalogue(const char *family, gyre_entry **entries, size_t *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_entry *all = NULL, *e;
    *entries = NULL;
    *n = 0;
    GYRE_NEW(&all, count());
    e = all;
    for (size_t i = 0; wanted(family, 0) && gyre_transform_types[i] != NULL; i++, e++) {
        transform_entry(gyre_transform_types[i], e);
        e->family = gyre_families[0];
    }
    for (size_t i = 0; wanted(family, 0) && gyre_chain_aliases[i].name != NULL; i++, e++) {
        GYRE_TRY(alias_entry(&gyre_chain_aliases[i], e, err));
        e->family = gyre_families[0];
    }
    for (size_t i = 0; wanted(family, 1) && gyre_quantizer_types[i] != NULL; i++, e++) {
        quantizer_entry(gyre_quantizer_types[i], e);
        e->family = gyre_families[1];
    }
    for (size_t i = 0; wanted(family, 2) && gyre_metric_types[i] != NULL; i++, e++) {
        metric_entry(gyre_metric_types[i], e);
        e->family = gyre_families[2];
    }
    for (size_t i = 0; wanted(family, 3) && gyre_objective_types[i] != NULL; i++, e++) {
        objective_entry(gyre_objective_types[i], e);
        e->family = gyre_families[3];
    }
    for (size_t i = 0; wanted(family, 4) && gyre_optimiser_types[i] != NULL; i++, e++) {
        optimiser_entry(gyre_optimiser_types[i], e);
        e->family = gyre_families[4];
    }
    if (wanted(family, 5)) {
        fit_entry(e);
        e++->family = gyre_families[5];
    }
    *n = (size_t)(e - all);
    *entries = all;
    all = NULL;
done:
    free(all);
    return st;
}
