/* Writing into a model's cache, on small random llama, qwen2 and gemma3 models made here; and the oracle: llama.cpp's own quantized cache.
 *
 *   rows poisoned and then written back as they were, all at once, in pieces, or batches later   logits equal bit for bit
 *   batches of any size                                                                          logits of one batch, to float rounding
 *   values all the same: attention gives that, whatever the weights                              the position of a token does not matter, bit for bit
 *   keys zero, one layer: attention is a plain mean                                              the order of earlier tokens does not matter
 *   queries zero = keys zero: all scores are 0                                                   bit for bit
 *   rows rewritten at batch j                                                                    earlier logits bit for bit the same, later ones not
 *   our codec in a binary32 cache, no flash attention = llama.cpp's own q4_0 and q8_0 cache with flash attention, its built-in rotation off and on
 *
 * The oracle quantizes and rotates by itself: nothing of it is ours but the model's random weights. Its dot product of keys rounds queries through q8_0 (the
 * vector code of ggml's CPU backend), so ours are rounded the same way where they leave RoPE. Both sides then compute the same sums in another order, which
 * leaves 1e-7 of a logit; and where that moves a value across the middle between two codes, one code differs by one from there on. So what is asked is
 *
 *   one layer, 32 tokens (no such code there)       rms <= 1e-6 of the logits' own, every arm and architecture
 *   three layers of llama, q4_0, 32 tokens          rms <= 1e-6
 *   all layers, 96 tokens                           rms <= effect / 100 for q4_0, effect / 5 for q8_0, effect being what the quantized cache does to exact logits
 */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <sys/resource.h>
#include <unistd.h>

#include <ggml-cpu.h>
#include <ggml.h>
#include <llama.h>

#include "codec/codec.h"
#include "engine/engine.h"
#include "tests/tiny_gguf.h"

enum { PATH = 256, TOKENS = 96, LAYERS_MOST = 8, HEADS_MOST = 16, DIM_MOST = 128 };

typedef struct fixture {
    char folder[PATH], model[PATH];
    int32_t tokens[TOKENS];
} fixture;

static const tiny_model llama_model = {.architecture = "llama", .n_layers = 3, .n_heads = 4, .n_kv_heads = 2, .head_dim = 128, .n_context = 256, .seed = 1};
static const tiny_model qwen2_model = {.architecture = "qwen2", .n_layers = 3, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .n_context = 256, .bias = 1,
    .seed = 2};
static const tiny_model gemma3_model = {.architecture = "gemma3", .n_layers = 6, .n_heads = 2, .n_kv_heads = 1, .head_dim = 128, .n_context = 256, .window = 32,
    .seed = 3};
static const tiny_model *const models[] = {&llama_model, &qwen2_model, &gemma3_model};
enum { N_MODELS = sizeof models / sizeof *models };

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *base = getenv("TMPDIR");
    assert_true(snprintf(f->folder, sizeof f->folder, "%.100s/gyre-cache-XXXXXX", base != NULL ? base : "/tmp") < (int)sizeof f->folder);
    assert_non_null(mkdtemp(f->folder));
    assert_true(snprintf(f->model, sizeof f->model, "%.200s/model.gguf", f->folder) < (int)sizeof f->model);
    for (int i = 0; i < TOKENS; i++)
        f->tokens[i] = 3 + i * i * 37 / 5 % 256;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    (void)unlink(f->model);
    int left = rmdir(f->folder);
    free(f);
    return left;
}

static gyre_engine *open_engine(const fixture *f, const tiny_model *model)
{
    gyre_error err = {0};
    gyre_engine *e = NULL;
    assert_true(tiny_gguf_write(f->model, model));
    CHECK_OK(gyre_engine_open(f->model, TOKENS, 1, &e, &err), &err);
    return e;
}

/* ---- logits ---- */

typedef struct kept_logits {
    float *rows; /* [TOKENS][n] */
    size_t n;
    unsigned calls;
    size_t first[TOKENS], count[TOKENS]; /* of each call */
} kept_logits;

static gyre_status take_all(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    (void)err;
    kept_logits *to = user;
    assert_true(first + count <= TOKENS && to->calls < TOKENS);
    memcpy(to->rows + first * to->n, logits, count * to->n * sizeof *logits);
    to->first[to->calls] = first;
    to->count[to->calls++] = count;
    return GYRE_OK;
}

/* Logits of all tokens, through whatever hook is set. */
static float *decode(gyre_engine *e, const int32_t *tokens, size_t batch)
{
    gyre_error err = {0};
    kept_logits to = {.n = gyre_engine_describe(e)->n_vocabulary};
    to.rows = calloc(TOKENS * to.n, sizeof *to.rows);
    assert_non_null(to.rows);
    gyre_engine_chunk chunk = {.tokens = tokens, .n_tokens = TOKENS, .batch = batch, .end_logit = TOKENS, .take = take_all, .user = &to};
    CHECK_OK(gyre_engine_decode(e, &chunk, &err), &err);
    return to.rows;
}

