/* Transforms: y = T x + c on head vectors, and the contract of their variants.
 *
 * One variant = one file with static functions and one const descriptor, listed by one line in registry.c. A transform is built for one site (stream,
 * layer, head) and is immutable afterwards but for `fit`; it may be shared between threads. Work memory belongs to the caller.
 *
 * Rows are row-major, n x dim, `stride` floats apart (stride >= dim), positions pos[n] (may be NULL where `needs` has no GYRE_NEEDS_POSITION).
 * forward and inverse work in place and do not allocate.
 */
#ifndef GYRE_TRANSFORMS_TRANSFORM_H
#define GYRE_TRANSFORMS_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/options.h"
#include "core/site.h"
#include "core/status.h"

/* Coordinates a row is in. Keys start in POST_ROPE, values in VALUE; whatever breaks the RoPE pairs ends in MIXED. */
typedef enum gyre_frame { GYRE_FRAME_POST_ROPE = 1, GYRE_FRAME_PRE_ROPE = 2, GYRE_FRAME_VALUE = 4, GYRE_FRAME_MIXED = 8 } gyre_frame;
enum { GYRE_FRAME_ANY = 15, GYRE_FRAME_SAME = 0 };
const char *gyre_frame_name(gyre_frame frame);

/* DIAGONAL: y_i depends on x_i alone. LEARNABLE, set by `refine` where the options ask for learning: gradient calibration changes its parameters. */
enum { GYRE_LINEAR = 1, GYRE_ORTHOGONAL = 2, GYRE_SEEDED = 4, GYRE_LEARNABLE = 8, GYRE_DIAGONAL = 16 };
/* QUERIES: the fit of keys needs the queries' second moments. */
enum { GYRE_NEEDS_POSITION = 1, GYRE_NEEDS_BIAS = 2, GYRE_NEEDS_CALIBRATION = 4, GYRE_NEEDS_QUERIES = 8 };

/* How a later kernel may fold the transform into the query instead of inverting it on every key. */
typedef enum gyre_fold { GYRE_FOLD_NO, GYRE_FOLD_CONSTANT, GYRE_FOLD_PER_POSITION } gyre_fold;
const char *gyre_fold_name(gyre_fold fold);

/* What the planner, the pages, the messages and the tests read. `refine` may change them by the options (centre by bias or by mean). */
typedef struct gyre_traits {
    unsigned flags;   /* GYRE_LINEAR: c = 0; GYRE_ORTHOGONAL: of the linear part */
    unsigned needs;
    unsigned accepts; /* frames, or-ed */
    unsigned becomes; /* frame afterwards, or GYRE_FRAME_SAME */
    bool pooled;      /* fitted or learned on the rows of all heads of a layer together */
    gyre_fold fold_into_query;
} gyre_traits;

enum { GYRE_OPTIONS_BYTES = 576, GYRE_WHY = 256 }; /* room for one file and a few numbers */

/* Option values of any variant, by value. */
typedef struct gyre_option_values {
    _Alignas(8) unsigned char bytes[GYRE_OPTIONS_BYTES];
} gyre_option_values;

/* Calibration rows as they reach an element. */
typedef struct gyre_fit_rows {
    const float *x; /* n rows, stride floats apart */
    size_t n, stride;
    const double *queries; /* dim x dim second moments E[u u'], u'y = q'k for the rows y as they reach the element; NULL for values and where there are no queries */
} gyre_fit_rows;

/* What gradient calibration needs of an element with the flag LEARNABLE. It is linear, y = M(theta) x; theta are `count` doubles inside the state.
 *
 * A step is: change theta, update, matrix, backward. None of these allocates: work memory is made by init. A state that is being fitted belongs to one thread. Afterwards theta are
 * rounded to float32 and updated once more, so that what is stored is what is used. */
typedef struct gyre_learnable {
    double *(*parameters)(void *state, size_t *count);
    gyre_status (*update)(void *state, gyre_error *err); /* all that follows from theta, float tables too; GYRE_E_RANGE, with the reason, where M is not finite or not invertible */
    void (*matrix)(const void *state, double *m);        /* M, dim x dim row-major */
    /* Adds dL/dtheta where g = dL/dM (dim x dim), at the theta of the last update. */
    void (*backward)(void *state, const double *g, double *gradient);
    size_t (*freedom)(const void *state); /* true degrees of freedom */
    /* optional */
    void (*inverse)(const void *state, double *m); /* M^-1; without it the transpose */
    void (*gauge)(void *state);                    /* after a step: theta to the representative of its gauge (before update) */
    void (*descend)(void *state, const double *gradient, double factor); /* a step of its own, on its manifold, instead of the optimiser's; factor: the schedule's, 1 to 0 */
} gyre_learnable;

typedef struct gyre_transform_type {
    /* required */
    const char *name;
    const char *summary;
    const char *source; /* paper or code, section */
    const char *dims;   /* dimensions allowed, in words */
    gyre_traits traits;
    gyre_status (*init)(const gyre_site *site, unsigned ordinal, const void *options, void **state, gyre_error *err);
    void (*forward)(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
    void (*inverse)(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
    void (*forward_ref)(const void *state, double *x, int32_t pos); /* one row in double precision, from the definition; may allocate nothing */
    void (*inverse_ref)(const void *state, double *x, int32_t pos);
    void (*free)(void *state);
    /* optional, with a default */
    const gyre_option *options;                                  /* none */
    void (*refine)(const void *options, gyre_traits *traits);    /* traits as declared */
    bool (*applicable)(const gyre_site *site, const void *options, char why[GYRE_WHY]); /* always */
    size_t (*scratch)(const void *state);                        /* 0 bytes */
    size_t (*stored)(const void *state);                         /* 0: float32 values that must be stored once per head (or per layer when pooled) */
    /* optional */
    gyre_status (*fit)(void *state, const gyre_fit_rows *rows, gyre_error *err); /* closed forms; of a learnable element: its start */
    const gyre_learnable *learnable;
} gyre_transform_type;

/* The family: table order is the order everywhere; ends with NULL. */
extern const gyre_transform_type *const gyre_transform_types[];
const gyre_transform_type *gyre_transform_find(const char *name);

/* Names that stand for several elements. Ends with a row whose name is NULL. */
typedef struct gyre_chain_alias {
    const char *name, *summary;
    const char *elements[8]; /* NULL-terminated */
} gyre_chain_alias;
extern const gyre_chain_alias gyre_chain_aliases[];

gyre_traits gyre_transform_traits(const gyre_transform_type *type, const void *options);

/* A built transform. `type` and `state` are for this folder and the tests. */
typedef struct gyre_transform {
    const gyre_transform_type *type;
    gyre_traits traits;
    size_t dim;
    void *state;
} gyre_transform;

/* False with the reason where the variant does not apply to the site. */
bool gyre_transform_applies(const gyre_transform_type *type, const gyre_site *site, const void *options, char why[GYRE_WHY]);

/* GYRE_E_APPLICABLE with the reason where the variant does not apply to the site. `ordinal` is the element's place in its canonical chain, from 0. */
gyre_status gyre_transform_new(const gyre_transform_type *type, const gyre_site *site, unsigned ordinal, const void *options, gyre_transform **out,
                               gyre_error *err);
void gyre_transform_free(gyre_transform *t);

void gyre_transform_forward(const gyre_transform *t, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_transform_inverse(const gyre_transform *t, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
size_t gyre_transform_scratch(const gyre_transform *t); /* bytes; scratch is aligned to 64 */
size_t gyre_transform_stored(const gyre_transform *t);

#endif
