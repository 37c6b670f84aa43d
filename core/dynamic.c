#include "core/dynamic.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "core/arch.h"
#include "core/modules.h"

#define PAGE 4096 /* or larger: then some pages are asked about more than once */

static bool is_in_segment(const struct dynamic *d, uintptr_t at, size_t size, ElfW(Word) flags)
{
	for (unsigned i = 0; i < d->headers_count; i++) {
		const ElfW(Phdr) *ph = &d->headers[i];
		uintptr_t start = d->bias + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && (ph->p_flags & flags) == flags && at >= start &&
		    at - start < ph->p_memsz && size <= ph->p_memsz - (at - start))
			return true;
	}
	return false;
}

static bool is_readable(struct dynamic *d, uintptr_t at, size_t size)
{
	if (at < PAGE || at + size < at)
		return false;
	for (uintptr_t page = at & ~(uintptr_t)(PAGE - 1); page < at + size; page += PAGE) {
		uintptr_t *known =
			&d->readable[page / PAGE % (sizeof(d->readable) / sizeof(d->readable[0]))];

		if (*known == page)
			continue;
		if (!memory_is_readable(page))
			return false;
		*known = page;
	}
	return true;
}

/* @size bytes at @at, or NULL. */
static const void *look(struct dynamic *d, uintptr_t at, size_t size)
{
	return is_in_segment(d, at, size, PF_R) && is_readable(d, at, size) ? (const void *)at
									    : NULL;
}

bool dynamic_contains(const struct dynamic *d, uintptr_t address, ElfW(Word) flags)
{
	return is_in_segment(d, address, 1, flags);
}

/* The loader writes the address over the offset, unless the section is read-only. */
static uintptr_t absolute(const struct dynamic *d, ElfW(Addr) value)
{
	return is_in_segment(d, value, 1, PF_R) ? value : d->bias + value;
}

static void read_headers(struct dynamic *d, const ElfW(Phdr) * *ret_dynamic)
{
	for (unsigned i = 0; i < d->headers_count; i++) {
		const ElfW(Phdr) *ph = &d->headers[i];

		if (ph->p_type == PT_DYNAMIC)
			*ret_dynamic = ph;
		if (ph->p_type != PT_GNU_RELRO)
			continue;
		/* as the loader reckons: the first page may be shared with what lies before, the last not with what follows */
		d->relro_start = (d->bias + ph->p_vaddr) & ~(uintptr_t)(PAGE - 1);
		d->relro_end = (d->bias + ph->p_vaddr + ph->p_memsz) & ~(uintptr_t)(PAGE - 1);
	}
}

/* What a file says it has in another form than ours is not there: relocations without addends, symbols of another size. */
static void note_entry(struct dynamic *d, const ElfW(Dyn) * entry, bool *is_odd)
{
	ElfW(Addr) value = entry->d_un.d_val;

	switch (entry->d_tag) {
	case DT_SYMTAB:
		d->symbols = absolute(d, value);
		break;
	case DT_STRTAB:
		d->names = absolute(d, value);
		break;
	case DT_STRSZ:
		d->names_bytes = value;
		break;
	case DT_GNU_HASH:
		d->gnu_hash = absolute(d, value);
		break;
	case DT_HASH:
		d->sysv_hash = absolute(d, value);
		break;
	case DT_RELA:
		d->relocations = absolute(d, value);
		break;
	case DT_RELASZ:
		d->relocations_bytes = value;
		break;
	case DT_RELACOUNT:
		d->relative_count = value;
		break;
	case DT_JMPREL:
		d->plt_relocations = absolute(d, value);
		break;
	case DT_PLTRELSZ:
		d->plt_relocations_bytes = value;
		break;
	case DT_RELAENT:
		*is_odd |= value != sizeof(ElfW(Rela));
		break;
	case DT_SYMENT:
		*is_odd |= value != sizeof(ElfW(Sym));
		break;
	case DT_PLTREL:
		*is_odd |= value != DT_RELA;
		break;
	default:
		break;
	}
}

