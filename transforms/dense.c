/* dense: y = M x with a matrix from a file: a learned or otherwise made rotation, as SpinQuant's (arXiv 2405.16406) or FlatQuant's (arXiv 2410.09426).
 *
 * HDF5 file, datasets of float32 or float64, row-major (y_i = sum_j M_ij x_j), in the codec's order of coordinates:
 *   matrix   for both streams; or k and v, each for its stream (a stream that has its own does not take `matrix`)
 *   shape    [d, d]: one for all layers and heads; or [layer, head, d, d], and then `layer` [layer] lists the layers' numbers (integers)
 *
 * orthogonal: true (default): M' undoes it; a matrix with an entry of M'M - I beyond 1e-5 is refused. false: M^-1 by LU, in double; refused where its
 * reciprocal condition number is below 1e-10. Any d up to 4096, 2 d^2 operations. d^2 float32 values are stored per head; a matrix for all heads is shared by
 * the layer's. Nothing is fitted here and no seed acts.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/h5.h"
#include "transforms/matrix.h"

typedef struct options {
    gyre_option_file file;
    bool orthogonal;
} options;

_Static_assert(sizeof(options) <= GYRE_OPTIONS_BYTES, "the options fit into their bytes");

static const double orthogonal_within = 1e-5, least_reciprocal_condition = 1e-10;

static const gyre_option table[] = {
    {"file", GYRE_OPTION_FILE, offsetof(options, file), NULL, 0, 0, NULL, "", "HDF5 file with matrix, or k and v"},
    {"orthogonal", GYRE_OPTION_BOOL, offsetof(options, orthogonal), "true", 0, 0, NULL, "", "true: checked, undone by the transpose; false: undone by the inverse"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    if (!((const options *)values)->orthogonal)
        traits->flags &= ~(unsigned)GYRE_ORTHOGONAL;
}

/* Where this layer's matrices stand in the file. */
static gyre_status place_of_layer(hid_t file, const char *path, size_t count, uint32_t layer, hsize_t *place, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    uint32_t *numbers = NULL;
    GYRE_NEW(&numbers, count);
    GYRE_TRY(gyre_h5_read(file, "layer", H5T_NATIVE_UINT32, 1, (const hsize_t[1]){count}, numbers, err));
    for (*place = 0; *place < count && numbers[*place] != layer; ++*place)
        ;
    if (*place == count)
        GYRE_FAIL(GYRE_E_INPUT, "%s has no matrix for layer %u: its list `layer` does not name it", path, (unsigned)layer);
done:
    free(numbers);
    return st;
}

/* `shared` tells whether the layer's heads have one matrix together. */
static gyre_status read_matrix(hid_t file, const char *path, const gyre_site *site, double *m, bool *shared, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *own = site->stream == GYRE_K ? "k" : "v", *name = gyre_h5_exists(file, own) ? own : "matrix";
    hsize_t dims[4], start[4] = {0}, count[4] = {1, 1, site->dim, site->dim};
    int rank;
    if (name != own && !gyre_h5_exists(file, name))
        GYRE_FAIL(GYRE_E_INPUT, "%s has neither a dataset %s nor a dataset matrix", path, own);
    GYRE_TRY(gyre_h5_rank(file, name, &rank, err));
    if (rank != 2 && rank != 4)
        GYRE_FAIL(GYRE_E_INPUT, "%s: %s has %d dimensions; [d, d] or [layer, head, d, d] is wanted", path, name, rank);
    GYRE_TRY(gyre_h5_shape(file, name, rank, dims, err));
    if (dims[rank - 2] != site->dim || dims[rank - 1] != site->dim)
        GYRE_FAIL(GYRE_E_INPUT, "%s: the matrices of %s are %llu x %llu, but the head dimension is %zu", path, name, (unsigned long long)dims[rank - 2],
                  (unsigned long long)dims[rank - 1], site->dim);
    if (rank == 4) {
        if (dims[1] != site->n_heads)
            GYRE_FAIL(GYRE_E_INPUT, "%s: %s has matrices for %llu heads, the layer has %u", path, name, (unsigned long long)dims[1], (unsigned)site->n_heads);
        GYRE_TRY(place_of_layer(file, path, dims[0], site->layer, &start[0], err));
        start[1] = site->head;
    }
    *shared = rank == 2;
    GYRE_TRY(gyre_h5_read_part(file, name, H5T_NATIVE_DOUBLE, rank, start, count + 4 - rank, m, err));
    for (size_t i = 0; i < site->dim * site->dim; i++)
        if (!isfinite((float)m[i]))
            GYRE_FAIL(GYRE_E_NAN, "%s: entry (%zu, %zu) of %s is not a finite float32", path, i / site->dim, i % site->dim, name);
done:
    return st;
}

