/* core/: known answers and refusals. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <unistd.h>

#include "core/commit.h"
#include "core/h5.h"
#include "core/half.h"
#include "core/options.h"
#include "core/sha256.h"
#include "core/yaml.h"

/* Known answers of Philox4x32-10 from the Random123 distribution (kat_vectors). */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gyre_random s;
        memcpy(s.key, rows[r].key, sizeof s.key);
        memcpy(s.counter, rows[r].counter, sizeof s.counter);
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(gyre_random_word(&s, i), rows[r].answer[i]);
    }
}

/* The mapping of docs/random.md, field by field, and the signs it gives. */
static void streams_are_what_the_page_says(void **state)
{
    (void)state;
    gyre_site site = {.campaign_seed = 0x1122334455667788u, .seed_index = 7, .layer = 23, .head = 5, .stream = GYRE_V};
    gyre_random shared = gyre_random_stream(&site, GYRE_PURPOSE_SIGNS, 2, false), own = gyre_random_stream(&site, GYRE_PURPOSE_SIGNS, 2, true);
    assert_int_equal(shared.key[0], 0x55667788);
    assert_int_equal(shared.key[1], 0x11223344);
    assert_int_equal(shared.counter[0], 0);
    assert_int_equal(shared.counter[1], 7);
    assert_int_equal(shared.counter[2], 23 * 65536 + 65535);
    assert_int_equal(own.counter[2], 23 * 65536 + 5);
    assert_int_equal(shared.counter[3], 65536 + 2 * 256 + 1);
    gyre_site zero = {0}; /* the words that the page prints */
    gyre_random first = gyre_random_stream(&zero, GYRE_PURPOSE_SIGNS, 0, false);
    static const uint32_t printed[4] = {0x8054d3a6, 0x83661c6a, 0x7fd9383b, 0x6ecbebf2};
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(gyre_random_word(&first, i), printed[i]);
    float signs[130];
    gyre_random_signs(&shared, signs, 130);
    for (uint32_t i = 0; i < 130; i++)
        assert_true(signs[i] == ((gyre_random_word(&shared, i / 32) >> (i % 32)) & 1u ? -1.0f : 1.0f));
    double x[100001], mean = 0, square = 0;
    gyre_random_normals(&shared, x, 100001);
    for (size_t i = 0; i < 100001; i++) {
        mean += x[i] / 100001;
        square += x[i] * x[i] / 100001;
    }
    CHECK_CLOSE(mean, 0.0, 0, 5.0 / 316.0);
    CHECK_CLOSE(square, 1.0, 0, 5.0 * 1.4142 / 316.0);
}

/* All 65536 halves against the definition; rounding against the two neighbours. */
static void halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint32_t e = h >> 10 & 31, m = h & 1023;
        double v = e == 0 ? ldexp(m, -24) : ldexp(1024.0 + m, (int)e - 25);
        v = h & 0x8000 ? -v : v;
        float f = gyre_half_to_float((uint16_t)h);
        if (e == 31) {
            assert_true(m == 0 ? isinf(f) : isnan(f));
            if (m == 0)
                assert_int_equal(gyre_half_from_float(f), h);
            continue;
        }
        assert_true((double)f == v);
        assert_int_equal(gyre_half_from_float(f), h);
        if ((h & 0x7FFF) < 0x7BFF) { /* halfway to the next one goes to the even one, a hair beyond to the next */
            float next = gyre_half_to_float((uint16_t)(h + 1)), middle = (f + next) / 2;
            assert_int_equal(gyre_half_from_float(middle), h & 1 ? h + 1 : h);
            assert_int_equal(gyre_half_from_float(nextafterf(middle, next)), h + 1);
            assert_int_equal(gyre_half_from_float(nextafterf(middle, f)), h);
        }
    }
    assert_int_equal(gyre_half_from_float(65519.996f), 0x7BFF);
    assert_int_equal(gyre_half_from_float(65520.0f), 0x7C00);
    assert_true((gyre_half_from_float((float)NAN) & 0x7FFF) > 0x7C00);
}

