/* calibrate/: gradient descent. Gradients of everything learnable under every objective against finite differences of an independent loss in double; what descent finds, and what it must not. */
#include "tests/learning.h"

#include "calibrate/linear.h"

enum { MOST = LAYER_HEADS * LAYER_ROWS * LAYER_DIM, PARAMETERS = 1024 };

/* ---- the loss again, with rounding residuals held constant ---- */

/* What the straight-through rule holds constant of each value: its residual in steps within the range, its code where it saturates, its whole error under the rule `plain`. */
typedef struct held {
    double residual[MOST], code[MOST], error[MOST];
    bool saturated[MOST];
} held;

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

/* Adds the errors of one row to y, or notes what is held first. */
static void add_errors(const sums *s, size_t head, size_t at, held *h, bool note, bool plain, double *y)
{
    for (size_t first = 0; first < s->l->dim; first += s->group) {
        const grid g = grid_of(s->spec, y + first, s->group, clip_of(s, head));
        double moved[LAYER_DIM];
        for (size_t i = 0; i < s->group; i++) {
            double t = (y[first + i] - g.low) / g.scale, q = nearbyint(fmin(fmax(t, g.bottom), g.top));
            size_t k = at + first + i;
            if (note) {
                h->saturated[k] = t > g.top || t < g.bottom;
                h->residual[k] = q - t;
                h->code[k] = q;
                h->error[k] = g.low + g.scale * q - y[first + i];
            }
            moved[i] = plain ? y[first + i] + h->error[k] : h->saturated[k] ? g.low + g.scale * h->code[k] : y[first + i] + g.scale * h->residual[k];
        }
        memcpy(y + first, moved, s->group * sizeof *moved);
    }
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
    size_t count, dense; /* parameters; the place of a parameter that is a d x d matrix on a manifold, or SIZE_MAX */
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

/* Moves every parameter of an ordinary element a little, at random; elements on a manifold stay where their own steps brought them. */
static void disturb(subject *b)
{
    gyre_transform *chain = gyre_codec_chain(b->codec, 0, b->s.first);
    float noise[PARAMETERS];
    size_t at = 0;
    normals(noise, PARAMETERS, 50);
    b->dense = SIZE_MAX;
    gyre_descent_get(b->descent, b->theta);
    for (size_t i = 0; i < gyre_chain_count(chain); i++) {
        gyre_transform *t = gyre_chain_element(chain, i);
        size_t count;
        if (!(t->traits.flags & GYRE_LEARNABLE))
            continue;
        (void)t->type->learnable->parameters(t->state, &count);
        if (t->type->learnable->descend != NULL)
            b->dense = at;
        for (size_t j = 0; j < count && t->type->learnable->descend == NULL; j++)
            b->theta[at + j] += 0.1 * (double)noise[at + j];
        at += count;
    }
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
    disturb(b);
    return true;
}

static void subject_free(subject *b)
{
    gyre_descent_free(b->descent);
    gyre_codec_free(b->codec);
}

/* Slope of the reference along a direction. */
static double slope(subject *b, const double *direction)
{
    const double step = 1e-5;
    double moved[PARAMETERS], value[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < b->count; i++)
            moved[i] = b->theta[i] + (side == 0 ? step : -step) * direction[i];
        set_all(b, moved);
        value[side] = loss_of(&b->s, &b->fit, &b->held_values, false);
    }
    set_all(b, b->theta);
    return (value[0] - value[1]) / (2 * step);
}

/* Directions that are checked: every parameter by itself; of a d x d matrix Q on a manifold E Q with E = e_i e_j' - e_j e_i', the directions that it can move in. */
static size_t directions(const subject *b)
{
    size_t d = b->l.dim;
    return b->dense == SIZE_MAX ? b->count : b->count - d * d + d * (d - 1) / 2;
}

static void direction_of(const subject *b, size_t index, double *out)
{
    size_t d = b->l.dim, first = b->dense;
    memset(out, 0, b->count * sizeof *out);
    if (first == SIZE_MAX || index < first) {
        out[index] = 1;
        return;
    }
    if (index >= first + d * (d - 1) / 2) {
        out[index + d * d - d * (d - 1) / 2] = 1;
        return;
    }
    size_t i = 1, k = index - first;
    for (; k >= i; i++)
        k -= i;
    for (size_t j = 0; j < d; j++) {
        out[first + i * d + j] = b->theta[first + k * d + j];
        out[first + k * d + j] = -b->theta[first + i * d + j];
    }
}

