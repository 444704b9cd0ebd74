/* Quaternions w + x i + y j + z k as double[4] {w, x, y, z}, and rotations of consecutive blocks of coordinates: what rotor3 and isoclinic4 share. */
#ifndef GYRE_TRANSFORMS_QUATERNION_H
#define GYRE_TRANSFORMS_QUATERNION_H

#include <math.h>

#include "transforms/transform.h"

enum { GYRE_BLOCK_MOST = 4 };

/* p = a b, Hamilton's product; p is apart from both. */
static inline void gyre_quaternion_product(const double a[4], const double b[4], double p[4])
{
    p[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
    p[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
    p[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
    p[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

static inline void gyre_quaternion_conjugate(const double q[4], double c[4])
{
    c[0] = q[0];
    for (int i = 1; i < 4; i++)
        c[i] = -q[i];
}

/* In place: four normals become a unit quaternion, uniform on the sphere. */
static inline void gyre_quaternion_normalise(double q[4])
{
    double length = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    for (int i = 0; i < 4; i++)
        q[i] /= length;
}

/* Rows times block-diagonal matrices: block b of `size` coordinates becomes m_b times it (transpose: m_b'); coordinates after the last block stay. */
static inline void gyre_blocks_apply(const float *m, size_t size, size_t blocks, bool transpose, float *x, size_t n, size_t stride)
{
    const size_t along = transpose ? size : 1, down = transpose ? 1 : size;
    for (size_t r = 0; r < n; r++, x += stride) {
        const float *mb = m;
        float *y = x;
        for (size_t b = 0; b < blocks; b++, mb += size * size, y += size) {
            float in[GYRE_BLOCK_MOST];
            for (size_t i = 0; i < size; i++)
                in[i] = y[i];
            for (size_t i = 0; i < size; i++) {
                float sum = mb[i * down] * in[0];
                for (size_t j = 1; j < size; j++)
                    sum += mb[i * down + j * along] * in[j];
                y[i] = sum;
            }
        }
    }
}

#endif
