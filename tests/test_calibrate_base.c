/* calibrate/base.h and moments.h against what really happens to rows, queries and errors: chains inverted element by element, at every position, in double. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include "calibrate/base.h"
#include "calibrate/calibrate.h"
#include "calibrate/moments.h"

enum { DIM = 32, HEADS = 2, GROUP = 3, DOCUMENTS = 2, TOKENS = 20, QUERIES = 4, ROWS = DOCUMENTS * TOKENS, LINKS = 4 };

typedef const char *const links[LINKS][2]; /* element, and what its option with such a value is, or NULL */

static const links chains[] = {
    {{NULL, NULL}},
    {{"signs", NULL}, {"hadamard", NULL}},
    {{"unrope", NULL}, {"signs", NULL}, {"hadamard", NULL}},
    {{"unrope", NULL}, {"centre", "bias"}, {"signs", NULL}, {"rfft", NULL}},
    {{"unrope", NULL}, {"smooth", NULL}},
    {{"wush", NULL}},
    {{"unrope", NULL}, {"wush", NULL}},
    {{"centre", "mean"}, {"unrope", NULL}, {"pca", "head"}, {"scale", NULL}}, /* a shift before positions come into it */
};
enum { CHAINS = sizeof chains / sizeof *chains };

/* One layer: documents, and a codec of it. */
typedef struct layer {
    gyre_rope rope;
    bool half_split;
    float x[HEADS][ROWS * DIM], bias[HEADS][DIM], q[DOCUMENTS * HEADS * GROUP * QUERIES * DIM];
    const float *rows[HEADS];
    int32_t pos[ROWS], query_pos[DOCUMENTS * QUERIES];
    gyre_site sites[HEADS];
    gyre_calibration data;
    gyre_codec *codec;
    void *scratch;
} layer;

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

/* The second document starts at position 3; its first query stands before all of its keys. */
static void documents(layer *l)
{
    static const int32_t query_pos[DOCUMENTS * QUERIES] = {9, 5 * TOKENS - 5, 44, 5 * TOKENS, 2, 61, 80, 300};
    for (int32_t i = 0; i < ROWS; i++)
        l->pos[i] = i < TOKENS ? 5 * i : 3 + 4 * (i - TOKENS);
    memcpy(l->query_pos, query_pos, sizeof query_pos);
    normals(l->q, sizeof l->q / sizeof *l->q, 50);
    for (size_t i = 0; i < sizeof l->q / sizeof *l->q; i++)
        l->q[i] = l->q[i] * (float)(1 + i % 3) + (i % DIM == 7 ? 2.0f : 0.0f);
    for (uint32_t h = 0; h < HEADS; h++) {
        l->rows[h] = l->x[h];
        normals(l->bias[h], DIM, 60 + h);
        normals(l->x[h], ROWS * DIM, 70 + h);
        for (size_t i = 0; i < ROWS * DIM; i++)
            l->x[h][i] = l->x[h][i] * (float)(1 + i % 5) + (i % DIM == 2 ? 5.0f : 0.0f);
    }
}

static void make_layer(layer *l, const links elements, gyre_rope_kind kind, int order, uint32_t window)
{
    gyre_error error;
    gyre_fit_spec fit;
    gyre_codec_spec spec = {.quantizer = gyre_quantizer_find("exact")};
    spec.own.order = order;
    l->rope = (gyre_rope){.kind = kind, .n_rot = DIM, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f};
    l->half_split = order == GYRE_ORDER_HALF_SPLIT && kind == GYRE_ROPE_NORMAL;
    documents(l);
    for (size_t i = 0; i < LINKS && elements[i][0] != NULL; i++)
        add(&spec, elements[i][0], elements[i][1]);
    for (uint32_t h = 0; h < HEADS; h++)
        l->sites[h] = (gyre_site){.dim = DIM, .stream = GYRE_K, .layer = 2, .head = h, .n_heads = HEADS, .n_positions = 16, .rope = &l->rope, .bias = l->bias[h]};
    l->data = (gyre_calibration){.n_heads = HEADS, .dim = DIM, .group = GROUP, .score_scale = 0.25, .window = window,
                                 .rows = {.documents = DOCUMENTS, .tokens = TOKENS, .queries = QUERIES, .x = {l->rows, NULL}, .pos = l->pos, .q = l->q, .query_pos = l->query_pos}};
    gyre_fit_defaults(&fit);
    gyre_codec_stream stream = {&spec, l->sites};
    CHECK_OK(gyre_calibrate(&stream, 1, &fit, &l->data, NULL, NULL, &l->codec, NULL, &error), &error);
}

