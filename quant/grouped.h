/* What the uniform quantizers share: groups of a row, formats of a scale, rounding, clipping, and packing of codes.
 *
 * A packed row is its codes, then its group parameters:
 *   codes   fields of `bits` bits, lowest bit first, coordinate 0 first (4 bits: byte = code[2i+1] << 4 | code[2i]); padded to a whole byte. With integer zero-points the
 *           fields of the groups' zero-points follow those of the coordinates
 *   group   per group: each parameter in the format `scale`, little-endian
 *
 * A parameter is rounded to its format (half to even) first and then used. What the format cannot hold is refused: f16 from 65520 on, bf16 where it would round to
 * infinity, e4m3 above 464, e8m0 from 1.5 * 2^127 on. A scale that f32, f16, bf16 or e4m3 round to 0 is 0 and all codes of its group are those of 0; e8m0 has no zero
 * and holds 2^-127 for what is less.
 *
 * `clip` c shrinks the range that the levels span, values beyond saturate. `search` tries c, 0.975 c, 0.95 c, ..., 0.3 c on every group and keeps the one with the least
 * sum of squared errors (in double, of the decoded floats; of equal ones the largest); ratios whose parameters the format cannot hold are passed over. With `learn` every head has a
 * ratio in memory, c at first, which gradient calibration moves: one value for the heads that learn together (all of them, unless the chain learns `per: head`). They are counted as one a head.
 *
 * The straight-through rule (gyre_straight.backward; docs/definitions.md): s and lo depend on y through the largest magnitude, or through max and min, of the group and on the ratio; that
 * they are rounded to a format is passed straight through, and the ratio that a search found, the codes q of saturated values and an integer zero-point are held. A value is saturated
 * where it lies beyond the levels of the outermost codes (by more than 2^-20 of their distance). Groups whose scale is 0 have no gradient.
 */
#ifndef GYRE_QUANT_GROUPED_H
#define GYRE_QUANT_GROUPED_H

#include <math.h>

#include "quant/quantizer.h"

typedef enum gyre_scale_format { GYRE_SCALE_F32, GYRE_SCALE_F16, GYRE_SCALE_BF16, GYRE_SCALE_E8M0, GYRE_SCALE_E4M3 } gyre_scale_format;
typedef enum gyre_rounding { GYRE_HALF_EVEN, GYRE_HALF_UP, GYRE_HALF_AWAY } gyre_rounding;

/* Options of sym, asym and, up to scale, of hqq. */
typedef struct gyre_grouped_options {
    int64_t bits;
    int64_t group; /* 0: the row */
    double clip;
    int scale;    /* gyre_scale_format */
    int rounding; /* gyre_rounding */
    int form;     /* levels of sym, zero-point of asym */
    bool search, learn;
} gyre_grouped_options;

/* The rows of their tables. */
extern const char *const gyre_scale_names[], *const gyre_scale_formats[], *const gyre_rounding_names[], *const gyre_group_words[]; /* formats: f32 and f16 alone */
#define GYRE_BITS_ROW(options) {"bits", GYRE_OPTION_INT, offsetof(options, bits), NULL, 2, 8, NULL, "bit", "width of a code"}
#define GYRE_GROUP_ROW                                                                                                         \
    {"group", GYRE_OPTION_INT, offsetof(gyre_grouped_options, group), "row", 1, GYRE_QUANTIZER_DIM, gyre_group_words,          \
     "coordinates", "what shares one scale: the row or a divisor of the head dimension"}
#define GYRE_SCALE_ROW                                                                                                         \
    {"scale", GYRE_OPTION_CHOICE, offsetof(gyre_grouped_options, scale), "f32", 0, 0, gyre_scale_names, "", "format of the stored scale"}
#define GYRE_ROUNDING_ROW(options)                                                                                             \
    {"rounding", GYRE_OPTION_CHOICE, offsetof(options, rounding), "half_even", 0, 0, gyre_rounding_names, "",                  \
     "where the middle between two codes goes"}
#define GYRE_CLIP_ROWS                                                                                                         \
    {"clip", GYRE_OPTION_REAL, offsetof(gyre_grouped_options, clip), "1", 0.05, 1, NULL, "",                                   \
     "share of the range that the levels span; what is beyond saturates"},                                                     \
        {"search", GYRE_OPTION_BOOL, offsetof(gyre_grouped_options, search), "false", 0, 0, NULL, "",                          \
         "per group the ratio with the least squared error, among clip * {1, 0.975, ..., 0.3}"},                               \
        {"learn", GYRE_OPTION_BOOL, offsetof(gyre_grouped_options, learn), "false", 0, 0, NULL, "",                            \
         "the clip ratio is learned by gradient descent, one of the heads that learn together; `clip` is its start"}

