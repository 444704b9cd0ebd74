/* expm: y = R x, R = exp(A), A skew-symmetric and learned.
 *
 * The learned rotation of "When Quantization Is Free" (arXiv 2605.05699), which calls it Cayley and says how it is made: R = expm(U - U'). There U has d^2 numbers; U - U' is what acts,
 * so here the d(d-1)/2 entries of A below its diagonal (skew.h) are the parameters, the degrees of freedom and the float32 values stored, once per layer or per head. At the start A is
 * noise and R near I; every rotation is some exp(A), no reflection is. exp and its derivative by scaling and squaring, in double (matrix_exp.h). d from 2 to 1024; 2 d^2 operations a row,
 * by the float32 table of R; its transpose undoes it. It has no fast algorithm.
 */
#include <stdlib.h>

#include "transforms/matrix_exp.h"
#include "transforms/skew.h"

typedef struct expm {
    gyre_skew skew; /* first */
    gyre_matrix_exp *exp;
} expm;

static void release(void *state)
{
    expm *e = state;
    if (e == NULL)
        return;
    gyre_matrix_exp_free(e->exp);
    gyre_skew_clear(&e->skew);
    free(e);
}

static gyre_status update(void *state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    expm *e = state;
    gyre_skew_fill(&e->skew);
    GYRE_TRY(gyre_matrix_exp_update(e->exp, e->skew.a, e->skew.matrix.m, err));
    gyre_matrix_refresh(&e->skew.matrix);
done:
    return st;
}

static void backward(void *state, const double *g, double *gradient)
{
    expm *e = state;
    gyre_matrix_exp_backward(e->exp, g, e->skew.g_a);
    gyre_skew_collect(&e->skew, gradient);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    expm *e = NULL;
    GYRE_NEW(&e, 1);
    GYRE_TRY(gyre_skew_room(&e->skew, site, ordinal, values, err));
    GYRE_TRY(gyre_matrix_exp_new(site->dim, &e->exp, err));
    GYRE_TRY(update(e, err));
    *state = e;
    e = NULL;
done:
    release(e);
    return st;
}

static const gyre_learnable learnable = {
    .parameters = gyre_skew_parameters,
    .update = update,
    .matrix = gyre_skew_matrix,
    .backward = backward,
    .freedom = gyre_skew_freedom,
};

const gyre_transform_type gyre_transform_expm = {
    .name = "expm",
    .summary = "learned rotation, the exponential of a skew-symmetric matrix",
    .source = "arXiv 2605.05699; Higham, SIAM J. Matrix Anal. Appl. 26(4), 2005",
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
