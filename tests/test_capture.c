/* Capture files: what is written comes back, precision is chosen by the rule of docs/capture-schema.md, damage is found and named. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/h5.h"
#include "core/half.h"
#include "tensors/capture.h"

enum { PATH = 256, DOCUMENTS = 3, TOKENS = 40, QUERIES = 2, KV_HEADS = 2, Q_HEADS = 4, DIM = 16, LAYERS = 2 };
enum { N_KV = DOCUMENTS * TOKENS * KV_HEADS * DIM, N_Q = DOCUMENTS * QUERIES * Q_HEADS * DIM };

/* A whole small capture in memory, and a folder for its files. */
typedef struct fixture {
    char folder[PATH], path[PATH], other[PATH];
    gyre_capture_data data;
    gyre_capture_document documents[DOCUMENTS];
    gyre_capture_layer layers[LAYERS];
    int32_t pos[DOCUMENTS * TOKENS], token_id[DOCUMENTS * TOKENS], query_pos[DOCUMENTS * QUERIES];
    uint32_t kv_head_of[Q_HEADS];
    float k[LAYERS][N_KV], v[LAYERS][N_KV], q[LAYERS][N_Q], bias[KV_HEADS * DIM], factors[DIM / 2];
} fixture;

static float wave(size_t i, double step)
{
    return (float)sin((double)i * step + 0.3);
}