/* All 65536 halves through HDF5, as stored and widened by HDF5 itself: the array form gives HDF5's bits, and the scalar's (also those of NaN). */
static void halves_as_hdf5_widens_them(void **state)
{
    (void)state;
    enum { ALL = 65536 };
    static uint16_t halves[ALL], stored[ALL];
    static float theirs[ALL], ours[ALL];
    const hsize_t dims[1] = {ALL};
    char path[] = "/tmp/gyre-halves-XXXXXX";
    gyre_error error = {0};
    hid_t file, half = gyre_h5_half_type();
    int handle = mkstemp(path);
    assert_true(handle >= 0);
    (void)close(handle);
    for (uint32_t h = 0; h < ALL; h++)
        halves[h] = (uint16_t)h;
    CHECK_OK(gyre_h5_create(path, &file, &error), &error);
    CHECK_OK(gyre_h5_write(file, "halves", half, half, 1, dims, NULL, halves, &error), &error);
    CHECK_OK(gyre_h5_close(&file, path, &error), &error);
    CHECK_OK(gyre_h5_open(path, &file, &error), &error);
    CHECK_OK(gyre_h5_read(file, "halves", half, 1, dims, stored, &error), &error);
    CHECK_OK(gyre_h5_read(file, "halves", H5T_NATIVE_FLOAT, 1, dims, theirs, &error), &error);
    CHECK_OK(gyre_h5_close(&file, path, &error), &error);
    assert_memory_equal(stored, halves, sizeof halves);
    gyre_half_to_floats(stored, ALL, ours);
    for (uint32_t h = 0; h < ALL; h++) {
        float scalar = gyre_half_to_float((uint16_t)h);
        assert_memory_equal(&ours[h], &scalar, sizeof scalar);
        if (isnan(scalar))
            assert_true(isnan(theirs[h]));
        else
            assert_memory_equal(&ours[h], &theirs[h], sizeof scalar);
    }
    (void)H5Tclose(half);
    (void)unlink(path);
}

static void sha256_known_answer(void **state)
{
    (void)state;
    char hex[GYRE_SHA256_HEX];
    gyre_error error;
    CHECK_OK(gyre_sha256_bytes("abc", 3, hex, &error), &error); /* FIPS 180-4, example */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(gyre_sha256_file("/nonexistent", hex, &error), GYRE_E_IO);
}

typedef struct values {
    int64_t bits, group;
    double clip;
    bool on;
    int kind;
} values;

static const char *const row[] = {"row", NULL}, *const kinds[] = {"srht", "srft", "haar", NULL};
static const gyre_option table[] = {
    {"bits", GYRE_OPTION_INT, offsetof(values, bits), NULL, 2, 8, NULL, "bit", "width"},
    {"group", GYRE_OPTION_INT, offsetof(values, group), "row", 1, 64, row, "", "share"},
    {"clip", GYRE_OPTION_REAL, offsetof(values, clip), "1", 0, 2, NULL, "", "ratio"},
    {"on", GYRE_OPTION_BOOL, offsetof(values, on), "true", 0, 0, NULL, "", "switch"},
    {"kind", GYRE_OPTION_CHOICE, offsetof(values, kind), "srft", 0, 0, kinds, "", "which"},
    {0},
};

