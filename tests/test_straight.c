/* The straight-through tier of the uniform quantizers: the values of packing to the bit, gradients against finite differences of the rule in double, closed forms, learned clip ratios. */
#include "tests/check.h"

#include <float.h>

#include "core/options.h"
#include "quant/quantizer.h"

enum { D = 64, HEADS = 3, ROWS = 4, DIM_MOST = 256 };

/* "name:key=value,key=value" for `heads` heads of dim. */
static gyre_status try_make(const char *text, size_t dim, uint32_t heads, gyre_quantizer **q, unsigned *flags, gyre_error *error)
{
    char copy[256], why[GYRE_OPTION_TEXT];
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *options = strchr(copy, ':');
    assert_non_null(options);
    *options++ = '\0';
    const gyre_quantizer_type *type = gyre_quantizer_find(copy);
    assert_non_null(type);
    gyre_quantizer_values o = {0};
    (void)gyre_options_defaults(type->options, &o);
    for (char *pair = strtok(options, ","); pair != NULL; pair = strtok(NULL, ",")) {
        char *value = strchr(pair, '=');
        assert_non_null(value);
        *value++ = '\0';
        const gyre_option *option = gyre_option_find(type->options, pair);
        assert_non_null(option);
        if (!gyre_option_parse(option, &o, value, why))
            fail_msg("%s: %s", text, why);
    }
    *flags = gyre_quantizer_flags(type, &o);
    gyre_site site = {.dim = dim, .n_heads = heads};
    return gyre_quantizer_new(type, &site, &o, q, error);
}

static gyre_quantizer *make(const char *text, size_t dim)
{
    gyre_quantizer *q = NULL;
    gyre_error error;
    unsigned flags;
    CHECK_OK(try_make(text, dim, HEADS, &q, &flags, &error), &error);
    return q;
}

/* ---- values ---- */

enum { SHAPES = 16 };
static float hostile(int shape, size_t i, size_t d, float normal)
{
    const float sign = i % 2 ? -1.0f : 1.0f, spike = i % d == d / 2 ? 1.0f : 0.0f;
    switch (shape) {
    case 0: return normal;
    case 1: return 0.0f;
    case 2: return -0.0f;
    case 3: return 0.7f;
    case 4: return -0.7f;
    case 5: return 1e-42f * normal;
    case 6: return 1e-45f * sign;
    case 7: return 3e37f * normal;
    case 8: return FLT_MAX * sign;
    case 9: return 1000.0f * spike;
    case 10: return -spike;
    case 11: return sign;
    case 12: return 20.0f + 1e-6f * (float)(i % 5);
    case 13: return rintf(2.0f * normal) * 0.5f; /* many values in the middle of two codes */
    case 14: return 1e-7f * normal;
    default: return normal * normal * normal - 3.0f;
    }
}

/* e is decode(encode(y)) - y to the bit; what encode refuses forward refuses alike. True where it is coded. */
static bool same_values(const gyre_quantizer *q, size_t head, const float *y, size_t n)
{
    float back[ROWS * DIM_MOST], e[ROWS * DIM_MOST];
    uint8_t bytes[ROWS * DIM_MOST * 9];
    gyre_error packing = {0}, straight = {0};
    const gyre_straight *s = q->type->straight;
    float *work = malloc(n * s->work(q->state) * sizeof *work);
    assert_non_null(work);
    gyre_status st = q->type->encode(q->state, head, y, n, q->dim, bytes, &packing), own = s->forward(q->state, head, y, n, e, work, &straight);
    free(work);
    assert_int_equal(own, st);
    assert_string_equal(straight.message, packing.message);
    if (st != GYRE_OK)
        return false;
    q->type->decode(q->state, head, bytes, n, back, q->dim);
    for (size_t i = 0; i < n * q->dim; i++) {
        float want = back[i] - y[i];
        if (memcmp(&want, &e[i], sizeof want) != 0)
            fail_msg("%s: value %g: e is %.9g, packing leaves %.9g", q->type->name, (double)y[i], (double)e[i], (double)want);
    }
    return true;
}

