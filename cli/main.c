/*
 * cprof: the commands. One file each, named for its word.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;
} commands[] = {
	{"run", cmd_run, "run a program and write its profiles"},
	{"top", cmd_top, "the functions that use most"},
	{"flame", cmd_flame, "the stacks as a picture, in a page, a drawing or text"},
	{"web", cmd_web, "all of these as a page in a browser"},
	{"tree", cmd_tree, "each function with its callers and callees"},
	{"peek", cmd_peek, "the same for functions that match an expression"},
	{"list", cmd_list, "source lines with what each is the cause of"},
	{"traces", cmd_traces, "whole stacks, one by one"},
	{"tags", cmd_tags, "the labels, and what each of their values stands for"},
	{"info", cmd_info, "what a profile is"},
	{"raw", cmd_raw, "everything in a profile, as text"},
	{"diff", cmd_diff, "what has changed between two sides, and is it chance"},
	{"ctl", cmd_ctl, "look at a program that runs, and change what is recorded"},
	{"doctor", cmd_doctor, "what works on this machine, and what to do about the rest"},
	{"merge", cmd_merge, "several profiles into one"},
	{"export", cmd_export, "a profile in the form of another viewer"},
	{"symbolize", cmd_symbolize, "names for profiles that have only addresses"},
	{"check", cmd_check, "whether profiles keep the rules of pprof and its readers"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	fputs("usage: cprof COMMAND [ARG...]\n\nProfiles of native programs, in pprof's "
	      "format.\n\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].about);
	fputs("\n`cprof COMMAND --help` says more, and so do cprof(1) and cprof(7).\n"
	      "\n"
	      "example:  cprof run -- xz -9 -k file.tar\n"
	      "          cprof top cprof.xz.*/cpu.pb.gz\n",
	      out);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		print_usage(stdout);
		return 0;
	}
	if (strcmp(word, "--version") == 0) {
		puts("cprof " CPROF_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (word[0] != '\0')
		fprintf(stderr, "cprof: no command \"%s\"\n", word);
	print_usage(stderr);
	return 2;
}
