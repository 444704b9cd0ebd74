/* Printed forms of a sheet: aligned text, Markdown, LaTeX. Every word goes through the escaping of its form here, so that no name of an arm can end a cell, a table or the document.
 *
 * LaTeX: a bracket or a star that begins a row would belong to the \\ before it, so both are in braces. What plain pdflatex has no glyph for is printed as U+XXXX. A page of floats is flushed every FLOATS tables, since LaTeX holds no more than about fifty.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/sheet_parts.h"

enum { FLOATS = 16, BELOW = 6 };

/* ---- columns ---- */

static bool has_content(const gyre_sheet_cell *cell)
{
    return cell->text != NULL ? cell->rest || cell->text[0] != '\0' : !cell->rest && !isnan(cell->value);
}

static bool visible(const gyre_sheet *s, size_t column)
{
    if (s->columns[column].where == GYRE_SHEET_DATA)
        return false;
    for (size_t i = column; i < s->n_cells; i += s->n_columns)
        if (has_content(&s->cells[i]))
            return true;
    return false;
}

static bool right(const gyre_sheet_column *column)
{
    return column->kind == GYRE_SHEET_COUNT || column->kind == GYRE_SHEET_REAL || column->kind == GYRE_SHEET_P;
}

static void name_text(const gyre_sheet_column *column, char *text, size_t size)
{
    bool unit = column->unit != NULL && column->unit[0] != '\0';
    (void)snprintf(text, size, "%s%s%s%s", column->name, unit ? " (" : "", unit ? column->unit : "", unit ? ")" : "");
}

/* ---- text ---- */

static size_t text_width(const char *text)
{
    size_t n = 0;
    while (*text != '\0') {
        uint32_t c = gyre_sheet_character(&text);
        n += gyre_sheet_control(c) ? 1 : (size_t)gyre_sheet_character_width(c);
    }
    return n;
}

static void put_text(const char *text, FILE *out)
{
    while (*text != '\0') {
        uint32_t c = gyre_sheet_character(&text);
        gyre_sheet_put_character(gyre_sheet_control(c) ? ' ' : c, out);
    }
}

static void put_blanks(size_t n, FILE *out)
{
    while (n-- > 0)
        (void)fputc(' ', out);
}

/* One column of a line; *behind: blanks that are owed, written only where something follows. */
static void put_column(const char *text, size_t width, bool at_right, size_t *behind, FILE *out)
{
    size_t n = text_width(text), pad = n < width ? width - n : 0;
    if (n > 0) {
        put_blanks(*behind + (at_right ? pad : 0), out);
        put_text(text, out);
        *behind = 2 + (at_right ? 0 : pad);
    } else {
        *behind += width + 2;
    }
}

static size_t column_width(const gyre_sheet *s, size_t column)
{
    char name[256], number[GYRE_SHEET_NUMBER];
    name_text(&s->columns[column], name, sizeof name);
    size_t most = text_width(name);
    for (size_t i = column; i < s->n_cells; i += s->n_columns) {
        size_t n = s->cells[i].rest ? 0 : text_width(gyre_sheet_cell_text(&s->columns[column], &s->cells[i], number));
        most = n > most ? n : most;
    }
    return most;
}

/* What stands under the row of cells from `first` on. */
static void put_below(const gyre_sheet *s, const bool *shown, size_t first, FILE *out)
{
    char number[GYRE_SHEET_NUMBER];
    for (size_t c = 0; c < s->n_columns; c++) {
        const gyre_sheet_cell *cell = &s->cells[first + c];
        if (!shown[c] || s->columns[c].where != GYRE_SHEET_BELOW || cell->rest || !has_content(cell))
            continue;
        put_blanks(BELOW, out);
        put_text(s->columns[c].name, out);
        put_text(": ", out);
        put_text(gyre_sheet_cell_text(&s->columns[c], cell, number), out);
        (void)fputc('\n', out);
    }
}

