/* calibrate/: the frame of learning and the objectives that go through the quantizer, against their definitions in double precision and finite differences of those. */
#include "tests/learning.h"

#include "calibrate/moments.h"

enum { MOST = LAYER_HEADS * LAYER_ROWS * LAYER_DIM };

/* A codec with its closed forms fitted, and its whole chain as frame. */
typedef struct bench {
    layer l;
    gyre_codec_spec spec;
    gyre_codec *codec;
    gyre_base *bases[LAYER_HEADS];
    gyre_stream stream;
    void *scratch;
} bench;

static void bench_make(bench *b, size_t dim, gyre_rope_kind kind, uint32_t window, gyre_stream stream, const char *const *chain)
{
    gyre_error error;
    gyre_fit_spec fit;
    size_t count = 0;
    memset(b, 0, sizeof *b);
    layer_make(&b->l, dim, kind, window);
    b->stream = stream;
    set_quantizer(&b->spec, "sym", "4");
    for (; chain[2 * count] != NULL; count++)
        add_element(&b->spec, chain[2 * count], chain[2 * count + 1]);
    gyre_codec_stream wanted = {&b->spec, b->l.sites[stream]};
    gyre_fit_defaults(&fit);
    CHECK_OK(gyre_calibrate(&wanted, 1, &fit, &b->l.data, NULL, NULL, &b->codec, NULL, &error), &error);
    for (size_t h = 0; h < LAYER_HEADS; h++)
        CHECK_OK(gyre_base_new(b->codec, 0, h, gyre_chain_count(gyre_codec_chain(b->codec, 0, h)), &b->bases[h], &error), &error);
    b->scratch = aligned_alloc(64, (gyre_base_scratch(b->bases[0]) + 127) / 64 * 64);
    assert_non_null(b->scratch);
}

static void bench_free(bench *b)
{
    for (size_t h = 0; h < LAYER_HEADS; h++)
        gyre_base_free(b->bases[h]);
    gyre_codec_free(b->codec);
    free(b->scratch);
}

/* The error of a row that an error in the frame becomes: the inverse chain of z + delta less that of z, in double. */
static void frame_to_model(const bench *b, size_t head, int32_t pos, const double *delta, double *out)
{
    gyre_transform *chain = gyre_codec_chain(b->codec, 0, head);
    double zero[LAYER_DIM] = {0};
    memcpy(out, delta, b->l.dim * sizeof *out);
    for (size_t i = gyre_chain_count(chain); i-- > 0;) {
        const gyre_transform *t = gyre_chain_element(chain, i);
        t->type->inverse_ref(t->state, out, pos);
        t->type->inverse_ref(t->state, zero, pos);
    }
    for (size_t i = 0; i < b->l.dim; i++)
        out[i] -= zero[i];
}

static const char *const key_chain[] = {"unrope", NULL, "centre", "by=bias", "scale", NULL, "srht", NULL, NULL}, *const plain_chain[] = {"scale", "per=head", "srht", NULL, NULL},
                              *const no_chain[] = {NULL};

/* Errors in the frame become the errors that decoding has; u of a query times the error is the change of its score; the adjoint is the adjoint. */
static void errors_of_the_frame(void **state)
{
    (void)state;
    enum { N = 5 };
    const char *const *const chains[] = {key_chain, plain_chain, no_chain};
    for (size_t c = 0; c < 3; c++) {
        bench b;
        bench_make(&b, 8, c == 1 ? GYRE_ROPE_NORMAL : GYRE_ROPE_NEOX, 0, GYRE_K, chains[c]);
        size_t d = b.l.dim;
        float delta[N * 8], x[N * 8], g[N * 8], back[N * 8], q[8], u[N * 8];
        const int32_t pos[N] = {0, 3, 40, 63, 900}; /* in the table of angles, and beyond */
        normals(delta, N * d, 30);
        normals(g, N * d, 31);
        normals(q, d, 32);
        for (size_t h = 0; h < LAYER_HEADS; h++) {
            double left = 0, right = 0;
            gyre_base_errors(b.bases[h], delta, pos, N, x, b.scratch);
            gyre_base_query(b.bases[h], q, pos, N, u, b.scratch);
            for (size_t i = 0; i < N; i++) {
                double own[8], expected[8], score = 0, by_u = 0;
                for (size_t j = 0; j < d; j++)
                    own[j] = (double)delta[i * d + j];
                frame_to_model(&b, h, pos[i], own, expected);
                for (size_t j = 0; j < d; j++) {
                    CHECK_CLOSE((double)x[i * d + j], expected[j], 0, 2e-5);
                    score += (double)q[j] * expected[j];
                    by_u += (double)u[i * d + j] * own[j];
                    left += (double)x[i * d + j] * (double)g[i * d + j];
                }
                CHECK_CLOSE(by_u, score, 0, 5e-5);
            }
            float turned[N * 8];
            memcpy(turned, g, sizeof turned);
            gyre_base_errors_back(b.bases[h], turned, pos, N, back, b.scratch);
            for (size_t i = 0; i < N * d; i++)
                right += (double)delta[i] * (double)back[i];
            CHECK_CLOSE(left, right, 1e-5, 1e-5);
        }
        bench_free(&b);
    }
}

