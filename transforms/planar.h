/* Planar rotations: what butterfly and givens share.
 *
 * One stage turns the pairs (i, i + h), i with (i mod 2h) < h, counted p = 0 .. d/2 - 1 in the order of i: (a, b) becomes (a cos t_p - b sin t_p,
 * a sin t_p + b cos t_p). A transform is some stages, h = 1, 2, 4, ..., stage 0 first; stage s uses angles s d/2 .. (s+1) d/2 - 1.
 *
 * Learned, the angles are the parameters, all of them true degrees of freedom. After stage s the product M_s is 2h x 2h blocks on the diagonal, so building it
 * takes O(d^2) operations in all; and so, on the way back, does G_s-1 = S_s' G_s, of which only such blocks are asked:
 * dL/dt_p = <row i + h of G_s, row i of M_s> - <row i of G_s, row i + h of M_s>.
 */
#ifndef GYRE_TRANSFORMS_PLANAR_H
#define GYRE_TRANSFORMS_PLANAR_H

#include "transforms/transform.h"

/* Options of both, and their table. */
typedef struct gyre_planar_options {
    int angles, per;
    double noise;
    bool learn;
} gyre_planar_options;
enum { GYRE_PLANAR_RANDOM, GYRE_PLANAR_HADAMARD, GYRE_PLANAR_ZERO };
extern const gyre_option gyre_planar_table[];
void gyre_planar_refine(const void *options, gyre_traits *traits);
bool gyre_planar_applicable(const void *options, char why[GYRE_WHY]);

/* `stages` of d/2 angles each. random: uniform in (0, 2 pi), 2 pi times uniform number p of docs/random.md (purpose 3); hadamard: all pi/4; zero: 0. Learned,
 * `noise` times normal number p (purpose 8) is added. */
gyre_status gyre_planar_new(const gyre_site *site, unsigned ordinal, const gyre_planar_options *options, size_t stages, void **state, gyre_error *err);
void gyre_planar_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_planar_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_planar_forward_ref(const void *state, double *x, int32_t pos);
void gyre_planar_inverse_ref(const void *state, double *x, int32_t pos);
size_t gyre_planar_stored(const void *state);
extern const gyre_learnable gyre_planar_learnable;
void gyre_planar_free(void *state);

#endif
