/* codec/ and calibrate/: order, boundary, bits, fits through a chain. */
#include "tests/check.h"

#include "calibrate/calibrate.h"

enum { DIM = 64, ROWS = 40 };

static gyre_rope rope(gyre_rope_kind kind)
{
    return (gyre_rope){.kind = kind, .n_rot = DIM, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f};
}

static void add(gyre_codec_spec *spec, const char *name, const char *option)
{
    gyre_option_values values = {0};
    gyre_error error;
    const gyre_transform_type *type = gyre_transform_find(name);
    (void)gyre_options_defaults(type->options, &values);
    if (option != NULL)
        assert_true(gyre_option_parse(&type->options[0], &values, option, NULL));
    CHECK_OK(gyre_chain_add(&spec->chain, type, &values, &error), &error);
}

static gyre_codec_spec spec_of(const char *quantizer, const char *bits)
{
    gyre_codec_spec spec = {0};
    spec.quantizer = gyre_quantizer_find(quantizer);
    (void)gyre_options_defaults(gyre_codec_table, &spec.own);
    (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    if (bits != NULL)
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "bits"), &spec.options, bits, NULL));
    return spec;
}

/* A codec of one head, or of the heads of `sites`. */
static gyre_codec *codec_of(const gyre_codec_spec *spec, const gyre_site *sites, size_t n_heads)
{
    gyre_error error;
    gyre_codec *codec;
    gyre_codec_stream stream = {spec, sites};
    CHECK_OK(gyre_codec_new(&stream, 1, n_heads, &codec, &error), &error);
    return codec;
}

static void round_trip(const gyre_codec *codec, const float *x, size_t n, const int32_t *pos, float *y)
{
    gyre_error error;
    void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, n) + 64);
    uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, n) + 1);
    size_t size;
    assert_true(scratch != NULL && bytes != NULL);
    CHECK_OK(gyre_codec_encode(codec, &x, n, pos, bytes, &size, scratch, &error), &error);
    CHECK_OK(gyre_codec_decode(codec, bytes, size, n, pos, &y, scratch, &error), &error);
    free(bytes);
    free(scratch);
}

static void positions(int32_t *pos)
{
    for (int32_t i = 0; i < ROWS; i++)
        pos[i] = 7 * i;
}

/* With an exact quantizer decoding gives the rows back, in either order, with every element. */
static void exact_quantizer_is_exact(void **state)
{
    (void)state;
    float x[ROWS * DIM], y[ROWS * DIM], bias[DIM];
    int32_t pos[ROWS];
    gyre_rope r = rope(GYRE_ROPE_NORMAL);
    positions(pos);
    normals(x, ROWS * DIM, 1);
    normals(bias, DIM, 2);
    for (int order = 0; order < 2; order++) {
        gyre_codec_spec spec = spec_of("exact", NULL);
        gyre_site site = {.dim = DIM, .stream = GYRE_K, .n_heads = 1, .rope = &r, .bias = bias, .n_positions = 16};
        gyre_codec *codec;
        spec.own.order = order;
        add(&spec, "unrope", NULL);
        add(&spec, "centre", "bias");
        add(&spec, "signs", NULL);
        add(&spec, "rfft", NULL);
        codec = codec_of(&spec, &site, 1);
        round_trip(codec, x, ROWS, pos, y);
        for (size_t i = 0; i < ROWS * DIM; i++)
            CHECK_CLOSE((double)y[i], (double)x[i], 0, 4e-6);
        assert_int_equal(gyre_codec_most_bytes(codec, ROWS), ROWS * DIM * 4);
        CHECK_CLOSE(gyre_codec_side_bits(codec), 0.0, 0, 0);
        gyre_codec_free(codec);
    }
}

