/* results/ and the report for model sources: tokens in cell files, perplexities of passes, comparisons over chunks and texts, figures.
 *
 * Expected numbers: moments and quantiles of five numbers by hand (quantiles as numpy.percentile gives them), Student's t with 1 and 4 degrees of freedom in closed form. The synthetic arms
 * have chunk means that can be written down: x changes nll by 0.01 (d + 1) in chunk d.
 */
#define _GNU_SOURCE
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

#include "core/h5.h"
#include "experiments/report.h"
#include "results/cells.h"
#include "results/compare.h"
#include "results/digest.h"
#include "results/figures.h"
#include "results/merge.h"
#include "results/perplexity.h"
#include "results/results_file.h"
#include "results/summary.h"
#include "results/verify.h"

enum { PATH_TEXT = 512, CHUNKS = 5, SCORED = 4, BLOCKS = 2, SEEDS = 2, METRICS = 3, TOKEN_KL = 0, NLL_CHANGE = 1, TOP_FLIP = 2, PASSES = 4 };

static gyre_error error;
static char folder[64];

#define OK(call)                                                                                                               \
    do {                                                                                                                       \
        if ((call) != GYRE_OK)                                                                                                 \
            fail_msg("line %d: %s: %s", __LINE__, #call, error.message);                                                       \
    } while (0)

static void check_close(double value, double expected, int line)
{
    if (!(fabs(value - expected) <= 1e-12 * fmax(1.0, fabs(expected))))
        fail_msg("line %d: %.17g, expected %.17g", line, value, expected);
}
#define CLOSE(value, expected) check_close((value), (expected), __LINE__)

static const char *at(const char *name)
{
    static char path[4][PATH_TEXT];
    static unsigned turn;
    char *out = path[turn++ % 4];
    (void)snprintf(out, PATH_TEXT, "%s/%s", folder, name);
    return out;
}

/* ---- a synthetic experiment ---- */

static const char *const metrics[] = { "token_kl", "nll_change", "top_flip" }, *const units[] = { "nat", "nat", "share" };
static const char *const chunks[] = { "a:0", "a:1", "b:0", "b:1", "b:2" };
static const uint32_t blocks[] = { 0, 1 }, heads[] = { 1, 1 }, two_texts[] = { 0, 0, 1, 1, 1 }, one_text[] = { 0, 0, 0, 0, 0 };
static const struct {
    const char *name, *streams, *point;
    bool seeded;
} arms[] = { { "exact", "none", "", false }, { "x", "kv", "bits=4", false }, { "y", "kv", "bits=4", true } };

static gyre_token token_of(size_t arm, uint32_t seed, size_t chunk, size_t i)
{
    double d = (double)chunk, wave = i % 2 == 0 ? 1.0 : -1.0, exact = 2.0 + 0.1 * d + 0.05 * (double)i;
    gyre_token t = { .nll = exact };
    if (arm == 0)
        return t;
    t.nll_change = arm == 1 ? 0.01 * (d + 1.0) + 0.002 * wave : 0.005 * d - 0.004 + 0.002 * (double)seed + 0.001 * wave;
    t.nll = exact + t.nll_change;
    t.kl = exp(-3.0 - 0.2 * d) * (1.0 + 0.1 * wave) * (arm == 1 ? 1.0 : 0.5 + 0.05 * (double)seed);
    t.p_change = 0.01 * wave;
    t.flip = i == chunk % SCORED ? 1.0 : 0.0;
    return t;
}

static void fill_cell(gyre_table *t, gyre_cell *c, size_t arm)
{
    gyre_token *tokens = NULL;
    c->status = GYRE_CELL_OK;
    c->payload_bits = c->read_bits = arm == 0 ? 32.0 : 4.0;
    c->side_bits = 0.25 * (double)arm;
    c->total_bits = c->payload_bits + c->side_bits;
    c->n_tokens = c->n_documents * SCORED;
    OK(gyre_table_keep(t, c->n_tokens, sizeof *tokens, &tokens, &error));
    OK(gyre_table_keep(t, METRICS * c->n_documents, sizeof *c->values, &c->values, &error));
    for (size_t j = 0; j < c->n_documents; j++)
        for (size_t i = 0; i < SCORED; i++) {
            gyre_token *token = &tokens[j * SCORED + i];
            *token = token_of(arm, c->seed, c->first_document + j, i);
            c->values[TOKEN_KL * c->n_documents + j] += token->kl / SCORED;
            c->values[NLL_CHANGE * c->n_documents + j] += token->nll_change / SCORED;
            c->values[TOP_FLIP * c->n_documents + j] += token->flip / SCORED;
        }
    c->tokens = tokens;
}

static void add_cells(gyre_table *t, size_t source, bool computed)
{
    for (size_t b = 0; b < BLOCKS; b++)
        for (size_t a = 0; a < 3; a++)
            for (uint32_t seed = 0; seed < (arms[a].seeded ? SEEDS : 1); seed++) {
                gyre_cell *c = &t->cells[t->n_cells++];
                *c = (gyre_cell){ .source = source, .layer = blocks[b], .first_document = 3 * b, .arm = arms[a].name, .point = arms[a].point, .streams = arms[a].streams,
                                  .codec_k = arms[a].name, .codec_v = arms[a].name, .seeded = arms[a].seeded, .seed = seed, .reason = "", .flags = "", .payload_bits = NAN, .side_bits = NAN,
                                  .total_bits = NAN, .read_bits = NAN, .n_documents = 3 - b, .n_heads = 1 };
                (void)snprintf(c->key, sizeof c->key, "%064zx", t->n_cells);
                if (computed)
                    fill_cell(t, c, a);
            }
}

static void compare_with(gyre_table *t, size_t source, const char *arm, const char *against, const char *metric, bool ratio, double margin)
{
    t->comparisons[t->n_comparisons++] = (gyre_comparison){ .source = source, .arm = arm, .against = against, .metric = metric, .family = "main", .point = "bits=4", .ratio = ratio,
                                                            .has_margin = margin > 0.0, .margin = margin, .alpha = 0.05 };
}

/* Sources "tiny" and "few", the second descriptive: 5 chunks in blocks of 3 and 2, of one text or of two. */
static gyre_table *make_table(bool computed, size_t n_texts)
{
    gyre_table *t = NULL;
    OK(gyre_table_new(&t, &error));
    t->experiment = "perplexity";
    memset(t->config_sha256, 'a', 64);
    memset(t->analysis_sha256, 'b', 64);
    memset(t->value_code, 'c', 64);
    t->n_seeds = SEEDS;
    t->n_metrics = METRICS;
    t->metrics = metrics;
    t->metric_units = units;
    t->n_sources = 2;
    OK(gyre_table_keep(t, 2, sizeof *t->sources, &t->sources, &error));
    for (size_t s = 0; s < 2; s++)
        t->sources[s] = (gyre_source){ .kind = GYRE_SOURCE_MODEL, .name = s == 0 ? "tiny" : "few", .path = "models/tiny.gguf", .digest = "d", .model_sha256 = "0123456789abcdef",
                                       .architecture = "llama", .n_documents = CHUNKS, .documents = chunks, .n_layers = BLOCKS, .layers = blocks, .n_heads = heads, .dim = 64,
                                       .texts = n_texts > 1 ? "texts/a.txt\ntexts/b.txt\n" : "texts/wiki.test.raw\n",
                                       .texts_sha256 = n_texts > 1 ? "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n" : "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08\n",
                                       .engine = "libllama 0.5.0, CPU", .context = 8, .n_scored = SCORED, .first_chunk = 2, .n_texts = n_texts, .text_of = n_texts > 1 ? two_texts : one_text,
                                       .descriptive = s == 1 };
    OK(gyre_table_keep(t, 40, sizeof *t->cells, &t->cells, &error));
    add_cells(t, 0, computed);
    add_cells(t, 1, computed);
    OK(gyre_table_keep(t, 8, sizeof *t->comparisons, &t->comparisons, &error));
    for (size_t s = 0; s < 2; s++) {
        compare_with(t, s, "x", "exact", "nll_change", false, 0.1);
        compare_with(t, s, "y", "x", "token_kl", true, 0.0);
        compare_with(t, s, "y", "x", "nll_change", true, 1.05);
    }
    return t;
}

static const gyre_provenance *provenance(void)
{
    static gyre_provenance p;
    (void)snprintf(p.build_id, sizeof p.build_id, "0.1.0 (0123456)");
    return &p;
}

static void write_table(const char *name, gyre_table *t)
{
    OK(gyre_perplexity_make(t, &error));
    OK(gyre_compare(t, &error));
    OK(gyre_results_write(at(name), t, provenance(), &error));
}

/* ---- perplexity ---- */

static void perplexity_by_hand(void **state)
{
    (void)state;
    /* nll: mean 4, mean of squares 26, (26 - 16)/4 = 2.5; kl: 0 1 2 3 4; p_change: mean of squares 0.25/5 */
    const gyre_token t[] = { { 4.0, 0.5, 3.0, 0.3, 0.0 }, { 1.0, -0.5, 0.0, -0.4, 1.0 }, { 10.0, 0.5, 4.0, 0.0, 0.0 }, { 2.0, -0.5, 2.0, 0.0, 0.0 }, { 3.0, 0.0, 1.0, 0.0, 0.0 } };
    gyre_perplexity p = { .n_tokens = 0 };
    OK(gyre_perplexity_of(t, 5, &p, &error));
    assert_int_equal(p.n_tokens, 5);
    CLOSE(p.nll, 4.0);
    CLOSE(p.nll_se, sqrt(2.5));
    CLOSE(p.ppl, exp(4.0));
    CLOSE(p.ppl_error, exp(4.0) * sqrt(2.5));
    CLOSE(p.nll_change, 0.0);
    CLOSE(p.nll_change_se, sqrt(0.2 / 4.0));
    CLOSE(p.kl, 2.0);
    CLOSE(p.kl_se, sqrt(2.0 / 4.0));
    CLOSE(p.kl_median, 2.0);
    CLOSE(p.kl_90, 3.6);
    CLOSE(p.kl_99, 3.96);
    CLOSE(p.kl_999, 3.996);
    CLOSE(p.kl_max, 4.0);
    CLOSE(p.same_top, 0.8);
    CLOSE(p.p_rms, sqrt(0.05));
    OK(gyre_perplexity_of(t, 4, &p, &error)); /* kl 0 2 3 4: numpy.percentile gives 2.5 and 3.7 */
    CLOSE(p.kl_median, 2.5);
    CLOSE(p.kl_90, 3.7);
    OK(gyre_perplexity_of(t, 1, &p, &error));
    assert_true(isnan(p.nll_se) && isnan(p.ppl_error) && isnan(p.kl_se));
    CLOSE(p.kl_999, 3.0);
}

/* Rows in plan order, each over all chunks, whichever block they came from. */
static void passes_of_a_table(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 1);
    const char *const expected[] = { "exact", "x", "y", "y" };
    OK(gyre_perplexity_make(t, &error));
    assert_int_equal(t->n_perplexity, 2 * PASSES);
    for (size_t i = 0; i < PASSES; i++) {
        const gyre_perplexity *p = &t->perplexity[i];
        double nll = 0.0, change = 0.0, most = 0.0;
        for (size_t d = 0; d < CHUNKS; d++)
            for (size_t k = 0; k < SCORED; k++) {
                gyre_token token = token_of(i == 0 ? 0 : i == 1 ? 1 : 2, p->seed, d, k);
                nll += token.nll / (CHUNKS * SCORED);
                change += token.nll_change / (CHUNKS * SCORED);
                most = fmax(most, token.kl);
            }
        assert_string_equal(p->arm, expected[i]);
        assert_int_equal(p->seed, i == 3);
        assert_true(p->source == 0 && p->n_chunks == CHUNKS && p->n_tokens == CHUNKS * SCORED);
        CLOSE(p->nll, nll);
        CLOSE(p->nll_change, change);
        CLOSE(p->kl_max, most);
        CLOSE(p->same_top, i == 0 ? 1.0 : 0.75);
        CLOSE(p->p_rms, i == 0 ? 0.0 : 0.01);
        CLOSE(p->total_bits, i == 0 ? 32.0 : i == 1 ? 4.25 : 4.5);
    }
    CLOSE(t->perplexity[1].nll_change, 0.03);
    t->cells[7].status = GYRE_CELL_FAILED; /* block 1 of y, seed 1 */
    OK(gyre_perplexity_make(t, &error));
    assert_int_equal(t->n_perplexity, 2 * PASSES - 1);
    t->cells[7].status = GYRE_CELL_OK;
    t->cells[7].n_tokens--;
    assert_int_equal(gyre_perplexity_make(t, &error), GYRE_E_INTERNAL);
    t->cells[7].n_tokens++;
    t->cells[7].first_document = 1; /* chunks 1 and 2 twice, 3 and 4 never */
    assert_int_equal(gyre_perplexity_make(t, &error), GYRE_E_INTERNAL);
    gyre_table_free(t);
}

