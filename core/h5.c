#define _POSIX_C_SOURCE 200809L
#include "core/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hdf5_hl.h>

enum { CHUNK_FROM_BYTES = 4096, CHUNK_TARGET_BYTES = 1 << 18, IMAGE_STEP = 1 << 16 };

void gyre_h5_quiet(void)
{
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* ---- errors ---- */

/* Innermost description of HDF5's stack: what really happened. */
static herr_t innermost(unsigned n, const H5E_error2_t *e, void *data)
{
    if (n == 0)
        (void)snprintf(data, 256, "%s", e->desc != NULL ? e->desc : "no description");
    return 0;
}

gyre_status gyre_h5_error(gyre_error *err, gyre_status status, const char *file, int line, const char *format, ...)
{
    char text[1024], reason[256] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
    (void)H5Eclear2(H5E_DEFAULT);
    return gyre_error_set(err, status, file, line, "%s%s%s%s", text, reason[0] ? " (HDF5: " : "", reason, reason[0] ? ")" : "");
}

/* Name of the file an object lives in, for messages. */
static const char *file_of(hid_t object, char *text, size_t size)
{
    ssize_t n = H5Fget_name(object, text, size);
    if (n <= 0)
        (void)snprintf(text, size, "HDF5 file");
    return text;
}

/* ---- files and groups ---- */

/* A file being written lives in memory and goes to disk in gyre_h5_close. HDF5 must not meet a full disk itself: after a failed H5Fclose it keeps a
 * dangling file and crashes when the process ends. H5Fget_file_image is no way out, since it leaves a wrong checksum in the superblock (1.10.8), so
 * the core driver's buffer is taken over when the driver gives it up, after the last write. */
typedef struct image {
    char *path;
    unsigned char *bytes;
} image;

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *data)
{
    (void)op, (void)data;
    return malloc(size);
}

static void *image_realloc(void *bytes, size_t size, H5FD_file_image_op_t op, void *data)
{
    (void)op, (void)data;
    return realloc(bytes, size);
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *data)
{
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        ((image *)data)->bytes = bytes;
    else
        free(bytes);
    return 0;
}

static void *image_share(void *data)
{
    return data;
}

static herr_t image_unshare(void *data)
{
    (void)data;
    return 0;
}

/* Does nothing: a callback whose data H5Fget_access_plist returns, which is how gyre_h5_close finds the image of a file. */
static herr_t image_mark(hid_t object, void *data)
{
    (void)object, (void)data;
    return 0;
}

static image *image_of(hid_t file)
{
    H5F_flush_cb_t mark = NULL;
    void *data = NULL;
    hid_t access = H5Fget_access_plist(file);
    if (access >= 0)
        (void)H5Pget_object_flush_cb(access, &mark, &data);
    (void)H5Pclose(access);
    return mark == image_mark ? data : NULL;
}

static void image_drop(image *im)
{
    if (im != NULL) {
        free(im->bytes);
        free(im->path);
    }
    free(im);
}

/* Bytes of the finished file: the end-of-file address in the superblock (versions 2 and 3, offsets of 8 bytes); the buffer may be longer. */
static size_t image_size(const unsigned char *bytes)
{
    size_t size = 0;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | bytes[28 + i];
    return size;
}

static gyre_status write_bytes(int fd, const char *path, const void *bytes, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s", path, strerror(errno));
        at += n;
        size -= (size_t)n;
    }
done:
    return st;
}

