/* lloyd_max: the norm of a row, and every coordinate by the Lloyd-Max codebook of N(0, 1) (TurboQuant-mse, arXiv 2504.19874, section 3.1; J. Max, IRE Trans. IT 6(1),
 * 1960).
 *
 *     v = y sqrt(d) / |y|,  q_i = the nearest of 2^b centroids c to v_i,  y^_i = |y|~ / sqrt(d) c_(q_i)
 *
 * |y|~ is |y| rounded to its stored format; v uses the unrounded norm. Centroids solve Lloyd's equations for the Gaussian in double (quant/codebook.h) and are then
 * rounded to binary32, as are the limits halfway between them; a value at a limit takes the lower code. A row of zeros has norm 0 and codes 0. Any d. Payload: b + (16
 * or 32)/d bits per value (b*d padded to whole bytes).
 *
 * A coordinate of a randomly rotated unit row has a Beta density, N(0, 1/d) in the limit of large d, which is the one used; the paper draws a Haar rotation: put
 * `haar` in front for TurboQuant-mse (`srht` is a cheaper rotation, not the paper's). Alone this is a scalar codebook on rows as they come, not TurboQuant.
 *
 * fit: calibrated replaces the Gaussian codebook by 1-D k-means on the values v of the calibration rows of the layer and stream, all heads pooled, started from the
 * Gaussian one; 2^b binary32 centroids are then stored. It is not in the paper.
 *
 * Not idempotent: the norm of a decoded row is not the norm that was stored.
 */
#include <math.h>
#include <stdlib.h>

#include "quant/codebook.h"

enum { CALIBRATED = 1, STEPS_MOST = 300 };

typedef struct lloyd_max_options {
    int64_t bits;
    int norm; /* gyre_scale_format */
    int fit;
} lloyd_max_options;

typedef struct lloyd_max {
    size_t dim, heads;
    gyre_scale_format norm;
    bool calibrated;
    gyre_codebook book;
} lloyd_max;

static const char *const fits[] = {"gaussian", "calibrated", NULL};
static const gyre_option table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(lloyd_max_options, bits), NULL, 1, GYRE_CODEBOOK_BITS, NULL, "bit", "width of a code"},
    {"norm", GYRE_OPTION_CHOICE, offsetof(lloyd_max_options, norm), "f16", 0, 0, gyre_scale_formats, "", "format of the stored norm"},
    {"fit", GYRE_OPTION_CHOICE, offsetof(lloyd_max_options, fit), "gaussian", 0, 0, fits, "", "codebook of N(0, 1), or by k-means on the normalised calibration rows"},
    {0},
};

static void refine(const void *options, unsigned *flags)
{
    const lloyd_max_options *o = options;
    if (o->fit == CALIBRATED)
        *flags |= GYRE_QUANTIZER_FITTED;
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const lloyd_max_options *o = options;
    lloyd_max *m = NULL;
    GYRE_NEW(&m, 1);
    m->dim = site->dim;
    m->heads = site->n_heads > 0 ? site->n_heads : 1;
    m->norm = (gyre_scale_format)o->norm;
    m->calibrated = o->fit == CALIBRATED;
    GYRE_TRY(gyre_codebook_gaussian(&m->book, (size_t)o->bits, err));
    *state = m;
    m = NULL;
done:
    free(m);
    return st;
}

static size_t code_bytes(const lloyd_max *m)
{
    return (m->dim * m->book.bits + 7) / 8;
}

static size_t row_bytes(const void *state)
{
    const lloyd_max *m = state;
    return code_bytes(m) + gyre_scale_bytes(m->norm);
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    gyre_status st = GYRE_OK;
    const lloyd_max *m = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    double most = fmax(fabs((double)m->book.centroid[0]), fabs((double)m->book.centroid[((size_t)1 << m->book.bits) - 1])) / sqrt((double)m->dim);
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(m)) {
        float stored;
        double norm = gyre_norm(x, m->dim);
        GYRE_TRY(gyre_norm_round("lloyd_max", m->norm, norm, most, r, &stored, err));
        gyre_codebook_encode(&m->book, x, m->dim, norm, codes);
        gyre_pack(codes, m->dim, m->book.bits, bytes);
        (void)gyre_scale_put(m->norm, stored, bytes + code_bytes(m));
    }
