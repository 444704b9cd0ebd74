/* The family of transforms. To add one: write its file, add its extern and its line. */
#include <string.h>

#include "transforms/transform.h"

extern const gyre_transform_type gyre_transform_identity, gyre_transform_signs, gyre_transform_hadamard, gyre_transform_bdr, gyre_transform_rfft, gyre_transform_dht,
    gyre_transform_dct, gyre_transform_rffthash, gyre_transform_unrope, gyre_transform_centre, gyre_transform_scale, gyre_transform_haar, gyre_transform_dense,
    gyre_transform_kronecker, gyre_transform_householder, gyre_transform_butterfly, gyre_transform_givens, gyre_transform_rotor3, gyre_transform_isoclinic4,
    gyre_transform_permutation, gyre_transform_smooth, gyre_transform_pca, gyre_transform_wush, gyre_transform_expm, gyre_transform_cayley, gyre_transform_stiefel;

const gyre_transform_type *const gyre_transform_types[] = {
    &gyre_transform_identity,
    &gyre_transform_signs,
    &gyre_transform_hadamard,
    &gyre_transform_bdr,
    &gyre_transform_rfft,
    &gyre_transform_dht,
    &gyre_transform_dct,
    &gyre_transform_rffthash,
    &gyre_transform_haar,
    &gyre_transform_kronecker,
    &gyre_transform_householder,
    &gyre_transform_butterfly,
    &gyre_transform_givens,
    &gyre_transform_rotor3,
    &gyre_transform_isoclinic4,
    &gyre_transform_permutation,
    &gyre_transform_dense,
    &gyre_transform_expm,
    &gyre_transform_cayley,
    &gyre_transform_stiefel,
    &gyre_transform_unrope,
    &gyre_transform_centre,
    &gyre_transform_scale,
    &gyre_transform_smooth,
    &gyre_transform_pca,
    &gyre_transform_wush,
    NULL,
};

const gyre_chain_alias gyre_chain_aliases[] = {
    {"srht", "subsampled randomised Hadamard transform: random signs, then hadamard", {"signs", "hadamard"}},
    {"srft", "subsampled randomised Fourier transform: random signs, then rfft", {"signs", "rfft"}},
    {"hdhd", "two rounds of srht, each with signs of its own", {"signs", "hadamard", "signs", "hadamard"}},
    {"sdht", "random signs, then dht", {"signs", "dht"}},
    {"sdct", "random signs, then dct", {"signs", "dct"}},
    {NULL, NULL, {NULL}},
};

const gyre_transform_type *gyre_transform_find(const char *name)
{
    for (const gyre_transform_type *const *t = gyre_transform_types; *t != NULL; t++)
        if (strcmp((*t)->name, name) == 0)
            return *t;
    return NULL;
}
