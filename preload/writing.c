#include "preload/writing.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/profile.h"
#include "preload/own_work.h"

#define OUTPUT_FILE "libcprof-output.so.0"

static const struct output_functions *is_open;
static const struct endpoint_functions *endpoint;

/* Beside this library first, so that the two are of one build; then wherever the loader looks. */
static void *open_library(void)
{
	char path[4096];
	const char *slash;
	Dl_info here;
	void *handle = NULL;

	if (dladdr(&is_open, &here) != 0 && here.dli_fname != NULL &&
	    (slash = strrchr(here.dli_fname, '/')) != NULL) {
		snprintf(path, sizeof(path), "%.*s/" OUTPUT_FILE, (int)(slash - here.dli_fname),
			 here.dli_fname);
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (handle == NULL) { /* a build tree keeps it in the next directory */
			snprintf(path, sizeof(path), "%.*s/../endpoint/" OUTPUT_FILE,
				 (int)(slash - here.dli_fname), here.dli_fname);
			handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		}
	}
	return handle != NULL ? handle : dlopen(OUTPUT_FILE, RTLD_NOW | RTLD_LOCAL);
}

const struct output_functions *writing_functions(struct why *why)
{
	const struct output_functions *functions;
	void *handle;

	if (is_open != NULL)
		return is_open;
	own_work_begins();
	handle = open_library();
	own_work_ends();
	if (handle == NULL) {
		why_set(why, "cannot open " OUTPUT_FILE ": %s", dlerror());
		return NULL;
	}
	functions = dlsym(handle, OUTPUT_SYMBOL);
	if (functions == NULL || functions->abi != OUTPUT_ABI) {
		why_set(why, OUTPUT_FILE " is of another version than libcprof.so");
		return NULL;
	}
	endpoint = dlsym(handle, ENDPOINT_SYMBOL);
	is_open = functions;
	return functions;
}

const struct endpoint_functions *writing_endpoint(struct why *why)
{
	if (writing_functions(why) == NULL)
		return NULL;
	if (endpoint == NULL || endpoint->abi != ENDPOINT_ABI) {
		why_set(why, OUTPUT_FILE " is of another version than libcprof.so");
		return NULL;
	}
	return endpoint;
}

int writing_files(const struct segment *s, const struct option_set *options)
{
	char directory[4096], host[256] = "";
	struct option_names names = {.program = program_invocation_short_name,
				     .host = host,
				     .pid = getpid(),
				     .unix_time_sec = time(NULL)};
	const struct output_functions *output;
	struct why why = {""};
	int r;

	own_work_begins();
	gethostname(host, sizeof(host) - 1);
	output = writing_functions(&why);
	r = output == NULL
		    ? -ELIBACC
		    : option_expand(options->out, &names, directory, sizeof(directory), &why);
	if (r >= 0)
		r = output->write_files(s, all_profiles, directory, &why);
	if (r < 0)
		log_line("%s; the profiles of process %d are not written", why.text, (int)getpid());
	own_work_ends();
	return r < 0 ? r : 0;
}
