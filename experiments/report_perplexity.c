/* The report of model sources: what was run, and what llama-perplexity prints of every arm (results/perplexity.h), seeds averaged.
 *
 * One line for each arm and grid point: mean over seeds of each number; behind +- the standard error over tokens, mean over seeds; at the end the standard deviations over seeds.
 *
 * What it is not: a comparison of arms. Errors over tokens are no errors over texts, and arms share their tokens: the verdicts judge.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/compare.h"

/* Of wiki.test.raw of WikiText-2, the text of most published numbers. */
static const char canonical[] = "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08";

/* ---- what was run ---- */

/* The line that begins at *at, its length; *at moves behind it. */
static size_t next_line(const char **at, const char **line)
{
    size_t n = strcspn(*at, "\n");
    *line = *at;
    *at += n + ((*at)[n] == '\n');
    return n;
}

/* Last part of a path of n bytes. */
static size_t base_name(const char **path, size_t n)
{
    for (size_t i = n; i-- > 0;)
        if ((*path)[i] == '/') {
            *path += i + 1;
            return n - i - 1;
        }
    return n;
}

static void describe_texts(const gyre_source *s, gyre_book *book)
{
    char line[4096];
    size_t at = 0;
    const char *paths = s->texts, *digests = s->texts_sha256, *path, *digest;
    bool others = false;
    for (size_t i = 0; *paths != '\0'; i++) {
        size_t n = next_line(&paths, &path), m = next_line(&digests, &digest);
        n = base_name(&path, n);
        at += (size_t)snprintf(line + at, sizeof line - at, "%s%.*s (sha256 %.*s)", i > 0 ? ", " : s->n_texts > 1 ? "texts " : "text ", (int)(n < 200 ? n : 200), path, (int)(m < 12 ? m : 12), digest);
        at = at < sizeof line ? at : sizeof line - 1;
        others = others || m != sizeof canonical - 1 || memcmp(digest, canonical, m) != 0;
    }
    gyre_book_line(book, "  %s; context %zu, %zu chunks from number %zu on, %zu scored tokens of each, %zu in all", line, s->context, s->n_documents, s->first_chunk, s->n_scored,
                  s->n_documents * s->n_scored);
    if (others)
        gyre_book_line(book, "  PPL is comparable only on the same text: this is not the raw test file of WikiText-2 (sha256 %.12s)", canonical);
}

static void describe_source(const gyre_table *t, size_t source, gyre_book *book)
{
    const gyre_source *s = &t->sources[source];
    gyre_book_words(book, "%s%s: the model %s (%s, sha256 %.12s)", s->name, gyre_report_leak(t, source), s->path, s->architecture, s->model_sha256);
    describe_texts(s, book);
    gyre_book_line(book, "  engine %s", s->engine);
    if (s->descriptive)
        gyre_book_line(book, "  %s: too few chunks for verdicts, says the configuration; intervals and p values are shown, no verdict is given", GYRE_DESCRIPTIVE);
}

/* ---- one line ---- */

/* Numbers of a line, in order. */
enum { PPL, PPL_ERROR, CHANGE, CHANGE_SE, KL, KL_MEDIAN, KL_99, KL_999, SAME_TOP, P_RMS, BITS, NUMBERS };

static void numbers_of(const gyre_perplexity *p, double x[NUMBERS])
{
    const double all[NUMBERS] = { p->ppl, p->ppl_error, p->nll_change, p->nll_change_se, p->kl, p->kl_median, p->kl_99, p->kl_999, 100.0 * p->same_top, 100.0 * p->p_rms, p->total_bits };
    memcpy(x, all, sizeof all);
}

static bool same_line(const gyre_perplexity *a, const gyre_perplexity *b)
{
    return a->source == b->source && strcmp(a->arm, b->arm) == 0 && strcmp(a->point, b->point) == 0;
}

/* Mean and standard deviation (n - 1) over the seeds of the line that row `first` opens; returns their number. */
static size_t over_seeds(const gyre_table *t, size_t first, double mean[NUMBERS], double sd[NUMBERS])
{
    size_t n = 0;
    double x[NUMBERS];
    for (size_t k = 0; k < NUMBERS; k++)
        mean[k] = sd[k] = 0.0;
    for (size_t i = first; i < t->n_perplexity; i++)
        if (same_line(&t->perplexity[first], &t->perplexity[i])) {
            numbers_of(&t->perplexity[i], x);
            n++;
            for (size_t k = 0; k < NUMBERS; k++) { /* Welford: sd holds the sum of squares about the mean */
                double d = x[k] - mean[k];
                mean[k] += d / (double)n;
                sd[k] += d * (x[k] - mean[k]);
            }
        }
    for (size_t k = 0; k < NUMBERS; k++)
        sd[k] = n > 1 ? sqrt(sd[k] / (double)(n - 1)) : (double)NAN;
    return n;
}

