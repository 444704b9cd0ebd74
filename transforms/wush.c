/* wush: y = T x, the closed form that gives keys and the queries that read them one and the same second moments.
 *
 *     S_k = E x x' = C_k C_k'     S_q = E u u' = C_q C_q'     C_q' C_k = U D V' (SVD)     T = H D^1/2 V' C_k^-1 = H D^-1/2 U' C_q'     T^-1 = C_k V D^-1/2 H'
 *
 * so that T S_k T' = T^-T S_q T^-1 = H D H', whose diagonal is flat: mean(D) everywhere. x are the calibration rows as they reach this element, u the queries as they meet them there
 * (u'x is the score; calibrate/moments.h), so q'(k^ - k) = (T^-T u)' e for an error e behind T. T'T is the geometric mean of S_k^-1 and S_q: one T but for the signs that H sees, for which in
 * each row of D^1/2 V' C_k^-1 the entry of largest magnitude is positive. Values have no queries: S_q = I. `damping` adds that part of its mean diagonal to the diagonal of S_k and of
 * S_q; zeros alone count as I. Second moments are about 0: `centre` comes before where rows have a mean.
 *
 * WUSH (arXiv 2512.00956) is H S^1/2 V' B^-T for the weights and activations of a linear layer, in blocks; with keys for weights and queries for activations, whole rows, this is a port, not
 * in the paper. `mix: hadamard` is the orthonormal H of `hadamard` (form: kronecker): at 2^k, 12 2^k and 20 2^k, the dimensions whose every entry has one size, which is what makes the
 * diagonal flat. Elsewhere, and for any other mixture, `mix: none` leaves H out: [wush(mix: none), dct]; alone its diagonal is D, for quantizers with scales per channel.
 *
 * Not orthogonal. By LAPACK in double, rows in float; per layer (heads pooled) or per head; d up to 4096; 2 d^2 operations, d^2 float32 values stored (T; T^-1 follows). Where entries of D
 * are equal their vectors are LAPACK's choice. The identity until it is fitted.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lapacke.h>

#include "core/blas.h"
#include "transforms/matrix.h"
#include "transforms/row_moments.h"

enum { MIX_HADAMARD, MIX_NONE };

typedef struct options {
    int mix;
    double damping;
    int per;
} options;

typedef struct wush {
    gyre_matrix *matrix;
    gyre_transform *mix; /* H, or NULL */
    double damping;
    bool keys;
} wush;

static const char *const mixes[] = {"hadamard", "none", NULL};
static const char *const scopes[] = {"layer", "head", NULL};
static const gyre_option table[] = {
    {"mix", GYRE_OPTION_CHOICE, offsetof(options, mix), "hadamard", 0, 0, mixes, "", "H; none: what follows in the chain mixes"},
    {"damping", GYRE_OPTION_REAL, offsetof(options, damping), "0.01", 1e-6, 1, NULL, "", "part of the mean diagonal that is added to the second moments' diagonal"},
    {"per", GYRE_OPTION_CHOICE, offsetof(options, per), "layer", 0, 0, scopes, "", "what shares one T"},
    {0},
};

static void refine(const void *values, gyre_traits *traits)
{
    traits->pooled = ((const options *)values)->per == 0;
}

/* `hadamard` with the options that serve every dimension with a flat matrix. */
static const gyre_transform_type *mixer(gyre_option_values *values)
{
    const gyre_transform_type *hadamard = gyre_transform_find("hadamard");
    (void)gyre_options_defaults(hadamard->options, values);
    (void)gyre_option_parse(gyre_option_find(hadamard->options, "form"), values, "kronecker", NULL);
    return hadamard;
}

static bool applicable(const gyre_site *site, const void *values, char why[GYRE_WHY])
{
    const options *o = values;
    gyre_option_values form;
    char reason[GYRE_WHY];
    if (!gyre_matrix_applicable(site, values, why))
        return false;
    const gyre_transform_type *hadamard = mixer(&form);
    if (o->mix == MIX_NONE || gyre_transform_applies(hadamard, site, &form, reason))
        return true;
    (void)snprintf(why, GYRE_WHY, "the head dimension %zu is not a power of two, nor 12 or 20 times one: take mix: none, and dct behind it", site->dim);
    return false;
}

