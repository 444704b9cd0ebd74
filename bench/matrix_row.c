/* Fast path against reference of kernels/matrix_row.h: square matrices of usual head dimensions, and of kronecker's factors.
 *
 *     cmake --preset release -DGYRE_BENCH=ON && cmake --build --preset release && build/bench/bench_matrix_row
 */
#include "bench/interleaved.h"

#include "core/random.h"
#include "kernels/matrix_row.h"
#include "kernels/selected.h"

enum { MOST = 576, WORK = 400000 }; /* multiplications a round */

typedef struct product {
    size_t n;
    float columns[MOST * MOST], x[MOST], y[MOST];
    double sink;
} product;

static void fast(void *data)
{
    product *p = data;
    for (size_t i = 0; i < WORK; i += p->n * p->n) {
        gyre_matrix_row(p->columns, p->n, p->n, p->x, p->y);
        p->sink += (double)p->y[0];
    }
}

static void reference(void *data)
{
    product *p = data;
    for (size_t i = 0; i < WORK; i += p->n * p->n) {
        gyre_matrix_row_ref(p->columns, p->n, p->n, p->x, p->y);
        p->sink += (double)p->y[0];
    }
}

int main(void)
{
    static product p;
    static double normals[MOST * MOST];
    static const size_t sizes[] = {8, 12, 16, 64, 80, 96, 128, 256, 576};
    gyre_site site = {.seed_index = 1};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    gyre_random_normals(&stream, normals, MOST * MOST);
    for (size_t i = 0; i < MOST * MOST; i++)
        p.columns[i] = (float)normals[i];
    for (size_t i = 0; i < MOST; i++)
        p.x[i] = (float)normals[i];
    (void)printf("kernels selected: %s\n", gyre_kernels_selected());
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char what[32];
        p.n = sizes[i];
        (void)snprintf(what, sizeof what, "%zu x %zu", p.n, p.n);
        interleaved(what, fast, reference, &p);
    }
    (void)printf("check sum %.6f\n", p.sink);
    return 0;
}
