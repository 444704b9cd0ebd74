#define _POSIX_C_SOURCE 200809L
#include "calibrate/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate/descent.h"
#include "calibrate/linear.h"
#include "calibrate/moments.h"
#include "calibrate/select.h"
#include "core/random.h"

/* What a calibration works with: the codec that is being made and the tokens that are used. */
typedef struct work {
    const gyre_codec_stream *streams;
    size_t n_streams, dim, n; /* n: tokens used */
    const gyre_fit_spec *fit;
    const gyre_calibration *data;
    const volatile sig_atomic_t *stop;
    gyre_codec *codec;
    gyre_site *sites[2];
    float *rows;              /* [stream][head][n][dim] */
    int32_t *pos;             /* [n] */
    void *scratch;
} work;

static float *rows_of(const work *w, size_t stream, size_t head)
{
    return w->rows + (stream * w->data->n_heads + head) * w->n * w->dim;
}

/* The selected tokens, in the codec's order. */
static void take_rows(const work *w, size_t s)
{
    const gyre_rows *from = &w->data->rows;
    gyre_stream stream = w->streams[s].sites[0].stream;
    size_t total = from->documents * from->tokens;
    for (size_t h = 0; h < w->data->n_heads; h++) {
        for (size_t i = 0; i < w->n; i++)
            memcpy(rows_of(w, s, h) + i * w->dim, from->x[stream][h] + gyre_select_place(i, w->n, total) * w->dim, w->dim * sizeof(float));
        gyre_codec_order(w->codec, s, h, rows_of(w, s, h), w->n, w->scratch);
    }
}

static gyre_status build(work *w, uint32_t draw, uint32_t restart, gyre_error *err)
{
    gyre_codec_stream streams[2];
    for (size_t s = 0; s < w->n_streams; s++) {
        streams[s] = (gyre_codec_stream){w->streams[s].spec, w->sites[s]};
        for (size_t h = 0; h < w->data->n_heads; h++) {
            w->sites[s][h].draw = draw;
            w->sites[s][h].restart = restart;
        }
    }
    gyre_codec_free(w->codec);
    w->codec = NULL;
    return gyre_codec_new(streams, w->n_streams, w->data->n_heads, &w->codec, err);
}

/* ---- closed forms ---- */

static bool is_fitted(const gyre_transform *t)
{
    return (t->traits.needs & GYRE_NEEDS_CALIBRATION) && t->type->fit != NULL;
}

/* Elements [0, last): what closed forms have to walk through. */
static size_t last_fitted(gyre_codec *codec, size_t stream)
{
    gyre_transform *chain = gyre_codec_chain(codec, stream, 0);
    size_t last = 0;
    for (size_t i = 0; i < gyre_chain_count(chain); i++)
        if (is_fitted(gyre_chain_element(chain, i)))
            last = i + 1;
    return last;
}

/* Second moments of the queries of head h (added), as element i meets them. */
static gyre_status add_moments(const work *w, size_t s, size_t h, size_t i, double *own, double *sum, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_base *base = NULL;
    GYRE_TRY(gyre_base_new(w->codec, s, h, i, &base, err));
    GYRE_TRY(gyre_query_moments(base, w->data, &w->data->rows, h, own, err));
    for (size_t j = 0; j < w->dim * w->dim; j++)
        sum[j] += own[j];
done:
    gyre_base_free(base);
    return st;
}

/* Fits element i of heads first..last-1 together. */
static gyre_status fit_heads(const work *w, size_t s, size_t i, size_t first, size_t last, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_transform *t = gyre_chain_element(gyre_codec_chain(w->codec, s, first), i);
    gyre_fit_rows rows = {.x = rows_of(w, s, first), .n = (last - first) * w->n, .stride = w->dim};
    double *moments = NULL;
    if ((t->traits.needs & GYRE_NEEDS_QUERIES) && w->sites[s][0].stream == GYRE_K) {
        GYRE_NEW(&moments, 2 * w->dim * w->dim);
        for (size_t h = first; h < last; h++)
            GYRE_TRY(add_moments(w, s, h, i, moments + w->dim * w->dim, moments, err));
        for (size_t j = 0; j < w->dim * w->dim; j++)
            moments[j] /= (double)(last - first);
        rows.queries = moments;
    }
    for (size_t h = first; h < last; h++) {
        gyre_transform *own = gyre_chain_element(gyre_codec_chain(w->codec, s, h), i);
        GYRE_TRY(own->type->fit(own->state, &rows, err));
    }
done:
    free(moments);
    return st;
}

