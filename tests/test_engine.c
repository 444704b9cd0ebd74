/* The engine against the graph itself, on small random llama and qwen2 models made here.
 *
 *   un-rotated captured keys = keys before RoPE in the graph         row error <= 1e-6 relative (binary32 capture)
 *   score_scale * q.k of the capture = the graph's own scores        1e-5 of the largest score
 *   keys with bias - bias = keys of the same model without bias      row error <= 1e-5 relative
 *   watching changes nothing; threads change nothing                 bit for bit
 *   what cannot be used is one clear error, and no file
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/h5.h"
#include "engine/capture.h"
#include "engine/capture_command.h"
#include "engine/child.h"
#include "engine/engine.h"
#include "tensors/capture.h"
#include "tests/tiny_gguf.h"
#include "transforms/transform.h"

enum { PATH = 256, TOKENS = 300, QUERIES = 8 };

typedef struct fixture {
    char folder[PATH], text[PATH], out[PATH];
} fixture;

static const tiny_model llama_model = {.architecture = "llama", .n_layers = 3, .n_heads = 4, .n_kv_heads = 2, .head_dim = 32, .n_context = 512,
    .adds_bos = true, .seed = 1};
static const tiny_model qwen2_model = {.architecture = "qwen2", .n_layers = 3, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .n_context = 512,
    .bias = 4, .seed = 2};

static void place(const fixture *f, const char *name, char path[PATH])
{
    assert_true(snprintf(path, PATH, "%.200s/%.50s", f->folder, name) < PATH);
}

static void write_bytes(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *base = getenv("TMPDIR");
    assert_true(snprintf(f->folder, sizeof f->folder, "%.100s/gyre-engine-XXXXXX", base != NULL ? base : "/tmp") < (int)sizeof f->folder);
    assert_non_null(mkdtemp(f->folder));
    place(f, "words.txt", f->text);
    place(f, "out.h5", f->out);
    char text[4 * TOKENS];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i % 7 == 6 ? ' ' : 'a' + (int)(i * i / 5 % 26));
    write_bytes(f->text, text, sizeof text);
    gyre_h5_quiet();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"words.txt", "short.txt", "latin.txt", "list.yaml", "out.h5", "again.h5", "model.gguf", "plain.gguf", "bad.gguf"};
    fixture *f = *state;
    char path[PATH];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        place(f, names[i], path);
        (void)unlink(path);
    }
    int left = rmdir(f->folder); /* fails where something half-written was left */
    free(f);
    return left;
}

/* ---- helpers ---- */

static void make_model(const fixture *f, const char *name, const tiny_model *model, char path[PATH])
{
    place(f, name, path);
    assert_true(tiny_gguf_write(path, model));
}

static gyre_capture_request request(const fixture *f, const char *model, gyre_capture_text *text)
{
    static char name[] = "words", licence[] = "CC0-1.0", source[] = "";
    *text = (gyre_capture_text){.path = (char *)(uintptr_t)f->text, .name = name, .licence = licence, .source = source};
    return (gyre_capture_request){.model_path = model, .model_name = "tiny", .output_path = f->out, .command_line = "test", .texts = text, .n_texts = 1,
                                  .layers = "all", .n_tokens = TOKENS, .n_queries = QUERIES, .threads = 2, .f32 = true};
}

static void must(gyre_status st, const gyre_error *err)
{
    if (st != GYRE_OK)
        fail_msg("%s: %s (%s:%d)", gyre_status_name(st), err->message, err->trail[0].file, err->trail[0].line);
}

/* Captures the text through `model` in binary32 and opens what came out. */
static gyre_capture *capture(const fixture *f, const char *model)
{
    gyre_error err = {0};
    gyre_capture_text text;
    gyre_capture_request r = request(f, model, &text);
    gyre_capture *c = NULL;
    must(gyre_capture_run(&r, NULL, &err), &err);
    must(gyre_capture_open(f->out, &c, &err), &err);
    return c;
}

