/* results/claims and gyre report --claims, --findings: the word of a claim from the states of its parts, on made-up results whose verdicts are known.
 *
 * Expected words are enumerated from the definition in results/claims.h, not from the code; files are written and read back, so that what is tested is what a reader of files gets.
 */
#define _GNU_SOURCE
#include "check.h"

#include <unistd.h>

#include "experiments/report_claims.h"
#include "results/claims.h"
#include "results/exact.h"
#include "results/results_file.h"

enum { PATH_TEXT = 512 };

static gyre_error error;
static char folder[64];
#define OK(call) CHECK_OK(call, &error)

static const char *at(const char *name)
{
    static char path[4][PATH_TEXT];
    static unsigned turn;
    char *out = path[turn++ % 4];
    (void)snprintf(out, PATH_TEXT, "%s/%s", folder, name);
    return out;
}

/* ---- the rules ---- */

static void lists_of_verdicts(void **state)
{
    (void)state;
    assert_true(gyre_claim_predicted("EQUIVALENT, BETTER", "BETTER"));
    assert_true(gyre_claim_predicted("EQUIVALENT,BETTER", "EQUIVALENT"));
    assert_false(gyre_claim_predicted("NOT_WORSE", "WORSE"));
    assert_false(gyre_claim_predicted("WORSE", "NOT_WORSE"));
    assert_false(gyre_claim_predicted("", "BETTER"));
    assert_false(gyre_claim_predicted("BETTER", ""));
}

static gyre_part_state state_of(const char *status, const char *verdict, const char *predicts, bool exploratory)
{
    const char *why = NULL;
    gyre_comparison c = {.status = status, .reason = "reason", .verdict = verdict, .predicts = predicts, .exploratory = exploratory, .exploratory_why = "late"};
    gyre_part_state state = gyre_claim_comparison_state(&c, &why);
    assert_non_null(why);
    if (exploratory && predicts[0] != '\0')
        assert_string_equal(why, "late");
    return state;
}

static void states_of_parts(void **state)
{
    (void)state;
    assert_int_equal(state_of("OK", "BETTER", "BETTER", false), GYRE_PART_PREDICTED);
    assert_int_equal(state_of("OK", "EQUIVALENT", "BETTER", false), GYRE_PART_CONTRADICTED); /* real or not, the difference does not matter */
    assert_int_equal(state_of("OK", "WORSE", "EQUIVALENT,BETTER", false), GYRE_PART_CONTRADICTED);
    assert_int_equal(state_of("OK", "INCONCLUSIVE", "BETTER", false), GYRE_PART_UNDECIDED);
    assert_int_equal(state_of("OK", "INCONCLUSIVE", "INCONCLUSIVE", false), GYRE_PART_PREDICTED);
    assert_int_equal(state_of("OK", "DESCRIPTIVE", "BETTER", false), GYRE_PART_UNDECIDED);
    assert_int_equal(state_of("SKIPPED", "", "BETTER", false), GYRE_PART_UNDECIDED);
    assert_int_equal(state_of("DEGENERATE", "", "EQUIVALENT", false), GYRE_PART_UNDECIDED);
    assert_int_equal(state_of("OK", "BETTER", "", false), GYRE_PART_CONTROL);
    assert_int_equal(state_of("OK", "BETTER", "BETTER", true), GYRE_PART_CONTROL); /* nothing exploratory decides, whichever way it came out */
    assert_int_equal(state_of("OK", "WORSE", "BETTER", true), GYRE_PART_CONTROL);
}

