#define _POSIX_C_SOURCE 200809L
#include "experiments/cell.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate/calibrate.h"

/* A result nearer than this to the capture's own storage error is flagged. */
static const double floor_factor = 10.0;

typedef struct buffer {
    void *bytes;
    size_t size;
} buffer;

struct gyre_cell_work {
    buffer decoded[2], packed[2], scratch; /* decoded by stream, packed by codec: one document, as the cache is after its last token */
    buffer stood[2];                       /* by stream: the coded rows as a query before that saw them */
    size_t packed_size[2];
    gyre_attention_work **attention; /* one, or one a head where every query has its own cache */
    size_t n_attention, n, tokens, dim; /* what attention was made for */
};

gyre_status gyre_cell_work_new(gyre_cell_work **out, gyre_error *err)
{
    return gyre_calloc((void **)out, 1, sizeof **out, err);
}

static void free_attention(gyre_cell_work *w)
{
    for (size_t i = 0; i < w->n_attention; i++)
        gyre_attention_work_free(w->attention[i]);
    free(w->attention);
    w->attention = NULL;
    w->n_attention = 0;
}

void gyre_cell_work_free(gyre_cell_work *w)
{
    if (w == NULL)
        return;
    free(w->decoded[0].bytes);
    free(w->decoded[1].bytes);
    free(w->packed[0].bytes);
    free(w->packed[1].bytes);
    free(w->scratch.bytes);
    free(w->stood[0].bytes);
    free(w->stood[1].bytes);
    free_attention(w);
    free(w);
}

/* At least `size` bytes, aligned to 64; old content is lost. */
static gyre_status reserve(buffer *b, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (size <= b->size)
        return GYRE_OK;
    free(b->bytes);
    b->bytes = NULL;
    b->size = 0;
    if (posix_memalign(&b->bytes, 64, size) != 0) {
        b->bytes = NULL;
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for %zu bytes of rows: use fewer --jobs", size);
    }
    b->size = size;
done:
    return st;
}

gyre_site gyre_cell_site(const gyre_layer *l, gyre_stream stream, size_t head, uint64_t campaign_seed, uint32_t seed)
{
    bool key = stream == GYRE_K;
    return (gyre_site){
        .dim = l->dim,
        .stream = stream,
        .layer = l->raw.layer,
        .head = (uint32_t)head,
        .n_heads = (uint32_t)l->n_heads,
        .campaign_seed = campaign_seed,
        .seed_index = seed,
        .n_positions = l->n_positions,
        .rope = key && l->raw.rope.kind != GYRE_ROPE_NONE ? &l->raw.rope : NULL,
        .bias = key && l->raw.k_bias != NULL ? l->raw.k_bias + head * l->dim : NULL,
    };
}

unsigned gyre_metrics_read(const gyre_metric_type *const *metrics, size_t n)
{
    unsigned reads = 0;
    for (size_t i = 0; i < n; i++)
        reads |= metrics[i]->reads;
    return reads;
}

size_t gyre_arm_groups(const gyre_arm *arm, gyre_codec_group groups[2])
{
    size_t n = 0;
    bool both = arm->codes[GYRE_K] && arm->codes[GYRE_V];
    if (both && (gyre_codec_joint(&arm->codec[GYRE_K]) || gyre_codec_joint(&arm->codec[GYRE_V]))) {
        groups[0] = (gyre_codec_group){2, {GYRE_K, GYRE_V}};
        return 1;
    }
    for (int s = 0; s < 2; s++)
        if (arm->codes[s])
            groups[n++] = (gyre_codec_group){1, {(gyre_stream)s, (gyre_stream)s}};
    return n;
}

/* The codecs of an arm at one layer and seed. */
typedef struct coders {
    size_t n;
    gyre_codec_group group[2];
    gyre_codec *codec[2];
} coders;

static void coders_free(coders *c)
{
    for (size_t g = 0; g < c->n; g++)
        gyre_codec_free(c->codec[g]);
}