static void option_tables(void **state)
{
    (void)state;
    values v = {0};
    char text[GYRE_CANONICAL_TEXT], why[GYRE_OPTION_TEXT];
    assert_false(gyre_options_defaults(table, &v)); /* bits is required */
    assert_true(gyre_option_parse(&table[0], &v, "4", why));
    gyre_options_canonical(table, &v, text, sizeof text);
    assert_string_equal(text, "bits=4,group=row,clip=1,on=true,kind=srft");
    static const char *const refused[] = {"4.5", "0x4", "04", "+4", "4 ", "", "9", "-3", "four", "1e0", "99999999999999999999"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_false(gyre_option_parse(&table[0], &v, refused[i], why));
    static const char *const not_real[] = {"nan", "inf", "1e999", "0.98x", "0x1p0", "", "2.5", "-0.1", "."};
    for (size_t i = 0; i < sizeof not_real / sizeof *not_real; i++)
        assert_false(gyre_option_parse(&table[2], &v, not_real[i], why));
    assert_false(gyre_option_parse(&table[3], &v, "maybe", why));
    assert_false(gyre_option_parse(&table[4], &v, "sfrt", why));
    assert_non_null(strstr(why, "one of {srht, srft, haar}"));
    assert_non_null(strstr(why, "did you mean 'srft'"));
    assert_true(v.bits == 4 && v.clip == 1.0 && v.on && v.kind == 1); /* a refusal changes nothing */
    assert_string_equal(gyre_nearest("gruop", (const char *const[]){"bits", "group", NULL}), "group");
    assert_null(gyre_nearest("windowing", (const char *const[]){"bits", "group", NULL}));
}

static gyre_status parse(const char *text, gyre_yaml **yaml, gyre_error *error)
{
    return gyre_yaml_parse("t.yaml", text, strlen(text), yaml, error);
}

typedef struct file_values {
    gyre_option_file file;
    bool on;
} file_values;

static const gyre_option file_table[] = {
    {"file", GYRE_OPTION_FILE, offsetof(file_values, file), NULL, 0, 0, NULL, "", "a matrix"},
    {"on", GYRE_OPTION_BOOL, offsetof(file_values, on), "true", 0, 0, NULL, "", "switch"},
    {0},
};

static void put_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A file is its contents: two paths of equal contents are one value, a changed file is found, what cannot be read is refused with the reason. */
static void option_files(void **state)
{
    (void)state;
    static const char abc[] = "file=sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad,on=true";
    char folder[] = "/tmp/gyre-option-XXXXXX", path[2][64], text[GYRE_CANONICAL_TEXT], why[GYRE_OPTION_TEXT], longest[GYRE_OPTION_PATH + 1], document[128];
    file_values v = {0};
    gyre_error error;
    gyre_yaml *yaml;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s/%d", folder, i);
        put_text(path[i], "abc");
        assert_false(gyre_options_defaults(file_table, &v));
        assert_true(gyre_option_parse(&file_table[0], &v, path[i], why));
        gyre_options_canonical(file_table, &v, text, sizeof text);
        assert_string_equal(text, abc);
        CHECK_OK(gyre_option_file_check(&v.file, &error), &error);
    }
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const struct {
        const char *text, *says;
    } refused[] = {{"", "no file is named"}, {"/nonexistent/matrix.h5", "'/nonexistent/matrix.h5' cannot be read: No such file"}, {folder, "Is a directory"},
                   {longest, "xxx' cannot be read: the path is too long"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_false(gyre_option_parse(&file_table[0], &v, refused[i].text, why));
        assert_false(gyre_option_parse(&file_table[0], &v, refused[i].text, NULL));
        if (strstr(why, refused[i].says) == NULL)
            fail_msg("'%s' does not say '%s'", why, refused[i].says);
    }
    assert_string_equal(v.file.path, path[1]); /* a refusal changes nothing */
    gyre_option_domain(&file_table[0], text, sizeof text);
    assert_string_equal(text, "a file");
    for (int quoted = 0; quoted < 2; quoted++) {
        v = (file_values){0};
        (void)snprintf(document, sizeof document, quoted ? "file: \"%s\"\n" : "file: %s\n", path[0]);
        CHECK_OK(parse(document, &yaml, &error), &error);
        assert_true(gyre_yaml_options(yaml, gyre_yaml_root(yaml), gyre_yaml_root(yaml), "dense", file_table, &v));
        assert_string_equal(v.file.path, path[0]);
        gyre_yaml_free(yaml);
    }
    CHECK_OK(parse("on: false\n", &yaml, &error), &error);
    assert_false(gyre_yaml_options(yaml, gyre_yaml_root(yaml), gyre_yaml_root(yaml), "dense", file_table, &v));
    assert_non_null(strstr(gyre_yaml_report(yaml), "'file' is missing"));
    gyre_yaml_free(yaml);
    put_text(path[0], "abd");
    assert_int_equal(gyre_option_file_check(&v.file, &error), GYRE_E_INPUT);
    assert_non_null(strstr(error.message, "changed since the configuration was read: its SHA-256 was ba7816bf8f01..., now it is a52d159f262b..."));
    assert_int_equal(remove(path[0]), 0);
    assert_int_equal(gyre_option_file_check(&v.file, &error), GYRE_E_IO);
    assert_int_equal(remove(path[1]), 0);
    assert_int_equal(remove(folder), 0);
}

static void yaml_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: error: duplicate key 'a'"},
        {"a: [1, 2\n", "not YAML"},
        {"a: &x 1\nb: *x\n", "anchors and tags are not allowed"},
        {"a: !!int 3\n", "anchors and tags are not allowed"},
        {"a: 1\n---\nb: 2\n", "second YAML document"},
        {"", "is empty"},
        {"? [a, b]\n: 1\n", "a key must be a plain word"},
        {"? [a, b]\n: 1\nc: 2\n", "a key must be a plain word"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gyre_yaml *yaml;
        gyre_error error;
        assert_int_equal(parse(rows[i].text, &yaml, &error), GYRE_E_CONFIG);
        if (strstr(error.message, rows[i].says) == NULL)
            fail_msg("'%s' gave '%s', not '%s'", rows[i].text, error.message, rows[i].says);
        assert_null(yaml);
    }
}

