#define _POSIX_C_SOURCE 200809L
/* Quantizers that code blocks: a battery over the registry, byte layouts by hand, and what each paper's rule promises. */
#include "tests/check.h"

#include <float.h>

#include "core/half.h"
#include "quant/asym.h"

/* A quantizer of a layer; options as "key=value ...". NULL where it does not apply. */
static gyre_quantizer *make(const char *name, const char *options, gyre_stream stream, size_t dim, size_t heads)
{
    gyre_error error;
    gyre_quantizer_values o = {0};
    gyre_quantizer *q;
    const gyre_quantizer_type *type = gyre_quantizer_find(name);
    gyre_site site = {.dim = dim, .stream = stream, .n_heads = (uint32_t)heads};
    char text[160], *save = NULL, why[GYRE_OPTION_TEXT];
    assert_non_null(type);
    (void)gyre_options_defaults(type->options, &o);
    (void)snprintf(text, sizeof text, "%s", options);
    for (char *word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        if (!gyre_option_parse(gyre_option_find(type->options, word), &o, equals + 1, why))
            fail_msg("%s of %s: %s", word, name, why);
    }
    gyre_status st = gyre_quantizer_new(type, &site, &o, &q, &error);
    assert_true(st == GYRE_OK || st == GYRE_E_APPLICABLE);
    return q;
}

static size_t values_of(const gyre_quantizer *q, size_t tokens)
{
    return q->streams * q->heads * tokens * q->dim;
}

typedef struct packed {
    uint8_t *bytes;
    size_t size;
} packed;

/* Encodes into room of most_bytes between guards, and gives a copy of just the bytes used: reading past them is seen by the sanitizer. */
static gyre_status encode_any(const gyre_quantizer *q, const float *x, size_t tokens, packed *out, gyre_error *error)
{
    size_t most = gyre_quantizer_most_bytes(q, tokens);
    uint8_t *room = malloc(most + 16);
    assert_non_null(room);
    memset(room, 0xA5, most + 16);
    *out = (packed){NULL, 0};
    gyre_status st = gyre_quantizer_encode(q, x, tokens, room, &out->size, error);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(room[most + i], 0xA5);
    if (st == GYRE_OK) {
        assert_true(out->size <= most);
        out->bytes = malloc(out->size > 0 ? out->size : 1);
        assert_non_null(out->bytes);
        memcpy(out->bytes, room, out->size);
    }
    free(room);
    return st;
}

static packed encode(const gyre_quantizer *q, const float *x, size_t tokens)
{
    gyre_error error;
    packed p;
    CHECK_OK(encode_any(q, x, tokens, &p, &error), &error);
    return p;
}

static void decode(const gyre_quantizer *q, packed p, size_t tokens, float *x)
{
    gyre_error error;
    CHECK_OK(gyre_quantizer_decode(q, p.bytes, p.size, tokens, x, &error), &error);
}

static void fit(gyre_quantizer *q, const float *x, size_t tokens)
{
    gyre_error error;
    CHECK_OK(gyre_quantizer_fit(q, x, 1, tokens, &error), &error);
}

/* ---- the battery ---- */

enum { CALIBRATION = 40 };

typedef void (*battery)(gyre_quantizer *q, const float *x, size_t tokens);

/* Every variant that codes blocks, both streams where they are coded alone, group and block options small enough for the data where there are such. */
static void over_registry(battery run)
{
    static const size_t dims[] = {1, 6, 32}, heads[] = {1, 3}, tokens[] = {0, 1, 7, 8, 9, 33};
    for (const gyre_quantizer_type *const *type = gyre_quantizer_types; *type != NULL; type++)
        for (size_t d = 0; d < 3 && (*type)->span != GYRE_SPAN_ROW; d++)
            for (size_t h = 0; h < 2; h++)
                for (int stream = 0; stream < ((*type)->span == GYRE_SPAN_STREAMS ? 1 : 2); stream++)
                    for (int variant = 0; variant < 3; variant++) {
                        static const char *const repacks[] = {"repack=none", "repack=greedy", "repack=median"}, *const bits[] = {"bits=2", "bits=3", "bits=8"};
                        char options[160] = "";
                        (void)snprintf(options, sizeof options, "%s %s %s %s %s %s", gyre_option_find((*type)->options, "block") ? "block=8 pack=4" : "",
                                       gyre_option_find((*type)->options, "group") ? (dims[d] % 2 ? "group=1" : "group=2") : "",
                                       gyre_option_find((*type)->options, "repack") ? repacks[variant] : "",
                                       gyre_option_find((*type)->options, "bits") ? bits[variant] : "",
                                       gyre_option_find((*type)->options, "outliers") && variant == 0 ? "outliers=0" : "",
                                       gyre_option_find((*type)->options, "scale") && variant == 1 ? "scale=f32" : "");
                        gyre_quantizer *q = make((*type)->name, options, (gyre_stream)stream, dims[d], heads[h]);
                        if (q == NULL)
                            continue;
                        size_t most = values_of(q, CALIBRATION);
                        float *x = malloc((most + 1) * sizeof *x);
                        assert_non_null(x);
                        normals(x, most, 70);
                        for (size_t i = 0; i < most; i++)
                            x[i] = x[i] * (1.0f + (float)(i % dims[d])) + (float)(i % dims[d]);
                        fit(q, x, CALIBRATION);
                        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
                            run(q, x, tokens[t]);
                        free(x);
                        gyre_quantizer_free(q);
                    }
}

