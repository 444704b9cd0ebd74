/* stiefel: y = R x, R orthogonal, learned as a matrix by steps on the orthogonal group.
 *
 * SGD-G of Li, Li and Todorovic (ICLR 2020, arXiv 2002.01113, algorithm 1) as SpinQuant learns its rotations (arXiv 2405.16406, section 3.2, and train_utils/optimizer.py): with
 * G = dL/dR, momentum B and rate r (the option `rate` times the schedule's factor; the fit's optimiser does nothing here),
 *
 *     B <- momentum B + G,   W = (R'B - B'R) / 2,   a = min(r, 1 / (|W|_1 + 1e-8)),   B <- R W
 *     Y <- R - a R W, then five times Y <- R - a (R + Y) W / 2,   R <- the orthogonal matrix nearest to Y
 *
 * The five iterations tend to the Cayley transform R (I - a W/2) (I + a W/2)^-1 and need no solve. Differences from that code:
 *   - it begins the iterations at R - a B, not at the tangent part of B; the algorithm has the latter
 *   - its momentum buffer is never written, so that its momentum is 0 whatever was asked, as is the default here
 *   - it divides rows by their norms in each step and once in 101 steps, at random, takes the Q of a QR; here every step ends on the group, by Newton's iteration X <- X (3 I - X'X) / 2
 *     (Schulz; Higham, "Functions of Matrices", 2008, section 8.3): nothing is drawn, and R'R = I to 1e-14
 *
 * The d^2 parameters are a matrix and R is the orthogonal one nearest to it, so what float32 rounds off the stored values does no harm: forward and inverse are exact transposes of each
 * other. Freedom d(d-1)/2, stored d^2 float32, once per layer or per head. The gradient to the parameters, (G - R G'R) / 2, is exact where they are orthogonal, as after a step. Start: the
 * identity, from which all restarts are one; or (seeded) uniform on O(d) as haar makes it, of normals with purpose 8, other ones in each restart. The sign of the determinant never
 * changes. d from 2 to 1024; 2 d^2 operations a row; a step and its gradient are about 15 products of d x d matrices.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "transforms/matrix.h"

enum { DIM_MOST = 1024, FIXED_POINT = 5, NEWTON_MOST = 40 };

typedef struct options {
    int start;
    double rate, momentum;
    int per;
} options;

typedef struct stiefel {
    gyre_matrix matrix; /* R; first */
    size_t square;
    double rate, momentum;
    double *theta, *b, *w, *y, *z;
} stiefel;

static const char *const starts[] = {"identity", "haar", NULL}, *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"start", GYRE_OPTION_CHOICE, offsetof(options, start), "identity", 0, 0, starts, "", "R before the first step"},
    {"rate", GYRE_OPTION_REAL, offsetof(options, rate), "1.5", 0, 1e6, NULL, "", "largest step; 1 / |W|_1 bounds it too"},
    {"momentum", GYRE_OPTION_REAL, offsetof(options, momentum), "0", 0, 0.9999, NULL, "", "how much of the last direction is kept"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one rotation"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    const options *o = values;
    traits->pooled = o->per == 0;
    if (o->start == 1)
        traits->flags |= GYRE_SEEDED;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    bool ok = site->dim >= 2 && site->dim <= DIM_MOST;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not in 2..%d", site->dim, (int)DIM_MOST);
    return ok;
}

static void release(void *state)
{
    stiefel *s = state;
    if (s == NULL)
        return;
    double *const blocks[] = {s->theta, s->b, s->w, s->y, s->z};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    gyre_matrix_clear(&s->matrix);
    free(s);
}

/* The largest sum of the magnitudes of a row; not finite where an entry is not. */
static double norm(const double *w, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += fabs(w[i * n + j]);
        if (!isfinite(sum))
            return sum;
        most = fmax(most, sum);
    }
    return most;
}

/* ---- the nearest orthogonal matrix ---- */

/* In place. Each round squares the distance from the group: one that starts below 1e-8 is the last. False where the matrix is no perturbation of an orthogonal one. */
static bool orthogonalise(const stiefel *s, double *x)
{
    size_t n = s->matrix.dim;
    double off = 1;
    for (int round = 0; round < NEWTON_MOST && off > 1e-8; round++) {
        gyre_matrix_product(n, true, x, false, x, 1.0, 0.0, s->z);
        for (size_t i = 0; i < n; i++)
            s->z[i * n + i] -= 1.0;
        off = norm(s->z, n);
        if (!(off < 1e6))
            return false;
        memcpy(s->y, x, s->square * sizeof *x);
        gyre_matrix_product(n, false, s->y, false, s->z, -0.5, 1.0, x);
    }
    return off <= 1e-8;
}

