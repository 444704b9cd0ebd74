/* calibrate/calibrate.h: closed forms through a codec, which tokens are used, the best of several draws, and what is refused. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include "calibrate/base.h"
#include "calibrate/calibrate.h"
#include "calibrate/moments.h"
#include "calibrate/select.h"

enum { DIM = 32, HEADS = 2, GROUP = 2, DOCUMENTS = 2, TOKENS = 60, QUERIES = 6, ROWS = DOCUMENTS * TOKENS, CHECKED = 40, LINKS = 4 };

typedef const char *const links[LINKS][2]; /* element, and what its option with such a value is, or NULL */

/* Keys and values of a layer: correlated channels of unequal size, another mixture in every head. */
typedef struct layer {
    gyre_rope rope;
    float x[2][HEADS][ROWS * DIM], other[2][HEADS][CHECKED * DIM], bias[HEADS][DIM], q[DOCUMENTS * HEADS * GROUP * QUERIES * DIM];
    const float *rows[2][HEADS], *checked[2][HEADS];
    int32_t pos[ROWS], query_pos[DOCUMENTS * QUERIES];
    gyre_site sites[2][HEADS];
    gyre_calibration data;
} layer;

static void fill(float *x, size_t n, uint32_t id)
{
    normals(x, n * DIM, id);
    for (size_t i = 0; i < n * DIM; i++)
        x[i] = (i % DIM > 0 ? (0.3f + 0.1f * (float)(id % 5)) * x[i - 1] : 0.0f) + x[i] * (float)(1 + (i + id) % 7) + (i % DIM == 4 ? 20.0f : 0.0f);
}

static void make_layer(layer *l)
{
    *l = (layer){.rope = {.kind = GYRE_ROPE_NORMAL, .n_rot = DIM, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f}};
    for (int32_t i = 0; i < ROWS; i++)
        l->pos[i] = i % TOKENS;
    for (int32_t i = 0; i < DOCUMENTS * QUERIES; i++)
        l->query_pos[i] = TOKENS - QUERIES + i % QUERIES;
    normals(l->q, sizeof l->q / sizeof *l->q, 50);
    for (uint32_t s = 0; s < 2; s++)
        for (uint32_t h = 0; h < HEADS; h++) {
            fill(l->x[s][h], ROWS, 60 + 2 * s + h);
            fill(l->other[s][h], CHECKED, 80 + 2 * s + h);
            l->rows[s][h] = l->x[s][h];
            l->checked[s][h] = l->other[s][h];
            normals(l->bias[h], DIM, 90 + h);
            l->sites[s][h] = (gyre_site){.dim = DIM, .stream = (gyre_stream)s, .head = h, .n_heads = HEADS, .n_positions = TOKENS, .rope = s == GYRE_K ? &l->rope : NULL,
                                         .bias = s == GYRE_K ? l->bias[h] : NULL};
        }
    l->data = (gyre_calibration){.n_heads = HEADS, .dim = DIM, .group = GROUP, .score_scale = 0.25,
                                 .rows = {.documents = DOCUMENTS, .tokens = TOKENS, .queries = QUERIES, .x = {l->rows[0], l->rows[1]}, .pos = l->pos, .q = l->q, .query_pos = l->query_pos}};
}

static void add(gyre_codec_spec *spec, const char *name, const char *option)
{
    gyre_option_values values = {0};
    gyre_error error;
    const gyre_transform_type *type = gyre_transform_find(name);
    (void)gyre_options_defaults(type->options, &values);
    bool said = option == NULL;
    for (size_t i = 0; !said && type->options[i].key != NULL; i++)
        said = gyre_option_parse(&type->options[i], &values, option, NULL);
    assert_true(said);
    CHECK_OK(gyre_chain_add(&spec->chain, type, &values, &error), &error);
}

static gyre_codec_spec spec_of(const links elements, const char *quantizer, const char *bits)
{
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find(quantizer)};
    (void)gyre_options_defaults(gyre_codec_table, &spec.own);
    (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    if (bits != NULL)
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, "bits"), &spec.options, bits, NULL));
    for (size_t i = 0; i < LINKS && elements[i][0] != NULL; i++)
        add(&spec, elements[i][0], elements[i][1]);
    return spec;
}

