/* What the tests of calibration share: a small layer with documents and queries, codecs by name, and the objectives again in double, one sum after another, from their definitions. */
#ifndef GYRE_TESTS_LEARNING_H
#define GYRE_TESTS_LEARNING_H

#include "tests/check.h"

#include "calibrate/base.h"
#include "calibrate/calibrate.h"
#include "calibrate/descent.h"

enum { LAYER_HEADS = 2, LAYER_GROUP = 2, LAYER_DOCUMENTS = 2, LAYER_TOKENS = 12, LAYER_QUERIES = 4, LAYER_DIM = 16, LAYER_ROWS = LAYER_DOCUMENTS * LAYER_TOKENS };

/* Two calibration documents and one of validation; keys with uneven channels, an offset and an outlier; documents start at different positions. */
typedef struct layer {
    size_t dim;
    gyre_rope rope;
    gyre_site sites[2][LAYER_HEADS];
    float bias[LAYER_DIM];
    float x[2][LAYER_HEADS][(LAYER_DOCUMENTS + 1) * LAYER_TOKENS * LAYER_DIM]; /* [stream][head] */
    float q[(LAYER_DOCUMENTS + 1) * LAYER_HEADS * LAYER_GROUP * LAYER_QUERIES * LAYER_DIM];
    int32_t pos[(LAYER_DOCUMENTS + 1) * LAYER_TOKENS], query_pos[(LAYER_DOCUMENTS + 1) * LAYER_QUERIES];
    const float *heads[2][2][LAYER_HEADS]; /* [set][stream][head] */
    gyre_calibration data;
} layer;

static inline void layer_rows(layer *l, gyre_rows *rows, size_t set, size_t first, size_t documents)
{
    for (size_t s = 0; s < 2; s++)
        for (size_t h = 0; h < LAYER_HEADS; h++)
            l->heads[set][s][h] = l->x[s][h] + first * LAYER_TOKENS * l->dim;
    *rows = (gyre_rows){.documents = documents, .tokens = LAYER_TOKENS, .queries = LAYER_QUERIES, .x = {l->heads[set][0], l->heads[set][1]}, .pos = l->pos + first * LAYER_TOKENS,
                        .q = l->q + first * LAYER_HEADS * LAYER_GROUP * LAYER_QUERIES * l->dim, .query_pos = l->query_pos + first * LAYER_QUERIES};
}

static inline void layer_make(layer *l, size_t dim, gyre_rope_kind kind, uint32_t window)
{
    memset(l, 0, sizeof *l);
    l->dim = dim;
    l->rope = (gyre_rope){.kind = kind, .n_rot = (uint32_t)dim, .base = 10000.0f, .freq_scale = 1.0f, .attn_factor = 1.0f};
    normals(l->bias, dim, 90);
    for (uint32_t s = 0; s < 2; s++)
        for (uint32_t h = 0; h < LAYER_HEADS; h++) {
            l->sites[s][h] = (gyre_site){.dim = dim, .stream = (gyre_stream)s, .layer = 3, .head = h, .n_heads = LAYER_HEADS, .seed_index = 5, .n_positions = 64};
            l->sites[s][h].rope = s == GYRE_K ? &l->rope : NULL;
            l->sites[s][h].bias = s == GYRE_K ? l->bias : NULL;
            normals(l->x[s][h], (LAYER_DOCUMENTS + 1) * LAYER_TOKENS * dim, 10 + 2 * s + h);
            for (size_t i = 0; i < (LAYER_DOCUMENTS + 1) * LAYER_TOKENS * dim; i++)
                l->x[s][h][i] = l->x[s][h][i] * (i % dim == 3 ? 4.0f : 0.5f + 0.1f * (float)(i % dim)) + (i % dim == 1 ? 1.5f : 0.2f);
        }
    normals(l->q, sizeof l->q / sizeof *l->q, 20);
    for (int32_t doc = 0; doc <= LAYER_DOCUMENTS; doc++) {
        for (int32_t i = 0; i < LAYER_TOKENS; i++)
            l->pos[doc * LAYER_TOKENS + i] = 5 * doc + i;
        for (int32_t i = 0; i < LAYER_QUERIES; i++)
            l->query_pos[doc * LAYER_QUERIES + i] = 5 * doc + LAYER_TOKENS - 2 * LAYER_QUERIES + 2 * i; /* not all see the last keys */
    }
    l->data = (gyre_calibration){.n_heads = LAYER_HEADS, .dim = dim, .group = LAYER_GROUP, .score_scale = 0.4, .window = window};
    layer_rows(l, &l->data.rows, 0, 0, LAYER_DOCUMENTS);
    layer_rows(l, &l->data.validation, 1, LAYER_DOCUMENTS, 1);
}

