/* `gyre capture`: the command line of engine/capture.h. argv[0] is the verb; --help prints the page on stdout.
 * Errors: GYRE_E_USAGE for the command line, GYRE_E_CONFIG for a list of texts, else those of gyre_capture_run. */
#ifndef GYRE_ENGINE_CAPTURE_COMMAND_H
#define GYRE_ENGINE_CAPTURE_COMMAND_H

#include "core/log.h"
#include "core/status.h"

gyre_status gyre_capture_command(int argc, char **argv, gyre_log *log, gyre_error *err);

#endif
