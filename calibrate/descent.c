#define _POSIX_C_SOURCE 200809L
#include "calibrate/descent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate/linear.h"
#include "calibrate/select.h"
#include "core/blas.h"
#include "core/random.h"

enum { CHUNK = 4096 }; /* rows of a head that are measured at once */

/* Rows of calibration or validation. */
typedef struct set {
    const gyre_rows *rows;
    size_t documents, n; /* documents used (DOCUMENTS objectives), rows per head */
    float **z, **weight; /* [head]; weight NULL where all are 1 */
    void *prepared;
} set;

struct gyre_descent {
    gyre_codec *codec;
    const gyre_fit_spec *spec;
    const gyre_objective_type *objective;
    const gyre_calibration *data;
    const gyre_straight *straight; /* of the quantizer, or NULL */
    gyre_site site;
    gyre_stream stream;
    bool by_documents, quantizes;
    size_t place, first, last, dim, group, batch; /* batch: rows of a head in a step */
    gyre_base **bases;                           /* [head] */
    double **w, **k, **g_k, **g_decode;            /* [head] dim x dim */
    set sets[2];
    gyre_tail *tail;
    size_t count;                                  /* parameters of the tail, and the clip ratio where it is learned */
    bool clip;
    double *theta, *gradient, *memory, *best, *g_m;
    float *matrix, *decode, *product;              /* M, M^-1, a product of rows */
    float *zb, *y, *e, *g_y, *g_e, *weight, *work, *straight_work;
    size_t capacity;                               /* rows of the buffers above */
};

static void free_set(gyre_descent *d, set *s)
{
    for (size_t h = d->first; h < d->last; h++) {
        if (s->z != NULL)
            free(s->z[h]);
        if (s->weight != NULL)
            free(s->weight[h]);
    }
    free(s->z);
    free(s->weight);
    if (s->prepared != NULL)
        d->objective->release(s->prepared);
}

static void free_each(const gyre_descent *d, double **squares)
{
    for (size_t h = d->first; squares != NULL && h < d->last; h++)
        free(squares[h]);
    free(squares);
}

void gyre_descent_free(gyre_descent *d)
{
    if (d == NULL)
        return;
    free_set(d, &d->sets[0]);
    free_set(d, &d->sets[1]);
    for (size_t h = d->first; d->bases != NULL && h < d->last; h++)
        gyre_base_free(d->bases[h]);
    free(d->bases);
    free_each(d, d->w);
    free_each(d, d->k);
    free_each(d, d->g_k);
    free_each(d, d->g_decode);
    gyre_tail_free(d->tail);
    double *const squares[] = {d->theta, d->gradient, d->memory, d->best, d->g_m};
    float *const blocks[] = {d->matrix, d->decode, d->product, d->zb, d->y, d->e, d->g_y, d->g_e, d->weight, d->work, d->straight_work};
    for (size_t i = 0; i < sizeof squares / sizeof *squares; i++)
        free(squares[i]);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    free(d);
}

/* ---- rows ---- */

gyre_status gyre_select_count(const gyre_fit_spec *spec, const gyre_rows *rows, size_t *n, gyre_error *err)
{
    size_t total = rows->documents * rows->tokens;
    *n = spec->own.tokens > 0 ? (size_t)spec->own.tokens : total;
    if (total == 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "there are no calibration rows: name calibration documents");
    if (*n > total)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "fit.tokens asks for %zu calibration tokens, and the calibration documents have %zu: take a larger capture, or fewer", *n, total);
    return GYRE_OK;
}