/* Fits element i of every head, then applies it: a pooled fit must see every head's rows before the element changes them. */
static gyre_status fit_element(const work *w, size_t s, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_transform *t = gyre_chain_element(gyre_codec_chain(w->codec, s, 0), i);
    size_t heads = w->data->n_heads, together = t->traits.pooled ? heads : 1;
    for (size_t h = 0; is_fitted(t) && h < heads; h += together)
        GYRE_TRY(fit_heads(w, s, i, h, h + together, err));
    for (size_t h = 0; h < heads; h++)
        gyre_transform_forward(gyre_chain_element(gyre_codec_chain(w->codec, s, h), i), rows_of(w, s, h), w->n, w->dim, w->pos, w->scratch);
done:
    return st;
}

static gyre_status closed_forms(const work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t s = 0; s < w->n_streams; s++) {
        size_t last = last_fitted(w->codec, s);
        if (last > 0)
            take_rows(w, s);
        for (size_t i = 0; i < last; i++)
            GYRE_TRY(fit_element(w, s, i, err));
    }
done:
    return st;
}

static gyre_status fit_quantizer(const work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_quantizer *quantizer = gyre_codec_quantizer(w->codec);
    const gyre_rows *from = &w->data->rows;
    bool all = w->n == from->documents * from->tokens;
    if (quantizer->type->fit == NULL)
        return GYRE_OK;
    for (size_t s = 0; s < w->n_streams; s++) {
        take_rows(w, s);
        for (size_t h = 0; h < w->data->n_heads; h++)
            gyre_transform_forward(gyre_codec_chain(w->codec, s, h), rows_of(w, s, h), w->n, w->dim, w->pos, w->scratch);
    }
    GYRE_TRY(gyre_quantizer_fit(quantizer, w->rows, all ? from->documents : 1, all ? from->tokens : w->n, err)); /* a selection is one document */
done:
    return st;
}

/* ---- what is learned or drawn ---- */

/* Which of two ends is better: on validation rows, where there are any. */
static double judged(const double value[2])
{
    return isnan(value[1]) ? value[0] : value[1];
}

/* Sets parameters found before in heads first..last-1. */
static gyre_status set_parameters(const work *w, size_t first, size_t last, const gyre_fit *fit, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_tail *tail = NULL;
    double *theta = NULL;
    gyre_quantizer *q = gyre_codec_quantizer(w->codec);
    double *clip = q->type->straight != NULL ? q->type->straight->clip(q->state, first) : NULL;
    GYRE_TRY(gyre_tail_new(w->codec, 0, first, last, &tail, err));
    size_t count = gyre_tail_count(tail), all = count + (clip != NULL ? 1 : 0);
    if (fit->n_parameters != all)
        GYRE_FAIL(GYRE_E_INPUT, "the stored fit has %zu parameters, and this codec learns %zu", fit->n_parameters, all);
    GYRE_NEW(&theta, all + 1);
    for (size_t i = 0; i < all; i++)
        theta[i] = (double)fit->parameters[i];
    gyre_tail_set(tail, theta);
    GYRE_TRY(gyre_tail_update(tail, err));
    GYRE_TRY(gyre_tail_share(tail, err));
    for (size_t h = first; clip != NULL && h < last; h++)
        *q->type->straight->clip(q->state, h) = theta[count];
done:
    free(theta);
    gyre_tail_free(tail);
    return st;
}