static void values_of_packing(void **state)
{
    (void)state;
    static const char *const forms[] = {"sym:levels=symmetric", "sym:levels=full", "asym:zero=minimum", "asym:zero=integer"}, *const formats[] = {"f32", "f16", "bf16", "e8m0", "e4m3"},
                             *const roundings[] = {"half_even", "half_up", "half_away"}, *const ranges[] = {"clip=1", "clip=0.7", "search=true", "clip=0.9,learn=true"};
    static const size_t groups[] = {0, 1, 16, 32}, dims[] = {64, 96, 80};
    size_t coded = 0, refused = 0, mixed = 0;
    float y[ROWS * DIM_MOST];
    for (size_t form = 0; form < 4; form++)
        for (size_t format = 0; format < 5; format++)
            for (size_t k = 0; k < 84; k++) { /* every width with every rounding and range; the groups take turns */
                char text[160], group[32];
                size_t d = dims[k % 3], g = groups[(k / 3 + form) % 4];
                (void)snprintf(group, sizeof group, g == 0 || d % g != 0 ? "row" : "%zu", g);
                (void)snprintf(text, sizeof text, "%s,bits=%zu,scale=%s,rounding=%s,%s,group=%s", forms[form], 2 + k % 7, formats[format], roundings[k / 7 % 3], ranges[k / 21], group);
                if (form == 2 && format == 3)
                    continue; /* e8m0 has no sign */
                gyre_quantizer *q = make(text, d);
                for (int shape = 0; shape < SHAPES; shape++) {
                    normals(y, ROWS * d, 3 + (uint32_t)(k % 5));
                    for (size_t i = 0; i < ROWS * d; i++)
                        y[i] = hostile(shape, i, d, y[i]);
                    bool ok = same_values(q, k % HEADS, y, k / 21 == 2 ? 1 : ROWS); /* a search takes its time */
                    coded += ok;
                    refused += !ok;
                    mixed += shape == 0 && ok;
                }
                gyre_quantizer_free(q);
            }
    assert_int_equal(mixed, 19 * 84); /* ordinary rows are always coded */
    assert_true(coded > 20000 && refused > 500);
}

/* ---- gradients ---- */

/* A setting in numbers. */
typedef struct setting {
    const char *text;
    int form, bits, significand, least; /* form: as `forms` above; the scale has `significand` bits and quantum 2^least (0: a power of two) */
    size_t group;
    double clip;
    bool search;
} setting;

static double to_format(const setting *s, double x)
{
    if (x == 0)
        return 0;
    if (s->significand == 0) {
        double down = exp2(floor(log2(x)));
        return x >= 1.5 * down ? 2 * down : down;
    }
    double quantum = ldexp(1, (int)fmax(floor(log2(fabs(x))) + 1 - s->significand, s->least));
    return nearbyint(x / quantum) * quantum;
}

/* The rule at y0, in double: what is held constant in a group, and what the scale was there. */
typedef struct frozen {
    double ratio, scale, low, bottom, top, slack_scale, slack_low; /* slack: rounded less unrounded, passed straight through */
    double residual[D];
    int saturated[D]; /* 1 above, -1 below */
} frozen;

static double levels_of(const setting *s)
{
    double m = exp2(s->bits - 1) - 1;
    return s->form == 0 ? m : s->form == 1 ? m + 0.5 : exp2(s->bits) - 1;
}

/* Scale and value of code 0 before they are rounded. */
static void parameters(const setting *s, const double *y, double ratio, double *scale, double *low)
{
    double lo = y[0], hi = y[0];
    for (size_t i = 0; i < s->group; i++) {
        lo = fmin(lo, y[i]);
        hi = fmax(hi, y[i]);
    }
    *low = s->form == 2 ? lo + (1 - ratio) / 2 * (hi - lo) : 0;
    *scale = ratio / levels_of(s) * (s->form < 2 ? fmax(hi, -lo) : s->form == 2 ? hi - lo : fmax(hi, 0) - fmin(lo, 0));
}

/* The grid at one ratio; returns the squared error. */
static double freeze_at(const setting *s, const double *y, double ratio, frozen *f)
{
    double scale, low, m = exp2(s->bits - 1) - 1, n = exp2(s->bits) - 1, sum = 0, lo = 0;
    parameters(s, y, ratio, &scale, &low);
    f->ratio = ratio;
    f->low = to_format(s, low);
    f->scale = to_format(s, s->form == 2 ? scale + (low - f->low) / n : scale); /* the span is taken from the rounded minimum */
    f->slack_low = f->low - low;
    f->slack_scale = f->scale - scale;
    for (size_t i = 0; i < s->group; i++)
        lo = fmin(lo, y[i]);
    double zero = s->form == 3 ? fmin(nearbyint(-ratio * lo / f->scale), n) : 0;
    f->bottom = s->form == 0 ? -m : s->form == 1 ? -m - 1 : -zero;
    f->top = s->form < 2 ? m : n - zero;
    double slack = 1e-6 * (f->top - f->bottom);
    for (size_t i = 0; i < s->group; i++) {
        double t = (y[i] - f->low) / f->scale, q = nearbyint(fmin(fmax(t, f->bottom), f->top));
        f->saturated[i] = t > f->top + slack ? 1 : t < f->bottom - slack ? -1 : 0;
        f->residual[i] = q - t;
        sum += f->residual[i] * f->residual[i] * f->scale * f->scale;
    }
    return sum;
}

