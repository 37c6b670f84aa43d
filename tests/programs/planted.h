/*
 * planted: what the files of this program share. Threads have names and tell how much CPU time they took; what is measured is
 * measured by the clocks of whoever did it.
 */
#ifndef PLANTED_H
#define PLANTED_H

#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

#define CPROF_WEAK
#include <cprof/cprof.h>

#define now_ns()     host_clock(CLOCK_MONOTONIC)
#define NO_TAIL_CALL __asm__ volatile("" ::: "memory")
#define LENGTH(of)   (sizeof(of) / sizeof((of)[0]))

/* Calls of one kind, or waits. */
struct measured {
	int64_t count, ns, max;
};

/* What @call took goes to @m. Its value is lost. */
#define MEASURE(m, call)                                     \
	do {                                                 \
		int64_t measure_begun = now_ns();            \
                                                             \
		if ((call) < 0)                              \
			planted_fail(#call);                 \
		measured_add((m), now_ns() - measure_begun); \
	} while (0)

void measured_add(struct measured *m, int64_t ns);
/* "name": {"count": …, "ns": …, "max": …} */
void measured_print(const char *name, const struct measured *m, const char *behind);

/* Takes a lock, and notes in which line. */
#define LOCK_HERE(mutex, line) (*(line) = __LINE__, pthread_mutex_lock(mutex))

struct actor {
	const char *name;
	void (*what)(struct actor *self);
	int number;
	pthread_t id;
	int tid;
	int64_t begun, ended, cpu_ns;
	int64_t waited; /* for a processor, by one that never sleeps; 0: not known */
};

void actor_start(struct actor *a); /* returns when it is there */
void actor_join(struct actor *a);
void actor_asleep(struct actor *a, const void *object, size_t size);
/* "threads": [{"name": …, "tid": …, "cpu_ns": …, "from": …, "until": …, "waited": …}] */
void actors_print(const struct actor *a, int n, const char *behind);

void sleep_ms(int64_t ms);
void burn_ms(int64_t ms); /* of its thread's CPU time */
int64_t waited_ns(void);  /* of its thread, for a processor; 0: the kernel does not say */
_Noreturn void planted_fail(const char *what);

/* Questions, by the file in which they are asked. */
void plant_why(void);
void plant_lock(void);
void plant_heldio(void);
void plant_order(void);
void plant_deadlock(void);
void plant_wake(void);
void plant_ready(void);
void plant_parallel(void);
void plant_task(void);
void plant_calls(void);
void plant_diff(int is_slow);
void plant_lost(int is_stopped);

#endif
