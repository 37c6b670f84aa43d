/* What commands print: they run here, with the parameters for options. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/file.h"
#include "viewer/api_private.h"

#define WORDS         (API_PARAMETERS + 10)
#define EVENTS        1000
#define EVENTS_MAX    10000
#define COMPLAINT_MAX 1000

struct line {
	int n;
	char *words[WORDS + 1];
};

__attribute__((format(printf, 2, 3))) static int add(struct line *line, const char *format, ...)
{
	va_list args;
	int n;

	if (line->n == WORDS)
		return -EINVAL;
	va_start(args, format);
	n = vasprintf(&line->words[line->n], format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	line->n++;
	return 0;
}

static void free_line(struct line *line)
{
	for (int i = 0; i < line->n; i++)
		free(line->words[i]);
}

static bool is_one_of(const char *word, const char *const *words)
{
	for (unsigned i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static int add_option(struct line *line, const struct api_parameter *p, struct why *why)
{
	static const char *const times[] = {"from", "to", "at", NULL},
				 *const flags[] = {"reverse", "include-idle", "order",
						   "chains",  "causes",       "intervals",
						   "stacks",  "errors",       NULL};
	uint64_t ns;

	if (is_one_of(p->key, times)) {
		if (!api_digits(p->value, p->value + strlen(p->value), UINT64_MAX / 2, &ns)) {
			why_set(why, "%s=%.40s: whole nanoseconds were expected", p->key, p->value);
			return -EINVAL;
		}
		return add(line, "--%s=%" PRIu64 "ns", p->key, ns);
	}
	if (!is_one_of(p->key, flags))
		return add(line, "--%s=%s", p->key, p->value);
	if (strcmp(p->value, "1") == 0)
		return add(line, "--%s", p->key);
	why_set(why, "%s=%.40s: 1 was expected", p->key, p->value);
	return -EINVAL;
}

static int add_options(struct line *line, const struct api_request *q, struct why *why)
{
	int r = 0;

	for (unsigned i = 0; i < q->n && r == 0; i++)
		r = add_option(line, &q->parameters[i], why);
	return r;
}

/* Is the file still what is open here? A command opens it again. */
static int check_file(const struct api *a, struct why *why)
{
	struct stat there, here;

	if (a->reader->source.fd < 0 || fstat(a->reader->source.fd, &here) < 0)
		return 0;
	if (stat(a->file, &there) == 0 && there.st_dev == here.st_dev &&
	    there.st_ino == here.st_ino && (uint64_t)there.st_size == a->reader->source.size)
		return 0;
	why_set(why, "the trace is not the file any more that it was; start again");
	return -ESTALE;
}

/* What it said on standard error, without who says it. */
static void read_complaint(int fd, struct why *why)
{
	static const char us[] = "cprof-trace: ";
	char text[COMPLAINT_MAX + 1];
	ssize_t n = pread(fd, text, COMPLAINT_MAX, 0);
	const char *from = text;

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(from, us, sizeof(us) - 1) == 0)
		from += sizeof(us) - 1;
	why_set(why, "%s", from[0] != '\0' ? from : "the command failed");
}

/* Runs it, on the trace, with what it prints as the answer. This process is for nothing else. */
static int run(struct api *a, struct line *line, const char *name, const char *operand,
	       struct why *why)
{
	const char *directory;
	int errors, status, r = add(line, "--");
	struct stat st;

	if (r == 0)
		r = add(line, "%s", a->file);
	if (r == 0)
		r = add(line, "%s", name);
	if (r == 0 && operand != NULL)
		r = add(line, "%s", operand);
	if (r < 0)
		return r;
	errors = file_open_unnamed(&directory);
	if (errors < 0 || dup2(a->out->fd, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0) {
		why_set(why, "no file for what the command says: %s", strerror(errno));
		return -EIO;
	}
	status = a->command(line->n, line->words);
	fflush(stdout);
	fflush(stderr);
	if (status == 0)
		return 0;
	read_complaint(errors, why);
	if (fstat(a->out->fd, &st) == 0 && (uint64_t)st.st_size >= ANSWER_MAX)
		return -EFBIG;
	return status == 2 ? -EINVAL : -EIO;
}

static int begin(struct api *a, struct line *line, struct why *why)
{
	int r = check_file(a, why);

	if (r == 0)
		r = add(line, "cprof-trace");
	if (r == 0 && a->no_symbols)
		r = add(line, "--no-symbols");
	return r;
}

static int answer_table(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why)
{
	const char *name = strchr(q->path->name, '/') + 1;
	struct line line = {0};
	uint64_t limit;
	int r = begin(a, &line, why);

	if (r == 0)
		r = add(&line, "--json");
	if (r == 0)
		r = add_options(&line, q, why);
	if (r == 0 && strcmp(name, "events") == 0) {
		r = api_number(q, "limit", 1, EVENTS_MAX, EVENTS, &limit, why);
		if (r == 0 && api_text(q, "limit") == NULL)
			r = add(&line, "--limit=%d", EVENTS);
	}
	if (r == 0)
		r = run(a, &line, name, NULL, why);
	free_line(&line);
	return r;
}

/* "sync": nothing that could be an option, or a path. */
static bool is_word(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz-");

	return n > 0 && n < 24 && text[n] == '\0' && text[0] != '-';
}

static int answer_file(struct api *a, const struct api_request *q, struct answer *ret,
		       const char *name, const char *ending, struct why *why)
{
	struct line line = {0};
	int r;

	if (!is_word(q->rest)) {
		why_set(why, "there is no %s %.40s", q->path->name, q->rest);
		return -ENOENT;
	}
	ret->type = ANSWER_BYTES;
	snprintf(ret->filename, sizeof(ret->filename), "%s%s", q->rest, ending);
	r = begin(a, &line, why);
	if (r == 0)
		r = add_options(&line, q, why);
	if (r == 0)
		r = run(a, &line, name, q->rest, why);
	free_line(&line);
	return r;
}

static int answer_profile(struct api *a, const struct api_request *q, struct answer *ret,
			  struct why *why)
{
	return answer_file(a, q, ret, "pprof", ".pb.gz", why);
}

static int answer_export(struct api *a, const struct api_request *q, struct answer *ret,
			 struct why *why)
{
	return answer_file(a, q, ret, "export", ".export", why);
}

#define TABLE(of, parameters)                                                                     \
	{                                                                                         \
		.name = "table/" of, .takes = parameters, .is_work = true, .answer = answer_table \
	}
#define COMMON "from to threads sort reverse limit "

const struct api_path api_paths_table[] = {
	TABLE("threads", COMMON "group"),
	TABLE("syscalls", COMMON "min include-idle by errors slower"),
	TABLE("locks", COMMON "min include-idle lock by order chains held-across"),
	TABLE("blocked", COMMON "min include-idle lock kind by depth"),
	TABLE("tasks", COMMON "min type slowest task"),
	TABLE("regions", COMMON "min type slowest task"),
	TABLE("critical-path", "from to limit task region nth thread causes intervals"),
	TABLE("chain", "at thread"),
	TABLE("events", "from to threads limit type stacks"),
	TABLE("summary", "from to threads include-idle"),
	TABLE("info", ""),
	TABLE("check", ""),
	{.name = "profile",
	 .takes = "from to threads include-idle by",
	 .has_rest = true,
	 .is_work = true,
	 .answer = answer_profile},
	{.name = "export",
	 .takes = "from to threads",
	 .has_rest = true,
	 .is_work = true,
	 .answer = answer_export},
	{.name = NULL},
};
