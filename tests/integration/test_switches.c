/*
 * Programs with a known schedule, watched by their parent as a launcher does it, without any right: what was recorded is
 * compared with what the kernel counted itself, and what becomes of it when a program changes what it may.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/tap.h"
#include "tracer/format.h"
#include "tracer/sched.h"

#define MS 1000000L

static void doze(long ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};

	nanosleep(&t, NULL);
}

/* ---- what is watched ---- */

#define CPUS 1024

static struct tally {
	uint64_t in, blocked, preempted, ended, lost, named, execs;
	uint64_t threads, processes;  /* born */
	uint64_t born_sum, ended_sum; /* of thread numbers */
	uint64_t odd;                 /* that cannot be */
	uint64_t foreign;             /* not of the process that was opened */
	char first[16];               /* name after the first exec */
	uint64_t first_ns;
	uint64_t last_ns[CPUS];
	uint32_t running[CPUS];
	uint32_t pid;
} tally;

static void take(void *user, const struct sched_event *e)
{
	uint32_t *running = &tally.running[e->cpu % CPUS];

	(void)user;
	tally.odd += e->time_ns < tally.last_ns[e->cpu % CPUS];
	tally.last_ns[e->cpu % CPUS] = e->time_ns;
	tally.foreign += e->pid != tally.pid && e->kind != SCHED_LOST;
	switch (e->kind) {
	case SCHED_IN:
		tally.in++;
		tally.odd += *running != 0;
		*running = e->tid;
		break;
	case SCHED_OUT:
		tally.blocked += e->reason == TRACE_OUT_BLOCKED;
		tally.preempted += e->reason == TRACE_OUT_PREEMPTED;
		tally.odd += *running != 0 && *running != e->tid;
		*running = 0;
		break;
	case SCHED_ENDED:
		tally.ended++;
		tally.ended_sum += e->tid;
		if (*running == e->tid)
			*running = 0;
		break;
	case SCHED_BORN:
		tally.threads += e->tid != e->pid;
		tally.processes += e->tid == e->pid;
		tally.born_sum += e->tid;
		break;
	case SCHED_NAMED:
		tally.named++;
		tally.execs += e->is_exec;
		/* of two processors the later may come first */
		if (e->is_exec && (tally.execs == 1 || e->time_ns < tally.first_ns)) {
			memcpy(tally.first, e->name, sizeof(tally.first));
			tally.first_ns = e->time_ns;
		}
		break;
	default:
		tally.lost += e->lost;
		memset(tally.running, 0, sizeof(tally.running));
	}
}

struct watched {
	pid_t pid;
	int go;
	struct sched *s;
	struct why why;
	int status;
	struct rusage usage;
	bool woke_often;
	uint64_t longest_ns; /* between two drains */
};

typedef void (*host)(long argument);

static void begin(struct watched *w, host run, long argument)
{
	int go[2];
	char c;

	*w = (struct watched){.go = -1};
	memset(&tally, 0, sizeof(tally));
	if (pipe2(go, O_CLOEXEC) < 0)
		return;
	fflush(stdout);
	w->pid = fork();
	if (w->pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) == 1)
			run(argument);
		_exit(0);
	}
	close(go[0]);
	w->go = go[1];
	tally.pid = (uint32_t)w->pid;
}

static void let_go(struct watched *w)
{
	(void)!write(w->go, "", 1);
	close(w->go);
}

static void collect(struct watched *w)
{
	wait4(w->pid, &w->status, 0, &w->usage);
	if (w->s != NULL)
		sched_drain_last(w->s, take, NULL);
}

enum way { WAITING, EVERY_100_MS, AT_THE_END };

static void drain_until_end(struct watched *w, enum way way)
{
	uint64_t last = clock_monotonic(), now;
	siginfo_t info;

	for (;;) {
		struct pollfd wait = {sched_wait_fd(w->s), POLLIN, 0};

		if (way == WAITING && sched_wakes_often(w->s))
			doze(SCHED_SLEEP_MS * MS);
		else if (way == WAITING)
			poll(&wait, 1, 100);
		else
			doze(100 * MS);
		now = clock_monotonic();
		w->longest_ns = now - last > w->longest_ns ? now - last : w->longest_ns;
		last = now;
		if (way != AT_THE_END)
			sched_drain(w->s, take, NULL);
		w->woke_often |= sched_wakes_often(w->s);
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid != 0)
			break;
	}
	collect(w);
}

