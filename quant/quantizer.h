/* Quantizers: blocks of rows to packed bytes and back, and the contract of their variants.
 *
 * One variant = one file with static functions and one const descriptor, listed by one line in registry.c. A quantizer is built for one head dimension, is
 * immutable and may be shared between threads. Rows are row-major, n x dim, `stride` floats apart. decode sees the bytes alone.
 * Inputs must be finite (the codec checks); GYRE_E_RANGE is returned when a value or a scale does not fit its format.
 */
#ifndef GYRE_QUANT_QUANTIZER_H
#define GYRE_QUANT_QUANTIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/options.h"
#include "core/status.h"

/* IDEMPOTENT: encode(decode(b)) = b. TOKEN_LOCAL: a row's bytes depend on that row alone. FIXED_SIZE: equal rows take equal space, so RANDOM_ACCESS is possible.
 * ONLINE: a row can be appended without touching older ones. The last four together are what a served cache needs (arXiv 2604.19157). */
enum { GYRE_IDEMPOTENT = 1, GYRE_TOKEN_LOCAL = 2, GYRE_FIXED_SIZE = 4, GYRE_RANDOM_ACCESS = 8, GYRE_ONLINE = 16 };

enum { GYRE_QUANTIZER_DIM = 4096 }; /* largest head dimension of the family */
enum { GYRE_QUANTIZER_WHY = 256, GYRE_QUANTIZER_OPTIONS_BYTES = 64 };

typedef struct gyre_quantizer_values {
    _Alignas(8) unsigned char bytes[GYRE_QUANTIZER_OPTIONS_BYTES];
} gyre_quantizer_values;

typedef struct gyre_quantizer_type {
    /* required */
    const char *name, *summary, *source;
    const char *bits_formula; /* payload per value, in words */
    unsigned flags;
    gyre_status (*init)(size_t dim, const void *options, void **state, gyre_error *err);
    size_t (*row_bytes)(const void *state); /* payload of one row */
    gyre_status (*encode)(const void *state, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
    void (*decode)(const void *state, const uint8_t *bytes, size_t n, float *x, size_t stride);
    void (*free)(void *state);
    /* optional, with a default */
    const gyre_option *options;                                                   /* none */
    bool (*applicable)(size_t dim, const void *options, char why[GYRE_QUANTIZER_WHY]); /* always */
} gyre_quantizer_type;

extern const gyre_quantizer_type *const gyre_quantizer_types[]; /* ends with NULL */
const gyre_quantizer_type *gyre_quantizer_find(const char *name);

typedef struct gyre_quantizer {
    const gyre_quantizer_type *type;
    size_t dim;
    void *state;
} gyre_quantizer;

gyre_status gyre_quantizer_new(const gyre_quantizer_type *type, size_t dim, const void *options, gyre_quantizer **out, gyre_error *err);
void gyre_quantizer_free(gyre_quantizer *q);

/* Bytes of n rows. */
size_t gyre_quantizer_bytes(const gyre_quantizer *q, size_t n);

gyre_status gyre_quantizer_encode(const gyre_quantizer *q, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
void gyre_quantizer_decode(const gyre_quantizer *q, const uint8_t *bytes, size_t n, float *x, size_t stride);

#endif
