/* results/sheet.h: each format against texts that try to break out of it, CSV read back by a reader of its own, numbers in few digits and in full.
 *
 * What it is not: a test of what reports say (tests/command.py and the tests of figures do that).
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <unistd.h>

#include "results/sheet.h"

static gyre_error error;

static const char *const hostile[] = {
    "[2pt]* plain",
    "a|b",
    "a & b \\\\ c",
    "say \"so\", he said",
    "two\nlines\r\nand, more",
    "\\end{table} $x_1^2$ #5 100% ~",
    "*bold* _under_ `code` <b> [l](u)",
    "na\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87 e\xCC\x81",
    " blanks ",
    "",
    "broken \xFF\xC3( \xE2\x82",
    ("\xE2\x80\xAE" "drow\t\x1B[31m"), /* two literals: d would go on with the escape */
    "-1+1=2",
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static const double numbers[] = { 0.1, -1e-300, 3.0, 123456789.123456789, 5e-324, 1.7976931348623157e308, 0.0, 2.0 / 3.0, -0.5, NAN, INFINITY, 1e22, 1.0 };

static const gyre_sheet_column columns[] = {
    { "who", NULL, GYRE_SHEET_WORD, 0, GYRE_SHEET_EVERYWHERE },
    { "hidden fact", NULL, GYRE_SHEET_WORD, 0, GYRE_SHEET_DATA },
    { "shown only", NULL, GYRE_SHEET_WORD, 0, GYRE_SHEET_PRINTED },
    { "a value", "nat", GYRE_SHEET_REAL, 0, GYRE_SHEET_EVERYWHERE },
    { "range", NULL, GYRE_SHEET_INTERVAL, 0, GYRE_SHEET_EVERYWHERE },
    { "never", NULL, GYRE_SHEET_REAL, 0, GYRE_SHEET_EVERYWHERE },
};
enum { COLUMNS = sizeof columns / sizeof *columns, FIELDS = 7 }; /* of CSV: who, hidden fact, a value, range and its bounds, never */

/* What a book of one sheet of all hostile texts says; freed by the caller. */
static char *sheet_as(gyre_sheet_format format, const gyre_sheet_facts *facts)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    gyre_book *book = NULL;
    gyre_sheet *s = NULL;
    assert_non_null(f);
    CHECK_OK(gyre_book_open(f, format, NULL, facts, &book, &error), &error);
    gyre_book_words(book, "Words of %s", hostile[5]);
    CHECK_OK(gyre_sheet_open(book, "hostile", columns, COLUMNS, &s, &error), &error);
    gyre_sheet_title(s, "Title: %s", hostile[1]);
    for (size_t i = 0; i < HOSTILE; i++) {
        gyre_sheet_word(s, hostile[i]);
        gyre_sheet_word(s, hostile[HOSTILE - 1 - i]);
        gyre_sheet_word(s, "shown");
        if (i == 3) {
            gyre_sheet_rest(s, "SKIPPED: %s", hostile[2]);
            continue;
        }
        gyre_sheet_number(s, numbers[i]);
        gyre_sheet_interval(s, numbers[i], numbers[i] - 0.25, numbers[i] + 0.5);
        gyre_sheet_number(s, NAN);
    }
    gyre_sheet_note(s, "a note on %s", hostile[6]);
    CHECK_OK(gyre_sheet_close(s, &error), &error);
    CHECK_OK(gyre_book_finish(book, &error), &error);
    gyre_book_free(book);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void says(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL)
        fail_msg("'%s' is not in:\n%s", wanted, text);
}

/* ---- CSV ---- */

/* One field of RFC 4180 from *at on; *end is what follows it: ',', '\r' (a line ends) or 0 where a rule is broken. Freed by the caller. */
static char *csv_field(const char **at, char *end)
{
    char *out = calloc(1, strlen(*at) + 1);
    size_t n = 0;
    const char *p = *at;
    assert_non_null(out);
    if (*p == '"') {
        for (p++; *p != '\0' && !(p[0] == '"' && p[1] != '"'); p++) {
            p += *p == '"';
            out[n++] = *p;
        }
        p += *p == '"';
    } else {
        while (*p != '\0' && strchr(",\"\r\n", *p) == NULL)
            out[n++] = *p++;
    }
    *end = *p == ',' ? ',' : p[0] == '\r' && p[1] == '\n' ? '\r' : '\0';
    *at = p + (*p == ',' ? 1 : 2);
    return out;
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b;
}

