#define _POSIX_C_SOURCE 200809L
#include "experiments/coded_cache.h"

#include <stdlib.h>
#include <string.h>

enum { EXACT_BITS = 16 };

typedef struct buffer {
    void *bytes;
    size_t size;
} buffer;

/* Rows of one layer and stream in the chunk under way. */
typedef struct stream_rows {
    size_t heads, dim;
    float *rows;   /* [head][token][dim], as the model wrote them */
    size_t seen;   /* tokens written */
    size_t coded;  /* rows sink..coded-1 are coded in the cache */
    size_t packed; /* bytes of those */
} stream_rows;

struct gyre_coded_cache {
    gyre_engine *engine;
    const gyre_coded_layer *layers;
    size_t n_layers, context, batch;
    bool any[2], queries;
    stream_rows *lanes[2]; /* [n_layers] by stream */
    int32_t *pos;   /* 0, 1, 2, ... */
    buffer decoded, packed, scratch, out;
    const float **x;
    float **y;
    size_t heads_room;
};

/* At least `size` bytes, aligned to 64; old content is lost. */
static gyre_status reserve(buffer *b, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (size <= b->size)
        return GYRE_OK;
    free(b->bytes);
    b->size = 0;
    b->bytes = NULL;
    if (posix_memalign(&b->bytes, 64, size) != 0) {
        b->bytes = NULL;
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for %zu bytes of a coded cache", size);
    }
    b->size = size;
done:
    return st;
}

static gyre_status room_for_heads(gyre_coded_cache *c, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (n <= c->heads_room)
        return GYRE_OK;
    free(c->x);
    free(c->y);
    c->x = NULL;
    c->y = NULL;
    c->heads_room = 0;
    GYRE_NEW(&c->x, n);
    GYRE_NEW(&c->y, n);
    c->heads_room = n;
done:
    return st;
}

/* ---- layouts ---- */

/* [token][head][dim] into [head][first + token][dim], where every head has room for `tokens`. */
static void to_heads(const float *rows, size_t n, size_t heads, size_t dim, size_t first, size_t tokens, float *out)
{
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < heads; h++)
            memcpy(out + (h * tokens + first + t) * dim, rows + (t * heads + h) * dim, dim * sizeof *out);
}

static void to_tokens(const float *rows, size_t n, size_t heads, size_t dim, float *out)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t t = 0; t < n; t++)
            memcpy(out + (t * heads + h) * dim, rows + (h * n + t) * dim, dim * sizeof *out);
}

/* ---- coding ---- */

/* Rows first..last-1 of a group of streams through its codec, and into the cache. */
static gyre_status code_rows(gyre_coded_cache *c, uint32_t layer, size_t g, size_t first, size_t last, size_t *bytes, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_coded_layer *l = &c->layers[layer];
    gyre_codec_group group = l->codecs.group[g];
    const gyre_codec *codec = l->codecs.codec[g];
    size_t heads = c->lanes[group.stream[0]][layer].heads, dim = c->lanes[group.stream[0]][layer].dim, n = last - first, block = heads * n * dim;
    GYRE_TRY(room_for_heads(c, group.n * heads, err));
    GYRE_TRY(reserve(&c->decoded, group.n * block * sizeof(float), err));
    GYRE_TRY(reserve(&c->out, block * sizeof(float), err));
    GYRE_TRY(reserve(&c->packed, gyre_codec_most_bytes(codec, n) + 1, err));
    GYRE_TRY(reserve(&c->scratch, gyre_codec_scratch(codec, n), err));
    for (size_t i = 0; i < group.n * heads; i++) {
        c->x[i] = c->lanes[group.stream[i / heads]][layer].rows + (i % heads * c->context + first) * dim;
        c->y[i] = (float *)c->decoded.bytes + i * n * dim;
    }
    st = gyre_codec_encode(codec, c->x, n, c->pos + first, c->packed.bytes, bytes, c->scratch.bytes, err);
    if (st == GYRE_OK)
        st = gyre_codec_decode(codec, c->packed.bytes, *bytes, n, c->pos + first, c->y, c->scratch.bytes, err);
    if (st != GYRE_OK) {
        (void)gyre_error_context(err, "layer %u", layer);
        goto done;
    }
    for (size_t s = 0; s < group.n; s++) {
        to_tokens(c->y[s * heads], n, heads, dim, c->out.bytes);
        GYRE_TRY(gyre_engine_write(c->engine, group.stream[s], layer, first, n, c->out.bytes, err));
    }
done:
    return st;
}