/* Logits of a token. */
static size_t width_of(gyre_engine *e)
{
    return gyre_engine_describe(e)->n_vocabulary;
}

static bool same(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Root of the mean squared difference. */
static double rms(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum / (double)n);
}

/* Of the logits themselves. */
static double size_of(const float *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * a[i];
    return sqrt(sum / (double)n);
}

/* ---- hooks that write ---- */

typedef enum deed { AS_IS, IN_PIECES, OLD_ONES, ZERO_KEYS, ZERO_VALUES, EVEN_VALUES, KEYS_LATE, ZERO_QUERIES, SAME_QUERIES, FORGET } deed;

typedef struct writer {
    gyre_engine *engine;
    deed what;
    size_t from; /* FORGET: the batch that begins here loses tokens 0..15 */
    float *kept[LAYERS_MOST][2], *poison;
    size_t calls;
} writer;

static void put(const writer *w, const gyre_engine_rows *r, gyre_stream stream, size_t first, size_t n, const float *rows)
{
    gyre_error err = {0};
    CHECK_OK(gyre_engine_write(w->engine, stream, r->layer, first, n, rows, &err), &err);
}

static void write_pieces(const writer *w, const gyre_engine_rows *r, gyre_stream stream, size_t width)
{
    static const size_t pieces[] = {1, 5, 64, 17, 9};
    size_t done = 0;
    put(w, r, stream, r->first, r->n_tokens, w->poison);
    for (size_t i = 0; done < r->n_tokens; i++) {
        size_t left = r->n_tokens - done, n = pieces[i % 5] < left ? pieces[i % 5] : left;
        put(w, r, stream, r->first + done, n, r->rows + done * width);
        done += n;
    }
}

static gyre_status write_rows(void *user, const gyre_engine_rows *r, gyre_error *err)
{
    writer *w = user;
    gyre_stream stream = r->event == GYRE_ENGINE_KEYS ? GYRE_K : GYRE_V;
    size_t width = r->n_heads * r->dim, end = r->first + r->n_tokens;
    float **kept = &w->kept[r->layer][stream], zeros[HEADS_MOST * DIM_MOST] = {0};
    w->calls++;
    assert_true(r->layer < LAYERS_MOST && width <= HEADS_MOST * DIM_MOST);
    if (r->event == GYRE_ENGINE_QUERIES_AT_ROPE) {
        CHECK_OK(gyre_engine_write_queries(w->engine, w->what == ZERO_QUERIES ? w->poison : r->rows, err), err);
        return GYRE_OK;
    }
    if (*kept == NULL)
        *kept = calloc(TOKENS * width, sizeof **kept);
    assert_non_null(*kept);
    memcpy(*kept + r->first * width, r->rows, r->n_tokens * width * sizeof **kept);
    if (w->what == AS_IS)
        put(w, r, stream, r->first, r->n_tokens, r->rows);
    if (w->what == IN_PIECES)
        write_pieces(w, r, stream, width);
    if (w->what == OLD_ONES) {
        put(w, r, stream, 0, end, w->poison);
        put(w, r, stream, 0, end, *kept);
    }
    if (w->what == KEYS_LATE && stream == GYRE_K)
        put(w, r, stream, 0, end, w->poison);
    if (w->what == KEYS_LATE && stream == GYRE_V)
        put(w, r, GYRE_K, 0, end, w->kept[r->layer][GYRE_K]);
    for (size_t t = r->first; t < end; t++) {
        if (w->what == (stream == GYRE_K ? ZERO_KEYS : ZERO_VALUES))
            put(w, r, stream, t, 1, zeros);
        if (w->what == EVEN_VALUES && stream == GYRE_V)
            put(w, r, stream, t, 1, *kept); /* all values are the first token's */
    }
    for (size_t t = 0; w->what == FORGET && r->first == w->from && t < 16; t++)
        put(w, r, stream, t, 1, zeros);
    return GYRE_OK;
}

/* Logits where the hook writes. NaN is the poison: whatever of it is left shows. */
static float *decode_writing(gyre_engine *e, const int32_t *tokens, size_t batch, deed what)
{
    writer w = {.engine = e, .what = what, .from = 2 * batch};
    size_t most = (size_t)TOKENS * HEADS_MOST * DIM_MOST;
    w.poison = malloc(most * sizeof *w.poison);
    assert_non_null(w.poison);
    for (size_t i = 0; i < most; i++)
        w.poison[i] = what == ZERO_QUERIES ? 0.0f : NAN;
    bool queries = what == ZERO_QUERIES || what == SAME_QUERIES;
    gyre_engine_set_hook(e, queries ? GYRE_ENGINE_QUERIES_AT_ROPE : GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES, NULL, write_rows, &w);
    float *logits = decode(e, tokens, batch);
    gyre_engine_set_hook(e, 0, NULL, NULL, NULL);
    assert_true(w.calls >= gyre_engine_describe(e)->n_layers * (queries ? 1u : 2u));
    for (size_t i = 0; i < LAYERS_MOST; i++) {
        free(w.kept[i][0]);
        free(w.kept[i][1]);
    }
    free(w.poison);
    return logits;
}

