/* core/dynamic: names and slots of a file made by hand, of the files that are loaded, and of what no linker would write. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/dynamic.h"
#include "tests/tap.h"

#define PAGE  4096u
#define PAGES 4u

/* Where things lie in the image. The second page is code, the third is data, the fourth is in no segment. */
enum {
	DYNAMIC = 0x000,
	RELA = 0x200,
	JMPREL = 0x300,
	SYMTAB = 0x400,
	STRTAB = 0x600,
	GNU_HASH = 0x800,
	SYSV_HASH = 0xa00,
	CODE = 0x1000,
	DATA = 0x2000,
};
enum { ALPHA = 1, BETA, GAMMA, OBJECT, CHOSEN, SYMBOLS };
enum { SEGMENT_TABLES, SEGMENT_CODE, SEGMENT_DATA, SEGMENT_DYNAMIC, SEGMENT_RELRO, SEGMENTS };

static const char *const names[SYMBOLS] = {"", "alpha", "beta", "gamma", "object", "chosen"};

static uint8_t *image;
static ElfW(Phdr) headers[SEGMENTS];

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name != '\0'; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

static void put_symbols(void)
{
	ElfW(Sym) *symbols = (ElfW(Sym) *)(image + SYMTAB);
	char *strings = (char *)image + STRTAB, *at = strings + 1;

	for (unsigned i = 1; i < SYMBOLS; i++) {
		symbols[i].st_name = (ElfW(Word))(at - strings);
		symbols[i].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
		symbols[i].st_shndx = 7;
		symbols[i].st_value = CODE + i * 16;
		at = stpcpy(at, names[i]) + 1;
	}
	symbols[ALPHA].st_shndx = SHN_UNDEF;
	symbols[GAMMA].st_info = ELF64_ST_INFO(STB_WEAK, STT_FUNC);
	symbols[OBJECT].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
	symbols[OBJECT].st_value = DATA;
	symbols[CHOSEN].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_GNU_IFUNC);
}

static void put_hashes(void)
{
	uint32_t *gnu = (uint32_t *)(image + GNU_HASH), *sysv = (uint32_t *)(image + SYSV_HASH);

	gnu[0] = 1; /* one bucket, from the first symbol that is defined, one word of filter */
	gnu[1] = BETA;
	gnu[2] = 1;
	memset(gnu + 4, 0xff, 8);
	gnu[6] = BETA;
	for (unsigned i = BETA; i < SYMBOLS; i++)
		gnu[7 + i - BETA] = (gnu_hash(names[i]) & ~1u) | (i == SYMBOLS - 1);
	sysv[0] = 1;
	sysv[1] = SYMBOLS;
	sysv[2] = ALPHA;
	for (unsigned i = ALPHA; i < SYMBOLS; i++)
		sysv[3 + i] = i + 1 < SYMBOLS ? i + 1 : 0;
}

static void put_relocation(unsigned at, unsigned index, uint64_t offset, unsigned symbol,
			   unsigned type, int64_t addend)
{
	((ElfW(Rela) *)(image + at))[index] =
		(ElfW(Rela)){offset, ELF64_R_INFO((uint64_t)symbol, type), addend};
}

static void put_relocations(void)
{
	put_relocation(RELA, 0, DATA + 64, 0, R_X86_64_RELATIVE, CODE);
	put_relocation(RELA, 1, DATA, ALPHA, R_X86_64_GLOB_DAT, 0);
	put_relocation(RELA, 2, DATA + 8, BETA, R_X86_64_64, 0);
	put_relocation(RELA, 3, DATA + 16, BETA, R_X86_64_64, 8);            /* not the function */
	put_relocation(RELA, 4, DATA + 27, BETA, R_X86_64_GLOB_DAT, 0);      /* not aligned */
	put_relocation(RELA, 5, CODE, BETA, R_X86_64_GLOB_DAT, 0);           /* not writable */
	put_relocation(RELA, 6, DATA + PAGE, BETA, R_X86_64_GLOB_DAT, 0);    /* in no segment */
	put_relocation(RELA, 7, UINT64_MAX - 7, BETA, R_X86_64_GLOB_DAT, 0); /* before the file */
	put_relocation(RELA, 8, DATA + PAGE - 4, BETA, R_X86_64_64, 0);
	put_relocation(JMPREL, 0, DATA + 32, ALPHA, R_X86_64_JUMP_SLOT, 0);
}

