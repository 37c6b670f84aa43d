#include "output/symbols_lines.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <dwarf.h>

#define FILES_MAX   (1 << 18)
#define FORMATS_MAX 16 /* DWARF 5 defines five kinds of content */

struct lines_file {
	const char *name;
	const char *path; /* joined; NULL: not asked yet */
	uint32_t directory;
};

/* What the header says of the program that follows it. */
struct program {
	uint8_t instruction_length, opcode_base, line_range;
	int8_t line_base;
	uint8_t operands[256]; /* of each standard opcode */
};

/* The registers of the machine that the program runs on. */
struct machine {
	uint64_t address, file, line;
};

static void *grow(void *array, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t wanted;
	void *grown;

	if (n < *room)
		return array;
	wanted = *room != 0 ? *room * 2 : 32;
	grown = realloc(array, (size_t)wanted * size);
	if (grown != NULL)
		*room = wanted;
	return grown;
}

static int add_directory(struct lines *lines, const char *name)
{
	void *grown;

	if (lines->directories_n == FILES_MAX)
		return -EINVAL;
	grown = grow(lines->directories, lines->directories_n, &lines->directories_room,
		     sizeof(char *));
	if (grown == NULL)
		return -ENOMEM;
	lines->directories = grown;
	lines->directories[lines->directories_n++] = name;
	return 0;
}

static int add_file(struct lines *lines, const char *name, uint64_t directory)
{
	void *grown;

	if (lines->files_n == FILES_MAX)
		return -EINVAL;
	grown = grow(lines->files, lines->files_n, &lines->files_room, sizeof(*lines->files));
	if (grown == NULL)
		return -ENOMEM;
	lines->files = grown;
	lines->files[lines->files_n++] = (struct lines_file){
		.name = name, .directory = directory < FILES_MAX ? (uint32_t)directory : 0};
	return 0;
}

/*
 * Until DWARF 4: names one after another, an empty one ends the list. Directory 0 is the
 * compilation's.
 */
static int read_old_tables(struct lines *lines, struct bytes *b)
{
	const char *name;
	uint64_t directory;
	int r = add_directory(lines, lines->base);

	while (r == 0 && (name = bytes_text(b)) != NULL && name[0] != '\0')
		r = add_directory(lines, name);
	if (r == 0)
		r = add_file(lines, NULL, 0); /* files count from 1 */
	while (r == 0 && (name = bytes_text(b)) != NULL && name[0] != '\0') {
		directory = bytes_uleb(b);
		bytes_uleb(b); /* time */
		bytes_uleb(b); /* size */
		r = add_file(lines, name, directory);
	}
	return r < 0 ? r : b->is_short ? -EINVAL : 0;
}

/* One field of an entry: a text, a number, or neither (a checksum). */
static int read_field(struct bytes *b, const struct lines_input *in, uint64_t form,
		      unsigned offset_size, const char **ret_text, uint64_t *ret_number)
{
	struct bytes at;

	switch (form) {
	case DW_FORM_string:
		*ret_text = bytes_text(b);
		return 0;
	case DW_FORM_line_strp:
		at = bytes_at(in->line_str, bytes_fixed(b, offset_size));
		*ret_text = bytes_text(&at);
		return 0;
	case DW_FORM_strp:
		at = bytes_at(in->str, bytes_fixed(b, offset_size));
		*ret_text = bytes_text(&at);
		return 0;
	case DW_FORM_udata:
		*ret_number = bytes_uleb(b);
		return 0;
	case DW_FORM_data1:
		*ret_number = bytes_u8(b);
		return 0;
	case DW_FORM_data2:
		*ret_number = bytes_fixed(b, 2);
		return 0;
	case DW_FORM_data4:
		*ret_number = bytes_fixed(b, 4);
		return 0;
	case DW_FORM_data8:
		*ret_number = bytes_fixed(b, 8);
		return 0;
	case DW_FORM_data16:
		bytes_skip(b, 16);
		return 0;
	case DW_FORM_block:
		bytes_skip(b, bytes_uleb(b));
		return 0;
	default:
		return -EINVAL;
	}
}

