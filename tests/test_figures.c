/* results/: summaries of arms, discords, Pareto fronts, and figures and fronts of the report from a results file alone.
 *
 * Expected numbers: with two units u1, u2 the mean is (u1 + u2)/2, its standard error |u1 - u2|/2 and t(0.975, 1) = 12.706204736..., so intervals can
 * be written down. Figures are checked as files: signatures, sizes, texts in the SVG, lines of the CSV, and equal bytes on every redraw.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gsl/gsl_errno.h>

#include "core/commit.h"
#include "core/h5.h"
#include "experiments/report.h"
#include "results/compare.h"
#include "results/figure.h"
#include "results/figures.h"
#include "results/pareto.h"
#include "results/results_file.h"
#include "results/summary.h"

#define T_1 12.706204736174694 /* upper 0.025 point of Student's t, 1 degree of freedom */

#define OK(call)                                                                                                               \
    do {                                                                                                                       \
        gyre_error err_ = { .status = GYRE_OK };                                                                               \
        gyre_error *err = &err_;                                                                                               \
        if ((call) != GYRE_OK)                                                                                                 \
            fail_msg("line %d: %s", __LINE__, err_.message);                                                                   \
    } while (0)

#define FAILS(call, code, text)                                                                                                \
    do {                                                                                                                       \
        gyre_error err_ = { .status = GYRE_OK };                                                                               \
        gyre_error *err = &err_;                                                                                               \
        assert_int_equal((call), (code));                                                                                      \
        if (strstr(err_.message, (text)) == NULL)                                                                              \
            fail_msg("line %d: '%s' does not say '%s'", __LINE__, err_.message, (text));                                       \
    } while (0)

static void check_close(double value, double expected, int line)
{
    if (!(fabs(value - expected) <= 1e-10 * fabs(expected)))
        fail_msg("line %d: %.17g, expected %.17g", line, value, expected);
}
#define CLOSE(value, expected) check_close((value), (expected), __LINE__)

/* ---- a table from a rule ---- */

typedef struct arm_rule {
    const char *name, *streams;
    bool seeded;
} arm_rule;

typedef struct place {
    size_t source, arm, layer, point, seed, metric, document, head;
} place;

typedef struct experiment {
    const char *name;
    size_t n_sources, n_arms, n_points, n_metrics, n_layers, n_documents, n_heads;
    uint32_t n_seeds;
    const char *const *sources, *const *points, *const *metrics, *const *units, *const *documents;
    const arm_rule *arms;
    double (*value)(const place *p);
    gyre_cell_status (*status)(const place *p); /* NULL: all OK */
    double (*payload)(const place *p), (*side)(const place *p); /* bits; NULL: by point and by layer */
} experiment;

static const uint32_t layers[] = { 0, 12, 23 };
static const char *const names[] = { "emma", "moby", "dracula", "ulysses", "walden", "middlemarch" }, *const no_points[] = { "" };

static void fill_source(const experiment *e, size_t i, gyre_source *s, gyre_table *t)
{
    uint32_t *heads = NULL;
    OK(gyre_table_keep(t, e->n_layers, sizeof *heads, &heads, err));
    for (size_t l = 0; l < e->n_layers; l++)
        heads[l] = (uint32_t)e->n_heads;
    *s = (gyre_source){ .name = e->sources[i], .path = "capture.h5", .digest = "", .model_sha256 = "", .architecture = "llama", .n_documents = e->n_documents,
                        .documents = names, .leak = i == 1, .n_layers = e->n_layers, .layers = layers, .n_heads = heads, .dim = 64 };
}

static void fill_cell(const experiment *e, place p, gyre_cell *c, gyre_table *t)
{
    char text[128];
    const arm_rule *arm = &e->arms[p.arm];
    (void)snprintf(text, sizeof text, "%zu/%zu/%zu/%zu/%zu", p.source, p.arm, p.layer, p.point, p.seed);
    *c = (gyre_cell){ .source = p.source, .layer = layers[p.layer], .arm = arm->name, .point = e->points[p.point], .streams = arm->streams, .codec_k = "", .codec_v = "",
                      .seeded = arm->seeded, .seed = (uint32_t)p.seed, .status = e->status != NULL ? e->status(&p) : GYRE_CELL_OK, .reason = "", .flags = "",
                      .payload_bits = NAN, .side_bits = NAN, .total_bits = NAN, .read_bits = NAN, .n_documents = e->n_documents, .n_heads = e->n_heads };
    OK(gyre_sha256_bytes(text, strlen(text), c->key, err));
    if (c->status == GYRE_CELL_SKIPPED)
        c->reason = "the model has no key bias";
    if (c->status != GYRE_CELL_OK)
        return;
    c->payload_bits = e->payload != NULL ? e->payload(&p) : 3.5 + (double)(p.point == 2 ? 5 : p.point);
    c->side_bits = e->side != NULL ? e->side(&p) : 0.25 * (double)p.layer;
    c->total_bits = c->payload_bits + c->side_bits;
    c->read_bits = c->payload_bits;
    OK(gyre_table_keep(t, e->n_metrics * e->n_documents * e->n_heads, sizeof *c->values, &c->values, err));
    double *value = c->values;
    for (p.metric = 0; p.metric < e->n_metrics; p.metric++)
        for (p.document = 0; p.document < e->n_documents; p.document++)
            for (p.head = 0; p.head < e->n_heads; p.head++)
                *value++ = e->value(&p);
}

/* Cells layer by layer, as a runner plans them: arms and points come up again in every layer. */
static gyre_table *build(const experiment *e)
{
    gyre_table *t = NULL;
    OK(gyre_table_new(&t, err));
    t->experiment = e->name;
    t->n_seeds = e->n_seeds;
    t->n_sources = e->n_sources;
    t->n_metrics = e->n_metrics;
    t->metrics = e->metrics;
    t->metric_units = e->units;
    OK(gyre_table_keep(t, e->n_sources, sizeof *t->sources, &t->sources, err));
    OK(gyre_table_keep(t, e->n_sources * e->n_layers * e->n_arms * e->n_points * e->n_seeds, sizeof *t->cells, &t->cells, err));
    OK(gyre_sha256_bytes("c", 1, t->config_sha256, err));
    OK(gyre_sha256_bytes("a", 1, t->analysis_sha256, err));
    OK(gyre_sha256_bytes("v", 1, t->value_code, err));
    for (size_t s = 0; s < e->n_sources; s++) {
        fill_source(e, s, &t->sources[s], t);
        for (size_t l = 0; l < e->n_layers; l++)
            for (size_t a = 0; a < e->n_arms; a++)
                for (size_t p = 0; p < e->n_points; p++)
                    for (size_t seed = 0; seed < (e->arms[a].seeded ? e->n_seeds : 1); seed++)
                        fill_cell(e, (place){ .source = s, .arm = a, .layer = l, .point = p, .seed = seed }, &t->cells[t->n_cells++], t);
    }
    return t;
}

static const char *const one_source[] = { "model" }, *const one_metric[] = { "nmse" }, *const no_unit[] = { "", "", "", "" };

static const gyre_summary *summarise_all(gyre_table *t, size_t expected)
{
    const gyre_summary *all = NULL;
    size_t n = 0;
    OK(gyre_summarise(t, 0.05, &all, &n, err));
    assert_int_equal(n, expected);
    return all;
}

/* ---- summaries ---- */

/* 1, 4 in layer 0 and 4, 16 in layer 12: units log 2 and log 8, by head a factor 2 up and down. */
static double powers(const place *p)
{
    static const double values[2][2] = { { 1.0, 4.0 }, { 4.0, 16.0 } };
    return values[p->layer][p->document] * (p->head == 0 ? 2.0 : 0.5);
}

