/*
 * output/symbols, the half that names variables: of this program itself, of small files made by hand, and of broken ones.
 */
#include <errno.h>
#include <link.h>
#include <sys/stat.h>

#include "output/symbols.h"
#include "tests/tap.h"
#include "tests/unit/elf_make.h"

#define MUTATIONS 2000

/* What others take locks in. Not constant, so that they are somewhere. */
struct entry {
	int key;
	long lock[5];
};
int known_global = 1;
static volatile int known_local = 2;
static volatile struct entry known_table[4];
static __thread volatile int known_thread = 3;
__attribute__((weak)) int known_weak; /* in .bss */

struct opened {
	struct symbols *symbols;
	struct symbols_module *module;
};

static struct opened open_path(const char *path)
{
	struct opened o;
	struct why why = {""};

	if (symbols_create(&o.symbols) < 0)
		exit(1);
	o.module = symbols_module(o.symbols, path, NULL, 0, &why);
	if (o.module == NULL)
		note("%s", why.text);
	return o;
}

static struct opened open_made(struct elf_make *m, uint32_t table)
{
	char path[64];
	int fd = elf_make_end(m, table, NULL);
	struct opened o;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	o = open_path(path);
	close(fd);
	return o;
}

/* "name+0x8", "name", or "?". */
static const char *name_at(const struct opened *o, uint64_t vaddr)
{
	static char text[256];
	uint64_t offset = 0;
	const char *name = o->module != NULL ? symbols_variable(o->module, vaddr, &offset) : NULL;

	if (name == NULL)
		return "?";
	snprintf(text, sizeof(text), offset != 0 ? "%s+0x%lx" : "%s", name, (unsigned long)offset);
	return text;
}

static int note_bias(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(uint64_t *)data = info->dlpi_addr;
	return 1; /* the first one is the program */
}

static void test_self(void)
{
	struct opened o = open_path("/proc/self/exe");
	uint64_t bias = 0;

	dl_iterate_phdr(note_bias, &bias);
	is_str(name_at(&o, (uint64_t)&known_global - bias), "known_global", "a global one");
	is_str(name_at(&o, (uint64_t)&known_local - bias), "known_local", "a static one");
	is_str(name_at(&o, (uint64_t)&known_weak - bias), "known_weak", "a weak one, in .bss");
	is_str(name_at(&o, (uint64_t)&known_table[2].lock[1] - bias), "known_table+0x70",
	       "inside a table");
	ok(strstr(name_at(&o, (uint64_t)&known_thread - bias), "known_thread") == NULL,
	   "one of each thread is no variable of the file");
	is_str(name_at(&o, (uint64_t)&test_self - bias), "?", "a function is none");
	is_str(name_at(&o, 0), "?", "address 0");
	is_str(name_at(&o, UINT64_MAX), "?", "the last address");
	symbols_destroy(o.symbols);
}

/* The same symbols, in a file whose addresses begin with @base. */
static void make_all(struct elf_make *m, uint16_t type, uint64_t base)
{
	elf_make_begin(m, type, base, 0);
	elf_make_symbol(m, "main", STT_FUNC, STB_GLOBAL, MADE_TEXT, base + 0x1000, 0x100);
	elf_make_symbol(m, "g_cache", STT_OBJECT, STB_GLOBAL, MADE_DATA, base + 0x3000, 40);
	elf_make_symbol(m, "lock.0", STT_OBJECT, STB_LOCAL, MADE_DATA, base + 0x3028, 40);
	elf_make_symbol(m, "table", STT_OBJECT, STB_LOCAL, MADE_BSS, base + 0x4000, 0x100);
	elf_make_symbol(m, "common", STT_COMMON, STB_GLOBAL, MADE_BSS, base + 0x4100, 40);
	elf_make_symbol(m, "_ZN2ns7g_mutexE", STT_OBJECT, STB_GLOBAL, MADE_BSS, base + 0x4200, 40);
	elf_make_symbol(m, "_ZZN5Store3getEiE1m", STT_OBJECT, STB_LOCAL, MADE_BSS, base + 0x4300,
			40);
	elf_make_symbol(m, "versioned@@V_1.2", STT_OBJECT, STB_GLOBAL, MADE_BSS, base + 0x4400, 8);
	/* what is none */
	elf_make_symbol(m, "of_thread", STT_TLS, STB_GLOBAL, MADE_TDATA, base + 0x4500, 8);
	elf_make_symbol(m, "in_tdata", STT_OBJECT, STB_GLOBAL, MADE_TDATA, base + 0x4508, 8);
	elf_make_symbol(m, "elsewhere", STT_OBJECT, STB_GLOBAL, SHN_UNDEF, base + 0x4510, 8);
	elf_make_symbol(m, "absolute", STT_OBJECT, STB_GLOBAL, SHN_ABS, base + 0x4518, 8);
	elf_make_symbol(m, "placeless", STT_OBJECT, STB_GLOBAL, SHN_COMMON, base + 0x4520, 8);
	elf_make_symbol(m, "label", STT_NOTYPE, STB_GLOBAL, MADE_BSS, base + 0x4528, 8);
	elf_make_symbol(m, "no_section", STT_OBJECT, STB_GLOBAL, 99, base + 0x4530, 8);
	elf_make_symbol(m, "round_the_end", STT_OBJECT, STB_GLOBAL, MADE_BSS, base + 0x4538,
			UINT64_MAX);
	elf_make_symbol(m, "", STT_OBJECT, STB_GLOBAL, MADE_BSS, base + 0x4540, 8);
}

