/*
 * The common case. Everything a frame needs comes from one 16-byte slot and two words of the stack, but each load
 * waits for the one before: where a frame's caller is follows from the words of the frame. Between two walks of a
 * thread, though, most of its stack stays as it is. So the last walk is kept, and a walk that comes to a frame of it only
 * looks whether the words are still there. Those loads wait for nothing.
 *
 * Why that is right. The frames above a frame follow from
 *
 *     its place         an address inside the instruction, sp and bp
 *     rows              one for each address, the same for as long as the module list is
 *     words             the return addresses, and where functions saved bp
 *
 * and from nothing else. When all these are what they were, so are the frames, whatever has happened in between: other
 * calls from there, another task on this stack, code that went and came back. Nothing has to be noticed or
 * invalidated but the module list's serial. Of bp only as much counts as rows asked for. A bp that none asked for may
 * be anything, as it is in code that keeps loop counters there; it is not compared.
 *
 * What is kept lies in two arrays: the frame's words, whose addresses say what the return addresses were, and a step for
 * each. Both hold the new walk at their beginning and what is kept of the last one at their end, outermost frame last:
 *
 *     │ new frames →  │         │ gone │ frames of the last walk │
 *                     word             old                       room
 *
 * Always true:
 *   - word <= old. New frames take the places of old ones that are gone, because they lie below sp. When that is not
 *     room enough, what is left of the last walk is forgotten.
 *   - sp grows from keep_from to word, and from old to room, whose step ends every search.
 *   - Frames from keep_from on can be kept. It moves up behind a frame whose caller was found by more than what a step
 *     has: a signal's frame, a realigned stack, a word that could not be read, a distance too large for a step. The
 *     callers from there on are as good as any.
 *   - scratch->kept is 0 while a walk is at work. One that never ends, should a host's handler leave ours by longjmp(),
 *     leaves nothing behind.
 *
 * Where new and old meet, all words are compared up to the first one that differs; from there the walk goes on row by
 * row, and may meet the last one again further up. If none differs up to the outermost frame, the few new frames
 * are moved to where the old ones begin, and the stack lies in one piece. Otherwise all is moved to the end, for the
 * next walk to find.
 *
 * Compared words are read under the same rule as all others: between the stack pointer and the end of the thread's own
 * stack, or after the kernel said in this walk that they can be read.
 *
 * It does not pay for shallow stacks, nor for a thread whose stacks have little in common. The first are not kept; for the
 * second it is given up for some walks, then tried again.
 */
#include <string.h>

#include "core/rows.h"
#include "core/walk_private.h"

/*
 * What is known of a frame beside its word:
 *
 *     bp:24 │ from:8 │ sp:32
 *
 * sp: its stack pointer, in words, but for the upper bits, which are walk_scratch.high. bp: what its bp was, in words
 * above sp; NO_BP when no row asked for it. from: where that was read, in words below sp; 0: it was the bp of the
 * frame below.
 */
typedef uint64_t step_t;

#define SP_BITS  35
#define FROM_ONE (UINT64_C(1) << 32)
#define FROM_MAX 255
#define NO_BP    (UINT64_C(0xffffff) << 40)
#define BP_REACH (UINT64_C(0xffffff) << 3)

static inline uint32_t step_sp(step_t step)
{
	return (uint32_t)step;
}

static inline uintptr_t sp_of(step_t step, uintptr_t high)
{
	return high + ((uintptr_t)(uint32_t)step << 3);
}

static inline uintptr_t from_of(step_t step)
{
	return (step >> 32 & FROM_MAX) << 3;
}

static inline bool needs_bp(step_t step)
{
	return step < NO_BP;
}

static inline uintptr_t bp_above(step_t step)
{
	return step >> 40 << 3;
}

static inline step_t step_with_bp(step_t step, uintptr_t above)
{
	return (step & ~NO_BP) | (step_t)above << 37;
}

static inline uintptr_t high_of(uintptr_t sp)
{
	return sp >> SP_BITS << SP_BITS;
}

