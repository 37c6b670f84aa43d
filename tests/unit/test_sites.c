/*
 * tracer/syscalls: cprof's own walker finds its way out of slots, wherever in one a signal comes; from here, a program far
 * from its libraries.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/modules.h"
#include "core/walk.h"
#include "tests/unit/segment_make.h"
#include "tracer/syscalls/site.h"

static struct segment s;
static struct thread *t;
static _Atomic uint64_t entered, left;
static uintptr_t from_low, from_high;

static void enter(struct syscall_frame *f)
{
	f->state = (uint64_t)f->number + 7;
	entered++;
}

static void leave(struct syscall_frame *f)
{
	if (f->state == (uint64_t)f->number + 7)
		left++;
}

static volatile unsigned walks, lost, in_slots, in_pads;
static volatile bool is_inside; /* the caller is in the function that is to be found */
static uintptr_t lost_at;

static void on_alarm(int sig, siginfo_t *info, void *ucontext)
{
	uintptr_t pc = arch_pc(ucontext), slots = (uintptr_t)site_slots;
	ucontext_t at = *(const ucontext_t *)ucontext;
	struct walk_result r;
	bool found = false;

	at.uc_mcontext.gregs[REG_RIP] = (greg_t)sites_real_pc(pc);
	r = walk_signal(&s, t, &at);
	in_pads += sites_real_pc(pc) != pc;
	for (uint32_t i = 0; i < r.depth; i++) {
		uintptr_t place = r.frames[i] & 0xffffffffffff;

		found = found || (place >= from_low && place < from_high);
	}
	if (!is_inside)
		return;
	walks++;
	if (!found) {
		lost++;
		lost_at = pc;
	}
	in_slots += pc >= slots && pc < slots + sizeof(site_slots);
}

__attribute__((noinline)) static void calls_from_here(void)
{
	struct timespec nap = {0, 2000000};
	time_t end = time(NULL) + 3;

	is_inside = true;
	while (time(NULL) < end) {
		syscall(SYS_nanosleep, &nap, NULL);
		nanosleep(&nap, NULL);
		for (int i = 0; i < 3000; i++)
			syscall(SYS_getppid);
	}
	is_inside = false;
}

__attribute__((noinline)) static void behind_it(void)
{
	__asm__ volatile("nop");
}

static void test_walks(void)
{
	struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};

	from_low = (uintptr_t)calls_from_here;
	from_high = from_low + 512;
	behind_it();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	calls_from_here();
	setitimer(ITIMER_REAL, &never, NULL);
	ok(walks > 200, "%u walks", walks);
	if (!ok(lost == 0, "each of them finds the caller"))
		note("from %#lx, slots from %#lx", (long)lost_at, (long)(uintptr_t)site_slots);
	ok(in_slots > 5, "%u began in a slot", in_slots);
	note("%u began in a jump that no table knows", in_pads);
}

/* Each jump over a site's code leads to a slot, or to a pad that leads there; both are known as the site. */
static void test_places(void)
{
	unsigned wrong = 0, pads = 0;

	for (uint32_t i = 0; i < SITE_SLOTS; i++) {
		const struct site *site = &site_sites[i];

		for (unsigned k = 0; site->address != 0 && k < site->patches_count; k++) {
			const struct site_patch *patch = &site->patches[k];
			uintptr_t to, slots = (uintptr_t)site_slots;
			int32_t distance;

			memcpy(&distance, patch->after + 1, sizeof(distance));
			to = (uintptr_t)patch->at + SITE_JUMP_BYTES + (uintptr_t)(intptr_t)distance;
			if (to - slots < sizeof(site_slots))
				continue;
			pads++;
			wrong += sites_real_pc(to) != site->address + 2;
		}
	}
	is_u64(wrong, 0, "%u jumps by way of a pad are known as their sites", pads);
	ok(sites_real_pc(4711) == 4711, "any other place is itself");
}

