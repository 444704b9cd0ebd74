/* calibrate/: gradient descent. Gradients of everything learnable under every objective against finite differences of an independent loss in double; what descent finds, and what it must not. */
#include "tests/heap.h"
#include "tests/learning.h"
#include "tests/short.h"

#include "calibrate/linear.h"

enum { MOST = LAYER_HEADS * LAYER_ROWS * LAYER_DIM, PARAMETERS = 1024 };

/* ---- the loss again, with rounding residuals held constant ---- */

/* What the straight-through rule holds constant of each value: its residual in steps within the range, its code where it saturates, its whole error under the rule `plain`. */
typedef struct held {
    double residual[MOST], code[MOST], error[MOST];
    bool saturated[MOST];
    bool close; /* to a kink: a value to the middle between two codes or the end of the range, where binary32 may decide otherwise than double; the two largest of a group */
} held;

/* Not the ends of an unclipped range themselves, where both sides have the same gradient. */
static bool is_close(double t, double place)
{
    double off = fabs(t - place);
    return off > 1e-9 && off < 2e-5;
}

typedef struct grid {
    double scale, low; /* y^ = low + scale q */
    double bottom, top; /* of q */
} grid;

static bool option_is(const gyre_codec_spec *spec, const char *key, const char *text)
{
    char own[GYRE_OPTION_TEXT];
    const gyre_option *o = gyre_option_find(spec->quantizer->options, key);
    assert_non_null(o);
    gyre_option_print(o, &spec->options, own, sizeof own);
    return strcmp(own, text) == 0;
}

static long option_int(const gyre_codec_spec *spec, const char *key)
{
    char own[GYRE_OPTION_TEXT];
    gyre_option_print(gyre_option_find(spec->quantizer->options, key), &spec->options, own, sizeof own);
    return strtol(own, NULL, 10);
}

/* The grid of one group: docs/definitions.md, "sym and asym", in exact arithmetic. */
static grid grid_of(const gyre_codec_spec *spec, const double *y, size_t n, double clip)
{
    double lo = y[0], hi = y[0], codes = (double)(1L << option_int(spec, "bits")), m = codes / 2 - 1;
    for (size_t i = 1; i < n; i++) {
        lo = fmin(lo, y[i]);
        hi = fmax(hi, y[i]);
    }
    double most = fmax(-lo, hi);
    if (strcmp(spec->quantizer->name, "sym") == 0)
        return option_is(spec, "levels", "full") ? (grid){clip * most / (m + 0.5), 0, -m - 1, m} : (grid){clip * most / m, 0, -m, m};
    assert_string_equal(spec->quantizer->name, "asym");
    if (option_is(spec, "zero", "minimum"))
        return (grid){clip * (hi - lo) / (codes - 1), lo + (1 - clip) / 2 * (hi - lo), 0, codes - 1};
    double scale = clip * (fmax(hi, 0) - fmin(lo, 0)) / (codes - 1), zero = nearbyint(-clip * fmin(lo, 0) / scale);
    return (grid){scale, 0, -zero, codes - 1 - zero};
}

static double clip_of(const sums *s, size_t head)
{
    char text[GYRE_OPTION_TEXT];
    gyre_quantizer *q = gyre_codec_quantizer(s->codec);
    double *learned = q->type->straight != NULL ? q->type->straight->clip(q->state, head) : NULL;
    if (learned != NULL)
        return *learned;
    gyre_option_print(gyre_option_find(s->spec->quantizer->options, "clip"), &s->spec->options, text, sizeof text);
    return strtod(text, NULL);
}

/* Adds the errors of one row to y, or notes what is held first. A value saturates beyond the outermost codes (docs/definitions.md). */
static void add_errors(const sums *s, size_t head, size_t at, held *h, bool note, bool plain, double *y)
{
    for (size_t first = 0; first < s->l->dim; first += s->group) {
        const grid g = grid_of(s->spec, y + first, s->group, clip_of(s, head));
        double moved[LAYER_DIM], slack = 0x1p-20 * (g.top - g.bottom);
        for (size_t i = 0; i < s->group; i++) {
            double t = (y[first + i] - g.low) / g.scale, q = nearbyint(fmin(fmax(t, g.bottom), g.top));
            size_t k = at + first + i;
            if (note) {
                h->saturated[k] = t > g.top + slack || t < g.bottom - slack;
                h->close = h->close || is_close(fabs(q - t), 0.5) || is_close(t, g.top) || is_close(t, g.bottom);
                h->residual[k] = q - t;
                h->code[k] = q;
                h->error[k] = g.low + g.scale * q - y[first + i];
            }
            moved[i] = plain ? y[first + i] + h->error[k] : h->saturated[k] ? g.low + g.scale * h->code[k] : y[first + i] + g.scale * h->residual[k];
        }
        memcpy(y + first, moved, s->group * sizeof *moved);
    }
}

/* Are the two largest magnitudes of a group, or the two largest or least values, nearly the same? Then a step of finite differences may cross over. */
static bool close_extremes(const double *y, size_t n)
{
    size_t most[3] = {0};
    for (size_t i = 1; i < n; i++) {
        most[0] = fabs(y[i]) > fabs(y[most[0]]) ? i : most[0];
        most[1] = y[i] > y[most[1]] ? i : most[1];
        most[2] = y[i] < y[most[2]] ? i : most[2];
    }
    double least = 2e-5 * fabs(y[most[0]]);
    for (size_t i = 0; i < n; i++)
        if ((i != most[0] && fabs(y[most[0]]) - fabs(y[i]) < least) || (i != most[1] && y[most[1]] - y[i] < least) || (i != most[2] && y[i] - y[most[2]] < least))
            return true;
    return false;
}

/* Rows through the chain, the quantizer and back. */
static double loss_of(sums *s, const gyre_fit_spec *fit, held *held_values, bool note)
{
    size_t d = s->l->dim, n = rows_of_head(s);
    bool quantizes = fit->objective->flags & GYRE_OBJECTIVE_QUANTIZES;
    for (size_t h = s->first; h < s->last; h++) {
        gyre_transform *chain = gyre_codec_chain(s->codec, 0, h);
        for (size_t i = 0; i < n; i++) {
            double x[LAYER_DIM], row[LAYER_DIM];
            codec_order(s, model_row(s, s->stream, h, i), x);
            memcpy(row, x, sizeof row);
            for (size_t e = 0; e < gyre_chain_count(chain); e++)
                gyre_chain_element(chain, e)->type->forward_ref(gyre_chain_element(chain, e)->state, row, s->rows->pos[i]);
            memcpy(y_of(s, h, i), row, d * sizeof *row);
            for (size_t first = 0; note && first < d; first += s->group)
                held_values->close = held_values->close || close_extremes(row + first, s->group);
            if (!quantizes)
                continue;
            add_errors(s, h, (size_t)(y_of(s, h, i) - s->y), held_values, note, fit->own.rule == GYRE_RULE_PLAIN, row);
            for (size_t e = gyre_chain_count(chain); e-- > 0;)
                gyre_chain_element(chain, e)->type->inverse_ref(gyre_chain_element(chain, e)->state, row, s->rows->pos[i]);
            for (size_t j = 0; j < d; j++)
                error_of(s, h, i)[j] = row[j] - x[j];
        }
    }
    return reference_of(fit->objective->name)(s);
}

