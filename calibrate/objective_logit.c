/* logit: mean squared change of the attention scores, of a random pair of a query and a key that it sees.
 *
 *     L = scale sum_rows d' W d,   W = score_scale^2 E[u u'],   d = M^-1 e the error in the frame (base.h), u'd = q'(k^ - k)
 *
 * E is over the calibration documents' queries of the KV head's query heads and the keys that they see (moments.h); where the chain begins with `unrope`, E[u u'] is E[R_s' q q' R_s]. The
 * error of a key and the queries that meet it are taken as independent, so that one matrix stands for all rows: exact where every key's own average of u u' is the same. Validation rows
 * keep the calibration rows' W. In nat^2. Per head one pass over the pairs, O(queries keys d^2), before the first step; then as mse with a full K.
 * What softmax takes no notice of (a shift common to all keys of a query) counts here; softmax_kl leaves it out.
 */
#include "calibrate/fit.h"
#include "calibrate/moments.h"
#include "calibrate/quadratic.h"

static gyre_status prepare(const void *options, gyre_objective_setup *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    double square = s->data->score_scale * s->data->score_scale;
    (void)options;
    for (size_t h = s->first; s->w != NULL && h < s->last; h++) {
        GYRE_TRY(gyre_query_moments(s->bases[h], s->data, s->rows, h, s->w[h], err));
        for (size_t i = 0; i < s->data->dim * s->data->dim; i++)
            s->w[h][i] *= square;
    }
done:
    return st;
}

const gyre_objective_type gyre_objective_logit = {
    .name = "logit",
    .summary = "squared change of the attention scores",
    .source = "second moments of queries as the metric of key errors; arXiv 2605.03562 for the reason",
    .unit = "nat^2",
    .flags = GYRE_OBJECTIVE_QUANTIZES | GYRE_OBJECTIVE_QUERIES | GYRE_OBJECTIVE_OF_K,
    .prepare = prepare,
    .work = gyre_quadratic_work,
    .measure = gyre_quadratic_measure,
};
