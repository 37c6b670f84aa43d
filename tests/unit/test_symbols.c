/*
 * output/symbols on this program itself, whose functions and lines are known, on files made from
 * it, and on thousands of broken ones. Built with -g and -O2; what needs libdw is skipped where it
 * is not there.
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/demangle.h"
#include "output/symbols.h"
#include "output/symbols_dw.h"
#include "output/symbols_elf.h"
#include "output/symbols_spans.h"
#include "tests/tap.h"

#define MUTATIONS 4000

#if defined(__x86_64__)
#define HERE(pc) __asm__ volatile("lea 0f(%%rip), %0\n0: nop" : "=r"(pc))
#else
#define HERE(pc) __asm__ volatile("adr %0, ." : "=r"(pc))
#endif

static int line_inner, line_call_inner, line_call_middle, line_start_outer;

__attribute__((always_inline)) static inline uint64_t inner(void)
{
	uint64_t pc;

	line_inner = __LINE__ + 1;
	HERE(pc);
	return pc;
}

__attribute__((always_inline)) static inline uint64_t middle(void)
{
	line_call_inner = __LINE__ + 1;
	return inner() + 0;
}

__attribute__((noinline)) static uint64_t outer(void)
{
	line_start_outer = __LINE__ - 2;
	line_call_middle = __LINE__ + 1;
	return middle() + 0;
}

static const char *self = "/proc/self/exe";
static uint8_t *image; /* of this program's file */
static size_t image_size;

static int note_bias(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(uint64_t *)data = info->dlpi_addr;
	return 1; /* the first one is the program */
}

