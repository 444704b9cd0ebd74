/* Rank correlations; formulas and references in rank.h. Ranks are kept doubled, so that the mean of tied ones is a whole number. */
#include "stats/rank.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct placed {
    double value;
    size_t index;
} placed;

static int by_value(const void *a, const void *b)
{
    double x = ((const placed *)a)->value, y = ((const placed *)b)->value;
    return (x > y) - (x < y);
}

static gyre_status check(const double *x, const double *y, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const double *const lists[] = { x, y };
    if (n < 3)
        GYRE_FAIL(GYRE_E_APPLICABLE, "a rank correlation of %zu numbers: at least 3 are wanted", n);
    for (size_t k = 0; k < 2; k++) {
        bool equal = true;
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(lists[k][i]))
                GYRE_FAIL(GYRE_E_NAN, "number %zu of list %zu of a rank correlation is %g", i, k + 1, lists[k][i]);
            equal = equal && !(lists[k][i] < lists[k][0]) && !(lists[k][i] > lists[k][0]);
        }
        if (equal)
            GYRE_FAIL(GYRE_E_APPLICABLE, "all %zu numbers of list %zu are %g: they have no order", n, k + 1, lists[k][0]);
    }
done:
    return st;
}

/* out[i]: twice the rank of x[i] among 1..n, less n + 1, which is twice their mean. */
static void centred_ranks(const double *x, size_t n, placed *order, double *out)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (placed){ x[i], i };
    qsort(order, n, sizeof *order, by_value);
    for (size_t first = 0, next; first < n; first = next) {
        for (next = first + 1; next < n && !(order[next].value > order[first].value);)
            next++;
        for (size_t i = first; i < next; i++) /* ranks first + 1 .. next */
            out[order[i].index] = (double)(first + 1 + next) - (double)(n + 1);
    }
}

gyre_status gyre_rank_spearman(const double *x, const double *y, size_t n, double *rho, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    placed *order = NULL;
    double *r = NULL, rs = 0.0, rr = 0.0, ss = 0.0;
    GYRE_TRY(check(x, y, n, err));
    GYRE_NEW(&order, n);
    GYRE_NEW(&r, 2 * n);
    centred_ranks(x, n, order, r);
    centred_ranks(y, n, order, r + n);
    for (size_t i = 0; i < n; i++) {
        rs += r[i] * r[n + i];
        rr += r[i] * r[i];
        ss += r[n + i] * r[n + i];
    }
    *rho = rs / sqrt(rr * ss); /* the root of a square is exact in IEEE arithmetic: 1 where the orders are equal */
done:
    free(order);
    free(r);
    return st;
}

static int sign(double a, double b)
{
    return (a > b) - (a < b);
}

gyre_status gyre_rank_kendall(const double *x, const double *y, size_t n, double *tau, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double s = 0.0, in_x = 0.0, in_y = 0.0; /* C - D; pairs not tied */
    GYRE_TRY(check(x, y, n, err));
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            int a = sign(x[i], x[j]), b = sign(y[i], y[j]);
            s += a * b;
            in_x += a != 0;
            in_y += b != 0;
        }
    *tau = s / sqrt(in_x * in_y);
done:
    return st;
}
