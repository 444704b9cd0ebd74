/* What the program tells of its variants: one entry a variant of every registry, made from the descriptors alone. `gyre list`, `gyre describe` and docs/variants.md
 * print them. */
#ifndef GYRE_EXPERIMENTS_CATALOGUE_H
#define GYRE_EXPERIMENTS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/options.h"
#include "core/status.h"
#include "quant/quantizer.h"

enum { GYRE_ENTRY_FACTS = 10, GYRE_ENTRY_DIMS = 9, GYRE_ENTRY_SETTINGS = 12, GYRE_ENTRY_RATES = 2, GYRE_ENTRY_WHY = 256, GYRE_ENTRY_TEXT = 1024 };
enum { GYRE_ENTRY_TOKENS = 4096, GYRE_ENTRY_HEADS = 8 }; /* of the block and the layer that entries are shown with */

typedef struct gyre_fact {
    const char *label;
    bool list;                  /* names with ", " between them */
    char text[GYRE_ENTRY_TEXT]; /* "" where there is nothing to say */
} gyre_fact;

/* Where a variant applies: in a layer with full RoPE and a key bias. */
typedef struct gyre_setting {
    char text[GYRE_OPTION_TEXT]; /* "form=kronecker"; "" for the default options */
    struct {
        size_t dim;
        bool applies;
        char why[GYRE_ENTRY_WHY]; /* not: the head dimension stands as d in it */
    } at[GYRE_ENTRY_DIMS];
} gyre_setting;

typedef struct gyre_entry {
    const char *family; /* one of gyre_families */
    const char *kind, *name, *summary, *source;
    const gyre_option *options;
    /* Facts hold with default options. A required number or word is given a value, as `assumed` says ("bits=4"); where a required option has none that could be
     * assumed (a file), `wants` names it, and there are no settings and no rates. */
    char assumed[GYRE_OPTION_TEXT], wants[GYRE_OPTION_TEXT];
    size_t n_facts, n_settings, n_rates;
    gyre_fact facts[GYRE_ENTRY_FACTS];
    gyre_setting settings[GYRE_ENTRY_SETTINGS]; /* the default, then words of options that apply elsewhere than it does */
    struct {
        size_t dim;
        double bits;
    } rates[GYRE_ENTRY_RATES];            /* payload bits per value, by gyre_entry_rates */
    const gyre_quantizer_type *quantizer; /* NULL in other families */
    gyre_quantizer_values values;         /* its options, as assumed */
} gyre_entry;

extern const char *const gyre_families[]; /* "transforms", ...; ends with NULL */
extern const size_t gyre_entry_dims[GYRE_ENTRY_DIMS];

/* Entries of a family, or of all (NULL), in the order of the tables. Caller frees. */
gyre_status gyre_catalogue(const char *family, gyre_entry **entries, size_t *n, gyre_error *err);

/* Fills `rates` of a quantizer whose blocks have a fixed size; builds it, which may take a moment. */
gyre_status gyre_entry_rates(gyre_entry *e, gyre_error *err);

/* The page docs/variants.md. */
gyre_status gyre_catalogue_page(gyre_entry *entries, size_t n, FILE *out, gyre_error *err);

#endif
