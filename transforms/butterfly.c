/* butterfly: log2 d stages of d/2 planar rotations each; stage s = 0, 1, ... turns the pairs (i, i + 2^s), bit s of i not set (transforms/planar.h).
 *
 * The parametrisation of ButterflyQuant (arXiv 2509.09679, section 3):
 *
 *   angles: random     uniform in (0, 2 pi): angle s d/2 + p is 2 pi times that uniform number of docs/random.md, purpose 3; per layer or per head
 *   angles: hadamard   all pi/4: every entry is +-1/sqrt(d), a Hadamard matrix up to the signs of rows and columns; no seed
 *   angles: zero       the identity; with `learn` alone
 *
 * `learn: true`: the angles are learned from there, with Gaussian noise of size `noise` added at the start (purpose 8, by restart); they are (d/2) log2 d true
 * degrees of freedom and are stored. d a power of two, 3 d log2 d operations; nothing stored unless learned. With random angles it is orthogonal but far from uniform on O(d).
 */
#include <stdio.h>

#include "transforms/planar.h"

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    bool ok = site->dim >= 2 && (site->dim & (site->dim - 1)) == 0;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not a power of two from 2 on", site->dim);
    return ok && gyre_planar_applicable(values, why);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    size_t stages = 0;
    while (((size_t)1 << stages) < site->dim)
        stages++;
    return gyre_planar_new(site, ordinal, values, stages, state, err);
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
    .options = gyre_planar_table,
    .refine = gyre_planar_refine,
    .applicable = applicable,
    .stored = gyre_planar_stored,
    .learnable = &gyre_planar_learnable,
};
