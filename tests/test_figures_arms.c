/* results/: what the figures layers, seeds, ranks and power draw, and what their files say.
 *
 * Numbers are held against arithmetic done here on the values of a small table (means, ranges, paired t of four documents), against published ones (Demsar 2006, table 5; power.t.test of R) and
 * against an integral summed here. What is drawn is counted in the script of the page; files, with hostile names, are drawn once.
 */
#define _GNU_SOURCE
#include <unistd.h>

#include <gsl/gsl_errno.h>

#include "check.h"
#include "core/log.h"
#include "results/compare.h"
#include "results/figure.h"

#define T_3 3.182446305284263 /* upper 0.025 point of Student's t, 3 degrees of freedom */

enum { DOCUMENTS = 4, SEEDS = 3, LAYERS = 2, MOST_HEADS = 2, MOST_ARMS = 80 };

static const uint32_t layers[LAYERS] = { 0, 12 }, heads[LAYERS] = { 2, 1 };

typedef struct arm {
    const char *name, *streams;
    bool seeded;
} arm;

/* Value of an arm at a place, indices from 0. */
typedef double (*rule)(size_t arm, size_t layer, size_t head, size_t document, size_t seed);

static gyre_table *new_table(const arm *arms, size_t n, const char *metric, const char *source, rule value)
{
    static const char *const documents[DOCUMENTS] = { "emma", "moby", "dracula", "ulysses" };
    gyre_error error = { .status = GYRE_OK };
    gyre_table *t = NULL;
    const char **names = NULL;
    CHECK_OK(gyre_table_new(&t, &error), &error);
    CHECK_OK(gyre_table_keep(t, 2, sizeof *names, &names, &error), &error);
    CHECK_OK(gyre_table_keep(t, 1, sizeof *t->sources, &t->sources, &error), &error);
    CHECK_OK(gyre_table_keep(t, n * LAYERS * SEEDS, sizeof *t->cells, &t->cells, &error), &error);
    names[0] = metric;
    names[1] = "";
    t->experiment = "arms";
    t->metrics = names;
    t->metric_units = names + 1;
    t->n_metrics = t->n_sources = 1;
    t->n_seeds = SEEDS;
    t->sources[0] = (gyre_source){ .name = source, .path = "", .digest = "", .model_sha256 = "", .architecture = "", .n_documents = DOCUMENTS, .documents = documents, .n_layers = LAYERS,
                                   .layers = layers, .n_heads = heads, .dim = 64 };
    for (size_t i = 0; i < n * LAYERS * SEEDS; i++) {
        size_t a = i / SEEDS % n, l = i / SEEDS / n, seed = i % SEEDS;
        gyre_cell *c = &t->cells[t->n_cells];
        if (!arms[a].seeded && seed > 0)
            continue;
        *c = (gyre_cell){ .layer = layers[l], .arm = arms[a].name, .point = "", .streams = arms[a].streams, .codec_k = "", .codec_v = "", .seeded = arms[a].seeded, .seed = (uint32_t)seed,
                          .status = GYRE_CELL_OK, .reason = "", .flags = "", .payload_bits = 4, .side_bits = 0, .total_bits = 4, .read_bits = 4, .n_documents = DOCUMENTS, .n_heads = heads[l] };
        CHECK_OK(gyre_table_keep(t, DOCUMENTS * MOST_HEADS, sizeof *c->values, &c->values, &error), &error);
        for (size_t j = 0; j < DOCUMENTS; j++)
            for (size_t h = 0; h < heads[l]; h++)
                c->values[j * heads[l] + h] = value(a, l, h, j, seed);
        t->n_cells++;
    }
    return t;
}

/* margin 0: none. */
static void compare_arms(gyre_table *t, const char *const (*pairs)[2], size_t n, bool ratio, double margin)
{
    gyre_error error = { .status = GYRE_OK };
    CHECK_OK(gyre_table_keep(t, n, sizeof *t->comparisons, &t->comparisons, &error), &error);
    t->n_comparisons = n;
    for (size_t i = 0; i < n; i++)
        t->comparisons[i] = (gyre_comparison){ .arm = pairs[i][0], .against = pairs[i][1], .metric = t->metrics[0], .family = "main", .point = "", .ratio = ratio, .has_margin = margin > 0.0,
                                               .margin = margin, .alpha = 0.05 };
    CHECK_OK(gyre_compare(t, &error), &error);
}

