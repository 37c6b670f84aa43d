#include "preload/rebind.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/dynamic.h"
#include "core/lock.h"
#include "core/log.h"

#define NAMES_MAX 64

/* One name that the allocator has. */
struct binding {
	const struct rebinding *wanted;
	uintptr_t real;
	bool by_loader;            /* its symbol leads to us */
	bool is_decided, is_first; /* if not: the first of all files that have the name */
};

static struct {
	struct lock lock; /* LOCK_REBIND: what follows */
	struct binding bindings[NAMES_MAX];
	unsigned count;
	uintptr_t inside; /* an address of the allocator's code */
	uintptr_t low, high;
	unsigned long long arrivals; /* of files, when all slots were last looked at */
	unsigned looks, remaining, by_hand;
	bool is_known;
	int result;
} rebind = {.lock = {.rank = LOCK_REBIND}};

static bool is_of(const struct dl_phdr_info *info, uintptr_t address)
{
	struct dynamic d = {.bias = info->dlpi_addr,
			    .headers = info->dlpi_phdr,
			    .headers_count = info->dlpi_phnum};

	return dynamic_contains(&d, address, PF_X);
}

/* Keeps what the allocator has of the @n names of @list. */
static void collect(struct dynamic *d, const struct rebinding *list, size_t n)
{
	rebind.low = UINTPTR_MAX;
	for (size_t i = 0; i < n && rebind.count < NAMES_MAX; i++) {
		struct binding *b = &rebind.bindings[rebind.count];
		uintptr_t real;

		if (dynamic_find(d, list[i].name, &real) == NULL)
			continue;
		*b = (struct binding){.wanted = &list[i], .real = real};
		__atomic_store_n(list[i].real, (rebind_function)real, __ATOMIC_RELEASE);
		if (real < rebind.low)
			rebind.low = real;
		if (real > rebind.high)
			rebind.high = real;
		rebind.count++;
	}
}

/* From now on the loader finds us by the allocator's names. */
static void change_symbols(struct dynamic *d)
{
	for (unsigned i = 0; i < rebind.count; i++) {
		struct binding *b = &rebind.bindings[i];
		uintptr_t real, to = (uintptr_t)b->wanted->replacement;
		const ElfW(Sym) *s = dynamic_find(d, b->wanted->name, &real);
		int r;

		if (s == NULL || (uintptr_t)&s->st_value % sizeof(s->st_value) != 0)
			continue;
		if (s->st_shndx != SHN_ABS)
			to -= d->bias;
		r = dynamic_store(d, (uintptr_t *)&s->st_value, to);
		b->by_loader = r == 0;
		if (r < 0)
			log_debug("heap: the symbol %s keeps its address: %s", b->wanted->name,
				  strerrordesc_np(-r));
	}
}

struct search {
	uintptr_t address;
	const struct rebinding *list;
	size_t n;
	int result;
};

static int visit_allocator(struct dl_phdr_info *info, size_t size, void *user)
{
	struct search *search = user;
	struct dynamic d;

	if (!is_of(info, search->address))
		return 0;
	search->result = dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
	if (search->result < 0)
		return 1;
	collect(&d, search->list, search->n);
	change_symbols(&d);
	search->result = (int)rebind.count;
	return 1;
}

/*
 * Whether a call that is not bound yet would go to the allocator: the first file that has the name decides. The loader's list
 * has the files in the order in which it searches them. dlsym() would say the same, but takes a lock that is held around
 * constructors, and one of those may be waiting for a lock of ours.
 */
static int visit_first(struct dl_phdr_info *info, size_t size, void *user)
{
	struct dynamic d;
	uintptr_t at;

	if (dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum) < 0)
		return 0;
	for (unsigned i = 0; i < rebind.count; i++) {
		struct binding *b = &rebind.bindings[i];

		if (b->by_loader || b->is_decided || !dynamic_find(&d, b->wanted->name, &at))
			continue;
		b->is_decided = true;
		b->is_first = at == b->real;
	}
	return 0;
}

static void ask_who_is_first(void)
{
	for (unsigned i = 0; i < rebind.count; i++)
		rebind.by_hand += !rebind.bindings[i].by_loader;
	if (rebind.by_hand > 0)
		dl_iterate_phdr(visit_first, NULL);
}

/*
 * A call whose slot leads into the file's own linkage table. If the file has the name itself, the call may be bound to that; but
 * libstdc++ calls operators of its own, which the allocator's precede.
 */
static bool is_unbound(struct dynamic *d, const struct dynamic_slot *slot, uintptr_t value,
		       const struct binding *b)
{
	uintptr_t own;

	return !b->by_loader && b->is_first && slot->is_lazy && dynamic_contains(d, value, PF_X) &&
	       (dynamic_find(d, b->wanted->name, &own) == NULL || own != value);
}

