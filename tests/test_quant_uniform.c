/* The uniform, float and ggml quantizers: bytes by hand and by golden headers, closed forms, published numbers, and what no input may do. */
#include "tests/check.h"

#include <float.h>

#include "core/half.h"
#include "core/minifloat.h"
#include "quant/grouped.h"
#include "tests/golden/ggml.h"

enum { DIM_MOST = 256, BYTES_MOST = 8 * DIM_MOST, HEADS = 2 };

/* "name" or "name:key=value,key=value", for HEADS heads of dim; not fitted. */
static gyre_status try_make(const char *text, size_t dim, gyre_quantizer **q, gyre_error *error)
{
    char copy[256], why[GYRE_OPTION_TEXT];
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *options = strchr(copy, ':');
    if (options != NULL)
        *options++ = '\0';
    const gyre_quantizer_type *type = gyre_quantizer_find(copy);
    assert_non_null(type);
    gyre_quantizer_values o = {0};
    (void)gyre_options_defaults(type->options, &o);
    for (char *pair = options != NULL ? strtok(options, ",") : NULL; pair != NULL; pair = strtok(NULL, ",")) {
        char *value = strchr(pair, '=');
        assert_non_null(value);
        *value++ = '\0';
        const gyre_option *option = gyre_option_find(type->options, pair);
        assert_non_null(option);
        if (!gyre_option_parse(option, &o, value, why))
            fail_msg("%s: %s", text, why);
    }
    gyre_site site = {.dim = dim, .n_heads = HEADS};
    return gyre_quantizer_new(type, &site, &o, q, error);
}

static gyre_quantizer *make(const char *text, size_t dim)
{
    gyre_quantizer *q;
    gyre_error error;
    CHECK_OK(try_make(text, dim, &q, &error), &error);
    return q;
}

/* Fitted to rows of both heads, [head][row][dim]. */
static gyre_quantizer *made_and_fitted(const char *text, size_t dim, const float *x, size_t rows)
{
    gyre_error error;
    gyre_quantizer *q = make(text, dim);
    CHECK_OK(gyre_quantizer_fit(q, x, 1, rows, &error), &error);
    return q;
}

static void code_row(const gyre_quantizer *q, const float *x, uint8_t *bytes, float *y)
{
    gyre_error error;
    CHECK_OK(q->type->encode(q->state, 0, x, 1, q->dim, bytes, &error), &error);
    if (y != NULL)
        q->type->decode(q->state, 0, bytes, 1, y, q->dim);
}

/* What every variant and option must keep. */
static const char *const variants[] = {
    "sym:bits=4,levels=full", "sym:bits=2,levels=full,group=16,scale=bf16", "sym:bits=3,clip=0.8,scale=e8m0,group=32", "sym:bits=8,search=true,scale=f16",
    "sym:bits=4,search=true,group=16,scale=e4m3", "sym:bits=4,levels=full,rounding=half_up", "sym:bits=5,rounding=half_away,group=1", "asym:bits=4,clip=0.9",
    "asym:bits=4,search=true,group=32,scale=f16", "asym:bits=3,zero=integer", "asym:bits=4,zero=integer,group=16,scale=e8m0,search=true",
    "asym:bits=8,zero=integer,group=1,scale=e4m3", "asym:bits=2,scale=bf16,rounding=half_up", "asym:bits=4,scale=e4m3,group=16", "bf16",
    "fp8:format=e4m3,scale=none", "fp8:format=e5m2,scale=none", "fp8:format=e4m3", "fp8:format=e5m2", "mxfp4", "nvfp4", "nvfp4:tensor=none", "channel:bits=4",
    "channel:bits=3,asym=true,rounding=half_away", "hqq:bits=4", "hqq:bits=2,group=16,scale=f16", "hqq:bits=8,scale=e4m3", "q4_0", "q5_0", "q8_0",
};

