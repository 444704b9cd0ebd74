#include "results/canary.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metric.h"

static const char PASS[] = "PASS", FAIL[] = "FAIL", NOT_RUN[] = "NOT RUN";

enum { DETAIL = GYRE_TABLE_PRINTED, CELL_TEXT = 200 };

gyre_status gyre_canary_set(gyre_table *t, const char *name, const char *status, const char *detail, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_canary *longer = NULL;
    size_t place = 0;
    while (place < t->n_canaries && strcmp(t->canaries[place].name, name) != 0)
        place++;
    if (place == t->n_canaries) {
        GYRE_TRY(gyre_table_keep(t, place + 1, sizeof *longer, &longer, err));
        if (place > 0)
            memcpy(longer, t->canaries, place * sizeof *longer);
        GYRE_TRY(gyre_table_text(t, name, &longer[place].name, err));
        longer[place].status = longer[place].detail = "";
        t->canaries = longer;
        t->n_canaries++;
    }
    GYRE_TRY(gyre_table_text(t, detail, &t->canaries[place].detail, err));
    GYRE_TRY(gyre_table_text(t, status, &t->canaries[place].status, err));
done:
    return st;
}

/* ---- cells ---- */

/* "qwen layer 3, srft at bits=4, seed 7" */
static const char *name_cell(const gyre_table *t, const gyre_cell *c, char text[CELL_TEXT])
{
    (void)snprintf(text, CELL_TEXT, "%.60s %s %u, %.50s%s%.50s, seed %u", t->sources[c->source].name, gyre_layer_word(&t->sources[c->source]), c->layer, c->arm, c->point[0] != '\0' ? " at " : "", c->point,
                   c->seed);
    return text;
}

static bool is_exact(const gyre_cell *c)
{
    return strcmp(c->codec_k, "exact") == 0 && strcmp(c->codec_v, "exact") == 0;
}

/* Fewer bits than the cache has without any codec. */
static bool is_lossy(const gyre_cell *c)
{
    return c->status == GYRE_CELL_OK && !is_exact(c) && c->payload_bits < 16.0;
}

/* Shares are counts of few queries and coincide; nll is a level, not an error. */
static bool is_error(const gyre_table *t, size_t metric)
{
    return strcmp(t->metric_units[metric], "share") != 0 && strcmp(t->metrics[metric], "nll") != 0;
}

/* Does the metric see what is lost in this stream ('k' or 'v')? One that is not known here sees both. */
static bool sees(const gyre_table *t, size_t metric, char stream)
{
    const gyre_metric_type *type = gyre_metric_find(t->metrics[metric]);
    return type == NULL || (type->reads & GYRE_METRIC_TOKENS) != 0 || (type->streams & (unsigned)(stream == 'k' ? GYRE_METRIC_OF_K : GYRE_METRIC_OF_V)) != 0;
}

static const double *values_of(const gyre_cell *c, size_t metric, size_t *n)
{
    *n = c->n_documents * c->n_heads;
    return c->values + metric * *n;
}

/* Is the stream seen by a metric that has numbers in this cell? */
static bool is_seen(const gyre_table *t, const gyre_cell *c, char stream)
{
    for (size_t m = 0; m < t->n_metrics; m++) {
        size_t n;
        const double *x = values_of(c, m, &n);
        for (size_t i = 0; is_error(t, m) && sees(t, m, stream) && i < n; i++)
            if (!isnan(x[i]))
                return true;
    }
    return false;
}

/* ---- zero drift ---- */

typedef struct drift {
    size_t lossy, exact, exact_16, zero_16;
} drift;

/* Numbers of a metric that there are, and those that are exactly 0. */
static void count_zeros(const gyre_cell *c, size_t metric, size_t *numbers, size_t *zeros)
{
    size_t n;
    const double *x = values_of(c, metric, &n);
    *numbers = *zeros = 0;
    for (size_t i = 0; i < n; i++) {
        *numbers += isnan(x[i]) ? 0 : 1;
        *zeros += fpclassify(x[i]) == FP_ZERO ? 1 : 0;
    }
}

