/* Two passes over libyaml: events first (caps, aliases, tags, documents: libyaml's own cost grows faster than linearly with nesting, so hostile
 * files must stop before a tree is built), and the tree from those same events. */
#include "core/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct block {
    struct block *next;
} block;

struct gyre_yaml {
    char *name, *source;
    size_t size;
    gyre_yaml_node *root;
    block *blocks;      /* everything the tree owns */
    char *report;
    size_t report_used, report_size, faults;
};

/* Memory that lives as long as the tree; NULL when there is none. */
static void *keep(gyre_yaml *yaml, size_t size)
{
    block *b = calloc(1, sizeof *b + size);
    if (b == NULL)
        return NULL;
    b->next = yaml->blocks;
    yaml->blocks = b;
    return b + 1;
}

static char *keep_text(gyre_yaml *yaml, const char *text, size_t n)
{
    char *copy = keep(yaml, n + 1);
    if (copy != NULL)
        memcpy(copy, text, n);
    return copy;
}

void gyre_yaml_free(gyre_yaml *yaml)
{
    if (yaml == NULL)
        return;
    while (yaml->blocks != NULL) {
        block *next = yaml->blocks->next;
        free(yaml->blocks);
        yaml->blocks = next;
    }
    free(yaml->name);
    free(yaml->source);
    free(yaml->report);
    free(yaml);
}

const gyre_yaml_node *gyre_yaml_root(const gyre_yaml *yaml)
{
    return yaml->root;
}

const char *gyre_yaml_source(const gyre_yaml *yaml)
{
    return yaml->source;
}

size_t gyre_yaml_faults(const gyre_yaml *yaml)
{
    return yaml->faults;
}

const char *gyre_yaml_report(const gyre_yaml *yaml)
{
    return yaml->report != NULL ? yaml->report : "";
}

gyre_status gyre_yaml_check(const gyre_yaml *yaml, gyre_error *err)
{
    if (yaml->faults == 0)
        return GYRE_OK;
    return gyre_error_set(err, GYRE_E_CONFIG, __FILE__, __LINE__, "%zu fault%s in %s:\n%s", yaml->faults, yaml->faults == 1 ? "" : "s", yaml->name,
                          gyre_yaml_report(yaml));
}

static void report_add(gyre_yaml *yaml, const char *text, size_t n)
{
    if (yaml->report_used + n + 1 > yaml->report_size) {
        size_t size = 2 * (yaml->report_used + n + 256);
        char *more = realloc(yaml->report, size);
        if (more == NULL)
            return;
        yaml->report = more;
        yaml->report_size = size;
    }
    memcpy(yaml->report + yaml->report_used, text, n);
    yaml->report_used += n;
    yaml->report[yaml->report_used] = '\0';
}