/* Rows alone, together, strided: the same bytes, no more than declared; both heads. */
static void bytes_and_strides(void **state)
{
    (void)state;
    enum { ROWS = 5, PAD = 3, D = 64 };
    float x[HEADS * ROWS * D], wide[ROWS * (D + PAD)], y[ROWS * D], z[ROWS * (D + PAD)];
    normals(x, HEADS * ROWS * D, 11);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        gyre_quantizer *q = made_and_fitted(variants[v], D, x, ROWS);
        gyre_error error;
        size_t row = q->type->row_bytes(q->state);
        uint8_t bytes[ROWS * BYTES_MOST], again[ROWS * BYTES_MOST];
        for (size_t h = 0; h < HEADS; h++) {
            const float *rows = x + h * ROWS * D;
            for (size_t r = 0; r < ROWS; r++)
                for (size_t i = 0; i < D + PAD; i++)
                    wide[r * (D + PAD) + i] = z[r * (D + PAD) + i] = i < D ? rows[r * D + i] : 777.0f;
            memset(bytes, 0xA5, sizeof bytes);
            CHECK_OK(q->type->encode(q->state, h, rows, ROWS, D, bytes, &error), &error);
            for (size_t i = 0; i < 8; i++)
                assert_int_equal(bytes[ROWS * row + i], 0xA5);
            CHECK_OK(q->type->encode(q->state, h, wide, ROWS, D + PAD, again, &error), &error);
            assert_memory_equal(bytes, again, ROWS * row);
            for (size_t r = 0; r < ROWS; r++) {
                CHECK_OK(q->type->encode(q->state, h, rows + r * D, 1, D, again, &error), &error);
                assert_memory_equal(again, bytes + r * row, row);
            }
            CHECK_OK(q->type->encode(q->state, h, rows, 0, D, again, &error), &error);
            q->type->decode(q->state, h, bytes, ROWS, y, D);
            q->type->decode(q->state, h, bytes, ROWS, z, D + PAD);
            double error_2 = 0, energy = 0;
            for (size_t r = 0; r < ROWS; r++) {
                assert_memory_equal(y + r * D, z + r * (D + PAD), D * sizeof *y);
                for (size_t i = 0; i < PAD; i++)
                    assert_true(z[r * (D + PAD) + D + i] == 777.0f);
                for (size_t i = 0; i < D; i++) {
                    error_2 += pow((double)y[r * D + i] - (double)rows[r * D + i], 2);
                    energy += pow((double)rows[r * D + i], 2);
                }
            }
            assert_true(error_2 < 0.4 * energy); /* two bits at worst */
        }
        gyre_quantizer_free(q);
    }
}

/* Any finite row either codes to finite values or is refused by its number; any bytes decode without harm. */
static void any_size_any_bytes(void **state)
{
    (void)state;
    enum { D = 64, SHAPES = 6 };
    static const float sizes[] = {0.0f, 1e-45f, 1e-42f, 1e-38f, 1e-20f, 1e-5f, 1.0f, 400.0f, 3000.0f, 6e4f, 1e10f, 1e37f, 1e38f, 2e38f, 3e38f, FLT_MAX};
    float unit[HEADS * 4 * D];
    size_t coded = 0, refused = 0;
    normals(unit, HEADS * 4 * D, 12);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t shape = 0; shape < SHAPES; shape++) {
                float x[D], y[D];
                uint8_t bytes[BYTES_MOST];
                gyre_error error;
                gyre_quantizer *q = made_and_fitted(variants[v], D, unit, 4);
                for (size_t i = 0; i < D; i++) {
                    float u = unit[i] / 4.0f;
                    const float shapes[SHAPES] = {u, 1.0f, -1.0f, i == 7 ? -1.0f : 0.0f, i % 2 ? -1.0f : 1.0f, 0.9f + u / 20.0f};
                    x[i] = sizes[s] * shapes[shape];
                }
                gyre_status st = q->type->encode(q->state, 1, x, 1, D, bytes, &error);
                if (st != GYRE_OK) {
                    assert_int_equal(st, GYRE_E_RANGE);
                    assert_non_null(strstr(error.message, "row 0"));
                    if (sizes[s] <= 400.0f)
                        fail_msg("%s refuses %g: %s", variants[v], (double)sizes[s], error.message);
                    refused++;
                } else {
                    q->type->decode(q->state, 1, bytes, 1, y, D);
                    for (size_t i = 0; i < D; i++)
                        if (!isfinite(y[i]))
                            fail_msg("%s: %g of a row of size %g, shape %zu, decodes to %g", variants[v], (double)x[i], (double)sizes[s], shape, (double)y[i]);
                    coded++;
                }
                gyre_site site = {.campaign_seed = 5, .seed_index = (uint32_t)(v * 1000 + s * 10 + shape)};
                gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 1, false);
                double noise[BYTES_MOST];
                size_t row = q->type->row_bytes(q->state);
                gyre_random_normals(&stream, noise, row);
                for (size_t i = 0; i < row; i++)
                    bytes[i] = (uint8_t)(fmod(fabs(noise[i]) * 1e4, 256.0));
                q->type->decode(q->state, 1, bytes, 1, y, D);
                gyre_quantizer_free(q);
            }
    (void)printf("rows of hard size and shape: %zu coded, %zu refused\n", coded, refused);
    assert_true(coded > 1000 && refused > 100);
}

