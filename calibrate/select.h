/* Which calibration tokens a fit sees: n of all, evenly spread. */
#ifndef GYRE_CALIBRATE_SELECT_H
#define GYRE_CALIBRATE_SELECT_H

#include "calibrate/fit.h"

/* How many tokens a spec asks for (0: all); GYRE_E_INPUT where there are fewer. */
gyre_status gyre_select_count(const gyre_fit_spec *spec, const gyre_rows *rows, size_t *n, gyre_error *err);

/* Place of token i of n among `total`. */
static inline size_t gyre_select_place(size_t i, size_t n, size_t total)
{
    return i * total / n;
}

#endif