static void expect_same(gyre_engine *e, const fixture *f, size_t batch, deed what, const float *bare)
{
    float *written = decode_writing(e, f->tokens, batch, what);
    assert_true(same(bare, written, TOKENS * width_of(e)));
    free(written);
}

static void rows_written_back_change_nothing(void **state)
{
    static const size_t batches[] = {0, 40, 7, 1};
    static const deed deeds[] = {OLD_ONES, AS_IS, IN_PIECES, KEYS_LATE, SAME_QUERIES};
    const fixture *f = *state;
    for (size_t m = 0; m < N_MODELS; m++) {
        gyre_engine *e = open_engine(f, models[m]);
        float *whole = decode(e, f->tokens, 0);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            float *bare = decode(e, f->tokens, batches[b]);
            double off = rms(whole, bare, TOKENS * width_of(e)) / size_of(whole, TOKENS * width_of(e));
            print_message("  %s, batches of %zu: logits against one batch, rms %.1e of theirs\n", models[m]->architecture, batches[b], off);
            assert_true(off <= 1e-5);
            for (size_t i = 0; i < (batches[b] == 1 ? 1 : sizeof deeds / sizeof *deeds); i++) /* one by one is slow */
                expect_same(e, f, batches[b], deeds[i], bare);
            free(bare);
        }
        free(whole);
        gyre_engine_close(e);
    }
}

static void even_values_make_positions_equal(void **state)
{
    const fixture *f = *state;
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = 3 + i % 8;
    for (size_t m = 0; m < N_MODELS; m++) {
        gyre_engine *e = open_engine(f, models[m]);
        size_t n = width_of(e);
        float *bare = decode(e, tokens, 0), *zero = decode_writing(e, tokens, 0, ZERO_VALUES), *even = decode_writing(e, tokens, 0, EVEN_VALUES);
        for (size_t t = 8; t < TOKENS; t++)
            assert_true(same(zero + t % 8 * n, zero + t * n, n));
        double worst = 0, moved = 0, size = size_of(even, TOKENS * n);
        for (size_t t = 8; t < TOKENS; t++) {
            worst = fmax(worst, rms(even + t % 8 * n, even + t * n, n) / size);
            moved = fmax(moved, rms(bare + t % 8 * n, bare + t * n, n) / size);
        }
        print_message("  %s: the same token elsewhere, rms %.1e with even values, up to %.1e with its own\n", models[m]->architecture, worst, moved);
        assert_true(worst <= 1e-5 && moved > 0.01);
        assert_true(rms(zero, even, TOKENS * n) > 0.01); /* the even values arrive */
        free(bare);
        free(zero);
        free(even);
        gyre_engine_close(e);
    }
}

static void zero_keys_make_order_equal(void **state)
{
    const fixture *f = *state;
    tiny_model model = llama_model;
    int32_t turned[TOKENS];
    model.n_layers = 1;
    for (int i = 0; i < TOKENS; i++)
        turned[i] = f->tokens[i == TOKENS - 1 ? i : TOKENS - 2 - i];
    gyre_engine *e = open_engine(f, &model);
    size_t n = width_of(e), last = (TOKENS - 1) * n;
    float *bare = decode(e, f->tokens, 0), *bare_turned = decode(e, turned, 0);
    float *zero = decode_writing(e, f->tokens, 0, ZERO_KEYS), *zero_turned = decode_writing(e, turned, 0, ZERO_KEYS);
    assert_true(rms(zero + last, zero_turned + last, n) <= 1e-6);
    assert_true(rms(bare + last, bare_turned + last, n) > 0.01);
    assert_true(rms(bare + last, zero + last, n) > 0.01);
    float *queries = decode_writing(e, f->tokens, 0, ZERO_QUERIES);
    assert_true(same(zero, queries, TOKENS * n));
    free(bare);
    free(bare_turned);
    free(zero);
    free(zero_turned);
    free(queries);
    gyre_engine_close(e);
}

static void rewriting_shows_from_then_on(void **state)
{
    enum { BATCH = 16 };
    const fixture *f = *state;
    for (size_t m = 0; m < N_MODELS; m++) {
        gyre_engine *e = open_engine(f, models[m]);
        size_t n = width_of(e);
        float *bare = decode(e, f->tokens, BATCH), *forgetful = decode_writing(e, f->tokens, BATCH, FORGET);
        assert_true(same(bare, forgetful, 2 * BATCH * n));
        for (size_t t = 2 * BATCH; t < 3 * BATCH - 1; t++) /* token 47 of gemma3's windowed layers no longer sees token 15 */
            assert_true(rms(bare + t * n, forgetful + t * n, n) > 1e-3);
        free(bare);
        free(forgetful);
        gyre_engine_close(e);
    }
}