/* Sizes as declared, the same bytes twice, finite rows. */
static void sizes(gyre_quantizer *q, const float *x, size_t tokens)
{
    packed p = encode(q, x, tokens), again = encode(q, x, tokens);
    float *y = malloc((values_of(q, tokens) + 1) * sizeof *y);
    assert_non_null(y);
    if (q->type->flags & GYRE_FIXED_SIZE)
        assert_int_equal(p.size, gyre_quantizer_most_bytes(q, tokens));
    assert_int_equal(p.size, again.size);
    assert_memory_equal(p.bytes, again.bytes, p.size);
    memset(y, 0xFF, (values_of(q, tokens) + 1) * sizeof *y);
    decode(q, p, tokens, y);
    for (size_t i = 0; i < values_of(q, tokens); i++)
        assert_true(isfinite(y[i]));
    free(y);
    free(p.bytes);
    free(again.bytes);
}

/* Whatever the bytes, decode returns: rows of some numbers, or GYRE_E_INPUT with a message. */
static void damage(gyre_quantizer *q, const float *x, size_t tokens)
{
    packed p = encode(q, x, tokens);
    float *y = malloc((values_of(q, tokens) + 1) * sizeof *y);
    uint8_t *bad = malloc(p.size + 1);
    gyre_error error;
    gyre_site site = {.campaign_seed = 9};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    uint32_t word = 0;
    assert_true(y != NULL && bad != NULL);
    for (size_t size = 0; size < p.size; size += 1 + p.size / 40) { /* cut short: never the right size by chance, for every variant counts its bytes */
        uint8_t *cut = malloc(size + 1);
        assert_non_null(cut);
        uint8_t *at = cut + 1; /* the end of the block is the end of the room */
        memcpy(at, p.bytes, size);
        assert_int_equal(gyre_quantizer_decode(q, at, size, tokens, y, &error), GYRE_E_INPUT);
        assert_true(error.message[0] != '\0');
        free(cut);
    }
    for (int trial = 0; trial < 60 && p.size > 0; trial++) {
        memcpy(bad, p.bytes, p.size);
        for (int flips = 0; flips < 1 + trial % 5; flips++, word += 2)
            bad[gyre_random_word(&stream, word) % p.size] ^= (uint8_t)(1u << gyre_random_word(&stream, word + 1) % 8);
        if (trial % 10 == 9)
            for (size_t i = 0; i < p.size; i++)
                bad[i] = (uint8_t)gyre_random_word(&stream, word++);
        gyre_status st = gyre_quantizer_decode(q, bad, p.size, tokens, y, &error);
        assert_true(st == GYRE_OK || st == GYRE_E_INPUT);
    }
    free(bad);
    free(y);
    free(p.bytes);
}

/* Rows of any finite size are coded with finite rows back, or refused as out of range; small ones only where a token is all but constant (packkv counts its least
 * value in steps). */
static void magnitudes(gyre_quantizer *q, const float *x, size_t tokens)
{
    static const float scales[] = {0.0f, 1e-45f, 1e-42f, 1e-30f, 1000.0f, 1e5f, 1e30f, 3.4e38f};
    gyre_error error;
    size_t n = values_of(q, tokens);
    float *y = malloc((n + 1) * sizeof *y), *back = malloc((n + 1) * sizeof *y);
    assert_true(y != NULL && back != NULL);
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
        for (int shape = 0; shape < 4; shape++) {
            packed p;
            for (size_t i = 0; i < n; i++) /* spread out, constant, a spike, all but constant */
                y[i] = scales[s] * (shape == 0 ? tanhf(x[i]) : shape == 1 ? 1.0f : shape == 2 ? (i == n / 2 ? -1.0f : 0.0f) : 1.0f - (float)(i % 7) * 1e-6f);
            gyre_status st = encode_any(q, y, tokens, &p, &error);
            if (st != GYRE_OK) {
                assert_int_equal(st, GYRE_E_RANGE);
                if ((scales[s] < 1.0f && shape != 3) || strstr(error.message, q->type->name) == NULL)
                    fail_msg("%s, %zu tokens of size %g, shape %d: %s", q->type->name, tokens, (double)scales[s], shape, error.message);
                continue;
            }
            decode(q, p, tokens, back);
            for (size_t i = 0; i < n; i++)
                if (!isfinite(back[i]))
                    fail_msg("%s: %g decodes to %g", q->type->name, (double)y[i], (double)back[i]);
            free(p.bytes);
        }
    free(y);
    free(back);
}

static void battery_sizes(void **state) { (void)state; over_registry(sizes); }
static void battery_damage(void **state) { (void)state; over_registry(damage); }
static void battery_magnitudes(void **state) { (void)state; over_registry(magnitudes); }

