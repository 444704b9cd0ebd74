/* results/order: the arms of a capture joined with the same arms inside a model, their rank correlation and its interval.
 *
 * Checked by closed forms (equal and reversed orders), by counting every resample of a small sample, by simulated samples whose truth is known, and by what joint resampling of seeds
 * must give: where a seed does the same to both levels, every resample has correlation 1.
 */
#define _GNU_SOURCE
#include "check.h"
#include "short.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gsl/gsl_errno.h>

#include "core/sha256.h"
#include "experiments/report_parts.h"
#include "results/order.h"
#include "results/order_figure.h"
#include "stats/rank.h"

enum { ARMS = 6, MOST = 16, TRIALS = 200 };

static bool equal(double a, double b)
{
    return a >= b && a <= b;
}

static double noise(uint32_t id, size_t i)
{
    gyre_site site = { .campaign_seed = 77, .seed_index = id };
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    double u = gyre_random_uniform(&stream, (uint32_t)(2 * i)), v = gyre_random_uniform(&stream, (uint32_t)(2 * i + 1));
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- units by hand ---- */

typedef struct sample {
    size_t seeds, documents, chunks, arms; /* seeds 0: none seeded */
    double x[ARMS][MOST * MOST], y[ARMS][MOST * MOST];
} sample;

static gyre_order_row correlate(sample *s)
{
    gyre_error err = { .status = GYRE_OK };
    gyre_order_units x[ARMS], y[ARMS];
    gyre_order_row row = { .n_seeds = s->seeds, .n_documents = s->documents, .n_chunks = s->chunks };
    for (size_t a = 0; a < s->arms; a++) {
        x[a] = (gyre_order_units){ s->seeds > 0, s->seeds > 0 ? s->seeds : 1, s->documents, s->x[a] };
        y[a] = (gyre_order_units){ s->seeds > 0, s->seeds > 0 ? s->seeds : 1, s->chunks, s->y[a] };
    }
    CHECK_OK(gyre_order_correlate(x, y, s->arms, &row, &err), &err);
    return row;
}

static void is_interval(const gyre_correlation *c, double value, double lo, double hi)
{
    assert_true(equal(c->value, value) && equal(c->lo, lo) && equal(c->hi, hi));
}

/* Orders that no resample can change. */
static void equal_and_reversed(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        sample s = { .seeds = 4, .documents = 5, .chunks = 6, .arms = ARMS };
        for (size_t a = 0; a < ARMS; a++)
            for (size_t i = 0; i < 4 * 6; i++) {
                s.x[a][i] = 10.0 * (double)a + sin((double)(7 * i + a));
                s.y[a][i] = sign * exp((double)a) + 0.3 * cos((double)(3 * i + a));
            }
        gyre_order_row row = correlate(&s);
        assert_string_equal(row.status, "OK");
        is_interval(&row.rho, sign, sign, sign);
        is_interval(&row.tau, sign, sign, sign);
        assert_true(equal(row.rho.lo_error, 0.0) && row.n_undefined == 0);
    }
}

/* Every arm's metric and NLL are the number of its seed and nothing else, so they agree in any joint resample, whatever the order is in it. Resampled apart, they would not. */
static void seeds_are_joint(void **state)
{
    (void)state;
    sample s = { .seeds = 6, .documents = 3, .chunks = 4, .arms = ARMS };
    for (size_t a = 0; a < ARMS; a++)
        for (size_t i = 0; i < 6; i++) {
            double e = noise((uint32_t)a, i);
            for (size_t j = 0; j < 3; j++)
                s.x[a][i * 3 + j] = e;
            for (size_t c = 0; c < 4; c++)
                s.y[a][i * 4 + c] = 2.0 * e;
        }
    gyre_order_row row = correlate(&s);
    is_interval(&row.rho, 1.0, 1.0, 1.0);
    size_t low = 0; /* the same with seeds drawn apart */
    for (uint32_t t = 0; t < TRIALS; t++) {
        gyre_site site = { .campaign_seed = 5, .seed_index = t };
        gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 1, false);
        double x[ARMS] = { 0.0 }, y[ARMS] = { 0.0 }, rho = 0.0;
        for (uint32_t i = 0; i < 6; i++)
            for (size_t a = 0; a < ARMS; a++) {
                x[a] += s.x[a][3 * (gyre_random_word(&stream, i) % 6)];
                y[a] += s.y[a][4 * (gyre_random_word(&stream, 8 + i) % 6)];
            }
        low += gyre_rank_spearman(x, y, ARMS, &rho, NULL) == GYRE_OK && rho < 0.9;
    }
    assert_true(low > TRIALS / 4);
}

