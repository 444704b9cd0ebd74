/* Filling sheets: cells come one by one, left to right; printed forms keep them until the sheet is closed, since widths are known only then. */
#define _POSIX_C_SOURCE 200809L
#include "results/sheet.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "results/sheet_parts.h"

static const char *const format_names[] = {"text", "markdown", "latex", "csv", "json", NULL};

gyre_status gyre_sheet_format_of(const char *name, gyre_sheet_format *out, gyre_error *err)
{
    for (size_t i = 0; format_names[i] != NULL; i++)
        if (strcmp(format_names[i], name) == 0) {
            *out = (gyre_sheet_format)i;
            return GYRE_OK;
        }
    const char *near = gyre_nearest(name, format_names);
    return gyre_error_set(err, GYRE_E_USAGE, __FILE__, __LINE__, "--format %s%s%s%s: text, markdown, latex, csv or json is wanted", name, near != NULL ? " (did you mean " : "",
                          near != NULL ? near : "", near != NULL ? "?)" : "");
}

bool gyre_book_is_data(const gyre_book *book)
{
    return book->format == GYRE_SHEET_CSV || book->format == GYRE_SHEET_JSON;
}

/* ---- books ---- */

gyre_status gyre_book_open(FILE *stream, gyre_sheet_format format, const char *only, const gyre_sheet_facts *facts, gyre_book **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_NEW(out, 1);
    **out = (gyre_book){.stream = stream, .format = format, .only = only, .facts = facts};
    if (format == GYRE_SHEET_JSON)
        (void)fputs("[", stream);
done:
    return st;
}

