#include "transforms/matrix_exp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/blas.h"
#include "transforms/matrix.h"

enum { SQUARINGS = 10, POWERS = 5, GRADIENTS = 6 };

struct gyre_matrix_exp {
    size_t n;
    int degree, squarings;
    double *power[POWERS];    /* A, A^2, A^4, A^6, A^8 (the last of degree 9 alone), A scaled */
    double *odd, *inner[2];   /* odd part over A; degree 13: what A^6 multiplies in the odd and in the even part */
    double *q;                /* inverse of the denominator */
    double *x[SQUARINGS + 1]; /* exp(A / 2^s), its square, ... */
    double *g[POWERS], *g_more[GRADIENTS];
    lapack_int *pivots;
    double *block;
};

static const struct {
    int degree;
    double theta; /* |A| up to which the approximant's backward error is below 2^-53 */
    double b[14]; /* of the numerator, x^0 first; the denominator's are those of -x */
} pade[] = {
    {3, 1.495585217958292e-2, {120, 60, 12, 1}},
    {5, 2.539398330063230e-1, {30240, 15120, 3360, 420, 30, 1}},
    {7, 9.504178996162932e-1, {17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1}},
    {9, 2.097847961257068, {17643225600, 8821612800, 2075673600, 302702400, 30270240, 2162160, 110880, 3960, 90, 1}},
    {13, 5.371920351148152, {64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800, 33522128640, 1323241920, 40840800,
                             960960, 16380, 182, 1}},
};
enum { APPROXIMANTS = sizeof pade / sizeof *pade };

void gyre_matrix_exp_free(gyre_matrix_exp *e)
{
    if (e == NULL)
        return;
    free(e->block);
    free(e->pivots);
    free(e);
}

gyre_status gyre_matrix_exp_new(size_t n, gyre_matrix_exp **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_matrix_exp *e = NULL;
    *out = NULL;
    GYRE_NEW(&e, 1);
    e->n = n;
    double **const all[] = {&e->odd, &e->inner[0], &e->inner[1], &e->q};
    const size_t others = sizeof all / sizeof *all, squares = others + 2 * POWERS + SQUARINGS + 1 + GRADIENTS;
    GYRE_NEW(&e->pivots, n);
    GYRE_NEW(&e->block, squares * n * n);
    double *next = e->block;
    for (size_t i = 0; i < others; i++, next += n * n)
        *all[i] = next;
    for (size_t i = 0; i < POWERS; i++, next += 2 * n * n) {
        e->power[i] = next;
        e->g[i] = next + n * n;
    }
    for (size_t i = 0; i <= SQUARINGS; i++, next += n * n)
        e->x[i] = next;
    for (size_t i = 0; i < GRADIENTS; i++, next += n * n)
        e->g_more[i] = next;
    *out = e;
    e = NULL;
done:
    gyre_matrix_exp_free(e);
    return st;
}

/* The largest sum of the magnitudes of a row: that of a column too, as A and its powers are symmetric up to sign. Not finite where an entry is not. */
static double norm(const double *m, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = cblas_dasum((int)n, m + i * n, 1);
        if (!isfinite(sum))
            return sum;
        most = fmax(most, sum);
    }
    return most;
}

/* to = c_0 I + c_1 A^2 + c_2 A^4 + ... (`terms` of them, 2 to 5), c every second of `b`. */
static void polynomial(const gyre_matrix_exp *e, const double *b, int terms, double *to)
{
    size_t n = e->n;
    const double *p[POWERS], c[POWERS] = {0, b[2], terms > 2 ? b[4] : 0, terms > 3 ? b[6] : 0, terms > 4 ? b[8] : 0};
    for (int i = 1; i < POWERS; i++)
        p[i] = e->power[i < terms ? i : 1];
    for (size_t k = 0; k < n * n; k++)
        to[k] = (c[1] * p[1][k] + c[2] * p[2][k]) + (c[3] * p[3][k] + c[4] * p[4][k]);
    for (size_t i = 0; i < n; i++)
        to[i * n + i] += b[0];
}

