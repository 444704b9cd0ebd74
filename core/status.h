/* Status codes and error reports.
 *
 * Every function that can fail returns a gyre_status and takes, as its last parameter, a gyre_error that it fills before it returns anything but
 * GYRE_OK: what was wrong, where in the source it was seen, and the trail of calls above it. There is no global state, nothing aborts, and only main
 * exits. `err` may be NULL where the caller needs the code alone.
 *
 * The shape of a function:
 *
 *     gyre_status f(..., gyre_error *err)
 *     {
 *         gyre_status st = GYRE_OK;
 *         GYRE_TRY(g(..., err));                       // on failure: adds this line to the trail, goes to done
 *         if (n == 0)
 *             GYRE_FAIL(GYRE_E_INPUT, "no rows in %s: name another layer", name);
 *     done:
 *         free(...);
 *         return st;
 *     }
 */
#ifndef GYRE_CORE_STATUS_H
#define GYRE_CORE_STATUS_H

#include <stddef.h>

/* One list gives the enum, the short names and the exit codes of the program. */
#define GYRE_STATUS_LIST(X)                                                                                                    \
    X(OK, "ok", 0)                                                                                                             \
    X(E_USAGE, "usage", 2)             /* command line */                                                                      \
    X(E_CONFIG, "configuration", 2)    /* configuration file */                                                                \
    X(E_INPUT, "input", 1)             /* a file, model, text or tensor that cannot be used */                                 \
    X(E_NAN, "not finite", 1)          /* NaN or Inf at a boundary */                                                          \
    X(E_RANGE, "out of range", 1)      /* a value that its format cannot hold */                                               \
    X(E_APPLICABLE, "not applicable", 1) /* a variant that does not apply here: the cell is SKIPPED */                         \
    X(E_MEMORY, "out of memory", 1)                                                                                            \
    X(E_IO, "input/output", 1)         /* the system refused: full disk, permissions */                                        \
    X(E_LOCKED, "locked", 1)           /* another process works here */                                                        \
    X(E_INCOMPLETE, "incomplete", 1)   /* cells missing */                                                                     \
    X(E_INTERRUPTED, "interrupted", 75)                                                                                        \
    X(E_UNSUPPORTED, "unsupported", 1) /* built without, or a model that this code does not know */                            \
    X(E_INTERNAL, "internal error", 1) /* a defect of Gyre */

typedef enum gyre_status {
#define GYRE_STATUS_ENUM(name, text, exit_code) GYRE_##name,
    GYRE_STATUS_LIST(GYRE_STATUS_ENUM)
#undef GYRE_STATUS_ENUM
} gyre_status;

enum { GYRE_ERROR_TEXT = 4096, GYRE_ERROR_TRAIL = 12 };

typedef struct gyre_error {
    gyre_status status;
    char message[GYRE_ERROR_TEXT]; /* one sentence: what, where, what to do */
    struct {
        const char *file;
        int line;
    } trail[GYRE_ERROR_TRAIL]; /* [0] is where it was seen, the rest the callers */
    size_t depth;
} gyre_error;

/* Short name and exit code of a status. */
const char *gyre_status_name(gyre_status status);
int gyre_status_exit(gyre_status status);

/* Fills err (when not NULL) with a fresh report; returns status. Use GYRE_FAIL. */
gyre_status gyre_error_set(gyre_error *err, gyre_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Adds a place to the trail. Use GYRE_TRY. */
void gyre_error_trail(gyre_error *err, const char *file, int line);

/* Puts "context: " in front of the message that err holds; returns its status. */
gyre_status gyre_error_context(gyre_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* calloc with an overflow check and an error report; *out is NULL on failure. */
gyre_status gyre_calloc(void **out, size_t count, size_t size, gyre_error *err);

#define GYRE_TRY(call)                                                                                                         \
    do {                                                                                                                       \
        st = (call);                                                                                                           \
        if (st != GYRE_OK) {                                                                                                   \
            gyre_error_trail(err, __FILE__, __LINE__);                                                                         \
            goto done;                                                                                                         \
        }                                                                                                                      \
    } while (0)

#define GYRE_FAIL(status, ...)                                                                                                 \
    do {                                                                                                                       \
        st = gyre_error_set(err, (status), __FILE__, __LINE__, __VA_ARGS__);                                                   \
        goto done;                                                                                                             \
    } while (0)

/* GYRE_NEW(&pointer, count): typed gyre_calloc inside GYRE_TRY. */
#define GYRE_NEW(pointer, count) GYRE_TRY(gyre_calloc((void **)(pointer), (count), sizeof **(pointer), err))

#endif