/* 0, or what sched_open() said. The host has ended, and all of it is in @tally; w->s is still open. */
static int watch(struct watched *w, host run, long argument, unsigned flags, uint32_t ring_bytes,
		 enum way way)
{
	int r;

	begin(w, run, argument);
	r = sched_open(w->pid, flags, ring_bytes, &w->s, &w->why);
	let_go(w);
	if (r == 0)
		drain_until_end(w, way);
	else
		collect(w);
	return r;
}

static void tell(const struct watched *w)
{
	note("in %" PRIu64 ", blocked %" PRIu64 ", preempted %" PRIu64 ", ended %" PRIu64
	     ", lost %" PRIu64 ", threads %" PRIu64 ", processes %" PRIu64 ", execs %" PRIu64
	     "; the kernel counted %ld and %ld",
	     tally.in, tally.blocked, tally.preempted, tally.ended, tally.lost, tally.threads,
	     tally.processes, tally.execs, w->usage.ru_nvcsw, w->usage.ru_nivcsw);
}

/* What holds for everything. */
static void check(const struct watched *w, const char *name)
{
	tell(w);
	ok(WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0, "%s: is not disturbed", name);
	is_u64(tally.lost, 0, "%s: nothing is lost", name);
	is_u64(tally.odd, 0, "%s: whoever is let in was out, in order", name);
	ok(sched_is_over(w->s), "%s: is over", name);
}

/* ---- hosts ---- */

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int first_cpu(void)
{
	cpu_set_t set;
	int cpu = 0;

	sched_getaffinity(0, sizeof(set), &set);
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &set))
		cpu++;
	return cpu;
}

static int ping[2], pong[2];

static void *answer(void *unused)
{
	char c;

	(void)unused;
	while (read(ping[0], &c, 1) == 1)
		(void)!write(pong[1], &c, 1);
	return NULL;
}

/* @rounds to and fro on one processor: two switches each. With a @pause after every 250 of them. */
static void to_and_fro(long rounds, long pause_ns)
{
	pthread_t other;
	char c = 0;

	pin(first_cpu());
	if (pipe(ping) < 0 || pipe(pong) < 0)
		_exit(1);
	pthread_create(&other, NULL, answer, NULL);
	for (long i = 0; i < rounds; i++) {
		if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
			_exit(1);
		if (pause_ns != 0 && i % 250 == 249)
			doze(pause_ns);
	}
	close(ping[1]);
	pthread_join(other, NULL);
}

static void ping_pong(long rounds)
{
	to_and_fro(rounds, 0);
}

static void fifty_thousand(long rounds)
{
	to_and_fro(rounds, 10 * MS);
}

static void *spin(void *ms)
{
	uint64_t end = clock_read(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)(intptr_t)ms * MS;

	while (clock_read(CLOCK_THREAD_CPUTIME_ID) < end)
		;
	return NULL;
}

static void spinners(long ms)
{
	pthread_t t[3];

	pin(first_cpu());
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, spin, (void *)(intptr_t)ms);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

static void *do_nothing(void *unused)
{
	return unused;
}

