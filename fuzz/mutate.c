#include "fuzz/mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES = 6, SEAL = 72, VALUES_MOST = 4096, RANK_MOST = 6, TYPES = 12 };

/* ---- the pattern ---- */

static herr_t name_of(hid_t object, const char *name, const H5O_info_t *info, void *data)
{
    (void)object, (void)info;
    fuzz_file *f = data;
    if (f->n_names < FUZZ_NAMES && strlen(name) < FUZZ_NAME)
        (void)snprintf(f->names[f->n_names++], FUZZ_NAME, "%s", name);
    return 0;
}

void fuzz_take(fuzz_file *f)
{
    FILE *from = fopen(fuzz_path(), "rb");
    FUZZ_MUST(from != NULL && fseek(from, 0, SEEK_END) == 0);
    long size = ftell(from);
    FUZZ_MUST(size > SEAL && fseek(from, 0, SEEK_SET) == 0);
    *f = (fuzz_file){.bytes = fuzz_room((size_t)size), .size = (size_t)size - SEAL};
    FUZZ_MUST(fread(f->bytes, 1, f->size, from) == f->size && fclose(from) == 0);
    hid_t file = H5Fopen(fuzz_path(), H5F_ACC_RDONLY, H5P_DEFAULT);
    FUZZ_MUST(file >= 0 && H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, name_of, f, H5O_INFO_BASIC) >= 0 && H5Fclose(file) >= 0);
}

/* ---- values ---- */

/* Numbers at the edges of what readers expect, else bytes of the input. */
static uint64_t number(fuzz_input *in)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 255, 65535, 65536, 65537, 1u << 24, (1u << 24) + 1, 0x7FFFFFFF, 0xFFFFFFFF, 1ull << 32, 1ull << 62, UINT64_MAX,
                                     0x7FF0000000000000, 0x7FF8000000000000, 0x7E37E43C8800759C, 0xBFF0000000000000, 0x7F800000, 0x7FC00000, 0x7C00};
    unsigned which = fuzz_byte(in);
    uint64_t value = 0;
    if (which < sizeof edges / sizeof *edges)
        return edges[which];
    for (unsigned i = 0; i < 1 + which % 8; i++)
        value = value << 8 | fuzz_byte(in);
    return value;
}

/* A new type, closed by the caller; 0 keeps the old one. */
static hid_t type_of(fuzz_input *in, hid_t old)
{
    hid_t type = H5I_INVALID_HID;
    switch (fuzz_below(in, TYPES)) {
    case 0: return H5Tcopy(H5T_STD_U8LE);
    case 1: return H5Tcopy(H5T_STD_I64BE);
    case 2: return H5Tcopy(H5T_STD_U32LE);
    case 3: return H5Tcopy(H5T_IEEE_F64LE);
    case 4: return H5Tcopy(H5T_IEEE_F32BE);
    case 5: /* variable-length text, its two character sets */
    case 6:
        type = H5Tcopy(H5T_C_S1);
        (void)H5Tset_size(type, H5T_VARIABLE);
        (void)H5Tset_cset(type, fuzz_below(in, 2) ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
        return type;
    case 7:
        type = H5Tcopy(H5T_C_S1);
        (void)H5Tset_size(type, 1 + fuzz_below(in, 9));
        return type;
    case 8:
        type = H5Tcreate(H5T_COMPOUND, 16);
        (void)H5Tinsert(type, "a", 0, H5T_STD_I32LE);
        (void)H5Tinsert(type, "b", 8, H5T_IEEE_F64LE);
        return type;
    case 9: return H5Tvlen_create(H5T_STD_I32LE);
    default: return H5Tcopy(old);
    }
}

/* A shape: mostly small, sometimes absurd (chunked, so never filled). */
static hid_t space_of(fuzz_input *in, hid_t old, hid_t create)
{
    hsize_t dims[RANK_MOST] = {0}, chunk[RANK_MOST], total = 1;
    int rank = old >= 0 ? H5Sget_simple_extent_dims(old, dims, NULL) : 0;
    unsigned how = fuzz_byte(in);
    if (how % 8 == 0)
        return H5Screate(how & 8 ? H5S_NULL : H5S_SCALAR);
    if (how % 8 == 1 || rank < 0)
        rank = (int)fuzz_below(in, RANK_MOST);
    for (int i = 0; i < rank; i++) {
        unsigned size = fuzz_byte(in);
        dims[i] = size < 128 ? dims[i] : size < 250 ? size % 5 : size < 254 ? dims[i] + 1 : number(in) >> 2;
        chunk[i] = dims[i] == 0 ? 1 : dims[i] < 8 ? dims[i] : 8;
        total = dims[i] > 0 && total > ((hsize_t)1 << 58) / dims[i] ? (hsize_t)1 << 58 : total * dims[i];
    }
    if (rank > 0 && total > VALUES_MOST && create >= 0)
        (void)H5Pset_chunk(create, rank, chunk);
    return rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims, NULL);
}

