#include "cli/change.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/reception.h"
#include "core/clock.h"
#include "core/session.h"

#define WAIT_NS (20 * NS_PER_SECOND) /* less than who asks waits for us */

_Static_assert(offsetof(struct segment_header, request) + sizeof(struct segment_request) <=
		       RECEPTION_DOOR,
	       "it lies behind the door");

void change_give_up(struct change *c, int error, const char *why)
{
	if (!c->is_under_way)
		return;
	c->is_under_way = false;
	reception_answer(c->connection, error, why, -1);
}

static void wake_helper(struct segment_header *door)
{
	atomic_fetch_add_explicit(&door->helper_wake, 1, memory_order_seq_cst);
	syscall(SYS_futex, &door->helper_wake, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void change_begin(struct change *c, struct segment_header *door, enum segment_request_kind kind,
		  const char *text, int connection)
{
	struct segment_request *request;

	if (door == NULL || atomic_load_explicit(&door->is_obeying, memory_order_acquire) == 0) {
		reception_answer(connection, -ENOTSUP, "nothing can be changed in this process",
				 -1);
		return;
	}
	request = &door->request;
	if (c->is_under_way || atomic_load_explicit(&request->asked, memory_order_relaxed) !=
				       atomic_load_explicit(&request->done, memory_order_acquire)) {
		reception_answer(connection, -EBUSY, "another change is under way", -1);
		return;
	}
	if (strlen(text) >= sizeof(request->text)) {
		reception_answer(connection, -EINVAL, "the text is too long", -1);
		return;
	}
	request->kind = kind;
	strcpy(request->text, text);
	c->connection = connection;
	c->is_under_way = true;
	c->patience = (struct patience){0};
	c->serial = atomic_load_explicit(&request->asked, memory_order_relaxed) + 1;
	/* pairs: the helper's obey() acquire */
	atomic_store_explicit(&request->asked, c->serial, memory_order_release);
	wake_helper(door);
}

bool change_attend(struct change *c, struct segment_header *door)
{
	char text[sizeof(door->request.answer) + 1];
	int error;

	if (!c->is_under_way)
		return false;
	/* pairs: requests_obey() release */
	if (atomic_load_explicit(&door->request.done, memory_order_acquire) != c->serial) {
		if (patience_look(&c->patience, clock_monotonic()) < WAIT_NS)
			return false;
		change_give_up(c, -ETIMEDOUT,
			       "the process has not answered; it may do it later, or hang");
		return true;
	}
	/* it is another process's */
	error = door->request.error;
	memcpy(text, door->request.answer, sizeof(door->request.answer));
	text[sizeof(text) - 1] = '\0';
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
	change_give_up(c, error <= 0 ? error : -EPROTO, text);
	return true;
}
