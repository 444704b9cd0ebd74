/* Capturing: texts through a language model, its keys, values and queries into a capture file (tensors/capture.h).
 *
 * One text is one document: its first n_tokens tokens, from an empty cache, as llama-perplexity chunks them (tokenized with special tokens, token 0
 * replaced by BOS where the model adds one). Queries are those of the last n_queries positions. The model runs in a child process.
 * Errors: GYRE_E_INPUT (model or text cannot be used), GYRE_E_UNSUPPORTED, GYRE_E_USAGE (layers), GYRE_E_IO, GYRE_E_NAN, GYRE_E_INTERRUPTED; on every
 * error the output file is as it was before.
 */
#ifndef GYRE_ENGINE_CAPTURE_H
#define GYRE_ENGINE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/log.h"
#include "core/status.h"

typedef struct gyre_capture_text {
    char *path;
    char *name;    /* unique */
    char *licence; /* SPDX expression, or "unknown" */
    char *source;  /* "" where unknown */
} gyre_capture_text;

typedef struct gyre_capture_request {
    const char *model_path;
    const char *model_name;
    const char *model_licence; /* NULL: what the GGUF says, or "unknown" */
    const char *output_path;
    const char *command_line;
    const gyre_capture_text *texts;
    size_t n_texts;
    const char *layers; /* "all", or a list of numbers, "mid" and "last": "0,mid,last" */
    size_t n_tokens, n_queries;
    unsigned threads; /* 0: all processors */
    bool f32;         /* store everything as binary32 */
} gyre_capture_request;

gyre_status gyre_capture_run(const gyre_capture_request *request, gyre_log *log, gyre_error *err);

#endif
