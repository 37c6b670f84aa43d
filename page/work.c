#include "page/work.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "output/file.h"
#include "page/pack.h"

#define WORK_NICE 15

/* Forks. In the new process: it ends when the server does, and has its own way with signals. */
static pid_t divide(const struct work_ask *ask)
{
	pid_t server = getpid(), pid = fork();
	sigset_t none;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != server)
		_exit(1);
	nice(WORK_NICE); /* what is answered at once, and the browser, come first */
	if (ask->leave != NULL)
		ask->leave(ask->leaves);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}

/* What is to be saved stays as it is. */
static void answer(struct work *w, const struct work_ask *ask, const char *text, bool may_pack)
{
	ask->answer(ask->context, text, w->file, w->answer);
	if (may_pack && w->answer->filename[0] == '\0' &&
	    pack_file(w->file, &w->answer->is_packed) < 0)
		ask->refuse(ask->context, 500, "the answer cannot be packed", w->file, w->answer);
}

int work_begin(struct work *w, const struct work_ask *ask, const char *text, bool may_pack)
{
	const struct rlimit limit = {ANSWER_MAX, ANSWER_MAX};
	const char *directory;
	int ends[2], r;

	*w = (struct work){.file = file_open_unnamed(&directory), .over = -1};
	w->answer = mmap(NULL, sizeof(*w->answer), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->file < 0 || w->answer == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0) {
		r = w->file < 0 ? w->file : -errno;
		work_fini(w);
		return r;
	}
	*w->answer = (struct answer){0};
	w->pid = divide(ask);
	if (w->pid == 0) {
		close(ends[0]);
		setrlimit(RLIMIT_FSIZE, &limit);
		answer(w, ask, text, may_pack);
		_exit(0);
	}
	r = w->pid < 0 ? -errno : 0;
	close(ends[1]);
	w->over = ends[0];
	w->begun_ns = clock_monotonic();
	if (r < 0) {
		w->pid = 0;
		work_fini(w);
	}
	return r;
}

bool work_finish(struct work *w, bool kill_it)
{
	int status = 1;

	if (w->pid <= 0)
		return false;
	if (kill_it)
		kill(w->pid, SIGKILL);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	close(w->over);
	w->over = -1;
	return status == 0;
}

void work_fini(struct work *w)
{
	work_finish(w, true);
	if (w->over >= 0)
		close(w->over);
	if (w->file >= 0)
		close(w->file);
	if (w->answer != NULL && w->answer != MAP_FAILED)
		munmap(w->answer, sizeof(*w->answer));
	*w = (struct work){.over = -1, .file = -1};
}