static void check_bytes(const char *text, const float *x, size_t dim, const uint8_t *want, size_t n)
{
    gyre_quantizer *q = make(text, dim);
    uint8_t bytes[BYTES_MOST];
    assert_int_equal(q->type->row_bytes(q->state), n);
    code_row(q, x, bytes, NULL);
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != want[i])
            fail_msg("%s: byte %zu is %02X, expected %02X", text, i, bytes[i], want[i]);
    gyre_quantizer_free(q);
}

/* Bytes worked out by hand from docs/definitions.md. */
static void layouts(void **state)
{
    (void)state;
    const float full[4] = {7.5f, -7.5f, 3.5f, -0.5f}; /* scale 1: 7, -8, 4, 0 */
    check_bytes("sym:bits=4,levels=full", full, 4, (const uint8_t[]){0x87, 0x04, 0, 0, 0x80, 0x3F}, 6);
    check_bytes("sym:bits=4,levels=full,rounding=half_up", full, 4, (const uint8_t[]){0x97, 0x04, 0, 0, 0x80, 0x3F}, 6);   /* -7.5 + 0.5 = -7 */
    check_bytes("sym:bits=4,levels=full,rounding=half_away", full, 4, (const uint8_t[]){0x87, 0xF4, 0, 0, 0x80, 0x3F}, 6); /* -0.5 to -1 */
    const float sym[4] = {7, 2.5f, -2.5f, 1};
    check_bytes("sym:bits=4,scale=bf16", sym, 4, (const uint8_t[]){0x27, 0x1E, 0x80, 0x3F}, 4);
    check_bytes("sym:bits=4,scale=e4m3", sym, 4, (const uint8_t[]){0x27, 0x1E, 0x38}, 3);
    check_bytes("sym:bits=4,scale=e8m0", sym, 4, (const uint8_t[]){0x27, 0x1E, 0x7F}, 3);
    check_bytes("sym:bits=4,scale=e8m0,rounding=half_up", sym, 4, (const uint8_t[]){0x37, 0x1E, 0x7F}, 3);
    check_bytes("sym:bits=4,scale=e8m0,rounding=half_away", sym, 4, (const uint8_t[]){0x37, 0x1D, 0x7F}, 3);
    const float clipped[4] = {14, 2.5f, -14, 1}; /* scale 1 at half the range */
    check_bytes("sym:bits=4,clip=0.5,scale=e8m0", clipped, 4, (const uint8_t[]){0x27, 0x19, 0x7F}, 3);
    const float none[2] = {0, 0};
    check_bytes("sym:bits=4,scale=e8m0", none, 2, (const uint8_t[]){0, 0}, 2);
    /* asym, integer zero-point: -1..14 in steps of 1, z = 1; fields 15, 0, 4 and z; then scale 1 */
    const float asym[3] = {14, -1, 3};
    check_bytes("asym:bits=4,zero=integer,scale=f16", asym, 3, (const uint8_t[]){0x0F, 0x14, 0x00, 0x3C}, 4);
    const float above[2] = {5, 15}; /* the range holds 0: scale 1, z = 0 */
    check_bytes("asym:bits=4,zero=integer,scale=f16", above, 2, (const uint8_t[]){0xF5, 0x00, 0x00, 0x3C}, 4);
    /* minimum, clip 1/2: 0..40 becomes 10..30 in steps of 20/15; 20 is the middle, 7.5, to even 8 */
    const float wide[4] = {0, 40, 20, 10};
    check_bytes("asym:bits=4,clip=0.5,scale=f16", wide, 4, (const uint8_t[]){0xF0, 0x08, 0x55, 0x3D, 0x00, 0x49}, 6);
    const float plain[2] = {1.0f, -3.0f};
    check_bytes("bf16", plain, 2, (const uint8_t[]){0x80, 0x3F, 0x40, 0xC0}, 4);
    check_bytes("fp8:scale=none", plain, 2, (const uint8_t[]){0x38, 0xC4}, 2);
    check_bytes("fp8:scale=none,format=e5m2", plain, 2, (const uint8_t[]){0x3C, 0xC2}, 2);
    const float eight[2] = {896.0f, -2.0f}; /* scale 2 */
    check_bytes("fp8", eight, 2, (const uint8_t[]){0x7E, 0xB8, 0, 0, 0, 0x40}, 6);
    /* mxfp4: largest 7: e = 0, saturates to 6; ties to even mantissa */
    float block[32] = {7, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, -0.25f, -0.75f};
    const uint8_t mx[17] = {0x7F, 0x07, 0x22, 0x44, 0x66, 0xA8};
    check_bytes("mxfp4", block, 32, mx, 17);
    float half[16] = {6, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, -0.25f, -0.75f};
    const uint8_t nv[9] = {0x38, 0x07, 0x22, 0x44, 0x66, 0xA8};
    check_bytes("nvfp4:tensor=none", half, 16, nv, 9);
    const float zeros[32] = {-0.0f}; /* ggml's d is 0 / -8, a negative zero, whatever the signs */
    uint8_t q4[18] = {0x00, 0x80};
    memset(q4 + 2, 0x88, 16);
    check_bytes("q4_0", zeros, 32, q4, 18);
}

