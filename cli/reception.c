#include "cli/reception.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/session.h"

_Static_assert(sizeof(struct session_hello) == sizeof(struct session_ask), "read as one");

#define QUEUE_MAX 4096
#define CALLER_MS \
	1000 /* it speaks right behind the connect; a second is for a machine on its knees */

struct reception {
	char directory[64], path[96];
	int listener;
	struct caller {
		int connection;
		int64_t until_ms;
	} callers[RECEPTION_CALLERS]; /* in the order of their arrival */
	unsigned callers_n;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/*
 * The program may give up root's rights, and what it runs then must still reach us. So root's session is open to every
 * user who knows its name, which is long, random and nowhere to be read: not in the directory, which others may pass
 * but not list, and not in /proc/net/unix, which has the name that was bound.
 */
static bool is_for_all(void)
{
	return geteuid() == 0;
}

static bool others_may_pass(const char *path)
{
	char part[64];
	struct stat st;

	for (size_t i = 1; i <= strlen(path) && i < sizeof(part); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (stat(part, &st) != 0 || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

static int make_directory(struct reception *r)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (runtime != NULL && runtime[0] == '/' && strlen(runtime) < 40 &&
	    (!is_for_all() || others_may_pass(runtime))) {
		snprintf(r->directory, sizeof(r->directory), "%s/cprof-XXXXXX", runtime);
		if (mkdtemp(r->directory) != NULL)
			return 0;
	}
	strcpy(r->directory, "/tmp/cprof-XXXXXX");
	return mkdtemp(r->directory) != NULL ? 0 : -errno; /* mode 0700 */
}

static int open_to_all(struct reception *r)
{
	uint64_t secret[2];
	char name[sizeof(r->path)];

	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return -EAGAIN;
	snprintf(name, sizeof(name), "%s/%016" PRIx64 "%016" PRIx64, r->directory, secret[0],
		 secret[1]);
	if (rename(r->path, name) < 0)
		return -errno;
	strcpy(r->path, name);
	return chmod(name, 0666) < 0 || chmod(r->directory, 0711) < 0 ? -errno : 0;
}

int reception_open(struct reception **ret, struct why *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct reception *r = calloc(1, sizeof(*r));
	int error;

	if (r == NULL)
		return -ENOMEM;
	error = make_directory(r);
	if (error < 0) {
		why_set(why,
			"cannot make a directory for the session in $XDG_RUNTIME_DIR or /tmp: %s",
			strerror(-error));
		free(r);
		return error;
	}
	snprintf(r->path, sizeof(r->path), "%s/socket", r->directory);
	strcpy(address.sun_path, r->path);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->listener < 0 ||
	    bind(r->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(r->listener, QUEUE_MAX) < 0 || (is_for_all() && open_to_all(r) < 0)) {
		error = -errno;
		why_set(why, "cannot listen at %s: %s", r->path, strerror(-error));
		reception_close(r, true);
		return error;
	}
	*ret = r;
	return 0;
}

const char *reception_path(const struct reception *r)
{
	return r->path;
}

/* The files that processes have left for each other. False: there was none. */
static bool remove_plans(int directory)
{
	struct entry {
		uint64_t inode, next;
		unsigned short bytes;
		unsigned char type;
		char name[];
	} * entry;
	_Alignas(struct entry) char entries[4096];
	bool has_removed = false;
	long n;

	lseek(directory, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, directory, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n; at += entry->bytes) {
			entry = (struct entry *)(entries + at);
			if (strncmp(entry->name, "plans-", 6) == 0 &&
			    unlinkat(directory, entry->name, 0) == 0)
				has_removed = true;
		}
	}
	return has_removed;
}

void reception_remove(const char *path)
{
	char name[sizeof(((struct reception *)0)->path)];
	const char *slash = strrchr(path, '/');
	int directory;

	if (slash == NULL || (size_t)(slash - path) >= sizeof(name))
		return;
	unlink(path);
	memcpy(name, path, (size_t)(slash - path));
	name[slash - path] = '\0';
	directory = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (directory < 0) {
		rmdir(name);
		return;
	}
	/* more than once: a process may be at it, and what is removed from a list moves others out of sight */
	do
		while (remove_plans(directory))
			;
	while (rmdir(name) < 0 && errno == ENOTEMPTY && remove_plans(directory));
	close(directory);
}

void reception_close(struct reception *r, bool for_good)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->callers_n; i++)
		close(r->callers[i].connection);
	if (r->listener >= 0)
		close(r->listener);
	if (for_good)
		reception_remove(r->path);
	free(r);
}

/*
 * Maps what a process sent. It must not be able to shrink, and its pages must be plain memory: reading it would end us by
 * SIGBUS.
 */
static int map_segment(int fd, uint64_t said_bytes, struct segment *ret, struct why *why)
{
	int seals = fcntl(fd, F_GET_SEALS), r;
	struct statfs fs;
	struct stat st;
	uint64_t bytes;
	void *base;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 ||
	    fs.f_type != TMPFS_MAGIC) {
		why_set(why, "what it sent is not a sealed memfd");
		return -EBADMSG;
	}
	bytes = (uint64_t)st.st_size;
	if (bytes != said_bytes || bytes < SEGMENT_MIN_BYTES || bytes > SEGMENT_MAX_BYTES) {
		why_set(why,
			"what it sent has %llu bytes: it spoke of %llu, and %llu to %llu are right",
			(unsigned long long)bytes, (unsigned long long)said_bytes,
			(unsigned long long)SEGMENT_MIN_BYTES,
			(unsigned long long)SEGMENT_MAX_BYTES);
		return -EBADMSG;
	}
	base = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		why_set(why, "cannot map %llu bytes: %s", (unsigned long long)bytes,
			strerror(errno));
		return -errno;
	}
	r = segment_attach(base, bytes, ret, why);
	if (r < 0)
		munmap(base, bytes);
	return r;
}

