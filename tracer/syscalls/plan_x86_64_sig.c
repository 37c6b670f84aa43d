/*
 * Finds the sites of a file's code and decides how each is to be patched.
 *
 * Two bytes 0f 05 are a site when they are an instruction. That is known by decoding their function from its start, which the
 * unwind table gives: the decoding has to end where the function does, and each of its jumps has to meet the start of an
 * instruction. A single wrong length in between fails both.
 *
 * What is overwritten must not be jumped into. Jumps within the function are known by then. From outside it, every place
 * in the file that looks like a long jump (or, nearby, a short one) there is looked into, in the same way. Jumps by a table
 * and the handlers of exceptions lead to starts of instructions, anywhere: in a function that has any, a patch never
 * covers more than one.
 */
#include <emmintrin.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/context.h"
#include "tracer/syscalls/decode.h"
#include "tracer/syscalls/site.h"

#define FUNCTION_BYTES (64u << 10)
#define FUNCTION_INSNS 16384
#define LINE_BYTES     16
#define JUMPS          4096
#define BEYOND_BYTES   256
#define BEFORE_BYTES   24 /* of a slot: see slots_x86_64_sig.c */
#define BEFORE_MORE    14 /* where it is near, and the call is in it */
#define AFTER_INSNS    6

struct function {
	const uint8_t *start, *end;
	bool is_sound;
	bool is_signal;        /* returns from signal handlers */
	bool has_free_entries; /* jumps by a table, or handlers */
	uint32_t count;
	uint32_t outside; /* jumps that lead out of it: as many as are kept */
	const uint8_t *outside_targets[32];
	struct at {
		uint32_t offset;
		struct insn insn;
	} at[FUNCTION_INSNS];
	uint8_t targets[FUNCTION_BYTES / 8]; /* a bit for each byte that is jumped to */
};

static struct scratch {
	struct function function, other;
	struct site_plan plans[SITE_SLOTS];
	uint8_t lines[SITE_TEXT_BYTES / LINE_BYTES / 8];
	uint32_t jumps[JUMPS]; /* distances of what looks like a long one: offsets in the text */
} * scratch;

size_t site_scratch_bytes(void)
{
	return sizeof(struct scratch);
}

void site_use_scratch(void *memory)
{
	scratch = memory;
}

static bool is_target(const struct function *f, const uint8_t *code)
{
	size_t offset = (size_t)(code - f->start);

	return f->targets[offset / 8] >> offset % 8 & 1;
}