/* The tables of draws of n out of n: digit i of `code` in base n. */
static void shares(size_t code, size_t n, double *share)
{
    for (size_t i = 0; i < n; i++)
        share[i] = 0.0;
    for (size_t i = 0; i < n; i++, code /= n)
        share[code % n] += 1.0;
}

/* All 2^2 * 3^3 * 3^3 resamples of two seeds, three documents and three chunks are equally likely: the ends are quantiles of that distribution, but for what 2000 draws leave open. */
static void against_all_resamples(void **state)
{
    (void)state;
    sample s = { .seeds = 2, .documents = 3, .chunks = 3, .arms = 5 };
    for (size_t a = 0; a < 5; a++)
        for (size_t i = 0; i < 6; i++) {
            s.x[a][i] = 0.7 * (double)a + noise((uint32_t)(10 + a), i);
            s.y[a][i] = 0.7 * (double)a + noise((uint32_t)(20 + a), i);
        }
    gyre_order_row row = correlate(&s);
    double below_lo = 0.0, to_lo = 0.0, below_hi = 0.0, to_hi = 0.0, all = 0.0, w[3], d[3], c[3], x[5], y[5], rho;
    for (size_t code = 0; code < 4 * 27 * 27; code++, all += 1.0) {
        shares(code % 4, 2, w);
        shares(code / 4 % 27, 3, d);
        shares(code / 108, 3, c);
        for (size_t a = 0; a < 5; a++) {
            x[a] = y[a] = 0.0;
            for (size_t i = 0; i < 6; i++) {
                x[a] += w[i / 3] * d[i % 3] * s.x[a][i];
                y[a] += w[i / 3] * c[i % 3] * s.y[a][i];
            }
        }
        assert_int_equal(gyre_rank_spearman(x, y, 5, &rho, NULL), GYRE_OK);
        below_lo += rho < row.rho.lo - 1e-12;
        to_lo += rho <= row.rho.lo + 1e-12;
        below_hi += rho < row.rho.hi - 1e-12;
        to_hi += rho <= row.rho.hi + 1e-12;
    }
    double open = 4.0 * sqrt(0.025 * 0.975 / GYRE_ORDER_RESAMPLES);
    assert_true(row.rho.lo < row.rho.value && row.rho.value <= row.rho.hi && row.rho.lo < row.rho.hi);
    assert_true(below_lo / all <= 0.025 + open && to_lo / all >= 0.025 - open);
    assert_true(below_hi / all <= 0.975 + open && to_hi / all >= 0.975 - open);
    gyre_order_row again = correlate(&s);
    assert_true(equal(again.rho.lo, row.rho.lo) && equal(again.rho.hi, row.rho.hi) && equal(again.tau.lo, row.tau.lo) && equal(again.tau.hi, row.tau.hi));
}

typedef struct truth {
    size_t seeds, documents, chunks;
    double gap, order[ARMS]; /* true means: gap a for the metric, gap order[a] for the model */
} truth;

/* Seeds, documents and chunks add their spread to true means. Returns the share of intervals that hold the true correlation. */
static double coverage(const truth *of, uint32_t first, uint32_t trials, double *rho)
{
    static const double places[ARMS] = { 0, 1, 2, 3, 4, 5 };
    const size_t seeds = of->seeds, documents = of->documents, chunks = of->chunks;
    const double gap = of->gap, *order = of->order;
    size_t held = 0;
    assert_int_equal(gyre_rank_spearman(places, order, ARMS, rho, NULL), GYRE_OK);
    for (uint32_t t = 0; t < trials; t++) {
        sample s = { .seeds = seeds, .documents = documents, .chunks = chunks, .arms = ARMS };
        size_t k = 0;
        for (size_t a = 0; a < ARMS; a++) {
            double by_document[MOST], by_chunk[MOST];
            for (size_t j = 0; j < documents; j++)
                by_document[j] = 0.3 * noise(first + t, k++);
            for (size_t c = 0; c < chunks; c++)
                by_chunk[c] = 0.8 * noise(first + t, k++);
            for (size_t i = 0; i < seeds; i++) {
                double seed = noise(first + t, k++);
                for (size_t j = 0; j < documents; j++)
                    s.x[a][i * documents + j] = gap * (double)a + seed + by_document[j] + 0.2 * noise(first + t, k++);
                for (size_t c = 0; c < chunks; c++)
                    s.y[a][i * chunks + c] = gap * order[a] + 0.7 * seed + by_chunk[c] + 0.5 * noise(first + t, k++);
            }
        }
        gyre_order_row row = correlate(&s);
        held += row.rho.lo <= *rho + 1e-12 && *rho - 1e-12 <= row.rho.hi;
    }
    return (double)held / (double)trials;
}