/* ---- cells ---- */

static void same_tokens(const gyre_cell *a, const gyre_cell *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens);
}

static const char *cell_path(const gyre_cell *c)
{
    char name[PATH_TEXT / 2];
    (void)snprintf(name, sizeof name, "cells/%s.h5", c->key);
    return at(name);
}

static void tokens_of_cells(void **state)
{
    (void)state;
    char why[GYRE_CELL_WHY], digest[2][GYRE_SHA256_HEX];
    gyre_table *t = make_table(true, 1), *plan = make_table(false, 1);
    gyre_verification v;
    bool found = false;
    OK(gyre_cells_prepare(folder, &error));
    for (size_t i = 0; i < t->n_cells; i++) {
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
        OK(gyre_cell_read(folder, plan, &plan->cells[i], &found, why, &error));
        assert_true(found);
        same_tokens(&t->cells[i], &plan->cells[i]);
        assert_int_equal(plan->cells[i].first_document, t->cells[i].first_document);
    }
    OK(gyre_verify(cell_path(&t->cells[1]), &v, &error));
    assert_int_equal(v.n_faults, 0);
    assert_int_equal(v.n_tokens, 3 * SCORED);
    gyre_verification_free(&v);
    OK(gyre_verify_digest(cell_path(&t->cells[1]), digest[0], &error));
    gyre_token *tokens = NULL;
    OK(gyre_table_keep(t, t->cells[1].n_tokens, sizeof *tokens, &tokens, &error));
    memcpy(tokens, t->cells[1].tokens, t->cells[1].n_tokens * sizeof *tokens);
    t->cells[1].tokens = tokens;
    tokens[5].p_change = nextafter(tokens[5].p_change, 1.0);
    OK(gyre_cell_write(folder, t, &t->cells[1], &error));
    OK(gyre_verify_digest(cell_path(&t->cells[1]), digest[1], &error));
    assert_string_not_equal(digest[0], digest[1]);
    const gyre_token bad[] = { { NAN, 0, 0, 0, 0 }, { 1, INFINITY, 0, 0, 0 }, { 1, 0, -1e-3, 0, 0 }, { 1, 0, 0, 1.5, 0 }, { 1, 0, 0, 0, 0.5 }, { 1, 0, 0, 0, NAN } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tokens[5] = bad[i];
        assert_int_equal(gyre_cell_write(folder, t, &t->cells[1], &error), GYRE_E_NAN);
        assert_non_null(strstr(error.message, "token 5 is no token"));
    }
    t->cells[1].n_tokens = 0;
    assert_int_equal(gyre_cell_write(folder, t, &t->cells[1], &error), GYRE_E_INTERNAL);
    plan->sources[0].n_scored++; /* planned with another context */
    plan->cells[0].status = GYRE_CELL_MISSING;
    OK(gyre_cell_read(folder, plan, &plan->cells[0], &found, why, &error));
    assert_false(found);
    assert_non_null(strstr(why, "it holds 12 tokens, not 15"));
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* A column of /tokens with a NaN, in a file that has no seal: refused, and the cell counts as not there. */
static void hostile_tokens(void **state)
{
    (void)state;
    char why[GYRE_CELL_WHY], path[PATH_TEXT];
    gyre_table *t = make_table(true, 1), *plan = make_table(false, 1);
    bool found = true;
    double values[3 * SCORED];
    struct stat s;
    OK(gyre_cells_prepare(folder, &error));
    OK(gyre_cell_write(folder, t, &t->cells[2], &error));
    (void)snprintf(path, sizeof path, "%s", cell_path(&t->cells[2]));
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(truncate(path, s.st_size - 72), 0);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(file, "/tokens/kl", H5P_DEFAULT);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    CLOSE(values[4], t->cells[2].tokens[4].kl);
    values[4] = NAN;
    assert_true(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    (void)H5Dclose(set);
    assert_true(H5Fclose(file) >= 0);
    OK(gyre_cell_read(folder, plan, &plan->cells[2], &found, why, &error));
    assert_false(found);
    assert_non_null(strstr(why, "token 4 is no token: nll 2.102, nll_change 0.002, kl nan"));
    assert_null(plan->cells[2].tokens);
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* ---- merge and the results file ---- */

static bool same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void same_source(const gyre_source *a, const gyre_source *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->texts, b->texts);
    assert_string_equal(a->texts_sha256, b->texts_sha256);
    assert_string_equal(a->engine, b->engine);
    assert_true(a->context == b->context && a->n_scored == b->n_scored && a->first_chunk == b->first_chunk && a->n_texts == b->n_texts && a->descriptive == b->descriptive);
    assert_memory_equal(a->text_of, b->text_of, a->n_documents * sizeof *a->text_of);
}

static void same_pass(const gyre_perplexity *a, const gyre_perplexity *b)
{
    const double x[] = { a->nll, a->nll_se, a->ppl, a->ppl_error, a->nll_change, a->nll_change_se, a->kl, a->kl_se, a->kl_median, a->kl_90, a->kl_99, a->kl_999, a->kl_max, a->same_top, a->p_rms, a->total_bits };
    const double y[] = { b->nll, b->nll_se, b->ppl, b->ppl_error, b->nll_change, b->nll_change_se, b->kl, b->kl_se, b->kl_median, b->kl_90, b->kl_99, b->kl_999, b->kl_max, b->same_top, b->p_rms, b->total_bits };
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        assert_true(same_number(x[i], y[i]));
    assert_string_equal(a->arm, b->arm);
    assert_string_equal(a->point, b->point);
    assert_true(a->source == b->source && a->seed == b->seed && a->n_chunks == b->n_chunks && a->n_tokens == b->n_tokens);
}

static void results_round_trip(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 2), *back = NULL;
    gyre_verification v;
    write_table("round.h5", t);
    OK(gyre_results_read(at("round.h5"), &back, NULL, NULL, &error));
    assert_int_equal(back->n_perplexity, 2 * PASSES);
    for (size_t i = 0; i < 2; i++)
        same_source(&t->sources[i], &back->sources[i]);
    for (size_t i = 0; i < back->n_perplexity; i++)
        same_pass(&t->perplexity[i], &back->perplexity[i]);
    for (size_t i = 0; i < t->n_cells; i++) {
        assert_int_equal(t->cells[i].first_document, back->cells[i].first_document);
        assert_int_equal(back->cells[i].n_tokens, 0);
        for (size_t k = 0; k < METRICS * t->cells[i].n_documents; k++)
            assert_true(same_number(t->cells[i].values[k], back->cells[i].values[k]));
    }
    for (size_t i = 0; i < t->n_comparisons; i++) {
        assert_string_equal(t->comparisons[i].verdict, back->comparisons[i].verdict);
        assert_true(same_number(t->comparisons[i].p, back->comparisons[i].p));
        assert_true(back->comparisons[i].worst_layer == UINT32_MAX && isnan(back->comparisons[i].worst_estimate));
    }
    OK(gyre_compare(back, &error)); /* what a reader computes anew from the file is what the file says */
    assert_true(same_number(t->comparisons[0].p, back->comparisons[0].p));
    OK(gyre_verify(at("round.h5"), &v, &error));
    for (size_t i = 0; i < v.n_faults; i++)
        print_error("%s\n", v.faults[i]);
    assert_int_equal(v.n_faults + v.n_warnings, 0);
    gyre_verification_free(&v);
    gyre_table_free(back);
    t->perplexity[1].ppl *= 1.01;
    t->perplexity[2].kl_99 = 0.0;
    t->comparisons[0].verdict = GYRE_DESCRIPTIVE;
    OK(gyre_results_write(at("odd.h5"), t, provenance(), &error));
    OK(gyre_verify(at("odd.h5"), &v, &error));
    assert_int_equal(v.n_faults, 3);
    assert_non_null(strstr(v.faults[0], "/stats/verdict: row 0 is 'DESCRIPTIVE', and its source is not descriptive"));
    assert_non_null(strstr(v.faults[1], "/perplexity/ppl: row 1"));
    assert_non_null(strstr(v.faults[2], "/perplexity/kl: row 2 has quantiles out of order"));
    gyre_verification_free(&v);
    gyre_table_free(t);
}

static void other_readers(void **state)
{
    (void)state;
    char command[2 * PATH_TEXT];
    gyre_table *t = make_table(true, 2);
    write_table("readers.h5", t);
    (void)snprintf(command, sizeof command, GYRE_PYTHON " " GYRE_SOURCE_DIR "/tests/test_results_readers.py '%s' model", at("readers.h5"));
    assert_int_equal(system(command), 0);
    gyre_table_free(t);
}

/* From files and from memory the same; without a block neither a perplexity nor a comparison of that arm. */
static void merging(void **state)
{
    (void)state;
    char digest[2][GYRE_SHA256_HEX];
    gyre_table *t = make_table(true, 1), *plan = make_table(false, 1), *back = NULL;
    OK(gyre_cells_prepare(folder, &error));
    for (size_t i = t->n_cells; i-- > 0;)
        OK(gyre_cell_write(folder, t, &t->cells[i], &error));
    OK(gyre_merge(folder, plan, false, provenance(), NULL, &error));
    OK(gyre_results_digest(at("results.h5"), digest[0], &error));
    OK(gyre_merge(folder, t, false, provenance(), NULL, &error));
    OK(gyre_results_digest(at("results.h5"), digest[1], &error));
    assert_string_equal(digest[0], digest[1]);
    gyre_table_free(plan);
    plan = make_table(false, 1);
    assert_int_equal(unlink(cell_path(&t->cells[5])), 0); /* block 1 of x */
    assert_int_equal(gyre_merge(folder, plan, false, provenance(), NULL, &error), GYRE_E_INCOMPLETE);
    assert_non_null(strstr(error.message, "tiny block 1, x at bits=4, seed 0"));
    OK(gyre_merge(folder, plan, true, provenance(), NULL, &error));
    OK(gyre_results_read(at("results.h5"), &back, NULL, NULL, &error));
    assert_int_equal(back->n_perplexity, 2 * PASSES - 1);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(back->comparisons[i].status, "INCOMPLETE");
    assert_string_equal(back->comparisons[0].reason, "1 of 2 cells of x at bits=4 are missing");
    assert_string_equal(back->comparisons[3].status, "OK");
    gyre_table_free(back);
    gyre_table_free(t);
    gyre_table_free(plan);
}

/* The release before: no kinds, no chunks, no perplexity, no fault. */
static void older_files(void **state)
{
    (void)state;
    static const char path[] = GYRE_SOURCE_DIR "/tests/golden/results-1.2.h5";
    gyre_table *t = NULL;
    gyre_verification v;
    OK(gyre_results_read(path, &t, NULL, NULL, &error));
    assert_true(t->n_cells == 8 && t->n_perplexity == 0 && t->cells[0].n_fits == 3);
    assert_true(t->sources[0].kind == GYRE_SOURCE_CAPTURE && t->sources[0].text_of == NULL && !t->sources[0].descriptive);
    assert_string_equal(t->sources[0].texts, "");
    assert_string_equal(t->sources[0].engine, "");
    assert_int_equal(t->cells[7].first_document, 0);
    CLOSE(gyre_cell_value(&t->cells[0], 0, 1, 1), 1.0);
    OK(gyre_verify(path, &v, &error));
    assert_int_equal(v.n_faults + v.n_warnings, 0);
    assert_string_equal(v.digest, "f46be9e93951ab5ff97ce4add5690e83a04981dd3e92c0aa5a5f833bfb63d918"); /* as it was told when it was written */
    gyre_verification_free(&v);
    gyre_table_free(t);
}

/* ---- comparisons ---- */

/* Two-sided p of Student's t with 4 degrees of freedom. */
static double p_4(double t)
{
    double u = 1.0 + t * t / 4.0;
    return 1.0 - 0.75 * t / sqrt(u) * (1.0 - t * t / (12.0 * u));
}

/* x changes nll by 0.01 ... 0.05: mean 0.03, variance 2.5e-4, t = 0.03 / sqrt(2.5e-4 / 5). */
static void chunks_are_units(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 1);
    OK(gyre_compare(t, &error));
    const gyre_comparison *c = &t->comparisons[0];
    double p = p_4(0.03 / sqrt(2.5e-4 / 5.0));
    assert_string_equal(c->status, "OK");
    assert_string_equal(c->test, "paired_t");
    assert_true(c->n_documents == CHUNKS && c->n_seeds == 1);
    CLOSE(c->estimate, 0.03);
    CLOSE(c->df, 4.0);
    CLOSE(c->sd_document, sqrt(2.5e-4));
    check_close(c->p, p, __LINE__);
    check_close(c->p_adjusted, fmin(1.0, c->p * (c->p < t->comparisons[1].p ? 2.0 : 1.0)), __LINE__); /* two of the family were tested: the descriptive ones do not count */
    CLOSE(c->total_bits_arm, 4.25);
    CLOSE(c->total_bits_against, 32.0);
    assert_true(c->worst_layer == UINT32_MAX && isnan(c->worst_estimate) && isnan(c->worst_low) && isnan(c->worst_high));
    c = &t->comparisons[1]; /* log of (0.5 + 0.05 seed), the same in every chunk but for rounding */
    assert_string_equal(c->status, "OK");
    assert_string_equal(c->test, "crossed");
    assert_true(c->n_documents == CHUNKS && c->n_seeds == SEEDS);
    CLOSE(c->estimate, 0.5 * (log(0.5) + log(0.55)));
    c = &t->comparisons[2];
    assert_string_equal(c->status, "DEGENERATE");
    assert_non_null(strstr(c->reason, "nll_change of y is -0.004 in chunk a:0, seed 0: a ratio needs positive values"));
    gyre_table_free(t);
}

