/* Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11; the generator itself is Random123's philox4x32 with 10 rounds. */
#include "core/random.h"

#include <math.h>

#if defined(__clang__) || defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif
#include <Random123/philox.h>
#if defined(__clang__) || defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

gyre_random gyre_random_stream(const gyre_site *site, gyre_purpose purpose, unsigned ordinal, bool per_head)
{
    uint32_t head = per_head ? site->head : (uint32_t)GYRE_RANDOM_ALL_HEADS;
    uint32_t draw = purpose == GYRE_PURPOSE_START || purpose == GYRE_PURPOSE_BATCH ? site->restart : site->draw;
    gyre_random r = {
        .key = {(uint32_t)(site->campaign_seed & 0xFFFFFFFFu), (uint32_t)(site->campaign_seed >> 32)},
        .counter = {0, draw * (uint32_t)GYRE_RANDOM_DRAW + site->seed_index, (site->layer << 16) | head, ((uint32_t)purpose << 16) | ((uint32_t)ordinal << 8) | (uint32_t)site->stream},
    };
    return r;
}

uint32_t gyre_random_word(const gyre_random *stream, uint32_t index)
{
    philox4x32_ctr_t counter = {{stream->counter[0] + index / 4, stream->counter[1], stream->counter[2], stream->counter[3]}};
    philox4x32_key_t key = {{stream->key[0], stream->key[1]}};
    philox4x32_ctr_t block = philox4x32_R(10, counter, key);
    return block.v[index % 4];
}

void gyre_random_signs(const gyre_random *stream, float *signs, size_t n)
{
    uint32_t word = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 32 == 0)
            word = gyre_random_word(stream, (uint32_t)(i / 32));
        signs[i] = (word >> (i % 32)) & 1u ? -1.0f : 1.0f;
    }
}

double gyre_random_uniform(const gyre_random *stream, uint32_t index)
{
    return ((double)gyre_random_word(stream, index) + 0.5) / 4294967296.0;
}

void gyre_random_normals(const gyre_random *stream, double *out, size_t n)
{
    const double two_pi = 6.283185307179586476925286766559;
    for (size_t i = 0; i < n; i++) {
        uint32_t pair = (uint32_t)(i / 2) * 2;
        double u = gyre_random_uniform(stream, pair), v = gyre_random_uniform(stream, pair + 1);
        double radius = sqrt(-2.0 * log(u));
        out[i] = i % 2 == 0 ? radius * cos(two_pi * v) : radius * sin(two_pi * v);
    }
}

void gyre_random_permutation(const gyre_random *stream, uint32_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        size_t j = (size_t)(((uint64_t)gyre_random_word(stream, (uint32_t)(n - 1 - i)) * (i + 1)) >> 32);
        uint32_t swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}
