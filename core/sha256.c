#include "core/sha256.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gyre_sha256 {
    EVP_MD_CTX *ctx;
    bool failed;
};

gyre_status gyre_sha256_new(gyre_sha256 **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, 1);
    (*out)->ctx = EVP_MD_CTX_new();
    if ((*out)->ctx == NULL || EVP_DigestInit_ex((*out)->ctx, EVP_sha256(), NULL) != 1) {
        gyre_sha256_free(*out);
        *out = NULL;
        GYRE_FAIL(GYRE_E_INTERNAL, "libcrypto offers no SHA-256");
    }
done:
    return st;
}

void gyre_sha256_add(gyre_sha256 *h, const void *bytes, size_t size)
{
    if (EVP_DigestUpdate(h->ctx, bytes, size) != 1)
        h->failed = true;
}

void gyre_sha256_add_text(gyre_sha256 *h, const char *text)
{
    gyre_sha256_add(h, text, strlen(text) + 1);
}

void gyre_sha256_add_uint(gyre_sha256 *h, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    gyre_sha256_add(h, bytes, sizeof bytes);
}

void gyre_sha256_free(gyre_sha256 *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

gyre_status gyre_sha256_hex(gyre_sha256 *h, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    unsigned char digest[GYRE_SHA256_BYTES];
    if (h->failed || EVP_DigestFinal_ex(h->ctx, digest, NULL) != 1)
        GYRE_FAIL(GYRE_E_INTERNAL, "libcrypto failed to finish a SHA-256");
    for (int i = 0; i < GYRE_SHA256_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)digest[i]);
done:
    gyre_sha256_free(h);
    return st;
}

gyre_status gyre_sha256_bytes(const void *bytes, size_t size, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    GYRE_TRY(gyre_sha256_new(&h, err));
    gyre_sha256_add(h, bytes, size);
    GYRE_TRY(gyre_sha256_hex(h, hex, err));
done:
    return st;
}

gyre_status gyre_sha256_file(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    enum { CHUNK = 1 << 16 };
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    unsigned char *buffer = NULL;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot open %s: check the path and its permissions", path);
    GYRE_NEW(&buffer, CHUNK);
    GYRE_TRY(gyre_sha256_new(&h, err));
    size_t n;
    while ((n = fread(buffer, 1, CHUNK, f)) > 0)
        gyre_sha256_add(h, buffer, n);
    if (ferror(f))
        GYRE_FAIL(GYRE_E_IO, "cannot read %s to its end", path);
    st = gyre_sha256_hex(h, hex, err);
    h = NULL;
done:
    gyre_sha256_free(h);
    free(buffer);
    if (f != NULL)
        (void)fclose(f);
    return st;
}