/* ---- objectives ---- */

/* One objective on all rows of a bench, as parts of one document each, with errors e in a frame behind which stands a matrix whose inverse is `decode`. */
typedef struct trial {
    bench *b;
    const gyre_objective_type *type;
    gyre_objective_values options;
    gyre_objective_setup setup;
    double *w[LAYER_HEADS], decode[LAYER_DIM * LAYER_DIM];
    float *weight[LAYER_HEADS], e[MOST], g_e[MOST];
    double g_decode[LAYER_DIM * LAYER_DIM];
} trial;

static void trial_make(trial *t, bench *b, const gyre_objective_type *type)
{
    gyre_error error;
    size_t d = b->l.dim, n = LAYER_ROWS;
    double energy = 0;
    float noise[LAYER_DIM * LAYER_DIM];
    memset(t, 0, sizeof *t);
    t->b = b;
    t->type = type;
    (void)gyre_options_defaults(type->options, &t->options);
    for (size_t h = 0; h < LAYER_HEADS; h++) {
        t->w[h] = calloc(d * d, sizeof(double));
        assert_non_null(t->w[h]);
        gyre_base_weight(b->bases[h], t->w[h]);
        for (size_t i = 0; i < n * d; i++)
            energy += (double)b->l.data.rows.x[b->stream][h][i] * (double)b->l.data.rows.x[b->stream][h][i];
    }
    t->setup = (gyre_objective_setup){.data = &b->l.data, .rows = &b->l.data.rows, .bases = (const gyre_base *const *)b->bases, .last = LAYER_HEADS, .n = n, .stream = b->stream,
                                      .unit = energy / (double)(n * LAYER_HEADS), .w = t->w, .weight = t->weight};
    CHECK_OK(type->prepare(&t->options, &t->setup, &error), &error);
    normals(t->e, LAYER_HEADS * n * d, 40);
    normals(noise, d * d, 41);
    for (size_t i = 0; i < LAYER_HEADS * n * d; i++)
        t->e[i] *= 0.2f;
    for (size_t i = 0; i < d * d; i++)
        t->decode[i] = (i % (d + 1) == 0 ? 1.0 : 0.0) + 0.3 * (double)noise[i];
}

static void trial_free(trial *t)
{
    if (t->setup.prepared != NULL)
        t->type->release(t->setup.prepared);
    for (size_t h = 0; h < LAYER_HEADS; h++) {
        free(t->w[h]);
        free(t->weight[h]);
    }
}

/* K = D' W D. */
static void weigh(const trial *t, size_t head, double *k)
{
    size_t d = t->b->l.dim;
    for (size_t i = 0; i < d * d; i++) {
        k[i] = 0;
        for (size_t j = 0; j < d * d; j++)
            k[i] += t->decode[j / d * d + i / d] * t->w[head][j] * t->decode[j % d * d + i % d];
    }
}

/* dL/dD out of dL = sum g_k dK: 2 W D g_k. */
static void through_k(const trial *t, size_t head, const double *g_k, double *g)
{
    size_t d = t->b->l.dim;
    for (size_t i = 0; i < d * d; i++)
        for (size_t j = 0; j < d * d; j++)
            g[i] += 2.0 * t->w[head][i / d * d + j / d] * t->decode[j] * g_k[j % d * d + i % d];
}

