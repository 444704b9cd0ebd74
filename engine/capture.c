#define _POSIX_C_SOURCE 200809L
#include "engine/capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sha256.h"
#include "engine/child.h"
#include "engine/engine.h"
#include "engine/model_file.h"
#include "tensors/capture.h"

enum { WHAT_TEXT = 512 };

/* The capture under way: the request, what is being filled, and where the model stands. */
typedef struct session {
    const gyre_capture_request *request;
    gyre_log *log;
    gyre_engine *engine;
    gyre_capture_data data;
    gyre_capture_document *documents;
    char (*digests)[GYRE_SHA256_HEX];
    int32_t *pos, *token_id, *query_pos;
    bool *wanted;          /* [n_layers of the model] */
    size_t *slot;          /* [n_layers of the model]: index in data.layers */
    size_t document;       /* the one being decoded */
    char model_sha256[GYRE_SHA256_HEX];
} session;

/* ---- texts ---- */

/* Reads and tokenizes text `index`; its first n_tokens tokens go to the session. */
static gyre_status take_text(session *s, size_t index, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_capture_text *from = &s->request->texts[index];
    const gyre_engine_info *info = gyre_engine_describe(s->engine);
    char *text = NULL;
    int32_t *tokens = NULL;
    size_t size = 0, n = 0, wanted = s->request->n_tokens;
    GYRE_TRY(gyre_text_read(from->path, &text, &size, s->digests[index], err));
    GYRE_TRY(gyre_engine_tokenize(s->engine, text, size, &tokens, &n, err));
    if (n < wanted)
        GYRE_FAIL(GYRE_E_INPUT, "the text %s has %zu tokens, %zu were asked: use a longer text or a smaller --tokens", from->path, n, wanted);
    if (info->adds_bos)
        tokens[0] = info->bos;
    memcpy(s->token_id + index * wanted, tokens, wanted * sizeof *tokens);
    for (size_t i = 0; i < wanted; i++)
        s->pos[index * wanted + i] = (int32_t)i;
    for (size_t i = 0; i < s->request->n_queries; i++)
        s->query_pos[index * s->request->n_queries + i] = (int32_t)(wanted - s->request->n_queries + i);
    s->documents[index] = (gyre_capture_document){from->name, s->digests[index], from->licence, from->source};
done:
    free(text);
    free(tokens);
    return st;
}

static gyre_status take_texts(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = s->request->n_texts;
    GYRE_NEW(&s->documents, n);
    GYRE_NEW(&s->digests, n);
    GYRE_NEW(&s->token_id, n * s->request->n_tokens);
    GYRE_NEW(&s->pos, n * s->request->n_tokens);
    GYRE_NEW(&s->query_pos, n * s->request->n_queries);
    for (size_t i = 0; i < n; i++)
        GYRE_TRY(take_text(s, i, err));
done:
    return st;
}

/* ---- layers ---- */

/* One word of the list: a number, mid, or last. */
static gyre_status layer_number(const char *word, size_t length, uint32_t n_layers, uint32_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (length == 3 && strncmp(word, "mid", 3) == 0) {
        *out = n_layers / 2;
    } else if (length == 4 && strncmp(word, "last", 4) == 0) {
        *out = n_layers - 1;
    } else {
        *out = 0;
        if (length == 0 || length > 5 || strspn(word, "0123456789") < length)
            GYRE_FAIL(GYRE_E_USAGE, "--layers: '%.*s' is not a layer: give numbers, mid, last, or the word all", (int)length, word);
        for (size_t i = 0; i < length; i++)
            *out = *out * 10 + (uint32_t)(word[i] - '0');
        if (*out >= n_layers)
            GYRE_FAIL(GYRE_E_USAGE, "--layers: there is no layer %lu: the model has layers 0 to %lu", (unsigned long)*out, (unsigned long)n_layers - 1);
    }
done:
    return st;
}

