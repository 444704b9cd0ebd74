#define _POSIX_C_SOURCE 200809L
#include "results/claims.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "results/compare.h"
#include "results/registration.h"
#include "results/results_file.h"

enum { PATH_BYTES = 4096 };

/* Texts that the claims own. */
struct gyre_claims_texts {
    struct gyre_claims_texts *next;
    char text[];
};

static gyre_status keep_text(gyre_claims *c, const char *text, size_t length, const char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct gyre_claims_texts *t = NULL;
    GYRE_TRY(gyre_calloc((void **)&t, 1, sizeof *t + length + 1, err));
    memcpy(t->text, text, length);
    t->next = c->texts;
    c->texts = t;
    *out = t->text;
done:
    return st;
}

/* ---- the rules ---- */

const char *gyre_part_state_name(gyre_part_state state)
{
    static const char *const names[GYRE_PART_STATES] = {"as predicted", "contradicts", "undecided", "control"};
    return names[state];
}

bool gyre_claim_predicted(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; n > 0 && at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ", ");
        if (length == n && strncmp(at, word, n) == 0)
            return true;
        at += length;
        at += strspn(at, ", ");
    }
    return false;
}

gyre_part_state gyre_claim_comparison_state(const gyre_comparison *c, const char **why)
{
    *why = "";
    if (c->predicts == NULL || c->predicts[0] == '\0')
        return GYRE_PART_CONTROL;
    if (c->exploratory) {
        *why = c->exploratory_why;
        return GYRE_PART_CONTROL;
    }
    if (c->status == NULL || strcmp(c->status, "OK") != 0) {
        *why = c->reason;
        return GYRE_PART_UNDECIDED;
    }
    if (strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0) {
        *why = "too few chunks for a verdict, says the configuration";
        return GYRE_PART_UNDECIDED;
    }
    if (gyre_claim_predicted(c->predicts, c->verdict))
        return GYRE_PART_PREDICTED;
    return strcmp(c->verdict, "INCONCLUSIVE") == 0 ? GYRE_PART_UNDECIDED : GYRE_PART_CONTRADICTED;
}

const char *gyre_claim_word(const size_t counts[GYRE_PART_STATES], size_t exact, size_t open, bool canary_failed)
{
    size_t p = counts[GYRE_PART_PREDICTED], c = counts[GYRE_PART_CONTRADICTED], u = counts[GYRE_PART_UNDECIDED];
    if (canary_failed)
        return "UNDECIDED";
    if (p + c + u == 0)
        return "NOT DECIDABLE HERE";
    if (p > 0 && c > 0)
        return "MIXED";
    if (c > 0)
        return "FAILS";
    if (p == 0)
        return "UNDECIDED";
    if (u > 0 || open > 0)
        return "PARTLY";
    return exact == p ? "EXACT" : "HOLDS";
}

/* ---- files ---- */

static int by_name(const void *a, const void *b)
{
    const gyre_claim_file *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->path, y->path);
}

/* The last part of a path; of a run folder's results.h5, of which there are many, the folder's name before it. */
static const char *short_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    if (slash == NULL || strcmp(name, "results.h5") != 0)
        return name;
    while (slash > path && slash[-1] != '/')
        slash--;
    return slash;
}

static gyre_status add_file(gyre_claims *c, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_claim_file *more = NULL;
    const char *kept = NULL;
    GYRE_TRY(keep_text(c, path, strlen(path), &kept, err));
    GYRE_TRY(gyre_calloc((void **)&more, c->n_files + 1, sizeof *more, err));
    if (c->n_files > 0)
        memcpy(more, c->files, c->n_files * sizeof *more);
    free(c->files);
    c->files = more;
    c->files[c->n_files++] = (gyre_claim_file){.path = kept, .name = short_name(kept), .canary = ""};
done:
    return st;
}