static gyre_fit_spec fit_of(int64_t tokens, int64_t draws)
{
    gyre_fit_spec fit;
    gyre_fit_defaults(&fit);
    fit.own.tokens = tokens;
    fit.own.draws = draws;
    return fit;
}

static gyre_codec *calibrated(layer *l, const gyre_codec_spec *spec, gyre_stream stream, const gyre_fit_spec *fit, gyre_fits *fits)
{
    gyre_error error;
    gyre_codec *codec;
    gyre_codec_stream one = {spec, l->sites[stream]};
    CHECK_OK(gyre_calibrate(&one, 1, fit, &l->data, NULL, NULL, &codec, fits, &error), &error);
    return codec;
}

static void refused(layer *l, const gyre_codec_spec *spec, gyre_stream stream, const gyre_fit_spec *fit, const gyre_fits *fitted, gyre_status status, const char *says)
{
    gyre_error error = {0};
    gyre_codec *codec;
    gyre_fits fits = {0};
    gyre_codec_stream one = {spec, l->sites[stream]};
    assert_int_equal(gyre_calibrate(&one, 1, fit, &l->data, fitted, NULL, &codec, &fits, &error), status);
    assert_null(codec);
    assert_true(fits.count == 0 && fits.items == NULL);
    if (strstr(error.message, says) == NULL)
        fail_msg("it said '%s', not '%s'", error.message, says);
}

/* T (or T^-1) of the last element of a head's chain, by unit vectors. */
static void matrix_of(gyre_codec *codec, size_t head, bool inverse, double *m)
{
    gyre_transform *chain = gyre_codec_chain(codec, 0, head);
    const gyre_transform *t = gyre_chain_element(chain, gyre_chain_count(chain) - 1);
    for (size_t j = 0; j < DIM; j++) {
        double x[DIM] = {0};
        x[j] = 1.0;
        (inverse ? t->type->inverse_ref : t->type->forward_ref)(t->state, x, 0);
        for (size_t i = 0; i < DIM; i++)
            m[i * DIM + j] = x[i];
    }
}

/* m += part of a s a', or a' s a. */
static void congruence(const double *a, bool transpose, const double *s, double *m)
{
    double half[DIM * DIM];
    for (size_t i = 0; i < DIM * DIM; i++) {
        half[i] = 0;
        for (size_t k = 0; k < DIM; k++)
            half[i] += (transpose ? a[k * DIM + i / DIM] : a[i / DIM * DIM + k]) * s[k * DIM + i % DIM];
    }
    for (size_t i = 0; i < DIM * DIM; i++) {
        m[i] = 0;
        for (size_t k = 0; k < DIM; k++)
            m[i] += half[i / DIM * DIM + k] * (transpose ? a[k * DIM + i % DIM] : a[i % DIM * DIM + k]);
    }
}

/* Second moments of heads first..last-1 where they reach the last element, about the mean or about 0. */
static void moments(layer *l, gyre_codec *codec, gyre_stream stream, size_t first, size_t last, bool centred, double *m)
{
    static float z[HEADS * ROWS * DIM];
    gyre_error error;
    double mean[DIM] = {0}, n = (double)((last - first) * ROWS);
    for (size_t h = first; h < last; h++) {
        gyre_base *base;
        void *scratch;
        CHECK_OK(gyre_base_new(codec, 0, h, gyre_chain_count(gyre_codec_chain(codec, 0, h)) - 1, &base, &error), &error);
        assert_int_equal(posix_memalign(&scratch, 64, gyre_base_scratch(base)), 0);
        gyre_base_rows(base, l->x[stream][h], l->pos, ROWS, z + h * ROWS * DIM, scratch);
        free(scratch);
        gyre_base_free(base);
    }
    for (size_t i = first * ROWS * DIM; centred && i < last * ROWS * DIM; i++)
        mean[i % DIM] += (double)z[i] / n;
    memset(m, 0, DIM * DIM * sizeof *m);
    for (size_t r = first * ROWS; r < last * ROWS; r++)
        for (size_t i = 0; i < DIM * DIM; i++)
            m[i] += ((double)z[r * DIM + i / DIM] - mean[i / DIM]) * ((double)z[r * DIM + i % DIM] - mean[i % DIM]) / n;
}

static double trace(const double *m)
{
    double sum = 0;
    for (size_t i = 0; i < DIM; i++)
        sum += m[i * DIM + i];
    return sum;
}

/* ---- closed forms ---- */