static const char *text(fuzz_input *in)
{
    static char own[40];
    static const char *const words[] = {"", "OK", "FAILED", "nmse", "1", "gyre-results", "1.999.0", "2.0.0", "native", "neox", "../x", "\xC3\xA9\xFF", "layer_00"};
    unsigned which = fuzz_byte(in);
    if (which < sizeof words / sizeof *words)
        return words[which];
    for (size_t i = 0; i + 1 < sizeof own; i++)
        own[i] = (char)fuzz_byte(in);
    return own;
}

/* Writes the values of a dataset or an attribute of a few values: changed ones, or others. */
static void fill(fuzz_input *in, hid_t object, bool attribute)
{
    hid_t type = attribute ? H5Aget_type(object) : H5Dget_type(object), space = attribute ? H5Aget_space(object) : H5Dget_space(object);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    hsize_t dims[H5S_MAX_RANK];
    size_t size = H5Tget_size(type);
    double product = 1;
    for (int i = 0, rank = H5Sget_simple_extent_dims(space, dims, NULL); i < rank; i++)
        product *= (double)dims[i];
    n = product > VALUES_MOST ? 0 : n; /* HDF5's own product wraps */
    void *values = n > 0 && n <= VALUES_MOST ? fuzz_room((size_t)n * size) : NULL;
    if (values != NULL && H5Tis_variable_str(type) > 0) {
        const char *word = text(in);
        for (hssize_t i = 0; i < n; i++)
            ((const char **)values)[i] = i % 3 == 2 && fuzz_below(in, 4) == 0 ? NULL : word;
    } else if (values != NULL && H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tdetect_class(type, H5T_REFERENCE) <= 0) {
        (void)(attribute ? H5Aread(object, type, values) : H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
        for (unsigned i = 0, changes = 1 + fuzz_below(in, 4); i < changes; i++) {
            uint64_t value = number(in);
            size_t at = fuzz_below(in, (unsigned)n);
            memcpy((char *)values + at * size, &value, size < sizeof value ? size : sizeof value);
        }
    } else {
        free(values);
        values = NULL;
    }
    if (values != NULL)
        (void)(attribute ? H5Awrite(object, type, values) : H5Dwrite(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    free(values);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

/* ---- changes ---- */

static void close_if(hid_t id, herr_t (*close)(hid_t))
{
    if (id >= 0)
        (void)close(id);
}

static void change_attribute(fuzz_input *in, hid_t file, const char *name)
{
    char own[FUZZ_NAME] = "";
    H5O_info_t info;
    hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    if (object < 0 || H5Oget_info2(object, &info, H5O_INFO_NUM_ATTRS) < 0 || info.num_attrs == 0) {
        close_if(object, H5Oclose);
        return;
    }
    hid_t attribute = H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, fuzz_below(in, (unsigned)info.num_attrs), H5P_DEFAULT, H5P_DEFAULT);
    unsigned how = fuzz_below(in, 3);
    if (how == 0 || attribute < 0) {
        if (attribute >= 0)
            fill(in, attribute, true);
        close_if(attribute, H5Aclose);
        close_if(object, H5Oclose);
        return;
    }
    hid_t old_type = H5Aget_type(attribute), old_space = H5Aget_space(attribute);
    (void)H5Aget_name(attribute, sizeof own, own);
    (void)H5Aclose(attribute);
    (void)H5Adelete(object, own);
    if (how == 2) {
        hid_t type = type_of(in, old_type), space = space_of(in, old_space, H5I_INVALID_HID);
        attribute = H5Sget_simple_extent_npoints(space) <= 64 ? H5Acreate2(object, own, type, space, H5P_DEFAULT, H5P_DEFAULT) : H5I_INVALID_HID;
        if (attribute >= 0)
            fill(in, attribute, true);
        close_if(attribute, H5Aclose);
        close_if(type, H5Tclose);
        close_if(space, H5Sclose);
    }
    (void)H5Tclose(old_type);
    (void)H5Sclose(old_space);
    (void)H5Oclose(object);
}

static void replace_dataset(fuzz_input *in, hid_t file, const char *name)
{
    hid_t set = H5Oopen(file, name, H5P_DEFAULT);
    if (set < 0 || H5Iget_type(set) != H5I_DATASET) {
        close_if(set, H5Oclose);
        return;
    }
    hid_t create = H5Pcreate(H5P_DATASET_CREATE), old_type = H5Dget_type(set), old_space = H5Dget_space(set);
    (void)H5Oclose(set);
    (void)H5Ldelete(file, name, H5P_DEFAULT);
    hid_t type = type_of(in, old_type), space = space_of(in, old_space, create);
    set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    if (set >= 0 && fuzz_below(in, 8) > 0)
        fill(in, set, false);
    close_if(set, H5Dclose);
    close_if(type, H5Tclose);
    close_if(space, H5Sclose);
    (void)H5Tclose(old_type);
    (void)H5Sclose(old_space);
    (void)H5Pclose(create);
}

static void replace_link(fuzz_input *in, hid_t file, const char *name, const char *other)
{
    (void)H5Ldelete(file, name, H5P_DEFAULT);
    hid_t group = H5I_INVALID_HID;
    switch (fuzz_below(in, 6)) {
    case 0: break;
    case 1: (void)H5Lcreate_soft(fuzz_below(in, 2) ? name : "/nowhere", file, name, H5P_DEFAULT, H5P_DEFAULT); break;
    case 2: (void)H5Lcreate_hard(file, "/", file, name, H5P_DEFAULT, H5P_DEFAULT); break; /* a cycle */
    case 3: (void)H5Lcreate_external("nowhere.h5", "/x", file, name, H5P_DEFAULT, H5P_DEFAULT); break;
    case 4: (void)H5Lcreate_hard(file, other, file, name, H5P_DEFAULT, H5P_DEFAULT); break;
    default:
        group = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        close_if(group, H5Gclose);
    }
}

static void change_values(fuzz_input *in, hid_t file, const char *name)
{
    hid_t set = H5Oopen(file, name, H5P_DEFAULT);
    if (set >= 0 && H5Iget_type(set) == H5I_DATASET)
        fill(in, set, false);
    close_if(set, H5Oclose);
}

bool fuzz_change(const fuzz_file *f, fuzz_input *in, void (*finish)(hid_t file))
{
    fuzz_write(f->bytes, f->size);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    hid_t file = H5Fopen(fuzz_path(), H5F_ACC_RDWR, access);
    (void)H5Pclose(access);
    FUZZ_MUST(file >= 0);
    for (int i = 0; i < CHANGES && in->left > 0; i++) {
        const char *name = f->names[fuzz_below(in, (unsigned)f->n_names)];
        unsigned how = fuzz_below(in, 8);
        if (how < 3)
            change_values(in, file, name);
        else if (how < 5)
            change_attribute(in, file, name);
        else if (how < 7)
            replace_dataset(in, file, name);
        else
            replace_link(in, file, name, f->names[fuzz_below(in, (unsigned)f->n_names)]);
    }
    if (finish != NULL)
        finish(file);
    bool closed = H5Fclose(file) >= 0;
    (void)H5Eclear2(H5E_DEFAULT);
    return closed;
}
