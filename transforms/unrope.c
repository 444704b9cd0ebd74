/* unrope: undoes the rotary position embedding at the row's own position (RoFormer, arXiv 2104.09864, section 3.2), so that what follows sees keys as they were
 * before RoPE. The inverse applies RoPE again.
 *
 *     theta_0 = pos, theta_{i+1} = theta_i * powf(base, -2/n_rot) in float, angle_i = freq_scale * theta_i / factor_i
 *     (x_a, x_b) -> (x_a cos + x_b sin, -x_a sin + x_b cos) for the pair (a, b) = (2i, 2i+1) or (i, i + n_rot/2)
 *
 * The recurrence is the engine's own, in float: against it the row error is 1e-7; exact angles in double would differ by 1e-5 at position 500. Orthogonal at each
 * position, all of d rotated. K only. Scaled magnitude (YaRN), partial and unknown kinds are refused. Cost: 3d flops, and d/2 sines and cosines where the position
 * is beyond the table.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transforms/transform.h"

enum { TABLE_MOST_ROWS = 1024, DIM_MOST = 4096 };

typedef struct unrope {
    size_t half;          /* pairs */
    bool neox;
    float step, freq_scale;
    const float *factors; /* borrowed, or NULL */
    size_t table_rows;
    float *table;         /* [position][cos(half), sin(half)] */
} unrope;

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    (void)values;
    const gyre_rope *r = site->rope;
    if (r == NULL || r->kind == GYRE_ROPE_NONE)
        (void)snprintf(why, GYRE_WHY, "the model has no rotary embedding here");
    else if (r->kind == GYRE_ROPE_OTHER)
        (void)snprintf(why, GYRE_WHY, "the model's kind of rotary embedding is not known (only normal and neox pairs are)");
    else if (r->n_rot != site->dim)
        (void)snprintf(why, GYRE_WHY, "partial rotary embedding: %u of %zu coordinates", r->n_rot, site->dim);
    else if (site->dim % 2 != 0 || site->dim > DIM_MOST)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is odd or above %d", site->dim, (int)DIM_MOST);
    else if (r->ext_factor != 0.0f || r->attn_factor != 1.0f)
        (void)snprintf(why, GYRE_WHY, "rotary embedding with scaled magnitude (YaRN: ext_factor %g, attn_factor %g)", (double)r->ext_factor,
                       (double)r->attn_factor);
    else
        return true;
    return false;
}

static void angles(const unrope *u, int32_t pos, float *c, float *s)
{
    float theta = (float)pos;
    for (size_t i = 0; i < u->half; i++) {
        float angle = u->freq_scale * (u->factors != NULL ? theta / u->factors[i] : theta);
        c[i] = cosf(angle);
        s[i] = sinf(angle);
        theta *= u->step;
    }
}

static void release(void *state)
{
    unrope *u = state;
    if (u != NULL)
        free(u->table);
    free(u);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal, (void)values;
    gyre_status st = GYRE_OK;
    unrope *u = NULL;
    GYRE_NEW(&u, 1);
    u->half = site->dim / 2;
    u->neox = site->rope->kind == GYRE_ROPE_NEOX;
    u->step = powf(site->rope->base, -2.0f / (float)site->rope->n_rot);
    u->freq_scale = site->rope->freq_scale;
    u->factors = site->rope->factors;
    u->table_rows = site->n_positions < TABLE_MOST_ROWS ? site->n_positions : TABLE_MOST_ROWS;
    GYRE_NEW(&u->table, u->table_rows * site->dim);
    for (size_t p = 0; p < u->table_rows; p++)
        angles(u, (int32_t)p, u->table + p * site->dim, u->table + p * site->dim + u->half);
    *state = u;
    u = NULL;
done:
    release(u);
    return st;
}

static size_t scratch_bytes(const void *state)
{
    return 2 * ((const unrope *)state)->half * sizeof(float);
}

/* Rotates every pair by -angle (direction +1 of sine: undo) or by +angle. */
static void rotate(const unrope *u, float *x, size_t n, size_t stride, const int32_t *pos, float *scratch, float direction)
{
    size_t between = u->neox ? u->half : 1, along = u->neox ? 1 : 2;
    for (size_t r = 0; r < n; r++, x += stride) {
        const float *cs = scratch;
        if (pos[r] >= 0 && (size_t)pos[r] < u->table_rows)
            cs = u->table + (size_t)pos[r] * 2 * u->half;
        else
            angles(u, pos[r], scratch, scratch + u->half);
        for (size_t i = 0; i < u->half; i++) {
            float c = cs[i], s = direction * cs[u->half + i];
            float *a = x + i * along, *b = a + between;
            float xa = *a, xb = *b;
            *a = xa * c + xb * s;
            *b = xb * c - xa * s;
        }
    }
}

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    rotate(state, x, n, stride, pos, scratch, 1.0f);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    rotate(state, x, n, stride, pos, scratch, -1.0f);
}

static void rotate_ref(const unrope *u, double *x, int32_t pos, double direction)
{
    float c[DIM_MOST / 2], s[DIM_MOST / 2];
    angles(u, pos, c, s);
    for (size_t i = 0; i < u->half; i++) {
        /* the float angle is part of the definition; its sine and cosine are made exactly orthonormal in double */
        double norm = hypot((double)c[i], (double)s[i]), cd = (double)c[i] / norm, sd = direction * (double)s[i] / norm;
        size_t a = u->neox ? i : 2 * i, b = u->neox ? i + u->half : 2 * i + 1;
        double xa = x[a], xb = x[b];
        x[a] = xa * cd + xb * sd;
        x[b] = xb * cd - xa * sd;
    }
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    rotate_ref(state, x, pos, 1.0);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    rotate_ref(state, x, pos, -1.0);
}

const gyre_transform_type gyre_transform_unrope = {
    .name = "unrope",
    .summary = "undo the rotary embedding at the row's position",
    .source = "arXiv 2104.09864 (RoFormer), section 3.2; angles as ggml computes them",
    .dims = "even, all of it rotary",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL,
               .needs = GYRE_NEEDS_POSITION,
               .accepts = GYRE_FRAME_POST_ROPE,
               .becomes = GYRE_FRAME_PRE_ROPE,
               .fold_into_query = GYRE_FOLD_PER_POSITION},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = release,
    .applicable = applicable,
    .scratch = scratch_bytes,
};