static void test_starts(void)
{
	const struct syscall_probe probe = {enter, leave};
	struct sites_counts counts;
	struct why why = {""};
	uint64_t before;
	int fds[2];

	is_u64(sites_start(&probe, SITES_PATCHED, &why), 0, "it starts");
	is_u64((uint64_t)-sites_start(&probe, SITES_PATCHED, &why), EBUSY, "once");
	sites_count(&counts);
	note("%u found, %u in place, %u in a slot", counts.found, counts.in_place, counts.in_stub);
	for (int i = 0; i < SITES_LEFT_REASONS; i++)
		note("%u: %s", counts.left[i], sites_left_name((enum sites_left)i));
	ok((counts.in_place + counts.in_stub) * 100 >= counts.found * 90,
	   "most are patched, though slots are far from here");
	before = entered;
	for (int i = 0; i < 100; i++)
		getppid();
	is_u64(entered - before, 100, "a hundred calls");
	ok(pipe(fds) == 0, "a pipe");
	is_u64(entered, left, "each was left as it was entered");
}

static void test_stops(void)
{
	uint64_t before;

	is_u64(sites_stop(), 0, "it stops");
	before = entered;
	getppid();
	is_u64(entered, before, "and is quiet");
}

static int reading[2];
static volatile bool has_read;

static void *read_one(void *unused)
{
	char byte = 0;

	has_read = read(reading[0], &byte, 1) == 1 && byte == 'x';
	return unused;
}

/* What differs of a patch lies in the word in which it begins. */
static bool is_one_word(const struct site_patch *patch)
{
	for (size_t i = 0; i < SITE_JUMP_BYTES; i++)
		if (patch->before[i] != patch->after[i] &&
		    ((uintptr_t)patch->at + i) / SITE_WORD_BYTES !=
			    (uintptr_t)patch->at / SITE_WORD_BYTES)
			return false;
	return true;
}

/* While another thread sleeps in a call. */
static void test_running(void)
{
	const struct syscall_probe probe = {enter, leave};
	struct sites_counts counts;
	struct why why = {""};
	unsigned patches = 0, wrong = 0;
	uint64_t before;
	pthread_t thread;

	ok(pipe(reading) == 0 && pthread_create(&thread, NULL, read_one, NULL) == 0, "a thread");
	is_u64((uint64_t)-sites_start(&probe, SITES_PATCHED, &why), EAGAIN,
	       "the other way is not for two");
	is_u64((uint64_t)-sites_start(&probe, SITES_FULL, &why), EAGAIN, "nor is the full one");
	is_u64(sites_start_running(&s, &probe, &why), 0, "it starts");
	is_u64((uint64_t)-sites_start_running(&s, &probe, &why), EBUSY, "once");
	sites_count(&counts);
	note("%u found, %u in place, %u in a slot, %u are not changed", counts.found,
	     counts.in_place, counts.in_stub, counts.left[SITES_LEFT_RUNNING]);
	ok((counts.in_place + counts.in_stub) * 2 > counts.found, "more than half are patched");
	for (uint32_t i = 0; i < SITE_SLOTS; i++) {
		if (site_sites[i].address == 0)
			continue;
		patches += site_sites[i].patches_count;
		wrong +=
			site_sites[i].patches_count != 1 || !is_one_word(&site_sites[i].patches[0]);
	}
	is_u64(wrong, 0, "each of %u patches is one, and changes one word", patches);
	before = entered;
	for (int i = 0; i < 100; i++)
		getppid();
	is_u64(entered - before, 100, "a hundred calls");
	ok(write(reading[1], "x", 1) == 1, "the other thread");
	pthread_join(thread, NULL);
	ok(has_read, "comes back as ever from the call it was in");
	is_u64(entered, left, "each was left as it was entered");
}

int main(void)
{
	plan_begin();
	s = segment_make(SEGMENT_MIN_BYTES);
	modules_refresh(&s);
	ok(thread_init(&s) == 0, "threads");
	t = thread_reserve(&s);
	t = thread_publish(&s, t, (int)syscall(SYS_gettid));
	test_starts();
	test_places();
	test_walks();
	test_stops();
	test_running();
	return plan_end();
}
