/* givens: planar rotations of the pairs (2p, 2p + 1): (a, b) becomes (a cos t_p - b sin t_p, a sin t_p + b cos t_p).
 *
 * The two-dimensional case of IsoQuant (arXiv 2603.28430), one stage of butterfly, with butterfly's options: t_p is 2 pi times uniform number p of docs/random.md,
 * purpose 3, per layer or per head, or pi/4, or learned (d/2 parameters, stored). W. Givens, J. SIAM 6 (1958). Even d, 3 d operations, nothing stored unless learned. It mixes two
 * coordinates only: a spike keeps at least 1/sqrt(2) of its height.
 */
#include <stdio.h>

#include "transforms/planar.h"

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    if (site->dim % 2 != 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is odd", site->dim);
    return site->dim % 2 == 0 && gyre_planar_applicable(values, why);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    return gyre_planar_new(site, ordinal, values, 1, state, err);
}

const gyre_transform_type gyre_transform_givens = {
    .name = "givens",
    .summary = "planar rotations of neighbouring pairs",
    .source = "Givens, J. SIAM 6 (1958); arXiv 2603.28430 (IsoQuant, 2D)",
    .dims = "even",
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
