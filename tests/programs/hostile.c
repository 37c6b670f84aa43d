/*
 * hostile: under `cprof run`, says things to the launcher that no cprof library would say. It prints how many files the
 * launcher had open before and after.
 *
 *     hostile WHAT [TIMES]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/segment.h"
#include "core/session.h"
#include "tests/programs/host.h"

BURNER(burn_a)

#define FILES_MAX 250

static int call(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, getenv(SESSION_VARIABLE), sizeof(address.sun_path) - 1);
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(sock);
		return -1;
	}
	return sock;
}

static void say(const void *bytes, size_t size, const int *files, int files_n)
{
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * FILES_MAX)];
	} control;
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	int sock = call();

	memset(&control, 0, sizeof(control));
	if (files_n > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)files_n);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)files_n);
		memcpy(CMSG_DATA(&control.header), files, sizeof(int) * (size_t)files_n);
	}
	if (sendmsg(sock, &message, MSG_NOSIGNAL) < 0)
		perror("hostile: sendmsg");
	close(sock);
}

/* A memfd of @size bytes that cannot shrink. */
static int make(uint64_t size, unsigned flags, int seals)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* As the library does it. */
static int make_segment(uint64_t size)
{
	int fd = make(size, 0, F_SEAL_SHRINK);
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct segment s;

	if (base == MAP_FAILED || segment_format(base, size, &s) < 0)
		return -1;
	munmap(base, size);
	return fd;
}

static int count_launchers_files(void)
{
	char path[64];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)getppid());
	dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n;
}

static void say_one(const char *what, int number)
{
	struct session_hello hello = {SESSION_MAGIC, 1 << 20};
	int files[FILES_MAX], n = 1;

	files[0] = open("/dev/null", O_RDONLY);
	if (strcmp(what, "two") == 0 || strcmp(what, "many") == 0) {
		n = strcmp(what, "two") == 0 ? 2 : FILES_MAX;
		close(files[0]);
		files[0] = make_segment(1 << 20);
		for (int i = 1; i < n; i++)
			files[i] = dup(files[0]);
	} else if (strcmp(what, "none") == 0) {
		close(files[0]);
		n = 0;
	} else if (strcmp(what, "short") == 0) {
		say(&hello, sizeof(hello) / 2, files, n);
		close(files[0]);
		return;
	} else if (strcmp(what, "text") == 0) {
		struct {
			struct session_hello hello;
			char text[4000];
		} told = {{SESSION_MAGIC, 0}, "\033[2Jgone\n\007"};

		memset(told.text + 10, 'x', sizeof(told.text) - 10);
		/* about a child, for it would be believed about itself */
		if (fork() == 0) {
			say(&told, sizeof(told), files, 0);
			_exit(0);
		}
		wait(NULL);
		close(files[0]);
		return;
	} else if (strcmp(what, "magic") == 0) {
		hello.magic = 0x4141414141414141;
	} else if (strcmp(what, "unsealed") == 0) {
		close(files[0]);
		files[0] = make(1 << 20, 0, F_SEAL_GROW);
	} else if (strcmp(what, "huge") == 0) {
		close(files[0]);
		hello.bytes = UINT64_C(1) << 41;
		files[0] = make(hello.bytes, 0, F_SEAL_SHRINK);
	} else if (strcmp(what, "lies") == 0) {
		close(files[0]);
		hello.bytes = 16 << 20;
		files[0] = make_segment(1 << 20);
	} else if (strcmp(what, "grown") == 0) {
		/* a right header over more bytes than it speaks of */
		close(files[0]);
		hello.bytes = 2 << 20;
		files[0] = make_segment(1 << 20);
		if (ftruncate(files[0], 2 << 20) < 0)
			perror("hostile: ftruncate");
	} else if (strcmp(what, "empty") == 0) {
		close(files[0]);
		files[0] = make(1 << 20, 0, F_SEAL_SHRINK);
	} else if (strcmp(what, "noise") == 0) {
		uint64_t *words;

		close(files[0]);
		files[0] = make(1 << 20, 0, F_SEAL_SHRINK);
		words = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, files[0], 0);
		for (int i = 0; i < 1 << 17; i++)
			words[i] = (uint64_t)(i + number) * UINT64_C(0x9e3779b97f4a7c15);
		munmap(words, 1 << 20);
	}
	say(&hello, sizeof(hello), files, n);
	while (n > 0)
		close(files[--n]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int times = argc > 2 ? atoi(argv[2]) : 20, before, after = 0;

	if (getenv(SESSION_VARIABLE) == NULL)
		return 77;
	usleep(300000); /* the launcher has this process by then */
	before = count_launchers_files();
	for (int i = 0; i < times; i++) {
		if (strcmp(what, "silent") == 0)
			call(); /* and nothing more: it stays open until this process ends */
		else
			say_one(what, i);
	}
	burn_a(200 * MS);
	for (int i = 0; i < 100; i++) { /* the launcher is awake now and then */
		after = count_launchers_files();
		if (after <= before)
			break;
		usleep(20000);
	}
	printf("{\"kept\": %d}\n",
	       after > before && strcmp(what, "silent") != 0 ? after - before : 0);
	return 5;
}
