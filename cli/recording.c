#include "cli/recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/change.h"
#include "cli/closing.h"
#include "cli/latecomers.h"
#include "cli/reception.h"
#include "cli/serving.h"
#include "cli/status.h"
#include "cli/tracing.h"
#include "core/clock.h"
#include "core/option.h"
#include "core/segment.h"
#include "core/session.h"
#include "output/catalog.h"
#include "output/file.h"
#include "output/output.h"
#include "output/reading.h"
#include "output/symbols.h"

#define ARRIVALS_MAX 4096 /* in one round: what the listener's queue holds */
#define REFUSED_MAX  3    /* that we speak of: the rest would say the same */
#define PENDING_MAX \
	64 /* ended processes that wait to be written, so that a busy program keeps the processors */
/* a snapshot gives itself a second; that much longer its thread may wait for a processor */
#define SNAPSHOT_NS (5 * NS_PER_SECOND)

/* One image of one process: exec makes a new one. */
struct image {
	struct image *next;
	pid_t pid;
	int pidfd; /* -1 when it cannot be had */
	bool is_over;
	char below[128]; /* its directory in ours; "": ours, or not chosen yet */
	struct segment segment;
	struct tracing *tracing;     /* NULL: it does not trace, as far as is known */
	struct segment_header *door; /* its header, to leave word in; NULL when that cannot be */
	struct change change;
	struct served *served; /* NULL: it cannot be asked over HTTP */
};

struct recording {
	const struct profile_ops *const *profiles;
	struct reception *reception;
	struct serving *serving; /* NULL: until there is somebody to serve, or where it cannot be */
	char http[256];          /* where the program is served, too; "": nowhere */
	char directory[4096];
	bool has_made_directory;
	bool is_tracing; /* all that come are to */
	struct writer_ring ring;
	pid_t main_pid, first_pid;
	bool is_main_missing;         /* what it runs now has said that it is not recorded */
	struct image *images, **last; /* in the order of their arrival */
	unsigned over, refused;
	uint64_t forks, forked; /* children that images no longer listed had; those that came */
	struct symbols *symbols;

	/* a snapshot that was asked for and has not come */
	int asking; /* an eventfd: somebody wants one */
	const struct image *asked;
	uint64_t asked_serial;
	struct patience patience;
	unsigned snapshots;

	struct closing closing;
};

static volatile int asking_fd = -1; /* for the signal handler */

int recording_begin(struct recording **ret, const struct profile_ops *const *profiles,
		    struct why *why)
{
	struct recording *r = calloc(1, sizeof(*r));
	int error;

	if (r == NULL)
		return -ENOMEM;
	r->profiles = profiles;
	r->last = &r->images;
	r->asking = asking_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = reception_open(&r->reception, why);
	if (error < 0) {
		free(r);
		return error;
	}
	*ret = r;
	return 0;
}

