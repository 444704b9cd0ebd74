/* kmeans_residual: the nearest of a layer's centroids, and asymmetric uniform codes of what it leaves (the k-means arm of SAW-INT4, arXiv 2604.19157).
 *
 *     t = the token's vectors of all heads, end to end;  c = the nearest centroid to t (Euclid), the lowest index of equally near ones
 *     each head:  r = y - c,  scale = max(max r - min r, 1e-8) / n,  n = 2^b - 1,  q = clamp(floor((r - min r) / scale + 1/2), 0, n),  y^ = c + q scale + min r
 *
 * The rule of the residual is SAW's: half is rounded up, the span has a floor. SAW stores scale and -min/scale; here scale and minimum are stored, each rounded to its
 * format before it is used, as in asym; a scale that rounds to 0 gives codes 0. The published arm has 16 centroids in its instructions and up to 2048 in the paper,
 * and 4 bits.
 *
 * fit: k-means on calibration tokens of the layer and stream, at most 512, evenly spaced (token floor(i total / 512)), with k-means++ starts (Arthur and
 * Vassilvitskii, SODA 2007), 10 of them, of at most 300 iterations, ended when the summed squared moves fall to 1e-4 of the mean variance of a coordinate; the least
 * inertia wins; an empty cluster takes the token farthest from its centroid. These are the settings of SAW's scikit-learn call, whose own starts try several
 * candidates for each centroid and are not repeated here. Draws have campaign seed 0 and seed index 0 (docs/random.md): the codebook is a property of the calibration
 * tokens. More clusters than tokens is refused. Stored once: clusters * heads * dim values of format `centroids`.
 *
 * Not token-local: a head's row decodes through a centroid that the other heads helped to choose. Any d. Payload: b + 2 (32 or 16)/d + ceil(log2 clusters)/(heads d)
 * bits per value.
 */
#include <math.h>
#include <stdlib.h>

#include "core/random.h"
#include "quant/codebook.h"

enum { CLUSTERS_MOST = 512, TOKENS_MOST = 512, STARTS = 10, ITERATIONS = 300 };

typedef struct kmeans_options {
    int64_t clusters, bits;
    int scale, centroids; /* gyre_scale_format */
} kmeans_options;

typedef struct kmeans {
    size_t dim, heads, wide; /* wide: heads * dim */
    size_t clusters, bits, index_bits;
    gyre_scale_format scale, format;
    gyre_random stream;
    bool fitted;
    float *centroids; /* [cluster][head][dim] as stored */
} kmeans;

static const gyre_option table[] = {
    {"clusters", GYRE_OPTION_INT, offsetof(kmeans_options, clusters), "16", 1, CLUSTERS_MOST, NULL, "", "centroids of a layer and stream; no more than tokens"},
    {"bits", GYRE_OPTION_INT, offsetof(kmeans_options, bits), "4", 2, 8, NULL, "bit", "width of a code of the residual"},
    {"scale", GYRE_OPTION_CHOICE, offsetof(kmeans_options, scale), "f32", 0, 0, gyre_scale_formats, "", "format of the stored scale and minimum"},
    {"centroids", GYRE_OPTION_CHOICE, offsetof(kmeans_options, centroids), "f16", 0, 0, gyre_scale_formats, "", "format of the stored centroids"},
    {0},
};

static void release(void *state)
{
    kmeans *k = state;
    if (k != NULL)
        free(k->centroids);
    free(k);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kmeans_options *o = options;
    gyre_site place = *site;
    kmeans *k = NULL;
    place.campaign_seed = place.seed_index = 0;
    GYRE_NEW(&k, 1);
    k->dim = site->dim;
    k->heads = site->n_heads > 0 ? site->n_heads : 1;
    k->wide = k->heads * k->dim;
    k->clusters = (size_t)o->clusters;
    k->bits = (size_t)o->bits;
    while ((size_t)1 << k->index_bits < k->clusters)
        k->index_bits++;
    k->scale = (gyre_scale_format)o->scale;
    k->format = (gyre_scale_format)o->centroids;
    k->stream = gyre_random_stream(&place, GYRE_PURPOSE_CODEBOOK, 0, false);
    GYRE_NEW(&k->centroids, k->clusters * k->wide);
    *state = k;
    k = NULL;
done:
    release(k);
    return st;
}

static size_t stored_bits(const void *state)
{
    const kmeans *k = state;
    return k->clusters * k->wide * 8 * gyre_scale_bytes(k->format);
}

