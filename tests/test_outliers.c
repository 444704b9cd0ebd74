/* Rotations before a quantizer, on one constant outlier in Gaussian noise: an independent Monte Carlo's table, and what offsets do without signs.
 *
 * d = 128, 4 bits a row, squared error over the energy of the noise alone; the outlier stands at a random place, signs and matrices are drawn anew for each of DRAWS draws. A number is
 * allowed half a unit of its last printed digit and four standard errors of both programs (taken as equal); the standard error over the draws is printed. What it shows: full
 * rotations spread an outlier's quantization step over all coordinates, so beyond A of about 200 they lose against none; signs repair offsets, not spikes.
 */
#include "tests/check.h"

#include "codec/codec.h"

enum { D = 128, ROWS = 16, DRAWS = 300 };

static void add(gyre_chain_spec *chain, const char *name)
{
    gyre_option_values values = {0};
    gyre_error error;
    const gyre_transform_type *type = gyre_transform_find(name);
    assert_non_null(type);
    assert_true(gyre_options_defaults(type->options, &values));
    CHECK_OK(gyre_chain_add(chain, type, &values, &error), &error);
}

/* Error of one draw over the noise energy: rows of noise, `spike` at coordinate `at`, `offset` everywhere. */
static double error_of(const gyre_codec_spec *spec, uint32_t draw, float spike, size_t at, float offset)
{
    gyre_error error;
    gyre_codec *codec;
    gyre_site site = {.dim = D, .stream = GYRE_V, .n_heads = 1, .campaign_seed = 17, .seed_index = draw};
    gyre_codec_stream stream = {spec, &site};
    float noise[ROWS * D], x[ROWS * D], y[ROWS * D], *to = y;
    const float *from = x;
    uint8_t bytes[ROWS * (D + 16)];
    size_t size;
    double off = 0, energy = 0;
    CHECK_OK(gyre_codec_new(&stream, 1, 1, &codec, &error), &error);
    void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, ROWS) + 64);
    assert_non_null(scratch);
    normals(noise, ROWS * D, 900 + draw);
    for (size_t i = 0; i < ROWS * D; i++)
        x[i] = noise[i] + offset + (i % D == at ? spike : 0.0f);
    CHECK_OK(gyre_codec_encode(codec, &from, ROWS, NULL, bytes, &size, scratch, &error), &error);
    CHECK_OK(gyre_codec_decode(codec, bytes, size, ROWS, NULL, &to, scratch, &error), &error);
    for (size_t i = 0; i < ROWS * D; i++) {
        off += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
        energy += (double)noise[i] * (double)noise[i];
    }
    free(scratch);
    gyre_codec_free(codec);
    return off / energy;
}

/* Mean and standard error over the draws. */
static void measure(const gyre_codec_spec *spec, float spike, float offset, double *mean, double *standard_error)
{
    const gyre_random places = gyre_random_stream(&(gyre_site){.campaign_seed = 5}, GYRE_PURPOSE_SYNTHETIC, 0, false);
    double sum = 0, square = 0;
    for (uint32_t k = 0; k < DRAWS; k++) {
        double e = error_of(spec, k, spike, gyre_random_word(&places, k) % D, offset);
        sum += e;
        square += e * e;
    }
    *mean = sum / DRAWS;
    *standard_error = sqrt(fmax(square / DRAWS - *mean * *mean, 0.0) / DRAWS);
}

static gyre_codec_spec spec_of(const char *quantizer, const char *first, const char *second)
{
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find(quantizer)};
    (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "bits"), &spec.options, "4", NULL));
    if (first != NULL)
        add(&spec.chain, first);
    if (second != NULL)
        add(&spec.chain, second);
    return spec;
}

/* Allowed: half a unit of the last printed digit of the wanted number, and four standard errors of two runs. */
static void expect(const char *name, const gyre_codec_spec *spec, float spike, float offset, double want, double digit)
{
    double mean, se;
    measure(spec, spike, offset, &mean, &se);
    (void)printf("%-22s A=%-4g offset=%-2g %.4f +- %.4f (%g)\n", name, (double)spike, (double)offset, mean, se, want);
    CHECK_CLOSE(mean, want, 0, 0.5 * digit + 4.0 * sqrt(2.0) * se);
}

static void one_outlier(void **state)
{
    (void)state;
    static const float spikes[6] = {0, 10, 20, 50, 100, 300};
    static const struct {
        const char *name, *quantizer, *first, *second;
        double want[6];
        double digit[6];
    } rows[] = {
        {"identity", "sym", NULL, NULL, {.0137, .169, .602, .991, .992, .992}, {1e-4, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3}},
        {"srht", "sym", "signs", "hadamard", {.0138, .0207, .0323, .0832, .221, 1.78}, {1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2}},
        {"srft", "sym", "signs", "rfft", {.0138, .0215, .0370, .1147, .348, 2.77}, {1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2}},
        {"signs, dht", "sym", "signs", "dht", {.0137, .0214, .0368, .1139, .344, 2.75}, {1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2}},
        {"rffthash", "sym", "rffthash", NULL, {.0138, .0215, .0369, .1143, .343, 2.72}, {1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2}},
        {"haar", "sym", "haar", NULL, {.0137, .0243, .0561, .289, 1.10, 9.36}, {1e-4, 1e-4, 1e-4, 1e-3, 1e-2, 1e-2}},
        {"srht, asym", "asym", "signs", "hadamard", {.0099, .0153, .0247, .0664, .182, 1.46}, {1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2}},
        {"srft, asym", "asym", "signs", "rfft", {.0099, .0158, .0282, .0918, .287, 2.37}, {1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2}},
        {"haar, asym", "asym", "haar", NULL, {.0099, .0176, .0410, .207, .786, 6.87}, {1e-4, 1e-4, 1e-4, 1e-3, 1e-3, 1e-2}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gyre_codec_spec spec = spec_of(rows[r].quantizer, rows[r].first, rows[r].second);
        for (size_t a = 0; a < 6; a++)
            expect(rows[r].name, &spec, spikes[a], 0.0f, rows[r].want[a], rows[r].digit[a]);
    }
}

/* The same offset on every channel: without signs one coefficient takes it all, with them it spreads. */
static void common_offset(void **state)
{
    (void)state;
    static const struct {
        const char *name, *first, *second;
        double want;
    } rows[] = {{"hadamard", "hadamard", NULL, .943}, {"srht", "signs", "hadamard", .139}, {"rfft", "rfft", NULL, .942}, {"srft", "signs", "rfft", .139}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gyre_codec_spec spec = spec_of("sym", rows[r].first, rows[r].second);
        expect(rows[r].name, &spec, 0.0f, 3.0f, rows[r].want, 1e-3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_outlier), cmocka_unit_test(common_offset)};
    return cmocka_run_group_tests_name("outliers", tests, NULL, NULL);
}
