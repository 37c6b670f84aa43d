#include "viewer/html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "output/file.h"
#include "viewer/html_private.h"

#define PIECE_GUESS 7 /* bytes of the file */

static int put_kept(struct html *h, struct out *to, uint64_t *ret_bytes)
{
	struct sheet_section s;
	char bytes[16384];
	off_t at = 0;
	ssize_t n;
	int r = sheet_section_begin(&s, to);

	while (r == 0 && (n = pread(h->kept, bytes, sizeof(bytes), at)) != 0) {
		r = n < 0 ? -errno : sheet_section_put(&s, bytes, (size_t)n);
		at += n;
	}
	if (r == 0)
		r = sheet_section_end(&s);
	*ret_bytes = s.bytes;
	sheet_section_fini(&s);
	return r;
}

/* The answers and the pieces. */
static int put_data(void *context, struct out *out, struct why *why)
{
	struct html *h = context;
	uint64_t bytes;
	int r;

	sheet_open_section(out, "kept");
	r = put_kept(h, out, &bytes);
	sheet_close_section(out);
	return r < 0 ? r : html_put_pieces(&h->pieces, out, why);
}

static int count(void *context, const void *bytes, size_t size)
{
	(void)bytes;
	*(uint64_t *)context += size;
	return 0;
}

static int put_no_data(void *context, struct out *out, struct why *why)
{
	return 0;
}

/* Of all but what is kept and the pieces; a little more than that. */
static int measure_page(struct html *h, uint64_t *ret, struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	int r = out != NULL ? 0 : -ENOMEM;

	*ret = 4096 + (uint64_t)80 * (h->pieces.chunks + 1);
	if (r == 0) {
		out_init_sink(out, count, ret);
		r = sheet_write(&h->sheet, put_no_data, NULL, out, why);
	}
	if (r == 0)
		r = out_flush(out);
	free(out);
	return r;
}

/* Writes what is kept for the pieces as they are counted now, and how large the file becomes. */
static int measure(struct html *h, uint64_t *ret, struct why *why)
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
		r = measure_page(h, ret, why);
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
static int choose(struct html *h, struct why *why)
{
	uint64_t max = h->ask->size_max, size = 0;
	unsigned power = 0;
	int r;

	while (power < 63 && h->found.pieces[power] > max / PIECE_GUESS)
		power++;
	for (;; power++) {
		set_short(h, power);
		r = measure(h, &size, why);
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
	const char *directory;
	int r;

	h->pieces.api = h->api;
	h->pieces.watch = h->ask->watch;
	h->is_long = timeline_events(h->api->reader, 0, UINT64_MAX) > HTML_LONG;
	h->details = h->is_long ? HTML_DETAILS_FEW : HTML_DETAILS;
	h->out = malloc(sizeof(*h->out));
	h->pieces.places = calloc((size_t)h->api->tracks_n + 1, sizeof(*h->pieces.places));
	if (h->out == NULL || h->pieces.places == NULL)
		return -ENOMEM;
	r = sheet_init(&h->sheet, h->ask->assets);
	if (r < 0)
		return r;
	h->kept = file_open_unnamed(&directory);
	h->scratch = file_open_unnamed(&directory);
	if (h->kept < 0 || h->scratch < 0)
		return h->kept < 0 ? h->kept : h->scratch;
	out_init(h->out, h->kept, false);
	return 0;
}

int html_write(const struct html_ask *ask, struct out *out, struct html_counts *ret,
	       struct why *why)
{
	struct html h = {.ask = ask, .api = ask->api, .kept = -1, .scratch = -1};
	int r = begin(&h);

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
		r = choose(&h, why);
	}
	if (r == 0)
		r = sheet_write(&h.sheet, put_data, &h, out, why);
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
	return r;
}
