/* Holm's step-down adjustment; formula and reference in holm.h. Sorting costs O(n log n); ties need no rule, since equal p values end equal. */
#include "stats/holm.h"

#include <math.h>
#include <stdlib.h>

typedef struct ranked {
    double p;
    size_t index;
} ranked;

static int by_p(const void *a, const void *b)
{
    double x = ((const ranked *)a)->p, y = ((const ranked *)b)->p;
    return (x > y) - (x < y);
}

gyre_status gyre_holm(const double *p, size_t n, double *adjusted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    ranked *order = NULL;
    size_t m = 0;
    GYRE_NEW(&order, n);
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0.0 || p[i] > 1.0)
            GYRE_FAIL(GYRE_E_RANGE, "p value %zu of a family is %g: not in [0, 1]", i, p[i]);
        if (!isnan(p[i]))
            order[m++] = (ranked){ p[i], i };
    }
    qsort(order, m, sizeof *order, by_p);
    for (size_t i = 0; i < n; i++)
        adjusted[i] = NAN;
    double largest = 0.0;
    for (size_t i = 0; i < m; i++) {
        largest = fmax(largest, fmin(1.0, (double)(m - i) * order[i].p));
        adjusted[order[i].index] = largest;
    }
done:
    free(order);
    return st;
}
