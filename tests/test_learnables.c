/* What every learnable transform promises (transforms/transform.h), over the registry: a new one gets all of it unasked.
 *
 * A subject is a variant with learning on, at one dimension, with one of its words (choices) taken and the rest at their defaults; its parameters are then moved by normals, so that
 * nothing rests on a special start. Derivatives are held to central differences in double.
 */
#define _POSIX_C_SOURCE 200809L
#include "tests/places.h"

#include <lapacke.h>

#include "tests/heap.h"

enum { MOST = 12, SQUARE = MOST * MOST, ORDINAL = 2, FIT_ROWS = 32, PARAMETERS_MOST = 1024 };
static const size_t dims[] = {4, 8, 12, 0};
static const double moved = 0.15, step = 1e-5;

typedef struct subject {
    const gyre_transform_type *type;
    const gyre_learnable *learnable;
    gyre_option_values values;
    size_t dim, count;
    place place;
    gyre_transform *t;
    double *theta; /* inside t */
} subject;

static void broken(const subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(const subject *s, const char *format, ...)
{
    char what[512], text[GYRE_CANONICAL_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    heap.watched = false;
    gyre_options_canonical(s->type->options, &s->values, text, sizeof text);
    fail_msg("%s(%s) d=%zu: %s", s->type->name, text, s->dim, what);
}

static void within(const subject *s, const char *what, double off, double most)
{
    if (!(off <= most))
        broken(s, "%s is off by %.3g, allowed %.3g", what, off, most);
}

/* ---- subjects ---- */

static gyre_transform *make(const subject *s, uint32_t head)
{
    static float rows[FIT_ROWS * MOST];
    gyre_transform *t = NULL;
    gyre_error error = {0};
    place p = s->place;
    p.site.head = head;
    CHECK_OK(gyre_transform_new(s->type, &p.site, ORDINAL, &s->values, &t, &error), &error);
    normals(rows, FIT_ROWS * s->dim, 61);
    for (size_t i = 0; i < FIT_ROWS * s->dim; i++)
        rows[i] *= (float)(1 + i % s->dim % 3);
    if (s->type->fit != NULL)
        CHECK_OK(s->type->fit(t->state, &(gyre_fit_rows){.x = rows, .n = FIT_ROWS, .stride = s->dim}, &error), &error);
    return t;
}

static void update(const subject *s, gyre_transform *t)
{
    gyre_error error = {0};
    if (s->learnable->update(t->state, &error) != GYRE_OK)
        broken(s, "update: %s", error.message);
}

static void gauge(const subject *s)
{
    if (s->learnable->gauge != NULL)
        s->learnable->gauge(s->t->state);
}

/* M of theta, as a function. */
static void matrix_at(const subject *s, const double *theta, bool gauged, double *m)
{
    memcpy(s->theta, theta, s->count * sizeof *theta);
    if (gauged)
        gauge(s);
    update(s, s->t);
    s->learnable->matrix(s->t->state, m);
}

static bool begin(subject *s)
{
    float noise[PARAMETERS_MOST];
    char why[GYRE_WHY];
    s->learnable = s->type->learnable;
    make_place(&s->place, s->dim, 0);
    if (!gyre_transform_applies(s->type, &s->place.site, &s->values, why))
        return false;
    s->t = make(s, 1);
    s->theta = s->learnable->parameters(s->t->state, &s->count);
    assert_true(s->count > 0 && s->count <= PARAMETERS_MOST);
    normals(noise, s->count, 62);
    for (size_t i = 0; i < s->count; i++)
        s->theta[i] += moved * (double)noise[i];
    gauge(s);
    update(s, s->t);
    return true;
}

static double inner(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double distance(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

static void random_matrix(double *g, size_t n, uint32_t id)
{
    float x[SQUARE];
    normals(x, n, id);
    for (size_t i = 0; i < n; i++)
        g[i] = (double)x[i];
}

/* ---- checks ---- */

static void flags(const subject *s)
{
    const gyre_option *per = gyre_option_find(s->type->options, "per"), *learn = gyre_option_find(s->type->options, "learn");
    char word[GYRE_OPTION_TEXT] = "", why[GYRE_OPTION_TEXT];
    if (!(s->t->traits.flags & GYRE_LEARNABLE) || !(s->t->traits.flags & GYRE_LINEAR) || !(s->t->traits.needs & GYRE_NEEDS_CALIBRATION))
        broken(s, "learns, and its traits do not say so");
    if (per == NULL)
        broken(s, "learns and has no option `per`");
    gyre_option_print(per, &s->values, word, sizeof word);
    if (s->t->traits.pooled != (strcmp(word, "layer") == 0))
        broken(s, "pooled is not what `per` says");
    if (s->learnable->inverse == NULL && !(s->t->traits.flags & GYRE_ORTHOGONAL))
        broken(s, "is not orthogonal and has no inverse");
    if (gyre_transform_stored(s->t) < s->count)
        broken(s, "stores %zu numbers and has %zu parameters", gyre_transform_stored(s->t), s->count);
    if (learn != NULL) {
        gyre_option_values off = s->values;
        assert_true(gyre_option_parse(learn, &off, "false", why));
        if (gyre_transform_traits(s->type, &off).flags & GYRE_LEARNABLE)
            broken(s, "is learnable with learn: false");
    }
}

/* dL/dtheta of L = <G, M(theta)>, against central differences of two widths (Richardson). backward adds. */
static void gradient(const subject *s)
{
    double theta[PARAMETERS_MOST], got[PARAMETERS_MOST], want[PARAMETERS_MOST], twice[PARAMETERS_MOST], g[SQUARE], m[SQUARE], at[PARAMETERS_MOST];
    size_t square = s->dim * s->dim;
    memcpy(theta, s->theta, s->count * sizeof *theta);
    for (uint32_t trial = 0; trial < 3; trial++) {
        random_matrix(g, square, 63 + trial);
        matrix_at(s, theta, false, m);
        memset(got, 0, sizeof got);
        s->learnable->backward(s->t->state, g, got);
        memcpy(twice, got, sizeof got);
        s->learnable->backward(s->t->state, g, twice);
        for (size_t i = 0; i < s->count; i++)
            twice[i] *= 0.5;
        double size = sqrt(inner(got, got, s->count));
        within(s, "half of two gradients added", distance(twice, got, s->count), 1e-13 * size);
        for (size_t i = 0; i < s->count; i++) {
            double value[4];
            for (int k = 0; k < 4; k++) {
                memcpy(at, theta, sizeof at);
                at[i] += (k % 2 == 0 ? 1 : -1) * (k < 2 ? 1 : 2) * 100 * step;
                matrix_at(s, at, false, m);
                value[k] = inner(g, m, square);
            }
            want[i] = (8 * (value[0] - value[1]) - (value[2] - value[3])) / (1200 * step);
        }
        if (!(size > 0))
            broken(s, "a random dL/dM has no gradient");
        within(s, "the gradient", distance(got, want, s->count), 1e-6 * size);
    }
    matrix_at(s, theta, false, m);
}

/* Degrees of freedom: the rank of the Jacobian of theta -> M, gauge included. */
static void freedom(const subject *s)
{
    static double jacobian[PARAMETERS_MOST * SQUARE];
    double theta[PARAMETERS_MOST], at[PARAMETERS_MOST], m[2][SQUARE], values[SQUARE], super[SQUARE];
    size_t square = s->dim * s->dim, rank = 0, least = s->count < square ? s->count : square, says = s->learnable->freedom(s->t->state);
    memcpy(theta, s->theta, s->count * sizeof *theta);
    for (size_t i = 0; i < s->count; i++) {
        for (int k = 0; k < 2; k++) {
            memcpy(at, theta, sizeof at);
            at[i] += k == 0 ? step : -step;
            matrix_at(s, at, true, m[k]);
        }
        for (size_t j = 0; j < square; j++)
            jacobian[i * square + j] = (m[0][j] - m[1][j]) / (2 * step);
    }
    assert_int_equal(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'N', 'N', (lapack_int)s->count, (lapack_int)square, jacobian, (lapack_int)square, values, NULL, 1, NULL, (lapack_int)square, super), 0);
    while (rank < least && values[rank] > 1e-7 * values[0])
        rank++;
    if (says > s->count || rank != says)
        broken(s, "says %zu degrees of freedom of %zu parameters; the Jacobian has rank %zu (singular values %.3g, ..., %.3g, then %.3g)", says, s->count, rank, values[0],
               rank > 0 ? values[rank - 1] : 0, rank < least ? values[rank] : 0);
    matrix_at(s, theta, false, m[0]);
}

/* The ordinary paths use the new parameters: float rows, the double reference, and the inverses of both. */
static void paths(const subject *s)
{
    double m[SQUARE], back[SQUARE], unit[MOST];
    float x[MOST];
    size_t n = s->dim;
    s->learnable->matrix(s->t->state, m);
    for (size_t i = 0; i < n * n; i++)
        back[i % n * n + i / n] = m[i];
    if (s->learnable->inverse != NULL)
        s->learnable->inverse(s->t->state, back);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = i == j ? -1.0 : 0.0;
            for (size_t k = 0; k < n; k++)
                sum += back[i * n + k] * m[k * n + j];
            within(s, "inverse times matrix", fabs(sum), 1e-12);
        }
    void *scratch = scratch_for(s->t);
    for (int inverse = 0; inverse < 2; inverse++)
        for (size_t j = 0; j < n; j++) {
            for (size_t i = 0; i < n; i++) {
                unit[i] = i == j ? 1.0 : 0.0;
                x[i] = (float)unit[i];
            }
            (inverse ? s->type->inverse_ref : s->type->forward_ref)(s->t->state, unit, 3);
            (inverse ? s->type->inverse : s->type->forward)(s->t->state, x, 1, n, (const int32_t[1]){3}, scratch);
            for (size_t i = 0; i < n; i++) {
                double want = (inverse ? back : m)[i * n + j];
                within(s, inverse ? "inverse_ref" : "forward_ref", fabs(unit[i] - want), 1e-12 * (1 + fabs(want)));
                within(s, inverse ? "inverse" : "forward", fabs((double)x[i] - want), 2e-6 * (1 + fabs(want)));
            }
        }
    free(scratch);
}

/* Parameters rounded to float32 and copied to another head's state, or to the same built again, give the same matrix and rows, bit by bit. */
static void sharing(const subject *s)
{
    double m[2][SQUARE];
    float x[2][MOST];
    size_t count;
    for (size_t i = 0; i < s->count; i++)
        s->theta[i] = (double)(float)s->theta[i];
    update(s, s->t);
    gyre_transform *other = make(s, s->t->traits.pooled ? 0 : 1);
    double *theta = s->learnable->parameters(other->state, &count);
    assert_int_equal(count, s->count);
    memcpy(theta, s->theta, count * sizeof *theta);
    update(s, other);
    const gyre_transform *both[2] = {s->t, other};
    for (int k = 0; k < 2; k++) {
        void *scratch = scratch_for(both[k]);
        s->learnable->matrix(both[k]->state, m[k]);
        normals(x[k], s->dim, 70);
        gyre_transform_forward(both[k], x[k], 1, s->dim, NULL, scratch);
        free(scratch);
    }
    gyre_transform_free(other);
    if (memcmp(m[0], m[1], s->dim * s->dim * sizeof(double)) != 0 || memcmp(x[0], x[1], s->dim * sizeof(float)) != 0)
        broken(s, "the same parameters in another state give another matrix");
}

/* A small step goes down; nothing of a step allocates. */
static void steps(const subject *s)
{
    double g[SQUARE], m[SQUARE], inverse[SQUARE], slope[PARAMETERS_MOST] = {0}, theta[PARAMETERS_MOST];
    gyre_error error = {0};
    size_t square = s->dim * s->dim;
    memcpy(theta, s->theta, s->count * sizeof *theta);
    random_matrix(g, square, 71);
    s->learnable->matrix(s->t->state, m);
    double before = inner(g, m, square);
    heap_watch(0);
    s->learnable->backward(s->t->state, g, slope);
    if (s->learnable->descend != NULL)
        s->learnable->descend(s->t->state, slope, 1e-4);
    for (size_t i = 0; s->learnable->descend == NULL && i < s->count; i++)
        s->theta[i] -= 1e-4 * slope[i];
    gauge(s);
    gyre_status st = s->learnable->update(s->t->state, &error);
    s->learnable->matrix(s->t->state, m);
    if (s->learnable->inverse != NULL)
        s->learnable->inverse(s->t->state, inverse);
    (void)s->learnable->freedom(s->t->state);
    bool allocated = heap.refused || heap.live > 0;
    heap.watched = false;
    if (st != GYRE_OK || allocated)
        broken(s, "a step allocates, or fails: %s", error.message);
    if (s->learnable->gauge == NULL || s->learnable->descend != NULL) { /* a gauge may change M */
        double after = inner(g, m, square);
        if (!(after < before))
            broken(s, "a small step against the gradient goes from %.17g up to %.17g", before, after);
    }
    matrix_at(s, theta, false, m);
}

/* Parameters that are not finite are refused with a reason, and the state is good afterwards. */
static void ranges(const subject *s)
{
    const double bad[] = {(double)NAN, (double)INFINITY};
    double m[2][SQUARE];
    s->learnable->matrix(s->t->state, m[0]);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < s->count; i += 1 + s->count / 5) {
            gyre_error error = {0};
            double was = s->theta[i];
            s->theta[i] = bad[k];
            if (s->learnable->update(s->t->state, &error) != GYRE_E_RANGE || error.message[0] == '\0')
                broken(s, "takes the parameter %g", bad[k]);
            s->theta[i] = was;
            update(s, s->t);
            s->learnable->matrix(s->t->state, m[1]);
            if (memcmp(m[0], m[1], s->dim * s->dim * sizeof(double)) != 0)
                broken(s, "a refused parameter leaves its mark");
        }
}

/* ---- the battery ---- */

static size_t examined;

static void examine(const gyre_transform_type *type, const gyre_option_values *values)
{
    for (const size_t *dim = dims; *dim != 0; dim++) {
        static subject s;
        s = (subject){.type = type, .values = *values, .dim = *dim};
        if (!begin(&s))
            continue;
        flags(&s);
        gradient(&s);
        freedom(&s);
        paths(&s);
        steps(&s);
        ranges(&s);
        sharing(&s);
        gyre_transform_free(s.t);
        examined++;
    }
}

static void battery(void **state)
{
    const gyre_transform_type *type = *state;
    char why[GYRE_OPTION_TEXT];
    gyre_option_values base = {0};
    const gyre_option *learn = gyre_option_find(type->options, "learn");
    heap.watched = false;
    examined = 0;
    (void)gyre_options_defaults(type->options, &base);
    if (learn != NULL)
        assert_true(gyre_option_parse(learn, &base, "true", why));
    for (const gyre_option *o = type->options; o->key != NULL; o++) /* required words: the first */
        if (o->fallback == NULL)
            assert_true(o->choices != NULL && gyre_option_parse(o, &base, o->choices[0], why));
    examine(type, &base);
    for (const gyre_option *o = type->options; o->key != NULL; o++)
        for (size_t i = 0; o->type == GYRE_OPTION_CHOICE && o->choices[i] != NULL; i++) {
            gyre_option_values values = base;
            assert_true(gyre_option_parse(o, &values, o->choices[i], why));
            if (gyre_transform_traits(type, &values).flags & GYRE_LEARNABLE)
                examine(type, &values);
        }
    if (examined == 0)
        fail_msg("%s was never examined", type->name);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t n = 0;
    for (size_t i = 0; gyre_transform_types[i] != NULL && n < sizeof tests / sizeof *tests; i++)
        if (gyre_transform_types[i]->learnable != NULL) {
            void *type = NULL;
            memcpy(&type, &gyre_transform_types[i], sizeof type);
            tests[n++] = (struct CMUnitTest){.name = gyre_transform_types[i]->name, .test_func = battery, .initial_state = type};
        }
    return _cmocka_run_group_tests("learnable transforms", tests, n, NULL, NULL) != 0;
}
