#include "cli/recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/latecomers.h"
#include "cli/reception.h"
#include "core/segment.h"
#include "core/session.h"
#include "output/file.h"
#include "output/output.h"
#include "output/reading.h"
#include "output/symbols.h"

#define ARRIVALS_MAX 4096 /* in one round: what the listener's queue holds */
#define REFUSED_MAX  3    /* that we speak of: the rest would say the same */
#define PENDING_MAX \
	64 /* ended processes that wait to be written, so that a busy program keeps the processors */

/* One image of one process: exec makes a new one. */
struct image {
	struct image *next;
	pid_t pid;
	int pidfd; /* -1 when it cannot be had */
	bool is_over;
	struct segment segment;
};

struct recording {
	const struct profile_ops *const *profiles;
	struct reception *reception;
	char directory[4096];
	bool has_made_directory;
	pid_t main_pid, first_pid;
	bool is_main_missing;         /* what it runs now has said that it is not recorded */
	struct image *images, **last; /* in the order of their arrival */
	unsigned over, refused;
	uint64_t forks, forked; /* children that images no longer listed had; those that came */
	struct symbols *symbols;

	/* for the closing line */
	uint64_t samples, lost, missed[LOST_KINDS];
	unsigned children;
	bool has_main;
	struct why failure;
};

int recording_begin(struct recording **ret, const struct profile_ops *const *profiles,
		    struct why *why)
{
	struct recording *r = calloc(1, sizeof(*r));
	int error;

	if (r == NULL)
		return -ENOMEM;
	r->profiles = profiles;
	r->last = &r->images;
	error = reception_open(&r->reception, why);
	if (error < 0) {
		free(r);
		return error;
	}
	*ret = r;
	return 0;
}

const char *recording_socket(const struct recording *r)
{
	return reception_path(r->reception);
}

int recording_set_directory(struct recording *r, const char *directory, pid_t pid, struct why *why)
{
	struct stat st;
	int fd;

	r->main_pid = r->first_pid = pid;
	r->has_made_directory = stat(directory, &st) != 0;
	fd = file_open_directory(directory, why);
	if (fd < 0)
		return fd;
	close(fd);
	snprintf(r->directory, sizeof(r->directory), "%s", directory);
	return 0;
}

static void mark_over(struct recording *r, struct image *image)
{
	if (image->is_over)
		return;
	image->is_over = true;
	r->over++;
	if (image->pidfd >= 0)
		close(image->pidfd);
	image->pidfd = -1;
}

static void add_image(struct recording *r, pid_t pid, const struct segment *s)
{
	struct image *image = calloc(1, sizeof(*image));

	if (image == NULL) {
		struct segment lost = *s;

		segment_release(&lost);
		return;
	}
	for (struct image *i = r->images; i != NULL; i = i->next)
		if (i->pid == pid)
			mark_over(r, i); /* it ran exec; or the pid is used again */
	if (pid == r->main_pid)
		r->is_main_missing = false;
	image->pid = pid;
	image->segment = *s;
	r->forked += s->header->is_forked != 0;
	image->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (image->pidfd >= 0)
		fcntl(image->pidfd, F_SETFD, FD_CLOEXEC);
	*r->last = image;
	r->last = &image->next;
	if (image->pidfd < 0 && kill(pid, 0) < 0 && errno == ESRCH)
		mark_over(r, image);
}

static void note_refused(struct recording *r, const struct arrival *arrival)
{
	if (r->refused++ < REFUSED_MAX)
		fprintf(stderr, "cprof: process %d is not recorded: %s\n", (int)arrival->pid,
			arrival->why.text);
	if (!arrival->has_none)
		return;
	for (struct image *i = r->images; i != NULL; i = i->next)
		if (i->pid == arrival->pid)
			mark_over(r, i); /* it ran exec */
	r->is_main_missing = r->is_main_missing || arrival->pid == r->main_pid;
}