/* What the graph said of one event, copied. */
typedef struct record {
    gyre_engine_event event;
    uint32_t layer;
    float *rows, *scores;
    size_t n_heads, dim, n_cells;
    unsigned calls;
} record;

static gyre_status keep(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    (void)err;
    record *r = user;
    if (rows->event != r->event || rows->layer != r->layer)
        return GYRE_OK;
    r->calls++;
    r->n_heads = rows->n_heads;
    r->dim = rows->dim;
    size_t n = rows->n_tokens * rows->n_heads * rows->dim;
    r->rows = calloc(n, sizeof *r->rows);
    assert_non_null(r->rows);
    memcpy(r->rows, rows->rows, n * sizeof *r->rows);
    if (rows->scores != NULL) {
        r->n_cells = rows->n_cells;
        n = rows->n_heads * rows->n_tokens * rows->n_cells;
        r->scores = calloc(n, sizeof *r->scores);
        assert_non_null(r->scores);
        memcpy(r->scores, rows->scores, n * sizeof *r->scores);
    }
    return GYRE_OK;
}

static record watch(const char *model, const int32_t *tokens, unsigned events, gyre_engine_event event, uint32_t layer)
{
    gyre_error err = {0};
    gyre_engine *e = NULL;
    record r = {.event = event, .layer = layer};
    must(gyre_engine_open(model, TOKENS, 2, &e, &err), &err);
    gyre_engine_set_hook(e, events, NULL, keep, &r);
    must(gyre_engine_decode(e, &(gyre_engine_chunk){.tokens = tokens, .n_tokens = TOKENS}, &err), &err);
    gyre_engine_close(e);
    assert_int_equal(r.calls, 1);
    return r;
}

/* Largest |a - b| / |b| over rows. */
static double row_error(const float *a, const float *b, size_t n_rows, size_t dim)
{
    double worst = 0;
    for (size_t r = 0; r < n_rows; r++) {
        double lost = 0, energy = 0;
        for (size_t i = r * dim; i < (r + 1) * dim; i++) {
            lost += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
            energy += (double)b[i] * b[i];
        }
        worst = fmax(worst, sqrt(lost / energy));
    }
    return worst;
}

/* Undoes RoPE on every head of a captured layer, in place. */
static void unrope(gyre_capture_layer *l, const int32_t *pos, size_t n_tokens)
{
    gyre_error err = {0};
    for (size_t h = 0; h < l->n_kv_heads; h++) {
        gyre_site site = {.dim = l->dim, .stream = GYRE_K, .layer = l->layer, .head = (uint32_t)h, .n_heads = (uint32_t)l->n_kv_heads,
                          .n_positions = n_tokens, .rope = &l->rope};
        gyre_option_values options = {0};
        gyre_transform *t = NULL;
        must(gyre_transform_new(gyre_transform_find("unrope"), &site, 0, &options, &t, &err), &err);
        void *scratch = aligned_alloc(64, (gyre_transform_scratch(t) + 64) / 64 * 64);
        assert_non_null(scratch);
        gyre_transform_forward(t, l->k + h * l->dim, n_tokens, l->n_kv_heads * l->dim, pos, scratch);
        free(scratch);
        gyre_transform_free(t);
    }
}

/* ---- proofs ---- */

