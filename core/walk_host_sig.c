#include "core/modules.h"
#include "core/rows.h"
#include "core/walk.h"

/* The first frame that is the host's, or @pc's. */
static uint32_t find_host(const struct segment *s, const struct walk_result *walk, uintptr_t pc)
{
	const struct segment_module *m;
	uint32_t i;

	for (i = 0; pc != 0 && i < walk->depth; i++)
		if (FRAME_ADDRESS(walk->frames[i]) == FRAME_ADDRESS(pc))
			return i;
	for (i = 0; i + 1 < walk->depth; i++)
		if ((m = segment_frame_module(s, walk->frames[i])) == NULL || !m->is_ours)
			break;
	return i;
}

SIGSAFE struct walk_host walk_host(struct segment *s, struct thread *t, uintptr_t callee,
				   uintptr_t pc)
{
	struct walk_result walk = walk_here(s, t);
	uint32_t first = find_host(s, &walk, pc), index;
	struct walk_host host = {(uint64_t *)walk.frames + first, 0, walk.depth - first, false};

	if (first == 0 || callee == 0)
		return host;
	host.has_callee = true;
	host.frames--;
	host.depth++;
	host.word = *host.frames;
	*host.frames = FRAME_ADDRESS(callee) |
		       (modules_find(s, callee, &index) ? (uint64_t)(index + 1) << 48 : 0);
	return host;
}

SIGSAFE void walk_host_done(struct walk_host *host)
{
	if (host->has_callee)
		*host->frames = host->word;
}

SIGSAFE bool walk_meets_handler(struct segment *s, struct thread *t,
				const struct walk_result *stack)
{
	for (uint32_t i = 0; i < stack->depth; i++) {
		uintptr_t look = FRAME_ADDRESS(stack->frames[i]);
		struct rows rows = rows_of(s);
		struct row_slot *slot = rows_slot(rows, look);
		row_t row = atomic_load_explicit(&slot->row, memory_order_relaxed);

		if ((atomic_load_explicit(&slot->check, memory_order_relaxed) ^ row) !=
		    rows_key(rows, look))
			row = rows_compute(s, look, slot, t->rules->states, &t->rules->frame);
		if (row_kind(row) == ROW_SIGNAL)
			return true;
	}
	return false;
}
