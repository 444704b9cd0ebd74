#define _POSIX_C_SOURCE 200809L
#include "engine/capture_command.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "core/yaml.h"
#include "engine/capture.h"
#include "engine/model_file.h"

static const char help[] =
    "usage: gyre capture --model MODEL --text FILE... -o OUT.h5 [options]\n"
    "\n"
    "Runs texts through a language model and writes its keys, values and queries to a capture file.\n"
    "\n"
    "  --model MODEL          a GGUF file, or the name of a model that scripts/fetch-model has fetched\n"
    "  --text FILE...         UTF-8 texts, one document each; a FILE ending in .yaml lists documents:\n"
    "                           - {file: a.txt, name: a, licence: GPL-2.0-or-later, source: where it is from}\n"
    "                         with files relative to the list's folder\n"
    "  -o, --out OUT.h5       the file to write; it is whole or not touched\n"
    "  --layers LIST          all, or numbers, mid and last with commas between (default 0,mid,last)\n"
    "  --tokens N             tokens of each document (default 384)\n"
    "  --queries N            queries at the last N positions of each document (default 16)\n"
    "  --threads N            threads (default 0: all processors)\n"
    "  --f32                  store binary32 throughout instead of binary16 where that loses nothing that counts\n"
    "  --name NAME            name of the model in the file (default: the GGUF's file name)\n"
    "  --model-licence SPDX   its licence (default: what the GGUF says)\n"
    "\n"
    "example:\n"
    "  scripts/fetch-model smollm2-135m\n"
    "  gyre capture --model smollm2-135m --text data/texts/index.yaml -o my.h5 --layers 0,mid,last --tokens 384 --queries 16\n";

enum { MAX_TEXTS = 4096, MAX_TOKENS = 1 << 20 };

/* Everything the command line says, with the strings it had to make. */
typedef struct command {
    gyre_capture_request request;
    gyre_capture_text *texts;
    size_t capacity;
    char *model_path, *model_name, *command_line;
} command;

static gyre_status duplicate(char **out, const char *text, size_t length, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, length + 1);
    memcpy(*out, text, length);
done:
    return st;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* ---- texts ---- */

static gyre_status add_text(command *c, const char *folder, size_t folder_length, const char *file, const char *name, const char *licence,
                            const char *source, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (c->request.n_texts == c->capacity)
        GYRE_FAIL(GYRE_E_USAGE, "more than %d texts", MAX_TEXTS);
    gyre_capture_text *t = &c->texts[c->request.n_texts++];
    GYRE_NEW(&t->path, folder_length + strlen(file) + 1);
    memcpy(t->path, folder, folder_length);
    memcpy(t->path + folder_length, file, strlen(file));
    if (name != NULL)
        GYRE_TRY(duplicate(&t->name, name, strlen(name), err));
    else
        GYRE_TRY(gyre_file_stem(file, &t->name, err));
    GYRE_TRY(duplicate(&t->licence, licence != NULL ? licence : "unknown", strlen(licence != NULL ? licence : "unknown"), err));
    GYRE_TRY(duplicate(&t->source, source != NULL ? source : "", strlen(source != NULL ? source : ""), err));
done:
    return st;
}

/* One document of a list; faults go to the list's report. */
static gyre_status add_listed(command *c, gyre_yaml *yaml, const char *list, const gyre_yaml_node *item, const char *place, gyre_error *err)
{
    static const char *const keys[] = {"file", "name", "licence", "source", NULL};
    gyre_status st = GYRE_OK;
    const char *values[4] = {NULL, NULL, NULL, NULL};
    if (!gyre_yaml_want(yaml, item, place, GYRE_YAML_MAP))
        goto done;
    gyre_yaml_keys(yaml, item, place, keys);
    for (size_t i = 0; keys[i] != NULL; i++) {
        const gyre_yaml_node *value = gyre_yaml_get(item, keys[i]);
        if (value != NULL)
            (void)gyre_yaml_text(yaml, value, keys[i], &values[i]);
    }
    if (values[0] == NULL) {
        gyre_yaml_fault(yaml, item, place, "a document needs the key file");
        goto done;
    }
    const char *slash = strrchr(list, '/');
    size_t folder = slash != NULL && values[0][0] != '/' ? (size_t)(slash - list) + 1 : 0;
    GYRE_TRY(add_text(c, list, folder, values[0], values[1], values[2], values[3], err));
done:
    return st;
}

static gyre_status add_list(command *c, const char *list, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_yaml *yaml = NULL;
    GYRE_TRY(gyre_yaml_read(list, &yaml, err));
    const gyre_yaml_node *root = gyre_yaml_root(yaml);
    if (gyre_yaml_want(yaml, root, "", GYRE_YAML_LIST))
        for (size_t i = 0; i < root->count; i++) {
            char place[32];
            (void)snprintf(place, sizeof place, "document %zu", i);
            GYRE_TRY(add_listed(c, yaml, list, root->items[i], place, err));
        }
    GYRE_TRY(gyre_yaml_check(yaml, err));
done:
    gyre_yaml_free(yaml);
    return st;
}

/* ---- command line ---- */

static gyre_status count_value(const char *option, const char *text, int64_t lo, int64_t hi, int64_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (!gyre_parse_int(text, out) || *out < lo || *out > hi)
        GYRE_FAIL(GYRE_E_USAGE, "%s: '%s' is not an integer in [%lld, %lld]", option, text, (long long)lo, (long long)hi);
done:
    return st;
}