static void churn(long threads)
{
	pthread_t t[8];

	for (; threads > 0; threads -= 8) {
		for (int i = 0; i < 8; i++)
			if (pthread_create(&t[i], NULL, do_nothing, NULL) != 0)
				_exit(1);
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
}

/* Each child makes a thread and a child. */
static void forks(long count)
{
	for (; count > 0; count--)
		if (fork() == 0) {
			pthread_t t;

			pthread_create(&t, NULL, do_nothing, NULL);
			pthread_join(t, NULL);
			if (fork() == 0)
				_exit(0);
			wait(NULL);
			_exit(0);
		} else if (count % 4 == 0) {
			while (wait(NULL) > 0)
				;
		}
	while (wait(NULL) > 0)
		;
}

static void calls_shell(long text)
{
	execl("/bin/sh", "sh", "-c", (const char *)text, (char *)NULL);
	_exit(127);
}

#define DOZES 100

static void dozes(long unused)
{
	(void)unused;
	for (int i = 0; i < DOZES; i++)
		doze(MS / 2);
}

static void hides(long unused)
{
	prctl(PR_SET_DUMPABLE, 0);
	dozes(unused);
}

static void moves_out(long unused)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
		_exit(77);
	if (fork() == 0) {
		dozes(unused);
		_exit(getpid() != 1);
	}
	wait(NULL);
}

static void confines_itself(long unused)
{
	char c;

	if (pipe(ping) < 0 || pipe(pong) < 0)
		_exit(1);
	(void)!write(ping[1], "", 1);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
		_exit(77);
	for (int i = 0; i < DOZES; i++)
		if (read(ping[0], &c, 1) != 1 || write(ping[1], "", 1) != 1)
			break;
	syscall(SYS_exit, 0);
	(void)unused;
}

static void *dozes_often(void *unused)
{
	for (int i = 0; i < 10 * DOZES; i++)
		doze(MS / 5);
	return unused;
}

static void *churns(void *unused)
{
	for (int i = 0; i < 3000; i++) {
		pthread_t t;

		pthread_create(&t, NULL, do_nothing, NULL);
		pthread_join(t, NULL);
	}
	return unused;
}

/* Many threads of which some make others all the time. */
static void crowd(long unused)
{
	pthread_t t[24];

	for (int i = 0; i < 24; i++)
		pthread_create(&t[i], NULL, i % 8 == 0 ? churns : dozes_often, NULL);
	for (int i = 0; i < 24; i++)
		pthread_join(t[i], NULL);
	(void)unused;
}

/* ---- schedules ---- */

static bool is_near(uint64_t got, long want, long few)
{
	return labs((long)got - want) <= few;
}

static void test_ping_pong(void)
{
	struct watched w;
	struct why less;

	watch(&w, ping_pong, 20000, 0, 0, WAITING);
	sched_shortcomings(w.s, &less);
	note("%u rings of %u KiB; %s", sched_rings(w.s), sched_ring_bytes(w.s) >> 10,
	     less.text[0] ? less.text : "all that was wanted");
	check(&w, "to and fro");
	ok(is_near(tally.blocked, w.usage.ru_nvcsw, 8), "to and fro: every wait is there");
	ok(is_near(tally.preempted, w.usage.ru_nivcsw, 8), "to and fro: every preemption is there");
	ok(is_near(tally.in, (long)(tally.blocked + tally.preempted + tally.ended), 3),
	   "to and fro: in as often as out");
	ok(tally.blocked + 2 * tally.preempted >= 40000 * 9 / 10, "to and fro: 40,000 turns");
	is_u64(tally.ended, 2, "to and fro: both threads end");
	is_u64(tally.foreign, 0, "to and fro: nobody else is there");
	sched_close(w.s);
}

/* Moves from processor to processor, whatever the one who watches is bound to. */
static void wanders(long cpus)
{
	for (int i = 0; i < DOZES; i++) {
		pin(i % (int)cpus);
		doze(MS / 5);
	}
}

static void test_wander(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t before, bound, after;
	struct watched w;
	unsigned seen = 0;

	sched_getaffinity(0, sizeof(before), &before);
	pin(first_cpu());
	sched_getaffinity(0, sizeof(bound), &bound);
	watch(&w, wanders, cpus, 0, 0, WAITING);
	sched_getaffinity(0, sizeof(after), &after);
	sched_setaffinity(0, sizeof(before), &before);
	check(&w, "wandering");
	ok(CPU_EQUAL(&bound, &after),
	   "wandering: who watches is bound to the same processors as before");
	for (int i = 0; i < CPUS; i++)
		seen += tally.last_ns[i] != 0;
	is_u64(seen, (uint64_t)CPU_COUNT(&before), "wandering: seen on all processors there are");
	ok(is_near(tally.blocked, w.usage.ru_nvcsw, (long)DOZES / 10),
	   "wandering: every wait is there");
	sched_close(w.s);
}