static uint64_t bias(void)
{
	uint64_t b = 0;

	dl_iterate_phdr(note_bias, &b);
	return b;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool has_dwarf(void)
{
	struct why why = {0};

	return dw_load(&why) == 0;
}

static void test_self(void)
{
	struct symbols_frame f[8];
	struct symbols_module *m;
	struct symbols *s;
	struct why why;
	uint64_t pc = outer() - bias();
	int n;

	is_u64(symbols_create(&s), 0, "create");
	m = symbols_module(s, self, NULL, 0, &why);
	if (!ok(m != NULL, "this program is a module")) {
		note("%s", why.text);
		exit(1);
	}
	ok(symbols_module_kind(m).has_functions, "it has functions");
	if (!has_dwarf()) {
		skip("no libdw: %s", why.text);
		is_u64(symbols_lookup(m, pc, f, 8), 1, "one frame from the symbol table");
		is_str(f[0].name, "outer", "its name");
		symbols_destroy(s);
		return;
	}
	ok(symbols_module_kind(m).has_lines && symbols_module_kind(m).has_inlines,
	   "it has lines and inlined calls");
	for (int round = 0; round < 2; round++) {
		n = symbols_lookup(m, pc, f, 8);
		is_u64(n, 3, "three frames, %s", round == 0 ? "read" : "remembered");
		if (n != 3)
			continue;
		is_str(f[0].name, "inner", "innermost first");
		is_str(f[1].name, "middle", "then its caller");
		is_str(f[2].name, "outer", "the function itself last");
		is_u64(f[0].line, line_inner, "line of the place");
		is_u64(f[1].line, line_call_inner, "line of the inner call");
		is_u64(f[2].line, line_call_middle, "line of the outer call");
		is_u64(f[2].start_line, line_start_outer, "line where the function starts");
		is_str(base_name(f[2].file), base_name(__FILE__), "file");
	}
	is_u64(symbols_lookup(m, pc, f, 1), 1, "no more frames than asked for");
	is_u64(symbols_lookup(m, pc, f, 0), 0, "not even one");
	is_u64(symbols_lookup(m, 1, f, 8), 0, "nothing below the program");
	is_u64(symbols_lookup(m, UINT64_MAX, f, 8), 0, "nothing at the end of the world");
	ok(symbols_module(s, self, NULL, 0, &why) == m, "the same module again");
	symbols_destroy(s);
}

/* There is no more time: nothing new is read, and what is known is. */
static void test_end(void)
{
	_Atomic bool should_end = true;
	struct symbols_frame f[8];
	struct symbols_module *m;
	struct symbols *s;
	struct why why;
	uint64_t pc = outer() - bias(), other = (uintptr_t)test_self - bias();
	int n;

	is_u64(symbols_create(&s), 0, "create");
	symbols_end_by(s, &should_end);
	ok(symbols_module(s, self, NULL, 0, &why) == NULL && why.text[0] != '\0',
	   "no time for a module: %s", strrchr(why.text, ':'));
	should_end = false;
	m = symbols_module(s, self, NULL, 0, &why);
	if (!ok(m != NULL, "there is time"))
		return;
	n = symbols_lookup(m, pc, f, 8);
	ok(n > 0, "for a name");
	should_end = true;
	ok(symbols_module(s, self, NULL, 0, &why) == m, "a module that is known");
	is_u64(symbols_lookup(m, pc, f, 8), n, "and a name");
	is_u64(symbols_lookup(m, other, f, 8), 0, "but no other");
	should_end = false;
	ok(symbols_lookup(m, other, f, 8) > 0 && strcmp(f[0].name, "test_self") == 0,
	   "which is there when there is time again");
	symbols_destroy(s);
}

static void test_build_id(void)
{
	static const uint8_t other[20] = {0xab, 0xcd, 0x01};
	struct symbols_module *m;
	struct symbols *s;
	struct elf elf;
	struct why why = {0};

	symbols_create(&s);
	is_u64(elf_open(&elf, self, &why), 0, "open this program");
	if (elf.build_id == NULL) {
		skip("this program has no build id");
	} else {
		ok(symbols_module(s, self, elf.build_id, elf.build_id_size, &why) != NULL,
		   "its own build id");
		m = symbols_module(s, self, other, sizeof(other), &why);
		ok(m == NULL && strstr(why.text, "abcd01") != NULL, "another build id: %s",
		   why.text);
		m = symbols_module(s, self, other, sizeof(other), &why);
		ok(m == NULL && strstr(why.text, "abcd01") != NULL, "and asked again");
	}
	elf_fini(&elf);
	ok(symbols_module(s, "/nonexistent/file", NULL, 0, &why) == NULL && why.text[0] != '\0',
	   "no file: %s", why.text);
	ok(symbols_module(s, "/tmp", NULL, 0, &why) == NULL && why.text[0] != '\0',
	   "a directory: %s", why.text);
	ok(symbols_module(s, "/dev/null", NULL, 0, &why) == NULL && why.text[0] != '\0',
	   "a device: %s", why.text);
	ok(symbols_module(s, __FILE__, NULL, 0, &why) == NULL && why.text[0] != '\0',
	   "no ELF file: %s", why.text);
	symbols_destroy(s);
}

/* A file with the given bytes and no name. */
static int make_file(const uint8_t *bytes, size_t size, char *path, size_t path_size)
{
	int fd = memfd_create("symbols", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
		perror("memfd");
		exit(1);
	}
	snprintf(path, path_size, "/proc/self/fd/%d", fd);
	return fd;
}

static void test_symbol_table_only(void)
{
	struct symbols_frame f[8];
	struct symbols_module *m;
	struct symbols *s;
	struct why why;
	uint8_t *copy = malloc(image_size), *name;
	char path[64];
	int fd, n;

	memcpy(copy, image, image_size);
	while ((name = memmem(copy, image_size, ".debug_", 7)) != NULL)
		name[1] = 'x';
	fd = make_file(copy, image_size, path, sizeof(path));
	symbols_create(&s);
	m = symbols_module(s, path, NULL, 0, &why);
	ok(m != NULL, "a program without DWARF");
	if (m != NULL) {
		ok(!symbols_module_kind(m).has_lines, "has no lines");
		n = symbols_lookup(m, outer() - bias(), f, 8);
		is_u64(n, 1, "one frame from the symbol table");
		is_str(n == 1 ? f[0].name : "", "outer", "its name");
		is_str(n == 1 ? f[0].file : "?", "", "no file");
	}
	symbols_destroy(s);
	close(fd);
	free(copy);
}

static void test_libc(void)
{
	struct symbols_frame f[8];
	struct symbols_module *m;
	struct symbols *s;
	struct elf elf;
	struct elf_section plt;
	struct why why = {0};
	Dl_info info;
	int n, stubs = 0, named = 0;

	/* The address of qsort is no stub's: it is taken from the library itself. */
	if (dladdr(dlsym(RTLD_DEFAULT, "qsort"), &info) == 0 || info.dli_saddr == NULL) {
		skip("linked statically");
		return;
	}
	symbols_create(&s);
	m = symbols_module(s, info.dli_fname, NULL, 0, &why);
	ok(m != NULL, "libc: %s", info.dli_fname);
	if (m != NULL) {
		n = symbols_lookup(m, (uint64_t)info.dli_saddr - (uint64_t)info.dli_fbase, f, 8);
		is_str(n > 0 ? f[n - 1].name : "", "qsort", "a function that is exported");
	}
	if (m != NULL && elf_open(&elf, info.dli_fname, &why) == 0) {
		if (elf.header.e_machine == EM_X86_64 && elf_section_named(&elf, ".plt", &plt)) {
			for (uint64_t at = 16; at + 16 <= plt.header.sh_size; at += 16, stubs++) {
				n = symbols_lookup(m, plt.header.sh_addr + at, f, 8);
				named += n == 1 && strstr(f[0].name, "@plt") != NULL;
			}
			ok(named * 2 >= stubs, "%d of %d stubs of libc have names", named, stubs);
		} else {
			skip("no stubs here");
		}
		elf_fini(&elf);
	}
	symbols_destroy(s);
}

static void test_vdso(void)
{
	struct symbols_frame f[8];
	struct symbols_module *m;
	struct symbols *s;
	struct why why;
	void *handle = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
	void *clock = handle != NULL ? dlsym(handle, "__vdso_clock_gettime") : NULL;
	int n;

	if (clock == NULL) {
		skip("no vdso to look at");
		return;
	}
	symbols_create(&s);
	m = symbols_module(s, "[vdso]", NULL, 0, &why);
	ok(m != NULL, "the vdso is a module");
	if (m != NULL) {
		n = symbols_lookup(m, (uint64_t)clock - getauxval(AT_SYSINFO_EHDR) + 1, f, 8);
		is_str(n == 1 ? f[0].name : "", "clock_gettime", "its function");
	}
	symbols_destroy(s);
}

static void write_map(const char *path, const char *text)
{
	FILE *out;

	unlink(path);
	out = fopen(path, "w");
	if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0) {
		perror(path);
		exit(1);
	}
}