/* ---- what is refused ---- */

static gyre_status take_one(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    (void)logits;
    ++*(unsigned *)user;
    if (first + count > 20)
        GYRE_FAIL(GYRE_E_NAN, "enough at %zu", first);
done:
    return st;
}

static void logits_come_batch_after_batch(void **state)
{
    const fixture *f = *state;
    gyre_error err = {0};
    gyre_engine *e = open_engine(f, &qwen2_model);
    size_t n = width_of(e);
    kept_logits to = {.n = n, .rows = calloc(TOKENS * n, sizeof *to.rows)};
    assert_non_null(to.rows);
    gyre_engine_chunk chunk = {.tokens = f->tokens, .n_tokens = 45, .batch = 10, .first_logit = 15, .end_logit = 35, .take = take_all, .user = &to};
    CHECK_OK(gyre_engine_decode(e, &chunk, &err), &err);
    assert_int_equal(to.calls, 3);
    assert_true(to.first[0] == 15 && to.first[1] == 20 && to.first[2] == 30);
    assert_true(to.count[0] == 5 && to.count[1] == 10 && to.count[2] == 5);
    float *all = decode(e, f->tokens, 10);
    assert_true(rms(all + 15 * n, to.rows + 15 * n, 20 * n) <= 1e-5);

    unsigned calls = 0;
    chunk.take = take_one;
    chunk.user = &calls;
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_NAN);
    assert_string_equal(err.message, "enough at 20");
    assert_int_equal(calls, 2);

    chunk.end_logit = 46;
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_INTERNAL);
    chunk.end_logit = 35;
    chunk.take = NULL;
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_INTERNAL);
    chunk.first_logit = 35;
    CHECK_OK(gyre_engine_decode(e, &chunk, &err), &err); /* none wanted */
    chunk.n_tokens = TOKENS + 1;
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_INTERNAL);
    free(all);
    free(to.rows);
    gyre_engine_close(e);
}

/* Tries every write that its event does not allow; each must say so and change nothing. */
static gyre_status trespass(void *user, const gyre_engine_rows *r, gyre_error *err)
{
    gyre_engine *e = user;
    size_t end = r->first + r->n_tokens;
    bool cache = r->event == GYRE_ENGINE_KEYS || r->event == GYRE_ENGINE_VALUES;
    gyre_stream own = r->event == GYRE_ENGINE_KEYS ? GYRE_K : GYRE_V;
    float zeros[HEADS_MOST * DIM_MOST] = {0};
    assert_int_equal(gyre_engine_write(e, own, r->layer + 1, 0, 1, zeros, err), GYRE_E_INTERNAL);
    assert_int_equal(gyre_engine_write(e, own, r->layer, end, 1, zeros, err), GYRE_E_INTERNAL);
    assert_int_equal(gyre_engine_write(e, own, r->layer, end + 1, 0, zeros, err), GYRE_E_INTERNAL);
    assert_int_equal(gyre_engine_write(e, own, r->layer, 1, SIZE_MAX, zeros, err), GYRE_E_INTERNAL);
    if (r->event != GYRE_ENGINE_VALUES)
        assert_int_equal(gyre_engine_write(e, GYRE_V, r->layer, 0, 1, zeros, err), GYRE_E_INTERNAL);
    if (!cache)
        assert_int_equal(gyre_engine_write(e, GYRE_K, r->layer, 0, 1, zeros, err), GYRE_E_INTERNAL);
    if (r->event != GYRE_ENGINE_QUERIES_AT_ROPE)
        assert_int_equal(gyre_engine_write_queries(e, zeros, err), GYRE_E_INTERNAL);
    return GYRE_OK;
}

static gyre_status fail_later(void *user, const gyre_engine_rows *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    ++*(unsigned *)user;
    if (r->first > 0)
        GYRE_FAIL(GYRE_E_RANGE, "layer %lu at %zu", (unsigned long)r->layer, r->first);
done:
    return st;
}

static void writing_has_its_place(void **state)
{
    const fixture *f = *state;
    gyre_error err = {0};
    gyre_engine *e = open_engine(f, &llama_model);
    float zeros[HEADS_MOST * DIM_MOST] = {0}, *bare = decode(e, f->tokens, 40);
    gyre_engine_set_hook(e, 63, NULL, trespass, e);
    float *watched = decode(e, f->tokens, 40);
    assert_true(same(bare, watched, TOKENS * width_of(e)));
    assert_int_equal(gyre_engine_write(e, GYRE_K, 2, 0, 1, zeros, &err), GYRE_E_INTERNAL);
    assert_int_equal(gyre_engine_write_queries(e, zeros, &err), GYRE_E_INTERNAL);

    unsigned calls = 0;
    gyre_engine_set_hook(e, GYRE_ENGINE_VALUES, NULL, fail_later, &calls);
    gyre_engine_chunk chunk = {.tokens = f->tokens, .n_tokens = TOKENS, .batch = 40};
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_RANGE);
    assert_string_equal(err.message, "layer 0 at 40");
    assert_int_equal(calls, llama_model.n_layers + 1);
    free(bare);
    free(watched);
    gyre_engine_close(e);
}

