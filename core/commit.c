#define _POSIX_C_SOURCE 200809L
#include "core/commit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { HOST_TEXT = 64 };

static void host_name(char host[HOST_TEXT])
{
    if (gethostname(host, HOST_TEXT) != 0)
        memcpy(host, "host", 5);
    host[HOST_TEXT - 1] = '\0';
}

/* Length of the folder part of a path, its slash included; 0 for a bare name. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

gyre_status gyre_commit_begin(gyre_commit *c, const char *final, gyre_error *err)
{
    static atomic_uint serial; /* a counter that only makes names of one process differ */
    gyre_status st = GYRE_OK;
    char host[HOST_TEXT];
    host_name(host);
    *c = (gyre_commit){0};
    size_t folder = folder_length(final);
    size_t size = strlen(final) + HOST_TEXT + 64;
    GYRE_NEW(&c->final, strlen(final) + 1);
    memcpy(c->final, final, strlen(final) + 1);
    GYRE_NEW(&c->temp, size);
    (void)snprintf(c->temp, size, "%.*s.%s.%s.%ld.%u.tmp", (int)folder, final, final + folder, host, (long)getpid(), atomic_fetch_add(&serial, 1u));
    c->open = true;
done:
    if (st != GYRE_OK)
        gyre_commit_abort(c);
    return st;
}

static gyre_status sync_path(const char *path, int flags, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        GYRE_FAIL(GYRE_E_IO, "cannot open %s to make it durable: %s", path, strerror(errno));
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS) /* file systems without fsync of folders */
        GYRE_FAIL(GYRE_E_IO, "cannot make %s durable: %s", path, strerror(errno));
done:
    if (fd >= 0)
        (void)close(fd);
    return st;
}

gyre_status gyre_commit_finish(gyre_commit *c, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    GYRE_TRY(sync_path(c->temp, O_RDONLY, err));
    if (rename(c->temp, c->final) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot rename %s to %s: %s", c->temp, c->final, strerror(errno));
    c->open = false;
    size_t folder = folder_length(c->final);
    char saved = c->final[folder];
    c->final[folder] = '\0';
    st = sync_path(folder == 0 ? "." : c->final, O_RDONLY | O_DIRECTORY, err);
    c->final[folder] = saved;
done:
    gyre_commit_abort(c);
    return st;
}

void gyre_commit_abort(gyre_commit *c)
{
    if (c->open && c->temp != NULL)
        (void)unlink(c->temp);
    free(c->temp);
    free(c->final);
    *c = (gyre_commit){0};
}

gyre_status gyre_commit_bytes(const char *path, const void *bytes, size_t size, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_commit c = {0};
    FILE *f = NULL;
    GYRE_TRY(gyre_commit_begin(&c, path, err));
    f = fopen(c.temp, "wb");
    if (f == NULL)
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s: choose another folder", path, strerror(errno));
    if (fwrite(bytes, 1, size, f) != size || fflush(f) != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s", path, strerror(errno));
    int closed = fclose(f);
    f = NULL;
    if (closed != 0)
        GYRE_FAIL(GYRE_E_IO, "cannot write %s: %s", path, strerror(errno));
    GYRE_TRY(gyre_commit_finish(&c, err));
done:
    if (f != NULL)
        (void)fclose(f);
    gyre_commit_abort(&c);
    return st;
}

/* ".<name>.<host>.<pid>.<serial>.tmp" of this host whose process is gone. */
static bool is_stale(const char *name, const char *host)
{
    size_t n = strlen(name);
    if (name[0] != '.' || n < 5 || strcmp(name + n - 4, ".tmp") != 0)
        return false;
    char needle[HOST_TEXT + 3];
    (void)snprintf(needle, sizeof needle, ".%s.", host);
    const char *at = NULL;
    for (const char *p = strstr(name, needle); p != NULL; p = strstr(p + 1, needle))
        at = p;
    if (at == NULL)
        return false;
    char *end = NULL;
    long pid = strtol(at + strlen(needle), &end, 10);
    return pid > 0 && *end == '.' && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

void gyre_commit_sweep(const char *folder)
{
    char host[HOST_TEXT];
    host_name(host);
    DIR *d = opendir(folder);
    if (d == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        if (is_stale(entry->d_name, host))
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    (void)closedir(d);
}

gyre_status gyre_make_folder(const char *path, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    char *copy = NULL;
    struct stat info;
    size_t n = strlen(path);
    GYRE_NEW(&copy, n + 1);
    memcpy(copy, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (copy[i] != '/' && copy[i] != '\0')
            continue;
        char saved = copy[i];
        copy[i] = '\0';
        int reason = mkdir(copy, 0777) != 0 ? errno : 0;
        if (reason != 0 && reason != EEXIST && stat(copy, &info) != 0) /* what is there already need not be makeable */
            GYRE_FAIL(GYRE_E_IO, "cannot make the folder %s: %s: choose another with --out", copy, strerror(reason));
        copy[i] = saved;
    }
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        GYRE_FAIL(GYRE_E_IO, "%s is not a folder: choose another with --out", path);
done:
    free(copy);
    return st;
}
