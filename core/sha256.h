/* SHA-256 (FIPS 180-4) through libcrypto. Digests are 32 bytes; hex is 64 lower-case digits and a terminating zero. */
#ifndef GYRE_CORE_SHA256_H
#define GYRE_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { GYRE_SHA256_BYTES = 32, GYRE_SHA256_HEX = 65 };

typedef struct gyre_sha256 gyre_sha256;

gyre_status gyre_sha256_new(gyre_sha256 **out, gyre_error *err);
void gyre_sha256_add(gyre_sha256 *h, const void *bytes, size_t size);
void gyre_sha256_add_text(gyre_sha256 *h, const char *text); /* the bytes and the terminating zero, so that fields cannot run together */
void gyre_sha256_add_uint(gyre_sha256 *h, uint64_t value);   /* 8 bytes, little-endian */
/* Writes the hex digest and frees h; a failure inside libcrypto since _new shows here. NULL h is allowed and frees nothing. */
gyre_status gyre_sha256_hex(gyre_sha256 *h, char hex[GYRE_SHA256_HEX], gyre_error *err);
void gyre_sha256_free(gyre_sha256 *h);

gyre_status gyre_sha256_bytes(const void *bytes, size_t size, char hex[GYRE_SHA256_HEX], gyre_error *err);
gyre_status gyre_sha256_file(const char *path, char hex[GYRE_SHA256_HEX], gyre_error *err);

#endif