/* pca makes its own rows uncorrelated: those of all heads together, or of each head; not the ones of the other scope. */
static void pca_per_layer_and_per_head(void **state)
{
    (void)state;
    static layer l;
    make_layer(&l);
    for (int per_head = 0; per_head < 2; per_head++)
        for (int stream = 0; stream < 2; stream++) {
            const gyre_fit_spec fit = fit_of(0, 1);
            const gyre_codec_spec spec = stream == GYRE_K ? spec_of((links){{"unrope", NULL}, {"centre", "bias"}, {"pca", per_head ? "head" : "layer"}}, "exact", NULL)
                                                          : spec_of((links){{"pca", per_head ? "head" : "layer"}}, "exact", NULL);
            gyre_codec *codec = calibrated(&l, &spec, (gyre_stream)stream, &fit, NULL);
            double m[DIM * DIM], v[2][DIM * DIM], after[DIM * DIM];
            for (size_t h = 0; h < HEADS; h++) {
                matrix_of(codec, h, false, v[h]);
                for (int pooled = 0; pooled < 2; pooled++) {
                    double off = 0;
                    moments(&l, codec, (gyre_stream)stream, pooled ? 0 : h, pooled ? HEADS : h + 1, true, m);
                    congruence(v[h], false, m, after);
                    for (size_t i = 0; i < DIM * DIM; i++)
                        off = fmax(off, i / DIM == i % DIM ? 0.0 : fabs(after[i]));
                    if (pooled == !per_head)
                        CHECK_CLOSE(off, 0.0, 0, 1e-10 * trace(m));
                    else
                        assert_true(off > 1e-3 * trace(m));
                }
            }
            if (!per_head)
                assert_memory_equal(v[0], v[1], sizeof v[0]);
            CHECK_CLOSE(gyre_codec_side_bits(codec), 32.0 * DIM / 4096 / (per_head ? 1 : HEADS), 1e-12, 0);
            gyre_codec_free(codec);
        }
}

/* wush behind unrope: the damped moments of keys and of queries, as they meet there, are brought to one matrix with a flat diagonal. */
static void wush_per_layer_and_per_head(void **state)
{
    (void)state;
    static layer l;
    make_layer(&l);
    for (int per_head = 0; per_head < 2; per_head++) {
        const gyre_codec_spec spec = spec_of((links){{"unrope", NULL}, {"wush", per_head ? "head" : "layer"}}, "exact", NULL);
        const gyre_fit_spec fit = fit_of(0, 1);
        gyre_codec *codec = calibrated(&l, &spec, GYRE_K, &fit, NULL);
        for (size_t h = 0; h < HEADS; h += per_head ? 1 : HEADS) {
            size_t last = per_head ? h + 1 : HEADS;
            double keys[DIM * DIM], queries[DIM * DIM] = {0}, t[DIM * DIM], a[DIM * DIM], b[DIM * DIM], part[2];
            moments(&l, codec, GYRE_K, h, last, false, keys);
            for (size_t g = h; g < last; g++) {
                gyre_error error;
                gyre_base *base;
                CHECK_OK(gyre_base_new(codec, 0, g, 1, &base, &error), &error);
                CHECK_OK(gyre_query_moments(base, &l.data, &l.data.rows, g, a, &error), &error);
                gyre_base_free(base);
                for (size_t i = 0; i < DIM * DIM; i++)
                    queries[i] += a[i] / (double)(last - h);
            }
            part[0] = 0.01 * trace(keys) / DIM;
            part[1] = 0.01 * trace(queries) / DIM;
            for (size_t i = 0; i < DIM; i++) {
                keys[i * DIM + i] += part[0];
                queries[i * DIM + i] += part[1];
            }
            matrix_of(codec, last - 1, false, t);
            congruence(t, false, keys, a);
            matrix_of(codec, last - 1, true, t);
            congruence(t, true, queries, b);
            for (size_t i = 0; i < DIM * DIM; i++) {
                CHECK_CLOSE(a[i], b[i], 0, 1e-9 * trace(a) / DIM);
                if (i / DIM == i % DIM)
                    CHECK_CLOSE(a[i], trace(a) / DIM, 1e-9, 0);
            }
        }
        gyre_codec_free(codec);
    }
    const gyre_codec_spec spec = spec_of((links){{"wush", NULL}}, "exact", NULL);
    const gyre_fit_spec fit = fit_of(0, 1);
    l.data.rows.queries = 0;
    refused(&l, &spec, GYRE_K, &fit, NULL, GYRE_E_INPUT, "--queries");
    gyre_codec *codec = calibrated(&l, &spec, GYRE_V, &fit, NULL); /* values ask for none */
    gyre_codec_free(codec);
}

