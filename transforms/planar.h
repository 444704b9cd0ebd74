/* Planar rotations: what butterfly and givens share.
 *
 * One stage turns the pairs (i, i + h), i with (i mod 2h) < h, counted p = 0 .. d/2 - 1 in the order of i: (a, b) becomes (a cos t_p - b sin t_p,
 * a sin t_p + b cos t_p). A transform is some stages, h = 1, 2, 4, ..., stage 0 first; stage s uses angles s d/2 .. (s+1) d/2 - 1.
 */
#ifndef GYRE_TRANSFORMS_PLANAR_H
#define GYRE_TRANSFORMS_PLANAR_H

#include "core/random.h"
#include "transforms/transform.h"

/* `stages` of d/2 angles each: uniform in (0, 2 pi), 2 pi times uniform number p of docs/random.md (purpose 3), or all pi/4 where `stream` is NULL. */
gyre_status gyre_planar_new(size_t dim, size_t stages, const gyre_random *stream, void **state, gyre_error *err);
void gyre_planar_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_planar_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_planar_forward_ref(const void *state, double *x, int32_t pos);
void gyre_planar_inverse_ref(const void *state, double *x, int32_t pos);
void gyre_planar_free(void *state);

#endif
