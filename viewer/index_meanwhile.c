#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "viewer/index_private.h"

#define NICE 10

/* What both processes see. */
struct shared {
	_Atomic uint64_t done, total;
	int result; /* read when the other has ended */
	struct why why;
};

struct index_making {
	struct index *index;
	struct reader *reader;
	const struct streams *streams;
	struct tables *tables;
	struct shared *shared;
	pid_t pid; /* 0: has ended */
};

static bool step(void *context, uint64_t done, uint64_t total)
{
	struct shared *s = context;

	/* two numbers for a progress bar: no order is needed */
	atomic_store_explicit(&s->done, done, memory_order_relaxed);
	atomic_store_explicit(&s->total, total, memory_order_relaxed);
	return false;
}

/* The other process: what it has is a copy, and all it leaves is the file. */
__attribute__((noreturn)) static void work(struct index_making *m, pid_t parent)
{
	const struct watch watch = {step, m->shared};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	nice(NICE); /* the first picture does not wait for it */
	/* the terminal is not its to give back */
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_DFL);
	signal(SIGTTOU, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	m->shared->result = index_make(m->index->file.fd, m->reader, m->streams, m->tables, &watch,
				       &m->shared->why);
	_exit(0);
}

static int begin(struct index_making *m, bool has_name, struct why *why)
{
	pid_t parent = getpid();
	int r = index_prepare(m->index, has_name, why);

	if (r < 0)
		return r;
	m->shared->result = -ECHILD;
	why_set(&m->shared->why, "the process that makes the index has ended");
	m->pid = fork();
	if (m->pid == 0)
		work(m, parent);
	if (m->pid > 0)
		return 0;
	r = -errno;
	m->pid = 0;
	why_set(why, "no process to make the index in: %s", strerror(-r));
	return r;
}

int index_begin(struct index_making **ret, struct reader *r, const struct streams *s,
		struct tables *t, bool is_kept, struct why *why)
{
	struct index_making *m = calloc(1, sizeof(*m));
	int result = -ENOMEM;

	why_set(why, "out of memory");
	if (m == NULL)
		return result;
	*m = (struct index_making){.reader = r, .streams = s, .tables = t};
	m->index = index_new(r, is_kept);
	m->shared = mmap(NULL, sizeof(*m->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->shared == MAP_FAILED)
		m->shared = NULL;
	if (m->index != NULL && m->shared != NULL)
		result = begin(m, true, why);
	if (result < 0)
		index_give_up(m);
	else
		*ret = m;
	return result;
}

int index_step(struct index_making *m, struct index **ret, double *ret_share, struct why *why)
{
	uint64_t done = atomic_load_explicit(&m->shared->done, memory_order_relaxed),
		 total = atomic_load_explicit(&m->shared->total, memory_order_relaxed);
	pid_t pid;
	int r;

	*ret_share = total > 0 ? (double)done / (double)total : 0;
	do
		pid = m->pid != 0 ? waitpid(m->pid, NULL, WNOHANG) : -1;
	while (pid < 0 && m->pid != 0 && errno == EINTR);
	if (pid == 0)
		return -EAGAIN;
	m->pid = 0;
	r = m->shared->result;
	if (index_is_full(r) && m->index->file.directory >= 0) {
		index_abandon(m->index);
		r = begin(m, false, why);
		return r < 0 ? r : -EAGAIN;
	}
	if (r < 0) {
		*why = m->shared->why;
		return r;
	}
	r = index_finish(m->index, m->reader, m->tables, why);
	if (r == 0) {
		*ret = m->index;
		m->index = NULL;
	}
	return r;
}

void index_give_up(struct index_making *m)
{
	if (m == NULL)
		return;
	if (m->pid > 0) {
		kill(m->pid, SIGKILL);
		while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	index_close(m->index);
	if (m->shared != NULL)
		munmap(m->shared, sizeof(*m->shared));
	free(m);
}
