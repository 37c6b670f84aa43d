/*
 * What a program is, and what its profiles will show. It is looked at, not run.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/doctor_elf.h"
#include "cli/program.h"
#include "output/symbols_files.h"

/* Most functions begin with one where a compiler was told to keep them; a few are assembly. */
static bool keeps_frames(const struct elf_traits *t)
{
	return t->looked_at > 0 && t->with_frame * 10 >= t->looked_at * 7;
}

static void add_names(struct doctor *d, const struct elf *elf, const struct elf_traits *t,
		      const char *path)
{
	struct elf_traits separate = {.has_dwarf = false};
	struct elf debug = {.fd = -1};
	bool has_file = false;

	if (!t->has_dwarf && files_open_debug(&debug, elf, path) == 0) {
		elf_traits_read(&debug, &separate);
		elf_fini(&debug);
		has_file = true;
	}
	if (t->has_dwarf)
		doctor_add(d, DOCTOR_OK, 0, "names", "",
			   "%" PRIu64 " functions, with files, lines and inlined calls",
			   t->functions);
	else if (separate.has_dwarf)
		doctor_add(d, DOCTOR_OK, 0, "names", "",
			   "its separate debug file was found: %" PRIu64
			   " functions, with files, lines and inlined calls",
			   separate.functions);
	else if (t->has_symtab || has_file)
		doctor_add(d, DOCTOR_PARTLY, 0, "names", "build it with -g: that costs no speed",
			   "%" PRIu64 " functions, without files, lines and inlined calls",
			   has_file ? separate.functions : t->functions);
	else
		doctor_add(
			d, DOCTOR_PARTLY, 0, "names",
			elf->build_id != NULL
				? "install its debug package, keep an unstripped copy below "
				  "$CPROF_DEBUG_PATH/.build-id, or name a debuginfod server that "
				  "has it"
				: "do not strip it",
			"it is stripped: only the %" PRIu64 " functions that it exports have a "
			"name",
			t->exported);
	if (elf->build_id == NULL)
		doctor_add(d, DOCTOR_NOTE, 0, "build id", "link with -Wl,--build-id",
			   "it has none: profiles cannot be told to be of this very file, and no "
			   "debuginfod server finds it");
	else
		doctor_add(d, DOCTOR_OK, 0, "build id", "", "is there");
}

static void add_stacks(struct doctor *d, const struct elf_traits *t)
{
	char frames[96] = "";

	if (t->looked_at > 0 && !t->is_go) /* whose compiler begins its functions in its own way */
		snprintf(frames, sizeof(frames),
			 "; frame pointers: in %" PRIu64 " of %" PRIu64 " functions", t->with_frame,
			 t->looked_at);
	if (t->has_cfi_table)
		doctor_add(d, DOCTOR_OK, 0, "stacks", "",
			   "are walked by .eh_frame, which knows %" PRIu64 " places%s", t->rows,
			   frames);
	else if (t->has_cfi)
		doctor_add(
			d, DOCTOR_NOTE, 0, "stacks", "link with -Wl,--eh-frame-hdr",
			"are walked by .eh_frame, without a search table: one is made at start%s",
			frames);
	else if (keeps_frames(t) || t->is_go)
		doctor_add(d, DOCTOR_OK, 0, "stacks", "",
			   "are walked by frame pointers: it has no .eh_frame%s", frames);
	else
		doctor_add(d, DOCTOR_PARTLY, 0, "stacks",
			   "build it with -fasynchronous-unwind-tables or -fno-omit-frame-pointer",
			   "are cut: it has no .eh_frame%s", frames);
}

static void add_allocator(struct doctor *d, const struct elf_traits *t)
{
	if (strlen(t->needed) <= 1) /* static: nothing is preloaded into it */
		return;
	if (t->allocator == ELF_MALLOC_OWN)
		doctor_add(
			d, DOCTOR_NO, OPTION_HEAP, "allocator",
			"link the allocator as a library, or call cprof_alloc() and cprof_free()",
			"it has a malloc() of its own, which comes before libcprof.so: the heap "
			"profile sees no allocation");
	else if (t->allocator == ELF_MALLOC_PRIVATE)
		doctor_add(
			d, DOCTOR_PARTLY, OPTION_HEAP, "allocator",
			"link the allocator as a library, or call cprof_alloc() and cprof_free()",
			"it has a malloc() for itself: the heap profile sees allocations of "
			"libraries only");
	else if (elf_traits_needs(t, "libjemalloc") || elf_traits_needs(t, "libtcmalloc") ||
		 elf_traits_needs(t, "libmimalloc"))
		doctor_add(d, DOCTOR_OK, OPTION_HEAP, "allocator", "",
			   "is a library: the heap profile sees its operator new, and what it has "
			   "beside malloc(), too");
}