/* ---- one gradient ---- */

/* A codec that learns, moved away from its start by some steps, and the reference beside it. */
typedef struct subject {
    layer l;
    gyre_codec_spec spec;
    gyre_fit_spec fit;
    gyre_codec *codec;
    gyre_stream stream;
    gyre_descent *descent;
    size_t count; /* parameters */
    double theta[PARAMETERS];
    sums s;
    held held_values;
    double error[MOST], y[MOST];
} subject;

/* Parameters into every head that learns together, as gyre_calibrate sets stored ones. */
static void set_all(subject *b, const double *theta)
{
    gyre_error error;
    gyre_quantizer *q = gyre_codec_quantizer(b->codec);
    for (size_t h = b->s.first; h < b->s.last; h++) {
        gyre_transform *chain = gyre_codec_chain(b->codec, 0, h);
        size_t at = 0;
        for (size_t i = 0; i < gyre_chain_count(chain); i++) {
            gyre_transform *t = gyre_chain_element(chain, i);
            size_t count;
            if (!(t->traits.flags & GYRE_LEARNABLE))
                continue;
            double *own = t->type->learnable->parameters(t->state, &count);
            memcpy(own, theta + at, count * sizeof *own);
            CHECK_OK(t->type->learnable->update(t->state, &error), &error);
            at += count;
        }
        if (at < b->count)
            *q->type->straight->clip(q->state, h) = theta[at];
    }
}

/* Moves every parameter a little, at random; those on a manifold then go back to it. */
static void disturb(subject *b, uint32_t noise_id)
{
    gyre_transform *chain = gyre_codec_chain(b->codec, 0, b->s.first);
    float noise[PARAMETERS];
    normals(noise, PARAMETERS, noise_id);
    gyre_descent_get(b->descent, b->theta);
    for (size_t i = 0; i < b->count; i++)
        b->theta[i] += 0.1 * (double)noise[i];
    set_all(b, b->theta);
    for (size_t i = 0; i < gyre_chain_count(chain); i++) {
        gyre_transform *t = gyre_chain_element(chain, i);
        if ((t->traits.flags & GYRE_LEARNABLE) && t->type->learnable->gauge != NULL)
            t->type->learnable->gauge(t->state);
    }
    gyre_descent_get(b->descent, b->theta);
    set_all(b, b->theta);
}

/* False, with the reason, where these do not go together. */
static bool subject_make(subject *b, const gyre_codec_spec *spec, const gyre_fit_spec *fit, size_t dim, gyre_stream stream, char why[GYRE_WHY])
{
    gyre_error error;
    memset(b, 0, sizeof *b);
    layer_make(&b->l, dim, GYRE_ROPE_NORMAL, 0);
    b->spec = *spec;
    b->fit = *fit;
    b->stream = stream;
    gyre_codec_stream wanted = {&b->spec, b->l.sites[stream]};
    if (!gyre_chain_check(&b->spec.chain, stream, why) || !gyre_codec_applies(&wanted, 1, why) || !gyre_fit_check(&b->spec, &b->fit, stream, why))
        return false;
    b->fit.own = (gyre_fit_options){.steps = 3, .restarts = 1, .draws = 1, .every = 1, .keep = GYRE_KEEP_LAST, .rule = fit->own.rule};
    CHECK_OK(gyre_calibrate(&wanted, 1, &b->fit, &b->l.data, NULL, NULL, &b->codec, NULL, &error), &error);
    gyre_tail *tail;
    CHECK_OK(gyre_tail_new(b->codec, 0, 0, 1, &tail, &error), &error);
    size_t last = gyre_tail_pooled(tail) ? LAYER_HEADS : 2, first = gyre_tail_pooled(tail) ? 0 : 1;
    gyre_tail_free(tail);
    CHECK_OK(gyre_descent_new(b->codec, &wanted, 0, first, last, &b->fit, &b->l.data, &b->descent, &error), &error);
    b->count = gyre_descent_count(b->descent);
    assert_true(b->count > 0 && b->count <= PARAMETERS);
    const gyre_straight *straight = gyre_codec_quantizer(b->codec)->type->straight;
    b->s = (sums){.l = &b->l, .rows = &b->l.data.rows, .spec = &b->spec, .codec = b->codec, .stream = stream, .first = first, .last = last,
                  .group = straight != NULL ? straight->group(gyre_codec_quantizer(b->codec)->state) : dim, .options = &b->fit.objective_options, .error = b->error, .y = b->y};
    for (uint32_t id = 50; id < 60; id++) { /* again where a decision is too close */
        disturb(b, id);
        b->held_values.close = false;
        (void)loss_of(&b->s, &b->fit, &b->held_values, true);
        if (!b->held_values.close)
            return true;
    }
    fail_msg("no start without a close decision");
    return true;
}

static void subject_free(subject *b)
{
    gyre_descent_free(b->descent);
    gyre_codec_free(b->codec);
}

/* Slope of the reference along parameter i. */
static double slope(subject *b, size_t i)
{
    const double step = 1e-6;
    double moved[PARAMETERS], value[2];
    memcpy(moved, b->theta, sizeof moved);
    for (int side = 0; side < 2; side++) {
        moved[i] = b->theta[i] + (side == 0 ? step : -step);
        set_all(b, moved);
        value[side] = loss_of(&b->s, &b->fit, &b->held_values, false);
    }
    set_all(b, b->theta);
    return (value[0] - value[1]) / (2 * step);
}

typedef struct outcome {
    double value, reference, off, size; /* of the gradient: distance to the finite differences, and their length */
} outcome;

static outcome compare(subject *b)
{
    gyre_error error;
    double gradient[PARAMETERS];
    outcome o = {0};
    CHECK_OK(gyre_descent_gradient(b->descent, &o.value, gradient, &error), &error);
    o.reference = loss_of(&b->s, &b->fit, &b->held_values, true);
    for (size_t i = 0; i < b->count; i++) {
        double own = slope(b, i);
        o.off += (gradient[i] - own) * (gradient[i] - own);
        o.size += own * own;
    }
    o.off = sqrt(o.off);
    o.size = sqrt(o.size);
    return o;
}

/* ---- everything learnable under every objective ---- */

typedef struct tally {
    size_t checked, skipped;
    double worst;
    char worst_name[GYRE_CODEC_TEXT], last_why[GYRE_WHY];
} tally;

