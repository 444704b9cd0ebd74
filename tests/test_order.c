/* results/order: the arms of a capture joined with the same arms inside a model, their rank correlation and its interval.
 *
 * Checked by closed forms (equal and reversed orders), by counting every resample of a small sample, by simulated samples whose truth is known, and by what joint resampling of seeds
 * must give: where a seed does the same to both levels, every resample has correlation 1.
 */
#define _GNU_SOURCE
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gsl/gsl_errno.h>

#include "core/sha256.h"
#include "results/order.h"
#include "stats/rank.h"

enum { ARMS = 6, MOST = 16 };

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
    enum { TRIALS = 400 };
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
static double coverage(const truth *of, uint32_t first, size_t trials, double *rho)
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

static size_t trials = 300;

static void simulated(void **state)
{
    (void)state;
    static const truth cases[] = { { 8, 12, 16, 1.0, { 0, 2, 1, 5, 3, 4 } }, { 8, 12, 16, 0.5, { 0, 2, 1, 5, 3, 4 } }, { 4, 12, 16, 0.5, { 0, 2, 1, 5, 3, 4 } },
                                   { 8, 12, 16, 0.2, { 0, 2, 1, 5, 3, 4 } }, { 8, 12, 16, 1.0, { 0, 1, 2, 3, 4, 5 } }, { 8, 12, 16, 0.5, { 0, 1, 2, 3, 4, 5 } },
                                   { 8, 12, 16, 0.2, { 0, 1, 2, 3, 4, 5 } }, { 8, 12, 16, 0.2, { 5, 4, 3, 2, 1, 0 } } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rho, held = coverage(&cases[i], (uint32_t)(1000 * (i + 1)), trials, &rho);
        print_message("rank correlation of 6 arms, truth %.3f, %zu seeds, %zu documents, %zu chunks, gap %.1f: %.3f of %zu intervals hold the truth\n", rho, cases[i].seeds,
                      cases[i].documents, cases[i].chunks, cases[i].gap, held, trials);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(equal_and_reversed), cmocka_unit_test(seeds_are_joint), cmocka_unit_test(against_all_resamples), cmocka_unit_test(simulated) };
    (void)gsl_set_error_handler_off();
    if (argc > 1 && strcmp(argv[1], "--short") == 0)
        trials = 40;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