static void release(void *state)
{
    wush *w = state;
    if (w == NULL)
        return;
    gyre_transform_free(w->mix);
    gyre_matrix_free(w->matrix);
    free(w);
}

static gyre_status init(const gyre_site *site, unsigned ordinal, const void *values, void **state, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const options *o = values;
    size_t d = site->dim;
    double *m[2] = {NULL, NULL};
    void *matrix = NULL;
    wush *w = NULL;
    gyre_option_values form;
    GYRE_NEW(&w, 1);
    w->damping = o->damping;
    w->keys = site->stream == GYRE_K;
    if (o->mix == MIX_HADAMARD)
        GYRE_TRY(gyre_transform_new(mixer(&form), site, ordinal, &form, &w->mix, err));
    for (size_t k = 0; k < 2; k++) {
        GYRE_NEW(&m[k], d * d);
        for (size_t i = 0; i < d; i++)
            m[k][i * d + i] = 1.0;
    }
    st = gyre_matrix_new(d, m[0], m[1], d * d, &matrix, err);
    m[0] = m[1] = NULL;
    w->matrix = matrix;
    GYRE_TRY(st);
    *state = w;
    w = NULL;
done:
    free(m[0]);
    free(m[1]);
    release(w);
    return st;
}

/* ---- the fit ---- */

/* Damped second moments to their lower Cholesky factor, zeros above; zeros alone to I. */
static gyre_status factor(double *s, size_t d, double damping, const char *of, gyre_error *err)
{
    double mean = 0;
    for (size_t i = 0; i < d; i++)
        mean += s[i * d + i] / (double)d;
    for (size_t i = 0; i < d; i++)
        s[i * d + i] = mean > 0 ? s[i * d + i] + damping * mean : 1.0;
    lapack_int info = LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', (lapack_int)d, s, (lapack_int)d);
    if (info != 0)
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "wush: the second moments of the %s are not positive definite (pivot %ld of %zu): more calibration tokens, or more damping", of,
                              (long)info, d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = i + 1; j < d; j++)
            s[i * d + j] = 0;
    return GYRE_OK;
}

/* c = a b, or with the named one transposed. */
static void product(size_t n, CBLAS_TRANSPOSE ta, const double *a, CBLAS_TRANSPOSE tb, const double *b, double *c)
{
    int d = (int)n;
    cblas_dgemm(CblasRowMajor, ta, tb, d, d, d, 1.0, a, d, b, d, 0.0, c, d);
}

/* d x d matrices of a fit, and d numbers. */
typedef struct squares {
    double *ck, *cq, *t, *inverse, *a, *u, *vt, *values;
} squares;

/* (D^-1/2 U' C_q')' = C_q U D^-1/2 into t, C_k V D^-1/2 into inverse; column i of both changes sign together. */
static gyre_status balance(const squares *q, size_t d, gyre_error *err)
{
    lapack_int n = (lapack_int)d;
    product(d, CblasTrans, q->cq, CblasNoTrans, q->ck, q->a);
    lapack_int info = LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'A', n, n, q->a, n, q->values, q->u, n, q->vt, n);
    if (info != 0 || !(q->values[d - 1] > 0))
        return gyre_error_set(err, GYRE_E_INPUT, __FILE__, __LINE__, "wush: keys times queries have no full rank (code %ld): more calibration tokens, or more damping", (long)info);
    product(d, CblasNoTrans, q->cq, CblasNoTrans, q->u, q->t);
    product(d, CblasNoTrans, q->ck, CblasTrans, q->vt, q->inverse);
    for (size_t i = 0; i < d; i++) {
        double largest = 0;
        for (size_t j = 0; j < d; j++)
            largest = fabs(q->t[j * d + i]) > fabs(largest) ? q->t[j * d + i] : largest;
        double by = (largest < 0 ? -1.0 : 1.0) / sqrt(q->values[i]);
        for (size_t j = 0; j < d; j++) {
            q->t[j * d + i] *= by;
            q->inverse[j * d + i] *= by;
        }
    }
    return GYRE_OK;
}

