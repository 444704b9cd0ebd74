/* Does an error of the cache order arms as the model does? The arms of a capture's results against the same arms inside the model.
 *
 * An arm is on both sides when the model (model_sha256), the name, the grid point, the streams and the codecs agree. Rows are for arms that code the same streams, all grid points together and
 * each by itself. Arms with `layers` of their own are left out. Of every arm a row takes two means, over fixed layers and heads, documents and seeds for the metric of the capture, chunks and seeds for the model:
 *
 *   x_a = mean_sj u_a[s][j]      y_a = mean_sc v_a[s][c]      rho, tau: rank correlations (stats/rank.h) of (x_a, y_a) over the arms a of the row
 *
 * u are logarithms where the metric has them for all arms of the row and is no share, v where the model is judged by token_kl. Intervals: percentile bootstrap with GYRE_ORDER_RESAMPLES
 * resamples of seed indices, documents and chunks with replacement, each drawn once for all arms and both levels (a seed index means the same signs on both); an arm without seeds is the same
 * for every seed. Several texts: the texts take the place of chunks (compare.h). Seeds are those that both sides have. Where a factor has one level there is no interval.
 *
 * References: Efron, Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Owen, Annals of Applied Statistics 1 (2007) 386-411, for resampling crossed factors one by one, which is
 * never too narrow for a mean but for the factor (n - 1)/n of each. Cost: resamples * arms * seeds * (documents + chunks).
 *
 * What it is not: a claim about other arms. Arms are the list that somebody chose; with another list the correlation is another number. Nor a test of rho = 0.
 */
#ifndef GYRE_RESULTS_ORDER_H
#define GYRE_RESULTS_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "results/summary.h"
#include "results/table.h"

#define GYRE_ORDER_ALPHA 0.05
enum { GYRE_ORDER_RESAMPLES = 2000 };

/* An arm of a row: means in the units of the metrics, with the intervals (1 - alpha) of its own mean by the rules of summary.h. */
typedef struct gyre_order_arm {
    const char *arm, *point;
    gyre_interval metric, model;
} gyre_order_arm;

typedef struct gyre_correlation {
    double value, lo, hi;    /* lo and hi NaN where there is no interval */
    double lo_error, hi_error; /* Monte-Carlo error of the ends: how far the quantile moves within two standard errors of its level */
} gyre_correlation;

/* Two arms of one grid point, the first better by the metric and worse by the model, both paired intervals (1 - alpha, not adjusted) excluding no difference. First over second where
 * means of the row are geometric, else first minus second. */
typedef struct gyre_order_discord {
    const char *point, *better_by_metric, *better_by_model;
    gyre_interval metric, model;
} gyre_order_discord;

typedef struct gyre_order_row {
    size_t capture, model;     /* sources of the two tables */
    const char *streams;
    const char *point;         /* NULL: several grid points together */
    size_t metric;             /* of the capture's table */
    bool metric_log, model_log; /* means are geometric */
    const char *status, *reason; /* "OK"; "NO_INTERVAL" (the correlations are there); "DEGENERATE": there is no correlation */
    size_t n_arms;
    gyre_order_arm *arms;      /* in plan order of the capture */
    size_t best_by_metric, best_by_model; /* places in arms */
    size_t n_seeds;            /* 0 where no arm is seeded */
    size_t n_documents, n_chunks;
    gyre_correlation rho, tau;
    size_t n_undefined;        /* resamples in which all arms tied: left out */
    size_t n_pairs, n_discords; /* pairs are of one grid point */
    gyre_order_discord *discords;
} gyre_order_row;

/* What rows do not show, and why. Metrics that no arm of the streams has (softmax_kl of values) are not listed. */
typedef struct gyre_order_absent {
    size_t capture, model;
    const char *arm, *point, *streams, *metric; /* metric NULL: all */
    const char *reason;
} gyre_order_absent;

/* Kept by the capture's table. */
typedef struct gyre_orders {
    gyre_table *capture, *model;
    const char *capture_path, *model_path, *against;
    size_t place;              /* of `against` in the model's metrics */
    gyre_order_row *rows;      /* by pair of sources, streams, point (all first), metric */
    size_t n_rows;
    gyre_order_absent *absent;
    size_t n_absent;
} gyre_orders;

/* against: a metric of the model's table, as nll_change or token_kl. Paths are for messages. GYRE_E_INPUT where the files are not one of captures and one of models, have no model or fewer than
 * three arms in common, or their seeds mean other signs. */
gyre_status gyre_order_join(gyre_table *capture, const char *capture_path, gyre_table *model, const char *model_path, const char *against, gyre_orders *out, gyre_error *err);

/* ---- for order.c and order_resample.c ---- */

/* Units of one arm of a row: u[seed][unit], of seeds 1 where the arm has none. */
typedef struct gyre_order_units {
    bool seeded;
    size_t n_seeds, n_units;
    double *u;
} gyre_order_units;

/* Correlations of the n arms and their intervals into row (status, reason, rho, tau, n_undefined); n_seeds, n_documents and n_chunks are read from it. */
gyre_status gyre_order_correlate(const gyre_order_units *metric, const gyre_order_units *model, size_t n, gyre_order_row *row, gyre_error *err);

#endif
