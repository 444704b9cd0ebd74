#include "core/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_code;
} statuses[] = {
#define GYRE_STATUS_ROW(name, text, exit_code) { text, exit_code },
    GYRE_STATUS_LIST(GYRE_STATUS_ROW)
#undef GYRE_STATUS_ROW
};

const char *gyre_status_name(gyre_status status)
{
    return statuses[status].name;
}

int gyre_status_exit(gyre_status status)
{
    return statuses[status].exit_code;
}

gyre_status gyre_error_set(gyre_error *err, gyre_status status, const char *file, int line, const char *format, ...)
{
    if (err == NULL)
        return status;
    /* The arguments may point into err->message itself (a report wrapped in another), so the text is made aside first. */
    char text[GYRE_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(err->message, text, sizeof text);
    err->status = status;
    err->depth = 0;
    gyre_error_trail(err, file, line);
    return status;
}

void gyre_error_trail(gyre_error *err, const char *file, int line)
{
    if (err == NULL || err->depth >= GYRE_ERROR_TRAIL)
        return;
    err->trail[err->depth].file = file;
    err->trail[err->depth].line = line;
    err->depth++;
}

gyre_status gyre_error_context(gyre_error *err, const char *format, ...)
{
    if (err == NULL)
        return GYRE_E_INTERNAL;
    char text[2 * GYRE_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    (void)snprintf(text + used, sizeof text - used, ": %s", err->message);
    (void)snprintf(err->message, sizeof err->message, "%.*s", GYRE_ERROR_TEXT - 1, text);
    return err->status;
}

gyre_status gyre_calloc(void **out, size_t count, size_t size, gyre_error *err)
{
    *out = NULL;
    if (size != 0 && count > SIZE_MAX / size)
        return gyre_error_set(err, GYRE_E_MEMORY, __FILE__, __LINE__, "%zu x %zu bytes overflow the address space", count, size);
    *out = calloc(count != 0 ? count : 1, size != 0 ? size : 1);
    if (*out == NULL)
        return gyre_error_set(err, GYRE_E_MEMORY, __FILE__, __LINE__, "no memory for %zu x %zu bytes: use fewer jobs or a smaller source", count, size);
    return GYRE_OK;
}
