/* Strict YAML: a tree with places, and a list of all faults.
 *
 * libyaml builds the document; this module refuses before that what configuration files never need (files over 256 KiB, nesting over 32, aliases,
 * anchors, tags, several documents) and checks duplicate keys. Values stay text until a schema or option table asks for them. Every fault is
 * collected as "file:line:col: error: path: what" with the line and a caret, so one run shows them all.
 */
#ifndef GYRE_CORE_YAML_H
#define GYRE_CORE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/options.h"
#include "core/status.h"

enum { GYRE_YAML_MAX_BYTES = 262144, GYRE_YAML_MAX_DEPTH = 32, GYRE_YAML_MAX_FAULTS = 50 };

typedef enum gyre_yaml_kind { GYRE_YAML_SCALAR, GYRE_YAML_LIST, GYRE_YAML_MAP } gyre_yaml_kind;

typedef struct gyre_yaml_node {
    gyre_yaml_kind kind;
    const char *text;   /* scalar */
    bool quoted;        /* a quoted scalar is text, never a number or a boolean */
    size_t line, col;   /* from 1; 0 for what --set added */
    size_t count;       /* items or pairs */
    struct gyre_yaml_node **items;  /* list items or map values */
    struct gyre_yaml_node **keys;   /* map keys, NULL for lists */
} gyre_yaml_node;

typedef struct gyre_yaml gyre_yaml;

/* Reads a file / a text named `name`. Syntax errors, caps and duplicates are reported in err (GYRE_E_CONFIG; the message holds all faults). */
gyre_status gyre_yaml_read(const char *path, gyre_yaml **out, gyre_error *err);
gyre_status gyre_yaml_parse(const char *name, const char *text, size_t size, gyre_yaml **out, gyre_error *err);
void gyre_yaml_free(gyre_yaml *yaml);

const gyre_yaml_node *gyre_yaml_root(const gyre_yaml *yaml);
const char *gyre_yaml_source(const gyre_yaml *yaml); /* the text as read */

/* Sets `path` ("arms.srft.k.quantizer.sym.bits", list items by number) to the YAML value `value`, creating maps on the way. */
gyre_status gyre_yaml_set(gyre_yaml *yaml, const char *assignment, gyre_error *err);

/* Value of a key in a map, or NULL. */
const gyre_yaml_node *gyre_yaml_get(const gyre_yaml_node *map, const char *key);

/* Adds a fault at node: "path: what". `path` may be "". */
void gyre_yaml_fault(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Number of faults so far, and GYRE_E_CONFIG with all of them as one message if there are any. */
size_t gyre_yaml_faults(const gyre_yaml *yaml);
gyre_status gyre_yaml_check(const gyre_yaml *yaml, gyre_error *err);
/* The whole list as text (not cut to an error message's size); "" when none. Owned by yaml. */
const char *gyre_yaml_report(const gyre_yaml *yaml);

/* Typed access; each adds a fault and returns false when the node is not of that kind. */
bool gyre_yaml_want(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, gyre_yaml_kind kind);
bool gyre_yaml_text(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, const char **out);
bool gyre_yaml_int(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, int64_t lo, int64_t hi, int64_t *out);
bool gyre_yaml_real(gyre_yaml *yaml, const gyre_yaml_node *node, const char *path, double lo, double hi, double *out);

/* A fault for every key of `map` outside `allowed` (NULL-terminated), with the nearest allowed name. */
void gyre_yaml_keys(gyre_yaml *yaml, const gyre_yaml_node *map, const char *path, const char *const *allowed);

/* Fills `values` from a map by an option table: defaults, unknown keys, required keys, types, bounds. `map` NULL means all defaults. */
bool gyre_yaml_options(gyre_yaml *yaml, const gyre_yaml_node *map, const gyre_yaml_node *where, const char *path, const gyre_option *table, void *values);

#endif
