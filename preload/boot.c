#include "preload/boot.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/modules.h"
#include "core/session.h"
#include "cprof/cprof.h"
#include "preload/http.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/wrap_alloc.h"

static uintptr_t stack_end;
static char session[128];

uintptr_t boot_stack_end(void)
{
	return stack_end;
}

const char *boot_session(void)
{
	return session[0] != '\0' ? session : NULL;
}

/*
 * The address sanitizer's runtime, where it is a library, wants to be the first one and ends the program otherwise. It is
 * for libraries that replace malloc(), which this one does not. To preload the runtime before us instead would put it into
 * every child, too. It asks whoever has this name; a program that has its own is the launcher's affair.
 */
CPROF_PUBLIC const char *__asan_default_options(void);
CPROF_PUBLIC const char *__asan_default_options(void)
{
	return "verify_asan_link_order=0";
}

/* Another copy of this library came first: linked by another path, say. It has the symbols, so it does the work. */
static bool is_second_copy(void)
{
	uintptr_t first = (uintptr_t)dlsym(RTLD_DEFAULT, "cprof_start");

	return first != 0 && first != (uintptr_t)cprof_start;
}

#define SERVED_VARIABLE "CPROF_SERVED" /* who serves, by its pid: those that it runs do not try */

static void serve(const struct option_set *options)
{
	const char *served = secure_getenv(SERVED_VARIABLE);
	pid_t by = served != NULL ? (pid_t)atoi(served) : 0;
	struct why why = {""};
	char text[16];

	if (by > 0 && by != getpid() && kill(by, 0) == 0)
		return;
	if (http_start(options->http, &why) < 0) {
		log_line("%s; there is no endpoint", why.text);
		return;
	}
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv(SERVED_VARIABLE, text, 1);
}

/*
 * The environment is read once, here, with secure_getenv: the host may change it later, and a setuid program must not obey
 * it.
 */
__attribute__((constructor)) static void boot(int argc, char **argv, char **envp)
{
	const char *spec = secure_getenv("CPROF"), *socket_path = secure_getenv(SESSION_VARIABLE);
	const char *debug = secure_getenv("CPROF_LOG");
	struct option_set options;
	struct why why = {""};

	real_resolve();
	wrap_alloc_turn();
	modules_note_start();
	stack_end = (uintptr_t)argv; /* the arguments lie right behind the first frame */
	log_set_debug(debug != NULL && strcmp(debug, "debug") == 0);
	process_set_environment(NULL);
	if (spec == NULL || spec[0] == '\0' || is_second_copy())
		return;
	if (option_parse(spec, process_available() | OPTION_HTTP, &options, &why) < 0) {
		log_line("CPROF: %s; nothing is profiled", why.text);
		return;
	}
	if (socket_path != NULL && strlen(socket_path) < sizeof(session))
		strcpy(session, socket_path);
	/*
	 * Asked for by the environment, it is written at exit, default name or not. With a launcher the directory is the
	 * launcher's, and who cannot reach it has nothing to write there.
	 */
	if (session[0] != '\0')
		options.given &= ~(UINT64_C(1) << OPTION_ID_OUT);
	process_set_environment(&options);
	if (!options.follow) {
		unsetenv("CPROF");
		unsetenv(SESSION_VARIABLE);
	}
	if (session[0] == '\0')
		options.given |= UINT64_C(1) << OPTION_ID_OUT;
	if (options.profiles != 0 && process_start(&options, &why) < 0 &&
	    (session[0] == '\0' || session_tell(session, why.text) < 0))
		log_line("%s; nothing is profiled", why.text);
	if (options.http[0] != '\0' && session[0] == '\0')
		serve(&options); /* a launcher serves what it has */
}

/* After the host's own exit handlers. Under a launcher there is nothing to write: it has the segment. */
__attribute__((destructor)) static void leave(void)
{
	http_leave();
	process_find_libraries(true);
	process_settle();
	process_write_files();
}