static void test_preempted(void)
{
	struct watched w;

	watch(&w, spinners, 150, 0, 0, WAITING);
	check(&w, "spinners");
	ok(is_near(tally.preempted, w.usage.ru_nivcsw, 8) && tally.preempted >= 20,
	   "spinners: every preemption is there");
	ok(is_near(tally.blocked, w.usage.ru_nvcsw, 8), "spinners: every wait is there");
	is_u64(tally.ended, 4, "spinners: four threads end");
	sched_close(w.s);
}

static void test_churn(void)
{
	struct watched w;

	watch(&w, churn, 10000, 0, 0, WAITING);
	check(&w, "10,000 threads");
	note("%s", w.woke_often ? "drained every 10 ms" : "waited for");
	is_u64(tally.threads, 10000, "10,000 threads: all are born");
	is_u64(tally.ended, 10001, "10,000 threads: all end");
	is_u64(tally.ended_sum, tally.born_sum + (uint64_t)w.pid,
	       "10,000 threads: they are the same");
	ok(is_near(tally.blocked, w.usage.ru_nvcsw, 10000 / 4 + 8),
	   "10,000 threads: waits"); /* of dead threads some */
	sched_close(w.s);
}

static void test_forks(void)
{
	struct watched w;

	watch(&w, forks, 400, 0, 0, WAITING);
	check(&w, "800 processes");
	is_u64(tally.processes, 800, "800 processes: all are born");
	is_u64(tally.threads, 400, "800 processes: and a thread in every other");
	is_u64(tally.ended, 1201, "800 processes: all end");
	is_u64(tally.ended_sum, tally.born_sum + (uint64_t)w.pid,
	       "800 processes: they are the same");
	sched_close(w.s);
}

static void test_rate(void)
{
	struct watched w;

	watch(&w, fifty_thousand, 50000, 0, 0, EVERY_100_MS);
	if (w.longest_ns > 180 * MS || sched_ring_bytes(w.s) < SCHED_RING_BYTES) {
		skip("50,000 a second: drained after %lu ms, rings of %u KiB",
		     (unsigned long)(w.longest_ns / MS), sched_ring_bytes(w.s) >> 10);
	} else {
		check(&w, "50,000 a second, drained every 100 ms");
		ok(is_near(tally.blocked, w.usage.ru_nvcsw, 8),
		   "50,000 a second: every wait is there");
	}
	sched_close(w.s);
}

static void test_overrun(void)
{
	struct watched w;
	uint64_t all;

	watch(&w, ping_pong, 20000, 0, 64 << 10, AT_THE_END);
	tell(&w);
	/* two records for each switch, and one for each birth, end and name */
	all = tally.in + tally.blocked + tally.preempted + tally.ended + tally.threads +
	      tally.named + tally.lost;
	ok(tally.lost > 60000, "a ring that nobody empties loses");
	ok(is_near(all, 2 * (w.usage.ru_nvcsw + w.usage.ru_nivcsw), 40),
	   "and what it lost is counted: %" PRIu64, all);
	sched_close(w.s);
}

static void test_wakeup(void)
{
	struct watched w;
	struct pollfd wait = {.events = POLLIN};
	uint64_t start;
	int woken;

	begin(&w, ping_pong, 40000);
	sched_open(w.pid, 0, 0, &w.s, &w.why);
	wait.fd = sched_wait_fd(w.s);
	is_u64(poll(&wait, 1, 0), 0, "nothing to wait for");
	start = clock_monotonic();
	let_go(&w);
	woken = poll(&wait, 1, 20000);
	sched_drain(w.s, take, NULL);
	note("woken after %.1f ms, with %" PRIu64 " switches",
	     (double)(clock_monotonic() - start) / 1e6, tally.blocked + tally.preempted);
	ok(woken == 1 && tally.blocked + tally.preempted > 4000, "half a ring wakes who waits");
	drain_until_end(&w, WAITING);
	is_u64(tally.lost, 0, "and nothing is lost");
	ok(sched_is_over(w.s) && poll(&wait, 1, 0) == 0, "when all is over, that is told once");
	sched_close(w.s);
}