/* Options with one value. */
static gyre_status set_option(command *c, const char *option, const char *value, gyre_error *err)
{
    static const char *const names[] = {"--model", "--text", "--out", "--layers", "--tokens", "--queries", "--threads", "--f32", "--name",
        "--model-licence", "--help", NULL};
    gyre_status st = GYRE_OK;
    gyre_capture_request *r = &c->request;
    int64_t n = 0;
    if (strcmp(option, "--model") == 0) {
        r->model_path = value;
    } else if (strcmp(option, "-o") == 0 || strcmp(option, "--out") == 0) {
        r->output_path = value;
    } else if (strcmp(option, "--layers") == 0) {
        r->layers = value;
    } else if (strcmp(option, "--name") == 0) {
        r->model_name = value;
    } else if (strcmp(option, "--model-licence") == 0) {
        r->model_licence = value;
    } else if (strcmp(option, "--tokens") == 0) {
        GYRE_TRY(count_value(option, value, 2, MAX_TOKENS, &n, err));
        r->n_tokens = (size_t)n;
    } else if (strcmp(option, "--queries") == 0) {
        GYRE_TRY(count_value(option, value, 0, MAX_TOKENS, &n, err));
        r->n_queries = (size_t)n;
    } else if (strcmp(option, "--threads") == 0) {
        GYRE_TRY(count_value(option, value, 0, 1024, &n, err));
        r->threads = (unsigned)n;
    } else {
        const char *nearest = gyre_nearest(option, names);
        GYRE_FAIL(GYRE_E_USAGE, "capture: unknown option '%s'%s%s; gyre capture --help lists them", option, nearest != NULL ? "; did you mean " : "",
                  nearest != NULL ? nearest : "");
    }
done:
    return st;
}

/* Files after --text, up to the next option; *next is the index behind them. */
static gyre_status take_text_files(command *c, int argc, char **argv, int first, int *next, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int i = first;
    for (; i < argc && argv[i][0] != '-'; i++) {
        if (ends_with(argv[i], ".yaml") || ends_with(argv[i], ".yml"))
            GYRE_TRY(add_list(c, argv[i], err));
        else
            GYRE_TRY(add_text(c, "", 0, argv[i], NULL, NULL, NULL, err));
    }
    if (i == first)
        GYRE_FAIL(GYRE_E_USAGE, "--text needs at least one file");
    *next = i;
done:
    return st;
}

static gyre_status parse(command *c, int argc, char **argv, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int i = 1;
    while (i < argc) {
        const char *option = argv[i];
        if (option[0] != '-')
            GYRE_FAIL(GYRE_E_USAGE, "capture: '%s' stands alone: texts come after --text; gyre capture --help", option);
        if (strcmp(option, "--f32") == 0) {
            c->request.f32 = true;
            i++;
        } else if (strcmp(option, "--text") == 0) {
            GYRE_TRY(take_text_files(c, argc, argv, i + 1, &i, err));
        } else {
            const char *value = i + 1 < argc ? argv[i + 1] : NULL;
            GYRE_TRY(set_option(c, option, value != NULL ? value : "", err));
            if (value == NULL)
                GYRE_FAIL(GYRE_E_USAGE, "%s needs a value", option);
            i += 2;
        }
    }
    if (c->request.model_path == NULL || c->request.n_texts == 0 || c->request.output_path == NULL)
        GYRE_FAIL(GYRE_E_USAGE, "capture needs --model, --text and -o; gyre capture --help shows an example");
done:
    return st;
}

/* "gyre capture ..." as it was typed; words with anything but plain characters are put in single quotes. */
static gyre_status spell(command *c, int argc, char **argv, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = sizeof "gyre capture";
    for (int i = 1; i < argc; i++)
        size += 4 * strlen(argv[i]) + 3;
    GYRE_NEW(&c->command_line, size);
    char *out = c->command_line + snprintf(c->command_line, size, "gyre capture");
    for (int i = 1; i < argc; i++) {
        bool plain = argv[i][0] != '\0' && strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,+=:@%") == strlen(argv[i]);
        *out++ = ' ';
        if (!plain)
            *out++ = '\'';
        for (const char *p = argv[i]; *p != '\0'; p++) {
            if (*p == '\'') {
                memcpy(out, "'\\'", 3);
                out += 3;
            }
            *out++ = *p;
        }
        if (!plain)
            *out++ = '\'';
    }
    c->request.command_line = c->command_line;
done:
    return st;
}

static void clean(command *c)
{
    for (size_t i = 0; i < c->request.n_texts; i++) {
        free(c->texts[i].path);
        free(c->texts[i].name);
        free(c->texts[i].licence);
        free(c->texts[i].source);
    }
    free(c->texts);
    free(c->model_path);
    free(c->model_name);
    free(c->command_line);
}

gyre_status gyre_capture_command(int argc, char **argv, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    command c = {.request = {.layers = "0,mid,last", .n_tokens = 384, .n_queries = 16}, .capacity = MAX_TEXTS};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(help, stdout);
            return GYRE_OK;
        }
    GYRE_NEW(&c.texts, c.capacity);
    c.request.texts = c.texts;
    GYRE_TRY(parse(&c, argc, argv, err));
    GYRE_TRY(gyre_model_find(c.request.model_path, &c.model_path, err));
    c.request.model_path = c.model_path;
    if (c.request.model_name == NULL) {
        GYRE_TRY(gyre_file_stem(c.model_path, &c.model_name, err));
        c.request.model_name = c.model_name;
    }
    GYRE_TRY(spell(&c, argc, argv, err));
    GYRE_TRY(gyre_capture_run(&c.request, log, err));
    gyre_log_info(log, "wrote %s: %s, %zu documents of %zu tokens, queries at the last %zu", c.request.output_path, c.request.model_name,
                  c.request.n_texts,
                  c.request.n_tokens, c.request.n_queries);
done:
    clean(&c);
    return st;
}