/* ---- a book of one table ---- */

static gyre_provenance provenance;

static gyre_figure_book open_book(gyre_table *t)
{
    gyre_error error = { .status = GYRE_OK };
    gyre_figure_book book = { .table = t, .provenance = &provenance, .digest = "0123456789abcdef" };
    CHECK_OK(gyre_summarise(t, GYRE_FIGURE_ALPHA, &book.summaries, &book.n_summaries, &error), &error);
    CHECK_OK(gyre_styles_prepare(&book, &error), &error);
    CHECK_OK(gyre_caption_prepare(&book, &error), &error);
    return book;
}

static void draw(gyre_figure_book *book, const gyre_figure_type *figure)
{
    gyre_error error = { .status = GYRE_OK };
    if (book->pages == NULL)
        book->last = &book->pages;
    CHECK_OK(gyre_figure_draw(figure, book, &error), &error);
}

static void close_book(gyre_figure_book *book)
{
    gyre_pages_free(book->pages);
    free(book->arms);
    free(book->facts);
    free(book->marks);
    gyre_table_free(book->table);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static void says(const char *text, const char *what)
{
    if (strstr(text, what) == NULL)
        fail_msg("nothing says '%s' in:\n%s", what, text);
}

/* The field `column` of the first line of a CSV text that begins with `begin`; these tables quote nothing. */
static double field(const char *csv, const char *begin, const char *column)
{
    size_t place = 0;
    char head[1024], line[4096];
    (void)snprintf(head, sizeof head, "%.*s,", (int)strcspn(csv, "\n"), csv);
    (void)snprintf(line, sizeof line, ",%s,", column);
    const char *at = strncmp(head, line + 1, strlen(line) - 1) == 0 ? head : strstr(head, line), *row = strstr(csv, begin);
    if (at == NULL || row == NULL)
        fail_msg("no column %s or no line '%s' in:\n%s", column, begin, csv);
    for (const char *p = head; p < at + (at == head ? 0 : 1); p++)
        place += *p == ',';
    row += row[0] == '\n';
    for (; place > 0; place--)
        row += strcspn(row, ",") + 1;
    return row[0] == ',' || row[0] == '\n' ? (double)NAN : strtod(row, NULL);
}

/* ---- layers ---- */

static const arm three[] = { { "identity", "k", false }, { "fixed", "k", false }, { "drawn", "k", true } };
static const char *const two_pairs[][2] = { { "fixed", "identity" }, { "drawn", "identity" } };

/* log2 of the value: of `fixed` below identity by 1, 2 or 3 with a wobble of the documents (none sums to 0) at the first two heads, and one that hides the gain at the third. */
static double gain_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    static const double wobble[DOCUMENTS] = { 0.3, -0.1, -0.2, 0.2 };
    double place = (double)(2 * l + h), base = place + (double)j;
    return exp2(a == 0 ? base : a == 1 ? base - (l == 0 ? 1.0 + place : 0.1) + wobble[j] : base - 2.0 + 0.5 * (double)seed + 0.1 * (double)((seed + j) % 2));
}

