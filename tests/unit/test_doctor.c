/* What cprof doctor reads in ELF files: whole, made by hand, damaged. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor_elf.h"
#include "tests/tap.h"
#include "tests/unit/elf_make.h"

#define PAGE 4096u

static void read_made(struct elf_make *m, uint32_t table, struct elf_traits *ret)
{
	int fd = elf_make_end(m, table, NULL);
	struct elf elf;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ok(elf_open(&elf, path, NULL) == 0, "a made file is opened");
	elf_traits_read(&elf, ret);
	elf_fini(&elf);
	close(fd);
}

static void test_whole(void)
{
	struct elf_traits t;
	struct elf elf;

	ok(elf_open(&elf, "/proc/self/exe", NULL) == 0, "this program is opened");
	elf_traits_read(&elf, &t);
	ok(t.has_sections && t.has_symtab, "it has symbols");
	ok(t.functions > 20, "and functions: %" PRIu64, t.functions);
	ok(t.has_cfi && t.has_cfi_table && t.rows > 20, "and a search table: %" PRIu64 " places",
	   t.rows);
	ok(t.looked_at > 0 && t.with_frame <= t.looked_at, "code was looked at");
	is_u64(t.allocator, ELF_MALLOC_OTHERS, "it has no allocator of its own");
	ok(elf_traits_needs(&t, "libc.so"), "it needs libc");
	ok(!elf_traits_needs(&t, "ibc.so") && !elf_traits_needs(&t, "libprofiler"),
	   "and nothing that it does not");
	ok(!t.is_go, "it is not Go's");
	elf_fini(&elf);
}

static void test_allocators(void)
{
	static struct elf_make m;
	struct elf_traits t;

	elf_make_begin(&m, ET_DYN, 0, 1);
	elf_make_symbol(&m, "malloc", STT_FUNC, STB_GLOBAL, 0, 0, 0);
	elf_make_symbol(&m, "main", STT_FUNC, STB_GLOBAL, MADE_TEXT, 0x1000, 64);
	read_made(&m, SHT_SYMTAB, &t);
	is_u64(t.allocator, ELF_MALLOC_OTHERS, "a malloc that is asked for is none of its own");
	is_u64(t.functions, 1, "nor is it one of its functions");

	elf_make_begin(&m, ET_DYN, 0, 1);
	elf_make_symbol(&m, "malloc", STT_FUNC, STB_LOCAL, MADE_TEXT, 0x1000, 64);
	elf_make_symbol(&m, "mallocx", STT_FUNC, STB_GLOBAL, MADE_TEXT, 0x1040, 64);
	read_made(&m, SHT_SYMTAB, &t);
	is_u64(t.allocator, ELF_MALLOC_PRIVATE, "one that is not exported is private");
	is_u64(t.functions, 2, "two functions");
	is_u64(t.looked_at, 0, "whose code is not in the file, so not looked at");
}

static void test_runtimes(void)
{
	static struct elf_make m;
	struct elf_traits t;

	elf_make_begin(&m, ET_DYN, 0, 1);
	elf_make_symbol(&m, "__tsan_init", STT_NOTYPE, STB_GLOBAL, 0, 0, 0);
	read_made(&m, SHT_SYMTAB, &t);
	is_str(t.sanitizer, "ThreadSanitizer", "a sanitizer that is asked for is built in");
	elf_make_begin(&m, ET_DYN, 0, 1);
	elf_make_symbol(&m, "__tsan_initial", STT_NOTYPE, STB_GLOBAL, 0, 0, 0);
	read_made(&m, SHT_SYMTAB, &t);
	ok(t.sanitizer == NULL, "a name that only begins like it is not");
}

/* xorshift: the same damage each time */
static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/*
 * The file ends at the end of a page, with nothing mapped behind: to read beyond it ends us. Damage goes where offsets are: the
 * header, the segments, the sections, and now and then anywhere.
 */
static void test_damaged(void)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
	    fd = memfd_create("elf", MFD_CLOEXEC);
	uint64_t state = 88172645463325252u, opened = 0;
	struct stat st;
	char path[64];
	uint8_t *whole;
	size_t size;

	fstat(from, &st);
	size = ((size_t)st.st_size + PAGE - 1) / PAGE * PAGE;
	whole = calloc(1, size);
	ok(pread(from, whole, (size_t)st.st_size, 0) == st.st_size, "this program is read");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (int round = 0; round < 1500; round++) {
		Elf64_Ehdr head;
		struct elf_traits t;
		struct elf elf;
		uint8_t *copy;
		size_t length = round % 5 == 0 ? size : PAGE * (1 + next(&state) % (size / PAGE));

		memcpy(&head, whole, sizeof(head));
		if (ftruncate(fd, (off_t)length) < 0)
			break;
		copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (copy == MAP_FAILED)
			break;
		memcpy(copy, whole, length);
		for (int i = 0; i < 1 + round % 6; i++) {
			uint64_t at = next(&state), where = next(&state) % 4;

			at = where == 0   ? 16 + at % (sizeof(head) - 16)
			     : where == 1 ? head.e_phoff + at % (head.e_phnum * sizeof(Elf64_Phdr))
			     : where == 2 ? head.e_shoff + at % (head.e_shnum * sizeof(Elf64_Shdr))
					  : at % length;
			if (at < length)
				copy[at] = (uint8_t)next(&state);
		}
		munmap(copy, length);
		if (elf_open(&elf, path, NULL) < 0)
			continue;
		opened++;
		elf_traits_read(&elf, &t);
		if (t.with_frame > t.looked_at || strlen(t.needed) >= sizeof(t.needed))
			ok(false, "round %d: nonsense", round);
		elf_fini(&elf);
	}
	ok(opened > 500, "damaged files were read: %" PRIu64, opened);
	free(whole);
	close(from);
	close(fd);
}

int main(void)
{
	plan_begin();
	test_whole();
	test_allocators();
	test_runtimes();
	test_damaged();
	return plan_end();
}
