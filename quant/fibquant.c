/* fibquant: the norm of a row, and blocks of k coordinates by one shared codebook of N points (FibQuant, arXiv 2605.11478).
 *
 *     v = y sqrt(d) / |y|,  index = the nearest of N codewords to each block of k consecutive v,  y^ = |y|~ / sqrt(d) times the codewords
 *
 * |y|~ is |y| rounded to its stored format. A block of a randomly rotated unit row lies in the unit ball of R^k with a spherical Beta density; the codebook is made
 * for it:
 *
 *     radii        r_n = sqrt(BetaInv((n - 1/2)/N; k/2, beta)), n = 1..N, beta = k/(k+2) (d-k-2)/2 + 1 (k = 2: sqrt(1 - (1 - q)^(4/d)), q = (n - 1/2)/N)
 *     directions   k = 2: angles n 2 pi (1 - 1/phi), the golden-angle spiral; k = 3: the Fibonacci sphere; k >= 4: the Roberts-Kronecker sequence through
 *                  the inverse normal, normalised
 *     refinement   Lloyd on 30 N samples: 4 starts of 25 iterations, an empty cell splits another; the least distortion on the samples wins
 *
 * It depends on d, k, N and the number of samples alone: samples are drawn with campaign seed 0, seed index 0, layer 0 (docs/random.md), so nothing is stored. Ours where the paper was not
 * found to say: samples are the blocks of normalised Gaussian rows; on the Fibonacci sphere radius n goes with direction n g mod N, g odd and next to N/phi, since its
 * directions run from pole to pole; starts 2..4 are N of the samples; an empty cell takes the farthest sample of the cell with the largest distortion. Codewords are
 * ordered by their coordinates.
 *
 * 30 samples a word overfit small codebooks: at d = 64, k = 2, N = 16 fresh isotropic rows lose a little more than by a scalar codebook of the same bits, and 6 % less
 * with many samples (tests/test_quant_codebooks.c). `samples` raises them; 30 is the paper's.
 *
 * d divisible by k, d > k; N = 2^index_bits, k N up to 8192 (making the codebook takes seconds there, a quarter of one by default). Payload: index_bits/k + (16 or
 * 32)/d bits per value (indices padded to whole bytes). The paper rotates first: put `haar` in front.
 */
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "quant/codebook.h"

enum { BLOCK_MOST = 8, BITS_MOST = 12, STARTS = 4, ITERATIONS = 25, LEAF = 8, NUMBERS_MOST = 8192, TRAINING_MOST = 30 * NUMBERS_MOST };

typedef struct fibquant_options {
    int64_t k, index_bits, samples;
    int norm; /* gyre_scale_format */
} fibquant_options;

/* Coordinates from k on are 0. */
typedef struct point {
    float at[BLOCK_MOST];
} point;

typedef struct fibquant {
    size_t dim, k, bits, n, samples;
    gyre_scale_format norm;
    double most; /* largest coordinate of a codeword */
    point *words;
    struct tree *tree;
} fibquant;

static const gyre_option table[] = {
    {"k", GYRE_OPTION_INT, offsetof(fibquant_options, k), "2", 2, BLOCK_MOST, NULL, "coordinates", "length of a block; divides the head dimension"},
    {"index_bits", GYRE_OPTION_INT, offsetof(fibquant_options, index_bits), "8", 1, BITS_MOST, NULL, "bit", "width of a block's index: 2^index_bits words"},
    {"samples", GYRE_OPTION_INT, offsetof(fibquant_options, samples), "30", 30, 1000, NULL, "", "training samples for each codeword; 30 in the paper"},
    {"norm", GYRE_OPTION_CHOICE, offsetof(fibquant_options, norm), "f16", 0, 0, gyre_scale_formats, "", "format of the stored norm"},
    {0},
};

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    const fibquant_options *o = options;
    if (site->dim % (size_t)o->k != 0 || site->dim == (size_t)o->k)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "the block %lld is no proper divisor of the head dimension %zu", (long long)o->k, site->dim);
    else if ((size_t)o->k << o->index_bits > NUMBERS_MOST)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "2^%lld words of %lld coordinates exceed the %d numbers that a codebook may have", (long long)o->index_bits,
                       (long long)o->k, (int)NUMBERS_MOST);
    else if ((size_t)(o->k * o->samples) << o->index_bits > TRAINING_MOST)
        (void)snprintf(why, GYRE_QUANTIZER_WHY, "%lld samples for each of 2^%lld words of %lld coordinates exceed %d numbers", (long long)o->samples,
                       (long long)o->index_bits, (long long)o->k, (int)TRAINING_MOST);
    else
        return true;
    return false;
}

/* ---- the radial-angular start ---- */

