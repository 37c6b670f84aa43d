#include "output/symbols_scan.h"

#include <errno.h>
#include <stdlib.h>

#include <dwarf.h>

#define KINDS_MAX 65536 /* numbers of kinds in one table; the largest seen has 2,000 */
#define FORM_MAX  0x2c
#define DEPTH_MAX 512

/* How long a value is, by its form. */
enum {
	SIZE_MASK = 0x1f, /* bytes */
	OFFSET = 0x20,    /* as long as an offset of this unit */
	VARIES = 0x40,    /* see skip_value() */
	UNKNOWN = 0x80,
};

struct attribute {
	uint16_t name, form;
};

struct kind {
	uint16_t tag;
	bool is_known, has_children;
	bool is_fixed;      /* all values have one length: @skip */
	bool may_have_code; /* a function with an address */
	uint32_t skip;      /* bytes of its values */
	uint32_t attribute, attributes_n;
	int32_t sibling; /* where in the values DW_AT_sibling is; -1: not known */
};

struct scan_table {
	uint64_t offset;
	unsigned offset_size, version;
	uint32_t kinds_n;
	struct kind *kinds; /* by number */
	struct attribute *attributes;
	uint32_t attributes_n, attributes_room;
};

struct unit {
	struct bytes whole;   /* from its length on, cut at its end */
	struct bytes entries; /* what is left to read */
	uint64_t offset;
	unsigned version, offset_size;
	uint64_t abbrev;
};

static unsigned form_size(unsigned form)
{
	switch (form) {
	case DW_FORM_addr:
	case DW_FORM_data8:
	case DW_FORM_ref8:
	case DW_FORM_ref_sig8:
	case DW_FORM_ref_sup8:
		return 8;
	case DW_FORM_data1:
	case DW_FORM_ref1:
	case DW_FORM_flag:
	case DW_FORM_strx1:
	case DW_FORM_addrx1:
		return 1;
	case DW_FORM_data2:
	case DW_FORM_ref2:
	case DW_FORM_strx2:
	case DW_FORM_addrx2:
		return 2;
	case DW_FORM_strx3:
	case DW_FORM_addrx3:
		return 3;
	case DW_FORM_data4:
	case DW_FORM_ref4:
	case DW_FORM_strx4:
	case DW_FORM_addrx4:
	case DW_FORM_ref_sup4:
		return 4;
	case DW_FORM_data16:
		return 16;
	case DW_FORM_flag_present:
	case DW_FORM_implicit_const:
		return 0;
	case DW_FORM_sec_offset:
	case DW_FORM_strp:
	case DW_FORM_line_strp:
	case DW_FORM_strp_sup:
	case DW_FORM_ref_addr:
	case DW_FORM_GNU_ref_alt:
	case DW_FORM_GNU_strp_alt:
		return OFFSET;
	case DW_FORM_block1:
	case DW_FORM_block2:
	case DW_FORM_block4:
	case DW_FORM_block:
	case DW_FORM_exprloc:
	case DW_FORM_string:
	case DW_FORM_sdata:
	case DW_FORM_udata:
	case DW_FORM_ref_udata:
	case DW_FORM_strx:
	case DW_FORM_addrx:
	case DW_FORM_loclistx:
	case DW_FORM_rnglistx:
	case DW_FORM_GNU_addr_index:
	case DW_FORM_GNU_str_index:
		return VARIES;
	default: /* DW_FORM_indirect too: no compiler writes it */
		return UNKNOWN;
	}
}

static void skip_leb(struct bytes *b)
{
	while (b->p < b->end)
		if ((*b->p++ & 0x80) == 0)
			return;
	b->is_short = true;
}

static void skip_value(struct bytes *b, unsigned form, unsigned offset_size)
{
	unsigned size = form_size(form);

	if ((size & VARIES) == 0) {
		bytes_skip(b, (size & OFFSET) != 0 ? offset_size : size & SIZE_MASK);
		return;
	}
	switch (form) {
	case DW_FORM_block1:
		bytes_skip(b, bytes_u8(b));
		break;
	case DW_FORM_block2:
		bytes_skip(b, bytes_fixed(b, 2));
		break;
	case DW_FORM_block4:
		bytes_skip(b, bytes_fixed(b, 4));
		break;
	case DW_FORM_block:
	case DW_FORM_exprloc:
		bytes_skip(b, bytes_uleb(b));
		break;
	case DW_FORM_string:
		bytes_text(b);
		break;
	default:
		skip_leb(b);
		break;
	}
}

void scan_table_destroy(struct scan_table *table)
{
	if (table == NULL)
		return;
	free(table->kinds);
	free(table->attributes);
	free(table);
}