/* Heads that learn together. */
static size_t heads_together(const work *w, gyre_error *err, gyre_status *st)
{
    gyre_tail *tail = NULL;
    *st = gyre_tail_new(w->codec, 0, 0, 1, &tail, err);
    size_t together = *st == GYRE_OK && !gyre_tail_pooled(tail) ? 1 : w->data->n_heads;
    gyre_tail_free(tail);
    return together;
}

static gyre_status learn_heads(const work *w, size_t first, size_t last, uint32_t restart, gyre_fit *best, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_descent *d = NULL;
    gyre_fits one = {0};
    gyre_codec_stream stream = {w->streams[0].spec, w->sites[0]};
    GYRE_NEW(&one.items, 1);
    one.count = 1;
    GYRE_TRY(gyre_descent_new(w->codec, &stream, 0, first, last, &w->fit[0], w->data, &d, err));
    GYRE_TRY(gyre_descent_run(d, w->stop, &one.items[0], err));
    if (restart == 0 || judged(one.items[0].end) < judged(best->end)) {
        gyre_fit old = *best;
        *best = one.items[0];
        one.items[0] = old;
    }
done:
    gyre_descent_free(d);
    gyre_fits_free(&one);
    return st;
}

static gyre_status learn(work *w, gyre_fits *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t heads = w->data->n_heads, together = heads_together(w, err, &st);
    uint32_t restarts = (uint32_t)w->fit[0].own.restarts;
    GYRE_TRY(st);
    GYRE_NEW(&fits->items, heads / together);
    fits->count = heads / together;
    for (uint32_t r = 0; r < restarts; r++) {
        if (r > 0) {
            GYRE_TRY(build(w, 0, r, err));
            GYRE_TRY(closed_forms(w, err));
        }
        for (size_t i = 0; i < fits->count; i++)
            GYRE_TRY(learn_heads(w, i * together, (i + 1) * together, r, &fits->items[i], err));
    }
    for (size_t i = 0; restarts > 1 && i < fits->count; i++)
        GYRE_TRY(set_parameters(w, i * together, (i + 1) * together, &fits->items[i], err));
done:
    return st;
}

/* Objective of the codec as it stands, over all heads. */
static gyre_status measure(const work *w, double value[2], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_descent *d = NULL;
    gyre_codec_stream stream = {w->streams[0].spec, w->sites[0]};
    GYRE_TRY(gyre_descent_new(w->codec, &stream, 0, 0, w->data->n_heads, &w->fit[0], w->data, &d, err));
    GYRE_TRY(gyre_descent_measure(d, value, err));
    if (!isfinite(value[0]))
        GYRE_FAIL(GYRE_E_RANGE, "the objective is %g on calibration rows", value[0]);
done:
    gyre_descent_free(d);
    return st;
}

/* The best of N draws, judged on the calibration rows; the curve holds every draw's value. */
static gyre_status draw(work *w, gyre_fits *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t draws = (uint32_t)w->fit[0].own.draws;
    GYRE_NEW(&fits->items, 1);
    fits->count = 1;
    gyre_fit *fit = &fits->items[0];
    *fit = (gyre_fit){.stream = w->sites[0][0].stream, .pooled = true};
    GYRE_NEW(&fit->parameters, 1);
    GYRE_NEW(&fit->point_step, draws);
    GYRE_NEW(&fit->point[0], draws);
    GYRE_NEW(&fit->point[1], draws);
    for (uint32_t r = 0; r < draws; r++) {
        double value[2];
        if (w->stop != NULL && *w->stop != 0)
            GYRE_FAIL(GYRE_E_INTERRUPTED, "a fit was stopped at draw %u of %u", r, draws);
        if (r > 0) {
            GYRE_TRY(build(w, r, 0, err));
            GYRE_TRY(closed_forms(w, err));
        }
        GYRE_TRY(measure(w, value, err));
        fit->point_step[r] = r;
        fit->point[0][r] = value[0];
        fit->point[1][r] = value[1];
        fit->n_points++;
        if (r == 0)
            memcpy(fit->start, value, sizeof value);
        if (r == 0 || value[0] < fit->end[0]) {
            memcpy(fit->end, value, sizeof value);
            fit->draw = r;
        }
    }
    GYRE_TRY(build(w, fit->draw, 0, err));
    GYRE_TRY(closed_forms(w, err));
done:
    return st;
}

