/* results/: exact numbers, canaries, registered plans, what a sample could have seen.
 *
 * A table of one layer, four documents and one head whose values are written down here; Holm by hand; numbers of seeds and documents by trying all of them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <gsl/gsl_errno.h>

#include "core/commit.h"
#include "results/canary.h"
#include "results/compare.h"
#include "results/exact.h"
#include "results/foresee.h"
#include "results/registration.h"
#include "results/results_file.h"
#include "results/verify.h"

static gyre_error error;

#define OK(call)                                   \
    do {                                           \
        if ((call) != GYRE_OK)                     \
            fail_msg("%s: %s", #call, error.message); \
    } while (0)

enum { DOCUMENTS = 4, SEEDS = 3, METRICS = 2 };

#define PLAIN "order=half_split;chain=[identity];quantizer=sym(bits=4,group=row)"
#define SIGNS "order=half_split;chain=[signs(per=layer)];quantizer=sym(bits=4,group=row)"
#define SRHT "order=half_split;chain=[signs(per=layer),hadamard(form=sylvester)];quantizer=sym(bits=4,group=row)"
#define SRFT "order=half_split;chain=[signs(per=layer),rfft];quantizer=sym(bits=4,group=row)"
#define SRHT_3 "order=half_split;chain=[signs(per=layer),hadamard(form=sylvester)];quantizer=sym(bits=3,group=row)"
#define SRHT_32 "order=half_split;chain=[signs(per=layer),hadamard(form=sylvester)];quantizer=sym(bits=4,group=32)"
#define ASYM "order=half_split;chain=[identity];quantizer=asym(bits=4,group=row)"
#define LEARNED "order=half_split;chain=[signs(per=layer),hadamard(form=sylvester),expm];quantizer=sym(bits=4,group=row);fit=mse"
#define F16 "order=half_split;chain=[identity];quantizer=f16"

static const char *const metrics[METRICS] = { "nmse", "flip" }, *const units[METRICS] = { "", "share" };
static const char *const documents[] = { "moby", "emma", "dracula", "ulysses", "walden" };
static const uint32_t layers[] = { 7 }, heads[] = { 1 };

static gyre_table *make_table(void)
{
    gyre_table *t = NULL;
    OK(gyre_table_new(&t, &error));
    memset(t->analysis_sha256, 'b', 64);
    t->n_seeds = SEEDS;
    t->n_metrics = METRICS;
    t->metrics = metrics;
    t->metric_units = units;
    t->n_sources = 1;
    OK(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &error));
    t->sources[0] = (gyre_source){ .name = "smollm2", .digest = "d0", .n_documents = DOCUMENTS, .documents = documents, .n_layers = 1, .layers = layers, .n_heads = heads, .dim = 64 };
    OK(gyre_table_keep(t, 64, sizeof *t->cells, &t->cells, &error));
    OK(gyre_table_keep(t, 8, sizeof *t->comparisons, &t->comparisons, &error));
    return t;
}

/* A cell whose nmse in document j is value + j/64, and whose share of flips is always one half. */
static gyre_cell *add(gyre_table *t, const char *arm, const char *codec, bool seeded, uint32_t seed, double value)
{
    gyre_cell *c = &t->cells[t->n_cells++];
    char text[256];
    *c = (gyre_cell){ .layer = 7, .arm = arm, .point = "bits=4", .streams = "k", .codec_k = codec, .codec_v = "exact", .seeded = seeded, .seed = seed, .status = GYRE_CELL_OK, .reason = "",
                      .flags = "", .payload_bits = strcmp(codec, F16) == 0 || strcmp(codec, "exact") == 0 ? 16.0 : 4.0, .total_bits = 4.25, .n_documents = DOCUMENTS, .n_heads = 1 };
    (void)snprintf(text, sizeof text, "%s %u", codec, seed);
    OK(gyre_sha256_bytes(text, strlen(text), c->key, &error));
    OK(gyre_table_keep(t, METRICS * DOCUMENTS, sizeof *c->values, &c->values, &error));
    for (size_t j = 0; j < DOCUMENTS; j++) {
        c->values[j] = value > 0.0 ? value + (double)j / 64.0 : 0.0;
        c->values[DOCUMENTS + j] = value > 0.0 ? 0.5 : 0.0;
    }
    return c;
}

/* ---- numbers that arithmetic fixes ---- */

