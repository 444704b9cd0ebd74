/* The report's part on what was registered, what could have been seen, and the checks of the wiring. */
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/foresee.h"
#include "results/registration.h"

gyre_status gyre_report_registration(const gyre_table *t, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t exploratory = 0, dropped = 0;
    const char *why = "";
    for (size_t i = 0; i < t->n_comparisons; i++)
        if (t->comparisons[i].exploratory && exploratory++ == 0)
            why = t->comparisons[i].exploratory_why;
    GYRE_TRY(gyre_plan_dropped(t, NULL, &dropped, err));
    if (t->plan_time[0] != '\0')
        (void)fprintf(out, "analysis plan registered %s, before the first cell\n", t->plan_time);
    if (exploratory > 0)
        (void)fprintf(out, "EXPLORATORY: %zu of %zu comparisons, the first: %s\n", exploratory, t->n_comparisons, why);
    if (dropped > 0)
        (void)fprintf(out, "%zu registered comparisons are not made; each counts in its family with p = 1\n", dropped);
done:
    return st;
}

/* Is the verdict one of the comma list? */
static bool foretold(const gyre_comparison *c)
{
    size_t n = strlen(c->verdict);
    for (const char *p = c->predicts; *p != '\0';) {
        size_t m = strcspn(p, ",");
        if (m == n && strncmp(p, c->verdict, n) == 0)
            return true;
        p += m + (p[m] == ',');
    }
    return false;
}

void gyre_report_judging(const gyre_table *t, const gyre_comparison *c, FILE *out)
{
    char text[GYRE_FORESEEN_TEXT];
    if (strcmp(c->verdict, "INCONCLUSIVE") == 0) {
        gyre_foreseen_text(c, "could have seen", gyre_unit_word(&t->sources[c->source]), text);
        if (text[0] != '\0')
            (void)fprintf(out, "; %s", text);
    }
    if (c->published[0] != '\0')
        (void)fprintf(out, "; published: %s", c->published);
    if (c->predicts[0] != '\0')
        (void)fprintf(out, "; foretold %s: %s", c->predicts, foretold(c) ? "as it came" : "it did not come");
    if (c->exploratory)
        (void)fprintf(out, "; exploratory: %s", c->exploratory_why);
}

void gyre_report_exact(const gyre_table *t, FILE *out)
{
    if (t->n_exact > 0)
        (void)fprintf(out, "\nNumbers that arithmetic fixes, against published ones\n");
    for (size_t i = 0; i < t->n_exact; i++) {
        const gyre_exact *e = &t->exact[i];
        (void)fprintf(out, "  %s, %s%s%s: %s %.*f published, %.10g here: %s\n", t->sources[e->source].name, e->arm, e->point[0] != '\0' ? " at " : "", e->point, e->quantity, (int)e->digits, e->published,
                      e->measured, e->verdict);
    }
}

gyre_status gyre_report_canaries(const gyre_table *t, const char *path, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_canary *failed = NULL;
    if (t->n_canaries > 0)
        (void)fprintf(out, "\nCanaries\n");
    for (size_t i = 0; i < t->n_canaries; i++) {
        const gyre_canary *c = &t->canaries[i];
        (void)fprintf(out, "  %-7s %s: %s\n", c->status, c->name, c->detail);
        if (failed == NULL && strcmp(c->status, "FAIL") == 0)
            failed = c;
    }
    if (failed != NULL)
        GYRE_FAIL(GYRE_E_INPUT, "%s: canary '%s' failed: %s: no verdict of this file can be trusted", path, failed->name, failed->detail);
done:
    return st;
}