static gyre_status choose_layers(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t n_layers = gyre_engine_describe(s->engine)->n_layers;
    const char *word = s->request->layers;
    bool all = strcmp(word, "all") == 0;
    GYRE_NEW(&s->wanted, n_layers);
    GYRE_NEW(&s->slot, n_layers);
    while (!all) {
        size_t length = strcspn(word, ",");
        uint32_t layer;
        GYRE_TRY(layer_number(word, length, n_layers, &layer, err));
        s->wanted[layer] = true;
        if (word[length] == '\0')
            break;
        word += length + 1;
    }
    GYRE_NEW(&s->data.layers, n_layers);
    for (uint32_t i = 0; i < n_layers; i++)
        if (all || s->wanted[i]) {
            s->wanted[i] = true;
            s->slot[i] = s->data.n_layers;
            s->data.layers[s->data.n_layers++].layer = i;
        }
done:
    return st;
}

/* ---- rows ---- */

static gyre_status take_facts(const gyre_engine_rows *rows, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    l->n_kv_heads = rows->n_heads;
    l->dim = rows->dim;
    l->rope = *rows->rope;
    if (rows->bias != NULL) {
        GYRE_NEW(&l->k_bias, rows->n_heads * rows->dim);
        memcpy(l->k_bias, rows->bias, rows->n_heads * rows->dim * sizeof(float));
    }
done:
    return st;
}

/* Copies the last `keep` tokens' rows to this document's place in *block, which is made at the first document. */
static gyre_status keep_rows(const session *s, const gyre_engine_rows *rows, size_t keep, float **block, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t width = rows->n_heads * rows->dim;
    if (*block == NULL)
        GYRE_NEW(block, s->request->n_texts * keep * width);
    memcpy(*block + s->document * keep * width, rows->rows + (rows->n_tokens - keep) * width, keep * width * sizeof(float));
done:
    return st;
}

static gyre_status take_queries(session *s, const gyre_engine_rows *rows, gyre_capture_layer *l, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (l->kv_head_of == NULL) {
        l->n_q_heads = rows->n_heads;
        l->score_scale = rows->score_scale;
        l->sliding_window = rows->sliding_window;
        GYRE_NEW(&l->kv_head_of, rows->n_heads);
        for (size_t h = 0; h < rows->n_heads; h++)
            l->kv_head_of[h] = (uint32_t)(h / (rows->n_heads / rows->n_kv_heads));
    }
    if (rows->dim != l->dim)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "layer %lu: queries have %zu coordinates, keys %zu", (unsigned long)l->layer, rows->dim, l->dim);
    if (s->request->n_queries > 0)
        GYRE_TRY(keep_rows(s, rows, s->request->n_queries, &l->q, err));
done:
    return st;
}

static gyre_status on_rows(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    session *s = user;
    gyre_capture_layer *l = &s->data.layers[s->slot[rows->layer]];
    if (rows->event == GYRE_ENGINE_KEYS) {
        if (l->dim == 0)
            GYRE_TRY(take_facts(rows, l, err));
        GYRE_TRY(keep_rows(s, rows, s->request->n_tokens, &l->k, err));
    } else if (rows->event == GYRE_ENGINE_VALUES) {
        if (rows->dim != l->dim || rows->n_heads != l->n_kv_heads)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "layer %lu: values are %zu x %zu, keys %zu x %zu", (unsigned long)l->layer, rows->n_heads, rows->dim,
                      l->n_kv_heads, l->dim);
        GYRE_TRY(keep_rows(s, rows, s->request->n_tokens, &l->v, err));
    } else if (rows->event == GYRE_ENGINE_QUERIES) {
        GYRE_TRY(take_queries(s, rows, l, err));
    }
done:
    return st;
}

static gyre_status decode_all(session *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = s->request->n_tokens;
    gyre_engine_set_hook(s->engine, GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES | GYRE_ENGINE_QUERIES, s->wanted, on_rows, s);
    for (s->document = 0; s->document < s->request->n_texts; s->document++) {
        gyre_log_progress(s->log, "documents", s->document, s->request->n_texts);
        GYRE_TRY(gyre_engine_decode(s->engine, &(gyre_engine_chunk){.tokens = s->token_id + s->document * n, .n_tokens = n}, err));
    }
    gyre_log_progress(s->log, "documents", s->document, s->request->n_texts);
    for (size_t i = 0; i < s->data.n_layers; i++)
        if (s->data.layers[i].kv_head_of == NULL || s->data.layers[i].v == NULL)
            GYRE_FAIL(GYRE_E_UNSUPPORTED, "layer %lu: its attention could not be found in the graph", (unsigned long)s->data.layers[i].layer);
done:
    return st;
}

