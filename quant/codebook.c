#include "quant/codebook.h"

#include <float.h>
#include <math.h>

enum { HALF = GYRE_CODEBOOK_SIZE / 2, GRID = 4096, STEPS_MOST = 200 };

/* Where an optimal codebook of many levels has its centroids: equal shares of the cube root of the density (Panter and Dite, Proc. IRE 39, 1951). */
static void start(const gyre_density *f, size_t n, double *c)
{
    double total = 0, sum = 0, step = f->reach / GRID;
    size_t next = 0;
    for (size_t i = 0; i < GRID; i++)
        total += cbrt(f->at(f->self, ((double)i + 0.5) * step));
    for (size_t i = 0; i < GRID && next < n; i++) {
        double share = cbrt(f->at(f->self, ((double)i + 0.5) * step)), want;
        for (want = ((double)next + 0.5) / (double)n * total; next < n && sum + share >= want; want = ((double)++next + 0.5) / (double)n * total)
            c[next] = ((double)i + (want - sum) / share) * step;
        sum += share;
    }
}

/* One step of Lloyd (to `lloyd`) and of Newton on centroid = mean of its cell (to `newton`), by the tridiagonal derivative of the means. */
static void steps(const gyre_density *f, size_t n, const double *c, double *lloyd, double *newton)
{
    double upper[HALF], right[HALF], before = 0, right_before = 0;
    for (size_t i = 0; i < n; i++) {
        double a = i > 0 ? 0.5 * (c[i - 1] + c[i]) : 0.0, b = i + 1 < n ? 0.5 * (c[i] + c[i + 1]) : f->top, mass, first;
        f->moments(f->self, a, b, &mass, &first);
        double mean = first / mass, low = i > 0 ? 0.5 * f->at(f->self, a) * (mean - a) / mass : 0.0, high = i + 1 < n ? 0.5 * f->at(f->self, b) * (b - mean) / mass : 0.0;
        double pivot = 1.0 - low - high - low * before; /* before: minus the upper entry of the row above over its pivot */
        upper[i] = high / pivot;
        right[i] = (mean - c[i] + low * right_before) / pivot;
        before = upper[i];
        right_before = right[i];
        lloyd[i] = mean;
    }
    for (size_t i = n; i-- > 0;) {
        newton[i] = right[i] + (i + 1 < n ? upper[i] * (newton[i + 1] - c[i + 1]) : 0.0);
        newton[i] += c[i];
    }
}

static bool ordered(const double *c, size_t n, double top)
{
    double below = 0.0;
    for (size_t i = 0; i < n; below = c[i++])
        if (!(c[i] > below && c[i] < top))
            return false;
    return true;
}

gyre_status gyre_lloyd_max(const gyre_density *f, size_t bits, double *centroids, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = (size_t)1 << (bits - 1);
    double c[HALF], lloyd[HALF], newton[HALF], moved = INFINITY;
    start(f, n, c);
    for (size_t step = 0; step < STEPS_MOST && moved > 1e-13 * f->reach; step++) {
        steps(f, n, c, lloyd, newton);
        const double *next = ordered(newton, n, f->top) ? newton : lloyd;
        moved = 0;
        for (size_t i = 0; i < n; i++) {
            moved = fmax(moved, fabs(next[i] - c[i]));
            c[i] = next[i];
        }
    }
    if (!(moved <= 1e-12 * f->reach) || !ordered(c, n, f->top))
        GYRE_FAIL(GYRE_E_INTERNAL, "the codebook of %zu bits did not converge: last step %g", bits, moved);
    for (size_t i = 0; i < n; i++) {
        centroids[n + i] = c[i];
        centroids[n - 1 - i] = -c[i];
    }
done:
    return st;
}

void gyre_codebook_set(gyre_codebook *book, size_t bits, const double *centroids)
{
    size_t n = (size_t)1 << bits;
    book->bits = bits;
    for (size_t i = 0; i < n; i++)
        book->centroid[i] = (float)centroids[i];
    for (size_t i = 0; i + 1 < n; i++)
        book->limit[i] = (float)(0.5 * (centroids[i] + centroids[i + 1]));
}

static double gaussian(const void *self, double x)
{
    (void)self;
    return exp(-0.5 * x * x) * 0.39894228040143267794;
}

static void gaussian_moments(const void *self, double a, double b, double *mass, double *first)
{
    const double root_half = 0.70710678118654752440;
    *mass = 0.5 * (erfc(a * root_half) - erfc(b * root_half));
    /* f(a) - f(b), without the cancellation of narrow cells */
    *first = isinf(b) ? gaussian(self, a) : -gaussian(self, a) * expm1(0.5 * (a - b) * (a + b));
}

gyre_status gyre_codebook_gaussian(gyre_codebook *book, size_t bits, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_density f = {.top = INFINITY, .reach = 8.0, .at = gaussian, .moments = gaussian_moments};
    double centroids[GYRE_CODEBOOK_SIZE];
    GYRE_TRY(gyre_lloyd_max(&f, bits, centroids, err));
    gyre_codebook_set(book, bits, centroids);
done:
    return st;
}

double gyre_norm(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

double gyre_dot(const float *x, const float *y, size_t n)
{
    double lane[8] = {0}, sum = 0;
    size_t whole = n / 8 * 8;
    for (size_t i = 0; i < whole; i += 8)
        for (size_t l = 0; l < 8; l++)
            lane[l] += (double)x[i + l] * (double)y[i + l];
    for (size_t i = whole; i < n; i++)
        lane[i - whole] += (double)x[i] * (double)y[i];
    for (size_t l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

void gyre_codebook_encode(const gyre_codebook *book, const float *x, size_t n, double norm, uint8_t *codes)
{
    double factor = norm > 0.0 ? sqrt((double)n) / norm : 0.0;
    for (size_t i = 0; i < n; i++)
        codes[i] = norm > 0.0 ? gyre_codebook_nearest(book, (float)((double)x[i] * factor)) : 0;
}

gyre_status gyre_norm_round(const char *name, gyre_scale_format format, double norm, double most, size_t row, float *stored, gyre_error *err)
{
    if (norm <= (double)FLT_MAX && gyre_scale_round(format, (float)norm, stored) && (double)*stored * most <= (double)FLT_MAX * (1.0 - 1e-6))
        return GYRE_OK;
    return gyre_error_set(err, GYRE_E_RANGE, __FILE__, __LINE__, "%s: row %zu has the norm %g, too large for %s%s", name, row, norm,
                          format == GYRE_SCALE_F16 ? "binary16" : "binary32", format == GYRE_SCALE_F16 ? ": use f32" : "");
}
