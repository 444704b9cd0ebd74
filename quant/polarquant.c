/* polarquant: blocks of 16 coordinates as a radius and 15 angles of a four-level polar tree (PolarQuant, arXiv 2502.02617, sections 3 and 4).
 *
 *     level 1:  the pair (y_1, y_2) has the angle atan2(y_2, y_1) in [0, 2 pi) and the radius |(y_1, y_2)|
 *     level l:  two neighbouring radii (a, b) of level l - 1 have the angle atan2(b, a) in [0, pi/2] and the radius |(a, b)|,  l = 2, 3, 4
 *
 * Angles take 4, 2, 2, 2 bits, the radius of level 4 a binary16 (or binary32): 8 4 + (4 + 2 + 1) 2 + 16 = 62 bits of 16 values. For a Gaussian block the angles are
 * independent: uniform at level 1, with density proportional to sin^(2^(l-1)-1)(2 psi) above. Their codebooks are the Lloyd-Max ones of those densities: 16 equal
 * arcs, and 4 centroids of levels 2, 3 and 4 from the closed form of the integrals (quant/codebook.h). Each angle goes to its nearest centroid. Decoding walks the
 * tree: a = r cos psi, b = r sin psi.
 *
 * d divisible by 16. Payload: 3.875 bits where 64 divides d; the 2-bit codes of a row are padded to whole bytes. Cost: 15/16 atan2 a value to encode, multiplications
 * to decode.
 *
 * The paper multiplies rows by a random matrix first, which makes blocks nearly Gaussian: that is a chain element, put `haar` in front. The paper fits its
 * codebooks to data, once beforehand or for each prompt; here they come from the density itself, as they do in the limit of many samples.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "quant/codebook.h"

enum { BLOCK = 16, LEVELS = 4, ARCS = 16, FINE = 8, COARSE = 7, RADII = GYRE_QUANTIZER_DIM / BLOCK };

typedef struct polarquant_options {
    int radius; /* gyre_scale_format */
} polarquant_options;

typedef struct polarquant {
    size_t dim, blocks;
    gyre_scale_format radius;
    gyre_codebook book[LEVELS];                                /* of psi - pi/4, levels 2..4 at 1..3 */
    double cosine[LEVELS][ARCS], sine[LEVELS][ARCS];           /* of the centroids */
} polarquant;

static const double pi = 3.14159265358979323846;

static const gyre_option table[] = {
    {"radius", GYRE_OPTION_CHOICE, offsetof(polarquant_options, radius), "f16", 0, 0, gyre_scale_formats, "", "format of the stored radius"},
    {0},
};

static bool applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY])
{
    (void)options;
    if (site->dim % BLOCK == 0)
        return true;
    (void)snprintf(why, GYRE_QUANTIZER_WHY, "16 does not divide the head dimension %zu", site->dim);
    return false;
}

/* cos^m(2u), u = psi - pi/4, as sum of weight[j] cos((2j + 1) 2u): m = 1, 3, 7 at levels 2, 3, 4. */
static const double weights[LEVELS][4] = {{0}, {1.0}, {3.0 / 4.0, 1.0 / 4.0}, {35.0 / 64.0, 21.0 / 64.0, 7.0 / 64.0, 1.0 / 64.0}};

static double density(const void *self, double u)
{
    const double *w = self;
    double sum = 0;
    for (size_t j = 0; j < 4; j++)
        sum += w[j] * cos((double)(4 * j + 2) * u);
    return sum;
}

static void moments(const void *self, double a, double b, double *mass, double *first)
{
    const double *w = self;
    *mass = *first = 0;
    for (size_t j = 0; j < 4; j++) {
        double k = (double)(4 * j + 2);
        *mass += w[j] * (sin(k * b) - sin(k * a)) / k;
        *first += w[j] * ((b * sin(k * b) - a * sin(k * a)) / k + (cos(k * b) - cos(k * a)) / (k * k));
    }
}

static gyre_status init(const gyre_site *site, const void *options, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const polarquant_options *o = options;
    polarquant *p = NULL;
    GYRE_NEW(&p, 1);
    p->dim = site->dim;
    p->blocks = site->dim / BLOCK;
    p->radius = (gyre_scale_format)o->radius;
    for (size_t c = 0; c < ARCS; c++) {
        p->cosine[0][c] = cos(((double)c + 0.5) * 2.0 * pi / ARCS);
        p->sine[0][c] = sin(((double)c + 0.5) * 2.0 * pi / ARCS);
    }
    for (size_t l = 1; l < LEVELS; l++) {
        const gyre_density f = {.top = pi / 4, .reach = pi / 4, .at = density, .moments = moments, .self = weights[l]};
        double centroids[GYRE_CODEBOOK_SIZE];
        GYRE_TRY(gyre_lloyd_max(&f, 2, centroids, err));
        gyre_codebook_set(&p->book[l], 2, centroids);
        for (size_t c = 0; c < 4; c++) {
            p->cosine[l][c] = cos(pi / 4 + (double)p->book[l].centroid[c]);
            p->sine[l][c] = sin(pi / 4 + (double)p->book[l].centroid[c]);
        }
    }
    *state = p;
    p = NULL;
done:
    free(p);
    return st;
}

