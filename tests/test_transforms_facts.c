/* What single variants and chains promise by name or by hand, beyond the battery of test_transforms.c. */
#define _POSIX_C_SOURCE 200809L
#include "tests/places.h"

static void names_and_pages(void **state)
{
    (void)state;
    for (const gyre_transform_type *const *t = gyre_transform_types; *t != NULL; t++) {
        assert_ptr_equal(gyre_transform_find((*t)->name), *t);
        assert_true((*t)->summary[0] && (*t)->source[0] && (*t)->dims[0]);
        assert_true(((*t)->traits.needs & GYRE_NEEDS_CALIBRATION) == 0 || (*t)->fit != NULL || (*t)->learnable != NULL);
        for (const gyre_option *o = (*t)->options; o != NULL && o->key != NULL; o++)
            assert_true(o->help[0] && o->offset < GYRE_OPTIONS_BYTES);
        for (const gyre_chain_alias *a = gyre_chain_aliases; a->name != NULL; a++)
            assert_string_not_equal(a->name, (*t)->name);
    }
    assert_null(gyre_transform_find("srht")); /* an alias, not a variant */
}

/* ---- chains ---- */

static void add(gyre_chain_spec *spec, const char *name, const char *option)
{
    gyre_option_values values = {0};
    gyre_error error;
    const gyre_transform_type *type = gyre_transform_find(name);
    (void)gyre_options_defaults(type->options, &values);
    if (option != NULL)
        assert_true(gyre_option_parse(&type->options[0], &values, option, NULL));
    CHECK_OK(gyre_chain_add(spec, type, &values, &error), &error);
}

/* Ill-typed chains say why; equal chains have one canonical text. */
static void chain_types(void **state)
{
    (void)state;
    char why[GYRE_WHY], text[2][GYRE_CHAIN_TEXT];
    gyre_error error;
    gyre_chain_spec spec = {0};
    add(&spec, "hadamard", NULL);
    add(&spec, "unrope", NULL);
    assert_false(gyre_chain_check(&spec, GYRE_K, why));
    assert_string_equal(why, "unrope needs rows in frame post_rope, but here they are in frame mixed after hadamard");
    spec = (gyre_chain_spec){0};
    add(&spec, "centre", "bias");
    assert_false(gyre_chain_check(&spec, GYRE_K, why));
    assert_non_null(strstr(why, "needs rows in frame pre_rope, but here they are in frame post_rope (keys)"));
    spec = (gyre_chain_spec){0};
    add(&spec, "unrope", NULL);
    assert_true(gyre_chain_check(&spec, GYRE_K, why));
    assert_false(gyre_chain_check(&spec, GYRE_V, why));
    spec = (gyre_chain_spec){0};
    add(&spec, "unrope", NULL);
    add(&spec, "unrope", NULL);
    assert_false(gyre_chain_check(&spec, GYRE_K, why));
    spec = (gyre_chain_spec){0};
    add(&spec, "identity", NULL);
    gyre_chain_canonical(&spec, text[0], sizeof text[0]);
    assert_string_equal(text[0], "[]");
    gyre_chain_spec alias = {0}, plain = {0};
    CHECK_OK(gyre_chain_add_alias(&alias, &gyre_chain_aliases[1], &error), &error);
    add(&plain, "signs", NULL);
    add(&plain, "identity", NULL);
    add(&plain, "rfft", NULL);
    gyre_chain_canonical(&alias, text[0], sizeof text[0]);
    gyre_chain_canonical(&plain, text[1], sizeof text[1]);
    assert_string_equal(text[0], "[signs(per=layer),rfft]");
    assert_string_equal(text[0], text[1]);
    assert_true(gyre_chain_traits(&alias).flags == (GYRE_LINEAR | GYRE_ORTHOGONAL | GYRE_SEEDED));
    for (size_t i = 2; i < GYRE_CHAIN_MOST; i++)
        add(&plain, "hadamard", NULL);
    assert_int_equal(gyre_chain_add(&plain, gyre_transform_find("hadamard"), NULL, &error), GYRE_E_CONFIG);
}

/* ---- what one variant promises ---- */

static void fails(const char *name, size_t dim, gyre_rope_kind kind, const char *says)
{
    place p;
    gyre_error error;
    gyre_transform *t;
    make_place(&p, dim, 0);
    p.rope.kind = kind;
    gyre_option_values defaults = {0};
    (void)gyre_options_defaults(gyre_transform_find(name)->options, &defaults);
    assert_int_equal(gyre_transform_new(gyre_transform_find(name), &p.site, 0, &defaults, &t, &error), GYRE_E_APPLICABLE);
    if (strstr(error.message, says) == NULL)
        fail_msg("%s at d=%zu said '%s', not '%s'", name, dim, error.message, says);
}

