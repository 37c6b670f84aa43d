#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/fetch.h"

#define AT_ONCE 64 /* as pprof */

/* What pprof waits: one and a half times the window, and something for the way. */
#define WAIT_SEC     60
#define WAIT_WAY_SEC 5

enum source_kind { SOURCE_FILE, SOURCE_URL, SOURCE_SOCKET, SOURCE_PROCESS };

struct source {
	const char *name;
	enum source_kind kind;
	struct url url; /* of the others its target only */
	char socket[108];
	pid_t pid;
	char shown[120]; /* in errors: what is asked for, without a login */
	char from[120];  /* and who is asked */
	struct fetch_limits limits;

	int done; /* where it is told that it has come to its end */
	int fd;   /* of what was fetched, or a negative errno */
	struct why why;
};

static int set_seconds(struct source *s, int seconds, struct why *why)
{
	if (seconds == 0 || url_set_seconds(s->url.target, seconds) == 0)
		return 0;
	why_set(why, "%s: there is no room for -seconds", s->shown);
	return -EINVAL;
}

/* What stands behind a process or a socket: nothing, "/heap", or "/debug/pprof/heap?seconds=5". */
static int choose_target(struct source *s, const char *behind, int seconds, struct why *why)
{
	const char *name = behind[0] == '/' ? behind + 1 : behind;

	if (strncmp(name, "debug/", 6) == 0) {
		if (strlen(behind) >= sizeof(s->url.target) || strpbrk(behind, " \r\n") != NULL) {
			why_set(why, "%s: what is asked for cannot be read", s->shown);
			return -EINVAL;
		}
		strcpy(s->url.target, behind);
		return set_seconds(s, seconds, why);
	}
	if (name[0] == '\0')
		name = "cpu";
	if (strcmp(name, "trace") == 0) {
		why_set(why, "%s: a trace is no profile; 'cprof ctl PID dump trace' writes it",
			s->shown);
		return -EINVAL;
	}
	if (!fetch_is_name(name)) {
		why_set(why, "%s: the name of a profile goes behind the \"/\", as in 1234/heap",
			s->shown);
		return -EINVAL;
	}
	fetch_target(name, seconds, s->url.target, sizeof(s->url.target));
	return 0;
}

/* "1234" and "1234/heap". What follows, or NULL: it is no such thing. */
static const char *parse_process(const char *text, pid_t *ret)
{
	size_t n = strspn(text, "0123456789");
	long pid = n > 0 && n < 11 ? strtol(text, NULL, 10) : 0;

	if (pid <= 0 || pid > INT_MAX || strchr("/", text[n]) == NULL)
		return NULL;
	*ret = (pid_t)pid;
	return text + n;
}

/* The longest beginning of @text, up to a "/", that is a socket, into @ret. What follows, or NULL: there is none. */
static const char *parse_socket(const char *text, char *ret, size_t size)
{
	struct stat st;

	for (size_t n = strlen(text); n > 0; n--) {
		if (n >= size || strchr("/", text[n]) == NULL)
			continue;
		snprintf(ret, size, "%.*s", (int)n, text);
		if (stat(ret, &st) == 0)
			return S_ISSOCK(st.st_mode) ? text + n : NULL;
	}
	return NULL;
}

static int recognise(struct source *s, int seconds, struct why *why)
{
	const char *name = s->name, *behind;
	const char *path = strncmp(name, "unix:", 5) == 0 ? name + 5 : name;
	struct stat st;
	int r;

	snprintf(s->shown, sizeof(s->shown), "%.119s", name);
	if (strcmp(name, "-") == 0 || (stat(name, &st) == 0 && !S_ISSOCK(st.st_mode)))
		return 0;
	if ((behind = parse_socket(path, s->socket, sizeof(s->socket))) != NULL) {
		s->kind = SOURCE_SOCKET;
		snprintf(s->from, sizeof(s->from), "%s", s->socket);
		return choose_target(s, behind, seconds, why);
	}
	if (path != name) {
		why_set(why, "%s: there is no such socket", s->shown);
		return -ENOENT;
	}
	if ((behind = parse_process(name, &s->pid)) != NULL) {
		s->kind = SOURCE_PROCESS;
		snprintf(s->from, sizeof(s->from), "process %d", (int)s->pid);
		return choose_target(s, behind, seconds, why);
	}
	if (!url_is(name))
		return 0;
	s->kind = SOURCE_URL;
	r = url_parse(name, &s->url, &s->why);
	if (r < 0) { /* not its name: a password may be in it */
		why_set(why, "an address of a profile: %.250s", s->why.text);
		return r;
	}
	url_show(&s->url, s->shown, sizeof(s->shown));
	snprintf(s->from, sizeof(s->from), "%.100s:%s", s->url.host, s->url.port);
	r = set_seconds(s, seconds, why);
	url_show(&s->url, s->shown, sizeof(s->shown));
	return r;
}

static void fetch_one(struct source *s)
{
	struct why why = {""};

	switch (s->kind) {
	case SOURCE_FILE:
		break;
	case SOURCE_URL:
		s->fd = fetch_url(&s->url, &s->limits, &why);
		break;
	case SOURCE_SOCKET:
		s->fd = fetch_socket(s->socket, s->url.target, &s->limits, &why);
		break;
	case SOURCE_PROCESS:
		s->fd = fetch_process(s->pid, s->url.target, &s->limits, &why);
		break;
	}
	if (s->fd < 0)
		why_set(&s->why, "%.100s: %.200s%s", s->shown, why.text,
			s->fd == -ETIMEDOUT ? "; -timeout=SECONDS waits longer" : "");
}