static void yaml_caps(void **state)
{
    (void)state;
    enum { DEEP = 300, HUGE_TEXT = GYRE_YAML_MAX_BYTES + 1 };
    char deep[2 * DEEP + 1], *huge = malloc(HUGE_TEXT);
    gyre_yaml *yaml;
    gyre_error error;
    memset(deep, '[', DEEP);
    memset(deep + DEEP, ']', DEEP);
    deep[2 * DEEP] = '\0';
    assert_int_equal(parse(deep, &yaml, &error), GYRE_E_CONFIG);
    assert_non_null(strstr(error.message, "t.yaml:1:33: error: nested deeper than 32 levels"));
    assert_non_null(huge);
    memset(huge, ' ', HUGE_TEXT);
    assert_int_equal(gyre_yaml_parse("t.yaml", huge, HUGE_TEXT, &yaml, &error), GYRE_E_CONFIG);
    huge[5] = '\0';
    assert_int_equal(gyre_yaml_parse("t.yaml", huge, 100, &yaml, &error), GYRE_E_CONFIG);
    free(huge);
    assert_int_equal(gyre_yaml_read("/nonexistent.yaml", &yaml, &error), GYRE_E_CONFIG);
}

/* All faults in one run, each with its place, a caret and the nearest name: the fault list of one file, to the letter. */
static void yaml_collects_faults(void **state)
{
    (void)state;
    gyre_yaml *yaml;
    gyre_error error;
    values v;
    CHECK_OK(parse("bits: 4.5\ngruop: 3\nclip: nan\nkind: \"srht\"\non: 'true'\n", &yaml, &error), &error);
    const gyre_yaml_node *root = gyre_yaml_root(yaml);
    assert_false(gyre_yaml_options(yaml, root, root, "q", table, &v));
    assert_int_equal(gyre_yaml_check(yaml, &error), GYRE_E_CONFIG);
    assert_string_equal(gyre_yaml_report(yaml), "t.yaml:2:1: error: q: unknown key 'gruop' (did you mean 'group'?)\n"
                                                "     2 | gruop: 3\n"
                                                "       | ^\n"
                                                "t.yaml:1:7: error: q.bits: '4.5' is not an integer in [2, 8]\n"
                                                "     1 | bits: 4.5\n"
                                                "       |       ^\n"
                                                "t.yaml:3:7: error: q.clip: 'nan' is not a finite number in [0, 2]\n"
                                                "     3 | clip: nan\n"
                                                "       |       ^\n"
                                                "t.yaml:5:5: error: q.on: \"true\" is quoted text: write the value without quotes\n"
                                                "     5 | on: 'true'\n"
                                                "       |     ^\n");
    gyre_yaml_free(yaml);
}

static void yaml_overrides(void **state)
{
    (void)state;
    gyre_yaml *yaml;
    gyre_error error;
    CHECK_OK(parse("a: {b: 1, list: [x, y]}\n", &yaml, &error), &error);
    CHECK_OK(gyre_yaml_set(yaml, "a.b={c: 5}", &error), &error);
    CHECK_OK(gyre_yaml_set(yaml, "a.new.deep=7", &error), &error);
    CHECK_OK(gyre_yaml_set(yaml, "a.list.1=z", &error), &error);
    const gyre_yaml_node *a = gyre_yaml_get(gyre_yaml_root(yaml), "a");
    assert_string_equal(gyre_yaml_get(gyre_yaml_get(a, "b"), "c")->text, "5");
    assert_string_equal(gyre_yaml_get(gyre_yaml_get(a, "new"), "deep")->text, "7");
    assert_string_equal(gyre_yaml_get(a, "list")->items[1]->text, "z");
    assert_int_equal(gyre_yaml_set(yaml, "a.list.9=z", &error), GYRE_E_USAGE);
    assert_int_equal(gyre_yaml_set(yaml, "a", &error), GYRE_E_USAGE);
    assert_int_equal(gyre_yaml_set(yaml, "a=[1", &error), GYRE_E_USAGE);
    gyre_yaml_free(yaml);
}

