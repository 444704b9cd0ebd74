/* One factor per channel, y_i = lambda_i x_i: what scale and smooth share. They differ by the rule that fits lambda. */
#ifndef GYRE_TRANSFORMS_CHANNELS_H
#define GYRE_TRANSFORMS_CHANNELS_H

#include "transforms/transform.h"

typedef struct gyre_channels {
    size_t dim;
    double alpha; /* the rule's, for fit */
    bool pairs;
    float lambda[];
} gyre_channels;

/* lambda 1 everywhere. */
gyre_status gyre_channels_new(size_t dim, gyre_channels **out, gyre_error *err);

/* Largest absolute value per channel over the rows, into lambda; GYRE_E_INPUT, naming `who`, where there are none. */
gyre_status gyre_channels_most(gyre_channels *c, const char *who, const gyre_fit_rows *rows, gyre_error *err);

void gyre_channels_forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_channels_inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
void gyre_channels_forward_ref(const void *state, double *x, int32_t pos);
void gyre_channels_inverse_ref(const void *state, double *x, int32_t pos);
size_t gyre_channels_stored(const void *state);

#endif