/* Brings the rows of a head to the frame: whole documents, or the selected tokens. */
static gyre_status base_rows(gyre_descent *d, set *s, size_t head, size_t total, void *scratch, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const float *x = s->rows->x[d->stream][head];
    GYRE_NEW(&s->z[head], s->n * d->dim);
    if (s->n == total || d->by_documents) {
        gyre_base_rows(d->bases[head], x, s->rows->pos, s->n, s->z[head], scratch);
        goto done;
    }
    for (size_t i = 0; i < s->n; i++) {
        size_t at = gyre_select_place(i, s->n, total);
        gyre_base_rows(d->bases[head], x + at * d->dim, s->rows->pos + at, 1, s->z[head] + i * d->dim, scratch);
    }
done:
    return st;
}

/* Weights of the selected rows, out of those of all; of whole documents they stand where they are. */
static void select_weights(const set *s, size_t head, size_t total)
{
    for (size_t i = 0; s->weight[head] != NULL && i < s->n; i++)
        s->weight[head][i] = s->weight[head][gyre_select_place(i, s->n, total)];
}

/* Mean |x|^2 over the calibration rows of the fit. */
static double unit_energy(const gyre_descent *d)
{
    const gyre_rows *rows = d->sets[0].rows;
    size_t n = d->sets[0].n, total = rows->documents * rows->tokens;
    double sum = 0;
    for (size_t h = d->first; h < d->last; h++)
        for (size_t i = 0; i < n; i++) {
            const float *x = rows->x[d->stream][h] + (d->by_documents ? i : gyre_select_place(i, n, total)) * d->dim;
            for (size_t j = 0; j < d->dim; j++)
                sum += (double)x[j] * (double)x[j];
        }
    return sum > 0 ? sum / (double)(n * (d->last - d->first)) : 1.0;
}

static gyre_status fill_set(gyre_descent *d, size_t which, const gyre_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    set *s = &d->sets[which];
    void *scratch = NULL;
    size_t total = rows->documents * rows->tokens;
    s->rows = rows;
    GYRE_NEW(&s->z, d->data->n_heads);
    GYRE_NEW(&s->weight, d->data->n_heads);
    if (total == 0 && which == 1)
        goto done;
    s->n = total;
    if (which == 0)
        GYRE_TRY(gyre_select_count(d->spec, rows, &s->n, err));
    s->documents = d->by_documents ? (s->n + rows->tokens - 1) / rows->tokens : 0;
    s->n = d->by_documents ? s->documents * rows->tokens : s->n;
    if (posix_memalign(&scratch, 64, gyre_base_scratch(d->bases[d->first])) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to calibrate");
    for (size_t h = d->first; h < d->last; h++)
        GYRE_TRY(base_rows(d, s, h, total, scratch, err));
    if (d->objective->prepare == NULL)
        goto done;
    gyre_objective_setup setup = {.data = d->data, .rows = rows, .bases = (const gyre_base *const *)d->bases, .first = d->first, .last = d->last, .n = s->n, .stream = d->stream,
                                  .w = which == 0 ? d->w : NULL, .weight = s->weight};
    setup.unit = unit_energy(d);
    st = d->objective->prepare(&d->spec->objective_options, &setup, err);
    s->prepared = setup.prepared;
    if (st != GYRE_OK)
        goto done;
    for (size_t h = d->first; h < d->last && !d->by_documents; h++)
        select_weights(s, h, total);
done:
    free(scratch);
    return st;
}

/* ---- building ---- */

static gyre_status squares_new(const gyre_descent *d, double ***out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, d->data->n_heads);
    for (size_t h = d->first; h < d->last; h++)
        GYRE_NEW(&(*out)[h], d->dim * d->dim);
done:
    return st;
}