/* From DWARF 5: what an entry consists of, how many there are, then they. */
static int read_new_table(struct lines *lines, struct bytes *b, const struct lines_input *in,
			  unsigned offset_size, bool is_files)
{
	uint64_t content[FORMATS_MAX], form[FORMATS_MAX], entries, number;
	unsigned formats = bytes_u8(b);
	const char *text, *name;
	uint64_t directory;
	int r = 0;

	if (formats > FORMATS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < formats; i++) {
		content[i] = bytes_uleb(b);
		form[i] = bytes_uleb(b);
	}
	entries = bytes_uleb(b);
	if (formats == 0 && entries != 0)
		return -EINVAL;
	for (uint64_t e = 0; e < entries && r == 0; e++) {
		name = NULL;
		directory = 0;
		for (unsigned i = 0; i < formats && r == 0; i++) {
			text = NULL;
			number = 0;
			r = read_field(b, in, form[i], offset_size, &text, &number);
			if (content[i] == DW_LNCT_path)
				name = text;
			else if (content[i] == DW_LNCT_directory_index)
				directory = number;
		}
		if (b->is_short)
			return -EINVAL;
		if (r == 0)
			r = is_files ? add_file(lines, name, directory)
				     : add_directory(lines, name);
	}
	return r;
}

static int add_row(struct lines *lines, const struct lines_input *in, const struct machine *m)
{
	uint32_t line = m->line <= INT32_MAX ? (uint32_t)m->line : 0;
	uint32_t file = m->file < FILES_MAX ? (uint32_t)m->file : FILES_MAX;
	void *grown;

	if (lines->rows_n >= in->rows_max)
		return -EINVAL;
	grown = grow(lines->rows, lines->rows_n, &lines->rows_room, sizeof(*lines->rows));
	if (grown == NULL)
		return -ENOMEM;
	lines->rows = grown;
	lines->rows[lines->rows_n++] = (struct lines_row){m->address, line, file};
	return 0;
}

/*
 * Ends the rows from @first on at @end. Rows that are not in order, or of dropped code, are taken
 * back.
 */
static int end_sequence(struct lines *lines, const struct lines_input *in, uint32_t first,
			uint64_t end)
{
	uint32_t n = lines->rows_n - first;
	bool is_good = n > 0 && lines->rows[first].address >= in->text_start &&
		       end <= in->text_end && lines->rows[first].address < end;

	for (uint32_t i = first + 1; i < lines->rows_n && is_good; i++)
		is_good = lines->rows[i - 1].address <= lines->rows[i].address;
	if (is_good)
		return spans_add(&lines->sequences, lines->rows[first].address, end, first, n);
	lines->rows_n = first;
	return 0;
}

static int run_program(struct lines *lines, struct bytes *b, const struct lines_input *in,
		       const struct program *p)
{
	const struct machine start = {.file = 1, .line = 1};
	struct machine m = start;
	struct bytes extended;
	uint64_t length;
	uint32_t first = 0;
	unsigned opcode;
	int r = 0;

	while (b->p < b->end && r == 0) {
		opcode = *b->p++;
		if (opcode >= p->opcode_base) {
			opcode -= p->opcode_base;
			m.address += (uint64_t)(opcode / p->line_range) * p->instruction_length;
			m.line += (uint64_t)(int64_t)(p->line_base + (int)(opcode % p->line_range));
			r = add_row(lines, in, &m);
			continue;
		}
		switch (opcode) {
		case 0:
			length = bytes_uleb(b);
			if (length == 0 || length > bytes_left(b))
				return -EINVAL;
			extended = (struct bytes){.p = b->p, .end = b->p + length};
			bytes_skip(b, length);
			switch (bytes_u8(&extended)) {
			case DW_LNE_end_sequence:
				r = end_sequence(lines, in, first, m.address);
				first = lines->rows_n;
				m = start;
				break;
			case DW_LNE_set_address:
				if (length == 9)
					m.address = bytes_fixed(&extended, 8);
				break;
			case DW_LNE_define_file: {
				const char *name = bytes_text(&extended);

				r = add_file(lines, name, bytes_uleb(&extended));
				break;
			}
			default:
				break;
			}
			break;
		case DW_LNS_copy:
			r = add_row(lines, in, &m);
			break;
		case DW_LNS_advance_pc:
			m.address += bytes_uleb(b) * p->instruction_length;
			break;
		case DW_LNS_advance_line:
			m.line += (uint64_t)bytes_sleb(b);
			break;
		case DW_LNS_set_file:
			m.file = bytes_uleb(b);
			break;
		case DW_LNS_const_add_pc:
			m.address += (uint64_t)((255 - p->opcode_base) / p->line_range) *
				     p->instruction_length;
			break;
		case DW_LNS_fixed_advance_pc:
			m.address += bytes_fixed(b, 2);
			break;
		default: /* of no interest, or unknown: as many numbers as the header says */
			for (unsigned i = 0; i < p->operands[opcode]; i++)
				bytes_uleb(b);
			break;
		}
		if (b->is_short)
			return -EINVAL;
	}
	lines->rows_n = first; /* a sequence without an end */
	return r;
}