/* Sets options of a transform that say what learns; false where it cannot learn. */
static bool learning(const gyre_transform_type *type, bool per_head, gyre_option_values *values)
{
    memset(values, 0, sizeof *values);
    if (!gyre_options_defaults(type->options, values))
        return false;
    if (gyre_option_find(type->options, "learn") != NULL)
        set_option(type->options, values, "learn", "true");
    if (gyre_option_find(type->options, "per") != NULL)
        set_option(type->options, values, "per", per_head ? "head" : "layer");
    else if (per_head)
        return false;
    return gyre_transform_traits(type, values).flags & GYRE_LEARNABLE;
}

static void add_values(gyre_codec_spec *spec, const gyre_transform_type *type, const gyre_option_values *values)
{
    gyre_error error;
    CHECK_OK(gyre_chain_add(&spec->chain, type, values, &error), &error);
}

static const char *const shapes[] = {"X", "srht X", "X hadamard", "unrope X", "unrope centre scale X", "X signs scale", "scale X", "X X", "X signs hadamard", "smooth X scale", "wush X", "unrope wush X hadamard"};

/* The chain of a shape with X in its place; learned scales share X's scope. */
static void shape_chain(gyre_codec_spec *spec, const char *shape, const gyre_transform_type *type, const gyre_option_values *values, bool per_head)
{
    char text[64];
    bool behind = false;
    (void)snprintf(text, sizeof text, "%s", shape);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        gyre_option_values own;
        if (strcmp(word, "X") == 0)
            add_values(spec, type, values);
        else if (strcmp(word, "scale") == 0 && behind && learning(gyre_transform_find("scale"), per_head, &own))
            add_values(spec, gyre_transform_find("scale"), &own);
        else if (strcmp(word, "srht") == 0) { /* add_element reads text by strtok too */
            gyre_codec_spec alias = *spec;
            gyre_error error;
            for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL; a++)
                if (strcmp(a->name, word) == 0)
                    CHECK_OK(gyre_chain_add_alias(&alias.chain, a, &error), &error);
            *spec = alias;
        } else {
            const gyre_transform_type *other = gyre_transform_find(word);
            memset(&own, 0, sizeof own);
            (void)gyre_options_defaults(other->options, &own);
            add_values(spec, other, &own);
        }
        behind = behind || strcmp(word, "X") == 0;
    }
}

/* Quantizers in turn; those that learn only under objectives that see it. */
static void shape_quantizer(gyre_codec_spec *spec, const gyre_objective_type *objective, size_t turn, const char *half)
{
    bool sees_clip = objective->flags & GYRE_OBJECTIVE_QUANTIZES;
    switch (turn % 4) {
    case 0:
        set_quantizer(spec, "sym", "4");
        break;
    case 1:
        set_quantizer(spec, "sym", "3");
        set_option(spec->quantizer->options, &spec->options, "group", half);
        set_option(spec->quantizer->options, &spec->options, "levels", "full");
        set_option(spec->quantizer->options, &spec->options, "clip", "0.9"); /* at 1 the least value of a group lies on the middle between two codes, and float decides */
        break;
    case 2:
        set_quantizer(spec, "asym", "3");
        set_option(spec->quantizer->options, &spec->options, "group", half);
        break;
    default:
        set_quantizer(spec, "asym", "4");
        set_option(spec->quantizer->options, &spec->options, "zero", "integer");
    }
    if (turn % 3 != 1 || !sees_clip)
        return;
    set_option(spec->quantizer->options, &spec->options, "clip", "0.8");
    set_option(spec->quantizer->options, &spec->options, "learn", "true");
}

/* The gradient is allowed 2e-4 of its length: rows are float32. Where it vanishes but for rounding (an objective that no longer depends on the parameters), a share of the value. */
static void check_one(tally *t, const gyre_codec_spec *spec, const gyre_fit_spec *fit, size_t dim, gyre_stream stream)
{
    static subject b;
    char name[GYRE_CODEC_TEXT], chain[GYRE_CODEC_TEXT];
    if (!subject_make(&b, spec, fit, dim, stream, t->last_why)) {
        t->skipped++;
        return;
    }
    outcome o = compare(&b);
    double relative = o.off / (o.size + 5e-3 * fabs(o.reference));
    gyre_codec_canonical(spec, chain, sizeof chain);
    (void)snprintf(name, sizeof name, "%.40s of %s, d = %zu: %.4000s", fit->objective->name, stream == GYRE_K ? "keys" : "values", dim, chain);
    if (!(fabs(o.value - o.reference) <= 1e-4 * fabs(o.reference)))
        fail_msg("%s: the value is %.9g, the definition gives %.9g", name, o.value, o.reference);
    if (!(relative < 2e-4))
        fail_msg("%s: the gradient is off by %.3g; finite differences have length %.3g, the value is %.3g", name, o.off, o.size, o.reference);
    if (relative > t->worst) {
        t->worst = relative;
        (void)snprintf(t->worst_name, sizeof t->worst_name, "%.4000s", name);
    }
    t->checked++;
    subject_free(&b);
}

/* All chains, scopes and streams of one learnable transform and one objective; few: a third of the chains, others for values than for keys. */
static void check_pair(tally *t, const gyre_transform_type *type, const gyre_objective_type *objective, bool few)
{
    for (unsigned stream = 0; stream < 2; stream++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            for (int per_head = 0; per_head < 2; per_head++) {
                gyre_codec_spec spec = {0};
                gyre_fit_spec fit;
                gyre_option_values values;
                size_t dim = k == 0 && per_head == 0 ? 16 : 8;
                if (!(objective->flags & (stream == GYRE_K ? GYRE_OBJECTIVE_OF_K : GYRE_OBJECTIVE_OF_V)) || !learning(type, per_head, &values) || (few && (k + stream) % 3 != 0))
                    continue;
                gyre_fit_defaults(&fit);
                set_objective(&fit, objective);
                shape_quantizer(&spec, objective, k + (size_t)per_head, dim == 16 ? "8" : "4");
                shape_chain(&spec, shapes[k], type, &values, per_head);
                check_one(t, &spec, &fit, dim, (gyre_stream)stream);
            }
}

/* Every word that an option of the transform may have, one at a time. */
static void check_words(tally *t, const gyre_transform_type *type, const gyre_objective_type *objective)
{
    for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++)
        for (size_t i = 0; o->type == GYRE_OPTION_CHOICE && o->choices[i] != NULL; i++) {
            gyre_codec_spec spec = {0};
            gyre_fit_spec fit;
            gyre_option_values values;
            if (strcmp(o->key, "per") == 0 || strcmp(o->choices[i], o->fallback) == 0 || !learning(type, false, &values))
                continue;
            set_option(type->options, &values, o->key, o->choices[i]);
            gyre_fit_defaults(&fit);
            set_objective(&fit, objective);
            shape_quantizer(&spec, objective, i, "4");
            shape_chain(&spec, "srht X", type, &values, false);
            check_one(t, &spec, &fit, 8, objective->flags & GYRE_OBJECTIVE_OF_K ? GYRE_K : GYRE_V);
        }
}

