#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/result.h"
#include "output/convert.h"

static const char help[] =
	"usage: cprof export -format=FORMAT [-o OUT] [OPTION…] [PROGRAM] FILE…\n"
	"\n"
	"Writes a profile in the form of another viewer. Several files are added up.\n"
	"\n"
	"  folded      a line for each stack: flamegraph.pl, inferno, speedscope\n"
	"  speedscope  speedscope.app, with all columns and inlined calls\n"
	"  firefox     profiler.firefox.com, with lines and libraries; gzipped\n"
	"  callgrind   kcachegrind, callgrind_annotate: as go tool pprof writes it\n"
	"  gperftools  memory and waiting as text with addresses: gperftools' pprof\n"
	"\n"
	"  -o OUT         write there; else to standard output\n"
	"which number   -sample_index=NAME|N  -unit=UNIT  -divide_by=N\n"
	"which samples  -focus=RE  -ignore=RE  -tagfocus=[KEY=]RE|RANGE\n"
	"               -tagignore=[KEY=]RE|RANGE  -idle\n"
	"which frames   -show=RE  -hide=RE  -show_from=RE  -noinlines\n"
	"a frame is     -functions  -filefunctions  -files  -lines  -addresses\n"
	"others         -symbolize=none\n"
	"\n"
	"  cprof export -format=folded cpu.pb.gz | flamegraph.pl > cpu.svg\n"
	"  cprof export -format=speedscope -o heap.json heap.pb.gz\n"
	"\n"
	"More: cprof-export(1).\n";

static void list_forms(char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; convert_forms[i] != NULL && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s",
				      i == 0                         ? ""
				      : convert_forms[i + 1] != NULL ? ", "
								     : " or ",
				      convert_forms[i]->name);
}

static int write_file(struct report *r, const struct convert_form *form, const char *to,
		      const char *command)
{
	struct why why = {"out of memory"};
	struct convert c = {.r = r, .out = malloc(sizeof(struct out)), .why = &why};
	struct result result;
	int error = c.out != NULL ? result_open(&result, to, &why) : -ENOMEM;

	if (error == 0) {
		out_init(c.out, result.fd, false);
		error = convert_write(&c, form);
		if (error == 0)
			error = result_commit(&result, &why);
		else
			result_abandon(&result);
	}
	free(c.out);
	if (error < 0) {
		cmd_complain(command, "%s", why.text);
		return CMD_FAILED;
	}
	report_print_idle(r, stderr);
	if (c.left_out_n > 0)
		cmd_complain(command,
			     "%" PRIu64 " stacks below zero are left out: %s has no place for them",
			     c.left_out_n, form->name);
	return CMD_OK;
}

int cmd_export(int argc, char **argv)
{
	struct cmd_option options[CMD_REPORT_OPTIONS_MAX + 3];
	const char *name = NULL, *to = NULL;
	const struct convert_form *form;
	struct cmd_report r;
	struct cmd_files files;
	char forms[100];
	int status;

	options[0] = (struct cmd_option){"format", CMD_TEXT, &name, 0, NULL};
	options[1] = (struct cmd_option){"o", CMD_TEXT, &to, 0, NULL};
	options[2] = (struct cmd_option){"output", CMD_TEXT, &to, 0, NULL};
	cmd_report_init(&r);
	cmd_report_options(&r, options + 3);
	status = cmd_parse(argc, argv, options, help, &files);
	if (status != 0)
		return status > 0 ? CMD_OK : CMD_USAGE;
	list_forms(forms, sizeof(forms));
	form = name != NULL ? convert_find(name) : NULL;
	if (form == NULL) {
		cmd_complain(argv[0], "-format%s%s: %s was expected", name != NULL ? "=" : "",
			     name != NULL ? name : "", forms);
		return CMD_USAGE;
	}
	if (r.options.is_mean && !form->is_graph) {
		cmd_complain(argv[0], "-mean: means of stacks do not add up; 'cprof top -mean' "
				      "shows those of functions");
		return CMD_USAGE;
	}
	if (form->is_packed && result_check_terminal(to, argv[0], "this format") != CMD_OK)
		return CMD_USAGE;
	r.options.granularity = form->granularity;
	if (form->is_graph) {
		r.granularity = NULL;
		r.options.no_inlines = false;
	}
	status = cmd_report_load(&r, argv[0], &files);
	if (status == CMD_OK && r.report.profile.has_wrapped) {
		cmd_complain(argv[0],
			     "the values of a stack add up to more than 63 bits hold; one of "
			     "the files is damaged");
		status = CMD_FAILED;
	}
	if (status == CMD_OK)
		status = write_file(&r.report, form, to, argv[0]);
	cmd_report_fini(&r);
	return status;
}