static void reasons(void **state)
{
    (void)state;
    fails("hadamard", 96, GYRE_ROPE_NEOX, "the head dimension 96 is not a power of two");
    fails("rfft", 1, GYRE_ROPE_NEOX, "the head dimension 1 is not in 2..4096");
    fails("unrope", 64, GYRE_ROPE_NONE, "no rotary embedding");
    fails("unrope", 64, GYRE_ROPE_OTHER, "not known");
    place p;
    gyre_error error;
    gyre_transform *t;
    make_place(&p, 64, 0);
    p.rope.n_rot = 32;
    assert_int_equal(gyre_transform_new(gyre_transform_find("unrope"), &p.site, 0, NULL, &t, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "partial rotary embedding: 32 of 64"));
    make_place(&p, 64, 0);
    p.rope.attn_factor = 1.2f;
    assert_int_equal(gyre_transform_new(gyre_transform_find("unrope"), &p.site, 0, NULL, &t, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "YaRN"));
    gyre_option_values bias = {0};
    make_place(&p, 64, 0);
    p.site.bias = NULL;
    assert_int_equal(gyre_transform_new(gyre_transform_find("centre"), &p.site, 0, &bias, &t, &error), GYRE_E_APPLICABLE);
    assert_non_null(strstr(error.message, "centre needs a key bias and the model has none"));
}

/* A variant that is not fitted. */
static gyre_transform *build(const gyre_transform_type *type, const gyre_option_values *options, size_t dim, uint32_t seed, gyre_status *status)
{
    static place p; /* outlives what is built from it */
    make_place(&p, dim, seed);
    gyre_transform *t = NULL;
    gyre_error error = {0};
    *status = gyre_transform_new(type, &p.site, 4, options, &t, &error);
    return t;
}

/* Entry (i, j) of the matrix of a variant, by unit vectors. */
static double entry(const gyre_transform *t, size_t i, size_t j)
{
    double x[DIM_MOST] = {0};
    x[j] = 1.0;
    t->type->forward_ref(t->state, x, 0);
    return x[i];
}

/* Hadamard's largest entry times sqrt(d) is 1, the Fourier transform's sqrt(2); a spike at 0, d/4 or d/2 reaches d/2 + 1 outputs of the latter. */
static void coherence(void **state)
{
    (void)state;
    gyre_status status;
    gyre_option_values none = {0};
    for (size_t d = 16; d <= 128; d *= 2) {
        gyre_transform *h = build(gyre_transform_find("hadamard"), &none, d, 0, &status), *f = build(gyre_transform_find("rfft"), &none, d, 0, &status);
        double most[2] = {0};
        size_t reach = 0;
        for (size_t j = 0; j < d; j++) {
            double a[DIM_MOST] = {0}, b[DIM_MOST] = {0}; /* column j of each */
            a[j] = b[j] = 1.0;
            h->type->forward_ref(h->state, a, 0);
            f->type->forward_ref(f->state, b, 0);
            for (size_t i = 0; i < d; i++) {
                most[0] = fmax(most[0], fabs(a[i]));
                most[1] = fmax(most[1], fabs(b[i]));
                reach += j == d / 4 && fabs(b[i]) > 1e-12;
            }
        }
        CHECK_CLOSE(most[0] * sqrt((double)d), 1.0, 1e-14, 0);
        CHECK_CLOSE(most[1] * sqrt((double)d), sqrt(2.0), 1e-14, 0);
        assert_int_equal(reach, d / 2 + 1);
        gyre_transform_free(h);
        gyre_transform_free(f);
    }
}

/* Packing of the even and the odd length, by hand: d = 4, x = e_1: Y_k = (-i)^k / 2; d = 3. */
static void packing(void **state)
{
    (void)state;
    gyre_status status;
    gyre_option_values none = {0};
    gyre_transform *four = build(gyre_transform_find("rfft"), &none, 4, 0, &status), *three = build(gyre_transform_find("rfft"), &none, 3, 0, &status);
    const double want4[4] = {0.5, 0.0, -0.5, -sqrt(2.0) / 2.0};
    const double want3[3] = {1.0 / sqrt(3.0), -0.5 * sqrt(2.0 / 3.0), -sqrt(0.75) * sqrt(2.0 / 3.0)};
    for (size_t i = 0; i < 4; i++)
        CHECK_CLOSE(entry(four, i, 1), want4[i], 1e-15, 1e-15);
    for (size_t i = 0; i < 3; i++)
        CHECK_CLOSE(entry(three, i, 1), want3[i], 1e-15, 1e-15);
    float x[4] = {0, 1, 0, 0}, y[3] = {0, 1, 0};
    void *scratch = scratch_for(four);
    gyre_transform_forward(four, x, 1, 4, NULL, scratch);
    gyre_transform_forward(three, y, 1, 3, NULL, scratch);
    for (size_t i = 0; i < 4; i++)
        CHECK_CLOSE((double)x[i], want4[i], 0, 1e-7);
    for (size_t i = 0; i < 3; i++)
        CHECK_CLOSE((double)y[i], want3[i], 0, 1e-7);
    free(scratch);
    gyre_transform_free(four);
    gyre_transform_free(three);
}