/* Parameters of one group. */
typedef struct gyre_group {
    float scale, low; /* low: the value of code 0, where it is stored */
    uint8_t zero;     /* the code of 0, where it is stored */
} gyre_group;

struct gyre_grouped;

/* One group on its way back: what went in and came out of forward, and the gradients (gyre_straight.backward). */
typedef struct gyre_group_pull {
    const float *y, *e, *g_e;
    float *g_y;
    double *g_clip;
    gyre_group p; /* scale above 0 */
    float ratio;
} gyre_group_pull;

/* How a variant codes a group. */
typedef struct gyre_grouped_way {
    const char *name;
    size_t parameters; /* stored per group: 1 (scale) or 2 (scale, low) */
    bool zeros;        /* stored per group: a field of `bits` bits for zero */
    /* One group with its range scaled by ratio; false when the format or binary32 cannot hold it. */
    bool (*code)(const struct gyre_grouped *g, const float *y, float ratio, gyre_group *p, uint8_t *codes);
    void (*values)(const struct gyre_grouped *g, const gyre_group *p, const uint8_t *codes, float *y);
    /* gradients, where there are any: code and values in one, less y, to the bit; and the way back */
    bool (*error)(const struct gyre_grouped *g, const float *y, float ratio, gyre_group *p, float *e);
    void (*pull)(const struct gyre_grouped *g, const gyre_group_pull *v);
} gyre_grouped_way;

typedef struct gyre_grouped {
    const gyre_grouped_way *way;
    size_t dim, bits, group, groups;
    gyre_scale_format format;
    gyre_rounding rounding;
    int form;
    double clip;
    bool search;
    size_t learning;  /* heads whose ratio is learned: 0 or all */
    double learned[]; /* [learning] */
} gyre_grouped;

/* That the group divides the row, and that nothing is both searched and learned. */
bool gyre_grouped_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY]);
/* That, and that the format has a place for a signed parameter. */
bool gyre_grouped_signed_applicable(const gyre_site *site, const void *options, char why[GYRE_QUANTIZER_WHY]);
gyre_status gyre_grouped_init(size_t dim, const void *options, const gyre_grouped_way *way, void **state, gyre_error *err);
gyre_status gyre_grouped_init_layer(const gyre_site *site, const void *options, const gyre_grouped_way *way, void **state, gyre_error *err); /* may learn */
void gyre_grouped_refine(const void *options, unsigned *flags);
size_t gyre_grouped_stored_bits(const void *state);
size_t gyre_grouped_row_bytes(const void *state);
gyre_status gyre_grouped_encode(const void *state, size_t head, const float *x, size_t n, size_t stride, uint8_t *bytes, gyre_error *err);
void gyre_grouped_decode(const void *state, size_t head, const uint8_t *bytes, size_t n, float *x, size_t stride);

/* The straight-through tier of variants whose way has error and pull. */
extern const gyre_straight gyre_grouped_straight;

/* dL/dscale and dL/dlow of a group whose codes run from bottom to top, code 0 being worth low. Adds to g_y what saturated values pass on themselves. least and most bound y: where
 * neither saturates, nothing does. */
void gyre_group_pull_back(const gyre_grouped *g, const gyre_group_pull *v, double bottom, double top, float least, float most, double *scale, double *low);

/* The first j of y[j] == value; n where there is none. */
size_t gyre_group_place(const float *y, size_t n, float value);

/* Shared by asym and hqq: the range of a group, codes round((y - low) / scale) in 0..2^bits - 1, and what they decode to. */
void gyre_group_range(const float *y, size_t n, float *lo, float *hi);
void gyre_group_offset_codes(const gyre_grouped *g, const float *y, const gyre_group *p, uint8_t *codes);
void gyre_group_offset_values(const gyre_grouped *g, const gyre_group *p, const uint8_t *codes, float *y);

/* Largest magnitude. */
float gyre_group_largest(const float *y, size_t n);

/* The value that decode will read back for `value`; false when the format cannot hold it. */
bool gyre_scale_round(gyre_scale_format format, float value, float *rounded);
size_t gyre_scale_bytes(gyre_scale_format format);
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

/* To an integer, for |x| < 2^22. half_up is floor(x + 0.5) with the sum in binary32, half_away C's roundf. */
static inline float gyre_round(gyre_rounding how, float x)
{
    return how == GYRE_HALF_EVEN ? gyre_round_even(x) : how == GYRE_HALF_UP ? floorf(x + 0.5f) : roundf(x);
}

#endif
