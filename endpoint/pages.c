/*
 * Replies that are made on the spot: the index, the state, the command line, names of addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "endpoint/private.h"
#include "http/query.h"

#define LOAD(object) atomic_load_explicit(&(object), memory_order_relaxed)

/* What a page says of one profile. */
struct state {
	const struct profile_ops *ops;
	struct reading_counts counts;
	bool has_run, is_on;
	char setting[64]; /* "100 Hz"; "": none */
	char left_off[256];
	uint64_t for_ns; /* since it was started */
};

static void describe_setting(const struct segment *s, const struct profile_ops *ops, char *ret,
			     size_t size)
{
	const struct segment_run *run = profile_run(s, ops);
	uint64_t period = LOAD(run->period), setting = LOAD(run->setting) & ~SETTING_IS_RATE;

	ret[0] = '\0';
	if (period == 0)
		return;
	if (strcmp(ops->period.unit, "nanoseconds") == 0)
		snprintf(ret, size, "%" PRIu64 " Hz", NS_PER_SECOND / period);
	else if (ops->is_by_size)
		snprintf(ret, size, "one in %" PRIu64 " bytes", period);
	else if (ops->run == RUN_BLOCK && setting != 0)
		snprintf(ret, size, "waits of %" PRIu64 " ns and more", setting);
	else if (ops->run == RUN_MUTEX && setting != 0)
		snprintf(ret, size, "one release in %" PRIu64, setting);
}

static struct state state_of(const struct segment *s, const struct profile_ops *ops)
{
	const struct segment_run *run = profile_run(s, ops);
	struct state t = {.ops = ops};
	uint64_t begun = LOAD(run->begun_ns), now = clock_monotonic();

	t.has_run = (ops->is_log ? LOAD(run->setting) : LOAD(run->period)) != 0;
	t.is_on = (LOAD(s->header->running) & ops->bit) != 0;
	if (t.is_on && begun != 0 && begun < now)
		t.for_ns = now - begun;
	if (!ops->is_log && reading_is_there(s, ops))
		reading_count(s, ops, &t.counts);
	if (!ops->is_log)
		describe_setting(s, ops, t.setting, sizeof(t.setting));
	segment_copy_text(s, (uint32_t)LOAD(run->left_off), t.left_off, sizeof(t.left_off));
	return t;
}

static const char *word_of(const struct state *t)
{
	return t->is_on ? "on" : t->left_off[0] != 0 ? "left off" : t->has_run ? "stopped" : "off";
}

/* Of others: a control character is none. */
static void put_plain(FILE *to, const char *text)
{
	for (; *text != '\0'; text++)
		fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, to);
}

static void put_html(FILE *to, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&#34;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			fputc((unsigned char)*text < ' ' ? '?' : *text, to);
		}
}