/* ---- tokens ---- */

static void tokens_are_spread(void **state)
{
    (void)state;
    static layer l;
    for (size_t total = 1; total < 80; total++)
        for (size_t n = 1; n <= total; n++) {
            assert_int_equal(gyre_select_place(0, n, total), 0);
            for (size_t i = 1; i <= n; i++) {
                size_t gap = gyre_select_place(i, n, total) - gyre_select_place(i - 1, n, total);
                assert_true(gap == total / n || gap == (total + n - 1) / n);
            }
            assert_int_equal(gyre_select_place(n, n, total), total);
        }
    make_layer(&l);
    const gyre_codec_spec spec = spec_of((links){{"centre", "mean"}}, "exact", NULL);
    const int64_t counts[] = {0, 1, 7, ROWS};
    for (size_t k = 0; k < 4; k++) {
        const gyre_fit_spec fit = fit_of(counts[k], 1);
        size_t n = counts[k] > 0 ? (size_t)counts[k] : ROWS;
        gyre_codec *codec = calibrated(&l, &spec, GYRE_V, &fit, NULL);
        for (size_t h = 0; h < HEADS; h++) {
            float zero[DIM] = {0};
            gyre_transform_inverse(gyre_codec_chain(codec, 0, h), zero, 1, DIM, NULL, NULL);
            for (size_t j = 0; j < DIM; j++) {
                double sum = 0;
                for (size_t i = 0; i < n; i++)
                    sum += (double)l.x[GYRE_V][h][i * ROWS / n * DIM + j];
                CHECK_CLOSE((double)zero[j], sum / (double)n, 1e-6, 1e-6);
            }
        }
        gyre_codec_free(codec);
    }
}

static void rows_are_wanted(void **state)
{
    (void)state;
    static layer l;
    make_layer(&l);
    const gyre_codec_spec spec = spec_of((links){{"pca", NULL}}, "exact", NULL), plain = spec_of((links){{"hadamard", NULL}}, "exact", NULL);
    gyre_fit_spec fit = fit_of(ROWS + 1, 1);
    refused(&l, &spec, GYRE_V, &fit, NULL, GYRE_E_INPUT, "fit.tokens asks for 121 calibration tokens, and the calibration documents have 120");
    gyre_codec_free(calibrated(&l, &plain, GYRE_V, &fit, NULL)); /* what needs no rows does not count them */
    fit = fit_of(0, 1);
    l.x[GYRE_V][1][700] = NAN;
    refused(&l, &spec, GYRE_V, &fit, NULL, GYRE_E_NAN, "pca");
    l.data.rows.documents = 0;
    refused(&l, &spec, GYRE_V, &fit, NULL, GYRE_E_INPUT, "no calibration rows");
    fit = fit_of(0, 1);
    gyre_codec_free(calibrated(&l, &plain, GYRE_V, &fit, NULL));
}

/* ---- best of draws ---- */

/* A document of every head, coded and decoded by a codec. */
static void decode_all(const gyre_codec *codec, const float *const *x, size_t n, const int32_t *pos, float *out)
{
    gyre_error error;
    float *y[HEADS];
    void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, n) + 64);
    uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, n) + 1);
    size_t size;
    assert_true(scratch != NULL && bytes != NULL);
    for (size_t h = 0; h < HEADS; h++)
        y[h] = out + h * n * DIM;
    CHECK_OK(gyre_codec_encode(codec, x, n, pos, bytes, &size, scratch, &error), &error);
    CHECK_OK(gyre_codec_decode(codec, bytes, size, n, pos, y, scratch, &error), &error);
    free(bytes);
    free(scratch);
}

/* Mean |x^ - x|^2 of tokens floor(i total / n) of all heads. */
static double mean_error(const float *const *x, const float *decoded, size_t n, size_t total)
{
    double sum = 0;
    for (size_t h = 0; h < HEADS; h++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < DIM; j++) {
                size_t at = i * total / n * DIM + j;
                double off = (double)decoded[h * total * DIM + at] - (double)x[h][at];
                sum += off * off;
            }
    return sum / (double)(n * HEADS);
}