static void summary_of_documents(void **state)
{
    (void)state;
    const arm_rule arm[] = { { "identity", "k", false } };
    const experiment e = { .name = "e", .n_sources = 1, .n_arms = 1, .n_points = 1, .n_metrics = 1, .n_layers = 2, .n_documents = 2, .n_heads = 2, .n_seeds = 4,
                           .sources = one_source, .points = no_points, .metrics = one_metric, .units = no_unit, .arms = arm, .value = powers };
    gyre_table *t = build(&e);
    const gyre_summary *s = summarise_all(t, 1);
    assert_string_equal(s->status, "OK");
    assert_string_equal(s->arm, "identity");
    assert_string_equal(s->streams, "k");
    assert_true(s->geometric);
    assert_false(s->seeded);
    assert_int_equal(s->n_seeds, 1);
    assert_int_equal(s->n_documents, 2);
    CLOSE(s->mean, 4.0);
    CLOSE(s->lo, 4.0 * pow(2.0, -T_1));
    CLOSE(s->hi, 4.0 * pow(2.0, T_1));
    CLOSE(s->layer_mean[0], 2.0);
    CLOSE(s->layer_mean[1], 8.0);
    CLOSE(s->payload_bits, 3.5);
    CLOSE(s->total_bits, 3.625);
    gyre_table_free(t);
}

/* 2 and 8 by seed, the same for all documents: the seeds alone carry the spread. */
static double by_seed(const place *p)
{
    return p->seed == 0 ? 2.0 : 8.0;
}

static void summary_of_seeds(void **state)
{
    (void)state;
    const arm_rule arm[] = { { "srht", "k", true } };
    const experiment e = { .name = "e", .n_sources = 1, .n_arms = 1, .n_points = 1, .n_metrics = 1, .n_layers = 1, .n_documents = 3, .n_heads = 1, .n_seeds = 2,
                           .sources = one_source, .points = no_points, .metrics = one_metric, .units = no_unit, .arms = arm, .value = by_seed };
    gyre_table *t = build(&e);
    const gyre_summary *s = summarise_all(t, 1);
    assert_true(s->seeded);
    assert_int_equal(s->n_seeds, 2);
    CLOSE(s->mean, 4.0);
    CLOSE(s->lo, 4.0 * pow(2.0, -T_1));
    CLOSE(s->hi, 4.0 * pow(2.0, T_1));
    gyre_table_free(t);
}

/* Metric 0 is 0 and 2, metric 1 does not exist for the arm, metric 2 is always 3. */
static double kinds(const place *p)
{
    return p->metric == 0 ? 2.0 * (double)p->document : p->metric == 1 ? NAN : 3.0;
}

static gyre_cell_status kinds_status(const place *p)
{
    return p->arm == 1 && p->layer == 1 ? GYRE_CELL_SKIPPED : p->arm == 2 && p->layer == 1 ? GYRE_CELL_MISSING : GYRE_CELL_OK;
}

static void summary_kinds(void **state)
{
    (void)state;
    const arm_rule arm[] = { { "identity", "v", false }, { "centred", "k", false }, { "late", "k", false } };
    const char *const metrics[] = { "flip", "softmax_kl", "nmse" };
    const experiment e = { .name = "e", .n_sources = 2, .n_arms = 3, .n_points = 2, .n_metrics = 3, .n_layers = 2, .n_documents = 2, .n_heads = 1, .n_seeds = 1,
                           .sources = (const char *const[]){ "one", "two" }, .points = (const char *const[]){ "bits=3", "bits=4" }, .metrics = metrics, .units = no_unit,
                           .arms = arm, .value = kinds, .status = kinds_status };
    gyre_table *t = build(&e);
    const gyre_summary *s = summarise_all(t, 2 * 3 * 2 * 3);
    for (size_t i = 0; i < 36; i++) { /* plan order, metrics innermost */
        assert_int_equal(s[i].metric, i % 3);
        assert_string_equal(s[i].point, e.points[i / 3 % 2]);
        assert_string_equal(s[i].arm, arm[i / 6 % 3].name);
        assert_int_equal(s[i].source, i / 18);
    }
    assert_string_equal(s[0].status, "OK");
    assert_false(s[0].geometric);
    CLOSE(s[0].mean, 1.0);
    CLOSE(s[0].lo, 1.0 - T_1);
    CLOSE(s[0].hi, 1.0 + T_1);
    assert_string_equal(s[1].status, "UNDEFINED");
    assert_true(isnan(s[1].mean));
    assert_string_equal(s[2].status, "OK");
    CLOSE(s[2].mean, 3.0);
    assert_true(isnan(s[2].lo) && isnan(s[2].hi)); /* no spread, no interval */
    assert_string_equal(s[6].status, "SKIPPED");
    assert_non_null(strstr(s[6].reason, "the model has no key bias"));
    assert_string_equal(s[12].status, "INCOMPLETE");
    gyre_table_free(t);
}

/* ---- discords ---- */

static const double *arm_levels; /* [arm][metric], of the test that runs */
static double spread;

static double level(const place *p)
{
    double wobble = sin((double)(1 + p->document * 7 + p->arm * 3 + p->metric * 5));
    return arm_levels[p->arm * 2 + p->metric] * exp(spread * wobble);
}

static size_t discords_of(const double *levels, double noise, const gyre_discord **out, gyre_table **t)
{
    static const arm_rule arm[] = { { "first", "k", false }, { "second", "k", false }, { "third", "k", false }, { "values", "v", false } };
    static const char *const metrics[] = { "nmse", "softmax_kl" };
    const experiment e = { .name = "e", .n_sources = 1, .n_arms = 4, .n_points = 1, .n_metrics = 2, .n_layers = 2, .n_documents = 6, .n_heads = 1, .n_seeds = 1,
                           .sources = one_source, .points = no_points, .metrics = metrics, .units = no_unit, .arms = arm, .value = level };
    size_t n = 0, examined = 0;
    arm_levels = levels;
    spread = noise;
    *t = build(&e);
    OK(gyre_discords(*t, 0, 1, 0.05, out, &n, &examined, err));
    assert_int_equal(examined, 3); /* the arm of another stream pairs with none */
    return n;
}

static void discord_planted(void **state)
{
    (void)state;
    const double levels[] = { 2e-2, 1e-1, 1e-2, 2e-1, 5e-3, 5e-2, 1e-3, 1e-3 }; /* the second has half the nmse of the first and twice its KL */
    const gyre_discord *d = NULL;
    gyre_table *t = NULL;
    assert_int_equal(discords_of(levels, 0.01, &d, &t), 1);
    assert_string_equal(d->better_by_a, "second");
    assert_string_equal(d->better_by_b, "first");
    assert_string_equal(d->streams, "k");
    assert_true(fabs(d->ratio_a - 0.5) < 0.02 && d->ratio_a_lo < d->ratio_a && d->ratio_a < d->ratio_a_hi && d->ratio_a_hi < 1.0);
    assert_true(fabs(d->ratio_b - 2.0) < 0.08 && 1.0 < d->ratio_b_lo && d->ratio_b_lo < d->ratio_b && d->ratio_b < d->ratio_b_hi);
    gyre_table_free(t);
}

static void discord_absent(void **state)
{
    (void)state;
    const double alike[] = { 2e-2, 2e-1, 1e-2, 1e-1, 5e-3, 5e-2, 1e-3, 1e-3 }, near[] = { 2e-2, 1e-1, 1.9e-2, 1.05e-1, 5e-3, 5e-2, 1e-3, 1e-3 };
    const gyre_discord *d = NULL;
    gyre_table *t = NULL;
    assert_int_equal(discords_of(alike, 0.01, &d, &t), 0);
    gyre_table_free(t);
    assert_int_equal(discords_of(near, 0.8, &d, &t), 0); /* opposite means inside their noise */
    FAILS(gyre_discords(t, 0, 2, 0.05, &d, &(size_t){ 0 }, &(size_t){ 0 }, err), GYRE_E_INTERNAL, "metrics");
    gyre_table_free(t);
}

/* ---- figures ---- */

static const arm_rule demo_arms[] = { { "identity", "k", false },      { "srht", "k", true },      { "srft", "k", true },        { "unrope_srht", "k", true },
                                      { "centred", "k", false },       { "noisy", "k", true },     { "exact", "none", false },   { "v_identity", "v", false },
                                      { "v_srht", "v", true },         { "v_srft", "v", true } };
enum { DEMO_ARMS = sizeof demo_arms / sizeof *demo_arms, DEMO_COMPARISONS = 6 };