/* What is wrong with the cell's zeros; false where nothing is. */
static bool drifts(const gyre_table *t, const gyre_cell *c, drift *d, char why[CELL_TEXT])
{
    bool lossy = is_lossy(c), exact = is_exact(c), all_zero = true;
    bool both = strcmp(c->codec_k, "exact") != 0 && strcmp(c->codec_v, "exact") != 0; /* bits are the mean of both: keys alone may be stored whole */
    why[0] = '\0';
    for (size_t m = 0; m < t->n_metrics; m++) {
        size_t numbers, zeros;
        if (!is_error(t, m))
            continue;
        count_zeros(c, m, &numbers, &zeros);
        all_zero = all_zero && numbers == zeros;
        bool nmse = strcmp(t->metrics[m], "nmse") == 0;
        bool judged = lossy && !(both && !sees(t, m, 'v'));
        if (judged && numbers > 0 && (zeros == numbers || (nmse && zeros > 0)) && why[0] == '\0')
            (void)snprintf(why, CELL_TEXT, "%s is exactly 0 in %zu of %zu units, at %.3g bits a value", t->metrics[m], zeros, numbers, c->payload_bits);
        if (exact && zeros < numbers && why[0] == '\0')
            (void)snprintf(why, CELL_TEXT, "%s is not 0 in %zu of %zu units, and the arm changes nothing", t->metrics[m], numbers - zeros, numbers);
    }
    d->lossy += lossy;
    d->exact += exact;
    d->exact_16 += !lossy && !exact;
    d->zero_16 += !lossy && !exact && all_zero;
    return why[0] != '\0';
}

static gyre_status zero_drift(gyre_table *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    drift d = {0};
    size_t faults = 0;
    char detail[DETAIL] = "", cell[CELL_TEXT], why[CELL_TEXT];
    for (size_t i = 0; i < t->n_cells; i++)
        if (t->cells[i].status == GYRE_CELL_OK && drifts(t, &t->cells[i], &d, why) && faults++ == 0)
            (void)snprintf(detail, sizeof detail, "%s: %s", name_cell(t, &t->cells[i], cell), why);
    size_t used = strlen(detail);
    if (faults > 1)
        (void)snprintf(detail + used, sizeof detail - used, "; %zu such cells in all", faults);
    if (faults == 0)
        (void)snprintf(detail, sizeof detail, "%zu lossy cells, none without an error; %zu exact ones, all exactly 0; %zu of 16 bits or more, of which %zu are exactly 0", d.lossy, d.exact, d.exact_16,
                       d.zero_16);
    GYRE_TRY(gyre_canary_set(t, "zero drift", faults > 0 ? FAIL : d.lossy + d.exact > 0 ? PASS : NOT_RUN, d.lossy + d.exact + d.exact_16 > 0 ? detail : "there is no cell that is OK", err));
done:
    return st;
}

/* ---- equal values ---- */

typedef struct print {
    const gyre_cell *cell;
    uint64_t hash;
} print;

/* Bytes of all errors of the cell: FNV-1a, 64 bits. */
static uint64_t hash_values(const gyre_table *t, const gyre_cell *c)
{
    uint64_t h = 14695981039346656037u;
    for (size_t m = 0; m < t->n_metrics; m++) {
        size_t n;
        const unsigned char *bytes = (const unsigned char *)values_of(c, m, &n);
        for (size_t i = 0; is_error(t, m) && i < n * sizeof(double); i++)
            h = (h ^ bytes[i]) * 1099511628211u;
    }
    return h;
}

static bool same_values(const gyre_table *t, const gyre_cell *a, const gyre_cell *b)
{
    if (a->n_documents != b->n_documents || a->n_heads != b->n_heads)
        return false;
    bool any = false;
    for (size_t m = 0; m < t->n_metrics; m++) {
        size_t n;
        const double *x = values_of(a, m, &n), *y = values_of(b, m, &n);
        for (size_t i = 0; is_error(t, m) && i < n; i++) {
            any = any || !isnan(x[i]);
            if (memcmp(&x[i], &y[i], sizeof x[i]) != 0 && !(isnan(x[i]) && isnan(y[i])))
                return false;
        }
    }
    return any;
}

static int place_order(const gyre_cell *a, const gyre_cell *b)
{
    return a->source != b->source ? (a->source < b->source ? -1 : 1) : a->layer != b->layer ? (a->layer < b->layer ? -1 : 1) : 0;
}

static int by_place_and_hash(const void *a, const void *b)
{
    const print *x = a, *y = b;
    int place = place_order(x->cell, y->cell);
    if (place != 0)
        return place;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell; /* plan order */
}

