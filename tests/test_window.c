/* window and sink: a cell against a plain program that builds, for every query, the cache as it stood, with the codec alone, and takes the definitions from there in double. */
#include "tests/check.h"

#include "experiments/cell.h"

enum { T = 37, D = 16, H = 2, G = 2, Q = 6, N = 2, FIRST_POS = 10, METRICS = 6 };

static const char *const names[METRICS] = {"nmse", "nmse_centred", "logit_error", "softmax_kl", "flip", "output_error"};
static const int32_t places[Q] = {2, 9, 20, 20, 33, T - 1}; /* of the queries: early ones see nothing coded, two share a place */

typedef struct bench {
    float rows[2][H * N * T * D], q[N * H * G * Q * D];
    int32_t pos[N * T], query_pos[N * Q];
    double energy[2][N * H], centred[2][N * H];
    gyre_attention *exact[N * H];
    gyre_layer layer;
} bench;

static double mean_of(const bench *b, int stream, size_t head, size_t i)
{
    double mean = 0.0;
    for (size_t r = 0; r < N * T; r++)
        mean += (double)b->rows[stream][(head * N * T + r) * D + i] / (N * T);
    return mean;
}

static void make(bench *b, uint32_t sliding)
{
    gyre_error error;
    memset(b, 0, sizeof *b);
    normals(b->rows[0], H * N * T * D, 1);
    normals(b->rows[1], H * N * T * D, 2);
    normals(b->q, N * H * G * Q * D, 3);
    for (int32_t i = 0; i < N * T; i++)
        b->pos[i] = FIRST_POS + i % T; /* a position is not a place */
    for (size_t i = 0; i < N * Q; i++)
        b->query_pos[i] = FIRST_POS + places[i % Q];
    for (size_t i = 0; i < 2 * N * H * T * D; i++) {
        size_t stream = i / (N * H * T * D), at = i % (N * H * T * D), head = at / (N * T * D), document = at / (T * D) % N;
        double x = (double)b->rows[stream][at];
        b->energy[stream][document * H + head] += x * x;
        b->centred[stream][document * H + head] += pow(x - mean_of(b, (int)stream, head, at % D), 2);
    }
    gyre_layer_part part = {.count = N, .rows = {b->rows[0], b->rows[1]}, .pos = b->pos, .query_pos = b->query_pos, .q = b->q};
    b->layer = (gyre_layer){.raw = {.n_kv_heads = H, .n_q_heads = H * G, .dim = D, .score_scale = 0.25f, .sliding_window = sliding, .rope = {.kind = GYRE_ROPE_NONE}},
                            .n_heads = H, .group = G, .dim = D, .tokens = T, .queries = Q, .n_evaluation = N, .part = {part, part, part},
                            .energy = {b->energy[0], b->energy[1]}, .energy_centred = {b->centred[0], b->centred[1]}, .exact = b->exact};
    for (size_t u = 0; u < N * H; u++)
        CHECK_OK(gyre_layer_attend(&b->layer, u / H, u % H, &error), &error);
}

static void unmake(bench *b)
{
    for (size_t u = 0; u < N * H; u++)
        gyre_attention_free(b->exact[u]);
}

static gyre_codec_spec spec_of(const char *quantizer, const char *key, const char *value, int64_t window, int64_t sink)
{
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find(quantizer)};
    char why[GYRE_OPTION_TEXT];
    assert_non_null(spec.quantizer);
    (void)gyre_options_defaults(gyre_codec_table, &spec.own);
    (void)gyre_options_defaults(spec.quantizer->options, &spec.options);
    if (key != NULL)
        assert_true(gyre_option_parse(gyre_option_find(spec.quantizer->options, key), &spec.options, value, why));
    spec.own.window = window;
    spec.own.sink = sink;
    return spec;
}

/* A cell of this arm; values are [metric][document][head]. */
static gyre_cell cell_of(const bench *b, const gyre_arm *arm, double *values)
{
    const gyre_metric_type *metrics[METRICS];
    gyre_cell cell = {.values = values};
    gyre_cell_ask ask = {.arm = arm, .metrics = metrics, .n_metrics = METRICS};
    gyre_cell_work *work;
    gyre_fits fits;
    gyre_error error;
    for (size_t m = 0; m < METRICS; m++)
        metrics[m] = gyre_metric_find(names[m]);
    CHECK_OK(gyre_cell_work_new(&work, &error), &error);
    CHECK_OK(gyre_cell_compute(&b->layer, &ask, &cell, &fits, work, &error), &error);
    gyre_cell_work_free(work);
    gyre_fits_free(&fits);
    return cell;
}