/* ---- specs by name ---- */

static inline void set_option(const gyre_option *table, void *values, const char *key, const char *text)
{
    char why[GYRE_OPTION_TEXT] = "no such option";
    const gyre_option *o = gyre_option_find(table, key);
    if (o == NULL || !gyre_option_parse(o, values, text, why))
        fail_msg("%s: %s: %s", key, text, why);
}

static inline void set_quantizer(gyre_codec_spec *spec, const char *name, const char *bits)
{
    spec->quantizer = gyre_quantizer_find(name);
    assert_non_null(spec->quantizer);
    (void)gyre_options_defaults(gyre_codec_table, &spec->own);
    (void)gyre_options_defaults(spec->quantizer->options, &spec->options);
    if (bits != NULL)
        set_option(spec->quantizer->options, &spec->options, "bits", bits);
}

/* Appends "name" or an alias; "key=value,..." sets options. */
static inline void add_element(gyre_codec_spec *spec, const char *name, const char *options)
{
    gyre_error error;
    for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL; a++)
        if (strcmp(a->name, name) == 0) {
            CHECK_OK(gyre_chain_add_alias(&spec->chain, a, &error), &error);
            return;
        }
    const gyre_transform_type *type = gyre_transform_find(name);
    gyre_option_values values = {0};
    char text[256] = "";
    if (type == NULL)
        fail_msg("no transform %s", name);
    (void)gyre_options_defaults(type->options, &values);
    (void)snprintf(text, sizeof text, "%s", options != NULL ? options : "");
    for (char *pair = strtok(text, ","); pair != NULL; pair = strtok(NULL, ",")) {
        char *equals = strchr(pair, '=');
        assert_non_null(equals);
        *equals = '\0';
        set_option(type->options, &values, pair, equals + 1);
    }
    CHECK_OK(gyre_chain_add(&spec->chain, type, &values, &error), &error);
}

static inline void set_objective(gyre_fit_spec *fit, const gyre_objective_type *type)
{
    fit->objective = type;
    memset(&fit->objective_options, 0, sizeof fit->objective_options);
    (void)gyre_options_defaults(type->options, &fit->objective_options);
}

static inline void set_optimiser(gyre_fit_spec *fit, const char *name, const char *rate)
{
    fit->optimiser = gyre_optimiser_find(name);
    assert_non_null(fit->optimiser);
    memset(&fit->optimiser_options, 0, sizeof fit->optimiser_options);
    (void)gyre_options_defaults(fit->optimiser->options, &fit->optimiser_options);
    set_option(fit->optimiser->options, &fit->optimiser_options, "rate", rate);
}

/* ---- the objectives again ---- */

/* What a reference reads: one stream of heads first..last-1, in the codec's order. */
typedef struct sums {
    const layer *l;
    const gyre_rows *rows;
    const gyre_codec_spec *spec;
    gyre_codec *codec;
    gyre_stream stream;
    size_t first, last, group; /* group: coordinates that share a scale */
    const void *options;       /* of the objective */
    double *error;             /* [head - first][row][dim]: x^ - x */
    double *y;                 /* the same of what reaches the quantizer */
} sums;

/* A row or a query in the codec's order: even coordinates first where pairs are interleaved and the codec splits them. */
static inline void codec_order(const sums *s, const float *x, double *out)
{
    size_t d = s->l->dim;
    bool split = s->stream == GYRE_K && s->spec->own.order == GYRE_ORDER_HALF_SPLIT && s->l->rope.kind == GYRE_ROPE_NORMAL;
    for (size_t i = 0; i < d; i++)
        out[i] = (double)x[!split ? i : i < d / 2 ? 2 * i : 2 * (i - d / 2) + 1];
}

static inline size_t rows_of_head(const sums *s)
{
    return s->rows->documents * s->rows->tokens;
}

static inline const float *model_row(const sums *s, gyre_stream stream, size_t head, size_t row)
{
    return s->rows->x[stream][head] + row * s->l->dim;
}

static inline double *error_of(const sums *s, size_t head, size_t row)
{
    return s->error + ((head - s->first) * rows_of_head(s) + row) * s->l->dim;
}

static inline double *y_of(const sums *s, size_t head, size_t row)
{
    return s->y + ((head - s->first) * rows_of_head(s) + row) * s->l->dim;
}