static void add_runtimes(struct doctor *d, const struct elf_traits *t)
{
	if (t->is_go)
		doctor_add(d, DOCTOR_PARTLY, OPTION_PROFILES & ~OPTION_CPU, "Go",
			   "import net/http/pprof, runtime/pprof or runtime/trace in it",
			   "a Go program: cprof knows its threads, not its goroutines, and of its "
			   "memory only C's");
	if (t->sanitizer != NULL)
		doctor_add(d, DOCTOR_NOTE, 0, "sanitizer", "profile a build without it",
			   "%s is built in: profiles show what it costs, too", t->sanitizer);
	if (elf_traits_needs(t, "libprofiler") || elf_traits_needs(t, "libtcmalloc_and_profiler"))
		doctor_add(d, DOCTOR_NOTE, OPTION_CPU, "libprofiler", "leave CPUPROFILE unset",
			   "is linked: where CPUPROFILE is set both sample, and each counts what "
			   "the other costs");
	if (elf_traits_needs(t, "libcprof.so"))
		doctor_add(d, DOCTOR_NOTE, 0, "libcprof", "",
			   "is linked: it can profile itself, by cprof_start() or CPROF=%s%s",
			   t->library_path[0] ? "; it looks for libraries in " : "",
			   t->library_path);
}

struct image {
	struct doctor *doctor;
	const char *path;
};

static void look(struct doctor_attempt *a, void *user)
{
	const struct image *image = user;
	struct doctor *d = image->doctor;
	struct elf_traits traits;
	struct elf elf;

	a->error = elf_open(&elf, image->path, &a->why);
	if (a->error < 0)
		return;
	elf_traits_read(&elf, &traits);
	if (traits.has_sections) {
		add_names(d, &elf, &traits, image->path);
		add_stacks(d, &traits);
		add_allocator(d, &traits);
		add_runtimes(d, &traits);
	} else {
		doctor_add(d, DOCTOR_NOTE, 0, "sections", "",
			   "there are none in the file: no more is to be said about it");
	}
	elf_fini(&elf);
}

/* In a child: who cuts the file short while it is read ends that. */
void doctor_image(struct doctor *d, const char *path)
{
	struct image image = {d, path};
	struct doctor_attempt a;
	char why[320];

	doctor_try(look, &image, &a);
	if (a.error < 0)
		doctor_add(d, DOCTOR_NOTE, 0, "file", "", "cannot be looked at: %s",
			   doctor_reason(&a, why, sizeof(why)));
}

void doctor_program(struct doctor *d, const char *name)
{
	static struct program program;
	struct why why = {""};
	int r = program_find(name, &program, &why);
	bool is_env;

	d->part = "program";
	if (r < 0)
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "run", "", "%s", why.text);
	else
		doctor_add(d, DOCTOR_OK, OPTION_PROFILES, "run", "", "%s can be run under cprof",
			   program.path);
	if (r == -ENOENT || r == -EACCES)
		return;
	is_env =
		strcmp(strrchr(program.image, '/') ? strrchr(program.image, '/') : "", "/env") == 0;
	if (is_env && strcmp(program.image, program.path) != 0) {
		doctor_add(d, DOCTOR_NOTE, 0, "script", "ask about that one",
			   "env finds its interpreter: what is profiled is that program, whose "
			   "functions are not those of the script");
		return;
	}
	if (program.image[0] != '\0' && strcmp(program.image, program.path) != 0)
		doctor_add(
			d, DOCTOR_NOTE, 0, "script", "",
			"it is a script of %s: what is profiled is that program, whose functions "
			"are not those of the script",
			program.image);
	if (program.image[0] == '\0')
		doctor_add(d, DOCTOR_NOTE, 0, "file", "",
			   "is no ELF file and no script that can be read: the kernel decides what "
			   "becomes of it");
	else
		doctor_image(d, program.image);
}