static void test_jit(void)
{
	const struct symbols_jit *jit;
	struct symbols *s;
	struct why why = {0};
	char path[64], other[64];
	int pid = getpid();

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	snprintf(other, sizeof(other), "/tmp/perf-%d.map.other", pid);
	symbols_create(&s);
	unlink(path);
	ok(symbols_jit(s, pid, &why) == NULL && why.text[0] != '\0', "no map: %s", why.text);
	write_map(path, "1000 100 first method\n2000 80 "
			"LFoo;::bar(I)V\nnonsense\n10000000000000000 1 too long\n"
			"3000 0 empty\nffffffffffffffff 20 round the end\n1080 40 compiled "
			"again\n0x5000 0x10 prefixed\n"
			"6000 10 unfinished");
	jit = symbols_jit(s, pid, &why);
	if (ok(jit != NULL, "a map")) {
		is_str(symbols_jit_lookup(jit, 0x1000), "first method",
		       "first address, a name with a space");
		is_str(symbols_jit_lookup(jit, 0x1080), "compiled again", "the later entry wins");
		is_str(symbols_jit_lookup(jit, 0x10c0), "first method",
		       "behind it the earlier one is back");
		is_str(symbols_jit_lookup(jit, 0x207f), "LFoo;::bar(I)V", "last address");
		ok(symbols_jit_lookup(jit, 0x2080) == NULL, "behind the last");
		ok(symbols_jit_lookup(jit, 0x3000) == NULL, "an empty method is nowhere");
		is_str(symbols_jit_lookup(jit, 0x5001), "prefixed", "0x is taken too");
		ok(symbols_jit_lookup(jit, 0x6000) == NULL, "a line that is not finished");
		ok(symbols_jit_lookup(jit, UINT64_MAX) == NULL, "the last address of all");
	}
	write_map(other, "1000 100 stolen\n");
	unlink(path);
	ok(symlink(other, path) == 0 && symbols_jit(s, pid, &why) == NULL, "a link is refused: %s",
	   why.text);
	unlink(path);
	ok(mkfifo(path, 0600) == 0 && symbols_jit(s, pid, &why) == NULL, "a pipe is refused: %s",
	   why.text);
	unlink(path);
	unlink(other);
	ok(symbols_jit_lookup(NULL, 1) == NULL, "no map has no names");
	symbols_destroy(s);
}

