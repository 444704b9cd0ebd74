/* Arms of a capture joined with the same arms inside the model; definitions in order.h, bootstrap in order_resample.c.
 *
 * Rows are made in three steps: arms of both tables that are the same arm (join), those of one (streams, grid point) whose units exist for the metric and for the model (candidates), means,
 * correlations and pairs in discord of these (fill_row). What falls out on the way is listed with its reason.
 */
#include "results/order.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metric.h"
#include "results/compare.h"

enum { FEWEST = 3, REASON_TEXT = 640 };

static const char GEOMETRIC_MODEL[] = "token_kl", NOTHING[] = "none";
static const char *const streams_known[] = { "k", "v", "kv" };
enum { STREAMS = sizeof streams_known / sizeof *streams_known };

__attribute__((format(printf, 4, 5))) static gyre_status keep_text(gyre_table *table, const char **out, gyre_error *err, const char *format, ...)
{
    char text[REASON_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return gyre_table_text(table, text, out, err);
}

/* ---- arms of both tables ---- */

/* First cell of each (arm, point) of a source, in plan order. *out is freed by the caller. */
static gyre_status list_arms(const gyre_table *t, size_t source, const gyre_cell ***out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *count = 0;
    GYRE_NEW(out, t->n_cells);
    for (size_t i = 0; i < t->n_cells; i++) {
        const gyre_cell *c = &t->cells[i];
        size_t k = 0;
        if (c->source != source)
            continue;
        while (k < *count && (strcmp((*out)[k]->arm, c->arm) != 0 || strcmp((*out)[k]->point, c->point) != 0))
            k++;
        if (k == *count)
            (*out)[(*count)++] = c;
    }
done:
    return st;
}

/* An arm that both tables have, and its units for the metric of the row at hand. */
typedef struct joined_arm {
    const gyre_cell *cell; /* the capture's first */
    gyre_arm_units x, y;
} joined_arm;

typedef struct joiner {
    gyre_orders *order;
    size_t capture, model; /* sources */
    size_t n_seeds;        /* of both sides */
    joined_arm *arms;      /* of the pair of sources */
    size_t n_arms, most_rows, most_absent;
    bool listing;          /* reasons are kept: not again for the parts of a row */
} joiner;

/* Room for one more in an array that the capture's table keeps. */
static gyre_status grow(gyre_table *table, void *items, size_t size, size_t n, size_t *most, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    void *old, *larger;
    if (n < *most)
        goto done;
    GYRE_TRY(gyre_table_keep(table, 2 * n + 16, size, &larger, err));
    memcpy(&old, items, sizeof old);
    if (n > 0)
        memcpy(larger, old, n * size);
    memcpy(items, &larger, sizeof larger);
    *most = 2 * n + 16;
done:
    return st;
}

static gyre_status leave_out(joiner *j, const gyre_cell *cell, const char *metric, const char *reason, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_orders *o = j->order;
    if (!j->listing)
        goto done;
    GYRE_TRY(grow(o->capture, &o->absent, sizeof *o->absent, o->n_absent, &j->most_absent, err));
    o->absent[o->n_absent++] = (gyre_order_absent){ j->capture, j->model, cell->arm, cell->point, cell->streams, metric, reason };
done:
    return st;
}

/* Why two cells of one name are not the same arm; NULL where they are. */
static gyre_status difference(gyre_table *keeper, const gyre_cell *a, const gyre_cell *b, const char **reason, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *reason = NULL;
    if (strcmp(a->streams, b->streams) != 0)
        GYRE_TRY(keep_text(keeper, reason, err, "another arm of the same name: it codes %s in the capture's results and %s in the model's", a->streams, b->streams));
    else if (strstr(b->codec_k, ";layers ") != NULL) /* the model's cells tell all layers, the capture's one each */
        GYRE_TRY(keep_text(keeper, reason, err, "it leaves layers to other arms (`layers`): such arms are not joined"));
    else if (strcmp(a->codec_k, b->codec_k) != 0)
        GYRE_TRY(keep_text(keeper, reason, err, "another codec of keys: %.200s in the capture's results, %.200s in the model's", a->codec_k, b->codec_k));
    else if (strcmp(a->codec_v, b->codec_v) != 0)
        GYRE_TRY(keep_text(keeper, reason, err, "another codec of values: %.200s in the capture's results, %.200s in the model's", a->codec_v, b->codec_v));
done:
    return st;
}

static const gyre_cell *find_arm(const gyre_cell *const *cells, size_t n, const gyre_cell *like)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(cells[i]->arm, like->arm) == 0 && strcmp(cells[i]->point, like->point) == 0)
            return cells[i];
    return NULL;
}

