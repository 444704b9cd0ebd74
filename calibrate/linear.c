#include "calibrate/linear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/blas.h"

/* One element of the tail. */
typedef struct element {
    gyre_transform *t;       /* of the first head */
    const gyre_learnable *learnable; /* NULL: fixed */
    bool orthogonal, diagonal;
    size_t count;            /* parameters */
    double *matrix, *inverse; /* E, E^-1 */
    double *before;          /* E_j-1 ... E_1; NULL for the first */
} element;

struct gyre_tail {
    gyre_codec *codec;
    size_t place, first_head, last_head, first, n, dim, count;
    bool pooled, structured, diagonal; /* structured: orthogonal elements, then diagonal ones */
    element *elements;
    double *m, *inverse, *work[3];
};

void gyre_tail_free(gyre_tail *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; t->elements != NULL && i < t->n; i++) {
        free(t->elements[i].matrix);
        free(t->elements[i].inverse);
        free(t->elements[i].before);
    }
    free(t->elements);
    free(t->m);
    free(t->inverse);
    for (size_t i = 0; i < 3; i++)
        free(t->work[i]);
    free(t);
}

/* ---- small products ---- */

static void identity(double *m, size_t n)
{
    memset(m, 0, n * n * sizeof *m);
    for (size_t i = 0; i < n; i++)
        m[i * n + i] = 1.0;
}

static void multiply(size_t n, CBLAS_TRANSPOSE ta, const double *a, CBLAS_TRANSPOSE tb, const double *b, double alpha, double beta, double *c)
{
    int d = (int)n;
    cblas_dgemm(CblasRowMajor, ta, tb, d, d, d, alpha, a, d, b, d, beta, c, d);
}