/* All lossy cells, those of one layer with equal hashes next to each other. */
static gyre_status prints_of(const gyre_table *t, print **out, size_t *n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *n = 0;
    GYRE_NEW(out, t->n_cells);
    for (size_t i = 0; i < t->n_cells; i++)
        if (is_lossy(&t->cells[i]))
            (*out)[(*n)++] = (print){ &t->cells[i], hash_values(t, &t->cells[i]) };
    qsort(*out, *n, sizeof **out, by_place_and_hash);
done:
    return st;
}

/* ---- what codecs are, from their canonical text: "...;chain=[NAME(options),NAME];quantizer=NAME(options);..." ---- */

/* The name at `at`: its length. */
static size_t name_length(const char *at)
{
    return strcspn(at, "(),];");
}

/* Behind the name and its options. */
static const char *behind(const char *at)
{
    at += name_length(at);
    if (*at != '(')
        return at;
    for (int depth = 0; *at != '\0'; at++) {
        depth += (*at == '(') - (*at == ')');
        if (depth == 0)
            return at + 1;
    }
    return at;
}

static bool is_name(const char *at, const char *name)
{
    return name_length(at) == strlen(name) && strncmp(at, name, strlen(name)) == 0;
}

/* Behind the element and its comma. */
static const char *next_element(const char *at)
{
    at = behind(at);
    return at + (*at == ',');
}

static bool at_element(const char *at)
{
    return *at != '\0' && *at != ']';
}

static bool is_one_of(const char *at, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (is_name(at, names[i]))
            return true;
    return false;
}

/* "smooth(alpha=0,...": divides by 1. */
static bool is_idle(const char *at)
{
    return is_name(at, "identity") || (is_name(at, "smooth") && (strncmp(at, "smooth(alpha=0,", 15) == 0 || strncmp(at, "smooth(alpha=0)", 15) == 0));
}

/* The next element from `at` on that changes what a row loses; NULL at the end of the chain. Signs and the order of channels need not. */
static const char *next_acting(const char *at)
{
    for (; at_element(at); at = next_element(at))
        if (!is_idle(at) && !is_name(at, "signs") && !is_name(at, "permutation"))
            return at;
    return NULL;
}

static const char *chain_of(const char *codec)
{
    const char *at = strstr(codec, "chain=[");
    return at != NULL ? at + strlen("chain=[") : "";
}

/* A Hadamard transform of blocks is that of the row where the block is the row. */
static bool same_element(const char *x, const char *y)
{
    static const char *const walsh[] = { "hadamard", "bdr", NULL };
    size_t n = name_length(x);
    return (n == name_length(y) && strncmp(x, y, n) == 0) || (is_one_of(x, walsh) && is_one_of(y, walsh));
}

/* Do both chains act by the same elements in the same order? A matrix from a file may be any of them, and none. */
static bool act_alike(const char *a, const char *b)
{
    const char *x = next_acting(chain_of(a)), *y = next_acting(chain_of(b));
    for (const char *c = chain_of(a); at_element(c); c = next_element(c))
        if (is_name(c, "dense"))
            return true;
    for (const char *c = chain_of(b); at_element(c); c = next_element(c))
        if (is_name(c, "dense"))
            return true;
    while (x != NULL && y != NULL) {
        if (!same_element(x, y))
            return false;
        x = next_acting(next_element(x));
        y = next_acting(next_element(y));
    }
    return x == NULL && y == NULL;
}

static const char *quantizer_of(const char *codec)
{
    const char *at = strstr(codec, "quantizer=");
    return at != NULL ? at + strlen("quantizer=") : "";
}

/* Is it the same quantizer, or one that is it by its options, with as many bits? */
static bool quantize_alike(const char *a, const char *b)
{
    static const char *const uniform[] = { "asym", "hqq", "kivi", "ott", NULL }; /* codes between a minimum and a maximum: by option of the same groups */
    const char *x = quantizer_of(a), *y = quantizer_of(b);
    if (!(name_length(x) == name_length(y) && strncmp(x, y, name_length(x)) == 0) && !(is_one_of(x, uniform) && is_one_of(y, uniform)))
        return false;
    const char *p = strstr(x, "(bits="), *q = strstr(y, "(bits=");
    return p == NULL || q == NULL || (strcspn(p, ",)") == strcspn(q, ",)") && strncmp(p, q, strcspn(p, ",)")) == 0);
}

