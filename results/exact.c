#include "results/exact.h"

#include <math.h>
#include <string.h>

const char *gyre_exact_verdict(double published, double measured, uint32_t digits)
{
    if (isnan(measured)) /* an arm without a cell contradicts nobody */
        return "NOT MEASURED";
    const double slack = 1e-12; /* relative: decimals of the published number are not dyadic */
    double half = 0.5 * pow(10.0, -(double)digits);
    return fabs(measured - published) <= half + slack * fabs(published) ? "EXACT" : "DIFFERENT";
}

/* Mean over the arm's cells; NaN unless all of them are OK and there is one. */
static double mean_bits(const gyre_table *table, const gyre_exact *e, double (*bits)(const gyre_cell *))
{
    double sum = 0.0;
    size_t n = 0;
    for (size_t i = 0; i < table->n_cells; i++) {
        const gyre_cell *c = &table->cells[i];
        if (c->source != e->source || strcmp(c->arm, e->arm) != 0 || strcmp(c->point, e->point) != 0)
            continue;
        sum += c->status == GYRE_CELL_OK ? bits(c) : (double)NAN;
        n++;
    }
    return n > 0 ? sum / (double)n : (double)NAN;
}

static double total_bits(const gyre_cell *c)
{
    return c->total_bits;
}

static double payload_bits(const gyre_cell *c)
{
    return c->payload_bits;
}

gyre_status gyre_exact_measure(gyre_table *table, gyre_error *err)
{
    const double uncoded = 16.0; /* bits of a value in the cache that is not compressed */
    gyre_status st = GYRE_OK;
    for (size_t i = 0; i < table->n_exact; i++) {
        gyre_exact *e = &table->exact[i];
        if (strcmp(e->quantity, "total_bits") == 0)
            e->measured = mean_bits(table, e, total_bits);
        else if (strcmp(e->quantity, "payload_bits") == 0)
            e->measured = mean_bits(table, e, payload_bits);
        else if (strcmp(e->quantity, "compression") == 0)
            e->measured = uncoded / mean_bits(table, e, total_bits);
        else
            GYRE_FAIL(GYRE_E_CONFIG, "'%s' is not a quantity: total_bits, payload_bits or compression", e->quantity);
        e->verdict = gyre_exact_verdict(e->published, e->measured, e->digits);
    }
done:
    return st;
}