/* ---- fit ---- */

/* Tokens [token][head][dim], their nearest centroids so far, and one start's centroids. */
typedef struct clustering {
    size_t n, wide, clusters;
    float *tokens;
    float *centroids, *best;
    double *sum;      /* [cluster][wide] */
    double *away;     /* of a token from its centroid, squared */
    size_t *owner, *count;
} clustering;

static void clustering_free(clustering *c)
{
    free(c->tokens);
    free(c->centroids);
    free(c->best);
    free(c->sum);
    free(c->away);
    free(c->owner);
    free(c->count);
}

static gyre_status clustering_new(const kmeans *k, clustering *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(&c->tokens, c->n * c->wide);
    GYRE_NEW(&c->centroids, k->clusters * c->wide);
    GYRE_NEW(&c->best, k->clusters * c->wide);
    GYRE_NEW(&c->sum, k->clusters * c->wide);
    GYRE_NEW(&c->away, c->n);
    GYRE_NEW(&c->owner, c->n);
    GYRE_NEW(&c->count, k->clusters);
done:
    return st;
}

static double squared_distance(const float *a, const float *b, size_t n)
{
    double lane[8] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        lane[i % 8] += d * d;
    }
    for (size_t l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

/* k-means++: the first token uniformly, each further one with probability proportional to its squared distance from those chosen. */
static void begin(clustering *c, const gyre_random *stream, size_t start)
{
    uint32_t draw = (uint32_t)(start * c->clusters);
    size_t chosen = (size_t)(gyre_random_uniform(stream, draw) * (double)c->n);
    for (size_t t = 0; t < c->n; t++)
        c->away[t] = INFINITY;
    for (size_t j = 0; j < c->clusters; j++) {
        double total = 0, sum = 0;
        if (j > 0) {
            double want;
            for (size_t t = 0; t < c->n; t++)
                total += c->away[t];
            want = gyre_random_uniform(stream, draw + (uint32_t)j) * total;
            for (chosen = 0; chosen + 1 < c->n && (sum += c->away[chosen]) <= want;)
                chosen++;
        }
        const float *token = c->tokens + chosen * c->wide;
        for (size_t i = 0; i < c->wide; i++)
            c->centroids[j * c->wide + i] = token[i];
        for (size_t t = 0; t < c->n; t++)
            c->away[t] = fmin(c->away[t], squared_distance(c->tokens + t * c->wide, token, c->wide));
    }
}

/* Every token to its nearest centroid; the sum of squared distances. */
static double assign(clustering *c)
{
    double inertia = 0;
    for (size_t t = 0; t < c->n; t++) {
        c->away[t] = INFINITY;
        for (size_t j = 0; j < c->clusters; j++) {
            double d = squared_distance(c->tokens + t * c->wide, c->centroids + j * c->wide, c->wide);
            if (d < c->away[t]) {
                c->away[t] = d;
                c->owner[t] = j;
            }
        }
        inertia += c->away[t];
    }
    return inertia;
}

/* The token farthest from its centroid, which it leaves for the empty cluster j. */
static void refill(clustering *c, size_t j)
{
    size_t far = 0;
    for (size_t t = 1; t < c->n; t++)
        if (c->away[t] > c->away[far])
            far = t;
    if (c->away[far] <= 0.0) /* fewer distinct tokens than clusters */
        return;
    c->away[far] = 0.0;
    c->count[c->owner[far]]--;
    for (size_t i = 0; i < c->wide; i++) {
        c->sum[c->owner[far] * c->wide + i] -= (double)c->tokens[far * c->wide + i];
        c->sum[j * c->wide + i] = (double)c->tokens[far * c->wide + i];
    }
    c->owner[far] = j;
    c->count[j] = 1;
}

/* Centroids become means; the sum of their squared moves. */
static double move(clustering *c)
{
    double moved = 0;
    for (size_t i = 0; i < c->clusters * c->wide; i++)
        c->sum[i] = 0.0;
    for (size_t j = 0; j < c->clusters; j++)
        c->count[j] = 0;
    for (size_t t = 0; t < c->n; t++) {
        c->count[c->owner[t]]++;
        for (size_t i = 0; i < c->wide; i++)
            c->sum[c->owner[t] * c->wide + i] += (double)c->tokens[t * c->wide + i];
    }
    for (size_t j = 0; j < c->clusters; j++)
        if (c->count[j] == 0)
            refill(c, j);
    for (size_t j = 0; j < c->clusters; j++)
        for (size_t i = 0; i < c->wide && c->count[j] > 0; i++) {
            float *at = &c->centroids[j * c->wide + i], old = *at;
            *at = (float)(c->sum[j * c->wide + i] / (double)c->count[j]);
            moved += ((double)*at - (double)old) * ((double)*at - (double)old);
        }
    return moved;
}

static double mean_variance(const clustering *c)
{
    double total = 0;
    for (size_t i = 0; i < c->wide; i++) {
        double sum = 0, squares = 0;
        for (size_t t = 0; t < c->n; t++)
            sum += (double)c->tokens[t * c->wide + i];
        for (size_t t = 0; t < c->n; t++) {
            double d = (double)c->tokens[t * c->wide + i] - sum / (double)c->n;
            squares += d * d;
        }
        total += squares / (double)c->n;
    }
    return total / (double)c->wide;
}

static void cluster(clustering *c, const gyre_random *stream)
{
    double least = INFINITY, enough = 1e-4 * mean_variance(c);
    for (size_t start = 0; start < STARTS; start++) {
        begin(c, stream, start);
        double moved = INFINITY, inertia = assign(c);
        for (size_t i = 0; i < ITERATIONS && moved > enough; i++) {
            moved = move(c);
            inertia = assign(c);
        }
        for (size_t i = 0; i < c->clusters * c->wide && inertia < least; i++)
            c->best[i] = c->centroids[i];
        least = fmin(least, inertia);
    }
}

static gyre_status fit(void *state, const float *x, size_t documents, size_t tokens, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    kmeans *k = state;
    size_t total = documents * tokens;
    clustering c = {.n = total < TOKENS_MOST ? total : TOKENS_MOST, .wide = k->wide, .clusters = k->clusters};
    if (total == 0)
        GYRE_FAIL(GYRE_E_INPUT, "kmeans_residual has no calibration rows: name calibration documents");
    if (c.n < k->clusters)
        GYRE_FAIL(GYRE_E_INPUT, "kmeans_residual has %zu calibration tokens for %zu clusters: name more documents or ask for fewer clusters", c.n, k->clusters);
    GYRE_TRY(clustering_new(k, &c, err));
    for (size_t i = 0; i < c.n; i++)
        for (size_t h = 0; h < k->heads; h++)
            for (size_t j = 0; j < k->dim; j++)
                c.tokens[i * k->wide + h * k->dim + j] = x[(h * total + i * total / c.n) * k->dim + j];
    cluster(&c, &k->stream);
    for (size_t i = 0; i < k->clusters * k->wide; i++)
        if (!gyre_scale_round(k->format, c.best[i], &k->centroids[i]))
            GYRE_FAIL(GYRE_E_RANGE, "kmeans_residual: a centroid has the coordinate %g, beyond binary16: use centroids: f32", (double)c.best[i]);
    k->fitted = true;
done:
    clustering_free(&c);
    return st;
}

/* ---- blocks ---- */

static size_t index_bytes(const kmeans *k, size_t tokens)
{
    return (tokens * k->index_bits + 7) / 8;
}

static size_t code_bytes(const kmeans *k)
{
    return (k->dim * k->bits + 7) / 8;
}

static size_t row_bytes(const kmeans *k)
{
    return code_bytes(k) + 2 * gyre_scale_bytes(k->scale);
}

static size_t most_bytes(const void *state, size_t tokens)
{
    const kmeans *k = state;
    return index_bytes(k, tokens) + k->heads * tokens * row_bytes(k);
}

static size_t nearest(const kmeans *k, const float *x, size_t tokens, size_t token)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t j = 0; j < k->clusters; j++) {
        double d = 0;
        for (size_t h = 0; h < k->heads; h++)
            d += squared_distance(x + (h * tokens + token) * k->dim, k->centroids + j * k->wide + h * k->dim, k->dim);
        if (d < least) {
            least = d;
            best = j;
        }
    }
    return best;
}