/* The last two, arms in perfect order but closer than their noise, are there to be printed: no resampling of noisy means finds an order that noise has undone. */
static void simulated(void **state)
{
    enum { DISTINCT = 6 };
    const uint32_t trials = *state != NULL ? TRIALS / 5 : TRIALS; /* --short */
    static const truth cases[] = { { 8, 12, 16, 1.0, { 0, 2, 1, 5, 3, 4 } }, { 8, 12, 16, 0.5, { 0, 2, 1, 5, 3, 4 } }, { 4, 12, 16, 0.5, { 0, 2, 1, 5, 3, 4 } },
                                   { 8, 12, 16, 0.2, { 0, 2, 1, 5, 3, 4 } }, { 8, 12, 16, 1.0, { 0, 1, 2, 3, 4, 5 } }, { 8, 12, 16, 0.5, { 0, 1, 2, 3, 4, 5 } },
                                   { 8, 12, 16, 0.2, { 0, 1, 2, 3, 4, 5 } }, { 8, 12, 16, 0.2, { 5, 4, 3, 2, 1, 0 } } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rho, held = coverage(&cases[i], (uint32_t)(1000 * (i + 1)), trials, &rho);
        print_message("rank correlation of 6 arms, truth %.3f, %zu seeds, %zu documents, %zu chunks, gap %.1f: %.3f of %u intervals hold the truth\n", rho, cases[i].seeds,
                      cases[i].documents, cases[i].chunks, cases[i].gap, held, trials);
        if (i < DISTINCT)
            assert_true(held >= 0.95 - 4.0 * sqrt(0.95 * 0.05 / trials));
    }
}

/* ---- tables ---- */

typedef struct arm_rule {
    const char *name, *streams;
    bool seeded;
    double metric, model; /* levels */
} arm_rule;

typedef struct table_rule {
    bool model;
    const char *sha256, *codec;
    size_t n_arms, n_points, n_documents;
    uint32_t n_seeds;
    uint64_t campaign_seed;
    const arm_rule *arms;
    double spread;
} table_rule;

static const char *const points[] = { "bits=3", "bits=4" }, *const capture_metrics[] = { "nmse", "softmax_kl", "flip" }, *const capture_units[] = { "", "nat", "share" },
                        *const model_metrics[] = { "nll_change", "token_kl" }, *const model_units[] = { "nat", "nat" };
static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
static const uint32_t layer_numbers[] = { 0, 12 };

static void fill_cell(gyre_table *t, const table_rule *rule, size_t arm, size_t point, uint32_t layer, uint32_t seed)
{
    gyre_error err = { .status = GYRE_OK };
    gyre_cell *c = &t->cells[t->n_cells++];
    const arm_rule *a = &rule->arms[arm];
    char text[64];
    bool exact = strcmp(a->streams, "none") == 0;
    *c = (gyre_cell){ .layer = layer, .arm = a->name, .point = exact || rule->n_points == 1 ? "" : points[point], .streams = a->streams, .codec_k = rule->codec, .codec_v = "exact",
                      .seeded = a->seeded, .seed = seed, .status = GYRE_CELL_OK, .reason = "", .flags = "", .payload_bits = 4, .total_bits = 4, .read_bits = 4,
                      .n_documents = rule->n_documents, .n_heads = 1 };
    (void)snprintf(text, sizeof text, "%zu %zu %u %u", arm, point, layer, seed);
    CHECK_OK(gyre_sha256_bytes(text, strlen(text), c->key, &err), &err);
    CHECK_OK(gyre_table_keep(t, t->n_metrics * rule->n_documents, sizeof *c->values, &c->values, &err), &err);
    for (size_t m = 0; m < t->n_metrics; m++)
        for (size_t d = 0; d < rule->n_documents; d++) {
            double level = (rule->model ? a->model : a->metric) * (point == 0 ? 3.0 : 1.0) * exp(rule->spread * noise((uint32_t)(400 + arm), seed));
            double e = rule->spread * noise((uint32_t)(500 + arm + 50 * m + 20 * layer + (rule->model ? 9 : 0)), seed * 8 + d);
            bool difference = rule->model && m == 0;
            double kl = rule->model ? level : a->model * (point == 0 ? 3.0 : 1.0); /* softmax_kl orders as the model does */
            c->values[m * rule->n_documents + d] = exact ? 0.0 : difference ? level + 0.1 * e - 0.02 : (m == 1 ? kl : level) * exp(e);
        }
}