/* ---- kivi ---- */

/* Two tokens a group, two channels: (0, 10), (3, 16) | (1, 5). Channel 0: step 1, minimum 0, codes 0 3; channel 1: step 2, minimum 10, codes 0 3; the last token in
 * binary16. */
static void kivi_layout(void **state)
{
    (void)state;
    const float x[6] = {0, 10, 3, 16, 1, 5};
    const uint8_t keys[14] = {0x0C, 0x00, 0x3C, 0x00, 0x00, 0x0C, 0x00, 0x40, 0x00, 0x49, 0x00, 0x3C, 0x00, 0x45};
    gyre_quantizer *q = make("kivi", "group=2", GYRE_K, 2, 1);
    packed p = encode(q, x, 3);
    assert_int_equal(p.size, 14);
    assert_memory_equal(p.bytes, keys, 14);
    free(p.bytes);
    gyre_quantizer_free(q);
    const float values[2] = {-1, 5}; /* step 2, minimum -1, codes 0 3 */
    const uint8_t want[5] = {0x0C, 0x00, 0x40, 0x00, 0xBC};
    q = make("kivi", "group=2", GYRE_V, 2, 1);
    p = encode(q, values, 1);
    assert_int_equal(p.size, 5);
    assert_memory_equal(p.bytes, want, 5);
    free(p.bytes);
    gyre_quantizer_free(q);
    assert_null(make("kivi", "group=32", GYRE_V, 48, 1)); /* channels do not divide; tokens need not */
    q = make("kivi", "group=32", GYRE_K, 48, 1);
    assert_non_null(q);
    gyre_quantizer_free(q);
}

/* Keys are asym on the transposed group, values are asym with groups: the same bytes and rows. */
static void kivi_is_asym(void **state)
{
    (void)state;
    enum { D = 64, G = 32, H = 2, T = 3 * G };
    static float x[H * T * D], y[H * T * D], turned[D * G], back[D * G];
    gyre_grouped_options o = {.clip = 1.0, .bits = 3, .group = 0, .scale = GYRE_SCALE_F16};
    gyre_error error;
    void *asym;
    uint8_t bytes[D * (G * 3 / 8 + 4)];
    normals(x, H * T * D, 81);
    gyre_quantizer *q = make("kivi", "bits=3", GYRE_K, D, H);
    packed p = encode(q, x, T);
    decode(q, p, T, y);
    CHECK_OK(gyre_grouped_init(G, &o, &gyre_asym_minimum, &asym, &error), &error);
    for (size_t g = 0; g < H * T / G; g++) {
        for (size_t i = 0; i < D * G; i++)
            turned[i] = x[(g * G + i % G) * D + i / G];
        CHECK_OK(gyre_grouped_encode(asym, 0, turned, D, G, bytes, &error), &error);
        assert_memory_equal(p.bytes + g * sizeof bytes, bytes, sizeof bytes);
        gyre_grouped_decode(asym, 0, bytes, D, back, G);
        for (size_t i = 0; i < D * G; i++)
            assert_true(back[i] == y[(g * G + i % G) * D + i / G]);
    }
    free(asym);
    free(p.bytes);
    gyre_quantizer_free(q);
    q = make("kivi", "bits=3", GYRE_V, D, H);
    gyre_quantizer *rows = make("asym", "bits=3 group=32 scale=f16", GYRE_V, D, H);
    p = encode(q, x, T);
    packed r = encode(rows, x, T);
    assert_int_equal(p.size, r.size);
    assert_memory_equal(p.bytes, r.bytes, p.size);
    free(p.bytes);
    free(r.bytes);
    gyre_quantizer_free(q);
    gyre_quantizer_free(rows);
}

/* b + 1 bits at group 32 with binary16 parameters (arXiv 2402.02750); 16 for keys beyond the last group. */
static void kivi_bits(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++)
        for (size_t bits = 2; bits <= 4; bits += 2) {
            gyre_quantizer *q = make("kivi", bits == 2 ? "bits=2" : "bits=4", (gyre_stream)stream, 128, 2);
            CHECK_CLOSE(8.0 * (double)gyre_quantizer_most_bytes(q, 96) / (2 * 96 * 128), (double)bits + 1.0, 0, 0);
            double rest = stream == GYRE_K ? 16.0 : (double)bits + 1.0;
            CHECK_CLOSE(8.0 * (double)gyre_quantizer_most_bytes(q, 96 + 31) / (2 * 128), 96 * ((double)bits + 1.0) + 31 * rest, 0, 0);
            gyre_quantizer_free(q);
        }
}

