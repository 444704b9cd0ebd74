/* gyre export, gyre diff: results files for other programs, and against each other. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/commit.h"
#include "experiments/verb.h"
#include "results/diff.h"
#include "results/export.h"

/* Would writing `out` replace the file that is read? */
static bool same_file(const char *path, const char *out)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static gyre_status export_to(const char *path, const char *what, gyre_sheet_format format, const char *out, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_commit c = {0};
    FILE *f = NULL;
    if (same_file(path, out))
        GYRE_FAIL(GYRE_E_USAGE, "-o %s is the results file itself: name another", out);
    GYRE_TRY(gyre_commit_begin(&c, out, err));
    f = fopen(c.temp, "w");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s", out, strerror(errno));
    GYRE_TRY(gyre_export(path, what, format, f, log, err));
    int closed = fclose(f);
    f = NULL;
    if (closed != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s", out, strerror(errno));
    GYRE_TRY(gyre_commit_finish(&c, err));
done:
    if (f != NULL)
        (void)fclose(f);
    gyre_commit_abort(&c);
    return st;
}

gyre_status gyre_verb_export(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL, *what = "cells", *name = NULL, *out = NULL;
    size_t words = 0;
    bool json = false;
    gyre_sheet_format format = GYRE_SHEET_CSV;
    const gyre_argument options[] = {{.name = "--what", .value = &what}, {.name = "--format", .value = &name}, {.name = "--json", .flag = &json}, {.name = "-o", .value = &out}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file, as in gyre export out/demo/results.h5");
    GYRE_TRY(gyre_verb_format(name, json, &format, err));
    if (out != NULL)
        GYRE_TRY(export_to(path, what, format, out, context->log, err));
    else
        GYRE_TRY(gyre_export(path, what, format, stdout, context->log, err));
done:
    return st;
}

static gyre_status tolerance(const char *option, const char *text, double *out, gyre_error *err)
{
    if (text != NULL && (!gyre_parse_real(text, out) || !isfinite(*out) || *out < 0.0))
        return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "%s %s: a number that is not negative is wanted, as 1e-9", option, text);
    return GYRE_OK;
}

gyre_status gyre_verb_diff(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *paths[2] = {0}, *rtol = NULL, *atol = NULL, *name = NULL;
    size_t words = 0;
    bool json = false, same = false;
    double relative = 0.0, absolute = 0.0;
    gyre_sheet_format format = GYRE_SHEET_TEXT;
    const gyre_argument options[] = {{.name = "--rtol", .value = &rtol}, {.name = "--atol", .value = &atol}, {.name = "--format", .value = &name}, {.name = "--json", .flag = &json}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, paths, 2, &words, err));
    if (words < 2)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file and another, as in gyre diff out/demo/results.h5 out/again/results.h5");
    GYRE_TRY(gyre_verb_format(name, json, &format, err));
    GYRE_TRY(tolerance("--rtol", rtol, &relative, err));
    GYRE_TRY(tolerance("--atol", atol, &absolute, err));
    GYRE_TRY(gyre_diff(paths[0], paths[1], relative, absolute, format, stdout, context->log, &same, err));
    if (!same)
        GYRE_FAIL(GYRE_E_INPUT, "%s and %s differ", paths[0], paths[1]);
done:
    return st;
}