static void check_unrope(const fixture *f, const tiny_model *model)
{
    char path[PATH];
    gyre_error err = {0};
    make_model(f, "model.gguf", model, path);
    gyre_capture *c = capture(f, path);
    const gyre_capture_data *info = gyre_capture_info(c);
    for (size_t i = 0; i < info->n_layers; i++) {
        gyre_capture_layer l;
        must(gyre_capture_read_layer(c, i, &l, &err), &err);
        record before = watch(path, info->token_id, GYRE_ENGINE_KEYS_BEFORE_ROPE, GYRE_ENGINE_KEYS_BEFORE_ROPE, l.layer);
        assert_int_equal(before.dim, l.dim);
        assert_int_equal(before.n_heads, l.n_kv_heads);
        assert_true(row_error(l.k, before.rows, TOKENS * l.n_kv_heads, l.dim) > 0.1); /* RoPE did something */
        unrope(&l, info->pos, TOKENS);
        double error = row_error(l.k, before.rows, TOKENS * l.n_kv_heads, l.dim);
        print_message("  %s layer %lu: un-rotated keys against the graph, worst row %.2e\n", model->architecture, (unsigned long)l.layer, error);
        assert_true(error <= 1e-6);
        free(before.rows);
        gyre_capture_layer_free(&l);
    }
    gyre_capture_close(c);
}

static void unrope_gives_the_keys_before_rope(void **state)
{
    check_unrope(*state, &llama_model);
    check_unrope(*state, &qwen2_model);
}

static void unrope_follows_rope_factors(void **state)
{
    tiny_model model = llama_model;
    model.rope_factors = true;
    check_unrope(*state, &model);
}

static void facts_are_those_of_the_model(void **state)
{
    const fixture *f = *state;
    char path[PATH];
    make_model(f, "model.gguf", &qwen2_model, path);
    gyre_capture *c = capture(f, path);
    const gyre_capture_data *info = gyre_capture_info(c);
    assert_string_equal(info->architecture, "qwen2");
    assert_string_equal(info->documents[0].name, "words");
    assert_string_equal(info->documents[0].licence, "CC0-1.0");
    assert_int_equal(info->n_layers, 3);
    assert_int_equal(info->token_id[0], 3 + 'a'); /* no BOS asked */
    assert_int_equal(info->query_pos[0], TOKENS - QUERIES);
    const gyre_capture_layer *l = &info->layers[1];
    assert_int_equal(l->n_q_heads, 4);
    assert_int_equal(l->n_kv_heads, 2);
    assert_int_equal(l->dim, 64);
    assert_int_equal(l->rope.kind, GYRE_ROPE_NEOX);
    assert_int_equal(l->rope.n_rot, 64);
    assert_true(l->rope.base == 10000.0f && l->rope.freq_scale == 1.0f && l->rope.ext_factor == 0.0f && l->rope.attn_factor == 1.0f);
    assert_true(l->score_scale == 0.125f);
    assert_int_equal(l->sliding_window, 0);
    for (uint32_t h = 0; h < 4; h++)
        assert_int_equal(l->kv_head_of[h], h / 2);
    gyre_capture_close(c);

    make_model(f, "model.gguf", &llama_model, path);
    c = capture(f, path);
    info = gyre_capture_info(c);
    assert_int_equal(info->token_id[0], 1); /* BOS */
    assert_int_equal(info->layers[0].rope.kind, GYRE_ROPE_NORMAL);
    assert_null(info->layers[0].k_bias);
    gyre_capture_close(c);
}

static void check_scores(const fixture *f, const tiny_model *model)
{
    char path[PATH];
    gyre_error err = {0};
    make_model(f, "model.gguf", model, path);
    gyre_capture *c = capture(f, path);
    const gyre_capture_data *info = gyre_capture_info(c);
    gyre_capture_layer l;
    must(gyre_capture_read_layer(c, 2, &l, &err), &err);
    record graph = watch(path, info->token_id, GYRE_ENGINE_QUERIES | GYRE_ENGINE_SCORES, GYRE_ENGINE_QUERIES, l.layer);
    double worst = 0, largest = 0;
    for (size_t h = 0; h < l.n_q_heads; h++)
        for (size_t i = 0; i < QUERIES; i++) {
            size_t at = (size_t)info->query_pos[i];
            const float *q = l.q + (i * l.n_q_heads + h) * l.dim;
            for (size_t t = 0; t <= at; t++) {
                const float *k = l.k + (t * l.n_kv_heads + l.kv_head_of[h]) * l.dim;
                double own = 0, theirs = graph.scores[(h * TOKENS + at) * graph.n_cells + t];
                for (size_t j = 0; j < l.dim; j++)
                    own += (double)q[j] * k[j];
                worst = fmax(worst, fabs(own - theirs));
                largest = fmax(largest, fabs(theirs));
            }
        }
    print_message("  %s: scores of the capture against the graph's, worst %.2e of the largest\n", model->architecture, worst / largest);
    assert_true(largest > 1 && worst <= 1e-5 * largest);
    free(graph.rows);
    free(graph.scores);
    gyre_capture_layer_free(&l);
    gyre_capture_close(c);
}