static gyre_status join(joiner *j, const gyre_cell *const *xs, size_t n_x, const gyre_cell *const *ys, size_t n_y, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *keeper = j->order->capture;
    const char *reason = NULL;
    GYRE_NEW(&j->arms, n_x);
    for (size_t i = 0; i < n_x; i++) {
        const gyre_cell *y = find_arm(ys, n_y, xs[i]);
        if (strcmp(xs[i]->streams, NOTHING) == 0)
            reason = "it codes nothing";
        else if (y == NULL)
            reason = "not among the model's results (no arm of this name at this grid point)";
        else
            GYRE_TRY(difference(keeper, xs[i], y, &reason, err));
        if (reason != NULL)
            GYRE_TRY(leave_out(j, xs[i], NULL, reason, err));
        else
            j->arms[j->n_arms++].cell = xs[i];
    }
    for (size_t i = 0; i < n_y; i++)
        if (find_arm(xs, n_x, ys[i]) == NULL && strcmp(ys[i]->streams, NOTHING) != 0)
            GYRE_TRY(leave_out(j, ys[i], NULL, "not among the capture's results (no arm of this name at this grid point)", err));
done:
    return st;
}

/* ---- units ---- */

/* The same units as one layer, the mean of all, of the first n_seeds seeds. */
static gyre_status flatten(gyre_table *keeper, gyre_arm_units *u, size_t n_seeds, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_arm_units all = *u;
    size_t n = all.n_documents;
    u->n_layers = 1;
    u->n_seeds = all.seeded ? n_seeds : 1;
    GYRE_TRY(gyre_table_keep(keeper, u->n_seeds * n, sizeof *u->values, &u->values, err));
    for (size_t s = 0; s < u->n_seeds; s++)
        for (size_t d = 0; d < n; d++) {
            double sum = 0.0;
            for (size_t l = 0; l < all.n_layers; l++)
                sum += all.values[(l * all.n_seeds + s) * n + d];
            u->values[s * n + d] = sum / (double)all.n_layers;
        }
done:
    return st;
}

/* The units of n arms on one side, as logarithms only where all have them: means of one row are of one kind. */
static gyre_status get_units(gyre_table *t, size_t source, size_t metric, bool *logarithm, joined_arm *const *arms, size_t n, bool model, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < n; i++) {
        gyre_arm_units *u = model ? &arms[i]->y : &arms[i]->x;
        GYRE_TRY(gyre_arm_units_get(t, source, arms[i]->cell->arm, arms[i]->cell->point, metric, *logarithm, u, err));
        if (*logarithm && u->values == NULL) {
            *logarithm = false;
            i = (size_t)-1; /* all again, without logarithms */
        }
    }
done:
    return st;
}

/* The arms of a row whose units exist on both sides; reasons for the others. */
static gyre_status candidates(joiner *j, const gyre_order_row *row, joined_arm **out, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_orders *o = j->order;
    const char *const metric = o->capture->metrics[row->metric];
    *count = 0;
    for (size_t i = 0; i < j->n_arms; i++) {
        joined_arm *a = &j->arms[i];
        if (strcmp(a->cell->streams, row->streams) != 0 || (row->point != NULL && strcmp(a->cell->point, row->point) != 0))
            continue;
        GYRE_TRY(gyre_arm_units_get(o->capture, j->capture, a->cell->arm, a->cell->point, row->metric, false, &a->x, err));
        GYRE_TRY(gyre_arm_units_get(o->model, j->model, a->cell->arm, a->cell->point, o->place, false, &a->y, err));
        if (a->x.values == NULL)
            GYRE_TRY(leave_out(j, a->cell, metric, a->x.reason, err));
        else if (a->y.values == NULL)
            GYRE_TRY(leave_out(j, a->cell, metric, a->y.reason, err));
        else
            out[(*count)++] = a;
    }
done:
    return st;
}

/* ---- a row ---- */

static gyre_interval shown(const gyre_interval *i, bool logarithm)
{
    return logarithm ? (gyre_interval){ exp(i->mean), exp(i->lo), exp(i->hi) } : *i;
}

