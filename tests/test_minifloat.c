/* The narrow formats against ml_dtypes (tests/golden/minifloats.h), and what the formats must be whatever a library says. */
#include "tests/check.h"

#include "core/minifloat.h"
#include "tests/golden/minifloats.h"

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void same_value(float value, uint32_t want, const char *name, size_t code)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(float_of(want)) ? !isnan(value) : bits != want)
        fail_msg("%s: code %zu is %g (%08X), expected %08X", name, code, (double)value, bits, want);
}

static void values_of_all_codes(void **state)
{
    (void)state;
    for (size_t c = 0; c < 256; c++) {
        same_value(gyre_e4m3_to_float((uint8_t)c), golden_e4m3[c], "e4m3", c);
        same_value(gyre_e5m2_to_float((uint8_t)c), golden_e5m2[c], "e5m2", c);
        same_value(gyre_e8m0_to_float((uint8_t)c), golden_e8m0[c], "e8m0", c);
        same_value(gyre_e2m1_to_float((uint8_t)(c & 15u)), golden_e2m1[c & 15u], "e2m1", c);
    }
}

static void codes_of_hard_inputs(void **state)
{
    (void)state;
    size_t n = sizeof golden_inputs / sizeof *golden_inputs;
    assert_true(n > 1000);
    for (size_t i = 0; i < n; i++) {
        const golden_minifloat *g = &golden_inputs[i];
        float x = float_of(g->input);
        const unsigned got[5] = {gyre_bf16_from_float(x), gyre_e4m3_from_float(x), gyre_e5m2_from_float(x), gyre_e8m0_from_float(x), gyre_e2m1_from_float(x)};
        const unsigned want[5] = {g->bf16, g->e4m3, g->e5m2, g->e8m0, g->e2m1};
        static const char *const names[] = {"bf16", "e4m3", "e5m2", "e8m0", "e2m1"};
        for (size_t f = 0; f < 5; f++)
            if (got[f] != want[f])
                fail_msg("%s of %.9g (%08X) is %02X, expected %02X", names[f], (double)x, g->input, got[f], want[f]);
    }
}

/* Every finite code is the code of its value, and a code's neighbours in value are its neighbours in code. */
static void codes_come_back(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x10000; c++) {
        float value = gyre_bf16_to_float((uint16_t)c);
        if (isnan(value))
            assert_true(isnan(gyre_bf16_to_float(gyre_bf16_from_float(value))));
        else
            assert_int_equal(gyre_bf16_from_float(value), c);
    }
    for (unsigned c = 0; c < 256; c++) {
        if ((c & 0x7Fu) != 0x7Fu)
            assert_int_equal(gyre_e4m3_from_float(gyre_e4m3_to_float((uint8_t)c)), c);
        if ((c & 0x7Fu) <= 0x7Cu)
            assert_int_equal(gyre_e5m2_from_float(gyre_e5m2_to_float((uint8_t)c)), c);
        if (c < 16)
            assert_int_equal(gyre_e2m1_from_float(gyre_e2m1_to_float((uint8_t)c)), c);
        assert_int_equal(gyre_e8m0_from_float(gyre_e8m0_to_float((uint8_t)c)), c);
    }
}

static void not_a_number(void **state)
{
    (void)state;
    assert_int_equal(gyre_bf16_from_float(float_of(0x7F800001u)), 0x7FC0);
    assert_int_equal(gyre_e4m3_from_float(NAN) & 0x7F, 0x7F);
    assert_int_equal(gyre_e5m2_from_float(NAN) & 0x7F, 0x7E);
    assert_int_equal(gyre_e8m0_from_float(NAN), 0xFF);
    assert_int_equal(gyre_e2m1_from_float(NAN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_all_codes),
        cmocka_unit_test(codes_of_hard_inputs),
        cmocka_unit_test(codes_come_back),
        cmocka_unit_test(not_a_number),
    };
    return cmocka_run_group_tests_name("minifloat", tests, NULL, NULL);
}