static void csv_reads_back(void **state)
{
    (void)state;
    char *text = sheet_as(GYRE_SHEET_CSV, &(gyre_sheet_facts){ "0123", "build, \"x\"", true }), end = 0;
    static const char *const head[] = { "who", "hidden_fact", "a_value", "range", "range_low", "range_high", "never", "results_digest", "dirty" };
    const char *at = text;
    for (size_t row = 0; row < HOSTILE + 1; row++)
        for (size_t k = 0; k < FIELDS + 2; k++) {
            char *field = csv_field(&at, &end);
            const double *x = row > 0 && k >= 2 && k < FIELDS ? &numbers[row - 1] : NULL;
            assert_int_equal(end, k == FIELDS + 1 ? '\r' : ',');
            if (row == 0)
                assert_string_equal(field, head[k]);
            else if (k < 2)
                assert_string_equal(field, hostile[k == 0 ? row - 1 : HOSTILE - row]);
            else if (x == NULL)
                assert_string_equal(field, k == FIELDS ? "0123" : "1");
            else if (row == 4 || k == FIELDS - 1 || isnan(*x)) /* a row with nothing to show: words are for people */
                assert_string_equal(field, "");
            else if (!same(strtod(field, NULL), k == 4 ? *x - 0.25 : k == 5 ? *x + 0.5 : *x))
                fail_msg("row %zu, field %zu: %s", row, k, field);
            free(field);
        }
    assert_string_equal(at, "");
    free(text);
}

/* Sheets of one name are one table; another one has a head of its own behind an empty line; no rows, but a head. */
static void csv_of_several(void **state)
{
    (void)state;
    static const gyre_sheet_column one[] = { { "x y", NULL, GYRE_SHEET_COUNT, 0, GYRE_SHEET_EVERYWHERE } };
    static const char *const names[] = { "a", "a", "b", "c" };
    for (int pass = 0; pass < 2; pass++) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        gyre_book *book = NULL;
        gyre_sheet *s = NULL;
        CHECK_OK(gyre_book_open(f, GYRE_SHEET_CSV, pass == 0 ? NULL : "a", NULL, &book, &error), &error);
        for (size_t i = 0; i < 4; i++) {
            CHECK_OK(gyre_sheet_open(book, names[i], one, 1, &s, &error), &error);
            for (size_t k = 0; k < 2 && i != 2; k++)
                gyre_sheet_number(s, (double)(10 * i + k));
            CHECK_OK(gyre_sheet_close(s, &error), &error);
        }
        CHECK_OK(gyre_book_finish(book, &error), &error);
        gyre_book_free(book);
        (void)fclose(f);
        assert_string_equal(text, pass == 0 ? "x_y\r\n0\r\n1\r\n10\r\n11\r\n\r\nx_y\r\n\r\nx_y\r\n30\r\n31\r\n" : "x_y\r\n0\r\n1\r\n10\r\n11\r\n");
        free(text);
    }
}

/* ---- text ---- */

static void text_is_aligned(void **state)
{
    (void)state;
    char *text = sheet_as(GYRE_SHEET_TEXT, NULL), *line = text;
    says(text, "\nTitle: a|b\n  who");
    says(text, "SKIPPED: a & b \\\\ c\n");
    assert_null(strstr(text, "hidden"));
    assert_null(strstr(text, "never")); /* nothing in it */
    assert_null(strpbrk(text, "\r\t\x1B"));
    assert_null(strstr(text, "\xFF"));
    assert_null(strstr(text, " \n"));
    size_t rows = 0, column = 0;
    for (char *next; (next = strchr(line, '\n')) != NULL; line = next + 1) {
        *next = '\0';
        const char *shown = strstr(line, rows == 0 ? "shown only" : "shown");
        if (shown == NULL)
            continue;
        size_t width = 0; /* as a terminal shows it: the CJK characters of row 7 are two columns wide, its accent none */
        for (const unsigned char *p = (const unsigned char *)line; p < (const unsigned char *)shown; p++)
            width += (*p & 0xC0) == 0x80 || *p == 0xCC ? 0 : *p >= 0xE4 && *p < 0xE8 ? 2 : 1;
        column = rows == 0 ? width : column;
        if (width != column)
            fail_msg("column %zu, not %zu: %s", width, column, line);
        rows++;
    }
    assert_int_equal(rows, 1 + HOSTILE);
    free(text);
}

/* ---- Markdown ---- */

