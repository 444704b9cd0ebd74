/* Tables for people and for programs: one formatter behind every table that Gyre prints.
 *
 * A sheet is a title, columns, rows and notes; a book is a stream of sheets and paragraphs in one format:
 *
 *   text       aligned columns, widths counted as a terminal shows them
 *   markdown   tables of GitHub's dialect, hostile characters escaped
 *   latex      `table` with `tabular` and the rules of booktabs, made smaller where it is wider than the text (graphicx); a fragment that compiles with pdflatex and \usepackage{booktabs,graphicx} alone
 *   csv        RFC 4180: CRLF, quotes doubled, numbers that read back to the same double, bounds of intervals in columns of their own
 *   json       [{"table", "title", "units", "rows": [{column: value}], "notes"}]
 *
 * The first three are printed forms: columns without any content are left out, a row that has nothing to show says why in place of its numbers, facts about the file stand under each table of
 * Markdown and LaTeX (which are pasted apart); a text says them once, in its head. The last two are data: all columns, numbers whole, NaN is an empty field or null, facts are the last columns of
 * CSV and fields of each JSON table, and rows go out as they come, so that a table may be larger than the memory. Sheets of one name that follow each other are one table of CSV; before another one stands an empty line.
 *
 * Calls that add to a sheet remember the first thing that went wrong; gyre_sheet_close tells it. What it is not: a place for texts longer than a line.
 *
 * Sources: RFC 4180; GitHub Flavored Markdown 0.29, 4.10 and 6.1; S. Fear, booktabs.
 */
#ifndef GYRE_RESULTS_SHEET_H
#define GYRE_RESULTS_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/status.h"

typedef enum gyre_sheet_format { GYRE_SHEET_TEXT, GYRE_SHEET_MARKDOWN, GYRE_SHEET_LATEX, GYRE_SHEET_CSV, GYRE_SHEET_JSON } gyre_sheet_format;

/* "text", "markdown", "latex", "csv", "json"; GYRE_E_USAGE with the nearest one for another word. */
gyre_status gyre_sheet_format_of(const char *name, gyre_sheet_format *out, gyre_error *err);

/* What a column holds. In data an INTERVAL is NAME, NAME_low and NAME_high, an ERROR is NAME and NAME_se, a CHANGE is NAME_start and NAME_end. */
typedef enum gyre_sheet_kind {
    GYRE_SHEET_WORD,     /* a text, left */
    GYRE_SHEET_COUNT,    /* a whole number, right */
    GYRE_SHEET_REAL,     /* a number, right */
    GYRE_SHEET_P,        /* a p value, right */
    GYRE_SHEET_INTERVAL, /* 0.69 [0.50, 0.96] */
    GYRE_SHEET_ERROR,    /* 14.2 +- 0.3 */
    GYRE_SHEET_CHANGE    /* 0.20 -> 0.10 (x0.5) */
} gyre_sheet_kind;

/* BELOW: everywhere, but in text on an indented line of its own under the row, its name in front; long words would make every row wrap. */
typedef enum gyre_sheet_where { GYRE_SHEET_EVERYWHERE = 0, GYRE_SHEET_PRINTED, GYRE_SHEET_DATA, GYRE_SHEET_BELOW } gyre_sheet_where;

typedef struct gyre_sheet_column {
    const char *name;   /* blanks become underscores in data; lives as long as the sheet */
    const char *unit;   /* in brackets behind the name of printed forms; NULL or "": none */
    gyre_sheet_kind kind;
    int decimals;       /* of REAL and ERROR in printed forms; 0: as many digits as gyre_sheet_number_text gives */
    gyre_sheet_where where;
} gyre_sheet_column;

typedef struct gyre_book gyre_book;
typedef struct gyre_sheet gyre_sheet;

/* What every table carries. Texts live as long as the book. */
typedef struct gyre_sheet_facts {
    const char *digest; /* scientific digest of the results file */
    const char *build;
    bool dirty;         /* the program was no commit's code */
} gyre_sheet_facts;

/* only: name of the one table that is wanted, or NULL; paragraphs then stay away too. facts may be NULL. */
gyre_status gyre_book_open(FILE *stream, gyre_sheet_format format, const char *only, const gyre_sheet_facts *facts, gyre_book **out, gyre_error *err);

/* CSV or JSON: nobody reads it line by line, so lists need not be cut short. */
bool gyre_book_is_data(const gyre_book *book);

/* A paragraph of printed forms, after an empty line / a line that goes on with the paragraph before. */
void gyre_book_words(gyre_book *book, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gyre_book_line(gyre_book *book, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends the stream's content; GYRE_E_IO where the stream did not take it all. Freeing also frees a sheet that is still open. */
gyre_status gyre_book_finish(gyre_book *book, gyre_error *err);
void gyre_book_free(gyre_book *book);

/* One sheet at a time. Columns are copied; at most GYRE_SHEET_COLUMNS. */
enum { GYRE_SHEET_COLUMNS = 128 };
gyre_status gyre_sheet_open(gyre_book *book, const char *name, const gyre_sheet_column *columns, size_t n_columns, gyre_sheet **out, gyre_error *err);
void gyre_sheet_title(gyre_sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3))); /* before the first row */
void gyre_sheet_note(gyre_sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next cell of the row; the cell of the last column ends it. Columns take words or numbers as their kind says. */
void gyre_sheet_word(gyre_sheet *sheet, const char *text);
void gyre_sheet_number(gyre_sheet *sheet, double value);
void gyre_sheet_times(gyre_sheet *sheet, double value);                            /* a factor: printed with an x in front */
void gyre_sheet_pair(gyre_sheet *sheet, double first, double second);              /* ERROR, CHANGE */
void gyre_sheet_interval(gyre_sheet *sheet, double value, double lo, double hi);
void gyre_sheet_interval_times(gyre_sheet *sheet, double value, double lo, double hi);
void gyre_sheet_rest(gyre_sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3))); /* the words stand for all that is left of the row in printed forms */

/* Prints what was kept, and frees. A sheet without rows is nothing in printed forms; in CSV it has its head. */
gyre_status gyre_sheet_close(gyre_sheet *sheet, gyre_error *err);

/* ---- numbers ---- */

enum { GYRE_SHEET_NUMBER = 80 };

/* Three digits; "-" for NaN. With an interval more (up to eight), where the first digit of its half width needs them: 1.0002 [1.0001, 1.0003]. */
void gyre_sheet_number_text(double value, char text[GYRE_SHEET_NUMBER]);
void gyre_sheet_interval_text(double value, double lo, double hi, char text[GYRE_SHEET_NUMBER]);

/* 0.045, 2.1e-05, <1e-300; "-" for NaN. */
void gyre_sheet_p_text(double p, char text[GYRE_SHEET_NUMBER]);

/* The shortest decimal that reads back to the same double; "nan", "inf", "-inf". */
void gyre_sheet_exact_text(double value, char text[GYRE_SHEET_NUMBER]);

#endif