static gyre_status encode_row(const kmeans *k, const float *x, const float *centroid, size_t row, uint8_t *bytes, gyre_error *err)
{
    float rest[GYRE_QUANTIZER_DIM], lo = INFINITY, hi = -INFINITY, low = 0.0f, scale = 0.0f, top = (float)((1 << k->bits) - 1), high = 0.0f;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    for (size_t i = 0; i < k->dim; i++) {
        rest[i] = x[i] - centroid[i];
        lo = fminf(lo, rest[i]);
        hi = fmaxf(hi, rest[i]);
        high = fmaxf(high, fabsf(centroid[i]));
    }
    bool fits = isfinite(lo) && isfinite(hi) && gyre_scale_round(k->scale, lo, &low) && isfinite(hi - low) &&
                gyre_scale_round(k->scale, fmaxf(hi - low, 1e-8f) / top, &scale);
    if (!fits || !isfinite(fabsf(low) + top * scale + high))
        return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "kmeans_residual: the residual of row %zu goes from %g to %g, beyond %s%s", row, (double)lo,
                              (double)hi, k->scale == GYRE_SCALE_F16 ? "binary16" : "binary32", k->scale == GYRE_SCALE_F16 ? ": use scale: f32" : "");
    for (size_t i = 0; i < k->dim; i++) {
        float t = scale > 0.0f ? floorf((rest[i] - low) / scale + 0.5f) : 0.0f;
        codes[i] = (uint8_t)(int)(t > top ? top : t < 0.0f ? 0.0f : t);
    }
    gyre_pack(codes, k->dim, k->bits, bytes);
    (void)gyre_scale_put(k->scale, low, gyre_scale_put(k->scale, scale, bytes + code_bytes(k)));
    return GYRE_OK;
}