/* gemma3: five local layers with a window of 32 and their own RoPE base, then a global one; QK norm; queries scaled before the product. */
static void windows_and_bases_are_those_of_each_layer(void **state)
{
    static const tiny_model model = {.architecture = "gemma3", .n_layers = 6, .n_heads = 4, .n_kv_heads = 1, .head_dim = 32, .n_context = 512,
        .window = 32,
                                     .adds_bos = true, .seed = 3};
    const fixture *f = *state;
    char path[PATH];
    make_model(f, "model.gguf", &model, path);
    gyre_capture *c = capture(f, path);
    const gyre_capture_data *info = gyre_capture_info(c);
    assert_int_equal(info->n_layers, 6);
    for (size_t i = 0; i < 6; i++) {
        const gyre_capture_layer *l = &info->layers[i];
        assert_int_equal(l->sliding_window, i == 5 ? 0 : 32);
        assert_true(l->rope.base == (i == 5 ? 1e6f : 10000.0f));
        assert_int_equal(l->rope.kind, GYRE_ROPE_NEOX);
        assert_true(l->score_scale == 1.0f);
        assert_int_equal(l->n_kv_heads, 1);
        assert_null(l->k_bias);
    }
    gyre_capture_close(c);
    check_scores(f, &model);
}

static void queries_and_keys_give_the_graphs_scores(void **state)
{
    check_scores(*state, &llama_model);
    check_scores(*state, &qwen2_model);
}

/* In layer 0 the bias changes nothing but what it is added to, so the same model without it shows the bare projection. */
static void key_bias_is_what_the_model_adds(void **state)
{
    const fixture *f = *state;
    char path[PATH];
    gyre_error err = {0};
    tiny_model plain = qwen2_model;
    plain.bias = 0;
    gyre_capture_layer with, without;
    make_model(f, "model.gguf", &qwen2_model, path);
    gyre_capture *c = capture(f, path);
    must(gyre_capture_read_layer(c, 0, &with, &err), &err);
    make_model(f, "plain.gguf", &plain, path);
    gyre_capture *d = capture(f, path);
    must(gyre_capture_read_layer(d, 0, &without, &err), &err);
    assert_non_null(with.k_bias);
    unrope(&with, gyre_capture_info(c)->pos, TOKENS);
    unrope(&without, gyre_capture_info(d)->pos, TOKENS);
    size_t width = with.n_kv_heads * with.dim;
    double energy = 0;
    for (size_t i = 0; i < width; i++)
        energy += (double)with.k_bias[i] * with.k_bias[i] / (double)width;
    assert_true(sqrt(energy) > 3 && sqrt(energy) < 5); /* drawn with standard deviation 4 */
    for (size_t i = 0; i < TOKENS * width; i++)
        with.k[i] -= with.k_bias[i % width];
    double error = row_error(with.k, without.k, TOKENS * with.n_kv_heads, with.dim);
    print_message("  keys minus bias against the bias-free model, worst row %.2e\n", error);
    assert_true(error <= 1e-5);
    gyre_capture_layer_free(&with);
    gyre_capture_layer_free(&without);
    gyre_capture_close(c);
    gyre_capture_close(d);
}

static gyre_status look_on(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    (void)err;
    *(unsigned *)user |= (unsigned)rows->event;
    return GYRE_OK;
}