static void put_time(FILE *to, uint64_t ns)
{
	uint64_t s = ns / NS_PER_SECOND;

	if (s >= 86400)
		fprintf(to, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		fprintf(to, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		fprintf(to, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else
		fprintf(to, "%" PRIu64 " s", s);
}

static uint64_t age_of(const struct segment *s)
{
	uint64_t now = clock_monotonic();

	return now > s->header->begun_monotonic_ns ? now - s->header->begun_monotonic_ns : 0;
}

void endpoint_status(struct endpoint_request *q, const struct segment *s)
{
	FILE *to = endpoint_open_body(q, TEXT_PLAIN);
	char name[256];

	if (to == NULL)
		return;
	segment_copy_text(s, s->header->program, name, sizeof(name));
	fputs("process ", to);
	put_plain(to, name);
	fprintf(to, ", pid %d, recorded for ", (int)s->header->pid);
	put_time(to, age_of(s));
	fprintf(to, "\n%-13s %-9s %10s %8s  %s\n", "PROFILE", "STATE", "SAMPLES", "LOST", "HOW");
	for (const struct profile_ops *const *p = q->endpoint->source.profiles; *p != NULL; p++) {
		struct state t = state_of(s, *p);

		if ((*p)->is_view)
			continue;
		fprintf(to, "%-13s %-9s ", (*p)->name, word_of(&t));
		if ((*p)->is_log)
			fprintf(to, "%10s %8s  ", "-", "-");
		else
			fprintf(to, "%10" PRIu64 " %8" PRIu64 "  ", t.counts.samples,
				t.counts.lost);
		put_plain(to, t.is_on ? t.setting : t.left_off);
		fputc('\n', to);
	}
	for (unsigned i = 0; i < LOST_KINDS; i++)
		if (LOAD(s->header->lost[i]) != 0)
			fprintf(to, "lost: %" PRIu64 " %s: %s\n",
				(uint64_t)LOAD(s->header->lost[i]),
				segment_lost_unit((enum segment_lost)i),
				segment_lost_name((enum segment_lost)i));
	endpoint_close_body(q, to);
}

static const char page_head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" content=\"width=device-width\">"
	"<meta name=\"color-scheme\" content=\"light dark\"><title>/debug/pprof/</title><style>\n"
	":root{color-scheme:light dark}\n"
	"body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th{text-align:left;font-weight:600;border-bottom:1px solid}\n"
	"td,th{padding:.25em .8em .25em 0;vertical-align:top}\n"
	".n{text-align:right;font-variant-numeric:tabular-nums}\n"
	".off{opacity:.6}\n"
	"code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}\n"
	"p{max-width:48em}\n"
	"</style></head><body>\n";

static void put_row(FILE *to, const struct state *t)
{
	const char *name = t->ops->name;

	fprintf(to, "<tr%s><td class=\"n\">", t->is_on ? "" : " class=\"off\"");
	if (t->ops->is_log)
		fputs("-", to);
	else
		fprintf(to, "%" PRIu64, t->counts.samples);
	fputs("</td><td class=\"n\">", to);
	if (t->counts.lost != 0)
		fprintf(to, "%" PRIu64, t->counts.lost);
	fputs("</td><td>", to);
	if (t->ops->is_log)
		fprintf(to, "<a href=\"trace?seconds=5\">%s</a>", name);
	else
		fprintf(to, "<a href=\"%s?debug=1\">%s</a>", name, name);
	fprintf(to, "</td><td>%s", word_of(t));
	if (t->is_on && t->setting[0] != '\0') {
		fputs(", ", to);
		put_html(to, t->setting);
	}
	fputs("</td><td>", to);
	put_html(to, t->left_off[0] != '\0' && !t->is_on ? t->left_off
		     : t->ops->about != NULL             ? t->ops->about
							 : "");
	fputs("</td><td>", to);
	if (!t->ops->is_log)
		fprintf(to, "<a href=\"%s\">download</a>", name);
	fputs("</td></tr>\n", to);
}

void endpoint_index(struct endpoint_request *q, const struct segment *s)
{
	FILE *to = endpoint_open_body(q, TEXT_HTML);
	char name[256];
	uint64_t lost = 0;

	if (to == NULL)
		return;
	q->reply.is_page = true;
	segment_copy_text(s, s->header->program, name, sizeof(name));
	fputs(page_head, to);
	fputs("<h1>", to);
	put_html(to, name);
	fprintf(to, "</h1>\n<p>process %d, recorded for ", (int)s->header->pid);
	put_time(to, age_of(s));
	fputs(".</p>\n<table>\n<tr><th class=\"n\">Samples</th><th class=\"n\">Lost</th>"
	      "<th>Profile</th><th>State</th><th></th><th></th></tr>\n",
	      to);
	for (const struct profile_ops *const *p = q->endpoint->source.profiles; *p != NULL; p++) {
		struct state t = state_of(s, *p);

		put_row(to, &t);
	}
	fputs("<tr><td></td><td></td><td><a href=\"profile?seconds=30\">profile</a></td><td></td>"
	      "<td>where CPU time goes in the next 30 seconds</td><td></td></tr>\n"
	      "<tr><td></td><td></td><td><a href=\"../fgprof?seconds=30\">fgprof</a></td><td></td>"
	      "<td>where time goes in the next 30 seconds, running or waiting</td><td></td></tr>\n"
	      "<tr><td></td><td></td><td><a href=\"cmdline\">cmdline</a></td><td></td>"
	      "<td>the command line</td><td></td></tr>\n</table>\n"
	      "<p><a href=\"threads?debug=2\">every thread's stack</a></p>\n",
	      to);
	for (unsigned i = 0; i < LOST_KINDS; i++)
		lost += LOAD(s->header->lost[i]) != 0;
	if (lost != 0)
		fputs("<h2>Lost</h2>\n<ul>\n", to);
	for (unsigned i = 0; i < LOST_KINDS; i++)
		if (LOAD(s->header->lost[i]) != 0)
			fprintf(to, "<li>%" PRIu64 " %s: %s</li>\n",
				(uint64_t)LOAD(s->header->lost[i]),
				segment_lost_unit((enum segment_lost)i),
				segment_lost_name((enum segment_lost)i));
	if (lost != 0)
		fputs("</ul>\n", to);
	fprintf(to,
		"<h2>From a terminal</h2>\n"
		"<p><code>cprof ctl %d top</code> the functions that use most CPU<br>"
		"<code>cprof ctl %d dump heap</code> any of these as a file<br>"
		"<code>go tool pprof URL/profile?seconds=10</code> with this page's address</p>\n"
		"</body></html>\n",
		(int)s->header->pid, (int)s->header->pid);
	endpoint_close_body(q, to);
}

/* As the kernel has it: the words with a NUL behind each. */
void endpoint_cmdline(struct endpoint_request *q, const struct segment *s)
{
	char path[64], buffer[4096];
	FILE *to = endpoint_open_body(q, TEXT_PLAIN);
	ssize_t n;
	bool has_end = false;
	int fd;

	if (to == NULL)
		return;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)s->header->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0) {
		if (has_end)
			fputc('\0', to);
		has_end = buffer[n - 1] == '\0';
		fwrite(buffer, 1, (size_t)n - has_end, to);
	}
	if (fd >= 0)
		close(fd);
	endpoint_close_body(q, to);
}

/* ---- symbol ---- */

static const char *name_of(struct endpoint *e, const struct segment *s, uint64_t pc)
{
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);
	struct symbols *symbols = endpoint_symbols(e);
	struct symbols_frame frames[64];
	struct symbols_module *module;
	char path[4096];
	int n;

	if (high > segment_count(s, SEGMENT_MODULES, 0))
		high = segment_count(s, SEGMENT_MODULES, 0);
	for (uint32_t i = 0; i < high && symbols != NULL; i++) {
		const struct segment_module *m = segment_module_at(s, i);
		unsigned id_size = m->build_id_size;

		if (LOAD(m->state) != MODULE_LOADED || pc < m->start || pc >= m->end)
			continue;
		segment_copy_text(s, m->path, path, sizeof(path));
		if (id_size > sizeof(m->build_id))
			id_size = 0;
		module = symbols_module(symbols, path, m->build_id, id_size, NULL);
		n = module != NULL ? symbols_lookup(module, pc - m->bias, frames, 64) : 0;
		return n > 0 ? frames[n - 1].name : NULL;
	}
	return NULL;
}

#define ADDRESSES_MAX 65536 /* of one request */
#define WORD_MAX      4096  /* of Go's reader, which says so */

void endpoint_symbol(struct endpoint_request *q, const struct segment *s, const char *text,
		     size_t size)
{
	FILE *to = endpoint_open_body(q, TEXT_PLAIN);
	const char *end = text + size;

	if (to == NULL)
		return;
	fputs("num_symbols: 1\n", to);
	for (unsigned i = 0; text < end && i < ADDRESSES_MAX; i++) {
		const char *plus = memchr(text, '+', (size_t)(end - text));
		size_t n = (size_t)((plus != NULL ? plus : end) - text);
		uint64_t pc = n < WORD_MAX ? query_address(text, n) : 0;
		const char *name = pc != 0 ? name_of(q->endpoint, s, pc) : NULL;

		if (name != NULL) {
			fprintf(to, "0x%" PRIx64 " ", pc);
			put_plain(to, name);
			fputc('\n', to);
		}
		if (n >= WORD_MAX) {
			fputs("reading request: bufio: buffer full\n", to);
			break;
		}
		text += n + 1;
	}
	endpoint_close_body(q, to);
}