static void exact_numbers(void **state)
{
    (void)state;
    static const struct {
        double published, measured;
        uint32_t digits;
        const char *verdict;
    } cases[] = { { 4.25, 4.25, 2, "EXACT" },  { 4.25, 4.2549, 2, "EXACT" }, { 4.25, 4.255, 2, "EXACT" }, { 4.25, 4.245, 2, "EXACT" },
                  { 4.25, 4.2551, 2, "DIFFERENT" }, { 3.56, 32.0 / 9.0, 2, "EXACT" }, { 3.5, 32.0 / 9.0, 1, "DIFFERENT" }, { 4.0, 4.4, 0, "EXACT" },
                  { 4.25, NAN, 2, "NOT MEASURED" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(gyre_exact_verdict(cases[i].published, cases[i].measured, cases[i].digits), cases[i].verdict) != 0)
            fail_msg("%.*f against %.10g is not %s", (int)cases[i].digits, cases[i].published, cases[i].measured, cases[i].verdict);
    gyre_table *t = make_table();
    gyre_exact rows[] = { { .arm = "srht", .point = "bits=4", .quantity = "total_bits", .published = 4.25, .digits = 2 },
                          { .arm = "srht", .point = "bits=4", .quantity = "compression", .published = 3.76, .digits = 2 },
                          { .arm = "srht", .point = "bits=8", .quantity = "payload_bits", .published = 4.0, .digits = 0 } };
    add(t, "srht", SRHT, true, 0, 0.5);
    add(t, "srht", SRHT, true, 1, 0.6);
    t->exact = rows;
    t->n_exact = 3;
    OK(gyre_exact_measure(t, &error));
    assert_string_equal(rows[0].verdict, "EXACT");
    assert_string_equal(rows[1].verdict, "EXACT"); /* 16/4.25 = 3.7647 */
    assert_true(isnan(rows[2].measured));          /* no such cell */
    rows[0].quantity = "weight";
    assert_int_equal(gyre_exact_measure(t, &error), GYRE_E_CONFIG);
    gyre_table_free(t);
}

/* ---- canaries ---- */

static void expect(gyre_table *t, const char *name, const char *status, const char *in_detail)
{
    OK(gyre_canaries_make(t, &error));
    for (size_t i = 0; i < t->n_canaries; i++)
        if (strcmp(t->canaries[i].name, name) == 0) {
            if (strcmp(t->canaries[i].status, status) != 0 || strstr(t->canaries[i].detail, in_detail) == NULL)
                fail_msg("%s: %s, %s; wanted %s with '%s'", name, t->canaries[i].status, t->canaries[i].detail, status, in_detail);
            gyre_table_free(t);
            return;
        }
    fail_msg("no canary %s", name);
}

static void zero_drift(void **state)
{
    (void)state;
    gyre_table *t = make_table();
    add(t, "none", "exact", false, 0, 0.0);
    add(t, "half", F16, false, 0, 0.0);
    add(t, "srht", SRHT, true, 0, 0.5);
    expect(t, "zero drift", "PASS", "1 lossy cells, none without an error; 1 exact ones, all exactly 0; 1 of 16 bits or more, of which 1 are exactly 0");
    t = make_table();
    add(t, "srft", SRFT, true, 0, 0.5);
    add(t, "srht", SRHT, true, 2, 0.0);
    expect(t, "zero drift", "FAIL", "smollm2 layer 7, srht at bits=4, seed 2: nmse is exactly 0 in 4 of 4 units");
    t = make_table(); /* one unit is enough */
    add(t, "srht", SRHT, true, 0, 0.5)->values[3] = 0.0;
    expect(t, "zero drift", "FAIL", "nmse is exactly 0 in 1 of 4 units");
    t = make_table(); /* a share may be 0 */
    gyre_cell *c = add(t, "srht", SRHT, true, 0, 0.5);
    for (size_t j = 0; j < DOCUMENTS; j++)
        c->values[DOCUMENTS + j] = 0.0;
    expect(t, "zero drift", "PASS", "1 lossy cells");
    t = make_table();
    add(t, "none", "exact", false, 0, 0.0)->values[1] = 1e-300;
    expect(t, "zero drift", "FAIL", "none at bits=4, seed 0: nmse is not 0 in 1 of 4 units");
    t = make_table();
    expect(t, "zero drift", "NOT RUN", "no cell");
}

static void duplicates(void **state)
{
    (void)state;
    static const struct {
        const char *one, *two, *status, *detail;
    } cases[] = {
        { PLAIN, SRHT, "FAIL", "smollm2 layer 7, b at bits=4, seed 0 has the values of smollm2 layer 7, a at bits=4, seed 0" }, /* a rotation that is off */
        { SRHT, SRFT, "FAIL", "has the values of" },
        { SRHT, SRHT_3, "FAIL", "has the values of" }, /* bits that are not read */
        { PLAIN, ASYM, "FAIL", "has the values of" },
        { PLAIN, SIGNS, "PASS", "by options that do not act there" }, /* symmetric codes do not see signs */
        { SRHT, SRHT_32, "PASS", "by options that do not act there" }, /* rows of 32 */
        { SRHT, LEARNED, "PASS", "by fits that may have kept their start" },
        { SRHT, SRHT, "PASS", "different codecs: 0" }, /* an arm under two names */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gyre_table *t = make_table();
        add(t, "a", cases[i].one, false, 0, 0.5);
        add(t, "b", cases[i].two, false, 0, 0.5);
        expect(t, "duplicates", cases[i].status, cases[i].detail);
    }
    gyre_table *t = make_table(); /* one bit apart */
    add(t, "a", PLAIN, false, 0, 0.5);
    gyre_cell *c = add(t, "b", SRHT, false, 0, 0.5);
    c->values[2] = nextafter(c->values[2], 1.0);
    expect(t, "duplicates", "PASS", "different codecs: 0");
    t = make_table(); /* other layers are other cells */
    add(t, "a", PLAIN, false, 0, 0.5);
    add(t, "b", SRHT, false, 0, 0.5)->layer = 8;
    expect(t, "duplicates", "PASS", "different codecs: 0");
    t = make_table();
    add(t, "a", PLAIN, false, 0, 0.5);
    expect(t, "duplicates", "NOT RUN", "not two");
}

static void seed_sensitivity(void **state)
{
    (void)state;
    gyre_table *t = make_table();
    for (uint32_t s = 0; s < 3; s++)
        add(t, "srht", SRHT, true, s, 0.5 + 0.1 * s);
    expect(t, "seed sensitivity", "PASS", "3 seeded cells");
    t = make_table();
    for (uint32_t s = 0; s < 3; s++)
        add(t, "srht", SRHT, true, s, s == 2 ? 0.5 : 0.5 + 0.1 * s);
    expect(t, "seed sensitivity", "FAIL", "srht at bits=4, seed 2 has the values of smollm2 layer 7, srht at bits=4, seed 0");
    t = make_table();
    add(t, "signs", SIGNS, true, 0, 0.5);
    add(t, "signs", SIGNS, true, 1, 0.5);
    expect(t, "seed sensitivity", "PASS", "a quantizer need not see");
    t = make_table();
    add(t, "plain", PLAIN, false, 1, 0.5);
    expect(t, "seed sensitivity", "FAIL", "draws nothing and has a seed");
    t = make_table();
    add(t, "plain", PLAIN, false, 0, 0.5);
    add(t, "plain", PLAIN, false, 0, 0.6);
    expect(t, "seed sensitivity", "FAIL", "is there twice");
    t = make_table();
    add(t, "srht", SRHT, true, 0, 0.5);
    expect(t, "seed sensitivity", "NOT RUN", "two seeds");
}

/* What is right and looks wrong: equal values that follow from what the codecs are. A false alarm would take all verdicts of a run away. */
static void no_false_alarms(void **state)
{
    (void)state;
#define CODEC(chain, quantizer) "order=half_split;chain=[" chain "];quantizer=" quantizer
#define WINDOWED(chain, quantizer) "order=half_split;window=512;chain=[" chain "];quantizer=" quantizer
#define SYM "sym(bits=4,group=row)"
#define S "signs(per=layer)"
#define H "hadamard(form=sylvester)"
    static const struct {
        const char *codec_k[2], *codec_v[2], *metric, *duplicates, *seeds; /* values are the same; seeds: of the first */
    } cases[] = {
        { { CODEC(H, SYM), CODEC("bdr(block=64)", SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" },              /* one block is the row */
        { { CODEC(S "," H, SYM), CODEC(S ",bdr(block=64)", SYM) }, { "exact", "exact" }, "nmse", "PASS", "FAIL" },
        { { CODEC(H "," S, SYM), CODEC(H ",permutation(kind=random)", SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" }, /* signs behind the mixing */
        { { CODEC(S ",bdr(block=2)", SYM), CODEC("bdr(block=2)", SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" },   /* a+b, a-b or a-b, a+b */
        { { CODEC(S ",scale(by=max,per=layer)", SYM), CODEC("scale(by=max,per=layer)", SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" }, /* lambda follows the signs */
        { { CODEC(S ",centre(by=mean)", SYM), CODEC("centre(by=mean)", SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" },
        { { CODEC("smooth(alpha=0,pairs=false)", SYM), CODEC("", SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" },  /* divides by 1 */
        { { CODEC("smooth(alpha=0.5,pairs=false)", SYM), CODEC("", SYM) }, { "exact", "exact" }, "nmse", "FAIL", "PASS" },
        { { CODEC("dense(file=x)", SYM), CODEC(H, SYM) }, { "exact", "exact" }, "nmse", "PASS", "PASS" },                 /* the file may hold it */
        { { CODEC("haar(per=layer)", SYM), CODEC("", SYM) }, { "exact", "exact" }, "nmse", "FAIL", "FAIL" },
        { { CODEC("permutation(kind=random)," H, SYM), CODEC(H, SYM) }, { "exact", "exact" }, "nmse", "PASS", "FAIL" },
        { { CODEC("", "asym(bits=4,group=32,scale=f16)"), CODEC("", "kivi(bits=4,group=32,scale=f16)") }, { "exact", "exact" }, "nmse", "PASS", "PASS" },
        { { CODEC("", "asym(bits=3,group=32,scale=f16)"), CODEC("", "kivi(bits=4,group=32,scale=f16)") }, { "exact", "exact" }, "nmse", "FAIL", "PASS" },
        { { CODEC("", "ott(bits=2,outliers=0)"), CODEC("", "kivi(bits=2,group=128)") }, { CODEC("", "ott(bits=2,outliers=0)"), CODEC("", "kivi(bits=2,group=128)") }, "nmse", "PASS", "PASS" },
        /* streams: values that no metric of keys sees; keys of 16 bits beside values of 4; a window over all rows */
        { { CODEC("", SYM), CODEC("", SYM) }, { CODEC(S "," H, SYM), CODEC("", SYM) }, "softmax_kl", "PASS", "PASS" },
        { { CODEC("", SYM), CODEC("", SYM) }, { CODEC(S "," H, SYM), CODEC("", SYM) }, "output_error", "FAIL", "FAIL" },
        { { CODEC(S "," H, SYM), CODEC("", SYM) }, { CODEC("", SYM), CODEC("", SYM) }, "softmax_kl", "FAIL", "FAIL" },
        { { CODEC("", "f16"), CODEC("", "exact") }, { CODEC("", SYM), CODEC("", SYM) }, "nmse", "PASS", "PASS" },
        { { WINDOWED(S "," H, SYM), WINDOWED("", SYM) }, { CODEC("", SYM), CODEC("", SYM) }, "nmse", "PASS", "PASS" },
        { { WINDOWED(S "," H, SYM), WINDOWED("", SYM) }, { "exact", "exact" }, "nmse", "FAIL", "FAIL" },              /* 4 bits are the keys' own */
        { { CODEC(H, SYM) ";layers 0-29=exact", CODEC("", SYM) ";layers 0-29=exact" }, { "exact", "exact" }, "token_kl", "PASS", "PASS" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int seeds = 0; seeds < 2; seeds++) {
            gyre_table *t = make_table();
            const char *const one[METRICS] = { cases[i].metric, "flip" };
            t->metrics = one;
            for (uint32_t j = 0; j < 2; j++) {
                gyre_cell *c = add(t, seeds || j == 0 ? "one" : "two", cases[i].codec_k[seeds ? 0 : j], seeds != 0, seeds ? j : 0, 0.5);
                c->codec_v = cases[i].codec_v[seeds ? 0 : j];
                c->payload_bits = 10.0;
                c->key[0] = (char)('a' + (int)j);
            }
            print_message("%zu ", i);
            expect(t, seeds ? "seed sensitivity" : "duplicates", seeds ? cases[i].seeds : cases[i].duplicates, "");
        }
    print_message("\n");
    /* few coordinates: two draws may be one */
    gyre_table *t = make_table();
    t->sources[0].dim = 4;
    add(t, "srht", SRHT, true, 0, 0.5);
    add(t, "srht", SRHT, true, 1, 0.5);
    expect(t, "seed sensitivity", "PASS", "need not see");
    /* keys of 16 bits and values of 4: no error of the scores, and 10 bits in the mean */
    static const char *const scores[METRICS] = { "nmse", "softmax_kl" };
    static const char *const plain[METRICS] = { "", "nat" };
    for (int both = 0; both < 2; both++) {
        t = make_table();
        t->metrics = scores;
        t->metric_units = plain;
        gyre_cell *c = add(t, "mixed", both ? CODEC("", "f16") : CODEC("", SYM), false, 0, 0.5);
        double *values = NULL;
        OK(gyre_table_keep(t, METRICS * DOCUMENTS, sizeof *values, &values, &error));
        for (size_t j = 0; j < DOCUMENTS; j++)
            values[j] = 0.5;
        c->values = values;
        c->codec_v = both ? PLAIN : "exact";
        c->payload_bits = both ? 10.0 : 4.0;
        expect(t, "zero drift", both ? "PASS" : "FAIL", both ? "1 lossy" : "softmax_kl is exactly 0");
    }
}

/* ---- the registered plan ---- */

static const double shifts[] = { 0.0, 0.25, 0.011, 0.013 }; /* of d[j] = arm - plain, plus noise that differs by document */
static const double noise[4][DOCUMENTS] = { { 0, 0, 0, 0 }, { 0.001, -0.002, 0.0005, 0.0015 }, { 0.004, -0.006, 0.003, 0.001 }, { -0.003, 0.005, 0.002, -0.006 } };

/* Four unseeded arms; b, c and d are compared with a in one family. */
static gyre_table *planned(void)
{
    static const char *const names[] = { "a", "b", "c", "d" }, *const codecs[] = { PLAIN, ASYM, SRHT, SRHT_3 };
    gyre_table *t = make_table();
    t->config_canonical = "experiment x\narm a point=bits=4 k=" PLAIN " v=exact\narm b point=bits=4 k=" ASYM " v=exact\narm c point=bits=4 k=" SRHT " v=exact\narm d point=bits=4 k=" SRHT_3
                          " v=exact\n";
    for (size_t i = 0; i < 4; i++) {
        gyre_cell *cell = add(t, names[i], codecs[i], false, 0, 0.5 + shifts[i]);
        for (size_t j = 0; j < DOCUMENTS; j++)
            cell->values[j] += noise[i][j];
    }
    for (size_t i = 1; i < 4; i++)
        t->comparisons[t->n_comparisons++] = (gyre_comparison){ .arm = names[i], .against = "a", .metric = "nmse", .family = "main", .point = "bits=4", .has_margin = true, .margin = 0.05,
                                                                .alpha = 0.05 };
    return t;
}

static void folder_of(char folder[64])
{
    (void)snprintf(folder, 64, "/tmp/gyre-test-honesty-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void remove_folder(const char *folder)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/analysis.plan", folder);
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left there */
}

static void registered_plans_hold(void **state)
{
    (void)state;
    char folder[64];
    folder_of(folder);
    gyre_table *t = planned();
    assert_false(gyre_plan_registered(folder));
    OK(gyre_plan_hold(folder, t, NULL, &error));
    assert_true(t->comparisons[0].exploratory);
    assert_string_equal(t->comparisons[0].exploratory_why, "no plan was registered");
    gyre_table_free(t);
    t = planned();
    for (size_t i = 0; i < 3; i++)
        gyre_comparison_defaults(&t->comparisons[i]);
    OK(gyre_plan_register(folder, t, 86400, &error));
    OK(gyre_plan_hold(folder, t, NULL, &error));
    for (size_t i = 0; i < 3; i++)
        assert_false(t->comparisons[i].exploratory);
    assert_string_equal(t->plan_time, "1970-01-02T00:00:00Z");
    OK(gyre_plan_register(folder, t, 2 * 86400, &error)); /* whoever comes second changes nothing */
    OK(gyre_plan_register_nothing(folder, &error));
    OK(gyre_plan_hold(folder, t, NULL, &error));
    assert_string_equal(t->plan_time, "1970-01-02T00:00:00Z");
    gyre_table_free(t);
    remove_folder(folder);
}

/* Registers planned(), then holds what `change` makes of another one. */
static gyre_table *held(void (*change)(gyre_table *))
{
    char folder[64];
    folder_of(folder);
    gyre_table *t = planned();
    for (size_t i = 0; i < 3; i++)
        gyre_comparison_defaults(&t->comparisons[i]);
    OK(gyre_plan_register(folder, t, 0, &error));
    gyre_table_free(t);
    t = planned();
    change(t);
    OK(gyre_plan_hold(folder, t, NULL, &error));
    remove_folder(folder);
    return t;
}

static void other_margin(gyre_table *t) { t->comparisons[1].margin = 0.06; }
static void other_prediction(gyre_table *t) { t->comparisons[1].predicts = "BETTER"; }
static void other_goal(gyre_table *t) { t->comparisons[1].goal = "not_worse"; }
static void other_family(gyre_table *t) { t->comparisons[1].family = "second"; }
static void more_seeds(gyre_table *t) { t->n_seeds = 5; }
static void more_documents(gyre_table *t) { t->sources[0].n_documents = 5; }
static void other_documents(gyre_table *t) { t->sources[0].documents = documents + 1; }
static void other_campaign(gyre_table *t) { t->campaign_seed = 1; }
static void other_data(gyre_table *t) { t->sources[0].digest = "d1"; }
static void published(gyre_table *t) { t->comparisons[1].published = "0.9"; }
static void other_calibration(gyre_table *t) /* what is evaluated is the same */
{
    static const char *const names[] = { "bible" };
    t->sources[0].calibration = names;
    t->sources[0].n_calibration = 1;
}
static void other_fit_capture(gyre_table *t) { t->sources[0].fit_digest = "f1"; }
static void other_queries(gyre_table *t) { t->sources[0].engine = "libllama; queries through q8_0"; }
static void none(gyre_table *t) { (void)t; }

static void other_codec(gyre_table *t)
{
    t->config_canonical = "arm a point=bits=4 k=" PLAIN " v=exact\narm b point=bits=4 k=" ASYM " v=exact\narm c point=bits=4 k=" SRFT " v=exact\narm d point=bits=4 k=" SRHT_3 " v=exact\n";
}

/* Arm c is coded as e in layer 7; e is compared with nothing. */
#define WITH_LAYERS(codec)                                                                                                                                                    \
    "arm a point=bits=4 k=" PLAIN " v=exact\narm b point=bits=4 k=" ASYM " v=exact\narm c point=bits=4 k=" SRHT " v=exact layers=3-4:exact,7-7:e\narm d point=bits=4 k=" SRHT_3 \
    " v=exact\narm e point= k=" codec " v=exact\n"

static void in_layers(gyre_table *t) { t->config_canonical = WITH_LAYERS(SRFT); }

static void other_points(gyre_table *t) /* another grid value of an arm is not this one's */
{
    t->config_canonical = "arm a point=bits=4 k=" PLAIN " v=exact\narm b point=bits=4 k=" ASYM " v=exact\narm c point=bits=4 k=" SRHT " v=exact\narm d point=bits=4 k=" SRHT_3
                          " v=exact\narm c point=bits=3 k=" SRFT " v=exact\n";
}

static void changes_are_exploratory(void **state)
{
    (void)state;
    static const struct {
        void (*change)(gyre_table *);
        unsigned exploratory; /* a bit each */
        const char *why;
    } cases[] = {
        { none, 0, "" }, { published, 0, "" }, { other_points, 0, "" },
        { other_margin, 2, "not in the registered plan" }, { other_prediction, 2, "not in the registered plan" }, { other_goal, 2, "not in the registered plan" },
        { other_family, 2, "not in the registered plan" }, { other_codec, 2, "arm c was registered with another codec" },
        { more_seeds, 7, "sample changed: 3 seeds were registered" }, { other_campaign, 7, "sample changed: registered was 'campaign_seed 0'" },
        { other_calibration, 7, "1 calibrate: bible" }, { other_fit_capture, 7, "fitted on f1" }, { other_queries, 7, "queries through q8_0" }, { in_layers, 2, "arm c was registered with another codec" },
        { more_documents, 7, "4 documents: moby" }, { other_documents, 7, "4 documents: moby" }, { other_data, 7, "data d0" },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        gyre_table *t = held(cases[k].change);
        for (size_t i = 0; i < 3; i++) {
            const gyre_comparison *c = &t->comparisons[i];
            bool wanted = cases[k].exploratory >> i & 1;
            if (c->exploratory != wanted || strstr(c->exploratory_why, wanted ? cases[k].why : "") == NULL || (strstr(c->family, " (exploratory)") != NULL) != wanted)
                fail_msg("case %zu, comparison %zu: %d '%s' in %s", k, i, c->exploratory, c->exploratory_why, c->family);
        }
        gyre_table_free(t);
    }
}

/* An arm that another has in some layers is part of it: its codec is registered too, though nothing compares it. */
static void arms_of_layers_are_registered(void **state)
{
    (void)state;
    char folder[64];
    folder_of(folder);
    gyre_table *t = planned();
    for (size_t i = 0; i < 3; i++)
        gyre_comparison_defaults(&t->comparisons[i]);
    t->config_canonical = WITH_LAYERS(SRHT_32);
    OK(gyre_plan_register(folder, t, 0, &error));
    OK(gyre_plan_hold(folder, t, NULL, &error));
    assert_false(t->comparisons[0].exploratory || t->comparisons[1].exploratory || t->comparisons[2].exploratory);
    t->config_canonical = WITH_LAYERS(SRFT);
    OK(gyre_plan_hold(folder, t, NULL, &error));
    assert_true(!t->comparisons[0].exploratory && t->comparisons[1].exploratory && !t->comparisons[2].exploratory);
    assert_string_equal(t->comparisons[1].exploratory_why, "arm c was registered with another codec");
    gyre_table_free(t);
    remove_folder(folder);
}

/* Cells of another folder, or a shared one: who registers after both arms were computed may have seen the difference. */
static void cells_before_the_plan(void **state)
{
    (void)state;
    char folder[64], path[160];
    struct timespec times[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
    folder_of(folder);
    (void)snprintf(path, sizeof path, "%s/cells", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    gyre_table *t = planned();
    for (size_t i = 0; i < 3; i++)
        gyre_comparison_defaults(&t->comparisons[i]);
    OK(gyre_plan_register(folder, t, 1000000 + 7200, &error));
    for (size_t i = 0; i < 2; i++) { /* of a, then of b */
        (void)snprintf(path, sizeof path, "%s/cells/%s.h5", folder, t->cells[i].key);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        (void)fclose(f);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        OK(gyre_plan_hold(folder, t, NULL, &error));
        assert_true(t->comparisons[0].exploratory == (i == 1) && !t->comparisons[1].exploratory && !t->comparisons[2].exploratory);
    }
    assert_string_equal(t->comparisons[0].exploratory_why, "cells of both arms are older than the registered plan");
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/cells/%s.h5", folder, t->cells[i].key);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/cells", folder);
    assert_int_equal(rmdir(path), 0);
    gyre_table_free(t);
    remove_folder(folder);
}

static void damaged_plans_hold_nothing(void **state)
{
    (void)state;
    char folder[64], path[128];
    folder_of(folder);
    (void)snprintf(path, sizeof path, "%s/analysis.plan", folder);
    gyre_table *t = planned();
    for (size_t i = 0; i < 3; i++)
        gyre_comparison_defaults(&t->comparisons[i]);
    OK(gyre_plan_register(folder, t, 0, &error));
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    char text[4096] = "";
    size_t n = fread(text, 1, sizeof text - 1, f);
    char *margin = strstr(text, "margin=0.05");
    assert_non_null(margin);
    margin[10] = '6';
    rewind(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    (void)fclose(f);
    OK(gyre_plan_hold(folder, t, NULL, &error));
    assert_string_equal(t->comparisons[0].exploratory_why, "the registered plan is damaged or was changed");
    assert_string_equal(t->plan_registered, "");
    gyre_table_free(t);
    for (size_t cut = 0; cut < n; cut += 37) { /* torn files */
        assert_int_equal(truncate(path, (off_t)(n - cut)), 0);
        t = planned();
        OK(gyre_plan_hold(folder, t, NULL, &error));
        assert_true(t->comparisons[2].exploratory);
        gyre_table_free(t);
    }
    remove_folder(folder);
}

static void drop_last(gyre_table *t) { t->n_comparisons = 2; }

/* Two-sided p of comparison i, from Student's t of the four differences with 3 degrees of freedom: P(T > t) = 1/2 - (atan(u) + u/(1 + u^2))/pi, u = t/sqrt 3. */
static double p_by_hand(size_t arm)
{
    double mean = shifts[arm], square = 0.0;
    for (size_t j = 0; j < DOCUMENTS; j++)
        mean += noise[arm][j] / DOCUMENTS;
    for (size_t j = 0; j < DOCUMENTS; j++)
        square += pow(shifts[arm] + noise[arm][j] - mean, 2.0);
    double u = fabs(mean) / sqrt(square / 3.0 / DOCUMENTS) / sqrt(3.0);
    return 1.0 - 2.0 / 3.14159265358979323846 * (atan(u) + u / (1.0 + u * u));
}

static void what_is_left_out_still_counts(void **state)
{
    (void)state;
    double p[3] = { p_by_hand(1), p_by_hand(2), p_by_hand(3) };
    assert_true(p[0] < p[1] && p[1] < p[2]);
    gyre_table *t = held(none);
    size_t dropped = 1;
    OK(gyre_plan_dropped(t, NULL, &dropped, &error));
    assert_int_equal(dropped, 0);
    OK(gyre_compare(t, &error));
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs(t->comparisons[i].p - p[i]) < 1e-9 * p[i] + 1e-12);
    assert_true(fabs(t->comparisons[0].p_adjusted - 3.0 * p[0]) < 1e-9);
    assert_true(fabs(t->comparisons[1].p_adjusted - 2.0 * p[1]) < 1e-9);
    gyre_table_free(t);
    t = held(drop_last); /* Holm still divides by three */
    OK(gyre_plan_dropped(t, "main", &dropped, &error));
    assert_int_equal(dropped, 1);
    OK(gyre_plan_dropped(t, "ain", &dropped, &error));
    assert_int_equal(dropped, 0);
    OK(gyre_compare(t, &error));
    assert_true(fabs(t->comparisons[0].p_adjusted - 3.0 * p[0]) < 1e-9);
    assert_true(fabs(t->comparisons[1].p_adjusted - 2.0 * p[1]) < 1e-9);
    gyre_table_free(t);
    t = held(none); /* nor does a cell that is not there */
    t->cells[3].status = GYRE_CELL_MISSING;
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[2].status, "INCOMPLETE");
    assert_true(fabs(t->comparisons[0].p_adjusted - 3.0 * p[0]) < 1e-9 && isnan(t->comparisons[2].p_adjusted));
    assert_true(fabs(t->comparisons[1].p_adjusted - 2.0 * p[1]) < 1e-9);
    gyre_table_free(t);
    t = held(other_margin); /* the changed one is judged alone; the registered one counts as p = 1 */
    OK(gyre_compare(t, &error));
    assert_true(fabs(t->comparisons[0].p_adjusted - 3.0 * p[0]) < 1e-9);
    assert_true(fabs(t->comparisons[1].p_adjusted - p[1]) < 1e-9);
    assert_true(fabs(t->comparisons[2].p_adjusted - 2.0 * p[2]) < 1e-9);
    gyre_table_free(t);
}

/* ---- tests, goals, corrections ---- */

static void as_asked(void **state)
{
    (void)state;
    gyre_table *t = planned();
    double p[3] = { p_by_hand(1), p_by_hand(2), p_by_hand(3) };
    for (size_t i = 0; i < 3; i++)
        t->comparisons[i].correction = "bh";
    OK(gyre_compare(t, &error));
    double q = p[2], step = fmin(q, 1.5 * p[1]);
    assert_true(fabs(t->comparisons[2].p_adjusted - q) < 1e-9);
    assert_true(fabs(t->comparisons[1].p_adjusted - step) < 1e-9);
    assert_true(fabs(t->comparisons[0].p_adjusted - fmin(step, 3.0 * p[0])) < 1e-9);
    gyre_table_free(t);
    t = planned();
    for (size_t i = 0; i < 3; i++)
        t->comparisons[i].test_asked = "sign_flip";
    t->comparisons[2].goal = "not_worse";
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].test, "sign_flip");
    assert_true(fabs(t->comparisons[0].p - 0.125) < 1e-15); /* 2 of 16 flips are as far out */
    assert_string_equal(t->comparisons[1].verdict, "INCONCLUSIVE"); /* 1/16 at best */
    t->comparisons[0].test_asked = "nonsense";
    assert_int_equal(gyre_compare(t, &error), GYRE_E_CONFIG);
    gyre_table_free(t);
    t = planned();
    t->comparisons[2].goal = "not_worse";
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[2].verdict, "NOT_WORSE"); /* 0.0125 +- 0.003 is below 0.05 */
    assert_string_equal(t->comparisons[0].verdict, "WORSE");     /* 0.25 above */
    assert_string_equal(t->comparisons[1].verdict, "EQUIVALENT");
    double needed = t->comparisons[2].margin_needed;
    assert_true(needed > t->comparisons[2].estimate && needed < t->comparisons[2].ci_high); /* the one-sided end lies within the two-sided interval */
    gyre_table_free(t);
    t = planned();
    t->comparisons[0].goal = "not_worse";
    const char *arm = t->comparisons[0].arm;
    t->comparisons[0].arm = t->comparisons[0].against;
    t->comparisons[0].against = arm;
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].verdict, "BETTER");
    assert_true(t->comparisons[0].ci_high < 0.0 && fabs(t->comparisons[0].margin_needed) <= 0.0); /* what is better passes any margin */
    gyre_table_free(t);
}

/* One draw of a seeded arm says nothing of others, whatever test is named. */
static void one_seed_is_no_sample(void **state)
{
    (void)state;
    static const char *const asked[] = { "auto", "crossed", "paired_t", "sign_flip", "bootstrap" };
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++)
        for (size_t seeded = 0; seeded < 2; seeded++) {
            gyre_table *t = planned();
            t->n_seeds = 1;
            for (size_t i = 0; i < t->n_cells; i++)
                t->cells[i].seeded = seeded == 1 && strcmp(t->cells[i].arm, "c") == 0;
            for (size_t i = 0; i < 3; i++)
                t->comparisons[i].test_asked = asked[k];
            OK(gyre_compare(t, &error));
            bool judged = seeded == 0 && strcmp(asked[k], "crossed") != 0;
            assert_string_equal(t->comparisons[1].status, judged ? "OK" : "DEGENERATE");
            assert_int_equal(isnan(t->comparisons[1].p), !judged);
            if (!judged)
                assert_non_null(strstr(t->comparisons[1].reason, "1 seed(s)"));
            gyre_table_free(t);
        }
}

/* What the test says of a sample that it cannot judge is the reason that is shown. */
static void reasons_are_the_test_s(void **state)
{
    (void)state;
    gyre_table *t = planned();
    for (size_t i = 0; i < t->n_cells; i++)
        for (size_t j = 0; j < DOCUMENTS; j++)
            t->cells[i].values[j] *= 1e-170;
    t->comparisons[0].test_asked = "bootstrap";
    OK(gyre_compare(t, &error));
    assert_string_equal(t->comparisons[0].status, "DEGENERATE");
    assert_non_null(strstr(t->comparisons[0].reason, "test bootstrap: a squared standard deviation"));
    assert_non_null(strstr(t->comparisons[1].reason, "test paired_t: a squared standard deviation"));
    gyre_table_free(t);
}

/* ---- what could have been seen ---- */

static void foreseen(void **state)
{
    (void)state;
    const gyre_design design = { 8, 12, 0.05, 0.02, 0.03 };
    gyre_comparison c = { .ratio = true, .has_margin = true, .margin = 1.05, .alpha = 0.05, .goal = "equivalent", .test_asked = "auto" };
    gyre_margin margin;
    OK(gyre_margin_ratio(1.05, &margin, &error));
    OK(gyre_foresee(&design, &c, &error));
    double se, df, power;
    OK(gyre_design_error(&design, &se, &df, &error));
    OK(gyre_power_t(c.mde, se, df, 0.05, &power, &error));
    assert_true(fabs(power - 0.8) < 1e-6);
    size_t seeds = 2;
    for (power = 0.0; power < 0.8; seeds++) { /* the least that reaches it */
        gyre_design tried = design;
        tried.seeds = seeds;
        OK(gyre_power_crossed(&tried, 0.0, &margin, GYRE_GOAL_EQUIVALENT, 0.05, &power, &error));
    }
    assert_true(fabs(c.seeds_needed - (double)(seeds - 1)) < 0.5);
    char text[GYRE_FORESEEN_TEXT];
    gyre_foreseen_text(&c, "could have seen", "document", text);
    char wanted[GYRE_FORESEEN_TEXT];
    (void)snprintf(wanted, sizeof wanted, "could have seen x%.3g with power 0.8; for the margin: %zu seeds", exp(c.mde), seeds - 1);
    assert_int_equal(strncmp(text, wanted, strlen(wanted)), 0);
    const gyre_design wide = { 1000, 1000, design.sd_seed, design.sd_document, design.sd_residual };
    OK(gyre_foresee(&wide, &c, &error));
    assert_true(c.power > 0.8 && c.seeds_needed < 1000.0);
    gyre_foreseen_text(&c, "sees", "document", text);
    (void)snprintf(wanted, sizeof wanted, "sees x%.3g with power 0.8; enough for the margin (power %.2f where there is no difference)", exp(c.mde), c.power); /* not how many fewer would do */
    assert_string_equal(text, wanted);
    const gyre_design two = { 2, 2, 0.0, 0.0, 0.03 }; /* a third of a degree of freedom: no difference is seen at such an alpha, and that is no error */
    c.alpha = 0.001;
    OK(gyre_foresee(&two, &c, &error));
    assert_true(isnan(c.mde) && !(c.power > 0.05));
    c.alpha = 0.05;
    const gyre_design five = { 1, 5, NAN, 0.03, NAN }; /* 2/2^5 is above 0.05: signs see nothing where a t does */
    OK(gyre_foresee(&five, &c, &error));
    assert_true(c.mde > 0.0);
    c.test_asked = "sign";
    OK(gyre_foresee(&five, &c, &error));
    assert_true(isnan(c.mde) && c.power > 0.0); /* 1/2^5 is not: it may find the arms equivalent */
    const gyre_design four = { 1, 4, NAN, 0.03, NAN };
    OK(gyre_foresee(&four, &c, &error));
    assert_true(isnan(c.mde) && isnan(c.power) && isnan(c.documents_needed));
    c.test_asked = "auto";
    const gyre_design unknown = { 8, 12, NAN, NAN, NAN };
    OK(gyre_foresee(&unknown, &c, &error));
    assert_true(isnan(c.mde) && isnan(c.power) && isnan(c.seeds_needed) && isnan(c.documents_needed));
    gyre_foreseen_text(&c, "could have seen", "document", text);
    assert_string_equal(text, "");
}

/* ---- the release before ---- */

/* No tests, goals or plans, and no fault. */
static void older_files(void **state)
{
    (void)state;
    static const char path[] = GYRE_SOURCE_DIR "/tests/golden/results-1.3.h5";
    gyre_table *t = NULL;
    gyre_verification v;
    OK(gyre_results_read(path, &t, NULL, NULL, &error));
    assert_true(t->n_comparisons == 1 && t->n_canaries == 0 && t->n_exact == 0);
    const gyre_comparison *c = &t->comparisons[0];
    const char *const pairs[][2] = { { c->test_asked, "auto" }, { c->goal, "equivalent" }, { c->correction, "holm" }, { c->published, "" }, { c->predicts, "" }, { c->exploratory_why, "" },
                                     { c->verdict, "BETTER" }, { t->plan_registered, "" }, { t->plan_time, "" }, { t->claim_id, "" }, { t->claim_open, "" } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(pairs[i][0], pairs[i][1]);
    assert_true(!c->exploratory && isnan(c->mde) && isnan(c->power) && isnan(c->seeds_needed) && isnan(c->documents_needed));
    const double p = c->p, low = c->ci_low, tost = c->p_tost_adjusted;
    OK(gyre_compare(t, &error)); /* and this release judges its cells as that one did */
    assert_true(fabs(c->p - p) <= 1e-12 * p && fabs(c->ci_low - low) <= 1e-12 * fabs(low) && fabs(c->p_tost_adjusted - tost) <= 1e-12 * tost);
    OK(gyre_verify(path, &v, &error));
    assert_int_equal(v.n_faults + v.n_warnings, 0);
    assert_string_equal(v.digest, "f0348ebd9d4f6586b3ddea809ed15063598701484fbcef3279433c4c2adc7558"); /* as it was told when it was written */
    gyre_verification_free(&v);
    gyre_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_numbers),       cmocka_unit_test(zero_drift),          cmocka_unit_test(duplicates),
        cmocka_unit_test(seed_sensitivity), cmocka_unit_test(no_false_alarms),   cmocka_unit_test(registered_plans_hold), cmocka_unit_test(changes_are_exploratory),
        cmocka_unit_test(damaged_plans_hold_nothing), cmocka_unit_test(arms_of_layers_are_registered), cmocka_unit_test(cells_before_the_plan), cmocka_unit_test(what_is_left_out_still_counts), cmocka_unit_test(one_seed_is_no_sample), cmocka_unit_test(reasons_are_the_test_s), cmocka_unit_test(as_asked), cmocka_unit_test(foreseen), cmocka_unit_test(older_files),
    };
    (void)gsl_set_error_handler_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
