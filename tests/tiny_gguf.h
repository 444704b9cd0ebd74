/* Small random language models for tests, written through gguf.h: no weights, no network.
 *
 * The vocabulary is <unk>, <s>, </s> and the 256 bytes, so any text tokenizes, one token a byte. Weights are reproducible (seed).
 */
#ifndef GYRE_TESTS_TINY_GGUF_H
#define GYRE_TESTS_TINY_GGUF_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tiny_model {
    const char *architecture; /* llama, qwen2, gemma2, gemma3; others are written with the tensors of llama */
    uint32_t n_layers, n_heads, n_kv_heads, head_dim, n_context;
    float bias;           /* standard deviation of the q/k/v biases (qwen2); 0 writes zeros */
    uint32_t window;      /* sliding window (gemma2, gemma3; layer 5 of gemma3 has none) */
    bool adds_bos;
    bool rope_factors;    /* llama: a rope_freqs.weight that stretches the slow half */
    uint32_t cacheless;   /* deci: the layer, counted from 1, that has no keys and values */
    bool no_tokenizer;
    bool repeat_a_token;  /* libllama aborts on such a file */
    uint32_t seed;
} tiny_model;

/* True when the file was written. */
bool tiny_gguf_write(const char *path, const tiny_model *model);

#endif