/* ---- the whole ---- */

static void describe(session *s)
{
    const gyre_engine_info *info = gyre_engine_describe(s->engine);
    const gyre_capture_request *r = s->request;
    s->data.model_name = r->model_name;
    s->data.architecture = info->architecture;
    s->data.model_sha256 = s->model_sha256;
    s->data.model_file_type = info->file_type;
    s->data.model_licence = r->model_licence != NULL ? r->model_licence : info->licence[0] != '\0' ? info->licence : "unknown";
    s->data.engine_version = info->version;
    s->data.engine_flags = info->flags;
    s->data.command_line = r->command_line;
    s->data.tokenizer_note = info->adds_bos ? "token 0 of every document is BOS, as the model asks" : "no BOS: the model asks for none";
    s->data.n_documents = r->n_texts;
    s->data.n_tokens = r->n_tokens;
    s->data.n_queries = r->n_queries;
    s->data.documents = s->documents;
    s->data.pos = s->pos;
    s->data.token_id = s->token_id;
    s->data.query_pos = s->query_pos;
}

static void clean(session *s)
{
    for (size_t i = 0; i < s->data.n_layers; i++) {
        gyre_capture_layer_free(&s->data.layers[i]);
        free(s->data.layers[i].k_bias);
        free(s->data.layers[i].kv_head_of);
    }
    free(s->data.layers);
    free(s->documents);
    free(s->digests);
    free(s->pos);
    free(s->token_id);
    free(s->query_pos);
    free(s->wanted);
    free(s->slot);
    gyre_engine_close(s->engine);
}

static gyre_status work(void *user, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    session *s = user;
    gyre_engine_on_abort(gyre_child_last_words);
    GYRE_TRY(gyre_engine_open(s->request->model_path, s->request->n_tokens, s->request->threads, &s->engine, err));
    GYRE_TRY(choose_layers(s, err));
    GYRE_TRY(take_texts(s, err));
    GYRE_TRY(gyre_model_digest(s->request->model_path, s->model_sha256, err));
    GYRE_TRY(decode_all(s, err));
    describe(s);
    GYRE_TRY(gyre_capture_write(s->request->output_path, &s->data, s->request->f32, err));
done:
    clean(s);
    return st;
}

static gyre_status check_request(const gyre_capture_request *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (r->n_texts == 0)
        GYRE_FAIL(GYRE_E_USAGE, "no text given");
    if (r->n_tokens < 2 || r->n_queries > r->n_tokens)
        GYRE_FAIL(GYRE_E_USAGE, "%zu tokens and %zu queries: at least 2 tokens, and not more queries than tokens", r->n_tokens, r->n_queries);
    for (size_t i = 0; i < r->n_texts; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(r->texts[i].name, r->texts[j].name) == 0)
                GYRE_FAIL(GYRE_E_USAGE, "two documents are named '%s' (%s and %s): give them names in a list", r->texts[i].name, r->texts[j].path,
                          r->texts[i].path);
done:
    return st;
}

/* Said before the model runs for minutes: the folder of the output must be there and take files. */
static gyre_status check_output(const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *folder = NULL;
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    GYRE_NEW(&folder, length + 2);
    memcpy(folder, length > 0 ? path : ".", length > 0 ? length : 1);
    if (access(folder, W_OK | X_OK) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write into the folder of %s: %s", path, strerror(errno));
done:
    free(folder);
    return st;
}

gyre_status gyre_capture_run(const gyre_capture_request *request, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    session s = {.request = request, .log = log};
    char what[WHAT_TEXT];
    GYRE_TRY(check_request(request, err));
    GYRE_TRY(check_output(request->output_path, err));
    (void)snprintf(what, sizeof what, "capturing from %s", request->model_path);
    GYRE_TRY(gyre_child_run(work, &s, what, NULL, err));
done:
    return st;
}
