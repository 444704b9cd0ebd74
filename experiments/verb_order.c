/* gyre order: two results files, of captures and of the model, as one table and one figure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "experiments/verb.h"
#include "results/digest.h"
#include "results/order.h"
#include "results/order_figure.h"
#include "results/results_file.h"

/* One of the two files, opened. */
typedef struct side {
    gyre_table *table;
    gyre_provenance provenance;
    char digest[GYRE_SHA256_HEX];
} side;

static gyre_status open_side(const char *path, side *s, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_results_read(path, &s->table, &s->provenance, log, err));
    GYRE_TRY(gyre_results_digest(path, s->digest, err));
done:
    return st;
}

static gyre_status check_against(const char *against, gyre_error *err)
{
    static const char *const known[] = {"nll_change", "token_kl", NULL};
    for (size_t i = 0; known[i] != NULL; i++)
        if (strcmp(known[i], against) == 0)
            return GYRE_OK;
    const char *near = gyre_nearest(against, known);
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "--against %s%s%s%s: nll_change or token_kl is wanted", against, near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                          near != NULL ? "?)" : "");
}

gyre_status gyre_verb_order(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *paths[2] = {0}, *against = "nll_change", *out = NULL;
    char folder[4096];
    size_t words = 0;
    side *sides = NULL;
    gyre_orders order;
    const gyre_argument options[] = {{.name = "--against", .value = &against}, {.name = "--out", .value = &out}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, paths, 2, &words, err));
    if (words < 2)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file of captures and one of the model, as in gyre order out/demo/results.h5 out/perplexity/results.h5");
    GYRE_TRY(check_against(against, err));
    GYRE_NEW(&sides, 2);
    for (size_t i = 0; i < 2; i++)
        GYRE_TRY(open_side(paths[i], &sides[i], context->log, err));
    GYRE_TRY(gyre_order_join(sides[0].table, paths[0], sides[1].table, paths[1], against, &order, err));
    gyre_report_order(&order, stdout);
    const char *slash = strrchr(paths[1], '/');
    (void)snprintf(folder, sizeof folder, "%.*sfigures", slash == NULL ? 0 : (int)(slash - paths[1]) + 1, paths[1]);
    const gyre_order_file files[] = {{&sides[0].provenance, sides[0].digest}, {&sides[1].provenance, sides[1].digest}};
    GYRE_TRY(gyre_order_draw(&order, &files[0], &files[1], out != NULL ? out : folder, context->log, err));
done:
    for (size_t i = 0; i < 2 && sides != NULL; i++)
        gyre_table_free(sides[i].table);
    free(sides);
    return st;
}