/* The source line and a caret below it; long lines are cut around the place. */
static void report_place(gyre_yaml *yaml, size_t line, size_t col)
{
    enum { WIDE = 100 };
    const char *p = yaml->source;
    for (size_t i = 1; i < line && p != NULL; i++) {
        p = strchr(p, '\n');
        p = p == NULL ? NULL : p + 1;
    }
    if (p == NULL || line == 0)
        return;
    size_t length = strcspn(p, "\r\n"), skip = col > WIDE - 10 ? col - (WIDE - 10) : 0;
    if (skip > length)
        return;
    size_t shown = length - skip < WIDE ? length - skip : WIDE;
    char text[2 * WIDE + 64];
    int n = snprintf(text, sizeof text, "%6zu | %.*s\n       | %*s^\n", line, (int)shown, p + skip, (int)(col - 1 - skip), "");
    if (n > 0)
        report_add(yaml, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void fault_at(gyre_yaml *yaml, size_t line, size_t col, const char *path, const char *format, va_list args)
{
    yaml->faults++;
    if (yaml->faults > GYRE_YAML_MAX_FAULTS)
        return;
    char what[512], text[1024];
    (void)vsnprintf(what, sizeof what, format, args);
    int n = line == 0 ? snprintf(text, sizeof text, "%s: --set: error: %s%s%s\n", yaml->name, path, path[0] ? ": " : "", what)
                      : snprintf(text, sizeof text, "%s:%zu:%zu: error: %s%s%s\n", yaml->name, line, col, path, path[0] ? ": " : "", what);
    if (n > 0)
        report_add(yaml, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    report_place(yaml, line, col);
    if (yaml->faults == GYRE_YAML_MAX_FAULTS)
        report_add(yaml, "(further faults are not listed)\n", 32);
}

void gyre_yaml_fault(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fault_at(yaml, node != NULL ? node->line : 1, node != NULL ? node->col : 1, path, format, args);
    va_end(args);
}

static void fault_mark(gyre_yaml *yaml, yaml_mark_t mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fault_at(yaml, mark.line + 1, mark.column + 1, "", format, args);
    va_end(args);
}

/* ---- building the tree ---- */

typedef struct builder {
    gyre_yaml *yaml;
    gyre_yaml_node *stack[GYRE_YAML_MAX_DEPTH + 1];
    gyre_yaml_node *pending_key[GYRE_YAML_MAX_DEPTH + 1]; /* key waiting for its value, per open map */
    size_t depth;
    gyre_yaml_node *root;
} builder;

static gyre_yaml_node *node_new(gyre_yaml *yaml, gyre_yaml_kind kind, yaml_mark_t mark)
{
    gyre_yaml_node *node = keep(yaml, sizeof *node);
    if (node != NULL) {
        node->kind = kind;
        node->line = mark.line + 1;
        node->col = mark.column + 1;
    }
    return node;
}

/* Appends to a list, or a (key, value) to a map; arrays double at powers of two. */
static bool append(gyre_yaml *yaml, gyre_yaml_node *parent, gyre_yaml_node *key, gyre_yaml_node *item)
{
    size_t n = parent->count;
    if ((n & (n - 1)) == 0) {
        size_t room = n == 0 ? 1 : 2 * n;
        gyre_yaml_node **items = keep(yaml, room * sizeof *items), **keys = keep(yaml, room * sizeof *keys);
        if (items == NULL || keys == NULL)
            return false;
        if (n > 0) {
            memcpy(items, parent->items, n * sizeof *items);
            if (parent->keys != NULL)
                memcpy(keys, parent->keys, n * sizeof *keys);
        }
        parent->items = items;
        parent->keys = parent->kind == GYRE_YAML_MAP ? keys : NULL;
    }
    parent->items[n] = item;
    if (parent->keys != NULL)
        parent->keys[n] = key;
    parent->count++;
    return true;
}

/* Puts a finished or opened node where it belongs. */
static bool place(builder *b, gyre_yaml_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return true;
    }
    gyre_yaml_node *parent = b->stack[b->depth - 1];
    gyre_yaml_node **key = &b->pending_key[b->depth - 1];
    if (parent->kind == GYRE_YAML_LIST)
        return append(b->yaml, parent, NULL, node);
    if (*key == NULL) {
        if (node->kind != GYRE_YAML_SCALAR) { /* reading on, it would be compared with the keys that follow */
            gyre_yaml_fault(b->yaml, node, "", "a key must be a plain word");
            return false;
        }
        if (gyre_yaml_get(parent, node->text) != NULL)
            gyre_yaml_fault(b->yaml, node, "", "duplicate key '%.60s'", node->text);
        *key = node;
        return true;
    }
    bool ok = append(b->yaml, parent, *key, node);
    *key = NULL;
    return ok;
}

/* Handles one event; false stops the reading (a fault was added, or memory is out). */
static bool take(builder *b, const yaml_event_t *e)
{
    gyre_yaml *yaml = b->yaml;
    gyre_yaml_node *node = NULL;
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        fault_mark(yaml, e->start_mark, "aliases are not allowed: write the value out");
        return false;
    case YAML_SCALAR_EVENT:
        if (e->data.scalar.anchor != NULL || (e->data.scalar.tag != NULL && !e->data.scalar.quoted_implicit)) {
            fault_mark(yaml, e->start_mark, "anchors and tags are not allowed");
            return false;
        }
        if (memchr(e->data.scalar.value, '\0', e->data.scalar.length) != NULL) {
            fault_mark(yaml, e->start_mark, "a zero byte is not allowed in text");
            return false;
        }
        node = node_new(yaml, GYRE_YAML_SCALAR, e->start_mark);
        if (node == NULL)
            return false;
        node->text = keep_text(yaml, (const char *)e->data.scalar.value, e->data.scalar.length);
        node->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return node->text != NULL && place(b, node);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        bool list = e->type == YAML_SEQUENCE_START_EVENT;
        if ((list ? e->data.sequence_start.anchor : e->data.mapping_start.anchor) != NULL
            || (list ? e->data.sequence_start.tag : e->data.mapping_start.tag) != NULL) {
            fault_mark(yaml, e->start_mark, "anchors and tags are not allowed");
            return false;
        }
        if (b->depth >= GYRE_YAML_MAX_DEPTH) {
            fault_mark(yaml, e->start_mark, "nested deeper than %d levels", (int)GYRE_YAML_MAX_DEPTH);
            return false;
        }
        node = node_new(yaml, list ? GYRE_YAML_LIST : GYRE_YAML_MAP, e->start_mark);
        if (node == NULL || !place(b, node))
            return false;
        b->pending_key[b->depth] = NULL;
        b->stack[b->depth++] = node;
        return true;
    }
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        if (b->root != NULL) {
            fault_mark(yaml, e->start_mark, "a second YAML document: one file holds one configuration");
            return false;
        }
        return true;
    default:
        return true;
    }
}