/* How far behind a frame's word its step lies, in words. */
static inline size_t steps_behind(void)
{
	return walk_room() + 1;
}

/* Where a walk is. The loop has this in registers; join() gets and changes it here. */
struct standing {
	struct walk_place at;
	step_t from; /* where at.bp was read, as in a step */
	struct memory memory;
	uint64_t *word, *end; /* the place for the frame, and where there are no more places */
	uint64_t *old, *keep_from;
};

/*
 * A row asked for @bp, which is that of frame @word: the next walk must find the same there, and in the frames below that
 * passed it on. Returns the new keep_from.
 */
static uint64_t *ask_for_bp(uint64_t *word, uintptr_t bp, uint64_t *keep_from, uintptr_t high)
{
	size_t behind = steps_behind();

	for (; word >= keep_from && !needs_bp(word[behind]); word--) {
		uintptr_t above = bp - sp_of(word[behind], high);

		if (above % 8 != 0 || above >= BP_REACH)
			return word + 1;
		word[behind] = step_with_bp(word[behind], above);
		if (from_of(word[behind]) != 0)
			break;
	}
	return keep_from;
}

/* Whether the words that led from the frame below to this one, which is @word, are what they were. */
__attribute__((no_sanitize("address"))) static inline bool is_same(uint64_t word, step_t step,
								   uintptr_t sp)
{
	if (*(const any_word *)(sp - 8) - 1 != FRAME_ADDRESS(word))
		return false;
	return !needs_bp(step) || from_of(step) == 0 ||
	       *(const any_word *)(sp - from_of(step)) == sp + bp_above(step);
}

static bool may_read(struct memory *memory, uintptr_t address)
{
	return has_word(*memory, address) || walk_widen(memory, address);
}

/* The last of the old frames from @word to @last that all is the same up to. */
__attribute__((no_sanitize("address"))) static uint64_t *same_up_to(uint64_t *word, uint64_t *last,
								    uintptr_t high,
								    struct memory *memory)
{
	size_t behind = steps_behind();
	bool is_known = has_word(*memory, sp_of(word[behind], high)) &&
			has_word(*memory, sp_of(last[behind], high) - 8);

	for (; word < last; word++) {
		step_t step = word[behind + 1];
		uintptr_t sp = sp_of(step, high);

		if (unlikely(!is_known) &&
		    (!may_read(memory, sp - 8) ||
		     (from_of(step) != 0 && !may_read(memory, sp - from_of(step)))))
			break;
		if (!is_same(word[1], step, sp))
			break;
	}
	return word;
}

/* The bp of the old frame @word, to which all is the same from @first on, where it is @bp. */
__attribute__((no_sanitize("address"))) static uintptr_t bp_at(uint64_t *word, uint64_t *first,
							       uintptr_t bp, uintptr_t high,
							       struct memory *memory)
{
	size_t behind = steps_behind();

	for (; word > first; word--) {
		uintptr_t place = sp_of(word[behind], high) - from_of(word[behind]);

		if (from_of(word[behind]) != 0)
			return may_read(memory, place) ? *(const any_word *)place : 0;
	}
	return bp;
}

/* Moves the new frames, which end at @word, to before @old. Returns where they begin. */
static uint64_t *move_new(struct walk_scratch *scratch, const uint64_t *word, uint64_t *old)
{
	size_t behind = steps_behind(), depth = (size_t)(word - scratch->words - WALK_BEFORE);

	if (likely(depth <= WALK_BEFORE && word <= old - WALK_BEFORE)) {
		/* with whatever lies below them: no processor guesses how often a loop would go round */
		memcpy(old - WALK_BEFORE, word - WALK_BEFORE, WALK_BEFORE * sizeof(*old));
		memcpy(old - WALK_BEFORE + behind, word - WALK_BEFORE + behind,
		       WALK_BEFORE * sizeof(*old));
	} else {
		memmove(old - depth, word - depth, depth * sizeof(*old));
		memmove(old - depth + behind, word - depth + behind, depth * sizeof(*old));
	}
	return old - depth;
}

