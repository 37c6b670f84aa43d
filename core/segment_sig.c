#include "core/segment.h"

#include <string.h>

static uint32_t hash_text(const char *text, size_t length)
{
	uint32_t sum = UINT32_C(0x811c9dc5);

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ (uint8_t)text[i]) * UINT32_C(0x01000193);
	return sum;
}

uint32_t segment_string(struct segment *s, const char *text, size_t length)
{
	uint8_t *bytes = segment_part(s, SEGMENT_STRING_BYTES, 0);
	uint32_t size = segment_count(s, SEGMENT_STRING_BYTES, 0);
	_Atomic uint32_t *bucket = segment_part(s, SEGMENT_STRING_BUCKETS, 0);
	uint32_t need, id, first;
	struct string_head *head;

	if (text == NULL)
		return 0;
	bucket += hash_text(text, length) & (segment_count(s, SEGMENT_STRING_BUCKETS, 0) - 1);
	first = atomic_load_explicit(bucket, memory_order_acquire); /* pairs: the release below */
	for (id = first; id != 0; id = head->next) {
		head = (struct string_head *)(bytes + id);
		if (head->length == length && memcmp(head + 1, text, length) == 0)
			return id;
	}

	need = (uint32_t)((sizeof(*head) + length + 1 + 7) & ~(size_t)7);
	id = atomic_load_explicit(&s->header->strings_used, memory_order_relaxed);
	do {
		if (length > size || id > size - need || need > size) {
			segment_count_lost(s, LOST_STRINGS, 1);
			return 0;
		}
	} while (!atomic_compare_exchange_weak_explicit(&s->header->strings_used, &id, id + need,
							memory_order_relaxed,
							memory_order_relaxed));
	head = (struct string_head *)(bytes + id);
	head->length = (uint32_t)length;
	memcpy(head + 1, text, length);
	((char *)(head + 1))[length] = '\0';
	/* Two threads may both add the same text: it then has two ids, which costs bytes and nothing else. */
	do
		head->next = first;
	while (!atomic_compare_exchange_weak_explicit(
		bucket, &first, id, memory_order_release,
		memory_order_relaxed)); /* pairs: the acquire above */
	return id;
}

/* The head of string @id when all of it lies in the part, else NULL. */
static const struct string_head *find_string(const struct segment *s, uint32_t id,
					     uint32_t *ret_length)
{
	uint64_t size = segment_count(s, SEGMENT_STRING_BYTES, 0);
	const uint8_t *bytes = segment_part(s, SEGMENT_STRING_BYTES, 0);
	const struct string_head *head = (const struct string_head *)(bytes + id);
	uint32_t length;

	if (id == 0 || id % 8 != 0 || id + sizeof(*head) + 1 > size)
		return NULL;
	length = __atomic_load_n(&head->length, __ATOMIC_RELAXED); /* once: it may change */
	if (length > size - id - sizeof(*head) - 1)
		return NULL;
	*ret_length = length;
	return head;
}

const char *segment_text(const struct segment *s, uint32_t id)
{
	uint32_t length;
	const struct string_head *head = find_string(s, id, &length);

	if (head == NULL || ((const char *)(head + 1))[length] != '\0')
		return "";
	return (const char *)(head + 1);
}

void segment_copy_text(const struct segment *s, uint32_t id, char *ret, size_t size)
{
	uint32_t length;
	const struct string_head *head = find_string(s, id, &length);

	if (head == NULL)
		length = 0;
	if (length >= size)
		length = (uint32_t)size - 1;
	if (head != NULL)
		memcpy(ret, head + 1, length);
	ret[length] = '\0';
}
