#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "tracer/schedstat.h"

#define STATUS_MAX 4096 /* of which the switches are the last lines */

static char *put_text(char *to, const char *text)
{
	size_t length = strlen(text);

	memcpy(to, text, length + 1);
	return to + length;
}

static char *put_number(char *to, uint32_t number)
{
	char digits[10];
	int n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

/* /proc/PID/task/TID/NAME, all of it; its length, or a negative errno. */
static long read_file(pid_t pid, pid_t tid, const char *name, char *text, size_t size)
{
	char path[64], *p = put_text(path, "/proc/");
	size_t length = 0;
	long fd, n;

	p = pid > 0 ? put_number(p, (uint32_t)pid) : put_text(p, "self");
	p = put_number(put_text(p, "/task/"), (uint32_t)tid);
	put_text(put_text(p, "/"), name);
	fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	do {
		n = sys3(SYS_read, fd, text + length, size - 1 - length);
		length += n > 0 ? (size_t)n : 0;
	} while (n > 0 && length < size - 1);
	sys1(SYS_close, fd);
	text[length] = '\0';
	return n < 0 ? n : (long)length;
}

/* The number that comes next, digits after whatever else; false when there is none on this line. */
static bool take_number(const char **c, uint64_t *ret)
{
	uint64_t number = 0;

	while (**c != '\0' && **c != '\n' && (**c < '0' || **c > '9'))
		(*c)++;
	if (**c < '0' || **c > '9')
		return false;
	while (**c >= '0' && **c <= '9')
		number = number * 10 + (uint64_t)(*(*c)++ - '0');
	*ret = number;
	return true;
}

/* The number of the line that begins with @word. */
static bool find_number(const char *text, const char *word, uint64_t *ret)
{
	size_t length = strlen(word);

	for (const char *c = text; c != NULL && *c != '\0';) {
		if (memcmp(c, word, length) == 0 && c[length] == ':') {
			c += length;
			return take_number(&c, ret);
		}
		c = memchr(c, '\n', strlen(c));
		c += c != NULL;
	}
	return false;
}

SIGSAFE int sched_delta(pid_t pid, pid_t tid, struct sched_times *last, struct sched_times *ret)
{
	struct sched_times now = *last;
	char text[STATUS_MAX + 64];
	const char *c = text;
	long r;

	r = read_file(pid, tid, "schedstat", text, STATUS_MAX);
	if (r < 0)
		return (int)r;
	if (!take_number(&c, &now.ran_ns) || !take_number(&c, &now.waited_ns) ||
	    !take_number(&c, &now.slices))
		return -EPROTO;
	if (now.ran_ns == last->ran_ns && now.slices == last->slices)
		return 0;
	r = read_file(pid, tid, "status", text, STATUS_MAX);
	if (r < 0)
		return (int)r;
	memset(text + r, 0, 64); /* words may be compared beyond the end */
	if (!find_number(text, "voluntary_ctxt_switches", &now.voluntary) ||
	    !find_number(text, "nonvoluntary_ctxt_switches", &now.involuntary))
		return -EPROTO;
	*ret = (struct sched_times){
		.ran_ns = now.ran_ns - last->ran_ns,
		.waited_ns = now.waited_ns - last->waited_ns,
		.slices = now.slices - last->slices,
		.voluntary = now.voluntary - last->voluntary,
		.involuntary = now.involuntary - last->involuntary,
	};
	*last = now;
	return 1;
}
