/* The coded cache of a model against a plain loop that writes the whole cache anew before every batch, on small random llama and qwen2 models made here.
 *
 *   cache of the loop: row s of stream x is decode(encode(.)) where S <= s and f - s >= W (W = 0: every row), f the batch's first token; else as the model wrote it
 *   no window, any window with batches of 1, of W, of a part of W; sinks; layers left alone; keys or values alone; groups over tokens; K and V together   logits bit for bit
 *   rows written to the cache: below no sink, none too early, none left out, one by one each once
 *   bits per value = (8 bytes packed + 16 * values left exact) / values, means over layers and streams, by hand
 *   [unrope, centre by bias] and a lossless quantizer = the exact run to rounding, in both orders of coordinates; the error falls with the bits
 *   queries rounded behind the keys' chain = the same done here head by head
 */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <unistd.h>

#include "experiments/coded_cache.h"
#include "tests/tiny_gguf.h"

enum { PATH = 256, TOKENS = 96, LAYERS = 3, HEADS = 2, GROUP = 2, DIM = 64, VALUES = HEADS * DIM, WIDTH = 259 };

static const tiny_model llama_model = {.architecture = "llama", .n_layers = LAYERS, .n_heads = HEADS * GROUP, .n_kv_heads = HEADS, .head_dim = DIM, .n_context = 256, .seed = 1};
static const tiny_model qwen2_model = {.architecture = "qwen2", .n_layers = LAYERS, .n_heads = HEADS * GROUP, .n_kv_heads = HEADS, .head_dim = DIM, .n_context = 256, .bias = 4, .seed = 2};

/* What RoPE and bias of a layer are; read from the engine. */
typedef struct facts {
    gyre_rope rope;
    float bias[VALUES];
    bool has_bias;
} facts;

typedef struct fixture {
    char folder[PATH], model[PATH];
    int32_t tokens[TOKENS];
    gyre_engine *engine;
    size_t width;
    facts facts[LAYERS];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *base = getenv("TMPDIR");
    assert_true(snprintf(f->folder, sizeof f->folder, "%.100s/gyre-coded-XXXXXX", base != NULL ? base : "/tmp") < (int)sizeof f->folder);
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
    gyre_engine_close(f->engine);
    (void)unlink(f->model);
    int left = rmdir(f->folder);
    free(f);
    return left;
}

static gyre_status read_facts(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    fixture *f = user;
    (void)err;
    f->facts[rows->layer].rope = *rows->rope;
    f->facts[rows->layer].has_bias = rows->bias != NULL;
    if (rows->bias != NULL)
        memcpy(f->facts[rows->layer].bias, rows->bias, sizeof f->facts[0].bias);
    return GYRE_OK;
}

static gyre_status take_all(void *user, size_t first, size_t count, const float *logits, gyre_error *err)
{
    float **next = user;
    size_t n = count * WIDTH;
    (void)err;
    (void)first;
    memcpy(*next, logits, n * sizeof *logits);
    *next += n;
    return GYRE_OK;
}

/* Logits of the first n tokens through whatever hook is set. */
static float *decode(const fixture *f, size_t n, size_t batch)
{
    gyre_error err = {0};
    float *all = calloc(TOKENS * f->width, sizeof *all), *next = all;
    assert_non_null(all);
    gyre_engine_chunk chunk = {.tokens = f->tokens, .n_tokens = n, .batch = batch, .end_logit = n, .take = take_all, .user = &next};
    CHECK_OK(gyre_engine_decode(f->engine, &chunk, &err), &err);
    assert_true((size_t)(next - all) == n * f->width);
    return all;
}

