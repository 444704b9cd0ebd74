/* haar: y = Q x, Q orthogonal and uniform on O(d): the Q of the QR of a d x d Gaussian matrix, columns times sign(diag R).
 *
 * F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54 (2007), section 5; without the signs the Q of a QR
 * is not uniform. Entry (i, j) of the Gaussian matrix is normal i d + j of docs/random.md (purpose 4). Built in double. d up to 4096, 2 d^2 operations,
 * nothing stored (the seed yields Q). One draw per layer or per head. Q is applied to keys and values, Q' undoes it. It has no fast algorithm, and its
 * largest entry is about sqrt(2 ln(d^2) / d), above that of hadamard and rfft: a spike is spread less evenly.
 */
#include <stdlib.h>

#include "core/random.h"
#include "transforms/matrix.h"

typedef struct options {
    int per;
} options;

static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    double *q = NULL, *taken;
    GYRE_NEW(&q, site->dim * site->dim);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, q, site->dim * site->dim);
    GYRE_TRY(gyre_matrix_haar(q, site->dim, err));
    taken = q;
    q = NULL;
    GYRE_TRY(gyre_matrix_new(site->dim, taken, NULL, 0, state, err));
done:
    free(q);
    return st;
}

const gyre_transform_type gyre_transform_haar = {
    .name = "haar",
    .summary = "dense random orthogonal matrix, uniform on O(d)",
    .source = "Mezzadri, Notices of the AMS 54 (2007), section 5",
    .dims = "1 to 4096",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = gyre_matrix_forward,
    .inverse = gyre_matrix_inverse,
    .forward_ref = gyre_matrix_forward_ref,
    .inverse_ref = gyre_matrix_inverse_ref,
    .free = gyre_matrix_free,
    .options = table,
    .applicable = gyre_matrix_applicable,
    .scratch = gyre_matrix_scratch,
};