/* All small counts, against the list in the header. */
static void words_of_claims(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3 * 3 * 3 * 2 * 2 * 2; i++) {
        size_t p = i % 3, c = i / 3 % 3, u = i / 9 % 3, open = i / 27 % 2, canary = i / 54 % 2, all_exact = i / 108;
        size_t counts[GYRE_PART_STATES] = {p, c, u, 5};
        const char *expected = canary != 0                ? "UNDECIDED"
                               : p == 0 && c == 0 && u == 0 ? "NOT DECIDABLE HERE"
                               : p > 0 && c > 0             ? "MIXED"
                               : p == 0 && c > 0            ? "FAILS"
                               : p == 0                     ? "UNDECIDED"
                               : u > 0 || open > 0          ? "PARTLY"
                               : all_exact != 0             ? "EXACT"
                                                            : "HOLDS";
        assert_string_equal(gyre_claim_word(counts, all_exact != 0 ? p : 0, open, canary != 0), expected);
    }
}

/* ---- files ---- */

typedef struct made {
    const char *file, *id, *open;
    const char *verdicts[4], *predicts[4]; /* of comparisons; NULL ends */
    double exact;                          /* published bits where 4.5 are measured; 0: none */
    const char *canary;                    /* status of one canary; NULL: none */
    char config;                           /* tells configurations apart */
    const char *plan;                      /* what was registered; NULL: the comparisons are not held against it */
} made;

static const uint32_t layers[] = {3}, heads[] = {1};
static const char *const documents[] = {"a", "b"}, *const metrics[] = {"softmax_kl"}, *const units[] = {"nat"};

static void add_cell(gyre_table *t, const char *arm)
{
    gyre_cell *c = &t->cells[t->n_cells++];
    *c = (gyre_cell){.layer = 3, .arm = arm, .point = "", .streams = "k", .codec_k = arm, .codec_v = "exact", .reason = "", .flags = "", .status = GYRE_CELL_OK, .payload_bits = 4.5, .total_bits = 4.5,
                     .read_bits = 4.5, .n_documents = 2, .n_heads = 1};
    (void)snprintf(c->key, sizeof c->key, "%064zx", t->n_cells);
    OK(gyre_table_keep(t, 2, sizeof *c->values, &c->values, &error));
    c->values[0] = 0.5;
    c->values[1] = 0.25;
}

static void write_made(const made *m)
{
    static const char *const canary = "wiring";
    gyre_table *t = NULL;
    gyre_provenance p = {.threads = 1, .cpu_threads = 1};
    OK(gyre_table_new(&t, &error));
    t->experiment = m->id;
    t->config_source = t->config_canonical = "made";
    t->config_overrides = "";
    memset(t->config_sha256, m->config, 64);
    memset(t->analysis_sha256, 'b', 64);
    memset(t->value_code, 'c', 64);
    t->n_seeds = 1;
    t->n_metrics = 1;
    t->metrics = metrics;
    t->metric_units = units;
    t->claim_id = m->id;
    t->claim_says = "rotation | helps";
    t->claim_source = "a paper";
    t->claim_rule = "holds where it holds";
    t->claim_open = m->open;
    t->n_sources = 1;
    OK(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &error));
    t->sources[0] = (gyre_source){.name = "tiny", .path = "tiny.h5", .digest = "d", .model_sha256 = "m", .architecture = "llama", .n_documents = 2, .documents = documents, .n_layers = 1, .layers = layers,
                                  .n_heads = heads, .dim = 64, .texts = "", .texts_sha256 = "", .engine = ""};
    OK(gyre_table_keep(t, 2, sizeof *t->cells, &t->cells, &error));
    add_cell(t, "x");
    add_cell(t, "y");
    OK(gyre_table_keep(t, 4, sizeof *t->comparisons, &t->comparisons, &error));
    for (size_t i = 0; i < 4 && m->verdicts[i] != NULL; i++) {
        gyre_comparison *c = &t->comparisons[t->n_comparisons++];
        *c = (gyre_comparison){.arm = "x", .against = "y", .metric = "softmax_kl", .family = "main", .point = "", .ratio = true, .has_margin = true, .margin = 1.05, .alpha = 0.05, .status = "OK", .reason = "",
                               .test = "paired_t", .n_seeds = 1, .n_documents = 2, .estimate = log(0.5), .ci_low = log(0.4), .ci_high = log(0.625), .df = 1, .p = 0.01, .p_adjusted = 0.02, .p_tost = 0.9,
                               .p_tost_adjusted = 0.9, .margin_needed = 1, .verdict = m->verdicts[i], .worst_layer = 3, .total_bits_arm = 4.5, .total_bits_against = 4.5};
        gyre_comparison_defaults(c);
        c->predicts = m->predicts[i];
        c->published = "+1.96";
    }
    if (m->exact < 0.0) { /* its arm was skipped */
        OK(gyre_table_keep(t, 1, sizeof *t->exact, &t->exact, &error));
        t->exact[t->n_exact++] = (gyre_exact){.arm = "x", .point = "", .quantity = "payload_bits", .published = -m->exact, .measured = NAN, .digits = 1, .verdict = gyre_exact_verdict(-m->exact, NAN, 1)};
    }
    if (m->plan != NULL)
        t->plan_registered = m->plan;
    if (m->exact > 0.0) {
        OK(gyre_table_keep(t, 1, sizeof *t->exact, &t->exact, &error));
        t->exact[t->n_exact++] = (gyre_exact){.arm = "x", .point = "", .quantity = "payload_bits", .published = m->exact, .measured = 4.5, .digits = 1,
                                              .verdict = fabs(m->exact - 4.5) < 0.05 ? "EXACT" : "DIFFERENT"};
    }
    if (m->canary != NULL) {
        OK(gyre_table_keep(t, 1, sizeof *t->canaries, &t->canaries, &error));
        t->canaries[t->n_canaries++] = (gyre_canary){.name = canary, .status = m->canary, .detail = "made"};
    }
    OK(gyre_results_write(at(m->file), t, &p, &error));
    gyre_table_free(t);
}