/* What go tool pprof shows for these, made with Go 1.19's. */
static const struct {
	const char *mangled, *readable;
} names[] = {
	{"main", "main"},
	{"_start", "_start"},
	{"foo.part.0", "foo.part.0"},
	{"_ZN2ns1CIiE1fEi", "ns::C::f"},
	{"_ZN2ns1CIiE1fEi.part.0", "ns::C::f"},
	{"_ZN2ns1CIiE1fEi.isra.0.cold", "ns::C::f"},
	{"_ZN2ns1CIiE1fEi.llvm.1234567890", "ns::C::f"},
	{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector::push_back"},
	{"_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc", "std::operator<<"},
	{"_ZStltIcSt11char_traitsIcESaIcEEbRKNSt7__cxx1112basic_stringIT_T0_T1_EESA_",
	 "std::operator<"},
	{"_ZN1AptEv", "A::operator->"},
	{"_ZN1AclEi", "A::operator()"},
	{"_ZN1AixEi", "A::operator[]"},
	{"_ZN1AgtERKS_", "A::operator>"},
	{"_ZN1ArsIiEERS_T_", "A::operator>>"},
	{"_ZN1AssIiEEbT_", "A::operator<=>"},
	{"_ZSteqIcEbRKSaIT_ES3_", "std::operator=="},
	{"_ZN1AcvSt6vectorIiSaIiEEEv", "A::operator std::vector"},
	{"_ZN1AcvbEv", "A::operator bool"},
	{"_Znwm", "operator new"},
	{"_ZdaPv", "operator delete[]"},
	{"_ZN12_GLOBAL__N_13fooEi", "(anonymous namespace)::foo"},
	{"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()"},
	{"_ZN3FooC1ERKSs", "Foo::Foo"},
	{"_ZN3FooIiED0Ev", "Foo::~Foo"},
	{"_ZTV3Foo", "vtable for Foo"},
	{"_ZThn8_N1A1fEi", "non-virtual thunk to A::f(int)"},
	{"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"},
	{"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
	{"_Z", "_Z"},
	{"_ZN", "_ZN"},
	{"_R", "_R"},
	{"", ""},
};

static void test_demangle(void)
{
	char out[4096], hostile[20000];
	struct symbols *s;
	size_t n;

	symbols_create(&s);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		is_str(symbols_demangle(s, names[i].mangled), names[i].readable, "name %s",
		       names[i].mangled);
	ok(symbols_demangle(s, "_ZN2ns1CIiE1fEi") == symbols_demangle(s, "_ZN2ns1CIiE1fEi"),
	   "made once");
	symbols_destroy(s);

	/* Each step says all before it twice. */
	n = (size_t)snprintf(hostile, sizeof(hostile), "_Z1fSt4pairIiiE");
	for (int i = 0; i < 60; i++)
		n += (size_t)snprintf(hostile + n, sizeof(hostile) - n, "St4pairIS%c_S%c_E",
				      i < 10 ? '0' + i : 'A' + i % 26,
				      i < 10 ? '0' + i : 'A' + i % 26);
	demangle(hostile, out, sizeof(out));
	memset(hostile, 'P', sizeof(hostile) - 1);
	memcpy(hostile, "_Z1f", 4);
	hostile[8000] = '\0';
	demangle(hostile, out, sizeof(out));
	hostile[8000] = 'P';
	hostile[sizeof(hostile) - 1] = '\0';
	is_u64(demangle(hostile, out, sizeof(out)), 0, "too long to be a name");
	memset(hostile, 'F', 8000);
	memcpy(hostile, "_Z1f", 4);
	hostile[8000] = '\0';
	demangle(hostile, out, sizeof(out));
	is_u64(demangle("_ZN2ns1CIiE1fEi", out, 4), 0, "no room");
	ok(true, "hostile names are survived");
}

static void test_spans(void)
{
	struct spans s = {0};

	spans_add(&s, 10, 80, 1, 0);
	spans_add(&s, 20, 25, 2, 0);
	spans_add(&s, 30, 40, 3, 0);
	spans_add(&s, 90, 99, 4, 0);
	spans_sort(&s);
	is_u64(s.v[spans_find(&s, 50, UINT32_MAX)].what, 1, "below two that are too short");
	is_u64(s.v[spans_find(&s, 22, UINT32_MAX)].what, 2, "the nested one");
	is_u64(s.v[spans_find(&s, 22, spans_find(&s, 22, UINT32_MAX))].what, 1,
	       "and the one around it");
	is_u64(spans_find(&s, 80, UINT32_MAX), UINT32_MAX, "in a gap");
	is_u64(spans_find(&s, 9, UINT32_MAX), UINT32_MAX, "before all");
	is_u64(spans_find(&s, 99, UINT32_MAX), UINT32_MAX, "behind all");
	spans_fini(&s);
	is_u64(spans_find(&s, 1, UINT32_MAX), UINT32_MAX, "in none");
}

static uint64_t random_state = 20240607;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Opens a broken file and asks for a few places: any answer is right, as long as there is one. */
static void look_at_broken(const uint8_t *bytes, size_t size)
{
	struct symbols_frame f[8];
	struct symbols_module *m;
	struct symbols *s;
	struct why why;
	char path[64];
	int fd = make_file(bytes, size, path, sizeof(path));
	uint64_t pc = outer() - bias();

	symbols_create(&s);
	m = symbols_module(s, path, NULL, 0, &why);
	if (m != NULL) {
		for (int i = -4; i < 4; i++)
			symbols_lookup(m, pc + (uint64_t)(int64_t)i * 64, f, 8);
		symbols_lookup(m, next_random() % (2 * image_size), f, 8);
	}
	symbols_destroy(s);
	close(fd);
}

static void test_broken(void)
{
	uint8_t *copy = malloc(image_size);
	Elf64_Ehdr h;
	size_t size, at, room;

	memcpy(&h, image, sizeof(h));
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(copy, image, image_size);
		size = image_size;
		switch (i % 4) {
		case 0: /* cut */
			size = next_random() % image_size;
			break;
		case 1: /* headers of the file and of sections */
			for (uint64_t n = 1 + next_random() % 4; n > 0; n--) {
				room = (size_t)h.e_shnum * sizeof(Elf64_Shdr);
				at = next_random() % 4 != 0 ? h.e_shoff + next_random() % room
							    : 16 + next_random() % 48;
				copy[at % image_size] =
					next_random() % 2 != 0 ? (uint8_t)next_random() : 0xff;
			}
			break;
		default: /* anywhere, some bytes or many */
			for (uint64_t n = 1 + next_random() % (i % 8 == 2 ? 4000 : 40); n > 0; n--)
				copy[next_random() % image_size] = (uint8_t)next_random();
			break;
		}
		look_at_broken(copy, size);
	}
	ok(true, "%d broken files", MUTATIONS);
	free(copy);
}

static void read_self(void)
{
	struct stat st;
	int fd = open(self, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(self);
		exit(1);
	}
	image_size = (size_t)st.st_size;
	image = malloc(image_size);
	if (image == NULL || read(fd, image, image_size) != st.st_size)
		exit(1);
	close(fd);
}

int main(void)
{
	plan_begin();
	alarm(120);
	read_self();
	test_spans();
	test_demangle();
	test_self();
	test_end();
	test_build_id();
	test_symbol_table_only();
	test_libc();
	test_vdso();
	test_jit();
	test_broken();
	free(image);
	return plan_end();
}
