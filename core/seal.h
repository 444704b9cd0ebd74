/* A seal at the end of a file: 8 bytes "GYRESEAL" and the SHA-256 of all bytes before them, as 64 hexadecimal digits.
 *
 * HDF5 checks its metadata and, with fletcher32, its chunks; but variable-length strings lie in global heaps that nothing checks, and a flipped bit there
 * makes the library crash or read another text. HDF5 ignores what follows its end of file, so h5py, netCDF and h5dump read a sealed file as any other; a
 * tool that rewrites the file drops the seal, which is allowed. By hand: head -c -72 FILE | sha256sum; tail -c 64 FILE.
 */
#ifndef GYRE_CORE_SEAL_H
#define GYRE_CORE_SEAL_H

#include "core/status.h"

/* Appends the seal to a finished file (before it is committed). */
gyre_status gyre_seal_write(const char *path, gyre_error *err);

/* GYRE_E_INPUT when the file has a seal that does not fit; a file without one passes. GYRE_E_IO when it cannot be read. */
gyre_status gyre_seal_check(const char *path, gyre_error *err);

#endif