static const double golden = 0.61803398874989484820; /* 1/phi = phi - 1 */
static const double two_pi = 6.28318530717958647693;

/* Quantile q of Beta(a, b) by halving: GSL 2.7's own inverse gives up at places (q = 63/64, a = 3, b = 214). */
static double beta_quantile(double q, double a, double b)
{
    double lo = 0.0, hi = 1.0;
    for (int i = 0; i < 1100 && 0.5 * (lo + hi) > lo && 0.5 * (lo + hi) < hi; i++) {
        double x = 0.5 * (lo + hi);
        if (gsl_cdf_beta_P(x, a, b) < q)
            lo = x;
        else
            hi = x;
    }
    return hi;
}

static double radius_of(const fibquant *f, size_t n)
{
    double q = ((double)n + 0.5) / (double)f->n, d = (double)f->dim, k = (double)f->k;
    if (f->k == 2)
        return sqrt(1.0 - pow(1.0 - q, 4.0 / d));
    return sqrt(beta_quantile(q, 0.5 * k, k / (k + 2.0) * (d - k - 2.0) / 2.0 + 1.0));
}

static void direction_of(const fibquant *f, size_t n, double *u)
{
    if (f->k == 2) {
        double angle = two_pi * (double)n * (1.0 - golden);
        u[0] = cos(angle);
        u[1] = sin(angle);
    } else if (f->k == 3) {
        size_t stride = (size_t)((double)f->n * golden) | 1u, j = n * stride % f->n;
        double z = 1.0 - (2.0 * (double)j + 1.0) / (double)f->n, angle = two_pi * (double)j * (1.0 - golden);
        u[0] = sqrt(1.0 - z * z) * cos(angle);
        u[1] = sqrt(1.0 - z * z) * sin(angle);
        u[2] = z;
    } else {
        double root = 1.0, sum = 0.0, power = 1.0; /* root^(k+1) = root + 1: R_k's generator */
        for (int i = 0; i < 64; i++)
            root = pow(1.0 + root, 1.0 / ((double)f->k + 1.0));
        for (size_t i = 0; i < f->k; i++) {
            power /= root;
            double t = 0.5 + (double)(n + 1) * power;
            u[i] = gsl_cdf_ugaussian_Pinv(t - floor(t));
            sum += u[i] * u[i];
        }
        for (size_t i = 0; i < f->k; i++)
            u[i] /= sqrt(sum);
    }
}

static gyre_status radial_angular(const fibquant *f, point *words, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (size_t n = 0; n < f->n; n++) {
        double u[BLOCK_MOST], radius = radius_of(f, n) * sqrt((double)f->dim);
        direction_of(f, n, u);
        for (size_t i = 0; i < BLOCK_MOST; i++) {
            words[n].at[i] = i < f->k ? (float)(radius * u[i]) : 0.0f;
            if (!isfinite(words[n].at[i]))
                GYRE_FAIL(GYRE_E_INTERNAL, "fibquant: radius %zu of %zu is not finite at d = %zu, k = %zu", n, f->n, f->dim, f->k);
        }
    }
done:
    return st;
}

/* ---- search ---- */

static int by_coordinates(const void *a, const void *b)
{
    const point *x = a, *y = b;
    for (size_t i = 0; i < BLOCK_MOST; i++)
        if (x->at[i] != y->at[i])
            return x->at[i] < y->at[i] ? -1 : 1;
    return 0;
}