/* Rows of both through H: t becomes T', inverse T^-1 = (...) H'. T' is turned over into the state. */
static void mix_and_keep(wush *w, double *t, double *inverse)
{
    gyre_matrix *own = w->matrix;
    size_t d = own->dim;
    for (size_t i = 0; i < d && w->mix != NULL; i++) {
        w->mix->type->forward_ref(w->mix->state, t + i * d, 0);
        w->mix->type->forward_ref(w->mix->state, inverse + i * d, 0);
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            own->m[i * d + j] = t[j * d + i];
    memcpy(own->inverse, inverse, d * d * sizeof *inverse);
    gyre_matrix_refresh(own);
}

static gyre_status query_moments(const wush *w, const gyre_fit_rows *rows, double *m, gyre_error *err)
{
    size_t d = w->matrix->dim;
    for (size_t i = 0; i < d * d; i++) {
        m[i] = rows->queries != NULL ? rows->queries[i] : i / d == i % d ? 1.0 : 0.0;
        if (!isfinite(m[i]))
            return gyre_error_set(err, GYRE_E_NAN, __FILE__, __LINE__, "wush: the second moments of the queries are not finite");
    }
    return GYRE_OK;
}

static gyre_status fit(void *state, const gyre_fit_rows *rows, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    wush *w = state;
    size_t d = w->matrix->dim;
    double *work = NULL;
    if (w->keys && rows->queries == NULL)
        GYRE_FAIL(GYRE_E_INPUT, "wush on keys has no queries: name calibration documents of a capture that holds queries (--queries)");
    GYRE_NEW(&work, 7 * d * d + d);
    squares q = {work, work + d * d, work + 2 * d * d, work + 3 * d * d, work + 4 * d * d, work + 5 * d * d, work + 6 * d * d, work + 7 * d * d};
    GYRE_TRY(gyre_row_moments(rows, d, "wush", 1, false, q.ck, err));
    GYRE_TRY(query_moments(w, rows, q.cq, err));
    GYRE_TRY(factor(q.ck, d, w->damping, w->keys ? "keys" : "values", err));
    if (rows->queries != NULL)
        GYRE_TRY(factor(q.cq, d, w->damping, "queries", err));
    GYRE_TRY(balance(&q, d, err));
    mix_and_keep(w, q.t, q.inverse);
done:
    free(work);
    return st;
}

/* ---- rows ---- */

static void forward(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    gyre_matrix_forward(((const wush *)state)->matrix, x, n, stride, pos, scratch);
}

static void inverse(const void *state, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch)
{
    gyre_matrix_inverse(((const wush *)state)->matrix, x, n, stride, pos, scratch);
}

static void forward_ref(const void *state, double *x, int32_t pos)
{
    gyre_matrix_forward_ref(((const wush *)state)->matrix, x, pos);
}

static void inverse_ref(const void *state, double *x, int32_t pos)
{
    gyre_matrix_inverse_ref(((const wush *)state)->matrix, x, pos);
}

static size_t scratch_bytes(const void *state)
{
    return gyre_matrix_scratch(((const wush *)state)->matrix);
}

static size_t stored(const void *state)
{
    return ((const wush *)state)->matrix->stored;
}

const gyre_transform_type gyre_transform_wush = {
    .name = "wush",
    .summary = "keys and their queries brought to the same second moments, flat on the diagonal",
    .source = "arXiv 2512.00956 (WUSH), there for weights and activations",
    .dims = "mix: hadamard: 2^k, 12 2^k, 20 2^k; mix: none: any; to 4096",
    .traits = {.flags = GYRE_LINEAR,
               .needs = GYRE_NEEDS_CALIBRATION | GYRE_NEEDS_QUERIES,
               .accepts = GYRE_FRAME_ANY,
               .becomes = GYRE_FRAME_MIXED,
               .fold_into_query = GYRE_FOLD_CONSTANT},
    .init = init,
    .forward = forward,
    .inverse = inverse,
    .forward_ref = forward_ref,
    .inverse_ref = inverse_ref,
    .free = release,
    .options = table,
    .refine = refine,
    .applicable = applicable,
    .scratch = scratch_bytes,
    .stored = stored,
    .fit = fit,
};