/* The batch that starts at `from` and ends before `to` has been written: codes what has left the window. */
static gyre_status code_group(gyre_coded_cache *c, uint32_t layer, size_t g, size_t from, size_t to, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_cell_codecs *own_codecs = &c->layers[layer].codecs;
    gyre_codec_group group = own_codecs->group[g];
    const gyre_codec *codec = own_codecs->codec[g];
    bool row_by_row = gyre_codec_token_local(codec);
    size_t coded = c->lanes[group.stream[0]][layer].coded, start, end, bytes = 0;
    gyre_codec_coded(codec, gyre_codec_window(codec) == 0 ? to : from + 1, &start, &end); /* what the batch's first query may see */
    start = row_by_row && coded > start ? coded : start;
    if (end <= start)
        return GYRE_OK;
    GYRE_TRY(code_rows(c, layer, g, start, end, &bytes, err));
    for (size_t s = 0; s < group.n; s++) {
        stream_rows *own = &c->lanes[group.stream[s]][layer];
        own->packed = s > 0 ? 0 : row_by_row ? own->packed + bytes : bytes;
        own->coded = end;
    }
done:
    return st;
}

/* ---- the hook ---- */

static gyre_status keep(gyre_coded_cache *c, const gyre_engine_rows *rows, stream_rows *lane, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (lane->rows == NULL) {
        lane->heads = rows->n_heads;
        lane->dim = rows->dim;
        GYRE_NEW(&lane->rows, c->context * rows->n_heads * rows->dim);
    }
    to_heads(rows->rows, rows->n_tokens, lane->heads, lane->dim, rows->first, c->context, lane->rows);
    lane->seen = rows->first + rows->n_tokens;
done:
    return st;
}

/* Query head h reads KV head h / group: one query head of each KV head at a time. */
static gyre_status round_queries(gyre_coded_cache *c, const gyre_engine_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_codec *codec = c->layers[rows->layer].queries;
    size_t group = c->layers[rows->layer].query_group, heads = rows->n_heads, dim = rows->dim, n = rows->n_tokens, block = heads * n * dim, bytes;
    if (codec == NULL)
        return GYRE_OK;
    GYRE_TRY(room_for_heads(c, heads, err));
    GYRE_TRY(reserve(&c->decoded, block * sizeof(float), err));
    GYRE_TRY(reserve(&c->out, block * sizeof(float), err));
    GYRE_TRY(reserve(&c->packed, gyre_codec_most_bytes(codec, n) + 1, err));
    GYRE_TRY(reserve(&c->scratch, gyre_codec_scratch(codec, n), err));
    to_heads(rows->rows, n, heads, dim, 0, n, c->decoded.bytes);
    for (size_t member = 0; member < group; member++) {
        for (size_t h = 0; h < heads / group; h++)
            c->x[h] = c->y[h] = (float *)c->decoded.bytes + (h * group + member) * n * dim;
        GYRE_TRY(gyre_codec_encode(codec, c->x, n, c->pos + rows->first, c->packed.bytes, &bytes, c->scratch.bytes, err));
        GYRE_TRY(gyre_codec_decode(codec, c->packed.bytes, bytes, n, c->pos + rows->first, c->y, c->scratch.bytes, err));
    }
    to_tokens(c->decoded.bytes, n, heads, dim, c->out.bytes);
    GYRE_TRY(gyre_engine_write_queries(c->engine, c->out.bytes, err));
done:
    if (st != GYRE_OK)
        (void)gyre_error_context(err, "queries of layer %u", rows->layer);
    return st;
}

static gyre_status on_rows(void *user, const gyre_engine_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_coded_cache *c = user;
    const gyre_coded_layer *l = &c->layers[rows->layer];
    if (rows->event == GYRE_ENGINE_QUERIES_AT_ROPE)
        return round_queries(c, rows, err);
    gyre_stream stream = rows->event == GYRE_ENGINE_KEYS ? GYRE_K : GYRE_V;
    bool mine = false;
    for (size_t g = 0; g < l->codecs.n; g++)
        for (size_t s = 0; s < l->codecs.group[g].n; s++)
            mine = mine || l->codecs.group[g].stream[s] == stream;
    if (!mine)
        return GYRE_OK;
    GYRE_TRY(keep(c, rows, &c->lanes[stream][rows->layer], err));
    for (size_t g = 0; g < l->codecs.n; g++)
        if (l->codecs.group[g].stream[l->codecs.group[g].n - 1] == stream) /* K and V together: when V has come */
            GYRE_TRY(code_group(c, rows->layer, g, rows->first, rows->first + rows->n_tokens, err));
done:
    return st;
}

