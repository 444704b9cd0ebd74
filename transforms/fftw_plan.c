#include "transforms/fftw_plan.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN_FLOATS = 16 };

/* FFTW's planner is one shared object; only it needs the lock, executing does not. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

bool gyre_fftw_applicable(const gyre_site *site, const void *options, char why[GYRE_WHY])
{
    (void)options;
    bool ok = site->dim >= 2 && site->dim <= GYRE_FFTW_DIM_MOST;
    if (!ok)
        (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not in 2..%d", site->dim, (int)GYRE_FFTW_DIM_MOST);
    return ok;
}

void gyre_fftw_free(void *plan)
{
    gyre_fftw_plan *p = plan;
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&planner);
    if (p->forward != NULL)
        fftwf_destroy_plan(p->forward);
    if (p->inverse != NULL)
        fftwf_destroy_plan(p->inverse);
    (void)pthread_mutex_unlock(&planner);
    free(p);
}

/* Both plans; the caller holds the lock. */
static void make_plans(gyre_fftw_plan *p, gyre_fftw_kind kind, float *work)
{
    int n = (int)p->dim;
    fftwf_complex *spectrum = (fftwf_complex *)(work + p->spectrum_at), *pairs = (fftwf_complex *)work;
    switch (kind) {
    case GYRE_FFTW_REAL:
        p->forward = fftwf_plan_dft_r2c_1d(n, work, spectrum, FFTW_ESTIMATE);
        p->inverse = fftwf_plan_dft_c2r_1d(n, spectrum, work, FFTW_ESTIMATE);
        break;
    case GYRE_FFTW_HARTLEY:
        p->forward = fftwf_plan_r2r_1d(n, work, work, FFTW_DHT, FFTW_ESTIMATE);
        p->inverse = fftwf_plan_r2r_1d(n, work, work, FFTW_DHT, FFTW_ESTIMATE);
        break;
    case GYRE_FFTW_COSINE:
        p->forward = fftwf_plan_r2r_1d(n, work, work, FFTW_REDFT10, FFTW_ESTIMATE);
        p->inverse = fftwf_plan_r2r_1d(n, work, work, FFTW_REDFT01, FFTW_ESTIMATE);
        break;
    case GYRE_FFTW_PAIRS:
        p->forward = fftwf_plan_dft_1d(n / 2, pairs, pairs, FFTW_FORWARD, FFTW_ESTIMATE);
        p->inverse = fftwf_plan_dft_1d(n / 2, pairs, pairs, FFTW_BACKWARD, FFTW_ESTIMATE);
        break;
    }
}

gyre_status gyre_fftw_new(gyre_fftw_kind kind, size_t dim, gyre_fftw_plan **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_fftw_plan *p = NULL;
    float *work = NULL;
    *out = NULL;
    GYRE_NEW(&p, 1);
    p->dim = dim;
    p->spectrum_at = (dim + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    p->size = kind == GYRE_FFTW_REAL ? p->spectrum_at + 2 * (dim / 2 + 1) : dim;
    p->end = (float)(1.0 / sqrt((double)dim));
    p->middle = (float)sqrt(2.0 / (double)dim);
    work = fftwf_alloc_real(p->spectrum_at + 2 * (dim / 2 + 1));
    if (work == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory to plan an FFT of length %zu", dim);
    (void)pthread_mutex_lock(&planner);
    make_plans(p, kind, work);
    (void)pthread_mutex_unlock(&planner);
    if (p->forward == NULL || p->inverse == NULL)
        GYRE_FAIL(GYRE_E_INTERNAL, "FFTW makes no plan for length %zu", dim);
    *out = p;
    p = NULL;
done:
    fftwf_free(work);
    gyre_fftw_free(p);
    return st;
}

size_t gyre_fftw_scratch(const void *plan)
{
    return ((const gyre_fftw_plan *)plan)->size * sizeof(float);
}

void gyre_fftw_dense_ref(double (*entry)(size_t dim, size_t i, size_t j), size_t dim, bool transpose, double *x)
{
    double y[GYRE_FFTW_DIM_MOST];
    for (size_t i = 0; i < dim; i++) {
        y[i] = 0;
        for (size_t j = 0; j < dim; j++)
            y[i] += (transpose ? entry(dim, j, i) : entry(dim, i, j)) * x[j];
    }
    for (size_t i = 0; i < dim; i++)
        x[i] = y[i];
}