/*
 * The frame where @w is looks like the old one there. Takes over what is still true of the last walk. True: that was all
 * that was missing, and the stack begins at w->old. Else the walk goes on from @w.
 */
__attribute__((noinline)) static bool join(struct walk_scratch *scratch, struct standing *w)
{
	uint64_t *first = w->old, *last = scratch->words + walk_room() - 1, *same;
	size_t behind = steps_behind(), n;
	uintptr_t high = scratch->high;
	step_t step = first[behind];
	bool is_all;

	if (first > last || sp_of(step, high) != w->at.sp ||
	    (needs_bp(step) && w->at.sp + bp_above(step) != w->at.bp))
		return false;
	same = same_up_to(first, last, high, &w->memory);
	is_all = same == last && scratch->is_whole && last - first < w->end - w->word;
	w->old = same + 1;
	if (same == first && !is_all)
		return false;
	if (needs_bp(step) && w->from == 0 && w->word > w->keep_from)
		w->keep_from = ask_for_bp(w->word - 1, w->at.bp, w->keep_from, high);
	/* another function may have called it, that saved bp elsewhere */
	step = (step & ~(FROM_ONE * FROM_MAX)) | w->from;
	if (is_all) {
		first[behind] = step;
		w->old = move_new(scratch, w->word, first);
		w->keep_from += first - w->word;
		return true;
	}
	n = (size_t)(same - first < w->end - w->word ? same - first : w->end - w->word);
	same = first + n;
	w->at = (struct walk_place){FRAME_ADDRESS(*same), sp_of(same[behind], high),
				    bp_at(same, first, w->at.bp, high, &w->memory)};
	w->from = same[behind] & FROM_ONE * FROM_MAX;
	memmove(w->word, first, n * sizeof(*first));
	memmove(w->word + behind, first + behind, n * sizeof(*first));
	w->word[behind] = step;
	w->word += n;
	return false;
}

/* The first frame from @old on that does not lie below @sp. */
static inline uint64_t *skip_gone(uint64_t *old, uintptr_t sp)
{
	size_t behind = steps_behind();

	/* most of the time the leaf is about where it was; without branches, as in walk() */
	for (int i = 0; i < 4; i++)
		old += step_sp(old[behind]) < (uint32_t)(sp >> 3);
	while (unlikely(step_sp(old[behind]) < (uint32_t)(sp >> 3)))
		old++;
	return old;
}

/* Moves the whole walk to the end, where the next one looks for what begins at @keep_from. Returns where it begins. */
static uint64_t *move_all(struct walk_scratch *scratch, uint64_t *word, uint64_t *keep_from)
{
	uint64_t *begin = scratch->words + WALK_BEFORE, *end = scratch->words + walk_room();
	size_t behind = steps_behind(), depth = (size_t)(word - begin);

	memmove(end - depth, begin, depth * sizeof(*begin));
	memmove(end - depth + behind, begin + behind, depth * sizeof(*begin));
	atomic_store_explicit(&scratch->kept, (uint32_t)(word - keep_from), memory_order_relaxed);
	return end - depth;
}

#define PATIENCE 4
#define PAUSE    28 /* walks; then it takes two to see whether it helps again */

/* A walk that had something to compare with took over @taken of its @depth frames. */
static void judge(struct walk_scratch *scratch, size_t taken, size_t depth)
{
	if (taken * 4 >= depth) {
		scratch->in_vain -= scratch->in_vain < 2 ? scratch->in_vain : 2;
	} else if (++scratch->in_vain >= PATIENCE) {
		scratch->in_vain = PATIENCE / 2;
		scratch->pause = PAUSE;
	}
}