static gyre_status own_interval(const gyre_arm_units *u, bool logarithm, gyre_interval *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double *zeros = NULL;
    GYRE_NEW(&zeros, u->n_documents);
    const gyre_arm_units nothing = { .status = "OK", .reason = "", .n_seeds = 1, .n_documents = u->n_documents, .n_layers = 1, .values = zeros };
    GYRE_TRY(gyre_paired_interval(u, &nothing, GYRE_ORDER_ALPHA, out, err));
    *out = shown(out, logarithm);
done:
    free(zeros);
    return st;
}

static bool excludes_zero(const gyre_interval *i)
{
    return i->lo > 0.0 || i->hi < 0.0; /* false for NaN */
}

static gyre_status examine(const joined_arm *one, const joined_arm *other, gyre_order_discord *out, bool *found, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_interval x, y;
    GYRE_TRY(gyre_paired_interval(&one->x, &other->x, GYRE_ORDER_ALPHA, &x, err));
    GYRE_TRY(gyre_paired_interval(&one->y, &other->y, GYRE_ORDER_ALPHA, &y, err));
    *found = excludes_zero(&x) && excludes_zero(&y) && (x.mean < 0.0) != (y.mean < 0.0);
    bool turn = x.mean > 0.0;
    if (turn) {
        x = (gyre_interval){ -x.mean, -x.hi, -x.lo };
        y = (gyre_interval){ -y.mean, -y.hi, -y.lo };
    }
    *out = (gyre_order_discord){ one->cell->point, (turn ? other : one)->cell->arm, (turn ? one : other)->cell->arm, x, y };
done:
    return st;
}

static bool same_point(const joined_arm *a, const joined_arm *b)
{
    return strcmp(a->cell->point, b->cell->point) == 0;
}

static gyre_status find_discords(gyre_table *keeper, joined_arm *const *arms, size_t n, gyre_order_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            row->n_pairs += same_point(arms[i], arms[k]);
    GYRE_TRY(gyre_table_keep(keeper, row->n_pairs, sizeof *row->discords, &row->discords, err));
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            gyre_order_discord d;
            bool found = false;
            if (!same_point(arms[i], arms[k]))
                continue;
            GYRE_TRY(examine(arms[i], arms[k], &d, &found, err));
            d.metric = shown(&d.metric, row->metric_log);
            d.model = shown(&d.model, row->model_log);
            if (found)
                row->discords[row->n_discords++] = d;
        }
done:
    return st;
}

static gyre_order_units units_of(const gyre_arm_units *u)
{
    return (gyre_order_units){ u->seeded, u->n_seeds, u->n_documents, u->values };
}

static gyre_status correlate(joined_arm *const *arms, size_t n, gyre_order_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_order_units *x = NULL, *y = NULL;
    GYRE_NEW(&x, n);
    GYRE_NEW(&y, n);
    for (size_t i = 0; i < n; i++) {
        x[i] = units_of(&arms[i]->x);
        y[i] = units_of(&arms[i]->y);
    }
    GYRE_TRY(gyre_order_correlate(x, y, n, row, err));
done:
    free(x);
    free(y);
    return st;
}

/* Means, best arms, correlations and discords of the n arms, units and all. */
static gyre_status fill_row(joiner *j, joined_arm *const *arms, size_t n, gyre_order_row *row, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_orders *o = j->order;
    row->metric_log = strcmp(o->capture->metric_units[row->metric], "share") != 0;
    row->model_log = strcmp(o->against, GEOMETRIC_MODEL) == 0;
    GYRE_TRY(get_units(o->capture, j->capture, row->metric, &row->metric_log, arms, n, false, err));
    GYRE_TRY(get_units(o->model, j->model, o->place, &row->model_log, arms, n, true, err));
    GYRE_TRY(gyre_table_keep(o->capture, n, sizeof *row->arms, &row->arms, err));
    row->n_arms = n;
    for (size_t i = 0; i < n; i++) {
        gyre_order_arm *a = &row->arms[i];
        GYRE_TRY(flatten(o->capture, &arms[i]->x, j->n_seeds, err));
        GYRE_TRY(flatten(o->capture, &arms[i]->y, j->n_seeds, err));
        *a = (gyre_order_arm){ .arm = arms[i]->cell->arm, .point = arms[i]->cell->point };
        GYRE_TRY(own_interval(&arms[i]->x, row->metric_log, &a->metric, err));
        GYRE_TRY(own_interval(&arms[i]->y, row->model_log, &a->model, err));
        if (a->metric.mean < row->arms[row->best_by_metric].metric.mean)
            row->best_by_metric = i;
        if (a->model.mean < row->arms[row->best_by_model].model.mean)
            row->best_by_model = i;
        if (arms[i]->x.seeded || arms[i]->y.seeded)
            row->n_seeds = j->n_seeds;
    }
    row->n_documents = arms[0]->x.n_documents;
    row->n_chunks = arms[0]->y.n_documents;
    GYRE_TRY(correlate(arms, n, row, err));
    GYRE_TRY(find_discords(o->capture, arms, n, row, err));
done:
    return st;
}