static gyre_status buffers(gyre_descent *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t square = d->dim * d->dim, largest = d->by_documents || d->batch == d->sets[0].n ? 0 : d->batch; /* documents pass one by one, all rows by chunks */
    for (size_t s = 0; s < 2; s++) {
        size_t rows = d->by_documents ? d->sets[s].rows->tokens : d->sets[s].n < CHUNK ? d->sets[s].n : CHUNK;
        largest = rows > largest ? rows : largest;
    }
    d->capacity = largest;
    GYRE_NEW(&d->theta, d->count + 1);
    GYRE_NEW(&d->gradient, d->count + 1);
    GYRE_NEW(&d->best, d->count + 1);
    GYRE_NEW(&d->memory, d->spec->optimiser->memories * d->count + 1);
    GYRE_NEW(&d->g_m, square);
    GYRE_NEW(&d->matrix, square);
    GYRE_NEW(&d->decode, square);
    GYRE_NEW(&d->product, square);
    GYRE_NEW(&d->zb, largest * d->dim);
    GYRE_NEW(&d->y, largest * d->dim);
    GYRE_NEW(&d->e, largest * d->dim);
    GYRE_NEW(&d->g_y, largest * d->dim);
    GYRE_NEW(&d->g_e, largest * d->dim);
    GYRE_NEW(&d->weight, largest);
    size_t work = 1;
    for (size_t s = 0; d->objective->work != NULL && s < 2; s++) {
        size_t own = d->objective->work(largest, d->dim, d->sets[s].prepared);
        work = own > work ? own : work;
    }
    GYRE_NEW(&d->work, work);
    GYRE_NEW(&d->straight_work, d->straight != NULL ? largest * d->straight->work(gyre_codec_quantizer(d->codec)->state) + 1 : 1);
done:
    return st;
}

/* Rows of a head in a step. */
static gyre_status batch_of(gyre_descent *d, gyre_error *err)
{
    size_t heads = d->last - d->first, n = d->sets[0].n * heads, wanted = d->count > 0 ? (size_t)d->spec->own.batch : 0; /* nothing learned, no steps */
    d->batch = wanted == 0 ? d->sets[0].n : wanted / heads;
    if (d->by_documents) {
        size_t tokens = d->sets[0].rows->tokens;
        d->batch = d->batch < tokens ? tokens : d->batch / tokens * tokens;
    }
    if (wanted > n)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "fit.batch asks for %zu rows, and the calibration set has %zu (%zu tokens of %zu heads): a smaller batch, or more tokens", wanted, n,
                              d->sets[0].n, heads);
    if (d->batch == 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "fit.batch of %zu rows is less than one for each of %zu heads", wanted, heads);
    size_t words = d->batch * heads / (d->by_documents ? d->sets[0].rows->tokens : 1); /* of the stream BATCH, in a step */
    if (d->count > 0 && d->batch < d->sets[0].n && (uint64_t)words > ((uint64_t)1 << 32) / (uint64_t)d->spec->own.steps)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "%lld steps of %zu draws each are more than the 2^32 numbers of a random stream: fewer steps, a smaller batch, or batch: all",
                              (long long)d->spec->own.steps, words);
    return GYRE_OK;
}