/* Channels of sizes 1e-3 to 1e3: each is within half of its own step. Per token the large ones would drown the small. */
static void kivi_channels_keep_to_themselves(void **state)
{
    (void)state;
    enum { D = 7, G = 32, T = 2 * G + 5 };
    float x[T * D], y[T * D];
    normals(x, T * D, 82);
    for (size_t i = 0; i < T * D; i++)
        x[i] *= powf(10.0f, (float)(i % D) - 3.0f);
    gyre_quantizer *q = make("kivi", "bits=4 scale=f32", GYRE_K, D, 1);
    packed p = encode(q, x, T);
    decode(q, p, T, y);
    for (size_t i = 0; i < D; i++)
        for (size_t g = 0; g < T; g += G) {
            float lo = x[g * D + i], hi = lo;
            for (size_t t = g; t < g + G && t < T; t++) {
                lo = fminf(lo, x[t * D + i]);
                hi = fmaxf(hi, x[t * D + i]);
            }
            for (size_t t = g; t < g + G && t < T; t++) {
                double off = fabs((double)y[t * D + i] - (double)x[t * D + i]);
                if (g < 2 * G)
                    assert_true(off <= 0.5000001 * ((double)hi - (double)lo) / 15 + 1e-6 * (double)fmaxf(fabsf(lo), fabsf(hi)));
                else
                    assert_true(y[t * D + i] == gyre_half_to_float(gyre_half_from_float(x[t * D + i])));
            }
        }
    free(p.bytes);
    gyre_quantizer_free(q);
}

/* The largest float: 31 steps of FLT_MAX/31 round beyond it, 15 of FLT_MAX/15 do not. */
static void kivi_largest(void **state)
{
    (void)state;
    const float x[2] = {0.0f, FLT_MAX};
    float y[2];
    gyre_error error;
    packed p;
    gyre_quantizer *q = make("kivi", "bits=5 group=2 scale=f32", GYRE_K, 1, 1);
    assert_int_equal(encode_any(q, x, 2, &p, &error), GYRE_E_RANGE);
    gyre_quantizer_free(q);
    q = make("kivi", "bits=4 group=2 scale=f32", GYRE_K, 1, 1);
    p = encode(q, x, 2);
    decode(q, p, 2, y);
    assert_true(y[0] == 0.0f && y[1] == FLT_MAX);
    free(p.bytes);
    gyre_quantizer_free(q);
}

/* ---- kvquant_mse ---- */

/* Calibration: an exact token, then -3 -1 1 3 in both channels. All within: levels -1 -1/3 1/3 1 of range 3. Quartiles as thresholds: +-1.5, and +-1 are what is left. */
static void kvquant_layout(void **state)
{
    (void)state;
    const float calibration[10] = {99, 99, -3, 3, -1, 1, 1, -1, 3, -3}, x[6] = {5, 6, -3, 3, 1.1f, -0.9f};
    float y[6];
    gyre_quantizer *q = make("kvquant_mse", "bits=2 outliers=0", GYRE_K, 2, 1);
    fit(q, calibration, 5);
    assert_int_equal(gyre_quantizer_stored_bits(q), 4 * 32 + 2 * 2 * 16);
    gyre_quantizer_values o = {0};
    (void)gyre_options_defaults(q->type->options, &o);
    assert_false(gyre_quantizer_flags(q->type, &o) & GYRE_FIXED_SIZE);
    assert_true(gyre_option_parse(gyre_option_find(q->type->options, "outliers"), &o, "0", NULL));
    assert_true(gyre_quantizer_flags(q->type, &o) & GYRE_FIXED_SIZE);
    assert_int_equal(gyre_quantizer_most_bytes(q, 3), 6);
    packed p = encode(q, x, 3);
    const uint8_t plain[6] = {0x00, 0x45, 0x00, 0x46, 0x0C, 0x06};
    assert_int_equal(p.size, 6);
    assert_memory_equal(p.bytes, plain, 6);
    decode(q, p, 3, y);
    const float want[6] = {5, 6, -3, 3, 1, -1};
    for (size_t i = 0; i < 6; i++)
        CHECK_CLOSE((double)y[i], (double)want[i], 1e-6, 0);
    free(p.bytes);
    gyre_quantizer_free(q);

    q = make("kvquant_mse", "bits=2 outliers=0.5", GYRE_K, 2, 1);
    fit(q, calibration, 5);
    const float z[4] = {5, 6, -3, 1};
    p = encode(q, z, 2);
    const uint8_t sparse[13] = {0x00, 0x45, 0x00, 0x46, 0x08, 1, 0, 0, 0, 0, 0, 0x00, 0xC2}; /* codes 0 2; one entry: place 0, -3 */
    assert_int_equal(p.size, 13);
    assert_memory_equal(p.bytes, sparse, 13);
    decode(q, p, 2, y);
    assert_true(y[2] == -3.0f);
    CHECK_CLOSE((double)y[3], 1.0, 1e-6, 0);
    free(p.bytes);
    gyre_quantizer_free(q);

    q = make("kvquant_mse", "bits=2 first=0", GYRE_V, 4, 1); /* one outlier at each end; 1 and 3 are left: o = 2, r = 1 */
    const float v[8] = {7, 1, 3, -5, 7, 1, 3, -5};
    fit(q, v, 2);
    assert_int_equal(gyre_quantizer_stored_bits(q), 4 * 32);
    p = encode(q, v, 1);
    const uint8_t token[13] = {0x20, 0x00, 0x40, 0x00, 0x3C, 0, 0, 0x00, 0x47, 3, 0, 0x00, 0xC5};
    assert_int_equal(p.size, 13);
    assert_memory_equal(p.bytes, token, 13);
    decode(q, p, 1, y);
    for (size_t i = 0; i < 4; i++)
        CHECK_CLOSE((double)y[i], (double)v[i], 0, 0);
    free(p.bytes);
    gyre_quantizer_free(q);
}