static gyre_status image_store(const image *im, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int fd = -1;
    if (im->bytes == NULL)
        GYRE_FAIL(GYRE_E_INTERNAL, "HDF5 kept the content of %s", im->path);
    size_t size = image_size(im->bytes);
    fd = open(im->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s", im->path, strerror(errno));
    GYRE_TRY(write_bytes(fd, im->path, im->bytes, size, err));
    int closed = close(fd);
    fd = -1;
    if (closed != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot finish writing %s: %s", im->path, strerror(errno));
done:
    if (fd >= 0)
        (void)close(fd);
    return st;
}

static gyre_status image_new(const char *path, image **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    FILE *f = fopen(path, "wb"); /* empty until closed: shows at once where nothing can be written */
    *out = NULL;
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot create %s: %s: check that its folder exists and can be written", path, strerror(errno));
    (void)fclose(f);
    GYRE_NEW(out, 1);
    GYRE_NEW(&(*out)->path, strlen(path) + 1);
    memcpy((*out)->path, path, strlen(path) + 1);
done:
    if (st != GYRE_OK) {
        image_drop(*out);
        *out = NULL;
    }
    return st;
}

gyre_status gyre_h5_create(const char *path, hid_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    image *im = NULL;
    *out = H5I_INVALID_HID;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    GYRE_TRY(image_new(path, &im, err));
    H5FD_file_image_callbacks_t callbacks = { image_malloc, NULL, image_realloc, image_free, image_share, image_unshare, im };
    if (access < 0 || create < 0 || H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 || H5Pset_obj_track_times(create, false) < 0
        || H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0
        || H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0)
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses the file properties");
    if (H5Pset_fapl_core(access, IMAGE_STEP, false) < 0 || H5Pset_file_image_callbacks(access, &callbacks) < 0
        || H5Pset_object_flush_cb(access, image_mark, im) < 0 || H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0)
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses to write in memory");
    *out = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    if (*out < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot create %s", path);
done:
    (void)H5Pclose(access);
    (void)H5Pclose(create);
    if (st != GYRE_OK)
        image_drop(im);
    return st;
}

gyre_status gyre_h5_open(const char *path, hid_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = H5I_INVALID_HID;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot open %s: no such file, or not readable", path);
    (void)fclose(f);
    *out = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (*out < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s is not a readable HDF5 file: truncated, damaged, or of another kind", path);
done:
    return st;
}

gyre_status gyre_h5_close(hid_t *file, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t id = *file;
    image *im = id >= 0 ? image_of(id) : NULL;
    *file = H5I_INVALID_HID;
    if (id >= 0 && H5Fclose(id) < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot finish %s", path);
    if (im != NULL)
        GYRE_TRY(image_store(im, err));
done:
    image_drop(im);
    return st;
}

gyre_status gyre_h5_group(hid_t parent, const char *name, hid_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = H5I_INVALID_HID;
    hid_t create = H5Pcreate(H5P_GROUP_CREATE);
    if (create < 0 || H5Pset_obj_track_times(create, false) < 0 || H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0
        || H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0)
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses the group properties");
    *out = H5Gcreate2(parent, name, H5P_DEFAULT, create, H5P_DEFAULT);
    if (*out < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot make the group %s", name);
done:
    (void)H5Pclose(create);
    return st;
}

bool gyre_h5_exists(hid_t parent, const char *path)
{
    bool found = H5LTpath_valid(parent, path, true) > 0;
    (void)H5Eclear2(H5E_DEFAULT);
    return found;
}

/* ---- attributes ---- */

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        (void)H5Tclose(type);
        type = H5I_INVALID_HID;
    }
    return type;
}

static gyre_status attr_write(hid_t object, const char *name, hid_t file_type, hid_t memory_type, const void *value, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t space = H5Screate(H5S_SCALAR), attr = H5I_INVALID_HID;
    attr = space < 0 ? space : H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0 || H5Awrite(attr, memory_type, value) < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot write the attribute %s", name);
done:
    if (attr >= 0)
        (void)H5Aclose(attr);
    if (space >= 0)
        (void)H5Sclose(space);
    return st;
}

gyre_status gyre_h5_attr_text(hid_t object, const char *name, const char *text, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t type = text_type();
    GYRE_TRY(attr_write(object, name, type, type, &text, err));
done:
    (void)H5Tclose(type);
    return st;
}

gyre_status gyre_h5_attr_uint(hid_t object, const char *name, uint64_t value, gyre_error *err)
{
    return attr_write(object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &value, err);
}

gyre_status gyre_h5_attr_real(hid_t object, const char *name, double value, gyre_error *err)
{
    return attr_write(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, err);
}

/* Opens a scalar attribute of the wanted class. */
static gyre_status attr_open(hid_t object, const char *name, H5T_class_t wanted, hid_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char file[512];
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    *out = H5I_INVALID_HID;
    if (H5Aexists(object, name) <= 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s: the attribute %s is missing: not a file of this kind, or of another version", file_of(object, file, sizeof file), name);
    *out = H5Aopen(object, name, H5P_DEFAULT);
    type = *out < 0 ? *out : H5Aget_type(*out);
    space = *out < 0 ? *out : H5Aget_space(*out);
    if (type < 0 || space < 0 || H5Tget_class(type) != wanted || H5Sget_simple_extent_npoints(space) != 1)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the attribute %s is not of the expected type", file_of(object, file, sizeof file), name);
done:
    if (type >= 0)
        (void)H5Tclose(type);
    if (space >= 0)
        (void)H5Sclose(space);
    if (st != GYRE_OK && *out >= 0) {
        (void)H5Aclose(*out);
        *out = H5I_INVALID_HID;
    }
    return st;
}

gyre_status gyre_h5_get_attr_text(hid_t object, const char *name, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t attr = H5I_INVALID_HID, own = H5I_INVALID_HID, type = text_type();
    *out = NULL;
    GYRE_TRY(attr_open(object, name, H5T_STRING, &attr, err));
    own = H5Aget_type(attr);
    if (H5Tis_variable_str(own) <= 0 || H5Tset_cset(type, H5Tget_cset(own)) < 0 || H5Aread(attr, type, out) < 0 || *out == NULL)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the attribute %s cannot be read", name);
done:
    if (own >= 0)
        (void)H5Tclose(own);
    if (attr >= 0)
        (void)H5Aclose(attr);
    (void)H5Tclose(type);
    return st;
}

gyre_status gyre_h5_get_attr_uint(hid_t object, const char *name, uint64_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t attr = H5I_INVALID_HID;
    GYRE_TRY(attr_open(object, name, H5T_INTEGER, &attr, err));
    if (H5Aread(attr, H5T_NATIVE_UINT64, out) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the attribute %s cannot be read", name);
done:
    if (attr >= 0)
        (void)H5Aclose(attr);
    return st;
}

gyre_status gyre_h5_get_attr_real(hid_t object, const char *name, double *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t attr = H5I_INVALID_HID;
    GYRE_TRY(attr_open(object, name, H5T_FLOAT, &attr, err));
    if (H5Aread(attr, H5T_NATIVE_DOUBLE, out) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "the attribute %s cannot be read", name);
done:
    if (attr >= 0)
        (void)H5Aclose(attr);
    return st;
}

/* ---- datasets ---- */

/* Default chunk: whole trailing dimensions, as many leading ones as fit the target. */
static void default_chunk(int rank, const hsize_t *dims, size_t element, hsize_t *chunk)
{
    hsize_t bytes = element;
    for (int i = rank - 1; i >= 0; i--) {
        hsize_t room = bytes >= CHUNK_TARGET_BYTES ? 1 : CHUNK_TARGET_BYTES / bytes;
        chunk[i] = dims[i] < room ? dims[i] : room;
        bytes *= chunk[i];
    }
}

static gyre_status creation(hid_t type, int rank, const hsize_t *dims, const hsize_t *chunk, hid_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t count = 1, own[GYRE_H5_MAX_RANK];
    *out = H5Pcreate(H5P_DATASET_CREATE);
    if (*out < 0 || H5Pset_obj_track_times(*out, false) < 0 || H5Pset_attr_creation_order(*out, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0)
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses the dataset properties");
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    if (rank == 0 || count == 0)
        goto done;
    if (chunk == NULL) {
        default_chunk(rank, dims, H5Tget_size(type), own);
        chunk = own;
    }
    /* texts live in the file's heap, out of the filters' reach: HDF5 refuses filters there */
    bool texts = H5Tis_variable_str(type) > 0, large = count * H5Tget_size(type) >= CHUNK_FROM_BYTES;
    if (H5Pset_chunk(*out, rank, chunk) < 0 || (!texts && large && (H5Pset_shuffle(*out) < 0 || H5Pset_deflate(*out, 4) < 0))
        || (!texts && H5Pset_fletcher32(*out) < 0))
        GYRE_H5_FAIL(GYRE_E_INTERNAL, "HDF5 refuses chunks and filters");
done:
    return st;
}

gyre_status gyre_h5_write(hid_t parent, const char *name, hid_t file_type, hid_t memory_type, int rank, const hsize_t *dims, const hsize_t *chunk,
                          const void *data, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t space = H5I_INVALID_HID, create = H5I_INVALID_HID, set = H5I_INVALID_HID;
    GYRE_TRY(creation(file_type, rank, dims, chunk, &create, err));
    space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims, NULL);
    set = space < 0 ? space : H5Dcreate2(parent, name, file_type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    if (set < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot create the dataset %s", name);
    if (data != NULL && H5Sget_simple_extent_npoints(space) > 0 && H5Dwrite(set, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot write the dataset %s: is the disk full?", name);
    hid_t closing = set;
    set = H5I_INVALID_HID;
    if (H5Dclose(closing) < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot finish the dataset %s: is the disk full?", name);
done:
    if (set >= 0)
        (void)H5Dclose(set);
    if (space >= 0)
        (void)H5Sclose(space);
    if (create >= 0)
        (void)H5Pclose(create);
    return st;
}

gyre_status gyre_h5_write_texts(hid_t parent, const char *name, int rank, const hsize_t *dims, const char *const *texts, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t type = text_type();
    GYRE_TRY(gyre_h5_write(parent, name, type, type, rank, dims, NULL, texts, err));
done:
    (void)H5Tclose(type);
    return st;
}

gyre_status gyre_h5_write_text(hid_t parent, const char *name, const char *text, gyre_error *err)
{
    return gyre_h5_write_texts(parent, name, 0, NULL, &text, err);
}

/* Opens a dataset and reads its shape. */
static gyre_status set_open(hid_t parent, const char *name, int rank, hsize_t *dims, hid_t *out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char file[512];
    hid_t space = H5I_INVALID_HID;
    *out = H5I_INVALID_HID;
    if (!gyre_h5_exists(parent, name))
        GYRE_FAIL(GYRE_E_INPUT, "%s: the dataset %s is missing", file_of(parent, file, sizeof file), name);
    *out = H5Dopen2(parent, name, H5P_DEFAULT);
    space = *out < 0 ? *out : H5Dget_space(*out);
    if (space < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: %s is not a readable dataset", file_of(parent, file, sizeof file), name);
    int own = H5Sget_simple_extent_ndims(space);
    if (own != rank)
        GYRE_FAIL(GYRE_E_INPUT, "%s: the dataset %s has %d dimensions, not %d", file_of(parent, file, sizeof file), name, own, rank);
    if (rank > 0 && H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the shape of %s cannot be read", file_of(parent, file, sizeof file), name);
done:
    if (space >= 0)
        (void)H5Sclose(space);
    if (st != GYRE_OK && *out >= 0) {
        (void)H5Dclose(*out);
        *out = H5I_INVALID_HID;
    }
    return st;
}

/* Do the stored bytes suffice for the values that the shape names? deflate shrinks at most 1032 times (zlib's manual), so a shape beyond that was never written: HDF5 would spend
 * memory on every chunk of it and return fill values. */
static bool is_written(hid_t set)
{
    enum { DEFLATE_MOST = 1100 };
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t dims[H5S_MAX_RANK];
    double values = (double)H5Tget_size(type);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    for (int i = 0; i < rank; i++) /* in double: HDF5's own product of absurd dimensions wraps */
        values *= (double)dims[i];
    (void)H5Tclose(type);
    (void)H5Sclose(space);
    return values <= (double)H5Dget_storage_size(set) * DEFLATE_MOST;
}

gyre_status gyre_h5_shape(hid_t parent, const char *name, int rank, hsize_t *dims, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t set = H5I_INVALID_HID;
    GYRE_TRY(set_open(parent, name, rank, dims, &set, err));
    (void)H5Dclose(set);
done:
    return st;
}

gyre_status gyre_h5_read(hid_t parent, const char *name, hid_t memory_type, int rank, const hsize_t *dims, void *data, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char file[512];
    hid_t set = H5I_INVALID_HID, type = H5I_INVALID_HID;
    hsize_t own[GYRE_H5_MAX_RANK] = {0};
    GYRE_TRY(set_open(parent, name, rank, own, &set, err));
    for (int i = 0; i < rank; i++)
        if (own[i] != dims[i])
            GYRE_FAIL(GYRE_E_INPUT, "%s: dimension %d of %s is %llu, expected %llu", file_of(parent, file, sizeof file), i, name,
                      (unsigned long long)own[i], (unsigned long long)dims[i]);
    type = H5Dget_type(set);
    if (type < 0 || H5Tget_class(type) != H5Tget_class(memory_type))
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the dataset %s is not of the expected type", file_of(parent, file, sizeof file), name);
    if (!is_written(set))
        GYRE_FAIL(GYRE_E_INPUT, "%s: the dataset %s was never written", file_of(parent, file, sizeof file), name);
    if (H5Dread(set, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the dataset %s cannot be read: the file is damaged", file_of(parent, file, sizeof file), name);
done:
    if (type >= 0)
        (void)H5Tclose(type);
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

gyre_status gyre_h5_rank(hid_t parent, const char *name, int *rank, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char file[512];
    hid_t set = H5I_INVALID_HID, space = H5I_INVALID_HID;
    if (!gyre_h5_exists(parent, name))
        GYRE_FAIL(GYRE_E_INPUT, "%s: the dataset %s is missing", file_of(parent, file, sizeof file), name);
    set = H5Dopen2(parent, name, H5P_DEFAULT);
    space = set < 0 ? set : H5Dget_space(set);
    *rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (*rank < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: %s is not a readable dataset", file_of(parent, file, sizeof file), name);
done:
    if (space >= 0)
        (void)H5Sclose(space);
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

gyre_status gyre_h5_read_part(hid_t parent, const char *name, hid_t memory_type, int rank, const hsize_t *start, const hsize_t *count, void *data,
                              gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char file[512];
    hid_t set = H5I_INVALID_HID, type = H5I_INVALID_HID, from = H5I_INVALID_HID, to = H5I_INVALID_HID;
    hsize_t own[GYRE_H5_MAX_RANK] = {0};
    GYRE_TRY(set_open(parent, name, rank, own, &set, err));
    for (int i = 0; i < rank; i++)
        if (count[i] > own[i] || start[i] > own[i] - count[i])
            GYRE_FAIL(GYRE_E_INPUT, "%s: %llu entries from %llu on do not fit dimension %d of %s, which has %llu", file_of(parent, file, sizeof file),
                      (unsigned long long)count[i], (unsigned long long)start[i], i, name, (unsigned long long)own[i]);
    type = H5Dget_type(set);
    if (type < 0 || H5Tget_class(type) != H5Tget_class(memory_type))
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the dataset %s is not of the expected type", file_of(parent, file, sizeof file), name);
    from = H5Dget_space(set);
    to = H5Screate_simple(rank, count, NULL);
    if (from < 0 || to < 0 || H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(set, memory_type, to, from, H5P_DEFAULT, data) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: a part of the dataset %s cannot be read: the file is damaged", file_of(parent, file, sizeof file), name);
done:
    if (to >= 0)
        (void)H5Sclose(to);
    if (from >= 0)
        (void)H5Sclose(from);
    if (type >= 0)
        (void)H5Tclose(type);
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

gyre_status gyre_h5_read_texts(hid_t parent, const char *name, size_t count, char ***out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char file[512];
    hid_t set = H5I_INVALID_HID, own = H5I_INVALID_HID, space = H5I_INVALID_HID, type = text_type();
    *out = NULL;
    if (!gyre_h5_exists(parent, name))
        GYRE_FAIL(GYRE_E_INPUT, "%s: the dataset %s is missing", file_of(parent, file, sizeof file), name);
    set = H5Dopen2(parent, name, H5P_DEFAULT);
    space = set < 0 ? set : H5Dget_space(set);
    own = set < 0 ? set : H5Dget_type(set);
    if (own < 0 || H5Tis_variable_str(own) <= 0 || (size_t)H5Sget_simple_extent_npoints(space) != count)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the dataset %s does not hold %zu texts", file_of(parent, file, sizeof file), name, count);
    if (!is_written(set))
        GYRE_FAIL(GYRE_E_INPUT, "%s: the dataset %s was never written", file_of(parent, file, sizeof file), name);
    GYRE_NEW(out, count);
    if (count > 0 && (H5Tset_cset(type, H5Tget_cset(own)) < 0 || H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *out) < 0))
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s: the dataset %s cannot be read: the file is damaged", file_of(parent, file, sizeof file), name);
    for (size_t i = 0; i < count; i++)
        if ((*out)[i] == NULL)
            GYRE_FAIL(GYRE_E_INPUT, "%s: text %zu of %s is missing", file_of(parent, file, sizeof file), i, name);
done:
    if (st != GYRE_OK && *out != NULL) {
        for (size_t i = 0; i < count; i++)
            free((*out)[i]);
        free(*out);
        *out = NULL;
    }
    if (own >= 0)
        (void)H5Tclose(own);
    if (space >= 0)
        (void)H5Sclose(space);
    if (set >= 0)
        (void)H5Dclose(set);
    (void)H5Tclose(type);
    return st;
}

gyre_status gyre_h5_read_text(hid_t parent, const char *name, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char **texts = NULL;
    *out = NULL;
    GYRE_TRY(gyre_h5_read_texts(parent, name, 1, &texts, err));
    *out = texts[0];
    free(texts);
done:
    return st;
}

/* ---- dimension scales ---- */

gyre_status gyre_h5_make_scale(hid_t parent, const char *name, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t set = H5Dopen2(parent, name, H5P_DEFAULT);
    if (set < 0 || H5DSset_scale(set, name) < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot make %s a dimension scale", name);
done:
    if (set >= 0)
        (void)H5Dclose(set);
    return st;
}

gyre_status gyre_h5_attach_scale(hid_t parent, const char *name, unsigned dim, hid_t file, const char *scale_path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t set = H5Dopen2(parent, name, H5P_DEFAULT), scale = H5Dopen2(file, scale_path, H5P_DEFAULT);
    if (set < 0 || scale < 0 || H5DSattach_scale(set, scale, dim) < 0)
        GYRE_H5_FAIL(GYRE_E_IO, "cannot attach the scale %s to dimension %u of %s", scale_path, dim, name);
done:
    if (set >= 0)
        (void)H5Dclose(set);
    if (scale >= 0)
        (void)H5Dclose(scale);
    return st;
}

hid_t gyre_h5_half_type(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    if (type >= 0 && (H5Tset_fields(type, 15, 10, 5, 0, 10) < 0 || H5Tset_size(type, 2) < 0 || H5Tset_ebias(type, 15) < 0)) {
        (void)H5Tclose(type);
        type = H5I_INVALID_HID;
    }
    return type;
}
