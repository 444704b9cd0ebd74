/* gyre status: how far a run folder is, read from its plan and its cell files; the run may be at work. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/runner.h"
#include "experiments/verb.h"
#include "results/cells.h"

enum { PATH_BYTES = 4096, FIELDS = 7, FAILED_SHOWN = 10 };

typedef struct tally {
    size_t total, ok, skipped, failed, damaged, missing;
    double wall_s; /* of cells that are OK */
} tally;

/* Cuts a line at its tabs; false unless there are exactly FIELDS. */
static bool cut(char *line, char *field[FIELDS])
{
    size_t n = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *p = line; n < FIELDS; p++) {
        field[n++] = p;
        p += strcspn(p, "\t");
        if (*p == '\0')
            return n == FIELDS;
        *p = '\0';
    }
    return false;
}

/* Two cells of the plan may share a key and its file: each counts, the time of the file once. */
static gyre_status look(const char *folder, char *const field[FIELDS], tally *t, gyre_error *err)
{
    char path[PATH_BYTES];
    gyre_cell_file file;
    gyre_error why = {0};
    t->total++;
    if (strcmp(field[6], "SKIPPED") == 0) {
        t->skipped++;
        return GYRE_OK;
    }
    if (!gyre_cell_exists(folder, field[0])) {
        t->missing++;
        return GYRE_OK;
    }
    (void)snprintf(path, sizeof path, "%s/cells/%s.h5", folder, field[0]);
    gyre_status st = gyre_cell_file_read(path, &file, &why);
    if (st == GYRE_OK && strcmp(file.status, "OK") == 0) {
        t->ok++;
        t->wall_s += file.wall_s;
    } else if (st == GYRE_OK) {
        if (t->failed++ < FAILED_SHOWN)
            (void)printf("FAILED: %s, layer or block %s, arm %s%s%s, seed %s: %s\n", field[1], field[2], field[3], field[4][0] != '\0' ? " " : "", field[4], field[5], file.reason);
    } else if (st != GYRE_E_MEMORY) {
        t->damaged++;
        (void)printf("not usable, will be computed again: %s\n", why.message);
    }
    gyre_cell_file_free(&file);
    if (st == GYRE_E_MEMORY) {
        *err = why;
        return st;
    }
    return GYRE_OK;
}

static void show_time(double seconds)
{
    if (seconds < 99.5)
        (void)printf("%.0f s", seconds);
    else if (seconds < 99.5 * 60)
        (void)printf("%.0f min", seconds / 60);
    else
        (void)printf("%.1f h", seconds / 3600);
}

static void show(const char *folder, const tally *t)
{
    size_t left = t->missing + t->failed + t->damaged;
    (void)printf("%s: %zu cells: %zu done, %zu skipped, %zu failed, %zu to go%s\n", folder, t->total, t->ok, t->skipped, t->failed, left,
                 gyre_run_active(folder) ? "; a run is at work here" : left > 0 ? "; no run is at work here" : "");
    if (left > 0 && t->ok > 0) {
        (void)printf("the cells that are done took ");
        show_time(t->wall_s);
        (void)printf(", added up; at that rate the rest takes about ");
        show_time(t->wall_s / (double)t->ok * (double)left);
        (void)printf(" (cells of captures: of one job)\n");
    }
}

gyre_status gyre_verb_status(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)context;
    const char *folder = NULL;
    size_t words = 0, room = 0;
    char path[PATH_BYTES], *line = NULL, *field[FIELDS];
    tally t = {0};
    const gyre_argument none[] = {{0}};
    FILE *f = NULL;
    GYRE_TRY(gyre_arguments(argc, argv, none, &folder, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a run folder, as in gyre status out/demo");
    (void)snprintf(path, sizeof path, "%s/plan.tsv", folder);
    f = fopen(path, "r");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "%s is not a run folder: it has no plan.tsv (gyre run writes it)", folder);
    while (getline(&line, &room, f) > 0) {
        if (!cut(line, field))
            GYRE_FAIL(GYRE_E_INPUT, "%s: line %zu is not a cell of a plan: run again to write it anew", path, t.total + 1);
        GYRE_TRY(look(folder, field, &t, err));
    }
    show(folder, &t);
done:
    free(line);
    if (f != NULL)
        (void)fclose(f);
    return st;
}