static void print_text(const gyre_sheet *s, const bool *shown, FILE *out)
{
    size_t width[GYRE_SHEET_COLUMNS], behind = 2;
    char name[256], number[GYRE_SHEET_NUMBER];
    if (s->title != NULL) {
        put_text(s->title, out);
        (void)fputc('\n', out);
    }
    for (size_t c = 0; c < s->n_columns; c++) {
        width[c] = column_width(s, c);
        name_text(&s->columns[c], name, sizeof name);
        if (shown[c] && s->columns[c].where != GYRE_SHEET_BELOW)
            put_column(name, width[c], right(&s->columns[c]), &behind, out);
    }
    (void)fputc('\n', out);
    for (size_t i = 0; i < s->n_cells; i += s->n_columns) {
        behind = 2;
        for (size_t c = 0; c < s->n_columns; c++) {
            const gyre_sheet_cell *cell = &s->cells[i + c];
            if (cell->rest && cell->text != NULL) {
                put_blanks(behind, out);
                put_text(cell->text, out);
            } else if (!cell->rest && shown[c] && s->columns[c].where != GYRE_SHEET_BELOW) {
                put_column(gyre_sheet_cell_text(&s->columns[c], cell, number), width[c], right(&s->columns[c]), &behind, out);
            }
        }
        (void)fputc('\n', out);
        put_below(s, shown, i, out);
    }
    for (size_t i = 0; i < s->n_notes; i++) {
        put_text(s->notes[i], out);
        (void)fputc('\n', out);
    }
}

/* ---- Markdown ---- */

static void put_markdown(const char *text, FILE *out)
{
    for (bool word = false, first = true; *text != '\0'; first = false) {
        const char *at = text;
        uint32_t c = gyre_sheet_character(&text);
        bool inside = word && (isalnum((unsigned char)*text) || *text == '_'); /* of a word an underscore is one */
        if (c == '\n')
            (void)fputs("<br>", out);
        else if (gyre_sheet_control(c))
            (void)fputc(' ', out);
        else if ((c < 0x80 && strchr("\\`*|<>[]~$&#{}", *at) != NULL) || (c == '_' && !inside) || (first && c < 0x80 && strchr("-+=", *at) != NULL))
            (void)fprintf(out, "\\%c", (int)c);
        else
            gyre_sheet_put_character(c, out);
        word = c >= 0x80 || isalnum((int)c) || (c == '_' && word);
    }
}

static void put_markdown_cell(const gyre_sheet_column *column, const gyre_sheet_cell *cell, FILE *out)
{
    char number[GYRE_SHEET_NUMBER];
    if (cell->text != NULL)
        put_markdown(cell->text, out);
    else if (!cell->rest)
        put_text(gyre_sheet_cell_text(column, cell, number), out);
}

static void print_facts(const gyre_book *book, char *text, size_t size)
{
    const gyre_sheet_facts *f = book->facts;
    text[0] = '\0';
    if (f != NULL)
        (void)snprintf(text, size, "Results file %.12s; build %s%s.", f->digest, f->build, f->dirty ? "; DIRTY BUILD: not the code of any commit" : "");
}

static void print_markdown(const gyre_sheet *s, const bool *shown, FILE *out)
{
    char name[256], facts[1024];
    if (s->title != NULL) {
        (void)fputs("**", out);
        put_markdown(s->title, out);
        (void)fputs("**\n\n", out);
    }
    for (int line = 0; line < 2; line++) {
        for (size_t c = 0; c < s->n_columns; c++) {
            name_text(&s->columns[c], name, sizeof name);
            if (shown[c] && line == 0) {
                (void)fputs("| ", out);
                put_markdown(name, out);
                (void)fputc(' ', out);
            } else if (shown[c]) {
                (void)fputs(right(&s->columns[c]) ? "|--:" : "|:--", out);
            }
        }
        (void)fputs("|\n", out);
    }
    for (size_t i = 0; i < s->n_cells; i += s->n_columns) {
        for (size_t c = 0; c < s->n_columns; c++) {
            if (!shown[c])
                continue;
            (void)fputs("| ", out);
            put_markdown_cell(&s->columns[c], &s->cells[i + c], out);
            (void)fputc(' ', out);
        }
        (void)fputs("|\n", out);
    }
    print_facts(s->book, facts, sizeof facts);
    for (size_t i = 0; i < s->n_notes; i++) {
        (void)fputc('\n', out);
        put_markdown(s->notes[i], out);
        (void)fputc('\n', out);
    }
    if (facts[0] != '\0') {
        (void)fputc('\n', out);
        put_markdown(facts, out);
        (void)fputc('\n', out);
    }
}