gyre_status gyre_descent_new(gyre_codec *codec, const gyre_codec_stream *stream, size_t place, size_t first, size_t last, const gyre_fit_spec *spec, const gyre_calibration *data,
                             gyre_descent **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_descent *d = NULL;
    gyre_quantizer *quantizer = gyre_codec_quantizer(codec);
    *out = NULL;
    GYRE_NEW(&d, 1);
    d->codec = codec;
    d->spec = spec;
    d->objective = spec->objective;
    d->data = data;
    d->straight = quantizer->type->straight;
    d->site = stream->sites[first];
    d->stream = d->site.stream;
    d->by_documents = spec->objective->flags & GYRE_OBJECTIVE_DOCUMENTS;
    d->quantizes = spec->objective->flags & GYRE_OBJECTIVE_QUANTIZES;
    d->place = place;
    d->first = first;
    d->last = last;
    d->dim = data->dim;
    d->group = d->straight != NULL ? d->straight->group(quantizer->state) : d->dim;
    gyre_blas_one_thread();
    GYRE_TRY(gyre_tail_new(codec, place, first, last, &d->tail, err));
    GYRE_NEW(&d->bases, data->n_heads);
    for (size_t h = first; h < last; h++)
        GYRE_TRY(gyre_base_new(codec, place, h, gyre_tail_first(d->tail), &d->bases[h], err));
    GYRE_TRY(squares_new(d, &d->w, err));
    GYRE_TRY(squares_new(d, &d->k, err));
    GYRE_TRY(squares_new(d, &d->g_k, err));
    GYRE_TRY(squares_new(d, &d->g_decode, err));
    for (size_t h = first; h < last; h++)
        gyre_base_weight(d->bases[h], d->w[h]);
    GYRE_TRY(fill_set(d, 0, &data->rows, err));
    GYRE_TRY(fill_set(d, 1, &data->validation, err));
    d->clip = d->straight != NULL && d->straight->clip(quantizer->state, first) != NULL;
    d->count = gyre_tail_count(d->tail) + (d->clip ? 1 : 0);
    GYRE_TRY(batch_of(d, err));
    GYRE_TRY(buffers(d, err));
    gyre_tail_weigh(d->tail, (const double *const *)d->w, d->k); /* decides whether K stays diagonal */
    *out = d;
    d = NULL;
done:
    gyre_descent_free(d);
    return st;
}

/* ---- value and gradient ---- */

/* Everything that follows from the parameters. */
static gyre_status rebuild(gyre_descent *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(gyre_tail_update(d->tail, err));
    gyre_tail_floats(d->tail, d->matrix, d->decode);
    gyre_tail_weigh(d->tail, (const double *const *)d->w, d->k);
done:
    return st;
}

/* Of what is read: the diagonal of g_k alone where K stays diagonal, g_decode of DOCUMENTS objectives. */
static void clear_gradient(gyre_descent *d)
{
    size_t bytes = d->dim * d->dim * sizeof(double);
    memset(d->g_m, 0, bytes);
    memset(d->gradient, 0, d->count * sizeof *d->gradient);
    for (size_t h = d->first; h < d->last; h++) {
        for (size_t i = 0; gyre_tail_diagonal(d->tail) && i < d->dim; i++)
            d->g_k[h][i * d->dim + i] = 0;
        if (!gyre_tail_diagonal(d->tail))
            memset(d->g_k[h], 0, bytes);
        if (d->by_documents)
            memset(d->g_decode[h], 0, bytes);
    }
}

/* e of rows that the quantizer codes without a straight-through rule: by packing. */
static gyre_status packed_error(const gyre_descent *d, size_t head, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_quantizer *q = gyre_codec_quantizer(d->codec);
    uint8_t *bytes = NULL;
    GYRE_NEW(&bytes, n * q->type->row_bytes(q->state));
    GYRE_TRY(q->type->encode(q->state, head, d->y, n, d->dim, bytes, err));
    q->type->decode(q->state, head, bytes, n, d->e, d->dim);
    for (size_t i = 0; i < n * d->dim; i++)
        d->e[i] -= d->y[i];
done:
    free(bytes);
    return st;
}

