/* flip: share of queries whose first largest score is at another key after decoding; mean over query heads.
 *
 * Often 0 for good codecs, so compare it with an absolute margin. Not defined for arms that leave K exact.
 */
#include <float.h>

#include "metrics/metric.h"

static double measure(const gyre_unit *u)
{
    const gyre_attention *a = u->exact;
    size_t flips = 0;
    for (size_t r = 0; r < a->n; r++) {
        const double *l = a->log_p + r * a->tokens, *d = u->delta + r * a->tokens;
        double most = -DBL_MAX;
        size_t top = a->first[r];
        for (size_t j = a->first[r]; j < a->last[r]; j++)
            if (l[j] + d[j] > most) {
                most = l[j] + d[j];
                top = j;
            }
        flips += top != a->top[r];
    }
    return (double)flips / (double)a->n;
}

const gyre_metric_type gyre_metric_flip = {"flip", "share of queries whose top key changes", "share", GYRE_METRIC_LOGITS, GYRE_METRIC_OF_K, measure, NULL};
