#define _POSIX_C_SOURCE 200809L
#include "experiments/cell.h"

#include <math.h>
#include <stdlib.h>

#include "calibrate/calibrate.h"

/* A result nearer than this to the capture's own storage error is flagged. */
static const double floor_factor = 10.0;

typedef struct buffer {
    void *bytes;
    size_t size;
} buffer;

struct gyre_cell_work {
    buffer decoded[2], packed, scratch;
    gyre_attention_work *attention;
    size_t n, tokens, dim; /* what attention was made for */
};

gyre_status gyre_cell_work_new(gyre_cell_work **out, gyre_error *err)
{
    return gyre_calloc((void **)out, 1, sizeof **out, err);
}

void gyre_cell_work_free(gyre_cell_work *w)
{
    if (w == NULL)
        return;
    free(w->decoded[0].bytes);
    free(w->decoded[1].bytes);
    free(w->packed.bytes);
    free(w->scratch.bytes);
    gyre_attention_work_free(w->attention);
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
        .n_positions = l->tokens,
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

/* Codes one stream of all heads; decoded rows arrive in w->decoded[stream], bits are added to sums. */
static gyre_status code_stream(const gyre_layer *l, gyre_stream stream, const gyre_codec_spec *spec, uint64_t campaign_seed, uint32_t seed, gyre_cell_work *w,
                               double *payload, double *side, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_codec **codecs = NULL;
    const float **calibration = NULL;
    size_t n = l->n_evaluation * l->tokens;
    GYRE_NEW(&codecs, l->n_heads);
    GYRE_NEW(&calibration, l->n_heads);
    for (size_t h = 0; h < l->n_heads; h++) {
        gyre_site site = gyre_cell_site(l, stream, h, campaign_seed, seed);
        GYRE_TRY(gyre_codec_new(spec, &site, &codecs[h], err));
        calibration[h] = gyre_layer_calibration(l, stream, h);
    }
    GYRE_TRY(gyre_calibrate(codecs, l->n_heads, l->dim, calibration, l->n_calibration * l->tokens, l->calibration_pos, err));
    size_t bytes = gyre_codec_bytes(codecs[0], n);
    GYRE_TRY(reserve(&w->decoded[stream], l->n_heads * n * l->dim * sizeof(float), err));
    GYRE_TRY(reserve(&w->packed, bytes, err));
    GYRE_TRY(reserve(&w->scratch, gyre_codec_scratch(codecs[0], n), err));
    for (size_t h = 0; h < l->n_heads; h++) {
        st = gyre_codec_encode(codecs[h], gyre_layer_rows(l, stream, h), n, l->pos, w->packed.bytes, w->scratch.bytes, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "%s of layer %u, kv head %zu", stream == GYRE_K ? "K" : "V", l->raw.layer, h);
            goto done;
        }
        gyre_codec_decode(codecs[h], w->packed.bytes, n, l->pos, (float *)w->decoded[stream].bytes + h * n * l->dim, w->scratch.bytes);
        *payload += gyre_codec_payload_bits(codecs[h], n, bytes) / (double)l->n_heads;
        *side += gyre_codec_side_bits(codecs[h]) / (double)l->n_heads;
    }
done:
    for (size_t h = 0; codecs != NULL && h < l->n_heads; h++)
        gyre_codec_free(codecs[h]);
    free(codecs);
    free(calibration);
    return st;
}

static gyre_status attention_buffers(const gyre_layer *l, gyre_cell_work *w, gyre_error *err)
{
    size_t n = l->group * l->queries;
    if (w->attention != NULL && w->n == n && w->tokens == l->tokens && w->dim == l->dim)
        return GYRE_OK;
    gyre_attention_work_free(w->attention);
    w->attention = NULL;
    w->n = n;
    w->tokens = l->tokens;
    w->dim = l->dim;
    return gyre_attention_work_new(n, l->tokens, l->dim, &w->attention, err);
}

/* Mean over units of the centred K error, for the flag. */
static void flag_floor(const gyre_layer *l, const gyre_arm *arm, double sum, gyre_cell *cell)
{
    double floor = l->raw.floor_nmse_centred, units = (double)(l->n_evaluation * l->n_heads);
    cell->flags = arm->codes[GYRE_K] && floor > 0.0 && sum / units < floor_factor * floor ? "storage_floor" : "";
}

gyre_status gyre_cell_compute(const gyre_layer *l, const gyre_arm *arm, const gyre_metric_type *const *metrics, size_t n_metrics, uint64_t campaign_seed,
                              gyre_cell *cell, gyre_cell_work *w, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    unsigned reads = 0;
    double payload = 0.0, side = 0.0, streams = 0.0, centred = 0.0;
    for (size_t m = 0; m < n_metrics; m++)
        reads |= gyre_metric_applies(metrics[m], arm->codes[GYRE_K], arm->codes[GYRE_V]) ? metrics[m]->reads : 0;
    for (int s = 0; s < 2; s++)
        if (arm->codes[s]) {
            GYRE_TRY(code_stream(l, (gyre_stream)s, &arm->codec[s], campaign_seed, cell->seed, w, &payload, &side, err));
            streams += 1.0;
        }
    cell->payload_bits = streams > 0.0 ? payload / streams : 32.0;
    cell->side_bits = streams > 0.0 ? side / streams : 0.0;
    cell->total_bits = cell->payload_bits + cell->side_bits;
    if (reads != 0)
        GYRE_TRY(attention_buffers(l, w, err));
    for (size_t d = 0; d < l->n_evaluation; d++)
        for (size_t h = 0; h < l->n_heads; h++) {
            gyre_unit u = gyre_layer_unit(l, d, h);
            size_t at = (h * l->n_evaluation + d) * l->tokens * l->dim;
            u.k_hat = arm->codes[GYRE_K] ? (const float *)w->decoded[GYRE_K].bytes + at : NULL;
            u.v_hat = arm->codes[GYRE_V] ? (const float *)w->decoded[GYRE_V].bytes + at : NULL;
            gyre_unit_errors(&u);
            if (reads != 0)
                gyre_attention_decoded(&u, reads, w->attention);
            for (size_t m = 0; m < n_metrics; m++)
                cell->values[(m * l->n_evaluation + d) * l->n_heads + h] = gyre_metric_applies(metrics[m], arm->codes[GYRE_K], arm->codes[GYRE_V]) ? metrics[m]->measure(&u) : (double)NAN;
            centred += u.error[GYRE_K] == 0.0 ? 0.0 : u.error[GYRE_K] / u.energy_centred[GYRE_K];
        }
    cell->n_documents = l->n_evaluation;
    cell->n_heads = l->n_heads;
    flag_floor(l, arm, centred, cell);
done:
    return st;
}