static gyre_arm arm_of(const gyre_codec_spec *k, const gyre_codec_spec *v)
{
    gyre_arm arm = {.name = "arm", .codes = {k != NULL, v != NULL}};
    gyre_fit_defaults(&arm.fit[0]);
    gyre_fit_defaults(&arm.fit[1]);
    if (k != NULL)
        arm.codec[0] = *k;
    if (v != NULL)
        arm.codec[1] = *v;
    return arm;
}

/* The cache of a document at place t, rows [stream][head][T][D] of which 0..t are looked at; the bytes that were packed. */
static size_t stood(const bench *b, const gyre_arm *arm, size_t document, size_t t, float cache[2][H][T * D])
{
    gyre_codec_group groups[2];
    size_t packed = 0, n_groups = gyre_arm_groups(arm, groups);
    for (size_t i = 0; i < 2 * H; i++)
        memcpy(cache[i / H][i % H], b->rows[i / H] + (i % H * N + document) * T * D, T * D * sizeof(float));
    for (size_t g = 0; g < n_groups; g++) {
        gyre_site sites[2][H];
        gyre_codec_stream streams[2];
        const float *x[2 * H];
        float *y[2 * H];
        gyre_codec *codec;
        gyre_error error;
        size_t first = 0, count = 0, size = 0;
        const gyre_codec_options *own = &arm->codec[groups[g].stream[0]].own;
        for (size_t s = 0; s <= t; s++) { /* the definition */
            bool coded = (int64_t)s >= own->sink && (int64_t)(t - s) >= own->window;
            first = coded && count == 0 ? s : first;
            count += coded ? 1 : 0;
        }
        if (count == 0)
            continue;
        for (size_t i = 0; i < groups[g].n * H; i++) {
            gyre_stream stream = groups[g].stream[i / H];
            streams[i / H] = (gyre_codec_stream){&arm->codec[stream], sites[i / H]};
            sites[i / H][i % H] = gyre_cell_site(&b->layer, stream, i % H, 0, 0);
            x[i] = b->rows[stream] + ((i % H * N + document) * T + first) * D;
            y[i] = cache[stream][i % H] + first * D;
        }
        CHECK_OK(gyre_codec_new(streams, groups[g].n, H, &codec, &error), &error);
        uint8_t *bytes = malloc(gyre_codec_most_bytes(codec, count) + 1);
        void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, count));
        CHECK_OK(gyre_codec_encode(codec, x, count, b->pos + first, bytes, &size, scratch, &error), &error);
        CHECK_OK(gyre_codec_decode(codec, bytes, size, count, b->pos + first, y, scratch, &error), &error);
        packed += size;
        gyre_codec_free(codec);
        free(bytes);
        free(scratch);
    }
    return packed;
}

/* log softmax over the visible keys, and the largest score. */
static size_t attend(const bench *b, const float *q, const float *k, size_t first, size_t last, double *log_p)
{
    double sum = 0.0;
    size_t top = first;
    for (size_t j = first; j <= last; j++) {
        log_p[j] = 0.0;
        for (size_t i = 0; i < D; i++)
            log_p[j] += (double)b->layer.raw.score_scale * (double)q[i] * (double)k[j * D + i];
        top = log_p[j] > log_p[top] ? j : top;
        sum += exp(log_p[j]);
    }
    for (size_t j = first; j <= last; j++)
        log_p[j] -= log(sum);
    return top;
}

static void output_of(const double *log_p, const float *v, size_t first, size_t last, double *o)
{
    memset(o, 0, D * sizeof *o);
    for (size_t j = first; j <= last; j++)
        for (size_t i = 0; i < D; i++)
            o[i] += exp(log_p[j]) * (double)v[j * D + i];
}