typedef struct outcome {
    double value, reference, off, size; /* of the gradient: distance to the finite differences, and their length */
} outcome;

static outcome compare(subject *b)
{
    gyre_error error;
    double gradient[PARAMETERS], direction[PARAMETERS];
    outcome o = {0};
    CHECK_OK(gyre_descent_gradient(b->descent, &o.value, gradient, &error), &error);
    o.reference = loss_of(&b->s, &b->fit, &b->held_values, true);
    for (size_t k = 0; k < directions(b); k++) {
        double along = 0;
        direction_of(b, k, direction);
        for (size_t i = 0; i < b->count; i++)
            along += direction[i] * gradient[i];
        double own = slope(b, direction);
        o.off += (along - own) * (along - own);
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

static const char *const shapes[] = {"X", "srht X", "X hadamard", "unrope X", "unrope centre scale X", "X signs scale", "scale X", "X X"};

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

/* The gradient is allowed 2e-3 of its length: rows are float32. Where it vanishes but for rounding (an objective that no longer depends on the parameters), a share of the value. */
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
    if (!(relative < 2e-3))
        fail_msg("%s: the gradient is off by %.3g; finite differences have length %.3g, the value is %.3g", name, o.off, o.size, o.reference);
    if (relative > t->worst) {
        t->worst = relative;
        (void)snprintf(t->worst_name, sizeof t->worst_name, "%.4000s", name);
    }
    t->checked++;
    subject_free(&b);
}

/* All chains, scopes and streams of one learnable transform and one objective. */
static void check_pair(tally *t, const gyre_transform_type *type, const gyre_objective_type *objective)
{
    for (unsigned stream = 0; stream < 2; stream++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            for (int per_head = 0; per_head < 2; per_head++) {
                gyre_codec_spec spec = {0};
                gyre_fit_spec fit;
                gyre_option_values values;
                size_t dim = k == 0 && per_head == 0 ? 16 : 8;
                if (!(objective->flags & (stream == GYRE_K ? GYRE_OBJECTIVE_OF_K : GYRE_OBJECTIVE_OF_V)) || !learning(type, per_head, &values))
                    continue;
                gyre_fit_defaults(&fit);
                set_objective(&fit, objective);
                shape_quantizer(&spec, objective, k + (size_t)per_head, dim == 16 ? "8" : "4");
                shape_chain(&spec, shapes[k], type, &values, per_head);
                check_one(t, &spec, &fit, dim, (gyre_stream)stream);
            }
}

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    tally all = {0};
    size_t learnable = 0;
    for (const gyre_transform_type *const *x = gyre_transform_types; *x != NULL; x++) {
        gyre_option_values values;
        if (!learning(*x, false, &values) && !learning(*x, true, &values))
            continue;
        learnable++;
        for (const gyre_objective_type *const *o = gyre_objective_types; *o != NULL; o++) {
            tally own = {0};
            check_pair(&own, *x, *o);
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
            double gradient[PARAMETERS], direction[PARAMETERS], value;
            gyre_codec_spec spec = {0};
            gyre_fit_spec fit;
            gyre_fit_defaults(&fit);
            fit.own.rule = rule;
            set_quantizer(&spec, "sym", "4");
            add_values(&spec, *x, &values);
            assert_true(subject_make(&b, &spec, &fit, 8, GYRE_V, why));
            CHECK_OK(gyre_descent_gradient(b.descent, &value, gradient, &error), &error);
            for (size_t k = 0; k < directions(&b); k++) {
                double along = 0;
                direction_of(&b, k, direction);
                for (size_t i = 0; i < b.count; i++)
                    along += direction[i] * gradient[i];
                length[rule] += along * along;
            }
            length[rule] = sqrt(length[rule]) / value;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(plain_rule_learns_nothing),
        cmocka_unit_test(plain_rule_is_its_own_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