static gyre_status update(void *state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    stiefel *s = state;
    memcpy(s->matrix.m, s->theta, s->square * sizeof(double));
    if (!orthogonalise(s, s->matrix.m))
        GYRE_FAIL(GYRE_E_RANGE, "the parameters are not finite or too far from an orthogonal matrix");
    gyre_matrix_refresh(&s->matrix);
done:
    return st;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    stiefel *s = NULL;
    size_t n = site->dim;
    GYRE_NEW(&s, 1);
    s->square = n * n;
    s->rate = o->rate;
    s->momentum = o->momentum;
    GYRE_TRY(gyre_matrix_room(&s->matrix, n, s->square, err));
    double **const blocks[] = {&s->theta, &s->b, &s->w, &s->y, &s->z};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        GYRE_NEW(blocks[i], s->square);
    if (o->start == 1) {
        gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_START, ordinal, o->per == 1);
        gyre_random_normals(&stream, s->theta, s->square);
        GYRE_TRY(gyre_matrix_haar(s->theta, n, err));
    }
    for (size_t i = 0; o->start == 0 && i < n; i++)
        s->theta[i * n + i] = 1.0;
    GYRE_TRY(update(s, err));
    *state = s;
    s = NULL;
done:
    release(s);
    return st;
}

/* ---- learning ---- */

static double *parameters(void *state, size_t *count)
{
    stiefel *s = state;
    *count = s->square;
    return s->theta;
}

static void matrix(const void *state, double *m)
{
    const stiefel *s = state;
    memcpy(m, s->matrix.m, s->square * sizeof *m);
}

static size_t freedom(const void *state)
{
    size_t n = ((const stiefel *)state)->matrix.dim;
    return n * (n - 1) / 2;
}

/* w = (R'g - g'R) / 2: the direction R w is the part of g along the group. */
static void skew_part(const stiefel *s, const double *g)
{
    size_t n = s->matrix.dim;
    gyre_matrix_product(n, true, s->matrix.m, false, g, 1.0, 0.0, s->z);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            s->w[i * n + j] = 0.5 * (s->z[i * n + j] - s->z[j * n + i]);
}

static void backward(void *state, const double *g, double *gradient)
{
    stiefel *s = state;
    skew_part(s, g);
    gyre_matrix_product(s->matrix.dim, false, s->matrix.m, false, s->w, 1.0, 1.0, gradient);
}

/* The parameters themselves back on the group. Where that fails they stay, and update says so. */
static void gauge(void *state)
{
    stiefel *s = state;
    memcpy(s->w, s->theta, s->square * sizeof(double));
    if (orthogonalise(s, s->w))
        memcpy(s->theta, s->w, s->square * sizeof(double));
}

static void descend(void *state, const double *gradient, double factor)
{
    stiefel *s = state;
    size_t n = s->matrix.dim;
    const double *r = s->matrix.m;
    for (size_t i = 0; i < s->square; i++)
        s->b[i] = s->momentum * s->b[i] + gradient[i];
    skew_part(s, s->b);
    double step = fmin(s->rate * factor, 1.0 / (norm(s->w, n) + 1e-8));
    gyre_matrix_product(n, false, r, false, s->w, 1.0, 0.0, s->b);
    for (size_t i = 0; i < s->square; i++)
        s->y[i] = r[i] - step * s->b[i];
    for (int k = 0; k < FIXED_POINT; k++) {
        for (size_t i = 0; i < s->square; i++)
            s->z[i] = r[i] + s->y[i];
        memcpy(s->y, r, s->square * sizeof *r);
        gyre_matrix_product(n, false, s->z, false, s->w, -0.5 * step, 1.0, s->y);
    }
    memcpy(s->theta, s->y, s->square * sizeof *r);
}

static const gyre_learnable learnable = {
    .parameters = parameters,
    .update = update,
    .matrix = matrix,
    .backward = backward,
    .freedom = freedom,
    .gauge = gauge,
    .descend = descend,
};

const gyre_transform_type gyre_transform_stiefel = {
    .name = "stiefel",
    .summary = "learned orthogonal matrix, by steps on the orthogonal group (SGD-G)",
    .source = "arXiv 2405.16406 (SpinQuant), section 3.2; arXiv 2002.01113, algorithm 1",
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
    .options = table,
    .refine = refine,
    .applicable = applicable,
    .scratch = gyre_matrix_scratch,
    .stored = gyre_matrix_stored,
    .learnable = &learnable,
};