/* One unit by the definitions. */
static void plain(const bench *b, const gyre_arm *arm, size_t document, size_t head, double out[METRICS])
{
    static float cache[2][H][T * D];
    const float *x[2];
    double error = 0.0, energy = 0.0, about = 0.0, lost[G] = {0}, size[G] = {0};
    memset(out, 0, METRICS * sizeof *out);
    (void)stood(b, arm, document, T - 1, cache);
    for (int s = 0; s < 2; s++) {
        x[s] = b->rows[s] + (head * N + document) * T * D;
        for (size_t i = 0; i < T * D && arm->codes[s]; i++)
            error += pow((double)cache[s][head][i] - (double)x[s][i], 2);
        energy += arm->codes[s] ? b->energy[s][document * H + head] : 0.0;
        about += arm->codes[s] ? b->centred[s][document * H + head] : 0.0;
    }
    for (size_t r = 0; r < G * Q; r++) {
        const float *q = b->q + ((document * H + head) * G * Q + r) * D;
        size_t t = (size_t)places[r % Q], sliding = b->layer.raw.sliding_window, first = sliding > 0 && t + 1 > sliding ? t + 1 - sliding : 0;
        double p[T], p_hat[T], o[D], o_hat[D], e = 0.0, e2 = 0.0, n = (double)(t + 1 - first);
        (void)stood(b, arm, document, t, cache);
        size_t top = attend(b, q, x[0], first, t, p), top_hat = attend(b, q, cache[0][head], first, t, p_hat);
        for (size_t j = first; j <= t; j++) {
            double d = p_hat[j] - p[j]; /* the change of the score but for a constant */
            e += d / n, e2 += d * d / n;
            out[3] += exp(p[j]) * -d / (G * Q);
        }
        out[2] += sqrt(fmax(0.0, e2 - e * e)) / (G * Q);
        out[4] += (double)(top != top_hat) / (G * Q);
        output_of(p, x[1], first, t, o);
        output_of(p_hat, cache[1][head], first, t, o_hat);
        for (size_t i = 0; i < D; i++)
            lost[r / Q] += pow(o_hat[i] - o[i], 2), size[r / Q] += o[i] * o[i];
    }
    for (size_t h = 0; h < G; h++)
        out[5] += lost[h] / size[h] / G;
    out[0] = error / energy;
    out[1] = error / about;
}

static void held(const bench *b, const gyre_arm *arm)
{
    static float cache[2][H][T * D];
    double values[METRICS * N * H], want[METRICS], packed = 0.0, exact = 0.0, streams = arm->codes[0] + arm->codes[1];
    gyre_cell cell = cell_of(b, arm, values);
    for (size_t u = 0; u < N * H; u++) {
        plain(b, arm, u / H, u % H, want);
        for (size_t m = 0; m < METRICS; m++)
            if (arm->codes[0] || gyre_metric_find(names[m])->streams != GYRE_METRIC_OF_K)
                CHECK_CLOSE(values[m * N * H + u], want[m], m == 3 ? 1e-4 : 2e-5, m == 2 ? 1e-6 : 1e-10);
    }
    for (size_t d = 0; d < N; d++)
        packed += 8.0 * (double)stood(b, arm, d, T - 1, cache);
    for (int s = 0; s < 2; s++)
        for (int64_t r = 0; r < T && arm->codes[s]; r++)
            exact += r < arm->codec[s].own.sink || T - 1 - r < arm->codec[s].own.window ? 16.0 * N * H * D : 0.0;
    CHECK_CLOSE(cell.payload_bits, (packed + exact) / (streams * N * H * T * D), 1e-14, 0);
    assert_true(cell.read_bits == cell.payload_bits && cell.total_bits == cell.payload_bits + cell.side_bits);
}

static const int64_t kept[][2] = {{0, 1}, {1, 0}, {4, 0}, {4, 3}, {17, 2}, {T - 1, 0}, {3, T - 4}, {1, T - 1}, {T, 0}, {0, T}, {5000, 5000}};
enum { KEPT = sizeof kept / sizeof *kept };