/* Where the logits of the last token go. */
typedef struct last_logits {
    size_t n;
    float *logits;
    unsigned calls;
} last_logits;

static gyre_status take_last(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    (void)err;
    last_logits *to = user;
    assert_int_equal(first, TOKENS - 1);
    assert_int_equal(count, 1);
    memcpy(to->logits, logits, to->n * sizeof *logits);
    to->calls++;
    return GYRE_OK;
}

static void watching_changes_nothing(void **state)
{
    const fixture *f = *state;
    char path[PATH];
    gyre_error err = {0};
    int32_t tokens[TOKENS];
    unsigned seen = 0, all = GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES | GYRE_ENGINE_QUERIES | GYRE_ENGINE_KEYS_BEFORE_ROPE
        | GYRE_ENGINE_QUERIES_AT_ROPE;
    gyre_engine *e = NULL;
    make_model(f, "model.gguf", &llama_model, path);
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = 3 + i * 37 % 256;
    must(gyre_engine_open(path, TOKENS, 1, &e, &err), &err);
    size_t n = gyre_engine_describe(e)->n_vocabulary;
    float *bare = calloc(n, sizeof *bare), *watched = calloc(n, sizeof *watched);
    assert_non_null(bare);
    assert_non_null(watched);
    last_logits last = {.n = n, .logits = bare};
    gyre_engine_chunk chunk = {.tokens = tokens, .n_tokens = TOKENS, .first_logit = TOKENS - 1, .end_logit = TOKENS, .take = take_last, .user = &last};
    must(gyre_engine_decode(e, &chunk, &err), &err);
    gyre_engine_set_hook(e, all | GYRE_ENGINE_SCORES, NULL, look_on, &seen);
    last.logits = watched;
    must(gyre_engine_decode(e, &chunk, &err), &err);
    assert_int_equal(seen, all);
    assert_int_equal(last.calls, 2);
    assert_memory_equal(bare, watched, n * sizeof *bare);
    gyre_engine_close(e);
    free(bare);
    free(watched);
}

static void threads_change_nothing(void **state)
{
    const fixture *f = *state;
    char path[PATH], hex[2][GYRE_SHA256_HEX];
    gyre_error err = {0};
    gyre_capture_text text;
    make_model(f, "model.gguf", &qwen2_model, path);
    for (unsigned threads = 1; threads <= 2; threads++) {
        gyre_capture_request r = request(f, path, &text);
        gyre_capture *c = NULL;
        r.threads = threads;
        r.f32 = false;
        must(gyre_capture_run(&r, NULL, &err), &err);
        must(gyre_capture_open(f->out, &c, &err), &err);
        must(gyre_capture_digest(c, hex[threads - 1], &err), &err);
        gyre_capture_close(c);
    }
    assert_string_equal(hex[0], hex[1]);
}

static gyre_status refuse(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)user;
    (void)rows;
    GYRE_FAIL(GYRE_E_NAN, "seen enough");
done:
    return st;
}

static void a_hooks_error_comes_back(void **state)
{
    const fixture *f = *state;
    char path[PATH];
    gyre_error err = {0};
    int32_t tokens[4] = {5, 6, 7, 8};
    gyre_engine *e = NULL;
    make_model(f, "model.gguf", &llama_model, path);
    must(gyre_engine_open(path, 4, 1, &e, &err), &err);
    gyre_engine_set_hook(e, GYRE_ENGINE_KEYS, NULL, refuse, NULL);
    gyre_engine_chunk chunk = {.tokens = tokens, .n_tokens = 4};
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_NAN);
    assert_string_equal(err.message, "seen enough");
    tokens[2] = 9999;
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_INPUT);
    gyre_engine_close(e);
}

/* ---- what cannot be used ---- */

