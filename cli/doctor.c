#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/reception.h"
#include "core/profile.h"

static const char *const marks[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_NOTE] = "note",
	[DOCTOR_PARTLY] = "partly",
	[DOCTOR_NO] = "no",
};

void doctor_add(struct doctor *d, enum doctor_mark mark, unsigned profiles, const char *what,
		const char *todo, const char *format, ...)
{
	struct doctor_line *line = &d->lines[d->lines_n];
	va_list args;

	if (d->lines_n == DOCTOR_LINES_MAX)
		return;
	d->lines_n++;
	*line = (struct doctor_line){
		.mark = mark, .profiles = profiles, .part = d->part, .what = what, .todo = todo};
	va_start(args, format);
	vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
	for (char *c = line->text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
}

/* ---- what it means ---- */

enum doctor_mark doctor_verdict(const struct doctor *d, unsigned bit)
{
	enum doctor_mark worst = DOCTOR_OK;

	for (unsigned i = 0; i < d->lines_n; i++)
		if ((d->lines[i].profiles & bit) && d->lines[i].mark > worst)
			worst = d->lines[i].mark;
	return worst == DOCTOR_NOTE ? DOCTOR_OK : worst;
}

/* "works", or "works in part: perf events, clock" */
static void sum_up(const struct doctor *d, unsigned bit, char *ret, size_t size)
{
	static const char *const words[] = {
		[DOCTOR_OK] = "works",
		[DOCTOR_PARTLY] = "works in part",
		[DOCTOR_NO] = "does not work",
	};
	enum doctor_mark verdict = doctor_verdict(d, bit);
	int used = snprintf(ret, size, "%s", words[verdict]);
	const char *before = ": ";

	for (unsigned i = 0; i < d->lines_n && verdict != DOCTOR_OK; i++) {
		const struct doctor_line *line = &d->lines[i];

		if (!(line->profiles & bit) || line->mark < DOCTOR_PARTLY || used >= (int)size)
			continue;
		used += snprintf(ret + used, size - (size_t)used, "%s%s", before, line->what);
		before = ", ";
	}
}

void doctor_print(const struct doctor *d, FILE *f)
{
	const char *part = "";
	char text[DOCTOR_TEXT_MAX];

	for (unsigned i = 0; i < d->lines_n; i++) {
		const struct doctor_line *line = &d->lines[i];

		if (strcmp(part, line->part) != 0)
			fprintf(f, "%s%s\n", *part ? "\n" : "", line->part);
		part = line->part;
		fprintf(f, "  %-7s %s: %s%s%s\n", marks[line->mark], line->what, line->text,
			line->todo[0] ? "; " : "", line->todo);
	}
	fputs("\nprofiles\n", f);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++) {
		if ((*p)->is_view)
			continue;
		sum_up(d, (*p)->bit, text, sizeof(text));
		fprintf(f, "  %-7s %s %s\n", marks[doctor_verdict(d, (*p)->bit)], (*p)->name, text);
	}
}

static void print_quoted(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text != '\0'; text++)
		fprintf(f, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	fputc('"', f);
}

static void print_names(FILE *f, unsigned bits)
{
	const char *before = "";

	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++) {
		if ((*p)->is_view || !(bits & (*p)->bit))
			continue;
		fprintf(f, "%s\"%s\"", before, (*p)->name);
		before = ", ";
	}
}

void doctor_print_json(const struct doctor *d, FILE *f)
{
	const char *before = "";
	char text[DOCTOR_TEXT_MAX];

	fputs("{\"checks\": [", f);
	for (unsigned i = 0; i < d->lines_n; i++) {
		const struct doctor_line *line = &d->lines[i];

		fprintf(f,
			"%s\n  {\"part\": \"%s\", \"what\": \"%s\", \"mark\": \"%s\", \"text\": ",
			i > 0 ? "," : "", line->part, line->what, marks[line->mark]);
		print_quoted(f, line->text);
		fputs(", \"todo\": ", f);
		print_quoted(f, line->todo);
		fputs(", \"profiles\": [", f);
		print_names(f, line->profiles);
		fputs("]}", f);
	}
	fputs("\n], \"profiles\": [", f);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++) {
		if ((*p)->is_view)
			continue;
		sum_up(d, (*p)->bit, text, sizeof(text));
		fprintf(f, "%s\n  {\"name\": \"%s\", \"mark\": \"%s\", \"text\": \"%s\"}", before,
			(*p)->name, marks[doctor_verdict(d, (*p)->bit)], text);
		before = ",";
	}
	fputs("\n]}\n", f);
}

/* ---- attempts ---- */

static const struct doctor_attempt *attempted;

/* It hangs. Who would take its socket away may be gone. */
static void give_up(int sig)
{
	reception_remove(attempted->socket);
	signal(sig, SIG_DFL);
	raise(sig);
}

__attribute__((noreturn)) static void be_child(void (*attempt)(struct doctor_attempt *a,
							       void *user),
					       void *user, struct doctor_attempt *a)
{
	struct rlimit no_core = {0, 0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	setrlimit(RLIMIT_CORE, &no_core); /* where a filter ends us, nobody wants one */
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	attempted = a;
	signal(SIGALRM, give_up);
	/* who types Ctrl-C ends the doctor; an attempt is over soon, and takes its socket with it */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(DOCTOR_SECONDS);
	attempt(a, user);
	_exit(0);
}

void doctor_try(void (*attempt)(struct doctor_attempt *a, void *user), void *user,
		struct doctor_attempt *ret)
{
	struct doctor_attempt *a =
		mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	*ret = (struct doctor_attempt){.error = -ENOMEM};
	if (a == MAP_FAILED)
		return;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_child(attempt, user, a);
	if (pid < 0) {
		ret->error = -errno;
	} else {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		*ret = *a;
		if (WIFSIGNALED(status)) {
			ret->signal = WTERMSIG(status);
			ret->error = ret->signal == SIGALRM ? -ETIME : -EINTR;
			reception_remove(ret->socket);
		}
	}
	munmap(a, sizeof(*a));
}

const char *doctor_reason(const struct doctor_attempt *a, char *buffer, size_t size)
{
	if (a->signal == SIGSYS)
		snprintf(buffer, size,
			 "a seccomp filter ends the process that asks for it (SIGSYS)");
	else if (a->error == -ETIME)
		snprintf(buffer, size, "no answer in %d seconds", DOCTOR_SECONDS);
	else if (a->signal != 0)
		snprintf(buffer, size, "the process that tried it was ended by signal %d (SIG%s)",
			 a->signal, sigabbrev_np(a->signal) ? sigabbrev_np(a->signal) : "?");
	else if (a->why.text[0] != '\0')
		snprintf(buffer, size, "%s", a->why.text);
	else
		snprintf(buffer, size, "%s", strerror(-a->error));
	return buffer;
}
