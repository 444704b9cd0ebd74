/* The joined order of arms as text: correlations, pairs in discord, what was left out and why. */
#include <math.h>
#include <string.h>

#include "experiments/report_parts.h"

enum { LINES_SHOWN = 24 }; /* of a list that a reader still reads */

static const char *point_text(const char *point)
{
    return point == NULL ? "all" : point[0] == '\0' ? "-" : point;
}

static int longest(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

typedef struct widths {
    int point, metric, arm;
} widths;

static widths measure(const gyre_orders *o)
{
    widths w = {5, 6, 6};
    for (size_t i = 0; i < o->n_rows; i++) {
        const gyre_order_row *r = &o->rows[i];
        w.point = longest(w.point, point_text(r->point));
        w.metric = longest(w.metric, o->capture->metrics[r->metric]);
        for (size_t a = 0; a < r->n_arms; a++) {
            char name[256];
            (void)snprintf(name, sizeof name, "%s%s%s", r->arms[a].arm, r->point == NULL ? " " : "", r->point == NULL ? r->arms[a].point : "");
            w.arm = longest(w.arm, name);
        }
    }
    w.arm = longest(w.arm, "best by it");
    return w;
}

static void correlation(const gyre_correlation *c, char text[GYRE_SHEET_NUMBER])
{
    if (isnan(c->value))
        (void)snprintf(text, GYRE_SHEET_NUMBER, "-");
    else if (isnan(c->lo))
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.3f", c->value);
    else
        (void)snprintf(text, GYRE_SHEET_NUMBER, "%.3f [%.3f, %.3f]", c->value, c->lo, c->hi);
}

/* "srht bits=4" where several grid points stand together. */
static void arm_text(const gyre_order_row *r, size_t place, char *out, size_t size)
{
    bool all = r->point == NULL && r->arms[place].point[0] != '\0';
    (void)snprintf(out, size, "%s%s%s", r->arms[place].arm, all ? " " : "", all ? r->arms[place].point : "");
}

static void row_line(const gyre_orders *o, const gyre_order_row *r, const widths *w, FILE *out)
{
    char rho[GYRE_SHEET_NUMBER], tau[GYRE_SHEET_NUMBER], pairs[GYRE_SHEET_NUMBER], metric[256], model[256];
    correlation(&r->rho, rho);
    correlation(&r->tau, tau);
    arm_text(r, r->best_by_metric, metric, sizeof metric);
    arm_text(r, r->best_by_model, model, sizeof model);
    (void)snprintf(pairs, sizeof pairs, "%zu of %zu", r->n_discords, r->n_pairs);
    (void)fprintf(out, "  %-7s %-*s %-*s %4zu  %-23s  %-23s  %-12s  %-*s  %s\n", gyre_report_streams(r->streams), w->point, point_text(r->point), w->metric,
                  o->capture->metrics[r->metric], r->n_arms, rho, tau, pairs, w->arm, metric, model);
    if (r->reason[0] != '\0')
        (void)fprintf(out, "          %s: %s\n", r->status, r->reason);
}

static void source_head(const gyre_orders *o, const gyre_order_row *r, const widths *w, FILE *out)
{
    const gyre_source *a = &o->capture->sources[r->capture], *b = &o->model->sources[r->model];
    (void)fprintf(out, "\n%s%s, model %.12s: %zu documents of the capture, %zu %s of the model%s%s\n", a->name, gyre_report_leak(o->capture, r->capture), a->model_sha256, r->n_documents,
                  r->n_chunks, b->n_texts > 1 ? "texts" : "chunks", gyre_report_leak(o->model, r->model), b->descriptive ? " (DESCRIPTIVE: too few chunks, says the configuration)" : "");
    (void)fprintf(out, "  %-7s %-*s %-*s %4s  %-23s  %-23s  %-12s  %-*s  best by %s\n", "streams", w->point, "point", w->metric, "metric", "arms", "Spearman rho", "Kendall tau-b", "discordant",
                  w->arm, "best by it", o->against);
}

static bool new_source(const gyre_orders *o, size_t i)
{
    return i == 0 || o->rows[i].capture != o->rows[i - 1].capture || o->rows[i].model != o->rows[i - 1].model;
}

/* Those of a page's first rows: they hold the pairs of all grid points. */
static bool has_pairs(const gyre_orders *o, size_t i)
{
    const gyre_order_row *r = &o->rows[i];
    if (r->point == NULL)
        return true;
    for (size_t k = 0; k < o->n_rows; k++)
        if (o->rows[k].capture == r->capture && o->rows[k].model == r->model && strcmp(o->rows[k].streams, r->streams) == 0 && o->rows[k].metric == r->metric && o->rows[k].point == NULL)
            return false;
    return true;
}

static void discords(const gyre_orders *o, const widths *w, FILE *out)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_rows; i++)
        for (size_t k = 0; k < o->rows[i].n_discords && has_pairs(o, i); k++) {
            const gyre_order_row *r = &o->rows[i];
            const gyre_order_discord *d = &r->discords[k];
            char x[GYRE_SHEET_NUMBER], y[GYRE_SHEET_NUMBER];
            if (n == 0)
                (void)fprintf(out, "\nPairs of arms of one grid point that the two order oppositely (exploratory: both paired 95 %% intervals exclude no difference, not adjusted)\n");
            if (n++ >= LINES_SHOWN)
                continue;
            gyre_sheet_interval_text(d->metric.mean, d->metric.lo, d->metric.hi, x);
            gyre_sheet_interval_text(d->model.mean, d->model.lo, d->model.hi, y);
            (void)fprintf(out, "  %-20s %-*s %s beats %s by %s (%s%s) but loses by %s (%s%s)\n", o->capture->sources[r->capture].name, w->point, point_text(d->point), d->better_by_metric,
                          d->better_by_model, o->capture->metrics[r->metric], r->metric_log ? "x" : "", x, o->against, r->model_log ? "x" : "", y);
        }
    if (n > LINES_SHOWN)
        (void)fprintf(out, "  and %zu more: model_order_*.csv has all\n", n - LINES_SHOWN);
}

