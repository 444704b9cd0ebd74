/* Counter-based random streams (Philox4x32-10; Salmon, Moraes, Dror, Shaw, SC'11; Random123 library).
 *
 * A draw is a pure function of what it is for; no state, no call order, no thread. The exact mapping is in docs/random.md:
 *   key     = (campaign seed low 32 bits, campaign seed high 32 bits)
 *   counter = (block, draw * 131072 + seed index, layer * 65536 + head, purpose * 65536 + ordinal * 256 + stream)
 * where head is 65535 for draws shared by a layer, stream is 0 for K and 1 for V, and block counts 128-bit blocks of output.
 */
#ifndef GYRE_CORE_RANDOM_H
#define GYRE_CORE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/site.h"

/* What a draw is for. Numbers are part of the format: never reuse or renumber. */
typedef enum gyre_purpose {
    GYRE_PURPOSE_SIGNS = 1,
    GYRE_PURPOSE_SYNTHETIC = 2,
    GYRE_PURPOSE_ANGLES = 3,      /* uniform angles and phases of a transform */
    GYRE_PURPOSE_NORMALS = 4,     /* Gaussian matrices, reflectors and quaternions of a transform */
    GYRE_PURPOSE_PERMUTATION = 5,
    GYRE_PURPOSE_SKETCH = 6,      /* a quantizer's random projection */
    GYRE_PURPOSE_CODEBOOK = 7,    /* samples and starts of a codebook */
    GYRE_PURPOSE_START = 8,       /* noise of a learned transform's start */
    GYRE_PURPOSE_BATCH = 9,       /* rows of a step of gradient descent */
    GYRE_PURPOSE_RESAMPLE = 10    /* units of a bootstrap */
} gyre_purpose;

enum { GYRE_RANDOM_ALL_HEADS = 65535, GYRE_RANDOM_MAX_LAYER = 65535, GYRE_RANDOM_MAX_ORDINAL = 255, GYRE_RANDOM_DRAW = 131072, GYRE_RANDOM_MAX_DRAW = 32767 };

typedef struct gyre_random {
    uint32_t key[2];
    uint32_t counter[4]; /* counter[0] is the block of the next word */
} gyre_random;

/* The stream of element `ordinal` of a chain at `site`; per_head false shares it between the heads of the layer. START and BATCH take site.restart for the draw, the others site.draw. */
gyre_random gyre_random_stream(const gyre_site *site, gyre_purpose purpose, unsigned ordinal, bool per_head);

/* Word `index` of a stream: word index % 4 of block index / 4. */
uint32_t gyre_random_word(const gyre_random *stream, uint32_t index);

/* n signs: sign i is -1 where bit i % 32 (lowest first) of word i / 32 is set, else +1. */
void gyre_random_signs(const gyre_random *stream, float *signs, size_t n);

/* Standard normal i: Box-Muller on words 2(i/2), 2(i/2)+1, cosine for even i and sine for odd; u = (word + 0.5) / 2^32. */
void gyre_random_normals(const gyre_random *stream, double *out, size_t n);

/* Uniform number i in (0, 1): (word i + 0.5) / 2^32. */
double gyre_random_uniform(const gyre_random *stream, uint32_t index);

/* A permutation of 0..n-1 (Fisher-Yates): for i = n-1 down to 1, entry i and entry floor(word (n-1-i) * (i + 1) / 2^32) change places. */
void gyre_random_permutation(const gyre_random *stream, uint32_t *out, size_t n);

#endif