/* A row that is the bias, rotated to its position, is coded without any error by [unrope, centre by bias]: in both orders and both kinds of pairs. */
static void bias_is_removed_exactly(void **state)
{
    (void)state;
    gyre_error error;
    int32_t pos[ROWS];
    positions(pos);
    for (int kind = GYRE_ROPE_NORMAL; kind <= GYRE_ROPE_NEOX; kind++)
        for (int order = 0; order < 2; order++) {
            float x[ROWS * DIM], y[ROWS * DIM], bias[DIM], scratch[DIM];
            gyre_rope r = rope((gyre_rope_kind)kind);
            gyre_site site = {.dim = DIM, .stream = GYRE_K, .n_heads = 1, .rope = &r, .bias = bias, .n_positions = 1000};
            gyre_transform *unrope;
            gyre_codec *codec;
            normals(bias, DIM, 3);
            for (size_t i = 0; i < ROWS * DIM; i++)
                x[i] = bias[i % DIM] *= i == 5 ? 600.0f : 1.0f;
            for (size_t i = 0; i < ROWS * DIM; i++)
                x[i] = bias[i % DIM];
            CHECK_OK(gyre_transform_new(gyre_transform_find("unrope"), &site, 0, NULL, &unrope, &error), &error);
            gyre_transform_inverse(unrope, x, ROWS, DIM, pos, scratch);
            gyre_transform_free(unrope);
            gyre_codec_spec spec = spec_of("sym", "4");
            spec.own.order = order;
            add(&spec, "unrope", NULL);
            add(&spec, "centre", "bias");
            codec = codec_of(&spec, &site, 1);
            round_trip(codec, x, ROWS, pos, y);
            double error_sum = 0, energy = 0;
            for (size_t i = 0; i < ROWS * DIM; i++) {
                error_sum += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
                energy += (double)x[i] * (double)x[i];
            }
            assert_true(error_sum / energy < 1e-12); /* 4 bits without centring would leave 1e-3 */
            gyre_codec_free(codec);
        }
}

/* Order matters to groups and blocks and to nothing else: per-row sym without a chain gives the same rows either way, group 32 does not; V is never permuted. */
static void order_matters_to_groups(void **state)
{
    (void)state;
    float x[DIM], y[2][DIM];
    gyre_rope r = rope(GYRE_ROPE_NORMAL);
    const int32_t pos[1] = {5};
    normals(x, DIM, 4);
    for (int stream = 0; stream < 2; stream++)
        for (int group = 0; group < 2; group++) {
            for (int order = 0; order < 2; order++) {
                gyre_codec_spec spec = spec_of("sym", "3");
                gyre_site site = {.dim = DIM, .stream = (gyre_stream)stream, .n_heads = 1, .rope = stream == GYRE_K ? &r : NULL};
                gyre_codec *codec;
                spec.own.order = order;
                if (group)
                    assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "group"), &spec.options, "32", NULL));
                codec = codec_of(&spec, &site, 1);
                round_trip(codec, x, 1, pos, y[order]);
                gyre_codec_free(codec);
            }
            if (group && stream == GYRE_K)
                assert_memory_not_equal(y[0], y[1], sizeof *y);
            else
                assert_memory_equal(y[0], y[1], sizeof *y);
        }
}

static void not_finite_is_refused(void **state)
{
    (void)state;
    static const float bad[] = {(float)NAN, (float)INFINITY, (float)-INFINITY};
    gyre_error error;
    gyre_codec *codec;
    gyre_codec_spec spec = spec_of("sym", "4");
    gyre_site site = {.dim = DIM, .stream = GYRE_V, .n_heads = 1};
    add(&spec, "hadamard", NULL);
    codec = codec_of(&spec, &site, 1);
    void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, 2) + 64);
    assert_non_null(scratch);
    for (size_t k = 0; k < 4; k++) {
        float x[2 * DIM];
        const float *rows = x;
        size_t size;
        uint8_t bytes[256];
        normals(x, 2 * DIM, 5);
        if (k < 3)
            x[DIM + 3] = bad[k];
        else
            for (size_t i = 0; i < DIM; i++)
                x[DIM + i] = 3e38f; /* finite, but the transform overflows */
        assert_int_equal(gyre_codec_encode(codec, &rows, 2, NULL, bytes, &size, scratch, &error), GYRE_E_NAN);
        assert_non_null(strstr(error.message, k < 3 ? "row 1, coordinate 3" : "row 1, coordinate 0"));
    }
    free(scratch);
    gyre_codec_free(codec);
}