/* Reads `text` into a tree; NULL with faults added, or without any when memory is out. */
static gyre_yaml_node *build(gyre_yaml *yaml, const char *text, size_t size)
{
    builder b = {.yaml = yaml};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return NULL;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    bool going = true, done = false;
    while (going && !done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            yaml_mark_t mark = parser.problem_mark;
            fault_mark(yaml, mark, "not YAML: %s%s%s", parser.problem != NULL ? parser.problem : "unreadable", parser.context != NULL ? ", " : "",
                       parser.context != NULL ? parser.context : "");
            going = false;
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        going = take(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return going ? b.root : NULL;
}

gyre_status gyre_yaml_parse(const char *name, const char *text, size_t size, gyre_yaml **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_yaml *yaml = NULL;
    *out = NULL;
    GYRE_NEW(&yaml, 1);
    GYRE_NEW(&yaml->name, strlen(name) + 1);
    memcpy(yaml->name, name, strlen(name) + 1);
    if (size > GYRE_YAML_MAX_BYTES)
        GYRE_FAIL(GYRE_E_CONFIG, "%s has %zu bytes; a configuration has at most %d", name, size, (int)GYRE_YAML_MAX_BYTES);
    GYRE_NEW(&yaml->source, size + 1);
    memcpy(yaml->source, text, size);
    if (memchr(text, '\0', size) != NULL)
        GYRE_FAIL(GYRE_E_CONFIG, "%s holds a zero byte: it is not a YAML text", name);
    yaml->size = size;
    yaml->root = build(yaml, yaml->source, size);
    GYRE_TRY(gyre_yaml_check(yaml, err));
    if (yaml->root == NULL)
        GYRE_FAIL(GYRE_E_CONFIG, "%s is empty", name);
    *out = yaml;
    yaml = NULL;
done:
    gyre_yaml_free(yaml);
    return st;
}

gyre_status gyre_yaml_read(const char *path, gyre_yaml **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL;
    *out = NULL;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_CONFIG, "cannot open %s: %s", path, strerror(errno));
    GYRE_NEW(&text, GYRE_YAML_MAX_BYTES + 2);
    size_t size = fread(text, 1, GYRE_YAML_MAX_BYTES + 1, f);
    if (ferror(f))
        GYRE_FAIL(GYRE_E_CONFIG, "cannot read %s: %s", path, strerror(errno));
    GYRE_TRY(gyre_yaml_parse(path, text, size, out, err));
done:
    free(text);
    if (f != NULL)
        (void)fclose(f);
    return st;
}

const gyre_yaml_node *gyre_yaml_get(const gyre_yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != GYRE_YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    return NULL;
}

/* ---- overrides ---- */

static gyre_yaml_node **slot(gyre_yaml_node *node, const char *name)
{
    if (node->kind == GYRE_YAML_MAP) {
        for (size_t i = 0; i < node->count; i++)
            if (strcmp(node->keys[i]->text, name) == 0)
                return &node->items[i];
    } else if (node->kind == GYRE_YAML_LIST) {
        int64_t index;
        if (gyre_parse_int(name, &index) && index >= 0 && (size_t)index < node->count)
            return &node->items[index];
    }
    return NULL;
}

static void forget_places(gyre_yaml_node *node)
{
    node->line = node->col = 0;
    for (size_t i = 0; i < node->count; i++) {
        forget_places(node->items[i]);
        if (node->keys != NULL)
            forget_places(node->keys[i]);
    }
}

/* A new empty map or the given value under `name` of a map. */
static gyre_yaml_node **slot_new(gyre_yaml *yaml, gyre_yaml_node *map, const char *name, size_t n)
{
    yaml_mark_t nowhere = {0};
    gyre_yaml_node *key = node_new(yaml, GYRE_YAML_SCALAR, nowhere), *value = node_new(yaml, GYRE_YAML_MAP, nowhere);
    if (key == NULL || value == NULL)
        return NULL;
    key->text = keep_text(yaml, name, n);
    forget_places(key);
    forget_places(value);
    return key->text != NULL && append(yaml, map, key, value) ? &map->items[map->count - 1] : NULL;
}

gyre_status gyre_yaml_set(gyre_yaml *yaml, const char *assignment, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *path = NULL;
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment)
        GYRE_FAIL(GYRE_E_USAGE, "--set %s: write path.to.key=value", assignment);
    if (strchr(assignment, '\n') != NULL)
        GYRE_FAIL(GYRE_E_USAGE, "--set %.60s: one line, in flow style", assignment);
    size_t before = yaml->faults;
    gyre_yaml_node *value = build(yaml, equals + 1, strlen(equals + 1));
    if (value == NULL || yaml->faults != before)
        GYRE_FAIL(GYRE_E_USAGE, "--set %s: the value is not YAML", assignment);
    forget_places(value);
    GYRE_NEW(&path, (size_t)(equals - assignment) + 1);
    memcpy(path, assignment, (size_t)(equals - assignment));
    gyre_yaml_node **at = &yaml->root;
    for (char *name = path; name != NULL;) {
        char *dot = strchr(name, '.');
        if (dot != NULL)
            *dot = '\0';
        gyre_yaml_node **next = slot(*at, name);
        if (next == NULL && (*at)->kind != GYRE_YAML_MAP)
            GYRE_FAIL(GYRE_E_USAGE, "--set %s: '%s' is not there and cannot be added (its parent is %s)", assignment, name,
                      (*at)->kind == GYRE_YAML_LIST ? "a list: name an existing item by its number from 0" : "a plain value");
        if (next == NULL)
            next = slot_new(yaml, *at, name, strlen(name));
        if (next == NULL)
            GYRE_FAIL(GYRE_E_MEMORY, "--set %s: out of memory", assignment);
        at = next;
        name = dot == NULL ? NULL : dot + 1;
    }
    *at = value;
done:
    free(path);
    return st;
}

