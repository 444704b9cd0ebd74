/* Configurations: the text, then after a zero byte --set assignments, each ended by a zero byte. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "experiments/config.h"

enum { SETS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *sets[SETS];
    size_t n = 0, length = size > 0 && memchr(data, 0, size) != NULL ? (size_t)((const uint8_t *)memchr(data, 0, size) - data) : size;
    char *rest = fuzz_room(size - length + 1), *report = NULL; /* ends with a zero byte */
    gyre_error error = {0};
    gyre_config *config = NULL;
    gyre_yaml *yaml = NULL;
    memcpy(rest, data + length, size - length);
    for (size_t at = 1; at < size - length && n < SETS; at += strlen(rest + at) + 1)
        sets[n++] = rest + at;
    fuzz_write(data, length);
    gyre_status st = gyre_config_read(fuzz_path(), NULL, sets, n, &config, &report, &error);
    fuzz_reasoned(st, &error);
    FUZZ_MUST((st == GYRE_OK) == (config != NULL));
    if (config != NULL)
        FUZZ_MUST(config->canonical != NULL && config->canonical[0] != '\0' && config->n_arms > 0 && report == NULL);
    gyre_config_free(config);
    free(report);
    st = gyre_yaml_parse("input", (const char *)data, size, &yaml, &error); /* zero bytes and all */
    fuzz_reasoned(st, &error);
    gyre_yaml_free(yaml);
    free(rest);
    return 0;
}