/* 4 bits a row at d = 64: payload 4.5; group 32 with fp32 scales 5.0, with fp16 4.5 (arXiv 2605.05699, section 3); lambda per layer costs 32/(4096 heads). */
static void bits(void **state)
{
    (void)state;
    static const struct {
        const char *bits, *group, *scale;
        size_t row;
    } rows[] = {{"4", "row", "f32", 36}, {"4", "32", "f32", 40}, {"4", "32", "f16", 36}, {"3", "row", "f32", 28}, {"8", "row", "f32", 68}, {"4", "16", "f32", 48}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        gyre_codec_spec spec = spec_of("sym", rows[k].bits);
        gyre_site sites[3];
        for (uint32_t h = 0; h < 3; h++)
            sites[h] = (gyre_site){.dim = DIM, .stream = GYRE_V, .head = h, .n_heads = 3};
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "group"), &spec.options, rows[k].group, NULL));
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "scale"), &spec.options, rows[k].scale, NULL));
        add(&spec, "centre", "mean");
        add(&spec, "scale", NULL);
        gyre_codec *codec = codec_of(&spec, sites, 3);
        assert_int_equal(gyre_codec_most_bytes(codec, 10), 3 * 10 * rows[k].row);
        CHECK_CLOSE(gyre_codec_side_bits(codec), 32.0 / 4096 + 32.0 / (4096 * 3), 1e-15, 0);
        gyre_codec_free(codec);
    }
}

/* [centre by mean, scale by max]: each head's mean is gone before the pooled maximum is taken. */
static void calibration_walks_the_chain(void **state)
{
    (void)state;
    gyre_error error;
    gyre_codec_spec spec = spec_of("exact", NULL);
    float rows[2][4 * 2] = {{9, 1, 11, 1, 9, 1, 11, 1}, {-96, 5, -104, 5, -96, 5, -104, 5}};
    const float *all[2] = {rows[0], rows[1]};
    const int32_t pos[4] = {0, 1, 2, 3};
    gyre_site sites[2];
    add(&spec, "centre", "mean");
    add(&spec, "scale", NULL);
    for (uint32_t h = 0; h < 2; h++)
        sites[h] = (gyre_site){.dim = 2, .stream = GYRE_V, .head = h, .n_heads = 2};
    gyre_codec *codec;
    gyre_codec_stream stream = {&spec, sites};
    gyre_fit_spec fit;
    gyre_calibration data = {.n_heads = 2, .dim = 2, .group = 1, .rows = {.documents = 1, .tokens = 4, .x = {NULL, all}, .pos = pos}};
    gyre_fit_defaults(&fit);
    CHECK_OK(gyre_calibrate(&stream, 1, &fit, &data, NULL, NULL, &codec, NULL, &error), &error);
    for (size_t h = 0; h < 2; h++) {
        float x[2] = {rows[h][0], rows[h][1]};
        gyre_transform_forward(gyre_codec_chain(codec, 0, h), x, 1, 2, pos, NULL);
        /* deviations are 1 and 4; the pooled maximum is 4 */
        CHECK_CLOSE((double)x[0], h == 0 ? -0.25 : 1.0, 1e-6, 0);
        CHECK_CLOSE((double)x[1], 0.0, 0, 0);
    }
    gyre_codec_free(codec);
    data.rows.documents = 0;
    assert_int_equal(gyre_calibrate(&stream, 1, &fit, &data, NULL, NULL, &codec, NULL, &error), GYRE_E_INPUT);
    assert_null(codec);
}