/* Natural order of Sylvester's matrix: row 3 of H_4 is + - - +. */
static void hadamard_order(void **state)
{
    (void)state;
    gyre_status status;
    gyre_option_values none = {0};
    gyre_transform *h = build(gyre_transform_find("hadamard"), &none, 4, 0, &status);
    const double want[4] = {0.5, -0.5, -0.5, 0.5};
    for (size_t j = 0; j < 4; j++)
        CHECK_CLOSE(entry(h, 3, j), want[j], 0, 1e-15);
    gyre_transform_free(h);
}

/* Interleaved pairs are half-split pairs after the reordering; position 0 is no rotation; inner products depend on the difference of positions. */
static void rope_pairs(void **state)
{
    (void)state;
    place p;
    gyre_error error;
    gyre_transform *neox, *normal;
    float x[64], y[64], scratch[64];
    make_place(&p, 64, 0);
    CHECK_OK(gyre_transform_new(gyre_transform_find("unrope"), &p.site, 0, NULL, &neox, &error), &error);
    p.rope.kind = GYRE_ROPE_NORMAL;
    CHECK_OK(gyre_transform_new(gyre_transform_find("unrope"), &p.site, 0, NULL, &normal, &error), &error);
    normals(x, 64, 3);
    for (size_t i = 0; i < 32; i++) {
        y[2 * i] = x[i];
        y[2 * i + 1] = x[32 + i];
    }
    const int32_t at[1] = {333}, start[1] = {0};
    gyre_transform_forward(neox, x, 1, 64, at, scratch);
    gyre_transform_forward(normal, y, 1, 64, at, scratch);
    for (size_t i = 0; i < 32; i++)
        assert_true(y[2 * i] == x[i] && y[2 * i + 1] == x[32 + i]);
    memcpy(y, x, sizeof x);
    gyre_transform_forward(neox, x, 1, 64, start, scratch);
    assert_memory_equal(x, y, sizeof x);
    /* first pair at position 1: angle 1 */
    float unit[64] = {1.0f};
    const int32_t one[1] = {1};
    gyre_transform_inverse(neox, unit, 1, 64, one, scratch);
    CHECK_CLOSE((double)unit[0], cos(1.0), 0, 1e-7);
    CHECK_CLOSE((double)unit[32], sin(1.0), 0, 1e-7);
    gyre_transform_free(neox);
    gyre_transform_free(normal);
}

/* Fits, by hand: mean and 1/max. */
static void fits(void **state)
{
    (void)state;
    place p;
    gyre_error error;
    gyre_transform *centre, *scale;
    gyre_option_values mean = {0}, max = {0};
    make_place(&p, 2, 0);
    assert_true(gyre_option_parse(&gyre_transform_find("centre")->options[0], &mean, "mean", NULL));
    (void)gyre_options_defaults(gyre_transform_find("scale")->options, &max);
    CHECK_OK(gyre_transform_new(gyre_transform_find("centre"), &p.site, 0, &mean, &centre, &error), &error);
    CHECK_OK(gyre_transform_new(gyre_transform_find("scale"), &p.site, 0, &max, &scale, &error), &error);
    const float rows[6] = {1, 0, 2, 0, -6, 0};
    CHECK_OK(centre->type->fit(centre->state, &(gyre_fit_rows){.x = rows, .n = 3, .stride = 2}, &error), &error);
    CHECK_OK(scale->type->fit(scale->state, &(gyre_fit_rows){.x = rows, .n = 3, .stride = 2}, &error), &error);
    float x[2] = {5, 7}, y[2] = {3, 7};
    gyre_transform_forward(centre, x, 1, 2, NULL, NULL);
    gyre_transform_forward(scale, y, 1, 2, NULL, NULL);
    assert_true(x[0] == 6.0f && x[1] == 7.0f);
    assert_true(y[0] == 3.0f * (1.0f / 6.0f) && y[1] == 7.0f); /* a column of zeros keeps lambda 1 */
    assert_int_equal(gyre_transform_stored(centre), 2);
    assert_int_equal(gyre_transform_stored(scale), 2);
    assert_true(scale->traits.pooled && !centre->traits.pooled);
    assert_int_equal(centre->type->fit(centre->state, &(gyre_fit_rows){.x = rows, .n = 0, .stride = 2}, &error), GYRE_E_INPUT);
    assert_int_equal(scale->type->fit(scale->state, &(gyre_fit_rows){.x = rows, .n = 0, .stride = 2}, &error), GYRE_E_INPUT);
    gyre_transform_free(centre);
    gyre_transform_free(scale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_pages),
        cmocka_unit_test(chain_types),
        cmocka_unit_test(reasons),
        cmocka_unit_test(coherence),
        cmocka_unit_test(packing),
        cmocka_unit_test(hadamard_order),
        cmocka_unit_test(rope_pairs),
        cmocka_unit_test(fits),
    };
    return cmocka_run_group_tests_name("facts of transforms", tests, NULL, NULL);
}
