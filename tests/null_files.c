#define _XOPEN_SOURCE 700
#include "tests/null_files.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/cells.h"
#include "results/compare.h"
#include "results/merge.h"
#include "results/registration.h"
#include "results/results_file.h"

enum { PATH = 256 };

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *place)
{
    (void)s;
    (void)kind;
    (void)place;
    return remove(path);
}

static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static gyre_status check_same(const gyre_comparison *a, const gyre_comparison *b, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *const words[][2] = { { a->arm, b->arm }, { a->against, b->against }, { a->status, b->status }, { a->test, b->test }, { a->verdict, b->verdict }, { a->test_asked, b->test_asked },
                                     { a->goal, b->goal }, { a->correction, b->correction }, { a->family, b->family } };
    const double numbers[][2] = { { a->estimate, b->estimate }, { a->ci_low, b->ci_low }, { a->ci_high, b->ci_high }, { a->df, b->df }, { a->sd_seed, b->sd_seed },
                                  { a->sd_document, b->sd_document }, { a->p, b->p }, { a->p_adjusted, b->p_adjusted }, { a->p_tost, b->p_tost }, { a->p_tost_adjusted, b->p_tost_adjusted },
                                  { a->margin_needed, b->margin_needed }, { a->worst_estimate, b->worst_estimate }, { a->worst_low, b->worst_low }, { a->worst_high, b->worst_high },
                                  { a->mde, b->mde }, { a->power, b->power }, { a->seeds_needed, b->seeds_needed }, { a->documents_needed, b->documents_needed } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], words[i][1]) != 0)
            GYRE_FAIL(GYRE_E_INTERNAL, "%s in memory is %s in the results file", words[i][0], words[i][1]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!same(numbers[i][0], numbers[i][1]))
            GYRE_FAIL(GYRE_E_INTERNAL, "number %zu of %s by %s is %.17g in memory and %.17g in the results file", i, a->arm, a->test, numbers[i][0], numbers[i][1]);
    if (a->n_seeds != b->n_seeds || a->n_documents != b->n_documents || b->exploratory)
        GYRE_FAIL(GYRE_E_INTERNAL, "%zu seeds and %zu documents in memory, %zu and %zu in the results file%s%s", a->n_seeds, a->n_documents, b->n_seeds, b->n_documents, b->exploratory ? "; exploratory: " : "",
                  b->exploratory ? b->exploratory_why : "");
done:
    return st;
}

/* The cells of `computed` become a results file by way of a plan that has never seen them. */
static gyre_status to_disk(const char *folder, const gyre_table *computed, gyre_table *planned, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_provenance nobody = { .threads = 1 };
    GYRE_TRY(gyre_cells_prepare(folder, err));
    GYRE_TRY(gyre_plan_register(folder, planned, time(NULL), err));
    for (size_t i = 0; i < computed->n_cells; i++)
        GYRE_TRY(gyre_cell_write(folder, computed, &computed->cells[i], err));
    GYRE_TRY(gyre_merge(folder, planned, false, &nobody, NULL, err));
done:
    return st;
}

gyre_status null_through_files(const null_design *design, const null_question *questions, size_t n_questions, uint64_t seed, uint32_t row, uint32_t number, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *computed = NULL, *planned = NULL, *read = NULL;
    char folder[PATH] = "/tmp/gyre-null-XXXXXX", path[PATH + 16];
    bool made = mkdtemp(folder) != NULL;
    if (!made)
        GYRE_FAIL(GYRE_E_IO, "cannot make a folder under /tmp");
    GYRE_TRY(null_campaign(design, questions, n_questions, false, seed, row, number, true, &computed, err));
    GYRE_TRY(null_campaign(design, questions, n_questions, false, seed, row, number, false, &planned, err));
    GYRE_TRY(to_disk(folder, computed, planned, err));
    GYRE_TRY(gyre_compare(computed, err));
    (void)snprintf(path, sizeof path, "%s/results.h5", folder);
    GYRE_TRY(gyre_results_read(path, &read, NULL, NULL, err));
    if (read->n_comparisons != n_questions)
        GYRE_FAIL(GYRE_E_INTERNAL, "%zu comparisons in the results file, %zu were declared", read->n_comparisons, n_questions);
    for (size_t i = 0; i < n_questions; i++)
        GYRE_TRY(check_same(&computed->comparisons[i], &read->comparisons[i], err));
done:
    gyre_table_free(computed);
    gyre_table_free(planned);
    gyre_table_free(read);
    if (made)
        (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return st;
}
