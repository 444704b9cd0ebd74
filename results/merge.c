#include "results/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/commit.h"
#include "results/canary.h"
#include "results/cells.h"
#include "results/compare.h"
#include "results/exact.h"
#include "results/perplexity.h"
#include "results/registration.h"
#include "results/results_file.h"

enum { NAMED_MISSING = 5, LIST_TEXT = 1536 };

static gyre_status read_cells(const char *folder, gyre_table *table, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char why[GYRE_CELL_WHY];
    for (size_t i = 0; i < table->n_cells; i++) {
        bool found = false;
        if (table->cells[i].status != GYRE_CELL_MISSING)
            continue;
        GYRE_TRY(gyre_cell_read(folder, table, &table->cells[i], &found, why, err));
        if (!found && why[0] != '\0')
            gyre_log_warning(log, "cell file not used: %s", why);
    }
done:
    return st;
}

/* "qwen layer 3 srft bits=4 seed 7; ..." of the first few missing cells. */
static size_t list_missing(const gyre_table *table, char text[LIST_TEXT])
{
    size_t n = 0, used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < table->n_cells; i++) {
        const gyre_cell *c = &table->cells[i];
        if (c->status != GYRE_CELL_MISSING)
            continue;
        if (n++ < NAMED_MISSING && used < LIST_TEXT) {
            int wrote = snprintf(text + used, LIST_TEXT - used, "%s%s %s %u, %s%s%s, seed %u", n > 1 ? "; " : "",
                                 table->sources[c->source].name, gyre_layer_word(&table->sources[c->source]), c->layer, c->arm,
                                 c->point[0] != '\0' ? " at " : "", c->point, c->seed);
            used += wrote > 0 ? (size_t)wrote : 0;
        }
    }
    return n;
}

gyre_status gyre_merge(const char *folder, gyre_table *table, bool partial, const gyre_provenance *provenance, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *path = NULL, missing[LIST_TEXT];
    size_t size = strlen(folder) + sizeof "/results.h5";
    GYRE_NEW(&path, size);
    (void)snprintf(path, size, "%s/cells", folder);
    gyre_commit_sweep(folder);
    gyre_commit_sweep(path);
    (void)snprintf(path, size, "%s/results.h5", folder);
    GYRE_TRY(read_cells(folder, table, log, err));
    size_t n = list_missing(table, missing);
    if (n > 0 && !partial)
        GYRE_FAIL(GYRE_E_INCOMPLETE, "%zu of %zu cells are missing: %s%s: run the rest, or merge with --partial", n, table->n_cells, missing,
                  n > NAMED_MISSING ? "; ..." : "");
    if (n > 0)
        gyre_log_warning(log, "%zu of %zu cells are missing: %s%s", n, table->n_cells, missing, n > NAMED_MISSING ? "; ..." : "");
    GYRE_TRY(gyre_perplexity_make(table, err));
    GYRE_TRY(gyre_plan_hold(folder, table, log, err));
    GYRE_TRY(gyre_compare(table, err));
    GYRE_TRY(gyre_exact_measure(table, err));
    GYRE_TRY(gyre_canaries_make(table, err));
    GYRE_TRY(gyre_results_write(path, table, provenance, err));
done:
    free(path);
    return st;
}
