/*
 * operators_host: a C program that opens C++ libraries for itself (RTLD_LOCAL), and knows nothing of C++ otherwise.
 *
 *     operators_host lazy|now LIBRARY                 opens it and calls what it has
 *     operators_host late LIBRARY NEXT DIRECTORY      the same, lazily; then starts the heap profile, into DIRECTORY, while
 *                                                     another thread lives, calls it again, opens NEXT and calls that
 *     operators_host storm LIBRARY NEXT DIRECTORY     the same while two threads open and close NEXT, and LIBRARY alone is called
 */
#define CPROF_WEAK
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cprof/cprof.h"

static int call(void *library)
{
	int (*run)(void) = NULL;
	void *symbol = library != NULL ? dlsym(library, "operators_run") : NULL;

	if (symbol == NULL) {
		fprintf(stderr, "operators_host: %s\n", dlerror());
		return 1;
	}
	memcpy(&run, &symbol, sizeof(run));
	return run();
}

static void *open_and_close(void *path)
{
	for (;;) {
		void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

		if (library != NULL)
			dlclose(library);
	}
	return path;
}

static void *live(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	bool is_storm = argc > 4 && strcmp(argv[1], "storm") == 0;
	bool is_late = argc > 4 && (is_storm || strcmp(argv[1], "late") == 0);
	void *library = dlopen(argc > 2 ? argv[2] : "",
			       (argc > 1 && strcmp(argv[1], "now") == 0 ? RTLD_NOW : RTLD_LAZY) |
				       RTLD_LOCAL);
	char spec[4096];
	pthread_t id;
	int r = call(library);

	if (!is_late || r != 0)
		return r;
	snprintf(spec, sizeof(spec), "heap=1,out=%s", argv[4]);
	for (int i = 0; i < 2; i++)
		pthread_create(&id, NULL, is_storm ? open_and_close : live, argv[3]);
	usleep(is_storm ? 10000 : 0);
	r = cprof_start(spec);
	if (r != 0) {
		fprintf(stderr, "operators_host: cprof_start: %d\n", r);
		return 1;
	}
	r = call(library);
	if (!is_storm)
		r |= call(dlopen(argv[3], RTLD_LAZY | RTLD_LOCAL));
	return r | cprof_stop();
}