static void expect(const gyre_capture_request *r, gyre_status wanted, const char *words)
{
    gyre_error err = {0};
    gyre_status st = gyre_capture_run(r, NULL, &err);
    if (st != wanted || strstr(err.message, words) == NULL)
        fail_msg("expected '%s' with '%s', got '%s': %s", gyre_status_name(wanted), words, gyre_status_name(st), err.message);
    assert_int_not_equal(access(r->output_path, F_OK), 0);
}

static void bad_models(void **state)
{
    const fixture *f = *state;
    char path[PATH], bad[PATH], *bytes = NULL;
    gyre_capture_text text;
    make_model(f, "model.gguf", &llama_model, path);
    place(f, "bad.gguf", bad);
    gyre_capture_request r = request(f, bad, &text);
    expect(&r, GYRE_E_IO, "no such file");
    r.model_path = f->text;
    expect(&r, GYRE_E_INPUT, "not a GGUF");
    r.model_path = f->folder;
    expect(&r, GYRE_E_INPUT, "not a GGUF");

    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    r.model_path = bad;
    write_bytes(bad, bytes, size / 2);
    expect(&r, GYRE_E_INPUT, "not within the file bounds");
    write_bytes(bad, bytes, 300);
    expect(&r, GYRE_E_INPUT, "cannot load");
    free(bytes);

    tiny_model model = llama_model;
    model.architecture = "gyroscope";
    make_model(f, "bad.gguf", &model, bad);
    expect(&r, GYRE_E_INPUT, "unknown model architecture: 'gyroscope'");
    model = llama_model;
    model.repeat_a_token = true;
    make_model(f, "bad.gguf", &model, bad);
    expect(&r, GYRE_E_INPUT, "libllama gave up");
    model = llama_model;
    model.no_tokenizer = true;
    make_model(f, "bad.gguf", &model, bad);
    expect(&r, GYRE_E_UNSUPPORTED, "no tokenizer");
    model = llama_model;
    model.architecture = "gemma2";
    model.window = 4096;
    make_model(f, "bad.gguf", &model, bad);
    expect(&r, GYRE_E_UNSUPPORTED, "before the softmax (soft-capping?)");
}

static void bad_requests(void **state)
{
    const fixture *f = *state;
    char path[PATH], other[PATH];
    gyre_capture_text texts[2];
    make_model(f, "model.gguf", &llama_model, path);
    gyre_capture_request good = request(f, path, texts), r = good;
    r.n_tokens = 513;
    expect(&r, GYRE_E_INPUT, "made for at most 512");
    place(f, "short.txt", other);
    write_bytes(other, "too short", 9); /* 8 letters, 3 bytes for the space, BOS */
    texts[0].path = other;
    r = good;
    expect(&r, GYRE_E_INPUT, "has 12 tokens, 300 were asked");
    place(f, "latin.txt", other);
    write_bytes(other, "caf\xE9", 4);
    expect(&r, GYRE_E_INPUT, "not UTF-8 at byte 3");
    place(f, "nothing.txt", other);
    expect(&r, GYRE_E_IO, "no such file");
    good = request(f, path, texts);
    texts[1] = texts[0];
    r = good;
    r.n_texts = 2;
    expect(&r, GYRE_E_USAGE, "two documents are named 'words'");
    r = good;
    r.layers = "0,3";
    expect(&r, GYRE_E_USAGE, "no layer 3");
    r.layers = "0,,1";
    expect(&r, GYRE_E_USAGE, "not a layer");
    r = good;
    r.n_queries = TOKENS + 1;
    expect(&r, GYRE_E_USAGE, "queries");
    place(f, "nowhere/out.h5", other);
    r = good;
    r.output_path = other;
    expect(&r, GYRE_E_IO, "cannot write into the folder");
}

/* ---- the command line ---- */