/* ---- the whole ---- */

gyre_status gyre_coded_cache_new(gyre_engine *engine, const gyre_coded_layer *layers, size_t n_layers, size_t context, gyre_coded_cache **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_coded_cache *c = NULL;
    *out = NULL;
    GYRE_NEW(&c, 1);
    *c = (gyre_coded_cache){.engine = engine, .layers = layers, .n_layers = n_layers, .context = context};
    for (int s = 0; s < 2; s++)
        GYRE_NEW(&c->lanes[s], n_layers);
    GYRE_NEW(&c->pos, context);
    for (size_t i = 0; i < context; i++)
        c->pos[i] = (int32_t)i;
    for (size_t l = 0; l < n_layers; l++) {
        c->queries = c->queries || layers[l].queries != NULL;
        for (size_t g = 0; g < layers[l].codecs.n; g++)
            for (size_t i = 0; i < layers[l].codecs.group[g].n; i++) {
                gyre_stream s = layers[l].codecs.group[g].stream[i];
                c->any[s] = true;
                size_t window = gyre_codec_window(layers[l].codecs.codec[g]);
                if (window > 0 && (c->batch == 0 || window < c->batch))
                    c->batch = window;
            }
    }
    *out = c;
    c = NULL;
done:
    gyre_coded_cache_free(c);
    return st;
}

static void forget(buffer *b)
{
    free(b->bytes);
    *b = (buffer){0};
}

void gyre_coded_cache_end(gyre_coded_cache *c)
{
    for (int s = 0; s < 2; s++)
        for (size_t l = 0; c->lanes[s] != NULL && l < c->n_layers; l++) {
            free(c->lanes[s][l].rows);
            c->lanes[s][l].rows = NULL;
        }
    forget(&c->decoded);
    forget(&c->packed);
    forget(&c->scratch);
    forget(&c->out);
}

void gyre_coded_cache_free(gyre_coded_cache *c)
{
    if (c == NULL)
        return;
    gyre_coded_cache_end(c);
    for (int s = 0; s < 2; s++)
        free(c->lanes[s]);
    free(c->pos);
    free(c->x);
    free(c->y);
    free(c);
}

size_t gyre_coded_cache_batch(const gyre_coded_cache *c)
{
    return c->batch;
}

void gyre_coded_cache_begin(gyre_coded_cache *c)
{
    for (int s = 0; s < 2; s++)
        for (size_t l = 0; l < c->n_layers; l++)
            c->lanes[s][l].seen = c->lanes[s][l].coded = c->lanes[s][l].packed = 0;
    unsigned events = (c->any[GYRE_K] ? GYRE_ENGINE_KEYS : 0u) | (c->any[GYRE_V] ? GYRE_ENGINE_VALUES : 0u) | (c->queries ? GYRE_ENGINE_QUERIES_AT_ROPE : 0u);
    gyre_engine_set_hook(c->engine, events, NULL, on_rows, c);
}

gyre_coded_bits gyre_coded_cache_bits(const gyre_coded_cache *c)
{
    gyre_coded_bits sum = {0.0, 0.0};
    double parts = 0.0;
    for (size_t l = 0; l < c->n_layers; l++) {
        const gyre_cell_codecs *own = &c->layers[l].codecs;
        bool coded[2] = {false, false};
        for (size_t g = 0; g < own->n; g++) {
            gyre_stream stream = own->group[g].stream[0];
            const stream_rows *lane = &c->lanes[stream][l];
            double n = (double)own->group[g].n, values = (double)(lane->heads * lane->dim), sink = (double)gyre_codec_sink(own->codec[g]), coded_rows = (double)lane->coded - sink;
            if (lane->seen == 0)
                continue;
            coded_rows = coded_rows > 0.0 ? coded_rows : 0.0;
            sum.payload += (8.0 * (double)lane->packed + n * values * EXACT_BITS * ((double)lane->seen - coded_rows)) / (values * (double)lane->seen);
            sum.side += gyre_codec_side_bits(own->codec[g]) * n;
            parts += n;
            for (size_t s = 0; s < own->group[g].n; s++)
                coded[own->group[g].stream[s]] = true;
        }
        for (int s = 0; s < 2; s++)
            if (c->any[s] && !coded[s]) { /* a layer that the arm leaves exact */
                sum.payload += EXACT_BITS;
                parts += 1.0;
            }
    }
    return parts > 0.0 ? (gyre_coded_bits){sum.payload / parts, sum.side / parts} : (gyre_coded_bits){32.0, 0.0};
}