static void markdown_keeps_its_cells(void **state)
{
    (void)state;
    char *text = sheet_as(GYRE_SHEET_MARKDOWN, &(gyre_sheet_facts){ "0123456789abcdef", "1 (x)", true }), *line = text;
    says(text, "| who | shown only | a value (nat) | range |\n|:--|:--|--:|:--|\n");
    says(text, "| a\\|b |");
    says(text, "| two<br>lines <br>and, more |");
    says(text, "\\*bold\\* \\_under\\_ \\`code\\` \\<b\\> \\[l\\](u)");
    says(text, "| \\-1+1=2 |");
    says(text, "| 0.667 [0.417, 1.167] |");
    says(text, "Results file 0123456789ab; build 1 (x); DIRTY BUILD: not the code of any commit.");
    size_t rows = 0;
    for (char *next; (next = strchr(line, '\n')) != NULL; line = next + 1) {
        size_t bars = 0;
        *next = '\0';
        for (const char *p = line; line[0] == '|' && *p != '\0'; p++)
            bars += *p == '|' && (p == line || p[-1] != '\\');
        rows += bars > 0;
        assert_true(bars == 0 || bars == 5);
    }
    assert_int_equal(rows, HOSTILE + 2);
    free(text);
    says((text = sheet_as(GYRE_SHEET_MARKDOWN, NULL)), "Words of \\\\end\\{table\\} \\$x_1^2\\$ \\#5 100% \\~");
    free(text);
}

/* ---- LaTeX ---- */

/* Braces match, and what is special outside of them is what the formatter itself wrote: & between cells and $ in pairs. */
static void latex_holds_together(void **state)
{
    (void)state;
    char *text = sheet_as(GYRE_SHEET_LATEX, &(gyre_sheet_facts){ "0123456789abcdef", "1 (x_y)", false });
    long depth = 0;
    size_t dollars = 0, cells = 0, rows = 0;
    says(text, "\\begin{tabular}{llrl}\n\\toprule\nwho & shown only & a value (nat) & range \\\\\n\\midrule\n");
    says(text, "say \\char34{}so\\char34{}, he said & shown & \\multicolumn{2}{l}{SKIPPED: a \\& b \\textbackslash{}\\textbackslash{} c} \\\\\n");
    says(text, "$0.667\\,[0.417,\\,1.167]$");
    says(text, "$4.94{\\times}10^{-324}$");
    says(text, "$\\infty$");
    says(text, "\n{[}2pt]{*} plain & "); /* not an argument of the \\\\ before */
    says(text, "na\xC3\xAFve U+4E2DU+6587 eU+0301");
    says(text, "build 1 (x\\_y).");
    assert_null(strstr(text, "\\end{table} $x"));
    if (getenv("GYRE_KEEP_TABLES") != NULL) { /* for pdflatex, where there is one */
        FILE *kept = fopen(getenv("GYRE_KEEP_TABLES"), "w");
        assert_true(kept != NULL && fputs(text, kept) >= 0 && fclose(kept) == 0);
    }
    const char *body = strstr(text, "\\midrule\n"), *end = strstr(text, "\\bottomrule");
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\') {
            rows += p > body && p < end && p[1] == '\\';
            p++;
            continue;
        }
        depth += (*p == '{') - (*p == '}');
        assert_true(depth >= 0);
        dollars += *p == '$';
        cells += *p == '&' && p > body && p < end;
        assert_true(*p != '#' && *p != '~' && (*p != '^' || dollars % 2 == 1) && (*p != '_' || dollars % 2 == 1) && (*p != '%' || p == text));
    }
    assert_int_equal(depth, 0);
    assert_int_equal(dollars % 2, 0);
    assert_int_equal(rows, HOSTILE);
    assert_int_equal(cells, 3 * (HOSTILE - 1) + 2);
    free(text);
}

/* ---- JSON ---- */

static void json_is_parsed(void **state)
{
    (void)state;
    char *text = sheet_as(GYRE_SHEET_JSON, &(gyre_sheet_facts){ "0123", "\"b\"", true }), path[] = "/tmp/gyre-sheet-XXXXXX", command[1024];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
    (void)snprintf(command, sizeof command,
                   "%s -c 'import json, math; t, = json.load(open(\"%s\", encoding=\"utf-8\")); r = t[\"rows\"]; assert t[\"table\"] == \"hostile\" and t[\"dirty\"] is True and len(r) == %d, t;"
                   " assert r[4][\"who\"] == \"two\\nlines\\r\\nand, more\" and r[1][\"who\"] == \"a|b\" and r[3][\"a_value\"] is None and r[10][\"a_value\"] is None, r;"
                   " assert r[7][\"a_value\"] == 2/3 and r[4][\"range_high\"] == 0.5 and t[\"units\"] == {\"a_value\": \"nat\"}, r; assert \"shown_only\" not in r[0], r'",
                   GYRE_PYTHON, path, (int)HOSTILE);
    assert_int_equal(system(command), 0);
    (void)unlink(path);
    free(text);
}