static float distance(const float *a, const float *b, size_t k)
{
    float sum = 0.0f;
    for (size_t i = 0; i < k; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* A k-d tree over the words: N is a power of two, so that node i has the children 2i, 2i + 1 and every leaf LEAF words (fewer when N is smaller). */
typedef struct entry {
    float key;
    uint32_t index;
} entry;

typedef struct tree {
    size_t n, k;
    point *at;        /* words in the order of the leaves */
    entry *order;     /* their indices */
    uint8_t *axis;    /* of a node */
    float *split;
} tree;

static gyre_status tree_new(tree *t, size_t n, size_t k, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    t->n = n;
    t->k = k;
    GYRE_NEW(&t->at, n);
    GYRE_NEW(&t->order, n);
    GYRE_NEW(&t->axis, n);
    GYRE_NEW(&t->split, n);
done:
    return st;
}

static void tree_free(tree *t)
{
    free(t->at);
    free(t->order);
    free(t->axis);
    free(t->split);
}

static int by_key(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->index > y->index) - (x->index < y->index);
}

/* The n entries from `first` on, halved across their widest axis. */
static void halve(tree *t, const point *words, size_t node, size_t first, size_t n)
{
    entry *own = t->order + first;
    float widest = -1.0f;
    if (n <= LEAF)
        return;
    for (size_t i = 0; i < t->k; i++) {
        float lo = INFINITY, hi = -INFINITY;
        for (size_t e = 0; e < n; e++) {
            lo = fminf(lo, words[own[e].index].at[i]);
            hi = fmaxf(hi, words[own[e].index].at[i]);
        }
        if (hi - lo > widest) {
            widest = hi - lo;
            t->axis[node] = (uint8_t)i;
        }
    }
    for (size_t e = 0; e < n; e++)
        own[e].key = words[own[e].index].at[t->axis[node]];
    qsort(own, n, sizeof *own, by_key);
    t->split[node] = own[n / 2].key;
    halve(t, words, 2 * node, first, n / 2);
    halve(t, words, 2 * node + 1, first + n / 2, n / 2);
}

static void tree_build(tree *t, const point *words)
{
    for (size_t i = 0; i < t->n; i++)
        t->order[i].index = (uint32_t)i;
    halve(t, words, 1, 0, t->n);
    for (size_t i = 0; i < t->n; i++)
        t->at[i] = words[t->order[i].index];
}

typedef struct hit {
    float away; /* squared */
    uint32_t index;
} hit;

static void search(const tree *t, size_t node, size_t first, size_t n, const float *x, hit *best)
{
    if (n <= LEAF) {
        for (size_t i = first; i < first + n; i++) {
            float d = distance(t->at[i].at, x, t->k);
            if (d < best->away || (d == best->away && t->order[i].index < best->index))
                *best = (hit){d, t->order[i].index};
        }
        return;
    }
    float off = x[t->axis[node]] - t->split[node];
    size_t near = off < 0.0f ? 0 : 1, far = 1 - near;
    search(t, 2 * node + near, first + near * (n / 2), n / 2, x, best);
    if (off * off <= best->away)
        search(t, 2 * node + far, first + far * (n / 2), n / 2, x, best);
}

/* The nearest word; the lowest index of equally near ones. */
static hit nearest(const tree *t, const float *x)
{
    hit best = {INFINITY, UINT32_MAX};
    search(t, 1, 0, t->n, x, &best);
    return best;
}

/* ---- Lloyd ---- */

typedef struct cell {
    double sum[BLOCK_MOST], loss;
    size_t count, farthest;
    float far;
} cell;

typedef struct trainer {
    size_t n;       /* samples */
    point *samples;
    cell *cells;
    uint32_t *order;
    tree tree;
} trainer;

static gyre_status draw_samples(const fibquant *f, trainer *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_site site = {.dim = f->dim};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_CODEBOOK, 0, false);
    size_t d = f->dim, each = d / f->k, rows = (t->n + each - 1) / each;
    double *x = NULL;
    GYRE_NEW(&x, rows * d);
    gyre_random_normals(&stream, x, rows * d);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t i = 0; i < d; i++)
            sum += x[r * d + i] * x[r * d + i];
        for (size_t i = 0; i < d && r * each + i / f->k < t->n; i++)
            t->samples[r * each + i / f->k].at[i % f->k] = (float)(x[r * d + i] * sqrt((double)d / sum));
    }
done:
    free(x);
    return st;
}

/* Sorts the samples into cells; the sum of squared distances. */
static double assign(const fibquant *f, trainer *t, const point *words)
{
    double total = 0;
    tree_build(&t->tree, words);
    for (size_t c = 0; c < f->n; c++)
        t->cells[c] = (cell){.far = -1.0f};
    for (size_t s = 0; s < t->n; s++) {
        hit best = nearest(&t->tree, t->samples[s].at);
        cell *c = &t->cells[best.index];
        for (size_t i = 0; i < f->k; i++)
            c->sum[i] += (double)t->samples[s].at[i];
        c->count++;
        c->loss += (double)best.away;
        total += (double)best.away;
        if (best.away > c->far) {
            c->far = best.away;
            c->farthest = s;
        }
    }
    return total;
}

static void update(const fibquant *f, const trainer *t, point *words)
{
    for (size_t c = 0; c < f->n; c++) {
        cell *own = &t->cells[c], *donor = own;
        for (size_t i = 0; i < f->k && own->count > 0; i++)
            words[c].at[i] = (float)(own->sum[i] / (double)own->count);
        for (size_t o = 0; o < f->n && own->count == 0; o++)
            donor = t->cells[o].loss > donor->loss ? &t->cells[o] : donor;
        if (donor != own) {
            words[c] = t->samples[donor->farthest];
            donor->loss = 0.0; /* splits once an iteration */
        }
    }
}

/* Start 0 is the radial-angular codebook, the others are samples. */
static gyre_status begin(const fibquant *f, const trainer *t, unsigned start, point *words, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_site site = {.dim = f->dim, .seed_index = start};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_CODEBOOK, 0, false);
    if (start == 0)
        GYRE_TRY(radial_angular(f, words, err));
    else
        gyre_random_permutation(&stream, t->order, t->n);
    for (size_t c = 0; c < f->n && start > 0; c++)
        words[c] = t->samples[t->order[c]];