/* The chunks of a text are averaged: units 0.015 and 0.04, and with one degree of freedom p = 2/pi atan(1/t). */
static void texts_are_units(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 2);
    gyre_arm_units u;
    OK(gyre_arm_units_get(t, 0, "x", "bits=4", NLL_CHANGE, false, &u, &error));
    assert_true(u.n_documents == 2 && u.n_layers == 1 && u.n_seeds == 1);
    CLOSE(u.values[0], 0.015);
    CLOSE(u.values[1], 0.04);
    OK(gyre_arm_units_get(t, 0, "y", "bits=4", TOKEN_KL, true, &u, &error)); /* of logarithms: -3 - 0.2 d */
    assert_true(u.n_documents == 2 && u.n_seeds == 2);
    CLOSE(u.values[0], -3.1 + log(0.5));
    CLOSE(u.values[3], -3.6 + log(0.55));
    OK(gyre_compare(t, &error));
    const gyre_comparison *c = &t->comparisons[0];
    assert_int_equal(c->n_documents, 2);
    CLOSE(c->estimate, 0.0275);
    CLOSE(c->df, 1.0);
    CLOSE(c->p, 2.0 / acos(-1.0) * atan(0.0125 / 0.0275));
    gyre_table_free(t);
}

static void descriptive_sources(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 1);
    OK(gyre_compare(t, &error));
    const gyre_comparison *judged = &t->comparisons[0], *shown = &t->comparisons[3];
    assert_string_equal(judged->verdict, "EQUIVALENT"); /* within 0.1 nat */
    assert_string_equal(shown->status, "OK");
    assert_string_equal(shown->verdict, "DESCRIPTIVE");
    assert_true(same_number(judged->p, shown->p) && same_number(judged->p_tost, shown->p_tost) && same_number(judged->ci_low, shown->ci_low));
    assert_true(isnan(shown->p_adjusted) && isnan(shown->p_tost_adjusted));
    assert_string_equal(t->comparisons[5].verdict, ""); /* DEGENERATE stays what it is */
    gyre_table_free(t);
}