static void left_out(const gyre_orders *o, FILE *out)
{
    if (o->n_absent > 0)
        (void)fprintf(out, "\nLeft out\n");
    for (size_t i = 0; i < o->n_absent && i < 2 * LINES_SHOWN; i++) {
        const gyre_order_absent *a = &o->absent[i];
        (void)fprintf(out, "  %-20s %s%s%s%s%s: %s\n", o->capture->sources[a->capture].name, a->arm, a->point[0] != '\0' ? " " : "", a->point, a->metric != NULL ? ", " : "",
                      a->metric != NULL ? a->metric : "", a->reason);
    }
    if (o->n_absent > 2 * LINES_SHOWN)
        (void)fprintf(out, "  and %zu more\n", o->n_absent - 2 * LINES_SHOWN);
}

static void footnote(const gyre_orders *o, FILE *out)
{
    double error = 0.0;
    size_t undefined = 0, seeds = 0;
    for (size_t i = 0; i < o->n_rows; i++) {
        const gyre_order_row *r = &o->rows[i];
        const double errors[] = {r->rho.lo_error, r->rho.hi_error, r->tau.lo_error, r->tau.hi_error};
        for (size_t k = 0; k < 4; k++)
            error = isfinite(errors[k]) ? fmax(error, errors[k]) : error;
        undefined = r->n_undefined > undefined ? r->n_undefined : undefined;
        seeds = r->n_seeds > seeds ? r->n_seeds : seeds;
    }
    (void)fprintf(out, "\nIntervals: 95 %%, percentiles of %d resamples of seeds (%zu, jointly for both levels), documents and chunks; the arms are fixed: nothing is said about other arms.\n"
                       "Their ends are sure to +-%.2g or better. Arms closer than their noise are ordered by noise: see docs/statistics.md.\n",
                  (int)GYRE_ORDER_RESAMPLES, seeds, error);
    if (undefined > 0)
        (void)fprintf(out, "In up to %zu resamples of a row all arms tied: these are left out.\n", undefined);
}

void gyre_report_order(const gyre_orders *o, FILE *out)
{
    widths w = measure(o);
    (void)fprintf(out, "%s (captures) against %s of %s (model): do errors of the cache order arms as the model does?\n", o->capture_path, o->against, o->model_path);
    for (size_t i = 0; i < o->n_rows; i++) {
        if (new_source(o, i))
            source_head(o, &o->rows[i], &w, out);
        row_line(o, &o->rows[i], &w, out);
    }
    discords(o, &w, out);
    left_out(o, out);
    footnote(o, out);
}
