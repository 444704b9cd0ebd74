/* The figure of a joined order (order.h): one page for each model and streams, one panel for each metric, grid points below each other.
 *
 * Arms are points, x the capture's error, y what the model pays, with the intervals of single arms. Where the two agree points rise to the right; a dark line, which falls to the right, joins two
 * arms that they order oppositely. The title of a panel has the rank correlations with their intervals.
 */
#ifndef GYRE_RESULTS_ORDER_FIGURE_H
#define GYRE_RESULTS_ORDER_FIGURE_H

#include "core/log.h"
#include "core/status.h"
#include "results/order.h"
#include "results/provenance.h"

/* The results file of one side. */
typedef struct gyre_order_file {
    const gyre_provenance *provenance;
    const char *digest; /* scientific digest, hex */
} gyre_order_file;

/* FOLDER/model_order_SOURCE_STREAMS.png, .svg, .pdf and .csv. Errors as gyre_figures. */
gyre_status gyre_order_draw(const gyre_orders *order, const gyre_order_file *capture, const gyre_order_file *model, const char *folder, gyre_log *log, gyre_error *err);

#endif
