#include "viewer/html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "output/gzip.h"
#include "viewer/html_private.h"

#define NONCE_BYTES 16
#define PAGE_MAX    (4 << 20)
#define PIECE_GUESS 7 /* bytes of the file */

/* ---- sections ---- */

static void put_four(struct html_section *s, const uint8_t *in, unsigned n)
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
	struct html_section *s = context;
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

int html_section_begin(struct html_section *s, struct out *to)
{
	*s = (struct html_section){.to = to};
	return gzip_pack_create(&s->packer, on_packed, s);
}

int html_section_put(void *section, const void *bytes, size_t size)
{
	struct html_section *s = section;

	return gzip_pack(s->packer, bytes, size);
}

int html_section_end(struct html_section *s)
{
	int r = gzip_pack_finish(s->packer);

	if (r == 0 && s->carried > 0)
		put_four(s, s->carry, s->carried);
	return r;
}

void html_section_fini(struct html_section *s)
{
	gzip_pack_destroy(s->packer);
	s->packer = NULL;
}

/* ---- the file ---- */

static int put_kept(struct html *h, struct out *to, uint64_t *ret_bytes)
{
	struct html_section s;
	char bytes[16384];
	off_t at = 0;
	ssize_t n;
	int r = html_section_begin(&s, to);

	while (r == 0 && (n = pread(h->kept, bytes, sizeof(bytes), at)) != 0) {
		r = n < 0 ? -errno : html_section_put(&s, bytes, (size_t)n);
		at += n;
	}
	if (r == 0)
		r = html_section_end(&s);
	*ret_bytes = s.bytes;
	html_section_fini(&s);
	return r;
}

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

/* index.html, from malloc. */
static char *read_index(const struct asset *files, struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	char *text = NULL;
	size_t size;
	FILE *to = out != NULL ? open_memstream(&text, &size) : NULL;
	int r = -ENOMEM;

	if (to != NULL) {
		out_init_sink(out, put_text, to);
		r = put_asset(files, "index.html", out, why);
		if (r == 0)
			r = out_flush(out);
		fclose(to);
	}
	free(out);
	if (r == 0)
		return text;
	free(text);
	return NULL;
}

static void put_policy(struct html *h, struct out *out)
{
	out_format(
		out,
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; connect-src 'none'; "
		"base-uri 'none'; form-action 'none'\">\n",
		h->nonce, h->nonce);
}

