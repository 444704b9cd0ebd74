/* The conformance battery over the registry of quantizers: a new variant gets all of it unasked.
 *
 *   test_quantizers [--short | --least] [NAME ...]   --short: fewer dimensions and option sets, for sanitizers; --least: fewest, and every third set, for valgrind; names: these quantizers alone
 *
 * A subject is a variant with one of the option sets that its own table yields, built for one layer (dimension, heads, stream) and fitted where it asks for it. A check is one
 * function and one column of the table that is printed at the end; a full run also writes the table beside the binary. What a flag promises is checked on every subject that has
 * it; where no subject of a variant has it, or some have it not, one that lacks it must show why. Rows are iid standard normal where nothing else is said.
 */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "quant/quantizer.h"
#include "tests/battery.h"
#include "tests/heap.h"

enum { GUARD = 64, DOCUMENTS = 3, FIT_TOKENS = 34, THREADS = 4, POOL = 65521, VARIANTS_MOST = 96 };

static bool shortened;
static const size_t dims[] = {1, 2, 3, 5, 8, 16, 32, 63, 64, 80, 96, 112, 128, 192, 256, 320, 576, 0}, short_dims[] = {1, 3, 16, 64, 128, 0}, least_dims[] = {3, 64, 0};
static const size_t *tested = dims;
static size_t set_step = 1;
static const size_t token_counts[] = {0, 1, 2, 31, 32, 33, 64, 65, 130}, short_counts[] = {0, 1, 2, 33, 65};

static size_t counts(const size_t **list)
{
    *list = shortened ? short_counts : token_counts;
    return shortened ? sizeof short_counts / sizeof *short_counts : sizeof token_counts / sizeof *token_counts;
}

/* ---- option sets ---- */

enum { SETS_MOST = 128, TEXTS_MOST = 24, RANDOM_SETS = 6 };

typedef struct option_set {
    gyre_quantizer_values values;
    char text[GYRE_CANONICAL_TEXT];
} option_set;

/* Values of one option: every word and bool; bounds and a few numbers between. The middle one serves where the option is required and others vary. */
static size_t option_texts(const gyre_option *o, char texts[TEXTS_MOST][GYRE_OPTION_TEXT])
{
    const double inside[] = {2, 3, 4, 5, 6, 8, 16, 32, 64, 0.25 * o->lo + 0.75 * o->hi, 0.5 * o->lo + 0.5 * o->hi, 0.75 * o->lo + 0.25 * o->hi};
    bool integer = o->type == GYRE_OPTION_INT, number = integer || o->type == GYRE_OPTION_REAL;
    size_t n = 0;
    if (o->type == GYRE_OPTION_BOOL) {
        (void)snprintf(texts[n++], GYRE_OPTION_TEXT, "false");
        (void)snprintf(texts[n++], GYRE_OPTION_TEXT, "true");
    }
    for (; o->choices != NULL && o->choices[n] != NULL && n < TEXTS_MOST; n++)
        (void)snprintf(texts[n], GYRE_OPTION_TEXT, "%s", o->choices[n]);
    if (number && n < TEXTS_MOST)
        (void)snprintf(texts[n++], GYRE_OPTION_TEXT, "%.17g", o->lo);
    for (size_t i = 0; number && i < sizeof inside / sizeof *inside && n < TEXTS_MOST; i++)
        if (inside[i] > o->lo && inside[i] < o->hi && (integer || i >= 9))
            (void)snprintf(texts[n++], GYRE_OPTION_TEXT, "%.17g", integer ? floor(inside[i]) : inside[i]);
    if (number && n < TEXTS_MOST)
        (void)snprintf(texts[n++], GYRE_OPTION_TEXT, "%.17g", o->hi);
    return n;
}

static void set_option(const gyre_quantizer_type *type, const gyre_option *o, gyre_quantizer_values *values, const char *text)
{
    char why[GYRE_OPTION_TEXT] = "";
    if (!gyre_option_parse(o, values, text, why))
        fail_msg("%s: %s: %s", type->name, o->key, why);
}

/* Options whose large values take seconds to build; the battery, which builds thousands, stays below. */
static const struct {
    const char *variant, *key;
    int64_t most;
} costly[] = {{"fibquant", "index_bits", 5}, {"fibquant", "samples", 60}, {"kmeans_residual", "clusters", 32}};

static void keep_cheap(const gyre_quantizer_type *type, gyre_quantizer_values *values)
{
    for (size_t i = 0; i < sizeof costly / sizeof *costly; i++) {
        const gyre_option *o = strcmp(costly[i].variant, type->name) == 0 ? gyre_option_find(type->options, costly[i].key) : NULL;
        int64_t value = 0;
        if (o == NULL)
            continue;
        memcpy(&value, values->bytes + o->offset, sizeof value);
        value = value > costly[i].most ? costly[i].most : value;
        memcpy(values->bytes + o->offset, &value, sizeof value);
    }
}

/* Adds a set unless it is there already; canonical text tells. */
static size_t add_set(const gyre_quantizer_type *type, option_set *sets, size_t n, const gyre_quantizer_values *values)
{
    option_set set = {.values = *values};
    keep_cheap(type, &set.values);
    values = &set.values;
    gyre_options_canonical(type->options, values, set.text, sizeof set.text);
    for (size_t i = 0; i < n; i++)
        if (strcmp(set.text, sets[i].text) == 0)
            return n;
    if (n == SETS_MOST)
        fail_msg("%s has more than %d option sets", type->name, (int)SETS_MOST);
    sets[n] = set;
    return n + 1;
}

static void defaults(const gyre_quantizer_type *type, gyre_quantizer_values *base)
{
    char texts[TEXTS_MOST][GYRE_OPTION_TEXT];
    *base = (gyre_quantizer_values){0};
    (void)gyre_options_defaults(type->options, base);
    for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++)
        if (o->fallback == NULL) {
            size_t n = option_texts(o, texts);
            if (n == 0)
                fail_msg("%s requires '%s', of which the battery knows no value: say one here", type->name, o->key);
            (void)snprintf(texts[0], GYRE_OPTION_TEXT, "%.0f", fmin(fmax(4, o->lo), o->hi)); /* numbers: 4 where it is allowed */
            set_option(type, o, base, o->type == GYRE_OPTION_INT || o->type == GYRE_OPTION_REAL ? texts[0] : texts[n / 2]);
        }
}

/* The defaults; every value of every option with the others at their default; then mixtures. */
static size_t option_sets(const gyre_quantizer_type *type, option_set sets[SETS_MOST])
{
    char texts[TEXTS_MOST][GYRE_OPTION_TEXT];
    gyre_quantizer_values base;
    const gyre_random mix = gyre_random_stream(&(gyre_site){.campaign_seed = 7}, GYRE_PURPOSE_SYNTHETIC, 1, false);
    uint32_t draws = 0;
    defaults(type, &base);
    size_t n = add_set(type, sets, 0, &base);
    for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++) {
        size_t values = option_texts(o, texts);
        for (size_t v = 0; v < values; v++) {
            gyre_quantizer_values set = base;
            set_option(type, o, &set, texts[v]);
            n = add_set(type, sets, n, &set);
        }
    }
    for (int k = 0; k < RANDOM_SETS && n + 1 < SETS_MOST; k++) {
        gyre_quantizer_values set = base;
        for (const gyre_option *o = type->options; o != NULL && o->key != NULL; o++) {
            size_t values = option_texts(o, texts);
            set_option(type, o, &set, texts[gyre_random_word(&mix, draws++) % values]);
        }
        n = add_set(type, sets, n, &set);
    }
    return n;
}

/* ---- subjects ---- */

