/* HDF5 in the one manner of this project.
 *
 * Files: format bounds V110..V110 (checksummed metadata), no object times, creation order tracked and indexed on every group and on attributes,
 * so that equal content gives equal bytes and netCDF-4 readers accept the file. Datasets of rank >= 1 that hold at least 4 KiB are chunked with
 * shuffle + gzip 4 + fletcher32, smaller ones too but without gzip. Strings are variable-length UTF-8. Files are never seen half-written: they
 * are made under a temporary name and committed by core/commit.h.
 *
 * A file being written lives in memory until gyre_h5_close stores it: a full disk is then an error like another, where HDF5 itself would crash at
 * the end of the process.
 *
 * Errors: GYRE_E_IO when the file cannot be opened or written, GYRE_E_INPUT when its content is not what was asked for; the message carries
 * the file, the object and HDF5's own innermost text. HDF5's automatic error printing is switched off by gyre_h5_quiet(), called once by main.
 * Threading: the Debian library serialises inside; handles are not shared between threads here.
 */
#ifndef GYRE_CORE_H5_H
#define GYRE_CORE_H5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

enum { GYRE_H5_MAX_RANK = 5 };

void gyre_h5_quiet(void);

/* Creates (truncates) / opens read-only. *out is closed with gyre_h5_close, never with H5Fclose; a full disk shows there. */
gyre_status gyre_h5_create(const char *path, hid_t *out, gyre_error *err);
gyre_status gyre_h5_open(const char *path, hid_t *out, gyre_error *err);
gyre_status gyre_h5_close(hid_t *file, const char *path, gyre_error *err);

/* Makes a group (creation order tracked); *out is closed with H5Gclose. */
gyre_status gyre_h5_group(hid_t parent, const char *name, hid_t *out, gyre_error *err);
bool gyre_h5_exists(hid_t parent, const char *path); /* every component of the path is checked */

/* Attributes: a string, an unsigned integer, a double. Written once; reading a missing or foreign one is GYRE_E_INPUT. */
gyre_status gyre_h5_attr_text(hid_t object, const char *name, const char *text, gyre_error *err);
gyre_status gyre_h5_attr_uint(hid_t object, const char *name, uint64_t value, gyre_error *err);
gyre_status gyre_h5_attr_real(hid_t object, const char *name, double value, gyre_error *err);
gyre_status gyre_h5_get_attr_text(hid_t object, const char *name, char **out, gyre_error *err); /* caller frees */
gyre_status gyre_h5_get_attr_uint(hid_t object, const char *name, uint64_t *out, gyre_error *err);
gyre_status gyre_h5_get_attr_real(hid_t object, const char *name, double *out, gyre_error *err);

/* Whole datasets. `file_type` is the type on disk (little-endian), `memory_type` the type at `data`. rank 0 writes a scalar. chunk NULL chooses. */
gyre_status gyre_h5_write(hid_t parent, const char *name, hid_t file_type, hid_t memory_type, int rank, const hsize_t *dims, const hsize_t *chunk,
                          const void *data, gyre_error *err);
gyre_status gyre_h5_write_texts(hid_t parent, const char *name, int rank, const hsize_t *dims, const char *const *texts, gyre_error *err);
gyre_status gyre_h5_write_text(hid_t parent, const char *name, const char *text, gyre_error *err);

/* Shape of a dataset: rank must be `rank`. */
gyre_status gyre_h5_shape(hid_t parent, const char *name, int rank, hsize_t *dims, gyre_error *err);

/* Number of dimensions of a dataset. */
gyre_status gyre_h5_rank(hid_t parent, const char *name, int *rank, gyre_error *err);

/* Reads a whole dataset whose shape must equal dims; `count` elements of memory_type arrive at data. */
gyre_status gyre_h5_read(hid_t parent, const char *name, hid_t memory_type, int rank, const hsize_t *dims, void *data, gyre_error *err);
/* Reads the block of `count` elements per dimension that begins at `start`. */
gyre_status gyre_h5_read_part(hid_t parent, const char *name, hid_t memory_type, int rank, const hsize_t *start, const hsize_t *count, void *data,
                              gyre_error *err);
/* Reads count strings (rank 1, or rank 0 with count 1); the caller frees each and the array. */
gyre_status gyre_h5_read_texts(hid_t parent, const char *name, size_t count, char ***out, gyre_error *err);
gyre_status gyre_h5_read_text(hid_t parent, const char *name, char **out, gyre_error *err);

/* Makes dataset `name` of `parent` a dimension scale / attaches scale `scale_path` (from `file`) to dimension `dim` of dataset `name`. */
gyre_status gyre_h5_make_scale(hid_t parent, const char *name, gyre_error *err);
gyre_status gyre_h5_attach_scale(hid_t parent, const char *name, unsigned dim, hid_t file, const char *scale_path, gyre_error *err);

/* 16-bit IEEE float, little-endian, as h5py's '<f2'. Closed with H5Tclose. */
hid_t gyre_h5_half_type(void);

/* Report for a failed HDF5 call: message + HDF5's innermost reason; clears the stack. Use through GYRE_H5_FAIL. */
gyre_status gyre_h5_error(gyre_error *err, gyre_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
#define GYRE_H5_FAIL(status, ...)                                                                                              \
    do {                                                                                                                       \
        st = gyre_h5_error(err, (status), __FILE__, __LINE__, __VA_ARGS__);                                                    \
        goto done;                                                                                                             \
    } while (0)

#endif