static void self_test_knows_its_models(void **state)
{
    const fixture *f = *state;
    gyre_error err = {0};
    for (size_t m = 0; m < N_MODELS; m++) {
        gyre_engine *e = open_engine(f, models[m]);
        unsigned calls = 0;
        gyre_engine_set_hook(e, GYRE_ENGINE_KEYS, NULL, fail_later, &calls);
        CHECK_OK(gyre_engine_self_test(e, f->tokens, TOKENS, &err), &err);
        CHECK_OK(gyre_engine_self_test(e, f->tokens, 2, &err), &err);
        assert_int_equal(calls, 0);
        free(decode(e, f->tokens, 40));
        assert_int_equal(calls, 0); /* the hook is gone */
        gyre_engine_close(e);
    }
    tiny_model model = llama_model;
    model.architecture = "deci";
    gyre_engine *e = open_engine(f, &model);
    CHECK_OK(gyre_engine_self_test(e, f->tokens, TOKENS, &err), &err);
    gyre_engine_close(e);
    model.cacheless = 2;
    e = open_engine(f, &model);
    assert_int_equal(gyre_engine_self_test(e, f->tokens, TOKENS, &err), GYRE_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "deci: its graph writes 4 cache blocks for 3 layers"));
    gyre_engine_close(e);
}

static gyre_status look_on(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    (void)err;
    *(unsigned *)user |= 1u << rows->layer;
    return GYRE_OK;
}

/* Layers 3, 7, ... of SmolLM3 have no RoPE. */
static void queries_without_rope_are_refused(void **state)
{
    const fixture *f = *state;
    gyre_error err = {0};
    tiny_model model = llama_model;
    bool wanted[] = {true, true, true, false};
    unsigned seen = 0;
    model.architecture = "smollm3";
    model.n_layers = 4;
    gyre_engine *e = open_engine(f, &model);
    CHECK_OK(gyre_engine_self_test(e, f->tokens, TOKENS, &err), &err);
    gyre_engine_chunk chunk = {.tokens = f->tokens, .n_tokens = TOKENS};
    gyre_engine_set_hook(e, GYRE_ENGINE_QUERIES_AT_ROPE, wanted, look_on, &seen);
    CHECK_OK(gyre_engine_decode(e, &chunk, &err), &err);
    assert_int_equal(seen, 7);
    gyre_engine_set_hook(e, GYRE_ENGINE_QUERIES_AT_ROPE, NULL, look_on, &seen);
    assert_int_equal(gyre_engine_decode(e, &chunk, &err), GYRE_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "smollm3: layer 3 has no queries that leave a RoPE node"));
    gyre_engine_close(e);
}

/* 2^21 tokens of 3 layers, 2 KV heads of 128: 12 GiB, where 4 GiB more than now may be mapped. The sanitizers map more than that themselves. */
static void a_cache_beyond_memory_is_one_error(void **state)
{
    const fixture *f = *state;
    gyre_error err = {0};
    gyre_engine *e = NULL;
    tiny_model model = llama_model;
    struct rlimit old, limit;
    model.n_context = 1u << 21;
    assert_true(tiny_gguf_write(f->model, &model));
    assert_int_equal(gyre_engine_open(f->model, model.n_context + 1, 2, &e, &err), GYRE_E_INPUT);
    assert_non_null(strstr(err.message, "made for at most 2097152: ask for a smaller context"));
#ifdef GYRE_SANITIZED
    return;
#endif
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)4 << 30;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    gyre_status st = gyre_engine_open(f->model, model.n_context, 2, &e, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    print_message("  %s\n", err.message);
    assert_int_equal(st, GYRE_E_MEMORY);
    assert_null(e);
    assert_non_null(strstr(err.message, "its cache takes about 12288 MiB"));
    assert_non_null(strstr(err.message, "ask for a smaller context"));
}

/* ---- the oracle ---- */

typedef struct arm {
    const char *quantizer;
    enum ggml_type type;
    bool rotated;
} arm;

/* Largest 64 * 2^k that divides d: the block of llama.cpp's rotation of keys; that of values is 64. */
static size_t key_block(size_t d)
{
    size_t block = 64;
    while (d % (2 * block) == 0)
        block *= 2;
    return block;
}

