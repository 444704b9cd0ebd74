/* A build without libllama: looking at a model, which every plan of one begins with, says so and what to do. Compiled here from the files of such a build. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <unistd.h>

#include "engine/engine.h"
#include "engine/probe.h"

static void a_plan_of_a_model_says_that_there_is_no_engine(void **state)
{
    (void)state;
    gyre_error err = {0};
    gyre_engine *e = (gyre_engine *)&err;
    const char *texts[] = {GYRE_SOURCE_DIR "/data/texts/jargon-file-hack.txt"}, *facts = "no-engine-facts.h5";
    gyre_probe *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    gyre_probe_request request = {.model_path = GYRE_SOURCE_DIR "/tests/data/stories260K.gguf", .model_name = "tiny", .texts = texts, .n_texts = 1, .context = 64, .threads = 1, .facts_path = facts};
    assert_int_equal(gyre_probe_model(&request, seen, &err), GYRE_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "built without libllama"));
    assert_non_null(strstr(err.message, "scripts/setup"));
    assert_int_not_equal(access(facts, F_OK), 0);
    assert_int_equal(gyre_engine_open(request.model_path, 64, 1, &e, &err), GYRE_E_UNSUPPORTED);
    assert_null(e);
    gyre_engine_close(e);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_plan_of_a_model_says_that_there_is_no_engine)};
    return cmocka_run_group_tests_name("no_engine", tests, NULL, NULL);
}