/* Chooses degree and squarings, and fills the powers. A^2 is made before the scale is known: a power of two changes no bit of it but the exponent. */
static gyre_status powers(gyre_matrix_exp *e, const double *a, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = e->n, which = 0;
    double largest = pade[APPROXIMANTS - 1].theta, one = norm(a, n);
    if (!isfinite(one) || one > 1e150)
        GYRE_FAIL(GYRE_E_RANGE, "the skew matrix is not finite, or its norm %.3g is too large for its exponential", one);
    gyre_matrix_product(n, false, a, false, a, 1.0, 0.0, e->power[1]);
    double size = fmin(one, sqrt(norm(e->power[1], n)));
    if (size > ldexp(largest, SQUARINGS))
        GYRE_FAIL(GYRE_E_RANGE, "the norm of the skew matrix is %.3g, too large for its exponential", size);
    while (which + 1 < APPROXIMANTS && size > pade[which].theta)
        which++;
    e->degree = pade[which].degree;
    for (e->squarings = 0; ldexp(size, -e->squarings) > largest; e->squarings++)
        ;
    double scale = ldexp(1.0, -e->squarings);
    for (size_t i = 0; i < n * n; i++) {
        e->power[0][i] = a[i] * scale;
        e->power[1][i] *= scale * scale;
    }
    if (e->degree >= 5)
        gyre_matrix_product(n, false, e->power[1], false, e->power[1], 1.0, 0.0, e->power[2]);
    if (e->degree >= 7)
        gyre_matrix_product(n, false, e->power[1], false, e->power[2], 1.0, 0.0, e->power[3]);
    if (e->degree == 9)
        gyre_matrix_product(n, false, e->power[2], false, e->power[2], 1.0, 0.0, e->power[4]);
done:
    return st;
}

static const double *coefficients(const gyre_matrix_exp *e)
{
    size_t which = 0;
    while (pade[which].degree != e->degree)
        which++;
    return pade[which].b;
}

/* Odd part over A, and even part v. */
static void parts(gyre_matrix_exp *e, double *v)
{
    const double *b = coefficients(e);
    if (e->degree < 13) {
        polynomial(e, b + 1, (e->degree + 1) / 2, e->odd);
        polynomial(e, b, (e->degree + 1) / 2, v);
        return;
    }
    polynomial(e, b + 1, 4, e->odd);
    polynomial(e, b, 4, v);
    for (int even = 0; even < 2; even++)
        for (size_t k = 0; k < e->n * e->n; k++)
            e->inner[even][k] = b[9 - even] * e->power[1][k] + b[11 - even] * e->power[2][k] + b[13 - even] * e->power[3][k];
    gyre_matrix_product(e->n, false, e->power[3], false, e->inner[0], 1.0, 1.0, e->odd);
    gyre_matrix_product(e->n, false, e->power[3], false, e->inner[1], 1.0, 1.0, v);
}

gyre_status gyre_matrix_exp_update(gyre_matrix_exp *e, const double *a, double *r, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = e->n;
    double *u = e->g_more[0], *v = e->q, *p = e->g_more[1];
    GYRE_TRY(powers(e, a, err));
    parts(e, v);
    gyre_matrix_product(n, false, e->power[0], false, e->odd, 1.0, 0.0, u);
    for (size_t i = 0; i < n * n; i++) {
        p[i] = v[i] + u[i];
        e->q[i] = v[i] - u[i];
    }
    if (!gyre_matrix_invert_here(n, e->q, e->pivots, u))
        GYRE_FAIL(GYRE_E_RANGE, "the exponential of a skew matrix of norm %.3g has a singular denominator", norm(a, n));
    gyre_matrix_product(n, false, p, false, e->q, 1.0, 0.0, e->x[0]);
    for (int s = 0; s < e->squarings; s++)
        gyre_matrix_product(n, false, e->x[s], false, e->x[s], 1.0, 0.0, e->x[s + 1]);
    memcpy(r, e->x[e->squarings], n * n * sizeof *r);
done:
    return st;
}

/* ---- in reverse ---- */

/* to += factor (z + sign z'), tile by tile: columns of a whole matrix would leave the cache. */
static void add_transposed(const double *z, size_t n, double sign, double factor, double *to)
{
    enum { TILE = 16 };
    for (size_t row = 0; row < n; row += TILE)
        for (size_t column = 0; column < n; column += TILE)
            for (size_t i = row; i < n && i < row + TILE; i++)
                for (size_t j = column; j < n && j < column + TILE; j++)
                    to[i * n + j] += factor * (z[i * n + j] + sign * z[j * n + i]);
}