static int read_table(struct lines *lines, const struct lines_input *in, uint64_t offset)
{
	struct bytes b = bytes_at(in->line, offset), program_bytes;
	struct program p = {0};
	unsigned offset_size = bytes_unit(&b);
	uint64_t header_length;
	int r;

	lines->version = (int)bytes_fixed(&b, 2);
	if (b.is_short || lines->version < 2 || lines->version > 5)
		return -EINVAL;
	if (lines->version >= 5) {
		if (bytes_u8(&b) != 8) /* bytes of an address */
			return -EINVAL;
		bytes_u8(&b); /* of a segment */
	}
	header_length = bytes_fixed(&b, offset_size);
	program_bytes = bytes_at(b, header_length);
	p.instruction_length = bytes_u8(&b);
	if (lines->version >= 4)
		bytes_u8(
			&b); /* operations of an instruction: more than one on no machine of ours */
	bytes_u8(&b);        /* is_stmt at the start */
	p.line_base = (int8_t)bytes_u8(&b);
	p.line_range = bytes_u8(&b);
	p.opcode_base = bytes_u8(&b);
	for (unsigned i = 1; i < p.opcode_base; i++)
		p.operands[i] = bytes_u8(&b);
	if (b.is_short || program_bytes.is_short || p.line_range == 0 || p.opcode_base == 0)
		return -EINVAL;
	b.end = program_bytes.p;
	if (lines->version >= 5) {
		r = read_new_table(lines, &b, in, offset_size, false);
		if (r == 0)
			r = read_new_table(lines, &b, in, offset_size, true);
	} else {
		r = read_old_tables(lines, &b);
	}
	if (r < 0)
		return r;
	return run_program(lines, &program_bytes, in, &p);
}

int lines_read(struct lines *lines, const struct lines_input *in, uint64_t offset, const char *base)
{
	struct lines_row *fitting;
	int r;

	*lines = (struct lines){.base = base};
	r = read_table(lines, in, offset);
	if (r == 0)
		r = spans_sort(&lines->sequences);
	if (r < 0) {
		lines_fini(lines);
		return r;
	}
	fitting = realloc(lines->rows, ((size_t)lines->rows_n + 1) * sizeof(*fitting));
	if (fitting != NULL) {
		lines->rows = fitting;
		lines->rows_room = lines->rows_n + 1;
	}
	return 0;
}

void lines_fini(struct lines *lines)
{
	if (lines == NULL)
		return;
	free(lines->rows);
	free(lines->files);
	free(lines->directories);
	spans_fini(&lines->sequences);
	*lines = (struct lines){0};
}

/* The last of the rows at or before @address, in the sequence that covers it. */
const struct lines_row *lines_find(const struct lines *lines, uint64_t address)
{
	uint32_t at = spans_find(&lines->sequences, address, UINT32_MAX), low, high, middle;

	if (at == UINT32_MAX)
		return NULL;
	low = lines->sequences.v[at].what;
	high = low + lines->sequences.v[at].rank;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (lines->rows[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	return &lines->rows[low];
}

const char *lines_file(struct lines *lines, uint64_t file, struct strings *st)
{
	const char *directory = NULL, *base;
	struct lines_file *f;
	char path[PATH_MAX];

	if (file >= lines->files_n || lines->files[file].name == NULL)
		return NULL;
	f = &lines->files[file];
	if (f->path != NULL)
		return f->path;
	if (f->directory < lines->directories_n)
		directory = lines->directories[f->directory];
	base = f->directory != 0 && lines->directories_n > 0 ? lines->directories[0] : NULL;
	if (f->name[0] == '/' || directory == NULL || directory[0] == '\0')
		snprintf(path, sizeof(path), "%s", f->name);
	else if (directory[0] == '/' || base == NULL || base[0] == '\0')
		snprintf(path, sizeof(path), "%s/%s", directory, f->name);
	else
		snprintf(path, sizeof(path), "%s/%s/%s", base, directory, f->name);
	f->path = strings_intern(st, path);
	return f->path;
}
