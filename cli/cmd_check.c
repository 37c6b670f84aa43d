#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/source.h"
#include "output/check.h"
#include "output/pprof.h"

#define CHECK_UNREADABLE 3

static const char help[] =
	"usage: cprof check [-q] [-seconds=N] [-timeout=N] FILE…\n"
	"\n"
	"Says whether the readers of profiles accept a file: pprof, Parca, Pyroscope. One\n"
	"line for each file that is fine, else one for each rule that it breaks, with the\n"
	"reader whose rule it is. Warnings do not count.\n"
	"\n"
	"  -q    only say what is wrong\n"
	"\n"
	"A FILE may also be where to fetch one, as with 'cprof top'.\n"
	"\n"
	"exit status: 0 all fine, 1 a rule is broken, 2 wrong usage, 3 a file is no\n"
	"profile at all\n"
	"\n"
	"  cprof check out/*.pb.gz && echo ready to send\n"
	"\n"
	"Next: 'cprof raw FILE' shows what is in it. More: cprof-check(1).\n";

struct checked {
	struct sources options; /* of how to fetch */
	const char *path;
	bool is_quiet;
};

static void print_finding(void *context, const struct check_finding *finding)
{
	const struct checked *checked = context;

	if (!finding->is_warning)
		printf("%s: %s: %s\n", checked->path, finding->who, finding->text);
	else if (!checked->is_quiet)
		printf("%s: warning: %s: %s\n", checked->path, finding->who, finding->text);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void print_summary(const char *path, const struct profile *p, const struct pprof_wire *wire)
{
	uint32_t i;

	printf("%s: ok: %u samples, %u locations, %u functions, %u mappings, %zu bytes;", path,
	       p->samples_n, p->locations_n, p->functions_n, p->mappings_n, wire->size);
	for (i = 0; i < p->sample_types_n; i++)
		printf("%s %s/%s", i == 0 ? "" : ",", p->sample_types[i].type,
		       p->sample_types[i].unit);
	printf("%s\n", p->sample_types_n == 0 ? " no sample types" : "");
}

static int check_file(struct checked *checked, const char *name)
{
	struct sources sources = checked->options;
	struct profile profile;
	struct pprof_wire wire;
	struct why why;
	int status = CMD_OK, r = sources_add(&sources, (char *const *)&name, 1, &why);

	if (r == 0)
		r = sources_fetch(&sources, &why);
	if (r == 0)
		r = sources_read(&sources, name, &profile, &wire, &why);
	if (r < 0) {
		fflush(stdout);
		fprintf(stderr, "cprof: check: %s\n", why.text);
		sources_fini(&sources);
		return CHECK_UNREADABLE;
	}
	checked->path = sources_show(&sources, name);
	if (check_profile(&profile, &wire, now_ns(), print_finding, checked) > 0)
		status = CMD_FAILED;
	else if (!checked->is_quiet)
		print_summary(checked->path, &profile, &wire);
	profile_fini(&profile);
	sources_fini(&sources);
	return status;
}

int cmd_check(int argc, char **argv)
{
	struct checked checked = {0};
	const struct cmd_option options[] = {
		{"q", CMD_FLAG, &checked.is_quiet, 0, NULL},
		{"quiet", CMD_FLAG, &checked.is_quiet, 0, NULL},
		CMD_SOURCE_OPTIONS(&checked.options),
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};
	struct cmd_files files;
	int status, worst = CMD_OK;
	size_t i;

	status = cmd_parse(argc, argv, options, help, &files);
	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	if (files.n == 0) {
		cmd_complain(
			argv[0],
			"which profile? 'cprof check FILE…', such as cpu.pb.gz of 'cprof run'");
		return CMD_USAGE;
	}
	for (i = 0; i < files.n; i++) {
		status = check_file(&checked, files.paths[i]);
		if (status > worst)
			worst = status;
	}
	if (fflush(stdout) != 0) {
		cmd_complain(argv[0], "the output was not taken");
		return CMD_FAILED;
	}
	return worst;
}