static void layers_numbers(void **state)
{
    (void)state;
    gyre_figure_book book = open_book(new_table(three, 3, "nmse", "model", gain_value));
    compare_arms(book.table, two_pairs, 2, true, 1.05);
    draw(&book, &gyre_figure_layers);
    const char *csv = book.pages->table, *script = book.pages->script;
    assert_null(book.pages->next);
    assert_int_equal(count(csv, "\n"), 1 + 2 * 3); /* three places: two heads at layer 0, one at layer 12 */
    /* wobble: mean 0.05, sum of squared deviations 0.17, so s = sqrt(0.17/3) and half the interval t s / 2 */
    const double half = T_3 * sqrt(0.17 / 3.0) / 2.0;
    static const struct {
        const char *begin;
        double mean;
    } rows[] = { { "\nmodel,none,fixed,identity,nmse,,OK,,4,1,0.050000000000000003,0,0,", -0.95 }, { "\nmodel,none,fixed,identity,nmse,,OK,,4,1,0.050000000000000003,0,1,", -1.95 },
                 { "\nmodel,none,fixed,identity,nmse,,OK,,4,1,0.050000000000000003,12,0,", -0.05 } };
    for (size_t i = 0; i < 3; i++) {
        CHECK_CLOSE(field(csv, rows[i].begin, "log2_ratio"), rows[i].mean, 0, 1e-12);
        CHECK_CLOSE(field(csv, rows[i].begin, "log2_low"), rows[i].mean - half, 0, 1e-12);
        CHECK_CLOSE(field(csv, rows[i].begin, "log2_high"), rows[i].mean + half, 0, 1e-12);
    }
    /* mean over seeds of 0, 0.5, 1, and of 0.1 for every other of the 12 units */
    CHECK_CLOSE(field(csv, "\nmodel,none,drawn,identity,nmse,,OK,,4,3,0.050000000000000003,12,0,", "log2_ratio"), -2.0 + 0.5 + 0.05, 0, 1e-12);
    /* -0.05 has its dot, and so has every place of `drawn` whose interval of 3 seeds holds 0 */
    size_t dots = 1;
    static const char *const drawn[] = { "\nmodel,none,drawn,identity,nmse,,OK,,4,3,0.050000000000000003,0,0,", "\nmodel,none,drawn,identity,nmse,,OK,,4,3,0.050000000000000003,0,1,",
                                         "\nmodel,none,drawn,identity,nmse,,OK,,4,3,0.050000000000000003,12,0," };
    for (size_t i = 0; i < 3; i++)
        dots += field(csv, drawn[i], "log2_low") <= 0.0 && 0.0 <= field(csv, drawn[i], "log2_high");
    assert_int_equal(count(script, " point pt 7 "), dots);
    assert_int_equal(count(script, " point pt 6 "), 0);
    says(script, "'\xE2\x88\x92" "1.9'"); /* -1.95 in a cell: two digits */
    says(script, "'\xE2\x88\x92" "2 (\xC3\x97" "0.25)'"); /* the scale ends at 2, the least round number that holds 1.95 */
    close_book(&book);
}

/* Arms without spread have no interval; what has no logarithm has no gain. */
static double flat_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    (void)l, (void)h, (void)j, (void)seed;
    return a == 0 ? 1.0 : a == 1 ? 0.5 : 0.0;
}

static void layers_without(void **state)
{
    (void)state;
    static const arm arms[] = { { "identity", "k", false }, { "fixed", "k", false }, { "zero", "k", false } };
    static const char *const pairs[][2] = { { "fixed", "identity" }, { "zero", "identity" }, { "fixed", "identity" } };
    gyre_figure_book book = open_book(new_table(arms, 3, "nmse", "model", flat_value));
    compare_arms(book.table, pairs, 3, true, 0.0);
    draw(&book, &gyre_figure_layers);
    assert_int_equal(count(book.pages->table, "\n"), 1 + 3 + 1); /* the same pair once; zero is one line */
    assert_int_equal(count(book.pages->script, " point pt 6 "), 3);
    assert_true(isnan(field(book.pages->table, "\nmodel,none,fixed,", "log2_low")));
    says(book.pages->table, "\nmodel,none,zero,identity,nmse,,DEGENERATE,");
    says(book.pages->script, "zero / identity");
    says(book.pages->script, "Of 2 pairs 1 have no gain");
    close_book(&book);
}

/* ---- seeds ---- */

/* Seed and document effects without residual: ln value = 0.1 x {0, 1, 5}[seed] + {0, 0.2, 0.2, 0.8}[document] for the drawn arm. */
static double effect_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    static const double by_seed[SEEDS] = { 0.0, 0.1, 0.5 }, by_document[DOCUMENTS] = { 0.0, 0.2, 0.2, 0.8 };
    (void)l, (void)h;
    return a == 2 ? exp(by_seed[seed] + by_document[j]) : a == 1 ? 3.0 : 2.0;
}