static void ggml_bytes(void **state)
{
    (void)state;
    const struct {
        const char *name;
        size_t bytes;
        const uint8_t *want;
    } types[] = {{"q4_0", 18, golden_q4_0[0]}, {"q5_0", 22, golden_q5_0[0]}, {"q8_0", 34, golden_q8_0[0]}};
    size_t blocks = sizeof golden_blocks / sizeof *golden_blocks;
    assert_true(blocks >= 30);
    for (size_t t = 0; t < 3; t++) {
        gyre_quantizer *q = make(types[t].name, 32);
        assert_int_equal(q->type->row_bytes(q->state), types[t].bytes);
        for (size_t b = 0; b < blocks; b++) {
            float x[32], y[32];
            uint8_t bytes[34];
            memcpy(x, golden_blocks[b], sizeof x);
            code_row(q, x, bytes, y);
            for (size_t i = 0; i < types[t].bytes; i++)
                if (bytes[i] != types[t].want[b * types[t].bytes + i])
                    fail_msg("%s, block %zu: byte %zu is %02X, ggml's %02X", types[t].name, b, i, bytes[i], types[t].want[b * types[t].bytes + i]);
            double d = fabs((double)gyre_half_to_float((uint16_t)(bytes[0] | bytes[1] << 8))), most = 0; /* a step at the far end, else half, and the rounding of d */
            for (size_t i = 0; i < 32; i++)
                most = fmax(most, fabs((double)x[i]));
            for (size_t i = 0; i < 32; i++)
                assert_true(fabs((double)y[i] - (double)x[i]) <= d * (t == 2 ? 0.501 : 1.001) + most * ldexp(1, -10) + 127 * ldexp(1, -25));
        }
        gyre_quantizer_free(q);
    }
}

/* ggml stores an infinite scale there. */
static void ggml_overflow_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float most;
    } edges[] = {{"q4_0", 8 * 65520.0f}, {"q5_0", 16 * 65520.0f}, {"q8_0", 127 * 65520.0f}};
    for (size_t k = 0; k < 3; k++) {
        gyre_error error;
        uint8_t bytes[34];
        gyre_quantizer *q = make(edges[k].name, 32), *none;
        float x[32] = {edges[k].most};
        assert_int_equal(q->type->encode(q->state, 0, x, 1, 32, bytes, &error), GYRE_E_RANGE);
        assert_non_null(strstr(error.message, "row 0"));
        x[0] = edges[k].most * 0.999f;
        CHECK_OK(q->type->encode(q->state, 0, x, 1, 32, bytes, &error), &error);
        assert_int_equal(try_make(edges[k].name, 80, &none, &error), GYRE_E_APPLICABLE);
        gyre_quantizer_free(q);
    }
}

