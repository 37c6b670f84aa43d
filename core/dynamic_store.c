#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/dynamic.h"

#define PAGE 4096

#pragma weak __libc_single_threaded

/* The kernel's list of mappings, a piece at a time. */
struct mappings {
	int fd;
	size_t have, at;
	char buffer[4096];
};

static bool next_byte(struct mappings *m, char *ret)
{
	if (m->at == m->have) {
		long n = sys3(SYS_read, m->fd, m->buffer, sizeof(m->buffer));

		if (n <= 0)
			return false;
		m->have = (size_t)n;
		m->at = 0;
	}
	*ret = m->buffer[m->at++];
	return true;
}

/* The next line, as much of it as there is room for: addresses and rights come first. */
static bool next_line(struct mappings *m, char *line, size_t room)
{
	size_t length = 0;
	char c;

	while (next_byte(m, &c) && c != '\n')
		if (length < room - 1)
			line[length++] = c;
	line[length] = '\0';
	return length > 0;
}

static uintptr_t hex(const char **at)
{
	uintptr_t value = 0;

	for (;; (*at)++) {
		if (**at >= '0' && **at <= '9')
			value = value << 4 | (uintptr_t)(**at - '0');
		else if (**at >= 'a' && **at <= 'f')
			value = value << 4 | (uintptr_t)(**at - 'a' + 10);
		else
			return value;
	}
}

/* What @line says of @address: its rights, -ENOENT: nothing, -EACCES: a store there would be seen outside this process. */
static int rights_of_line(const char *line, uintptr_t address)
{
	const char *at = line;
	uintptr_t start = hex(&at), end;

	if (*at++ != '-')
		return -ENOENT;
	end = hex(&at);
	if (address < start || address >= end || strlen(at) < 5)
		return -ENOENT;
	if (at[4] != 'p')
		return -EACCES;
	return (at[1] == 'r' ? PROT_READ : 0) | (at[2] == 'w' ? PROT_WRITE : 0) |
	       (at[3] == 'x' ? PROT_EXEC : 0);
}

static int ask_rights(uintptr_t address)
{
	struct mappings m = {
		.fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0)};
	char line[64];
	int rights = -ENOENT;

	if (m.fd < 0)
		return -ENOSYS;
	while (rights == -ENOENT && next_line(&m, line, sizeof(line)))
		rights = rights_of_line(line, address);
	sys1(SYS_close, m.fd);
	return rights;
}

/* What the loader gives a page, for where the kernel's list cannot be read. */
static int usual_rights(const struct dynamic *d, uintptr_t address)
{
	if (address >= d->relro_start && address < d->relro_end)
		return PROT_READ;
	return (dynamic_contains(d, address, PF_R) ? PROT_READ : 0) |
	       (dynamic_contains(d, address, PF_W) ? PROT_WRITE : 0) |
	       (dynamic_contains(d, address, PF_X) ? PROT_EXEC : 0);
}

static bool is_alone(void)
{
	return &__libc_single_threaded != NULL && __libc_single_threaded;
}

/* Asked once for neighbours: reading the list takes some 100 us. */
static int rights_of(struct dynamic *d, uintptr_t page)
{
	if (d->asked != page) {
		d->rights = ask_rights(page);
		d->asked = page;
	}
	return d->rights;
}

int dynamic_store(struct dynamic *d, uintptr_t *at, uintptr_t value)
{
	uintptr_t page = (uintptr_t)at & ~(uintptr_t)(PAGE - 1);
	bool is_relro = page >= d->relro_start && page < d->relro_end;
	int rights = rights_of(d, page);
	long r;

	if (rights == -ENOSYS && is_relro && !is_alone())
		return -EBUSY;
	if (rights == -ENOSYS)
		rights = usual_rights(d, page);
	if (rights < 0)
		return rights;
	if (rights & PROT_WRITE) {
		if (is_relro && !is_alone())
			return -EBUSY;
		__atomic_store_n(at, value, __ATOMIC_RELEASE);
		return 0;
	}
	r = sys3(SYS_mprotect, page, PAGE, rights | PROT_WRITE);
	if (r < 0)
		return (int)r;
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
	sys3(SYS_mprotect, page, PAGE, rights);
	return 0;
}