/* ---- numbers ---- */

static void numbers_in_few_digits(void **state)
{
    (void)state;
    static const struct {
        double value, lo, hi;
        const char *text;
    } intervals[] = {
        { 0.69, 0.496, 0.961, "0.690 [0.496, 0.961]" }, { 1.0002, 1.00011, 1.00029, "1.00020 [1.00011, 1.00029]" }, { 1.00021, 1.0001, 1.00033, "1.0002 [1.0001, 1.0003]" }, { 0.0, -1.0, 1.0, "0 [-1, 1]" }, { -0.0, -1e-9, 1e-9, "0 [-1e-09, 1e-09]" },
        { 0.03271, 0.0324, 0.0331, "0.0327 [0.0324, 0.0331]" }, { 123456.0, 123000.0, 124000.0, "1.235e+05 [1.23e+05, 1.24e+05]" }, { 2.5, NAN, NAN, "2.5" }, { NAN, NAN, NAN, "-" }, { 1.0, 1.0, 1.0, "1.00 [1.00, 1.00]" }, { 0.76, 0.66, 0.861, "0.760 [0.660, 0.861]" }, { -1.272, -1.56, -0.983, "-1.27 [-1.56, -0.98]" }, { 4.1e-5, 3.9e-5, 4.4e-5, "4.1e-05 [3.9e-05, 4.4e-05]" },
        { 1.0, 1.0 - 1e-14, 1.0 + 1e-14, "1 [1, 1]" },
    };
    static const struct {
        double p;
        const char *text;
    } ps[] = { { 0.045, "0.045" }, { 0.00099, "9.9e-04" }, { 2.13e-5, "2.1e-05" }, { 0.0, "<1e-300" }, { 1.0, "1.000" }, { NAN, "-" } };
    char text[GYRE_SHEET_NUMBER];
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        gyre_sheet_interval_text(intervals[i].value, intervals[i].lo, intervals[i].hi, text);
        assert_string_equal(text, intervals[i].text);
    }
    for (size_t i = 0; i < sizeof ps / sizeof *ps; i++) {
        gyre_sheet_p_text(ps[i].p, text);
        assert_string_equal(text, ps[i].text);
    }
    gyre_sheet_exact_text(0.1, text);
    assert_string_equal(text, "0.1");
    gyre_sheet_exact_text(0.1 + 0.2, text);
    assert_string_equal(text, "0.30000000000000004");
    gyre_sheet_exact_text(-INFINITY, text);
    assert_string_equal(text, "-inf");
}

/* Errors and changes in print, factors, and columns that are data in several fields. */
static void kinds(void **state)
{
    (void)state;
    static const gyre_sheet_column of[] = {
        { "ppl", NULL, GYRE_SHEET_ERROR, 4, GYRE_SHEET_EVERYWHERE }, { "nll", NULL, GYRE_SHEET_ERROR, 0, GYRE_SHEET_EVERYWHERE },     { "fit", NULL, GYRE_SHEET_CHANGE, 0, GYRE_SHEET_EVERYWHERE },
        { "bits", NULL, GYRE_SHEET_REAL, 3, GYRE_SHEET_EVERYWHERE }, { "margin", NULL, GYRE_SHEET_REAL, 0, GYRE_SHEET_EVERYWHERE },  { "ratio", NULL, GYRE_SHEET_INTERVAL, 0, GYRE_SHEET_EVERYWHERE },
        { "n", NULL, GYRE_SHEET_COUNT, 0, GYRE_SHEET_EVERYWHERE },   { "p", NULL, GYRE_SHEET_P, 0, GYRE_SHEET_EVERYWHERE },
    };
    static const gyre_sheet_format formats[] = { GYRE_SHEET_TEXT, GYRE_SHEET_CSV };
    static const char *const wanted[] = {
        "  66.5131 +- 27.2741  4.2 +- 0.31  0.2 -> 0.1 (x0.5)  4.250   x1.05  x0.690 [0.500, 0.960]  12  2.0e-05\n",
        "ppl,ppl_se,nll,nll_se,fit_start,fit_end,bits,margin,ratio,ratio_low,ratio_high,n,p\r\n66.51312,27.27412,4.2,0.31,0.2,0.1,4.25,1.05,0.69,0.5,0.96,12,2e-05\r\n",
    };
    for (size_t i = 0; i < 2; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        gyre_book *book = NULL;
        gyre_sheet *s = NULL;
        CHECK_OK(gyre_book_open(f, formats[i], NULL, NULL, &book, &error), &error);
        CHECK_OK(gyre_sheet_open(book, "kinds", of, sizeof of / sizeof *of, &s, &error), &error);
        gyre_sheet_pair(s, 66.51312, 27.27412);
        gyre_sheet_pair(s, 4.2, 0.31);
        gyre_sheet_pair(s, 0.2, 0.1);
        gyre_sheet_number(s, 4.25);
        gyre_sheet_times(s, 1.05);
        gyre_sheet_interval_times(s, 0.69, 0.5, 0.96);
        gyre_sheet_number(s, 12.0);
        gyre_sheet_number(s, 2e-5);
        CHECK_OK(gyre_sheet_close(s, &error), &error);
        gyre_book_free(book);
        (void)fclose(f);
        says(text, wanted[i]);
        free(text);
    }
}