static gyre_cell_status demo_status(const place *p)
{
    return p->arm == 4 && p->source == 0 ? GYRE_CELL_SKIPPED : GYRE_CELL_OK;
}

static double demo_value(const place *p)
{
    static const double factor[DEMO_ARMS] = { 1.0, 0.4, 0.401, 0.2, 0.05, 0.4, 0.0, 0.9, 0.5, 0.5 };
    double wobble = sin((double)(1 + 3 * p->document + 5 * p->arm + 11 * p->layer + 2 * p->head)) + cos((double)(13 * p->seed + 7 * p->arm));
    if (p->arm == 6)
        return 0.0;
    if (p->metric == 1 && p->arm >= 7)
        return NAN; /* softmax_kl of an arm that leaves K alone */
    double kl = p->metric == 1 && p->source == 1 && p->arm == 1 ? 5.0 : 1.0; /* on the second source srht has less nmse and more KL than identity */
    return factor[p->arm] * kl * pow(4.0, -(double)p->point) * 0.1 * exp((p->arm == 5 ? 0.6 : 0.002) * wobble);
}

static const char *const demo_sources[] = { "smollm2-135m", "odd/<name> & 'quotes'" };

static void add_comparison(gyre_table *t, size_t i, size_t source, const char *arm, const char *against, bool ratio, double margin)
{
    t->comparisons[i] = (gyre_comparison){ .arm = arm, .against = against, .metric = ratio ? "softmax_kl" : "nmse", .family = "main", .point = "bits=4", .source = source,
                                           .ratio = ratio, .has_margin = margin > 0.0, .margin = margin, .alpha = 0.05 };
}

static gyre_table *demo_table(void)
{
    static const char *const metrics[] = { "nmse", "softmax_kl", "output_error" }, *const units[] = { "", "nat", "" };
    const experiment e = { .name = "it's `touch HACKED` $(touch HACKED) @x {a}_b^c \"q\" %d", .n_sources = 2, .n_arms = DEMO_ARMS, .n_points = 3, .n_metrics = 3,
                           .n_layers = 3, .n_documents = 6, .n_heads = 2, .n_seeds = 4, .sources = demo_sources,
                           .points = (const char *const[]){ "bits=3", "bits=4", "bits=8" }, .metrics = metrics, .units = units, .arms = demo_arms, .value = demo_value,
                           .status = demo_status };
    gyre_table *t = build(&e);
    t->n_comparisons = 2 * DEMO_COMPARISONS;
    OK(gyre_table_keep(t, t->n_comparisons, sizeof *t->comparisons, &t->comparisons, err));
    for (size_t s = 0; s < 2; s++) {
        size_t at = s * DEMO_COMPARISONS;
        add_comparison(t, at, s, "srft", "srht", true, s == 0 ? 1.05 : 10.0);
        add_comparison(t, at + 1, s, "unrope_srht", "identity", true, 1.05);
        add_comparison(t, at + 2, s, "identity", "unrope_srht", true, 1.05);
        add_comparison(t, at + 3, s, "noisy", "srft", true, 0.0);
        add_comparison(t, at + 4, s, "unrope_srht", "identity", false, 0.005);
        add_comparison(t, at + 5, s, "centred", "identity", true, 1.05);
    }
    OK(gyre_compare(t, err));
    return t;
}

static char folder[64];

