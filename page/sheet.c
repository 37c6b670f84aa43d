#include "page/sheet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define NONCE_BYTES 16
#define PAGE_MAX    (4 << 20)
#define ASSET_NAME  64

static int put_asset(const struct asset *files, const char *name, struct out *out, struct why *why)
{
	uint8_t *bytes = NULL;
	size_t size;
	int r;

	while (files->name != NULL && strcmp(files->name, name) != 0)
		files++;
	if (files->name == NULL) {
		why_set(why, "the page has no %s", name);
		return -EINVAL;
	}
	r = gzip_unpack(files->bytes, files->packed_size, PAGE_MAX, &bytes, &size, why);
	if (r == 0)
		out_bytes(out, (const char *)bytes, size);
	free(bytes);
	return r;
}

static int put_text(void *context, const void *bytes, size_t size)
{
	FILE *to = context;

	return fwrite(bytes, 1, size, to) == size ? 0 : -ENOMEM;
}

typedef int sheet_write_part(const struct sheet *s, sheet_data *data, void *context,
			     struct out *out, struct why *why);

/* What @write writes, from malloc; NULL: @why. */
static char *text_of(sheet_write_part *write, const struct sheet *s, sheet_data *data,
		     void *context, size_t *ret_size, struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	char *text = NULL;
	FILE *to = out != NULL ? open_memstream(&text, ret_size) : NULL;
	int r = -ENOMEM;

	why_set(why, "no memory for the page");
	if (to != NULL) {
		out_init_sink(out, put_text, to);
		r = write(s, data, context, out, why);
		if (r == 0)
			r = out_flush(out);
		if (fclose(to) != 0)
			r = -ENOMEM;
	}
	free(out);
	if (r == 0)
		return text;
	free(text);
	return NULL;
}

static int put_index(const struct sheet *s, sheet_data *data, void *context, struct out *out,
		     struct why *why)
{
	return put_asset(s->assets, "index.html", out, why);
}

static void put_policy(const struct sheet *s, struct out *out)
{
	out_format(
		out,
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; connect-src 'none'; "
		"base-uri 'none'; form-action 'none'\">\n",
		s->nonce, s->nonce);
}

/* "x.css" of a line's href="x.css"; false: it has none. */
static bool find_href(const char *line, size_t n, char ret[ASSET_NAME])
{
	const char *at = memmem(line, n, "href=\"", 6), *end;

	if (at == NULL)
		return false;
	at += 6;
	end = memchr(at, '"', (size_t)(line + n - at));
	if (end == NULL || end - at >= ASSET_NAME)
		return false;
	memcpy(ret, at, (size_t)(end - at));
	ret[end - at] = '\0';
	return true;
}

static int put_end(const struct sheet *s, sheet_data *data, void *context, struct out *out,
		   struct why *why)
{
	int r = data != NULL ? data(context, out, why) : 0;

	out_format(out, "<script nonce=\"%s\">\n", s->nonce);
	if (r == 0)
		r = sheet_script(s->assets, out, why);
	out_text(out, "</script>\n</body>\n");
	return r;
}

/* What stands in the page where its server's files are named. */
static int put_page(const struct sheet *s, const char *index, sheet_data *data, void *context,
		    struct out *out, struct why *why)
{
	bool has_style = false, has_script = false, has_policy = false;
	char name[ASSET_NAME];
	int r = 0;

	for (const char *line = index, *end; *line != '\0' && r == 0; line = end) {
		size_t n = strcspn(line, "\n");

		end = line + n + (line[n] != '\0');
		if (memmem(line, n, "rel=\"stylesheet\"", 16) != NULL && find_href(line, n, name)) {
			out_format(out, "<style nonce=\"%s\">\n", s->nonce);
			r = put_asset(s->assets, name, out, why);
			out_text(out, "</style>\n");
			has_style = true;
		} else if (memmem(line, n, "type=\"module\"", 13) != NULL) {
			/* at the end, where what it looks for is there */
			has_script = true;
		} else if (n == 7 && memcmp(line, "</body>", 7) == 0 && has_script) {
			r = put_end(s, data, context, out, why);
		} else {
			out_bytes(out, line, (size_t)(end - line));
		}
		if (memmem(line, n, "<meta charset=", 14) != NULL) {
			if (!s->is_served)
				put_policy(s, out);
			has_policy = true;
		}
		if (r == 0)
			r = out->error;
	}
	if (r == 0 && (!has_style || !has_script || !has_policy)) {
		why_set(why, "the page's index.html is not what was expected");
		r = -EINVAL;
	}
	return r;
}

int sheet_write(const struct sheet *s, sheet_data *data, void *context, struct out *out,
		struct why *why)
{
	size_t size;
	char *index = text_of(put_index, s, NULL, NULL, &size, why);
	int r = index != NULL ? put_page(s, index, data, context, out, why) : -EINVAL;

	free(index);
	return r;
}

char *sheet_text(const struct sheet *s, sheet_data *data, void *context, size_t *ret_size,
		 struct why *why)
{
	return text_of(sheet_write, s, data, context, ret_size, why);
}

int sheet_init(struct sheet *s, const struct asset *files)
{
	uint8_t bytes[NONCE_BYTES];

	*s = (struct sheet){.assets = files};
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (unsigned i = 0; i < NONCE_BYTES; i++)
		snprintf(s->nonce + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}
