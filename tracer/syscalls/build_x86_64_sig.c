/*
 * Writes the code of a slot. Its layout is in slots_x86_64_sig.c.
 */
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "tracer/syscalls/decode.h"
#include "tracer/syscalls/site.h"

enum {
	AT_ENTER = 24,
	AT_CALL = 42,
	AT_CALL_ONLY = 48,
	AT_ADDRESS = 64,
	AT_BACK_TO_CALL = 72,
	AT_BACK_BEHIND = 80,
	AT_LEAVE = 88,
	AT_BEHIND = 106,
};

#define PAD_BYTES (SITE_PADS_BYTES / 2)

extern const uint8_t site_enter[], site_enter_flags[], site_leave[], site_leave_flags[];

struct builder {
	uint8_t *image;         /* where it is written */
	const uint8_t *address; /* where it will be */
	uint32_t at, end;
	bool is_far, is_bad;
};

static void put(struct builder *b, const void *bytes, uint32_t size)
{
	if (b->is_bad || b->end - b->at < size) {
		b->is_bad = true;
		return;
	}
	memcpy(b->image + b->at, bytes, size);
	b->at += size;
}

static void put_distance(struct builder *b, const uint8_t *target)
{
	int64_t distance = (int64_t)((uintptr_t)target - ((uintptr_t)b->address + b->at + 4));
	int32_t narrow = (int32_t)distance;

	if (distance != narrow)
		b->is_bad = true;
	put(b, &narrow, sizeof(narrow));
}

/* A jump back into the file's code; from afar by the address at @via. */
static void put_jump(struct builder *b, const uint8_t *target, uint32_t via)
{
	if (!b->is_far) {
		put(b, "\xe9", 1);
		put_distance(b, target);
		return;
	}
	memcpy(b->image + via, &target, sizeof(target));
	put(b, "\xff\x25", 2);
	put_distance(b, b->address + via);
}

static void put_short_jump(struct builder *b, uint32_t to)
{
	uint8_t code[2] = {0xeb, (uint8_t)(to - b->at - 2)};

	put(b, code, sizeof(code));
}

/* lea -128(%rsp), %rsp; call; lea 128(%rsp), %rsp */
static void put_call(struct builder *b, const uint8_t *function)
{
	put(b, "\x48\x8d\x64\x24\x80\xe8", 6);
	put_distance(b, function);
	put(b, "\x48\x8d\xa4\x24\x80\x00\x00\x00", 8);
}

/* The instruction at @code does here what it did there. */
static void put_moved(struct builder *b, const uint8_t *code, const struct insn *insn)
{
	uint8_t jump[2] = {0x0f, 0};
	const uint8_t *target;

	if (insn->distance_at == 0) {
		put(b, code, insn->size);
		return;
	}
	target = (const uint8_t *)insn_target(code, (uintptr_t)code, insn);
	if (b->is_far) {
		b->is_bad = true;
	} else if (insn->kind == INSN_JUMP) {
		put(b, "\xe9", 1);
		put_distance(b, target);
	} else if (insn->kind == INSN_JUMP_IF) {
		jump[1] = (uint8_t)(0x80 | (code[insn->distance_at - 1] & 0x0f));
		put(b, jump, sizeof(jump));
		put_distance(b, target);
	} else {
		/* an immediate may follow: the distance counts from the end of the instruction */
		uint32_t rest = insn->size - insn->distance_at - 4u;

		put(b, code, insn->distance_at);
		put_distance(b, target - rest);
		put(b, code + insn->distance_at + 4, rest);
	}
}

/* Those from @from to @to; true when the last one does not go on behind itself. */
static bool put_all_moved(struct builder *b, const uint8_t *from, const uint8_t *to)
{
	struct insn insn = {0};

	for (const uint8_t *p = from; p < to && !b->is_bad; p += insn.size) {
		if (!insn_decode(p, INSN_LONGEST, &insn)) {
			b->is_bad = true;
			return false;
		}
		put_moved(b, p, &insn);
	}
	return insn.kind == INSN_JUMP || insn.kind == INSN_RETURN;
}

/* Where those end, from @from on, that have room for themselves in front of the rest; @from when all fit there. */
static const uint8_t *end_of_first(const uint8_t *from, const uint8_t *to)
{
	const uint8_t *p = from;
	struct insn insn;

	while (to - p > AT_ENTER && insn_decode(p, INSN_LONGEST, &insn))
		p += insn.size;
	return p;
}

/*
 * Instructions move as they are: what has a distance in it keeps its length, unless it is a jump, of which there is none here.
 * Those that find no room in front of enter() go where a site that is far has its addresses. *ret_start: where to jump to.
 */
