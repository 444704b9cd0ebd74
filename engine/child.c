#define _POSIX_C_SOURCE 200809L
#include "engine/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* The child's end of the pipe. A fixed number, because an abort callback gets no pointer of ours and there are no globals. */
enum { REPORT_FD = 61 };
enum { LOOK_MS = 200 }; /* between two looks at `stop` */

static void send_report(const gyre_error *report)
{
    struct stat status;
    if (fstat(REPORT_FD, &status) != 0 || !S_ISFIFO(status.st_mode))
        return;
    const char *bytes = (const char *)report;
    size_t sent = 0;
    while (sent < sizeof *report) {
        ssize_t n = write(REPORT_FD, bytes + sent, sizeof *report - sent);
        if (n > 0)
            sent += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return;
    }
}

void gyre_child_last_words(const char *message)
{
    gyre_error report = {0};
    const char *colon = strchr(message, ':'), *place = message; /* "folder/of/the/builder/file.cpp:12: what" */
    for (const char *p = message; colon != NULL && p < colon; p++)
        if (*p == '/')
            place = p + 1;
    (void)gyre_error_set(&report, GYRE_E_INPUT, __FILE__, __LINE__, "libllama gave up: %s: the file is damaged, of a kind it cannot handle, or memory ran out", place);
    send_report(&report);
}

/* Reads one report; false when the child died without one. Pointers in it (source file names) mean the same in parent and child. A signal may come at any moment, before the fork and
 * between two calls too, where no call is interrupted: so `stop` is looked at again and again. */
static bool receive_report(int fd, pid_t child, const volatile sig_atomic_t *stop, gyre_error *report)
{
    char *bytes = (char *)report;
    size_t got = 0;
    while (got < sizeof *report) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int there = poll(&ready, 1, stop != NULL ? LOOK_MS : -1);
        if (there <= 0 && stop != NULL && *stop != 0)
            (void)kill(child, SIGTERM);
        if (there < 0 && errno != EINTR)
            return false;
        if (there <= 0)
            continue;
        ssize_t n = read(fd, bytes + got, sizeof *report - got);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return false;
    }
    return true;
}

static void be_the_child(int fd, gyre_child_work work, void *user)
{
    gyre_error report = {0};
    struct rlimit no_core = {0, 0};
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (dup2(fd, REPORT_FD) < 0)
        return;
    report.status = work(user, &report);
    send_report(&report);
}

static gyre_status explain_death(int status, const char *what, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (sig == SIGINT || sig == SIGTERM)
        GYRE_FAIL(GYRE_E_INTERRUPTED, "interrupted while %s; what was not finished is not written", what);
    if (sig == SIGKILL)
        GYRE_FAIL(GYRE_E_MEMORY, "the process was killed while %s (out of memory?); what was not finished is not written", what);
    GYRE_FAIL(GYRE_E_INPUT, "libllama died (signal %d, %s) while %s: the file is damaged, of a kind it cannot handle, or memory ran out", sig, sig != 0
              ? strsignal(sig) : "none",
              what);
done:
    return st;
}

gyre_status gyre_child_run(gyre_child_work work, void *user, const char *what, const volatile sig_atomic_t *stop, gyre_error *err)
{
    gyre_status st = GYRE_OK;
    gyre_error report = {0};
    int ends[2] = {-1, -1}, status = 0;
    if (pipe(ends) != 0)
        GYRE_FAIL(GYRE_E_IO, "no pipe for a child process: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0)
        GYRE_FAIL(GYRE_E_IO, "cannot start a child process: %s", strerror(errno));
    if (child == 0) {
        (void)close(ends[0]);
        be_the_child(ends[1], work, user);
        _exit(0);
    }
    (void)close(ends[1]);
    ends[1] = -1;
    bool reported = receive_report(ends[0], child, stop, &report);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!reported)
        GYRE_TRY(explain_death(status, what, err));
    if (report.status != GYRE_OK) {
        if (err != NULL)
            *err = report;
        if (WIFSIGNALED(status))
            (void)gyre_error_context(err, "%s", what);
        GYRE_TRY(report.status);
    }
done:
    if (ends[0] >= 0)
        (void)close(ends[0]);
    if (ends[1] >= 0)
        (void)close(ends[1]);
    return st;
}
