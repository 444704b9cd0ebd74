#include "experiments/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORD = 1024 };

void gyre_json_text(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            (void)printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            (void)printf("\\u%04x", (unsigned)*text);
        else
            (void)putchar(*text);
    (void)putchar('"');
}

void gyre_json_key(const char *key)
{
    (void)printf(", \"");
    for (; *key != '\0'; key++)
        (void)putchar(*key == ' ' ? '_' : *key);
    (void)printf("\": ");
}

void gyre_json_pair(const char *key, const char *text)
{
    gyre_json_key(key);
    gyre_json_text(text);
}

void gyre_json_number(const char *key, double value)
{
    gyre_json_key(key);
    if (isfinite(value))
        (void)printf("%.17g", value);
    else
        (void)printf("null");
}

void gyre_json_list(const char *key, const char *text)
{
    gyre_json_key(key);
    (void)putchar('[');
    while (*text != '\0') {
        char word[WORD];
        const char *end = strstr(text, ", ");
        size_t length = end != NULL ? (size_t)(end - text) : strlen(text);
        (void)snprintf(word, sizeof word, "%.*s", (int)length, text);
        gyre_json_text(word);
        text += length;
        if (end != NULL) {
            (void)printf(", ");
            text += 2;
        }
    }
    (void)putchar(']');
}