static gyre_table *build(const table_rule *rule)
{
    gyre_error err = { .status = GYRE_OK };
    gyre_table *t = NULL;
    uint32_t *heads = NULL;
    const size_t n_layers = rule->model ? 1 : 2;
    CHECK_OK(gyre_table_new(&t, &err), &err);
    t->experiment = rule->model ? "perplexity" : "demo";
    t->n_seeds = rule->n_seeds;
    t->campaign_seed = rule->campaign_seed;
    t->n_metrics = rule->model ? 2 : 3;
    t->metrics = rule->model ? model_metrics : capture_metrics;
    t->metric_units = rule->model ? model_units : capture_units;
    t->n_sources = 1;
    CHECK_OK(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &err), &err);
    CHECK_OK(gyre_table_keep(t, 2, sizeof *heads, &heads, &err), &err);
    heads[0] = heads[1] = 1;
    t->sources[0] = (gyre_source){ .kind = rule->model ? GYRE_SOURCE_MODEL : GYRE_SOURCE_CAPTURE, .name = "smollm2-135m", .path = "x", .digest = "", .model_sha256 = rule->sha256,
                                   .architecture = "llama", .n_documents = rule->n_documents, .documents = names, .n_layers = n_layers, .layers = layer_numbers, .n_heads = heads, .dim = 64,
                                   .texts = "", .texts_sha256 = "", .engine = "", .context = rule->model ? 512 : 0 };
    CHECK_OK(gyre_table_keep(t, n_layers * rule->n_arms * rule->n_points * rule->n_seeds, sizeof *t->cells, &t->cells, &err), &err);
    for (size_t l = 0; l < n_layers; l++)
        for (size_t a = 0; a < rule->n_arms; a++)
            for (size_t p = 0; p < (strcmp(rule->arms[a].streams, "none") == 0 ? 1 : rule->n_points); p++)
                for (uint32_t seed = 0; seed < (rule->arms[a].seeded ? rule->n_seeds : 1); seed++)
                    fill_cell(t, rule, a, p, layer_numbers[l], seed);
    return t;
}

/* nmse and the model agree but for centred and srht; the capture has more seeds than the model, and an arm more. */
static const arm_rule rules[] = { { "exact", "none", false, 0, 0 },          { "identity", "k", false, 4e-2, 0.40 }, { "srht", "k", true, 1e-2, 0.20 }, { "srft", "k", true, 1.6e-2, 0.30 },
                                  { "centred", "k", false, 2.5e-2, 0.12 },   { "learned", "k", true, 5e-3, 0.05 },   { "v_srht", "v", true, 1e-2, 0.02 }, { "only_here", "k", false, 1, 1 } };
static const table_rule capture_rule = { false, "ab", "srht; sym bits=4", 8, 2, 6, 8, 3, rules, 0.03 }, model_rule = { true, "ab", "srht; sym bits=4", 7, 2, 8, 4, 3, rules, 0.03 };

static gyre_orders joined(gyre_table *capture, gyre_table *model, const char *against)
{
    gyre_error err = { .status = GYRE_OK };
    gyre_orders o;
    CHECK_OK(gyre_order_join(capture, "c.h5", model, "m.h5", against, &o, &err), &err);
    return o;
}

static bool listed(const gyre_orders *o, const char *arm, const char *says)
{
    for (size_t i = 0; i < o->n_absent; i++)
        if (strcmp(o->absent[i].arm, arm) == 0 && strstr(o->absent[i].reason, says) != NULL)
            return true;
    return false;
}