/* Adds the value of n rows z of a head, and its gradients when wanted. */
static gyre_status pass(gyre_descent *d, const set *s, size_t head, size_t document, const float *z, const float *weight, size_t n, double scale, bool gradient, double *value, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const int rows = (int)n, dim = (int)d->dim;
    void *state = gyre_codec_quantizer(d->codec)->state;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, dim, dim, 1.0f, z, dim, d->matrix, dim, 0.0f, d->y, dim);
    if (d->quantizes)
        GYRE_TRY(d->straight != NULL ? d->straight->forward(state, head, d->y, n, d->e, d->straight_work, err) : packed_error(d, head, n, err));
    if (gradient) {
        memset(d->g_y, 0, n * d->dim * sizeof *d->g_y);
        memset(d->g_e, 0, d->quantizes ? n * d->dim * sizeof *d->g_e : 0);
    }
    gyre_objective_part part = {.n = n, .dim = d->dim, .group = d->group, .head = head, .document = document, .scale = scale, .y = d->y, .e = d->quantizes ? d->e : NULL, .weight = weight,
                                .k = d->k[head], .diagonal = gyre_tail_diagonal(d->tail), .decode = d->decode, .prepared = s->prepared, .work = d->work};
    if (gradient) {
        part.g_y = d->g_y;
        part.g_e = d->g_e;
        part.g_k = d->g_k[head];
        part.g_decode = d->g_decode[head];
    }
    *value += d->objective->measure(&d->spec->objective_options, &part);
    if (!gradient)
        goto done;
    if (d->quantizes && d->spec->own.rule == GYRE_RULE_SCALE)
        d->straight->backward(state, head, d->y, d->e, d->straight_work, n, d->g_e, d->g_y, d->clip ? &d->gradient[d->count - 1] : &(double){0});
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, dim, dim, rows, 1.0f, d->g_y, dim, z, dim, 0.0f, d->product, dim);
    for (size_t i = 0; i < d->dim * d->dim; i++)
        d->g_m[i] += (double)d->product[i];
done:
    return st;
}

/* dL/dM complete: what comes through K and through M^-1 of every head; then to the parameters. */
static void pull_back(gyre_descent *d)
{
    for (size_t h = d->first; h < d->last; h++)
        gyre_tail_add(d->tail, d->k[h], d->g_k[h], d->by_documents ? d->g_decode[h] : NULL, d->g_m);
    gyre_tail_backward(d->tail, d->g_m, d->gradient);
}

/* All rows of a set, or at most `most` of a head, evenly spread. */
static gyre_status measure_set(gyre_descent *d, const set *s, size_t most, bool gradient, double *value, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = s->n > most && !d->by_documents ? most : s->n, heads = d->last - d->first, step = d->by_documents ? s->rows->tokens : d->capacity;
    *value = 0;
    for (size_t h = d->first; h < d->last; h++)
        for (size_t at = 0, count; at < n; at += count) {
            const float *z = s->z[h] + at * d->dim, *weight = s->weight[h] == NULL ? NULL : s->weight[h] + at;
            count = n - at < step ? n - at : step;
            for (size_t i = 0; n < s->n && i < count; i++) { /* a selection is copied */
                size_t place = gyre_select_place(at + i, n, s->n);
                memcpy(d->zb + i * d->dim, s->z[h] + place * d->dim, d->dim * sizeof *d->zb);
                d->weight[i] = s->weight[h] != NULL ? s->weight[h][place] : 1.0f;
                z = d->zb;
                weight = d->weight;
            }
            GYRE_TRY(pass(d, s, h, d->by_documents ? at / step : 0, z, weight, count, 1.0 / (double)(n * heads), gradient, value, err));
        }
done:
    return st;
}

static gyre_status measure_both(gyre_descent *d, size_t most, double value[2], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t s = 0; s < 2; s++) {
        value[s] = (double)NAN;
        if (d->sets[s].n > 0)
            GYRE_TRY(measure_set(d, &d->sets[s], most, false, &value[s], err));
    }
done:
    return st;
}

gyre_status gyre_descent_measure(gyre_descent *d, double value[2], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(rebuild(d, err));
    GYRE_TRY(measure_both(d, SIZE_MAX, value, err));
done:
    return st;
}

size_t gyre_descent_count(const gyre_descent *d)
{
    return d->count;
}

void gyre_descent_get(const gyre_descent *d, double *theta)
{
    gyre_tail_get(d->tail, theta);
    if (d->clip)
        theta[d->count - 1] = *d->straight->clip(gyre_codec_quantizer(d->codec)->state, d->first);
}

static void set_theta(gyre_descent *d, const double *theta)
{
    gyre_tail_set(d->tail, theta);
    for (size_t h = d->first; d->clip && h < d->last; h++)
        *d->straight->clip(gyre_codec_quantizer(d->codec)->state, h) = theta[d->count - 1];
}