/* The text of a format and its arguments, freed by the caller; NULL without memory. */
static char *words_of(const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    char *text = n < 0 ? NULL : malloc((size_t)n + 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

static void paragraph(gyre_book *book, bool fresh, const char *format, va_list arguments)
{
    if (gyre_book_is_data(book) || book->only != NULL)
        return;
    char *words = words_of(format, arguments);
    if (words != NULL)
        gyre_sheet_print_words(book, words, fresh);
    free(words);
}

void gyre_book_words(gyre_book *book, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    paragraph(book, true, format, arguments);
    va_end(arguments);
}

void gyre_book_line(gyre_book *book, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    paragraph(book, false, format, arguments);
    va_end(arguments);
}

gyre_status gyre_book_finish(gyre_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    if (book->format == GYRE_SHEET_JSON)
        (void)fputs(book->n_printed > 0 ? "\n]\n" : "]\n", book->stream);
    if (fflush(book->stream) != 0 || ferror(book->stream))
        GYRE_FAIL(GYRE_E_IO, "cannot write the tables: is the disk full, or standard output closed?");
done:
    return st;
}

static void free_sheet(gyre_sheet *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_cells; i++)
        free(s->cells[i].text);
    for (size_t i = 0; i < s->n_notes; i++)
        free(s->notes[i]);
    free(s->notes);
    free(s->cells);
    free(s->title);
    free(s);
}

void gyre_book_free(gyre_book *book)
{
    if (book != NULL)
        free_sheet(book->sheet);
    free(book);
}

/* ---- sheets ---- */

gyre_status gyre_sheet_open(gyre_book *book, const char *name, const gyre_sheet_column *columns, size_t n_columns, gyre_sheet **out, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_sheet *s = NULL;
    if (book->sheet != NULL || n_columns == 0 || n_columns > GYRE_SHEET_COLUMNS)
        GYRE_FAIL(GYRE_E_INTERNAL, "table %s of %zu columns: one table at a time, of 1 to %d columns", name, n_columns, (int)GYRE_SHEET_COLUMNS);
    GYRE_NEW(&s, 1);
    s->book = book;
    s->name = name;
    s->n_columns = n_columns;
    memcpy(s->columns, columns, n_columns * sizeof *columns);
    s->silent = book->only != NULL && strcmp(book->only, name) != 0;
    book->sheet = *out = s;
done:
    return st;
}

static void fail(gyre_sheet *s, gyre_status status, const char *why)
{
    if (s->status == GYRE_OK)
        s->status = gyre_error_set(&s->error, status, __FILE__, __LINE__, "table %s, row %zu: %s", s->name, s->n_rows + 1, why);
}

void gyre_sheet_title(gyre_sheet *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    free(s->title);
    s->title = words_of(format, arguments);
    va_end(arguments);
    if (s->title == NULL)
        fail(s, GYRE_E_MEMORY, "no memory for its title");
}

void gyre_sheet_note(gyre_sheet *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *words = words_of(format, arguments), **more = words == NULL ? NULL : realloc(s->notes, (s->n_notes + 1) * sizeof *s->notes);
    va_end(arguments);
    if (more == NULL) {
        free(words);
        fail(s, GYRE_E_MEMORY, "no memory for a note");
        return;
    }
    s->notes = more;
    s->notes[s->n_notes++] = words;
}

enum { CELLS_MOST = 1 << 22 }; /* of printed forms, which keep them all */

/* The cell of the next column, zeroed; NULL where something has gone wrong, or nobody wants the sheet. */
static gyre_sheet_cell *next_cell(gyre_sheet *s)
{
    if (s->silent || s->status != GYRE_OK)
        return NULL;
    if (s->n_cells == CELLS_MOST) {
        fail(s, GYRE_E_INPUT, "this is too long to be printed: ask for csv or json");
        return NULL;
    }
    if (s->n_cells == s->room) {
        size_t room = s->room == 0 ? 8 * s->n_columns : 2 * s->room;
        gyre_sheet_cell *more = realloc(s->cells, room * sizeof *more);
        if (more == NULL) {
            fail(s, GYRE_E_MEMORY, "no memory for its cells");
            return NULL;
        }
        s->cells = more;
        s->room = room;
    }
    gyre_sheet_cell *cell = &s->cells[s->n_cells++];
    *cell = (gyre_sheet_cell){.value = NAN, .lo = NAN, .hi = NAN};
    return cell;
}

/* Column of the cell that was filled last. */
static const gyre_sheet_column *column_of(const gyre_sheet *s)
{
    return &s->columns[(s->n_cells - 1) % s->n_columns];
}

static void row_if_whole(gyre_sheet *s)
{
    if (s->n_cells % s->n_columns != 0)
        return;
    if (gyre_book_is_data(s->book)) {
        if (s->n_rows == 0)
            gyre_sheet_data_begin(s);
        gyre_sheet_data_row(s);
        for (size_t i = 0; i < s->n_cells; i++)
            free(s->cells[i].text);
        s->n_cells = 0;
    }
    s->n_rows++;
}

static void put_numbers(gyre_sheet *s, double value, double lo, double hi, bool times)
{
    gyre_sheet_cell *cell = next_cell(s);
    if (cell == NULL)
        return;
    cell->value = value;
    cell->lo = lo;
    cell->hi = hi;
    cell->times = times;
    if (column_of(s)->kind == GYRE_SHEET_WORD) {
        fail(s, GYRE_E_INTERNAL, "a number in a column of words");
        return;
    }
    row_if_whole(s);
}

void gyre_sheet_word(gyre_sheet *s, const char *text)
{
    gyre_sheet_cell *cell = next_cell(s);
    if (cell == NULL)
        return;
    cell->text = strdup(text);
    if (cell->text == NULL)
        fail(s, GYRE_E_MEMORY, "no memory for a text");
    else if (column_of(s)->kind != GYRE_SHEET_WORD)
        fail(s, GYRE_E_INTERNAL, "words in a column of numbers");
    else
        row_if_whole(s);
}

void gyre_sheet_number(gyre_sheet *s, double value)
{
    put_numbers(s, value, NAN, NAN, false);
}

void gyre_sheet_times(gyre_sheet *s, double value)
{
    put_numbers(s, value, NAN, NAN, true);
}

void gyre_sheet_pair(gyre_sheet *s, double first, double second)
{
    put_numbers(s, first, second, NAN, false);
}

void gyre_sheet_interval(gyre_sheet *s, double value, double lo, double hi)
{
    put_numbers(s, value, lo, hi, false);
}

void gyre_sheet_interval_times(gyre_sheet *s, double value, double lo, double hi)
{
    put_numbers(s, value, lo, hi, true);
}

void gyre_sheet_rest(gyre_sheet *s, const char *format, ...)
{
    va_list arguments;
    gyre_sheet_cell *cell = next_cell(s);
    if (cell == NULL)
        return;
    va_start(arguments, format);
    cell->text = words_of(format, arguments);
    va_end(arguments);
    cell->rest = true;
    if (cell->text == NULL)
        fail(s, GYRE_E_MEMORY, "no memory for a text");
    while (s->status == GYRE_OK && s->n_cells % s->n_columns != 0 && (cell = next_cell(s)) != NULL)
        cell->rest = true;
    if (s->status == GYRE_OK)
        row_if_whole(s);
}

gyre_status gyre_sheet_close(gyre_sheet *s, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_book *book = s->book;
    if (s->status == GYRE_OK && s->n_cells % s->n_columns != 0)
        fail(s, GYRE_E_INTERNAL, "it ends within a row");
    if (s->status != GYRE_OK) {
        st = s->status;
        if (err != NULL)
            *err = s->error;
    } else if (!s->silent && gyre_book_is_data(book)) {
        if (s->n_rows == 0)
            gyre_sheet_data_begin(s);
        gyre_sheet_data_end(s);
    } else if (!s->silent && s->n_rows > 0) {
        gyre_sheet_print(s);
    }
    book->sheet = NULL;
    free_sheet(s);
    return st;
}
