#include "results/fitted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "results/results_file.h"

/* The fits of cell c are items[first[c]] to items[first[c + 1] - 1], those of K before those of V. */
struct gyre_fitted {
    char *path;
    gyre_table *table;
    gyre_fit *items;
    size_t *first;
};

/* ---- opening ---- */

static gyre_status order_by_stream(gyre_fitted *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = f->table;
    size_t n = 0;
    GYRE_NEW(&f->first, t->n_cells + 1);
    for (size_t c = 0; c < t->n_cells; c++)
        f->first[c + 1] = f->first[c] + t->cells[c].n_fits;
    GYRE_NEW(&f->items, f->first[t->n_cells]);
    for (size_t c = 0; c < t->n_cells; c++)
        for (int stream = GYRE_K; stream <= GYRE_V; stream++)
            for (size_t i = 0; i < t->cells[c].n_fits; i++)
                if ((int)t->cells[c].fits[i].stream == stream)
                    f->items[n++] = t->cells[c].fits[i];
done:
    return st;
}

gyre_status gyre_fitted_open(const char *path, gyre_fitted **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fitted *f = NULL;
    *out = NULL;
    GYRE_NEW(&f, 1);
    GYRE_NEW(&f->path, strlen(path) + 1);
    memcpy(f->path, path, strlen(path) + 1);
    if ((st = gyre_results_read(path, &f->table, NULL, NULL, err)) != GYRE_OK) {
        (void)gyre_error_context(err, "fitted");
        goto done;
    }
    GYRE_TRY(order_by_stream(f, err));
    *out = f;
    f = NULL;
done:
    gyre_fitted_free(f);
    return st;
}

void gyre_fitted_free(gyre_fitted *f)
{
    if (f == NULL)
        return;
    gyre_table_free(f->table);
    free(f->items);
    free(f->first);
    free(f->path);
    free(f);
}

/* ---- what a canonical codec says ---- */

/* A part of "order=...;chain=...;quantizer=...;fit=..." */
typedef struct part {
    const char *text;
    size_t length;
} part;

static part part_of(const char *codec, const char *name)
{
    const char *at = strncmp(codec, name, strlen(name)) == 0 ? codec : NULL;
    for (const char *p = codec; at == NULL && (p = strchr(p, ';')) != NULL;)
        at = strncmp(++p, name, strlen(name)) == 0 ? p : NULL;
    if (at == NULL)
        return (part){ "", 0 };
    at += strlen(name);
    return (part){ at, strcspn(at, ";") };
}

static bool same_part(const char *a, const char *b, const char *name)
{
    part x = part_of(a, name), y = part_of(b, name);
    return x.length == y.length && memcmp(x.text, y.text, x.length) == 0;
}

/* Does the quantizer "name(key=value,...)" learn its clip ratio? One that this program does not know counts as one that does. */
static bool learns(const char *codec)
{
    part p = part_of(codec, "quantizer=");
    char text[GYRE_CANONICAL_TEXT], why[GYRE_OPTION_TEXT], *rest = text;
    gyre_quantizer_values values;
    if (p.length >= sizeof text)
        return true;
    memcpy(text, p.text, p.length);
    text[p.length] = '\0';
    text[p.length > 0 && text[p.length - 1] == ')' ? p.length - 1 : p.length] = '\0';
    rest += strcspn(rest, "(");
    bool has_options = *rest != '\0';
    *rest = '\0';
    const gyre_quantizer_type *type = gyre_quantizer_find(text);
    if (type == NULL)
        return true;
    memset(&values, 0, sizeof values);
    (void)gyre_options_defaults(type->options, &values);
    for (char *key = rest + 1; has_options && *key != '\0';) {
        char *end = key + strcspn(key, ","), *value = key + strcspn(key, "=");
        bool more = *end == ',';
        *end = '\0';
        if (value >= end)
            return true;
        *value = '\0';
        const gyre_option *option = gyre_option_find(type->options, key);
        if (option == NULL)
            return true;
        if (option->type != GYRE_OPTION_FILE && !gyre_option_parse(option, &values, value + 1, why)) /* of a file only the digest is told */
            return true;
        key = more ? end + 1 : end;
    }
    return gyre_quantizer_flags(type, &values) & GYRE_QUANTIZER_LEARNS;
}

/* ---- which cell is meant ---- */

enum { LIST_TEXT = 240 };

/* Is the cell of the arm, the arm and point, or the key that the selector names? */
static bool selected(const gyre_cell *c, const char *selector)
{
    size_t n = strlen(c->arm);
    if (strcmp(c->key, selector) == 0 || strcmp(c->arm, selector) == 0)
        return true;
    return strncmp(selector, c->arm, n) == 0 && selector[n] == '/' && strcmp(selector + n + 1, c->point) == 0;
}