/* Means of a model source are arithmetic: that of token_kl over chunks is that over tokens. */
static void summaries(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 1);
    const gyre_summary *all = NULL;
    size_t n = 0;
    OK(gyre_perplexity_make(t, &error));
    OK(gyre_summarise(t, 0.05, &all, &n, &error));
    assert_int_equal(n, 2 * 3 * METRICS);
    for (size_t a = 0; a < 3; a++)
        assert_true(strcmp(all[a * METRICS].status, "OK") == 0 && !all[a * METRICS].geometric && all[a * METRICS].n_documents == CHUNKS);
    CLOSE(all[METRICS + TOKEN_KL].mean, t->perplexity[1].kl);
    CLOSE(all[2 * METRICS + TOKEN_KL].mean, 0.5 * (t->perplexity[2].kl + t->perplexity[3].kl));
    CLOSE(all[METRICS + NLL_CHANGE].mean, 0.03);
    assert_true(all[METRICS + NLL_CHANGE].lo > 0.0 && all[METRICS + NLL_CHANGE].hi < 0.06);
    gyre_table_free(t);
}

/* ---- report and figures ---- */

static char *report_of(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    OK(gyre_report_file(path, f, NULL, &error));
    assert_int_equal(fclose(f), 0);
    return text;
}

static void says(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL)
        fail_msg("'%s' is not in:\n%s", wanted, text);
}