static gyre_status add_row(joiner *j, const char *streams, const char *point, size_t metric, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_orders *o = j->order;
    joined_arm **arms = NULL;
    size_t n = 0;
    gyre_order_row row = { .capture = j->capture, .model = j->model, .streams = streams, .point = point, .metric = metric };
    GYRE_NEW(&arms, j->n_arms);
    GYRE_TRY(candidates(j, &row, arms, &n, err));
    if (n < FEWEST)
        goto done;
    GYRE_TRY(fill_row(j, arms, n, &row, err));
    GYRE_TRY(grow(o->capture, &o->rows, sizeof *o->rows, o->n_rows, &j->most_rows, err));
    o->rows[o->n_rows++] = row;
done:
    free(arms);
    return st;
}

/* ---- all rows ---- */

/* A metric of tokens is the model's own, where one table holds both kinds of sources. */
static bool of_tokens(const char *name)
{
    const gyre_metric_type *m = gyre_metric_find(name);
    return m != NULL && (m->reads & GYRE_METRIC_TOKENS) != 0;
}

/* Is the metric one that no arm of these streams has? Then it is left out as a whole. */
static bool of_streams(const char *name, const char *streams)
{
    const gyre_metric_type *m = gyre_metric_find(name);
    return m == NULL || gyre_metric_applies(m, strchr(streams, 'k') != NULL, strchr(streams, 'v') != NULL);
}

static gyre_status add_metrics(joiner *j, const char *streams, const char *point, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_table *t = j->order->capture;
    for (size_t m = 0; m < t->n_metrics; m++)
        if (!of_tokens(t->metrics[m]) && of_streams(t->metrics[m], streams))
            GYRE_TRY(add_row(j, streams, point, m, err));
done:
    return st;
}

/* All points together, then each; where there is only one, the first is that one. */
static gyre_status add_streams(joiner *j, const char *streams, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **points = NULL;
    size_t n = 0;
    GYRE_NEW(&points, j->n_arms);
    for (size_t i = 0; i < j->n_arms; i++) {
        size_t k = 0;
        if (strcmp(j->arms[i].cell->streams, streams) != 0)
            continue;
        while (k < n && strcmp(points[k], j->arms[i].cell->point) != 0)
            k++;
        if (k == n)
            points[n++] = j->arms[i].cell->point;
    }
    j->listing = true;
    if (n > 0)
        GYRE_TRY(add_metrics(j, streams, n > 1 ? NULL : points[0], err));
    j->listing = false;
    for (size_t k = 0; k < n && n > 1; k++)
        GYRE_TRY(add_metrics(j, streams, points[k], err));
done:
    free(points);
    return st;
}

static gyre_status add_sources(joiner *j, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell **xs = NULL, **ys = NULL;
    size_t n_x = 0, n_y = 0;
    GYRE_TRY(list_arms(j->order->capture, j->capture, &xs, &n_x, err));
    GYRE_TRY(list_arms(j->order->model, j->model, &ys, &n_y, err));
    j->listing = true;
    j->n_arms = 0;
    GYRE_TRY(join(j, xs, n_x, ys, n_y, err));
    for (size_t s = 0; s < STREAMS; s++)
        GYRE_TRY(add_streams(j, streams_known[s], err));
done:
    free(xs);
    free(ys);
    free(j->arms);
    j->arms = NULL;
    return st;
}

/* ---- is it the right pair of files ---- */

static bool has_kind(const gyre_table *t, gyre_source_kind kind)
{
    for (size_t i = 0; i < t->n_sources; i++)
        if (t->sources[i].kind == kind)
            return true;
    return false;
}

