/* signs: y_i = s_i x_i, s in {-1, +1}^d drawn from the random stream of docs/random.md (purpose 1).
 *
 * The diagonal of SRHT and SRFT (Ailon and Chazelle 2006; arXiv 2605.05699 section 3). Any dimension, d sign flips. One draw per layer, shared by its heads,
 * as the papers do (`per: layer`), or one per head. Alone it is no rotation: it changes no magnitude.
 */
#include <stdlib.h>

#include "core/random.h"
#include "transforms/transform.h"

typedef struct options {
    int per;
} options;

typedef struct signs {
    size_t dim;
    float sign[];
} signs;

static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    signs *s = NULL;
    GYRE_TRY(gyre_calloc((void **)&s, 1, sizeof *s + site->dim * sizeof *s->sign, err));
    s->dim = site->dim;
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_SIGNS, ordinal, o->per == 1);
    gyre_random_signs(&stream, s->sign, s->dim);
    *state = s;
done:
    return st;
}

static void flip(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const signs *s = state;
    for (size_t r = 0; r < n; r++, x += stride)
        for (size_t i = 0; i < s->dim; i++)
            x[i] *= s->sign[i];
}

static void flip_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const signs *s = state;
    for (size_t i = 0; i < s->dim; i++)
        x[i] *= (double)s->sign[i];
}

const gyre_transform_type gyre_transform_signs = {
    .name = "signs",
    .summary = "random signs, the diagonal of SRHT and SRFT",
    .source = "arXiv 2605.05699, section 3; Ailon and Chazelle, STOC 2006",
    .dims = "any",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED | GYRE_DIAGONAL,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = flip,
    .inverse = flip,
    .forward_ref = flip_ref,
    .inverse_ref = flip_ref,
    .free = free,
    .options = table,
};