static gyre_codec *make_codec(const arm *a, gyre_stream stream, size_t n_heads, size_t dim)
{
    gyre_error err = {0};
    gyre_codec *codec = NULL;
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find(a->quantizer)};
    gyre_site sites[HEADS_MOST] = {{0}};
    (void)gyre_options_defaults(gyre_codec_table, &spec.own);
    (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    spec.own.order = GYRE_ORDER_NATIVE;
    if (a->rotated) {
        const gyre_transform_type *bdr = gyre_transform_find("bdr");
        gyre_option_values values = {0};
        char block[16];
        (void)snprintf(block, sizeof block, "%zu", stream == GYRE_K ? key_block(dim) : 64);
        assert_true(gyre_option_parse(gyre_option_find(bdr->options, "block"), &values, block, NULL));
        CHECK_OK(gyre_chain_add(&spec.chain, bdr, &values, &err), &err);
    }
    for (size_t h = 0; h < n_heads; h++)
        sites[h] = (gyre_site){.dim = dim, .stream = stream, .head = (uint32_t)h, .n_heads = (uint32_t)n_heads, .n_positions = TOKENS};
    gyre_codec_stream from = {&spec, sites};
    CHECK_OK(gyre_codec_new(&from, 1, n_heads, &codec, &err), &err);
    return codec;
}

/* rows[token][head][dim] to bytes and back, in place. */
static void code_rows(const gyre_codec *codec, float *rows, size_t n, size_t n_heads, size_t dim, size_t first)
{
    gyre_error err = {0};
    float *blocks = malloc(n * n_heads * dim * sizeof *blocks), *x[HEADS_MOST];
    uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, n) + 1);
    void *scratch = NULL;
    int32_t pos[TOKENS];
    size_t size;
    assert_int_equal(posix_memalign(&scratch, 64, gyre_codec_scratch(codec, n) + 64), 0);
    assert_true(blocks != NULL && bytes != NULL);
    for (size_t t = 0; t < n; t++)
        pos[t] = (int32_t)(first + t);
    for (size_t h = 0; h < n_heads; h++) {
        x[h] = blocks + h * n * dim;
        for (size_t t = 0; t < n; t++)
            memcpy(x[h] + t * dim, rows + (t * n_heads + h) * dim, dim * sizeof *rows);
    }
    CHECK_OK(gyre_codec_encode(codec, (const float *const *)x, n, pos, bytes, &size, scratch, &err), &err);
    CHECK_OK(gyre_codec_decode(codec, bytes, size, n, pos, x, scratch, &err), &err);
    for (size_t h = 0; h < n_heads; h++)
        for (size_t t = 0; t < n; t++)
            memcpy(rows + (t * n_heads + h) * dim, x[h] + t * dim, dim * sizeof *rows);
    free(blocks);
    free(bytes);
    free(scratch);
}

/* In place: y = H x / sqrt(block) on blocks, from the definition. */
static void rotate(float *x, size_t dim, size_t block)
{
    double y[DIM_MOST];
    for (size_t i = 0; i < dim; i++) {
        y[i] = 0;
        for (size_t j = 0; j < block; j++)
            y[i] += (__builtin_popcountll(i % block & j) % 2 == 0 ? 1.0 : -1.0) * x[i / block * block + j];
    }
    for (size_t i = 0; i < dim; i++)
        x[i] = (float)(y[i] / sqrt((double)block));
}

/* Queries as ggml's dot product with quantized keys reads them: `scale` is what the graph multiplies them by after RoPE and before that. */
static void round_query(float *q, size_t dim, bool rotated, float scale)
{
    uint8_t bytes[DIM_MOST / 32 * 34];
    for (size_t i = 0; i < dim; i++)
        q[i] *= scale;
    if (rotated)
        rotate(q, dim, key_block(dim));
    ggml_get_type_traits_cpu(GGML_TYPE_Q8_0)->from_float(q, bytes, (int64_t)dim);
    ggml_get_type_traits(GGML_TYPE_Q8_0)->to_float(bytes, q, (int64_t)dim);
    if (rotated)
        rotate(q, dim, key_block(dim));
    for (size_t i = 0; i < dim; i++)
        q[i] /= scale;
}

typedef struct coding {
    gyre_engine *engine;
    const arm *arm;
    gyre_codec *codecs[2];
    float query_scale;
} coding;

static gyre_status code_event(void *user, const gyre_engine_rows *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    coding *c = user;
    size_t count = r->n_tokens * r->n_heads * r->dim;
    float *rows = NULL;
    GYRE_NEW(&rows, count);
    memcpy(rows, r->rows, count * sizeof *rows);
    if (r->event == GYRE_ENGINE_QUERIES_AT_ROPE) {
        for (size_t i = 0; i < r->n_tokens * r->n_heads; i++)
            round_query(rows + i * r->dim, r->dim, c->arm->rotated, c->query_scale);
        GYRE_TRY(gyre_engine_write_queries(c->engine, rows, err));
    } else {
        gyre_stream stream = r->event == GYRE_ENGINE_KEYS ? GYRE_K : GYRE_V;
        if (c->codecs[stream] == NULL)
            c->codecs[stream] = make_codec(c->arm, stream, r->n_heads, r->dim);
        code_rows(c->codecs[stream], rows, r->n_tokens, r->n_heads, r->dim, r->first);
        GYRE_TRY(gyre_engine_write(c->engine, stream, r->layer, r->first, r->n_tokens, rows, err));
    }
done:
    free(rows);
    return st;
}

