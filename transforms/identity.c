/* identity: y = x.
 *
 * The control every rotation is measured against. Any dimension, no cost. It is not the arm `exact`: its rows are still quantized. In a chain it
 * adds nothing, so `[]` and `[identity]` have one cell key.
 */
#include "transforms/transform.h"

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *options, void **state, gyre_error *err)
{
    (void)site, (void)ordinal, (void)options, (void)err;
    *state = NULL;
    return GYRE_OK;
}

static void nothing(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)state, (void)x, (void)n, (void)stride, (void)pos, (void)scratch;
}

static void nothing_ref(const void *state, double *x, int32_t pos)
{
    (void)state, (void)x, (void)pos;
}

static void release(void *state)
{
    (void)state;
}

const gyre_transform_type gyre_transform_identity = {
    .name = "identity",
    .summary = "no change: the control",
    .source = "-",
    .dims = "any",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_DIAGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_SAME, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = nothing,
    .inverse = nothing,
    .forward_ref = nothing_ref,
    .inverse_ref = nothing_ref,
    .free = release,
};
