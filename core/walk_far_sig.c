#include "core/walk_far.h"

#include <string.h>

#include "core/helper.h"
#include "core/modules.h"
#include "core/rows.h"

#define COPY_BYTES  4096u
#define STEPS_MAX   (WALK_DEPTH_MAX + 64)
#define FRAME_BYTES (1u << 20) /* no frame found by its pointer alone is larger */

/* A piece of the far stack. On the helper's own stack, which has room. */
struct copy {
	uintptr_t low;
	size_t bytes;
	uint8_t at[COPY_BYTES];
};

static bool read_word(void *user, uintptr_t address, uintptr_t *ret)
{
	struct copy *c = user;

	if (address < c->low || address - c->low + sizeof(*ret) > c->bytes) {
		c->low = address;
		c->bytes = helper_read_memory(address, c->at, sizeof(c->at));
		if (c->bytes < sizeof(*ret)) {
			c->bytes = 0;
			return false;
		}
	}
	memcpy(ret, c->at + (address - c->low), sizeof(*ret));
	return true;
}

/* As a walk of one's own stack does it, see walk_sig.c: further up, aligned, and back behind a call. */
static bool step_by_pointer(const struct segment *s, struct copy *copy, struct walk_far_start *at)
{
	const struct segment_module *m;
	uintptr_t saved, back;
	uint32_t index;

	if (at->bp < at->sp || at->bp % 8 != 0 || at->bp - at->sp > FRAME_BYTES ||
	    !read_word(copy, at->bp, &saved) || !read_word(copy, at->bp + 8, &back))
		return false;
	m = modules_find(s, back - 1, &index);
	if (m != NULL ? back < m->start + 8 || !modules_may_read(s, m, back - 8) ||
				!arch_is_after_call((const uint8_t *)back)
		      : modules_find(s, at->pc, &index) != NULL &&
				!(memory_is_readable(back - 8) &&
				  arch_is_after_call((const uint8_t *)back)))
		return false;
	*at = (struct walk_far_start){back, at->bp + 16, saved, false};
	return true;
}

/* To the caller. 1, 0 at the outermost frame, -1 when there is no way on. */
static int step(struct copy *copy, row_t row, struct walk_far_start *at)
{
	uintptr_t cfa, back, bp = at->bp;

	switch (row_kind(row)) {
	case ROW_SP:
		cfa = at->sp + (uintptr_t)row_cfa(row);
		break;
	case ROW_BP:
		cfa = bp + (uintptr_t)row_cfa(row);
		break;
	case ROW_BP_DEREF:
		if (!read_word(copy, bp + (uintptr_t)row_cfa(row), &cfa))
			return -1;
		break;
	case ROW_SIGNAL:
		if (!read_word(copy, at->sp + ARCH_SIGFRAME_PC, &at->pc) ||
		    !read_word(copy, at->sp + ARCH_SIGFRAME_BP, &at->bp) ||
		    !read_word(copy, at->sp + ARCH_SIGFRAME_SP, &at->sp))
			return -1;
		at->is_exact = true;
		return 1;
	case ROW_END:
		return 0;
	default:
		return -1;
	}
	if (cfa <= at->sp || cfa % 8 != 0 || !read_word(copy, cfa - 8, &back))
		return -1;
	if (row_bp(row) == ROW_BP_AT_CFA) {
		if (!read_word(copy, cfa + (uintptr_t)row_bp_distance(row), &bp))
			bp = 0;
	} else if (row_bp(row) == ROW_BP_AT_BP) {
		uintptr_t place = bp + (uintptr_t)row_bp_distance(row);

		if (place < cfa && place >= at->sp - CFI_RED_ZONE && !read_word(copy, place, &bp))
			bp = 0;
	}
	*at = (struct walk_far_start){back, cfa, bp, false};
	return back != 0;
}

SIGSAFE struct walk_result walk_far(struct segment *s, struct walk_rules *rules,
				    struct walk_far_start at, uint64_t *frames)
{
	struct rows rows = rows_of(s);
	struct copy copy;
	uint32_t depth = 0;
	int r = 1;

	copy.low = 0;
	copy.bytes = 0;
	for (unsigned steps = 0; steps < STEPS_MAX && r > 0 && depth < walk_settings.depth;
	     steps++) {
		uintptr_t look = at.pc - !at.is_exact;
		struct row_slot *slot = rows_slot(rows, look);
		row_t row = atomic_load_explicit(&slot->row, memory_order_relaxed);

		if ((atomic_load_explicit(&slot->check, memory_order_relaxed) ^ row) !=
		    rows_key(rows, look)) {
			row = rows_compute(s, look, slot, rules->states, &rules->frame);
			rows = rows_of(s);
		}
		frames[depth++] = FRAME_ADDRESS(look) | row_module_bits(row);
		r = step(&copy, row, &at);
		if (r < 0 && row_kind(row) == ROW_NONE && step_by_pointer(s, &copy, &at))
			r = 1;
	}
	if (r != 0) {
		frames[depth++] = FRAME_TRUNCATED;
		segment_count_note(s, NOTE_TRUNCATED, 1);
	}
	return (struct walk_result){frames, depth, r != 0};
}