static void gradients_are_finite_differences(void **state)
{
    tally all = {0};
    size_t learnable = 0;
    for (const gyre_transform_type *const *x = gyre_transform_types; *x != NULL; x++) {
        gyre_option_values values;
        if (!learning(*x, false, &values) && !learning(*x, true, &values))
            continue;
        learnable++;
        for (const gyre_objective_type *const *o = gyre_objective_types; *o != NULL; o++) {
            tally own = {0};
            check_pair(&own, *x, *o, *state != NULL);
            check_words(&own, *x, *o);
            if (own.checked == 0)
                fail_msg("%s under %s was never checked: %s", (*x)->name, (*o)->name, own.last_why);
            all.checked += own.checked;
            all.skipped += own.skipped;
            if (own.worst > all.worst)
                all = (tally){.checked = all.checked, .skipped = all.skipped, .worst = own.worst}, memcpy(all.worst_name, own.worst_name, sizeof all.worst_name);
        }
    }
    print_message("%zu learnable transforms, %zu gradients, %zu combinations that do not go together; largest error %.2e: %s\n", learnable, all.checked, all.skipped, all.worst, all.worst_name);
    assert_true(learnable >= 8);
}

/* With the whole error held constant an orthogonal matrix learns nothing from mse: its gradient vanishes (the straight-through trap). With the scale differentiable it does not. */
static void plain_rule_learns_nothing(void **state)
{
    (void)state;
    static subject b;
    size_t rotations = 0;
    char why[GYRE_WHY];
    for (const gyre_transform_type *const *x = gyre_transform_types; *x != NULL; x++) {
        gyre_option_values values;
        double length[2] = {0};
        if (!learning(*x, false, &values) || !(gyre_transform_traits(*x, &values).flags & GYRE_ORTHOGONAL))
            continue;
        for (int rule = GYRE_RULE_SCALE; rule <= GYRE_RULE_PLAIN; rule++) {
            gyre_error error;
            double gradient[PARAMETERS], value;
            gyre_codec_spec spec = {0};
            gyre_fit_spec fit;
            gyre_fit_defaults(&fit);
            fit.own.rule = rule;
            set_quantizer(&spec, "sym", "4");
            add_values(&spec, *x, &values);
            assert_true(subject_make(&b, &spec, &fit, 8, GYRE_V, why));
            CHECK_OK(gyre_descent_gradient(b.descent, &value, gradient, &error), &error);
            length[rule] = sqrt(square_of(gradient, b.count)) / value;
            subject_free(&b);
        }
        if (!(length[GYRE_RULE_PLAIN] < 1e-5 && length[GYRE_RULE_SCALE] > 1e-2))
            fail_msg("%s: the gradient of mse over its value is %.3g by the plain rule, %.3g with a differentiable scale", (*x)->name, length[GYRE_RULE_PLAIN], length[GYRE_RULE_SCALE]);
        rotations++;
    }
    assert_true(rotations >= 3);
}

/* The plain rule's gradient is that of its own loss where something is learned: scales, which it drives. */
static void plain_rule_is_its_own_loss(void **state)
{
    (void)state;
    for (const char *const *name = (const char *const[]){"mse", "softmax_kl", NULL}; *name != NULL; name++) {
        tally t = {0};
        gyre_codec_spec spec = {0};
        gyre_fit_spec fit;
        gyre_option_values values;
        gyre_fit_defaults(&fit);
        set_objective(&fit, gyre_objective_find(*name));
        fit.own.rule = GYRE_RULE_PLAIN;
        set_quantizer(&spec, "sym", "4");
        assert_true(learning(gyre_transform_find("scale"), false, &values));
        add_element(&spec, "unrope", NULL);
        add_values(&spec, gyre_transform_find("scale"), &values);
        add_element(&spec, "hadamard", NULL);
        check_one(&t, &spec, &fit, 8, GYRE_K);
        assert_int_equal(t.checked, 1);
    }
}

/* ---- descent itself ---- */

enum { SHEET_DIM = 8, SHEET_TOKENS = 256, SHEET_MOST = 5 * SHEET_TOKENS };

/* Values of a layer without queries: two calibration documents and `validation` of validation, of SHEET_TOKENS each. */
typedef struct sheet {
    gyre_site sites[LAYER_HEADS];
    float x[LAYER_HEADS][SHEET_MOST * SHEET_DIM];
    int32_t pos[SHEET_MOST];
    const float *heads[2][LAYER_HEADS];
    gyre_calibration data;
} sheet;

static void sheet_make(sheet *s, size_t heads, size_t validation, uint32_t seed)
{
    memset(s, 0, sizeof *s);
    for (int32_t i = 0; i < SHEET_MOST; i++)
        s->pos[i] = i % SHEET_TOKENS;
    for (uint32_t h = 0; h < heads; h++) {
        s->sites[h] = (gyre_site){.dim = SHEET_DIM, .stream = GYRE_V, .layer = 1, .head = h, .n_heads = (uint32_t)heads, .seed_index = seed};
        normals(s->x[h], SHEET_MOST * SHEET_DIM, 1000 + 10 * seed + h);
        s->heads[0][h] = s->x[h];
        s->heads[1][h] = s->x[h] + 2 * SHEET_TOKENS * SHEET_DIM;
    }
    s->data = (gyre_calibration){.n_heads = heads, .dim = SHEET_DIM, .group = 1, .score_scale = 1,
                                 .rows = {.documents = 2, .tokens = SHEET_TOKENS, .x = {NULL, s->heads[0]}, .pos = s->pos},
                                 .validation = {.documents = validation, .tokens = SHEET_TOKENS, .x = {NULL, s->heads[1]}, .pos = s->pos}};
}

/* Uneven channels: something to learn. */
static void sheet_uneven(sheet *s)
{
    for (size_t h = 0; h < s->data.n_heads; h++)
        for (size_t i = 0; i < SHEET_MOST * SHEET_DIM; i++)
            s->x[h][i] = s->x[h][i] * (i % SHEET_DIM == 2 ? 5.0f : 1.0f) + (i % SHEET_DIM == 5 ? s->x[h][i - 3] : 0.0f);
}

static gyre_fit_spec fit_of(const char *objective, const char *optimiser, const char *rate, int64_t steps)
{
    gyre_fit_spec fit;
    gyre_fit_defaults(&fit);
    set_objective(&fit, gyre_objective_find(objective));
    set_optimiser(&fit, optimiser, rate);
    fit.own.steps = steps;
    fit.own.batch = 256;
    return fit;
}

static gyre_status calibrate(const sheet *s, const gyre_codec_spec *spec, const gyre_fit_spec *fit, const gyre_fits *fitted, gyre_codec **codec, gyre_fits *fits, gyre_error *error)
{
    gyre_codec_stream stream = {spec, s->sites};
    char why[GYRE_WHY];
    if (!gyre_fit_check(spec, fit, GYRE_V, why))
        fail_msg("%s", why);
    return gyre_calibrate(&stream, 1, fit, &s->data, fitted, NULL, codec, fits, error);
}

