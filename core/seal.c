#include "core/seal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/sha256.h"

enum { MAGIC_BYTES = 8, HEX_BYTES = GYRE_SHA256_HEX - 1, SEAL_BYTES = MAGIC_BYTES + HEX_BYTES, BLOCK_BYTES = 65536 };

static const char magic[MAGIC_BYTES + 1] = "GYRESEAL";

/* SHA-256 of the first `size` bytes of f. */
static gyre_status digest_of(FILE *f, size_t size, const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sha256 *h = NULL;
    unsigned char block[BLOCK_BYTES];
    rewind(f);
    GYRE_TRY(gyre_sha256_new(&h, err));
    while (size > 0) {
        size_t n = fread(block, 1, size < sizeof block ? size : sizeof block, f);
        if (n == 0)
            GYRE_FAIL(GYRE_E_IO, "cannot read %s", path);
        gyre_sha256_add(h, block, n);
        size -= n;
    }
    gyre_sha256 *finished = h;
    h = NULL;
    GYRE_TRY(gyre_sha256_hex(finished, hex, err));
done:
    gyre_sha256_free(h);
    return st;
}

static gyre_status size_of(FILE *f, const char *path, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    long end = -1;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (end = ftell(f)) < 0)
        GYRE_FAIL(GYRE_E_IO, "cannot open %s: no such file, or not readable", path);
    *size = (size_t)end;
done:
    return st;
}

gyre_status gyre_seal_write(const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char hex[GYRE_SHA256_HEX];
    size_t size = 0;
    FILE *f = fopen(path, "r+b");
    GYRE_TRY(size_of(f, path, &size, err));
    GYRE_TRY(digest_of(f, size, path, hex, err));
    bool good = fseek(f, 0, SEEK_END) == 0 && fwrite(magic, 1, MAGIC_BYTES, f) == MAGIC_BYTES && fwrite(hex, 1, HEX_BYTES, f) == HEX_BYTES;
    good = fclose(f) == 0 && good;
    f = NULL;
    if (!good)
        GYRE_FAIL(GYRE_E_IO, "cannot finish writing %s: is the disk full?", path);
done:
    if (f != NULL)
        (void)fclose(f);
    return st;
}

gyre_status gyre_seal_check(const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char seal[SEAL_BYTES], hex[GYRE_SHA256_HEX];
    size_t size = 0;
    FILE *f = fopen(path, "rb");
    GYRE_TRY(size_of(f, path, &size, err));
    if (size < SEAL_BYTES)
        goto done;
    if (fseek(f, -(long)SEAL_BYTES, SEEK_END) != 0 || fread(seal, 1, SEAL_BYTES, f) != SEAL_BYTES)
        GYRE_FAIL(GYRE_E_IO, "cannot read %s", path);
    if (memcmp(seal, magic, MAGIC_BYTES) != 0)
        goto done;
    GYRE_TRY(digest_of(f, size - SEAL_BYTES, path, hex, err));
    if (memcmp(seal + MAGIC_BYTES, hex, HEX_BYTES) != 0)
        GYRE_FAIL(GYRE_E_INPUT, "%s is damaged: its bytes do not have the SHA-256 that its seal names; make or fetch it again", path);
done:
    if (f != NULL)
        (void)fclose(f);
    return st;
}
