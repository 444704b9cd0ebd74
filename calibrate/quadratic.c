#include "calibrate/quadratic.h"

#include <cblas.h>

#include "calibrate/fit.h"

void gyre_quadratic_divide(gyre_objective_setup *s, double x)
{
    for (size_t h = s->first; s->w != NULL && h < s->last; h++)
        for (size_t i = 0; i < s->data->dim * s->data->dim; i++)
            s->w[h][i] /= x;
}

/* K in float, the rows e K, and (weighted) copies of e. */
size_t gyre_quadratic_work(size_t n, size_t dim, const void *prepared)
{
    (void)prepared;
    return 2 * dim * dim + 2 * n * dim;
}

/* K is diagonal: O(n d). */
static double diagonal(gyre_objective_part *p)
{
    size_t d = p->dim;
    double sum = 0;
    float *twice = p->work, *energy = p->work + d; /* 2 scale K_ii; sums of w e_i^2 over some rows */
    for (size_t i = 0; i < d; i++)
        twice[i] = (float)(2.0 * p->scale * p->k[i * d + i]);
    enum { ROWS = 64 }; /* added up in float before they go to double */
    for (size_t r = 0; r < p->n; r += ROWS) {
        size_t end = r + ROWS < p->n ? r + ROWS : p->n;
        for (size_t i = 0; i < d; i++)
            energy[i] = 0.0f;
        for (size_t t = r; t < end; t++) {
            const float w = p->weight != NULL ? p->weight[t] : 1.0f, *e = p->e + t * d;
            for (size_t i = 0; i < d; i++)
                energy[i] += w * e[i] * e[i];
            for (size_t i = 0; p->g_e != NULL && i < d; i++)
                p->g_e[t * d + i] += w * twice[i] * e[i];
        }
        for (size_t i = 0; i < d; i++) {
            double s = p->scale * (double)energy[i];
            sum += s * p->k[i * d + i];
            if (p->g_k != NULL)
                p->g_k[i * d + i] += s;
        }
    }
    return sum;
}

double gyre_quadratic_measure(const void *options, gyre_objective_part *p)
{
    (void)options;
    if (p->diagonal)
        return diagonal(p);
    size_t d = p->dim;
    double sum = 0;
    float *k = p->work, *moments = k + d * d, *ek = moments + d * d, *we = ek + p->n * d;
    for (size_t i = 0; i < d * d; i++)
        k[i] = (float)p->k[i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->n, (int)d, (int)d, 1.0f, p->e, (int)d, k, (int)d, 0.0f, ek, (int)d);
    for (size_t r = 0; r < p->n; r++) {
        const float w = p->weight != NULL ? p->weight[r] : 1.0f, *e = p->e + r * d, *row = ek + r * d;
        float dot = 0.0f, twice = (float)(2.0 * p->scale) * w;
        for (size_t i = 0; i < d; i++)
            dot += e[i] * row[i];
        sum += (double)w * (double)dot;
        for (size_t i = 0; p->g_e != NULL && i < d; i++) {
            p->g_e[r * d + i] += twice * row[i];
            we[r * d + i] = w * e[i];
        }
    }
    if (p->g_k != NULL) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)d, (int)d, (int)p->n, 1.0f, we, (int)d, p->e, (int)d, 0.0f, moments, (int)d);
        for (size_t i = 0; i < d * d; i++)
            p->g_k[i] += p->scale * (double)moments[i];
    }
    return p->scale * sum;
}