static gyre_status add_folder(gyre_claims *c, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char whole[PATH_BYTES];
    size_t before = c->n_files;
    DIR *folder = opendir(path);
    if (folder == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "%s cannot be read: name a results file or a folder of them", path);
    for (const struct dirent *e; (e = readdir(folder)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n <= 3 || e->d_name[0] == '.' || strcmp(e->d_name + n - 3, ".h5") != 0)
            continue;
        if (snprintf(whole, sizeof whole, "%s/%s", path, e->d_name) >= (int)sizeof whole)
            GYRE_FAIL(GYRE_E_INPUT, "%s/%s: the path is too long", path, e->d_name);
        GYRE_TRY(add_file(c, whole, err));
    }
    if (c->n_files == before)
        GYRE_FAIL(GYRE_E_INPUT, "%s holds no results file (*.h5): scripts/run-claims makes them", path);
done:
    if (folder != NULL)
        (void)closedir(folder);
    return st;
}

static gyre_status read_files(gyre_claims *c, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    qsort(c->files, c->n_files, sizeof *c->files, by_name);
    for (size_t i = 0; i < c->n_files; i++) {
        gyre_claim_file *f = &c->files[i];
        if (i > 0 && strcmp(f->name, f[-1].name) == 0)
            GYRE_FAIL(GYRE_E_INPUT, "%s and %s have one name, and a claim's parts are told apart by it: copy one to another name", f[-1].path, f->path);
        GYRE_TRY(gyre_results_read(f->path, &f->table, &f->provenance, log, err));
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->files[j].table->config_sha256, f->table->config_sha256) == 0)
                GYRE_FAIL(GYRE_E_INPUT, "%s and %s are results of one configuration: its parts would count twice; leave one out", c->files[j].path, f->path);
        for (size_t k = 0; k < f->table->n_canaries && f->canary[0] == '\0'; k++)
            if (strcmp(f->table->canaries[k].status, "FAIL") == 0)
                f->canary = f->table->canaries[k].name;
    }
done:
    return st;
}

/* ---- claims ---- */

