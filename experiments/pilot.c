#include "experiments/pilot.h"

#include <string.h>

#include "results/compare.h"
#include "results/foresee.h"
#include "results/results_file.h"

static bool is_seeded(const gyre_table *t, const gyre_comparison *c)
{
    for (size_t i = 0; i < t->n_cells; i++)
        if (t->cells[i].source == c->source && t->cells[i].seeded && (strcmp(t->cells[i].arm, c->arm) == 0 || strcmp(t->cells[i].arm, c->against) == 0))
            return true;
    return false;
}

static gyre_status foresee_one(gyre_table *pilot, const gyre_table *planned, gyre_comparison *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_comparison same = *c;
    gyre_design design;
    bool seeded = is_seeded(planned, c);
    for (same.source = 0; same.source < pilot->n_sources; same.source++)
        if (strcmp(pilot->sources[same.source].name, planned->sources[c->source].name) == 0)
            break;
    if (same.source == pilot->n_sources || (seeded && planned->n_seeds < 2))
        goto done;
    GYRE_TRY(gyre_compare_design(pilot, &same, &design, err));
    design.seeds = seeded ? planned->n_seeds : 1;
    design.documents = gyre_n_units(&planned->sources[c->source]);
    GYRE_TRY(gyre_foresee(&design, c, err));
done:
    return st;
}

gyre_status gyre_pilot_foresee(const char *path, gyre_table *planned, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *pilot = NULL;
    GYRE_TRY(gyre_results_read(path, &pilot, NULL, log, err));
    for (size_t i = 0; i < planned->n_comparisons; i++)
        GYRE_TRY(foresee_one(pilot, planned, &planned->comparisons[i], err));
done:
    gyre_table_free(pilot);
    return st;
}