/* ---- typed access ---- */

bool gyre_yaml_want(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, gyre_yaml_kind kind)
{
    static const char *const kinds[] = {"a plain value", "a list [...]", "a map {key: value}"};
    if (node != NULL && node->kind == kind)
        return true;
    gyre_yaml_fault(yaml, node, path, "%s is wanted here%s%s", kinds[kind], node != NULL ? ", not " : "", node != NULL ? kinds[node->kind] : "");
    return false;
}

bool gyre_yaml_text(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char **out)
{
    if (!gyre_yaml_want(yaml, node, path, GYRE_YAML_SCALAR))
        return false;
    if (node->text[0] == '\0') {
        gyre_yaml_fault(yaml, node, path, "the text is empty");
        return false;
    }
    *out = node->text;
    return true;
}

bool gyre_yaml_int(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, int64_t lo, int64_t hi, int64_t *out)
{
    if (!gyre_yaml_want(yaml, node, path, GYRE_YAML_SCALAR))
        return false;
    if (node->quoted || !gyre_parse_int(node->text, out) || *out < lo || *out > hi) {
        gyre_yaml_fault(yaml, node, path, "%s%.40s%s is not an integer in [%lld, %lld]", node->quoted ? "the text \"" : "'", node->text,
                        node->quoted ? "\"" : "'", (long long)lo, (long long)hi);
        return false;
    }
    return true;
}

