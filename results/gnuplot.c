/* gnuplot as a child process (gnuplot.h): posix_spawnp with anonymous temporary files as standard input, output and error.
 *
 * The three formats are scaled so that sizes agree; what cairo stamps into a PDF (its creation date) is overwritten in place, at equal length, so that
 * offsets inside the file stay right. What it is not: a pipe. Nothing is read before the child has ended, so nothing can block.
 */
#define _POSIX_C_SOURCE 200809L
#include "results/gnuplot.h"

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- a child with three files ---- */

typedef struct child {
    FILE *in, *out, *messages; /* anonymous temporary files */
    int code;                  /* exit status; 128 + signal where a signal ended it */
    bool found;                /* false where there is no such program */
} child;

/* The environment without LC_ALL and TZ, then both fixed. *out is freed by the caller; its texts are borrowed. */
static gyre_status child_environment(const char ***out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    size_t n = 0, kept = 0;
    while (environ != NULL && environ[n] != NULL)
        n++;
    GYRE_NEW(out, n + 3);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "LC_ALL=", 7) != 0 && strncmp(environ[i], "TZ=", 3) != 0)
            (*out)[kept++] = environ[i];
    (*out)[kept++] = "LC_ALL=C";
    (*out)[kept] = "TZ=UTC0";
done:
    return st;
}

static gyre_status wait_for(pid_t pid, child *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            GYRE_FAIL(GYRE_E_IO, "cannot wait for process %ld: %s", (long)pid, strerror(errno));
    c->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    c->found = c->code != 127;
done:
    return st;
}

/* Runs argv with standard input, output and error on the files of c. */
static gyre_status run(const char *const *argv, child *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char **environment = NULL;
    char **arguments = NULL;
    posix_spawn_file_actions_t actions;
    bool prepared = false;
    pid_t pid = 0;
    GYRE_TRY(child_environment(&environment, err));
    if (posix_spawn_file_actions_init(&actions) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "cannot prepare %s", argv[0]);
    prepared = true;
    if (posix_spawn_file_actions_adddup2(&actions, fileno(c->in), STDIN_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, fileno(c->out), STDOUT_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, fileno(c->messages), STDERR_FILENO) != 0)
        GYRE_FAIL(GYRE_E_MEMORY, "cannot prepare %s", argv[0]);
    memcpy(&arguments, &argv, sizeof arguments); /* POSIX takes char *const *, and changes nothing */
    char **variables = NULL;
    memcpy(&variables, &environment, sizeof variables);
    int code = posix_spawnp(&pid, argv[0], &actions, NULL, arguments, variables);
    c->found = code != ENOENT && code != EACCES && code != ENOTDIR;
    if (code != 0 && c->found)
        GYRE_FAIL(GYRE_E_IO, "cannot start %s: %s", argv[0], strerror(code));
    if (code == 0)
        GYRE_TRY(wait_for(pid, c, err));
done:
    if (prepared)
        (void)posix_spawn_file_actions_destroy(&actions);
    free(environment);
    return st;
}

static gyre_status child_open(child *c, const char *input, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *c = (child){ tmpfile(), tmpfile(), tmpfile(), 0, false };
    if (c->in == NULL || c->out == NULL || c->messages == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot make a temporary file: %s", strerror(errno));
    if (fwrite(input, 1, size, c->in) != size || fflush(c->in) != 0 || fseek(c->in, 0L, SEEK_SET) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write a temporary file: %s", strerror(errno));
done:
    return st;
}

static void child_close(child *c)
{
    FILE *const files[] = { c->in, c->out, c->messages };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] != NULL)
            (void)fclose(files[i]);
}