static double density(double x)
{
    return isinf(x) ? 0.0 : exp(-x * x / 2) * 0.39894228040143268;
}

static double mass(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752);
}

/* Lloyd-Max centroids of N(0, 1) cut at +-cut. */
static void lloyd_max(double cut, size_t n, double *levels)
{
    for (size_t i = 0; i < n; i++)
        levels[i] = (2 * ((double)i + 0.5) / (double)n - 1) * fmin(cut, 3.0);
    for (int round = 0; round < 20000; round++)
        for (size_t i = 0; i < n; i++) {
            double a = i == 0 ? -cut : (levels[i - 1] + levels[i]) / 2, b = i + 1 == n ? cut : (levels[i] + levels[i + 1]) / 2;
            levels[i] = (density(a) - density(b)) / (mass(b) - mass(a));
        }
}

/* Levels of Gaussian keys: the Lloyd-Max centroids of the normal cut at its 0.5 % quantiles. The reference is first checked on the published table of the whole normal
 * (J. Max, 1960). Every channel holds the 64 000 quantiles (t + 1/2)/64000 of the normal, so nothing is left to chance: with draws the levels of 128 000 values drift
 * together by 0.02, which says little. What remains is the rounding of the thresholds to binary16 (0.001) and that k-means stops where no value changes sides. */
static void kvquant_levels(void **state)
{
    (void)state;
    static const double published[8] = {0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326};
    enum { D = 2, T = 64000 };
    double levels[16], cut = 2.5758293035489004;
    lloyd_max(INFINITY, 16, levels);
    for (size_t i = 0; i < 8; i++)
        CHECK_CLOSE(levels[8 + i], published[i], 0, 6e-5);
    lloyd_max(cut, 16, levels);
    float *x = malloc(T * D * sizeof *x), *probe = malloc(4001 * D * sizeof *probe), *y = malloc(4001 * D * sizeof *y);
    assert_true(x != NULL && probe != NULL && y != NULL);
    for (size_t t = 0; t < T; t++) {
        double low = -10, high = 10;
        for (int halving = 0; halving < 60; halving++)
            *(mass((low + high) / 2) < ((double)t + 0.5) / T ? &low : &high) = (low + high) / 2;
        for (size_t i = 0; i < D; i++)
            x[t * D + i] = (float)low;
    }
    gyre_quantizer *q = make("kvquant_mse", "bits=4 first=0", GYRE_K, D, 1);
    fit(q, x, T);
    for (size_t t = 0; t < 4001; t++) /* a ramp within the thresholds: every level shows */
        for (size_t i = 0; i < D; i++)
            probe[t * D + i] = ((float)t / 4000.0f * 2 - 1) * 2.35f;
    packed p = encode(q, probe, 4001);
    decode(q, p, 4001, y);
    double worst = 0, mean[16] = {0};
    for (size_t i = 0; i < D; i++) {
        size_t level = 0;
        mean[0] += (double)y[i] / D;
        for (size_t t = 1; t < 4001; t++)
            if (y[t * D + i] != y[(t - 1) * D + i]) {
                assert_true(++level < 16);
                mean[level] += (double)y[t * D + i] / D;
            }
        assert_int_equal(level, 15);
    }
    for (size_t k = 0; k < 16; k++)
        worst = fmax(worst, fabs(mean[k] - levels[k]));
    (void)printf("levels of Gaussian keys: within %.4f of the Lloyd-Max centroids\n", worst);
    assert_true(worst < 0.005);
    free(p.bytes);
    free(x);
    free(probe);
    free(y);
    gyre_quantizer_free(q);
}

/* 1 % of Gaussian keys are outliers, exactly 2 * (floor((n - 1) / 200) + 1) of a token's n values; outliers and the first token come back as binary16. */
static void kvquant_outliers(void **state)
{
    (void)state;
    enum { D = 64, H = 3, T = 2000, N = D * H };
    float *x = malloc(2 * N * T * sizeof *x), *y = malloc(N * T * sizeof *y);
    assert_true(x != NULL && y != NULL);
    normals(x, 2 * N * T, 84);
    for (int stream = 0; stream < 2; stream++) {
        gyre_quantizer *q = make("kvquant_mse", "bits=3", (gyre_stream)stream, D, H);
        fit(q, x, T);
        packed p = encode(q, x + N * T, T);
        size_t fixed = 2 * N + (T - 1) * (N * 3 / 8 + 4), exact = 0;
        double share = (double)(p.size - fixed) / 4 / ((T - 1) * N);
        /* mass beyond the interpolated quantile of m = T - 1 values: ((m - 1) p + 1)/(m + 1) at each end; of 4200 outliers
         * three standard errors are 5 % */
        CHECK_CLOSE(share, stream == GYRE_K ? 2 * ((T - 2) * 0.005 + 1) / T : 2.0 / N, stream == GYRE_K ? 0.05 : 1e-12, 0);
        decode(q, p, T, y);
        for (size_t i = 0; i < N * T; i++) {
            bool half = y[i] == gyre_half_to_float(gyre_half_from_float(x[N * T + i]));
            exact += half;
            if (i % (T * D) < D)
                assert_true(half);
            if (stream == GYRE_K && fabsf(x[N * T + i]) > 3.5f)
                assert_true(half);
        }
        assert_true(exact >= N + (p.size - fixed) / 4);
        free(p.bytes);
        gyre_quantizer_free(q);
    }
    free(x);
    free(y);
}