/* Moves the fits of a codec behind those that are there. */
static gyre_status add_fits(gyre_fits *all, gyre_fits *own, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fits sum = {.count = all->count + own->count};
    if (own->count == 0)
        return GYRE_OK;
    GYRE_NEW(&sum.items, sum.count);
    for (size_t i = 0; i < sum.count; i++)
        sum.items[i] = i < all->count ? all->items[i] : own->items[i - all->count];
    free(all->items);
    free(own->items);
    *own = (gyre_fits){0};
    *all = sum;
done:
    return st;
}

/* `leak: true` calibrates, and chooses, by the very documents that are evaluated. */
static gyre_status fit(const gyre_layer *l, const gyre_cell_ask *ask, gyre_codec_group group, const gyre_codec_stream *streams, gyre_codec **codec, gyre_fits *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const float **heads = NULL;
    gyre_fit_spec specs[2];
    gyre_fits own = {0};
    bool leak = ask->arm->fit[group.stream[0]].own.leak;
    GYRE_NEW(&heads, 4 * l->n_heads);
    gyre_calibration data = {.n_heads = l->n_heads, .dim = l->dim, .group = l->group, .score_scale = (double)l->raw.score_scale, .window = l->raw.sliding_window};
    gyre_layer_fit_rows(l, leak ? GYRE_USE_EVALUATE : GYRE_USE_CALIBRATE, heads, &data.rows);
    gyre_layer_fit_rows(l, leak ? GYRE_USE_EVALUATE : GYRE_USE_VALIDATE, heads + 2 * l->n_heads, &data.validation);
    for (size_t s = 0; s < group.n; s++)
        specs[s] = ask->arm->fit[group.stream[s]];
    GYRE_TRY(gyre_calibrate(streams, group.n, specs, &data, ask->fitted[group.stream[0]], ask->stop, codec, &own, err));
    GYRE_TRY(add_fits(fits, &own, err));
done:
    if (st != GYRE_OK) {
        gyre_codec_free(*codec);
        *codec = NULL;
    }
    gyre_fits_free(&own);
    free(heads);
    return st;
}

static gyre_status coders_new(const gyre_layer *l, const gyre_cell_ask *ask, uint32_t seed, coders *c, gyre_fits *fits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_arm *arm = ask->arm;
    gyre_site *sites[2] = {NULL, NULL};
    for (int s = 0; s < 2; s++) {
        GYRE_NEW(&sites[s], l->n_heads);
        for (size_t h = 0; h < l->n_heads; h++)
            sites[s][h] = gyre_cell_site(l, (gyre_stream)s, h, ask->campaign_seed, seed);
    }
    for (c->n = 0; c->n < gyre_arm_groups(arm, c->group); c->n++) {
        gyre_codec_group group = c->group[c->n];
        gyre_codec_stream streams[2];
        for (size_t s = 0; s < group.n; s++)
            streams[s] = (gyre_codec_stream){&arm->codec[group.stream[s]], sites[group.stream[s]]};
        GYRE_TRY(fit(l, ask, group, streams, &c->codec[c->n], fits, err));
    }
done:
    free(sites[0]);
    free(sites[1]);
    return st;
}

/* ---- rows of one document ---- */

static float *rows_in(const gyre_layer *l, const buffer *b, size_t head)
{
    return (float *)b->bytes + head * l->tokens * l->dim;
}

