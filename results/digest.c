#include "results/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/h5.h"
#include "core/seal.h"

enum { MAX_NAME = 1024, MAX_DEPTH = 8 };

static bool skipped(const char *path, const char *name, bool attribute)
{
    if (attribute)
        return strcmp(name, "DIMENSION_LIST") == 0 || strcmp(name, "REFERENCE_LIST") == 0
               || (strcmp(path, "/") == 0 && strcmp(name, "content_sha256") == 0);
    return strcmp(path, "/") == 0 && (strcmp(name, "provenance") == 0 || strcmp(name, "timing") == 0);
}

/* ---- types and values ---- */

static gyre_status add_type(gyre_sha256 *h, hid_t type, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    H5T_class_t class = H5Tget_class(type);
    if (class != H5T_INTEGER && class != H5T_FLOAT && class != H5T_STRING && class != H5T_COMPOUND)
        GYRE_H5_FAIL(GYRE_E_INPUT, "it is of a type that results do not have");
    gyre_sha256_add_uint(h, (uint64_t)class);
    if (H5Tis_variable_str(type) > 0) {
        gyre_sha256_add_text(h, "text");
        goto done;
    }
    gyre_sha256_add_uint(h, H5Tget_size(type));
    if (class == H5T_INTEGER)
        gyre_sha256_add_uint(h, (uint64_t)H5Tget_sign(type));
    for (unsigned i = 0; class == H5T_COMPOUND && i < (unsigned)H5Tget_nmembers(type); i++) {
        hid_t member = H5Tget_member_type(type, i);
        char *name = H5Tget_member_name(type, i);
        gyre_sha256_add_text(h, name != NULL ? name : "");
        gyre_sha256_add_uint(h, H5Tget_member_offset(type, i));
        st = H5Tis_variable_str(member) > 0 ? gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "a compound holds variable-length text")
                                            : add_type(h, member, err);
        (void)H5free_memory(name);
        (void)H5Tclose(member);
        if (st != GYRE_OK)
            goto done;
    }
done:
    return st;
}

static gyre_status add_shape(gyre_sha256 *h, hid_t space, size_t *count, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hsize_t dims[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    hssize_t points = H5Sget_simple_extent_npoints(space);
    if (rank < 0 || points < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "its shape cannot be read");
    gyre_sha256_add_uint(h, (uint64_t)rank);
    for (int i = 0; i < rank; i++)
        gyre_sha256_add_uint(h, dims[i]);
    *count = (size_t)points;
done:
    return st;
}

/* Reads the values of a dataset or an attribute, in the type they are stored in, and adds them. */
static gyre_status add_values(gyre_sha256 *h, hid_t object, bool attribute, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    void *values = NULL;
    size_t count = 0;
    hid_t type = attribute ? H5Aget_type(object) : H5Dget_type(object), space = attribute ? H5Aget_space(object) : H5Dget_space(object);
    bool text = type >= 0 && H5Tis_variable_str(type) > 0;
    if (type < 0 || space < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "its type or shape cannot be read");
    GYRE_TRY(add_type(h, type, err));
    GYRE_TRY(add_shape(h, space, &count, err));
    if (count == 0)
        goto done;
    GYRE_TRY(gyre_calloc(&values, count, H5Tget_size(type), err));
    if ((attribute ? H5Aread(object, type, values) : H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values)) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "its values cannot be read: the file is damaged");
    char *const *texts = values;
    for (size_t i = 0; text && i < count; i++)
        gyre_sha256_add_text(h, texts[i] != NULL ? texts[i] : "");
    if (!text)
        gyre_sha256_add(h, values, count * H5Tget_size(type));
    if (text)
        (void)H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
done:
    free(values);
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    return st;
}

/* ---- the walk ---- */