/* Uniforms and permutations as docs/random.md says; every order of three equally often (chi-square of 5 degrees of freedom, 1e-6: 35.9). */
static void permutations(void **state)
{
    (void)state;
    enum { DRAWS = 6000 };
    double count[27] = {0}, square = 0;
    for (uint32_t s = 0; s < DRAWS; s++) {
        gyre_site site = {.seed_index = s};
        gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_PERMUTATION, 0, false);
        uint32_t p[3];
        gyre_random_permutation(&stream, p, 3);
        count[9 * p[0] + 3 * p[1] + p[2]]++;
        assert_true(gyre_random_uniform(&stream, 5) == ((double)gyre_random_word(&stream, 5) + 0.5) / 4294967296.0);
    }
    static const size_t orders[6] = {5, 7, 11, 15, 19, 21}; /* 012 021 102 120 201 210 in base 3 */
    for (size_t i = 0; i < 6; i++)
        square += (count[orders[i]] - DRAWS / 6.0) * (count[orders[i]] - DRAWS / 6.0) / (DRAWS / 6.0);
    CHECK_CLOSE(square, 0.0, 0, 35.9);
    gyre_site site = {0};
    gyre_random stream = gyre_random_stream(&site, GYRE_PURPOSE_PERMUTATION, 0, false);
    uint32_t p[2];
    gyre_random_permutation(&stream, p, 2);
    assert_int_equal(p[0], gyre_random_word(&stream, 0) < 0x80000000u ? 1 : 0);
}

static void errors_keep_their_trail(void **state)
{
    (void)state;
    gyre_error error = {0};
    assert_int_equal(gyre_error_set(&error, GYRE_E_NAN, "a.c", 3, "value %d", 7), GYRE_E_NAN);
    gyre_error_trail(&error, "b.c", 9);
    assert_int_equal(gyre_error_context(&error, "layer %d", 2), GYRE_E_NAN);
    assert_string_equal(error.message, "layer 2: value 7");
    assert_int_equal(error.depth, 2);
    assert_string_equal(error.trail[1].file, "b.c");
    assert_int_equal(gyre_error_set(NULL, GYRE_E_IO, "a.c", 1, "x"), GYRE_E_IO);
    assert_int_equal(gyre_status_exit(GYRE_E_CONFIG), 2);
    assert_int_equal(gyre_status_exit(GYRE_E_INTERRUPTED), 75);
    void *p;
    assert_int_equal(gyre_calloc(&p, SIZE_MAX / 2, 4, &error), GYRE_E_MEMORY);
    assert_null(p);
}

static void commits_are_whole_or_absent(void **state)
{
    (void)state;
    char folder[] = "/tmp/gyre-core-XXXXXX", path[128];
    gyre_error error;
    gyre_commit c;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/sub/deep", folder);
    CHECK_OK(gyre_make_folder(path, &error), &error);
    (void)snprintf(path, sizeof path, "%s/sub/deep/file", folder);
    CHECK_OK(gyre_commit_begin(&c, path, &error), &error);
    FILE *f = fopen(c.temp, "w");
    assert_non_null(f);
    (void)fclose(f);
    gyre_commit_abort(&c);
    assert_int_not_equal(access(path, F_OK), 0);
    CHECK_OK(gyre_commit_bytes(path, "abc", 3, &error), &error);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(gyre_commit_bytes("/nonexistent/file", "abc", 3, &error), GYRE_E_IO);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/sub/deep", folder);
    assert_int_equal(rmdir(path), 0); /* nothing else was left there */
    (void)snprintf(path, sizeof path, "%s/sub", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    gyre_h5_quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),  cmocka_unit_test(streams_are_what_the_page_says), cmocka_unit_test(permutations),
        cmocka_unit_test(halves),                cmocka_unit_test(halves_as_hdf5_widens_them),     cmocka_unit_test(sha256_known_answer),
        cmocka_unit_test(option_tables),         cmocka_unit_test(option_files),
        cmocka_unit_test(yaml_refuses),          cmocka_unit_test(yaml_caps),
        cmocka_unit_test(yaml_collects_faults),  cmocka_unit_test(yaml_overrides),
        cmocka_unit_test(errors_keep_their_trail), cmocka_unit_test(commits_are_whole_or_absent),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