static void open_model(fixture *f, const tiny_model *model)
{
    gyre_error err = {0};
    gyre_engine_close(f->engine);
    f->engine = NULL;
    assert_true(tiny_gguf_write(f->model, model));
    CHECK_OK(gyre_engine_open(f->model, TOKENS, 1, &f->engine, &err), &err);
    f->width = gyre_engine_describe(f->engine)->n_vocabulary;
    assert_int_equal(f->width, WIDTH);
    gyre_engine_set_hook(f->engine, GYRE_ENGINE_KEYS, NULL, read_facts, f);
    free(decode(f, 8, 0));
    gyre_engine_set_hook(f->engine, 0, NULL, NULL, NULL);
}

static double rms(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / (double)n);
}

static double size_of(const float *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)a[i];
    return sqrt(sum / (double)n);
}

/* ---- arms ---- */

/* An arm of this test. "" codes nothing. */
typedef struct arm {
    const char *quantizer[2], *bits;
    size_t window[2], sink[2];
    const char *chain[4]; /* of keys; values take what they can: hadamard */
    int order;
    bool joint, exact_layer[LAYERS];
} arm;

static void add(gyre_chain_spec *chain, const char *name)
{
    gyre_error err = {0};
    gyre_option_values values = {0};
    const gyre_transform_type *type = gyre_transform_find(name);
    assert_non_null(type);
    if (type->options != NULL)
        (void)gyre_options_defaults(type->options, &values);
    if (strcmp(name, "centre") == 0)
        assert_true(gyre_option_parse(gyre_option_find(type->options, "by"), &values, "bias", NULL));
    CHECK_OK(gyre_chain_add(chain, type, &values, &err), &err);
}

static gyre_codec_spec spec_of(const arm *a, gyre_stream stream, const char *quantizer)
{
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find(quantizer)};
    assert_non_null(spec.quantizer);
    (void)gyre_options_defaults(gyre_codec_table, &spec.own);
    if (spec.quantizer->options != NULL)
        (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    if (a->bits != NULL && spec.quantizer->options != NULL && gyre_option_find(spec.quantizer->options, "bits") != NULL)
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "bits"), &spec.options, a->bits, NULL));
    if (strcmp(quantizer, "kivi") == 0)
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "group"), &spec.options, "16", NULL));
    spec.own.order = a->order;
    spec.own.window = (int64_t)a->window[stream];
    spec.own.sink = (int64_t)a->sink[stream];
    for (size_t i = 0; i < 4 && a->chain[i] != NULL; i++)
        if (stream == GYRE_K || strcmp(a->chain[i], "hadamard") == 0 || strcmp(a->chain[i], "signs") == 0)
            add(&spec.chain, a->chain[i]);
    return spec;
}

/* The codec of streams first..first+n-1 of a layer. */
static gyre_codec *codec_of(const fixture *f, const arm *a, uint32_t layer, gyre_stream first, size_t n, const char *quantizer)
{
    gyre_error err = {0};
    gyre_codec *codec = NULL;
    gyre_codec_spec specs[2];
    gyre_site sites[2][HEADS];
    gyre_codec_stream streams[2];
    for (size_t s = 0; s < n; s++) {
        gyre_stream stream = (gyre_stream)((size_t)first + s);
        specs[s] = spec_of(a, stream, quantizer);
        streams[s] = (gyre_codec_stream){&specs[s], sites[s]};
        for (size_t h = 0; h < HEADS; h++)
            sites[s][h] = (gyre_site){.dim = DIM, .stream = stream, .layer = layer, .head = (uint32_t)h, .n_heads = HEADS, .n_positions = TOKENS, .rope = stream == GYRE_K ? &f->facts[layer].rope : NULL,
                                      .bias = stream == GYRE_K && f->facts[layer].has_bias ? f->facts[layer].bias + h * DIM : NULL};
    }
    CHECK_OK(gyre_codec_new(streams, n, HEADS, &codec, &err), &err);
    return codec;
}

static bool codes(const arm *a, uint32_t layer, gyre_stream stream)
{
    return a->quantizer[stream] != NULL && !a->exact_layer[layer];
}