static void kvquant_needs_rows(void **state)
{
    (void)state;
    gyre_error error;
    const float x[4] = {1, 2, 3, 4};
    uint8_t bytes[64];
    size_t size;
    gyre_quantizer *q = make("kvquant_mse", "", GYRE_K, 4, 1);
    assert_int_equal(gyre_quantizer_fit(q, x, 0, 1, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "name calibration documents"));
    assert_int_equal(gyre_quantizer_fit(q, x, 1, 1, &error), GYRE_E_INPUT); /* only the token that stays exact */
    assert_int_equal(gyre_quantizer_encode(q, x, 1, bytes, &size, &error), GYRE_E_INTERNAL);
    gyre_quantizer_free(q);
    assert_null(make("kvquant_mse", "", GYRE_K, 4096, 16)); /* places beyond 16 bits */
}

/* ---- packkv ---- */

/* Two tokens, two channels, rel 0.1. K (0, 10), (0, 20): steps 1 and 2, codes (0, 10) twice; V (0, 10), (10, 0). Width 4, so widths take 3 bits.
 * K fields: 0, 0, 10, 0; V fields 0, 4, 0, 4, then codes 0 10 | 10 0. */
static void packkv_layout(void **state)
{
    (void)state;
    const float x[8] = {0, 10, 0, 20, 0, 10, 10, 0};
    const uint8_t want[24] = {0x00, 0x3C, 0, 0, 0x00, 0x3C, 0, 0, 0x00, 0x40, 0, 0, 0x00, 0x3C, 0, 0, 4, 0x00, 0x05, 4, 0x40, 0x20, 0xA8, 0x02};
    float y[8];
    gyre_quantizer *q = make("packkv", "block=2 pack=2 repack=none", GYRE_K, 2, 1);
    packed p = encode(q, x, 2);
    assert_int_equal(p.size, 24);
    assert_memory_equal(p.bytes, want, 24);
    decode(q, p, 2, y);
    assert_memory_equal(x, y, sizeof x);
    free(p.bytes);
    gyre_quantizer_free(q);
    q = make("packkv", "block=2 pack=2 repack=median", GYRE_K, 2, 1); /* equal medians: the order 0, 1 in two bits, then the same */
    p = encode(q, x, 2);
    assert_int_equal(p.size, 25);
    assert_int_equal(p.bytes[0], 0x02);
    assert_memory_equal(p.bytes + 1, want, 24);
    p.bytes[0] = 0x03; /* token 1 twice: no order */
    gyre_error error;
    assert_int_equal(gyre_quantizer_decode(q, p.bytes, p.size, 2, y, &error), GYRE_E_INPUT);
    free(p.bytes);
    gyre_quantizer_free(q);
    assert_null(make("packkv", "block=64 pack=12", GYRE_K, 2, 1));
}

/* The rules by hand: four tokens in packs of two, three channels of codes (0, a, 10). greedy, a = 1 8 2 9 in K: the mean is 5, nearest in direction to 8; 9 adds one
 * bit to it, 1 and 2 three; of 1 and 2, whose mean 1.5 rounds to 2, 2 comes first: tokens 1 3 2 0. median, a = 3 7 7 1 in V: tokens 1 2 0 3. */
static void packkv_orders(void **state)
{
    (void)state;
    const float a[2][4] = {{1, 8, 2, 9}, {3, 7, 7, 1}};
    for (size_t rule = 0; rule < 2; rule++) {
        float x[2 * 4 * 3], y[2 * 4 * 3];
        for (size_t i = 0; i < 2 * 4 * 3; i++)
            x[i] = i % 3 == 0 ? 0.0f : i % 3 == 2 ? 10.0f : i / 12 == rule ? a[rule][i / 3 % 4] : 0.0f;
        gyre_quantizer *q = make("packkv", rule == 0 ? "block=4 pack=2 repack=greedy" : "block=4 pack=2 repack=median", GYRE_K, 3, 1);
        packed p = encode(q, x, 4);
        assert_int_equal(p.bytes[0], rule == 0 ? (1 | 3 << 2 | 2 << 4 | 0 << 6) : (1 | 2 << 2 | 0 << 4 | 3 << 6));
        decode(q, p, 4, y);
        assert_memory_equal(x, y, sizeof x);
        free(p.bytes);
        gyre_quantizer_free(q);
    }
}

/* Rows are (q + zero) * scale of the token, over all heads, whatever the order; and sizes tell which order is better. Tokens come from four kinds in turn, whose
 * channels lie apart: packs of one kind are narrow. */