static void fill(fixture *f)
{
    static const char *const names[DOCUMENTS] = {"one", "two", "d\xC3\xA9j\xC3\xA0"};
    for (size_t i = 0; i < DOCUMENTS; i++)
        f->documents[i] = (gyre_capture_document){names[i], "00", "CC0-1.0", i == 1 ? NULL : "made here"};
    for (int i = 0; i < DOCUMENTS * TOKENS; i++) {
        f->pos[i] = i % TOKENS;
        f->token_id[i] = i * 31 % 1000;
    }
    for (int i = 0; i < DOCUMENTS * QUERIES; i++)
        f->query_pos[i] = TOKENS - QUERIES + i % QUERIES;
    for (uint32_t i = 0; i < Q_HEADS; i++)
        f->kv_head_of[i] = i / (Q_HEADS / KV_HEADS);
    for (size_t l = 0; l < LAYERS; l++) {
        for (size_t i = 0; i < N_KV; i++) {
            f->k[l][i] = wave(i, 1.7 + (double)l);
            f->v[l][i] = wave(i, 0.9 + (double)l);
        }
        for (size_t i = 0; i < N_Q; i++)
            f->q[l][i] = wave(i, 0.4);
        f->layers[l] = (gyre_capture_layer){.layer = (uint32_t)l * 5, .n_kv_heads = KV_HEADS, .n_q_heads = Q_HEADS, .dim = DIM, .score_scale = 0.25f,
                                            .rope = {.kind = GYRE_ROPE_NEOX, .n_rot = DIM, .base = 1e6f, .freq_scale = 1, .attn_factor = 1,
                                                .beta_fast = 32,
                                                     .beta_slow = 1, .n_ctx_orig = 4096},
                                            .k = f->k[l], .v = f->v[l], .q = f->q[l], .kv_head_of = f->kv_head_of};
    }
    for (size_t i = 0; i < KV_HEADS * DIM; i++)
        f->bias[i] = wave(i, 2.2);
    for (size_t i = 0; i < DIM / 2; i++)
        f->factors[i] = 1.0f + (float)i;
    f->layers[1].k_bias = f->bias;
    f->layers[1].rope.factors = f->factors;
    f->data = (gyre_capture_data){.model_name = "toy", .architecture = "qwen2", .model_sha256 = "ab", .model_file_type = "F32", .model_licence = "CC0-1.0",
                                  .engine_version = "1", .engine_flags = "none", .command_line = "gyre capture", .tokenizer_note = "no BOS",
                                  .n_documents = DOCUMENTS, .n_tokens = TOKENS, .n_queries = QUERIES, .documents = f->documents, .pos = f->pos,
                                  .token_id = f->token_id, .query_pos = f->query_pos, .n_layers = LAYERS, .layers = f->layers};
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *base = getenv("TMPDIR");
    assert_true(snprintf(f->folder, PATH, "%.100s/gyre-capture-XXXXXX", base != NULL ? base : "/tmp") < PATH);
    assert_non_null(mkdtemp(f->folder));
    assert_true(snprintf(f->path, PATH, "%.200s/a.h5", f->folder) < PATH);
    assert_true(snprintf(f->other, PATH, "%.200s/b.h5", f->folder) < PATH);
    gyre_h5_quiet();
    fill(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    (void)unlink(f->path);
    (void)unlink(f->other);
    int left = rmdir(f->folder); /* fails where a half-written file was left */
    free(f);
    return left;
}

static void must(gyre_status st, const gyre_error *err)
{
    if (st != GYRE_OK)
        fail_msg("%s: %s", gyre_status_name(st), err->message);
}

static void expect(gyre_status st, gyre_status wanted, const gyre_error *err, const char *words)
{
    if (st != wanted || strstr(err->message, words) == NULL)
        fail_msg("expected '%s' with '%s', got '%s': %s", gyre_status_name(wanted), words, gyre_status_name(st), err->message);
}

static void digest_of(const char *path, char hex[GYRE_SHA256_HEX])
{
    gyre_error err = {0};
    gyre_capture *c = NULL;
    must(gyre_capture_open(path, &c, &err), &err);
    must(gyre_capture_digest(c, hex, &err), &err);
    gyre_capture_close(c);
}

/* ---- what is written comes back ---- */

static void everything_comes_back(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    gyre_capture_layer l;
    must(gyre_capture_write(f->path, &f->data, true, &err), &err);
    must(gyre_capture_open(f->path, &c, &err), &err);
    const gyre_capture_data *info = gyre_capture_info(c);
    assert_string_equal(info->model_name, "toy");
    assert_string_equal(info->command_line, "gyre capture");
    assert_string_equal(info->documents[2].name, "d\xC3\xA9j\xC3\xA0");
    assert_string_equal(info->documents[1].source, "");
    assert_int_equal(info->n_tokens, TOKENS);
    assert_int_equal(info->n_queries, QUERIES);
    assert_memory_equal(info->pos, f->pos, sizeof f->pos);
    assert_memory_equal(info->token_id, f->token_id, sizeof f->token_id);
    assert_memory_equal(info->query_pos, f->query_pos, sizeof f->query_pos);
    assert_int_equal(info->n_layers, LAYERS);
    assert_null(info->layers[0].k_bias);
    assert_null(info->layers[0].rope.factors);
    for (size_t i = 0; i < LAYERS; i++) {
        must(gyre_capture_read_layer(c, i, &l, &err), &err);
        assert_int_equal(l.layer, 5 * i);
        assert_int_equal(l.rope.kind, GYRE_ROPE_NEOX);
        assert_true(l.rope.base == 1e6f && l.rope.beta_fast == 32.0f && l.score_scale == 0.25f && l.k_f32 && l.floor_nmse_centred == 0);
        assert_int_equal(l.rope.n_ctx_orig, 4096);
        assert_memory_equal(l.k, f->k[i], sizeof f->k[i]);
        assert_memory_equal(l.v, f->v[i], sizeof f->v[i]);
        assert_memory_equal(l.q, f->q[i], sizeof f->q[i]);
        assert_memory_equal(l.kv_head_of, f->kv_head_of, sizeof f->kv_head_of);
        gyre_capture_layer_free(&l);
    }
    assert_memory_equal(info->layers[1].k_bias, f->bias, sizeof f->bias);
    assert_memory_equal(info->layers[1].rope.factors, f->factors, sizeof f->factors);
    gyre_capture_close(c);
}

static void halves_are_rounded_to_even(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    gyre_capture_layer l;
    f->v[0][0] = 1.0f + 1.0f / 2048; /* half way between 1 and its successor: to even */
    f->v[0][1] = 1.0f + 3.0f / 2048;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    must(gyre_capture_open(f->path, &c, &err), &err);
    must(gyre_capture_read_layer(c, 0, &l, &err), &err);
    assert_true(l.v[0] == 1.0f && l.v[1] == 1.0f + 4.0f / 2048);
    for (size_t i = 0; i < N_KV; i++)
        assert_true(l.k[i] == gyre_half_to_float(gyre_half_from_float(f->k[0][i])));
    gyre_capture_layer_free(&l);
    gyre_capture_close(c);
}

static void a_capture_without_queries(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    gyre_capture_layer l;
    f->data.n_queries = 0;
    f->layers[0].q = f->layers[1].q = NULL;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    must(gyre_capture_open(f->path, &c, &err), &err);
    assert_int_equal(gyre_capture_info(c)->n_queries, 0);
    must(gyre_capture_read_layer(c, 1, &l, &err), &err);
    assert_null(l.q);
    gyre_capture_layer_free(&l);
    gyre_capture_close(c);
}

/* ---- precision ---- */

/* Waves of amplitude 1 about 0: binary16 loses about 2^-24, eight bits about (1/127)^2/12 of the energy, so halves are good enough. About 100 they are
 * not: the spacing of binary16 there is 1/16. */
static void keys_far_from_zero_get_32_bits(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    for (size_t i = 0; i < N_KV; i++)
        f->k[1][i] += 100;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    must(gyre_capture_open(f->path, &c, &err), &err);
    const gyre_capture_layer *layers = gyre_capture_info(c)->layers;
    assert_false(layers[0].k_f32);
    assert_true(layers[0].floor_nmse_centred > 1e-9 && layers[0].floor_nmse_centred < 1e-6);
    assert_true(layers[1].k_f32);
    assert_true(layers[1].floor_nmse_centred == 0);
    gyre_capture_close(c);
}

static void values_beyond_halves_get_32_bits(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    gyre_capture_layer l;
    f->v[0][7] = 70000;
    f->k[1][7] = -1e6f;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    must(gyre_capture_open(f->path, &c, &err), &err);
    must(gyre_capture_read_layer(c, 0, &l, &err), &err);
    assert_memory_equal(l.v, f->v[0], sizeof f->v[0]);
    gyre_capture_layer_free(&l);
    must(gyre_capture_read_layer(c, 1, &l, &err), &err);
    assert_memory_equal(l.k, f->k[1], sizeof f->k[1]);
    gyre_capture_layer_free(&l);
    gyre_capture_close(c);
}

/* ---- digest ---- */

static void the_digest_is_of_the_science(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    char first[GYRE_SHA256_HEX], second[GYRE_SHA256_HEX];
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    digest_of(f->path, first);
    f->data.command_line = "another way";
    f->data.engine_version = "2";
    f->data.engine_flags = "other threads";
    must(gyre_capture_write(f->other, &f->data, false, &err), &err);
    digest_of(f->other, second);
    assert_string_equal(first, second);

    f->data.model_name = "toy2";
    must(gyre_capture_write(f->other, &f->data, false, &err), &err);
    digest_of(f->other, second);
    assert_string_not_equal(first, second);
    f->data.model_name = "toy";
    f->q[1][N_Q - 1] += 0.25f;
    must(gyre_capture_write(f->other, &f->data, false, &err), &err);
    digest_of(f->other, second);
    assert_string_not_equal(first, second);
    f->q[1][N_Q - 1] -= 0.25f;
    f->bias[0] = 9;
    must(gyre_capture_write(f->other, &f->data, false, &err), &err);
    digest_of(f->other, second);
    assert_string_not_equal(first, second);
}

/* ---- damage ---- */

static void not_finite_is_refused_with_its_place(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    f->k[1][((1 * TOKENS + 7) * KV_HEADS + 1) * DIM + 3] = NAN;
    expect(gyre_capture_write(f->path, &f->data, false, &err), GYRE_E_NAN, &err, "layer 5, k: document 'two', token 7, head 1, coordinate 3 is NaN");
    assert_int_not_equal(access(f->path, F_OK), 0);
    f->k[1][((1 * TOKENS + 7) * KV_HEADS + 1) * DIM + 3] = 0;
    f->q[0][0] = INFINITY;
    expect(gyre_capture_write(f->path, &f->data, true, &err), GYRE_E_NAN, &err, "layer 0, q: document 'one', query 0, head 0, coordinate 0 is infinite");
}

/* Puts a NaN into a finished file. */
static void poison(const char *path, const char *name)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(set);
    hsize_t at[4] = {2, 1, 0, 5}, one[4] = {1, 1, 1, 1};
    float bad = NAN;
    hid_t memory = H5Screate(H5S_SCALAR);
    assert_true(H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, one, NULL) >= 0);
    assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, &bad) >= 0);
    (void)H5Sclose(memory);
    (void)H5Sclose(space);
    (void)H5Dclose(set);
    (void)H5Fclose(file);
}