/* Codes what the cache of a document codes when it holds `tokens` rows: the decoded rows arrive at their places in `into`, the bytes in w->packed[g]. */
static gyre_status code_rows(const gyre_layer *l, const coders *c, size_t g, size_t document, size_t tokens, buffer into[2], gyre_cell_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_codec_group group = c->group[g];
    const float **x = NULL;
    float **y = NULL;
    size_t first, last;
    gyre_codec_coded(c->codec[g], tokens, &first, &last);
    GYRE_NEW(&x, group.n * l->n_heads);
    GYRE_NEW(&y, group.n * l->n_heads);
    for (size_t s = 0; s < group.n; s++)
        GYRE_TRY(reserve(&into[group.stream[s]], l->n_heads * l->tokens * l->dim * sizeof(float), err));
    for (size_t i = 0; i < group.n * l->n_heads; i++) {
        gyre_stream stream = group.stream[i / l->n_heads];
        x[i] = gyre_layer_rows(l, stream, i % l->n_heads) + (document * l->tokens + first) * l->dim;
        y[i] = rows_in(l, &into[stream], i % l->n_heads) + first * l->dim;
    }
    GYRE_TRY(reserve(&w->packed[g], gyre_codec_most_bytes(c->codec[g], last - first) + 1, err));
    GYRE_TRY(reserve(&w->scratch, gyre_codec_scratch(c->codec[g], last - first), err));
    const int32_t *pos = l->part[GYRE_USE_EVALUATE].pos + document * l->tokens + first;
    w->packed_size[g] = 0;
    if (first == last)
        goto done;
    st = gyre_codec_encode(c->codec[g], x, last - first, pos, w->packed[g].bytes, &w->packed_size[g], w->scratch.bytes, err);
    if (st != GYRE_OK) {
        (void)gyre_error_context(err, "layer %u, document %zu", l->raw.layer, document);
        goto done;
    }
    GYRE_TRY(gyre_codec_decode(c->codec[g], w->packed[g].bytes, w->packed_size[g], last - first, pos, y, w->scratch.bytes, err));
done:
    free(x);
    free(y);
    return st;
}

/* Codes one document of a group: its rows as the cache has them after the last token arrive in w->decoded, its bytes stay in w->packed[g]. *bytes: what that cache takes, 2 for an exact value. */
static gyre_status code_document(const gyre_layer *l, const coders *c, size_t g, size_t document, gyre_cell_work *w, double *bytes, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_codec_group group = c->group[g];
    size_t first, last;
    gyre_codec_coded(c->codec[g], l->tokens, &first, &last);
    GYRE_TRY(code_rows(l, c, g, document, l->tokens, w->decoded, w, err));
    for (size_t i = 0; i < group.n * l->n_heads; i++) {
        gyre_stream stream = group.stream[i / l->n_heads];
        const float *x = gyre_layer_rows(l, stream, i % l->n_heads) + document * l->tokens * l->dim;
        float *y = rows_in(l, &w->decoded[stream], i % l->n_heads);
        memcpy(y, x, first * l->dim * sizeof *y);
        memcpy(y + last * l->dim, x + last * l->dim, (l->tokens - last) * l->dim * sizeof *y);
    }
    *bytes += (double)w->packed_size[g] + 2.0 * (double)(group.n * l->n_heads * (l->tokens - (last - first)) * l->dim);
done:
    return st;
}

/* ---- reads by the query ---- */

typedef struct reading {
    const gyre_unit *unit;
    const gyre_codec *codec[2]; /* by stream */
    gyre_read read[2];
    double bits[2], values[2];  /* by stream: fetched so far, and the visible values they stand for */
    void *scratch;
} reading;

/* Reads are of this head from now on. */
static void aim(reading *x, const gyre_unit *unit, size_t head)
{
    x->unit = unit;
    x->read[GYRE_K].head = x->read[GYRE_V].head = head;
    x->read[GYRE_K].tokens = x->read[GYRE_V].tokens = unit->tokens;
}

static gyre_read visible(const reading *x, gyre_stream stream, size_t r)
{
    gyre_read read = x->read[stream];
    read.first = x->unit->exact->first[r];
    read.last = x->unit->exact->last[r];
    return read;
}

static gyre_status reader_scores(void *context, size_t r, float *scores, gyre_error *err)
{
    reading *x = context;
    gyre_read read = visible(x, GYRE_K, r);
    x->values[GYRE_K] += (double)((read.last - read.first) * x->unit->dim);
    return gyre_codec_read_scores(x->codec[GYRE_K], &read, x->unit->q + r * x->unit->dim, scores, &x->bits[GYRE_K], x->scratch, err);
}

static gyre_status reader_output(void *context, size_t r, const float *weights, float *output, gyre_error *err)
{
    reading *x = context;
    gyre_read read = visible(x, GYRE_V, r);
    x->values[GYRE_V] += (double)((read.last - read.first) * x->unit->dim);
    return gyre_codec_read_output(x->codec[GYRE_V], &read, weights, output, &x->bits[GYRE_V], x->scratch, err);
}