static bool first_of_line(const gyre_table *t, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (same_line(&t->perplexity[i], &t->perplexity[row]))
            return false;
    return true;
}

static const gyre_sheet_column columns[] = {
    {.name = "source", .where = GYRE_SHEET_DATA},
    {.name = "arm"},
    {.name = "point"},
    {.name = "total", .unit = "bit", .kind = GYRE_SHEET_REAL, .decimals = 3},
    {.name = "PPL", .kind = GYRE_SHEET_ERROR, .decimals = 4},
    {.name = "nll change", .unit = "nat", .kind = GYRE_SHEET_ERROR, .decimals = 5},
    {.name = "KL mean", .unit = "nat", .kind = GYRE_SHEET_REAL},
    {.name = "KL median", .unit = "nat", .kind = GYRE_SHEET_REAL},
    {.name = "KL 99 %", .unit = "nat", .kind = GYRE_SHEET_REAL},
    {.name = "KL 99.9 %", .unit = "nat", .kind = GYRE_SHEET_REAL},
    {.name = "same top", .unit = "%", .kind = GYRE_SHEET_REAL, .decimals = 3},
    {.name = "RMS dp", .unit = "%", .kind = GYRE_SHEET_REAL, .decimals = 3},
    {.name = "over seeds", .where = GYRE_SHEET_PRINTED},
    {.name = "n tokens", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "n chunks", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "n seeds", .kind = GYRE_SHEET_COUNT, .where = GYRE_SHEET_DATA},
    {.name = "PPL sd", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "nll change sd", .unit = "nat", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "KL sd", .unit = "nat", .kind = GYRE_SHEET_REAL, .where = GYRE_SHEET_DATA},
    {.name = "mark"},
};

static void add_line(const gyre_table *t, size_t row, gyre_sheet *s)
{
    const gyre_perplexity *p = &t->perplexity[row];
    double x[NUMBERS], sd[NUMBERS];
    char seeds[128] = "";
    size_t n = over_seeds(t, row, x, sd);
    if (n > 1)
        (void)snprintf(seeds, sizeof seeds, "%zu seeds, sd: PPL %.2g, nll %.2g, KL %.2g", n, sd[PPL], sd[CHANGE], sd[KL]);
    gyre_sheet_word(s, t->sources[p->source].name);
    gyre_sheet_word(s, p->arm);
    gyre_sheet_word(s, p->point);
    gyre_sheet_number(s, x[BITS]);
    gyre_sheet_pair(s, x[PPL], x[PPL_ERROR]);
    gyre_sheet_pair(s, x[CHANGE], x[CHANGE_SE]);
    for (int k = KL; k <= P_RMS; k++)
        gyre_sheet_number(s, x[k]);
    gyre_sheet_word(s, seeds);
    const double rest[] = {(double)p->n_tokens, (double)p->n_chunks, (double)n, sd[PPL], sd[CHANGE], sd[KL]};
    for (size_t k = 0; k < sizeof rest / sizeof *rest; k++)
        gyre_sheet_number(s, rest[k]);
    gyre_sheet_word(s, gyre_report_leak_of_arm(t, p->source, p->arm, p->point));
}

/* ---- the section ---- */

static gyre_status table_of(const gyre_table *t, size_t source, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    size_t rows = 0;
    GYRE_TRY(gyre_sheet_open(book, "perplexity", columns, sizeof columns / sizeof *columns, &s, err));
    gyre_sheet_title(s, "%s%s, perplexity over %zu tokens of %zu chunks", t->sources[source].name, gyre_report_leak(t, source), t->sources[source].n_documents * t->sources[source].n_scored,
                     t->sources[source].n_documents);
    for (size_t i = 0; i < t->n_perplexity; i++)
        if (t->perplexity[i].source == source && first_of_line(t, i)) {
            add_line(t, i, s);
            rows++;
        }
    gyre_sheet_note(s, "+-: standard errors over tokens, as llama-perplexity prints them; nll change and KL against the exact run, token by token");
    GYRE_TRY(gyre_sheet_close(s, err));
    if (rows == 0)
        gyre_book_line(book, "  no arm has all of its chunks: no perplexity");
done:
    return st;
}

gyre_status gyre_report_perplexity(const gyre_table *t, gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t s = 0; s < t->n_sources; s++)
        if (t->sources[s].kind == GYRE_SOURCE_MODEL) {
            describe_source(t, s, book);
            GYRE_TRY(table_of(t, s, book, err));
        }
done:
    return st;
}