static void reporting(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 1);
    write_table("report.h5", t);
    char *text = report_of(at("report.h5")), line[256];
    says(text, "tiny: the model models/tiny.gguf (llama, sha256 0123456789ab)");
    says(text, "text wiki.test.raw (sha256 173c87a53759); context 8, 5 chunks from number 2 on, 4 scored tokens of each, 20 in all");
    says(text, "engine libllama 0.5.0, CPU");
    assert_null(strstr(text, "comparable only"));
    (void)snprintf(line, sizeof line, "x      bits=4        4.250  %.4f +- %.4f", t->perplexity[1].ppl, t->perplexity[1].ppl_error);
    says(text, line);
    (void)snprintf(line, sizeof line, "exact               32.000  %.4f +- %.4f", t->perplexity[0].ppl, t->perplexity[0].ppl_error);
    says(text, line);
    (void)snprintf(line, sizeof line, "y      bits=4        4.500  %.4f +- ", 0.5 * (t->perplexity[2].ppl + t->perplexity[3].ppl));
    says(text, line);
    (void)snprintf(line, sizeof line, "2 seeds, sd: PPL %.2g, nll 0.0014, KL %.2g", fabs(t->perplexity[3].ppl - t->perplexity[2].ppl) / sqrt(2.0),
                   fabs(t->perplexity[3].kl - t->perplexity[2].kl) / sqrt(2.0));
    says(text, line);
    says(text, "few: the model");
    says(text, "DESCRIPTIVE: too few chunks for verdicts");
    says(text, "  4.250        32.000  5      1  paired_t\n      note: p not adjusted");
    says(text, "EQUIVALENT");
    says(text, "2 DESCRIPTIVE, 2 not judged");
    assert_null(strstr(text, "layer 0"));
    free(text);
    gyre_table_free(t);
    t = make_table(true, 2);
    write_table("report.h5", t);
    text = report_of(at("report.h5"));
    says(text, "texts a.txt (sha256 aaaaaaaaaaaa), b.txt (sha256 bbbbbbbbbbbb); context 8");
    says(text, "PPL is comparable only on the same text");
    says(text, "verdicts (n: texts)");
    says(text, "  2      1  paired_t");
    free(text);
    gyre_table_free(t);
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("there is no %s", path);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_in_range(fread(text, 1, (1 << 20) - 1, f), 1, (1 << 20) - 2);
    (void)fclose(f);
    return text;
}