static bool is_fitted(const char *codec)
{
    return strstr(codec, ";fit=") != NULL || strstr(codec, ";fitted=") != NULL;
}

/* The mean of the bits of both streams is below 16, and this one may be stored whole for all that: 16 bits, a window over all rows, or groups of more tokens than there are. */
static bool may_be_whole(const char *codec, const char *other)
{
    static const char *const whole[] = { "exact", "f16", "bf16", "alignedkv", "kivi", "ott", NULL };
    return strcmp(other, "exact") != 0 && (strcmp(codec, "exact") == 0 || strstr(codec, "window=") != NULL || strstr(codec, "sink=") != NULL || is_one_of(quantizer_of(codec), whole));
}

/* Why the codecs of two cells may give equal values; NULL where they may not. */
static const char *excuse(const gyre_table *t, const gyre_cell *a, const gyre_cell *b)
{
    const char *const codecs[2][2] = { { a->codec_k, b->codec_k }, { a->codec_v, b->codec_v } };
    const char *why = "by options that do not act there";
    for (int s = 0; s < 2; s++) {
        const char *x = codecs[s][0], *y = codecs[s][1];
        if (strcmp(x, y) == 0)
            continue;
        if (!is_seen(t, a, "kv"[s])) {
            why = "and no metric here sees the stream in which they differ";
            continue;
        }
        if ((may_be_whole(x, codecs[1 - s][0]) && may_be_whole(y, codecs[1 - s][1])) || strstr(x, ";layers ") != NULL || strstr(y, ";layers ") != NULL) {
            why = "by rows or layers that stay exact";
            continue;
        }
        if ((strcmp(x, "exact") == 0) != (strcmp(y, "exact") == 0) || !quantize_alike(x, y))
            return NULL;
        if (!act_alike(x, y) && !(is_fitted(x) || is_fitted(y)))
            return NULL;
        if (is_fitted(x) || is_fitted(y))
            why = "by fits that may have kept their start";
    }
    return why;
}

/* ---- duplicates ---- */

static gyre_status duplicates(gyre_table *t, const print *p, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t faults = 0, noted = 0;
    char detail[DETAIL] = "", note[DETAIL] = "", one[CELL_TEXT], two[CELL_TEXT];
    for (size_t i = 1, first = 0; i < n; i++) {
        const gyre_cell *a = p[first].cell, *b = p[i].cell;
        if (place_order(a, b) != 0 || p[i].hash != p[first].hash) {
            first = i;
            continue;
        }
        if (strcmp(a->key, b->key) == 0 || (strcmp(a->codec_k, b->codec_k) == 0 && strcmp(a->codec_v, b->codec_v) == 0) || !same_values(t, a, b))
            continue; /* the same cell, or other seeds of one codec */
        const char *why = excuse(t, a, b);
        if (why == NULL && faults++ == 0)
            (void)snprintf(detail, sizeof detail, "%s has the values of %s, and another codec", name_cell(t, b, two), name_cell(t, a, one));
        if (why != NULL && noted++ == 0)
            (void)snprintf(note, sizeof note, "%s equals %s, %s", name_cell(t, b, two), name_cell(t, a, one), why);
    }
    size_t used = strlen(detail);
    if (faults > 1)
        (void)snprintf(detail + used, sizeof detail - used, "; %zu such cells in all", faults);
    if (faults == 0)
        (void)snprintf(detail, sizeof detail, "%zu lossy cells; equal values of different codecs: %zu%s%.500s", n, noted, noted > 0 ? ", the first: " : "", note);
    GYRE_TRY(gyre_canary_set(t, "duplicates", faults > 0 ? FAIL : n > 1 ? PASS : NOT_RUN, n > 1 ? detail : "there are not two lossy cells", err));
done:
    return st;
}

/* ---- seeds ---- */

/* Two draws of this codec lose different amounts: what is drawn rotates, or changes signs or the order before something that rotates. Scales, means and principal axes follow the signs; a
 * Hadamard block of two gives the same sums and differences whatever they are; and of few coordinates two draws may be one. */
