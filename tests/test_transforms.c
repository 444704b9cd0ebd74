/* The conformance battery over the registry: a new transform gets all of it unasked. What only one variant promises is in test_transforms_facts.c.
 *
 *   test_transforms [--short | --least] [NAME ...]   --short: fewer dimensions and chains, for sanitizers; --least: fewest, for valgrind; names: these transforms alone (`chains`: the random chains)
 *
 * A subject is a variant with one of the option sets that its own option table yields, at one dimension; or a random well-typed chain of such. A check is
 * one function, one column of the table that is printed at the end (a full run also writes it beside the binary). Thresholds follow from the dimension and
 * the rounding unit; the table's last column is the largest part of a threshold that was used.
 */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/h5.h"
#include "tests/battery.h"
#include "tests/heap.h"
#include "tests/places.h"

enum { ROWS = 11, FIT_ROWS = 64, PAD = 7, THREADS = 4, GUARD = 8192, LINKS_MOST = 3 };
enum { WHOLE_MATRIX = 128, COLUMNS = 12 }; /* up to this dimension a variant's every column is looked at; beyond, and in chains, this many */

static bool shortened;
static const size_t dims[] = {1, 2, 3, 5, 7, 8, 12, 16, 63, 64, 80, 96, 112, 128, 192, 256, 320, 576, 0}, short_dims[] = {1, 2, 3, 8, 12, 16, 63, 64, 0}, least_dims[] = {1, 3, 12, 64, 0};
static const size_t *tested = dims;
static const int32_t positions[ROWS] = {0, 1, 17, 383, 5000, 63, 64, 2, 1023, 1024, 17};

/* ---- places and fits ---- */

static void make_place_of(place *p, size_t dim, gyre_stream stream)
{
    make_place(p, dim, 0);
    p->site.stream = stream;
    if (stream == GYRE_V) {
        p->site.rope = NULL;
        p->site.bias = NULL;
    }
}

/* Calibration rows: channels of unequal size that are not centred. */
static void calibration_rows(float *x, size_t dim)
{
    static float noise[FIT_ROWS * DIM_MOST];
    if (noise[0] == 0.0f)
        normals(noise, FIT_ROWS * DIM_MOST, 5);
    for (size_t i = 0; i < FIT_ROWS * dim; i++)
        x[i] = noise[i] * (float)(1 + i % dim % 5) + 0.5f * (float)(i % dim % 3);
}

/* Second moments of queries: unequal on the diagonal, and one direction that sticks out. NULL for values. */
static const double *query_moments(size_t dim, gyre_stream stream)
{
    static double m[DIM_MOST * DIM_MOST];
    for (size_t i = 0; i < dim * dim; i++)
        m[i] = (i / dim == i % dim ? 1.0 + (double)(i % dim % 7) : 0.0) + 3.0 * cos((double)(i / dim)) * cos((double)(i % dim));
    return stream == GYRE_K ? m : NULL;
}

/* Fits every element that asks for it on what the ones before it give, as calibrate/ does. */
static void fit_elements(gyre_transform *const *elements, size_t count, size_t dim, gyre_stream stream)
{
    static float x[FIT_ROWS * DIM_MOST];
    int32_t at[FIT_ROWS];
    gyre_error error = {0};
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || (elements[i]->traits.needs & GYRE_NEEDS_CALIBRATION);
    if (!any)
        return;
    calibration_rows(x, dim);
    for (size_t r = 0; r < FIT_ROWS; r++)
        at[r] = (int32_t)r;
    gyre_fit_rows rows = {.x = x, .n = FIT_ROWS, .stride = dim, .queries = query_moments(dim, stream)};
    for (size_t i = 0; i < count; i++) {
        if ((elements[i]->traits.needs & GYRE_NEEDS_CALIBRATION) && elements[i]->type->fit != NULL)
            CHECK_OK(elements[i]->type->fit(elements[i]->state, &rows, &error), &error);
        void *scratch = scratch_for(elements[i]);
        gyre_transform_forward(elements[i], x, FIT_ROWS, dim, at, scratch);
        free(scratch);
    }
}

/* ---- option sets ---- */

enum { SETS_MOST = 96, TEXTS_MOST = 32, TEXT = 512 };

typedef struct option_set {
    gyre_option_values values;
    bool plain; /* holds no number or file of the battery's choice, so the variant shows what its traits say */
} option_set;

static void centre_by(size_t dim, char text[TEXT])
{
    (void)dim;
    (void)snprintf(text, TEXT, "mean");
}

/* An orthogonal matrix: the reflection along a row of normals. Written once: the digest of an HDF5 file changes when it is written again. */
static void dense_file(size_t dim, char text[TEXT])
{
    static bool written[DIM_MOST + 1];
    float v[DIM_MOST];
    double *m = malloc(dim * dim * sizeof *m), square = 0;
    gyre_error error = {0};
    hid_t file;
    assert_non_null(m);
    (void)snprintf(text, TEXT, "%s.dense-%zu.h5", GYRE_BATTERY_TABLE, dim);
    normals(v, dim, 88);
    for (size_t i = 0; i < dim; i++)
        square += (double)v[i] * (double)v[i];
    for (size_t i = 0; i < dim * dim; i++)
        m[i] = (i % dim == i / dim ? 1.0 : 0.0) - 2.0 * (double)v[i / dim] * (double)v[i % dim] / square;
    if (!written[dim]) {
        CHECK_OK(gyre_h5_create(text, &file, &error), &error);
        CHECK_OK(gyre_h5_write(file, "matrix", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, (const hsize_t[2]){dim, dim}, NULL, m, &error), &error);
        CHECK_OK(gyre_h5_close(&file, text, &error), &error);
    }
    written[dim] = true;
    free(m);
}

/* What a required option is while the others vary. One whose type has no values of its own (a file) has no other; it may be made here. */
static const struct {
    const char *variant, *key;
    void (*say)(size_t dim, char text[TEXT]);
} required[] = {
    {"centre", "by", centre_by},
    {"dense", "file", dense_file},
};

/* Every word; of numbers the low bound, small ones and parts of the dimension, clipped to the bounds. */
static size_t option_texts(const gyre_option *o, size_t dim, char texts[TEXTS_MOST][TEXT])
{
    const double d = (double)dim, numbers[] = {o->lo, 0.5, 2, 3, d / 4, d / 2, d};
    size_t n = 0;
    if (o->type == GYRE_OPTION_BOOL) {
        (void)snprintf(texts[n++], TEXT, "false");
        (void)snprintf(texts[n++], TEXT, "true");
    }
    for (; o->choices != NULL && o->choices[n] != NULL && n < TEXTS_MOST; n++)
        (void)snprintf(texts[n], TEXT, "%s", o->choices[n]);
    for (size_t i = 0; (o->type == GYRE_OPTION_INT || o->type == GYRE_OPTION_REAL) && i < sizeof numbers / sizeof *numbers && n < TEXTS_MOST; i++) {
        double number = fmin(fmax(numbers[i], o->lo), o->hi);
        (void)snprintf(texts[n++], TEXT, "%.17g", o->type == GYRE_OPTION_INT ? fmax(floor(number), ceil(o->lo)) : number);
    }
    return n;
}