/* What the coded cache is given. */
static void make_layers(const fixture *f, const arm *a, gyre_coded_layer layers[LAYERS])
{
    memset(layers, 0, LAYERS * sizeof *layers);
    for (uint32_t l = 0; l < LAYERS; l++) {
        gyre_cell_codecs *c = &layers[l].codecs;
        for (size_t s = 0; s < 2; s++) {
            if (!codes(a, l, (gyre_stream)s) || (a->joint && s == 1))
                continue;
            c->group[c->n] = (gyre_codec_group){a->joint ? 2 : 1, {(gyre_stream)s, GYRE_V}};
            c->codec[c->n++] = codec_of(f, a, l, (gyre_stream)s, a->joint ? 2 : 1, a->quantizer[s]);
        }
    }
}

static void free_layers(gyre_coded_layer layers[LAYERS])
{
    for (size_t l = 0; l < LAYERS; l++) {
        for (size_t g = 0; g < layers[l].codecs.n; g++)
            gyre_codec_free(layers[l].codecs.codec[g]);
        gyre_codec_free(layers[l].queries);
    }
}

/* ---- what the coded cache writes ---- */

/* Writes since the last clear, row by row. */
typedef struct writes {
    bool watching;
    size_t count[2][LAYERS][TOKENS];
} writes;

static writes seen; /* the linker's wrapper has no pointer of ours */

gyre_status __real_gyre_engine_write(gyre_engine *e, gyre_stream stream, uint32_t layer, size_t first, size_t n, const float *rows, gyre_error *err);
gyre_status __wrap_gyre_engine_write(gyre_engine *e, gyre_stream stream, uint32_t layer, size_t first, size_t n, const float *rows, gyre_error *err);

gyre_status __wrap_gyre_engine_write(gyre_engine *e, gyre_stream stream, uint32_t layer, size_t first, size_t n, const float *rows, gyre_error *err)
{
    for (size_t i = first; seen.watching && i < first + n; i++)
        seen.count[stream][layer][i]++;
    return __real_gyre_engine_write(e, stream, layer, first, n, rows, err);
}

/* Logits of n tokens through the coded cache, in batches of `batch` (SIZE_MAX: its own). */
static float *coded(const fixture *f, const gyre_coded_layer *layers, size_t n, size_t batch, gyre_coded_bits *bits)
{
    gyre_error err = {0};
    gyre_coded_cache *cache = NULL;
    CHECK_OK(gyre_coded_cache_new(f->engine, layers, LAYERS, TOKENS, &cache, &err), &err);
    gyre_coded_cache_begin(cache);
    memset(&seen, 0, sizeof seen);
    seen.watching = true;
    float *logits = decode(f, n, batch == SIZE_MAX ? gyre_coded_cache_batch(cache) : batch);
    seen.watching = false;
    if (bits != NULL)
        *bits = gyre_coded_cache_bits(cache);
    gyre_engine_set_hook(f->engine, 0, NULL, NULL, NULL);
    gyre_coded_cache_free(cache);
    return logits;
}

/* ---- the plain loop ---- */

typedef struct loop {
    const fixture *f;
    const arm *a;
    gyre_codec *codec[LAYERS][2];
    float rows[LAYERS][2][TOKENS * VALUES]; /* [token][head][dim] as the model wrote them */
    size_t packed[LAYERS][2], exact[LAYERS][2]; /* after the last batch: bytes, rows */
} loop;

static bool is_coded(const arm *a, gyre_stream stream, size_t s, size_t first)
{
    if (s < a->sink[stream])
        return false;
    return a->window[stream] == 0 || (s <= first && first - s >= a->window[stream]);
}