static void freeze(const setting *s, const double *y, double clip, frozen *f)
{
    double least = freeze_at(s, y, clip, f);
    for (int k = 1; s->search && k < 29; k++) {
        frozen tried;
        double sum = freeze_at(s, y, clip * (40 - k) / 40, &tried);
        if (sum < least)
            *f = tried;
        least = fmin(least, sum);
    }
}

/* sum g_e e(y), with what f holds: e = s r in the range, s q + low - y beyond. */
static double surrogate(const setting *s, const frozen *f, const double *y, double ratio, const float *g_e)
{
    double scale, low, sum = 0;
    parameters(s, y, ratio, &scale, &low);
    scale += f->slack_scale;
    low += f->slack_low;
    for (size_t i = 0; i < s->group; i++)
        sum += (double)g_e[i] * (f->saturated[i] == 0 ? scale * f->residual[i] : scale * (f->saturated[i] > 0 ? f->top : f->bottom) + low - y[i]);
    return sum;
}

static const setting settings[] = {
    {"sym:bits=4", 0, 4, 24, -149, D, 1, false},
    {"sym:bits=4,scale=f16,group=16", 0, 4, 11, -24, 16, 1, false},
    {"sym:bits=2,clip=0.6", 0, 2, 24, -149, D, 0.6, false},
    {"sym:bits=8,clip=0.9,scale=bf16,group=32", 0, 8, 8, -133, 32, 0.9, false},
    {"sym:bits=8,scale=e8m0", 0, 8, 0, 0, D, 1, false},
    {"sym:bits=3,scale=e4m3,group=8,clip=0.5", 0, 3, 4, -9, 8, 0.5, false},
    {"sym:bits=4,levels=full", 1, 4, 24, -149, D, 1, false},
    {"sym:bits=3,levels=full,clip=0.7,group=32", 1, 3, 24, -149, 32, 0.7, false},
    {"sym:bits=3,search=true", 0, 3, 24, -149, D, 1, true},
    {"asym:bits=4", 2, 4, 24, -149, D, 1, false},
    {"asym:bits=3,clip=0.6,group=32", 2, 3, 24, -149, 32, 0.6, false},
    {"asym:bits=4,scale=f16,clip=0.8", 2, 4, 11, -24, D, 0.8, false},
    {"asym:bits=5,scale=e4m3,group=16", 2, 5, 4, -9, 16, 1, false},
    {"asym:bits=2,search=true,group=16", 2, 2, 24, -149, 16, 1, true},
    {"asym:bits=4,zero=integer", 3, 4, 24, -149, D, 1, false},
    {"asym:bits=3,zero=integer,clip=0.6,scale=bf16,group=32", 3, 3, 8, -133, 32, 0.6, false},
    {"asym:bits=4,zero=integer,scale=e8m0,group=16", 3, 4, 0, 0, 16, 1, false},
    {"asym:bits=3,zero=integer,search=true", 3, 3, 24, -149, D, 1, true},
};

/* One group: the gradient of every coordinate by central differences, which are exact but for rounding, since the rule is piecewise linear. Adds dL/dclip. */
static void check_group(const setting *s, const float *y, const float *e, const float *g_e, const float *g_y, double *g_clip, size_t *saturated)
{
    frozen f;
    double x[D], size = 0, h = 1e-7;
    for (size_t i = 0; i < s->group; i++) {
        x[i] = (double)y[i];
        size += fabs((double)g_e[i]);
    }
    freeze(s, x, s->clip, &f);
    for (size_t i = 0; i < s->group; i++) {
        if (fabs(fabs(f.residual[i]) - 0.5) > 1e-4) /* in the middle of two levels either is right */
            CHECK_CLOSE((double)e[i], f.residual[i] * f.scale, 0, 1e-5 * f.scale + 1e-6);
        f.residual[i] = (double)e[i] / f.scale; /* as rounded to binary32 */
        *saturated += f.saturated[i] != 0;
    }
    for (size_t i = 0; i < s->group; i++) {
        double kept = x[i], up, down;
        x[i] = kept + h;
        up = surrogate(s, &f, x, f.ratio, g_e);
        x[i] = kept - h;
        down = surrogate(s, &f, x, f.ratio, g_e);
        x[i] = kept;
        double want = (up - down) / (2 * h);
        CHECK_CLOSE((double)g_y[i], want, 1e-5, 1e-7 * size);
    }
    if (!s->search)
        *g_clip += (surrogate(s, &f, x, f.ratio + h, g_e) - surrogate(s, &f, x, f.ratio - h, g_e)) / (2 * h);
}

