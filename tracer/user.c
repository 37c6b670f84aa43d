#include "tracer/user.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CATEGORY_MAX 127

/* Before the trace runs: regions that are open then are not watched. */
void trace_watch_regions(struct segment *s, const char *name, uint64_t ns)
{
	uint32_t id = name[0] != '\0' ? segment_string(s, name, strlen(name)) : 0;

	atomic_store_explicit(&trace_watched.ns, ns, memory_order_relaxed);
	atomic_store_explicit(&trace_watched.name, id, memory_order_relaxed);
}

/* vsnprintf() cuts between bytes: a character of UTF-8 that may be there in part is left out. */
static uint32_t whole_characters(const char *text, uint32_t length)
{
	uint32_t at = length;

	while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && (unsigned char)text[at - 1] >= 0xc0)
		return at - 1;
	return length;
}

void trace_log(const char *category, const char *format, va_list args)
{
	char message[TRACE_TEXT_MAX - CATEGORY_MAX];
	uint64_t ticks = trace_ticks(), arguments[3] = {0};
	struct trace_thread *t = trace_own();
	struct trace_text texts[2] = {{category != NULL ? category : "", 0, 0}, {message, 0, 1}};
	int saved = errno, n = 0;

	texts[0].length = (uint32_t)strnlen(texts[0].text, CATEGORY_MAX);
	if (format != NULL)
		n = vsnprintf(message, sizeof(message), format, args);
	if (n >= (int)sizeof(message))
		texts[1].length = whole_characters(message, sizeof(message) - 1);
	else if (n > 0)
		texts[1].length = (uint32_t)n;
	arguments[2] = t != NULL ? atomic_load_explicit(&t->task, memory_order_relaxed) : 0;
	trace_write_text(TRACE_LOG_EVENT, ticks, arguments, 3, texts, 2);
	errno = saved;
}