static void tables_joined(void **state)
{
    (void)state;
    gyre_table *capture = build(&capture_rule), *model = build(&model_rule);
    gyre_orders o = joined(capture, model, "nll_change");
    assert_int_equal(o.n_rows, 9); /* three metrics: both points, then each; the arms of values are one at each point, too few */
    const gyre_order_row *nmse = &o.rows[0], *kl = &o.rows[1], *at3 = &o.rows[3];
    assert_true(nmse->point == NULL && at3->point != NULL && strcmp(at3->point, "bits=3") == 0);
    assert_int_equal(nmse->n_arms, 10);
    assert_int_equal(at3->n_arms, 5);
    assert_true(at3->n_seeds == 4 && at3->n_documents == 6 && at3->n_chunks == 8); /* seeds of both sides */
    assert_true(nmse->metric_log && !nmse->model_log && !o.rows[2].metric_log);    /* flip is a share */
    /* nmse: learned srht srft centred identity = 1..5; model: 1 3 4 2 5. sum d^2 = 0 + 1 + 1 + 4 + 0, rho = 1 - 36/120; of 10 pairs 2 are discordant, tau = (8 - 2)/10 */
    CHECK_CLOSE(at3->rho.value, 0.7, 1e-12, 0.0);
    CHECK_CLOSE(at3->tau.value, 0.6, 1e-12, 0.0);
    assert_true(at3->rho.lo <= 0.7 && at3->rho.hi >= 0.7 && strcmp(at3->status, "OK") == 0);
    CHECK_CLOSE(kl->rho.value, 1.0, 1e-12, 0.0);
    assert_int_equal(at3->n_pairs, 10);
    assert_int_equal(nmse->n_pairs, 20);
    assert_int_equal(at3->n_discords, 2);
    assert_int_equal(nmse->n_discords, 4);
    assert_int_equal(kl->n_discords, 0);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(at3->discords[i].better_by_model, "centred");
        assert_true(at3->discords[i].metric.hi < 1.0 && at3->discords[i].model.lo > 0.0); /* a ratio, a difference */
    }
    assert_string_equal(at3->arms[at3->best_by_metric].arm, "learned");
    assert_true(listed(&o, "exact", "codes nothing") && listed(&o, "only_here", "not among the model's results"));
    gyre_orders by_kl = joined(capture, model, "token_kl");
    assert_true(by_kl.rows[0].model_log);
    gyre_table_free(capture);
    gyre_table_free(model);
}

static void refused(table_rule capture_side, table_rule model_side, const char *against, const char *says)
{
    gyre_error err = { .status = GYRE_OK };
    gyre_orders o;
    gyre_table *capture = build(&capture_side), *model = build(&model_side);
    assert_int_equal(gyre_order_join(capture, "c.h5", model, "m.h5", against, &o, &err), GYRE_E_INPUT);
    if (strstr(err.message, says) == NULL)
        fail_msg("'%s' does not say '%s'", err.message, says);
    gyre_table_free(capture);
    gyre_table_free(model);
}

static void refusals(void **state)
{
    (void)state;
    table_rule other = model_rule, few = model_rule, coded = model_rule, seeds = model_rule;
    other.sha256 = "cd";
    few.n_arms = 2; /* one, at two grid points */
    coded.codec = "srht; asym bits=4";
    seeds.campaign_seed = 4;
    refused(capture_rule, other, "nll_change", "no model in common: c.h5 has smollm2-135m (ab), m.h5 has smollm2-135m (cd)");
    refused(model_rule, capture_rule, "nll_change", "wrong way round: c.h5 has results of a model and m.h5 those of captures");
    refused(capture_rule, capture_rule, "nll_change", "m.h5 has no results of a model");
    refused(model_rule, model_rule, "nll_change", "c.h5 has no results of captures");
    refused(capture_rule, few, "nll_change", "fewer than 3 arms in common");
    refused(capture_rule, coded, "nll_change", "another codec of keys: srht; sym bits=4 in the capture's results, srht; asym bits=4 in the model's");
    refused(capture_rule, model_rule, "nll_chnge", "m.h5 has no metric nll_chnge");
    refused(capture_rule, seeds, "nll_change", "campaign_seed is 3 in c.h5 and 4 in m.h5");
}

