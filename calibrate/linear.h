/* The tail of a chain: its elements from the first learned one on, as one matrix M and its inverse, and gradients through them.
 *
 * With elements E_1 .. E_m (y = E_m ... E_1 z), a gradient G = dL/dM goes to E_j as (E_m ... E_j+1)' G (E_j-1 ... E_1)'. Everything is d x d, row-major, in double. Several heads that learn
 * together share the matrices; the parameters that move are those of the first head, `share` copies them to the others.
 */
#ifndef GYRE_CALIBRATE_LINEAR_H
#define GYRE_CALIBRATE_LINEAR_H

#include "codec/codec.h"

typedef struct gyre_tail gyre_tail;

/* GYRE_E_INPUT where an element that is not learned differs between heads that learn together. A chain without learned elements has an empty tail: M = I. */
gyre_status gyre_tail_new(gyre_codec *codec, size_t place, size_t first, size_t last, gyre_tail **out, gyre_error *err);
void gyre_tail_free(gyre_tail *t);

size_t gyre_tail_first(const gyre_tail *t); /* place of E_1 in the chain */
bool gyre_tail_pooled(const gyre_tail *t);  /* all heads learn together (so it is where nothing is learned) */
size_t gyre_tail_count(const gyre_tail *t); /* parameters */
size_t gyre_tail_freedom(const gyre_tail *t);
void gyre_tail_get(const gyre_tail *t, double *theta);
void gyre_tail_set(gyre_tail *t, const double *theta);

/* One step: theta from the optimiser, except where an element steps on its manifold by the gradient; gauges. */
void gyre_tail_move(gyre_tail *t, const double *theta, const double *gradient, double factor);

/* M and M^-1 of the present parameters. GYRE_E_RANGE as gyre_learnable.update. */
gyre_status gyre_tail_update(gyre_tail *t, gyre_error *err);
void gyre_tail_floats(const gyre_tail *t, float *m, float *inverse);

/* K = M^-T W M^-1 per head. K stays diagonal where the tail is orthogonal elements and then diagonal ones, and every W a multiple of the identity. */
void gyre_tail_weigh(gyre_tail *t, const double *const *w, double **k);
bool gyre_tail_diagonal(const gyre_tail *t);

/* g_m += -2 K g_k M^-T - M^-T g_decode M^-T; of a diagonal K only the diagonal of g_k is read; g_decode may be NULL. */
void gyre_tail_add(gyre_tail *t, const double *k, const double *g_k, const double *g_decode, double *g_m);

/* gradient += dL/dtheta where g_m = dL/dM. */
void gyre_tail_backward(gyre_tail *t, const double *g_m, double *gradient);

/* The first head's parameters to all heads. */
gyre_status gyre_tail_share(gyre_tail *t, gyre_error *err);

#endif