static double mean_energy(const float *const *x, size_t n)
{
    static const float nothing[HEADS * ROWS * DIM];
    return mean_error(x, nothing, n, ROWS);
}

/* A codec whose sites ask for one draw, fitted as ever, without any choice. */
static gyre_codec *codec_of_draw(layer *l, const gyre_codec_spec *spec, gyre_stream stream, uint32_t draw)
{
    gyre_error error;
    gyre_codec *codec;
    gyre_site sites[HEADS];
    memcpy(sites, l->sites[stream], sizeof sites);
    for (size_t h = 0; h < HEADS; h++)
        sites[h].draw = draw;
    gyre_codec_stream one = {spec, sites};
    CHECK_OK(gyre_codec_new(&one, 1, HEADS, &codec, &error), &error);
    return codec;
}

/* Values of 20 draws and the choice, against codecs that are built draw by draw and asked to code the rows. */
static void check_draws(layer *l, gyre_stream stream, const links elements, const char *quantizer, int64_t tokens)
{
    enum { DRAWS = 20 };
    static float decoded[HEADS * ROWS * DIM], chosen[HEADS * ROWS * DIM];
    const gyre_codec_spec spec = spec_of(elements, quantizer, strcmp(quantizer, "sym") == 0 ? "4" : NULL);
    const gyre_fit_spec fit = fit_of(tokens, DRAWS);
    const float *const *x = l->rows[stream], *const *other = l->checked[stream];
    char why[GYRE_WHY];
    size_t n = tokens > 0 ? (size_t)tokens : ROWS, best = 0;
    double value[2][DRAWS], energy = mean_energy(x, n);
    gyre_fits fits;
    l->data.validation = (gyre_rows){.documents = 1, .tokens = CHECKED, .x = {l->checked[0], l->checked[1]}, .pos = l->pos};
    assert_true(gyre_fit_check(&spec, &fit, stream, why));
    gyre_codec *codec = calibrated(l, &spec, stream, &fit, &fits);
    decode_all(codec, x, ROWS, l->pos, chosen);
    gyre_codec_free(codec);
    for (uint32_t r = 0; r < DRAWS; r++) {
        codec = codec_of_draw(l, &spec, stream, r);
        decode_all(codec, other, CHECKED, l->pos, decoded);
        value[1][r] = mean_error(other, decoded, CHECKED, CHECKED) / energy;
        decode_all(codec, x, ROWS, l->pos, decoded);
        value[0][r] = mean_error(x, decoded, n, ROWS) / energy;
        gyre_codec_free(codec);
        best = value[0][r] < value[0][best] ? r : best;
        if (r > 0)
            assert_true(value[0][r] != value[0][r - 1]);
    }
    assert_int_equal(fits.count, 1);
    const gyre_fit *f = &fits.items[0];
    assert_true(f->stream == stream && f->pooled && f->n_parameters == 0 && f->freedom == 0 && f->restart == 0);
    assert_int_equal(f->n_points, DRAWS);
    for (size_t r = 0; r < DRAWS; r++) {
        assert_int_equal(f->point_step[r], r);
        for (size_t k = 0; k < 2; k++)
            CHECK_CLOSE(f->point[k][r], value[k][r], 2e-5, 0); /* the frame is reached and left in float */
    }
    assert_int_equal(f->draw, best);
    for (size_t k = 0; k < 2; k++)
        assert_true(f->start[k] == f->point[k][0] && f->end[k] == f->point[k][best]);
    codec = codec_of_draw(l, &spec, stream, (uint32_t)best);
    decode_all(codec, x, ROWS, l->pos, decoded);
    assert_memory_equal(decoded, chosen, sizeof decoded);
    gyre_codec_free(codec);
    /* a stored choice is taken as it is, without looking at the rows' errors again */
    gyre_error error;
    gyre_codec_stream one = {&spec, l->sites[stream]};
    fits.items[0].draw = 32768; /* would meet the streams of draw 0 again: 32768 * 131072 = 2^32 */
    refused(l, &spec, stream, &fit, &fits, GYRE_E_INPUT, "32767");
    fits.items[0].draw = 7;
    CHECK_OK(gyre_calibrate(&one, 1, &fit, &l->data, &fits, NULL, &codec, NULL, &error), &error);
    decode_all(codec, x, ROWS, l->pos, chosen);
    gyre_codec_free(codec);
    codec = codec_of_draw(l, &spec, stream, 7);
    decode_all(codec, x, ROWS, l->pos, decoded);
    assert_memory_equal(decoded, chosen, sizeof decoded);
    gyre_codec_free(codec);
    gyre_fits_free(&fits);
}