/* Every E2M1 code is the nearest level of its block's own scale. */
static void nearest_level(void **state)
{
    (void)state;
    static const double levels[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    enum { D = 32, ROWS = 500 };
    for (size_t k = 0; k < 2; k++) {
        size_t block = k == 0 ? 32 : 16;
        gyre_quantizer *q = make(k == 0 ? "mxfp4" : "nvfp4:tensor=none", D);
        for (uint32_t r = 0; r < ROWS; r++) {
            float x[D], y[D];
            uint8_t bytes[18];
            normals(x, D, 2000 + r);
            code_row(q, x, bytes, y);
            for (size_t i = 0; i < D; i++) {
                uint8_t stored = bytes[i / block * (1 + block / 2)];
                double step = k == 0 ? ldexp(1, stored - 127) : (double)gyre_e4m3_to_float(stored), best = INFINITY;
                for (size_t l = 0; l < 8; l++)
                    best = fmin(best, fabs(fabs((double)x[i]) - levels[l] * step));
                CHECK_CLOSE(fabs((double)y[i] - (double)x[i]), best, 1e-6, 1e-12);
            }
        }
        gyre_quantizer_free(q);
    }
}

static double squares(const gyre_quantizer *q, const float *x, size_t from, size_t n)
{
    float y[DIM_MOST];
    uint8_t bytes[BYTES_MOST];
    double sum = 0;
    code_row(q, x, bytes, y);
    for (size_t i = from; i < from + n; i++)
        sum += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    return sum;
}

/* A search equals, group by group, the least of the arms with a fixed ratio, and is one of them to the byte. */
static void search_is_the_best_ratio(void **state)
{
    (void)state;
    enum { D = 64, G = 16, RATIOS = 29 };
    static const char *const kinds[] = {"sym:bits=3,group=16", "sym:bits=4,group=16,levels=full,scale=f16", "asym:bits=4,group=16",
                                        "asym:bits=3,group=16,zero=integer,scale=e4m3"};
    for (size_t k = 0; k < 4; k++) {
        char text[128];
        gyre_quantizer *fixed[RATIOS];
        (void)snprintf(text, sizeof text, "%s,search=true", kinds[k]);
        gyre_quantizer *q = make(text, D);
        for (int i = 0; i < RATIOS; i++) {
            (void)snprintf(text, sizeof text, "%s,clip=%.17g", kinds[k], 1.0 * (40 - i) / 40);
            fixed[i] = make(text, D);
        }
        for (uint32_t r = 0; r < 50; r++) {
            float x[D];
            normals(x, D, 3000 + r);
            x[5] *= 4.0f;
            for (size_t g = 0; g < D; g += G) {
                double least = INFINITY;
                for (int i = 0; i < RATIOS; i++)
                    least = fmin(least, squares(fixed[i], x, g, G));
                assert_true(squares(q, x, g, G) == least);
            }
        }
        for (int i = 0; i < RATIOS; i++)
            gyre_quantizer_free(fixed[i]);
        gyre_quantizer_free(q);
    }
}

/* Relative squared error of iid normals; *se its standard error, from the rows' residuals of the ratio. */
static double gaussian(const char *text, size_t d, double *se)
{
    enum { ROWS = 6000 };
    float *x = malloc(HEADS * ROWS * d * sizeof *x);
    assert_non_null(x);
    normals(x, HEADS * ROWS * d, 62);
    gyre_quantizer *q = made_and_fitted(text, d, x, ROWS);
    double errors[ROWS], energies[ROWS], error = 0, energy = 0, square = 0;
    for (size_t r = 0; r < ROWS; r++) {
        energies[r] = 0;
        for (size_t i = 0; i < d; i++)
            energies[r] += (double)x[r * d + i] * (double)x[r * d + i];
        error += errors[r] = squares(q, x + r * d, 0, d);
        energy += energies[r];
    }
    for (size_t r = 0; r < ROWS; r++)
        square += pow(errors[r] - error / energy * energies[r], 2);
    gyre_quantizer_free(q);
    free(x);
    *se = sqrt(square) / energy;
    return error / energy;
}

/* Errors of clipping and of the 4-bit floats on N(0,1), by an independent Monte Carlo that gives four decimals: agreement within half of its last place and four of our
 * standard errors, and the ratio it calls best is better than its neighbours. */
static void gaussian_error(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t d;
        double want;
        const char *beside[2];
    } rows[] = {
        {"sym:bits=4,clip=0.85", 128, 0.0118, {"sym:bits=4,clip=0.75", "sym:bits=4,clip=0.95"}},
        {"sym:bits=4,levels=full,clip=0.9", 128, 0.0108, {"sym:bits=4,levels=full,clip=0.8", "sym:bits=4,levels=full"}},
        {"asym:bits=4,clip=0.95", 128, 0.0092, {"asym:bits=4,clip=0.85", "asym:bits=4"}},
        {"sym:bits=4,group=32,clip=0.95", 128, 0.0089, {"sym:bits=4,group=32,clip=0.85", "sym:bits=4,group=32"}},
        {"sym:bits=4,search=true", 128, 0.0112, {"sym:bits=4,clip=0.85", NULL}},
        {"mxfp4", 128, 0.0132, {NULL, NULL}},
        {"nvfp4", 128, 0.0090, {NULL, NULL}},
        {"nvfp4:tensor=none", 128, 0.0090, {NULL, NULL}},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double se, other, got = gaussian(rows[k].text, rows[k].d, &se);
        (void)printf("%-34s %.5f +- %.5f (%.4f)\n", rows[k].text, got, se, rows[k].want);
        CHECK_CLOSE(got, rows[k].want, 0, 0.00005 + 4 * se);
        for (size_t b = 0; b < 2 && rows[k].beside[b] != NULL; b++)
            assert_true(gaussian(rows[k].beside[b], rows[k].d, &other) > got);
    }
}

