/* What the uniform quantizers share: groups of a row, the format of a scale, and packing of codes.
 *
 * A packed row is its codes, then its group parameters:
 *   codes   dim fields of `bits` bits, lowest bit first, coordinate 0 first (4 bits: byte = code[2i+1] << 4 | code[2i]); padded to a whole byte
 *   group   per group: each parameter as a little-endian binary32 or binary16
 */
#ifndef GYRE_QUANT_GROUPED_H
#define GYRE_QUANT_GROUPED_H

#include "quant/quantizer.h"

typedef enum gyre_scale_format { GYRE_SCALE_F32, GYRE_SCALE_F16 } gyre_scale_format;

/* Options of sym and asym. */
typedef struct gyre_grouped_options {
    int64_t bits;
    int64_t group; /* 0: the row */
    int scale;     /* gyre_scale_format */
} gyre_grouped_options;

extern const gyre_option gyre_grouped_table[];

typedef struct gyre_grouped {
    size_t dim, bits, group, groups;
    size_t parameters; /* per group: 1 (scale) or 2 (scale, minimum) */
    gyre_scale_format format;
} gyre_grouped;

bool gyre_grouped_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY]);
gyre_status gyre_grouped_init(size_t dim, const void *options, size_t parameters, void **state, gyre_error *err);
size_t gyre_grouped_row_bytes(const void *state);

/* The value that decode will read back for `value`; false when the format cannot hold it. */
bool gyre_scale_round(gyre_scale_format format, float value, float *rounded);
uint8_t *gyre_scale_put(gyre_scale_format format, float value, uint8_t *at);
const uint8_t *gyre_scale_get(gyre_scale_format format, const uint8_t *at, float *value);

/* Fields of `bits` (0..8) bits; codes are the low bits of each byte. */
void gyre_pack(const uint8_t *codes, size_t n, size_t bits, uint8_t *bytes);
void gyre_unpack(const uint8_t *bytes, size_t n, size_t bits, uint8_t *codes);

/* The same layout for wider fields: 0..16 bits. */
void gyre_pack_wide(const uint16_t *codes, size_t n, size_t bits, uint8_t *bytes);
void gyre_unpack_wide(const uint8_t *bytes, size_t n, size_t bits, uint16_t *codes);

/* Half to even, for |x| < 2^22: adding and taking away 1.5 * 2^23 leaves the nearest integer. The compiler vectorises it where rintf would be a call. */
static inline float gyre_round_even(float x)
{
    const float magic = 12582912.0f;
    return (x + magic) - magic;
}

#endif