/* Logits with our codec in the cache; queries as they are, or rounded. */
static float *decode_coded(gyre_engine *e, const fixture *f, const tiny_model *model, const arm *a, size_t batch, bool round_queries)
{
    bool gemma = strcmp(model->architecture, "gemma3") == 0; /* scales queries by 1/sqrt(d) before the scores, the others after */
    coding c = {.engine = e, .arm = a, .query_scale = gemma ? 1.0f / sqrtf((float)model->head_dim) : 1.0f};
    unsigned events = GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES | (round_queries ? (unsigned)GYRE_ENGINE_QUERIES_AT_ROPE : 0u);
    gyre_engine_set_hook(e, events, NULL, code_event, &c);
    float *logits = decode(e, f->tokens, batch);
    gyre_engine_set_hook(e, 0, NULL, NULL, NULL);
    gyre_codec_free(c.codecs[0]);
    gyre_codec_free(c.codecs[1]);
    return logits;
}

static void no_log(enum ggml_log_level level, const char *text, void *user)
{
    (void)level;
    (void)text;
    (void)user;
}

/* The same tokens through llama.cpp's own cache of this type; no code of the engine runs here. */
static float *decode_native(const fixture *f, const arm *a, size_t batch)
{
    llama_log_set(no_log, NULL);
    struct llama_model_params mp = llama_model_default_params();
    mp.use_extra_bufts = false;
    struct llama_model *model = llama_model_load_from_file(f->model, mp);
    assert_non_null(model);
    size_t n = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = TOKENS;
    p.n_ubatch = (uint32_t)(batch == 0 ? TOKENS : batch);
    p.n_seq_max = 1;
    p.n_threads = p.n_threads_batch = 1;
    p.type_k = p.type_v = a->type;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    p.swa_full = true;
    assert_int_equal(setenv("LLAMA_ATTN_ROT_DISABLE", a->rotated ? "0" : "1", 1), 0);
    struct llama_context *context = llama_init_from_model(model, p);
    assert_int_equal(unsetenv("LLAMA_ATTN_ROT_DISABLE"), 0);
    assert_non_null(context);
    struct llama_batch b = llama_batch_init(TOKENS, 0, 1);
    b.n_tokens = TOKENS;
    for (int32_t i = 0; i < TOKENS; i++) {
        b.token[i] = f->tokens[i];
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    assert_int_equal(llama_decode(context, b), 0);
    float *logits = malloc(TOKENS * n * sizeof *logits);
    assert_non_null(logits);
    memcpy(logits, llama_get_logits(context), TOKENS * n * sizeof *logits);
    llama_batch_free(b);
    llama_free(context);
    llama_model_free(model);
    return logits;
}

static const arm arms[] = {{"q4_0", GGML_TYPE_Q4_0, false}, {"q4_0", GGML_TYPE_Q4_0, true}, {"q8_0", GGML_TYPE_Q8_0, false}, {"q8_0", GGML_TYPE_Q8_0, true}};
enum { N_ARMS = sizeof arms / sizeof *arms, BEFORE_FLIPS = 32 };

typedef struct difference {
    double begin, all; /* ours - native, of the first BEFORE_FLIPS tokens and of all */
    double plain;      /* the same, all, when queries stay as they are */
    double effect;     /* native - exact */
    double size;       /* of the exact logits */
} difference;

static difference compare(gyre_engine *e, const fixture *f, const tiny_model *model, const arm *a, size_t batch)
{
    size_t n = width_of(e), count = TOKENS * n;
    float *exact = decode(e, f->tokens, batch), *native = decode_native(f, a, batch);
    float *ours = decode_coded(e, f, model, a, batch, true), *plain = decode_coded(e, f, model, a, batch, false);
    difference d = {.begin = rms(ours, native, BEFORE_FLIPS * n), .all = rms(ours, native, count), .plain = rms(plain, native, count),
                    .effect = rms(native, exact, count), .size = size_of(exact, count)};
    print_message("  %s, %lu layers, %s, rotation %s, batch %zu: effect %.1e, ours - native %.1e (%d tokens), %.1e (all); queries not rounded %.1e; logits %.1f\n",
                  model->architecture, (unsigned long)model->n_layers, a->quantizer, a->rotated ? "on" : "off", batch, d.effect, d.begin, BEFORE_FLIPS, d.all,
                  d.plain, d.size);
    free(exact);
    free(native);
    free(ours);
    free(plain);
    return d;
}

static void one_layer_of_our_codec_is_the_native_cache(void **state)
{
    const fixture *f = *state;
    for (size_t m = 0; m < N_MODELS; m++) {
        tiny_model model = *models[m];
        model.n_layers = 1;
        gyre_engine *e = open_engine(f, &model);
        for (size_t i = 0; i < N_ARMS; i++) {
            difference d = compare(e, f, &model, &arms[i], 0);
            assert_true(d.begin <= 1e-6 * d.size);
            assert_true(d.effect > 5e-3 && d.plain > 2e-3);
        }
        gyre_engine_close(e);
    }
}

static void our_codec_is_the_native_cache(void **state)
{
    const fixture *f = *state;
    for (size_t m = 0; m < N_MODELS; m++) {
        gyre_engine *e = open_engine(f, models[m]);
        for (size_t i = 0; i < N_ARMS; i++) {
            bool coarse = arms[i].type == GGML_TYPE_Q4_0;
            difference d = compare(e, f, models[m], &arms[i], i % 2 == 0 ? 0 : 32);
            assert_true(d.effect > (coarse ? 0.1 : 0.01));
            assert_true(d.all <= d.effect / (coarse ? 100 : 5));
            assert_true(d.plain > 5 * d.all);
            if (models[m] == &llama_model && coarse)
                assert_true(d.begin <= 1e-6);
        }
        gyre_engine_close(e);
    }
}

/* A trained model of 30 layers: logits are equal to float rounding until a code flips, which here is after the first tokens; from there on the two caches differ as two draws of the rounding noise. */
static void a_real_model_is_equal_until_a_code_flips(void **state)
{
    static const struct { size_t arm, tokens; } equal[] = {{1, 2}, {2, 4}};
    gyre_error err = {0};
    gyre_engine *e = NULL;
    fixture *f = *state;
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char own[PATH];
    memcpy(own, f->model, sizeof own);
    if (cache != NULL && cache[0] != '\0')
        (void)snprintf(f->model, sizeof f->model, "%.150s/gyre/models/smollm2-135m.gguf", cache);
    else
        (void)snprintf(f->model, sizeof f->model, "%.150s/.cache/gyre/models/smollm2-135m.gguf", home != NULL ? home : "");
    if (access(f->model, R_OK) != 0) {
        print_message("  left out: %s is not there (scripts/fetch-model smollm2-135m)\n", f->model);
        memcpy(f->model, own, sizeof own);
        return;
    }
    char text[2048];
    FILE *t = fopen(GYRE_SOURCE_DIR "/data/texts/bierce-devils-dictionary.txt", "rb");
    assert_non_null(t);
    size_t size = fread(text, 1, sizeof text, t), n_tokens = 0;
    (void)fclose(t);
    int32_t *tokens = NULL;
    CHECK_OK(gyre_engine_open(f->model, TOKENS, 1, &e, &err), &err);
    CHECK_OK(gyre_engine_tokenize(e, text, size, &tokens, &n_tokens, &err), &err);
    assert_true(n_tokens >= TOKENS);
    memcpy(f->tokens, tokens, sizeof f->tokens);
    free(tokens);
    size_t n = width_of(e);
    float *exact = decode(e, f->tokens, 0);
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
        const arm *a = &arms[equal[i].arm];
        float *native = decode_native(f, a, 0), *ours = decode_coded(e, f, &llama_model, a, 0, true);
        size_t same_tokens = 0;
        while (same_tokens < TOKENS && rms(ours + same_tokens * n, native + same_tokens * n, n) <= 1e-6 * size_of(exact + same_tokens * n, n))
            same_tokens++;
        double effect = rms(native, exact, equal[i].tokens * n);
        print_message("  SmolLM2, %s, rotation %s: equal to 1e-6 for %zu tokens; effect there %.1e, behind them %.1e, ours - native behind them %.1e\n", a->quantizer, a->rotated ? "on" : "off", same_tokens,
                      effect, rms(native + TOKENS / 2 * n, exact + TOKENS / 2 * n, TOKENS / 2 * n), rms(ours + TOKENS / 2 * n, native + TOKENS / 2 * n, TOKENS / 2 * n));
        assert_true(same_tokens >= equal[i].tokens);
        assert_true(effect > 1e-2);
        free(native);
        free(ours);
    }
    free(exact);
    gyre_engine_close(e);
    memcpy(f->model, own, sizeof own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_written_back_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(even_values_make_positions_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zero_keys_make_order_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rewriting_shows_from_then_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(logits_come_batch_after_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writing_has_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(self_test_knows_its_models, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queries_without_rope_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cache_beyond_memory_is_one_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_layer_of_our_codec_is_the_native_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(our_codec_is_the_native_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_real_model_is_equal_until_a_code_flips, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("native_cache", tests, NULL, NULL);
}