/* ---- LaTeX ---- */

#define LATEX_NEEDS "% needs \\usepackage{booktabs,graphicx}\n"

typedef struct glyph {
    uint32_t c;
    const char *latex;
} glyph;

static void put_latex_character(uint32_t c, FILE *out)
{
    static const glyph glyphs[] = {{'\\', "\\textbackslash{}"}, {'{', "\\{"}, {'}', "\\}"}, {'$', "\\$"}, {'&', "\\&"}, {'#', "\\#"}, {'%', "\\%"}, {'_', "\\_"}, {'^', "\\textasciicircum{}"},
                                   {'~', "\\textasciitilde{}"}, {'<', "$<$"}, {'>', "$>$"}, {'|', "$|$"}, {'"', "\\char34{}"}, {'\'', "{'}"}, {'`', "{`}"}, {'-', "{-}"}, {'[', "{[}"}, {'*', "{*}"}, {0xA0, "~"}, {0xB1, "$\\pm$"}, {0xB5, "$\\mu$"},
                                   {0xB7, "$\\cdot$"}, {0xD7, "$\\times$"}, {0x2013, "--"}, {0x2014, "---"}, {0x2019, "'"}, {0x2192, "$\\to$"}, {0x2264, "$\\le$"}, {0x2265, "$\\ge$"}, {0x221E, "$\\infty$"}};
    for (size_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++)
        if (glyphs[i].c == c) {
            (void)fputs(glyphs[i].latex, out);
            return;
        }
    bool letter = c >= 0xC0 && c <= 0xFF && c != 0xD0 && c != 0xDE && c != 0xF0 && c != 0xFE; /* accented: what OT1 can make */
    if (gyre_sheet_control(c))
        (void)fputc(' ', out);
    else if (c < 0x80 || letter)
        gyre_sheet_put_character(c, out);
    else
        (void)fprintf(out, "U+%04X", (unsigned)c);
}

static void put_latex(const char *text, FILE *out)
{
    while (*text != '\0')
        put_latex_character(gyre_sheet_character(&text), out);
}

/* A number as it is printed elsewhere, in mathematics: powers of ten, the signs +- and ->, x for times, thin spaces in intervals. */
static void put_latex_number(const char *text, FILE *out)
{
    if (strcmp(text, "-") == 0) {
        (void)fputs("--", out);
        return;
    }
    (void)fputc('$', out);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == 'e' && (p[1] == '+' || p[1] == '-')) {
            char *end = NULL;
            (void)fprintf(out, "{\\times}10^{%ld}", strtol(p + 1, &end, 10));
            p = end - 1;
        } else if (strncmp(p, "+-", 2) == 0 || strncmp(p, "->", 2) == 0) {
            (void)fputs(*p == '+' ? "\\pm" : "\\to", out);
            p++;
        } else if (strncmp(p, "inf", 3) == 0) {
            (void)fputs("\\infty", out);
            p += 2;
        } else if (strncmp(p, "nan", 3) == 0) {
            (void)fputs("\\mathrm{nan}", out);
            p += 2;
        } else if (*p == 'x') {
            (void)fputs("{\\times}", out);
        } else {
            (void)fputs(*p == ' ' ? "\\," : (char[]){*p, '\0'}, out);
        }
    }
    (void)fputc('$', out);
}

static void put_latex_cell(const gyre_sheet_column *column, const gyre_sheet_cell *cell, FILE *out)
{
    char number[GYRE_SHEET_NUMBER];
    const char *text = gyre_sheet_cell_text(column, cell, number);
    if (cell->text != NULL)
        put_latex(text, out);
    else
        put_latex_number(text, out);
}

