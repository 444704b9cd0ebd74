/* What diff.c finds and diff_print.c shows. */
#ifndef GYRE_RESULTS_DIFF_PARTS_H
#define GYRE_RESULTS_DIFF_PARTS_H

#include "results/columns.h"
#include "results/diff.h"

typedef struct gyre_diff_side {
    const char *path;
    gyre_table *table;
    gyre_provenance provenance;
    gyre_fit_columns fits;
    char digest[GYRE_SHA256_HEX];
    unsigned minor;
} gyre_diff_side;

/* A row of one file: a cell, a comparison, a pass, a fit, an exact number or a canary. */
typedef struct gyre_diff_row {
    const gyre_diff_side *side;
    gyre_schema_owner owner;
    size_t place;
} gyre_diff_row;

/* "smollm2-135m, layer 12, arm srht, point bits=4, seed 3" */
void gyre_diff_name(const gyre_diff_row *row, char *text, size_t size);

/* relative: |x - y| / max(|x|, |y|); infinite where one is no number. */
typedef struct gyre_difference {
    gyre_diff_row a, b;
    const char *column;
    char place[64];              /* within the row; "" for a column */
    double x, y, relative;
    const char *text_a, *text_b; /* of columns of texts, else NULL */
    size_t rows;                 /* of texts and counts: rows in which the column differs; the names are those of the first */
} gyre_difference;

enum { GYRE_DIFF_EXACT = 64 };   /* columns of texts and counts */

typedef struct gyre_diff_tally {
    size_t rows[2], only[2], joined, compared, beyond;
    double worst;
} gyre_diff_tally;

enum { GYRE_DIFF_CELLS, GYRE_DIFF_VALUES, GYRE_DIFF_COMPARISONS, GYRE_DIFF_PERPLEXITY, GYRE_DIFF_FITS, GYRE_DIFF_NUMBERS, GYRE_DIFF_CANARIES, GYRE_DIFF_TABLES };

typedef struct gyre_diffs {
    gyre_diff_side sides[2];
    unsigned minor;      /* of the older schema */
    double rtol, atol;
    bool same;
    gyre_diff_tally tallies[GYRE_DIFF_TABLES];
    gyre_difference worst[GYRE_DIFF_SHOWN]; /* by falling relative */
    size_t n_worst;
    gyre_difference exact[GYRE_DIFF_EXACT]; /* a column of texts or counts each */
    size_t n_exact;
    gyre_diff_row only[2 * GYRE_DIFF_TABLES * GYRE_DIFF_SHOWN];
    size_t n_only;
    gyre_difference verdicts[GYRE_DIFF_SHOWN];
    size_t n_verdicts;   /* of all */
    gyre_difference codecs[2]; /* of k and v: the first cell whose canonical text changed and whose numbers did not; rows: how many */
    size_t other_keys;   /* cells of the same name, computed by other code or from other data */
} gyre_diffs;

/* Also finds where the two answer different questions, which is a difference. */
gyre_status gyre_diff_print(gyre_diffs *diffs, gyre_sheet_format format, FILE *out, gyre_error *err);

#endif
