#include "core/table.h"

#include "core/clock.h"
#include "core/stacks.h"

#define PROBES 128 /* slots looked at before a table counts as full: reached above about 90 % */

SIGSAFE struct table_slot *table_slot(struct segment *s, enum segment_part table,
				      unsigned generation, uint32_t stack, uint32_t labels)
{
	const struct segment_place *place = segment_place(s, table, generation);
	uint8_t *slots = s->base + place->offset;
	uint32_t mask = place->count - 1;
	uint64_t key = (uint64_t)labels << 32 | stack;
	uint32_t at = (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

	for (unsigned i = 0; i < PROBES; i++) {
		struct table_slot *slot =
			(struct table_slot *)(slots + (uint64_t)((at + i) & mask) * place->stride);
		uint64_t there = atomic_load_explicit(&slot->key, memory_order_relaxed);

		if (there == 0 &&
		    atomic_compare_exchange_strong_explicit(
			    &slot->key, &there, key, memory_order_release, /* pairs: table_read */
			    memory_order_relaxed))
			there = key;
		if (there == key)
			return slot;
	}
	return NULL;
}

SIGSAFE bool table_add(struct segment *s, enum segment_part table, unsigned generation,
		       uint32_t stack, uint32_t labels, const uint64_t *values)
{
	const struct segment_place *place = segment_place(s, table, generation);
	unsigned columns = (place->stride - TABLE_STRIDE(0)) / sizeof(uint64_t);
	struct table_slot *slot = table_slot(s, table, generation, stack, labels);

	if (slot == NULL)
		return false;
	for (unsigned c = 0; c < columns; c++)
		if (values[c] != 0)
			atomic_fetch_add_explicit(&slot->values[c], values[c],
						  memory_order_relaxed);
	return true;
}

SIGSAFE unsigned segment_next_generation(struct segment *s, unsigned full)
{
	unsigned next = (full + 1) % SEGMENT_GENERATIONS;
	struct segment_generation *to = &s->header->generations[next];
	uint64_t after =
		atomic_load_explicit(&s->header->generations[full].serial, memory_order_relaxed) +
		1;
	uint32_t expected = full;
	uint64_t serial = 0, begun = 0;

	if (atomic_load_explicit(&s->header->generation, memory_order_acquire) != full)
		return next; /* somebody else went on already */
	/* pairs: segment_recycle */
	if (!atomic_compare_exchange_strong_explicit(&to->serial, &serial, after,
						     memory_order_acq_rel, memory_order_acquire) &&
	    serial != after)
		return full; /* not clean: a window still needs it */
	/* whoever comes here between the first one's steps takes them with it */
	atomic_compare_exchange_strong_explicit(&to->begun_ns, &begun, clock_monotonic(),
						memory_order_relaxed, memory_order_relaxed);
	atomic_compare_exchange_strong_explicit(&s->header->generation, &expected, next,
						memory_order_seq_cst, memory_order_relaxed);
	return next;
}

static enum segment_run_id run_of(enum segment_part table)
{
	switch (table) {
	case SEGMENT_TABLE_WALL:
		return RUN_WALL;
	case SEGMENT_TABLE_CREATE:
		return RUN_THREADCREATE;
	case SEGMENT_TABLE_BLOCK:
		return RUN_BLOCK;
	case SEGMENT_TABLE_MUTEX:
		return RUN_MUTEX;
	default:
		return RUN_CPU;
	}
}

SIGSAFE struct table_row table_record(struct segment *s, enum segment_part table,
				      const uint64_t *frames, uint32_t depth, uint32_t labels,
				      const uint64_t *values)
{
	unsigned generation = atomic_load_explicit(&s->header->generation, memory_order_acquire);
	enum segment_lost lost = LOST_STACKS_FULL;

	for (unsigned tries = 0; tries < SEGMENT_GENERATIONS; tries++) {
		uint32_t stack = stacks_intern(s, generation, frames, depth);
		unsigned next;

		lost = stack == 0 ? LOST_STACKS_FULL : LOST_TABLE_FULL;
		if (stack != 0 && (table == SEGMENT_NO_TABLE ||
				   table_add(s, table, generation, stack, labels, values)))
			return (struct table_row){
				.generation = generation, .stack = stack, .labels = labels};
		next = segment_next_generation(s, generation);
		if (next == generation)
			break;
		generation = next;
	}
	segment_count_lost(s, lost, table == SEGMENT_NO_TABLE ? 1 : values[0]);
	if (table != SEGMENT_NO_TABLE)
		atomic_fetch_add_explicit(&s->header->runs[run_of(table)].lost, values[0],
					  memory_order_relaxed);
	return (struct table_row){0};
}