static void packkv_is_lossless(void **state)
{
    (void)state;
    enum { D = 16, H = 2, N = D * H, T = 64 * 3 + 9 };
    static const char *const rules[] = {"repack=none", "repack=greedy", "repack=median"};
    static float x[2 * N * T], y[3][2 * N * T];
    size_t size[3];
    normals(x, 2 * N * T, 85);
    for (size_t i = 0; i < 2 * N * T; i++) {
        size_t token = i / D % T, kind = token % 4, channel = i % D;
        x[i] = 0.3f * x[i] + (channel % 4 == kind ? 20.0f : 0.0f) + 4.0f * (float)kind;
    }
    for (size_t r = 0; r < 3; r++) {
        gyre_quantizer *q = make("packkv", rules[r], GYRE_K, D, H);
        packed p = encode(q, x, T);
        size[r] = p.size;
        decode(q, p, T, y[r]);
        free(p.bytes);
        gyre_quantizer_free(q);
    }
    assert_memory_equal(y[0], y[1], sizeof *y);
    assert_memory_equal(y[0], y[2], sizeof *y);
    for (size_t stream = 0; stream < 2; stream++)
        for (size_t t = 0; t < T; t++) {
            const float *rows = x + stream * N * T;
            float lo = INFINITY, hi = -INFINITY;
            for (size_t i = 0; i < N; i++) {
                lo = fminf(lo, rows[(i / D * T + t) * D + i % D]);
                hi = fmaxf(hi, rows[(i / D * T + t) * D + i % D]);
            }
            float scale = gyre_half_to_float(gyre_half_from_float((float)((double)(hi - lo) * 0.1)));
            for (size_t i = 0; i < N; i++) {
                size_t at = stream * N * T + (i / D * T + t) * D + i % D;
                float want = t < 192 ? nearbyintf(x[at] / scale) * scale : gyre_half_to_float(gyre_half_from_float(x[at]));
                assert_true(y[0][at] == want);
            }
        }
    (void)printf("packkv on four kinds of tokens in turn: none %zu, greedy %zu, median %zu bytes\n", size[0], size[1], size[2]);
    assert_true(size[1] < size[0] && size[2] < size[0]);
}

/* ---- ott ---- */

/* Outliers are found: keys of a channel lie near 8 but for planted tokens near 0. Those come back as binary16, K and V, in the planted head alone; the others' step no
 * longer spans the gap, which it does in kivi. */
static void ott_finds_planted_tokens(void **state)
{
    (void)state;
    enum { D = 32, H = 2, G = 64, T = 3 * G + 7 };
    static const size_t planted[] = {3, 5, 17, 64 + 1};
    static float x[2 * H * T * D], y[2 * H * T * D], z[H * T * D];
    normals(x, 2 * H * T * D, 86);
    for (size_t i = 0; i < H * T * D; i++)
        x[i] = 8.0f + 0.1f * x[i];
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < D; i++)
            x[(T + planted[k]) * D + i] -= k == 3 ? 7.99f : 7.9f; /* head 1; the last one is the smallest and drives one of the first three into the reserve */
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < D; i++)
            x[planted[k] * D + i] -= 7.9f; /* head 0 has the same, but for its own pool */
    gyre_quantizer *q = make("ott", "group=64 outliers=3", GYRE_K, D, H), *kivi = make("kivi", "group=64", GYRE_K, D, H);
    packed p = encode(q, x, T), plain = encode(kivi, x, T);
    decode(q, p, T, y);
    decode(kivi, plain, T, z);
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < D; i++) {
            size_t at = (T + planted[k]) * D + i;
            assert_true(y[at] == gyre_half_to_float(gyre_half_from_float(x[at])));
            at += H * T * D;
            assert_true(y[at] == gyre_half_to_float(gyre_half_from_float(x[at])));
        }
    double error[2] = {0, 0};
    for (size_t i = 0; i < H * T * D; i++) {
        size_t token = i / D % T;
        if (token < 2 * G && token != 3 && token != 5 && token != 17 && token != 65) {
            error[0] += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
            error[1] += ((double)z[i] - (double)x[i]) * ((double)z[i] - (double)x[i]);
        }
    }
    (void)printf("squared error of the other keys: ott %.3g, kivi %.3g\n", error[0], error[1]);
    assert_true(error[0] < 0.3 * error[1]);
    /* the list of head 1, last in the block: its tokens in order */
    uint32_t found[4];
    size_t entry = 4 + 2 * 2 * D;
    for (size_t k = 0; k < 4; k++)
        memcpy(&found[k], p.bytes + p.size - (4 - k) * entry, 4);
    const uint8_t *count = p.bytes + p.size - 4 * entry - 2;
    assert_int_equal(count[0] | count[1] << 8, 4);
    for (size_t k = 0; k < 4; k++) {
        const uint8_t *at = p.bytes + p.size - (4 - k) * entry;
        assert_int_equal(at[0] | at[1] << 8 | at[2] << 16 | at[3] << 24, planted[k]);
    }
    free(p.bytes);
    free(plain.bytes);
    gyre_quantizer_free(q);
    gyre_quantizer_free(kivi);
}