/* The packed bytes of a document of every head, and what they decode to. */
static void code(const sheet *s, const gyre_codec *codec, size_t first, size_t tokens, uint8_t *bytes, size_t *size, float *const *back)
{
    gyre_error error;
    const float *x[LAYER_HEADS];
    void *scratch = aligned_alloc(64, gyre_codec_scratch(codec, tokens));
    assert_non_null(scratch);
    for (size_t h = 0; h < s->data.n_heads; h++)
        x[h] = s->x[h] + first * SHEET_DIM;
    CHECK_OK(gyre_codec_encode(codec, x, tokens, s->pos, bytes, size, scratch, &error), &error);
    CHECK_OK(gyre_codec_decode(codec, bytes, *size, tokens, s->pos, back, scratch, &error), &error);
    free(scratch);
}

/* Root mean square distance of |M R| from the nearest permutation matrix; R's columns are those of a Haar matrix, M the chain of head 0. */
static double distance(const gyre_codec *codec, const double *r)
{
    enum { D = SHEET_DIM };
    double m[D * D], sum = 0;
    bool taken[D] = {false};
    gyre_transform *chain = gyre_codec_chain((gyre_codec *)(uintptr_t)codec, 0, 0);
    for (size_t j = 0; j < D; j++) {
        double column[D];
        for (size_t i = 0; i < D; i++)
            column[i] = r[i * D + j];
        for (size_t e = 0; e < gyre_chain_count(chain); e++)
            gyre_chain_element(chain, e)->type->forward_ref(gyre_chain_element(chain, e)->state, column, 0);
        for (size_t i = 0; i < D; i++)
            m[i * D + j] = fabs(column[i]);
    }
    for (size_t i = 0; i < D; i++) {
        size_t most = 0;
        for (size_t j = 0; j < D; j++)
            most = m[i * D + j] > m[i * D + most] ? j : most;
        if (taken[most])
            return 1;
        taken[most] = true;
        for (size_t j = 0; j < D; j++)
            sum += (m[i * D + j] - (j == most ? 1.0 : 0.0)) * (m[i * D + j] - (j == most ? 1.0 : 0.0));
    }
    return sqrt(sum / (D * D));
}

/* Rows are random corners of the cube under a planted Haar rotation: the learned rotation finds it, up to the order and the signs of the coordinates. */
static void planted_rotation(void **state)
{
    (void)state;
    enum { D = SHEET_DIM };
    static sheet s;
    static const char *const objectives[] = {"kurtosis", "pnorm", "absmax", NULL}, *const elements[][2] = {{"expm", "noise=0.5"}, {"cayley", "noise=0.5"}, {"stiefel", "start=haar,rate=0.3"}};
    gyre_error error;
    double r[D * D];
    sheet_make(&s, 1, 0, 0);
    gyre_transform *haar;
    CHECK_OK(gyre_transform_new(gyre_transform_find("haar"), &s.sites[0], 9, &(gyre_option_values){0}, &haar, &error), &error);
    for (size_t j = 0; j < D; j++) {
        double column[D] = {0};
        column[j] = 1;
        haar->type->forward_ref(haar->state, column, 0);
        for (size_t i = 0; i < D; i++)
            r[i * D + j] = column[i];
    }
    gyre_transform_free(haar);
    for (size_t t = 0; t < SHEET_MOST; t++) {
        double x[D] = {0};
        for (size_t j = 0; j < D * D; j++)
            x[j / D] += r[j] * (s.x[0][t * D + j % D] < 0 ? -1.0 : 1.0);
        for (size_t i = 0; i < D; i++)
            s.x[0][t * D + i] = (float)x[i];
    }
    for (size_t e = 0; e < sizeof elements / sizeof *elements; e++)
        for (const char *const *o = objectives; *o != NULL; o++) {
            gyre_codec *codec;
            gyre_codec_spec spec = {0};
            gyre_fit_spec fit = fit_of(*o, "adam", "0.05", 400);
            fit.own.restarts = 6;
            set_quantizer(&spec, "sym", "4");
            add_element(&spec, elements[e][0], elements[e][1]);
            CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, NULL, &error), &error);
            double off = distance(codec, r);
            print_message("%s, %s: |M R| is %.4f from a permutation\n", elements[e][0], *o, off);
            if (!(off < 0.02))
                fail_msg("%s by %s: |M R| is %.4f from a permutation", elements[e][0], *o, off);
            gyre_codec_free(codec);
        }
}

/* nmse of held-out rows through a whole codec. */
static double held_out(const sheet *s, const gyre_codec *codec)
{
    static uint8_t bytes[SHEET_MOST * SHEET_DIM * 8];
    static float back[LAYER_HEADS][SHEET_MOST * SHEET_DIM];
    float *y[LAYER_HEADS] = {back[0], back[1]};
    size_t size, first = 2 * SHEET_TOKENS;
    double lost = 0, energy = 0;
    for (size_t doc = 2; doc < SHEET_MOST / SHEET_TOKENS; doc++) {
        code(s, codec, doc * SHEET_TOKENS, SHEET_TOKENS, bytes, &size, y);
        for (size_t i = 0; i < SHEET_TOKENS * SHEET_DIM; i++) {
            double x = (double)s->x[0][(first + (doc - 2) * SHEET_TOKENS) * SHEET_DIM + i], off = (double)back[0][i] - x;
            lost += off * off;
            energy += x * x;
        }
    }
    return lost / energy;
}

/* Isotropic normal rows: every rotation gives the same, and no scale helps. Learning finds a gain on its own 512 rows and none on others: over 8 seeds the 95 % interval of the logarithm of the ratio
 * of held-out nmse against the identity does not lie below 0. */
static void nothing_in_isotropic_rows(void **state)
{
    (void)state;
    enum { SEEDS = 8 };
    static const char *const chains[][2] = {{"expm", NULL}, {"householder", "learn=true"}, {"scale", "learn=true"}};
    static sheet s;
    const double quantile = 2.364624; /* of Student's t with 7 degrees of freedom, 0.975 */
    for (size_t c = 0; c < sizeof chains / sizeof *chains; c++) {
        double log_ratio[SEEDS], mean = 0, variance = 0;
        for (uint32_t seed = 0; seed < SEEDS; seed++) {
            gyre_error error;
            gyre_codec *codec;
            gyre_fits fits;
            gyre_codec_spec spec = {0}, identity = {0};
            gyre_fit_spec fit = fit_of("mse", "adam", "0.02", 150);
            fit.own.batch = 0;
            sheet_make(&s, 1, 0, 100 + seed);
            set_quantizer(&spec, "sym", "3");
            set_quantizer(&identity, "sym", "3");
            add_element(&spec, chains[c][0], chains[c][1]);
            CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits, &error), &error);
            assert_true(fits.items[0].end[0] < fits.items[0].start[0]); /* it did learn something of its rows */
            gyre_fits_free(&fits);
            log_ratio[seed] = log(held_out(&s, codec));
            gyre_codec_free(codec);
            CHECK_OK(calibrate(&s, &identity, &fit, NULL, &codec, NULL, &error), &error);
            log_ratio[seed] -= log(held_out(&s, codec));
            gyre_codec_free(codec);
            mean += log_ratio[seed] / SEEDS;
        }
        for (size_t i = 0; i < SEEDS; i++)
            variance += (log_ratio[i] - mean) * (log_ratio[i] - mean) / (SEEDS - 1);
        double half = quantile * sqrt(variance / SEEDS);
        print_message("%s: held-out ratio %.4f, [%.4f, %.4f]\n", chains[c][0], exp(mean), exp(mean - half), exp(mean + half));
        assert_true(mean + half >= 0);
    }
}

