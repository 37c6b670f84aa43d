/*
 * Plans that another process of the session has made of the same code.
 *
 * To look through the C library and its loader takes 1.6 of the 2.6 ms that a process takes longer to begin, and a build
 * begins thousands, each with the same two. A plan depends on the bytes of the code and on where its functions begin, on no
 * address: so the first one leaves it in the session's directory, in a file that is called after a hash of both.
 *
 * What is read is not believed: the file is this user's own, nobody else may write it, it is as long as it says, its bytes
 * have the sum that it says, and each plan is of a call that is there and covers no more than any plan would. Where one
 * thing is not so, and where there is no such file or no directory, the code is looked through.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tracer/syscalls/site.h"

#define MAGIC    "CPROFSP1" /* another number when plans mean something else */
#define REACH    64         /* bytes on either side of a call that a plan may cover */
#define NAME     "/plans-"
#define NAME_HEX 24

enum {
	IN_STUB = 1,
	LEAVE = 2,
	EXIT = 4,
	BEFORE = 8,
	AFTER = 16,
	INNER = 32,
	WORD = 64,
	FLAGS = 128
};

/* Offsets in the code. */
struct kept_plan {
	uint32_t syscall, before, after_end, flags;
};

static struct kept {
	struct kept_header {
		char magic[8];
		uint64_t hash, text_bytes;
		uint32_t wishes, count, found, left[SITES_LEFT_REASONS];
		uint64_t sum; /* of all that is here but this */
	} header;
	struct kept_plan plans[SITE_SLOTS];
} kept;

static struct site_plan plans[SITE_SLOTS];
static char directory[96];

void sites_keep_in(const char *path, size_t n)
{
	if (n > sizeof(directory) - sizeof(NAME) - NAME_HEX)
		n = 0;
	memcpy(directory, path, n);
	directory[n] = '\0';
}

static uint64_t turn(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum << 29 | sum >> 35;
}

/* Nobody is to be kept from making two that are alike: who may write here may do worse. */
static uint64_t hash(uint64_t sum, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	uint64_t lanes[4] = {sum, sum + 1, sum + 2, sum + 3}, words[4] = {0};

	for (size_t left = n; left > 0;) {
		size_t size = left < sizeof(words) ? left : sizeof(words);

		if (size < sizeof(words))
			memset(words, 0, sizeof(words));
		memcpy(words, at, size);
		for (unsigned i = 0; i < 4; i++)
			lanes[i] = turn(lanes[i], words[i]);
		at += size;
		left -= size;
	}
	sum = turn(sum, n);
	for (unsigned i = 0; i < 4; i++)
		sum = turn(sum, lanes[i]);
	return sum;
}

static uint64_t hash_of(const struct site_text *text)
{
	static const char version[] = MAGIC CPROF_VERSION;
	uint64_t sum = hash(0, version, sizeof(version));

	sum = hash(sum, text->start, (size_t)(text->end - text->start));
	/* where functions begin: the table that is searched */
	return hash(sum, (const void *)text->index, text->index_bytes);
}

static uint64_t sum_of(const struct kept *k)
{
	uint64_t sum = hash(0, &k->header, offsetof(struct kept_header, sum));

	return hash(sum, k->plans, k->header.count * sizeof(k->plans[0]));
}

static char *put_hex(char *at, uint64_t value, unsigned digits)
{
	while (digits-- > 0)
		*at++ = "0123456789abcdef"[value >> 4 * digits & 15];
	*at = '\0';
	return at;
}

static char *put_text(char *at, const char *text)
{
	size_t n = strlen(text);

	memcpy(at, text, n + 1);
	return at + n;
}

/* "DIRECTORY/plans-", hash, wishes. */
static char *put_path(char path[sizeof(directory)], uint64_t of, unsigned wishes)
{
	return put_hex(put_hex(put_text(put_text(path, directory), NAME), of, 16), wishes, 8);
}