static gyre_status command(gyre_error *err, int argc, const char *const *words)
{
    char *argv[16] = {0};
    assert_true(argc < 16);
    for (int i = 0; i < argc; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    return gyre_capture_command(argc, argv, NULL, err);
}

static void the_command_captures_a_list(void **state)
{
    const fixture *f = *state;
    char path[PATH], list[PATH];
    gyre_error err = {0};
    gyre_capture *c = NULL;
    const char yaml[] = "- {file: words.txt, name: one, licence: CC0-1.0}\n- {file: words.txt, name: two}\n";
    make_model(f, "model.gguf", &llama_model, path);
    place(f, "list.yaml", list);
    write_bytes(list, yaml, sizeof yaml - 1);
    must(command(&err, 13, (const char *const[]){"capture", "--model", path, "--text", list, "-o", f->out, "--layers", "mid,last", "--tokens", "64",
         "--queries", "0"}), &err);
    must(gyre_capture_open(f->out, &c, &err), &err);
    const gyre_capture_data *info = gyre_capture_info(c);
    assert_int_equal(info->n_documents, 2);
    assert_string_equal(info->documents[1].name, "two");
    assert_string_equal(info->documents[1].licence, "unknown");
    assert_string_equal(info->model_name, "model");
    assert_int_equal(info->n_layers, 2);
    assert_int_equal(info->layers[0].layer, 1);
    assert_int_equal(info->n_queries, 0);
    assert_non_null(strstr(info->command_line, "gyre capture --model "));
    gyre_capture_close(c);
}

static void the_command_refuses(void **state)
{
    const fixture *f = *state;
    char list[PATH];
    gyre_error err = {0};
    assert_int_equal(command(&err, 1, (const char *const[]){"capture"}), GYRE_E_USAGE);
    assert_int_equal(command(&err, 3, (const char *const[]){"capture", "--tokens", "4.5"}), GYRE_E_USAGE);
    assert_non_null(strstr(err.message, "'4.5' is not an integer"));
    assert_int_equal(command(&err, 3, (const char *const[]){"capture", "--tokns", "4"}), GYRE_E_USAGE);
    assert_non_null(strstr(err.message, "did you mean --tokens"));
    assert_int_equal(command(&err, 2, (const char *const[]){"capture", "--model"}), GYRE_E_USAGE);
    assert_non_null(strstr(err.message, "needs a value"));
    place(f, "list.yaml", list);
    write_bytes(list, "- {fil: words.txt}\n", 19);
    assert_int_equal(command(&err, 7, (const char *const[]){"capture", "--model", "m", "--text", list, "-o", f->out}), GYRE_E_CONFIG);
    assert_non_null(strstr(err.message, "did you mean 'file'"));
    assert_int_equal(command(&err, 7, (const char *const[]){"capture", "--model", "no-such-model", "--text", f->text, "-o", f->out}), GYRE_E_IO);
    assert_non_null(strstr(err.message, "scripts/fetch-model"));
}

/* ---- children ---- */

static gyre_status wait_for_ever(void *user, gyre_error *err)
{
    (void)user;
    (void)err;
    while (pause() != 0)
        continue;
    return GYRE_OK;
}

/* The signal came before the child was there, so that no call of the parent is interrupted by it. */
static void a_stop_from_before_ends_the_child(void **state)
{
    (void)state;
    gyre_error err = {0};
    const volatile sig_atomic_t stop = 1;
    assert_int_equal(gyre_child_run(wait_for_ever, NULL, "waiting", &stop, &err), GYRE_E_INTERRUPTED);
    assert_non_null(strstr(err.message, "waiting"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unrope_gives_the_keys_before_rope, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unrope_follows_rope_factors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(facts_are_those_of_the_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queries_and_keys_give_the_graphs_scores, set_up, tear_down),
        cmocka_unit_test_setup_teardown(windows_and_bases_are_those_of_each_layer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(key_bias_is_what_the_model_adds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(watching_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hooks_error_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_models, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_command_captures_a_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_command_refuses, set_up, tear_down),
        cmocka_unit_test(a_stop_from_before_ends_the_child),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
