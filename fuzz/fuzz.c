#define _POSIX_C_SOURCE 200809L
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Refused allocations come back as NULL, as malloc does; sizes that no test machine has are refused. */
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=256:quarantine_size_mb=16:malloc_context_size=8";
}

unsigned fuzz_byte(fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

unsigned fuzz_below(fuzz_input *in, unsigned n)
{
    unsigned value = fuzz_byte(in);
    return (n > 256 ? value << 8 | fuzz_byte(in) : value) % n;
}

void *fuzz_room(size_t bytes)
{
    void *p = calloc(bytes > 0 ? bytes : 1, 1);
    FUZZ_MUST(p != NULL);
    return p;
}

static char path[256];

static void drop(void)
{
    (void)unlink(path);
}

const char *fuzz_path(void)
{
    if (path[0] != '\0')
        return path;
    const char *folder = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%.200s/gyre-fuzz-XXXXXX", folder != NULL ? folder : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    int fd = mkstemp(path);
    FUZZ_MUST(fd >= 0 && close(fd) == 0 && atexit(drop) == 0);
    return path;
}

void fuzz_write(const void *bytes, size_t size)
{
    FILE *f = fopen(fuzz_path(), "wb");
    FUZZ_MUST(f != NULL);
    size_t written = fwrite(bytes, 1, size, f);
    FUZZ_MUST(fclose(f) == 0 && written == size);
}

void fuzz_reasoned(gyre_status st, const gyre_error *error)
{
    bool told = st == GYRE_OK || (error->status == st && error->message[0] != '\0' && error->depth > 0);
    if (told && st != GYRE_E_INTERNAL && st != GYRE_E_LOCKED && st != GYRE_E_INTERRUPTED)
        return;
    (void)fprintf(stderr, "%s; the report says %s, %zu places: '%s'\n", gyre_status_name(st), gyre_status_name(error->status), error->depth, error->message);
    __builtin_trap();
}