static void latex_row(const gyre_sheet *s, const bool *shown, size_t first, FILE *out)
{
    size_t n = 0;
    for (size_t c = 0; c < s->n_columns; c++) {
        const gyre_sheet_cell *cell = &s->cells[first + c];
        size_t left = 0;
        if (!shown[c])
            continue;
        for (size_t k = c; k < s->n_columns; k++)
            left += shown[k];
        (void)fputs(n++ > 0 ? " & " : "", out);
        if (cell->rest) {
            (void)fprintf(out, "\\multicolumn{%zu}{l}{", left);
            put_latex(cell->text, out);
            (void)fputc('}', out);
            break;
        }
        put_latex_cell(&s->columns[c], cell, out);
    }
    (void)fputs(" \\\\\n", out);
}

static void print_latex(const gyre_sheet *s, const bool *shown, FILE *out)
{
    char name[256], facts[1024];
    size_t n = 0;
    (void)fputs("\\begin{table}[htbp]\n\\centering\\scriptsize\n\\caption{", out);
    put_latex(s->title != NULL ? s->title : s->name, out);
    (void)fputs("}\n\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{\\begin{tabular}{", out); /* no wider than the text */
    for (size_t c = 0; c < s->n_columns; c++)
        if (shown[c])
            (void)fputc(right(&s->columns[c]) ? 'r' : 'l', out);
    (void)fputs("}\n\\toprule\n", out);
    for (size_t c = 0; c < s->n_columns; c++) {
        name_text(&s->columns[c], name, sizeof name);
        if (!shown[c])
            continue;
        (void)fputs(n++ > 0 ? " & " : "", out);
        put_latex(name, out);
    }
    (void)fputs(" \\\\\n\\midrule\n", out);
    for (size_t i = 0; i < s->n_cells; i += s->n_columns)
        latex_row(s, shown, i, out);
    (void)fputs("\\bottomrule\n\\end{tabular}}\n", out);
    print_facts(s->book, facts, sizeof facts);
    for (size_t i = 0; i < s->n_notes + 1; i++) {
        const char *note = i < s->n_notes ? s->notes[i] : facts;
        if (note[0] == '\0')
            continue;
        (void)fputs("\n\\medskip ", out);
        put_latex(note, out);
        (void)fputc('\n', out);
    }
    (void)fputs("\\end{table}\n", out);
    if (++s->book->n_floats % FLOATS == 0)
        (void)fputs("\\clearpage\n", out);
}

/* ---- both ---- */

void gyre_sheet_print(gyre_sheet *s)
{
    FILE *out = s->book->stream;
    bool shown[GYRE_SHEET_COLUMNS] = {false}, any = false;
    for (size_t c = 0; c < s->n_columns; c++) {
        shown[c] = visible(s, c);
        any = any || shown[c];
    }
    if (!any)
        return;
    if (s->book->n_printed++ > 0)
        (void)fputc('\n', out);
    else if (s->book->format == GYRE_SHEET_LATEX)
        (void)fputs(LATEX_NEEDS, out);
    if (s->book->format == GYRE_SHEET_TEXT)
        print_text(s, shown, out);
    else if (s->book->format == GYRE_SHEET_MARKDOWN)
        print_markdown(s, shown, out);
    else
        print_latex(s, shown, out);
}

void gyre_sheet_print_words(gyre_book *book, const char *words, bool fresh)
{
    if (book->n_printed++ == 0)
        (void)fputs(book->format == GYRE_SHEET_LATEX ? LATEX_NEEDS : "", book->stream);
    else if (fresh || book->format != GYRE_SHEET_TEXT) /* where lines run together, each is a paragraph */
        (void)fputc('\n', book->stream);
    if (book->format == GYRE_SHEET_TEXT)
        put_text(words, book->stream);
    else if (book->format == GYRE_SHEET_MARKDOWN)
        put_markdown(words, book->stream);
    else
        put_latex(words, book->stream);
    (void)fputc('\n', book->stream);
}