static void seeds_numbers(void **state)
{
    (void)state;
    gyre_figure_book book = open_book(new_table(three, 3, "nmse", "model", effect_value));
    compare_arms(book.table, two_pairs, 2, true, 1.05);
    draw(&book, &gyre_figure_seeds);
    const char *csv = book.pages->table;
    static const char *const rows[] = { "\nseed,model,none,nmse,,,k,drawn,,geometric,0,", "\nseed,model,none,nmse,,,k,drawn,,geometric,1,", "\nseed,model,none,nmse,,,k,drawn,,geometric,2," };
    static const double by_seed[SEEDS] = { 0.0, 0.1, 0.5 };
    for (size_t i = 0; i < SEEDS; i++)
        CHECK_CLOSE(field(csv, rows[i], "value"), exp(by_seed[i] + 0.3), 1e-12, 0);
    CHECK_CLOSE(field(csv, "\nmean,model,none,nmse,,,k,drawn,", "value"), exp(0.2 + 0.3), 1e-12, 0);
    CHECK_CLOSE(field(csv, "\nmean,model,none,nmse,,,k,drawn,", "least"), exp(0.3), 1e-12, 0);
    CHECK_CLOSE(field(csv, "\nmean,model,none,nmse,,,k,drawn,", "most"), exp(0.8), 1e-12, 0);
    CHECK_CLOSE(field(csv, "\nmean,model,none,nmse,,,k,fixed,", "value"), 3.0, 1e-12, 0);
    /* against identity, which does not move: sample standard deviations of the effects */
    CHECK_CLOSE(field(csv, "\ndifference,model,none,nmse,,,k,drawn,identity,ratio,", "sd_seed"), sqrt((0.04 + 0.01 + 0.09) / 2.0), 1e-10, 0);
    CHECK_CLOSE(field(csv, "\ndifference,model,none,nmse,,,k,drawn,identity,ratio,", "sd_document"), sqrt((0.09 + 0.01 + 0.01 + 0.25) / 3.0), 1e-10, 0);
    assert_int_equal(count(csv, "\nseed,"), SEEDS); /* arms without seeds have none */
    assert_int_equal(count(book.pages->script, " point pt 7 "), SEEDS);
    close_book(&book);
}

/* Seeds that are all alike still are as many dots, each at its own height. */
static double alike_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    (void)l, (void)h, (void)seed;
    return a == 0 ? 2.0 + (double)j : 1.0 + (double)j;
}

static void seeds_all_shown(void **state)
{
    (void)state;
    double x = 0.0, y[SEEDS] = { 0 }, first = 0.0;
    char *scripts[2];
    for (size_t round = 0; round < 2; round++) {
        gyre_figure_book book = open_book(new_table(three, 3, "nmse", "model", alike_value));
        draw(&book, &gyre_figure_seeds);
        scripts[round] = strdup(book.pages->script);
        assert_non_null(scripts[round]);
        close_book(&book);
    }
    assert_string_equal(scripts[0], scripts[1]); /* no chance in it */
    const char *p = scripts[0];
    for (size_t i = 0; i < SEEDS; i++) {
        while ((p = strstr(p, "set label '' at screen ")) != NULL && sscanf(p, "set label '' at screen %lf,%lf point pt 7", &x, &y[i]) != 2)
            p++;
        assert_non_null(p++);
        first = i == 0 ? x : first;
        CHECK_CLOSE(x, first, 0, 1e-9);
    }
    assert_true(fabs(y[0] - y[1]) > 1e-3 && fabs(y[0] - y[2]) > 1e-3 && fabs(y[1] - y[2]) > 1e-3);
    free(scripts[0]);
    free(scripts[1]);
}

/* ---- ranks ---- */

/* By document: a b c, a c b, b a c, a and b tie before c. */
static double rank_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    static const double values[3][DOCUMENTS] = { { 1, 1, 2, 1 }, { 2, 3, 1, 1 }, { 3, 2, 3, 4 } };
    (void)l, (void)h, (void)seed;
    return values[a][j];
}

