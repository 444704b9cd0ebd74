/* alignedkv: bytes and reads by hand, bits counted, what its options change; the same through a codec. */
#include "tests/check.h"

#include "codec/codec.h"

enum { D = 4 };

static gyre_quantizer *make(const char *option, const char *value, size_t dim)
{
    const gyre_quantizer_type *type = gyre_quantizer_find("alignedkv");
    gyre_quantizer_values o = {0};
    gyre_quantizer *q;
    gyre_error error;
    gyre_site site = {.dim = dim, .n_heads = 1};
    assert_true(gyre_options_defaults(type->options, &o));
    if (option != NULL)
        assert_true(gyre_option_parse(gyre_option_find(type->options, option), &o, value, NULL));
    CHECK_OK(gyre_quantizer_new(type, &site, &o, &q, &error), &error);
    return q;
}

static size_t encode(const gyre_quantizer *q, const float *x, size_t tokens, uint8_t *bytes)
{
    gyre_error error;
    size_t size;
    CHECK_OK(gyre_quantizer_encode(q, x, tokens, bytes, &size, &error), &error);
    return size;
}

static double scores(const gyre_quantizer *q, const uint8_t *bytes, size_t size, size_t tokens, const float *query, float *out)
{
    gyre_error error;
    gyre_read read = {.bytes = bytes, .size = size, .tokens = tokens, .last = tokens};
    double bits = 0;
    CHECK_OK(q->type->read_scores(q->state, &read, query, out, &bits, &error), &error);
    return bits;
}

static double output(const gyre_quantizer *q, const uint8_t *bytes, size_t size, size_t tokens, const float *weights, float *out)
{
    gyre_error error;
    gyre_read read = {.bytes = bytes, .size = size, .tokens = tokens, .last = tokens};
    double bits = 0;
    CHECK_OK(q->type->read_output(q->state, &read, weights, out, &bits, &error), &error);
    return bits;
}

/* 1 + 1/1024 is 0x3C01, -1.5 is 0xBE00: planes 3C BE .. | 0 0 | 1 0. */
static void planes(void **state)
{
    (void)state;
    gyre_quantizer *q = make(NULL, NULL, D);
    const float x[D] = {1.0f + 1.0f / 1024, -1.5f, 0.0f, 2.0f - 1.0f / 512};
    const uint8_t want[2 * D] = {0x3C, 0xBE, 0x00, 0x3F, 0x00, 0xF0, 0x01, 0xE0};
    uint8_t bytes[2 * D];
    float y[D];
    assert_int_equal(encode(q, x, 1, bytes), 2 * D);
    assert_memory_equal(bytes, want, sizeof want);
    q->type->decode(q->state, 0, bytes, 1, y, D);
    assert_memory_equal(x, y, sizeof x);
    gyre_quantizer_free(q);
}

/* Columns of magnitude 1, 2^-4, 2^-8 and 2^-3 under a query of ones: 16, 12, 8 and 16 bits. Left-out bits are replaced by their middle: 1 + 0x80/1024 for a 1 read with 8 bits. The
 * 65th token belongs to no full block and is read whole. */
static void keys_by_hand(void **state)
{
    (void)state;
    enum { T = 65 };
    gyre_quantizer *q = make(NULL, NULL, D);
    float x[T * D], s[T];
    uint8_t bytes[T * 2 * D];
    const float one[D] = {1, 1, 1, 1}, scale[D] = {1.0f, 1.0f / 16, 1.0f / 256, 0.125f};
    for (size_t i = 0; i < T * D; i++)
        x[i] = scale[i % D];
    size_t size = encode(q, x, T, bytes);
    double bits = scores(q, bytes, size, T, one, s);
    CHECK_CLOSE(bits, 64 * (16 + 12 + 8 + 16) + 16 * D, 0, 0);
    for (size_t t = 0; t < T; t++) {
        double want = t < 64 ? 1.0 + (1.0 + 8.0 / 1024) / 16 + (1.0 + 128.0 / 1024) / 256 + 0.125 : 1.0 + 1.0 / 16 + 1.0 / 256 + 0.125;
        CHECK_CLOSE((double)s[t], want, 1e-7, 0);
    }
    /* a query that lifts the small column by 2^8 brings all within four steps but the second, 2^-4 */
    const float lifted[D] = {1, 1, 256, 1};
    CHECK_CLOSE(scores(q, bytes, size, T, lifted, s), 64 * (16 + 12 + 16 + 16) + 16 * D, 0, 0);
    gyre_quantizer_free(q);
}

/* A column whose large values are negative: its exponent counts, unless `maximum: signed` looks at the largest value. */
static void signed_maximum(void **state)
{
    (void)state;
    enum { T = 64 };
    const char *const words[] = {"absolute", "signed"};
    for (int k = 0; k < 2; k++) {
        gyre_quantizer *q = make("maximum", words[k], 2);
        float x[T * 2], s[T];
        uint8_t bytes[T * 4];
        const float one[2] = {1, 1};
        for (size_t t = 0; t < T; t++) {
            x[2 * t] = t == 7 ? -1.0f : 1.0f / 1024;
            x[2 * t + 1] = 1.0f;
        }
        size_t size = encode(q, x, T, bytes);
        CHECK_CLOSE(scores(q, bytes, size, T, one, s), T * (k == 0 ? 32 : 24), 0, 0);
        gyre_quantizer_free(q);
    }
}