static const char *at(const char *name)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static char *read_bytes(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(fseek(f, 0L, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = calloc(*size + 1, 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    assert_int_equal(fclose(f), 0);
    return bytes;
}

static void copy_file(const char *from, const char *to)
{
    size_t size = 0;
    char *bytes = read_bytes(from, &size);
    OK(gyre_commit_bytes(to, bytes, size, err));
    free(bytes);
}

static size_t count_files(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(d);
    return n;
}

static void remove_folder(const char *path)
{
    char command[512];
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(command, sizeof command, "%.200s/%.255s", path, entry->d_name);
        if (unlink(command) != 0)
            remove_folder(command);
    }
    (void)closedir(d);
    (void)rmdir(path);
}

static void write_results(const char *path, gyre_table *t)
{
    gyre_provenance *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->git_dirty = true;
    memcpy(p->build_id, "0.1.0 (abc, dirty)", 19);
    OK(gyre_results_write(path, t, p, err));
    free(p);
    gyre_table_free(t);
}

static int set_up(void **state)
{
    (void)state;
    gsl_set_error_handler_off();
    gyre_h5_quiet();
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.40s/gyre-figures-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        return -1;
    write_results(at("results.h5"), demo_table());
    OK(gyre_figures(at("results.h5"), at("drawn"), NULL, NULL, err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static const char *const page_names[] = { "error_bits", "forest_smollm2-135m", "forest_odd__name_____quotes_", "order", "pareto_k", "pareto_v" };
enum { PAGES = sizeof page_names / sizeof *page_names };

static char *page_bytes(const char *drawn, const char *page, const char *extension, size_t *size)
{
    char name[256];
    (void)snprintf(name, sizeof name, "%s/%s.%s", drawn, page, extension);
    return read_bytes(at(name), size);
}

static void has_text(const char *page, const char *text)
{
    size_t size = 0;
    char *svg = page_bytes("drawn", page, "svg", &size);
    if (strstr(svg, text) == NULL)
        fail_msg("%s.svg does not show '%s'", page, text);
    free(svg);
}

static void pictures(void **state)
{
    (void)state;
    assert_int_equal(count_files(at("drawn")), 4 * PAGES); /* and no temporary file */
    for (size_t i = 0; i < PAGES; i++) {
        size_t size = 0;
        char *png = page_bytes("drawn", page_names[i], "png", &size);
        const unsigned char *b = (const unsigned char *)png;
        assert_true(size > 10000);
        assert_memory_equal(b, "\x89PNG\r\n\x1a\n", 8);
        assert_int_equal(b[16] << 24 | b[17] << 16 | b[18] << 8 | b[19], 1440); /* 7.2 inches at 200 dots */
        assert_true((b[20] << 24 | b[21] << 16 | b[22] << 8 | b[23]) > 400);
        free(png);
        char *pdf = page_bytes("drawn", page_names[i], "pdf", &size);
        assert_memory_equal(pdf, "%PDF", 4);
        assert_non_null(memmem(pdf, size, "/CreationDate (D:20000101000000", 31));
        free(pdf);
    }
}

static void texts(void **state)
{
    (void)state;
    for (size_t a = 0; a < DEMO_ARMS; a++)
        if (strcmp(demo_arms[a].streams, "none") != 0)
            has_text("error_bits", demo_arms[a].name);
    has_text("error_bits", "centred of smollm2-135m (SKIPPED)");
    has_text("error_bits", "odd/&lt;name> &amp; 'quotes'"); /* literal: neither markup of gnuplot nor of XML */
    has_text("error_bits", "it's `touch HACKED` $(touch HACKED) @x {a}_b^c \"q\" %d");
    has_text("error_bits", "n = 6 documents per source, 4 sign seeds");
    has_text("error_bits", "DIRTY BUILD");
    has_text("error_bits", "LEAK");
    has_text("error_bits", "font-family=\"DejaVu Sans, Verdana, sans-serif\"");
    const char *const words[] = { "EQUIVALENT", "BETTER", "WORSE", "INCONCLUSIVE", "SKIPPED", "the model has no key bias", "layer ", "margin" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        has_text("forest_smollm2-135m", words[i]);
    has_text("pareto_k", "15 pairs: ");
    has_text("pareto_k", "unrope_srht \xC2\xB7 bits=3");
    has_text("pareto_k", "Exploratory: not adjusted");
    has_text("order", "0 of 10 pairs ordered oppositely");
    has_text("order", "of 15 pairs ordered oppositely");
    assert_int_not_equal(access("HACKED", F_OK), 0);
}

static void digest_in_caption(void **state)
{
    (void)state;
    hid_t file = H5I_INVALID_HID;
    char *digest = NULL;
    OK(gyre_h5_open(at("results.h5"), &file, err));
    OK(gyre_h5_get_attr_text(file, "content_sha256", &digest, err));
    OK(gyre_h5_close(&file, "results.h5", err));
    digest[12] = '\0';
    for (size_t i = 0; i < PAGES; i++)
        has_text(page_names[i], digest);
    free(digest);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++)
        n++;
    return n;
}

static void csv_lines(void **state)
{
    (void)state;
    size_t size = 0;
    char *csv = page_bytes("drawn", "error_bits", "csv", &size);
    /* per source: 6 arms of K by nmse and softmax_kl, 3 arms of V by nmse and output_error, 3 points each */
    assert_int_equal(count_lines(csv), 1 + 2 * 3 * (6 * 2 + 3 * 2));
    assert_non_null(strstr(csv, "\nsmollm2-135m,none,softmax_kl,nat,identity,bits=4,k,OK,,geometric,6,1,"));
    free(csv);
    csv = page_bytes("drawn", "forest_smollm2-135m", "csv", &size);
    assert_int_equal(count_lines(csv), 1 + DEMO_COMPARISONS);
    assert_non_null(strstr(csv, "\nsmollm2-135m,none,srft,srht,softmax_kl,bits=4,main,ratio,1.05,"));
    assert_non_null(strstr(csv, ",EQUIVALENT,"));
    free(csv);
    csv = page_bytes("drawn", "order", "csv", &size);
    /* 5 and 6 arms at 3 points; and on the second source discords of srht with others */
    size_t lines = count_lines(csv), discords = 0;
    for (const char *p = csv; (p = strstr(p, "\ndiscord_ratio,")) != NULL; p++)
        discords++;
    assert_true(discords >= 3);
    assert_int_equal(lines, 1 + 3 * 5 + 3 * 6 + discords);
    assert_non_null(strstr(csv, ",bits=4,srht,identity,"));
    free(csv);
}

static void same_bytes(const char *a, const char *b)
{
    static const char *const extensions[] = { "png", "svg", "pdf", "csv" };
    for (size_t i = 0; i < PAGES; i++)
        for (size_t k = 0; k < 4; k++) {
            size_t n = 0, m = 0;
            char *x = page_bytes(a, page_names[i], extensions[k], &n), *y = page_bytes(b, page_names[i], extensions[k], &m);
            if (n != m || memcmp(x, y, n) != 0)
                fail_msg("%s.%s differs between %s and %s", page_names[i], extensions[k], a, b);
            free(x);
            free(y);
        }
}

static void redraw(void **state)
{
    (void)state;
    OK(gyre_make_folder(at("else/where"), err));
    copy_file(at("results.h5"), at("else/where/other name.h5"));
    assert_int_equal(setenv("TZ", "Pacific/Auckland", 1), 0); /* neither the zone nor the locale of the caller shows */
    assert_int_equal(setenv("LC_ALL", "de_DE.UTF-8", 1), 0);
    (void)sleep(1); /* so that clocks differ */
    OK(gyre_figures(at("else/where/other name.h5"), at("again"), NULL, NULL, err));
    OK(gyre_figures(at("results.h5"), at("again"), NULL, NULL, err)); /* over files that are there */
    assert_int_equal(unsetenv("TZ"), 0);
    assert_int_equal(unsetenv("LC_ALL"), 0);
    same_bytes("drawn", "again");
    assert_int_equal(count_files(at("again")), 4 * PAGES);
}

static void one_figure(void **state)
{
    (void)state;
    OK(gyre_figures(at("results.h5"), at("one"), "order", NULL, err));
    assert_int_equal(count_files(at("one")), 4);
    FAILS(gyre_figures(at("results.h5"), at("none"), "forrest", NULL, err), GYRE_E_USAGE, "did you mean 'forest'");
    assert_int_equal(access(at("none"), F_OK), -1);
}

/* One source, one point, seeds without spread, no comparison: what there is is drawn, the rest is not. */
static double constant(const place *p)
{
    return p->arm == 0 ? 0.5 : 0.25;
}

static void little_to_draw(void **state)
{
    (void)state;
    const arm_rule arm[] = { { "identity", "k", false }, { "both", "kv", true } };
    experiment e = { .name = "little", .n_sources = 1, .n_arms = 2, .n_points = 1, .n_metrics = 1, .n_layers = 1, .n_documents = 1, .n_heads = 1, .n_seeds = 1,
                     .sources = one_source, .points = no_points, .metrics = (const char *const[]){ "logit_error" }, .units = (const char *const[]){ "nat" }, .arms = arm,
                     .value = constant };
    write_results(at("little.h5"), build(&e));
    OK(gyre_figures(at("little.h5"), at("little"), NULL, NULL, err));
    assert_int_equal(count_files(at("little")), 4); /* error_bits alone */
    size_t size = 0;
    char *svg = page_bytes("little", "error_bits", "svg", &size);
    assert_non_null(strstr(svg, "logit_error (nat)"));
    free(svg);
}

/* ---- training curves ---- */

/* Gives a cell one fit more, whose curve has n points at 0, every, 2 every, ... */
static gyre_fit *add_fit(gyre_table *t, gyre_cell *c, gyre_stream stream, size_t n, uint32_t every)
{
    gyre_fit *fits = NULL, *f;
    OK(gyre_table_keep(t, c->n_fits + 1, sizeof *fits, &fits, err));
    if (c->n_fits > 0)
        memcpy(fits, c->fits, c->n_fits * sizeof *fits);
    f = &fits[c->n_fits++];
    c->fits = fits;
    *f = (gyre_fit){ .stream = stream, .head = (uint32_t)c->n_fits - 1, .n_parameters = 1, .freedom = 1, .n_points = n };
    OK(gyre_table_keep(t, 1, sizeof *f->parameters, &f->parameters, err));
    OK(gyre_table_keep(t, n, sizeof *f->point_step, &f->point_step, err));
    OK(gyre_table_keep(t, n, sizeof *f->point[0], &f->point[0], err));
    OK(gyre_table_keep(t, n, sizeof *f->point[1], &f->point[1], err));
    for (size_t i = 0; i < n; i++)
        f->point_step[i] = every * (uint32_t)i;
    return f;
}

static void set_curve(gyre_fit *f, const double *calibration, const double *validation)
{
    memcpy(f->point[0], calibration, f->n_points * sizeof *calibration);
    memcpy(f->point[1], validation, f->n_points * sizeof *validation);
}

/* Learned: falls to `end` of its start, on validation rows to a least value and up again. Draws: values around the first. */
static void shape_fit(gyre_fit *f, bool draws, double end, double scale, size_t salt)
{
    for (size_t i = 0; i < f->n_points; i++) {
        double t = (double)f->point_step[i] / 80.0, wobble = 0.01 * sin((double)(7 * i + 13 * salt));
        f->point[0][i] = scale * (draws ? exp(0.08 * sin((double)(37 * i * i + 11 * i + 5 * salt))) : (end + (1.0 - end) * exp(-t)) * (1.0 + (i > 0 ? wobble : 0.0)));
        f->point[1][i] = draws ? f->point[0][i] * (1.0 + 3.0 * wobble) : 1.1 * scale * (end + 0.04 + (0.96 - end) * exp(-t) + (i > 0 ? 0.012 * t + wobble : 0.0));
        if (!draws && f->point[1][i] / f->point[1][0] < f->point[1][f->step / 10] / f->point[1][0])
            f->step = f->point_step[i];
    }
    f->n_parameters = draws ? 0 : 1;
    f->draw = draws ? 17 : 0;
    memcpy(f->start, (double[]){ f->point[0][0], f->point[1][0] }, sizeof f->start);
    memcpy(f->end, (double[]){ f->point[0][f->n_points - 1], f->point[1][f->n_points - 1] }, sizeof f->end);
}

static const arm_rule trained_arms[] = { { "identity", "k", false }, { "cayley", "k", true }, { "givens", "k", true }, { "expm_kurtosis", "k", false }, { "srht_best_of_64", "k", false },
                                         { "v_givens", "v", false } };
enum { TRAINED_ARMS = sizeof trained_arms / sizeof *trained_arms };

static double trained_value(const place *p)
{
    return (1.0 + 0.1 * (double)p->arm) * exp(0.05 * sin((double)(1 + 3 * p->document + 5 * p->arm + 11 * p->layer + 2 * p->head + 7 * p->seed)));
}

/* Two sources; cells of the second arm are fitted to evaluation documents. */
static gyre_table *trained_table(void)
{
    static const double ends[TRAINED_ARMS] = { 1.0, 0.55, 0.7, 0.35, 1.0, 0.8 };
    const experiment e = { .name = "trained", .n_sources = 2, .n_arms = TRAINED_ARMS, .n_points = 2, .n_metrics = 1, .n_layers = 3, .n_documents = 2, .n_heads = 2, .n_seeds = 4,
                           .sources = (const char *const[]){ "smollm2-135m", "qwen2.5-coder-0.5b" }, .points = (const char *const[]){ "bits=3", "bits=4" }, .metrics = one_metric,
                           .units = no_unit, .arms = trained_arms, .value = trained_value };
    gyre_table *t = build(&e);
    t->sources[1].leak = false;
    for (size_t i = 0; i < t->n_cells; i++) {
        gyre_cell *c = &t->cells[i];
        size_t arm = 0;
        while (strcmp(trained_arms[arm].name, c->arm) != 0)
            arm++;
        bool four = strcmp(c->point, "bits=4") == 0;
        if (arm == 0 || (arm == 3 && four) || (arm == 1 && c->source == 1))
            continue;
        if (arm == 1)
            c->flags = "storage_floor,leak";
        for (size_t head = 0; head < (arm == 5 ? 2 : 1); head++)
            shape_fit(add_fit(t, c, arm == 5 ? GYRE_V : GYRE_K, arm == 4 ? 64 : arm == 2 ? 19 : 31, arm == 4 ? 1 : 10), arm == 4,
                      ends[arm] + (four ? 0.08 : 0.0) + 0.03 * sin((double)(3 * i + head)), 1.0 + (double)i, i + head);
    }
    return t;
}

static void training_page(void **state)
{
    (void)state;
    size_t size = 0;
    write_results(at("trained.h5"), trained_table());
    OK(gyre_figures(at("trained.h5"), at("trained"), "training", NULL, err));
    assert_int_equal(count_files(at("trained")), 4);
    char *svg = page_bytes("trained", "training", "svg", &size);
    const char *const expected[] = { "smollm2-135m \xC2\xB7 K \xC2\xB7 51 fits", "smollm2-135m \xC2\xB7 K, best of draws \xC2\xB7 6 fits", "qwen2.5-coder-0.5b \xC2\xB7 V \xC2\xB7 12 fits",
                                     "draws tried", "n = 2 documents per source", "LEAK: fitted to evaluation documents of smollm2-135m, deliberately: cayley." };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strstr(svg, expected[i]) == NULL)
            fail_msg("training.svg does not show '%s'", expected[i]);
    free(svg);
    char *csv = page_bytes("trained", "training", "csv", &size);
    assert_non_null(strstr(csv, "\nsmollm2-135m,deliberate,k,steps,cayley,bits=3,0,12,1,1,1,1,1,1\n"));
    assert_non_null(strstr(csv, "\nsmollm2-135m,none,k,steps,givens,bits=3,0,12,1,1,1,1,1,1\n"));
    assert_non_null(strstr(csv, "\nqwen2.5-coder-0.5b,none,v,steps,v_givens,bits=4,300,6,"));
    assert_null(strstr(csv, "identity"));
    free(csv);
}

static void csv_row(const char *csv, const char *row)
{
    if (strstr(csv, row) == NULL)
        fail_msg("training.csv has no line '%s':\n%s", row, csv);
}

/* Medians, early stops and best-so-far of curves whose numbers can be followed by hand. */
static void training_numbers(void **state)
{
    (void)state;
    const arm_rule arm[] = { { "learned", "k", false }, { "drawn", "k", false }, { "odd", "k", false }, { "blind", "v", false } };
    const experiment e = { .name = "numbers", .n_sources = 1, .n_arms = 4, .n_points = 1, .n_metrics = 1, .n_layers = 3, .n_documents = 1, .n_heads = 1, .n_seeds = 1, .sources = one_source,
                           .points = no_points, .metrics = one_metric, .units = no_unit, .arms = arm, .value = constant };
    gyre_table *t = build(&e);
    for (size_t i = 0; i < t->n_cells; i++) {
        gyre_cell *c = &t->cells[i];
        if (strcmp(c->arm, "learned") == 0 && c->layer == 0)
            set_curve(add_fit(t, c, GYRE_K, 3, 10), (double[]){ 8, 4, 2 }, (double[]){ 16, 4, 8 }); /* 1, 1/2, 1/4; 1, 1/4, 1/2 */
        if (strcmp(c->arm, "learned") == 0 && c->layer == 12)
            set_curve(add_fit(t, c, GYRE_K, 2, 10), (double[]){ 4, 3 }, (double[]){ 2, 1.5 });      /* 1, 3/4, stops */
        if (strcmp(c->arm, "learned") == 0 && c->layer == 23)
            set_curve(add_fit(t, c, GYRE_K, 3, 10), (double[]){ 1, 1, 0.875 }, (double[]){ 1, 1, 1.25 });
        if (strcmp(c->arm, "drawn") == 0 && c->layer == 0)
            set_curve(add_fit(t, c, GYRE_K, 4, 1), (double[]){ 4, 6, 2, 3 }, (double[]){ 8, 1, 7, 2 }); /* the second is worse on calibration rows, the third best */
        if (strcmp(c->arm, "odd") == 0)
            set_curve(add_fit(t, c, GYRE_K, 2, 10), (double[]){ -0.5, -1 }, (double[]){ 1, 1 });
        if (strcmp(c->arm, "blind") == 0 && c->layer == 0)
            set_curve(add_fit(t, c, GYRE_V, 2, 10), (double[]){ 4, 1 }, (double[]){ NAN, NAN });
        for (size_t k = 0; k < c->n_fits; k++)
            ((gyre_fit *)(uintptr_t)c->fits)[k].n_parameters = strcmp(c->arm, "drawn") == 0 ? 0 : 1;
    }
    write_results(at("numbers.h5"), t);
    OK(gyre_figures(at("numbers.h5"), at("numbers"), "training", NULL, err));
    size_t size = 0;
    char *csv = page_bytes("numbers", "training", "csv", &size);
    csv_row(csv, "\nmodel,none,k,steps,learned,,0,3,1,1,1,1,1,1\n");
    csv_row(csv, "\nmodel,none,k,steps,learned,,10,3,0.75,0.5,1,0.75,0.25,1\n");
    csv_row(csv, "\nmodel,none,k,steps,learned,,20,3,0.75,0.25,0.875,0.75,0.5,1.25\n");
    csv_row(csv, "\nmodel,none,k,draws,drawn,,1,1,1,1,1,1,1,1\n");
    csv_row(csv, "\nmodel,none,k,draws,drawn,,2,1,0.5,0.5,0.5,0.875,0.875,0.875\n");
    csv_row(csv, "\nmodel,none,k,draws,drawn,,3,1,0.5,0.5,0.5,0.875,0.875,0.875\n");
    csv_row(csv, "\nmodel,none,v,steps,blind,,10,1,0.25,0.25,0.25,,,\n");
    assert_null(strstr(csv, ",odd,"));
    free(csv);
    char *svg = page_bytes("numbers", "training", "svg", &size);
    assert_non_null(strstr(svg, "3 fits whose objective"));
    free(svg);
}

/* An arm that was fitted to evaluation documents is marked wherever it is shown, though its source is not. */
static void leak_of_an_arm(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0, marks = 0;
    gyre_table *t = trained_table();
    OK(gyre_table_keep(t, 1, sizeof *t->comparisons, &t->comparisons, err));
    t->n_comparisons = 1;
    add_comparison(t, 0, 0, "cayley", "givens", true, 1.05);
    t->comparisons[0].metric = "nmse";
    t->comparisons[0].point = "bits=3";
    OK(gyre_compare(t, err));
    write_results(at("leaking.h5"), t);
    FILE *out = open_memstream(&text, &size);
    OK(gyre_report_file(at("leaking.h5"), out, NULL, err));
    assert_int_equal(fclose(out), 0);
    for (const char *p = text; (p = strstr(p, "LEAK: fitted to evaluation documents\n")) != NULL; p++)
        marks++;
    assert_int_equal(marks, 2 + 1); /* the arm's two points and its comparison */
    assert_non_null(strstr(text, "LEAK: 24 cells are fitted to evaluation documents")); /* 3 layers, 2 points, 4 seeds */
    assert_non_null(strstr(text, "24 cells lie within 10x"));
    assert_non_null(strstr(text, "smollm2-135m (LEAK: "));
    assert_null(strstr(text, "qwen2.5-coder-0.5b (LEAK"));
    free(text);
    OK(gyre_figures(at("leaking.h5"), at("leaking"), NULL, NULL, err));
    static const char *const pages[] = { "error_bits", "forest_smollm2-135m", "training" };
    assert_int_equal(count_files(at("leaking")), 4 * 3);
    for (size_t i = 0; i < 3; i++) {
        char *svg = page_bytes("leaking", pages[i], "svg", &size), *csv = page_bytes("leaking", pages[i], "csv", &size);
        if (strstr(svg, "LEAK: fitted to evaluation documents of smollm2-135m, deliberately: cayley.") == NULL || strstr(csv, "smollm2-135m,deliberate,") == NULL)
            fail_msg("%s does not say that cayley leaks", pages[i]);
        assert_null(strstr(csv, "qwen2.5-coder-0.5b,deliberate,"));
        free(svg);
        free(csv);
    }
}

/* ---- Pareto fronts ---- */

#define T_5 2.5705818356363147 /* upper 0.025 point of Student's t, 5 degrees of freedom */

/* Arms one to five at payloads 4, 5, 6: `one` and `two` tie at 4; `two` buys nothing with its last bit; `three` is noisy at 4, twice the front at 5, and has no value at 6;
 * `four` is skipped; `five` is seeded, by a factor 4 up and down, 4 times the front. `one` has a
 * spread of its own at 5 and 6; that of the documents is alike in all, and so gone from every ratio. */
static const arm_rule front_arms[] = { { "one", "k", false }, { "two", "k", false }, { "three", "k", false }, { "four", "k", false }, { "five", "k", true } };
static const char *const front_points[] = { "quantizer=a", "quantizer=b", "quantizer=c" };
enum { FRONT_ARMS = sizeof front_arms / sizeof *front_arms, FRONT_PAIRS = 11 };

static double front_value(const place *p)
{
    static const double levels[FRONT_ARMS][3] = { { 0.1, 0.05, 0.02 }, { 0.1, 0.04, 0.04 }, { 0.105, 0.08, NAN }, { 1.0, 1.0, 1.0 }, { 0.4, 0.16, 0.08 } };
    double turn = p->document % 2 == 0 ? 1.0 : -1.0, own = 0.0;
    if (p->arm == 2 || (p->arm == 0 && p->point > 0))
        own = (p->arm == 0 ? 0.01 : p->point == 0 ? 0.3 : 0.1) * turn;
    if (p->arm == 4)
        own = p->seed == 0 ? log(4.0) : -log(4.0);
    double metric = p->metric == 1 ? 3.0 : 1.0;
    return p->metric == 1 && p->source == 1 ? NAN : metric * levels[p->arm][p->point] * exp(0.02 * sin((double)(3 * p->document)) + own);
}

static gyre_cell_status front_status(const place *p)
{
    return p->arm == 3 ? GYRE_CELL_SKIPPED : GYRE_CELL_OK;
}

static double front_payload(const place *p)
{
    return 4.0 + (double)p->point;
}

static double front_side(const place *p)
{
    return p->arm == 4 ? 0.015625 : 0.0;
}

static gyre_table *front_table(uint32_t seeds)
{
    static const char *const metrics[] = { "nmse", "softmax_kl" };
    const experiment e = { .name = "zoo", .n_sources = 2, .n_arms = FRONT_ARMS, .n_points = 3, .n_metrics = 2, .n_layers = 1, .n_documents = 6, .n_heads = 1, .n_seeds = seeds,
                           .sources = demo_sources, .points = front_points, .metrics = metrics, .units = no_unit, .arms = front_arms, .value = front_value,
                           .status = front_status, .payload = front_payload, .side = front_side };
    return build(&e);
}

static const gyre_pareto_pair *pair_of(const gyre_pareto *f, const char *arm, const char *point)
{
    const gyre_summary key = { .arm = arm, .point = point };
    return gyre_pareto_find(f, &key);
}

static void check_member(const gyre_pareto *f, size_t i, const char *arm, size_t point)
{
    assert_true(i < f->n_front);
    assert_string_equal(f->pairs[f->front[i]].of->arm, arm);
    assert_string_equal(f->pairs[f->front[i]].of->point, front_points[point]);
    assert_int_equal(f->pairs[f->front[i]].verdict, GYRE_PARETO_FRONT);
    assert_int_equal(f->pairs[f->front[i]].dominator, f->front[i]);
}

static void check_dominated(const gyre_pareto *f, const char *arm, size_t point, const char *by, size_t by_point, gyre_pareto_verdict verdict, double ratio)
{
    const gyre_pareto_pair *p = pair_of(f, arm, front_points[point]);
    assert_non_null(p);
    assert_string_equal(f->pairs[p->dominator].of->arm, by);
    assert_string_equal(f->pairs[p->dominator].of->point, front_points[by_point]);
    assert_string_equal(gyre_pareto_verdict_name(p->verdict), gyre_pareto_verdict_name(verdict));
    CLOSE(p->ratio.mean, ratio);
}

static void pareto_front(void **state)
{
    (void)state;
    gyre_table *t = front_table(2);
    const gyre_summary *all = summarise_all(t, 2 * FRONT_ARMS * 3 * 2);
    gyre_pareto f;
    OK(gyre_pareto_get(t, all, 2 * FRONT_ARMS * 3 * 2, 0, "k", 1, 0.05, &f, err));
    assert_int_equal(f.n_pairs, FRONT_PAIRS);
    assert_int_equal(f.n_left_out, 4); /* three at 6, four */
    assert_int_equal(f.n_bits, 6);     /* 4, 4.02, 5, ... */
    CLOSE(f.least_bits, 4.0);
    CLOSE(f.most_bits, 6.015625);
    assert_int_equal(f.n_front, 4);
    check_member(&f, 0, "one", 0);
    check_member(&f, 1, "two", 0);
    check_member(&f, 2, "two", 1);
    check_member(&f, 3, "one", 2);
    assert_null(pair_of(&f, "three", front_points[2]));
    assert_null(pair_of(&f, "four", front_points[0]));
    check_dominated(&f, "one", 1, "two", 1, GYRE_PARETO_DOMINATED, 1.25);
    check_dominated(&f, "two", 2, "one", 2, GYRE_PARETO_DOMINATED, 2.0);
    check_dominated(&f, "three", 0, "one", 0, GYRE_PARETO_NOISE, 1.05);
    check_dominated(&f, "three", 1, "two", 1, GYRE_PARETO_DOMINATED, 2.0);
    check_dominated(&f, "five", 0, "one", 0, GYRE_PARETO_NOISE, 4.0);
    check_dominated(&f, "five", 2, "one", 2, GYRE_PARETO_NOISE, 4.0);
    const gyre_interval *r = &pair_of(&f, "three", front_points[1])->ratio;
    CLOSE(r->lo, 2.0 * exp(-T_5 * 0.1 / sqrt(5.0))); /* six differences of log 2 +- 0.1 */
    CLOSE(r->hi, 2.0 * exp(T_5 * 0.1 / sqrt(5.0)));
    r = &pair_of(&f, "five", front_points[0])->ratio;
    CLOSE(r->lo, 4.0 * pow(4.0, -T_1)); /* the seeds of one arm alone carry the spread */
    CLOSE(r->hi, 4.0 * pow(4.0, T_1));
    assert_int_equal(pair_of(&f, "one", front_points[2])->rank, 1);
    assert_int_equal(pair_of(&f, "two", front_points[1])->rank, 2); /* two at b and at c tie */
    assert_int_equal(pair_of(&f, "two", front_points[2])->rank, 2);
    assert_int_equal(pair_of(&f, "one", front_points[1])->rank, 4);
    OK(gyre_pareto_get(t, all, 2 * FRONT_ARMS * 3 * 2, 1, "k", 1, 0.05, &f, err)); /* softmax_kl is not there */
    assert_int_equal(f.n_pairs + f.n_front, 0);
    assert_int_equal(f.n_left_out, 15);
    assert_false(gyre_pareto_enough(&f));
    OK(gyre_pareto_get(t, all, 2 * FRONT_ARMS * 3 * 2, 0, "v", 1, 0.05, &f, err));
    assert_int_equal(f.n_pairs + f.n_left_out, 0);
    FAILS(gyre_pareto_get(t, all, 2 * FRONT_ARMS * 3 * 2, 0, "k", 2, 0.05, &f, err), GYRE_E_INTERNAL, "metric");
    gyre_table_free(t);
}

static void pareto_of_one_seed(void **state)
{
    (void)state;
    gyre_table *t = front_table(1);
    gyre_pareto f;
    OK(gyre_pareto_get(t, summarise_all(t, 2 * FRONT_ARMS * 3 * 2), 2 * FRONT_ARMS * 3 * 2, 0, "k", 1, 0.05, &f, err));
    check_dominated(&f, "five", 0, "one", 0, GYRE_PARETO_NO_INTERVAL, 16.0); /* one seed says nothing about others */
    gyre_table_free(t);
}

static void pareto_levels(void **state)
{
    (void)state;
    gyre_table *t = front_table(2);
    const gyre_pareto_level *levels = NULL;
    gyre_pareto f;
    size_t n = 0;
    OK(gyre_pareto_get(t, summarise_all(t, 2 * FRONT_ARMS * 3 * 2), 2 * FRONT_ARMS * 3 * 2, 0, "k", 1, 0.05, &f, err));
    OK(gyre_pareto_levels(t, &f, 4, &levels, &n, err));
    assert_int_equal(n, 2); /* three pairs at 6 */
    CLOSE(levels[1].payload_bits, 5.0);
    CLOSE(levels[1].least_bits, 5.0);
    CLOSE(levels[1].most_bits, 5.015625);
    static const char *const order[] = { "two", "one", "three", "five" };
    assert_int_equal(levels[1].n_pairs, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(levels[1].pairs[i]->of->arm, order[i]);
    OK(gyre_pareto_levels(t, &f, 5, &levels, &n, err));
    assert_int_equal(n, 0);
    gyre_table_free(t);
}

/* Ratios are those of pareto_front; a source without the metric is left out, and the log says so. */
static void pareto_page(void **state)
{
    (void)state;
    char *said = NULL, line[256];
    size_t size = 0;
    FILE *stream = open_memstream(&said, &size);
    gyre_log *log = NULL;
    OK(gyre_log_new(&log, stream, false, err));
    write_results(at("zoo.h5"), front_table(2));
    OK(gyre_figures(at("zoo.h5"), at("zoo"), "pareto", log, err));
    gyre_log_free(log);
    assert_int_equal(fclose(stream), 0);
    assert_non_null(strstr(said, "quotes', streams k: 0 pairs with softmax_kl"));
    free(said);
    assert_int_equal(count_files(at("zoo")), 4);
    char *csv = page_bytes("zoo", "pareto_k", "csv", &size);
    assert_int_equal(count_lines(csv), 1 + 2 * FRONT_ARMS * 3);
    assert_non_null(strstr(csv, "\nsmollm2-135m,none,k,softmax_kl,,one,quantizer=a,OK,,4,4,"));
    assert_non_null(strstr(csv, ",yes,,,,,,front\n"));
    const char *at_line = strstr(csv, ",softmax_kl,,three,quantizer=b,OK,,5,5,");
    assert_non_null(at_line);
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at_line, "\n"), at_line);
    assert_non_null(strstr(line, ",no,two,quantizer=b,"));
    assert_non_null(strstr(line, ",dominated"));
    char *end = NULL;
    double ratio = strtod(strstr(line, ",two,quantizer=b,") + 17, &end), lo = strtod(end + 1, &end), hi = strtod(end + 1, &end);
    CLOSE(ratio, 2.0);
    CLOSE(lo, 2.0 * exp(-T_5 * 0.1 / sqrt(5.0)));
    CLOSE(hi, 2.0 * exp(T_5 * 0.1 / sqrt(5.0)));
    at_line = strstr(csv, ",softmax_kl,,four,quantizer=a,SKIPPED,");
    assert_non_null(at_line);
    assert_memory_equal(at_line + strcspn(at_line, "\n") - 9, ",,,,,,,,,", 9); /* no rank, no verdict */
    free(csv);
    char *svg = page_bytes("zoo", "pareto_k", "svg", &size);
    assert_non_null(strstr(svg, "11 pairs: 4 on the front, 4 within noise of it, 3 dominated"));
    assert_non_null(strstr(svg, "two \xC2\xB7 b"));
    free(svg);
}

static void pareto_report(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    write_results(at("zoo.h5"), front_table(2));
    OK(gyre_report_file(at("zoo.h5"), out, NULL, err));
    assert_int_equal(fclose(out), 0);
    const char *const expected[] = {
        "Pareto front of softmax_kl against total bits: smollm2-135m, arms that code K (11 pairs of arm and point from 4.000 to 6.016 bits, 4 without a value; exploratory",
        "  two  quantizer=b  5.000  0.12",
        "on the front or within noise of it: one (2 of 3), two (2 of 3), three (1 of 2), five (3 of 3)\n",
        "on the front of nmse, dominated by softmax_kl: none\n",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strstr(text, expected[i]) == NULL)
            fail_msg("the report does not say '%s':\n%s", expected[i], text);
    assert_null(strstr(text, "dominated wherever they were run"));
    assert_null(strstr(text, "against total bits: odd"));
    free(text);
}

/* What has no interval is neither dominated nor near the front. */
static void pareto_report_of_one_seed(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    write_results(at("one_seed.h5"), front_table(1));
    OK(gyre_report_file(at("one_seed.h5"), out, NULL, err));
    assert_int_equal(fclose(out), 0);
    const char *const expected[] = {
        "on the front or within noise of it: one (2 of 3), two (2 of 3), three (1 of 2)\n",
        "not judged, for want of documents, seeds or spread: five (3 of 3)\n",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strstr(text, expected[i]) == NULL)
            fail_msg("the report does not say '%s':\n%s", expected[i], text);
    free(text);
}

/* 20 arms at 30 points, half of the arms seeded. */
static double many_value(const place *p)
{
    return exp(-0.7 * (double)p->point + 0.1 * sin((double)(7 * p->arm + 3 * p->point)) + 0.01 * sin((double)(p->arm + 5 * p->document + 11 * p->seed)));
}

static double many_payload(const place *p)
{
    return 2.0 + 0.25 * (double)(p->point / 2);
}

static void pareto_of_many(void **state)
{
    (void)state;
    static char names_of[30][16];
    static const char *points[30];
    arm_rule arms[20];
    for (size_t i = 0; i < 30; i++) {
        (void)snprintf(names_of[i], sizeof names_of[i], "quantizer=q%zu", i);
        points[i] = names_of[i];
    }
    for (size_t i = 0; i < 20; i++)
        arms[i] = (arm_rule){ points[i] + 10, "k", i % 2 == 1 };
    const experiment e = { .name = "many", .n_sources = 1, .n_arms = 20, .n_points = 30, .n_metrics = 1, .n_layers = 2, .n_documents = 6, .n_heads = 2, .n_seeds = 4,
                           .sources = one_source, .points = points, .metrics = one_metric, .units = no_unit, .arms = arms, .value = many_value, .payload = many_payload,
                           .side = front_side };
    gyre_table *t = build(&e);
    gyre_pareto f;
    const gyre_summary *all = summarise_all(t, 600);
    clock_t begin = clock();
    OK(gyre_pareto_get(t, all, 600, 0, "k", 0, 0.05, &f, err));
    double seconds = (double)(clock() - begin) / (double)CLOCKS_PER_SEC;
    assert_int_equal(f.n_pairs, 600);
    for (size_t i = 0; i < f.n_pairs; i++) { /* by definition: the least mean at its bits or fewer */
        const gyre_pareto_pair *p = &f.pairs[i];
        double least = INFINITY;
        for (size_t k = 0; k < f.n_pairs; k++)
            if (f.pairs[k].of->total_bits <= p->of->total_bits + 1e-9)
                least = fmin(least, f.pairs[k].of->mean);
        assert_true(f.pairs[p->dominator].of->mean <= least && f.pairs[p->dominator].of->total_bits <= p->of->total_bits + 1e-9);
        assert_int_equal(p->verdict == GYRE_PARETO_FRONT, p->dominator == i);
        CLOSE(p->ratio.mean, p->of->mean / f.pairs[p->dominator].of->mean);
    }
    if (seconds > 2.0)
        fail_msg("a front of 600 pairs took %.1f s", seconds);
    gyre_table_free(t);
}

/* ---- what joins points ---- */

/* Lines that error_bits draws for the only arm: blocks of points, an empty line between. */
static size_t lines_of(const char *const *points)
{
    const arm_rule arm[] = { { "identity", "k", false } };
    const experiment e = { .name = "e", .n_sources = 1, .n_arms = 1, .n_points = 4, .n_metrics = 1, .n_layers = 1, .n_documents = 2, .n_heads = 1, .n_seeds = 1,
                           .sources = one_source, .points = points, .metrics = one_metric, .units = no_unit, .arms = arm, .value = many_value };
    gyre_provenance *p = calloc(1, sizeof *p);
    gyre_figure_book book = { .table = build(&e), .provenance = p, .digest = "", .last = &book.pages };
    size_t lines = 1;
    assert_non_null(p);
    book.summaries = summarise_all(book.table, book.n_summaries = 4);
    OK(gyre_styles_prepare(&book, err));
    OK(gyre_caption_prepare(&book, err));
    OK(gyre_figure_error_bits.draw(&book, err));
    const char *data = strstr(book.pages->script, "$arm0 << EOD\n"), *end = strstr(data, "\nEOD");
    for (const char *gap = data; (gap = strstr(gap, "\n\n")) != NULL && gap < end; gap++)
        lines++;
    gyre_pages_free(book.pages);
    gyre_table_free(book.table);
    free(book.arms);
    free(book.facts);
    free(book.marks);
    free(p);
    return lines;
}

static void joined_points(void **state)
{
    (void)state;
    char label[GYRE_LINE_TEXT];
    assert_int_equal(lines_of((const char *const[]){ "bits=2", "bits=3", "bits=4", "bits=8" }), 1);
    assert_int_equal(lines_of((const char *const[]){ "group=16", "group=32", "group=64", "group=128" }), 1);
    assert_int_equal(lines_of((const char *const[]){ "quantizer=a", "quantizer=b", "quantizer=3x", "quantizer=c" }), 4);
    assert_int_equal(lines_of((const char *const[]){ "bits=3,group=32", "bits=3,group=64", "bits=4,group=32", "bits=4,group=64" }), 2);
    assert_int_equal(lines_of((const char *const[]){ "group=32,bits=3", "group=64,bits=3", "group=32,bits=4", "group=64,bits=4" }), 2);
    assert_int_equal(lines_of((const char *const[]){ "bits=3,chain=a", "bits=4,chain=a", "bits=3,chain=b", "bits=4,chain=c" }), 3);
    gyre_point_label("bits=4,quantizer=sym_f16,chain=srht", label);
    assert_string_equal(label, "bits=4,sym_f16,srht");
    gyre_point_label("", label);
    assert_string_equal(label, "");
}

/* ---- what can be missing ---- */

static char *saved_path;

static void use_path(const char *path)
{
    const char *now = getenv("PATH");
    if (saved_path == NULL && now != NULL)
        saved_path = strdup(now);
    assert_int_equal(setenv("PATH", path != NULL ? path : saved_path, 1), 0);
}

static int restore(void **state)
{
    (void)state;
    if (saved_path != NULL)
        use_path(NULL);
    free(saved_path);
    saved_path = NULL;
    (void)unsetenv("FONTCONFIG_FILE");
    return 0;
}

static void no_gnuplot(void **state)
{
    (void)state;
    OK(gyre_make_folder(at("empty"), err));
    use_path(at("empty"));
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "gnuplot-nox");
    assert_int_equal(access(at("none"), F_OK), -1);
}

static void no_font(void **state)
{
    (void)state;
    static const char config[] = "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig></fontconfig>";
    OK(gyre_commit_bytes(at("no-fonts.conf"), config, sizeof config - 1, err));
    assert_int_equal(setenv("FONTCONFIG_FILE", at("no-fonts.conf"), 1), 0);
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "fonts-dejavu-core");
    assert_int_equal(access(at("none"), F_OK), -1);
}

static void write_program(const char *name, const char *text)
{
    OK(gyre_commit_bytes(at(name), text, strlen(text), err));
    assert_int_equal(chmod(at(name), 0755), 0);
}

static void broken_programs(void **state)
{
    (void)state;
    OK(gyre_make_folder(at("bin"), err));
    write_program("bin/gnuplot", "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'unknown terminal' >&2\nexit 3\n");
    use_path(at("bin"));
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "fontconfig");
    write_program("bin/fc-match", "#!/bin/sh\nprintf 'DejaVu Sans'\n");
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "status 3 (unknown terminal)");
    write_program("bin/gnuplot", "#!/bin/sh\nexit 0\n");
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "drew nothing");
    write_program("bin/gnuplot", "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nkill -9 $$\n");
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "status 137");
    write_program("bin/gnuplot", "#!/bin/sh\nexit 1\n");
    FAILS(gyre_figures(at("results.h5"), at("none"), NULL, NULL, err), GYRE_E_UNSUPPORTED, "gnuplot-nox");
    assert_int_equal(access(at("none"), F_OK), -1);
}