/* Words that stand below their row in text are a column elsewhere. */
static void below(void **state)
{
    (void)state;
    static const gyre_sheet_column of[] = { { "who", NULL, GYRE_SHEET_WORD, 0, GYRE_SHEET_EVERYWHERE }, { "note", NULL, GYRE_SHEET_WORD, 0, GYRE_SHEET_BELOW }, { "n", NULL, GYRE_SHEET_COUNT, 0, GYRE_SHEET_EVERYWHERE } };
    static const gyre_sheet_format formats[] = { GYRE_SHEET_TEXT, GYRE_SHEET_MARKDOWN, GYRE_SHEET_CSV };
    static const char *const wanted[] = { "  who   n\n  one   1\n      note: why this is so\n  two  20\n  SKIPPED: a reason\n", "| one | why this is so | 1 |\n| two |  | 20 |\n", "who,note,n\r\none,why this is so,1\r\ntwo,,20\r\n,,\r\n" };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        gyre_book *book = NULL;
        gyre_sheet *s = NULL;
        CHECK_OK(gyre_book_open(f, formats[i], NULL, NULL, &book, &error), &error);
        CHECK_OK(gyre_sheet_open(book, "below", of, sizeof of / sizeof *of, &s, &error), &error);
        gyre_sheet_word(s, "one");
        gyre_sheet_word(s, "why this is so");
        gyre_sheet_number(s, 1.0);
        gyre_sheet_word(s, "two");
        gyre_sheet_word(s, "");
        gyre_sheet_number(s, 20.0);
        gyre_sheet_rest(s, "SKIPPED: a reason");
        CHECK_OK(gyre_sheet_close(s, &error), &error);
        gyre_book_free(book);
        (void)fclose(f);
        says(text, wanted[i]);
        free(text);
    }
}

/* ---- faults ---- */

static void faults(void **state)
{
    (void)state;
    gyre_sheet_format format;
    gyre_book *book = NULL;
    gyre_sheet *s = NULL;
    assert_int_equal(gyre_sheet_format_of("markdwn", &format, &error), GYRE_E_USAGE);
    says(error.message, "did you mean markdown");
    CHECK_OK(gyre_sheet_format_of("latex", &format, &error), &error);
    assert_int_equal(format, GYRE_SHEET_LATEX);
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    CHECK_OK(gyre_book_open(full, GYRE_SHEET_JSON, NULL, NULL, &book, &error), &error);
    assert_int_equal(gyre_book_finish(book, &error), GYRE_E_IO);
    gyre_book_free(book);
    (void)fclose(full);
    CHECK_OK(gyre_book_open(stdout, GYRE_SHEET_TEXT, NULL, NULL, &book, &error), &error);
    CHECK_OK(gyre_sheet_open(book, "wrong", columns, COLUMNS, &s, &error), &error);
    gyre_sheet_word(s, "x");
    assert_int_equal(gyre_sheet_close(s, &error), GYRE_E_INTERNAL);
    says(error.message, "within a row");
    CHECK_OK(gyre_sheet_open(book, "wrong", columns, COLUMNS, &s, &error), &error);
    gyre_sheet_number(s, 1.0);
    assert_int_equal(gyre_sheet_close(s, &error), GYRE_E_INTERNAL);
    says(error.message, "a number in a column of words");
    CHECK_OK(gyre_sheet_open(book, "left open", columns, COLUMNS, &s, &error), &error);
    gyre_sheet_word(s, "freed with the book");
    gyre_book_free(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_reads_back), cmocka_unit_test(csv_of_several), cmocka_unit_test(text_is_aligned), cmocka_unit_test(markdown_keeps_its_cells), cmocka_unit_test(latex_holds_together),
        cmocka_unit_test(json_is_parsed), cmocka_unit_test(numbers_in_few_digits), cmocka_unit_test(kinds), cmocka_unit_test(below), cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
