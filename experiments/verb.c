#define _XOPEN_SOURCE 700
#include "experiments/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTIONS_MOST = 32 };

static const gyre_argument *find(const gyre_argument *options, const char *name, size_t length)
{
    for (; options->name != NULL; options++)
        if (strlen(options->name) == length && strncmp(options->name, name, length) == 0)
            return options;
    return NULL;
}

static gyre_status unknown(const gyre_argument *options, const char *verb, const char *word, gyre_error *err)
{
    const char *names[OPTIONS_MOST + 1] = {0};
    for (size_t i = 0; options[i].name != NULL && i < OPTIONS_MOST; i++)
        names[i] = options[i].name;
    const char *near = gyre_nearest(word, names);
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "unknown option %s%s%s%s: gyre %s --help lists them", word, near != NULL ? " (did you mean " : "",
                          near != NULL ? near : "", near != NULL ? "?)" : "", verb);
}

gyre_status gyre_arguments(int argc, char **argv, const gyre_argument *options, const char **words, size_t most, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *count = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || word[1] == '\0') {
            if (*count == most)
                GYRE_FAIL(GYRE_E_USAGE, "'%s' is one word too many: gyre %s --help", word, argv[0]);
            words[(*count)++] = word;
            continue;
        }
        const char *equals = strchr(word, '=');
        const gyre_argument *o = find(options, word, equals != NULL ? (size_t)(equals - word) : strlen(word));
        if (o == NULL) {
            st = unknown(options, argv[0], word, err);
            goto done;
        }
        if (o->flag != NULL) {
            if (equals != NULL)
                GYRE_FAIL(GYRE_E_USAGE, "%s takes no value", o->name);
            *o->flag = true;
            continue;
        }
        const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL)
            GYRE_FAIL(GYRE_E_USAGE, "%s wants a value: gyre %s --help", o->name, argv[0]);
        if (o->value != NULL)
            *o->value = value;
        if (o->list != NULL && *o->list_count == o->list_most)
            GYRE_FAIL(GYRE_E_USAGE, "%s is given more than %zu times", o->name, o->list_most);
        if (o->list != NULL)
            o->list[(*o->list_count)++] = value;
    }
done:
    return st;
}

gyre_status gyre_argument_int(const char *option, const char *text, long lo, long hi, long *out, gyre_error *err)
{
    int64_t value;
    if (!gyre_parse_int(text, &value) || value < lo || value > hi)
        return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "%s %s: an integer in [%ld, %ld] is wanted", option, text, lo, hi);
    *out = (long)value;
    return GYRE_OK;
}

gyre_status gyre_verb_format(const char *name, bool json, gyre_sheet_format *format, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (name != NULL && json)
        GYRE_FAIL(GYRE_E_USAGE, "--format and --json exclude each other");
    if (name != NULL)
        GYRE_TRY(gyre_sheet_format_of(name, format, err));
    if (json)
        *format = GYRE_SHEET_JSON;
done:
    return st;
}

gyre_status gyre_verb_config(const char *path, const char *size, const char *const *sets, size_t n_sets, gyre_config **config, gyre_error *err)
{
    char *report = NULL;
    gyre_status st = gyre_config_read(path, size, sets, n_sets, config, &report, err);
    if (st == GYRE_E_CONFIG && report != NULL && report[0] != '\0') {
        (void)fputs(report, stderr); /* the whole list, where an error message would be cut */
        size_t faults = 0;
        for (const char *p = report; (p = strstr(p, ": error: ")) != NULL; p++)
            faults++;
        st = gyre_error_set(err, GYRE_E_CONFIG, __FILE__, __LINE__, "%zu fault%s in %s; nothing was run", faults, faults == 1 ? "" : "s", path);
    }
    free(report);
    return st;
}

gyre_status gyre_search_from(const char *config_path, gyre_search *search, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *search = (gyre_search){{0}};
    char *cwd = getcwd(NULL, 0), *full = realpath(config_path, NULL);
    if (cwd == NULL || full == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot resolve the path %s", config_path);
    search->dirs[0] = cwd;
    cwd = NULL;
    for (size_t i = 1; i < GYRE_PLAN_DIRS; i++) {
        char *slash = strrchr(full, '/');
        if (slash == NULL || slash == full)
            break;
        *slash = '\0';
        search->dirs[i] = strdup(full);
    }
done:
    free(cwd);
    free(full);
    return st;
}

void gyre_search_free(gyre_search *search)
{
    for (size_t i = 0; i < GYRE_PLAN_DIRS; i++)
        free(search->dirs[i]);
    *search = (gyre_search){{0}};
}