/* With @keeps as told above; without, as if there were no other walk. Compiled once for each. */
__attribute__((always_inline, no_sanitize("address"))) static inline struct walk_result walk(
	struct segment *s, struct thread *t, uintptr_t look, uintptr_t sp, uintptr_t bp, bool keeps)
{
	struct walk_scratch *scratch = t->scratch;
	size_t behind = steps_behind(), taken = 0;
	uint64_t *begin = scratch->words + WALK_BEFORE, *end = begin + walk_settings.depth;
	uint64_t *room = scratch->words + walk_room();
	uint64_t *word = begin, *keep_from = begin, *first_old = room, *old = room;
	struct memory memory = memory_at(t, sp);
	uint32_t serial = atomic_load_explicit(&s->header->modules_serial, memory_order_relaxed);
	struct rows rows = rows_of(s);
	bool is_complete = false, is_whole = false;
	uintptr_t cfa, back;
	step_t from = 0;

	if (keeps) {
		if (scratch->serial == serial && scratch->high == high_of(sp))
			first_old -= atomic_load_explicit(&scratch->kept, memory_order_relaxed);
		scratch->serial = serial;
		scratch->high = high_of(sp);
		keep_from += sp % 8 != 0;
		room[behind] = UINT32_MAX;
		old = skip_gone(first_old, sp);
	}
	walk_forget(scratch);
	atomic_signal_fence(memory_order_seq_cst);