static void figures(void **state)
{
    (void)state;
    gyre_table *t = make_table(true, 1);
    char *said = NULL;
    size_t size = 0;
    write_table("figures.h5", t);
    FILE *stream = open_memstream(&said, &size);
    assert_non_null(stream);
    gyre_log *log = NULL;
    OK(gyre_log_new(&log, stream, false, &error));
    OK(gyre_figures(at("figures.h5"), at("pages"), NULL, log, &error));
    gyre_log_free(log);
    assert_int_equal(fclose(stream), 0);
    says(said, "figure pareto: fronts are of errors of rows and attention; tiny is a model source, which has none: see error_bits");
    says(said, "figure order: it needs the metrics nmse and softmax_kl, and this file has not both: they are of rows, and a model source has none");
    says(said, "figure training: no fit has a curve to draw");
    char *svg = slurp(at("pages/forest_few.svg"));
    says(svg, "all chunks");
    says(svg, "DESCRIPTIVE");
    assert_null(strstr(svg, "layer"));
    free(svg);
    svg = slurp(at("pages/error_bits.svg"));
    says(svg, "Inside the model: arms that code K and V");
    says(svg, "token_kl (nat)");
    says(svg, "nll_change (nat)");
    says(svg, "n = 5 chunks per source");
    free(svg);
    char *csv = slurp(at("pages/error_bits.csv"));
    says(csv, "tiny,none,nll_change,nat,x,bits=4,kv,OK,,arithmetic,5,1,4,4.25,0.029999999999999999,");
    free(csv);
    free(said);
    gyre_table_free(t);
}

static int set_up(void **state)
{
    (void)state;
    gyre_h5_quiet();
    (void)gsl_set_error_handler_off();
    (void)snprintf(folder, sizeof folder, "/tmp/gyre-test-perplexity-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[PATH_TEXT];
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perplexity_by_hand), cmocka_unit_test(passes_of_a_table), cmocka_unit_test(tokens_of_cells), cmocka_unit_test(hostile_tokens), cmocka_unit_test(results_round_trip),
        cmocka_unit_test(other_readers), cmocka_unit_test(merging), cmocka_unit_test(older_files), cmocka_unit_test(chunks_are_units), cmocka_unit_test(texts_are_units),
        cmocka_unit_test(descriptive_sources), cmocka_unit_test(summaries), cmocka_unit_test(reporting), cmocka_unit_test(figures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