/* What is asked of a cell, one question after the other: a cell that fails one is not asked the next. */
typedef enum question { SELECTED, MODEL, LAYER, SEED, QUESTIONS } question;

static bool passes(const gyre_table *t, const gyre_cell *c, const gyre_fitted_want *w, question q)
{
    switch (q) {
    case SELECTED:
        return t->sources[c->source].kind == GYRE_SOURCE_CAPTURE && selected(c, w->selector); /* blocks of a model source are no layers */
    case MODEL:
        return strcmp(t->sources[c->source].model_sha256, w->model_sha256) == 0;
    case LAYER:
        return c->layer == w->layer;
    case SEED:
    case QUESTIONS:
        break;
    }
    return c->seeded ? c->seed == w->seed : c->seed == 0;
}

static size_t passed(const gyre_table *t, const gyre_cell *c, const gyre_fitted_want *w)
{
    size_t q = SELECTED;
    while (q < QUESTIONS && passes(t, c, w, (question)q))
        q++;
    return q;
}

/* "0, 5, 17": what the cells that came as far as question q have there. */
static void list_found(const gyre_fitted *f, const gyre_fitted_want *w, question q, char text[LIST_TEXT])
{
    const gyre_table *t = f->table;
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < t->n_cells && used < LIST_TEXT; i++) {
        const gyre_cell *c = &t->cells[i];
        char one[100], padded[LIST_TEXT + 4], wanted[104];
        if (passed(t, c, w) != (size_t)q)
            continue;
        if (q == MODEL)
            (void)snprintf(one, sizeof one, "%.60s (%.12s)", t->sources[c->source].name, t->sources[c->source].model_sha256);
        else
            (void)snprintf(one, sizeof one, "%u", q == LAYER ? c->layer : c->seed);
        (void)snprintf(padded, sizeof padded, ", %s, ", text);
        (void)snprintf(wanted, sizeof wanted, ", %s, ", one);
        if (strstr(padded, wanted) == NULL)
            used += (size_t)snprintf(text + used, LIST_TEXT - used, "%s%s", used > 0 ? ", " : "", one);
    }
}

/* "bare, srft": the arms that have fits. */
static void list_arms(const gyre_table *t, char text[LIST_TEXT])
{
    size_t used = 0;
    const char *last = "";
    text[0] = '\0';
    for (size_t i = 0; i < t->n_cells && used < LIST_TEXT; i++) {
        const gyre_cell *c = &t->cells[i];
        if (c->n_fits == 0 || strcmp(c->arm, last) == 0 || c->layer != t->cells[0].layer || c->source != 0)
            continue;
        last = c->arm; /* the cells of an arm are neighbours in a layer */
        used += (size_t)snprintf(text + used, LIST_TEXT - used, "%s%s", used > 0 ? ", " : "", c->arm);
    }
}

static gyre_status nothing_selected(const gyre_fitted *f, const char *selector, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = f->table;
    const char **names = NULL;
    char arms[LIST_TEXT];
    list_arms(t, arms);
    GYRE_NEW(&names, t->n_cells + 1);
    for (size_t i = 0; i < t->n_cells; i++)
        names[i] = t->cells[i].arm;
    const char *near = gyre_nearest(selector, names);
    GYRE_FAIL(GYRE_E_INPUT, "fitted: %s has no arm, ARM/POINT or key of a cell '%s'%s%s%s; %s%s", f->path, selector, near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
              near != NULL ? "'" : "", arms[0] != '\0' ? "arms with fits: " : "no arm of it has fits", arms);
done:
    free(names);
    return st;
}

static gyre_status refuse(const gyre_fitted *f, const gyre_fitted_want *w, size_t furthest, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char found[LIST_TEXT];
    if (furthest == SELECTED)
        return nothing_selected(f, w->selector, err);
    list_found(f, w, (question)furthest, found);
    if (furthest == MODEL)
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for the model %s, not for %.12s", f->path, w->selector, found, w->model_sha256);
    if (furthest == LAYER)
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for layer %s of this model, not for layer %u", f->path, w->selector, found, w->layer);
    GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for seed %s in layer %u, not for seed %u: the arm draws random numbers, so its parameters are those of one seed", f->path, w->selector, found,
              w->layer, w->seed);
done:
    return st;
}

/* The one cell that is meant. Cells that share a key are one. */
static gyre_status choose(const gyre_fitted *f, const gyre_fitted_want *w, size_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = f->table;
    size_t furthest = SELECTED;
    *out = t->n_cells;
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t q = passed(t, &t->cells[i], w);
        furthest = q > furthest ? q : furthest;
        if (q < QUESTIONS)
            continue;
        if (*out < t->n_cells && strcmp(t->cells[i].key, t->cells[*out].key) != 0) {
            const gyre_cell *a = &t->cells[*out], *b = &t->cells[i];
            GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s is more than one cell of layer %u (%s at '%s' of %s, %s at '%s' of %s): name one as ARM/POINT or by its key", f->path, w->selector, w->layer,
                      a->arm, a->point, t->sources[a->source].name, b->arm, b->point, t->sources[b->source].name);
        }
        if (*out == t->n_cells)
            *out = i;
    }
    if (*out == t->n_cells)
        GYRE_TRY(refuse(f, w, furthest, err));