/* Rows of `n` streams from `stream` on, one head after the other, all that are coded at once; cache[stream] has exact rows and gets decoded ones. */
static void code_by_hand(loop *x, uint32_t layer, gyre_stream stream, size_t n, size_t first, size_t end, float cache[2][TOKENS * VALUES])
{
    gyre_error err = {0};
    const gyre_codec *codec = x->codec[layer][stream];
    size_t from = 0, count = 0, size = 0;
    for (size_t s = 0; s < end; s++)
        if (is_coded(x->a, stream, s, first)) {
            from = count == 0 ? s : from;
            count++;
        }
    x->packed[layer][stream] = 0;
    x->exact[layer][stream] = end - count;
    if (count == 0)
        return;
    float *blocks = malloc(2 * HEADS * count * DIM * sizeof *blocks);
    float *heads[2 * HEADS];
    int32_t pos[TOKENS];
    uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, count) + 1);
    void *scratch = NULL;
    assert_int_equal(posix_memalign(&scratch, 64, gyre_codec_scratch(codec, count) + 64), 0);
    assert_true(blocks != NULL && bytes != NULL);
    for (size_t i = 0; i < count; i++)
        pos[i] = (int32_t)(from + i);
    for (size_t i = 0; i < n * HEADS; i++) {
        heads[i] = blocks + i * count * DIM;
        for (size_t t = 0; t < count; t++)
            memcpy(heads[i] + t * DIM, cache[(size_t)stream + i / HEADS] + ((from + t) * HEADS + i % HEADS) * DIM, DIM * sizeof *blocks);
    }
    CHECK_OK(gyre_codec_encode(codec, (const float *const *)heads, count, pos, bytes, &size, scratch, &err), &err);
    CHECK_OK(gyre_codec_decode(codec, bytes, size, count, pos, heads, scratch, &err), &err);
    for (size_t i = 0; i < n * HEADS; i++)
        for (size_t t = 0; t < count; t++)
            memcpy(cache[(size_t)stream + i / HEADS] + ((from + t) * HEADS + i % HEADS) * DIM, heads[i] + t * DIM, DIM * sizeof *blocks);
    x->packed[layer][stream] = size;
    free(blocks);
    free(bytes);
    free(scratch);
}

/* At the values of a layer, which come after its keys: the whole cache, keys and values, from the definition. */
static gyre_status write_whole_cache(void *user, const gyre_engine_rows *r, gyre_error *err)
{
    loop *x = user;
    gyre_stream own = r->event == GYRE_ENGINE_KEYS ? GYRE_K : GYRE_V;
    static float cache[2][TOKENS * VALUES];
    size_t end = r->first + r->n_tokens;
    assert_true(r->n_heads == HEADS && r->dim == DIM);
    memcpy(x->rows[r->layer][own] + r->first * VALUES, r->rows, r->n_tokens * VALUES * sizeof(float));
    if (own == GYRE_K)
        return GYRE_OK;
    memcpy(cache, x->rows[r->layer], sizeof cache);
    if (x->a->joint && codes(x->a, r->layer, GYRE_K))
        code_by_hand(x, r->layer, GYRE_K, 2, r->first, end, cache);
    for (size_t s = 0; s < 2 && !x->a->joint; s++)
        if (codes(x->a, r->layer, (gyre_stream)s))
            code_by_hand(x, r->layer, (gyre_stream)s, 1, r->first, end, cache);
    for (size_t s = 0; s < 2; s++)
        CHECK_OK(gyre_engine_write(x->f->engine, (gyre_stream)s, r->layer, 0, end, cache[s], err), err);
    return GYRE_OK;
}