/* ---- single steps ---- */

/* Value, gradient and parameters of a descent that has not begun. */
static size_t beginning(const sheet *s, const gyre_codec_spec *spec, const gyre_fit_spec *fit, double *value, double *gradient, double *theta)
{
    gyre_error error;
    gyre_codec *codec;
    gyre_descent *d;
    gyre_codec_stream stream = {spec, s->sites};
    CHECK_OK(gyre_codec_new(&stream, 1, s->data.n_heads, &codec, &error), &error);
    CHECK_OK(gyre_descent_new(codec, &stream, 0, 0, s->data.n_heads, fit, &s->data, &d, &error), &error);
    size_t count = gyre_descent_count(d);
    gyre_descent_get(d, theta);
    CHECK_OK(gyre_descent_gradient(d, value, gradient, &error), &error);
    gyre_descent_free(d);
    gyre_codec_free(codec);
    return count;
}

/* One step on all rows: sgd moves by -rate g, adam by -rate sign(g); the second step of sgd under cosine by half the rate and what momentum keeps of the first. */
static void first_steps(void **state)
{
    (void)state;
    static sheet s;
    gyre_error error;
    sheet_make(&s, 2, 0, 3);
    sheet_uneven(&s);
    for (int adam = 0; adam < 2; adam++) {
        double value, gradient[PARAMETERS], theta[PARAMETERS];
        gyre_codec *codec;
        gyre_fits fits;
        gyre_codec_spec spec = {0};
        gyre_fit_spec fit = fit_of("kurtosis", adam ? "adam" : "sgd", "0.001", 1);
        fit.own.batch = 0;
        set_quantizer(&spec, "sym", "4");
        add_element(&spec, "cayley", "noise=0.3");
        size_t count = beginning(&s, &spec, &fit, &value, gradient, theta);
        CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits, &error), &error);
        assert_int_equal(fits.count, 1);
        assert_int_equal(fits.items[0].n_parameters, count);
        CHECK_CLOSE(fits.items[0].start[0], value, 1e-12, 0);
        assert_true(isnan(fits.items[0].start[1]));
        for (size_t i = 0; i < count; i++)
            CHECK_CLOSE((double)fits.items[0].parameters[i], theta[i] - 0.001 * (adam ? (gradient[i] > 0 ? 1 : -1) : gradient[i]), 1e-6, 2e-8);
        assert_true(fits.items[0].end[0] < value);
        gyre_fits_free(&fits);
        gyre_codec_free(codec);
    }
    double value, gradient[2][PARAMETERS], theta[PARAMETERS];
    gyre_codec *codec;
    gyre_fits fits;
    gyre_codec_spec spec = {0};
    gyre_fit_spec fit = fit_of("kurtosis", "sgd", "0.05", 2);
    fit.own.batch = 0;
    set_option(fit.optimiser->options, &fit.optimiser_options, "momentum", "0.7");
    set_quantizer(&spec, "sym", "4");
    add_element(&spec, "cayley", "noise=0.3");
    size_t count = beginning(&s, &spec, &fit, &value, gradient[0], theta);
    gyre_codec_stream stream = {&spec, s.sites};
    gyre_descent *d;
    CHECK_OK(gyre_codec_new(&stream, 1, 2, &codec, &error), &error);
    CHECK_OK(gyre_descent_new(codec, &stream, 0, 0, 2, &fit, &s.data, &d, &error), &error);
    for (size_t i = 0; i < count; i++)
        theta[i] -= 0.05 * gradient[0][i];
    CHECK_OK(gyre_descent_set(d, theta, &error), &error);
    CHECK_OK(gyre_descent_gradient(d, &value, gradient[1], &error), &error);
    gyre_descent_free(d);
    gyre_codec_free(codec);
    CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits, &error), &error);
    for (size_t i = 0; i < count; i++)
        CHECK_CLOSE((double)fits.items[0].parameters[i], theta[i] - 0.5 * 0.05 * (0.7 * gradient[0][i] + gradient[1][i]), 1e-6, 2e-8);
    gyre_fits_free(&fits);
    gyre_codec_free(codec);
}

/* The rows of a step are those of docs/random.md: purpose 9, shared by the layer, uniform number i for row i, head by head in equal shares. */
static void batches(void **state)
{
    (void)state;
    enum { BATCH = 48, N = 2 * SHEET_TOKENS };
    static sheet s, drawn;
    gyre_error error;
    double value, gradient[PARAMETERS], theta[PARAMETERS];
    gyre_codec *codec;
    gyre_fits fits;
    gyre_codec_spec spec = {0};
    gyre_fit_spec fit = fit_of("kurtosis", "sgd", "0.01", 1);
    sheet_make(&s, 2, 0, 4);
    sheet_uneven(&s);
    fit.own.batch = BATCH;
    set_quantizer(&spec, "sym", "4");
    add_element(&spec, "cayley", "noise=0.3");
    CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits, &error), &error);
    drawn = s;
    gyre_random stream = gyre_random_stream(&s.sites[0], (gyre_purpose)9, 0, false);
    for (uint32_t i = 0; i < BATCH; i++) {
        size_t h = i / (BATCH / 2), at = (size_t)(gyre_random_uniform(&stream, i) * N);
        memcpy(drawn.x[h] + i % (BATCH / 2) * SHEET_DIM, s.x[h] + at * SHEET_DIM, SHEET_DIM * sizeof(float));
    }
    for (size_t h = 0; h < 2; h++)
        drawn.heads[0][h] = drawn.x[h];
    drawn.data.rows = (gyre_rows){.documents = 1, .tokens = BATCH / 2, .x = {NULL, drawn.heads[0]}, .pos = drawn.pos};
    size_t count = beginning(&drawn, &spec, &fit, &value, gradient, theta);
    for (size_t i = 0; i < count; i++)
        CHECK_CLOSE((double)fits.items[0].parameters[i], theta[i] - 0.01 * gradient[i], 1e-6, 2e-8);
    gyre_fits_free(&fits);
    gyre_codec_free(codec);
}

/* ---- what is kept, and when it ends ---- */