/* Which streams of the arm are read by the query. */
static void find_readers(const coders *c, gyre_cell_work *w, reading *x, gyre_reader *reader)
{
    *reader = (gyre_reader){.context = x};
    for (size_t g = 0; g < c->n; g++) {
        gyre_stream stream = c->group[g].stream[0];
        if (c->group[g].n != 1 || !gyre_codec_reads(c->codec[g], stream))
            continue;
        x->codec[stream] = c->codec[g];
        x->read[stream] = (gyre_read){.bytes = w->packed[g].bytes, .size = w->packed_size[g]};
        if (stream == GYRE_K)
            reader->scores = reader_scores;
        else
            reader->output = reader_output;
    }
}

/* ---- attention ---- */

/* Has a codec a window or a sink? Then no two places of a document see the same cache. */
static bool keeps_rows(const gyre_arm *arm)
{
    bool keeps = false;
    for (int s = 0; s < 2; s++)
        keeps = keeps || (arm->codes[s] && gyre_codec_keeps_rows(&arm->codec[s]));
    return keeps;
}

static gyre_status attention_buffers(const gyre_layer *l, size_t wanted, gyre_cell_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = l->group * l->queries;
    if (w->n_attention >= wanted && w->n == n && w->tokens == l->tokens && w->dim == l->dim)
        return GYRE_OK;
    free_attention(w);
    w->n = n;
    w->tokens = l->tokens;
    w->dim = l->dim;
    GYRE_NEW(&w->attention, wanted);
    for (; w->n_attention < wanted; w->n_attention++)
        GYRE_TRY(gyre_attention_work_new(n, l->tokens, l->dim, &w->attention[w->n_attention], err));
done:
    return st;
}

/* What queries at row `newest` see of a group: the document's decoded rows, as far as they were coded by then, or, where a row does not decode by itself, the block of that place. */
static gyre_status see(const gyre_layer *l, const coders *c, size_t g, size_t document, size_t newest, gyre_cell_work *w, gyre_seen *seen, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_codec *codec = c->codec[g];
    bool anew = !gyre_codec_token_local(codec) && (gyre_codec_window(codec) > 0 || gyre_codec_sink(codec) > 0);
    if (anew)
        GYRE_TRY(code_rows(l, c, g, document, newest + 1, w->stood, w, err));
    for (size_t s = 0; s < c->group[g].n; s++) {
        gyre_stream stream = c->group[g].stream[s];
        gyre_codec_coded(codec, newest + 1, &seen->first[stream], &seen->last[stream]);
        seen->hat[stream] = gyre_codec_reads(codec, stream) ? NULL : rows_in(l, anew ? &w->stood[stream] : &w->decoded[stream], 0);
    }
done:
    return st;
}

/* Attention of all heads of a document where every query sees the cache as it stood; queries at one place share what is coded for it. */
static gyre_status attend_by_place(const gyre_layer *l, const coders *c, unsigned reads, size_t document, gyre_unit *units, gyre_cell_work *w, reading *read, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const size_t *last = units[0].exact->last;
    for (size_t i = 0; i < l->queries; i++) {
        gyre_seen seen = {0};
        bool seen_before = false;
        for (size_t j = 0; j < i; j++)
            seen_before = seen_before || last[j] == last[i];
        if (seen_before)
            continue;
        for (size_t g = 0; g < c->n; g++)
            GYRE_TRY(see(l, c, g, document, last[i] - 1, w, &seen, err));
        for (size_t h = 0; h < l->n_heads; h++) {
            aim(read, &units[h], h);
            GYRE_TRY(gyre_attention_seen(&units[h], reads, last[i] - 1, &seen, w->attention[h], err));
            for (int s = 0; s < 2; s++)
                seen.hat[s] = seen.hat[s] == NULL ? NULL : seen.hat[s] + l->tokens * l->dim; /* the next head */
        }
    }
done:
    return st;
}

/* Is the mean over units of the centred K error near what the capture's storage lost? Keys that are read by the query have no error of their own to hold against it. */
static bool near_floor(const gyre_layer *l, const gyre_arm *arm, bool by_query, double sum)
{
    double floor = l->raw.floor_nmse_centred, units = (double)(l->n_evaluation * l->n_heads);
    return arm->codes[GYRE_K] && !by_query && floor > 0.0 && sum / units < floor_factor * floor;
}