/* Logits of n tokens by the loop, and the bits by hand. */
static float *by_hand(const fixture *f, const arm *a, size_t n, size_t batch, double *payload)
{
    loop *x = calloc(1, sizeof *x);
    double sum = 0, parts = 0;
    assert_non_null(x);
    x->f = f;
    x->a = a;
    for (uint32_t l = 0; l < LAYERS; l++)
        for (size_t s = 0; s < 2; s++)
            if (codes(a, l, (gyre_stream)s) && !(a->joint && s == 1))
                x->codec[l][s] = codec_of(f, a, l, (gyre_stream)s, a->joint ? 2 : 1, a->quantizer[s]);
    gyre_engine_set_hook(f->engine, GYRE_ENGINE_KEYS | GYRE_ENGINE_VALUES, NULL, write_whole_cache, x);
    float *logits = decode(f, n, batch);
    gyre_engine_set_hook(f->engine, 0, NULL, NULL, NULL);
    for (uint32_t l = 0; l < LAYERS; l++)
        for (size_t s = 0; s < 2; s++) {
            if (a->quantizer[s] == NULL)
                continue; /* a stream that no layer codes is not counted */
            size_t group = a->joint ? 0 : s, wide = a->joint ? 2 : 1;
            parts += 1;
            sum += codes(a, l, (gyre_stream)s) ? (8.0 * (double)x->packed[l][group] / (double)wide + 16.0 * (double)(x->exact[l][group] * VALUES)) / (double)(n * VALUES) : 16.0;
            gyre_codec_free(a->joint && s == 1 ? NULL : x->codec[l][s]);
        }
    *payload = sum / parts;
    free(x);
    return logits;
}

/* ---- the tests ---- */

static const arm arms[] = {
    {.quantizer = {"sym", "sym"}, .bits = "4", .chain = {"hadamard"}},
    {.quantizer = {"sym", NULL}, .bits = "3"},
    {.quantizer = {NULL, "asym"}, .bits = "3"},
    {.quantizer = {"sym", "sym"}, .bits = "2", .sink = {4, 4}},
    {.quantizer = {"sym", "sym"}, .bits = "2", .sink = {TOKENS + 5, 3}},
    {.quantizer = {"sym", "sym"}, .bits = "3", .window = {16, 16}, .chain = {"unrope", "hadamard"}},
    {.quantizer = {"sym", "sym"}, .bits = "3", .window = {16, 16}, .sink = {4, 4}},
    {.quantizer = {"sym", "sym"}, .bits = "2", .window = {13, 32}, .sink = {0, 7}},
    {.quantizer = {"sym", "sym"}, .bits = "2", .window = {0, 20}},
    {.quantizer = {"sym", "sym"}, .bits = "2", .window = {1, 1}},
    {.quantizer = {"sym", "sym"}, .bits = "2", .window = {TOKENS, TOKENS}},
    {.quantizer = {"kivi", "kivi"}, .bits = "2"},
    {.quantizer = {"kivi", "kivi"}, .bits = "2", .window = {20, 20}, .sink = {3, 3}},
    {.quantizer = {"kivi", "sym"}, .bits = "2", .window = {11, 11}},
    {.quantizer = {"packkv", "packkv"}, .joint = true},
    {.quantizer = {"packkv", "packkv"}, .joint = true, .window = {24, 24}, .sink = {5, 5}},
    {.quantizer = {"sym", "sym"}, .bits = "2", .exact_layer = {true, false, true}},
    {.quantizer = {"kivi", "kivi"}, .bits = "2", .window = {16, 16}, .exact_layer = {false, true, false}},
};
enum { N_ARMS = sizeof arms / sizeof *arms };

/* Rows that the chunk should have coded at its end, and how often each was written. */
static void check_writes(const arm *a, const gyre_coded_layer *layers, size_t n, size_t batch, size_t which)
{
    for (uint32_t l = 0; l < LAYERS; l++)
        for (size_t s = 0; s < 2; s++)
            for (size_t t = 0; t < n; t++) {
                size_t last = (n - 1) / batch * batch, times = seen.count[s][l][t];
                bool wanted = codes(a, l, (gyre_stream)s) && is_coded(a, (gyre_stream)s, t, last);
                if ((times > 0) != wanted || (times > 1 && gyre_codec_token_local(layers[l].codecs.codec[layers[l].codecs.n == 2 ? s : 0])))
                    fail_msg("arm %zu, batches of %zu: layer %u, stream %zu, row %zu was written %zu times", which, batch, l, s, t, times);
            }
}

