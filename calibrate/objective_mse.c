/* mse: sum of w |x^ - x|^2 over the rows, relative to their energy: nmse over the rows of the fit (docs/definitions.md).
 *
 *     L = scale sum_rows e' K e         dL/de = 2 scale K e         dL/dK = scale sum e e'
 *
 * The weight is |x^ - x|^2 / (mean |x|^2 of the calibration rows), so that 1 is the error of writing zeros. The seed paper's "MSE" (arXiv 2605.05699, section 5) up to that constant,
 * which it does not state.
 */
#include "calibrate/quadratic.h"

static gyre_status prepare(const void *options, gyre_objective_setup *s, gyre_error *err)
{
    (void)options, (void)err;
    gyre_quadratic_divide(s, s->unit);
    return GYRE_OK;
}

const gyre_objective_type gyre_objective_mse = {
    .name = "mse",
    .summary = "squared error of the rows, relative to their energy",
    .source = "arXiv 2605.05699, section 5",
    .unit = "1",
    .flags = GYRE_OBJECTIVE_QUANTIZES | GYRE_OBJECTIVE_OF_K | GYRE_OBJECTIVE_OF_V,
    .prepare = prepare,
    .work = gyre_quadratic_work,
    .measure = gyre_quadratic_measure,
};