static size_t fine_bytes(const polarquant *p)
{
    return p->blocks * FINE / 2;
}

static size_t coarse_bytes(const polarquant *p)
{
    return (p->blocks * COARSE * 2 + 7) / 8;
}

static size_t row_bytes(const void *state)
{
    const polarquant *p = state;
    return fine_bytes(p) + coarse_bytes(p) + p->blocks * gyre_scale_bytes(p->radius);
}

/* One block to its codes; gives the radius. */
static double climb(const polarquant *p, const float *x, uint8_t *fine, uint8_t *coarse)
{
    double r[FINE];
    for (size_t i = 0; i < FINE; i++) {
        double a = (double)x[2 * i], b = (double)x[2 * i + 1], angle = atan2(b, a);
        fine[i] = (uint8_t)((unsigned)(int)floor((angle < 0.0 ? angle + 2.0 * pi : angle) * (ARCS / (2.0 * pi))) & (ARCS - 1));
        r[i] = sqrt(a * a + b * b);
    }
    for (size_t l = 1, n = FINE / 2; l < LEVELS; l++, n /= 2)
        for (size_t i = 0; i < n; i++) {
            double a = r[2 * i], b = r[2 * i + 1];
            *coarse++ = gyre_codebook_nearest(&p->book[l], (float)(atan2(b, a) - pi / 4));
            r[i] = sqrt(a * a + b * b);
        }
    return r[0];
}

static void descend(const polarquant *p, double radius, const uint8_t *fine, const uint8_t *coarse, float *x)
{
    double r[FINE] = {radius};
    const uint8_t *level = coarse + COARSE; /* behind the codes of the level; the last level has one */
    for (size_t l = LEVELS - 1, n = 1; l > 0; l--, n *= 2) {
        level -= n;
        for (size_t i = n; i-- > 0;) {
            double whole = r[i];
            r[2 * i + 1] = whole * p->sine[l][level[i]];
            r[2 * i] = whole * p->cosine[l][level[i]];
        }
    }
    for (size_t i = 0; i < FINE; i++) {
        x[2 * i] = (float)(r[i] * p->cosine[0][fine[i]]);
        x[2 * i + 1] = (float)(r[i] * p->sine[0][fine[i]]);
    }
}

static gyre_status encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err)
{
    (void)head;
    gyre_status st = GYRE_OK;
    const polarquant *p = state;
    uint8_t fine[RADII * FINE], coarse[RADII * COARSE];
    for (size_t row = 0; row < n; row++, x += stride, bytes += row_bytes(p)) {
        uint8_t *at = bytes + fine_bytes(p) + coarse_bytes(p);
        for (size_t k = 0; k < p->blocks; k++) {
            float stored;
            double radius = climb(p, x + k * BLOCK, fine + k * FINE, coarse + k * COARSE);
            GYRE_TRY(gyre_norm_round("polarquant", p->radius, radius, 1.0, row, &stored, err));
            at = gyre_scale_put(p->radius, stored, at);
        }
        gyre_pack(fine, p->blocks * FINE, 4, bytes);
        gyre_pack(coarse, p->blocks * COARSE, 2, bytes + fine_bytes(p));
    }
done:
    return st;
}

static void decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride)
{
    (void)head;
    const polarquant *p = state;
    uint8_t fine[RADII * FINE], coarse[RADII * COARSE];
    for (size_t row = 0; row < n; row++, x += stride, bytes += row_bytes(p)) {
        const uint8_t *at = bytes + fine_bytes(p) + coarse_bytes(p);
        gyre_unpack(bytes, p->blocks * FINE, 4, fine);
        gyre_unpack(bytes + fine_bytes(p), p->blocks * COARSE, 2, coarse);
        for (size_t k = 0; k < p->blocks; k++) {
            float radius;
            at = gyre_scale_get(p->radius, at, &radius);
            descend(p, (double)radius, fine + k * FINE, coarse + k * COARSE, x + k * BLOCK);
        }
    }
}

const gyre_quantizer_type gyre_quantizer_polarquant = {
    .name = "polarquant",
    .summary = "polar tree of 4 levels on blocks of 16, angles of 4, 2, 2, 2 bits by their Gaussian densities; the paper preconditions first (haar)",
    .source = "arXiv 2502.02617 (PolarQuant), sections 3 and 4",
    .bits_formula = "(dim / 4 + ceil(7 * dim / 64)) * 8 / dim + (16 or 32) / 16",
    .flags = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE,
    .init = init,
    .row_bytes = row_bytes,
    .encode = encode,
    .decode = decode,
    .free = free,
    .options = table,
    .applicable = applicable,
};
