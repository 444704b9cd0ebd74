/* rotor3: each block of three coordinates is turned by a random rotor: v becomes R v ~R, R = w - x e23 - y e31 - z e12 in Cl(3,0), |R| = 1.
 *
 * RotorQuant's block rotation (named and counted in arXiv 2603.28430). The sandwich is the rotation of the unit quaternion q = (w, x, y, z): v becomes the
 * vector part of q (0, v) conj(q). Uniform on SO(3), q being four normals over their length: block b (coordinates 3b .. 3b + 2) has normals 4b .. 4b + 3 of
 * docs/random.md, purpose 4, as w, x, y, z. Any d from 3 on: the last d mod 3 coordinates stay as they are, nothing is padded. 5 d operations by the 3 x 3
 * matrices, nothing stored; per layer or per head. It mixes three coordinates only, so a spike keeps at least 1/sqrt(3) of its height.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "transforms/quaternion.h"

typedef struct options {
    int per;
} options;

typedef struct rotor3 {
    size_t blocks;
    double *q; /* [block, 4] */
    float *m;  /* [block, 3, 3] */
} rotor3;

static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    if (site->dim < 3)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is below 3", site->dim);
    return site->dim >= 3;
}

static void release(void *state)
{
    rotor3 *t = state;
    if (t == NULL)
        return;
    free(t->m);
    free(t->q);
    free(t);
}

/* Matrix of the rotation of a unit quaternion. */
static void matrix(const double q[4], float m[9])
{
    const double w = q[0], x = q[1], y = q[2], z = q[3];
    const double r[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                         2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                         2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    for (int i = 0; i < 9; i++)
        m[i] = (float)r[i];
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    rotor3 *t = NULL;
    GYRE_NEW(&t, 1);
    t->blocks = site->dim / 3;
    GYRE_NEW(&t->q, 4 * t->blocks);
    GYRE_NEW(&t->m, 9 * t->blocks);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, t->q, 4 * t->blocks);
    for (size_t b = 0; b < t->blocks; b++) {
        gyre_quaternion_normalise(t->q + 4 * b);
        matrix(t->q + 4 * b, t->m + 9 * b);
    }
    *state = t;
    t = NULL;
done:
    release(t);
    return st;
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const rotor3 *t = state;
    gyre_blocks_apply(t->m, 3, t->blocks, false, x, n, stride);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const rotor3 *t = state;
    gyre_blocks_apply(t->m, 3, t->blocks, true, x, n, stride);
}

/* a (0, v) conj(a), of which the vector part is kept. */
static void sandwich(const double a[4], double v[3])
{
    const double in[4] = {0, v[0], v[1], v[2]};
    double left[4], back[4], out[4];
    gyre_quaternion_conjugate(a, back);
    gyre_quaternion_product(a, in, left);
    gyre_quaternion_product(left, back, out);
    for (int i = 0; i < 3; i++)
        v[i] = out[i + 1];
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const rotor3 *t = state;
    for (size_t b = 0; b < t->blocks; b++)
        sandwich(t->q + 4 * b, x + 3 * b);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const rotor3 *t = state;
    for (size_t b = 0; b < t->blocks; b++) {
        double back[4];
        gyre_quaternion_conjugate(t->q + 4 * b, back);
        sandwich(back, x + 3 * b);
    }
}

const gyre_transform_type gyre_transform_rotor3 = {
    .name = "rotor3",
    .summary = "random rotations of blocks of three coordinates",
    .source = "RotorQuant, as in arXiv 2603.28430",
    .dims = "from 3 on; the last d mod 3 coordinates stay",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = release,
    .options = table,
    .applicable = applicable,
};