static bool leaks(const gyre_arm *arm)
{
    bool leak = false;
    for (int s = 0; s < 2; s++)
        leak = leak || (arm->fit[s].own.leak && gyre_arm_uses(arm, (gyre_stream)s) != GYRE_FIT_NOTHING);
    return leak;
}

/* Metrics of one document, whose decoded rows are in w; sums for the flag and the bits read. */
static gyre_status measure_document(const gyre_layer *l, const gyre_cell_ask *ask, const coders *c, unsigned reads, size_t document, gyre_cell *cell, gyre_cell_work *w, reading *read,
                                    double *centred, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_arm *arm = ask->arm, *whole = ask->whole != NULL ? ask->whole : arm;
    gyre_reader reader;
    gyre_unit *units = NULL;
    find_readers(c, w, read, &reader);
    read->scratch = w->scratch.bytes;
    bool by_query = reader.scores != NULL || reader.output != NULL, by_place = keeps_rows(arm);
    GYRE_NEW(&units, l->n_heads);
    for (size_t h = 0; h < l->n_heads; h++) {
        gyre_unit *u = &units[h];
        *u = gyre_layer_unit(l, document, h);
        u->k_hat = arm->codes[GYRE_K] ? rows_in(l, &w->decoded[GYRE_K], h) : NULL;
        u->v_hat = arm->codes[GYRE_V] ? rows_in(l, &w->decoded[GYRE_V], h) : NULL;
        u->reader = by_query ? &reader : NULL;
        gyre_unit_errors(u);
        *centred += u->error[GYRE_K] == 0.0 ? 0.0 : u->error[GYRE_K] / u->energy_centred[GYRE_K];
    }
    if (by_place && (reads & GYRE_METRIC_QUERIES))
        GYRE_TRY(attend_by_place(l, c, reads, document, units, w, read, err));
    for (size_t h = 0; h < l->n_heads; h++) {
        gyre_unit *u = &units[h];
        aim(read, u, h);
        if (!by_place && (reads & GYRE_METRIC_QUERIES))
            GYRE_TRY(gyre_attention_decoded(u, reads, w->attention[0], err));
        for (size_t m = 0; m < ask->n_metrics; m++) {
            const gyre_metric_type *metric = ask->metrics[m];
            bool here = gyre_metric_applies(metric, arm->codes[GYRE_K], arm->codes[GYRE_V]), elsewhere = gyre_metric_applies(metric, whole->codes[GYRE_K], whole->codes[GYRE_V]);
            bool defined = elsewhere && !(by_query && (metric->reads & GYRE_METRIC_ROWS));
            cell->values[(m * l->n_evaluation + document) * l->n_heads + h] = !defined ? (double)NAN : here ? metric->measure(u) : 0.0;
        }
    }
done:
    free(units);
    return st;
}

/* Bits per value, means over the coded streams. A stream that nothing read by the query counts as read whole. */
static void count_bits(const gyre_layer *l, const coders *c, const double bytes[2], const reading *read, gyre_cell *cell)
{
    double values = (double)(l->n_heads * l->n_evaluation * l->tokens * l->dim), streams = 0.0, packed = 0.0, side = 0.0, fetched = 0.0;
    for (size_t g = 0; g < c->n; g++) {
        gyre_stream stream = c->group[g].stream[0];
        double n = (double)c->group[g].n;
        streams += n;
        packed += bytes[g];
        side += gyre_codec_side_bits(c->codec[g]) * n;
        fetched += read->values[stream] > 0.0 ? read->bits[stream] / read->values[stream] : 8.0 * bytes[g] / values;
    }
    cell->payload_bits = streams > 0.0 ? 8.0 * packed / (streams * values) : 32.0;
    cell->side_bits = streams > 0.0 ? side / streams : 0.0;
    cell->total_bits = cell->payload_bits + cell->side_bits;
    cell->read_bits = read->values[GYRE_K] + read->values[GYRE_V] > 0.0 ? fetched / streams : cell->payload_bits;
}

