/* Registration: the analysis plan and the sample, written down in the run folder before the first cell is computed, and never again.
 *
 *   DIR/analysis.plan     gyre-plan 1
 *                         time 2026-11-22T14:39:52Z
 *                         analysis HASH, campaign_seed N, seeds N                      a line each
 *                         source NAME: data, layers, documents, ...                    a line each: the sample, what calibrates and validates, a model's queries and the capture of its fits
 *                         arm ...                                                      the arms that are compared, and those that they have in some layers, as the resolved configuration has them
 *                         compare arm=A against=B metric=M source=S point=P ...        one line a comparison
 *                         sha256 HASH                                                  of all lines before
 *
 * A comparison is confirmatory where its line and those of its arms are registered, the sample is the registered one, and not both arms have cells that were written before the plan; else it is exploratory: it keeps its numbers and its verdict, says so
 * everywhere, and is adjusted in a family of its own, "FAMILY (exploratory)". Registered comparisons that are no longer made count in their family with p = 1, so that leaving some out
 * buys nothing.
 *
 * What it is not: proof against somebody who removes the folder and registers anew. It holds against forgetting, and against a margin, a seed or a document too many after a look.
 */
#ifndef GYRE_RESULTS_REGISTRATION_H
#define GYRE_RESULTS_REGISTRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "core/log.h"
#include "core/status.h"
#include "results/table.h"

/* Is a plan registered in the folder? */
bool gyre_plan_registered(const char *folder);

/* Registers the table's plan as of `when`, unless there is one: whoever comes first writes, as a whole. */
gyre_status gyre_plan_register(const char *folder, const gyre_table *table, time_t when, gyre_error *err);

/* The same for a folder whose cells are older than any plan that could be trusted: all its comparisons stay exploratory. */
gyre_status gyre_plan_register_nothing(const char *folder, gyre_error *err);

/* Holds the table against the plan of the folder: fills plan_registered and plan_time, and marks comparisons exploratory with the reason. For planned tables, before gyre_compare. */
gyre_status gyre_plan_hold(const char *folder, gyre_table *table, gyre_log *log, gyre_error *err);

/* Registered comparisons of the family (NULL: of all) that the table does not make. */
gyre_status gyre_plan_dropped(const gyre_table *table, const char *family, size_t *out, gyre_error *err);

/* Of these, in all families, those that predicted something. */
gyre_status gyre_plan_dropped_predictions(const gyre_table *table, size_t *out, gyre_error *err);

#endif