static void finite_differences(void **state)
{
    (void)state;
    enum { N = 40 };
    float y[N * D], g_e[N * D], e[N * D], g_y[N * D];
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
        for (int offset = 0; offset < 3; offset++) {
            const setting *s = &settings[k];
            gyre_quantizer *q = make(s->text, D);
            gyre_error error;
            double clip = 5, want = 5, size = 0;
            size_t saturated = 0;
            float *work = malloc(N * q->type->straight->work(q->state) * sizeof *work);
            assert_non_null(work);
            assert_int_equal(q->type->straight->group(q->state), s->group);
            normals(y, N * D, 40 + (uint32_t)k);
            normals(g_e, N * D, 90 + (uint32_t)k);
            for (size_t i = 0; i < N * D; i++) {
                y[i] = offset == 2 ? 2.0f + 0.3f * y[i] : y[i] * (offset == 1 && i % D == 5 ? 10.0f : 1.0f); /* about 0; with an outlier; of one sign */
                g_y[i] = 0.0f;
                size += fabs((double)g_e[i]);
            }
            CHECK_OK(q->type->straight->forward(q->state, 1, y, N, e, work, &error), &error);
            q->type->straight->backward(q->state, 1, y, e, work, N, g_e, g_y, &clip);
            for (size_t at = 0; at < N * D; at += s->group)
                check_group(s, y + at, e + at, g_e + at, g_y + at, &want, &saturated);
            CHECK_CLOSE(clip, want, 1e-5, 1e-6 * size);
            assert_true(s->search ? clip == 5 : clip != 5);
            if (s->clip < 0.75 && offset == 0)
                assert_true(saturated > 0);
            free(work);
            gyre_quantizer_free(q);
        }
}

/* Twice adds twice; rows and heads stand alone. */
static void adds_up(void **state)
{
    (void)state;
    gyre_quantizer *q = make("asym:bits=3,group=16,clip=0.8", D);
    gyre_error error;
    float y[ROWS * D], g_e[ROWS * D], e[ROWS * D], once[ROWS * D] = {0}, twice[ROWS * D] = {0}, alone[ROWS * D] = {0}, work[ROWS * D];
    double clip[3] = {0};
    size_t each = q->type->straight->work(q->state);
    assert_true(each <= D);
    normals(y, ROWS * D, 1);
    normals(g_e, ROWS * D, 2);
    CHECK_OK(q->type->straight->forward(q->state, 0, y, ROWS, e, work, &error), &error);
    q->type->straight->backward(q->state, 0, y, e, work, ROWS, g_e, once, &clip[0]);
    q->type->straight->backward(q->state, 0, y, e, work, ROWS, g_e, twice, &clip[1]);
    q->type->straight->backward(q->state, 0, y, e, work, ROWS, g_e, twice, &clip[1]);
    for (size_t r = 0; r < ROWS; r++)
        q->type->straight->backward(q->state, 2, y + r * D, e + r * D, work + r * each, 1, g_e + r * D, alone + r * D, &clip[2]);
    for (size_t i = 0; i < ROWS * D; i++) {
        CHECK_CLOSE((double)twice[i], 2 * (double)once[i], 1e-6, 1e-6);
        assert_true(alone[i] == once[i]);
    }
    CHECK_CLOSE(clip[1], 2 * clip[0], 1e-12, 0);
    CHECK_CLOSE(clip[2], clip[0], 1e-12, 0);
    gyre_quantizer_free(q);
}

