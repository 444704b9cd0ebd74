/* Sabotage of the program itself: a kernel is switched off underneath, and the controls (experiments/control.c) must see it.
 *
 * The linker puts the functions below in the place of the Hadamard kernel and of the search for a group's largest value. Sabotage of files is in tests/sabotage.py.
 */
#define _GNU_SOURCE
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
#include <gsl/gsl_errno.h>

#include "experiments/control.h"
#include "quant/grouped.h"
#include "transforms/walsh.h"

static gyre_error error;
static bool dead_rotation, dead_quantizer;

void __real_gyre_walsh(float *x, size_t dim, size_t block);
void __wrap_gyre_walsh(float *x, size_t dim, size_t block);
void __wrap_gyre_walsh(float *x, size_t dim, size_t block)
{
    if (!dead_rotation) {
        __real_gyre_walsh(x, dim, block);
        return;
    }
    for (size_t i = 0; i < dim; i++) /* its length without its mixing */
        x[i] *= sqrtf((float)block);
}

float __real_gyre_group_largest(const float *x, size_t n);
float __wrap_gyre_group_largest(const float *x, size_t n);
float __wrap_gyre_group_largest(const float *x, size_t n)
{
    return dead_quantizer ? 1e6f : __real_gyre_group_largest(x, n); /* every code is 0 */
}

static void expect(const char *positive, const char *negative)
{
    char folder[] = "/tmp/gyre-test-sabotage-XXXXXX";
    gyre_table *t = NULL;
    char left[sizeof folder + sizeof "/.control/.outlier.h5.host.1.1.tmp"];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(left, sizeof left, "%s/.control", folder); /* as a run that was killed among its controls leaves it */
    assert_int_equal(mkdir(left, 0777), 0);
    (void)strcat(left, "/.outlier.h5.host.1.1.tmp");
    FILE *half = fopen(left, "wb");
    assert_non_null(half);
    assert_int_equal(fclose(half), 0);
    assert_int_equal(gyre_table_new(&t, &error), GYRE_OK);
    if (gyre_controls_run(folder, t, &error) != GYRE_OK)
        fail_msg("%s", error.message);
    assert_int_equal(t->n_canaries, 2);
    print_message("%s: %s\n%s: %s\n", t->canaries[0].status, t->canaries[0].detail, t->canaries[1].status, t->canaries[1].detail);
    assert_string_equal(t->canaries[0].name, "positive control");
    assert_string_equal(t->canaries[0].status, positive);
    assert_string_equal(t->canaries[1].name, "negative control");
    assert_string_equal(t->canaries[1].status, negative);
    gyre_table_free(t);
    assert_int_equal(rmdir(folder), 0); /* the scratch files are gone, the half-written one too */
}

static void controls_pass(void **state)
{
    (void)state;
    expect("PASS", "PASS");
}

/* Guard: both controls. Signs alone change no error of symmetric codes, so the arms are the same. */
static void rotation_switched_off(void **state)
{
    (void)state;
    dead_rotation = true;
    expect("FAIL", "FAIL");
    dead_rotation = false;
}

/* Guard: both controls. All that is decoded is 0 and the error of every arm is 1. */
static void quantizer_is_dead(void **state)
{
    (void)state;
    dead_quantizer = true;
    expect("FAIL", "FAIL");
    dead_quantizer = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(controls_pass), cmocka_unit_test(rotation_switched_off), cmocka_unit_test(quantizer_is_dead) };
    (void)gsl_set_error_handler_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
