#include "output/lock_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/mapped.h"

#define NAME_BYTES  4096 /* as of other labels: longer names are cut */
#define PATH_BYTES  1024
#define FRAMES_MAX  64 /* inlined calls at one address */
#define KNOWN_START 64

struct known {
	const char *text, *name;
};

struct lock_names {
	const struct segment *s;
	struct symbols *symbols;
	struct profile *p;
	struct known *known; /* by the text's address, open addressing, twice the texts */
	size_t known_n, known_room;
};

struct lock_names *lock_names_create(const struct segment *s, struct symbols *symbols,
				     struct profile *p)
{
	struct lock_names *x = malloc(sizeof(*x));

	if (x == NULL)
		return NULL;
	*x = (struct lock_names){.s = s, .symbols = symbols, .p = p};
	x->known = calloc(KNOWN_START, sizeof(*x->known));
	x->known_room = KNOWN_START;
	if (x->known == NULL) {
		free(x);
		return NULL;
	}
	return x;
}

void lock_names_destroy(struct lock_names *x)
{
	if (x == NULL)
		return;
	free(x->known);
	free(x);
}

/* A variable, or a place in one. False: it has no name. */
static bool name_variable(struct symbols_module *module, uint64_t vaddr, char *ret, size_t size)
{
	uint64_t offset = 0;
	const char *name = symbols_variable(module, vaddr, &offset);

	if (name == NULL)
		return false;
	if (offset != 0)
		snprintf(ret, size, "%s+0x%" PRIx64, name, offset);
	else
		snprintf(ret, size, "%s", name);
	return true;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* The function itself, not what is inlined in it: a constructor says less than who called it. */
static bool name_site(struct symbols_module *module, uint64_t vaddr, char *ret, size_t size)
{
	struct symbols_frame frames[FRAMES_MAX];
	const struct symbols_frame *f;
	int n = symbols_lookup(module, vaddr, frames, FRAMES_MAX);

	if (n <= 0)
		return false;
	f = &frames[n - 1];
	if (f->file[0] != '\0' && f->line > 0)
		snprintf(ret, size, "%s %s:%" PRId64, f->name, base_of(f->file), f->line);
	else if (f->start != 0 && f->start <= vaddr)
		snprintf(ret, size, "%s+0x%" PRIx64, f->name, vaddr - f->start);
	else
		snprintf(ret, size, "%s", f->name);
	return true;
}

bool lock_names_find(const struct segment *s, struct symbols *symbols, uint64_t address,
		     bool is_site, char *ret, size_t size)
{
	struct symbols_module *module = NULL;
	struct segment_module found;
	char path[PATH_BYTES] = "";
	uint64_t vaddr;

	if (mapped_find(s, address, &found))
		mapped_path(s, &found, path, sizeof(path));
	if (path[0] == '\0')
		return false;
	vaddr = address - found.bias;
	if (symbols != NULL)
		module = symbols_module(symbols, path, found.build_id, found.build_id_size, NULL);
	if (module == NULL || !(is_site ? name_site : name_variable)(module, vaddr, ret, size))
		snprintf(ret, size, "%s+0x%" PRIx64, base_of(path), vaddr);
	return true;
}

static const char *name_address(struct lock_names *x, uint64_t address, bool is_site)
{
	char name[NAME_BYTES];

	if (!lock_names_find(x->s, x->symbols, address, is_site, name, sizeof(name)))
		snprintf(name, sizeof(name), "0x%" PRIx64, address);
	return profile_string(x->p, name);
}

/* False: @text is no address in the form above. */
static bool read_address(const char *text, bool *ret_is_site, uint64_t *ret)
{
	static const char *const kinds[] = {"data:0x", "init:0x"};
	uint64_t address = 0;
	const char *at;
	int kind = 0;

	while (strncmp(text, kinds[kind], strlen(kinds[kind])) != 0)
		if (++kind == 2)
			return false;
	at = text + strlen(kinds[kind]);
	if (*at == '\0' || strspn(at, "0123456789abcdef") != strlen(at) || strlen(at) > 16)
		return false;
	for (; *at != '\0'; at++)
		address = address << 4 | (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
	*ret_is_site = kind == 1;
	*ret = address;
	return true;
}

/* Addresses of strings that the profile made: nobody chooses them. */
static struct known *slot_of(struct known *known, size_t room, const char *text)
{
	size_t at = (size_t)(((uint64_t)(uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

	for (at &= room - 1; known[at].text != NULL && known[at].text != text;)
		at = (at + 1) & (room - 1);
	return &known[at];
}

static void grow(struct lock_names *x)
{
	struct known *fresh = calloc(x->known_room * 2, sizeof(*fresh));

	if (fresh == NULL)
		return;
	for (size_t i = 0; i < x->known_room; i++)
		if (x->known[i].text != NULL)
			*slot_of(fresh, x->known_room * 2, x->known[i].text) = x->known[i];
	free(x->known);
	x->known = fresh;
	x->known_room *= 2;
}

const char *lock_names_show(struct lock_names *x, const char *text)
{
	struct known *known = slot_of(x->known, x->known_room, text);
	uint64_t address;
	const char *name;
	bool is_site;

	if (known->text == text)
		return known->name;
	if (!read_address(text, &is_site, &address))
		return text;
	name = name_address(x, address, is_site);
	if ((x->known_n + 1) * 2 > x->known_room)
		grow(x);
	/* without memory for more they are looked up again */
	if ((x->known_n + 1) * 2 <= x->known_room) {
		*slot_of(x->known, x->known_room, text) = (struct known){text, name};
		x->known_n++;
	}
	return name;
}