/* Takes in those who came: at most as many as can have been waiting, for more may come meanwhile. */
static void receive_all(struct recording *r)
{
	struct arrival arrival;

	for (int i = 0; i < ARRIVALS_MAX && reception_take(r->reception, &arrival); i++) {
		if (arrival.segment.header != NULL)
			add_image(r, arrival.pid, &arrival.segment);
		else
			note_refused(r, &arrival);
	}
}

static void notice_ends(struct recording *r)
{
	for (struct image *i = r->images; i != NULL; i = i->next) {
		struct pollfd end = {i->pidfd, POLLIN, 0};

		if (i->is_over)
			continue;
		if (i->pidfd >= 0 ? poll(&end, 1, 0) == 1 : kill(i->pid, 0) < 0 && errno == ESRCH)
			mark_over(r, i);
	}
}

/* The directory for a child, NAME.PID, with a number when one process ran several images of that name: a new one. */
static void child_directory(const struct recording *r, const struct image *image, char *ret,
			    size_t size)
{
	char name[64], path[4400];
	struct stat st;

	segment_copy_text(&image->segment, image->segment.header->program, name, 41);
	for (char *c = name; *c != '\0'; c++)
		if (*c == '/' || (c == name && *c == '.') || (unsigned char)*c < ' ')
			*c = '_';
	snprintf(ret, size, "%s.%d", name[0] ? name : "unknown", (int)image->pid);
	for (unsigned n = 2; n < 1000; n++) {
		snprintf(path, sizeof(path), "%s/%s", r->directory, ret);
		if (lstat(path, &st) != 0)
			return;
		snprintf(ret, size, "%s.%d.%u", name[0] ? name : "unknown", (int)image->pid, n);
	}
}

static void write_image(struct recording *r, const struct image *image, bool is_main)
{
	struct reading_counts counts = {0}, all = {0};
	struct why why = {""};
	char below[128];
	int error;

	for (const struct profile_ops *const *p = r->profiles; *p != NULL; p++) {
		reading_count(&image->segment, *p, &counts);
		all.samples += counts.samples;
		all.lost += counts.lost;
	}
	if (all.samples + all.lost == 0 && !is_main)
		return; /* a child that did nothing leaves nothing */
	if (!is_main)
		child_directory(r, image, below, sizeof(below));
	error = output_write_files(&image->segment, r->profiles, r->symbols, r->directory,
				   is_main ? NULL : below, &why);
	if (error < 0) {
		r->failure = why;
		return;
	}
	r->samples += all.samples;
	r->lost += all.lost;
	for (enum segment_lost kind = 0; kind < LOST_KINDS; kind++)
		r->missed[kind] += atomic_load_explicit(&image->segment.header->lost[kind],
							memory_order_relaxed);
	r->has_main = r->has_main || is_main;
	r->children += !is_main;
}

static uint64_t forks_of(const struct image *image)
{
	const struct segment_header *h = image->segment.header;
	uint64_t forks = atomic_load_explicit(&h->notes[NOTE_FORKS], memory_order_relaxed);
	uint64_t lost = atomic_load_explicit(&h->lost[LOST_CHILDREN], memory_order_relaxed);

	return forks > lost ? forks - lost : 0;
}

static void drop_image(struct recording *r, struct image *image)
{
	if (image->segment.header != NULL)
		r->forks += forks_of(image);
	if (image->pidfd >= 0)
		close(image->pidfd);
	segment_release(&image->segment);
	free(image);
}

/* The image that stands for the program: the last one of its process. */
static const struct image *main_image(const struct recording *r)
{
	const struct image *found = NULL;

	for (const struct image *i = r->images; i != NULL; i = i->next)
		if (i->pid == r->main_pid && !r->is_main_missing)
			found = i;
	return found;
}

/* Writes and forgets the images that are over; not the main process's last, unless @with_main. */
static void write_over(struct recording *r, bool with_main)
{
	const struct image *main = main_image(r);
	struct image **at = &r->images;

	if (r->symbols == NULL)
		symbols_create(&r->symbols);
	while (*at != NULL) {
		struct image *image = *at;

		if (!image->is_over || (image == main && !with_main)) {
			at = &image->next;
			continue;
		}
		write_image(r, image, image == main);
		*at = image->next;
		drop_image(r, image);
		r->over--;
	}
	r->last = at;
}