/* What the child wrote into f, and a terminating zero. */
static gyre_status collect(FILE *f, char **out, size_t *size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = NULL;
    long end = fseek(f, 0L, SEEK_END) == 0 ? ftell(f) : -1L;
    if (end < 0 || fseek(f, 0L, SEEK_SET) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot read a temporary file: %s", strerror(errno));
    *size = (size_t)end;
    GYRE_NEW(out, *size + 1);
    if (fread(*out, 1, *size, f) != *size)
        GYRE_FAIL(GYRE_E_IO, "cannot read a temporary file: %s", strerror(errno));
done:
    if (st != GYRE_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

/* ---- is everything there ---- */

static gyre_status check_program(gyre_error *err)
{
    gyre_status st = GYRE_OK;
    child c;
    GYRE_TRY(child_open(&c, "", 0, err));
    const char *const argv[] = { "gnuplot", "--version", NULL };
    GYRE_TRY(run(argv, &c, err));
    if (!c.found)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "figures are drawn by gnuplot, which is not installed: install the package gnuplot-nox");
    if (c.code != 0)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "gnuplot --version fails with status %d: install the package gnuplot-nox again", c.code);
done:
    child_close(&c);
    return st;
}

static gyre_status check_font(gyre_error *err)
{
    gyre_status st = GYRE_OK;
    child c;
    char *family = NULL;
    size_t size = 0;
    GYRE_TRY(child_open(&c, "", 0, err));
    const char *const argv[] = { "fc-match", "--format=%{family}", GYRE_GNUPLOT_FONT, NULL };
    GYRE_TRY(run(argv, &c, err));
    if (!c.found)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "fc-match, which finds fonts for figures, is not installed: install the packages fontconfig and fonts-dejavu-core");
    GYRE_TRY(collect(c.out, &family, &size, err));
    if (c.code != 0 || strncmp(family, GYRE_GNUPLOT_FONT, strlen(GYRE_GNUPLOT_FONT)) != 0)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "the font of the figures, " GYRE_GNUPLOT_FONT ", is not installed (%s would take its place): install the package "
                  "fonts-dejavu-core", size > 0 ? family : "no font");
done:
    child_close(&c);
    free(family);
    return st;
}

gyre_status gyre_gnuplot_check(gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(check_program(err));
    GYRE_TRY(check_font(err));
done:
    return st;
}

/* ---- drawing ---- */

/* Scales make a size of 8 mean 8 points, and a line width of 1 mean about 0.75 points, in all three; a pixel of a PNG is 1/200 inch, of an SVG 1/96 inch. */
typedef struct format {
    const char *name, *signature, *terminal, *unit;
    double per_inch, font, line, point;
} format;

static const format formats[GYRE_PICTURES] = {
    { "png", "\x89PNG\r\n", "pngcairo", "", 200.0, 200.0 / 96.0, 200.0 / 96.0, 200.0 / 96.0 },
    { "svg", "<?xml", "svg", "", 96.0, 96.0 / 72.0, 1.0, 1.25 },
    { "pdf", "%PDF", "pdfcairo", "in", 1.0, 0.75, 1.3, 0.85 },
};

const char *gyre_picture_name(gyre_picture kind)
{
    return formats[kind].name;
}

/* The script finds the scale of its points in the variable PS. */
static void print_terminal(FILE *f, const format *t, double width, double height)
{
    (void)fprintf(f, "set encoding utf8\nset terminal %s noenhanced size %.6g%s,%.6g%s font '" GYRE_GNUPLOT_FONT ",8' fontscale %.6g linewidth %.6g\nPS = %.6g\n",
                  t->terminal, width * t->per_inch, t->unit, height * t->per_inch, t->unit, t->font, t->line, t->point);
}

/* Replaces every digit of the creation date by that of 2000-01-01 00:00:00; the length stays. */
static void fix_date(char *bytes, size_t size)
{
    static const char key[] = "/CreationDate (D:", date[] = "20000101000000";
    enum { KEY = sizeof key - 1, DATE = sizeof date - 1 };
    for (size_t i = 0; i + KEY + DATE <= size; i++)
        if (bytes[i] == '/' && memcmp(bytes + i, key, KEY) == 0)
            memcpy(bytes + i + KEY, date, DATE);
}

