#include "transforms/walsh.h"

bool gyre_walsh_size(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* One butterfly level at distance h; the inner loop is contiguous so that the compiler vectorises it. */
static void level(float *x, size_t dim, size_t h)
{
    for (size_t i = 0; i < dim; i += 2 * h) {
        float *a = x + i, *b = x + i + h;
        for (size_t j = 0; j < h; j++) {
            float u = a[j], v = b[j];
            a[j] = u + v;
            b[j] = u - v;
        }
    }
}

/* Levels 1 and 2 together, in registers: their butterflies are too short to vectorise. */
static void first_levels(float *x, size_t dim)
{
    for (size_t i = 0; i < dim; i += 4) {
        float a = x[i] + x[i + 1], b = x[i] - x[i + 1], c = x[i + 2] + x[i + 3], d = x[i + 2] - x[i + 3];
        x[i] = a + c;
        x[i + 1] = b + d;
        x[i + 2] = a - c;
        x[i + 3] = b - d;
    }
}

void gyre_walsh(float *x, size_t dim, size_t block)
{
    size_t h = block >= 4 ? 4 : 1;
    if (h == 4)
        first_levels(x, dim);
    for (; h < block; h *= 2)
        level(x, dim, h);
}

void gyre_walsh_ref(double *x, size_t dim, size_t block)
{
    for (size_t h = 1; h < block; h *= 2)
        for (size_t i = 0; i < dim; i++)
            if ((i & h) == 0) {
                double u = x[i], v = x[i + h];
                x[i] = u + v;
                x[i + h] = u - v;
            }
}