/* One round: what came, what ended. */
static void attend(struct recording *r, int pidfd, int wait_ms)
{
	struct pollfd events[RECEPTION_FILES + 1];
	struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000};
	unsigned n = reception_files(r->reception, events);
	sigset_t none; /* a child's signal is let in here only */

	if (pidfd >= 0)
		events[n++] = (struct pollfd){pidfd, POLLIN, 0};
	sigemptyset(&none);
	ppoll(events, n, &wait, &none);
	receive_all(r);
	notice_ends(r);
	if (r->over > PENDING_MAX)
		write_over(r, false);
}

/* Those who have connected and not spoken yet. */
static void await_callers(struct recording *r)
{
	for (int i = 0; i < 100 && reception_is_busy(r->reception); i++)
		attend(r, -1, 10);
}

static bool is_known(pid_t pid, void *recording)
{
	const struct recording *r = recording;

	for (const struct image *i = r->images; i != NULL; i = i->next)
		if (i->pid == pid)
			return true;
	return pid == getpid();
}

/*
 * Children that have not spoken yet, when their parents are gone: a daemon's, say. Those of fork do so before anything else,
 * unless they were killed; others are only being loaded.
 */
static void await_children(struct recording *r)
{
	for (int i = 0; i < 20; i++) {
		uint64_t forks = r->forks;

		for (const struct image *image = r->images; image != NULL; image = image->next)
			forks += forks_of(image);
		if (forks <= r->forked)
			break;
		attend(r, -1, 10);
	}
	for (int i = 0; i < 100; i++) {
		if (!latecomers_are_there(reception_path(r->reception), r->first_pid, is_known, r))
			break;
		attend(r, -1, 10);
	}
}

int recording_wait(struct recording *r, pid_t pid, void (*stopped)(int sig), int *ret_status)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct rlimit files;
	pid_t ended;

	if (pidfd >= 0)
		fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* one for each process that runs */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (;;) {
		ended = waitpid(pid, ret_status, WNOHANG | WUNTRACED);
		if (ended == pid && WIFSTOPPED(*ret_status))
			stopped(WSTOPSIG(*ret_status));
		else if (ended == 0 || (ended < 0 && errno == EINTR))
			attend(r, pidfd, pidfd >= 0 ? 500 : 50);
		else
			break;
	}
	if (pidfd >= 0)
		close(pidfd);
	receive_all(r);
	await_callers(r);
	await_children(r);
	notice_ends(r);
	for (struct image *i = r->images; i != NULL; i = i->next)
		if (i->pid == pid)
			mark_over(r, i);
	return ended < 0 ? -errno : 0;
}

static unsigned count_running(const struct recording *r)
{
	unsigned n = 0;

	for (const struct image *i = r->images; i != NULL; i = i->next)
		n += !i->is_over;
	return n;
}

static bool is_needed(const struct recording *r, int fd)
{
	struct pollfd files[RECEPTION_FILES];
	unsigned n = reception_files(r->reception, files);

	if (fd < 3)
		return true;
	for (unsigned i = 0; i < n; i++)
		if (files[i].fd == fd)
			return true;
	for (const struct image *i = r->images; i != NULL; i = i->next)
		if (i->pidfd == fd)
			return true;
	return false;
}

static void close_others(const struct recording *r)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(dir) && !is_needed(r, fd))
			close(fd);
	}
	if (dir != NULL)
		closedir(dir);
}

/* Waits, in a process of its own and out of everybody's way, for those that outlive the program. */
static void keep(struct recording *r)
{
	int null = open("/dev/null", O_RDWR);
	char absolute[PATH_MAX];

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	/* whoever waits for the end of a pipe waits for every copy of it */
	close_others(r);
	setsid();
	if (realpath(r->directory, absolute) != NULL && strlen(absolute) < sizeof(r->directory)) {
		strcpy(r->directory, absolute);
		if (chdir("/") < 0)
			_exit(1); /* it always works */
	}
	signal(SIGHUP, SIG_IGN);
	r->main_pid = -1;
	while (count_running(r) > 0) {
		attend(r, -1, 1000);
		if (count_running(r) == 0)
			await_children(r);
		write_over(r, true);
	}
	write_over(r, true);
	reception_close(r->reception, true);
	_exit(0);
}