/* The squared error, L = |e|^2: it acts at the coordinate of largest magnitude alone, dL/dy_j* = 2 s |r|^2 sign(y_j*) / (2^(b-1) - 1). */
static void squared_error(void **state)
{
    (void)state;
    enum { N = 50 };
    float y[N * D], e[N * D], g_e[N * D], g_y[N * D];
    for (int bits = 3; bits <= 8; bits++)
        for (size_t group = D; group >= 16; group /= 2) {
            char text[64];
            gyre_error error;
            double unused = 0, m = exp2(bits - 1) - 1;
            (void)snprintf(text, sizeof text, "sym:bits=%d,group=%zu", bits, group);
            gyre_quantizer *q = make(text, D);
            float *work = malloc(N * q->type->straight->work(q->state) * sizeof *work);
            assert_non_null(work);
            normals(y, N * D, (uint32_t)bits);
            CHECK_OK(q->type->straight->forward(q->state, 0, y, N, e, work, &error), &error);
            for (size_t i = 0; i < N * D; i++) {
                g_e[i] = 2.0f * e[i];
                g_y[i] = 0.0f;
            }
            q->type->straight->backward(q->state, 0, y, e, work, N, g_e, g_y, &unused);
            for (size_t at = 0; at < N * D; at += group) {
                size_t j = at;
                double r2 = 0;
                for (size_t i = at; i < at + group; i++)
                    j = fabsf(y[i]) > fabsf(y[j]) ? i : j;
                double s = fabs((double)y[j]) / m;
                for (size_t i = at; i < at + group; i++) {
                    r2 += (double)e[i] / s * ((double)e[i] / s);
                    assert_true(i == j || g_y[i] == 0.0f);
                }
                CHECK_CLOSE((double)g_y[j], 2 * s * r2 / m * (y[j] > 0.0f ? 1 : -1), 1e-6, 0);
            }
            free(work);
            gyre_quantizer_free(q);
        }
}

/* Equal extremes: the first one moves the scale. A group of zeros has no gradient. */
static void ties_and_zeros(void **state)
{
    (void)state;
    static const char *const texts[] = {"sym:bits=4,group=8", "asym:bits=4,group=8", "asym:bits=4,group=8,zero=integer"};
    const float high[] = {2.0f, 5.5f, 5.5f}; /* so that the largest is a level of an integer zero-point too */
    for (size_t k = 0; k < 3; k++) {
        const float y[16] = {0.1f, -2.0f, 0.3f, high[k], -2.0f, high[k], 0.4f, 0.6f}; /* and eight zeros */
        gyre_quantizer *q = make(texts[k], 16);
        gyre_error error;
        float e[16], g_e[16], g_y[16] = {0}, work[64];
        double clip = 0;
        assert_true(q->type->straight->work(q->state) <= 64);
        for (size_t i = 0; i < 16; i++)
            g_e[i] = 1.0f + (float)i;
        CHECK_OK(q->type->straight->forward(q->state, 0, y, 1, e, work, &error), &error);
        q->type->straight->backward(q->state, 0, y, e, work, 1, g_e, g_y, &clip);
        for (size_t i = 0; i < 16; i++)
            assert_true((g_y[i] != 0.0f) == (i == 1 || (i == 3 && k > 0)));
        gyre_quantizer_free(q);
    }
}

/* ---- the clip ratio ---- */

enum { MANY = 1500, POINTS = 26 };

/* Mean squared error of the decoded rows, and what backward says of its derivative in c. */
static double error_at(const char *form, double c, const float *y, double *slope)
{
    char text[96];
    gyre_error error;
    (void)snprintf(text, sizeof text, "%s,clip=%.17g", form, c);
    gyre_quantizer *q = make(text, D);
    float *e = malloc(MANY * D * sizeof *e), *g_e = malloc(MANY * D * sizeof *g_e), *g_y = calloc(MANY * D, sizeof *g_y), *work = malloc(MANY * q->type->straight->work(q->state) * sizeof *work);
    double sum = 0;
    assert_true(e != NULL && g_e != NULL && g_y != NULL && work != NULL);
    CHECK_OK(q->type->straight->forward(q->state, 0, y, MANY, e, work, &error), &error);
    for (size_t i = 0; i < MANY * D; i++) {
        sum += (double)e[i] * (double)e[i];
        g_e[i] = 2.0f * e[i];
    }
    *slope = 0;
    q->type->straight->backward(q->state, 0, y, e, work, MANY, g_e, g_y, slope);
    *slope /= MANY * D;
    free(e);
    free(g_e);
    free(g_y);
    free(work);
    gyre_quantizer_free(q);
    return sum / (MANY * D);
}

/* On normal rows the rule is nearly the derivative of the true error: it is zero where the error is least, and its integral over c is the difference of the errors. It takes a residual for
 * independent of the scale, which is less true the coarser the levels: 3 bits get three times the room. */