static const gyre_claim *find(const gyre_claims *c, const char *id)
{
    for (size_t i = 0; i < c->n_claims; i++)
        if (strcmp(c->claims[i].id, id) == 0)
            return &c->claims[i];
    fail_msg("claim %s is missing", id);
    return NULL;
}

/* A registered comparison, as results/registration.c writes it. */
#define LINE(arm, predicts) "compare arm=" arm " against=y metric=softmax_kl source=tiny point= scale=log margin=1.05 alpha=0.050000000000000003 test=auto goal=equivalent correction=holm predicts=" predicts " family=main\n"

static const made set[] = {
    {"c01.h5", "c01", "", {"EQUIVALENT", "BETTER", NULL}, {"EQUIVALENT", ""}, 0, "PASS", '1', NULL},
    {"c02.h5", "c02", "", {"WORSE", "INCONCLUSIVE", NULL}, {"BETTER", "BETTER"}, 0, NULL, '2', NULL},
    {"c03.h5", "c03", "", {"BETTER", "WORSE", NULL}, {"BETTER", "BETTER"}, 0, NULL, '3', NULL},
    {"c04.h5", "c04", "", {"INCONCLUSIVE", NULL}, {"EQUIVALENT"}, 0, NULL, '4', NULL},
    {"c05.h5", "c05", "no kernel", {"BETTER", NULL}, {""}, 0, NULL, '5', NULL},
    {"c06.h5", "c06", "", {NULL}, {NULL}, 4.5, NULL, '6', NULL},
    {"c07.h5", "c07", "", {NULL}, {NULL}, 4.2, NULL, '7', NULL},
    {"c08.h5", "c08", "", {"BETTER", NULL}, {"BETTER"}, 0, "FAIL", '8', NULL},
    /* two files of one claim: what one leaves open the other may decide */
    {"c09.h5", "c09", "d = 128\ntime", {"BETTER", NULL}, {"BETTER"}, 0, NULL, '9', NULL},
    {"c09-model.h5", "c09", "time", {"BETTER", NULL}, {"BETTER"}, 0, NULL, 'a', NULL},
    {"c10.h5", "c10", "d = 128", {"BETTER", NULL}, {"BETTER"}, 0, NULL, 'd', NULL},
    {"c10-model.h5", "c10", "", {"BETTER", NULL}, {"BETTER"}, 0, NULL, 'e', NULL},
    /* what was foretold and failed is not made any more: a prediction and a control */
    {"c11.h5", "c11", "", {"BETTER", NULL}, {"BETTER"}, 0, NULL, 'g', LINE("x", "BETTER") LINE("z", "BETTER") LINE("w", "")},
    {"c12.h5", "c12", "", {"BETTER", NULL}, {"BETTER"}, 0, NULL, 'h', LINE("x", "BETTER") LINE("w", "")},
    {"c13.h5", "c13", "", {NULL}, {NULL}, -4.5, NULL, 'i', NULL},
};