static bool put_before(struct builder *b, const struct site_plan *plan, uint32_t *ret_start)
{
	const uint8_t *rest = end_of_first(plan->before, plan->syscall);
	uint32_t start = AT_ENTER - (uint32_t)(plan->syscall - rest);

	*ret_start = start;
	if (rest > plan->before) {
		b->is_bad = b->is_bad || b->is_far || !plan->is_in_stub;
		*ret_start = b->at = AT_BACK_TO_CALL;
		b->end = AT_LEAVE;
		put_all_moved(b, plan->before, rest);
		put_short_jump(b, start);
	}
	b->at = start;
	b->end = AT_ENTER;
	put_all_moved(b, rest, plan->syscall);
	b->end = AT_ADDRESS;
	return !b->is_bad && b->at == AT_ENTER;
}

/* A jump to @to, over @at. False: too far. */
static bool make_patch(struct site *site, const uint8_t *at, const uint8_t *to, uint8_t *pad,
		       uint8_t *pad_address)
{
	struct site_patch *patch = &site->patches[site->patches_count++];
	int64_t distance;
	int32_t narrow;

	if (pad != NULL) {
		memcpy(pad, "\xff\x25\x00\x00\x00\x00", 6);
		memcpy(pad + 6, &to, sizeof(to));
		to = pad_address;
	}
	patch->at = (uint8_t *)(uintptr_t)at;
	memcpy(patch->before, at, SITE_JUMP_BYTES);
	distance = (int64_t)((uintptr_t)to - ((uintptr_t)at + SITE_JUMP_BYTES));
	narrow = (int32_t)distance;
	patch->after[0] = 0xe9;
	memcpy(patch->after + 1, &narrow, sizeof(narrow));
	return distance == narrow;
}

/* What lies beyond the word in which it begins stays as it is. */
static bool is_in_word(const struct site_patch *patch)
{
	size_t bytes = site_patch_word_bytes(patch);

	return memcmp(patch->before + bytes, patch->after + bytes, SITE_JUMP_BYTES - bytes) == 0;
}

bool site_build(const struct site_plan *plan, uint32_t index, uint8_t *image, uint8_t *pads,
		uint8_t *pads_address, struct site *ret)
{
	const uint8_t *slot = site_slots[index], *behind = plan->syscall + 2;
	struct builder b = {.image = image, .address = slot, .is_far = pads != NULL};
	uint32_t start;

	memset(image, 0xcc, SITE_SLOT_BYTES);
	memset(image + AT_ADDRESS, 0, AT_LEAVE - AT_ADDRESS);
	memcpy(image + AT_ADDRESS, &behind, sizeof(behind));
	*ret = (struct site){.address = (uintptr_t)plan->syscall, .is_in_stub = plan->is_in_stub};

	if (!put_before(&b, plan, &start))
		return false;
	put_call(&b, plan->needs_flags ? site_enter_flags : site_enter);
	if (plan->is_in_stub) {
		put(&b, "\x0f\x05", 2);
		put_short_jump(&b, AT_LEAVE);
		b.at = AT_CALL_ONLY;
		put(&b, "\x0f\x05", 2);
		put_short_jump(&b, AT_BEHIND);
	} else {
		put_jump(&b, plan->syscall, AT_BACK_TO_CALL);
		b.at = AT_CALL_ONLY;
		put_jump(&b, plan->syscall, AT_BACK_TO_CALL);
	}
	b.end = SITE_SLOT_BYTES;
	b.at = plan->has_leave ? AT_LEAVE : AT_BEHIND;
	if (plan->has_leave)
		put_call(&b, plan->needs_flags ? site_leave_flags : site_leave);
	if (!put_all_moved(&b, behind, plan->after_end))
		put_jump(&b, plan->after_end, AT_BACK_BEHIND);
	if (b.is_bad)
		return false;
	if (plan->has_patch_before &&
	    !make_patch(ret, plan->before, slot + start, pads, pads_address))
		return false;
	if (plan->is_one_word && !is_in_word(&ret->patches[0]))
		return false;
	if (!plan->has_patch_after)
		return true;
	if (pads == NULL)
		return make_patch(ret, behind, slot + AT_LEAVE, NULL, NULL);
	return make_patch(ret, behind, slot + AT_LEAVE, pads + PAD_BYTES, pads_address + PAD_BYTES);
}

bool site_slots_are_near(const struct site_text *text)
{
	const uint8_t *first = site_slots[0], *last = first + sizeof(site_slots);
	const uint8_t *low = first < text->start ? first : text->start;
	const uint8_t *high = last > text->end ? last : text->end;

	/* a moved instruction may point to the file's data, behind or before its code */
	return (uintptr_t)high - (uintptr_t)low < (UINT64_C(1) << 31) - (64u << 20);
}

int site_register(void)
{
	return (int)sys3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

int site_all_see_new_code(void)
{
	long r = site_register();

	if (r == 0)
		r = sys3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
	return (int)r;
}

void site_see_new_code(void)
{
	unsigned a = 0, b, c, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d) : : "memory");
}
