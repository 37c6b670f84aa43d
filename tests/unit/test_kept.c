/*
 * tracer/syscalls/kept_sig.c: plans that another process has made are those that would be made; what is no such file is not
 * believed. The file is included: a forger has its sum, too.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/modules.h"
#include "tests/tap.h"
#include "tracer/syscalls/kept_sig.c" /* NOLINT: what is private to it is what a forger would know */

static struct site_text text; /* the C library's */
static struct site_plan wanted[SITE_SLOTS];
static struct sites_counts wanted_counts;
static uint32_t wanted_n;
static char place[64], file[128];

static int find_libc(struct dl_phdr_info *info, size_t size, void *user)
{
	const uint8_t *inside = (const uint8_t *)dlsym(RTLD_NEXT, "getppid");

	(void)size;
	(void)user;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const uint8_t *start = (const uint8_t *)(info->dlpi_addr + ph->p_vaddr);

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && inside >= start &&
		    inside < start + ph->p_filesz) {
			text.start = start;
			text.end = start + ph->p_filesz;
		}
	}
	for (unsigned i = 0; i < info->dlpi_phnum && text.start != NULL && text.index == 0; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_GNU_EH_FRAME)
			continue;
		text.index = at;
		text.index_bytes = ph->p_memsz;
		text.tables.bias = info->dlpi_addr;
		text.tables.cfi_header = at;
		for (unsigned k = 0; k < info->dlpi_phnum; k++) {
			const ElfW(Phdr) *load = &info->dlpi_phdr[k];
			uintptr_t start = info->dlpi_addr + load->p_vaddr;

			if (load->p_type == PT_LOAD && at >= start && at - start < load->p_filesz) {
				text.tables.readable_start = start;
				text.tables.readable_end = start + load->p_filesz;
			}
		}
	}
	return text.start != NULL;
}

static bool is_same_plan(const struct site_plan *a, const struct site_plan *b)
{
	return a->syscall == b->syscall && a->before == b->before && a->after_end == b->after_end &&
	       a->is_in_stub == b->is_in_stub && a->has_leave == b->has_leave &&
	       a->is_exit == b->is_exit && a->has_patch_before == b->has_patch_before &&
	       a->has_patch_after == b->has_patch_after &&
	       a->has_inner_starts == b->has_inner_starts && a->is_one_word == b->is_one_word &&
	       a->needs_flags == b->needs_flags;
}

/* What the next process would do is what would be found. *ret_was_read: out of the file. */
static bool is_right(bool *ret_was_read)
{
	struct sites_counts counts = {0};
	const struct site_plan *got;
	uint32_t n;

	n = site_plan_all(&text, 0, &counts, &got);
	*ret_was_read = got == plans;
	if (n != wanted_n || memcmp(&counts, &wanted_counts, sizeof(counts)) != 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!is_same_plan(&got[i], &wanted[i]))
			return false;
	return true;
}

static unsigned files_in(void)
{
	DIR *d = opendir(place);
	const struct dirent *entry;
	unsigned n = 0;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%.60s", place, entry->d_name);
		n++;
	}
	if (d != NULL)
		closedir(d);
	return n;
}

static void write_file(const struct kept *k, size_t bytes)
{
	FILE *f = fopen(file, "w");

	fwrite(k, 1, bytes, f);
	fclose(f);
	chmod(file, 0600);
}

static void test_kept(void)
{
	const struct site_plan *found;
	struct rlimit before, limit;
	bool was_read;

	wanted_n = site_find(&text, 0, &wanted_counts, &found);
	memcpy(wanted, found, wanted_n * sizeof(*found));
	ok(wanted_n > 300, "%u sites in the C library", wanted_n);
	ok(is_right(&was_read) && !was_read, "without a directory they are found");
	sites_keep_in(place, strlen(place));
	ok(is_right(&was_read) && !was_read && files_in() == 1, "the first one leaves a file");
	ok(is_right(&was_read) && was_read, "the second one reads it, and has the same");
	ok(is_right(&was_read) && was_read && files_in() == 1, "and leaves nothing else");
	unlink(file);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 4096; /* SIGXFSZ would end this */
	setrlimit(RLIMIT_FSIZE, &limit);
	ok(is_right(&was_read) && !was_read && files_in() == 0, "no file beyond a limit on files");
	setrlimit(RLIMIT_FSIZE, &before);
	ok(is_right(&was_read) && !was_read && files_in() == 1, "without it again");
	sites_keep_in("/nonexistent/place", 18);
	ok(is_right(&was_read) && !was_read, "a directory that is not there");
	sites_keep_in(place, strlen(place));
}

