#include "page/sheet.h"

static void put_four(struct sheet_section *s, const uint8_t *in, unsigned n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t word =
		(uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0) | (n > 2 ? in[2] : 0);
	char four[4] = {digits[word >> 18], digits[word >> 12 & 63],
			n > 1 ? digits[word >> 6 & 63] : '=', n > 2 ? digits[word & 63] : '='};

	s->bytes += sizeof(four);
	if (s->to != NULL)
		out_bytes(s->to, four, sizeof(four));
}

/* Of gzip. */
static int on_packed(void *context, const void *bytes, size_t size)
{
	struct sheet_section *s = context;
	const uint8_t *at = bytes, *end = at + size;

	for (; at < end; at++) {
		s->carry[s->carried++] = *at;
		if (s->carried == 3) {
			put_four(s, s->carry, 3);
			s->carried = 0;
		}
	}
	return s->to != NULL ? s->to->error : 0;
}

void sheet_open_given(struct out *out)
{
	out_text(out, "<script type=\"application/json\" id=\"given\">{");
}

void sheet_give(struct out *out, bool is_first, const char *question, const char *json, size_t size)
{
	const char *end = json + size, *next;

	if (!is_first)
		out_char(out, ',');
	out_json(out, question, strlen(question));
	out_char(out, ':');
	/* it stands in strings alone */
	for (; (next = memchr(json, '<', (size_t)(end - json))) != NULL; json = next + 1) {
		out_bytes(out, json, (size_t)(next - json));
		out_text(out, "\\u003c");
	}
	out_bytes(out, json, (size_t)(end - json));
}

void sheet_close_given(struct out *out)
{
	out_text(out, "}</script>\n");
}

void sheet_open_section(struct out *out, const char *id)
{
	out_format(out, "<script type=\"application/octet-stream\" id=\"%s\">", id);
}

void sheet_close_section(struct out *out)
{
	out_text(out, "</script>\n");
}

int sheet_section_begin(struct sheet_section *s, struct out *to)
{
	*s = (struct sheet_section){.to = to};
	return gzip_pack_create(&s->packer, on_packed, s);
}

int sheet_section_put(void *section, const void *bytes, size_t size)
{
	struct sheet_section *s = section;

	return gzip_pack(s->packer, bytes, size);
}

int sheet_section_end(struct sheet_section *s)
{
	int r = gzip_pack_finish(s->packer);

	if (r == 0 && s->carried > 0)
		put_four(s, s->carry, s->carried);
	return r;
}

void sheet_section_fini(struct sheet_section *s)
{
	gzip_pack_destroy(s->packer);
	s->packer = NULL;
}