static void change_slot(struct dynamic *d, const struct dynamic_slot *slot, void *user)
{
	uintptr_t value = __atomic_load_n(slot->at, __ATOMIC_RELAXED);
	bool may_be_bound = value >= rebind.low && value <= rebind.high;

	if (!may_be_bound && (rebind.by_hand == 0 || !slot->is_lazy))
		return;
	for (unsigned i = 0; i < rebind.count; i++) {
		const struct binding *b = &rebind.bindings[i];
		int r;

		if (!dynamic_is_named(d, slot->symbol, b->wanted->name) ||
		    (value != b->real && !is_unbound(d, slot, value, b)))
			continue;
		r = dynamic_store(d, slot->at, (uintptr_t)b->wanted->replacement);
		rebind.remaining += r == -EBUSY;
		if (r < 0)
			log_debug("heap: a slot of %s keeps its address: %s", b->wanted->name,
				  strerrordesc_np(-r));
		return;
	}
}

static int visit_slots(struct dl_phdr_info *info, size_t size, void *user)
{
	struct dynamic d;

	rebind.arrivals = info->dlpi_adds;
	if (is_of(info, rebind.inside) || is_of(info, (uintptr_t)visit_slots) ||
	    dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum) < 0)
		return 0;
	dynamic_each_slot(&d, change_slot, NULL);
	return 0;
}

static int note_arrivals(struct dl_phdr_info *info, size_t size, void *user)
{
	*(unsigned long long *)user = info->dlpi_adds;
	return 1;
}

static void change_slots(void)
{
	if (rebind.count == 0)
		return;
	rebind.remaining = 0;
	dl_iterate_phdr(visit_slots, NULL);
	rebind.looks++;
}

/*
 * A second look at all slots is always due: a thread that was binding a call while the first went on has stored the old address
 * behind our back.
 */
static bool is_due(void)
{
	unsigned long long arrivals = 0;

	if (rebind.count == 0)
		return false;
	if (rebind.looks < 2 || rebind.remaining > 0)
		return true;
	if (rebind.by_hand == 0)
		return false;
	dl_iterate_phdr(note_arrivals, &arrivals);
	return arrivals != rebind.arrivals;
}

int rebind_allocator(const void *real_malloc, const struct rebinding *list, size_t n)
{
	struct search search = {
		.address = (uintptr_t)real_malloc, .list = list, .n = n, .result = -ENOENT};

	lock_take(&rebind.lock);
	if (!rebind.is_known) {
		dl_iterate_phdr(visit_allocator, &search);
		rebind.is_known = true;
		rebind.result = search.result;
		rebind.inside = search.address;
		ask_who_is_first();
		change_slots();
	}
	search.result = rebind.result;
	lock_give(&rebind.lock);
	return search.result;
}

unsigned rebind_again(void)
{
	unsigned remaining;

	lock_take(&rebind.lock);
	if (rebind.is_known && is_due())
		change_slots();
	remaining = rebind.remaining;
	lock_give(&rebind.lock);
	return remaining;
}

void rebind_forked(void)
{
	rebind.lock = (struct lock){.rank = LOCK_REBIND};
}

struct owner {
	char *path;
	size_t size;
	bool is_other;
};

static void note_path(struct owner *owner, const char *name)
{
	ssize_t length;

	if (owner->size == 0)
		return;
	owner->path[0] = '\0';
	if (name != NULL && name[0] != '\0') {
		strncat(owner->path, name, owner->size - 1);
		return;
	}
	length = readlink("/proc/self/exe", owner->path, owner->size - 1);
	if (length > 0)
		owner->path[length] = '\0';
	else
		strncat(owner->path, "the program", owner->size - 1);
}

/*
 * The first file, in the loader's order, that has malloc() itself. dlsym() may give the address of a stub in a program that does not:
 * one linked to a fixed address that takes the function's.
 */
static int visit_owner(struct dl_phdr_info *info, size_t size, void *user)
{
	struct owner *owner = user;
	struct dynamic d;
	uintptr_t at;

	if (dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum) < 0 ||
	    dynamic_find(&d, "malloc", &at) == NULL)
		return 0;
	owner->is_other = !is_of(info, (uintptr_t)visit_owner);
	if (owner->is_other)
		note_path(owner, info->dlpi_name);
	return 1;
}

bool rebind_malloc_is_hidden(char *path, size_t size)
{
	struct owner owner = {.path = path, .size = size};

	dl_iterate_phdr(visit_owner, &owner);
	return owner.is_other;
}
