#include "experiments/report.h"

#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"
#include "results/compare.h"
#include "results/results_file.h"
#include "results/summary.h"

void gyre_report_interval(double mean, double lo, double hi, char text[GYRE_REPORT_NUMBER])
{
    if (isnan(mean))
        (void)snprintf(text, GYRE_REPORT_NUMBER, "-");
    else if (isnan(lo))
        (void)snprintf(text, GYRE_REPORT_NUMBER, "%.3g", mean);
    else
        (void)snprintf(text, GYRE_REPORT_NUMBER, "%.3g [%.3g, %.3g]", mean, lo, hi);
}

/* Ratios are shown as such, not as logarithms. */
static double shown(const gyre_comparison *c, double x)
{
    return c->ratio ? exp(x) : x;
}

enum { DISCORDS_SHOWN = 24 }; /* lines of a list that a reader still reads */

/* "layer 12: 1.1 [1.0, 1.2]"; a model source has no layers to name. */
static void worst_text(const gyre_table *t, const gyre_comparison *c, char text[2 * GYRE_REPORT_NUMBER])
{
    char worst[GYRE_REPORT_NUMBER];
    gyre_report_interval(shown(c, c->worst_estimate), shown(c, c->worst_low), shown(c, c->worst_high), worst);
    if (t->sources[c->source].kind == GYRE_SOURCE_MODEL)
        (void)snprintf(text, 2 * GYRE_REPORT_NUMBER, "layer -");
    else
        (void)snprintf(text, 2 * GYRE_REPORT_NUMBER, "layer %u: %s", c->worst_layer, worst);
}

static void p_text(double p, char text[GYRE_REPORT_NUMBER])
{
    if (isnan(p))
        (void)snprintf(text, GYRE_REPORT_NUMBER, "-");
    else if (p < 1e-300)
        (void)snprintf(text, GYRE_REPORT_NUMBER, "<1e-300");
    else
        (void)snprintf(text, GYRE_REPORT_NUMBER, p < 0.001 ? "%.1e" : "%.3f", p);
}

const char *gyre_report_streams(const char *streams)
{
    return strcmp(streams, "kv") == 0 ? "K and V" : strcmp(streams, "k") == 0 ? "K" : strcmp(streams, "v") == 0 ? "V" : "nothing";
}

const char *gyre_report_leak(const gyre_table *t, size_t source)
{
    return t->sources[source].leak || gyre_arm_leaks(t, source, NULL, NULL) ? " (LEAK: calibration overlaps evaluation, deliberately)" : "";
}

static void head(const gyre_table *t, const gyre_provenance *p, FILE *out)
{
    size_t ok = 0, skipped = 0, other = 0, floors = 0, leaks = 0;
    for (size_t i = 0; i < t->n_cells; i++) {
        ok += t->cells[i].status == GYRE_CELL_OK;
        skipped += t->cells[i].status == GYRE_CELL_SKIPPED;
        other += t->cells[i].status != GYRE_CELL_OK && t->cells[i].status != GYRE_CELL_SKIPPED;
        floors += gyre_cell_flagged(&t->cells[i], "storage_floor");
        leaks += gyre_cell_flagged(&t->cells[i], "leak");
    }
    (void)fprintf(out, "%s: %zu cells OK, %zu skipped, %zu missing or failed; build %s%s; configuration %.12s, analysis plan %.12s\n", t->experiment, ok, skipped, other,
                  p->build_id, p->git_dirty ? " (DIRTY: not the code of any commit)" : "", t->config_sha256, t->analysis_sha256);
    if (floors > 0)
        (void)fprintf(out, "%zu cells lie within 10x of their capture's storage error (flag storage_floor)\n", floors);
    if (leaks > 0)
        (void)fprintf(out, "LEAK: %zu cells are fitted to evaluation documents, deliberately (flag leak)\n", leaks);
}

/* ---- arms ---- */

/* Longest text of a column decides its width. */
static int arm_width(const gyre_table *t)
{
    size_t most = 3;
    for (size_t i = 0; i < t->n_cells; i++)
        most = strlen(t->cells[i].arm) > most ? strlen(t->cells[i].arm) : most;
    return (int)most;
}

static int point_width(const gyre_table *t)
{
    size_t most = 5;
    for (size_t i = 0; i < t->n_cells; i++)
        most = strlen(t->cells[i].point) > most ? strlen(t->cells[i].point) : most;
    return (int)most;
}

/* Is anything read by the query? */
static bool reads_apart(const gyre_summary *all, size_t count)
{
    bool apart = false;
    for (size_t i = 0; i < count; i++)
        apart = apart || fabs(all[i].read_bits - all[i].payload_bits) > 0.0;
    return apart;
}

static const char leak_of_arm[] = " LEAK: fitted to evaluation documents";

