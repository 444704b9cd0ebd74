/* Files that are either whole or absent.
 *
 *     gyre_commit c;
 *     GYRE_TRY(gyre_commit_begin(&c, "out/demo/results.h5", err));   // chooses a temporary name in the same folder
 *     ... write c.temp, close it ...
 *     GYRE_TRY(gyre_commit_finish(&c, err));                         // fsync, rename, fsync of the folder
 *   done:
 *     gyre_commit_abort(&c);                                         // unlinks the temporary file unless finished
 *
 * The temporary name is ".<name>.<host>.<pid>.<serial>.tmp". gyre_commit_sweep removes those a dead process of this host left in a folder.
 * Threading: each gyre_commit belongs to one thread.
 */
#ifndef GYRE_CORE_COMMIT_H
#define GYRE_CORE_COMMIT_H

#include <stdbool.h>

#include "core/status.h"

typedef struct gyre_commit {
    char *final;
    char *temp;
    bool open;
} gyre_commit;

gyre_status gyre_commit_begin(gyre_commit *c, const char *final, gyre_error *err);
gyre_status gyre_commit_finish(gyre_commit *c, gyre_error *err);
void gyre_commit_abort(gyre_commit *c);

/* Writes size bytes to `path` through a commit. */
gyre_status gyre_commit_bytes(const char *path, const void *bytes, size_t size, gyre_error *err);

/* Removes stale temporary files of this host from `folder`. */
void gyre_commit_sweep(const char *folder);

/* mkdir -p. */
gyre_status gyre_make_folder(const char *path, gyre_error *err);

#endif