static void ranks_numbers(void **state)
{
    (void)state;
    static const arm arms[] = { { "a", "k", false }, { "b", "k", false }, { "c", "k", false } };
    gyre_figure_book book = open_book(new_table(arms, 3, "nmse", "model", rank_value));
    draw(&book, &gyre_figure_ranks);
    const char *csv = book.pages->table;
    CHECK_CLOSE(field(csv, "\nmodel,none,nmse,,k,a,", "mean_rank"), (1 + 1 + 2 + 1.5) / 4, 1e-14, 0);
    CHECK_CLOSE(field(csv, "\nmodel,none,nmse,,k,b,", "mean_rank"), (2 + 3 + 1 + 1.5) / 4, 1e-14, 0);
    CHECK_CLOSE(field(csv, "\nmodel,none,nmse,,k,c,", "mean_rank"), (3 + 2 + 3 + 3) / 4.0, 1e-14, 0);
    /* Demsar, table 5: q at 0.05 for 3 classifiers is 2.343 (its three digits) */
    CHECK_CLOSE(field(csv, "\nmodel,none,nmse,,k,a,", "critical_difference"), 2.343 * sqrt(3.0 * 4.0 / (6.0 * 4.0)), 3e-4, 0);
    assert_int_equal(count(book.pages->script, " lw 3 "), 1); /* 1.375 apart at most, CD 1.66: one bar over all */
    says(book.pages->script, "DESCRIPTIVE");
    says(book.pages->script, "n = 4 units (1 seed \xC3\x97 4 documents)");
    close_book(&book);
}

/* ---- power ---- */

/* identity 1, fixed 1 + d_j with mean 0.3 and standard deviation 1. */
static double spread_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    static const double d[DOCUMENTS] = { 1, -1, 1, -1 };
    (void)l, (void)h, (void)seed;
    return a == 0 ? 1.0 : 1.0 + 0.3 + d[j] * sqrt(0.75);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

/* Power by a sum over s = sqrt(chi2/df), df = n - 1, of differences with standard deviation 1: two-sided, or TOST of the margin (-1, 1), with the upper points of t given. */
static double power_sum(double effect, double n, double t, bool tost)
{
    enum { STEPS = 40000 };
    double df = n - 1.0, se = 1.0 / sqrt(n), sum = 0.0, h = 6.0 / STEPS;
    for (int i = 1; i < STEPS; i++) {
        double s = i * h, log_density = log(2.0) + 0.5 * df * log(0.5 * df) - lgamma(0.5 * df) + (df - 1.0) * log(s) - 0.5 * df * s * s;
        double inside = tost ? normal_cdf((1.0 - effect) / se - t * s) - normal_cdf((-1.0 - effect) / se + t * s) : normal_cdf(effect / se - t * s) + normal_cdf(-effect / se - t * s);
        sum += fmax(inside, 0.0) * exp(log_density) * h;
    }
    return sum;
}

