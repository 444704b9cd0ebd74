/* The report's part on what was registered, what could have been seen, and the checks of the wiring. */
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/foresee.h"
#include "results/registration.h"
#include "stats/caution.h"

gyre_status gyre_report_registration(const gyre_table *t, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t exploratory = 0, dropped = 0;
    const char *why = "";
    for (size_t i = 0; i < t->n_comparisons; i++)
        if (t->comparisons[i].exploratory && exploratory++ == 0)
            why = t->comparisons[i].exploratory_why;
    GYRE_TRY(gyre_plan_dropped(t, NULL, &dropped, err));
    if (t->plan_time[0] != '\0')
        gyre_book_line(book, "analysis plan registered %s", t->plan_time);
    else if (exploratory == 0 && t->n_comparisons > 0)
        gyre_book_line(book, "no analysis plan is stored here (an older program's file): nothing shows that the comparisons were planned before the cells were computed");
    if (exploratory > 0)
        gyre_book_line(book, "EXPLORATORY: %zu of %zu comparisons, the first: %s", exploratory, t->n_comparisons, why);
    if (dropped > 0 && exploratory < t->n_comparisons)
        gyre_book_line(book, "%zu registered comparisons are not made, or not as registered; each counts in its family with p = 1", dropped);
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

void gyre_report_judging(const gyre_table *t, const gyre_comparison *c, char *text, size_t size)
{
    char foreseen[GYRE_FORESEEN_TEXT] = "";
    const gyre_test_type *test = gyre_test_find(c->test);
    const char *caution = test != NULL ? gyre_test_caution(test, c->n_seeds, c->n_documents) : "";
    bool published = c->published[0] != '\0', predicts = c->predicts[0] != '\0';
    if (strcmp(c->verdict, "INCONCLUSIVE") == 0)
        gyre_foreseen_text(c, "could have seen", gyre_unit_word(&t->sources[c->source]), foreseen);
    int warned = caution[0] != '\0' ? snprintf(text, size, "; %s is %s", c->test, caution) : 0;
    size_t used = warned > 0 && (size_t)warned < size ? (size_t)warned : 0;
    (void)snprintf(text + used, size - used, "%s%s%s%s%s%s%s%s%s", foreseen[0] != '\0' ? "; " : "", foreseen, published ? "; published: " : "", c->published, predicts ? "; foretold " : "", c->predicts,
                   predicts ? foretold(c) ? ": as it came" : ": it did not come" : "", c->exploratory ? "; exploratory: " : "", c->exploratory ? c->exploratory_why : "");
}

gyre_status gyre_report_exact(const gyre_table *t, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {
        {.name = "source"}, {.name = "arm"}, {.name = "point"}, {.name = "quantity"}, {.name = "published", .where = GYRE_SHEET_PRINTED}, {.name = "published", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
        {.name = "digits", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA}, {.name = "measured", .where = GYRE_SHEET_PRINTED}, {.name = "measured", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA}, {.name = "verdict"},
    };
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "exact", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "Numbers that arithmetic fixes, against published ones");
    for (size_t i = 0; i < t->n_exact; i++) {
        const gyre_exact *e = &t->exact[i];
        const char *const words[] = {t->sources[e->source].name, e->arm, e->point, e->quantity};
        char published[64], measured[64];
        (void)snprintf(published, sizeof published, "%.*f", (int)e->digits, e->published);
        (void)snprintf(measured, sizeof measured, isnan(e->measured) ? "-" : "%.10g", e->measured);
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            gyre_sheet_word(s, words[k]);
        gyre_sheet_word(s, published);
        gyre_sheet_number(s, e->published);
        gyre_sheet_number(s, e->digits);
        gyre_sheet_word(s, measured);
        gyre_sheet_number(s, e->measured);
        gyre_sheet_word(s, e->verdict);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

void gyre_report_canary_counts(const gyre_table *t, gyre_book *book)
{
    static const char *const words[] = {"PASS", "FAIL", "NOT RUN"};
    size_t n[sizeof words / sizeof *words] = {0};
    char text[128]; /* three counts of at most 20 digits */
    for (size_t i = 0; i < t->n_canaries; i++) {
        const gyre_canary *c = &t->canaries[i];
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            n[w] += strcmp(c->status, words[w]) == 0;
        if (strcmp(c->status, words[1]) == 0)
            gyre_book_line(book, "CANARY FAILED: %s: %s: no verdict of this file can be trusted", c->name, c->detail);
    }
    size_t used = 0;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) /* whoever looks for FAIL finds it only where there is one */
        if (n[w] > 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%zu %s", used > 0 ? ", " : "", n[w], words[w]);
    gyre_book_line(book, "canaries: %s", used > 0 ? text : "this file has none");
}

gyre_status gyre_report_canaries(const gyre_table *t, gyre_book *book, gyre_error *err)
{
    static const gyre_sheet_column columns[] = {{.name = "status"}, {.name = "canary"}, {.name = "detail"}};
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    GYRE_TRY(gyre_sheet_open(book, "canaries", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "Canaries");
    for (size_t i = 0; i < t->n_canaries; i++) {
        gyre_sheet_word(s, t->canaries[i].status);
        gyre_sheet_word(s, t->canaries[i].name);
        gyre_sheet_word(s, t->canaries[i].detail);
    }
    GYRE_TRY(gyre_sheet_close(s, err));
done:
    return st;
}

gyre_status gyre_report_wiring(const gyre_table *t, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < t->n_canaries; i++)
        if (strcmp(t->canaries[i].status, "FAIL") == 0)
            GYRE_FAIL(GYRE_E_INCOMPLETE, "%s: canary '%s' failed: %s: no verdict of this file can be trusted", path, t->canaries[i].name, t->canaries[i].detail);
done:
    return st;
}