static void the_cache_is_that_of_a_plain_loop(void **state)
{
    fixture *f = *state;
    const tiny_model *const models[] = {&llama_model, &qwen2_model};
    for (size_t m = 0; m < 2; m++) {
        open_model(f, models[m]);
        float *exact = decode(f, TOKENS, 0);
        for (size_t i = 0; i < N_ARMS; i++) {
            gyre_coded_layer layers[LAYERS];
            const arm *a = &arms[i];
            size_t own = 0;
            make_layers(f, a, layers);
            for (int s = 0; s < 2; s++)
                if (a->quantizer[s] != NULL && a->window[s] > 0 && (own == 0 || a->window[s] < own))
                    own = a->window[s];
            const size_t batches[] = {own == 0 || own > TOKENS ? TOKENS : own, 1, own > 3 ? own / 2 : 3};
            for (size_t b = 0; b < (m == 0 ? 3 : 1); b++) {
                gyre_coded_bits bits;
                double payload;
                float *got = coded(f, layers, TOKENS, b == 0 ? SIZE_MAX : batches[b], &bits);
                check_writes(a, layers, TOKENS, batches[b], i);
                float *wanted = by_hand(f, a, TOKENS, batches[b], &payload);
                if (memcmp(got, wanted, TOKENS * f->width * sizeof *got) != 0)
                    fail_msg("arm %zu, batches of %zu: logits are %.3g off those of the plain loop", i, batches[b], rms(got, wanted, TOKENS * f->width));
                CHECK_CLOSE(bits.payload, payload, 1e-12, 0);
                double effect = rms(got, exact, TOKENS * f->width) / size_of(exact, TOKENS * f->width);
                if ((effect > 1e-4) != (a->window[0] < TOKENS)) /* it does something */
                    fail_msg("arm %zu, batches of %zu: changes logits by %.3g of their size", i, batches[b], effect);
                free(got);
                free(wanted);
            }
            free_layers(layers);
        }
        free(exact);
    }
}

/* Token by token with window W is what a deployed cache does: its last query sees the newest W rows exact. */
static void a_window_keeps_what_a_query_sees(void **state)
{
    fixture *f = *state;
    open_model(f, &llama_model);
    const arm whole = {.quantizer = {"sym", "sym"}, .bits = "2"};
    const size_t windows[] = {1, 8, 40, TOKENS - 1, TOKENS};
    float *exact = decode(f, TOKENS, 1);
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        arm a = whole;
        gyre_coded_layer layers[LAYERS];
        size_t width = f->width;
        a.window[0] = a.window[1] = windows[w];
        make_layers(f, &a, layers);
        float *got = coded(f, layers, TOKENS, 1, NULL);
        assert_memory_equal(got, exact, windows[w] * width * sizeof *got); /* tokens 0..W-1 see no coded row */
        if (windows[w] < TOKENS)
            assert_true(memcmp(got + windows[w] * width, exact + windows[w] * width, width * sizeof *got) != 0); /* token W does */
        free(got);
        free_layers(layers);
    }
    free(exact);
}

