/* Work in a child process, so that a library that calls abort() cannot take the program with it.
 *
 * gyre_child_run forks, runs work(user, err) in the child, and brings its gyre_error back through a pipe. A child that dies before it could report
 * becomes an error that names the signal. The child shares nothing back: what it makes must be files. It ends with _exit, the only place outside main
 * that ends a process. If the parent dies, the child is ended too (Linux).
 * Threading: call it while the process has one thread.
 */
#ifndef GYRE_ENGINE_CHILD_H
#define GYRE_ENGINE_CHILD_H

#include <signal.h>
#include <stdbool.h>

#include "core/status.h"

typedef gyre_status (*gyre_child_work)(void *user, gyre_error *err);

/* `what` names the work in messages: "reading model.gguf". Once *stop is set by a signal the child is ended (GYRE_E_INTERRUPTED); stop may be NULL. */
gyre_status gyre_child_run(gyre_child_work work, void *user, const char *what, const volatile sig_atomic_t *stop, gyre_error *err);

/* Inside the child: reports GYRE_E_INPUT with this message now, because abort() follows. Elsewhere it does nothing. */
void gyre_child_last_words(const char *message);

#endif
