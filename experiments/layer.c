#include "experiments/layer.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/energy.h"

/* [doc, token, head, dim] -> [head][document][token][dim] for the named documents. */
static void repack(const float *x, size_t tokens, size_t heads, size_t dim, gyre_documents docs, float *out)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t d = 0; d < docs.count; d++)
            for (size_t t = 0; t < tokens; t++, out += dim)
                memcpy(out, x + ((docs.index[d] * tokens + t) * heads + h) * dim, dim * sizeof *out);
}

static void repack_ints(const int32_t *x, size_t each, gyre_documents docs, int32_t *out)
{
    for (size_t d = 0; d < docs.count; d++)
        memcpy(out + d * each, x + docs.index[d] * each, each * sizeof *out);
}

/* Queries: [doc, query, q_head, dim] -> [document][head][group][query][dim]; the heads of a group keep the capture's order. */
static void repack_queries(const gyre_layer *l, gyre_documents docs, float *out)
{
    for (size_t d = 0; d < docs.count; d++)
        for (size_t h = 0; h < l->n_heads; h++)
            for (size_t qh = 0; qh < l->raw.n_q_heads; qh++) {
                if (l->raw.kv_head_of[qh] != h)
                    continue;
                for (size_t s = 0; s < l->queries; s++, out += l->dim)
                    memcpy(out, l->raw.q + ((docs.index[d] * l->queries + s) * l->raw.n_q_heads + qh) * l->dim, l->dim * sizeof *out);
            }
}

/* Energies of every unit; `mean` has room for dim. */
static void energies(const gyre_layer *l, gyre_stream stream, double *mean)
{
    size_t n = l->n_evaluation * l->tokens;
    for (size_t h = 0; h < l->n_heads; h++) {
        const float *rows = gyre_layer_rows(l, stream, h);
        for (size_t i = 0; i < l->dim; i++) {
            mean[i] = 0.0;
            for (size_t r = 0; r < n; r++)
                mean[i] += (double)rows[r * l->dim + i];
            mean[i] /= (double)n;
        }
        for (size_t d = 0; d < l->n_evaluation; d++) {
            const float *own = rows + d * l->tokens * l->dim;
            l->energy[stream][d * l->n_heads + h] = gyre_energy_about(own, NULL, l->tokens, l->dim);
            l->energy_centred[stream][d * l->n_heads + h] = gyre_energy_about(own, mean, l->tokens, l->dim);
        }
    }
}

/* Every kv head must serve the same number of query heads, or units could not be averaged alike. */
static gyre_status check_groups(const gyre_layer *l, gyre_error *err)
{
    for (size_t h = 0; h < l->n_heads; h++) {
        size_t count = 0;
        for (size_t qh = 0; qh < l->raw.n_q_heads; qh++)
            count += l->raw.kv_head_of[qh] == h;
        if (count != l->group || count == 0)
            return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "layer %u: kv head %zu serves %zu query heads, others %zu: such a model is not supported",
                                  l->raw.layer, h, count, l->group);
    }
    return GYRE_OK;
}

/* Rows, positions and queries of the documents of one use. */
static gyre_status fill_part(const gyre_layer *l, const gyre_capture_data *info, gyre_documents docs, gyre_layer_part *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    p->count = docs.count;
    for (int s = 0; s < 2; s++) {
        GYRE_NEW(&p->rows[s], docs.count * l->n_heads * l->tokens * l->dim);
        repack(s == GYRE_K ? l->raw.k : l->raw.v, l->tokens, l->n_heads, l->dim, docs, p->rows[s]);
    }
    GYRE_NEW(&p->pos, docs.count * l->tokens);
    GYRE_NEW(&p->query_pos, docs.count * l->queries);
    repack_ints(info->pos, l->tokens, docs, p->pos);
    if (l->raw.q != NULL) {
        repack_ints(info->query_pos, l->queries, docs, p->query_pos);
        GYRE_NEW(&p->q, docs.count * l->queries * l->raw.n_q_heads * l->dim);
        repack_queries(l, docs, p->q);
    }
done:
    return st;
}