/* One seed, one chunk: the correlation stays, the interval goes. */
static void no_interval(void **state)
{
    (void)state;
    table_rule seed = model_rule, chunk = model_rule;
    seed.n_seeds = 1;
    chunk.n_documents = 1;
    const table_rule *const sides[] = { &seed, &chunk };
    const char *const says[] = { "one seed", "one chunk" };
    for (size_t i = 0; i < 2; i++) {
        gyre_table *capture = build(&capture_rule), *model = build(sides[i]);
        gyre_orders o = joined(capture, model, "nll_change");
        assert_string_equal(o.rows[0].status, "NO_INTERVAL");
        assert_non_null(strstr(o.rows[0].reason, says[i]));
        assert_true(isfinite(o.rows[0].rho.value) && isnan(o.rows[0].rho.lo) && isnan(o.rows[0].tau.hi));
        gyre_table_free(capture);
        gyre_table_free(model);
    }
}

/* ---- what people see ---- */

static char *file_text(const char *folder, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 22);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 22) - 1, f) > 0);
    (void)fclose(f);
    return text;
}

static void contains(const char *text, const char *what)
{
    if (strstr(text, what) == NULL)
        fail_msg("'%s' is not in\n%.3000s", what, text);
}

static void table_and_figure(void **state)
{
    (void)state;
    gyre_error err = { .status = GYRE_OK };
    gyre_table *capture = build(&capture_rule), *model = build(&model_rule);
    gyre_orders o = joined(capture, model, "nll_change");
    gyre_provenance clean = { .build_id = "0.1.0 (abc)" }, dirty = { .build_id = "0.1.0 (def, dirty)", .git_dirty = true };
    const gyre_order_file files[] = { { &clean, "0123456789abcdef" }, { &dirty, "fedcba9876543210" } };
    char folder[] = "/tmp/gyre-order-test-XXXXXX", *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    gyre_report_order(&o, f);
    assert_int_equal(fclose(f), 0);
    const char *const told[] = { "c.h5 (captures) against nll_change of m.h5 (model)", "6 documents of the capture, 8 chunks of the model", "0.700 [", "0.600 [", "4 of 20", "2 of 10", "learned bits=4",
                                 "srht beats centred by nmse (x", "only_here bits=3: not among the model's results", "exact: it codes nothing", "2000 resamples of seeds (4, jointly" };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        contains(text, told[i]);
    free(text);
    assert_non_null(mkdtemp(folder));
    CHECK_OK(gyre_order_draw(&o, &files[0], &files[1], folder, NULL, &err), &err);
    char *svg = file_text(folder, "model_order_smollm2-135m_k.svg"), *csv = file_text(folder, "model_order_smollm2-135m_k.csv");
    const char *const drawn[] = { "0.70 [", "0123456789ab", "fedcba987654", "DIRTY BUILD", "nll_change (nat)", "5 arms; 2 of 10 pairs ordered oppositely", "all grid points", "n = 10 arms (each grid point counts), 6 documents, 8 chunks" };
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
        contains(svg, drawn[i]);
    contains(csv, "\norder,smollm2-135m,none,k,bits=3,nmse,nll_change,,,0.69999999999999996,");
    contains(csv, "\ndiscord,smollm2-135m,none,k,bits=3,nmse,nll_change,srht,centred,0.");
    free(svg);
    free(csv);
    const char *const kept = getenv("GYRE_KEEP_FIGURES");
    const char *const extensions[] = { "png", "svg", "pdf", "csv" };
    for (size_t i = 0; i < 4; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/model_order_smollm2-135m_k.%s", folder, extensions[i]);
        assert_true(kept != NULL || unlink(path) == 0);
    }
    assert_true(kept != NULL || rmdir(folder) == 0);
    gyre_table_free(capture);
    gyre_table_free(model);
}

int main(int argc, char **argv)
{
    bool few = asked_short(argc, argv);
    const struct CMUnitTest tests[] = { cmocka_unit_test(equal_and_reversed), cmocka_unit_test(seeds_are_joint), cmocka_unit_test(against_all_resamples), cmocka_unit_test_prestate(simulated, few ? &few : NULL),
                                         cmocka_unit_test(tables_joined), cmocka_unit_test(refusals), cmocka_unit_test(no_interval), cmocka_unit_test(table_and_figure) };
    (void)gsl_set_error_handler_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