/* Values all 1, weights 1/2 at token 0 and 2^-7 elsewhere. Probes: token 0 and one of each other class; each value is seen as 1 + 128/1024, so the estimate is
 * (0.5 + 31/128) 1.125 = 0.835, exponent 14; column maximum 15; a = 14 - 1 + 15 - 15 = 13. Token 0 lies above a and is read whole; the others have exponent 8: five steps below, 12
 * bits; with the code's steps 8 bits. Weights of 2^-9 have exponent 6, seven steps below: 12 bits; masked gives a = 14, eight steps, 8 bits. */
static void values_by_hand(void **state)
{
    (void)state;
    enum { T = 64 };
    const char *const options[] = {"exponent", "steps", "exponent", "exponent"}, *const words[] = {"minus_one", "code", "minus_one", "masked"};
    static const unsigned width[] = {12, 8, 12, 8};
    for (int k = 0; k < 4; k++) {
        const float small = k < 2 ? 1.0f / 128 : 1.0f / 512;
        gyre_quantizer *q = make(options[k], words[k], 2);
        float x[T * 2], w[T], o[2];
        uint8_t bytes[T * 4];
        for (size_t t = 0; t < T; t++) {
            x[2 * t] = x[2 * t + 1] = 1.0f;
            w[t] = t == 0 ? 0.5f : small;
        }
        size_t size = encode(q, x, T, bytes);
        CHECK_CLOSE(output(q, bytes, size, T, w, o), 2 * (32 * 8 + 16 + 63 * width[k]), 0, 0);
        CHECK_CLOSE((double)o[0], 0.5 + 63.0 * (double)small * (width[k] == 12 ? 1 + 8.0 / 1024 : 1 + 128.0 / 1024), 1e-6, 0);
        gyre_quantizer_free(q);
    }
}

/* Random keys: the error of a score is bounded by what was left out, half of a 2^-6 or 2^-2 of each value; sums in binary16 stay near. */
static void errors_are_bounded(void **state)
{
    (void)state;
    enum { T = 192, W = 16 };
    static float x[T * W], q_row[W], s[T];
    static uint8_t bytes[T * 2 * W];
    const char *const words[] = {"f32", "f16"};
    for (int k = 0; k < 2; k++) {
        gyre_quantizer *q = make("accumulate", words[k], W);
        double bits = 0;
        normals(x, T * W, 3);
        normals(q_row, W, 4);
        for (size_t i = 0; i < T * W; i++)
            x[i] *= ldexpf(1.0f, -(int)(i % W)); /* columns from 1 down to 2^-15 */
        size_t size = encode(q, x, T, bytes);
        bits = scores(q, bytes, size, T, q_row, s);
        assert_true(bits < 16.0 * T * W && bits > 8.0 * T * W);
        for (size_t t = 0; t < T; t++) {
            double want = 0, bound = 0;
            for (size_t i = 0; i < W; i++) {
                double term = (double)x[t * W + i] * (double)q_row[i];
                want += term;
                bound += fabs(term);
            }
            CHECK_CLOSE((double)s[t], want, 0, bound * 0.02 + (k == 1 ? bound * W / 1024 : 0) + 1e-3);
        }
        gyre_quantizer_free(q);
    }
}