/* c = E x, or E' x; of a diagonal E the rows are scaled. */
static void left(const element *e, size_t n, bool transpose, const double *x, double *c)
{
    if (!e->diagonal) {
        multiply(n, transpose ? CblasTrans : CblasNoTrans, e->matrix, CblasNoTrans, x, 1.0, 0.0, c);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            c[i * n + j] = e->matrix[i * n + i] * x[i * n + j];
}

/* c = x E^-1. */
static void right_inverse(const element *e, size_t n, const double *x, double *c)
{
    if (!e->diagonal) {
        if (e->orthogonal)
            multiply(n, CblasNoTrans, x, CblasTrans, e->matrix, 1.0, 0.0, c);
        else
            multiply(n, CblasNoTrans, x, CblasNoTrans, e->inverse, 1.0, 0.0, c);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            c[i * n + j] = x[i * n + j] * e->inverse[j * n + j];
}

/* ---- building ---- */

/* Matrix of a fixed element, or its inverse, from the definition. */
static void fixed_matrix(const gyre_transform *t, bool inverse, double *m, double *x)
{
    size_t n = t->dim;
    for (size_t j = 0; j < n; j++) {
        memset(x, 0, n * sizeof *x);
        x[j] = 1.0;
        if (inverse)
            t->type->inverse_ref(t->state, x, 0);
        else
            t->type->forward_ref(t->state, x, 0);
        for (size_t i = 0; i < n; i++)
            m[i * n + j] = x[i];
    }
}

static gyre_transform *element_of(const gyre_tail *t, size_t i, size_t head)
{
    return gyre_chain_element(gyre_codec_chain(t->codec, t->place, head), t->first + i);
}

static gyre_status new_element(gyre_tail *t, size_t i, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    element *e = &t->elements[i];
    size_t square = t->dim * t->dim;
    e->t = element_of(t, i, t->first_head);
    e->learnable = e->t->traits.flags & GYRE_LEARNABLE ? e->t->type->learnable : NULL;
    e->orthogonal = e->t->traits.flags & GYRE_ORTHOGONAL;
    e->diagonal = e->t->traits.flags & GYRE_DIAGONAL;
    GYRE_NEW(&e->matrix, square);
    GYRE_NEW(&e->inverse, square);
    if (i > 0)
        GYRE_NEW(&e->before, square);
    if (e->learnable != NULL) {
        (void)e->learnable->parameters(e->t->state, &e->count);
        t->count += e->count;
        goto done;
    }
    fixed_matrix(e->t, false, e->matrix, t->work[0]);
    fixed_matrix(e->t, true, e->inverse, t->work[0]);
    for (size_t h = t->first_head + 1; h < t->last_head; h++) {
        fixed_matrix(element_of(t, i, h), false, t->work[1], t->work[0]);
        if (memcmp(t->work[1], e->matrix, square * sizeof(double)) != 0)
            GYRE_FAIL(GYRE_E_INPUT, "%s differs between the heads of a layer and stands behind what they learn together: give it per: layer, or what is learned per: head", e->t->type->name);
    }
done:
    return st;
}

gyre_status gyre_tail_new(gyre_codec *codec, size_t place, size_t first, size_t last, gyre_tail **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_tail *t = NULL;
    gyre_transform *chain = gyre_codec_chain(codec, place, first);
    *out = NULL;
    GYRE_NEW(&t, 1);
    t->codec = codec;
    t->place = place;
    t->first_head = first;
    t->last_head = last;
    t->dim = chain->dim;
    t->pooled = true;
    while (t->first < gyre_chain_count(chain) && !(gyre_chain_element(chain, t->first)->traits.flags & GYRE_LEARNABLE))
        t->first++;
    if (t->first < gyre_chain_count(chain))
        t->pooled = gyre_chain_element(chain, t->first)->traits.pooled;
    GYRE_NEW(&t->m, t->dim * t->dim);
    GYRE_NEW(&t->inverse, t->dim * t->dim);
    for (size_t i = 0; i < 3; i++)
        GYRE_NEW(&t->work[i], t->dim * t->dim);
    t->n = gyre_chain_count(chain) - t->first;
    GYRE_NEW(&t->elements, t->n + 1);
    t->structured = true;
    bool scaled = false; /* something before is not orthogonal */
    for (size_t i = 0; i < t->n; i++) {
        GYRE_TRY(new_element(t, i, err));
        t->structured = t->structured && (t->elements[i].diagonal || (t->elements[i].orthogonal && !scaled));
        scaled = scaled || !t->elements[i].orthogonal;
    }
    GYRE_TRY(gyre_tail_update(t, err));
    *out = t;
    t = NULL;
done:
    gyre_tail_free(t);
    return st;
}

size_t gyre_tail_first(const gyre_tail *t)
{
    return t->first;
}

bool gyre_tail_pooled(const gyre_tail *t)
{
    return t->pooled;
}

size_t gyre_tail_count(const gyre_tail *t)
{
    return t->count;
}

size_t gyre_tail_freedom(const gyre_tail *t)
{
    size_t sum = 0;
    for (size_t i = 0; i < t->n; i++)
        sum += t->elements[i].learnable != NULL ? t->elements[i].learnable->freedom(t->elements[i].t->state) : 0;
    return sum;
}

/* ---- parameters ---- */

static double *view(const element *e)
{
    size_t count;
    return e->learnable->parameters(e->t->state, &count);
}

void gyre_tail_get(const gyre_tail *t, double *theta)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->elements[i].learnable != NULL) {
            memcpy(theta, view(&t->elements[i]), t->elements[i].count * sizeof *theta);
            theta += t->elements[i].count;
        }
}

void gyre_tail_set(gyre_tail *t, const double *theta)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->elements[i].learnable != NULL) {
            memcpy(view(&t->elements[i]), theta, t->elements[i].count * sizeof *theta);
            theta += t->elements[i].count;
        }
}

void gyre_tail_move(gyre_tail *t, const double *theta, const double *gradient, double factor)
{
    for (size_t i = 0; i < t->n; i++) {
        element *e = &t->elements[i];
        if (e->learnable == NULL)
            continue;
        if (e->learnable->descend != NULL)
            e->learnable->descend(e->t->state, gradient, factor);
        else
            memcpy(view(e), theta, e->count * sizeof *theta);
        if (e->learnable->gauge != NULL)
            e->learnable->gauge(e->t->state);
        theta += e->count;
        gradient += e->count;
    }
}

gyre_status gyre_tail_share(gyre_tail *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t count;
    for (size_t h = t->first_head + 1; h < t->last_head; h++)
        for (size_t i = 0; i < t->n; i++) {
            const element *e = &t->elements[i];
            if (e->learnable == NULL)
                continue;
            gyre_transform *other = element_of(t, i, h);
            memcpy(e->learnable->parameters(other->state, &count), view(e), e->count * sizeof(double));
            GYRE_TRY(e->learnable->update(other->state, err));
        }
done:
    return st;
}