/* What fits store, refuse and share. */
static void fits(void **state)
{
    (void)state;
    enum { D = 16, ROWS = 40 };
    static const char *const fitted[] = {"nvfp4", "channel:bits=4", "channel:bits=4,asym=true"};
    static const size_t bits[] = {32 * HEADS, 32 * HEADS * D, 64 * HEADS * D};
    float x[HEADS * ROWS * D], y[D];
    uint8_t bytes[BYTES_MOST];
    gyre_error error;
    normals(x, HEADS * ROWS * D, 14);
    for (size_t i = ROWS * D; i < HEADS * ROWS * D; i++)
        x[i] *= 10.0f;
    for (size_t k = 0; k < 3; k++) {
        gyre_quantizer *q = make(fitted[k], D);
        assert_int_equal(gyre_quantizer_fit(q, x, 0, ROWS, &error), GYRE_E_INPUT);
        assert_non_null(strstr(error.message, "has no calibration rows: name calibration documents"));
        assert_int_equal(q->type->encode(q->state, 0, x, 1, D, bytes, &error), GYRE_E_INTERNAL);
        CHECK_OK(gyre_quantizer_fit(q, x, 2, ROWS / 2, &error), &error);
        assert_int_equal(gyre_quantizer_stored_bits(q), bits[k]);
        for (size_t h = 0; h < HEADS; h++) { /* calibration rows are inside: half a step each; beyond saturates */
            double largest[D] = {0};
            for (size_t r = 0; r < ROWS; r++)
                for (size_t j = 0; j < D; j++)
                    largest[j] = fmax(largest[j], fabs((double)x[(h * ROWS + r) * D + j]));
            for (size_t r = 0; r < ROWS && k > 0; r++) {
                const float *row = x + (h * ROWS + r) * D;
                CHECK_OK(q->type->encode(q->state, h, row, 1, D, bytes, &error), &error);
                q->type->decode(q->state, h, bytes, 1, y, D);
                for (size_t j = 0; j < D; j++)
                    assert_true(fabs((double)y[j] - (double)row[j]) <= largest[j] / (k == 1 ? 14 : 15) * (1 + 1e-5));
            }
        }
        float beyond[D];
        for (size_t j = 0; j < D; j++)
            beyond[j] = 1e6f;
        CHECK_OK(q->type->encode(q->state, 0, beyond, 1, D, bytes, &error), &error);
        q->type->decode(q->state, 0, bytes, 1, y, D);
        for (size_t j = 0; j < D; j++)
            assert_true(y[j] > 0 && y[j] < 6.0f);
        gyre_quantizer_free(q);
    }
    gyre_quantizer *q = make("nvfp4:tensor=none", D);
    CHECK_OK(gyre_quantizer_fit(q, x, 0, 0, &error), &error);
    assert_int_equal(gyre_quantizer_stored_bits(q), 0);
    gyre_quantizer_free(q);
}

