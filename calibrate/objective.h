/* Objectives: what calibration makes small, and the contract of their variants.
 *
 * One objective = one file with one const descriptor, listed by one line in registry.c. Definitions: docs/definitions.md.
 *
 * Where: the frame of a fit is where rows z stand before the first learned element (codec order). What follows is one matrix per head, y = M z; the quantizer leaves y + e; reading back
 * leaves an error M^-1 e in the frame. A head has a symmetric weight W of that error: W such that (M^-1 e)' W (M^-1 e) is |x^ - x|^2 of the row itself unless `prepare` puts something else
 * there, and K = M^-T W M^-1 is the same weight for e. A part is the rows of one head in a batch; the objective of a batch is the sum over its parts (`scale` is one over the rows of the
 * batch). Sums run in double, in a fixed order.
 */
#ifndef GYRE_CALIBRATE_OBJECTIVE_H
#define GYRE_CALIBRATE_OBJECTIVE_H

#include "codec/codec.h"

/* QUANTIZES: reads e, so its gradient needs the quantizer's straight-through rule. DOCUMENTS: a part is one whole document. QUERIES: needs them. */
enum { GYRE_OBJECTIVE_QUANTIZES = 1, GYRE_OBJECTIVE_DOCUMENTS = 2, GYRE_OBJECTIVE_QUERIES = 4, GYRE_OBJECTIVE_OF_K = 8, GYRE_OBJECTIVE_OF_V = 16 };
enum { GYRE_OBJECTIVE_OPTIONS_BYTES = 64 };

typedef struct gyre_objective_values {
    _Alignas(8) unsigned char bytes[GYRE_OBJECTIVE_OPTIONS_BYTES];
} gyre_objective_values;

struct gyre_base;       /* base.h: what stands before the first learned element of a head */
struct gyre_calibration; /* fit.h */
struct gyre_rows;

/* Rows of one head in a batch; of DOCUMENTS objectives one document. */
typedef struct gyre_objective_part {
    size_t n, dim, group;  /* rows, coordinates, coordinates that share a scale */
    size_t head, document; /* document: of DOCUMENTS objectives */
    double scale;
    const float *y, *e;    /* n x dim; e NULL unless QUANTIZES */
    const float *weight;   /* [n] weights of rows, or NULL: 1 */
    const double *k;       /* K, dim x dim */
    bool diagonal;         /* K stays diagonal whatever is learned: only its diagonal is read, and only the diagonal of g_k */
    const float *decode;   /* M^-1, dim x dim; set for DOCUMENTS objectives */
    const void *prepared;  /* what prepare left */
    /* gradients, added to; all NULL when only the value is wanted; g_e is read of objectives that QUANTIZE alone */
    float *g_y, *g_e;      /* n x dim, at fixed M */
    double *g_k;           /* dim x dim, symmetric: dL = sum g_k dK */
    double *g_decode;      /* dim x dim: dL = sum g_decode dM^-1; read for DOCUMENTS objectives */
    float *work;           /* gyre_objective_type.work floats */
} gyre_objective_part;

/* What prepare sees and makes, for one stream. */
typedef struct gyre_objective_setup {
    const struct gyre_calibration *data;
    const struct gyre_rows *rows;          /* calibration or validation documents */
    const struct gyre_base *const *bases; /* [head] */
    size_t first, last;                     /* heads of the fit; pointers of the others are NULL */
    size_t n;                               /* rows of a head that are used: evenly spread over the documents (select.h); of DOCUMENTS objectives the first ones */
    gyre_stream stream;
    double unit;    /* sum of |x|^2 over the calibration rows of the fit, over their number: what `mse` is relative to */
    double **w;     /* [head] dim x dim: holds the weight of |x^ - x|^2; prepare may change it. The validation rows keep the calibration rows' weights: w is then NULL */
    float **weight; /* [head][documents x tokens]: NULL pointers; prepare may point them to weights of rows (calloc; freed by the caller) */
    void *prepared; /* prepare may make it; freed by `release` */
} gyre_objective_setup;

typedef struct gyre_objective_type {
    const char *name, *summary, *source, *unit;
    unsigned flags;
    const gyre_option *options;
    bool (*applicable)(const void *options, const gyre_codec_spec *codec, char why[GYRE_WHY]); /* optional */
    gyre_status (*prepare)(const void *options, gyre_objective_setup *setup, gyre_error *err);  /* optional */
    void (*release)(void *prepared);
    size_t (*work)(size_t n, size_t dim, const void *prepared); /* optional: floats of work memory for a part of n rows */
    double (*measure)(const void *options, gyre_objective_part *part);
} gyre_objective_type;

extern const gyre_objective_type *const gyre_objective_types[]; /* ends with NULL */
const gyre_objective_type *gyre_objective_find(const char *name);

#endif