static bool is_ours(int fd)
{
	struct stat st;

	return sys2(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_uid == (uid_t)sys1(SYS_geteuid, 0) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Where what it covers ends. */
static uint64_t end_of(const struct kept_plan *p)
{
	uint64_t end = p->after_end;

	if ((p->flags & BEFORE) && end < (uint64_t)p->before + SITE_JUMP_BYTES)
		end = (uint64_t)p->before + SITE_JUMP_BYTES;
	if ((p->flags & AFTER) && end < (uint64_t)p->syscall + 2 + SITE_JUMP_BYTES)
		end = (uint64_t)p->syscall + 2 + SITE_JUMP_BYTES;
	return end;
}

/* @from: where what the one before it covers ends. */
static bool is_plan(const struct site_text *text, const struct kept_plan *p, uint64_t from)
{
	return p->before >= from && p->before <= p->syscall && p->syscall - p->before <= REACH &&
	       p->after_end >= (uint64_t)p->syscall + 2 &&
	       p->after_end - (uint64_t)p->syscall <= REACH &&
	       end_of(p) <= (uint64_t)(text->end - text->start) &&
	       (p->flags & (BEFORE | AFTER)) != 0 && p->flags < 2 * FLAGS &&
	       memcmp(text->start + p->syscall, "\x0f\x05", 2) == 0;
}

static bool read_kept(const struct site_text *text, unsigned wishes, uint64_t of)
{
	struct kept_header *h = &kept.header;
	char path[sizeof(directory)];
	uint64_t from = 0;
	long fd, n;

	put_path(path, of, wishes);
	fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	n = is_ours((int)fd) ? sys3(SYS_read, fd, &kept, sizeof(kept)) : 0;
	sys1(SYS_close, fd);
	if (n < (long)sizeof(*h) || memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 ||
	    h->hash != of || h->text_bytes != (uint64_t)(text->end - text->start) ||
	    h->wishes != wishes || h->count > SITE_SLOTS ||
	    (size_t)n != sizeof(*h) + h->count * sizeof(kept.plans[0]) || h->sum != sum_of(&kept))
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		if (!is_plan(text, &kept.plans[i], from))
			return false;
		from = end_of(&kept.plans[i]);
	}
	return true;
}

static uint32_t take_kept(const struct site_text *text, struct sites_counts *counts)
{
	const struct kept_header *h = &kept.header;

	for (uint32_t i = 0; i < h->count; i++) {
		const struct kept_plan *p = &kept.plans[i];

		plans[i] = (struct site_plan){
			.syscall = text->start + p->syscall,
			.before = text->start + p->before,
			.after_end = text->start + p->after_end,
			.is_in_stub = p->flags & IN_STUB,
			.has_leave = p->flags & LEAVE,
			.is_exit = p->flags & EXIT,
			.has_patch_before = p->flags & BEFORE,
			.has_patch_after = p->flags & AFTER,
			.has_inner_starts = p->flags & INNER,
			.is_one_word = p->flags & WORD,
			.needs_flags = p->flags & FLAGS,
		};
	}
	counts->found += h->found;
	for (unsigned i = 0; i < SITES_LEFT_REASONS; i++)
		counts->left[i] += h->left[i];
	return h->count;
}

/* To write beyond RLIMIT_FSIZE would end the host by SIGXFSZ. */
static bool may_write(size_t bytes)
{
	struct rlimit limit;

	return sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 && limit.rlim_cur >= bytes;
}

/* Whole or not at all: several may be at it at once, and somebody may read it. */
static void write_kept(uint64_t of, unsigned wishes)
{
	size_t bytes = sizeof(kept.header) + kept.header.count * sizeof(kept.plans[0]);
	char path[sizeof(directory)], own[sizeof(directory)];
	long fd, n;

	if (!may_write(bytes))
		return;
	put_path(path, of, wishes);
	put_hex(put_text(put_text(own, directory), NAME), (uint64_t)sys1(SYS_getpid, 0), 8);
	fd = sys4(SYS_openat, AT_FDCWD, own, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return;
	n = sys3(SYS_write, fd, &kept, bytes);
	sys1(SYS_close, fd);
	if (n != (long)bytes || sys4(SYS_renameat, AT_FDCWD, own, AT_FDCWD, path) < 0)
		sys3(SYS_unlinkat, AT_FDCWD, own, 0);
}

static void keep(const struct site_text *text, unsigned wishes, uint64_t of,
		 const struct sites_counts *found, const struct site_plan *made, uint32_t count)
{
	struct kept_header *h = &kept.header;

	*h = (struct kept_header){.magic = MAGIC,
				  .hash = of,
				  .text_bytes = (uint64_t)(text->end - text->start),
				  .wishes = wishes,
				  .count = count,
				  .found = found->found};
	memcpy(h->left, found->left, sizeof(h->left));
	for (uint32_t i = 0; i < count; i++) {
		const struct site_plan *p = &made[i];

		kept.plans[i] = (struct kept_plan){
			.syscall = (uint32_t)(p->syscall - text->start),
			.before = (uint32_t)(p->before - text->start),
			.after_end = (uint32_t)(p->after_end - text->start),
			.flags = (p->is_in_stub ? IN_STUB : 0u) | (p->has_leave ? LEAVE : 0u) |
				 (p->is_exit ? EXIT : 0u) | (p->has_patch_before ? BEFORE : 0u) |
				 (p->has_patch_after ? AFTER : 0u) |
				 (p->has_inner_starts ? INNER : 0u) | (p->is_one_word ? WORD : 0u) |
				 (p->needs_flags ? FLAGS : 0u),
		};
	}
	h->sum = sum_of(&kept);
	write_kept(of, wishes);
}

uint32_t site_plan_all(const struct site_text *text, unsigned wishes, struct sites_counts *counts,
		       const struct site_plan **ret)
{
	struct sites_counts found = {0};
	uint32_t count;
	uint64_t of;

	if (directory[0] == '\0' || (wishes & SITE_IS_RUNNING) || text->index_bytes == 0 ||
	    text->end - text->start > SITE_TEXT_BYTES)
		return site_find(text, wishes, counts, ret);
	of = hash_of(text);
	if (read_kept(text, wishes, of)) {
		*ret = plans;
		return take_kept(text, counts);
	}
	count = site_find(text, wishes, &found, ret);
	counts->found += found.found;
	for (unsigned i = 0; i < SITES_LEFT_REASONS; i++)
		counts->left[i] += found.left[i];
	keep(text, wishes, of, &found, *ret, count);
	return count;
}