/* ---- what programs do ---- */

static void test_exec(void)
{
	struct watched w;

	watch(&w, calls_shell, (long)"sleep 0.05; exec sleep 0.05", SCHED_ON_EXEC, 0, WAITING);
	check(&w, "exec");
	is_u64(tally.execs, 3, "exec: three times another program");
	is_str(tally.first, "sh", "exec: nothing before the first");
	ok(tally.in >= 3, "exec: who calls it runs");
	sched_close(w.s);

	watch(&w, calls_shell, (long)"sleep 0.05; exec sleep 0.05", 0, 0, WAITING);
	check(&w, "exec, watched before");
	is_u64(tally.execs, 3, "exec, watched before: the same");
	sched_close(w.s);
}

static void test_set_user_id(void)
{
	static const char shell[] =
		"sleep 0.02; su --help > /dev/null; sleep 0.02; su --help > /dev/null; exit 3";
	struct pollfd wait = {.events = POLLIN};
	struct watched w;

	if (access("/bin/su", X_OK) < 0 || geteuid() == 0) {
		skip("set-user-ID: no su, or root");
		return;
	}
	watch(&w, calls_shell, (long)shell, SCHED_ON_EXEC, 0, WAITING);
	tell(&w);
	ok(WIFEXITED(w.status) && WEXITSTATUS(w.status) == 3, "set-user-ID: is not disturbed");
	ok(tally.odd == 0 && tally.lost == 0, "set-user-ID: nothing odd, nothing lost");
	is_u64(tally.execs, 5, "set-user-ID: the exec itself is seen");
	is_u64(tally.ended, 5, "set-user-ID: it ends with it, the others go on");
	ok(sched_is_over(w.s), "set-user-ID: over");
	sched_close(w.s);

	/* the only one there is */
	watch(&w, calls_shell, (long)"exec su --help > /dev/null", SCHED_ON_EXEC, 0, WAITING);
	tell(&w);
	wait.fd = sched_wait_fd(w.s);
	ok(w.status == 0 && tally.execs == 2 && tally.ended == 1 && sched_is_over(w.s),
	   "set-user-ID: with the only one it is over");
	is_u64(poll(&wait, 1, 0), 0, "set-user-ID: and that is told once");
	sched_close(w.s);
}

static void test_hidden(void)
{
	struct watched w;
	int r;

	watch(&w, hides, 0, 0, 0, WAITING);
	check(&w, "not dumpable");
	ok(is_near(tally.blocked, w.usage.ru_nvcsw, 4) && tally.blocked >= DOZES * 9 / 10,
	   "not dumpable: goes on");
	sched_close(w.s);

	if (geteuid() == 0) {
		skip("root sees all");
		return;
	}
	begin(&w, hides, 0);
	let_go(&w);
	doze(20 * MS);
	r = sched_open(w.pid, 0, 0, &w.s, &w.why);
	ok(r == -EACCES || r == -EPERM, "not dumpable, and then opened: %s", w.why.text);
	collect(&w);
	is_u64((uint64_t)w.status, 0, "and is not disturbed");
}

static void test_namespaces(void)
{
	struct watched w;

	watch(&w, moves_out, 0, 0, 0, WAITING);
	if (WEXITSTATUS(w.status) == 77) {
		skip("no namespaces here");
	} else {
		check(&w, "namespaces");
		ok(tally.blocked >= DOZES * 9 / 10 && tally.processes == 1 && tally.ended == 2,
		   "namespaces: the child goes on");
		ok(is_near(tally.ended_sum, (long)tally.born_sum + w.pid, 0),
		   "namespaces: by the numbers of ours");
	}
	sched_close(w.s);

	watch(&w, confines_itself, 0, 0, 0, WAITING);
	if (WEXITSTATUS(w.status) == 77) {
		skip("no seccomp here");
	} else {
		check(&w, "seccomp");
		is_u64(tally.ended, 1, "seccomp: seen to the end");
	}
	sched_close(w.s);
}

