/* cayley: y = R x, R = (I - A)^-1 (I + A), A skew-symmetric and learned.
 *
 * A. Cayley, "Sur quelques proprietes des determinants gauches", J. reine angew. Math. 32 (1846): I - A is never singular, R is orthogonal with determinant 1 and has no eigenvalue -1, so
 * half turns are limits alone; near 0 it is exp(2 A) up to O(A^3). As a parametrisation that is learned: Helfrich, Willmott and Ye, ICML 2018 (arXiv 1707.09520). The paper that names its
 * rotation Cayley (arXiv 2605.05699) takes the exponential: that is expm. Parameters, start and what is stored as in expm (skew.h). With G = dL/dR
 *
 *     R = 2 (I - A)^-1 - I,   dL/dA = 2 (I - A)^-T G (I - A)^-T
 *
 * One inverse and two products of d x d matrices for a step and its gradient, in double. d from 2 to 1024; 2 d^2 operations a row.
 */
#include <stdlib.h>

#include "transforms/skew.h"

typedef struct cayley {
    gyre_skew skew; /* first */
    double *q, *work; /* q = (I - A)^-1 */
    lapack_int *pivots;
} cayley;

static void release(void *state)
{
    cayley *c = state;
    if (c == NULL)
        return;
    free(c->pivots);
    free(c->work);
    free(c->q);
    gyre_skew_clear(&c->skew);
    free(c);
}

static bool finite(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] - x[i];
    return sum == 0;
}

static gyre_status update(void *state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    cayley *c = state;
    size_t n = c->skew.matrix.dim;
    double *r = c->skew.matrix.m;
    gyre_skew_fill(&c->skew);
    for (size_t i = 0; i < n * n; i++)
        c->q[i] = (i % (n + 1) == 0 ? 1.0 : 0.0) - c->skew.a[i];
    bool inverted = finite(c->skew.theta, c->skew.count) && gyre_matrix_invert_here(n, c->q, c->pivots, c->work);
    for (size_t i = 0; inverted && i < n * n; i++)
        r[i] = 2.0 * c->q[i] - (i % (n + 1) == 0 ? 1.0 : 0.0);
    if (!inverted || !finite(r, n * n))
        GYRE_FAIL(GYRE_E_RANGE, "the skew matrix has no Cayley transform: an entry is not finite or too large");
    gyre_matrix_refresh(&c->skew.matrix);
done:
    return st;
}

/* dR = 2 Q dA Q, Q = (I - A)^-1. */
static void backward(void *state, const double *g, double *gradient)
{
    cayley *c = state;
    size_t n = c->skew.matrix.dim;
    gyre_matrix_product(n, false, g, true, c->q, 1.0, 0.0, c->work);
    gyre_matrix_product(n, true, c->q, false, c->work, 2.0, 0.0, c->skew.g_a);
    gyre_skew_collect(&c->skew, gradient);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    cayley *c = NULL;
    GYRE_NEW(&c, 1);
    GYRE_TRY(gyre_skew_room(&c->skew, site, ordinal, values, err));
    GYRE_NEW(&c->q, site->dim * site->dim);
    GYRE_NEW(&c->work, site->dim * site->dim);
    GYRE_NEW(&c->pivots, site->dim);
    GYRE_TRY(update(c, err));
    *state = c;
    c = NULL;
done:
    release(c);
    return st;
}

static const gyre_learnable learnable = {
    .parameters = gyre_skew_parameters,
    .update = update,
    .matrix = gyre_skew_matrix,
    .backward = backward,
    .freedom = gyre_skew_freedom,
};

const gyre_transform_type gyre_transform_cayley = {
    .name = "cayley",
    .summary = "learned rotation, the Cayley transform of a skew-symmetric matrix",
    .source = "Cayley, J. reine angew. Math. 32 (1846); arXiv 1707.09520",
    .dims = "2 to 1024",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_LEARNABLE,
               .needs = GYRE_NEEDS_CALIBRATION,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = gyre_matrix_forward,
    .inverse = gyre_matrix_inverse,
    .forward_ref = gyre_matrix_forward_ref,
    .inverse_ref = gyre_matrix_inverse_ref,
    .free = release,
    .options = gyre_skew_table,
    .refine = gyre_skew_refine,
    .applicable = gyre_skew_applicable,
    .scratch = gyre_matrix_scratch,
    .stored = gyre_matrix_stored,
    .learnable = &learnable,
};