/* One line an arm point: bits, then every metric with its interval. */
static void arms_of(const gyre_table *t, size_t source, const char *streams, const gyre_summary *all, size_t count, FILE *out)
{
    bool any = false, apart = reads_apart(all, count), model = t->sources[source].kind == GYRE_SOURCE_MODEL;
    for (size_t i = 0; i < count; i++)
        any = any || (all[i].source == source && strcmp(all[i].streams, streams) == 0);
    if (!any)
        return;
    (void)fprintf(out, "\n%s%s, arms that code %s (%s over %ss and seeds%s, 95 %% interval; lower is better)\n", t->sources[source].name, gyre_report_leak(t, source),
                  gyre_report_streams(streams), model ? "mean" : "geometric mean", gyre_unit_word(&t->sources[source]), model ? "" : ", arithmetic for shares");
    (void)fprintf(out, "  %-*s %-*s %7s %7s", arm_width(t), "arm", point_width(t), "point", "payload", "total");
    if (apart)
        (void)fprintf(out, " %7s", "read");
    for (size_t m = 0; m < t->n_metrics; m++)
        (void)fprintf(out, "  %-29s", t->metrics[m]);
    (void)fprintf(out, "\n");
    for (size_t i = 0; i < count; i += t->n_metrics) {
        const gyre_summary *s = &all[i];
        if (s->source != source || strcmp(s->streams, streams) != 0)
            continue;
        (void)fprintf(out, "  %-*s %-*s", arm_width(t), s->arm, point_width(t), s->point);
        if (strcmp(s->status, "SKIPPED") == 0 || strcmp(s->status, "INCOMPLETE") == 0) {
            (void)fprintf(out, " %s: %s\n", s->status, s->reason);
            continue;
        }
        (void)fprintf(out, " %7.3f %7.3f", s->payload_bits, s->total_bits);
        if (apart)
            (void)fprintf(out, " %7.3f", s->read_bits);
        for (size_t m = 0; m < t->n_metrics; m++) {
            char text[GYRE_REPORT_NUMBER];
            gyre_report_interval(s[m].mean, s[m].lo, s[m].hi, text);
            (void)fprintf(out, "  %-29s", text);
        }
        (void)fprintf(out, "%s\n", gyre_arm_leaks(t, source, s->arm, s->point) ? leak_of_arm : "");
    }
}

/* ---- verdicts ---- */

static void verdict_line(const gyre_table *t, const gyre_comparison *c, FILE *out)
{
    char estimate[GYRE_REPORT_NUMBER], worst[2 * GYRE_REPORT_NUMBER], p[GYRE_REPORT_NUMBER], tost[GYRE_REPORT_NUMBER], margin[GYRE_REPORT_NUMBER] = "-", needed[GYRE_REPORT_NUMBER];
    (void)fprintf(out, "  %-*s vs %-*s %-*s %-12s", arm_width(t), c->arm, arm_width(t), c->against, point_width(t), c->point, c->metric);
    if (strcmp(c->status, "OK") != 0) {
        (void)fprintf(out, " %s: %s\n", c->status, c->reason);
        return;
    }
    gyre_report_interval(shown(c, c->estimate), shown(c, c->ci_low), shown(c, c->ci_high), estimate);
    bool descriptive = strcmp(c->verdict, GYRE_DESCRIPTIVE) == 0;
    worst_text(t, c, worst);
    p_text(descriptive ? c->p : c->p_adjusted, p);
    p_text(descriptive ? c->p_tost : c->p_tost_adjusted, tost);
    if (c->has_margin)
        (void)snprintf(margin, sizeof margin, "%s%.4g", c->ratio ? "x" : "", c->margin);
    (void)snprintf(needed, sizeof needed, "%s%.4g", c->ratio ? "x" : "", shown(c, c->margin_needed));
    (void)fprintf(out, " %-22s %-12s p %-8s %s p %-8s margin %-6s (would need %s); %s; bits %.3f vs %.3f; %zu %ss, %zu seeds%s%s", estimate, c->verdict, p,
                  strcmp(c->goal, "not_worse") == 0 ? "one-sided" : "TOST", tost, margin, needed, worst, c->total_bits_arm, c->total_bits_against, c->n_documents, gyre_unit_word(&t->sources[c->source]), c->n_seeds,
                  descriptive ? "; p not adjusted" : "",
                  gyre_arm_leaks(t, c->source, c->arm, NULL) || gyre_arm_leaks(t, c->source, c->against, NULL) ? leak_of_arm : "");
    gyre_report_judging(t, c, out);
    (void)fprintf(out, "\n");
}