static gyre_status encode_block(const void *state, const float *x, size_t tokens, uint8_t *bytes, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kmeans *k = state;
    uint16_t *index = NULL;
    *size = 0;
    if (!k->fitted)
        GYRE_FAIL(GYRE_E_INTERNAL, "kmeans_residual encodes before it was fitted");
    GYRE_NEW(&index, tokens + 1);
    for (size_t t = 0; t < tokens; t++)
        index[t] = (uint16_t)nearest(k, x, tokens, t);
    gyre_pack_wide(index, tokens, k->index_bits, bytes);
    uint8_t *at = bytes + index_bytes(k, tokens);
    for (size_t h = 0; h < k->heads; h++)
        for (size_t t = 0; t < tokens; t++, at += row_bytes(k))
            GYRE_TRY(encode_row(k, x + (h * tokens + t) * k->dim, k->centroids + index[t] * k->wide + h * k->dim, h * tokens + t, at, err));
    *size = most_bytes(k, tokens);
done:
    free(index);
    return st;
}

static gyre_status decode_block(const void *state, const uint8_t *bytes, size_t size, size_t tokens, float *x, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const kmeans *k = state;
    uint16_t *index = NULL;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    if (size != most_bytes(k, tokens))
        GYRE_FAIL(GYRE_E_INPUT, "kmeans_residual: %zu bytes for %zu tokens, which take %zu", size, tokens, most_bytes(k, tokens));
    GYRE_NEW(&index, tokens + 1);
    gyre_unpack_wide(bytes, tokens, k->index_bits, index);
    for (size_t t = 0; t < tokens; t++)
        if (index[t] >= k->clusters)
            GYRE_FAIL(GYRE_E_INPUT, "kmeans_residual: token %zu has the centroid %u of %zu", t, (unsigned)index[t], k->clusters);
    bytes += index_bytes(k, tokens);
    for (size_t h = 0; h < k->heads; h++)
        for (size_t t = 0; t < tokens; t++, bytes += row_bytes(k), x += k->dim) {
            const float *centroid = k->centroids + index[t] * k->wide + h * k->dim;
            float scale, lo;
            gyre_unpack(bytes, k->dim, k->bits, codes);
            (void)gyre_scale_get(k->scale, gyre_scale_get(k->scale, bytes + code_bytes(k), &scale), &lo);
            for (size_t i = 0; i < k->dim; i++)
                x[i] = centroid[i] + ((float)codes[i] * scale + lo);
        }
done:
    free(index);
    return st;
}

const gyre_quantizer_type gyre_quantizer_kmeans_residual = {
    .name = "kmeans_residual",
    .summary = "nearest k-means centroid of a token, all heads together, and asymmetric uniform codes of the residual",
    .source = "arXiv 2604.19157 (SAW-INT4), the k-means arm",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + 2 * (32 or 16) / dim + ceil(log2 clusters) / (heads * dim)",
    .flags = GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE | GYRE_QUANTIZER_FITTED,
    .span = GYRE_SPAN_HEADS,
    .init = init,
    .free = release,
    .most_bytes = most_bytes,
    .encode_block = encode_block,
    .decode_block = decode_block,
    .options = table,
    .stored_bits = stored_bits,
    .fit = fit,
};
