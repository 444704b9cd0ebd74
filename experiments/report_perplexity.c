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

static void print_texts(const gyre_source *s, FILE *out)
{
    const char *paths = s->texts, *digests = s->texts_sha256, *path, *digest;
    bool others = false;
    for (size_t i = 0; *paths != '\0'; i++) {
        size_t n = next_line(&paths, &path), m = next_line(&digests, &digest);
        n = base_name(&path, n);
        (void)fprintf(out, "%s%.*s (sha256 %.*s)", i > 0 ? ", " : s->n_texts > 1 ? "  texts " : "  text ", (int)n, path, (int)(m < 12 ? m : 12), digest);
        others = others || m != sizeof canonical - 1 || memcmp(digest, canonical, m) != 0;
    }
    (void)fprintf(out, "; context %zu, %zu chunks from number %zu on, %zu scored tokens of each, %zu in all\n", s->context, s->n_documents, s->first_chunk, s->n_scored,
                  s->n_documents * s->n_scored);
    if (others)
        (void)fprintf(out, "  PPL is comparable only on the same text: this is not the raw test file of WikiText-2 (sha256 %.12s)\n", canonical);
}

static void print_source(const gyre_table *t, size_t source, FILE *out)
{
    const gyre_source *s = &t->sources[source];
    (void)fprintf(out, "\n%s%s: the model %s (%s, sha256 %.12s)\n", s->name, gyre_report_leak(t, source), s->path, s->architecture, s->model_sha256);
    print_texts(s, out);
    (void)fprintf(out, "  engine %s\n", s->engine);
    if (s->descriptive)
        (void)fprintf(out, "  %s: too few chunks for verdicts, says the configuration; intervals and p values are shown, no verdict is given\n", GYRE_DESCRIPTIVE);
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

static void print_line(const gyre_table *t, size_t row, int arm, int point, FILE *out)
{
    const gyre_perplexity *p = &t->perplexity[row];
    double x[NUMBERS], sd[NUMBERS];
    char ppl[GYRE_REPORT_NUMBER], change[GYRE_REPORT_NUMBER];
    size_t n = over_seeds(t, row, x, sd);
    (void)snprintf(ppl, sizeof ppl, "%.4f +- %.4f", x[PPL], x[PPL_ERROR]);
    (void)snprintf(change, sizeof change, "%.5f +- %.5f", x[CHANGE], x[CHANGE_SE]);
    (void)fprintf(out, "  %-*s %-*s %7.3f  %-20s %-21s %9.3g %9.3g %9.3g %9.3g  %8.3f %8.3f", arm, p->arm, point, p->point, x[BITS], ppl, change, x[KL], x[KL_MEDIAN], x[KL_99], x[KL_999],
                  x[SAME_TOP], x[P_RMS]);
    if (n > 1)
        (void)fprintf(out, "  %zu seeds, sd: PPL %.2g, nll %.2g, KL %.2g", n, sd[PPL], sd[CHANGE], sd[KL]);
    (void)fprintf(out, "%s\n", gyre_arm_leaks(t, p->source, p->arm, p->point) ? " LEAK: fitted to evaluation documents" : "");
}

/* ---- the section ---- */

static int longer(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static void print_table(const gyre_table *t, size_t source, FILE *out)
{
    int arm = 3, point = 5;
    size_t rows = 0;
    for (size_t i = 0; i < t->n_perplexity; i++)
        if (t->perplexity[i].source == source) {
            arm = longer(arm, t->perplexity[i].arm);
            point = longer(point, t->perplexity[i].point);
            rows++;
        }
    if (rows == 0) {
        (void)fprintf(out, "  no arm has all of its chunks: no perplexity\n");
        return;
    }
    (void)fprintf(out, "  %-*s %-*s %7s  %-20s %-21s %9s %9s %9s %9s  %8s %8s\n", arm, "arm", point, "point", "total", "PPL", "nll change (nat)", "KL mean", "median", "99 %", "99.9 %", "same top",
                  "RMS dp");
    for (size_t i = 0; i < t->n_perplexity; i++)
        if (t->perplexity[i].source == source && first_of_line(t, i))
            print_line(t, i, arm, point, out);
    (void)fprintf(out, "  (+-: standard errors over tokens, as llama-perplexity prints them; nll change and KL (nat) against the exact run, token by token; same top and RMS dp in %%)\n");
}

void gyre_report_perplexity(const gyre_table *t, FILE *out)
{
    for (size_t s = 0; s < t->n_sources; s++)
        if (t->sources[s].kind == GYRE_SOURCE_MODEL) {
            print_source(t, s, out);
            print_table(t, s, out);
        }
}