/* A crowd at work, threads coming and going: each is watched, none twice. */
static void test_late(void)
{
	struct watched w;
	int r;

	begin(&w, crowd, 0);
	let_go(&w);
	doze(20 * MS);
	r = sched_open(w.pid, 0, 0, &w.s, &w.why);
	if (!ok(r == 0, "late: opened%s%s", r ? ": " : "", w.why.text)) {
		collect(&w);
		return;
	}
	drain_until_end(&w, WAITING);
	tell(&w);
	is_u64((uint64_t)w.status, 0, "late: is not disturbed");
	is_u64(tally.lost, 0, "late: nothing is lost");
	is_u64(tally.odd, 0, "late: nobody is seen twice");
	/* 25 were there, and one or the other of the short ones */
	ok(tally.ended >= tally.threads + 20 && tally.ended <= tally.threads + 40,
	   "late: each one ends once: %" PRIu64 " and %" PRIu64, tally.ended, tally.threads);
	ok(tally.blocked * 10 >= (uint64_t)w.usage.ru_nvcsw * 6, "late: most of it is there");
	sched_close(w.s);
}

/* ---- less than there should be; each in a process of its own ---- */

static int in_child(void (*run)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 1);
		run();
		fflush(stdout);
		_exit(tap_failed ? 1 : tap_count);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void little_memory(void)
{
	struct rlimit none = {0, 0};
	struct sched *s[64];
	struct why why = {""};
	unsigned n = 0, r = 0;

	setrlimit(RLIMIT_MEMLOCK, &none);
	while (n < 64 && (r = (unsigned)-sched_open(0, 0, 1 << 20, &s[n], &why)) == 0) {
		sched_shortcomings(s[n], &why);
		note("%s", why.text);
		/* as many bytes as the kernel lends, no more */
		n++;
	}
	note("%s", why.text);
	_exit(n >= 1 && r == EPERM && strstr(why.text, "perf_event_mlock_kb") != NULL &&
			      sched_ring_bytes(s[0]) < 1 << 20
		      ? 0
		      : 1);
}

static void few_files(void)
{
	struct rlimit few = {4, 4};
	struct sched *s = NULL;
	struct why why = {""};
	int r;

	setrlimit(RLIMIT_NOFILE, &few);
	r = sched_open(0, 0, 0, &s, &why);
	note("%s", why.text);
	_exit(r == -EMFILE && s == NULL ? 0 : 1);
}

static void forbidden(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	struct sched *s = NULL;
	struct why why = {""};
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
	r = sched_open(0, 0, 0, &s, &why);
	note("%s", why.text);
	_exit(r == -EPERM && s == NULL && strstr(why.text, "seccomp") != NULL ? 0 : 1);
}

static void test_little(void)
{
	int r;

	ok(in_child(little_memory) == 0,
	   "little memory: smaller rings, then none, and both are said");
	ok(in_child(few_files) == 0, "few files: none, and that is said");
	r = in_child(forbidden);
	if (r == 77)
		skip("no filter of system calls here");
	else
		ok(r == 0, "forbidden by a filter: none, and that is said");
}

int main(void)
{
	struct sched *s;
	struct why why = {""};

	plan_begin();
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
			       setresuid(65534, 65534, 65534) < 0))
		note("root, and no way to be nobody: what others may is not known");
	prctl(PR_SET_DUMPABLE, 1);
	if (sched_open(0, 0, 0, &s, &why) < 0)
		skip_all("%s", why.text);
	sched_close(s);

	test_ping_pong();
	test_wander();
	test_preempted();
	test_churn();
	test_forks();
	test_rate();
	test_overrun();
	test_wakeup();
	test_exec();
	test_set_user_id();
	test_hidden();
	test_namespaces();
	test_late();
	test_little();
	return plan_end();
}
