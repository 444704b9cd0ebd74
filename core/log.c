#define _POSIX_C_SOURCE 200809L
#include "core/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct gyre_log {
    pthread_mutex_t lock;
    FILE *stream;
    bool quiet, terminal, line_open, trace;
    bool started;
    size_t first;             /* cells done when this progress began */
    double since, printed;
};

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

gyre_status gyre_log_new(gyre_log **out, FILE *stream, bool quiet, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, 1);
    (*out)->stream = stream;
    (*out)->quiet = quiet;
    (*out)->terminal = isatty(fileno(stream)) == 1;
    (*out)->trace = getenv("GYRE_TRACE") != NULL;
    if (pthread_mutex_init(&(*out)->lock, NULL) != 0) {
        free(*out);
        *out = NULL;
        GYRE_FAIL(GYRE_E_INTERNAL, "cannot make a lock for the log");
    }
done:
    return st;
}

void gyre_log_free(gyre_log *log)
{
    if (log == NULL)
        return;
    if (log->line_open)
        (void)fputc('\n', log->stream);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

static void line(gyre_log *log, const char *prefix, const char *format, va_list args)
{
    (void)pthread_mutex_lock(&log->lock);
    if (log->line_open)
        (void)fputs("\r\033[K", log->stream);
    log->line_open = false;
    (void)fputs(prefix, log->stream);
    (void)vfprintf(log->stream, format, args);
    (void)fputc('\n', log->stream);
    (void)fflush(log->stream);
    (void)pthread_mutex_unlock(&log->lock);
}

void gyre_log_info(gyre_log *log, const char *format, ...)
{
    if (log == NULL || log->quiet)
        return;
    va_list args;
    va_start(args, format);
    line(log, "", format, args);
    va_end(args);
}

void gyre_log_warning(gyre_log *log, const char *format, ...)
{
    if (log == NULL)
        return;
    va_list args;
    va_start(args, format);
    line(log, "gyre: warning: ", format, args);
    va_end(args);
}

void gyre_log_error(gyre_log *log, const gyre_error *err)
{
    if (log == NULL)
        return;
    (void)pthread_mutex_lock(&log->lock);
    if (log->line_open)
        (void)fputc('\n', log->stream);
    log->line_open = false;
    (void)fprintf(log->stream, "gyre: %s: %s\n", gyre_status_name(err->status), err->message);
    for (size_t i = 0; log->trace && i < err->depth; i++)
        (void)fprintf(log->stream, "  %s %s:%d\n", i == 0 ? "at" : "by", err->trail[i].file, err->trail[i].line);
    (void)fflush(log->stream);
    (void)pthread_mutex_unlock(&log->lock);
}

static void duration(double seconds, char *text, size_t size)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        (void)snprintf(text, size, "%ldh %02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)snprintf(text, size, "%ldm %02lds", s / 60, s % 60);
    else
        (void)snprintf(text, size, "%lds", s);
}

void gyre_log_progress(gyre_log *log, const char *what, size_t done, size_t total)
{
    if (log == NULL || log->quiet)
        return;
    (void)pthread_mutex_lock(&log->lock);
    double t = now();
    if (!log->started) {
        log->started = true;
        log->first = done;
        log->since = log->printed = t;
    }
    bool last = done >= total;
    if (last || t - log->printed >= (log->terminal ? 0.2 : (double)GYRE_LOG_PLAIN_SECONDS)) {
        char elapsed[32], left[32] = "?";
        duration(t - log->since, elapsed, sizeof elapsed);
        if (done > log->first)
            duration((t - log->since) * (double)(total - done) / (double)(done - log->first), left, sizeof left);
        (void)fprintf(log->stream, "%s%s %zu/%zu (%.0f%%) in %s%s%s%s", log->terminal ? "\r\033[K" : "", what, done, total,
                      total == 0 ? 100.0 : 100.0 * (double)done / (double)total, elapsed, last ? "" : ", ", last ? "" : left, last ? "" : " to go");
        log->line_open = log->terminal && !last;
        if (!log->line_open)
            (void)fputc('\n', log->stream);
        (void)fflush(log->stream);
        log->printed = t;
    }
    if (last)
        log->started = false;
    (void)pthread_mutex_unlock(&log->lock);
}