gyre_status gyre_layer_load(gyre_capture *capture, size_t index, const gyre_split *split, gyre_layer **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_capture_data *info = gyre_capture_info(capture);
    gyre_layer *l = NULL;
    double *mean = NULL;
    *out = NULL;
    GYRE_NEW(&l, 1);
    GYRE_TRY(gyre_capture_read_layer(capture, index, &l->raw, err));
    l->n_heads = l->raw.n_kv_heads;
    l->dim = l->raw.dim;
    l->tokens = info->n_tokens;
    l->n_positions = info->n_tokens;
    l->queries = info->n_queries;
    l->n_evaluation = split->use[GYRE_USE_EVALUATE].count;
    l->group = l->raw.n_q_heads / l->n_heads;
    if (l->raw.q != NULL)
        GYRE_TRY(check_groups(l, err));
    for (int u = 0; u < GYRE_USES; u++)
        GYRE_TRY(fill_part(l, info, split->use[u], &l->part[u], err));
    GYRE_NEW(&mean, l->dim);
    for (int s = 0; s < 2; s++) {
        GYRE_NEW(&l->energy[s], l->n_evaluation * l->n_heads);
        GYRE_NEW(&l->energy_centred[s], l->n_evaluation * l->n_heads);
        energies(l, (gyre_stream)s, mean);
    }
    GYRE_NEW(&l->exact, l->n_evaluation * l->n_heads);
    free(l->raw.k);
    free(l->raw.v);
    free(l->raw.q);
    l->raw.k = l->raw.v = l->raw.q = NULL;
    *out = l;
    l = NULL;
done:
    free(mean);
    gyre_layer_free(l);
    return st;
}

void gyre_layer_forget(gyre_layer *l)
{
    for (int u = 0; u < GYRE_USES; u++) {
        gyre_layer_part *p = &l->part[u];
        free(p->rows[0]);
        free(p->rows[1]);
        free(p->pos);
        free(p->query_pos);
        free(p->q);
        *p = (gyre_layer_part){0};
    }
}

void gyre_layer_free(gyre_layer *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; l->exact != NULL && i < l->n_evaluation * l->n_heads; i++)
        gyre_attention_free(l->exact[i]);
    gyre_layer_forget(l);
    for (int s = 0; s < 2; s++) {
        free(l->energy[s]);
        free(l->energy_centred[s]);
    }
    free(l->exact);
    gyre_capture_layer_free(&l->raw);
    free(l);
}

const float *gyre_layer_rows(const gyre_layer *l, gyre_stream stream, size_t head)
{
    return l->part[GYRE_USE_EVALUATE].rows[stream] + head * l->n_evaluation * l->tokens * l->dim;
}

void gyre_layer_fit_rows(const gyre_layer *l, gyre_use use, const float **heads, gyre_rows *out)
{
    const gyre_layer_part *p = &l->part[use];
    for (size_t i = 0; i < 2 * l->n_heads; i++)
        heads[i] = p->rows[i / l->n_heads] + i % l->n_heads * p->count * l->tokens * l->dim;
    *out = (gyre_rows){.documents = p->count, .tokens = l->tokens, .queries = p->q != NULL ? l->queries : 0, .x = {heads, heads + l->n_heads}, .pos = p->pos, .q = p->q, .query_pos = p->query_pos};
}

gyre_unit gyre_layer_unit(const gyre_layer *l, size_t document, size_t head)
{
    const gyre_layer_part *p = &l->part[GYRE_USE_EVALUATE];
    size_t at = document * l->tokens * l->dim, unit = document * l->n_heads + head;
    return (gyre_unit){
        .tokens = l->tokens,
        .dim = l->dim,
        .queries = l->queries,
        .group = l->group,
        .k = gyre_layer_rows(l, GYRE_K, head) + at,
        .v = gyre_layer_rows(l, GYRE_V, head) + at,
        .energy = {l->energy[0][unit], l->energy[1][unit]},
        .energy_centred = {l->energy_centred[0][unit], l->energy_centred[1][unit]},
        .q = p->q == NULL ? NULL : p->q + (document * l->n_heads + head) * l->group * l->queries * l->dim,
        .pos = p->pos + document * l->tokens,
        .query_pos = p->query_pos + document * l->queries,
        .score_scale = (double)l->raw.score_scale,
        .window = l->raw.sliding_window,
        .exact = l->exact[unit],
    };
}

gyre_status gyre_layer_attend(gyre_layer *l, size_t document, size_t head, gyre_error *err)
{
    gyre_unit u = gyre_layer_unit(l, document, head);
    return gyre_attention_new(&u, &l->exact[document * l->n_heads + head], err);
}
