/* What the fuzz targets share: input taken apart, one temporary file, and what must hold. */
#ifndef GYRE_FUZZ_FUZZ_H
#define GYRE_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* The crash that libFuzzer reports. */
#define FUZZ_MUST(condition)                                                                                                   \
    do {                                                                                                                       \
        if (!(condition))                                                                                                      \
            __builtin_trap();                                                                                                  \
    } while (0)

typedef struct fuzz_input {
    const uint8_t *at;
    size_t left;
} fuzz_input;

/* The next byte, 0 when there is none; a number below n. */
unsigned fuzz_byte(fuzz_input *in);
unsigned fuzz_below(fuzz_input *in, unsigned n);

/* Allocated with at least a byte, or a crash. */
void *fuzz_room(size_t bytes);

/* Path of this process's temporary file, deleted at the end; what is written there. */
const char *fuzz_path(void);
void fuzz_write(const void *bytes, size_t size);

/* A failure says what and why, and blames neither Gyre nor nobody. */
void fuzz_reasoned(gyre_status st, const gyre_error *error);

#endif