/* Of c = p q, all three symmetric for every A: the gradients g_p, g_q (NULL: p is q) are added. */
static void product_backward(gyre_matrix_exp *e, const double *g_c, const double *p, double *g_p, const double *q, double *g_q)
{
    double *z = e->g_more[5];
    gyre_matrix_product(e->n, false, g_c, false, q, 1.0, 0.0, z);
    add_transposed(z, e->n, 1.0, g_q != NULL ? 0.5 : 1.0, g_p);
    if (g_q == NULL)
        return;
    gyre_matrix_product(e->n, false, p, false, g_c, 1.0, 0.0, z);
    add_transposed(z, e->n, 1.0, 0.5, g_q);
}

/* Adds to the gradients of A^2, A^4, ... what reaches them through a polynomial. */
static void polynomial_backward(gyre_matrix_exp *e, const double *b, int last, const double *g)
{
    for (int i = 1; i <= last; i++)
        cblas_daxpy((int)(e->n * e->n), b[2 * i], g, 1, e->g[i], 1);
}

/* From the gradients of the odd part over A and of the even part to those of the powers. */
static void parts_backward(gyre_matrix_exp *e, const double *g_odd, const double *g_even)
{
    const double *b = coefficients(e);
    size_t n = e->n, bytes = n * n * sizeof(double);
    int terms = e->degree < 13 ? (e->degree - 1) / 2 : 3;
    for (size_t i = 1; i < POWERS; i++)
        memset(e->g[i], 0, bytes);
    polynomial_backward(e, b + 1, terms, g_odd);
    polynomial_backward(e, b, terms, g_even);
    for (int even = 0; e->degree == 13 && even < 2; even++) {
        double *g_inner = e->g_more[4];
        memset(g_inner, 0, bytes);
        product_backward(e, even ? g_even : g_odd, e->power[3], e->g[3], e->inner[even], g_inner);
        polynomial_backward(e, b + 7 - even, 3, g_inner);
    }
    if (e->degree == 9)
        product_backward(e, e->g[4], e->power[2], e->g[2], e->power[2], NULL);
    if (e->degree >= 7)
        product_backward(e, e->g[3], e->power[1], e->g[1], e->power[2], e->g[2]);
    if (e->degree >= 5)
        product_backward(e, e->g[2], e->power[1], e->g[1], e->power[1], NULL);
}

void gyre_matrix_exp_backward(gyre_matrix_exp *e, const double *g, double *g_a)
{
    size_t n = e->n, bytes = n * n * sizeof(double);
    double *own = e->g_more[0], *other = e->g_more[1], *g_u = e->g_more[2], *g_odd = e->g_more[3], *g_p = e->g_more[4], *z = e->g_more[5];
    memcpy(own, g, bytes);
    for (int s = e->squarings; s-- > 0;) {
        gyre_matrix_product(n, false, own, true, e->x[s], 1.0, 0.0, other);
        gyre_matrix_product(n, true, e->x[s], false, own, 1.0, 1.0, other);
        double *swap = own;
        own = other;
        other = swap;
    }
    gyre_matrix_product(n, false, own, true, e->q, 1.0, 0.0, g_p); /* x = p q^-1: g_p = g q^-T, g_q = -x' g_p */
    gyre_matrix_product(n, true, e->x[0], false, g_p, -1.0, 0.0, other);
    for (size_t i = 0; i < n * n; i++) { /* p = v + u, q = v - u */
        own[i] = g_p[i] - other[i];
        z[i] = g_p[i] + other[i];
        other[i] = g_u[i] = g_odd[i] = 0;
    }
    add_transposed(own, n, -1.0, 0.5, g_u); /* u is skew, v symmetric */
    add_transposed(z, n, 1.0, 0.5, other);
    gyre_matrix_product(n, true, e->power[0], false, g_u, 1.0, 0.0, z); /* u = A odd */
    add_transposed(z, n, 1.0, 0.5, g_odd);
    gyre_matrix_product(n, false, g_u, false, e->odd, 1.0, 0.0, g_a);
    parts_backward(e, g_odd, other);
    gyre_matrix_product(n, false, e->g[1], false, e->power[0], 1.0, 0.0, z); /* A^2: -(g A + A g) */
    add_transposed(z, n, -1.0, -1.0, g_a);
    cblas_dscal((int)(n * n), ldexp(1.0, -e->squarings), g_a, 1);
}