/* Rows that decode by themselves, groups of tokens, and K and V in one block. */
static void every_query_by_hand(void **state)
{
    (void)state;
    static bench b;
    for (uint32_t sliding = 0; sliding < 16; sliding += 15) {
        make(&b, sliding);
        for (size_t i = 0; i < KEPT; i++) {
            int64_t w = kept[i][0], s = kept[i][1];
            gyre_codec_spec sym = spec_of("sym", "bits", "3", w, s), kivi = spec_of("kivi", "group", "8", w, s), pack = spec_of("packkv", NULL, NULL, w, s);
            gyre_codec_spec other = spec_of("kivi", "group", "4", 6, 2), none = spec_of("sym", "bits", "4", 0, 0);
            const gyre_arm arms[] = {arm_of(&sym, NULL), arm_of(NULL, &sym),   arm_of(&sym, &sym),   arm_of(&kivi, NULL), arm_of(NULL, &kivi), arm_of(&kivi, &kivi),
                                     arm_of(&pack, &pack), arm_of(&kivi, &sym), arm_of(&kivi, &other), arm_of(&other, &sym), arm_of(&none, &kivi)};
            for (size_t a = 0; a < sizeof arms / sizeof *arms; a++)
                held(&b, &arms[a]);
        }
        unmake(&b);
    }
}

/* A stream without a window beside one that has it counts what it packs. */
static void bits_in_closed_form(void **state)
{
    (void)state;
    static bench b;
    double values[METRICS * N * H];
    make(&b, 0);
    gyre_codec_spec sym = spec_of("sym", "bits", "3", 5, 2); /* 6 bytes of codes and a scale of 4: 5 bits a value */
    gyre_arm arm = arm_of(&sym, NULL);
    gyre_cell cell = cell_of(&b, &arm, values);
    CHECK_CLOSE(cell.payload_bits, (16.0 * 7 + 5.0 * (T - 7)) / T, 1e-15, 0);
    gyre_codec_spec bare = spec_of("sym", "bits", "3", 0, 0);
    arm = arm_of(&sym, &bare);
    cell = cell_of(&b, &arm, values);
    CHECK_CLOSE(cell.payload_bits, ((16.0 * 7 + 5.0 * (T - 7)) / T + 5.0) / 2.0, 1e-15, 0);
    unmake(&b);
}

/* Nothing coded: nothing is lost, to the last bit, and every value takes 16 bits. */
static void all_exact(void **state)
{
    (void)state;
    static bench b;
    static const char *const quantizers[][3] = {{"sym", "bits", "2"}, {"kivi", "group", "8"}, {"packkv", NULL, NULL}};
    double values[METRICS * N * H];
    make(&b, 0);
    for (size_t i = 0; i < KEPT; i++)
        for (size_t k = 0; k < 3 && kept[i][0] + kept[i][1] >= T; k++) {
            gyre_codec_spec spec = spec_of(quantizers[k][0], quantizers[k][1], quantizers[k][2], kept[i][0], kept[i][1]);
            gyre_arm arm = arm_of(&spec, &spec);
            gyre_cell cell = cell_of(&b, &arm, values);
            assert_true(cell.payload_bits == 16.0);
            for (size_t j = 0; j < METRICS * N * H; j++)
                assert_true(values[j] == 0.0);
        }
    unmake(&b);
}

/* Without window and sink a document is coded whole and every query sees it so: the bits of the plain path. */
static void none_is_as_before(void **state)
{
    (void)state;
    static bench b;
    static float cache[2][H][T * D];
    static const char *const quantizers[] = {"sym", "kivi"};
    double values[METRICS * N * H];
    gyre_error error;
    make(&b, 0);
    for (size_t k = 0; k < 2; k++) {
        gyre_codec_spec spec = spec_of(quantizers[k], k == 0 ? "bits" : "group", k == 0 ? "3" : "8", 0, 0);
        gyre_arm arm = arm_of(&spec, &spec);
        (void)cell_of(&b, &arm, values);
        for (size_t u = 0; u < N * H; u++) {
            gyre_unit unit = gyre_layer_unit(&b.layer, u / H, u % H);
            gyre_attention_work *work;
            (void)stood(&b, &arm, u / H, T - 1, cache);
            unit.k_hat = cache[0][u % H];
            unit.v_hat = cache[1][u % H];
            gyre_unit_errors(&unit);
            CHECK_OK(gyre_attention_work_new(G * Q, T, D, &work, &error), &error);
            CHECK_OK(gyre_attention_decoded(&unit, GYRE_METRIC_QUERIES, work, &error), &error);
            for (size_t m = 0; m < METRICS; m++)
                assert_true(values[m * N * H + u] == gyre_metric_find(names[m])->measure(&unit));
            gyre_attention_work_free(work);
        }
    }
    unmake(&b);
}