static inline const float *query_of(const sums *s, size_t document, size_t head, size_t r)
{
    return s->rows->q + ((document * LAYER_HEADS + head) * LAYER_GROUP * s->rows->queries + r) * s->l->dim;
}

static inline bool sees(const sums *s, size_t document, size_t r, size_t token)
{
    int32_t at = s->rows->query_pos[document * s->rows->queries + r % s->rows->queries], key = s->rows->pos[document * s->rows->tokens + token];
    return key <= at && (s->l->data.window == 0 || at - key < (int32_t)s->l->data.window);
}

static inline double square_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static inline double square_of_row(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static inline double reference_mse(const sums *s)
{
    double lost = 0, energy = 0;
    for (size_t h = s->first; h < s->last; h++)
        for (size_t i = 0; i < rows_of_head(s); i++) {
            lost += square_of(error_of(s, h, i), s->l->dim);
            energy += square_of_row(model_row(s, s->stream, h, i), s->l->dim);
        }
    return lost / energy;
}

/* Mean over all triples of a row t, a query and a key s that it sees of (score_scale q' R_s R_t' (x^_t - x_t))^2; the rotations only where the chain begins with unrope. */
static inline double reference_logit(const sums *s)
{
    size_t d = s->l->dim;
    double total = 0;
    for (size_t h = s->first; h < s->last; h++) {
        gyre_transform *chain = gyre_codec_chain(s->codec, 0, h);
        const gyre_transform *turn = NULL;
        for (size_t i = 0; i < gyre_chain_count(chain); i++)
            if (gyre_chain_element(chain, i)->traits.needs & GYRE_NEEDS_POSITION)
                turn = gyre_chain_element(chain, i);
        double moments[LAYER_DIM * LAYER_DIM] = {0}, u[LAYER_DIM], pairs = 0;
        for (size_t doc = 0; doc < s->rows->documents; doc++)
            for (size_t r = 0; r < LAYER_GROUP * s->rows->queries; r++)
                for (size_t t = 0; t < s->rows->tokens; t++) {
                    if (!sees(s, doc, r, t))
                        continue;
                    codec_order(s, query_of(s, doc, h, r), u);
                    if (turn != NULL)
                        turn->type->forward_ref(turn->state, u, s->rows->pos[doc * s->rows->tokens + t]);
                    for (size_t i = 0; i < d * d; i++)
                        moments[i] += u[i / d] * u[i % d];
                    pairs++;
                }
        for (size_t i = 0; i < rows_of_head(s); i++) {
            memcpy(u, error_of(s, h, i), d * sizeof *u);
            if (turn != NULL)
                turn->type->forward_ref(turn->state, u, s->rows->pos[i]);
            for (size_t j = 0; j < d * d; j++)
                total += u[j / d] * moments[j] * u[j % d] / pairs;
        }
    }
    return total * s->l->data.score_scale * s->l->data.score_scale / (double)(rows_of_head(s) * (s->last - s->first));
}

/* Logarithms of the attention weights of one query, with or without the keys' errors; -infinity where it does not see. */
static inline void attend(const sums *s, size_t head, size_t document, size_t r, bool errors, double *log_p)
{
    size_t d = s->l->dim, tokens = s->rows->tokens;
    double q[LAYER_DIM], k[LAYER_DIM], most = (double)-INFINITY, sum = 0;
    codec_order(s, query_of(s, document, head, r), q);
    for (size_t t = 0; t < tokens; t++) {
        log_p[t] = (double)-INFINITY;
        if (!sees(s, document, r, t))
            continue;
        codec_order(s, model_row(s, GYRE_K, head, document * tokens + t), k);
        log_p[t] = 0;
        for (size_t i = 0; i < d; i++)
            log_p[t] += s->l->data.score_scale * q[i] * (k[i] + (errors ? error_of(s, head, document * tokens + t)[i] : 0.0));
        most = fmax(most, log_p[t]);
    }
    for (size_t t = 0; t < tokens; t++)
        sum += exp(log_p[t] - most);
    for (size_t t = 0; t < tokens; t++)
        log_p[t] -= most + log(sum);
}

static inline double reference_attention(const sums *s)
{
    double lost = 0, energy = 0, p[LAYER_TOKENS];
    for (size_t h = s->first; h < s->last; h++)
        for (size_t doc = 0; doc < s->rows->documents; doc++)
            for (size_t r = 0; r < LAYER_GROUP * s->rows->queries; r++) {
                attend(s, h, doc, r, false, p);
                for (size_t t = 0; t < s->rows->tokens; t++) {
                    lost += exp(2 * p[t]) * square_of(error_of(s, h, doc * s->rows->tokens + t), s->l->dim);
                    energy += exp(2 * p[t]) * square_of_row(model_row(s, GYRE_V, h, doc * s->rows->tokens + t), s->l->dim);
                }
            }
    return lost / energy;
}

static inline double reference_softmax_kl(const sums *s)
{
    double sum = 0, p[LAYER_TOKENS], p_hat[LAYER_TOKENS];
    size_t count = 0;
    for (size_t h = s->first; h < s->last; h++)
        for (size_t doc = 0; doc < s->rows->documents; doc++)
            for (size_t r = 0; r < LAYER_GROUP * s->rows->queries; r++, count++) {
                attend(s, h, doc, r, false, p);
                attend(s, h, doc, r, true, p_hat);
                for (size_t t = 0; t < s->rows->tokens; t++)
                    sum += isfinite(p[t]) ? exp(p[t]) * (p[t] - p_hat[t]) : 0.0;
            }
    return sum / (double)count;
}

/* |x^ - x|^2 that an error of 1 in coordinate j of what reaches the quantizer leaves (unrope is a rotation: any position). */
static inline double cost_of(const sums *s, size_t head, size_t j)
{
    gyre_transform *chain = gyre_codec_chain(s->codec, 0, head);
    double x[LAYER_DIM] = {0}, zero[LAYER_DIM] = {0};
    x[j] = 1;
    for (size_t i = gyre_chain_count(chain); i-- > 0;) {
        const gyre_transform *t = gyre_chain_element(chain, i);
        t->type->inverse_ref(t->state, x, 0);
        t->type->inverse_ref(t->state, zero, 0);
    }
    for (size_t i = 0; i < s->l->dim; i++)
        x[i] -= zero[i];
    return square_of(x, s->l->dim);
}

/* (sum |y|^p)^(2/p) of each group times what errors of its coordinates cost, over the energy of the rows; p infinite: the largest. */
static inline double reference_norm(const sums *s, double p)
{
    double total = 0, energy = 0;
    for (size_t h = s->first; h < s->last; h++)
        for (size_t first = 0; first < s->l->dim; first += s->group) {
            double cost = 0;
            for (size_t j = first; j < first + s->group; j++)
                cost += cost_of(s, h, j);
            for (size_t i = 0; i < rows_of_head(s); i++) {
                double most = 0, sum = 0;
                const double *y = y_of(s, h, i) + first;
                for (size_t j = 0; j < s->group; j++)
                    most = fmax(most, fabs(y[j]));
                for (size_t j = 0; j < s->group && isfinite(p); j++)
                    sum += pow(fabs(y[j]) / most, p);
                total += cost * most * most * (isfinite(p) ? pow(sum, 2 / p) : 1.0);
                energy += first == 0 ? square_of_row(model_row(s, s->stream, h, i), s->l->dim) : 0.0;
            }
        }
    return total / energy;
}

static inline double reference_absmax(const sums *s)
{
    return reference_norm(s, (double)INFINITY);
}

static inline double reference_pnorm(const sums *s)
{
    char text[GYRE_OPTION_TEXT];
    gyre_option_print(gyre_option_find(gyre_objective_find("pnorm")->options, "p"), s->options, text, sizeof text);
    return reference_norm(s, strtod(text, NULL));
}

static inline double reference_kurtosis(const sums *s)
{
    double total = 0;
    for (size_t h = s->first; h < s->last; h++)
        for (size_t i = 0; i < rows_of_head(s); i++) {
            const double *y = y_of(s, h, i);
            double fourth = 0, second = square_of(y, s->l->dim);
            for (size_t j = 0; j < s->l->dim; j++)
                fourth += y[j] * y[j] * y[j] * y[j];
            total += (double)s->l->dim * fourth / (second * second);
        }
    return total / (double)(rows_of_head(s) * (s->last - s->first));
}

static const struct reference {
    const char *name;
    double (*loss)(const sums *s);
} references[] = {{"mse", reference_mse}, {"logit", reference_logit}, {"attention", reference_attention}, {"softmax_kl", reference_softmax_kl}, {"absmax", reference_absmax}, {"pnorm", reference_pnorm},
                  {"kurtosis", reference_kurtosis}};

/* An objective without a definition here is a test that is missing. */
static inline double (*reference_of(const char *name))(const sums *s)
{
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (strcmp(references[i].name, name) == 0)
            return references[i].loss;
    fail_msg("tests/learning.h has no definition of the objective %s", name);
    return NULL;
}

#endif
