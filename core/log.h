/* Messages for people, on stderr; results go to stdout. A log is passed down, never global.
 *
 * On a terminal the progress line is redrawn in place; otherwise progress becomes plain lines, at most one per `GYRE_LOG_PLAIN_SECONDS`.
 * Threading: calls on one log may come from several threads.
 */
#ifndef GYRE_CORE_LOG_H
#define GYRE_CORE_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "core/status.h"

enum { GYRE_LOG_PLAIN_SECONDS = 10 };

typedef struct gyre_log gyre_log;

gyre_status gyre_log_new(gyre_log **out, FILE *stream, bool quiet, gyre_error *err);
void gyre_log_free(gyre_log *log);

/* One line; `warning: ` in front of the second. A NULL log is silent. */
void gyre_log_info(gyre_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gyre_log_warning(gyre_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The report of an error: "gyre: <status>: <message>", and its trail when the environment variable GYRE_TRACE is set. */
void gyre_log_error(gyre_log *log, const gyre_error *err);

/* done of total, with rate and time to go; done == total ends the line. */
void gyre_log_progress(gyre_log *log, const char *what, size_t done, size_t total);

#endif