/* Keys that are read by the query beside values with a window: scores as without, and outputs that the exact values leave as they are. */
static void keys_read_by_the_query(void **state)
{
    (void)state;
    static bench b;
    double alone[METRICS * N * H], both[METRICS * N * H];
    make(&b, 0);
    gyre_codec_spec aligned = spec_of("alignedkv", NULL, NULL, 0, 0), exact = spec_of("kivi", "group", "8", T, 0);
    gyre_arm k = arm_of(&aligned, NULL), kv = arm_of(&aligned, &exact);
    gyre_cell one = cell_of(&b, &k, alone), two = cell_of(&b, &kv, both);
    for (size_t u = 0; u < N * H; u++) {
        for (size_t m = 2; m < 5; m++)
            assert_true(alone[m * N * H + u] == both[m * N * H + u]);
        assert_true(alone[5 * N * H + u] > 0.0);
        CHECK_CLOSE(both[5 * N * H + u], alone[5 * N * H + u], 1e-4, 0);
    }
    CHECK_CLOSE(two.read_bits, (one.read_bits + 16.0) / 2.0, 1e-14, 0);
    unmake(&b);
}

static void where_it_applies(void **state)
{
    (void)state;
    static bench b;
    char why[GYRE_WHY];
    make(&b, 0);
    gyre_site k = gyre_cell_site(&b.layer, GYRE_K, 0, 0, 0), v = gyre_cell_site(&b.layer, GYRE_V, 0, 0, 0);
    for (int i = 0; i < 4; i++) {
        gyre_codec_spec spec = spec_of("alignedkv", NULL, NULL, i % 2 == 0 ? 4 : 0, i % 2);
        gyre_codec_stream stream = {&spec, i < 2 ? &k : &v};
        assert_false(gyre_codec_applies(&stream, 1, why));
        assert_string_equal(why, "alignedkv is read by the query; window and sink need decoded rows");
        spec.own.window = spec.own.sink = 0;
        assert_true(gyre_codec_applies(&stream, 1, why));
    }
    gyre_codec_spec a = spec_of("packkv", NULL, NULL, 4, 1), c = spec_of("packkv", NULL, NULL, 4, 2), sym = spec_of("sym", "bits", "4", 9, 9);
    gyre_codec_stream joint[2] = {{&a, &k}, {&c, &v}};
    assert_false(gyre_codec_applies(joint, 2, why));
    assert_non_null(strstr(why, "4 and 1 for K, 4 and 2 for V"));
    assert_true(gyre_codec_windows_agree(&sym, &(gyre_codec_spec){.quantizer = sym.quantizer}, why)); /* each stream for itself */
    c.own.sink = 1;
    assert_true(gyre_codec_applies(joint, 2, why));
    unmake(&b);
}

/* What a cache asks of its codec. */
static void coded_range(void **state)
{
    (void)state;
    static const struct {
        const char *quantizer, *key, *value;
        bool token_local;
    } kinds[] = {{"sym", "bits", "4", true}, {"kivi", NULL, NULL, false}};
    static const size_t rows[][3] = {{0, 0, 0}, {3, 0, 0}, {4, 0, 0}, {5, 1, 1}, {6, 2, 2}, {7, 2, 3}, {37, 2, 33}}; /* tokens, first, last at W = 4, S = 2 */
    gyre_error error;
    gyre_site site = {.dim = D, .stream = GYRE_K, .n_heads = 1};
    for (size_t k = 0; k < 2; k++) {
        gyre_codec_spec spec = spec_of(kinds[k].quantizer, kinds[k].key, kinds[k].value, 4, 2);
        gyre_codec_stream stream = {&spec, &site};
        gyre_codec *codec;
        CHECK_OK(gyre_codec_new(&stream, 1, 1, &codec, &error), &error);
        assert_int_equal(gyre_codec_window(codec), 4);
        assert_int_equal(gyre_codec_sink(codec), 2);
        assert_true(gyre_codec_token_local(codec) == kinds[k].token_local);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            size_t first, last;
            gyre_codec_coded(codec, rows[i][0], &first, &last);
            assert_true(first == rows[i][1] && last == rows[i][2]);
        }
        gyre_codec_free(codec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_query_by_hand),    cmocka_unit_test(bits_in_closed_form), cmocka_unit_test(all_exact),   cmocka_unit_test(none_is_as_before),
        cmocka_unit_test(keys_read_by_the_query), cmocka_unit_test(where_it_applies),    cmocka_unit_test(coded_range),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