int dynamic_read(struct dynamic *d, uintptr_t bias, const ElfW(Phdr) * headers, unsigned count)
{
	const ElfW(Phdr) *section = NULL;
	bool is_odd = false;

	*d = (struct dynamic){.bias = bias, .headers = headers, .headers_count = count};
	/* not look(): the headers may be a copy of the loader's */
	if (headers == NULL || !is_readable(d, (uintptr_t)headers, count * sizeof(*headers)))
		return -EINVAL;
	read_headers(d, &section);
	if (section == NULL)
		return -ENOENT;
	for (size_t at = 0; at + sizeof(ElfW(Dyn)) <= section->p_memsz; at += sizeof(ElfW(Dyn))) {
		const ElfW(Dyn) *entry = look(d, bias + section->p_vaddr + at, sizeof(*entry));

		if (entry == NULL)
			return -EINVAL;
		if (entry->d_tag == DT_NULL)
			break;
		note_entry(d, entry, &is_odd);
	}
	return is_odd || d->symbols == 0 || d->names == 0 ? -EINVAL : 0;
}

static const ElfW(Sym) * symbol_at(struct dynamic *d, uint32_t symbol)
{
	return look(d, d->symbols + symbol * sizeof(ElfW(Sym)), sizeof(ElfW(Sym)));
}

bool dynamic_is_named(struct dynamic *d, uint32_t symbol, const char *name)
{
	const ElfW(Sym) *s = symbol_at(d, symbol);
	size_t size = strlen(name) + 1;
	const char *named;

	if (s == NULL || s->st_name >= d->names_bytes || size > d->names_bytes - s->st_name)
		return false;
	named = look(d, d->names + s->st_name, size);
	return named != NULL && memcmp(named, name, size) == 0;
}

/*
 * A function of the file's own code. One that is chosen at run time (STT_GNU_IFUNC) has no address here, and no allocator
 * that we know of has such; a name that is only asked for has no address, or that of the file's own stub.
 */
static bool is_function(struct dynamic *d, const ElfW(Sym) * s, uintptr_t *ret_address)
{
	unsigned type = ELF64_ST_TYPE(s->st_info), binding = ELF64_ST_BIND(s->st_info);
	uintptr_t address = s->st_value + (s->st_shndx == SHN_ABS ? 0 : d->bias);

	if (s->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_NOTYPE) ||
	    (binding != STB_GLOBAL && binding != STB_WEAK) || !dynamic_contains(d, address, PF_X))
		return false;
	*ret_address = address;
	return true;
}

static const ElfW(Sym) *
	match(struct dynamic *d, uint32_t symbol, const char *name, uintptr_t *ret_address)
{
	const ElfW(Sym) * s;

	if (!dynamic_is_named(d, symbol, name))
		return NULL;
	s = symbol_at(d, symbol);
	return is_function(d, s, ret_address) ? s : NULL;
}

static const ElfW(Sym) *
	find_by_gnu_hash(struct dynamic *d, const char *name, uintptr_t *ret_address)
{
	const uint32_t *head = look(d, d->gnu_hash, 16), *word;
	uintptr_t buckets, chains;
	uint32_t hash = 5381, symbol;

	for (const char *c = name; *c != '\0'; c++)
		hash = hash * 33 + (unsigned char)*c;
	if (head == NULL || head[0] == 0)
		return NULL;
	/* number of buckets, first symbol, words of a filter that spares misses, which are no matter here */
	buckets = d->gnu_hash + 16 + head[2] * sizeof(uint64_t);
	chains = buckets + head[0] * sizeof(uint32_t);
	word = look(d, buckets + hash % head[0] * sizeof(uint32_t), sizeof(uint32_t));
	if (word == NULL || *word < head[1])
		return NULL;
	for (symbol = *word; symbol != 0; symbol++) {
		const ElfW(Sym) * s;

		word = look(d, chains + (uintptr_t)(symbol - head[1]) * sizeof(uint32_t),
			    sizeof(uint32_t));
		if (word == NULL)
			return NULL;
		s = (*word | 1) == (hash | 1) ? match(d, symbol, name, ret_address) : NULL;
		if (s != NULL)
			return s;
		if (*word & 1)
			return NULL;
	}
	return NULL;
}