/* 2048 + 1 lies between two binary16 numbers and goes to the even one; in binary32 it is exact. Scores of one token, outputs of two. */
static void sums_are_rounded(void **state)
{
    (void)state;
    const char *const words[] = {"f32", "f16"};
    const float key[2] = {2048, 1}, values[4] = {2048, 2048, 1, 3}, one[2] = {1, 1};
    for (int k = 0; k < 2; k++) {
        gyre_quantizer *q = make("accumulate", words[k], 2);
        uint8_t bytes[8];
        float s[1], o[2];
        size_t size = encode(q, key, 1, bytes);
        CHECK_CLOSE(scores(q, bytes, size, 1, one, s), 32, 0, 0);
        assert_true(s[0] == (k == 0 ? 2049 : 2048));
        size = encode(q, values, 2, bytes);
        CHECK_CLOSE(output(q, bytes, size, 2, one, o), 64, 0, 0);
        assert_true(o[0] == (k == 0 ? 2049 : 2048) && o[1] == (k == 0 ? 2051 : 2052));
        gyre_quantizer_free(q);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    gyre_error error;
    gyre_quantizer *q = make(NULL, NULL, D), *none;
    const float huge[D] = {0, 7e4f, 0, 0};
    uint8_t bytes[2 * D] = {0};
    float s[4];
    double bits = 0;
    size_t size;
    assert_int_equal(gyre_quantizer_encode(q, huge, 1, bytes, &size, &error), GYRE_E_RANGE);
    gyre_read beyond = {.bytes = bytes, .size = sizeof bytes, .tokens = 1, .last = 2};
    assert_int_equal(q->type->read_scores(q->state, &beyond, huge, s, &bits, &error), GYRE_E_INPUT);
    assert_int_equal(q->type->read_output(q->state, &beyond, huge, s, &bits, &error), GYRE_E_INPUT);
    gyre_quantizer_free(q);
    q = make("accumulate", "f16", D); /* 4 * 3e4 * 3e4 has no binary16 */
    const float large[D] = {3e4f, 3e4f, 3e4f, 3e4f};
    assert_int_equal(encode(q, large, 1, bytes), 2 * D);
    gyre_read one = {.bytes = bytes, .size = sizeof bytes, .tokens = 1, .last = 1};
    assert_int_equal(q->type->read_scores(q->state, &one, large, s, &bits, &error), GYRE_E_RANGE);
    assert_non_null(strstr(error.message, "token 0 exceeds binary16"));
    gyre_quantizer_free(q);
    gyre_quantizer_values o = {0};
    gyre_site odd = {.dim = 5, .n_heads = 1};
    assert_int_equal(gyre_quantizer_new(gyre_quantizer_find("alignedkv"), &odd, &o, &none, &error), GYRE_E_APPLICABLE);
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find("alignedkv")}; /* scale is no rotation: queries cannot go through it */
    gyre_site site = {.dim = D, .stream = GYRE_V, .n_heads = 1};
    gyre_codec_stream stream = {&spec, &site};
    char why[GYRE_WHY];
    assert_true(gyre_codec_applies(&stream, 1, why));
    CHECK_OK(gyre_chain_add(&spec.chain, gyre_transform_find("scale"), NULL, &error), &error);
    assert_false(gyre_codec_applies(&stream, 1, why));
    assert_non_null(strstr(why, "reads by the query"));
}

/* Through a codec with a rotation: the score of a rotated query with rotated keys is near q.k, and the output comes back rotated. */
static void rotation_is_undone(void **state)
{
    (void)state;
    enum { T = 64, W = 16 };
    gyre_error error;
    float x[T * W], q_row[W], s[T], w[T], o[W];
    normals(x, T * W, 8);
    normals(q_row, W, 9);
    for (int stream_of = 0; stream_of < 2; stream_of++) {
        gyre_codec_spec spec = {.quantizer = gyre_quantizer_find("alignedkv")};
        gyre_site site = {.dim = W, .stream = stream_of == 0 ? GYRE_K : GYRE_V, .n_heads = 1};
        gyre_codec_stream stream = {&spec, &site};
        gyre_codec *codec;
        const float *rows = x;
        uint8_t bytes[T * W * 2];
        size_t size;
        double bits = 0;
        CHECK_OK(gyre_chain_add(&spec.chain, gyre_transform_find("signs"), NULL, &error), &error);
        CHECK_OK(gyre_chain_add(&spec.chain, gyre_transform_find("hadamard"), NULL, &error), &error);
        CHECK_OK(gyre_codec_new(&stream, 1, 1, &codec, &error), &error);
        assert_true(gyre_codec_reads(codec, site.stream));
        void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, T) + 64);
        assert_non_null(scratch);
        CHECK_OK(gyre_codec_encode(codec, &rows, T, NULL, bytes, &size, scratch, &error), &error);
        gyre_read read = {.bytes = bytes, .size = size, .tokens = T, .last = T};
        if (stream_of == 0) {
            CHECK_OK(gyre_codec_read_scores(codec, &read, q_row, s, &bits, scratch, &error), &error);
        } else {
            for (size_t t = 0; t < T; t++)
                w[t] = 1.0f / T;
            CHECK_OK(gyre_codec_read_output(codec, &read, w, o, &bits, scratch, &error), &error);
        }
        for (size_t t = 0; t < T && stream_of == 0; t++) {
            double want = 0;
            for (size_t i = 0; i < W; i++)
                want += (double)x[t * W + i] * (double)q_row[i];
            CHECK_CLOSE((double)s[t], want, 0, 0.02);
        }
        for (size_t i = 0; i < W && stream_of == 1; i++) {
            double want = 0;
            for (size_t t = 0; t < T; t++)
                want += (double)x[t * W + i] / T;
            CHECK_CLOSE((double)o[i], want, 0, 0.02);
        }
        free(scratch);
        gyre_codec_free(codec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes),          cmocka_unit_test(keys_by_hand),       cmocka_unit_test(signed_maximum),    cmocka_unit_test(values_by_hand),
        cmocka_unit_test(errors_are_bounded), cmocka_unit_test(sums_are_rounded), cmocka_unit_test(what_is_refused),
        cmocka_unit_test(rotation_is_undone),
    };
    return cmocka_run_group_tests_name("quant_reads", tests, NULL, NULL);
}