static gyre_base *base_of(layer *l, size_t head, size_t count)
{
    gyre_error error;
    gyre_base *base;
    CHECK_OK(gyre_base_new(l->codec, 0, head, count, &base, &error), &error);
    assert_int_equal(posix_memalign(&l->scratch, 64, gyre_base_scratch(base)), 0);
    return base;
}

static void drop(layer *l, gyre_base *base)
{
    gyre_base_free(base);
    free(l->scratch);
}

/* Really inverts the first `count` elements at position `at` and puts the coordinates back: a row of the frame to a row of the model. */
static void invert(layer *l, size_t head, size_t count, int32_t at, const double *z, double *x)
{
    double y[DIM];
    memcpy(y, z, sizeof y);
    for (size_t i = count; i-- > 0;) {
        const gyre_transform *t = gyre_chain_element(gyre_codec_chain(l->codec, 0, head), i);
        t->type->inverse_ref(t->state, y, at);
    }
    for (size_t i = 0; i < DIM / 2; i++) {
        x[l->half_split ? 2 * i : i] = y[i];
        x[l->half_split ? 2 * i + 1 : DIM / 2 + i] = y[DIM / 2 + i];
    }
}

/* What an error d at a row of the frame becomes in the model's row: inverted with it, less inverted without. */
static void error_of(layer *l, size_t head, size_t count, int32_t at, const float *row, const double *d, double *x)
{
    double z[DIM], with[DIM], without[DIM];
    for (size_t i = 0; i < DIM; i++)
        z[i] = (double)row[i];
    invert(l, head, count, at, z, without);
    for (size_t i = 0; i < DIM; i++)
        z[i] += d[i];
    invert(l, head, count, at, z, with);
    for (size_t i = 0; i < DIM; i++)
        x[i] = with[i] - without[i];
}