static void test_others_files(void)
{
	char other[160];
	bool was_read;

	chmod(file, 0622);
	ok(is_right(&was_read) && !was_read, "not one that others may write");
	files_in();
	snprintf(other, sizeof(other), "%s-other", place);
	rename(file, other);
	ok(symlink(other, file) == 0 && is_right(&was_read) && !was_read, "not by a link");
	unlink(other);
	if (geteuid() == 0) {
		files_in();
		ok(is_right(&was_read) && was_read && chown(file, 1, 1) == 0 &&
			   is_right(&was_read) && !was_read,
		   "not another user's");
	} else {
		skip("not root: a file of another user");
	}
}

/* Cut, damaged, and forged with the right sum. */
static void test_hostile(void)
{
	struct kept good, bad;
	size_t bytes = sizeof(good.header) + wanted_n * sizeof(good.plans[0]);
	unsigned wrong = 0, believed = 0, forged = 0;
	uint64_t x = 88172645463325252u;
	bool was_read;

	files_in();
	unlink(file);
	is_right(&was_read);
	ok(is_right(&was_read) && was_read && files_in() == 1, "a good one again");
	good = kept;
	for (int i = 0; i < 300; i++) {
		size_t at, n = bytes;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		bad = good;
		at = x % bytes;
		if (i % 3 == 0)
			n = at;
		else
			((uint8_t *)&bad)[at] ^= (uint8_t)(1 + (x >> 40) % 255);
		write_file(&bad, n);
		wrong += !is_right(&was_read);
		believed += was_read;
	}
	is_u64(wrong, 0, "300 that are damaged or cut: always what is right");
	is_u64(believed, 0, "none is believed");
	for (int i = 0; i < 3000; i++) {
		struct kept_plan *p;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		bad = good;
		p = &bad.plans[1 + x % (wanted_n - 2)];
		switch (x >> 20 & 7) {
		case 0:
			p->syscall += 1 + (uint32_t)(x >> 32) % 4096;
			break;
		case 1:
			p->syscall = (uint32_t)(x >> 32);
			p->before = p->syscall;
			p->after_end = p->syscall + 2;
			break;
		case 2:
			p->before = (uint32_t)(x >> 32);
			break;
		case 3:
			p->after_end = (uint32_t)(x >> 32);
			break;
		case 4:
			p->flags |= 256u << (x >> 32 & 15);
			break;
		case 5:
			p->flags &= ~(uint32_t)(BEFORE | AFTER);
			break;
		case 6:
			p[0] = p[1 - (int)(x >> 32 & 2)];
			break;
		case 7:
			bad.header.count += 1 + (uint32_t)(x >> 32);
			break;
		}
		if (memcmp(&bad, &good, bytes) == 0)
			continue;
		bad.header.sum = bad.header.count <= SITE_SLOTS ? sum_of(&bad) : 0;
		write_file(&bad, bytes);
		forged++;
		/* what it says may be wrong, but not lie outside the code, or over another */
		if (!read_kept(&text, 0, good.header.hash))
			continue;
		for (uint32_t k = 0; k < kept.header.count; k++) {
			const struct kept_plan *q = &kept.plans[k];

			wrong += end_of(q) > (uint64_t)(text.end - text.start) ||
				 (k > 0 && q->before < end_of(q - 1)) ||
				 memcmp(text.start + q->syscall, "\x0f\x05", 2) != 0;
		}
	}
	is_u64(wrong, 0, "%u that are forged lead nowhere else", forged);
	unlink(file);
}

int main(void)
{
	void *scratch = calloc(1, site_scratch_bytes());

	plan_begin();
	strcpy(place, "/tmp/cprof-kept-XXXXXX");
	if (mkdtemp(place) == NULL || scratch == NULL)
		return 99;
	site_use_scratch(scratch);
	dl_iterate_phdr(find_libc, NULL);
	test_kept();
	test_others_files();
	test_hostile();
	rmdir(place);
	ok(access(place, F_OK) < 0, "nothing is left");
	free(scratch);
	return plan_end();
}