/* Learns a scale and a rotation and the clip ratio, far too fast, so that validation worsens. */
static gyre_codec_spec busy_spec(bool per_head)
{
    gyre_codec_spec spec = {0};
    set_quantizer(&spec, "sym", "3");
    set_option(spec.quantizer->options, &spec.options, "learn", "true");
    add_element(&spec, "srht", NULL);
    add_element(&spec, "expm", per_head ? "per=head" : NULL);
    add_element(&spec, "scale", per_head ? "learn=true,per=head" : "learn=true");
    return spec;
}

static void best_last_and_patience(void **state)
{
    (void)state;
    static sheet s;
    gyre_error error;
    gyre_codec *codec;
    gyre_fits fits[4];
    gyre_codec_spec spec = busy_spec(false);
    sheet_make(&s, 2, 1, 6);
    sheet_uneven(&s);
    for (int k = 0; k < 4; k++) {
        gyre_fit_spec fit = fit_of("mse", "adam", "0.3", 43);
        fit.own.schedule = GYRE_SCHEDULE_CONSTANT;
        fit.own.every = k >= 2 ? 1 : 4;
        fit.own.keep = k == 1 || k == 3 ? GYRE_KEEP_LAST : GYRE_KEEP_BEST;
        fit.own.patience = k >= 2 ? 3 : 0;
        CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits[k], &error), &error);
        gyre_codec_free(codec);
    }
    const gyre_fit *best = fits[0].items, *last = fits[1].items, *patient = fits[2].items;
    size_t least = 0;
    assert_int_equal(best->n_points, 12); /* 0, 4, ..., 40 and the last */
    assert_int_equal(best->point_step[11], 43);
    for (size_t i = 0; i < best->n_points; i++) {
        least = best->point[1][i] < best->point[1][least] ? i : least;
        assert_true(best->point[1][i] == last->point[1][i] && best->point[0][i] == last->point[0][i]);
    }
    assert_int_equal(best->step, best->point_step[least]);
    assert_true(best->step < 43);
    assert_int_equal(last->step, 43);
    CHECK_CLOSE(best->end[1], best->point[1][least], 1e-4, 0); /* parameters are rounded to float32 at the end */
    CHECK_CLOSE(last->end[1], last->point[1][11], 1e-4, 0);
    CHECK_CLOSE(best->start[0], best->point[0][0], 0, 0);
    size_t since = 0;
    double value = (double)INFINITY;
    for (size_t i = 0; i < patient->n_points; i++) {
        assert_true(since < 3);
        since = patient->point[1][i] < value ? 0 : since + 1;
        value = fmin(value, patient->point[1][i]);
    }
    assert_int_equal(since, 3);
    assert_true(patient->n_points < 44);
    const gyre_fit *stopped = fits[3].items; /* keep: last ends at the same point, and stays there */
    assert_int_equal(stopped->n_points, patient->n_points);
    assert_int_equal(stopped->step, patient->point_step[patient->n_points - 1]);
    assert_true(patient->step < stopped->step);
    for (int k = 0; k < 4; k++)
        gyre_fits_free(&fits[k]);
}

/* Restarts: each starts elsewhere; of each head the one with the least validation value is kept, and the same fit comes out when that start is taken alone. */
static void restarts(void **state)
{
    (void)state;
    enum { STARTS = 3 };
    static sheet s;
    gyre_error error;
    gyre_codec *codec;
    gyre_fits fits;
    gyre_codec_spec spec = {0};
    gyre_fit_spec fit = fit_of("mse", "adam", "0.02", 20);
    sheet_make(&s, 2, 1, 8);
    sheet_uneven(&s);
    set_quantizer(&spec, "sym", "3");
    add_element(&spec, "expm", "noise=0.4,per=head");
    fit.own.restarts = STARTS;
    CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits, &error), &error);
    gyre_codec_free(codec);
    assert_int_equal(fits.count, 2);
    for (size_t h = 0; h < 2; h++) {
        gyre_fit alone[STARTS];
        size_t least = 0;
        for (uint32_t r = 0; r < STARTS; r++) {
            gyre_descent *d;
            gyre_site sites[2] = {s.sites[0], s.sites[1]};
            sites[0].restart = sites[1].restart = r;
            gyre_codec_stream stream = {&spec, sites};
            CHECK_OK(gyre_codec_new(&stream, 1, 2, &codec, &error), &error);
            CHECK_OK(gyre_descent_new(codec, &stream, 0, h, h + 1, &fit, &s.data, &d, &error), &error);
            CHECK_OK(gyre_descent_run(d, NULL, &alone[r], &error), &error);
            gyre_descent_free(d);
            gyre_codec_free(codec);
            least = alone[r].end[1] < alone[least].end[1] ? r : least;
            assert_true(r == 0 || alone[r].start[0] != alone[0].start[0]);
        }
        const gyre_fit *kept = &fits.items[h];
        assert_int_equal(kept->restart, least);
        assert_int_equal(kept->head, h);
        assert_int_equal(kept->freedom, SHEET_DIM * (SHEET_DIM - 1) / 2);
        assert_true(kept->end[1] == alone[least].end[1]);
        assert_memory_equal(kept->parameters, alone[least].parameters, kept->n_parameters * sizeof(float));
        gyre_fits own = {.count = STARTS, .items = calloc(STARTS, sizeof *own.items)};
        assert_non_null(own.items);
        memcpy(own.items, alone, sizeof alone);
        gyre_fits_free(&own);
    }
    gyre_fits_free(&fits);
}

/* Twice the same: bit for bit. Stored parameters set again: the same bytes, and the same rows back. Together and per head, with restarts. */
static void again_and_stored(void **state)
{
    (void)state;
    static sheet s;
    static uint8_t bytes[3][SHEET_MOST * SHEET_DIM];
    static float back[3][LAYER_HEADS][SHEET_TOKENS * SHEET_DIM];
    sheet_make(&s, 2, 1, 9);
    sheet_uneven(&s);
    for (int per_head = 0; per_head < 2; per_head++) {
        gyre_error error;
        gyre_codec *codec[3];
        gyre_fits fits[2];
        size_t size[3];
        gyre_codec_spec spec = busy_spec(per_head);
        gyre_fit_spec fit = fit_of("mse", "adam", "0.02", 15);
        fit.own.restarts = 2;
        for (int k = 0; k < 3; k++) {
            CHECK_OK(calibrate(&s, &spec, &fit, k == 2 ? &fits[0] : NULL, &codec[k], k == 2 ? NULL : &fits[k], &error), &error);
            float *y[LAYER_HEADS] = {back[k][0], back[k][1]};
            code(&s, codec[k], 2 * SHEET_TOKENS, SHEET_TOKENS, bytes[k], &size[k], y);
            assert_int_equal(size[k], size[0]);
            assert_memory_equal(bytes[k], bytes[0], size[0]);
            assert_memory_equal(back[k], back[0], sizeof back[0]);
        }
        assert_int_equal(fits[0].count, per_head ? 2 : 1);
        for (size_t i = 0; i < fits[0].count; i++) {
            const gyre_fit *a = &fits[0].items[i], *b = &fits[1].items[i];
            assert_true(a->n_parameters == b->n_parameters && a->n_points == b->n_points && a->step == b->step && a->restart == b->restart);
            assert_memory_equal(a->parameters, b->parameters, a->n_parameters * sizeof(float));
            assert_memory_equal(a->point[1], b->point[1], a->n_points * sizeof(double));
            assert_memory_equal(a->end, b->end, sizeof a->end);
        }
        fits[1].items[0].n_parameters--;
        gyre_codec *none;
        assert_int_equal(calibrate(&s, &spec, &fit, &fits[1], &none, NULL, &error), GYRE_E_INPUT);
        assert_non_null(strstr(error.message, "parameters"));
        assert_null(none);
        for (int k = 0; k < 3; k++)
            gyre_codec_free(codec[k]);
        gyre_fits_free(&fits[0]);
        gyre_fits_free(&fits[1]);
    }
}

