/* Figures from a results file (figures.h): reads it, lets each figure of the list lay out its pages, draws them all, then writes them. */
#define _POSIX_C_SOURCE 200809L
#include "results/figures.h"

#include <stdlib.h>
#include <string.h>

#include "core/commit.h"
#include "core/options.h"
#include "results/digest.h"
#include "results/figure.h"
#include "results/gnuplot.h"
#include "results/results_file.h"

const gyre_figure_type *const gyre_figure_types[] = {
#define GYRE_FIGURE_ROW(name) &gyre_figure_##name,
    GYRE_FIGURE_LIST(GYRE_FIGURE_ROW)
#undef GYRE_FIGURE_ROW
    NULL,
};
enum { TYPES = sizeof gyre_figure_types / sizeof *gyre_figure_types - 1 };

static gyre_status check_name(const char *only, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    const char *names[TYPES + 1] = { NULL }; /* ends with NULL */
    char list[512] = "";
    for (size_t i = 0, n = 0; i < TYPES && n < sizeof list; i++) {
        names[i] = gyre_figure_types[i]->name;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i == 0 ? "" : ", ", gyre_figure_types[i]->name);
        if (strcmp(only, gyre_figure_types[i]->name) == 0)
            goto done;
    }
    const char *nearest = gyre_nearest(only, names);
    GYRE_FAIL(GYRE_E_USAGE, "no figure '%s'%s%s%s: there are %s", only, nearest != NULL ? ", did you mean '" : "", nearest != NULL ? nearest : "",
              nearest != NULL ? "'" : "", list);
done:
    return st;
}

/* ---- files ---- */

/* The pictures of one page; written only when all pages have theirs. */
typedef struct pictures {
    char *bytes[GYRE_PICTURES];
    size_t size[GYRE_PICTURES];
} pictures;

static gyre_status write_file(const char *folder, const char *name, const char *extension, const char *bytes, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *path = NULL;
    size_t room = strlen(folder) + strlen(name) + strlen(extension) + 3;
    GYRE_NEW(&path, room);
    (void)snprintf(path, room, "%s/%s.%s", folder, name, extension);
    GYRE_TRY(gyre_commit_bytes(path, bytes, size, err));
done:
    free(path);
    return st;
}

static gyre_status write_page(const char *folder, const gyre_page *page, const pictures *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (int k = 0; k < GYRE_PICTURES; k++)
        GYRE_TRY(write_file(folder, page->name, gyre_picture_name((gyre_picture)k), p->bytes[k], p->size[k], err));
    GYRE_TRY(write_file(folder, page->name, "csv", page->table, page->table_size, err));
done:
    return st;
}

static gyre_status draw_pictures(const gyre_page *page, pictures *p, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    for (int k = 0; k < GYRE_PICTURES; k++)
        if ((st = gyre_gnuplot_draw((gyre_picture)k, GYRE_FIGURE_WIDTH, page->height, page->script, page->script_size, &p->bytes[k], &p->size[k], err)) != GYRE_OK) {
            (void)gyre_error_context(err, "figure %s", page->name);
            goto done;
        }
done:
    return st;
}

gyre_status gyre_book_write(const gyre_figure_book *book, const char *folder, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    pictures *all = NULL;
    size_t n = 0, i = 0;
    for (const gyre_page *page = book->pages; page != NULL; page = page->next)
        n++;
    GYRE_NEW(&all, n);
    for (const gyre_page *page = book->pages; page != NULL; page = page->next)
        GYRE_TRY(draw_pictures(page, &all[i++], err));
    GYRE_TRY(gyre_make_folder(folder, err));
    i = 0;
    for (const gyre_page *page = book->pages; page != NULL; page = page->next)
        GYRE_TRY(write_page(folder, page, &all[i++], err));
    gyre_log_info(book->log, "%zu figure page%s in %s (png, svg, pdf, csv)", n, n == 1 ? "" : "s", folder);
done:
    for (i = 0; i < n && all != NULL; i++)
        for (int k = 0; k < GYRE_PICTURES; k++)
            free(all[i].bytes[k]);
    free(all);
    return st;
}

/* ---- all ---- */

gyre_status gyre_figure_draw(const gyre_figure_type *type, gyre_figure_book *book, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_page **const before = book->last;
    if (type->draw != NULL)
        return type->draw(book, err);
    for (size_t i = 0; i < book->table->n_sources; i++)
        GYRE_TRY(type->draw_source(book, i, err));
    if (book->last == before)
        gyre_log_info(book->log, "figure %s: %s", type->name, type->nothing);
done:
    return st;
}

gyre_status gyre_figures(const char *results_path, const char *folder, const char *only, gyre_log *log, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_table *table = NULL;
    gyre_provenance *provenance = NULL;
    gyre_figure_book book = { .log = log, .last = &book.pages };
    char digest[GYRE_SHA256_HEX];
    if (only != NULL)
        GYRE_TRY(check_name(only, err));
    GYRE_NEW(&provenance, 1);
    GYRE_TRY(gyre_results_read(results_path, &table, provenance, log, err));
    GYRE_TRY(gyre_results_digest(results_path, digest, err));
    GYRE_TRY(gyre_gnuplot_check(err));
    book.table = table;
    book.provenance = provenance;
    book.digest = digest;
    GYRE_TRY(gyre_summarise(table, GYRE_FIGURE_ALPHA, &book.summaries, &book.n_summaries, err));
    GYRE_TRY(gyre_styles_prepare(&book, err));
    GYRE_TRY(gyre_caption_prepare(&book, err));
    for (size_t i = 0; i < TYPES; i++)
        if (only == NULL || strcmp(only, gyre_figure_types[i]->name) == 0)
            GYRE_TRY(gyre_figure_draw(gyre_figure_types[i], &book, err));
    GYRE_TRY(gyre_book_write(&book, folder, err));
done:
    gyre_pages_free(book.pages);
    free(book.arms);
    free(book.facts);
    free(book.marks);
    gyre_table_free(table);
    free(provenance);
    return st;
}