gyre_status gyre_descent_set(gyre_descent *d, const double *theta, gyre_error *err)
{
    set_theta(d, theta);
    return rebuild(d, err);
}

gyre_status gyre_descent_gradient(gyre_descent *d, double *value, double *gradient, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(rebuild(d, err));
    clear_gradient(d);
    GYRE_TRY(measure_set(d, &d->sets[0], SIZE_MAX, true, value, err));
    pull_back(d);
    memcpy(gradient, d->gradient, d->count * sizeof *gradient);
done:
    return st;
}

/* ---- steps ---- */

/* Value and gradient of the batch of step t, from 1. */
static gyre_status batch(gyre_descent *d, size_t t, double *value, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const set *s = &d->sets[0];
    size_t heads = d->last - d->first, block = d->by_documents ? s->rows->tokens : 1, blocks = d->batch / block, of = s->n / block;
    gyre_random stream = gyre_random_stream(&d->site, GYRE_PURPOSE_BATCH, 0, heads == 1 && d->data->n_heads > 1);
    uint32_t word = (uint32_t)((t - 1) * heads * blocks); /* within the stream: batch_of */
    *value = 0;
    clear_gradient(d);
    if (d->batch == s->n)
        return measure_set(d, s, SIZE_MAX, true, value, err);
    for (size_t h = d->first; h < d->last; h++) {
        size_t document = 0;
        for (size_t i = 0; i < blocks; i++, word++) {
            size_t at = (size_t)(gyre_random_uniform(&stream, word) * (double)of);
            if (d->by_documents) {
                document = at;
                GYRE_TRY(pass(d, s, h, document, s->z[h] + at * block * d->dim, s->weight[h] == NULL ? NULL : s->weight[h] + at * block, block, 1.0 / (double)(d->batch * heads), true, value,
                              err));
                continue;
            }
            memcpy(d->zb + i * d->dim, s->z[h] + at * d->dim, d->dim * sizeof *d->zb);
            if (s->weight[h] != NULL)
                d->weight[i] = s->weight[h][at];
        }
        if (!d->by_documents)
            GYRE_TRY(pass(d, s, h, 0, d->zb, s->weight[h] == NULL ? NULL : d->weight, d->batch, 1.0 / (double)(d->batch * heads), true, value, err));
    }
done:
    return st;
}

static bool all_finite(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] - x[i];
    return sum == 0;
}

static const double clip_least = 0.05;

static gyre_status one_step(gyre_descent *d, size_t t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const double pi = 3.14159265358979323846264338327950;
    size_t steps = (size_t)d->spec->own.steps;
    double value, factor = d->spec->own.schedule == GYRE_SCHEDULE_COSINE ? 0.5 + 0.5 * cos(pi * (double)(t - 1) / (double)steps) : 1.0;
    GYRE_TRY(batch(d, t, &value, err));
    pull_back(d);
    if (!isfinite(value) || !all_finite(d->gradient, d->count))
        GYRE_FAIL(GYRE_E_RANGE, "the objective is %g and its gradient is not finite", value);
    gyre_tail_get(d->tail, d->theta);
    double *clip = d->clip ? &d->theta[d->count - 1] : NULL;
    if (clip != NULL)
        *clip = *d->straight->clip(gyre_codec_quantizer(d->codec)->state, d->first);
    d->spec->optimiser->step(&d->spec->optimiser_options, t, factor, d->gradient, d->memory, d->theta, d->count);
    if (clip != NULL)
        *clip = *clip < clip_least ? clip_least : *clip > 1.0 ? 1.0 : *clip;
    if (!all_finite(d->theta, d->count))
        GYRE_FAIL(GYRE_E_RANGE, "a parameter is not finite");
    gyre_tail_move(d->tail, d->theta, d->gradient, factor);
    for (size_t h = d->first; clip != NULL && h < d->last; h++)
        *d->straight->clip(gyre_codec_quantizer(d->codec)->state, h) = *clip;
    GYRE_TRY(rebuild(d, err));
done:
    return st;
}