static void best_of_draws(void **state)
{
    (void)state;
    static layer l;
    make_layer(&l);
    check_draws(&l, GYRE_V, (links){{"signs", NULL}, {"hadamard", NULL}}, "sym", 0);
    check_draws(&l, GYRE_V, (links){{"signs", "head"}, {"hadamard", NULL}}, "sym", 50);
    check_draws(&l, GYRE_K, (links){{"unrope", NULL}, {"centre", "bias"}, {"signs", NULL}, {"rfft", NULL}}, "sym", 0);
    check_draws(&l, GYRE_K, (links){{"haar", NULL}}, "q8_0", 33); /* a quantizer that has no straight-through rule: by packing */
}

/* Rows so large that their squares leave binary32: an error, not the choice of a draw by values that are no numbers. */
static void draws_of_infinite_values(void **state)
{
    (void)state;
    static layer l;
    make_layer(&l);
    for (size_t i = 0; i < ROWS * DIM; i++)
        l.x[GYRE_V][0][i] *= 1e25f;
    const gyre_codec_spec spec = spec_of((links){{"signs", NULL}, {"hadamard", NULL}}, "sym", "4");
    const gyre_fit_spec fit = fit_of(0, 3);
    refused(&l, &spec, GYRE_V, &fit, NULL, GYRE_E_RANGE, "on calibration rows");
}

/* Closed forms are fitted again for every draw, on what that draw makes of the rows. */
static void closed_forms_follow_the_draw(void **state)
{
    (void)state;
    static layer l;
    static float decoded[2][HEADS * ROWS * DIM];
    gyre_error error;
    gyre_fits fits;
    make_layer(&l);
    const gyre_codec_spec spec = spec_of((links){{"signs", NULL}, {"hadamard", NULL}, {"scale", NULL}}, "sym", "4");
    const gyre_fit_spec fit = fit_of(0, 6);
    gyre_codec *codec = calibrated(&l, &spec, GYRE_V, &fit, &fits), *alone;
    assert_true(fits.items[0].draw > 0); /* else this would show nothing */
    for (size_t h = 0; h < HEADS; h++)
        l.sites[GYRE_V][h].draw = fits.items[0].draw;
    gyre_codec_stream one = {&spec, l.sites[GYRE_V]};
    decode_all(codec, l.rows[GYRE_V], ROWS, l.pos, decoded[0]);
    CHECK_OK(gyre_codec_new(&one, 1, HEADS, &alone, &error), &error);
    for (size_t h = 0; h < HEADS; h++) {
        gyre_transform *chain = gyre_codec_chain(alone, 0, h);
        static float z[HEADS * ROWS * DIM];
        for (size_t g = 0; g < HEADS; g++) { /* pooled */
            memcpy(z + g * ROWS * DIM, l.x[GYRE_V][g], ROWS * DIM * sizeof *z);
            for (size_t i = 0; i < 2; i++)
                gyre_transform_forward(gyre_chain_element(chain, i), z + g * ROWS * DIM, ROWS, DIM, NULL, NULL);
        }
        gyre_transform *scale = gyre_chain_element(chain, 2);
        CHECK_OK(scale->type->fit(scale->state, &(gyre_fit_rows){.x = z, .n = HEADS * ROWS, .stride = DIM}, &error), &error);
    }
    decode_all(alone, l.rows[GYRE_V], ROWS, l.pos, decoded[1]);
    assert_memory_equal(decoded[0], decoded[1], sizeof decoded[0]);
    gyre_codec_free(alone);
    gyre_codec_free(codec);
    gyre_fits_free(&fits);
}