/* ---- matrices ---- */

static void learned_matrix(element *e, size_t n)
{
    e->learnable->matrix(e->t->state, e->matrix);
    if (e->learnable->inverse != NULL) {
        e->learnable->inverse(e->t->state, e->inverse);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            e->inverse[j * n + i] = e->matrix[i * n + j];
}

gyre_status gyre_tail_update(gyre_tail *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = t->dim, bytes = n * n * sizeof(double);
    identity(t->m, n);
    identity(t->inverse, n);
    for (size_t i = 0; i < t->n; i++) {
        element *e = &t->elements[i];
        if (e->learnable != NULL) {
            GYRE_TRY(e->learnable->update(e->t->state, err));
            learned_matrix(e, n);
        }
        if (i == 0) {
            memcpy(t->m, e->matrix, bytes);
            memcpy(t->inverse, e->inverse, bytes);
            continue;
        }
        memcpy(e->before, t->m, bytes);
        left(e, n, false, e->before, t->m);
        right_inverse(e, n, t->inverse, t->work[0]);
        memcpy(t->inverse, t->work[0], bytes);
    }
done:
    return st;
}

void gyre_tail_floats(const gyre_tail *t, float *m, float *inverse)
{
    for (size_t i = 0; i < t->dim * t->dim; i++) {
        m[i] = (float)t->m[i];
        inverse[i] = (float)t->inverse[i];
    }
}

static bool scalar(const double *w, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            most = fmax(most, fabs(w[i * n + j] - (i == j ? w[0] : 0.0)));
    return most <= 1e-12 * fabs(w[0]);
}

void gyre_tail_weigh(gyre_tail *t, const double *const *w, double **k)
{
    size_t n = t->dim;
    t->diagonal = t->structured;
    for (size_t h = t->first_head; h < t->last_head; h++)
        t->diagonal = t->diagonal && scalar(w[h], n);
    for (size_t h = t->first_head; h < t->last_head; h++) {
        if (!t->diagonal) {
            multiply(n, CblasNoTrans, w[h], CblasNoTrans, t->inverse, 1.0, 0.0, t->work[0]);
            multiply(n, CblasTrans, t->inverse, CblasNoTrans, t->work[0], 1.0, 0.0, k[h]);
            continue;
        }
        memset(k[h], 0, n * n * sizeof(double));
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) /* column j of M^-1: its squared length */
                k[h][j * n + j] += w[h][0] * t->inverse[i * n + j] * t->inverse[i * n + j];
    }
}

bool gyre_tail_diagonal(const gyre_tail *t)
{
    return t->diagonal;
}

void gyre_tail_add(gyre_tail *t, const double *k, const double *g_k, const double *g_decode, double *g_m)
{
    size_t n = t->dim;
    if (t->diagonal) {
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                g_m[i * n + j] -= 2.0 * k[i * n + i] * g_k[i * n + i] * t->inverse[j * n + i];
    } else {
        multiply(n, CblasNoTrans, k, CblasNoTrans, g_k, 1.0, 0.0, t->work[0]);
        multiply(n, CblasNoTrans, t->work[0], CblasTrans, t->inverse, -2.0, 1.0, g_m);
    }
    if (g_decode == NULL)
        return;
    multiply(n, CblasTrans, t->inverse, CblasNoTrans, g_decode, 1.0, 0.0, t->work[0]);
    multiply(n, CblasNoTrans, t->work[0], CblasTrans, t->inverse, -1.0, 1.0, g_m);
}

void gyre_tail_backward(gyre_tail *t, const double *g_m, double *gradient)
{
    size_t n = t->dim, at = t->count;
    double *g = t->work[0], *own = t->work[1], *other = t->work[2];
    memcpy(g, g_m, n * n * sizeof *g); /* dL/d(E_i ... E_1) */
    for (size_t i = t->n; i-- > 0;) {
        element *e = &t->elements[i];
        const double *of_element = g;
        if (i > 0 && e->learnable != NULL) {
            multiply(n, CblasNoTrans, g, CblasTrans, e->before, 1.0, 0.0, own);
            of_element = own;
        }
        if (e->learnable != NULL) {
            at -= e->count;
            e->learnable->backward(e->t->state, of_element, gradient + at);
        }
        if (i > 0) {
            left(e, n, true, g, other);
            double *swap = g;
            g = other;
            other = swap;
        }
    }
}