static void words_of_files(void **state)
{
    (void)state;
    static const char *const words[][2] = {{"c01", "HOLDS"}, {"c02", "FAILS"}, {"c03", "MIXED"},     {"c04", "UNDECIDED"}, {"c05", "NOT DECIDABLE HERE"},
                                           {"c06", "EXACT"}, {"c07", "FAILS"}, {"c08", "UNDECIDED"}, {"c09", "PARTLY"},    {"c10", "HOLDS"}, {"c11", "PARTLY"}, {"c12", "HOLDS"},
                                           {"c13", "UNDECIDED"}};
    gyre_claims c = {0};
    const char *paths[] = {folder};
    OK(gyre_claims_read(paths, 1, &c, NULL, &error));
    assert_int_equal(c.n_claims, sizeof words / sizeof *words);
    assert_int_equal(c.n_files, sizeof set / sizeof *set);
    for (size_t i = 0; i < c.n_claims; i++) {
        assert_string_equal(c.claims[i].id, words[i][0]); /* by id */
        assert_string_equal(c.claims[i].word, words[i][1]);
    }
    assert_int_equal(find(&c, "c01")->count[GYRE_PART_CONTROL], 1);
    assert_int_equal(find(&c, "c02")->count[GYRE_PART_UNDECIDED], 1);
    assert_int_equal(find(&c, "c11")->n_dropped, 1);
    assert_int_equal(find(&c, "c12")->n_dropped, 0);
    assert_int_equal(find(&c, "c09")->n_parts, 2);
    assert_int_equal(find(&c, "c09")->n_open, 1);
    assert_string_equal(find(&c, "c09")->open[0], "time");
    assert_string_equal(find(&c, "c08")->why, "canary wiring failed in c08.h5");
    gyre_claims_free(&c);
}

static void refused(const char *const *paths, size_t n, const char *word)
{
    gyre_claims c = {0};
    gyre_status st = gyre_claims_read(paths, n, &c, NULL, &error);
    assert_true(st == GYRE_E_INPUT || st == GYRE_E_IO);
    if (strstr(error.message, word) == NULL)
        fail_msg("'%s' does not say '%s'", error.message, word);
    gyre_claims_free(&c);
}

static void what_is_refused(void **state)
{
    (void)state;
    char a[PATH_TEXT], b[PATH_TEXT];
    made twin = set[0], other = set[1];
    (void)snprintf(a, sizeof a, "%s", at("c01.h5"));
    (void)snprintf(b, sizeof b, "%s/sub", folder);
    refused((const char *const[]){a, a}, 2, "one name");
    refused((const char *const[]){b}, 1, "sub");
    refused((const char *const[]){a, at("nothing.h5")}, 2, "nothing.h5");
    twin.file = "twin";
    write_made(&twin);
    refused((const char *const[]){a, at("twin")}, 2, "one configuration");
    other.file = "other";
    other.id = "c01";
    other.open = "";
    write_made(&other);
    gyre_claims c = {0};
    OK(gyre_claims_read((const char *const[]){a, at("other")}, 2, &c, NULL, &error)); /* the same texts: one claim */
    assert_int_equal(c.n_claims, 1);
    gyre_claims_free(&c);
    OK(unlink(at("twin")) == 0 && unlink(at("other")) == 0 ? GYRE_OK : GYRE_E_IO);
}