static void say_that_we_wait(const struct source *s)
{
	static const char prefix[] = "/debug/pprof/";
	const char *name = s->url.target;
	int seconds = url_seconds(s->url.target);
	char window[32] = "";

	if (strncmp(name, prefix, strlen(prefix)) == 0)
		name += strlen(prefix);
	if (strncmp(name, "profile", 7) == 0 && strchr("?", name[7]) != NULL) {
		name = "cpu";
		if (seconds == 0)
			seconds = 30; /* what who is asked takes by himself */
	}
	if (seconds > 0)
		snprintf(window, sizeof(window), " for %d s", seconds);
	fprintf(stderr, "cprof: fetching %.*s from %s%s …\n", (int)strcspn(name, "?"), name,
		s->from, window);
}

static void set_limits(struct source *s, int timeout)
{
	unsigned seconds = (unsigned)url_seconds(s->url.target);

	s->limits.bytes_max = PPROF_BYTES_MAX;
	if (timeout > 0)
		s->limits.wait_sec = (unsigned)timeout;
	else
		s->limits.wait_sec =
			(seconds > 0 ? seconds + seconds / 2 : WAIT_SEC) + WAIT_WAY_SEC;
}

static void *fetch_and_tell(void *source)
{
	struct source *s = source;

	fetch_one(s);
	return write(s->done, &s, sizeof(s)) == (ssize_t)sizeof(s) ? s : NULL;
}

static int start(struct source *s, int done)
{
	pthread_attr_t detached;
	pthread_t thread;
	int r;

	s->done = done;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &detached, fetch_and_tell, s);
	pthread_attr_destroy(&detached);
	if (r < 0)
		why_set(&s->why, "%s: no thread to fetch it: %s", s->shown, strerror(-r));
	return r;
}

/* The next of those under way that has come to its end. */
static struct source *next_done(int done)
{
	struct source *s = NULL;

	while (read(done, &s, sizeof(s)) < 0 && errno == EINTR)
		;
	return s;
}

/*
 * Those from @first to @end, at the same time. The first that fails is the end of it: nobody waits for the others any more, which
 * keep what they work with.
 */
static int fetch_some(struct sources *s, size_t first, size_t end, struct why *why)
{
	int done[2], r = 0;
	size_t started_n = 0;

	if (pipe2(done, O_CLOEXEC) < 0) {
		r = -errno;
		why_set(why, "no pipe to wait at: %s", strerror(-r));
		return r;
	}
	for (size_t i = first; i < end && r == 0; i++) {
		if (isatty(STDERR_FILENO))
			say_that_we_wait(&s->all[i]);
		r = start(&s->all[i], done[1]);
		if (r < 0)
			*why = s->all[i].why;
		started_n += r == 0;
	}
	for (; started_n > 0 && r == 0; started_n--) {
		const struct source *one = next_done(done[0]);

		r = one->fd < 0 ? one->fd : 0;
		if (r < 0)
			*why = one->why;
	}
	s->is_given_up = started_n > 0;
	if (!s->is_given_up) {
		close(done[0]);
		close(done[1]);
	}
	return r;
}

static int add(struct sources *s, const char *name, struct why *why)
{
	struct source one = {.name = name, .fd = -1}, *bigger;
	int r = recognise(&one, s->seconds, why);

	if (r < 0 || one.kind == SOURCE_FILE)
		return r;
	bigger = realloc(s->all, (s->n + 1) * sizeof(*bigger));
	if (bigger == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	set_limits(&one, s->timeout);
	one.limits.tls = &s->tls;
	s->all = bigger;
	s->all[s->n++] = one;
	return 0;
}

int sources_add(struct sources *s, char *const *names, size_t n, struct why *why)
{
	int r = 0;

	if (s->seconds < 0 || s->timeout < 0) {
		why_set(why, "-seconds and -timeout: a number of seconds, 1 or more, was expected");
		return -EINVAL;
	}
	if ((s->tls.certificate == NULL) != (s->tls.key == NULL)) {
		why_set(why, "-tls_cert=FILE and -tls_key=FILE: one needs the other");
		return -EINVAL;
	}
	for (size_t i = 0; i < n && r == 0; i++)
		r = add(s, names[i], why);
	return r;
}

int sources_fetch(struct sources *s, struct why *why)
{
	size_t at, end;
	int r = 0;

	for (at = 0; at < s->n && r == 0; at = end) {
		end = at + AT_ONCE < s->n ? at + AT_ONCE : s->n;
		r = fetch_some(s, at, end, why);
	}
	return r;
}

/* What was fetched for @name, the same word of the command line; NULL: it is a file. */
static const struct source *find(const struct sources *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->all[i].name == name)
			return &s->all[i];
	return NULL;
}

int sources_read(void *sources, const char *name, struct profile *ret, struct pprof_wire *wire,
		 struct why *why)
{
	const struct source *one = find(sources, name);

	return pprof_read_from(one != NULL ? one->fd : -1, one != NULL ? one->shown : name, ret,
			       wire, why);
}

const char *sources_show(const struct sources *s, const char *name)
{
	const struct source *one = find(s, name);

	return one != NULL ? one->shown : name;
}

void sources_fini(struct sources *s)
{
	if (s->is_given_up) /* it is still in use; the process is about to end */
		return;
	for (size_t i = 0; i < s->n; i++)
		if (s->all[i].fd >= 0)
			close(s->all[i].fd);
	free(s->all);
	*s = (struct sources){0};
}
