/* gyre report, figures, verify, capture: what reads or writes one file. */
#include <stdio.h>
#include <string.h>

#include "engine/capture_command.h"
#include "experiments/report.h"
#include "experiments/verb.h"
#include "results/figures.h"
#include "results/verify.h"

gyre_status gyre_verb_report(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL;
    size_t words = 0;
    const char *name = NULL, *only = NULL;
    bool json = false;
    gyre_sheet_format format = GYRE_SHEET_TEXT;
    const gyre_argument options[] = {{.name = "--format", .value = &name}, {.name = "--only", .value = &only}, {.name = "--json", .flag = &json}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file, as in gyre report out/demo/results.h5");
    GYRE_TRY(gyre_verb_format(name, json, &format, err));
    GYRE_TRY(gyre_report_print(path, format, only, stdout, context->log, err));
done:
    return st;
}

gyre_status gyre_verb_figures(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL, *out = NULL, *only = NULL;
    char folder[4096];
    size_t words = 0;
    const gyre_argument options[] = {{.name = "--out", .value = &out}, {.name = "--only", .value = &only}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a results file, as in gyre figures out/demo/results.h5");
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof folder, "%.*sfigures", slash == NULL ? 0 : (int)(slash - path) + 1, path);
    GYRE_TRY(gyre_figures(path, out != NULL ? out : folder, only, context->log, err));
done:
    return st;
}

gyre_status gyre_verb_verify(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *path = NULL;
    size_t words = 0;
    bool digest = false;
    char hex[GYRE_SHA256_HEX];
    gyre_verification v = {0};
    const gyre_argument options[] = {{.name = "--digest", .flag = &digest}, {0}};
    GYRE_TRY(gyre_arguments(argc, argv, options, &path, 1, &words, err));
    if (words == 0)
        GYRE_FAIL(GYRE_E_USAGE, "name a file, as in gyre verify out/demo/results.h5");
    if (digest) {
        GYRE_TRY(gyre_verify_digest(path, hex, err));
        (void)printf("%s\n", hex);
        goto done;
    }
    GYRE_TRY(gyre_verify(path, &v, err));
    for (size_t i = 0; i < v.n_warnings; i++)
        gyre_log_warning(context->log, "%s is unknown to this version", v.warnings[i]);
    for (size_t i = 0; i < v.n_faults; i++)
        (void)printf("%s: fault: %s\n", path, v.faults[i]);
    if (v.n_faults > 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s: %zu fault%s in this %s file", path, v.n_faults, v.n_faults == 1 ? "" : "s", v.kind);
    (void)printf("%s: a sound %s file", path, v.kind);
    if (v.n_tokens > 0)
        (void)printf(" of %zu scored tokens", v.n_tokens);
    (void)printf(", digest %s\n", v.digest);
done:
    gyre_verification_free(&v);
    return st;
}

gyre_status gyre_verb_capture(int argc, char **argv, const gyre_context *context, gyre_error *err)
{
    return gyre_capture_command(argc, argv, context->log, err);
}