static int add_attribute(struct scan_table *t, uint64_t name, uint64_t form)
{
	struct attribute *grown;
	uint32_t room;

	if (t->attributes_n == t->attributes_room) {
		if (t->attributes_room > 1 << 22)
			return -EINVAL;
		room = t->attributes_room != 0 ? t->attributes_room * 2 : 256;
		grown = realloc(t->attributes, room * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		t->attributes = grown;
		t->attributes_room = room;
	}
	t->attributes[t->attributes_n++] =
		(struct attribute){name <= 0xffff ? (uint16_t)name : 0, (uint16_t)form};
	return 0;
}

/* Reads the attributes of one kind, and what they come to. */
static int read_kind(struct scan_table *t, struct kind *k, struct bytes *b)
{
	uint64_t name, form;
	unsigned size;
	int r;

	k->attribute = t->attributes_n;
	k->is_fixed = true;
	k->sibling = -1;
	while (name = bytes_uleb(b), form = bytes_uleb(b),
	       !b->is_short && (name != 0 || form != 0)) {
		if (form == DW_FORM_implicit_const)
			bytes_sleb(b);
		size = form <= UINT16_MAX ? form_size((unsigned)form) : UNKNOWN;
		if (size == UNKNOWN || (form == DW_FORM_ref_addr && t->version < 3))
			return -EINVAL;
		if (name == DW_AT_sibling && form == DW_FORM_ref4 && k->is_fixed)
			k->sibling = (int32_t)k->skip;
		if (k->tag == DW_TAG_subprogram && (name == DW_AT_low_pc || name == DW_AT_ranges))
			k->may_have_code = true;
		if (size == VARIES)
			k->is_fixed = false;
		else
			k->skip += size == OFFSET ? t->offset_size : size;
		r = add_attribute(t, name, form);
		if (r < 0)
			return r;
	}
	if (b->is_short)
		return -EINVAL;
	k->attributes_n = t->attributes_n - k->attribute;
	return 0;
}

static int read_table(struct scan_table *t, struct bytes b)
{
	struct kind *kinds;
	uint64_t number, tag;
	uint32_t room = 0, wanted;
	int r;

	while ((number = bytes_uleb(&b)) != 0) {
		if (number >= KINDS_MAX)
			return -EINVAL;
		if (number >= room) {
			for (wanted = room != 0 ? room : 128; wanted <= number; wanted *= 2)
				;
			kinds = realloc(t->kinds, wanted * sizeof(*kinds));
			if (kinds == NULL)
				return -ENOMEM;
			memset(kinds + room, 0, (wanted - room) * sizeof(*kinds));
			t->kinds = kinds;
			t->kinds_n = room = wanted;
		}
		if (t->kinds[number].is_known)
			return -EINVAL;
		tag = bytes_uleb(&b);
		t->kinds[number] = (struct kind){
			.tag = tag <= UINT16_MAX ? (uint16_t)tag : 0,
			.is_known = true,
			.has_children = bytes_u8(&b) != 0,
		};
		r = read_kind(t, &t->kinds[number], &b);
		if (r < 0)
			return r;
	}
	return b.is_short ? -EINVAL : 0;
}

static int find_table(const struct scan_sections *s, const struct unit *u,
		      struct scan_table **table)
{
	struct scan_table *t = *table;
	int r;

	if (t != NULL && t->offset == u->abbrev && t->offset_size == u->offset_size &&
	    t->version == u->version)
		return 0;
	scan_table_destroy(t);
	*table = NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->offset = u->abbrev;
	t->offset_size = u->offset_size;
	t->version = u->version;
	r = read_table(t, bytes_at(s->abbrev, u->abbrev));
	if (r < 0) {
		scan_table_destroy(t);
		return r;
	}
	*table = t;
	return 0;
}

static int read_header(const struct scan_sections *s, uint64_t offset, struct unit *u)
{
	struct bytes b = bytes_at(s->info, offset);
	const uint8_t *start = b.p;
	unsigned address_size, type = DW_UT_compile;

	u->offset = offset;
	u->offset_size = bytes_unit(&b);
	u->version = (unsigned)bytes_fixed(&b, 2);
	if (u->version >= 5) {
		type = bytes_u8(&b);
		address_size = bytes_u8(&b);
		u->abbrev = bytes_fixed(&b, u->offset_size);
		if (type == DW_UT_skeleton)
			bytes_skip(&b, 8);
	} else {
		u->abbrev = bytes_fixed(&b, u->offset_size);
		address_size = bytes_u8(&b);
	}
	if (b.is_short || u->version < 2 || u->version > 5 || address_size != 8 ||
	    (type != DW_UT_compile && type != DW_UT_partial && type != DW_UT_skeleton))
		return -EINVAL;
	u->entries = b;
	u->whole = (struct bytes){.p = start, .end = b.end};
	return 0;
}

/* Below these hangs no function, so their children are jumped over where the file says how far. */
static bool is_leaf(unsigned tag)
{
	switch (tag) {
	case DW_TAG_inlined_subroutine:
	case DW_TAG_call_site:
	case DW_TAG_GNU_call_site:
	case DW_TAG_subroutine_type:
	case DW_TAG_array_type:
	case DW_TAG_variable:
	case DW_TAG_formal_parameter:
	case DW_TAG_GNU_template_parameter_pack:
	case DW_TAG_GNU_formal_parameter_pack:
		return true;
	default:
		return false;
	}
}

static uint64_t read_indexed(const struct scan_sections *s, uint64_t addr_base, uint64_t index,
			     bool *ret_good)
{
	struct bytes b = s->addr;

	if (index > UINT32_MAX) {
		*ret_good = false;
		return 0;
	}
	bytes_skip(&b, addr_base);
	bytes_skip(&b, index * 8);
	index = bytes_fixed(&b, 8);
	*ret_good = !b.is_short;
	return index;
}

/* The addresses of the function whose values start at @b. Moves @b behind them. */
static void read_function(const struct scan_sections *s, const struct scan_table *t,
			  const struct kind *k, uint64_t addr_base, struct bytes *b,
			  struct scan_function *f)
{
	bool has_low = false, has_high = false, is_relative = false;
	uint64_t value;

	for (uint32_t i = 0; i < k->attributes_n; i++) {
		const struct attribute *a = &t->attributes[k->attribute + i];
		struct bytes at = *b;

		skip_value(b, a->form, t->offset_size);
		if (a->name != DW_AT_low_pc && a->name != DW_AT_high_pc)
			continue;
		is_relative = false;
		switch (a->form) {
		case DW_FORM_addr:
			value = bytes_fixed(&at, 8);
			break;
		case DW_FORM_addrx:
			value = bytes_uleb(&at);
			break;
		case DW_FORM_addrx1:
		case DW_FORM_addrx2:
		case DW_FORM_addrx3:
		case DW_FORM_addrx4:
			value = bytes_fixed(&at, form_size(a->form));
			break;
		case DW_FORM_data1:
		case DW_FORM_data2:
		case DW_FORM_data4:
		case DW_FORM_data8:
			value = bytes_fixed(&at, form_size(a->form));
			is_relative = true;
			break;
		case DW_FORM_udata:
			value = bytes_uleb(&at);
			is_relative = true;
			break;
		default:
			continue;
		}
		if (a->name == DW_AT_low_pc) {
			has_low = !is_relative;
			if (a->form != DW_FORM_addr && has_low)
				value = read_indexed(s, addr_base, value, &has_low);
			f->low = value;
		} else {
			has_high = a->form == DW_FORM_addr || (is_relative && has_low);
			f->high = is_relative ? f->low + value : value;
		}
	}
	/* The end is written as a length behind the start; the other order is left to libdw. */
	f->has_range = has_low && has_high && f->high > f->low;
}

/* Jumps to the sibling that @k's values at @values name. Only forward, and inside. */
static bool jump(const struct unit *u, const struct kind *k, const uint8_t *values, struct bytes *b)
{
	uint32_t distance;

	if (k->sibling < 0 || (uint64_t)(b->end - values) < (uint64_t)k->sibling + 4)
		return false;
	memcpy(&distance, values + k->sibling, sizeof(distance));
	if (distance >= (uint64_t)(u->whole.end - u->whole.p) || u->whole.p + distance < b->p)
		return false;
	b->p = u->whole.p + distance;
	return true;
}

int scan_unit(const struct scan_sections *sections, uint64_t offset, uint64_t addr_base,
	      struct scan_table **table,
	      int (*found)(void *data, const struct scan_function *function), void *data)
{
	struct scan_function f;
	struct unit u;
	struct bytes b;
	const struct kind *k;
	const uint8_t *entry, *values;
	uint64_t number;
	int depth = 0, r = read_header(sections, offset, &u);

	if (r == 0)
		r = find_table(sections, &u, table);
	if (r < 0)
		return r;
	b = u.entries;
	while (b.p < b.end) {
		entry = b.p;
		number = *b.p < 0x80 ? *b.p++ : bytes_uleb(&b);
		if (number == 0) {
			if (--depth <= 0)
				break;
			continue;
		}
		if (number >= (*table)->kinds_n || !(*table)->kinds[number].is_known)
			return -EINVAL;
		k = &(*table)->kinds[number];
		values = b.p;
		if (k->may_have_code) {
			f = (struct scan_function){
				.offset = u.offset + (uint64_t)(entry - u.whole.p),
				.depth = depth,
			};
			read_function(sections, *table, k, addr_base, &b, &f);
			r = b.is_short ? -EINVAL : found(data, &f);
			if (r < 0)
				return r;
		} else if (k->is_fixed) {
			bytes_skip(&b, k->skip);
		} else {
			for (uint32_t i = 0; i < k->attributes_n; i++)
				skip_value(&b, (*table)->attributes[k->attribute + i].form,
					   u.offset_size);
		}
		if (b.is_short)
			return -EINVAL;
		if (k->has_children) {
			if (is_leaf(k->tag) && jump(&u, k, values, &b))
				continue;
			if (++depth == DEPTH_MAX)
				return -EINVAL;
		} else if (depth == 0) {
			break;
		}
	}
	return 0;
}
