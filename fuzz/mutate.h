/* Well-formed HDF5 files of wrong content: a valid file, changed through the HDF5 API as the input says. */
#ifndef GYRE_FUZZ_MUTATE_H
#define GYRE_FUZZ_MUTATE_H

#include <hdf5.h>

#include "fuzz/fuzz.h"

enum { FUZZ_NAMES = 256, FUZZ_NAME = 64 };

typedef struct fuzz_file {
    unsigned char *bytes; /* without the seal */
    size_t size, n_names;
    char names[FUZZ_NAMES][FUZZ_NAME]; /* of its objects, from the root */
} fuzz_file;

/* Takes the file at fuzz_path() as the pattern. */
void fuzz_take(fuzz_file *pattern);

/* Writes fuzz_path(): the pattern with changes until the input ends, at most a few; `finish` may change the open file once more. False where HDF5 could not. */
bool fuzz_change(const fuzz_file *pattern, fuzz_input *in, void (*finish)(hid_t file));

#endif