/* What a report prints into memory. */
static char *printed(const char *const *paths, size_t n, int format)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (format < 0)
        OK(gyre_report_findings(paths, n, out, NULL, &error));
    else
        OK(gyre_report_claims(paths, n, (gyre_sheet_format)format, NULL, out, NULL, &error));
    assert_int_equal(fclose(out), 0);
    return text;
}

static void has(const char *text, const char *what)
{
    if (strstr(text, what) == NULL)
        fail_msg("'%s' is not in:\n%s", what, text);
}

static void tables_and_page(void **state)
{
    (void)state;
    char a[PATH_TEXT], b[PATH_TEXT];
    (void)snprintf(a, sizeof a, "%s", at("c02.h5"));
    (void)snprintf(b, sizeof b, "%s", at("c03.h5"));
    char *one = printed((const char *const[]){a, b}, 2, GYRE_SHEET_TEXT), *two = printed((const char *const[]){b, a}, 2, GYRE_SHEET_TEXT);
    assert_string_equal(one, two); /* the order of files does not matter */
    has(one, "x0.500 [0.400, 0.625]");
    has(one, "contradicts");
    has(one, "MIXED");
    free(one);
    free(two);
    one = printed((const char *const[]){folder}, 1, -1);
    two = printed((const char *const[]){folder}, 1, -1);
    assert_string_equal(one, two);
    has(one, "**FAILS**: of 2 parts 0 are as predicted, 1 contradicts, 1 is undecided.");
    has(one, "Predictions that were registered and are not made, or not as registered: 1; they count as undecided.");
    has(one, "**UNDECIDED**, canary wiring failed in c08.h5");
    has(one, "On tiny `x` is worse than `y` by the divergence of the attention weights: x0.500 [0.400, 0.625] (WORSE, p 0.020, TOST p 0.900, margin x1.05; 1 seed, 2 documents, 1 layer; 4.500 against 4.500 bits; c02.h5).");
    has(one, "What would change our mind: an interval below 1, corrected");
    has(one, "payload_bits of `x` is 4.500, published 4.2");
    free(one);
    free(two);
}

/* The sentence follows the verdict: the same numbers with another verdict make another sentence. */
static void sentences_follow_verdicts(void **state)
{
    (void)state;
    static const char *const verdicts[][2] = {{"BETTER", "is better than"}, {"WORSE", "is worse than"}, {"EQUIVALENT", "is the same within the margin as"}, {"INCONCLUSIVE", "is not told apart from"}};
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        made m = {"verdict", "c04", "", {verdicts[i][0], NULL}, {"BETTER"}, 0, NULL, 'f', NULL};
        char path[PATH_TEXT];
        write_made(&m);
        (void)snprintf(path, sizeof path, "%s", at("verdict"));
        char *page = printed((const char *const[]){path}, 1, -1);
        for (size_t j = 0; j < sizeof verdicts / sizeof *verdicts; j++)
            assert_int_equal(strstr(page, verdicts[j][1]) != NULL, i == j);
        free(page);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_verdicts), cmocka_unit_test(states_of_parts),  cmocka_unit_test(words_of_claims),           cmocka_unit_test(words_of_files),
        cmocka_unit_test(what_is_refused),   cmocka_unit_test(tables_and_page), cmocka_unit_test(sentences_follow_verdicts),
    };
    (void)snprintf(folder, sizeof folder, "/tmp/gyre-test-claims-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        write_made(&set[i]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        (void)unlink(at(set[i].file));
    (void)rmdir(folder);
    return failed;
}