done:
    return st;
}

static gyre_status train(fibquant *f, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    trainer t = {.n = f->samples * f->n};
    point *words = NULL;
    double least = INFINITY;
    GYRE_NEW(&t.samples, t.n);
    GYRE_NEW(&t.cells, f->n);
    GYRE_NEW(&t.order, t.n);
    GYRE_NEW(&words, f->n);
    GYRE_TRY(tree_new(&t.tree, f->n, f->k, err));
    GYRE_TRY(draw_samples(f, &t, err));
    for (unsigned start = 0; start < STARTS; start++) {
        GYRE_TRY(begin(f, &t, start, words, err));
        for (int i = 0; i < ITERATIONS; i++) {
            (void)assign(f, &t, words);
            update(f, &t, words);
        }
        double loss = assign(f, &t, words);
        for (size_t c = 0; c < f->n && loss < least; c++)
            f->words[c] = words[c];
        least = fmin(least, loss);
    }
    qsort(f->words, f->n, sizeof *f->words, by_coordinates);
    tree_build(&t.tree, f->words);
    GYRE_NEW(&f->tree, 1);
    *f->tree = t.tree;
    t.tree = (tree){0};
done:
    tree_free(&t.tree);
    free(t.samples);
    free(t.cells);
    free(t.order);
    free(words);
    return st;
}

/* ---- the quantizer ---- */

static void release(void *state)
{
    fibquant *f = state;
    if (f != NULL && f->tree != NULL)
        tree_free(f->tree);
    if (f != NULL) {
        free(f->tree);
        free(f->words);
    }
    free(f);
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const fibquant_options *o = options;
    fibquant *f = NULL;
    GYRE_NEW(&f, 1);
    f->dim = site->dim;
    f->k = (size_t)o->k;
    f->bits = (size_t)o->index_bits;
    f->n = (size_t)1 << f->bits;
    f->samples = (size_t)o->samples;
    f->norm = (gyre_scale_format)o->norm;
    GYRE_NEW(&f->words, f->n);
    GYRE_TRY(train(f, err));
    for (size_t c = 0; c < f->n; c++)
        for (size_t i = 0; i < f->k; i++)
            f->most = fmax(f->most, fabs((double)f->words[c].at[i]));
    *state = f;
    f = NULL;
done:
    release(f);
    return st;
}

static size_t index_bytes(const fibquant *f)
{
    return (f->dim / f->k * f->bits + 7) / 8;
}

static size_t row_bytes(const void *state)
{
    const fibquant *f = state;
    return index_bytes(f) + gyre_scale_bytes(f->norm);
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    gyre_status st = GYRE_OK;
    const fibquant *f = state;
    uint16_t index[GYRE_QUANTIZER_DIM / 2];
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(f)) {
        float stored, v[BLOCK_MOST];
        double norm = gyre_norm(x, f->dim), factor = norm > 0.0 ? sqrt((double)f->dim) / norm : 0.0;
        GYRE_TRY(gyre_norm_round("fibquant", f->norm, norm, f->most / sqrt((double)f->dim), r, &stored, err));
        for (size_t b = 0; b < f->dim / f->k; b++) {
            for (size_t i = 0; i < f->k; i++)
                v[i] = (float)((double)x[b * f->k + i] * factor);
            index[b] = norm > 0.0 ? (uint16_t)nearest(f->tree, v).index : 0;
        }
        gyre_pack_wide(index, f->dim / f->k, f->bits, bytes);
        (void)gyre_scale_put(f->norm, stored, bytes + index_bytes(f));
    }
done:
    return st;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const fibquant *f = state;
    uint16_t index[GYRE_QUANTIZER_DIM / 2];
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(f)) {
        float norm;
        gyre_unpack_wide(bytes, f->dim / f->k, f->bits, index);
        (void)gyre_scale_get(f->norm, bytes + index_bytes(f), &norm);
        float step = (float)((double)norm / sqrt((double)f->dim));
        for (size_t i = 0; i < f->dim; i++)
            x[i] = f->words[index[i / f->k]].at[i % f->k] * step;
    }
}

const gyre_quantizer_type gyre_quantizer_fibquant = {
    .name = "fibquant",
    .summary = "row norm and a shared radial-angular codebook of blocks, refined by Lloyd; the paper rotates first (haar)",
    .source = "arXiv 2605.11478 (FibQuant)",
    .bits_formula = "ceil(index_bits * dim / k / 8) * 8 / dim + (16 or 32) / dim",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = release,
    .options = table,
    .applicable = applicable,
};
