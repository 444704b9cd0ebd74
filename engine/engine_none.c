/* The engine of a build without libllama: it says so. Everything that needs no language model works. */
#include "engine/engine.h"

static gyre_status no_engine(gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_FAIL(GYRE_E_UNSUPPORTED,
              "this gyre was built without libllama: run scripts/setup --check (or install llama.cpp), then configure and build again");
done:
    return st;
}

gyre_status gyre_engine_open(const char *path, size_t max_tokens, unsigned threads, gyre_engine **out, gyre_error *err)
{
    (void)path;
    (void)max_tokens;
    (void)threads;
    *out = NULL;
    return no_engine(err);
}

void gyre_engine_close(gyre_engine *engine)
{
    (void)engine;
}

const gyre_engine_info *gyre_engine_describe(const gyre_engine *engine)
{
    (void)engine;
    return NULL;
}

gyre_status gyre_engine_tokenize(gyre_engine *engine, const char *text, size_t size, int32_t **tokens, size_t *n_tokens, gyre_error *err)
{
    (void)engine;
    (void)text;
    (void)size;
    *tokens = NULL;
    *n_tokens = 0;
    return no_engine(err);
}

void gyre_engine_set_hook(gyre_engine *engine, unsigned events, const bool *layers, gyre_engine_hook fn, void *user)
{
    (void)engine;
    (void)events;
    (void)layers;
    (void)fn;
    (void)user;
}

gyre_status gyre_engine_write(gyre_engine *engine, gyre_stream stream, uint32_t layer, size_t first, size_t n, const float *rows, gyre_error *err)
{
    (void)engine;
    (void)stream;
    (void)layer;
    (void)first;
    (void)n;
    (void)rows;
    return no_engine(err);
}

gyre_status gyre_engine_write_queries(gyre_engine *engine, const float *rows, gyre_error *err)
{
    (void)engine;
    (void)rows;
    return no_engine(err);
}

gyre_status gyre_engine_decode(gyre_engine *engine, const gyre_engine_chunk *chunk, gyre_error *err)
{
    (void)engine;
    (void)chunk;
    return no_engine(err);
}

gyre_status gyre_engine_self_test(gyre_engine *engine, const int32_t *tokens, size_t n_tokens, gyre_error *err)
{
    (void)engine;
    (void)tokens;
    (void)n_tokens;
    return no_engine(err);
}

void gyre_engine_on_abort(void (*last_words)(const char *message))
{
    (void)last_words;
}
