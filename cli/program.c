#include "cli/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "output/symbols_elf.h"

#ifndef CPROF_LIBDIR
#define CPROF_LIBDIR "/usr/local/lib"
#endif
#define LIBRARY_FILE "libcprof.so.0"

static int is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int search_path(const char *name, char *ret, size_t size)
{
	const char *path = getenv("PATH"), *end;
	int r = -ENOENT;

	if (strchr(name, '/') != NULL) {
		snprintf(ret, size, "%s", name);
		if (access(ret, F_OK) != 0)
			return -ENOENT;
		return is_file(ret) && access(ret, X_OK) == 0 ? 0 : -EACCES;
	}
	for (path = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"; path != NULL;
	     path = *end == ':' ? end + 1 : NULL) {
		end = strchrnul(path, ':');
		if (snprintf(ret, size, "%.*s/%s", end > path ? (int)(end - path) : 1,
			     end > path ? path : ".", name) >= (int)size ||
		    !is_file(ret))
			continue;
		if (access(ret, X_OK) == 0)
			return 0;
		r = -EACCES;
	}
	return r;
}

/* Running it would raise privileges, so the loader ignores LD_PRELOAD. */
static int is_privileged(const char *path)
{
	struct stat st;
	char value[64];

	if (stat(path, &st) != 0)
		return 0;
	return ((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
	       ((st.st_mode & S_ISGID) && st.st_gid != getegid()) ||
	       (geteuid() != 0 && getxattr(path, "security.capability", value, sizeof(value)) > 0);
}

/* The interpreter named by "#!", into @ret. */
static int read_script(const char *head, size_t n, char *ret, size_t size)
{
	size_t at = 2, length = 0;

	while (at < n && (head[at] == ' ' || head[at] == '\t'))
		at++;
	while (at + length < n && !strchr(" \t\n\r", head[at + length]))
		length++;
	if (length == 0 || length >= size)
		return -ENOEXEC;
	memcpy(ret, head + at, length);
	ret[length] = '\0';
	return 0;
}

/* The loader that PT_INTERP of the ELF file @fd names; "" for a static program. */
static int read_interpreter(int fd, const Elf64_Ehdr *elf, char *ret, size_t size)
{
	ret[0] = '\0';
	if (elf->e_phentsize != sizeof(Elf64_Phdr))
		return -ENOEXEC;
	for (unsigned i = 0; i < elf->e_phnum; i++) {
		Elf64_Phdr ph;

		if (pread(fd, &ph, sizeof(ph), (off_t)(elf->e_phoff + i * sizeof(ph))) !=
		    (ssize_t)sizeof(ph))
			return -ENOEXEC;
		if (ph.p_type != PT_INTERP)
			continue;
		if (ph.p_filesz == 0 || ph.p_filesz >= size ||
		    pread(fd, ret, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz)
			return -ENOEXEC;
		ret[ph.p_filesz] = '\0';
	}
	return 0;
}

static bool has_text(const struct elf_section *section, const char *text, size_t length)
{
	return memmem(section->data, section->header.sh_size, text, length) != NULL;
}

/*
 * A program that needs the runtime as a library names the function among its dynamic symbols only when it has one: it is
 * the runtime that calls it.
 */
static bool answers_asan(const char *path)
{
	static const char name[] = "__asan_default_options", gcc[] = "libasan.so.",
			  clang[] = "libclang_rt.asan";
	struct elf_section names;
	struct elf elf = {.fd = -1};
	bool found = elf_open(&elf, path, NULL) == 0 &&
		     elf_section_named(&elf, ".dynstr", &names) && names.data != NULL &&
		     has_text(&names, name, sizeof(name)) &&
		     (has_text(&names, gcc, strlen(gcc)) || has_text(&names, clang, strlen(clang)));

	elf_fini(&elf);
	return found;
}

static int check_image(const char *shown, const char *path, int depth, struct program *ret,
		       struct why *why)
{
	union {
		Elf64_Ehdr elf;
		char bytes[512];
	} head = {.bytes = {0}};
	char loader[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	ssize_t n = fd >= 0 ? read(fd, head.bytes, sizeof(head.bytes)) : 0;

	if (fd < 0)
		return 0; /* executable but not readable: the kernel decides */
	if (n > 2 && head.bytes[0] == '#' && head.bytes[1] == '!') {
		close(fd);
		if (depth == 4 || read_script(head.bytes, (size_t)n, loader, sizeof(loader)) < 0)
			return 0; /* the kernel's business to refuse */
		if (is_privileged(loader))
			goto privileged;
		return check_image(shown, loader, depth + 1, ret, why);
	}
	if (n < (ssize_t)sizeof(head.elf) || memcmp(head.elf.e_ident, ELFMAG, SELFMAG) != 0)
		goto out; /* no image we know: execv() gives the reason */
	snprintf(ret->image, sizeof(ret->image), "%s", path);
	r = -ENOTSUP;
	if (head.elf.e_ident[EI_CLASS] != ELFCLASS64 || head.elf.e_machine != EM_X86_64) {
		why_set(why,
			"%s is not an x86-64 program: this cprof has no library to preload into it",
			shown);
		goto out;
	}
	r = read_interpreter(fd, &head.elf, loader, sizeof(loader));
	if (r < 0) {
		why_set(why, "%s: its program headers make no sense", shown);
		r = -ENOTSUP;
	} else if (loader[0] == '\0') {
		why_set(why,
			"%s is statically linked: nothing can be preloaded into it; link it "
			"dynamically, or "
			"build it with -lcprof and call cprof_enable()",
			shown);
		r = -ENOTSUP;
	} else if (strstr(loader, "ld-linux") == NULL) {
		why_set(why,
			"%s is linked to another C library (loader %s): libcprof.so needs glibc",
			shown, loader);
		r = -ENOTSUP;
	} else {
		ret->answers_asan = answers_asan(path);
	}
out:
	close(fd);
	return r;

privileged:
	why_set(why,
		"%s raises privileges (setuid, setgid or file capabilities): the loader preloads "
		"nothing "
		"into it; run it as its owner, or profile what it starts",
		shown);
	return -ENOTSUP;
}

int program_find(const char *name, struct program *ret, struct why *why)
{
	int r;

	ret->image[0] = '\0';
	r = search_path(name, ret->path, sizeof(ret->path));
	if (r == -ENOENT)
		why_set(why, "cannot run %s: no such program%s", name,
			strchr(name, '/') != NULL ? "" : " in $PATH");
	if (r == -EACCES)
		why_set(why, "cannot run %s: %s", name,
			is_file(ret->path) ? "no permission to execute it" : "it is not a file");
	if (r < 0)
		return r;
	if (is_privileged(ret->path)) {
		why_set(why,
			"%s raises privileges (setuid, setgid or file capabilities): the loader "
			"preloads "
			"nothing into it; run it as its owner, or profile what it starts",
			name);
		return -ENOTSUP;
	}
	return check_image(name, ret->path, 0, ret, why);
}

int program_find_library(char *ret, size_t size, struct why *why)
{
	static const char *const places[] = {"../preload/" LIBRARY_FILE, "../lib/" LIBRARY_FILE,
					     "../lib64/" LIBRARY_FILE,
					     "../lib/x86_64-linux-gnu/" LIBRARY_FILE};
	char self[PATH_MAX], joined[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i <= sizeof(places) / sizeof(places[0]); i++) {
		if (i < sizeof(places) / sizeof(places[0]))
			snprintf(joined, sizeof(joined), "%.*s/%s", (int)(slash - self), self,
				 places[i]);
		else
			snprintf(joined, sizeof(joined), "%s", CPROF_LIBDIR "/" LIBRARY_FILE);
		if (realpath(joined, self) != NULL)
			goto found;
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[n > 0 ? n : 0] = '\0';
		slash = strrchr(self, '/');
	}
	why_set(why,
		"%s is missing: it belongs beside this program, in ../lib, or in %s; install cprof "
		"again",
		LIBRARY_FILE, CPROF_LIBDIR);
	return -ENOENT;

found:
	if (strpbrk(self, " :") != NULL || strlen(self) >= size) {
		why_set(why,
			"%s: the loader takes no name with a blank or a colon in LD_PRELOAD; "
			"install cprof "
			"elsewhere",
			self);
		return -ENOTSUP;
	}
	strcpy(ret, self);
	return 0;
}