static const ElfW(Sym) *
	find_by_sysv_hash(struct dynamic *d, const char *name, uintptr_t *ret_address)
{
	const uint32_t *head = look(d, d->sysv_hash, 8), *word;
	uintptr_t buckets = d->sysv_hash + 8, chains;
	uint32_t hash = 0;

	for (const char *c = name; *c != '\0'; c++) {
		hash = (hash << 4) + (unsigned char)*c;
		hash = (hash ^ (hash & 0xf0000000) >> 24) & 0x0fffffff;
	}
	if (head == NULL || head[0] == 0)
		return NULL;
	chains = buckets + head[0] * sizeof(uint32_t);
	word = look(d, buckets + hash % head[0] * sizeof(uint32_t), sizeof(uint32_t));
	/* no more steps than there are symbols: a chain may be a ring */
	for (uint32_t steps = 0; word != NULL && *word != 0 && steps < head[1]; steps++) {
		uint32_t symbol = *word;
		const ElfW(Sym) *s = match(d, symbol, name, ret_address);

		if (s != NULL)
			return s;
		word = look(d, chains + symbol * sizeof(uint32_t), sizeof(uint32_t));
	}
	return NULL;
}

/* Without a hash table nothing says how many symbols there are. Linkers put the names behind them. */
static const ElfW(Sym) *
	find_by_looking(struct dynamic *d, const char *name, uintptr_t *ret_address)
{
	uintptr_t end = d->names > d->symbols ? d->names : UINTPTR_MAX;

	for (uint32_t symbol = 1; symbol < UINT32_MAX; symbol++) {
		uintptr_t at = d->symbols + symbol * sizeof(ElfW(Sym));
		const ElfW(Sym) * s;

		if (at + sizeof(ElfW(Sym)) > end || look(d, at, sizeof(ElfW(Sym))) == NULL)
			return NULL;
		s = match(d, symbol, name, ret_address);
		if (s != NULL)
			return s;
	}
	return NULL;
}

const ElfW(Sym) * dynamic_find(struct dynamic *d, const char *name, uintptr_t *ret_address)
{
	if (d->gnu_hash != 0)
		return find_by_gnu_hash(d, name, ret_address);
	if (d->sysv_hash != 0)
		return find_by_sysv_hash(d, name, ret_address);
	return find_by_looking(d, name, ret_address);
}

/* The entries from number @first of one of the two tables of relocations. */
static void each_of_table(struct dynamic *d, uintptr_t table, size_t bytes, size_t first,
			  void (*each)(struct dynamic *d, const struct dynamic_slot *slot,
				       void *user),
			  void *user)
{
	for (size_t i = first; i < bytes / sizeof(ElfW(Rela)); i++) {
		const ElfW(Rela) *r = look(d, table + i * sizeof(*r), sizeof(*r));
		struct dynamic_slot slot;
		uint32_t type;

		if (r == NULL)
			return;
		type = (uint32_t)ELF64_R_TYPE(r->r_info);
		if (type != ARCH_RELOCATION_CALL && type != ARCH_RELOCATION_ADDRESS &&
		    (type != ARCH_RELOCATION_WORD || r->r_addend != 0))
			continue;
		slot = (struct dynamic_slot){
			.at = (uintptr_t *)(d->bias + r->r_offset),
			.symbol = (uint32_t)ELF64_R_SYM(r->r_info),
			.is_lazy = type == ARCH_RELOCATION_CALL,
		};
		if (slot.symbol != 0 && (uintptr_t)slot.at % sizeof(*slot.at) == 0 &&
		    is_in_segment(d, (uintptr_t)slot.at, sizeof(*slot.at), PF_R | PF_W) &&
		    is_readable(d, (uintptr_t)slot.at, sizeof(*slot.at)))
			each(d, &slot, user);
	}
}

void dynamic_each_slot(struct dynamic *d,
		       void (*each)(struct dynamic *d, const struct dynamic_slot *slot, void *user),
		       void *user)
{
	if (d->plt_relocations != 0)
		each_of_table(d, d->plt_relocations, d->plt_relocations_bytes, 0, each, user);
	if (d->relocations != 0)
		each_of_table(d, d->relocations, d->relocations_bytes, d->relative_count, each,
			      user);
}