/* SVG names its font and the viewer finds it: adds what to take where it is not installed (Verdana has the same widths). */
static gyre_status name_fallback(char **bytes, size_t *size, gyre_error *err)
{
    static const char from[] = "font-family=\"" GYRE_GNUPLOT_FONT "\"", to[] = "font-family=\"" GYRE_GNUPLOT_FONT ", Verdana, sans-serif\"";
    gyre_status st = GYRE_OK;
    char *out = NULL, *end;
    size_t found = 0;
    for (const char *p = *bytes; (p = strstr(p, from)) != NULL; p += sizeof from - 1)
        found++;
    GYRE_NEW(&out, *size + found * (sizeof to - sizeof from) + 1);
    end = out;
    const char *rest = *bytes;
    for (const char *p; (p = strstr(rest, from)) != NULL; rest = p + sizeof from - 1) {
        memcpy(end, rest, (size_t)(p - rest));
        end += p - rest;
        memcpy(end, to, sizeof to - 1);
        end += sizeof to - 1;
    }
    size_t tail = strlen(rest);
    memcpy(end, rest, tail);
    free(*bytes);
    *bytes = out;
    *size = (size_t)(end - out) + tail;
done:
    return st;
}

static gyre_status with_terminal(const format *t, double width, double height, const char *script, size_t script_size, char **out, size_t *size,
                                 gyre_error *err)
{
    gyre_status st = GYRE_OK;
    *out = NULL;
    FILE *f = open_memstream(out, size);
    if (f == NULL)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a script of gnuplot");
    print_terminal(f, t, width, height);
    (void)fwrite(script, 1, script_size, f);
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad)
        GYRE_FAIL(GYRE_E_MEMORY, "no memory for a script of gnuplot");
done:
    return st;
}

/* The last line of a text that says something. */
static const char *last_words(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && strchr("\n\r \t", text[n - 1]) != NULL)
        text[--n] = '\0';
    const char *line = strrchr(text, '\n');
    line = line == NULL ? text : line + 1;
    line += strspn(line, " \t");
    return line[0] != '\0' ? line : "no message";
}

static gyre_status check_picture(const format *t, const child *c, const char *bytes, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *messages = NULL;
    size_t n = 0;
    if (!c->found)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "figures are drawn by gnuplot, which is not installed: install the package gnuplot-nox");
    GYRE_TRY(collect(c->messages, &messages, &n, err));
    if (c->code != 0)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "gnuplot ended with status %d (%s): it needs the terminal %s, which the package gnuplot-nox has", c->code,
                  last_words(messages), t->terminal);
    if (size < strlen(t->signature) || memcmp(bytes, t->signature, strlen(t->signature)) != 0)
        GYRE_FAIL(GYRE_E_UNSUPPORTED, "gnuplot drew nothing with its terminal %s (%s): install the package gnuplot-nox", t->terminal, last_words(messages));
done:
    free(messages);
    return st;
}

gyre_status gyre_gnuplot_draw(gyre_picture kind, double width, double height, const char *script, size_t script_size, char **out, size_t *size,
                              gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const format *t = &formats[kind];
    child c = { NULL, NULL, NULL, 0, false };
    char *whole = NULL, *bytes = NULL;
    size_t whole_size = 0;
    *out = NULL;
    GYRE_TRY(with_terminal(t, width, height, script, script_size, &whole, &whole_size, err));
    GYRE_TRY(child_open(&c, whole, whole_size, err));
    const char *const argv[] = { "gnuplot", "-d", "-", NULL };
    GYRE_TRY(run(argv, &c, err));
    GYRE_TRY(collect(c.out, &bytes, size, err));
    GYRE_TRY(check_picture(t, &c, bytes, *size, err));
    if (kind == GYRE_PICTURE_PDF)
        fix_date(bytes, *size);
    if (kind == GYRE_PICTURE_SVG)
        GYRE_TRY(name_fallback(&bytes, size, err));
    *out = bytes;
    bytes = NULL;
done:
    child_close(&c);
    free(whole);
    free(bytes);
    return st;
}