static bool is_word(const gyre_option *o)
{
    return o->type == GYRE_OPTION_CHOICE || o->type == GYRE_OPTION_BOOL;
}

/* Adds a set unless it is there already; canonical text tells. */
static size_t add_set(const gyre_transform_type *type, option_set *sets, size_t n, const gyre_option_values *values, bool plain)
{
    char text[GYRE_CANONICAL_TEXT], other[GYRE_CANONICAL_TEXT];
    gyre_options_canonical(type->options, values, text, sizeof text);
    for (size_t i = 0; i < n; i++) {
        gyre_options_canonical(type->options, &sets[i].values, other, sizeof other);
        if (strcmp(text, other) == 0)
            return n;
    }
    if (n == SETS_MOST)
        fail_msg("%s has more than %d option sets", type->name, (int)SETS_MOST);
    sets[n] = (option_set){.values = *values, .plain = plain};
    return n + 1;
}

/* Every value of every option, the others as in `base`. */
static size_t add_values(const gyre_transform_type *type, size_t dim, option_set *sets, size_t n, const gyre_option_values *base, bool plain)
{
    static char texts[TEXTS_MOST][TEXT];
    char why[GYRE_OPTION_TEXT];
    n = add_set(type, sets, n, base, plain);
    for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++) {
        size_t values = option_texts(o, dim, texts);
        for (size_t v = 0; v < values; v++) {
            gyre_option_values set = *base;
            if (!gyre_option_parse(o, &set, texts[v], why))
                fail_msg("%s: %s: %s", type->name, o->key, why);
            n = add_set(type, sets, n, &set, plain && is_word(o));
        }
    }
    return n;
}

/* The defaults, then every value of every option with the others at their default; and so once more with `learn: true` where there is such an option. */
static size_t option_sets(const gyre_transform_type *type, size_t dim, option_set sets[SETS_MOST])
{
    static char texts[TEXTS_MOST][TEXT];
    char why[GYRE_OPTION_TEXT];
    gyre_option_values base = {0};
    size_t n = 0;
    bool plain = true;
    (void)gyre_options_defaults(type->options, &base);
    for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++) {
        if (o->fallback != NULL)
            continue;
        bool said = option_texts(o, dim, texts) > 0;
        for (size_t i = 0; i < sizeof required / sizeof *required; i++)
            if (strcmp(required[i].variant, type->name) == 0 && strcmp(required[i].key, o->key) == 0) {
                required[i].say(dim, texts[0]);
                said = true;
            }
        if (!said)
            fail_msg("%s requires '%s' and nothing says what it is here: add a line to the table above", type->name, o->key);
        if (!gyre_option_parse(o, &base, texts[0], why))
            fail_msg("%s: %s: %s", type->name, o->key, why);
        plain = plain && is_word(o);
    }
    n = add_values(type, dim, sets, n, &base, plain);
    const gyre_option *learn = gyre_option_find(type->options, "learn");
    if (learn != NULL && gyre_option_parse(learn, &base, "true", why))
        n = add_values(type, dim, sets, n, &base, plain);
    return n;
}

/* ---- subjects ---- */

typedef struct subject {
    gyre_chain_spec spec;             /* the chain, or the variant alone */
    const gyre_transform_type *alone; /* NULL: a chain */
    bool plain;
    size_t dim;
    place place;
    gyre_transform *t; /* built there, fitted */
} subject;