static double dot_f(const float *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < DIM; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static double quadratic(const double *m, const double *d)
{
    double sum = 0;
    for (size_t i = 0; i < DIM; i++)
        for (size_t j = 0; j < DIM; j++)
            sum += d[i] * m[i * DIM + j] * d[j];
    return sum;
}

static double length(const double *a)
{
    double sum = 0;
    for (size_t i = 0; i < DIM; i++)
        sum += a[i] * a[i];
    return sqrt(sum);
}

static void random_error(double *d, uint32_t id)
{
    float x[DIM];
    normals(x, DIM, 1000 + id);
    for (size_t i = 0; i < DIM; i++)
        d[i] = 0.3 * (double)x[i];
}

typedef void (*check)(layer *l, size_t chain, size_t head, size_t count);

/* Every chain and every beginning of it, both kinds of RoPE, both orders, every head. */
static void everywhere(check run, uint32_t window)
{
    static layer l;
    for (size_t c = 0; c < CHAINS; c++)
        for (int kind = GYRE_ROPE_NORMAL; kind <= GYRE_ROPE_NEOX; kind++)
            for (int order = 0; order < 2; order++) {
                make_layer(&l, chains[c], (gyre_rope_kind)kind, order, window);
                size_t links_of = gyre_chain_count(gyre_codec_chain(l.codec, 0, 0));
                for (size_t count = 0; count <= links_of; count++)
                    for (size_t h = 0; h < HEADS; h++)
                        run(&l, c, h, count);
                gyre_codec_free(l.codec);
            }
}

/* ---- rows ---- */

static void rows_there_and_back(layer *l, size_t chain, size_t head, size_t count)
{
    (void)chain;
    static float z[ROWS * DIM];
    gyre_base *base = base_of(l, head, count);
    gyre_base_rows(base, l->x[head], l->pos, ROWS, z, l->scratch);
    for (size_t r = 0; r < ROWS; r++) {
        double wide[DIM], back[DIM], size = 0;
        for (size_t i = 0; i < DIM; i++) {
            wide[i] = (double)z[r * DIM + i];
            size += (double)l->x[head][r * DIM + i] * (double)l->x[head][r * DIM + i];
        }
        invert(l, head, count, l->pos[r], wide, back);
        for (size_t i = 0; i < DIM; i++)
            CHECK_CLOSE(back[i], (double)l->x[head][r * DIM + i], 0, 2e-6 * sqrt(size));
    }
    drop(l, base);
}

static void rows_are_kept(void **state)
{
    (void)state;
    everywhere(rows_there_and_back, 0);
}

/* ---- queries and errors ---- */

/* q'(k^ - k) = u_s'd at every key position s, and |k^ - k|^2 = d'Wd. */
static void errors_are_seen(layer *l, size_t chain, size_t head, size_t count)
{
    (void)chain;
    static float z[ROWS * DIM], u[ROWS * DIM];
    float own[DIM];
    double d[DIM], off[DIM], w[DIM * DIM];
    gyre_base *base = base_of(l, head, count);
    gyre_base_rows(base, l->x[head], l->pos, ROWS, z, l->scratch);
    gyre_base_weight(base, w);
    for (uint32_t trial = 0; trial < 2; trial++) {
        const float *q = l->q + (trial * 5 + head) * DIM;
        random_error(d, trial);
        gyre_base_query_order(base, q, own, l->scratch);
        gyre_base_query(base, own, l->pos, ROWS, u, l->scratch);
        for (size_t r = 0; r < ROWS; r++) {
            double size = 0;
            error_of(l, head, count, l->pos[r], z + r * DIM, d, off);
            for (size_t i = 0; i < DIM; i++)
                size += (double)q[i] * (double)q[i];
            CHECK_CLOSE(dot_f(u + r * DIM, d), dot_f(q, off), 0, 1e-6 * sqrt(size) * length(off));
            CHECK_CLOSE(quadratic(w, d), length(off) * length(off), 1e-10, 0);
        }
    }
    drop(l, base);
}

static void queries_meet_errors(void **state)
{
    (void)state;
    everywhere(errors_are_seen, 0);
}

/* ---- moments ---- */

static bool sees(const layer *l, size_t document, size_t query, size_t token)
{
    int32_t at = l->query_pos[document * QUERIES + query], key = l->pos[document * TOKENS + token];
    return key <= at && (l->data.window == 0 || key > at - (int32_t)l->data.window);
}

/* The query of a KV head: group g, number i. */
static const float *query(const layer *l, size_t document, size_t head, size_t g, size_t i)
{
    return l->q + (((document * HEADS + head) * GROUP + g) * QUERIES + i) * DIM;
}

/* Mean over queries and the keys that they see of (q'(k^ - k))^2, every key decoded with the error d. */
static double brute_force(layer *l, size_t head, size_t count, const float *z, const double *d)
{
    static double off[ROWS][DIM];
    double sum = 0, pairs = 0;
    for (size_t r = 0; r < ROWS; r++)
        error_of(l, head, count, l->pos[r], z + r * DIM, d, off[r]);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < GROUP * QUERIES; k++)
            if (sees(l, r / TOKENS, k % QUERIES, r % TOKENS)) {
                double change = dot_f(query(l, r / TOKENS, head, k / QUERIES, k % QUERIES), off[r]);
                sum += change * change;
                pairs += 1;
            }
    return sum / pairs;
}

static void moments_are_means(layer *l, size_t chain, size_t head, size_t count)
{
    (void)chain;
    static float z[ROWS * DIM];
    double m[DIM * DIM], d[DIM];
    gyre_error error;
    gyre_base *base = base_of(l, head, count);
    gyre_base_rows(base, l->x[head], l->pos, ROWS, z, l->scratch);
    CHECK_OK(gyre_query_moments(base, &l->data, &l->data.rows, head, m, &error), &error);
    for (uint32_t trial = 0; trial < 4; trial++) {
        random_error(d, 10 + trial);
        CHECK_CLOSE(quadratic(m, d), brute_force(l, head, count, z, d), 2e-6, 0);
    }
    drop(l, base);
}

static void moments_are_of_pairs(void **state)
{
    (void)state;
    everywhere(moments_are_means, 0);
}