static gyre_status reload(work *w, const gyre_fits *fitted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (fitted->count > 0 && fitted->items[0].draw > GYRE_RANDOM_MAX_DRAW)
        GYRE_FAIL(GYRE_E_INPUT, "the stored fit has draw %u, and there are draws 0 to %d", fitted->items[0].draw, (int)GYRE_RANDOM_MAX_DRAW);
    if (fitted->count > 0 && fitted->items[0].draw > 0) {
        GYRE_TRY(build(w, fitted->items[0].draw, 0, err));
        GYRE_TRY(closed_forms(w, err));
    }
    size_t together = heads_together(w, err, &st);
    GYRE_TRY(st);
    if (fitted->count != w->data->n_heads / together)
        GYRE_FAIL(GYRE_E_INPUT, "there are %zu stored fits, and this codec has %zu", fitted->count, w->data->n_heads / together);
    for (size_t i = 0; i < fitted->count; i++)
        GYRE_TRY(set_parameters(w, i * together, (i + 1) * together, &fitted->items[i], err));
done:
    return st;
}

/* ---- whole ---- */

static gyre_status find(work *w, const gyre_fits *fitted, gyre_fits *fits, gyre_error *err)
{
    unsigned uses = gyre_fit_uses(w->streams[0].spec, &w->fit[0]);
    if (fitted != NULL && (uses & (GYRE_FIT_LEARNS | GYRE_FIT_DRAWS)))
        return reload(w, fitted, err);
    if (uses & GYRE_FIT_LEARNS)
        return learn(w, fits, err);
    if (uses & GYRE_FIT_DRAWS)
        return draw(w, fits, err);
    return GYRE_OK;
}

static gyre_status room(work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_rows *from = &w->data->rows;
    GYRE_TRY(gyre_select_count(&w->fit[0], from, &w->n, err));
    GYRE_NEW(&w->rows, w->n_streams * w->data->n_heads * w->n * w->dim);
    GYRE_NEW(&w->pos, w->n);
    for (size_t i = 0; i < w->n; i++)
        w->pos[i] = from->pos[gyre_select_place(i, w->n, from->documents * from->tokens)];
    if (posix_memalign(&w->scratch, 64, gyre_codec_scratch(w->codec, 1)) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to calibrate");
done:
    return st;
}

gyre_status gyre_calibrate(const gyre_codec_stream *streams, size_t n_streams, const gyre_fit_spec *fit, const gyre_calibration *data, const gyre_fits *fitted,
                           const volatile sig_atomic_t *stop, gyre_codec **out, gyre_fits *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    work w = {.streams = streams, .n_streams = n_streams, .dim = data->dim, .fit = fit, .data = data, .stop = stop};
    gyre_fits own = {0};
    unsigned uses = 0;
    *out = NULL;
    for (size_t s = 0; s < n_streams; s++) {
        GYRE_NEW(&w.sites[s], data->n_heads);
        memcpy(w.sites[s], streams[s].sites, data->n_heads * sizeof *w.sites[s]);
        uses |= gyre_fit_uses(streams[s].spec, &fit[s]);
    }
    GYRE_TRY(build(&w, 0, 0, err));
    if (uses != GYRE_FIT_NOTHING) {
        GYRE_TRY(room(&w, err));
        GYRE_TRY(closed_forms(&w, err));
        GYRE_TRY(find(&w, fitted, &own, err));
        GYRE_TRY(fit_quantizer(&w, err));
    }
    *out = w.codec;
    w.codec = NULL;
    if (fits != NULL) {
        *fits = own;
        own = (gyre_fits){0};
    }
done:
    gyre_fits_free(&own);
    gyre_codec_free(w.codec);
    free(w.sites[0]);
    free(w.sites[1]);
    free(w.rows);
    free(w.pos);
    free(w.scratch);
    return st;
}