/* The instruction at @offset, or the last one before it. */
static uint32_t find_insn(const struct function *f, uint32_t offset)
{
	uint32_t low = 0;

	for (uint32_t high = f->count; high - low > 1;) {
		uint32_t middle = low + (high - low) / 2;

		if (f->at[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Every jump within the function meets an instruction; or its second byte, where the first is the prefix `lock`. */
static bool targets_are_starts(const struct function *f)
{
	uint32_t i = 0, size = (uint32_t)(f->end - f->start);

	for (uint32_t byte = 0; byte < (size + 7) / 8; byte++) {
		if (f->targets[byte] == 0)
			continue;
		for (uint32_t offset = byte * 8; offset < byte * 8 + 8 && offset < size; offset++) {
			if (!(f->targets[byte] >> offset % 8 & 1))
				continue;
			while (i + 1 < f->count && f->at[i + 1].offset <= offset)
				i++;
			if (f->at[i].offset != offset &&
			    !(f->at[i].offset + 1 == offset && f->start[f->at[i].offset] == 0xf0))
				return false;
		}
	}
	return true;
}

static void note_jump(struct function *f, uint8_t kind, const uint8_t *target)
{
	size_t offset = (size_t)(target - f->start);

	if (target >= f->start && target < f->end)
		f->targets[offset / 8] |= (uint8_t)(1u << offset % 8);
	else if (kind == INSN_CALL)
		return; /* comes back behind itself */
	else if (f->outside < sizeof(f->outside_targets) / sizeof(f->outside_targets[0]))
		f->outside_targets[f->outside++] = target;
}

static bool read_insn(struct function *f, uint32_t offset, uint32_t size)
{
	struct at *at = &f->at[f->count];

	/* a debugger's breakpoint hides what stands there, and is taken back some day as if nobody had changed anything */
	if (f->count == FUNCTION_INSNS || f->start[offset] == 0xcc ||
	    !insn_measure(f->start + offset, size - offset, &at->insn))
		return false;
	at->offset = offset;
	f->count++;
	if (at->insn.kind == INSN_JUMP_BY_TABLE)
		f->has_free_entries = true;
	if (at->insn.kind >= INSN_JUMP_IF && at->insn.kind <= INSN_LOOP)
		note_jump(f, at->insn.kind,
			  (const uint8_t *)insn_target(f->start + offset,
						       (uintptr_t)f->start + offset, &at->insn));
	return true;
}

static bool ends_here(const struct insn *insn)
{
	return insn->kind == INSN_JUMP || insn->kind == INSN_RETURN ||
	       insn->kind == INSN_JUMP_BY_TABLE || insn->kind == INSN_JUMP_BY_GOT;
}

/*
 * Functions that make a thread end their table before the call, because it would be wrong in the child. What they run into,
 * and what they jump to there, is theirs.
 */
static void read_beyond(const struct site_text *text, struct function *f)
{
	uint32_t offset = (uint32_t)(f->end - f->start), room = offset + BEYOND_BYTES;
	struct cfi_function bounds;

	if (room > FUNCTION_BYTES || (uintptr_t)(text->end - f->start) < room)
		return;
	memset(f->targets + offset / 8 + 1, 0, BEYOND_BYTES / 8);
	for (uint32_t i = 0; i < f->count; i++) {
		const struct at *at = &f->at[i];
		uint64_t target;

		/* they were taken for jumps to elsewhere */
		if (at->insn.kind != INSN_JUMP && at->insn.kind != INSN_JUMP_IF)
			continue;
		target = insn_target(f->start + at->offset, at->offset, &at->insn);
		if (target >= offset && target < room)
			f->targets[target / 8] |= (uint8_t)(1u << target % 8);
	}
	for (f->end = f->start + room; offset < room; offset += f->at[f->count - 1].insn.size) {
		const uint8_t *at = f->start + offset;

		if ((ends_here(&f->at[f->count - 1].insn) && !is_target(f, at)) ||
		    !cfi_function_at(&text->tables, (uintptr_t)at, &bounds) ||
		    bounds.start != (uintptr_t)f->start || !read_insn(f, offset, room))
			break;
	}
	f->end = f->start + offset;
}

/* The function around @pc. False: there is none, or not all in it is understood. */
static bool read_function(const struct site_text *text, const uint8_t *pc, struct function *f)
{
	struct cfi_function bounds;
	uint32_t size;

	if (f->start != NULL && pc >= f->start && pc < f->end)
		return f->is_sound;
	f->start = f->end = NULL;
	f->is_sound = false;
	if (!cfi_function_at(&text->tables, (uintptr_t)pc, &bounds) ||
	    bounds.start < (uintptr_t)text->start || bounds.size == 0 ||
	    bounds.start >= (uintptr_t)text->end ||
	    bounds.size > (uintptr_t)text->end - bounds.start ||
	    (uintptr_t)pc - bounds.start >= bounds.size + BEYOND_BYTES)
		return false;
	f->start = (const uint8_t *)bounds.start;
	f->end = f->start + bounds.size;
	f->is_sound = false;
	f->is_signal = bounds.is_signal;
	f->has_free_entries = bounds.has_handlers;
	f->count = f->outside = 0;
	if (bounds.size > FUNCTION_BYTES || bounds.is_signal)
		return false; /* of the latter the tables may give the byte before its start */
	size = (uint32_t)bounds.size;
	memset(f->targets, 0, size / 8 + 1);
	for (uint32_t offset = 0; offset < size; offset += f->at[f->count - 1].insn.size)
		if (!read_insn(f, offset, size))
			return false;
	if (pc >= f->end)
		read_beyond(text, f);
	f->is_sound = targets_are_starts(f) && pc < f->end;
	if (pc >= f->end)
		f->start = NULL; /* belongs to nobody */
	return f->is_sound;
}

/* All of an instruction: what it writes, too. */
static struct insn look(const struct function *f, uint32_t i)
{
	const uint8_t *code = f->start + f->at[i].offset;
	struct insn insn;

	if (!insn_decode(code, (uint64_t)(f->end - code), &insn))
		insn = (struct insn){.flags = INSN_IS_UNCLEAR}; /* it was measured before */
	return insn;
}

/* The number of the call at instruction @i, where it is a constant on every way there. */
static bool constant_number(const struct function *f, uint32_t i, uint64_t *ret)
{
	while (i > 0) {
		struct insn insn;

		if (is_target(f, f->start + f->at[i].offset))
			return false;
		insn = look(f, --i);
		if (insn_loads_rax(f->start + f->at[i].offset, &insn, ret))
			return true;
		if (insn.kind != INSN_PLAIN && insn.kind != INSN_PADDING &&
		    insn.kind != INSN_JUMP_IF)
			return false;
		if (insn.kind != INSN_JUMP_IF &&
		    ((insn.flags & INSN_IS_UNCLEAR) || insn.written == 0))
			return false;
	}
	return false;
}

/* What stands behind the call sets the flags before anything asks for them. */
static bool flags_are_dead(const struct function *f, uint32_t i)
{
	while (++i < f->count) {
		struct insn insn = look(f, i);

		if (insn.kind == INSN_RETURN || insn.kind == INSN_CALL || insn.kind == INSN_SYSCALL)
			return true;
		if (insn.flags & (INSN_READS_FLAGS | INSN_IS_UNCLEAR))
			return false;
		if (insn.flags & INSN_SETS_FLAGS)
			return true;
	}
	return false;
}

/*
 * glibc 2.41 and later: a thread that is cancelled is looked at, whether it is between two labels around this call. Its
 * arguments go from eight parameters into seven registers, which nothing else does.
 */
static bool is_cancellation_point(const struct function *f, uint32_t i)
{
	/* mov %rsi, %rax; mov %rdx, %rdi; mov %rcx, %rsi; mov %r8, %rdx */
	static const uint8_t moves[] = {0x48, 0x89, 0xf0, 0x48, 0x89, 0xd7,
					0x48, 0x89, 0xce, 0x4c, 0x89, 0xc2};
	const uint8_t *call = f->start + f->at[i].offset;

	while (i-- > 0 && call - (f->start + f->at[i].offset) < 48)
		if (call - (f->start + f->at[i].offset) >= (ptrdiff_t)sizeof(moves) &&
		    memcmp(f->start + f->at[i].offset, moves, sizeof(moves)) == 0)
			return true;
	return false;
}

/* It does the same in a slot. */
static bool can_move(const struct insn *insn, unsigned wishes)
{
	return ((insn->flags & INSN_CAN_MOVE) || insn->kind == INSN_JUMP_IF) &&
	       !((wishes & SITE_IS_FAR) && insn->distance_at != 0);
}

/* Where a run of movable instructions in front of instruction @i begins that is long enough; @i: there is none. */
static uint32_t run_before(const struct function *f, uint32_t i, uint32_t bytes, unsigned wishes,
			   bool one_only)
{
	uint32_t end = f->at[i].offset;

	for (uint32_t j = i; j-- > 0;) {
		const struct at *at = &f->at[j];

		struct insn insn = look(f, j);

		if (insn.kind == INSN_JUMP_IF || !can_move(&insn, wishes) ||
		    end - at->offset > BEFORE_BYTES)
			return i;
		if (end - at->offset >= bytes)
			return j;
		if (one_only || is_target(f, f->start + at->offset))
			return i;
	}
	return i;
}

/* True when all from @at to @at + @size is nothing but what fills up between functions. */
static bool is_padding(const struct site_text *text, const struct function *f, const uint8_t *at,
		       uint32_t size)
{
	const uint8_t *end = at + size;
	struct cfi_function other;

	for (const uint8_t *p = at; p < end;) {
		struct insn insn;

		if (p >= text->end || !insn_decode(p, (uint64_t)(text->end - p), &insn) ||
		    (insn.kind != INSN_PADDING && *p != 0xcc) || (p < f->end && is_target(f, p)))
			return false;
		if (p >= f->end && cfi_function_at(&text->tables, (uintptr_t)p, &other) &&
		    (uintptr_t)p - other.start < other.size)
			return false;
		p += insn.size;
	}
	return true;
}

/*
 * Where a run of movable instructions behind instruction @i ends that is long enough; NULL: there is none. The first
 * of them may be jumped to when @first_is_free.
 */
static const uint8_t *run_after(const struct site_text *text, const struct function *f, uint32_t i,
				uint32_t bytes, unsigned wishes, bool first_is_free, bool one_only)
{
	const uint8_t *begin = f->start + f->at[i].offset + f->at[i].insn.size;

	for (uint32_t j = i + 1; j < f->count && j <= i + AFTER_INSNS; j++) {
		const struct at *at = &f->at[j];
		const uint8_t *code = f->start + at->offset, *end = code + at->insn.size;
		uint32_t size = (uint32_t)(end - begin);
		bool is_last = at->insn.kind == INSN_RETURN ||
			       (at->insn.kind == INSN_JUMP && !(wishes & SITE_IS_FAR));
		struct insn insn = look(f, j);

		if (!can_move(&insn, wishes) && !is_last)
			return NULL;
		if (is_target(f, code) && !(j == i + 1 && first_is_free))
			return NULL;
		if (size >= bytes)
			return end;
		if (is_last)
			return is_padding(text, f, end, bytes - size) ? end : NULL;
		if (one_only)
			return NULL;
	}
	return NULL;
}

/*
 * A call of another function of the file's, as those that wait have one before and behind: so that they can be cancelled. It may
 * be made from a slot, where it returns to; whoever is in it now returns to where he came from.
 */
static bool calls_elsewhere(const struct site_text *text, const struct function *f,
			    const uint8_t *code, const struct insn *insn, unsigned wishes)
{
	const uint8_t *target;

	if (insn->kind != INSN_CALL || insn->size != SITE_JUMP_BYTES || (wishes & SITE_IS_FAR))
		return false;
	target = (const uint8_t *)insn_target(code, (uintptr_t)code, insn);
	return target >= text->start && target < text->end &&
	       (target < f->start || target >= f->end);
}

/*
 * While other threads run: an instruction in front of the call becomes a jump, and lies in one word, so that it is there as a
 * whole or not at all. A thread is at its start or at its end, for there is nothing between. What stands between it and the
 * call moves with it and is still there for those who are past it; who sleeps in the call comes back behind it.
 */
static enum sites_left plan_running(const struct site_text *text, const struct function *f,
				    uint32_t i, unsigned wishes, struct site_plan *plan)
{
	uint32_t most = BEFORE_BYTES;
	const uint8_t *found = NULL;

	if (plan->has_leave && !(wishes & SITE_IS_FAR))
		most += BEFORE_MORE;
	for (uint32_t j = i; j > 0 && !is_target(f, f->start + f->at[j].offset);) {
		const uint8_t *code = f->start + f->at[--j].offset;
		struct insn insn = look(f, j);
		bool is_call = calls_elsewhere(text, f, code, &insn, wishes);
		/* of the jump's; the last one may be 0, and stay what it is */
		size_t bytes = SITE_WORD_BYTES - (uintptr_t)code % SITE_WORD_BYTES;

		if (insn.kind == INSN_JUMP_IF || (!can_move(&insn, wishes) && !is_call) ||
		    f->at[i].offset - f->at[j].offset > most)
			break;
		if (insn.size >= SITE_JUMP_BYTES && (bytes >= SITE_JUMP_BYTES || found == NULL) &&
		    (bytes >= SITE_JUMP_BYTES ||
		     (bytes == SITE_JUMP_BYTES - 1 && code[bytes] == 0)))
			found = code;
		if (is_call || (found == code && bytes >= SITE_JUMP_BYTES))
			break;
	}
	if (found == NULL)
		return SITES_LEFT_RUNNING;
	plan->is_in_stub = plan->has_leave;
	plan->has_patch_before = plan->is_one_word = true;
	plan->before = found;
	return SITES_LEFT_REASONS;
}

/* The site at instruction @i. SITES_LEFT_REASONS: @ret says how. */
static enum sites_left plan_site(const struct site_text *text, const struct function *f, uint32_t i,
				 unsigned wishes, struct site_plan *ret)
{
	const uint8_t *call = f->start + f->at[i].offset, *behind = call + 2;
	bool one_only = f->has_free_entries, is_entered = is_target(f, call), is_constant;
	uint64_t number = 0;
	uint32_t j = run_before(f, i, SITE_JUMP_BYTES, wishes, one_only);
	const uint8_t *after;

	is_constant = constant_number(f, i, &number);
	if (is_constant && number == SYS_rt_sigreturn)
		return SITES_LEFT_SIGRETURN;
	if (is_cancellation_point(f, i))
		return SITES_LEFT_CANCEL;
	*ret = (struct site_plan){
		.syscall = call,
		.before = call,
		.after_end = behind,
		.has_leave = !is_constant || syscall_returns((long)number),
		.is_exit = is_constant && number == SYS_exit,
		.needs_flags = !flags_are_dead(f, i),
	};
	if (wishes & SITE_IS_RUNNING)
		return plan_running(text, f, i, wishes, ret);
	after = run_after(text, f, i, SITE_JUMP_BYTES, wishes, true, one_only);
	if (is_constant && !ret->has_leave && !(wishes & SITE_ONLY_STUBS)) {
		if (j == i)
			return SITES_LEFT_NO_ROOM;
		ret->has_patch_before = true;
		ret->before = f->start + f->at[j].offset;
		ret->has_inner_starts = i - j > 1;
		return SITES_LEFT_REASONS;
	}
	if (is_constant && !(wishes & SITE_ONLY_STUBS) && !is_entered && j < i && after != NULL) {
		ret->has_patch_before = ret->has_patch_after = true;
		ret->before = f->start + f->at[j].offset;
		ret->after_end = after;
		ret->has_inner_starts = i - j > 1 || after > behind + f->at[i + 1].insn.size;
		return SITES_LEFT_REASONS;
	}

	ret->is_in_stub = true;
	ret->has_patch_before = true;
	if (j < i && (!is_entered || one_only)) {
		ret->before = f->start + f->at[j].offset;
		ret->has_inner_starts = i - j > 1;
		return SITES_LEFT_REASONS;
	}
	if (one_only)
		return SITES_LEFT_ENTERED;
	ret->has_inner_starts = true;
	for (uint32_t first = i; first + 4 > i; first--) {
		/* the call, some in front of it, as many behind it as it takes */
		uint32_t bytes = (uint32_t)(behind - (f->start + f->at[first].offset));
		bool is_free = true;

		for (uint32_t k = first; k < i; k++) {
			struct insn insn = look(f, k);

			is_free = is_free && insn.kind != INSN_JUMP_IF && can_move(&insn, wishes) &&
				  !is_target(f, f->start + f->at[k + 1].offset);
		}
		if (!is_free)
			break;
		after = bytes >= SITE_JUMP_BYTES ? behind
						 : run_after(text, f, i, SITE_JUMP_BYTES - bytes,
							     wishes, false, false);
		if (after != NULL) {
			ret->before = f->start + f->at[first].offset;
			ret->after_end = after;
			return SITES_LEFT_REASONS;
		}
		if (first == 0)
			break;
	}
	return SITES_LEFT_NO_ROOM;
}

/*
 * A function in two parts, of which the other one jumps by a table: it may lead back here. A part is what this function jumps
 * to and what jumps back into its middle.
 */
static bool has_other_part(const struct site_text *text, const struct function *f)
{
	struct function *other = &scratch->other;

	for (uint32_t i = 0; i < f->outside; i++) {
		if (f->outside_targets[i] < text->start || f->outside_targets[i] >= text->end)
			continue;
		if (!read_function(text, f->outside_targets[i], other)) {
			if (other->start == NULL)
				continue; /* a stub of the procedure linkage table */
			return true;
		}
		if (!other->has_free_entries)
			continue;
		for (uint32_t k = 0; k < other->outside; k++)
			if (other->outside_targets[k] > f->start &&
			    other->outside_targets[k] < f->end)
				return true;
	}
	return f->outside == sizeof(f->outside_targets) / sizeof(f->outside_targets[0]);
}

/* Where what it overwrites ends. */
static const uint8_t *reach_of(const struct site_plan *plan)
{
	const uint8_t *before = plan->before + SITE_JUMP_BYTES;
	const uint8_t *after = plan->syscall + 2 + SITE_JUMP_BYTES;

	if (plan->has_patch_after && after > plan->after_end)
		return after;
	return before > plan->after_end ? before : plan->after_end;
}

/* True when a jump to @target would end up inside what is overwritten. */
static bool leads_into(const struct site_plan *plan, const uint8_t *target)
{
	const uint8_t *first = plan->before, *second = plan->syscall + 2;

	return (plan->has_patch_before && target > first && target < first + SITE_JUMP_BYTES) ||
	       (plan->has_patch_after && target > second && target < second + SITE_JUMP_BYTES);
}

/* True when the distance at @distance_at is one: part of an instruction that jumps, as far as can be known. */
static bool is_jump(const struct site_text *text, const uint8_t *distance_at, unsigned size)
{
	struct function *f = &scratch->other;
	const struct at *at;

	if (!read_function(text, distance_at, f))
		return true; /* nobody knows */
	at = &f->at[find_insn(f, (uint32_t)(distance_at - f->start))];
	return f->start + at->offset + at->insn.distance_at == distance_at &&
	       at->insn.distance_size == size && at->insn.kind != INSN_PLAIN;
}

/* The first plan that reaches beyond @code. */
static uint32_t first_near(const struct site_plan *plans, uint32_t count, const uint8_t *code)
{
	uint32_t low = 0;

	for (uint32_t high = count; low < high;) {
		uint32_t middle = low + (high - low) / 2;

		if (reach_of(&plans[middle]) <= code)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* @target, of what looks like a long jump with its distance at @distance_at, lies near a site. */
static void check_long_jump(const struct site_text *text, struct site_plan *plans, uint32_t count,
			    const uint8_t *distance_at, const uint8_t *target)
{
	for (uint32_t i = first_near(plans, count, target); i < count && plans[i].before < target;
	     i++)
		if (leads_into(&plans[i], target) && is_jump(text, distance_at, 4))
			plans[i].has_patch_before = plans[i].has_patch_after = false;
}

/* A bit for each line of the text that is overwritten somewhere. */
static void mark_lines(const struct site_text *text, const struct site_plan *plans, uint32_t count)
{
	memset(scratch->lines, 0, (size_t)(text->end - text->start) / LINE_BYTES / 8 + 1);
	for (uint32_t i = 0; i < count; i++) {
		size_t line = (size_t)(plans[i].before - text->start) / LINE_BYTES;
		size_t last = (size_t)(reach_of(&plans[i]) - 1 - text->start) / LINE_BYTES;

		for (; line <= last; line++)
			scratch->lines[line / 8] |= (uint8_t)(1u << line % 8);
	}
}

/* A bit for each of 16 bytes behind which a distance of four bytes would follow: e8, e9, 0f 8x. */
static unsigned long_jumps_at(const uint8_t *p)
{
	const __m128i call = _mm_set1_epi8((char)0xe8), but_last = _mm_set1_epi8((char)0xfe);
	const __m128i escape = _mm_set1_epi8(0x0f), high = _mm_set1_epi8((char)0xf0);
	const __m128i condition = _mm_set1_epi8((char)0x80);
	__m128i bytes = _mm_loadu_si128((const __m128i *)p);
	__m128i before = _mm_loadu_si128((const __m128i *)(p - 1));

	return (unsigned)_mm_movemask_epi8(
		_mm_or_si128(_mm_cmpeq_epi8(_mm_and_si128(bytes, but_last), call),
			     _mm_and_si128(_mm_cmpeq_epi8(before, escape),
					   _mm_cmpeq_epi8(_mm_and_si128(bytes, high), condition))));
}

/* The first @n of the list: those that lead to a line that is overwritten. */
static void check_listed(const struct site_text *text, struct site_plan *plans, uint32_t count,
			 uint32_t n)
{
	uintptr_t start = (uintptr_t)text->start, size = (uintptr_t)(text->end - text->start);

	while (n > 0 && scratch->jumps[n - 1] > size - 4)
		n--;
	for (uint32_t i = 0; i < n; i++) {
		uintptr_t at = start + scratch->jumps[i], offset, line;
		int32_t distance;

		memcpy(&distance, (const void *)at, sizeof(distance));
		offset = at + 4 + (uintptr_t)(intptr_t)distance - start;
		line = (offset < size ? offset : 0) / LINE_BYTES;
		if (unlikely((scratch->lines[line / 8] >> line % 8 & 1) & (offset < size)))
			check_long_jump(text, plans, count, (const uint8_t *)at,
					(const uint8_t *)start + offset);
	}
}

/*
 * All that looks like a long jump or call. Two in 64 bytes, but now none and now five: they are listed first, four at a time, since a
 * processor that has to guess how many there are takes as long for that as for all the rest.
 */
static void check_long_jumps(const struct site_text *text, struct site_plan *plans, uint32_t count)
{
	const uint8_t *p = text->start + 1, *end = text->end - 4;
	uint32_t *jumps = scratch->jumps, n = 0;

	mark_lines(text, plans, count);
	for (; p < end; p += 64) {
		uint32_t offset = (uint32_t)(p - text->start) + 1;
		uint64_t found = 0;

		if (text->end - p >= 64) {
			for (unsigned i = 0; i < 4; i++)
				found |= (uint64_t)long_jumps_at(p + i * 16) << i * 16;
		} else {
			/* not beyond the end, where nothing may be mapped */
			uint8_t rest[1 + 64] = {0};

			memcpy(rest, p - 1, (size_t)(text->end - p) + 1);
			for (unsigned i = 0; i < 4; i++)
				found |= (uint64_t)long_jumps_at(rest + 1 + i * 16) << i * 16;
		}
		do {
#pragma GCC unroll 4
			for (unsigned i = 0; i < 4; i++) {
				jumps[n] = offset +
					   (uint32_t)__builtin_ctzll(found | UINT64_C(1) << 63);
				n += found != 0;
				found &= found - 1;
			}
		} while (unlikely(found != 0));
		if (n > JUMPS - 64 - 4) {
			check_listed(text, plans, count, n);
			n = 0;
		}
	}
	check_listed(text, plans, count, n);
}

/* What looks like a short jump from another function nearby. */
static bool is_entered_from_nearby(const struct site_text *text, const struct function *f,
				   const struct site_plan *plan)
{
	const uint8_t *from = plan->before - 130, *to = plan->syscall + 2 + SITE_JUMP_BYTES + 130;

	if (from < text->start)
		from = text->start;
	if (to > text->end - 1)
		to = text->end - 1;
	for (const uint8_t *p = from; p < to; p++) {
		if (p >= f->start && p < f->end) {
			p = f->end - 1;
			continue;
		}
		if ((*p & 0xf0) != 0x70 && *p != 0xeb && (*p & 0xfc) != 0xe0)
			continue;
		if (leads_into(plan, p + 2 + (int8_t)p[1]) && is_jump(text, p + 1, 1))
			return true;
	}
	return false;
}

/* The next 0f 05 from @p on. */
static const uint8_t *find_bytes(const uint8_t *p, const uint8_t *end)
{
	const __m128i first = _mm_set1_epi8(0x0f), second = _mm_set1_epi8(0x05);

	for (; end - p >= 17; p += 16) {
		unsigned mask = (unsigned)_mm_movemask_epi8(_mm_and_si128(
			_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), first),
			_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 1)), second)));

		if (mask != 0)
			return p + __builtin_ctz(mask);
	}
	for (; end - p >= 2; p++)
		if (p[0] == 0x0f && p[1] == 0x05)
			return p;
	return NULL;
}

/* mov $15, %rax */
static const uint8_t sigreturn[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0};

/* Unwinders, too, know it by these bytes. */
static bool is_return(const struct function *f, const uint8_t *p)
{
	return f->start != NULL && f->is_signal && p - f->start >= (ptrdiff_t)sizeof(sigreturn) &&
	       memcmp(p - sizeof(sigreturn), sigreturn, sizeof(sigreturn)) == 0;
}

/* The two bytes at @p, judged. SITES_LEFT_REASONS: they are planned for, or part of another instruction. */
static enum sites_left judge(const struct site_text *text, const uint8_t *p, unsigned wishes,
			     struct site_plan *plan, bool *ret_is_site)
{
	struct function *f = &scratch->function;
	enum sites_left left;
	uint32_t i;

	*ret_is_site = true;
	plan->syscall = NULL;
	if (!read_function(text, p, f) && (wishes & SITE_ONLY_STUBS) && is_return(f, p)) {
		*plan = (struct site_plan){.syscall = p,
					   .before = p - sizeof(sigreturn),
					   .after_end = p + 2,
					   .is_in_stub = true,
					   .has_patch_before = true};
		return SITES_LEFT_REASONS;
	}
	if (!f->is_sound)
		return f->start != NULL && f->is_signal ? SITES_LEFT_SIGRETURN : SITES_LEFT_UNKNOWN;
	i = find_insn(f, (uint32_t)(p - f->start));
	if (f->at[i].offset != (uint32_t)(p - f->start) || f->at[i].insn.kind != INSN_SYSCALL) {
		*ret_is_site = false;
		return SITES_LEFT_REASONS;
	}
	left = plan_site(text, f, i, wishes, plan);
	if (left == SITES_LEFT_REASONS && plan->has_inner_starts &&
	    (has_other_part(text, f) || is_entered_from_nearby(text, f, plan)))
		left = SITES_LEFT_ENTERED;
	return left;
}

uint32_t site_find(const struct site_text *text, unsigned wishes, struct sites_counts *counts,
		   const struct site_plan **ret)
{
	struct site_plan *plans = scratch->plans;
	uint32_t count = 0, kept = 0;

	*ret = plans;
	scratch->function.start = scratch->other.start = NULL;
	if (text->end - text->start > SITE_TEXT_BYTES) {
		counts->left[SITES_LEFT_LARGE]++;
		return 0;
	}
	for (const uint8_t *p = text->start; (p = find_bytes(p, text->end)) != NULL; p += 2) {
		bool is_site;
		enum sites_left left;

		if (count == SITE_SLOTS) {
			counts->left[SITES_LEFT_NO_SLOT]++;
			continue;
		}
		left = judge(text, p, wishes, &plans[count], &is_site);
		/* two calls that share the instructions between them */
		if (left == SITES_LEFT_REASONS && is_site && count > 0 &&
		    plans[count].before < reach_of(&plans[count - 1]))
			left = SITES_LEFT_NO_ROOM;
		counts->found += is_site;
		if (left != SITES_LEFT_REASONS)
			counts->left[left]++;
		else if (is_site)
			count++;
	}
	if (count == 0)
		return 0;
	check_long_jumps(text, plans, count);
	for (uint32_t i = 0; i < count; i++) {
		if (plans[i].has_patch_before || plans[i].has_patch_after)
			plans[kept++] = plans[i];
		else
			counts->left[SITES_LEFT_ENTERED]++;
	}
	return kept;
}
