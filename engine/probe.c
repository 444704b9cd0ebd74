#define _DEFAULT_SOURCE
#include "engine/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/capture.h"
#include "engine/child.h"
#include "engine/engine.h"
#include "engine/model_file.h"

enum { WHAT_TEXT = 512 };

typedef struct look {
    const gyre_probe_request *request;
    gyre_probe *seen; /* memory that parent and child share */
} look;

static gyre_status count_tokens(gyre_engine *engine, const gyre_probe_request *r, gyre_probe *seen, size_t index, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int32_t *tokens = NULL;
    GYRE_TRY(gyre_text_tokens(engine, r->texts[index], &tokens, &seen->n_tokens[index], seen->text_sha256[index], err));
done:
    free(tokens);
    return st;
}

static gyre_status in_child(void *user, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    look *x = user;
    gyre_engine *engine = NULL;
    gyre_engine_on_abort(gyre_child_last_words);
    GYRE_TRY(gyre_engine_open(x->request->model_path, GYRE_PROBE_TOKENS, x->request->threads, &engine, err));
    const gyre_engine_info *info = gyre_engine_describe(engine);
    if (x->request->context > info->n_context)
        GYRE_FAIL(GYRE_E_INPUT, "source.context asks for %zu tokens, but %s was made for at most %lu", x->request->context, x->request->model_path, (unsigned long)info->n_context);
    (void)snprintf(x->seen->version, sizeof x->seen->version, "%s", info->version);
    (void)snprintf(x->seen->flags, sizeof x->seen->flags, "%s", info->flags);
    x->seen->n_vocabulary = info->n_vocabulary;
    for (size_t i = 0; i < x->request->n_texts; i++)
        GYRE_TRY(count_tokens(engine, x->request, x->seen, i, err));
done:
    gyre_engine_close(engine);
    return st;
}

static gyre_status take_facts(const gyre_probe_request *r, gyre_error *err)
{
    char path[4096], name[] = "probe", licence[] = "unknown", source[] = "";
    (void)snprintf(path, sizeof path, "%s", r->texts[0]);
    const gyre_capture_text text = {.path = path, .name = name, .licence = licence, .source = source};
    const gyre_capture_request request = {.model_path = r->model_path,
                                          .model_name = r->model_name,
                                          .output_path = r->facts_path,
                                          .command_line = "facts of a plan",
                                          .texts = &text,
                                          .n_texts = 1,
                                          .layers = "all",
                                          .n_tokens = GYRE_PROBE_TOKENS,
                                          .n_queries = 1,
                                          .threads = r->threads};
    return gyre_capture_run(&request, NULL, err);
}

gyre_status gyre_probe_model(const gyre_probe_request *r, gyre_probe *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char what[WHAT_TEXT];
    look x = {.request = r};
    x.seen = mmap(NULL, sizeof *x.seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (x.seen == MAP_FAILED) {
        x.seen = NULL;
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to look at %s", r->model_path);
    }
    if (r->n_texts == 0 || r->n_texts > GYRE_PROBE_TEXTS)
        GYRE_FAIL(GYRE_E_INTERNAL, "%zu texts", r->n_texts);
    (void)snprintf(what, sizeof what, "reading %s", r->model_path);
    GYRE_TRY(gyre_child_run(in_child, &x, what, NULL, err));
    *out = *x.seen;
    GYRE_TRY(take_facts(r, err));
done:
    if (x.seen != NULL)
        (void)munmap(x.seen, sizeof *x.seen);
    return st;
}
