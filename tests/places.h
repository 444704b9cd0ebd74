/* Where the tests of transforms build them: a site with a rotary embedding and a key bias, and scratch. The source file asks for POSIX. */
#ifndef GYRE_TESTS_PLACES_H
#define GYRE_TESTS_PLACES_H

#include "tests/check.h"
#include "transforms/chain.h"

enum { DIM_MOST = 576 };

typedef struct place {
    gyre_site site;
    gyre_rope rope;
    float bias[DIM_MOST], factors[DIM_MOST / 2];
} place;

static inline void make_place(place *p, size_t dim, uint32_t seed)
{
    *p = (place){.rope = {.kind = GYRE_ROPE_NEOX, .n_rot = (uint32_t)dim, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f}};
    normals(p->bias, dim, 77);
    p->site = (gyre_site){.dim = dim, .stream = GYRE_K, .layer = 3, .head = 1, .n_heads = 2, .campaign_seed = 9, .seed_index = seed, .n_positions = 64,
                          .rope = &p->rope, .bias = p->bias};
}

/* To the byte, so that the tools see what goes beyond. */
static inline void *scratch_for(const gyre_transform *t)
{
    void *s = NULL;
    assert_int_equal(posix_memalign(&s, 64, gyre_transform_scratch(t)), 0);
    return s;
}

#endif