static void power_numbers(void **state)
{
    (void)state;
    static const arm arms[] = { { "identity", "k", false }, { "fixed", "k", false } };
    static const char *const pairs[][2] = { { "fixed", "identity" } };
    gyre_figure_book book = open_book(new_table(arms, 2, "nmse", "model", spread_value));
    compare_arms(book.table, pairs, 1, false, 1.0);
    draw(&book, &gyre_figure_power);
    const char *csv = book.pages->table, *at_ten = ",documents,two_sided,1,10,1,", *tost_ten = ",documents,equivalent,1,10,0,", *row = ",difference,two_sided,1,4,0,";
    CHECK_CLOSE(field(csv, "\nmodel,none,fixed,identity,", "sd_document"), 1.0, 1e-12, 0);
    /* power.t.test(n = 10, delta = 1, sd = 1, type = "one.sample") of R: 0.80310; 12 is on the axis whatever is present, 10 is too: 8, 10, 12 */
    const char *ten = strstr(csv, at_ten), *equivalent = strstr(csv, tost_ten), *here = strstr(csv, row);
    assert_true(ten != NULL && equivalent != NULL && here != NULL);
    CHECK_CLOSE(strtod(ten + strlen(at_ten), NULL), 0.80310, 0, 5e-6);
    CHECK_CLOSE(strtod(equivalent + strlen(tost_ten), NULL), power_sum(0.0, 10.0, 1.8331129326562374, true), 0, 1e-6);
    CHECK_CLOSE(strtod(here + strlen(row), NULL), 0.05, 1e-9, 0); /* no difference: alpha */
    double mde = field(csv, "\nmodel,none,fixed,identity,", "mde");
    CHECK_CLOSE(power_sum(mde, 4.0, T_3, false), 0.8, 0, 1e-5);
    double needed = field(csv, "\nmodel,none,fixed,identity,", "documents_needed");
    assert_true(power_sum(0.0, 11.0, 1.8124611228107335, true) >= 0.8 && power_sum(0.0, 10.0, 1.8331129326562374, true) < 0.8);
    CHECK_CLOSE(needed, 11.0, 0, 0);
    assert_true(isnan(field(csv, "\nmodel,none,fixed,identity,", "seeds_needed")));
    assert_int_equal(count(csv, ",seeds,"), 1); /* the head of a column: nothing varies seeds */
    assert_int_equal(count(book.pages->script, " point pt 7 "), 2);  /* the present design, on two curves */
    close_book(&book);
}

/* ---- what is left out, and what is not there ---- */

static double many_value(size_t a, size_t l, size_t h, size_t j, size_t seed)
{
    return exp(0.01 * (double)a + 0.1 * sin((double)(7 * a + 3 * l + 5 * h + 2 * j + 11 * seed)));
}

static void left_out(void **state)
{
    (void)state;
    static arm arms[MOST_ARMS];
    static char names[MOST_ARMS][16];
    for (size_t i = 0; i < MOST_ARMS; i++) {
        (void)snprintf(names[i], sizeof names[i], "arm%zu", i);
        arms[i] = (arm){ names[i], "k", i == 1 };
    }
    gyre_figure_book book = open_book(new_table(arms, MOST_ARMS, "nmse", "model", many_value));
    draw(&book, &gyre_figure_layers);
    assert_null(book.pages->next); /* nothing is compared: one page */
    assert_int_equal(count(book.pages->table, "\n"), 1 + 3 * (MOST_ARMS - 1)); /* of all pairs the numbers are there, against the first arm */
    size_t hidden = count(book.pages->table, ",left out of the picture: beyond the last page,") / 3;
    assert_true(hidden > 0 && hidden < MOST_ARMS - 1);
    char text[128];
    (void)snprintf(text, sizeof text, "and %zu are left out for want of room", hidden);
    says(book.pages->script, text);
    assert_int_equal(count(book.pages->script, " / arm0'"), MOST_ARMS - 1 - hidden);
    draw(&book, &gyre_figure_seeds);
    assert_int_equal(count(book.pages->next->table, "\nmean,"), MOST_ARMS); /* a panel is whole however many arms it has */
    close_book(&book);
}

/* Draws a figure that has nothing, and holds its message against `text`. */
static void nothing_of(gyre_table *t, const gyre_figure_type *figure, const char *text)
{
    gyre_error error = { .status = GYRE_OK };
    gyre_figure_book book = open_book(t);
    char *said = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&said, &size);
    assert_non_null(stream);
    CHECK_OK(gyre_log_new(&book.log, stream, false, &error), &error);
    draw(&book, figure);
    gyre_log_free(book.log);
    assert_int_equal(fclose(stream), 0);
    assert_null(book.pages);
    says(said, text);
    free(said);
    close_book(&book);
}

