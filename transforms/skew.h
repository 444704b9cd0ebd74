/* Learned rotations R(A) of a skew-symmetric A: what expm and cayley share.
 *
 * The parameters are the d(d-1)/2 entries of A below the diagonal, row after row (A_10, A_20, A_21, A_30, ...), A_ij = -A_ji. At the start parameter i is `noise` times normal i of
 * docs/random.md (purpose 8): R is near the identity, and what stands before it in the chain is what is learned from.
 */
#ifndef GYRE_TRANSFORMS_SKEW_H
#define GYRE_TRANSFORMS_SKEW_H

#include "transforms/matrix.h"

enum { GYRE_SKEW_MOST = 1024 };

typedef struct gyre_skew_options {
    double noise;
    int per;
} gyre_skew_options;
extern const gyre_option gyre_skew_table[];

typedef struct gyre_skew {
    gyre_matrix matrix; /* R; first, so that the functions of matrix.h take the whole */
    size_t count;
    double *theta, *a, *g_a; /* parameters, A, dL/dA */
} gyre_skew;

gyre_status gyre_skew_room(gyre_skew *s, const gyre_site *site, unsigned ordinal, const void *options, gyre_error *err); /* theta as at the start */
void gyre_skew_clear(gyre_skew *s);
void gyre_skew_fill(gyre_skew *s);                            /* A of theta */
void gyre_skew_collect(const gyre_skew *s, double *gradient); /* adds dL/dtheta of g_a */

/* For descriptors. */
void gyre_skew_refine(const void *options, gyre_traits *traits);
bool gyre_skew_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY]);
double *gyre_skew_parameters(void *state, size_t *count);
void gyre_skew_matrix(const void *state, double *m);
size_t gyre_skew_freedom(const void *state);

#endif
