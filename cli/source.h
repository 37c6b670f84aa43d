/*
 * source: where a profile comes from, as it is typed. Every command that reads profiles takes all of these:
 *
 *     cpu.pb.gz, -                       a file, standard input
 *     http://HOST:PORT/debug/pprof/heap  an address on the net; HOST:PORT/… too
 *     1234, 1234/heap                    a process under `cprof run`, and which of its profiles: cpu by itself
 *     unix:PATH, PATH, PATH/heap         the same by its socket
 *
 * What is a file's name is a file, whatever else it looks like. Those that are no files are fetched all at once, as each may take
 * as long as its window.
 */
#pragma once

#include "cli/tls.h"
#include "core/why.h"
#include "output/pprof.h"

struct source;

struct sources {
	int seconds, timeout; /* -seconds, -timeout; 0: not given */
	struct tls_files tls;
	struct source *all;
	size_t n;
	bool is_given_up; /* while some were under way */
};

/* Those of @names, which must stay, that are no files are to be fetched. 0, or a negative errno: -EINVAL, what was typed is no good. */
int sources_add(struct sources *s, char *const *names, size_t n, struct why *why);
/* Fetches them. While somebody waits at a terminal, it says for what. 0 or a negative errno. */
int sources_fetch(struct sources *s, struct why *why);
/*
 * For report_options.read: the profile that one of these names stands for, what was fetched or a file. @wire: as in pprof_read_wire(), or
 * NULL.
 */
int sources_read(void *sources, const char *name, struct profile *ret, struct pprof_wire *wire,
		 struct why *why);
/* @name for people: without what nobody should read over a shoulder. */
const char *sources_show(const struct sources *s, const char *name);
void sources_fini(struct sources *s);
