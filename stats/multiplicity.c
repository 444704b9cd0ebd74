/* Adjustments for a family; formulas, references and what they are not in multiplicity.h. O(n log n); ties need no rule, since equal p values end equal. */
#include "stats/multiplicity.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const gyre_correction_type gyre_corrections[] = {
    { "holm", "Holm: no false claim in the family, whatever the dependence", gyre_holm },
    { "bh", "Benjamini-Hochberg: false discovery rate, independent tests", gyre_benjamini_hochberg },
    { "by", "Benjamini-Yekutieli: false discovery rate, whatever the dependence", gyre_benjamini_yekutieli },
    { NULL, NULL, NULL },
};

const gyre_correction_type *gyre_correction_find(const char *name)
{
    for (const gyre_correction_type *c = gyre_corrections; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

typedef struct ranked {
    double p;
    size_t index;
} ranked;

static int by_p(const void *a, const void *b)
{
    double x = ((const ranked *)a)->p, y = ((const ranked *)b)->p;
    return (x > y) - (x < y);
}

/* The tests that were made, by p, into order (room for n); adjusted is NaN after it. */
static gyre_status begin(const double *p, size_t n, double *adjusted, ranked *order, size_t *made, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0.0 || p[i] > 1.0)
            GYRE_FAIL(GYRE_E_RANGE, "p value %zu of a family is %g: not in [0, 1]", i, p[i]);
        if (!isnan(p[i]))
            order[m++] = (ranked){ p[i], i };
    }
    qsort(order, m, sizeof *order, by_p);
    for (size_t i = 0; i < n; i++)
        adjusted[i] = NAN;
    *made = m;
done:
    return st;
}

gyre_status gyre_holm(const double *p, size_t n, double *adjusted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    ranked *order = NULL;
    size_t m = 0;
    double largest = 0.0;
    GYRE_NEW(&order, n);
    GYRE_TRY(begin(p, n, adjusted, order, &m, err));
    for (size_t i = 0; i < m; i++) {
        largest = fmax(largest, fmin(1.0, (double)(m - i) * order[i].p));
        adjusted[order[i].index] = largest;
    }
done:
    free(order);
    return st;
}

static gyre_status step_up(const double *p, size_t n, bool harmonic, double *adjusted, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    ranked *order = NULL;
    size_t m = 0;
    double factor = 0.0, smallest = 1.0;
    GYRE_NEW(&order, n);
    GYRE_TRY(begin(p, n, adjusted, order, &m, err));
    for (size_t i = m; i > 0; i--)
        factor += 1.0 / (double)i;
    factor = (harmonic ? factor : 1.0) * (double)m;
    for (size_t i = m; i > 0; i--) {
        smallest = fmin(smallest, order[i - 1].p * (factor / (double)i)); /* the last is its own p value to the bit */
        adjusted[order[i - 1].index] = smallest;
    }
done:
    free(order);
    return st;
}

gyre_status gyre_benjamini_hochberg(const double *p, size_t n, double *adjusted, gyre_error *err)
{
    return step_up(p, n, false, adjusted, err);
}

gyre_status gyre_benjamini_yekutieli(const double *p, size_t n, double *adjusted, gyre_error *err)
{
    return step_up(p, n, true, adjusted, err);
}
