#include "preload/requests.h"

#include <errno.h>
#include <locale.h>
#include <string.h>

#include "core/clock.h"
#include "core/option.h"
#include "core/profile.h"
#include "preload/process.h"

#define AGAIN_NS (NS_PER_SECOND / 1000)

/* Names of profiles, by commas, as bits; 0 with @why. */
static unsigned read_names(const char *text, struct why *why)
{
	struct option_set words;

	if (option_parse(text, process_available(), &words, why) < 0)
		return 0;
	for (int id = OPTION_ID_ALL + 1; id < OPTION_ID_N; id++)
		words.profiles = option_is_given(&words, (enum option_id)id) ? 0 : words.profiles;
	if (words.profiles == 0)
		why_set(why, "which profiles? Their names are expected, as in cpu,heap");
	return (unsigned)words.profiles & OPTION_PROFILES;
}

static int obey(const struct segment_request *request, struct why *why)
{
	char text[REQUEST_TEXT_MAX];
	struct option_set words;
	unsigned names;

	/* it is the launcher's memory, too */
	memcpy(text, request->text, sizeof(text));
	if (memchr(text, '\0', sizeof(text)) == NULL) {
		why_set(why, "the text has no end");
		return -EINVAL;
	}
	switch (request->kind) {
	case REQUEST_START:
		if (option_parse(text, process_available(), &words, why) < 0)
			return -EINVAL;
		return process_change(&words, why);
	case REQUEST_STOP:
		names = read_names(text, why);
		if (names & process_running() & OPTION_THREADS)
			helper_run(HELPER_THREADS); /* what it saw last is what it shows */
		return names != 0 ? process_drop(names, why) : -EINVAL;
	default:
		why_set(why, "an unknown request");
		return -EINVAL;
	}
}

uint64_t requests_obey(struct segment *s, struct thread *self, uint64_t now_ns)
{
	struct segment_request *request = &s->header->request;
	uint32_t asked = atomic_load_explicit(&request->asked, memory_order_acquire);
	struct why why = {""};
	int r;

	(void)self;
	uselocale(LC_GLOBAL_LOCALE); /* this thread began without any */
	r = obey(request, &why);
	if (r == -EALREADY)
		return now_ns + AGAIN_NS;
	request->error = r;
	_Static_assert(sizeof(why.text) == sizeof(request->answer), "copied as a whole");
	memcpy(request->answer, why.text, sizeof(request->answer));
	atomic_store_explicit(&request->done, asked, memory_order_release);
	return HELPER_NEVER;
}
