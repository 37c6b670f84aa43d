/*
 * handover: a profile into the hands of pprof, which has a page of its own.
 */
#pragma once

#include "cli/cmd.h"

/*
 * Runs `pprof -http` or `go tool pprof -http`, whichever is there, with @words, what was typed but for our own options; @files are
 * among them. What is no file is fetched for it. Returns what to exit with, or does not.
 */
int handover_pprof(const char *command, char *const *words, const struct cmd_files *files,
		   struct sources *sources);