/* A quantizer of K and V together is refused one stream, and different options for the two; given both, it codes them. */
static void joint_quantizers_need_both_streams(void **state)
{
    (void)state;
    static const char *const names[] = {"packkv", "ott"};
    static float rows[2][ROWS * DIM], back[2][ROWS * DIM];
    const float *x[2] = {rows[0], rows[1]};
    float *y[2] = {back[0], back[1]};
    int32_t pos[ROWS];
    gyre_error error;
    gyre_site sites[2] = {{.dim = DIM, .stream = GYRE_K, .n_heads = 1}, {.dim = DIM, .stream = GYRE_V, .n_heads = 1}};
    positions(pos);
    normals(rows[0], ROWS * DIM, 7);
    normals(rows[1], ROWS * DIM, 8);
    for (size_t k = 0; k < 2; k++) {
        gyre_codec_spec specs[2] = {spec_of(names[k], NULL), spec_of(names[k], NULL)};
        const char *key = k == 0 ? "block" : "group", *other = k == 0 ? "rel_v" : "bits";
        gyre_codec_stream streams[2] = {{&specs[0], &sites[0]}, {&specs[1], &sites[1]}};
        gyre_codec *codec;
        size_t size;
        assert_true(gyre_codec_joint(&specs[0]));
        assert_int_equal(gyre_codec_new(streams, 1, 1, &codec, &error), GYRE_E_APPLICABLE);
        assert_non_null(strstr(error.message, names[k]));
        assert_non_null(strstr(error.message, "codes K and V together"));
        for (size_t s = 0; s < 2; s++)
            assert_true(gyre_option_parse(gyre_option_find(specs[s].quantizer->options, key), &specs[s].options, "16", NULL));
        CHECK_OK(gyre_codec_new(streams, 2, 1, &codec, &error), &error);
        void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, ROWS) + 64);
        uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, ROWS));
        assert_true(scratch != NULL && bytes != NULL);
        CHECK_OK(gyre_codec_encode(codec, x, ROWS, pos, bytes, &size, scratch, &error), &error);
        CHECK_OK(gyre_codec_decode(codec, bytes, size, ROWS, pos, y, scratch, &error), &error);
        for (size_t s = 0; s < 2; s++)
            for (size_t i = 32 * DIM; i < ROWS * DIM; i++) /* beyond the whole groups: binary16 */
                CHECK_CLOSE((double)back[s][i], (double)rows[s][i], 1e-3, 1e-7);
        assert_memory_not_equal(back[0], rows[0], 32 * DIM * sizeof(float));
        free(bytes);
        free(scratch);
        gyre_codec_free(codec);
        assert_true(gyre_option_parse(gyre_option_find(specs[1].quantizer->options, other), &specs[1].options, k == 0 ? "0.2" : "3", NULL));
        assert_int_equal(gyre_codec_new(streams, 2, 1, &codec, &error), GYRE_E_APPLICABLE);
        specs[0] = spec_of("sym", "4"); /* the one that is told of is the joint one */
        assert_int_equal(gyre_codec_new(streams, 2, 1, &codec, &error), GYRE_E_APPLICABLE);
        assert_non_null(strstr(error.message, names[k]));
    }
}

/* What the chains of a joint codec store is spread over the values of both streams: lambda of K alone, pooled over the heads, costs 32/(4096 heads) over two. */
static void side_bits_of_both_streams(void **state)
{
    (void)state;
    gyre_error error;
    gyre_codec_spec specs[2] = {spec_of("packkv", NULL), spec_of("packkv", NULL)};
    gyre_site sites[2][3];
    for (uint32_t i = 0; i < 6; i++)
        sites[i / 3][i % 3] = (gyre_site){.dim = DIM, .stream = (gyre_stream)(i / 3), .head = i % 3, .n_heads = 3};
    for (int both = 0; both < 2; both++) {
        gyre_codec_stream streams[2] = {{&specs[0], sites[0]}, {&specs[1], sites[1]}};
        gyre_codec *codec;
        add(&specs[both], "scale", NULL);
        CHECK_OK(gyre_codec_new(streams, 2, 3, &codec, &error), &error);
        CHECK_CLOSE(gyre_codec_side_bits(codec), (both ? 1.0 : 0.5) * 32.0 / (4096 * 3), 1e-15, 0);
        gyre_codec_free(codec);
    }
}

static void canonical(void **state)
{
    (void)state;
    char text[GYRE_CODEC_TEXT];
    gyre_codec_spec spec = spec_of("asym", "3");
    add(&spec, "signs", "head");
    add(&spec, "hadamard", NULL);
    gyre_codec_canonical(&spec, text, sizeof text);
    assert_string_equal(text, "order=half_split;chain=[signs(per=head),hadamard(form=sylvester)];quantizer=asym(bits=3,group=row,scale=f32,rounding=half_even,zero=minimum,clip=1,search=false,learn=false)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_quantizer_is_exact), cmocka_unit_test(bias_is_removed_exactly), cmocka_unit_test(order_matters_to_groups),
        cmocka_unit_test(not_finite_is_refused),    cmocka_unit_test(bits),                    cmocka_unit_test(calibration_walks_the_chain),
        cmocka_unit_test(joint_quantizers_need_both_streams), cmocka_unit_test(side_bits_of_both_streams), cmocka_unit_test(canonical),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
