/* butterfly: log2 d stages of d/2 planar rotations each; stage s = 0, 1, ... turns the pairs (i, i + 2^s), bit s of i not set (transforms/planar.h).
 *
 * The parametrisation of ButterflyQuant (arXiv 2509.09679, section 3), with angles drawn, not learned:
 *
 *   angles: random     uniform in (0, 2 pi): angle s d/2 + p is 2 pi times that uniform number of docs/random.md, purpose 3; per layer or per head
 *   angles: hadamard   all pi/4: every entry is +-1/sqrt(d), a Hadamard matrix up to the signs of rows and columns; no seed
 *
 * d a power of two, 3 d log2 d operations, nothing stored. With random angles it is orthogonal but far from uniform on O(d): (d/2) log2 d parameters.
 */
#include <stdio.h>

#include "transforms/planar.h"

enum { RANDOM, HADAMARD };

typedef struct options {
    int angles, per;
} options;

static const char *const choices[] = {"random", "hadamard", NULL}, *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"angles", GYRE_OPTION_CHOICE, offsetof(options, angles), "random", 0, 0, choices, "", "drawn, or all pi/4"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "random: what shares one draw"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    if (((const options *)values)->angles == HADAMARD)
        traits->flags &= ~(unsigned)GYRE_SEEDED;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    bool ok = site->dim >= 2 && (site->dim & (site->dim - 1)) == 0;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not a power of two from 2 on", site->dim);
    return ok;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    const options *o = values;
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_ANGLES, ordinal, o->per == 1);
    size_t stages = 0;
    while (((size_t)1 << stages) < site->dim)
        stages++;
    return gyre_planar_new(site->dim, stages, o->angles == RANDOM ? &stream : NULL, state, err);
}

const gyre_transform_type gyre_transform_butterfly = {
    .name = "butterfly",
    .summary = "log2 d stages of planar rotations",
    .source = "arXiv 2509.09679, section 3 (ButterflyQuant)",
    .dims = "powers of two",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = gyre_planar_forward,
    .inverse = gyre_planar_inverse,
    .forward_ref = gyre_planar_forward_ref,
    .inverse_ref = gyre_planar_inverse_ref,
    .free = gyre_planar_free,
    .options = table,
    .refine = refine,
    .applicable = applicable,
};