static void bits_are_those_of_the_cache(void **state)
{
    fixture *f = *state;
    open_model(f, &llama_model);
    /* 4-bit codes and a binary32 scale a row of 64: 4.5; 8 bits: 8.5 */
    const struct {
        arm a;
        double payload;
    } rows[] = {
        {{.quantizer = {"sym", "sym"}, .bits = "4"}, 4.5},
        {{.quantizer = {"sym", NULL}, .bits = "8"}, 8.5},
        {{.quantizer = {"f16", "f16"}}, 16.0},
        {{.quantizer = {"sym", "sym"}, .bits = "4", .sink = {6, 6}}, (6 * 16.0 + 90 * 4.5) / 96},
        {{.quantizer = {"sym", "sym"}, .bits = "4", .window = {20, 20}, .sink = {6, 6}}, (41 * 16.0 + 55 * 4.5) / 96}, /* the last batch begins at 80: rows 6..60 */
        {{.quantizer = {"sym", "sym"}, .bits = "4", .window = {0, 32}}, (4.5 + (63 * 16.0 + 33 * 4.5) / 96) / 2}, /* at 64: values 0..32 */
        {{.quantizer = {"sym", "sym"}, .bits = "4", .exact_layer = {true, false, false}}, (16.0 + 2 * 4.5) / 3},
        {{.quantizer = {"sym", "sym"}, .bits = "4", .window = {96, 96}}, 16.0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gyre_coded_layer layers[LAYERS];
        gyre_coded_bits bits;
        make_layers(f, &rows[i].a, layers);
        free(coded(f, layers, TOKENS, SIZE_MAX, &bits));
        CHECK_CLOSE(bits.payload, rows[i].payload, 1e-12, 0);
        assert_true(bits.side == 0.0);
        free(coded(f, layers, TOKENS, SIZE_MAX, &bits)); /* a second chunk forgets the first */
        CHECK_CLOSE(bits.payload, rows[i].payload, 1e-12, 0);
        free_layers(layers);
    }
}

/* qwen2 has a key bias; llama pairs neighbours in RoPE, so the order of coordinates changes something there. */
static void chains_undo_rope_and_bias(void **state)
{
    fixture *f = *state;
    const struct {
        const tiny_model *model;
        const char *chain[4];
    } rows[] = {{&qwen2_model, {"unrope", "centre"}}, {&qwen2_model, {"unrope", "centre", "hadamard"}}, {&llama_model, {"unrope"}}, {&llama_model, {"unrope", "signs", "hadamard"}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_model(f, rows[i].model);
        size_t n = TOKENS * f->width;
        float *exact = decode(f, TOKENS, 0);
        for (int order = 0; order < 2; order++) {
            arm a = {.quantizer = {"exact", "exact"}, .order = order};
            gyre_coded_layer layers[LAYERS];
            double before = INFINITY, size = size_of(exact, n);
            memcpy(a.chain, rows[i].chain, sizeof a.chain);
            make_layers(f, &a, layers);
            float *got = coded(f, layers, TOKENS, 0, NULL);
            assert_true(rms(got, exact, n) <= 2e-5 * size);
            free(got);
            free_layers(layers);
            for (int bits = 2; bits <= 8; bits += 2) {
                char text[8];
                (void)snprintf(text, sizeof text, "%d", bits);
                a.quantizer[0] = a.quantizer[1] = "sym";
                a.bits = text;
                make_layers(f, &a, layers);
                got = coded(f, layers, TOKENS, 0, NULL);
                double off = rms(got, exact, n) / size;
                if (!(off < 0.6 * before))
                    fail_msg("chain %zu, order %d: %d bits give %.3g, fewer gave %.3g", i, order, bits, off, before);
                before = off;
                free(got);
                free_layers(layers);
            }
            assert_true(before < 0.05);
        }
        free(exact);
    }
}

/* ---- queries ---- */

typedef struct rounding {
    const fixture *f;
    gyre_codec *codec[LAYERS];
} rounding;

/* Row by row: query head h behind the chain of KV head h / GROUP. */
static gyre_status round_by_hand(void *user, const gyre_engine_rows *r, gyre_error *err)
{
    rounding *x = user;
    const gyre_codec *codec = x->codec[r->layer];
    float *rows = malloc(r->n_tokens * r->n_heads * DIM * sizeof *rows);
    uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, 1) + 1);
    void *scratch = NULL;
    size_t size;
    assert_int_equal(posix_memalign(&scratch, 64, gyre_codec_scratch(codec, 1) + 64), 0);
    assert_true(rows != NULL && bytes != NULL && r->n_heads == HEADS * GROUP);
    for (size_t t = 0; t < r->n_tokens; t++)
        for (size_t h = 0; h < r->n_heads; h++) {
            float one[HEADS][DIM];
            const float *in[HEADS];
            float *out[HEADS];
            int32_t pos = (int32_t)(r->first + t);
            for (size_t k = 0; k < HEADS; k++) {
                memcpy(one[k], r->rows + (t * r->n_heads + h) * DIM, sizeof one[k]);
                in[k] = out[k] = one[k];
            }
            CHECK_OK(gyre_codec_encode(codec, in, 1, &pos, bytes, &size, scratch, err), err);
            CHECK_OK(gyre_codec_decode(codec, bytes, size, 1, &pos, out, scratch, err), err);
            memcpy(rows + (t * r->n_heads + h) * DIM, one[h / GROUP], sizeof one[0]);
        }
    gyre_status st = gyre_engine_write_queries(x->f->engine, rows, err);
    free(rows);
    free(bytes);
    free(scratch);
    return st;
}