done:
    return st;
}

/* ---- does it fit ---- */

static gyre_status check_codec(const gyre_fitted *f, const gyre_fitted_want *w, const gyre_cell *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *own = NULL;
    const char *theirs = w->stream == GYRE_K ? c->codec_k : c->codec_v;
    GYRE_NEW(&own, GYRE_CODEC_TEXT);
    gyre_codec_canonical(w->codec, own, GYRE_CODEC_TEXT);
    static const char *const names[] = { "order=", "chain=" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        part there = part_of(theirs, names[i]), here = part_of(own, names[i]);
        if (!same_part(own, theirs, names[i]))
            GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for %s%.*s, not for %s%.*s", f->path, w->selector, names[i], (int)there.length, there.text, names[i], (int)here.length, here.text);
    }
    part there = part_of(theirs, "quantizer="), here = part_of(own, "quantizer=");
    if (!same_part(own, theirs, "quantizer=") && (learns(own) || learns(theirs)))
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for the quantizer %.*s, not for %.*s, and a learned clip ratio belongs to its quantizer", f->path, w->selector, (int)there.length,
                  there.text, (int)here.length, here.text);
done:
    free(own);
    return st;
}

static gyre_status check_place(const gyre_fitted *f, const gyre_fitted_want *w, const gyre_cell *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_source *s = &f->table->sources[c->source];
    if (c->status != GYRE_CELL_OK)
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s is %s in layer %u%s%s", f->path, w->selector, gyre_cell_status_name(c->status), c->layer, c->reason[0] != '\0' ? ": " : "", c->reason);
    if (s->dim != w->dim || c->n_heads != w->n_heads)
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for %zu heads of dimension %u, not for %zu of dimension %zu", f->path, w->selector, c->n_heads, s->dim, w->n_heads, w->dim);
    if (c->seeded && f->table->campaign_seed != w->campaign_seed)
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s was found for campaign seed %llu, not for %llu, and its codec draws random numbers", f->path, w->selector,
                  (unsigned long long)f->table->campaign_seed, (unsigned long long)w->campaign_seed);
done:
    return st;
}

/* One fit for all heads, or one for each in order. */
static bool whole(const gyre_fits *fits, size_t n_heads)
{
    if (fits->count == 1 && fits->items[0].pooled)
        return fits->items[0].head == 0;
    for (size_t i = 0; i < fits->count; i++)
        if (fits->items[i].pooled || fits->items[i].head != i)
            return false;
    return fits->count == n_heads;
}

gyre_status gyre_fitted_find(const gyre_fitted *f, const gyre_fitted_want *w, gyre_fits *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t place = 0;
    const char *const words[] = { "keys", "values" };
    *out = (gyre_fits){0};
    GYRE_TRY(choose(f, w, &place, err));
    const gyre_cell *c = &f->table->cells[place];
    GYRE_TRY(check_place(f, w, c, err));
    gyre_fits fits = { 0, f->items + f->first[place] };
    for (size_t i = f->first[place]; i < f->first[place + 1]; i++) {
        fits.count += f->items[i].stream == w->stream;
        fits.items += w->stream == GYRE_V && f->items[i].stream == GYRE_K;
    }
    if (fits.count == 0)
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s learned and drew nothing for %s in layer %u", f->path, w->selector, words[w->stream], c->layer);
    GYRE_TRY(check_codec(f, w, c, err));
    if (!whole(&fits, w->n_heads))
        GYRE_FAIL(GYRE_E_INPUT, "fitted: %s#%s has %zu fits of %s in layer %u, neither one for all heads nor one for each of %zu", f->path, w->selector, fits.count, words[w->stream], c->layer,
                  w->n_heads);
    *out = fits;
done:
    return st;
}

static const char *among(const char *const *list, size_t count, const char *const *documents, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++)
            if (strcmp(documents[i], list[k]) == 0)
                return list[k];
    return NULL;
}

gyre_status gyre_fitted_saw(const gyre_fitted *f, const gyre_fitted_want *w, const char *const *documents, size_t n, const char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t place = 0;
    *out = NULL;
    GYRE_TRY(choose(f, w, &place, err));
    const gyre_cell *c = &f->table->cells[place];
    const gyre_source *s = &f->table->sources[c->source];
    bool leaked = gyre_cell_flagged(c, "leak");
    *out = leaked ? among(s->documents, s->n_documents, documents, n) : among(s->calibration, s->n_calibration, documents, n);
    if (*out == NULL && !leaked)
        *out = among(s->validation, s->n_validation, documents, n);
done:
    return st;
}
