#include "core/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const gyre_option *gyre_option_find(const gyre_option *table, const char *key)
{
    for (; table != NULL && table->key != NULL; table++)
        if (strcmp(table->key, key) == 0)
            return table;
    return NULL;
}

bool gyre_parse_int(const char *text, int64_t *out)
{
    const char *p = text + (*text == '-');
    size_t digits = strspn(p, "0123456789");
    if (digits == 0 || p[digits] != '\0' || (digits > 1 && *p == '0'))
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    *out = value;
    return errno == 0;
}

/* The program never calls setlocale, so strtod reads the C locale. */
bool gyre_parse_real(const char *text, double *out)
{
    if (text[0] == '\0' || strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    char *end = NULL;
    double value = strtod(text, &end);
    *out = value;
    return end != text && *end == '\0' && isfinite(value);
}

static int choice_of(const gyre_option *o, const char *text)
{
    for (int i = 0; o->choices != NULL && o->choices[i] != NULL; i++)
        if (strcmp(o->choices[i], text) == 0)
            return i;
    return -1;
}

void gyre_option_domain(const gyre_option *o, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
#define ADD(...)                                                                                                               \
    do {                                                                                                                       \
        int n_ = snprintf(text + used, size - used, __VA_ARGS__);                                                              \
        used = n_ > 0 && used + (size_t)n_ < size ? used + (size_t)n_ : used;                                                  \
    } while (0)
    if (o->type == GYRE_OPTION_BOOL || o->type == GYRE_OPTION_FILE) {
        ADD("%s", o->type == GYRE_OPTION_BOOL ? "true or false" : "a file");
        return;
    }
    if (o->choices != NULL) {
        ADD("%s", o->type == GYRE_OPTION_CHOICE ? "one of {" : "");
        for (int i = 0; o->choices[i] != NULL; i++)
            ADD("%s%s", i == 0 ? "" : ", ", o->choices[i]);
        ADD("%s", o->type == GYRE_OPTION_CHOICE ? "}" : " or ");
    }
    if (o->type == GYRE_OPTION_INT)
        ADD("an integer in [%.0f, %.0f]", o->lo, o->hi);
    if (o->type == GYRE_OPTION_REAL)
        ADD("a finite number in [%g, %g]", o->lo, o->hi);
#undef ADD
}

/* Why a file cannot be read, in the system's words; NULL where it can. A folder opens and then does not read. */
static const char *unreadable(const char *path)
{
    errno = 0;
    FILE *f = fopen(path, "rb");
    bool ok = f != NULL && (fgetc(f) != EOF || !ferror(f));
    int reason = errno;
    if (f != NULL)
        (void)fclose(f);
    return ok ? NULL : strerror(reason);
}

static bool parse_file(const char *text, gyre_option_file *value, char *why)
{
    gyre_option_file parsed = {0};
    const char *reason = text[0] == '\0' ? "no file is named" : strlen(text) >= sizeof parsed.path ? "the path is too long" : unreadable(text);
    if (reason == NULL && gyre_sha256_file(text, parsed.sha256, NULL) != GYRE_OK)
        reason = "reading it failed";
    if (reason != NULL) {
        size_t n = strlen(text), tail = n > 80 ? n - 80 : 0;
        if (why != NULL)
            (void)snprintf(why, GYRE_OPTION_TEXT, "'%s%.80s' cannot be read: %.50s", tail > 0 ? "..." : "", text + tail, reason);
        return false;
    }
    memcpy(parsed.path, text, strlen(text));
    *value = parsed;
    return true;
}

gyre_status gyre_option_file_check(const gyre_option_file *file, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char now[GYRE_SHA256_HEX];
    GYRE_TRY(gyre_sha256_file(file->path, now, err));
    if (strcmp(now, file->sha256) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s changed since the configuration was read: its SHA-256 was %.12s..., now it is %.12s...: start again", file->path,
                  file->sha256, now);
done:
    return st;
}

bool gyre_option_parse(const gyre_option *o, void *values, const char *text, char *why)
{
    char *at = (char *)values + o->offset;
    bool ok = false;
    switch (o->type) {
    case GYRE_OPTION_INT: {
        int64_t value;
        int word = choice_of(o, text);
        if (word >= 0) {
            value = -word;
            ok = true;
        } else {
            ok = gyre_parse_int(text, &value) && (double)value >= o->lo && (double)value <= o->hi;
        }
        if (ok)
            memcpy(at, &value, sizeof value);
        break;
    }
    case GYRE_OPTION_REAL: {
        double value;
        ok = gyre_parse_real(text, &value) && value >= o->lo && value <= o->hi;
        if (ok)
            memcpy(at, &value, sizeof value);
        break;
    }
    case GYRE_OPTION_BOOL: {
        bool value = strcmp(text, "true") == 0;
        ok = value || strcmp(text, "false") == 0;
        if (ok)
            memcpy(at, &value, sizeof value);
        break;
    }
    case GYRE_OPTION_CHOICE: {
        int value = choice_of(o, text);
        ok = value >= 0;
        if (ok)
            memcpy(at, &value, sizeof value);
        break;
    }
    case GYRE_OPTION_FILE:
        return parse_file(text, (gyre_option_file *)(void *)at, why);
    }
    if (!ok && why != NULL) {
        char domain[GYRE_OPTION_TEXT];
        gyre_option_domain(o, domain, sizeof domain);
        const char *near = o->choices != NULL ? gyre_nearest(text, o->choices) : NULL;
        (void)snprintf(why, GYRE_OPTION_TEXT, "'%.40s' is not %.80s%s%s%s", text, domain, near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                       near != NULL ? "'?)" : "");
    }
    return ok;
}

bool gyre_options_defaults(const gyre_option *table, void *values)
{
    bool all = true;
    for (; table != NULL && table->key != NULL; table++)
        if (table->fallback == NULL || !gyre_option_parse(table, values, table->fallback, NULL))
            all = false;
    return all;
}

void gyre_option_print(const gyre_option *o, const void *values, char *text, size_t size)
{
    const char *at = (const char *)values + o->offset;
    text[0] = '\0';
    if (o->type == GYRE_OPTION_INT) {
        int64_t value;
        memcpy(&value, at, sizeof value);
        int words = 0;
        while (o->choices != NULL && o->choices[words] != NULL)
            words++;
        if (value <= 0 && -value < words)
            (void)snprintf(text, size, "%s", o->choices[-value]);
        else
            (void)snprintf(text, size, "%lld", (long long)value);
    } else if (o->type == GYRE_OPTION_REAL) {
        double value;
        memcpy(&value, at, sizeof value);
        (void)snprintf(text, size, "%.17g", value);
    } else if (o->type == GYRE_OPTION_BOOL) {
        bool value;
        memcpy(&value, at, sizeof value);
        (void)snprintf(text, size, "%s", value ? "true" : "false");
    } else if (o->type == GYRE_OPTION_FILE) {
        (void)snprintf(text, size, "sha256:%s", ((const gyre_option_file *)(const void *)at)->sha256);
    } else {
        int value;
        memcpy(&value, at, sizeof value);
        (void)snprintf(text, size, "%s", o->choices[value]);
    }
}

void gyre_options_canonical(const gyre_option *table, const void *values, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const gyre_option *o = table; o != NULL && o->key != NULL; o++) {
        char value[GYRE_OPTION_TEXT];
        gyre_option_print(o, values, value, sizeof value);
        int n = snprintf(text + used, size - used, "%s%s=%s", used == 0 ? "" : ",", o->key, value);
        if (n < 0 || used + (size_t)n >= size)
            return;
        used += (size_t)n;
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein distance (restricted transpositions); words of up to 63 bytes. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n >= MOST || m >= MOST)
        return MOST;
    size_t rows[3][MOST];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *gyre_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = 3;
    for (; names != NULL && *names != NULL; names++) {
        size_t d = distance(word, *names);
        if (d < best_distance && d < strlen(word)) {
            best_distance = d;
            best = *names;
        }
    }
    return best;
}
