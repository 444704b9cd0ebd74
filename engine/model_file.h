/* Files that the engine is given: models by name or path, texts.
 *
 * Errors: GYRE_E_IO (not there, not readable), GYRE_E_INPUT (too large, not UTF-8, not the file that its card names).
 */
#ifndef GYRE_ENGINE_MODEL_FILE_H
#define GYRE_ENGINE_MODEL_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/sha256.h"
#include "core/status.h"
#include "engine/engine.h"

/* A file as it is; else the name of a model in the folder where scripts/fetch-model keeps models. Caller frees *path. */
gyre_status gyre_model_find(const char *model, char **path, gyre_error *err);

/* "smollm2-135m" of "models/smollm2-135m.gguf": a file's name without folder and last extension. Caller frees. */
gyre_status gyre_file_stem(const char *path, char **out, gyre_error *err);

/* SHA-256 of a model file. Beside a fetched model lies PATH.sha256, what its card says: another file under that name is refused. */
gyre_status gyre_model_digest(const char *path, char sha256[GYRE_SHA256_HEX], gyre_error *err);

/* A UTF-8 text, whole, and its SHA-256. Caller frees *text. */
gyre_status gyre_text_read(const char *path, char **text, size_t *size, char sha256[GYRE_SHA256_HEX], gyre_error *err);

/* The tokens of a text as llama-perplexity takes them: the whole file but for one newline at its end. Caller frees *tokens. */
gyre_status gyre_text_tokens(gyre_engine *engine, const char *path, int32_t **tokens, size_t *n_tokens, char sha256[GYRE_SHA256_HEX], gyre_error *err);

#endif