/* Streams that the arm codes at other layers are kept exact here: 16 bits a value. */
static void count_exact(const gyre_arm *whole, const gyre_arm *arm, gyre_cell *cell)
{
    const double exact_bits = 16.0;
    double here = 0.0, exact = 0.0, all;
    for (int s = 0; s < 2; s++) {
        here += arm->codes[s] ? 1.0 : 0.0;
        exact += whole->codes[s] && !arm->codes[s] ? 1.0 : 0.0;
    }
    all = here + exact;
    if (exact == 0.0)
        return;
    cell->payload_bits = ((here > 0.0 ? cell->payload_bits * here : 0.0) + exact * exact_bits) / all;
    cell->read_bits = ((here > 0.0 ? cell->read_bits * here : 0.0) + exact * exact_bits) / all;
    cell->side_bits = cell->side_bits * here / all;
    cell->total_bits = cell->payload_bits + cell->side_bits;
}

gyre_status gyre_cell_compute(const gyre_layer *l, const gyre_cell_ask *ask, gyre_cell *cell, gyre_fits *fits, gyre_cell_work *w, gyre_error *err)
{
    static const char *const flags[] = {"", "storage_floor", "leak", "storage_floor,leak"};
    gyre_status st = GYRE_OK;
    const gyre_arm *arm = ask->arm;
    coders c = {0};
    reading read = {0};
    unsigned reads = 0;
    double bytes[2] = {0.0, 0.0}, centred = 0.0;
    *fits = (gyre_fits){0};
    for (size_t m = 0; m < ask->n_metrics; m++)
        reads |= gyre_metric_applies(ask->metrics[m], arm->codes[GYRE_K], arm->codes[GYRE_V]) ? ask->metrics[m]->reads : 0;
    if (reads & GYRE_METRIC_QUERIES)
        GYRE_TRY(attention_buffers(l, keeps_rows(arm) ? l->n_heads : 1, w, err));
    GYRE_TRY(coders_new(l, ask, cell->seed, &c, fits, err));
    for (size_t d = 0; d < l->n_evaluation; d++) {
        for (size_t g = 0; g < c.n; g++)
            GYRE_TRY(code_document(l, &c, g, d, w, &bytes[g], err));
        GYRE_TRY(measure_document(l, ask, &c, reads, d, cell, w, &read, &centred, err));
    }
    count_bits(l, &c, bytes, &read, cell);
    if (ask->whole != NULL && ask->whole != arm)
        count_exact(ask->whole, arm, cell);
    cell->n_documents = l->n_evaluation;
    cell->n_heads = l->n_heads;
    cell->flags = flags[(near_floor(l, arm, read.codec[GYRE_K] != NULL, centred) ? 1 : 0) + (leaks(arm) ? 2 : 0)];
done:
    if (st != GYRE_OK)
        gyre_fits_free(fits);
    coders_free(&c);
    return st;
}

gyre_status gyre_cell_fit(const gyre_layer *l, const gyre_cell_ask *ask, uint32_t seed, gyre_error *err)
{
    coders c = {0};
    gyre_fits fits = {0};
    gyre_status st = coders_new(l, ask, seed, &c, &fits, err);
    coders_free(&c);
    gyre_fits_free(&fits);
    return st;
}

gyre_status gyre_cell_codecs_new(const gyre_layer *l, const gyre_cell_ask *ask, uint32_t seed, gyre_cell_codecs *out, gyre_error *err)
{
    coders c = {0};
    gyre_fits fits = {0};
    gyre_status st = coders_new(l, ask, seed, &c, &fits, err);
    *out = (gyre_cell_codecs){0};
    if (st == GYRE_OK) {
        out->n = c.n;
        memcpy(out->group, c.group, sizeof out->group);
        memcpy(out->codec, c.codec, sizeof out->codec);
    } else {
        coders_free(&c);
    }
    gyre_fits_free(&fits);
    return st;
}

void gyre_cell_codecs_free(gyre_cell_codecs *codecs)
{
    for (size_t g = 0; g < codecs->n; g++)
        gyre_codec_free(codecs->codec[g]);
    *codecs = (gyre_cell_codecs){0};
}
