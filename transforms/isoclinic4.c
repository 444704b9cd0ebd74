/* isoclinic4: each block of four coordinates, read as a quaternion v, becomes q_L v (form: fast) or q_L v conj(q_R) (form: full).
 *
 * IsoQuant (arXiv 2603.28430, Fast and Full). Left products are the left-isoclinic rotations of four dimensions, three parameters; both sides together are
 * all of SO(4), six. Unit quaternions are four normals over their length, as w, x, y, z, hence uniform: block b (coordinates 4b .. 4b + 3) has normals 4b .. 4b + 3 of
 * docs/random.md, purpose 4, for q_L, and d + 4b .. d + 4b + 3 for q_R, so that both forms have the same q_L. Multiples of 4; 7 d operations by 4 x 4 matrices
 * for either form, nothing stored; per layer or head. It mixes four coordinates only, so a spike keeps at least half of its height.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/random.h"
#include "transforms/quaternion.h"

enum { FAST, FULL };

typedef struct options {
    int form, per;
} options;

typedef struct isoclinic4 {
    size_t blocks;
    double *left, *right; /* [block, 4]; right is 1 for fast */
    float *m;             /* [block, 4, 4] */
} isoclinic4;

static const char *const forms[] = {"fast", "full", NULL}, *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"form", GYRE_OPTION_CHOICE, offsetof(options, form), "fast", 0, 0, forms, "", "one quaternion on the left, or one on each side"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one draw"},
    {0},
};

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    if (site->dim % 4 != 0)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is no multiple of 4", site->dim);
    return site->dim % 4 == 0;
}

static void release(void *state)
{
    isoclinic4 *t = state;
    if (t == NULL)
        return;
    free(t->m);
    free(t->right);
    free(t->left);
    free(t);
}

/* v becomes a v conj(b). */
static void turn(const double a[4], const double b[4], double v[4])
{
    double left[4], back[4], out[4];
    gyre_quaternion_conjugate(b, back);
    gyre_quaternion_product(a, v, left);
    gyre_quaternion_product(left, back, out);
    for (int i = 0; i < 4; i++)
        v[i] = out[i];
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    double *normals = NULL;
    isoclinic4 *t = NULL;
    GYRE_NEW(&t, 1);
    t->blocks = site->dim / 4;
    GYRE_NEW(&normals, 2 * site->dim);
    GYRE_NEW(&t->left, site->dim);
    GYRE_NEW(&t->right, site->dim);
    GYRE_NEW(&t->m, 4 * site->dim);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_NORMALS, ordinal, o->per == 1);
    gyre_random_normals(&stream, normals, 2 * site->dim);
    for (size_t i = 0; i < site->dim; i++) {
        t->left[i] = normals[i];
        t->right[i] = o->form == FULL ? normals[site->dim + i] : i % 4 == 0 ? 1.0 : 0.0;
    }
    for (size_t b = 0; b < t->blocks; b++) {
        gyre_quaternion_normalise(t->left + 4 * b);
        gyre_quaternion_normalise(t->right + 4 * b);
        for (size_t j = 0; j < 4; j++) {
            double column[4] = {0};
            column[j] = 1.0;
            turn(t->left + 4 * b, t->right + 4 * b, column);
            for (size_t i = 0; i < 4; i++)
                t->m[16 * b + 4 * i + j] = (float)column[i];
        }
    }
    *state = t;
    t = NULL;
done:
    free(normals);
    release(t);
    return st;
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const isoclinic4 *t = state;
    gyre_blocks_apply(t->m, 4, t->blocks, false, x, n, stride);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    (void)pos, (void)scratch;
    const isoclinic4 *t = state;
    gyre_blocks_apply(t->m, 4, t->blocks, true, x, n, stride);
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const isoclinic4 *t = state;
    for (size_t b = 0; b < t->blocks; b++)
        turn(t->left + 4 * b, t->right + 4 * b, x + 4 * b);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    (void)pos;
    const isoclinic4 *t = state;
    for (size_t b = 0; b < t->blocks; b++) {
        double left[4], right[4];
        gyre_quaternion_conjugate(t->left + 4 * b, left);
        gyre_quaternion_conjugate(t->right + 4 * b, right);
        turn(left, right, x + 4 * b);
    }
}

const gyre_transform_type gyre_transform_isoclinic4 = {
    .name = "isoclinic4",
    .summary = "random isoclinic rotations of blocks of four coordinates",
    .source = "arXiv 2603.28430 (IsoQuant, Fast and Full)",
    .dims = "multiples of 4",
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