static void nothing_to_draw(void **state)
{
    (void)state;
    static const arm lone[] = { { "identity", "k", false }, { "exact", "none", false } };
    static const char *const pairs[][2] = { { "drawn", "identity" } };
    nothing_of(new_table(lone, 2, "nmse", "model", many_value), &gyre_figure_layers, "figure layers: no capture has two arms");
    nothing_of(new_table(lone, 2, "nmse", "model", many_value), &gyre_figure_seeds, "figure seeds: no arm has two sign seeds");
    nothing_of(new_table(lone, 2, "nmse", "model", many_value), &gyre_figure_ranks, "figure ranks: no grid point has 3 arms");
    nothing_of(new_table(three, 3, "nmse", "model", flat_value), &gyre_figure_power, "figure power: no comparison has a margin");
    gyre_table *t = new_table(three, 3, "nmse", "model", gain_value);
    compare_arms(t, pairs, 1, true, 0.0);
    nothing_of(t, &gyre_figure_power, "figure power: no comparison has a margin");
}

/* ---- files ---- */

static const char hostile[] = "it's `touch HACKED` $(touch HACKED) @x {a}_b^c \"q\" %d\nplot 1";

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "rb");
    if (f == NULL || getdelim(&text, &size, '\0', f) < 0)
        fail_msg("cannot read %s", path);
    assert_int_equal(fclose(f), 0);
    return text;
}

/* Files of all four figures, names that would like to be commands; what is exploratory, dirty or has a failed canary says so on every page. */
static void hostile_files(void **state)
{
    (void)state;
    static const arm arms[] = { { "identity", "k", false }, { hostile, "k", true }, { "drawn", "k", true } };
    static const char *const pairs[][2] = { { hostile, "identity" }, { "drawn", hostile } };
    static gyre_canary canary = { .name = "zero_drift", .status = "FAIL", .detail = "" };
    static const char *const pages[] = { "layers_a__b", "seeds_a__b", "ranks_a__b", "power_a__b" }, *const extensions[] = { "png", "svg", "pdf", "csv" };
    gyre_error error = { .status = GYRE_OK };
    char folder[] = "/tmp/gyre-figures-arms-XXXXXX", path[256];
    gyre_table *t = new_table(arms, 3, "nmse", "a/\nb", many_value);
    compare_arms(t, pairs, 2, true, 1.05);
    t->comparisons[1].exploratory = true;
    t->canaries = &canary;
    t->n_canaries = 1;
    provenance.git_dirty = true;
    gyre_figure_book book = open_book(t);
    provenance.git_dirty = false;
    draw(&book, &gyre_figure_layers);
    draw(&book, &gyre_figure_seeds);
    draw(&book, &gyre_figure_ranks);
    draw(&book, &gyre_figure_power);
    assert_non_null(mkdtemp(folder));
    CHECK_OK(gyre_book_write(&book, folder, &error), &error);
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            (void)snprintf(path, sizeof path, "%s/%s.%s", folder, pages[i], extensions[k]);
            assert_int_equal(access(path, R_OK), 0);
            if (k == 1) {
                char *svg = read_text(path);
                says(svg, "it's `touch HACKED` $(touch HACKED)");
                says(svg, "0123456789ab");
                says(svg, "n = 4 documents, 3 sign seeds");
                says(svg, "DIRTY BUILD");
                says(svg, "CANARY FAILED: zero_drift");
                says(svg, "EXPLORATORY: 1 of 2 comparisons is not in the plan");
                free(svg);
            }
            assert_int_equal(unlink(path), 0);
        }
    }
    assert_int_equal(rmdir(folder), 0); /* and nothing else was there */
    assert_int_not_equal(access("HACKED", F_OK), 0);
    close_book(&book);
}

static int set_up(void **state)
{
    (void)state;
    gsl_set_error_handler_off();
    (void)snprintf(provenance.build_id, sizeof provenance.build_id, "0.1.0 (abc)");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_numbers), cmocka_unit_test(layers_without), cmocka_unit_test(seeds_numbers),   cmocka_unit_test(seeds_all_shown), cmocka_unit_test(ranks_numbers),
        cmocka_unit_test(power_numbers),  cmocka_unit_test(left_out),       cmocka_unit_test(nothing_to_draw), cmocka_unit_test(hostile_files),
    };
    return cmocka_run_group_tests_name("figures_arms", tests, set_up, NULL);
}