/* The tensor scale is what keeps small blocks out of e4m3's subnormals. */
static void tensor_scale_serves_small_rows(void **state)
{
    (void)state;
    enum { D = 128, ROWS = 100 };
    float x[HEADS * ROWS * D];
    normals(x, HEADS * ROWS * D, 15);
    for (size_t i = 0; i < HEADS * ROWS * D; i++)
        x[i] *= 1e-3f;
    gyre_quantizer *with = made_and_fitted("nvfp4", D, x, ROWS), *without = make("nvfp4:tensor=none", D);
    double a = 0, b = 0, energy = 0;
    for (size_t r = 0; r < ROWS; r++) {
        a += squares(with, x + r * D, 0, D);
        b += squares(without, x + r * D, 0, D);
        for (size_t i = 0; i < D; i++)
            energy += (double)x[r * D + i] * (double)x[r * D + i];
    }
    CHECK_CLOSE(a / energy, 0.0090, 0.03, 0);
    assert_true(b > 10 * a);
    gyre_quantizer_free(with);
    gyre_quantizer_free(without);
}

/* hqq lowers what it minimises, the mean of |error|^0.7, against the same grid with the plain offset; small errors go by
 * squares. */
static void hqq_lowers_its_norm(void **state)
{
    (void)state;
    enum { D = 64, ROWS = 400 };
    gyre_quantizer *hqq = make("hqq:bits=2,group=16", D), *asym = make("asym:bits=2,group=16", D);
    double sums[2] = {0}, squared[2] = {0};
    for (uint32_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < 2; k++) {
            float x[D], y[D];
            uint8_t bytes[BYTES_MOST];
            normals(x, D, 6000 + r);
            for (size_t i = 0; i < D; i++)
                x[i] = 3.0f * x[i] * x[i] * x[i];
            code_row(k == 0 ? hqq : asym, x, bytes, y);
            for (size_t i = 0; i < D; i++)
                sums[k] += pow(fabs((double)y[i] - (double)x[i]), 0.7);
        }
    for (uint32_t r = 0; r < ROWS; r++) {
        float x[D];
        normals(x, D, 6000 + r);
        for (size_t i = 0; i < D; i++)
            x[i] *= 0.1f;
        squared[0] += squares(hqq, x, 0, D);
        squared[1] += squares(asym, x, 0, D);
    }
    (void)printf("hqq / asym, 2 bits: heavy tails |e|^0.7 %.3f; small normals e^2 %.3f\n", sums[0] / sums[1], squared[0] / squared[1]);
    assert_true(sums[0] < 0.97 * sums[1]);
    assert_true(squared[0] < 0.97 * squared[1]);
    gyre_quantizer_free(hqq);
    gyre_quantizer_free(asym);
}

static void not_applicable(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t dim;
        const char *why;
    } rows[] = {{"mxfp4", 80, "32"}, {"nvfp4", 40, "16"}, {"asym:bits=4,scale=e8m0", 64, "no sign"}, {"hqq:bits=4,scale=e8m0", 64, "no sign"},
                {"sym:bits=4,group=5", 64, "does not divide"}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        gyre_quantizer *q;
        gyre_error error;
        assert_int_equal(try_make(rows[k].text, rows[k].dim, &q, &error), GYRE_E_APPLICABLE);
        assert_non_null(strstr(error.message, rows[k].why));
    }
}

