/* permutation: y_i = x_{p_i}.
 *
 *   kind: random   p of docs/random.md (purpose 5), per layer or per head
 *   kind: zigzag   channels sorted by their largest absolute value over the calibration rows (descending; of equal ones the lower index first) are dealt to
 *                  the K = d / block blocks in turn, forwards, then backwards, and so on: the channel of rank r = t K + u goes to place t of block u (even t)
 *                  or K - 1 - u (odd t). DuQuant (arXiv 2406.01721, section 3), where it stands between two block rotations.
 *
 * Any dimension (zigzag: multiples of block); d moves. zigzag stores d ceil(log2 d) bits, counted as whole float32 values. No rotation: it acts only through
 * what groups or blocks come after it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "transforms/transform.h"

enum { RANDOM, ZIGZAG, REF_MOST = 4096 };

typedef struct options {
    int kind, per;
    int64_t block;
} options;

typedef struct permutation {
    size_t dim, block; /* block 0: random */
    uint32_t from[];
} permutation;

static const char *const kinds[] = {"random", "zigzag", NULL}, *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"kind", GYRE_OPTION_CHOICE, offsetof(options, kind), "random", 0, 0, kinds, "", "drawn, or by the channels' largest magnitudes"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one permutation"},
    {"block", GYRE_OPTION_INT, offsetof(options, block), "16", 1, 4096, NULL, "", "zigzag: coordinates of a block"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    const options *o = values;
    if (o->kind == ZIGZAG) {
        traits->flags &= ~(unsigned)GYRE_SEEDED;
        traits->needs = GYRE_NEEDS_CALIBRATION;
        traits->pooled = o->per == 0;
    }
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    const options *o = values;
    bool ok = site->dim <= REF_MOST;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is above %d", site->dim, (int)REF_MOST);
    else if (o->kind == ZIGZAG && site->dim % (size_t)o->block != 0) {
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is no multiple of block = %lld", site->dim, (long long)o->block);
        ok = false;
    }
    return ok;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    permutation *p = NULL;
    GYRE_TRY(gyre_calloc((void **)&p, 1, sizeof *p + site->dim * sizeof *p->from, err));
    p->dim = site->dim;
    p->block = o->kind == ZIGZAG ? (size_t)o->block : 0;
    for (size_t i = 0; i < p->dim; i++)
        p->from[i] = (uint32_t)i;
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_PERMUTATION, ordinal, o->per == 1);
    if (o->kind == RANDOM)
        gyre_random_permutation(&stream, p->from, p->dim);
    *state = p;
done:
    return st;
}

typedef struct channel {
    float most;
    uint32_t index;
} channel;

static int by_magnitude(const void *a, const void *b)
{
    const channel *x = a, *y = b;
    if (x->most != y->most)
        return x->most > y->most ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    permutation *p = state;
    channel *channels = NULL;
    if (p->block == 0)
        return GYRE_OK;
    if (rows->n == 0)
        GYRE_FAIL(GYRE_E_INPUT, "permutation by zigzag has no calibration rows: name calibration documents");
    GYRE_NEW(&channels, p->dim);
    for (size_t i = 0; i < p->dim; i++)
        channels[i].index = (uint32_t)i;
    for (size_t r = 0; r < rows->n; r++)
        for (size_t i = 0; i < p->dim; i++)
            channels[i].most = fmaxf(channels[i].most, fabsf(rows->x[r * rows->stride + i]));
    qsort(channels, p->dim, sizeof *channels, by_magnitude);
    size_t blocks = p->dim / p->block;
    for (size_t rank = 0; rank < p->dim; rank++) {
        size_t turn = rank / blocks, u = rank % blocks, to = turn % 2 == 0 ? u : blocks - 1 - u;
        p->from[to * p->block + turn] = channels[rank].index;
    }
done:
    free(channels);
    return st;
}

static size_t stored(const void *state)
{
    const permutation *p = state;
    size_t bits = 0;
    while (((size_t)1 << bits) < p->dim)
        bits++;
    return p->block == 0 ? 0 : (p->dim * bits + 31) / 32;
}

static size_t scratch_bytes(const void *state)
{
    return ((const permutation *)state)->dim * sizeof(float);
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const permutation *p = state;
    float *row = scratch;
    for (size_t r = 0; r < n; r++, x += stride) {
        memcpy(row, x, p->dim * sizeof *row);
        for (size_t i = 0; i < p->dim; i++)
            x[i] = row[p->from[i]];
    }
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos;
    const permutation *p = state;
    float *row = scratch;
    for (size_t r = 0; r < n; r++, x += stride) {
        memcpy(row, x, p->dim * sizeof *row);
        for (size_t i = 0; i < p->dim; i++)
            x[p->from[i]] = row[i];
    }
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const permutation *p = state;
    double y[REF_MOST];
    memcpy(y, x, p->dim * sizeof *y);
    for (size_t i = 0; i < p->dim; i++)
        x[i] = y[p->from[i]];
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const permutation *p = state;
    double y[REF_MOST];
    memcpy(y, x, p->dim * sizeof *y);
    for (size_t i = 0; i < p->dim; i++)
        x[p->from[i]] = y[i];
}

const gyre_transform_type gyre_transform_permutation = {
    .name = "permutation",
    .summary = "channels in another order: random, or DuQuant's zigzag",
    .source = "arXiv 2406.01721, section 3 (zigzag)",
    .dims = "1 to 4096; zigzag: multiples of block",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = free,
    .options = table,
    .refine = refine,
    .applicable = applicable,
    .scratch = scratch_bytes,
    .stored = stored,
    .fit = fit,
};