static void not_finite_in_a_file_is_refused(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    gyre_capture_layer l;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    poison(f->path, "layer_05/v");
    must(gyre_capture_open(f->path, &c, &err), &err);
    expect(gyre_capture_read_layer(c, 1, &l, &err), GYRE_E_NAN, &err, "layer 5, v: document 'd\xC3\xA9j\xC3\xA0', token 1, head 0, coordinate 5 is NaN");
    assert_non_null(strstr(err.message, f->path));
    assert_null(l.k);
    gyre_capture_close(c);
}

static char *slurp(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static void spill(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void foreign_and_truncated_files(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    size_t size;
    expect(gyre_capture_open(f->path, &c, &err), GYRE_E_IO, &err, "no such file");
    spill(f->path, "not a capture", 13);
    expect(gyre_capture_open(f->path, &c, &err), GYRE_E_INPUT, &err, "not a readable HDF5 file");
    hid_t file;
    must(gyre_h5_create(f->path, &file, &err), &err);
    must(gyre_h5_close(&file, f->path, &err), &err);
    expect(gyre_capture_open(f->path, &c, &err), GYRE_E_INPUT, &err, "schema");
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    char *bytes = slurp(f->path, &size);
    spill(f->other, bytes, size - 100);
    expect(gyre_capture_open(f->other, &c, &err), GYRE_E_INPUT, &err, "truncated");
    assert_null(c);
    free(bytes);
}

/* Any flipped bit before the seal is found, wherever it is. */
static void flipped_bits_are_found(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    size_t size, tried = 0;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    char *bytes = slurp(f->path, &size);
    for (size_t at = 0; at < size - 72; at += size / 199, tried++) {
        bytes[at] = (char)(bytes[at] ^ (1 << at % 8));
        spill(f->other, bytes, size);
        bytes[at] = (char)(bytes[at] ^ (1 << at % 8));
        expect(gyre_capture_open(f->other, &c, &err), GYRE_E_INPUT, &err, "is damaged");
    }
    assert_true(tried > 150);
    free(bytes);
}

/* A file whose seal was dropped is still read, and its chunks are still checked by HDF5. */
static void a_file_without_seal_is_read(void **state)
{
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    gyre_capture_layer l;
    char sealed[GYRE_SHA256_HEX], bare[GYRE_SHA256_HEX];
    size_t size;
    must(gyre_capture_write(f->path, &f->data, true, &err), &err);
    digest_of(f->path, sealed);
    char *bytes = slurp(f->path, &size);
    spill(f->other, bytes, size - 72);
    digest_of(f->other, bare);
    assert_string_equal(sealed, bare);

    hid_t file = H5Fopen(f->other, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, "layer_00/k", H5P_DEFAULT);
    hsize_t first[4] = {0}, length = 0;
    haddr_t at = HADDR_UNDEF;
    assert_true(H5Dget_chunk_info_by_coord(set, first, NULL, &at, &length) >= 0);
    (void)H5Dclose(set);
    (void)H5Fclose(file);
    bytes[at + length / 2] ^= 16;
    spill(f->other, bytes, size - 72);
    must(gyre_capture_open(f->other, &c, &err), &err);
    expect(gyre_capture_read_layer(c, 0, &l, &err), GYRE_E_INPUT, &err, "damaged");
    gyre_capture_close(c);
    free(bytes);
}

static void remove_link(const char *path, const char *name)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    (void)H5Fclose(file);
}

static void missing_and_misshapen_objects(void **state)
{
    static const char *const names[] = {"document_sha256", "pos", "layer", "layer_05", "layer_00/v", "layer_00/q", "layer_05/kv_head_of"};
    fixture *f = *state;
    gyre_error err = {0};
    gyre_capture *c = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        must(gyre_capture_write(f->path, &f->data, false, &err), &err);
        remove_link(f->path, names[i]);
        const char *last = strrchr(names[i], '/');
        expect(gyre_capture_open(f->path, &c, &err), GYRE_E_INPUT, &err, last != NULL ? last + 1 : names[i]);
        assert_non_null(strstr(err.message, f->path));
    }
    f->kv_head_of[3] = KV_HEADS;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    expect(gyre_capture_open(f->path, &c, &err), GYRE_E_INPUT, &err, "query head 3 points at KV head 2 of 2");
    f->kv_head_of[3] = 1;
    f->pos[5] = 3;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    expect(gyre_capture_open(f->path, &c, &err), GYRE_E_INPUT, &err, "position 3 at token 5 does not rise");
    f->pos[5] = 5;
    f->query_pos[0] = TOKENS;
    must(gyre_capture_write(f->path, &f->data, false, &err), &err);
    expect(gyre_capture_open(f->path, &c, &err), GYRE_E_INPUT, &err, "outside the document");
    f->layers[0].q = NULL;
    expect(gyre_capture_write(f->path, &f->data, false, &err), GYRE_E_INPUT, &err, "layer 0 of the capture lacks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(halves_are_rounded_to_even, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_capture_without_queries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_far_from_zero_get_32_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_beyond_halves_get_32_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_digest_is_of_the_science, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_finite_is_refused_with_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_finite_in_a_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(foreign_and_truncated_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flipped_bits_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_without_seal_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_and_misshapen_objects, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
