#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "viewer/cmd.h"
#include "viewer/cut.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static struct {
	const char *drop;
} own;

static const struct args_option options[] = {
	{.name = "drop",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), drop),
	 .takes = "LIST",
	 .about = "not these types: sched.*,syscall"},
	{.name = NULL},
};

static void put_time(FILE *to, const struct cmd *c, const char *before, uint64_t ns)
{
	uint64_t begun = cmd_begun_ns(c), since = ns > begun ? ns - begun : 0;

	fprintf(to, "%s%" PRIu64 ".%09" PRIu64 " s", before, since / NS_PER_SECOND,
		since % NS_PER_SECOND);
}

/* "from 1.500000000 s to the end, threads io-.*, without sched.*"; free() it. */
static char *describe(const struct cmd *c, const struct cut_wanted *wanted)
{
	const struct args *args = c->args;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL)
		return NULL;
	if (args->from != NULL)
		put_time(to, c, "from ", wanted->from_ns);
	else
		fputs("from the beginning", to);
	if (args->to != NULL)
		put_time(to, c, " to ", wanted->to_ns);
	else
		fputs(" to the end", to);
	if (args->threads != NULL)
		fprintf(to, ", threads %s", args->threads);
	if (own.drop != NULL)
		fprintf(to, ", without %s", own.drop);
	if (fclose(to) == 0)
		return text;
	free(text);
	return NULL;
}

static int read_wanted(struct cmd *c, struct cut_wanted *wanted, char **ret_note, struct why *why)
{
	const struct args *args = c->args;
	int r;

	r = cmd_range(c, why);
	wanted->from_ns = c->range.from_ns;
	wanted->to_ns = c->range.to_ns;
	/* it keeps what it finds out, so there must be one of it */
	wanted->threads = c->range.threads;
	c->range.threads = (struct select_threads){0};
	if (r == 0 && wanted->to_ns < wanted->from_ns) {
		why_set(why, "--to %s is before --from %s", args->to, args->from);
		r = -EINVAL;
	}
	if (r == 0 && own.drop != NULL)
		r = select_types(own.drop, &c->tables.schema, wanted->dropped, why);
	if (r < 0)
		return r;
	wanted->note = *ret_note = describe(c, wanted);
	return wanted->note != NULL ? 0 : -ENOMEM;
}

static int write_cut(struct cmd *c, struct cut *done, struct why *why)
{
	struct cut_wanted wanted = {0};
	char *note = NULL;
	int r;

	r = tables_load(&c->tables, c->reader, why);
	if (r == 0)
		r = read_wanted(c, &wanted, &note, why);
	if (r == 0)
		r = cut_write(done, c->reader, &c->streams, &c->tables, &wanted, c->fd,
			      &c->progress.watch, why);
	select_threads_fini(&wanted.threads);
	free(note);
	return r;
}

static int run(const struct args *args)
{
	struct why why = {"out of memory"};
	struct cut done = {0};
	struct cmd c;
	int status, r;

	status = cmd_begin_trace(&c, args);
	if (status != STATUS_OK)
		return status;
	r = write_cut(&c, &done, &why);
	status = cmd_end_trace(&c, r, &why,
			       r < 0 ? STATUS_OK : cmd_warn_damage(&c, done.unreadable));
	if (cmd_has_written(&c, status) && !args->quiet)
		cmd_complain("wrote %s: %" PRIu64 " events in %" PRIu64
			     " blocks; next: cprof-trace %s",
			     args->output, done.events, done.blocks, args->output);
	return status;
}

const struct command command_cut = {
	.name = "cut",
	.about = "write a smaller trace: some time, threads, types",
	.synopsis = "cut -o NEW [OPTION...]",
	.text = "Writes a new trace with what is between --from and --to, and not dropped. Times "
		"stay those\n"
		"of FILE, which is not changed.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
