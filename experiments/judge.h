/* gyre judge: the tests of stats/ on numbers that one already has. One function = one shape of table; each adds what it finds.
 *
 * Roles of columns ("arm", "against", ...) are their names, or what --column ROLE=NAME says. What it is not: a registered analysis. One table, one comparison, nothing adjusted unless the
 * shape holds several; p values of tables that were looked at first are no better here than elsewhere.
 */
#ifndef GYRE_EXPERIMENTS_JUDGE_H
#define GYRE_EXPERIMENTS_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "experiments/csv.h"
#include "experiments/findings.h"
#include "stats/multiplicity.h"
#include "stats/stats.h"
#include "stats/verdict.h"

enum { GYRE_ROLES_MOST = 16 };

typedef struct gyre_desk {
    gyre_csv csv;
    const char *columns[GYRE_ROLES_MOST]; /* ROLE=NAME */
    size_t n_columns;
    const gyre_test_type *test; /* NULL: by the shape of the sample */
    gyre_margin margin;         /* of differences; with `ratio` of their logarithms */
    bool ratio;
    gyre_goal goal;
    double alpha;
    uint64_t seed;
    const gyre_correction_type *correction;
    size_t lags, block;         /* of a series; 0: chosen by its length */
    size_t resamples;
    gyre_findings found;
} gyre_desk;

/* The column of a role. What: "a column 'arm'". GYRE_E_INPUT, with the nearest name, where there is none. */
gyre_status gyre_desk_column(const gyre_desk *desk, const char *role, size_t *out, gyre_error *err);
bool gyre_desk_has(const gyre_desk *desk, const char *role);

/* The numbers of a role; with `ratio` their logarithms, which must exist. Freed by the caller. */
gyre_status gyre_desk_numbers(const gyre_desk *desk, const char *role, double **out, gyre_error *err);

/* A balanced layout: every combination of the factors' labels on one row. */
enum { GYRE_LAYOUT_MOST = 4 };

typedef struct gyre_layout {
    size_t n_factors, levels[GYRE_LAYOUT_MOST], cells; /* levels in order of appearance */
    size_t *place;                                     /* [row]: its cell, the last factor fastest */
} gyre_layout;

/* GYRE_E_INPUT for a combination that is there twice (both lines) or not at all (which). Freed by gyre_layout_free in every case. */
gyre_status gyre_desk_layout(const gyre_desk *desk, const char *const *roles, size_t n_roles, gyre_layout *out, gyre_error *err);
void gyre_layout_free(gyre_layout *layout);

/* Differences of the rows in the layout's order: of arm and against, whose own numbers are given too, or of the column difference (*arm and *against are NULL). Freed by the caller. */
gyre_status gyre_desk_differences(const gyre_desk *desk, const gyre_layout *layout, double **arm, double **against, double **d, gyre_error *err);

/* Estimate, interval, p values and verdict of one comparison. note: a remark at the test's name. */
void gyre_desk_judgement(gyre_desk *desk, const char *test, const char *note, const gyre_estimate *e, const gyre_judgement *j);

gyre_status gyre_judge_pairs(gyre_desk *desk, gyre_error *err);      /* arm and against, or difference; document, seed */
gyre_status gyre_judge_components(gyre_desk *desk, gyre_error *err); /* the same, or value; seed, document, layer, head */
gyre_status gyre_judge_unpaired(gyre_desk *desk, gyre_error *err);   /* value, group */
gyre_status gyre_judge_binary(gyre_desk *desk, gyre_error *err);     /* arm and against, 0 or 1 */
gyre_status gyre_judge_many(gyre_desk *desk, gyre_error *err);       /* a column an arm; document */
gyre_status gyre_judge_series(gyre_desk *desk, gyre_error *err);     /* value, in order */
gyre_status gyre_judge_rank(gyre_desk *desk, gyre_error *err);       /* x and y */

#endif