/* Draw 0 is the codec that one has without the option; its first 32 signs are the word on docs/random.md. The next draw has others. */
static void first_draw_is_the_old_one(void **state)
{
    (void)state;
    static layer l;
    static float decoded[2][HEADS * ROWS * DIM];
    make_layer(&l);
    const gyre_codec_spec spec = spec_of((links){{"signs", NULL}, {"hadamard", NULL}}, "sym", "4");
    const gyre_fit_spec fit = fit_of(0, 1);
    gyre_codec *with = calibrated(&l, &spec, GYRE_V, &fit, NULL), *without = codec_of_draw(&l, &spec, GYRE_V, 0);
    decode_all(with, l.rows[GYRE_V], ROWS, l.pos, decoded[0]);
    decode_all(without, l.rows[GYRE_V], ROWS, l.pos, decoded[1]);
    assert_memory_equal(decoded[0], decoded[1], sizeof decoded[0]);
    gyre_codec_free(with);
    gyre_codec_free(without);
    for (uint32_t draw = 0; draw < 2; draw++) {
        gyre_codec *codec = codec_of_draw(&l, &spec, GYRE_K, draw);
        float ones[DIM];
        size_t differ = 0;
        for (size_t i = 0; i < DIM; i++)
            ones[i] = 1.0f;
        gyre_transform_forward(gyre_chain_element(gyre_codec_chain(codec, 0, 0), 0), ones, 1, DIM, NULL, NULL);
        for (size_t i = 0; i < DIM; i++)
            differ += ones[i] != (0x8054d3a6u >> i & 1 ? -1.0f : 1.0f);
        assert_true(draw == 0 ? differ == 0 : differ > 4);
        gyre_codec_free(codec);
    }
}

static void draws_are_refused(void **state)
{
    (void)state;
    static layer l;
    char why[GYRE_WHY] = "";
    make_layer(&l);
    const gyre_fit_spec fit = fit_of(0, 5);
    const gyre_codec_spec fixed = spec_of((links){{"hadamard", NULL}}, "sym", "4"), channel = spec_of((links){{"signs", NULL}}, "channel", NULL),
                          joint = spec_of((links){{"signs", NULL}}, "packkv", NULL), drawn = spec_of((links){{"signs", NULL}, {"hadamard", NULL}}, "sym", "4");
    assert_false(gyre_fit_check(&fixed, &fit, GYRE_V, why));
    assert_string_equal(why, "draws: the chain draws nothing at random");
    assert_false(gyre_fit_check(&channel, &fit, GYRE_V, why));
    assert_non_null(strstr(why, "channel does not"));
    assert_false(gyre_fit_check(&joint, &fit, GYRE_V, why));
    assert_non_null(strstr(why, "packkv codes K and V together"));
    assert_true(gyre_fit_check(&drawn, &fit, GYRE_V, why));
    /* stored choices that are not of this codec */
    gyre_fit two[2] = {{.pooled = true}, {.pooled = true}};
    refused(&l, &drawn, GYRE_V, &fit, &(gyre_fits){2, two}, GYRE_E_INPUT, "there are 2 stored fits, and this codec has 1");
    refused(&l, &drawn, GYRE_V, &fit, &(gyre_fits){0, NULL}, GYRE_E_INPUT, "there are 0 stored fits, and this codec has 1");
    two[0].n_parameters = 3;
    refused(&l, &drawn, GYRE_V, &fit, &(gyre_fits){1, two}, GYRE_E_INPUT, "the stored fit has 3 parameters, and this codec learns 0");
    /* more tokens than there are; a signal */
    const gyre_fit_spec many = fit_of(ROWS + 1, 5);
    refused(&l, &drawn, GYRE_V, &many, NULL, GYRE_E_INPUT, "fit.tokens asks for 121");
    const volatile sig_atomic_t stop = 1;
    gyre_error error;
    gyre_codec *codec;
    gyre_codec_stream one = {&drawn, l.sites[GYRE_V]};
    assert_int_equal(gyre_calibrate(&one, 1, &fit, &l.data, NULL, &stop, &codec, NULL, &error), GYRE_E_INTERRUPTED);
    assert_null(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pca_per_layer_and_per_head), cmocka_unit_test(wush_per_layer_and_per_head),  cmocka_unit_test(tokens_are_spread),
        cmocka_unit_test(rows_are_wanted),            cmocka_unit_test(best_of_draws),                cmocka_unit_test(closed_forms_follow_the_draw),
        cmocka_unit_test(first_draw_is_the_old_one),  cmocka_unit_test(draws_are_refused),            cmocka_unit_test(draws_of_infinite_values),
    };
    return cmocka_run_group_tests_name("calibration", tests, NULL, NULL);
}