static gyre_status check_kinds(const gyre_orders *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    bool first = has_kind(o->capture, GYRE_SOURCE_CAPTURE), second = has_kind(o->model, GYRE_SOURCE_MODEL);
    if (!first && !second)
        GYRE_FAIL(GYRE_E_INPUT, "the files are the wrong way round: %s has results of a model and %s those of captures; name the captures' first", o->capture_path, o->model_path);
    if (!first)
        GYRE_FAIL(GYRE_E_INPUT, "%s has no results of captures, only those of a model: name a results file with source: {capture: ...} first", o->capture_path);
    if (!second)
        GYRE_FAIL(GYRE_E_INPUT, "%s has no results of a model, only those of captures: name a results file with source: {model: ...} second", o->model_path);
done:
    return st;
}

static bool any_seeded(const gyre_table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        if (t->cells[i].seeded)
            return true;
    return false;
}

static gyre_status check_tables(gyre_orders *o, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check_kinds(o, err));
    o->place = gyre_metric_place(o->model, o->against);
    if (o->place == o->model->n_metrics)
        GYRE_FAIL(GYRE_E_INPUT, "%s has no metric %s: add it to `metrics` of that experiment, or name another one", o->model_path, o->against);
    if (o->capture->campaign_seed != o->model->campaign_seed && any_seeded(o->capture) && any_seeded(o->model))
        GYRE_FAIL(GYRE_E_INPUT, "campaign_seed is %llu in %s and %llu in %s: a seed index means other signs in each, so that seeded arms are not the same arms; run one of them again",
                  (unsigned long long)o->capture->campaign_seed, o->capture_path, (unsigned long long)o->model->campaign_seed, o->model_path);
done:
    return st;
}

static bool same_model(const gyre_source *a, const gyre_source *b)
{
    return a->kind == GYRE_SOURCE_CAPTURE && b->kind == GYRE_SOURCE_MODEL && a->model_sha256[0] != '\0' && strcmp(a->model_sha256, b->model_sha256) == 0;
}

static gyre_status no_model(const gyre_orders *o, gyre_error *err)
{
    size_t x = 0, y = 0;
    while (o->capture->sources[x].kind != GYRE_SOURCE_CAPTURE)
        x++;
    while (o->model->sources[y].kind != GYRE_SOURCE_MODEL)
        y++;
    const gyre_source *a = &o->capture->sources[x], *b = &o->model->sources[y];
    return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "no model in common: %s has %s (%.12s), %s has %s (%.12s); capture and run the same model file", o->capture_path, a->name,
                          a->model_sha256, o->model_path, b->name, b->model_sha256);
}

/* No row: the most arms that share streams, and why the first one that does not is not among them. */
static gyre_status too_few(const gyre_orders *o, gyre_error *err)
{
    const gyre_order_absent *a = NULL;
    for (size_t i = 0; i < o->n_absent && a == NULL; i++)
        if (strcmp(o->absent[i].streams, NOTHING) != 0)
            a = &o->absent[i];
    return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "%s and %s have fewer than %d arms in common that code the same streams and have values on both sides: an order wants more%s%s%s%s%s%s",
                          o->capture_path, o->model_path, (int)FEWEST, a != NULL ? ". Left out, for one: " : "", a != NULL ? a->arm : "", a != NULL && a->point[0] != '\0' ? " at " : "",
                          a != NULL ? a->point : "", a != NULL ? ": " : "", a != NULL ? a->reason : "");
}

gyre_status gyre_order_join(gyre_table *capture, const char *capture_path, gyre_table *model, const char *model_path, const char *against, gyre_orders *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    joiner j = { .order = out, .n_seeds = capture->n_seeds < model->n_seeds ? capture->n_seeds : model->n_seeds };
    size_t pairs = 0;
    *out = (gyre_orders){ .capture = capture, .model = model, .capture_path = capture_path, .model_path = model_path, .against = against };
    GYRE_TRY(check_tables(out, err));
    for (j.capture = 0; j.capture < capture->n_sources; j.capture++)
        for (j.model = 0; j.model < model->n_sources; j.model++)
            if (same_model(&capture->sources[j.capture], &model->sources[j.model])) {
                pairs++;
                GYRE_TRY(add_sources(&j, err));
            }
    st = pairs == 0 ? no_model(out, err) : out->n_rows == 0 ? too_few(out, err) : GYRE_OK;
done:
    return st;
}
