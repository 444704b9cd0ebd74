/* What the codebook quantizers share: scalar codebooks of 2^b centroids (Lloyd, IEEE Trans. IT 28(2), 1982; Max, IRE Trans. IT 6(1), 1960) and the norm of a row.
 *
 * A codebook is optimal for a density when every centroid is the mean of its cell and every limit lies halfway between two centroids. Lloyd's iteration converges to that
 * point, which is the only one where the log of the density is concave, but takes of order 4^b steps; here Newton's method solves Lloyd's equations, with a Lloyd step
 * wherever Newton's would leave the order of the centroids.
 */
#ifndef GYRE_QUANT_CODEBOOK_H
#define GYRE_QUANT_CODEBOOK_H

#include "quant/grouped.h"

enum { GYRE_CODEBOOK_BITS = 8, GYRE_CODEBOOK_SIZE = 256 };

/* Centroids ascending; limit[i] lies between centroid i and i + 1. */
typedef struct gyre_codebook {
    size_t bits;
    float centroid[GYRE_CODEBOOK_SIZE], limit[GYRE_CODEBOOK_SIZE];
} gyre_codebook;

/* A density that is symmetric about 0, seen on (0, top); it need not integrate to one. */
typedef struct gyre_density {
    double top, reach; /* of the support (INFINITY allowed); of what matters */
    double (*at)(const void *self, double x);
    void (*moments)(const void *self, double a, double b, double *mass, double *first); /* integrals of f and of x f over a..b */
    const void *self;
} gyre_density;

/* The 2^bits centroids (1..8 bits). */
gyre_status gyre_lloyd_max(const gyre_density *f, size_t bits, double *centroids, gyre_error *err);

/* Centroids and the limits between them, rounded to binary32. */
void gyre_codebook_set(gyre_codebook *book, size_t bits, const double *centroids);

/* The codebook of N(0, 1). */
gyre_status gyre_codebook_gaussian(gyre_codebook *book, size_t bits, gyre_error *err);

/* The nearest centroid's index: the number of limits below x. */
static inline uint8_t gyre_codebook_nearest(const gyre_codebook *book, float x)
{
    unsigned code = 0;
    for (unsigned half = (1u << book->bits) / 2; half > 0; half >>= 1)
        code += x > book->limit[code + half - 1] ? half : 0;
    return (uint8_t)code;
}

/* sqrt(sum of squares), summed in double from the first to the last. */
double gyre_norm(const float *x, size_t n);

/* sum of x_i y_i in double: eight partial sums, of the indices of equal i mod 8, added from the first to the last. */
double gyre_dot(const float *x, const float *y, size_t n);

/* Codes of a row of norm `norm`: centroid nearest to x_i sqrt(n) / norm; 0 for a norm of 0. */
void gyre_codebook_encode(const gyre_codebook *book, const float *x, size_t n, double norm, uint8_t *codes);

/* Refuses with GYRE_E_RANGE naming the row when the format cannot hold the norm, or when `most` times it leaves binary32; *stored is what decode reads back. */
gyre_status gyre_norm_round(const char *name, gyre_scale_format format, double norm, double most, size_t row, float *stored, gyre_error *err);

#endif