static gyre_status add_attributes(gyre_sha256 *h, hid_t object, const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t attribute = H5I_INVALID_HID;
    H5O_info_t info;
    char name[MAX_NAME];
    if (H5Oget_info2(object, &info, H5O_INFO_NUM_ATTRS) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s cannot be read", path);
    for (hsize_t i = 0; i < info.num_attrs; i++) {
        attribute = H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT);
        if (attribute < 0 || H5Aget_name(attribute, sizeof name, name) < 0)
            GYRE_H5_FAIL(GYRE_E_INPUT, "attribute %llu of %s cannot be read", (unsigned long long)i, path);
        if (!skipped(path, name, true)) {
            gyre_sha256_add_text(h, "attribute");
            gyre_sha256_add_text(h, name);
            if ((st = add_values(h, attribute, true, err)) != GYRE_OK) {
                (void)gyre_error_context(err, "%s@%s", path, name);
                goto done;
            }
        }
        (void)H5Aclose(attribute);
        attribute = H5I_INVALID_HID;
    }
done:
    if (attribute >= 0)
        (void)H5Aclose(attribute);
    return st;
}

static gyre_status add_group(gyre_sha256 *h, hid_t group, const char *path, int depth, gyre_error *err);

static gyre_status add_object(gyre_sha256 *h, hid_t parent, const char *name, const char *path, int depth, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t object = H5Oopen(parent, name, H5P_DEFAULT);
    if (object < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s cannot be opened", path);
    H5I_type_t kind = H5Iget_type(object);
    if ((kind != H5I_GROUP && kind != H5I_DATASET) || depth >= MAX_DEPTH)
        GYRE_FAIL(GYRE_E_INPUT, "%s is an object that results do not have", path);
    gyre_sha256_add_text(h, kind == H5I_GROUP ? "group" : "dataset");
    gyre_sha256_add_text(h, path);
    GYRE_TRY(add_attributes(h, object, path, err));
    if (kind == H5I_GROUP) {
        GYRE_TRY(add_group(h, object, path, depth + 1, err));
    } else if ((st = add_values(h, object, false, err)) != GYRE_OK) {
        (void)gyre_error_context(err, "%s", path);
    }
done:
    if (object >= 0)
        (void)H5Oclose(object);
    return st;
}

static gyre_status add_group(gyre_sha256 *h, hid_t group, const char *path, int depth, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    H5G_info_t info;
    H5L_info_t link;
    char name[MAX_NAME], child[2 * MAX_NAME];
    if (H5Gget_info(group, &info) < 0)
        GYRE_H5_FAIL(GYRE_E_INPUT, "%s cannot be listed", path);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT) < 0
            || H5Lget_info(group, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
            GYRE_H5_FAIL(GYRE_E_INPUT, "object %llu of %s is a link elsewhere or cannot be read", (unsigned long long)i, path);
        if (skipped(path, name, false))
            continue;
        (void)snprintf(child, sizeof child, "%s%s%s", path, path[1] != '\0' ? "/" : "", name);
        GYRE_TRY(add_object(h, group, name, child, depth, err));
    }
done:
    return st;
}

gyre_status gyre_results_digest_of(hid_t file, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    GYRE_TRY(gyre_sha256_new(&h, err));
    GYRE_TRY(add_attributes(h, file, "/", err));
    GYRE_TRY(add_group(h, file, "/", 0, err));
    st = gyre_sha256_hex(h, hex, err);
    h = NULL;
done:
    gyre_sha256_free(h);
    return st;
}

gyre_status gyre_results_digest(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    hid_t file = H5I_INVALID_HID;
    GYRE_TRY(gyre_seal_check(path, err));
    GYRE_TRY(gyre_h5_open(path, &file, err));
    if ((st = gyre_results_digest_of(file, hex, err)) != GYRE_OK)
        (void)gyre_error_context(err, "%s", path);
done:
    if (file >= 0)
        (void)gyre_h5_close(&file, path, NULL);
    return st;
}

gyre_status gyre_results_digest_check(hid_t file, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char own[GYRE_SHA256_HEX], *stored = NULL;
    GYRE_TRY(gyre_results_digest_of(file, own, err));
    GYRE_TRY(gyre_h5_get_attr_text(file, "content_sha256", &stored, err));
    if (strcmp(own, stored) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "the content has digest %.12s..., the file was written with %.12s...: it is damaged or was changed", own, stored);
done:
    free(stored);
    return st;
}
