/* Where and by what a results file was made. Everything here may differ between two runs that computed the same thing: it is stored in /provenance
 * and enters no digest.
 *
 * Build facts come from the generated header build_info.h at build time, never from asking git while running; a build from a changed tree is
 * `dirty` and says so wherever its results are shown. Library versions are those of the header and of the library linked, where both can be had.
 * What it is not: a lock file. Neither the system's packages nor the processor's microcode are recorded.
 */
#ifndef GYRE_RESULTS_PROVENANCE_H
#define GYRE_RESULTS_PROVENANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

typedef char gyre_provenance_text[512];

typedef struct gyre_provenance {
    gyre_provenance_text build_id;  /* "0.1.0 (commit)", "0.1.0 (commit, dirty)" */
    gyre_provenance_text version;
    gyre_provenance_text git_commit;
    bool git_dirty;
    gyre_provenance_text compiler, compiler_flags;
    gyre_provenance_text value_code; /* of the program that merged; the table has that of the program that computed */
    gyre_provenance_text host, os, cpu;
    uint32_t cpu_threads;            /* that the system offers */
    uint32_t threads;                /* that the run used */
    gyre_provenance_text kernels;    /* fast paths selected at run time */
    gyre_provenance_text hdf5, fftw, openblas, gsl, libyaml, openssl;
} gyre_provenance;

/* kernels and threads are what the caller selected. Texts longer than their room are cut. */
gyre_status gyre_provenance_gather(const char *kernels, uint32_t threads, gyre_provenance *out, gyre_error *err);

#endif
