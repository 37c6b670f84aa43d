#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output/pprof.h"
#include "viewer/cmd.h"
#include "viewer/profiles.h"

enum { BY_WAITER, BY_HOLDER };

static struct {
	int by;
	const char *labels;
} own;

static const struct args_option options[] = {
	{.name = "by",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), by),
	 .takes = "WHOM",
	 .about = "waiter or holder: whose stack waits are counted for",
	 .words = (const char *const[]){"waiter", "holder", NULL}},
	{.name = "label",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), labels),
	 .takes = "LIST",
	 .about = "thread, lock, syscall, kind; path, holder, task_type; none"},
	{.name = NULL},
};

/* -EINVAL for a list with a word that is none. */
static int read_labels(const char *list, unsigned *ret, struct why *why)
{
	*ret = PROFILES_LABELS_USUAL;
	if (list == NULL)
		return 0;
	*ret = 0;
	if (strcmp(list, "none") == 0)
		return 0;
	for (size_t n; *list != '\0'; list += n + (list[n] == ',')) {
		unsigned label;

		n = strcspn(list, ",");
		label = profiles_find_label(list, n);
		if (label == 0) {
			why_set(why,
				"--label %.*s: thread, lock, syscall, kind, path, holder and "
				"task_type are known, and none by itself",
				(int)(n < 60 ? n : 60), list);
			return -EINVAL;
		}
		*ret |= label;
	}
	return 0;
}

static int read_options(const struct args *args, struct profiles_options *ret, struct why *why)
{
	int kind = profiles_find_kind(args->operand);

	*ret = (struct profiles_options){.by_holder = own.by == BY_HOLDER,
					 .include_idle = args->include_idle};
	if (kind < 0) {
		why_set(why,
			"there is no profile \"%.40s\"; sync, lock, cond, syscall, sched, sleep, "
			"idle, offcpu, cpu and all are known",
			args->operand);
		return -EINVAL;
	}
	ret->kind = (enum profiles_kind)kind;
	if (ret->by_holder && kind != PROFILES_SYNC && kind != PROFILES_LOCK) {
		why_set(why, "--by holder is for sync and lock: nobody holds what %s waits for",
			args->operand);
		return -EINVAL;
	}
	return read_labels(own.labels, &ret->labels, why);
}

/* The profile, packed, into what -o says. */
static int write_out(struct cmd *c, const struct profiles *profiles,
		     const struct story_counts *counts, struct why *why)
{
	struct frames *frames = NULL;
	struct profile profile;
	uint8_t *bytes = NULL;
	size_t size = 0;
	int r = profile_init(&profile);

	if (r == 0)
		r = frames_create(&frames, &c->tables);
	if (r == 0)
		r = profiles_write(profiles, frames, c->reader, counts, &profile);
	if (r == 0)
		r = pprof_encode_gzip(&profile, &bytes, &size);
	frames_destroy(frames);
	profile_fini(&profile);
	if (r == 0 && cmd_open_out(c, false) != STATUS_OK)
		r = -ECANCELED; /* it has said why */
	else if (r == 0)
		out_bytes(c->out, (const char *)bytes, size);
	free(bytes);
	if (r == -ENOMEM)
		why_set(why, "out of memory");
	return r;
}

static void say(const struct cmd *c, const struct profiles *p)
{
	static struct out text; /* never written */

	if (c->args->quiet)
		return;
	out_init(&text, -1, false);
	out_duration(&text, p->ns);
	cmd_complain("%s: %" PRIu64 " in all, %.*s", profiles_kind_name(p->options.kind), p->count,
		     (int)text.n, text.buffer);
	if (p->idle_count == 0)
		return;
	out_init(&text, -1, false);
	out_duration(&text, p->idle_ns);
	cmd_complain("%" PRIu64 " idle ones, %.*s, are left out; --include-idle", p->idle_count,
		     (int)text.n, text.buffer);
}

static int run(const struct args *args)
{
	struct why why = {"out of memory"};
	struct profiles_options wanted;
	struct story_listener listener;
	struct story_counts counts = {0};
	struct profiles profiles = {0};
	struct cmd c;
	int status, r;

	if (read_options(args, &wanted, &why) < 0) {
		cmd_complain("%s", why.text);
		return STATUS_USAGE;
	}
	if ((args->output == NULL || strcmp(args->output, "-") == 0) && isatty(STDOUT_FILENO)) {
		cmd_complain("a profile is not for a terminal; -o FILE, such as %s.pb.gz",
			     args->operand);
		return STATUS_USAGE;
	}
	status = cmd_begin(&c, args);
	if (status != STATUS_OK)
		return cmd_close(&c, status);
	wanted.from_ns = c.range.from_ns;
	wanted.to_ns = c.range.to_ns;
	wanted.threads = &c.range.threads;
	profiles_init(&profiles, &wanted, &c.tables);
	listener = profiles_listener(&profiles);
	status = cmd_tell(&c, &listener, &counts);
	if (status == STATUS_OK) {
		r = profiles_finish(&profiles);
		if (r == 0)
			r = write_out(&c, &profiles, &counts, &why);
		terminal_watch_end(&c.progress);
		if (r == -ECANCELED)
			status = STATUS_FAILED;
		else if (r < 0)
			status = cmd_failed(&c, r, &why);
	}
	if (status == STATUS_OK) {
		if (c.is_file)
			say(&c, &profiles);
		status = cmd_warn_damage(&c, counts.merge.unreadable);
	}
	profiles_fini(&profiles);
	return cmd_close(&c, status);
}

const struct command command_pprof = {
	.name = "pprof",
	.about = "write a profile of waits, calls or samples, for pprof",
	.synopsis = "pprof KIND [-o FILE] [OPTION...]",
	.text = "KIND is one of\n"
		"\n"
		"  sync     waits for locks, conditions, semaphores, barriers, once, other "
		"threads\n"
		"  lock     of these, those for locks\n"
		"  cond     those for conditions\n"
		"  syscall  system calls\n"
		"  sched    could run, and no processor was free\n"
		"  sleep    calls that only let time pass\n"
		"  idle     waits for work, or for time to pass\n"
		"  offcpu   all that is not running\n"
		"  cpu      samples of the cpu profile\n"
		"  all      of every thread all of its life, by state\n"
		"\n"
		"Without -o it goes to standard output. 'cprof top' and 'go tool pprof' read it.\n",
	.operand = "KIND",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_IDLE | ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