static void queries_go_through_the_chain_of_their_keys(void **state)
{
    fixture *f = *state;
    const arm a = {.quantizer = {"exact", NULL}, .chain = {"hadamard"}};
    open_model(f, &qwen2_model);
    size_t n = TOKENS * f->width;
    gyre_coded_layer layers[LAYERS];
    rounding x = {.f = f};
    make_layers(f, &a, layers);
    for (uint32_t l = 0; l < LAYERS; l++) {
        x.codec[l] = codec_of(f, &a, l, GYRE_K, 1, "q8_0");
        layers[l].queries = codec_of(f, &a, l, GYRE_K, 1, "q8_0");
        layers[l].query_group = GROUP;
    }
    float *exact = decode(f, TOKENS, 40), *got = coded(f, layers, TOKENS, 40, NULL);
    gyre_engine_set_hook(f->engine, GYRE_ENGINE_QUERIES_AT_ROPE, NULL, round_by_hand, &x);
    float *wanted = decode(f, TOKENS, 40);
    gyre_engine_set_hook(f->engine, 0, NULL, NULL, NULL);
    double effect = rms(wanted, exact, n);
    assert_true(effect > 1e-4 * size_of(exact, n));
    assert_true(rms(got, wanted, n) < 0.02 * effect); /* keys passed the chain and back, which rounds */
    for (uint32_t l = 0; l < LAYERS; l++)
        gyre_codec_free(x.codec[l]);
    free_layers(layers);
    free(exact);
    free(got);
    free(wanted);
}

/* A value beyond binary16: one error that says where, and the next chunk is sound. */
static void a_row_that_no_format_holds_is_one_error(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    tiny_model model = qwen2_model;
    gyre_coded_layer layers[LAYERS], own[LAYERS];
    gyre_coded_cache *cache = NULL;
    const arm half = {.quantizer = {"f16", NULL}}, a = {.quantizer = {"sym", NULL}, .bits = "4"};
    model.bias = 1e6f;
    open_model(f, &model);
    make_layers(f, &half, layers);
    make_layers(f, &a, own);
    float *before = coded(f, own, TOKENS, 0, NULL);
    CHECK_OK(gyre_coded_cache_new(f->engine, layers, LAYERS, TOKENS, &cache, &err), &err);
    gyre_coded_cache_begin(cache);
    gyre_engine_chunk chunk = {.tokens = f->tokens, .n_tokens = TOKENS};
    assert_int_equal(gyre_engine_decode(f->engine, &chunk, &err), GYRE_E_RANGE);
    assert_non_null(strstr(err.message, "layer 0"));
    gyre_engine_set_hook(f->engine, 0, NULL, NULL, NULL);
    gyre_coded_cache_free(cache);
    float *after = coded(f, own, TOKENS, 0, NULL);
    assert_memory_equal(before, after, TOKENS * f->width * sizeof *after);
    free(before);
    free(after);
    free_layers(layers);
    free_layers(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_cache_is_that_of_a_plain_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_window_keeps_what_a_query_sees, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bits_are_those_of_the_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chains_undo_rope_and_bias, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queries_go_through_the_chain_of_their_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_row_that_no_format_holds_is_one_error, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("coded_cache", tests, NULL, NULL);
}