static gyre_status check_values(const gyre_descent *d, const double value[2], gyre_error *err)
{
    if (isfinite(value[0]) && (d->sets[1].n == 0 || isfinite(value[1])))
        return GYRE_OK;
    return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "the objective is %g on calibration rows and %g on validation rows", value[0], value[1]);
}

/* A point of the curve; keeps the state when it is the best, or the last is wanted. `since`: points without a better validation value, whatever is kept. */
static gyre_status point(gyre_descent *d, size_t t, gyre_fit *fit, double *least, size_t *since, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double value[2];
    GYRE_TRY(measure_both(d, GYRE_FIT_TRACKED, value, err));
    fit->point_step[fit->n_points] = (uint32_t)t;
    fit->point[0][fit->n_points] = value[0];
    fit->point[1][fit->n_points++] = value[1];
    GYRE_TRY(check_values(d, value, err));
    bool judges = d->sets[1].n > 0, better = judges && value[1] < *least;
    *least = better ? value[1] : *least;
    *since = judges && !better ? *since + 1 : 0;
    if (better || !judges || d->spec->own.keep == GYRE_KEEP_LAST) {
        fit->step = (uint32_t)t;
        gyre_descent_get(d, d->best);
    }
done:
    return st;
}

/* The chosen state, rounded, for good. */
static gyre_status settle(gyre_descent *d, gyre_fit *fit, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    fit->n_parameters = d->count;
    fit->freedom = gyre_tail_freedom(d->tail) + (d->clip ? 1 : 0);
    GYRE_NEW(&fit->parameters, d->count + 1);
    for (size_t i = 0; i < d->count; i++)
        d->best[i] = (double)(fit->parameters[i] = (float)d->best[i]);
    GYRE_TRY(gyre_descent_set(d, d->best, err));
    GYRE_TRY(gyre_tail_share(d->tail, err));
    GYRE_TRY(measure_both(d, SIZE_MAX, fit->end, err));
    GYRE_TRY(check_values(d, fit->end, err));
done:
    return st;
}

gyre_status gyre_descent_run(gyre_descent *d, const volatile sig_atomic_t *stop, gyre_fit *fit, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t steps = (size_t)d->spec->own.steps, every = (size_t)d->spec->own.every, since = 0;
    double least = (double)INFINITY;
    *fit = (gyre_fit){.stream = d->stream, .pooled = gyre_tail_pooled(d->tail), .head = (uint32_t)d->first, .restart = d->site.restart, .draw = d->site.draw};
    GYRE_NEW(&fit->point_step, steps / every + 2);
    GYRE_NEW(&fit->point[0], steps / every + 2);
    GYRE_NEW(&fit->point[1], steps / every + 2);
    memset(d->memory, 0, d->spec->optimiser->memories * d->count * sizeof *d->memory);
    GYRE_TRY(gyre_descent_measure(d, fit->start, err));
    GYRE_TRY(point(d, 0, fit, &least, &since, err));
    for (size_t t = 1; t <= steps; t++) {
        if (stop != NULL && *stop != 0)
            GYRE_FAIL(GYRE_E_INTERRUPTED, "a fit was stopped at step %zu of %zu", t, steps);
        st = one_step(d, t, err);
        if (st == GYRE_OK && (t % every == 0 || t == steps))
            st = point(d, t, fit, &least, &since, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "the fit fails at step %zu of %zu (a smaller rate?)", t, steps);
            goto done;
        }
        if (d->spec->own.patience > 0 && since >= (size_t)d->spec->own.patience)
            break;
    }
    st = settle(d, fit, err);
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "the parameters of step %u, rounded to float32", fit->step);
done:
    return st;
}
