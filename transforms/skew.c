#include "transforms/skew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"

static const char *const scopes[] = {"layer", "head", NULL};
const gyre_option gyre_skew_table[] = {
    {"noise", GYRE_OPTION_REAL, offsetof(gyre_skew_options, noise), "0.01", 0, 1, NULL, "", "standard deviation of the entries of A at the start"},
    {"per", GYRE_OPTION_CHOICE, offsetof(gyre_skew_options, per), "layer", 0, 0, scopes, "", "what shares one rotation"},
    {0},
};

void gyre_skew_refine(const void *values, gyre_traits *traits)
{
    const gyre_skew_options *o = values;
    traits->pooled = o->per == 0;
    if (o->noise > 0)
        traits->flags |= GYRE_SEEDED;
}

bool gyre_skew_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY])
{
    (void)options;
    bool ok = site->dim >= 2 && site->dim <= GYRE_SKEW_MOST;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not in 2..%d", site->dim, (int)GYRE_SKEW_MOST);
    return ok;
}

gyre_status gyre_skew_room(gyre_skew *s, const gyre_site *site, unsigned ordinal, const void *values, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const gyre_skew_options *o = values;
    size_t n = site->dim;
    s->count = n * (n - 1) / 2;
    GYRE_TRY(gyre_matrix_room(&s->matrix, n, s->count, err));
    GYRE_NEW(&s->theta, s->count);
    GYRE_NEW(&s->a, n * n);
    GYRE_NEW(&s->g_a, n * n);
    gyre_random stream = gyre_random_stream(site, GYRE_PURPOSE_START, ordinal, o->per == 1);
    gyre_random_normals(&stream, s->theta, s->count);
    for (size_t i = 0; i < s->count; i++)
        s->theta[i] *= o->noise;
done:
    return st;
}

void gyre_skew_clear(gyre_skew *s)
{
    free(s->g_a);
    free(s->a);
    free(s->theta);
    gyre_matrix_clear(&s->matrix);
}

void gyre_skew_fill(gyre_skew *s)
{
    size_t n = s->matrix.dim;
    const double *next = s->theta;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++, next++) {
            s->a[i * n + j] = *next;
            s->a[j * n + i] = -*next;
        }
}

void gyre_skew_collect(const gyre_skew *s, double *gradient)
{
    size_t n = s->matrix.dim;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            *gradient++ += s->g_a[i * n + j] - s->g_a[j * n + i];
}

double *gyre_skew_parameters(void *state, size_t *count)
{
    gyre_skew *s = state;
    *count = s->count;
    return s->theta;
}

void gyre_skew_matrix(const void *state, double *m)
{
    const gyre_matrix *own = state;
    memcpy(m, own->m, own->dim * own->dim * sizeof *m);
}

size_t gyre_skew_freedom(const void *state)
{
    return ((const gyre_skew *)state)->count;
}