static void bad_places(void **state)
{
    (void)state;
    OK(gyre_commit_bytes(at("a-file"), "x", 1, err));
    FAILS(gyre_figures(at("results.h5"), at("a-file/figures"), "order", NULL, err), GYRE_E_IO, "a-file");
    FAILS(gyre_figures(at("results.h5"), at("a-file"), "order", NULL, err), GYRE_E_IO, "a-file");
    FAILS(gyre_figures(at("a-file"), at("none"), NULL, NULL, err), GYRE_E_INPUT, "a-file");
    assert_int_equal(access(at("none"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_of_documents),
        cmocka_unit_test(summary_of_seeds),
        cmocka_unit_test(summary_kinds),
        cmocka_unit_test(discord_planted),
        cmocka_unit_test(discord_absent),
        cmocka_unit_test(pictures),
        cmocka_unit_test(texts),
        cmocka_unit_test(digest_in_caption),
        cmocka_unit_test(csv_lines),
        cmocka_unit_test(redraw),
        cmocka_unit_test(one_figure),
        cmocka_unit_test(little_to_draw),
        cmocka_unit_test(training_page),
        cmocka_unit_test(training_numbers),
        cmocka_unit_test(leak_of_an_arm),
        cmocka_unit_test(pareto_front),
        cmocka_unit_test(pareto_of_one_seed),
        cmocka_unit_test(pareto_report_of_one_seed),
        cmocka_unit_test(pareto_levels),
        cmocka_unit_test(pareto_page),
        cmocka_unit_test(pareto_report),
        cmocka_unit_test(pareto_of_many),
        cmocka_unit_test(joined_points),
        cmocka_unit_test_teardown(no_gnuplot, restore),
        cmocka_unit_test_teardown(no_font, restore),
        cmocka_unit_test_teardown(broken_programs, restore),
        cmocka_unit_test(bad_places),
    };
    return cmocka_run_group_tests_name("figures", tests, set_up, tear_down);
}