static void slope_of_the_error(void **state)
{
    (void)state;
    static const char *const forms[] = {"sym:bits=4", "sym:bits=5", "sym:bits=4,levels=full", "asym:bits=4", "asym:bits=4,zero=integer", "sym:bits=3"};
    float *y = malloc(MANY * D * sizeof *y);
    assert_non_null(y);
    normals(y, MANY * D, 7);
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        double at[POINTS], slope[POINTS], integral = 0, least = INFINITY, best = 0, crossing = 1;
        for (size_t i = 0; i < POINTS; i++) {
            double c = 0.5 + 0.5 * (double)i / (POINTS - 1);
            at[i] = error_at(forms[k], c, y, &slope[i]);
            best = at[i] < least ? c : best;
            least = fmin(least, at[i]);
            if (i > 0)
                integral += 0.5 * (slope[i] + slope[i - 1]) * 0.5 / (POINTS - 1);
            if (i > 0 && slope[i - 1] < 0 && slope[i] >= 0)
                crossing = c;
        }
        print_message("%s: error %.4g at 0.5, %.4g at 1, integral of the slope %.4g; least at %.2f, slope 0 at %.2f\n", forms[k], at[0], at[POINTS - 1], integral, best, crossing);
        CHECK_CLOSE(integral, at[POINTS - 1] - at[0], 0, (strstr(forms[k], "bits=3") != NULL ? 0.06 : 0.02) * at[0]);
        CHECK_CLOSE(crossing, best, 0, 0.03);
    }
    free(y);
}

static void learned_ratio(void **state)
{
    (void)state;
    static const char *const names[] = {"sym", "asym"};
    float y[ROWS * D];
    uint8_t own[ROWS * D * 2], want[ROWS * D * 2];
    normals(y, ROWS * D, 77);
    for (size_t k = 0; k < 2; k++) {
        char text[96];
        gyre_quantizer *learns = NULL, *fixed = NULL;
        gyre_error error = {0};
        unsigned flags;
        (void)snprintf(text, sizeof text, "%s:bits=3,clip=0.9,learn=true", names[k]);
        CHECK_OK(try_make(text, D, HEADS, &learns, &flags, &error), &error);
        assert_true(flags & GYRE_QUANTIZER_LEARNS);
        assert_int_equal(gyre_quantizer_stored_bits(learns), 32 * HEADS);
        *learns->type->straight->clip(learns->state, 1) = 0.7;
        for (size_t h = 0; h < HEADS; h++) {
            assert_true(*learns->type->straight->clip(learns->state, h) == (h == 1 ? 0.7 : 0.9));
            (void)snprintf(text, sizeof text, "%s:bits=3,clip=%s", names[k], h == 1 ? "0.7" : "0.9");
            CHECK_OK(try_make(text, D, HEADS, &fixed, &flags, &error), &error);
            assert_false(flags & GYRE_QUANTIZER_LEARNS);
            assert_int_equal(gyre_quantizer_stored_bits(fixed), 0);
            assert_null(fixed->type->straight->clip(fixed->state, h));
            CHECK_OK(learns->type->encode(learns->state, h, y, ROWS, D, own, &error), &error);
            CHECK_OK(fixed->type->encode(fixed->state, h, y, ROWS, D, want, &error), &error);
            assert_memory_equal(own, want, ROWS * learns->type->row_bytes(learns->state));
            assert_true(same_values(learns, h, y, ROWS));
            gyre_quantizer_free(fixed);
        }
        gyre_quantizer_free(learns);
        (void)snprintf(text, sizeof text, "%s:bits=3,learn=true", names[k]);
        CHECK_OK(try_make(text, D, 0, &learns, &flags, &error), &error); /* no number of heads: one */
        assert_true(*learns->type->straight->clip(learns->state, 0) == 1.0);
        assert_int_equal(gyre_quantizer_stored_bits(learns), 32);
        gyre_quantizer_free(learns);
        (void)snprintf(text, sizeof text, "%s:bits=3,learn=true,search=true", names[k]);
        assert_int_equal(try_make(text, D, HEADS, &learns, &flags, &error), GYRE_E_APPLICABLE);
        assert_non_null(strstr(error.message, "search"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_packing), cmocka_unit_test(finite_differences), cmocka_unit_test(adds_up),       cmocka_unit_test(squared_error),
        cmocka_unit_test(ties_and_zeros),    cmocka_unit_test(slope_of_the_error), cmocka_unit_test(learned_ratio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
