/* What the transforms made of FFTW share: plans (FFTW_ESTIMATE, so that a plan does not depend on timing), the planner's lock, scratch, refusal.
 *
 * Executing needs no lock. Scratch is `size` floats: the row, and for GYRE_FFTW_REAL the spectrum behind it.
 */
#ifndef GYRE_TRANSFORMS_FFTW_PLAN_H
#define GYRE_TRANSFORMS_FFTW_PLAN_H

#include <fftw3.h>

#include "transforms/transform.h"

enum { GYRE_FFTW_DIM_MOST = 4096 };

/* Plans run from the start of scratch to `spectrum_at` (GYRE_FFTW_REAL) or in place (the others). No plan has a factor of its own. */
typedef enum gyre_fftw_kind {
    GYRE_FFTW_REAL,    /* r2c and c2r */
    GYRE_FFTW_HARTLEY, /* DHT, its own inverse */
    GYRE_FFTW_COSINE,  /* REDFT10 (DCT-II) and REDFT01 (DCT-III) */
    GYRE_FFTW_PAIRS    /* dim/2 complex numbers, e^-i and e^+i */
} gyre_fftw_kind;

typedef struct gyre_fftw_plan {
    size_t dim;
    size_t spectrum_at; /* floats from the start of scratch to the spectrum */
    size_t size;        /* floats of scratch */
    fftwf_plan forward, inverse;
    float end, middle;  /* 1/sqrt(d) and sqrt(2/d) */
} gyre_fftw_plan;

gyre_status gyre_fftw_new(gyre_fftw_kind kind, size_t dim, gyre_fftw_plan **out, gyre_error *err);

/* Members of a descriptor whose state is a plan and nothing else. */
void gyre_fftw_free(void *plan);
size_t gyre_fftw_scratch(const void *plan); /* bytes */
bool gyre_fftw_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY]);

/* x becomes T x, or T' x, entry by entry; dim at most GYRE_FFTW_DIM_MOST. */
void gyre_fftw_dense_ref(double (*entry)(size_t dim, size_t i, size_t j), size_t dim, bool transpose, double *x);

#endif
