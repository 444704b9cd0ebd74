/* The frame of a fit: rows where they stand before the first learned element of a chain (all of the chain where nothing is learned), and how queries and errors look there.
 *
 * The elements before it are fixed once they are fitted: z = C R_s^-1 x + c, where R_s is the rotary embedding at the row's position s (only `unrope` depends on positions; it comes first
 * among the elements that are not plain shifts) and C one matrix. Then for an error d in the frame
 *
 *     |x^ - x|^2 = d' C^-T C^-1 d          q'(k^ - k) = u_s' d     with u_s = C^-T R_s' q
 *
 * exactly; for orthogonal C the first is |d|^2. A frame borrows the codec's chain and is immutable.
 */
#ifndef GYRE_CALIBRATE_BASE_H
#define GYRE_CALIBRATE_BASE_H

#include "codec/codec.h"

typedef struct gyre_base gyre_base;

/* The first `count` elements of the chain of this head. */
gyre_status gyre_base_new(gyre_codec *codec, size_t stream, size_t head, size_t count, gyre_base **out, gyre_error *err);
void gyre_base_free(gyre_base *base);

/* Rows to the frame: x (n x dim, model order) to z. Scratch: gyre_base_scratch bytes, aligned to 64, for all functions here. */
size_t gyre_base_scratch(const gyre_base *base);
void gyre_base_rows(const gyre_base *base, const float *x, const int32_t *pos, size_t n, float *z, void *scratch);

/* Does u depend on the key's position? */
bool gyre_base_turns(const gyre_base *base);

/* u of a query (codec order: gyre_base_query_order) for keys at n positions: n x dim. pos is the keys'. */
void gyre_base_query_order(const gyre_base *base, const float *q, float *out, void *scratch);
void gyre_base_query(const gyre_base *base, const float *q, const int32_t *pos, size_t n, float *u, void *scratch);

/* Errors of n rows in the frame to errors of the rows in the codec's order, x = R_s C^-1 delta; and the adjoint, out = C^-T R_s' x (x is changed): what dL/dx is in the frame. out is not x. */
void gyre_base_errors(const gyre_base *base, const float *delta, const int32_t *pos, size_t n, float *out, void *scratch);
void gyre_base_errors_back(const gyre_base *base, float *x, const int32_t *pos, size_t n, float *out, void *scratch);

/* C^-T C^-1, dim x dim. */
void gyre_base_weight(const gyre_base *base, double *w);

/* C in double and C^-1, dim x dim; for tests and for whoever adds to W. */
const double *gyre_base_inverse(const gyre_base *base);

#endif