/* 1,234,567 */
static const char *with_commas(uint64_t n, char *buffer, size_t size)
{
	char digits[32];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	size_t at = 0;

	for (int i = 0; i < length && at + 2 < size; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			buffer[at++] = ',';
		buffer[at++] = digits[i];
	}
	buffer[at] = '\0';
	return buffer;
}

/* "; 2 threads had no timer", and the like. */
static void list_missed(const struct recording *r, char *ret, size_t size)
{
	static const struct {
		enum segment_lost kind;
		const char *one, *many;
	} words[] = {
		{LOST_CONFINED, "process was not sampled any more after it set a seccomp filter",
		 "processes were not sampled any more after they set seccomp filters"},
		{LOST_THREADS, "thread had no timer", "threads had no timer"},
		{LOST_CHILDREN, "child process was not followed",
		 "child processes were not followed"},
	};

	ret[0] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint64_t n = r->missed[words[i].kind];
		size_t used = strlen(ret);

		if (n > 0)
			snprintf(ret + used, size - used, "; %" PRIu64 " %s", n,
				 n == 1 ? words[i].one : words[i].many);
	}
}

static void say_what_was_written(const struct recording *r, unsigned running)
{
	char samples[40], lost[40], children[64] = "", kept[96] = "", missed[300], next[4200] = "";

	if (r->failure.text[0] != '\0')
		fprintf(stderr, "cprof: %s\n", r->failure.text);
	if (!r->has_main && r->children == 0) {
		if (r->failure.text[0] == '\0')
			fprintf(stderr, "cprof: nothing was recorded%s\n",
				r->refused > 0 ? ""
					       : ": the program ended before its libraries were "
						 "loaded, or dropped LD_PRELOAD");
		return;
	}
	if (r->children > 0)
		snprintf(children, sizeof(children), " (and %u other program%s)", r->children,
			 r->children == 1 ? "" : "s");
	if (running > 0)
		snprintf(kept, sizeof(kept),
			 "; %u process%s still run%s: theirs follow when they end", running,
			 running == 1 ? "" : "es", running == 1 ? "s" : "");
	list_missed(r, missed, sizeof(missed));
	if (r->samples > 0)
		snprintf(next, sizeof(next), "; next: cprof top %s/%s", r->directory,
			 r->has_main ? "cpu.pb.gz" : "*/cpu.pb.gz");
	fprintf(stderr, "cprof: %s samples, %s lost%s in %s%s%s%s\n",
		with_commas(r->samples, samples, sizeof(samples)),
		with_commas(r->lost, lost, sizeof(lost)), children, r->directory, missed, kept,
		next);
}

void recording_end(struct recording *r, bool is_worth)
{
	unsigned running = 0;
	pid_t keeper = -1;

	if (is_worth) {
		running = count_running(r);
		if (running > 0)
			keeper = fork();
		if (keeper == 0) {
			/* the ended ones are our parent's to write */
			for (struct image *i = r->images; i != NULL; i = i->next)
				if (i->is_over) {
					r->forks += forks_of(i);
					i->segment.header = NULL;
				}
			for (struct image **at = &r->images; *at != NULL;) {
				struct image *image = *at;

				if (image->segment.header == NULL) {
					*at = image->next;
					drop_image(r, image);
				} else {
					at = &image->next;
					r->last = at;
				}
			}
			r->over = 0;
			keep(r);
		}
		write_over(r, true);
		say_what_was_written(r, keeper > 0 ? running : 0);
	}
	/* only if it is empty */
	if (r->has_made_directory && r->directory[0] != '\0' && keeper <= 0)
		rmdir(r->directory);
	while (r->images != NULL) {
		struct image *image = r->images;

		r->images = image->next;
		drop_image(r, image);
	}
	symbols_destroy(r->symbols);
	reception_close(r->reception, keeper <= 0);
	free(r);
}
