/*
 * Names of run-time compiled code, out of /tmp/perf-PID.map: lines of START SIZE NAME, the numbers
 * in hex. A method compiled again at the same place is written again below, so later lines win.
 *
 * The directory is everybody's: only a regular file of ours, or of root, that is no link is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hex.h"
#include "output/symbols.h"
#include "output/symbols_jit.h"

#define MAP_BYTES_MAX (256 << 20) /* 2 million methods; a JVM after days writes some 10 MB */
#define NAME_BYTES    512
#define OVERLAP_MAX   4096 /* times that one place was compiled */

struct symbols_jit {
	char *text;
	struct spans spans; /* what: where in text the name is */
};

static int parse_hex(const char **p, const char *end, uint64_t *ret)
{
	uint64_t value = 0;
	int digits = 0, d;

	if (end - *p > 2 && (*p)[0] == '0' && ((*p)[1] == 'x' || (*p)[1] == 'X'))
		*p += 2;
	for (; *p < end; (*p)++, digits++) {
		d = hex_digit(**p);
		if (d < 0)
			break;
		if (digits == 16)
			return -EINVAL;
		value = value << 4 | (uint64_t)d;
	}
	if (digits == 0 || *p == end || **p != ' ')
		return -EINVAL;
	while (*p < end && **p == ' ')
		(*p)++;
	*ret = value;
	return 0;
}

/* Lines that cannot be read are left out: the program may be writing the last one. */
static int parse_map(struct symbols_jit *jit, size_t size)
{
	char *end = jit->text + size, *newline;
	const char *p;
	uint64_t start, length;
	uint32_t number = 0;

	for (char *line = jit->text; line < end; line = newline + 1, number++) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (newline == NULL)
			break;
		*newline = '\0';
		p = line;
		if (parse_hex(&p, newline, &start) < 0 || parse_hex(&p, newline, &length) < 0 ||
		    p == newline || length == 0 || start + length < start)
			continue;
		if (newline - p > NAME_BYTES)
			line[p - line + NAME_BYTES] = '\0';
		if (spans_add(&jit->spans, start, start + length, (uint32_t)(p - jit->text),
			      number) < 0)
			return -ENOMEM;
	}
	return spans_sort(&jit->spans);
}

struct symbols_jit *jit_open(int pid, struct why *why)
{
	char path[64];
	struct symbols_jit *jit = NULL;
	struct stat st;
	size_t used = 0;
	ssize_t n = 1;
	int fd;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		why_set(why, "%s: %s", path,
			errno == ELOOP ? "is a symbolic link, not followed" : strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (st.st_uid != geteuid() && st.st_uid != 0)) {
		why_set(why, "%s: not a regular file of this user or of root", path);
		goto out;
	}
	if (st.st_size > MAP_BYTES_MAX) {
		why_set(why, "%s: %lld bytes, more than the %d that are read", path,
			(long long)st.st_size, MAP_BYTES_MAX);
		goto out;
	}
	jit = calloc(1, sizeof(*jit));
	if (jit != NULL)
		jit->text = malloc((size_t)st.st_size + 1);
	if (jit == NULL || jit->text == NULL)
		goto fail;
	while (used < (size_t)st.st_size && n > 0) {
		n = read(fd, jit->text + used, (size_t)st.st_size - used);
		used += n > 0 ? (size_t)n : 0;
	}
	if (parse_map(jit, used) == 0)
		goto out;

fail:
	why_set(why, "%s: out of memory", path);
	jit_close(jit);
	jit = NULL;
out:
	close(fd);
	return jit;
}

void jit_close(struct symbols_jit *jit)
{
	if (jit == NULL)
		return;
	spans_fini(&jit->spans);
	free(jit->text);
	free(jit);
}

/* Of all that hold the address the last one written is right, wherever it starts. */
const char *symbols_jit_lookup(const struct symbols_jit *jit, uint64_t address)
{
	const struct span *best = NULL;
	uint32_t at = UINT32_MAX;

	if (jit == NULL)
		return NULL;
	for (int i = 0;
	     i < OVERLAP_MAX && (at = spans_find(&jit->spans, address, at)) != UINT32_MAX; i++)
		if (best == NULL || jit->spans.v[at].rank > best->rank)
			best = &jit->spans.v[at];
	return best != NULL ? jit->text + best->what : NULL;
}
