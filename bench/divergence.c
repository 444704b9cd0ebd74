/* Fast path against reference of kernels/divergence.h: rows of 380 keys, changes of the scores of about 0.1 nat.
 *
 *     cmake --preset release -DGYRE_BENCH=ON && cmake --build --preset release && build/bench/bench_divergence
 */
#include "bench/interleaved.h"

#include "core/random.h"
#include "kernels/divergence.h"
#include "kernels/selected.h"

enum { KEYS = 380, ROWS = 40 };

typedef struct rows {
    double p[KEYS], d[KEYS], q[KEYS], sink;
    float change[KEYS];
} rows;

static void fast(void *data)
{
    rows *r = data;
    for (int i = 0; i < ROWS; i++)
        r->sink += gyre_divergence(r->p, r->change, 0.1, KEYS, r->d, r->q);
}

static void reference(void *data)
{
    rows *r = data;
    for (int i = 0; i < ROWS; i++)
        r->sink += gyre_divergence_ref(r->p, r->change, 0.1, KEYS, r->d, r->q);
}

int main(void)
{
    static rows r;
    double normals[KEYS];
    gyre_site site = {.seed_index = 1};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    gyre_random_normals(&stream, normals, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        r.p[i] = 1.0 / KEYS;
        r.change[i] = (float)normals[i];
    }
    (void)printf("kernels selected: %s\n", gyre_kernels_selected());
    interleaved("divergence", fast, reference, &r);
    (void)printf("check sum %.6f\n", r.sink);
    return 0;
}