/* A rate that is far too large ends with the step where it went wrong, a batch that the set does not have and a stop with what they are. */
static void refusals(void **state)
{
    (void)state;
    static sheet s;
    gyre_error error;
    gyre_codec *codec;
    gyre_codec_spec spec = {0};
    volatile sig_atomic_t stop = 1;
    sheet_make(&s, 2, 0, 11);
    sheet_uneven(&s);
    set_quantizer(&spec, "sym", "4");
    add_element(&spec, "scale", "learn=true");
    gyre_fit_spec fit = fit_of("mse", "sgd", "1e6", 30);
    fit.own.rule = GYRE_RULE_PLAIN;
    assert_int_equal(calibrate(&s, &spec, &fit, NULL, &codec, NULL, &error), GYRE_E_RANGE);
    assert_null(codec);
    assert_non_null(strstr(error.message, "at step "));
    assert_non_null(strstr(error.message, "of 30"));
    fit = fit_of("mse", "adam", "0.01", 30);
    fit.own.batch = 2 * 2 * SHEET_TOKENS + 1;
    assert_int_equal(calibrate(&s, &spec, &fit, NULL, &codec, NULL, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "fit.batch asks for 1025 rows"));
    fit.own.batch = 2 * 2 * SHEET_TOKENS;
    fit.own.tokens = 100;
    assert_int_equal(calibrate(&s, &spec, &fit, NULL, &codec, NULL, &error), GYRE_E_INPUT);
    fit.own.batch = 1;
    assert_int_equal(calibrate(&s, &spec, &fit, NULL, &codec, NULL, &error), GYRE_E_INPUT);
    fit.own.batch = 64;
    fit.own.steps = ((int64_t)1 << 26) + 1; /* times 64: a step more than there are numbers */
    assert_int_equal(calibrate(&s, &spec, &fit, NULL, &codec, NULL, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "2^32 numbers"));
    fit.own.steps = 30;
    gyre_codec_stream stream = {&spec, s.sites};
    assert_int_equal(gyre_calibrate(&stream, 1, &fit, &s.data, NULL, &stop, &codec, NULL, &error), GYRE_E_INTERRUPTED);
    assert_non_null(strstr(error.message, "step 1 of 30"));
    assert_null(codec);
}

/* Under the plain rule nothing reaches the clip ratio. */
static void plain_clip_is_refused(void **state)
{
    (void)state;
    char why[GYRE_WHY] = "";
    gyre_codec_spec spec = busy_spec(false);
    gyre_fit_spec fit = fit_of("mse", "adam", "0.01", 2);
    assert_true(gyre_fit_check(&spec, &fit, GYRE_V, why));
    fit.own.rule = GYRE_RULE_PLAIN;
    assert_false(gyre_fit_check(&spec, &fit, GYRE_V, why));
    assert_non_null(strstr(why, "clip ratio"));
}

/* Every allocation of a calibration refused in turn: GYRE_E_MEMORY, no codec, no fits, and nothing is left behind. What is asked for does not depend on the number of steps. */
static void refuse_each(const sheet *s, const gyre_codec_spec *spec, gyre_fit_spec *fit, const gyre_fits *fitted)
{
    size_t asked[2];
    for (size_t k = 0; k < 2; k++) {
        for (size_t n = 0, more = 1; more; n++) {
            gyre_error error = {0};
            gyre_codec *codec = NULL;
            gyre_fits fits = {0};
            heap_watch(k == 0 ? n : SIZE_MAX);
            gyre_status st = calibrate(s, spec, fit, fitted, &codec, &fits, &error);
            size_t live = heap.live;
            more = heap.refused;
            asked[k] = k == 0 ? n : SIZE_MAX - heap.until;
            heap.watched = false;
            assert_int_equal(st, more ? GYRE_E_MEMORY : GYRE_OK);
            if (more && (live > 0 || codec != NULL || fits.items != NULL))
                fail_msg("allocation %zu refused: %zu blocks stay", n, live);
            gyre_codec_free(codec);
            gyre_fits_free(&fits);
        }
        fit->own.steps += 5;
    }
    assert_true(asked[0] > 50 && asked[1] == asked[0]);
}

static void memory_may_be_refused(void **state)
{
    (void)state;
    static sheet s;
    gyre_error error;
    sheet_make(&s, 2, 1, 12);
    sheet_uneven(&s);
    for (int per_head = 0; per_head < 2; per_head++) {
        gyre_codec *codec;
        gyre_fits fits;
        gyre_codec_spec spec = busy_spec(per_head);
        gyre_fit_spec fit = fit_of("mse", "adam", "0.01", 1);
        fit.own.every = 100;
        fit.own.restarts = 2;
        fit.own.batch = 64;
        refuse_each(&s, &spec, &fit, NULL);
        CHECK_OK(calibrate(&s, &spec, &fit, NULL, &codec, &fits, &error), &error);
        gyre_codec_free(codec);
        refuse_each(&s, &spec, &fit, &fits);
        gyre_fits_free(&fits);
    }
    gyre_codec_spec drawn = {0};
    gyre_fit_spec fit = fit_of("mse", "adam", "0.01", 1);
    set_quantizer(&drawn, "sym", "4");
    add_element(&drawn, "signs", NULL);
    add_element(&drawn, "pca", NULL);
    fit.own.draws = 2;
    refuse_each(&s, &drawn, &fit, NULL);
}

int main(int argc, char **argv)
{
    bool few = asked_short(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(gradients_are_finite_differences, few ? &few : NULL),
        cmocka_unit_test(plain_rule_learns_nothing),
        cmocka_unit_test(plain_rule_is_its_own_loss),
        cmocka_unit_test(planted_rotation),
        cmocka_unit_test(nothing_in_isotropic_rows),
        cmocka_unit_test(first_steps),
        cmocka_unit_test(batches),
        cmocka_unit_test(best_last_and_patience),
        cmocka_unit_test(restarts),
        cmocka_unit_test(again_and_stored),
        cmocka_unit_test(refusals),
        cmocka_unit_test(plain_clip_is_refused),
        cmocka_unit_test(memory_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