/* The largest entry of |M'M - I|. */
static double away_from_orthogonal(const double *m, size_t n)
{
    double most = 0, dots[GYRE_MATRIX_MOST];
    for (size_t a = 0; a < n; a++) {
        for (size_t b = 0; b < n; b++)
            dots[b] = a == b ? -1.0 : 0.0;
        for (size_t i = 0; i < n; i++)
            for (size_t b = a; b < n; b++)
                dots[b] += m[i * n + a] * m[i * n + b];
        for (size_t b = a; b < n; b++)
            most = fmax(most, fabs(dots[b]));
    }
    return most;
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    (void)ordinal;
    gyre_status st = GYRE_OK;
    const options *o = values;
    size_t size = site->dim * site->dim, heads = site->n_heads > 0 ? site->n_heads : 1;
    double *m = NULL, *back = NULL;
    bool shared = false;
    hid_t file = H5I_INVALID_HID;
    GYRE_TRY(gyre_option_file_check(&o->file, err));
    GYRE_TRY(gyre_h5_open(o->file.path, &file, err));
    GYRE_NEW(&m, size);
    GYRE_TRY(read_matrix(file, o->file.path, site, m, &shared, err));
    if (o->orthogonal) {
        double off = away_from_orthogonal(m, site->dim);
        if (!(off <= orthogonal_within))
            GYRE_FAIL(GYRE_E_INPUT, "%s: the matrix of layer %u, head %u is not orthogonal: an entry of M'M - I is %.3g, at most %.3g is allowed (or say "
                      "orthogonal: false)", o->file.path, (unsigned)site->layer, (unsigned)site->head, off, orthogonal_within);
    } else {
        GYRE_NEW(&back, size);
        st = gyre_matrix_invert(m, site->dim, least_reciprocal_condition, back, err);
        if (st != GYRE_OK) {
            (void)gyre_error_context(err, "%s, layer %u, head %u", o->file.path, (unsigned)site->layer, (unsigned)site->head);
            goto done;
        }
    }
    st = gyre_matrix_new(site->dim, m, back, shared ? (size + heads - 1) / heads : size, state, err);
    m = back = NULL;
done:
    free(back);
    free(m);
    (void)gyre_h5_close(&file, o->file.path, NULL);
    return st;
}

const gyre_transform_type gyre_transform_dense = {
    .name = "dense",
    .summary = "a matrix from a file",
    .source = "arXiv 2405.16406 (SpinQuant); arXiv 2410.09426 (FlatQuant)",
    .dims = "those of the file, to 4096",
    .traits = {.flags = GYRE_LINEAR | GYRE_ORTHOGONAL, .accepts = GYRE_FRAME_ANY, .becomes = GYRE_FRAME_MIXED, .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = gyre_matrix_forward,
    .inverse = gyre_matrix_inverse,
    .forward_ref = gyre_matrix_forward_ref,
    .inverse_ref = gyre_matrix_inverse_ref,
    .free = gyre_matrix_free,
    .options = table,
    .refine = refine,
    .applicable = gyre_matrix_applicable,
    .scratch = gyre_matrix_scratch,
    .stored = gyre_matrix_stored,
};
