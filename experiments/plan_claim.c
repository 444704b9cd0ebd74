/* The claim of a configuration as the table has it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "experiments/plan_parts.h"
#include "results/exact.h"

static gyre_status add_exact(gyre_table *t, const gyre_exact_spec *spec, size_t source, const char *point, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_exact *e = &t->exact[t->n_exact++];
    *e = (gyre_exact){.source = source, .published = spec->published, .measured = (double)NAN, .digits = spec->digits};
    GYRE_TRY(gyre_table_text(t, spec->arm, &e->arm, err));
    GYRE_TRY(gyre_table_text(t, point, &e->point, err));
    GYRE_TRY(gyre_table_text(t, spec->quantity, &e->quantity, err));
    e->verdict = gyre_exact_verdict(e->published, e->measured, e->digits);
done:
    return st;
}

/* Lines of a list, one text. */
static gyre_status keep_lines(gyre_table *t, const char *const *lines, size_t n, const char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL;
    size_t size = 1, used = 0;
    for (size_t i = 0; i < n; i++)
        size += strlen(lines[i]) + 1;
    GYRE_TRY(gyre_table_keep(t, size, 1, &text, err));
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? "\n" : "", lines[i]);
    *out = text;
done:
    return st;
}

gyre_status gyre_plan_claim(const gyre_config *c, gyre_table *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_claim_spec *claim = &c->claim;
    if (claim->id == NULL)
        goto done;
    GYRE_TRY(gyre_table_text(t, claim->id, &t->claim_id, err));
    GYRE_TRY(gyre_table_text(t, claim->says, &t->claim_says, err));
    GYRE_TRY(gyre_table_text(t, claim->source, &t->claim_source, err));
    GYRE_TRY(gyre_table_text(t, claim->rule, &t->claim_rule, err));
    GYRE_TRY(keep_lines(t, claim->open, claim->n_open, &t->claim_open, err));
    GYRE_TRY(gyre_table_keep(t, t->n_sources * claim->n_exact * c->n_points, sizeof *t->exact, &t->exact, err));
    for (size_t s = 0; s < t->n_sources; s++)
        for (size_t e = 0; e < claim->n_exact; e++)
            for (size_t p = 0; p < c->n_points; p++)
                if (strcmp(c->points[p].arm.name, claim->exact[e].arm) == 0 && (claim->exact[e].point == NULL || strcmp(c->points[p].point, claim->exact[e].point) == 0))
                    GYRE_TRY(add_exact(t, &claim->exact[e], s, c->points[p].point, err));
done:
    return st;
}