/* Value of the objective; gradients of e and of the decoding matrix when asked. */
static double trial_measure(trial *t, bool gradient)
{
    size_t d = t->b->l.dim, n = LAYER_TOKENS;
    double sum = 0, k[LAYER_DIM * LAYER_DIM], g_k[LAYER_DIM * LAYER_DIM], through[LAYER_DIM * LAYER_DIM] = {0};
    float y[LAYER_TOKENS * LAYER_DIM] = {0}, g_y[LAYER_TOKENS * LAYER_DIM] = {0}, decode[LAYER_DIM * LAYER_DIM];
    float *work = calloc(t->type->work(n, d, t->setup.prepared) + 1, sizeof *work);
    assert_non_null(work);
    memset(t->g_e, 0, sizeof t->g_e);
    memset(t->g_decode, 0, sizeof t->g_decode);
    for (size_t i = 0; i < d * d; i++)
        decode[i] = (float)t->decode[i];
    for (size_t h = 0; h < LAYER_HEADS; h++) {
        weigh(t, h, k);
        memset(g_k, 0, sizeof g_k);
        for (size_t doc = 0; doc < LAYER_DOCUMENTS; doc++) {
            size_t row = h * LAYER_ROWS + doc * n;
            gyre_objective_part part = {.n = n, .dim = d, .group = d, .head = h, .document = doc, .scale = 1.0 / (LAYER_HEADS * LAYER_ROWS), .y = y, .e = t->e + row * d,
                                        .weight = t->weight[h] != NULL ? t->weight[h] + doc * n : NULL, .k = k, .decode = decode, .prepared = t->setup.prepared, .work = work};
            if (gradient) {
                part.g_y = g_y;
                part.g_e = t->g_e + row * d;
                part.g_k = g_k;
                part.g_decode = t->g_decode;
            }
            sum += t->type->measure(&t->options, &part);
        }
        through_k(t, h, g_k, through);
    }
    for (size_t i = 0; i < d * d; i++)
        t->g_decode[i] += through[i];
    free(work);
    return sum;
}

/* The same from the definition, with these errors and this matrix. */
static double trial_reference(const trial *t, const double *e, const double *decode)
{
    static double error[MOST];
    size_t d = t->b->l.dim;
    const sums s = {.l = &t->b->l, .rows = &t->b->l.data.rows, .spec = &t->b->spec, .codec = t->b->codec, .stream = t->b->stream, .last = LAYER_HEADS, .group = d, .error = error};
    for (size_t h = 0; h < LAYER_HEADS; h++)
        for (size_t i = 0; i < LAYER_ROWS; i++) {
            double delta[LAYER_DIM] = {0};
            for (size_t j = 0; j < d * d; j++)
                delta[j / d] += decode[j] * e[(h * LAYER_ROWS + i) * d + j % d];
            frame_to_model(t->b, h, t->b->l.pos[i], delta, error_of(&s, h, i));
        }
    return reference_of(t->type->name)(&s);
}

static double slope(const trial *t, const double *e, const double *decode, double *moved)
{
    const double step = 1e-5, at = *moved;
    *moved = at + step;
    double up = trial_reference(t, e, decode);
    *moved = at - step;
    double down = trial_reference(t, e, decode);
    *moved = at;
    return (up - down) / (2 * step);
}

static void check_objective(const gyre_objective_type *type, bench *b)
{
    static double e[MOST];
    static trial t;
    size_t d = b->l.dim;
    double decode[LAYER_DIM * LAYER_DIM], off = 0, size = 0, off_e = 0, size_e = 0;
    trial_make(&t, b, type);
    for (size_t i = 0; i < LAYER_HEADS * LAYER_ROWS * d; i++)
        e[i] = (double)t.e[i];
    memcpy(decode, t.decode, sizeof decode);
    double value = trial_measure(&t, true);
    CHECK_CLOSE(value, trial_reference(&t, e, decode), 2e-5, 0);
    CHECK_CLOSE(trial_measure(&t, false), value, 0, 0);
    (void)trial_measure(&t, true);
    for (size_t i = 0; i < d * d; i++) {
        double own = slope(&t, e, decode, &decode[i]);
        off += (t.g_decode[i] - own) * (t.g_decode[i] - own);
        size += own * own;
    }
    for (size_t i = 0; i < LAYER_HEADS * LAYER_ROWS * d; i += 5) { /* 5 and d have no common factor: every coordinate has its turn */
        double own = slope(&t, e, decode, &e[i]);
        off_e += ((double)t.g_e[i] - own) * ((double)t.g_e[i] - own);
        size_e += own * own;
    }
    assert_true(size > 0 && size_e > 0);
    if (!(sqrt(off / size) < 2e-4 && sqrt(off_e / size_e) < 2e-4))
        fail_msg("%s: gradient by the matrix off by %.3g, by the errors by %.3g", type->name, sqrt(off / size), sqrt(off_e / size_e));
    trial_free(&t);
}