static void look_at_all(struct opened *o, uint64_t base, const char *about)
{
	static const struct {
		uint64_t at;
		const char *name;
	} want[] = {
		{0x3000, "g_cache"},     {0x3027, "g_cache+0x27"},
		{0x3028, "lock.0"},      {0x3050, "?"},
		{0x4028, "table+0x28"},  {0x4127, "common+0x27"},
		{0x4200, "ns::g_mutex"}, {0x4308, "Store::get(int)::m+0x8"},
		{0x4400, "versioned"},   {0x1010, "?"},
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		is_str(name_at(o, base + want[i].at), want[i].name, "%s: %lx", about,
		       (unsigned long)want[i].at);
	for (uint64_t at = 0x4500; at < 0x4548; at += 8)
		is_str(name_at(o, base + at), "?", "%s: no variable at %lx", about,
		       (unsigned long)at);
	symbols_destroy(o->symbols);
}

static void test_kinds(void)
{
	struct elf_make m;
	struct opened o;

	make_all(&m, ET_DYN, 0);
	o = open_made(&m, SHT_SYMTAB);
	look_at_all(&o, 0, "position independent");
	make_all(&m, ET_EXEC, 0x400000);
	o = open_made(&m, SHT_SYMTAB);
	look_at_all(&o, 0x400000, "at its own addresses");
	make_all(&m, ET_DYN, 0);
	o = open_made(&m, SHT_DYNSYM);
	look_at_all(&o, 0, "stripped");
}

static void test_overlap(void)
{
	struct elf_make m;
	struct opened o;

	elf_make_begin(&m, ET_DYN, 0, 0);
	elf_make_symbol(&m, "whole", STT_OBJECT, STB_GLOBAL, MADE_BSS, 0x4000, 0x1000);
	elf_make_symbol(&m, "part", STT_OBJECT, STB_LOCAL, MADE_BSS, 0x4100, 0x100);
	elf_make_symbol(&m, "early", STT_OBJECT, STB_LOCAL, MADE_BSS, 0x4180, 0x10);
	elf_make_symbol(&m, "late", STT_OBJECT, STB_LOCAL, MADE_BSS, 0x4188, 0x80);
	elf_make_symbol(&m, "__alias", STT_OBJECT, STB_LOCAL, MADE_BSS, 0x4300, 8);
	elf_make_symbol(&m, "alias", STT_OBJECT, STB_GLOBAL, MADE_BSS, 0x4300, 8);
	elf_make_symbol(&m, "_alias", STT_OBJECT, STB_GLOBAL, MADE_BSS, 0x4300, 8);
	elf_make_symbol(&m, "begin", STT_OBJECT, STB_GLOBAL, MADE_BSS, 0x4300, 0);
	elf_make_symbol(&m, "sizeless", STT_OBJECT, STB_GLOBAL, MADE_DATA, 0x3010, 0);
	o = open_made(&m, SHT_SYMTAB);
	is_str(name_at(&o, 0x4080), "whole+0x80", "the one around it");
	is_str(name_at(&o, 0x4110), "part+0x10", "the one in it");
	is_str(name_at(&o, 0x418c), "early+0xc",
	       "the smaller one, though a larger one begins later");
	is_str(name_at(&o, 0x41a0), "late+0x18", "behind its end");
	is_str(name_at(&o, 0x4300), "alias", "of several names the one people know");
	is_str(name_at(&o, 0x3010), "sizeless", "one without a size, at its address");
	is_str(name_at(&o, 0x3011), "?", "and no further");
	symbols_destroy(o.symbols);
}

static void test_only_variables(void)
{
	struct elf_make m;
	struct opened o;
	struct symbols_frame frame;

	elf_make_begin(&m, ET_DYN, 0, 0);
	elf_make_symbol(&m, "g_cache", STT_OBJECT, STB_GLOBAL, MADE_DATA, 0x3000, 40);
	o = open_made(&m, SHT_DYNSYM);
	is_str(name_at(&o, 0x3000), "g_cache", "a file without functions");
	ok(o.module != NULL && symbols_lookup(o.module, 0x1000, &frame, 1) == 0, "has none");
	symbols_destroy(o.symbols);
	elf_make_begin(&m, ET_DYN, 0, 0);
	o = open_made(&m, SHT_DYNSYM);
	ok(o.module == NULL, "one with nothing at all is refused");
	symbols_destroy(o.symbols);
}

static void test_debug_file(void)
{
	char directory[] = "/tmp/cprof-test-XXXXXX", link[64], below[80], path[160];
	struct elf_make m;
	struct opened o;

	if (mkdtemp(directory) == NULL)
		exit(1);
	snprintf(link, sizeof(link), "%s/.build-id", directory);
	snprintf(below, sizeof(below), "%s/ab", link);
	snprintf(path, sizeof(path), "%s/ababababababababababababababababababab.debug", below);
	if (mkdir(link, 0700) < 0 || mkdir(below, 0700) < 0)
		exit(1);
	elf_make_begin(&m, ET_DYN, 0, 0xab);
	elf_make_symbol(&m, "main", STT_FUNC, STB_GLOBAL, MADE_TEXT, 0x1000, 0x100);
	elf_make_symbol(&m, "g_static", STT_OBJECT, STB_LOCAL, MADE_BSS, 0x4000, 40);
	elf_make_symbol(&m, "of_thread", STT_OBJECT, STB_LOCAL, MADE_TDATA, 0x4100, 40);
	close(elf_make_end(&m, SHT_SYMTAB, path));
	setenv("CPROF_DEBUG_PATH", directory, 1);
	elf_make_begin(&m, ET_DYN, 0, 0xab);
	elf_make_symbol(&m, "g_known", STT_OBJECT, STB_GLOBAL, MADE_BSS, 0x4040, 40);
	o = open_made(&m, SHT_DYNSYM);
	is_str(name_at(&o, 0x4008), "g_static+0x8", "out of the debug file");
	is_str(name_at(&o, 0x4040), "g_known", "out of the file itself");
	is_str(name_at(&o, 0x4100), "?", "none of each thread, there as well");
	symbols_destroy(o.symbols);
	unsetenv("CPROF_DEBUG_PATH");
	unlink(path);
	rmdir(below);
	rmdir(link);
	rmdir(directory);
}

static uint64_t random_state = 20240608;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void test_broken(void)
{
	struct elf_make m, broken;

	make_all(&m, ET_DYN, 0);
	close(elf_make_end(&m, SHT_SYMTAB, NULL));
	for (int i = 0; i < MUTATIONS; i++) {
		size_t size = sizeof(broken), room = offsetof(struct elf_make, strings) + 64;
		char path[64];
		struct opened o;
		int fd = memfd_create("broken", MFD_CLOEXEC);

		broken = m;
		for (uint64_t n = 1 + next_random() % 30; n > 0; n--)
			((uint8_t *)&broken)[next_random() % room] =
				next_random() % 3 != 0 ? (uint8_t)next_random() : 0xff;
		if (i % 8 == 0)
			size = next_random() % size;
		else /* or it is none of ours */
			memcpy(broken.header.e_ident, m.header.e_ident, sizeof(m.header.e_ident));
		if (fd < 0 || write(fd, &broken, size) != (ssize_t)size)
			exit(1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		symbols_create(&o.symbols);
		o.module = symbols_module(o.symbols, path, NULL, 0, NULL);
		for (uint64_t at = 0x3000; at < 0x4600; at += 0x28)
			name_at(&o, at);
		name_at(&o, next_random());
		symbols_destroy(o.symbols);
		close(fd);
	}
	ok(true, "%d broken files", MUTATIONS);
}

int main(void)
{
	plan_begin();
	alarm(120);
	test_self();
	test_kinds();
	test_overlap();
	test_only_variables();
	test_debug_file();
	test_broken();
	return plan_end();
}