static ElfW(Dyn) * entry(ElfW(Sxword) tag)
{
	for (ElfW(Dyn) *d = (ElfW(Dyn) *)(image + DYNAMIC); d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return d;
	return NULL;
}

static void put_dynamic(void)
{
	const ElfW(Dyn) entries[] = {
		{DT_SYMTAB, {SYMTAB}},
		{DT_STRTAB, {STRTAB}},
		{DT_STRSZ, {0x100}},
		{DT_SYMENT, {sizeof(ElfW(Sym))}},
		{DT_GNU_HASH, {GNU_HASH}},
		{DT_HASH, {SYSV_HASH}},
		{DT_RELA, {RELA}},
		{DT_RELASZ, {9 * sizeof(ElfW(Rela))}},
		{DT_RELAENT, {sizeof(ElfW(Rela))}},
		{DT_RELACOUNT, {1}},
		{DT_JMPREL, {JMPREL}},
		{DT_PLTRELSZ, {sizeof(ElfW(Rela))}},
		{DT_PLTREL, {DT_RELA}},
		{DT_NULL, {0}},
	};

	memcpy(image + DYNAMIC, entries, sizeof(entries));
}

static void make_image(void)
{
	memset(image, 0, (size_t)PAGE * PAGES);
	headers[SEGMENT_TABLES] = (ElfW(Phdr)){.p_type = PT_LOAD, .p_flags = PF_R, .p_memsz = PAGE};
	headers[SEGMENT_CODE] = (ElfW(Phdr)){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = CODE, .p_memsz = PAGE};
	headers[SEGMENT_DATA] = (ElfW(Phdr)){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = DATA, .p_memsz = PAGE};
	headers[SEGMENT_DYNAMIC] =
		(ElfW(Phdr)){.p_type = PT_DYNAMIC, .p_vaddr = DYNAMIC, .p_memsz = RELA};
	headers[SEGMENT_RELRO] = (ElfW(Phdr)){.p_type = PT_NULL};
	put_dynamic();
	put_symbols();
	put_hashes();
	put_relocations();
}

static int read_image(struct dynamic *d)
{
	return dynamic_read(d, (uintptr_t)image, headers, SEGMENTS);
}

/* Where the image says that it has @name, from its beginning; 0: it does not. */
static uintptr_t find(const char *name)
{
	struct dynamic d;
	uintptr_t at = (uintptr_t)image;

	if (read_image(&d) < 0 || dynamic_find(&d, name, &at) == NULL)
		return 0;
	return at - (uintptr_t)image;
}

static void finds_names(const char *how)
{
	is_u64(find("beta"), CODE + BETA * 16, "%s: a function", how);
	is_u64(find("gamma"), CODE + GAMMA * 16, "%s: a weak one", how);
	is_u64(find("alpha"), 0, "%s: not one that is only asked for", how);
	is_u64(find("object"), 0, "%s: not a variable", how);
	is_u64(find("chosen"), 0, "%s: not one that is chosen at run time", how);
	is_u64(find("bet"), 0, "%s: not the beginning of a name", how);
	is_u64(find("betas"), 0, "%s: nor a longer one", how);
}

static void names_by_each_way(void)
{
	make_image();
	finds_names("DT_GNU_HASH");
	entry(DT_GNU_HASH)->d_tag = DT_DEBUG;
	finds_names("DT_HASH");
	entry(DT_HASH)->d_tag = DT_DEBUG;
	finds_names("no hash table");
	make_image();
	for (int i = 0; entry(DT_SYMTAB) != NULL && i < 13; i++) {
		ElfW(Dyn) *d = (ElfW(Dyn) *)(image + DYNAMIC) + i;

		if (d->d_tag == DT_SYMTAB || d->d_tag == DT_STRTAB || d->d_tag == DT_GNU_HASH)
			d->d_un.d_ptr += (uintptr_t)image;
	}
	finds_names("addresses made absolute");
}

static struct {
	unsigned count, outside;
	uintptr_t at[16];
	bool is_lazy[16];
} slots;

static void note_slot(struct dynamic *d, const struct dynamic_slot *slot, void *user)
{
	uintptr_t at = (uintptr_t)slot->at - (uintptr_t)image;
	volatile uintptr_t value = *slot->at;

	(void)value;
	slots.outside += at < DATA || at > DATA + PAGE - 8;
	if (slots.count < 16) {
		slots.at[slots.count] = at;
		slots.is_lazy[slots.count] = slot->is_lazy;
	}
	slots.count++;
	dynamic_is_named(d, slot->symbol, "beta");
}

static void all_slots(void)
{
	struct dynamic d;

	make_image();
	memset(&slots, 0, sizeof(slots));
	is_u64(read_image(&d), 0, "slots: the file is understood");
	dynamic_each_slot(&d, note_slot, NULL);
	is_u64(slots.count, 3, "slots: those that are sound and name a symbol");
	ok(slots.at[0] == DATA + 32 && slots.is_lazy[0], "slots: of a call");
	ok(slots.at[1] == DATA && !slots.is_lazy[1], "slots: in the table of addresses");
	ok(slots.at[2] == DATA + 8, "slots: a word of data");
	ok(dynamic_is_named(&d, ALPHA, "alpha") && !dynamic_is_named(&d, ALPHA, "beta") &&
		   !dynamic_is_named(&d, UINT32_MAX, "alpha"),
	   "names of symbols");
}

static void odd_sections(void)
{
	struct dynamic d;

	make_image();
	headers[SEGMENT_DYNAMIC].p_type = PT_NOTE;
	is_u64(-read_image(&d), ENOENT, "no dynamic section");
	make_image();
	headers[SEGMENT_DYNAMIC].p_vaddr =
		DATA + PAGE - 16; /* its first entry is the last of the data */
	*(uint64_t *)(image + DATA + PAGE - 16) = DT_DEBUG;
	is_u64(-read_image(&d), EINVAL, "a dynamic section that leaves its segment");
	make_image();
	entry(DT_SYMENT)->d_un.d_val = 16;
	is_u64(-read_image(&d), EINVAL, "symbols of another size");
	make_image();
	entry(DT_PLTREL)->d_un.d_val = DT_REL;
	is_u64(-read_image(&d), EINVAL, "relocations of another kind");
	make_image();
	entry(DT_STRSZ)->d_un.d_val = 7;
	is_u64(find("beta"), 0, "a name beyond the end of the names");
	is_u64(-dynamic_read(&d, (uintptr_t)image, NULL, 3), EINVAL, "no program headers");
	make_image();
	for (unsigned i = 0; i < SYMBOLS; i++)
		((uint32_t *)(image + SYSV_HASH))[3 + i] = i == BETA ? ALPHA : BETA;
	entry(DT_GNU_HASH)->d_tag = DT_DEBUG;
	is_u64(find("gamma"), 0, "a chain that bites its tail ends");
	make_image();
	*(uint32_t *)(image + GNU_HASH) = 0;
	is_u64(find("beta"), 0, "a hash table without buckets");
}

/* The image's file, cut to its first @pages pages after it was mapped. */
static void cut_files(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	uint8_t *whole = image, *mapped;
	struct dynamic d;

	make_image();
	headers[SEGMENT_DATA].p_memsz = (ElfW(Xword))2 * PAGE;
	entry(DT_STRTAB)->d_un.d_ptr = DATA + PAGE;
	entry(DT_STRSZ)->d_un.d_val = PAGE;
	memcpy(image + DATA + PAGE, image + STRTAB, 0x100);
	is_u64(find("beta"), CODE + BETA * 16, "a whole file");
	if (write(fd, image, (size_t)PAGE * PAGES) != (ssize_t)(PAGE * PAGES))
		return;
	mapped = mmap(NULL, (size_t)PAGE * PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	image = mapped;
	if (ftruncate(fd, (off_t)3 * PAGE) == 0)
		is_u64(find("beta"), 0, "a file cut short behind its data: no name is found");
	if (ftruncate(fd, PAGE) == 0) {
		memset(&slots, 0, sizeof(slots));
		is_u64(read_image(&d), 0, "and before: it is understood");
		dynamic_each_slot(&d, note_slot, NULL);
		is_u64(slots.count, 0, "and has no slots");
	}
	if (ftruncate(fd, 0) == 0)
		is_u64(-read_image(&d), EINVAL, "and to nothing");
	munmap(mapped, (size_t)PAGE * PAGES);
	close(fd);
	image = whole;
}

static uint64_t random_state = 1;

static uint64_t draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static void spoil_word(uint8_t *start, size_t size)
{
	static const uint64_t values[] = {0,
					  1,
					  UINT64_MAX,
					  UINT32_MAX,
					  INT64_MAX,
					  DATA,
					  DATA + PAGE - 4,
					  0x7ffffffff000,
					  PAGE,
					  (uint64_t)1 << 63,
					  (uint64_t)1 << 32,
					  24};
	uint8_t *at = start + draw() % (size / 4) * 4;
	uint64_t value = draw() % 4 == 0 ? draw() : values[draw() % 12];

	memcpy(at, &value, draw() % 2 == 0 ? 4 : at + 8 <= start + size ? 8 : 4);
}

/* Words of the image and of its program headers replaced by what arithmetic stumbles over. */
static void spoiled_images(void)
{
	unsigned understood = 0, found = 0;

	memset(&slots, 0, sizeof(slots));
	for (int i = 0; i < 20000; i++) {
		struct dynamic d;
		uintptr_t at;

		make_image();
		if (i % 3 == 1)
			entry(DT_GNU_HASH)->d_tag = DT_DEBUG;
		for (uint64_t n = 1 + draw() % 4; n > 0; n--)
			spoil_word(image, 0xb00);
		if (i % 8 == 0)
			spoil_word((uint8_t *)headers, sizeof(headers));
		if (read_image(&d) < 0)
			continue;
		understood++;
		for (unsigned name = 1; name < SYMBOLS; name++)
			found += dynamic_find(&d, names[name], &at) != NULL;
		if (i % 8 != 0)
			dynamic_each_slot(&d, note_slot, NULL);
	}
	ok(understood > 5000 && found > understood, "20000 spoiled images: read to an end");
	is_u64(slots.outside, 0, "no slot outside of the data");
}

/* What the loader has here, against what it says itself. */
static int visit_loaded(struct dl_phdr_info *info, size_t size, void *user)
{
	struct dynamic d;
	uintptr_t at = 0;
	int r = dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
	const char *name = info->dlpi_name;

	(void)size;
	(void)user;
	is_u64(r, 0, "%s is understood", name[0] != '\0' ? name : "the program");
	if (strstr(name, "libc.so") != NULL) {
		dynamic_find(&d, "qsort", &at);
		is_u64(at, (uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), "libc's qsort()");
		ok(dynamic_find(&d, "cprof_nothing", &at) == NULL, "no such name");
		ok(d.relro_start != 0, "what the loader made read-only");
	}
	if (strstr(name, "vdso") != NULL)
		ok(dynamic_find(&d, "__vdso_clock_gettime", &at) != NULL,
		   "the vdso, whose addresses nobody can make absolute");
	return 0;
}

static unsigned rights_of(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], rights[5] = "";
	unsigned long start, end;
	bool found = false;

	while (!found && fgets(line, sizeof(line), maps) != NULL)
		found = sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 &&
			(uintptr_t)address >= start && (uintptr_t)address < end;
	fclose(maps);
	return (rights[0] == 'r') | (rights[1] == 'w') << 1 | (rights[2] == 'x') << 2;
}

static void stores_with(int protection, const char *name)
{
	uintptr_t *slot = (uintptr_t *)(image + DATA + 8);
	unsigned before;
	struct dynamic d;

	make_image();
	read_image(&d);
	mprotect(image + DATA, PAGE, protection);
	before = rights_of(slot);
	is_u64(dynamic_store(&d, slot, 77), 0, "a store into a page that is %s", name);
	is_u64(rights_of(slot), before, "leaves it so");
	mprotect(image + DATA, PAGE, PROT_READ | PROT_WRITE);
	is_u64(*slot, 77, "and is done");
}

static void *just_be(void *arg)
{
	usleep(50000);
	return arg;
}

static void stores(void)
{
	uintptr_t *slot = (uintptr_t *)(image + DATA + 8);
	uintptr_t *shared =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct dynamic d;
	pthread_t id;

	stores_with(PROT_READ | PROT_WRITE, "writable");
	stores_with(PROT_READ, "read-only");
	stores_with(PROT_READ | PROT_EXEC, "code");
	is_u64(-dynamic_store(&d, shared, 1), EACCES, "not into memory that others share");
	is_u64(*shared, 0, "which stays what it is");
	munmap(shared, PAGE);
	read_image(&d);
	is_u64(-dynamic_store(&d, shared, 1), ENOENT, "nor into none");
	make_image();
	headers[SEGMENT_RELRO] =
		(ElfW(Phdr)){.p_type = PT_GNU_RELRO, .p_vaddr = DATA, .p_memsz = PAGE};
	read_image(&d);
	is_u64(dynamic_store(&d, slot, 78), 0, "a page still to be made read-only, one thread");
	pthread_create(&id, NULL, just_be, NULL);
	is_u64(-dynamic_store(&d, slot, 79), EBUSY, "two threads: the other may be at it");
	is_u64(*slot, 78, "so it is left alone");
	pthread_join(id, NULL);
}

int main(void)
{
	plan_begin();
	image = mmap(NULL, (size_t)PAGE * (PAGES + 1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	mprotect(image, (size_t)PAGE * PAGES, PROT_READ | PROT_WRITE);
	names_by_each_way();
	all_slots();
	odd_sections();
	cut_files();
	spoiled_images();
	dl_iterate_phdr(visit_loaded, NULL);
	stores();
	return plan_end();
}