void recording_set_options(struct recording *r, const struct option_set *options)
{
	r->is_tracing = options->profiles & OPTION_TRACE;
	r->ring = (struct writer_ring){options->ring_ns, options->ring_bytes};
	snprintf(r->http, sizeof(r->http), "%s", options->http);
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

/* What still ran when the process ended ran until now: it may be long before its profiles are written. */
static void note_end(const struct image *image)
{
	struct segment_header *h = image->door;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (int i = 0; h != NULL && i < SEGMENT_RUNS; i++)
		if (h->runs[i].period != 0 && h->runs[i].ended_ns == 0)
			h->runs[i].ended_ns =
				(uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* @reason TRACE_END_UNKNOWN: that of the program's own process is learnt later. */
static void mark_over(struct recording *r, struct image *image, enum trace_end reason)
{
	if (image->tracing != NULL && (reason != TRACE_END_UNKNOWN || image->pid != r->main_pid))
		tracing_end(image->tracing, reason, 0);
	if (image->is_over)
		return;
	image->is_over = true;
	serving_remove(r->serving, image->served);
	image->served = NULL;
	change_give_up(&image->change, -ESRCH, "the process has ended");
	note_end(image);
	r->over++;
	if (image->pidfd >= 0)
		close(image->pidfd);
	image->pidfd = -1;
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

/* Traces are written from the first moment on: the place for them is chosen, and taken, now. */
static void choose_directory(const struct recording *r, struct image *image)
{
	char path[4400];

	if (image->below[0] != '\0')
		return;
	child_directory(r, image, image->below, sizeof(image->below));
	snprintf(path, sizeof(path), "%s/%s", r->directory, image->below);
	mkdir(path, 0777);
}

static void remove_directory(const struct recording *r, const struct image *image)
{
	char path[4400];

	snprintf(path, sizeof(path), "%s/%s", r->directory, image->below);
	if (image->below[0] != '\0')
		rmdir(path); /* only if it is empty */
}

static void begin_tracing(struct recording *r, struct image *image)
{
	if (image->pid != r->main_pid)
		choose_directory(r, image);
	image->tracing = tracing_begin(&image->segment, image->door, image->pid, r->directory,
				       image->below, r->ring);
}

/* It is not what the program is any more, and has our directory. */
static void move_tracing(const struct recording *r, struct image *image)
{
	if (image->tracing == NULL || image->below[0] != '\0')
		return;
	choose_directory(r, image);
	tracing_move(image->tracing, image->below);
}

/* Who comes with the same pid ran exec; or the pid is used again. */
static void replace_images(struct recording *r, pid_t pid)
{
	for (struct image *i = r->images; i != NULL; i = i->next) {
		if (i->pid != pid)
			continue;
		mark_over(r, i, TRACE_END_EXEC);
		move_tracing(r, i);
	}
}

/* Not before there is a process: until then we fork. */
static void begin_serving(struct recording *r, struct image *image)
{
	struct why why = {""};

	if (r->serving == NULL)
		serving_begin(&r->serving, r->profiles, reception_path(r->reception), &why);
	image->served =
		serving_add(r->serving, &image->segment, image->door, image->pid,
			    image->pid == r->main_pid && r->http[0] != '\0' ? r->http : NULL, &why);
	if (image->pid == r->main_pid && r->http[0] != '\0' && why.text[0] != '\0')
		fprintf(stderr, "cprof: %s\n", why.text);
}

static void add_image(struct recording *r, pid_t pid, const struct segment *s, void *door)
{
	struct image *image = calloc(1, sizeof(*image));

	if (image == NULL) {
		struct segment lost = *s;

		segment_release(&lost);
		if (door != NULL)
			munmap(door, RECEPTION_DOOR);
		return;
	}
	replace_images(r, pid);
	if (pid == r->main_pid)
		r->is_main_missing = false;
	image->pid = pid;
	image->segment = *s;
	image->door = door;
	r->forked += s->header->is_forked != 0;
	image->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (image->pidfd >= 0)
		fcntl(image->pidfd, F_SETFD, FD_CLOEXEC);
	*r->last = image;
	r->last = &image->next;
	if (r->is_tracing)
		begin_tracing(r, image);
	if (image->pidfd < 0 && kill(pid, 0) < 0 && errno == ESRCH)
		mark_over(r, image, TRACE_END_UNKNOWN);
	else
		begin_serving(r, image);
}

static void note_refused(struct recording *r, const struct arrival *arrival)
{
	if (r->refused++ < REFUSED_MAX)
		fprintf(stderr, "cprof: process %d is not recorded: %s\n", (int)arrival->pid,
			arrival->why.text);
	if (!arrival->has_none)
		return;
	replace_images(r, arrival->pid);
	r->is_main_missing = r->is_main_missing || arrival->pid == r->main_pid;
}

static void answer_status(const struct recording *r, const struct image *image, int connection)
{
	int fd = status_write(&image->segment, r->profiles, image->pid);

	reception_answer(connection, fd < 0 ? fd : 0, fd < 0 ? strerror(-fd) : "", fd);
	if (fd >= 0)
		close(fd);
}

/* Behind "a trace" there is a number, or nothing. */
static bool is_right(const struct arrival *arrival)
{
	const char *text = arrival->text;

	return arrival->what != SESSION_TRACE || text[strspn(text, "0123456789")] == '\0';
}

/* Somebody wants something of a process. Who may: the user whose session it is, and root. */
static void answer(const struct recording *r, const struct arrival *arrival)
{
	struct image *found = NULL;
	char text[128];
	int error;

	for (struct image *i = r->images; i != NULL; i = i->next)
		if (i->pid == arrival->asked && !i->is_over)
			found = i;
	error = arrival->uid != geteuid() && arrival->uid != 0             ? -EPERM
		: found == NULL                                            ? -ESRCH
		: arrival->what > SESSION_STATUS || !is_right(arrival)     ? -EINVAL
		: arrival->what == SESSION_TRACE && found->tracing == NULL ? -ENODATA
									   : 0;
	if (error == 0 && arrival->what == SESSION_START && arrival->pid != getpid())
		serving_keep(found->served, OPTION_PROFILES);
	if (error == 0 && arrival->what == SESSION_TRACE)
		tracing_ask(found->tracing, arrival->connection, strtoull(arrival->text, NULL, 10));
	else if (error == 0 && arrival->what == SESSION_STATUS)
		answer_status(r, found, arrival->connection);
	else if (error == 0)
		change_begin(&found->change, found->door,
			     arrival->what == SESSION_START ? REQUEST_START : REQUEST_STOP,
			     arrival->text, arrival->connection);
	if (error == 0)
		return;
	snprintf(text, sizeof(text),
		 error == -EPERM    ? "process %d is recorded by another user"
		 : error == -ESRCH  ? "process %d is not recorded"
		 : error == -EINVAL ? "what is asked of process %d is not known"
				    : "process %d is not traced: `cprof run -p trace` does that",
		 (int)arrival->asked);
	reception_answer(arrival->connection, error, text, -1);
}

/* Takes in those who came: at most as many as can have been waiting, for more may come meanwhile. */
static void receive_all(struct recording *r)
{
	struct arrival arrival;

	for (int i = 0; i < ARRIVALS_MAX && reception_take(r->reception, &arrival); i++) {
		if (arrival.connection >= 0)
			answer(r, &arrival);
		else if (arrival.segment.header != NULL)
			add_image(r, arrival.pid, &arrival.segment, arrival.door);
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
		if (i->tracing == NULL && i->segment.header->runs[RUN_TRACE].setting != 0)
			begin_tracing(r, i); /* by a call of its own */
		if (i->pidfd >= 0 ? poll(&end, 1, 0) == 1 : kill(i->pid, 0) < 0 && errno == ESRCH)
			mark_over(r, i, TRACE_END_UNKNOWN);
	}
}

/* What is in an image's profiles. */
struct contents {
	uint64_t samples, waits, lost;
	bool has_samples, has_waits;
	struct closing_first first;
	bool is_worth; /* it did something: to have been there is enough only when nothing else was asked */
};

/*
 * Waits are no samples: most are all that there were. Those who waited and those who made them wait are the same ones, so
 * the block profile's count where there is one.
 */
static void count_contents(const struct profile_ops *ops, const struct reading_counts *counts,
			   struct contents *c)
{
	if (ops->run == RUN_BLOCK || (ops->run == RUN_MUTEX && !c->has_waits)) {
		c->waits += counts->samples;
		c->has_waits = true;
	} else if (ops->run != RUN_MUTEX) {
		c->samples += counts->samples;
		c->has_samples = true;
	}
	c->lost += counts->lost;
}

static struct contents contents_of(const struct recording *r, const struct image *image)
{
	struct contents c = {0};
	bool has_some = false;
	bool is_counted = false, was_there = false;

	struct catalog *catalog = catalog_create(r->profiles);
	const struct profile_ops *const *p =
		catalog != NULL ? catalog_list(catalog, &image->segment) : r->profiles;

	for (; *p != NULL; p++) {
		struct reading_counts counts = {0};

		if ((*p)->is_view || (*p)->is_log || !reading_is_there(&image->segment, *p))
			continue;
		reading_count(&image->segment, *p, &counts);
		count_contents(*p, &counts, &c);
		if (c.first.name[0] == '\0' || (!has_some && counts.samples > 0)) {
			snprintf(c.first.name, sizeof(c.first.name), "%s", (*p)->name);
			/* a program that ends has often given back all it had */
			c.first.index = (*p)->is_by_size && counts.last == 0
						? "-sample_index=alloc_space "
						: "";
		}
		has_some = has_some || counts.samples > 0;
		if (profile_is_custom(*p)) { /* a child has those of its parent */
			uint64_t added = profile_run(&image->segment, *p)->setting;

			c.is_worth = c.is_worth || added + counts.lost > 0;
			continue;
		}
		if ((*p)->is_instant) {
			was_there = true;
			continue;
		}
		is_counted = true;
		c.is_worth = c.is_worth || counts.samples + counts.lost > 0;
	}
	catalog_destroy(catalog);
	if (!is_counted)
		c.is_worth = c.is_worth || was_there;
	return c;
}

static bool lacks_snapshot(const struct recording *r, const struct image *image)
{
	for (const struct profile_ops *const *p = r->profiles; *p != NULL; p++)
		if ((*p)->is_instant && profile_run(&image->segment, *p)->period != 0 &&
		    !reading_is_there(&image->segment, *p))
			return true;
	return false;
}

/* Profiles that were asked for and could not be in this process, which says why. */
static void say_left_off(struct recording *r, const struct image *image, bool is_main)
{
	char text[SESSION_TEXT_MAX + 1];

	for (const struct profile_ops *const *p = r->profiles; *p != NULL; p++) {
		uint64_t id = atomic_load_explicit(&profile_run(&image->segment, *p)->left_off,
						   memory_order_acquire);

		if (id == 0 || (*p)->is_view || (!is_main && r->refused++ >= REFUSED_MAX))
			continue;
		segment_copy_text(&image->segment, (uint32_t)id, text, sizeof(text));
		for (char *c = text; *c != '\0'; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				*c = '?'; /* it is another process's text */
		if (is_main)
			fprintf(stderr, "cprof: %s\n", text);
		else
			fprintf(stderr, "cprof: process %d: %s\n", (int)image->pid, text);
	}
}

/* Waits for the end of its trace. */
static void finish_tracing(struct recording *r, struct image *image, struct contents *c)
{
	struct drain_counts counts;
	struct why why = {""};
	uint64_t left_out;

	if (image->tracing == NULL)
		return;
	counts = tracing_finish(image->tracing, &why);
	r->closing.triggered += tracing_snapshots(image->tracing, &left_out);
	r->closing.triggered_left_out += left_out;
	if (why.text[0] != '\0')
		r->closing.failure = why;
	r->closing.has_events = true;
	r->closing.events += counts.events - counts.unwritten;
	c->lost += counts.lost + (counts.error < 0 ? counts.unwritten : 0);
	c->is_worth = c->is_worth || counts.events > 0;
	if (c->first.name[0] == '\0')
		c->first = (struct closing_first){.name = "trace", .is_log = true};
}

static void write_image(struct recording *r, struct image *image, bool is_main)
{
	struct contents contents = contents_of(r, image);
	struct why why = {""};
	int error;

	if (!is_main)
		move_tracing(r, image);
	finish_tracing(r, image, &contents);
	if (!contents.is_worth && !is_main) {
		remove_directory(r, image); /* a child that did nothing leaves nothing */
		return;
	}
	if (!is_main && image->below[0] == '\0')
		child_directory(r, image, image->below, sizeof(image->below));
	error = output_write_files(&image->segment, r->profiles, r->symbols, r->directory,
				   is_main ? NULL : image->below, &why);
	if (error < 0) {
		r->closing.failure = why;
		return;
	}
	say_left_off(r, image, is_main);
	r->closing.samples += contents.samples;
	r->closing.waits += contents.waits;
	r->closing.has_samples = r->closing.has_samples || contents.has_samples;
	r->closing.has_waits = r->closing.has_waits || contents.has_waits;
	r->closing.lost += contents.lost;
	if (is_main) {
		r->closing.main_first = contents.first;
		r->closing.has_no_snapshot = lacks_snapshot(r, image);
	} else if (r->closing.child_first.name[0] == '\0') {
		r->closing.child_first = contents.first;
	}
	for (enum segment_lost kind = 0; kind < LOST_KINDS; kind++)
		r->closing.missed[kind] += atomic_load_explicit(&image->segment.header->lost[kind],
								memory_order_relaxed);
	r->closing.has_main = r->closing.has_main || is_main;
	r->closing.children += !is_main;
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
	change_give_up(&image->change, -ECONNRESET, "the session ends");
	tracing_forget(image->tracing);
	if (image->segment.header != NULL)
		r->forks += forks_of(image);
	if (image->pidfd >= 0)
		close(image->pidfd);
	if (image->door != NULL)
		munmap(image->door, RECEPTION_DOOR);
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

void recording_ask_snapshot(void)
{
	uint64_t one = 1;

	if (asking_fd >= 0 && write(asking_fd, &one, sizeof(one)) < 0)
		return; /* there are many to take already */
}

static void give_up_snapshot(struct recording *r, const char *reason)
{
	fprintf(stderr, "cprof: no snapshot: %s\n", reason);
	r->asked = NULL;
}

_Static_assert(offsetof(struct segment_header, runs[SEGMENT_RUNS]) <= RECEPTION_DOOR &&
		       offsetof(struct segment_header, snapshots_asked) + 4 <= RECEPTION_DOOR &&
		       offsetof(struct segment_header, helper_wake) + 4 <= RECEPTION_DOOR,
	       "they lie behind the door");

/* Leaves word for the helper in the process, and wakes it. False when there is none. */
static bool ask(const struct image *image)
{
	struct segment_header *h = image->door;

	if (h == NULL)
		return false;
	atomic_fetch_add_explicit(&h->snapshots_asked, 1, memory_order_seq_cst);
	atomic_fetch_add_explicit(&h->helper_wake, 1, memory_order_seq_cst);
	return syscall(SYS_futex, &h->helper_wake, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0;
}

static void begin_snapshot(struct recording *r)
{
	uint64_t times;

	if (read(r->asking, &times, sizeof(times)) < 0)
		return;
	r->asked = main_image(r);
	if (r->asked == NULL) {
		give_up_snapshot(r, "the program does not record yet");
		return;
	}
	r->asked_serial = r->asked->segment.header->snapshot_serial;
	r->patience = (struct patience){0};
	if (r->asked->is_over || !ask(r->asked))
		give_up_snapshot(r, "the program does not record any more");
}

static void write_snapshot(struct recording *r)
{
	const struct segment *s = &r->asked->segment;
	struct reading_counts counts;
	struct catalog *catalog;
	struct why why = {""};

	if (r->symbols == NULL)
		symbols_create(&r->symbols);
	r->snapshots++;
	if (output_write_snapshot(s, r->profiles, r->symbols, r->directory, r->snapshots, &why) <
	    0) {
		give_up_snapshot(r, why.text);
		return;
	}
	catalog = catalog_create(r->profiles);
	for (const struct profile_ops *const *p = catalog != NULL ? catalog_list(catalog, s)
								  : r->profiles;
	     *p != NULL; p++) {
		if (!(*p)->is_instant || (*p)->is_view || !reading_is_there(s, *p))
			continue;
		reading_count(s, *p, &counts);
		fprintf(stderr, "cprof: %s: %" PRIu64 " in %s/%s.%u.txt and .pb.gz\n", (*p)->name,
			counts.samples, r->directory, (*p)->name, r->snapshots);
	}
	catalog_destroy(catalog);
	r->asked = NULL;
}

static void await_snapshot(struct recording *r)
{
	if (r->asked != main_image(r) || r->asked->is_over) {
		give_up_snapshot(r, "the program ended, or runs another one");
		return;
	}
	if (r->asked->segment.header->snapshot_serial != r->asked_serial) {
		write_snapshot(r);
		return;
	}
	if (patience_look(&r->patience, clock_monotonic()) > SNAPSHOT_NS)
		give_up_snapshot(r, "the program did not answer");
}

static bool is_changing(const struct recording *r)
{
	for (const struct image *i = r->images; i != NULL; i = i->next)
		if (i->change.is_under_way)
			return true;
	return false;
}

static void attend_changes(struct recording *r)
{
	for (struct image *i = r->images; i != NULL; i = i->next)
		change_attend(&i->change, i->door);
}

/* One round: what came, what ended. */
static void attend(struct recording *r, int pidfd, int wait_ms)
{
	struct pollfd events[RECEPTION_FILES + 2];
	int ms = (r->asked != NULL || is_changing(r)) && wait_ms > 10 ? 10 : wait_ms;
	struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
	unsigned n = reception_files(r->reception, events), asking = 0;
	sigset_t none; /* a child's signal is let in here only */

	if (pidfd >= 0)
		events[n++] = (struct pollfd){pidfd, POLLIN, 0};
	if (r->asked == NULL && r->asking >= 0) { /* one snapshot after the other */
		asking = n;
		events[n++] = (struct pollfd){r->asking, POLLIN, 0};
	}
	sigemptyset(&none);
	if (ppoll(events, n, &wait, &none) <= 0)
		asking = 0;
	receive_all(r);
	attend_changes(r);
	notice_ends(r);
	if (r->asked != NULL)
		await_snapshot(r);
	else if (asking > 0 && events[asking].revents & POLLIN)
		begin_snapshot(r);
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
	for (struct image *i = r->images; i != NULL; i = i->next) {
		if (i->pid != pid)
			continue;
		mark_over(r, i, TRACE_END_UNKNOWN);
		if (i->tracing != NULL && ended == pid)
			tracing_end(i->tracing,
				    WIFEXITED(*ret_status) ? TRACE_END_EXITED : TRACE_END_SIGNAL,
				    (uint32_t)(WIFEXITED(*ret_status) ? WEXITSTATUS(*ret_status)
								      : WTERMSIG(*ret_status)));
	}
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
		if (i->pidfd == fd || (i->tracing != NULL && tracing_fd(i->tracing) == fd))
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
	r->asking = -1; /* closed above */
	for (struct image *i = r->images; i != NULL; i = i->next)
		begin_serving(r, i);
	for (struct image *i = r->images; i != NULL; i = i->next)
		if (i->tracing != NULL)
			tracing_resume(i->tracing);
	while (count_running(r) > 0) {
		attend(r, -1, 1000);
		if (count_running(r) == 0)
			await_children(r);
		write_over(r, true);
	}
	write_over(r, true);
	serving_end(r->serving);
	reception_close(r->reception, true);
	_exit(0);
}

void recording_end(struct recording *r, bool is_worth)
{
	unsigned running = 0;
	pid_t keeper = -1;

	/* no thread, and no socket, is there when we fork: a keeper has its own */
	for (struct image *i = r->images; i != NULL; i = i->next) {
		serving_remove(r->serving, i->served);
		i->served = NULL;
	}
	serving_end(r->serving);
	r->serving = NULL;
	if (is_worth) {
		running = count_running(r);
		for (struct image *i = r->images; i != NULL && running > 0; i = i->next) {
			change_give_up(&i->change, -EAGAIN, "the program ends just now");
			if (i->tracing != NULL)
				tracing_pause(i->tracing);
		}
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
		closing_say(&r->closing, r->directory, r->refused > 0, keeper > 0 ? running : 0);
	}
	/* only if it is empty */
	if (r->has_made_directory && r->directory[0] != '\0' && keeper <= 0)
		rmdir(r->directory);
	while (r->images != NULL) {
		struct image *image = r->images;

		r->images = image->next;
		if (keeper < 0 && image->tracing != NULL) { /* nobody goes on with it */
			tracing_end(image->tracing, TRACE_END_STOPPED, 0);
			tracing_finish(image->tracing, &r->closing.failure);
		}
		drop_image(r, image);
	}
	symbols_destroy(r->symbols);
	if (r->asking >= 0)
		close(r->asking);
	asking_fd = -1;
	reception_close(r->reception, keeper <= 0);
	free(r);
}