/* Every objective that goes through the quantizer, for the streams that it is defined for: behind frames that are not orthogonal, with and without a sliding window. */
static void objectives_are_their_definitions(void **state)
{
    (void)state;
    static bench b;
    size_t checked = 0;
    for (const gyre_objective_type *const *o = gyre_objective_types; *o != NULL; o++)
        for (unsigned s = 0; s < 2 && ((*o)->flags & GYRE_OBJECTIVE_QUANTIZES); s++)
            for (unsigned c = 0; c < 4 && ((*o)->flags & (s == GYRE_K ? GYRE_OBJECTIVE_OF_K : GYRE_OBJECTIVE_OF_V)); c++) {
                bench_make(&b, c == 3 ? 16 : 8, c == 1 ? GYRE_ROPE_NORMAL : GYRE_ROPE_NEOX, c == 2 ? 3 : 0, (gyre_stream)s, c == 0 ? no_chain : c == 1 || s == GYRE_V ? plain_chain : key_chain);
                check_objective(*o, &b);
                bench_free(&b);
                checked++;
            }
    assert_true(checked >= 5 * 4);
}

/* Scores so far apart that exp of a change overflows: the divergence is still that of the definition. */
static void large_changes(void **state)
{
    (void)state;
    static bench b;
    static trial t;
    static double e[MOST];
    bench_make(&b, 8, GYRE_ROPE_NEOX, 0, GYRE_K, no_chain);
    trial_make(&t, &b, gyre_objective_find("softmax_kl"));
    for (size_t i = 0; i < LAYER_HEADS * LAYER_ROWS * 8; i++)
        e[i] = (double)(t.e[i] *= 5000.0f);
    double value = trial_measure(&t, true);
    assert_true(value > 500);
    CHECK_CLOSE(value, trial_reference(&t, e, t.decode), 1e-4, 0);
    for (size_t i = 0; i < LAYER_HEADS * LAYER_ROWS * 8; i++)
        assert_true(isfinite(t.g_e[i]));
    trial_free(&t);
    bench_free(&b);
}

/* Tokens that no query sees weigh nothing; a fit of such tokens alone is refused, and so is one without queries. */
static void weights_of_values(void **state)
{
    (void)state;
    static bench b;
    static trial t;
    gyre_error error;
    bench_make(&b, 8, GYRE_ROPE_NEOX, 2, GYRE_V, no_chain); /* the first query, at token 4, sees tokens 3 and 4 */
    const gyre_objective_type *type = gyre_objective_find("attention");
    trial_make(&t, &b, type);
    for (size_t h = 0; h < LAYER_HEADS; h++)
        for (size_t i = 0; i < LAYER_ROWS; i++)
            assert_int_equal(t.weight[h][i] > 0, i % LAYER_TOKENS >= 3 && i % LAYER_TOKENS <= 10);
    float *weight[LAYER_HEADS] = {0};
    gyre_objective_setup setup = t.setup;
    setup.weight = weight;
    setup.n = 2; /* tokens 0 of both documents */
    assert_int_equal(type->prepare(&t.options, &setup, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "no query"));
    for (size_t h = 0; h < LAYER_HEADS; h++)
        free(weight[h]);
    b.l.data.rows.queries = 0;
    for (const char *const *name = (const char *const[]){"attention", "softmax_kl", "logit", NULL}; *name != NULL; name++) {
        memset(weight, 0, sizeof weight);
        setup.prepared = NULL;
        assert_int_equal(gyre_objective_find(*name)->prepare(&t.options, &setup, &error), GYRE_E_INPUT);
        assert_non_null(strstr(error.message, "--queries"));
    }
    trial_free(&t);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_the_frame), cmocka_unit_test(objectives_are_their_definitions), cmocka_unit_test(large_changes), cmocka_unit_test(weights_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
