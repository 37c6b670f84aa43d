/*
 * check: the rules that readers of profiles have, applied to one profile.
 *
 *     pprof       profile.CheckValid: what breaks one of these is not read by pprof at all
 *     parca       ids count up from 1, labels have keys
 *     pyroscope   UTF-8, names without '-', size, number of samples, age
 *     cprof       what reads fine and still loses something
 *
 * A rule that depends on a server's settings, or on when the profile is sent, is a warning.
 */
#pragma once

#include "core/why.h"
#include "output/pprof.h"
#include "output/profile.h"

struct check_finding {
	const char *who; /* "pprof", "parca", "pyroscope", "cprof" */
	bool is_warning;
	char text[256];
};

typedef void check_report(void *context, const struct check_finding *finding);

/*
 * profile.CheckValid. @wire is NULL for a profile that was not read from a file.
 * Returns 0 or -EBADMSG, with the sentence that pprof has for it in @why.
 */
int check_valid(const struct profile *p, const struct pprof_wire *wire, struct why *why);

/*
 * All rules; each kind of finding once, with how often. Returns how many were no warnings. @now_ns
 * is the time of day.
 */
int check_profile(const struct profile *p, const struct pprof_wire *wire, int64_t now_ns,
		  check_report *report, void *context);