done:
    return st;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const lloyd_max *m = state;
    uint8_t codes[GYRE_QUANTIZER_DIM];
    for (size_t r = 0; r < n; r++, x += stride, bytes += row_bytes(m)) {
        float norm;
        gyre_unpack(bytes, m->dim, m->book.bits, codes);
        (void)gyre_scale_get(m->norm, bytes + code_bytes(m), &norm);
        float step = (float)((double)norm / sqrt((double)m->dim));
        for (size_t i = 0; i < m->dim; i++)
            x[i] = m->book.centroid[codes[i]] * step;
    }
}

static size_t stored_bits(const void *state)
{
    const lloyd_max *m = state;
    return m->calibrated ? (size_t)32 << m->book.bits : 0;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Values of all rows that have a norm, sorted; *n of them. */
static gyre_status normalised(const lloyd_max *m, const float *x, size_t rows, float **values, size_t *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(values, rows * m->dim + 1);
    *n = 0;
    for (size_t r = 0; r < rows; r++, x += m->dim) {
        double norm = gyre_norm(x, m->dim);
        for (size_t i = 0; i < m->dim && norm > 0.0; i++)
            (*values)[(*n)++] = (float)((double)x[i] * (sqrt((double)m->dim) / norm));
    }
    qsort(*values, *n, sizeof **values, by_value);
done:
    return st;
}

/* How many of the sorted values are at most `limit`. */
static size_t up_to(const float *values, size_t n, float limit)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (values[mid] > limit)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* k-means in one dimension; an empty cell keeps its centroid. Ends when no centroid moves. */
static gyre_status fit(void *state, const float *x, size_t documents, size_t tokens, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    lloyd_max *m = state;
    float *values = NULL;
    double *sums = NULL;
    size_t n = 0, levels = (size_t)1 << m->book.bits;
    if (!m->calibrated)
        goto done;
    if (documents * tokens == 0)
        GYRE_FAIL(GYRE_E_INPUT, "lloyd_max has no calibration rows: name calibration documents, or use fit: gaussian");
    GYRE_TRY(gyre_codebook_gaussian(&m->book, m->book.bits, err)); /* not where an earlier fit ended */
    GYRE_TRY(normalised(m, x, m->heads * documents * tokens, &values, &n, err));
    GYRE_NEW(&sums, n + 1);
    for (size_t i = 0; i < n; i++)
        sums[i + 1] = sums[i] + (double)values[i];
    bool moves = n > 0;
    for (size_t step = 0; step < STEPS_MOST && moves; step++) {
        double centroids[GYRE_CODEBOOK_SIZE];
        moves = false;
        for (size_t c = 0, first = 0, last; c < levels; c++, first = last) {
            last = c + 1 < levels ? up_to(values, n, m->book.limit[c]) : n;
            centroids[c] = last > first ? (double)(float)((sums[last] - sums[first]) / (double)(last - first)) : (double)m->book.centroid[c];
            moves |= (float)centroids[c] != m->book.centroid[c];
        }
        gyre_codebook_set(&m->book, m->book.bits, centroids);
    }
done:
    free(values);
    free(sums);
    return st;
}

const gyre_quantizer_type gyre_quantizer_lloyd_max = {
    .name = "lloyd_max",
    .summary = "row norm and the Lloyd-Max codebook of the normal density; TurboQuant-mse behind haar",
    .source = "arXiv 2504.19874 (TurboQuant), section 3.1",
    .bits_formula = "ceil(bits * dim / 8) * 8 / dim + (16 or 32) / dim",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = free,
    .options = table,
    .refine = refine,
    .stored_bits = stored_bits,
    .fit = fit,
};