static int by_id(const void *a, const void *b)
{
    const gyre_claim *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static gyre_status same(const char *what, const char *a, const char *b, const gyre_claim_file *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (strcmp(a, b) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s: the claim's `%s` differs from that of another file of claim %s: results of one version of a claim go together; run the older one again", f->path, what,
                  f->table->claim_id);
done:
    return st;
}

static gyre_claim *claim_of(gyre_claims *c, const gyre_table *t)
{
    for (size_t i = 0; i < c->n_claims; i++)
        if (strcmp(c->claims[i].id, t->claim_id) == 0)
            return &c->claims[i];
    c->claims[c->n_claims] = (gyre_claim){.id = t->claim_id, .says = t->claim_says, .source = t->claim_source, .rule = t->claim_rule, .word = "", .why = ""};
    return &c->claims[c->n_claims++];
}

/* Is the line among those of the text? */
static bool has_line(const char *lines, const char *line, size_t length)
{
    for (const char *at = lines; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        if (n == length && strncmp(at, line, n) == 0)
            return true;
        at += n + (at[n] == '\n');
    }
    return false;
}

/* The lines of the first file's `open` that every file of the claim has: what one file cannot decide another may. */
static gyre_status find_open(gyre_claims *c, gyre_claim *claim, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *lines = NULL;
    for (size_t i = 0; i < c->n_files && lines == NULL; i++)
        if (strcmp(c->files[i].table->claim_id, claim->id) == 0)
            lines = c->files[i].table->claim_open;
    GYRE_NEW(&claim->open, strlen(lines) + 1);
    for (const char *at = lines; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        bool all = length > 0;
        for (size_t i = 0; i < c->n_files; i++)
            all = all && (strcmp(c->files[i].table->claim_id, claim->id) != 0 || has_line(c->files[i].table->claim_open, at, length));
        if (all)
            GYRE_TRY(keep_text(c, at, length, &claim->open[claim->n_open++], err));
        at += length + (at[length] == '\n');
    }
done:
    return st;
}

static void add_part(gyre_claim *claim, gyre_claim_part part)
{
    claim->count[part.state]++;
    claim->n_exact += part.exact != NULL && part.state == GYRE_PART_PREDICTED;
    claim->parts[claim->n_parts++] = part;
}

static gyre_status add_parts(gyre_claims *c, const gyre_claim_file *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = f->table;
    gyre_claim *claim = claim_of(c, t);
    gyre_claim_part *more = NULL;
    size_t dropped = 0;
    GYRE_TRY(gyre_plan_dropped_predictions(t, &dropped, err));
    claim->n_dropped += dropped;
    GYRE_TRY(same("says", claim->says, t->claim_says, f, err));
    GYRE_TRY(same("source", claim->source, t->claim_source, f, err));
    GYRE_TRY(same("rule", claim->rule, t->claim_rule, f, err));
    GYRE_TRY(gyre_calloc((void **)&more, claim->n_parts + t->n_comparisons + t->n_exact + 1, sizeof *more, err));
    if (claim->n_parts > 0)
        memcpy(more, claim->parts, claim->n_parts * sizeof *more);
    free(claim->parts);
    claim->parts = more;
    for (size_t i = 0; i < t->n_comparisons; i++) {
        gyre_claim_part part = {.file = f, .comparison = &t->comparisons[i]};
        part.state = gyre_claim_comparison_state(part.comparison, &part.why);
        add_part(claim, part);
    }
    for (size_t i = 0; i < t->n_exact; i++) {
        const char *verdict = t->exact[i].verdict;
        bool measured = strcmp(verdict, "NOT MEASURED") != 0;
        add_part(claim, (gyre_claim_part){.file = f, .exact = &t->exact[i], .why = measured ? "" : "the arm was skipped, or cells are missing",
                                          .state = !measured ? GYRE_PART_UNDECIDED : strcmp(verdict, "EXACT") == 0 ? GYRE_PART_PREDICTED : GYRE_PART_CONTRADICTED});
    }
    if (f->canary[0] != '\0' && claim->why[0] == '\0') {
        char text[512];
        (void)snprintf(text, sizeof text, "canary %s failed in %s", f->canary, f->name);
        GYRE_TRY(keep_text(c, text, strlen(text), &claim->why, err));
    }
done:
    return st;
}

gyre_status gyre_claims_read(const char *const *paths, size_t n_paths, gyre_claims *c, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    struct stat info;
    *c = (gyre_claims){0};
    for (size_t i = 0; i < n_paths; i++)
        GYRE_TRY(stat(paths[i], &info) == 0 && S_ISDIR(info.st_mode) ? add_folder(c, paths[i], err) : add_file(c, paths[i], err));
    GYRE_TRY(read_files(c, log, err));
    GYRE_NEW(&c->claims, c->n_files + 1);
    for (size_t i = 0; i < c->n_files; i++)
        if (c->files[i].table->claim_id[0] != '\0')
            GYRE_TRY(add_parts(c, &c->files[i], err));
    for (size_t i = 0; i < c->n_claims; i++) {
        gyre_claim *claim = &c->claims[i];
        GYRE_TRY(find_open(c, claim, err));
        size_t counts[GYRE_PART_STATES];
        memcpy(counts, claim->count, sizeof counts);
        counts[GYRE_PART_UNDECIDED] += claim->n_dropped;
        claim->word = gyre_claim_word(counts, claim->n_exact, claim->n_open, claim->why[0] != '\0');
    }
    qsort(c->claims, c->n_claims, sizeof *c->claims, by_id);
done:
    return st;
}

void gyre_claims_free(gyre_claims *c)
{
    for (size_t i = 0; i < c->n_files; i++)
        gyre_table_free(c->files[i].table);
    for (size_t i = 0; i < c->n_claims; i++) {
        free(c->claims[i].open);
        free(c->claims[i].parts);
    }
    free(c->files);
    free(c->claims);
    while (c->texts != NULL) {
        struct gyre_claims_texts *next = c->texts->next;
        free(c->texts);
        c->texts = next;
    }
    *c = (gyre_claims){0};
}