/* The file that came with a message, when there is one and no more; the others are closed. -1 else. */
static int only_file(struct msghdr *message)
{
	int found = -1, files = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h != NULL; h = CMSG_NXTHDR(message, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= h->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + at, sizeof(fd));
			if (files++ == 0)
				found = fd;
			else
				close(fd);
		}
	}
	if (files > 1 || (message->msg_flags & MSG_CTRUNC)) {
		if (found >= 0)
			close(found);
		return -1;
	}
	return found;
}

/* For a terminal. */
static void quote(char *text, struct why *ret)
{
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
	why_set(ret, "%s", text);
}

/* What @connection has to say. 1 with *ret, 0 when it left without a word, -EAGAIN not yet. */
static int hear(int connection, struct arrival *ret)
{
	union {
		struct session_hello hello;
		struct session_ask ask;
	} said = {.hello = {0}};
	const struct session_hello *hello = &said.hello;
	char text[SESSION_ASK_TEXT_MAX + 2] = ""; /* a byte more shows that it is too long */
	struct iovec parts[2] = {{&said, sizeof(said)}, {text, sizeof(text) - 1}};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))]; /* what finds no room the kernel closes */
	} control;
	struct msghdr message = {.msg_iov = parts,
				 .msg_iovlen = 2,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);
	ssize_t n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
	fd = only_file(&message);
	*ret = (struct arrival){.connection = -1};
	if (n == 0)
		goto nothing;
	/* another pid namespace's processes have no number here, and nobody would learn of their end */
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.pid <= 0)
		goto nothing;
	ret->pid = peer.pid;
	ret->uid = peer.uid;
	if (n >= (ssize_t)sizeof(said.ask) && said.ask.magic == SESSION_ASK_MAGIC) {
		bool has_text = said.ask.what == SESSION_START || said.ask.what == SESSION_STOP ||
				said.ask.what == SESSION_TRACE;
		size_t text_bytes = (size_t)n - sizeof(said.ask);

		if (text_bytes != (has_text ? strlen(text) : 0) ||
		    text_bytes > SESSION_ASK_TEXT_MAX)
			goto nothing;
		ret->asked = said.ask.pid != 0 ? said.ask.pid : peer.pid;
		ret->what = said.ask.what;
		memcpy(ret->text, text, sizeof(ret->text));
		ret->connection = fcntl(connection, F_DUPFD_CLOEXEC, 3);
		if (ret->connection < 0)
			goto nothing;
		goto out;
	}
	ret->has_none = fd < 0 && n > (ssize_t)sizeof(*hello) && hello->magic == SESSION_MAGIC &&
			hello->bytes == 0;
	if (ret->has_none)
		quote(text, &ret->why);
	else if (fd < 0 || n != (ssize_t)sizeof(*hello) || hello->magic != SESSION_MAGIC)
		why_set(&ret->why, "what it says is not what a cprof library of this version does");
	else if (map_segment(fd, hello->bytes, &ret->segment, &ret->why) < 0)
		ret->segment = (struct segment){0};
	if (ret->segment.header != NULL) {
		ret->door = mmap(NULL, RECEPTION_DOOR, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (ret->door == MAP_FAILED)
			ret->door = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return 1;

nothing:
	if (fd >= 0)
		close(fd);
	return 0;
}

static void forget(struct reception *r, unsigned i)
{
	close(r->callers[i].connection);
	r->callers_n--;
	memmove(&r->callers[i], &r->callers[i + 1], (r->callers_n - i) * sizeof(r->callers[0]));
}

static bool take_from_callers(struct reception *r, struct arrival *ret)
{
	int64_t now = now_ms();
	unsigned i = 0;

	while (i < r->callers_n) {
		int heard = hear(r->callers[i].connection, ret);

		if (heard < 0 && now < r->callers[i].until_ms) {
			i++;
			continue;
		}
		forget(r, i);
		if (heard > 0)
			return true;
	}
	return false;
}

bool reception_take(struct reception *r, struct arrival *ret)
{
	int connection = -1, heard;

	if (take_from_callers(r, ret))
		return true;
	for (int i = 0; i < QUEUE_MAX; i++) {
		connection = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
		if (connection < 0)
			break;
		heard = hear(connection, ret);
		if (heard < 0) {
			if (r->callers_n == RECEPTION_CALLERS)
				forget(r, 0);
			r->callers[r->callers_n++] =
				(struct caller){connection, now_ms() + CALLER_MS};
			continue;
		}
		close(connection);
		if (heard > 0)
			return true;
	}
	/* no file is left for whoever comes: let us not spin until one is */
	if (connection < 0 && (errno == EMFILE || errno == ENFILE)) {
		if (r->callers_n > 0)
			forget(r, 0);
		else
			poll(NULL, 0, 10);
	}
	return false;
}

void reception_answer(int connection, int error, const char *text, int fd)
{
	struct session_answer answer = {SESSION_ANSWER_MAGIC, error, ""};
	struct iovec part = {&answer, sizeof(answer)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	snprintf(answer.text, sizeof(answer.text), "%s", text);
	if (error == 0 && fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	/* there is room for one message in a new socket, or it is not one of ours */
	sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(connection);
}

bool reception_is_busy(const struct reception *r)
{
	return r->callers_n > 0;
}

unsigned reception_files(const struct reception *r, struct pollfd *ret)
{
	ret[0] = (struct pollfd){r->listener, POLLIN, 0};
	for (unsigned i = 0; i < r->callers_n; i++)
		ret[1 + i] = (struct pollfd){r->callers[i].connection, POLLIN, 0};
	return 1 + r->callers_n;
}