static void broken(const subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(const subject *s, const char *format, ...)
{
    char what[512], chain[GYRE_CHAIN_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    gyre_chain_canonical(&s->spec, chain, sizeof chain);
    fail_msg("%s%s d=%zu stream %s: %s", s->alone != NULL ? s->alone->name : "chain ", chain, s->dim, s->place.site.stream == GYRE_K ? "K" : "V", what);
}

enum { ORDINAL = 4 }; /* of a variant alone */

static gyre_status make(const subject *s, const place *p, unsigned ordinal, gyre_transform **t, gyre_error *error)
{
    return s->alone == NULL ? gyre_chain_new(&s->spec, &p->site, t, error)
                            : gyre_transform_new(s->alone, &p->site, ordinal, &s->spec.elements[0].options, t, error);
}

static void fit_whole(const subject *s, gyre_transform *t)
{
    gyre_transform *elements[LINKS_MOST] = {t};
    size_t count = s->alone != NULL ? 1 : gyre_chain_count(t);
    for (size_t i = 0; s->alone == NULL && i < count; i++)
        elements[i] = gyre_chain_element(t, i);
    fit_elements(elements, count, s->dim, s->place.site.stream);
}

static gyre_transform *make_and_fit(const subject *s, const place *p, unsigned ordinal)
{
    gyre_transform *t;
    gyre_error error = {0};
    if (make(s, p, ordinal, &t, &error) != GYRE_OK)
        broken(s, "is not built at another site: %s", error.message);
    else
        fit_whole(s, t);
    return t;
}

typedef void (*direction)(const gyre_transform *t, float *x, size_t n, size_t stride, const int32_t *pos, void *scratch);
static const direction both[2] = {gyre_transform_forward, gyre_transform_inverse};

/* Packed rows out of packed rows. */
static void apply(const gyre_transform *t, direction run, const float *x, float *y, size_t n, const int32_t *pos)
{
    void *scratch = scratch_for(t);
    memcpy(y, x, n * t->dim * sizeof *x);
    run(t, y, n, t->dim, pos, scratch);
    free(scratch);
}

static bool same_bits(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

static bool flagged(const subject *s, unsigned flag)
{
    return (s->t->traits.flags & flag) != 0;
}

static bool needs(const subject *s, unsigned need)
{
    return (s->t->traits.needs & need) != 0;
}

static void ref(const subject *s, bool inverse, double *x, int32_t pos)
{
    (inverse ? s->t->type->inverse_ref : s->t->type->forward_ref)(s->t->state, x, pos);
}

/* T 0, in double; 0 without asking where flagged linear, which the check of linearity tests. */
static void shift_of(const subject *s, bool inverse, double *zero, int32_t pos)
{
    memset(zero, 0, s->dim * sizeof *zero);
    if (!flagged(s, GYRE_LINEAR))
        ref(s, inverse, zero, pos);
}

/* y = T x - T 0, in double. */
static void linear_part(const subject *s, bool inverse, const double *x, double *y, int32_t pos)
{
    double zero[DIM_MOST];
    memcpy(y, x, s->dim * sizeof *x);
    ref(s, inverse, y, pos);
    shift_of(s, inverse, zero, pos);
    for (size_t i = 0; i < s->dim; i++)
        y[i] -= zero[i];
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double norm(const double *a, size_t n)
{
    return sqrt(dot(a, a, n));
}

static double distance(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

static void widen(double *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (double)x[i];
}

/* Row r of the standard normals `id`, in double. */
static void row_of(double *out, size_t dim, uint32_t id)
{
    float x[DIM_MOST];
    normals(x, dim, id);
    widen(out, x, dim);
}

/* Positions at which the matrix is looked at: one where it does not depend on them. */
static size_t places_of(const subject *s)
{
    return needs(s, GYRE_NEEDS_POSITION) ? ROWS / 2 : 1;
}

/* ---- thresholds ---- */

/* Relative rounding error of a sum of d float products grows as sqrt(d) (Higham and Mary, SIAM J. Sci. Comput. 41, 2019); 8 for parameters and factors. */
static double float_budget(const subject *s)
{
    return (double)s->spec.count * (8 + 2 * sqrt((double)s->dim)) * (double)FLT_EPSILON / 2;
}

/* The same in double, with room for sines of the definition: 1e-13 at d = 576. */
static double double_budget(const subject *s)
{
    return (double)s->spec.count * (256 + 26 * sqrt((double)s->dim)) * DBL_EPSILON / 2;
}

/* Condition number of the linear part as random rows see it: what a round trip may amplify. 1 for orthogonal ones. */
static double condition(const subject *s)
{
    double x[DIM_MOST], y[DIM_MOST], most = 1;
    for (uint32_t probe = 0; !flagged(s, GYRE_ORTHOGONAL) && probe < 3; probe++) {
        row_of(x, s->dim, 41 + probe);
        linear_part(s, false, x, y, positions[2]);
        double there = norm(y, s->dim) / norm(x, s->dim);
        linear_part(s, true, x, y, positions[2]);
        most = fmax(most, there * norm(y, s->dim) / norm(x, s->dim));
    }
    return most;
}

static double worst; /* largest error / threshold of the variant under test */

static void within(const subject *s, const char *what, double off, double budget)
{
    if (!(off <= budget))
        broken(s, "%s is off by %.3g, allowed %.3g", what, off, budget);
    if (budget > 0)
        worst = fmax(worst, off / budget);
}

/* ---- checks: each looks at a subject, and says whether it had anything to look at ---- */

/* The float path against the double reference, both ways. */
static bool fast_is_reference(const subject *s)
{
    float x[ROWS * DIM_MOST], y[ROWS * DIM_MOST];
    double want[DIM_MOST], got[DIM_MOST], zero[DIM_MOST];
    size_t n = s->alone != NULL && s->dim <= WHOLE_MATRIX ? ROWS : 5;
    normals(x, n * s->dim, 11);
    for (int inverse = 0; inverse < 2; inverse++) {
        apply(s->t, both[inverse], x, y, n, positions);
        for (size_t r = 0; r < n; r++) {
            widen(want, x + r * s->dim, s->dim);
            widen(got, y + r * s->dim, s->dim);
            ref(s, inverse, want, positions[r]);
            shift_of(s, inverse, zero, positions[r]);
            within(s, inverse ? "fast inverse" : "fast forward", distance(want, got, s->dim),
                   float_budget(s) * condition(s) * (norm(want, s->dim) + norm(zero, s->dim)));
        }
    }
    return true;
}

/* There and back, back and there, in float and in double. */
static bool round_trip(const subject *s)
{
    float x[ROWS * DIM_MOST], y[ROWS * DIM_MOST];
    double a[DIM_MOST], b[DIM_MOST], zero[DIM_MOST];
    double kappa = condition(s);
    size_t places = s->dim <= WHOLE_MATRIX ? places_of(s) : 1;
    normals(x, ROWS * s->dim, 12);
    for (int first = 0; first < 2; first++) {
        apply(s->t, both[first], x, y, ROWS, positions);
        apply(s->t, both[1 - first], y, y, ROWS, positions);
        for (size_t r = 0; r < ROWS; r++) {
            widen(a, x + r * s->dim, s->dim);
            widen(b, y + r * s->dim, s->dim);
            double size = norm(a, s->dim);
            for (int inverse = 0; inverse < 2; inverse++) {
                shift_of(s, inverse, zero, positions[r]);
                size += norm(zero, s->dim);
            }
            within(s, "float round trip", distance(a, b, s->dim), 2 * kappa * float_budget(s) * size);
            if (r >= places)
                continue;
            widen(b, x + r * s->dim, s->dim);
            ref(s, first == 1, b, positions[r]);
            ref(s, first == 0, b, positions[r]);
            within(s, "double round trip", distance(a, b, s->dim), 2 * kappa * double_budget(s) * size);
        }
    }
    return true;
}

/* The explicit matrix: Q'Q = I where flagged, seen to be violated where not. */
static bool orthogonality(const subject *s)
{
    size_t n = s->alone != NULL && s->dim <= WHOLE_MATRIX ? s->dim : s->dim < COLUMNS ? s->dim : COLUMNS;
    double *q = calloc(n * s->dim, sizeof *q), most = 0;
    assert_non_null(q);
    for (size_t p = 0; p < places_of(s); p++) {
        for (size_t j = 0; j < n; j++) {
            double unit[DIM_MOST] = {0};
            unit[j * (s->dim - 1) / (n > 1 ? n - 1 : 1)] = 1.0;
            linear_part(s, false, unit, q + j * s->dim, positions[p]);
        }
        for (size_t a = 0; a < n; a++)
            for (size_t b = a; b < n; b++)
                most = fmax(most, fabs(dot(q + a * s->dim, q + b * s->dim, s->dim) - (a == b ? 1.0 : 0.0)));
    }
    free(q);
    if (flagged(s, GYRE_ORTHOGONAL))
        within(s, "Q'Q - I", most, double_budget(s));
    else if (s->plain && !flagged(s, GYRE_LEARNABLE) && !(most > 1e-3)) /* what is learned may start at an orthogonal one */
        broken(s, "is not flagged orthogonal and Q'Q - I is %.3g", most);
    return flagged(s, GYRE_ORTHOGONAL) || (s->plain && !flagged(s, GYRE_LEARNABLE));
}

/* Norms and inner products, in float; those in double follow from the matrix. */
static bool products_kept(const subject *s)
{
    float x[2 * DIM_MOST], y[2 * DIM_MOST], zeros[2 * DIM_MOST] = {0}, shift[2 * DIM_MOST];
    double a[2 * DIM_MOST], b[2 * DIM_MOST];
    const int32_t at[2] = {positions[3], positions[3]};
    if (!flagged(s, GYRE_ORTHOGONAL))
        return false;
    normals(x, 2 * s->dim, 13);
    apply(s->t, gyre_transform_forward, x, y, 2, at);
    apply(s->t, gyre_transform_forward, zeros, shift, 2, at);
    widen(a, x, 2 * s->dim);
    for (size_t i = 0; i < 2 * s->dim; i++)
        b[i] = (double)y[i] - (double)shift[i];
    double sizes = norm(a, s->dim) * norm(a + s->dim, s->dim);
    double slack = 1 + norm(b, s->dim) / norm(a, s->dim) * (flagged(s, GYRE_LINEAR) ? 0 : norm(a, s->dim)); /* of the shift's own rounding */
    within(s, "a norm", fabs(norm(b, s->dim) - norm(a, s->dim)), slack * float_budget(s) * norm(a, s->dim));
    within(s, "an inner product", fabs(dot(b, b + s->dim, s->dim) - dot(a, a + s->dim, s->dim)), 2 * slack * float_budget(s) * sizes);
    return true;
}

/* T(ax + by) = a Tx + b Ty of the linear part, both ways; T 0 is 0 exactly where flagged, and not where not. */
static bool linearity(const subject *s)
{
    double x[DIM_MOST], y[DIM_MOST], z[DIM_MOST], tx[DIM_MOST], ty[DIM_MOST], tz[DIM_MOST], zero[DIM_MOST] = {0};
    const double a = 1.75, b = -0.3;
    row_of(x, s->dim, 14);
    row_of(y, s->dim, 15);
    for (size_t i = 0; i < s->dim; i++)
        z[i] = a * x[i] + b * y[i];
    for (size_t p = 0; p < (s->dim <= WHOLE_MATRIX ? places_of(s) : 1); p++)
        for (int inverse = 0; inverse < 2; inverse++) {
            linear_part(s, inverse, x, tx, positions[p]);
            linear_part(s, inverse, y, ty, positions[p]);
            linear_part(s, inverse, z, tz, positions[p]);
            memset(zero, 0, sizeof zero);
            ref(s, inverse, zero, positions[p]);
            if ((flagged(s, GYRE_LINEAR) || s->plain) && (norm(zero, s->dim) == 0.0) != flagged(s, GYRE_LINEAR))
                broken(s, "flagged %slinear, and T 0 is %.3g long", flagged(s, GYRE_LINEAR) ? "" : "not ", norm(zero, s->dim));
            for (size_t i = 0; i < s->dim; i++)
                tx[i] = a * tx[i] + b * ty[i];
            within(s, "linearity", distance(tx, tz, s->dim),
                   double_budget(s) * (norm(tx, s->dim) + norm(ty, s->dim) + norm(tz, s->dim) + norm(zero, s->dim)));
        }
    return true;
}

/* <Tx, y> = <x, T'y> where the inverse is the adjoint. With the round trip, random x and y make it a test of the whole matrix at every dimension. */
static bool adjoint(const subject *s)
{
    double x[DIM_MOST], y[DIM_MOST], tx[DIM_MOST], ty[DIM_MOST];
    if (!flagged(s, GYRE_ORTHOGONAL))
        return false;
    row_of(x, s->dim, 18);
    row_of(y, s->dim, 19);
    for (size_t p = 0; p < (s->dim <= WHOLE_MATRIX ? places_of(s) : 1); p++) {
        linear_part(s, false, x, tx, positions[p]);
        linear_part(s, true, y, ty, positions[p]);
        within(s, "the adjoint", fabs(dot(tx, y, s->dim) - dot(x, ty, s->dim)), double_budget(s) * norm(x, s->dim) * norm(y, s->dim));
    }
    return true;
}

/* Rows apart by any stride, aligned or not, give the bits of packed rows; what lies around them is neither written nor taken into account. */
static bool strides(const subject *s)
{
    const float around[2] = {12345.0f, NAN};
    float x[ROWS * DIM_MOST], packed[ROWS * DIM_MOST], guarded[PAD + ROWS * (DIM_MOST + PAD)];
    void *scratch = scratch_for(s->t);
    for (size_t k = 0; k < 8; k++) {
        direction run = both[k & 1];
        size_t stride = s->dim + (k & 2 ? PAD : 1), lead = k & 4 ? 0 : 1, end = PAD + ROWS * stride;
        normals(x, ROWS * s->dim, 13);
        apply(s->t, run, x, packed, ROWS, positions);
        for (size_t i = 0; i < end; i++)
            guarded[i] = around[k >> 2];
        for (size_t r = 0; r < ROWS; r++)
            memcpy(guarded + PAD - lead + r * stride, x + r * s->dim, s->dim * sizeof *x);
        run(s->t, guarded + PAD - lead, 0, stride, positions, scratch);
        run(s->t, guarded + PAD - lead, ROWS, stride, positions, scratch);
        for (size_t r = 0; r < ROWS; r++) {
            float *row = guarded + PAD - lead + r * stride;
            if (!same_bits(row, packed + r * s->dim, s->dim))
                broken(s, "row %zu of stride %zu differs from the packed one", r, stride);
            for (size_t i = 0; i < s->dim; i++)
                row[i] = around[k >> 2];
        }
        for (size_t i = 0; i < end; i++)
            if (!same_bits(guarded + i, around + (k >> 2), 1))
                broken(s, "wrote outside its rows (stride %zu)", stride);
    }
    free(scratch);
    return true;
}

/* Rows, positions and scratch end where the interface says: what is before and behind scratch keeps its bytes, what was in it does not matter, and rows and
 * positions are blocks of their own, for the tools that see reads. */
static bool bounds(const subject *s)
{
    size_t size = gyre_transform_scratch(s->t), room = (GUARD + size + GUARD + 63) / 64 * 64;
    float x[ROWS * DIM_MOST], first[2][ROWS * DIM_MOST];
    float *rows = malloc(ROWS * s->dim * sizeof *rows);
    int32_t *at = malloc(sizeof positions);
    unsigned char *block = aligned_alloc(64, room);
    assert_true(rows != NULL && at != NULL && block != NULL);
    memcpy(at, positions, sizeof positions);
    normals(x, ROWS * s->dim, 16);
    for (size_t k = 0; k < 4; k++) {
        unsigned char before = k & 2 ? 0xff : 0x11; /* 0xff: NaN */
        memset(block, before, room);
        memcpy(rows, x, ROWS * s->dim * sizeof *x);
        both[k & 1](s->t, rows, ROWS, s->dim, at, block + GUARD);
        for (size_t i = 0; i < room; i++)
            if ((i < GUARD || i >= GUARD + size) && block[i] != before)
                broken(s, "wrote %s its %zu bytes of scratch", i < GUARD ? "before" : "beyond", size);
        if (k < 2)
            memcpy(first[k], rows, ROWS * s->dim * sizeof *x);
        else if (!same_bits(rows, first[k & 1], ROWS * s->dim))
            broken(s, "what scratch held before changed the result");
    }
    free(rows);
    free(at);
    free(block);
    return true;
}

/* Rows in any batches give the bits of all at once. */
static bool batches(const subject *s)
{
    const size_t sizes[] = {1, 2, 3, 4, 8};
    float x[ROWS * DIM_MOST], want[ROWS * DIM_MOST], got[ROWS * DIM_MOST];
    normals(x, ROWS * s->dim, 20);
    for (int d = 0; d < 2; d++) {
        apply(s->t, both[d], x, want, ROWS, positions);
        for (size_t b = 0; b < sizeof sizes / sizeof *sizes; b++) {
            for (size_t r = 0; r < ROWS; r += sizes[b])
                apply(s->t, both[d], x + r * s->dim, got + r * s->dim, r + sizes[b] < ROWS ? sizes[b] : ROWS - r, positions + r);
            if (!same_bits(got, want, ROWS * s->dim))
                broken(s, "%s in batches of %zu rows gives other bits than all at once", d ? "inverse" : "forward", sizes[b]);
        }
    }
    return true;
}

typedef struct task {
    const subject *s;
    const float *x;
    float *there, *back;
    void *scratch;
    atomic_int *waiting;
} task;

static void *transform_rows(void *argument)
{
    const task *k = argument;
    size_t dim = k->s->dim;
    (void)atomic_fetch_sub(k->waiting, 1);
    while (atomic_load(k->waiting) > 0) /* all begin together */
        (void)sched_yield();
    for (int again = 0; again < 4; again++) {
        memcpy(k->there, k->x, ROWS * dim * sizeof *k->x);
        gyre_transform_forward(k->s->t, k->there, ROWS, dim, positions, k->scratch);
        memcpy(k->back, k->x, ROWS * dim * sizeof *k->x);
        gyre_transform_inverse(k->s->t, k->back, ROWS, dim, positions, k->scratch);
    }
    return NULL;
}

/* One transform shared by threads, each with rows and scratch of its own, gives the bits of one thread. */
static bool threads(const subject *s)
{
    static float x[THREADS][ROWS * DIM_MOST], there[THREADS][ROWS * DIM_MOST], back[THREADS][ROWS * DIM_MOST], want[ROWS * DIM_MOST];
    pthread_t thread[THREADS];
    task tasks[THREADS];
    atomic_int waiting;
    atomic_init(&waiting, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        normals(x[i], ROWS * s->dim, 30 + i);
        tasks[i] = (task){s, x[i], there[i], back[i], scratch_for(s->t), &waiting};
        assert_int_equal(pthread_create(&thread[i], NULL, transform_rows, &tasks[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        free(tasks[i].scratch);
    }
    for (size_t i = 0; i < THREADS; i++)
        for (int d = 0; d < 2; d++) {
            apply(s->t, both[d], x[i], want, ROWS, positions);
            if (!same_bits(d ? back[i] : there[i], want, ROWS * s->dim))
                broken(s, "%s gives other bits in %d threads than in one", d ? "inverse" : "forward", (int)THREADS);
        }
    return true;
}

/* First row forward, of a transform built at another place or ordinal. */
static void row_at(const subject *s, const place *p, unsigned ordinal, float *y)
{
    float x[DIM_MOST];
    gyre_transform *t = make_and_fit(s, p, ordinal);
    normals(x, s->dim, 17);
    apply(t, gyre_transform_forward, x, y, 1, positions + 2);
    gyre_transform_free(t);
}

/* The same rows give the same bits, whatever was done in between, in a transform built again, and whatever the hint of positions. */
static bool repeats(const subject *s)
{
    float x[2 * DIM_MOST], y[3][2 * DIM_MOST];
    place p = s->place;
    normals(x, 2 * s->dim, 21);
    apply(s->t, gyre_transform_forward, x, y[0], 2, positions);
    apply(s->t, gyre_transform_inverse, x + s->dim, y[1], 1, positions + 4);
    apply(s->t, gyre_transform_forward, x, y[2], 2, positions);
    if (!same_bits(y[0], y[2], 2 * s->dim))
        broken(s, "the same rows gave other bits the second time");
    p.site.n_positions = 0;
    row_at(s, &p, ORDINAL, y[0]);
    normals(x, s->dim, 17);
    apply(s->t, gyre_transform_forward, x, y[1], 1, positions + 2);
    if (!same_bits(y[0], y[1], s->dim))
        broken(s, "built again, with another hint n_positions, it gives other bits");
    return true;
}

/* True for `per: head`; the house's default is `per: layer`. */
static bool per_head(const subject *s)
{
    char word[GYRE_OPTION_TEXT] = "layer";
    const gyre_option *per = gyre_option_find(s->alone->options, "per");
    if (per != NULL)
        gyre_option_print(per, &s->spec.elements[0].options, word, sizeof word);
    return strcmp(word, "head") == 0;
}

/* Two draws of few numbers may agree; and building is what costs at large dimensions. */
static bool comparable(const subject *s)
{
    return s->dim <= WHOLE_MATRIX && (s->dim >= 63 || !flagged(s, GYRE_SEEDED));
}

/* Seeded variants change with campaign, seed, layer and ordinal, and with the head just where `per: head` says; others change with none of them. */
static bool seeds(const subject *s)
{
    static const char *const axes[] = {"campaign seed", "seed index", "layer", "ordinal", "head"};
    float first[DIM_MOST], other[DIM_MOST];
    bool seeded = flagged(s, GYRE_SEEDED);
    if (!comparable(s))
        return false;
    row_at(s, &s->place, ORDINAL, first);
    for (size_t axis = 0; axis < 5; axis++) {
        place p = s->place;
        p.site.campaign_seed += axis == 0;
        p.site.seed_index += axis == 1;
        p.site.layer += axis == 2;
        p.site.head -= axis == 4;
        row_at(s, &p, axis == 3 ? ORDINAL + 1 : ORDINAL, other);
        bool want = seeded && (axis < 4 || per_head(s)), got = !same_bits(first, other, s->dim);
        if (want != got)
            broken(s, "another %s %s it", axes[axis], want ? "does not change" : "changes");
    }
    return true;
}

/* Draws of K and of V differ; what is not drawn is the same for both, but where keys are fitted to their queries. */
static bool streams(const subject *s)
{
    float keys[DIM_MOST], values[DIM_MOST];
    place p[2];
    bool seeded = flagged(s, GYRE_SEEDED);
    if (!(s->t->traits.accepts & GYRE_FRAME_VALUE) || !comparable(s) || needs(s, GYRE_NEEDS_QUERIES))
        return false;
    for (int v = 0; v < 2; v++) {
        make_place_of(&p[v], s->dim, v ? GYRE_V : GYRE_K);
        row_at(s, &p[v], ORDINAL, v ? values : keys);
    }
    if (same_bits(keys, values, s->dim) == seeded)
        broken(s, "keys and values have %s", seeded ? "the same draw" : "different transforms without a seed");
    return true;
}

/* `needs` says what it reads: without positions the pointer may be NULL, with them they matter; the same of the bias. */
static bool needs_are_true(const subject *s)
{
    float x[DIM_MOST], a[DIM_MOST], b[DIM_MOST];
    gyre_transform *t;
    gyre_error error = {0};
    place p = s->place;
    normals(x, s->dim, 17);
    for (int d = 0; d < 2; d++) {
        apply(s->t, both[d], x, a, 1, positions + 3);
        apply(s->t, both[d], x, b, 1, needs(s, GYRE_NEEDS_POSITION) ? positions + 4 : NULL);
        if (same_bits(a, b, s->dim) == needs(s, GYRE_NEEDS_POSITION))
            broken(s, "%s positions, and they %s", needs(s, GYRE_NEEDS_POSITION) ? "needs" : "does not need", same_bits(a, b, s->dim) ? "do not matter" : "do");
    }
    p.site.bias = NULL;
    if (needs(s, GYRE_NEEDS_BIAS)) {
        if (make(s, &p, ORDINAL, &t, &error) != GYRE_E_APPLICABLE || t != NULL || strstr(error.message, "bias") == NULL)
            broken(s, "without a key bias it says '%s'", error.message);
    } else if (s->dim <= WHOLE_MATRIX) {
        row_at(s, &s->place, ORDINAL, a);
        row_at(s, &p, ORDINAL, b);
        if (!same_bits(a, b, s->dim))
            broken(s, "does not need a key bias and changes with it");
    }
    return true;
}

/* Frames and folding are what the matrix allows: SAME commutes with RoPE's pairs, PRE_ROPE is nothing at position 0, CONSTANT is one matrix. */
static bool frames_are_true(const subject *s)
{
    double x[DIM_MOST], y[2][DIM_MOST];
    const gyre_traits *t = &s->t->traits;
    size_t half = s->dim / 2;
    if (!(t->accepts & GYRE_FRAME_ANY) || (t->accepts & ~(unsigned)GYRE_FRAME_ANY) || (t->becomes & (t->becomes - 1)))
        broken(s, "frames are not frames: accepts %u, becomes %u", t->accepts, t->becomes);
    row_of(x, s->dim, 22);
    for (size_t p = 0; p < 2; p++)
        linear_part(s, false, x, y[p], positions[3 + p]);
    bool moves = distance(y[0], y[1], s->dim) > 1e-6 * norm(x, s->dim);
    if (moves != (t->fold_into_query == GYRE_FOLD_PER_POSITION) && t->fold_into_query != GYRE_FOLD_NO)
        broken(s, "its matrix %s with the position, and it folds into queries: %s", moves ? "changes" : "does not change", gyre_fold_name(t->fold_into_query));
    if (t->fold_into_query == GYRE_FOLD_CONSTANT && !flagged(s, GYRE_LINEAR))
        broken(s, "is not linear and folds into queries");
    if (t->becomes == GYRE_FRAME_PRE_ROPE) {
        linear_part(s, false, x, y[0], 0);
        within(s, "the way to pre_rope at position 0", distance(x, y[0], s->dim), double_budget(s) * norm(x, s->dim));
        if (!needs(s, GYRE_NEEDS_POSITION))
            broken(s, "goes to pre_rope without positions");
    }
    if (t->becomes != GYRE_FRAME_SAME || s->dim % 2 != 0)
        return true;
    for (size_t i = 0; i < s->dim; i++) /* turn every pair by a quarter, before and after */
        y[0][i] = i < half ? -x[i + half] : x[i - half];
    linear_part(s, false, y[0], y[1], positions[2]);
    linear_part(s, false, x, y[0], positions[2]);
    for (size_t i = 0; i < half; i++) {
        double a = y[0][i];
        y[0][i] = -y[0][i + half];
        y[0][i + half] = a;
    }
    within(s, "commuting with RoPE", distance(y[0], y[1], s->dim), double_budget(s) * (norm(y[0], s->dim) + norm(x, s->dim)));
    return true;
}

/* Every refused allocation of building and of fitting is GYRE_E_MEMORY, and all the rest is given back. */
static bool memory(const subject *s)
{
    if (s->dim > WHOLE_MATRIX)
        return false;
    static float rows[FIT_ROWS * DIM_MOST];
    calibration_rows(rows, s->dim);
    gyre_fit_rows fit_rows = {.x = rows, .n = FIT_ROWS, .stride = s->dim, .queries = query_moments(s->dim, s->place.site.stream)};
    for (int fitting = 0; fitting < (s->alone != NULL && needs(s, GYRE_NEEDS_CALIBRATION) && s->alone->fit != NULL ? 2 : 1); fitting++) {
        bool was_refused = true;
        for (size_t n = 0; was_refused; n++) {
            gyre_error error = {0};
            gyre_transform *t = NULL;
            gyre_status st = GYRE_OK;
            if (fitting)
                CHECK_OK(make(s, &s->place, ORDINAL, &t, &error), &error);
            heap_watch(n);
            st = fitting ? s->alone->fit(t->state, &fit_rows, &error) : make(s, &s->place, ORDINAL, &t, &error);
            was_refused = heap.refused;
            bool nothing = t == NULL;
            gyre_transform_free(t);
            heap.watched = false;
            const char *what = fitting ? "fitting" : "building";
            if (st != (was_refused ? GYRE_E_MEMORY : GYRE_OK) || (was_refused && error.message[0] == '\0'))
                broken(s, "%s without allocation %zu gives '%s: %s'", what, n, gyre_status_name(st), error.message);
            if (!fitting && nothing != was_refused)
                broken(s, "%s without allocation %zu leaves a transform behind", what, n);
            if (heap.live != 0)
                broken(s, "%s %s allocation %zu loses %zu blocks", what, was_refused ? "without" : "with every one of", n, heap.live);
        }
    }
    return true;
}

static void finite(const subject *s, const gyre_transform *t, const char *rows)
{
    float x[ROWS * DIM_MOST], y[ROWS * DIM_MOST];
    normals(x, ROWS * s->dim, 23);
    for (int d = 0; d < 2; d++) {
        apply(t, both[d], x, y, ROWS, positions);
        for (size_t i = 0; i < ROWS * s->dim; i++)
            if (!isfinite(y[i]))
                broken(s, "fitted on %s, %s is not finite", rows, d ? "its inverse" : "it");
    }
}

/* Calibrated variants: no rows are refused, poor rows give finite results (one row may be refused too), strides are kept to, the declared pooling is `per`, and who needs queries refuses keys
 * without them. */
static bool fitting(const subject *s)
{
    static const char *const poor[] = {"rows of zeros", "constant rows", "one row"};
    static float x[FIT_ROWS * DIM_MOST], apart[FIT_ROWS * (DIM_MOST + PAD)];
    float y[DIM_MOST], want[DIM_MOST];
    gyre_error error = {0};
    gyre_transform *t;
    const double *queries = query_moments(s->dim, s->place.site.stream);
    if (!needs(s, GYRE_NEEDS_CALIBRATION))
        return false;
    if (gyre_option_find(s->alone->options, "per") != NULL && s->t->traits.pooled == per_head(s))
        broken(s, "pooled is not what `per` says");
    if (gyre_transform_stored(s->t) == 0)
        broken(s, "is fitted and stores nothing");
    if (s->alone->fit == NULL) { /* learned alone */
        if (!flagged(s, GYRE_LEARNABLE) || s->alone->learnable == NULL)
            broken(s, "needs calibration, and nothing fits or learns it");
        return true;
    }
    for (size_t k = 0; k < 3; k++) {
        CHECK_OK(make(s, &s->place, ORDINAL, &t, &error), &error);
        if (s->alone->fit(t->state, &(gyre_fit_rows){.x = x, .n = 0, .stride = s->dim, .queries = queries}, &error) != GYRE_E_INPUT || error.message[0] == '\0')
            broken(s, "fits on no rows");
        if (k == 2)
            normals(x, s->dim, 24);
        for (size_t i = 0; k < 2 && i < FIT_ROWS * s->dim; i++)
            x[i] = k == 0 ? 0.0f : 1.5f;
        gyre_status st = s->alone->fit(t->state, &(gyre_fit_rows){.x = x, .n = k == 2 ? 1 : FIT_ROWS, .stride = s->dim, .queries = queries}, &error);
        if (st != GYRE_OK && (k < 2 || st != GYRE_E_INPUT || strstr(error.message, "1 calibration row") == NULL))
            broken(s, "does not fit on %s: %s", poor[k], error.message);
        finite(s, t, poor[k]);
        gyre_transform_free(t);
    }
    calibration_rows(x, s->dim);
    for (size_t i = 0; i < FIT_ROWS * (s->dim + PAD); i++)
        apart[i] = NAN;
    for (size_t r = 0; r < FIT_ROWS; r++)
        memcpy(apart + r * (s->dim + PAD), x + r * s->dim, s->dim * sizeof *x);
    CHECK_OK(make(s, &s->place, ORDINAL, &t, &error), &error);
    if (needs(s, GYRE_NEEDS_QUERIES) && (s->alone->fit(t->state, &(gyre_fit_rows){.x = x, .n = FIT_ROWS, .stride = s->dim}, &error) != GYRE_E_INPUT || strstr(error.message, "queries") == NULL))
        broken(s, "keys are fitted without queries: '%s'", error.message);
    CHECK_OK(s->alone->fit(t->state, &(gyre_fit_rows){.x = apart, .n = FIT_ROWS, .stride = s->dim + PAD, .queries = queries}, &error), &error);
    normals(x, s->dim, 25);
    apply(t, gyre_transform_forward, x, y, 1, positions + 2);
    apply(s->t, gyre_transform_forward, x, want, 1, positions + 2);
    gyre_transform_free(t);
    if (!same_bits(y, want, s->dim))
        broken(s, "fitted on rows apart it differs from fitted on packed rows");
    return true;
}

/* A chain is its elements one after another, each built alone with its place in the chain as ordinal. */
static bool chain_is_its_elements(const subject *s)
{
    float x[ROWS * DIM_MOST], want[ROWS * DIM_MOST], got[ROWS * DIM_MOST];
    gyre_transform *elements[LINKS_MOST];
    gyre_error error;
    for (size_t i = 0; i < s->spec.count; i++)
        CHECK_OK(gyre_transform_new(s->spec.elements[i].type, &s->place.site, (unsigned)i, &s->spec.elements[i].options, &elements[i], &error), &error);
    fit_elements(elements, s->spec.count, s->dim, s->place.site.stream);
    normals(x, ROWS * s->dim, 26);
    for (int d = 0; d < 2; d++) {
        memcpy(want, x, sizeof x);
        for (size_t i = 0; i < s->spec.count; i++)
            apply(elements[d ? s->spec.count - 1 - i : i], both[d], want, want, ROWS, positions);
        apply(s->t, both[d], x, got, ROWS, positions);
        if (!same_bits(want, got, ROWS * s->dim))
            broken(s, "is not its elements one after another");
    }
    for (size_t i = 0; i < s->spec.count; i++)
        gyre_transform_free(elements[i]);
    return true;
}

typedef struct check {
    const char *column;
    bool (*run)(const subject *s);
    bool variants, chains;
} check;

static const check checks[] = {
    {"bounds", bounds, true, true}, /* first: the others trust the size of scratch */
    {"fast", fast_is_reference, true, true},
    {"trip", round_trip, true, true},
    {"matrix", orthogonality, true, true},
    {"norms", products_kept, true, true},
    {"linear", linearity, true, true},
    {"adjoint", adjoint, true, true},
    {"stride", strides, true, true},
    {"batch", batches, true, true},
    {"thread", threads, true, true},
    {"repeat", repeats, true, true},
    {"seeds", seeds, true, false},
    {"stream", streams, true, false},
    {"needs", needs_are_true, true, false},
    {"frames", frames_are_true, true, false},
    {"fit", fitting, true, false},
    {"memory", memory, true, true},
    {"parts", chain_is_its_elements, false, true},
};

/* ---- the battery and its table ---- */

enum { CHECKS = sizeof checks / sizeof *checks, VARIANTS_MOST = 128 };

typedef struct tally {
    const char *name;
    size_t built, refused, passed[CHECKS];
    double worst;
} tally;

static tally tallies[VARIANTS_MOST + 1]; /* by variant, then chains */

static void examine(const subject *s, tally *row)
{
    worst = 0;
    row->built++;
    for (size_t c = 0; c < CHECKS; c++)
        if (s->alone != NULL ? checks[c].variants : checks[c].chains)
            row->passed[c] += checks[c].run(s);
    row->worst = fmax(row->worst, worst);
}

/* A reason names the variant and something of the problem: the dimension, an option, or what the model lacks. */
static void reason_is_given(const subject *s, const char *message)
{
    char dim[24];
    (void)snprintf(dim, sizeof dim, "%zu", s->dim);
    const char *name = s->alone->name, *reason = strncmp(message, name, strlen(name)) == 0 ? message + strlen(name) : "";
    bool names = strstr(reason, dim) != NULL || strstr(reason, "rotary") != NULL || strstr(reason, "bias") != NULL;
    for (const gyre_option *o = s->alone->options; o != NULL && o->key != NULL; o++)
        names = names || strstr(reason, o->key) != NULL;
    if (!names)
        broken(s, "does not apply, but '%s' does not say why", message);
}

/* `applicable` and init agree; the reason stays in its bounds. */
static void applicable_is_true(const subject *s, gyre_status status, const char *message)
{
    char why[GYRE_WHY + GUARD];
    memset(why, '#', sizeof why);
    why[0] = '\0';
    bool says = s->alone->applicable == NULL || s->alone->applicable(&s->place.site, &s->spec.elements[0].options, why);
    if (status != (says ? GYRE_OK : GYRE_E_APPLICABLE))
        broken(s, "applicable says %s and building says '%s'", says ? "yes" : "no", message);
    for (size_t i = GYRE_WHY; i < sizeof why; i++)
        if (why[i] != '#')
            broken(s, "wrote its reason beyond GYRE_WHY bytes");
    if (status != GYRE_OK)
        reason_is_given(s, message);
}

static void battery_of_variant(void **state)
{
    static option_set sets[SETS_MOST];
    static subject s;
    tally *row = *state;
    const gyre_transform_type *type = gyre_transform_find(row->name);
    heap.watched = false; /* a variant before may have crashed under the watch */
    for (const size_t *dim = tested; *dim != 0; dim++) {
        size_t n = option_sets(type, *dim, sets);
        for (size_t i = 0; i < n; i++) {
            gyre_error error = {0};
            s = (subject){.spec = {.count = 1}, .alone = type, .plain = sets[i].plain, .dim = *dim};
            s.spec.elements[0].type = type;
            s.spec.elements[0].options = sets[i].values;
            make_place_of(&s.place, *dim, GYRE_K);
            gyre_status st = make(&s, &s.place, ORDINAL, &s.t, &error);
            if ((st == GYRE_OK) != (s.t != NULL))
                broken(&s, "building says %s and gives %s", gyre_status_name(st), s.t != NULL ? "a transform" : "none");
            applicable_is_true(&s, st, error.message);
            row->refused += st != GYRE_OK;
            if (st != GYRE_OK)
                continue;
            fit_whole(&s, s.t);
            examine(&s, row);
            gyre_transform_free(s.t);
        }
    }
    if (row->built == 0)
        fail_msg("%s was never built", row->name);
}

/* One of n, by a draw that depends on nothing else. */
static size_t pick(uint32_t index, size_t n)
{
    gyre_site site = {.campaign_seed = 20260102};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_SYNTHETIC, 0, false);
    return (size_t)(((uint64_t)gyre_random_word(&stream, index) * n) >> 32);
}

/* Random well-typed chains of two and three elements, for keys and for values. */
static void battery_of_chains(void **state)
{
    static const size_t chain_dims[] = {8, 12, 63, 64, 80, 96, 128};
    static option_set sets[SETS_MOST];
    static subject s;
    tally *row = *state;
    size_t wanted = shortened ? 40 : 300, n_types = 0, ill_typed = 0, of_stream[2] = {0};
    while (gyre_transform_types[n_types] != NULL)
        n_types++;
    for (uint32_t at = 0; row->built < wanted && at < 30000; at++) {
        gyre_error error = {0};
        char why[GYRE_WHY] = "";
        s = (subject){.dim = chain_dims[pick(16 * at, shortened ? 4 : sizeof chain_dims / sizeof *chain_dims)]};
        gyre_stream stream = pick(16 * at + 1, 2) ? GYRE_V : GYRE_K;
        size_t links = 2 + pick(16 * at + 2, 2);
        make_place_of(&s.place, s.dim, stream);
        for (uint32_t i = 0; i < links; i++) {
            const gyre_transform_type *type = gyre_transform_types[pick(16 * at + 3 + 2 * i, n_types)];
            size_t n = option_sets(type, s.dim, sets);
            CHECK_OK(gyre_chain_add(&s.spec, type, &sets[pick(16 * at + 4 + 2 * i, n)].values, &error), &error);
        }
        if (s.spec.count < 2)
            continue; /* identity adds nothing */
        if (!gyre_chain_check(&s.spec, stream, why)) {
            assert_non_null(strstr(why, "needs rows in frame"));
            ill_typed++;
            continue;
        }
        gyre_status st = make(&s, &s.place, 0, &s.t, &error);
        if (st != GYRE_OK && st != GYRE_E_APPLICABLE)
            broken(&s, "%s", error.message);
        row->refused += st != GYRE_OK;
        if (st != GYRE_OK)
            continue;
        fit_whole(&s, s.t);
        examine(&s, row);
        of_stream[stream]++;
        gyre_transform_free(s.t);
    }
    assert_int_equal(row->built, wanted);
    assert_true(ill_typed > 0 && of_stream[GYRE_K] >= wanted / 4 && of_stream[GYRE_V] >= wanted / 4);
}

static void print_table(FILE *to)
{
    (void)fprintf(to, "%-14s%7s%7s", "transform", "built", "n/a");
    for (size_t c = 0; c < CHECKS; c++)
        (void)fprintf(to, "%8s", checks[c].column);
    (void)fprintf(to, "%8s\n", "budget");
    for (const tally *row = tallies; row->name != NULL; row++) {
        (void)fprintf(to, "%-14s%7zu%7zu", row->name, row->built, row->refused);
        for (size_t c = 0; c < CHECKS; c++)
            if (row->passed[c] > 0)
                (void)fprintf(to, "%8zu", row->passed[c]);
            else
                (void)fprintf(to, "%8s", "-");
        (void)fprintf(to, "%7.0f%%\n", 100 * row->worst);
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest battery[VARIANTS_MOST + 1];
    size_t n = 0;
    battery_line line = battery_asked(argc, argv);
    shortened = line.shortened;
    tested = line.least ? least_dims : line.shortened ? short_dims : dims;
    for (size_t i = 0; gyre_transform_types[i] != NULL && n + 1 < VARIANTS_MOST; i++)
        if (battery_wants(&line, gyre_transform_types[i]->name)) {
            tallies[n].name = gyre_transform_types[i]->name;
            battery[n] = (struct CMUnitTest){.name = tallies[n].name, .test_func = battery_of_variant, .initial_state = &tallies[n]};
            n++;
        }
    if (battery_wants(&line, "chains")) {
        tallies[n].name = "chains";
        battery[n] = (struct CMUnitTest){.name = tallies[n].name, .test_func = battery_of_chains, .initial_state = &tallies[n]};
        n++;
    }
    if (!battery_knows_all(&line, "transform"))
        return 2;
    int failed = _cmocka_run_group_tests("transform battery", battery, n, NULL, NULL);
    print_table(stdout);
    FILE *table = shortened || line.n > 0 ? NULL : fopen(GYRE_BATTERY_TABLE, "w");
    if (table != NULL) {
        print_table(table);
        (void)fclose(table);
    }
    return failed != 0;
}