/* One number of comparisons by verdict. */
static void verdict_counts(const gyre_table *t, FILE *out)
{
    static const char *const words[] = {"EQUIVALENT", "BETTER", "NOT_WORSE", "WORSE", "INCONCLUSIVE"};
    size_t other = 0, descriptive = 0;
    (void)fprintf(out, "  in all:");
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        size_t n = 0;
        for (size_t i = 0; i < t->n_comparisons; i++)
            n += strcmp(t->comparisons[i].status, "OK") == 0 && strcmp(t->comparisons[i].verdict, words[w]) == 0;
        (void)fprintf(out, " %zu %s,", n, words[w]);
    }
    for (size_t i = 0; i < t->n_comparisons; i++) {
        other += strcmp(t->comparisons[i].status, "OK") != 0;
        descriptive += strcmp(t->comparisons[i].verdict, GYRE_DESCRIPTIVE) == 0;
    }
    if (descriptive > 0)
        (void)fprintf(out, " %zu %s,", descriptive, GYRE_DESCRIPTIVE);
    (void)fprintf(out, " %zu not judged\n", other);
}

static void verdicts(const gyre_table *t, FILE *out)
{
    if (t->n_comparisons == 0)
        return;
    (void)fprintf(out, "\nVerdicts: arm over the other (a ratio below 1, or a difference below 0, is better) with 95 %% interval unless alpha says otherwise;\n"
                       "p and TOST p are adjusted in their family (Holm, unless the plan says otherwise); the layer named is the one with the largest difference, with its own interval\n");
    for (size_t s = 0; s < t->n_sources; s++) {
        (void)fprintf(out, "%s%s%s\n", t->sources[s].name, gyre_report_leak(t, s), t->sources[s].descriptive ? " (" GYRE_DESCRIPTIVE ": too few chunks for verdicts)" : "");
        for (size_t i = 0; i < t->n_comparisons; i++)
            if (t->comparisons[i].source == s)
                verdict_line(t, &t->comparisons[i], out);
    }
    verdict_counts(t, out);
}

/* ---- order ---- */

static gyre_status order(gyre_table *t, const char *a, const char *b, FILE *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_discord *pairs = NULL;
    size_t ma = gyre_metric_place(t, a), mb = gyre_metric_place(t, b), n = 0, examined = 0;
    if (ma == t->n_metrics || mb == t->n_metrics)
        return GYRE_OK;
    GYRE_TRY(gyre_discords(t, ma, mb, GYRE_REPORT_ALPHA, &pairs, &n, &examined, err));
    (void)fprintf(out, "\n%s against %s: of %zu pairs of arms at equal grid points, %zu are ordered oppositely (exploratory: both paired 95 %% intervals exclude no difference)\n",
                  a, b, examined, n);
    for (size_t i = 0; i < n && i < DISCORDS_SHOWN; i++) {
        const gyre_discord *d = &pairs[i];
        (void)fprintf(out, "  %-20s %-*s %-*s beats %-*s by %s (x%.3g [%.3g, %.3g]) but loses by %s (x%.3g [%.3g, %.3g])\n", t->sources[d->source].name, point_width(t), d->point,
                      arm_width(t), d->better_by_a, arm_width(t), d->better_by_b, a, d->ratio_a, d->ratio_a_lo, d->ratio_a_hi, b, d->ratio_b, d->ratio_b_lo, d->ratio_b_hi);
    }
    if (n > DISCORDS_SHOWN)
        (void)fprintf(out, "  and %zu more: `gyre figures` writes all of nmse and softmax_kl to order.csv\n", n - DISCORDS_SHOWN);
done:
    return st;
}

gyre_status gyre_report_file(const char *path, FILE *out, gyre_log *log, gyre_error *err)
{
    static const char *const streams[] = {"k", "v", "kv", "none"};
    gyre_status st = GYRE_OK;
    gyre_table *t = NULL;
    gyre_provenance provenance;
    const gyre_summary *all = NULL;
    size_t count = 0;
    GYRE_TRY(gyre_results_read(path, &t, &provenance, log, err));
    GYRE_TRY(gyre_summarise(t, GYRE_REPORT_ALPHA, &all, &count, err));
    head(t, &provenance, out);
    GYRE_TRY(gyre_report_registration(t, out, err));
    gyre_report_perplexity(t, out);
    for (size_t s = 0; s < t->n_sources; s++)
        for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
            arms_of(t, s, streams[i], all, count, out);
    GYRE_TRY(gyre_report_fits(t, out, err));
    verdicts(t, out);
    GYRE_TRY(order(t, "nmse", "softmax_kl", out, err));
    GYRE_TRY(order(t, "nmse_centred", "softmax_kl", out, err));
    GYRE_TRY(gyre_report_pareto(t, all, count, out, err));
    gyre_report_exact(t, out);
    GYRE_TRY(gyre_report_canaries(t, path, out, err));
done:
    gyre_table_free(t);
    return st;
}