bool gyre_yaml_real(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, double lo, double hi, double *out)
{
    if (!gyre_yaml_want(yaml, node, path, GYRE_YAML_SCALAR))
        return false;
    if (node->quoted || !gyre_parse_real(node->text, out) || *out < lo || *out > hi) {
        gyre_yaml_fault(yaml, node, path, "%s%.40s%s is not a finite number in [%g, %g]", node->quoted ? "the text \"" : "'", node->text,
                        node->quoted ? "\"" : "'", lo, hi);
        return false;
    }
    return true;
}

void gyre_yaml_keys(gyre_yaml *yaml, const gyre_yaml_node *map, const char *path, const char *const *allowed)
{
    for (size_t i = 0; i < map->count; i++) {
        const char *const *a = allowed;
        while (*a != NULL && strcmp(*a, map->keys[i]->text) != 0)
            a++;
        if (*a != NULL)
            continue;
        const char *near = gyre_nearest(map->keys[i]->text, allowed);
        gyre_yaml_fault(yaml, map->keys[i], path, "unknown key '%.60s'%s%s%s", map->keys[i]->text, near != NULL ? " (did you mean '" : "",
                        near != NULL ? near : "", near != NULL ? "'?)" : "");
    }
}

bool gyre_yaml_options(gyre_yaml *yaml, const gyre_yaml_node *map, const gyre_yaml_node *where, const char *path, const gyre_option *table, void *values)
{
    enum { MOST = 32 };
    const char *allowed[MOST + 1] = {0};
    size_t before = yaml->faults, n = 0;
    for (const gyre_option *o = table; o != NULL && o->key != NULL && n < MOST; o++)
        allowed[n++] = o->key;
    (void)gyre_options_defaults(table, values);
    if (map != NULL && !gyre_yaml_want(yaml, map, path, GYRE_YAML_MAP))
        return false;
    if (map != NULL)
        gyre_yaml_keys(yaml, map, path, allowed);
    for (const gyre_option *o = table; o != NULL && o->key != NULL; o++) {
        const gyre_yaml_node *item = gyre_yaml_get(map, o->key);
        char at[GYRE_OPTION_TEXT], why[GYRE_OPTION_TEXT];
        (void)snprintf(at, sizeof at, "%s%s%s", path, path[0] ? "." : "", o->key);
        if (item == NULL) {
            if (o->fallback == NULL)
                gyre_yaml_fault(yaml, map != NULL ? map : where, path, "'%s' is missing: %s", o->key, o->help);
        } else if (gyre_yaml_want(yaml, item, at, GYRE_YAML_SCALAR)) {
            if (item->quoted && o->type != GYRE_OPTION_CHOICE && o->type != GYRE_OPTION_FILE)
                gyre_yaml_fault(yaml, item, at, "\"%.40s\" is quoted text: write the value without quotes", item->text);
            else if (!gyre_option_parse(o, values, item->text, why))
                gyre_yaml_fault(yaml, item, at, "%s", why);
        }
    }
    return yaml->faults == before;
}
