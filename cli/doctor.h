/*
 * doctor: what was found out about a machine, a program or a process, line by line, and what it means for each profile.
 *
 *     what is tried ──→ doctor_add() ──→ lines ──→ as text or JSON
 *                                          └────→ one verdict for each profile: the worst mark of the lines that name it
 *
 * What is tried is tried in a child process (doctor_try()): where a filter of system calls ends whoever asks, it is that child.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/option.h"
#include "core/why.h"

enum doctor_mark {
	DOCTOR_OK,
	DOCTOR_NOTE, /* good to know; takes nothing from any profile */
	DOCTOR_PARTLY,
	DOCTOR_NO,
};

#define DOCTOR_TEXT_MAX 480
#define DOCTOR_LINES_MAX \
	256 /* of a process there may be a line for each of its profiles; all others are known */

struct doctor_line {
	enum doctor_mark mark;
	unsigned profiles;       /* bits of enum option_profile that it takes something from */
	const char *part;        /* "machine", "program", … */
	const char *what, *todo; /* literals; todo "": nothing */
	char text[DOCTOR_TEXT_MAX];
};

/* In memory that attempts share: one may add lines. */
struct doctor {
	struct doctor_line lines[DOCTOR_LINES_MAX];
	unsigned lines_n;
	const char *part; /* of the lines that come */
};

/* Texts may come from anywhere: what is no printable ASCII becomes '?'. */
__attribute__((format(printf, 6, 7))) void doctor_add(struct doctor *d, enum doctor_mark mark,
						      unsigned profiles, const char *what,
						      const char *todo, const char *format, ...);

/* The worst mark of the lines that name profile @bit. */
enum doctor_mark doctor_verdict(const struct doctor *d, unsigned bit);

void doctor_print(const struct doctor *d, FILE *f);
void doctor_print_json(const struct doctor *d, FILE *f);

/* What an attempt found out: written by the child, read by us. */
struct doctor_attempt {
	int error; /* a negative errno; doctor_try(): -EINTR, a signal ended it; -ETIME, we did */
	int signal;
	struct why why;
	uint64_t numbers[16]; /* as who wrote the attempt likes */
	char socket[128];     /* to be removed, with its directory, should a signal end it */
};

#define DOCTOR_SECONDS 30 /* an attempt takes 0.2; for what hangs */

/*
 * Calls @attempt in a child process, with a fresh *ret that becomes ours. Its output is nobody's. The child is gone when this
 * returns, and what it runs goes with it.
 */
void doctor_try(void (*attempt)(struct doctor_attempt *a, void *user), void *user,
		struct doctor_attempt *ret);

/* The reason in words, for a line: that of the attempt, else of its errno. */
const char *doctor_reason(const struct doctor_attempt *a, char *buffer, size_t size);

/* The parts. */
void doctor_machine(struct doctor *d);
void doctor_places(struct doctor *d);
void doctor_trial(struct doctor *d);
void doctor_program(struct doctor *d, const char *name);
void doctor_image(struct doctor *d, const char *path); /* a program's code */
void doctor_process(struct doctor *d, pid_t pid);

/* The host that the trial runs. */
#define DOCTOR_HOST "--be-the-program-that-is-tried"
int doctor_host(void);