typedef struct subject {
    const gyre_quantizer_type *type;
    const option_set *set;
    gyre_site site;
    unsigned flags;
    size_t dim, heads, streams, each; /* each: values of a token */
    size_t tokens;                    /* of an ordinary block */
    gyre_quantizer *q;                /* fitted */
    struct evidence *evidence;
} subject;

/* Subjects that lack a flag, and those of them that showed what the flag would have denied. */
enum { PROMISES = 4 };
static const struct {
    unsigned flag;
    const char *name;
} promises[PROMISES] = {{GYRE_IDEMPOTENT, "idempotent"}, {GYRE_TOKEN_LOCAL, "token_local"}, {GYRE_FIXED_SIZE, "fixed_size"}, {GYRE_ONLINE, "online"}};

typedef struct evidence {
    size_t lacking[PROMISES], shown[PROMISES];
    size_t seeded, seeds_differ;
} evidence;

static void broken(const subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(const subject *s, const char *format, ...)
{
    char what[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    heap.watched = false;
    fail_msg("%s(%s) d=%zu heads=%zu stream %s: %s", s->type->name, s->set->text, s->dim, s->heads, s->site.stream == GYRE_K ? "K" : "V", what);
}

static bool flagged(const subject *s, unsigned flag)
{
    return (s->flags & flag) != 0;
}

/* What a subject without the flag showed, or must not show with it. */
static void witness(const subject *s, unsigned flag, bool denied, const char *what)
{
    size_t p = 0;
    while (promises[p].flag != flag)
        p++;
    if (flagged(s, flag) && denied)
        broken(s, "flagged %s: %s", promises[p].name, what);
    if (!flagged(s, flag)) {
        s->evidence->lacking[p]++;
        s->evidence->shown[p] += denied;
    }
}

/* Has a variant shown why it lacks the flag? Then it need not again. */
static bool shown(const subject *s, unsigned flag)
{
    size_t p = 0;
    while (promises[p].flag != flag)
        p++;
    return !flagged(s, flag) && s->evidence->shown[p] > 0;
}

static void *room(size_t bytes)
{
    void *p = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(p);
    return p;
}

/* n values of sequence `id`. */
static void noise(float *x, size_t n, uint32_t id)
{
    static float pool[POOL];
    static bool filled;
    if (!filled)
        normals(pool, POOL, 20);
    filled = true;
    for (size_t i = 0, at = (size_t)id * 7919u % POOL; i < n; i++, at = at + 1 < POOL ? at + 1 : 0)
        x[i] = pool[at];
}

/* To the value, so that the tools see what goes beyond. */
static float *rows_of(const subject *s, size_t tokens, uint32_t id)
{
    float *x = room(tokens * s->each * sizeof *x);
    noise(x, tokens * s->each, id);
    return x;
}

static float *row_at(const subject *s, float *x, size_t tokens, size_t lane, size_t token) /* lane: stream and head */
{
    return x + (lane * tokens + token) * s->dim;
}

static bool same(const float *x, const float *y, size_t n)
{
    return memcmp(x, y, n * sizeof *x) == 0;
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static gyre_status fit_to(const subject *s, gyre_quantizer *q, float scale, float offset, size_t documents, size_t tokens, gyre_error *error)
{
    size_t n = documents * tokens * s->each;
    float *x = room(n * sizeof *x);
    noise(x, n, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * scale + offset;
    gyre_status st = gyre_quantizer_fit(q, x, documents, tokens, error);
    free(x);
    return st;
}

static gyre_quantizer *build_at(const subject *s, const gyre_site *site, bool fitted)
{
    gyre_quantizer *q = NULL;
    gyre_error error = {0};
    if (gyre_quantizer_new(s->type, site, &s->set->values, &q, &error) != GYRE_OK)
        broken(s, "applies, and is not built: %s", error.message);
    if (fitted && flagged(s, GYRE_QUANTIZER_FITTED) && fit_to(s, q, 1.0f, 0.0f, DOCUMENTS, FIT_TOKENS, &error) != GYRE_OK)
        broken(s, "built again it is not fitted: %s", error.message);
    return q;
}

/* A coded block, to the byte. */
typedef struct block {
    uint8_t *bytes;
    size_t size, tokens;
} block;

static gyre_status try_code(const subject *s, const gyre_quantizer *q, const float *x, size_t tokens, block *b, gyre_error *error)
{
    size_t most = gyre_quantizer_most_bytes(q, tokens);
    uint8_t *bytes = room(most + GUARD);
    memset(bytes, 0xA5, most + GUARD);
    *b = (block){.tokens = tokens};
    gyre_status st = gyre_quantizer_encode(q, x, tokens, bytes, &b->size, error);
    for (size_t i = 0; i < GUARD; i++)
        if (bytes[most + i] != 0xA5)
            broken(s, "%zu tokens: encode writes %zu bytes beyond the %zu of most_bytes", tokens, i + 1, most);
    if (st == GYRE_OK && b->size > most)
        broken(s, "%zu tokens: %zu bytes used, most_bytes says %zu", tokens, b->size, most);
    for (size_t i = b->size; st == GYRE_OK && i < most; i++)
        if (bytes[i] != 0xA5)
            broken(s, "%zu tokens: byte %zu is written, %zu are said to be used", tokens, i, b->size);
    if (st == GYRE_OK) {
        b->bytes = room(b->size);
        memcpy(b->bytes, bytes, b->size);
    }
    free(bytes);
    return st;
}

static block code(const subject *s, const gyre_quantizer *q, const float *x, size_t tokens)
{
    block b;
    gyre_error error = {0};
    if (try_code(s, q, x, tokens, &b, &error) != GYRE_OK)
        broken(s, "%zu tokens are not encoded: %s", tokens, error.message);
    return b;
}

static float *decode(const subject *s, const gyre_quantizer *q, const block *b)
{
    gyre_error error = {0};
    size_t n = b->tokens * s->each;
    float *x = room((n + GUARD) * sizeof *x);
    for (size_t i = 0; i < n + GUARD; i++)
        x[i] = NAN;
    if (gyre_quantizer_decode(q, b->bytes, b->size, b->tokens, x, &error) != GYRE_OK)
        broken(s, "%zu tokens: what it encoded is not decoded: %s", b->tokens, error.message);
    for (size_t i = 0; i < GUARD; i++)
        if (!isnan(x[n + i]))
            broken(s, "%zu tokens: decode writes beyond its rows", b->tokens);
    return x;
}

static float *through(const subject *s, const gyre_quantizer *q, const float *x, size_t tokens)
{
    block b = code(s, q, x, tokens);
    float *y = decode(s, q, &b);
    free(b.bytes);
    return y;
}

static bool same_block(const block *a, const block *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* ---- checks: true where it applied ---- */

/* The page of a variant, the functions its span asks for, and flags that do not contradict it. */
static bool descriptor(const subject *s)
{
    const gyre_quantizer_type *t = s->type;
    const unsigned all = GYRE_IDEMPOTENT | GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE | GYRE_QUANTIZER_FITTED | GYRE_QUANTIZER_SEEDED
                         | GYRE_QUANTIZER_LEARNS,
                   of_rows = GYRE_TOKEN_LOCAL | GYRE_FIXED_SIZE | GYRE_RANDOM_ACCESS | GYRE_ONLINE;
    const char *const texts[] = {t->name, t->summary, t->source, t->bits_formula};
    for (size_t i = 0; i < 4; i++)
        if (texts[i] == NULL || texts[i][0] == '\0' || strchr(texts[i], '\n') != NULL)
            broken(s, "name, summary, source or bits_formula is not a line");
    bool rows = t->span == GYRE_SPAN_ROW;
    if (t->init == NULL || t->free == NULL || rows != (t->row_bytes != NULL && t->encode != NULL && t->decode != NULL)
        || rows == (t->most_bytes != NULL && t->encode_block != NULL && t->decode_block != NULL))
        broken(s, "its functions are not those of its span, %s", gyre_span_name(t->span));
    if ((s->flags & ~all) || (rows && (~s->flags & of_rows)))
        broken(s, "flags %#x do not fit its span, %s", s->flags, gyre_span_name(t->span));
    if (flagged(s, GYRE_QUANTIZER_FITTED) && t->fit == NULL)
        broken(s, "is flagged fitted and has no fit");
    if (flagged(s, GYRE_QUANTIZER_FITTED) && gyre_quantizer_stored_bits(s->q) == 0)
        broken(s, "is fitted, and says that it stores nothing");
    double *clip = t->straight != NULL ? t->straight->clip(s->q->state, s->heads - 1) : NULL;
    if (flagged(s, GYRE_QUANTIZER_LEARNS) != (clip != NULL) || (clip != NULL && gyre_quantizer_stored_bits(s->q) == 0))
        broken(s, "its flag learns, its clip ratio and what it stores contradict each other");
    for (const gyre_option *o = t->options; o != NULL && o->key != NULL; o++)
        if (o->offset + (o->type == GYRE_OPTION_BOOL ? sizeof(bool) : o->type == GYRE_OPTION_CHOICE ? sizeof(int) : 8) > GYRE_QUANTIZER_OPTIONS_BYTES)
            broken(s, "option %s lies beyond the %d bytes of options", o->key, (int)GYRE_QUANTIZER_OPTIONS_BYTES);
    return true;
}

/* Any number of tokens: the rows are read only, nothing beyond the room is touched, what comes back is finite, and the size is what FIXED_SIZE says. */
static bool sizes(const subject *s)
{
    const size_t *list, n_counts = counts(&list);
    bool differ = false;
    for (size_t i = 0; i < n_counts; i++) {
        size_t t = list[i], n = t * s->each;
        if (t > s->tokens && s->dim > 64)
            continue;
        float *x = rows_of(s, t, 2), *kept = rows_of(s, t, 2);
        block a = code(s, s->q, x, t), b;
        if (!same(x, kept, n))
            broken(s, "%zu tokens: encode changes the rows", t);
        float *y = decode(s, s->q, &a);
        if (!all_finite(y, n))
            broken(s, "%zu tokens of ordinary rows decode to NaN or infinity", t);
        for (int kind = 0; kind < 3; kind++) {
            for (size_t j = 0; j < n; j++) /* zeros, one large channel, wide */
                x[j] = kind == 0 ? 0.0f : kind == 1 ? kept[j] * (j % s->dim == s->dim / 2 ? 50.0f : 0.1f) : kept[j] * kept[j] * kept[j];
            gyre_error error = {0};
            if (try_code(s, s->q, x, t, &b, &error) == GYRE_OK)
                differ = differ || b.size != a.size;
            free(b.bytes);
        }
        free(x);
        free(kept);
        free(y);
        free(a.bytes);
    }
    witness(s, GYRE_FIXED_SIZE, differ, "blocks of as many tokens took different numbers of bytes");
    return true;
}

/* The same rows give the same bytes whatever came between, in a quantizer built and fitted again, at another head of the layer, and fitted to other rows before. */
static bool repeats(const subject *s)
{
    gyre_site elsewhere = s->site;
    gyre_error error = {0};
    elsewhere.head += 1;
    elsewhere.n_positions += 100;
    float *x = rows_of(s, s->tokens, 3), *other = rows_of(s, s->tokens, 4);
    block a = code(s, s->q, x, s->tokens), between = code(s, s->q, other, s->tokens), b = code(s, s->q, x, s->tokens);
    float *y = decode(s, s->q, &a), *z = decode(s, s->q, &between), *again = decode(s, s->q, &b);
    if (!same_block(&a, &b) || !same(y, again, s->tokens * s->each))
        broken(s, "the same rows gave other bytes or values the second time");
    for (int k = 0; k < 3; k++) {
        gyre_quantizer *q = build_at(s, k == 1 ? &elsewhere : &s->site, k < 2);
        bool twice = k == 2 && flagged(s, GYRE_QUANTIZER_FITTED);
        if (twice && (fit_to(s, q, 3.0f, 5.0f, DOCUMENTS - 1, FIT_TOKENS, &error) != GYRE_OK || fit_to(s, q, 1.0f, 0.0f, DOCUMENTS, FIT_TOKENS, &error) != GYRE_OK))
            broken(s, "is not fitted twice: %s", error.message);
        free(b.bytes);
        b = code(s, q, x, s->tokens);
        float *w = decode(s, q, &a);
        if (!same_block(&a, &b) || !same(y, w, s->tokens * s->each))
            broken(s, "%s gives other bytes or values", k == 0 ? "built again it" : k == 1 ? "built with another site.head or n_positions it" : "fitted to other rows before it");
        gyre_quantizer_free(q);
        free(w);
    }
    free(x);
    free(other);
    free(y);
    free(z);
    free(again);
    free(a.bytes);
    free(b.bytes);
    free(between.bytes);
    return true;
}

/* Parameters that are drawn follow the seeds; others do not. */
static bool seeds(const subject *s)
{
    bool differ = false;
    size_t t = 5;
    float *x = rows_of(s, t, 5), *y = through(s, s->q, x, t);
    for (int k = 0; k < 2; k++) {
        gyre_site site = s->site;
        site.seed_index += k == 0;
        site.campaign_seed += k == 1;
        gyre_quantizer *q = build_at(s, &site, true);
        float *z = through(s, q, x, t);
        bool other = !same(y, z, t * s->each);
        differ = k == 0 ? other : differ && other;
        if (other && !flagged(s, GYRE_QUANTIZER_SEEDED))
            broken(s, "is not flagged seeded, and another %s changes it", k == 0 ? "seed index" : "campaign seed");
        gyre_quantizer_free(q);
        free(z);
    }
    s->evidence->seeded += flagged(s, GYRE_QUANTIZER_SEEDED);
    s->evidence->seeds_differ += flagged(s, GYRE_QUANTIZER_SEEDED) && differ;
    free(x);
    free(y);
    return true;
}

typedef struct task {
    const subject *s;
    const float *x;
    block b;
    float *y;
    gyre_status st;
    atomic_int *waiting;
} task;

static void *code_and_decode(void *argument)
{
    task *k = argument;
    (void)atomic_fetch_sub(k->waiting, 1);
    while (atomic_load(k->waiting) > 0) /* all begin together */
        (void)sched_yield();
    for (int again = 0; again < 3 && k->st == GYRE_OK; again++) {
        k->st = gyre_quantizer_encode(k->s->q, k->x, k->b.tokens, k->b.bytes, &k->b.size, NULL);
        if (k->st == GYRE_OK)
            k->st = gyre_quantizer_decode(k->s->q, k->b.bytes, k->b.size, k->b.tokens, k->y, NULL);
    }
    return NULL;
}

/* One quantizer shared by threads, each with a block of its own, gives the bytes of one thread. */
static bool threads(const subject *s)
{
    pthread_t thread[THREADS];
    task tasks[THREADS];
    float *x[THREADS];
    atomic_int waiting;
    if (s->dim > 64)
        return false;
    atomic_init(&waiting, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        x[i] = rows_of(s, s->tokens, 30 + i);
        tasks[i] = (task){.s = s, .x = x[i], .b = {.bytes = room(gyre_quantizer_most_bytes(s->q, s->tokens)), .tokens = s->tokens}, .waiting = &waiting};
        tasks[i].y = room(s->tokens * s->each * sizeof(float));
        assert_int_equal(pthread_create(&thread[i], NULL, code_and_decode, &tasks[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        block want = code(s, s->q, x[i], s->tokens);
        float *y = decode(s, s->q, &want);
        if (tasks[i].st != GYRE_OK || !same_block(&tasks[i].b, &want) || !same(y, tasks[i].y, s->tokens * s->each))
            broken(s, "%d threads give other bytes or values than one", (int)THREADS);
        free(tasks[i].b.bytes);
        free(tasks[i].y);
        free(want.bytes);
        free(x[i]);
        free(y);
    }
    return true;
}

/* Rows alone or together, strided or not, give the same bytes and values; what lies between them is left alone. */
static bool strides(const subject *s)
{
    enum { N = 5, PAD = 3 };
    if (s->type->span != GYRE_SPAN_ROW)
        return false;
    gyre_error error = {0};
    size_t d = s->dim, wide = d + PAD, each = s->type->row_bytes(s->q->state);
    float *x = room(N * d * sizeof *x), *y = room(N * wide * sizeof *y), *z = room(N * d * sizeof *z);
    uint8_t *packed = room(N * each), *strided = room(N * each), *alone = room(each);
    noise(x, N * d, 6);
    for (size_t h = 0; h < s->heads; h++) {
        for (size_t i = 0; i < N * wide; i++)
            y[i] = i % wide < d ? x[i / wide * d + i % wide] : 777.0f;
        CHECK_OK(s->type->encode(s->q->state, h, x, N, d, packed, &error), &error);
        CHECK_OK(s->type->encode(s->q->state, h, y, N, wide, strided, &error), &error);
        CHECK_OK(s->type->encode(s->q->state, h, x, 0, d, NULL, &error), &error);
        if (memcmp(packed, strided, N * each) != 0)
            broken(s, "strided rows of head %zu give other bytes", h);
        s->type->decode(s->q->state, h, packed, N, z, d);
        s->type->decode(s->q->state, h, packed, N, y, wide);
        for (size_t r = 0; r < N; r++) {
            for (size_t i = d; i < wide; i++)
                if (y[r * wide + i] != 777.0f)
                    broken(s, "decode writes between strided rows");
            CHECK_OK(s->type->encode(s->q->state, h, x + r * d, 1, d, alone, &error), &error);
            if (memcmp(alone, packed + r * each, each) != 0 || !same(z + r * d, y + r * wide, d))
                broken(s, "row %zu of head %zu alone or strided is another", r, h);
            s->type->decode(s->q->state, h, alone, 1, y, d);
            if (!same(y, z + r * d, d))
                broken(s, "row %zu of head %zu decoded alone is another", r, h);
        }
    }
    free(x);
    free(y);
    free(z);
    free(packed);
    free(strided);
    free(alone);
    return true;
}

/* Everything but one row changes: other tokens, other heads, the other stream. Then the row stands alone in a block. */
static bool locality(const subject *s)
{
    size_t t = s->tokens, d = s->dim, lanes = s->streams * s->heads;
    const size_t tokens[] = {0, 1, 31, t - 1};
    if (shown(s, GYRE_TOKEN_LOCAL))
        return false;
    float *x = rows_of(s, t, 7), *y = through(s, s->q, x, t);
    bool moved = false;
    for (size_t k = 0; k < sizeof tokens / sizeof *tokens; k++) {
        size_t at = tokens[k], lane = k % lanes;
        float *other = rows_of(s, t, 8 + (uint32_t)k), *one = rows_of(s, 1, 9);
        for (size_t i = 0; i < t * s->each && k % 2 == 1; i++)
            other[i] *= 20.0f;
        memcpy(row_at(s, other, t, lane, at), row_at(s, x, t, lane, at), d * sizeof *x);
        memcpy(row_at(s, one, 1, lane, 0), row_at(s, x, t, lane, at), d * sizeof *x);
        float *z = through(s, s->q, other, t), *w = through(s, s->q, one, 1);
        moved = moved || !same(row_at(s, y, t, lane, at), row_at(s, z, t, lane, at), d) || !same(row_at(s, y, t, lane, at), row_at(s, w, 1, lane, 0), d);
        free(other);
        free(one);
        free(z);
        free(w);
    }
    witness(s, GYRE_TOKEN_LOCAL, moved, "a row decodes to other values when other rows change");
    free(x);
    free(y);
    return true;
}

/* The first t tokens of t + 1 decode as when they were all. A row that depends on itself alone cannot show the contrary. */
static bool appending(const subject *s)
{
    static const size_t all[] = {0, 1, 2, 31, 32, 33, 63, 64, 65};
    size_t lanes = s->streams * s->heads, d = s->dim;
    bool changed = false;
    if (shown(s, GYRE_ONLINE))
        return false;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        size_t t = all[k];
        if (t + 1 > s->tokens)
            break;
        float *longer = rows_of(s, t + 1, 11), *x = room(t * s->each * sizeof *x);
        for (size_t lane = 0; lane < lanes; lane++) {
            memcpy(x + lane * t * d, row_at(s, longer, t + 1, lane, 0), t * d * sizeof *x);
            for (size_t i = 0; i < d && k % 2 == 1; i++) /* the appended row is sometimes a large one */
                row_at(s, longer, t + 1, lane, t)[i] *= 30.0f;
        }
        float *y = through(s, s->q, x, t), *z = through(s, s->q, longer, t + 1);
        for (size_t lane = 0; lane < lanes; lane++)
            changed = changed || !same(y + lane * t * d, row_at(s, z, t + 1, lane, 0), t * d);
        free(longer);
        free(x);
        free(y);
        free(z);
    }
    if (flagged(s, GYRE_ONLINE) || !flagged(s, GYRE_TOKEN_LOCAL))
        witness(s, GYRE_ONLINE, changed, "an appended token changes what older ones decode to");
    return true;
}

/* Rows of many sizes: ordinary, with scales subnormal in binary16 and in binary32, large, every row another, zeros, integers. */
enum { KINDS = 7 };
static void rows_of_kind(const subject *s, float *x, size_t tokens, size_t kind, uint32_t id)
{
    static const float sizes_of[KINDS] = {1.0f, 1e-5f, 1e-41f, 300.0f, 1.0f, 0.0f, 3.0f};
    noise(x, tokens * s->each, id);
    for (size_t i = 0; i < tokens * s->each; i++) {
        x[i] *= sizes_of[kind];
        x[i] = kind == 4 ? ldexpf(x[i], -2 * (int)(i / s->dim % 32)) : kind == 6 ? nearbyintf(x[i]) : x[i];
    }
}

/* Decoded rows of every kind, `offset` away from 0, encode to the bytes they came from. */
static bool stays(const subject *s, const gyre_quantizer *q, float offset, size_t rounds)
{
    bool same_bytes = true;
    float *x = room(s->tokens * s->each * sizeof *x);
    for (uint32_t k = 0; k < KINDS * rounds; k++) {
        block a, b;
        gyre_error error = {0};
        rows_of_kind(s, x, s->tokens, k % KINDS, 50 + k + 13 * (uint32_t)s->dim);
        for (size_t i = 0; i < s->tokens * s->each; i++)
            x[i] += offset;
        if (try_code(s, q, x, s->tokens, &a, &error) == GYRE_OK) {
            float *y = decode(s, q, &a);
            same_bytes = try_code(s, q, y, s->tokens, &b, &error) == GYRE_OK && same_block(&a, &b) && same_bytes;
            free(b.bytes);
            free(y);
        }
        free(a.bytes);
    }
    free(x);
    return same_bytes;
}

/* What is fitted is looked at with subnormal parameters and far from 0 too. */
static bool idempotence(const subject *s)
{
    if (shown(s, GYRE_IDEMPOTENT))
        return false;
    bool kept = stays(s, s->q, 0.0f, s->dim <= 64 && !flagged(s, GYRE_IDEMPOTENT) && !shortened ? 2 : 1);
    if (flagged(s, GYRE_QUANTIZER_FITTED)) {
        gyre_error error = {0};
        gyre_quantizer *q = build_at(s, &s->site, false);
        if (fit_to(s, q, 1e-41f, 0.0f, DOCUMENTS, FIT_TOKENS, &error) == GYRE_OK)
            kept = stays(s, q, 0.0f, 1) && kept;
        if (fit_to(s, q, 1.0f, 1e7f, DOCUMENTS, FIT_TOKENS, &error) == GYRE_OK)
            kept = stays(s, q, 1e7f, 1) && kept;
        gyre_quantizer_free(q);
    }
    witness(s, GYRE_IDEMPOTENT, !kept, "decoded rows encode to other bytes");
    return true;
}

enum { HARD = 22 };
static float hard_value(size_t kind, size_t i, size_t d)
{
    const float sign = i % 2 ? -1.0f : 1.0f, spike = i % d == d / 2 ? 1.0f : 0.0f;
    switch (kind) {
    case 0: return 0.0f;
    case 1: return -0.0f;
    case 2: return 0.7f;
    case 3: return 1000.0f * spike;
    case 4: return -spike;
    case 5: return sign;
    case 6: return 65504.0f * sign;
    case 7: return 1e-45f;
    case 8: return 1e-42f * sign;
    case 9: return 1e-38f * (float)(i % 7);
    case 10: return 1e-30f * sign;
    case 11: return 1e30f;
    case 12: return 1e30f * sign;
    case 13: return spike > 0 ? 1e30f : 1.0f;
    case 14: return 3e38f;
    case 15: return 3e38f * sign;
    case 16: return -3e38f * spike;
    case 17: return FLT_MAX * (i % 3 == 0 ? sign : 0.5f);
    case 18: return i % d == 0 ? 1e-40f : 1e38f;
    case 19: return 65520.0f;
    case 20: return 448.0f * sign;
    default: return 20.0f + 1e-6f * (float)(i % 5);
    }
}

/* Hard rows, alone and among ordinary ones: coded to finite values of the size of the block's, or refused with the row named. A variant that is not fitted keeps zeros. */
static bool hard_rows(const subject *s)
{
    size_t t = flagged(s, GYRE_TOKEN_LOCAL) || s->dim > 64 ? 3 : s->tokens, n = t * s->each;
    float *x = room(n * sizeof *x);
    for (size_t kind = 0; kind < HARD; kind++)
        for (int among = 0; among < 2; among++) {
            block b;
            gyre_error error = {0};
            double most = flagged(s, GYRE_QUANTIZER_FITTED) ? 4 : 0;
            noise(x, n, 60);
            for (size_t i = 0; i < n; i++) {
                x[i] = !among || i / s->dim % t == 1 ? hard_value(kind, i, s->dim) : x[i];
                most = fmax(most, fabs((double)x[i]));
            }
            gyre_status st = try_code(s, s->q, x, t, &b, &error);
            if (st != GYRE_OK && st != GYRE_E_RANGE)
                broken(s, "hard rows %zu: %s: %s", kind, gyre_status_name(st), error.message);
            if (st == GYRE_E_RANGE && strstr(error.message, "row ") == NULL && strstr(error.message, "token ") == NULL)
                broken(s, "hard rows %zu are refused and no row is named: %s", kind, error.message);
            if (st == GYRE_OK) {
                float *y = decode(s, s->q, &b);
                for (size_t i = 0; i < n; i++)
                    if (!(fabs((double)y[i]) <= fmin(8 * most + (most > 0 ? 0.02 : 0), FLT_MAX) || (most == 0 && flagged(s, GYRE_QUANTIZER_FITTED) && isfinite(y[i]))))
                        broken(s, "hard rows %zu%s: %g comes back as %g in a block of at most %g", kind, among ? " among others" : "", (double)x[i], (double)y[i], most);
                free(y);
            }
            free(b.bytes);
        }
    free(x);
    return true;
}

static double relative_error(const float *x, const float *y, size_t n)
{
    double error = 0, energy = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
        energy += (double)x[i] * (double)x[i];
    }
    return error / energy;
}

/* Better than zeros from 2 bits on; and never better than Shannon's bound for the bytes it says it needs, 2^(-2 R), with 20 % for the sample. */
static bool accuracy(const subject *s)
{
    size_t t = s->tokens, n = t * s->each;
    if (s->dim < 16)
        return false;
    const gyre_option *bits = gyre_option_find(s->type->options, "bits");
    char text[GYRE_OPTION_TEXT] = "";
    if (bits != NULL)
        gyre_option_print(bits, &s->set->values, text, sizeof text);
    float *x = rows_of(s, t, 70);
    block b = code(s, s->q, x, t);
    float *y = decode(s, s->q, &b);
    double rate = 8.0 * (double)b.size / (double)n, error = relative_error(x, y, n);
    if ((bits != NULL ? atof(text) : rate) >= 2 && !(error < 1))
        broken(s, "relative squared error %.3g at %.3g bits per value: zeros would be better", error, rate);
    if (rate < 12 && error < 0.8 * exp2(-2 * rate))
        broken(s, "relative squared error %.3g at %.3g bits per value is below the bound %.3g: what it knows is not in its bytes", error, rate, exp2(-2 * rate));
    free(x);
    free(y);
    free(b.bytes);
    return true;
}

/* Decoding damaged bytes: values, or GYRE_E_INPUT with a reason. True when it was refused. */
static bool refused(const subject *s, const uint8_t *bytes, size_t size, size_t tokens, const char *what)
{
    gyre_error error = {0};
    uint8_t *exact = room(size);
    float *y = room(tokens * s->each * sizeof *y);
    memcpy(exact, bytes, size);
    gyre_status st = gyre_quantizer_decode(s->q, exact, size, tokens, y, &error);
    if (st != GYRE_OK && (st != GYRE_E_INPUT || error.message[0] == '\0'))
        broken(s, "%s: decode says %s: '%s'", what, gyre_status_name(st), error.message);
    free(exact);
    free(y);
    return st != GYRE_OK;
}

static bool damaged_bytes(const subject *s)
{
    size_t t = s->tokens < 33 ? s->tokens : 33;
    const gyre_random random = gyre_random_stream(&(gyre_site){.campaign_seed = 11, .seed_index = (uint32_t)s->dim}, GYRE_PURPOSE_SYNTHETIC, 2, false);
    float *x = rows_of(s, t, 80);
    block b = code(s, s->q, x, t);
    uint8_t *bytes = room(2 * b.size + 1);
    uint32_t draws = 0;
    for (size_t i = 0; i < 2 * b.size + 1; i++)
        bytes[i] = i < b.size ? b.bytes[i] : (uint8_t)gyre_random_word(&random, draws++);
    const size_t wrong[] = {0, 1, b.size / 2, b.size - 1, b.size + 1, 2 * b.size + 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (wrong[i] != b.size && !refused(s, bytes, wrong[i], t, "a wrong size"))
            broken(s, "%zu bytes where there were %zu decode without complaint", wrong[i], b.size);
    for (size_t i = 0; i < 4; i++)
        (void)refused(s, bytes, b.size, (const size_t[]){t - 1, t + 1, 0, 2 * t}[i], "another number of tokens");
    for (size_t i = 0; i < (shortened ? 8u : 24u); i++) {
        size_t at = gyre_random_word(&random, draws++) % (i % 2 ? b.size : b.size < 16 ? b.size : 16);
        bytes[at] ^= (uint8_t)(1u << gyre_random_word(&random, draws++) % 8);
        (void)refused(s, bytes, b.size, t, "a flipped bit"); /* flips add up */
    }
    for (int k = 0; k < 4; k++) {
        for (size_t i = 0; i < b.size; i++)
            bytes[i] = k == 0 ? 0xFF : k == 1 ? 0 : (uint8_t)gyre_random_word(&random, draws++);
        (void)refused(s, bytes, b.size, t, "random bytes");
    }
    free(x);
    free(bytes);
    free(b.bytes);
    return true;
}

/* One read of the visible tokens first..last-1: of scores for a query (K), or the weighted sum (V). */
static gyre_status read_block(const subject *s, const block *b, size_t head, size_t first, size_t last, const float *with, float *out, double *bits, gyre_error *error)
{
    const gyre_read read = {.bytes = b->bytes, .size = b->size, .tokens = b->tokens, .head = head, .first = first, .last = last};
    return s->site.stream == GYRE_K ? s->type->read_scores(s->q->state, &read, with, out, bits, error) : s->type->read_output(s->q->state, &read, with, out, bits, error);
}

/* What a read of decoded rows gives. */
static void plain_read(const subject *s, const float *y, size_t tokens, size_t head, size_t first, size_t last, const float *with, float *out)
{
    for (size_t i = 0; i < (s->site.stream == GYRE_K ? last - first : s->dim); i++)
        out[i] = 0;
    for (size_t t = first; t < last; t++)
        for (size_t i = 0; i < s->dim; i++) {
            const float *row = y + (head * tokens + t) * s->dim;
            if (s->site.stream == GYRE_K)
                out[t - first] += with[i] * row[i];
            else
                out[i] += with[t - first] * row[i];
        }
}

/* Reads by the query: close to a read of the decoded rows, bits added to what was there and no more than are stored, nothing else written, damaged bytes survived. */
static bool reads(const subject *s)
{
    bool keys = s->site.stream == GYRE_K;
    size_t t = s->tokens;
    if (keys ? s->type->read_scores == NULL : s->type->read_output == NULL)
        return false;
    const size_t windows[][2] = {{0, t}, {0, 1}, {t - 1, t}, {t / 3, t}};
    float *x = rows_of(s, t, 90), *with = room((t + s->dim) * sizeof *with), *want = room((t + s->dim) * sizeof *want);
    block b = code(s, s->q, x, t);
    float *y = decode(s, s->q, &b);
    noise(with, t + s->dim, 91);
    for (size_t k = 0; k < 4; k++)
        for (size_t h = 0; h < s->heads; h++) {
            size_t first = windows[k][0], last = windows[k][1], n = keys ? last - first : s->dim;
            float *out = room((n + GUARD) * sizeof *out);
            double bits = 1.5, error = 0, energy = 0;
            gyre_error fault = {0};
            for (size_t i = 0; i < n + GUARD; i++)
                out[i] = NAN;
            if (read_block(s, &b, h, first, last, with, out, &bits, &fault) != GYRE_OK)
                broken(s, "tokens %zu..%zu of head %zu are not read: %s", first, last, h, fault.message);
            plain_read(s, y, t, h, first, last, with, want);
            for (size_t i = 0; i < n; i++) {
                error += ((double)out[i] - (double)want[i]) * ((double)out[i] - (double)want[i]);
                energy += (double)want[i] * (double)want[i];
            }
            if (!(error <= 0.25 * energy + 1e-12))
                broken(s, "tokens %zu..%zu of head %zu read with relative squared error %.3g", first, last, h, error / energy);
            if (!(bits > 1.5) || bits - 1.5 > 2.0 * 8.0 * (double)b.size) /* a reader may look at a byte again: probes */
                broken(s, "a read of %zu rows takes %g bits of a block of %zu bytes", last - first, bits - 1.5, b.size);
            for (size_t i = 0; i < GUARD; i++)
                if (!isnan(out[n + i]))
                    broken(s, "a read writes beyond its %zu values", n);
            for (size_t cut = 0; cut < 2; cut++) {
                block damaged = {.bytes = room(b.size), .size = cut ? b.size - 1 : b.size, .tokens = t};
                for (size_t i = 0; i < b.size; i++)
                    damaged.bytes[i] = (uint8_t)(b.bytes[i] ^ (cut ? 0u : (unsigned)i * 89u));
                gyre_status st = read_block(s, &damaged, h, first, last, with, out, &bits, &fault);
                if (st != GYRE_E_INPUT && (cut || (st != GYRE_OK && st != GYRE_E_RANGE)))
                    broken(s, "a read of damaged bytes says %s", gyre_status_name(st));
                free(damaged.bytes);
            }
            free(out);
        }
    free(x);
    free(y);
    free(with);
    free(want);
    free(b.bytes);
    return true;
}

/* Fits: refused without documents, and then as good as new; hard calibration rows leave finite values; before it nothing crashes. */
static bool fits(const subject *s)
{
    if (!flagged(s, GYRE_QUANTIZER_FITTED))
        return false;
    size_t t = s->tokens, n = t * s->each;
    float *x = rows_of(s, t, 100);
    block want = code(s, s->q, x, t), b;
    gyre_error error = {0};
    gyre_quantizer *q = build_at(s, &s->site, false);
    gyre_status st = try_code(s, q, x, t, &b, &error);
    if (st == GYRE_OK)
        free(decode(s, q, &b));
    else if (st != GYRE_E_INTERNAL && st != GYRE_E_RANGE)
        broken(s, "unfitted, encode says %s: %s", gyre_status_name(st), error.message);
    free(b.bytes);
    st = fit_to(s, q, 1.0f, 0.0f, 0, FIT_TOKENS, &error);
    if (st != GYRE_E_INPUT || strstr(error.message, "calibration") == NULL)
        broken(s, "fitted to no documents it says %s: '%s'", gyre_status_name(st), error.message);
    if (fit_to(s, q, 1.0f, 0.0f, DOCUMENTS, FIT_TOKENS, &error) != GYRE_OK)
        broken(s, "after a refused fit it is not fitted: %s", error.message);
    b = code(s, q, x, t);
    if (!same_block(&b, &want))
        broken(s, "after a refused fit it is fitted to something else");
    free(b.bytes);
    gyre_quantizer_free(q);
    static const float scales[] = {0.0f, 1e-42f, 1e30f, 6e37f, 1.0f};
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
        bool one = scales[k] == 1.0f; /* one document of one token */
        q = build_at(s, &s->site, false);
        st = fit_to(s, q, scales[k], 0.0f, one ? 1 : DOCUMENTS, one ? 1 : FIT_TOKENS, &error);
        if (st != GYRE_OK && st != GYRE_E_RANGE && st != GYRE_E_INPUT)
            broken(s, "fitted to rows of size %g it says %s: %s", (double)scales[k], gyre_status_name(st), error.message);
        if (st == GYRE_OK && try_code(s, q, x, t, &b, &error) == GYRE_OK) {
            float *y = decode(s, q, &b);
            if (!all_finite(y, n))
                broken(s, "fitted to rows of size %g it decodes to NaN or infinity", (double)scales[k]);
            free(y);
            free(b.bytes);
        }
        gyre_quantizer_free(q);
    }
    free(x);
    free(want.bytes);
    return true;
}

/* A fit at new, fit, encode, decode and reads, once each; the first status that is not OK. */
static gyre_status whole_life(const subject *s, const float *x, const float *rows, const float *with, block *b, float *y, gyre_error *error)
{
    gyre_quantizer *q = NULL;
    double bits = 0;
    gyre_status st = gyre_quantizer_new(s->type, &s->site, &s->set->values, &q, error);
    if (st == GYRE_OK && flagged(s, GYRE_QUANTIZER_FITTED))
        st = gyre_quantizer_fit(q, rows, DOCUMENTS, FIT_TOKENS, error);
    if (st == GYRE_OK)
        st = gyre_quantizer_encode(q, x, b->tokens, b->bytes, &b->size, error);
    if (st == GYRE_OK)
        st = gyre_quantizer_decode(q, b->bytes, b->size, b->tokens, y, error);
    if (st == GYRE_OK && (s->site.stream == GYRE_K ? s->type->read_scores != NULL : s->type->read_output != NULL)) {
        const subject fresh = {.type = s->type, .site = s->site, .q = q};
        st = read_block(&fresh, b, 0, 0, b->tokens, with, y, &bits, error);
    }
    gyre_quantizer_free(q);
    return st;
}

/* Every allocation refused in turn is GYRE_E_MEMORY, and everything is given back. */
static bool allocations(const subject *s)
{
    size_t t = 33;
    if (s->dim > 32)
        return false;
    float *x = rows_of(s, t, 110), *rows = rows_of(s, DOCUMENTS * FIT_TOKENS, 1), *y = room((t * s->each + t) * sizeof *y), *with = rows_of(s, t, 111);
    gyre_quantizer *sized = build_at(s, &s->site, true);
    block b = {.bytes = room(gyre_quantizer_most_bytes(sized, t)), .tokens = t};
    gyre_error error = {0};
    bool more = true;
    gyre_quantizer_free(sized);
    for (size_t n = 0; more; n += 1 + n / 16) {
        heap_watch(n);
        gyre_status st = whole_life(s, x, rows, with, &b, y, &error);
        heap.watched = false;
        more = heap.refused;
        if (more && st != GYRE_E_MEMORY)
            broken(s, "allocation %zu refused: %s", n, gyre_status_name(st));
        if (!more && st != GYRE_OK)
            broken(s, "with enough memory: %s: %s", gyre_status_name(st), error.message);
        if (heap.live != 0)
            broken(s, "allocation %zu refused: %zu blocks are not given back", n, heap.live);
    }
    free(x);
    free(rows);
    free(y);
    free(with);
    free(b.bytes);
    return true;
}

/* ---- checks of a variant ---- */

static void settle(subject *s, const gyre_quantizer_type *type, const option_set *set, size_t dim, size_t heads, gyre_stream stream, evidence *seen)
{
    *s = (subject){.type = type, .set = set, .dim = dim, .heads = heads, .streams = type->span == GYRE_SPAN_STREAMS ? 2 : 1, .evidence = seen};
    s->site = (gyre_site){.dim = dim, .stream = stream, .layer = 3, .n_heads = (uint32_t)heads, .campaign_seed = 9, .n_positions = 64};
    s->flags = gyre_quantizer_flags(type, &set->values);
    s->each = s->streams * heads * dim;
    s->tokens = dim > 64 || shortened ? 34 : 66;
}

/* Payload that the sources state, where options are named as here: bits per value of 1024 tokens of one head; `within` covers what a block holds once. */
static const struct {
    const char *variant, *options;
    size_t dim;
    double bits, within;
} published[] = {
    {"exact", "", 80, 32, 0},
    {"f16", "", 80, 16, 0},
    {"bf16", "", 80, 16, 0},
    {"sym", "bits=4,group=row,scale=f32", 128, 4.25, 0},
    {"sym", "bits=4,group=row,scale=f32", 64, 4.5, 0},
    {"sym", "bits=4,group=32,scale=f32", 128, 5, 0},
    {"sym", "bits=3,group=32,scale=f16", 96, 3.5, 0},
    {"asym", "bits=4,group=row,scale=f16", 128, 4.25, 0},
    {"asym", "bits=4,group=row,scale=f32", 128, 4.5, 0},
    {"mxfp4", "", 128, 4.25, 0.001},
    {"nvfp4", "", 128, 4.5, 0.001},
    {"q4_0", "", 128, 4.5, 0},
    {"q5_0", "", 128, 5.5, 0},
    {"q8_0", "", 128, 8.5, 0},
    {"lloyd_max", "bits=4", 128, 4.125, 0},
    {"lloyd_max", "bits=3", 64, 3.25, 0},
    {"turboquant_prod", "bits=3", 128, 3.25, 0},
    {"polarquant", "", 128, 3.875, 0.001},
    {"kivi", "bits=2,?residual=0,?window=0", 128, 3, 0.001},
    {"kivi", "bits=4,?residual=0,?window=0", 128, 5, 0.001},
};

/* "key=value,?key=value": one with a question mark is set where the variant has it. */
static void set_options(const gyre_quantizer_type *type, const char *text, option_set *set)
{
    char words[128], *rest = words;
    defaults(type, &set->values);
    (void)snprintf(words, sizeof words, "%s", text);
    for (char *word = strtok_r(words, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        bool optional = word[0] == '?';
        char *value = strchr(word, '=');
        *value++ = '\0';
        const gyre_option *o = gyre_option_find(type->options, word + optional);
        if (o == NULL && !optional)
            fail_msg("%s has no option %s: correct the table of published sizes", type->name, word);
        if (o != NULL)
            set_option(type, o, &set->values, value);
    }
    gyre_options_canonical(type->options, &set->values, set->text, sizeof set->text);
}

/* A block of a layer, fitted where it asks for it, coded; its size and relative squared error. False where the variant does not apply. */
static bool rate_and_error(const gyre_quantizer_type *type, const option_set *set, size_t dim, size_t tokens, gyre_stream stream, double *bits, double *error)
{
    subject s;
    evidence seen = {0};
    char why[GYRE_QUANTIZER_WHY] = "";
    settle(&s, type, set, dim, 1, stream, &seen);
    if (!gyre_quantizer_applies(type, &s.site, &set->values, why))
        return false;
    gyre_quantizer *q = build_at(&s, &s.site, true);
    float *x = rows_of(&s, tokens, 120);
    block b = code(&s, q, x, tokens);
    float *y = decode(&s, q, &b);
    *bits = 8.0 * (double)b.size / (double)(tokens * s.each);
    *error = relative_error(x, y, tokens * s.each);
    gyre_quantizer_free(q);
    free(x);
    free(y);
    free(b.bytes);
    return true;
}

static size_t published_sizes(const gyre_quantizer_type *type)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        for (int v = 0; v < 2 && strcmp(published[i].variant, type->name) == 0; v++) {
            option_set set;
            double bits, error;
            set_options(type, published[i].options, &set);
            if (!rate_and_error(type, &set, published[i].dim, 1024, (gyre_stream)v, &bits, &error))
                fail_msg("%s(%s) does not apply to dimension %zu", type->name, set.text, published[i].dim);
            if (!(bits >= published[i].bits && bits <= published[i].bits + published[i].within))
                fail_msg("%s(%s) d=%zu stream %s: %.6g bits per value, published %g", type->name, set.text, published[i].dim, v ? "V" : "K", bits, published[i].bits);
            n++;
        }
    return n;
}

/* More bits, less error: within 2 % from each width to the next, and half at least over the whole range. */
static size_t more_bits_less_error(const gyre_quantizer_type *type)
{
    const gyre_option *bits = gyre_option_find(type->options, "bits");
    size_t n = 0;
    if (bits == NULL || bits->type != GYRE_OPTION_INT)
        return 0;
    for (int v = 0; v < 2; v++)
        for (size_t k = 0; k < 2; k++) {
            double first = 0, last = INFINITY, rate, error;
            size_t widths = 0, dim = (const size_t[]){64, 128}[k];
            for (int64_t b = (int64_t)bits->lo; b <= (int64_t)bits->hi; b++) {
                option_set set;
                char text[32];
                (void)snprintf(text, sizeof text, "bits=%lld", (long long)b);
                set_options(type, text, &set);
                if (!rate_and_error(type, &set, dim, 130, (gyre_stream)v, &rate, &error))
                    continue;
                if (!(error <= 1.02 * last))
                    fail_msg("%s(%s) d=%zu stream %s: relative squared error %.4g, %.4g with a bit less", type->name, set.text, dim, v ? "V" : "K", error, last);
                first = widths++ == 0 ? error : first;
                last = error;
            }
            if (widths > 1 && !(last < 0.5 * first))
                fail_msg("%s d=%zu stream %s: from the least to the most bits the relative squared error goes from %.4g to %.4g", type->name, dim, v ? "V" : "K", first, last);
            n += widths;
        }
    return n;
}

/* ---- the battery and its table ---- */

static const struct {
    const char *name;
    bool (*run)(const subject *s);
} checks[] = {
    {"descr", descriptor},   {"sizes", sizes},     {"repeat", repeats},   {"seeds", seeds},       {"threads", threads}, {"strides", strides},     {"local", locality}, {"append", appending},
    {"idemp", idempotence}, {"hard", hard_rows}, {"error", accuracy}, {"damage", damaged_bytes}, {"reads", reads},   {"fits", fits},       {"memory", allocations},
};
enum { CHECKS = sizeof checks / sizeof *checks };

typedef struct tally {
    const char *name;
    const gyre_quantizer_type *type;
    size_t sets, inapplicable, subjects, unfit, passed[CHECKS], bits, published;
    bool done;
    double seconds;
} tally;

static tally tallies[VARIANTS_MOST];

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Applies or says why not, and then building says the same. */
static bool applies(const subject *s, tally *t)
{
    char why[GYRE_QUANTIZER_WHY];
    gyre_error error = {0};
    gyre_quantizer *q = NULL;
    memset(why, 0, sizeof why);
    if (gyre_quantizer_applies(s->type, &s->site, &s->set->values, why))
        return true;
    t->inapplicable++;
    if (why[0] == '\0' || why[GYRE_QUANTIZER_WHY - 1] != '\0')
        broken(s, "does not apply, and gives no reason");
    gyre_status st = gyre_quantizer_new(s->type, &s->site, &s->set->values, &q, &error);
    if (st != GYRE_E_APPLICABLE || q != NULL || strstr(error.message, why) == NULL)
        broken(s, "does not apply (%s), and building it says %s: %s", why, gyre_status_name(st), error.message);
    return false;
}

static void run_checks(subject *s, tally *t)
{
    gyre_error error = {0};
    s->q = build_at(s, &s->site, false);
    gyre_status st = flagged(s, GYRE_QUANTIZER_FITTED) ? fit_to(s, s->q, 1.0f, 0.0f, DOCUMENTS, FIT_TOKENS, &error) : GYRE_OK;
    if (st != GYRE_OK && (st != GYRE_E_INPUT || error.message[0] == '\0' || s->set == NULL))
        broken(s, "is not fitted: %s: %s", gyre_status_name(st), error.message);
    t->unfit += st != GYRE_OK; /* options that ask for more rows than there are */
    t->subjects += st == GYRE_OK;
    for (size_t c = 0; c < CHECKS && st == GYRE_OK; c++)
        t->passed[c] += checks[c].run(s);
    gyre_quantizer_free(s->q);
}

/* The defaults at every dimension; other sets at three of those to which they apply, at one or two where there are many sets. Heads and stream take turns. */
static void run_set(const gyre_quantizer_type *type, const option_set *set, size_t index, evidence *seen, tally *t)
{
    const size_t each = shortened || t->sets > 24 ? 1 : t->sets > 12 ? 2 : 3;
    const size_t *list = tested;
    size_t fitting[32], n = 0;
    subject s;
    for (size_t d = 0; list[d] != 0; d++) {
        settle(&s, type, set, list[d], 1, (gyre_stream)(d % 2), seen);
        if (applies(&s, t))
            fitting[n++] = list[d];
    }
    if (index == 0 && n == 0)
        broken(&s, "the defaults apply to no dimension");
    size_t wanted = index == 0 ? n : each;
    wanted = wanted < n ? wanted : n;
    for (size_t k = 0; k < wanted; k++) {
        size_t at = index == 0 ? k : (5 * index + k * n / wanted) % n, turn = index + k;
        settle(&s, type, set, fitting[at], turn / 2 % 2 ? 3 : 1, (gyre_stream)(turn % 2), seen);
        if (applies(&s, t))
            run_checks(&s, t);
    }
    for (size_t k = 0; index == 0 && k < 4; k++) { /* every number of heads with every stream at one dimension */
        settle(&s, type, set, fitting[n / 2], k / 2 ? 3 : 1, (gyre_stream)(k % 2), seen);
        if (applies(&s, t))
            run_checks(&s, t);
    }
}

static void battery(void **state)
{
    static option_set sets[SETS_MOST];
    tally *t = *state;
    evidence seen = {{0}, {0}, 0, 0};
    double start = now();
    assert_ptr_equal(gyre_quantizer_find(t->type->name), t->type);
    t->sets = option_sets(t->type, sets);
    for (size_t i = 0; i < t->sets; i += set_step)
        run_set(t->type, &sets[i], i, &seen, t);
    for (size_t p = 0; p < PROMISES; p++)
        if (seen.lacking[p] > 0 && seen.shown[p] == 0 && !shortened)
            fail_msg("%s lacks the flag %s, and %zu subjects without it keep what it promises", t->type->name, promises[p].name, seen.lacking[p]);
    if (seen.seeded > 0 && seen.seeds_differ == 0)
        fail_msg("%s is flagged seeded, and other seeds change nothing", t->type->name);
    t->published = published_sizes(t->type);
    t->bits = shortened ? 0 : more_bits_less_error(t->type);
    t->seconds = now() - start;
    t->done = true;
}

static void print_table(FILE *to, size_t n)
{
    (void)fprintf(to, "%-17s %5s %5s %5s %5s", "quantizer", "sets", "n/a", "unfit", "built");
    for (size_t c = 0; c < CHECKS; c++)
        (void)fprintf(to, " %7s", checks[c].name);
    (void)fprintf(to, " %7s %7s %7s\n", "bits", "publ.", "seconds");
    for (size_t i = 0; i < n; i++) {
        const tally *t = &tallies[i];
        (void)fprintf(to, "%-17s %5zu %5zu %5zu %5zu", t->name, t->sets, t->inapplicable, t->unfit, t->subjects);
        for (size_t c = 0; c < CHECKS; c++)
            (void)fprintf(to, t->passed[c] > 0 ? " %7zu" : "       -", t->passed[c]);
        (void)fprintf(to, t->bits > 0 ? " %7zu" : "       -", t->bits);
        (void)fprintf(to, t->published > 0 ? " %7zu" : "       -", t->published);
        (void)fprintf(to, t->done ? " %7.2f\n" : "  FAILED\n", t->seconds);
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[VARIANTS_MOST];
    size_t n = 0;
    battery_line line = battery_asked(argc, argv);
    shortened = line.shortened;
    set_step = line.least ? 3 : 1;
    tested = line.least ? least_dims : line.shortened ? short_dims : dims;
    for (size_t i = 0; gyre_quantizer_types[i] != NULL && n < VARIANTS_MOST; i++)
        if (battery_wants(&line, gyre_quantizer_types[i]->name)) {
            tallies[n].type = gyre_quantizer_types[i];
            tallies[n].name = tallies[n].type->name;
            tests[n] = (struct CMUnitTest){.name = tallies[n].name, .test_func = battery, .initial_state = &tallies[n]};
            n++;
        }
    if (!battery_knows_all(&line, "quantizer"))
        return 2;
    int failed = _cmocka_run_group_tests("quantizer battery", tests, n, NULL, NULL);
    print_table(stdout, n);
    FILE *table = shortened || line.n > 0 ? NULL : fopen(GYRE_BATTERY_TABLE, "w");
    if (table != NULL) {
        print_table(table, n);
        (void)fclose(table);
    }
    return failed != 0;
}
