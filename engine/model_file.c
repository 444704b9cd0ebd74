#define _POSIX_C_SOURCE 200809L
#include "engine/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 1 << 28 };

/* ---- models ---- */

/* Joins pieces into a fresh string. */
static gyre_status join(char **out, const char *a, const char *b, const char *c, const char *d, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t size = strlen(a) + strlen(b) + strlen(c) + strlen(d) + 1;
    GYRE_NEW(out, size);
    (void)snprintf(*out, size, "%s%s%s%s", a, b, c, d);
done:
    return st;
}

gyre_status gyre_file_stem(const char *path, char **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path, *dot = strrchr(base, '.');
    size_t length = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    GYRE_NEW(out, length + 1);
    memcpy(*out, base, length);
done:
    return st;
}

gyre_status gyre_model_find(const char *model, char **path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (access(model, F_OK) == 0 || strchr(model, '/') != NULL) {
        GYRE_TRY(join(path, model, "", "", "", err));
        goto done;
    }
    if (cache != NULL && cache[0] != '\0')
        GYRE_TRY(join(path, cache, "/gyre/models/", model, ".gguf", err));
    else
        GYRE_TRY(join(path, home != NULL ? home : "", "/.cache/gyre/models/", model, ".gguf", err));
    if (access(*path, F_OK) != 0)
        GYRE_FAIL(GYRE_E_IO, "there is no file %s, and no model of that name at %s: scripts/fetch-model --list names those that can be fetched", model, *path);
done:
    return st;
}

gyre_status gyre_model_digest(const char *path, char sha256[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *beside = NULL, card[GYRE_SHA256_HEX] = "";
    GYRE_TRY(gyre_sha256_file(path, sha256, err));
    GYRE_TRY(join(&beside, path, ".sha256", "", "", err));
    FILE *f = fopen(beside, "r");
    if (f != NULL) {
        size_t n = fread(card, 1, sizeof card - 1, f);
        (void)fclose(f);
        if (n != sizeof card - 1 || strcmp(card, sha256) != 0)
            GYRE_FAIL(GYRE_E_INPUT, "%s is not the model that its card names (SHA-256 %.12s..., the card's is %.12s...): fetch it again with scripts/fetch-model", path, sha256, card);
    }
done:
    free(beside);
    return st;
}

/* ---- texts ---- */

static gyre_status read_text(const char *path, char **text, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *text = NULL;
    FILE *f = fopen(path, "rb");
    long n = -1;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot open the text %s: no such file, or not readable", path);
    if (n > TEXT_BYTES)
        GYRE_FAIL(GYRE_E_INPUT, "the text %s is larger than %d MiB; only its beginning would be used, so cut it", path, TEXT_BYTES >> 20);
    GYRE_NEW(text, (size_t)n + 1);
    *size = fread(*text, 1, (size_t)n, f);
    if (*size != (size_t)n || ferror(f))
        GYRE_FAIL(GYRE_E_IO, "cannot read the text %s", path);
done:
    if (f != NULL)
        (void)fclose(f);
    if (st != GYRE_OK) {
        free(*text);
        *text = NULL;
    }
    return st;
}

/* Offset of the first byte that is not UTF-8 (RFC 3629), or size. */
static size_t utf8_prefix(const unsigned char *s, size_t size)
{
    size_t i = 0;
    while (i < size) {
        size_t more = s[i] < 0x80 ? 0 : s[i] >= 0xC2 && s[i] <= 0xDF ? 1 : (s[i] & 0xF0) == 0xE0 ? 2 : s[i] >= 0xF0 && s[i] <= 0xF4 ? 3 : 4;
        if (more == 4 || size - i <= more)
            return i;
        if ((s[i] == 0xE0 && s[i + 1] < 0xA0) || (s[i] == 0xED && s[i + 1] > 0x9F) || (s[i] == 0xF0 && s[i + 1] < 0x90)
            || (s[i] == 0xF4 && s[i + 1] > 0x8F))
            return i;
        for (size_t j = 1; j <= more; j++)
            if ((s[i + j] & 0xC0) != 0x80)
                return i;
        i += more + 1;
    }
    return size;
}

gyre_status gyre_text_read(const char *path, char **text, size_t *size, char sha256[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(read_text(path, text, size, err));
    size_t good = utf8_prefix((const unsigned char *)*text, *size);
    if (good < *size)
        GYRE_FAIL(GYRE_E_INPUT, "the text %s is not UTF-8 at byte %zu: convert it first", path, good);
    GYRE_TRY(gyre_sha256_bytes(*text, *size, sha256, err));
done:
    if (st != GYRE_OK) {
        free(*text);
        *text = NULL;
    }
    return st;
}

gyre_status gyre_text_tokens(gyre_engine *engine, const char *path, int32_t **tokens, size_t *n_tokens, char sha256[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *text = NULL;
    size_t size = 0;
    GYRE_TRY(gyre_text_read(path, &text, &size, sha256, err));
    GYRE_TRY(gyre_engine_tokenize(engine, text, size > 0 && text[size - 1] == '\n' ? size - 1 : size, tokens, n_tokens, err));
done:
    free(text);
    return st;
}