/* What stands in the page where its server's files are named. */
static int put_page(struct html *h, const char *index, struct out *out, struct why *why)
{
	bool has_style = false, has_script = false, has_policy = false;
	uint64_t bytes;
	int r = 0;

	for (const char *line = index, *end; *line != '\0' && r == 0; line = end) {
		size_t n = strcspn(line, "\n");

		end = line + n + (line[n] != '\0');
		if (memmem(line, n, "rel=\"stylesheet\"", 16) != NULL) {
			out_format(out, "<style nonce=\"%s\">\n", h->nonce);
			r = put_asset(h->ask->assets, "style.css", out, why);
			out_text(out, "</style>\n");
			has_style = true;
		} else if (memmem(line, n, "type=\"module\"", 13) != NULL) {
			/* at the end, where what it looks for is there */
			has_script = true;
		} else if (n == 7 && memcmp(line, "</body>", 7) == 0 && has_script) {
			out_text(out, "<script type=\"application/octet-stream\" id=\"kept\">");
			r = put_kept(h, out, &bytes);
			out_text(out, "</script>\n");
			if (r == 0)
				r = html_put_pieces(&h->pieces, out, why);
			out_format(out, "<script nonce=\"%s\">\n", h->nonce);
			if (r == 0)
				r = html_script(h->ask->assets, out, why);
			out_text(out, "</script>\n</body>\n");
		} else {
			out_bytes(out, line, (size_t)(end - line));
		}
		if (memmem(line, n, "<meta charset=", 14) != NULL) {
			put_policy(h, out);
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

static int count(void *context, const void *bytes, size_t size)
{
	(void)bytes;
	*(uint64_t *)context += size;
	return 0;
}

/* Of all but what is kept and the pieces; a little more than that. */
static int measure_page(struct html *h, const char *index, uint64_t *ret, struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	int r = out != NULL ? 0 : -ENOMEM;

	*ret = 4096 + strlen(index) + (uint64_t)80 * (h->pieces.chunks + 1);
	if (r == 0) {
		out_init_sink(out, count, ret);
		r = put_asset(h->ask->assets, "style.css", out, why);
	}
	if (r == 0)
		r = html_script(h->ask->assets, out, why);
	if (r == 0)
		r = out_flush(out);
	free(out);
	return r;
}

/* Writes what is kept for the pieces as they are counted now, and how large the file becomes. */
static int measure(struct html *h, const char *index, uint64_t *ret, struct why *why)
{
	uint64_t kept = 0;
	int r = html_put_pieces(&h->pieces, NULL, why);

	if (r == 0 &&
	    (ftruncate(h->kept, (off_t)h->answers_end) < 0 || lseek(h->kept, 0, SEEK_END) < 0))
		r = -errno;
	if (r == 0)
		r = html_keep_directory(h);
	if (r == 0)
		r = out_flush(h->out);
	if (r == 0)
		r = put_kept(h, NULL, &kept);
	if (r == 0)
		r = measure_page(h, index, ret, why);
	*ret += kept + h->pieces.bytes;
	return r;
}

static void set_short(struct html *h, unsigned power)
{
	h->pieces.short_ns = power > 0 ? UINT64_C(1) << power : 0;
	for (unsigned i = 0; i < HTML_NAMED; i++)
		map_fini(&h->pieces.named[i]);
}

/* The shortest that intervals may be, and be told one by one. */
static int choose(struct html *h, const char *index, struct why *why)
{
	uint64_t max = h->ask->size_max, size = 0;
	unsigned power = 0;
	int r;

	while (power < 63 && h->found.pieces[power] > max / PIECE_GUESS)
		power++;
	for (;; power++) {
		set_short(h, power);
		r = measure(h, index, &size, why);
		if (r < 0 || size <= max)
			return r;
		if (power == 63)
			break;
		/* below a length at which there are no fewer of them nothing changes */
		while (power + 1 < 63 &&
		       h->found.pieces[power + 1] > h->found.pieces[power] * 9 / 10)
			power++;
	}
	why_set(why,
		"the page of this trace takes %" PRIu64 " KiB at least: --html-size is too little",
		size / 1024 + 1);
	return -EFBIG;
}

static int begin(struct html *h)
{
	uint8_t bytes[NONCE_BYTES];
	const char *directory;

	h->pieces.api = h->api;
	h->pieces.watch = h->ask->watch;
	h->is_long = timeline_events(h->api->reader, 0, UINT64_MAX) > HTML_LONG;
	h->details = h->is_long ? HTML_DETAILS_FEW : HTML_DETAILS;
	h->out = malloc(sizeof(*h->out));
	h->pieces.places = calloc((size_t)h->api->tracks_n + 1, sizeof(*h->pieces.places));
	if (h->out == NULL || h->pieces.places == NULL)
		return -ENOMEM;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (unsigned i = 0; i < NONCE_BYTES; i++)
		snprintf(h->nonce + 2 * i, 3, "%02x", bytes[i]);
	h->kept = source_open_nameless(&directory);
	h->scratch = source_open_nameless(&directory);
	if (h->kept < 0 || h->scratch < 0)
		return h->kept < 0 ? h->kept : h->scratch;
	out_init(h->out, h->kept, false);
	return 0;
}

int html_write(const struct html_ask *ask, struct out *out, struct html_counts *ret,
	       struct why *why)
{
	struct html h = {.ask = ask, .api = ask->api, .kept = -1, .scratch = -1};
	char *index = read_index(ask->assets, why);
	int r = index != NULL ? begin(&h) : -EINVAL;

	if (r == 0)
		r = html_look(h.api, ask->watch, &h.found, why);
	if (r == 0) {
		out_text(h.out, "{\"answers\":{");
		r = html_keep_answers(&h);
	}
	if (r == 0)
		r = out_flush(h.out);
	if (r == 0) {
		h.answers_end = (uint64_t)lseek(h.kept, 0, SEEK_CUR);
		r = choose(&h, index, why);
	}
	if (r == 0)
		r = put_page(&h, index, out, why);
	if (r == 0) {
		r = out_flush(out);
		*ret = (struct html_counts){.pieces = h.pieces.pieces,
					    .intervals = h.found.intervals,
					    .short_ns = h.pieces.short_ns};
	}
	set_short(&h, 0);
	free(h.pieces.places);
	if (h.kept >= 0)
		close(h.kept);
	if (h.scratch >= 0)
		close(h.scratch);
	free(h.out);
	free(index);
	return r;
}
