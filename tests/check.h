/* What the tests share: cmocka's includes in their order, comparisons in double (cmocka's own compare in float), seeded noise. */
#ifndef GYRE_TESTS_CHECK_H
#define GYRE_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "core/status.h"

/* |a - b| <= rel * |b| + abs; NaN never is. */
#define CHECK_CLOSE(a, b, rel, absolute)                                                                                       \
    do {                                                                                                                       \
        double a_ = (a), b_ = (b), off_ = fabs(a_ - b_), most_ = (rel) * fabs(b_) + (absolute);                                \
        if (!(off_ <= most_))                                                                                                  \
            fail_msg("%s:%d: %s = %.17g, expected %.17g: off by %.3g, allowed %.3g", __FILE__, __LINE__, #a, a_, b_, off_, most_); \
    } while (0)

#define CHECK_OK(call, error)                                                                                                  \
    do {                                                                                                                       \
        if ((call) != GYRE_OK)                                                                                                 \
            fail_msg("%s:%d: %s: %s", __FILE__, __LINE__, #call, (error)->message);                                            \
    } while (0)

/* n standard normals of stream `id`. */
static inline void normals(float *out, size_t n, uint32_t id)
{
    gyre_site site = {.campaign_seed = 20260101, .seed_index = id};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    double *x = malloc(n * sizeof *x);
    assert_non_null(x);
    gyre_random_normals(&stream, x, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)x[i];
    free(x);
}

#endif