static void moments_keep_to_the_window(void **state)
{
    (void)state;
    everywhere(moments_are_means, 25); /* the query at 100 stands 25 behind the key at 75 */
    static layer l; /* a window beyond int32 hides nothing */
    double m[2][DIM * DIM];
    gyre_error error;
    make_layer(&l, chains[2], GYRE_ROPE_NEOX, 0, 0);
    gyre_base *base = base_of(&l, 0, 1);
    for (size_t k = 0; k < 2; k++, l.data.window = UINT32_MAX)
        CHECK_OK(gyre_query_moments(base, &l.data, &l.data.rows, 0, m[k], &error), &error);
    assert_memory_equal(m[0], m[1], sizeof m[0]);
    drop(&l, base);
    gyre_codec_free(l.codec);
}

/* E[q q'] over the pairs, brought through C alone, as one who forgets the rotation would have it. */
static void without_rotation(layer *l, const gyre_base *base, size_t head, double *m)
{
    const double *inverse = gyre_base_inverse(base);
    double pairs = 0;
    memset(m, 0, DIM * DIM * sizeof *m);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t k = 0; k < GROUP * QUERIES; k++) {
            float own[DIM];
            double u[DIM] = {0};
            if (!sees(l, r / TOKENS, k % QUERIES, r % TOKENS))
                continue;
            gyre_base_query_order(base, query(l, r / TOKENS, head, k / QUERIES, k % QUERIES), own, l->scratch);
            for (size_t i = 0; i < DIM; i++)
                for (size_t j = 0; j < DIM; j++)
                    u[i] += inverse[j * DIM + i] * (double)own[j];
            for (size_t i = 0; i < DIM * DIM; i++)
                m[i] += u[i / DIM] * u[i % DIM];
            pairs += 1;
        }
    for (size_t i = 0; i < DIM * DIM; i++)
        m[i] /= pairs;
}

/* Without unrope that is what the moments are; with it they are something else. */
static void rotation_counts(layer *l, size_t chain, size_t head, size_t count)
{
    double m[DIM * DIM], still[DIM * DIM], difference = 0, size = 0;
    gyre_error error;
    gyre_base *base = base_of(l, head, count);
    bool turns = false;
    for (size_t i = 0; i < count; i++)
        turns = turns || strcmp(chains[chain][i][0], "unrope") == 0;
    CHECK_OK(gyre_query_moments(base, &l->data, &l->data.rows, head, m, &error), &error);
    without_rotation(l, base, head, still);
    for (size_t i = 0; i < DIM * DIM; i++) {
        difference += (m[i] - still[i]) * (m[i] - still[i]);
        size += still[i] * still[i];
    }
    if (turns)
        assert_true(sqrt(difference / size) > 0.1);
    else
        CHECK_CLOSE(sqrt(difference / size), 0.0, 0, 2e-6);
    drop(l, base);
}

static void moments_turn_with_the_keys(void **state)
{
    (void)state;
    everywhere(rotation_counts, 0);
}

static void queries_are_wanted(void **state)
{
    (void)state;
    static layer l;
    double m[DIM * DIM];
    gyre_error error;
    make_layer(&l, chains[2], GYRE_ROPE_NEOX, 0, 0);
    gyre_base *base = base_of(&l, 0, 1);
    l.data.rows.queries = 0;
    assert_int_equal(gyre_query_moments(base, &l.data, &l.data.rows, 0, m, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "--queries"));
    l.data.rows.queries = QUERIES;
    for (size_t i = 0; i < DOCUMENTS * QUERIES; i++)
        l.query_pos[i] = -1;
    assert_int_equal(gyre_query_moments(base, &l.data, &l.data.rows, 0, m, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "sees a key"));
    drop(&l, base);
    gyre_codec_free(l.codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_kept),        cmocka_unit_test(queries_meet_errors),        cmocka_unit_test(moments_are_of_pairs),
        cmocka_unit_test(moments_keep_to_the_window), cmocka_unit_test(moments_turn_with_the_keys), cmocka_unit_test(queries_are_wanted),
    };
    return cmocka_run_group_tests_name("frame of calibration", tests, NULL, NULL);
}