/* By hand: one channel, G = 2, one outlier, keys 4 1 | 3 2 | 0.5 9 | 0.25 9. The pool holds token 1; then 1 against 3 and 2: stays; then token 4 drives it into the
 * reserve of one; token 6 would drive 4 there too, which ends the tracing. Means: 2.5 and 4.75. */
static void ott_layout(void **state)
{
    (void)state;
    const float x[18] = {4, 1, 3, 2, 0.5f, 9, 0.25f, 9, 7, /* V */ 0, 2, 0, 2, 0, 2, 0, 2, 1};
    float y[18];
    gyre_quantizer *q = make("ott", "group=2 outliers=1 pool=1", GYRE_K, 1, 1);
    packed p = encode(q, x, 9);
    /* four groups of (5 bytes of K, 2 * 5 of V), two binary16, a count and two tokens of 8 bytes */
    assert_int_equal(p.size, 4 * 15 + 4 + 2 + 2 * 8);
    /* keys 4 and 2.5: step 1/2, minimum 2.5, codes 3 0; values 0 and 1 */
    const uint8_t group[15] = {0x03, 0x00, 0x38, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3C};
    assert_memory_equal(p.bytes, group, 15);
    const uint8_t list[22] = {0x00, 0x47, 0x00, 0x3C, 2, 0, 1, 0, 0, 0, 0x00, 0x3C, 0x00, 0x40, 4, 0, 0, 0, 0x00, 0x38, 0x00, 0x00};
    assert_memory_equal(p.bytes + 60, list, 22);
    decode(q, p, 9, y);
    const float want[18] = {4, 1, 3, 2, 0.5f, 9, 0.25f, 9, 7, 0, 2, 0, 2, 0, 2, 0, 2, 1};
    for (size_t i = 0; i < 18; i++)
        CHECK_CLOSE((double)y[i], (double)want[i], 0, 2e-3);
    p.bytes[66] = 8; /* an exact token beyond the whole groups */
    gyre_error error;
    assert_int_equal(gyre_quantizer_decode(q, p.bytes, p.size, 9, y, &error), GYRE_E_INPUT);
    free(p.bytes);
    gyre_quantizer_free(q);
}

/* Nothing traced is kivi with V in groups of a row; `per: layer` gives all heads one list; the list never outgrows outliers + pool. */
static void ott_options(void **state)
{
    (void)state;
    enum { D = 8, H = 3, G = 16, T = 10 * G };
    static float x[2 * H * T * D], y[2 * H * T * D], z[2 * H * T * D];
    normals(x, 2 * H * T * D, 87);
    gyre_quantizer *q = make("ott", "group=16 outliers=0", GYRE_K, D, H), *k = make("kivi", "group=16", GYRE_K, D, H), *v = make("kivi", "group=8", GYRE_V, D, H);
    packed p = encode(q, x, T), pk = encode(k, x, T), pv = encode(v, x + H * T * D, T);
    assert_int_equal(p.size, pk.size + pv.size + 2 * H);
    decode(q, p, T, y);
    decode(k, pk, T, z);
    decode(v, pv, T, z + H * T * D);
    assert_memory_equal(y, z, sizeof y);
    free(p.bytes);
    size_t grid = pk.size + pv.size;
    free(pk.bytes);
    free(pv.bytes);
    gyre_quantizer_free(q);
    gyre_quantizer_free(k);
    gyre_quantizer_free(v);
    for (size_t t = 0; t < T; t++) /* ever smaller keys: every group would fill the pool anew */
        for (size_t i = 0; i < H * D; i++)
            x[(i / D * T + t) * D + i % D] *= powf(0.9f, (float)t);
    q = make("ott", "group=16 outliers=2 pool=5 per=layer", GYRE_K, D, H);
    p = encode(q, x, T);
    assert_int_equal(p.size, grid + 2 + 6 * (4 + H * 2 * 2 * D)); /* two in the pool, two groups' in the reserve; a third would overfill it */
    free(p.bytes);
    gyre_quantizer_free(q);
    assert_null(make("ott", "group_v=3", GYRE_K, 8, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(battery_sizes),      cmocka_unit_test(battery_damage),     cmocka_unit_test(battery_magnitudes), cmocka_unit_test(kivi_layout),
        cmocka_unit_test(kivi_is_asym),       cmocka_unit_test(kivi_bits),          cmocka_unit_test(kivi_channels_keep_to_themselves),
        cmocka_unit_test(kivi_largest),       cmocka_unit_test(kvquant_layout),     cmocka_unit_test(kvquant_levels),     cmocka_unit_test(kvquant_outliers),
        cmocka_unit_test(kvquant_needs_rows),
        cmocka_unit_test(packkv_layout),      cmocka_unit_test(packkv_orders),      cmocka_unit_test(packkv_is_lossless), cmocka_unit_test(ott_finds_planted_tokens),
        cmocka_unit_test(ott_layout),         cmocka_unit_test(ott_options),
    };
    return cmocka_run_group_tests_name("quant_blocks", tests, NULL, NULL);
}