/* Scale formats at their edges. */
static void scale_formats(void **state)
{
    (void)state;
    float r;
    assert_true(gyre_scale_round(GYRE_SCALE_E4M3, 464.0f, &r) && r == 448.0f);
    assert_false(gyre_scale_round(GYRE_SCALE_E4M3, 465.0f, &r));
    assert_true(gyre_scale_round(GYRE_SCALE_E4M3, 0.0009765625f, &r) && r == 0.0f); /* half of 2^-9 */
    assert_true(gyre_scale_round(GYRE_SCALE_E8M0, 0.0f, &r) && r == ldexpf(1, -127));
    assert_true(gyre_scale_round(GYRE_SCALE_E8M0, 1e-45f, &r) && r == ldexpf(1, -127));
    assert_true(gyre_scale_round(GYRE_SCALE_E8M0, 3.0f, &r) && r == 4.0f);
    assert_false(gyre_scale_round(GYRE_SCALE_E8M0, 3e38f, &r));
    assert_false(gyre_scale_round(GYRE_SCALE_E8M0, -1.0f, &r));
    assert_false(gyre_scale_round(GYRE_SCALE_BF16, 3.4e38f, &r));
    assert_false(gyre_scale_round(GYRE_SCALE_F16, 65520.0f, &r));
    gyre_error error;
    uint8_t bytes[64];
    const float x[4] = {7 * 465.0f, 0, 0, 1};
    gyre_quantizer *q = make("sym:bits=4,scale=e4m3", 4);
    assert_int_equal(q->type->encode(q->state, 0, x, 1, 4, bytes, &error), GYRE_E_RANGE);
    assert_non_null(strstr(error.message, "e4m3"));
    gyre_quantizer_free(q);
    q = make("sym:bits=4,scale=e4m3,search=true", 4); /* smaller ratios fit */
    CHECK_OK(q->type->encode(q->state, 0, x, 1, 4, bytes, &error), &error);
    gyre_quantizer_free(q);
    q = make("fp8:scale=none", 4);
    assert_int_equal(q->type->encode(q->state, 0, x, 1, 4, bytes, &error), GYRE_E_RANGE);
    assert_non_null(strstr(error.message, "use scale: row"));
    gyre_quantizer_free(q);
}

/* Rounding as its name says, on every quarter of the range and beside the middles. */
static void rounding(void **state)
{
    (void)state;
    for (int i = -4000; i <= 4000; i++) {
        float x = (float)i / 8.0f;
        assert_true(gyre_round(GYRE_HALF_EVEN, x) == (float)nearbyint((double)x));
        assert_true(gyre_round(GYRE_HALF_UP, x) == (float)floor((double)x + 0.5));
        assert_true(gyre_round(GYRE_HALF_AWAY, x) == (float)round((double)x));
    }
    assert_true(gyre_round(GYRE_HALF_AWAY, nextafterf(0.5f, 0.0f)) == 0.0f);
    assert_true(gyre_round(GYRE_HALF_UP, nextafterf(0.5f, 0.0f)) == 1.0f); /* the sum is taken in binary32 */
}

/* Ranges and magnitudes by lanes against the plain scan, with every remainder, every place of the extremes, and zeros of either sign. */
static void extremes_of_a_group(void **state)
{
    (void)state;
    enum { MOST = 40 };
    float y[MOST], lo, hi;
    for (size_t n = 1; n <= MOST; n++)
        for (size_t at = 0; at < n; at++) {
            normals(y, n, (uint32_t)n);
            y[at] *= at % 2 == 0 ? 50.0f : -50.0f;
            if (at % 5 == 4) /* not below, or not above, zero */
                for (size_t i = 0; i < n; i++)
                    y[i] = at % 2 == 0 ? fabsf(y[i]) : -fabsf(y[i]);
            if (at % 3 == 0)
                y[(at + 1) % n] = -0.0f;
            float least = y[0], most = y[0], magnitude = 0;
            for (size_t i = 0; i < n; i++) {
                least = fminf(least, y[i]);
                most = fmaxf(most, y[i]);
                magnitude = fmaxf(magnitude, fabsf(y[i]));
            }
            gyre_group_range(y, n, &lo, &hi);
            assert_true(lo == least && hi == most && gyre_group_largest(y, n) == magnitude);
            assert_false((lo == 0.0f && signbit(lo)) || (hi == 0.0f && signbit(hi)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_strides),
        cmocka_unit_test(extremes_of_a_group),
        cmocka_unit_test(any_size_any_bytes),
        cmocka_unit_test(layouts),
        cmocka_unit_test(ggml_bytes),
        cmocka_unit_test(ggml_overflow_is_refused),
        cmocka_unit_test(nearest_level),
        cmocka_unit_test(search_is_the_best_ratio),
        cmocka_unit_test(gaussian_error),
        cmocka_unit_test(fits),
        cmocka_unit_test(tensor_scale_serves_small_rows),
        cmocka_unit_test(hqq_lowers_its_norm),
        cmocka_unit_test(not_applicable),
        cmocka_unit_test(scale_formats),
        cmocka_unit_test(rounding),
    };
    return cmocka_run_group_tests_name("quant_uniform", tests, NULL, NULL);
}