static bool draws_tell(const gyre_table *t, const gyre_cell *c, const char *codec, const char *other)
{
    static const char *const drawn[] = { "rffthash", "haar", "kronecker", "householder", "butterfly", "givens", "rotor3", "isoclinic4", NULL };
    static const char *const fixed[] = { "hadamard", "bdr", "rfft", "dht", "dct", NULL };
    enum { FEW = 16 };
    bool signs = false, tell = false;
    for (const char *at = chain_of(codec); at_element(at); at = next_element(at)) {
        signs = signs || is_name(at, "signs") || is_name(at, "permutation");
        tell = tell || is_one_of(at, drawn) || (signs && is_one_of(at, fixed) && strncmp(at, "bdr(block=2)", 12) != 0);
    }
    return tell && !is_fitted(codec) && !may_be_whole(codec, other) && strstr(codec, ";layers ") == NULL && t->sources[c->source].dim >= FEW;
}

static bool seeds_may_agree(const gyre_table *t, const gyre_cell *c)
{
    return !(draws_tell(t, c, c->codec_k, c->codec_v) && is_seen(t, c, 'k')) && !(draws_tell(t, c, c->codec_v, c->codec_k) && is_seen(t, c, 'v'));
}

static int by_arm(const void *a, const void *b)
{
    const print *x = a, *y = b;
    int place = place_order(x->cell, y->cell);
    if (place != 0)
        return place;
    int arm = strcmp(x->cell->arm, y->cell->arm), point = strcmp(x->cell->point, y->cell->point);
    if (arm != 0 || point != 0)
        return arm != 0 ? arm : point;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell;
}

typedef struct seeds {
    size_t seeded, pairs, noted, faults;
} seeds;

/* Two neighbours of one arm at one point. */
static void check_pair(const gyre_table *t, const print *a, const print *b, seeds *s, char detail[DETAIL], char note[DETAIL])
{
    char one[CELL_TEXT], two[CELL_TEXT];
    s->pairs++;
    if (!a->cell->seeded && s->faults++ == 0)
        (void)snprintf(detail, DETAIL, "%s is there twice, and its arm draws nothing", name_cell(t, b->cell, two));
    if (!a->cell->seeded || a->hash != b->hash || !same_values(t, a->cell, b->cell))
        return;
    if (!seeds_may_agree(t, a->cell) && s->faults++ == 0)
        (void)snprintf(detail, DETAIL, "%s has the values of %s", name_cell(t, b->cell, two), name_cell(t, a->cell, one));
    if (seeds_may_agree(t, a->cell) && s->noted++ == 0)
        (void)snprintf(note, DETAIL, ", the first: %s, whose draws a quantizer need not see or whose fit may have kept its start", name_cell(t, b->cell, two));
}

static gyre_status seed_sensitivity(gyre_table *t, print *p, size_t n, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    seeds s = {0};
    char detail[DETAIL] = "", note[DETAIL] = "", cell[CELL_TEXT];
    qsort(p, n, sizeof *p, by_arm);
    for (size_t i = 0; i < n; i++) {
        const gyre_cell *c = p[i].cell;
        s.seeded += c->seeded;
        if (!c->seeded && c->seed != 0 && s.faults++ == 0)
            (void)snprintf(detail, sizeof detail, "%s draws nothing and has a seed", name_cell(t, c, cell));
        if (i > 0 && place_order(p[i - 1].cell, c) == 0 && strcmp(p[i - 1].cell->arm, c->arm) == 0 && strcmp(p[i - 1].cell->point, c->point) == 0)
            check_pair(t, &p[i - 1], &p[i], &s, detail, note);
    }
    size_t used = strlen(detail);
    if (s.faults > 1)
        (void)snprintf(detail + used, sizeof detail - used, "; %zu such cells in all", s.faults);
    if (s.faults == 0)
        (void)snprintf(detail, sizeof detail, "%zu seeded cells, those of an arm all different but %zu%.500s", s.seeded, s.noted, note);
    bool ran = s.pairs > 0 || s.faults > 0;
    GYRE_TRY(gyre_canary_set(t, "seed sensitivity", s.faults > 0 ? FAIL : ran ? PASS : NOT_RUN, ran ? detail : "no seeded arm has two seeds", err));
done:
    return st;
}

gyre_status gyre_canaries_make(gyre_table *t, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    print *p = NULL;
    size_t n = 0;
    GYRE_TRY(zero_drift(t, err));
    GYRE_TRY(prints_of(t, &p, &n, err));
    GYRE_TRY(duplicates(t, p, n, err));
    GYRE_TRY(seed_sensitivity(t, p, n, err));
done:
    free(p);
    return st;
}