	while (word < end) {
		step_t step = (uint32_t)(sp >> 3) | NO_BP | from;
		struct row_slot *slot;
		uint64_t key;
		row_t row;

		if (keeps) {
			/* Two at most, without a branch. Where nothing is as it was, none could be foretold. */
			old += step_sp(old[behind]) < step_sp(step);
			old += step_sp(old[behind]) < step_sp(step);
			if (unlikely(((step_sp(old[behind]) ^ step_sp(step)) |
				      (FRAME_ADDRESS(*old) ^ look)) == 0)) {
				struct standing w = {{look, sp, bp}, from, memory, word, end, old,
						     keep_from};

				if (join(scratch, &w)) {
					judge(scratch, (size_t)(room - old),
					      (size_t)(room - w.old));
					atomic_store_explicit(&scratch->kept,
							      (uint32_t)(room - w.keep_from),
							      memory_order_relaxed);
					return walk_end(s, w.old, (uint32_t)(room - w.old), true);
				}
				old = w.old;
				memory = w.memory;
				if (w.word != word) {
					look = w.at.look;
					sp = w.at.sp;
					bp = w.at.bp;
					from = w.from;
					taken += (size_t)(w.word - word);
					word = w.word;
					keep_from = w.keep_from;
					continue;
				}
			}
			if (unlikely(word == old))
				old = first_old = room;
		}

		slot = rows_slot(rows, look);
		key = rows_key(rows, look);
		row = atomic_load_explicit(&slot->row, memory_order_relaxed);
		if (unlikely((atomic_load_explicit(&slot->check, memory_order_relaxed) ^ row) !=
			     key)) {
			row = rows_compute(s, look, slot, t->rules->states, &t->rules->frame);
			rows = rows_of(s); /* a file that was found changes the serial */
			if (rows_key(rows, look) != key)
				old = first_old = room;
			/* a row that is for this once is not to be relied on the next time */
			if ((atomic_load_explicit(&slot->check, memory_order_relaxed) ^ row) !=
			    rows_key(rows, look))
				keep_from = word + 1;
		}
		*word = FRAME_ADDRESS(look) | row_module_bits(row);
		if (keeps)
			word[behind] = step;
		word++;

		if (likely(row_kind(row) == ROW_SP)) {
			cfa = sp + (uintptr_t)row_cfa(row);
		} else if (likely(row_kind(row) == ROW_BP)) {
			cfa = bp + (uintptr_t)row_cfa(row);
			if (keeps) {
				uintptr_t above = bp - sp;

				word[behind - 1] = step_with_bp(step, above);
				if (unlikely(above % 8 != 0 || above >= BP_REACH))
					keep_from = word;
				else if (from == 0 && word - 1 > keep_from)
					keep_from =
						ask_for_bp(word - 2, bp, keep_from, scratch->high);
			}
		} else if (row_kind(row) == ROW_BP_DEREF) {
			READ_OR(goto end_of_walk, bp + (uintptr_t)row_cfa(row), &cfa);
			keep_from = word;
		} else if (row_kind(row) == ROW_SIGNAL) {
			READ_OR(goto end_of_walk, sp + ARCH_SIGFRAME_PC, &look);
			READ_OR(goto end_of_walk, sp + ARCH_SIGFRAME_BP, &bp);
			READ_OR(goto end_of_walk, sp + ARCH_SIGFRAME_SP, &sp);
			/* it may lie on another stack than the handler's */
			memory = memory_at(t, sp);
			from = 0;
			keep_from = word + (sp % 8 != 0);
			if (keeps) {
				if (scratch->high != high_of(sp))
					first_old = room;
				scratch->high = high_of(sp);
				old = skip_gone(first_old > word ? first_old : word, sp);
			}
			continue;
		} else if (row_kind(row) == ROW_END) {
			is_complete = is_whole = true;
			break;
		} else if (row_kind(row) == ROW_FULL) {
			return (struct walk_result){NULL, 0, false};
		} else {
			struct walk_place here = {look, sp, bp};
			struct memory wider = memory;

			if (keeps)
				keep_from = look >> 48 != 0 ? word
							    : ask_for_bp(word - 1, bp, keep_from,
									 scratch->high);
			if (!walk_step_by_pointer(s, &wider, &here))
				break;
			memory = wider;
			look = here.look;
			sp = here.sp;
			bp = here.bp;
			from = 2 * FROM_ONE;
			continue;
		}
		from = 0;
		if (unlikely(cfa <= sp || cfa % 8 != 0))
			break;
		READ_OR(goto end_of_walk, cfa - 8, &back);
		if (row_bp(row) != ROW_BP_SAME) {
			uintptr_t place = cfa + (uintptr_t)row_bp_distance(row), below;

			if (row_bp(row) == ROW_BP_AT_BP) {
				place += bp - cfa;
				if (keeps)
					keep_from =
						ask_for_bp(word - 1, bp, keep_from, scratch->high);
			}
			/* outside of the frame it is not: bp has been restored already, see cfi_sig.c */
			if (row_bp(row) == ROW_BP_AT_CFA ||
			    (place < cfa && place >= sp - CFI_RED_ZONE)) {
				below = (cfa - place) / 8;
				/* lost, which matters only to a caller whose row asks for it */
				READ_OR(bp = below = 0, place, &bp);
				from = below * FROM_ONE;
				if (unlikely(below - 1 >= FROM_MAX || place < sp)) {
					from = 0;
					keep_from = word;
				}
			}
		}
		if (unlikely(back == 0)) {
			is_complete = true;
			break;
		}
		sp = cfa;
		look = back - 1;
	}
end_of_walk:
	if (keeps) {
		if (first_old != room)
			judge(scratch, taken, (size_t)(word - begin));
		scratch->is_whole = is_whole;
		if (keep_from < word && high_of(sp) == scratch->high) {
			uint64_t *moved = move_all(scratch, word, keep_from);

			word += moved - begin;
			begin = moved;
		}
	}
	return walk_end(s, begin, (uint32_t)(word - begin), is_complete);
}

__attribute__((noinline, no_sanitize("address"))) static struct walk_result walk_and_keep(
	struct segment *s, struct thread *t, uintptr_t pc, uintptr_t sp, uintptr_t bp)
{
	return walk(s, t, pc, sp, bp, true);
}

__attribute__((noinline, no_sanitize("address"))) static struct walk_result walk_alone(
	struct segment *s, struct thread *t, uintptr_t pc, uintptr_t sp, uintptr_t bp)
{
	return walk(s, t, pc, sp, bp, false);
}

SIGSAFE struct walk_result walk_rows(struct segment *s, struct thread *t, uintptr_t pc,
				     uintptr_t sp, uintptr_t bp)
{
	struct walk_scratch *scratch = t->scratch;

	if (scratch->last.depth >= walk_settings.shallow) {
		if (scratch->pause == 0)
			return walk_and_keep(s, t, pc, sp, bp);
		scratch->pause--;
	}
	return walk_alone(s, t, pc, sp, bp);
}
